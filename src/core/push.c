/*
 * The push form: submit and next.
 *
 * Design.  Submitted jobs wait in one queue for each priority, results in
 * one list; both are lists of the same records.  A worker takes a job only
 * when there is room for its result, so finishing never waits:
 *
 *      inside - queued < results_max      before a job leaves the queue
 *
 * and with results_max >= workers no slot stays empty for want of a consumer
 * that is itself waiting for that slot.
 *
 * With a `done` callback there are no results to wait; the callback runs on
 * the worker, which holds its slot until it returns.
 *
 * Locking.  Everything is under the pool's mu, except that callbacks run
 * without it.
 */
#include "core/pool.h"

#include "base/assert.h"
#include "sync/clock.h"

#include <string.h>

/* A job may leave the queue: there is a place for its result. */
static bool has_result_room_locked(weir_pool *pool) WEIR_REQUIRES(pool->mu);

static bool
has_result_room_locked(weir_pool *pool)
{
	return weir__pool_inside(pool) - pool->count[WEIR_PLACE_QUEUED] <
	       pool->results_max;
}

/* The next job that may start now, limits apart. */
static struct weir_record *next_locked(weir_pool *pool, int64_t now_ns)
	WEIR_REQUIRES(pool->mu);

static struct weir_record *
next_locked(weir_pool *pool, int64_t now_ns)
{
	struct weir_record *record = weir__shelf_take_locked(pool, now_ns);

	while (!record && has_result_room_locked(pool)) {
		record = weir__queue_take_locked(pool);
		if (!record)
			break;
		if (!weir__key_admit_locked(pool, record))
			record = NULL;
	}
	return record;
}

/* Does the rate limit let this one start?  If not, it is the next to try. */
static bool limit_admits_locked(weir_pool *pool, struct weir_record *record,
				int64_t now_ns) WEIR_REQUIRES(pool->mu);

static bool
limit_admits_locked(weir_pool *pool, struct weir_record *record, int64_t now_ns)
{
	int64_t wait_ns;

	if (!pool->options.limit ||
	    weir_limit_try_take(pool->options.limit, &wait_ns) == WEIR_OK)
		return true;
	pool->limit_until_ns = weir__deadline_ns(now_ns, wait_ns);
	weir__record_make_next_locked(pool, record);
	return false;
}

/*
 * One submitter for each place that is free.  Under the lock, unlike other
 * wake-ups, because it may be several: jobs that wait for their keys leave
 * the queue without starting.
 */
static void wake_submitters_locked(weir_pool *pool) WEIR_REQUIRES(pool->mu);

static void
wake_submitters_locked(weir_pool *pool)
{
	uint32_t queued = pool->count[WEIR_PLACE_QUEUED];

	for (; queued < pool->options.queue && pool->room.len > 0; queued++)
		weir__kick(weir__waitq_wake_one(&pool->room));
}

static size_t
push_take(weir_pool *pool, struct weir_worker *w, size_t max, bool *hungry)
{
	struct weir_record *record;

	(void)max; /* batches are for the pull form */
	*hungry = false;
	w->now_ns = weir_now_ns();
	weir__mutex_lock(&pool->mu);
	record = next_locked(pool, w->now_ns);
	if (record && !limit_admits_locked(pool, record, w->now_ns))
		record = NULL;
	wake_submitters_locked(pool);
	weir__pool_check_locked(pool);
	weir__mutex_unlock(&pool->mu);
	if (!record)
		return 0;
	/* Accepted since we looked at the clock? Then it is that late. */
	if (w->now_ns < record->accepted_ns)
		w->now_ns = record->accepted_ns;
	w->batch[0] = record;
	return 1;
}

/* Delivered: the record's job is over and its place free again. */
static void deliver_locked(weir_pool *pool, struct weir_record *record)
	WEIR_REQUIRES(pool->mu);

static void
deliver_locked(weir_pool *pool, struct weir_record *record)
{
	weir__record_put_locked(pool, record);
	weir__u64_bump(&pool->delivered, 1);
}

static void count_end_locked(weir_pool *pool, const struct weir_record *record)
	WEIR_REQUIRES(pool->mu);

static void
count_end_locked(weir_pool *pool, const struct weir_record *record)
{
	if (record->result.status == WEIR_OK)
		weir__u64_bump(&pool->ok, 1);
	else
		weir__u64_bump(&pool->failed, 1);
}

/* Finish one record; what is to be woken is kicked with the lock given back. */
static void
push_give_one(weir_pool *pool, struct weir_record *record)
{
	struct weir_park *collector = NULL, *worker = NULL;

	if (pool->options.done)
		pool->options.done(&record->result, record->in, record->out,
				   pool->options.user);
	weir__record_clear(record);
	weir__mutex_lock(&pool->mu);
	count_end_locked(pool, record);
	if (weir__key_release_locked(pool, record) || pool->options.done)
		worker = weir__pool_notify_locked(pool);
	if (pool->options.done) {
		deliver_locked(pool, record);
	} else {
		weir__record_finish_locked(pool, record);
		collector = weir__waitq_wake_one(&pool->taken);
	}
	if (weir__pool_is_finished_locked(pool))
		weir__pool_notify_all_locked(pool);
	weir__pool_check_locked(pool);
	weir__mutex_unlock(&pool->mu);
	weir__kick(collector);
	weir__kick(worker);
}

static void
push_give(weir_pool *pool, struct weir_worker *w, struct weir_record **records,
	  size_t count)
{
	(void)w;
	for (size_t i = 0; i < count; i++)
		push_give_one(pool, records[i]);
}

const struct weir_ends weir__push_ends = {push_take, push_give};

/* Wait until the queue has room: OK, or why not. */
static weir_status wait_room_locked(weir_pool *pool, weir_ctx *ctx)
	WEIR_REQUIRES(pool->mu);

static weir_status
wait_room_locked(weir_pool *pool, weir_ctx *ctx)
{
	int64_t began_ns = 0;
	weir_status status = WEIR_OK;

	while (status == WEIR_OK && weir__pool_level(pool) == WEIR_LEVEL_OPEN &&
	       pool->count[WEIR_PLACE_QUEUED] >= pool->options.queue) {
		if (weir__worker_is_of(pool))
			return WEIR_DEADLOCK;
		if (began_ns == 0)
			began_ns = weir_now_ns();
		status = weir__waitq_wait(&pool->room, &pool->mu, ctx,
					  WEIR_FOREVER);
	}
	if (began_ns != 0)
		pool->blocked_ns += weir_now_ns() - began_ns;
	if (weir__pool_level(pool) != WEIR_LEVEL_OPEN)
		return WEIR_CLOSED;
	return status;
}

/* Accept a job; there is room for it. */
static uint64_t accept_locked(weir_pool *pool, const struct weir_input *in,
			      const weir_job_options *options, weir_ctx *ctx,
			      int64_t now_ns) WEIR_REQUIRES(pool->mu);

static uint64_t
accept_locked(weir_pool *pool, const struct weir_input *in,
	      const weir_job_options *options, weir_ctx *ctx, int64_t now_ns)
{
	struct weir_record *record = weir__record_get_locked(pool);
	uint64_t id;

	/* There are queue + results_max records; see the file's head. */
	weir_assert(record);
	weir__u64_bump(&pool->accepted, 1);
	id = in->id ? in->id : weir__u64_load(&pool->accepted, WEIR_RELAXED);
	weir__record_accept(record, options, id);
	record->accepted_ns = now_ns;
	record->submit_ctx = weir_ctx_ref(ctx);
	if (in->head_size > 0)
		memcpy(record->in, in->head, in->head_size);
	if (pool->options.in_size > in->head_size) {
		weir_assert(in->body);
		memcpy((unsigned char *)record->in + in->head_size, in->body,
		       pool->options.in_size - in->head_size);
	}
	weir__record_enqueue_locked(pool, record);
	return id;
}

weir_status
weir__pool_submit(weir_pool *pool, const struct weir_input *in,
		  const weir_job_options *options, uint64_t *ret_id,
		  weir_ctx *ctx, bool may_wait)
{
	weir_job_options copy = WEIR_JOB_OPTIONS_INIT;
	struct weir_park *wake = NULL;
	int64_t now_ns = weir_now_ns();
	weir_status status = WEIR_OK;
	uint64_t id = 0;

	if (pool->pull || (!in->body && pool->options.in_size > in->head_size))
		return WEIR_INVAL;
	if (options && (!weir__options_copy(&copy, sizeof(copy), options,
					    options->size, sizeof(size_t)) ||
			!weir__job_options_are_valid(&copy)))
		return WEIR_INVAL;
	weir__mutex_lock(&pool->mu);
	if (weir__pool_level(pool) != WEIR_LEVEL_OPEN)
		status = WEIR_CLOSED;
	else if (pool->count[WEIR_PLACE_QUEUED] >= pool->options.queue) {
		status = may_wait ? wait_room_locked(pool, ctx) : WEIR_BUSY;
		now_ns = weir_now_ns();
	}
	if (status == WEIR_OK) {
		id = accept_locked(pool, in, &copy, ctx, now_ns);
		wake = weir__pool_notify_locked(pool);
	}
	weir__pool_check_locked(pool);
	weir__mutex_unlock(&pool->mu);
	weir__kick(wake);
	if (status == WEIR_OK && ret_id)
		*ret_id = id;
	return status;
}

weir_status
weir_pool_submit(weir_pool *pool, const void *in, uint64_t *ret_id,
		 weir_ctx *ctx)
{
	const struct weir_input input = {.body = in};

	return weir__pool_submit(pool, &input, NULL, ret_id, ctx, true);
}

weir_status
weir_pool_submit_with(weir_pool *pool, const void *in,
		      const weir_job_options *options, uint64_t *ret_id,
		      weir_ctx *ctx)
{
	const struct weir_input input = {.body = in};

	return weir__pool_submit(pool, &input, options, ret_id, ctx, true);
}

weir_status
weir_pool_try_submit(weir_pool *pool, const void *in,
		     const weir_job_options *options, uint64_t *ret_id,
		     weir_ctx *ctx)
{
	const struct weir_input input = {.body = in};

	return weir__pool_submit(pool, &input, options, ret_id, ctx, false);
}

/* The error text is the long part, and mostly empty. */
static void
copy_result(weir_result *dest, const weir_result *src)
{
	memcpy(dest, src, offsetof(weir_result, error));
	memcpy(dest->error, src->error, strlen(src->error) + 1);
}

static weir_status
next(weir_pool *pool, weir_result *ret, void *ret_out, weir_ctx *ctx,
     bool may_wait)
{
	struct weir_park *wake = NULL;
	struct weir_record *record;
	weir_status status = WEIR_OK;

	if (pool->pull || pool->options.done)
		return WEIR_INVAL;
	weir__mutex_lock(&pool->mu);
	while (pool->count[WEIR_PLACE_RESULT] == 0 && status == WEIR_OK) {
		if (weir__pool_level(pool) != WEIR_LEVEL_OPEN &&
		    weir__pool_inside(pool) == 0)
			status = WEIR_CLOSED;
		else if (!may_wait)
			status = WEIR_BUSY;
		else if (weir__worker_is_of(pool))
			status = WEIR_DEADLOCK;
		else
			status = weir__waitq_wait(&pool->taken, &pool->mu, ctx,
						  WEIR_FOREVER);
	}
	record = weir__record_take_result_locked(pool);
	if (record) {
		copy_result(ret, &record->result);
		if (ret_out && pool->options.out_size > 0)
			memcpy(ret_out, record->out, pool->options.out_size);
		deliver_locked(pool, record);
		wake = weir__pool_notify_locked(pool);
		if (weir__pool_is_finished_locked(pool))
			weir__pool_notify_all_locked(pool);
		status = WEIR_OK;
	}
	weir__pool_check_locked(pool);
	weir__mutex_unlock(&pool->mu);
	weir__kick(wake);
	return status;
}

weir_status
weir_pool_next(weir_pool *pool, weir_result *ret, void *ret_out, weir_ctx *ctx)
{
	return next(pool, ret, ret_out, ctx, true);
}

weir_status
weir_pool_try_next(weir_pool *pool, weir_result *ret, void *ret_out)
{
	return next(pool, ret, ret_out, NULL, false);
}
