/*
 * The last words of a command, on stderr:
 *
 *      fetched 4 991 of 5 000 in 27.8s  (1.9 GB, 180/s, p50 61ms p99 1.9s)
 *      9 failed: 7×404 1×timeout 1×tls      records: out/weir-fetch.jsonl
 *      try: weir fetch --resume out/weir-fetch.jsonl --retry-failed
 *
 * and after a signal:
 *
 *      stopped after drain: ok 88  failed 1  not started 111
 */
#ifndef WEIR_SRC_CLI_SUMMARY_H
#define WEIR_SRC_CLI_SUMMARY_H

#include "base/hist.h"
#include "cli/progress.h"

#include <stdint.h>

#define WEIR_TALLY_MAX      24 /* different reasons kept apart */
#define WEIR_TALLY_NAME_MAX 24

/*
 * Why jobs failed, and how often.  A zeroed struct is empty.  Reasons beyond
 * WEIR_TALLY_MAX are counted together as "other": a tally never grows.
 */
struct weir_tally {
	struct weir_tally_row {
		char name[WEIR_TALLY_NAME_MAX]; /* "404", "timeout", "tls" */
		uint64_t count;
	} rows[WEIR_TALLY_MAX];
	unsigned len;
	uint64_t other;
};

/*
 * One more failure for that reason; a long name is cut.
 *
 * Waits:   never.
 * Threads: one at a time.
 * Owns:    copies reason.
 * Returns: nothing.
 */
void weir__tally_add(struct weir_tally *tally, const char *reason);

struct weir_summary {
	const char *verb;    /* "fetched" */
	const char *stopped; /* NULL, or "stopped after drain" */
	/* The last counts; total is what there was to do, if it is known. */
	struct weir_progress_counts counts;
	uint64_t not_started; /* known jobs that never began; with stopped */
	uint64_t cancelled;   /* jobs that began and were stopped; likewise */
	const struct weir_hist *latency;  /* of ok jobs, in ns; or NULL */
	const struct weir_tally *reasons; /* or NULL */
	const char *records;              /* where the records went, or NULL */
	const char *next; /* the command after "try: ", or NULL */
	bool quiet;       /* print only if something failed or stopped */
};

/*
 * Append the summary.
 *
 * Waits:   never.
 * Threads: any.
 * Owns:    appends to buf.
 * Returns: nothing; out of memory is buf's `failed`.
 */
void weir__summary_render(struct weir_buf *buf, const struct weir_summary *s,
			  bool utf8);

/*
 * Print the summary on fd.  Call it after weir__progress_finish().
 *
 * Waits:   for fd to take it.
 * Threads: any.
 * Owns:    nothing.
 * Returns: nothing.
 */
void weir__summary_print(int fd, const struct weir_summary *s);

#endif
