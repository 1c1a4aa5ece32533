/*
 * What the files of the index share.
 *
 *      index.c         opening, closing, counting
 *      index_schema.c  what is in the file; sqlite-vec
 *      index_sql.c     statements, transactions, errors
 *      index_put.c     putting and removing documents, checkpoints
 *      index_seen.c    what was seen, and forgetting what was not
 *      index_search.c  the nearest chunks
 */
#ifndef DOCINDEX_INDEX_INSIDE_H
#define DOCINDEX_INDEX_INSIDE_H

#include "index.h"

#include <assert.h> /* static_assert */
#include <sqlite3.h>

/* Numbers go into the file as they are in memory. */
static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
	      "an index has little-endian numbers");

/* "dcix" in the database's header, and the newest schema. */
#define INDEX_APPLICATION_ID 0x64636978
#define INDEX_SCHEMA_VERSION 1

/* The statements that a connection keeps; their texts are where they are used.
 */
enum index_sql {
	SQL_BEGIN,
	SQL_BEGIN_WRITE,
	SQL_COMMIT,
	SQL_ROLLBACK,
	SQL_META_GET,
	SQL_META_PUT,
	SQL_KNOWN,
	SQL_FIND,
	SQL_SEEN,
	SQL_SPARE,
	SQL_UNSEEN,
	SQL_COUNT_DOCUMENTS,
	SQL_COUNT_CHUNKS,
	SQL_CHUNKS,
	SQL_DROP_VECTOR,
	SQL_DROP_CHUNKS,
	SQL_DROP_DOCUMENT,
	SQL_PUT_DOCUMENT,
	SQL_PUT_CHUNK,
	SQL_PUT_VECTOR,
	SQL_SCAN,
	SQL_NEAREST,
	SQL_PLACE,
	SQL_HIT,
	SQL_COUNT
};

struct index {
	sqlite3 *db;
	sqlite3 *checkpointer; /* or NULL: opened to be read */
	sqlite3_stmt *statements[SQL_COUNT];
	char *memory;     /* of these two */
	const char *path; /* as SQLite gets it, */
	const char *name; /* and as it was given */
	bool writes, uses_vec0;
	bool has_seen;   /* the temporary table is there */
	int wal_pages;   /* after the last commit */
	int64_t last_id; /* of the documents that were there when opened */

	/* NULL and 0 until there is a vector, and then the same for good. */
	char *model;
	uint32_t dims;
};

/* In index_sql.c. */

/* Say why it was not WEIR_OK, and return that. */
weir_status index_error(weir_error *reterr, weir_status status, int native,
			const char *format, ...) WEIR_PRINTF(4, 5);
/* The path as messages have it: not longer than that, its end if need be. */
const char *index_short_path(const char *path);
#define INDEX_PATH_SHOWN 60
/* What an error code of SQLite means; "cannot <what> <path>: <why>". */
weir_status index_failed(const struct index *index, int code, const char *what,
			 weir_error *reterr);

/* That statement, reset and ready to be bound.  NULL: index->db says why. */
sqlite3_stmt *index_sql(struct index *index, enum index_sql sql,
			const char *text);
/* Step a statement that gives no rows, and reset it; NULL is an error, too.
 * SQLITE_OK or an error. */
int index_sql_done(struct index *index, sqlite3_stmt *stmt);
/* The same for one without parameters. */
int index_sql_run(struct index *index, enum index_sql sql, const char *text);
/* Step one that gives a row or none: SQLITE_ROW, SQLITE_DONE or an error. */
int index_sql_step(struct index *index, sqlite3_stmt *stmt);
int index_sql_script(struct index *index, const char *script);

int index_begin_read(struct index *index);
int index_begin_write(struct index *index);
int index_commit(struct index *index);
/* Ends a transaction if there is one; cannot fail in a way that matters. */
void index_rollback(struct index *index);

/* In index_schema.c. */

/* Is it ours?  Makes it if it is empty and create is true. */
weir_status index_use_schema(struct index *index,
			     const struct index_options *options,
			     weir_error *reterr);
/* In a transaction that is kept: from now on these are the index's. */
int index_note_model(struct index *index, const char *model, uint32_t dims);
/* What was noted, if anything was.  Sets model and dims. */
int index_read_model(struct index *index);
/* The transaction in which they were noted has been rolled back. */
void index_forget_model(struct index *index);

/* In index_put.c. */

/* A document and all that belongs to it, inside of a transaction. */
int index_drop(struct index *index, int64_t id);
/* For a call that writes. */
weir_status index_check_writes(const struct index *index, weir_error *reterr);
/* Checkpoint it if there is enough in the WAL. */
void index_after_commit(struct index *index);

/* In index_search.c. */

/* out = v at unit length.  False: it is zero, or not finite. */
bool index_normalise(float *out, const float *v, uint32_t dims);

#endif
