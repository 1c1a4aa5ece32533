/*
 * The public calls on a store: what they refuse, and what they hand on to a
 * store that only takes notes.
 */
#include "harness.h"

#include "queue/ours.h"
#include "queue/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NOW_MS INT64_C(1767323045678)

/* What the store was asked for, and what it answers. */
struct notes {
	weir_store base;
	int calls, closed, woken;
	const char *what;        /* the operation */
	struct weir_draft draft; /* the last one, and how many */
	size_t count;
	weir_job_filter filter;
	weir_job_action action;
	weir_schedule schedule;
	weir_kind_limit limit;
	char queue[80];
	int pause, finished;
	void *db;
	int64_t now_ms;
	weir_status answer;
};

static weir_status
note(weir_store *store, const char *what)
{
	struct notes *notes = (struct notes *)(void *)store;

	notes->calls++;
	notes->what = what;
	return notes->answer;
}

static void
fake_close(weir_store *store)
{
	((struct notes *)(void *)store)->closed++;
}

static weir_status
fake_insert(weir_store *store, const struct weir_draft *drafts, size_t count,
	    weir_inserted *rets, weir_ctx *ctx, weir_error *reterr)
{
	struct notes *notes = (struct notes *)(void *)store;

	REQUIRE(reterr && !ctx && count > 0);
	notes->draft = drafts[count - 1];
	notes->count = count;
	for (size_t i = 0; rets && i < count; i++)
		rets[i] = (weir_inserted){.id = (int64_t)i + 1};
	return note(store, "insert");
}

static weir_status
fake_insert_tx(weir_store *store, void *db, const struct weir_draft *drafts,
	       size_t count, weir_inserted *rets, weir_error *reterr)
{
	((struct notes *)(void *)store)->db = db;
	(void)fake_insert(store, drafts, count, rets, NULL, reterr);
	return note(store, "insert_tx");
}

static weir_status
fake_list(weir_store *store, const weir_job_filter *filter,
	  weir_job_row_fn *row, void *user, weir_error *reterr)
{
	struct notes *notes = (struct notes *)(void *)store;

	REQUIRE(row && reterr && !user);
	notes->filter = *filter;
	return note(store, "list");
}

static weir_status
fake_change(weir_store *store, weir_job_action action, const int64_t *ids,
	    size_t count, weir_job_changed *rets, weir_ctx *ctx,
	    weir_error *reterr)
{
	struct notes *notes = (struct notes *)(void *)store;

	REQUIRE(ids && reterr && !ctx);
	notes->action = action;
	notes->count = count;
	if (rets)
		rets[0].status = WEIR_NOTFOUND;
	return note(store, "change");
}

static weir_status
fake_queues(weir_store *store, weir_queue_row_fn *row, void *user,
	    weir_error *reterr)
{
	REQUIRE(row && reterr && !user);
	return note(store, "queues");
}

static weir_status
fake_queue_set(weir_store *store, const char *queue, int pause, int finished,
	       weir_error *reterr)
{
	struct notes *notes = (struct notes *)(void *)store;

	REQUIRE(reterr);
	(void)snprintf(notes->queue, sizeof(notes->queue), "%s", queue);
	notes->pause = pause;
	notes->finished = finished;
	return note(store, "queue_set");
}

static weir_status
fake_schedule_put(weir_store *store, const weir_schedule *schedule,
		  const struct weir_draft *draft, weir_error *reterr)
{
	struct notes *notes = (struct notes *)(void *)store;

	REQUIRE(reterr);
	notes->schedule = *schedule;
	notes->draft = *draft;
	return note(store, "schedule_put");
}

static weir_status
fake_schedule_delete(weir_store *store, const char *name, weir_error *reterr)
{
	struct notes *notes = (struct notes *)(void *)store;

	REQUIRE(reterr);
	(void)snprintf(notes->queue, sizeof(notes->queue), "%s", name);
	return note(store, "schedule_delete");
}

static weir_status
fake_schedule_pause(weir_store *store, const char *name, bool pause,
		    weir_error *reterr)
{
	struct notes *notes = (struct notes *)(void *)store;

	REQUIRE(reterr);
	notes->pause = pause;
	(void)snprintf(notes->queue, sizeof(notes->queue), "%s", name);
	return note(store, "schedule_pause");
}

static weir_status
fake_schedules(weir_store *store, weir_schedule_fn *row, void *user,
	       weir_error *reterr)
{
	REQUIRE(row && reterr && !user);
	return note(store, "schedules");
}

static void
fake_wake(weir_store *store)
{
	((struct notes *)(void *)store)->woken++;
}

static weir_status
fake_limit_put(weir_store *store, const weir_kind_limit *limit,
	       weir_error *reterr)
{
	REQUIRE(reterr);
	((struct notes *)(void *)store)->limit = *limit;
	return note(store, "limit_put");
}

static weir_status
fake_limit_delete(weir_store *store, const char *kind, weir_error *reterr)
{
	struct notes *notes = (struct notes *)(void *)store;

	REQUIRE(reterr);
	(void)snprintf(notes->queue, sizeof(notes->queue), "%s", kind);
	return note(store, "limit_delete");
}

static weir_status
fake_limits(weir_store *store, weir_kind_limit_fn *row, void *user,
	    weir_error *reterr)
{
	REQUIRE(row && reterr && !user);
	return note(store, "limits");
}

static const struct weir_store_ops fake_ops = {
	.name = "notes",
	.close = fake_close,
	.insert = fake_insert,
	.insert_tx = fake_insert_tx,
	.list = fake_list,
	.change = fake_change,
	.queues = fake_queues,
	.queue_set = fake_queue_set,
	.schedule_put = fake_schedule_put,
	.schedule_delete = fake_schedule_delete,
	.schedule_pause = fake_schedule_pause,
	.schedules = fake_schedules,
	.limit_put = fake_limit_put,
	.limit_delete = fake_limit_delete,
	.limits = fake_limits,
	.wake = fake_wake,
};

static int64_t
fake_now_ms(void *user)
{
	return *(int64_t *)user;
}

static struct notes *
notes_new(void)
{
	static struct notes notes;

	notes = (struct notes){.base = {.ops = &fake_ops,
					.now_ms = fake_now_ms,
					.now_user = &notes.now_ms},
			       .now_ms = NOW_MS};
	return &notes;
}

static weir_insert
email(void)
{
	weir_insert insert = WEIR_INSERT_INIT;

	insert.kind = "email";
	return insert;
}

static weir_error error;

/* The call was refused, for that reason, and the store has not heard of it. */
#define CHECK_REFUSED(call, why)                        \
	do {                                            \
		int calls = notes->calls;               \
		error = (weir_error){0};                \
		CHECK_EQ_INT(call, WEIR_INVAL);         \
		CHECK_STR(error.message, why);          \
		CHECK_EQ_INT(error.status, WEIR_INVAL); \
		CHECK_EQ_INT(notes->calls, calls);      \
	} while (0)

TEST(queue_calls, hand_drafts_of_inserts_to_the_store)
{
	struct notes *notes = notes_new();
	weir_insert inserts[2] = {email(), email()};
	weir_inserted rets[2] = {{0}};

	inserts[1].args = "{\"n\":1}";
	CHECK_EQ_INT(
		weir_store_insert(&notes->base, inserts, 2, rets, NULL, NULL),
		WEIR_OK);
	CHECK_STR(notes->what, "insert");
	CHECK_EQ_INT(notes->count, 2);
	CHECK_STR(notes->draft.args, "{\"n\":1}");
	CHECK_EQ_INT(notes->draft.created_at_ms, NOW_MS);
	CHECK_EQ_INT(rets[1].id, 2);
	notes->answer = WEIR_BUSY;
	CHECK_EQ_INT(
		weir_store_insert(&notes->base, inserts, 1, NULL, NULL, &error),
		WEIR_BUSY);
}

TEST(queue_calls, refuse_bad_inserts_all_at_once)
{
	struct notes *notes = notes_new();
	weir_insert inserts[3] = {email(), email(), email()};
	weir_inserted rets[3] = {{0}};

	inserts[2].kind = "x";
	CHECK_REFUSED(
		weir_store_insert(&notes->base, inserts, 3, rets, NULL, &error),
		"job 2: kind \"x\" has only one character");
	CHECK_EQ_INT(rets[0].id, 0);
	CHECK_REFUSED(
		weir_store_insert(&notes->base, NULL, 3, rets, NULL, &error),
		"there are no jobs");
	CHECK_EQ_INT(
		weir_store_insert(&notes->base, inserts, 3, rets, NULL, NULL),
		WEIR_INVAL);
}

TEST(queue_calls, do_not_trouble_the_store_for_nothing)
{
	struct notes *notes = notes_new();

	CHECK_EQ_INT(weir_store_insert(&notes->base, NULL, 0, NULL, NULL, NULL),
		     WEIR_OK);
	CHECK_EQ_INT(weir_store_change(&notes->base, WEIR_JOB_RETRY, NULL, 0,
				       NULL, NULL, NULL),
		     WEIR_OK);
	CHECK_EQ_INT(notes->calls, 0);
}

TEST(queue_calls, let_only_the_command_insert_its_kinds)
{
	struct notes *notes = notes_new();
	weir_insert insert = email();
	weir_schedule schedule = {.size = sizeof(schedule),
				  .name = "n",
				  .spec = "@daily",
				  .job = &insert};
	const char *why = "kind \"weir.exec\" is reserved for the command weir";

	insert.kind = "weir.exec";
	CHECK_REFUSED(
		weir_store_insert(&notes->base, &insert, 1, NULL, NULL, &error),
		why);
	CHECK_REFUSED(weir_store_schedule(&notes->base, &schedule, &error),
		      why);
	CHECK_EQ_INT(weir__store_insert_ours(&notes->base, &insert, 1, NULL,
					     NULL, &error),
		     WEIR_OK);
	CHECK_STR(notes->draft.kind, "weir.exec");
	CHECK_EQ_INT(weir__store_schedule_ours(&notes->base, &schedule, NULL),
		     WEIR_OK);
	CHECK_STR(notes->what, "schedule_put");
}

TEST(queue_calls, insert_into_transactions_of_stores_that_have_any)
{
	struct notes *notes = notes_new();
	struct weir_store_ops without = fake_ops;
	struct sqlite3 *db = (void *)notes;
	weir_insert insert = email();

	CHECK_EQ_INT(
		weir_store_insert_tx(&notes->base, db, &insert, 1, NULL, NULL),
		WEIR_OK);
	CHECK_STR(notes->what, "insert_tx");
	CHECK(notes->db == notes);
	CHECK_REFUSED(weir_store_insert_tx(&notes->base, NULL, &insert, 1, NULL,
					   &error),
		      "there is no connection");
	insert.priority = 5;
	CHECK_REFUSED(weir_store_insert_tx(&notes->base, db, &insert, 1, NULL,
					   &error),
		      "priority 5 is not one of 1 to 4");
	without.insert_tx = NULL;
	notes->base.ops = &without;
	CHECK_REFUSED(weir_store_insert_tx(&notes->base, db, &insert, 1, NULL,
					   &error),
		      "this store has no connections of callers");
	weir_store_committed(&notes->base);
	CHECK_EQ_INT(notes->woken, 1);
}

TEST(queue_calls, take_whatever_a_clock_says_for_a_time)
{
	struct notes *notes = notes_new();
	weir_insert insert = email();

	insert.unique = WEIR_UNIQUE_PERIOD;
	insert.unique_period_ns = WEIR_S;
	notes->now_ms = INT64_MIN;
	CHECK_EQ_INT(
		weir_store_insert(&notes->base, &insert, 1, NULL, NULL, NULL),
		WEIR_OK);
	CHECK_EQ_INT(notes->draft.created_at_ms, 1);
	notes->now_ms = INT64_MAX;
	CHECK_EQ_INT(
		weir_store_insert(&notes->base, &insert, 1, NULL, NULL, NULL),
		WEIR_OK);
	CHECK(notes->draft.created_at_ms < INT64_C(253402300800000));
	insert.delay_ns = WEIR_FOREVER;
	CHECK_REFUSED(
		weir_store_insert(&notes->base, &insert, 1, NULL, NULL, &error),
		"it would run after the year 9999");
}

static bool
ignore_job(const weir_job_row *row, void *user)
{
	return row || user;
}

static weir_status
list_with(struct notes *notes, const weir_job_filter *filter)
{
	return weir_store_list(&notes->base, filter, ignore_job, NULL, &error);
}

TEST(queue_calls, check_the_filter_of_a_list)
{
	struct notes *notes = notes_new();
	weir_job_filter filter = WEIR_JOB_FILTER_INIT;
	char endless[300] = "";
	int64_t id = 7;

	CHECK_EQ_INT(list_with(notes, NULL), WEIR_OK);
	filter.ids = &id;
	filter.id_count = 1;
	filter.states = WEIR_JOB_STATES_FINAL;
	filter.queue = "mail";
	filter.kind = "weir.exec";
	filter.tag = "abc";
	filter.limit = 5;
	CHECK_EQ_INT(list_with(notes, &filter), WEIR_OK);
	CHECK(notes->filter.ids == &id && notes->filter.limit == 5);
	filter.tag = "a,b";
	CHECK_REFUSED(list_with(notes, &filter),
		      "tag \"a,b\" has something else than letters, digits, _ "
		      "and -");
	memset(endless, 't', 256);
	filter.tag = endless;
	CHECK_REFUSED(list_with(notes, &filter),
		      "tag \"ttttttttttttttttttttttttttttttttttttttttt...\" "
		      "has more than 255 bytes");
	filter.kind = "";
	CHECK_REFUSED(list_with(notes, &filter), "kind \"\" is empty");
	filter.queue = "Mail";
	CHECK_REFUSED(list_with(notes, &filter),
		      "queue \"Mail\" has something else than a-z, 0-9, _ and "
		      "-");
	filter.after_id = -1;
	CHECK_REFUSED(list_with(notes, &filter),
		      "since_ms, before_id and after_id may not be negative");
	filter.states = WEIR_JOB_STATES_ALL + 1;
	CHECK_REFUSED(list_with(notes, &filter), "states has an unknown bit");
	filter.ids = NULL;
	CHECK_REFUSED(list_with(notes, &filter), "id_count without ids");
	filter.size = 0;
	CHECK_REFUSED(list_with(notes, &filter),
		      "the filter has no size that is known");
	CHECK_REFUSED(weir_store_list(&notes->base, NULL, NULL, NULL, &error),
		      "nobody takes the rows");
}

TEST(queue_calls, find_nothing_among_no_ids)
{
	struct notes *notes = notes_new();
	weir_job_filter filter = WEIR_JOB_FILTER_INIT;
	int64_t id = 7;

	filter.ids = &id;
	CHECK_EQ_INT(list_with(notes, &filter), WEIR_OK);
	CHECK_EQ_INT(notes->calls, 0);
}

TEST(queue_calls, change_jobs_by_their_ids)
{
	struct notes *notes = notes_new();
	weir_job_changed ret = {WEIR_OK, WEIR_JOB_PENDING};
	int64_t id = 7;

	CHECK_EQ_INT(weir_store_change(&notes->base, WEIR_JOB_DELETE, &id, 1,
				       &ret, NULL, NULL),
		     WEIR_OK);
	CHECK_EQ_INT(notes->action, WEIR_JOB_DELETE);
	CHECK_EQ_INT(ret.status, WEIR_NOTFOUND);
	CHECK_REFUSED(weir_store_change(&notes->base, (weir_job_action)3, &id,
					1, NULL, NULL, &error),
		      "no such action");
	CHECK_REFUSED(weir_store_change(&notes->base, WEIR_JOB_RETRY, NULL, 1,
					NULL, NULL, &error),
		      "there are no ids");
}

static bool
ignore_queue(const weir_queue_row *row, void *user)
{
	return row || user;
}

TEST(queue_calls, set_what_a_queue_is)
{
	struct notes *notes = notes_new();
	const char *bad =
		"queue \"**\" has something else than a-z, 0-9, _ and -";

	CHECK_EQ_INT(weir_store_pause(&notes->base, "mail", true, NULL),
		     WEIR_OK);
	CHECK_STR(notes->queue, "mail");
	CHECK(notes->pause == 1 && notes->finished < 0);
	CHECK_EQ_INT(weir_store_pause(&notes->base, "*", false, NULL), WEIR_OK);
	CHECK_STR(notes->queue, "*");
	CHECK(notes->pause == 0 && notes->finished < 0);
	CHECK_EQ_INT(weir_store_set_finished(&notes->base, "mail",
					     WEIR_FINISHED_DROP, NULL),
		     WEIR_OK);
	CHECK(notes->pause < 0 && notes->finished == WEIR_FINISHED_DROP);
	CHECK_REFUSED(weir_store_pause(&notes->base, "**", true, &error), bad);
	CHECK_REFUSED(weir_store_pause(&notes->base, NULL, true, &error),
		      "there is no queue");
	CHECK_REFUSED(weir_store_set_finished(&notes->base, "**",
					      WEIR_FINISHED_DROP, &error),
		      bad);
	CHECK_REFUSED(weir_store_set_finished(&notes->base, "*",
					      WEIR_FINISHED_DROP, &error),
		      "queue \"*\" has something else than a-z, 0-9, _ and -");
	CHECK_REFUSED(weir_store_set_finished(&notes->base, "mail",
					      (weir_finished_policy)3, &error),
		      "nothing of that kind can become of finished jobs");
	CHECK_EQ_INT(weir_store_queues(&notes->base, ignore_queue, NULL, NULL),
		     WEIR_OK);
	CHECK_REFUSED(weir_store_queues(&notes->base, NULL, NULL, &error),
		      "nobody takes the rows");
}

static bool
ignore_schedule(const weir_schedule *row, void *user)
{
	return row || user;
}

TEST(queue_calls, put_schedules_and_take_them_out)
{
	struct notes *notes = notes_new();
	weir_insert insert = email();
	weir_schedule schedule;

	weir_schedule_init(&schedule);
	schedule.name = "every morning";
	schedule.spec = "0 6 * * *";
	schedule.job = &insert;
	schedule.next_at_ms = 42;
	insert.delay_ns = 42;
	CHECK_EQ_INT(weir_store_schedule(&notes->base, &schedule, NULL),
		     WEIR_OK);
	CHECK_STR(notes->schedule.name, "every morning");
	CHECK_EQ_INT(notes->schedule.next_at_ms, 0);
	CHECK_EQ_INT(notes->draft.state, WEIR_JOB_AVAILABLE);
	CHECK_EQ_INT(weir_store_unschedule(&notes->base, "every morning", NULL),
		     WEIR_OK);
	CHECK_STR(notes->what, "schedule_delete");
	CHECK_STR(notes->queue, "every morning");
	CHECK_REFUSED(weir_store_unschedule(&notes->base, NULL, &error),
		      "the schedule has no name");
	CHECK_REFUSED(weir_store_unschedule(&notes->base, "a\nb", &error),
		      "schedule \"a?b\" has a control character");
	CHECK_EQ_INT(weir_store_pause_schedule(&notes->base, "n", true, NULL),
		     WEIR_OK);
	CHECK_STR(notes->what, "schedule_pause");
	CHECK_STR(notes->queue, "n");
	CHECK(notes->pause > 0);
	CHECK_REFUSED(
		weir_store_pause_schedule(&notes->base, NULL, true, &error),
		"the schedule has no name");
	CHECK_EQ_INT(
		weir_store_schedules(&notes->base, ignore_schedule, NULL, NULL),
		WEIR_OK);
	CHECK_REFUSED(weir_store_schedules(&notes->base, NULL, NULL, &error),
		      "nobody takes the rows");
}

TEST(queue_calls, refuse_schedules_that_are_none)
{
	struct notes *notes = notes_new();
	weir_insert insert = email();
	weir_schedule schedule;

	weir_schedule_init(&schedule);
	CHECK_REFUSED(weir_store_schedule(&notes->base, NULL, &error),
		      "the schedule has no size that is known");
	CHECK_REFUSED(weir_store_schedule(&notes->base, &schedule, &error),
		      "the schedule has no name");
	schedule.name = "";
	CHECK_REFUSED(weir_store_schedule(&notes->base, &schedule, &error),
		      "schedule \"\" is empty");
	schedule.name = "n";
	CHECK_REFUSED(weir_store_schedule(&notes->base, &schedule, &error),
		      "the schedule has no spec");
	schedule.spec = "* * * *";
	CHECK_REFUSED(weir_store_schedule(&notes->base, &schedule, &error),
		      "spec: it has 4 fields, and not 5: minute, hour, day, "
		      "month, weekday");
	schedule.spec = "0 0 30 2 *";
	CHECK_REFUSED(weir_store_schedule(&notes->base, &schedule, &error),
		      "spec: that day never comes");
	schedule.spec = "@every 1s";
	CHECK_REFUSED(weir_store_schedule(&notes->base, &schedule, &error),
		      "the schedule has no job");
	schedule.job = &insert;
	insert.args = "[]";
	CHECK_REFUSED(weir_store_schedule(&notes->base, &schedule, &error),
		      "args: [ where an object in {} should be (at byte 0)");
}

static bool
ignore_limit(const weir_kind_limit *row, void *user)
{
	return row || user;
}

TEST(queue_calls, set_limits_and_take_them_away)
{
	struct notes *notes = notes_new();
	weir_store *store = &notes->base;
	weir_kind_limit limit;

	weir_kind_limit_init(&limit);
	limit.kind = "email";
	limit.per_second = 100;
	CHECK_EQ_INT(weir_store_limit(store, &limit, NULL), WEIR_OK);
	CHECK_STR(notes->limit.kind, "email");
	CHECK_EQ_INT(notes->limit.most, 0);
	CHECK_EQ_INT(notes->limit.burst, 5);
	limit.per_second = 3;
	CHECK_EQ_INT(weir_store_limit(store, &limit, NULL), WEIR_OK);
	CHECK_EQ_INT(notes->limit.burst, 1);
	limit.burst = 9;
	CHECK_EQ_INT(weir_store_limit(store, &limit, NULL), WEIR_OK);
	CHECK_EQ_INT(notes->limit.burst, 9);
	CHECK_EQ_INT(weir_store_unlimit(store, "email", NULL), WEIR_OK);
	CHECK_STR(notes->what, "limit_delete");
	CHECK_STR(notes->queue, "email");
	CHECK_EQ_INT(weir_store_limits(store, ignore_limit, NULL, NULL),
		     WEIR_OK);
}

TEST(queue_calls, refuse_limits_that_are_none)
{
	struct notes *notes = notes_new();
	weir_store *store = &notes->base;
	weir_kind_limit limit;

	weir_kind_limit_init(&limit);
	CHECK_REFUSED(weir_store_limit(store, NULL, &error),
		      "the limit has no size that is known");
	CHECK_REFUSED(weir_store_limit(store, &limit, &error),
		      "there is no kind");
	limit.kind = "e mail";
	CHECK_REFUSED(weir_store_limit(store, &limit, &error),
		      "kind \"e mail\" has something else than letters, "
		      "digits, _ and -[]<>/.\xc2\xb7:+");
	limit.kind = "email";
	CHECK_REFUSED(weir_store_limit(store, &limit, &error),
		      "the limit has neither a number of jobs nor a rate");
	limit.per_second = -1;
	CHECK_REFUSED(weir_store_limit(store, &limit, &error),
		      "the rate is between one a year and a thousand million "
		      "a second");
	limit.per_second = 0;
	limit.most = UINT32_MAX;
	CHECK_REFUSED(weir_store_limit(store, &limit, &error),
		      "most and burst are at most 2147483647");
	CHECK_REFUSED(weir_store_unlimit(store, NULL, &error),
		      "there is no kind");
	CHECK_REFUSED(weir_store_limits(store, NULL, NULL, &error),
		      "nobody takes the rows");
}

/* What a file has instead is said. */
TEST(queue_calls, limit_nothing_across_processes_in_a_file)
{
	const char *why = "limits across processes need PostgreSQL; a worker "
			  "has its own: weir work --limit and --rate, or width "
			  "and rate of a handler";
	struct notes *notes = notes_new();
	weir_store *store = &notes->base;
	struct weir_store_ops ops = *store->ops;
	weir_kind_limit limit;

	ops.limit_put = NULL;
	ops.limit_delete = NULL;
	ops.limits = NULL;
	store->ops = &ops;
	weir_kind_limit_init(&limit);
	limit.kind = "email";
	limit.most = 1;
	CHECK_REFUSED(weir_store_limit(store, &limit, &error), why);
	CHECK_REFUSED(weir_store_unlimit(store, "email", &error), why);
	CHECK_REFUSED(weir_store_limits(store, ignore_limit, NULL, &error),
		      why);
}

TEST(queue_calls, write_nothing_to_a_store_that_was_opened_read_only)
{
	weir_kind_limit limit = {
		.size = sizeof(limit), .kind = "email", .most = 1};
	struct notes *notes = notes_new();
	weir_insert insert = email();
	weir_schedule schedule = {.size = sizeof(schedule),
				  .name = "n",
				  .spec = "@daily",
				  .job = &insert};
	const char *why = "the store was opened read_only";
	weir_store *store = &notes->base;
	int64_t id = 1;

	store->read_only = true;
	CHECK_REFUSED(weir_store_insert(store, &insert, 1, NULL, NULL, &error),
		      why);
	CHECK_REFUSED(weir_store_insert_tx(store, (void *)notes, &insert, 1,
					   NULL, &error),
		      why);
	CHECK_REFUSED(weir_store_change(store, WEIR_JOB_CANCEL, &id, 1, NULL,
					NULL, &error),
		      why);
	CHECK_REFUSED(weir_store_pause(store, "*", true, &error), why);
	CHECK_REFUSED(weir_store_set_finished(store, "mail", WEIR_FINISHED_KEEP,
					      &error),
		      why);
	CHECK_REFUSED(weir_store_schedule(store, &schedule, &error), why);
	CHECK_REFUSED(weir_store_unschedule(store, "n", &error), why);
	CHECK_REFUSED(weir_store_limit(store, &limit, &error), why);
	CHECK_REFUSED(weir_store_unlimit(store, "email", &error), why);
	CHECK_REFUSED(weir_store_pause_schedule(store, "n", true, &error), why);
	CHECK_EQ_INT(list_with(notes, NULL), WEIR_OK);
}

TEST(queue_calls, close_a_store_once_and_nothing_never)
{
	struct notes *notes = notes_new();

	CHECK(!weir_store_close(&notes->base));
	CHECK_EQ_INT(notes->closed, 1);
	CHECK(!weir_store_close(NULL));
}

TEST(queue_calls, know_the_states_by_name)
{
	weir_state state = WEIR_JOB_RUNNING;

#define CHECK_NAME(name, value, text)         \
	CHECK_EQ_INT(WEIR_JOB_##name, value); \
	CHECK_STR(weir_job_state_name(WEIR_JOB_##name), text);
	WEIR_JOB_STATE_TABLE(CHECK_NAME)
	for (int i = 0; i < 8; i++) {
		weir_state found;

		CHECK_EQ_INT(
			weir_job_state_parse(weir_job_state_name((weir_state)i),
					     &found),
			WEIR_OK);
		CHECK_EQ_INT(found, i);
	}
	CHECK_STR(weir_job_state_name((weir_state)8), "unknown");
	CHECK_EQ_INT(weir_job_state_parse("unknown", &state), WEIR_INVAL);
	CHECK_EQ_INT(weir_job_state_parse("Running", &state), WEIR_INVAL);
	CHECK_EQ_INT(weir_job_state_parse(NULL, &state), WEIR_INVAL);
	CHECK_EQ_INT(state, WEIR_JOB_RUNNING);
}
