/*
 * The listener, for tests that do not want to wait for as long as it may take.
 */
#ifndef WEIR_SRC_PG_LISTEN_H
#define WEIR_SRC_PG_LISTEN_H

#include "pg/pg.h"

/*
 * Wait until the listener, if there is one, has heard all that was committed
 * before.  False: it did not answer, or has no connection.
 */
bool weir__pg_settle(struct weir_pg *store);

#endif
