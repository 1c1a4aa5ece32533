/*
 * The loop of a worker whose jobs run in a process: the pool's side.
 *
 * Design.  The worker's thread takes batches like any other, but hands the
 * jobs to its cell instead of calling them.  A batch is answered together, in
 * a few microseconds, as long as its jobs are short.  When one turns out long
 * or deadly,
 *
 *      batch:   [ ended ] [ ended ] [ runs ] [ not begun ] [ not begun ]
 *                 given     given     waited     others      others
 *                                      for
 *
 * those that have ended are given, those that were not begun are put where
 * other workers find them, and the worker waits for the one.  That is what
 * seizing is for plain jobs (batch.c); here the worker is never stuck itself,
 * so nobody has to seize anything from it.
 *
 * An attempt begins and ends as any other does (attempt.c), but both are
 * written down when it is over, or when it turns out long: nothing that the
 * pool does at its beginning is of use to a job in another process, and
 * several of them are on their way at once.  A job whose submitter may give
 * up goes alone, so that its context is looked at right before.
 *
 * Locking.  None of its own; see attempt.c.
 */
#include "core/isolated.h"

#include "base/assert.h"
#include "core/limit.h"
#include "core/pool.h"

#include <stdio.h>
#include <string.h>

/*
 * A batch costs some ten microseconds to hand over and to be woken for; this
 * is how long one is to take at most, so that that does not count, and nobody
 * waits much longer for it.
 */
#define BATCH_NS (250 * WEIR_US)
/* The second worker always pays: its process has a processor of its own. */
#define COST_NS 1000000

weir_status
weir__isolated_open(weir_pool *pool)
{
	struct weir_zygote *zygote = pool->options.zygote;

	if (pool->options.isolate == WEIR_ISOLATE_NONE)
		return WEIR_OK;
	pool->isolated = zygote->ops;
	return pool->isolated->open(zygote, &pool->options, &pool->isolator);
}

void
weir__isolated_close(weir_pool *pool)
{
	if (pool->isolator)
		pool->isolated->close(pool->isolator);
}

struct weir_isolator *
weir__pool_isolator(const weir_pool *pool)
{
	return pool->isolator;
}

weir_status
weir__isolated_init(struct weir_worker *w)
{
	w->cost_ns = COST_NS;
	w->call_ns = -1;
	return w->pool->isolated->cell_new(w->pool->isolator, w->index,
					   &w->cell);
}

void
weir__isolated_exit(struct weir_worker *w)
{
	w->pool->isolated->cell_free(w->cell);
	w->cell = NULL;
}

/* How many, from the first on, may go to the process together. */
static size_t
group_len(const struct weir_worker *w, size_t from, size_t count)
{
	size_t end = from + 1;

	if (w->batch[from]->submit_ctx)
		return 1;
	while (end < count && !w->batch[end]->submit_ctx)
		end++;
	return end - from;
}

static void
call_fill(struct weir_call *call, struct weir_record *record)
{
	weir_pool *pool = record->pool;

	if (record->result.attempts == 0) {
		record->kills = 0;
		if (pool->options.out_size > 0)
			memset(record->out, 0, pool->options.out_size);
	}
	call->record = record;
	call->in = record->in;
	call->out = record->out;
	call->id = record->result.id;
	call->attempt = record->result.attempts + 1;
	call->timeout_ns = record->timeout_ns;
	call->deadline_ns =
		weir__earlier_ns(weir_ctx_deadline_ns(record->submit_ctx),
				 weir_ctx_deadline_ns(pool->ctx));
	call->retry = record->retry;
	call->ended = call->died = false;
	call->retry_after_ns = -1;
	call->error[0] = '\0';
}

/* What the cell says of the job's end, into its record. */
static void
adopt_answer(weir_job *slot, struct weir_record *record,
	     const struct weir_call *call)
{
	weir_result *result = &record->result;

	slot->retry_after_ns = call->retry_after_ns;
	snprintf(result->error, sizeof(result->error), "%s", call->error);
	if (!call->died)
		return;
	record->kills++;
	if (record->kills >= WEIR_POISON_KILLS)
		snprintf(result->error, sizeof(result->error),
			 "poison, killed %u workers: %.100s",
			 (unsigned)record->kills, call->error);
}

/*
 * The job of this call has ended, or is waited for here.  True: the record is
 * finished, else it is on the shelf.
 */
static bool
settle(struct weir_worker *w, struct weir_call *call, int64_t began_ns,
       int64_t share_ns)
{
	struct weir_record *record = call->record;
	weir_job *slot = w->slot;
	bool begun;

	weir__u32_store(&w->running, 1, WEIR_RELAXED);
	begun = weir__attempt_begin(slot, record, began_ns) == WEIR_OK;
	if (!call->ended) {
		/* unreached: no memory for a context; see below */
		w->pool->isolated->finish(w->cell, call,
					  begun ? slot->ctx : w->pool->ctx);
		share_ns = weir__worker_look(w) - began_ns;
	}
	/* unreached: no memory for a context: it ran, none can say so */
	if (!begun)
		return true;
	adopt_answer(slot, record, call);
	return weir__attempt_end(slot, call->status, share_ns,
				 began_ns + share_ns);
}

/* Jobs that were not begun: for whoever comes first, in their order. */
static void
hand_over(struct weir_worker *w, size_t from, size_t count)
{
	weir_pool *pool = w->pool;
	struct weir_park *wake;

	/* In pull form each had a token to start; it will take another. */
	for (size_t i = from; i < count && pool->options.limit; i++)
		weir__limit_return(pool->options.limit);
	weir__mutex_lock(&pool->mu);
	for (size_t i = count; i > from; i--)
		weir__record_make_next_locked(pool, w->batch[i - 1]);
	wake = weir__pool_notify_locked(pool);
	weir__mutex_unlock(&pool->mu);
	weir__kick(wake);
}

/* The records as the cell has put them in order: begun, then not begun. */
static void
adopt_order(struct weir_worker *w, size_t from, const struct weir_call *calls,
	    size_t count)
{
	for (size_t i = 0; i < count; i++)
		w->batch[from + i] = calls[i].record;
}

/* As many, next time, as a batch may take, by what they took on average. */
static void
adapt(struct weir_worker *w, size_t count, int64_t took_ns)
{
	int64_t most = weir__batch_most(w->pool), want;

	weir_assert(count > 0);
	weir__batch_note_cost(&w->call_ns, took_ns / (int64_t)count);
	want = BATCH_NS / (w->call_ns + 1);
	if (want > most)
		want = most;
	w->batch_want = want > 1 ? (uint32_t)want : 1;
}

/* A batch on its way: which of w->batch have ended, and which are to do. */
struct batch {
	size_t ended, next, count;
};

static void
keep_ended(struct weir_worker *w, struct batch *b, struct weir_record *record)
{
	w->batch[b->ended++] = record;
}

/* Give those that have ended, before a wait that may be long. */
static void
give_ended(struct weir_worker *w, struct batch *b)
{
	if (b->ended > 0)
		w->pool->ends->give(w->pool, w, w->batch, b->ended);
	b->ended = 0;
}

/* Run as many of a group as the cell will; 0 is an answer, too. */
static void
run_group(struct weir_worker *w, struct batch *b, size_t len)
{
	struct weir_call calls[WEIR_BATCH_MAX];
	int64_t began_ns = w->now_ns, share_ns;
	size_t ran;

	for (size_t i = 0; i < len; i++)
		call_fill(&calls[i], w->batch[b->next + i]);
	ran = w->pool->isolated->run(w->cell, calls, len, w->pool->ctx);
	adopt_order(w, b->next, calls, len);
	share_ns = weir__worker_look(w) - began_ns;
	if (ran > 1)
		share_ns /= (int64_t)ran;
	for (size_t i = 0; i < ran; i++) {
		if (!calls[i].ended) {
			weir_assert(i + 1 == ran);
			give_ended(w, b);
			hand_over(w, b->next + ran, b->count);
			b->count = b->next + ran;
		}
		if (settle(w, &calls[i], began_ns + (int64_t)i * share_ns,
			   share_ns))
			keep_ended(w, b, calls[i].record);
	}
	b->next += ran;
}

/* The next of the batch, unless whoever submitted it has given up. */
static void
run_next(struct weir_worker *w, struct batch *b)
{
	struct weir_record *first = w->batch[b->next];

	weir_status status = weir_ctx_status(first->submit_ctx);

	if (status == WEIR_OK) {
		run_group(w, b, group_len(w, b->next, b->count));
		return;
	}
	weir__ctx_unwatch(&first->watch); /* if it comes from back-off */
	weir__record_conclude(first, status, w->now_ns);
	keep_ended(w, b, first);
	b->next++;
}

size_t
weir__isolated_run(struct weir_worker *w, size_t count)
{
	struct batch b = {0, 0, count};
	int64_t began_ns = w->now_ns;

	weir__u32_store(&w->running, 1, WEIR_RELAXED);
	while (b.next < b.count) {
		if (b.next > 0 &&
		    weir__pool_level(w->pool) >= WEIR_LEVEL_SOON) {
			hand_over(w, b.next, b.count);
			break;
		}
		run_next(w, &b);
	}
	adapt(w, b.next, weir__worker_look(w) - began_ns);
	weir__u32_store(&w->running, 0, WEIR_RELAXED);
	return b.ended;
}
