/*
 * What the tests of pipelines share: a line of three stages.
 *
 * Its items are `pieces`.  What one does in each stage is written in it, and
 * each stage leaves its digit in the trail: 123 has been in all three.
 */
#ifndef WEIR_TESTS_PIPELINE_UTIL_H
#define WEIR_TESTS_PIPELINE_UTIL_H

#include "core_util.h"

enum { STAGES = 3 };

struct piece {
	int number, trail;
	enum what what[STAGES];
	weir_status status;
	weir_ctx *gate;
	int64_t nap_ns;
};

/* One stage as its jobs see it. */
struct place {
	uint32_t index;
	struct seen seen;
	atomic_bool ids_differ;
	/* Calls of init and exit. */
	atomic_int inits, exits;
	weir_status init_status;
};

struct line {
	struct place places[STAGES];
	weir_stage stages[STAGES];
	weir_pipeline_options options;
	weir_pipeline *p;
	weir_ctx *gate;
};

static inline weir_status
piece_act(weir_ctx *ctx, const struct piece *piece, uint32_t index)
{
	switch (piece->what[index]) {
	case ECHO:
		break;
	case FAIL:
		return weir_job_fail(ctx, piece->status, "%d fails in %u",
				     piece->number, index);
	case GATE:
		gate_wait(piece->gate);
		break;
	case WATCH:
		return weir_ctx_sleep(ctx, WEIR_FOREVER);
	case FLAKY:
		if (weir_job_attempt(ctx) == 1)
			return weir_job_fail(ctx, WEIR_FAILED, "not yet");
		break;
	}
	return WEIR_OK;
}

static inline weir_status
place_run(weir_ctx *ctx, const void *in, void *out, void *user)
{
	const struct piece *piece = in;
	struct place *place = user;
	struct piece *copy = out;
	weir_status status;

	seen_enter(&place->seen);
	*copy = *piece;
	copy->trail = piece->trail * 10 + (int)place->index + 1;
	if (piece->nap_ns > 0)
		(void)weir_ctx_sleep(NULL, piece->nap_ns);
	status = piece_act(ctx, piece, place->index);
	atomic_fetch_sub(&place->seen.running, 1);
	return status;
}

static inline void
line_init(struct line *l, uint32_t workers, uint32_t queue)
{
	memset(l, 0, sizeof(*l));
	l->gate = gate_make();
	for (uint32_t i = 0; i < STAGES; i++) {
		l->places[i].index = i;
		weir_stage_init(&l->stages[i]);
		l->stages[i].workers = workers;
		l->stages[i].queue = queue;
		l->stages[i].out_size = sizeof(struct piece);
		l->stages[i].run = place_run;
		l->stages[i].user = &l->places[i];
	}
	weir_pipeline_options_init(&l->options);
	l->options.stages = l->stages;
	l->options.stage_count = STAGES;
	l->options.stage_size = sizeof(weir_stage);
	l->options.in_size = sizeof(struct piece);
}

static inline void
line_start(struct line *l)
{
	OK(weir_pipeline_new(&l->p, &l->options));
}

static inline void
line_end(struct line *l)
{
	weir_pipeline_free(l->p);
	weir_ctx_unref(l->gate);
}

static inline uint64_t
put(struct line *l, struct piece piece, weir_ctx *ctx)
{
	uint64_t id = 0;

	piece.gate = l->gate;
	OK(weir_pipeline_submit(l->p, &piece, &id, ctx));
	return id;
}

static inline weir_pipeline_result
take(struct line *l, struct piece *ret_out)
{
	weir_ctx *ctx = patience();
	weir_pipeline_result r;

	OK(weir_pipeline_next(l->p, &r, ret_out, ctx));
	weir_ctx_unref(ctx);
	return r;
}

/* The same with what was submitted, where items are kept. */
static inline weir_pipeline_result
take_item(struct line *l, struct piece *ret_in, struct piece *ret_out)
{
	weir_ctx *ctx = patience();
	weir_pipeline_result r;

	OK(weir_pipeline_next_item(l->p, &r, ret_in, ret_out, ctx));
	weir_ctx_unref(ctx);
	return r;
}

static inline weir_pool_stats
stage_stats(struct line *l, uint32_t stage)
{
	weir_pool_stats s = WEIR_POOL_STATS_INIT;

	weir_pipeline_get_stats(l->p, stage, &s);
	return s;
}

static inline void
check_stages_empty(struct line *l)
{
	for (uint32_t i = 0; i < STAGES; i++) {
		weir_pool_stats s = stage_stats(l, i);

		CHECK_EQ_INT(s.accepted, s.delivered + s.handed_back);
		CHECK_EQ_INT(s.inside + s.queued + s.backoff + s.busy, 0);
	}
}

/* A piece as it was submitted: no stage has written to it. */
static inline void
check_submitted(const struct piece *in, int number)
{
	REQUIRE(in);
	CHECK_EQ_INT(in->number, number);
	CHECK_EQ_INT(in->trail, 0);
}

#define PIECE(n, a, b, c)                          \
	(struct piece)                             \
	{                                          \
		.number = (n), .what = { a, b, c } \
	}

/* Item 1 holds the only worker of stage 1; 2 waits behind it. */
static inline void
line_jam(struct line *l, uint32_t queue)
{
	line_init(l, 1, queue);
	l->options.keep_in = true;
	line_start(l);
	put(l, PIECE(1, ECHO, GATE, ECHO), NULL);
	WAIT_FOR(atomic_load(&l->places[1].seen.running) == 1);
}

/* Full: each worker holds an item, each queue is full. */
static inline bool
is_full(struct line *l)
{
	for (uint32_t i = 0; i < STAGES; i++) {
		weir_pool_stats s = stage_stats(l, i);

		if (s.queued != l->stages[i].queue ||
		    s.inside != l->stages[i].queue + l->stages[i].workers)
			return false;
	}
	return true;
}

/* Two workers and a queue of 3 in each of the stages, all full: 15 items. */
enum { PLACES = STAGES * (2 + 3), RESULTS = 7 };

static inline void
line_fill(struct line *l, enum what last)
{
	weir_ctx *ctx = patience();
	struct piece piece = PIECE(0, ECHO, ECHO, last);

	piece.gate = l->gate;
	for (int i = 0; i < PLACES; i++) {
		piece.number = i;
		OK(weir_pipeline_submit(l->p, &piece, NULL, ctx));
	}
	weir_ctx_unref(ctx);
}

/* Ends asynchronous jobs on a thread of its own, the latest first. */
struct ender {
	struct place place;
	pthread_mutex_t mu;
	weir_job *jobs[64];
	int len;
	bool stop;
};

static inline weir_status
ender_start(weir_ctx *ctx, weir_job *job, const void *in, void *out, void *user)
{
	const struct piece *piece = in;
	struct ender *e = user;
	struct piece *copy = out;

	(void)ctx;
	*copy = *piece;
	copy->trail = piece->trail * 10 + (int)e->place.index + 1;
	seen_enter(&e->place.seen);
	if (piece->what[e->place.index] == FAIL) {
		atomic_fetch_sub(&e->place.seen.running, 1);
		return weir_job_fail(ctx, piece->status, "cannot start");
	}
	pthread_mutex_lock(&e->mu);
	REQUIRE(e->len < 64);
	e->jobs[e->len++] = job;
	pthread_mutex_unlock(&e->mu);
	return WEIR_OK;
}

static inline void *
ender_main(void *arg)
{
	struct ender *e = arg;
	bool stop = false;

	while (!stop) {
		weir_job *job = NULL;

		pthread_mutex_lock(&e->mu);
		if (e->len > 0)
			job = e->jobs[--e->len];
		stop = e->stop && !job;
		pthread_mutex_unlock(&e->mu);
		if (job) {
			atomic_fetch_sub(&e->place.seen.running, 1);
			weir_job_done(job, WEIR_OK);
		} else {
			(void)weir_ctx_sleep(NULL, 20 * WEIR_US);
		}
	}
	return NULL;
}

static inline void
ender_stop(struct ender *e, pthread_t thread)
{
	pthread_mutex_lock(&e->mu);
	e->stop = true;
	pthread_mutex_unlock(&e->mu);
	thread_join(thread);
}

static inline void
ender_take_stage(struct ender *e, struct line *l, uint32_t stage)
{
	memset(e, 0, sizeof(*e));
	pthread_mutex_init(&e->mu, NULL);
	e->place.index = stage;
	l->stages[stage].run = NULL;
	l->stages[stage].start = ender_start;
	l->stages[stage].user = e;
}

#endif
