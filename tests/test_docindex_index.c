/*
 * The index of docindex: what is put can be seen, found, forgotten, removed;
 * and what cannot be opened is told.
 */
#include "docindex_index_util.h"

#include "base/rng.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <sys/stat.h>
#include <sys/wait.h>

static weir_status
open_as(const char *path, bool create, bool write, const char *vec0,
	weir_error *reterr)
{
	struct index_options options = {path, create, write, vec0};
	struct index *index = NULL;
	weir_status status;

	memset(reterr, 0, sizeof(*reterr));
	status = index_open(&index, &options, reterr);
	(void)index_close(index);
	return status;
}

static void
write_file(const char *path, const char *text, size_t len)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	REQUIRE(fd >= 0 && write(fd, text, len) == (ssize_t)len);
	(void)close(fd);
}

TEST(docindex_index, a_file_that_is_not_there_is_not_found)
{
	const char *path = new_path();
	weir_error error;

	CHECK_EQ_INT(open_as(path, false, true, "none", &error), WEIR_NOTFOUND);
	CHECK(strstr(error.message, "docs.db"));
	CHECK_EQ_INT(open_as(path, false, false, "none", &error),
		     WEIR_NOTFOUND);
	CHECK(access(path, F_OK) != 0);
	CHECK_EQ_INT(open_as(path, true, true, "none", &error), WEIR_OK);
	CHECK_EQ_INT(open_as(path, false, false, NULL, &error), WEIR_OK);
	CHECK_EQ_INT(open_as("", true, true, "none", &error), WEIR_INVAL);
	done();
}

TEST(docindex_index, an_empty_file_is_used_by_who_creates)
{
	const char *path = new_path();
	weir_error error;

	write_file(path, "", 0);
	CHECK_EQ_INT(open_as(path, false, true, "none", &error), WEIR_NOTFOUND);
	CHECK_EQ_INT(open_as(path, true, true, "none", &error), WEIR_OK);
	done();
}

TEST(docindex_index, something_else_is_foreign_and_left_alone)
{
	const char *path = new_path();
	char text[5000];
	weir_error error;

	memset(text, 'x', sizeof(text));
	write_file(path, text, sizeof(text));
	CHECK_EQ_INT(open_as(path, true, true, "none", &error), WEIR_FOREIGN);
	write_file(path, "short", 5);
	CHECK_EQ_INT(open_as(path, true, true, "none", &error), WEIR_FOREIGN);
	CHECK_EQ_INT(open_as("/tmp", true, true, "none", &error), WEIR_FOREIGN);
	REQUIRE(unlink(path) == 0);
	(void)ask_file(path, "CREATE TABLE documents (id)");
	CHECK_EQ_INT(open_as(path, true, true, "none", &error), WEIR_FOREIGN);
	CHECK(strstr(error.message, "of another kind"));
	CHECK_EQ_INT(ask_file(path, "SELECT count(*) FROM sqlite_schema"), 1);
	/* With our mark, but without what is ours. */
	(void)ask_file(path, "PRAGMA application_id = 0x64636978");
	(void)ask_file(path, "PRAGMA user_version = 1");
	CHECK_EQ_INT(open_as(path, true, true, "none", &error), WEIR_FOREIGN);
	done();
}

TEST(docindex_index, one_of_a_newer_program_is_told)
{
	const char *path = new_path();
	weir_error error;

	CHECK_EQ_INT(open_as(path, true, true, "none", &error), WEIR_OK);
	(void)ask_file(path, "PRAGMA user_version = 2");
	CHECK_EQ_INT(open_as(path, true, true, "none", &error), WEIR_NEWER);
	CHECK(strstr(error.message, "its version is 2, this one knows 1"));
	done();
}

TEST(docindex_index, what_is_only_read_cannot_be_changed)
{
	const char *path = new_path();
	struct index_options options = {.path = path, .vec0 = "none"};
	struct index *index = NULL;
	uint64_t count;
	bool there;

	index = index_close(open_index(path, "none"));
	REQUIRE(index_open(&index, &options, NULL) == WEIR_OK);
	CHECK_EQ_INT(put_version(index, "a", 1, 1, NULL), WEIR_INVAL);
	CHECK_EQ_INT(index_remove(index, "a", &there, NULL), WEIR_INVAL);
	CHECK_EQ_INT(index_forget_unseen(index, "a", NULL, NULL, &count, NULL),
		     WEIR_INVAL);
	CHECK_EQ_INT(see(index, "a", 1), INDEX_NEW);
	(void)index_close(index);
	done();
}

/* As somebody whom permissions bind. */
static _Noreturn void
open_as_another(void)
{
	weir_error error;
	bool good;

	if (geteuid() == 0 && setresuid(65534, 65534, 65534) != 0)
		_exit(2);
	good = open_as(made_path, false, true, "none", &error) == WEIR_SYSTEM &&
	       error.native == EACCES &&
	       strstr(error.message, "docs.db may not be written");
	good = good &&
	       open_as(made_path, false, false, "none", &error) ==
		       WEIR_SYSTEM &&
	       error.native == EACCES && strstr(error.message, "files beside");
	_exit(good ? 0 : 1);
}

TEST(docindex_index, what_may_not_be_written_is_told)
{
	int how = 0;
	pid_t pid;

	(void)index_close(open_index(new_path(), "none"));
	REQUIRE(chmod(made_path, 0444) == 0 && chmod(made_folder, 0555) == 0);
	pid = fork();
	REQUIRE(pid >= 0);
	if (pid == 0)
		open_as_another();
	REQUIRE(waitpid(pid, &how, 0) == pid);
	CHECK(WIFEXITED(how));
	CHECK_EQ_INT(WEXITSTATUS(how), 0);
	(void)chmod(made_folder, 0755);
	done();
}

TEST(docindex_index, sees_what_is_new_changed_and_unchanged)
{
	struct index *index = open_index(new_path(), "none");

	CHECK_EQ_INT(see(index, "a/b.txt", 1), INDEX_NEW);
	put(index, "a/b.txt", 1, 3);
	CHECK_EQ_INT(see(index, "a/b.txt", 1), INDEX_UNCHANGED);
	CHECK_EQ_INT(see(index, "a/b.txt", 2), INDEX_CHANGED);
	CHECK_EQ_INT(see(index, "a/B.txt", 1), INDEX_NEW);
	put(index, "a/b.txt", 2, 5);
	CHECK_EQ_INT(see(index, "a/b.txt", 2), INDEX_UNCHANGED);
	CHECK_EQ_INT(counts(index).documents, 1);
	CHECK_EQ_INT(counts(index).chunks, 5);
	put(index, "a/b.txt", 3, 0);
	CHECK_EQ_INT(counts(index).documents, 1);
	CHECK_EQ_INT(counts(index).chunks, 0);
	(void)index_close(index);
	check_whole(made_path);
	check_vectors(made_path, false);
	done();
}

TEST(docindex_index, the_model_and_the_dims_are_those_of_the_first_chunk)
{
	struct index *index = open_index(new_path(), "none");
	struct made made;
	const struct index_doc *docs[] = {&made.doc};
	weir_error error;

	CHECK(!index_model(index) && index_dims(index) == 0);
	make_doc(&made, "none", 1, 0);
	CHECK_EQ_INT(index_put(index, docs, 1, "x", 0, NULL), WEIR_OK);
	CHECK(!index_model(index));
	put(index, "a", 1, 2);
	CHECK_STR(index_model(index), "model");
	CHECK_EQ_INT(index_dims(index), DIMS);
	make_doc(&made, "b", 1, 2);
	CHECK_EQ_INT(index_put(index, docs, 1, "b", DIMS, &error),
		     WEIR_PERMANENT);
	CHECK_STR(error.message, "the index has vectors of 8 numbers by model"
				 " 'model', these are 8 by 'b'");
	CHECK_EQ_INT(index_put(index, docs, 1, "model", 4, &error),
		     WEIR_PERMANENT);
	CHECK_EQ_INT(counts(index).documents, 2);
	(void)index_close(index);
	index = open_index(made_path, "none");
	CHECK_STR(index_model(index), "model");
	CHECK_EQ_INT(index_dims(index), DIMS);
	(void)index_close(index);
	done();
}

/* All of these had been opened when there was no vector yet. */
TEST(docindex_index, who_was_not_first_takes_the_model_that_was)
{
	struct index *first = open_index(new_path(), "none");
	struct index *second = open_index(made_path, "none");
	struct index *third = open_index(made_path, "none");
	struct index *fourth = open_index(made_path, "none");
	struct made made;
	const struct index_doc *docs[] = {&made.doc};
	bool there = false;

	put(first, "a", 1, 2);
	put(first, "b", 1, 2);
	put(second, "a", 2, 3);
	CHECK_STR(index_model(second), "model");
	make_doc(&made, "a", 3, 1);
	CHECK_EQ_INT(index_put(third, docs, 1, "another", DIMS, NULL),
		     WEIR_PERMANENT);
	CHECK_EQ_INT(index_remove(fourth, "a", &there, NULL), WEIR_OK);
	CHECK(there);
	CHECK_EQ_INT(counts(first).chunks, 2);
	(void)index_close(fourth);
	(void)index_close(third);
	(void)index_close(second);
	(void)index_close(first);
	check_vectors(made_path, false);
	done();
}

TEST(docindex_index, a_vector_without_direction_is_refused_and_nothing_put)
{
	struct index *index = open_index(new_path(), "none");
	struct made good, bad;
	const struct index_doc *docs[] = {&good.doc, &bad.doc};
	weir_error error;

	make_doc(&good, "good", 1, 2);
	make_doc(&bad, "bad/one", 1, 3);
	memset(bad.vectors[2], 0, sizeof(bad.vectors[2]));
	CHECK_EQ_INT(index_put(index, docs, 2, "model", DIMS, &error),
		     WEIR_PERMANENT);
	CHECK(strstr(error.message, "chunk 2 of bad/one"));
	bad.vectors[2][3] = NAN;
	CHECK_EQ_INT(index_put(index, docs, 2, "model", DIMS, NULL),
		     WEIR_PERMANENT);
	bad.vectors[2][3] = -INFINITY;
	CHECK_EQ_INT(index_put(index, docs, 2, "model", DIMS, NULL),
		     WEIR_PERMANENT);
	/* The smallest and the largest have one. */
	bad.vectors[2][3] = 1e-45F;
	bad.vectors[1][3] = 3e38F;
	CHECK(!index_model(index) && counts(index).documents == 0);
	CHECK_EQ_INT(index_put(index, docs, 2, "model", DIMS, NULL), WEIR_OK);
	bad.chunks[1].number = 0;
	CHECK_EQ_INT(index_put(index, docs, 2, "model", DIMS, &error),
		     WEIR_PERMANENT);
	CHECK_EQ_INT(counts(index).chunks, 5);
	(void)index_close(index);
	done();
}

TEST(docindex_index, forgets_what_is_below_a_folder_and_was_not_seen)
{
	struct index *index = open_index(new_path(), "none");

	put(index, "docs", 1, 1);
	put(index, "docs/a", 1, 1);
	put(index, "docs/b%", 1, 2);
	put(index, "docs/sub/c", 1, 1);
	put(index, "docs-old/a", 1, 1);
	put(index, "docs0", 1, 1);
	put(index, "DOCS/a", 1, 1);
	CHECK_EQ_INT(forget(index, "docs"), 0); /* all of this run */
	(void)index_close(index);

	index = open_index(made_path, "none");
	CHECK_EQ_INT(see(index, "docs/a", 2), INDEX_CHANGED);
	CHECK_EQ_INT(see(index, "docs/sub/c", 1), INDEX_UNCHANGED);
	put(index, "docs/new", 1, 1);
	CHECK_EQ_INT(forget(index, "docs/"), 2);
	CHECK_EQ_INT(see(index, "docs", 1), INDEX_NEW);
	CHECK_EQ_INT(see(index, "docs/b%", 1), INDEX_NEW);
	CHECK_EQ_INT(see(index, "docs/new", 1), INDEX_UNCHANGED);
	CHECK_EQ_INT(counts(index).documents, 6);
	CHECK_EQ_INT(forget(index, "docs"), 0);
	(void)index_close(index);
	check_whole(made_path);
	check_vectors(made_path, false);
	done();
}

TEST(docindex_index, what_another_has_put_since_is_not_forgotten)
{
	struct index *index = open_index(new_path(), "none"), *other;

	put(index, "d/old", 1, 1);
	put(index, "d/gone", 1, 1);
	(void)index_close(index);
	index = open_index(made_path, "none");
	other = open_index(made_path, "none");
	put(other, "d/old", 2, 1);
	put(other, "d/new", 1, 1);
	CHECK_EQ_INT(forget(index, "d"), 1);
	CHECK_EQ_INT(see(other, "d/old", 2), INDEX_UNCHANGED);
	CHECK_EQ_INT(see(other, "d/new", 1), INDEX_UNCHANGED);
	CHECK_EQ_INT(see(other, "d/gone", 1), INDEX_NEW);
	(void)index_close(other);
	(void)index_close(index);
	done();
}

TEST(docindex_index, what_is_below_a_spared_folder_is_not_forgotten)
{
	struct index *index = open_index(new_path(), "none");

	put(index, "/d/shut/a", 1, 1);
	put(index, "/d/shut/b/c", 1, 1);
	put(index, "/d/shut", 1, 1);
	put(index, "/d/shutter", 1, 1);
	put(index, "/d/a", 1, 1);
	(void)index_close(index);
	index = open_index(made_path, "none");
	CHECK_EQ_INT(index_spare(index, "/d/shut", NULL), WEIR_OK);
	CHECK_EQ_INT(forget(index, "/"), 2);
	CHECK_EQ_INT(counts(index).documents, 3);
	(void)index_close(index);
	done();
}

TEST_LIMIT(docindex_index, forgets_thousands_in_steps, 60)
{
	struct index *index = open_index(new_path(), "none");
	char path[32];

	for (unsigned i = 0; i < 3000; i++) {
		snprintf(path, sizeof(path), "d/%u", i);
		put(index, path, 1, i % 3);
	}
	(void)index_close(index);
	index = open_index(made_path, "none");
	for (unsigned i = 0; i < 3000; i += 5) {
		snprintf(path, sizeof(path), "d/%u", i);
		CHECK_EQ_INT(see(index, path, 1), INDEX_UNCHANGED);
	}
	CHECK_EQ_INT(forget(index, "d"), 2400);
	CHECK_EQ_INT(counts(index).documents, 600);
	CHECK_EQ_INT(forget(index, "d"), 0);
	(void)index_close(index);
	check_whole(made_path);
	done();
}

TEST(docindex_index, a_path_is_any_bytes)
{
	static const char *const paths[] = {
		"it's",       "\"",
		"100%",       "a_b",
		"two\nlines", "\xff\xfe",
		"\xc3",       "\xc3\xa4",
		" ",          "a'; DROP TABLE documents; --",
		"\x01",
	};
	struct index *index = open_index(new_path(), "none");
	size_t count = sizeof(paths) / sizeof(*paths);
	bool there = false;

	for (unsigned i = 0; i < count; i++)
		put(index, paths[i], i, 1);
	CHECK_EQ_INT(counts(index).documents, count);
	for (unsigned i = 0; i < count; i++) {
		CHECK_EQ_INT(see(index, paths[i], i), INDEX_UNCHANGED);
		CHECK_EQ_INT(index_remove(index, paths[i], &there, NULL),
			     WEIR_OK);
		CHECK(there);
		CHECK_EQ_INT(index_remove(index, paths[i], &there, NULL),
			     WEIR_OK);
		CHECK(!there);
	}
	CHECK_EQ_INT(counts(index).chunks, 0);
	(void)index_close(index);
	done();
}

TEST(docindex_index, a_damaged_file_is_told)
{
	struct index *index = open_index(new_path(), "none");
	enum index_known known;
	struct made made;
	weir_status status;
	weir_error error = {0};
	struct stat st;
	int fd;

	for (unsigned i = 0; i < 50; i++) {
		char path[16];

		snprintf(path, sizeof(path), "%u", i);
		put(index, path, 1, 8);
	}
	(void)index_close(index);
	fd = open(made_path, O_RDWR);
	REQUIRE(fd >= 0 && fstat(fd, &st) == 0);
	/* The first page has the schema; what follows is no page of a tree. */
	for (off_t at = 8192; at < st.st_size; at += 64)
		REQUIRE(pwrite(fd, "\x77 not a page of any tree at all..", 32,
			       at) == 32);
	(void)close(fd);
	REQUIRE(index_open(&index,
			   &(struct index_options){.path = made_path,
						   .vec0 = "none"},
			   &error) != WEIR_OK ||
		index);
	status = error.status;
	if (status == WEIR_OK) {
		make_doc(&made, "7", 1, 0);
		status = index_see(index, "7", made.hash, &known, &error);
		(void)index_close(index);
	}
	CHECK_EQ_INT(status, WEIR_CORRUPT);
	CHECK(strstr(error.message, "docs.db"));
	CHECK(strstr(error.message, "malformed"));
	done();
}
