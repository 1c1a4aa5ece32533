/*
 * The jobs of weir work between the store's loop and what runs them, and what
 * is told of them.
 *
 *      loop ── take ──> work_job ── enter ──> engine
 *                          │ <──── leave ─────┘
 *                          ├── over ──> loop: outcome, in the store ──> ended
 *                          └── back ──> loop: as if never taken ──────> ended
 *
 * Design.  What a job has become is told when the store has it, and as the
 * store says, not as the lane thinks: counts, records and news all come from
 * `ended`.  Records and lines of news wait in buffers for the main thread;
 * above RECORDS_MAX no more jobs are taken, so that a reader who does not read
 * holds up the work rather than fills the memory.
 *
 * Locking: run->mu.  With it held the engine is told whom to cancel, which
 * takes locks of its own, and the progress line of news, which does too; none
 * of these call back.
 */
#include "cli/work_run.h"

#include "base/assert.h"
#include "base/json.h"
#include "base/units.h"
#include "exec/log.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define RECORDS_MAX (256 * 1024)

static bool has_room_locked(struct work_run *run) WEIR_REQUIRES(run->mu);

static bool
has_room_locked(struct work_run *run)
{
	bool room = run->records_out.pending.len < RECORDS_MAX &&
		    run->records_file.pending.len < RECORDS_MAX &&
		    run->said.pending.len < RECORDS_MAX;

	if (!room)
		weir__u32_store(&run->full, 1, WEIR_SEQ_CST);
	return room;
}

/* "email 42", or with what it does: "42 ./render a.png" */
static void
job_name(char name[WEIR_ERROR_MAX], const struct work_job *job)
{
	const weir_job_row *row = &job->claim->row;

	if (job->shown[0])
		snprintf(name, WEIR_ERROR_MAX, "%" PRId64 " %s", row->id,
			 job->shown);
	else
		snprintf(name, WEIR_ERROR_MAX, "%s %" PRId64, row->kind,
			 row->id);
}

/* For -v: a line of its own. */
static void
say(struct work_run *run, const struct work_job *job, const char *what)
{
	struct weir_buf clean = {0};
	char line[2 * WEIR_ERROR_MAX], name[WEIR_ERROR_MAX];

	if (!run->options->verbose)
		return;
	job_name(name, job);
	snprintf(line, sizeof(line), "%s %s", name, what);
	weir__term_clean(&clean, line, strlen(line), true);
	weir__buf_putc(&clean, '\n');
	weir__mutex_lock(&run->mu);
	weir__buf_append(&run->said.pending, weir__buf_str(&clean), clean.len);
	weir__mutex_unlock(&run->mu);
	weir__buf_fini(&clean);
}

weir_status
weir__work_next(struct work_run *run, struct work_job **ret)
{
	struct weir_claim *claim = NULL;
	struct work_job *job;
	weir_status status;
	bool room;

	weir__mutex_lock(&run->mu);
	room = has_room_locked(run);
	weir__mutex_unlock(&run->mu);
	if (!room)
		return WEIR_BUSY;
	status = weir__work_take(run->work, &claim);
	if (status != WEIR_OK)
		return status;
	job = calloc(1, sizeof(*job));
	if (!job) {
		claim->lane = NULL;
		weir__work_give_back(run->work, claim);
		return WEIR_NOMEM;
	}
	job->claim = claim;
	weir__mutex_lock(&run->mu);
	job->seq = ++run->seq;
	claim->lane = job;
	weir__mutex_unlock(&run->mu);
	*ret = job;
	return WEIR_OK;
}

void
weir__work_enter(struct work_run *run, struct work_job *job, void *inside)
{
	weir__mutex_lock(&run->mu);
	job->inside = inside;
	weir__mutex_unlock(&run->mu);
	say(run, job, "begins");
	weir__work_stir(run);
}

void
weir__work_leave(struct work_run *run, struct work_job *job)
{
	weir__mutex_lock(&run->mu);
	weir_assert(job->inside);
	job->inside = NULL;
	weir__mutex_unlock(&run->mu);
}

void
weir__work_over(struct work_run *run, struct work_job *job,
		const struct weir_outcome *outcome)
{
	if (weir__u32_load(&run->leaving, WEIR_SEQ_CST))
		return;
	weir__work_give(run->work, job->claim, outcome);
}

void
weir__work_back(struct work_run *run, struct work_job *job)
{
	weir__work_give_back(run->work, job->claim);
}

void
weir__work_poke(void *user)
{
	weir__work_lane.poke(user);
}

/* The loop: this one is to end; it may just be ending by itself. */
void
weir__work_cancel(struct weir_claim *claim, void *user)
{
	struct work_run *run = user;
	struct work_job *job;

	weir__mutex_lock(&run->mu);
	job = claim->lane;
	if (job && job->inside)
		weir__work_lane.cancel(run, job);
	weir__mutex_unlock(&run->mu);
}

/* "completed", or why there is no state. */
static const char *
state_name(const struct weir_finished *finished)
{
	if (finished->status == WEIR_OK)
		return weir_job_state_name(finished->state);
	return finished->status == WEIR_STALE ? "stale" : "unknown";
}

static void
put_time(struct weir_json *j, const char *key, int64_t unix_ms)
{
	time_t seconds = (time_t)(unix_ms / 1000);
	char text[32], whole[48];
	struct tm tm;

	weir__json_key(j, key);
	if (unix_ms <= 0 || !gmtime_r(&seconds, &tm)) {
		weir__json_null(j);
		return;
	}
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(whole, sizeof(whole), "%s.%03dZ", text, (int)(unix_ms % 1000));
	weir__json_puts(j, whole);
}

static void
put_int(struct weir_json *j, const char *key, int64_t value)
{
	weir__json_key(j, key);
	weir__json_int(j, value);
}

static void
put_string(struct weir_json *j, const char *key, const char *value)
{
	weir__json_key(j, key);
	if (value && *value)
		weir__json_puts(j, value);
	else
		weir__json_null(j);
}

/* How the attempt ended; null is what there was none of. */
static void
put_end(struct weir_json *j, const struct work_job *job)
{
	char name[32] = "";

	weir__json_key(j, "exit");
	if (job->is_exited)
		weir__json_int(j, job->exit_code);
	else
		weir__json_null(j);
	if (job->signal)
		weir__exec_signal_name(name, sizeof(name), job->signal);
	put_string(j, "signal", name);
	weir__json_key(j, "http_status");
	if (job->http_status)
		weir__json_int(j, job->http_status);
	else
		weir__json_null(j);
	put_string(j, "error", job->error);
}

static void
put_record(struct weir_buf *line, const struct work_job *job,
	   const struct weir_finish *finish,
	   const struct weir_finished *finished)
{
	const weir_job_row *row = &job->claim->row;
	bool again = finished->status == WEIR_OK &&
		     (finish->verdict == WEIR_VERDICT_RETRY ||
		      finish->verdict == WEIR_VERDICT_SNOOZE);
	struct weir_json j;

	weir__json_init(&j, line);
	weir__json_begin_object(&j);
	put_int(&j, "id", row->id);
	put_string(&j, "kind", row->kind);
	put_string(&j, "queue", row->queue);
	put_int(&j, "attempt", row->attempt);
	put_int(&j, "max_attempts", row->max_attempts);
	put_string(&j, "state", state_name(finished));
	put_time(&j, "scheduled_at", again ? finish->at_ms : 0);
	put_end(&j, job);
	put_time(&j, "started", job->started_unix_ns / WEIR_MS);
	weir__json_key(&j, "ms");
	weir__json_fixed(&j, (double)job->wall_ns / (double)WEIR_MS, 1);
	weir__json_end_object(&j);
	weir__buf_putc(line, '\n');
}

static void add_record_locked(struct work_run *run, const struct work_job *job,
			      const struct weir_finish *finish,
			      const struct weir_finished *finished)
	WEIR_REQUIRES(run->mu);

static void
add_record_locked(struct work_run *run, const struct work_job *job,
		  const struct weir_finish *finish,
		  const struct weir_finished *finished)
{
	struct weir_buf line = {0};

	if (!run->options->json && !run->options->log)
		return;
	put_record(&line, job, finish, finished);
	if (run->options->json)
		weir__buf_append(&run->records_out.pending,
				 weir__buf_str(&line), line.len);
	if (run->options->log)
		weir__buf_append(&run->records_file.pending,
				 weir__buf_str(&line), line.len);
	weir__buf_fini(&line);
}

/* "try 3/25 in 16s", "(discarded, attempt 25/25)" */
static void
tell(struct work_run *run, const struct work_job *job,
     const struct weir_finish *finish, bool failed)
{
	const weir_job_row *row = &job->claim->row;
	int64_t wait_ms = finish->at_ms - weir__store_now_ms(run->store);
	char name[WEIR_ERROR_MAX], note[96], wait[WEIR_FORMAT_SIZE];

	job_name(name, job);
	weir__format_duration(wait, sizeof(wait),
			      wait_ms > 0 ? wait_ms * WEIR_MS : 0);
	if (failed)
		snprintf(note, sizeof(note),
			 "(discarded, attempt %" PRIu32 "/%" PRIu32 ")",
			 row->attempt, row->max_attempts);
	else if (finish->verdict == WEIR_VERDICT_SNOOZE)
		snprintf(note, sizeof(note), "again in %s", wait);
	else
		snprintf(note, sizeof(note),
			 "try %" PRIu32 "/%" PRIu32 " in %s", row->attempt + 1,
			 row->max_attempts, wait);
	weir__progress_event(&run->progress,
			     failed ? WEIR_PROGRESS_FAILED
				    : WEIR_PROGRESS_RETRY,
			     name, job->error, note);
}

static void count_retry_locked(struct work_run *run, const struct work_job *job,
			       const struct weir_finish *finish)
	WEIR_REQUIRES(run->mu);

static void
count_retry_locked(struct work_run *run, const struct work_job *job,
		   const struct weir_finish *finish)
{
	if (finish->verdict == WEIR_VERDICT_SNOOZE)
		run->counts.snoozed++;
	else
		run->counts.retried++;
	tell(run, job, finish, false);
}

/* We were taken for dead, or it was deleted; what it did counts for nothing. */
static void
tell_lost(struct work_run *run, const struct work_job *job)
{
	char name[WEIR_ERROR_MAX];

	job_name(name, job);
	weir__progress_event(&run->progress, WEIR_PROGRESS_RETRY, name,
			     "not ours any more", "left to others");
}

static void count_locked(struct work_run *run, const struct work_job *job,
			 const struct weir_finish *finish,
			 const struct weir_finished *finished)
	WEIR_REQUIRES(run->mu);
static void
count_locked(struct work_run *run, const struct work_job *job,
	     const struct weir_finish *finish,
	     const struct weir_finished *finished)
{
	struct work_counts *counts = &run->counts;
	if (finished->status != WEIR_OK) {
		counts->stale++;
		tell_lost(run, job);
		return;
	}
	if (finish->verdict == WEIR_VERDICT_RELEASE) {
		counts->interrupted += job->begun;
		counts->released += !job->begun;
		return;
	}
	switch (finished->state) {
	case WEIR_JOB_COMPLETED:
		counts->ok++;
		weir__hist_add(&run->latency, job->wall_ns);
		break;
	case WEIR_JOB_DISCARDED:
		counts->failed++;
		weir__tally_add(&run->reasons, job->reason);
		tell(run, job, finish, true);
		break;
	case WEIR_JOB_CANCELLED:
		counts->cancelled++;
		break;
	case WEIR_JOB_AVAILABLE:
	case WEIR_JOB_RETRYABLE:
	case WEIR_JOB_SCHEDULED:
		count_retry_locked(run, job, finish);
		break;
	case WEIR_JOB_PENDING:
	case WEIR_JOB_RUNNING:
		break;
	}
}

/* For -v. */
static void
say_end(struct work_run *run, const struct work_job *job,
	const struct weir_finished *finished)
{
	char what[WEIR_ERROR_MAX + 64], took[WEIR_FORMAT_SIZE];

	if (!job->begun)
		return;
	snprintf(what, sizeof(what), "%s after %s%s%s", state_name(finished),
		 weir__format_duration(took, sizeof(took), job->wall_ns),
		 job->error[0] ? ": " : "", job->error);
	say(run, job, what);
}

void
weir__work_ended(struct weir_claim *claim, const struct weir_finish *finish,
		 const struct weir_finished *finished, void *user)
{
	struct work_run *run = user;
	struct work_job *job;

	weir__mutex_lock(&run->mu);
	job = claim->lane;
	claim->lane = NULL;
	if (job) {
		weir_assert(!job->inside);
		count_locked(run, job, finish, finished);
		if (job->begun)
			add_record_locked(run, job, finish, finished);
	}
	weir__mutex_unlock(&run->mu);
	if (!job)
		return;
	say_end(run, job, finished);
	weir__buf_fini(&job->tail);
	free(job);
	weir__work_stir(run);
}

void
weir__work_trouble(const weir_error *error, void *user)
{
	struct work_run *run = user;

	weir__mutex_lock(&run->mu);
	if (error)
		run->trouble = *error;
	else
		run->trouble.status = WEIR_OK;
	run->trouble_is_new = true;
	weir__mutex_unlock(&run->mu);
	weir__work_notify(run);
}

bool
weir__work_text_take(struct work_run *run, struct work_text *text)
{
	struct weir_buf empty;

	if (text->written < text->writing.len)
		return true;
	weir__buf_reset(&text->writing);
	text->written = 0;
	empty = text->writing;
	weir__mutex_lock(&run->mu);
	text->writing = text->pending;
	text->pending = empty;
	weir__mutex_unlock(&run->mu);
	return text->writing.len > 0;
}
