/*
 * Wait queues: condition variables that a context can interrupt.
 *
 * Used exactly like a condition variable, in a loop under its mutex:
 *
 *      while (!predicate)
 *              if ((status = weir__waitq_wait(&q, &mu, ctx, deadline)))
 *                      break;
 *
 * Who changes the predicate calls weir__waitq_wake_one() or _all() under the
 * mutex.  A waiter that is woken is taken off the queue by the waker, under
 * the mutex, so that one wake-up wakes one waiter and a second finds the next.
 *
 * Can a wake-up be lost to a waiter that leaves because its context is done?
 * No: one that was taken off returns WEIR_OK, whatever its context says, and
 * its caller looks at the predicate first; only a waiter that is still in the
 * queue, and so has eaten nothing, returns anything else.
 */
#ifndef WEIR_SRC_CORE_WAIT_H
#define WEIR_SRC_CORE_WAIT_H

#include <weir/ctx.h>

#include "base/list.h"
#include "sync/mutex.h"
#include "sync/park.h"

/* Guarded by the mutex that is passed with it. */
struct weir_waitq {
	struct weir_list waiters;
	size_t len;
	struct weir_spin *spin; /* NULL: its waiters do not */
	uint32_t no_yield; /* so many more do, for the processors are busy */
};

static inline void
weir__waitq_init(struct weir_waitq *q)
{
	weir__list_init(&q->waiters);
	q->len = 0;
	q->spin = NULL;
	q->no_yield = 0;
}

/*
 * Let go of mu, wait, and take it again.  WEIR_OK after a wake-up;
 * WEIR_CANCELED or WEIR_TIMEDOUT when ctx is done; WEIR_BUSY when deadline_ns
 * came first.
 */
WEIR_NODISCARD weir_status weir__waitq_wait(struct weir_waitq *q,
					    struct weir_mutex *mu,
					    weir_ctx *ctx, int64_t deadline_ns)
	WEIR_REQUIRES(*mu);

/*
 * Wake the one that has waited longest.  The waking itself is cheap when that
 * thread is not yet asleep; when it is, the system call is left to the
 * caller, who makes it with weir__park_kick() after giving the mutex back, so
 * that the thread does not wake up only to wait for the mutex.  NULL: no kick
 * is needed.  The mutex of the queue must be held.
 */
WEIR_NODISCARD struct weir_park *weir__waitq_wake_one(struct weir_waitq *q);

/* The same for the one that has waited shortest, and is awake the soonest. */
WEIR_NODISCARD struct weir_park *weir__waitq_wake_last(struct weir_waitq *q);

/* Wake all.  The mutex of the queue must be held. */
void weir__waitq_wake_all(struct weir_waitq *q);

/* The second half of weir__waitq_wake_one(), after the mutex. */
static inline void
weir__kick(struct weir_park *park)
{
	if (park)
		weir__park_kick(park);
}

#endif
