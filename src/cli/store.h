/*
 * Which kinds of stores a program can open: weir-queue files only, weir-fetch
 * and weir-fleet, which are linked with libpq, both (store_here.c and
 * store_fleet.c).  `weir` becomes the right one; see elsewhere.h.
 */
#ifndef WEIR_SRC_CLI_STORE_H
#define WEIR_SRC_CLI_STORE_H

#include "cli/command.h"

#include <string.h>
#include <weir/queue.h>

/* Is it in PostgreSQL?  A file of that name is ./postgres:. */
static inline bool
weir__db_is_fleet(const char *db)
{
	return strncmp(db, "postgres:", 9) == 0 ||
	       strncmp(db, "postgresql:", 11) == 0;
}

/* As weir_store_open(), for each kind that this program can open. */
WEIR_NODISCARD weir_status
weir__cli_store_open(weir_store **out, const weir_store_options *options,
		     weir_error *reterr);

/*
 * The line `try: ...` after an error of a store in PostgreSQL, if there is a
 * next step; shown is what follows `weir db migrate`: " --db URL".
 *
 * Waits:   for stderr to take it.
 * Threads: the main thread.
 * Owns:    nothing.
 * Returns: nothing.
 */
void weir__cli_fleet_try(struct weir_cli *cli, const char *db,
			 const char *shown, const weir_error *error);

#endif
