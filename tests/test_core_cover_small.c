/*
 * Branches that the other tests of the core do not take: contexts, limits,
 * retry policies, what a job may ask, and shutdowns inside of shutdowns.
 * scripts/coverage says which ones are left.
 */
#include "core/ctx.h"
#include "core/pool.h"
#include "core/retry.h"
#include "core_util.h"

#include <pthread.h>

TEST(cover, a_context_is_cancelled_for_no_reason)
{
	weir_ctx *ctx = gate_make();
	weir_error error;

	weir_ctx_cancel_cause(ctx, NULL);
	weir_ctx_cause(ctx, &error);
	CHECK_EQ_INT(error.status, WEIR_CANCELED);
	CHECK_STR(error.message, weir_status_message(WEIR_CANCELED));
	weir_ctx_unref(ctx);
}

TEST(cover, a_context_without_a_parent_is_rearmed)
{
	weir_ctx *ctx = gate_make();

	weir_ctx_cancel(ctx);
	weir__ctx_rearm(ctx, 17);
	CHECK_EQ_INT(weir_ctx_deadline_ns(ctx), 17);
	CHECK_EQ_INT(weir_ctx_status(ctx), WEIR_TIMEDOUT);
	weir_ctx_unref(ctx);
}

TEST(cover, a_policy_with_too_steep_a_curve_is_refused)
{
	weir_retry retry = {.factor = 2e6};

	CHECK(!weir__retry_is_valid(&retry));
	retry.factor = 1e6;
	CHECK(weir__retry_is_valid(&retry));
}

TEST(cover, full_jitter_comes_down_to_no_delay)
{
	const weir_retry retry = {.delay_ns = WEIR_S, .jitter = 1};

	CHECK_EQ_INT(weir_retry_delay_ns(&retry, 1, 1.0), 0);
}

TEST(cover, a_status_of_the_hosts_own_is_not_tried_again)
{
	const weir_retry retry = {.attempts_max = 3};

	CHECK(!weir__retry_wants(&retry, (weir_status)100));
	CHECK(weir__retry_wants(&retry, WEIR_FAILED));
}

/* The processors were busy when somebody waited there before. */
TEST(cover, a_waiter_sleeps_at_once_where_yields_are_dear)
{
	struct weir_mutex mu;
	struct weir_waitq q;

	weir__mutex_init(&mu);
	weir__waitq_init(&q);
	q.no_yield = 1;
	weir__mutex_lock(&mu);
	CHECK_EQ_INT(weir__waitq_wait(&q, &mu, NULL, weir_now_ns() + WEIR_MS),
		     WEIR_BUSY);
	CHECK_EQ_INT(q.len, 0);
	CHECK_EQ_INT(q.no_yield, 0);
	weir__mutex_unlock(&mu);
	weir__mutex_fini(&mu);
}

struct taker {
	weir_limit *limit;
	weir_ctx *ctx;
};

static void *
taker_main(void *arg)
{
	struct taker *taker = arg;

	CHECK_EQ_INT(weir_limit_take(taker->limit, taker->ctx), WEIR_CANCELED);
	return NULL;
}

/* A token a year, and a queue of takers for more than a century. */
TEST(cover, a_wait_of_centuries_is_cut_to_what_a_number_holds)
{
	enum { TAKERS = 180 };
	struct taker taker = {.ctx = gate_make()};
	pthread_t threads[TAKERS];
	int64_t wait_ns = 0;

	OK(weir_limit_new(&taker.limit, 1.0 / 31557600, 1));
	OK(weir_limit_try_take(taker.limit, NULL));
	for (int i = 0; i < TAKERS; i++)
		threads[i] = thread_run(taker_main, &taker);
	WAIT_FOR(weir_limit_try_take(taker.limit, &wait_ns) == WEIR_BUSY &&
		 wait_ns == INT64_MAX / 2);
	weir_ctx_cancel(taker.ctx);
	for (int i = 0; i < TAKERS; i++)
		thread_join(threads[i]);
	weir_limit_free(taker.limit);
	weir_ctx_unref(taker.ctx);
}

/* Jobs that leave their context behind, as none should. */
struct leaver {
	weir_ctx *ctx, *submit_ctx;
	bool would_retry, cancels;
};

static weir_status
leaver_run(weir_ctx *ctx, const void *in, void *out, void *user)
{
	struct leaver *leaver = user;

	(void)in;
	(void)out;
	leaver->ctx = ctx;
	if (leaver->cancels)
		weir_ctx_cancel(leaver->submit_ctx);
	leaver->would_retry = weir_job_will_retry(ctx, WEIR_FAILED);
	return WEIR_OK;
}

static weir_pool *
leaver_pool(struct leaver *leaver)
{
	weir_pool_options o = WEIR_POOL_OPTIONS_INIT;

	o.workers = 1;
	o.queue = 4;
	o.run = leaver_run;
	o.user = leaver;
	o.retry.attempts_max = 2;
	return pool_make(&o);
}

TEST(cover, a_context_whose_job_is_over_knows_nothing_of_it)
{
	struct leaver leaver = {0};
	weir_pool *pool = leaver_pool(&leaver);

	OK(weir_pool_submit(pool, NULL, NULL, NULL));
	next_result(pool, NULL);
	CHECK(leaver.would_retry);
	/* The slot's context is still there; its worker is idle. */
	WAIT_FOR(stats_of(pool).busy == 0);
	CHECK_EQ_INT(weir_job_id(leaver.ctx), 0);
	CHECK_EQ_INT(weir_job_attempt(leaver.ctx), 0);
	CHECK(!weir_job_will_retry(leaver.ctx, WEIR_FAILED));
	CHECK_EQ_INT(weir_job_fail(leaver.ctx, WEIR_OK, "too late"),
		     WEIR_FAILED);
	weir_job_retry_after(leaver.ctx, WEIR_S);
	weir_pool_free(pool);
}

TEST(cover, a_slot_parts_with_a_context_that_somebody_took_meanwhile)
{
	weir_job_options options = WEIR_JOB_OPTIONS_INIT;
	struct leaver leaver = {0};
	weir_pool *pool = leaver_pool(&leaver);
	weir_ctx *kept;

	OK(weir_pool_submit(pool, NULL, NULL, NULL));
	next_result(pool, NULL);
	WAIT_FOR(stats_of(pool).busy == 0);
	kept = weir_ctx_ref(leaver.ctx);
	options.timeout_ns = 10 * WEIR_S;
	OK(weir_pool_submit_with(pool, NULL, &options, NULL, NULL));
	next_result(pool, NULL);
	CHECK(leaver.ctx != kept);
	CHECK_EQ_INT(weir_job_id(kept), 0);
	weir_ctx_unref(kept);
	weir_pool_free(pool);
}

TEST(cover, a_job_whose_submitter_gave_up_is_not_tried_again)
{
	struct leaver leaver = {.cancels = true, .submit_ctx = gate_make()};
	weir_pool *pool = leaver_pool(&leaver);

	OK(weir_pool_submit(pool, NULL, NULL, leaver.submit_ctx));
	next_result(pool, NULL);
	CHECK(!leaver.would_retry);
	weir_pool_free(pool);
	weir_ctx_unref(leaver.submit_ctx);
}

struct stopper {
	weir_pool *pool;
	weir_ctx *gate;
	atomic_bool inside;
	bool would_retry;
};

static weir_status
stopper_run(weir_ctx *ctx, const void *in, void *out, void *user)
{
	struct stopper *stopper = user;

	(void)in;
	(void)out;
	atomic_store(&stopper->inside, true);
	gate_wait(stopper->gate);
	stopper->would_retry = weir_job_will_retry(ctx, WEIR_FAILED);
	return WEIR_OK;
}

static void
stopper_try(weir_status stop(weir_pool *pool, weir_unstarted_fn *unstarted,
			     void *user, weir_ctx *ctx))
{
	struct stopper stopper = {.gate = gate_make()};
	weir_pool_options o = WEIR_POOL_OPTIONS_INIT;
	weir_ctx *expired = ctx_make(NULL, 0);

	o.workers = 1;
	o.queue = 1;
	o.run = stopper_run;
	o.user = &stopper;
	o.retry.attempts_max = 2;
	stopper.pool = pool_make(&o);
	OK(weir_pool_submit(stopper.pool, NULL, NULL, NULL));
	WAIT_FOR(atomic_load(&stopper.inside));
	CHECK_EQ_INT(stop(stopper.pool, NULL, NULL, expired), WEIR_TIMEDOUT);
	gate_open(stopper.gate);
	next_result(stopper.pool, NULL);
	CHECK(!stopper.would_retry);
	weir_pool_free(stopper.pool);
	weir_ctx_unref(stopper.gate);
	weir_ctx_unref(expired);
}

TEST(cover, a_job_of_a_pool_that_stops_soon_or_now_is_not_tried_again)
{
	stopper_try(weir_pool_shutdown_soon);
	stopper_try(weir_pool_shutdown_now);
}

static void
stop_other(uint64_t id, const void *in, void *user)
{
	(void)id;
	(void)in;
	OK(weir_pool_shutdown_soon(user, NULL, NULL, NULL));
}

TEST(cover, a_shutdown_may_shut_another_pool_down)
{
	struct seen seen = {0};
	weir_pool_options o = task_options(&seen, 1, 4);
	weir_ctx *gate = gate_make();
	weir_pool *outer = pool_make(&o), *inner = pool_make(&o);
	weir_ctx *expired = ctx_make(NULL, 0);

	submit(outer, (struct task){.what = GATE, .gate = gate}, NULL);
	WAIT_FOR(stats_of(outer).busy == 1);
	submit(outer, (struct task){.what = ECHO}, NULL);
	CHECK_EQ_INT(weir_pool_shutdown_soon(outer, stop_other, inner, expired),
		     WEIR_TIMEDOUT);
	CHECK_EQ_INT(stats_of(outer).handed_back, 1);
	gate_open(gate);
	OK(weir_pool_shutdown(outer, NULL));
	weir_pool_free(outer);
	weir_pool_free(inner);
	weir_ctx_unref(gate);
	weir_ctx_unref(expired);
}

/* An asynchronous job that ends, and is cancelled, before its worker looks. */
static weir_status
done_start(weir_ctx *ctx, weir_job *job, const void *in, void *out, void *user)
{
	(void)ctx;
	(void)in;
	(void)out;
	weir_ctx_cancel(user);
	weir_job_done(job, WEIR_OK);
	return WEIR_OK;
}

static void
never_cancel(weir_ctx *ctx, weir_job *job, void *user)
{
	(void)ctx;
	(void)user;
	CHECK_MSG(job == NULL, "%s", "a job that has ended is cancelled");
}

TEST(cover, a_job_that_has_ended_is_not_told_that_it_is_cancelled)
{
	weir_ctx *ctx = gate_make();
	weir_pool_options o = WEIR_POOL_OPTIONS_INIT;
	weir_pool *pool;

	o.workers = 2;
	o.queue = 2;
	o.start = done_start;
	o.cancel = never_cancel;
	o.user = ctx;
	pool = pool_make(&o);
	OK(weir_pool_submit(pool, NULL, NULL, ctx));
	CHECK_EQ_INT(next_result(pool, NULL).status, WEIR_OK);
	weir_pool_free(pool);
	weir_ctx_unref(ctx);
}
