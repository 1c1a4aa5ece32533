/*
 * Drafts on their way into river_job: one struct pg_rows for all that goes in
 * together, whoever asked for it and on whatever connection.
 *
 *      status = weir__pg_rows_init(&rows, store, count, reterr);
 *      weir__pg_rows_add(&rows, &draft);            ... count times
 *      weir__pg_rows_plan(&rows);
 *      while ((sql = weir__pg_rows_next(&rows)))
 *              ... have it done with rows.params ...
 *      ok = weir__pg_rows_take(&rows, results);     in the same order
 *      ... rows.all[i].made ...
 *      weir__pg_rows_fini(&rows);
 */
#ifndef WEIR_SRC_PG_INSERT_H
#define WEIR_SRC_PG_INSERT_H

#include "pg/pg.h"

/* How many statements there are at most. */
#define PG_ROWS_STEPS 60

struct pg_entry {
	const struct weir_draft *draft;
	size_t twin;        /* the first one with the same key; or itself */
	weir_inserted made; /* once taken */
	bool taken;
};

/* That of a replica that was promoted is another one. */
#define PG_TIMELINE                                                      \
	"('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))" \
	"::bit(32)::int8"

struct pg_rows {
	const struct weir_pg *store;
	struct pg_entry *all;
	size_t count;

	/* Those whose key counts, by key; twins are left out. */
	size_t *keyed, keyed_count;
	/* One entry of each queue; and of each that has to hear of it. */
	size_t *queues, queue_count;
	size_t *heard, heard_count;
	int64_t *ids; /* of one result */

	bool no_queues; /* all are known to be there */
	size_t at;      /* the next entry to be sent */
	size_t chunk_rows, chunk_bytes;
	size_t step, chunk_count, chunks[PG_ROWS_STEPS]; /* their ends */
	bool told;
	struct pg_params params;

	/* Of the transaction, once taken. */
	int64_t xid, at_ms, timeline;
};

WEIR_NODISCARD weir_status weir__pg_rows_init(struct pg_rows *rows,
					      const struct weir_pg *store,
					      size_t count, weir_error *reterr);
void weir__pg_rows_fini(struct pg_rows *rows);
void weir__pg_rows_add(struct pg_rows *rows, const struct weir_draft *draft);

/* All are there: find twins and queues. */
void weir__pg_rows_plan(struct pg_rows *rows);

/* The next statement, its parameters in params; NULL: that was all. */
const struct pg_sql *weir__pg_rows_next(struct pg_rows *rows);

/* False: the database has not done what it was told. */
bool weir__pg_rows_take(struct pg_rows *rows, PGresult *const *results);

/* On a connection that has a transaction begun, or in the pipeline of one. */
WEIR_NODISCARD weir_status weir__pg_rows_send(struct pg_link *conn,
					      struct pg_rows *rows,
					      weir_error *reterr)
	WEIR_REQUIRES(conn->mu);

/*
 * Commit the transaction that they were sent in.  If it is not OK and
 * conn->lost, nothing was inserted and another try is worth it.
 */
WEIR_NODISCARD weir_status weir__pg_rows_commit(struct pg_link *conn,
						const struct pg_rows *rows,
						weir_error *reterr)
	WEIR_REQUIRES(conn->mu);

/* The three that a transaction over several round trips needs. */
extern const struct pg_sql weir__pg_begin_sql, weir__pg_commit_sql;
void weir__pg_rollback(struct pg_link *conn) WEIR_REQUIRES(conn->mu);

#endif
