/* Pools whose jobs run in processes: push, pull, crashes, causes. */
#include "isolate_util.h"

TEST(isolate, jobs_run_in_another_process)
{
	weir_zygote *zygote = zygote_make();
	weir_pool_options o = order_options(zygote, 2, 8);
	weir_pool *pool = pool_make(&o);
	int out = 0;
	weir_result r = one_order(pool, DEED_ECHO, 42, &out);

	CHECK_EQ_INT(r.status, WEIR_OK);
	CHECK_EQ_INT(r.attempts, 1);
	CHECK_EQ_INT(out, 42);
	CHECK_EQ_INT(isolate_stats(pool).started, 2);
	weir_pool_free(pool);
	weir_zygote_free(zygote);
}

TEST(isolate, a_crash_is_a_result)
{
	weir_zygote *zygote = zygote_make();
	weir_pool_options o = order_options(zygote, 1, 8);
	weir_pool *pool = pool_make(&o);
	weir_result r;
	int out = 0;

	r = one_order(pool, DEED_SEGV, 1, &out);
	CHECK_EQ_INT(r.status, WEIR_CRASHED);
	CHECK_HAS(r.error, "killed by SIGSEGV at address 0x0 in attempt 1");
	r = one_order(pool, DEED_EXIT, 3, &out);
	CHECK_EQ_INT(r.status, WEIR_CRASHED);
	CHECK_STR(r.error, "exited with 3 in attempt 1");
	r = one_order(pool, DEED_ECHO, 7, &out);
	CHECK_EQ_INT(r.status, WEIR_OK);
	CHECK_EQ_INT(out, 7);
	CHECK_EQ_INT(isolate_stats(pool).died, 2);
	weir_pool_free(pool);
	weir_zygote_free(zygote);
}

TEST(isolate, many_jobs_come_back_in_both_forms)
{
	enum { JOBS = 20000 };
	static struct order orders[JOBS];
	static int outs[JOBS];
	weir_zygote *zygote = zygote_make();
	weir_pool_options o = order_options(zygote, 2, 64);

	for (int i = 0; i < JOBS; i++)
		orders[i] = (struct order){DEED_ECHO, i};
	OK(weir_pool_map(&o, orders, outs, NULL, JOBS, NULL));
	for (int i = 0; i < JOBS; i++)
		if (!CHECK_EQ_INT(outs[i], i))
			break;
	weir_zygote_free(zygote);
}
