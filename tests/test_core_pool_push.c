/* Pools in push form: submit, next, done. */
#include "core_util.h"

TEST(push, gives_one_result_for_each_job)
{
	enum { N = 1000 };
	struct seen seen = {0};
	weir_pool_options o = task_options(&seen, 3, N);
	weir_pool *pool = pool_make(&o);
	int times[N] = {0}, out = -1;
	weir_result result;

	for (int i = 0; i < N; i++) {
		uint64_t id = submit(pool, (struct task){.number = i}, NULL);

		CHECK_EQ_INT(id, i + 1);
	}
	weir_pool_close(pool);
	while (weir_pool_next(pool, &result, &out, NULL) == WEIR_OK) {
		CHECK_EQ_INT(result.id, out + 1);
		CHECK_EQ_INT(result.status, WEIR_OK);
		CHECK_EQ_INT(result.attempts, 1);
		CHECK_STR(result.error, "");
		CHECK(result.worker < 3);
		CHECK(result.wait_ns >= 0);
		CHECK(result.run_ns >= 0);
		CHECK(result.total_ns >= result.wait_ns);
		times[out]++;
	}
	for (int i = 0; i < N; i++)
		CHECK_EQ_INT(times[i], 1);
	CHECK_EQ_INT(atomic_load(&seen.runs), N);
	CHECK(atomic_load(&seen.most) <= 3);
	check_books_closed(pool);
	CHECK(!weir_pool_free(pool));
}

TEST(push, next_after_close_is_closed_again_and_again)
{
	struct seen seen = {0};
	weir_pool_options o = task_options(&seen, 2, 2);
	weir_pool *pool = pool_make(&o);
	weir_result result;

	CHECK_EQ_INT(weir_pool_try_next(pool, &result, NULL), WEIR_BUSY);
	submit(pool, (struct task){0}, NULL);
	weir_pool_close(pool);
	weir_pool_close(pool);
	(void)next_result(pool, NULL);
	for (int i = 0; i < 3; i++) {
		CHECK_EQ_INT(weir_pool_next(pool, &result, NULL, NULL),
			     WEIR_CLOSED);
		CHECK_EQ_INT(weir_pool_try_next(pool, &result, NULL),
			     WEIR_CLOSED);
	}
	weir_pool_free(pool);
}

TEST(push, submit_after_close_is_closed)
{
	struct seen seen = {0};
	weir_pool_options o = task_options(&seen, 1, 1);
	weir_pool *pool = pool_make(&o);
	struct task task = {0};
	uint64_t id = 77;

	weir_pool_close(pool);
	CHECK_EQ_INT(weir_pool_submit(pool, &task, &id, NULL), WEIR_CLOSED);
	CHECK_EQ_INT(weir_pool_try_submit(pool, &task, NULL, &id, NULL),
		     WEIR_CLOSED);
	CHECK_EQ_INT(id, 77);
	weir_pool_free(pool);
}

TEST(push, queue_and_results_hold_what_they_say)
{
	struct seen seen = {0};
	weir_pool_options o = task_options(&seen, 2, 3);
	struct task gated = {GATE, 0, 0, gate_make()};
	weir_pool *pool;
	weir_ctx *done = ctx_make(NULL, 0);

	o.results = 4;
	pool = pool_make(&o);
	for (int i = 0; i < 2; i++)
		submit(pool, gated, NULL);
	WAIT_FOR(atomic_load(&seen.running) == 2);
	for (int i = 0; i < 3; i++)
		submit(pool, (struct task){0}, NULL);
	CHECK_EQ_INT(weir_pool_try_submit(pool, &gated, NULL, NULL, NULL),
		     WEIR_BUSY);
	CHECK_EQ_INT(weir_pool_submit(pool, &gated, NULL, done), WEIR_TIMEDOUT);
	CHECK_EQ_INT(stats_of(pool).queued, 3);
	CHECK_EQ_INT(stats_of(pool).capacity, 7);
	gate_open(gated.gate);
	/* Four results fill their channel, and so one job stays queued. */
	WAIT_FOR(stats_of(pool).results == 4);
	CHECK_EQ_INT(stats_of(pool).queued, 1);
	CHECK_EQ_INT(stats_of(pool).busy, 0);
	(void)next_result(pool, NULL);
	WAIT_FOR(stats_of(pool).results == 4);
	CHECK_EQ_INT(stats_of(pool).queued, 0);
	weir_ctx_unref(gated.gate);
	weir_ctx_unref(done);
	weir_pool_free(pool);
}

TEST(push, results_are_at_least_as_many_as_workers)
{
	struct seen seen = {0};
	weir_pool_options o = task_options(&seen, 4, 1);
	struct task gated = {GATE, 0, 0, gate_make()};
	weir_pool *pool;

	o.results = 1;
	pool = pool_make(&o);
	for (int i = 0; i < 4; i++)
		submit(pool, gated, NULL);
	WAIT_FOR(atomic_load(&seen.running) == 4);
	gate_open(gated.gate);
	WAIT_FOR(stats_of(pool).results == 4);
	weir_ctx_unref(gated.gate);
	weir_pool_free(pool);
}

TEST(push, urgent_jobs_go_first)
{
	struct seen seen = {0};
	weir_pool_options o = task_options(&seen, 1, 16);
	struct task gated = {GATE, 0, 0, gate_make()};
	static const uint32_t priorities[] = {
		WEIR_PRIORITY_LAST, 3, 2, WEIR_PRIORITY_FIRST, 4, 0, 3, 2};
	static const int expected[] = {3, 5, 2, 7, 1, 6, 0, 4};
	weir_pool *pool = pool_make(&o);
	int out = -1;

	submit(pool, gated, NULL);
	WAIT_FOR(atomic_load(&seen.running) == 1);
	for (int i = 0; i < 8; i++) {
		weir_job_options job = WEIR_JOB_OPTIONS_INIT;
		struct task task = {.number = i};

		job.priority = priorities[i];
		OK(weir_pool_submit_with(pool, &task, &job, NULL, NULL));
	}
	gate_open(gated.gate);
	(void)next_result(pool, NULL);
	for (int i = 0; i < 8; i++) {
		(void)next_result(pool, &out);
		CHECK_EQ_INT(out, expected[i]);
	}
	weir_ctx_unref(gated.gate);
	weir_pool_free(pool);
}

TEST(push, error_text_is_that_of_the_last_attempt)
{
	struct seen seen = {0};
	weir_pool_options o = task_options(&seen, 1, 4);
	weir_pool *pool = pool_make(&o);
	weir_result result;

	submit(pool, (struct task){FAIL, 7, WEIR_PERMANENT, NULL}, NULL);
	result = next_result(pool, NULL);
	CHECK_EQ_INT(result.status, WEIR_PERMANENT);
	CHECK_STR(result.error, "task 7 fails");
	/* To fail with OK is to fail. */
	submit(pool, (struct task){FAIL, 8, WEIR_OK, NULL}, NULL);
	result = next_result(pool, NULL);
	CHECK_EQ_INT(result.status, WEIR_FAILED);
	CHECK_STR(result.error, "task 8 fails");
	submit(pool, (struct task){0}, NULL);
	CHECK_STR(next_result(pool, NULL).error, "");
	weir_pool_free(pool);
}

static weir_status
wordless_run(weir_ctx *ctx, const void *in, void *out, void *user)
{
	(void)in;
	(void)out;
	(void)user;
	return weir_job_attempt(ctx) == 1
		       ? weir_job_fail(ctx, WEIR_FAILED, "%0300d", 1)
		       : WEIR_SYSTEM;
}

TEST(push, failure_without_words_gets_those_of_its_status)
{
	weir_pool_options o = WEIR_POOL_OPTIONS_INIT;
	weir_result result;
	weir_pool *pool;

	o.workers = o.queue = 1;
	o.run = wordless_run;
	pool = pool_make(&o);
	OK(weir_pool_submit(pool, NULL, NULL, NULL));
	result = next_result(pool, NULL);
	CHECK_EQ_INT(strlen(result.error), WEIR_ERROR_MAX - 1);
	weir_pool_free(pool);
	o.retry.attempts_max = 2;
	o.retry.delay_ns = 1;
	pool = pool_make(&o);
	OK(weir_pool_submit(pool, NULL, NULL, NULL));
	result = next_result(pool, NULL);
	CHECK_STR(result.error, weir_status_message(WEIR_SYSTEM));
	weir_pool_free(pool);
}

TEST(push, failed_attempts_are_tried_again)
{
	struct seen seen = {0};
	weir_pool_options o = task_options(&seen, 2, 8);
	weir_result result;
	weir_pool *pool;

	o.retry = (weir_retry){
		.attempts_max = 4, .delay_ns = 1000, .delay_ns_max = 1000};
	pool = pool_make(&o);
	submit(pool, (struct task){FLAKY, 3, 0, NULL}, NULL);
	result = next_result(pool, NULL);
	CHECK_EQ_INT(result.status, WEIR_OK);
	CHECK_EQ_INT(result.attempts, 3);
	CHECK_STR(result.error, "");
	CHECK_EQ_INT(stats_of(pool).retries, 2);
	submit(pool, (struct task){FLAKY, 9, 0, NULL}, NULL);
	result = next_result(pool, NULL);
	CHECK_EQ_INT(result.status, WEIR_FAILED);
	CHECK_EQ_INT(result.attempts, 4);
	CHECK_STR(result.error, "not yet");
	CHECK_EQ_INT(stats_of(pool).retries, 5);
	CHECK_EQ_INT(atomic_load(&seen.runs), 7);
	weir_pool_free(pool);
}

TEST(push, a_job_may_have_a_policy_of_its_own)
{
	struct seen seen = {0};
	weir_pool_options o = task_options(&seen, 1, 8);
	weir_pool *pool = pool_make(&o);
	weir_retry retry = {.attempts_max = 5, .delay_ns = 1};
	weir_job_options job = WEIR_JOB_OPTIONS_INIT;
	struct task task = {FLAKY, 5, 0, NULL};

	job.retry = &retry;
	OK(weir_pool_submit_with(pool, &task, &job, NULL, NULL));
	retry.attempts_max = 1; /* it was copied */
	CHECK_EQ_INT(next_result(pool, NULL).attempts, 5);
	submit(pool, task, NULL);
	CHECK_EQ_INT(next_result(pool, NULL).attempts, 1);
	weir_pool_free(pool);
}

struct waited {
	int64_t delay_ns, first_ns, second_ns;
};

static weir_status
retry_after_run(weir_ctx *ctx, const void *in, void *out, void *user)
{
	struct waited *w = user;

	(void)in;
	(void)out;
	if (weir_job_attempt(ctx) == 2) {
		w->second_ns = weir_now_ns();
		return WEIR_OK;
	}
	w->first_ns = weir_now_ns();
	weir_job_retry_after(ctx, w->delay_ns);
	return WEIR_FAILED;
}

static struct waited
retry_after(int64_t policy_ns, int64_t delay_ns)
{
	struct waited w = {.delay_ns = delay_ns};
	weir_pool_options o = WEIR_POOL_OPTIONS_INIT;
	weir_pool *pool;

	o.workers = o.queue = 1;
	o.run = retry_after_run;
	o.user = &w;
	o.retry = (weir_retry){.attempts_max = 2,
			       .delay_ns = policy_ns,
			       .delay_ns_max = policy_ns};
	pool = pool_make(&o);
	OK(weir_pool_submit(pool, NULL, NULL, NULL));
	CHECK_EQ_INT(next_result(pool, NULL).status, WEIR_OK);
	weir_pool_free(pool);
	return w;
}

TEST(push, retry_after_overrides_the_policy)
{
	struct waited w = retry_after(1, 20 * WEIR_MS);

	CHECK(w.second_ns - w.first_ns >= 20 * WEIR_MS);
	/* The policy would have it wait for an hour. */
	(void)retry_after(3600 * WEIR_S, 0);
	(void)retry_after(3600 * WEIR_S, -1);
}

TEST(push, an_earlier_back_off_is_not_held_up_by_a_later_one)
{
	struct seen seen = {0};
	weir_pool_options o = task_options(&seen, 3, 8);
	weir_retry slow = {.attempts_max = 2,
			   .delay_ns = 3600 * WEIR_S,
			   .delay_ns_max = 3600 * WEIR_S};
	weir_job_options job = WEIR_JOB_OPTIONS_INIT;
	struct task task = {FLAKY, 2, 0, NULL};
	weir_pool *pool;

	o.retry = (weir_retry){.attempts_max = 2,
			       .delay_ns = 20 * WEIR_MS,
			       .delay_ns_max = 20 * WEIR_MS};
	pool = pool_make(&o);
	job.retry = &slow;
	OK(weir_pool_submit_with(pool, &task, &job, NULL, NULL));
	WAIT_FOR(stats_of(pool).backoff == 1 && stats_of(pool).busy == 0);
	submit(pool, task, NULL);
	CHECK_EQ_INT(next_result(pool, NULL).id, 2);
	weir_pool_free(pool);
}

TEST(push, attempts_time_out)
{
	struct seen seen = {0};
	weir_pool_options o = task_options(&seen, 2, 8);
	weir_job_options job = WEIR_JOB_OPTIONS_INIT;
	struct task watch = {WATCH, 0, 0, NULL};
	weir_result result;
	weir_pool *pool;

	o.timeout_ns = 5 * WEIR_MS;
	o.retry = (weir_retry){.attempts_max = 2, .delay_ns = 1};
	pool = pool_make(&o);
	submit(pool, watch, NULL);
	result = next_result(pool, NULL);
	CHECK_EQ_INT(result.status, WEIR_TIMEDOUT);
	CHECK_EQ_INT(result.attempts, 2);
	CHECK(result.run_ns >= 10 * WEIR_MS);
	CHECK_STR(result.error, weir_status_message(WEIR_TIMEDOUT));
	job.timeout_ns = WEIR_FOREVER;
	OK(weir_pool_submit_with(pool, &watch, &job, NULL, NULL));
	WAIT_FOR(atomic_load(&seen.runs) == 3);
	CHECK_EQ_INT(weir_ctx_sleep(NULL, 20 * WEIR_MS), WEIR_OK);
	CHECK_EQ_INT(stats_of(pool).busy, 1);
	weir_pool_free(pool);
}

/* Slower than the time-out of its jobs. */
static void
slow_done(const weir_result *result, const void *in, void *out, void *user)
{
	struct seen *seen = user;

	(void)in;
	(void)out;
	CHECK_EQ_INT(result->status, WEIR_OK);
	CHECK_MSG(result->wait_ns >= 0, "%jd", (intmax_t)result->wait_ns);
	(void)weir_ctx_sleep(NULL, 60 * WEIR_MS);
	atomic_fetch_add(&seen->most, 1);
}

static weir_status
has_time_run(weir_ctx *ctx, const void *in, void *out, void *user)
{
	(void)in;
	(void)out;
	(void)user;
	return weir_ctx_status(ctx);
}

TEST(push, a_slow_done_callback_takes_no_time_from_the_next_attempt)
{
	weir_pool_options o = WEIR_POOL_OPTIONS_INIT;
	struct seen seen = {0};
	weir_pool *pool;

	o.workers = 1;
	o.queue = 3;
	o.run = has_time_run;
	o.user = &seen;
	o.done = slow_done;
	o.timeout_ns = 50 * WEIR_MS;
	pool = pool_make(&o);
	for (int i = 0; i < 3; i++)
		OK(weir_pool_submit(pool, NULL, NULL, NULL));
	WAIT_FOR(stats_of(pool).delivered == 3);
	weir_pool_free(pool);
}

TEST(push, jobs_whose_submitter_gave_up_before_the_start_are_not_run)
{
	struct seen seen = {0};
	weir_pool_options o = task_options(&seen, 1, 8);
	struct task gated = {GATE, 0, 0, gate_make()};
	weir_pool *pool = pool_make(&o);
	weir_ctx *ctx = gate_make();
	weir_result result;

	submit(pool, gated, NULL);
	WAIT_FOR(atomic_load(&seen.running) == 1);
	submit(pool, (struct task){0}, ctx);
	submit(pool, (struct task){0}, NULL);
	weir_ctx_cancel(ctx);
	gate_open(gated.gate);
	CHECK_EQ_INT(next_result(pool, NULL).status, WEIR_OK);
	result = next_result(pool, NULL);
	CHECK_EQ_INT(result.status, WEIR_CANCELED);
	CHECK_EQ_INT(result.attempts, 0);
	CHECK_EQ_INT(result.id, 2);
	CHECK_EQ_INT(next_result(pool, NULL).status, WEIR_OK);
	CHECK_EQ_INT(atomic_load(&seen.runs), 2);
	weir_ctx_unref(ctx);
	weir_ctx_unref(gated.gate);
	weir_pool_free(pool);
}

TEST(push, jobs_are_told_when_their_submitter_gives_up)
{
	struct seen seen = {0};
	weir_pool_options o = task_options(&seen, 2, 8);
	weir_pool *pool;
	weir_ctx *ctx = gate_make(), *late = ctx_make(NULL, 20 * WEIR_MS);
	weir_result result;

	o.retry.attempts_max = 3;
	pool = pool_make(&o);
	submit(pool, (struct task){WATCH, 0, 0, NULL}, ctx);
	WAIT_FOR(atomic_load(&seen.running) == 1);
	weir_ctx_cancel(ctx);
	result = next_result(pool, NULL);
	CHECK_EQ_INT(result.status, WEIR_CANCELED);
	CHECK_EQ_INT(result.attempts, 1);
	submit(pool, (struct task){WATCH, 0, 0, NULL}, late);
	result = next_result(pool, NULL);
	CHECK_EQ_INT(result.status, WEIR_TIMEDOUT);
	CHECK(result.attempts <= 1);
	weir_ctx_unref(ctx);
	weir_ctx_unref(late);
	weir_pool_free(pool);
}

TEST(push, back_off_ends_at_once_when_the_submitter_gives_up)
{
	struct seen seen = {0};
	weir_pool_options o = task_options(&seen, 2, 8);
	weir_ctx *ctx = gate_make();
	weir_result result;
	weir_pool *pool;

	o.retry = (weir_retry){.attempts_max = 2,
			       .delay_ns = 3600 * WEIR_S,
			       .delay_ns_max = 3600 * WEIR_S};
	pool = pool_make(&o);
	submit(pool, (struct task){FAIL, 4, WEIR_FAILED, NULL}, ctx);
	WAIT_FOR(stats_of(pool).backoff == 1);
	weir_ctx_cancel(ctx);
	result = next_result(pool, NULL);
	CHECK_EQ_INT(result.status, WEIR_CANCELED);
	CHECK_EQ_INT(result.attempts, 1);
	CHECK_STR(result.error, "task 4 fails");
	check_books_closed(pool);
	weir_ctx_unref(ctx);
	weir_pool_free(pool);
}

TEST(push, back_off_past_the_deadline_of_the_submitter_is_not_begun)
{
	struct seen seen = {0};
	weir_pool_options o = task_options(&seen, 1, 8);
	weir_ctx *ctx = ctx_make(NULL, 600 * WEIR_S);
	weir_result result;
	weir_pool *pool;

	o.retry = (weir_retry){.attempts_max = 2,
			       .delay_ns = 3600 * WEIR_S,
			       .delay_ns_max = 3600 * WEIR_S};
	pool = pool_make(&o);
	submit(pool, (struct task){FAIL, 4, WEIR_FAILED, NULL}, ctx);
	result = next_result(pool, NULL);
	CHECK_EQ_INT(result.status, WEIR_FAILED);
	CHECK_STR(result.error, "task 4 fails");
	weir_ctx_unref(ctx);
	weir_pool_free(pool);
}

/* A job that tries to wait for its own pool. */
struct selfish {
	weir_pool *pool;
	weir_status submit, next, shutdown, resize;
	atomic_int runs;
};

static weir_status
selfish_run(weir_ctx *ctx, const void *in, void *out, void *user)
{
	struct selfish *s = user;
	weir_result result;

	(void)in;
	(void)out;
	if (atomic_fetch_add(&s->runs, 1) > 0)
		return WEIR_OK;
	s->next = weir_pool_next(s->pool, &result, NULL, NULL);
	OK(weir_pool_submit(s->pool, NULL, NULL, ctx));
	s->submit = weir_pool_submit(s->pool, NULL, NULL, ctx);
	s->resize = weir_pool_resize(s->pool, 2);
	s->shutdown = weir_pool_shutdown(s->pool, NULL);
	return WEIR_OK;
}

TEST(push, a_job_that_would_wait_for_itself_is_told)
{
	weir_pool_options o = WEIR_POOL_OPTIONS_INIT;
	struct selfish s = {0};
	weir_result result;

	o.workers = o.queue = 1;
	o.run = selfish_run;
	o.user = &s;
	s.pool = pool_make(&o);
	OK(weir_pool_submit(s.pool, NULL, NULL, NULL));
	OK(weir_pool_next(s.pool, &result, NULL, NULL));
	CHECK_EQ_INT(s.next, WEIR_DEADLOCK);
	CHECK_EQ_INT(s.submit, WEIR_DEADLOCK);
	CHECK_EQ_INT(s.resize, WEIR_DEADLOCK);
	CHECK_EQ_INT(s.shutdown, WEIR_DEADLOCK);
	/* Intake is shut all the same; what was accepted still comes. */
	CHECK_EQ_INT(weir_pool_submit(s.pool, NULL, NULL, NULL), WEIR_CLOSED);
	OK(weir_pool_next(s.pool, &result, NULL, NULL));
	CHECK_EQ_INT(weir_pool_next(s.pool, &result, NULL, NULL), WEIR_CLOSED);
	weir_pool_free(s.pool);
}

struct tally {
	struct seen seen;
	atomic_int done, sum;
};

static void
tally_done(const weir_result *result, const void *in, void *out, void *user)
{
	struct tally *tally = user;

	CHECK_EQ_INT(((const struct task *)in)->number, *(int *)out);
	CHECK_EQ_INT(result->status, WEIR_OK);
	atomic_fetch_add(&tally->sum, *(int *)out);
	atomic_fetch_add(&tally->done, 1);
}

TEST(push, results_go_to_done_where_there_is_one)
{
	struct tally tally = {0};
	weir_pool_options o = task_options(&tally.seen, 4, 2);
	weir_result result;
	weir_pool *pool;

	o.done = tally_done;
	pool = pool_make(&o);
	for (int i = 1; i <= 500; i++)
		submit(pool, (struct task){.number = i}, NULL);
	CHECK_EQ_INT(weir_pool_next(pool, &result, NULL, NULL), WEIR_INVAL);
	CHECK_EQ_INT(weir_pool_try_next(pool, &result, NULL), WEIR_INVAL);
	OK(weir_pool_shutdown(pool, NULL));
	CHECK_EQ_INT(atomic_load(&tally.done), 500);
	CHECK_EQ_INT(atomic_load(&tally.sum), 500 * 501 / 2);
	check_books_closed(pool);
	weir_pool_free(pool);
}

/* Statistics, read all the time while others work. */
struct sampler {
	weir_pool *pool;
	atomic_bool stop;
	uint32_t queue, results;
	int samples;
};

static void *
sampler_main(void *arg)
{
	struct sampler *s = arg;
	uint64_t before = 0;

	while (!atomic_load(&s->stop)) {
		weir_pool_stats now = stats_of(s->pool);

		CHECK(now.accepted ==
		      now.delivered + now.handed_back + now.inside);
		/* Of a batch that was stuck some may be back on the shelf. */
		CHECK(now.queued <= s->queue + s->results);
		CHECK(now.results <= s->results);
		CHECK(now.inside <= now.capacity);
		CHECK(now.busy <= now.workers);
		CHECK(now.ok + now.failed >= now.delivered);
		CHECK(now.accepted >= before);
		before = now.accepted;
		s->samples++;
	}
	return NULL;
}

static void *
collect_main(void *arg)
{
	weir_result result;
	int odd = 0;

	while (weir_pool_next(arg, &result, NULL, NULL) == WEIR_OK)
		odd += result.wait_ns < 0 || result.run_ns < 0 ||
		       result.total_ns < result.wait_ns;
	CHECK_MSG(odd == 0, "%d results with strange times", odd);
	return NULL;
}

TEST_LIMIT(push, books_balance_at_every_instant, 60)
{
	struct seen seen = {0};
	weir_pool_options o = task_options(&seen, 3, 5);
	struct sampler sampler = {.queue = 5, .results = 8};
	weir_pool *pool = sampler.pool = pool_make(&o);
	pthread_t sampling = thread_run(sampler_main, &sampler);
	pthread_t collecting[2];

	for (int i = 0; i < 2; i++)
		collecting[i] = thread_run(collect_main, pool);
	for (int i = 0; i < SCALE(40000); i++)
		submit(pool,
		       (struct task){i % 3 ? ECHO : FAIL, i, WEIR_FAILED, NULL},
		       NULL);
	OK(weir_pool_shutdown(pool, NULL));
	for (int i = 0; i < 2; i++)
		thread_join(collecting[i]);
	atomic_store(&sampler.stop, true);
	thread_join(sampling);
	CHECK(sampler.samples > 0);
	check_books_closed(pool);
	weir_pool_free(pool);
}

static void *
submit_many_main(void *arg)
{
	for (int i = 0; i < SCALE(5000); i++)
		submit(arg, (struct task){.number = i}, NULL);
	return NULL;
}

TEST_LIMIT(push, many_submitters_and_many_collectors_lose_nothing, 60)
{
	struct seen seen = {0};
	weir_pool_options o = task_options(&seen, 3, 2);
	weir_pool *pool = pool_make(&o);
	pthread_t submitting[4], collecting[3];

	for (int i = 0; i < 4; i++)
		submitting[i] = thread_run(submit_many_main, pool);
	for (int i = 0; i < 3; i++)
		collecting[i] = thread_run(collect_main, pool);
	for (int i = 0; i < 4; i++)
		thread_join(submitting[i]);
	weir_pool_close(pool);
	for (int i = 0; i < 3; i++)
		thread_join(collecting[i]);
	CHECK_EQ_INT(atomic_load(&seen.runs), 4 * SCALE(5000));
	CHECK(atomic_load(&seen.most) <= 3);
	check_books_closed(pool);
	weir_pool_free(pool);
}

struct accepted_late {
	weir_pool *pool;
	weir_ctx *gate;
	int64_t room_ns, start_ns;
};

static weir_status
accepted_late_run(weir_ctx *ctx, const void *in, void *out, void *user)
{
	struct accepted_late *a = user;

	(void)in;
	(void)out;
	if (weir_job_id(ctx) == 1)
		gate_wait(a->gate);
	if (weir_job_id(ctx) == 3)
		a->start_ns = weir_now_ns();
	return WEIR_OK;
}

static void *
accepted_late_main(void *arg)
{
	struct accepted_late *a = arg;

	OK(weir_pool_submit(a->pool, NULL, NULL, NULL));
	return NULL;
}

TEST(push, waiting_for_room_is_not_part_of_the_wait_of_a_job)
{
	weir_pool_options o = WEIR_POOL_OPTIONS_INIT;
	struct accepted_late a = {.gate = gate_make()};
	weir_result result;
	pthread_t thread;

	o.workers = o.queue = 1;
	o.results = 3;
	o.run = accepted_late_run;
	o.user = &a;
	a.pool = pool_make(&o);
	OK(weir_pool_submit(a.pool, NULL, NULL, NULL));
	WAIT_FOR(stats_of(a.pool).busy == 1);
	OK(weir_pool_submit(a.pool, NULL, NULL, NULL));
	thread = thread_run(accepted_late_main, &a);
	/* Long enough to see it in; were it shorter, nothing would break. */
	(void)weir_ctx_sleep(NULL, 20 * WEIR_MS);
	a.room_ns = weir_now_ns();
	gate_open(a.gate);
	thread_join(thread);
	for (int i = 0; i < 3; i++)
		result = next_result(a.pool, NULL);
	CHECK_EQ_INT(result.id, 3);
	/* It was accepted when there was room, or it had not come yet. */
	CHECK_MSG(result.wait_ns <= a.start_ns - a.room_ns, "%jd, %jd",
		  (intmax_t)result.wait_ns, (intmax_t)(a.start_ns - a.room_ns));
	weir_ctx_unref(a.gate);
	weir_pool_free(a.pool);
}
