/*
 * Rate limits: a token bucket kept as one moment in time.
 *
 * Design.  full_ns is when the bucket would be full if nobody took anything
 * more.  Each token is worth interval_ns, so the bucket now lacks
 * (full_ns - now) / interval_ns tokens, and it is empty when that exceeds
 * burst - 1:
 *
 *        now                      full_ns
 *         |--------- debt ----------|          debt <= (burst - 1) intervals
 *                                                  means: a token is there
 *
 * Taking a token moves full_ns on by one interval.  Someone who has to wait
 * takes it at once and sleeps until it is due, which is what makes the queue
 * first come, first served; one who gives up moves full_ns back again.
 *
 * Locking.  mu is a leaf: nothing is called with it held.
 */
#include "core/limit.h"

#include "base/assert.h"
#include "sync/clock.h"
#include "sync/mutex.h"

#include <math.h>
#include <stdlib.h>

struct weir_limit {
	/* fixed at creation */
	double interval_ns;  /* a token's worth */
	double allowance_ns; /* the most debt with which a token is there */

	struct weir_mutex mu;

	/* guarded by mu */
	int64_t start_ns; /* full_ns counts from here, to keep a double exact */
	double full_ns;
};

weir_status
weir_limit_new(weir_limit **out, double per_second, uint32_t burst)
{
	weir_limit *limit;

	if (!out || !isfinite(per_second) || per_second < 1.0 / 31557600 ||
	    burst == 0)
		return WEIR_INVAL;
	limit = calloc(1, sizeof(*limit));
	if (!limit)
		return WEIR_NOMEM;
	limit->interval_ns = 1e9 / per_second;
	limit->allowance_ns = limit->interval_ns * (burst - 1);
	limit->start_ns = weir_now_ns();
	weir__mutex_init(&limit->mu);
	*out = limit;
	return WEIR_OK;
}

weir_limit *
weir_limit_free(weir_limit *limit)
{
	if (limit)
		weir__mutex_fini(&limit->mu);
	free(limit);
	return NULL;
}

/* How long until a token is there; 0 or less when one is. */
static double limit_wait_locked(weir_limit *limit, int64_t now_ns)
	WEIR_REQUIRES(limit->mu);

static double
limit_wait_locked(weir_limit *limit, int64_t now_ns)
{
	double now = (double)(now_ns - limit->start_ns);

	if (limit->full_ns < now)
		limit->full_ns = now;
	return limit->full_ns - now - limit->allowance_ns;
}

/* Round up: waking a nanosecond early would only mean waiting again. */
static int64_t
ceil_ns(double ns)
{
	return ns < (double)INT64_MAX / 2 ? (int64_t)ceil(ns) : INT64_MAX / 2;
}

weir_status
weir_limit_try_take(weir_limit *limit, int64_t *ret_wait_ns)
{
	int64_t now_ns = weir_now_ns();
	double wait;

	if (!WEIR_MUTATED(LIMIT_LOCK))
		weir__mutex_lock(&limit->mu);
	wait = limit_wait_locked(limit, now_ns);
	if (wait <= 0)
		limit->full_ns += limit->interval_ns;
	if (!WEIR_MUTATED(LIMIT_LOCK))
		weir__mutex_unlock(&limit->mu);
	if (wait <= 0)
		return WEIR_OK;
	if (ret_wait_ns)
		*ret_wait_ns = ceil_ns(wait);
	return WEIR_BUSY;
}

void
weir__limit_return(weir_limit *limit)
{
	weir__mutex_lock(&limit->mu);
	limit->full_ns -= limit->interval_ns;
	weir__mutex_unlock(&limit->mu);
}

weir_status
weir_limit_take(weir_limit *limit, weir_ctx *ctx)
{
	int64_t now_ns = weir_now_ns();
	weir_status status;
	int64_t wait_ns;
	double wait;

	weir__mutex_lock(&limit->mu);
	wait = limit_wait_locked(limit, now_ns);
	limit->full_ns += limit->interval_ns;
	weir__mutex_unlock(&limit->mu);
	if (wait <= 0)
		return WEIR_OK;
	wait_ns = ceil_ns(wait);
	status = weir_ctx_status(ctx);
	if (status == WEIR_OK &&
	    weir__deadline_ns(now_ns, wait_ns) > weir_ctx_deadline_ns(ctx))
		status = WEIR_TIMEDOUT;
	if (status == WEIR_OK)
		status = weir_ctx_sleep(ctx, wait_ns);
	if (status != WEIR_OK && !WEIR_MUTATED(LIMIT_RETURN))
		weir__limit_return(limit);
	return status;
}
