/*
 * Inside a transaction of the caller's own, on the caller's own connection.
 *
 * Design.  The same statements, but sent one by one and not prepared, for the
 * connection is the caller's, and may be one of a pool.  Nothing is set on it,
 * and there is no savepoint, as River's clients have none: an error ends the
 * caller's transaction, as one of the caller's own statements would.
 *
 * The schema is always named, because the caller's search_path is the
 * caller's.
 *
 * Completing an effect and its job together rests on the fence: if the job is
 * somebody else's by now, nothing is changed, and STALE tells the caller to
 * roll back what it has done.
 */
#include "base/assert.h"
#include "pg/insert.h"
#include "pg/row.h"
#include "pg/hold.h"

#include <string.h>

/* Is pg in a transaction, of this store's database? */
static weir_status
check(struct weir_pg *store, PGconn *pg, weir_error *reterr)
{
	struct pg_link *conn = &store->admin;
	weir_status status;
	bool same;

	if (PQstatus(pg) != CONNECTION_OK)
		return weir__queue_error(reterr, WEIR_INVAL, 0,
					 "the connection is lost");
	if (PQpipelineStatus(pg) != PQ_PIPELINE_OFF)
		return weir__queue_error(reterr, WEIR_INVAL, 0,
					 "the connection is in pipeline mode");
	if (PQtransactionStatus(pg) != PQTRANS_INTRANS)
		return weir__queue_error(reterr, WEIR_INVAL, 0,
					 "the connection has no transaction");
	weir__mutex_lock(&conn->mu);
	status = weir__pg_ready(conn, reterr);
	same = status == WEIR_OK && strcmp(PQdb(conn->pg), PQdb(pg)) == 0;
	weir__mutex_unlock(&conn->mu);
	if (status == WEIR_OK && !same)
		return weir__queue_error(
			reterr, WEIR_INVAL, 0,
			"the connection is to another database");
	return status;
}

/* The text with the schema in it: channel_prefix is that and a dot. */
static bool
put_text(struct weir_buf *buf, PGconn *pg, const struct weir_pg *store,
	 const char *text)
{
	size_t len = strlen(store->channel_prefix);
	char *schema;

	weir_assert(len > 0);
	schema = PQescapeIdentifier(pg, store->channel_prefix, len - 1);
	if (!schema)
		return false;
	for (; *text != '\0'; text++) {
		if (*text != '@') {
			weir__buf_putc(buf, *text);
			continue;
		}
		weir__buf_puts(buf, schema);
		weir__buf_putc(buf, '.');
	}
	PQfreemem(schema);
	return !buf->failed;
}

/* Have a statement done; *ret is the caller's to PQclear() in any case. */
static weir_status
run(PGconn *pg, const struct weir_pg *store, const struct pg_sql *sql,
    const struct pg_params *p, PGresult **ret, weir_error *reterr)
{
	const char *values[PG_PARAMS_MAX];
	int formats[PG_PARAMS_MAX];
	struct weir_buf text = {0};

	*ret = NULL;
	if (!put_text(&text, pg, store, sql->text) || p->bytes.failed) {
		weir__buf_fini(&text);
		return weir__queue_error(reterr, WEIR_NOMEM, 0,
					 "out of memory");
	}
	for (int i = 0; i < p->count; i++) {
		formats[i] = 1;
		values[i] = p->nulls[i] ? NULL
					: weir__buf_str(&p->bytes) + p->at[i];
	}
	*ret = PQexecParams(pg, text.data, p->count, p->types, values,
			    p->lengths, formats, 1);
	weir__buf_fini(&text);
	if (PQresultStatus(*ret) == PGRES_COMMAND_OK ||
	    PQresultStatus(*ret) == PGRES_TUPLES_OK)
		return WEIR_OK;
	return weir__pg_failed(pg, *ret, reterr);
}

static weir_status
run_rows(PGconn *pg, struct pg_rows *rows, weir_error *reterr)
{
	PGresult *results[PG_SENT_MAX] = {NULL};
	const struct pg_sql *sql;
	weir_status status = WEIR_OK;
	size_t count = 0;

	while (status == WEIR_OK && (sql = weir__pg_rows_next(rows))) {
		weir_assert(count < PG_SENT_MAX);
		status = run(pg, rows->store, sql, &rows->params,
			     &results[count++], reterr);
	}
	if (status == WEIR_OK && !weir__pg_rows_take(rows, results))
		status = weir__queue_error(reterr, WEIR_CORRUPT, 0,
					   "other rows came back than were "
					   "inserted");
	for (size_t i = 0; i < count; i++)
		PQclear(results[i]);
	return status;
}

weir_status
weir__pg_insert_tx(weir_store *store, void *db, const struct weir_draft *drafts,
		   size_t count, weir_inserted *rets, weir_error *reterr)
{
	struct pg_rows rows;
	weir_status status = check(weir__pg_of(store), db, reterr);

	weir_assert(count > 0);
	if (status == WEIR_OK)
		status = weir__pg_rows_init(&rows, weir__pg_of(store), count,
					    reterr);
	if (status != WEIR_OK)
		return status;
	for (size_t i = 0; i < count; i++)
		weir__pg_rows_add(&rows, &drafts[i]);
	weir__pg_rows_plan(&rows);
	status = run_rows(db, &rows, reterr);
	for (size_t i = 0; status == WEIR_OK && rets && i < count; i++)
		rets[i] = rows.all[i].made;
	weir__pg_rows_fini(&rows);
	return status;
}

/*
 * 1 id, 2 attempt, 3 attempted_at, 4 owner, 5 now, 6 output.  The transaction
 * may have begun before the job did, so now() will not do.
 */
#define FENCED                                                     \
	"j.id = $1::int8 AND j.state::text = 'running'"            \
	" AND j.attempt = $2 AND j.attempted_at = $3::timestamptz" \
	" AND " PG_ROW_LAST_BY " = $4::text"
#define NOW "coalesce($5::timestamptz, clock_timestamp())"
/* It need not hold its key while it runs, and may not get it now. */
#define GIVES_UP                                 \
	"(" PG_ROW_KEY_IS_TAKEN " AND coalesce(" \
	"@river_job_state_in_bitmask(j.unique_states, 'completed'), false))"

static const struct pg_sql complete = {
	"tx_complete",
	"WITH gone AS (DELETE FROM @river_job j USING @weir_queue w"
	"  WHERE " FENCED " AND w.name = j.queue AND w.finished <> 0"
	"  RETURNING j.*, w.finished),"
	" archived AS (INSERT INTO @weir_archive (id, queue, kind, attempt,"
	"  created_at, attempted_at, finalized_at, attempted_by, output, args)"
	"  SELECT j.id, j.queue, j.kind, j.attempt, j.created_at,"
	"   j.attempted_at, " NOW ", regexp_replace(" PG_ROW_LAST_BY ","
	"   '#[0-9]+$', ''), coalesce($6::jsonb,"
	"   j.metadata -> '" PG_OUTPUT_KEY "'), j.args"
	"  FROM gone j WHERE j.finished = 1),"
	" kept AS (UPDATE @river_job j SET state = 'completed',"
	"  finalized_at = " NOW ","
	"  metadata = CASE WHEN $6::jsonb IS NULL THEN j.metadata "
	"ELSE " PG_ROW_OBJECT " || jsonb_build_object('" PG_OUTPUT_KEY
	"', $6) END,"
	"  unique_key = CASE WHEN " GIVES_UP " THEN NULL"
	"   ELSE j.unique_key END,"
	"  unique_states = CASE WHEN " GIVES_UP " THEN NULL"
	"   ELSE j.unique_states END"
	"  WHERE " FENCED " AND NOT EXISTS (SELECT FROM @weir_queue w"
	"   WHERE w.name = j.queue AND w.finished <> 0) RETURNING j.id),"
	" done AS (SELECT id FROM gone UNION ALL SELECT id FROM kept),"
	" innocent AS (DELETE FROM @weir_suspect s USING done"
	"  WHERE s.job = done.id)"
	" SELECT count(*) FROM done"};

/*
 * Nothing was completed, and yet the job is ours: a caller of REPEATABLE READ
 * sees what was before it was claimed, or before its hold was spilled.  That is
 * not 40001, for what it sees has no such job that runs; but it comes to the
 * same.
 */
static const struct pg_sql fence_holds = {
	"tx_fence_holds", "SELECT 1 FROM @river_job j WHERE " FENCED};

static const struct pg_sql sees_before = {
	"tx_sees_before",
	"SELECT 1 FROM @river_job j WHERE j.id = $1::int8"
	" AND (j.attempted_at < $2::timestamptz OR j.attempted_at IS NULL)"};

static void
put_fence(struct pg_params *p, const struct weir_claim *claim, const char *name)
{
	weir__pg_begin(p);
	weir__pg_int8(p, claim->row.id);
	weir__pg_int2(p, (int)claim->row.attempt);
	weir__pg_time(p, claim->row.attempted_at_ms);
	weir__pg_text(p, name, strlen(name));
}

/* BUSY, if the caller's transaction is too old to see that we have it. */
static weir_status
judge_none(struct weir_pg *store, PGconn *pg, const struct weir_claim *claim,
	   const char *name, weir_error *reterr)
{
	struct pg_params p = {0};
	PGresult *now = NULL, *then = NULL;
	weir_status status;
	bool is_ours, sees_past = false;

	put_fence(&p, claim, name);
	status = weir__pg_ask(&store->admin, &fence_holds, &p, &now, reterr);
	is_ours = status == WEIR_OK && PQntuples(now) > 0;
	if (is_ours) {
		weir__pg_begin(&p);
		weir__pg_int8(&p, claim->row.id);
		weir__pg_time(&p, claim->row.attempted_at_ms);
		status = run(pg, store, &sees_before, &p, &then, reterr);
		sees_past = status == WEIR_OK && PQntuples(then) > 0;
	}
	if (sees_past)
		status = weir__queue_error(
			reterr, WEIR_BUSY, 0,
			"the transaction is older than the job's claim");
	else if (status == WEIR_OK)
		status = weir__queue_error(reterr, WEIR_STALE, 0,
					   "somebody else has the job");
	PQclear(now);
	PQclear(then);
	weir__pg_params_fini(&p);
	return status;
}

weir_status
weir__pg_complete_tx(weir_store *store, const struct weir_owner *owner,
		     const struct weir_claim *claim, void *db,
		     const char *output, size_t output_len, weir_error *reterr)
{
	char name[PG_OWNER_MAX];
	struct pg_params p = {0};
	PGresult *result = NULL;
	weir_status status = check(weir__pg_of(store), db, reterr);

	if (status != WEIR_OK)
		return status;
	/* The caller's transaction has to see that the job runs. */
	weir__pg_holds_spill(weir__pg_of(store), &claim->row.id, 1, true);
	weir__pg_owner(name, owner->name, owner->id);
	put_fence(&p, claim, name);
	weir__pg_now(&p, weir__pg_of(store));
	weir__pg_json(&p, output, output_len);
	status = run(db, weir__pg_of(store), &complete, &p, &result, reterr);
	if (status == WEIR_OK && weir__pg_get_int(result, 0, 0) == 0)
		status =
			judge_none(weir__pg_of(store), db, claim, name, reterr);
	PQclear(result);
	weir__pg_params_fini(&p);
	return status;
}
