/*
 * The store in memory: turns, which finish and claim.
 *
 * Design: as queue_memory.c.  A claim looks at all jobs and sorts those that it
 * may have, for each want anew; a batch holds copies of rows.
 *
 * Locking: data->mu is held from the first finish to the last claim.
 */
#include "queue_memory_inside.h"

#include <stdlib.h>
#include <string.h>

/*
 * Finishing.  The fence: whoever changes a claimed job proves that it is the
 * claim under which the job runs now.
 */
static struct memory_job *
fenced(const struct memory_data *data, const struct weir_owner *owner,
       const struct weir_claim *claim)
{
	struct memory_job *job = memory_job_find(data, claim->row.id);

	return job && job->row.state == WEIR_JOB_RUNNING &&
			       job->owner == owner->id &&
			       job->row.attempt == claim->row.attempt &&
			       job->row.attempted_at_ms ==
				       claim->row.attempted_at_ms
		       ? job
		       : NULL;
}

/* It has ended well: kept, or not, as its queue says. */
static void
complete(struct memory_data *data, struct memory_job *job, int64_t now_ms)
{
	struct memory_queue *queue = memory_queue_find(data, job->queue);

	memory_job_end(data, job, WEIR_JOB_COMPLETED, now_ms);
	/* Nobody can look into an archive here, so there is none. */
	if (queue->finished != WEIR_FINISHED_KEEP)
		memory_job_delete(data, job);
}

static weir_state
job_again(struct memory_data *data, struct memory_job *job,
	  const struct weir_finish *finish, int64_t now_ms)
{
	weir_state later = finish->verdict == WEIR_VERDICT_RETRY
				   ? WEIR_JOB_RETRYABLE
				   : WEIR_JOB_SCHEDULED;

	if (finish->verdict == WEIR_VERDICT_SNOOZE)
		job->row.attempt--;
	job->row.scheduled_at_ms =
		finish->at_ms > now_ms ? finish->at_ms : now_ms;
	memory_job_wait(data, job,
			finish->at_ms <= now_ms ? WEIR_JOB_AVAILABLE : later,
			now_ms);
	return job->row.state;
}

static weir_state
apply(struct memory_data *data, struct memory_job *job,
      const struct weir_finish *finish, int64_t now_ms)
{
	if (finish->error)
		memory_job_error(job, finish->error, finish->error_len);
	if (finish->output) {
		free(job->output);
		job->output = memory_copy(finish->output, finish->output_len);
		job->row.output_len = finish->output_len;
	}
	if (finish->crashed)
		job->row.crashes++;
	else if (finish->verdict != WEIR_VERDICT_RELEASE)
		job->row.crashes = 0;
	memory_job_show(job);
	switch (finish->verdict) {
	case WEIR_VERDICT_COMPLETE:
		complete(data, job, now_ms);
		return WEIR_JOB_COMPLETED;
	case WEIR_VERDICT_RETRY:
	case WEIR_VERDICT_SNOOZE:
		return job_again(data, job, finish, now_ms);
	case WEIR_VERDICT_RELEASE:
		memory_job_release(data, job, now_ms);
		return job->row.state;
	case WEIR_VERDICT_DISCARD:
		memory_job_end(data, job, WEIR_JOB_DISCARDED, now_ms);
		return WEIR_JOB_DISCARDED;
	case WEIR_VERDICT_CANCEL:
		memory_job_end(data, job, WEIR_JOB_CANCELLED, now_ms);
		return WEIR_JOB_CANCELLED;
	}
	weir_bug("no such verdict");
}

static void
finish_all(struct memory_data *data, struct weir_turn *turn, int64_t now_ms)
{
	for (size_t i = 0; i < turn->finish_count; i++) {
		const struct weir_finish *finish = &turn->finishes[i];
		struct memory_job *job =
			fenced(data, turn->owner, finish->claim);

		turn->finished[i] =
			(struct weir_finished){.status = WEIR_STALE};
		if (job) {
			turn->finished[i].state =
				apply(data, job, finish, now_ms);
			turn->finished[i].status = WEIR_OK;
		}
	}
}

/*
 * Claiming.
 */
static bool
kind_is_wanted(const struct weir_turn *turn, const char *kind)
{
	if (!turn->kinds)
		return true;
	for (size_t i = 0; i < turn->kind_count; i++)
		if (strcmp(turn->kinds[i], kind) == 0)
			return !turn->kinds_left_out;
	return turn->kinds_left_out;
}

static int
in_order_of_claims(const void *a, const void *b)
{
	const weir_job_row *x = &(*(struct memory_job *const *)a)->row;
	const weir_job_row *y = &(*(struct memory_job *const *)b)->row;

	if (x->priority != y->priority)
		return x->priority < y->priority ? -1 : 1;
	if (x->scheduled_at_ms != y->scheduled_at_ms)
		return x->scheduled_at_ms < y->scheduled_at_ms ? -1 : 1;
	return x->id < y->id ? -1 : x->id > y->id;
}

/* All that the want may have, suspects too, in order. */
static size_t
candidates(const struct memory_data *data, const struct weir_turn *turn,
	   const char *name, int64_t now_ms, struct memory_job **ret)
{
	const struct memory_queue *queue = memory_queue_find(data, name);
	size_t n = 0;

	if (!queue || queue->paused_at_ms)
		return 0;
	for (size_t i = 0; i < data->job_count; i++) {
		struct memory_job *job = data->jobs[i];

		if (job->row.state == WEIR_JOB_AVAILABLE &&
		    job->row.scheduled_at_ms <= now_ms &&
		    strcmp(job->queue, name) == 0 &&
		    kind_is_wanted(turn, job->kind))
			ret[n++] = job;
	}
	qsort(ret, n, sizeof(struct memory_job *), in_order_of_claims);
	return n;
}

static void
claim(struct memory_job *job, const struct weir_owner *owner, int64_t now_ms)
{
	weir_assert(job->row.state == WEIR_JOB_AVAILABLE);
	job->row.state = WEIR_JOB_RUNNING;
	job->row.attempt++;
	/* No two claims of a job are alike, even if the clock stands still. */
	job->row.attempted_at_ms = now_ms > job->row.attempted_at_ms
					   ? now_ms
					   : job->row.attempted_at_ms + 1;
	job->owner = owner->id;
	free(job->attempted_by);
	job->attempted_by = memory_copy(owner->name, strlen(owner->name));
	memory_job_show(job);
}

/*
 * Claim for one want, behind the n that ret holds already; how many.  The want
 * is either for innocents or, alone, for one suspect.
 */
static size_t
claim_want(const struct memory_data *data, struct weir_turn *turn,
	   const struct weir_want *want, int64_t now_ms,
	   struct memory_job **scratch, struct memory_job **ret, size_t n)
{
	size_t found = candidates(data, turn, want->queue, now_ms, scratch);
	size_t count = want->alone && want->count > 1 ? 1 : want->count;
	size_t got = 0;

	if (count == 0 || (want->alone && n > 0))
		return 0;
	for (size_t i = 0; i < found && got < count; i++) {
		bool suspect = scratch[i]->row.crashes > 0;

		if (suspect == want->alone) {
			claim(scratch[i], turn->owner, now_ms);
			ret[n + got++] = scratch[i];
		}
	}
	for (size_t i = 0; i < found; i++)
		if (scratch[i]->row.state == WEIR_JOB_AVAILABLE &&
		    scratch[i]->row.crashes > 0)
			turn->suspects = true;
	turn->more = turn->more || (got > 0 && got == count);
	return got;
}

/* Claim for all wants, into ret; how many. */
static size_t
claim_all(struct memory_data *data, struct weir_turn *turn, int64_t now_ms,
	  struct memory_job **scratch, struct memory_job **ret)
{
	size_t n = 0;

	for (size_t i = 0; i < turn->want_count; i++) {
		n += claim_want(data, turn, &turn->wants[i], now_ms, scratch,
				ret, n);
		if (n > 0 && ret[0]->row.crashes > 0)
			break;
	}
	return n;
}

static const char *
lend(struct weir_buf *texts, const char *text, size_t len)
{
	size_t at = texts->len;

	weir__buf_append(texts, text, len);
	weir__buf_putc(texts, '\0');
	return texts->data + at;
}

/* Copy a row, with its texts into texts, which has room for them. */
static void
lend_row(weir_job_row *ret, const weir_job_row *row, struct weir_buf *texts)
{
	*ret = *row;
	ret->queue = lend(texts, row->queue, strlen(row->queue));
	ret->kind = lend(texts, row->kind, strlen(row->kind));
	ret->attempted_by =
		lend(texts, row->attempted_by, strlen(row->attempted_by));
	ret->args = lend(texts, row->args, row->args_len);
	ret->metadata = lend(texts, row->metadata, row->metadata_len);
	ret->tags = lend(texts, row->tags, row->tags_len);
	ret->errors = lend(texts, row->errors, row->errors_len);
	ret->output = lend(texts, row->output, row->output_len);
	if (row->unique_key)
		ret->unique_key = (const unsigned char *)lend(
			texts, (const char *)row->unique_key, 32);
}

static size_t
texts_size(const weir_job_row *row)
{
	return strlen(row->queue) + strlen(row->kind) +
	       strlen(row->attempted_by) + row->args_len + row->metadata_len +
	       row->tags_len + row->errors_len + row->output_len + 32 + 9;
}

static struct weir_batch *
batch_of(struct memory_job **jobs, size_t count)
{
	struct weir_batch *batch = weir__batch_new(count);
	size_t size = 0;

	weir_assert(batch);
	for (size_t i = 0; i < count; i++)
		size += texts_size(&jobs[i]->row);
	/* Room for all at once: rows point into it while it is filled. */
	if (!weir__buf_reserve(&batch->texts, size))
		weir_bug("no memory");
	for (size_t i = 0; i < count; i++)
		lend_row(&batch->claims[i].row, &jobs[i]->row, &batch->texts);
	weir_assert(batch->texts.len <= size);
	return batch;
}

static void
tell_cancels(const struct memory_data *data, struct weir_turn *turn)
{
	size_t seen = (size_t)turn->cancel_seq;

	if (!turn->cancels)
		return;
	weir_assert(seen <= data->cancel_count);
	if (seen < data->cancel_count)
		weir__buf_append(turn->cancels, data->cancels + seen,
				 (data->cancel_count - seen) * sizeof(int64_t));
	turn->cancel_seq = (int64_t)data->cancel_count;
}

weir_status
memory_turn(weir_store *store, struct weir_turn *turn, weir_error *reterr)
{
	struct memory_data *data = memory_data_of(store);
	int64_t now_ms = weir__store_now_ms(store);
	struct memory_job **scratch;
	size_t n = 0;

	turn->batch = NULL;
	turn->more = turn->suspects = false;
	weir__mutex_lock(&data->mu);
	if (!memory_client_find(data, turn->owner->id)) {
		weir__mutex_unlock(&data->mu);
		return weir__queue_error(reterr, WEIR_STALE, 0,
					 "taken for dead");
	}
	finish_all(data, turn, now_ms);
	scratch =
		calloc(2 * (data->job_count + 1), sizeof(struct memory_job *));
	weir_assert(scratch);
	n = claim_all(data, turn, now_ms, scratch,
		      scratch + data->job_count + 1);
	if (n > 0)
		turn->batch = batch_of(scratch + data->job_count + 1, n);
	free(scratch);
	tell_cancels(data, turn);
	weir__mutex_unlock(&data->mu);
	return WEIR_OK;
}
