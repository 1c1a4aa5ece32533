/*
 * What has to be done now and then.
 */
#include "queue_work_util.h"

#include "queue/upkeep.h"

#include <string.h>

#define SELF 1

/* A store that notes what is asked of it, and answers what it is told to. */
struct mock {
	weir_store store;
	struct weir_store_ops ops;
	int64_t now_ms;
	unsigned promotes, fires, cleans, looks, rescues;
	uint32_t promote_count, clean_count, rescue_count;
	int64_t promote_next_ms, fire_next_ms;
	weir_status status; /* of every call */
	struct weir_client_row clients[4];
	size_t client_count;
	int64_t rescued_id, rescued_beat;
	uint32_t crashes_max;
	struct weir_retention retention;
	struct weir_upkeep upkeep;
	int64_t now_ns;
};

static struct mock *
mock_of(weir_store *store)
{
	return (struct mock *)(void *)store;
}

static int64_t
mock_now(void *user)
{
	return ((struct mock *)user)->now_ms;
}

static weir_status
mock_promote(weir_store *store, uint32_t limit, uint32_t *ret_count,
	     int64_t *ret_next_ms, weir_error *reterr)
{
	struct mock *m = mock_of(store);

	m->promotes++;
	*ret_count = m->promote_count < limit ? m->promote_count : limit;
	m->promote_count -= *ret_count;
	*ret_next_ms = m->promote_next_ms;
	return weir__queue_error(reterr, m->status, 0, "mock");
}

static weir_status
mock_fire(weir_store *store, uint32_t limit, uint32_t *ret_count,
	  int64_t *ret_next_ms, weir_error *reterr)
{
	struct mock *m = mock_of(store);

	(void)limit;
	m->fires++;
	*ret_count = 0;
	*ret_next_ms = m->fire_next_ms;
	return weir__queue_error(reterr, m->status, 0, "mock");
}

static weir_status
mock_clean(weir_store *store, const struct weir_retention *retention,
	   uint32_t limit, uint32_t *ret_count, weir_error *reterr)
{
	struct mock *m = mock_of(store);

	m->cleans++;
	m->retention = *retention;
	*ret_count = m->clean_count < limit ? m->clean_count : limit;
	m->clean_count -= *ret_count;
	return weir__queue_error(reterr, m->status, 0, "mock");
}

static weir_status
mock_clients(weir_store *store, weir_client_fn *row, void *user,
	     weir_error *reterr)
{
	struct mock *m = mock_of(store);

	m->looks++;
	for (size_t i = 0; i < m->client_count; i++)
		if (!row(&m->clients[i], user))
			break;
	return weir__queue_error(reterr, m->status, 0, "mock");
}

static weir_status
mock_rescue(weir_store *store, int64_t client, int64_t beat,
	    uint32_t crashes_max, uint32_t limit, uint32_t *ret_count,
	    weir_error *reterr)
{
	struct mock *m = mock_of(store);

	m->rescues++;
	m->rescued_id = client;
	m->rescued_beat = beat;
	m->crashes_max = crashes_max;
	*ret_count = m->rescue_count < limit ? m->rescue_count : limit;
	m->rescue_count -= *ret_count;
	return weir__queue_error(reterr, m->status, 0, "mock");
}

static void
mock_init(struct mock *m, const weir_work_options *options, bool has_bell)
{
	static const weir_work_options plain = WEIR_WORK_OPTIONS_INIT;

	memset(m, 0, sizeof(*m));
	m->ops.promote = mock_promote;
	m->ops.fire = mock_fire;
	m->ops.clean = mock_clean;
	m->ops.clients = mock_clients;
	m->ops.rescue = mock_rescue;
	m->store.ops = &m->ops;
	m->store.now_ms = mock_now;
	m->store.now_user = m;
	m->now_ms = BENCH_T0;
	m->now_ns = 1000 * WEIR_S;
	m->promote_next_ms = m->fire_next_ms = INT64_MAX;
	weir__upkeep_init(&m->upkeep, &m->store, options ? options : &plain,
			  has_bell, m->now_ns);
}

static struct weir_upkept
keep_up(struct mock *m)
{
	struct weir_upkept kept = {0};
	weir_error error;

	CHECK_EQ_INT(
		weir__upkeep_run(&m->upkeep, SELF, m->now_ns, &kept, &error),
		m->status);
	return kept;
}

/* Both clocks go on, and what is due is done. */
static struct weir_upkept
after(struct mock *m, int64_t ns)
{
	m->now_ns += ns;
	m->now_ms += ns / WEIR_MS;
	return keep_up(m);
}

static int64_t
sleeps_ns(struct mock *m)
{
	return weir__upkeep_at_ns(&m->upkeep, m->now_ns) - m->now_ns;
}

TEST(upkeep, does_everything_once_at_first)
{
	struct mock m;

	mock_init(&m, NULL, true);
	CHECK(sleeps_ns(&m) <= 0);
	CHECK(keep_up(&m).may_have);
	CHECK_EQ_INT(m.promotes, 1);
	CHECK_EQ_INT(m.fires, 1);
	CHECK_EQ_INT(m.cleans, 1);
	CHECK_EQ_INT(m.looks, 1);
	CHECK_EQ_INT(sleeps_ns(&m), 3 * WEIR_S);
	weir__upkeep_fini(&m.upkeep);
}

TEST(upkeep, promotes_when_the_next_job_is_due_and_not_before)
{
	struct mock m;

	mock_init(&m, NULL, true);
	m.promote_next_ms = BENCH_T0 + 2500;
	keep_up(&m);
	CHECK_EQ_INT(sleeps_ns(&m), 2500 * WEIR_MS);
	after(&m, 2400 * WEIR_MS);
	CHECK_EQ_INT(m.promotes, 1);
	m.promote_count = 1;
	m.promote_next_ms = INT64_MAX;
	CHECK(after(&m, 100 * WEIR_MS).may_have);
	CHECK_EQ_INT(m.promotes, 2);
	weir__upkeep_fini(&m.upkeep);
}

TEST(upkeep, goes_on_at_once_with_what_was_limited)
{
	struct mock m;

	mock_init(&m, NULL, true);
	m.promote_count = 2500;
	m.clean_count = 1500;
	keep_up(&m);
	CHECK(sleeps_ns(&m) <= 0);
	keep_up(&m);
	keep_up(&m);
	CHECK_EQ_INT(m.promotes, 3);
	CHECK_EQ_INT(m.cleans, 2);
	CHECK(sleeps_ns(&m) > 0);
	weir__upkeep_fini(&m.upkeep);
}

TEST(upkeep, does_not_spin_on_what_is_due_and_cannot_be_done)
{
	struct mock m;

	mock_init(&m, NULL, true);
	m.promote_next_ms = m.fire_next_ms = BENCH_T0 - 5;
	keep_up(&m);
	CHECK_EQ_INT(sleeps_ns(&m), 1 * WEIR_S);
	weir__upkeep_fini(&m.upkeep);
}

TEST(upkeep, fires_when_a_schedule_is_due)
{
	struct mock m;

	mock_init(&m, NULL, true);
	m.fire_next_ms = BENCH_T0 + 1000;
	keep_up(&m);
	CHECK_EQ_INT(sleeps_ns(&m), 1 * WEIR_S);
	after(&m, 1 * WEIR_S);
	CHECK_EQ_INT(m.fires, 2);
	weir__upkeep_fini(&m.upkeep);
}

TEST(upkeep, knows_of_a_job_that_we_put_there_ourselves)
{
	struct mock m;

	mock_init(&m, NULL, true);
	keep_up(&m);
	weir__upkeep_expect(&m.upkeep, BENCH_T0 + 700);
	CHECK_EQ_INT(sleeps_ns(&m), 700 * WEIR_MS);
	weir__upkeep_expect(&m.upkeep, BENCH_T0 + 900);
	CHECK_EQ_INT(sleeps_ns(&m), 700 * WEIR_MS);
	weir__upkeep_fini(&m.upkeep);
}

TEST(upkeep, looks_again_when_the_bell_rings_ten_times_a_second_at_most)
{
	struct mock m;

	mock_init(&m, NULL, true);
	keep_up(&m);
	weir__upkeep_hear(&m.upkeep, m.now_ns);
	CHECK(sleeps_ns(&m) <= 0);
	CHECK(weir__upkeep_is_due(&m.upkeep));
	keep_up(&m);
	CHECK_EQ_INT(m.promotes, 2);
	CHECK(!weir__upkeep_is_due(&m.upkeep));
	weir__upkeep_hear(&m.upkeep, m.now_ns);
	keep_up(&m);
	CHECK_EQ_INT(m.promotes, 2);
	CHECK_EQ_INT(sleeps_ns(&m), 100 * WEIR_MS);
	after(&m, 100 * WEIR_MS);
	CHECK_EQ_INT(m.promotes, 3);
	weir__upkeep_fini(&m.upkeep);
}

TEST(upkeep, a_clock_that_is_set_back_delays_nothing_for_more_than_a_sweep)
{
	struct mock m;

	mock_init(&m, NULL, true);
	m.promote_next_ms = BENCH_T0 + 1000;
	keep_up(&m);
	m.now_ms -= 3600 * 1000;
	CHECK(sleeps_ns(&m) <= 30 * WEIR_S);
	m.now_ns += 30 * WEIR_S;
	CHECK(keep_up(&m).may_have);
	CHECK_EQ_INT(m.promotes, 2);
	weir__upkeep_fini(&m.upkeep);
}

TEST(upkeep, a_clock_that_is_set_forward_makes_things_due)
{
	struct mock m;

	mock_init(&m, NULL, true);
	m.promote_next_ms = BENCH_T0 + 3600 * 1000;
	keep_up(&m);
	m.now_ms += 3600 * 1000;
	CHECK(sleeps_ns(&m) <= 0);
	weir__upkeep_fini(&m.upkeep);
}

TEST(upkeep, sweeps_each_second_without_a_bell)
{
	struct mock m;

	mock_init(&m, NULL, false);
	keep_up(&m);
	CHECK_EQ_INT(sleeps_ns(&m), 1 * WEIR_S);
	CHECK(after(&m, 1 * WEIR_S).may_have);
	weir__upkeep_fini(&m.upkeep);
}

TEST(upkeep, rescues_from_a_process_that_is_gone_at_the_first_look)
{
	struct mock m;

	mock_init(&m, NULL, true);
	m.clients[0] =
		(struct weir_client_row){.id = 7, .beat = 3, .gone = true};
	m.client_count = 1;
	m.rescue_count = 2;
	CHECK_EQ_INT(keep_up(&m).rescued, 2);
	CHECK_EQ_INT(m.rescued_id, 7);
	CHECK_EQ_INT(m.rescued_beat, 3);
	CHECK_EQ_INT(m.crashes_max, 3);
	weir__upkeep_fini(&m.upkeep);
}

TEST(upkeep, rescues_all_of_many_jobs)
{
	struct mock m;

	mock_init(&m, NULL, true);
	m.clients[0] = (struct weir_client_row){.id = 7, .gone = true};
	m.client_count = 1;
	m.rescue_count = 2500;
	CHECK_EQ_INT(keep_up(&m).rescued, 2500);
	CHECK_EQ_INT(m.rescues, 3);
	weir__upkeep_fini(&m.upkeep);
}

TEST(upkeep, takes_nobody_for_dead_before_ten_seconds_of_the_same_beat)
{
	struct mock m;

	mock_init(&m, NULL, true);
	m.clients[0] =
		(struct weir_client_row){.id = 7, .beat = 3, .holds = true};
	m.client_count = 1;
	keep_up(&m);
	for (int i = 0; i < 3; i++)
		after(&m, 3 * WEIR_S);
	CHECK_EQ_INT(m.rescues, 0);
	/* One second to go: the next look is then, not in three. */
	CHECK_EQ_INT(sleeps_ns(&m), 1 * WEIR_S);
	after(&m, 1 * WEIR_S);
	CHECK_EQ_INT(m.rescues, 1);
	CHECK_EQ_INT(m.rescued_beat, 3);
	weir__upkeep_fini(&m.upkeep);
}

TEST(upkeep, a_beat_begins_the_ten_seconds_anew)
{
	struct mock m;

	mock_init(&m, NULL, true);
	m.clients[0] =
		(struct weir_client_row){.id = 7, .beat = 3, .holds = true};
	m.client_count = 1;
	keep_up(&m);
	for (int i = 0; i < 20; i++) {
		m.clients[0].beat += i % 3 == 0;
		after(&m, 3 * WEIR_S);
	}
	CHECK_EQ_INT(m.rescues, 0);
	weir__upkeep_fini(&m.upkeep);
}

TEST(upkeep, a_long_sleep_of_our_own_is_not_held_against_others)
{
	struct mock m;

	mock_init(&m, NULL, true);
	m.clients[0] =
		(struct weir_client_row){.id = 7, .beat = 3, .holds = true};
	m.client_count = 1;
	keep_up(&m);
	after(&m, 3600 * WEIR_S);
	CHECK_EQ_INT(m.rescues, 0);
	m.clients[0].beat++;
	after(&m, 3 * WEIR_S);
	after(&m, 3 * WEIR_S);
	CHECK_EQ_INT(m.rescues, 0);
	weir__upkeep_fini(&m.upkeep);
}

TEST(upkeep, nobody_rescues_from_itself)
{
	struct mock m;

	mock_init(&m, NULL, true);
	m.clients[0] =
		(struct weir_client_row){.id = SELF, .beat = 3, .gone = true};
	m.client_count = 1;
	for (int i = 0; i < 10; i++)
		after(&m, 3 * WEIR_S);
	CHECK_EQ_INT(m.rescues, 0);
	weir__upkeep_fini(&m.upkeep);
}

TEST(upkeep, whoever_has_left_is_forgotten)
{
	struct mock m;

	mock_init(&m, NULL, true);
	m.clients[0] =
		(struct weir_client_row){.id = 7, .beat = 3, .holds = true};
	m.client_count = 1;
	keep_up(&m);
	CHECK_EQ_INT(m.upkeep.seen_len, 1);
	m.client_count = 0;
	after(&m, 3 * WEIR_S);
	CHECK_EQ_INT(m.upkeep.seen_len, 0);
	weir__upkeep_fini(&m.upkeep);
}

TEST(upkeep, who_works_alone_rescues_from_those_who_did_not)
{
	weir_work_options options = WEIR_WORK_OPTIONS_INIT;
	struct mock m;

	options.alone = true;
	mock_init(&m, &options, true);
	m.clients[0] =
		(struct weir_client_row){.id = 7, .holds = true, .gone = true};
	m.client_count = 1;
	keep_up(&m);
	CHECK_EQ_INT(m.rescues, 1);
	weir__upkeep_fini(&m.upkeep);
}

TEST(upkeep, keeps_finished_jobs_for_as_long_as_options_say)
{
	weir_work_options options = WEIR_WORK_OPTIONS_INIT;
	struct mock m;

	options.completed_ns = 60 * WEIR_S;
	options.discarded_ns = WEIR_FOREVER;
	mock_init(&m, &options, true);
	keep_up(&m);
	CHECK_EQ_INT(m.retention.keep_ms[WEIR_JOB_COMPLETED], 60 * 1000);
	CHECK_EQ_INT(m.retention.keep_ms[WEIR_JOB_CANCELLED], 24 * 3600 * 1000);
	CHECK_EQ_INT(m.retention.keep_ms[WEIR_JOB_DISCARDED], -1);
	CHECK_EQ_INT(m.retention.keep_ms[WEIR_JOB_AVAILABLE], -1);
	weir__upkeep_fini(&m.upkeep);
}

TEST(upkeep, what_failed_is_still_due)
{
	struct mock m;

	mock_init(&m, NULL, true);
	m.status = WEIR_BUSY;
	keep_up(&m);
	CHECK(sleeps_ns(&m) <= 0);
	m.status = WEIR_OK;
	keep_up(&m);
	CHECK(sleeps_ns(&m) > 0);
	/* Each duty was tried, whatever became of those before it. */
	CHECK_EQ_INT(m.cleans, 2);
	weir__upkeep_fini(&m.upkeep);
}

TEST(upkeep, lets_those_live_who_hold_nothing_and_do_not_beat)
{
	struct mock m;

	mock_init(&m, NULL, true);
	m.clients[0] = (struct weir_client_row){.id = 7, .beat = 3};
	m.client_count = 1;
	keep_up(&m);
	for (int i = 0; i < 10; i++)
		after(&m, 3 * WEIR_S);
	/* Its silence counts from its first claim on. */
	m.clients[0].holds = true;
	for (int i = 0; i < 3; i++)
		after(&m, 3 * WEIR_S);
	CHECK_EQ_INT(m.rescues, 0);
	after(&m, 3 * WEIR_S);
	CHECK_EQ_INT(m.rescues, 1);
	weir__upkeep_fini(&m.upkeep);
}
