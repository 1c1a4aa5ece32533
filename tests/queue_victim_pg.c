/*
 * A victim's database: PostgreSQL.  See queue_victim.h.
 *
 * Here the server may be away for a while, and whoever works has to wait for
 * it.  A third of the effects is in transactions of a higher isolation than
 * the store's own, which the database may end with 40001.
 *
 * A clock that is wrong is that of the whole process, libraries included: this
 * file puts its own in front of libc's.  The store takes the database's time.
 */
#include "queue_victim.h"

#include "pg/pg.h"

#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include <weir/work.h>

enum { OPEN_TRIES = 300, OPEN_PAUSE_MS = 100 };

struct victim_db {
	char *conninfo, schema[64];
	PGconn *pg;
};

/* The time of day, wrong as it is told to be; it jumps each 64 ms. */
int
clock_gettime(clockid_t clock, struct timespec *ret)
{
	int status = (int)syscall(SYS_clock_gettime, clock, ret);

	if (clock != CLOCK_REALTIME || status != 0)
		return status;
	ret->tv_sec += victim_shift_ms / 1000;
	if (victim_jump)
		ret->tv_sec += (ret->tv_nsec / 64000000 % 3 - 1) * 3600;
	return 0;
}

weir_status
victim_open(weir_store **out, weir_store_options *options, weir_error *reterr)
{
	weir_status status = WEIR_SYSTEM;
	char url[1024];

	(void)snprintf(url, sizeof(url), "%s hold=%s", options->url,
		       victim_hold ? "on" : "off");
	options->url = url;
	for (int i = 0; i < OPEN_TRIES && status != WEIR_OK; i++) {
		if (i > 0)
			(void)poll(NULL, 0, OPEN_PAUSE_MS);
		status = weir__pg_open(out, options->url, options, reterr);
		if (status != WEIR_OK && !victim_may_fail(status))
			break;
	}
	return status;
}

bool
victim_may_fail(weir_status status)
{
	return status == WEIR_SYSTEM || status == WEIR_BUSY;
}

/* "postgres:CONNINFO schema=NAME" */
struct victim_db *
victim_db_open(const char *path)
{
	struct victim_db *db = calloc(1, sizeof(*db));
	const char *schema = strstr(path, " schema=");

	/* The harness gives it. */
	if (!db || !schema || strncmp(path, "postgres:", 9) != 0)
		abort();
	(void)snprintf(db->schema, sizeof(db->schema), "%s",
		       schema + strlen(" schema="));
	db->conninfo = strndup(path + 9, (size_t)(schema - path - 9));
	if (!db->conninfo)
		victim_die(path, WEIR_NOMEM, NULL);
	return db;
}

void
victim_db_close(struct victim_db *db)
{
	PQfinish(db->pg);
	free(db->conninfo);
	free(db);
}

/* The last words of a server that is stopped. */
static void
ignore_notice(void *user, const char *message)
{
	(void)user;
	(void)message;
}

static PGresult *
ask(struct victim_db *db, const char *sql)
{
	if (!db->pg || PQstatus(db->pg) != CONNECTION_OK) {
		char set[128];

		PQfinish(db->pg);
		db->pg = PQconnectdb(db->conninfo);
		(void)PQsetNoticeProcessor(db->pg, ignore_notice, NULL);
		(void)snprintf(set, sizeof(set),
			       "SET client_min_messages = warning;"
			       "SET search_path = %s",
			       db->schema);
		PQclear(PQexec(db->pg, set));
	}
	return PQexec(db->pg, sql);
}

static bool
is_fine(const PGresult *result)
{
	return PQresultStatus(result) == PGRES_COMMAND_OK ||
	       PQresultStatus(result) == PGRES_TUPLES_OK;
}

static PGresult *
must(struct victim_db *db, const char *sql)
{
	PGresult *result = ask(db, sql);

	if (!is_fine(result))
		victim_die(PQerrorMessage(db->pg), WEIR_SYSTEM, NULL);
	return result;
}

/* A rescue is known by what it adds to the errors. */
#define FENCE(row)                                                     \
	row ".attempt || '.' || (extract(epoch FROM " row              \
	    ".attempted_at) * 1000)::bigint || '@' || split_part(" row \
	    ".attempted_by[cardinality(" row ".attempted_by)], '#', 2)"
static const char init_sql[] =
	"CREATE TABLE effect (job bigint PRIMARY KEY, times integer NOT NULL);"
	"CREATE TABLE journal (seq bigserial PRIMARY KEY, line text NOT NULL);"
	"CREATE FUNCTION journal_line() RETURNS trigger LANGUAGE plpgsql"
	" SET search_path FROM CURRENT AS $$"
	" DECLARE n integer := coalesce(cardinality(NEW.errors), 0);"
	" BEGIN IF NEW.state = OLD.state THEN RETURN NULL; END IF;"
	" INSERT INTO journal (line) VALUES (CASE"
	" WHEN NEW.state = 'running' THEN"
	"  'claim ' || NEW.id || ' ' || " FENCE(
		"NEW") ""
		       " WHEN OLD.state = 'running' THEN CASE WHEN NEW.state = "
		       "'available'"
		       "  AND n > coalesce(cardinality(OLD.errors), 0)"
		       "  AND NEW.errors[n] ->> 'error' LIKE 'the worker is "
		       "gone%'"
		       "  THEN 'rescue ' ELSE 'over ' END || OLD.id || ' ' "
		       "|| " FENCE("OLD") ""
					  "  || ' ' || NEW.state"
					  " ELSE 'seen ' || NEW.id || ' ' || "
					  "NEW.state END);"
					  " RETURN NULL; END $$;"
					  "CREATE TRIGGER journal AFTER UPDATE "
					  "OF state ON river_job"
					  " FOR EACH ROW EXECUTE FUNCTION "
					  "journal_line()";

void
victim_db_init(struct victim_db *db)
{
	PQclear(must(db, init_sql));
}

static weir_status
give_up(struct victim_db *db, PGresult *result, weir_error *reterr)
{
	const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
	bool again = state && (strcmp(state, "40001") == 0 ||
			       strcmp(state, "40P01") == 0);

	(void)weir__queue_error(reterr, again ? WEIR_BUSY : WEIR_SYSTEM, 0,
				"%s", PQerrorMessage(db->pg));
	PQclear(result);
	PQclear(PQexec(db->pg, "ROLLBACK"));
	return reterr->status;
}

weir_status
victim_db_effect(struct victim_db *db, const weir_job_row *job,
		 weir_error *reterr)
{
	PGresult *result = ask(db, job->id % 3 == 0 ? "BEGIN ISOLATION LEVEL "
						      "REPEATABLE READ"
						    : "BEGIN");
	weir_status status;
	void *tx = db->pg;
	char sql[200];

	if (!is_fine(result))
		return give_up(db, result, reterr);
	PQclear(result);
	(void)snprintf(sql, sizeof(sql),
		       "INSERT INTO effect AS e VALUES (%" PRId64 ", 1)"
		       " ON CONFLICT (job) DO UPDATE SET times = e.times + 1",
		       job->id);
	result = PQexec(db->pg, sql);
	if (!is_fine(result))
		return give_up(db, result, reterr);
	PQclear(result);
	status = weir_job_complete_tx(job, tx, reterr);
	if (status != WEIR_OK) {
		PQclear(PQexec(db->pg, "ROLLBACK"));
		return status;
	}
	result = PQexec(db->pg, "COMMIT");
	if (!is_fine(result))
		return give_up(db, result, reterr);
	PQclear(result);
	return WEIR_OK;
}

int
victim_db_effects(struct victim_db *db, int64_t job)
{
	PGresult *result;
	char sql[100];
	int times;

	(void)snprintf(sql, sizeof(sql),
		       "SELECT coalesce(sum(times), 0) FROM effect"
		       " WHERE job = %" PRId64,
		       job);
	result = must(db, sql);
	times = atoi(PQgetvalue(result, 0, 0));
	PQclear(result);
	return times;
}

/* What nothing of all that happened may leave behind. */
void
victim_db_check(struct victim_db *db)
{
	PGresult *result = must(
		db, "SELECT (SELECT count(*) FROM river_job"
		    "  WHERE state = 'running'),"
		    " (SELECT count(*) FROM weir_suspect s WHERE NOT EXISTS"
		    "  (SELECT FROM river_job j WHERE j.id = s.job)),"
		    " (SELECT count(*) FROM effect e WHERE NOT EXISTS"
		    "  (SELECT FROM river_job j WHERE j.id = e.job))");

	for (int i = 0; i < 3; i++)
		if (strcmp(PQgetvalue(result, 0, i), "0") != 0)
			(void)fprintf(stderr, "check %d: %s rows\n", i,
				      PQgetvalue(result, 0, i));
	PQclear(result);
}

void
victim_db_journal(struct victim_db *db,
		  void (*line)(const char *line, void *user), void *user)
{
	PGresult *result = must(db, "SELECT line FROM journal ORDER BY seq");

	for (int i = 0; i < PQntuples(result); i++)
		line(PQgetvalue(result, i, 0), user);
	PQclear(result);
}
