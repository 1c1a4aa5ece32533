/*
 * What the files of the PostgreSQL store share.
 *
 * A statement goes like this:
 *
 *      static const struct pg_sql beat = {
 *              "beat", "UPDATE @weir_client SET beat = 1 WHERE id = $1"};
 *
 *      weir__pg_begin(&p);
 *      weir__pg_int8(&p, id);
 *      status = weir__pg_ask(&store->work, &beat, &p, &result, reterr);
 *
 * and several, in one transaction and one round trip, like this:
 *
 *      weir__mutex_lock(&conn->mu);
 *      status = weir__pg_ready(conn, reterr);
 *      if (status == WEIR_OK) {
 *              weir__pg_send(conn, &first, &p);
 *              weir__pg_send(conn, &second, &q);
 *              status = weir__pg_sync(conn, results, reterr);
 *      }
 *      ...
 *      weir__mutex_unlock(&conn->mu);
 */
#ifndef WEIR_SRC_PG_PG_H
#define WEIR_SRC_PG_PG_H

#include "base/buf.h"
#include "queue/store.h"
#include "sync/mutex.h"
#include "sync/thread.h"

#include <libpq-fe.h>

#define PG_SCHEMA_VERSION 8  /* River's, of which we write the rows */
#define PG_SCHEMA_OLDEST  7  /* what we can work on */
#define PG_WEIR_VERSION   2  /* of our own tables */
#define PG_SCHEMA_MAX     46 /* bytes of a schema's name: River's channels */

/* The types that we send and read, by their OIDs (pg_type.dat). */
enum pg_type {
	PG_BOOL = 16,
	PG_BYTEA = 17,
	PG_INT8 = 20,
	PG_INT2 = 21,
	PG_INT4 = 23,
	PG_TEXT = 25,
	PG_FLOAT8 = 701,
	PG_BIT = 1560,
	PG_TIMESTAMPTZ = 1184,
	PG_JSONB = 3802,
};

/* No time: NULL, which statements read as now(). */
#define PG_NO_TIME INT64_MIN

#define PG_PARAMS_MAX 24

/*
 * Parameters of a statement, in binary.  A zeroed struct is ready for
 * weir__pg_begin(); weir__pg_params_fini() gives its memory back.
 */
struct pg_params {
	int count;
	Oid types[PG_PARAMS_MAX];
	size_t at[PG_PARAMS_MAX]; /* offset in bytes */
	int lengths[PG_PARAMS_MAX];
	bool nulls[PG_PARAMS_MAX];
	struct weir_buf bytes;
	bool in_array;
};

void weir__pg_begin(struct pg_params *p);
void weir__pg_params_fini(struct pg_params *p);

/*
 * The next parameter or, between _array_begin() and _array_end(), the next
 * element.  A NULL text is NULL.
 */
void weir__pg_bool(struct pg_params *p, bool value);
void weir__pg_int2(struct pg_params *p, int value);
void weir__pg_int4(struct pg_params *p, int32_t value);
void weir__pg_int8(struct pg_params *p, int64_t value);
void weir__pg_float8(struct pg_params *p, double value);
void weir__pg_time(struct pg_params *p, int64_t ms); /* PG_NO_TIME: NULL */
void weir__pg_text(struct pg_params *p, const char *text, size_t len);
void weir__pg_json(struct pg_params *p, const char *json, size_t len);
void weir__pg_bytes(struct pg_params *p, const void *bytes, size_t len);
/* bit(8), River's order: value bit 0 is the last character. */
void weir__pg_bits(struct pg_params *p, bool is_null, uint32_t value);

/* An array of that many elements, each of that type. */
void weir__pg_array_begin(struct pg_params *p, enum pg_type element,
			  size_t count);
void weir__pg_array_end(struct pg_params *p);

/* Columns of a result, which is binary.  NULL gives 0, "", PG_NO_TIME. */
int64_t weir__pg_get_int(const PGresult *result, int row, int column);
double weir__pg_get_float8(const PGresult *result, int row, int column);
bool weir__pg_get_bool(const PGresult *result, int row, int column);
int64_t weir__pg_get_ms(const PGresult *result, int row, int column);
/* Texts, jsonb included; not terminated, lent by the result. */
const char *weir__pg_get_text(const PGresult *result, int row, int column,
			      size_t *ret_len);
bool weir__pg_is_null(const PGresult *result, int row, int column);

/*
 * A statement.  "@" stands for the schema's name and a dot, or nothing.  name
 * is that of the prepared statement, its own in the room.  No type is given to
 * PostgreSQL but by the parameters, so results are binary and parameters what
 * they are said to be.
 */
struct pg_sql {
	const char *name, *text;
};

/* A number that is a macro, in a statement. */
#define PG_TEXT_OF_(n) #n
#define PG_TEXT_OF(n)  PG_TEXT_OF_(n)

#define PG_PREPARED_MAX 96
#define PG_SENT_MAX     64

struct weir_pg;

/* session.c: something that is SET; a list of them ends with a NULL. */
struct pg_setting {
	const char *name, *value;
};

struct pg_link {
	/* fixed at creation */
	struct weir_pg *store;
	const char *what;                  /* "work", for application_name */
	const struct pg_setting *settings; /* beyond those of all, or NULL */

	struct weir_mutex mu;

	/* guarded by mu */
	PGconn *pg; /* NULL: not connected */
	const struct pg_sql *prepared[PG_PREPARED_MAX];
	size_t prepared_count;
	/* What was sent since the last sync: statements and preparations. */
	bool is_silent[PG_SENT_MAX * 2];
	size_t sent, sent_count; /* statements; all */
	bool send_failed;
	bool is_pushed; /* the sync is on its way already */
	bool lost;      /* the last sync did not get its answer */
	/* Somebody else keeps jobs of ours locked; ask before that. */
	int64_t locked_until_ns;
};

struct weir_pg {
	struct weir_store base;

	/* fixed at creation */
	char *conninfo;                             /* as libpq takes it */
	char schema[PG_SCHEMA_MAX + 1];             /* "": by search_path */
	char prefix[2 * PG_SCHEMA_MAX + 4];         /* "\"schema\"." or "" */
	char channel_prefix[2 * PG_SCHEMA_MAX + 4]; /* "schema." */
	bool has_clock; /* the caller's clock, for tests */
	int64_t busy_ns;
	bool never_leads;    /* leader=off */
	bool leaves_foreign; /* foreign=leave */
	bool never_holds;    /* hold=off */
	bool is_pooled;      /* listen=off: nothing lasts but transactions */
	struct pg_link work, insert, admin, upkeep;
	struct pg_holds *holds;       /* hold.c */
	struct pg_listener *listener; /* listen.c */
	struct pg_inserts *inserts;   /* insert.c: those that wait */
	struct pg_leader *leader;     /* leader.c */
	struct pg_worked *worked;     /* worked.c */
	struct pg_cursors *cursors;   /* cursor.c */
	struct pg_limits *limits;     /* limit.c */

	/* atomic: what the database's clock is ahead of our monotonic one */
	struct weir_u64 offset_ms;
};

static inline struct weir_pg *
weir__pg_of(weir_store *store)
{
	return (struct weir_pg *)store;
}

void weir__pg_conn_init(struct pg_link *conn, struct weir_pg *store,
			const char *what, const struct pg_setting *settings);
void weir__pg_conn_fini(struct pg_link *conn);

/*
 * Connect if there is no connection.  OK, or SYSTEM (it cannot be made just
 * now, and why), NOMEM.
 */
WEIR_NODISCARD weir_status weir__pg_ready(struct pg_link *conn,
					  weir_error *reterr)
	WEIR_REQUIRES(conn->mu);
void weir__pg_disconnect(struct pg_link *conn) WEIR_REQUIRES(conn->mu);

/* Append a statement's text with the schema in it.  False: no memory. */
bool weir__pg_expand(struct weir_buf *buf, const struct weir_pg *store,
		     const char *text);

/* A connection of the room's kind, blocking, set up; NULL and *reterr. */
PGconn *weir__pg_connect(struct weir_pg *store, const char *what,
			 const struct pg_setting *more, weir_error *reterr);
/*
 * session.c: statements that set up a session, or where nothing lasts the one
 * that sets up a transaction.
 */
void weir__pg_put_session(struct weir_buf *buf, const struct weir_pg *store,
			  const struct pg_setting *more);

/* Queue a statement.  What fails is told by the sync. */
void weir__pg_send(struct pg_link *conn, const struct pg_sql *sql,
		   const struct pg_params *p) WEIR_REQUIRES(conn->mu);

/* Send all that is queued, and do not wait; the sync does, and comes next. */
void weir__pg_push(struct pg_link *conn) WEIR_REQUIRES(conn->mu);

/*
 * Send all that is queued as one transaction, and wait for it to be committed.
 * rets has a place for each statement, in order; with OK the results are the
 * caller's to PQclear(), else all are NULL.  40001 and 40P01 are BUSY.
 */
WEIR_NODISCARD weir_status weir__pg_sync(struct pg_link *conn, PGresult **rets,
					 weir_error *reterr)
	WEIR_REQUIRES(conn->mu);

/* One statement, in a transaction of its own; ret may be NULL. */
WEIR_NODISCARD weir_status weir__pg_query(struct pg_link *conn,
					  const struct pg_sql *sql,
					  const struct pg_params *p,
					  PGresult **ret, weir_error *reterr)
	WEIR_REQUIRES(conn->mu);

/* The same with the connection taken and given back. */
WEIR_NODISCARD weir_status weir__pg_ask(struct pg_link *conn,
					const struct pg_sql *sql,
					const struct pg_params *p,
					PGresult **ret, weir_error *reterr);

/* Text with several statements and no parameters: migrations. */
WEIR_NODISCARD weir_status weir__pg_run(struct pg_link *conn, const char *text,
					weir_error *reterr)
	WEIR_REQUIRES(conn->mu);

/* The time as a parameter: NULL for the database's own. */
void weir__pg_now(struct pg_params *p, const struct weir_pg *store);

/* Rows that a statement has changed. */
uint64_t weir__pg_changed(const PGresult *result);

/* What a failed result, or without one the connection, means. */
weir_status weir__pg_failed(PGconn *pg, const PGresult *result,
			    weir_error *reterr);

/* The operations of the store, by the file that has them; see store.h. */

/* open.c */
WEIR_NODISCARD weir_status weir__pg_open(weir_store **out, const char *url,
					 const weir_store_options *options,
					 weir_error *reterr);

/* The same of any version, or without tables: only admin.c and migrate.c may
 * do something with it. */
WEIR_NODISCARD weir_status weir__pg_open_any(weir_store **out, const char *url,
					     const weir_store_options *options,
					     weir_error *reterr);

/* migrate.c: River's line "main" and our line "weir". */
struct pg_versions {
	int river, ours; /* 0: none */
	bool has_rows;   /* river_migration has them; else guessed by tables */
	bool is_pro;     /* tables of River Pro are there */
};
weir_status weir__pg_versions(struct weir_pg *store, struct pg_versions *ret,
			      weir_error *reterr);
/* Up or down to these; each step in a transaction of its own. */
weir_status weir__pg_migrate(struct weir_pg *store, int river, int ours,
			     weir_error *reterr);

/* insert.c, tx.c */
weir_status weir__pg_insert(weir_store *store, const struct weir_draft *drafts,
			    size_t count, weir_inserted *rets, weir_ctx *ctx,
			    weir_error *reterr);
weir_status weir__pg_insert_tx(weir_store *store, void *db,
			       const struct weir_draft *drafts, size_t count,
			       weir_inserted *rets, weir_error *reterr);
weir_status weir__pg_complete_tx(weir_store *store,
				 const struct weir_owner *owner,
				 const struct weir_claim *claim, void *db,
				 const char *output, size_t output_len,
				 weir_error *reterr);

/* row.c: a job, in the columns of PG_JOB_COLUMNS. */
extern const char weir__pg_job_columns[];
/* Texts are lent by the result and by buf, which grows. */
bool weir__pg_row(const PGresult *result, int at, struct weir_buf *buf,
		  weir_job_row *ret);

/* look.c, change.c, queues.c, schedule.c */
weir_status weir__pg_list(weir_store *store, const weir_job_filter *filter,
			  weir_job_row_fn *row, void *user, weir_error *reterr);
weir_status weir__pg_change(weir_store *store, weir_job_action action,
			    const int64_t *ids, size_t count,
			    weir_job_changed *rets, weir_ctx *ctx,
			    weir_error *reterr);
weir_status weir__pg_queues(weir_store *store, weir_queue_row_fn *row,
			    void *user, weir_error *reterr);
weir_status weir__pg_queue_set(weir_store *store, const char *queue, int pause,
			       int finished, weir_error *reterr);
weir_status weir__pg_schedule_put(weir_store *store,
				  const weir_schedule *schedule,
				  const struct weir_draft *draft,
				  weir_error *reterr);
weir_status weir__pg_schedule_delete(weir_store *store, const char *name,
				     weir_error *reterr);
weir_status weir__pg_schedule_pause(weir_store *store, const char *name,
				    bool pause, weir_error *reterr);
weir_status weir__pg_schedules(weir_store *store, weir_schedule_fn *row,
			       void *user, weir_error *reterr);
weir_status weir__pg_fire(weir_store *store, uint32_t limit,
			  uint32_t *ret_count, int64_t *ret_next_ms,
			  weir_error *reterr);

/* client.c */
weir_status weir__pg_enlist(weir_store *store, struct weir_owner *owner,
			    weir_error *reterr);
weir_status weir__pg_leave(weir_store *store, struct weir_owner *owner,
			   weir_error *reterr);
weir_status weir__pg_extend(weir_store *store, const struct weir_owner *owner,
			    weir_error *reterr);
weir_status weir__pg_clients(weir_store *store, weir_client_fn *row, void *user,
			     weir_error *reterr);

/* turn.c */
weir_status weir__pg_turn(weir_store *store, struct weir_turn *turn,
			  weir_error *reterr);

/* upkeep.c */
weir_status weir__pg_promote(weir_store *store, uint32_t limit,
			     uint32_t *ret_count, int64_t *ret_next_ms,
			     weir_error *reterr);
weir_status weir__pg_rescue(weir_store *store, int64_t client, int64_t beat,
			    uint32_t crashes_max, uint32_t limit,
			    uint32_t *ret_count, weir_error *reterr);
weir_status weir__pg_clean(weir_store *store,
			   const struct weir_retention *retention,
			   uint32_t limit, uint32_t *ret_count,
			   weir_error *reterr);

/*
 * listen.c.  The listener's thread starts with the first wake_fd.  Cancels
 * that it has heard of are taken by turns.
 */
int weir__pg_wake_fd(weir_store *store);
void weir__pg_hush(weir_store *store, int fd);
void weir__pg_wake(weir_store *store);
void weir__pg_listener_free(struct weir_pg *store);
/* Append the ids of cancels later than *seq, and bring that up to date. */
bool weir__pg_take_cancels(struct weir_pg *store, int64_t *seq,
			   struct weir_buf *ids);
/* insert.c: what open and close do for it. */
bool weir__pg_inserts_new(struct weir_pg *store);
void weir__pg_inserts_free(struct weir_pg *store);

/* hold.c: the same. */
bool weir__pg_holds_new(struct weir_pg *store);
void weir__pg_holds_free(struct weir_pg *store);

/* Notify, inside the transaction that the statements before it are in. */
void weir__pg_notify_insert(struct pg_link *conn, const char *queue)
	WEIR_REQUIRES(conn->mu);

#endif
