/* The back-off curve. */
#include "core_util.h"

TEST(retry, grows_by_its_factor_up_to_the_cap)
{
	weir_retry r = {.delay_ns = 100, .delay_ns_max = 1000, .factor = 3};

	CHECK_EQ_INT(weir_retry_delay_ns(&r, 1, 0.5), 100);
	CHECK_EQ_INT(weir_retry_delay_ns(&r, 2, 0.5), 300);
	CHECK_EQ_INT(weir_retry_delay_ns(&r, 3, 0.5), 900);
	CHECK_EQ_INT(weir_retry_delay_ns(&r, 4, 0.5), 1000);
	CHECK_EQ_INT(weir_retry_delay_ns(&r, UINT32_MAX, 0.5), 1000);
}

TEST(retry, has_defaults)
{
	weir_retry r = {0};

	CHECK(weir_retry_delay_ns(&r, 1, 0) == WEIR_RETRY_DELAY_NS);
	CHECK(weir_retry_delay_ns(&r, 2, 0) == 2 * WEIR_RETRY_DELAY_NS);
	CHECK(weir_retry_delay_ns(&r, 100, 0) == WEIR_RETRY_DELAY_NS_MAX);
}

TEST(retry, factor_of_one_stays_as_it_is)
{
	weir_retry r = {.delay_ns = 5000, .factor = 1};

	CHECK_EQ_INT(weir_retry_delay_ns(&r, 1, 0), 5000);
	CHECK_EQ_INT(weir_retry_delay_ns(&r, UINT32_MAX, 0), 5000);
}

TEST(retry, first_delay_above_the_cap_is_the_cap)
{
	weir_retry r = {.delay_ns = 5000, .delay_ns_max = 10};

	CHECK_EQ_INT(weir_retry_delay_ns(&r, 1, 0), 10);
}

TEST(retry, jitter_shortens_within_its_range)
{
	weir_retry r = {.delay_ns = 1000000, .delay_ns_max = 64000000};
	struct weir_rng rng;

	weir__rng_seed(&rng, test_seed());
	for (int i = 0; i < 10000; i++) {
		uint32_t failed = 1 + (uint32_t)weir__rng_below(&rng, 8);
		double unit = weir__rng_unit(&rng), most;
		int64_t delay_ns;

		r.jitter = 0;
		most = (double)weir_retry_delay_ns(&r, failed, unit);
		r.jitter = weir__rng_unit(&rng);
		delay_ns = weir_retry_delay_ns(&r, failed, unit);
		CHECK((double)delay_ns <= most);
		CHECK((double)delay_ns >= most * (1 - r.jitter) - 1);
	}
	r.jitter = 1;
	CHECK_EQ_INT(weir_retry_delay_ns(&r, 1, 0), 1000000);
	CHECK_EQ_INT(weir_retry_delay_ns(&r, 1, 0.75), 250000);
}

TEST(retry, default_set_leaves_mistakes_and_verdicts_out)
{
	CHECK(WEIR_RETRY_DEFAULT & WEIR_RETRY_ON(WEIR_FAILED));
	CHECK(WEIR_RETRY_DEFAULT & WEIR_RETRY_ON(WEIR_TIMEDOUT));
	CHECK(!(WEIR_RETRY_DEFAULT & WEIR_RETRY_ON(WEIR_PERMANENT)));
	CHECK(!(WEIR_RETRY_DEFAULT & WEIR_RETRY_ON(WEIR_CANCELED)));
	CHECK(!(WEIR_RETRY_DEFAULT & WEIR_RETRY_ON(WEIR_INVAL)));
}

struct fail {
	weir_status status;
	atomic_int runs;
};

static weir_status
fail_run(weir_ctx *ctx, const void *in, void *out, void *user)
{
	struct fail *f = user;

	(void)ctx;
	(void)in;
	(void)out;
	atomic_fetch_add(&f->runs, 1);
	return f->status;
}

/* How often a job that ends in status is tried. */
static int
attempts_with(weir_retry retry, weir_status status)
{
	weir_pool_options o = WEIR_POOL_OPTIONS_INIT;
	struct fail f = {status, 0};
	weir_result result;
	weir_pool *pool;

	o.workers = 1;
	o.queue = 1;
	o.run = fail_run;
	o.user = &f;
	o.retry = retry;
	OK(weir_pool_new(&pool, &o));
	OK(weir_pool_submit(pool, NULL, NULL, NULL));
	OK(weir_pool_next(pool, &result, NULL, NULL));
	CHECK_EQ_INT(result.status, status);
	CHECK_EQ_INT(result.attempts, atomic_load(&f.runs));
	weir_pool_free(pool);
	return (int)result.attempts;
}

TEST(retry, only_what_the_policy_names_is_tried_again)
{
	weir_retry r = {.attempts_max = 3, .delay_ns = 1, .delay_ns_max = 1};

	CHECK_EQ_INT(attempts_with(r, WEIR_OK), 1);
	CHECK_EQ_INT(attempts_with(r, WEIR_FAILED), 3);
	CHECK_EQ_INT(attempts_with(r, WEIR_SYSTEM), 3);
	CHECK_EQ_INT(attempts_with(r, WEIR_PERMANENT), 1);
	CHECK_EQ_INT(attempts_with(r, WEIR_CANCELED), 1);
	r.retry_on = WEIR_RETRY_ON(WEIR_PERMANENT);
	CHECK_EQ_INT(attempts_with(r, WEIR_PERMANENT), 3);
	CHECK_EQ_INT(attempts_with(r, WEIR_FAILED), 1);
	CHECK_EQ_INT(attempts_with((weir_retry){0}, WEIR_FAILED), 1);
}

static bool
is_refused(weir_retry retry)
{
	weir_pool_options o = WEIR_POOL_OPTIONS_INIT;
	weir_pool *pool = NULL;

	o.workers = 1;
	o.queue = 1;
	o.run = fail_run;
	o.retry = retry;
	return weir_pool_new(&pool, &o) == WEIR_INVAL && !pool;
}

TEST(retry, policies_out_of_range_are_refused)
{
	CHECK(is_refused((weir_retry){.delay_ns = -1}));
	CHECK(is_refused((weir_retry){.delay_ns_max = -1}));
	CHECK(is_refused((weir_retry){.factor = 0.5}));
	CHECK(is_refused((weir_retry){.factor = -1}));
	CHECK(is_refused((weir_retry){.factor = strtod("nan", NULL)}));
	CHECK(is_refused((weir_retry){.factor = strtod("inf", NULL)}));
	CHECK(is_refused((weir_retry){.jitter = -0.1}));
	CHECK(is_refused((weir_retry){.jitter = 1.1}));
	CHECK(is_refused((weir_retry){.jitter = strtod("nan", NULL)}));
}
