/*
 * What `weir db` asks: facts, a look for what is wrong, other versions.
 *
 * Design.  What River's clients take for granted of a row is not what the
 * database makes sure of: the types and checks of the tables let much pass
 * that ends a whole batch of somebody's when it is read.  So check looks for
 * that, whoever has written it, and for jobs that nobody will end.
 *
 * Jobs that run elsewhere are none of our business: only those whose owner has
 * a name of our form are looked for among our clients.
 *
 * Locking: the mutex of the admin connection, by way of weir__pg_ask() and
 * migrate.c.
 */
#include "pg/admin.h"

#include "base/assert.h"
#include "pg/pg.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static_assert(WEIR_PG_RIVER_NEWEST == PG_SCHEMA_VERSION &&
		      WEIR_PG_RIVER_OLDEST == PG_SCHEMA_OLDEST &&
		      WEIR_PG_OURS_NEWEST == PG_WEIR_VERSION,
	      "the same versions");

weir_status
weir__pg_look(weir_store **out, const char *url, bool read_only,
	      weir_error *reterr)
{
	weir_store_options options = WEIR_STORE_OPTIONS_INIT;

	options.url = url;
	options.read_only = read_only;
	return weir__pg_open_any(out, url, &options, reterr);
}

static const struct pg_sql info_sql = {
	"info",
	"SELECT current_setting('server_version'), current_schema()::text,"
	" current_database()::text, current_user::text, pg_is_in_recovery(),"
	" pg_backend_pid(), (SELECT count(*) FROM pg_stat_activity"
	"  WHERE application_name LIKE 'weir %'"
	"  AND datname = current_database())"};

static void
copy_text(char *to, size_t size, const PGresult *result, int column)
{
	size_t len;
	const char *text = weir__pg_get_text(result, 0, column, &len);

	snprintf(to, size, "%.*s", (int)len, text);
}

/* A pooler gives each of its clients a number of its own. */
static bool
is_pooled(struct weir_pg *store, int64_t backend)
{
	struct pg_link *conn = &store->admin;
	bool pooled;

	weir__mutex_lock(&conn->mu);
	pooled = conn->pg && PQbackendPID(conn->pg) != backend;
	weir__mutex_unlock(&conn->mu);
	return pooled;
}

weir_status
weir__pg_info(weir_store *base, struct weir_pg_info *ret, weir_error *reterr)
{
	struct weir_pg *store = weir__pg_of(base);
	struct pg_versions versions = {0};
	struct pg_params p = {0};
	PGresult *result = NULL;
	weir_status status;

	memset(ret, 0, sizeof(*ret));
	status = weir__pg_versions(store, &versions, reterr);
	weir__pg_begin(&p);
	if (status == WEIR_OK)
		status = weir__pg_ask(&store->admin, &info_sql, &p, &result,
				      reterr);
	if (status == WEIR_OK) {
		copy_text(ret->server_version, sizeof(ret->server_version),
			  result, 0);
		copy_text(ret->schema, sizeof(ret->schema), result, 1);
		copy_text(ret->database, sizeof(ret->database), result, 2);
		copy_text(ret->user, sizeof(ret->user), result, 3);
		ret->is_standby = weir__pg_get_bool(result, 0, 4);
		ret->has_pooler =
			is_pooled(store, weir__pg_get_int(result, 0, 5));
		ret->sessions = (uint64_t)weir__pg_get_int(result, 0, 6);
		ret->river = versions.river;
		ret->ours = versions.ours;
		ret->is_noted = versions.has_rows;
		ret->has_pro = versions.is_pro;
	}
	if (*store->schema)
		snprintf(ret->schema, sizeof(ret->schema), "%s", store->schema);
	PQclear(result);
	weir__pg_params_fini(&p);
	return status;
}

/*
 * What is wrong, a row for each.  Only what stands in errors, args and
 * metadata can be wrong in itself: all else has a type.
 */
#define TIME_PATTERN                                         \
	"'^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:" \
	"[0-9]{2}([.][0-9]+)?([Zz]|[+-][0-9]{2}:[0-9]{2})$'"

static const struct pg_sql plans_sql = {"check_plans",
					"SET LOCAL enable_seqscan = on"};

static const struct pg_sql rules_sql = {
	"check_rules",
	"(SELECT format('job %s has args that are no JSON object', id)"
	"  FROM @river_job WHERE jsonb_typeof(args) <> 'object'"
	"  ORDER BY id LIMIT 100)"
	" UNION ALL (SELECT format('job %s has metadata that are no JSON"
	" object', id) FROM @river_job"
	"  WHERE jsonb_typeof(metadata) <> 'object' ORDER BY id LIMIT 100)"
	" UNION ALL (SELECT format('job %s has an error that River''s clients"
	" cannot read: %s', j.id, coalesce(left(e.error::text, 60), 'null'))"
	"  FROM @river_job j, unnest(j.errors) e (error)"
	"  WHERE e.error IS NULL OR jsonb_typeof(e.error) <> 'object'"
	"  OR coalesce(e.error ->> 'at', '') !~ " TIME_PATTERN
	"  OR coalesce(jsonb_typeof(e.error -> 'attempt'), '') <> 'number'"
	"  ORDER BY j.id LIMIT 100)"
	" UNION ALL (SELECT format('job %s has a unique key of %s bytes, not"
	" 32', id, octet_length(unique_key)) FROM @river_job"
	"  WHERE octet_length(unique_key) <> 32 ORDER BY id LIMIT 100)"
	" UNION ALL (SELECT format('job %s has a unique key and no states for"
	" it, or the reverse', id) FROM @river_job"
	"  WHERE (unique_key IS NULL) <> (unique_states IS NULL)"
	"  ORDER BY id LIMIT 100)"
	" UNION ALL (SELECT format('job %s runs, and nobody has taken it', id)"
	"  FROM @river_job WHERE state = 'running' AND (attempted_at IS NULL"
	"  OR coalesce(cardinality(attempted_by), 0) = 0)"
	"  ORDER BY id LIMIT 100)"
	" UNION ALL (SELECT format('job %s runs, and its worker %s does not"
	" work the store any more', j.id, j.attempted_by[array_upper("
	"j.attempted_by, 1)]) FROM @river_job j WHERE j.state = 'running'"
	"  AND j.attempted_by[array_upper(j.attempted_by, 1)]"
	"   ~ '#[0-9]{1,18}$' AND NOT EXISTS (SELECT FROM @weir_client c"
	"   WHERE c.name || '#' || c.id"
	"   = j.attempted_by[array_upper(j.attempted_by, 1)])"
	"  ORDER BY j.id LIMIT 100)"};

static const struct pg_sql tables_sql = {
	"check_tables",
	"SELECT format('River''s migration %s is not noted', n)"
	" FROM generate_series(1, $1::int) n"
	" WHERE to_regclass('@river_migration') IS NOT NULL"
	"  AND NOT EXISTS (SELECT FROM @river_migration m"
	"   WHERE m.line = 'main' AND m.version = n)"
	" UNION ALL SELECT format('the index %s is missing', n)"
	" FROM unnest(ARRAY['river_job_pkey', 'river_job_kind',"
	"  'river_job_state_and_finalized_at_index',"
	"  'river_job_prioritized_fetching_index', 'river_job_args_index',"
	"  'river_job_metadata_index', 'river_job_unique_idx']) n"
	" WHERE NOT EXISTS (SELECT FROM pg_index i"
	"  JOIN pg_class c ON c.oid = i.indexrelid"
	"  WHERE i.indrelid = to_regclass('@river_job') AND c.relname = n)"
	" UNION ALL SELECT format('the index %s is invalid', c.relname)"
	" FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid"
	" WHERE i.indrelid = to_regclass('@river_job')"
	"  AND NOT (i.indisvalid AND i.indisready)"};

struct findings {
	void (*finding)(const char *text, void *user);
	void *user;
	unsigned count;
};

static void
give(struct findings *findings, const PGresult *result)
{
	for (int i = 0; i < PQntuples(result); i++) {
		findings->count++;
		/* libpq ends each value with a NUL. */
		findings->finding(PQgetvalue(result, i, 0), findings->user);
	}
}

weir_status
weir__pg_check(weir_store *base, void (*finding)(const char *text, void *user),
	       void *user, weir_error *reterr)
{
	struct pg_link *conn = &weir__pg_of(base)->admin;
	struct findings findings = {finding, user, 0};
	struct pg_params p = {0}, q = {0};
	PGresult *results[3] = {NULL};
	struct pg_versions versions = {0};
	weir_status status;

	status = weir__pg_versions(weir__pg_of(base), &versions, reterr);
	if (status != WEIR_OK)
		return status;
	weir__pg_begin(&p);
	weir__pg_begin(&q);
	weir__pg_int4(&q, versions.river);
	weir__mutex_lock(&conn->mu);
	status = weir__pg_ready(conn, reterr);
	if (status == WEIR_OK) {
		weir__pg_send(conn, &plans_sql, &p);
		weir__pg_send(conn, &tables_sql, &q);
		weir__pg_send(conn, &rules_sql, &p);
		status = weir__pg_sync(conn, results, reterr);
	}
	weir__mutex_unlock(&conn->mu);
	for (size_t i = 1; i < 3 && status == WEIR_OK; i++)
		give(&findings, results[i]);
	for (size_t i = 0; i < 3; i++)
		PQclear(results[i]);
	weir__pg_params_fini(&p);
	weir__pg_params_fini(&q);
	if (status == WEIR_OK && findings.count > 0)
		status = weir__queue_error(reterr, WEIR_CORRUPT, 0,
					   "%u findings", findings.count);
	return status;
}

static const struct pg_sql jobs_sql = {"loss_jobs",
				       "SELECT count(*) FROM @river_job"};
static const struct pg_sql ours_sql = {
	"loss_ours", "SELECT (SELECT count(*) FROM @weir_schedule),"
		     " (SELECT count(*) FROM @weir_archive)"};
static const struct pg_sql limits_sql = {"loss_limits",
					 "SELECT count(*) FROM @weir_limit"};

weir_status
weir__pg_loss(weir_store *base, int river, struct weir_pg_loss *ret,
	      weir_error *reterr)
{
	struct weir_pg *store = weir__pg_of(base);
	struct pg_versions versions = {0};
	PGresult *jobs = NULL, *ours = NULL, *limits = NULL;
	struct pg_params p = {0};
	weir_status status = weir__pg_versions(store, &versions, reterr);

	memset(ret, 0, sizeof(*ret));
	weir__pg_begin(&p);
	/* Jobs came with the second. */
	if (status == WEIR_OK && river < 2 && versions.river >= 2)
		status = weir__pg_ask(&store->admin, &jobs_sql, &p, &jobs,
				      reterr);
	if (status == WEIR_OK && river < PG_SCHEMA_OLDEST && versions.ours > 0)
		status = weir__pg_ask(&store->admin, &ours_sql, &p, &ours,
				      reterr);
	/* Limits came with our second. */
	if (status == WEIR_OK && river < PG_SCHEMA_OLDEST && versions.ours > 1)
		status = weir__pg_ask(&store->admin, &limits_sql, &p, &limits,
				      reterr);
	if (status == WEIR_OK && jobs)
		ret->jobs = (uint64_t)weir__pg_get_int(jobs, 0, 0);
	if (status == WEIR_OK && ours) {
		ret->schedules = (uint64_t)weir__pg_get_int(ours, 0, 0);
		ret->archived = (uint64_t)weir__pg_get_int(ours, 0, 1);
	}
	if (status == WEIR_OK && limits)
		ret->limits = (uint64_t)weir__pg_get_int(limits, 0, 0);
	PQclear(jobs);
	PQclear(ours);
	PQclear(limits);
	weir__pg_params_fini(&p);
	return status;
}

weir_status
weir__pg_bring_to(weir_store *base, int river, weir_error *reterr)
{
	int ours = river >= PG_SCHEMA_OLDEST ? PG_WEIR_VERSION : 0;

	if (river < 0 || river > PG_SCHEMA_VERSION)
		return weir__queue_error(reterr, WEIR_INVAL, 0,
					 "there is no version %d; the newest is"
					 " %d",
					 river, PG_SCHEMA_VERSION);
	return weir__pg_migrate(weir__pg_of(base), river, ours, reterr);
}

const char *
weir__pg_river_what(int version)
{
	static const char *const whats[] = {
		"the list of migrations",
		"jobs, and who leads",
		"tags are never missing",
		"queues, the state pending",
		"lines of migrations, unique keys",
		"unique keys with states",
		"notifications, defaults",
		"nothing new here, but for SQLite",
	};

	static_assert(sizeof(whats) / sizeof(whats[0]) == PG_SCHEMA_VERSION,
		      "one each");
	return version >= 1 && version <= PG_SCHEMA_VERSION ? whats[version - 1]
							    : NULL;
}

const char *
weir__pg_our_what(int version)
{
	if (version == 1)
		return "workers, suspects, archives, schedules";
	return version == 2 ? "limits of kinds" : NULL;
}
