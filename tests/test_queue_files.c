/*
 * The files of the SQLite store: who may read them, what is refused, how they
 * are brought from one version to another, and when they are checkpointed.
 */
#include "harness.h"
#include "queue/sqlite.h"

#include <fcntl.h>
#include <ftw.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[64], path[96];

static void
begin(void)
{
	snprintf(folder, sizeof(folder), "/dev/shm/weir-files-XXXXXX");
	if (!mkdtemp(folder)) {
		snprintf(folder, sizeof(folder), "/tmp/weir-files-XXXXXX");
		REQUIRE(mkdtemp(folder));
	}
	snprintf(path, sizeof(path), "%s/jobs.db", folder);
}

static int
take_away(const char *name, const struct stat *st, int kind, struct FTW *walk)
{
	(void)st;
	(void)kind;
	(void)walk;
	return remove(name);
}

static void
end(void)
{
	CHECK(nftw(folder, take_away, 8, FTW_DEPTH | FTW_PHYS) == 0);
}

static weir_status
try_open(weir_store **out, bool create, weir_error *reterr)
{
	weir_store_options options = WEIR_STORE_OPTIONS_INIT;

	options.url = path;
	options.create = create;
	return weir_store_open(out, &options, reterr);
}

static weir_store *
open_store(void)
{
	weir_error error = {WEIR_OK, 0, ""};
	weir_store *store = NULL;

	CHECK_MSG(try_open(&store, true, &error) == WEIR_OK, "%s",
		  error.message);
	REQUIRE(store);
	return store;
}

static void
insert(weir_store *store, size_t count)
{
	weir_insert jobs[100];
	weir_error error = {WEIR_OK, 0, ""};

	REQUIRE(count <= 100);
	for (size_t i = 0; i < count; i++) {
		weir_insert_init(&jobs[i]);
		jobs[i].kind = "work";
	}
	CHECK_MSG(weir_store_insert(store, jobs, count, NULL, NULL, &error) ==
			  WEIR_OK,
		  "%s", error.message);
}

static void
check_mode(const char *suffix)
{
	char name[128];
	struct stat st = {0};

	snprintf(name, sizeof(name), "%s%s", path, suffix);
	CHECK_MSG(stat(name, &st) == 0, "%s", name);
	CHECK_EQ_INT(st.st_mode & 0777, 0600);
}

TEST(files, are_their_owners_only_whatever_the_umask)
{
	weir_store *store;

	begin();
	umask(0);
	store = open_store();
	insert(store, 1);
	check_mode("");
	check_mode("-wal");
	check_mode("-shm");
	check_mode("-weir");
	weir_store_close(store);
	end();
}

TEST(files, are_not_made_unless_that_is_asked_for)
{
	weir_store *store = NULL;
	weir_error error;

	begin();
	CHECK_EQ_INT(try_open(&store, false, &error), WEIR_NOTFOUND);
	CHECK(access(path, F_OK) != 0);
	end();
}

TEST(files, are_not_followed_through_links)
{
	char other[96];
	weir_store *store = NULL;
	weir_error error;

	begin();
	snprintf(other, sizeof(other), "%s/other.db", folder);
	REQUIRE(symlink(other, path) == 0);
	CHECK_EQ_INT(try_open(&store, true, &error), WEIR_FOREIGN);
	CHECK(access(other, F_OK) != 0);
	end();
}

TEST(files, are_refused_where_anybody_may_put_others_in_their_place)
{
	weir_store *store = NULL;
	weir_error error;

	begin();
	REQUIRE(chmod(folder, 0777) == 0);
	CHECK_EQ_INT(try_open(&store, true, &error), WEIR_SYSTEM);
	CHECK(strstr(error.message, "anybody") != NULL);
	/* As in /tmp: others may add files, but take none away. */
	REQUIRE(chmod(folder, 01777) == 0);
	CHECK_EQ_INT(try_open(&store, true, &error), WEIR_OK);
	weir_store_close(store);
	end();
}

static void
run_sql(const char *sql)
{
	sqlite3 *db = NULL;
	char *why = NULL;

	REQUIRE(sqlite3_open(path, &db) == SQLITE_OK);
	CHECK_MSG(sqlite3_exec(db, sql, NULL, NULL, &why) == SQLITE_OK, "%s",
		  why);
	sqlite3_free(why);
	sqlite3_close(db);
}

TEST(files, of_others_are_left_alone)
{
	static const char text[] = "This is no database, and long enough to be "
				   "taken for the first page of one, if nobody "
				   "looks at what it begins with.............";
	weir_store *store = NULL;
	weir_error error;
	int fd;

	begin();
	run_sql("CREATE TABLE theirs (a); INSERT INTO theirs VALUES (1)");
	CHECK_EQ_INT(try_open(&store, true, &error), WEIR_FOREIGN);
	run_sql("INSERT INTO theirs VALUES (2)");
	REQUIRE(unlink(path) == 0);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	REQUIRE(write(fd, text, sizeof(text)) == (ssize_t)sizeof(text));
	close(fd);
	CHECK_EQ_INT(try_open(&store, true, &error), WEIR_FOREIGN);
	end();
}

TEST(versions, that_are_newer_are_refused)
{
	weir_store *store;
	weir_error error;

	begin();
	weir_store_close(open_store());
	run_sql("PRAGMA user_version = 99");
	store = NULL;
	CHECK_EQ_INT(try_open(&store, true, &error), WEIR_NEWER);
	CHECK(strstr(error.message, "99") != NULL);
	end();
}

TEST(versions, that_are_older_are_brought_forward_when_asked)
{
	weir_store_options options = WEIR_STORE_OPTIONS_INIT;
	weir_store *store = NULL;
	weir_error error;
	int before, after;

	begin();
	CHECK_EQ_INT(weir__sqlite_migrate(path, 1, &before, &after, &error),
		     WEIR_OK);
	CHECK_EQ_INT(before, 0);
	CHECK_EQ_INT(after, 1);
	CHECK_EQ_INT(try_open(&store, true, &error), WEIR_OLD);
	options.url = path;
	options.migrate = true;
	CHECK_EQ_INT(weir_store_open(&store, &options, &error), WEIR_OK);
	weir_store_close(store);
	end();
}

/* Everything that the schema says, as one text, the caller's to free. */
static char *
schema(void)
{
	sqlite3 *db = NULL;
	sqlite3_stmt *stmt = NULL;
	char *text = NULL;

	REQUIRE(sqlite3_open(path, &db) == SQLITE_OK);
	REQUIRE(sqlite3_prepare_v2(db,
				   "SELECT group_concat(sql, char(10)) FROM"
				   " (SELECT sql FROM sqlite_schema"
				   " WHERE sql IS NOT NULL ORDER BY name)",
				   -1, &stmt, NULL) == SQLITE_OK);
	REQUIRE(sqlite3_step(stmt) == SQLITE_ROW);
	text = strdup(sqlite3_column_text(stmt, 0)
			      ? (const char *)sqlite3_column_text(stmt, 0)
			      : "");
	sqlite3_finalize(stmt);
	sqlite3_close(db);
	REQUIRE(text);
	return text;
}

static void
migrate(int to)
{
	weir_error error = {WEIR_OK, 0, ""};
	int before, after;

	CHECK_MSG(weir__sqlite_migrate(path, to, &before, &after, &error) ==
			  WEIR_OK,
		  "to %d: %s", to, error.message);
	CHECK_EQ_INT(after, to < 0 ? SQLITE_SCHEMA_VERSION : to);
}

TEST(versions, are_the_same_whichever_way_they_are_reached)
{
	char *forward[SQLITE_SCHEMA_VERSION + 1];

	begin();
	for (int i = 1; i <= SQLITE_SCHEMA_VERSION; i++) {
		migrate(i);
		forward[i] = schema();
	}
	for (int i = SQLITE_SCHEMA_VERSION; i >= 1; i--) {
		char *back;

		migrate(i);
		back = schema();
		CHECK_STR(back, forward[i]);
		free(back);
		free(forward[i]);
	}
	/* And all the way back it is as good as new. */
	migrate(0);
	weir_store_close(open_store());
	end();
}

static bool
count_row(const weir_job_row *row, void *user)
{
	(void)row;
	++*(int *)user;
	return true;
}

TEST(versions, keep_the_jobs_that_are_there)
{
	weir_job_filter filter = WEIR_JOB_FILTER_INIT;
	weir_error error;
	weir_store *store;
	int count = 0;

	begin();
	store = open_store();
	insert(store, 7);
	weir_store_close(store);
	migrate(1);
	migrate(-1);
	store = open_store();
	CHECK_EQ_INT(weir_store_list(store, &filter, count_row, &count, &error),
		     WEIR_OK);
	CHECK_EQ_INT(count, 7);
	weir_store_close(store);
	end();
}

static bool
see_pending(const weir_queue_row *row, void *user)
{
	*(uint64_t *)user += row->counts[WEIR_JOB_PENDING];
	return true;
}

/* SQLite would sort them all in memory. */
TEST(queues, are_counted_in_little_memory)
{
	weir_insert jobs[100];
	weir_error error = {WEIR_OK, 0, ""};
	uint64_t count = 0;
	sqlite3_int64 before;
	weir_store *store;

	begin();
	store = open_store();
	for (int i = 0; i < 100; i++) {
		weir_insert_init(&jobs[i]);
		jobs[i].kind = "work";
		jobs[i].queue = i % 2 ? "odd" : "even";
		jobs[i].pending = true;
	}
	for (int i = 0; i < 200; i++)
		REQUIRE(weir_store_insert(store, jobs, 100, NULL, NULL,
					  &error) == WEIR_OK);
	/* Once, so that what it reads is in the cache. */
	CHECK_EQ_INT(weir_store_queues(store, see_pending, &count, &error),
		     WEIR_OK);
	CHECK_EQ_INT(count, 20000);
	before = sqlite3_memory_used();
	(void)sqlite3_memory_highwater(1);
	CHECK_EQ_INT(weir_store_queues(store, see_pending, &count, &error),
		     WEIR_OK);
	CHECK_MSG(sqlite3_memory_highwater(0) - before < 256 * 1024,
		  "%lld bytes", sqlite3_memory_highwater(0) - before);
	weir_store_close(store);
	end();
}

#define MAKERS 6

static void *
make_it(void *arg)
{
	weir_error error = {WEIR_OK, 0, ""};
	weir_store *store = NULL;

	(void)arg;
	CHECK_MSG(try_open(&store, true, &error) == WEIR_OK, "%s",
		  error.message);
	weir_store_close(store);
	return NULL;
}

/* Some saw an older version, as long as each step was a commit. */
TEST(files, are_made_by_several_at_once)
{
	pthread_t makers[MAKERS];

	for (int round = 0; round < 30; round++) {
		begin();
		for (int i = 0; i < MAKERS; i++)
			REQUIRE(pthread_create(&makers[i], NULL, make_it,
					       NULL) == 0);
		for (int i = 0; i < MAKERS; i++)
			pthread_join(makers[i], NULL);
		end();
	}
}

TEST(checks, find_nothing_wrong_with_a_good_store_and_something_with_a_bad)
{
	weir_error error;
	weir_store *store;

	begin();
	store = open_store();
	insert(store, 3);
	weir_store_close(store);
	CHECK_EQ_INT(weir__sqlite_check(path, NULL, NULL, &error), WEIR_OK);
	run_sql("UPDATE job SET state = 6 WHERE id = 2");
	CHECK_EQ_INT(weir__sqlite_check(path, NULL, NULL, &error),
		     WEIR_CORRUPT);
	end();
}

/*
 * While a checkpoint writes the database, can anybody begin to write?  Seen by
 * a VFS that tries it at each page that is written back.
 */
static struct {
	sqlite3_vfs vfs;
	sqlite3_vfs *real;
	sqlite3_io_methods methods;
	int (*real_write)(sqlite3_file *, const void *, int, sqlite3_int64);
	bool armed, inside;
	int writes, could_begin;
} spy;

static void
try_to_begin(void)
{
	sqlite3 *db = NULL;

	spy.inside = true;
	spy.writes++;
	REQUIRE(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE,
				spy.real->zName) == SQLITE_OK);
	if (sqlite3_exec(db, "BEGIN IMMEDIATE; ROLLBACK", NULL, NULL, NULL) ==
	    SQLITE_OK)
		spy.could_begin++;
	(void)sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	sqlite3_close(db);
	spy.inside = false;
}

static int
spy_write(sqlite3_file *file, const void *data, int len, sqlite3_int64 at)
{
	if (spy.armed && !spy.inside)
		try_to_begin();
	return spy.real_write(file, data, len, at);
}

static int
spy_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags,
	 int *ret_flags)
{
	int code = spy.real->xOpen(spy.real, name, file, flags, ret_flags);

	(void)vfs;
	if (code != SQLITE_OK || !(flags & SQLITE_OPEN_MAIN_DB))
		return code;
	spy.methods = *file->pMethods;
	spy.real_write = file->pMethods->xWrite;
	spy.methods.xWrite = spy_write;
	file->pMethods = &spy.methods;
	return code;
}

static void
be_spied_on(void)
{
	spy.real = sqlite3_vfs_find(NULL);
	spy.vfs = *spy.real;
	spy.vfs.zName = "spy";
	spy.vfs.xOpen = spy_open;
	REQUIRE(sqlite3_vfs_register(&spy.vfs, 1) == SQLITE_OK);
}

TEST(checkpoints, of_sqlite_itself_let_others_commit_meanwhile)
{
	sqlite3 *db = NULL;

	begin();
	weir_store_close(open_store());
	be_spied_on();
	REQUIRE(sqlite3_open(path, &db) == SQLITE_OK);
	spy.armed = true;
	CHECK(sqlite3_exec(db,
			   "PRAGMA wal_autocheckpoint = 1;"
			   "INSERT INTO counter VALUES ('x', 1)",
			   NULL, NULL, NULL) == SQLITE_OK);
	/* So the race is there, and the spy sees it. */
	CHECK(spy.writes > 0);
	CHECK(spy.could_begin > 0);
	sqlite3_close(db);
	end();
}

TEST(checkpoints, of_ours_let_nobody_begin_to_write)
{
	weir_store *store;

	begin();
	be_spied_on();
	store = open_store();
	spy.armed = true;
	/* Enough for a checkpoint when idle, and one when it is closed. */
	for (int i = 0; i < 200; i++)
		insert(store, 100);
	weir_store_close(store);
	CHECK(spy.writes > 0);
	CHECK_EQ_INT(spy.could_begin, 0);
	end();
}

TEST(checkpoints, keep_the_wal_from_growing)
{
	weir_store *store;
	char wal[128];
	struct stat st = {0};

	begin();
	store = open_store();
	snprintf(wal, sizeof(wal), "%s-wal", path);
	for (int i = 0; i < 3000; i++)
		insert(store, 100);
	CHECK(stat(wal, &st) == 0);
	/* 4000 pages, and what one group of commits may add. */
	CHECK_MSG(st.st_size < 40 << 20, "%lld bytes", (long long)st.st_size);
	weir_store_close(store);
	end();
}
