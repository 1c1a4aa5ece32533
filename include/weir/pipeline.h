/*
 * weir/pipeline.h - pools in a row.
 *
 *      submit -> [ stage 1 ] -> [ stage 2 ] -> [ stage 3 ] -> next
 *                 8 workers      16 workers     1 worker
 *
 * Each stage is a pool of its own width, for work of its own nature, with a
 * bounded queue in front of it.  A stage that is slow fills the queue before
 * it, which holds up the stage before that, and so on to the caller of
 * submit: nothing piles up anywhere.
 *
 * An item that fails in one stage skips the later ones and still comes out,
 * as a result that names the stage.  Every accepted item comes out exactly
 * once, or is handed back if no stage has begun it.
 *
 * Items that own something - that are pointers, say - want keep_in: then what
 * was submitted comes out with the result, wherever the item has failed, and
 * is freed or tried again by whoever takes it.
 */
#ifndef WEIR_PIPELINE_H
#define WEIR_PIPELINE_H

#include <stdbool.h>
#include <weir/base.h>
#include <weir/ctx.h>
#include <weir/pool.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct weir_pipeline weir_pipeline;

/*
 * One stage.  A job of it reads in, what the stage before wrote to its out
 * (for the first stage, what was submitted), and writes out.  The fields mean
 * what they mean in weir_pool_options; in_size is the out_size of the stage
 * before.
 */
typedef struct weir_stage {
	const char *name;
	uint32_t workers, queue;
	size_t out_size;
	weir_job_fn *run;
	weir_job_start_fn *start;
	weir_job_cancel_fn *cancel;
	void *user;
	weir_worker_init_fn *init;
	weir_worker_exit_fn *exit;
	weir_worker_wait_fn *wait;
	weir_worker_wake_fn *wake;
	uint32_t threads;
	weir_retry retry;
	int64_t timeout_ns;
	weir_limit *limit;
} weir_stage;

/*
 * size         sizeof(weir_pipeline_options).
 * stages       stage_count of them, in order; copied.
 * stage_size   sizeof(weir_stage): how that struct can grow; 0 means as in
 *              these headers of 0.1.
 * in_size      bytes of an item as it is submitted.
 * results      how many results may wait; at least the widths of all stages
 *              together, which is also the least it is raised to.
 * drop         weir_pipeline_free() gives results that nobody took to it: in
 *              is the submitted item with keep_in, else NULL; out counts with
 *              status WEIR_OK only.
 * user         last argument of drop.
 * keep_in      results bring along the item as it was submitted, whatever
 *              came of it; see weir_pipeline_next_item().  It takes in_size
 *              bytes more in each place, and is copied from stage to stage.
 */
typedef struct weir_pipeline_options {
	size_t size;
	const weir_stage *stages;
	uint32_t stage_count;
	size_t stage_size;
	size_t in_size;
	uint32_t results;
	weir_result_fn *drop;
	void *user;
	bool keep_in;
} weir_pipeline_options;

/* *stage with everything at its default. */
static inline void
weir_stage_init(weir_stage *stage)
{
	memset(stage, 0, sizeof(*stage));
}

WEIR_OPTIONS_TYPE(weir_pipeline_options)

#ifdef __cplusplus
#define WEIR_PIPELINE_OPTIONS_INIT weir_pipeline_options_make()
#else
#define WEIR_PIPELINE_OPTIONS_INIT                     \
	{                                              \
		.size = sizeof(weir_pipeline_options), \
		.stage_size = sizeof(weir_stage)       \
	}
#endif

#define WEIR_PIPELINE_STAGES_MAX 64

/*
 * What came of an item: the result of the last stage it was in.  Its id,
 * wait and total times are the item's own, attempts and run time are summed
 * over the stages.  stage counts from 0 and, unless all is well, names the
 * stage that the item ended in.
 */
typedef struct weir_pipeline_result {
	weir_result result;
	uint32_t stage;
} weir_pipeline_result;

/*
 * Make a pipeline and start the workers of its stages.
 *
 * Waits:   for the init callbacks of all workers, if there are any.
 * Threads: any.
 * Owns:    copies *options and the stages; the caller owns *out and ends it
 *          with weir_pipeline_free().
 * Returns: WEIR_OK; WEIR_INVAL, WEIR_NOMEM, WEIR_SYSTEM, or what an init
 *          callback returned.
 */
WEIR_API WEIR_NODISCARD weir_status
weir_pipeline_new(weir_pipeline **out, const weir_pipeline_options *options);

/*
 * Shut down now, wait for what runs, and free everything.  NULL is fine.
 *
 * Waits:   until the jobs that run have returned.
 * Threads: no other call on it may be in progress or follow; never from a
 *          job of one of its stages.
 * Owns:    takes pipeline.
 * Returns: NULL.
 */
WEIR_API weir_pipeline *weir_pipeline_free(weir_pipeline *pipeline);

/*
 * Submit an item to the first stage.  ctx is that of the item in all stages,
 * as in weir_pool_submit().
 *
 * Waits:   for room before the first stage, until the pipeline is closed or
 *          ctx is done.
 * Threads: any.
 * Owns:    copies *in; with anything but WEIR_OK it stays the caller's.
 * Returns: WEIR_OK, WEIR_CLOSED, WEIR_CANCELED, WEIR_TIMEDOUT,
 *          WEIR_DEADLOCK (it would wait, and this thread is a worker of one
 *          of the stages), WEIR_INVAL (in is NULL).
 */
WEIR_API WEIR_NODISCARD weir_status
weir_pipeline_submit(weir_pipeline *pipeline, const void *in, uint64_t *ret_id,
		     weir_ctx *ctx);

/*
 * Submit an item if there is room now.
 *
 * Waits:   never.
 * Threads: any, workers of the stages too.
 * Owns:    copies *in; with anything but WEIR_OK it stays the caller's.
 * Returns: WEIR_OK, WEIR_BUSY (full), WEIR_CLOSED, WEIR_INVAL (in is NULL).
 */
WEIR_API WEIR_NODISCARD weir_status
weir_pipeline_try_submit(weir_pipeline *pipeline, const void *in,
			 uint64_t *ret_id, weir_ctx *ctx);

/*
 * Take the oldest result.  ret_out receives the output of the last stage; it
 * is written with result.status WEIR_OK only, and may be NULL.
 *
 * Waits:   for a result, until there can be none any more or ctx is done.
 * Threads: any number of collectors.
 * Owns:    *ret and *ret_out are the caller's.
 * Returns: WEIR_OK, WEIR_CLOSED, WEIR_CANCELED, WEIR_TIMEDOUT,
 *          WEIR_DEADLOCK (it would wait, and this thread is a worker of one
 *          of the stages).
 */
WEIR_API WEIR_NODISCARD weir_status
weir_pipeline_next(weir_pipeline *pipeline, weir_pipeline_result *ret,
		   void *ret_out, weir_ctx *ctx);

/*
 * Take a result if there is one now.
 *
 * Waits:   never.
 * Threads: any number of collectors.
 * Owns:    *ret and *ret_out are the caller's.
 * Returns: WEIR_OK, WEIR_BUSY (none yet), WEIR_CLOSED.
 */
WEIR_API WEIR_NODISCARD weir_status weir_pipeline_try_next(
	weir_pipeline *pipeline, weir_pipeline_result *ret, void *ret_out);

/*
 * Take the oldest result and the item it came of.  ret_in receives the item as
 * it was submitted, in_size bytes of it, whatever came of it; a stage cannot
 * know that an attempt was the last one, so this is where an item that failed
 * is freed.  ret_out is as in weir_pipeline_next().  Each of them may be NULL.
 *
 * An item that owns something is owned by the pipeline from submit until it
 * comes out here, or in drop, or in unstarted: in exactly one of these.  One
 * that is taken by weir_pipeline_next() instead is not given to anybody, and
 * what a stage wrote for the next one is not brought along when that fails: let
 * stages hang what they make on the item.
 *
 * Waits:   for a result, until there can be none any more or ctx is done.
 * Threads: any number of collectors.
 * Owns:    *ret, *ret_in and *ret_out are the caller's.
 * Returns: WEIR_OK, WEIR_CLOSED, WEIR_CANCELED, WEIR_TIMEDOUT,
 *          WEIR_DEADLOCK (it would wait, and this thread is a worker of one
 *          of the stages), WEIR_INVAL (ret_in is not NULL, and the options
 *          did not say keep_in; nothing was taken).
 */
WEIR_API WEIR_NODISCARD weir_status
weir_pipeline_next_item(weir_pipeline *pipeline, weir_pipeline_result *ret,
			void *ret_in, void *ret_out, weir_ctx *ctx);

/*
 * Take a result and the item it came of if there is one now.
 *
 * Waits:   never.
 * Threads: any number of collectors.
 * Owns:    *ret, *ret_in and *ret_out are the caller's.
 * Returns: WEIR_OK, WEIR_BUSY (none yet), WEIR_CLOSED, WEIR_INVAL (as above).
 */
WEIR_API WEIR_NODISCARD weir_status
weir_pipeline_try_next_item(weir_pipeline *pipeline, weir_pipeline_result *ret,
			    void *ret_in, void *ret_out);

/*
 * Shut intake; what was accepted goes through all stages.
 *
 * Waits:   never.
 * Threads: any.
 * Owns:    nothing.
 * Returns: nothing.
 */
WEIR_API void weir_pipeline_close(weir_pipeline *pipeline);

/*
 * Drain the stages in order, first to last.
 *
 * Waits:   until the last item has come out of its last stage, until ctx is
 *          done.  Results have to be taken meanwhile if there are more of
 *          them than fit.
 * Threads: any.
 * Owns:    nothing.
 * Returns: WEIR_OK (drained), WEIR_CANCELED, WEIR_TIMEDOUT (still draining;
 *          call again), WEIR_DEADLOCK.
 */
WEIR_API WEIR_NODISCARD weir_status
weir_pipeline_shutdown(weir_pipeline *pipeline, weir_ctx *ctx);

/*
 * Cancel what runs in all stages.  Items that no stage has begun are handed
 * back in order; all others come out as results.
 *
 * Waits:   as weir_pipeline_shutdown().
 * Threads: any; unstarted is called on this one, with no lock held.
 * Owns:    an item given to unstarted is the caller's again.
 * Returns: WEIR_OK (drained), WEIR_CANCELED, WEIR_TIMEDOUT (still draining;
 *          call again), WEIR_DEADLOCK.
 */
WEIR_API WEIR_NODISCARD weir_status weir_pipeline_shutdown_now(
	weir_pipeline *pipeline, weir_unstarted_fn *unstarted, void *user,
	weir_ctx *ctx);

/*
 * The statistics of one stage, counted from 0.  A stage past the last one
 * gives all zero.
 *
 * Waits:   never for jobs or callbacks.
 * Threads: any.
 * Owns:    *ret is the caller's.
 * Returns: nothing.
 */
WEIR_API void weir_pipeline_get_stats(weir_pipeline *pipeline, uint32_t stage,
				      weir_pool_stats *ret);

#ifdef __cplusplus
}
#endif

#endif
