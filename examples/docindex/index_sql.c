/*
 * The index: statements, transactions, errors.
 *
 * Design.  A statement is prepared when it is first used and kept by its
 * connection.  It is reset before each use and after it, because one that is
 * left half-way keeps its transaction open.
 */
#include "index_inside.h"

#include "base/assert.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

weir_status
index_error(weir_error *reterr, weir_status status, int native,
	    const char *format, ...)
{
	va_list args;

	if (!reterr)
		return status;
	reterr->status = status;
	reterr->native = native;
	va_start(args, format);
	vsnprintf(reterr->message, sizeof(reterr->message), format, args);
	va_end(args);
	return status;
}

const char *
index_short_path(const char *path)
{
	size_t len = strlen(path);
	const char *start = path;

	if (len > INDEX_PATH_SHOWN)
		start += len - INDEX_PATH_SHOWN;
	/* Not in the middle of a character. */
	while (start > path && ((unsigned char)*start & 0xc0) == 0x80)
		start++;
	return start;
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
	case SQLITE_TOOBIG:
	case SQLITE_CONSTRAINT:
		return WEIR_PERMANENT;
	default:
		return WEIR_SYSTEM;
	}
}

static int
errno_of(const struct index *index, int code)
{
	int native = index->db ? sqlite3_system_errno(index->db) : 0;

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
index_failed(const struct index *index, int code, const char *what,
	     weir_error *reterr)
{
	const char *why =
		index->db ? sqlite3_errmsg(index->db) : sqlite3_errstr(code);
	const char *path = index_short_path(index->name);
	int native = errno_of(index, code);

	weir_assert(code != SQLITE_OK);
	/* The last message may be of something else by now. */
	if (index->db &&
	    (sqlite3_extended_errcode(index->db) & 0xff) != (code & 0xff))
		why = sqlite3_errstr(code);
	if ((code & 0xff) == SQLITE_IOERR || (code & 0xff) == SQLITE_CANTOPEN)
		return index_error(reterr, status_of(code), native,
				   "cannot %s %s: %s (%s)", what, path, why,
				   strerror(native));
	return index_error(reterr, status_of(code), native, "cannot %s %s: %s",
			   what, path, why);
}

sqlite3_stmt *
index_sql(struct index *index, enum index_sql sql, const char *text)
{
	sqlite3_stmt **stmt = &index->statements[sql];

	weir_assert(sql < SQL_COUNT);
	if (!*stmt &&
	    sqlite3_prepare_v3(index->db, text, -1, SQLITE_PREPARE_PERSISTENT,
			       stmt, NULL) != SQLITE_OK)
		return NULL;
	(void)sqlite3_reset(*stmt);
	return *stmt;
}

int
index_sql_step(struct index *index, sqlite3_stmt *stmt)
{
	return stmt ? sqlite3_step(stmt) : sqlite3_extended_errcode(index->db);
}

int
index_sql_done(struct index *index, sqlite3_stmt *stmt)
{
	int code = index_sql_step(index, stmt);

	(void)sqlite3_reset(stmt);
	return code == SQLITE_DONE || code == SQLITE_ROW ? SQLITE_OK : code;
}

int
index_sql_run(struct index *index, enum index_sql sql, const char *text)
{
	return index_sql_done(index, index_sql(index, sql, text));
}

int
index_sql_script(struct index *index, const char *script)
{
	return sqlite3_exec(index->db, script, NULL, NULL, NULL);
}

/*
 * The statement that ends what has failed is made first: when it is needed
 * there may be no memory for it, and the transaction would stay open.
 */
static int
begin(struct index *index, enum index_sql sql, const char *text)
{
	if (!index_sql(index, SQL_ROLLBACK, "ROLLBACK"))
		return sqlite3_extended_errcode(index->db);
	return index_sql_run(index, sql, text);
}

int
index_begin_read(struct index *index)
{
	return begin(index, SQL_BEGIN, "BEGIN");
}

int
index_begin_write(struct index *index)
{
	return begin(index, SQL_BEGIN_WRITE, "BEGIN IMMEDIATE");
}

int
index_commit(struct index *index)
{
	return index_sql_run(index, SQL_COMMIT, "COMMIT");
}

void
index_rollback(struct index *index)
{
	/* A full disk may have ended the transaction already. */
	if (!sqlite3_get_autocommit(index->db))
		(void)index_sql_run(index, SQL_ROLLBACK, "ROLLBACK");
}
