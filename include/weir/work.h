/*
 * weir/work.h - working a store: claim its jobs, run them, write what came of
 * it.
 *
 *      store (weir/queue.h) ──claim──> workers ──outcome──> store
 *                                      (N slots)
 *
 * A process gives functions for the kinds of jobs that it can run, and works
 * until it is stopped:
 *
 *      static weir_status
 *      send_email(weir_ctx *ctx, const void *in, void *out, void *user)
 *      {
 *              const weir_job_row *job = in;
 *              ...
 *      }
 *
 *      weir_handler handlers[] = {{.size = sizeof(weir_handler),
 *                                  .kind = "email", .run = send_email}};
 *      weir_work_options work_options = WEIR_WORK_OPTIONS_INIT;
 *
 *      work_options.handlers = handlers;
 *      work_options.handler_count = 1;
 *      status = weir_work_new(&work, store, &work_options, &error);
 *      status = weir_work_run(work, ctx, &error);
 *
 * It is a part of libweir-queue, like weir/queue.h, which says what is
 * promised.
 */
#ifndef WEIR_WORK_H
#define WEIR_WORK_H

#include <weir/pool.h>
#include <weir/queue.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What claims jobs of a store and runs them.  Opaque. */
typedef struct weir_work weir_work;

/*
 * How jobs of a kind are run.  The function has the shape of every job of
 * this library: in is a `const weir_job_row *`, out is NULL.
 *
 * What it returns decides:
 *
 *   WEIR_OK         completed
 *   WEIR_PERMANENT  discarded: another attempt cannot help
 *   WEIR_CANCELED   because of a shutdown: available again, and the attempt
 *                   does not count; because the job was cancelled: cancelled
 *   others          retryable, or discarded after the last attempt
 *
 * or one of weir_job_snooze() and weir_job_cancel(), returned.
 *
 * size        sizeof(weir_handler).
 * kind        which; the text must stay.
 * run, user   the function, and its last argument.
 * timeout_ns  of an attempt; 0: as weir_work_options says.
 * width       so many at once in this process; 0: any.
 * rate        starts a second in this process, a twentieth of a second's
 *             worth of them at once; 0: any.
 * retry       when to try again, NULL: River's curve, attempts^4 seconds.
 */
typedef struct weir_handler {
	size_t size;
	const char *kind;
	weir_job_fn *run;
	void *user;
	int64_t timeout_ns;
	uint32_t width;
	double rate;
	const weir_retry *retry;
} weir_handler;

/* A queue to work, and how many of its jobs at once; 0: as many as fit. */
typedef struct weir_work_queue {
	const char *name;
	uint32_t width;
} weir_work_queue;

/* Jobs whose kind has no handler: left to others, or failed, as River does. */
typedef enum weir_unknown_kind {
	WEIR_UNKNOWN_LEAVE = 0,
	WEIR_UNKNOWN_FAIL = 1
} weir_unknown_kind;

/*
 * How a store is worked.
 *
 * size        sizeof(weir_work_options).
 * queues, queue_count  which; none means "default".  Texts must stay.
 * handlers, handler_count  required; copied, with the stride of the first's
 *             size.
 * unknown     see weir_unknown_kind.
 * workers     jobs at once, threads; 0 means 16.
 * prefetch    jobs claimed ahead of what runs; 0: by how long jobs take.
 * alone       this process is the only one that works this store (others may
 *             insert and look): claims are then kept in memory, which is
 *             faster.  Refused while another works it, and the reverse.
 * until_empty end when no job of these queues is available or running here;
 *             those that are due later are left.
 * timeout_ns  of an attempt; 0: none.
 * crashes_max a job with which so many workers have died is discarded as
 *             poison; 0 means 3.
 * beat_ns, dead_ns   how often a worker says that it is alive, and after how
 *             long without that it is dead; 0: 3 s and 10 s.
 * completed_ns, cancelled_ns, discarded_ns   how long jobs in these states
 *             are kept: 0: 24 h, 24 h, 7 days; WEIR_FOREVER: for ever.
 * trouble     called when the store cannot be used just now (the disk is
 *             full, somebody holds it): the work goes on trying.  Once for
 *             each time of trouble, and once with NULL when it is over.
 * user        its argument.
 */
typedef struct weir_work_options {
	size_t size;
	const weir_work_queue *queues;
	size_t queue_count;
	const weir_handler *handlers;
	size_t handler_count;
	weir_unknown_kind unknown;
	uint32_t workers, prefetch;
	bool alone, until_empty;
	int64_t timeout_ns;
	uint32_t crashes_max;
	int64_t beat_ns, dead_ns;
	int64_t completed_ns, cancelled_ns, discarded_ns;
	void (*trouble)(const weir_error *error, void *user);
	void *user;
} weir_work_options;

WEIR_OPTIONS_TYPE(weir_work_options)

#ifdef __cplusplus
#define WEIR_WORK_OPTIONS_INIT weir_work_options_make()
#else
#define WEIR_WORK_OPTIONS_INIT                    \
	{                                         \
		.size = sizeof(weir_work_options) \
	}
#endif

/*
 * Make it; nothing is claimed yet.
 *
 * Waits:   for the disk.
 * Threads: any.
 * Owns:    the caller owns *out; store must outlive it.
 * Returns: WEIR_OK; WEIR_INVAL, WEIR_BUSY (somebody works the store alone, or
 *          `alone` was asked for and somebody works it), WEIR_NOMEM,
 *          WEIR_SYSTEM, WEIR_CORRUPT.
 */
WEIR_API WEIR_NODISCARD weir_status
weir_work_new(weir_work **out, weir_store *store,
	      const weir_work_options *options, weir_error *reterr);

/*
 * Work until weir_work_stop(), until there is nothing left (until_empty), or
 * until ctx is done, which is the same as weir_work_stop(work, true).  When
 * it returns no job of ours runs, and none is left claimed.
 *
 * Waits:   as above.
 * Threads: one call; stop and stats may go on beside it.
 * Owns:    nothing.
 * Returns: WEIR_OK; WEIR_INVAL (it was run before); WEIR_NOMEM, WEIR_SYSTEM
 *          (a thread could not be made; nothing ran), WEIR_CORRUPT (the store
 *          is damaged); after a stop with now, WEIR_BUSY, WEIR_NOMEM or
 *          WEIR_SYSTEM if the store has not taken the last outcomes for 5 s:
 *          those jobs will run again.
 */
WEIR_API WEIR_NODISCARD weir_status weir_work_run(weir_work *work,
						  weir_ctx *ctx,
						  weir_error *reterr);

/*
 * Claim nothing more.  What was claimed and has not begun goes back; what
 * runs, runs to its end or, with now, is cancelled and goes back too.
 *
 * Waits:   never.
 * Threads: any.
 * Owns:    nothing.
 * Returns: nothing.
 */
WEIR_API void weir_work_stop(weir_work *work, bool now);

/*
 * Free it.  NULL is fine.
 *
 * Waits:   for the disk.
 * Threads: no other call on it may be in progress or follow.
 * Owns:    takes work.
 * Returns: NULL.
 */
WEIR_API weir_work *weir_work_free(weir_work *work);

/*
 * What a work is doing.  A plain value; size is set by the caller.
 *
 * Gauges: running, claimed (waiting to run).  Counters: the outcomes;
 * released (handed back), stale (outcomes that came too late), rescued (jobs
 * of dead workers that we put back).
 */
typedef struct weir_work_stats {
	size_t size;
	uint32_t running, claimed;
	uint64_t completed, retried, discarded, cancelled, snoozed;
	uint64_t released, stale, rescued;
} weir_work_stats;

WEIR_OPTIONS_TYPE(weir_work_stats)

/*
 * Read the statistics.
 *
 * Waits:   never.
 * Threads: any.
 * Owns:    *ret is the caller's; as much is written as its size covers.
 * Returns: nothing.
 */
WEIR_API void weir_work_get_stats(weir_work *work, weir_work_stats *ret);

/*
 * Run it again after delay_ns; this attempt does not count.  To be returned:
 * `return weir_job_snooze(job, 5 * WEIR_S);`
 *
 * Waits:   never.
 * Threads: the job's own.
 * Owns:    job is what the handler was given as its in.
 * Returns: what the handler has to return.
 */
WEIR_API weir_status weir_job_snooze(const weir_job_row *job, int64_t delay_ns);

/*
 * Never run it again, and call it cancelled.  To be returned.
 *
 * Waits:   never.
 * Threads: the job's own.
 * Owns:    copies why.
 * Returns: what the handler has to return.
 */
WEIR_API weir_status weir_job_cancel(const weir_job_row *job, const char *why);

/*
 * If this attempt fails, try again after delay_ns, whatever the policy says.
 *
 * Waits:   never.
 * Threads: the job's own.
 * Owns:    nothing.
 * Returns: nothing.
 */
WEIR_API void weir_job_retry_in(const weir_job_row *job, int64_t delay_ns);

/*
 * Keep this JSON value with the job, as its output.
 *
 * Waits:   never.
 * Threads: the job's own.
 * Owns:    copies json; len 0: it ends with a NUL byte.
 * Returns: WEIR_OK, WEIR_INVAL (not JSON, or longer than WEIR_ARGS_MAX),
 *          WEIR_NOMEM.
 */
WEIR_API WEIR_NODISCARD weir_status weir_job_output(const weir_job_row *job,
						    const char *json,
						    size_t len);

/*
 * Complete the job inside a transaction of the caller's own on the caller's
 * own connection to the same database file: what else is in that transaction
 * and the job's completion are committed together, or neither is.  After
 * WEIR_STALE the transaction must be rolled back: somebody else has the job.
 * The handler then returns WEIR_OK after the commit.
 *
 * Waits:   for the database's write lock, as the caller's connection does.
 * Threads: the job's own.
 * Owns:    nothing.
 * Returns: WEIR_OK, WEIR_STALE, WEIR_INVAL (db has no transaction, or is
 *          another database), WEIR_BUSY, WEIR_NOMEM, WEIR_SYSTEM,
 *          WEIR_CORRUPT.
 */
WEIR_API WEIR_NODISCARD weir_status weir_job_complete_tx(
	const weir_job_row *job, struct sqlite3 *db, weir_error *reterr);

#ifdef __cplusplus
}
#endif

#endif
