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
 * Locking: the fields of struct run belong to the main thread, apart from the
 * tally, which is filled under the report's lock and read when all is over.
 */
#include "cli/cmd_fetch.h"

#include "base/units.h"
#include "cli/signals.h"
#include "cli/summary.h"
#include "fetch/count.h"
#include "fetch/engine.h"
#include "fetch/report.h"
#include "fetch/url.h"
#include "sync/random.h"
#include "sync/thread.h"

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <weir/job.h>

#define TICK_NS        (100 * WEIR_MS)
#define COUNT_PER_TICK (8 * 1024 * 1024)
#define DATA_MAX       (64 * 1024 * 1024)
#define WINDOW_MIN     1024

struct run {
	struct weir_cli *cli;
	const struct fetch_cli_options *options;
	struct weir_fetch_options engine_options;
	char *body; /* of -d */

	const char *const *files;
	size_t file_count;
	const char *resume_file[1];
	bool from_records; /* the list is the records of --resume */

	struct weir_fetch_resume *resume;
	struct weir_fetch_input *input;
	struct weir_fetch_engine *engine;
	struct weir_fetch_report report;
	struct weir_fetch_count count;
	struct weir_progress progress;
	struct weir_tally reasons;
	struct weir_stop stop;
	weir_ctx *ctx; /* done when --max-time is over */
	int64_t began_ns;

	char *records_path; /* NULL: none */
	int records_fd;
	int stdout_error; /* errno; then nothing more is printed */
	bool stdout_is_regular;
	int exit_early; /* an exit status that stands already, or -1 */

	int notify_fd, signal_fd;
	struct weir_thread thread;
	struct weir_u32 finished;
	weir_status status; /* of the engine; valid when finished */
	weir_error error;
};

static int
fail(struct run *run, const char *what, int error_number, const char *where)
{
	weir__cli_error(run->cli, what, "%s (%s)", strerror(error_number),
			where);
	return WEIR_EXIT_FAILURE;
}

static int
no_memory(struct run *run)
{
	weir__cli_error(run->cli, NULL, "out of memory");
	return WEIR_EXIT_FAILURE;
}

/* ---- Before: from options to what the engine takes. */

static int
check_options(struct run *run)
{
	const struct fetch_cli_options *o = run->options;
	const char *wrong = NULL;

	if (o->ipv4 && o->ipv6)
		wrong = "--ipv4 and --ipv6 exclude each other";
	else if (o->http1 && o->http2)
		wrong = "--http1.1 and --http2 exclude each other";
	else if (o->public_only && (o->proxy || o->env_proxy))
		wrong = "--public-only cannot see through a proxy";
	else if (o->only_failed && !o->resume)
		wrong = "--retry-failed needs --resume RECORDS";
	else if (o->head && o->data.count > 0)
		wrong = "--head and --data exclude each other";
	else if (o->head && o->dir)
		wrong = "--head leaves nothing for --output-dir to write";
	else if (o->method &&
		 !weir__fetch_method_check(o->method, strlen(o->method)))
		wrong = "--request takes a word, such as PUT";
	if (!wrong)
		return -1;
	weir__cli_error(run->cli, NULL, "%s", wrong);
	return WEIR_EXIT_USAGE;
}

static int
take_headers(struct run *run)
{
	const struct weir_option_list *headers = &run->options->headers;

	for (size_t i = 0; i < headers->count; i++) {
		const char *header = headers->items[i];
		const char *why =
			weir__fetch_header_check(header, strlen(header));
		struct curl_slist *list;

		if (why) {
			/* The value may be a secret: say which, not what. */
			weir__cli_error(run->cli, "--header",
					"number %zu is %s", i + 1, why);
			return WEIR_EXIT_USAGE;
		}
		list = curl_slist_append(run->engine_options.headers, header);
		if (!list)
			return no_memory(run);
		run->engine_options.headers = list;
	}
	return -1;
}

/* As curl does: without line breaks and NUL bytes. */
static int
read_data(struct run *run, const char *path, struct weir_buf *data)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	char piece[16 * 1024];
	ssize_t got = 0;

	while (fd >= 0 && data->len < DATA_MAX &&
	       (got = read(fd, piece, sizeof(piece))) > 0)
		for (ssize_t i = 0; i < got; i++)
			if (piece[i] != '\n' && piece[i] != '\r' &&
			    piece[i] != '\0')
				weir__buf_putc(data, piece[i]);
	if (fd >= 0 && got >= 0) {
		(void)close(fd);
		return -1;
	}
	got = errno;
	if (fd >= 0)
		(void)close(fd);
	return fail(run, "cannot read", (int)got, path);
}

static int
take_data(struct run *run)
{
	const struct weir_option_list *items = &run->options->data;
	struct weir_buf data = {0};
	int status = -1;

	if (items->count == 0)
		return -1;
	for (size_t i = 0; i < items->count && status < 0; i++) {
		if (i > 0)
			weir__buf_putc(&data, '&');
		if (items->items[i][0] == '@')
			status = read_data(run, items->items[i] + 1, &data);
		else
			weir__buf_puts(&data, items->items[i]);
	}
	weir__buf_reserve(&data, 1);
	run->body = data.data;
	run->engine_options.body = data.data;
	run->engine_options.body_len = data.len;
	return status < 0 && data.failed ? no_memory(run) : status;
}

static int
take_options(struct run *run)
{
	const struct fetch_cli_options *o = run->options;
	struct weir_fetch_options *e = &run->engine_options;
	bool size_given =
		weir__option_source(run->cli, "max-size") != WEIR_FROM_DEFAULT;
	int status;

	*e = (struct weir_fetch_options){
		.jobs = (uint32_t)o->jobs,
		.per_host = (uint32_t)o->per_host,
		.retries = (uint32_t)o->retries,
		.rate = o->rate,
		.limit_rate = o->limit_rate,
		.timeout_ns = o->timeout_ns,
		.connect_ns = o->connect_ns,
		.first_byte_ns = o->first_byte_ns,
		.stall_ns = o->stall_ns,
		.retry_after_ns_max = 300 * WEIR_S,
		.body_max = o->dir && !size_given ? 0 : o->max_size,
		.method = o->method,
		.user_agent = o->user_agent,
		.head = o->head,
		.compressed = o->compressed,
		.http = o->http1   ? WEIR_FETCH_HTTP_1
			: o->http2 ? WEIR_FETCH_HTTP_2
				   : WEIR_FETCH_HTTP_ANY,
		.ip = o->ipv4   ? WEIR_FETCH_IP_4
		      : o->ipv6 ? WEIR_FETCH_IP_6
				: WEIR_FETCH_IP_ANY,
		.insecure = o->insecure,
		.public_only = o->public_only,
		.ca_file = o->ca_file,
		.proxy = o->proxy,
		.env_proxy = o->env_proxy,
		.details = o->json || o->records || o->dir || o->resume,
		.checksum = o->checksum || o->dir,
		.resume_parts = o->resume != NULL,
	};
	if (!e->user_agent)
		e->user_agent = "weir/0.1.0";
	status = check_options(run);
	if (status < 0)
		status = take_headers(run);
	if (status < 0)
		status = take_data(run);
	return status;
}

/* The number of jobs for which so many descriptors are enough. */
static uint32_t
jobs_that_fit(struct weir_fetch_options options, bool files, rlim_t most)
{
	while (options.jobs > 1 &&
	       weir__fetch_engine_descriptors(&options, files) > most)
		options.jobs--;
	return options.jobs;
}

/* Make sure that -j transfers can have their descriptors. */
static int
raise_limit(struct run *run)
{
	bool files = run->options->dir != NULL;
	uint64_t need =
		weir__fetch_engine_descriptors(&run->engine_options, files);
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= need)
		return -1;
	if (limit.rlim_max >= need) {
		limit.rlim_cur = need;
		if (setrlimit(RLIMIT_NOFILE, &limit) == 0)
			return -1;
	}
	weir__cli_error(run->cli, NULL,
			"-j %" PRId64 " needs %" PRIu64
			" open files, and only %" PRIu64 " are allowed",
			run->options->jobs, need, (uint64_t)limit.rlim_max);
	weir__cli_try(
		run->cli, "weir fetch -j %u",
		jobs_that_fit(run->engine_options, files, limit.rlim_max));
	return WEIR_EXIT_FAILURE;
}

/* Which lists?  They should be there before anything is fetched. */
static int
take_operands(struct run *run)
{
	static const char *const standard_input[] = {"-"};

	run->files = run->cli->operands;
	run->file_count = run->cli->operand_count;
	if (run->file_count == 0 && run->options->only_failed) {
		run->resume_file[0] = run->options->resume;
		run->files = run->resume_file;
		run->file_count = 1;
		run->from_records = true;
	} else if (run->file_count == 0) {
		run->files = standard_input;
		run->file_count = 1;
		if (isatty(STDIN_FILENO)) {
			weir__cli_note(run->cli, "nothing to fetch; give a "
						 "FILE of URLs, or pipe them "
						 "in");
			return WEIR_EXIT_OK;
		}
	}
	for (size_t i = 0; i < run->file_count; i++)
		if (strcmp(run->files[i], "-") != 0 &&
		    access(run->files[i], R_OK) != 0)
			return fail(run, "cannot read", errno, run->files[i]);
	return -1;
}

/* A torn last line is ended, so that what we add begins a line of its own. */
static int
end_torn_line(int fd)
{
	off_t size = lseek(fd, 0, SEEK_END);
	char last = '\n';

	if (size > 0 && pread(fd, &last, 1, size - 1) == 1 && last != '\n' &&
	    write(fd, "\n", 1) != 1)
		return errno;
	return 0;
}

/* Where the records go, and whether to add to what is there. */
static int
open_records(struct run *run)
{
	const struct fetch_cli_options *o = run->options;
	struct weir_buf path = {0};
	int failed = 0;

	if (o->records)
		weir__buf_puts(&path, o->records);
	else if (o->resume)
		weir__buf_puts(&path, o->resume);
	else if (o->dir)
		weir__buf_printf(&path, "%s%sweir-fetch.jsonl", o->dir,
				 o->dir[strlen(o->dir) - 1] == '/' ? "" : "/");
	else
		return -1;
	if (path.failed)
		return no_memory(run);
	run->records_path = path.data;
	run->records_fd = open(path.data,
			       O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC |
				       (o->resume ? 0 : O_TRUNC),
			       0666);
	/* A device or a pipe can be written, but not always read. */
	if (run->records_fd < 0 && (errno == EACCES || errno == ENXIO))
		run->records_fd = open(path.data, O_WRONLY | O_CLOEXEC);
	if (run->records_fd < 0)
		failed = errno;
	else if (o->resume)
		failed = end_torn_line(run->records_fd);
	run->report.records = true;
	return failed ? fail(run, "cannot write records", failed, path.data)
		      : -1;
}

/* ---- What the engine tells us; on its threads. */

static void
on_record(const struct weir_fetch_record *record, void *user)
{
	struct run *run = user;

	weir__fetch_report_record(&run->report, record);
}

static void
on_unstarted(uint64_t seq, void *user)
{
	struct run *run = user;

	weir__fetch_report_unstarted(&run->report, seq);
}

static bool
may_read(uint64_t seq, void *user)
{
	struct run *run = user;

	return weir__fetch_report_has_room(&run->report, seq);
}

static void
on_retry(const struct weir_fetch_retry *retry, void *user)
{
	struct run *run = user;
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
	struct run *run = user;
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

/* ---- The loop. */

static void
notify(struct run *run)
{
	uint64_t one = 1;

	while (write(run->notify_fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

static void
engine_thread(void *arg)
{
	struct run *run = arg;

	run->status =
		weir__fetch_engine_run(run->engine, run->ctx, &run->error);
	weir__u32_store(&run->finished, 1, WEIR_SEQ_CST);
	notify(run);
}

static void
get_counts(struct run *run, struct weir_progress_counts *ret)
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
stop_now(struct run *run, int exit_status)
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
say_draining(struct run *run)
{
	struct weir_progress_counts counts;
	char line[160];
	uint64_t rest;

	get_counts(run, &counts);
	rest = counts.total > counts.done + counts.busy
		       ? counts.total - counts.done - counts.busy
		       : 0;
	snprintf(line, sizeof(line),
		 "draining: %" PRIu64 " running, %" PRIu64
		 "%s not started. Ctrl-C again stops the %" PRIu64 " now.",
		 counts.busy, rest, counts.total_final ? "" : "+", counts.busy);
	weir__progress_note(&run->progress, line);
}

static void
obey(struct run *run, enum weir_stop_action action)
{
	struct weir_progress_counts counts;

	switch (action) {
	case WEIR_STOP_NOTHING:
		break;
	case WEIR_STOP_DRAIN:
		say_draining(run);
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
take_signals(struct run *run)
{
	int signal_number;

	while ((signal_number = weir__signals_wait(0)) > 0)
		obey(run, weir__stop_signal(&run->stop, signal_number,
					    weir_now_ns()));
	obey(run, weir__stop_tick(&run->stop, weir_now_ns()));
}

/* How much standard output takes without making us wait; 0: nothing now. */
static size_t
stdout_room(struct run *run)
{
	struct pollfd poll_fd = {.fd = STDOUT_FILENO, .events = POLLOUT};

	if (run->stdout_is_regular)
		return SSIZE_MAX;
	return poll(&poll_fd, 1, 0) > 0 ? PIPE_BUF : 0;
}

static void
stdout_failed(struct run *run, int error_number)
{
	run->stdout_error = error_number;
	stop_now(run, weir__cli_stdout_failed(run->cli, error_number));
}

/* Write what standard output takes. False: some is left. */
static bool
write_stdout(struct run *run)
{
	struct weir_fetch_stream *stream = &run->report.out;
	size_t room, rest;
	int failed;

	while (weir__fetch_report_take(&run->report, stream)) {
		if (run->stdout_error) {
			stream->written = stream->writing.len;
			continue;
		}
		room = stdout_room(run);
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
write_records(struct run *run)
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
		stop_now(run, fail(run, "cannot write records", failed,
				   run->records_path));
		(void)close(run->records_fd);
		run->records_fd = -1;
	}
}

/* Wait for news. */
static void
wait_for_news(struct run *run, bool stdout_is_full)
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
loop(struct run *run)
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

/* ---- After. */

/* Append text so that a shell takes it as one word. */
static void
put_word(struct weir_buf *buf, const char *text)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyz"
				    "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				    "0123456789_-./:=@%+,";

	weir__buf_putc(buf, ' ');
	if (*text && text[strspn(text, plain)] == '\0') {
		weir__buf_puts(buf, text);
		return;
	}
	weir__buf_putc(buf, '\'');
	for (; *text; text++)
		if (*text == '\'')
			weir__buf_puts(buf, "'\\''");
		else
			weir__buf_putc(buf, *text);
	weir__buf_putc(buf, '\'');
}

/* The command that goes on from here. */
static void
put_next(struct run *run, struct weir_buf *buf, bool stopped)
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

static int
exit_status(struct run *run, const struct weir_fetch_counts *counts, bool left)
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
	return counts->failed > 0 ? WEIR_EXIT_SOME_FAILED : WEIR_EXIT_OK;
}

static void
print_summary(struct run *run, const struct weir_fetch_counts *counts,
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
conclude(struct run *run)
{
	struct weir_fetch_counts counts =
		weir__fetch_report_counts(&run->report);
	bool end, left;
	uint64_t lines = weir__fetch_input_count(run->input, &end);
	int status;

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

/* ---- From one to the other. */

static int
make_engine(struct run *run)
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
		return no_memory(run);
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
make_report(struct run *run)
{
	size_t window = (size_t)run->options->jobs * 8;
	struct stat st;

	run->report.format = run->options->json ? WEIR_FETCH_FORMAT_JSON
						: WEIR_FETCH_FORMAT_LINES;
	run->report.ordered = run->options->ordered;
	run->report.failed = on_failed;
	run->report.user = run;
	run->notify_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	run->report.notify_fd = run->notify_fd;
	run->signal_fd = weir__signals_fd();
	run->stdout_is_regular =
		fstat(STDOUT_FILENO, &st) == 0 && S_ISREG(st.st_mode);
	if (run->notify_fd < 0 || run->signal_fd < 0)
		return fail(run, "cannot wait", errno, "eventfd");
	if (!weir__fetch_report_init(&run->report,
				     window > WINDOW_MIN ? window : WINDOW_MIN))
		return no_memory(run);
	return -1;
}

static int
run_engine(struct run *run)
{
	const struct weir_common *common = &run->cli->common;
	struct weir_progress_options progress = {
		.mode = common->progress,
		.color = common->color,
		.quiet = common->quiet,
		.fd = STDERR_FILENO,
	};
	int64_t max_ns = run->options->max_time_ns;
	int status;

	if (weir_ctx_new(&run->ctx, NULL, max_ns > 0 ? max_ns : WEIR_FOREVER) !=
	    WEIR_OK)
		return no_memory(run);
	run->began_ns = weir_now_ns();
	weir__stop_init(&run->stop, run->options->grace_ns);
	weir__fetch_count_init(&run->count, run->files, run->file_count);
	run->count.unknown = run->from_records;
	run->count.done = run->from_records;
	weir__progress_init(&run->progress, &progress);
	run->cli->progress = &run->progress;
	if (weir__thread_start(&run->thread, "weir-fetch", 0, engine_thread,
			       run) == WEIR_OK) {
		loop(run);
		weir__thread_join(&run->thread);
		status = conclude(run);
	} else {
		weir__progress_finish(&run->progress);
		status = no_memory(run);
	}
	run->cli->progress = NULL;
	weir__fetch_count_fini(&run->count);
	return status;
}

static void
run_fini(struct run *run)
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
	struct run *run = calloc(1, sizeof(*run));
	int status;

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
		status = take_options(run);
	if (status < 0)
		status = take_operands(run);
	if (status < 0)
		status = raise_limit(run);
	if (status < 0 && run->options->insecure)
		weir__cli_error(cli, NULL,
				"warning: certificates are not checked "
				"(--insecure)");
	if (status < 0)
		status = make_engine(run);
	if (status < 0)
		status = open_records(run);
	if (status < 0)
		status = run_engine(run);
	run_fini(run);
	return status;
}
