/*
 * What is no store, or was one, where a store should be: each is told apart,
 * with a reason, and left as it is.
 */
#include "harness.h"
#include "scratch.h"

#include "base/rng.h"

#include <weir/queue.h>

#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A folder, a path in it, and what was said last. */
struct place {
	char folder[SCRATCH_MAX], path[SCRATCH_MAX + 16];
	weir_error error;
};

static struct place
place_new(void)
{
	struct place p = {.folder = ""};

	scratch_make(p.folder);
	(void)snprintf(p.path, sizeof(p.path), "%s/jobs.db", p.folder);
	return p;
}

static void
place_remove(const struct place *p)
{
	scratch_remove(p->folder);
}

/* Open it with these options; it is closed again if that goes well. */
static weir_status
try_open(struct place *p, weir_store_options options)
{
	weir_store *store = NULL;
	weir_status status;

	options.size = sizeof(options);
	options.url = p->path;
	p->error = (weir_error){0};
	status = weir_store_open(&store, &options, &p->error);
	CHECK((status == WEIR_OK) == (store != NULL));
	CHECK(status == WEIR_OK || p->error.message[0]);
	CHECK(status == WEIR_OK || p->error.status == status);
	weir_store_close(store);
	return status;
}

#define TRY(p, ...) try_open(p, (weir_store_options){__VA_ARGS__})

static weir_store *
store_open(struct place *p, weir_store_options options)
{
	weir_store *store = NULL;

	options.size = sizeof(options);
	options.url = p->path;
	CHECK_MSG(weir_store_open(&store, &options, &p->error) == WEIR_OK, "%s",
		  p->error.message);
	REQUIRE(store);
	return store;
}

static weir_status
insert_some(weir_store *store, size_t count, weir_error *error)
{
	weir_insert inserts[100];

	REQUIRE(count <= 100);
	for (size_t i = 0; i < count; i++) {
		inserts[i] = (weir_insert)WEIR_INSERT_INIT;
		inserts[i].kind = "email";
		inserts[i].args = "{\"to\":\"a@b.example\"}";
	}
	return weir_store_insert(store, inserts, count, NULL, NULL, error);
}

/* A store with so many jobs in it, closed. */
static void
make_store(struct place *p, size_t jobs)
{
	weir_store *store = store_open(p, (weir_store_options){.create = true});

	for (size_t i = 0; i < jobs; i += 50)
		CHECK_EQ_INT(insert_some(store, 50, NULL), WEIR_OK);
	weir_store_close(store);
}

static void
write_file(const char *path, const void *data, size_t len)
{
	FILE *file = fopen(path, "w");

	REQUIRE(file);
	CHECK_EQ_INT(fwrite(data, 1, len, file), len);
	REQUIRE(fclose(file) == 0);
}

static unsigned char *
read_file(const char *path, size_t *ret_len)
{
	FILE *file = fopen(path, "r");
	unsigned char *data = malloc(8 << 20);

	REQUIRE(file && data);
	*ret_len = fread(data, 1, 8 << 20, file);
	(void)fclose(file);
	return data;
}

/* Try to open what is there in each way; none of them changes a byte of it. */
static void
check_untouched(struct place *p, weir_status want)
{
	size_t before_len, after_len;
	unsigned char *before = read_file(p->path, &before_len), *after;

	CHECK_EQ_INT(TRY(p, .read_only = true), want);
	CHECK_EQ_INT(TRY(p, .url = NULL), want);
	CHECK_EQ_INT(TRY(p, .create = true), want);
	CHECK_EQ_INT(TRY(p, .migrate = true), want);
	after = read_file(p->path, &after_len);
	CHECK_EQ_INT(after_len, before_len);
	CHECK(memcmp(before, after, before_len) == 0);
	free(before);
	free(after);
}

static void
execute(const char *path, const char *sql)
{
	sqlite3 *db;
	char *message = NULL;

	REQUIRE(sqlite3_open(path, &db) == SQLITE_OK);
	CHECK_MSG(sqlite3_exec(db, sql, NULL, NULL, &message) == SQLITE_OK,
		  "%s: %s", sql, message);
	REQUIRE(sqlite3_close(db) == SQLITE_OK);
}

TEST(queue_bad_files, are_not_made_unless_that_is_asked_for)
{
	struct place p = place_new();

	CHECK_EQ_INT(TRY(&p, .url = NULL), WEIR_NOTFOUND);
	CHECK_EQ_INT(TRY(&p, .migrate = true), WEIR_NOTFOUND);
	CHECK_EQ_INT(TRY(&p, .read_only = true), WEIR_NOTFOUND);
	CHECK_EQ_INT(rmdir(p.folder), 0);
	CHECK_EQ_INT(TRY(&p, .create = true), WEIR_NOTFOUND);
}

TEST(queue_bad_files, are_left_alone_when_they_are_something_else)
{
	struct place p = place_new();
	static const char text[] = "to do\n- buy milk\n";
	char zeros[8192] = {0};

	write_file(p.path, text, strlen(text));
	check_untouched(&p, WEIR_FOREIGN);
	write_file(p.path, zeros, sizeof(zeros));
	check_untouched(&p, WEIR_FOREIGN);
	write_file(p.path, "SQLite format 3", 16);
	check_untouched(&p, WEIR_FOREIGN);
	place_remove(&p);
}

TEST(queue_bad_files, are_left_alone_when_they_are_databases_of_others)
{
	struct place p = place_new();

	execute(p.path, "CREATE TABLE job (id INTEGER); "
			"INSERT INTO job VALUES (1);");
	check_untouched(&p, WEIR_FOREIGN);
	execute(p.path, "PRAGMA application_id = 1234;"
			"PRAGMA user_version = 1;");
	check_untouched(&p, WEIR_FOREIGN);
	place_remove(&p);
}

TEST(queue_bad_files, are_refused_when_they_are_no_files)
{
	struct place p = place_new(), other = place_new();

	REQUIRE(mkdir(p.path, 0700) == 0);
	CHECK_EQ_INT(TRY(&p, .create = true), WEIR_FOREIGN);
	REQUIRE(rmdir(p.path) == 0);
	REQUIRE(mkfifo(p.path, 0600) == 0);
	CHECK_EQ_INT(TRY(&p, .create = true), WEIR_FOREIGN);
	REQUIRE(unlink(p.path) == 0);
	/* A link would let another choose which file is written. */
	make_store(&other, 50);
	REQUIRE(symlink(other.path, p.path) == 0);
	CHECK_EQ_INT(TRY(&p, .create = true), WEIR_FOREIGN);
	REQUIRE(unlink(p.path) == 0);
	(void)snprintf(p.path, sizeof(p.path), "%s/", p.folder);
	CHECK_EQ_INT(TRY(&p, .create = true), WEIR_INVAL);
	place_remove(&p);
	place_remove(&other);
}

TEST(queue_bad_files, of_newer_versions_are_not_touched)
{
	struct place p = place_new();

	make_store(&p, 50);
	execute(p.path, "PRAGMA user_version = 1000000;");
	check_untouched(&p, WEIR_NEWER);
	CHECK(strstr(p.error.message, "newer"));
	place_remove(&p);
}

TEST(queue_bad_files, that_are_empty_become_stores_only_when_that_is_asked_for)
{
	struct place p = place_new();

	write_file(p.path, "", 0);
	CHECK_EQ_INT(TRY(&p, .url = NULL), WEIR_OLD);
	CHECK_EQ_INT(TRY(&p, .read_only = true), WEIR_OLD);
	CHECK_EQ_INT(TRY(&p, .create = true), WEIR_OK);
	CHECK_EQ_INT(TRY(&p, .read_only = true), WEIR_OK);
	place_remove(&p);
}

TEST(queue_bad_files, that_somebody_has_locked_are_busy_and_no_worse)
{
	struct place p = place_new();
	weir_store *store;
	sqlite3 *db;

	make_store(&p, 50);
	store = store_open(&p, (weir_store_options){.busy_ns = 20 * WEIR_MS});
	REQUIRE(sqlite3_open(p.path, &db) == SQLITE_OK);
	REQUIRE(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL) ==
		SQLITE_OK);
	CHECK_EQ_INT(insert_some(store, 1, &p.error), WEIR_BUSY);
	CHECK(p.error.message[0]);
	REQUIRE(sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL) == SQLITE_OK);
	CHECK_EQ_INT(insert_some(store, 1, &p.error), WEIR_OK);
	REQUIRE(sqlite3_close(db) == SQLITE_OK);
	weir_store_close(store);
	place_remove(&p);
}

/* Do something without the rights of root, which may do all. */
static bool
be_nobody(const struct place *p)
{
	if (geteuid() != 0)
		return true;
	return chown(p->folder, 65534, 65534) == 0 && seteuid(65534) == 0;
}

static void
be_oneself_again(void)
{
	if (getuid() == 0)
		REQUIRE(seteuid(0) == 0);
}

TEST(queue_bad_files, that_may_not_be_written_say_so)
{
	struct place p = place_new();

	REQUIRE(be_nobody(&p));
	make_store(&p, 50);
	REQUIRE(chmod(p.path, 0400) == 0);
	CHECK_EQ_INT(TRY(&p, .url = NULL), WEIR_SYSTEM);
	CHECK_EQ_INT(TRY(&p, .read_only = true), WEIR_OK);
	REQUIRE(chmod(p.path, 0000) == 0);
	CHECK_EQ_INT(TRY(&p, .url = NULL), WEIR_SYSTEM);
	CHECK_EQ_INT(TRY(&p, .read_only = true), WEIR_SYSTEM);
	REQUIRE(unlink(p.path) == 0 && chmod(p.folder, 0500) == 0);
	CHECK_EQ_INT(TRY(&p, .create = true), WEIR_SYSTEM);
	REQUIRE(chmod(p.folder, 0700) == 0);
	be_oneself_again();
	place_remove(&p);
}

static bool
count_job(const weir_job_row *row, void *user)
{
	/* Whatever is in there, texts are texts and end. */
	CHECK(strlen(row->kind) < 1000 && strlen(row->queue) < 1000);
	CHECK(row->args[row->args_len] == '\0');
	++*(int *)user;
	return true;
}

static bool
ignore_queue(const weir_queue_row *row, void *user)
{
	(void)user;
	return row->name;
}

static void
check_status(weir_status status, const weir_error *error)
{
	switch (status) {
	case WEIR_OK:
	case WEIR_BUSY:
		return;
	case WEIR_CORRUPT:
	case WEIR_FOREIGN:
	case WEIR_OLD:
	case WEIR_NEWER:
	case WEIR_SYSTEM:
		CHECK(error->message[0]);
		return;
	case WEIR_CLOSED:
	case WEIR_CANCELED:
	case WEIR_TIMEDOUT:
	case WEIR_DEADLOCK:
	case WEIR_FAILED:
	case WEIR_PERMANENT:
	case WEIR_INVAL:
	case WEIR_NOMEM:
	case WEIR_CRASHED:
	case WEIR_STALE:
	case WEIR_NOTFOUND:
		break;
	}
	CHECK_MSG(false, "%s: %s", weir_status_name(status), error->message);
}

/* Use a store that may be damaged; what comes of it may be anything but a
 * crash, a hang, or a status without its reason. */
static weir_status
use_store(struct place *p)
{
	weir_store_options options = WEIR_STORE_OPTIONS_INIT;
	const int64_t ids[] = {1, 20, 50};
	weir_store *store = NULL;
	weir_status status, worst;
	int jobs = 0;

	options.url = p->path;
	options.busy_ns = 20 * WEIR_MS;
	worst = weir_store_open(&store, &options, &p->error);
	check_status(worst, &p->error);
	if (worst != WEIR_OK)
		return worst;
	status = weir_store_list(store, NULL, count_job, &jobs, &p->error);
	check_status(status, &p->error);
	worst = status;
	status = insert_some(store, 10, &p->error);
	check_status(status, &p->error);
	worst = status != WEIR_OK ? status : worst;
	status = weir_store_change(store, WEIR_JOB_CANCEL, ids, 3, NULL, NULL,
				   &p->error);
	check_status(status, &p->error);
	worst = status != WEIR_OK ? status : worst;
	status = weir_store_queues(store, ignore_queue, NULL, &p->error);
	check_status(status, &p->error);
	worst = status != WEIR_OK ? status : worst;
	weir_store_close(store);
	return worst;
}

TEST(queue_bad_files, that_are_damaged_are_told_to_be)
{
	struct place p = place_new();
	unsigned char *data;
	size_t len;

	make_store(&p, 400);
	data = read_file(p.path, &len);
	/* The second half is gone; and no log is there to mend it from. */
	scratch_empty(p.folder);
	write_file(p.path, data, len / 8192 * 4096);
	CHECK_EQ_INT(use_store(&p), WEIR_CORRUPT);
	/* All but the first page. */
	memset(data + 4096, 0x5a, len - 4096);
	scratch_empty(p.folder);
	write_file(p.path, data, len);
	CHECK_EQ_INT(use_store(&p), WEIR_CORRUPT);
	free(data);
	place_remove(&p);
}

TEST_LIMIT(queue_bad_files, of_any_bytes_crash_nobody, 60)
{
	struct place p = place_new();
	unsigned char *data, *spoilt;
	struct weir_rng rng;
	size_t len;
	int damaged = 0;

	weir__rng_seed(&rng, test_seed());
	make_store(&p, 50);
	data = read_file(p.path, &len);
	spoilt = malloc(len);
	REQUIRE(spoilt);
	for (int round = 0; round < (UNDER_TSAN ? 20 : 150); round++) {
		size_t times = 1 + weir__rng_below(&rng, 40);

		memcpy(spoilt, data, len);
		for (size_t i = 0; i < times; i++)
			spoilt[weir__rng_below(&rng, len)] =
				(unsigned char)weir__rng_next(&rng);
		scratch_empty(p.folder);
		write_file(p.path, spoilt, len);
		damaged += use_store(&p) != WEIR_OK;
	}
	CHECK_MSG(damaged > 0, "none of all was found to be damaged");
	free(spoilt);
	free(data);
	place_remove(&p);
}
