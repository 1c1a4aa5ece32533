/*
 * weir/limit.h - a rate limit: so many a second, with a burst.
 *
 * A token bucket holds at most burst tokens and gains per_second of them each
 * second.  Whoever starts something takes a token first and waits for one if
 * the bucket is empty.  Several pools may share one limit.
 *
 * The bucket is kept as the time at which it would be full again, so that it
 * needs no thread to fill it (the "generic cell rate algorithm", ITU-T I.371).
 */
#ifndef WEIR_LIMIT_H
#define WEIR_LIMIT_H

#include <weir/base.h>
#include <weir/ctx.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct weir_limit weir_limit;

/*
 * Make a limit of per_second starts a second on average and at most burst at
 * once.  It starts full.
 *
 * Waits:   never.
 * Threads: any.
 * Owns:    the caller owns *out and ends it with weir_limit_free().
 * Returns: WEIR_OK, WEIR_INVAL (a rate that is not above 0 and finite, or
 *          slower than one a year, or a burst of 0), WEIR_NOMEM.
 */
WEIR_API WEIR_NODISCARD weir_status weir_limit_new(weir_limit **out,
						   double per_second,
						   uint32_t burst);

/*
 * Free it.  NULL is fine.
 *
 * Waits:   never.
 * Threads: no other call on limit may be in progress or follow, and no pool
 *          may use it any more.
 * Owns:    takes limit.
 * Returns: NULL.
 */
WEIR_API weir_limit *weir_limit_free(weir_limit *limit);

/*
 * Take a token, waiting for one.  Those who wait are served in the order of
 * their calls; one who gives up has not taken a token, though those behind
 * may wait as if it had.
 *
 * Waits:   for a token, until ctx is done; a wait that could not end before
 *          the deadline of ctx is not begun.
 * Threads: any.
 * Owns:    nothing.
 * Returns: WEIR_OK, WEIR_CANCELED, WEIR_TIMEDOUT.
 */
WEIR_API WEIR_NODISCARD weir_status weir_limit_take(weir_limit *limit,
						    weir_ctx *ctx);

/*
 * Take a token if there is one.  If not, *ret_wait_ns (when it is not NULL)
 * says after how long another try may succeed.
 *
 * Waits:   never.
 * Threads: any.
 * Owns:    nothing.
 * Returns: WEIR_OK, WEIR_BUSY; *ret_wait_ns is written with WEIR_BUSY.
 */
WEIR_API WEIR_NODISCARD weir_status weir_limit_try_take(weir_limit *limit,
							int64_t *ret_wait_ns);

#ifdef __cplusplus
}
#endif

#endif
