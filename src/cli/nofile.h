/*
 * The limit of open files (RLIMIT_NOFILE), for commands whose -j needs many.
 */
#ifndef WEIR_SRC_CLI_NOFILE_H
#define WEIR_SRC_CLI_NOFILE_H

#include "cli/command.h"

#include <stdint.h>

/* What was found; 0: the system does not tell. */
struct weir_nofile {
	uint64_t before; /* the soft limit that was found */
	uint64_t max;    /* the hard limit, which stays */
};

/*
 * Make sure that -j jobs can have the `need` descriptors they take, by a
 * higher soft limit if it has to be.  Says so if they cannot; a next step is
 * for the caller to name.
 *
 * Waits:   for stderr to take it.
 * Threads: the main thread, before there are others.
 * Owns:    nothing.
 * Returns: false: they cannot.  That the system does not tell is no reason to
 *          give up.
 */
bool weir__cli_raise_nofile(struct weir_cli *cli, uint32_t jobs, uint64_t need,
			    struct weir_nofile *ret);

#endif
