/*
 * Isolated jobs, as the pool sees them: jobs that run in a process.
 *
 * The pool knows nothing of processes.  A weir_zygote begins with a table of
 * functions, and a pool that was given one runs its jobs through them; the
 * table, and all that is behind it, is src/isolate.  The core depends on that
 * room by this table only, so that it can be built, and checked, without it.
 *
 *      pool      a weir_isolator, made of the pool's options
 *      worker    a weir_cell: one process, replaced when it dies
 *      job       a weir_call: what goes in, what came out
 *
 * The other side of the process needs something of the core, too: a job in
 * there asks for its id, its attempt, its context (weir/job.h).  A weir_seat
 * gives it these.
 */
#ifndef WEIR_SRC_CORE_ISOLATED_H
#define WEIR_SRC_CORE_ISOLATED_H

#include <weir/pool.h>

struct weir_isolator;
struct weir_cell;
struct weir_record;

/* So many workers may a job kill; then it is tried no more. */
#define WEIR_POISON_KILLS 3

/* One job on its way through a process. */
struct weir_call {
	/* written by the pool */
	struct weir_record *record; /* nobody else looks at it */
	const void *in;
	void *out; /* sent along if this is not the first attempt */
	uint64_t id;
	uint32_t attempt;
	int64_t timeout_ns;  /* from the job's start in there, or FOREVER */
	int64_t deadline_ns; /* of whoever submitted it, or FOREVER */
	const weir_retry *retry;
	uint64_t number; /* on its way, not 0; the cell's and the seat's */

	/* written by the cell; all but ended only if that is set */
	bool ended;
	bool died; /* and took its process along */
	weir_status status;
	int64_t retry_after_ns; /* negative: as the policy says */
	char error[WEIR_ERROR_MAX];
};

struct weir_isolator_ops {
	/*
	 * For a pool with these options, and for its end.  WEIR_OK,
	 * WEIR_INVAL, WEIR_NOMEM.
	 */
	weir_status (*open)(struct weir_zygote *zygote,
			    const weir_pool_options *options,
			    struct weir_isolator **out);
	void (*close)(struct weir_isolator *isolator);
	/*
	 * A process for a worker, on the worker's own thread; init has run in
	 * it.  WEIR_OK, WEIR_NOMEM, WEIR_SYSTEM, or what init returned.
	 */
	weir_status (*cell_new)(struct weir_isolator *isolator, uint32_t worker,
				struct weir_cell **out);
	/* exit runs in the process, and then it is gone. */
	void (*cell_free)(struct weir_cell *cell);
	/*
	 * Run calls one after the other, in this order.  Returns when all have
	 * ended; or one has died; or after a millisecond or so.  The cell may
	 * change the order of the array: those that were begun come first,
	 * their number is returned, and all of them have ended but perhaps
	 * the last; the others are not going to begin.  0 is an answer as
	 * well.  ctx is done when the first call is to be given up.
	 */
	size_t (*run)(struct weir_cell *cell, struct weir_call *calls,
		      size_t count, weir_ctx *ctx);
	/*
	 * Wait for the one that had not ended; when ctx is done it is told,
	 * and killed if it does not listen.
	 */
	void (*finish)(struct weir_cell *cell, struct weir_call *call,
		       weir_ctx *ctx);
};

/* src/isolate has the rest of it. */
struct weir_zygote {
	const struct weir_isolator_ops *ops;
};

/* What src/isolate made for this pool; NULL if its jobs are not isolated. */
struct weir_isolator *weir__pool_isolator(const weir_pool *pool);

/* seat.c: where a job sits in its process. */

struct weir_seat;

/*
 * For the jobs of a process that stands in for a worker; state is what init
 * left.  NULL: no memory.
 */
struct weir_seat *weir__seat_new(const weir_pool_options *options,
				 uint32_t worker, void *state);
void weir__seat_free(struct weir_seat *seat);
/*
 * Run a job on this thread.  id, attempt, retry, number and the two times of
 * *call are read, what the cell is to write is written.
 */
void weir__seat_run(struct weir_seat *seat, struct weir_call *call,
		    const void *in, void *out);
/*
 * The context of the job that runs is done from here on, and that of the job
 * of this number if it is yet to run; 0 is no job's.  From a handler of
 * signals, on the thread of weir__seat_run(): it takes no lock.
 */
void weir__seat_cancel(struct weir_seat *seat, uint64_t number);

#endif
