/*
 * The connection is cut at each message of each thing that is asked of the
 * PostgreSQL store, and what was promised is held against what is there.
 *
 * Design.  A store is used through pg_proxy, another one directly.  What is
 * tried is done once to count the messages, on a connection that is made for
 * it and on one that is there; and then again for each of them, which is where
 * the proxy cuts:
 *
 *      before it     the other side never gets it
 *      after it      it gets it, and what it answers is lost
 *      late          it gets it when we have long been cut off, and maybe
 *                    have come back
 *
 * What was answered with WEIR_OK is there, once.  After an error an insert is
 * not there, unless it says that this is not known; a turn is STALE, and what
 * its owner had is back when that has enlisted again, or it has not happened;
 * and everything else is there wholly or not at all, and doing it again makes
 * it so.
 *
 * WEIR_TEST_CUTS=N tries each N-th message; 1 is all of them.
 */
#include "pg_cuts.h"

#include <inttypes.h>
#include <unistd.h>

/* Inserts. */

static weir_status
act_insert(struct bench *b, weir_error *error)
{
	weir_insert jobs[2] = {WEIR_INSERT_INIT, WEIR_INSERT_INIT};

	jobs[0].kind = jobs[1].kind = "work";
	jobs[1].queue = "other";
	return weir_store_insert(b->via, jobs, 2, b->rets, NULL, error);
}

static bool
is_known(const struct bench *b)
{
	return !strstr(b->error.message, "not known");
}

static void
check_insert(struct bench *b)
{
	if (b->status == WEIR_OK)
		cuts_is(b, COUNT, "2");
	else if (is_known(b))
		cuts_is(b, COUNT, "0");
	else
		cuts_is_either(b, COUNT, "0", "2");
}

static weir_status
insert_unique(weir_store *store, const char *first, size_t count,
	      weir_inserted *rets, weir_error *error)
{
	weir_insert jobs[2] = {WEIR_INSERT_INIT, WEIR_INSERT_INIT};

	jobs[0].kind = first;
	jobs[1].kind = "second";
	jobs[0].unique = jobs[1].unique = WEIR_UNIQUE_ARGS;
	return weir_store_insert(store, jobs, count, rets, NULL, error);
}

static void
prepare_unique(struct bench *b)
{
	OK(insert_unique(b->direct, "first", 1, b->rets, error));
}

static weir_status
act_unique(struct bench *b, weir_error *error)
{
	return insert_unique(b->via, "first", 2, b->rets, error);
}

static void
check_unique(struct bench *b)
{
	if (b->status == WEIR_OK) {
		cuts_is(b, COUNT, "2");
		CHECK_MSG(b->rets[0].duplicate && !b->rets[1].duplicate, "%s",
			  cuts_where);
	} else if (is_known(b)) {
		cuts_is(b, COUNT, "1");
	} else {
		cuts_is_either(b, COUNT, "1", "2");
	}
}

/* Turns. */

static void
prepare_claim(struct bench *b)
{
	cuts_put(b, 3);
	cuts_enlist(b, b->via, &b->owner);
}

static weir_status
act_claim(struct bench *b, weir_error *error)
{
	return cuts_turn(b->via, b, &b->owner, NULL, 5, error);
}

/* After a turn that says STALE; what else may be wrong is as before. */
static void
come_back(struct bench *b)
{
	OK(b->via->ops->enlist(b->via, &b->owner, error));
	cuts_is(b, "SELECT count(*) FROM river_job WHERE state = 'running'",
		"0");
	cuts_is(b, "SELECT count(*) FROM weir_client", "1");
}

static void
check_claim(struct bench *b)
{
	if (b->status == WEIR_STALE) {
		come_back(b);
		cuts_is(b, STATES, "available:0:0 available:0:0 available:0:0");
	}
	if (b->status != WEIR_OK) {
		cuts_is(b, STATES, "available:0:0 available:0:0 available:0:0");
		OK(act_claim(b, error));
	}
	cuts_is(b, STATES, "running:1:0 running:1:0 running:1:0");
	CHECK_MSG(b->batch && b->batch->count == 3, "%s", cuts_where);
}

static void
prepare_held(struct bench *b)
{
	cuts_put(b, 1);
	cuts_enlist(b, b->via, &b->owner);
	OK(cuts_turn(b->via, b, &b->owner, NULL, 1, error));
	REQUIRE(b->batch && b->batch->count == 1);
}

static weir_status
act_finish(struct bench *b, weir_error *error)
{
	static const char why[] =
		"{\"at\":\"2026-01-02T03:04:05Z\",\"attempt\":1,\"error\":"
		"\"no\",\"trace\":\"\"}";
	bool fails = cuts_verb->verdict == WEIR_VERDICT_RETRY ||
		     cuts_verb->verdict == WEIR_VERDICT_DISCARD;
	struct weir_finish finish = {
		.claim = &b->batch->claims[0],
		.verdict = cuts_verb->verdict,
		.at_ms = weir__store_now_ms(b->via) + 3600 * 1000,
		.error = fails ? why : NULL,
		.error_len = fails ? strlen(why) : 0,
	};
	struct weir_batch *held = b->batch;
	weir_status status;

	status = cuts_turn(b->via, b, &b->owner, &finish, 0, error);
	b->batch = held;
	return status;
}

static void
check_finish(struct bench *b)
{
	if (b->status == WEIR_STALE) {
		CHECK_EQ_INT(b->finished.status, WEIR_STALE);
		if (!b->hasty)
			cuts_is_either(b, STATES, cuts_verb->expected,
				       "running:1:0");
		come_back(b);
		cuts_is_either(b, STATES, cuts_verb->expected, "available:0:0");
		return;
	}
	if (b->status != WEIR_OK) {
		cuts_is(b, STATES, "running:1:0");
		OK(act_finish(b, error));
	}
	CHECK_EQ_INT(b->finished.status, WEIR_OK);
	cuts_is(b, STATES, "%s", cuts_verb->expected);
}

/* Both at once. */
static void
prepare_both(struct bench *b)
{
	prepare_held(b);
	cuts_put(b, 1);
}

static weir_status
act_both(struct bench *b, weir_error *error)
{
	struct weir_finish finish = {.claim = &b->batch->claims[0],
				     .verdict = WEIR_VERDICT_COMPLETE};
	struct weir_batch *held = b->batch;
	weir_status status = cuts_turn(b->via, b, &b->owner, &finish, 1, error);

	if (b->batch != held)
		weir__claim_free(&held->claims[0]);
	return status;
}

static void
check_both(struct bench *b)
{
	if (b->status == WEIR_STALE) {
		if (!b->hasty)
			cuts_is_either(b, STATES, "completed:1:0 running:1:0",
				       "running:1:0 available:0:0");
		come_back(b);
		cuts_is_either(b, STATES, "completed:1:0 available:0:0",
			       "available:0:0 available:0:0");
		return;
	}
	if (b->status != WEIR_OK) {
		cuts_is(b, STATES, "running:1:0 available:0:0");
		OK(act_both(b, error));
	}
	cuts_is(b, STATES, "completed:1:0 running:1:0");
}

/* Clients. */

static void
prepare_enlisted(struct bench *b)
{
	cuts_enlist(b, b->via, &b->owner);
}

static weir_status
act_extend(struct bench *b, weir_error *error)
{
	return b->via->ops->extend(b->via, &b->owner, error);
}

static void
check_extend(struct bench *b)
{
	CHECK_MSG(b->status != WEIR_STALE, "%s", cuts_where);
	if (b->status != WEIR_OK)
		OK(act_extend(b, error));
	cuts_is_either(b, "SELECT beat FROM weir_client", "1", "2");
}

static weir_status
act_enlist(struct bench *b, weir_error *error)
{
	b->owner = (struct weir_owner){.name = "me", .crashes_max = 9};
	return b->via->ops->enlist(b->via, &b->owner, error);
}

/* A row of nobody may stay; it has nothing, and dies with the process. */
static void
check_enlist(struct bench *b)
{
	if (b->status != WEIR_OK) {
		cuts_is_either(b, "SELECT count(*) FROM weir_client", "0", "1");
		OK(act_enlist(b, error));
		cuts_is_either(b, "SELECT count(*) FROM weir_client", "1", "2");
	}
	cuts_is(b, "SELECT max(id) FROM weir_client", "%" PRId64, b->owner.id);
}

static weir_status
act_come_back(struct bench *b, weir_error *error)
{
	return b->via->ops->enlist(b->via, &b->owner, error);
}

static void
check_come_back(struct bench *b)
{
	if (b->status != WEIR_OK) {
		cuts_is_either(b, STATES, "available:0:0", "running:1:0");
		OK(act_come_back(b, error));
	}
	cuts_is(b, STATES, "available:0:0");
	cuts_is(b, "SELECT max(id) FROM weir_client", "%" PRId64, b->owner.id);
}

static weir_status
act_leave(struct bench *b, weir_error *error)
{
	return b->via->ops->leave(b->via, &b->owner, error);
}

static void
check_leave(struct bench *b)
{
	if (b->status != WEIR_OK) {
		cuts_is_either(b, STATES, "available:0:0", "running:1:0");
		OK(act_leave(b, error));
	}
	cuts_is(b, STATES, "available:0:0");
	cuts_is(b, "SELECT count(*) FROM weir_client", "0");
}

static bool
count_client(const struct weir_client_row *row, void *user)
{
	struct bench *b = user;

	(void)row;
	b->count++;
	return true;
}

static weir_status
act_clients(struct bench *b, weir_error *error)
{
	b->count = 0;
	return b->via->ops->clients(b->via, count_client, b, error);
}

/* Inside a transaction of the caller's. */

static PGconn *
connect_by_hand(struct bench *b)
{
	char conninfo[256];
	PGconn *pg;

	(void)snprintf(conninfo, sizeof(conninfo),
		       "%s application_name=by_hand", b->via_conninfo);
	pg = PQconnectdb(conninfo);
	(void)PQsetNoticeProcessor(pg, NULL, NULL);
	return pg;
}

static bool
run(PGconn *pg, const char *sql)
{
	PGresult *result = PQexec(pg, sql);
	ExecStatusType status = PQresultStatus(result);

	PQclear(result);
	return status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK;
}

/* Begin, an effect, ours, commit. */
static weir_status
act_tx(struct bench *b, weir_error *error)
{
	weir_insert job = WEIR_INSERT_INIT;
	PGconn *pg = connect_by_hand(b);
	weir_status status = WEIR_SYSTEM;
	char sql[96];
	void *db = pg;

	(void)snprintf(sql, sizeof(sql), "INSERT INTO cut_%d.effect VALUES (1)",
		       (int)getpid());
	job.kind = "work";
	if (run(pg, "BEGIN") && run(pg, sql))
		status =
			b->batch
				? b->via->ops->complete_tx(b->via, &b->owner,
							   &b->batch->claims[0],
							   db, NULL, 0, error)
				: weir_store_insert_tx(b->via, db, &job, 1,
						       b->rets, error);
	if (status == WEIR_OK && !run(pg, "COMMIT"))
		status = WEIR_SYSTEM;
	PQfinish(pg);
	return status;
}

static void
check_insert_tx(struct bench *b)
{
	cuts_is(b,
		"SELECT (SELECT count(*) FROM river_job) ="
		" (SELECT count(*) FROM effect)",
		"t");
	if (b->status == WEIR_OK)
		cuts_is(b, COUNT, "1");
	else
		cuts_is_either(b, COUNT, "0", "1");
}

static void
check_complete_tx(struct bench *b)
{
	cuts_is(b,
		"SELECT (SELECT count(*) FROM river_job WHERE"
		" state = 'completed') = (SELECT count(*) FROM effect)",
		"t");
	if (b->status == WEIR_OK)
		cuts_is(b, STATES, "completed:1:0");
	else
		cuts_is_either(b, STATES, "running:1:0", "completed:1:0");
	/* Whatever it was, once more makes it so once. */
	if (b->status != WEIR_OK) {
		weir_error error = {WEIR_OK, 0, ""};
		weir_status again = act_tx(b, &error);

		CHECK_MSG(again == WEIR_OK || again == WEIR_STALE, "%s: %s",
			  cuts_where, error.message);
	}
	cuts_is(b, STATES, "completed:1:0");
	cuts_is(b, "SELECT count(*) FROM effect", "1");
}

CUT(insert, "insert", cuts_prepare_nothing, act_insert, check_insert)
CUT(insert_of_unique_ones, "insert", prepare_unique, act_unique, check_unique)
CUT(claim, "work", prepare_claim, act_claim, check_claim)
CUT_FINISH(finish_complete, WEIR_VERDICT_COMPLETE, "completed:1:0")
CUT_FINISH(finish_retry, WEIR_VERDICT_RETRY, "retryable:1:1")
CUT_FINISH(finish_snooze, WEIR_VERDICT_SNOOZE, "scheduled:0:0")
CUT_FINISH(finish_release, WEIR_VERDICT_RELEASE, "available:0:0")
CUT_FINISH(finish_discard, WEIR_VERDICT_DISCARD, "discarded:1:1")
CUT_FINISH(finish_cancel, WEIR_VERDICT_CANCEL, "cancelled:1:0")
CUT(finish_and_claim, "work", prepare_both, act_both, check_both)
CUT(extend, "work", prepare_enlisted, act_extend, check_extend)
CUT(enlist, "work", cuts_prepare_nothing, act_enlist, check_enlist)
CUT(enlist_again, "work", prepare_held, act_come_back, check_come_back)
CUT(leave, "work", prepare_held, act_leave, check_leave)
CUT(clients, "work", prepare_enlisted, act_clients, cuts_check_one)
CUT(insert_tx, "by_hand", cuts_prepare_nothing, act_tx, check_insert_tx)
CUT(complete_tx, "by_hand", prepare_held, act_tx, check_complete_tx)
