/*
 * Connections to SQLite: how they are set up, their statements, their errors.
 *
 * Design.  Whoever finds the database locked by another process waits for the
 * bell of the sidecar or a moment, whichever is first: SQLite has no event for
 * the end of a lock, and its own waiting sleeps for whole milliseconds.
 *
 * Locking: none; a connection belongs to who its owner says.
 */
#include "queue/sqlite.h"

#include "base/assert.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <time.h>

#define BUSY_FIRST_NS (50 * WEIR_US)
#define BUSY_MOST_NS  (2 * WEIR_MS)

/*
 * trusted_schema: a foreign file must not call functions from its triggers.
 * mmap_size: a read error is an error, and no SIGBUS.  temp_store: nothing of
 * a job ends up in a temporary file.  wal_autocheckpoint: see README.md.
 */
static const char set_up[] = "PRAGMA mmap_size = 0;"
			     "PRAGMA temp_store = MEMORY;"
			     "PRAGMA trusted_schema = OFF;"
			     "PRAGMA cell_size_check = ON;"
			     "PRAGMA cache_size = -4000;"
			     "PRAGMA synchronous = FULL;"
			     "PRAGMA wal_autocheckpoint = 0;";

int
weir__sqlite_on_busy(void *arg, int tries)
{
	struct sqlite_conn *conn = arg;
	int64_t now_ns = weir_now_ns(), wait_ns = BUSY_FIRST_NS;
	struct timespec wait = {0};

	if (tries == 0)
		conn->busy_since_ns = now_ns;
	if (now_ns - conn->busy_since_ns >= conn->busy_ns)
		return 0;
	while (tries-- > 0 && wait_ns < BUSY_MOST_NS)
		wait_ns *= 2;
	wait.tv_nsec = (long)wait_ns;
	(void)ppoll(NULL, 0, &wait, NULL);
	return 1;
}

static void
on_change(void *arg, int what, const char *database, const char *table,
	  sqlite3_int64 row)
{
	struct sqlite_conn *conn = arg;

	(void)what;
	(void)database;
	/* Archiving inserts into another table, of which nobody asks. */
	if (conn->changed_max > 0 && strcmp(table, "job") == 0 &&
	    conn->changed_count < conn->changed_max)
		conn->changed[conn->changed_count++] = row;
}

static int
configure(struct sqlite_conn *conn)
{
	int code;

	(void)sqlite3_extended_result_codes(conn->db, 1);
	code = sqlite3_busy_handler(conn->db, weir__sqlite_on_busy, conn);
	if (code == SQLITE_OK)
		code = sqlite3_db_config(conn->db, SQLITE_DBCONFIG_DEFENSIVE, 1,
					 NULL);
	if (code == SQLITE_OK)
		code = sqlite3_db_config(
			conn->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	if (code == SQLITE_OK)
		code = sqlite3_exec(conn->db, set_up, NULL, NULL, NULL);
	return code;
}

weir_status
weir__sqlite_connect(struct sqlite_conn *conn, const char *path, int flags,
		     int64_t busy_ns, weir_error *reterr)
{
	weir_status status = WEIR_OK;
	int code;

	memset(conn, 0, sizeof(*conn));
	conn->busy_ns = busy_ns;
	code = sqlite3_open_v2(path, &conn->db,
			       flags | SQLITE_OPEN_NOMUTEX |
				       SQLITE_OPEN_NOFOLLOW |
				       SQLITE_OPEN_EXRESCODE,
			       NULL);
	if (code == SQLITE_OK)
		code = configure(conn);
	if (code != SQLITE_OK)
		status = weir__sqlite_failed(conn, code, "cannot open it",
					     reterr);
	/* SQLite opens what it may not write all the same, to be read. */
	else if ((flags & SQLITE_OPEN_READWRITE) &&
		 sqlite3_db_readonly(conn->db, "main") == 1)
		status = weir__queue_error(reterr, WEIR_SYSTEM, EACCES,
					   "it may not be written");
	if (status != WEIR_OK)
		weir__sqlite_disconnect(conn, true);
	return status;
}

void
weir__sqlite_adopt(struct sqlite_conn *conn, sqlite3 *db)
{
	memset(conn, 0, sizeof(*conn));
	conn->db = db;
	/* These two cost nothing, and are all that has to be so. */
	(void)sqlite3_wal_autocheckpoint(db, 0);
	(void)sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
}

void
weir__sqlite_disconnect(struct sqlite_conn *conn, bool ours)
{
	for (unsigned i = 0; i < SQL_COUNT; i++)
		(void)sqlite3_finalize(conn->statements[i]);
	/* A caller's own connection may have a hook of its own: it is not ours.
	 */
	if (conn->changed)
		(void)sqlite3_update_hook(conn->db, NULL, NULL);
	free(conn->changed);
	if (ours && conn->db) {
		int code = sqlite3_close(conn->db);

		weir_assert(code == SQLITE_OK);
	}
	memset(conn, 0, sizeof(*conn));
}

sqlite3_stmt *
weir__sql(struct sqlite_conn *conn, enum sqlite_sql sql, const char *text)
{
	sqlite3_stmt **stmt = &conn->statements[sql];

	weir_assert(sql < SQL_COUNT);
	if (!*stmt &&
	    sqlite3_prepare_v3(conn->db, text, -1, SQLITE_PREPARE_PERSISTENT,
			       stmt, NULL) != SQLITE_OK)
		return NULL;
	return *stmt;
}

int
weir__sql_done(sqlite3_stmt *stmt)
{
	int code = sqlite3_step(stmt);

	(void)sqlite3_reset(stmt);
	return code == SQLITE_DONE || code == SQLITE_ROW ? SQLITE_OK : code;
}

int
weir__sql_run(struct sqlite_conn *conn, enum sqlite_sql sql, const char *text)
{
	sqlite3_stmt *stmt = weir__sql(conn, sql, text);

	return stmt ? weir__sql_done(stmt) : sqlite3_extended_errcode(conn->db);
}

void
weir__sql_bind_text(sqlite3_stmt *stmt, int at, const char *text, size_t len)
{
	weir_assert(len <= INT_MAX);
	if (text)
		(void)sqlite3_bind_text(stmt, at, text, (int)len,
					SQLITE_STATIC);
	else
		(void)sqlite3_bind_null(stmt, at);
}

const char *
weir__sql_text(sqlite3_stmt *stmt, int at)
{
	const char *text = (const char *)sqlite3_column_text(stmt, at);

	return text ? text : "";
}

void
weir__sql_bind_some(sqlite3_stmt *stmt, int at, int64_t value)
{
	if (value != 0)
		(void)sqlite3_bind_int64(stmt, at, value);
	else
		(void)sqlite3_bind_null(stmt, at);
}

static weir_status
status_of(int code)
{
	switch (code & 0xff) {
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return WEIR_BUSY;
	case SQLITE_NOMEM:
		return WEIR_NOMEM;
	case SQLITE_CORRUPT:
		return WEIR_CORRUPT;
	case SQLITE_NOTADB:
		return WEIR_FOREIGN;
	default:
		return WEIR_SYSTEM;
	}
}

static int
errno_of(struct sqlite_conn *conn, int code)
{
	int native = conn->db ? sqlite3_system_errno(conn->db) : 0;

	switch (code & 0xff) {
	case SQLITE_FULL:
		return ENOSPC;
	case SQLITE_READONLY:
		return EROFS;
	case SQLITE_PERM:
	case SQLITE_AUTH:
		return EACCES;
	case SQLITE_IOERR:
		return native ? native : EIO;
	case SQLITE_CANTOPEN:
		return native ? native : ENOENT;
	default:
		return 0;
	}
}

weir_status
weir__sqlite_failed(struct sqlite_conn *conn, int code, const char *what,
		    weir_error *reterr)
{
	const char *why =
		conn->db ? sqlite3_errmsg(conn->db) : sqlite3_errstr(code);
	int native = errno_of(conn, code);

	weir_assert(code != SQLITE_OK);
	/* The last message may be another's by now. */
	if (conn->db &&
	    (sqlite3_extended_errcode(conn->db) & 0xff) != (code & 0xff))
		why = sqlite3_errstr(code);
	if ((code & 0xff) == SQLITE_IOERR || (code & 0xff) == SQLITE_CANTOPEN)
		return weir__queue_error(reterr, status_of(code), native,
					 "%s: %s (%s)", what, why,
					 strerror(native));
	return weir__queue_error(reterr, status_of(code), native, "%s: %s",
				 what, why);
}

bool
weir__sqlite_note_changes(struct sqlite_conn *conn, size_t max)
{
	weir_assert(max > 0 && conn->changed_max == 0);
	if (!conn->changed) {
		conn->changed =
			calloc(SQLITE_CHANGES_MAX, sizeof(*conn->changed));
		if (!conn->changed)
			return false;
		(void)sqlite3_update_hook(conn->db, on_change, conn);
	}
	weir_assert(max <= SQLITE_CHANGES_MAX);
	conn->changed_count = 0;
	conn->changed_max = max;
	return true;
}

void
weir__sqlite_note_end(struct sqlite_conn *conn)
{
	conn->changed_max = 0;
}
