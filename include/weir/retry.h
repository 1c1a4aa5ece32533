/*
 * weir/retry.h - when a failed attempt is tried again, and after how long.
 *
 * The delay before attempt n + 1 is delay_ns * factor^(n - 1), at most
 * delay_ns_max, and then shortened by jitter: a delay d becomes a random one
 * between d * (1 - jitter) and d.  jitter 1 is "full jitter", which spreads a
 * crowd of clients best (M. Brooker, "Exponential Backoff And Jitter", AWS
 * Architecture Blog, 2015); 0 is none.
 *
 * A job that knows better, because a server said Retry-After, overrides the
 * delay with weir_job_retry_after().
 */
#ifndef WEIR_RETRY_H
#define WEIR_RETRY_H

#include <weir/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * A retry policy; a plain value.  All zero means one attempt and no retry.
 *
 * attempts_max  attempts in all, the first included; 0 means 1.
 * delay_ns      before the second attempt; 0 means WEIR_RETRY_DELAY_NS.
 * delay_ns_max  the longest delay; 0 means WEIR_RETRY_DELAY_NS_MAX.
 * factor        growth from one delay to the next; 0 means 2, and it must
 *               not be below 1.
 * jitter        from 0 to 1.
 * retry_on      the statuses that deserve another attempt, a set made with
 *               WEIR_RETRY_ON(); 0 means WEIR_RETRY_DEFAULT.
 */
typedef struct weir_retry {
	uint32_t attempts_max;
	int64_t delay_ns, delay_ns_max;
	double factor, jitter;
	uint64_t retry_on;
} weir_retry;

#define WEIR_RETRY_DELAY_NS     (200 * WEIR_MS)
#define WEIR_RETRY_DELAY_NS_MAX (30 * WEIR_S)
#define WEIR_RETRY_ON(status)   (UINT64_C(1) << (status))

/* PERMANENT and CANCELED are not in it, nor are mistakes such as INVAL. */
#define WEIR_RETRY_DEFAULT                                           \
	(WEIR_RETRY_ON(WEIR_FAILED) | WEIR_RETRY_ON(WEIR_TIMEDOUT) | \
	 WEIR_RETRY_ON(WEIR_BUSY) | WEIR_RETRY_ON(WEIR_NOMEM) |      \
	 WEIR_RETRY_ON(WEIR_SYSTEM) | WEIR_RETRY_ON(WEIR_CRASHED))

/*
 * The delay after the given number of failed attempts.  A pure function, for
 * callers with retry loops of their own and for tests.
 *
 * unit is a random number in [0, 1), the caller's; it decides the jitter.
 *
 * Waits:   never.
 * Threads: any.
 * Owns:    nothing.
 * Returns: nanoseconds from 0 to the policy's longest delay.
 */
WEIR_API int64_t weir_retry_delay_ns(const weir_retry *retry,
				     uint32_t attempts_failed, double unit);

#ifdef __cplusplus
}
#endif

#endif
