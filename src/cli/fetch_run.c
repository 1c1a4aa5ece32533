/*
 * The run of weir fetch: what it prints, writes and obeys.
 *
 * Design.  The engine runs on a thread of its own.  This one waits, in one
 * poll(), for signals, for records to write and for standard output to take
 * them, and repaints the progress line ten times a second:
 *
 *      engine --- report: records that wait ---.
 *                                              v
 *      signals ----------------------> loop() ---> stdout, records, stderr
 *
 * Nothing here blocks for long but writing records to a disk: of a pipe only
 * as much is written as poll() says it takes, so that a Ctrl-C is heard also
 * while nobody reads our output.
 *
 * Locking: the fields of struct fetch_run belong to the main thread, apart from
 * the tally, which is filled under the report's lock and read when all is over.
 */
#include "cli/fetch_run.h"

#include "base/quote.h"
#include "base/units.h"
#include "cli/live.h"
#include "fetch/url.h"
#include "sync/random.h"

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <weir/job.h>

#define TICK_NS        (100 * WEIR_MS)
#define COUNT_PER_TICK (8 * 1024 * 1024)
#define WINDOW_MIN     1024

static void
on_record(const struct weir_fetch_record *record, void *user)
{
	struct fetch_run *run = user;

	weir__fetch_report_record(&run->report, record);
}

static void
on_unstarted(const struct weir_fetch_request *request, void *user)
{
	struct fetch_run *run = user;

	weir__fetch_report_unstarted(&run->report, request->seq);
}

static bool
may_read(uint64_t seq, void *user)
{
	struct fetch_run *run = user;

	return weir__fetch_report_has_room(&run->report, seq);
}

static void
on_retry(const struct weir_fetch_retry *retry, void *user)
{
	struct fetch_run *run = user;
	char note[96], delay[WEIR_FORMAT_SIZE];

	if (retry->delay_ns >= 0)
		snprintf(note, sizeof(note), "try %u/%u in %s",
			 retry->attempt + 1, retry->attempts_max,
			 weir__format_duration(delay, sizeof(delay),
					       retry->delay_ns));
	else
		snprintf(note, sizeof(note), "try %u/%u", retry->attempt + 1,
			 retry->attempts_max);
	weir__progress_event(&run->progress, WEIR_PROGRESS_RETRY, retry->url,
			     retry->why, note);
}

/* With the report's lock held. */
static void
on_failed(const struct weir_fetch_record *record, void *user)
{
	struct fetch_run *run = user;
	const struct weir_fetch_outcome *o = record->outcome;
	struct weir_buf url = {0};
	char note[48] = "(no retry)";

	if (record->attempts > 1)
		snprintf(note, sizeof(note), "(%u tries)", record->attempts);
	weir__fetch_redact(&url, record->url, record->url_len, 256);
	weir__progress_event(&run->progress, WEIR_PROGRESS_FAILED,
			     weir__buf_str(&url), record->error, note);
	weir__buf_fini(&url);
	weir__tally_add(&run->reasons, !o             ? "bad line"
				       : o->reason[0] ? o->reason
						      : "timeout");
}

static void
notify(struct fetch_run *run)
{
	uint64_t one = 1;

	while (write(run->notify_fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

static void
engine_thread(void *arg)
{
	struct fetch_run *run = arg;

	run->status =
		weir__fetch_engine_run(run->engine, run->ctx, &run->error);
	weir__u32_store(&run->finished, 1, WEIR_SEQ_CST);
	notify(run);
}

static void
get_counts(struct fetch_run *run, struct weir_progress_counts *ret)
{
	struct weir_fetch_counts counts =
		weir__fetch_report_counts(&run->report);
	weir_pool_stats stats;
	uint64_t bytes;
	bool end;

	weir__fetch_engine_stats(run->engine, &stats, &bytes);
	*ret = (struct weir_progress_counts){
		.done = counts.ok + counts.failed + counts.skipped,
		.ok = counts.ok,
		.failed = counts.failed,
		.skipped = counts.skipped,
		.retries = stats.retries,
		.busy = stats.busy,
		.width = stats.workers,
		.queued = stats.queued + stats.backoff,
		.bytes = bytes,
		.elapsed_ns = weir_now_ns() - run->began_ns,
	};
	ret->total = weir__fetch_input_count(run->input, &end);
	ret->total_final = end;
	if (!end && run->count.done && !run->count.unknown &&
	    run->count.lines >= ret->total) {
		ret->total = run->count.lines;
		ret->total_final = true;
	}
}

/* Stop as if a second signal had come. */
static void
stop_now(struct fetch_run *run, int exit_status)
{
	if (run->exit_early < 0)
		run->exit_early = exit_status;
	weir__fetch_engine_stop(run->engine, true);
	if (run->stop.stage < WEIR_STOP_CANCELING) {
		run->stop.stage = WEIR_STOP_CANCELING;
		run->stop.deadline_ns = weir_now_ns() + WEIR_STOP_CANCEL_NS;
	}
}

static void
obey(struct fetch_run *run, enum weir_stop_action action)
{
	struct weir_progress_counts counts;

	switch (action) {
	case WEIR_STOP_NOTHING:
		break;
	case WEIR_STOP_DRAIN:
		get_counts(run, &counts);
		weir__say_draining(&run->progress, &counts);
		weir__fetch_engine_stop(run->engine, false);
		break;
	case WEIR_STOP_CANCEL:
		weir__progress_note(&run->progress, "cancelling what runs");
		weir__fetch_engine_stop(run->engine, true);
		break;
	case WEIR_STOP_LEAVE:
		weir__progress_hide(&run->progress);
		_exit(run->exit_early >= 0 ? run->exit_early
		      : run->stop.signal
			      ? weir__exit_of_signal(run->stop.signal)
			      : WEIR_EXIT_FAILURE);
	case WEIR_STOP_STATUS:
		get_counts(run, &counts);
		weir__progress_status(&run->progress, &counts);
		break;
	}
}

static void
take_signals(struct fetch_run *run)
{
	int signal_number;

	while ((signal_number = weir__signals_wait(0)) > 0)
		obey(run, weir__stop_signal(&run->stop, signal_number,
					    weir_now_ns()));
	obey(run, weir__stop_tick(&run->stop, weir_now_ns()));
}

static void
stdout_failed(struct fetch_run *run, int error_number)
{
	run->stdout_error = error_number;
	stop_now(run, weir__cli_stdout_failed(run->cli, error_number));
}

/* Write what standard output takes. False: some is left. */
static bool
write_stdout(struct fetch_run *run)
{
	struct weir_fetch_stream *stream = &run->report.out;
	size_t room, rest;
	int failed;

	while (weir__fetch_report_take(&run->report, stream)) {
		if (run->stdout_error) {
			stream->written = stream->writing.len;
			continue;
		}
		room = weir__output_room(STDOUT_FILENO);
		if (room == 0)
			return false;
		rest = stream->writing.len - stream->written;
		if (rest > room)
			rest = room;
		failed = weir__progress_write(
			&run->progress, STDOUT_FILENO,
			stream->writing.data + stream->written, rest);
		stream->written += rest;
		if (failed)
			stdout_failed(run, failed);
	}
	return true;
}

static void
write_records(struct fetch_run *run)
{
	struct weir_fetch_stream *stream = &run->report.file;
	int failed;

	while (weir__fetch_report_take(&run->report, stream)) {
		stream->written = stream->writing.len;
		if (run->records_fd < 0)
			continue;
		failed = weir__term_write(run->records_fd, stream->writing.data,
					  stream->writing.len);
		if (failed == 0)
			continue;
		stop_now(run, weir__fetch_fail(run, "cannot write records",
					       failed, run->records_path));
		(void)close(run->records_fd);
		run->records_fd = -1;
	}
}

/* Wait for news. */
static void
wait_for_news(struct fetch_run *run, bool stdout_is_full)
{
	struct pollfd fds[] = {
		{.fd = run->signal_fd, .events = POLLIN},
		{.fd = run->notify_fd, .events = POLLIN},
		{.fd = stdout_is_full ? STDOUT_FILENO : -1, .events = POLLOUT},
	};
	int64_t now_ns = weir_now_ns();
	int64_t wait_ns = weir__stop_sleep_ns(&run->stop, now_ns);
	uint64_t count;

	if (wait_ns > TICK_NS)
		wait_ns = TICK_NS;
	(void)poll(fds, 3, (int)((wait_ns + WEIR_MS - 1) / WEIR_MS));
	if (fds[1].revents && read(run->notify_fd, &count, sizeof(count)) < 0)
		return; /* somebody else's wake-up: none is lost */
}

static void
loop(struct fetch_run *run)
{
	struct weir_progress_counts counts;
	bool finished, all_written;

	for (;;) {
		/* First this, then the records: so none comes after it. */
		finished = weir__u32_load(&run->finished, WEIR_SEQ_CST) != 0;
		take_signals(run);
		write_records(run);
		all_written = write_stdout(run);
		if (weir__fetch_report_was_full(&run->report))
			weir__fetch_engine_poke(run->engine);
		if (finished && all_written)
			return;
		if (run->progress.mode != WEIR_PROGRESS_NONE)
			weir__fetch_count_step(&run->count, COUNT_PER_TICK);
		get_counts(run, &counts);
		weir__progress_update(&run->progress, &counts);
		wait_for_news(run, !all_written);
	}
}

static void
put_word(struct weir_buf *buf, const char *word)
{
	weir__buf_putc(buf, ' ');
	weir__quote_word(buf, word);
}

/* The command that goes on from here. */
static void
put_next(struct fetch_run *run, struct weir_buf *buf, bool stopped)
{
	weir__buf_puts(buf, "weir fetch");
	if (run->records_path) {
		weir__buf_puts(buf, " --resume");
		put_word(buf, run->records_path);
	} else {
		weir__buf_puts(buf, " --records fetch.jsonl");
	}
	if (run->records_path && (!stopped || run->options->only_failed))
		weir__buf_puts(buf, " --retry-failed");
	if (run->options->dir) {
		weir__buf_puts(buf, " -o");
		put_word(buf, run->options->dir);
	}
	if (run->from_records || (run->records_path && !stopped))
		return;
	for (size_t i = 0; i < run->file_count; i++)
		put_word(buf, run->files[i]);
}

/* When all is over and nothing else is wrong. */
static int
failed_status(const struct fetch_run *run, uint64_t failed)
{
	if (failed == 0)
		return WEIR_EXIT_OK;
	if (run->options->exit_code == FETCH_EXIT_XARGS)
		return WEIR_EXIT_SOME_FAILED;
	return weir__exit_of_count(failed);
}

static int
exit_status(struct fetch_run *run, const struct weir_fetch_counts *counts,
	    bool left)
{
	if (run->exit_early >= 0)
		return run->exit_early;
	if (run->status != WEIR_OK && run->status != WEIR_TIMEDOUT &&
	    run->status != WEIR_CANCELED) {
		weir__cli_error(run->cli, NULL, "%s", run->error.message);
		return WEIR_EXIT_FAILURE;
	}
	if (run->stop.signal && left)
		return weir__exit_of_signal(run->stop.signal);
	if (run->status == WEIR_TIMEDOUT)
		return WEIR_EXIT_HALTED;
	return failed_status(run, counts->failed);
}

static void
print_summary(struct fetch_run *run, const struct weir_fetch_counts *counts,
	      bool left, bool failed)
{
	struct weir_buf next = {0};
	struct weir_summary summary = {
		.verb = "fetched",
		.latency = &run->report.latency,
		.reasons = &run->reasons,
		.records = run->records_path,
		.quiet = run->cli->common.quiet,
	};

	get_counts(run, &summary.counts);
	if (left) {
		summary.stopped = run->stop.stage == WEIR_STOP_DRAINING
					  ? "stopped after drain"
					  : "stopped";
		summary.cancelled = counts->cancelled;
		summary.not_started = counts->unstarted;
		if (summary.counts.total >
		    summary.counts.done + counts->cancelled)
			summary.not_started = summary.counts.total -
					      summary.counts.done -
					      counts->cancelled;
	}
	if (left || failed) {
		put_next(run, &next, left);
		summary.next = next.failed ? NULL : next.data;
	}
	weir__summary_print(STDERR_FILENO, &summary);
	weir__buf_fini(&next);
}

/* All is over: what came of it? */
static int
conclude(struct fetch_run *run)
{
	struct weir_fetch_counts counts =
		weir__fetch_report_counts(&run->report);
	bool end, left;
	uint64_t lines = weir__fetch_input_count(run->input, &end);
	int status;

	/*
	 * The summary waits for a reader; a signal may end that wait.  That of
	 * who was stopped does not, and is not to be lost to one more signal.
	 */
	if (!run->stop.signal)
		weir__signals_release();
	weir__progress_finish(&run->progress);
	left = !end || counts.cancelled > 0 || counts.unstarted > 0;
	status = exit_status(run, &counts, left);
	if (lines == 0 && end && status == WEIR_EXIT_OK) {
		weir__cli_note(run->cli, "no URLs in the input");
		return status;
	}
	print_summary(run, &counts, left, counts.failed > 0);
	return status;
}

static int
make_engine(struct fetch_run *run)
{
	struct weir_fetch_hooks hooks = {.record = on_record,
					 .unstarted = on_unstarted,
					 .may_read = may_read,
					 .retry = on_retry,
					 .user = run};
	uint64_t key[2] = {weir__random_seed(), weir__random_seed()};
	struct weir_fetch_input_options input = {
		.files = run->files,
		.file_count = run->file_count,
		.key = {key[0], key[1]},
		.only_failed = run->options->only_failed,
		.records = run->from_records,
	};

	if (run->options->resume &&
	    weir__fetch_resume_load(&run->resume, run->options->resume, key,
				    &run->error) != WEIR_OK) {
		weir__cli_error(run->cli, "cannot read records", "%s (%s)",
				run->error.message, run->options->resume);
		return WEIR_EXIT_FAILURE;
	}
	input.resume = run->resume;
	if (weir__fetch_input_new(&run->input, &input) != WEIR_OK)
		return weir__fetch_no_memory(run);
	if (weir__fetch_engine_new(&run->engine, &run->engine_options, &hooks,
				   run->input, run->options->dir,
				   &run->error) == WEIR_OK)
		return -1;
	weir__cli_error(run->cli, NULL, "%s%s%s%s", run->error.message,
			run->options->dir ? " (" : "",
			run->options->dir ? run->options->dir : "",
			run->options->dir ? ")" : "");
	return WEIR_EXIT_FAILURE;
}

static int
make_report(struct fetch_run *run)
{
	size_t window = (size_t)run->options->jobs * 8;

	run->report.format = run->options->json ? WEIR_FETCH_FORMAT_JSON
						: WEIR_FETCH_FORMAT_LINES;
	run->report.ordered = run->options->ordered;
	run->report.failed = on_failed;
	run->report.user = run;
	run->notify_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	run->report.notify_fd = run->notify_fd;
	run->signal_fd = weir__signals_fd();
	if (run->notify_fd < 0 || run->signal_fd < 0)
		return weir__fetch_fail(run, "cannot wait", errno, "eventfd");
	if (!weir__fetch_report_init(&run->report,
				     window > WINDOW_MIN ? window : WINDOW_MIN))
		return weir__fetch_no_memory(run);
	return -1;
}

static int
run_engine(struct fetch_run *run)
{
	int64_t max_ns = run->options->max_time_ns;
	int status;

	if (weir_ctx_new(&run->ctx, NULL, max_ns > 0 ? max_ns : WEIR_FOREVER) !=
	    WEIR_OK)
		return weir__fetch_no_memory(run);
	run->began_ns = weir_now_ns();
	weir__stop_init(&run->stop, run->options->grace_ns);
	weir__fetch_count_init(&run->count, run->files, run->file_count);
	run->count.unknown = run->from_records;
	run->count.done = run->from_records;
	weir__progress_begin(run->cli, &run->progress);
	if (weir__thread_start(&run->thread, "weir-fetch", 0, engine_thread,
			       run) == WEIR_OK) {
		loop(run);
		weir__thread_join(&run->thread);
		status = conclude(run);
	} else {
		weir__progress_finish(&run->progress);
		status = weir__fetch_no_memory(run);
	}
	run->cli->progress = NULL;
	weir__fetch_count_fini(&run->count);
	return status;
}

static void
run_fini(struct fetch_run *run)
{
	weir__fetch_engine_free(run->engine);
	weir__fetch_input_free(run->input);
	weir__fetch_resume_free(run->resume);
	weir__fetch_report_fini(&run->report);
	weir_ctx_unref(run->ctx);
	curl_slist_free_all(run->engine_options.headers);
	free(run->body);
	free(run->records_path);
	if (run->records_fd >= 0)
		(void)close(run->records_fd);
	if (run->notify_fd >= 0)
		(void)close(run->notify_fd);
	if (run->signal_fd >= 0)
		(void)close(run->signal_fd);
	free(run);
}

int
weir__fetch_run(struct weir_cli *cli)
{
	struct fetch_run *run;
	int status;

	if (((const struct fetch_cli_options *)cli->options)->queue)
		return weir__fetch_enqueue(cli);
	run = calloc(1, sizeof(*run));
	if (!run) {
		weir__cli_error(cli, NULL, "out of memory");
		return WEIR_EXIT_FAILURE;
	}
	run->cli = cli;
	run->options = cli->options;
	run->records_fd = -1;
	run->exit_early = -1;
	if (weir_crash_report(STDERR_FILENO) != WEIR_OK)
		weir__cli_note(cli, "crashes will not be reported");
	status = make_report(run);
	if (status < 0)
		status = weir__fetch_take_options(run);
	if (status < 0)
		status = weir__fetch_take_operands(run);
	if (status < 0)
		status = weir__fetch_raise_limit(run);
	if (status < 0 && run->options->insecure)
		weir__cli_error(cli, NULL,
				"warning: certificates are not checked "
				"(--insecure)");
	if (status < 0)
		status = make_engine(run);
	if (status < 0)
		status = weir__fetch_open_records(run);
	if (status < 0)
		status = run_engine(run);
	run_fini(run);
	return status;
}
