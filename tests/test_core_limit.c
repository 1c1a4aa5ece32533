/* Token buckets: arithmetic, order, giving up. */
#include "core_util.h"

static weir_limit *
limit_make(double per_second, uint32_t burst)
{
	weir_limit *limit;

	OK(weir_limit_new(&limit, per_second, burst));
	return limit;
}

TEST(limit, refuses_rates_that_are_none)
{
	weir_limit *limit = NULL;

	CHECK_EQ_INT(weir_limit_new(&limit, 0, 1), WEIR_INVAL);
	CHECK_EQ_INT(weir_limit_new(&limit, -1, 1), WEIR_INVAL);
	CHECK_EQ_INT(weir_limit_new(&limit, strtod("inf", NULL), 1),
		     WEIR_INVAL);
	CHECK_EQ_INT(weir_limit_new(&limit, strtod("nan", NULL), 1),
		     WEIR_INVAL);
	CHECK_EQ_INT(weir_limit_new(&limit, 1e-9, 1), WEIR_INVAL);
	CHECK_EQ_INT(weir_limit_new(&limit, 1, 0), WEIR_INVAL);
	CHECK_EQ_INT(weir_limit_new(NULL, 1, 1), WEIR_INVAL);
	CHECK(!limit);
	CHECK(!weir_limit_free(NULL));
}

TEST(limit, starts_full_and_gives_its_burst_at_once)
{
	weir_limit *limit = limit_make(0.01, 5);
	int64_t wait_ns = 0;

	for (int i = 0; i < 5; i++)
		OK(weir_limit_try_take(limit, NULL));
	CHECK_EQ_INT(weir_limit_try_take(limit, NULL), WEIR_BUSY);
	CHECK_EQ_INT(weir_limit_try_take(limit, &wait_ns), WEIR_BUSY);
	CHECK(wait_ns > 0 && wait_ns <= 100 * WEIR_S);
	weir_limit_free(limit);
}

TEST(limit, never_gives_more_than_burst_and_rate_allow)
{
	weir_limit *limit = limit_make(10000, 3);
	int64_t began_ns = weir_now_ns(), passed_ns;
	int64_t taken = 0;

	while (weir_now_ns() - began_ns < 50 * WEIR_MS)
		taken += weir_limit_try_take(limit, NULL) == WEIR_OK;
	passed_ns = weir_now_ns() - began_ns;
	CHECK(taken >= 4);
	CHECK_MSG(taken <= 3 + passed_ns / 100000 + 1, "%jd in %jd ns",
		  (intmax_t)taken, (intmax_t)passed_ns);
	weir_limit_free(limit);
}

TEST(limit, the_wait_it_names_is_long_enough)
{
	weir_limit *limit = limit_make(2000, 1);
	int64_t wait_ns = 0;

	OK(weir_limit_try_take(limit, NULL));
	for (int i = 0; i < 20; i++) {
		/* BUSY: unless the machine made us wait by itself. */
		if (weir_limit_try_take(limit, &wait_ns) == WEIR_OK)
			continue;
		CHECK(wait_ns > 0 && wait_ns <= WEIR_S / 2000);
		(void)weir_ctx_sleep(NULL, wait_ns);
		CHECK_EQ_INT(weir_limit_try_take(limit, NULL), WEIR_OK);
	}
	weir_limit_free(limit);
}

TEST(limit, taking_waits_for_the_next_token)
{
	weir_limit *limit = limit_make(1000, 1);
	int64_t began_ns = weir_now_ns();

	for (int i = 0; i < 11; i++)
		OK(weir_limit_take(limit, NULL));
	CHECK(weir_now_ns() - began_ns >= 10 * WEIR_MS);
	weir_limit_free(limit);
}

TEST(limit, a_token_that_is_there_is_taken_with_a_done_context)
{
	weir_limit *limit = limit_make(1, 1);
	weir_ctx *done = gate_make();

	weir_ctx_cancel(done);
	CHECK_EQ_INT(weir_limit_take(limit, done), WEIR_OK);
	CHECK_EQ_INT(weir_limit_take(limit, done), WEIR_CANCELED);
	weir_ctx_unref(done);
	weir_limit_free(limit);
}

TEST(limit, a_wait_that_cannot_end_in_time_is_not_begun)
{
	weir_limit *limit = limit_make(1.0 / 3600, 1);
	weir_ctx *ctx = ctx_make(NULL, 600 * WEIR_S);
	int64_t wait_ns = 0;

	OK(weir_limit_take(limit, ctx));
	/* It would be ten minutes: the test's own limit is the check. */
	for (int i = 0; i < 100; i++)
		CHECK_EQ_INT(weir_limit_take(limit, ctx), WEIR_TIMEDOUT);
	CHECK_EQ_INT(weir_ctx_status(ctx), WEIR_OK);
	CHECK_EQ_INT(weir_limit_try_take(limit, &wait_ns), WEIR_BUSY);
	CHECK(wait_ns <= 3600 * WEIR_S);
	weir_ctx_unref(ctx);
	weir_limit_free(limit);
}

struct taker {
	weir_limit *limit;
	weir_ctx *ctx;
	weir_status status;
};

static void *
taker_main(void *arg)
{
	struct taker *t = arg;

	t->status = weir_limit_take(t->limit, t->ctx);
	return NULL;
}

TEST(limit, one_who_gives_up_has_taken_no_token)
{
	weir_limit *limit = limit_make(1.0 / 3600, 1);
	weir_ctx *ctx = gate_make();
	struct taker t[4];
	pthread_t threads[4];
	int64_t wait_ns = 0;

	OK(weir_limit_try_take(limit, NULL));
	for (int i = 0; i < 4; i++) {
		t[i] = (struct taker){limit, ctx, WEIR_OK};
		threads[i] = thread_run(taker_main, &t[i]);
	}
	weir_ctx_cancel(ctx);
	for (int i = 0; i < 4; i++) {
		thread_join(threads[i]);
		CHECK_EQ_INT(t[i].status, WEIR_CANCELED);
	}
	CHECK_EQ_INT(weir_limit_try_take(limit, &wait_ns), WEIR_BUSY);
	CHECK(wait_ns <= 3600 * WEIR_S);
	weir_ctx_unref(ctx);
	weir_limit_free(limit);
}

struct queue {
	weir_limit *limit;
	atomic_int served;
};

struct in_line {
	struct queue *queue;
	int place;
};

static void *
in_line_main(void *arg)
{
	struct in_line *me = arg;

	OK(weir_limit_take(me->queue->limit, NULL));
	me->place = atomic_fetch_add(&me->queue->served, 1);
	return NULL;
}

TEST(limit, several_threads_get_what_one_would)
{
	struct queue queue = {limit_make(1000, 1), 0};
	int64_t began_ns = weir_now_ns();
	struct in_line lines[16];
	pthread_t threads[16];

	for (int i = 0; i < 16; i++) {
		lines[i] = (struct in_line){&queue, -1};
		threads[i] = thread_run(in_line_main, &lines[i]);
	}
	for (int i = 0; i < 16; i++)
		thread_join(threads[i]);
	CHECK_EQ_INT(atomic_load(&queue.served), 16);
	CHECK(weir_now_ns() - began_ns >= 15 * WEIR_MS);
	weir_limit_free(queue.limit);
}

/* When the next token is there. */
static int64_t
next_token_ns(weir_limit *limit)
{
	int64_t wait_ns = 0;

	if (weir_limit_try_take(limit, &wait_ns) == WEIR_OK)
		return 0;
	return weir_now_ns() + wait_ns;
}

/*
 * First come, first served: each joins the line once the one before is in it,
 * which the wait that the bucket names tells us.
 */
TEST(limit, those_who_wait_are_served_in_order)
{
	enum { N = 4 };
	struct queue queue = {limit_make(10, 1), 0};
	struct in_line lines[N];
	pthread_t threads[N];

	OK(weir_limit_try_take(queue.limit, NULL));
	for (int i = 0; i < N; i++) {
		int64_t before_ns = next_token_ns(queue.limit);

		lines[i] = (struct in_line){&queue, -1};
		threads[i] = thread_run(in_line_main, &lines[i]);
		WAIT_FOR(next_token_ns(queue.limit) > before_ns + 60 * WEIR_MS);
	}
	for (int i = 0; i < N; i++) {
		thread_join(threads[i]);
		CHECK_EQ_INT(lines[i].place, i);
	}
	weir_limit_free(queue.limit);
}
