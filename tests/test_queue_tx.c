/*
 * Jobs inside transactions of the caller's own, on the caller's connection.
 */
#include "harness.h"
#include "queue/sqlite.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <weir/work.h>

static char folder[64], path[96];
static weir_store *store;
static sqlite3 *db;

static void
begin(void)
{
	weir_store_options options = WEIR_STORE_OPTIONS_INIT;
	weir_error error = {WEIR_OK, 0, ""};

	snprintf(folder, sizeof(folder), "/dev/shm/weir-tx-XXXXXX");
	if (!mkdtemp(folder)) {
		snprintf(folder, sizeof(folder), "/tmp/weir-tx-XXXXXX");
		REQUIRE(mkdtemp(folder));
	}
	snprintf(path, sizeof(path), "%s/jobs.db", folder);
	options.url = path;
	options.create = true;
	CHECK_MSG(weir_store_open(&store, &options, &error) == WEIR_OK, "%s",
		  error.message);
	REQUIRE(sqlite3_open(path, &db) == SQLITE_OK);
	sqlite3_busy_timeout(db, 10000);
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
	sqlite3_close(db);
	weir_store_close(store);
	CHECK(nftw(folder, take_away, 8, FTW_DEPTH | FTW_PHYS) == 0);
}

static void
sql(const char *text)
{
	char *why = NULL;

	CHECK_MSG(sqlite3_exec(db, text, NULL, NULL, &why) == SQLITE_OK,
		  "%s: %s", text, why ? why : "?");
	sqlite3_free(why);
}

static int
number(const char *text)
{
	sqlite3_stmt *stmt = NULL;
	int value;

	REQUIRE(sqlite3_prepare_v2(db, text, -1, &stmt, NULL) == SQLITE_OK);
	REQUIRE(sqlite3_step(stmt) == SQLITE_ROW);
	value = sqlite3_column_int(stmt, 0);
	sqlite3_finalize(stmt);
	return value;
}

static weir_status
insert_tx(weir_inserted *ret, weir_error *reterr)
{
	weir_insert job = WEIR_INSERT_INIT;

	job.kind = "work";
	return weir_store_insert_tx(store, db, &job, 1, ret, reterr);
}

TEST(inserts, are_there_when_their_transaction_commits)
{
	weir_inserted inserted = {0, WEIR_JOB_PENDING, true};
	weir_error error;

	begin();
	sql("BEGIN");
	CHECK_EQ_INT(insert_tx(&inserted, &error), WEIR_OK);
	CHECK_EQ_INT(inserted.id, 1);
	CHECK_EQ_INT(inserted.state, WEIR_JOB_AVAILABLE);
	CHECK(!inserted.duplicate);
	sql("COMMIT");
	weir_store_committed(store);
	CHECK_EQ_INT(number("SELECT count(*) FROM job"), 1);
	end();
}

TEST(inserts, are_not_there_when_it_is_rolled_back)
{
	weir_inserted inserted;
	weir_error error;

	begin();
	sql("BEGIN");
	CHECK_EQ_INT(insert_tx(&inserted, &error), WEIR_OK);
	sql("ROLLBACK");
	CHECK_EQ_INT(number("SELECT count(*) FROM job"), 0);
	end();
}

TEST(inserts, need_a_transaction_on_the_same_file)
{
	weir_inserted inserted;
	weir_error error;

	begin();
	CHECK_EQ_INT(insert_tx(&inserted, &error), WEIR_INVAL);
	sqlite3_close(db);
	REQUIRE(sqlite3_open(":memory:", &db) == SQLITE_OK);
	sql("BEGIN");
	CHECK_EQ_INT(insert_tx(&inserted, &error), WEIR_INVAL);
	end();
}

TEST(inserts, keep_the_connection_from_checkpointing_by_itself)
{
	weir_inserted inserted;
	weir_error error;

	begin();
	CHECK(number("PRAGMA wal_autocheckpoint") > 0);
	sql("BEGIN");
	CHECK_EQ_INT(insert_tx(&inserted, &error), WEIR_OK);
	sql("COMMIT");
	CHECK_EQ_INT(number("PRAGMA wal_autocheckpoint"), 0);
	end();
}

/* What a handler is to do with its job. */
struct plan {
	bool roll_back;
	weir_status completed;
	int runs;
};

static weir_status
pay(weir_ctx *ctx, const void *in, void *out, void *user)
{
	struct plan *plan = user;
	const weir_job_row *job = in;
	weir_error error;

	(void)out;
	(void)ctx;
	plan->runs++;
	sql("BEGIN IMMEDIATE");
	sql("INSERT INTO paid VALUES (1)");
	plan->completed = weir_job_complete_tx(job, db, &error);
	if (plan->completed != WEIR_OK || plan->roll_back) {
		sql("ROLLBACK");
		plan->roll_back = false;
		return WEIR_FAILED;
	}
	sql("COMMIT");
	return WEIR_OK;
}

static void
work(struct plan *plan, bool alone)
{
	weir_retry at_once = {.attempts_max = 5, .delay_ns = 1};
	weir_handler handler = {.size = sizeof(handler),
				.kind = "work",
				.run = pay,
				.user = plan,
				.retry = &at_once};
	weir_work_options options = WEIR_WORK_OPTIONS_INIT;
	weir_error error = {WEIR_OK, 0, ""};
	weir_work *working = NULL;

	options.handlers = &handler;
	options.handler_count = 1;
	options.workers = 1;
	options.alone = alone;
	options.until_empty = true;
	CHECK_MSG(weir_work_new(&working, store, &options, &error) == WEIR_OK,
		  "%s", error.message);
	REQUIRE(working);
	CHECK_EQ_INT(weir_work_run(working, NULL, &error), WEIR_OK);
	weir_work_free(working);
}

static void
begin_with_job(void)
{
	weir_insert job = WEIR_INSERT_INIT;

	begin();
	sql("CREATE TABLE paid (n)");
	job.kind = "work";
	CHECK_EQ_INT(weir_store_insert(store, &job, 1, NULL, NULL, NULL),
		     WEIR_OK);
}

static void
check_paid_once(bool alone)
{
	struct plan plan = {.roll_back = false};

	begin_with_job();
	work(&plan, alone);
	CHECK_EQ_INT(plan.runs, 1);
	CHECK_EQ_INT(plan.completed, WEIR_OK);
	CHECK_EQ_INT(number("SELECT count(*) FROM paid"), 1);
	CHECK_EQ_INT(number("SELECT state FROM job"), WEIR_JOB_COMPLETED);
	CHECK_EQ_INT(number("SELECT attempt FROM job"), 1);
	CHECK_EQ_INT(number("SELECT errors IS NULL FROM job"), 1);
	end();
}

TEST(completions, are_committed_with_what_the_job_has_done)
{
	check_paid_once(false);
}

TEST(completions, are_committed_with_it_when_alone_too)
{
	check_paid_once(true);
}

TEST(completions, are_undone_with_what_the_job_has_done)
{
	struct plan plan = {.roll_back = true};

	begin_with_job();
	work(&plan, false);
	/* It failed once; the second attempt is in the future or done. */
	CHECK(plan.runs >= 1);
	CHECK_EQ_INT(number("SELECT count(*) FROM paid"), plan.runs - 1);
	CHECK_EQ_INT(number("SELECT state = 2 FROM job"), plan.runs - 1);
	end();
}

TEST(completions, obey_what_becomes_of_finished_jobs)
{
	struct plan plan = {.roll_back = false};

	begin_with_job();
	CHECK_EQ_INT(weir_store_set_finished(store, "default",
					     WEIR_FINISHED_ARCHIVE, NULL),
		     WEIR_OK);
	work(&plan, false);
	CHECK_EQ_INT(number("SELECT count(*) FROM job"), 0);
	CHECK_EQ_INT(number("SELECT count(*) FROM archive"), 1);
	CHECK_EQ_INT(number("SELECT count(*) FROM paid"), 1);
	end();
}

/* Claim by hand, as a work would. */
static const struct weir_claim *
claim(struct weir_owner *owner)
{
	struct weir_want want = {.queue = "default", .count = 1};
	struct weir_turn turn = {
		.owner = owner, .wants = &want, .want_count = 1};
	weir_error error = {WEIR_OK, 0, ""};

	CHECK_MSG(store->ops->enlist(store, owner, &error) == WEIR_OK, "%s",
		  error.message);
	CHECK_MSG(store->ops->turn(store, &turn, &error) == WEIR_OK, "%s",
		  error.message);
	REQUIRE(turn.batch);
	return &turn.batch->claims[0];
}

TEST(completions, of_a_job_that_was_rescued_are_stale)
{
	struct weir_owner owner = {.name = "slow:1"};
	const struct weir_claim *mine;
	uint32_t count = 0;
	weir_error error;

	begin_with_job();
	mine = claim(&owner);
	CHECK_EQ_INT(
		store->ops->rescue(store, owner.id, 0, 3, 10, &count, &error),
		WEIR_OK);
	CHECK_EQ_INT(count, 1);
	sql("BEGIN IMMEDIATE");
	sql("INSERT INTO paid VALUES (1)");
	CHECK_EQ_INT(store->ops->complete_tx(store, &owner, mine, db, NULL, 0,
					     &error),
		     WEIR_STALE);
	sql("ROLLBACK");
	CHECK_EQ_INT(number("SELECT state FROM job"), WEIR_JOB_AVAILABLE);
	CHECK_EQ_INT(number("SELECT count(*) FROM paid"), 0);
	weir__claim_free(mine);
	CHECK_EQ_INT(store->ops->leave(store, &owner, &error), WEIR_OK);
	end();
}

TEST(completions, of_one_claim_are_let_through_once)
{
	struct weir_owner owner = {.name = "twice:1", .alone = true};
	const struct weir_claim *mine;
	weir_error error;

	begin_with_job();
	mine = claim(&owner);
	for (int i = 0; i < 2; i++) {
		sql("BEGIN IMMEDIATE");
		CHECK_EQ_INT(store->ops->complete_tx(store, &owner, mine, db,
						     NULL, 0, &error),
			     i == 0 ? WEIR_OK : WEIR_STALE);
		sql("COMMIT");
	}
	weir__claim_free(mine);
	CHECK_EQ_INT(store->ops->leave(store, &owner, &error), WEIR_OK);
	end();
}
