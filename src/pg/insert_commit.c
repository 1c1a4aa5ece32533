/*
 * The commit of an insert, and what became of it if the connection was lost.
 *
 * Design.  Nothing is lost or doubled with a connection.  COMMIT is sent only
 * after the results of all else have come, ids and the transaction's number
 * among them:
 *
 *      ──BEGIN, INSERT, NOTIFY──>   <──ids, xid──   ──COMMIT──>   <──OK──
 *              lost here: not committed, sent again      │
 *                              lost here: the database knows, by the xid
 *
 * One more round trip is the price, which callers that wait meanwhile share.
 * A number that the backend sends early would not do: it might be lost with
 * the connection, and the commit go on.  So it is COMMIT that has to wait.
 *
 * What the database knows by the number of a transaction holds as long as it
 * has not crashed since: one that was not on the disk by then is no more, and
 * its number is given out again.  So if it was started since, only a row of
 * ours, which is known by its id and its time, proves that we were committed.
 * The same holds of a replica that was promoted, which may never have heard of
 * us: that shows in its timeline.
 *
 * Locking: the mutex of the connection is the caller's.
 */
#include "pg/insert.h"

#include "sync/park.h"

#include <string.h>

/*
 * Our old session is ended if it is still there; then it has ended one way or
 * the other.  It is known by its transaction: with a pooler in between, libpq
 * does not know its process; who has its number now, but did not begin when we
 * did, is somebody else.  The order of the two statements matters: a number
 * that is not ended by now and that no session has is of before a crash.
 */
static const struct pg_sql end_session = {
	"insert_end",
	"SELECT count(*), count(*) FILTER (WHERE pg_terminate_backend(pid))"
	" FROM pg_stat_activity"
	" WHERE backend_xid = ($1::int8 % 4294967296)::text::xid"
	" AND date_trunc('milliseconds', xact_start) = $2::timestamptz"};
static const struct pg_sql ask_status = {
	"insert_status",
	"SELECT CASE WHEN $1::int8::text::xid8 <"
	"  pg_snapshot_xmax(pg_current_snapshot())"
	"  THEN pg_xact_status($1::int8::text::xid8)"
	"  ELSE 'in progress' END,"
	" EXISTS (SELECT FROM @river_job WHERE id = $2"
	"  AND date_trunc('milliseconds', created_at) = $3::timestamptz),"
	" greatest(pg_postmaster_start_time(),"
	"  (SELECT stats_reset FROM pg_stat_bgwriter)) >= $4::timestamptz"
	" OR " PG_TIMELINE " <> $5"};

/* A row that was new, and the time that it was created at. */
static void
put_proof(struct pg_params *p, const struct pg_rows *rows)
{
	int64_t id = 0, at_ms = rows->at_ms;

	for (size_t i = 0; i < rows->count && id == 0; i++)
		if (!rows->all[i].made.duplicate) {
			id = rows->all[i].made.id;
			if (rows->store->has_clock)
				at_ms = rows->all[i].draft->created_at_ms;
		}
	weir__pg_int8(p, id);
	weir__pg_time(p, at_ms);
	weir__pg_time(p, rows->at_ms);
	weir__pg_int8(p, rows->timeline);
}

enum outcome { NOT_COMMITTED, COMMITTED, NOT_YET, NOT_KNOWN };

static enum outcome
outcome_of(PGresult *const results[2])
{
	size_t len;
	const char *status = weir__pg_get_text(results[1], 0, 0, &len);
	bool found = weir__pg_get_bool(results[1], 0, 1);
	bool restarted = weir__pg_get_bool(results[1], 0, 2);

	if (found)
		return COMMITTED;
	if (len == strlen("in progress"))
		return weir__pg_get_int(results[0], 0, 0) > 0 ? NOT_YET
							      : NOT_COMMITTED;
	if (len == strlen("aborted") && memcmp(status, "aborted", len) == 0)
		return NOT_COMMITTED;
	if (len == strlen("committed") && !restarted)
		return COMMITTED;
	return NOT_KNOWN;
}

static enum outcome ask_outcome(struct pg_link *conn,
				const struct pg_rows *rows)
	WEIR_REQUIRES(conn->mu);

static enum outcome
ask_outcome(struct pg_link *conn, const struct pg_rows *rows)
{
	struct pg_params p = {0}, q = {0};
	PGresult *results[2] = {NULL, NULL};
	enum outcome outcome = NOT_YET;
	weir_error error;

	if (weir__pg_ready(conn, &error) != WEIR_OK)
		return NOT_YET;
	weir__pg_begin(&p);
	weir__pg_int8(&p, rows->xid);
	weir__pg_time(&p, rows->at_ms);
	weir__pg_begin(&q);
	weir__pg_int8(&q, rows->xid);
	put_proof(&q, rows);
	weir__pg_send(conn, &end_session, &p);
	weir__pg_send(conn, &ask_status, &q);
	if (weir__pg_sync(conn, results, &error) == WEIR_OK)
		outcome = outcome_of(results);
	PQclear(results[0]);
	PQclear(results[1]);
	weir__pg_params_fini(&p);
	weir__pg_params_fini(&q);
	return outcome;
}

/*
 * The connection was lost with the COMMIT.  Until the database is there again
 * or for as long as it may be busy, and a little.
 */
static weir_status settle(struct pg_link *conn, const struct pg_rows *rows,
			  weir_error *reterr) WEIR_REQUIRES(conn->mu);

static weir_status
settle(struct pg_link *conn, const struct pg_rows *rows, weir_error *reterr)
{
	int64_t deadline_ns =
		weir_now_ns() + conn->store->busy_ns + 20 * WEIR_S;
	int64_t pause_ns = 2 * WEIR_MS;
	enum outcome outcome;
	struct weir_park nobody;

	while ((outcome = ask_outcome(conn, rows)) == NOT_YET &&
	       weir_now_ns() < deadline_ns) {
		weir__park_init(&nobody);
		(void)weir__park_wait(&nobody, weir_now_ns() + pause_ns);
		pause_ns = pause_ns < WEIR_S ? pause_ns * 2 : WEIR_S;
	}
	switch (outcome) {
	case COMMITTED:
		return WEIR_OK;
	case NOT_COMMITTED:
		conn->lost = true; /* worth another try */
		return reterr->status;
	case NOT_YET:
	case NOT_KNOWN:
		break;
	}
	conn->lost = false;
	return weir__queue_error(reterr, WEIR_SYSTEM, 0,
				 "the connection was lost, and whether the "
				 "jobs were inserted is not known");
}

weir_status
weir__pg_rows_commit(struct pg_link *conn, const struct pg_rows *rows,
		     weir_error *reterr)
{
	struct pg_params none = {0};
	weir_status status;

	status =
		weir__pg_query(conn, &weir__pg_commit_sql, &none, NULL, reterr);
	if (status != WEIR_OK && conn->lost)
		return settle(conn, rows, reterr);
	return status;
}
