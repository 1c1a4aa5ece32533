/*
 * The progress line, and the messages that scroll above it.
 *
 *  ✗ https://b.example/404.pdf            404 Not Found              (no retry)
 *  1 204/5 000 ━━━━━━╺━━━━━━━━━━━━━━━━━━ 24%  ok 1 198  fail 6  retry 11 | ...
 *
 * Where jobs go through several pools in a row, each of them has a line above
 * it, in which a stage that is too slow can be seen by the channel before it:
 *
 *  extract     2/2 busy    ━━━━━━━━━━ 16/16 queued   38/s
 *  embed     16/16 busy    ━━━━━╺━━━━  9/16 queued   51/s
 *
 * The owner calls weir__progress_update() with fresh counts about ten times a
 * second, and weir__progress_event() for each failure and retry as it comes.
 * Nothing is written but in update, note, hide and finish: events wait in a
 * small buffer for the next update, and of more than 20 in a second the rest
 * are only counted ("… and 312 more failures").  So a storm of failures costs
 * a few writes a second, and a slow terminal never slows the jobs.
 *
 * There is no clock here.  Time is `elapsed_ns` of the counts.
 *
 * Locking: `mu` guards the events that wait, `screen` what was painted and the
 * writing itself; screen is taken first.  So a reactor that reports a failure
 * never waits for a terminal, only for another who reports one.
 */
#ifndef WEIR_SRC_CLI_PROGRESS_H
#define WEIR_SRC_CLI_PROGRESS_H

#include "base/buf.h"
#include "cli/term.h"
#include "sync/mutex.h"

#include <stdbool.h>
#include <stdint.h>

/* In the order of --progress's choices. */
enum weir_progress_mode {
	WEIR_PROGRESS_AUTO,  /* bar on a terminal, else plain */
	WEIR_PROGRESS_BAR,   /* one line that is repainted */
	WEIR_PROGRESS_PLAIN, /* a line every 30 s */
	WEIR_PROGRESS_JSON,  /* an object a second, and one per event */
	WEIR_PROGRESS_NONE,  /* events only */
};

enum weir_progress_kind {
	WEIR_PROGRESS_FAILED, /* ✗ a job has failed for good */
	WEIR_PROGRESS_RETRY,  /* ↻ it will be tried again */
};

/* One of several pools in a row; see above. */
struct weir_progress_stage {
	const char *name;
	uint64_t busy, width;   /* slots at work, of how many */
	uint64_t queued, bound; /* in the channel before it, at most */
	uint64_t done;          /* have left it */
	uint64_t retries;
};

#define WEIR_PROGRESS_STAGES_MAX 8

struct weir_progress_counts {
	uint64_t done;    /* ok + failed + skipped */
	uint64_t total;   /* all jobs, or those read so far; 0: not known */
	bool total_final; /* the input has ended; total is all there is */
	uint64_t ok, failed, skipped, retries;
	uint64_t busy, width; /* slots at work, of how many */
	uint64_t queued;      /* read but not started */
	uint64_t bytes;
	int64_t elapsed_ns; /* since the start; never goes back */
	/* Lent; at most WEIR_PROGRESS_STAGES_MAX of them. */
	const struct weir_progress_stage *stages;
	size_t stage_count;
};

struct weir_progress_options {
	enum weir_progress_mode mode;
	enum weir_color_mode color;
	bool quiet; /* nothing at all but notes */
	int fd;     /* stderr: 2 */
};

/* A smoothed rate: recent seconds count more than old ones. */
struct weir_progress_rate {
	uint64_t last;
	double value, weight;
};

/* Private; here so that it can live in the owner's struct. */
struct weir_progress {
	/* fixed at the beginning */
	int fd;
	enum weir_progress_mode mode; /* never AUTO */
	bool quiet, color, utf8;
	unsigned columns; /* for tests: a fixed width; 0: ask the terminal */

	/* guarded by mu */
	struct weir_mutex mu;
	struct weir_buf events; /* rendered, for the next update */
	bool ended;             /* written with both held, read with either */
	int64_t window_ns;      /* start of this second's allowance */
	unsigned window_events;
	uint64_t more_failed, more_retried; /* left out in this second */

	/* guarded by screen */
	struct weir_mutex screen;
	unsigned shown;   /* lines on the screen now: 0, 1, or more by stages */
	int64_t flush_ns; /* when an update last did anything; -1: never */
	int64_t line_ns;  /* when the line was last due */
	int64_t rated_ns; /* when the rates were last brought up to date */
	struct weir_progress_rate jobs, bytes;
	struct weir_progress_rate stages[WEIR_PROGRESS_STAGES_MAX];
	struct weir_buf pending; /* the events that are being written */
	struct weir_buf line;    /* the line as it was last painted */
	struct weir_buf out;     /* what one write() takes; kept for reuse */
};

/*
 * Make ready to report on options->fd.
 *
 * Waits:   never.
 * Threads: before anybody else uses p.
 * Owns:    p is the caller's until weir__progress_finish().
 * Returns: nothing.
 */
void weir__progress_init(struct weir_progress *p,
			 const struct weir_progress_options *options);

/*
 * Here are the counts of now.  Call it about ten times a second; more often
 * does no harm, and less often delays events.
 *
 * Waits:   for fd to take it.
 * Threads: any.
 * Owns:    nothing.
 * Returns: nothing; that stderr is gone is nothing to stop for.
 */
void weir__progress_update(struct weir_progress *p,
			   const struct weir_progress_counts *counts);

/*
 * Something happened to a job: subject is its URL or command, what the reason
 * ("404 Not Found"), note what follows ("(no retry)", "try 2/4 in 7.0s"); any
 * of them may hold what they like, and note may be NULL.
 *
 * Waits:   never.
 * Threads: any.
 * Owns:    copies the texts.
 * Returns: nothing.
 */
void weir__progress_event(struct weir_progress *p, enum weir_progress_kind kind,
			  const char *subject, const char *what,
			  const char *note);

/*
 * Print a line above the progress line, now, in every mode and with quiet:
 * "draining: 8 running, 107 not started.  Ctrl-C again stops the 8 now."
 * Control characters in it are made harmless.
 *
 * Waits:   for fd to take it.
 * Threads: any.
 * Owns:    copies the text.
 * Returns: nothing.
 */
void weir__progress_note(struct weir_progress *p, const char *text);

/*
 * Print the line as a note, for SIGUSR1, in every mode and with quiet.
 *
 * Waits:   for fd to take it.
 * Threads: any.
 * Owns:    nothing.
 * Returns: nothing.
 */
void weir__progress_status(struct weir_progress *p,
			   const struct weir_progress_counts *counts);

/*
 * Take the line off the screen, because the caller is about to write to the
 * same terminal by itself (standard output).  The next update brings it back.
 * Cheap when there is no line.
 *
 * Waits:   for fd to take it.
 * Threads: any.
 * Owns:    nothing.
 * Returns: nothing.
 */
void weir__progress_hide(struct weir_progress *p);

/*
 * Write to another descriptor that may be the same terminal, standard output,
 * with the line out of the way meanwhile.  Unlike hide and a write of the
 * caller's own, no other thread can paint the line in between.
 *
 * Waits:   for to_fd to take it.
 * Threads: any.
 * Owns:    nothing.
 * Returns: 0, or the errno that ended it.
 */
int weir__progress_write(struct weir_progress *p, int to_fd, const char *data,
			 size_t len);

/*
 * A number per second as the line and the summary show it: "9.7/s", "182/s".
 *
 * Waits:   never.
 * Threads: any.
 * Owns:    appends to buf.
 * Returns: nothing; out of memory is buf's `failed`.
 */
void weir__progress_format_rate(struct weir_buf *buf, double per_second);

/*
 * The smoothed rate or, before there is one, the average.
 *
 * Waits:   never.
 * Threads: who holds screen, or the only one.
 * Owns:    nothing.
 * Returns: how many a second.
 */
double weir__progress_rate_of(const struct weir_progress_rate *rate,
			      uint64_t count, int64_t elapsed_ns);

/*
 * Cut what begins at start off behind so many columns, characters whole.
 *
 * Waits:   never.
 * Threads: any.
 * Owns:    nothing.
 * Returns: nothing.
 */
void weir__progress_cut(struct weir_buf *buf, size_t start, unsigned columns);

/*
 * The lines of the stages, each with its end, at most columns wide (0: any
 * width); or all of them as one piece of text, for logs: " | embed 16/16 busy,
 * 9/16 queued".
 *
 * Waits:   never.
 * Threads: who holds screen, or the only one.
 * Owns:    appends to buf.
 * Returns: nothing; out of memory is buf's `failed`.
 */
void weir__progress_render_stages(const struct weir_progress *p,
				  struct weir_buf *buf,
				  const struct weir_progress_counts *counts,
				  unsigned columns);
void weir__progress_render_stages_inline(
	struct weir_buf *buf, const struct weir_progress_counts *counts);

/*
 * The end: the events that wait are written, the line is taken off, the memory
 * given back.  Calling it twice is fine.  What comes later is no event any
 * more, and notes are printed as they are.
 *
 * Waits:   for fd to take it.
 * Threads: any.
 * Owns:    p is the caller's again.
 * Returns: nothing.
 */
void weir__progress_finish(struct weir_progress *p);

/*
 * The line for these counts, at most columns wide (0: any width).  What is
 * dear is left out first: the queue, the bytes, the bar's length...
 *
 * Waits:   never.
 * Threads: who holds screen, or the only one.
 * Owns:    appends to buf.
 * Returns: nothing; out of memory is buf's `failed`.
 */
void weir__progress_render(const struct weir_progress *p, struct weir_buf *buf,
			   const struct weir_progress_counts *counts,
			   unsigned columns);

#endif
