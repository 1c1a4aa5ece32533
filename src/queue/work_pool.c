/*
 * C functions as a lane: a pool in pull form whose source takes jobs and whose
 * sink gives them.
 *
 * Design.  The pool copies pointers to claims; what a handler is given is the
 * row in the claim, and what it says about it (job.c) is kept in the held job.
 * The pool makes one attempt: attempts are the store's.
 *
 *      take ──> source ──> run: handler(ctx, &claim->row) ──> sink ──> give
 *
 * Cancelling one job means ending the context that the pool gave it, from the
 * loop's thread, and that context is the slot's, used again for the next job.
 * So it is published while the handler runs, as one word:
 *
 *      0 ──begins──> ctx ──ends──> 0
 *      │              │
 *      v cancel       v cancel, under cancel_mu
 *      TOLD           ctx | TOLD ──ends──> 0, waits for cancel_mu, keeps ctx
 *
 * A job that ends with TOLD keeps its context with a reference, which makes the
 * pool part with it.  One that is told before it begins is not begun.
 *
 * A pool takes short jobs several at a time; those that it has not begun when
 * the work is stopped are given back.
 *
 * Locking.  cancel_mu is held while a context is ended, so it comes before
 * contexts; nothing else is taken under it, and it is taken under nothing.
 */
#include "queue/work_inside.h"

#include "base/assert.h"

#include <stdlib.h>
#include <weir/job.h>

#define TOLD UINT64_C(1)

/* Room for a batch of short jobs for each of a few workers. */
#define INSIDE_MORE 64

struct weir_pool_lane {
	/* fixed at creation */
	weir_pool *pool;

	/* guards ending the contexts of jobs */
	struct weir_mutex cancel_mu;

	/* set before the pool runs */
	weir_ctx *ctx;
	bool ran;
};

static weir_status
source(weir_ctx *ctx, void *ret_in, weir_job_options *ret_options, void *user)
{
	weir_work *work = user;
	const struct weir_kind *kind;
	struct weir_claim *claim;
	struct weir_held *held;
	weir_status status = weir__work_take(work, &claim);

	(void)ctx;
	if (status != WEIR_OK)
		return status;
	memcpy(ret_in, &claim, sizeof(claim));
	held = claim->user;
	kind = held->kind;
	weir_assert(held->work == work);
	/* The time of the job itself, of its kind, or the pool's default. */
	if (claim->row.timeout_ns > 0)
		ret_options->timeout_ns = claim->row.timeout_ns;
	else if (kind && kind->handler.timeout_ns > 0)
		ret_options->timeout_ns = kind->handler.timeout_ns;
	return WEIR_OK;
}

/* It ran with its context published; from here on nobody can end that. */
static void
withdraw_ctx(struct weir_held *held, weir_ctx *ctx)
{
	struct weir_pool_lane *lane = held->work->pool;
	/* Acq_rel: pairs with the compare-and-swap in cancel(). */
	uint64_t bits = weir__u64_exchange(&held->ctx, 0, WEIR_ACQ_REL);

	weir_assert((bits & ~TOLD) == weir__pointer_bits(ctx));
	if (!(bits & TOLD))
		return;
	weir__mutex_lock(&lane->cancel_mu);
	weir__mutex_unlock(&lane->cancel_mu);
	held->kept = weir_ctx_ref(ctx);
}

static weir_status
run(weir_ctx *ctx, const void *in, void *out, void *user)
{
	weir_work *work = user;
	const weir_handler *handler;
	struct weir_claim *claim;
	struct weir_held *held;
	weir_status status;

	(void)out;
	memcpy(&claim, in, sizeof(claim));
	held = claim->user;
	/* Relaxed: a hint; what has begun is cancelled another way. */
	if (weir__u32_load(&work->stopping, WEIR_RELAXED)) {
		held->unbegun = true;
		return WEIR_CANCELED;
	}
	if (!held->kind)
		return weir_job_fail(ctx, WEIR_FAILED,
				     "job kind is not registered: %s",
				     claim->row.kind);
	/* Release: the context is there for cancel() to end. */
	if (!weir__u64_cas(&held->ctx, 0, weir__pointer_bits(ctx),
			   WEIR_RELEASE_ORDER))
		return WEIR_CANCELED;
	handler = &held->kind->handler;
	status = handler->run(ctx, &claim->row, NULL, handler->user);
	withdraw_ctx(held, ctx);
	return weir__job_said(held, status);
}

/* The loop's thread; see weir_lane.cancel. */
static void
cancel(struct weir_claim *claim, void *user)
{
	struct weir_pool_lane *lane = ((weir_work *)user)->pool;
	struct weir_held *held = claim->user;
	uint64_t bits;

	weir__mutex_lock(&lane->cancel_mu);
	do
		bits = weir__u64_load(&held->ctx, WEIR_ACQUIRE_ORDER);
	while (!weir__u64_cas(&held->ctx, bits, bits | TOLD, WEIR_ACQ_REL));
	if (bits & ~TOLD)
		weir_ctx_cancel(weir__pointer_of(bits & ~TOLD));
	weir__mutex_unlock(&lane->cancel_mu);
}

static void
poke(void *user)
{
	weir_work *work = user;

	weir_pool_poke(work->pool->pool);
}

/*
 * When the run's own context is done, the pool tells its jobs before anybody
 * tells the loop; such a job is to be released.
 */
static void
note_end_of_run(weir_work *work, struct weir_outcome *outcome)
{
	if ((outcome->status != WEIR_CANCELED &&
	     outcome->status != WEIR_TIMEDOUT) ||
	    weir_ctx_status(work->pool->ctx) == WEIR_OK)
		return;
	weir_work_stop(work, true);
	outcome->status = WEIR_CANCELED;
}

static void
sink(const weir_result *result, const void *in, void *out, void *user)
{
	struct weir_outcome outcome = WEIR_OUTCOME_INIT;
	weir_work *work = user;
	struct weir_claim *claim;
	struct weir_held *held;

	(void)out;
	memcpy(&claim, in, sizeof(claim));
	held = claim->user;
	if (held->kept)
		held->kept = weir_ctx_unref(held->kept);
	weir_assert(!held->kept && held->claim == claim);
	if (held->unbegun || result->attempts == 0) {
		weir__work_give_back(work, claim);
		return;
	}
	outcome.status = result->status;
	if (result->error[0] != '\0')
		outcome.error = result->error;
	note_end_of_run(work, &outcome);
	weir__job_tell(held, &outcome);
	weir__work_give(work, claim, &outcome);
}

/* Claim only the kinds that have a handler. */
static weir_status
know_own_kinds_only(weir_work *work)
{
	const char **kinds = calloc(work->kind_count, sizeof(*kinds));

	weir_assert(work->kind_count > 0 && !work->begun);
	if (!kinds)
		return WEIR_NOMEM;
	for (size_t i = 0; i < work->kind_count; i++)
		kinds[i] = work->kinds[i].handler.kind;
	free(work->lane_kinds);
	work->lane_kinds = kinds;
	work->lane.kinds = kinds;
	work->lane.kind_count = work->kind_count;
	return WEIR_OK;
}

static weir_status
make_pool(weir_work *work)
{
	weir_pool_options options = WEIR_POOL_OPTIONS_INIT;

	work->pool = calloc(1, sizeof(*work->pool));
	if (!work->pool)
		return WEIR_NOMEM;
	weir__mutex_init(&work->pool->cancel_mu);
	/* Jobs are values of the size of a pointer, and results nothing. */
	options.name = "work";
	options.workers = work->options.workers;
	options.queue = INSIDE_MORE;
	options.in_size = sizeof(struct weir_claim *);
	options.run = run;
	options.source = source;
	options.sink = sink;
	options.user = work;
	options.timeout_ns = work->options.timeout_ns;
	return weir_pool_new(&work->pool->pool, &options);
}

static weir_status
check(const weir_work *work, weir_error *reterr)
{
	if (work->kind_count == 0)
		return weir__queue_error(reterr, WEIR_INVAL, 0,
					 "there are no handlers");
	for (size_t i = 0; i < work->kind_count; i++)
		if (!work->kinds[i].handler.run)
			return weir__queue_error(reterr, WEIR_INVAL, 0,
						 "kind '%s' has no function",
						 work->kinds[i].handler.kind);
	return WEIR_OK;
}

weir_status
weir_work_new(weir_work **out, weir_store *store,
	      const weir_work_options *options, weir_error *reterr)
{
	struct weir_lane lane = {.poke = poke, .cancel = cancel, .width = 1};
	weir_work *work;
	weir_status status;

	if (!out || !store)
		return weir__queue_error(reterr, WEIR_INVAL, 0,
					 "no store to work");
	status = weir__work_make(&work, store, options, &lane, reterr);
	if (status != WEIR_OK)
		return status;
	/* Only now is it known who works, and how many. */
	work->lane.user = work;
	work->lane.width = work->options.workers;
	status = check(work, reterr);
	if (status == WEIR_OK && work->options.unknown == WEIR_UNKNOWN_LEAVE)
		status = know_own_kinds_only(work);
	if (status == WEIR_OK)
		status = make_pool(work);
	if (status == WEIR_OK) {
		*out = work;
		return WEIR_OK;
	}
	weir_work_free(work);
	if (status != WEIR_INVAL)
		weir__queue_error(reterr, status, 0, "%s",
				  weir_status_message(status));
	return status;
}

weir_status
weir_work_run(weir_work *work, weir_ctx *ctx, weir_error *reterr)
{
	weir_status status, end;

	if (!work->pool || work->pool->ran)
		return weir__queue_error(reterr, WEIR_INVAL, 0,
					 "it was run before");
	work->pool->ran = true;
	work->pool->ctx = ctx;
	status = weir__work_begin(work, reterr);
	if (status != WEIR_OK)
		return status;
	status = weir_pool_run(work->pool->pool, ctx);
	if (status != WEIR_OK)
		weir_work_stop(work, true);
	end = weir__work_end(work, reterr);
	if (end != WEIR_OK || status == WEIR_OK || status == WEIR_CANCELED ||
	    status == WEIR_TIMEDOUT)
		return end;
	return weir__queue_error(reterr, status, 0, "cannot start workers: %s",
				 weir_status_message(status));
}

void
weir__pool_lane_free(struct weir_pool_lane *lane)
{
	if (!lane)
		return;
	weir_pool_free(lane->pool);
	weir__mutex_fini(&lane->cancel_mu);
	free(lane);
}
