/*
 * The loop of a worker of plain jobs.
 *
 * Design.  The worker has one slot.  It takes a batch - one job, or several
 * if they are short - runs them one after the other, and gives what is
 * finished.  Most jobs are plain in the other sense too: no time-out, no
 * context of a submitter, one attempt that succeeds.  They take a short path
 * here that does what begin and end in attempt.c come to for them.
 *
 * Locking.  None of its own.
 */
#include "core/pool.h"

#include "base/assert.h"

#include <string.h>

/* The room behind out is padded, so zeroing can go by whole blocks. */
static void
zero_out(struct weir_record *record, size_t size)
{
	static const size_t block = _Alignof(max_align_t);
	unsigned char *out = record->out;

	if (size > 4 * block) {
		memset(out, 0, size);
		return;
	}
	for (size_t i = 0; i < size; i += block)
		memset(out + i, 0, block);
}

/* Will the slot's context do for a job that needs nothing of its own? */
static bool
is_ready(const weir_job *slot)
{
	return slot->ctx && weir__ctx_is_fresh(slot->ctx);
}

/* May it take the short path, if the slot is ready? */
static bool
is_simple(const struct weir_record *record)
{
	return record->plain && record->result.attempts == 0 &&
	       !record->submit_ctx;
}

/* The first, and mostly only, attempt at a simple job. True: finished. */
static bool
run_simple(struct weir_worker *w, weir_job *slot, struct weir_record *record)
{
	const weir_pool_options *options = &w->pool->options;
	weir_status status;

	zero_out(record, options->out_size);
	record->result.attempts = 1;
	record->result.worker = w->index;
	record->retry_after_ns = -1;
	slot->record = record;
	w->current_id = record->result.id;
	status =
		options->run(slot->ctx, record->in, record->out, options->user);
	if (status != WEIR_OK || !weir__ctx_is_unshared(slot->ctx))
		return weir__attempt_end(slot, status, 0, w->now_ns);
	slot->record = NULL;
	w->current_id = 0;
	record->result.error[0] = '\0';
	return true;
}

/* Any job. alone: it is timed by itself. True: finished. */
static bool
run_any(struct weir_worker *w, weir_job *slot, struct weir_record *record,
	bool alone)
{
	const weir_pool_options *options = &w->pool->options;
	int64_t began_ns = w->now_ns;
	weir_status status;

	/* A time-out is the job's own, not shared by the batch. */
	if (!alone && record->timeout_ns != WEIR_FOREVER)
		began_ns = weir_now_ns();
	if (weir__attempt_begin(slot, record, began_ns) != WEIR_OK)
		return true;
	status =
		options->run(slot->ctx, record->in, record->out, options->user);
	if (!alone)
		return weir__attempt_end(slot, status, 0, began_ns);
	w->now_ns = weir_now_ns();
	return weir__attempt_end(slot, status, w->now_ns - began_ns, w->now_ns);
}

/* Shutting down: the rest of a batch starts no more, and is swept. */
static void
put_back(struct weir_worker *w, size_t from, size_t count)
{
	/* From here on somebody else may sweep them, and end the pool. */
	weir__u32_store(&w->running, 0, WEIR_RELAXED);
	weir__mutex_lock(&w->pool->mu);
	for (size_t i = from; i < count; i++)
		weir__record_make_ready_locked(w->pool, w->batch[i]);
	weir__mutex_unlock(&w->pool->mu);
}

/*
 * Run w->batch[0 .. count - 1] and keep those that are finished, in order.
 * Several at a time are short: one look at the clock serves them all.
 */
static size_t
run_batch(struct weir_worker *w, weir_job *slot, size_t count)
{
	int64_t began_ns = w->now_ns, took_ns, share_ns;
	bool ready = is_ready(slot);
	size_t finished = 0;

	for (size_t i = 0; i < count; i++) {
		struct weir_record *record = w->batch[i];
		bool done;

		if (i > 0 && weir__pool_level(w->pool) >= WEIR_LEVEL_SOON) {
			put_back(w, i, count);
			break;
		}
		if (ready && is_simple(record)) {
			done = run_simple(w, slot, record);
			ready = slot->ctx; /* unless the job kept it */
		} else {
			done = run_any(w, slot, record, count == 1);
			ready = is_ready(slot);
		}
		if (done)
			w->batch[finished++] = record;
		else if (i + 1 < count)
			weir__u32_store(&w->running, 1, WEIR_RELAXED);
	}
	w->now_ns = weir_now_ns();
	took_ns = w->now_ns - began_ns;
	share_ns = count == 1 ? took_ns : took_ns / (int64_t)count;
	for (size_t i = 0; i < finished; i++) {
		weir_result *result = &w->batch[i]->result;

		result->total_ns = w->now_ns - w->batch[i]->accepted_ns;
		if (w->batch[i]->plain && result->attempts == 1)
			result->wait_ns = began_ns - w->batch[i]->accepted_ns;
		if (result->run_ns == 0 && result->attempts > 0)
			result->run_ns = share_ns;
	}
	if (w->pool->pull)
		weir__pull_adapt(w, count, took_ns, share_ns);
	return finished;
}

/* The whole life of a worker of plain jobs. */
void
weir__batch_loop(struct weir_worker *w)
{
	weir_pool *pool = w->pool;
	weir_job *slot;
	size_t count;

	weir__worker_slots(w);
	slot = weir_container_of(weir__list_pop(&w->free_slots), weir_job,
				 link);
	w->now_ns = weir_now_ns();
	weir__pull_set_active(w, true);
	while ((count = weir__worker_take(w)) > 0) {
		weir__u32_store(&w->running, 1, WEIR_RELAXED);
		count = run_batch(w, slot, count);
		weir__u32_store(&w->running, 0, WEIR_RELAXED);
		if (count > 0)
			pool->ends->give(pool, w, w->batch, count);
		/* A long job got us written off; here we are again. */
		if (!weir__u32_load(&w->active, WEIR_RELAXED))
			weir__pull_set_active(w, true);
		if (w->cost_ns < WEIR_SHORT_JOB_NS && pool->pull &&
		    weir__u32_load(&pool->active, WEIR_RELAXED) > 1)
			weir__pull_rest(w);
	}
	weir__pull_set_active(w, false);
	/* Those who are parked as surplus announce nothing; tell them. */
	weir__pool_notify_if_finished(pool);
	weir__list_append(&w->free_slots, &slot->link);
}
