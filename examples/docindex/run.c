/*
 * A run of the indexer as a person sees it.
 *
 * Design.  The main thread does nothing but look and listen: it paints the
 * lines of the stages ten times a second and takes signals.
 *
 *      source (a thread) ──> indexer (4 threads) ──> on_done ──> counts
 *                                                                  │
 *      signals ──> main thread <──────── looks at ─────────────────'
 *
 * A first Ctrl-C ends the source; what is on its way, at most the widths and
 * channels of three stages, is finished.  A second one cancels that too, and
 * the next run does it again.
 *
 * Locking: mu guards the counts; nothing is called with it held.
 */
#include "run.h"

#include "base/json.h"
#include "cli/nofile.h"
#include "wake.h"

#include <curl/curl.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Indexes, stores, the walk, the terminal. */
#define FILES_OF_OURS 128

#define TICK_NS (100 * WEIR_MS)

/* Which stage is which, for who looks at a result. */
enum { EXTRACT, EMBED, STORE };

void
run_found(struct run *run)
{
	weir__mutex_lock(&run->mu);
	run->found++;
	weir__mutex_unlock(&run->mu);
}

void
run_unchanged(struct run *run)
{
	weir__mutex_lock(&run->mu);
	run->found++;
	run->unchanged++;
	weir__mutex_unlock(&run->mu);
}

static void
count_failure(struct run *run, const char *reason)
{
	weir__mutex_lock(&run->mu);
	run->failed++;
	weir__tally_add(&run->reasons, reason);
	weir__mutex_unlock(&run->mu);
}

/* In the stage that it ended in, if it has been in each of the others once. */
static uint32_t
attempts_of(const weir_pipeline_result *result)
{
	uint32_t attempts = result->result.attempts;

	return attempts > result->stage ? attempts - result->stage : attempts;
}

/*
 * Whoever reads may be slow, and the documents wait with us then, but not the
 * screen; only where both are one terminal is its lock held meanwhile.
 */
static int
write_record(struct run *run, const struct weir_buf *line)
{
	if (isatty(STDOUT_FILENO))
		return weir__progress_write(&run->progress, STDOUT_FILENO,
					    line->data, line->len);
	return weir__term_write(STDOUT_FILENO, line->data, line->len);
}

/* With --json: what came of one document, on standard output. */
static void
put_record(struct run *run, const struct doc *doc, const char *path,
	   const char *why, const weir_pipeline_result *result)
{
	struct weir_buf line = {0};
	struct weir_json j;
	int failed;

	if (!run->options->json)
		return;
	weir__json_init(&j, &line);
	weir__json_begin_object(&j);
	weir__json_key(&j, "path");
	weir__json_puts(&j, path);
	weir__json_key(&j, "status");
	weir__json_puts(&j, why ? "failed" : "ok");
	if (doc && !why) {
		weir__json_key(&j, "chunks");
		weir__json_uint(&j, doc->chunk_count);
	}
	if (result) {
		weir__json_key(&j, "attempts");
		weir__json_uint(&j, attempts_of(result));
		weir__json_key(&j, "ms");
		weir__json_fixed(&j, (double)result->result.total_ns / 1e6, 1);
	}
	if (why) {
		weir__json_key(&j, "error");
		weir__json_puts(&j, why);
	}
	weir__json_end_object(&j);
	weir__buf_putc(&line, '\n');
	failed = line.failed ? ENOMEM : write_record(run, &line);
	if (failed) {
		weir__mutex_lock(&run->mu);
		run->stdout_error = failed;
		weir__mutex_unlock(&run->mu);
	}
	weir__buf_fini(&line);
}

void
run_failed(struct run *run, const char *path, const char *reason,
	   const char *why)
{
	run_found(run);
	count_failure(run, reason);
	put_record(run, NULL, path, why, NULL);
	weir__progress_event(&run->progress, WEIR_PROGRESS_FAILED, path, why,
			     NULL);
}

void
run_hopeless(const char *why, const char *advice, void *user)
{
	struct run *run = user;

	weir__mutex_lock(&run->mu);
	if (!run->is_hopeless) {
		snprintf(run->hopeless, sizeof(run->hopeless), "%s", why);
		run->advice = advice;
	}
	run->is_hopeless = true;
	weir__mutex_unlock(&run->mu);
	weir__u32_store(&run->stopping, 1, WEIR_SEQ_CST);
	wake_up(run->notify_fd);
}

bool
run_is_stopping(struct run *run)
{
	return weir__u32_load(&run->stopping, WEIR_SEQ_CST) != 0;
}

void
run_source_ended(struct run *run)
{
	weir__u32_store(&run->source_ended, 1, WEIR_SEQ_CST);
	indexer_close(run->indexer);
	wake_up(run->notify_fd);
}

/* As many as are at work at once, but not for one bad document. */
static uint64_t
api_failures_max(const struct run *run)
{
	uint64_t width = (uint64_t)run->options->width;

	return width > 8 ? width : 8;
}

/* So many documents in a row, and none in between: the API is gone. */
static void
watch_api(struct run *run, const weir_pipeline_result *result)
{
	bool gone = false;

	weir__mutex_lock(&run->mu);
	if (result->result.status == WEIR_OK)
		run->api_failures = 0;
	else if (result->stage == EMBED &&
		 (result->result.status == WEIR_FAILED ||
		  result->result.status == WEIR_TIMEDOUT))
		gone = ++run->api_failures >= api_failures_max(run);
	weir__mutex_unlock(&run->mu);
	if (gone)
		run_hopeless(result->result.error, RUN_AGAIN, run);
}

static void
count_ok(struct run *run, const struct doc *doc,
	 const weir_pipeline_result *result)
{
	weir__mutex_lock(&run->mu);
	run->ok++;
	run->chunks += doc->chunk_count;
	weir__hist_add(&run->latency, result->result.total_ns);
	weir__mutex_unlock(&run->mu);
}

static void
count_cancelled(struct run *run)
{
	weir__mutex_lock(&run->mu);
	run->cancelled++;
	weir__mutex_unlock(&run->mu);
}

bool
run_is_hopeless(struct run *run)
{
	bool hopeless;

	weir__mutex_lock(&run->mu);
	hopeless = run->is_hopeless;
	weir__mutex_unlock(&run->mu);
	return hopeless;
}

/* It has failed: told, unless all do, which is told once. */
static void
tell_failure(struct run *run, const struct doc *doc,
	     const weir_pipeline_result *result)
{
	char note[48] = "";

	if (attempts_of(result) > 1)
		snprintf(note, sizeof(note), "(%u tries)", attempts_of(result));
	count_failure(run, doc->reason[0] != '\0' ? doc->reason : "failed");
	put_record(run, doc, doc->path, result->result.error, result);
	if (!run_is_hopeless(run))
		weir__progress_event(&run->progress, WEIR_PROGRESS_FAILED,
				     doc->path, result->result.error,
				     note[0] != '\0' ? note : NULL);
}

static void
on_done(struct doc *doc, const weir_pipeline_result *result, void *user)
{
	struct run *run = user;

	watch_api(run, result);
	if (result->result.status == WEIR_OK) {
		count_ok(run, doc, result);
		put_record(run, doc, doc->path, NULL, result);
	} else if (result->result.status == WEIR_CANCELED) {
		count_cancelled(run);
	} else {
		tell_failure(run, doc, result);
	}
	if (run->done)
		run->done(doc, result);
}

static void
on_unstarted(struct doc *doc, void *user)
{
	struct run *run = user;
	weir_pipeline_result result = {.result = {.status = WEIR_CANCELED}};

	count_cancelled(run);
	if (run->done)
		run->done(doc, &result);
}

/* The embed stage is about to try it again. */
static void
on_again(const struct doc *doc, const char *why, uint32_t attempt, void *user)
{
	struct run *run = user;
	char note[48];

	snprintf(note, sizeof(note), "try %u/%u", attempt + 1,
		 (unsigned)run->options->api.retries + 1);
	if (!run_is_hopeless(run))
		weir__progress_event(&run->progress, WEIR_PROGRESS_RETRY,
				     doc->path, why, note);
}

static uint32_t
cores(void)
{
	long n = sysconf(_SC_NPROCESSORS_ONLN);

	return n > 0 ? (uint32_t)n : 1;
}

static int
make_indexer(struct run *run, const struct embed_options *embed)
{
	const struct add_cli_options *o = run->options;
	uint32_t channel = (uint32_t)o->channel;
	struct indexer_options options = {
		.extract = {.program = o->pdftotext,
			    .memory_max = o->pdf_memory,
			    .text_max = o->text_max,
			    .timeout_ns = o->pdf_timeout_ns,
			    .width = o->jobs > 0 ? (uint32_t)o->jobs : cores(),
			    .queue = channel},
		.embed = *embed,
		.store = {.index = run->put,
			  .model = embed->model,
			  .batch = channel,
			  .queue = channel,
			  .delay_ns = o->store_delay_ns,
			  .hopeless = run_hopeless,
			  .user = run},
		.done = on_done,
		.unstarted = on_unstarted,
		.user = run,
	};

	/*
	 * There is one host.  A request that waited for a connection would
	 * wait within its time-out, so there are no more than can be sent.
	 */
	options.embed.width = options.embed.per_host =
		(uint32_t)(o->per_host > 0 && o->per_host < o->width
				   ? o->per_host
				   : o->width);
	options.embed.queue = channel;
	options.embed.limit = run->limit;
	options.embed.hopeless = run_hopeless;
	options.embed.again = on_again;
	options.embed.user = run;
	if (indexer_new(&run->indexer, &options) == WEIR_OK)
		return -1;
	weir__cli_error(run->cli, NULL, "out of memory, or of threads");
	return WEIR_EXIT_FAILURE;
}

/* A file for each document before the second stage, pipes for those in it. */
static int
raise_limit(struct run *run)
{
	const struct add_cli_options *o = run->options;
	uint32_t jobs = o->jobs > 0 ? (uint32_t)o->jobs : cores();
	uint64_t need = (uint64_t)o->channel + 5 * (uint64_t)jobs +
			(uint64_t)o->width + FILES_OF_OURS;
	struct weir_nofile found;

	if (weir__cli_raise_nofile(run->cli, (uint32_t)o->channel, need,
				   &found))
		return -1;
	weir__cli_try(run->cli, "--channel 16 --width 16");
	return WEIR_EXIT_FAILURE;
}

static int
make_parts(struct run *run)
{
	double rate = run->options->rate;
	uint32_t burst = rate > 20 ? (uint32_t)(rate / 20) : 1;

	run->notify_fd = wake_new();
	run->signal_fd = weir__signals_fd();
	if (run->notify_fd >= 0 && run->signal_fd >= 0 &&
	    curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK &&
	    weir_ctx_new(&run->ctx, NULL, WEIR_FOREVER) == WEIR_OK &&
	    (rate <= 0 || weir_limit_new(&run->limit, rate, burst) == WEIR_OK))
		return -1;
	weir__cli_error(run->cli, NULL, "out of memory, or of descriptors");
	return WEIR_EXIT_FAILURE;
}

int
run_init(struct run *run, struct weir_cli *cli)
{
	struct embed_options embed;
	int status;

	run->cli = cli;
	run->options = cli->options;
	run->exit_early = -1;
	run->signal_fd = run->notify_fd = -1;
	run->began_ns = weir_now_ns();
	weir__mutex_init(&run->mu);
	weir__stop_init(&run->stop, run->options->grace_ns);
	status = api_open(cli, &run->options->api, true, &run->look);
	if (status < 0)
		status = api_open(cli, &run->options->api, true, &run->put);
	if (status < 0)
		status = api_setup(cli, &run->options->api, run->put, &embed);
	if (status < 0)
		status = raise_limit(run);
	if (status < 0)
		status = make_parts(run);
	if (status >= 0)
		return status;
	weir__progress_begin(cli, &run->progress);
	return make_indexer(run, &embed);
}

void
run_fini(struct run *run)
{
	indexer_free(run->indexer);
	if (run->cli->progress)
		weir__progress_finish(&run->progress);
	run->cli->progress = NULL;
	index_close(run->look);
	index_close(run->put);
	weir_limit_free(run->limit);
	weir_ctx_unref(run->ctx);
	if (run->notify_fd >= 0)
		(void)close(run->notify_fd);
	if (run->signal_fd >= 0)
		(void)close(run->signal_fd);
	weir__mutex_fini(&run->mu);
}

/* What the progress line shows; stages has INDEXER_STAGES places. */
static void
get_counts(struct run *run, struct weir_progress_counts *ret,
	   struct weir_progress_stage *stages)
{
	weir__mutex_lock(&run->mu);
	*ret = (struct weir_progress_counts){
		.done = run->ok + run->failed + run->unchanged,
		.total = run->found,
		.ok = run->ok,
		.failed = run->failed,
		.skipped = run->unchanged,
		.elapsed_ns = weir_now_ns() - run->began_ns,
		.stages = stages,
		.stage_count = INDEXER_STAGES,
	};
	if (ret->total < ret->done + run->cancelled)
		ret->total = ret->done + run->cancelled;
	weir__mutex_unlock(&run->mu);
	ret->total_final =
		weir__u32_load(&run->source_ended, WEIR_SEQ_CST) != 0;
	for (uint32_t i = 0; i < INDEXER_STAGES; i++) {
		weir_pool_stats stats;
		uint32_t queue;

		stages[i].name = indexer_stats(run->indexer, i, &stats, &queue);
		stages[i].busy = stats.busy;
		stages[i].width = stats.workers;
		stages[i].queued = stats.queued;
		stages[i].bound = queue;
		stages[i].done = stats.delivered;
		stages[i].retries = stats.retries;
		ret->retries += stats.retries;
	}
}

/* What is inside the pipeline, and what was found and is not in it yet. */
static void
say_draining(struct run *run)
{
	struct weir_progress_stage stages[INDEXER_STAGES];
	struct weir_progress_counts counts;

	get_counts(run, &counts, stages);
	counts.busy = counts.total - counts.done;
	weir__say_draining(&run->progress, &counts);
}

static void
stop_now(struct run *run)
{
	if (run->stopped)
		return;
	run->stopped = true;
	weir__u32_store(&run->stopping, 1, WEIR_SEQ_CST);
	weir_ctx_cancel(run->ctx);
	run->stop_source(run, true);
	indexer_stop(run->indexer);
}

static void
obey(struct run *run, enum weir_stop_action action)
{
	struct weir_progress_stage stages[INDEXER_STAGES];
	struct weir_progress_counts counts;

	switch (action) {
	case WEIR_STOP_NOTHING:
		break;
	case WEIR_STOP_DRAIN:
		say_draining(run);
		weir__u32_store(&run->stopping, 1, WEIR_SEQ_CST);
		run->stop_source(run, false);
		break;
	case WEIR_STOP_CANCEL:
		weir__progress_note(&run->progress, "cancelling what runs");
		stop_now(run);
		break;
	case WEIR_STOP_LEAVE:
		weir__progress_hide(&run->progress);
		_exit(run->stop.signal ? weir__exit_of_signal(run->stop.signal)
				       : WEIR_EXIT_FAILURE);
	case WEIR_STOP_STATUS:
		get_counts(run, &counts, stages);
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

/* What other threads have seen that ends the run. */
static void
take_news(struct run *run)
{
	int failed;

	weir__mutex_lock(&run->mu);
	failed = run->stdout_error;
	weir__mutex_unlock(&run->mu);
	if (failed && run->exit_early < 0) {
		run->exit_early = weir__cli_stdout_failed(run->cli, failed);
		stop_now(run);
	}
	if (run_is_hopeless(run) && run->exit_early < 0) {
		run->exit_early = WEIR_EXIT_FAILURE;
		stop_now(run);
	}
}

static bool
is_over(struct run *run)
{
	weir_pool_stats stats;
	uint32_t queue;

	if (weir__u32_load(&run->source_ended, WEIR_SEQ_CST) == 0)
		return false;
	for (uint32_t i = 0; i < INDEXER_STAGES; i++) {
		(void)indexer_stats(run->indexer, i, &stats, &queue);
		if (stats.inside > 0)
			return false;
	}
	return true;
}

void
run_loop(struct run *run)
{
	struct pollfd fds[] = {
		{.fd = run->signal_fd, .events = POLLIN},
		{.fd = run->notify_fd, .events = POLLIN},
	};
	struct weir_progress_stage stages[INDEXER_STAGES];
	struct weir_progress_counts counts;

	while (!is_over(run)) {
		int64_t now_ns = weir_now_ns();
		int64_t wait_ns = weir__stop_sleep_ns(&run->stop, now_ns);

		if (wait_ns > TICK_NS)
			wait_ns = TICK_NS;
		(void)poll(fds, 2, wake_timeout_ms(now_ns + wait_ns));
		wake_clear(run->notify_fd);
		take_signals(run);
		take_news(run);
		get_counts(run, &counts, stages);
		weir__progress_update(&run->progress, &counts);
	}
	indexer_join(run->indexer);
	take_news(run);
}

/* All that came out was told of; what is left to say. */
static int
exit_status(struct run *run, bool left)
{
	if (run->is_hopeless) {
		weir__cli_error(run->cli, NULL, "stopped: %s", run->hopeless);
		weir__cli_try(run->cli, "%s", run->advice);
	}
	if (run->exit_early >= 0)
		return run->exit_early;
	if (run->stop.signal && left && (!run->endless || run->cancelled > 0))
		return weir__exit_of_signal(run->stop.signal);
	return run->failed > 0 ? WEIR_EXIT_SOME_FAILED : WEIR_EXIT_OK;
}

int
run_end(struct run *run)
{
	struct weir_progress_stage stages[INDEXER_STAGES];
	struct weir_summary summary = {
		.verb = "indexed",
		.latency = &run->latency,
		.reasons = &run->reasons,
		.quiet = run->cli->common.quiet,
	};
	bool left = run->cancelled > 0 || run_is_stopping(run);
	int status;

	get_counts(run, &summary.counts, stages);
	weir__progress_finish(&run->progress);
	run->cli->progress = NULL;
	status = exit_status(run, left);
	if (left) {
		summary.stopped =
			run->stopped ? "stopped" : "stopped after drain";
		summary.cancelled = run->cancelled;
		/* The one that the walk had in its hand. */
		summary.not_started = summary.counts.total -
				      summary.counts.done - run->cancelled;
		summary.counts.total_final = false;
	}
	if (run->removed > 0)
		weir__cli_note(run->cli, "%llu no longer there, and forgotten",
			       (unsigned long long)run->removed);
	weir__summary_print(STDERR_FILENO, &summary);
	return status;
}
