/*
 * The pull form: run, poke and map.
 *
 * Design.  No thread exists only to move jobs.  A worker takes a batch from
 * the source under one lock, runs it, and gives results to the sink under
 * another.  When jobs are short the batch grows, and the other workers are
 * parked, for then one worker does the work faster than several that contend
 * for two locks; N stays the cap on jobs running at once.  A parked worker
 * looks once a millisecond whether the active ones still get on, in case a
 * job has turned out long after all.
 *
 *      source_mu: source()  ->  HELD by a worker  ->  sink_mu: sink()
 *                                 |     ^
 *                                 v     |
 *                            shelf: READY, KEYED, BACKOFF   (mu)
 *
 * A job is accepted when the source has given it, and inside until the sink
 * has returned; inside never exceeds workers + queue.
 *
 * Locking.  source_mu, then mu; sink_mu, with nothing below it but what the
 * sink does.  The two are held while the host's source and sink run, which is
 * what "called from one thread at a time" means; no other call of the API
 * takes them.
 */
#include "core/pool.h"

#include "base/assert.h"
#include "base/options.h"
#include "core/limit.h"
#include "sync/clock.h"

#include <stdio.h>
#include <string.h>

/* Above this cost one more worker pays (below: WEIR_SHORT_JOB_NS). */
#define LONG_JOB_NS 1000
#define MONITOR_NS  (1 * WEIR_MS)
/*
 * A source that took this long may be one that waits: for so many takes after
 * that it is asked for one job at a time, so that none of them waits with it.
 */
#define SOURCE_SLOW_NS    (200 * WEIR_US)
#define SOURCE_SLOW_TAKES 64

/* A record to fill: the worker's own spare one, or one of the pool's. */
static inline struct weir_record *
spare_get(struct weir_worker *w)
{
	weir_pool *pool = w->pool;
	struct weir_record *record;

	if (w->spare_len > 0)
		return w->spare[--w->spare_len];
	weir__mutex_lock(&pool->mu);
	record = weir__record_get_locked(pool);
	weir__mutex_unlock(&pool->mu);
	weir_assert(record);
	return record;
}

static inline void
spare_put(weir_pool *pool, struct weir_worker *w, struct weir_record *record)
{
	if (w && w->spare_len < WEIR_BATCH_MAX && !pool->async) {
		w->spare[w->spare_len++] = record;
		return;
	}
	weir__mutex_lock(&pool->mu);
	weir__record_put_locked(pool, record);
	weir__mutex_unlock(&pool->mu);
}

/* A token for one start.  Without one, say when to ask again. */
static bool
limit_admits(weir_pool *pool, int64_t now_ns)
{
	int64_t wait_ns;

	if (!pool->options.limit ||
	    weir_limit_try_take(pool->options.limit, &wait_ns) == WEIR_OK)
		return true;
	weir__mutex_lock(&pool->mu);
	pool->limit_until_ns = weir__deadline_ns(now_ns, wait_ns);
	weir__mutex_unlock(&pool->mu);
	return false;
}

static void
limit_return(weir_pool *pool)
{
	if (pool->options.limit)
		weir__limit_return(pool->options.limit);
}

static bool
intake_is_open(weir_pool *pool)
{
	return weir__pool_level(pool) == WEIR_LEVEL_OPEN &&
	       weir__u32_load(&pool->source_open, WEIR_SEQ_CST);
}

/* May this job, which has a key, start as far as that is concerned? */
static bool
key_admits(weir_pool *pool, struct weir_record *record)
{
	bool admitted;

	if (pool->options.key_slots == 0)
		return true;
	record->accepted_ns = weir_now_ns();
	weir__mutex_lock(&pool->mu);
	admitted = weir__key_admit_locked(pool, record);
	weir__mutex_unlock(&pool->mu);
	return admitted;
}

/*
 * Ask the source for one job, with source_mu held and asking set.  id is the
 * one it gets if there is one.  *options is plain, and is so again afterwards.
 */
static inline weir_status
source_ask(weir_pool *pool, struct weir_record *record,
	   weir_job_options *options, uint64_t id)
{
	weir_status status = pool->options.source(pool->intake_ctx, record->in,
						  options, pool->ends_user);

	if (weir__job_options_are_plain(options) && record->plain) {
		weir__record_accept_plain(record, id);
		return status;
	}
	if (status == WEIR_OK && !weir__job_options_are_valid(options))
		status = WEIR_INVAL;
	if (status == WEIR_OK)
		weir__record_accept(record, options, id);
	weir_job_options_init(options);
	return status;
}

static void
source_note_end(weir_pool *pool, weir_status status)
{
	if (status == WEIR_BUSY)
		return;
	/* A source that gave up because intake was shut has not failed. */
	if (status != WEIR_CLOSED && intake_is_open(pool))
		pool->source_status = status;
	weir__u32_store(&pool->source_open, 0, WEIR_SEQ_CST);
}

/* How many jobs of max may come in.  Only source_mu's holder adds to inside. */
static size_t
source_room(const weir_pool *pool, size_t max)
{
	uint64_t inside = weir__pool_inside(pool);
	uint32_t most = weir__pool_capacity(pool);

	if (inside >= most)
		return 0;
	return most - inside < max ? (size_t)(most - inside) : max;
}

/*
 * Take one job that came from the source into the batch, unless it has to wait
 * for its key.
 */
static void
source_accept(weir_pool *pool, struct weir_worker *w,
	      struct weir_record *record, size_t *count)
{
	/* Counted before anybody else can get hold of it. */
	weir__u64_bump(&pool->accepted, 1);
	if (record->key == 0 || key_admits(pool, record))
		w->batch[(*count)++] = record;
	else
		limit_return(pool);
}

/*
 * Fill w->batch from the source, with source_mu held.  *ret_accepted counts
 * those that came in, which are more than are returned if some have to wait
 * for their keys.
 */
static weir_status
source_fill(weir_pool *pool, struct weir_worker *w, size_t max,
	    size_t *ret_accepted, size_t *ret_count)
{
	uint64_t id = weir__u64_load(&pool->accepted, WEIR_RELAXED) + 1;
	size_t room = source_room(pool, max), accepted = 0, count = 0;
	weir_job_options options = WEIR_JOB_OPTIONS_INIT;
	weir_status status = WEIR_OK;

	/* The source itself is shut under source_mu only. */
	if (!intake_is_open(pool))
		room = 0;
	while (accepted < room && weir__pool_level(pool) == WEIR_LEVEL_OPEN &&
	       (!pool->options.limit || limit_admits(pool, w->now_ns))) {
		struct weir_record *record = spare_get(w);

		status = source_ask(pool, record, &options, id + accepted);
		if (status != WEIR_OK) {
			spare_put(pool, w, record);
			limit_return(pool);
			break;
		}
		accepted++;
		if (record->plain) {
			weir__u64_bump(&pool->accepted, 1);
			w->batch[count++] = record;
		} else {
			source_accept(pool, w, record, &count);
		}
	}
	*ret_accepted = accepted;
	*ret_count = count;
	return status;
}

static size_t
source_take(weir_pool *pool, struct weir_worker *w, size_t max, bool *hungry)
{
	weir_status status;
	size_t accepted, count;

	weir__mutex_lock(&pool->source_mu);
	weir__u32_store(
		&pool->asking, 1,
		WEIR_ORDER(PULL_ASKING_ORDER, WEIR_SEQ_CST, WEIR_RELAXED));
	status = source_fill(pool, w, max, &accepted, &count);
	if (status != WEIR_OK)
		source_note_end(pool, status);
	/* Release is enough with jobs in hand: give() looks for sleepers. */
	weir__u32_store(&pool->asking, 0,
			count > 0 ? WEIR_RELEASE_ORDER : WEIR_SEQ_CST);
	weir__mutex_unlock(&pool->source_mu);
	/* One look at the clock for all: they start right away. */
	if (count > 0) {
		int64_t before_ns = w->now_ns;

		weir__worker_look(w);
		if (w->now_ns - before_ns > SOURCE_SLOW_NS) {
			w->batch_want = 1;
			w->batch_hold = SOURCE_SLOW_TAKES;
		}
	}
	for (size_t i = 0; i < count; i++)
		w->batch[i]->accepted_ns = w->now_ns;
	/*
	 * Nobody is told of the end here: who finds that nothing is left
	 * inside leaves, and tells everybody then.
	 */
	*hungry = status == WEIR_BUSY;
	return count;
}

/* Jobs that have waited long enough go before new ones. */
static size_t
shelf_take(weir_pool *pool, struct weir_worker *w)
{
	struct weir_record *record;

	if (!limit_admits(pool, w->now_ns))
		return 0;
	weir__mutex_lock(&pool->mu);
	record = weir__shelf_take_locked(pool, w->now_ns);
	weir__mutex_unlock(&pool->mu);
	if (!record) {
		limit_return(pool);
		return 0;
	}
	weir__worker_look(w);
	w->batch[0] = record;
	return 1;
}

static size_t
pull_take(weir_pool *pool, struct weir_worker *w, size_t max, bool *hungry)
{
	bool plenty = false;
	size_t count = 0;

	/* Somebody has to look at the clock for the run's deadline to count. */
	(void)weir_ctx_status(pool->ctx);
	if (weir__pool_level(pool) >= WEIR_LEVEL_SOON) {
		weir__pool_sweep(pool);
		return 0;
	}
	if ((int64_t)weir__u64_load(&pool->shelf_due_ns, WEIR_SEQ_CST) <=
	    w->now_ns)
		count = shelf_take(pool, w);
	plenty = count > 0;
	if (count == 0) {
		count = source_take(pool, w, max, hungry);
		plenty = count == max;
	}
	/* There was plenty: another worker may find some more. */
	if (plenty && weir__u32_load(&pool->sleepers, WEIR_SEQ_CST) > 0 &&
	    !WEIR_MUTATED(PULL_PLENTY_WAKE))
		weir__pool_notify(pool);
	return count;
}

static void
release_key(weir_pool *pool, struct weir_record *record)
{
	weir__mutex_lock(&pool->mu);
	weir__key_release_locked(pool, record);
	weir__mutex_unlock(&pool->mu);
}

static void
pull_give(weir_pool *pool, struct weir_worker *w, struct weir_record **records,
	  size_t count)
{
	uint64_t ok = 0;

	weir__mutex_lock(&pool->sink_mu);
	for (size_t i = 0; i < count; i++) {
		struct weir_record *record = records[i];

		pool->options.sink(&record->result, record->in, record->out,
				   pool->ends_user);
		ok += record->result.status == WEIR_OK;
	}
	weir__u64_bump(&pool->ok, ok);
	weir__u64_bump(&pool->failed, count - ok);
	weir__mutex_unlock(&pool->sink_mu);
	for (size_t i = 0; i < count; i++) {
		/* Jobs of this form have no submitter, and plain ones no key.
		 */
		if (!records[i]->plain)
			release_key(pool, records[i]);
		spare_put(pool, w, records[i]);
	}
	weir__u64_add(
		&pool->delivered, count,
		WEIR_ORDER(PULL_DELIVERED_ORDER, WEIR_SEQ_CST, WEIR_RELAXED));
	/*
	 * There is room now, or a key may be free.  If it was the last one,
	 * that is for who leaves the pool for it to tell: this worker, when it
	 * looks for more, or whoever asks the source just now; and, where a
	 * shutdown delivers, dispose().
	 */
	if (weir__u32_load(&pool->sleepers, WEIR_SEQ_CST) > 0 &&
	    !WEIR_MUTATED(PULL_ROOM_WAKE))
		weir__pool_notify(pool);
}

const struct weir_ends weir__pull_ends = {pull_take, pull_give};

static void set_active_locked(weir_pool *pool, struct weir_worker *w,
			      bool active) WEIR_REQUIRES(pool->mu);

static void
set_active_locked(weir_pool *pool, struct weir_worker *w, bool active)
{
	if (weir__u32_load(&w->active, WEIR_RELAXED) == active)
		return;
	weir__u32_store(&w->active, active, WEIR_RELAXED);
	if (active)
		weir__u32_add(&pool->active, 1, WEIR_SEQ_CST);
	else
		weir__u32_sub(&pool->active, 1, WEIR_SEQ_CST);
}

void
weir__pull_set_active(struct weir_worker *w, bool active)
{
	weir_pool *pool = w->pool;

	weir__mutex_lock(&pool->mu);
	set_active_locked(pool, w, active);
	weir__mutex_unlock(&pool->mu);
}

/*
 * The active workers have delivered nothing for a while: they are in long
 * jobs, and do not keep the others from being needed.  Each counts itself in
 * again when its job is over.
 */
static void write_off_locked(weir_pool *pool) WEIR_REQUIRES(pool->mu);

static void
write_off_locked(weir_pool *pool)
{
	for (uint32_t i = 0; i < pool->worker_count; i++)
		set_active_locked(pool, pool->workers[i], false);
}

/* Is the rest of the pool worth waking, and may this worker sleep? */
static bool may_park_locked(weir_pool *pool) WEIR_REQUIRES(pool->mu);

static bool
may_park_locked(weir_pool *pool)
{
	return weir__u32_load(&pool->active, WEIR_RELAXED) > 1 &&
	       intake_is_open(pool);
}

/*
 * Mind the active workers, a look each MONITOR_NS.  Returns when woken, when
 * they have got nowhere since the last look, stuck in long jobs (true), or
 * when there is nothing inside to get anywhere with: then it is better to
 * wait for the source, as a worker, than to look on.
 */
static bool monitor_locked(weir_pool *pool) WEIR_REQUIRES(pool->mu);

static bool
monitor_locked(weir_pool *pool)
{
	weir_status status = WEIR_BUSY;
	bool still = false;

	pool->has_monitor = true;
	while (status == WEIR_BUSY && !still) {
		uint64_t before =
			weir__u64_load(&pool->delivered, WEIR_SEQ_CST);

		status = weir__waitq_wait(&pool->monitor, &pool->mu, NULL,
					  weir_now_ns() + MONITOR_NS);
		still = weir__u64_load(&pool->delivered, WEIR_SEQ_CST) ==
			before;
	}
	pool->has_monitor = false;
	return still && weir__pool_inside(pool) > 0;
}

void
weir__pull_rest(struct weir_worker *w)
{
	weir_pool *pool = w->pool;

	weir__mutex_lock(&pool->mu);
	if (may_park_locked(pool)) {
		set_active_locked(pool, w, false);
		if (pool->has_monitor) {
			if (weir__waitq_wait(&pool->surplus, &pool->mu, NULL,
					     WEIR_FOREVER) != WEIR_OK)
				weir_bug("a wait without an end ended");
		} else {
			if (monitor_locked(pool))
				write_off_locked(pool);
			/* For whatever reason it leaves: nobody minds them. */
			if (!WEIR_MUTATED(PULL_WRITE_OFF))
				weir__waitq_wake_all(&pool->surplus);
		}
		set_active_locked(pool, w, true);
		w->batch_want = 1;
		w->cost_ns = LONG_JOB_NS;
	}
	weir__mutex_unlock(&pool->mu);
	weir__worker_look(w);
}

/* The monitor is woken last: somebody has to mind those who sleep on. */
static void
wake_surplus(weir_pool *pool)
{
	struct weir_park *wake;

	weir__mutex_lock(&pool->mu);
	wake = weir__waitq_wake_one(pool->surplus.len > 0 ? &pool->surplus
							  : &pool->monitor);
	weir__mutex_unlock(&pool->mu);
	weir__kick(wake);
}

void
weir__pull_wake_surplus_locked(weir_pool *pool)
{
	weir__waitq_wake_all(&pool->surplus);
	weir__waitq_wake_all(&pool->monitor);
}

void
weir__pull_adapt(struct weir_worker *w)
{
	weir_pool *pool = w->pool;

	if (w->cost_ns > LONG_JOB_NS &&
	    weir__u32_load(&pool->active, WEIR_RELAXED) <
		    weir__u32_load(&pool->width, WEIR_RELAXED))
		wake_surplus(pool);
}

static void
run_fire(struct weir_watch *watch, weir_status status, const char *why)
{
	weir_pool *pool = weir_container_of(watch, weir_pool, run_watch);

	(void)status;
	(void)why;
	weir__mutex_lock(&pool->mu);
	weir__u32_store(&pool->level, WEIR_LEVEL_NOW, WEIR_SEQ_CST);
	if (!WEIR_MUTATED(PULL_CANCEL_WAKE))
		weir__pool_notify_all_locked(pool);
	weir__mutex_unlock(&pool->mu);
}

/* Begin a run: its contexts, once. */
static weir_status
run_begin(weir_pool *pool, weir_ctx *ctx)
{
	weir_ctx *run_ctx = NULL, *intake_ctx = NULL;
	weir_status status = weir_ctx_new(&run_ctx, ctx, WEIR_FOREVER);

	if (status == WEIR_OK)
		status = weir_ctx_new(&intake_ctx, run_ctx, WEIR_FOREVER);
	weir__mutex_lock(&pool->mu);
	if (status == WEIR_OK && pool->ran)
		status = WEIR_INVAL;
	if (status == WEIR_OK) {
		pool->ran = true;
		pool->ctx = run_ctx;
		pool->intake_ctx = intake_ctx;
	}
	weir__mutex_unlock(&pool->mu);
	if (status != WEIR_OK) {
		weir_ctx_unref(intake_ctx);
		weir_ctx_unref(run_ctx);
		return status;
	}
	weir__watch_init(&pool->run_watch, run_fire);
	weir__ctx_watch(run_ctx, &pool->run_watch);
	return WEIR_OK;
}

/* What the run came to, now that its workers have left. */
static weir_status
run_end(weir_pool *pool, weir_ctx *ctx)
{
	weir_status status = weir_ctx_status(ctx);
	bool exhausted;

	weir__ctx_unwatch(&pool->run_watch);
	weir_assert(weir__pool_inside(pool) == 0);
	weir__mutex_lock(&pool->source_mu);
	exhausted = !weir__u32_load(&pool->source_open, WEIR_SEQ_CST);
	if (pool->source_status != WEIR_OK)
		status = pool->source_status;
	else if (exhausted && weir__pool_level(pool) < WEIR_LEVEL_NOW)
		status = WEIR_OK;
	weir__mutex_unlock(&pool->source_mu);
	return status;
}

weir_status
weir_pool_run(weir_pool *pool, weir_ctx *ctx)
{
	struct weir_worker *self;
	weir_status status;

	if (!pool->pull)
		return WEIR_INVAL;
	status = run_begin(pool, ctx);
	if (status != WEIR_OK)
		return status;
	weir__mutex_lock(&pool->resize_mu);
	self = weir__pool_spawn(pool);
	weir__mutex_unlock(&pool->resize_mu);
	status = weir__worker_live(self);
	/* A resize from here on would start threads nobody joins. */
	weir__mutex_lock(&pool->resize_mu);
	weir_pool_close(pool);
	weir__mutex_unlock(&pool->resize_mu);
	weir__pool_join_workers(pool);
	if (status == WEIR_OK)
		return run_end(pool, ctx);
	weir__ctx_unwatch(&pool->run_watch);
	return status;
}

void
weir_pool_poke(weir_pool *pool)
{
	weir__pool_notify(pool);
}

/* weir_pool_map(): a source and a sink over the caller's arrays. */
struct map {
	const unsigned char *ins;
	unsigned char *outs;
	weir_result *results;
	size_t in_size, out_size, count;
	size_t next; /* the source's */
	bool all_ok; /* the sink's */
};

static weir_status
map_source(weir_ctx *ctx, void *ret_in, weir_job_options *options, void *user)
{
	struct map *map = user;

	(void)ctx;
	(void)options;
	if (map->next == map->count)
		return WEIR_CLOSED;
	if (map->in_size > 0)
		memcpy(ret_in, map->ins + map->next * map->in_size,
		       map->in_size);
	map->next++;
	return WEIR_OK;
}

static void
map_sink(const weir_result *result, const void *in, void *out, void *user)
{
	struct map *map = user;
	size_t i = (size_t)result->id - 1;

	(void)in;
	if (map->out_size > 0)
		memcpy(map->outs + i * map->out_size, out, map->out_size);
	if (map->results)
		map->results[i] = *result;
	if (result->status != WEIR_OK)
		map->all_ok = false;
}

/* Jobs that the source was never asked for. */
static void
map_conclude(struct map *map, weir_status status)
{
	for (size_t i = map->next; i < map->count && map->results; i++) {
		weir_result *result = &map->results[i];

		memset(result, 0, sizeof(*result));
		result->id = i + 1;
		result->status = status;
		snprintf(result->error, sizeof(result->error), "%s",
			 weir_status_message(status));
	}
}

weir_status
weir_pool_map(const weir_pool_options *options, const void *ins, void *outs,
	      weir_result *results, size_t count, weir_ctx *ctx)
{
	weir_pool_options ours = WEIR_POOL_OPTIONS_INIT;
	struct map map = {.ins = ins,
			  .outs = outs,
			  .results = results,
			  .count = count,
			  .all_ok = true};
	weir_pool *pool = NULL;
	weir_status status;

	if (!options || !weir__options_copy(&ours, sizeof(ours), options,
					    options->size, sizeof(size_t)))
		return WEIR_INVAL;
	if (count > 0 &&
	    ((!ins && ours.in_size > 0) || (!outs && ours.out_size > 0)))
		return WEIR_INVAL;
	map.in_size = ours.in_size;
	map.out_size = ours.out_size;
	ours.source = map_source;
	ours.sink = map_sink;
	ours.done = NULL;
	ours.queue = 0;
	ours.results = 0;
	if (ours.workers > count && count > 0)
		ours.workers = (uint32_t)count;
	status = weir__pool_new(&pool, &ours, &map);
	if (status != WEIR_OK)
		return status;
	status = weir_pool_run(pool, ctx);
	weir_pool_free(pool);
	if (status != WEIR_OK)
		map_conclude(&map, status);
	return status == WEIR_OK && !map.all_ok ? WEIR_FAILED : status;
}
