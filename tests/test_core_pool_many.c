/*
 * Many jobs and many results at a time, and what gets stuck in a batch.
 */
#include "core_util.h"

/* Numbers 1 .. count as jobs. */
static void
tasks_make(struct task *tasks, int count)
{
	for (int i = 0; i < count; i++)
		tasks[i] = (struct task){.what = ECHO, .number = i + 1};
}

/* Run echoes one after the other until the pool thinks that jobs are short. */
static void
warm_up(weir_pool *pool)
{
	struct task task = {.what = ECHO, .number = -1};
	weir_result results[64];
	int outs[64];
	size_t count;

	for (int i = 0; i < 2000; i++) {
		size_t left = 64;

		for (int j = 0; j < 64; j++)
			OK(weir_pool_submit(pool, &task, NULL, NULL));
		for (; left > 0; left -= count)
			OK(weir_pool_next_many(pool, results, outs, left,
					       &count, NULL));
	}
}

TEST(many, jobs_go_in_and_come_out_in_order)
{
	enum { COUNT = 500 };
	struct seen seen = {0};
	weir_pool_options o = task_options(&seen, 1, COUNT);
	weir_pool *pool = pool_make(&o);
	struct task tasks[COUNT];
	weir_result results[COUNT];
	int outs[COUNT], next = 1;
	size_t count;

	tasks_make(tasks, COUNT);
	OK(weir_pool_submit_many(pool, tasks, COUNT, &count, NULL));
	CHECK_EQ_INT(count, COUNT);
	weir_pool_close(pool);
	while (weir_pool_next_many(pool, results, outs, 7, &count, NULL) ==
	       WEIR_OK) {
		CHECK(count >= 1 && count <= 7);
		for (size_t i = 0; i < count; i++, next++) {
			CHECK_EQ_INT(results[i].id, next);
			CHECK_EQ_INT(outs[i], next);
			CHECK_EQ_INT(results[i].status, WEIR_OK);
			CHECK(results[i].wait_ns >= 0);
			CHECK(results[i].total_ns >= results[i].wait_ns);
		}
	}
	CHECK_EQ_INT(next, COUNT + 1);
	check_books_closed(pool);
	weir_pool_free(pool);
}

TEST(many, a_result_is_enough)
{
	struct seen seen = {0};
	weir_pool_options o = task_options(&seen, 1, 4);
	weir_pool *pool = pool_make(&o);
	weir_result results[8];
	size_t count = 0;

	submit(pool, (struct task){.what = ECHO, .number = 3}, NULL);
	OK(weir_pool_next_many(pool, results, NULL, 8, &count, NULL));
	CHECK_EQ_INT(count, 1);
	weir_pool_free(pool);
}

TEST(many, what_did_not_fit_before_the_deadline_stays_the_callers)
{
	weir_ctx *gate = gate_make(), *ctx = ctx_make(NULL, 20 * WEIR_MS);
	struct seen seen = {0};
	weir_pool_options o = task_options(&seen, 1, 2);
	weir_pool *pool = pool_make(&o);
	struct task tasks[8];
	size_t accepted = 0;

	submit(pool, (struct task){.what = GATE, .gate = gate}, NULL);
	WAIT_FOR(atomic_load(&seen.running) == 1);
	tasks_make(tasks, 8);
	CHECK_EQ_INT(weir_pool_submit_many(pool, tasks, 8, &accepted, ctx),
		     WEIR_TIMEDOUT);
	CHECK_EQ_INT(accepted, 2);
	CHECK_EQ_INT(stats_of(pool).accepted, 3);
	gate_open(gate);
	weir_pool_free(pool);
	weir_ctx_unref(ctx);
	weir_ctx_unref(gate);
}

TEST(many, a_closed_pool_takes_none_and_gives_the_rest)
{
	struct seen seen = {0};
	weir_pool_options o = task_options(&seen, 2, 8);
	weir_pool *pool = pool_make(&o);
	struct task tasks[3];
	weir_result results[8];
	size_t count = 9;

	tasks_make(tasks, 3);
	OK(weir_pool_submit_many(pool, tasks, 3, &count, NULL));
	OK(weir_pool_shutdown(pool, NULL));
	CHECK_EQ_INT(weir_pool_submit_many(pool, tasks, 3, &count, NULL),
		     WEIR_CLOSED);
	CHECK_EQ_INT(count, 0);
	OK(weir_pool_next_many(pool, results, NULL, 8, &count, NULL));
	CHECK_EQ_INT(count, 3);
	CHECK_EQ_INT(weir_pool_next_many(pool, results, NULL, 8, &count, NULL),
		     WEIR_CLOSED);
	CHECK_EQ_INT(count, 3);
	weir_pool_free(pool);
}

TEST(many, nothing_at_all_is_invalid_or_done)
{
	struct seen seen = {0};
	weir_pool_options o = task_options(&seen, 1, 1);
	weir_pool *pool = pool_make(&o);
	weir_result result;
	size_t count = 7;

	OK(weir_pool_submit_many(pool, NULL, 0, &count, NULL));
	CHECK_EQ_INT(count, 0);
	CHECK_EQ_INT(weir_pool_submit_many(pool, NULL, 1, &count, NULL),
		     WEIR_INVAL);
	CHECK_EQ_INT(weir_pool_next_many(pool, &result, NULL, 0, &count, NULL),
		     WEIR_INVAL);
	weir_pool_free(pool);
}

static weir_status
submit_from_inside(weir_ctx *ctx, const void *in, void *out, void *user)
{
	weir_pool *pool = *(weir_pool **)user;
	struct task tasks[8];
	size_t accepted;

	(void)ctx;
	(void)in;
	tasks_make(tasks, 8);
	for (int i = 0; i < 8; i++)
		tasks[i].what = FAIL;
	*(int *)out =
		(int)weir_pool_submit_many(pool, tasks, 8, &accepted, NULL);
	return accepted <= 2 ? WEIR_OK : WEIR_FAILED;
}

TEST(many, a_worker_that_would_wait_for_itself_is_told)
{
	static weir_pool *pool;
	struct seen seen = {0};
	weir_pool_options o = task_options(&seen, 1, 2);
	struct task task = {.what = ECHO};
	weir_result result;
	int out = -1;

	o.run = submit_from_inside;
	o.user = &pool;
	pool = pool_make(&o);
	OK(weir_pool_submit(pool, &task, NULL, NULL));
	OK(weir_pool_next(pool, &result, &out, NULL));
	CHECK_EQ_INT(out, WEIR_DEADLOCK);
	OK(weir_pool_shutdown_now(pool, NULL, NULL, NULL));
	weir_pool_free(pool);
}

/* Several submit and collect many at a time; each number comes out once. */
struct crowd {
	weir_pool *pool;
	atomic_int next;
	atomic_int *times;
};

enum { CROWD = 4, EACH = 4000 };

static void *
crowd_submit(void *arg)
{
	struct crowd *crowd = arg;
	int from = atomic_fetch_add(&crowd->next, 1) * SCALE(EACH);
	struct task tasks[19];
	size_t accepted;

	for (int done = 0; done < SCALE(EACH); done += (int)accepted) {
		int count = SCALE(EACH) - done < 19 ? SCALE(EACH) - done : 19;

		for (int i = 0; i < count; i++)
			tasks[i] = (struct task){.what = ECHO,
						 .number = from + done + i};
		OK(weir_pool_submit_many(crowd->pool, tasks, (size_t)count,
					 &accepted, NULL));
	}
	return NULL;
}

static void *
crowd_collect(void *arg)
{
	struct crowd *crowd = arg;
	weir_result results[23];
	int outs[23];
	size_t count;

	while (weir_pool_next_many(crowd->pool, results, outs, 23, &count,
				   NULL) == WEIR_OK)
		for (size_t i = 0; i < count; i++)
			atomic_fetch_add(&crowd->times[outs[i]], 1);
	return NULL;
}

static void
crowd_run(uint32_t workers, uint32_t queue, bool helps)
{
	struct seen seen = {0};
	weir_pool_options o = task_options(&seen, workers, queue);
	int total = CROWD * SCALE(EACH), odd = 0;
	pthread_t in[CROWD], out[CROWD];
	struct crowd crowd = {0};

	o.caller_helps = helps;
	crowd.pool = pool_make(&o);
	crowd.times = calloc((size_t)total, sizeof(*crowd.times));
	REQUIRE(crowd.times);
	for (int i = 0; i < CROWD; i++) {
		in[i] = thread_run(crowd_submit, &crowd);
		out[i] = thread_run(crowd_collect, &crowd);
	}
	for (int i = 0; i < CROWD; i++)
		thread_join(in[i]);
	weir_pool_close(crowd.pool);
	for (int i = 0; i < CROWD; i++)
		thread_join(out[i]);
	for (int i = 0; i < total; i++)
		odd += atomic_load(&crowd.times[i]) != 1;
	CHECK_EQ_INT(odd, 0);
	CHECK(atomic_load(&seen.most) <= (int)workers);
	check_books_closed(crowd.pool);
	weir_pool_free(crowd.pool);
	free(crowd.times);
}

TEST_LIMIT(many, crowds_get_each_result_once, 60)
{
	crowd_run(1, 2, false);
	crowd_run(3, 6, false);
	crowd_run(4, 1024, false);
}

TEST_LIMIT(helps, crowds_get_each_result_once_and_slots_are_the_bound, 60)
{
	crowd_run(1, 2, true);
	crowd_run(3, 6, true);
	crowd_run(4, 1024, true);
}

/* A job that turns out long while the pool thinks they are short. */
TEST(stuck, results_of_its_batch_come_out_before_a_long_job_ends)
{
	weir_ctx *gate = gate_make();
	struct seen seen = {0};
	weir_pool_options o = task_options(&seen, 2, 64);
	weir_pool *pool = pool_make(&o);
	struct task tasks[32];
	size_t count;
	int out;

	warm_up(pool);
	tasks_make(tasks, 32);
	tasks[15] = (struct task){.what = GATE, .number = 16, .gate = gate};
	OK(weir_pool_submit_many(pool, tasks, 32, &count, NULL));
	for (int i = 0; i < 31; i++) {
		next_result(pool, &out);
		CHECK(out != 16);
	}
	gate_open(gate);
	next_result(pool, &out);
	CHECK_EQ_INT(out, 16);
	weir_pool_close(pool);
	CHECK_EQ_INT(weir_pool_try_next(pool, &(weir_result){0}, &out),
		     WEIR_CLOSED);
	check_books_closed(pool);
	weir_pool_free(pool);
	weir_ctx_unref(gate);
}

TEST(stuck, with_one_worker_what_has_ended_comes_out)
{
	weir_ctx *gate = gate_make();
	struct seen seen = {0};
	weir_pool_options o = task_options(&seen, 1, 64);
	weir_pool *pool = pool_make(&o);
	struct task tasks[32];
	size_t count;
	int out, before = 0;

	warm_up(pool);
	tasks_make(tasks, 32);
	tasks[15] = (struct task){.what = GATE, .number = 16, .gate = gate};
	OK(weir_pool_submit_many(pool, tasks, 32, &count, NULL));
	for (int i = 0; i < 15; i++) {
		next_result(pool, &out);
		before += out < 16;
	}
	CHECK_EQ_INT(before, 15);
	gate_open(gate);
	for (int i = 0; i < 17; i++)
		next_result(pool, &out);
	weir_pool_free(pool);
	weir_ctx_unref(gate);
}

/* Jobs that wait for each other: each needs a slot of its own. */
struct meeting {
	atomic_int come;
	int all;
};

static weir_status
meet(weir_ctx *ctx, const void *in, void *out, void *user)
{
	struct meeting *meeting = user;

	(void)out;
	if (*(const int *)in == 0)
		return WEIR_OK;
	atomic_fetch_add(&meeting->come, 1);
	while (atomic_load(&meeting->come) < meeting->all)
		if (weir_ctx_sleep(ctx, 50 * WEIR_US) != WEIR_OK)
			return WEIR_CANCELED;
	return WEIR_OK;
}

TEST(stuck, jobs_that_wait_for_each_other_are_not_kept_in_one_batch)
{
	struct meeting meeting = {.all = 4};
	weir_pool_options o = WEIR_POOL_OPTIONS_INIT;
	weir_ctx *ctx = patience();
	int jobs[64] = {0};
	weir_result results[64];
	weir_pool *pool;
	size_t count, left;

	o.workers = 4;
	o.queue = 64;
	o.in_size = sizeof(int);
	o.run = meet;
	o.user = &meeting;
	pool = pool_make(&o);
	for (int i = 0; i < 2000; i++) {
		OK(weir_pool_submit_many(pool, jobs, 64, &count, NULL));
		for (left = 64; left > 0; left -= count)
			OK(weir_pool_next_many(pool, results, NULL, left,
					       &count, NULL));
	}
	for (int i = 0; i < 4; i++)
		jobs[i] = 1;
	OK(weir_pool_submit_many(pool, jobs, 4, &count, ctx));
	for (left = 4; left > 0; left -= count) {
		OK(weir_pool_next_many(pool, results, NULL, left, &count, ctx));
		for (size_t i = 0; i < count; i++)
			CHECK_EQ_INT(results[i].status, WEIR_OK);
	}
	weir_pool_free(pool);
	weir_ctx_unref(ctx);
}

TEST(stuck, a_long_job_among_short_ones_does_not_hold_up_those_behind_it)
{
	weir_ctx *gate = gate_make();
	struct seen seen = {0};
	weir_pool_options o = task_options(&seen, 2, 64);
	weir_pool *pool = pool_make(&o);
	int out;

	warm_up(pool);
	submit(pool, (struct task){.what = GATE, .number = 1, .gate = gate},
	       NULL);
	WAIT_FOR(atomic_load(&seen.running) == 1);
	for (int i = 0; i < 100; i++) {
		submit(pool, (struct task){.what = ECHO, .number = 2}, NULL);
		next_result(pool, &out);
		CHECK_EQ_INT(out, 2);
	}
	gate_open(gate);
	next_result(pool, &out);
	CHECK_EQ_INT(out, 1);
	weir_pool_free(pool);
	weir_ctx_unref(gate);
}

/* Callers that help. */

static weir_status
number_worker(uint32_t worker, void **ret_state, void *user)
{
	atomic_int *states = user;

	*ret_state = &states[worker];
	return WEIR_OK;
}

static weir_status
use_state(weir_ctx *ctx, const void *in, void *out, void *user)
{
	atomic_int *state = weir_job_state(ctx);

	(void)in;
	(void)user;
	/* Nobody else is in there with us. */
	*(int *)out = atomic_fetch_add(state, 1);
	atomic_fetch_sub(state, 1);
	return WEIR_OK;
}

TEST(helps, no_two_jobs_share_the_state_of_a_worker)
{
	atomic_int states[3] = {0};
	weir_pool_options o = WEIR_POOL_OPTIONS_INIT;
	weir_result results[16];
	int outs[16], shared = 0;
	weir_pool *pool;
	size_t count;

	o.workers = 3;
	o.queue = 6;
	o.out_size = sizeof(int);
	o.run = use_state;
	o.init = number_worker;
	o.user = states;
	o.caller_helps = true;
	pool = pool_make(&o);
	for (int i = 0; i < SCALE(20000); i++) {
		size_t accepted;

		OK(weir_pool_submit_many(pool, NULL, 0, &accepted, NULL));
		OK(weir_pool_submit(pool, "", NULL, NULL));
		OK(weir_pool_submit(pool, "", NULL, NULL));
		for (size_t left = 2; left > 0; left -= count) {
			OK(weir_pool_next_many(pool, results, outs, left,
					       &count, NULL));
			for (size_t j = 0; j < count; j++)
				shared += outs[j] != 0;
		}
	}
	CHECK_EQ_INT(shared, 0);
	weir_pool_free(pool);
}

static weir_status
where(weir_ctx *ctx, const void *in, void *out, void *user)
{
	pthread_t self = pthread_self();

	(void)ctx;
	(void)in;
	(void)user;
	memcpy(out, &self, sizeof(self));
	return WEIR_OK;
}

TEST(helps, a_collector_runs_short_jobs_itself)
{
	weir_pool_options o = WEIR_POOL_OPTIONS_INIT;
	int here = 0, rounds = SCALE(50000);
	weir_pool *pool;

	o.workers = 2;
	o.queue = 4;
	o.out_size = sizeof(pthread_t);
	o.run = where;
	o.caller_helps = true;
	pool = pool_make(&o);
	for (int i = 0; i < rounds; i++) {
		weir_result result;
		pthread_t ran;

		OK(weir_pool_submit(pool, "", NULL, NULL));
		OK(weir_pool_next(pool, &result, &ran, NULL));
		here += pthread_equal(ran, pthread_self()) != 0;
	}
	/* The first few, and some now and then, are the workers'. */
	CHECK(UNDER_TSAN || here > rounds / 2);
	weir_pool_free(pool);
}

TEST(helps, a_job_that_nobody_collects_is_run_all_the_same)
{
	struct seen seen = {0};
	weir_pool_options o = task_options(&seen, 1, 64);
	weir_pool *pool;
	int runs;

	o.caller_helps = true;
	pool = pool_make(&o);
	for (int i = 0; i < 200; i++) {
		warm_up(pool);
		runs = atomic_load(&seen.runs);
		submit(pool, (struct task){.what = ECHO}, NULL);
		WAIT_FOR(atomic_load(&seen.runs) == runs + 1);
		next_result(pool, NULL);
		i += 40;
	}
	weir_pool_free(pool);
}

TEST(helps, long_jobs_are_left_to_the_workers)
{
	weir_ctx *gate = gate_make(), *ctx = ctx_make(NULL, 20 * WEIR_MS);
	struct seen seen = {0};
	weir_pool_options o = task_options(&seen, 1, 1);
	weir_result result;
	weir_pool *pool;
	int out;

	o.caller_helps = true;
	pool = pool_make(&o);
	submit(pool, (struct task){.what = GATE, .gate = gate}, NULL);
	CHECK_EQ_INT(weir_pool_next(pool, &result, &out, ctx), WEIR_TIMEDOUT);
	gate_open(gate);
	next_result(pool, &out);
	weir_pool_free(pool);
	weir_ctx_unref(ctx);
	weir_ctx_unref(gate);
}
