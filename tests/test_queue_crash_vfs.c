/*
 * The power-loss VFS, tried on SQLite itself: it has to show what SQLite says
 * of its settings.  With synchronous=FULL nothing that was committed is lost;
 * with NORMAL, in WAL mode, commits are, and nothing is damaged; with OFF
 * databases are damaged.  A tool that could not see these would say nothing by
 * finding nothing in the first.
 */
#include "crash_vfs.h"
#include "harness.h"
#include "scratch.h"

#include <inttypes.h>
#include <sqlite3.h>

/* A database that is written, and what its images were found to be. */
struct trial {
	char folder[SCRATCH_MAX], image[SCRATCH_MAX + 8];
	struct weir_rng rng;
	unsigned one_in; /* an image at one in so many calls */
	int acked;       /* rows 1 to acked are committed */
	uint64_t images, damaged, lost, dirty;
};

static void
must_run(sqlite3 *db, const char *sql)
{
	char *message = NULL;

	if (!CHECK_MSG(sqlite3_exec(db, sql, NULL, NULL, &message) == SQLITE_OK,
		       "%s: %s", sql, message ? message : sqlite3_errmsg(db)))
		_exit(1);
	sqlite3_free(message);
}

/* The first column of the first row; -1: it cannot be had. */
static int
ask(sqlite3 *db, const char *sql)
{
	sqlite3_stmt *stmt = NULL;
	int value = -1;

	if (sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) == SQLITE_OK &&
	    sqlite3_step(stmt) == SQLITE_ROW)
		value = sqlite3_column_int(stmt, 0);
	(void)sqlite3_finalize(stmt);
	return value;
}

static void
judge_image(struct trial *t)
{
	char path[SCRATCH_MAX + 16];
	sqlite3 *db;
	int rows;

	(void)snprintf(path, sizeof(path), "%s/db", t->image);
	REQUIRE(sqlite3_open(path, &db) == SQLITE_OK);
	rows = ask(db, "SELECT count(*) FROM t WHERE a = b");
	if (ask(db, "SELECT integrity_check = 'ok' "
		    "FROM pragma_integrity_check") != 1 ||
	    ask(db, "SELECT count(*) FROM t") != rows)
		t->damaged++;
	else if (rows < t->acked)
		t->lost++;
	(void)sqlite3_close(db);
}

static void
on_call(void *user)
{
	struct trial *t = user;

	if (weir__rng_below(&t->rng, t->one_in))
		return;
	scratch_empty(t->image);
	crash_vfs_image(t->image,
			(enum crash_keep)weir__rng_below(&t->rng, CRASH_KEEPS),
			&t->rng);
	t->images++;
	t->dirty += crash_vfs_unsynced() > 0;
	/* Before the table is committed there is nothing to be found. */
	if (t->acked >= 0)
		judge_image(t);
}

/*
 * Rows, one or a few at a time, and a checkpoint at each tenth commit: by
 * chance there might be none, and without one a WAL can only lose commits.
 */
static void
write_rows(struct trial *t, sqlite3 *db, uint64_t images)
{
	char sql[200];

	for (int commits = 1; t->images < images; commits++) {
		int rows = 1 + (int)weir__rng_below(&t->rng, 5);

		must_run(db, "BEGIN IMMEDIATE");
		for (int i = 1; i <= rows; i++) {
			(void)snprintf(sql, sizeof(sql),
				       "INSERT INTO t VALUES (%d, 7, 7, "
				       "hex(randomblob(%d)))",
				       t->acked + i,
				       (int)weir__rng_below(&t->rng, 900));
			must_run(db, sql);
		}
		(void)snprintf(sql, sizeof(sql),
			       "UPDATE t SET a = a + 1, b = b + 1 "
			       "WHERE id %% 7 = %d",
			       (int)weir__rng_below(&t->rng, 7));
		must_run(db, sql);
		must_run(db, "COMMIT");
		t->acked += rows;
		if (commits % 10 == 0)
			(void)ask(db, "PRAGMA wal_checkpoint(TRUNCATE)");
		if (t->acked > 300) {
			t->acked = 0;
			must_run(db, "DELETE FROM t");
		}
	}
}

static void
trial_run(struct trial *t, const char *mode, const char *synchronous,
	  uint64_t images)
{
	char path[SCRATCH_MAX + 16], sql[100];
	sqlite3 *db;

	*t = (struct trial){.one_in = 4, .acked = -1};
	scratch_make(t->folder);
	(void)snprintf(t->image, sizeof(t->image), "%s-image", t->folder);
	(void)snprintf(path, sizeof(path), "%s/db", t->folder);
	weir__rng_seed(&t->rng, test_seed());
	crash_vfs_watch(t->folder, on_call, t);
	REQUIRE(sqlite3_open(path, &db) == SQLITE_OK);
	(void)snprintf(sql, sizeof(sql), "PRAGMA journal_mode=%s", mode);
	must_run(db, sql);
	(void)snprintf(sql, sizeof(sql), "PRAGMA synchronous=%s", synchronous);
	must_run(db, sql);
	must_run(db, "CREATE TABLE t (id INTEGER PRIMARY KEY, a, b, c)");
	must_run(db, "CREATE INDEX t_a ON t (a, c)");
	t->acked = 0;
	write_rows(t, db, images);
	t->one_in = UINT32_MAX;
	REQUIRE(sqlite3_close(db) == SQLITE_OK);
	crash_vfs_watch(NULL, NULL, NULL);
	scratch_remove(t->folder);
	scratch_remove(t->image);
	printf("# %s, %s: %" PRIu64 " images, %" PRIu64
	       " with something unsynced: %" PRIu64 " damaged, %" PRIu64
	       " have lost commits\n",
	       mode, synchronous, t->images, t->dirty, t->damaged, t->lost);
}

TEST_LIMIT(crash_vfs, a_wal_with_full_loses_nothing, 60)
{
	struct trial t;

	trial_run(&t, "WAL", "FULL", 1000);
	CHECK(t.dirty > 300);
	CHECK_EQ_INT(t.damaged, 0);
	CHECK_EQ_INT(t.lost, 0);
}

TEST_LIMIT(crash_vfs, a_wal_with_normal_loses_commits_and_damages_nothing, 60)
{
	struct trial t;

	trial_run(&t, "WAL", "NORMAL", 500);
	CHECK_EQ_INT(t.damaged, 0);
	CHECK_MSG(t.lost > 50, "only %" PRIu64, t.lost);
}

TEST_LIMIT(crash_vfs, without_syncs_databases_are_damaged, 60)
{
	struct trial t;

	trial_run(&t, "WAL", "OFF", 500);
	CHECK_MSG(t.damaged > 20, "only %" PRIu64, t.damaged);
}

/* FULL does not sync the folder behind the deletion of the journal, which is
 * the commit; EXTRA does. */
TEST_LIMIT(crash_vfs, a_rollback_journal_loses_nothing_with_extra_only, 60)
{
	struct trial t;

	trial_run(&t, "DELETE", "FULL", 200);
	CHECK_EQ_INT(t.damaged, 0);
	CHECK_MSG(t.lost > 10, "only %" PRIu64, t.lost);
	trial_run(&t, "DELETE", "EXTRA", 500);
	CHECK_EQ_INT(t.damaged, 0);
	CHECK_EQ_INT(t.lost, 0);
}

/* A file that is written by hand, and what each kind of image makes of it. */
struct by_hand {
	char folder[SCRATCH_MAX], image[SCRATCH_MAX + 8];
	char path[SCRATCH_MAX + 8];
	sqlite3_file *file;
	enum crash_keep keep;
	struct weir_rng rng;
	bool take;
	char found[4096];
	long found_len; /* -1: it is not there */
};

static void
by_hand_call(void *user)
{
	struct by_hand *h = user;
	char path[SCRATCH_MAX + 16];
	FILE *in;

	if (!h->take)
		return;
	scratch_empty(h->image);
	crash_vfs_image(h->image, h->keep, &h->rng);
	(void)snprintf(path, sizeof(path), "%s/f", h->image);
	in = fopen(path, "re");
	h->found_len = in ? (long)fread(h->found, 1, sizeof(h->found), in) : -1;
	if (in)
		(void)fclose(in);
}

static void
by_hand_open(struct by_hand *h)
{
	sqlite3_vfs *vfs = sqlite3_vfs_find(NULL);

	h->file = calloc(1, (size_t)vfs->szOsFile);
	REQUIRE(h->file);
	CHECK_EQ_INT(vfs->xOpen(vfs, h->path, h->file,
				SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE |
					SQLITE_OPEN_MAIN_DB,
				NULL),
		     SQLITE_OK);
}

static void
by_hand_close(struct by_hand *h)
{
	CHECK_EQ_INT(h->file->pMethods->xClose(h->file), SQLITE_OK);
	free(h->file);
}

static void
by_hand_begin(struct by_hand *h)
{
	*h = (struct by_hand){0};
	weir__rng_seed(&h->rng, test_seed());
	scratch_make(h->folder);
	(void)snprintf(h->image, sizeof(h->image), "%s-image", h->folder);
	(void)snprintf(h->path, sizeof(h->path), "%s/f", h->folder);
	crash_vfs_watch(h->folder, by_hand_call, h);
	by_hand_open(h);
}

static void
by_hand_end(struct by_hand *h)
{
	by_hand_close(h);
	crash_vfs_watch(NULL, NULL, NULL);
	scratch_remove(h->folder);
	scratch_remove(h->image);
}

static void
put(struct by_hand *h, char c, int len, int offset)
{
	char text[2048];

	memset(text, c, sizeof(text));
	CHECK_EQ_INT(h->file->pMethods->xWrite(h->file, text, len, offset),
		     SQLITE_OK);
}

/* What an image finds now: nothing is changed by asking for it. */
static long
found(struct by_hand *h, enum crash_keep keep)
{
	h->keep = keep;
	h->take = true;
	crash_vfs_fail(0, 1, SQLITE_IOERR_FSYNC);
	CHECK_EQ_INT(h->file->pMethods->xSync(h->file, SQLITE_SYNC_NORMAL),
		     SQLITE_IOERR_FSYNC);
	h->take = false;
	return h->found_len;
}

static void
sync_it(struct by_hand *h)
{
	CHECK_EQ_INT(h->file->pMethods->xSync(h->file, SQLITE_SYNC_NORMAL),
		     SQLITE_OK);
}

TEST(crash_vfs, what_was_synced_is_there_and_the_rest_may_be)
{
	struct by_hand h;

	by_hand_begin(&h);
	CHECK_EQ_INT(found(&h, CRASH_NONE), -1);
	put(&h, 'a', 1000, 0);
	CHECK_EQ_INT(found(&h, CRASH_NONE), -1);
	CHECK_EQ_INT(found(&h, CRASH_ALL), 1000);
	sync_it(&h);
	put(&h, 'b', 600, 700);
	CHECK_EQ_INT(found(&h, CRASH_NONE), 1000);
	CHECK_EQ_INT(h.found[999], 'a');
	CHECK_EQ_INT(found(&h, CRASH_ALL), 1300);
	CHECK_EQ_INT(h.found[699], 'a');
	CHECK_EQ_INT(h.found[700], 'b');
	CHECK_EQ_INT(h.file->pMethods->xTruncate(h.file, 10), SQLITE_OK);
	CHECK_EQ_INT(found(&h, CRASH_NONE), 1000);
	CHECK_EQ_INT(found(&h, CRASH_ALL), 10);
	sync_it(&h);
	CHECK_EQ_INT(found(&h, CRASH_NONE), 10);
	by_hand_end(&h);
}

TEST(crash_vfs, a_prefix_has_no_hole_and_a_subset_has)
{
	bool cut = false, hole = false;
	struct by_hand h;

	by_hand_begin(&h);
	put(&h, 'a', 2048, 0);
	sync_it(&h);
	put(&h, 'b', 512, 0);
	put(&h, 'c', 512, 512);
	put(&h, 'd', 512, 1024);
	for (int i = 0; i < 100; i++) {
		CHECK_EQ_INT(found(&h, CRASH_PREFIX), 2048);
		CHECK(h.found[0] == 'b' || h.found[512] == 'a');
		CHECK(h.found[512] == 'c' || h.found[1024] == 'a');
		cut |= h.found[0] == 'b' && h.found[1024] == 'a';
		CHECK_EQ_INT(found(&h, CRASH_SUBSET), 2048);
		hole |= h.found[0] == 'a' && h.found[1024] == 'd';
	}
	CHECK(cut);
	CHECK(hole);
	by_hand_end(&h);
}

TEST(crash_vfs, writes_are_torn_between_sectors_and_nowhere_else)
{
	struct by_hand h;
	bool torn = false;

	by_hand_begin(&h);
	put(&h, 'a', 2048, 0);
	sync_it(&h);
	put(&h, 'b', 1548, 300);
	for (int i = 0; i < 100; i++) {
		CHECK_EQ_INT(found(&h, CRASH_SUBSET), 2048);
		for (int at = 1; at < 2048; at++)
			CHECK(h.found[at] == h.found[at - 1] || at % 512 == 0 ||
			      at == 300 || at == 1848);
		CHECK_EQ_INT(h.found[299], 'a');
		CHECK_EQ_INT(h.found[1848], 'a');
		torn |= h.found[300] == 'a' && h.found[1847] == 'b';
	}
	CHECK(torn);
	by_hand_end(&h);
}

TEST(crash_vfs, what_was_deleted_comes_back_until_its_folder_is_synced)
{
	sqlite3_vfs *vfs;
	struct by_hand h;

	by_hand_begin(&h);
	vfs = sqlite3_vfs_find(NULL);
	put(&h, 'a', 100, 0);
	sync_it(&h);
	by_hand_close(&h);
	CHECK_EQ_INT(vfs->xDelete(vfs, h.path, 0), SQLITE_OK);
	by_hand_open(&h);
	put(&h, 'b', 50, 0);
	CHECK_EQ_INT(found(&h, CRASH_NONE), 100);
	CHECK_EQ_INT(found(&h, CRASH_ALL), 50);
	sync_it(&h);
	CHECK_EQ_INT(found(&h, CRASH_NONE), 50);
	by_hand_close(&h);
	CHECK_EQ_INT(vfs->xDelete(vfs, h.path, 1), SQLITE_OK);
	by_hand_open(&h);
	CHECK_EQ_INT(found(&h, CRASH_NONE), -1);
	by_hand_end(&h);
}

TEST(crash_vfs, calls_fail_when_they_are_told_to)
{
	struct by_hand h;

	by_hand_begin(&h);
	crash_vfs_fail(1, 2, SQLITE_FULL);
	put(&h, 'a', 100, 0);
	CHECK_EQ_INT(h.file->pMethods->xWrite(h.file, "b", 1, 0), SQLITE_FULL);
	sync_it(&h);
	CHECK_EQ_INT(h.file->pMethods->xTruncate(h.file, 0), SQLITE_FULL);
	put(&h, 'c', 10, 0);
	CHECK_EQ_INT(crash_vfs_failed(), 2);
	CHECK_EQ_INT(found(&h, CRASH_ALL), 100);
	CHECK_EQ_INT(h.found[9], 'c');
	CHECK_EQ_INT(h.found[10], 'a');
	by_hand_end(&h);
}
