/*
 * The ways to stop: close, shutdown, shutdown_soon, shutdown_now.
 *
 * Design.  The pool has a level, OPEN < DRAIN < SOON < NOW, that only rises.
 * Raising it and clearing what waits happen under one lock, so that no job
 * can slip between: from SOON on nothing is put on the shelf any more.
 *
 * A worker that finds the level at SOON or above sweeps as well.  That is for
 * pools in pull form whose context was cancelled, where nobody calls us.
 *
 * Locking.  mu for the level and the lists; callbacks run without it, on the
 * thread that called.
 */
#include "core/pool.h"

#include "base/assert.h"

/* Raise the level.  True if it was lower before. */
static bool raise_locked(weir_pool *pool, enum weir_level level)
	WEIR_REQUIRES(pool->mu);

static bool
raise_locked(weir_pool *pool, enum weir_level level)
{
	if (weir__pool_level(pool) >= level)
		return false;
	weir__u32_store(
		&pool->level, level,
		WEIR_ORDER(STOP_LEVEL_ORDER, WEIR_SEQ_CST, WEIR_RELAXED));
	if (!WEIR_MUTATED(STOP_LEVEL_WAKE))
		weir__pool_notify_all_locked(pool);
	return true;
}

/* Cancel one of the pool's contexts; contexts come before mu. */
static void
cancel_ctx(weir_pool *pool, weir_ctx **which, const char *why)
{
	weir_ctx *ctx;

	weir__mutex_lock(&pool->mu);
	ctx = weir_ctx_ref(*which);
	weir__mutex_unlock(&pool->mu);
	weir_ctx_cancel_cause(ctx, why);
	weir_ctx_unref(ctx);
}

void
weir_pool_close(weir_pool *pool)
{
	weir__mutex_lock(&pool->submit_mu);
	weir__mutex_lock(&pool->mu);
	raise_locked(pool, WEIR_LEVEL_DRAIN);
	weir__mutex_unlock(&pool->mu);
	weir__mutex_unlock(&pool->submit_mu);
	cancel_ctx(pool, &pool->intake_ctx, "intake closed");
}

/*
 * This thread is inside weir_pool_shutdown_soon() or _now() and runs the
 * host's callbacks for it: like a worker, it must not wait for the pool.
 */
struct disposing {
	const weir_pool *pool;
	const struct disposing *outer;
};

typedef const struct disposing *disposing_ptr;
WEIR_THREAD_LOCAL(disposing_ptr, disposing_self)

bool
weir__pool_is_disposing(const weir_pool *pool)
{
	const struct disposing *d = *disposing_self();

	while (d && d->pool != pool)
		d = d->outer;
	return d;
}

/* Hand one unstarted job back. */
static void
hand_back(weir_pool *pool, struct weir_record *record,
	  weir_unstarted_fn *unstarted, void *user)
{
	unstarted(record->result.id, record->in, user);
	weir__record_clear(record);
	weir__mutex_lock(&pool->mu);
	weir__record_put_locked(pool, record);
	/*
	 * No switch for a weaker order: nothing would show, for a worker that
	 * is about to leave has taken mu since it has delivered, and a pull
	 * form that is not finished has such a worker.
	 */
	weir__u64_add(&pool->handed_back, 1, WEIR_SEQ_CST);
	weir__mutex_unlock(&pool->mu);
}

static struct weir_record *
pop_record(struct weir_list *list)
{
	struct weir_list *link = weir__list_pop(list);

	return link ? weir_container_of(link, struct weir_record, link) : NULL;
}

/* Everything in the two lists leaves: handed back, or cancelled. */
static void
dispose(weir_pool *pool, struct weir_list *unstarted_list,
	struct weir_list *begun, weir_unstarted_fn *unstarted, void *user)
{
	struct disposing self = {pool, *disposing_self()};
	int64_t now_ns = weir_now_ns();
	struct weir_record *record;

	*disposing_self() = &self;
	while ((record = pop_record(begun))) {
		weir__ctx_unwatch(&record->watch);
		weir__record_conclude(record, WEIR_CANCELED, now_ns);
		pool->ends->give(pool, NULL, &record, 1);
	}
	while ((record = pop_record(unstarted_list))) {
		if (unstarted) {
			hand_back(pool, record, unstarted, user);
			continue;
		}
		weir__record_conclude(record, WEIR_CANCELED, now_ns);
		pool->ends->give(pool, NULL, &record, 1);
	}
	*disposing_self() = self.outer;
	if (!WEIR_MUTATED(STOP_DISPOSE_TELL))
		weir__pool_notify_if_finished(pool);
}

/*
 * Called from a sink, a shutdown must not deliver anything, for sinks are
 * called one at a time: what cannot be handed back stays on the shelf, and
 * this worker sweeps it when it comes back for more.
 */
static void leave_to_workers_locked(weir_pool *pool, struct weir_list *list)
	WEIR_REQUIRES(pool->mu);

static void
leave_to_workers_locked(weir_pool *pool, struct weir_list *list)
{
	struct weir_record *record;

	while ((record = pop_record(list)))
		weir__record_make_ready_locked(pool, record);
}

void
weir__pool_stop_begin(weir_pool *pool, struct weir_stop *stop)
{
	bool in_sink = pool->pull && weir__worker_is_of(pool);

	weir__list_init(&stop->unstarted);
	weir__list_init(&stop->begun);
	weir__mutex_lock(&pool->submit_mu);
	weir__mutex_lock(&pool->mu);
	raise_locked(pool, stop->level);
	weir__mutex_unlock(&pool->submit_mu);
	weir__shelf_clear_locked(pool, &stop->unstarted, &stop->begun);
	if (in_sink)
		leave_to_workers_locked(pool, &stop->begun);
	if (in_sink && !stop->hand_back)
		leave_to_workers_locked(pool, &stop->unstarted);
	weir__mutex_unlock(&pool->mu);
}

void
weir__pool_stop_end(weir_pool *pool, struct weir_stop *stop)
{
	if (!WEIR_MUTATED(STOP_INTAKE))
		cancel_ctx(pool, &pool->intake_ctx, "intake closed");
	if (stop->level == WEIR_LEVEL_NOW && !WEIR_MUTATED(STOP_CANCEL))
		cancel_ctx(pool, &pool->ctx, "pool shut down");
	dispose(pool, &stop->unstarted, &stop->begun, stop->hand_back,
		stop->user);
}

void
weir__pool_sweep(weir_pool *pool)
{
	struct weir_list unstarted, begun;
	bool any;

	weir__list_init(&unstarted);
	weir__list_init(&begun);

	weir__mutex_lock(&pool->mu);
	any = pool->count[WEIR_PLACE_READY] + pool->count[WEIR_PLACE_KEYED] +
		      pool->count[WEIR_PLACE_BACKOFF] >
	      0;
	if (!pool->pull)
		any |= weir__pool_queued(pool) > 0;
	if (any)
		weir__shelf_clear_locked(pool, &unstarted, &begun);
	weir__mutex_unlock(&pool->mu);
	if (any)
		dispose(pool, &unstarted, &begun, NULL, NULL);
}

/* Wait until nothing is left inside but results that wait to be taken. */
static weir_status
wait_drained(weir_pool *pool, weir_ctx *ctx)
{
	weir_status status = WEIR_OK;

	if (weir__worker_is_of(pool))
		return WEIR_DEADLOCK;
	/*
	 * Whoever brings the end about under mu tells us; in pull form each
	 * worker does, too, when it sees the end and leaves.
	 */
	while (status == WEIR_OK) {
		uint32_t seen = weir__u32_load(&pool->events, WEIR_SEQ_CST);

		if (!WEIR_MUTATED(STOP_DRAIN_LOOK) &&
		    weir__pool_is_finished(pool))
			break;
		weir__mutex_lock(&pool->mu);
		/* unreached: something happened in between: look again */
		if (weir__u32_load(&pool->events, WEIR_RELAXED) == seen ||
		    WEIR_MUTATED(STOP_DRAIN_EVENTS))
			status = weir__waitq_wait(&pool->drained, &pool->mu,
						  ctx, WEIR_FOREVER);
		weir__mutex_unlock(&pool->mu);
	}
	return status;
}

weir_status
weir_pool_shutdown(weir_pool *pool, weir_ctx *ctx)
{
	weir_pool_close(pool);
	return wait_drained(pool, ctx);
}

static weir_status
stop_and_wait(weir_pool *pool, struct weir_stop *stop, weir_ctx *ctx)
{
	weir__pool_stop_begin(pool, stop);
	weir__pool_stop_end(pool, stop);
	return wait_drained(pool, ctx);
}

weir_status
weir_pool_shutdown_soon(weir_pool *pool, weir_unstarted_fn *unstarted,
			void *user, weir_ctx *ctx)
{
	struct weir_stop stop = {WEIR_LEVEL_SOON, unstarted, user, {0}, {0}};

	return stop_and_wait(pool, &stop, ctx);
}

weir_status
weir_pool_shutdown_now(weir_pool *pool, weir_unstarted_fn *unstarted,
		       void *user, weir_ctx *ctx)
{
	struct weir_stop stop = {WEIR_LEVEL_NOW, unstarted, user, {0}, {0}};

	return stop_and_wait(pool, &stop, ctx);
}
