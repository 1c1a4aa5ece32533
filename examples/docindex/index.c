/*
 * The index: opening and closing it, and its counts.
 */
#include "index_inside.h"

#include "base/assert.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define BUSY_MS 10000

/*
 * synchronous = NORMAL: the WAL is not flushed at each commit, and so the last
 * transactions may be lost with the machine.  What is lost is derived, and the
 * next run puts it again; a WAL is never left damaged by that, for it is
 * flushed before what is in it goes to the database.
 *
 * trusted_schema: a foreign file must not call functions from its triggers.
 * mmap_size: a read error is an error, and no SIGBUS.  wal_autocheckpoint: see
 * index_put.c.  cache_size: rows are put and not looked at again; with more of
 * it memory grows with the index for a while, and nothing is faster.
 */
static const char set_up[] = "PRAGMA mmap_size = 0;"
			     "PRAGMA temp_store = FILE;"
			     "PRAGMA trusted_schema = OFF;"
			     "PRAGMA cell_size_check = ON;"
			     "PRAGMA foreign_keys = ON;"
			     "PRAGMA cache_size = -1000;"
			     "PRAGMA synchronous = NORMAL;"
			     "PRAGMA wal_autocheckpoint = 0;";

static int
on_commit(void *arg, sqlite3 *db, const char *name, int pages)
{
	struct index *index = arg;

	(void)db;
	(void)name;
	index->wal_pages = pages;
	return SQLITE_OK;
}

static int
configure(sqlite3 *db)
{
	int code;

	(void)sqlite3_extended_result_codes(db, 1);
	code = sqlite3_busy_timeout(db, BUSY_MS);
	if (code == SQLITE_OK)
		code = sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1,
					 NULL);
	if (code == SQLITE_OK)
		code = sqlite3_exec(db, set_up, NULL, NULL, NULL);
	return code;
}

static int
connect_to(const char *path, int flags, sqlite3 **ret)
{
	int code = sqlite3_open_v2(
		path, ret, flags | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE,
		NULL);

	return code == SQLITE_OK ? configure(*ret) : code;
}

/* Is there a file that can be an index?  What is not there may be made. */
static weir_status
check_file(struct index *index, bool create, weir_error *reterr)
{
	const char *path = index_short_path(index->name);
	struct stat st;

	if (stat(index->path, &st) != 0) {
		if (create && errno == ENOENT)
			return WEIR_OK;
		return index_error(
			reterr,
			errno == ENOENT || errno == ENOTDIR ? WEIR_NOTFOUND
							    : WEIR_SYSTEM,
			errno, "cannot open %s: %s", path, strerror(errno));
	}
	if (!S_ISREG(st.st_mode))
		return index_error(reterr, WEIR_FOREIGN, 0,
				   "%s is not a regular file", path);
	if (st.st_size == 0 && !create)
		return index_error(reterr, WEIR_NOTFOUND, 0,
				   "%s is empty: nothing has been indexed",
				   path);
	return WEIR_OK;
}

/*
 * Who only looks may write all the same, if the file lets it: what somebody
 * has left who died has to be rolled back before anything can be seen.
 */
static weir_status
open_file(struct index *index, bool create, weir_error *reterr)
{
	const char *name = index_short_path(index->name);
	bool can_write = index->writes || faccessat(AT_FDCWD, index->path, W_OK,
						    AT_EACCESS) == 0;
	int code =
		connect_to(index->path,
			   create ? SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE
			   : can_write ? SQLITE_OPEN_READWRITE
				       : SQLITE_OPEN_READONLY,
			   &index->db);

	/* SQLite opens what it may not write all the same, to be read; but with
	 * a WAL not even that without a file beside it. */
	if (index->writes && ((code & 0xff) == SQLITE_READONLY ||
			      (code == SQLITE_OK &&
			       sqlite3_db_readonly(index->db, "main") == 1)))
		return index_error(reterr, WEIR_SYSTEM, EACCES,
				   "%s may not be written", name);
	if ((code & 0xff) == SQLITE_READONLY)
		return index_error(reterr, WEIR_SYSTEM, EACCES,
				   "cannot read %s: SQLite may not make the"
				   " files beside it that it needs for that",
				   name);
	return code == SQLITE_OK ? WEIR_OK
				 : index_failed(index, code, "open", reterr);
}

static weir_status
open_checkpointer(struct index *index, weir_error *reterr)
{
	int code = connect_to(index->path, SQLITE_OPEN_READWRITE,
			      &index->checkpointer);

	if (code != SQLITE_OK)
		return index_failed(index, code, "open", reterr);
	(void)sqlite3_wal_hook(index->db, on_commit, index);
	return WEIR_OK;
}

/*
 * "./" and the path, of which the part that is a file's name is used: SQLite
 * takes ":memory:" for something else.
 */
static char *
path_of_file(const char *path)
{
	size_t size = strlen(path) + 3;
	char *made = malloc(size);

	if (made)
		snprintf(made, size, "./%s", path);
	return made;
}

static weir_status
open_all(struct index *index, const struct index_options *options,
	 weir_error *reterr)
{
	weir_status status = check_file(index, options->create, reterr);

	if (status == WEIR_OK)
		status = open_file(index, options->create, reterr);
	if (status == WEIR_OK)
		status = index_use_schema(index, options, reterr);
	if (status == WEIR_OK && index->writes)
		status = open_checkpointer(index, reterr);
	return status;
}

weir_status
index_open(struct index **out, const struct index_options *options,
	   weir_error *reterr)
{
	struct index *index;
	weir_status status;

	if (!options->path || !*options->path ||
	    strlen(options->path) >= PATH_MAX - 16)
		return index_error(reterr, WEIR_INVAL, 0,
				   "not the name of a file");
	index = calloc(1, sizeof(*index));
	if (index)
		index->memory = path_of_file(options->path);
	if (!index || !index->memory) {
		(void)index_close(index);
		return index_error(reterr, WEIR_NOMEM, 0, "out of memory");
	}
	index->name = index->memory + 2;
	index->path = *index->name == '/' ? index->name : index->memory;
	index->writes = options->write || options->create;
	status = open_all(index, options, reterr);
	if (status == WEIR_OK)
		*out = index;
	else
		(void)index_close(index);
	return status;
}

struct index *
index_close(struct index *index)
{
	if (!index)
		return NULL;
	for (unsigned i = 0; i < SQL_COUNT; i++)
		(void)sqlite3_finalize(index->statements[i]);
	(void)sqlite3_close(index->checkpointer);
	if (sqlite3_close(index->db) != SQLITE_OK)
		weir_bug("a statement of the index is left over");
	free(index->model);
	free(index->memory);
	free(index);
	return NULL;
}

const char *
index_model(const struct index *index)
{
	return index->model;
}

uint32_t
index_dims(const struct index *index)
{
	return index->dims;
}

bool
index_uses_vec0(const struct index *index)
{
	return index->uses_vec0;
}

static int
count(struct index *index, enum index_sql sql, const char *text, uint64_t *ret)
{
	sqlite3_stmt *stmt = index_sql(index, sql, text);
	int code = index_sql_step(index, stmt);

	if (code == SQLITE_ROW)
		*ret = (uint64_t)sqlite3_column_int64(stmt, 0);
	(void)sqlite3_reset(stmt);
	return code == SQLITE_ROW ? SQLITE_OK : code;
}

weir_status
index_count(struct index *index, struct index_counts *ret, weir_error *reterr)
{
	struct index_counts counts = {0};
	weir_status status = WEIR_OK;
	int code = index_begin_read(index);

	if (code == SQLITE_OK)
		code = count(index, SQL_COUNT_DOCUMENTS,
			     "SELECT count(*) FROM documents",
			     &counts.documents);
	if (code == SQLITE_OK)
		code = count(index, SQL_COUNT_CHUNKS,
			     "SELECT count(*) FROM chunks", &counts.chunks);
	if (code == SQLITE_OK)
		*ret = counts;
	else
		status = index_failed(index, code, "read", reterr);
	index_rollback(index);
	return status;
}
