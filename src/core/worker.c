/*
 * Workers: their life, and how they wait for work.
 *
 * Design.  A worker calls the host's init, runs one of two loops until the
 * pool is finished or has become too narrow for it, and calls exit.  The loop
 * for plain jobs is in batch.c, the one for asynchronous jobs in async.c;
 * what they have in common, going to sleep without missing anything, is here
 * and described in README.md under "Waking up".
 *
 * Locking.  A worker's own fields need none.
 */
#include "core/pool.h"

#include "base/assert.h"
#include "sync/clock.h"

#include <stdio.h>
#include <stdlib.h>

/*
 * How often the timekeeper looks whether short jobs get on; where callers help
 * nobody else may be there to begin one.
 */
#define WATCH_NS       (1 * WEIR_MS)
#define WATCH_HELPS_NS (200 * WEIR_US)

static int64_t
watch_ns(const weir_pool *pool)
{
	return pool->options.caller_helps ? WATCH_HELPS_NS : WATCH_NS;
}

typedef struct weir_worker *worker_ptr;
WEIR_THREAD_LOCAL(worker_ptr, worker_self)

struct weir_worker *
weir__worker_self(void)
{
	return *worker_self();
}

void
weir__worker_enter(struct weir_worker *w)
{
	struct weir_worker **self = worker_self();

	w->outer = *self;
	*self = w;
}

void
weir__worker_exit(struct weir_worker *w)
{
	*worker_self() = w->outer;
}

bool
weir__worker_is_of(const weir_pool *pool)
{
	const struct weir_worker *w = *worker_self();

	while (w && w->pool != pool)
		w = w->outer;
	return w || weir__pool_is_disposing(pool);
}

weir_status
weir__worker_new_locked(weir_pool *pool)
{
	struct weir_worker *w = calloc(1, sizeof(*w));

	if (!w)
		return WEIR_NOMEM;
	w->pool = pool;
	w->index = pool->worker_count;
	w->batch_want = 1;
	w->cost_ns = -1;
	weir__list_init(&w->resting);
	weir__list_init(&w->lend_link);
	weir__u32_store(&w->claim, WEIR_CLAIM_NONE, WEIR_RELAXED);
	weir__list_init(&w->new_slots);
	weir__list_init(&w->free_slots);
	weir__list_init(&w->busy_slots);
	weir__list_init(&w->done);
	weir__mutex_init(&w->done_mu);
	weir__park_init(&w->park);
	pool->workers[pool->worker_count++] = w;
	return WEIR_OK;
}

void
weir__worker_free(struct weir_worker *w)
{
	weir__heap_fini(&w->timers);
	weir__mutex_fini(&w->done_mu);
	free(w);
}

weir_status
weir__worker_add_slots_locked(weir_pool *pool, struct weir_worker *w,
			      size_t count)
{
	weir_job *jobs;

	weir_assert(count > 0);
	/* Before it lives its timers are not yet its own alone. */
	if (pool->async && !w->live &&
	    !weir__heap_reserve(&w->timers, w->slot_count + count))
		return WEIR_NOMEM;
	jobs = weir__pool_chunk_locked(pool, count * sizeof(*jobs));
	if (!jobs)
		return WEIR_NOMEM;
	for (size_t i = 0; i < count; i++) {
		jobs[i].worker = w;
		weir__list_init(&jobs[i].done_link);
		weir__list_append(&w->new_slots, &jobs[i].link);
	}
	w->slot_count += count;
	return WEIR_OK;
}

/*
 * Plain jobs: one slot each.  Asynchronous ones share the width, the first
 * workers taking what does not divide.
 */
uint32_t
weir__worker_share_locked(const weir_pool *pool, const struct weir_worker *w)
{
	uint32_t threads = pool->options.threads;
	uint32_t width = weir__u32_load(&pool->width, WEIR_RELAXED);

	if (!pool->async)
		return w->index < width ? 1 : 0;
	return width / threads + (w->index < width % threads);
}

void
weir__worker_wake(struct weir_worker *w)
{
	const weir_pool_options *options = &w->pool->options;

	if (options->wake)
		options->wake(w->state, options->user);
	else if (weir__park_signal(&w->park))
		weir__park_kick(&w->park);
}

/*
 * Pick up new slots and say how many to use.  Timers are for asynchronous
 * jobs only, and those of the first slots are there already.  When a resize
 * of a live worker has made more and there is no memory for their timers, those
 * that there is none for are left for the next round: fewer jobs at once, none
 * lost, and never none at all.
 */
uint32_t
weir__worker_slots(struct weir_worker *w)
{
	weir_pool *pool = w->pool;
	struct weir_list *link;
	uint32_t share;

	weir__mutex_lock(&pool->mu);
	share = weir__worker_share_locked(pool, w);
	if (pool->async && !weir__list_empty(&w->new_slots))
		(void)weir__heap_reserve(&w->timers, w->slot_count);
	while (!weir__list_empty(&w->new_slots) &&
	       (!pool->async || w->slots_used < w->timers.capacity)) {
		link = weir__list_pop(&w->new_slots);
		weir__list_append(&w->free_slots, link);
		w->slots_used++;
	}
	weir__mutex_unlock(&pool->mu);
	return share;
}

/*
 * When an idle worker has to look again by itself, having found nothing when
 * it looked at looked_ns.  While the rate limit has no token, what else is due
 * makes no difference; whether it has one by now was not asked, so it is the
 * time of the look that counts.  The deadline of the run counts until
 * somebody has noticed that it has passed.
 */
int64_t
weir__idle_deadline_locked(weir_pool *pool, int64_t looked_ns)
{
	int64_t due_ns =
		(int64_t)weir__u64_load(&pool->shelf_due_ns, WEIR_RELAXED);

	if (pool->limit_until_ns > looked_ns)
		due_ns = pool->limit_until_ns;
	if (weir__pool_level(pool) < WEIR_LEVEL_NOW)
		due_ns = weir__earlier_ns(due_ns,
					  weir_ctx_deadline_ns(pool->ctx));
	return due_ns;
}

/* Somebody has a batch, or jobs are short and a worker is at them. */
static bool wants_watch_locked(weir_pool *pool) WEIR_REQUIRES(pool->mu);

static bool
wants_watch_locked(weir_pool *pool)
{
	if (pool->batches > 0)
		return true;
	return !pool->pull && weir__pool_is_short(pool) &&
	       (weir__u32_load(&pool->watchful, WEIR_SEQ_CST) > 0 ||
		weir__pool_queued(pool) > 0 ||
		weir__u64_load(&pool->left, WEIR_RELAXED) != pool->keeper_seen);
}

/*
 * A millisecond has passed.  Take over what is stuck, and say whether there is
 * something that nobody else is going to take: jobs, no worker that is
 * watchful, and none of them has left since the last look.
 */
static bool watch_locked(weir_pool *pool, uint64_t seen)
	WEIR_REQUIRES(pool->mu);

static bool
watch_locked(weir_pool *pool, uint64_t seen)
{
	struct weir_record *rescued[WEIR_BATCH_MAX];
	bool more = false;
	size_t count = WEIR_MUTATED(RESCUE)
			       ? 0
			       : weir__push_rescue_locked(pool, rescued, &more);

	if (count > 0) {
		weir__mutex_unlock(&pool->mu);
		weir__push_give_rescued(pool, rescued, count);
		weir__mutex_lock(&pool->mu);
	}
	return weir__pool_has_waiting_locked(pool) &&
	       weir__u32_load(&pool->watchful, WEIR_SEQ_CST) == 0 &&
	       weir__u64_load(&pool->left, WEIR_RELAXED) == seen;
}

/*
 * Be the timekeeper: sleep until something is due, and, while short jobs are
 * under way, look each millisecond whether they still are.  The last look,
 * after which nobody does, is the caller's: the flag goes first, so that
 * whoever submits later wakes somebody.
 */
static bool keep_time_locked(weir_pool *pool, int64_t looked_ns)
	WEIR_REQUIRES(pool->mu);

static bool
keep_time_locked(weir_pool *pool, int64_t looked_ns)
{
	weir_status status = WEIR_BUSY;
	bool watch = true, look = false;

	pool->has_timekeeper = true;
	while (status == WEIR_BUSY && !look) {
		int64_t due_ns = weir__idle_deadline_locked(pool, looked_ns);
		uint64_t seen = weir__u64_load(&pool->left, WEIR_RELAXED);
		int64_t now_ns = weir_now_ns();

		watch = wants_watch_locked(pool);
		pool->keeper_seen = seen;
		if (weir__u32_exchange(&pool->armed, watch, WEIR_SEQ_CST) &&
		    !watch)
			break;
		pool->keeper_due_ns = due_ns;
		if (watch)
			pool->keeper_due_ns = weir__earlier_ns(
				due_ns, now_ns + watch_ns(pool));
		status = weir__waitq_wait(&pool->keeper, &pool->mu, NULL,
					  pool->keeper_due_ns);
		if (status == WEIR_BUSY)
			look = !watch || weir_now_ns() >= due_ns ||
			       watch_locked(pool, seen);
	}
	/* Before our next look, for submitters that count on us. */
	if (!WEIR_MUTATED(DISARM))
		weir__u32_store(&pool->armed, 0, WEIR_SEQ_CST);
	pool->has_timekeeper = false;
	return status == WEIR_OK;
}

/* The wait itself.  True if somebody woke us, and has counted us. */
static bool idle_sleep_locked(weir_pool *pool, int64_t looked_ns)
	WEIR_REQUIRES(pool->mu);

static bool
idle_sleep_locked(weir_pool *pool, int64_t looked_ns)
{
	int64_t due_ns = weir__idle_deadline_locked(pool, looked_ns);

	if (wants_watch_locked(pool))
		due_ns = weir__earlier_ns(due_ns,
					  weir_now_ns() + watch_ns(pool));
	/* The timekeeper has to learn of what is due before it looks. */
	if (pool->has_timekeeper && due_ns < pool->keeper_due_ns &&
	    !WEIR_MUTATED(KEEPER_TELL))
		weir__pool_wake_keeper_locked(pool);
	if (due_ns != WEIR_FOREVER && !pool->has_timekeeper)
		return keep_time_locked(pool, looked_ns);
	return weir__waitq_wait(&pool->idle, &pool->mu, NULL, WEIR_FOREVER) ==
	       WEIR_OK;
}

/*
 * Sleep, with mu held, until something may have changed.  One of the idle
 * workers, the timekeeper, sleeps only until there is something to do; the
 * rest sleep until they are woken.  Those whom callers may stand in for can be
 * lent as long as they sleep.
 */
static void idle_wait_locked(weir_pool *pool, struct weir_worker *w,
			     int64_t looked_ns) WEIR_REQUIRES(pool->mu);

static void
idle_wait_locked(weir_pool *pool, struct weir_worker *w, int64_t looked_ns)
{
	int64_t began_ns = weir_now_ns();

	weir__push_hold_locked(pool, w, 0);
	if (pool->options.caller_helps) {
		w->asleep = true;
		weir__list_append(&pool->lendable, &w->lend_link);
	}
	if (!idle_sleep_locked(pool, looked_ns))
		weir__u32_add(&pool->watchful, 1, WEIR_SEQ_CST);
	w->asleep = false;
	weir__list_remove(&w->lend_link);
	while (w->lent)
		if (weir__waitq_wait(&pool->lent_back, &pool->mu, NULL,
				     WEIR_FOREVER) != WEIR_OK)
			weir_bug("a wait without an end ended");
	pool->starved_ns += weir_now_ns() - began_ns;
}

/* Somebody has to mind the time while the one who did it runs a job. */
static void
replace_timekeeper(weir_pool *pool, int64_t now_ns)
{
	weir__mutex_lock(&pool->mu);
	if (!pool->has_timekeeper && pool->idle.len > 0 &&
	    !WEIR_MUTATED(KEEPER_REPLACE) &&
	    weir__idle_deadline_locked(pool, now_ns) != WEIR_FOREVER)
		weir__kick(weir__pool_notify_locked(pool));
	weir__mutex_unlock(&pool->mu);
}

/*
 * The pool has become narrower: leave at once, whatever there is to do.  The
 * worker counts as gone from the moment that is decided, so that a pool which
 * grows again waits for this thread to end and starts another.
 */
static bool
is_beyond_width(struct weir_worker *w)
{
	weir_pool *pool = w->pool;

	if (w->gone)
		return true;
	if (pool->async ||
	    w->index < weir__u32_load(&pool->width, WEIR_RELAXED))
		return false;
	weir__mutex_lock(&pool->mu);
	w->gone = weir__worker_share_locked(pool, w) == 0;
	weir__mutex_unlock(&pool->mu);
	return w->gone;
}

bool
weir__worker_must_leave(struct weir_worker *w)
{
	return weir__pool_is_finished(w->pool) || is_beyond_width(w);
}

/*
 * Short jobs are done faster by one worker than by two: of several that are
 * awake this one may sleep, as long as another is going to look after it.
 */
static void
rest_if_surplus(struct weir_worker *w)
{
	weir_pool *pool = w->pool;

	if (pool->pull || !weir__pool_is_short(pool) ||
	    weir__u32_load(&pool->watchful, WEIR_RELAXED) < 2)
		return;
	weir__mutex_lock(&pool->mu);
	weir__push_count_in_locked(pool, w);
	if (weir__pool_level(pool) == WEIR_LEVEL_OPEN &&
	    w->index < weir__u32_load(&pool->width, WEIR_RELAXED) &&
	    weir__u32_load(&pool->watchful, WEIR_SEQ_CST) >= 2) {
		weir__u32_add(&pool->sleepers, 1, WEIR_SEQ_CST);
		weir__u32_sub(&pool->watchful, 1, WEIR_SEQ_CST);
		idle_wait_locked(pool, w, w->now_ns);
		weir__u32_sub(&pool->sleepers, 1, WEIR_SEQ_CST);
	}
	weir__mutex_unlock(&pool->mu);
}

/*
 * Nothing was found.  The order matters: announce that we are about to sleep,
 * look once more, and only then sleep, unless something happened since we
 * looked.  How many jobs the second look, or a third one, has found.
 */
static size_t
take_or_sleep(struct weir_worker *w)
{
	weir_pool *pool = w->pool;
	bool hungry = false, slept = false;
	size_t count = 0;
	uint32_t seen;

	weir__u32_add(&pool->sleepers, 1,
		      WEIR_ORDER(SLEEPER_ORDER, WEIR_SEQ_CST, WEIR_RELAXED));
	weir__u32_sub(&pool->watchful, 1,
		      WEIR_ORDER(WATCHFUL_ORDER, WEIR_SEQ_CST, WEIR_RELAXED));
	seen = weir__u32_load(&pool->events, WEIR_SEQ_CST);
	weir__worker_look(w);
	if (!WEIR_MUTATED(LOOK_AGAIN))
		count = pool->ends->take(pool, w, w->batch_want, &hungry);
	if (count == 0 && !weir__worker_must_leave(w)) {
		weir__mutex_lock(&pool->mu);
		/* Short jobs are over for now: nobody is surplus. */
		weir__pull_wake_surplus_locked(pool);
		slept = weir__u32_load(&pool->events, WEIR_SEQ_CST) == seen ||
			WEIR_MUTATED(EVENT_CHECK);
		if (slept)
			idle_wait_locked(pool, w, w->now_ns);
		weir__mutex_unlock(&pool->mu);
		weir__worker_look(w);
	}
	if (!slept)
		weir__u32_add(&pool->watchful, 1, WEIR_SEQ_CST);
	weir__u32_sub(&pool->sleepers, 1, WEIR_SEQ_CST);
	if (count > 0)
		replace_timekeeper(pool, w->now_ns);
	return count;
}

size_t
weir__worker_take(struct weir_worker *w)
{
	weir_pool *pool = w->pool;
	bool hungry = false;
	size_t count;

	rest_if_surplus(w);
	if (is_beyond_width(w))
		return 0;
	count = pool->ends->take(pool, w, w->batch_want, &hungry);
	while (count == 0 && !weir__worker_must_leave(w))
		count = take_or_sleep(w);
	return count;
}

/*
 * Say how init went, and wait until all new workers have: a pool either
 * starts as a whole or not at all.
 */
static weir_status
report_and_wait(struct weir_worker *w, weir_status status)
{
	weir_pool *pool = w->pool;

	weir__mutex_lock(&pool->mu);
	weir_assert(pool->awaited > 0);
	pool->awaited--;
	pool->starting++;
	if (status != WEIR_OK && pool->init_status == WEIR_OK)
		pool->init_status = status;
	if (pool->awaited == 0)
		weir__waitq_wake_all(&pool->started);
	while (pool->awaited > 0)
		if (weir__waitq_wait(&pool->started, &pool->mu, NULL,
				     WEIR_FOREVER) != WEIR_OK)
			weir_bug("a wait without an end ended");
	if (status == WEIR_OK)
		status = pool->init_status;
	w->live = status == WEIR_OK;
	/* The next round of workers may not change what we have just read. */
	if (--pool->starting == 0)
		weir__waitq_wake_all(&pool->started);
	weir__mutex_unlock(&pool->mu);
	return status;
}

static void
worker_leave(struct weir_worker *w)
{
	weir_pool *pool = w->pool;
	struct weir_list *link;

	weir__mutex_lock(&pool->mu);
	while (w->spare_len > 0)
		weir__record_put_locked(pool, w->spare[--w->spare_len]);
	w->gone = true;
	w->live = false;
	weir__mutex_unlock(&pool->mu);
	/* The contexts of its slots hang on the pool's. */
	for (link = w->free_slots.next; link != &w->free_slots;
	     link = link->next) {
		weir_job *job = weir_container_of(link, weir_job, link);

		if (!job->ctx)
			continue;
		weir__ctx_unwatch(&job->cancel_watch);
		job->ctx = weir_ctx_unref(job->ctx);
	}
}

weir_status
weir__worker_live(struct weir_worker *w)
{
	const weir_pool_options *options = &w->pool->options;
	weir_status own = WEIR_OK, status;

	weir__worker_enter(w);
	if (w->pool->isolated)
		own = weir__isolated_init(w);
	else if (options->init)
		own = options->init(w->index, &w->state, options->user);
	status = report_and_wait(w, own);
	if (status == WEIR_OK && w->pool->async)
		weir__async_loop(w);
	else if (status == WEIR_OK)
		weir__batch_loop(w);
	worker_leave(w);
	if (w->pool->isolated && own == WEIR_OK)
		weir__isolated_exit(w);
	else if (own == WEIR_OK && options->exit)
		options->exit(w->index, w->state, options->user);
	weir__worker_exit(w);
	return status;
}

void
weir__worker_main(void *arg)
{
	struct weir_worker *w = arg;

	w->signal_stack = weir__crash_stack_new();
	(void)weir__worker_live(w); /* the maker of the pool asks for it */
	weir__crash_stack_free(w->signal_stack);
}
