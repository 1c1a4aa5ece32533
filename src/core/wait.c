/*
 * The wait queues of wait.h.
 *
 * A waiter lives on the stack of the thread that waits.  It may be signalled
 * by a waker (which takes it off the queue first) and by its context (which
 * leaves it in the queue); both use the same park, and the queue tells the
 * thread afterwards which it was.
 *
 * Locking.  The caller's mutex guards the queue.  It is not held while the
 * context is watched or unwatched, because contexts come before it in the
 * lock order.
 */
#include "core/wait.h"

#include "base/assert.h"
#include "core/ctx.h"
#include "sync/clock.h"

struct waiter {
	struct weir_list link; /* guarded by the queue's mutex */
	struct weir_park park;
	struct weir_watch watch;
};

static void
waiter_fire(struct weir_watch *watch, weir_status status, const char *why)
{
	struct waiter *waiter = weir_container_of(watch, struct waiter, watch);

	(void)status;
	(void)why;
	/* Safe to kick here: unwatching waits until this has returned. */
	if (weir__park_signal(&waiter->park) && !WEIR_MUTATED(WAIT_FIRE_KICK))
		weir__park_kick(&waiter->park);
}

/* Where a yield has cost a time slice, the next so many waiters sleep at once.
 */
#define YIELD_NOT_AGAIN 200

static int
yields_for(struct weir_waitq *q)
{
	if (q->no_yield == 0)
		return WEIR_PARK_YIELDS;
	q->no_yield--;
	return 0;
}

weir_status
weir__waitq_wait(struct weir_waitq *q, struct weir_mutex *mu, weir_ctx *ctx,
		 int64_t deadline_ns)
{
	struct waiter waiter;
	bool cheap = true;
	int yields = yields_for(q);
	weir_status status;

	weir__park_init(&waiter.park);
	weir__watch_init(&waiter.watch, waiter_fire);
	if (WEIR_MUTATED(WAIT_JOIN_LATE)) {
		weir__mutex_unlock(mu);
		weir__mutex_lock(mu);
	}
	weir__list_append(&q->waiters, &waiter.link);
	q->len++;
	weir__mutex_unlock(mu);

	if (ctx)
		weir__park_expose(&waiter.park, ctx);
	weir__ctx_watch(ctx, &waiter.watch);
	if (!q->spin || !weir__park_spin(&waiter.park, q->spin))
		weir__park_wait_for(&waiter.park,
				    weir__earlier_ns(deadline_ns,
						     weir_ctx_deadline_ns(ctx)),
				    yields, &cheap);
	weir__ctx_unwatch(&waiter.watch);
	if (ctx)
		weir__park_expose(NULL, NULL);
	status = weir_ctx_status(ctx);

	weir__mutex_lock(mu);
	/* unreached: the processors were busy; the scheduler's to decide */
	if (!cheap)
		q->no_yield = YIELD_NOT_AGAIN;
	if (weir__list_empty(&waiter.link))
		return WEIR_MUTATED(WAIT_EATEN) ? status : WEIR_OK;
	if (!WEIR_MUTATED(WAIT_LEAVE)) {
		weir__list_remove(&waiter.link);
		q->len--;
	}
	return status != WEIR_OK ? status : WEIR_BUSY;
}

/* Take one out of the queue and signal it. */
static struct weir_park *
wake(struct weir_waitq *q, struct weir_list *link)
{
	struct waiter *waiter = weir_container_of(link, struct waiter, link);

	weir_assert(q->len > 0);
	weir__list_remove(link);
	q->len--;
	if (!weir__park_signal(&waiter->park) || WEIR_MUTATED(WAIT_KICK))
		return NULL;
	return &waiter->park;
}

struct weir_park *
weir__waitq_wake_one(struct weir_waitq *q)
{
	return q->len > 0 ? wake(q, q->waiters.next) : NULL;
}

struct weir_park *
weir__waitq_wake_last(struct weir_waitq *q)
{
	return q->len > 0 ? wake(q, q->waiters.prev) : NULL;
}

void
weir__waitq_wake_all(struct weir_waitq *q)
{
	while (q->len > 0) {
		weir__kick(weir__waitq_wake_one(q));
		if (WEIR_MUTATED(WAIT_ALL))
			break;
	}
}
