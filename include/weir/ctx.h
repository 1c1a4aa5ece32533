/*
 * weir/ctx.h - contexts: how waiting ends early.
 *
 * A context is a one-way latch with a deadline and a parent.  It starts live
 * and becomes done once: because somebody cancelled it, because its deadline
 * passed, or because its parent became done.  Every call of this library that
 * can wait takes a context last and gives up when it is done, so that one
 * weir_ctx_cancel() at the top of a program ends every wait below it: sends,
 * receives, submits, back-off sleeps between attempts, and the jobs that look.
 *
 *      root ──┬── request 1 (5 s) ──── job
 *             └── request 2 (5 s) ──┬─ job        cancel(request 2) ends
 *                                   └─ job        its two jobs, no more
 *
 * NULL is a context too: one that is never done.  Pass it to wait for ever.
 *
 * Contexts are counted, because the thread that makes one and the job that
 * watches it rarely end in order.  A child keeps its parent alive.
 *
 * Usage:
 *
 *      weir_ctx *ctx;
 *
 *      if (weir_ctx_new(&ctx, NULL, 5 * WEIR_S) != WEIR_OK)
 *              return -1;
 *      status = weir_chan_recv(ch, &elem, ctx);
 *      weir_ctx_unref(ctx);
 */
#ifndef WEIR_CTX_H
#define WEIR_CTX_H

#include <weir/base.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct weir_ctx weir_ctx;

/*
 * Make a live context below parent that times out timeout_ns from now, or
 * with its parent if that is sooner.  WEIR_FOREVER means no deadline of its
 * own; 0 or less means that it is done from the start, which turns any call
 * that waits into one that only tries.
 *
 * A parent that is done already gives a child that is done already.
 *
 * Waits:   never.
 * Threads: any.
 * Owns:    the caller owns one reference to *out; *out keeps its own
 *          reference to parent.
 * Returns: WEIR_OK, WEIR_INVAL (out is NULL), WEIR_NOMEM.
 */
WEIR_API WEIR_NODISCARD weir_status weir_ctx_new(weir_ctx **out,
						 weir_ctx *parent,
						 int64_t timeout_ns);

/*
 * Take one more reference.  NULL is fine.
 *
 * Waits:   never.
 * Threads: any, while the caller holds a reference.
 * Owns:    the caller owes one more weir_ctx_unref().
 * Returns: ctx.
 */
WEIR_API weir_ctx *weir_ctx_ref(weir_ctx *ctx);

/*
 * Give a reference back.  The last one frees the context; it does not cancel
 * anything, for nobody is left to see it.  NULL is fine.
 *
 * Waits:   never.
 * Threads: any.
 * Owns:    takes the caller's reference.
 * Returns: NULL, so that a variable can be cleared in the same line.
 */
WEIR_API weir_ctx *weir_ctx_unref(weir_ctx *ctx);

/*
 * Make ctx and everything below it done with WEIR_CANCELED, and wake all who
 * wait on any of them.  What is done already stays as it is.  NULL is fine.
 *
 * Waits:   never.
 * Threads: any, also from inside jobs; not from a signal handler.
 * Owns:    nothing.
 * Returns: nothing.
 */
WEIR_API void weir_ctx_cancel(weir_ctx *ctx);

/*
 * The same with a reason, which weir_ctx_cause() gives for ctx and for every
 * context that is cancelled through it: "disk full", "client went away".
 *
 * Waits:   never.
 * Threads: any, also from inside jobs; not from a signal handler.
 * Owns:    copies why; text past WEIR_ERROR_MAX - 1 bytes is cut.
 * Returns: nothing.
 */
WEIR_API void weir_ctx_cancel_cause(weir_ctx *ctx, const char *why);

/*
 * Is it done, and how?  A cheap call: one load, and a look at the clock if
 * there is a deadline.  Long-running jobs call it between steps.
 *
 * Waits:   never.
 * Threads: any.
 * Owns:    nothing.
 * Returns: WEIR_OK while ctx is live; WEIR_CANCELED, WEIR_TIMEDOUT.
 */
WEIR_API weir_status weir_ctx_status(weir_ctx *ctx);

/*
 * Why it is done: the status, and the reason given to the cancel call that
 * did it, here or above.  Without a reason the message is the status's own.
 * For a live context *ret says WEIR_OK.
 *
 * Waits:   never.
 * Threads: any.
 * Owns:    *ret is the caller's.
 * Returns: nothing; *ret is always written.
 */
WEIR_API void weir_ctx_cause(weir_ctx *ctx, weir_error *ret);

/*
 * The moment at which ctx times out by itself or through a parent, on the
 * clock of weir_now_ns().
 *
 * Waits:   never.
 * Threads: any.
 * Owns:    nothing.
 * Returns: nanoseconds, or WEIR_FOREVER.
 */
WEIR_API int64_t weir_ctx_deadline_ns(weir_ctx *ctx);

/*
 * Sleep until duration_ns have passed or ctx is done, whichever is first.
 * This is the sleep to use inside a job.
 *
 * Waits:   for the time to pass, until ctx is done.
 * Threads: any.
 * Owns:    nothing.
 * Returns: WEIR_OK when the time passed; WEIR_CANCELED, WEIR_TIMEDOUT.
 */
WEIR_API weir_status weir_ctx_sleep(weir_ctx *ctx, int64_t duration_ns);

#ifdef __cplusplus
}
#endif

#endif
