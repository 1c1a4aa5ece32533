/*
 * The run of weir work: what it prints, writes and obeys.
 *
 * Design.  Four parties, each on threads of its own:
 *
 *      store ── loop (src/queue) ── take, give ── lane: children, transfers
 *                  │ ended: records, news           │ output
 *                  v                                v
 *      signals ──> this one, in one poll() ──> stdout, stderr, the log
 *
 * Nothing here waits for a reader: of a pipe only as much is written as poll()
 * says it takes, so that a TERM is heard whatever happens.  And where nothing
 * happens nothing is done: the line is repainted while something changes, after
 * which this thread sleeps until somebody stirs it, for an idle worker is not
 * to be seen among the busy processes of a machine.
 *
 * That standard output or the log cannot be written is nothing to stop for: it
 * is said once, and the work goes on.  What became of jobs is in the store.
 *
 * Locking: the fields of struct work_run say whose they are.
 */
#include "cli/work_run.h"

#include "cli/live.h"
#include "cli/queue_open.h"
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <weir/job.h>

#define TICK_NS      (100 * WEIR_MS)
#define SLOW_TICK_NS WEIR_S
/* So long after a change it is looked again soon, and for the plain line. */
#define LIVELY_NS (2 * WEIR_S)
#define PLAIN_NS  (30 * WEIR_S + 2 * TICK_NS)
/* From the KILL of the last to the end of us; then we leave. */
#define FLUSH_NS (2 * WEIR_S)

void
weir__work_notify(struct work_run *run)
{
	uint64_t one = 1;

	while (write(run->notify_fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

void
weir__work_stir(struct work_run *run)
{
	/* Who goes to sleep sets it, and looks once more after that. */
	if (weir__u32_exchange(&run->asleep, 0, WEIR_SEQ_CST))
		weir__work_notify(run);
}

static void
engine_thread(void *arg)
{
	struct work_run *run = arg;
	weir_error error = {0};
	weir_status status;

	run->status = weir__work_lane.run(run, &run->error);
	/* It has nothing any more; what it could not run goes back. */
	if (run->status != WEIR_OK)
		weir_work_stop(run->work, true);
	status = weir__work_end(run->work, &error);
	if (run->status == WEIR_OK && status != WEIR_OK) {
		run->status = status;
		run->error = error;
	}
	weir__u32_store(&run->finished, 1, WEIR_SEQ_CST);
	weir__work_notify(run);
}

static struct work_counts
counts_of(struct work_run *run)
{
	struct work_counts counts;

	weir__mutex_lock(&run->mu);
	counts = run->counts;
	weir__mutex_unlock(&run->mu);
	return counts;
}

static void
get_counts(struct work_run *run, struct weir_progress_counts *ret)
{
	struct work_counts counts = counts_of(run);
	weir_pool_stats stats;

	weir__work_lane.stats(run, &stats);
	*ret = (struct weir_progress_counts){
		.done = counts.ok + counts.failed + counts.cancelled,
		.ok = counts.ok,
		.failed = counts.failed,
		.skipped = counts.cancelled,
		.retries = counts.retried + counts.snoozed,
		.busy = stats.busy,
		.width = stats.workers,
		.elapsed_ns = weir_now_ns() - run->began_ns,
	};
}

/* Of all that can be seen to change. */
static uint64_t
sum_of(const struct weir_progress_counts *counts)
{
	return counts->done + counts->retries * UINT64_C(1000003) +
	       counts->busy * UINT64_C(1000000007) + counts->ok * 31;
}

static void
leave(struct work_run *run)
{
	weir__progress_hide(&run->progress);
	/* No attempt is to fail because its process was killed with us. */
	weir__u32_store(&run->leaving, 1, WEIR_SEQ_CST);
	weir__work_lane.kill(run);
	_exit(run->exit_early >= 0 ? run->exit_early
	      : run->stop.signal   ? weir__exit_of_signal(run->stop.signal)
				   : WEIR_EXIT_FAILURE);
}

static void
drain(struct work_run *run)
{
	struct weir_progress_counts counts;
	char line[160];

	get_counts(run, &counts);
	if (counts.busy > 0) {
		snprintf(line, sizeof(line),
			 "draining: %" PRIu64
			 " running.  Once more hands the %" PRIu64 " back.",
			 counts.busy, counts.busy);
		weir__progress_note(&run->progress, line);
	}
	weir_work_stop(run->work, false);
	weir__work_lane.stop(run, false);
}

static void
hand_back(struct work_run *run)
{
	weir__progress_note(&run->progress,
			    "ending what runs, to be run again");
	weir_work_stop(run->work, true);
	weir__work_lane.stop(run, true);
	run->stop.deadline_ns =
		weir_now_ns() + run->options->kill_after_ns + FLUSH_NS;
}

static void
show_status(struct work_run *run)
{
	struct weir_progress_counts counts;

	get_counts(run, &counts);
	weir__progress_status(&run->progress, &counts);
	if (run->quiet)
		weir__progress_note(&run->progress,
				    "taking no jobs until USR2");
}

static void
obey(struct work_run *run, enum weir_stop_action action)
{
	switch (action) {
	case WEIR_STOP_NOTHING:
		break;
	case WEIR_STOP_DRAIN:
		drain(run);
		break;
	case WEIR_STOP_CANCEL:
		hand_back(run);
		break;
	case WEIR_STOP_LEAVE:
		leave(run);
		break;
	case WEIR_STOP_STATUS:
		show_status(run);
		break;
	}
}

static void
toggle_quiet(struct work_run *run)
{
	run->quiet = !run->quiet;
	weir__work_quiet(run->work, run->quiet);
	weir__progress_note(&run->progress,
			    run->quiet ? "taking no jobs until USR2"
				       : "taking jobs again");
}

static void
take_signals(struct work_run *run)
{
	int signal_number;

	while ((signal_number = weir__signals_wait(0)) > 0)
		if (signal_number == SIGUSR2)
			toggle_quiet(run);
		else
			obey(run, weir__stop_signal(&run->stop, signal_number,
						    weir_now_ns()));
	obey(run, weir__stop_tick(&run->stop, weir_now_ns()));
}

/* What the store's trouble is; said once, and its end, too. */
static void
say_trouble(struct work_run *run)
{
	struct queue_shown shown;
	const char *db;
	weir_error error;
	bool is_new;

	weir__mutex_lock(&run->mu);
	error = run->trouble;
	is_new = run->trouble_is_new;
	run->trouble_is_new = false;
	weir__mutex_unlock(&run->mu);
	/* Of a damaged one the last words tell. */
	if (!is_new || error.status == WEIR_CORRUPT)
		return;
	db = weir__queue_shown(&shown, run->options->db);
	if (error.status != WEIR_OK)
		weir__cli_error(run->cli, "the store cannot be used just now",
				"%s (%s); trying again", error.message, db);
	else
		weir__cli_note(run->cli, "the store can be used again (%s)",
			       db);
}

static void
take_news(struct work_run *run)
{
	say_trouble(run);
	if (weir__u32_exchange(&run->full, 0, WEIR_SEQ_CST))
		weir__work_lane.poke(run);
	weir__work_lane.news(run);
}

/* Write what the descriptor takes.  It, if that is not all, or -1. */
static int
write_text(struct work_run *run, struct work_text *text, int fd,
	   int *ret_failed)
{
	size_t room, len;

	while (weir__work_text_take(run, text)) {
		len = text->writing.len - text->written;
		room = *ret_failed ? len : weir__output_room(fd);
		if (room == 0)
			return fd;
		if (len > room)
			len = room;
		if (!*ret_failed)
			*ret_failed = weir__progress_write(
				&run->progress, fd,
				text->writing.data + text->written, len);
		text->written += len;
	}
	return -1;
}

static int
write_log(struct work_run *run)
{
	int failed = run->log_fd < 0 ? EBADF : 0;
	int full_fd = write_text(run, &run->records_file, run->log_fd, &failed);

	if (failed && run->log_fd >= 0) {
		weir__cli_error(run->cli, "cannot write records",
				"%s (%s); working on without", strerror(failed),
				run->options->log);
		(void)close(run->log_fd);
		run->log_fd = -1;
	}
	return full_fd;
}

/* In full_fds what has to be waited for, or -1.  Is all of it written? */
static bool
write_all(struct work_run *run, int full_fds[4])
{
	int said_failed = 0;

	full_fds[0] = weir__work_lane.write(run);
	full_fds[1] = write_text(run, &run->records_out, STDOUT_FILENO,
				 &run->stdout_error);
	full_fds[2] = write_text(run, &run->said, STDERR_FILENO, &said_failed);
	full_fds[3] = write_log(run);
	return full_fds[0] < 0 && full_fds[1] < 0 && full_fds[2] < 0 &&
	       full_fds[3] < 0;
}

/* How long nobody needs us, unless we are stirred. */
static int64_t
rest_ns(const struct work_run *run, const struct weir_progress_counts *counts,
	int64_t now_ns)
{
	int64_t since_ns = now_ns - run->seen_ns;
	bool shown = !run->progress.quiet;

	if (since_ns < LIVELY_NS)
		return TICK_NS;
	if (shown && run->progress.mode == WEIR_PROGRESS_BAR &&
	    counts->busy > 0)
		return SLOW_TICK_NS;
	if (shown && run->progress.mode != WEIR_PROGRESS_NONE &&
	    since_ns < PLAIN_NS)
		return SLOW_TICK_NS;
	return WEIR_FOREVER;
}

/* Wait for news, at most wait_ns. */
static void
wait_for_news(struct work_run *run, const int full_fds[4], int64_t wait_ns)
{
	struct pollfd fds[] = {
		{.fd = run->signal_fd, .events = POLLIN},
		{.fd = run->notify_fd, .events = POLLIN},
		{.fd = full_fds[0], .events = POLLOUT},
		{.fd = full_fds[1], .events = POLLOUT},
		{.fd = full_fds[2], .events = POLLOUT},
		{.fd = full_fds[3], .events = POLLOUT},
	};
	int64_t stop_ns = weir__stop_sleep_ns(&run->stop, weir_now_ns());
	uint64_t count;

	if (stop_ns < wait_ns)
		wait_ns = stop_ns;
	(void)poll(fds, 6,
		   wait_ns == WEIR_FOREVER
			   ? -1
			   : (int)((wait_ns + WEIR_MS - 1) / WEIR_MS));
	if (fds[1].revents && read(run->notify_fd, &count, sizeof(count)) >= 0)
		run->seen_ns = weir_now_ns();
}

/* Show what there is to see, and sleep until there is more. */
static void
show_and_wait(struct work_run *run, const int full_fds[4])
{
	struct weir_progress_counts counts;
	int64_t wait_ns;
	uint64_t sum;

	get_counts(run, &counts);
	sum = sum_of(&counts);
	if (sum != run->seen)
		run->seen_ns = weir_now_ns();
	run->seen = sum;
	wait_ns = rest_ns(run, &counts, weir_now_ns());
	if (wait_ns != WEIR_FOREVER) {
		weir__progress_update(&run->progress, &counts);
		wait_for_news(run, full_fds, wait_ns);
		return;
	}
	weir__u32_store(&run->asleep, 1, WEIR_SEQ_CST);
	get_counts(run, &counts);
	if (sum_of(&counts) == sum)
		wait_for_news(run, full_fds, WEIR_FOREVER);
	weir__u32_store(&run->asleep, 0, WEIR_SEQ_CST);
}

static void
loop(struct work_run *run)
{
	bool finished, written;
	int full_fds[4];

	for (;;) {
		/* First this, then the rest: so nothing comes after it. */
		finished = weir__u32_load(&run->finished, WEIR_SEQ_CST) != 0;
		take_signals(run);
		written = write_all(run, full_fds);
		take_news(run);
		if (finished && written)
			return;
		show_and_wait(run, full_fds);
	}
}

static int
exit_status(struct work_run *run, const struct work_counts *counts)
{
	if (run->exit_early >= 0)
		return run->exit_early;
	if (run->status != WEIR_OK) {
		run->error.status = run->status;
		return weir__queue_failed(run->cli, run->options->db,
					  "cannot go on", &run->error);
	}
	if (counts->interrupted > 0)
		return WEIR_EXIT_HANDED_BACK;
	if (run->options->until_empty && counts->failed + counts->retried > 0)
		return WEIR_EXIT_SOME_FAILED;
	return WEIR_EXIT_OK;
}

static void
print_summary(struct work_run *run, const struct work_counts *counts)
{
	struct weir_buf next = {0};
	struct weir_summary summary = {
		.verb = "worked",
		.latency = &run->latency,
		.reasons = &run->reasons,
		.records = run->options->log,
		.quiet = run->cli->common.quiet,
	};

	get_counts(run, &summary.counts);
	if (counts->interrupted > 0)
		weir__cli_error(run->cli, NULL,
				"%" PRIu64 " handed back while running; they "
				"will run again",
				counts->interrupted);
	if (counts->failed + counts->retried > 0) {
		weir__buf_puts(&next, "weir jobs list --state "
				      "retryable,discarded");
		weir__queue_put_db(run->cli, &next, run->options->db);
		summary.next = next.failed ? NULL : next.data;
	}
	weir__summary_print(STDERR_FILENO, &summary);
	weir__buf_fini(&next);
}

/* All is over: what came of it? */
static int
conclude(struct work_run *run)
{
	struct work_counts counts = counts_of(run);
	int status;

	/*
	 * The summary waits for a reader; a signal may end that wait.  That of
	 * who was stopped does not, and is not to be lost to one more signal.
	 */
	if (!run->stop.signal)
		weir__signals_release();
	weir__progress_finish(&run->progress);
	status = exit_status(run, &counts);
	print_summary(run, &counts);
	return status;
}

/* Say what is worked, for whoever reads the log of a service. */
static void
say_what(struct work_run *run)
{
	struct queue_shown shown;
	struct weir_buf line = {0};

	for (size_t i = 0; i < run->queue_count; i++)
		weir__buf_printf(&line, "%s%s", i > 0 ? ", " : "",
				 run->queues[i].name);
	weir__cli_note(run->cli, "working %s of %s, %" PRIu32 " at once",
		       weir__buf_str(&line),
		       weir__queue_shown(&shown, run->options->db), run->jobs);
	if (!run->command && !run->options->http && !run->options->fetch)
		weir__cli_note(run->cli, "running what weir run --queue has "
					 "put there; others need a COMMAND");
	weir__buf_fini(&line);
}

static int
run_lane(struct work_run *run)
{
	weir_status status;

	run->began_ns = weir_now_ns();
	/* Nothing has happened that would have to be shown. */
	run->seen_ns = run->began_ns - PLAIN_NS;
	weir__stop_init(&run->stop, run->options->grace_ns);
	weir__progress_begin(run->cli, &run->progress);
	status = weir__work_begin(run->work, &run->error);
	if (status == WEIR_OK &&
	    weir__thread_start(&run->thread, "weir-work", 0, engine_thread,
			       run) == WEIR_OK) {
		loop(run);
		weir__thread_join(&run->thread);
		status = (weir_status)0;
	} else if (status == WEIR_OK) {
		weir_work_stop(run->work, true);
		(void)weir__work_end(run->work, &run->error);
		status = WEIR_NOMEM;
	}
	run->cli->progress = NULL;
	if (status == WEIR_OK)
		return conclude(run);
	weir__progress_finish(&run->progress);
	weir__cli_error(run->cli, "cannot start", "%s",
			weir_status_message(status));
	return WEIR_EXIT_FAILURE;
}

static void
text_fini(struct work_text *text)
{
	weir__buf_fini(&text->pending);
	weir__buf_fini(&text->writing);
}

static void
run_fini(struct work_run *run)
{
	weir_work_free(run->work);
	weir__work_lane.close(run);
	weir_store_close(run->store);
	text_fini(&run->records_out);
	text_fini(&run->records_file);
	text_fini(&run->said);
	weir__buf_fini(&run->names);
	weir__mutex_fini(&run->mu);
	free(run->kinds);
	free(run->queues);
	free(run->limits);
	for (const int *fd = (const int[]){run->log_fd, run->notify_fd,
					   run->signal_fd, -2};
	     *fd != -2; fd++)
		if (*fd >= 0)
			(void)close(*fd);
	free(run);
}

static int
open_descriptors(struct work_run *run)
{
	run->notify_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	run->signal_fd = weir__signals_fd();
	if (run->notify_fd < 0 || run->signal_fd < 0)
		return weir__work_fail(run, "cannot wait", errno, "eventfd");
	if (!run->options->log)
		return -1;
	return weir__records_open(run->cli, run->options->log, true, NULL, 0,
				  &run->log_fd);
}

int
weir__work_run(struct weir_cli *cli)
{
	struct work_run *run = calloc(1, sizeof(*run));
	const struct weir_lane lane = {
		.poke = weir__work_poke,
		.cancel = weir__work_cancel,
		.ended = weir__work_ended,
		.user = run,
	};
	int status;

	if (!run) {
		weir__cli_error(cli, NULL, "out of memory");
		return WEIR_EXIT_FAILURE;
	}
	run->cli = cli;
	run->options = cli->options;
	run->log_fd = run->notify_fd = run->signal_fd = -1;
	run->exit_early = -1;
	weir__mutex_init(&run->mu);
	if (weir_crash_report(STDERR_FILENO) != WEIR_OK)
		weir__cli_note(cli, "crashes will not be reported");
	status = weir__work_take_operands(run);
	if (status < 0)
		status = weir__work_take_options(run);
	if (status < 0)
		status = open_descriptors(run);
	/* A guardian is forked here: before there are threads. */
	if (status < 0)
		status = weir__work_lane.open(run);
	if (status < 0)
		status = weir__work_open_store(run);
	if (status < 0)
		status = weir__work_make_work(run, &lane);
	if (status < 0) {
		say_what(run);
		status = run_lane(run);
	}
	run_fini(run);
	return status;
}
