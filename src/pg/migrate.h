/*
 * The statements of the migrations; migrate.c runs them.
 */
#ifndef WEIR_SRC_PG_MIGRATE_H
#define WEIR_SRC_PG_MIGRATE_H

#include "pg/pg.h"

/* What leads to a version from the one before, and back. */
struct pg_step {
	const char *up, *down;
};

/* By version; [0] is empty. */
extern const struct pg_step weir__pg_river_steps[PG_SCHEMA_VERSION + 1];
extern const struct pg_step weir__pg_our_steps[PG_WEIR_VERSION + 1];

#endif
