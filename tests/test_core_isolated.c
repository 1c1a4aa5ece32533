/*
 * The pool's side of isolated jobs, over a room of processes that is not one:
 * jobs run on the worker's own thread, in a seat as they would have it there.
 * So what is a race or a death elsewhere is a state here.
 */
#include "core/pool.h"
#include "core_util.h"

#include <pthread.h>
#include <stdio.h>

enum act {
	ACT_RUN,      /* all */
	ACT_LONG,     /* all but the last of them, which is waited for */
	ACT_ONE_LONG, /* the first is long, the others do not begin */
	ACT_SHY,      /* none begins, the first time */
	ACT_TURN,     /* the first two in the other order */
	ACT_DIE,      /* the first kills its process */
	ACT_CANCEL,   /* all; and the pool is cancelled meanwhile */
};

/* The stand-ins, and what they have seen. */
struct fake {
	struct weir_zygote zygote; /* first */
	weir_pool_options options;
	enum act act;
	weir_status open_status, cell_status;
	weir_pool *pool;
	weir_ctx *gate; /* finish waits for it, unless NULL */
	int shy, opened, closed, cells, finished;
	size_t largest;
	weir_status finish_ctx;
};

/* A cell, whose seat it is. */
struct weir_cell {
	struct fake *fake;
	struct weir_seat *seat;
};

static weir_status
fake_open(struct weir_zygote *zygote, const weir_pool_options *options,
	  struct weir_isolator **out)
{
	struct fake *fake = (struct fake *)zygote;

	if (fake->open_status != WEIR_OK)
		return fake->open_status;
	fake->options = *options;
	fake->opened++;
	*out = (struct weir_isolator *)fake;
	return WEIR_OK;
}

static void
fake_close(struct weir_isolator *isolator)
{
	((struct fake *)isolator)->closed++;
}

static weir_status
fake_cell_new(struct weir_isolator *isolator, uint32_t worker,
	      struct weir_cell **out)
{
	struct fake *fake = (struct fake *)isolator;
	struct weir_cell *cell = malloc(sizeof(*cell));

	REQUIRE(cell);
	if (fake->cell_status != WEIR_OK) {
		free(cell);
		return fake->cell_status;
	}
	cell->fake = fake;
	cell->seat = weir__seat_new(&fake->options, worker, fake);
	REQUIRE(cell->seat);
	fake->cells++;
	*out = cell;
	return WEIR_OK;
}

static void
fake_cell_free(struct weir_cell *cell)
{
	cell->fake->cells--;
	weir__seat_free(cell->seat);
	free(cell);
}

static void
run_one(struct weir_cell *cell, struct weir_call *call)
{
	weir__seat_run(cell->seat, call, call->in, call->out);
}

static void
swap(struct weir_call *calls)
{
	struct weir_call first = calls[0];

	calls[0] = calls[1];
	calls[1] = first;
}

static size_t
fake_run(struct weir_cell *cell, struct weir_call *calls, size_t count,
	 weir_ctx *ctx)
{
	struct fake *fake = cell->fake;
	enum act act = fake->act;
	size_t ran = count;

	CHECK(ctx);
	if (count > fake->largest)
		fake->largest = count;
	if (act == ACT_SHY && fake->shy++ == 0)
		return 0;
	if (act == ACT_TURN && count > 1)
		swap(calls);
	if (act == ACT_DIE) {
		calls[0].ended = calls[0].died = true;
		calls[0].status = WEIR_CRASHED;
		(void)snprintf(calls[0].error, sizeof(calls[0].error), "dead");
		return 1;
	}
	if (act == ACT_ONE_LONG)
		ran = 1;
	for (size_t i = 0; i < ran; i++)
		if (i + 1 < ran ||
		    (act != ACT_LONG && (act != ACT_ONE_LONG || count == 1)))
			run_one(cell, &calls[i]);
	if (act == ACT_CANCEL)
		weir_pool_close(fake->pool);
	return ran;
}

static void
fake_finish(struct weir_cell *cell, struct weir_call *call, weir_ctx *ctx)
{
	struct fake *fake = cell->fake;

	fake->finished++;
	if (fake->gate)
		(void)weir_ctx_sleep(ctx, 10 * WEIR_S);
	fake->finish_ctx = weir_ctx_status(ctx);
	run_one(cell, call);
	if (fake->finish_ctx != WEIR_OK)
		call->status = WEIR_FAILED;
}

static const struct weir_isolator_ops fake_ops = {
	fake_open,      fake_close, fake_cell_new,
	fake_cell_free, fake_run,   fake_finish,
};

static weir_pool_options
fake_options(struct fake *fake, struct seen *seen)
{
	weir_pool_options o = task_options(seen, 1, 64);

	memset(fake, 0, sizeof(*fake));
	fake->zygote.ops = &fake_ops;
	o.isolate = WEIR_ISOLATE_PROCESS;
	o.zygote = &fake->zygote;
	return o;
}

/* So many through map, in batches; each result must be right. */
static void
map_all(weir_pool_options *o, int count)
{
	struct task *tasks = calloc((size_t)count, sizeof(*tasks));
	int *outs = calloc((size_t)count, sizeof(*outs));

	REQUIRE(tasks && outs);
	for (int i = 0; i < count; i++)
		tasks[i].number = i + 1;
	OK(weir_pool_map(o, tasks, outs, NULL, (size_t)count, NULL));
	for (int i = 0; i < count; i++)
		if (!CHECK_EQ_INT(outs[i], i + 1))
			break;
	free(tasks);
	free(outs);
}

TEST(isolated, jobs_go_through_the_cell_in_batches)
{
	struct seen seen = {0};
	struct fake fake;
	weir_pool_options o = fake_options(&fake, &seen);

	map_all(&o, 5000);
	CHECK(fake.largest > 1);
	CHECK_EQ_INT(seen.runs, 5000);
	CHECK_EQ_INT(fake.opened + fake.closed, 2);
	CHECK_EQ_INT(fake.cells, 0);
}

TEST(isolated, jobs_that_are_long_are_waited_for_one_by_one)
{
	static const enum act acts[] = {ACT_LONG, ACT_ONE_LONG, ACT_SHY,
					ACT_TURN};
	struct seen seen;
	struct fake fake;

	for (size_t i = 0; i < sizeof(acts) / sizeof(acts[0]); i++) {
		weir_pool_options o = fake_options(&fake, &seen);

		memset(&seen, 0, sizeof(seen));
		fake.act = acts[i];
		map_all(&o, 500);
		CHECK_EQ_INT(seen.runs, 500);
		CHECK_EQ_INT(fake.finished > 0, i < 2);
	}
}

TEST(isolated, a_token_is_given_back_for_a_job_that_does_not_begin)
{
	weir_limit *limit = NULL;
	struct seen seen = {0};
	struct fake fake;
	weir_pool_options o = fake_options(&fake, &seen);

	OK(weir_limit_new(&limit, 1e6, 1000));
	o.limit = limit;
	fake.act = ACT_ONE_LONG;
	map_all(&o, 300);
	weir_limit_free(limit);
}

TEST(isolated, jobs_in_push_form_come_back)
{
	struct seen seen = {0};
	struct fake fake;
	weir_pool_options o = fake_options(&fake, &seen);
	weir_pool *pool = pool_make(&o);
	int out;

	for (int round = 0; round < 50; round++) {
		for (int i = 0; i < 40; i++)
			submit(pool, (struct task){.number = i}, NULL);
		for (int i = 0; i < 40; i++)
			CHECK_EQ_INT(next_result(pool, &out).status, WEIR_OK);
	}
	weir_pool_close(pool);
	OK(weir_pool_shutdown(pool, NULL));
	check_books_closed(pool);
	CHECK(weir__pool_isolator(pool) == (struct weir_isolator *)&fake);
	weir_pool_free(pool);
}

/* Hold the worker in a first job, so that the rest is one batch. */
static weir_pool *
pool_with_batch(struct fake *fake, weir_pool_options *o, weir_ctx *gate)
{
	weir_pool *pool = pool_make(o);

	fake->pool = pool;
	submit(pool, (struct task){.what = GATE, .gate = gate}, NULL);
	WAIT_FOR(stats_of(pool).busy == 1 && stats_of(pool).queued == 0);
	weir__mutex_lock(&pool->mu);
	/* Jobs have cost nothing so far: the next batch is a large one. */
	pool->workers[0]->call_ns = 0;
	weir__mutex_unlock(&pool->mu);
	return pool;
}

TEST(isolated, a_job_with_a_submitter_goes_alone)
{
	weir_ctx *gate = gate_make(), *mine = gate_make();
	struct seen seen = {0};
	struct fake fake;
	weir_pool_options o = fake_options(&fake, &seen);
	weir_pool *pool;
	int out;

	if (UNDER_TSAN)
		SKIP("looks inside, and races for it");
	pool = pool_with_batch(&fake, &o, gate);
	for (int i = 1; i <= 6; i++)
		submit(pool, (struct task){.number = i},
		       i % 3 == 0 ? mine : NULL);
	gate_open(gate);
	for (int i = 0; i < 7; i++)
		CHECK_EQ_INT(next_result(pool, &out).status, WEIR_OK);
	/* Two and two, and two by themselves. */
	CHECK_EQ_INT(fake.largest, 2);
	weir_pool_free(pool);
	weir_ctx_unref(gate);
	weir_ctx_unref(mine);
}

TEST(isolated, a_job_whose_submitter_has_given_up_is_not_sent)
{
	weir_ctx *gate = gate_make(), *mine = gate_make();
	struct seen seen = {0};
	struct fake fake;
	weir_pool_options o = fake_options(&fake, &seen);
	weir_pool *pool = pool_make(&o);
	weir_result r;
	int out;

	submit(pool, (struct task){.what = GATE, .gate = gate}, NULL);
	submit(pool, (struct task){.number = 1}, mine);
	WAIT_FOR(stats_of(pool).busy == 1);
	weir_ctx_cancel(mine);
	gate_open(gate);
	CHECK_EQ_INT(next_result(pool, &out).status, WEIR_OK);
	r = next_result(pool, &out);
	CHECK_EQ_INT(r.status, WEIR_CANCELED);
	CHECK_EQ_INT(r.attempts, 0);
	CHECK_EQ_INT(seen.runs, 1);
	weir_pool_free(pool);
	weir_ctx_unref(gate);
	weir_ctx_unref(mine);
}

TEST(isolated, a_job_that_is_waited_for_is_told_of_its_submitter)
{
	weir_ctx *mine = gate_make();
	struct seen seen = {0};
	struct fake fake;
	weir_pool_options o = fake_options(&fake, &seen);
	weir_pool *pool;
	int out;

	fake.act = ACT_LONG;
	fake.gate = mine; /* wait for something */
	pool = pool_make(&o);
	submit(pool, (struct task){.number = 1}, mine);
	WAIT_FOR(stats_of(pool).busy == 1);
	weir_ctx_cancel(mine);
	CHECK_EQ_INT(next_result(pool, &out).status, WEIR_CANCELED);
	CHECK_EQ_INT(fake.finish_ctx, WEIR_CANCELED);
	weir_pool_free(pool);
	weir_ctx_unref(mine);
}

TEST(isolated, the_rest_of_a_batch_is_cancelled_with_the_pool)
{
	weir_ctx *gate = gate_make();
	struct seen seen = {0};
	struct fake fake;
	weir_pool_options o = fake_options(&fake, &seen);
	weir_pool *pool;

	if (UNDER_TSAN)
		SKIP("looks inside, and races for it");
	pool = pool_with_batch(&fake, &o, gate);
	fake.act = ACT_DIE;
	for (int i = 0; i < 6; i++)
		submit(pool, (struct task){.number = i}, NULL);
	/* As a shutdown would, and before it clears the queue. */
	weir__mutex_lock(&pool->mu);
	gate_open(gate);
	weir__mutex_unlock(&pool->mu);
	WAIT_FOR(stats_of(pool).results >= 2);
	OK(weir_pool_shutdown_now(pool, NULL, NULL, NULL));
	weir_pool_free(pool);
	weir_ctx_unref(gate);
}

TEST(isolated, a_pool_that_is_stopped_begins_no_more_of_a_batch)
{
	weir_ctx *gate = gate_make();
	struct seen seen = {0};
	struct fake fake;
	weir_pool_options o = fake_options(&fake, &seen);
	weir_pool *pool;
	struct task task = {.what = GATE, .gate = gate};
	weir_ctx *mine = gate_make(), *soon = ctx_make(NULL, 0);
	int out, cancelled = 0;

	if (UNDER_TSAN)
		SKIP("looks inside, and races for it");
	pool = pool_with_batch(&fake, &o, gate);
	/* The second batch: each goes alone, and the first of them waits. */
	task.gate = gate_make();
	submit(pool, task, mine);
	for (int i = 0; i < 4; i++)
		submit(pool, (struct task){.number = i}, mine);
	gate_open(gate);
	WAIT_FOR(seen.runs == 2);
	/* The worker has taken all of them along. */
	CHECK_EQ_INT(stats_of(pool).queued, 0);
	CHECK_EQ_INT(weir_pool_shutdown_soon(pool, NULL, NULL, soon),
		     WEIR_TIMEDOUT);
	gate_open(task.gate);
	for (int i = 0; i < 6; i++)
		cancelled += next_result(pool, &out).status == WEIR_CANCELED;
	CHECK_EQ_INT(cancelled, 4);
	weir_pool_free(pool);
	weir_ctx_unref(task.gate);
	weir_ctx_unref(gate);
	weir_ctx_unref(mine);
	weir_ctx_unref(soon);
}

TEST(isolated, a_job_that_kills_three_workers_is_tried_no_more)
{
	struct seen seen = {0};
	struct fake fake;
	weir_pool_options o = fake_options(&fake, &seen);
	weir_pool *pool;
	weir_result r;
	int out;

	o.retry.attempts_max = 9;
	o.retry.delay_ns = 1;
	o.out_size = sizeof(int);
	fake.act = ACT_DIE;
	pool = pool_make(&o);
	submit(pool, (struct task){.number = 1}, NULL);
	r = next_result(pool, &out);
	CHECK_EQ_INT(r.status, WEIR_CRASHED);
	CHECK_EQ_INT(r.attempts, WEIR_POISON_KILLS);
	CHECK_STR(r.error, "poison, killed 3 workers: dead");
	CHECK_EQ_INT(out, 0);
	weir_pool_free(pool);
}

TEST(isolated, failures_are_tried_again)
{
	struct seen seen = {0};
	struct fake fake;
	weir_pool_options o = fake_options(&fake, &seen);
	weir_pool *pool;
	weir_result r;
	int out;

	o.retry.attempts_max = 5;
	o.retry.delay_ns = 1;
	pool = pool_make(&o);
	submit(pool, (struct task){.what = FLAKY, .number = 3}, NULL);
	r = next_result(pool, &out);
	CHECK_EQ_INT(r.status, WEIR_OK);
	CHECK_EQ_INT(r.attempts, 3);
	CHECK_EQ_INT(out, 3);
	weir_pool_free(pool);
}

static weir_status
nothing(weir_ctx *ctx, const void *in, void *out, void *user)
{
	(void)ctx;
	(void)in;
	(void)out;
	(void)user;
	return WEIR_OK;
}

TEST(isolated, jobs_need_no_input_and_no_output)
{
	struct seen seen = {0};
	struct fake fake;
	weir_pool_options o = fake_options(&fake, &seen);
	weir_pool *pool;

	o.in_size = o.out_size = 0;
	o.run = nothing;
	pool = pool_make(&o);
	OK(weir_pool_submit(pool, NULL, NULL, NULL));
	CHECK_EQ_INT(next_result(pool, NULL).status, WEIR_OK);
	weir_pool_free(pool);
}

static weir_status
start_nothing(weir_ctx *ctx, weir_job *job, const void *in, void *out,
	      void *user)
{
	(void)job;
	return nothing(ctx, in, out, user);
}

TEST(isolated, options_that_contradict_each_other_are_refused)
{
	struct seen seen = {0};
	weir_pool *pool = NULL;
	struct fake fake;
	weir_pool_options good = fake_options(&fake, &seen), o;

	o = good;
	o.isolate = (weir_isolation)7;
	CHECK_EQ_INT(weir_pool_new(&pool, &o), WEIR_INVAL);
	o = good;
	o.zygote = NULL;
	CHECK_EQ_INT(weir_pool_new(&pool, &o), WEIR_INVAL);
	o = good;
	o.run = NULL;
	o.start = start_nothing;
	CHECK_EQ_INT(weir_pool_new(&pool, &o), WEIR_INVAL);
	o = good;
	o.caller_helps = true;
	CHECK_EQ_INT(weir_pool_new(&pool, &o), WEIR_INVAL);
	CHECK_EQ_INT(fake.opened, 0);
}

TEST(isolated, a_pool_without_its_processes_is_not_made)
{
	struct seen seen = {0};
	weir_pool *pool = NULL;
	struct fake fake;
	weir_pool_options o = fake_options(&fake, &seen);

	fake.open_status = WEIR_NOMEM;
	CHECK_EQ_INT(weir_pool_new(&pool, &o), WEIR_NOMEM);
	CHECK_EQ_INT(fake.closed, 0);
	fake.open_status = WEIR_OK;
	fake.cell_status = WEIR_SYSTEM;
	CHECK_EQ_INT(weir_pool_new(&pool, &o), WEIR_SYSTEM);
	CHECK_EQ_INT(fake.closed, 1);
	CHECK(!pool);
}

/* Seats. */

struct sitting {
	struct weir_seat *seat;
	int64_t deadline_ns;
	weir_ctx *kept;
	bool cancel, keep;
};

static weir_status
sit(weir_ctx *ctx, const void *in, void *out, void *user)
{
	struct sitting *s = user;

	(void)in;
	(void)out;
	CHECK(weir_job_state(ctx) == s);
	CHECK_EQ_INT(weir_job_id(ctx), 77);
	s->deadline_ns = weir_ctx_deadline_ns(ctx);
	if (s->keep)
		s->kept = weir_ctx_ref(ctx);
	if (s->cancel)
		weir__seat_cancel(s->seat, 0);
	return weir_ctx_status(ctx);
}

static struct weir_call
sit_down(struct sitting *s, int64_t timeout_ns, int64_t deadline_ns)
{
	static const weir_retry retry = {.attempts_max = 1};
	struct weir_call call = {.id = 77,
				 .number = 5,
				 .attempt = 1,
				 .timeout_ns = timeout_ns,
				 .deadline_ns = deadline_ns,
				 .retry = &retry};

	weir__seat_run(s->seat, &call, NULL, NULL);
	CHECK(call.ended);
	CHECK(!call.died);
	return call;
}

static void
seat_open(struct sitting *s)
{
	weir_pool_options o = WEIR_POOL_OPTIONS_INIT;

	o.run = sit;
	o.user = s;
	s->seat = weir__seat_new(&o, 3, s);
	REQUIRE(s->seat);
}

TEST(seat, a_job_has_the_earlier_of_its_two_deadlines)
{
	int64_t now_ns = weir_now_ns();
	struct sitting s = {0};

	seat_open(&s);
	CHECK_EQ_INT(sit_down(&s, WEIR_FOREVER, WEIR_FOREVER).status, WEIR_OK);
	CHECK_EQ_INT(s.deadline_ns, WEIR_FOREVER);
	(void)sit_down(&s, 10 * WEIR_S, WEIR_FOREVER);
	CHECK(s.deadline_ns >= now_ns + 10 * WEIR_S);
	CHECK(s.deadline_ns < now_ns + 15 * WEIR_S);
	(void)sit_down(&s, 100 * WEIR_S, now_ns + 20 * WEIR_S);
	CHECK_EQ_INT(s.deadline_ns / WEIR_S, (now_ns + 20 * WEIR_S) / WEIR_S);
	(void)sit_down(&s, WEIR_FOREVER, now_ns + 20 * WEIR_S);
	CHECK_EQ_INT(s.deadline_ns / WEIR_S, (now_ns + 20 * WEIR_S) / WEIR_S);
	/* One that has passed. */
	CHECK_EQ_INT(sit_down(&s, WEIR_FOREVER, now_ns - 1).status,
		     WEIR_TIMEDOUT);
	weir__seat_free(s.seat);
}

TEST(seat, a_job_is_cancelled_from_a_handler)
{
	struct sitting s = {.cancel = true};

	seat_open(&s);
	CHECK_EQ_INT(sit_down(&s, WEIR_FOREVER, WEIR_FOREVER).status,
		     WEIR_CANCELED);
	CHECK_EQ_INT(sit_down(&s, 10 * WEIR_S, WEIR_FOREVER).status,
		     WEIR_CANCELED);
	/* At its deadline it has timed out. */
	CHECK_EQ_INT(sit_down(&s, 1, WEIR_FOREVER).status, WEIR_TIMEDOUT);
	/* With no job there is nothing to cancel, nor is the next one. */
	weir__seat_cancel(s.seat, 0);
	weir__seat_cancel(s.seat, 4);
	s.cancel = false;
	CHECK_EQ_INT(sit_down(&s, WEIR_FOREVER, WEIR_FOREVER).status, WEIR_OK);
	/* Unless it is the one that was meant. */
	weir__seat_cancel(s.seat, 5);
	CHECK_EQ_INT(sit_down(&s, WEIR_FOREVER, WEIR_FOREVER).status,
		     WEIR_CANCELED);
	weir__seat_free(s.seat);
}

TEST(seat, a_job_may_keep_its_context)
{
	struct sitting s = {.keep = true};

	seat_open(&s);
	(void)sit_down(&s, WEIR_FOREVER, WEIR_FOREVER);
	CHECK_EQ_INT(weir_job_id(s.kept), 0);
	weir_ctx_unref(s.kept);
	weir__seat_free(s.seat);
}
