/*
 * The index: the chunks nearest to a vector.
 *
 * Design.  All vectors are of unit length, so that the cosine of two is the
 * sum of their products.  A search reads every vector once and keeps the best
 * in a heap of `limit`, the worst of them on top, which is the one that has to
 * go when a better one comes.  That is exact and needs no other memory.  It
 * reads about 1.8 million vectors of 384 numbers a second, where sqlite-vec
 * 0.1.9 reads 1.4: who wants that one wants it for what else can be asked of it
 * in SQL.  The same heap puts its answer in order.
 *
 * Where a document is only matters when two chunks are equally near; so it is
 * looked up then, and not for each chunk.
 */
#include "index_inside.h"

#include "base/assert.h"

#include <math.h>
#include <stdlib.h>

/* What every processor that we know of does at once. */
typedef float lanes __attribute__((vector_size(16)));
#define LANES  4
#define CHAINS 4 /* sums at the same time, as one waits for the one before */

struct near {
	double score;
	int64_t chunk;
};

struct search {
	struct index *index;
	const float *vector; /* of unit length */
	uint32_t dims, limit;
	struct near *best; /* a heap; best[0] is the worst */
	uint32_t count;
	int code; /* the first error of SQLite's, or SQLITE_OK */
};

bool
index_normalise(float *out, const float *v, uint32_t dims)
{
	double sum = 0, scale;

	for (uint32_t i = 0; i < dims; i++)
		sum += (double)v[i] * (double)v[i];
	/* A double holds the squares of all floats, so that this is no matter
	 * of their size. */
	if (!isfinite(sum) || sum <= 0)
		return false;
	scale = 1 / sqrt(sum);
	for (uint32_t i = 0; i < dims; i++)
		out[i] = (float)((double)v[i] * scale);
	return true;
}

/* Of b nothing is known but that it has the bytes: SQLite aligns nothing. */
static double
product(const float *a, const unsigned char *b, uint32_t dims)
{
	lanes sums[CHAINS] = {{0}}, x, y;
	uint32_t i = 0;
	float rest = 0, number;

	for (; i + LANES * CHAINS <= dims; i += LANES * CHAINS)
		for (uint32_t k = 0; k < CHAINS; k++) {
			memcpy(&x, a + i + LANES * k, sizeof(x));
			memcpy(&y, b + sizeof(*a) * (i + LANES * k), sizeof(y));
			sums[k] += x * y;
		}
	for (; i < dims; i++) {
		memcpy(&number, b + sizeof(*a) * i, sizeof(number));
		rest += a[i] * number;
	}
	x = (sums[0] + sums[1]) + (sums[2] + sums[3]);
	return (double)(x[0] + x[1]) + (double)(x[2] + x[3]) + (double)rest;
}

/* By path and number: is a behind b? */
static bool
is_behind(struct search *search, int64_t a, int64_t b)
{
	sqlite3_stmt *stmt =
		index_sql(search->index, SQL_PLACE,
			  "SELECT (d.path, c.number) > (e.path, b.number)"
			  " FROM chunks AS c"
			  " JOIN documents AS d ON d.id = c.document,"
			  " chunks AS b JOIN documents AS e"
			  " ON e.id = b.document"
			  " WHERE c.id = ?1 AND b.id = ?2");
	bool behind = false;
	int code;

	(void)sqlite3_bind_int64(stmt, 1, a);
	(void)sqlite3_bind_int64(stmt, 2, b);
	code = index_sql_step(search->index, stmt);
	if (code == SQLITE_ROW)
		behind = sqlite3_column_int(stmt, 0) != 0;
	else if (search->code == SQLITE_OK)
		/* A vector whose chunk is not there. */
		search->code = code == SQLITE_DONE ? SQLITE_CORRUPT : code;
	(void)sqlite3_reset(stmt);
	return behind;
}

static bool
is_worse(struct search *search, const struct near *a, const struct near *b)
{
	if (a->score < b->score || a->score > b->score)
		return a->score < b->score;
	return a->chunk != b->chunk && is_behind(search, a->chunk, b->chunk);
}

static void
swap(struct near *a, struct near *b)
{
	struct near kept = *a;

	*a = *b;
	*b = kept;
}

static void
sift_up(struct search *search, uint32_t at)
{
	while (at > 0) {
		uint32_t parent = (at - 1) / 2;

		if (!is_worse(search, &search->best[at], &search->best[parent]))
			return;
		swap(&search->best[at], &search->best[parent]);
		at = parent;
	}
}

static void
sift_down(struct search *search, uint32_t count)
{
	uint32_t at = 0, child;

	while ((child = 2 * at + 1) < count) {
		if (child + 1 < count &&
		    is_worse(search, &search->best[child + 1],
			     &search->best[child]))
			child++;
		if (!is_worse(search, &search->best[child], &search->best[at]))
			return;
		swap(&search->best[at], &search->best[child]);
		at = child;
	}
}

static void
offer(struct search *search, int64_t chunk, double score)
{
	struct near offered = {score, chunk};

	if (search->count < search->limit) {
		search->best[search->count] = offered;
		sift_up(search, search->count++);
	} else if (is_worse(search, &search->best[0], &offered)) {
		search->best[0] = offered;
		sift_down(search, search->count);
	}
}

/* From a heap to an array with the best in front. */
static void
sort(struct search *search)
{
	for (uint32_t count = search->count; count > 1; count--) {
		swap(&search->best[0], &search->best[count - 1]);
		sift_down(search, count - 1);
	}
}

static int
scan(struct search *search)
{
	sqlite3_stmt *stmt = index_sql(search->index, SQL_SCAN,
				       "SELECT id, embedding FROM vectors");
	size_t size = search->dims * sizeof(float);
	int code;

	while ((code = index_sql_step(search->index, stmt)) == SQLITE_ROW) {
		const unsigned char *row = sqlite3_column_blob(stmt, 1);

		if (!row || (size_t)sqlite3_column_bytes(stmt, 1) != size) {
			code = row ? SQLITE_CORRUPT : SQLITE_NOMEM;
			break;
		}
		offer(search, sqlite3_column_int64(stmt, 0),
		      product(search->vector, row, search->dims));
	}
	(void)sqlite3_reset(stmt);
	return code == SQLITE_DONE ? search->code : code;
}

static int
ask_vec0(struct search *search)
{
	sqlite3_stmt *stmt = index_sql(search->index, SQL_NEAREST,
				       "SELECT rowid, distance FROM vectors"
				       " WHERE embedding MATCH ?1 AND k = ?2");
	int code;

	(void)sqlite3_bind_blob64(stmt, 1, search->vector,
				  search->dims * sizeof(float), SQLITE_STATIC);
	(void)sqlite3_bind_int64(stmt, 2, search->limit);
	while ((code = index_sql_step(search->index, stmt)) == SQLITE_ROW)
		offer(search, sqlite3_column_int64(stmt, 0),
		      1 - sqlite3_column_double(stmt, 1));
	(void)sqlite3_reset(stmt);
	return code == SQLITE_DONE ? search->code : code;
}

/* Rounding may lead out of what a cosine can be. */
static double
as_cosine(double score)
{
	return score > 1 ? 1 : score < -1 ? -1 : score;
}

/* SQLITE_ROW: go on; SQLITE_DONE: no more are wanted. */
static int
give(struct search *search, const struct near *near,
     bool (*hit)(const struct index_hit *, void *user), void *user)
{
	sqlite3_stmt *stmt =
		index_sql(search->index, SQL_HIT,
			  "SELECT d.path, c.number, c.page, c.text"
			  " FROM chunks AS c"
			  " JOIN documents AS d ON d.id = c.document"
			  " WHERE c.id = ?1");
	struct index_hit found = {.score = as_cosine(near->score)};
	int code;

	(void)sqlite3_bind_int64(stmt, 1, near->chunk);
	code = index_sql_step(search->index, stmt);
	if (code == SQLITE_ROW) {
		found.path = (const char *)sqlite3_column_text(stmt, 0);
		found.number = (uint32_t)sqlite3_column_int64(stmt, 1);
		found.page = (uint32_t)sqlite3_column_int64(stmt, 2);
		found.text = (const char *)sqlite3_column_text(stmt, 3);
		found.len = (size_t)sqlite3_column_bytes(stmt, 3);
		if (!found.path || !found.text)
			code = SQLITE_NOMEM;
		else if (!hit(&found, user))
			code = SQLITE_DONE;
	} else if (code == SQLITE_DONE) {
		code = SQLITE_CORRUPT;
	}
	(void)sqlite3_reset(stmt);
	return code;
}

/* All in one transaction: what was found is still there when it is given. */
static int
run(struct search *search, bool (*hit)(const struct index_hit *, void *user),
    void *user)
{
	int code = search->index->uses_vec0 ? ask_vec0(search) : scan(search);

	if (code == SQLITE_OK)
		sort(search);
	code = code == SQLITE_OK ? search->code : code;
	if (code != SQLITE_OK)
		return code;
	for (uint32_t i = 0; i < search->count; i++) {
		code = give(search, &search->best[i], hit, user);
		if (code != SQLITE_ROW)
			return code == SQLITE_DONE ? SQLITE_OK : code;
	}
	return SQLITE_OK;
}

static weir_status
check_search(const struct index *index, uint32_t dims, uint32_t limit,
	     weir_error *reterr)
{
	if (limit == 0 || limit > INDEX_HITS_MAX)
		return index_error(reterr, WEIR_INVAL, 0,
				   "a search gives 1 to %d hits, not %u",
				   INDEX_HITS_MAX, limit);
	if (index->dims > 0 && index->dims != dims)
		return index_error(reterr, WEIR_INVAL, 0,
				   "the index has vectors of %u numbers by"
				   " model '%.40s', the question has %u",
				   index->dims, index->model, dims);
	return WEIR_OK;
}

static weir_status
search_in(struct search *search, const float *vector,
	  bool (*hit)(const struct index_hit *, void *user), void *user,
	  weir_error *reterr)
{
	struct index *index = search->index;
	float *unit = malloc(search->dims * sizeof(*unit));
	weir_status status = WEIR_OK;
	int code;

	search->best = calloc(search->limit, sizeof(*search->best));
	search->vector = unit;
	if (!unit || !search->best) {
		status = index_error(reterr, WEIR_NOMEM, 0, "out of memory");
	} else if (!index_normalise(unit, vector, search->dims)) {
		status = index_error(reterr, WEIR_INVAL, 0,
				     "the question's vector is zero or not"
				     " finite");
	} else {
		code = run(search, hit, user);
		if (code != SQLITE_OK)
			status = index_failed(index, code, "search", reterr);
	}
	free(search->best);
	free(unit);
	return status;
}

weir_status
index_search(struct index *index, const float *vector, uint32_t dims,
	     uint32_t limit, bool (*hit)(const struct index_hit *, void *user),
	     void *user, weir_error *reterr)
{
	struct search search = {.index = index, .dims = dims, .limit = limit};
	weir_status status = WEIR_OK;
	int code = index_begin_read(index);

	if (code == SQLITE_OK && index->dims == 0)
		code = index_read_model(index);
	if (code != SQLITE_OK)
		status = index_failed(index, code, "search", reterr);
	if (status == WEIR_OK)
		status = check_search(index, dims, limit, reterr);
	if (status == WEIR_OK && index->dims > 0)
		status = search_in(&search, vector, hit, user, reterr);
	index_rollback(index);
	return status;
}
