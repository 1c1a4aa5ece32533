/* Isolated jobs of all sizes, and what travels beside their payload. */
#include "isolate_util.h"

/* What the jobs of a size do: fill the output from the input. */
struct sizes {
	size_t in, out;
};

static struct sizes sizes; /* as of the start of the zygote */

static weir_status
mix_run(weir_ctx *ctx, const void *in, void *out, void *user)
{
	const unsigned char *from = in;
	unsigned char *to = out;

	(void)user;
	/* The first attempt finds zeros, a later one what was left. */
	for (size_t i = 0; i < sizes.out; i++)
		if (to[i] != weir_job_attempt(ctx) - 1)
			return weir_job_fail(ctx, WEIR_PERMANENT,
					     "byte %zu is %d", i, to[i]);
	if (weir_job_attempt(ctx) < 2) {
		memset(to, 1, sizes.out);
		return WEIR_FAILED;
	}
	for (size_t i = 0; i < sizes.out; i++)
		to[i] = (unsigned char)(from[i % sizes.in] + i);
	return WEIR_OK;
}

static void
try_sizes(size_t in, size_t out)
{
	unsigned char *given = malloc(in), *got = malloc(out + 1);
	weir_pool_options o = WEIR_POOL_OPTIONS_INIT;
	weir_zygote *zygote;
	weir_result r;
	weir_pool *pool;
	bool same = true;

	REQUIRE(given && got);
	for (size_t i = 0; i < in; i++)
		given[i] = (unsigned char)(i * 7 + 3);
	sizes = (struct sizes){in, out};
	zygote = zygote_make();
	o.workers = 2;
	o.queue = 4;
	o.in_size = in;
	o.out_size = out;
	o.run = mix_run;
	o.isolate = WEIR_ISOLATE_PROCESS;
	o.zygote = zygote;
	o.retry.attempts_max = 2;
	o.retry.delay_ns = 1;
	pool = pool_make(&o);
	for (int round = 0; round < 3; round++) {
		OK(weir_pool_submit(pool, given, NULL, NULL));
		r = next_result(pool, (int *)(void *)got);
		CHECK_MSG(r.status == WEIR_OK, "%zu, %zu: %s", in, out,
			  r.error);
		CHECK_EQ_INT(r.attempts, 2);
		for (size_t i = 0; i < out; i++)
			same &= got[i] == (unsigned char)(given[i % in] + i);
		CHECK_MSG(same, "%zu bytes in, %zu out", in, out);
	}
	weir_pool_free(pool);
	weir_zygote_free(zygote);
	free(given);
	free(got);
}

TEST_LIMIT(isolate, payloads_of_all_sizes_come_back_as_they_were, 120)
{
	static const struct sizes all[] = {
		{1, 1},         {1, 0},
		{8, 3000},      {3072, 0},
		{1536, 1536},   {3073, 1},
		{1, 3073},      {40000, 30000},
		{65536, 1},     {65537, 1},
		{1, 65536},     {1, 65537},
		{65536, 65536}, {1 << 20, 10},
		{10, 1 << 20},  {3 << 20, 2 << 20},
	};

	/* Each from the start, with one thread, as a program begins. */
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		pid_t pid = fork();
		int status;

		REQUIRE(pid >= 0);
		if (pid == 0) {
			try_sizes(all[i].in, all[i].out);
			_exit(0);
		}
		REQUIRE(waitpid(pid, &status, 0) == pid);
		CHECK_EQ_INT(status, 0);
	}
}

static weir_status
ask_run(weir_ctx *ctx, const void *in, void *out, void *user)
{
	int64_t left_ns = weir_ctx_deadline_ns(ctx) - weir_now_ns();

	(void)in;
	(void)user;
	*(uint64_t *)out = weir_job_id(ctx);
	if (left_ns <= 0 || left_ns > 20 * WEIR_S)
		return weir_job_fail(ctx, WEIR_PERMANENT, "deadline");
	if (weir_job_attempt(ctx) == 3)
		return weir_job_will_retry(ctx, WEIR_FAILED)
			       ? weir_job_fail(ctx, WEIR_PERMANENT, "again")
			       : WEIR_OK;
	if (!weir_job_will_retry(ctx, WEIR_FAILED) ||
	    weir_job_will_retry(ctx, WEIR_PERMANENT))
		return weir_job_fail(ctx, WEIR_PERMANENT, "will retry");
	weir_job_retry_after(ctx, 1);
	return weir_job_fail(ctx, WEIR_FAILED, "attempt %u",
			     weir_job_attempt(ctx));
}

TEST(isolate, a_job_can_ask_and_say_what_others_can)
{
	weir_zygote *zygote = zygote_make();
	weir_pool_options o = WEIR_POOL_OPTIONS_INIT;
	uint64_t id = 0, told = 0;
	weir_ctx *ctx = patience();
	weir_pool *pool;
	weir_result r;

	o.workers = 1;
	o.queue = 2;
	o.out_size = sizeof(uint64_t);
	o.run = ask_run;
	o.isolate = WEIR_ISOLATE_PROCESS;
	o.zygote = zygote;
	o.timeout_ns = 20 * WEIR_S;
	o.retry.attempts_max = 3;
	/* Unless the job says so, the second attempt never comes. */
	o.retry.delay_ns = WEIR_FOREVER / 2;
	o.retry.delay_ns_max = WEIR_FOREVER / 2;
	pool = pool_make(&o);
	OK(weir_pool_submit(pool, NULL, &id, ctx));
	OK(weir_pool_next(pool, &r, &told, ctx));
	CHECK_MSG(r.status == WEIR_OK, "%s", r.error);
	CHECK_EQ_INT(r.attempts, 3);
	CHECK_EQ_INT(told, id);
	CHECK_STR(r.error, "");
	weir_ctx_unref(ctx);
	weir_pool_free(pool);
	weir_zygote_free(zygote);
}
