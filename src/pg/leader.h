/*
 * Leadership, in River's table and by River's terms; see leader.c.
 */
#ifndef WEIR_SRC_PG_LEADER_H
#define WEIR_SRC_PG_LEADER_H

#include "pg/pg.h"

/* What the leader's thread may be told to do. */
enum {
	PG_LEADER_END = 1,    /* resign, and be over */
	PG_LEADER_TRY = 2,    /* somebody has resigned: try before long */
	PG_LEADER_RESIGN = 4, /* if we lead, and let others have a go */
	PG_LEADER_NOW = 8,    /* an attempt at once; for tests */
};

/* With the store.  False: no memory.  Free ends the thread, if it runs. */
bool weir__pg_leader_new(struct weir_pg *store);
void weir__pg_leader_free(struct weir_pg *store);

/* Somebody begins to work the store, and ends; we stand while anybody does. */
void weir__pg_leader_enter(struct weir_pg *store);
void weir__pg_leader_leave(struct weir_pg *store);

/* What a message on river_leadership tells us to do; 0: nothing. */
unsigned weir__pg_leader_heard(const struct weir_pg *store,
			       const char *payload);
void weir__pg_leader_order(struct weir_pg *store, unsigned orders);

/* Do we lead, as far as we know?  And the name by which we do. */
bool weir__pg_leads(const struct weir_pg *store);
const char *weir__pg_leader_id(const struct weir_pg *store);

/* Has it done all that it was ordered?  For tests. */
bool weir__pg_leader_is_idle(const struct weir_pg *store);

/*
 * What only the leader does; duties.c.  The thread's, between a begin, when it
 * was elected, and an end.
 */
struct pg_duties {
	int64_t queues_at_ns, rescue_at_ns, promote_at_ns; /* monotonic */
	int64_t reindex_at_ms; /* the store's time: midnight */
	PGconn *reindex;       /* NULL: it is not on its way */
	PGresult *indexes;     /* their names */
	int index_at;          /* the one that is being done */
	bool is_dropping;      /* what was left of it */
};

void weir__pg_duties_begin(struct weir_pg *store, struct pg_duties *d,
			   int64_t now_ns);
void weir__pg_duties_end(struct pg_duties *d);
/* What is due.  When to come again, or when the descriptor is readable. */
int64_t weir__pg_duties_run(struct weir_pg *store, struct pg_duties *d,
			    int64_t now_ns);
int weir__pg_duties_fd(const struct pg_duties *d); /* -1: none */

/* Each once; for tests as well.  How many rows it was. */
weir_status weir__pg_clean_queues(struct weir_pg *store, uint64_t *ret_count,
				  weir_error *reterr);
weir_status weir__pg_rescue_foreign(struct weir_pg *store, uint64_t *ret_count,
				    weir_error *reterr);

#endif
