/*
 * Callers that help: a thread that would wait runs a short job instead.
 *
 * Design.  Handing a job of a microsecond to another thread and getting its
 * result back costs several times what the job does.  A submitter that finds
 * the queue full, and a collector that finds no result, may therefore run a
 * batch themselves, if the pool was made so and jobs are short.  They do it as
 * a worker: one that sleeps lends its slot, its state and its place among the
 * N, so that no more than N jobs run at once and no two of them with the same
 * state.  A worker that wakes up while it is lent waits until it is whole
 * again.
 *
 * Locking.  mu, for the list of those that can be lent.
 */
#include "core/pool.h"

#include "base/assert.h"

/* A sleeping worker to work as, or NULL. */
static struct weir_worker *borrow_locked(weir_pool *pool)
	WEIR_REQUIRES(pool->mu);

static struct weir_worker *
borrow_locked(weir_pool *pool)
{
	struct weir_list *link = weir__list_pop(&pool->lendable);
	struct weir_worker *w;

	if (!link)
		return NULL;
	w = weir_container_of(link, struct weir_worker, lend_link);
	weir_assert(!w->lent);
	w->lent = true;
	return w;
}

/* It may be lent again while it sleeps on; awake, it wants itself back. */
static void give_back_locked(weir_pool *pool, struct weir_worker *w)
	WEIR_REQUIRES(pool->mu);

static void
give_back_locked(weir_pool *pool, struct weir_worker *w)
{
	w->lent = false;
	weir__push_hold_locked(pool, w, 0);
	if (w->asleep)
		weir__list_prepend(&pool->lendable, &w->lend_link);
	else if (!WEIR_MUTATED(WAKE_LENT))
		weir__waitq_wake_all(&pool->lent_back);
}

/* A batch of jobs, and a worker to run them as; NULL: not just now. */
static struct weir_worker *
help_begin(weir_pool *pool, size_t *ret_count)
{
	struct weir_park *wake = NULL;
	struct weir_worker *w = NULL;

	weir__mutex_lock(&pool->mu);
	if (weir__pool_level(pool) < WEIR_LEVEL_SOON)
		w = borrow_locked(pool);
	if (w) {
		weir__worker_look(w);
		*ret_count =
			weir__push_take_locked(pool, w, w->batch_want, &wake);
		if (*ret_count == 0) {
			give_back_locked(pool, w);
			w = NULL;
		}
	}
	weir__mutex_unlock(&pool->mu);
	weir__kick(wake);
	return w;
}

/* Give what has ended of the batch, and the worker back. */
static void
help_end(weir_pool *pool, struct weir_worker *w, size_t count)
{
	uint64_t ok = weir__push_part_with(pool, w->batch, count);
	struct weir_park *wake = NULL;

	weir__mutex_lock(&pool->mu);
	if (count > 0)
		wake = weir__push_give_locked(pool, w->batch, count, ok);
	give_back_locked(pool, w);
	weir__mutex_unlock(&pool->mu);
	weir__kick(wake);
}

bool
weir__push_help(weir_pool *pool)
{
	struct weir_worker *w;
	size_t count;

	if (!pool->options.caller_helps || !weir__pool_is_short(pool) ||
	    weir__pool_queued(pool) == 0)
		return false;
	w = help_begin(pool, &count);
	if (!w)
		return false;
	weir__worker_enter(w);
	count = weir__batch_run(w, count);
	weir__worker_exit(w);
	help_end(pool, w, count);
	return true;
}
