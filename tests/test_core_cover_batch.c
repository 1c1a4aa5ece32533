/*
 * What happens to a batch while it is taken from its worker, and what callers
 * that help do then: branches that the other tests take by luck.  These look
 * inside, for what is a race from outside is a state there.
 */
#include "core/pool.h"
#include "core_util.h"

#include <pthread.h>

static void
warm_up(weir_pool *pool)
{
	struct task task = {.what = ECHO, .number = -1};
	weir_result results[64];
	size_t count;

	for (int i = 0; i < 2000; i++) {
		for (int j = 0; j < 32; j++)
			OK(weir_pool_submit(pool, &task, NULL, NULL));
		for (size_t left = 32; left > 0; left -= count)
			OK(weir_pool_next_many(pool, results, NULL, left,
					       &count, NULL));
	}
}

/*
 * What only a quiet machine would do: short jobs, large batches.  It writes to
 * what is a worker's own, and may be about to be read.
 */
static void
make_short(weir_pool *pool)
{
	if (UNDER_TSAN)
		SKIP("looks inside, and races for it");
	warm_up(pool);
	WAIT_FOR(weir__u32_load(&pool->sleepers, WEIR_SEQ_CST) > 0);
	weir__mutex_lock(&pool->mu);
	weir__u32_store(&pool->is_short, 1, WEIR_RELAXED);
	for (uint32_t i = 0; i < pool->worker_count; i++)
		pool->workers[i]->batch_want = WEIR_BATCH_MAX;
	weir__mutex_unlock(&pool->mu);
}

/* Take over what is stuck, as who is out of patience does: seen twice. */
static size_t
rescue(weir_pool *pool)
{
	struct weir_record *records[WEIR_BATCH_MAX];
	size_t count = 0;
	bool more = false;

	for (int i = 0; i < 2 && count == 0; i++) {
		weir__mutex_lock(&pool->mu);
		count = weir__push_rescue_locked(pool, records, &more);
		weir__mutex_unlock(&pool->mu);
	}
	weir__push_give_rescued(pool, records, count);
	return count;
}

struct stuck {
	struct seen seen;
	weir_ctx *gate;
	weir_pool *pool;
};

/* Does one worker have all of them in hand, and is in the last it began? */
static bool
is_stuck_with(weir_pool *pool, size_t count)
{
	bool all = false;

	weir__mutex_lock(&pool->mu);
	for (uint32_t i = 0; i < pool->worker_count; i++)
		all |= pool->workers[i]->batch_len == count &&
		       !pool->workers[i]->written_off;
	weir__mutex_unlock(&pool->mu);
	return all;
}

/*
 * One worker, in a batch of these tasks, waits at the gate.  If it looked by
 * itself and began before all were there: once more.
 */
static void
stuck_make(struct stuck *s, struct task *tasks, size_t count)
{
	weir_pool_options o = task_options(&s->seen, 1, 64);
	size_t in;

	o.retry.attempts_max = 2;
	o.retry.delay_ns = WEIR_US;
	s->pool = pool_make(&o);
	for (;;) {
		make_short(s->pool);
		s->gate = gate_make();
		for (size_t i = 0; i < count; i++)
			tasks[i].gate = s->gate;
		OK(weir_pool_submit_many(s->pool, tasks, count, &in, NULL));
		CHECK_EQ_INT(in, count);
		WAIT_FOR(atomic_load(&s->seen.running) == 1);
		if (is_stuck_with(s->pool, count))
			break;
		gate_open(s->gate);
		for (size_t i = 0; i < count; i++)
			next_result(s->pool, &(int){0});
		weir_ctx_unref(s->gate);
	}
}

static void
stuck_end(struct stuck *s, int results)
{
	for (int i = 0; i < results; i++)
		next_result(s->pool, &(int){0});
	OK(weir_pool_shutdown(s->pool, NULL));
	check_books_closed(s->pool);
	weir_pool_free(s->pool);
	weir_ctx_unref(s->gate);
}

TEST(cover, the_last_job_of_a_batch_is_all_that_its_worker_keeps)
{
	struct task tasks[] = {{.what = ECHO}, {.what = ECHO}, {.what = GATE}};
	struct stuck s = {0};

	stuck_make(&s, tasks, 3);
	CHECK_EQ_INT(rescue(s.pool), 2);
	CHECK_EQ_INT(stats_of(s.pool).results, 2);
	gate_open(s.gate);
	stuck_end(&s, 3);
}

TEST(cover, a_job_of_a_stuck_batch_that_is_tried_again_is_not_in_it)
{
	struct task tasks[] = {{.what = FLAKY, .number = 2},
			       {.what = ECHO},
			       {.what = GATE},
			       {.what = ECHO}};
	struct stuck s = {0};

	stuck_make(&s, tasks, 4);
	/* The others of the loop are not looked at when one gave something. */
	OK(weir_pool_resize(s.pool, 2));
	CHECK_EQ_INT(rescue(s.pool), 1);
	gate_open(s.gate);
	stuck_end(&s, 4);
}

TEST(cover, a_stuck_worker_leaves_the_rest_to_the_shutdown)
{
	struct task tasks[] = {
		{.what = ECHO}, {.what = GATE}, {.what = ECHO}, {.what = ECHO}};
	weir_ctx *expired = ctx_make(NULL, 0);
	struct stuck s = {0};

	stuck_make(&s, tasks, 4);
	CHECK_EQ_INT(rescue(s.pool), 1);
	CHECK_EQ_INT(weir_pool_shutdown_soon(s.pool, NULL, NULL, expired),
		     WEIR_TIMEDOUT);
	gate_open(s.gate);
	stuck_end(&s, 4);
	weir_ctx_unref(expired);
}

TEST(cover, the_rest_of_a_batch_is_cancelled_by_a_shutdown)
{
	struct task tasks[] = {
		{.what = ECHO}, {.what = GATE}, {.what = ECHO}, {.what = ECHO}};
	weir_ctx *expired = ctx_make(NULL, 0);
	struct stuck s = {0};
	int canceled = 0;

	stuck_make(&s, tasks, 4);
	CHECK_EQ_INT(weir_pool_shutdown_soon(s.pool, NULL, NULL, expired),
		     WEIR_TIMEDOUT);
	gate_open(s.gate);
	for (int i = 0; i < 4; i++)
		canceled +=
			next_result(s.pool, &(int){0}).status == WEIR_CANCELED;
	CHECK_EQ_INT(canceled, 2);
	stuck_end(&s, 0);
	weir_ctx_unref(expired);
}

/* A worker that took less than both stays in its job, and others are asked. */
TEST(cover, a_worker_that_was_written_off_leaves_a_pool_that_gets_narrower)
{
	enum { WORKERS = 2 };
	struct seen seen = {0};
	weir_pool_options o = task_options(&seen, WORKERS, 64);
	weir_ctx *gate = gate_make();
	struct task tasks[] = {{.what = ECHO}, {.what = GATE, .gate = gate}};
	weir_pool *pool = pool_make(&o);
	size_t count;

	for (int i = 1; i <= WORKERS; i++) {
		make_short(pool);
		OK(weir_pool_submit_many(pool, tasks, 2, &count, NULL));
		WAIT_FOR(atomic_load(&seen.running) == i);
		(void)rescue(pool);
	}
	/* However they were taken: as if they had been in one batch each. */
	weir__mutex_lock(&pool->mu);
	for (uint32_t i = 0; i < WORKERS; i++)
		if (!pool->workers[i]->written_off) {
			pool->workers[i]->written_off = true;
			weir__u32_sub(&pool->watchful, 1, WEIR_SEQ_CST);
		}
	weir__mutex_unlock(&pool->mu);
	OK(weir_pool_resize(pool, 1));
	gate_open(gate);
	for (int i = 0; i < 2 * WORKERS; i++)
		next_result(pool, &(int){0});
	OK(weir_pool_shutdown(pool, NULL));
	check_books_closed(pool);
	weir_pool_free(pool);
	weir_ctx_unref(gate);
}

TEST(cover, a_batch_that_nobody_has_begun_is_left_alone)
{
	struct task tasks[] = {{.what = ECHO}, {.what = GATE}};
	struct weir_record *records[WEIR_BATCH_MAX];
	struct stuck s = {0};
	struct weir_worker *w;
	uint32_t claim;
	bool more = false;

	stuck_make(&s, tasks, 2);
	w = s.pool->workers[0];
	/* As it is between taking a batch and the first job of it. */
	weir__mutex_lock(&s.pool->mu);
	claim = weir__u32_load(&w->claim, WEIR_RELAXED);
	w->claim_seen = claim & ~0xffu;
	weir__u32_store(&w->claim, claim & ~0xffu, WEIR_RELAXED);
	CHECK_EQ_INT(weir__push_rescue_locked(s.pool, records, &more), 0);
	weir__u32_store(&w->claim, claim, WEIR_RELAXED);
	weir__mutex_unlock(&s.pool->mu);
	weir__push_give_rescued(s.pool, records, 0);
	gate_open(s.gate);
	stuck_end(&s, 2);
}

TEST(cover, nobody_helps_a_pool_that_stops_soon_or_has_nobody_to_lend)
{
	struct task tasks[] = {{.what = ECHO}, {.what = GATE}};
	struct stuck s = {0};
	size_t count;

	stuck_make(&s, tasks, 2);
	s.pool->options.caller_helps = true;
	tasks[1].what = ECHO;
	OK(weir_pool_submit_many(s.pool, tasks, 2, &count, NULL));
	/* As it is while another thread is in a shutdown. */
	weir__u32_store(&s.pool->level, WEIR_LEVEL_SOON, WEIR_SEQ_CST);
	CHECK(!weir__push_help(s.pool));
	weir__u32_store(&s.pool->level, WEIR_LEVEL_OPEN, WEIR_SEQ_CST);
	/* Nor one whose workers all have something to do. */
	CHECK(!weir__push_help(s.pool));
	s.pool->options.caller_helps = false;
	gate_open(s.gate);
	stuck_end(&s, 4);
}

/* A caller that helps, with these tasks, while the worker sleeps. */
struct helper {
	struct seen seen;
	weir_ctx *gate;
	weir_pool *pool;
	pthread_t thread;
	atomic_bool back;
	bool helped;
};

static void *
help_main(void *arg)
{
	struct helper *h = arg;

	h->helped = weir__push_help(h->pool);
	atomic_store(&h->back, true);
	return NULL;
}

static bool
is_lent_with(weir_pool *pool, size_t count)
{
	bool lent;

	weir__mutex_lock(&pool->mu);
	lent = pool->workers[0]->lent && pool->workers[0]->batch_len == count;
	weir__mutex_unlock(&pool->mu);
	return lent;
}

/* Nobody wakes the worker who thinks that another is awake. */
static void
submit_unheard(weir_pool *pool, const struct task *tasks, size_t count)
{
	size_t in;

	weir__u32_add(&pool->watchful, 1, WEIR_SEQ_CST);
	OK(weir_pool_submit_many(pool, tasks, count, &in, NULL));
	weir__u32_sub(&pool->watchful, 1, WEIR_SEQ_CST);
	CHECK_EQ_INT(in, count);
}

/* The worker looks by itself now and then, and may come first: once more. */
static void
helper_make(struct helper *h, struct task *tasks, size_t count)
{
	weir_pool_options o = task_options(&h->seen, 1, 64);

	o.caller_helps = true;
	h->pool = pool_make(&o);
	for (;;) {
		make_short(h->pool);
		h->gate = gate_make();
		for (size_t i = 0; i < count; i++)
			tasks[i].gate = h->gate;
		submit_unheard(h->pool, tasks, count);
		atomic_store(&h->back, false);
		h->thread = thread_run(help_main, h);
		WAIT_FOR(atomic_load(&h->back) ||
			 atomic_load(&h->seen.running) == 1);
		if (is_lent_with(h->pool, count))
			break;
		gate_open(h->gate);
		thread_join(h->thread);
		for (size_t i = 0; i < count; i++)
			next_result(h->pool, &(int){0});
		weir_ctx_unref(h->gate);
	}
}

static void
helper_end(struct helper *h)
{
	OK(weir_pool_shutdown(h->pool, NULL));
	check_books_closed(h->pool);
	weir_pool_free(h->pool);
	weir_ctx_unref(h->gate);
}

/* The rest of a batch that a caller has begun. */
TEST(cover, what_a_helper_puts_back_in_a_shutdown_is_cancelled)
{
	struct task tasks[] = {
		{.what = ECHO}, {.what = GATE}, {.what = ECHO}, {.what = ECHO}};
	weir_ctx *expired = ctx_make(NULL, 0);
	struct helper h = {0};
	int canceled = 0;

	helper_make(&h, tasks, 4);
	CHECK_EQ_INT(weir_pool_shutdown_soon(h.pool, NULL, NULL, expired),
		     WEIR_TIMEDOUT);
	gate_open(h.gate);
	thread_join(h.thread);
	CHECK(h.helped);
	for (int i = 0; i < 4; i++)
		canceled +=
			next_result(h.pool, &(int){0}).status == WEIR_CANCELED;
	CHECK_EQ_INT(canceled, 2);
	helper_end(&h);
	weir_ctx_unref(expired);
}

TEST(cover, a_worker_that_is_lent_is_not_written_off)
{
	struct task tasks[] = {{.what = ECHO}, {.what = GATE}};
	struct helper h = {0};

	helper_make(&h, tasks, 2);
	CHECK_EQ_INT(rescue(h.pool), 1);
	CHECK(!h.pool->workers[0]->written_off);
	gate_open(h.gate);
	thread_join(h.thread);
	next_result(h.pool, &(int){0});
	next_result(h.pool, &(int){0});
	helper_end(&h);
}

TEST(cover, a_worker_that_sleeps_on_is_woken_although_callers_help)
{
	struct seen seen = {0};
	weir_pool_options o = task_options(&seen, 1, 64);
	weir_pool *pool;
	int out;

	o.caller_helps = true;
	pool = pool_make(&o);
	make_short(pool);
	weir__u32_store(&pool->armed, 0, WEIR_SEQ_CST);
	submit(pool, (struct task){.what = ECHO, .number = 5}, NULL);
	WAIT_FOR(stats_of(pool).results == 1);
	next_result(pool, &out);
	CHECK_EQ_INT(out, 5);
	weir_pool_free(pool);
}

TEST(cover, room_for_a_result_wakes_a_worker_when_no_submitter_waits)
{
	struct seen seen = {0};
	weir_pool_options o = task_options(&seen, 1, 4);
	weir_pool *pool;

	o.results = 1;
	o.caller_helps = true;
	pool = pool_make(&o);
	for (int i = 0; i < 3; i++)
		submit(pool, (struct task){.what = ECHO}, NULL);
	for (int i = 0; i < 3; i++) {
		WAIT_FOR(stats_of(pool).results == 1);
		if (i < 2)
			WAIT_FOR(weir__u32_load(&pool->wants_room,
						WEIR_SEQ_CST));
		next_result(pool, &(int){0});
	}
	weir_pool_free(pool);
}

TEST(cover, a_helper_has_nothing_to_give_when_its_job_is_tried_again)
{
	struct task task = {.what = FLAKY, .number = 2};
	struct seen seen = {0};
	weir_pool_options o = task_options(&seen, 1, 64);
	weir_pool *pool;
	bool helped;

	o.caller_helps = true;
	o.retry.attempts_max = 2;
	o.retry.delay_ns = WEIR_US;
	pool = pool_make(&o);
	do {
		make_short(pool);
		submit_unheard(pool, &task, 1);
		helped = weir__push_help(pool);
		CHECK_EQ_INT(next_result(pool, &(int){0}).attempts, 2);
	} while (!helped);
	weir_pool_free(pool);
}
