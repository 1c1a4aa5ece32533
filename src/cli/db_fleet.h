/*
 * `weir db` for a store in PostgreSQL: versions, in a file of their own.
 */
#ifndef WEIR_SRC_CLI_DB_FLEET_H
#define WEIR_SRC_CLI_DB_FLEET_H

#include "cli/db_print.h"

/* Open it, of whatever version.  -1, or the exit status: it was printed. */
int weir__db_look(struct db *db, const char *what, bool read_only);

/* `weir db migrate [list|up|down]`; the exit status. */
int weir__db_fleet_migrate(struct db *db);

#endif
