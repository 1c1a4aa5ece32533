/*
 * From flags and lines of input to jobs to be.
 */
#ifndef WEIR_SRC_CLI_QUEUE_FILL_H
#define WEIR_SRC_CLI_QUEUE_FILL_H

#include "base/arena.h"
#include "cli/cmd_queue.h"

#include <weir/queue.h>

/*
 * What `--unique` says.  Names of fields are in the arena.  False: *ret_why,
 * for people, is set; it lasts as long as the arena.
 */
bool weir__fill_unique(const char *text, struct weir_arena *arena,
		       weir_insert *insert, const char **ret_why);

/*
 * What the flags say of a job; whatever the store judges (names, JSON) is left
 * to it.
 *
 * Waits:   for stderr to take an error.
 * Threads: the main thread.
 * Owns:    insert points into options and the arena, which must stay.
 * Returns: -1, or the exit status after an error, which has been printed.
 */
int weir__fill_options(struct weir_cli *cli,
		       const struct job_cli_options *options,
		       struct weir_arena *arena, weir_insert *insert);

/*
 * A line that is a whole job: what it says replaces what is in insert.  Texts
 * are copied into the arena, or point into line if they stand there as they
 * are (args, metadata); line must stay as long as insert.
 *
 * Waits:   never.
 * Threads: any.
 * Owns:    as above.
 * Returns: WEIR_OK; WEIR_INVAL and why, for people; WEIR_NOMEM.
 */
WEIR_NODISCARD weir_status weir__fill_line(const char *line, size_t len,
					   struct weir_arena *arena,
					   weir_insert *insert,
					   char why[WEIR_ERROR_MAX]);

#endif
