/*
 * What the tests of the core share.
 *
 * Gates are contexts: a job waits at one with gate_wait(), and cancelling it
 * opens it.  A state is waited for, never slept towards: WAIT_FOR looks again
 * and again, and ends the test when it never comes.
 */
#ifndef WEIR_TESTS_CORE_UTIL_H
#define WEIR_TESTS_CORE_UTIL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <weir/weir.h>

#include "base/rng.h"
#include "harness.h"

/* Stress tests do less where everything takes ten times as long. */
#define SCALE(n) (UNDER_TSAN ? (n) / 8 + 1 : (n))

#define WAIT_FOR(cond)                                                         \
	do {                                                                   \
		int64_t until_ns_ = weir_now_ns() + 15 * WEIR_S;               \
		bool came_ = false;                                            \
		while (!(came_ = (cond)) && weir_now_ns() < until_ns_)         \
			(void)weir_ctx_sleep(NULL, 100 * WEIR_US);             \
		((came_) ? (void)0 : test_require(__FILE__, __LINE__, #cond)); \
	} while (0)

#define OK(call) REQUIRE((call) == WEIR_OK)

static inline pthread_t
thread_run(void *(*fn)(void *), void *arg)
{
	pthread_t thread;

	REQUIRE(pthread_create(&thread, NULL, fn, arg) == 0);
	return thread;
}

static inline void
thread_join(pthread_t thread)
{
	REQUIRE(pthread_join(thread, NULL) == 0);
}

static inline weir_ctx *
ctx_make(weir_ctx *parent, int64_t timeout_ns)
{
	weir_ctx *ctx;

	OK(weir_ctx_new(&ctx, parent, timeout_ns));
	return ctx;
}

static inline weir_ctx *
gate_make(void)
{
	return ctx_make(NULL, WEIR_FOREVER);
}

static inline void
gate_wait(weir_ctx *gate)
{
	(void)weir_ctx_sleep(gate, WEIR_FOREVER);
}

static inline void
gate_open(weir_ctx *gate)
{
	weir_ctx_cancel(gate);
}

static inline weir_pool_stats
stats_of(weir_pool *pool)
{
	weir_pool_stats s = WEIR_POOL_STATS_INIT;

	weir_pool_get_stats(pool, &s);
	return s;
}

/* The promise, and nothing left inside. */
static inline void
check_books_closed(weir_pool *pool)
{
	weir_pool_stats s = stats_of(pool);

	CHECK_EQ_INT(s.accepted, s.delivered + s.handed_back);
	CHECK_EQ_INT(s.inside, 0);
	CHECK_EQ_INT(s.delivered, s.ok + s.failed);
	CHECK_EQ_INT(s.queued + s.backoff + s.busy + s.results, 0);
}

/* A context that ends a wait which has gone wrong, so that it is seen. */
static inline weir_ctx *
patience(void)
{
	return ctx_make(NULL, 15 * WEIR_S);
}

/* What a job of these tests does. */
enum what {
	ECHO,  /* gives its number back */
	FAIL,  /* fails with `status` */
	GATE,  /* waits at a gate, whatever its context says */
	WATCH, /* waits until its context is done */
	FLAKY, /* fails until attempt `number` */
};

struct task {
	enum what what;
	int number;
	weir_status status;
	weir_ctx *gate;
};

/* What the jobs leave behind; user of the pools. */
struct seen {
	atomic_int running, most, runs;
};

static inline void
seen_enter(struct seen *seen)
{
	int running = atomic_fetch_add(&seen->running, 1) + 1;
	int most = atomic_load(&seen->most);

	atomic_fetch_add(&seen->runs, 1);
	while (running > most &&
	       !atomic_compare_exchange_weak(&seen->most, &most, running))
		;
}

static inline weir_status
task_run(weir_ctx *ctx, const void *in, void *out, void *user)
{
	const struct task *task = in;
	weir_status status = WEIR_OK;
	struct seen *seen = user;

	seen_enter(seen);
	*(int *)out = task->number;
	switch (task->what) {
	case ECHO:
		break;
	case FAIL:
		status = weir_job_fail(ctx, task->status, "task %d fails",
				       task->number);
		break;
	case GATE:
		gate_wait(task->gate);
		break;
	case WATCH:
		status = weir_ctx_sleep(ctx, WEIR_FOREVER);
		break;
	case FLAKY:
		if ((int)weir_job_attempt(ctx) < task->number)
			status = weir_job_fail(ctx, WEIR_FAILED, "not yet");
		break;
	}
	atomic_fetch_sub(&seen->running, 1);
	return status;
}

/* A pool in push form with tasks as jobs. */
static inline weir_pool_options
task_options(struct seen *seen, uint32_t workers, uint32_t queue)
{
	weir_pool_options o = WEIR_POOL_OPTIONS_INIT;

	o.workers = workers;
	o.queue = queue;
	o.in_size = sizeof(struct task);
	o.out_size = sizeof(int);
	o.run = task_run;
	o.user = seen;
	return o;
}

static inline weir_pool *
pool_make(const weir_pool_options *o)
{
	weir_pool *pool = NULL;

	OK(weir_pool_new(&pool, o));
	return pool;
}

static inline uint64_t
submit(weir_pool *pool, struct task task, weir_ctx *ctx)
{
	uint64_t id = 0;

	OK(weir_pool_submit(pool, &task, &id, ctx));
	return id;
}

/* The next result, which has to come. */
static inline weir_result
next_result(weir_pool *pool, int *ret_out)
{
	weir_ctx *ctx = patience();
	weir_result result;

	OK(weir_pool_next(pool, &result, ret_out, ctx));
	weir_ctx_unref(ctx);
	return result;
}

#endif
