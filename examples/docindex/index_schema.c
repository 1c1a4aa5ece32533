/*
 * The index: what is in the file, and sqlite-vec, which may keep the vectors.
 *
 * Design.  A file is known as ours by application_id in its header, and its
 * version by user_version.  The schema is made in one transaction: who opens
 * an index that another process is just making finds nothing or all of it.
 *
 * Vectors have a table of their own, so that a search reads nothing but them.
 * It is made with the first vector, when their length is known, and is either
 * a plain table or a virtual one of sqlite-vec's; both are called `vectors`
 * and have the columns rowid and embedding, so that what changes the index is
 * the same for both.
 *
 * Ids of documents are never used again (AUTOINCREMENT), and a document that
 * is put anew gets a new one: what was there when a run began is known by its
 * id, however many others are writing meanwhile.
 */
#include "index_inside.h"

#include "base/assert.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#define WAL_TRIES 1000 /* of 10 ms */

static const char schema[] =
	"CREATE TABLE meta (key TEXT PRIMARY KEY, value ANY NOT NULL)"
	" STRICT, WITHOUT ROWID;"
	"CREATE TABLE documents ("
	" id INTEGER PRIMARY KEY AUTOINCREMENT,"
	" path TEXT NOT NULL UNIQUE,"
	" hash BLOB NOT NULL,"
	" bytes INTEGER NOT NULL,"
	" kind TEXT NOT NULL,"
	" indexed_at_ms INTEGER NOT NULL"
	") STRICT;"
	"CREATE TABLE chunks ("
	" id INTEGER PRIMARY KEY,"
	" document INTEGER NOT NULL REFERENCES documents (id),"
	" number INTEGER NOT NULL,"
	" page INTEGER NOT NULL,"
	" text TEXT NOT NULL,"
	" UNIQUE (document, number)"
	") STRICT;";

/*
 * Where a system keeps it.  The first is looked up as libraries are; none is
 * relative to the current folder, in which anybody may have put a file.
 */
static const char *const places[] = {
	"vec0",
	"/usr/local/lib/vec0",
	"/usr/local/lib/sqlite3/vec0",
	"/usr/lib/sqlite3/vec0",
};

/* SQLITE_OK; or else *ret_why, to be freed, or NULL. */
static int
load(struct index *index, const char *file, char **ret_why)
{
	int code;

	/* Only this call may load, and no SQL function ever. */
	code = sqlite3_db_config(
		index->db, SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 1, NULL);
	if (code == SQLITE_OK)
		code = sqlite3_load_extension(index->db, file, NULL, ret_why);
	(void)sqlite3_db_config(index->db,
				SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0, NULL);
	/* It may have been another extension. */
	if (code == SQLITE_OK &&
	    index_sql_script(index, "SELECT vec_version()") != SQLITE_OK) {
		*ret_why = sqlite3_mprintf("it is not sqlite-vec");
		code = SQLITE_ERROR;
	}
	return code;
}

static weir_status
load_given(struct index *index, const char *file, weir_error *reterr)
{
	/* A bare name is one of the current folder, as everywhere else. */
	char *path =
		sqlite3_mprintf("%s%s", strchr(file, '/') ? "" : "./", file);
	weir_status status = WEIR_OK;
	char *why = NULL;

	if (!path)
		return index_error(reterr, WEIR_NOMEM, 0, "out of memory");
	if (load(index, path, &why) != SQLITE_OK)
		status = index_error(reterr, WEIR_INVAL, 0,
				     "cannot load sqlite-vec: %s",
				     why ? why : "out of memory");
	sqlite3_free(why);
	sqlite3_free(path);
	return status;
}

static bool
load_found(struct index *index)
{
	for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++) {
		char *why = NULL;
		int code = load(index, places[i], &why);

		sqlite3_free(why);
		if (code == SQLITE_OK)
			return true;
	}
	return false;
}

/* One that was made with sqlite-vec. */
static weir_status
load_needed(struct index *index, const char *vec0, weir_error *reterr)
{
	const char *path = index_short_path(index->name);

	/* One that is given has been loaded already. */
	if (vec0 && strcmp(vec0, "none") != 0)
		return WEIR_OK;
	if (vec0)
		return index_error(reterr, WEIR_INVAL, 0,
				   "%s was made with sqlite-vec and cannot be"
				   " used without it",
				   path);
	if (!load_found(index))
		return index_error(reterr, WEIR_INVAL, 0,
				   "%s needs sqlite-vec, which is not found;"
				   " give its vec0.so (pip install sqlite-vec"
				   " brings one)",
				   path);
	return WEIR_OK;
}

static int
read_number(struct index *index, const char *sql, int64_t *ret)
{
	sqlite3_stmt *stmt = NULL;
	int code = sqlite3_prepare_v2(index->db, sql, -1, &stmt, NULL);

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

/* Its version; 0: there is nothing in it; -1: it is not ours. */
static int
read_version(struct index *index, int64_t *ret)
{
	int64_t application = 0, version = 0, objects = 0, ours = 0;
	int code;

	code = read_number(index, "PRAGMA application_id", &application);
	if (code == SQLITE_OK)
		code = read_number(index, "PRAGMA user_version", &version);
	if (code == SQLITE_OK)
		code = read_number(index, "SELECT count(*) FROM sqlite_schema",
				   &objects);
	if (code == SQLITE_OK)
		code = read_number(index,
				   "SELECT count(*) FROM sqlite_schema WHERE"
				   " name IN ('meta', 'documents', 'chunks')",
				   &ours);
	*ret = -1;
	if (application == INDEX_APPLICATION_ID && version > 0 &&
	    (version > INDEX_SCHEMA_VERSION || ours == 3))
		*ret = version;
	else if (application == 0 && version == 0 && objects == 0)
		*ret = 0;
	return code;
}

static int
put_meta(struct index *index, const char *key, const char *value)
{
	sqlite3_stmt *stmt = index_sql(index, SQL_META_PUT,
				       "INSERT INTO meta VALUES (?1, ?2)");

	(void)sqlite3_bind_text(stmt, 1, key, -1, SQLITE_STATIC);
	(void)sqlite3_bind_text(stmt, 2, value, -1, SQLITE_STATIC);
	return index_sql_done(index, stmt);
}

/* The value of that key, to be freed; NULL if there is none. */
static int
get_meta(struct index *index, const char *key, char **ret)
{
	sqlite3_stmt *stmt = index_sql(index, SQL_META_GET,
				       "SELECT value FROM meta WHERE key = ?1");
	const char *value;
	int code;

	*ret = NULL;
	(void)sqlite3_bind_text(stmt, 1, key, -1, SQLITE_STATIC);
	code = index_sql_step(index, stmt);
	if (code == SQLITE_ROW) {
		value = (const char *)sqlite3_column_text(stmt, 0);
		*ret = value ? strdup(value) : NULL;
		code = *ret ? SQLITE_OK : SQLITE_NOMEM;
	} else if (code == SQLITE_DONE) {
		code = SQLITE_OK;
	}
	(void)sqlite3_reset(stmt);
	return code;
}

/* In a transaction: another process may have been first. */
static int
make_schema(struct index *index, bool uses_vec0)
{
	int64_t version = 0;
	char header[96];
	int code = read_version(index, &version);

	if (code != SQLITE_OK || version != 0)
		return code;
	snprintf(header, sizeof(header),
		 "PRAGMA application_id = %d; PRAGMA user_version = %d;",
		 INDEX_APPLICATION_ID, INDEX_SCHEMA_VERSION);
	code = index_sql_script(index, schema);
	if (code == SQLITE_OK)
		code = put_meta(index, "vectors", uses_vec0 ? "vec0" : "table");
	return code == SQLITE_OK ? index_sql_script(index, header) : code;
}

static weir_status
make_index(struct index *index, const char *vec0, weir_error *reterr)
{
	bool uses_vec0 = vec0 ? strcmp(vec0, "none") != 0 : load_found(index);
	weir_status status;
	int code;

	/* Vectors of the usual lengths fill 4096 bytes badly. */
	code = index_sql_script(index, "PRAGMA page_size = 8192");
	if (code == SQLITE_OK)
		code = index_begin_write(index);
	if (code == SQLITE_OK)
		code = make_schema(index, uses_vec0);
	if (code == SQLITE_OK)
		code = index_commit(index);
	if (code == SQLITE_OK)
		return WEIR_OK;
	status = index_failed(index, code, "make", reterr);
	index_rollback(index);
	return status;
}

/* A WAL, so that who searches and who writes do not wait for each other. */
static weir_status
use_wal(struct index *index, weir_error *reterr)
{
	int code, tries = 0;

	/* For this one SQLite does not ask its busy handler, and it has no
	 * event for the end of a lock. */
	do
		code = index_sql_script(index, "PRAGMA journal_mode = WAL");
	while ((code & 0xff) == SQLITE_BUSY && tries++ < WAL_TRIES &&
	       poll(NULL, 0, 10) == 0);
	return code == SQLITE_OK ? WEIR_OK
				 : index_failed(index, code, "open", reterr);
}

int
index_read_model(struct index *index)
{
	char *dims = NULL, *model = NULL;
	int code = get_meta(index, "dims", &dims);

	if (code == SQLITE_OK && dims)
		code = get_meta(index, "model", &model);
	if (code == SQLITE_OK && dims && model) {
		unsigned long number = strtoul(dims, NULL, 10);

		if (number == 0 || number > INDEX_DIMS_MAX) {
			code = SQLITE_CORRUPT;
		} else {
			free(index->model);
			index->model = model;
			index->dims = (uint32_t)number;
			model = NULL;
		}
	}
	free(model);
	free(dims);
	return code;
}

void
index_forget_model(struct index *index)
{
	free(index->model);
	index->model = NULL;
	index->dims = 0;
}

int
index_note_model(struct index *index, const char *model, uint32_t dims)
{
	char text[128];
	int code;

	weir_assert(dims > 0 && dims <= INDEX_DIMS_MAX);
	snprintf(text, sizeof(text), "%u", dims);
	code = put_meta(index, "model", model);
	if (code == SQLITE_OK)
		code = put_meta(index, "dims", text);
	if (code != SQLITE_OK)
		return code;
	if (!index->uses_vec0)
		return index_sql_script(
			index, "CREATE TABLE vectors (id INTEGER PRIMARY KEY,"
			       " embedding BLOB NOT NULL) STRICT");
	snprintf(text, sizeof(text),
		 "CREATE VIRTUAL TABLE vectors USING vec0("
		 "embedding float[%u] distance_metric=cosine)",
		 dims);
	return index_sql_script(index, text);
}

/* What is in it, at one moment. */
static int
read_all(struct index *index)
{
	char *vectors = NULL;
	int code = index_begin_read(index);

	if (code == SQLITE_OK)
		code = get_meta(index, "vectors", &vectors);
	if (code == SQLITE_OK)
		code = index_read_model(index);
	if (code == SQLITE_OK)
		code = read_number(index,
				   "SELECT coalesce(max(id), 0) FROM documents",
				   &index->last_id);
	if (code == SQLITE_OK)
		index->uses_vec0 = vectors && strcmp(vectors, "vec0") == 0;
	free(vectors);
	index_rollback(index);
	return code;
}

static weir_status
check_version(struct index *index, int64_t version, weir_error *reterr)
{
	const char *path = index_short_path(index->name);

	if (version < 0)
		return index_error(reterr, WEIR_FOREIGN, 0,
				   "%s is a database of another kind", path);
	if (version > INDEX_SCHEMA_VERSION)
		return index_error(reterr, WEIR_NEWER, 0,
				   "a newer docindex has made %s (its version"
				   " is %lld, this one knows %d)",
				   path, (long long)version,
				   INDEX_SCHEMA_VERSION);
	if (version == 0)
		return index_error(reterr, WEIR_NOTFOUND, 0,
				   "%s is empty: nothing has been indexed",
				   path);
	return WEIR_OK;
}

static weir_status
look(struct index *index, int64_t *ret, weir_error *reterr)
{
	int code = index_begin_read(index);
	weir_status status = WEIR_OK;

	if (code == SQLITE_OK)
		code = read_version(index, ret);
	if (code != SQLITE_OK)
		status = index_failed(index, code, "read", reterr);
	index_rollback(index);
	return status;
}

weir_status
index_use_schema(struct index *index, const struct index_options *options,
		 weir_error *reterr)
{
	weir_status status = WEIR_OK;
	int64_t version = 0;
	int code;

	if (options->vec0 && strcmp(options->vec0, "none") != 0)
		status = load_given(index, options->vec0, reterr);
	if (status == WEIR_OK)
		status = look(index, &version, reterr);
	if (status == WEIR_OK && version == 0 && options->create) {
		status = make_index(index, options->vec0, reterr);
		if (status == WEIR_OK)
			status = look(index, &version, reterr);
	}
	if (status == WEIR_OK)
		status = check_version(index, version, reterr);
	if (status == WEIR_OK && index->writes)
		status = use_wal(index, reterr);
	if (status != WEIR_OK)
		return status;
	code = read_all(index);
	if (code != SQLITE_OK)
		return index_failed(index, code, "read", reterr);
	return index->uses_vec0 ? load_needed(index, options->vec0, reterr)
				: WEIR_OK;
}
