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

/* Batches grow while one takes less than the first, shrink above the second. */
#define BATCH_SHORT_NS (5 * WEIR_US)
#define BATCH_LONG_NS  (10 * WEIR_US)
/* The average can always rise by a quarter of this. */
#define COST_STEP_NS 400

/* The room behind out is padded, so zeroing can go by whole blocks. */
static inline void
zero_out(struct weir_record *record, size_t size)
{
	if (size > _Alignof(max_align_t))
		memset(record->out, 0, size);
	else if (size > 0)
		memset(record->out, 0, _Alignof(max_align_t));
}

/* Will the slot's context do for a job that needs nothing of its own? */
static bool
is_ready(const weir_job *slot)
{
	return slot->ctx && weir__ctx_is_fresh(slot->ctx);
}

/*
 * The first, and mostly only, attempt at a simple job.  False: it did not end,
 * or ended in a way that is not simple; *ret_status has what it returned.
 */
static inline bool
run_simple(struct weir_worker *w, weir_job *slot, struct weir_record *record,
	   weir_status *ret_status)
{
	const weir_pool_options *options = &w->pool->options;

	zero_out(record, options->out_size);
	record->simple = false;
	record->result.attempts = 1;
	record->result.worker = w->index;
	slot->record = record;
	slot->retry_after_ns = -1;
	w->current_id = record->result.id;
	*ret_status =
		options->run(slot->ctx, record->in, record->out, options->user);
	if (*ret_status != WEIR_OK)
		return false;
	/* weir_job_fail() may have been called in vain. */
	record->result.error[0] = '\0';
	return weir__ctx_is_unshared(slot->ctx);
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
		began_ns = weir__worker_look(w);
	if (weir__attempt_begin(slot, record, began_ns) != WEIR_OK)
		return true;
	status =
		options->run(slot->ctx, record->in, record->out, options->user);
	if (!alone)
		return weir__attempt_end(slot, status, 0, began_ns);
	weir__worker_look(w);
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
 * The claim.  While a worker is inside a batch in push form, others may find
 * that it gets nowhere and take over the rest (push.c).  Each job is therefore
 * claimed before it begins, by a compare-and-swap that fails if the batch has
 * been seized meanwhile.  The job that runs stays the worker's own.
 *
 *      batch:   [ ended ] [ ended ] [ runs ] [ not begun ] [ not begun ]
 *      claim:                          3
 *      seized:   theirs    theirs     ours      theirs        theirs
 *
 * Release: what was done to the records before; pairs with seize_locked().
 */
static void
claim_open(struct weir_worker *w)
{
	uint32_t batch = (weir__u32_load(&w->claim, WEIR_RELAXED) >> 8) + 1;

	weir__u32_store(&w->claim, batch << 8, WEIR_RELEASE_ORDER);
}

/* Claim one more, or, with NONE, end the batch.  False: it was seized. */
static bool
claim_set(struct weir_worker *w, uint32_t begun)
{
	uint32_t claim = weir__u32_load(&w->claim, WEIR_RELAXED);

	/* unreached: seized between these two; a race of nanoseconds */
	return (claim & 0xff) != WEIR_CLAIM_NONE &&
	       weir__u32_cas(
		       &w->claim, claim, (claim & ~0xffu) | begun,
		       WEIR_ORDER(CLAIM_ORDER, WEIR_ACQ_REL, WEIR_RELAXED));
}

static inline int64_t
not_negative(int64_t n)
{
	return n > 0 ? n : 0;
}

void
weir__batch_conclude(struct weir_record *record, int64_t began_ns,
		     int64_t share_ns, int64_t now_ns)
{
	weir_result *result = &record->result;
	int64_t accepted_ns = record->accepted_ns;

	/* In a hurry the submitter may have looked at its clock after us. */
	if (record->plain && result->attempts == 1)
		result->wait_ns = not_negative(began_ns - accepted_ns);
	if (result->run_ns == 0 && result->attempts > 0)
		result->run_ns = share_ns;
	result->total_ns = not_negative(now_ns - accepted_ns);
}

/*
 * May job i of the batch begin?  If not, it and those after it are put back or
 * somebody else's by now; *ret_ours: from which on they are still ours.
 */
static inline bool
may_begin(struct weir_worker *w, size_t i, size_t count, size_t *ret_ours)
{
	bool claims = !w->pool->pull;

	if (i > 0 && weir__pool_level(w->pool) >= WEIR_LEVEL_SOON) {
		if (!claims || claim_set(w, WEIR_CLAIM_NONE))
			put_back(w, i, count);
		else
			*ret_ours = i - 1;
		return false;
	}
	if (claims && !claim_set(w, (uint32_t)i + 1)) {
		*ret_ours = i - 1;
		return false;
	}
	return true;
}

/* Run one job.  *ready is kept: may the next one take the short path? */
static inline bool
run_one(struct weir_worker *w, struct weir_record *record, size_t count,
	bool *ready)
{
	weir_job *slot = w->slot;
	weir_status status;
	bool done;

	if (*ready && record->simple) {
		if (run_simple(w, slot, record, &status))
			return true;
		done = weir__attempt_end(slot, status, 0, w->now_ns);
		*ready = slot->ctx; /* unless the job kept it */
		return done;
	}
	/* What the short path has left behind. */
	slot->record = NULL;
	done = run_any(w, slot, record, count == 1);
	*ready = is_ready(slot);
	return done;
}

/*
 * Run the jobs of the batch one after the other; those that did not end are
 * taken out of it.  How many were run before it was over.
 */
static size_t
run_jobs(struct weir_worker *w, size_t count, size_t *ret_ours)
{
	bool ready = is_ready(w->slot);
	size_t i;

	*ret_ours = 0;
	for (i = 0; i < count && may_begin(w, i, count, ret_ours); i++) {
		if (run_one(w, w->batch[i], count, &ready))
			continue;
		w->batch[i] = NULL;
		if (i + 1 < count)
			weir__u32_store(&w->running, 1, WEIR_RELAXED);
	}
	w->slot->record = NULL;
	w->current_id = 0;
	if (i == count && !w->pool->pull && !claim_set(w, WEIR_CLAIM_NONE))
		*ret_ours = count - 1;
	return i;
}

/* Those of the batch that have ended and are ours, to its front. */
static size_t
gather(struct weir_worker *w, size_t from, size_t to, int64_t began_ns,
       int64_t share_ns)
{
	size_t ended = 0;

	/* Whoever seized the others may be reading the batch just now. */
	if (from > 0) {
		weir__mutex_lock(&w->pool->mu);
		weir__mutex_unlock(&w->pool->mu);
	}
	for (size_t i = from; i < to; i++) {
		if (!w->batch[i])
			continue;
		weir__batch_conclude(w->batch[i], began_ns, share_ns,
				     w->now_ns);
		w->batch[ended++] = w->batch[i];
	}
	return ended;
}

uint32_t
weir__batch_most(const weir_pool *pool)
{
	uint32_t most = pool->options.batch_max, active, share;

	if (!pool->pull)
		return most;
	active = weir__u32_load(&pool->active, WEIR_RELAXED);
	/* unreached: written off just now, and yet short; a matter of luck */
	share = weir__pool_capacity(pool) / (active > 0 ? active : 1);
	if (most > share)
		most = share;
	/* unreached: more are active than fit in, while it gets narrower */
	return most > 0 ? most : 1;
}

/*
 * A moving average of what a job takes.  One sample counts for four times the
 * average at most: threads are put aside now and then, and one such batch must
 * not make short jobs look long.
 */
void
weir__batch_note_cost(int64_t *cost_ns, int64_t each_ns)
{
	int64_t most_ns = 4 * *cost_ns + COST_STEP_NS;

	if (*cost_ns < 0) {
		*cost_ns = each_ns;
		return;
	}
	if (each_ns > most_ns)
		each_ns = most_ns;
	*cost_ns += (each_ns - *cost_ns) / 4;
}

static void
batch_adapt(struct weir_worker *w, size_t jobs, int64_t took_ns,
	    int64_t each_ns)
{
	weir__batch_note_cost(&w->cost_ns, each_ns);
	if (took_ns > BATCH_LONG_NS) {
		w->batch_want =
			each_ns > BATCH_SHORT_NS ? 1 : (w->batch_want + 1) / 2;
	} else if (w->batch_hold > 0) {
		w->batch_hold--;
	} else if (took_ns < BATCH_SHORT_NS && jobs == w->batch_want &&
		   jobs < WEIR_BATCH_MAX) {
		uint32_t most = weir__batch_most(w->pool);

		w->batch_want =
			2 * w->batch_want < most ? 2 * w->batch_want : most;
	}
	if (w->pool->pull)
		weir__pull_adapt(w);
	else
		weir__push_adapt(w);
}

/* Several at a time are short: one look at the clock serves them all. */
size_t
weir__batch_run(struct weir_worker *w, size_t count)
{
	int64_t began_ns = w->now_ns, took_ns, share_ns;
	size_t ours, ran;

	weir__u32_store(&w->running, 1, WEIR_RELAXED);
	if (!w->pool->pull)
		claim_open(w);
	ran = run_jobs(w, count, &ours);
	weir_assert(ran > 0);
	weir__worker_look(w);
	took_ns = w->now_ns - began_ns;
	share_ns = ran == 1 ? took_ns : took_ns / (int64_t)ran;
	count = gather(w, ours, ran, began_ns, share_ns);
	batch_adapt(w, ran, took_ns, share_ns);
	weir__u32_store(&w->running, 0, WEIR_RELAXED);
	return count;
}

/* Nothing more to do with this worker: hand over to the others. */
static void
stop_watching(struct weir_worker *w)
{
	weir_pool *pool = w->pool;
	struct weir_park *wake = NULL;

	weir__mutex_lock(&pool->mu);
	weir__push_hold_locked(pool, w, 0);
	if (w->written_off)
		w->written_off = false;
	else
		weir__u32_sub(&pool->watchful, 1, WEIR_SEQ_CST);
	if (!pool->pull && weir__pool_has_waiting_locked(pool))
		wake = weir__pool_notify_locked(pool);
	/* The pool may be narrower now, and those who stay be parked. */
	weir__pull_wake_surplus_locked(pool);
	weir__mutex_unlock(&pool->mu);
	weir__kick(wake);
}

/* The whole life of a worker of plain jobs. */
void
weir__batch_loop(struct weir_worker *w)
{
	weir_pool *pool = w->pool;
	size_t count;

	weir__worker_slots(w);
	w->slot = weir_container_of(weir__list_pop(&w->free_slots), weir_job,
				    link);
	weir__worker_look(w);
	weir__u32_add(&pool->watchful, 1, WEIR_SEQ_CST);
	weir__pull_set_active(w, true);
	while ((count = weir__worker_take(w)) > 0) {
		count = pool->isolated ? weir__isolated_run(w, count)
				       : weir__batch_run(w, count);
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
	stop_watching(w);
	/* Those who are parked as surplus announce nothing; tell them. */
	weir__pool_notify_if_finished(pool);
	weir__list_append(&w->free_slots, &w->slot->link);
}
