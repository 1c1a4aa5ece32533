/*
 * What has been promised of the jobs of a store, so that a database can be
 * held against it.
 *
 * Each job has a number here, which is in its args.  Before anything is asked
 * of the store that changes a job, the job is noted as asked about: from then
 * on it may be as before or as asked.  Once the store has answered, it has to
 * be as the answer says.
 *
 * Any number of threads may ask and note, each for jobs of its own, while
 * another one judges.
 */
#ifndef WEIR_TESTS_QUEUE_LEDGER_H
#define WEIR_TESTS_QUEUE_LEDGER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <weir/queue.h>

enum { LEDGER_JOBS = 2000 };

enum ledger_phase {
	LEDGER_FREE,
	LEDGER_INSERTING, /* with all of its batch, or none */
	LEDGER_REFUSED,   /* the insert was answered with an error */
	LEDGER_THERE,     /* and not over */
	LEDGER_OVER,      /* in the state over */
	LEDGER_ASKED,     /* there; and something was asked for, or may come */
	LEDGER_DELETING,
	LEDGER_DELETED,
};

struct ledger_job {
	_Atomic enum ledger_phase phase;
	_Atomic int over;             /* a weir_state */
	_Atomic unsigned attempt_min; /* it has ended that many */
	enum ledger_phase before;     /* it was asked about; its asker's */
	unsigned batch;
	int64_t id;
};

struct ledger {
	atomic_uint count;
	struct ledger_job jobs[LEDGER_JOBS];
};

/* What is wrong with a database, each in one place: X(NAME, "what"). */
#define LEDGER_WRONG_TABLE(X)                                            \
	X(UNOPENED, "it cannot be opened")                               \
	X(DAMAGED, "it is damaged")                                      \
	X(LOST, "acknowledged jobs are not there")                       \
	X(UNDONE, "acknowledged outcomes are not there")                 \
	X(REVIVED, "deleted jobs are there")                             \
	X(INVENTED, "jobs are there that were refused, or that"          \
		    " nobody asked for")                                 \
	X(SPLIT, "a batch is there in part")                             \
	X(EFFECTS, "effects are there without their completion, or the " \
		   "reverse")

enum ledger_wrong {
#define LEDGER_WRONG_ENUM(name, text) LEDGER_##name,
	LEDGER_WRONG_TABLE(LEDGER_WRONG_ENUM)
#undef LEDGER_WRONG_ENUM
		LEDGER_WRONGS
};

const char *ledger_wrong_text(enum ledger_wrong wrong);

/* A row for so many jobs of one batch, in flight.  The first one's number. */
unsigned ledger_insert(struct ledger *ledger, unsigned count);
/* The answer. */
void ledger_inserted(struct ledger *ledger, unsigned first, unsigned count,
		     const weir_inserted *rets, weir_status status);

/* Something is asked about it. */
void ledger_ask(struct ledger *ledger, unsigned job, bool deletes);
/* It was refused: all is as before. */
void ledger_denied(struct ledger *ledger, unsigned job);
/* It is in that state. */
void ledger_is(struct ledger *ledger, unsigned job, weir_state state,
	       unsigned attempt_min);
/* It may end at any time, for it is to be cancelled. */
void ledger_open(struct ledger *ledger, unsigned job);
void ledger_deleted(struct ledger *ledger, unsigned job);

/* Is it completed only together with its row in `effect`?  Every other one. */
static inline bool
ledger_once(unsigned job)
{
	return job % 2 == 0;
}

/* The number in a job's args, {"n":12}; -1: there is none. */
long ledger_number(const char *args);

/*
 * Hold the database at path against it.  wrongs counts databases with each
 * wrong.  lenient: jobs whose insert was refused may be there, as they may
 * after a power loss.  True: nothing is wrong but what is in the set allowed,
 * of 1 << LEDGER_...; else it is told on stderr.
 */
bool ledger_judge(struct ledger *ledger, const char *path, bool lenient,
		  unsigned allowed, uint64_t wrongs[LEDGER_WRONGS]);

#endif
