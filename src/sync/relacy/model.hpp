/*
 * The relacy back end from the inside: what its files share.
 *
 *      words.cc     atomic words and fences, on relacy's memory model
 *      memory.cc    malloc, and who may touch what: races, leaks, dead memory
 *      waiting.cc   futexes, the clock, threads
 *      strategy.cc  who runs next
 *      explore.cc   one execution after another
 *
 * Design.  relacy runs the threads of a scenario as fibers and models C11's
 * memory; its context, which is used here through its virtual interface, does
 * the vector clocks and decides which store a load sees.  What relacy does
 * not have is C: words that are found by their address, plain memory, a
 * futex, a clock.  That is here.
 *
 * Nothing here may take memory with new while an execution runs, for relacy
 * counts it; all tables are static and empty by a change of `generation`.
 *
 * Locking.  None: fibers of one thread.
 */
#ifndef WEIR_SRC_SYNC_RELACY_MODEL_HPP
#define WEIR_SRC_SYNC_RELACY_MODEL_HPP

#include "sync/relacy/explore.h"

#include <relacy/relacy.hpp>

/* relacy renames half of the language for its own users. */
#undef $
#undef new
#undef delete
#undef malloc
#undef calloc
#undef realloc
#undef free
#undef assert
#undef errno
#undef VAR
#undef VAR_T

namespace model
{

const int threads_max = WEIR_EXPLORE_THREADS;

/* What all parts need to know of the execution. */
struct execution {
	uint64_t generation; /* of all tables; another in each execution */
	uint64_t number;
	bool alone; /* before the threads, or after them */
	bool tracing;
	bool track_plain; /* plain memory is watched as well */
	int64_t clock_ns;
	char finding[sizeof(weir_finding::text)];
};

extern execution now;

/* End the execution as failed.  It is never returned to. */
[[noreturn]] void fail(const char *format, ...)
	__attribute__((format(printf, 1, 2)));

/* A line of the trace, if one is wanted; pc is where in the library. */
void trace(const void *pc, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* "function (file.c:12)" of an address in this program; a static buffer. */
const char *place_of(const void *pc);

/* strategy.cc: choices, all of them from the seed. */
void strategy_begin(uint64_t seed, int threads);
unsigned choose(unsigned limit);
/* Of count threads that can run, which; current may be one of them or -1. */
int strategy_next(const int *threads, int count, int current, bool yields);
/* May time pass, may a sleeper wake for nothing, although others can run? */
bool strategy_wants_time(void);
bool strategy_is_hasty(void);
bool strategy_wants_spurious(void);

/* waiting.cc, explore.cc: how many threads the scenario may start */
int thread_budget(void);
void waiting_begin(void);
/* Of these sleepers with a deadline, who wakes first?  The clock goes there. */
int first_to_time_out(const int *threads, int count, bool idle);

/* words.cc */
void words_begin(void);
void words_end(void);
void words_forget(uintptr_t from, uintptr_t to);

/* memory.cc */
void memory_begin(void);
void memory_end(void);
/* An atomic access is no race with another, but with a plain one or free. */
void memory_atomic(const void *at, size_t size, const void *pc);

} /* namespace model */

#endif
