/*
 * Pipelines: pools in a row.
 *
 * Design.  Each stage is a pool in push form whose `done` callback submits to
 * the next one, and waits there when that is full: a worker that cannot pass
 * its item on holds its slot, which is what carries backpressure from the
 * last stage to the first.
 *
 *      submit -> [queue|workers] --done--> [queue|workers] --done--> results
 *                      |                         |                     ^
 *                      `------ failed items -----+---------------------'
 *
 * An item travels with a header in front of its payload and, with keep_in, the
 * bytes that were submitted between the two.  A stage's output is laid out like
 * the next one's input, so it is submitted as it stands.
 *
 *      the first stage's input      header | submitted
 *      what stages pass on          header | submitted, padded | payload
 *      a result                       link | submitted, padded | last output
 *
 * In the first stage the payload is what was submitted: nothing is there twice,
 * and submit copies no more than it would anyhow.  Without keep_in the middle
 * takes no bytes, and all of this is as if it were not there.
 *
 * Results wait in a list of this file's own, bounded by `results`.  There is
 * a place for every item that can be inside, though: after shutdown_now the
 * bound is lifted, so that disposing of items never waits for a collector,
 * who may be the very thread that disposes.
 *
 * The books: inside counts items from submit until they are in the list of
 * results or handed back.  Intake shut and inside 0 ends the results.
 *
 * Locking.  mu guards the list of results and the books.  It is taken with no
 * lock of a pool's held, and none is taken under it.
 */
#include <weir/pipeline.h>

#include "base/assert.h"
#include "base/options.h"
#include "core/pool.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct stage {
	weir_stage options; /* fixed */
	weir_pipeline *pipeline;
	uint32_t index;
	weir_pool *pool;
};

/* What travels; bytes are what is kept of the item, then the payload. */
struct item {
	weir_ctx *ctx; /* a reference, or NULL; given back at the end */
	uint64_t id;
	int64_t accepted_ns, wait_ns, run_ns;
	uint32_t attempts;
	_Alignas(max_align_t) unsigned char bytes[];
};

/* A result that waits to be taken; bytes as in an item. */
struct outcome {
	struct weir_list link;
	weir_pipeline_result result;
	_Alignas(max_align_t) unsigned char bytes[];
};

struct weir_pipeline {
	/* fixed at creation */
	weir_pipeline_options options;
	struct stage *stages;
	size_t out_size;   /* of the last stage */
	size_t kept_size;  /* what is kept of a submitted item: all, or 0 */
	size_t payload_at; /* in bytes, behind that, and aligned */
	void *outcome_memory;
	weir_ctx *expired; /* makes a shutdown begin and not wait */

	struct weir_mutex mu;

	/* guarded by mu */
	struct weir_list results, free;
	uint32_t results_len;
	struct weir_waitq room;  /* workers: results_len < max || lifted */
	struct weir_waitq taken; /* collectors: results || ended */
	uint64_t accepted, inside, handed_back, delivered;
	bool closed, lifted;
};

static void pipeline_check_locked(const weir_pipeline *p) WEIR_REQUIRES(p->mu);

static void
pipeline_check_locked(const weir_pipeline *p)
{
	weir_assert(p->accepted ==
		    p->inside + p->results_len + p->delivered + p->handed_back);
}

/* The callbacks of a stage's pool, each a step to the side: past the header. */

static struct item *
item_of(void *bytes)
{
	return bytes;
}

/* The first stage reads what was submitted where it is kept. */
static const void *
payload_in(const struct stage *stage, const void *in)
{
	const struct item *item = in;

	return item->bytes +
	       (stage->index > 0 ? stage->pipeline->payload_at : 0);
}

static void *
payload_out(const struct stage *stage, void *out)
{
	return item_of(out)->bytes + stage->pipeline->payload_at;
}

static weir_status
stage_run(weir_ctx *ctx, const void *in, void *out, void *user)
{
	const struct stage *stage = user;

	return stage->options.run(ctx, payload_in(stage, in),
				  payload_out(stage, out), stage->options.user);
}

static weir_status
stage_start(weir_ctx *ctx, weir_job *job, const void *in, void *out, void *user)
{
	const struct stage *stage = user;

	return stage->options.start(ctx, job, payload_in(stage, in),
				    payload_out(stage, out),
				    stage->options.user);
}

static void
stage_cancel(weir_ctx *ctx, weir_job *job, void *user)
{
	const struct stage *stage = user;

	stage->options.cancel(ctx, job, stage->options.user);
}

static weir_status
stage_init(uint32_t worker, void **ret_state, void *user)
{
	const struct stage *stage = user;

	return stage->options.init(worker, ret_state, stage->options.user);
}

static void
stage_exit(uint32_t worker, void *state, void *user)
{
	const struct stage *stage = user;

	stage->options.exit(worker, state, stage->options.user);
}

static void
stage_wait(void *state, int64_t deadline_ns, bool hungry, void *user)
{
	const struct stage *stage = user;

	stage->options.wait(state, deadline_ns, hungry, stage->options.user);
}

static void
stage_wake(void *state, void *user)
{
	const struct stage *stage = user;

	stage->options.wake(state, stage->options.user);
}

/* Whoever waits for the end of results learns of it. */
static void end_if_last_locked(weir_pipeline *p) WEIR_REQUIRES(p->mu);

static void
end_if_last_locked(weir_pipeline *p)
{
	if (p->closed && p->inside == 0)
		weir__waitq_wake_all(&p->taken);
}

/*
 * What a result takes along: the submitted item, if it is kept, and if all is
 * well the output, which lies behind it in both.
 */
static void
fill_outcome(const weir_pipeline *p, struct outcome *outcome,
	     const struct item *item)
{
	weir_result *result = &outcome->result.result;

	result->id = item->id;
	result->attempts = item->attempts;
	result->wait_ns = item->wait_ns;
	result->run_ns = item->run_ns;
	result->total_ns = weir_now_ns() - item->accepted_ns;
	memcpy(outcome->bytes, item->bytes,
	       result->status == WEIR_OK ? p->payload_at + p->out_size
					 : p->kept_size);
}

/* An item has come to its end: put it among the results. */
static void
finish(struct stage *stage, const weir_result *result, struct item *item)
{
	weir_pipeline *p = stage->pipeline;
	struct weir_park *wake;
	struct outcome *outcome;

	weir_ctx_unref(item->ctx);
	weir__mutex_lock(&p->mu);
	while (p->results_len >= p->options.results &&
	       (!p->lifted || WEIR_MUTATED(LINE_LIFT)))
		if (weir__waitq_wait(&p->room, &p->mu, NULL, WEIR_FOREVER) !=
		    WEIR_OK)
			weir_bug("a wait without an end ended");
	/* There is one for each item that can be inside. */
	weir_assert(!weir__list_empty(&p->free));
	outcome = weir_container_of(weir__list_pop(&p->free), struct outcome,
				    link);
	outcome->result.result = *result;
	outcome->result.stage = stage->index;
	fill_outcome(p, outcome, item);
	weir__list_append(&p->results, &outcome->link);
	p->results_len++;
	weir_assert(p->inside > 0);
	p->inside--;
	wake = weir__waitq_wake_one(&p->taken);
	if (!WEIR_MUTATED(LINE_END_FINISH))
		end_if_last_locked(p);
	pipeline_check_locked(p);
	weir__mutex_unlock(&p->mu);
	if (!WEIR_MUTATED(LINE_RESULT_WAKE))
		weir__kick(wake);
}

/* Pass an item on.  Not taken there: it ends as one that was cancelled. */
static void
pass_on(struct stage *next, const weir_result *result, struct item *item)
{
	size_t payload_at = next->pipeline->payload_at;
	struct weir_input input = {item, sizeof(*item) + payload_at,
				   item->bytes + payload_at, item->id};
	weir_result refused = *result;
	weir_status status;

	status = weir__pool_submit(next->pool, &input, NULL, NULL, item->ctx,
				   true);
	if (status == WEIR_OK)
		return;
	refused.status = status == WEIR_CLOSED ? WEIR_CANCELED : status;
	snprintf(refused.error, sizeof(refused.error), "%s",
		 weir_status_message(refused.status));
	finish(next, &refused, item);
}

static void
stage_done(const weir_result *result, const void *in, void *out, void *user)
{
	struct stage *stage = user;
	const weir_pipeline *p = stage->pipeline;
	const struct item *before = in;
	struct item *item = item_of(out);

	memcpy(item, before, sizeof(*item) + p->kept_size);
	if (stage->index == 0) {
		item->id = result->id;
		item->accepted_ns = weir_now_ns() - result->total_ns;
		item->wait_ns = result->wait_ns;
	}
	item->attempts += result->attempts;
	item->run_ns += result->run_ns;
	if (result->status == WEIR_OK &&
	    stage->index + 1 < p->options.stage_count)
		pass_on(stage + 1, result, item);
	else
		finish(stage, result, item);
}

static weir_status
stage_make_pool(struct stage *stage, size_t in_size)
{
	const weir_stage *s = &stage->options;
	size_t payload_at = stage->pipeline->payload_at;
	weir_pool_options o = WEIR_POOL_OPTIONS_INIT;

	o.name = s->name ? s->name : "stage";
	o.workers = s->workers;
	o.queue = s->queue;
	o.in_size = sizeof(struct item) + in_size;
	if (stage->index > 0)
		o.in_size += payload_at;
	o.out_size = sizeof(struct item) + payload_at + s->out_size;
	o.run = s->run ? stage_run : NULL;
	o.start = s->start ? stage_start : NULL;
	o.cancel = s->cancel ? stage_cancel : NULL;
	o.init = s->init ? stage_init : NULL;
	o.exit = s->exit ? stage_exit : NULL;
	o.wait = s->wait ? stage_wait : NULL;
	o.wake = s->wake ? stage_wake : NULL;
	o.threads = s->threads;
	o.retry = s->retry;
	o.timeout_ns = s->timeout_ns;
	o.limit = s->limit;
	o.done = stage_done;
	o.user = stage;
	return weir_pool_new(&stage->pool, &o);
}

/*
 * Headers are added to items and to what is kept of them, so a pool may not see
 * sizes that are too large together.
 */
static bool
is_item_size(size_t size, size_t kept_size)
{
	const size_t most = SIZE_MAX / 8;

	return size < most && kept_size < most - size;
}

/* What has to hold before memory is measured by it; its pool sees the rest. */
static bool
stage_is_measurable(const weir_stage *s, size_t kept_size)
{
	return s->workers <= WEIR_POOL_WORKERS_MAX &&
	       s->queue <= WEIR_POOL_QUEUE_MAX &&
	       is_item_size(s->out_size, kept_size);
}

static size_t
align_up(size_t size)
{
	const size_t align = _Alignof(max_align_t);

	return (size + align - 1) / align * align;
}

/* Copy the options and those of the stages; check what pools cannot. */
static weir_status
pipeline_copy_options(weir_pipeline *p, const weir_pipeline_options *options)
{
	weir_pipeline_options *o = &p->options;
	size_t stage_size;

	if (!weir__options_copy(o, sizeof(*o), options, options->size,
				sizeof(size_t)))
		return WEIR_INVAL;
	stage_size = o->stage_size ? o->stage_size : sizeof(weir_stage);
	if (!o->stages || o->stage_count == 0 ||
	    o->stage_count > WEIR_PIPELINE_STAGES_MAX ||
	    o->results > WEIR_POOL_QUEUE_MAX || !is_item_size(o->in_size, 0))
		return WEIR_INVAL;
	p->kept_size = o->keep_in ? o->in_size : 0;
	p->payload_at = align_up(p->kept_size);
	p->stages = calloc(o->stage_count, sizeof(*p->stages));
	if (!p->stages)
		return WEIR_NOMEM;
	for (uint32_t i = 0; i < o->stage_count; i++) {
		struct stage *stage = &p->stages[i];

		stage->pipeline = p;
		stage->index = i;
		if (!weir__struct_copy(&stage->options, sizeof(weir_stage),
				       (const unsigned char *)o->stages +
					       i * stage_size,
				       stage_size) ||
		    !stage_is_measurable(&stage->options, p->kept_size))
			return WEIR_INVAL;
	}
	o->stages = NULL; /* the caller's; ours are the copies */
	return WEIR_OK;
}

/* Places for results: those that may wait, and all that can be inside. */
static weir_status
pipeline_make_outcomes(weir_pipeline *p)
{
	size_t stride, count = 0;
	uint64_t widths = 0;

	for (uint32_t i = 0; i < p->options.stage_count; i++) {
		const weir_stage *s = &p->stages[i].options;

		widths += s->workers;
		count += (size_t)s->queue + s->workers;
		/* Results of a pool with `done` take a place as well. */
		count += s->queue > s->workers ? s->queue : s->workers;
	}
	static_assert(WEIR_PIPELINE_STAGES_MAX * WEIR_POOL_WORKERS_MAX <=
			      WEIR_POOL_QUEUE_MAX,
		      "all workers together are no more than a queue may hold");
	if (p->options.results < widths)
		p->options.results = (uint32_t)widths;
	count += p->options.results;
	p->out_size = p->stages[p->options.stage_count - 1].options.out_size;
	stride = align_up(sizeof(struct outcome) + p->payload_at + p->out_size);
	p->outcome_memory = calloc(count, stride);
	if (!p->outcome_memory)
		return WEIR_NOMEM;
	for (size_t i = 0; i < count; i++) {
		struct outcome *outcome =
			(void *)((unsigned char *)p->outcome_memory +
				 i * stride);

		weir__list_append(&p->free, &outcome->link);
	}
	return WEIR_OK;
}

weir_status
weir_pipeline_new(weir_pipeline **out, const weir_pipeline_options *options)
{
	weir_pipeline *p;
	weir_status status;
	size_t in_size;

	if (!out || !options)
		return WEIR_INVAL;
	p = calloc(1, sizeof(*p));
	if (!p)
		return WEIR_NOMEM;
	weir__mutex_init(&p->mu);
	weir__list_init(&p->results);
	weir__list_init(&p->free);
	weir__waitq_init(&p->room);
	weir__waitq_init(&p->taken);
	status = pipeline_copy_options(p, options);
	if (status == WEIR_OK)
		status = pipeline_make_outcomes(p);
	if (status == WEIR_OK)
		status = weir_ctx_new(&p->expired, NULL, 0);
	in_size = p->options.in_size;
	for (uint32_t i = 0; status == WEIR_OK && i < p->options.stage_count;
	     i++) {
		status = stage_make_pool(&p->stages[i], in_size);
		in_size = p->stages[i].options.out_size;
	}
	if (status != WEIR_OK) {
		weir_pipeline_free(p);
		return status;
	}
	*out = p;
	return WEIR_OK;
}

/* Results that nobody took. */
static void
drop_results(weir_pipeline *p)
{
	struct weir_list *link;

	while ((link = weir__list_pop(&p->results))) {
		struct outcome *outcome =
			weir_container_of(link, struct outcome, link);

		p->results_len--;
		p->delivered++;
		if (p->options.drop)
			p->options.drop(&outcome->result.result,
					p->options.keep_in ? outcome->bytes
							   : NULL,
					outcome->bytes + p->payload_at,
					p->options.user);
	}
	weir_assert(p->accepted == p->delivered + p->handed_back);
}

weir_pipeline *
weir_pipeline_free(weir_pipeline *p)
{
	if (!p)
		return NULL;
	if (p->stages &&
	    weir_pipeline_shutdown_now(p, NULL, NULL, NULL) != WEIR_OK)
		weir_bug("a shutdown that may wait for ever did not");
	for (uint32_t i = 0; p->stages && i < p->options.stage_count; i++)
		weir_pool_free(p->stages[i].pool);
	drop_results(p);
	weir_ctx_unref(p->expired);
	free(p->outcome_memory);
	free(p->stages);
	weir__mutex_fini(&p->mu);
	free(p);
	return NULL;
}

static bool
is_own_worker(weir_pipeline *p)
{
	for (uint32_t i = 0; i < p->options.stage_count; i++)
		if (p->stages[i].pool && weir__worker_is_of(p->stages[i].pool))
			return true;
	return false;
}

/* An item that was counted in, and was not taken after all. */
static void
uncount(weir_pipeline *p)
{
	weir__mutex_lock(&p->mu);
	p->accepted--;
	p->inside--;
	if (!WEIR_MUTATED(LINE_END_UNCOUNT))
		end_if_last_locked(p);
	pipeline_check_locked(p);
	weir__mutex_unlock(&p->mu);
}

static weir_status
submit(weir_pipeline *p, const void *in, uint64_t *ret_id, weir_ctx *ctx,
       bool may_wait)
{
	struct item item = {.ctx = weir_ctx_ref(ctx)};
	struct weir_input input = {
		.head = &item, .head_size = sizeof(item), .body = in};
	weir_pool *first = p->stages[0].pool;
	weir_status status;

	weir__mutex_lock(&p->mu);
	p->accepted++;
	p->inside++;
	weir__mutex_unlock(&p->mu);
	status = weir__pool_submit(first, &input, NULL, ret_id, ctx, false);
	if (status == WEIR_BUSY && may_wait)
		status = is_own_worker(p)
				 ? WEIR_DEADLOCK
				 : weir__pool_submit(first, &input, NULL,
						     ret_id, ctx, true);
	if (status != WEIR_OK) {
		weir_ctx_unref(ctx);
		uncount(p);
	}
	return status;
}

weir_status
weir_pipeline_submit(weir_pipeline *p, const void *in, uint64_t *ret_id,
		     weir_ctx *ctx)
{
	return submit(p, in, ret_id, ctx, true);
}

weir_status
weir_pipeline_try_submit(weir_pipeline *p, const void *in, uint64_t *ret_id,
			 weir_ctx *ctx)
{
	return submit(p, in, ret_id, ctx, false);
}

/* Wait for a result to take: OK, CLOSED, DEADLOCK, or the context's status. */
static weir_status wait_result_locked(weir_pipeline *p, weir_ctx *ctx,
				      bool may_wait) WEIR_REQUIRES(p->mu);

static weir_status
wait_result_locked(weir_pipeline *p, weir_ctx *ctx, bool may_wait)
{
	weir_status status = WEIR_OK;

	while (status == WEIR_OK && p->results_len == 0) {
		if (p->closed && p->inside == 0)
			return WEIR_CLOSED;
		if (!may_wait)
			return WEIR_BUSY;
		if (is_own_worker(p))
			return WEIR_DEADLOCK;
		status = weir__waitq_wait(&p->taken, &p->mu, ctx, WEIR_FOREVER);
	}
	return p->results_len > 0 ? WEIR_OK : status;
}

/* Copy what a result brings along to those places that are not NULL. */
static void
take_outcome(const weir_pipeline *p, const struct outcome *outcome,
	     void *ret_in, void *ret_out)
{
	if (ret_in)
		memcpy(ret_in, outcome->bytes, p->kept_size);
	if (ret_out && outcome->result.result.status == WEIR_OK)
		memcpy(ret_out, outcome->bytes + p->payload_at, p->out_size);
}

static weir_status
next(weir_pipeline *p, weir_pipeline_result *ret, void *ret_in, void *ret_out,
     weir_ctx *ctx, bool may_wait)
{
	struct weir_park *wake = NULL;
	weir_status status;

	/* Before anything is taken: it could not be given back. */
	if (ret_in && !p->options.keep_in)
		return WEIR_INVAL;
	weir__mutex_lock(&p->mu);
	status = wait_result_locked(p, ctx, may_wait);
	if (status == WEIR_OK) {
		struct outcome *outcome = weir_container_of(
			weir__list_pop(&p->results), struct outcome, link);

		p->results_len--;
		p->delivered++;
		*ret = outcome->result;
		take_outcome(p, outcome, ret_in, ret_out);
		weir__list_prepend(&p->free, &outcome->link);
		if (!WEIR_MUTATED(LINE_ROOM_WAKE))
			wake = weir__waitq_wake_one(&p->room);
	}
	pipeline_check_locked(p);
	weir__mutex_unlock(&p->mu);
	weir__kick(wake);
	return status;
}

weir_status
weir_pipeline_next(weir_pipeline *p, weir_pipeline_result *ret, void *ret_out,
		   weir_ctx *ctx)
{
	return next(p, ret, NULL, ret_out, ctx, true);
}

weir_status
weir_pipeline_try_next(weir_pipeline *p, weir_pipeline_result *ret,
		       void *ret_out)
{
	return next(p, ret, NULL, ret_out, NULL, false);
}

weir_status
weir_pipeline_next_item(weir_pipeline *p, weir_pipeline_result *ret,
			void *ret_in, void *ret_out, weir_ctx *ctx)
{
	return next(p, ret, ret_in, ret_out, ctx, true);
}

weir_status
weir_pipeline_try_next_item(weir_pipeline *p, weir_pipeline_result *ret,
			    void *ret_in, void *ret_out)
{
	return next(p, ret, ret_in, ret_out, NULL, false);
}

void
weir_pipeline_close(weir_pipeline *p)
{
	if (p->stages[0].pool)
		weir_pool_close(p->stages[0].pool);
	weir__mutex_lock(&p->mu);
	p->closed = true;
	if (!WEIR_MUTATED(LINE_END_CLOSE))
		end_if_last_locked(p);
	weir__mutex_unlock(&p->mu);
}

weir_status
weir_pipeline_shutdown(weir_pipeline *p, weir_ctx *ctx)
{
	weir_status status = WEIR_OK;

	weir_pipeline_close(p);
	if (is_own_worker(p))
		return WEIR_DEADLOCK;
	for (uint32_t i = 0; status == WEIR_OK && i < p->options.stage_count;
	     i++)
		if (p->stages[i].pool)
			status = weir_pool_shutdown(p->stages[i].pool, ctx);
	return status;
}

/* Items that no stage has begun go back to the host. */
struct hand_back {
	weir_pipeline *pipeline;
	weir_unstarted_fn *unstarted;
	void *user;
};

static void
hand_back_item(uint64_t id, const void *in, void *user)
{
	const struct hand_back *h = user;
	weir_pipeline *p = h->pipeline;
	const struct item *item = in;

	weir_ctx_unref(item->ctx);
	h->unstarted(id, item->bytes, h->user); /* of the first stage */
	weir__mutex_lock(&p->mu);
	p->inside--;
	p->handed_back++;
	/* If it was the last: our caller closes once more, and tells. */
	pipeline_check_locked(p);
	weir__mutex_unlock(&p->mu);
}

/* From here on results do not wait for a collector. */
static void
lift(weir_pipeline *p)
{
	weir__mutex_lock(&p->mu);
	p->lifted = true;
	if (!WEIR_MUTATED(LINE_LIFT_WAKE))
		weir__waitq_wake_all(&p->room);
	weir__mutex_unlock(&p->mu);
}

weir_status
weir_pipeline_shutdown_now(weir_pipeline *p, weir_unstarted_fn *unstarted,
			   void *user, weir_ctx *ctx)
{
	struct hand_back h = {p, unstarted, user};
	struct weir_stop first = {WEIR_LEVEL_NOW,
				  unstarted ? hand_back_item : NULL,
				  &h,
				  {0},
				  {0}};
	weir_pool *intake = p->stages[0].pool;
	weir_status begun;

	weir_pipeline_close(p);
	/*
	 * The first stage is told before the bound is lifted, for it would
	 * begin more as its workers get rid of their results; and it disposes
	 * of items after that, because there may be no room for them.
	 */
	if (intake)
		weir__pool_stop_begin(intake, &first);
	lift(p);
	if (intake)
		weir__pool_stop_end(intake, &first);
	/* All stages are told before any is waited for. */
	for (uint32_t i = 1; i < p->options.stage_count; i++) {
		if (!p->stages[i].pool)
			continue;
		begun = weir_pool_shutdown_now(p->stages[i].pool, NULL, NULL,
					       p->expired);
		(void)begun; /* only to begin with; waited for below */
	}
	return weir_pipeline_shutdown(p, ctx);
}

void
weir_pipeline_get_stats(weir_pipeline *p, uint32_t stage, weir_pool_stats *ret)
{
	size_t size = ret->size;

	if (stage < p->options.stage_count) {
		weir_pool_get_stats(p->stages[stage].pool, ret);
		return;
	}
	memset(ret, 0, size && size < sizeof(*ret) ? size : sizeof(*ret));
	ret->size = size;
}
