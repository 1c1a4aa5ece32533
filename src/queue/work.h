/*
 * Working a store, from the inside: the loop between a store and whatever runs
 * its jobs.
 *
 *      store <── turn: finishes, wants ── loop <── give ── lane
 *            ─── batch of claims ───────>      ── take ──>
 *
 * A lane is what runs jobs: a pool of C functions (work_pool.c), or, in the
 * command, children of src/exec or transfers of src/fetch.  All of them see
 * these few calls and nothing of the store.
 *
 * The loop is one thread of its own.  Each round it takes along the outcomes
 * that have come since the last, asks for as many jobs as there is room for,
 * and does both in one commit; while that is under way the next outcomes come
 * together.  So batches are as large as the store is slow, and when there is
 * little to do nothing waits for company.
 */
#ifndef WEIR_SRC_QUEUE_WORK_H
#define WEIR_SRC_QUEUE_WORK_H

#include "queue/store.h"

#include <weir/work.h>

/*
 * What came of an attempt, as a lane tells it; zeroed but for the two times
 * (WEIR_OUTCOME_INIT).  The status is what a handler would return; see
 * weir_handler.  Texts are copied.
 */
struct weir_outcome {
	weir_status status;
	const char *error; /* one line for people; NULL: by the status */
	const char *trace; /* more of it, such as the end of stderr; or NULL */
	int64_t retry_in_ns; /* -1: as the policy says */
	int64_t snooze_ns;   /* -1: it is no snooze */
	bool cancel;         /* never again, and call it cancelled */
	const char *output;  /* JSON, checked; NULL: none */
	size_t output_len;
};

#define WEIR_OUTCOME_INIT                           \
	{                                           \
		.retry_in_ns = -1, .snooze_ns = -1, \
	}

/*
 * poke    the loop's thread: there may be something to take, or all is over.
 *         May not wait.
 * cancel  the loop's thread: this job, which was taken and not given back, is
 *         to be cancelled; because somebody said so (why NULL), or because it
 *         is not ours any more.  Once for a job.  It may cross with its
 *         weir__work_give() and so come a moment after that has returned; the
 *         claim is still there, and an outcome that was given stays what it
 *         is.  May not wait.
 * ended   the loop's thread: what a job that was given (or given back) has
 *         become, now that it is in the store; finished->status is WEIR_OK,
 *         WEIR_STALE, or what kept it from being written at the very end.  The
 *         claim goes back to its batch after this.  NULL: nobody asks.  May
 *         not wait.
 *
 * claim->lane is the lane's own, from take to ended.
 */
struct weir_lane {
	void (*poke)(void *user);
	void (*cancel)(struct weir_claim *claim, void *user);
	void (*ended)(struct weir_claim *claim,
		      const struct weir_finish *finish,
		      const struct weir_finished *finished, void *user);
	void *user;
	/* Kinds that it runs, or with kinds_left_out all but these. */
	const char *const *kinds;
	size_t kind_count;
	bool kinds_left_out;
	uint32_t width; /* jobs at once */
};

/*
 * Make a work for that lane: options->handlers count only for the limits of
 * their kinds, and may be none.
 */
WEIR_NODISCARD weir_status weir__work_make(weir_work **out, weir_store *store,
					   const weir_work_options *options,
					   const struct weir_lane *lane,
					   weir_error *reterr);

/* Start the loop; and wait for it to end, when the lane has ended. */
WEIR_NODISCARD weir_status weir__work_begin(weir_work *work,
					    weir_error *reterr);
weir_status weir__work_end(weir_work *work, weir_error *reterr);

/*
 * The next job to run.  Never waits.  WEIR_OK: it is the lane's until it is
 * given back; WEIR_BUSY: none now, there will be a poke; WEIR_CLOSED: there
 * will be none any more.  Any thread.
 */
WEIR_NODISCARD weir_status weir__work_take(weir_work *work,
					   struct weir_claim **ret);

/*
 * It has ended; any thread.  Never waits.  But for its `ended` the claim is not
 * the lane's any more.
 */
void weir__work_give(weir_work *work, struct weir_claim *claim,
		     const struct weir_outcome *outcome);

/*
 * With quiet, claim nothing until told otherwise: what was claimed and not
 * taken goes back, what runs, runs on, and take says BUSY.  Any thread; never
 * waits.
 */
void weir__work_quiet(weir_work *work, bool quiet);

/* It was taken and has not begun: it goes back, as if it had never been. */
void weir__work_give_back(weir_work *work, struct weir_claim *claim);

#endif
