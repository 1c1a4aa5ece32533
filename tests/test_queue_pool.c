/*
 * Handlers in a pool, and what they can say.
 */
#include "queue_work_util.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <weir/job.h>

/* A work of the kind "test", which ends when there is nothing left. */
struct shop {
	struct bench b;
	weir_handler handler;
	weir_work_options options;
	weir_work *work;
	weir_ctx *ctx;
	pthread_t thread;
	weir_status status;
	struct event began, told;
	atomic_uint runs;
	_Atomic int64_t first; /* the id of the job that began first */
};

static void
shop_init(struct shop *s, weir_job_fn *run)
{
	memset(s, 0, sizeof(*s));
	bench_init(&s->b);
	event_init(&s->began);
	event_init(&s->told);
	s->handler.size = sizeof(s->handler);
	s->handler.kind = "test";
	s->handler.run = run;
	s->handler.user = s;
	weir_work_options_init(&s->options);
	s->options.handlers = &s->handler;
	s->options.handler_count = 1;
	s->options.until_empty = true;
	s->options.workers = 4;
}

static void
shop_open(struct shop *s)
{
	weir_error error;

	REQUIRE(weir_work_new(&s->work, s->b.store, &s->options, &error) ==
		WEIR_OK);
}

static void *
shop_thread(void *arg)
{
	struct shop *s = arg;
	weir_error error;

	s->status = weir_work_run(s->work, s->ctx, &error);
	return NULL;
}

static void
shop_start(struct shop *s)
{
	shop_open(s);
	REQUIRE(pthread_create(&s->thread, NULL, shop_thread, s) == 0);
}

static weir_work_stats
shop_wait(struct shop *s)
{
	weir_work_stats stats = {.size = sizeof(stats)};

	pthread_join(s->thread, NULL);
	weir_work_get_stats(s->work, &stats);
	CHECK_EQ_INT(stats.running, 0);
	CHECK_EQ_INT(stats.claimed, 0);
	return stats;
}

/* Open it, work until it is empty, and close it. */
static weir_work_stats
shop_run(struct shop *s)
{
	weir_work_stats stats;

	shop_start(s);
	stats = shop_wait(s);
	CHECK_EQ_INT(s->status, WEIR_OK);
	s->work = weir_work_free(s->work);
	return stats;
}

static void
shop_fini(struct shop *s)
{
	s->work = weir_work_free(s->work);
	s->ctx = weir_ctx_unref(s->ctx);
	event_fini(&s->began);
	event_fini(&s->told);
	bench_fini(&s->b);
}

static weir_status
succeed(weir_ctx *ctx, const void *in, void *out, void *user)
{
	const weir_job_row *job = in;
	struct shop *s = user;

	(void)ctx;
	CHECK_STR(job->kind, "test");
	CHECK_EQ_INT(job->state, WEIR_JOB_RUNNING);
	CHECK(!out);
	atomic_fetch_add(&s->runs, 1);
	return WEIR_OK;
}

TEST(pool, runs_what_is_there_and_completes_it)
{
	struct shop s;

	shop_init(&s, succeed);
	bench_put_many(&s.b, "test", 100);
	CHECK_EQ_INT(shop_run(&s).completed, 100);
	CHECK_EQ_INT(atomic_load(&s.runs), 100);
	CHECK_EQ_INT(bench_count(&s.b, WEIR_JOB_COMPLETED), 100);
	shop_fini(&s);
}

TEST(pool, ends_at_once_when_there_is_nothing)
{
	struct shop s;

	shop_init(&s, succeed);
	shop_run(&s);
	CHECK_EQ_INT(atomic_load(&s.runs), 0);
	shop_fini(&s);
}

TEST(pool, one_worker_is_enough)
{
	struct shop s;

	shop_init(&s, succeed);
	s.options.workers = 1;
	bench_put_many(&s.b, "test", 200);
	CHECK_EQ_INT(shop_run(&s).completed, 200);
	shop_fini(&s);
}

static weir_status
fail_with_words(weir_ctx *ctx, const void *in, void *out, void *user)
{
	(void)in;
	(void)out;
	(void)user;
	return weir_job_fail(ctx, WEIR_FAILED, "no route to %s", "mars");
}

TEST(pool, what_a_job_says_of_its_failure_is_kept_with_it)
{
	struct shop s;
	int64_t id;

	shop_init(&s, fail_with_words);
	id = bench_put(&s.b, "test");
	CHECK_EQ_INT(shop_run(&s).retried, 1);
	CHECK_EQ_INT(bench_state(&s.b, id), WEIR_JOB_RETRYABLE);
	CHECK(strstr(bench_errors(&s.b, id),
		     "\"attempt\":1,\"error\":\"no route to mars\","
		     "\"trace\":\"\""));
	/* River's curve: a second, ten per cent more or less. */
	CHECK(bench_scheduled_at(&s.b, id) >= BENCH_T0 + 900);
	CHECK(bench_scheduled_at(&s.b, id) <= BENCH_T0 + 1100);
	shop_fini(&s);
}

TEST(pool, a_policy_of_the_kinds_own_says_when_to_try_again)
{
	weir_retry retry = {.delay_ns = 7 * WEIR_S};
	struct shop s;
	int64_t id;

	shop_init(&s, fail_with_words);
	s.handler.retry = &retry;
	id = bench_put(&s.b, "test");
	shop_run(&s);
	CHECK_EQ_INT(bench_scheduled_at(&s.b, id), BENCH_T0 + 7000);
	shop_fini(&s);
}

TEST(pool, a_job_is_discarded_after_its_last_attempt)
{
	struct weir_draft draft = bench_draft("test");
	struct shop s;
	int64_t id;

	shop_init(&s, fail_with_words);
	draft.max_attempts = 1;
	id = bench_put_draft(&s.b, &draft);
	CHECK_EQ_INT(shop_run(&s).discarded, 1);
	CHECK_EQ_INT(bench_state(&s.b, id), WEIR_JOB_DISCARDED);
	shop_fini(&s);
}

static weir_status
snooze_first(weir_ctx *ctx, const void *in, void *out, void *user)
{
	const weir_job_row *job = in;
	struct shop *s = user;

	(void)ctx;
	(void)out;
	CHECK_EQ_INT(job->attempt, 1);
	if (atomic_fetch_add(&s->runs, 1) < 2)
		return weir_job_snooze(job, 0);
	return WEIR_OK;
}

TEST(pool, a_snoozed_job_runs_again_as_the_same_attempt)
{
	struct shop s;
	weir_work_stats stats;

	shop_init(&s, snooze_first);
	bench_put(&s.b, "test");
	stats = shop_run(&s);
	CHECK_EQ_INT(stats.snoozed, 2);
	CHECK_EQ_INT(stats.completed, 1);
	shop_fini(&s);
}

static weir_status
cancel_itself(weir_ctx *ctx, const void *in, void *out, void *user)
{
	(void)ctx;
	(void)out;
	(void)user;
	return weir_job_cancel(in, "the customer has left");
}

TEST(pool, a_job_can_cancel_itself)
{
	struct shop s;
	int64_t id;

	shop_init(&s, cancel_itself);
	id = bench_put(&s.b, "test");
	CHECK_EQ_INT(shop_run(&s).cancelled, 1);
	CHECK_EQ_INT(bench_state(&s.b, id), WEIR_JOB_CANCELLED);
	CHECK(strstr(bench_errors(&s.b, id),
		     "\"JobCancelError: the customer has left\""));
	shop_fini(&s);
}

static weir_status
change_its_mind(weir_ctx *ctx, const void *in, void *out, void *user)
{
	(void)ctx;
	(void)out;
	(void)user;
	(void)weir_job_cancel(in, "no");
	(void)weir_job_snooze(in, 1);
	return WEIR_OK;
}

TEST(pool, what_counts_is_what_it_returns)
{
	struct shop s;

	shop_init(&s, change_its_mind);
	bench_put(&s.b, "test");
	CHECK_EQ_INT(shop_run(&s).completed, 1);
	shop_fini(&s);
}

static weir_status
retry_soon(weir_ctx *ctx, const void *in, void *out, void *user)
{
	(void)ctx;
	(void)out;
	(void)user;
	weir_job_retry_in(in, 90 * WEIR_S);
	return WEIR_FAILED;
}

TEST(pool, a_job_can_say_when_to_try_again)
{
	struct shop s;
	int64_t id;

	shop_init(&s, retry_soon);
	id = bench_put(&s.b, "test");
	shop_run(&s);
	CHECK_EQ_INT(bench_scheduled_at(&s.b, id), BENCH_T0 + 90 * 1000);
	CHECK(strstr(bench_errors(&s.b, id), "\"error\":\"failed\""));
	shop_fini(&s);
}

static weir_status
put_out(weir_ctx *ctx, const void *in, void *out, void *user)
{
	static char large[WEIR_ARGS_MAX + 3];

	(void)ctx;
	(void)out;
	(void)user;
	memset(large, '1', sizeof(large) - 1);
	CHECK_EQ_INT(weir_job_output(in, "{\"n\":1}", 0), WEIR_OK);
	CHECK_EQ_INT(weir_job_output(in, "{\"n\":", 0), WEIR_INVAL);
	CHECK_EQ_INT(weir_job_output(in, large, 0), WEIR_INVAL);
	CHECK_EQ_INT(weir_job_output(in, NULL, 0), WEIR_INVAL);
	CHECK_EQ_INT(weir_job_output(in, "[1e400]junk", 7), WEIR_OK);
	return WEIR_OK;
}

TEST(pool, the_last_good_output_is_kept_byte_for_byte)
{
	struct shop s;
	int64_t id;

	shop_init(&s, put_out);
	id = bench_put(&s.b, "test");
	shop_run(&s);
	CHECK_STR(bench_output(&s.b, id), "[1e400]");
	shop_fini(&s);
}

static weir_status
complete_nowhere(weir_ctx *ctx, const void *in, void *out, void *user)
{
	weir_error error;

	(void)ctx;
	(void)out;
	(void)user;
	CHECK_EQ_INT(weir_job_complete_tx(in, NULL, &error), WEIR_INVAL);
	return WEIR_OK;
}

TEST(pool, a_transaction_needs_a_database)
{
	struct shop s;

	shop_init(&s, complete_nowhere);
	bench_put(&s.b, "test");
	CHECK_EQ_INT(shop_run(&s).completed, 1);
	shop_fini(&s);
}

/* Completes itself in a transaction of its own, and then seems to fail. */
static weir_status
complete_itself(weir_ctx *ctx, const void *in, void *out, void *user)
{
	struct sqlite3 *db = (struct sqlite3 *)user; /* any will do */
	struct shop *s = user;
	weir_error error;

	(void)ctx;
	(void)out;
	CHECK_EQ_INT(weir_job_output(in, "7", 0), WEIR_OK);
	CHECK_EQ_INT(weir_job_complete_tx(in, db, &error), WEIR_OK);
	CHECK_EQ_INT(weir_job_complete_tx(in, db, &error), WEIR_STALE);
	return atomic_fetch_add(&s->runs, 1) == 0 ? WEIR_OK : WEIR_FAILED;
}

TEST(pool, a_job_that_has_completed_itself_is_completed_whatever_it_returns)
{
	struct shop s;
	weir_work_stats stats;

	shop_init(&s, complete_itself);
	bench_put_many(&s.b, "test", 2);
	stats = shop_run(&s);
	CHECK_EQ_INT(stats.completed, 2);
	CHECK_EQ_INT(stats.stale, 0);
	CHECK_EQ_INT(bench_count(&s.b, WEIR_JOB_COMPLETED), 2);
	CHECK_STR(bench_errors(&s.b, 2), "");
	CHECK_STR(bench_output(&s.b, 2), "7");
	shop_fini(&s);
}

TEST(pool, unknown_kinds_are_left_to_others)
{
	struct shop s;
	int64_t id;

	shop_init(&s, succeed);
	id = bench_put(&s.b, "foreign");
	bench_put(&s.b, "test");
	CHECK_EQ_INT(shop_run(&s).completed, 1);
	CHECK_EQ_INT(bench_state(&s.b, id), WEIR_JOB_AVAILABLE);
	shop_fini(&s);
}

TEST(pool, unknown_kinds_fail_if_that_is_asked_for)
{
	struct shop s;
	int64_t id;

	shop_init(&s, succeed);
	s.options.unknown = WEIR_UNKNOWN_FAIL;
	id = bench_put(&s.b, "foreign");
	CHECK_EQ_INT(shop_run(&s).retried, 1);
	CHECK(strstr(bench_errors(&s.b, id),
		     "\"job kind is not registered: foreign\""));
	shop_fini(&s);
}

/* Runs until its context is done. */
static weir_status
run_until_told(weir_ctx *ctx, const void *in, void *out, void *user)
{
	const weir_job_row *job = in;
	struct shop *s = user;
	weir_status status;

	(void)out;
	if (atomic_fetch_add(&s->runs, 1) == 0)
		atomic_store(&s->first, job->id);
	event_set(&s->began);
	status = weir_ctx_sleep(ctx, WEIR_FOREVER);
	event_set(&s->told);
	return status;
}

TEST(pool, a_job_has_the_time_that_its_insert_gave_it)
{
	struct weir_draft draft = bench_draft("test");
	struct shop s;
	int64_t id;

	shop_init(&s, run_until_told);
	s.options.timeout_ns = 3600 * WEIR_S;
	s.handler.timeout_ns = 3600 * WEIR_S;
	draft.timeout_ns = 10 * WEIR_MS;
	id = bench_put_draft(&s.b, &draft);
	CHECK_EQ_INT(shop_run(&s).retried, 1);
	CHECK(strstr(bench_errors(&s.b, id), "\"timed out\""));
	shop_fini(&s);
}

TEST(pool, or_that_its_kind_has_or_all_have)
{
	struct shop s;

	shop_init(&s, run_until_told);
	s.options.timeout_ns = 3600 * WEIR_S;
	s.handler.timeout_ns = 10 * WEIR_MS;
	bench_put(&s.b, "test");
	CHECK_EQ_INT(shop_run(&s).retried, 1);
	s.options.timeout_ns = 10 * WEIR_MS;
	s.handler.timeout_ns = 0;
	bench_put(&s.b, "test");
	CHECK_EQ_INT(shop_run(&s).retried, 1);
	shop_fini(&s);
}

TEST(pool, a_running_job_that_somebody_cancels_sees_its_context_done)
{
	struct shop s;

	shop_init(&s, run_until_told);
	bench_put(&s.b, "test");
	shop_start(&s);
	event_wait(&s.began);
	bench_cancel(&s.b, atomic_load(&s.first));
	event_wait(&s.told);
	CHECK_EQ_INT(shop_wait(&s).cancelled, 1);
	CHECK_EQ_INT(bench_state(&s.b, 1), WEIR_JOB_CANCELLED);
	CHECK(strstr(bench_errors(&s.b, 1), "JobCancelError"));
	shop_fini(&s);
}

static weir_status
first_until_told(weir_ctx *ctx, const void *in, void *out, void *user)
{
	struct shop *s = user;
	weir_status status;

	if (atomic_load(&s->runs) == 0)
		return run_until_told(ctx, in, out, user);
	status = weir_ctx_status(ctx);
	CHECK_EQ_INT(status, WEIR_OK);
	return status;
}

TEST(pool, a_cancel_meets_that_job_and_not_the_next_on_its_thread)
{
	struct shop s;
	weir_work_stats stats;

	shop_init(&s, first_until_told);
	s.options.workers = 1;
	bench_put_many(&s.b, "test", 30);
	shop_start(&s);
	event_wait(&s.began);
	bench_cancel(&s.b, atomic_load(&s.first));
	stats = shop_wait(&s);
	CHECK_EQ_INT(stats.cancelled, 1);
	CHECK_EQ_INT(stats.completed, 29);
	shop_fini(&s);
}

TEST(pool, a_stop_now_ends_what_runs_and_its_attempt_does_not_count)
{
	struct shop s;
	weir_work_stats stats;

	shop_init(&s, run_until_told);
	bench_put_many(&s.b, "test", 10);
	shop_start(&s);
	for (int i = 0; i < 4; i++)
		event_wait(&s.began);
	weir_work_stop(s.work, true);
	stats = shop_wait(&s);
	CHECK_EQ_INT(s.status, WEIR_OK);
	CHECK(stats.released >= 4);
	CHECK_EQ_INT(bench_count(&s.b, WEIR_JOB_AVAILABLE), 10);
	CHECK_EQ_INT(bench_attempt(&s.b, atomic_load(&s.first)), 0);
	CHECK_STR(bench_errors(&s.b, atomic_load(&s.first)), "");
	shop_fini(&s);
}

TEST(pool, the_end_of_the_runs_context_is_a_stop_now)
{
	struct shop s;

	shop_init(&s, run_until_told);
	REQUIRE(weir_ctx_new(&s.ctx, NULL, WEIR_FOREVER) == WEIR_OK);
	bench_put_many(&s.b, "test", 10);
	shop_start(&s);
	for (int i = 0; i < 4; i++)
		event_wait(&s.began);
	weir_ctx_cancel(s.ctx);
	shop_wait(&s);
	CHECK_EQ_INT(s.status, WEIR_OK);
	CHECK_EQ_INT(bench_count(&s.b, WEIR_JOB_AVAILABLE), 10);
	shop_fini(&s);
}

TEST(pool, so_is_its_deadline_and_no_job_has_timed_out)
{
	struct shop s;

	shop_init(&s, run_until_told);
	REQUIRE(weir_ctx_new(&s.ctx, NULL, 100 * WEIR_MS) == WEIR_OK);
	bench_put_many(&s.b, "test", 2);
	shop_start(&s);
	shop_wait(&s);
	CHECK_EQ_INT(bench_count(&s.b, WEIR_JOB_AVAILABLE), 2);
	shop_fini(&s);
}

TEST(pool, an_idle_one_ends_with_its_context_too)
{
	struct shop s;

	shop_init(&s, succeed);
	s.options.until_empty = false;
	REQUIRE(weir_ctx_new(&s.ctx, NULL, WEIR_FOREVER) == WEIR_OK);
	shop_start(&s);
	CHECK(event_stays_unset(&s.began, 20));
	weir_ctx_cancel(s.ctx);
	shop_wait(&s);
	CHECK_EQ_INT(s.status, WEIR_OK);
	shop_fini(&s);
}

static weir_status
stop_the_work(weir_ctx *ctx, const void *in, void *out, void *user)
{
	struct shop *s = user;

	(void)ctx;
	(void)in;
	(void)out;
	atomic_fetch_add(&s->runs, 1);
	weir_work_stop(s->work, false);
	return WEIR_OK;
}

TEST(pool, a_stop_begins_nothing_more_not_even_of_the_batch_under_way)
{
	struct shop s;
	weir_work_stats stats;

	shop_init(&s, stop_the_work);
	s.options.workers = 1;
	s.options.prefetch = 50;
	bench_put_many(&s.b, "test", 60);
	stats = shop_run(&s);
	CHECK_EQ_INT(stats.completed, 1);
	CHECK_EQ_INT(atomic_load(&s.runs), 1);
	CHECK_EQ_INT(bench_count(&s.b, WEIR_JOB_AVAILABLE), 59);
	shop_fini(&s);
}

TEST(pool, one_that_was_stopped_before_it_ran_runs_nothing)
{
	struct shop s;
	weir_error error;

	shop_init(&s, succeed);
	bench_put(&s.b, "test");
	shop_open(&s);
	weir_work_stop(s.work, false);
	CHECK_EQ_INT(weir_work_run(s.work, NULL, &error), WEIR_OK);
	CHECK_EQ_INT(atomic_load(&s.runs), 0);
	CHECK_EQ_INT(weir_work_run(s.work, NULL, &error), WEIR_INVAL);
	shop_fini(&s);
}

TEST(pool, handlers_are_required_and_need_a_function)
{
	struct shop s;
	weir_error error;

	shop_init(&s, NULL);
	CHECK_EQ_INT(weir_work_new(&s.work, s.b.store, &s.options, &error),
		     WEIR_INVAL);
	s.options.handler_count = 0;
	CHECK_EQ_INT(weir_work_new(&s.work, s.b.store, &s.options, &error),
		     WEIR_INVAL);
	CHECK_EQ_INT(weir_work_new(&s.work, NULL, &s.options, &error),
		     WEIR_INVAL);
	shop_fini(&s);
}

static weir_status
anything(weir_ctx *ctx, const void *in, void *out, void *user)
{
	const weir_job_row *job = in;
	struct shop *s = user;

	(void)out;
	atomic_fetch_add(&s->runs, 1);
	switch ((job->id * 7 + job->attempt) % 6) {
	case 0:
		return weir_job_fail(ctx, WEIR_FAILED, "job %lld",
				     (long long)job->id);
	case 1:
		weir_job_retry_in(job, 0);
		return WEIR_BUSY;
	case 2:
		return WEIR_PERMANENT;
	case 3:
		return weir_job_cancel(job, "why not");
	default:
		return WEIR_OK;
	}
}

TEST(pool, each_job_ends_in_one_way_and_the_sums_agree)
{
	const unsigned total = 3000;
	weir_work_stats stats;
	struct shop s;

	shop_init(&s, anything);
	s.options.workers = 16;
	bench_put_many(&s.b, "test", total);
	stats = shop_run(&s);
	CHECK_EQ_INT(stats.completed, bench_count(&s.b, WEIR_JOB_COMPLETED));
	CHECK_EQ_INT(stats.discarded, bench_count(&s.b, WEIR_JOB_DISCARDED));
	CHECK_EQ_INT(stats.cancelled, bench_count(&s.b, WEIR_JOB_CANCELLED));
	CHECK_EQ_INT(bench_count(&s.b, WEIR_JOB_AVAILABLE), 0);
	CHECK_EQ_INT(bench_count(&s.b, WEIR_JOB_RUNNING), 0);
	CHECK_EQ_INT(stats.completed + stats.discarded + stats.cancelled +
			     bench_count(&s.b, WEIR_JOB_RETRYABLE),
		     total);
	CHECK_EQ_INT(atomic_load(&s.runs), stats.completed + stats.discarded +
						   stats.cancelled +
						   stats.retried);
	shop_fini(&s);
}

/* Stops and cancels at random, again and again, until all jobs are done. */
TEST_LIMIT(pool, stops_at_any_moment_lose_nothing, 60)
{
	const unsigned total = 600;
	uint64_t seed = test_seed();
	struct shop s;
	int rounds = 0;

	shop_init(&s, succeed);
	s.options.until_empty = false;
	bench_put_many(&s.b, "test", total);
	while (bench_count(&s.b, WEIR_JOB_COMPLETED) < total) {
		shop_start(&s);
		seed = seed * 6364136223846793005u + 1442695040888963407u;
		(void)event_stays_unset(&s.told, (int)(seed >> 33) % 3);
		weir_work_stop(s.work, seed >> 63);
		shop_wait(&s);
		CHECK_EQ_INT(s.status, WEIR_OK);
		CHECK_EQ_INT(bench_count(&s.b, WEIR_JOB_RUNNING), 0);
		s.work = weir_work_free(s.work);
		rounds++;
	}
	CHECK_EQ_INT(atomic_load(&s.runs), total);
	CHECK(rounds > 0);
	shop_fini(&s);
}
