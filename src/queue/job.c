/*
 * What a running job can say about itself (weir/queue.h).
 *
 * Design.  A handler is given the row inside of its claim, so the claim, and
 * what the work holds of it, is found from there.  What is said is only kept;
 * work_pool.c asks for it when the handler has returned.  A snooze or a cancel
 * counts if the handler then returns what it was told to return, which is a
 * status that a pool takes for a failure like any other.
 *
 * Locking.  Held jobs are their job's own while it runs.  The owner changes
 * when the work was taken for dead, so it is copied under work.mu.
 */
#include "queue/work_inside.h"

#include "base/assert.h"
#include "base/json_check.h"

/* What the two return, for the handler to return. */
#define SAYS_SNOOZE WEIR_BUSY
#define SAYS_CANCEL WEIR_PERMANENT

static struct weir_held *
held_of(const weir_job_row *job)
{
	const char *at = (const char *)job - offsetof(struct weir_claim, row);
	struct weir_held *held =
		((const struct weir_claim *)(const void *)at)->user;

	weir_assert(&held->claim->row == job);
	return held;
}

weir_status
weir_job_snooze(const weir_job_row *job, int64_t delay_ns)
{
	struct weir_held *held = held_of(job);

	/* The last word counts. */
	held->snooze_ns = delay_ns > 0 ? delay_ns : 0;
	held->cancels = false;
	return SAYS_SNOOZE;
}

weir_status
weir_job_cancel(const weir_job_row *job, const char *why)
{
	struct weir_held *held = held_of(job);

	held->cancels = true;
	held->snooze_ns = -1;
	weir__buf_reset(&held->cancel_why);
	weir__buf_puts(&held->cancel_why, why ? why : "");
	return SAYS_CANCEL;
}

void
weir_job_retry_in(const weir_job_row *job, int64_t delay_ns)
{
	held_of(job)->retry_in_ns = delay_ns > 0 ? delay_ns : 0;
}

weir_status
weir_job_output(const weir_job_row *job, const char *json, size_t len)
{
	struct weir_held *held = held_of(job);
	struct weir_json_fault fault;

	if (!json)
		return WEIR_INVAL;
	if (len == 0)
		len = strlen(json);
	if (len > WEIR_ARGS_MAX)
		return WEIR_INVAL;
	if (!weir__json_check(json, len, WEIR_JSON_ANY, &fault))
		return fault.no_memory ? WEIR_NOMEM : WEIR_INVAL;
	weir__buf_fini(&held->output);
	weir__buf_append(&held->output, json, len);
	return held->output.failed ? WEIR_NOMEM : WEIR_OK;
}

weir_status
weir_job_complete_tx(const weir_job_row *job, struct sqlite3 *db,
		     weir_error *reterr)
{
	struct weir_held *held = held_of(job);
	weir_work *work = held->work;
	struct weir_owner owner;
	weir_status status;

	if (!db || !work->store->ops->complete_tx)
		return weir__queue_error(reterr, WEIR_INVAL, 0,
					 "no database of this store");
	weir_assert(held->place == WEIR_HELD_TAKEN);
	weir__mutex_lock(&work->mu);
	owner = work->owner;
	weir__mutex_unlock(&work->mu);
	if (owner.id != held->owner_id)
		return weir__queue_error(reterr, WEIR_STALE, 0,
					 "the job is somebody else's by now");
	status = work->store->ops->complete_tx(
		work->store, &owner, held->claim, db,
		held->output.len > 0 ? held->output.data : NULL,
		held->output.len, reterr);
	held->completed |= status == WEIR_OK;
	return status;
}

weir_status
weir__job_said(struct weir_held *held, weir_status status)
{
	weir_assert(held->snooze_ns < 0 || !held->cancels);
	held->snoozes = held->snooze_ns >= 0 && status == SAYS_SNOOZE;
	held->cancels = held->cancels && status == SAYS_CANCEL;
	/* Neither is a failure; and no time-out may make one of them. */
	return held->snoozes || held->cancels ? WEIR_OK : status;
}

void
weir__job_tell(const struct weir_held *held, struct weir_outcome *outcome)
{
	if (held->snoozes)
		outcome->snooze_ns = held->snooze_ns;
	if (held->cancels) {
		outcome->cancel = true;
		outcome->error = weir__buf_str(&held->cancel_why);
	}
	outcome->retry_in_ns = held->retry_in_ns;
	if (held->output.len > 0) {
		outcome->output = held->output.data;
		outcome->output_len = held->output.len;
	}
}
