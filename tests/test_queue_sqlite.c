/* The SQLite store does what every store must do. */
#include "queue/sqlite.h"
#include "queue_conformance.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>

static char folder[64], path[96];

static weir_store *
open_path(bool create)
{
	weir_store_options options = WEIR_STORE_OPTIONS_INIT;
	weir_store *store = NULL;
	weir_error error = {WEIR_OK, 0, ""};

	options.create = create;
	options.now_ms = queue_clock;
	CHECK_MSG(weir__sqlite_open(&store, path, &options, &error) == WEIR_OK,
		  "%s", error.message);
	REQUIRE(store);
	return store;
}

static weir_store *
open_one(void)
{
	/* In memory, if there is such a place: it is not the disk that is
	 * tried here, and each test makes a store of its own. */
	snprintf(folder, sizeof(folder), "/dev/shm/weir-sqlite-XXXXXX");
	if (!mkdtemp(folder)) {
		snprintf(folder, sizeof(folder), "/tmp/weir-sqlite-XXXXXX");
		REQUIRE(mkdtemp(folder));
	}
	snprintf(path, sizeof(path), "%s/jobs.db", folder);
	return open_path(true);
}

static weir_store *
join(weir_store *store)
{
	(void)store;
	return open_path(false);
}

static weir_store *
reopen(void)
{
	return open_path(false);
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
wipe(void)
{
	CHECK(nftw(folder, take_away, 8, FTW_DEPTH | FTW_PHYS) == 0);
}

const struct queue_stores queue_stores = {
	.name = "sqlite",
	.open = open_one,
	.join = join,
	.reopen = reopen,
	.wipe = wipe,
	.jobs = UNDER_TSAN ? 10000 : 100000,
	.stride = UNDER_TSAN ? 16 : 4,
};

/* Jobs that are completed along job_claim, and one that is elsewhere by now. */
STORE_TEST(one_alone, ends_a_job_that_was_given_another_place_by_hand)
{
	struct weir_owner *me = queue_enlist_alone(store, "me");
	struct weir_finish finishes[6] = {{0}};
	struct weir_finished finished[6];
	struct weir_turn turn = {.owner = me,
				 .finishes = finishes,
				 .finished = finished,
				 .finish_count = 6};
	weir_error error = {WEIR_OK, 0, ""};
	struct weir_batch *batch;
	sqlite3 *db = NULL;

	CHECK_EQ_INT(store->ops->queue_set(store, "default", -1,
					   WEIR_FINISHED_DROP, &error),
		     WEIR_OK);
	for (int i = 0; i < 6; i++)
		queue_put(store, "work");
	batch = queue_claim(store, me, 6);
	REQUIRE(batch && batch->count == 6);
	REQUIRE(sqlite3_open(path, &db) == SQLITE_OK);
	CHECK_EQ_INT(sqlite3_exec(db,
				  "UPDATE job SET priority = 3 WHERE id = 4;"
				  "DELETE FROM job WHERE id = 5",
				  NULL, NULL, NULL),
		     SQLITE_OK);
	sqlite3_close(db);
	for (int i = 0; i < 6; i++)
		finishes[i].claim = &batch->claims[i];
	queue_turn(store, &turn);
	for (int i = 0; i < 6; i++) {
		CHECK_EQ_INT(finished[i].status, i == 4 ? WEIR_STALE : WEIR_OK);
		CHECK(!queue_find(store, i + 1));
	}
}
