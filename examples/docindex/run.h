/*
 * A run of the indexer as a person sees it: the lines on the terminal, Ctrl-C,
 * what has failed and why, and the last words.  `add` and `work` differ in
 * where the documents come from, and in nothing else.
 */
#ifndef WEIR_EXAMPLES_DOCINDEX_RUN_H
#define WEIR_EXAMPLES_DOCINDEX_RUN_H

#include "indexer.h"
#include "intake.h"
#include "options.h"

#include "cli/live.h"
#include "cli/signals.h"
#include "cli/summary.h"
#include "sync/atomic.h"
#include "sync/mutex.h"

struct run {
	/* fixed before there are threads */
	struct weir_cli *cli;
	const struct add_cli_options *options;
	struct index *look; /* the intake's */
	struct index *put;  /* the writer's */
	struct indexer *indexer;
	weir_limit *limit;
	weir_ctx *ctx; /* of all documents; done when a stop is a hard one */
	int64_t began_ns;
	int signal_fd, notify_fd;
	void *source; /* where documents come from, for the hooks below */
	bool endless; /* a stop is how it ends, and no failure */
	/* Told of each document that comes out, on the collector's thread. */
	void (*done)(struct doc *doc, const weir_pipeline_result *result);
	/* Told to take no more, and with now to end what runs; main thread. */
	void (*stop_source)(struct run *run, bool now);

	struct weir_progress progress; /* has locks of its own */

	/* atomic */
	struct weir_u32 source_ended; /* it has no more documents */
	struct weir_u32 stopping;     /* the source is to give no more */

	/* the main thread's */
	struct weir_stop stop;
	int exit_early; /* -1, or the exit status of a failure of ours */
	bool stopped;   /* stop_now() has been called */

	/* guarded by mu */
	struct weir_mutex mu;
	uint64_t found, unchanged, ok, failed, cancelled, chunks, removed;
	uint64_t api_failures; /* in a row */
	struct weir_tally reasons;
	struct weir_hist latency;
	bool is_hopeless;
	char hopeless[2 * WEIR_ERROR_MAX];
	const char *advice;
	int stdout_error;
};

/*
 * Open the index, make the pipeline, begin the progress line.
 *
 * Waits:   for the disk.
 * Threads: the main thread.
 * Owns:    run_fini() gives everything back, also after an error.
 * Returns: -1, or the exit status after an error, which has been printed.
 */
int run_init(struct run *run, struct weir_cli *cli);
void run_fini(struct run *run);

/*
 * Show the run and obey signals until source_ended is set and every document
 * has come out.
 *
 * Waits:   as it says.
 * Threads: the main thread.
 * Owns:    nothing.
 * Returns: nothing.
 */
void run_loop(struct run *run);

/* The source has ended; any thread. */
void run_source_ended(struct run *run);

/* A document has been found, is unchanged, could not be read; any thread. */
void run_found(struct run *run);
void run_unchanged(struct run *run);
void run_failed(struct run *run, const char *path, const char *reason,
		const char *why);

/* Nothing can succeed any more; any thread. */
void run_hopeless(const char *why, const char *advice, void *user);

#define RUN_AGAIN \
	"the same again, once that is mended; what is in the index is kept"
bool run_is_hopeless(struct run *run);
bool run_is_stopping(struct run *run);

/*
 * The last words.
 *
 * Waits:   for stderr to take them.
 * Threads: the main thread, after run_loop().
 * Owns:    nothing.
 * Returns: the exit status.
 */
int run_end(struct run *run);

#endif
