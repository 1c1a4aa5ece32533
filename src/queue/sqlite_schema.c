/*
 * The schema, and the way from one version of it to another.
 *
 * Design.  Each version has the statements that lead to it and those that lead
 * back.  All steps of a way are one transaction with the number in the file's
 * header (user_version): who opens a store that another process is just making
 * finds nothing or all of it, and never an older version.  A file is known as
 * ours by application_id, in the header too.  What is in the file after version
 * N does not depend on where it came from; tests/test_queue_files.c compares.
 *
 * job.mark is what all but plain available jobs are looked for by: when it is
 * due, whose it is, when it ended, or that a worker has died with it.  One
 * index serves all four, because each index costs every insert and every
 * finish, even if it does not take the row.
 */
#include "queue/sqlite.h"

#include "base/assert.h"

#include <stdio.h>

struct version {
	const char *up, *down;
};

static const struct version versions[SQLITE_SCHEMA_VERSION + 1] = {
	[1] =
		{
			.up = "CREATE TABLE job ("
			      " id INTEGER PRIMARY KEY,"
			      " state INTEGER NOT NULL CHECK (state BETWEEN 0 "
			      "AND 7),"
			      " priority INTEGER NOT NULL"
			      "  CHECK (priority BETWEEN 1 AND 4),"
			      " scheduled_at INTEGER NOT NULL,"
			      " attempt INTEGER NOT NULL DEFAULT 0,"
			      " max_attempts INTEGER NOT NULL,"
			      " crashes INTEGER NOT NULL DEFAULT 0,"
			      " created_at INTEGER NOT NULL,"
			      " queue TEXT NOT NULL,"
			      " kind TEXT NOT NULL,"
			      " owner INTEGER,"
			      " attempted_at INTEGER,"
			      " finalized_at INTEGER,"
			      " cancel_at INTEGER,"
			      " timeout INTEGER,"
			      " unique_states INTEGER,"
			      " unique_key BLOB,"
			      " attempted_by TEXT,"
			      " tags TEXT,"
			      " metadata TEXT,"
			      " errors TEXT,"
			      " output TEXT,"
			      " args TEXT NOT NULL,"
			      " mark INTEGER AS (CASE state"
			      "  WHEN 0 THEN crashes"
			      "  WHEN 6 THEN owner"
			      "  WHEN 5 THEN scheduled_at"
			      "  WHEN 7 THEN scheduled_at"
			      "  ELSE finalized_at END) VIRTUAL"
			      ") STRICT;"
			      "CREATE INDEX job_claim"
			      " ON job (queue, priority, scheduled_at, id)"
			      " WHERE state = 0 AND crashes = 0;"
			      "CREATE INDEX job_mark ON job (state, mark)"
			      " WHERE " SQLITE_IN_MARK ";"
			      "CREATE UNIQUE INDEX job_unique ON job "
			      "(unique_key)"
			      " WHERE unique_key IS NOT NULL"
			      " AND (unique_states >> state) & 1;"
			      "CREATE TABLE counter ("
			      " name TEXT PRIMARY KEY, value INTEGER NOT NULL"
			      ") STRICT, WITHOUT ROWID;"
			      "INSERT INTO counter VALUES ('job', 0);"
			      "CREATE TABLE queue ("
			      " name TEXT PRIMARY KEY,"
			      " created_at INTEGER NOT NULL,"
			      " paused_at INTEGER,"
			      " finished INTEGER NOT NULL DEFAULT 0"
			      ") STRICT, WITHOUT ROWID;"
			      "CREATE TABLE client ("
			      " id INTEGER PRIMARY KEY AUTOINCREMENT,"
			      " name TEXT NOT NULL,"
			      " beat INTEGER NOT NULL DEFAULT 0,"
			      " alone INTEGER NOT NULL,"
			      " since INTEGER NOT NULL,"
			      " pid INTEGER NOT NULL,"
			      " machine TEXT NOT NULL"
			      ") STRICT;"
			      "CREATE TABLE cancel ("
			      " seq INTEGER PRIMARY KEY AUTOINCREMENT,"
			      " job INTEGER NOT NULL,"
			      " at INTEGER NOT NULL"
			      ") STRICT;"
			      "CREATE TABLE note ("
			      " id INTEGER PRIMARY KEY,"
			      " owner INTEGER NOT NULL,"
			      " jobs BLOB NOT NULL"
			      ") STRICT;"
			      "CREATE TABLE schedule ("
			      " name TEXT PRIMARY KEY,"
			      " spec TEXT NOT NULL,"
			      " paused INTEGER NOT NULL,"
			      " next_at INTEGER NOT NULL,"
			      " last_at INTEGER,"
			      " queue TEXT NOT NULL,"
			      " kind TEXT NOT NULL,"
			      " priority INTEGER NOT NULL,"
			      " max_attempts INTEGER NOT NULL,"
			      " timeout INTEGER,"
			      " unique_states INTEGER,"
			      " unique_key BLOB,"
			      " tags TEXT,"
			      " metadata TEXT,"
			      " args TEXT NOT NULL"
			      ") STRICT, WITHOUT ROWID;",
			.down = "DROP TABLE schedule;"
				"DROP TABLE note;"
				"DROP TABLE cancel;"
				"DROP TABLE client;"
				"DROP TABLE queue;"
				"DROP TABLE counter;"
				"DROP TABLE job;"
				"PRAGMA application_id = 0;",
		},
	/* Finished jobs out of the way; and jobs as people read them. */
	[2] =
		{
			.up = "CREATE TABLE archive ("
			      " id INTEGER PRIMARY KEY,"
			      " queue TEXT NOT NULL,"
			      " kind TEXT NOT NULL,"
			      " attempt INTEGER NOT NULL,"
			      " created_at INTEGER NOT NULL,"
			      " attempted_at INTEGER,"
			      " finalized_at INTEGER NOT NULL,"
			      " attempted_by TEXT,"
			      " output TEXT,"
			      " args TEXT NOT NULL"
			      ") STRICT;"
			      "CREATE VIEW jobs AS SELECT id, CASE state"
			      " WHEN 0 THEN 'available' WHEN 1 THEN 'cancelled'"
			      " WHEN 2 THEN 'completed' WHEN 3 THEN 'discarded'"
			      " WHEN 4 THEN 'pending' WHEN 5 THEN 'retryable'"
			      " WHEN 6 THEN 'running' ELSE 'scheduled' END AS "
			      "state,"
			      " queue, kind, priority, attempt, max_attempts,"
			      " datetime(created_at / 1000, 'unixepoch') AS "
			      "created,"
			      " datetime(scheduled_at / 1000, 'unixepoch')"
			      "  AS scheduled,"
			      " datetime(attempted_at / 1000, 'unixepoch')"
			      "  AS attempted,"
			      " datetime(finalized_at / 1000, 'unixepoch')"
			      "  AS finalized,"
			      " attempted_by, args, errors, output FROM job;",
			.down = "DROP VIEW jobs;"
				"DROP TABLE archive;",
		},
};

static int
read_number(struct sqlite_conn *conn, const char *sql, int64_t *ret)
{
	sqlite3_stmt *stmt = NULL;
	int code = sqlite3_prepare_v2(conn->db, sql, -1, &stmt, NULL);

	if (code != SQLITE_OK)
		return code;
	code = sqlite3_step(stmt);
	if (code == SQLITE_ROW) {
		*ret = sqlite3_column_int64(stmt, 0);
		code = SQLITE_OK;
	}
	(void)sqlite3_finalize(stmt);
	return code;
}

/* What stands in the header, and whether there is anything. */
static int
read_header(struct sqlite_conn *conn, int *ret)
{
	int64_t application = 0, version = 0, objects = 0;
	int code;

	code = read_number(conn, "PRAGMA application_id", &application);
	if (code == SQLITE_OK)
		code = read_number(conn, "PRAGMA user_version", &version);
	if (code == SQLITE_OK)
		code = read_number(conn,
				   "SELECT count(*) FROM sqlite_schema"
				   " WHERE name NOT LIKE 'sqlite_%'",
				   &objects);
	if (application == SQLITE_APPLICATION_ID && version > 0)
		*ret = (int)version;
	else
		*ret = application == 0 && objects == 0 ? 0 : -1;
	return code;
}

static int
run(struct sqlite_conn *conn, const char *sql)
{
	return sqlite3_exec(conn->db, sql, NULL, NULL, NULL);
}

/* At one moment: another process may be making it. */
weir_status
weir__sqlite_version(struct sqlite_conn *conn, int *ret, weir_error *reterr)
{
	int code = run(conn, "BEGIN");
	weir_status status;

	if (code == SQLITE_OK)
		code = read_header(conn, ret);
	if (code == SQLITE_OK)
		code = run(conn, "COMMIT");
	if (code == SQLITE_OK)
		return WEIR_OK;
	status = weir__sqlite_failed(conn, code, "cannot read it", reterr);
	(void)run(conn, "ROLLBACK");
	return status;
}

/* One step, to the version after from or before it. */
static int
migrate_step(struct sqlite_conn *conn, int from, int to)
{
	const char *script = to > from ? versions[to].up : versions[from].down;
	char number[80];
	int code;

	weir_assert(to == from + 1 || to == from - 1);
	snprintf(number, sizeof(number), "PRAGMA user_version = %d;%s", to,
		 to > 0 ? "PRAGMA application_id = 2003134834;" : "");
	static_assert(SQLITE_APPLICATION_ID == 2003134834, "the same number");
	code = run(conn, script);
	return code == SQLITE_OK ? run(conn, number) : code;
}

/* All steps from what it is now, inside of a transaction. */
static weir_status
migrate_all(struct sqlite_conn *conn, int target, weir_error *reterr)
{
	int version = 0, code = read_header(conn, &version);

	if (code == SQLITE_OK && version < 0)
		return weir__queue_error(reterr, WEIR_FOREIGN, 0,
					 "a database, but not of weir");
	if (code == SQLITE_OK && version > SQLITE_SCHEMA_VERSION)
		return weir__queue_error(
			reterr, WEIR_NEWER, 0,
			"it has version %d; this weir knows %d", version,
			SQLITE_SCHEMA_VERSION);
	while (code == SQLITE_OK && version != target) {
		int next = version + (target > version ? 1 : -1);

		code = migrate_step(conn, version, next);
		version = next;
	}
	return code == SQLITE_OK
		       ? WEIR_OK
		       : weir__sqlite_failed(conn, code, "cannot migrate",
					     reterr);
}

weir_status
weir__sqlite_migrate_to(struct sqlite_conn *conn, int target,
			weir_error *reterr)
{
	weir_status status;

	weir_assert(target >= 0 && target <= SQLITE_SCHEMA_VERSION);
	if (run(conn, "BEGIN IMMEDIATE") != SQLITE_OK)
		return weir__sqlite_failed(conn,
					   sqlite3_extended_errcode(conn->db),
					   "cannot migrate", reterr);
	status = migrate_all(conn, target, reterr);
	if (status == WEIR_OK && run(conn, "COMMIT") != SQLITE_OK)
		status = weir__sqlite_failed(conn,
					     sqlite3_extended_errcode(conn->db),
					     "cannot migrate", reterr);
	if (status != WEIR_OK)
		(void)run(conn, "ROLLBACK");
	return status;
}
