/*
 * Branches that the other tests of the core do not take: pools, sources,
 * keys, pipelines.  Some of these look inside, for what is a race from outside
 * is a state there.
 */
#include "core/pool.h"
#include "core_util.h"

#include <pthread.h>
#include <string.h>

TEST(cover, options_above_the_bounds_come_down_to_them)
{
	struct seen seen = {0};
	weir_pool_options o = task_options(&seen, 1, 1);
	weir_pool_stats stats;
	weir_pool *pool;

	o.batch_max = 1000;
	pool = pool_make(&o);
	CHECK_EQ_INT(pool->options.batch_max, WEIR_BATCH_MAX);
	/* A caller that leaves the size at 0 has the whole struct. */
	memset(&stats, 0xff, sizeof(stats));
	stats.size = 0;
	weir_pool_get_stats(pool, &stats);
	CHECK_EQ_INT(stats.workers, 1);
	CHECK_EQ_INT(stats.starved_ns >= 0, 1);
	weir_pool_free(pool);
}

TEST(cover, a_wider_pool_has_room_for_the_results_of_all_its_workers)
{
	weir_ctx *gate = gate_make();
	struct seen seen = {0};
	weir_pool_options o = task_options(&seen, 1, 8);
	weir_pool *pool;

	o.results = 1;
	o.key_slots = 1;
	pool = pool_make(&o);
	submit(pool, (struct task){.what = ECHO, .number = 7}, NULL);
	WAIT_FOR(stats_of(pool).results == 1);
	/* Results that wait move along, keys in use stay. */
	OK(weir_pool_resize(pool, 40));
	CHECK_EQ_INT(stats_of(pool).results, 1);
	for (int i = 0; i < 8; i++)
		submit(pool, (struct task){.what = GATE, .gate = gate}, NULL);
	WAIT_FOR(atomic_load(&seen.running) == 8);
	gate_open(gate);
	for (int i = 0; i < 9; i++)
		next_result(pool, &(int){0});
	OK(weir_pool_shutdown(pool, NULL));
	check_books_closed(pool);
	weir_pool_free(pool);
	weir_ctx_unref(gate);
}

TEST(cover, a_little_more_room_for_results_is_there_already)
{
	struct seen seen = {0};
	weir_pool_options o = task_options(&seen, 1, 9);
	weir_pool *pool;
	uint32_t mask;

	o.results = 1;
	pool = pool_make(&o);
	mask = pool->results_mask;
	OK(weir_pool_resize(pool, 3));
	CHECK_EQ_INT(pool->results_mask, mask);
	CHECK_EQ_INT(pool->results_max, 3);
	weir_pool_free(pool);
}

TEST(cover, a_job_without_the_body_it_should_have_is_refused)
{
	struct seen seen = {0};
	weir_pool_options o = task_options(&seen, 1, 1);
	weir_pool *pool = pool_make(&o);

	CHECK_EQ_INT(weir_pool_submit(pool, NULL, NULL, NULL), WEIR_INVAL);
	CHECK_EQ_INT(stats_of(pool).accepted, 0);
	weir_pool_free(pool);
}

TEST(cover, jobs_too_large_for_any_memory_are_a_status)
{
	struct seen seen = {0};
	weir_pool_options o = task_options(&seen, 1, WEIR_POOL_QUEUE_MAX);
	weir_pool *pool = NULL;

	o.in_size = SIZE_MAX / 4 - 1;
	CHECK_EQ_INT(weir_pool_new(&pool, &o), WEIR_NOMEM);
	CHECK(!pool);
}

static weir_status
refuse_init(uint32_t worker, void **ret_state, void *user)
{
	(void)worker;
	(void)ret_state;
	(void)user;
	return WEIR_FAILED;
}

TEST(cover, of_two_workers_that_fail_to_begin_the_first_counts)
{
	struct seen seen = {0};
	weir_pool_options o = task_options(&seen, 2, 1);
	weir_pool *pool = NULL;

	o.init = refuse_init;
	CHECK_EQ_INT(weir_pool_new(&pool, &o), WEIR_FAILED);
	CHECK(!pool);
}

TEST(cover, more_keys_than_buckets_are_told_apart)
{
	enum { KEYS = 40 };
	weir_ctx *gate = gate_make();
	struct seen seen = {0};
	weir_pool_options o = task_options(&seen, KEYS, 2 * KEYS);
	weir_pool *pool;

	o.key_slots = 1;
	pool = pool_make(&o);
	for (uint64_t i = 0; i < 2 * KEYS; i++) {
		weir_job_options job = WEIR_JOB_OPTIONS_INIT;
		struct task task = {.what = GATE, .gate = gate};

		job.key = i % KEYS + 1;
		OK(weir_pool_submit_with(pool, &task, &job, NULL, NULL));
	}
	WAIT_FOR(atomic_load(&seen.running) == KEYS);
	gate_open(gate);
	for (int i = 0; i < 2 * KEYS; i++)
		next_result(pool, &(int){0});
	CHECK_EQ_INT(atomic_load(&seen.most), KEYS);
	weir_pool_free(pool);
	weir_ctx_unref(gate);
}

static size_t
bucket_of(const weir_pool *pool, uint64_t key)
{
	uint64_t hash = key * UINT64_C(0x9e3779b97f4a7c15);

	return (hash >> 32) & (pool->bucket_count - 1);
}

TEST(cover, keys_that_share_a_bucket_are_told_apart)
{
	weir_ctx *gate = gate_make();
	struct seen seen = {0};
	weir_pool_options o = task_options(&seen, 2, 4);
	struct task task = {.what = GATE, .gate = gate};
	weir_job_options job = WEIR_JOB_OPTIONS_INIT;
	uint64_t other = 2;
	weir_pool *pool;

	o.key_slots = 1;
	pool = pool_make(&o);
	while (bucket_of(pool, other) != bucket_of(pool, 1))
		other++;
	job.key = 1;
	OK(weir_pool_submit_with(pool, &task, &job, NULL, NULL));
	job.key = other;
	OK(weir_pool_submit_with(pool, &task, &job, NULL, NULL));
	WAIT_FOR(atomic_load(&seen.running) == 2);
	gate_open(gate);
	next_result(pool, &(int){0});
	next_result(pool, &(int){0});
	weir_pool_free(pool);
	weir_ctx_unref(gate);
}

static weir_status
odd_work(weir_ctx *ctx, const void *in, void *out, void *user)
{
	(void)ctx;
	(void)in;
	(void)out;
	(void)user;
	return (weir_status)100;
}

TEST(cover, a_job_may_end_in_a_status_of_the_hosts_own)
{
	weir_pool_options o = WEIR_POOL_OPTIONS_INIT;
	weir_result result;
	weir_pool *pool;

	o.workers = 1;
	o.queue = 1;
	o.run = odd_work;
	o.retry.attempts_max = 2;
	pool = pool_make(&o);
	OK(weir_pool_submit(pool, NULL, NULL, NULL));
	result = next_result(pool, NULL);
	CHECK_EQ_INT(result.status, 100);
	CHECK_EQ_INT(result.attempts, 1);
	weir_pool_free(pool);
}

static weir_status
no_work(weir_ctx *ctx, const void *in, void *out, void *user)
{
	(void)ctx;
	(void)in;
	(void)out;
	(void)user;
	return WEIR_OK;
}

TEST(cover, jobs_without_a_body_go_in_one_by_one_and_many_at_a_time)
{
	weir_pool_options o = WEIR_POOL_OPTIONS_INIT;
	weir_result results[4];
	size_t count, got;
	weir_pool *pool;
	int out = 17;

	o.workers = 1;
	o.queue = 4;
	o.run = no_work;
	pool = pool_make(&o);
	OK(weir_pool_submit(pool, NULL, NULL, NULL));
	next_result(pool, &out);
	OK(weir_pool_submit_many(pool, NULL, 4, &count, NULL));
	CHECK_EQ_INT(count, 4);
	for (got = 0; got < 4; got += count)
		OK(weir_pool_next_many(pool, results, &out, 4, &count, NULL));
	CHECK_EQ_INT(out, 17);
	CHECK_EQ_INT(weir_pool_run(pool, NULL), WEIR_INVAL);
	weir_pool_free(pool);
}

/* Sources and sinks. */

struct source {
	int count;
	weir_job_options options;
	int sunk;
};

static weir_status
source_give(weir_ctx *ctx, void *ret_in, weir_job_options *options, void *user)
{
	struct source *source = user;

	(void)ctx;
	(void)ret_in;
	if (source->count == 0)
		return WEIR_CLOSED;
	source->count--;
	*options = source->options;
	return WEIR_OK;
}

static void
sink_count(const weir_result *result, const void *in, void *out, void *user)
{
	struct source *source = user;

	(void)result;
	(void)in;
	(void)out;
	source->sunk++;
}

static void
sink_nothing(const weir_result *result, const void *in, void *out, void *user)
{
	(void)result;
	(void)in;
	(void)out;
	(void)user;
}

static weir_pool *
source_pool(struct source *source)
{
	weir_pool_options o = WEIR_POOL_OPTIONS_INIT;

	weir_job_options_init(&source->options);
	o.workers = 1;
	o.run = no_work;
	o.source = source_give;
	o.sink = sink_count;
	o.user = source;
	return pool_make(&o);
}

TEST(cover, keys_mean_nothing_to_a_pool_without_slots_for_them)
{
	struct source source = {.count = 5};
	weir_pool *pool = source_pool(&source);

	source.options.key = 3;
	OK(weir_pool_run(pool, NULL));
	CHECK_EQ_INT(source.sunk, 5);
	weir_pool_free(pool);
}

static weir_status
source_close(weir_ctx *ctx, void *ret_in, weir_job_options *options, void *user)
{
	weir_pool **pool = user;

	(void)ctx;
	(void)ret_in;
	(void)options;
	weir_pool_close(*pool);
	return WEIR_OK;
}

TEST(cover, a_source_that_closes_its_pool_is_not_asked_again)
{
	weir_pool_options o = WEIR_POOL_OPTIONS_INIT;
	weir_pool *pool;

	o.workers = 1;
	o.run = no_work;
	o.source = source_close;
	o.sink = sink_nothing;
	o.queue = 8;
	o.user = &pool;
	pool = pool_make(&o);
	/* It would be asked for several in a row. */
	pool->workers[0]->batch_want = 8;
	OK(weir_pool_run(pool, NULL));
	CHECK_EQ_INT(stats_of(pool).accepted, 1);
	check_books_closed(pool);
	weir_pool_free(pool);
}

static weir_status
fail_once(weir_ctx *ctx, const void *in, void *out, void *user)
{
	(void)in;
	(void)out;
	(void)user;
	return weir_job_attempt(ctx) < 2 ? WEIR_FAILED : WEIR_OK;
}

TEST(cover, another_attempt_waits_for_a_token_as_well)
{
	struct source source = {.count = 1};
	weir_pool_options o = WEIR_POOL_OPTIONS_INIT;
	int64_t began_ns = weir_now_ns();
	weir_pool *pool;

	weir_job_options_init(&source.options);
	OK(weir_limit_new(&o.limit, 20, 1));
	o.workers = 1;
	o.run = fail_once;
	o.source = source_give;
	o.sink = sink_count;
	o.user = &source;
	o.retry.attempts_max = 2;
	o.retry.delay_ns = 1;
	pool = pool_make(&o);
	OK(weir_pool_run(pool, NULL));
	CHECK_EQ_INT(source.sunk, 1);
	CHECK_EQ_INT(stats_of(pool).retries, 1);
	CHECK(weir_now_ns() - began_ns >= 50 * WEIR_MS);
	weir_pool_free(pool);
	weir_limit_free(o.limit);
}

TEST(cover, a_source_that_asks_for_the_impossible_ends_the_run)
{
	struct source source = {.count = 5};
	weir_pool *pool = source_pool(&source);

	source.options.priority = 99;
	CHECK_EQ_INT(weir_pool_run(pool, NULL), WEIR_INVAL);
	CHECK_EQ_INT(source.sunk, 0);
	weir_pool_free(pool);
}

TEST(cover, a_pool_with_a_source_takes_no_submits)
{
	struct source source = {.count = 0};
	weir_pool *pool = source_pool(&source);
	size_t count = 1;

	CHECK_EQ_INT(weir_pool_submit_many(pool, NULL, 0, &count, NULL),
		     WEIR_INVAL);
	CHECK_EQ_INT(count, 0);
	weir_pool_free(pool);
}

TEST(cover, a_worker_does_not_rest_when_no_other_is_active)
{
	struct source source = {.count = 0};
	weir_pool *pool = source_pool(&source);

	weir__pull_rest(pool->workers[0]);
	CHECK_EQ_INT(weir__u32_load(&pool->active, WEIR_RELAXED), 0);
	weir_pool_free(pool);
}

/* Its submitter gives up just before, or just after, it is put there. */
TEST(cover, a_job_whose_submitter_has_given_up_does_not_wait_on_the_shelf)
{
	struct source source = {.count = 0};
	weir_pool *pool = source_pool(&source);
	struct weir_record *record;

	weir__mutex_lock(&pool->mu);
	record = weir__record_get_locked(pool);
	weir__mutex_unlock(&pool->mu);
	record->hurried = false;
	record->watch.fire(&record->watch, WEIR_CANCELED, "");
	CHECK(record->hurried);
	weir__mutex_lock(&pool->mu);
	weir__record_back_off_locked(pool, record, WEIR_FOREVER);
	CHECK(weir__shelf_take_locked(pool, 0) == record);
	record->hurried = false;
	weir__record_back_off_locked(pool, record, WEIR_FOREVER);
	CHECK(!weir__shelf_take_locked(pool, 0));
	weir__mutex_unlock(&pool->mu);
	record->watch.fire(&record->watch, WEIR_CANCELED, "");
	weir__mutex_lock(&pool->mu);
	CHECK(weir__shelf_take_locked(pool, 0) == record);
	weir__record_put_locked(pool, record);
	weir__mutex_unlock(&pool->mu);
	weir_pool_free(pool);
}

/* Worker 1 is asked to leave between its second look and its sleep. */
struct narrowing {
	weir_ctx *gate;
	atomic_bool there;
	atomic_bool closed;
};

static _Thread_local uint32_t my_index;
static _Thread_local int my_looks;

static weir_status
learn_index(uint32_t worker, void **ret_state, void *user)
{
	(void)ret_state;
	(void)user;
	my_index = worker;
	my_looks = 0;
	return WEIR_OK;
}

static weir_status
source_narrow(weir_ctx *ctx, void *ret_in, weir_job_options *options,
	      void *user)
{
	struct narrowing *n = user;

	(void)ctx;
	(void)ret_in;
	(void)options;
	if (my_index == 1 && ++my_looks == 2) {
		atomic_store(&n->there, true);
		gate_wait(n->gate);
	}
	return atomic_load(&n->closed) ? WEIR_CLOSED : WEIR_BUSY;
}

static void *
run_main(void *arg)
{
	OK(weir_pool_run(arg, NULL));
	return NULL;
}

TEST(cover, a_worker_that_is_too_many_leaves_without_another_sleep)
{
	struct narrowing n = {.gate = gate_make()};
	weir_pool_options o = WEIR_POOL_OPTIONS_INIT;
	weir_pool *pool;
	pthread_t thread;

	o.workers = 2;
	o.run = no_work;
	o.init = learn_index;
	o.source = source_narrow;
	o.sink = sink_nothing;
	o.user = &n;
	pool = pool_make(&o);
	thread = thread_run(run_main, pool);
	WAIT_FOR(atomic_load(&n.there));
	OK(weir_pool_resize(pool, 1));
	gate_open(n.gate);
	/* Its thread is joined by the next one who changes the width. */
	WAIT_FOR(weir_pool_resize(pool, 2) == WEIR_OK);
	atomic_store(&n.closed, true);
	weir_pool_poke(pool);
	thread_join(thread);
	weir_pool_free(pool);
	weir_ctx_unref(n.gate);
}

TEST(cover, map_refuses_what_it_cannot_read_and_fails_without_results)
{
	struct seen seen = {0};
	weir_pool_options o = task_options(&seen, 1, 0);
	struct task task = {.what = ECHO};
	weir_ctx *ctx = gate_make();
	char large[sizeof(o) + 8];
	int out = 0;

	weir_ctx_cancel(ctx);
	CHECK_EQ_INT(weir_pool_map(&o, &task, &out, NULL, 1, ctx),
		     WEIR_CANCELED);
	CHECK_EQ_INT(weir_pool_map(&o, &task, NULL, NULL, 1, NULL), WEIR_INVAL);
	CHECK_EQ_INT(weir_pool_map(&o, NULL, &out, NULL, 1, NULL), WEIR_INVAL);
	/* Options of a newer weir that say something we do not know. */
	memset(large, 1, sizeof(large));
	memcpy(large, &o, sizeof(o));
	((weir_pool_options *)(void *)large)->size = sizeof(large);
	CHECK_EQ_INT(weir_pool_map((weir_pool_options *)(void *)large, &task,
				   &out, NULL, 1, NULL),
		     WEIR_INVAL);
	o.in_size = 0;
	o.out_size = 0;
	o.run = no_work;
	OK(weir_pool_map(&o, NULL, NULL, NULL, 3, NULL));
	weir_ctx_unref(ctx);
}

/* Pipelines. */

static weir_status
stage_begin(weir_ctx *ctx, weir_job *job, const void *in, void *out, void *user)
{
	weir_job **ret_job = user;

	(void)ctx;
	(void)in;
	(void)out;
	__atomic_store_n(ret_job, job, __ATOMIC_SEQ_CST);
	return WEIR_OK;
}

static void
stage_stop(weir_ctx *ctx, weir_job *job, void *user)
{
	(void)user;
	weir_job_done(job, weir_ctx_status(ctx));
}

TEST(cover, an_item_is_cancelled_in_an_asynchronous_stage)
{
	weir_pipeline_options o = WEIR_PIPELINE_OPTIONS_INIT;
	weir_pipeline_result result;
	weir_ctx *ctx = gate_make();
	weir_pipeline *p = NULL;
	weir_job *job = NULL;
	weir_stage stage;

	weir_stage_init(&stage);
	stage.name = "later";
	stage.workers = 2;
	stage.queue = 2;
	stage.start = stage_begin;
	stage.cancel = stage_stop;
	stage.user = &job;
	o.stages = &stage;
	o.stage_count = 1;
	OK(weir_pipeline_new(&p, &o));
	OK(weir_pipeline_submit(p, NULL, NULL, ctx));
	WAIT_FOR(__atomic_load_n(&job, __ATOMIC_SEQ_CST));
	weir_ctx_cancel(ctx);
	OK(weir_pipeline_next(p, &result, NULL, NULL));
	CHECK_EQ_INT(result.result.status, WEIR_CANCELED);
	weir_pipeline_free(p);
	weir_ctx_unref(ctx);
}

/* A stage that waits at a place of the host's. */
struct bed {
	pthread_mutex_t mu;
	pthread_cond_t cond;
	bool woken;
	int waits, wakes;
};

static void
bed_wait(void *state, int64_t deadline_ns, bool hungry, void *user)
{
	struct bed *bed = user;

	(void)state;
	(void)deadline_ns;
	(void)hungry;
	pthread_mutex_lock(&bed->mu);
	bed->waits++;
	while (!bed->woken)
		pthread_cond_wait(&bed->cond, &bed->mu);
	bed->woken = false;
	pthread_mutex_unlock(&bed->mu);
}

static void
bed_wake(void *state, void *user)
{
	struct bed *bed = user;

	(void)state;
	pthread_mutex_lock(&bed->mu);
	bed->wakes++;
	bed->woken = true;
	pthread_cond_signal(&bed->cond);
	pthread_mutex_unlock(&bed->mu);
}

static weir_status
bed_start(weir_ctx *ctx, weir_job *job, const void *in, void *out, void *user)
{
	(void)ctx;
	(void)in;
	(void)out;
	(void)user;
	weir_job_done(job, WEIR_OK);
	return WEIR_OK;
}

TEST(cover, a_stage_waits_where_its_host_says)
{
	struct bed bed = {.mu = PTHREAD_MUTEX_INITIALIZER,
			  .cond = PTHREAD_COND_INITIALIZER};
	weir_pipeline_options o = WEIR_PIPELINE_OPTIONS_INIT;
	weir_pipeline_result result;
	weir_pipeline *p = NULL;
	weir_stage stage;

	weir_stage_init(&stage);
	stage.workers = 1;
	stage.queue = 1;
	stage.start = bed_start;
	stage.wait = bed_wait;
	stage.wake = bed_wake;
	stage.user = &bed;
	o.stages = &stage;
	o.stage_count = 1;
	OK(weir_pipeline_new(&p, &o));
	for (int i = 0; i < 3; i++) {
		OK(weir_pipeline_submit(p, NULL, NULL, NULL));
		OK(weir_pipeline_next(p, &result, NULL, NULL));
		CHECK_EQ_INT(result.result.status, WEIR_OK);
	}
	weir_pipeline_free(p);
	CHECK(bed.waits > 0);
	CHECK(bed.wakes > 0);
}

TEST(cover, statistics_of_no_stage_are_zero_and_as_large_as_asked)
{
	weir_pipeline_options o = WEIR_PIPELINE_OPTIONS_INIT;
	weir_pool_stats stats[2];
	weir_pipeline *p = NULL;
	weir_stage stage;

	weir_stage_init(&stage);
	stage.workers = 1;
	stage.queue = 1;
	stage.run = no_work;
	o.stages = &stage;
	o.stage_count = 1;
	OK(weir_pipeline_new(&p, &o));
	memset(stats, 0xff, sizeof(stats));
	stats[0].size = 0;
	weir_pipeline_get_stats(p, 1, stats);
	CHECK_EQ_INT(stats[0].accepted, 0);
	memset(stats, 0xff, sizeof(stats));
	stats[0].size = sizeof(stats[0]) / 2;
	weir_pipeline_get_stats(p, 1, stats);
	CHECK_EQ_INT(stats[0].size, sizeof(stats[0]) / 2);
	memset(stats, 0xff, sizeof(stats));
	stats[0].size = sizeof(stats);
	weir_pipeline_get_stats(p, 1, stats);
	CHECK_EQ_INT(stats[0].accepted, 0);
	CHECK_EQ_INT(stats[1].accepted, UINT64_MAX);
	weir_pipeline_free(p);
}
