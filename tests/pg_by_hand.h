/*
 * What tests of the PostgreSQL store do past it, by statements of their own.
 */
#ifndef WEIR_TESTS_PG_BY_HAND_H
#define WEIR_TESTS_PG_BY_HAND_H

#include "pg/pg.h"

/* A connection to the database of with-postgres, the caller's to PQfinish(). */
PGconn *by_hand(void);

/* What a statement gives, in its first column; "@" is the store's schema.  The
 * text is good until the next one. */
const char *ask_on(PGconn *pg, weir_store *store, const char *sql);
/* The same on a connection of its own. */
const char *ask(weir_store *store, const char *sql);

#endif
