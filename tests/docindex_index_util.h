/*
 * What the tests of docindex's index share: a file of their own, and documents
 * that can be told from each other.
 *
 * Each test runs twice where it matters, with a plain table of vectors and
 * with sqlite-vec's, whose file DOCINDEX_TEST_VEC0 names; without it that half
 * is skipped and counted.
 */
#ifndef WEIR_TESTS_DOCINDEX_INDEX_UTIL_H
#define WEIR_TESTS_DOCINDEX_INDEX_UTIL_H

#include "docindex/index.h"
#include "harness.h"
#include "scratch.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define DIMS       8
#define CHUNKS_MAX 16

/* A document with all that it points to. */
struct made {
	struct index_doc doc;
	unsigned char hash[32];
	struct index_chunk chunks[CHUNKS_MAX];
	char texts[CHUNKS_MAX][64];
	float vectors[CHUNKS_MAX][DIMS];
};

static char made_folder[SCRATCH_MAX], made_path[SCRATCH_MAX + 16];

/* The path of an index that is not there yet. */
static inline const char *
new_path(void)
{
	scratch_make(made_folder);
	snprintf(made_path, sizeof(made_path), "%s/docs.db", made_folder);
	return made_path;
}

/* At the end of each test. */
static inline void
done(void)
{
	scratch_remove(made_folder);
}

static inline const char *
test_vec0(void)
{
	const char *vec0 = getenv("DOCINDEX_TEST_VEC0");

	if (!vec0)
		SKIP("DOCINDEX_TEST_VEC0 does not name the file of sqlite-vec");
	return vec0;
}

static inline struct index *
open_index(const char *path, const char *vec0)
{
	struct index_options options = {
		.path = path, .create = true, .vec0 = vec0};
	struct index *index = NULL;
	weir_error error = {0};
	weir_status status = index_open(&index, &options, &error);

	CHECK_MSG(status == WEIR_OK, "%s", error.message);
	REQUIRE(status == WEIR_OK);
	return index;
}

/* Its n-th version: hash, texts and vectors follow from path and version. */
static inline void
make_doc(struct made *made, const char *path, unsigned version, size_t chunks)
{
	unsigned seed = version * 2654435761u;

	memset(made, 0, sizeof(*made));
	for (const char *c = path; *c; c++)
		seed = seed * 31 + (unsigned char)*c;
	for (int i = 0; i < 32; i++)
		made->hash[i] = (unsigned char)(seed >> (i % 4 * 8));
	for (size_t i = 0; i < chunks; i++) {
		for (int j = 0; j < DIMS; j++) {
			seed = seed * 1664525u + 1013904223u;
			made->vectors[i][j] =
				(float)(seed >> 8) / (float)(1 << 23) - 1;
		}
		snprintf(made->texts[i], sizeof(made->texts[i]), "v%u c%zu",
			 version, i);
		made->chunks[i] = (struct index_chunk){
			.number = (uint32_t)i,
			.page = (uint32_t)i / 2,
			.text = made->texts[i],
			.len = strlen(made->texts[i]),
			.vector = made->vectors[i],
		};
	}
	/* bytes tells how many chunks there are. */
	made->doc = (struct index_doc){.path = path,
				       .hash = made->hash,
				       .bytes = chunks,
				       .kind = "text",
				       .chunks = made->chunks,
				       .chunk_count = chunks};
}

static inline weir_status
put_version(struct index *index, const char *path, unsigned version,
	    size_t chunks, weir_error *reterr)
{
	struct made made;
	const struct index_doc *docs[] = {&made.doc};

	make_doc(&made, path, version, chunks);
	return index_put(index, docs, 1, "model", DIMS, reterr);
}

static inline void
put(struct index *index, const char *path, unsigned version, size_t chunks)
{
	weir_error error = {0};

	CHECK_MSG(put_version(index, path, version, chunks, &error) == WEIR_OK,
		  "%s", error.message);
}

static inline enum index_known
see(struct index *index, const char *path, unsigned version)
{
	enum index_known known = INDEX_NEW;
	struct made made;

	make_doc(&made, path, version, 0);
	CHECK_EQ_INT(index_see(index, path, made.hash, &known, NULL), WEIR_OK);
	return known;
}

static inline uint64_t
forget(struct index *index, const char *root)
{
	uint64_t count = 0;
	weir_error error = {0};

	CHECK_MSG(index_forget_unseen(index, root, NULL, NULL, &count,
				      &error) == WEIR_OK,
		  "%s", error.message);
	return count;
}

static inline struct index_counts
counts(struct index *index)
{
	struct index_counts now = {0};

	CHECK_EQ_INT(index_count(index, &now, NULL), WEIR_OK);
	return now;
}

/* Run SQL of the test's own on the file; the first number of its answer. */
static inline int64_t
ask_file(const char *path, const char *sql)
{
	sqlite3_stmt *stmt = NULL;
	int64_t answer = -1;
	sqlite3 *db = NULL;

	REQUIRE(sqlite3_open(path, &db) == SQLITE_OK);
	(void)sqlite3_busy_timeout(db, 10000);
	if (!CHECK_MSG(sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) ==
			       SQLITE_OK,
		       "%s: %s", sql, sqlite3_errmsg(db)))
		return -1;
	if (sqlite3_step(stmt) == SQLITE_ROW)
		answer = sqlite3_column_int64(stmt, 0);
	(void)sqlite3_finalize(stmt);
	(void)sqlite3_close(db);
	return answer;
}

/*
 * Every document is whole: as many chunks as it says, each with its vector, no
 * vector or chunk too many, all of the same version, and the file undamaged.
 */
static inline void
check_whole(const char *path)
{
	CHECK_EQ_INT(ask_file(path, "SELECT count(*) FROM documents AS d WHERE"
				    " bytes <> (SELECT count(*) FROM chunks"
				    "  WHERE document = d.id)"),
		     0);
	CHECK_EQ_INT(ask_file(path, "SELECT count(*) FROM chunks WHERE document"
				    " NOT IN (SELECT id FROM documents)"),
		     0);
	CHECK_EQ_INT(ask_file(path,
			      "SELECT count(*) FROM (SELECT document FROM"
			      " chunks GROUP BY document HAVING count(DISTINCT"
			      " substr(text, 1, instr(text, ' '))) > 1)"),
		     0);
	CHECK_EQ_INT(ask_file(path, "SELECT integrity_check = 'ok' FROM"
				    " pragma_integrity_check"),
		     1);
}

/* The table that tells which chunks have a vector, of either kind. */
static inline void
check_vectors(const char *path, bool vec0)
{
	char sql[256];
	const char *table = vec0 ? "vectors_rowids" : "vectors";

	snprintf(sql, sizeof(sql),
		 "SELECT (SELECT count(*) FROM chunks) -"
		 " (SELECT count(*) FROM %s)"
		 " + (SELECT count(*) FROM chunks WHERE id NOT IN"
		 "  (SELECT %s FROM %s))",
		 table, vec0 ? "rowid" : "id", table);
	CHECK_EQ_INT(ask_file(path, sql), 0);
}

#endif
