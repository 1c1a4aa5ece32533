/*
 * The way out of a pool in push form.
 *
 * Design.  A collector takes the oldest results under mu, and does the rest
 * without: copying them, sending the records back to the submitters, and only
 * then counting them as delivered, so that a record is free before there is
 * room for a job that needs it.
 *
 * Locking.  mu.
 */
#include "core/pool.h"

#include "sync/data.h"

#include <string.h>

/* The error text is the long part, and mostly empty. */
static void
copy_result(weir_result *dest, const weir_result *src)
{
	memcpy(dest, src, offsetof(weir_result, error));
	if (src->error[0] == '\0')
		dest->error[0] = '\0';
	else
		memcpy(dest->error, src->error, strlen(src->error) + 1);
}

/*
 * There is room for results again.  While callers help, a submitter that waits
 * would rather run the next jobs itself than see a worker woken for them; if it
 * cannot, it wakes one (submit.c).
 */
static void
announce_room(weir_pool *pool)
{
	struct weir_park *wake;

	weir__mutex_lock(&pool->mu);
	weir__u32_store(&pool->wants_room, 0, WEIR_RELAXED);
	if (pool->options.caller_helps && pool->room_patient.len > 0)
		wake = weir__waitq_wake_one(&pool->room_patient);
	else
		wake = weir__pool_notify_locked(pool);
	weir__mutex_unlock(&pool->mu);
	weir__kick(wake);
}

/*
 * Count them out.  A worker that waits for room, a collector that waits for
 * the end: both have said so before they looked, and we look after this.
 */
static void
deliver(weir_pool *pool, size_t count)
{
	weir__u64_add(
		&pool->delivered, count,
		WEIR_ORDER(DELIVERED_ORDER, WEIR_SEQ_CST, WEIR_RELEASE_ORDER));
	if (weir__u32_load(&pool->wants_room, WEIR_SEQ_CST) &&
	    !WEIR_MUTATED(WAKE_FOR_ROOM))
		announce_room(pool);
	if (weir__pool_level(pool) != WEIR_LEVEL_OPEN &&
	    !WEIR_MUTATED(WAKE_LAST_DELIVERED))
		weir__pool_notify_if_finished(pool);
}

/* Hand over results that are in nobody's books any more. */
static void
hand_over(weir_pool *pool, struct weir_record **records, size_t count,
	  weir_result *rets, void *ret_outs)
{
	size_t out_size = pool->options.out_size;

	for (size_t i = 0; i < count; i++) {
		weir__data_read(records[i]);
		copy_result(&rets[i], &records[i]->result);
		if (ret_outs && out_size > 0)
			memcpy((unsigned char *)ret_outs + i * out_size,
			       records[i]->out, out_size);
	}
	weir__records_return(pool, records, count);
	deliver(pool, count);
}

/* There is no result: what now?  OK to look again, or why not. */
static weir_status wait_result_locked(weir_pool *pool, weir_ctx *ctx,
				      int *patience) WEIR_REQUIRES(pool->mu);

static weir_status
wait_result_locked(weir_pool *pool, weir_ctx *ctx, int *patience)
{
	weir_status status = WEIR_OK;
	bool helped = false;

	if (weir__worker_is_of(pool))
		return WEIR_DEADLOCK;
	if (pool->options.caller_helps) {
		weir__mutex_unlock(&pool->mu);
		helped = weir__push_help(pool);
		weir__mutex_lock(&pool->mu);
	}
	/* unreached: closed between two locks; a race of nanoseconds */
	if (!helped && pool->count[WEIR_PLACE_RESULT] == 0 &&
	    !weir__pool_is_over(pool))
		status = weir__push_wait_locked(pool, &pool->taken_patient,
						&pool->taken, patience, ctx);
	return status;
}

/* Up to max records with results, waiting for the first: OK or why not. */
static weir_status
collect(weir_pool *pool, struct weir_record **records, size_t max,
	size_t *ret_count, weir_ctx *ctx, bool may_wait)
{
	weir_status status = WEIR_OK;
	int patience = 0;

	if (pool->pull || pool->options.done)
		return WEIR_INVAL;
	weir__mutex_lock(&pool->mu);
	while (pool->count[WEIR_PLACE_RESULT] == 0 && status == WEIR_OK) {
		if (weir__pool_is_over(pool))
			status = WEIR_CLOSED;
		else if (!may_wait)
			status = WEIR_BUSY;
		else
			status = wait_result_locked(pool, ctx, &patience);
	}
	*ret_count = weir__results_take_locked(pool, records, max);
	weir__pool_check_locked(pool);
	weir__mutex_unlock(&pool->mu);
	return *ret_count > 0 ? WEIR_OK : status;
}

static weir_status
next(weir_pool *pool, weir_result *ret, void *ret_out, weir_ctx *ctx,
     bool may_wait)
{
	struct weir_record *record;
	size_t count;
	weir_status status = collect(pool, &record, 1, &count, ctx, may_wait);

	if (status == WEIR_OK)
		hand_over(pool, &record, 1, ret, ret_out);
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

weir_status
weir_pool_next_many(weir_pool *pool, weir_result *rets, void *ret_outs,
		    size_t max, size_t *ret_count, weir_ctx *ctx)
{
	struct weir_record *records[2 * WEIR_BATCH_MAX];
	size_t most = sizeof(records) / sizeof(records[0]), count;
	weir_status status;

	if (max == 0)
		return WEIR_INVAL;
	status = collect(pool, records, max < most ? max : most, &count, ctx,
			 true);
	if (status != WEIR_OK)
		return status;
	hand_over(pool, records, count, rets, ret_outs);
	*ret_count = count;
	return WEIR_OK;
}
