/*
 * weir/pool.h - a bounded pool of workers that loses nothing.
 *
 *      source  ->  jobs      ->  workers  ->  results   ->  sink
 *                  (bounded)     (N slots)    (bounded)
 *
 * A pool runs jobs in N slots.  Everything is bounded: at most queue jobs
 * wait, at most N run, and a job only starts when there is room for its
 * result.  Jobs and outputs are values of the caller's own types, copied in
 * and out; after weir_pool_new() a pool takes no memory.
 *
 * The promise: each job that was accepted gives exactly one result - ok,
 * failed, timed out, cancelled - or is handed back unstarted, and at every
 * instant
 *
 *      accepted = delivered + handed back + still inside.
 *
 * There are two forms over one engine.
 *
 * Push: the program submits jobs and collects results, from any threads.
 *
 *      weir_pool_options options = WEIR_POOL_OPTIONS_INIT;
 *      weir_pool *pool;
 *
 *      options.workers = 8;
 *      options.queue = 64;
 *      options.in_size = sizeof(struct url);
 *      options.out_size = sizeof(struct page);
 *      options.run = fetch_page;
 *      status = weir_pool_new(&pool, &options);
 *
 *      one thread:                        another thread:
 *      while (next_url(&url))             while (weir_pool_next(pool, &result,
 *              weir_pool_submit(pool,            &page, ctx) == WEIR_OK)
 *                      &url, NULL, ctx);         keep(&result, &page);
 *      weir_pool_close(pool);
 *
 * A trap: one thread that submits everything before it collects anything
 * stands still as soon as the queue and the results are full.  Use two
 * threads, or a `done` callback, or the pull form, or weir_pool_map(), which
 * does both sides on one thread.
 *
 * Pull: the pool asks a source callback for jobs and gives results to a sink
 * callback, and weir_pool_run() returns when the source is exhausted.  No
 * thread exists only to move things, which makes this the fastest form.
 *
 * Jobs come in two kinds as well.  A plain job is a function that runs on a
 * worker's thread (`run`).  An asynchronous job (`start`) is begun by a
 * worker, which goes on to begin others; the job occupies its slot until
 * somebody calls weir_job_done().  One reactor thread holds hundreds of
 * transfers or child processes that way, with the same slots, time-outs,
 * retries and exactly-once results.
 */
#ifndef WEIR_POOL_H
#define WEIR_POOL_H

#include <stdbool.h>
#include <weir/base.h>
#include <weir/ctx.h>
#include <weir/limit.h>
#include <weir/retry.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct weir_pool weir_pool;

/* One slot and the job in it, as an asynchronous job sees itself. */
typedef struct weir_job weir_job;

/*
 * What came of a job.  A plain value.
 *
 * id        the number that submit gave it; ids count from 1.
 * status    WEIR_OK or why not.
 * attempts  how often it was started; 0 if it never was.
 * worker    index of the worker that ran the last attempt.
 * wait_ns   from acceptance to the first start (or to the end, if there was
 *           no start).
 * run_ns    inside attempts, all of them together.  Jobs of a few
 *           microseconds are timed a batch at a time and get an equal share.
 * total_ns  from acceptance to the end, back-off included.
 * error     one line; empty with WEIR_OK.
 */
typedef struct weir_result {
	uint64_t id;
	weir_status status;
	uint32_t attempts;
	uint32_t worker;
	int64_t wait_ns, run_ns, total_ns;
	char error[WEIR_ERROR_MAX];
} weir_result;

/* The most urgent and the least urgent priority, and that of 0. */
#define WEIR_PRIORITY_FIRST 1
#define WEIR_PRIORITY_LAST  4

/*
 * What may differ from job to job.  0 everywhere means: as the pool says.
 *
 * size        sizeof(weir_job_options).
 * priority    1 (first) to 4 (last); 0 means 1.  A job waits while any of a
 *             smaller number wait.
 * timeout_ns  per attempt; WEIR_FOREVER for none, whatever the pool says.
 * retry       a policy instead of the pool's; copied.
 * key         jobs of one key other than 0 run at most key_slots at a time.
 */
typedef struct weir_job_options {
	size_t size;
	uint32_t priority;
	int64_t timeout_ns;
	const weir_retry *retry;
	uint64_t key;
} weir_job_options;

WEIR_OPTIONS_TYPE(weir_job_options)

#define WEIR_JOB_OPTIONS_INIT                           \
	{                                               \
		sizeof(weir_job_options), 0, 0, NULL, 0 \
	}

/*
 * A plain job.  ctx is done when the attempt times out, when the pool or the
 * context of the submit call is cancelled; a job that runs for long looks at
 * it, or waits with it.  ctx lives until the function returns, unless the job
 * takes a reference.
 *
 * out is zeroed before the first attempt only, so that an attempt can leave
 * something for the next one there.
 *
 * Waits:   as it likes; its worker waits with it.
 * Threads: a worker's; as many at once as there are workers.
 * Owns:    in and out are lent until it returns.
 * Returns: WEIR_OK, or any other status as the job's own; if ctx is done by
 *          then, any other status counts as the context's.
 */
typedef weir_status weir_job_fn(weir_ctx *ctx, const void *in, void *out,
				void *user);

/*
 * Begin an asynchronous job and return at once.  WEIR_OK means that somebody
 * calls (or has already called) weir_job_done(job); any other status means
 * that the attempt is over with it and that nobody will.
 *
 * Waits:   must not: other jobs of the worker would wait with it.
 * Threads: a worker's; as many at once as there are threads.
 * Owns:    ctx, job, in and out are lent until weir_job_done().
 * Returns: WEIR_OK (begun), or any other status as the attempt's end.
 */
typedef weir_status weir_job_start_fn(weir_ctx *ctx, weir_job *job,
				      const void *in, void *out, void *user);

/*
 * The attempt's context is done: end it soon.  Called at most once an
 * attempt, on the thread that started it, and only before weir_job_done() is
 * called on that same thread.  The job still has to call weir_job_done(), now
 * or later; until then it keeps its slot.  When weir_job_done() is called on
 * other threads, the two may cross.
 *
 * Waits:   must not, like start.
 * Threads: the one that called start.
 * Owns:    ctx and job are lent.
 * Returns: nothing.
 */
typedef void weir_job_cancel_fn(weir_ctx *ctx, weir_job *job, void *user);

/*
 * Give the next job: write in_size bytes to ret_in and, if the job differs
 * from the rest, to *ret_options, which starts out as INIT.  The pool calls
 * it from one thread at a time, and not before there is a place for the job.
 * It may wait, under ctx, when jobs are plain; a source of asynchronous jobs
 * must not, for it would hold up the running ones.  While a source waits, the
 * jobs that it gave for the same batch wait as well; a pool whose source may
 * wait long, or waits for what its own jobs bring about, sets batch_max to 1.
 *
 * Waits:   see above.
 * Threads: any worker, one at a time.
 * Owns:    ret_in and ret_options are lent; the job is the pool's with
 *          WEIR_OK.
 * Returns: WEIR_OK, WEIR_CLOSED (no more, for good), WEIR_BUSY (nothing just
 *          now: the pool asks again after weir_pool_poke(), when a job ends,
 *          or when its wait callback returns).  Any other status ends intake
 *          as CLOSED does, and weir_pool_run() returns it.
 */
typedef weir_status weir_source_fn(weir_ctx *ctx, void *ret_in,
				   weir_job_options *ret_options, void *user);

/*
 * Take a result.  A sink is called from one thread at a time, a `done`
 * callback from all workers at once; both with no lock of the pool's that
 * other calls need, so they may submit to other pools and read statistics.
 *
 * Waits:   as it likes; it holds up its worker, and a sink all others that
 *          have results.  That is how backpressure goes from one pool to the
 *          one before it.
 * Threads: workers, and threads inside weir_pool_shutdown_soon() or _now();
 *          for drop, the one that frees the pool.
 * Owns:    all pointers are lent; what in and out point to is the callback's.
 * Returns: nothing.
 */
typedef void weir_result_fn(const weir_result *result, const void *in,
			    void *out, void *user);

/*
 * A job that comes back unstarted.
 *
 * Waits:   as it likes; the shutdown waits for it.
 * Threads: the one that called the shutdown.
 * Owns:    in is lent, what it points to is the host's again.
 * Returns: nothing.
 */
typedef void weir_unstarted_fn(uint64_t id, const void *in, void *user);

/*
 * Called on each worker's own thread before its first job and after its last
 * one.  What init leaves in *ret_state is the worker's and is given to jobs
 * by weir_job_state().
 *
 * Waits:   as it likes; whoever started the workers waits for init.
 * Threads: the worker's own, several workers at once.
 * Owns:    the state is the worker's until exit, which disposes of it.
 * Returns: init: WEIR_OK; any other status ends weir_pool_new(),
 *          weir_pool_resize() or weir_pool_run() with it, and exit is not
 *          called for this worker.
 */
typedef weir_status weir_worker_init_fn(uint32_t worker, void **ret_state,
					void *user);
typedef void weir_worker_exit_fn(uint32_t worker, void *state, void *user);

/*
 * How a worker of asynchronous jobs waits: handle events until one of them
 * may have ended a job, deadline_ns passes (WEIR_FOREVER: no deadline; the
 * clock is weir_now_ns()), or the wake callback is called for this worker,
 * even if that was before the wait began.  Returning early is always fine.
 *
 * hungry says that the source was BUSY: a reactor that knows what the source
 * waits for can wait for that as well.
 *
 * Waits:   as above.
 * Threads: the worker's own.
 * Owns:    the state is lent.
 * Returns: nothing.
 */
typedef void weir_worker_wait_fn(void *state, int64_t deadline_ns, bool hungry,
				 void *user);

/*
 * End the wait above.
 *
 * Waits:   must not, and must not call the pool: its locks may be held.
 * Threads: any, at any time between init and exit.
 * Owns:    the state is lent.
 * Returns: nothing.
 */
typedef void weir_worker_wake_fn(void *state, void *user);

/* Where jobs run: on the workers' threads, or in processes of their own. */
typedef enum weir_isolation {
	WEIR_ISOLATE_NONE = 0,
	WEIR_ISOLATE_PROCESS = 1
} weir_isolation;

struct weir_zygote;          /* weir/isolate.h */
struct weir_isolate_options; /* the same */

/*
 * How a pool is made.  Start from WEIR_POOL_OPTIONS_INIT (or, from C++ and
 * other languages, weir_pool_options_init()) and set what you need; 0 and
 * NULL mean the default.
 *
 * size        sizeof(weir_pool_options); how the struct can grow later.
 * name        for statistics and crash lines, copied, cut at 31 bytes;
 *             "pool" if NULL.
 * workers     slots: how many jobs run at once.  Required.
 * queue       how many accepted jobs may wait.  Required in push form.  In
 *             pull form jobs wait only for a key or between attempts, and
 *             workers + queue is the most that are inside at once; 0 gives
 *             queue = workers there.
 * results     places for jobs that have left the queue, in push form: those
 *             that run, wait for a key or between attempts, and results that
 *             wait to be taken.  A job leaves the queue only into a free
 *             one, so many jobs in back-off, or of one key, hold up others
 *             unless this is large.  At least workers, which is also the
 *             least it is raised to.  0 means queue + workers.
 * in_size     bytes of a job; may be 0.
 * out_size    bytes of its output; may be 0.
 * run         the plain job; exactly one of run and start is set.
 * start       the asynchronous job.
 * cancel      see weir_job_cancel_fn; NULL if jobs watch their context.
 * source      set: pull form.  sink must be set too.
 * sink        results in pull form.
 * done        results in push form go here instead of to weir_pool_next().
 * drop        weir_pool_free() gives results that nobody took to it, and
 *             jobs that never started as WEIR_CANCELED with 0 attempts.
 * user        last argument of every callback above and below.
 * init, exit  see weir_worker_init_fn.
 * wait, wake  how workers of asynchronous jobs wait; both or neither.
 * threads     workers (threads) that share the slots of asynchronous jobs;
 *             0 means 1, and it is never more than workers, nor changed by a
 *             resize.  Plain jobs have a thread per slot.
 * retry       the policy for failed attempts; all zero: no retry.
 * timeout_ns  per attempt; 0 or WEIR_FOREVER means none.
 * limit       each attempt takes a token first; shared, must outlive the
 *             pool.
 * key_slots   at most so many jobs of one key run at once; 0: any number.
 * stack_size  bytes of stack of each worker thread; 0: the system's default.
 * batch_max   how many jobs a worker may take at a time, up to 32; 0 leaves
 *             it to the pool, which takes several only while jobs (and the
 *             source) take a few microseconds.  A worker gives the results of
 *             a batch together, so one job that turns out long holds up those
 *             of its batch: in push form for a few milliseconds, after which
 *             others take them over, in pull form until it ends.  With `done`
 *             it is always 1.
 * caller_helps  push form, plain jobs: a thread that would wait in submit or
 *             next runs a short job instead, in the slot and with the state
 *             of a worker that sleeps.  No handing over between threads, so
 *             it is the fastest way when jobs take a microsecond or two; long
 *             jobs are left to the workers.  Jobs must not mind on which
 *             thread they run.
 * isolate     WEIR_ISOLATE_PROCESS: each worker has a process for its jobs,
 *             so that one that crashes is a result and no more; see
 *             weir/isolate.h.  Plain jobs only, without caller_helps.
 * zygote      where those processes come from; required for them, and must
 *             outlive the pool.
 * isolate_options  limits and the like of those processes, copied; NULL: the
 *             defaults.
 */
typedef struct weir_pool_options {
	size_t size;
	const char *name;
	uint32_t workers, queue, results;
	size_t in_size, out_size;
	weir_job_fn *run;
	weir_job_start_fn *start;
	weir_job_cancel_fn *cancel;
	weir_source_fn *source;
	weir_result_fn *sink;
	weir_result_fn *done;
	weir_result_fn *drop;
	void *user;
	weir_worker_init_fn *init;
	weir_worker_exit_fn *exit;
	weir_worker_wait_fn *wait;
	weir_worker_wake_fn *wake;
	uint32_t threads;
	weir_retry retry;
	int64_t timeout_ns;
	weir_limit *limit;
	uint32_t key_slots;
	size_t stack_size;
	uint32_t batch_max;
	bool caller_helps;
	weir_isolation isolate;
	struct weir_zygote *zygote;
	const struct weir_isolate_options *isolate_options;
} weir_pool_options;

WEIR_OPTIONS_TYPE(weir_pool_options)

#ifdef __cplusplus
#define WEIR_POOL_OPTIONS_INIT weir_pool_options_make()
#else
#define WEIR_POOL_OPTIONS_INIT                    \
	{                                         \
		.size = sizeof(weir_pool_options) \
	}
#endif

/* The largest number of workers, and of queued jobs. */
#define WEIR_POOL_WORKERS_MAX 16384
#define WEIR_POOL_QUEUE_MAX   (1 << 24)

/*
 * Make a pool.  In push form its workers start now and wait for jobs; in pull
 * form they start with weir_pool_run().  All memory is taken here.
 *
 * Waits:   for the init callbacks of all workers, if there are any.
 * Threads: any.
 * Owns:    copies *options; the caller owns *out and ends it with
 *          weir_pool_free().
 * Returns: WEIR_OK; WEIR_INVAL (the options contradict each other or have an
 *          unknown tail that is not zero), WEIR_NOMEM, WEIR_SYSTEM (a
 *          thread could not be made), or what an init callback returned.
 */
WEIR_API WEIR_NODISCARD weir_status
weir_pool_new(weir_pool **out, const weir_pool_options *options);

/*
 * Shut the pool down now (see weir_pool_shutdown_now()), wait for what runs,
 * and free everything.  Results that nobody took go to the drop callback.
 * NULL is fine.
 *
 * Waits:   until the jobs that run have returned.
 * Threads: no other call on pool may be in progress or follow; never from a
 *          job or callback of this pool.
 * Owns:    takes pool.
 * Returns: NULL.
 */
WEIR_API weir_pool *weir_pool_free(weir_pool *pool);

/*
 * Submit a job, waiting while the queue is full.  ret_id may be NULL.
 *
 * The job runs under ctx: when ctx is done before the job has started, the
 * job comes out as a result with that status and 0 attempts; when it runs,
 * its own context is done as well.  The pool keeps a reference to ctx.
 *
 * Waits:   for room in the queue, until the pool is closed or ctx is done.
 * Threads: any.
 * Owns:    copies *in; with anything but WEIR_OK it stays the caller's.
 * Returns: WEIR_OK, WEIR_CLOSED, WEIR_CANCELED, WEIR_TIMEDOUT, WEIR_DEADLOCK
 *          (it would wait, and this thread is a worker of the pool),
 *          WEIR_INVAL (the pool is in pull form, or in is NULL).
 */
WEIR_API WEIR_NODISCARD weir_status weir_pool_submit(weir_pool *pool,
						     const void *in,
						     uint64_t *ret_id,
						     weir_ctx *ctx);

/*
 * The same with options of its own.
 *
 * Waits:   for room in the queue, until the pool is closed or ctx is done.
 * Threads: any.
 * Owns:    copies *in and *options; with anything but WEIR_OK what *in
 *          points to stays the caller's.
 * Returns: WEIR_OK, WEIR_CLOSED, WEIR_CANCELED, WEIR_TIMEDOUT,
 *          WEIR_DEADLOCK, WEIR_INVAL (pull form, or a bad option).
 */
WEIR_API WEIR_NODISCARD weir_status weir_pool_submit_with(
	weir_pool *pool, const void *in, const weir_job_options *options,
	uint64_t *ret_id, weir_ctx *ctx);

/*
 * Submit a job if there is room now.  options and ret_id may be NULL; ctx is
 * the job's, as above, and is not waited with.
 *
 * Waits:   never.
 * Threads: any, workers of the pool too.
 * Owns:    copies *in and *options; with anything but WEIR_OK what *in
 *          points to stays the caller's.
 * Returns: WEIR_OK, WEIR_BUSY (full), WEIR_CLOSED, WEIR_INVAL.
 */
WEIR_API WEIR_NODISCARD weir_status weir_pool_try_submit(
	weir_pool *pool, const void *in, const weir_job_options *options,
	uint64_t *ret_id, weir_ctx *ctx);

/*
 * Submit count jobs, which lie one behind the other at ins, in order.  Some may
 * have been accepted, and run, when it gives up; *ret_accepted says how many,
 * whatever it returns.  Their ids follow one another if nobody else submits.
 *
 * Waits:   for room in the queue, until the pool is closed or ctx is done.
 * Threads: any.
 * Owns:    copies what it accepts; the rest stays the caller's.
 * Returns: WEIR_OK (all of them), WEIR_CLOSED, WEIR_CANCELED, WEIR_TIMEDOUT,
 *          WEIR_DEADLOCK (it would wait, and this thread is a worker of the
 *          pool), WEIR_INVAL.
 */
WEIR_API WEIR_NODISCARD weir_status weir_pool_submit_many(weir_pool *pool,
							  const void *ins,
							  size_t count,
							  size_t *ret_accepted,
							  weir_ctx *ctx);

/*
 * Take the oldest result, waiting for one.  ret_out receives the job's output
 * and may be NULL.  After the pool is closed and the last result has been
 * taken, the answer is WEIR_CLOSED.
 *
 * Waits:   for a result, until there can be none any more or ctx is done.
 * Threads: any number of collectors.
 * Owns:    *ret and *ret_out are the caller's.
 * Returns: WEIR_OK, WEIR_CLOSED, WEIR_CANCELED, WEIR_TIMEDOUT, WEIR_DEADLOCK
 *          (it would wait, and this thread is a worker of the pool),
 *          WEIR_INVAL (pull form, or results go to `done`).
 */
WEIR_API WEIR_NODISCARD weir_status weir_pool_next(weir_pool *pool,
						   weir_result *ret,
						   void *ret_out,
						   weir_ctx *ctx);

/*
 * Take up to max results, waiting until there is at least one.  rets has room
 * for max results, ret_outs, which may be NULL, for max outputs of out_size
 * bytes each.  *ret_count is how many there are.
 *
 * Waits:   for a result, until there can be none any more or ctx is done.
 * Threads: any number of collectors.
 * Owns:    *rets, *ret_outs and *ret_count are the caller's; they are written
 *          with WEIR_OK only.
 * Returns: WEIR_OK, WEIR_CLOSED, WEIR_CANCELED, WEIR_TIMEDOUT, WEIR_DEADLOCK
 *          (it would wait, and this thread is a worker of the pool),
 *          WEIR_INVAL (pull form, results go to `done`, or max is 0).
 */
WEIR_API WEIR_NODISCARD weir_status
weir_pool_next_many(weir_pool *pool, weir_result *rets, void *ret_outs,
		    size_t max, size_t *ret_count, weir_ctx *ctx);

/*
 * Take a result if there is one now.
 *
 * Waits:   never.
 * Threads: any number of collectors.
 * Owns:    *ret and *ret_out are the caller's.
 * Returns: WEIR_OK, WEIR_BUSY (none yet), WEIR_CLOSED, WEIR_INVAL.
 */
WEIR_API WEIR_NODISCARD weir_status weir_pool_try_next(weir_pool *pool,
						       weir_result *ret,
						       void *ret_out);

/*
 * Run a pool in pull form: take jobs from its source, run them in its slots
 * and give results to its sink, until the source says CLOSED (or intake is
 * shut) and every accepted job has been delivered.  The calling thread is one
 * of the workers.  A pool can be run once.
 *
 * ctx is the parent of every job's context: when it is done, intake ends and
 * running jobs are told.
 *
 * Waits:   until all is done, as above.
 * Threads: one call; all other calls may go on beside it.
 * Owns:    nothing.
 * Returns: WEIR_OK; WEIR_CANCELED or WEIR_TIMEDOUT (ctx was done before all
 *          was delivered); WEIR_INVAL (push form, or run before, or the
 *          source gave a job with bad options, which is lost to it);
 *          WEIR_SYSTEM (a thread could not be made; nothing ran),
 *          WEIR_NOMEM; what a source or an init callback returned.
 */
WEIR_API WEIR_NODISCARD weir_status weir_pool_run(weir_pool *pool,
						  weir_ctx *ctx);

/*
 * Tell a pool in pull form whose source was BUSY that there may be a job now.
 *
 * Waits:   never.
 * Threads: any.
 * Owns:    nothing.
 * Returns: nothing.
 */
WEIR_API void weir_pool_poke(weir_pool *pool);

/*
 * Run one job for each of count inputs and keep the outputs in place: job i
 * reads ins + i * in_size and writes outs + i * out_size, and results[i] says
 * what came of it (results may be NULL).  Makes a pool in pull form from
 * *options, whose source, sink, done and sizes of queues are ignored, runs it
 * and frees it.
 *
 * Waits:   until all jobs are done.  When ctx is done, jobs that have not
 *          started get WEIR_CANCELED or WEIR_TIMEDOUT with 0 attempts.
 * Threads: any; also from inside a job of another pool.
 * Owns:    ins, outs and results stay the caller's.
 * Returns: WEIR_OK (all jobs ok); WEIR_FAILED (all were run, not all are
 *          ok); WEIR_CANCELED, WEIR_TIMEDOUT (by ctx); WEIR_INVAL,
 *          WEIR_NOMEM, WEIR_SYSTEM, or what an init callback returned.
 */
WEIR_API WEIR_NODISCARD weir_status
weir_pool_map(const weir_pool_options *options, const void *ins, void *outs,
	      weir_result *results, size_t count, weir_ctx *ctx);

/*
 * Shut intake: submit gives WEIR_CLOSED from now on, and a source is not
 * asked again.  What was accepted still runs.  Closing again does nothing.
 *
 * Waits:   never.
 * Threads: any, also from jobs and callbacks.
 * Owns:    nothing.
 * Returns: nothing.
 */
WEIR_API void weir_pool_close(weir_pool *pool);

/*
 * Three ways to shut down, each stronger than the one before, each
 * idempotent and safe from any thread; the strongest that was asked for wins.
 * All of them shut intake first.
 *
 *                         waits in      between        runs now
 *                         the queue     attempts
 *   shutdown              runs          tried again    runs to its end
 *   shutdown_soon         handed back   cancelled      runs to its end
 *   shutdown_now          handed back   cancelled      is cancelled
 *
 * Jobs in the queue are handed back in the order in which they would have
 * started, through unstarted, on the calling thread; with NULL they come out
 * as results with WEIR_CANCELED and 0 attempts instead, and so do, in pull
 * form, the few that a worker has taken along with the one it runs.  A job
 * that is cancelled between attempts, or would be tried again, gives a result
 * with WEIR_CANCELED and the error of its last attempt.
 *
 * Each call then waits until nothing is left inside except results that wait
 * to be taken.  When ctx is done first the call gives up, the pool goes on
 * draining, and the call may be made again.
 */

/*
 * Drain: finish all that was accepted, retries included.
 *
 * Waits:   until the last job has ended, until ctx is done.
 * Threads: any.
 * Owns:    nothing.
 * Returns: WEIR_OK (drained), WEIR_CANCELED, WEIR_TIMEDOUT (still draining),
 *          WEIR_DEADLOCK (this thread is a worker of the pool; intake is shut
 *          all the same).
 */
WEIR_API WEIR_NODISCARD weir_status weir_pool_shutdown(weir_pool *pool,
						       weir_ctx *ctx);

/*
 * Finish what runs, start nothing more.
 *
 * Waits:   until the last job has ended, until ctx is done.
 * Threads: any; unstarted is called on this one, with no lock held.
 * Owns:    a job given to unstarted is the caller's again.
 * Returns: WEIR_OK (drained), WEIR_CANCELED, WEIR_TIMEDOUT (still draining),
 *          WEIR_DEADLOCK (this thread is a worker of the pool; the rest is
 *          done all the same).
 */
WEIR_API WEIR_NODISCARD weir_status
weir_pool_shutdown_soon(weir_pool *pool, weir_unstarted_fn *unstarted,
			void *user, weir_ctx *ctx);

/*
 * Cancel what runs, start nothing more.  Running jobs still give a result:
 * WEIR_OK if they finish in spite of it.
 *
 * Waits:   until the last job has ended, until ctx is done.
 * Threads: any; unstarted is called on this one, with no lock held.
 * Owns:    a job given to unstarted is the caller's again.
 * Returns: WEIR_OK (drained), WEIR_CANCELED, WEIR_TIMEDOUT (still draining),
 *          WEIR_DEADLOCK (this thread is a worker of the pool; the rest is
 *          done all the same).
 */
WEIR_API WEIR_NODISCARD weir_status
weir_pool_shutdown_now(weir_pool *pool, weir_unstarted_fn *unstarted,
		       void *user, weir_ctx *ctx);

/*
 * Change the number of slots of a live pool.  More slots start at once; with
 * fewer, running jobs finish first and their slots are not used again.
 * Neither the queue nor the results are touched.
 *
 * Waits:   for the init callbacks of new workers, if there are any.
 * Threads: any but workers of this pool.
 * Owns:    nothing.
 * Returns: WEIR_OK; WEIR_CLOSED (it is shutting down); WEIR_INVAL (0 or more
 *          than WEIR_POOL_WORKERS_MAX), WEIR_NOMEM, WEIR_SYSTEM,
 *          WEIR_DEADLOCK, or what an init callback returned; without WEIR_OK
 *          the number is what it was.
 */
WEIR_API WEIR_NODISCARD weir_status weir_pool_resize(weir_pool *pool,
						     uint32_t workers);

/*
 * What a pool is doing.  A plain value; size is set by the caller.
 *
 * Gauges:   workers (slots), busy (running), queued (waiting to start, for a
 *           key too, but not what a worker has taken along), backoff (waiting
 * between attempts), results (waiting to be taken), capacity (the most that can
 * be inside), inside (accepted and not yet delivered or handed back). Counters:
 * accepted, delivered, handed_back, ok, failed (any other end), retries
 * (further attempts decided on), blocked_ns (time that submit calls have waited
 * for room), starved_ns (time that workers have waited for jobs; only counted
 * once a wait is over).
 *
 * accepted = delivered + handed_back + inside, in every snapshot.
 */
typedef struct weir_pool_stats {
	size_t size;
	uint32_t workers, busy, queued, backoff, results, capacity;
	uint64_t inside;
	uint64_t accepted, delivered, handed_back, ok, failed, retries;
	int64_t blocked_ns, starved_ns;
} weir_pool_stats;

WEIR_OPTIONS_TYPE(weir_pool_stats)

#ifdef __cplusplus
#define WEIR_POOL_STATS_INIT weir_pool_stats_make()
#else
#define WEIR_POOL_STATS_INIT                    \
	{                                       \
		.size = sizeof(weir_pool_stats) \
	}
#endif

/*
 * Read the statistics.  Writes as much of *ret as its size field covers; a
 * size of 0 counts as all that the headers of 0.1 know.
 *
 * Waits:   never for jobs or callbacks.
 * Threads: any.
 * Owns:    *ret is the caller's.
 * Returns: nothing.
 */
WEIR_API void weir_pool_get_stats(weir_pool *pool, weir_pool_stats *ret);

#ifdef __cplusplus
}
#endif

#endif
