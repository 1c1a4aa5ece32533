/*
 * The connection is cut: upkeep, schedules, looking and changing.  See
 * test_pg_cuts.c.
 */
#include "pg_cuts.h"

/* Upkeep. */

static void
prepare_due(struct bench *b)
{
	cuts_put(b, 2);
	(void)cuts_ask(b, "UPDATE river_job SET state = 'scheduled',"
			  " scheduled_at = now() - interval '1 minute'");
}

static weir_status
promote(weir_store *store, struct bench *b, weir_error *error)
{
	int64_t next_ms;

	return store->ops->promote(store, 10, &b->count, &next_ms, error);
}

static weir_status
act_promote(struct bench *b, weir_error *error)
{
	return promote(b->via, b, error);
}

static void
check_promote(struct bench *b)
{
	if (b->status == WEIR_OK)
		CHECK_EQ_INT(b->count, 2);
	else
		cuts_is_either(b, STATES, "available:0:0 available:0:0",
			       "scheduled:0:0 scheduled:0:0");
	OK(promote(b->direct, b, error));
	cuts_is(b, STATES, "available:0:0 available:0:0");
}

static void
prepare_dead(struct bench *b)
{
	cuts_put(b, 2);
	cuts_enlist(b, b->direct, &b->other);
	OK(cuts_turn(b->direct, b, &b->other, NULL, 5, error));
}

static weir_status
rescue(weir_store *store, struct bench *b, weir_error *error)
{
	return store->ops->rescue(store, b->other.id, 0, 9, 10, &b->count,
				  error);
}

static weir_status
act_rescue(struct bench *b, weir_error *error)
{
	return rescue(b->via, b, error);
}

static void
check_rescue(struct bench *b)
{
	if (b->status == WEIR_OK)
		CHECK_EQ_INT(b->count, 2);
	else
		cuts_is_either(b, STATES, "available:1:1 available:1:1",
			       "running:1:0 running:1:0");
	OK(rescue(b->direct, b, error));
	cuts_is(b, STATES, "available:1:1 available:1:1");
	cuts_is(b, "SELECT string_agg(crashes::text, ' ') FROM weir_suspect",
		"1 1");
	cuts_is(b, "SELECT count(*) FROM weir_client", "0");
}

static void
prepare_old(struct bench *b)
{
	cuts_put(b, 2);
	(void)cuts_ask(b, "UPDATE river_job SET state = 'completed',"
			  " finalized_at = now() - interval '3 days'");
}

static weir_status
clean(weir_store *store, struct bench *b, weir_error *error)
{
	static const struct weir_retention day = {
		.keep_ms = {-1, 86400000, 86400000, 86400000, -1, -1, -1, -1}};

	return store->ops->clean(store, &day, 10, &b->count, error);
}

static weir_status
act_clean(struct bench *b, weir_error *error)
{
	return clean(b->via, b, error);
}

static void
check_clean(struct bench *b)
{
	if (b->status == WEIR_OK)
		CHECK_EQ_INT(b->count, 2);
	else
		cuts_is_either(b, COUNT, "0", "2");
	OK(clean(b->direct, b, error));
	cuts_is(b, COUNT, "0");
}

static weir_status
put_schedule(weir_store *store, weir_error *error)
{
	weir_insert job = WEIR_INSERT_INIT;
	weir_schedule schedule = {.size = sizeof(schedule)};

	job.kind = "tick";
	schedule.name = "hourly";
	schedule.spec = "0 * * * *";
	schedule.job = &job;
	return weir_store_schedule(store, &schedule, error);
}

static void
prepare_schedule(struct bench *b)
{
	OK(put_schedule(b->direct, error));
	(void)cuts_ask(b, "UPDATE weir_schedule SET next_at = now()"
			  " - interval '1 minute'");
}

static weir_status
fire(weir_store *store, struct bench *b, weir_error *error)
{
	int64_t next_ms;

	return store->ops->fire(store, 10, &b->count, &next_ms, error);
}

static weir_status
act_fire(struct bench *b, weir_error *error)
{
	return fire(b->via, b, error);
}

static void
check_fire(struct bench *b)
{
	if (b->status == WEIR_OK)
		CHECK_EQ_INT(b->count, 1);
	else
		cuts_is_either(b, COUNT, "0", "1");
	OK(fire(b->direct, b, error));
	cuts_is(b, COUNT, "1");
}

/* Schedules. */

static weir_status
act_schedule_put(struct bench *b, weir_error *error)
{
	return put_schedule(b->via, error);
}

static void
check_schedule_put(struct bench *b)
{
	if (b->status != WEIR_OK)
		OK(act_schedule_put(b, error));
	cuts_is(b, "SELECT count(*) FROM weir_schedule", "1");
}

static weir_status
act_schedule_pause(struct bench *b, weir_error *error)
{
	return b->via->ops->schedule_pause(b->via, "hourly", true, error);
}

static bool
note_paused(const weir_schedule *row, void *user)
{
	struct bench *b = user;

	b->count = 1 + row->paused;
	return true;
}

static void
check_schedule_pause(struct bench *b)
{
	if (b->status != WEIR_OK)
		OK(act_schedule_pause(b, error));
	OK(b->direct->ops->schedules(b->direct, note_paused, b, error));
	CHECK_EQ_INT(b->count, 2);
}

static weir_status
act_schedule_delete(struct bench *b, weir_error *error)
{
	return b->via->ops->schedule_delete(b->via, "hourly", error);
}

static void
check_schedule_delete(struct bench *b)
{
	weir_error error = {WEIR_OK, 0, ""};

	if (b->status != WEIR_OK) {
		weir_status again = act_schedule_delete(b, &error);

		CHECK(again == WEIR_OK || again == WEIR_NOTFOUND);
	}
	cuts_is(b, "SELECT count(*) FROM weir_schedule", "0");
}

static weir_status
act_schedules(struct bench *b, weir_error *error)
{
	b->count = 0;
	return b->via->ops->schedules(b->via, note_paused, b, error);
}

/* Looking and changing. */

static weir_status
change(struct bench *b, weir_job_action action, weir_error *error)
{
	return weir_store_change(b->via, action, &b->rets[0].id, 1, NULL, NULL,
				 error);
}

static void
prepare_job(struct bench *b)
{
	cuts_put(b, 1);
}

static void
prepare_over(struct bench *b)
{
	cuts_put(b, 1);
	(void)cuts_ask(b,
		       "UPDATE river_job SET state = 'discarded', attempt = 25,"
		       " finalized_at = now()");
}

static weir_status
act_cancel(struct bench *b, weir_error *error)
{
	return change(b, WEIR_JOB_CANCEL, error);
}

static void
check_cancel(struct bench *b)
{
	if (b->status != WEIR_OK) {
		cuts_is_either(b, STATES, "available:0:0", "cancelled:0:0");
		OK(act_cancel(b, error));
	}
	cuts_is(b, STATES, "cancelled:0:0");
}

static weir_status
act_retry(struct bench *b, weir_error *error)
{
	return change(b, WEIR_JOB_RETRY, error);
}

static void
check_retry(struct bench *b)
{
	if (b->status != WEIR_OK)
		OK(act_retry(b, error));
	cuts_is(b, "SELECT state || ' ' || max_attempts FROM river_job",
		"available 26");
}

static weir_status
act_delete(struct bench *b, weir_error *error)
{
	return change(b, WEIR_JOB_DELETE, error);
}

static void
check_delete(struct bench *b)
{
	weir_error error;

	if (b->status != WEIR_OK)
		(void)!act_delete(b, &error);
	cuts_is(b, COUNT, "0");
}

static weir_status
act_pause(struct bench *b, weir_error *error)
{
	return b->via->ops->queue_set(b->via, "default", 1, -1, error);
}

static void
check_pause(struct bench *b)
{
	if (b->status != WEIR_OK)
		OK(act_pause(b, error));
	cuts_is(b,
		"SELECT count(*) FROM river_queue WHERE paused_at IS NOT NULL",
		"1");
}

static weir_status
act_policy(struct bench *b, weir_error *error)
{
	return b->via->ops->queue_set(b->via, "default", -1,
				      WEIR_FINISHED_ARCHIVE, error);
}

static void
check_policy(struct bench *b)
{
	if (b->status != WEIR_OK)
		OK(act_policy(b, error));
	cuts_is(b, "SELECT finished FROM weir_queue", "1");
}

static bool
count_job(const weir_job_row *row, void *user)
{
	struct bench *b = user;

	(void)row;
	b->count++;
	return true;
}

static weir_status
act_list(struct bench *b, weir_error *error)
{
	weir_job_filter filter = WEIR_JOB_FILTER_INIT;

	b->count = 0;
	return weir_store_list(b->via, &filter, count_job, b, error);
}

static bool
count_queue(const weir_queue_row *row, void *user)
{
	struct bench *b = user;

	(void)row;
	b->count++;
	return true;
}

static weir_status
act_queues(struct bench *b, weir_error *error)
{
	b->count = 0;
	return weir_store_queues(b->via, count_queue, b, error);
}

CUT(promote, "upkeep", prepare_due, act_promote, check_promote)
CUT(rescue, "upkeep", prepare_dead, act_rescue, check_rescue)
CUT(clean, "upkeep", prepare_old, act_clean, check_clean)
CUT(fire, "upkeep", prepare_schedule, act_fire, check_fire)
CUT(schedule_put, "admin", cuts_prepare_nothing, act_schedule_put,
    check_schedule_put)
CUT(schedule_pause, "admin", prepare_schedule, act_schedule_pause,
    check_schedule_pause)
CUT(schedule_delete, "admin", prepare_schedule, act_schedule_delete,
    check_schedule_delete)
CUT(schedules, "admin", prepare_schedule, act_schedules, cuts_check_one)
CUT(cancel, "admin", prepare_job, act_cancel, check_cancel)
CUT(retry, "admin", prepare_over, act_retry, check_retry)
CUT(delete, "admin", prepare_job, act_delete, check_delete)
CUT(queue_pause, "admin", prepare_job, act_pause, check_pause)
CUT(queue_policy, "admin", prepare_job, act_policy, check_policy)
CUT(list, "admin", prepare_job, act_list, cuts_check_one)
CUT(queues, "admin", prepare_job, act_queues, cuts_check_one)
