/*
 * A victim's database: SQLite.  See queue_victim.h.
 */
#include "queue_victim.h"

#include <inttypes.h>
#include <sqlite3.h>
#include <stdio.h>
#include <time.h>
#include <weir/work.h>

/* The time of day, wrong as it is told to be. */
static int64_t
clock_ms(void *user)
{
	struct timespec now;
	int64_t ms;

	(void)user;
	(void)clock_gettime(CLOCK_REALTIME, &now);
	ms = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
	/* It jumps each 64 ms, to one of three times. */
	if (victim_jump)
		ms += (ms / 64 % 3 - 1) * 3600 * 1000;
	return ms + victim_shift_ms;
}

weir_status
victim_open(weir_store **out, weir_store_options *options, weir_error *reterr)
{
	options->now_ms = clock_ms;
	return weir_store_open(out, options, reterr);
}

/* A file is always there. */
bool
victim_may_fail(weir_status status)
{
	(void)status;
	return false;
}

static sqlite3 *
sqlite_of(struct victim_db *db)
{
	return (sqlite3 *)db;
}

struct victim_db *
victim_db_open(const char *path)
{
	sqlite3 *db;

	if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL) !=
	    SQLITE_OK)
		victim_die(sqlite3_errmsg(db), WEIR_SYSTEM, NULL);
	(void)sqlite3_busy_timeout(db, 20000);
	(void)sqlite3_wal_autocheckpoint(db, 0);
	(void)sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	return (struct victim_db *)db;
}

void
victim_db_close(struct victim_db *db)
{
	(void)sqlite3_close(sqlite_of(db));
}

static void
run_sql(struct victim_db *db, const char *sql)
{
	char *message = NULL;

	if (sqlite3_exec(sqlite_of(db), sql, NULL, NULL, &message) != SQLITE_OK)
		victim_die(message ? message : sql, WEIR_SYSTEM, NULL);
}

/*
 * The journal's lines.  A rescue adds a crash, or ends it as poison; nothing
 * else that a running job becomes does.
 */
static const char init_sql[] =
	"CREATE TABLE effect (job INTEGER PRIMARY KEY, times INTEGER NOT NULL);"
	"CREATE TABLE journal (seq INTEGER PRIMARY KEY, line TEXT NOT NULL);"
	"CREATE TRIGGER journal_claim AFTER UPDATE OF state ON job"
	" WHEN NEW.state = 6 BEGIN INSERT INTO journal (line) VALUES ("
	"  printf('claim %d %d.%d@%d', NEW.id, NEW.attempt, NEW.attempted_at,"
	"   NEW.owner)); END;"
	"CREATE TRIGGER journal_over AFTER UPDATE OF state ON job"
	" WHEN OLD.state = 6 AND NEW.state <> 6"
	" BEGIN INSERT INTO journal (line) VALUES ("
	"  printf('%s %d %d.%d@%d %s',"
	"   iif(NEW.crashes > OLD.crashes AND NEW.state = 0, 'rescue', 'over'),"
	"   NEW.id, OLD.attempt, OLD.attempted_at, OLD.owner,"
	"   substr('available cancelled completed discarded pending   '"
	"    || 'retryable running   scheduled', 1 + NEW.state * 10, 10)));"
	" END;"
	"CREATE TRIGGER journal_seen AFTER UPDATE OF state ON job"
	" WHEN OLD.state <> 6 AND NEW.state <> 6 AND NEW.state <> OLD.state"
	" BEGIN INSERT INTO journal (line) VALUES (printf('seen %d %s', NEW.id,"
	"   substr('available cancelled completed discarded pending   '"
	"    || 'retryable running   scheduled', 1 + NEW.state * 10, 10)));"
	" END;";

void
victim_db_init(struct victim_db *db)
{
	run_sql(db, init_sql);
}

weir_status
victim_db_effect(struct victim_db *db, const weir_job_row *job,
		 weir_error *reterr)
{
	weir_status status;
	char sql[120];

	run_sql(db, "BEGIN IMMEDIATE");
	(void)snprintf(sql, sizeof(sql),
		       "INSERT INTO effect VALUES (%" PRId64 ", 1)"
		       " ON CONFLICT DO UPDATE SET times = times + 1",
		       job->id);
	run_sql(db, sql);
	status = weir_job_complete_tx(job, sqlite_of(db), reterr);
	run_sql(db, status == WEIR_OK ? "COMMIT" : "ROLLBACK");
	return status;
}

static sqlite3_stmt *
prepare(struct victim_db *db, const char *sql)
{
	sqlite3_stmt *stmt;

	if (sqlite3_prepare_v2(sqlite_of(db), sql, -1, &stmt, NULL) !=
	    SQLITE_OK)
		victim_die(sqlite3_errmsg(sqlite_of(db)), WEIR_SYSTEM, NULL);
	return stmt;
}

int
victim_db_effects(struct victim_db *db, int64_t job)
{
	sqlite3_stmt *stmt =
		prepare(db, "SELECT times FROM effect WHERE job = ?1");
	int times = 0;

	(void)sqlite3_bind_int64(stmt, 1, job);
	if (sqlite3_step(stmt) == SQLITE_ROW)
		times = sqlite3_column_int(stmt, 0);
	(void)sqlite3_finalize(stmt);
	return times;
}

void
victim_db_check(struct victim_db *db)
{
	run_sql(db, "SELECT CASE WHEN (SELECT integrity_check FROM "
		    "pragma_integrity_check) = 'ok' THEN 1 "
		    "ELSE json('damaged') END");
}

void
victim_db_journal(struct victim_db *db,
		  void (*line)(const char *line, void *user), void *user)
{
	sqlite3_stmt *stmt =
		prepare(db, "SELECT line FROM journal ORDER BY seq");

	while (sqlite3_step(stmt) == SQLITE_ROW)
		line((const char *)sqlite3_column_text(stmt, 0), user);
	(void)sqlite3_finalize(stmt);
}
