/*
 * Pools: making them, closing them, changing their width, reading their
 * statistics, freeing them.
 *
 * What they do in between is in push.c, pull.c and worker.c; pool.h has the
 * map, README.md the life of a job and the lock order.
 */
#include "core/pool.h"

#include "base/assert.h"
#include "base/options.h"
#include "core/retry.h"
#include "sync/clock.h"
#include "sync/random.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Plain jobs only, and not on whatever thread is at hand. */
static bool
isolation_is_valid(const weir_pool_options *o)
{
	if (o->isolate == WEIR_ISOLATE_NONE)
		return true;
	return o->isolate == WEIR_ISOLATE_PROCESS && o->zygote && o->run &&
	       !o->caller_helps;
}

static bool
pool_options_are_valid(const weir_pool_options *o)
{
	bool pull = o->source;

	return o->workers > 0 && o->workers <= WEIR_POOL_WORKERS_MAX &&
	       (pull || o->queue > 0) && o->queue <= WEIR_POOL_QUEUE_MAX &&
	       o->results <= WEIR_POOL_QUEUE_MAX && !o->run != !o->start &&
	       !o->source == !o->sink && !(o->source && o->done) &&
	       !o->wait == !o->wake && !(o->wait && o->run) &&
	       !(o->cancel && o->run) && o->timeout_ns >= 0 &&
	       o->threads <= WEIR_POOL_WORKERS_MAX &&
	       o->in_size < SIZE_MAX / 4 && o->out_size < SIZE_MAX / 4 &&
	       weir__retry_is_valid(&o->retry) && isolation_is_valid(o);
}

bool
weir__job_options_are_valid(const weir_job_options *o)
{
	return o->priority <= WEIR_PRIORITY_LAST && o->timeout_ns >= 0 &&
	       (!o->retry || weir__retry_is_valid(o->retry));
}

/* Fill in what was left at its default. */
static void
pool_options_resolve(weir_pool_options *o)
{
	if (o->source && o->queue == 0)
		o->queue = o->workers;
	if (o->results == 0)
		o->results = o->queue + o->workers;
	if (o->batch_max == 0 || o->batch_max > WEIR_BATCH_MAX)
		o->batch_max = WEIR_BATCH_MAX;
	/* A callback that waits must hold up one job, not a batch. */
	if (o->done)
		o->batch_max = 1;
	if (o->results < o->workers)
		o->results = o->workers;
	if (o->timeout_ns == 0)
		o->timeout_ns = WEIR_FOREVER;
	if (o->run || o->threads == 0)
		o->threads = 1;
	if (o->threads > o->workers)
		o->threads = o->workers;
}

static size_t
align_up(size_t n, size_t to)
{
	return (n + to - 1) / to * to;
}

static weir_pool *
pool_alloc(const weir_pool_options *options, void *ends_user)
{
	weir_pool *pool = calloc(1, sizeof(*pool));

	if (!pool)
		return NULL;
	pool->options = *options;
	snprintf(pool->name, sizeof(pool->name), "%s",
		 options->name ? options->name : "pool");
	pool->options.name = pool->name;
	pool->async = options->start;
	pool->pull = options->source;
	pool->ends = pool->pull ? &weir__pull_ends : &weir__push_ends;
	pool->ends_user = ends_user;
	pool->out_offset = align_up(options->in_size, _Alignof(max_align_t));
	pool->payload_size =
		align_up(pool->out_offset + options->out_size, WEIR_CACHE_LINE);
	pool->record_stride =
		pool->payload_size +
		align_up(sizeof(struct weir_record), WEIR_CACHE_LINE);
	weir__u32_store(&pool->width, options->workers, WEIR_RELAXED);
	weir__u32_store(&pool->source_open, 1, WEIR_RELAXED);
	weir__u64_store(&pool->shelf_due_ns, (uint64_t)WEIR_FOREVER,
			WEIR_RELAXED);
	pool->results_max = options->results;
	weir__rng_seed(&pool->rng, weir__random_seed());
	weir__mutex_init(&pool->mu);
	weir__mutex_init(&pool->submit_mu);
	weir__mutex_init(&pool->source_mu);
	weir__mutex_init(&pool->sink_mu);
	weir__mutex_init(&pool->resize_mu);
	return pool;
}

static void
pool_init_lists(weir_pool *pool)
{
	for (int i = 0; i < WEIR_PRIORITY_LAST; i++)
		weir__list_init(&pool->queues[i]);
	weir__list_init(&pool->ready);
	weir__list_init(&pool->free);
	weir__list_init(&pool->free_keys);
	weir__list_init(&pool->resting);
	weir__list_init(&pool->lendable);
	weir__waitq_init(&pool->room);
	weir__waitq_init(&pool->room_patient);
	weir__waitq_init(&pool->taken);
	weir__waitq_init(&pool->taken_patient);
	weir__waitq_init(&pool->lent_back);
	weir__waitq_init(&pool->idle);
	weir__waitq_init(&pool->keeper);
	weir__waitq_init(&pool->surplus);
	weir__waitq_init(&pool->monitor);
	weir__waitq_init(&pool->started);
	weir__waitq_init(&pool->drained);
	/* Not for workers: tried, and one that spins is in the others' way. */
	weir__spin_init(&pool->spin);
	pool->room_patient.spin = &pool->spin;
	pool->taken_patient.spin = &pool->spin;
}

/* How many records a pool of that width needs; see README.md, "Memory". */
static size_t
records_needed(const weir_pool *pool, uint32_t width)
{
	size_t results = pool->results_max > width ? pool->results_max : width;

	if (!pool->pull)
		return pool->options.queue + results;
	if (pool->async)
		return (size_t)pool->options.queue + width + 1;
	return pool->options.queue + width * (size_t)(1 + WEIR_BATCH_MAX) + 1;
}

/* Room in the array of workers, and the workers, up to the given number. */
static weir_status workers_grow_locked(weir_pool *pool, uint32_t count)
	WEIR_REQUIRES(pool->mu);

static weir_status
workers_grow_locked(weir_pool *pool, uint32_t count)
{
	struct weir_worker **workers;
	weir_status status = WEIR_OK;

	if (count <= pool->worker_count)
		return WEIR_OK;
	workers = realloc(pool->workers, count * sizeof(*workers));
	if (!workers)
		return WEIR_NOMEM;
	pool->workers = workers;
	while (status == WEIR_OK && pool->worker_count < count)
		status = weir__worker_new_locked(pool);
	return status;
}

/* Push: a ring with a place for each job of the queue, once. */
static weir_status inbox_make_locked(weir_pool *pool) WEIR_REQUIRES(pool->mu);

static weir_status
inbox_make_locked(weir_pool *pool)
{
	size_t places = 1;

	if (pool->pull || pool->inbox)
		return WEIR_OK;
	while (places < pool->options.queue)
		places *= 2;
	pool->inbox =
		weir__pool_chunk_locked(pool, places * sizeof(*pool->inbox));
	pool->inbox_mask = (uint32_t)places - 1;
	return pool->inbox ? WEIR_OK : WEIR_NOMEM;
}

/* All memory for a given width: workers, slots and records. */
static weir_status pool_provide_locked(weir_pool *pool, uint32_t width)
	WEIR_REQUIRES(pool->mu);

static weir_status
pool_provide_locked(weir_pool *pool, uint32_t width)
{
	uint32_t workers = pool->async ? pool->options.threads : width;
	size_t records = records_needed(pool, width);
	weir_status status = inbox_make_locked(pool);

	if (status == WEIR_OK)
		status = workers_grow_locked(pool, workers);

	for (uint32_t i = 0; status == WEIR_OK && i < workers; i++) {
		struct weir_worker *w = pool->workers[i];
		size_t slots = 1;

		if (pool->async)
			slots = width / workers + (i < width % workers);
		if (slots > w->slot_count)
			status = weir__worker_add_slots_locked(
				pool, w, slots - w->slot_count);
	}
	if (status == WEIR_OK && records > pool->record_count)
		status = weir__records_grow_locked(
			pool, records - pool->record_count);
	return status;
}

/*
 * Threads for the workers that should have one and have not.  mu is held
 * throughout, so that none of them gets past its report before all are made.
 */
static weir_status spawn_locked(weir_pool *pool) WEIR_REQUIRES(pool->mu);

static weir_status
spawn_locked(weir_pool *pool)
{
	weir_status status = WEIR_OK;

	for (uint32_t i = 0; i < pool->worker_count; i++) {
		struct weir_worker *w = pool->workers[i];
		char name[64];

		if (w->threaded || (i == 0 && pool->pull) ||
		    weir__worker_share_locked(pool, w) == 0)
			continue;
		snprintf(name, sizeof(name), "%.12s-%u", pool->name, i);
		w->gone = false;
		status = weir__thread_start(&w->thread, name,
					    pool->options.stack_size,
					    weir__worker_main, w);
		if (status != WEIR_OK)
			return status;
		w->threaded = true;
		pool->awaited++;
	}
	return status;
}

/* Until all that were started have called init, and know how it went. */
static void wait_started_locked(weir_pool *pool) WEIR_REQUIRES(pool->mu);

static void
wait_started_locked(weir_pool *pool)
{
	while (pool->awaited > 0 || pool->starting > 0)
		if (weir__waitq_wait(&pool->started, &pool->mu, NULL,
				     WEIR_FOREVER) != WEIR_OK)
			weir_bug("a wait without an end ended");
}

struct weir_worker *
weir__pool_spawn(weir_pool *pool)
{
	struct weir_worker *self = NULL;

	weir__mutex_lock(&pool->mu);
	/* One round at a time: a run may just be starting. */
	wait_started_locked(pool);
	if (pool->pull && !pool->spawned) {
		self = pool->workers[0];
		pool->awaited++;
	}
	pool->spawned = true;
	pool->init_status = spawn_locked(pool);
	weir__mutex_unlock(&pool->mu);
	return self;
}

/* Wait until all new workers have called init; how did it go? */
static weir_status
await_started(weir_pool *pool)
{
	weir_status status;

	weir__mutex_lock(&pool->mu);
	wait_started_locked(pool);
	status = pool->init_status;
	weir__mutex_unlock(&pool->mu);
	return status;
}

/*
 * Join one worker that has a thread and is to be waited for.  False when
 * there is none.
 */
static bool
join_one(weir_pool *pool, bool gone_only)
{
	struct weir_worker *found = NULL;

	weir__mutex_lock(&pool->mu);
	for (uint32_t i = 0; i < pool->worker_count && !found; i++) {
		struct weir_worker *w = pool->workers[i];

		if (w->threaded && (w->gone || !gone_only))
			found = w;
	}
	if (found)
		found->threaded = false;
	weir__mutex_unlock(&pool->mu);
	if (found)
		weir__thread_join(&found->thread);
	return found;
}

void
weir__pool_join_workers(weir_pool *pool)
{
	while (join_one(pool, false))
		;
}

weir_status
weir__pool_new(weir_pool **out, const weir_pool_options *options,
	       void *ends_user)
{
	weir_pool_options ours = WEIR_POOL_OPTIONS_INIT;
	weir_status status;
	weir_pool *pool;

	if (!out || !options ||
	    !weir__options_copy(&ours, sizeof(ours), options, options->size,
				sizeof(size_t)) ||
	    !pool_options_are_valid(&ours))
		return WEIR_INVAL;
	pool_options_resolve(&ours);
	pool = pool_alloc(&ours, ends_user);
	if (!pool)
		return WEIR_NOMEM;
	pool_init_lists(pool);
	status = weir__isolated_open(pool);
	weir__mutex_lock(&pool->mu);
	if (status == WEIR_OK)
		status = pool_provide_locked(pool, ours.workers);
	weir__mutex_unlock(&pool->mu);
	if (status == WEIR_OK && !pool->pull)
		status = weir_ctx_new(&pool->ctx, NULL, WEIR_FOREVER);
	if (status == WEIR_OK && !pool->pull) {
		weir__pool_spawn(pool);
		status = await_started(pool);
	}
	if (status != WEIR_OK) {
		weir_pool_free(pool);
		return status;
	}
	*out = pool;
	return WEIR_OK;
}

weir_status
weir_pool_new(weir_pool **out, const weir_pool_options *options)
{
	void *user = NULL;

	if (options && options->size >= offsetof(weir_pool_options, user) +
						sizeof(options->user))
		user = options->user;
	return weir__pool_new(out, options, user);
}

/* Results that nobody took, jobs that never started: to drop, and gone. */
static void
drop_rest(weir_pool *pool)
{
	struct weir_record *record;

	weir__mutex_lock(&pool->mu);
	while (!pool->pull && weir__results_take_locked(pool, &record, 1) > 0) {
		weir__mutex_unlock(&pool->mu);
		if (pool->options.drop)
			pool->options.drop(&record->result, record->in,
					   record->out, pool->options.user);
		weir__mutex_lock(&pool->mu);
		weir__u64_add(&pool->delivered, 1, WEIR_SEQ_CST);
	}
	weir__pool_check_locked(pool);
	weir__mutex_unlock(&pool->mu);
}

weir_pool *
weir_pool_free(weir_pool *pool)
{
	if (!pool)
		return NULL;
	weir_assert(!weir__worker_is_of(pool));
	if (weir_pool_shutdown_now(pool, NULL, NULL, NULL) != WEIR_OK)
		weir_bug("a shutdown that may wait for ever did not");
	weir__pool_join_workers(pool);
	drop_rest(pool);
	weir_assert(weir__pool_inside(pool) == 0);
	for (uint32_t i = 0; i < pool->worker_count; i++)
		weir__worker_free(pool->workers[i]);
	weir__isolated_close(pool);
	free(pool->workers);
	weir_ctx_unref(pool->intake_ctx);
	weir_ctx_unref(pool->ctx);
	weir__heap_fini(&pool->backoff);
	for (size_t i = 0; i < pool->chunk_count; i++)
		free(pool->chunks[i]);
	free(pool->chunks);
	weir__mutex_fini(&pool->mu);
	weir__mutex_fini(&pool->submit_mu);
	weir__mutex_fini(&pool->source_mu);
	weir__mutex_fini(&pool->sink_mu);
	weir__mutex_fini(&pool->resize_mu);
	free(pool);
	return NULL;
}

void
weir__record_adopt_options(struct weir_record *record,
			   const weir_job_options *options)
{
	const weir_pool *pool = record->pool;

	record->priority =
		options->priority ? options->priority : WEIR_PRIORITY_FIRST;
	record->key = options->key;
	record->timeout_ns = options->timeout_ns ? options->timeout_ns
						 : pool->options.timeout_ns;
	record->retry = &pool->options.retry;
	if (options->retry) {
		record->own_retry = *options->retry;
		record->retry = &record->own_retry;
	}
	record->plain = weir__job_options_are_plain(options) &&
			pool->options.timeout_ns == WEIR_FOREVER;
}

/*
 * Read in this order: once intake is seen shut and nobody is asking the
 * source, nothing more can be accepted, and inside only falls.
 */
static bool
pull_is_finished(weir_pool *pool)
{
	return (weir__pool_level(pool) != WEIR_LEVEL_OPEN ||
		!weir__u32_load(&pool->source_open, WEIR_SEQ_CST)) &&
	       !weir__u32_load(&pool->asking, WEIR_SEQ_CST) &&
	       weir__pool_inside(pool) == 0;
}

bool
weir__pool_is_finished_locked(weir_pool *pool)
{
	return weir__pool_level(pool) != WEIR_LEVEL_OPEN &&
	       weir__pool_inside(pool) == pool->count[WEIR_PLACE_RESULT];
}

bool
weir__pool_is_finished(weir_pool *pool)
{
	bool finished;

	if (pool->pull)
		return pull_is_finished(pool);
	weir__mutex_lock(&pool->mu);
	finished = weir__pool_is_finished_locked(pool);
	weir__mutex_unlock(&pool->mu);
	return finished;
}

struct weir_park *
weir__pool_notify_locked(weir_pool *pool)
{
	struct weir_list *link;

	weir__u32_add(&pool->events, 1, WEIR_SEQ_CST);
	if (pool->async) {
		link = weir__list_pop(&pool->resting);
		if (link)
			weir__worker_wake(weir_container_of(
				link, struct weir_worker, resting));
		return NULL;
	}
	/* Whoever is woken counts as going to look from here on. */
	if (pool->idle.len + pool->keeper.len > 0)
		weir__u32_add(&pool->watchful, 1, WEIR_SEQ_CST);
	/* The one that has just gone to sleep may not even be asleep. */
	return weir__waitq_wake_last(pool->idle.len > 0 ? &pool->idle
							: &pool->keeper);
}

void
weir__pool_wake_keeper_locked(weir_pool *pool)
{
	weir__u32_add(&pool->watchful, (uint32_t)pool->keeper.len,
		      WEIR_SEQ_CST);
	weir__waitq_wake_all(&pool->keeper);
}

bool
weir__pool_has_waiting_locked(weir_pool *pool)
{
	return weir__pool_queued(pool) + pool->count[WEIR_PLACE_READY] > 0;
}

void
weir__pool_notify(weir_pool *pool)
{
	struct weir_park *wake;

	weir__mutex_lock(&pool->mu);
	wake = weir__pool_notify_locked(pool);
	weir__mutex_unlock(&pool->mu);
	weir__kick(wake);
}

void
weir__pool_notify_all_locked(weir_pool *pool)
{
	weir__u32_add(&pool->events, 1, WEIR_SEQ_CST);
	weir__u32_add(&pool->watchful, (uint32_t)pool->idle.len, WEIR_SEQ_CST);
	weir__waitq_wake_all(&pool->idle);
	weir__pool_wake_keeper_locked(pool);
	weir__pull_wake_surplus_locked(pool);
	weir__waitq_wake_all(&pool->room);
	weir__waitq_wake_all(&pool->room_patient);
	weir__waitq_wake_all(&pool->taken);
	weir__waitq_wake_all(&pool->taken_patient);
	weir__waitq_wake_all(&pool->drained);
	while (weir__list_pop(&pool->resting))
		;
	/* Busy ones too: more slots, or none at all, concern them as well. */
	for (uint32_t i = 0; pool->async && i < pool->worker_count; i++)
		if (pool->workers[i]->live)
			weir__worker_wake(pool->workers[i]);
}

void
weir__pool_notify_if_finished(weir_pool *pool)
{
	if (!weir__pool_is_finished(pool))
		return;
	weir__mutex_lock(&pool->mu);
	weir__pool_notify_all_locked(pool);
	weir__mutex_unlock(&pool->mu);
}

/* Slots beyond the new width are left as soon as they are empty. */
static void set_width_locked(weir_pool *pool, uint32_t width)
	WEIR_REQUIRES(pool->mu);

static void
set_width_locked(weir_pool *pool, uint32_t width)
{
	weir__u32_store(&pool->width, width, WEIR_RELAXED);
	if (width > pool->results_max)
		pool->results_max = width;
	weir__pool_notify_all_locked(pool);
}

weir_status
weir_pool_resize(weir_pool *pool, uint32_t workers)
{
	weir_status status = WEIR_OK;
	uint32_t old;
	bool live;

	if (workers == 0 || workers > WEIR_POOL_WORKERS_MAX)
		return WEIR_INVAL;
	if (weir__worker_is_of(pool))
		return WEIR_DEADLOCK;
	/* One at a time; threads of an earlier, larger width end first. */
	weir__mutex_lock(&pool->resize_mu);
	while (join_one(pool, true))
		;
	weir__mutex_lock(&pool->mu);
	old = weir__u32_load(&pool->width, WEIR_RELAXED);
	live = pool->spawned;
	if (weir__pool_level(pool) != WEIR_LEVEL_OPEN)
		status = WEIR_CLOSED;
	else
		status = pool_provide_locked(pool, workers);
	if (status == WEIR_OK)
		set_width_locked(pool, workers);
	weir__mutex_unlock(&pool->mu);
	if (status == WEIR_OK && live && workers > old) {
		/* unreached: one left since the look above; see torture */
		while (join_one(pool, true))
			;
		weir__pool_spawn(pool);
		status = await_started(pool);
	}
	if (status != WEIR_OK && status != WEIR_CLOSED) {
		weir__mutex_lock(&pool->mu);
		set_width_locked(pool, old);
		weir__mutex_unlock(&pool->mu);
	}
	weir__mutex_unlock(&pool->resize_mu);
	return status;
}

/* Jobs in the hands of workers just now. */
static uint32_t busy_locked(const weir_pool *pool) WEIR_REQUIRES(pool->mu);

static uint32_t
busy_locked(const weir_pool *pool)
{
	uint32_t busy = 0;

	for (uint32_t i = 0; i < pool->worker_count; i++)
		busy += weir__u32_load(&pool->workers[i]->running,
				       WEIR_RELAXED);
	return busy;
}

void
weir_pool_get_stats(weir_pool *pool, weir_pool_stats *ret)
{
	size_t size = ret->size ? ret->size : sizeof(*ret);
	weir_pool_stats s = WEIR_POOL_STATS_INIT;

	weir__mutex_lock(&pool->mu);
	s.workers = weir__u32_load(&pool->width, WEIR_RELAXED);
	s.busy = busy_locked(pool);
	s.queued =
		pool->count[WEIR_PLACE_READY] + pool->count[WEIR_PLACE_KEYED];
	if (!pool->pull)
		s.queued += (uint32_t)weir__pool_queued(pool);
	s.backoff = pool->count[WEIR_PLACE_BACKOFF];
	s.results = pool->count[WEIR_PLACE_RESULT];
	s.capacity = pool->pull ? weir__pool_capacity(pool)
				: pool->options.queue + pool->results_max;
	/* What has left is read first, so that inside is never negative. */
	s.delivered = weir__u64_load(&pool->delivered, WEIR_SEQ_CST);
	s.handed_back = weir__u64_load(&pool->handed_back, WEIR_SEQ_CST);
	s.accepted = weir__u64_load(&pool->accepted, WEIR_SEQ_CST);
	s.inside = s.accepted - s.delivered - s.handed_back;
	s.ok = weir__u64_load(&pool->ok, WEIR_RELAXED);
	s.failed = weir__u64_load(&pool->failed, WEIR_RELAXED);
	s.retries = weir__u64_load(&pool->retries, WEIR_RELAXED);
	s.blocked_ns = pool->blocked_ns;
	s.starved_ns = pool->starved_ns;
	weir__mutex_unlock(&pool->mu);
	s.size = size;
	memcpy(ret, &s, size < sizeof(s) ? size : sizeof(s));
}
