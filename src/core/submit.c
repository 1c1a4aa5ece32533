/*
 * The way into a pool in push form.
 *
 * Design.  A submitter fills a free record and puts it into the inbox, a ring
 * of as many places as the queue has; raising `accepted` publishes it.  What
 * it needs for that is its own, or comes over one word: records come back over
 * the stack `returned`, and `left` says how many jobs have left the queue.  So
 * the submitter takes submit_mu, which only submitters (and a shutdown) take,
 * and a single one that feeds a pool never meets anybody there: an
 * uncontended compare-and-swap, and no lock that workers hold.
 *
 *      left ......... fetched ......... accepted
 *        |  queues, if    |   inbox        |
 *        |  sorted out    |                |     accepted - left <= queue
 *
 * When the queue is full it waits under mu, where jobs leave the queue.
 *
 * Locking.  submit_mu, then mu.  The level rises under both, so that neither
 * a submitter nor a worker sees it rise half-way through.
 */
#include "core/pool.h"

#include "base/assert.h"
#include "base/options.h"
#include "sync/data.h"

#include <string.h>

/* A record from the ones we have, or from those that have come back. */
static struct weir_record *spare_get_locked(weir_pool *pool)
	WEIR_REQUIRES(pool->submit_mu);

static struct weir_record *
spare_get_locked(weir_pool *pool)
{
	struct weir_list *link = pool->spares;

	/* Acquire: pairs with weir__records_return(). */
	if (!link)
		link = weir__pointer_of(weir__u64_exchange(
			&pool->returned, 0,
			WEIR_ORDER(REUSE_ORDER, WEIR_ACQUIRE_ORDER,
				   WEIR_RELAXED)));
	/*
	 * There are queue + results_max, no more are inside, and they come
	 * back before they are counted out.
	 */
	weir_assert(link);
	pool->spares = link->next;
	return weir_container_of(link, struct weir_record, link);
}

/* Is there room in the queue? */
static bool has_room_locked(weir_pool *pool) WEIR_REQUIRES(pool->submit_mu);

static bool
has_room_locked(weir_pool *pool)
{
	uint64_t accepted = weir__u64_load(&pool->accepted, WEIR_RELAXED);

	if (accepted - pool->left_seen < pool->options.queue)
		return true;
	/* Acquire: the place is empty; pairs with take_plain_locked(). */
	pool->left_seen = weir__u64_load(
		&pool->left,
		WEIR_ORDER(LEFT_SEEN_ORDER, WEIR_ACQUIRE_ORDER, WEIR_RELAXED));
	return accepted - pool->left_seen < pool->options.queue;
}

static void
copy_input(struct weir_record *record, const struct weir_input *in, size_t size)
{
	if (in->head_size > 0)
		memcpy(record->in, in->head, in->head_size);
	if (size > in->head_size) {
		weir_assert(in->body);
		memcpy((unsigned char *)record->in + in->head_size, in->body,
		       size - in->head_size);
	}
}

static const weir_job_options plain_options = WEIR_JOB_OPTIONS_INIT;

/* Accept a job; there is room for it.  No options: a plain one. */
static uint64_t accept_locked(weir_pool *pool, const struct weir_input *in,
			      const weir_job_options *options, weir_ctx *ctx)
	WEIR_REQUIRES(pool->submit_mu);

static uint64_t
accept_locked(weir_pool *pool, const struct weir_input *in,
	      const weir_job_options *options, weir_ctx *ctx)
{
	uint64_t before = weir__u64_load(&pool->accepted, WEIR_RELAXED);
	struct weir_record *record = spare_get_locked(pool);
	uint64_t id = in->id ? in->id : before + 1;

	weir__list_init(&record->link);
	if (options || !record->plain)
		weir__record_accept(record, options ? options : &plain_options,
				    id);
	else
		weir__record_accept_plain(record, id);
	/* Those who set timers by it need the real one. */
	record->accepted_ns = pool->async
				      ? weir_now_ns()
				      : weir__clock_now(&pool->submit_clock);
	record->submit_ctx = ctx;
	if (ctx) {
		weir_ctx_ref(ctx);
		record->simple = false;
	}
	copy_input(record, in, pool->options.in_size);
	if (!record->plain && record->priority != WEIR_PRIORITY_FIRST)
		weir__u32_store(&pool->is_ranked, 1, WEIR_RELAXED);
	weir__data_write(record);
	pool->inbox[before & pool->inbox_mask] = record;
	/*
	 * Release publishes the record.  Sequentially consistent, because what
	 * follows is a look at who is going to find it (README.md).
	 */
	if (WEIR_MUTATED(PUBLISH_ORDER))
		weir__u64_store(&pool->accepted, before + 1, WEIR_RELAXED);
	else if (WEIR_MUTATED(PUBLISH_FENCE))
		weir__u64_store(&pool->accepted, before + 1,
				WEIR_RELEASE_ORDER);
	else
		weir__u64_exchange(&pool->accepted, before + 1, WEIR_SEQ_CST);
	return id;
}

/*
 * There are jobs in the queue: is somebody going to look?  While jobs are
 * short, a worker that is at it is enough, and where callers help, so is one
 * that looks every fifth of a millisecond.
 */
static bool
is_minded(const weir_pool *pool)
{
	if (weir__pool_is_short(pool)) {
		if (weir__u32_load(&pool->watchful, WEIR_SEQ_CST) > 0)
			return true;
		if (pool->options.caller_helps &&
		    weir__u32_load(&pool->armed, WEIR_SEQ_CST))
			return true;
	}
	return !weir__u32_load(&pool->sleepers, WEIR_SEQ_CST);
}

/*
 * Where callers help, one may have been woken in place of a worker (next.c),
 * and not have helped, because jobs are short no more or all workers are lent:
 * before it waits again it passes the wake-up on.
 */
static void pass_on_locked(weir_pool *pool) WEIR_REQUIRES(pool->mu);

static void
pass_on_locked(weir_pool *pool)
{
	if (pool->options.caller_helps && !is_minded(pool) &&
	    !WEIR_MUTATED(HELP_PASS_ON))
		weir__kick(weir__pool_notify_locked(pool));
}

/* The queue is full.  OK to try again, or why not. */
static weir_status
wait_room(weir_pool *pool, int *patience, weir_ctx *ctx)
{
	weir_status status = WEIR_OK;
	int64_t began_ns;

	if (weir__worker_is_of(pool))
		return WEIR_DEADLOCK;
	if (weir__push_help(pool))
		return WEIR_OK;
	began_ns = weir_now_ns();
	weir__mutex_lock(&pool->mu);
	/* unreached: closed since our look; a race of nanoseconds */
	if (weir__pool_level(pool) == WEIR_LEVEL_OPEN &&
	    weir__pool_queued(pool) >= pool->options.queue) {
		pass_on_locked(pool);
		status = weir__push_wait_locked(pool, &pool->room_patient,
						&pool->room, patience, ctx);
		pool->blocked_ns += weir_now_ns() - began_ns;
	}
	weir__mutex_unlock(&pool->mu);
	return status;
}

/* Jobs have been published: see to it that somebody looks. */
static void
announce(weir_pool *pool)
{
	if (!is_minded(pool) && !WEIR_MUTATED(WAKE_WORKER))
		weir__pool_notify(pool);
}

/* Submit without waiting: OK, BUSY or CLOSED. */
static weir_status
submit_now(weir_pool *pool, const struct weir_input *in,
	   const weir_job_options *options, uint64_t *ret_id, weir_ctx *ctx)
{
	weir_status status = WEIR_OK;
	uint64_t id = 0;
	/* The mistake of looking before the claim instead of with it. */
	bool looked = WEIR_MUTATED(SUBMIT_LEVEL) &&
		      weir__pool_level(pool) == WEIR_LEVEL_OPEN;

	weir__mutex_lock(&pool->submit_mu);
	if (!(WEIR_MUTATED(SUBMIT_LEVEL) && looked) &&
	    weir__pool_level(pool) != WEIR_LEVEL_OPEN)
		status = WEIR_CLOSED;
	else if (!has_room_locked(pool))
		status = WEIR_BUSY;
	else
		id = accept_locked(pool, in, options, ctx);
	weir__mutex_unlock(&pool->submit_mu);
	if (status != WEIR_OK)
		return status;
	announce(pool);
	if (ret_id)
		*ret_id = id;
	return WEIR_OK;
}

weir_status
weir__pool_submit(weir_pool *pool, const struct weir_input *in,
		  const weir_job_options *options, uint64_t *ret_id,
		  weir_ctx *ctx, bool may_wait)
{
	weir_status status;
	int patience = 0;

	if (pool->pull || (!in->body && pool->options.in_size > in->head_size))
		return WEIR_INVAL;
	status = submit_now(pool, in, options, ret_id, ctx);
	while (status == WEIR_BUSY && may_wait) {
		status = wait_room(pool, &patience, ctx);
		if (status == WEIR_OK)
			status = submit_now(pool, in, options, ret_id, ctx);
	}
	return status;
}

/* The same with options of the caller's, as large as the caller knows them. */
static weir_status
submit_with(weir_pool *pool, const void *in, const weir_job_options *options,
	    uint64_t *ret_id, weir_ctx *ctx, bool may_wait)
{
	const struct weir_input input = {.body = in};
	weir_job_options copy = WEIR_JOB_OPTIONS_INIT;

	if (options && (!weir__options_copy(&copy, sizeof(copy), options,
					    options->size, sizeof(size_t)) ||
			!weir__job_options_are_valid(&copy)))
		return WEIR_INVAL;
	return weir__pool_submit(pool, &input, &copy, ret_id, ctx, may_wait);
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
	return submit_with(pool, in, options, ret_id, ctx, true);
}

weir_status
weir_pool_try_submit(weir_pool *pool, const void *in,
		     const weir_job_options *options, uint64_t *ret_id,
		     weir_ctx *ctx)
{
	return submit_with(pool, in, options, ret_id, ctx, false);
}

/* As many as there is room for, up to count. */
static size_t
submit_some(weir_pool *pool, const unsigned char *ins, size_t count,
	    weir_ctx *ctx, bool *ret_closed)
{
	size_t done = 0;

	weir__mutex_lock(&pool->submit_mu);
	*ret_closed = weir__pool_level(pool) != WEIR_LEVEL_OPEN;
	while (!*ret_closed && done < count && has_room_locked(pool)) {
		const struct weir_input in = {
			.body = ins + done * pool->options.in_size};

		(void)accept_locked(pool, &in, NULL, ctx);
		done++;
	}
	weir__mutex_unlock(&pool->submit_mu);
	if (done > 0)
		announce(pool);
	return done;
}

weir_status
weir_pool_submit_many(weir_pool *pool, const void *ins, size_t count,
		      size_t *ret_accepted, weir_ctx *ctx)
{
	weir_status status = WEIR_OK;
	size_t done = 0;
	int patience = 0;
	bool closed;

	*ret_accepted = 0;
	if (pool->pull || (!ins && count > 0 && pool->options.in_size > 0))
		return WEIR_INVAL;
	while (status == WEIR_OK && done < count) {
		size_t some = submit_some(pool,
					  (const unsigned char *)ins +
						  done * pool->options.in_size,
					  count - done, ctx, &closed);

		done += some;
		if (some > 0)
			patience = 0;
		if (closed)
			status = WEIR_CLOSED;
		else if (some == 0)
			status = wait_room(pool, &patience, ctx);
	}
	*ret_accepted = done;
	return status;
}
