/*
 * weir/job.h - what a running job can say and ask.
 *
 * All of these take the context the job was given, or one below it; outside a
 * job they do nothing and answer 0, NULL or their status argument.
 *
 *      static weir_status
 *      read_config(weir_ctx *ctx, const void *in, void *out, void *user)
 *      {
 *              const struct request *request = in;
 *              int fd = open(request->path, O_RDONLY | O_CLOEXEC);
 *
 *              if (fd < 0)
 *                      return weir_job_fail(ctx, WEIR_FAILED,
 *                                           "cannot open %s: %s",
 *                                           request->path,
 *                                           strerror(errno));
 *              ...
 *
 * There is no way to unwind out of a job but by returning, and none to
 * survive a fatal signal in one: see weir_crash_report().
 */
#ifndef WEIR_JOB_H
#define WEIR_JOB_H

#include <weir/base.h>
#include <weir/ctx.h>
#include <weir/pool.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Say why this attempt fails: the line becomes the error of the job's result
 * unless a later attempt succeeds.  Failing means returning: end the job with
 * `return weir_job_fail(...)`.
 *
 * Waits:   never.
 * Threads: the thread that runs the job; for an asynchronous job any one
 *          thread at a time, before weir_job_done().
 * Owns:    copies the text, cut at WEIR_ERROR_MAX - 1 bytes.
 * Returns: status, or WEIR_FAILED if that is WEIR_OK.
 */
WEIR_API weir_status weir_job_fail(weir_ctx *ctx, weir_status status,
				   const char *format, ...) WEIR_PRINTF(3, 4);

/*
 * If this attempt fails and is tried again, wait delay_ns first, whatever the
 * policy says, without jitter.  For a server's Retry-After.
 *
 * Waits:   never.
 * Threads: as weir_job_fail().
 * Owns:    nothing.
 * Returns: nothing.
 */
WEIR_API void weir_job_retry_after(weir_ctx *ctx, int64_t delay_ns);

/*
 * The id of this job, as its result will carry it.
 *
 * Waits:   never.
 * Threads: as weir_job_fail().
 * Owns:    nothing.
 * Returns: the id; 0 outside a job.
 */
WEIR_API uint64_t weir_job_id(weir_ctx *ctx);

/*
 * Which attempt this is, counted from 1.
 *
 * Waits:   never.
 * Threads: as weir_job_fail().
 * Owns:    nothing.
 * Returns: the number; 0 outside a job.
 */
WEIR_API uint32_t weir_job_attempt(weir_ctx *ctx);

/*
 * Whether a failure of this attempt with the given status would be tried
 * again, as far as the policy can tell now.  For progress lines and records.
 *
 * Waits:   never.
 * Threads: as weir_job_fail().
 * Owns:    nothing.
 * Returns: true if another attempt would follow.
 */
WEIR_API bool weir_job_will_retry(weir_ctx *ctx, weir_status status);

/*
 * What the init callback of the worker that runs this job left behind.
 *
 * Waits:   never.
 * Threads: as weir_job_fail().
 * Owns:    the state stays the worker's.
 * Returns: the state; NULL without an init callback or outside a job.
 */
WEIR_API void *weir_job_state(weir_ctx *ctx);

/*
 * The attempt is over.  To be called exactly once for each start that
 * returned WEIR_OK, from any thread, possibly from inside start itself.  The
 * status means what a plain job's return value means.  After this call ctx,
 * in, out and job are no longer the caller's to use.
 *
 * Waits:   never.
 * Threads: any.
 * Owns:    ends the caller's use of job.
 * Returns: nothing.  A second call for one start is a bug in the caller and
 *          stops the process if it is noticed.
 */
WEIR_API void weir_job_done(weir_job *job, weir_status status);

/*
 * A pointer of the caller's kept with the slot, from one job in it to the
 * next: a connection handle to use again.  NULL at first.
 *
 * Waits:   never.
 * Threads: between start and weir_job_done(), one thread at a time.
 * Owns:    the pointer stays the caller's; the pool never looks at it.
 * Returns: the pointer.
 */
WEIR_API void *weir_job_data(const weir_job *job);

/*
 * Set that pointer.
 *
 * Waits:   never.
 * Threads: between start and weir_job_done(), one thread at a time.
 * Owns:    the pointer stays the caller's.
 * Returns: nothing.
 */
WEIR_API void weir_job_set_data(weir_job *job, void *data);

/*
 * From now on, when a thread of any pool dies of SIGSEGV, SIGBUS, SIGILL,
 * SIGFPE or SIGABRT, write one line to fd first, such as
 *
 *      weir: fatal signal SIGSEGV in pool "render" job 17 addr 0x0
 *
 * and then die of the signal as before (handlers that were installed earlier
 * run; core files are written).  Only async-signal-safe calls are made, on a
 * stack of their own, so that a stack overflow is reported too.
 *
 * There is deliberately no way to go on.  Jumping out of a handler with
 * longjmp is undefined behaviour, leaves locks held and memory half written,
 * and turns one crash into wrong results later.  A job that may crash belongs
 * into a process of its own.
 *
 * The handlers are the process's, so the library installs them only on this
 * call; a second call only changes fd.  Call it before making pools: stacks
 * are set up for workers that start afterwards.
 *
 * Waits:   never.
 * Threads: any, one at a time.
 * Owns:    fd stays the caller's and must stay open.
 * Returns: WEIR_OK, WEIR_INVAL (fd is negative), WEIR_SYSTEM (a handler could
 *          not be installed).
 */
WEIR_API WEIR_NODISCARD weir_status weir_crash_report(int fd);

#ifdef __cplusplus
}
#endif

#endif
