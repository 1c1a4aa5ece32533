/*
 * Migrations: which versions are there, and the way to others.
 *
 * Design.  Where River has noted its migrations they are believed; where it
 * has not, because somebody has brought its tables there by other means, the
 * tables tell, and then River's are left as they are.
 *
 * Each step is a transaction with the row that notes it, so that whoever dies
 * leaves a version that River knows.  An advisory lock for each schema is
 * around all of them: who comes second finds what the first has made.
 *
 * Ways up do River's tables before our own, and ways down the reverse, for our
 * rows stand in a table of River's.
 *
 * Locking: the mutex of the admin connection, for the whole way.
 */
#include "pg/migrate.h"

#include "base/assert.h"

#include <stdio.h>

/* The first half of the advisory lock's key: "weir". */
#define LOCK_CLASS 0x77656972

/* Since then river_migration has lines. */
#define RIVER_LINES 5

struct found {
	struct pg_versions versions;
	bool has_table; /* river_migration, with lines or without */
};

static const struct pg_sql lock_sql = {
	"migrate_lock",
	"SELECT pg_advisory_lock($1, hashtext(coalesce($2, current_schema(),"
	" '')))"};
static const struct pg_sql unlock_sql = {
	"migrate_unlock",
	"SELECT pg_advisory_unlock($1, hashtext(coalesce($2, current_schema(),"
	" '')))"};

/* What is there; the last is a version of River's by its tables. */
static const struct pg_sql tables_sql = {
	"migrate_tables",
	"SELECT to_regclass('@river_migration') IS NOT NULL,"
	" EXISTS (SELECT FROM pg_attribute WHERE attname = 'line'"
	"  AND attrelid = to_regclass('@river_migration')),"
	" CASE WHEN to_regclass('@weir_client') IS NULL THEN 0"
	"  WHEN to_regclass('@weir_limit') IS NULL THEN 1 ELSE 2 END,"
	" coalesce(to_regclass('@river_workflow'),"
	"  to_regclass('@river_producer'), to_regclass('@river_job_sequence'),"
	"  to_regclass('@river_periodic_job')) IS NOT NULL,"
	" CASE WHEN to_regclass('@river_job') IS NULL THEN 0"
	"  WHEN to_regclass('@river_notification') IS NOT NULL THEN 7"
	"  WHEN to_regclass('@river_job_unique_idx') IS NOT NULL THEN 6"
	"  WHEN to_regclass('@river_job_kind_unique_key_idx') IS NOT NULL"
	"  THEN 5"
	"  WHEN to_regclass('@river_queue') IS NOT NULL THEN 4"
	"  ELSE 3 END"};

static const struct pg_sql rows_sql = {
	"migrate_rows",
	"SELECT coalesce(max(version) FILTER (WHERE line = 'main'), 0),"
	" coalesce(max(version) FILTER (WHERE line = 'weir'), 0)"
	" FROM @river_migration"};
static const struct pg_sql old_rows_sql = {
	"migrate_old_rows",
	"SELECT coalesce(max(version), 0), 0 FROM @river_migration"};

static const struct pg_sql schema_sql = {
	"migrate_schema",
	"SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)"};

/* Helpers that need the lock; clang checks that whoever calls them has it. */
static weir_status find(struct pg_link *conn, struct found *ret,
			weir_error *reterr) WEIR_REQUIRES(conn->mu);
static weir_status find_rows(struct pg_link *conn, bool has_lines,
			     struct pg_versions *ret, weir_error *reterr)
	WEIR_REQUIRES(conn->mu);
static weir_status lock(struct pg_link *conn, const struct pg_sql *sql,
			weir_error *reterr) WEIR_REQUIRES(conn->mu);
static weir_status need_schema(struct pg_link *conn, weir_error *reterr)
	WEIR_REQUIRES(conn->mu);
static weir_status run_step(struct pg_link *conn, const char *text,
			    const char *note, weir_error *reterr)
	WEIR_REQUIRES(conn->mu);
static weir_status river_step(struct pg_link *conn, int from, int to,
			      weir_error *reterr) WEIR_REQUIRES(conn->mu);
static weir_status our_step(struct pg_link *conn, int from, int to,
			    bool has_table, weir_error *reterr)
	WEIR_REQUIRES(conn->mu);
static weir_status migrate_river(struct pg_link *conn, struct found *found,
				 int target, weir_error *reterr)
	WEIR_REQUIRES(conn->mu);
static weir_status migrate_ours(struct pg_link *conn, struct found *found,
				int target, weir_error *reterr)
	WEIR_REQUIRES(conn->mu);
static weir_status migrate_all(struct pg_link *conn, int river, int ours,
			       weir_error *reterr) WEIR_REQUIRES(conn->mu);
static weir_status find_settled(struct pg_link *conn, struct found *ret,
				weir_error *reterr) WEIR_REQUIRES(conn->mu);

static weir_status
find_rows(struct pg_link *conn, bool has_lines, struct pg_versions *ret,
	  weir_error *reterr)
{
	struct pg_params p = {0};
	PGresult *result = NULL;
	weir_status status;

	weir__pg_begin(&p);
	status = weir__pg_query(conn, has_lines ? &rows_sql : &old_rows_sql, &p,
				&result, reterr);
	if (status == WEIR_OK && weir__pg_get_int(result, 0, 0) > 0) {
		ret->river = (int)weir__pg_get_int(result, 0, 0);
		ret->has_rows = true;
	}
	/* Somebody may have taken our tables away, and not the rows. */
	if (status == WEIR_OK && weir__pg_get_int(result, 0, 1) > 0 &&
	    (ret->ours == PG_WEIR_VERSION ||
	     ret->ours > weir__pg_get_int(result, 0, 1)))
		ret->ours = (int)weir__pg_get_int(result, 0, 1);
	PQclear(result);
	weir__pg_params_fini(&p);
	return status;
}

static weir_status
find(struct pg_link *conn, struct found *ret, weir_error *reterr)
{
	struct pg_params p = {0};
	PGresult *result = NULL;
	bool has_lines = false;
	weir_status status;

	*ret = (struct found){0};
	weir__pg_begin(&p);
	status = weir__pg_query(conn, &tables_sql, &p, &result, reterr);
	if (status == WEIR_OK) {
		ret->has_table = weir__pg_get_bool(result, 0, 0);
		has_lines = weir__pg_get_bool(result, 0, 1);
		ret->versions.ours = (int)weir__pg_get_int(result, 0, 2);
		ret->versions.is_pro = weir__pg_get_bool(result, 0, 3);
		ret->versions.river = (int)weir__pg_get_int(result, 0, 4);
	}
	PQclear(result);
	weir__pg_params_fini(&p);
	if (status == WEIR_OK && ret->has_table)
		status = find_rows(conn, has_lines, &ret->versions, reterr);
	return status;
}

static weir_status
lock(struct pg_link *conn, const struct pg_sql *sql, weir_error *reterr)
{
	const char *schema = conn->store->schema;
	struct pg_params p = {0};
	weir_status status;

	weir__pg_begin(&p);
	weir__pg_int4(&p, LOCK_CLASS);
	weir__pg_text(&p, *schema ? schema : NULL, strlen(schema));
	status = weir__pg_query(conn, sql, &p, NULL, reterr);
	weir__pg_params_fini(&p);
	return status;
}

static bool
is_settled(const struct pg_versions *v)
{
	return (v->river == 0 && !v->has_rows) ||
	       (v->river >= PG_SCHEMA_OLDEST && v->ours >= PG_WEIR_VERSION);
}

/* If somebody may be in the midst of migrating, wait for the end of it. */
static weir_status
find_settled(struct pg_link *conn, struct found *ret, weir_error *reterr)
{
	weir_status status = weir__pg_ready(conn, reterr);

	if (status == WEIR_OK)
		status = find(conn, ret, reterr);
	if (status != WEIR_OK || is_settled(&ret->versions) ||
	    conn->store->is_pooled)
		return status;
	status = lock(conn, &lock_sql, reterr);
	if (status == WEIR_OK)
		status = find(conn, ret, reterr);
	if (status == WEIR_OK)
		status = lock(conn, &unlock_sql, reterr);
	return status;
}

weir_status
weir__pg_versions(struct weir_pg *store, struct pg_versions *ret,
		  weir_error *reterr)
{
	struct pg_link *conn = &store->admin;
	struct found found;
	weir_status status;

	weir__mutex_lock(&conn->mu);
	status = find_settled(conn, &found, reterr);
	weir__mutex_unlock(&conn->mu);
	if (status == WEIR_OK)
		*ret = found.versions;
	return status;
}

/* Not IF NOT EXISTS, which wants the right to make one though it is there. */
static weir_status
need_schema(struct pg_link *conn, weir_error *reterr)
{
	const char *schema = conn->store->schema;
	struct pg_params p = {0};
	PGresult *result = NULL;
	char text[PG_SCHEMA_MAX + 32];
	bool is_there = true;
	weir_status status;

	if (!*schema)
		return WEIR_OK;
	weir__pg_begin(&p);
	weir__pg_text(&p, schema, strlen(schema));
	status = weir__pg_query(conn, &schema_sql, &p, &result, reterr);
	if (status == WEIR_OK)
		is_there = weir__pg_get_bool(result, 0, 0);
	PQclear(result);
	weir__pg_params_fini(&p);
	if (status != WEIR_OK || is_there)
		return status;
	snprintf(text, sizeof(text), "CREATE SCHEMA \"%s\"", schema);
	return weir__pg_run(conn, text, reterr);
}

/*
 * One text is one transaction.  A sequential scan is what these statements
 * want; where it is held to be dear, the server would compile them first.
 */
static const char begin[] = "BEGIN; SET LOCAL enable_seqscan = on;";

static weir_status
run_step(struct pg_link *conn, const char *text, const char *note,
	 weir_error *reterr)
{
	struct weir_buf all = {0};
	weir_status status = WEIR_NOMEM;

	weir__buf_puts(&all, begin);
	weir__buf_puts(&all, text);
	weir__buf_puts(&all, note);
	weir__buf_puts(&all, "; COMMIT");
	if (!all.failed)
		status = weir__pg_run(conn, all.data, reterr);
	else
		(void)weir__queue_error(reterr, status, 0, "out of memory");
	weir__buf_fini(&all);
	return status;
}

/* From a version to the next or the one before. */
static weir_status
river_step(struct pg_link *conn, int from, int to, weir_error *reterr)
{
	bool is_up = to > from;
	char note[120] = "";

	weir_assert(to == from + 1 || to == from - 1);
	if (is_up && to >= RIVER_LINES)
		snprintf(note, sizeof(note),
			 "INSERT INTO @river_migration (line, version)"
			 " VALUES ('main', %d)",
			 to);
	else if (is_up)
		snprintf(note, sizeof(note),
			 "INSERT INTO @river_migration (version) VALUES (%d)",
			 to);
	else if (from > 1)
		snprintf(note, sizeof(note),
			 "DELETE FROM @river_migration WHERE %sversion = %d",
			 to >= RIVER_LINES ? "line = 'main' AND " : "", from);
	return run_step(conn,
			is_up ? weir__pg_river_steps[to].up
			      : weir__pg_river_steps[from].down,
			note, reterr);
}

static weir_status
our_step(struct pg_link *conn, int from, int to, bool has_table,
	 weir_error *reterr)
{
	bool is_up = to > from;
	char note[160] = "";

	weir_assert(to == from + 1 || to == from - 1);
	/* A row may be left of tables that were taken away by hand. */
	if (has_table && is_up)
		snprintf(note, sizeof(note),
			 "INSERT INTO @river_migration (line, version)"
			 " VALUES ('weir', %d) ON CONFLICT DO NOTHING",
			 to);
	else if (has_table)
		snprintf(note, sizeof(note),
			 "DELETE FROM @river_migration"
			 " WHERE line = 'weir' AND version = %d",
			 from);
	return run_step(conn,
			is_up ? weir__pg_our_steps[to].up
			      : weir__pg_our_steps[from].down,
			note, reterr);
}

static weir_status
migrate_river(struct pg_link *conn, struct found *found, int target,
	      weir_error *reterr)
{
	struct pg_versions *v = &found->versions;
	weir_status status = WEIR_OK;

	/* 7 and 8 are the same, so who is not noted need not be noted now. */
	if (v->river > 0 && !v->has_rows && v->river >= PG_SCHEMA_OLDEST &&
	    target >= PG_SCHEMA_OLDEST)
		return WEIR_OK;
	if (v->river > 0 && !v->has_rows && v->river != target)
		return weir__queue_error(
			reterr, WEIR_OLD, 0,
			"River's tables are there, but not what notes their"
			" migrations; migrate them as they were made");
	while (status == WEIR_OK && v->river != target) {
		int next = v->river + (target > v->river ? 1 : -1);

		status = river_step(conn, v->river, next, reterr);
		v->river = next;
	}
	found->has_table =
		v->has_rows ? v->river > 0 : found->has_table || v->river > 0;
	return status;
}

static weir_status
migrate_ours(struct pg_link *conn, struct found *found, int target,
	     weir_error *reterr)
{
	int *at = &found->versions.ours;
	weir_status status = WEIR_OK;

	while (status == WEIR_OK && *at != target) {
		int next = *at + (target > *at ? 1 : -1);

		status = our_step(conn, *at, next, found->has_table, reterr);
		*at = next;
	}
	return status;
}

static weir_status
migrate_all(struct pg_link *conn, int river, int ours, weir_error *reterr)
{
	struct found found;
	weir_status status = find(conn, &found, reterr);

	if (status != WEIR_OK)
		return status;
	if (found.versions.river > PG_SCHEMA_VERSION ||
	    found.versions.ours > PG_WEIR_VERSION)
		return weir__queue_error(reterr, WEIR_NEWER, 0,
					 "a newer version has made it");
	if (river > 0)
		status = need_schema(conn, reterr);
	if (status == WEIR_OK && ours < found.versions.ours)
		status = migrate_ours(conn, &found, ours, reterr);
	if (status == WEIR_OK)
		status = migrate_river(conn, &found, river, reterr);
	if (status == WEIR_OK)
		status = migrate_ours(conn, &found, ours, reterr);
	return status;
}

weir_status
weir__pg_migrate(struct weir_pg *store, int river, int ours, weir_error *reterr)
{
	struct pg_link *conn = &store->admin;
	weir_status status;

	weir_assert(river >= 0 && river <= PG_SCHEMA_VERSION);
	weir_assert(ours >= 0 && ours <= PG_WEIR_VERSION);
	weir_assert(ours == 0 || river >= PG_SCHEMA_OLDEST);
	/* Whoever else migrates is kept out by a lock of the session's. */
	if (conn->store->is_pooled)
		return weir__queue_error(reterr, WEIR_INVAL, 0,
					 "tables are made and changed with a "
					 "url without listen=off, past the "
					 "pooler");
	weir__mutex_lock(&conn->mu);
	status = weir__pg_ready(conn, reterr);
	if (status == WEIR_OK)
		status = lock(conn, &lock_sql, reterr);
	if (status == WEIR_OK)
		status = migrate_all(conn, river, ours, reterr);
	if (status == WEIR_OK)
		status = lock(conn, &unlock_sql, reterr);
	/* Whatever else holds for this session, the lock goes with it. */
	if (status != WEIR_OK)
		weir__pg_disconnect(conn);
	weir__mutex_unlock(&conn->mu);
	return status;
}
