/*
 * The queues that we work; see worked.c.
 */
#ifndef WEIR_SRC_PG_WORKED_H
#define WEIR_SRC_PG_WORKED_H

#include "pg/pg.h"

bool weir__pg_worked_new(struct weir_pg *store);
void weir__pg_worked_free(struct weir_pg *store);

/* Before a turn: what it wants is of queues that are there, and alive. */
void weir__pg_worked_note(struct weir_pg *store, const struct weir_turn *turn);

/*
 * The question whether anything of these queues has come due since; its answer
 * is a boolean and the time of it.  False: we work none, so do not ask.
 */
extern const char weir__pg_due_text[];
/* The same, and a third one: is something that runs to be cancelled? */
extern const struct pg_sql weir__pg_poll_sql;
bool weir__pg_due_put(struct weir_pg *store, struct pg_params *p,
		      int64_t since_ms);

#endif
