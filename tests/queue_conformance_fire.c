/*
 * What every store must do: schedules.
 */
#include "queue_conformance.h"

#include "sync/thread.h"

#include <stdlib.h>

/* T0 is a full minute. */
#define MINUTE 60000

static void
put(weir_store *store, const char *name, const char *spec,
    const struct weir_draft *draft, bool paused)
{
	weir_insert job = WEIR_INSERT_INIT;
	weir_schedule schedule = {.size = sizeof(schedule),
				  .name = name,
				  .spec = spec,
				  .job = &job,
				  .paused = paused};
	weir_error error = {0};

	job.kind = draft->kind;
	job.queue = draft->queue;
	job.args = draft->args;
	REQUIRE(store->ops->schedule_put(store, &schedule, draft, &error) ==
		WEIR_OK);
}

static void
put_kind(weir_store *store, const char *name, const char *spec,
	 const char *kind)
{
	struct weir_draft draft = queue_draft(kind);

	put(store, name, spec, &draft, false);
}

/* How many fired; *ret_next_ms: when the next will, since T0. */
static uint32_t
fire(weir_store *store, uint32_t limit, int64_t *ret_next_ms)
{
	weir_error error = {0};
	uint32_t n = 4711;

	REQUIRE(store->ops->fire(store, limit, &n, ret_next_ms, &error) ==
		WEIR_OK);
	if (*ret_next_ms != INT64_MAX)
		*ret_next_ms -= T0;
	return n;
}

static bool
write_schedule(const weir_schedule *s, void *user)
{
	weir__buf_printf(user, "%s %s %s %s %s%s %lld %lld;", s->name, s->spec,
			 s->job->queue, s->job->kind, s->job->args,
			 s->paused ? " paused" : "",
			 (long long)(s->next_at_ms - T0),
			 (long long)(s->last_at_ms ? s->last_at_ms - T0 : 0));
	return true;
}

static void
check_schedules(weir_store *store, const char *expected)
{
	struct weir_buf b = {0};
	weir_error error = {0};

	REQUIRE(store->ops->schedules(store, write_schedule, &b, &error) ==
		WEIR_OK);
	CHECK_STR(weir__buf_str(&b), expected);
	weir__buf_fini(&b);
}

static size_t
count_jobs(weir_store *store)
{
	const char *dump = queue_dump(store, 0);
	size_t n = 0;

	while ((dump = strchr(dump, '\n')) != NULL) {
		dump++;
		n++;
	}
	return n;
}

STORE_TEST(schedules, insert_one_job_for_each_tick)
{
	struct weir_owner *me = queue_enlist(store, "me");
	int64_t next_ms;

	queue_now_ms = T0 + 1;
	put_kind(store, "often", "@every 60s", "work");
	CHECK_EQ_INT(fire(store, 9, &next_ms), 0);
	CHECK_EQ_INT(next_ms, MINUTE);
	queue_now_ms = T0 + MINUTE - 1;
	CHECK_EQ_INT(fire(store, 9, &next_ms), 0);
	CHECK_EQ_INT(count_jobs(store), 0);
	queue_now_ms = T0 + MINUTE;
	CHECK_EQ_INT(fire(store, 9, &next_ms), 1);
	CHECK_EQ_INT(next_ms, 2 * MINUTE);
	CHECK_EQ_INT(fire(store, 9, &next_ms), 0);
	CHECK_EQ_INT(next_ms, 2 * MINUTE);
	CHECK_EQ_INT(count_jobs(store), 1);
	CHECK_STR(queue_batch_ids(queue_claim(store, me, 9)), "1");
	queue_now_ms = T0 + 2 * MINUTE + 17;
	CHECK_EQ_INT(fire(store, 9, &next_ms), 1);
	CHECK_EQ_INT(queue_look(store, 2)->scheduled_at_ms, T0 + 2 * MINUTE);
	check_schedules(store, "often @every 60s default work {} 180000 "
			       "120000;");
}

STORE_TEST(schedules, insert_the_job_that_was_put)
{
	struct weir_draft draft = queue_draft("odd.kind");
	const weir_job_row *row;
	int64_t next_ms;

	queue_draft_queue(&draft, "some-queue");
	queue_draft_args(&draft, "{\"n\": 1e400}");
	draft.metadata = "{\"m\":2}";
	draft.metadata_len = strlen(draft.metadata);
	draft.tags = "[\"one\",\"two\"]";
	draft.tags_len = strlen(draft.tags);
	draft.priority = 3;
	draft.max_attempts = 7;
	draft.timeout_ns = 123456789;
	queue_draft_key(&draft, 9, WEIR_UNIQUE_STATES_DEFAULT);
	put(store, "odd", "@every 1h", &draft, false);
	queue_now_ms = T0 + 60 * MINUTE + 5;
	CHECK_EQ_INT(fire(store, 9, &next_ms), 1);
	row = queue_look(store, 1);
	CHECK_EQ_INT(row->state, WEIR_JOB_AVAILABLE);
	CHECK_STR(row->kind, "odd.kind");
	CHECK_STR(row->queue, "some-queue");
	CHECK_JSON(row->args, "{\"n\": 1e400}");
	CHECK_JSON(row->metadata, "{\"m\":2}");
	CHECK_STR(row->tags, "[\"one\",\"two\"]");
	CHECK_EQ_INT(row->priority, 3);
	CHECK_EQ_INT(row->max_attempts, 7);
	CHECK_EQ_INT(row->timeout_ns, 123456789);
	CHECK_EQ_INT(row->created_at_ms, queue_now_ms);
	CHECK(row->unique_key && row->unique_key[31] == 9);
	CHECK_EQ_INT(row->unique_states, WEIR_UNIQUE_STATES_DEFAULT);
}

STORE_TEST(schedules, insert_one_job_for_all_ticks_that_were_missed)
{
	int64_t next_ms;

	put_kind(store, "often", "@every 60s", "work");
	queue_now_ms = T0 + 1000 * MINUTE + 30000;
	CHECK_EQ_INT(fire(store, 9, &next_ms), 1);
	CHECK_EQ_INT(next_ms, 1001 * MINUTE);
	CHECK_EQ_INT(fire(store, 9, &next_ms), 0);
	CHECK_EQ_INT(count_jobs(store), 1);
	CHECK_EQ_INT(queue_look(store, 1)->scheduled_at_ms, T0 + 1000 * MINUTE);
}

STORE_TEST(schedules, fire_by_cron_lines)
{
	int64_t next_ms;

	/* T0 is 2027-01-15, 08:00:00. */
	put_kind(store, "at", "30 9 * * *", "work");
	queue_now_ms = T0 + 90 * MINUTE - 1;
	CHECK_EQ_INT(fire(store, 9, &next_ms), 0);
	CHECK_EQ_INT(next_ms, 90 * MINUTE);
	queue_now_ms++;
	CHECK_EQ_INT(fire(store, 9, &next_ms), 1);
	CHECK_EQ_INT(next_ms, (90 + 1440) * MINUTE);
}

STORE_TEST(schedules, that_are_paused_do_not_fire)
{
	struct weir_draft draft = queue_draft("work");
	int64_t next_ms;

	put(store, "often", "@every 60s", &draft, true);
	queue_now_ms = T0 + 10 * MINUTE;
	CHECK_EQ_INT(fire(store, 9, &next_ms), 0);
	CHECK_EQ_INT(next_ms, INT64_MAX);
	/* Nor for ticks of that time, when they are not any more. */
	put(store, "often", "@every 60s", &draft, false);
	CHECK_EQ_INT(fire(store, 9, &next_ms), 0);
	CHECK_EQ_INT(next_ms, 11 * MINUTE);
	CHECK_EQ_INT(count_jobs(store), 0);
}

static weir_status
pause_one(weir_store *store, const char *name, bool pause)
{
	weir_error error = {0};

	return store->ops->schedule_pause(store, name, pause, &error);
}

STORE_TEST(schedules, go_on_with_the_next_tick_after_a_pause)
{
	struct weir_draft draft = queue_draft("work");
	int64_t next_ms;

	draft.tags = "[\"one\"]";
	draft.tags_len = strlen(draft.tags);
	queue_draft_key(&draft, 9, WEIR_UNIQUE_STATES_DEFAULT);
	put(store, "often", "@every 60s", &draft, false);
	CHECK_EQ_INT(pause_one(store, "often", true), WEIR_OK);
	queue_now_ms = T0 + 10 * MINUTE + 1;
	CHECK_EQ_INT(fire(store, 9, &next_ms), 0);
	CHECK_EQ_INT(pause_one(store, "often", false), WEIR_OK);
	CHECK_EQ_INT(fire(store, 9, &next_ms), 0);
	CHECK_EQ_INT(next_ms, 11 * MINUTE);
	/* One that goes on anyway misses nothing for being told to. */
	queue_now_ms = T0 + 11 * MINUTE + 1;
	CHECK_EQ_INT(pause_one(store, "often", false), WEIR_OK);
	CHECK_EQ_INT(fire(store, 9, &next_ms), 1);
	/* Its job is what was put, and nothing of that was lost. */
	CHECK_STR(queue_look(store, 1)->tags, "[\"one\"]");
	CHECK(queue_look(store, 1)->unique_key != NULL);
	CHECK_EQ_INT(pause_one(store, "nope", true), WEIR_NOTFOUND);
}

STORE_TEST(schedules, are_replaced_by_one_of_the_same_name)
{
	struct weir_draft draft = queue_draft("new");
	int64_t next_ms;

	put_kind(store, "name", "@every 60s", "old");
	put_kind(store, "other", "@every 1h", "other");
	queue_draft_args(&draft, "{\"a\": 1}"); /* as jsonb writes it */
	put(store, "name", "@every 2m", &draft, false);
	check_schedules(store, "name @every 2m default new {\"a\": 1} 120000 0;"
			       "other @every 1h default other {} 3600000 0;");
	queue_now_ms = T0 + MINUTE;
	CHECK_EQ_INT(fire(store, 9, &next_ms), 0);
	queue_now_ms = T0 + 2 * MINUTE;
	CHECK_EQ_INT(fire(store, 9, &next_ms), 1);
	CHECK_STR(queue_look(store, 1)->kind, "new");
}

STORE_TEST(schedules, keep_a_tick_that_is_due_when_they_are_put_again)
{
	int64_t next_ms;

	put_kind(store, "name", "@every 60s", "old");
	queue_now_ms = T0 + MINUTE + 5;
	put_kind(store, "name", "@every 60s", "new");
	CHECK_EQ_INT(fire(store, 9, &next_ms), 1);
	CHECK_STR(queue_look(store, 1)->kind, "new");
	CHECK_EQ_INT(queue_look(store, 1)->scheduled_at_ms, T0 + MINUTE);
	put_kind(store, "name", "@every 60s", "newer");
	check_schedules(store,
			"name @every 60s default newer {} 120000 60000;");
	/* Another spec has ticks of its own. */
	queue_now_ms = T0 + 2 * MINUTE;
	put_kind(store, "name", "@every 1h", "newest");
	CHECK_EQ_INT(fire(store, 9, &next_ms), 0);
	CHECK_EQ_INT(next_ms, 60 * MINUTE);
}

STORE_TEST(schedules, are_listed_by_name_and_taken_out)
{
	weir_error error = {0};
	int64_t next_ms;

	put_kind(store, "b", "@every 60s", "work");
	put_kind(store, "c", "@every 60s", "work");
	put_kind(store, "a", "@every 60s", "work");
	CHECK_EQ_INT(store->ops->schedule_delete(store, "b", &error), WEIR_OK);
	CHECK_EQ_INT(store->ops->schedule_delete(store, "b", &error),
		     WEIR_NOTFOUND);
	check_schedules(store, "a @every 60s default work {} 60000 0;"
			       "c @every 60s default work {} 60000 0;");
	queue_now_ms = T0 + MINUTE;
	CHECK_EQ_INT(fire(store, 9, &next_ms), 2);
}

STORE_TEST(schedules, fire_at_most_so_many_at_once)
{
	int64_t next_ms;

	put_kind(store, "a", "@every 60s", "work");
	put_kind(store, "b", "@every 60s", "work");
	put_kind(store, "c", "@every 60s", "work");
	queue_now_ms = T0 + MINUTE;
	CHECK_EQ_INT(fire(store, 2, &next_ms), 2);
	CHECK_EQ_INT(next_ms, MINUTE);
	CHECK_EQ_INT(fire(store, 2, &next_ms), 1);
	CHECK_EQ_INT(next_ms, 2 * MINUTE);
	CHECK_EQ_INT(count_jobs(store), 3);
}

STORE_TEST(schedules, move_on_when_their_job_is_a_duplicate)
{
	struct weir_draft draft = queue_draft("unique");
	int64_t next_ms;

	queue_draft_key(&draft, 1, WEIR_UNIQUE_STATES_DEFAULT);
	put(store, "often", "@every 60s", &draft, false);
	for (int i = 1; i <= 3; i++) {
		queue_now_ms = T0 + i * MINUTE;
		fire(store, 9, &next_ms);
		CHECK_EQ_INT(next_ms, (i + 1) * MINUTE);
		CHECK_EQ_INT(count_jobs(store), 1);
	}
	queue_change(store, WEIR_JOB_CANCEL, 1);
	queue_now_ms = T0 + 4 * MINUTE;
	fire(store, 9, &next_ms);
	CHECK_EQ_INT(count_jobs(store), 2);
}

STORE_TEST(schedules, ring_the_bells)
{
	int fd = store->ops->wake_fd(store);
	int64_t next_ms;

	queue_need_bells();
	put_kind(store, "often", "@every 60s", "work");
	queue_quieten(store, fd);
	CHECK_EQ_INT(fire(store, 9, &next_ms), 0);
	CHECK(queue_is_quiet(fd));
	queue_now_ms = T0 + MINUTE;
	CHECK_EQ_INT(fire(queue_join(store), 9, &next_ms), 1);
	CHECK(queue_is_rung(fd));
}

/* Two that look at the same time. */
struct finger {
	weir_store *store;
	uint32_t fired;
	struct weir_thread thread;
};

static void
fire_some(void *arg)
{
	struct finger *finger = arg;
	weir_error error = {0};
	int64_t next_ms;
	uint32_t n;

	do {
		n = 0;
		CHECK_EQ_INT(finger->store->ops->fire(finger->store, 1, &n,
						      &next_ms, &error),
			     WEIR_OK);
		finger->fired += n;
	} while (n > 0);
}

STORE_TEST(schedules, fire_once_however_many_look)
{
	struct finger fingers[3] = {{0}};
	char name[] = "a";
	uint32_t fired = 0;

	for (; *name <= 't'; ++*name)
		put_kind(store, name, "@every 60s", "work");
	queue_now_ms = T0 + MINUTE;
	for (int i = 0; i < 3; i++) {
		fingers[i].store = i ? queue_join(store) : store;
		REQUIRE(weir__thread_start(&fingers[i].thread, "finger", 0,
					   fire_some, &fingers[i]) == WEIR_OK);
	}
	for (int i = 0; i < 3; i++) {
		weir__thread_join(&fingers[i].thread);
		fired += fingers[i].fired;
	}
	CHECK_EQ_INT(fired, 20);
	CHECK_EQ_INT(count_jobs(store), 20);
}

STORE_TEST(reopened, it_has_its_schedules_as_they_were)
{
	int64_t next_ms;

	put_kind(store, "often", "@every 60s", "work");
	queue_now_ms = T0 + MINUTE;
	CHECK_EQ_INT(fire(store, 9, &next_ms), 1);
	store = queue_reopen();
	check_schedules(store, "often @every 60s default work {} 120000 "
			       "60000;");
	CHECK_EQ_INT(fire(store, 9, &next_ms), 0);
	queue_now_ms = T0 + 2 * MINUTE;
	CHECK_EQ_INT(fire(store, 9, &next_ms), 1);
	CHECK_EQ_INT(count_jobs(store), 2);
}
