/*
 * The simulator from the inside: what its files share.
 *
 *      fiber.c    stacks, and switching between them
 *      sched.c    who runs next, time, faults, the verdict
 *      memory.c   atomic words: plain, buffered (TSO), or with a past (C11)
 *      wait.c     futexes, threads, the clock, seeds
 *      heap.c     malloc() and friends for the core
 *
 * Everything belongs to the one real thread; nothing locks.
 */
#ifndef WEIR_SRC_SYNC_SIM_INSIDE_H
#define WEIR_SRC_SYNC_SIM_INSIDE_H

#include "base/rng.h"
#include "sync/sim/sim.h"

#include <weir/base.h>

#define SIM_BUFFER 8 /* stores that one fiber may have under way */
#define SIM_SLOTS  4 /* thread-local variables of the core */

enum sim_state {
	SIM_RUNNABLE,
	SIM_SPINNING, /* paused until the word it looked at changes */
	SIM_ASLEEP,   /* on a futex */
	SIM_JOINING,
	SIM_DONE
};

/* A store on its way to memory. */
struct sim_store {
	void *word;
	uint64_t value;
	bool wide;
};

struct sim_fiber {
	void *sp; /* where it left off; see fiber.c */
	const char *name;
	void (*fn)(void *arg);
	void *arg;
	enum sim_state state;
	bool joined;
	int joining; /* the fiber it waits for */

	/* asleep */
	const void *word;
	int64_t deadline_ns;
	bool late; /* woken by the clock */

	/* spinning */
	const void *looked_at;
	uint32_t impatience; /* pauses that it will not spend waiting */

	uint64_t priority; /* PCT: the highest runs */
	const void *slot_key[SIM_SLOTS];
	void *slot[SIM_SLOTS];

	/* TSO */
	struct sim_store buffer[SIM_BUFFER];
	uint32_t buffered;

	/* C11: what it knows of each fiber's steps; see memory.c */
	uint32_t clock[SIM_FIBERS];
	uint32_t pending[SIM_FIBERS];  /* to be acquired by a fence */
	uint32_t released[SIM_FIBERS]; /* as of its last release fence */
};

struct sim {
	struct sim_fiber fibers[SIM_FIBERS];
	uint32_t count;
	uint32_t self; /* index of the one that runs */

	/* masks of fibers */
	uint32_t runnable, spinning;

	/* steps until something is to be decided, and how many that were */
	int32_t countdown, stride;
	uint64_t steps, steps_max;

	struct weir_rng rng;
	int64_t now_ns;
	enum sim_memory memory;

	/* how this schedule is driven */
	bool pct, spurious, late, hasty;
	uint32_t mask;         /* random walk: longest run of one fiber */
	uint64_t change[2];    /* PCT: at these steps */
	uint64_t priority_low; /* PCT: below all others */
	uint32_t alloc_fails;  /* the n-th fails; 0: none */
	uint32_t alloc_chance; /* one in so many fails; 0: none */
	uint32_t thread_fails; /* the n-th fails; 0: none */
	uint32_t allocs, threads;
	bool refused;

	const struct sim_setup *setup;
	struct sim_verdict *verdict;
	void *program_sp; /* where sim_run() waits */
};

extern struct sim sim;

#define sim_unlikely(x) __builtin_expect(!!(x), 0)
#define sim_self()      (&sim.fibers[sim.self])

/* A random number below n; the bias is below 1 in 4 billion. */
static inline uint32_t
sim_below(uint32_t n)
{
	return (uint32_t)((weir__rng_next(&sim.rng) >> 32) * n >> 32);
}

/* One of the set bits of a mask that is not 0. */
uint32_t sim_any_of(uint32_t mask);

/* fiber.c */

/* Leave for to, keeping in *from where we are. */
void sim_switch(void **from, void *to);
/* Where a fresh fiber begins: entry() on the stack of the given number. */
void *sim_fresh(uint32_t stack, void (*entry)(void));
/* Does the address lie in a stack?  Which?  -1: in none. */
int sim_stack_of(const void *address);

/* sched.c */

/* Time for a decision: faults, the clock, another fiber. */
void sim_decide(void);
/* This fiber cannot go on (its state says why): let others. */
void sim_block(void);
/* Let others run first, if there are any. */
void sim_give_way(void);
void sim_make_runnable(uint32_t fiber);
/* A new fiber, or -1 if there are too many. */
int sim_fiber_new(const char *name, void (*fn)(void *), void *arg);
void sim_fiber_join(uint32_t fiber);
_Noreturn void sim_end(void);

/* Each hook begins with this. */
static inline void
sim_step(void)
{
	if (sim_unlikely(--sim.countdown <= 0))
		sim_decide();
}

void sim_trace(const char *operation, const void *word, uint64_t value,
	       const void *caller);

#define SIM_TRACE(operation, word, value)                       \
	do {                                                    \
		if (sim_unlikely(sim.setup->trace))             \
			sim_trace(operation, word, value,       \
				  __builtin_return_address(0)); \
	} while (0)

/* memory.c */

void sim_memory_reset(void);
/* All stores of a fiber reach memory; one of them, the oldest. */
void sim_flush(struct sim_fiber *fiber);
void sim_flush_one(struct sim_fiber *fiber);
/* The newest value of a word, as the kernel sees it. */
uint32_t sim_latest(const void *word);
/* Everything that a fiber did so far, another one knows. */
void sim_learn(uint32_t fiber, uint32_t from);

/* heap.c */

void sim_heap_reset(void);
/* Why the heap is not as it should be at the end; NULL: it is. */
const char *sim_heap_verdict(void);
/* What memory is filled with when it is given back. */
#define SIM_DEAD UINT64_C(0xdddddddddddddddd)
bool sim_is_dead(const void *address);
int sim_block_of(const void *address, size_t *ret_offset);

/* What the core's sources are told to call instead of malloc() and so on. */
void *sim_malloc(size_t size);
void *sim_calloc(size_t count, size_t size);
void *sim_realloc(void *memory, size_t size);
void sim_free(void *memory);

#endif
