/*
 * Pipelines: items go through all stages or come out early, once each.
 */
#include "book.h"

#include <string.h>

static weir_pipeline *line;
static weir_ctx *ctx;

/* The first stage passes the number on; every fourth fails. */
static weir_status
first_job(weir_ctx *job_ctx, const void *in, void *out, void *user)
{
	uint32_t job = *(const uint32_t *)in;

	(void)job_ctx;
	(void)user;
	book_run(job);
	sim_work(0);
	*(uint32_t *)out = job;
	book_ran(job);
	return job % 4 == 3 ? WEIR_FAILED : WEIR_OK;
}

static weir_status
patient_job(weir_ctx *job_ctx, const void *in, void *out, void *user)
{
	uint32_t job = *(const uint32_t *)in;
	weir_status status;

	(void)user;
	book_run(job);
	status = weir_ctx_sleep(job_ctx, WEIR_MS);
	*(uint64_t *)out = output_of(job);
	book_ran(job);
	return status;
}

static void
drop(const weir_result *result, const void *in, void *out, void *user)
{
	(void)in;
	(void)out;
	(void)user;
	book_result_by_id(result);
}

static bool
begin(uint32_t first, uint32_t last, weir_job_fn *last_job, uint32_t results)
{
	weir_pipeline_options o;
	weir_stage stages[2];

	book_open();
	weir_stage_init(&stages[0]);
	weir_stage_init(&stages[1]);
	stages[0].workers = first;
	stages[0].queue = 1;
	stages[0].out_size = sizeof(uint32_t);
	stages[0].run = first_job;
	stages[1].workers = last;
	stages[1].queue = 1;
	stages[1].out_size = sizeof(uint64_t);
	stages[1].run = last_job;
	weir_pipeline_options_init(&o);
	o.stage_size = sizeof(weir_stage);
	o.stages = stages;
	o.stage_count = 2;
	o.in_size = sizeof(uint32_t);
	o.results = results;
	o.drop = drop;
	return weir_pipeline_new(&line, &o) == WEIR_OK;
}

static void
finish(void)
{
	line = weir_pipeline_free(line);
	book_close();
}

static weir_status
submit(uint32_t job, weir_ctx *with)
{
	uint64_t id = 0;
	weir_status status = weir_pipeline_submit(line, &job, &id, with);

	book_accept(job, status, id);
	return status;
}

static weir_status
collect(void)
{
	weir_pipeline_result result;
	uint64_t out = 0;
	weir_status status = weir_pipeline_next(line, &result, &out, NULL);

	if (status != WEIR_OK)
		return status;
	if (result.result.status == WEIR_OK)
		book_result(&result.result,
			    (uint32_t)((out - output_of(0)) / 7));
	else
		book_result_by_id(&result.result);
	return WEIR_OK;
}

static void
collect_all(void *arg)
{
	(void)arg;
	while (collect() == WEIR_OK)
		;
}

static void
submit_four(void *arg)
{
	(void)arg;
	for (uint32_t i = 0; i < 4; i++)
		if (submit(i, NULL) != WEIR_OK)
			return;
}

static void
pipeline_one(void)
{
	if (!begin(1, 1, book_job, 0))
		return;
	sim_check(submit(0, NULL) == WEIR_OK);
	sim_check(collect() == WEIR_OK);
	sim_check(book.lines[0].runs == 2 || sim_refused());
	finish();
}

/* More than there is room for: the collector's pace is everybody's. */
static void
pipeline_backpressure(void)
{
	int collector;

	if (!begin(1, 1, book_job, 2))
		return;
	collector = sim_spawn("collector", collect_all, NULL);
	for (uint32_t i = 0; i < 7; i++)
		sim_check(submit(i, NULL) == WEIR_OK);
	weir_pipeline_close(line);
	sim_join(collector);
	for (uint32_t i = 0; i < 7 && !sim_refused(); i++) {
		weir_status want = i % 4 == 3 ? WEIR_FAILED : WEIR_OK;

		sim_check(book.lines[i].status == want);
	}
	finish();
}

static void
pipeline_collectors(void)
{
	int a, b;

	if (!begin(1, 1, book_job, 0))
		return;
	a = sim_spawn("collector a", collect_all, NULL);
	b = sim_spawn("collector b", collect_all, NULL);
	sim_check(submit(0, NULL) == WEIR_OK);
	weir_pipeline_close(line);
	sim_join(a);
	sim_join(b);
	finish();
}

static void
pipeline_drain(void)
{
	int collector;

	if (!begin(1, 1, patient_job, 0))
		return;
	collector = sim_spawn("collector", collect_all, NULL);
	submit_four(NULL);
	sim_check(weir_pipeline_shutdown(line, NULL) == WEIR_OK);
	sim_join(collector);
	for (uint32_t i = 0; i < 4; i++)
		sim_check(book.lines[i].results == 1);
	finish();
}

static weir_status
stop_now(weir_ctx *with)
{
	weir_unstarted_fn *fn = sim_choice(2) ? book_unstarted : NULL;

	return weir_pipeline_shutdown_now(line, fn, NULL, with);
}

/* Nobody collects: disposing of items must not wait for it. */
static void
pipeline_stop_alone(void)
{
	weir_status status;
	uint64_t id;

	if (!begin(1, 1, sim_choice(2) ? patient_job : book_job, 0))
		return;
	for (uint32_t i = 0; i < 5; i++) {
		status = weir_pipeline_try_submit(line, &i, &id, NULL);
		book_accept(i, status, id);
	}
	sim_check(stop_now(NULL) == WEIR_OK);
	sim_check(submit(6, NULL) == WEIR_CLOSED);
	if (sim_choice(2))
		collect_all(NULL);
	finish();
}

/* Everything is full, and nobody collects. */
static void
pipeline_stop_full(void)
{
	if (!begin(1, 1, book_job, 0))
		return;
	for (uint32_t i = 0; i < 5; i++)
		sim_check(submit(i, NULL) == WEIR_OK);
	(void)!weir_ctx_sleep(NULL, 10 * WEIR_MS);
	sim_check(stop_now(NULL) == WEIR_OK);
	finish();
}

/* The last item to go is one that is handed back. */
static void
slow_unstarted(uint64_t id, const void *in, void *user)
{
	(void)!weir_ctx_sleep(NULL, 10 * WEIR_MS);
	book_unstarted(id, in, user);
}

static void
pipeline_hand_back(void)
{
	int producer, collector;

	if (!begin(1, 1, book_job, 0))
		return;
	producer = sim_spawn("producer", submit_four, NULL);
	collector = sim_spawn("collector", collect_all, NULL);
	sim_check(weir_pipeline_shutdown_now(line, slow_unstarted, NULL,
					     NULL) == WEIR_OK);
	sim_join(producer);
	sim_join(collector);
	finish();
}

static void
pipeline_stop_race(void)
{
	int producer, collector;

	if (!begin(1, 1, sim_choice(2) ? patient_job : book_job, 0))
		return;
	producer = sim_spawn("producer", submit_four, NULL);
	collector = sim_spawn("collector", collect_all, NULL);
	sim_check(stop_now(NULL) == WEIR_OK);
	sim_join(producer);
	sim_join(collector);
	finish();
}

static void
stopper(void *arg)
{
	weir_ctx *with = NULL;
	weir_status status;

	if (arg)
		with = make_ctx(NULL, sim_choice(2) * WEIR_MS);
	do {
		status = sim_choice(2) ? stop_now(with)
				       : weir_pipeline_shutdown(line, with);
		sim_check(status == WEIR_OK ||
			  (with && status == WEIR_TIMEDOUT));
		with = weir_ctx_unref(with);
	} while (status != WEIR_OK);
}

static void
pipeline_stop_twice(void)
{
	int a, b, collector;

	if (!begin(1, 1, patient_job, 0))
		return;
	collector = sim_spawn("collector", collect_all, NULL);
	a = sim_spawn("stopper a", stopper, &line);
	b = sim_spawn("stopper b", stopper, NULL);
	submit_four(NULL);
	sim_join(a);
	sim_join(b);
	sim_join(collector);
	finish();
}

static void
cancel_it(void *arg)
{
	(void)arg;
	weir_ctx_cancel(ctx);
}

static void
pipeline_cancel(void)
{
	uint32_t accepted = 0;
	int other;

	if (!begin(1, 1, patient_job, 0))
		return;
	ctx = make_ctx(NULL, sim_choice(2) ? WEIR_FOREVER : WEIR_MS);
	other = sim_spawn("canceller", cancel_it, NULL);
	for (uint32_t i = 0; i < 3; i++)
		accepted += submit(i, ctx) == WEIR_OK;
	for (; accepted > 0; accepted--)
		sim_check(collect() == WEIR_OK);
	sim_join(other);
	ctx = weir_ctx_unref(ctx);
	finish();
}

static void
pipeline_free(void)
{
	if (!begin(1, 2, patient_job, 0))
		return;
	sim_check(submit(0, NULL) == WEIR_OK);
	sim_check(submit(1, NULL) == WEIR_OK);
	finish();
	sim_check(book.running == 0);
}

const struct scenario pipeline_scenarios[] = {
	{"pipeline_one", "an item goes through both stages and comes out",
	 pipeline_one, FAULTS_ALL, 6},
	{"pipeline_backpressure", "full stages hold up those before them",
	 pipeline_backpressure, FAULTS_ALL, 3},
	{"pipeline_collectors", "all collectors learn of the end",
	 pipeline_collectors, FAULTS_ALL, 4},
	{"pipeline_drain", "a shutdown lets everything through", pipeline_drain,
	 FAULTS_ALL, 3},
	{"pipeline_stop_alone", "shutdown_now does not wait for collectors",
	 pipeline_stop_alone, FAULTS_ALL, 4},
	{"pipeline_stop_full", "not even if nothing has room any more",
	 pipeline_stop_full, FAULTS_ALL, 4},
	{"pipeline_hand_back",
	 "collectors learn of the end that a hand-back is", pipeline_hand_back,
	 FAULTS_ALL, 4},
	{"pipeline_stop_race",
	 "each item is refused, comes out or is handed "
	 "back, whenever all is shut down",
	 pipeline_stop_race, FAULTS_ALL, 4},
	{"pipeline_stop_twice", "shutdowns may meet, give up, be called again",
	 pipeline_stop_twice, FAULTS_ALL, 3},
	{"pipeline_cancel", "an item's context counts in every stage",
	 pipeline_cancel, FAULTS_ALL, 4},
	{"pipeline_free", "free waits for what runs and drops the rest",
	 pipeline_free, FAULTS_ALL, 4},
	SCENARIOS_END,
};
