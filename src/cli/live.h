/*
 * What commands that run jobs share while they do: files of records, standard
 * output that must not hold up a Ctrl-C, and what is said of it.
 */
#ifndef WEIR_SRC_CLI_LIVE_H
#define WEIR_SRC_CLI_LIVE_H

#include "cli/command.h"

#include <stddef.h>

/*
 * Open a file for records: with append as it is, its torn last line ended, else
 * empty.  inputs are the files that are read ("-" is standard input); writing
 * into one of those is refused.
 *
 * Waits:   for the disk.
 * Threads: the main thread.
 * Owns:    *ret_fd (close-on-exec) is the caller's to close, even if refused.
 * Returns: -1, or the exit status after an error, which has been printed.
 */
int weir__records_open(struct weir_cli *cli, const char *path, bool append,
		       const char *const *inputs, size_t input_count,
		       int *ret_fd);

/*
 * How much a descriptor takes without making us wait, so that signals are
 * heard while nobody reads our output.
 *
 * Waits:   never.
 * Threads: any.
 * Owns:    nothing.
 * Returns: bytes; 0: none now.
 */
size_t weir__output_room(int fd);

/*
 * Begin the progress line, as --progress, --color and --quiet want it, on
 * stderr; errors and notes of the command appear above it from now on.
 *
 * Waits:   never.
 * Threads: the main thread.
 * Owns:    *progress stays the caller's, who ends it with
 *          weir__progress_finish(), and then sets cli->progress to NULL.
 * Returns: nothing.
 */
void weir__progress_begin(struct weir_cli *cli, struct weir_progress *progress);

/*
 * Say that no more is begun: "draining: 8 running, 107 not started...".
 *
 * Waits:   for stderr to take it.
 * Threads: any.
 * Owns:    nothing.
 * Returns: nothing.
 */
void weir__say_draining(struct weir_progress *progress,
			const struct weir_progress_counts *counts);

/*
 * "8", or with % so many of the cores: "200%".
 *
 * Waits:   never.
 * Threads: any.
 * Owns:    nothing.
 * Returns: whether it is one of these, and more than 0; else *ret is untouched.
 */
bool weir__parse_share(const char *text, double *ret);

/* For --exit-code=count: the last number that is told apart. */
#define WEIR_EXIT_COUNT_MAX 100

/*
 * GNU parallel's exit status: how many have failed, or 101.
 *
 * Waits:   never.
 * Threads: any.
 * Owns:    nothing.
 * Returns: the exit status.
 */
int weir__exit_of_count(uint64_t failed);

#endif
