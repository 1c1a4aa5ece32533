/*
 * The push form from the workers' side: taking jobs, giving results, and
 * taking over what is stuck.  submit.c is the way in, next.c the way out.
 *
 * Design.  Submitted jobs wait in the inbox, a ring that submitters fill
 * without the pool's lock, and from there go straight into a worker's batch.
 * Only while something has to be sorted out - priorities, keys, a rate limit,
 * jobs on the shelf - are they moved into the queues first and taken one by
 * one.  A worker takes a job only when there is room for its result, so
 * finishing never waits:
 *
 *      left - delivered - handed back < results_max    before a job leaves
 *
 * and with results_max >= workers no slot stays empty for want of a consumer
 * that is itself waiting for that slot.
 *
 * With a `done` callback there are no results to wait; the callback runs on
 * the worker, which holds its slot until it returns.
 *
 * Who is woken when is in README.md under "Few wake-ups".
 *
 * Locking.  Under the pool's mu, except that callbacks run without it.
 */
#include "core/pool.h"

#include "base/assert.h"
#include "sync/data.h"

/* Below, and above, this cost jobs are short, and are so no more. */
#define SHORT_NS 1500
#define LONG_NS  3000
/* How long a submitter or a collector is patient, each time. */
#define PATIENCE_NS (500 * WEIR_US)
/* After so many times in vain it wants to be woken for each single thing. */
#define PATIENCE_MAX 3

/* How many jobs may leave the queue: there is a place for their results. */
static size_t
result_room(const weir_pool *pool)
{
	uint64_t out = weir__u64_load(&pool->delivered, WEIR_SEQ_CST) +
		       weir__u64_load(&pool->handed_back, WEIR_SEQ_CST);
	uint64_t begun = weir__u64_load(&pool->left, WEIR_RELAXED) - out;

	return begun < pool->results_max ? pool->results_max - (size_t)begun
					 : 0;
}

/*
 * The same, and if there is none, say so: whoever delivers next tells us.
 * Said, then looked again; there, delivered, then looked (README.md).
 */
static size_t result_room_or_ask_locked(weir_pool *pool)
	WEIR_REQUIRES(pool->mu);

static size_t
result_room_or_ask_locked(weir_pool *pool)
{
	size_t room = result_room(pool);

	if (room > 0)
		return room;
	weir__u32_store(
		&pool->wants_room, 1,
		WEIR_ORDER(ROOM_ASK_ORDER, WEIR_SEQ_CST, WEIR_RELEASE_ORDER));
	return WEIR_MUTATED(ROOM_LOOK_AGAIN) ? 0 : result_room(pool);
}

/* The next job that may start now, limits apart. */
static struct weir_record *next_locked(weir_pool *pool, int64_t now_ns)
	WEIR_REQUIRES(pool->mu);

static struct weir_record *
next_locked(weir_pool *pool, int64_t now_ns)
{
	struct weir_record *record = weir__shelf_take_locked(pool, now_ns);

	while (!record && weir__pool_queued(pool) > 0 &&
	       result_room_or_ask_locked(pool) > 0) {
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

/* One job, when they have to be sorted out. */
static size_t take_sorted_locked(weir_pool *pool, struct weir_worker *w)
	WEIR_REQUIRES(pool->mu);

static size_t
take_sorted_locked(weir_pool *pool, struct weir_worker *w)
{
	struct weir_record *record;

	weir__inbox_drain_locked(pool);
	record = next_locked(pool, w->now_ns);
	if (!record || !limit_admits_locked(pool, record, w->now_ns))
		return 0;
	w->batch[0] = record;
	return 1;
}

/* Must jobs be sorted out, or does the oldest always come first? */
static bool is_sorted_locked(const weir_pool *pool, int64_t now_ns)
	WEIR_REQUIRES(pool->mu);

static bool
is_sorted_locked(const weir_pool *pool, int64_t now_ns)
{
	return pool->options.limit || pool->options.key_slots > 0 ||
	       weir__u32_load(&pool->is_ranked, WEIR_RELAXED) ||
	       pool->count[WEIR_PLACE_QUEUED] > 0 ||
	       (int64_t)weir__u64_load(&pool->shelf_due_ns, WEIR_RELAXED) <=
		       now_ns;
}

/* Jobs from the inbox, as they come. */
static size_t take_plain_locked(weir_pool *pool, struct weir_worker *w,
				size_t max) WEIR_REQUIRES(pool->mu);

static size_t
take_plain_locked(weir_pool *pool, struct weir_worker *w, size_t max)
{
	size_t room, count;

	if (weir__inbox_len_locked(pool) == 0)
		return 0;
	room = result_room_or_ask_locked(pool);
	count = weir__inbox_take_locked(pool, w->batch,
					room < max ? room : max);
	/* Release: the inbox's slots were read; pairs with has_room(). */
	if (count > 0)
		weir__u64_store(&pool->left,
				weir__u64_load(&pool->left, WEIR_RELAXED) +
					count,
				WEIR_ORDER(INBOX_LEFT_ORDER, WEIR_RELEASE_ORDER,
					   WEIR_RELAXED));
	return count;
}

/* So many of those who wait there, at most. */
static void
wake_some(struct weir_waitq *q, uint64_t count)
{
	for (; count > 0 && q->len > 0; count--)
		weir__kick(weir__waitq_wake_one(q));
}

/*
 * One submitter for each place that is free, the patient ones only when most
 * of the queue is.  Under the lock, unlike other wake-ups, because it may be
 * several.
 */
static void wake_submitters_locked(weir_pool *pool, uint64_t queued)
	WEIR_REQUIRES(pool->mu);

static void
wake_submitters_locked(weir_pool *pool, uint64_t queued)
{
	uint64_t most = pool->options.queue;

	if (queued >= most || WEIR_MUTATED(WAKE_SUBMITTER))
		return;
	wake_some(&pool->room, most - queued);
	if (!weir__pool_is_short(pool) || 4 * queued <= most)
		wake_some(&pool->room_patient, most - queued);
}

/* Wake all submitters and collectors that there is something for. */
static void flush_locked(weir_pool *pool) WEIR_REQUIRES(pool->mu);

static void
flush_locked(weir_pool *pool)
{
	uint64_t queued = weir__pool_queued(pool);

	if (WEIR_MUTATED(FLUSH))
		return;
	wake_some(&pool->taken_patient, pool->count[WEIR_PLACE_RESULT]);
	if (queued < pool->options.queue)
		wake_some(&pool->room_patient, pool->options.queue - queued);
}

/*
 * With jobs in hand: who else has to know?  While jobs are short, one worker
 * that minds the rest is enough; else the next worker, if there is more.
 */
static struct weir_park *wake_helpers_locked(weir_pool *pool)
	WEIR_REQUIRES(pool->mu);

static struct weir_park *
wake_helpers_locked(weir_pool *pool)
{
	if (WEIR_MUTATED(WAKE_NEXT_WORKER))
		return NULL;
	/* A batch is minded, even if jobs are short no more: one may hang. */
	if ((weir__pool_is_short(pool) || pool->batches > 0) &&
	    !weir__u32_load(&pool->armed, WEIR_RELAXED))
		return weir__pool_notify_locked(pool);
	if (weir__pool_is_short(pool))
		return NULL;
	if (weir__pool_has_waiting_locked(pool) &&
	    weir__u32_load(&pool->sleepers, WEIR_SEQ_CST) > 0)
		return weir__pool_notify_locked(pool);
	return NULL;
}

void
weir__push_hold_locked(weir_pool *pool, struct weir_worker *w, uint32_t count)
{
	pool->batches += count > 1;
	pool->batches -= w->batch_len > 1;
	w->batch_len = count;
}

size_t
weir__push_take_locked(weir_pool *pool, struct weir_worker *w, size_t max,
		       struct weir_park **ret_wake)
{
	uint64_t queued;
	size_t count;

	weir__push_count_in_locked(pool, w);
	/*
	 * A batch only while jobs are short, and while nobody waits who could
	 * not look after it: its results come together.  One of isolated jobs
	 * looks after itself.
	 */
	if (!pool->isolated &&
	    (!weir__pool_is_short(pool) || pool->taken.len > 0))
		max = 1;
	/* What a batch has put back since is not going to begin any more. */
	if (weir__pool_level(pool) >= WEIR_LEVEL_SOON)
		count = 0;
	else if (is_sorted_locked(pool, w->now_ns))
		count = take_sorted_locked(pool, w);
	else
		count = take_plain_locked(pool, w, max);
	if (!pool->isolated)
		weir__push_hold_locked(pool, w, (uint32_t)count);
	queued = weir__pool_queued(pool);
	*ret_wake = NULL;
	if (count == 0)
		flush_locked(pool);
	else
		*ret_wake = wake_helpers_locked(pool);
	wake_submitters_locked(pool, queued);
	weir__pool_check_locked(pool);
	return count;
}

static size_t
push_take(weir_pool *pool, struct weir_worker *w, size_t max, bool *hungry)
{
	struct weir_park *wake;
	size_t count;

	*hungry = false;
	if (pool->async)
		w->now_ns = weir_now_ns();
	else
		weir__worker_look(w);
	weir__mutex_lock(&pool->mu);
	count = weir__push_take_locked(pool, w, max, &wake);
	weir__mutex_unlock(&pool->mu);
	weir__kick(wake);
	if (count == 0 && weir__pool_level(pool) >= WEIR_LEVEL_SOON)
		weir__pool_sweep(pool);
	/* Accepted since we looked at the clock? Then it is that late. */
	if (count > 0 && w->now_ns < w->batch[count - 1]->accepted_ns)
		w->now_ns = w->batch[count - 1]->accepted_ns;
	return count;
}

uint64_t
weir__push_part_with(weir_pool *pool, struct weir_record **records,
		     size_t count)
{
	uint64_t ok = 0;

	for (size_t i = 0; i < count; i++) {
		struct weir_record *record = records[i];

		if (pool->options.done)
			pool->options.done(&record->result, record->in,
					   record->out, pool->options.user);
		weir__record_clear(record);
		ok += record->result.status == WEIR_OK;
	}
	return ok;
}

/* Into the results, or, with `done`, out of the books. */
static void put_out_locked(weir_pool *pool, struct weir_record **records,
			   size_t count) WEIR_REQUIRES(pool->mu);

static void
put_out_locked(weir_pool *pool, struct weir_record **records, size_t count)
{
	if (!pool->options.done) {
		for (size_t i = 0; i < count; i++)
			weir__record_finish_locked(pool, records[i]);
		return;
	}
	pool->count[WEIR_PLACE_HELD] -= (uint32_t)count;
	pool->gone += count;
	weir__records_return(pool, records, count);
	weir__u64_add(&pool->delivered, count, WEIR_SEQ_CST);
}

/* Collectors: for each result while jobs are long, else when nearly full. */
static void wake_collectors_locked(weir_pool *pool, size_t count)
	WEIR_REQUIRES(pool->mu);

static void
wake_collectors_locked(weir_pool *pool, size_t count)
{
	uint32_t results = pool->count[WEIR_PLACE_RESULT];

	if (WEIR_MUTATED(WAKE_COLLECTOR))
		return;
	wake_some(&pool->taken, count);
	if (!weir__pool_is_short(pool) || 4 * results >= 3 * pool->results_max)
		wake_some(&pool->taken_patient, results);
}

struct weir_park *
weir__push_give_locked(weir_pool *pool, struct weir_record **records,
		       size_t count, uint64_t ok)
{
	struct weir_park *wake = NULL;
	bool freed = pool->options.done;

	weir__u64_bump(&pool->ok, ok);
	weir__u64_bump(&pool->failed, count - ok);
	for (size_t i = 0; i < count && pool->options.key_slots > 0; i++)
		freed |= weir__key_release_locked(pool, records[i]);
	put_out_locked(pool, records, count);
	/* A key is free, or, with `done`, a place: for the others. */
	if (freed && weir__pool_has_waiting_locked(pool))
		wake = weir__pool_notify_locked(pool);
	wake_collectors_locked(pool, count);
	if (weir__pool_is_finished_locked(pool))
		weir__pool_notify_all_locked(pool);
	weir__pool_check_locked(pool);
	return wake;
}

static void
push_give(weir_pool *pool, struct weir_worker *w, struct weir_record **records,
	  size_t count)
{
	uint64_t ok = weir__push_part_with(pool, records, count);
	struct weir_park *wake;

	(void)w;
	weir__mutex_lock(&pool->mu);
	wake = weir__push_give_locked(pool, records, count, ok);
	weir__mutex_unlock(&pool->mu);
	weir__kick(wake);
}

const struct weir_ends weir__push_ends = {push_take, push_give};

weir_status
weir__push_wait_locked(weir_pool *pool, struct weir_waitq *patient,
		       struct weir_waitq *eager, int *patience, weir_ctx *ctx)
{
	struct weir_record *rescued[WEIR_BATCH_MAX];
	weir_status status;
	bool more = false;
	size_t count;

	if ((!weir__pool_is_short(pool) && pool->batches == 0) ||
	    *patience >= PATIENCE_MAX)
		return weir__waitq_wait(eager, &pool->mu, ctx, WEIR_FOREVER);
	status = weir__waitq_wait(patient, &pool->mu, ctx,
				  weir_now_ns() + PATIENCE_NS);
	if (status != WEIR_BUSY)
		return status;
	/* Nothing for so long, and yet jobs are short? One of them is not. */
	count = weir__push_rescue_locked(pool, rescued, &more);
	if (!more)
		++*patience;
	if (count > 0) {
		weir__mutex_unlock(&pool->mu);
		weir__push_give_rescued(pool, rescued, count);
		weir__mutex_lock(&pool->mu);
	}
	return WEIR_OK;
}

void
weir__push_adapt(struct weir_worker *w)
{
	weir_pool *pool = w->pool;
	bool is_short = weir__pool_is_short(pool);

	/*
	 * One at a time: each job for itself.  With `done` always, because a
	 * callback may take any time, and what waits for it is not timed.
	 */
	if (pool->options.batch_max == 1)
		return;
	if (!is_short && w->cost_ns < SHORT_NS)
		weir__u32_store(&pool->is_short, 1, WEIR_RELAXED);
	else if (is_short && w->cost_ns > LONG_NS)
		weir__u32_store(&pool->is_short, 0, WEIR_RELAXED);
}

/*
 * A worker that is stuck in a job is not going to look for others.  One that is
 * lent sleeps, and was not counted anyway.
 */
static void write_off_locked(weir_pool *pool, struct weir_worker *w)
	WEIR_REQUIRES(pool->mu);

static void
write_off_locked(weir_pool *pool, struct weir_worker *w)
{
	if (w->written_off || w->lent)
		return;
	w->written_off = true;
	weir__u32_sub(&pool->watchful, 1, WEIR_SEQ_CST);
}

void
weir__push_count_in_locked(weir_pool *pool, struct weir_worker *w)
{
	if (!w->written_off)
		return;
	w->written_off = false;
	weir__u32_add(&pool->watchful, 1, WEIR_SEQ_CST);
}

/*
 * The batch of a worker, if it is stuck: the claim is taken from it, so that
 * it goes on with no more than the job it is in.
 */
static uint32_t seize_locked(weir_pool *pool, struct weir_worker *w,
			     bool *ret_more) WEIR_REQUIRES(pool->mu);

static uint32_t
seize_locked(weir_pool *pool, struct weir_worker *w, bool *ret_more)
{
	/* Acquire: what it did before it claimed; pairs with batch.c. */
	uint32_t claim = weir__u32_load(&w->claim, WEIR_ACQUIRE_ORDER);
	uint32_t begun = claim & 0xff;

	/* Said even before it has claimed any: it may be put aside there. */
	*ret_more |= w->batch_len > 1;
	if (begun == WEIR_CLAIM_NONE)
		return 0;
	if (claim != w->claim_seen) {
		w->claim_seen = claim;
		return 0;
	}
	write_off_locked(pool, w);
	/* unreached: the worker goes on just now; a race of nanoseconds */
	if (begun == 0 || w->batch_len < 2 ||
	    !weir__u32_cas(&w->claim, claim, claim | WEIR_CLAIM_NONE,
			   WEIR_ACQ_REL))
		return 0;
	return begun;
}

/* What is seized goes where it belongs; those that have ended are counted. */
static size_t sort_out_locked(weir_pool *pool, struct weir_worker *w,
			      uint32_t begun, struct weir_record **records)
	WEIR_REQUIRES(pool->mu);

static size_t
sort_out_locked(weir_pool *pool, struct weir_worker *w, uint32_t begun,
		struct weir_record **records)
{
	size_t count = 0;

	/* The last that was begun is the one it is in. */
	for (uint32_t i = 0; i + 1 < begun; i++)
		if (w->batch[i])
			records[count++] = w->batch[i];
	for (uint32_t i = w->batch_len; i > begun; i--)
		weir__record_make_next_locked(pool, w->batch[i - 1]);
	weir__push_hold_locked(pool, w, 1);
	return count;
}

size_t
weir__push_rescue_locked(weir_pool *pool, struct weir_record **records,
			 bool *ret_more)
{
	size_t count = 0;

	for (uint32_t i = 0; i < pool->worker_count && count == 0; i++) {
		struct weir_worker *w = pool->workers[i];
		uint32_t begun = seize_locked(pool, w, ret_more);

		if (begun == 0)
			continue;
		count = sort_out_locked(pool, w, begun, records);
		weir__u32_store(&pool->is_short, 0, WEIR_RELAXED);
		weir__kick(weir__pool_notify_locked(pool));
	}
	return count;
}

void
weir__push_give_rescued(weir_pool *pool, struct weir_record **records,
			size_t count)
{
	int64_t now_ns = weir_now_ns();

	for (size_t i = 0; i < count; i++)
		weir__batch_conclude(records[i], now_ns, 0, now_ns);
	if (count > 0)
		push_give(pool, NULL, records, count);
}
