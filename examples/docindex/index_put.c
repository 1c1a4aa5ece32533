/*
 * The index: putting and removing documents, and checkpoints.
 *
 * Design.  What is to be put is checked before the transaction begins, so that
 * a vector that is no good costs nobody the lock.
 *
 * Checkpoints.  SQLite 3.7.0 to 3.51.2 has a race: a checkpoint that begins
 * while another connection resets the WAL may lose committed pages
 * (sqlite.org/wal.html, "the WAL-reset bug").  So no connection checkpoints by
 * itself; we do, by a second connection, while the first one holds the write
 * lock: then nobody commits, and so nobody resets.  The last one to be closed
 * does it as well and removes the WAL, but only when it is alone on the file.
 */
#include "index_inside.h"

#include "base/assert.h"
#include "sync/clock.h"

#include <stdlib.h>

/* Pages in the WAL at which a checkpoint is worth while: 8 MB. */
#define CHECKPOINT_PAGES 1000

/*
 * Into the database with what is in the WAL.  That it cannot be done now is no
 * failure: there is a next time.
 */
static void
checkpoint(struct index *index)
{
	if (!index->checkpointer || index->wal_pages == 0 ||
	    index_begin_write(index) != SQLITE_OK)
		return;
	if (sqlite3_wal_checkpoint_v2(index->checkpointer, NULL,
				      SQLITE_CHECKPOINT_PASSIVE, NULL,
				      NULL) == SQLITE_OK)
		index->wal_pages = 0;
	index_rollback(index);
}

void
index_after_commit(struct index *index)
{
	if (index->wal_pages >= CHECKPOINT_PAGES)
		checkpoint(index);
}

weir_status
index_check_writes(const struct index *index, weir_error *reterr)
{
	return index->writes ? WEIR_OK
			     : index_error(reterr, WEIR_INVAL, 0,
					   "%s was opened to be read",
					   index_short_path(index->name));
}

static int
run_with_id(struct index *index, enum index_sql sql, const char *text,
	    int64_t id)
{
	sqlite3_stmt *stmt = index_sql(index, sql, text);

	(void)sqlite3_bind_int64(stmt, 1, id);
	return index_sql_done(index, stmt);
}

/*
 * One by one: for "rowid IN (SELECT ...)" sqlite-vec reads the whole table, a
 * hundred times slower with a hundred thousand vectors.
 */
static int
drop_vectors(struct index *index, int64_t document)
{
	sqlite3_stmt *stmt = index_sql(
		index, SQL_CHUNKS, "SELECT id FROM chunks WHERE document = ?1");
	int code, dropped = SQLITE_OK;

	(void)sqlite3_bind_int64(stmt, 1, document);
	while ((code = index_sql_step(index, stmt)) == SQLITE_ROW) {
		dropped = run_with_id(index, SQL_DROP_VECTOR,
				      "DELETE FROM vectors WHERE rowid = ?1",
				      sqlite3_column_int64(stmt, 0));
		if (dropped != SQLITE_OK)
			break;
	}
	(void)sqlite3_reset(stmt);
	if (dropped != SQLITE_OK)
		return dropped;
	return code == SQLITE_DONE ? SQLITE_OK : code;
}

/* The document itself is last, so that sqlite3_changes() tells of it. */
int
index_drop(struct index *index, int64_t id)
{
	int code = index->dims > 0 ? drop_vectors(index, id) : SQLITE_OK;

	if (code == SQLITE_OK)
		code = run_with_id(index, SQL_DROP_CHUNKS,
				   "DELETE FROM chunks WHERE document = ?1",
				   id);
	if (code == SQLITE_OK)
		code = run_with_id(index, SQL_DROP_DOCUMENT,
				   "DELETE FROM documents WHERE id = ?1", id);
	return code;
}

/* The document at path, if there is one. */
static int
drop_path(struct index *index, const char *path, bool *ret_was_there)
{
	sqlite3_stmt *stmt = index_sql(
		index, SQL_FIND, "SELECT id FROM documents WHERE path = ?1");
	int64_t id = 0;
	int code;

	(void)sqlite3_bind_text(stmt, 1, path, -1, SQLITE_STATIC);
	code = index_sql_step(index, stmt);
	*ret_was_there = code == SQLITE_ROW;
	if (code == SQLITE_ROW)
		id = sqlite3_column_int64(stmt, 0);
	(void)sqlite3_reset(stmt);
	if (*ret_was_there)
		return index_drop(index, id);
	return code == SQLITE_DONE ? SQLITE_OK : code;
}

static int
put_row(struct index *index, const struct index_doc *doc, int64_t *ret_id)
{
	sqlite3_stmt *stmt =
		index_sql(index, SQL_PUT_DOCUMENT,
			  "INSERT INTO documents (path, hash, bytes, kind,"
			  " indexed_at_ms) VALUES (?1, ?2, ?3, ?4, ?5)");
	int code;

	(void)sqlite3_bind_text(stmt, 1, doc->path, -1, SQLITE_STATIC);
	(void)sqlite3_bind_blob(stmt, 2, doc->hash, 32, SQLITE_STATIC);
	(void)sqlite3_bind_int64(stmt, 3, (int64_t)doc->bytes);
	(void)sqlite3_bind_text(stmt, 4, doc->kind, -1, SQLITE_STATIC);
	(void)sqlite3_bind_int64(stmt, 5, weir__unix_ns() / WEIR_MS);
	code = index_sql_done(index, stmt);
	*ret_id = sqlite3_last_insert_rowid(index->db);
	return code;
}

static int
put_text(struct index *index, int64_t document, const struct index_chunk *chunk,
	 int64_t *ret_id)
{
	sqlite3_stmt *stmt =
		index_sql(index, SQL_PUT_CHUNK,
			  "INSERT INTO chunks (document, number, page, text)"
			  " VALUES (?1, ?2, ?3, ?4)");
	int code;

	(void)sqlite3_bind_int64(stmt, 1, document);
	(void)sqlite3_bind_int64(stmt, 2, chunk->number);
	(void)sqlite3_bind_int64(stmt, 3, chunk->page);
	/* NULL would be no text at all. */
	(void)sqlite3_bind_text64(stmt, 4, chunk->len > 0 ? chunk->text : "",
				  chunk->len, SQLITE_STATIC, SQLITE_UTF8);
	code = index_sql_done(index, stmt);
	*ret_id = sqlite3_last_insert_rowid(index->db);
	return code;
}

static int
put_vector(struct index *index, int64_t id, const float *unit, uint32_t dims)
{
	sqlite3_stmt *stmt = index_sql(index, SQL_PUT_VECTOR,
				       "INSERT INTO vectors (rowid, embedding)"
				       " VALUES (?1, ?2)");

	(void)sqlite3_bind_int64(stmt, 1, id);
	(void)sqlite3_bind_blob64(stmt, 2, unit, dims * sizeof(*unit),
				  SQLITE_STATIC);
	return index_sql_done(index, stmt);
}

/* scratch has room for a vector. */
static int
put_document(struct index *index, const struct index_doc *doc, uint32_t dims,
	     float *scratch)
{
	bool was_there;
	int64_t document = 0, id = 0;
	int code = drop_path(index, doc->path, &was_there);

	if (code == SQLITE_OK)
		code = put_row(index, doc, &document);
	for (size_t i = 0; code == SQLITE_OK && i < doc->chunk_count; i++) {
		const struct index_chunk *chunk = &doc->chunks[i];

		code = put_text(index, document, chunk, &id);
		if (code != SQLITE_OK)
			break;
		if (!index_normalise(scratch, chunk->vector, dims))
			weir_bug("a vector has changed");
		code = put_vector(index, id, scratch, dims);
	}
	return code;
}

struct put {
	const struct index_doc *const *docs;
	size_t count;
	const char *model;
	uint32_t dims;
	bool has_chunks;
	float *scratch;
};

static weir_status
check_vectors(const struct put *put, weir_error *reterr)
{
	for (size_t i = 0; i < put->count; i++) {
		const struct index_doc *doc = put->docs[i];

		for (size_t j = 0; j < doc->chunk_count; j++)
			if (!index_normalise(put->scratch,
					     doc->chunks[j].vector, put->dims))
				return index_error(
					reterr, WEIR_PERMANENT, 0,
					"chunk %u of %s: its vector is zero or"
					" not finite",
					doc->chunks[j].number,
					index_short_path(doc->path));
	}
	return WEIR_OK;
}

static weir_status
check_put(struct put *put, weir_error *reterr)
{
	for (size_t i = 0; i < put->count; i++)
		put->has_chunks |= put->docs[i]->chunk_count > 0;
	if (!put->has_chunks)
		return WEIR_OK;
	if (put->dims == 0 || put->dims > INDEX_DIMS_MAX || !*put->model)
		return index_error(reterr, WEIR_PERMANENT, 0,
				   "a vector has 1 to %d numbers, not %u, and"
				   " its model a name",
				   INDEX_DIMS_MAX, put->dims);
	put->scratch = malloc(put->dims * sizeof(*put->scratch));
	if (!put->scratch)
		return index_error(reterr, WEIR_NOMEM, 0, "out of memory");
	return check_vectors(put, reterr);
}

/* The same model, the same dims; the first ones are noted. */
static weir_status
use_model(struct index *index, const struct put *put, weir_error *reterr)
{
	int code = SQLITE_OK;

	if (index->dims == 0)
		code = index_read_model(index);
	if (code == SQLITE_OK && index->dims == 0 && put->has_chunks) {
		code = index_note_model(index, put->model, put->dims);
		if (code == SQLITE_OK)
			code = index_read_model(index);
	}
	if (code != SQLITE_OK)
		return index_failed(index, code, "write", reterr);
	if (put->has_chunks &&
	    (index->dims != put->dims || strcmp(index->model, put->model) != 0))
		return index_error(reterr, WEIR_PERMANENT, 0,
				   "the index has vectors of %u numbers by"
				   " model '%.40s', these are %u by '%.40s'",
				   index->dims, index->model, put->dims,
				   put->model);
	return WEIR_OK;
}

static weir_status
put_all(struct index *index, const struct put *put, weir_error *reterr)
{
	weir_status status;
	int code = index_begin_write(index);

	if (code != SQLITE_OK)
		return index_failed(index, code, "write", reterr);
	status = use_model(index, put, reterr);
	if (status != WEIR_OK)
		return status;
	for (size_t i = 0; code == SQLITE_OK && i < put->count; i++)
		code = put_document(index, put->docs[i], put->dims,
				    put->scratch);
	if (code == SQLITE_OK)
		code = index_commit(index);
	return code == SQLITE_OK ? WEIR_OK
				 : index_failed(index, code, "write", reterr);
}

weir_status
index_put(struct index *index, const struct index_doc *const *docs,
	  size_t count, const char *model, uint32_t dims, weir_error *reterr)
{
	struct put put = {docs, count, model, dims, false, NULL};
	bool had_model = index->dims > 0;
	weir_status status = index_check_writes(index, reterr);

	if (status == WEIR_OK)
		status = check_put(&put, reterr);
	if (status == WEIR_OK) {
		status = put_all(index, &put, reterr);
		if (status == WEIR_OK)
			index_after_commit(index);
		else
			index_rollback(index);
		/* What was noted in this transaction is not so any more. */
		if (status != WEIR_OK && !had_model)
			index_forget_model(index);
	}
	free(put.scratch);
	return status;
}

weir_status
index_remove(struct index *index, const char *path, bool *ret_was_there,
	     weir_error *reterr)
{
	weir_status status = index_check_writes(index, reterr);
	bool was_there = false;
	int code;

	if (status != WEIR_OK)
		return status;
	code = index_begin_write(index);
	if (code == SQLITE_OK && index->dims == 0)
		code = index_read_model(index);
	if (code == SQLITE_OK)
		code = drop_path(index, path, &was_there);
	if (code == SQLITE_OK)
		code = index_commit(index);
	if (code == SQLITE_OK) {
		*ret_was_there = was_there;
		index_after_commit(index);
		return WEIR_OK;
	}
	status = index_failed(index, code, "write", reterr);
	index_rollback(index);
	return status;
}
