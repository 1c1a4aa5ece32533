/*
 * The public calls on a store: arguments are checked, made into drafts where
 * they are jobs, and handed on.
 *
 * Design: what a store gets is good.  It need not look at names, sizes and
 * JSON again, nor at whether it may write; and all stores say the same of what
 * is wrong.
 */
#include "queue/draft.h"
#include "queue/ours.h"

#include "base/assert.h"
#include "base/civil.h"
#include "base/options.h"
#include "queue/cron.h"
#include "queue/names.h"

#include <stdlib.h>
#include <string.h>

weir_store *
weir_store_close(weir_store *store)
{
	if (store)
		store->ops->close(store);
	return NULL;
}

/* reterr is one of ours if the caller has none: a store always gets one. */
static weir_status
invalid(weir_error *reterr, const char *why)
{
	weir_assert(reterr && why);
	return weir__queue_error(reterr, WEIR_INVAL, 0, "%s", why);
}

/* Looked at first: whoever only looks need not be told what else is wrong. */
static weir_status
check_writable(const weir_store *store, weir_error *reterr)
{
	weir_assert(store->ops);
	return store->read_only
		       ? invalid(reterr, "the store was opened read_only")
		       : WEIR_OK;
}

/* The time of day, whatever the clock may say, is one that can be written. */
static int64_t
sane_now_ms(const weir_store *store)
{
	int64_t now_ms = weir__store_now_ms(store);

	if (now_ms < 1)
		return 1;
	return now_ms < WEIR_CIVIL_MS_MAX ? now_ms : WEIR_CIVIL_MS_MAX;
}

/* ours: kinds of the command's own are fine. */
static weir_status
insert(weir_store *store, const weir_insert *inserts, size_t count, bool ours,
       weir_inserted *rets, weir_ctx *ctx, weir_error *reterr)
{
	struct weir_draft_rules rules = {.ours = ours};
	struct weir_drafts drafts;
	weir_error error;
	weir_status status;

	if (!reterr)
		reterr = &error;
	status = check_writable(store, reterr);
	if (status != WEIR_OK || count == 0)
		return status;
	/* One time for all: what comes together was created together. */
	rules.now_ms = sane_now_ms(store);
	status = weir__drafts_init(&drafts, inserts, count, &rules, reterr);
	if (status == WEIR_OK)
		status = store->ops->insert(store, drafts.all, drafts.count,
					    rets, ctx, reterr);
	weir__drafts_fini(&drafts);
	return status;
}

weir_status
weir_store_insert(weir_store *store, const weir_insert *inserts, size_t count,
		  weir_inserted *rets, weir_ctx *ctx, weir_error *reterr)
{
	return insert(store, inserts, count, false, rets, ctx, reterr);
}

weir_status
weir__store_insert_ours(weir_store *store, const weir_insert *inserts,
			size_t count, weir_inserted *rets, weir_ctx *ctx,
			weir_error *reterr)
{
	return insert(store, inserts, count, true, rets, ctx, reterr);
}

weir_status
weir_store_insert_tx(weir_store *store, struct sqlite3 *db,
		     const weir_insert *inserts, size_t count,
		     weir_inserted *rets, weir_error *reterr)
{
	struct weir_draft_rules rules = {.ours = false};
	struct weir_drafts drafts;
	weir_error error;
	weir_status status;

	if (!reterr)
		reterr = &error;
	status = check_writable(store, reterr);
	if (status != WEIR_OK)
		return status;
	if (!store->ops->insert_tx)
		return invalid(reterr, "this store has no connections of "
				       "callers");
	if (!db)
		return invalid(reterr, "there is no connection");
	if (count == 0)
		return WEIR_OK;
	rules.now_ms = sane_now_ms(store);
	status = weir__drafts_init(&drafts, inserts, count, &rules, reterr);
	if (status == WEIR_OK)
		status = store->ops->insert_tx(store, db, drafts.all,
					       drafts.count, rets, reterr);
	weir__drafts_fini(&drafts);
	return status;
}

void
weir_store_committed(weir_store *store)
{
	weir_assert(store->ops->wake);
	store->ops->wake(store);
}

/* The longest name there is, so that no text is read on and on. */
#define NAME_LEN_MAX 255

/* name is NULL, or as its rule says. */
static weir_status
check_name(const char *what, const char *name,
	   const char *(*fault_of)(const char *, size_t), weir_error *reterr)
{
	char shown[WEIR_NAME_SHOWN_SIZE];
	const char *fault;

	static_assert(NAME_LEN_MAX >= WEIR_TAG_MAX,
		      "one byte more is looked at");
	weir_assert(what && fault_of);
	if (!name)
		return WEIR_OK;
	fault = fault_of(name, strnlen(name, NAME_LEN_MAX + 1));
	if (!fault)
		return WEIR_OK;
	return weir__queue_error(reterr, WEIR_INVAL, 0, "%s \"%s\" %s", what,
				 weir__name_show(name, shown), fault);
}

/*
 * Names that cannot be are refused, though a list of none would be true: who
 * asks for the queue "Mail" has made a mistake, and should hear of it.
 */
static weir_status
check_filter(const weir_job_filter *filter, weir_error *reterr)
{
	weir_status status;

	weir_assert(filter->size == sizeof(*filter));
	if (filter->id_count > 0 && !filter->ids)
		return invalid(reterr, "id_count without ids");
	if (filter->states & ~WEIR_JOB_STATES_ALL)
		return invalid(reterr, "states has an unknown bit");
	if (filter->since_ms < 0 || filter->before_id < 0 ||
	    filter->after_id < 0)
		return invalid(reterr, "since_ms, before_id and after_id may "
				       "not be negative");
	status = check_name("queue", filter->queue, weir__queue_name_fault,
			    reterr);
	if (status == WEIR_OK)
		status = check_name("kind", filter->kind, weir__kind_fault,
				    reterr);
	if (status == WEIR_OK)
		status =
			check_name("tag", filter->tag, weir__tag_fault, reterr);
	return status;
}

weir_status
weir_store_list(weir_store *store, const weir_job_filter *filter,
		weir_job_row_fn *row, void *user, weir_error *reterr)
{
	weir_job_filter ours = {.size = sizeof(ours)};
	weir_error error;
	weir_status status;

	if (!reterr)
		reterr = &error;
	if (filter && !weir__options_copy(&ours, sizeof(ours), filter,
					  filter->size, sizeof(size_t)))
		return invalid(reterr, "the filter has no size that is known");
	if (!row)
		return invalid(reterr, "nobody takes the rows");
	status = check_filter(&ours, reterr);
	if (status != WEIR_OK)
		return status;
	/* Ids, and none of them: not the same as any id. */
	if (filter && ours.ids && ours.id_count == 0)
		return WEIR_OK;
	return store->ops->list(store, &ours, row, user, reterr);
}

/* An enum of a caller's may hold any number. */
static bool
is_action(weir_job_action action)
{
	switch (action) {
	case WEIR_JOB_CANCEL:
	case WEIR_JOB_RETRY:
	case WEIR_JOB_DELETE:
		return true;
	}
	return false;
}

weir_status
weir_store_change(weir_store *store, weir_job_action action, const int64_t *ids,
		  size_t count, weir_job_changed *rets, weir_ctx *ctx,
		  weir_error *reterr)
{
	weir_error error;
	weir_status status;

	if (!reterr)
		reterr = &error;
	status = check_writable(store, reterr);
	if (status != WEIR_OK)
		return status;
	if (!is_action(action))
		return invalid(reterr, "no such action");
	if (count == 0)
		return WEIR_OK;
	if (!ids)
		return invalid(reterr, "there are no ids");
	return store->ops->change(store, action, ids, count, rets, ctx, reterr);
}

weir_status
weir_store_queues(weir_store *store, weir_queue_row_fn *row, void *user,
		  weir_error *reterr)
{
	weir_error error;

	if (!reterr)
		reterr = &error;
	if (!row)
		return invalid(reterr, "nobody takes the rows");
	return store->ops->queues(store, row, user, reterr);
}

/* A name there has to be. */
static weir_status
check_queue(const char *queue, weir_error *reterr)
{
	if (!queue)
		return invalid(reterr, "there is no queue");
	return check_name("queue", queue, weir__queue_name_fault, reterr);
}

weir_status
weir_store_pause(weir_store *store, const char *queue, bool pause,
		 weir_error *reterr)
{
	weir_error error;
	weir_status status;

	if (!reterr)
		reterr = &error;
	status = check_writable(store, reterr);
	/* "*" is no name, so that no queue can be meant by it. */
	if (status == WEIR_OK && !(queue && strcmp(queue, "*") == 0))
		status = check_queue(queue, reterr);
	if (status != WEIR_OK)
		return status;
	return store->ops->queue_set(store, queue, pause, -1, reterr);
}

/* The same as for actions. */
static bool
is_policy(weir_finished_policy finished)
{
	switch (finished) {
	case WEIR_FINISHED_KEEP:
	case WEIR_FINISHED_ARCHIVE:
	case WEIR_FINISHED_DROP:
		return true;
	}
	return false;
}

weir_status
weir_store_set_finished(weir_store *store, const char *queue,
			weir_finished_policy finished, weir_error *reterr)
{
	weir_error error;
	weir_status status;

	if (!reterr)
		reterr = &error;
	status = check_writable(store, reterr);
	if (status == WEIR_OK)
		status = check_queue(queue, reterr);
	if (status != WEIR_OK)
		return status;
	if (!is_policy(finished))
		return invalid(reterr, "nothing of that kind can become of "
				       "finished jobs");
	return store->ops->queue_set(store, queue, -1, (int)finished, reterr);
}

static weir_status
check_schedule_name(const char *name, weir_error *reterr)
{
	if (!name)
		return invalid(reterr, "the schedule has no name");
	return check_name("schedule", name, weir__schedule_name_fault, reterr);
}

/* A spec that is right and never fires is a mistake as well. */
static weir_status
check_spec(const char *spec, int64_t now_ms, weir_error *reterr)
{
	char why[WEIR_CRON_WHY_MAX];
	struct weir_cron cron;

	weir_assert(now_ms > 0);
	if (!spec)
		return invalid(reterr, "the schedule has no spec");
	if (!weir__cron_parse(spec, &cron, why))
		return weir__queue_error(reterr, WEIR_INVAL, 0, "spec: %s",
					 why);
	if (weir__cron_next_ms(&cron, now_ms) == 0)
		return invalid(reterr, "spec: that day never comes");
	return WEIR_OK;
}

/* All of a schedule but its job. */
static weir_status
check_schedule(const weir_schedule *schedule, int64_t now_ms,
	       weir_error *reterr)
{
	weir_status status;

	weir_assert(schedule->size == sizeof(*schedule));
	status = check_schedule_name(schedule->name, reterr);
	if (status == WEIR_OK)
		status = check_spec(schedule->spec, now_ms, reterr);
	if (status == WEIR_OK && !schedule->job)
		return invalid(reterr, "the schedule has no job");
	return status;
}

/* commands: a kind of the command's own is fine. */
static weir_status
schedule_put(weir_store *store, const weir_schedule *schedule, bool commands,
	     weir_error *reterr)
{
	struct weir_draft_rules rules = {.ours = commands, .timeless = true};
	weir_schedule ours = {0};
	struct weir_drafts drafts;
	weir_error error;
	weir_status status;

	if (!reterr)
		reterr = &error;
	status = check_writable(store, reterr);
	if (status != WEIR_OK)
		return status;
	if (!schedule || !weir__options_copy(&ours, sizeof(ours), schedule,
					     schedule->size, sizeof(size_t)))
		return invalid(reterr, "the schedule has no size that is "
				       "known");
	rules.now_ms = sane_now_ms(store);
	status = check_schedule(&ours, rules.now_ms, reterr);
	if (status != WEIR_OK)
		return status;
	ours.next_at_ms = ours.last_at_ms = 0; /* of rows only */
	status = weir__drafts_init(&drafts, ours.job, 1, &rules, reterr);
	if (status == WEIR_OK)
		status = store->ops->schedule_put(store, &ours, drafts.all,
						  reterr);
	weir__drafts_fini(&drafts);
	return status;
}

weir_status
weir_store_schedule(weir_store *store, const weir_schedule *schedule,
		    weir_error *reterr)
{
	return schedule_put(store, schedule, false, reterr);
}

weir_status
weir__store_schedule_ours(weir_store *store, const weir_schedule *schedule,
			  weir_error *reterr)
{
	return schedule_put(store, schedule, true, reterr);
}

weir_status
weir_store_unschedule(weir_store *store, const char *name, weir_error *reterr)
{
	weir_error error;
	weir_status status;

	if (!reterr)
		reterr = &error;
	status = check_writable(store, reterr);
	if (status == WEIR_OK)
		status = check_schedule_name(name, reterr);
	if (status != WEIR_OK)
		return status;
	return store->ops->schedule_delete(store, name, reterr);
}

weir_status
weir_store_pause_schedule(weir_store *store, const char *name, bool pause,
			  weir_error *reterr)
{
	weir_error error;
	weir_status status;

	if (!reterr)
		reterr = &error;
	status = check_writable(store, reterr);
	if (status == WEIR_OK)
		status = check_schedule_name(name, reterr);
	if (status != WEIR_OK)
		return status;
	return store->ops->schedule_pause(store, name, pause, reterr);
}

weir_status
weir_store_schedules(weir_store *store, weir_schedule_fn *row, void *user,
		     weir_error *reterr)
{
	weir_error error;

	if (!reterr)
		reterr = &error;
	if (!row)
		return invalid(reterr, "nobody takes the rows");
	return store->ops->schedules(store, row, user, reterr);
}

static weir_status
check_limits(const weir_store *store, weir_error *reterr)
{
	return store->ops->limits
		       ? WEIR_OK
		       : invalid(reterr,
				 "limits across processes need PostgreSQL; a "
				 "worker has its own: weir work --limit and "
				 "--rate, or width and rate of a handler");
}

static weir_status
check_kind(const char *kind, weir_error *reterr)
{
	if (!kind)
		return invalid(reterr, "there is no kind");
	return check_name("kind", kind, weir__kind_fault, reterr);
}

/* A rate that is as weir_limit_new() wants it, or none. */
static weir_status
check_limit(weir_kind_limit *limit, weir_error *reterr)
{
	const double per_year = 1.0 / (365 * 86400);
	double burst = limit->per_second / 20;
	weir_status status = check_kind(limit->kind, reterr);

	if (status != WEIR_OK)
		return status;
	if (limit->most == 0 && limit->per_second == 0)
		return invalid(reterr, "the limit has neither a number of jobs "
				       "nor a rate");
	if (limit->per_second != 0 &&
	    !(limit->per_second >= per_year && limit->per_second <= 1e9))
		return invalid(reterr, "the rate is between one a year and "
				       "a thousand million a second");
	if (limit->most > INT32_MAX || limit->burst > INT32_MAX)
		return invalid(reterr, "most and burst are at most "
				       "2147483647");
	if (limit->burst == 0)
		limit->burst = burst < 1     ? 1
			       : burst > 1e6 ? 1000000
					     : (uint32_t)burst;
	return WEIR_OK;
}

weir_status
weir_store_limit(weir_store *store, const weir_kind_limit *limit,
		 weir_error *reterr)
{
	weir_kind_limit ours = {0};
	weir_error error;
	weir_status status;

	if (!reterr)
		reterr = &error;
	status = check_limits(store, reterr);
	if (status == WEIR_OK)
		status = check_writable(store, reterr);
	if (status != WEIR_OK)
		return status;
	if (!limit || !weir__options_copy(&ours, sizeof(ours), limit,
					  limit->size, sizeof(size_t)))
		return invalid(reterr, "the limit has no size that is known");
	status = check_limit(&ours, reterr);
	if (status != WEIR_OK)
		return status;
	return store->ops->limit_put(store, &ours, reterr);
}

weir_status
weir_store_unlimit(weir_store *store, const char *kind, weir_error *reterr)
{
	weir_error error;
	weir_status status;

	if (!reterr)
		reterr = &error;
	status = check_limits(store, reterr);
	if (status == WEIR_OK)
		status = check_writable(store, reterr);
	if (status == WEIR_OK)
		status = check_kind(kind, reterr);
	if (status != WEIR_OK)
		return status;
	return store->ops->limit_delete(store, kind, reterr);
}

weir_status
weir_store_limits(weir_store *store, weir_kind_limit_fn *row, void *user,
		  weir_error *reterr)
{
	weir_error error;
	weir_status status;

	if (!reterr)
		reterr = &error;
	status = check_limits(store, reterr);
	if (status != WEIR_OK)
		return status;
	if (!row)
		return invalid(reterr, "nobody takes the rows");
	return store->ops->limits(store, row, user, reterr);
}
