/*
 * The index: what was seen, and forgetting what was not.
 *
 * Design.  What was seen is noted by id, in a temporary table that SQLite
 * keeps in a file: a run over millions of documents takes no more memory than
 * one over ten.  Only what was in the index when it was opened has to be
 * noted, for nothing else is ever forgotten; and as a document that is put
 * anew gets a new id, what another process has put since is safe by that, too.
 *
 * What is below a folder is found by a range of paths, "folder/" to "folder0":
 * '0' follows '/'.  LIKE is wrong for names with '%' and '_' in them and takes
 * 'A' for 'a'.
 */
#include "index_inside.h"

#include "base/assert.h"

#include <stdio.h>
#include <stdlib.h>

/* Documents that are forgotten in one transaction. */
#define FORGET_AT_ONCE 256

static int
note_seen(struct index *index, int64_t id)
{
	sqlite3_stmt *stmt = index_sql(
		index, SQL_SEEN, "INSERT OR IGNORE INTO temp.seen VALUES (?1)");

	(void)sqlite3_bind_int64(stmt, 1, id);
	return index_sql_done(index, stmt);
}

/* The table of what was seen; made when it is first used. */
static int
use_seen(struct index *index)
{
	int code = SQLITE_OK;

	if (!index->has_seen)
		code = index_sql_script(
			index, "CREATE TEMP TABLE seen (id INTEGER PRIMARY KEY)"
			       " STRICT");
	index->has_seen = code == SQLITE_OK;
	return code;
}

static int
look_up(struct index *index, const char *path, const unsigned char hash[32],
	enum index_known *ret, int64_t *ret_id)
{
	sqlite3_stmt *stmt = index_sql(
		index, SQL_KNOWN,
		"SELECT id, hash = ?2 FROM documents WHERE path = ?1");
	int code;

	(void)sqlite3_bind_text(stmt, 1, path, -1, SQLITE_STATIC);
	(void)sqlite3_bind_blob(stmt, 2, hash, 32, SQLITE_STATIC);
	code = index_sql_step(index, stmt);
	if (code == SQLITE_ROW) {
		*ret_id = sqlite3_column_int64(stmt, 0);
		*ret = sqlite3_column_int(stmt, 1) ? INDEX_UNCHANGED
						   : INDEX_CHANGED;
	} else if (code == SQLITE_DONE) {
		*ret = INDEX_NEW;
	}
	(void)sqlite3_reset(stmt);
	return code == SQLITE_ROW || code == SQLITE_DONE ? SQLITE_OK : code;
}

weir_status
index_see(struct index *index, const char *path, const unsigned char hash[32],
	  enum index_known *ret, weir_error *reterr)
{
	enum index_known known = INDEX_NEW;
	int64_t id = 0;
	int code = use_seen(index);

	if (code == SQLITE_OK)
		code = look_up(index, path, hash, &known, &id);
	if (code == SQLITE_OK && known != INDEX_NEW && id <= index->last_id)
		code = note_seen(index, id);
	if (code != SQLITE_OK)
		return index_failed(index, code, "look into", reterr);
	*ret = known;
	return WEIR_OK;
}

/* A path and what is below it, as two ranges. */
struct range {
	char *memory;
	char *exact, *exact_end;
	char *below, *below_end;
};

/*
 * No path has a byte smaller than 1 in it, so that nothing but the path itself
 * is between it and itself with a 1 behind.
 */
static bool
range_init(struct range *range, const char *path)
{
	size_t len = strlen(path), size;

	while (len > 0 && path[len - 1] == '/')
		len--;
	size = len + 2;
	range->memory = malloc(4 * size);
	if (!range->memory)
		return false;
	range->exact = range->memory;
	range->exact_end = range->exact + size;
	range->below = range->exact_end + size;
	range->below_end = range->below + size;
	snprintf(range->exact, size, "%.*s", (int)len, path);
	snprintf(range->exact_end, size, "%.*s\001", (int)len, path);
	snprintf(range->below, size, "%.*s/", (int)len, path);
	snprintf(range->below_end, size, "%.*s0", (int)len, path);
	return true;
}

static int
spare(struct index *index, const char *from, const char *end)
{
	sqlite3_stmt *stmt =
		index_sql(index, SQL_SPARE,
			  "INSERT OR IGNORE INTO temp.seen SELECT id FROM"
			  " documents WHERE path >= ?1 AND path < ?2"
			  " AND id <= ?3");

	(void)sqlite3_bind_text(stmt, 1, from, -1, SQLITE_STATIC);
	(void)sqlite3_bind_text(stmt, 2, end, -1, SQLITE_STATIC);
	(void)sqlite3_bind_int64(stmt, 3, index->last_id);
	return index_sql_done(index, stmt);
}

weir_status
index_spare(struct index *index, const char *path, weir_error *reterr)
{
	struct range range;
	int code = SQLITE_NOMEM;

	if (range_init(&range, path)) {
		code = use_seen(index);
		if (code == SQLITE_OK)
			code = spare(index, range.exact, range.exact_end);
		if (code == SQLITE_OK)
			code = spare(index, range.below, range.below_end);
		free(range.memory);
	}
	return code == SQLITE_OK
		       ? WEIR_OK
		       : index_failed(index, code, "look into", reterr);
}

/* Who says which of those that were not seen are gone. */
struct judge {
	bool (*is_gone)(const char *path, void *user); /* NULL: all */
	void *user;
};

static bool
is_gone(const struct judge *judge, const char *path)
{
	return path && (!judge->is_gone || judge->is_gone(path, judge->user));
}

/* Some that are to be forgotten.  The last path of them takes from's place. */
static int
find_unseen(struct index *index, const struct judge *judge, char **from,
	    const char *end, int64_t *ids, uint32_t *ret_count)
{
	sqlite3_stmt *stmt =
		index_sql(index, SQL_UNSEEN,
			  "SELECT id, path FROM documents AS d"
			  " WHERE path >= ?1 AND path < ?2 AND id <= ?3"
			  " AND NOT EXISTS (SELECT 1 FROM temp.seen AS s"
			  "  WHERE s.id = d.id) ORDER BY path");
	char *last = NULL;
	uint32_t found = 0;
	int code;

	(void)sqlite3_bind_text(stmt, 1, *from, -1, SQLITE_STATIC);
	(void)sqlite3_bind_text(stmt, 2, end, -1, SQLITE_STATIC);
	(void)sqlite3_bind_int64(stmt, 3, index->last_id);
	while ((code = index_sql_step(index, stmt)) == SQLITE_ROW) {
		const char *path = (const char *)sqlite3_column_text(stmt, 1);

		weir_assert(found < FORGET_AT_ONCE);
		if (!is_gone(judge, path))
			continue;
		ids[found++] = sqlite3_column_int64(stmt, 0);
		if (found == FORGET_AT_ONCE) {
			last = path ? strdup(path) : NULL;
			code = last ? SQLITE_DONE : SQLITE_NOMEM;
			break;
		}
	}
	(void)sqlite3_reset(stmt);
	if (last) {
		free(*from);
		*from = last;
	}
	*ret_count = found;
	return code == SQLITE_DONE ? SQLITE_OK : code;
}

static int
drop_all(struct index *index, const int64_t *ids, uint32_t count,
	 uint64_t *ret_count)
{
	uint64_t dropped = 0;
	int code = index_begin_write(index);

	if (code == SQLITE_OK && index->dims == 0)
		code = index_read_model(index);
	for (uint32_t i = 0; code == SQLITE_OK && i < count; i++) {
		code = index_drop(index, ids[i]);
		/* Another process may have been here before. */
		dropped += code == SQLITE_OK && sqlite3_changes(index->db) > 0;
	}
	if (code == SQLITE_OK)
		code = index_commit(index);
	if (code != SQLITE_OK)
		return code;
	*ret_count += dropped;
	index_after_commit(index);
	return SQLITE_OK;
}

/*
 * What is found is removed in a transaction of its own, so that nobody waits
 * for us while we look through a million documents that are still there.
 */
static int
forget(struct index *index, const struct judge *judge, const char *from,
       const char *end, uint64_t *ret_count)
{
	int64_t ids[FORGET_AT_ONCE];
	char *next = strdup(from);
	uint32_t found = 0;
	int code = next ? SQLITE_OK : SQLITE_NOMEM;

	while (code == SQLITE_OK) {
		code = find_unseen(index, judge, &next, end, ids, &found);
		if (code == SQLITE_OK && found > 0)
			code = drop_all(index, ids, found, ret_count);
		if (found < FORGET_AT_ONCE)
			break;
	}
	free(next);
	return code;
}

weir_status
index_forget_unseen(struct index *index, const char *root,
		    bool (*gone)(const char *path, void *user), void *user,
		    uint64_t *ret_count, weir_error *reterr)
{
	const struct judge judge = {gone, user};
	weir_status status = index_check_writes(index, reterr);
	struct range range;
	uint64_t forgotten = 0;
	int code = SQLITE_NOMEM;

	if (status != WEIR_OK)
		return status;
	if (range_init(&range, root)) {
		code = use_seen(index);
		if (code == SQLITE_OK)
			code = forget(index, &judge, range.exact,
				      range.exact_end, &forgotten);
		if (code == SQLITE_OK)
			code = forget(index, &judge, range.below,
				      range.below_end, &forgotten);
		free(range.memory);
	}
	if (code == SQLITE_OK) {
		*ret_count = forgotten;
		return WEIR_OK;
	}
	status = index_failed(index, code, "write", reterr);
	index_rollback(index);
	return status;
}
