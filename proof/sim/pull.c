/*
 * Pools in pull form: a source, workers, a sink; and weir_pool_map().
 */
#include "book.h"

#include <string.h>

/* A source of jobs 0 .. all - 1, as far as they are there. */
struct feed {
	weir_pool *pool;
	uint32_t all, there, given;
	bool asking, sinking; /* one at a time, both */
	bool drained;         /* a shutdown said so: nobody may ask */
	weir_status end;      /* what it says when all were given */
	weir_job_options options;
	uint32_t width;
};

static struct feed feed;
static weir_ctx *ctx;

/* Jobs that wait until the last of them has begun. */
static struct {
	weir_chan *here;
	uint32_t expected, met;
} meeting;

static weir_status
source(weir_ctx *intake, void *ret_in, weir_job_options *ret_options,
       void *user)
{
	weir_status status = WEIR_BUSY;

	(void)intake;
	(void)user;
	sim_check(!feed.asking);
	sim_check(!feed.drained);
	feed.asking = true;
	sim_work(0);
	if (feed.given < feed.there) {
		*(uint32_t *)ret_in = feed.given;
		*ret_options = feed.options;
		book.lines[feed.given].accepted = true;
		feed.given++;
		status = WEIR_OK;
	} else if (feed.given == feed.all) {
		status = feed.end;
	}
	feed.asking = false;
	return status;
}

static void
sink(const weir_result *result, const void *in, void *out, void *user)
{
	uint32_t job = *(const uint32_t *)in;

	(void)user;
	sim_check(!feed.sinking);
	feed.sinking = true;
	sim_work(0);
	if (result->status == WEIR_OK)
		sim_check(*(uint64_t *)out == output_of(job));
	book_result(result, job);
	feed.sinking = false;
}

/* A pool over the feed; there of its all jobs can be had at once. */
static bool
begin(weir_pool_options *o, uint32_t all, uint32_t there)
{
	book_open();
	memset(&feed, 0, sizeof(feed));
	weir_job_options_init(&feed.options);
	feed.all = all;
	feed.there = there;
	feed.end = WEIR_CLOSED;
	o->source = source;
	o->sink = sink;
	return weir_pool_new(&feed.pool, o) == WEIR_OK;
}

static void
finish(void)
{
	book_compare(feed.pool);
	feed.pool = weir_pool_free(feed.pool);
	book_close();
}

static void
check_all_ran(weir_status status)
{
	if (status == WEIR_OK)
		sim_check(feed.given == feed.all);
	else
		sim_check(sim_refused());
}

static void
pull_run(void)
{
	weir_pool_options o;

	book_options(&o, 1 + sim_choice(3), 2);
	if (!begin(&o, 4, 4))
		return;
	check_all_ran(weir_pool_run(feed.pool, NULL));
	sim_check(book.running_most <= o.workers);
	finish();
}

/* Jobs that show up one by one; the pool is told of each. */
static void
feeder(void *arg)
{
	(void)arg;
	while (feed.there < feed.all) {
		sim_work(sim_choice(2) ? 0 : WEIR_MS);
		feed.there++;
		weir_pool_poke(feed.pool);
	}
	weir_pool_poke(feed.pool);
}

static void
pull_busy(void)
{
	weir_pool_options o;
	int other;

	book_options(&o, 1 + sim_choice(2), 1);
	if (!begin(&o, 3, 0))
		return;
	other = sim_spawn("feeder", feeder, NULL);
	check_all_ran(weir_pool_run(feed.pool, NULL));
	sim_join(other);
	finish();
}

/* A source that ends with a status of its own. */
static void
pull_source_fails(void)
{
	weir_pool_options o;
	weir_status status;

	book_options(&o, 2, 1);
	if (!begin(&o, 2, 2))
		return;
	feed.end = WEIR_FAILED;
	status = weir_pool_run(feed.pool, NULL);
	sim_check(status == WEIR_FAILED || sim_refused());
	finish();
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
cancel_it(void *arg)
{
	(void)arg;
	weir_ctx_cancel(ctx);
}

static void
pull_cancel(void)
{
	weir_pool_options o;
	weir_status status;
	int other;

	book_options(&o, 2, 1);
	if (sim_choice(2))
		o.run = patient_job;
	/* All of them, or a source that waits for ever. */
	if (!begin(&o, 3, sim_choice(2) ? 3 : 1))
		return;
	ctx = make_ctx(NULL, sim_choice(2) ? WEIR_FOREVER : WEIR_MS);
	other = sim_spawn("canceller", cancel_it, NULL);
	status = weir_pool_run(feed.pool, ctx);
	if (status == WEIR_OK)
		sim_check(feed.given == feed.all);
	else
		sim_check(weir_ctx_status(ctx) == status || sim_refused());
	sim_join(other);
	ctx = weir_ctx_unref(ctx);
	finish();
}

static void
stopper(void *arg)
{
	weir_pool *pool = feed.pool;
	weir_status status = WEIR_OK;
	uint32_t how = sim_choice(5);

	(void)arg;
	switch (how) {
	case 0:
		weir_pool_close(pool);
		break;
	case 1:
		status = weir_pool_shutdown(pool, NULL);
		break;
	case 2:
		status = weir_pool_shutdown_soon(pool, book_unstarted, NULL,
						 NULL);
		break;
	case 3:
		status = weir_pool_shutdown_now(pool, NULL, NULL, NULL);
		break;
	default:
		status = weir_pool_shutdown_now(pool, book_unstarted, NULL,
						NULL);
	}
	sim_check(status == WEIR_OK);
	if (how == 0)
		return;
	/* Drained: whatever came in has gone out, and nothing comes in. */
	sim_check(!feed.asking);
	for (uint32_t i = 0; i < feed.given; i++)
		sim_check(book.lines[i].results + book.lines[i].handed_back ==
			  1);
}

static void
pull_stop(void)
{
	weir_pool_options o;
	weir_status status;
	int other;

	book_options(&o, 2, 1);
	if (sim_choice(2))
		o.run = patient_job;
	if (!begin(&o, 4, sim_choice(2) ? 4 : 2))
		return;
	other = sim_spawn("stopper", stopper, NULL);
	status = weir_pool_run(feed.pool, NULL);
	sim_check(status == WEIR_OK || sim_refused());
	sim_join(other);
	finish();
}

/* Several at once, while a run goes on. */
static void
pull_stop_twice(void)
{
	weir_pool_options o;
	weir_status status;
	int a, b;

	book_options(&o, 1, 1);
	if (!begin(&o, 3, 3))
		return;
	a = sim_spawn("stopper a", stopper, NULL);
	b = sim_spawn("stopper b", stopper, NULL);
	status = weir_pool_run(feed.pool, NULL);
	sim_check(status == WEIR_OK || sim_refused());
	sim_join(a);
	sim_join(b);
	finish();
}

static weir_status
failing_job(weir_ctx *job_ctx, const void *in, void *out, void *user)
{
	uint32_t job = *(const uint32_t *)in;
	uint32_t attempt = weir_job_attempt(job_ctx);

	(void)user;
	book_run(job);
	sim_work(0);
	*(uint64_t *)out = output_of(job);
	book_ran(job);
	return attempt <= job ? WEIR_FAILED : WEIR_OK;
}

static void
pull_retry(void)
{
	weir_pool_options o;
	int other = -1;

	book_options(&o, 2, 1);
	o.run = failing_job;
	o.retry.attempts_max = 3;
	o.retry.delay_ns = 10 * WEIR_MS;
	if (!begin(&o, 3, 3))
		return;
	if (sim_choice(2))
		other = sim_spawn("stopper", stopper, NULL);
	if (other < 0)
		check_all_ran(weir_pool_run(feed.pool, NULL));
	else
		(void)!weir_pool_run(feed.pool, NULL);
	if (other >= 0)
		sim_join(other);
	finish();
}

static void
pull_keys(void)
{
	weir_pool_options o;

	book_options(&o, 2, 2);
	o.key_slots = 1;
	if (!begin(&o, 3, 3))
		return;
	feed.options.key = 5;
	check_all_ran(weir_pool_run(feed.pool, NULL));
	sim_check(book.running_most <= 1);
	finish();
}

/* Those that wait for their key go back while others end. */
static void
pull_keys_stop(void)
{
	weir_pool_options o;
	int other;

	book_options(&o, 2, 3);
	o.key_slots = 1;
	if (!begin(&o, 4, sim_choice(2) ? 4 : 3))
		return;
	feed.options.key = 5;
	other = sim_spawn("stopper", stopper, NULL);
	(void)!weir_pool_run(feed.pool, NULL);
	sim_join(other);
	finish();
}

/* A source that waits, as it may, under the context it is given. */
static weir_status
patient_source(weir_ctx *intake, void *ret_in, weir_job_options *ret_options,
	       void *user)
{
	weir_status status;

	if (feed.given == feed.there) {
		status = weir_ctx_sleep(intake, WEIR_FOREVER);
		sim_check(status != WEIR_OK);
		return status;
	}
	return source(intake, ret_in, ret_options, user);
}

static void
pull_source_waits(void)
{
	weir_pool_options o;
	int other;

	book_options(&o, 1, 1);
	if (!begin(&o, 2, 1))
		return;
	feed.pool = weir_pool_free(feed.pool);
	o.source = patient_source;
	if (weir_pool_new(&feed.pool, &o) != WEIR_OK)
		return;
	other = sim_spawn("stopper", stopper, NULL);
	(void)!weir_pool_run(feed.pool, NULL);
	sim_join(other);
	finish();
}

static void
resizer(void *arg)
{
	(void)arg;
	for (int i = 0; i < 2; i++) {
		weir_status status =
			weir_pool_resize(feed.pool, 1 + sim_choice(3));

		sim_check(status == WEIR_OK || status == WEIR_CLOSED ||
			  sim_refused());
	}
}

static void
pull_resize(void)
{
	weir_pool_options o;
	int other;

	book_options(&o, 2, 1);
	if (!begin(&o, 4, 4))
		return;
	other = sim_spawn("resizer", resizer, NULL);
	check_all_ran(weir_pool_run(feed.pool, NULL));
	sim_join(other);
	finish();
}

/* Short jobs, then one that is long: the surplus workers are needed. */
static weir_status
uneven_job(weir_ctx *job_ctx, const void *in, void *out, void *user)
{
	uint32_t job = *(const uint32_t *)in;

	(void)user;
	book_run(job);
	if (job == 3 && weir_ctx_sleep(job_ctx, 5 * WEIR_MS) != WEIR_OK)
		sim_check(!"a job of nobody's was cancelled");
	*(uint64_t *)out = output_of(job);
	book_ran(job);
	return WEIR_OK;
}

static void
pull_surplus(void)
{
	weir_pool_options o;

	book_options(&o, 3, 3);
	o.run = uneven_job;
	if (!begin(&o, 7, 7))
		return;
	check_all_ran(weir_pool_run(feed.pool, NULL));
	finish();
}

static void
meeting_open(uint32_t expected)
{
	meeting.expected = expected;
	meeting.met = 0;
	while (weir_chan_new(&meeting.here, 1, expected) != WEIR_OK)
		;
}

static void
meet(void)
{
	char token = 0;

	if (++meeting.met == meeting.expected)
		for (uint32_t i = 0; i < meeting.expected; i++)
			sim_check(weir_chan_try_send(meeting.here, &token) ==
				  WEIR_OK);
	sim_check(weir_chan_recv(meeting.here, &token, NULL) == WEIR_OK);
}

/* Those from number `short_jobs` on meet. */
static uint32_t short_jobs;

static weir_status
meeting_job(weir_ctx *job_ctx, const void *in, void *out, void *user)
{
	uint32_t job = *(const uint32_t *)in;

	(void)job_ctx;
	(void)user;
	book_run(job);
	sim_work(0);
	if (job >= short_jobs)
		meet();
	*(uint64_t *)out = output_of(job);
	book_ran(job);
	return WEIR_OK;
}

/* Nothing, and then all at once, with one poke. */
static void
feed_all(void *arg)
{
	(void)arg;
	sim_work(sim_choice(2) ? 0 : WEIR_MS);
	feed.there = feed.all;
	weir_pool_poke(feed.pool);
}

/*
 * A run whose last jobs can only end together, as many as the pool has
 * workers; short ones go before them.  If a thread was refused there is
 * nobody to meet.
 */
static void
meet_after(uint32_t workers, uint32_t shorts, uint32_t there)
{
	weir_pool_options o;
	weir_status status;
	int other = -1;

	short_jobs = shorts;
	meeting_open(workers);
	book_options(&o, workers, workers);
	o.run = meeting_job;
	o.batch_max = 1;
	if (begin(&o, shorts + workers, there)) {
		if (there < feed.all)
			other = sim_spawn("feeder", feed_all, NULL);
		status = weir_pool_run(feed.pool, NULL);
		check_all_ran(status);
		if (other >= 0)
			sim_join(other);
		finish();
	}
	meeting.here = weir_chan_free(meeting.here, NULL, NULL);
}

static void
pull_plenty(void)
{
	meet_after(2, 0, 0);
}

static void
pull_written_off(void)
{
	meet_after(3, 4, 7);
}

/*
 * Room for a fourth job, which the first one waits for, comes from the third,
 * whose worker may be one that has to leave.  The second has the key of the
 * first, and is in the way.
 */
static weir_status
room_source(weir_ctx *intake, void *ret_in, weir_job_options *ret_options,
	    void *user)
{
	feed.options.key = feed.given < 2 ? 5 : 0;
	return source(intake, ret_in, ret_options, user);
}

static weir_status
room_job(weir_ctx *job_ctx, const void *in, void *out, void *user)
{
	uint32_t job = *(const uint32_t *)in;

	(void)job_ctx;
	(void)user;
	book_run(job);
	sim_work(0);
	if (job == 0 || job == 3)
		meet();
	*(uint64_t *)out = output_of(job);
	book_ran(job);
	return WEIR_OK;
}

static void
narrower(void *arg)
{
	(void)arg;
	feed.there = feed.all;
	(void)!weir_pool_resize(feed.pool, 2);
}

static void
pull_room(void)
{
	weir_pool_options o;
	int other;

	meeting_open(2);
	book_options(&o, 3, 1);
	o.run = room_job;
	o.batch_max = 1;
	o.key_slots = 1;
	if (begin(&o, 4, 3)) {
		feed.pool = weir_pool_free(feed.pool);
		o.source = room_source;
		if (weir_pool_new(&feed.pool, &o) == WEIR_OK) {
			other = sim_spawn("resizer", narrower, NULL);
			check_all_ran(weir_pool_run(feed.pool, NULL));
			sim_join(other);
			finish();
		}
	}
	meeting.here = weir_chan_free(meeting.here, NULL, NULL);
}

/* One worker, which has no reason to take a lock that a shutdown takes. */
static void
drainer(void *arg)
{
	(void)arg;
	sim_check(weir_pool_shutdown(feed.pool, NULL) == WEIR_OK);
	feed.drained = true;
}

static void
pull_drained(void)
{
	weir_pool_options o;
	weir_status status;
	int other;

	book_options(&o, 1, 1);
	o.batch_max = 1;
	if (!begin(&o, 4, 4))
		return;
	other = sim_spawn("drainer", drainer, NULL);
	status = weir_pool_run(feed.pool, NULL);
	sim_check(status == WEIR_OK || sim_refused());
	sim_join(other);
	finish();
}

static void
pull_map(void)
{
	static const uint32_t ins[3] = {0, 1, 2};
	uint64_t outs[3] = {0};
	weir_result results[3];
	weir_pool_options o;
	weir_status status;

	book_open();
	book_options(&o, 2, 0);
	status = weir_pool_map(&o, ins, outs, results, 3, NULL);
	sim_check(status == WEIR_OK || sim_refused());
	for (uint32_t i = 0; i < 3 && status == WEIR_OK; i++) {
		sim_check(outs[i] == output_of(i));
		sim_check(book.lines[i].runs == 1);
		sim_check(results[i].id == i + 1);
	}
}

static void
pull_map_cancel(void)
{
	static const uint32_t ins[3] = {0, 1, 2};
	uint64_t outs[3] = {0};
	weir_result results[3];
	weir_pool_options o;
	weir_status status;
	int other;

	book_open();
	book_options(&o, 2, 0);
	o.run = patient_job;
	ctx = make_ctx(NULL, WEIR_FOREVER);
	other = sim_spawn("canceller", cancel_it, NULL);
	memset(results, 0xff, sizeof(results));
	status = weir_pool_map(&o, ins, outs, results, 3, ctx);
	if (status == WEIR_OK || status == WEIR_CANCELED)
		for (uint32_t i = 0; i < 3; i++) {
			sim_check(results[i].id == i + 1);
			sim_check(results[i].attempts == book.lines[i].runs);
		}
	else
		sim_check(sim_refused() || status == WEIR_FAILED);
	sim_join(other);
	ctx = weir_ctx_unref(ctx);
}

const struct scenario pull_scenarios[] = {
	{"pull_run",
	 "a run takes all that the source has and gives all to the "
	 "sink",
	 pull_run, FAULTS_ALL, 6},
	{"pull_busy", "a source that was BUSY is asked again when poked",
	 pull_busy, FAULTS_ALL, 6},
	{"pull_source_fails",
	 "a source that fails ends the run with its status", pull_source_fails,
	 FAULTS_ALL, 4},
	{"pull_cancel", "a run ends soon after its context, losing nothing",
	 pull_cancel, FAULTS_ALL, 6},
	{"pull_stop", "a run can be stopped from outside, in every way",
	 pull_stop, FAULTS_ALL, 6},
	{"pull_stop_twice", "and in two ways at once", pull_stop_twice,
	 FAULTS_ALL, 4},
	{"pull_retry", "failed jobs are tried again, or end with the pool",
	 pull_retry, FAULTS_ALL, 4},
	{"pull_keys", "jobs of one key run one at a time, and all of them",
	 pull_keys, FAULTS_ALL, 4},
	{"pull_keys_stop", "jobs that wait for a key are handed back, too",
	 pull_keys_stop, FAULTS_ALL, 4},
	{"pull_source_waits", "a shutdown ends the wait of a source",
	 pull_source_waits, FAULTS_ALL, 4},
	{"pull_resize", "a change of width loses no job", pull_resize,
	 FAULTS_ALL, 4},
	{"pull_surplus", "workers that were parked are woken for long jobs",
	 pull_surplus, FAULTS_ALL, 4},
	{"pull_plenty",
	 "jobs that wait for each other run at once, if there are workers",
	 pull_plenty, SIM_FAIL_THREAD, 4},
	{"pull_written_off",
	 "so they do when workers were parked because jobs were short",
	 pull_written_off, SIM_FAIL_THREAD, 4},
	{"pull_room",
	 "room that a leaving worker makes is used by those who stay",
	 pull_room, SIM_FAIL_THREAD, 40},
	{"pull_drained", "after a shutdown has returned no source is asked",
	 pull_drained, FAULTS_ALL, 6},
	{"pull_map", "map fills every output", pull_map, FAULTS_ALL, 6},
	{"pull_map_cancel", "map says of every job what came of it",
	 pull_map_cancel, FAULTS_ALL, 4},
	SCENARIOS_END,
};
