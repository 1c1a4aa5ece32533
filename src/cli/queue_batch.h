/*
 * Many jobs on their way into a store, a thousand in a commit: for weir
 * enqueue, and for weir run and weir fetch with --queue.
 *
 *      begin ──> add, add, bad, add ──> flush ──> add, ... ──> end
 *
 * What a flush has put into the store is printed behind it, never before: an
 * id that somebody reads is durable.
 */
#ifndef WEIR_SRC_CLI_QUEUE_BATCH_H
#define WEIR_SRC_CLI_QUEUE_BATCH_H

#include "base/arena.h"
#include "cli/queue_print.h"
#include "lines/lines.h"

#include <weir/queue.h>

#define QUEUE_BATCH_MAX   1000
#define QUEUE_BATCH_BYTES (4 * 1024 * 1024) /* of their texts */

struct queue_batch {
	/* fixed at the beginning */
	struct weir_cli *cli;
	const char *db;
	weir_store *store;
	bool json; /* objects, not ids */
	bool ours; /* kinds that begin with "weir." */
	int64_t began_ns;
	struct weir_progress progress; /* the cli's, while there is one */

	/* what waits for the next flush */
	struct weir_arena arena; /* texts of these jobs */
	size_t count, bytes;
	weir_insert inserts[QUEUE_BATCH_MAX];
	uint64_t lines[QUEUE_BATCH_MAX]; /* 0: from no line */
	weir_inserted inserted[QUEUE_BATCH_MAX];
	uint64_t seen_line; /* the last one */

	/* what came of all of them */
	uint64_t added, duplicates, bad;
	uint64_t last_line; /* the last one that a flush has dealt with */
	struct queue_out out;
	int exit; /* an exit status that ends it, or -1 */

	int signal_fd;
	int stopped; /* the signal that ended it, or 0 */
};

/*
 * Judge a job before there is a store: what is wrong with what flags say is
 * wrong with the command line, and not with every line of the input.
 *
 * Waits:   for stderr to take an error.
 * Threads: the main thread.
 * Owns:    nothing.
 * Returns: -1, or the exit status after an error, which has been printed.
 */
int weir__batch_check(struct weir_cli *cli, const weir_insert *insert,
		      bool ours);

/*
 * Open the store and begin.
 *
 * Waits:   for the disk.
 * Threads: the main thread.
 * Owns:    *ret is the caller's to end, whatever is returned.
 * Returns: -1, or the exit status after an error, which has been printed.
 */
int weir__batch_begin(struct queue_batch **ret, struct weir_cli *cli,
		      const char *db, weir_durability durability);

/*
 * Copy a text into the batch: it lasts until the next flush.  NULL: no memory,
 * and batch->exit is set.
 */
char *weir__batch_keep(struct queue_batch *batch, const char *text, size_t len);

/*
 * One more job, from this line (0: from none); its texts must last until the
 * next flush, and bytes is what they take.  Flushes when the batch is full.
 */
void weir__batch_add(struct queue_batch *batch, const weir_insert *insert,
		     uint64_t line, size_t bytes);

/* A line that is no job: said at once, and counted. */
void weir__batch_bad(struct queue_batch *batch, uint64_t line, const char *why);

/*
 * Put what waits into the store.
 *
 * Waits:   for the disk, and for standard output.
 * Threads: the main thread.
 * Owns:    texts of the batch are gone.
 * Returns: whether to go on; if not, batch->exit is set.
 */
bool weir__batch_flush(struct queue_batch *batch);

/*
 * Has a signal come that ends it?  Then batch->stopped is set, and what waits
 * is not to be flushed any more: whoever interrupts wants an end, and is told
 * how far it got.
 */
bool weir__batch_is_over(struct queue_batch *batch);

/* Nothing is there to read just now: flush, and wait for fd or a signal. */
void weir__batch_wait(struct queue_batch *batch, int fd);

/* Tell of the end.  The exit status. */
int weir__batch_end(struct queue_batch *batch);

/*
 * Read files of lines; "-" is standard input.  take() is given each line that
 * is not blank; it adds it, or calls weir__batch_bad_line().
 */
struct queue_lines {
	struct queue_batch *batch;
	const char *const *files;
	size_t file_count;
	size_t max; /* bytes of a line */
	void (*take)(struct queue_lines *lines, const struct weir_line *line);
	void *user;

	uint64_t count; /* lines that were not blank */
	const char *file;
	struct weir_lines reader;
};

/*
 * Read them all, until the end or a signal, and flush.
 *
 * Waits:   for lines, the disk and standard output.
 * Threads: the main thread.
 * Owns:    nothing.
 * Returns: nothing; what ended it is in the batch.
 */
void weir__batch_read(struct queue_lines *lines);

/* It is no job; the file is named where there are others. */
void weir__batch_bad_line(struct queue_lines *lines,
			  const struct weir_line *line, const char *why);

/*
 * Before anything is enqueued: are the files there?  -1, or the exit status
 * after an error, which has been printed.
 */
int weir__batch_check_files(struct weir_cli *cli, const char *const *files,
			    size_t count);

/* NULL is fine.  The end was told of, or it has not begun. */
void weir__batch_free(struct queue_batch *batch);

#endif
