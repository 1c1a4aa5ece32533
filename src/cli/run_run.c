/*
 * The run of weir run: what it prints, writes and obeys.
 *
 * Design.  The engine runs on a thread of its own.  This one waits, in one
 * poll(), for signals, for output and records to write and for descriptors to
 * take them, and repaints the progress line ten times a second:
 *
 *      engine --- report: output, records ---.
 *                                            v
 *      signals ---------------------> loop() ---> stdout, stderr, logs
 *
 * Nothing here blocks for long but writing logs to a disk: of a pipe only as
 * much is written as poll() says it takes, so that a Ctrl-C is heard also
 * while nobody reads our output.
 *
 * Locking: the fields of struct run say whose they are.
 */
#include "cli/run_run.h"

#include "cli/elsewhere.h"

#include "base/quote.h"
#include "base/units.h"
#include "cli/live.h"
#include "exec/log.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <weir/job.h>

#define TICK_NS        (100 * WEIR_MS)
#define SHOWN_MAX      400
#define PIECES_AT_ONCE 256
#define SPOOLS_MAX     (UINT64_C(2) << 20)

static void
notify(struct run *run)
{
	uint64_t one = 1;

	while (write(run->notify_fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

/* "render 17" and "(attempt 3/3)  peak 812 MB" for an event. */
static void
tell(struct run *run, enum weir_progress_kind kind,
     const struct weir_exec_job *job, const struct weir_exec_attempt *last,
     const char *why)
{
	struct weir_buf shown = {0}, note = {0};
	char peak[WEIR_FORMAT_SIZE];
	uint32_t most = run->engine_options.retries + 1;

	if (job->argc > 0)
		weir__exec_show(&shown, job->argv);
	else
		weir__buf_append(&shown, job->item, job->item_len);
	/* A command may be two megabytes long; who wants all has the log. */
	if (shown.len > SHOWN_MAX) {
		shown.len = SHOWN_MAX;
		weir__buf_puts(&shown, "...");
	}
	if (last && kind == WEIR_PROGRESS_RETRY)
		weir__buf_printf(&note, "try %u/%u", last->number + 1, most);
	else if (last && most > 1)
		weir__buf_printf(&note, "(attempt %u/%u)", last->number, most);
	if (last && last->end == WEIR_EXEC_SIGNALED)
		weir__buf_printf(
			&note, "%speak %s", note.len > 0 ? "  " : "",
			weir__format_bytes(peak, sizeof(peak), last->max_rss));
	weir__progress_event(&run->progress, kind, weir__buf_str(&shown), why,
			     note.len > 0 ? note.data : NULL);
	weir__buf_fini(&shown);
	weir__buf_fini(&note);
}

static void
on_attempt(const struct weir_exec_job *job,
	   const struct weir_exec_attempt *attempt, void *user)
{
	struct run *run = user;
	char why[WEIR_ERROR_MAX];

	weir__exec_report_attempt(&run->report, job, attempt);
	if (!attempt->will_retry)
		return;
	weir__exec_why(why, sizeof(why), attempt);
	tell(run, WEIR_PROGRESS_RETRY, job, attempt, why);
}

/* With the report's lock held. */
static void
on_failed(const struct weir_exec_result *result, void *user)
{
	struct run *run = user;
	char reason[WEIR_ERROR_MAX] = "bad item";

	if (result->last)
		weir__exec_reason(reason, sizeof(reason), result->last);
	weir__tally_add(&run->reasons, reason);
	tell(run, WEIR_PROGRESS_FAILED, result->job, result->last,
	     result->error);
}

static void
check_halt(struct run *run)
{
	struct weir_exec_counts counts = weir__exec_report_counts(&run->report);
	uint64_t total = weir__items_total(run->items), seen;
	bool end;

	seen = weir__items_count(run->items, &end);
	if (weir__halt_is_due(&run->halt, counts.ok, counts.failed,
			      end ? seen : total) &&
	    weir__u32_cas(&run->halted, 0, run->halt.now ? 2 : 1, WEIR_SEQ_CST))
		notify(run);
}

static void
on_ended(const struct weir_exec_result *result, void *user)
{
	struct run *run = user;

	weir__exec_report_ended(&run->report, result);
	weir__run_gate_leave(run);
	if (run->halt.why != WEIR_HALT_NEVER)
		check_halt(run);
}

static void
on_unstarted(const struct weir_exec_job *job, void *user)
{
	struct run *run = user;

	weir__exec_report_unstarted(&run->report, job);
	weir__run_gate_leave(run);
}

static bool
on_chunk(const struct weir_exec_job *job, bool is_err, struct weir_spool *spool,
	 void *user)
{
	struct run *run = user;

	return weir__exec_report_chunk(&run->report, job, is_err, spool);
}

static void
engine_thread(void *arg)
{
	struct run *run = arg;

	run->status = weir__exec_engine_run(run->engine, run->ctx, &run->error);
	weir__u32_store(&run->finished, 1, WEIR_SEQ_CST);
	notify(run);
}

static void
get_counts(struct run *run, struct weir_progress_counts *ret)
{
	struct weir_exec_counts counts = weir__exec_report_counts(&run->report);
	weir_pool_stats stats;
	bool end;

	weir__exec_engine_stats(run->engine, &stats);
	*ret = (struct weir_progress_counts){
		.done = counts.ok + counts.failed + counts.skipped,
		.ok = counts.ok,
		.failed = counts.failed,
		.skipped = counts.skipped,
		.retries = counts.retries,
		.busy = stats.busy,
		.width = stats.workers,
		.queued = stats.queued + stats.backoff,
		.elapsed_ns = weir_now_ns() - run->began_ns,
	};
	ret->total = weir__items_count(run->items, &end);
	ret->total_final = end;
	if (!end && weir__items_total(run->items) > 0) {
		ret->total = weir__items_total(run->items);
		ret->total_final = true;
	}
}

/* Stop as if a second signal had come. */
static void
stop_now(struct run *run, int exit_status)
{
	if (run->exit_early < 0)
		run->exit_early = exit_status;
	weir__exec_engine_stop(run->engine, true);
	if (run->stop.stage < WEIR_STOP_CANCELING) {
		run->stop.stage = WEIR_STOP_CANCELING;
		run->stop.deadline_ns = weir_now_ns() + WEIR_STOP_CANCEL_NS +
					run->options->kill_after_ns;
	}
}

static void
leave(struct run *run)
{
	weir__progress_hide(&run->progress);
	weir__exec_engine_kill(run->engine);
	/* Make waits for its tokens, also for those of who left in a hurry. */
	weir__mutex_lock(&run->gate_mu);
	run->jobserver = weir__jobserver_close(run->jobserver);
	_exit(run->exit_early >= 0 ? run->exit_early
	      : run->stop.signal   ? weir__exit_of_signal(run->stop.signal)
				   : WEIR_EXIT_FAILURE);
}

static void
obey(struct run *run, enum weir_stop_action action)
{
	struct weir_progress_counts counts;

	switch (action) {
	case WEIR_STOP_NOTHING:
		break;
	case WEIR_STOP_DRAIN:
		get_counts(run, &counts);
		weir__say_draining(&run->progress, &counts);
		weir__exec_engine_stop(run->engine, false);
		break;
	case WEIR_STOP_CANCEL:
		weir__progress_note(&run->progress, "ending what runs");
		weir__exec_engine_stop(run->engine, true);
		run->stop.deadline_ns = weir_now_ns() + WEIR_STOP_CANCEL_NS +
					run->options->kill_after_ns;
		break;
	case WEIR_STOP_LEAVE:
		leave(run);
		break;
	case WEIR_STOP_STATUS:
		get_counts(run, &counts);
		weir__progress_status(&run->progress, &counts);
		break;
	}
}

static void
take_signals(struct run *run)
{
	int signal_number;

	while ((signal_number = weir__signals_wait(0)) > 0)
		obey(run, weir__stop_signal(&run->stop, signal_number,
					    weir_now_ns()));
	obey(run, weir__stop_tick(&run->stop, weir_now_ns()));
}

/* Something that other threads have noted, and only this one acts on. */
static void
take_news(struct run *run)
{
	uint32_t halted = weir__u32_load(&run->halted, WEIR_SEQ_CST);

	if (halted > 0 && run->exit_early < 0 &&
	    run->stop.stage == WEIR_STOP_RUNNING) {
		run->exit_early = WEIR_EXIT_HALTED;
		weir__exec_engine_stop(run->engine, halted == 2);
	}
	if (run->report.error && run->exit_early != WEIR_EXIT_FAILURE)
		stop_now(run,
			 weir__run_fail(run, "cannot keep output",
					run->report.error, "temporary file"));
	if (weir__exec_report_was_full(&run->report))
		weir__exec_engine_poke(run->engine);
}

static void
output_failed(struct run *run, const struct weir_exec_piece *piece,
	      int error_number)
{
	/* That nobody reads standard error is nothing to stop for. */
	if (piece->is_err)
		return;
	run->stdout_error = error_number;
	stop_now(run, weir__cli_stdout_failed(run->cli, error_number));
}

/* Write what standard output and error take; the one that is full, or -1. */
static int
write_output(struct run *run)
{
	struct weir_exec_piece piece;
	size_t room;
	int fd, failed, pieces = 0;

	while (weir__exec_report_piece(&run->report, &piece)) {
		fd = piece.is_err ? STDERR_FILENO : STDOUT_FILENO;
		room = !piece.is_err && run->stdout_error
			       ? piece.len
			       : weir__output_room(fd);
		/* However fast they write: signals have their turn. */
		if (room == 0 || pieces++ == PIECES_AT_ONCE)
			return fd;
		if (piece.len > room)
			piece.len = room;
		failed = !piece.is_err && run->stdout_error
				 ? 0
				 : weir__progress_write(&run->progress, fd,
							piece.data, piece.len);
		weir__exec_report_wrote(&run->report, piece.len);
		if (failed)
			output_failed(run, &piece, failed);
	}
	return -1;
}

static void
log_failed(struct run *run, struct run_file *file, int error_number)
{
	stop_now(run, weir__run_fail(run, "cannot write records", error_number,
				     file->path));
	(void)close(file->fd);
	file->fd = -1;
}

/* Write what the file takes; its descriptor if that is not all, or -1. */
static int
write_log(struct run *run, struct weir_exec_text *log, struct run_file *file)
{
	size_t room, len;
	int failed;

	while (file->fd >= 0 && log->written < log->text.len) {
		room = weir__output_room(file->fd);
		if (room == 0)
			return file->fd;
		len = log->text.len - log->written;
		if (len > room)
			len = room;
		failed = weir__term_write(file->fd,
					  log->text.data + log->written, len);
		log->written += len;
		if (failed)
			log_failed(run, file, failed);
	}
	weir__buf_reset(&log->text);
	log->written = 0;
	return -1;
}

/*
 * Output, and behind it the records of what it came from.  In full_fds what has
 * to be waited for, -1 where that is nothing.  Is all of it written?
 */
static bool
write_all(struct run *run, int full_fds[3])
{
	struct weir_exec_piece more;

	/* Long records stand in the way of more output. */
	do {
		full_fds[0] = write_output(run);
		full_fds[1] = write_log(run, &run->report.log, &run->log);
		full_fds[2] = write_log(run, &run->report.joblog, &run->joblog);
		if (full_fds[0] >= 0 || full_fds[1] >= 0 || full_fds[2] >= 0)
			return false;
	} while (weir__exec_report_piece(&run->report, &more) ||
		 run->report.log.text.len + run->report.joblog.text.len > 0);
	return true;
}

/* Wait for news. */
static void
wait_for_news(struct run *run, const int full_fds[3])
{
	struct pollfd fds[] = {
		{.fd = run->signal_fd, .events = POLLIN},
		{.fd = run->notify_fd, .events = POLLIN},
		{.fd = full_fds[0], .events = POLLOUT},
		{.fd = full_fds[1], .events = POLLOUT},
		{.fd = full_fds[2], .events = POLLOUT},
	};
	int64_t wait_ns = weir__stop_sleep_ns(&run->stop, weir_now_ns());
	uint64_t count;

	if (wait_ns > TICK_NS)
		wait_ns = TICK_NS;
	(void)poll(fds, 5, (int)((wait_ns + WEIR_MS - 1) / WEIR_MS));
	if (fds[1].revents && read(run->notify_fd, &count, sizeof(count)) < 0)
		return; /* somebody else's wake-up: none is lost */
}

static void
loop(struct run *run)
{
	struct weir_progress_counts counts;
	bool finished, written;
	int full_fds[3];

	for (;;) {
		/* First this, then the rest: so nothing comes after it. */
		finished = weir__u32_load(&run->finished, WEIR_SEQ_CST) != 0;
		take_signals(run);
		written = write_all(run, full_fds);
		take_news(run);
		if (finished && written)
			return;
		get_counts(run, &counts);
		weir__progress_update(&run->progress, &counts);
		wait_for_news(run, full_fds);
	}
}

/*
 * The words of our own command line, without --resume and its value; those of
 * the command that it runs are all its own.
 */
static void
put_command(struct run *run, struct weir_buf *buf, const char *log)
{
	const struct weir_cli *cli = run->cli;
	bool ours = true;

	weir__buf_puts(buf, "weir run --resume ");
	weir__quote_word(buf, log);
	for (char **word = cli->argv + 2; *word; word++) {
		ours &= cli->operand_count == 0 || *word != cli->operands[0];
		if (ours && strncmp(*word, "--resume=", 9) == 0)
			continue;
		if (ours && strcmp(*word, "--resume") == 0 && word[1]) {
			word++;
			continue;
		}
		weir__buf_putc(buf, ' ');
		weir__quote_word(buf, *word);
	}
}

/* All of a command line in one word, as GNU parallel takes it? */
static bool
was_script(const struct run *run)
{
	return run->template_options.count > 0 && !run->options->shell &&
	       weir__run_is_script(run->template_options.words[0]) &&
	       run->reasons.len == 1 &&
	       strcmp(run->reasons.rows[0].name, "not found") == 0;
}

/* The command that goes on from here. */
static void
put_next(struct run *run, struct weir_buf *buf)
{
	const char *log = run->log.path ? run->log.path : run->joblog.path;

	if (was_script(run))
		weir__buf_puts(buf, RUN_TRY_SHELL);
	else if (log)
		put_command(run, buf, log);
	else
		weir__buf_puts(buf, "weir run --log run.jsonl ..., to have "
				    "something to --resume from");
}

/* When all is over and nothing else is wrong. */
static int
failed_status(const struct run *run, const struct weir_exec_counts *counts)
{
	if (counts->failed == 0)
		return WEIR_EXIT_OK;
	switch (run->options->exit_code) {
	case RUN_EXIT_XARGS:
		break;
	case RUN_EXIT_COUNT:
		return weir__exit_of_count(counts->failed);
	case RUN_EXIT_FIRST:
		return counts->first_code;
	case RUN_EXIT_MAX:
		return counts->max_code;
	}
	return WEIR_EXIT_SOME_FAILED;
}

static int
exit_status(struct run *run, const struct weir_exec_counts *counts, bool left)
{
	const weir_error *error = run->input_error.status != WEIR_OK
					  ? &run->input_error
					  : &run->error;

	if (run->exit_early >= 0 &&
	    (run->exit_early != WEIR_EXIT_HALTED || left))
		return run->exit_early;
	if (run->status != WEIR_OK && run->status != WEIR_TIMEDOUT &&
	    run->status != WEIR_CANCELED) {
		weir__cli_error(run->cli, NULL, "%s", error->message);
		return WEIR_EXIT_FAILURE;
	}
	if (run->stop.signal && left)
		return weir__exit_of_signal(run->stop.signal);
	if (run->status == WEIR_TIMEDOUT)
		return WEIR_EXIT_HALTED;
	return failed_status(run, counts);
}

static const char *
stopped_how(const struct run *run)
{
	if (weir__u32_load(&run->halted, WEIR_SEQ_CST))
		return "halted";
	return run->stop.stage == WEIR_STOP_DRAINING ? "stopped after drain"
						     : "stopped";
}

static void
print_summary(struct run *run, const struct weir_exec_counts *counts, bool left)
{
	struct weir_buf next = {0};
	struct weir_summary summary = {
		.verb = "ran",
		.latency = &run->report.latency,
		.reasons = &run->reasons,
		.records = run->log.path ? run->log.path : run->joblog.path,
		.quiet = run->cli->common.quiet,
	};
	uint64_t ended;

	get_counts(run, &summary.counts);
	if (left) {
		summary.stopped = stopped_how(run);
		summary.cancelled = counts->cancelled;
		ended = summary.counts.done + counts->cancelled;
		summary.not_started = counts->unstarted;
		if (summary.counts.total > ended)
			summary.not_started = summary.counts.total - ended;
	}
	if (left || counts->failed > 0) {
		put_next(run, &next);
		summary.next = next.failed ? NULL : next.data;
	}
	weir__summary_print(STDERR_FILENO, &summary);
	weir__buf_fini(&next);
}

/* All is over: what came of it? */
static int
conclude(struct run *run)
{
	struct weir_exec_counts counts = weir__exec_report_counts(&run->report);
	bool end, left;
	uint64_t rows = weir__items_count(run->items, &end);
	uint64_t total = weir__items_total(run->items);
	int status;

	/*
	 * The summary waits for a reader; a signal may end that wait.  That of
	 * who was stopped does not, and is not to be lost to one more signal.
	 */
	if (!run->stop.signal)
		weir__signals_release();
	weir__progress_finish(&run->progress);
	/* Who was stopped after the last one has not asked for another. */
	end = end || (total > 0 && rows >= total);
	left = !end || run->next || counts.cancelled > 0 ||
	       counts.unstarted > 0;
	status = exit_status(run, &counts, left);
	if (rows == 0 && end && status == WEIR_EXIT_OK) {
		weir__cli_note(run->cli, "no items in the input");
		return status;
	}
	if (!run->options->dry_run || left)
		print_summary(run, &counts, left);
	return status;
}

static int
load_resume(struct run *run)
{
	const char *path = run->options->resume;

	if (!path)
		return -1;
	/* A script that always says --resume has no log the first time. */
	if (access(path, F_OK) != 0 && errno == ENOENT) {
		weir__cli_note(run->cli, "there is no log yet (%s)", path);
		return -1;
	}
	if (weir__exec_resume_load(&run->resume, path, &run->error) == WEIR_OK)
		return -1;
	weir__cli_error(run->cli, "cannot read the log", "%s (%s)",
			run->error.message, path);
	return WEIR_EXIT_FAILURE;
}

static int
make_report(struct run *run)
{
	run->budget.max = SPOOLS_MAX;
	run->report.ordered = run->options->ordered;
	run->report.tagged = run->options->tagged;
	run->report.json = run->options->json;
	run->report.window = weir__run_window(run);
	run->report.budget = &run->budget;
	run->report.failed = on_failed;
	run->report.user = run;
	run->notify_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	run->report.notify_fd = run->notify_fd;
	run->signal_fd = weir__signals_fd();
	if (run->notify_fd < 0 || run->signal_fd < 0)
		return weir__run_fail(run, "cannot wait", errno, "eventfd");
	if (!weir__exec_report_init(&run->report))
		return weir__run_no_memory(run);
	return -1;
}

static int
make_engine(struct run *run)
{
	struct weir_exec_hooks hooks = {.next = weir__run_next,
					.hungry = weir__run_hungry,
					.attempt = on_attempt,
					.ended = on_ended,
					.unstarted = on_unstarted,
					.chunk = on_chunk,
					.user = run};

	if (run->options->jobserver &&
	    weir__jobserver_open(&run->jobserver, getenv("MAKEFLAGS"),
				 &run->error) != WEIR_OK) {
		weir__cli_error(run->cli, "--jobserver", "%s",
				run->error.message);
		weir__cli_try(run->cli,
			      "a recipe that begins with +, so that make "
			      "passes its jobserver on");
		return WEIR_EXIT_FAILURE;
	}
	if (weir__exec_engine_new(&run->engine, &run->engine_options, &hooks,
				  &run->error) == WEIR_OK)
		return -1;
	weir__cli_error(run->cli, NULL, "%s", run->error.message);
	return WEIR_EXIT_FAILURE;
}

static int
run_engine(struct run *run)
{
	int64_t max_ns = run->options->max_time_ns;
	int status;

	if (weir_ctx_new(&run->ctx, NULL, max_ns > 0 ? max_ns : WEIR_FOREVER) !=
	    WEIR_OK)
		return weir__run_no_memory(run);
	run->began_ns = weir_now_ns();
	weir__stop_init(&run->stop, run->options->grace_ns);
	weir__progress_begin(run->cli, &run->progress);
	if (weir__thread_start(&run->thread, "weir-run", 0, engine_thread,
			       run) == WEIR_OK) {
		loop(run);
		weir__thread_join(&run->thread);
		status = conclude(run);
	} else {
		weir__progress_finish(&run->progress);
		status = weir__run_no_memory(run);
	}
	run->cli->progress = NULL;
	return status;
}

static void
run_fini(struct run *run)
{
	weir__exec_engine_free(run->engine);
	weir__exec_job_free(run->next);
	weir__items_free(run->items);
	weir__template_free(run->template);
	weir__exec_resume_free(run->resume);
	weir__jobserver_close(run->jobserver);
	weir__exec_report_fini(&run->report);
	weir__mutex_fini(&run->gate_mu);
	weir_ctx_unref(run->ctx);
	free(run->sources);
	free(run->inputs);
	weir__buf_fini(&run->program);
	for (const int *fd = (const int[]){run->log.fd, run->joblog.fd,
					   run->notify_fd, run->signal_fd, -2};
	     *fd != -2; fd++)
		if (*fd >= 0)
			(void)close(*fd);
	free(run);
}

int
weir__run_run(struct weir_cli *cli)
{
	const struct run_cli_options *options = cli->options;
	struct run *run;
	int status;

	if (options->queue)
		return weir__elsewhere_for(cli, options->db);
	run = calloc(1, sizeof(*run));
	if (!run) {
		weir__cli_error(cli, NULL, "out of memory");
		return WEIR_EXIT_FAILURE;
	}
	run->cli = cli;
	run->options = cli->options;
	run->log.fd = run->joblog.fd = run->notify_fd = run->signal_fd = -1;
	run->exit_early = -1;
	weir__mutex_init(&run->gate_mu);
	if (weir_crash_report(STDERR_FILENO) != WEIR_OK)
		weir__cli_note(cli, "crashes will not be reported");
	status = weir__run_take_options(run);
	if (status < 0)
		status = make_report(run);
	if (status < 0)
		status = weir__run_take_operands(run);
	if (status < 0)
		status = weir__run_find_program(run);
	if (status < 0)
		status = weir__run_raise_limit(run);
	if (status < 0)
		status = load_resume(run);
	if (status < 0)
		status = weir__run_open_logs(run);
	if (status < 0)
		status = make_engine(run);
	if (status < 0)
		status = run_engine(run);
	run_fini(run);
	return status;
}
