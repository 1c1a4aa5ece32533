/*
 * Limits of kinds: set, removed, listed.  What they do is in limit.c.
 *
 * Design.  A limit that is changed keeps its bucket: the tokens that it has by
 * the old rate, as far as the new burst lets it.  A new one starts full.  The
 * row is locked by whoever claims by it, for the time of a statement; a change
 * waits for that.
 *
 * Who waits for a place is told: it may be there now.
 */
#include "pg/limit.h"

#include "base/assert.h"

#include <string.h>

/* 1 kind, 2 most and 3 rate, 0 for NULL; 4 burst, 5 now */
#define NOW "coalesce($5::timestamptz, now())"
static const struct pg_sql put_sql = {
	"limit_put",
	"INSERT INTO @weir_limit AS l (kind, most, rate, burst, tokens,"
	" refilled_at, since) VALUES ($1::text, nullif($2, 0),"
	" nullif($3, 0::float8), $4, $4, " NOW ", " NOW ")"
	" ON CONFLICT (kind) DO UPDATE SET most = excluded.most,"
	" rate = excluded.rate, burst = excluded.burst,"
	" tokens = CASE WHEN l.rate IS NULL THEN excluded.burst ELSE least("
	"excluded.burst, " PG_TOKENS NOW PG_TOKENS_END ") END,"
	" refilled_at = greatest(l.refilled_at, excluded.refilled_at)"};

static const struct pg_sql delete_sql = {
	"limit_delete",
	"DELETE FROM @weir_limit WHERE kind = $1::text RETURNING 1"};

/* $1: now */
static const struct pg_sql list_sql = {
	"limit_list",
	"WITH n AS MATERIALIZED (SELECT j.kind,"
	" count(*) FILTER (WHERE j.state::text = 'running') AS running,"
	" count(*) FILTER (WHERE j.state::text = 'available' AND"
	" j.scheduled_at <= coalesce($1::timestamptz, now())) AS waiting"
	" FROM @river_job j WHERE j.state IN ('available', 'running')"
	" AND j.kind || '' = ANY (ARRAY(SELECT kind FROM @weir_limit))"
	" GROUP BY j.kind)"
	" SELECT l.kind, coalesce(l.most, 0), l.rate, l.burst,"
	" coalesce(n.running, 0), coalesce(n.waiting, 0)"
	" FROM @weir_limit l LEFT JOIN n ON n.kind = l.kind"
	" ORDER BY l.kind COLLATE \"C\""};

weir_status
weir__pg_limit_put(weir_store *store, const weir_kind_limit *limit,
		   weir_error *reterr)
{
	struct weir_pg *pg = weir__pg_of(store);
	struct pg_params p = {0};
	weir_status status;

	weir_assert(limit->burst > 0 && limit->burst <= INT32_MAX);
	weir_assert(limit->most <= INT32_MAX);
	weir__pg_begin(&p);
	weir__pg_text(&p, limit->kind, strlen(limit->kind));
	weir__pg_int4(&p, (int32_t)limit->most);
	weir__pg_float8(&p, limit->per_second);
	weir__pg_int4(&p, (int32_t)limit->burst);
	weir__pg_now(&p, pg);
	status = weir__pg_ask(&pg->admin, &put_sql, &p, NULL, reterr);
	weir__pg_params_fini(&p);
	if (status == WEIR_OK)
		weir__pg_wake(store);
	return status;
}

weir_status
weir__pg_limit_delete(weir_store *store, const char *kind, weir_error *reterr)
{
	struct weir_pg *pg = weir__pg_of(store);
	struct pg_params p = {0};
	PGresult *result = NULL;
	weir_status status;

	weir__pg_begin(&p);
	weir__pg_text(&p, kind, strlen(kind));
	status = weir__pg_ask(&pg->admin, &delete_sql, &p, &result, reterr);
	weir__pg_params_fini(&p);
	if (status == WEIR_OK && PQntuples(result) == 0)
		status =
			weir__queue_error(reterr, WEIR_NOTFOUND, 0,
					  "the kind \"%s\" has no limit", kind);
	else if (status == WEIR_OK)
		weir__pg_wake(store);
	PQclear(result);
	return status;
}

weir_status
weir__pg_limit_list(weir_store *store, weir_kind_limit_fn *row, void *user,
		    weir_error *reterr)
{
	struct weir_pg *pg = weir__pg_of(store);
	struct pg_params p = {0};
	PGresult *result = NULL;
	weir_status status;
	bool goes_on = true;

	weir__pg_begin(&p);
	weir__pg_now(&p, pg);
	status = weir__pg_ask(&pg->admin, &list_sql, &p, &result, reterr);
	weir__pg_params_fini(&p);
	for (int i = 0; status == WEIR_OK && goes_on && i < PQntuples(result);
	     i++) {
		/* libpq ends each value with a NUL. */
		weir_kind_limit limit = {
			.size = sizeof(limit),
			.kind = PQgetvalue(result, i, 0),
			.most = (uint32_t)weir__pg_get_int(result, i, 1),
			.per_second = weir__pg_get_float8(result, i, 2),
			.burst = (uint32_t)weir__pg_get_int(result, i, 3),
			.running = (uint64_t)weir__pg_get_int(result, i, 4),
			.waiting = (uint64_t)weir__pg_get_int(result, i, 5),
		};

		goes_on = row(&limit, user);
	}
	PQclear(result);
	return status;
}
