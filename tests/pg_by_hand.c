/*
 * Statements by hand; see pg_by_hand.h.
 */
#include "pg_by_hand.h"

#include "harness.h"

#include <stdlib.h>
#include <string.h>

PGconn *
by_hand(void)
{
	PGconn *pg = PQconnectdb(getenv("WEIR_TEST_PG"));

	REQUIRE(PQstatus(pg) == CONNECTION_OK);
	return pg;
}

const char *
ask_on(PGconn *pg, weir_store *store, const char *sql)
{
	static struct weir_buf text, answer;
	PGresult *result;

	weir__buf_reset(&text);
	weir__buf_reset(&answer);
	REQUIRE(weir__pg_expand(&text, weir__pg_of(store), sql));
	result = PQexec(pg, weir__buf_str(&text));
	CHECK_STR(PQresultErrorMessage(result), "");
	for (int i = 0; i < PQntuples(result); i++)
		weir__buf_printf(&answer, "%s%s", i > 0 ? " " : "",
				 PQgetvalue(result, i, 0));
	PQclear(result);
	return weir__buf_str(&answer);
}

const char *
ask(weir_store *store, const char *sql)
{
	PGconn *pg = by_hand();
	const char *answer = ask_on(pg, store, sql);

	PQfinish(pg);
	return answer;
}
