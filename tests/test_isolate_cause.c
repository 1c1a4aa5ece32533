/* Why an isolated job did not end well: each cause is named. */
#include "isolate_util.h"

#include <sys/resource.h>

#if defined(__SANITIZE_ADDRESS__)
#define UNDER_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define UNDER_ASAN 1
#endif
#endif
#ifndef UNDER_ASAN
#define UNDER_ASAN 0
#endif

struct bench {
	weir_zygote *zygote;
	weir_isolate_options limits;
	weir_pool_options o;
	weir_pool *pool;
};

static void
bench_open(struct bench *b)
{
	weir_isolate_options_init(&b->limits);
	b->zygote = zygote_make();
	b->o = order_options(b->zygote, 1, 8);
	b->o.isolate_options = &b->limits;
}

static weir_result
bench_one(struct bench *b, enum deed deed, int number)
{
	int out;

	if (!b->pool)
		b->pool = pool_make(&b->o);
	return one_order(b->pool, deed, number, &out);
}

/* The worker goes on; all is tidied up. */
static void
bench_close(struct bench *b)
{
	weir_result r = bench_one(b, DEED_ECHO, 1);

	CHECK_EQ_INT(r.status, WEIR_OK);
	weir_pool_free(b->pool);
	weir_zygote_free(b->zygote);
}

TEST(isolate, a_signal_is_named)
{
	struct bench b = {0};
	weir_result r;

	bench_open(&b);
	r = bench_one(&b, DEED_ABORT, 0);
	CHECK_EQ_INT(r.status, WEIR_CRASHED);
	CHECK_STR(r.error, "killed by SIGABRT in attempt 1");
	r = bench_one(&b, DEED_KILL, 0);
	CHECK_EQ_INT(r.status, WEIR_CRASHED);
	CHECK_STR(r.error, "killed by SIGKILL in attempt 1");
	bench_close(&b);
}

TEST(isolate, an_exit_is_named_with_its_number)
{
	struct bench b = {0};
	weir_result r;

	bench_open(&b);
	r = bench_one(&b, DEED_EXIT, 0);
	CHECK_EQ_INT(r.status, WEIR_CRASHED);
	CHECK_STR(r.error, "exited with 0 in attempt 1");
	r = bench_one(&b, DEED_EXIT, 77);
	CHECK_STR(r.error, "exited with 77 in attempt 1");
	bench_close(&b);
}

TEST(isolate, a_failure_keeps_the_words_of_the_job)
{
	struct bench b = {0};
	weir_result r;

	bench_open(&b);
	r = bench_one(&b, DEED_FAIL, 5);
	CHECK_EQ_INT(r.status, WEIR_FAILED);
	CHECK_STR(r.error, "order 5 fails");
	CHECK_EQ_INT(isolate_stats(b.pool).died, 0);
	bench_close(&b);
}

TEST(isolate, running_out_of_memory_is_named_with_the_limit)
{
	struct bench b = {0};
	weir_result r;

	if (UNDER_ASAN || UNDER_TSAN)
		SKIP("the sanitizer takes the address space for itself");
	bench_open(&b);
	b.limits.memory_max = 64 << 20;
	r = bench_one(&b, DEED_EAT, 0);
	CHECK_EQ_INT(r.status, WEIR_CRASHED);
	CHECK_HAS(r.error, "out of memory (limit 64 MiB), killed by SIGSEGV");
	/* The same signal without that is not called so. */
	r = bench_one(&b, DEED_SEGV, 0);
	CHECK_STR(r.error, "killed by SIGSEGV at address 0x0 in attempt 1");
	bench_close(&b);
}

TEST(isolate, a_stack_that_overflows_is_named)
{
	struct bench b = {0};
	struct rlimit stack;
	weir_result r;

	if (UNDER_TSAN)
		SKIP("ThreadSanitizer keeps a stack of its own");
	REQUIRE(getrlimit(RLIMIT_STACK, &stack) == 0);
	if (stack.rlim_cur > (1 << 30))
		SKIP("the stack has no limit here");
	bench_open(&b);
	r = bench_one(&b, DEED_RECURSE, 0);
	CHECK_EQ_INT(r.status, WEIR_CRASHED);
	CHECK_HAS(r.error, "stack overflow, killed by SIGSEGV");
	bench_close(&b);
}

TEST(isolate, a_job_that_does_not_end_is_killed_at_its_time_out)
{
	struct bench b = {0};
	weir_result r;

	bench_open(&b);
	b.o.timeout_ns = 50 * WEIR_MS;
	b.limits.kill_after_ns = 20 * WEIR_MS;
	r = bench_one(&b, DEED_HANG, 0);
	CHECK_EQ_INT(r.status, WEIR_TIMEDOUT);
	CHECK_STR(r.error, "did not end within 50ms, killed in attempt 1");
	CHECK(r.run_ns >= 70 * WEIR_MS);
	CHECK_EQ_INT(isolate_stats(b.pool).killed, 1);
	b.o.timeout_ns = 0;
	bench_close(&b);
}

TEST(isolate, a_job_that_looks_at_its_context_ends_by_itself)
{
	struct bench b = {0};
	weir_result r;

	bench_open(&b);
	b.o.timeout_ns = 30 * WEIR_MS;
	b.limits.kill_after_ns = 10 * WEIR_S;
	r = bench_one(&b, DEED_SLEEP, 0);
	CHECK_EQ_INT(r.status, WEIR_TIMEDOUT);
	CHECK_STR(r.error, "timed out");
	CHECK_EQ_INT(isolate_stats(b.pool).killed, 0);
	CHECK_EQ_INT(isolate_stats(b.pool).started, 1);
	bench_close(&b);
}

TEST(isolate, a_job_that_sleeps_is_woken_to_be_cancelled)
{
	struct order order = {DEED_SLEEP, 0};
	weir_ctx *ctx = ctx_make(NULL, WEIR_FOREVER);
	struct bench b = {0};
	weir_result r;
	int out;

	bench_open(&b);
	b.limits.kill_after_ns = 10 * WEIR_S;
	b.pool = pool_make(&b.o);
	OK(weir_pool_submit(b.pool, &order, NULL, ctx));
	WAIT_FOR(stats_of(b.pool).busy == 1);
	weir_ctx_cancel(ctx);
	r = next_result(b.pool, &out);
	CHECK_EQ_INT(r.status, WEIR_CANCELED);
	CHECK_EQ_INT(isolate_stats(b.pool).killed, 0);
	weir_ctx_unref(ctx);
	bench_close(&b);
}

TEST(isolate, a_job_that_is_cancelled_and_does_not_listen_is_killed)
{
	struct order order = {DEED_HANG, 0};
	weir_ctx *ctx = ctx_make(NULL, WEIR_FOREVER);
	struct bench b = {0};
	weir_result r;
	int out;

	bench_open(&b);
	b.limits.kill_after_ns = 20 * WEIR_MS;
	b.pool = pool_make(&b.o);
	OK(weir_pool_submit(b.pool, &order, NULL, ctx));
	WAIT_FOR(stats_of(b.pool).busy == 1);
	weir_ctx_cancel(ctx);
	r = next_result(b.pool, &out);
	CHECK_EQ_INT(r.status, WEIR_CANCELED);
	CHECK_STR(r.error,
		  "cancelled, did not end within 20ms, killed in attempt 1");
	weir_ctx_unref(ctx);
	bench_close(&b);
}

TEST(isolate, a_job_that_burns_its_processor_time_is_ended)
{
	struct bench b = {0};
	weir_result r;

	bench_open(&b);
	b.limits.cpu_s_max = 1;
	r = bench_one(&b, DEED_CPU, 0);
	CHECK_EQ_INT(r.status, WEIR_CRASHED);
	CHECK_STR(r.error, "used more than 1 s of processor time, killed in "
			   "attempt 1");
	bench_close(&b);
}

TEST(isolate, a_death_counts_as_an_attempt_and_is_retried)
{
	struct bench b = {0};
	weir_result r;

	bench_open(&b);
	b.o.retry.attempts_max = 2;
	b.o.retry.delay_ns = 1;
	r = bench_one(&b, DEED_SEGV, 0);
	CHECK_EQ_INT(r.attempts, 2);
	CHECK_EQ_INT(r.status, WEIR_CRASHED);
	CHECK_STR(r.error, "killed by SIGSEGV at address 0x0 in attempt 2");
	bench_close(&b);
}

TEST(isolate, a_job_that_kills_three_workers_is_poison)
{
	struct bench b = {0};
	weir_result r;

	bench_open(&b);
	b.o.retry.attempts_max = 100;
	b.o.retry.delay_ns = 1;
	r = bench_one(&b, DEED_SEGV, 0);
	CHECK_EQ_INT(r.attempts, 3);
	CHECK_EQ_INT(r.status, WEIR_CRASHED);
	CHECK_HAS(r.error, "poison, killed 3 workers: killed by SIGSEGV");
	/* The next job in the same record begins anew. */
	r = bench_one(&b, DEED_ABORT, 0);
	CHECK_EQ_INT(r.attempts, 3);
	bench_close(&b);
}
