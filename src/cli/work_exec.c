/*
 * Jobs of a store as child processes: the lane of weir work in weir-queue.
 *
 * Design.  A job is taken when a slot is free, and not before: how far ahead
 * they are claimed is the loop's to say.  Output goes through the same report
 * as that of weir run, but for what is kept with the job; the exit status
 * decides what becomes of it:
 *
 *      0 ──> completed     65 ──> discarded     others ──> tried again, later
 *
 * Standard error is shown like all output, and its end is kept besides: its
 * last line makes the error say more than "exit 3".
 *
 * Locking: run->mu guards what of a job others may ask for (work_run.h), and
 * is taken with nothing else held.  A job's tail belongs to the engine's
 * thread that has it.
 */
#include "cli/work_run.h"

#include "base/json_check.h"
#include "cli/live.h"
#include "cli/nofile.h"
#include "exec/child.h"
#include "exec/engine.h"
#include "exec/log.h"
#include "exec/report.h"
#include "exec/template.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EXIT_DISCARD 65
#define SPOOLS_MAX   (UINT64_C(2) << 20)
/* Pieces of output, after which signals have their turn. */
#define PIECES_AT_ONCE 256
/* A command that cannot be started now may be there after a deploy. */
#define UNSTARTED_NS (10 * WEIR_S)
#define NO_MEMORY_NS WEIR_S

struct exec_lane {
	struct weir_exec_options options;
	struct weir_exec_engine *engine;
	struct weir_exec_report report;
	struct weir_spool_budget budget;
	struct weir_buf program; /* where it was found */
	/* atomic: there was no memory for the last job */
	struct weir_u32 no_memory;
};

static struct exec_lane *
lane_of(const struct work_run *run)
{
	return run->lane;
}

/* Args that are no command: the job's fault, and another try is no use. */
static void
refuse(struct work_run *run, struct work_job *job, const char *why)
{
	struct weir_outcome outcome = WEIR_OUTCOME_INIT;

	outcome.status = WEIR_PERMANENT;
	outcome.error = why;
	job->begun = true;
	snprintf(job->error, sizeof(job->error), "%s", why);
	snprintf(job->reason, sizeof(job->reason), "bad args");
	weir__work_over(run, job, &outcome);
}

/* Who made it thinks of the command, not of the kind. */
static void
show_command(struct work_job *job, const struct weir_exec_job *exec_job)
{
	struct weir_buf text = {0};

	weir__exec_show(&text, exec_job->argv);
	snprintf(job->shown, sizeof(job->shown), "%s", weir__buf_str(&text));
	weir__buf_fini(&text);
}

static weir_status
make_exec_job(struct work_run *run, struct work_job *job,
	      struct weir_exec_job **ret)
{
	const weir_job_row *row = &job->claim->row;
	const char *why = NULL;
	weir_status status = weir__work_make_argv(run, row, ret, &why);

	if (status == WEIR_INVAL)
		refuse(run, job, why);
	else if (status != WEIR_OK)
		weir__work_back(run, job);
	if (status != WEIR_OK)
		return status;
	(*ret)->seq = job->seq;
	(*ret)->user = job;
	if (row->timeout_ns > 0)
		(*ret)->timeout_ns = row->timeout_ns;
	if (run->command) {
		(*ret)->input = row->args;
		(*ret)->input_len = row->args_len;
	} else {
		show_command(job, *ret);
	}
	return WEIR_OK;
}

static weir_status
next(struct weir_exec_job **ret, void *user)
{
	struct work_run *run = user;
	struct exec_lane *lane = lane_of(run);
	struct work_job *job;
	weir_status status;

	weir__u32_store(&lane->no_memory, 0, WEIR_SEQ_CST);
	/* There are no numbers to keep in order, so any will do. */
	if (!weir__exec_report_has_room(&lane->report, 0))
		return WEIR_BUSY;
	do {
		status = weir__work_next(run, &job);
		if (status == WEIR_OK)
			status = make_exec_job(run, job, ret);
	} while (status == WEIR_INVAL);
	if (status == WEIR_NOMEM) {
		weir__u32_store(&lane->no_memory, 1, WEIR_SEQ_CST);
		return WEIR_BUSY;
	}
	if (status == WEIR_OK)
		weir__work_enter(run, job, *ret);
	return status;
}

static int64_t
hungry(int *ret_fd, void *user)
{
	struct work_run *run = user;

	*ret_fd = -1;
	return weir__u32_load(&lane_of(run)->no_memory, WEIR_SEQ_CST)
		       ? NO_MEMORY_NS
		       : WEIR_FOREVER;
}

static void
on_attempt(const struct weir_exec_job *job,
	   const struct weir_exec_attempt *attempt, void *user)
{
	struct work_run *run = user;

	weir__exec_report_attempt(&lane_of(run)->report, job, attempt);
}

/* Keep the end of what was written to standard error; len <= WORK_TRACE_MAX. */
static void
keep_tail(struct work_job *job, const char *text, long len)
{
	size_t drop;

	if (len <= 0)
		return;
	drop = job->tail.len + (size_t)len;
	drop = drop > WORK_TRACE_MAX ? drop - WORK_TRACE_MAX : 0;
	if (drop > 0) {
		job->tail.len -= drop;
		memmove(job->tail.data, job->tail.data + drop, job->tail.len);
	}
	weir__buf_append(&job->tail, text, (size_t)len);
}

static bool
on_chunk(const struct weir_exec_job *exec_job, bool is_err,
	 struct weir_spool *spool, void *user)
{
	struct work_run *run = user;
	char text[WORK_TRACE_MAX];
	long len = is_err ? weir__spool_tail(spool, text, sizeof(text)) : 0;

	if (!weir__exec_report_chunk(&lane_of(run)->report, exec_job, is_err,
				     spool))
		return false;
	keep_tail(exec_job->user, text, len);
	return true;
}

/* The last line that is not blank; its length in *ret_len. */
static const char *
last_line(const struct weir_buf *tail, size_t *ret_len)
{
	const char *text = weir__buf_str(tail), *line;
	size_t len = tail->len;

	while (len > 0 && strchr(" \t\r\n", text[len - 1]))
		len--;
	line = len > 0 ? memrchr(text, '\n', len) : NULL;
	line = line ? line + 1 : text;
	*ret_len = len - (size_t)(line - text);
	return line;
}

/* "exit 3: no such user" */
static void
say_error(struct work_job *job, const struct weir_exec_result *result)
{
	struct weir_buf clean = {0};
	size_t len;
	const char *line = last_line(&job->tail, &len);

	snprintf(job->error, sizeof(job->error), "%s", result->error);
	if (result->last->end == WEIR_EXEC_UNSTARTED && result->job->dir &&
	    access(result->job->dir, X_OK) != 0)
		snprintf(job->error, sizeof(job->error),
			 "cannot run in its folder: %s", strerror(errno));
	weir__exec_reason(job->reason, sizeof(job->reason), result->last);
	if (len == 0)
		return;
	weir__term_clean(&clean, line, len, true);
	snprintf(job->error, sizeof(job->error), "%s: %s", result->error,
		 weir__buf_str(&clean));
	weir__buf_fini(&clean);
}

static void
note_end(struct work_job *job, const struct weir_exec_attempt *last)
{
	job->begun = true;
	job->started_unix_ns = last->started_unix_ns;
	job->wall_ns = last->wall_ns;
	switch (last->end) {
	case WEIR_EXEC_EXITED:
		job->is_exited = true;
		job->exit_code = last->code;
		break;
	case WEIR_EXEC_SIGNALED:
	case WEIR_EXEC_TIMED_OUT:
	case WEIR_EXEC_CANCELED:
		job->signal = last->code;
		break;
	case WEIR_EXEC_UNSTARTED:
		break;
	}
}

/* What the end of its process is to a job. */
static void
judge(const struct work_run *run, const struct weir_exec_attempt *last,
      struct weir_outcome *outcome)
{
	switch (last->end) {
	case WEIR_EXEC_EXITED:
		outcome->status = last->code == 0              ? WEIR_OK
				  : last->code == EXIT_DISCARD ? WEIR_PERMANENT
							       : WEIR_FAILED;
		break;
	case WEIR_EXEC_SIGNALED:
		outcome->status = WEIR_FAILED;
		break;
	case WEIR_EXEC_TIMED_OUT:
		outcome->status = WEIR_TIMEDOUT;
		break;
	case WEIR_EXEC_CANCELED:
		outcome->status = WEIR_CANCELED;
		break;
	case WEIR_EXEC_UNSTARTED:
		outcome->status = WEIR_FAILED;
		/* A command of ours is our trouble, and not the job's. */
		if (run->command)
			outcome->snooze_ns = UNSTARTED_NS;
		break;
	}
}

/* Standard output, if that is one JSON value; else it stays where it is. */
static void
take_output(struct weir_spool *out, struct weir_buf *ret)
{
	struct weir_json_fault fault;
	long got = 0;

	if (!out || out->len == 0 || out->len > WEIR_ARGS_MAX ||
	    !weir__buf_reserve(ret, (size_t)out->len))
		return;
	got = weir__spool_tail(out, ret->data, (size_t)out->len);
	if (got != (long)out->len)
		return;
	ret->len = (size_t)got;
	ret->data[ret->len] = '\0';
	while (ret->len > 0 && strchr(" \t\r\n", ret->data[ret->len - 1]))
		ret->data[--ret->len] = '\0';
	if (weir__json_check(ret->data, ret->len, WEIR_JSON_ANY, &fault))
		weir__spool_fini(out);
	else
		weir__buf_reset(ret);
}

static void
on_ended(const struct weir_exec_result *result, void *user)
{
	struct work_run *run = user;
	struct work_job *job = result->job->user;
	struct weir_outcome outcome = WEIR_OUTCOME_INIT;
	struct weir_buf output = {0};
	char text[WORK_TRACE_MAX];

	weir__work_leave(run, job);
	note_end(job, result->last);
	judge(run, result->last, &outcome);
	if (result->err)
		keep_tail(job, text,
			  weir__spool_tail(result->err, text, sizeof(text)));
	if (outcome.status != WEIR_OK) {
		say_error(job, result);
		outcome.error = job->error;
		outcome.trace = job->tail.len > 0 ? job->tail.data : NULL;
	} else if (run->options->output) {
		take_output(result->out, &output);
		outcome.output = output.len > 0 ? output.data : NULL;
		outcome.output_len = output.len;
	}
	weir__exec_report_ended(&lane_of(run)->report, result);
	weir__work_over(run, job, &outcome);
	weir__buf_fini(&output);
}

/*
 * It was given to the engine and comes back: because of a stop, or because it
 * was cancelled before it had begun.
 */
static void
on_unstarted(const struct weir_exec_job *exec_job, void *user)
{
	struct work_run *run = user;
	struct work_job *job = exec_job->user;
	struct weir_outcome outcome = WEIR_OUTCOME_INIT;

	weir__work_leave(run, job);
	weir__exec_report_unstarted(&lane_of(run)->report, exec_job);
	if (!weir__u32_load(&exec_job->canceled, WEIR_SEQ_CST)) {
		weir__work_back(run, job);
		return;
	}
	outcome.status = WEIR_CANCELED;
	weir__work_over(run, job, &outcome);
}

static int
make_report(struct work_run *run)
{
	struct exec_lane *lane = lane_of(run);

	lane->budget.max = SPOOLS_MAX;
	lane->report.tagged = run->options->tagged;
	lane->report.aside = run->options->json;
	lane->report.budget = &lane->budget;
	lane->report.notify_fd = run->notify_fd;
	return weir__exec_report_init(&lane->report)
		       ? -1
		       : weir__work_no_memory(run);
}

/* It should be there before a job is taken. */
static int
find_program(struct work_run *run)
{
	struct exec_lane *lane = lane_of(run);
	const char *name;
	int failed, dir_fd = -1;

	/* A place in it may make another program of each job. */
	if (!run->command || strchr(run->command[0], '{'))
		return -1;
	name = run->command[0];
	if (run->options->dir) {
		dir_fd = weir__child_open(run->options->dir,
					  O_PATH | O_DIRECTORY);
		if (dir_fd < 0)
			return weir__work_fail(run, "cannot run in", errno,
					       run->options->dir);
	}
	failed = weir__child_find(&lane->program, name, dir_fd);
	if (dir_fd >= 0)
		(void)close(dir_fd);
	if (failed == ENOMEM)
		return weir__work_no_memory(run);
	if (!failed)
		return -1;
	(void)weir__work_fail(run, "cannot run", failed, name);
	return failed == ENOENT ? WEIR_EXIT_NOT_FOUND : WEIR_EXIT_CANNOT_RUN;
}

/* Make sure that -j processes can have their descriptors. */
static int
raise_limit(struct work_run *run)
{
	struct weir_exec_options *options = &lane_of(run)->options;
	/* The store has some of its own. */
	uint64_t need = weir__exec_engine_descriptors(options) + 32;
	struct weir_nofile found;
	bool fits = weir__cli_raise_nofile(run->cli, run->jobs, need, &found);

	options->nofile_before = found.before;
	return fits ? -1 : WEIR_EXIT_FAILURE;
}

static void
set_options(struct work_run *run)
{
	const struct work_cli_options *o = run->options;
	struct exec_lane *lane = lane_of(run);
	bool pipe_ignored;
	const sigset_t *mask = weir__signals_before(&pipe_ignored);

	lane->options = (struct weir_exec_options){
		.jobs = run->jobs,
		.output = o->lines ? WEIR_EXEC_LINES : WEIR_EXEC_GROUPED,
		.dir = o->dir,
		.limits = {.memory = o->mem_limit,
			   .cpu_s = (uint64_t)(o->cpu_limit_ns / WEIR_S),
			   .nofile = (uint64_t)o->nofile},
		.timeout_ns = o->timeout_ns > 0 ? o->timeout_ns : WEIR_FOREVER,
		.kill_after_ns = o->kill_after_ns,
		.rate = o->rate,
		.mask = mask,
		.pipe_ignored = pipe_ignored,
		.env_withheld = "WEIR_JOB_",
	};
}

static int
open_lane(struct work_run *run)
{
	struct weir_exec_hooks hooks = {.next = next,
					.hungry = hungry,
					.attempt = on_attempt,
					.ended = on_ended,
					.unstarted = on_unstarted,
					.chunk = on_chunk,
					.user = run};
	struct exec_lane *lane = calloc(1, sizeof(*lane));
	int status;

	if (!lane)
		return weir__work_no_memory(run);
	run->lane = lane;
	set_options(run);
	status = make_report(run);
	if (status < 0)
		status = find_program(run);
	if (status < 0)
		status = raise_limit(run);
	if (status >= 0)
		return status;
	if (weir__exec_engine_new(&lane->engine, &lane->options, &hooks,
				  &run->error) == WEIR_OK)
		return -1;
	weir__cli_error(run->cli, NULL, "%s", run->error.message);
	return WEIR_EXIT_FAILURE;
}

static weir_status
run_lane(struct work_run *run, weir_error *reterr)
{
	return weir__exec_engine_run(lane_of(run)->engine, NULL, reterr);
}

static void
poke_lane(struct work_run *run)
{
	weir__exec_engine_poke(lane_of(run)->engine);
}

static void
stop_lane(struct work_run *run, bool now)
{
	weir__exec_engine_stop(lane_of(run)->engine, now);
}

static void
cancel_job(struct work_run *run, struct work_job *job)
{
	weir__exec_engine_cancel(lane_of(run)->engine, job->inside);
}

static void
kill_lane(struct work_run *run)
{
	weir__exec_engine_kill(lane_of(run)->engine);
}

static void
get_stats(struct work_run *run, weir_pool_stats *ret)
{
	weir__exec_engine_stats(lane_of(run)->engine, ret);
}

/* Nobody reads: what is for them is passed over, and the work goes on. */
static bool
is_lost(const struct work_run *run, const struct weir_exec_piece *piece)
{
	return !piece->is_err && run->stdout_error;
}

static int
write_lane(struct work_run *run)
{
	struct weir_exec_report *report = &lane_of(run)->report;
	struct weir_exec_piece piece;
	size_t room;
	int fd, failed, pieces = 0;

	while (weir__exec_report_piece(report, &piece)) {
		fd = piece.is_err ? STDERR_FILENO : STDOUT_FILENO;
		room = is_lost(run, &piece) ? piece.len : weir__output_room(fd);
		if (room == 0 || pieces++ == PIECES_AT_ONCE)
			return fd;
		if (piece.len > room)
			piece.len = room;
		failed = is_lost(run, &piece)
				 ? 0
				 : weir__progress_write(&run->progress, fd,
							piece.data, piece.len);
		weir__exec_report_wrote(report, piece.len);
		if (failed && !piece.is_err)
			run->stdout_error = failed;
	}
	return -1;
}

static void
take_news(struct work_run *run)
{
	struct exec_lane *lane = lane_of(run);
	int error = lane->report.error;

	if (weir__exec_report_was_full(&lane->report))
		poke_lane(run);
	if (!error || run->exit_early >= 0)
		return;
	run->exit_early = weir__work_fail(run, "cannot keep output", error,
					  "temporary file");
	weir_work_stop(run->work, true);
	stop_lane(run, true);
}

static void
close_lane(struct work_run *run)
{
	struct exec_lane *lane = lane_of(run);

	if (!lane)
		return;
	weir__exec_engine_free(lane->engine);
	weir__exec_report_fini(&lane->report);
	weir__buf_fini(&lane->program);
	free(lane);
	run->lane = NULL;
}

const struct work_lane weir__work_lane = {
	.name = "exec",
	.open = open_lane,
	.run = run_lane,
	.poke = poke_lane,
	.stop = stop_lane,
	.cancel = cancel_job,
	.kill = kill_lane,
	.stats = get_stats,
	.write = write_lane,
	.news = take_news,
	.close = close_lane,
};
