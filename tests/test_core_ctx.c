/* Contexts: parents, deadlines, causes, and waking who sleeps below. */
#include "core_util.h"

TEST(ctx, null_is_never_done)
{
	weir_error error;

	CHECK_EQ_INT(weir_ctx_status(NULL), WEIR_OK);
	CHECK(weir_ctx_deadline_ns(NULL) == WEIR_FOREVER);
	CHECK(!weir_ctx_ref(NULL));
	CHECK(!weir_ctx_unref(NULL));
	weir_ctx_cancel(NULL);
	weir_ctx_cancel_cause(NULL, "why");
	weir_ctx_cause(NULL, &error);
	CHECK_EQ_INT(error.status, WEIR_OK);
	CHECK_EQ_INT(weir_ctx_sleep(NULL, 1), WEIR_OK);
}

TEST(ctx, refuses_no_place_for_the_result)
{
	CHECK_EQ_INT(weir_ctx_new(NULL, NULL, 0), WEIR_INVAL);
}

TEST(ctx, cancelling_goes_down_and_not_up)
{
	weir_ctx *top = gate_make(), *left = ctx_make(top, WEIR_FOREVER);
	weir_ctx *right = ctx_make(top, WEIR_FOREVER);
	weir_ctx *below = ctx_make(left, WEIR_FOREVER);

	weir_ctx_cancel(left);
	CHECK_EQ_INT(weir_ctx_status(top), WEIR_OK);
	CHECK_EQ_INT(weir_ctx_status(right), WEIR_OK);
	CHECK_EQ_INT(weir_ctx_status(left), WEIR_CANCELED);
	CHECK_EQ_INT(weir_ctx_status(below), WEIR_CANCELED);
	weir_ctx_cancel(top);
	CHECK_EQ_INT(weir_ctx_status(right), WEIR_CANCELED);
	weir_ctx_unref(top);
	weir_ctx_unref(left);
	weir_ctx_unref(right);
	weir_ctx_unref(below);
}

TEST(ctx, what_is_done_stays_as_it_is)
{
	weir_ctx *late = ctx_make(NULL, 0), *ctx = gate_make();
	weir_error error;

	CHECK_EQ_INT(weir_ctx_status(late), WEIR_TIMEDOUT);
	weir_ctx_cancel_cause(late, "too late");
	CHECK_EQ_INT(weir_ctx_status(late), WEIR_TIMEDOUT);
	weir_ctx_cancel_cause(ctx, "first");
	weir_ctx_cancel_cause(ctx, "second");
	weir_ctx_cause(ctx, &error);
	CHECK_EQ_INT(error.status, WEIR_CANCELED);
	CHECK_STR(error.message, "first");
	weir_ctx_unref(late);
	weir_ctx_unref(ctx);
}

TEST(ctx, cause_comes_from_above)
{
	weir_ctx *top = gate_make(), *ctx = ctx_make(top, WEIR_FOREVER);
	weir_ctx *later;
	weir_error error;

	weir_ctx_cause(ctx, &error);
	CHECK_EQ_INT(error.status, WEIR_OK);
	weir_ctx_cancel_cause(top, "disk full");
	weir_ctx_cause(ctx, &error);
	CHECK_EQ_INT(error.status, WEIR_CANCELED);
	CHECK_STR(error.message, "disk full");
	later = ctx_make(ctx, WEIR_FOREVER);
	weir_ctx_cause(later, &error);
	CHECK_STR(error.message, "disk full");
	weir_ctx_unref(top);
	weir_ctx_unref(ctx);
	weir_ctx_unref(later);
}

TEST(ctx, cause_without_a_reason_is_the_message_of_the_status)
{
	weir_ctx *ctx = gate_make(), *late = ctx_make(NULL, -5);
	weir_error error;

	weir_ctx_cancel(ctx);
	weir_ctx_cause(ctx, &error);
	CHECK_STR(error.message, weir_status_message(WEIR_CANCELED));
	weir_ctx_cause(late, &error);
	CHECK_EQ_INT(error.status, WEIR_TIMEDOUT);
	CHECK_STR(error.message, weir_status_message(WEIR_TIMEDOUT));
	weir_ctx_unref(ctx);
	weir_ctx_unref(late);
}

TEST(ctx, long_causes_are_cut)
{
	char why[WEIR_ERROR_MAX * 2];
	weir_ctx *ctx = gate_make();
	weir_error error;

	memset(why, 'x', sizeof(why));
	why[sizeof(why) - 1] = '\0';
	weir_ctx_cancel_cause(ctx, why);
	weir_ctx_cause(ctx, &error);
	CHECK_EQ_INT(strlen(error.message), WEIR_ERROR_MAX - 1);
	weir_ctx_unref(ctx);
}

TEST(ctx, deadline_is_the_earlier_of_its_own_and_its_parents)
{
	weir_ctx *top = ctx_make(NULL, 60 * WEIR_S);
	weir_ctx *longer = ctx_make(top, 120 * WEIR_S);
	weir_ctx *shorter = ctx_make(top, 30 * WEIR_S);
	weir_ctx *none = ctx_make(top, WEIR_FOREVER);
	int64_t deadline_ns = weir_ctx_deadline_ns(top);

	CHECK(deadline_ns > weir_now_ns());
	CHECK(deadline_ns <= weir_now_ns() + 60 * WEIR_S);
	CHECK(weir_ctx_deadline_ns(longer) == deadline_ns);
	CHECK(weir_ctx_deadline_ns(none) == deadline_ns);
	CHECK(weir_ctx_deadline_ns(shorter) < deadline_ns);
	weir_ctx_unref(top);
	weir_ctx_unref(longer);
	weir_ctx_unref(shorter);
	weir_ctx_unref(none);
}

TEST(ctx, huge_timeouts_do_not_wrap_around)
{
	weir_ctx *ctx = ctx_make(NULL, WEIR_FOREVER - 1);
	weir_ctx *past = ctx_make(NULL, INT64_MIN);

	CHECK_EQ_INT(weir_ctx_status(ctx), WEIR_OK);
	CHECK(weir_ctx_deadline_ns(ctx) > weir_now_ns());
	CHECK_EQ_INT(weir_ctx_status(past), WEIR_TIMEDOUT);
	weir_ctx_unref(ctx);
	weir_ctx_unref(past);
}

TEST(ctx, timeout_of_nothing_is_done_from_the_start)
{
	weir_ctx *ctx = ctx_make(NULL, 0), *below = ctx_make(ctx, WEIR_S);

	CHECK_EQ_INT(weir_ctx_status(below), WEIR_TIMEDOUT);
	CHECK_EQ_INT(weir_ctx_status(ctx), WEIR_TIMEDOUT);
	CHECK_EQ_INT(weir_ctx_sleep(ctx, WEIR_FOREVER), WEIR_TIMEDOUT);
	weir_ctx_unref(ctx);
	weir_ctx_unref(below);
}

TEST(ctx, child_of_a_done_parent_is_done)
{
	weir_ctx *top = gate_make(), *below;

	weir_ctx_cancel(top);
	below = ctx_make(top, WEIR_FOREVER);
	CHECK_EQ_INT(weir_ctx_status(below), WEIR_CANCELED);
	CHECK_EQ_INT(weir_ctx_sleep(below, WEIR_FOREVER), WEIR_CANCELED);
	weir_ctx_unref(top);
	weir_ctx_unref(below);
}

TEST(ctx, child_keeps_its_parent_alive)
{
	weir_ctx *top = gate_make(), *middle = ctx_make(top, WEIR_FOREVER);
	weir_ctx *below = ctx_make(middle, WEIR_FOREVER);

	weir_ctx_ref(top);
	weir_ctx_unref(top);
	weir_ctx_unref(middle);
	weir_ctx_cancel(top);
	weir_ctx_unref(top);
	CHECK_EQ_INT(weir_ctx_status(below), WEIR_CANCELED);
	weir_ctx_unref(below);
}

TEST(ctx, sleep_of_nothing_returns_at_once)
{
	weir_ctx *ctx = gate_make();

	CHECK_EQ_INT(weir_ctx_sleep(ctx, 0), WEIR_OK);
	CHECK_EQ_INT(weir_ctx_sleep(ctx, -1), WEIR_OK);
	CHECK_EQ_INT(weir_ctx_sleep(NULL, INT64_MIN), WEIR_OK);
	weir_ctx_unref(ctx);
}

TEST(ctx, sleep_takes_no_less_than_its_time)
{
	int64_t began_ns = weir_now_ns();

	CHECK_EQ_INT(weir_ctx_sleep(NULL, 3 * WEIR_MS), WEIR_OK);
	CHECK(weir_now_ns() - began_ns >= 3 * WEIR_MS);
}

TEST(ctx, cancelling_walks_down_a_chain_of_any_length)
{
	weir_ctx *top = gate_make(), *ctx = weir_ctx_ref(top), *next;

	for (int i = 0; i < 100000; i++) {
		next = ctx_make(ctx, WEIR_FOREVER);
		weir_ctx_unref(ctx);
		ctx = next;
	}
	weir_ctx_cancel_cause(top, "from the top");
	CHECK_EQ_INT(weir_ctx_status(ctx), WEIR_CANCELED);
	weir_ctx_unref(top);
	weir_ctx_unref(ctx);
}

struct sleeper {
	weir_ctx *ctx;
	atomic_int *awake;
	weir_status status;
};

static void *
sleeper_main(void *arg)
{
	struct sleeper *s = arg;

	s->status = weir_ctx_sleep(s->ctx, WEIR_FOREVER);
	atomic_fetch_add(s->awake, 1);
	return NULL;
}

TEST(ctx, cancelling_wakes_all_sleepers_below)
{
	enum { N = 12 };
	weir_ctx *top = gate_make(), *other = gate_make();
	struct sleeper s[N], apart;
	pthread_t threads[N], apart_thread;
	atomic_int awake = 0;
	weir_ctx *above = top;

	for (int i = 0; i < N; i++) {
		s[i] = (struct sleeper){ctx_make(above, WEIR_FOREVER), &awake,
					WEIR_OK};
		above = i % 3 == 0 ? s[i].ctx : top;
		threads[i] = thread_run(sleeper_main, &s[i]);
	}
	apart = (struct sleeper){other, &awake, WEIR_OK};
	apart_thread = thread_run(sleeper_main, &apart);
	weir_ctx_cancel(top);
	for (int i = 0; i < N; i++) {
		thread_join(threads[i]);
		CHECK_EQ_INT(s[i].status, WEIR_CANCELED);
		weir_ctx_unref(s[i].ctx);
	}
	CHECK_EQ_INT(atomic_load(&awake), N);
	weir_ctx_cancel(other);
	thread_join(apart_thread);
	weir_ctx_unref(top);
	weir_ctx_unref(other);
}

TEST(ctx, deadline_wakes_a_sleeper)
{
	weir_ctx *top = ctx_make(NULL, 5 * WEIR_MS);
	weir_ctx *below = ctx_make(top, WEIR_FOREVER);

	CHECK_EQ_INT(weir_ctx_sleep(below, WEIR_FOREVER), WEIR_TIMEDOUT);
	CHECK(weir_now_ns() >= weir_ctx_deadline_ns(top));
	weir_ctx_unref(top);
	weir_ctx_unref(below);
}

struct stress {
	weir_ctx *top;
	uint64_t seed;
	atomic_int *wrong;
};

/* Make children, sleep on them, cancel and let go, in any order. */
static void *
stress_main(void *arg)
{
	struct stress *s = arg;
	struct weir_rng rng;

	weir__rng_seed(&rng, s->seed);
	for (int i = 0; i < SCALE(3000); i++) {
		uint64_t what = weir__rng_below(&rng, 8);
		weir_ctx *a = ctx_make(s->top, WEIR_FOREVER);
		weir_ctx *b = ctx_make(a, what == 1 ? 0 : 1000);

		if (what < 3)
			weir_ctx_cancel(a);
		if (what < 3 && weir_ctx_status(b) == WEIR_OK)
			atomic_fetch_add(s->wrong, 1);
		if (what > 3)
			(void)weir_ctx_sleep(b, (int64_t)what * 1000);
		if (what & 1)
			a = weir_ctx_unref(a);
		weir_ctx_unref(b);
		weir_ctx_unref(a);
	}
	weir_ctx_unref(s->top);
	return NULL;
}

TEST_LIMIT(ctx, children_come_and_go_while_the_parent_is_cancelled, 60)
{
	enum { N = 4 };
	atomic_int wrong = 0;

	for (uint64_t round = 0; round < 6; round++) {
		weir_ctx *top = gate_make();
		struct stress s[N];
		pthread_t threads[N];

		for (uint64_t i = 0; i < N; i++) {
			s[i] = (struct stress){weir_ctx_ref(top),
					       test_seed() + round * N + i,
					       &wrong};
			threads[i] = thread_run(stress_main, &s[i]);
		}
		(void)weir_ctx_sleep(NULL, (int64_t)round * 200 * WEIR_US);
		weir_ctx_cancel_cause(top, "stress");
		weir_ctx_unref(top);
		for (int i = 0; i < N; i++)
			thread_join(threads[i]);
	}
	CHECK_EQ_INT(atomic_load(&wrong), 0);
}
