/*
 * The PostgreSQL store does what every store must do.
 *
 * Each test has a schema of its own in the database of with-postgres.  Beside
 * with-pgbouncer the store is used through that, and what is done by hand is
 * not.
 */
#include "pg/pg.h"
#include "queue_conformance.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static char schema[32], url[256];

static weir_store *
open_url(bool create)
{
	weir_store_options options = WEIR_STORE_OPTIONS_INIT;
	weir_store *store = NULL;
	weir_error error = {WEIR_OK, 0, ""};

	options.create = create;
	options.now_ms = queue_clock;
	CHECK_MSG(weir__pg_open(&store, url, &options, &error) == WEIR_OK, "%s",
		  error.message);
	REQUIRE(store);
	return store;
}

static weir_store *
open_one(void)
{
	const char *conninfo = getenv("WEIR_TEST_PG");
	const char *via = getenv("WEIR_TEST_PG_VIA");

	if (!conninfo)
		SKIP("there is no WEIR_TEST_PG; see tests/with-postgres");
	snprintf(schema, sizeof(schema), "t_%d", (int)getpid());
	/* Who does not say may_hold in a turn is not held to it. */
	snprintf(url, sizeof(url), "postgres:%s schema=%s", conninfo, schema);
	if (!via)
		return open_url(true);
	/* Tables are made past the pooler. */
	(void)weir_store_close(open_url(true));
	snprintf(url, sizeof(url), "postgres:%s schema=%s listen=off", via,
		 schema);
	return open_url(false);
}

static weir_store *
join(weir_store *store)
{
	(void)store;
	return open_url(false);
}

static weir_store *
reopen(void)
{
	return open_url(false);
}

static PGconn *
connect_by_hand(void)
{
	PGconn *pg = PQconnectdb(getenv("WEIR_TEST_PG"));

	REQUIRE(PQstatus(pg) == CONNECTION_OK);
	return pg;
}

static void
wipe(void)
{
	PGconn *pg = connect_by_hand();
	char sql[96];

	snprintf(sql, sizeof(sql),
		 "SET client_min_messages = warning;"
		 "DROP SCHEMA %s CASCADE",
		 schema);
	PQclear(PQexec(pg, sql));
	CHECK_STR(PQerrorMessage(pg), "");
	PQfinish(pg);
}

/* What jsonb has no place for; the store writes U+FFFD instead. */
static char *
without_nul(const char *json)
{
	char *copy = strdup(json), *at = copy;

	REQUIRE(copy);
	while ((at = strstr(at, "\\u0000")) != NULL)
		memcpy(at, "\\ufffd", 6);
	return copy;
}

/* jsonb keeps the values, and all digits of numbers. */
static bool
same_json(const char *a, const char *b)
{
	char *left = without_nul(a), *right = without_nul(b);
	const char *const values[] = {left, right};
	PGconn *pg = connect_by_hand();
	PGresult *result = PQexecParams(pg, "SELECT $1::jsonb = $2::jsonb", 2,
					NULL, values, NULL, NULL, 0);
	bool same = PQresultStatus(result) == PGRES_TUPLES_OK &&
		    *PQgetvalue(result, 0, 0) == 't';

	PQclear(result);
	PQfinish(pg);
	free(left);
	free(right);
	return same;
}

static bool
polls(void)
{
	return getenv("WEIR_TEST_PG_VIA") != NULL;
}

const struct queue_stores queue_stores = {
	.name = "postgres",
	.open = open_one,
	.join = join,
	.reopen = reopen,
	.wipe = wipe,
	.jobs = UNDER_TSAN ? 5000 : 20000,
	.stride = UNDER_TSAN ? 64 : 16,
	.same_json = same_json,
	.bell_ms = 5000,
	.polls = polls,
	.never_alone = true,
};
