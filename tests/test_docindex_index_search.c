/*
 * Searching docindex's index: what it gives is what a brute force gives, with
 * a table of vectors and with sqlite-vec, after any history.
 */
#include "docindex_index_util.h"

#include "base/rng.h"

#include <math.h>

#define PATHS 24

/* What ought to be in the index: the version and the chunks of each path. */
struct model {
	struct {
		unsigned version; /* 0: it is not there */
		size_t chunks;
	} docs[PATHS];
};

static const char *
path_of(unsigned i)
{
	static char path[16];

	snprintf(path, sizeof(path), "d/%02u", i);
	return path;
}

static double
cosine(const float *a, const float *b)
{
	double ab = 0, aa = 0, bb = 0;

	for (int i = 0; i < DIMS; i++) {
		ab += (double)a[i] * (double)b[i];
		aa += (double)a[i] * (double)a[i];
		bb += (double)b[i] * (double)b[i];
	}
	return ab / sqrt(aa * bb);
}

static int
by_score(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x < y) - (x > y);
}

/* The scores of all chunks, the best first.  How many there are. */
static size_t
brute_force(const struct model *model, const float *asked, double *scores)
{
	struct made made;
	size_t count = 0;

	for (unsigned i = 0; i < PATHS; i++) {
		if (model->docs[i].version == 0)
			continue;
		make_doc(&made, path_of(i), model->docs[i].version,
			 model->docs[i].chunks);
		for (size_t j = 0; j < model->docs[i].chunks; j++)
			scores[count++] = cosine(asked, made.vectors[j]);
	}
	qsort(scores, count, sizeof(*scores), by_score);
	return count;
}

struct hits {
	const struct model *model;
	const float *asked;
	const double *scores; /* of brute_force() */
	size_t count, stop;
	char names[64][24];
};

/* Each hit is where it ought to be, and is the chunk that it says. */
static bool
check_hit(const struct index_hit *hit, void *user)
{
	struct hits *hits = user;
	unsigned i = (unsigned)atoi(hit->path + 2);
	struct made made;

	REQUIRE(i < PATHS && hit->number < CHUNKS_MAX);
	make_doc(&made, path_of(i), hits->model->docs[i].version,
		 hits->model->docs[i].chunks);
	CHECK_STR(hit->path, path_of(i));
	CHECK(hit->number < hits->model->docs[i].chunks);
	CHECK_EQ_INT(hit->page, hit->number / 2);
	CHECK_EQ_INT(hit->len, strlen(made.texts[hit->number]));
	CHECK(memcmp(hit->text, made.texts[hit->number], hit->len) == 0);
	CHECK(fabs(hit->score -
		   cosine(hits->asked, made.vectors[hit->number])) < 1e-5);
	CHECK(fabs(hit->score - hits->scores[hits->count]) < 1e-5);
	hits->count++;
	return true;
}

static void
check_search(struct index *index, const struct model *model,
	     struct weir_rng *rng)
{
	double scores[PATHS * CHUNKS_MAX];
	float asked[DIMS];
	uint32_t limit = (uint32_t)weir__rng_below(rng, 50) + 1;
	struct hits hits = {.model = model, .asked = asked, .scores = scores};
	weir_error error = {0};
	size_t all;

	for (int i = 0; i < DIMS; i++)
		asked[i] = (float)(weir__rng_unit(rng) * 20 - 10);
	all = brute_force(model, asked, scores);
	CHECK_MSG(index_search(index, asked, DIMS, limit, check_hit, &hits,
			       &error) == WEIR_OK,
		  "%s", error.message);
	CHECK_EQ_INT(hits.count, all < limit ? all : limit);
}

static void
check_known(struct index *index, const struct model *model)
{
	struct index_counts expected = {0}, now = counts(index);

	for (unsigned i = 0; i < PATHS; i++) {
		unsigned version = model->docs[i].version;

		CHECK_EQ_INT(see(index, path_of(i), version ? version : 1),
			     version ? INDEX_UNCHANGED : INDEX_NEW);
		expected.documents += version > 0;
		expected.chunks += model->docs[i].chunks;
	}
	CHECK_EQ_INT(now.documents, expected.documents);
	CHECK_EQ_INT(now.chunks, expected.chunks);
}

/* Put some, in one transaction; a path may be there twice. */
static void
put_some(struct index *index, struct model *model, struct weir_rng *rng,
	 unsigned version)
{
	static struct made made[5];
	const struct index_doc *docs[5];
	static char paths[5][16];
	size_t count = weir__rng_below(rng, 5) + 1;
	weir_error error = {0};

	for (size_t i = 0; i < count; i++) {
		unsigned at = (unsigned)weir__rng_below(rng, PATHS);
		size_t chunks = weir__rng_below(rng, CHUNKS_MAX + 1);

		snprintf(paths[i], sizeof(paths[i]), "%s", path_of(at));
		make_doc(&made[i], paths[i], version, chunks);
		docs[i] = &made[i].doc;
		model->docs[at].version = version;
		model->docs[at].chunks = chunks;
	}
	CHECK_MSG(index_put(index, docs, count, "model", DIMS, &error) ==
			  WEIR_OK,
		  "%s", error.message);
}

static void
remove_one(struct index *index, struct model *model, struct weir_rng *rng)
{
	unsigned at = (unsigned)weir__rng_below(rng, PATHS);
	bool there = false;

	CHECK_EQ_INT(index_remove(index, path_of(at), &there, NULL), WEIR_OK);
	CHECK_EQ_INT(there, model->docs[at].version > 0);
	model->docs[at].version = 0;
	model->docs[at].chunks = 0;
}

/* See what is even and forget the rest, with a connection of its own. */
static void
forget_odd(const char *vec0, struct model *model)
{
	struct index *index = open_index(made_path, vec0);
	uint64_t expected = 0;

	for (unsigned i = 0; i < PATHS; i++) {
		if (i % 2 == 0) {
			(void)see(index, path_of(i), 1);
			continue;
		}
		expected += model->docs[i].version > 0;
		model->docs[i].version = 0;
		model->docs[i].chunks = 0;
	}
	CHECK_EQ_INT(forget(index, "d"), expected);
	(void)index_close(index);
}

static void
random_history(const char *vec0)
{
	struct index *index = open_index(new_path(), vec0);
	struct model model = {0};
	struct weir_rng rng;

	weir__rng_seed(&rng, test_seed());
	for (unsigned step = 1; step <= 300; step++) {
		uint64_t what = weir__rng_below(&rng, 20);

		if (what < 10)
			put_some(index, &model, &rng, step);
		else if (what < 15)
			remove_one(index, &model, &rng);
		else if (what < 18)
			check_search(index, &model, &rng);
		else if (what == 18)
			forget_odd(vec0, &model);
		else
			index = (index_close(index),
				 open_index(made_path, vec0));
		if (step % 50 == 0)
			check_known(index, &model);
	}
	(void)index_close(index);
	check_whole(made_path);
	check_vectors(made_path, strcmp(vec0, "none") != 0);
	done();
}

TEST_LIMIT(docindex_index_search, equals_a_brute_force_after_any_history, 60)
{
	random_history("none");
}

TEST_LIMIT(docindex_index_search,
	   with_sqlite_vec_equals_a_brute_force_after_any_history, 60)
{
	random_history(test_vec0());
}

/* Note the hit's name; stop after hits->stop of them. */
static bool
note_hit(const struct index_hit *hit, void *user)
{
	struct hits *hits = user;

	REQUIRE(hits->count < 64);
	snprintf(hits->names[hits->count], sizeof(hits->names[0]), "%s %u",
		 hit->path, hit->number);
	return ++hits->count != hits->stop;
}

/* A document all of whose chunks have the same vector. */
static void
put_twins(struct index *index, const char *path, size_t chunks)
{
	struct made made;
	const struct index_doc *docs[] = {&made.doc};

	make_doc(&made, path, 1, chunks);
	for (size_t i = 0; i < chunks; i++)
		for (int j = 0; j < DIMS; j++)
			made.vectors[i][j] = (float)(j + 1);
	CHECK_EQ_INT(index_put(index, docs, 1, "model", DIMS, NULL), WEIR_OK);
}

static const float asked_twins[DIMS] = {1, 2, 3, 4, 5, 6, 7, 9};

TEST(docindex_index_search, what_is_equally_near_comes_by_path_and_number)
{
	struct index *index = open_index(new_path(), "none");
	struct hits hits = {0};

	put_twins(index, "b", 3);
	put_twins(index, "c", 3);
	put_twins(index, "a", 2);
	put_twins(index, "B", 1);
	CHECK_EQ_INT(index_search(index, asked_twins, DIMS, 5, note_hit, &hits,
				  NULL),
		     WEIR_OK);
	CHECK_EQ_INT(hits.count, 5);
	CHECK_STR(hits.names[0], "B 0");
	CHECK_STR(hits.names[1], "a 0");
	CHECK_STR(hits.names[2], "a 1");
	CHECK_STR(hits.names[3], "b 0");
	CHECK_STR(hits.names[4], "b 1");
	(void)index_close(index);
	done();
}

TEST(docindex_index_search, stops_when_no_more_are_wanted)
{
	struct index *index = open_index(new_path(), "none");
	struct hits hits = {.stop = 2};

	put_twins(index, "a", 8);
	CHECK_EQ_INT(index_search(index, asked_twins, DIMS, 5, note_hit, &hits,
				  NULL),
		     WEIR_OK);
	CHECK_EQ_INT(hits.count, 2);
	/* And the connection is as good as before. */
	put_twins(index, "a", 1);
	(void)index_close(index);
	done();
}

TEST(docindex_index_search, a_question_that_makes_no_sense_is_refused)
{
	struct index *index = open_index(new_path(), "none");
	static const float zero[DIMS];
	float nan[DIMS] = {1, NAN};
	struct hits hits = {0};
	weir_error error = {0};

	CHECK_EQ_INT(index_search(index, asked_twins, DIMS, 5, note_hit, &hits,
				  NULL),
		     WEIR_OK);
	CHECK_EQ_INT(hits.count, 0);
	put_twins(index, "a", 2);
	CHECK_EQ_INT(
		index_search(index, asked_twins, 4, 5, note_hit, &hits, &error),
		WEIR_INVAL);
	CHECK_STR(error.message, "the index has vectors of 8 numbers by model"
				 " 'model', the question has 4");
	CHECK_EQ_INT(index_search(index, zero, DIMS, 5, note_hit, &hits, NULL),
		     WEIR_INVAL);
	CHECK_EQ_INT(index_search(index, nan, DIMS, 5, note_hit, &hits, NULL),
		     WEIR_INVAL);
	CHECK_EQ_INT(index_search(index, asked_twins, DIMS, 0, note_hit, &hits,
				  NULL),
		     WEIR_INVAL);
	CHECK_EQ_INT(index_search(index, asked_twins, DIMS, INDEX_HITS_MAX + 1,
				  note_hit, &hits, NULL),
		     WEIR_INVAL);
	CHECK_EQ_INT(hits.count, 0);
	(void)index_close(index);
	done();
}

TEST(docindex_index_search, who_has_opened_before_the_first_chunk_finds_it)
{
	struct index *index = open_index(new_path(), "none"), *reader;
	struct index_options options = {.path = made_path};
	struct hits hits = {0};

	REQUIRE(index_open(&reader, &options, NULL) == WEIR_OK);
	put_twins(index, "a", 2);
	CHECK_EQ_INT(index_search(reader, asked_twins, DIMS, 9, note_hit, &hits,
				  NULL),
		     WEIR_OK);
	CHECK_EQ_INT(hits.count, 2);
	CHECK_STR(index_model(reader), "model");
	(void)index_close(reader);
	(void)index_close(index);
	done();
}

TEST(docindex_index_search, a_vector_of_another_length_is_damage)
{
	struct index *index = open_index(new_path(), "none");
	struct hits hits = {0};
	weir_error error = {0};

	put_twins(index, "a", 2);
	(void)ask_file(made_path, "UPDATE vectors SET embedding = x'00'"
				  " WHERE id = 2");
	CHECK_EQ_INT(index_search(index, asked_twins, DIMS, 9, note_hit, &hits,
				  &error),
		     WEIR_CORRUPT);
	CHECK(strstr(error.message, "docs.db"));
	(void)index_close(index);
	done();
}

static weir_status
open_status(const char *vec0, weir_error *reterr)
{
	struct index_options options = {made_path, true, true, vec0};
	struct index *index = NULL;
	weir_status status = index_open(&index, &options, reterr);

	(void)index_close(index);
	return status;
}

TEST(docindex_index_search, an_extension_that_cannot_be_loaded_is_told)
{
	weir_error error = {0};

	(void)new_path();
	CHECK_EQ_INT(open_status("/nowhere/vec0.so", &error), WEIR_INVAL);
	CHECK(strstr(error.message, "cannot load sqlite-vec: /nowhere/vec0"));
	CHECK_EQ_INT(open_status("nowhere.so", &error), WEIR_INVAL);
	CHECK_EQ_INT(open_status("none", &error), WEIR_OK);
	done();
}

TEST(docindex_index_search, an_index_with_sqlite_vec_needs_it_for_good)
{
	struct index *index = open_index(new_path(), test_vec0());
	weir_error error = {0};

	CHECK(index_uses_vec0(index));
	(void)index_close(index);
	CHECK_EQ_INT(open_status("none", &error), WEIR_INVAL);
	CHECK(strstr(error.message, "was made with sqlite-vec"));
	/* It may be in one of the system's folders. */
	if (open_status(NULL, &error) != WEIR_OK)
		CHECK(strstr(error.message, "needs sqlite-vec"));
	CHECK_EQ_INT(open_status(test_vec0(), &error), WEIR_OK);
	done();
}

TEST(docindex_index_search, an_index_without_sqlite_vec_stays_without_it)
{
	struct index *index = open_index(new_path(), "none");

	(void)index_close(index);
	index = open_index(made_path, test_vec0());
	CHECK(!index_uses_vec0(index));
	put(index, "a", 1, 3);
	(void)index_close(index);
	index = open_index(made_path, "none");
	CHECK_EQ_INT(see(index, "a", 1), INDEX_UNCHANGED);
	(void)index_close(index);
	done();
}
