/*
 * The three ways to stop, and what they make of each job: the table in
 * weir/pool.h, then at random moments.
 */
#include "core_util.h"

enum way { DRAIN, SOON, NOW };

/* What was handed back, in order. */
struct back {
	int len;
	uint64_t ids[512];
};

static void
take_back(uint64_t id, const void *in, void *user)
{
	struct back *back = user;

	CHECK(in != NULL);
	REQUIRE(back->len < 512);
	back->ids[back->len++] = id;
}

static weir_status
stop(weir_pool *pool, enum way way, struct back *back, weir_ctx *ctx)
{
	switch (way) {
	case DRAIN:
		return weir_pool_shutdown(pool, ctx);
	case SOON:
		return weir_pool_shutdown_soon(pool, back ? take_back : NULL,
					       back, ctx);
	case NOW:
		break;
	}
	return weir_pool_shutdown_now(pool, back ? take_back : NULL, back, ctx);
}

/*
 * One job in each of the three situations: 1 runs until its gate opens, 2
 * runs until its context is done, 3 is in back-off, and 4 to 7 wait.
 */
struct table {
	struct seen seen;
	weir_pool *pool;
	weir_ctx *gate;
};

static void
table_set_up(struct table *t)
{
	weir_pool_options o;
	static const uint32_t priorities[] = {2, 1, 3, 1};

	memset(t, 0, sizeof(*t));
	o = task_options(&t->seen, 2, 8);
	o.results = 16;
	o.retry = (weir_retry){.attempts_max = 2,
			       .delay_ns = 50 * WEIR_MS,
			       .delay_ns_max = 50 * WEIR_MS};
	t->gate = gate_make();
	t->pool = pool_make(&o);
	submit(t->pool, (struct task){GATE, 1, 0, t->gate}, NULL);
	WAIT_FOR(atomic_load(&t->seen.running) == 1);
	submit(t->pool, (struct task){FLAKY, 2, 0, NULL}, NULL);
	WAIT_FOR(stats_of(t->pool).backoff == 1);
	submit(t->pool, (struct task){WATCH, 3, 0, NULL}, NULL);
	WAIT_FOR(atomic_load(&t->seen.running) == 2);
	for (int i = 0; i < 4; i++) {
		weir_job_options job = WEIR_JOB_OPTIONS_INIT;
		struct task task = {.number = 4 + i};

		job.priority = priorities[i];
		OK(weir_pool_submit_with(t->pool, &task, &job, NULL, NULL));
	}
}

/* Take all results; which job ended how, and after how many attempts. */
static int
table_results(struct table *t, int *status, uint32_t *attempts)
{
	weir_result result;
	int count = 0;

	while (weir_pool_next(t->pool, &result, NULL, NULL) == WEIR_OK) {
		REQUIRE(result.id >= 1 && result.id <= 7);
		CHECK_EQ_INT(status[result.id], -1);
		status[result.id] = (int)result.status;
		attempts[result.id] = result.attempts;
		count++;
	}
	check_books_closed(t->pool);
	weir_pool_free(t->pool);
	weir_ctx_unref(t->gate);
	return count;
}

#define NO_STATUS                              \
	{                                      \
		-1, -1, -1, -1, -1, -1, -1, -1 \
	}

struct stopper {
	weir_pool *pool;
	enum way way;
	struct back *back;
	weir_status status;
};

static void *
stopper_main(void *arg)
{
	struct stopper *s = arg;

	s->status = stop(s->pool, s->way, s->back, NULL);
	return NULL;
}

TEST(shutdown, now_cancels_what_runs_and_hands_the_rest_back_in_order)
{
	int status[8] = NO_STATUS;
	struct back back = {0};
	uint32_t attempts[8];
	struct stopper s;
	struct table t;
	pthread_t thread;

	table_set_up(&t);
	s = (struct stopper){t.pool, NOW, &back, WEIR_BUSY};
	thread = thread_run(stopper_main, &s);
	WAIT_FOR(stats_of(t.pool).results == 2);
	gate_open(t.gate);
	thread_join(thread);
	CHECK_EQ_INT(s.status, WEIR_OK);
	CHECK_EQ_INT(back.len, 4);
	CHECK(back.ids[0] == 5 && back.ids[1] == 7);
	CHECK(back.ids[2] == 4 && back.ids[3] == 6);
	CHECK_EQ_INT(stats_of(t.pool).handed_back, 4);
	CHECK_EQ_INT(table_results(&t, status, attempts), 3);
	CHECK_EQ_INT(status[1], WEIR_OK);
	CHECK_EQ_INT(status[2], WEIR_CANCELED);
	CHECK_EQ_INT(attempts[2], 1);
	CHECK_EQ_INT(status[3], WEIR_CANCELED);
}

TEST(shutdown, soon_lets_what_runs_end_and_starts_nothing)
{
	int status[8] = NO_STATUS;
	uint32_t attempts[8];
	struct stopper s;
	struct table t;
	pthread_t thread;

	table_set_up(&t);
	s = (struct stopper){t.pool, SOON, NULL, WEIR_BUSY};
	thread = thread_run(stopper_main, &s);
	/* Five come out at once; two run on. */
	WAIT_FOR(stats_of(t.pool).results == 5);
	CHECK_EQ_INT(atomic_load(&t.seen.running), 2);
	gate_open(t.gate);
	WAIT_FOR(stats_of(t.pool).results == 6);
	CHECK_EQ_INT(atomic_load(&t.seen.running), 1);
	/* The strongest wins. */
	OK(weir_pool_shutdown_now(t.pool, NULL, NULL, NULL));
	thread_join(thread);
	CHECK_EQ_INT(s.status, WEIR_OK);
	CHECK_EQ_INT(table_results(&t, status, attempts), 7);
	CHECK_EQ_INT(status[1], WEIR_OK);
	CHECK_EQ_INT(status[2], WEIR_CANCELED);
	CHECK_EQ_INT(attempts[2], 1);
	CHECK_EQ_INT(status[3], WEIR_CANCELED);
	for (int i = 4; i <= 7; i++) {
		CHECK_EQ_INT(status[i], WEIR_CANCELED);
		CHECK_EQ_INT(attempts[i], 0);
	}
	CHECK_EQ_INT(atomic_load(&t.seen.runs), 3);
}

TEST(shutdown, drain_finishes_what_was_accepted_retries_included)
{
	int status[8] = NO_STATUS;
	weir_ctx *ctx = ctx_make(NULL, 0);
	uint32_t attempts[8];
	struct table t;

	table_set_up(&t);
	/* Job 3 would run for ever; give up waiting, and ask again. */
	CHECK_EQ_INT(weir_pool_shutdown(t.pool, ctx), WEIR_TIMEDOUT);
	CHECK_EQ_INT(weir_pool_shutdown(t.pool, ctx), WEIR_TIMEDOUT);
	gate_open(t.gate);
	WAIT_FOR(stats_of(t.pool).results == 6);
	CHECK_EQ_INT(stats_of(t.pool).busy, 1);
	OK(weir_pool_shutdown_now(t.pool, NULL, NULL, NULL));
	OK(weir_pool_shutdown(t.pool, ctx));
	CHECK_EQ_INT(table_results(&t, status, attempts), 7);
	for (int i = 1; i <= 7; i++)
		CHECK_EQ_INT(status[i], i == 3 ? WEIR_CANCELED : WEIR_OK);
	CHECK_EQ_INT(attempts[2], 2);
	weir_ctx_unref(ctx);
}

TEST(shutdown, does_nothing_the_second_time)
{
	struct seen seen = {0};
	weir_pool_options o = task_options(&seen, 2, 8);
	weir_pool *pool = pool_make(&o);
	struct back back = {0};

	for (int i = 0; i < 3; i++) {
		OK(stop(pool, (enum way)i, &back, NULL));
		OK(stop(pool, (enum way)i, &back, NULL));
		OK(weir_pool_shutdown(pool, NULL));
	}
	CHECK_EQ_INT(back.len, 0);
	weir_pool_free(pool);
}

TEST(shutdown, is_safe_from_many_threads_at_once)
{
	for (int round = 0; round < SCALE(60); round++) {
		struct seen seen = {0};
		weir_pool_options o = task_options(&seen, 2, 64);
		struct back back[6] = {{0}};
		struct stopper s[6];
		pthread_t threads[6];
		weir_result result;
		int handed = 0, delivered = 0;
		weir_pool *pool;

		o.results = 64;
		pool = pool_make(&o);
		for (int i = 0; i < 40; i++)
			submit(pool,
			       (struct task){i < 2 ? WATCH : ECHO, i, 0, NULL},
			       NULL);
		for (int i = 0; i < 6; i++) {
			s[i] = (struct stopper){pool, (enum way)(i % 3),
						&back[i], WEIR_BUSY};
			threads[i] = thread_run(stopper_main, &s[i]);
		}
		for (int i = 0; i < 6; i++) {
			thread_join(threads[i]);
			CHECK_EQ_INT(s[i].status, WEIR_OK);
			handed += back[i].len;
		}
		while (weir_pool_next(pool, &result, NULL, NULL) == WEIR_OK)
			delivered++;
		CHECK_EQ_INT(handed + delivered, 40);
		CHECK_EQ_INT(stats_of(pool).handed_back, handed);
		check_books_closed(pool);
		weir_pool_free(pool);
	}
}

struct dropped {
	struct seen seen; /* first: the jobs' */
	int times[64];
	int unstarted;
};

static void
count_drop(const weir_result *result, const void *in, void *out, void *user)
{
	struct dropped *d = user;

	(void)out;
	CHECK_EQ_INT(((const struct task *)in)->number, result->id);
	d->times[result->id]++;
	d->unstarted += result->attempts == 0;
	if (result->attempts == 0)
		CHECK_EQ_INT(result->status, WEIR_CANCELED);
}

TEST(shutdown, free_drops_what_nobody_took_exactly_once)
{
	struct dropped d = {0};
	weir_pool_options o = task_options(&d.seen, 2, 32);
	weir_pool *pool;

	o.drop = count_drop;
	o.results = 4;
	pool = pool_make(&o);
	for (int i = 1; i <= 30; i++)
		submit(pool, (struct task){.number = i}, NULL);
	WAIT_FOR(stats_of(pool).results == 4);
	CHECK_EQ_INT(next_result(pool, NULL).status, WEIR_OK);
	weir_pool_free(pool);
	for (int i = 1; i <= 30; i++)
		CHECK(d.times[i] == 1 || (d.times[i] == 0 && i <= 2));
	CHECK(d.unstarted >= 25);
}

static weir_status
free_run(weir_ctx *ctx, const void *in, void *out, void *user)
{
	(void)in;
	(void)out;
	(void)user;
	return weir_ctx_sleep(ctx, WEIR_FOREVER);
}

TEST(shutdown, free_of_a_busy_pool_cancels_its_jobs)
{
	weir_pool_options o = WEIR_POOL_OPTIONS_INIT;

	o.workers = 3;
	o.queue = 10;
	o.run = free_run;
	for (int round = 0; round < 50; round++) {
		weir_pool *pool = pool_make(&o);

		for (int i = 0; i < 3 + round % 8; i++)
			OK(weir_pool_submit(pool, NULL, NULL, NULL));
		weir_pool_free(pool);
	}
	CHECK(!weir_pool_free(NULL));
}

TEST(shutdown, of_a_pool_that_never_ran_is_ok)
{
	weir_pool_options o = WEIR_POOL_OPTIONS_INIT;
	weir_pool *pool;

	o.workers = 3;
	o.queue = 3;
	o.run = free_run;
	pool = pool_make(&o);
	OK(weir_pool_shutdown_now(pool, NULL, NULL, NULL));
	weir_pool_free(pool);
}

/*
 * At a random moment: a busy pool in each form is stopped in each way, and
 * each job is accounted for, once.
 */
enum { STORM_MAX = 4000 };

struct storm {
	weir_pool *pool;
	struct weir_rng rng;
	bool async, pull;
	atomic_int accepted; /* ids are 1 .. accepted */
	atomic_int delivered, handed;
	atomic_uchar fate[STORM_MAX + 1];
	pthread_mutex_t mu; /* asynchronous jobs under way */
	weir_job *flying[64];
	int flying_len;
	atomic_bool over;
	int source_len;
};

static void
storm_account(struct storm *s, uint64_t id, atomic_int *counter)
{
	REQUIRE(id >= 1 && id <= STORM_MAX);
	CHECK_EQ_INT(atomic_fetch_add(&s->fate[id], 1), 0);
	atomic_fetch_add(counter, 1);
}

static weir_status
storm_verdict(weir_ctx *ctx, uint64_t id)
{
	return id % 5 == 0 && weir_job_attempt(ctx) == 1
		       ? weir_job_fail(ctx, WEIR_FAILED, "again")
		       : WEIR_OK;
}

static weir_status
storm_run(weir_ctx *ctx, const void *in, void *out, void *user)
{
	uint64_t id = weir_job_id(ctx);

	(void)in;
	(void)out;
	(void)user;
	if (id % 7 == 0)
		(void)weir_ctx_sleep(ctx, (int64_t)(id % 11) * 20 * WEIR_US);
	return storm_verdict(ctx, id);
}

static weir_status
storm_start(weir_ctx *ctx, weir_job *job, const void *in, void *out, void *user)
{
	struct storm *s = user;
	uint64_t id = weir_job_id(ctx);

	(void)in;
	(void)out;
	if (id % 3 == 0) {
		weir_job_done(job, storm_verdict(ctx, id));
		return WEIR_OK;
	}
	if (id % 13 == 0)
		return WEIR_PERMANENT;
	pthread_mutex_lock(&s->mu);
	REQUIRE(s->flying_len < 64);
	s->flying[s->flying_len++] = job;
	pthread_mutex_unlock(&s->mu);
	return WEIR_OK;
}

/* Ends asynchronous jobs until there can be none any more. */
static void *
storm_end_main(void *arg)
{
	struct storm *s = arg;

	while (!atomic_load(&s->over)) {
		weir_job *job = NULL;

		pthread_mutex_lock(&s->mu);
		if (s->flying_len > 0)
			job = s->flying[--s->flying_len];
		pthread_mutex_unlock(&s->mu);
		if (job)
			weir_job_done(job, WEIR_OK);
		else
			(void)weir_ctx_sleep(NULL, 10 * WEIR_US);
	}
	return NULL;
}

static weir_status
storm_source(weir_ctx *ctx, void *ret_in, weir_job_options *options, void *user)
{
	struct storm *s = user;

	(void)ctx;
	(void)ret_in;
	if (s->source_len == STORM_MAX)
		return WEIR_CLOSED;
	s->source_len++;
	if (s->source_len % 4 == 0)
		options->key = 1 + (uint64_t)s->source_len % 3;
	atomic_fetch_add(&s->accepted, 1);
	return WEIR_OK;
}

static void
storm_sink(const weir_result *result, const void *in, void *out, void *user)
{
	struct storm *s = user;

	(void)in;
	(void)out;
	storm_account(s, result->id, &s->delivered);
}

static void
storm_unstarted(uint64_t id, const void *in, void *user)
{
	struct storm *s = user;

	(void)in;
	storm_account(s, id, &s->handed);
}

static void *
storm_submit_main(void *arg)
{
	struct storm *s = arg;
	weir_status status = WEIR_OK;

	for (int i = 1; i <= STORM_MAX / 2 && status == WEIR_OK; i++) {
		weir_job_options job = WEIR_JOB_OPTIONS_INIT;

		job.priority = (uint32_t)i % 5;
		job.key = i % 4 ? 0 : 1 + (uint64_t)i % 3;
		status = weir_pool_submit_with(s->pool, NULL, &job, NULL, NULL);
		if (status == WEIR_OK)
			atomic_fetch_add(&s->accepted, 1);
	}
	CHECK(status == WEIR_OK || status == WEIR_CLOSED);
	return NULL;
}

static void *
storm_collect_main(void *arg)
{
	struct storm *s = arg;
	weir_result result;

	while (weir_pool_next(s->pool, &result, NULL, NULL) == WEIR_OK)
		storm_account(s, result.id, &s->delivered);
	return NULL;
}

static void *
storm_run_main(void *arg)
{
	struct storm *s = arg;

	CHECK_EQ_INT(weir_pool_run(s->pool, NULL), WEIR_OK);
	return NULL;
}

static void *
storm_stop_main(void *arg)
{
	struct storm *s = arg;
	uint64_t way = weir__rng_below(&s->rng, 5);

	(void)weir_ctx_sleep(NULL,
			     (int64_t)weir__rng_below(&s->rng, 3 * WEIR_MS));
	if (way == 0)
		OK(weir_pool_shutdown(s->pool, NULL));
	else if (way == 1)
		OK(weir_pool_shutdown_soon(s->pool, storm_unstarted, s, NULL));
	else if (way == 2)
		OK(weir_pool_shutdown_soon(s->pool, NULL, NULL, NULL));
	else if (way == 3)
		OK(weir_pool_shutdown_now(s->pool, storm_unstarted, s, NULL));
	else
		OK(weir_pool_shutdown_now(s->pool, NULL, NULL, NULL));
	return NULL;
}

static weir_pool_options
storm_options(struct storm *s)
{
	weir_pool_options o = WEIR_POOL_OPTIONS_INIT;

	o.workers = 1 + (uint32_t)weir__rng_below(&s->rng, 8);
	o.queue = 1 + (uint32_t)weir__rng_below(&s->rng, 40);
	o.results = (uint32_t)weir__rng_below(&s->rng, 20);
	o.threads = 1 + (uint32_t)weir__rng_below(&s->rng, 3);
	o.key_slots = (uint32_t)weir__rng_below(&s->rng, 3);
	o.retry = (weir_retry){
		.attempts_max = 2,
		.jitter = 1,
		.delay_ns = (int64_t)weir__rng_below(&s->rng, 2 * WEIR_MS)};
	o.user = s;
	if (s->async)
		o.start = storm_start;
	else
		o.run = storm_run;
	if (s->pull) {
		o.source = storm_source;
		o.sink = storm_sink;
	} else if (weir__rng_below(&s->rng, 2)) {
		o.done = storm_sink;
	}
	return o;
}

static void
storm(uint64_t seed, bool async, bool pull)
{
	struct storm *s = calloc(1, sizeof(*s));
	pthread_t threads[4];
	weir_pool_options o;
	int len = 0;
	pthread_t ending;

	REQUIRE(s);
	weir__rng_seed(&s->rng, seed);
	s->async = async;
	s->pull = pull;
	pthread_mutex_init(&s->mu, NULL);
	o = storm_options(s);
	s->pool = pool_make(&o);
	ending = thread_run(storm_end_main, s);
	if (pull)
		threads[len++] = thread_run(storm_run_main, s);
	if (!pull)
		threads[len++] = thread_run(storm_submit_main, s);
	if (!pull)
		threads[len++] = thread_run(storm_submit_main, s);
	if (!pull && !o.done)
		threads[len++] = thread_run(storm_collect_main, s);
	storm_stop_main(s);
	for (int i = 0; i < len; i++)
		thread_join(threads[i]);
	check_books_closed(s->pool);
	CHECK_EQ_INT(stats_of(s->pool).accepted, atomic_load(&s->accepted));
	CHECK_EQ_INT(atomic_load(&s->delivered) + atomic_load(&s->handed),
		     atomic_load(&s->accepted));
	for (int i = 1; i <= STORM_MAX; i++)
		REQUIRE(atomic_load(&s->fate[i]) ==
			(i <= atomic_load(&s->accepted)));
	weir_pool_free(s->pool);
	atomic_store(&s->over, true);
	thread_join(ending);
	free(s);
}

static void
storms(bool async, bool pull)
{
	for (uint64_t i = 0; i < (uint64_t)SCALE(120); i++)
		storm(test_seed() + i, async, pull);
}

TEST_LIMIT(shutdown, accounts_for_each_job_once_in_push_form, 60)
{
	storms(false, false);
}

TEST_LIMIT(shutdown, accounts_for_each_job_once_in_pull_form, 60)
{
	storms(false, true);
}

TEST_LIMIT(shutdown, accounts_for_each_asynchronous_job_once, 60)
{
	storms(true, false);
}

TEST_LIMIT(shutdown, accounts_for_each_asynchronous_job_once_in_pull_form, 60)
{
	storms(true, true);
}
