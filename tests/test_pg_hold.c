/*
 * The hold lane of the PostgreSQL store: what is locked and not written.
 *
 * A test tells the store by hand what a loop would; what a loop makes of it is
 * tried with whole works, some of which are killed.
 */
#include "pg/hold.h"
#include "pg_by_hand.h"
#include "queue_conformance.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include <weir/work.h>

enum { MANY = 32, MOST = 640 };

static char lock_text[160];
static PGconn *locker;

/* "available 3, completed 2" and the like. */
static const char *
states(weir_store *store)
{
	return ask(store,
		   "SELECT string_agg(state || ' ' || n, ', ' ORDER BY state)"
		   " FROM (SELECT state::text, count(*) AS n FROM @river_job"
		   " GROUP BY 1) s");
}

static const char *
notes(weir_store *store)
{
	return ask(store, "SELECT count(*) FROM @weir_hold");
}

/* As after a turn that has got many. */
static void
note_plenty(weir_store *store)
{
	struct pg_holds *holds = weir__pg_of(store)->holds;

	weir__mutex_lock(&holds->mu);
	holds->plenty = true;
	weir__mutex_unlock(&holds->mu);
}

static void
put_many(weir_store *store, const char *kind, size_t count)
{
	note_plenty(store);
	for (size_t i = 0; i < count; i++)
		queue_put(store, kind);
}

/* A turn that lets the store hold. */
struct held_turn {
	struct weir_want want;
	struct weir_finish finishes[MOST];
	struct weir_finished finished[MOST];
	struct weir_turn turn;
	struct held_turn *before;
};

/* They last as long as the test, which is a process. */
static struct held_turn *last_turn;

static struct held_turn *
held_turn(struct weir_owner *owner, uint32_t wanted)
{
	struct held_turn *h = calloc(1, sizeof(*h));

	REQUIRE(h);
	h->before = last_turn;
	last_turn = h;
	h->want = (struct weir_want){.queue = "default", .count = wanted};
	h->turn = (struct weir_turn){.owner = owner,
				     .finishes = h->finishes,
				     .finished = h->finished,
				     .wants = &h->want,
				     .want_count = wanted > 0,
				     .may_hold = true};
	return h;
}

static void
add_end(struct held_turn *h, const struct weir_claim *claim,
	enum weir_verdict verdict)
{
	h->finishes[h->turn.finish_count++] =
		(struct weir_finish){.claim = claim,
				     .verdict = verdict,
				     .at_ms = queue_now_ms + 60000};
}

static struct weir_batch *
hold(weir_store *store, struct weir_owner *owner, uint32_t count)
{
	struct held_turn *h = held_turn(owner, count);

	note_plenty(store);
	queue_turn(store, &h->turn);
	REQUIRE(h->turn.batch);
	CHECK(h->turn.hold_until_ns < WEIR_FOREVER);
	return h->turn.batch;
}

static struct held_turn *
end_all(weir_store *store, struct weir_owner *owner, struct weir_batch *batch,
	enum weir_verdict verdict)
{
	struct held_turn *h = held_turn(owner, 0);

	for (size_t i = 0; i < batch->count; i++)
		add_end(h, &batch->claims[i], verdict);
	queue_turn(store, &h->turn);
	return h;
}

static void
check_all(const struct held_turn *h, weir_status status, weir_state state)
{
	for (size_t i = 0; i < h->turn.finish_count; i++) {
		CHECK_EQ_INT(h->finished[i].status, status);
		if (status == WEIR_OK)
			CHECK_EQ_INT(h->finished[i].state, state);
	}
}

static void
wait_ms(int ms)
{
	(void)poll(NULL, 0, ms);
}

/*
 * What is held, and how it ends.
 */
STORE_TEST(holds, write_nothing_and_are_completed_as_one)
{
	struct weir_owner *me = queue_enlist(store, "me");
	struct weir_batch *batch;
	char expected[64];

	put_many(store, "work", MANY);
	batch = hold(store, me, MANY);
	CHECK_EQ_INT(batch->count, MANY);
	CHECK_EQ_INT(batch->claims[0].row.id, 1);
	CHECK_EQ_INT(batch->claims[0].row.attempt, 1);
	CHECK_EQ_INT(batch->claims[0].row.state, WEIR_JOB_RUNNING);
	CHECK_STR(states(store), "available 32");
	CHECK_STR(notes(store), "1");
	check_all(end_all(store, me, batch, WEIR_VERDICT_COMPLETE), WEIR_OK,
		  WEIR_JOB_COMPLETED);
	snprintf(expected, sizeof(expected), "32 1 me#%lld true",
		 (long long)me->id);
	CHECK_STR(ask(store, "SELECT count(*) || ' ' || attempt || ' ' ||"
			     " attempted_by[1] || ' ' || (finalized_at"
			     " >= attempted_at) FROM @river_job WHERE state ="
			     " 'completed' GROUP BY attempt, attempted_by,"
			     " finalized_at >= attempted_at"),
		  expected);
	CHECK_STR(notes(store), "0");
}

/* In SQL, because one by one it would take a while. */
static void
put_most(weir_store *store)
{
	note_plenty(store);
	CHECK_STR(ask(store,
		      "INSERT INTO @river_job (args, kind, priority, queue,"
		      " scheduled_at) SELECT '{}', 'work', 1 + n % 4,"
		      " CASE WHEN n % 3 = 0 THEN 'other' ELSE 'default' END,"
		      " now() - n % 7 * interval '1 s'"
		      " FROM generate_series(1, 640) n"),
		  "");
}

static bool
is_in_order(const weir_job_row *x, const weir_job_row *y)
{
	if (strcmp(x->queue, y->queue) != 0)
		return strcmp(x->queue, "other") == 0;
	if (x->priority != y->priority)
		return x->priority < y->priority;
	if (x->scheduled_at_ms != y->scheduled_at_ms)
		return x->scheduled_at_ms < y->scheduled_at_ms;
	return x->id < y->id;
}

/* One alone may be long; that it runs is to be seen. */
STORE_TEST(holds, are_made_only_after_a_turn_has_got_many)
{
	struct weir_owner *me = queue_enlist(store, "me");
	struct held_turn *h = held_turn(me, MANY);

	for (int i = 0; i < 2 * MANY; i++)
		queue_put(store, "work");
	queue_turn(store, &h->turn);
	REQUIRE(h->turn.batch && h->turn.batch->count == MANY);
	CHECK_STR(states(store), "available 32, running 32");
	h = held_turn(me, MANY);
	queue_turn(store, &h->turn);
	REQUIRE(h->turn.batch && h->turn.batch->count == MANY);
	CHECK_STR(states(store), "available 32, running 32");
}

STORE_TEST(holds, are_two_with_much_to_do_and_one_batch_in_order)
{
	struct weir_owner *me = queue_enlist(store, "me");
	struct weir_want wants[] = {{.queue = "other", .count = 300},
				    {.queue = "default", .count = 600}};
	struct held_turn *h = held_turn(me, 1);

	put_most(store);
	queue_now_ms += 86400000; /* by which all are due */
	h->turn.wants = wants;
	h->turn.want_count = 2;
	queue_turn(store, &h->turn);
	REQUIRE(h->turn.batch && h->turn.batch->count == MOST);
	for (size_t i = 1; i < MOST; i++)
		CHECK(is_in_order(&h->turn.batch->claims[i - 1].row,
				  &h->turn.batch->claims[i].row));
	CHECK_STR(notes(store), "2");
	CHECK_STR(ask(store, "SELECT count(DISTINCT id) FROM @weir_hold h,"
			     " unnest(h.ids) id"),
		  "640");
	check_all(end_all(store, me, h->turn.batch, WEIR_VERDICT_COMPLETE),
		  WEIR_OK, WEIR_JOB_COMPLETED);
	CHECK_STR(states(store), "completed 640");
	CHECK_STR(notes(store), "0");
}

/* One of the two can be lost alone. */
STORE_TEST(holds, are_lost_one_by_one)
{
	struct weir_owner *me = queue_enlist(store, "me");
	struct weir_want want = {.queue = "default", .count = 600};
	struct held_turn *h = held_turn(me, 1), *end;
	size_t lost[2] = {0}; /* of each part */
	char left[16];

	put_most(store);
	queue_now_ms += 86400000;
	h->turn.wants = &want;
	queue_turn(store, &h->turn);
	REQUIRE(h->turn.batch && h->turn.batch->count == 427);
	CHECK_STR(ask(store, "SELECT pg_terminate_backend(max(pid), 5000)"
			     " FROM pg_stat_activity"
			     " WHERE application_name = 'weir hold'"),
		  "t");
	end = end_all(store, me, h->turn.batch, WEIR_VERDICT_COMPLETE);
	for (size_t i = 0; i < 427; i++) {
		CHECK(end->finished[i].status == WEIR_STALE ||
		      end->finished[i].status == WEIR_OK);
		lost[weir__pg_is_of_part(h->turn.batch->claims[i].row.id, 1,
					 PG_PARTS)] +=
			end->finished[i].status == WEIR_STALE;
	}
	CHECK_EQ_INT(lost[0] + lost[1], lost[0] > 0 ? 256 : 171);
	CHECK(lost[0] == 0 || lost[1] == 0);
	snprintf(left, sizeof(left), "%zu", 427 - lost[0] - lost[1]);
	CHECK_STR(ask(store, "SELECT count(*) FROM @river_job WHERE"
			     " state = 'completed'"),
		  left);
	CHECK_STR(notes(store), "0");
}

STORE_TEST(holds, that_are_not_complete_say_busy_and_take_it_again)
{
	struct weir_owner *me = queue_enlist(store, "me");
	struct held_turn *h = held_turn(me, 0);
	struct weir_batch *batch;

	put_many(store, "work", MANY);
	batch = hold(store, me, MANY);
	for (size_t i = 0; i < MANY - 1; i++)
		add_end(h, &batch->claims[i], WEIR_VERDICT_COMPLETE);
	queue_turn(store, &h->turn);
	check_all(h, WEIR_BUSY, 0);
	CHECK(h->turn.hold_until_ns < WEIR_FOREVER);
	CHECK_STR(states(store), "available 32");
	add_end(h, &batch->claims[MANY - 1], WEIR_VERDICT_COMPLETE);
	queue_turn(store, &h->turn);
	check_all(h, WEIR_OK, WEIR_JOB_COMPLETED);
	CHECK_EQ_INT(h->turn.hold_until_ns, WEIR_FOREVER);
	CHECK_STR(states(store), "completed 32");
}

STORE_TEST(holds, end_and_begin_in_one_turn)
{
	struct weir_owner *me = queue_enlist(store, "me");
	struct held_turn *h = held_turn(me, MANY);
	struct weir_batch *batch;

	put_many(store, "work", 2 * MANY);
	batch = hold(store, me, MANY);
	for (size_t i = 0; i < MANY; i++)
		add_end(h, &batch->claims[i], WEIR_VERDICT_COMPLETE);
	queue_turn(store, &h->turn);
	check_all(h, WEIR_OK, WEIR_JOB_COMPLETED);
	REQUIRE(h->turn.batch);
	CHECK_EQ_INT(h->turn.batch->claims[0].row.id, MANY + 1);
	CHECK(h->turn.more);
	CHECK_STR(states(store), "available 32, completed 32");
	CHECK_STR(notes(store), "1");
}

STORE_TEST(holds, are_dropped_or_archived_if_the_queue_says_so)
{
	struct weir_owner *me = queue_enlist(store, "me");
	weir_error error = {0};

	REQUIRE(store->ops->queue_set(store, "default", -1, WEIR_FINISHED_DROP,
				      &error) == WEIR_OK);
	put_many(store, "work", MANY);
	check_all(end_all(store, me, hold(store, me, MANY),
			  WEIR_VERDICT_COMPLETE),
		  WEIR_OK, WEIR_JOB_COMPLETED);
	CHECK_STR(states(store), "");
	CHECK_STR(ask(store, "SELECT count(*) FROM @weir_archive"), "0");
	REQUIRE(store->ops->queue_set(store, "default", -1,
				      WEIR_FINISHED_ARCHIVE,
				      &error) == WEIR_OK);
	put_many(store, "work", MANY);
	check_all(end_all(store, me, hold(store, me, MANY),
			  WEIR_VERDICT_COMPLETE),
		  WEIR_OK, WEIR_JOB_COMPLETED);
	CHECK_STR(states(store), "");
	CHECK_STR(ask(store,
		      "SELECT count(*) FROM @weir_archive WHERE attempt = 1"
		      " AND attempted_by = 'me' AND kind = 'work'"
		      " AND finalized_at >= attempted_at"),
		  "32");
}

/* All verdicts from one hold. */
STORE_TEST(holds, take_every_verdict)
{
	struct weir_owner *me = queue_enlist(store, "me");
	struct held_turn *h = held_turn(me, 0);
	struct weir_batch *batch;

	put_many(store, "work", MANY);
	batch = hold(store, me, MANY);
	for (size_t i = 0; i < MANY; i++)
		add_end(h, &batch->claims[i],
			i < 6 ? (enum weir_verdict)i : WEIR_VERDICT_COMPLETE);
	h->finishes[6].output = "{\"n\":1}";
	h->finishes[6].output_len = 7;
	for (int i = WEIR_VERDICT_DISCARD; i <= WEIR_VERDICT_CANCEL; i++) {
		h->finishes[i].error = "{\"at\":\"2027-01-01T00:00:00Z\","
				       "\"attempt\":1,\"error\":\"x\","
				       "\"trace\":\"\"}";
		h->finishes[i].error_len = strlen(h->finishes[i].error);
	}
	queue_turn(store, &h->turn);
	CHECK_EQ_INT(h->turn.hold_until_ns, WEIR_FOREVER);
	for (size_t i = 0; i < MANY; i++)
		CHECK_EQ_INT(h->finished[i].status, WEIR_OK);
	CHECK_STATE(store, 1, "completed");
	CHECK_STATE(store, 2, "retryable");
	CHECK_EQ_INT(queue_look(store, 2)->attempt, 1);
	CHECK_STATE(store, 3, "scheduled");
	CHECK_EQ_INT(queue_look(store, 3)->attempt, 0);
	CHECK_STATE(store, 4, "available");
	CHECK_EQ_INT(queue_look(store, 4)->attempt, 0);
	CHECK_STATE(store, 5, "discarded");
	CHECK_STATE(store, 6, "cancelled");
	CHECK_STR(queue_look(store, 7)->output, "{\"n\": 1}");
	CHECK_STR(notes(store), "0");
}

STORE_TEST(holds, of_which_all_is_given_back_leave_no_trace)
{
	struct weir_owner *me = queue_enlist(store, "me");
	struct weir_batch *batch;

	put_many(store, "work", MANY);
	batch = hold(store, me, MANY);
	check_all(end_all(store, me, batch, WEIR_VERDICT_RELEASE), WEIR_OK,
		  WEIR_JOB_AVAILABLE);
	CHECK_STR(ask(store, "SELECT count(*) FROM @river_job WHERE"
			     " state = 'available' AND attempt = 0"
			     " AND attempted_by IS NULL"),
		  "32");
	CHECK_STR(notes(store), "0");
	CHECK_EQ_INT(hold(store, me, MANY)->count, MANY);
	queue_leave(store, me);
	CHECK_STR(states(store), "available 32");
	CHECK_STR(notes(store), "0");
	CHECK_EQ_INT(
		queue_claim(store, queue_enlist(store, "other"), MANY)->count,
		MANY);
}

STORE_TEST(holds, spill_what_is_not_done_in_time)
{
	struct weir_owner *me = queue_enlist(store, "me");
	struct held_turn *h = held_turn(me, 0);
	struct weir_batch *batch;

	put_many(store, "work", MANY);
	batch = hold(store, me, MANY);
	for (size_t i = 0; i < MANY / 2; i++)
		add_end(h, &batch->claims[i], WEIR_VERDICT_COMPLETE);
	wait_ms(520);
	queue_turn(store, &h->turn);
	check_all(h, WEIR_OK, WEIR_JOB_COMPLETED);
	CHECK_STR(states(store), "completed 16, running 16");
	CHECK_STR(notes(store), "0");
	/* From here on they are like any that was claimed. */
	for (size_t i = MANY / 2; i < MANY - 1; i++)
		CHECK_EQ_INT(queue_end(store, me, &batch->claims[i],
				       WEIR_VERDICT_COMPLETE)
				     .status,
			     WEIR_OK);
	queue_kill(store, me);
	CHECK_STATE(store, MANY, "available");
	CHECK_EQ_INT(queue_look(store, MANY)->crashes, 1);
	CHECK_EQ_INT(queue_look(store, MANY)->attempt, 1);
}

/* Then the kind is long, and for a while only claimed. */
STORE_TEST(kinds, that_spill_are_not_held_and_others_are)
{
	struct weir_owner *me = queue_enlist(store, "me");
	struct held_turn *h = held_turn(me, 0);
	struct weir_batch *batch;

	put_many(store, "short", MANY / 2);
	put_many(store, "long", MANY / 2);
	batch = hold(store, me, MANY);
	for (size_t i = 0; i < MANY / 4; i++)
		add_end(h, &batch->claims[i], WEIR_VERDICT_COMPLETE);
	wait_ms(520);
	queue_turn(store, &h->turn);
	CHECK_STR(states(store), "completed 8, running 24");
	put_many(store, "long", MANY / 2);
	put_many(store, "short", MANY);
	h = held_turn(me, 2 * MANY);
	queue_turn(store, &h->turn);
	REQUIRE(h->turn.batch);
	CHECK_EQ_INT(h->turn.batch->count, MANY + MANY / 2);
	CHECK_STR(ask(store, "SELECT string_agg(DISTINCT kind, ' ')"
			     " FROM @river_job WHERE state = 'available'"),
		  "short");
	CHECK_STR(ask(store, "SELECT cardinality(ids) FROM @weir_hold"), "32");
}

STORE_TEST(unique_jobs, are_claimed_and_not_held)
{
	struct weir_owner *me = queue_enlist(store, "me");
	struct weir_draft draft = queue_draft("work");
	struct weir_batch *batch;

	put_many(store, "work", MANY);
	queue_draft_key(&draft, 1, WEIR_UNIQUE_STATES_DEFAULT);
	queue_put_draft(store, &draft);
	batch = hold(store, me, 2 * MANY);
	CHECK_EQ_INT(batch->count, MANY + 1);
	CHECK_STR(states(store), "available 32, running 1");
	/* An insert of the same key does not wait for us. */
	CHECK_EQ_INT(queue_insert(store, &draft).id, MANY + 1);
	check_all(end_all(store, me, batch, WEIR_VERDICT_COMPLETE), WEIR_OK,
		  WEIR_JOB_COMPLETED);
}

/* What may not be held is not starved by what may. */
STORE_TEST(unique_jobs, have_their_turn_before_what_came_later)
{
	struct weir_owner *me = queue_enlist(store, "me");
	struct weir_draft draft = queue_draft("work");
	struct held_turn *h = held_turn(me, MANY);

	put_many(store, "work", MANY);
	queue_draft_key(&draft, 1, WEIR_UNIQUE_STATES_DEFAULT);
	queue_put_draft(store, &draft);
	put_many(store, "work", 3 * MANY);
	for (int i = 0; i < 3; i++) {
		wait_ms(260);
		queue_turn(store, &h->turn);
	}
	CHECK_STATE(store, MANY + 1, "running");
}

/*
 * Others beside us.
 */
STORE_TEST(others, pass_over_what_is_held)
{
	struct weir_owner *me = queue_enlist(store, "me");
	weir_store *there = queue_join(store);
	struct weir_owner *other = queue_enlist(there, "other");
	struct weir_batch *mine, *theirs;

	put_many(store, "work", 2 * MANY);
	mine = hold(store, me, MANY);
	theirs = hold(there, other, 2 * MANY);
	CHECK_EQ_INT(mine->count, MANY);
	CHECK_EQ_INT(theirs->count, MANY);
	CHECK_EQ_INT(theirs->claims[0].row.id, MANY + 1);
	/* So does a client of River's. */
	CHECK_STR(ask(store, "SELECT id FROM @river_job WHERE"
			     " state = 'available' ORDER BY id"
			     " LIMIT 1 FOR UPDATE SKIP LOCKED"),
		  "");
	check_all(end_all(store, me, mine, WEIR_VERDICT_COMPLETE), WEIR_OK,
		  WEIR_JOB_COMPLETED);
	check_all(end_all(there, other, theirs, WEIR_VERDICT_COMPLETE), WEIR_OK,
		  WEIR_JOB_COMPLETED);
	CHECK_STR(states(store), "completed 64");
}

/* We would wait for ourselves, and nobody would end it. */
STORE_TEST(others, who_change_a_job_that_we_hold_do_not_wait)
{
	struct weir_owner *me = queue_enlist(store, "me");
	struct weir_batch *batch;
	struct held_turn *h;

	put_many(store, "work", MANY);
	batch = hold(store, me, MANY);
	queue_change(store, WEIR_JOB_CANCEL, 1);
	CHECK_STR(states(store), "running 32");
	h = end_all(store, me, batch, WEIR_VERDICT_RETRY);
	CHECK_EQ_INT(h->finished[0].state, WEIR_JOB_CANCELLED);
	CHECK_EQ_INT(h->finished[1].state, WEIR_JOB_RETRYABLE);
	CHECK_STR(notes(store), "0");
}

/* The first of a batch, in the transaction of pg. */
static weir_status
complete(weir_store *store, const struct weir_owner *owner,
	 const struct weir_batch *batch, PGconn *pg)
{
	weir_error error = {0};

	return store->ops->complete_tx(store, owner, &batch->claims[0], pg,
				       NULL, 0, &error);
}

STORE_TEST(others, may_complete_a_held_job_in_their_own_transaction)
{
	struct weir_owner *me = queue_enlist(store, "me");
	PGconn *pg = by_hand();
	struct weir_batch *batch;

	put_many(store, "work", MANY);
	batch = hold(store, me, MANY);
	PQclear(PQexec(pg, "BEGIN"));
	CHECK_EQ_INT(complete(store, me, batch, pg), WEIR_OK);
	PQclear(PQexec(pg, "COMMIT"));
	PQfinish(pg);
	CHECK_STR(states(store), "completed 1, running 31");
}

/* A psql that was left open must not keep a worker from ending the others. */
/* One that is locked by hand, in a transaction that stays open. */
static PGconn *
lock_job(weir_store *store, const char *id)
{
	PGconn *pg = by_hand();
	char sql[96];

	PQclear(PQexec(pg, "BEGIN"));
	snprintf(sql, sizeof(sql),
		 "SELECT id FROM @river_job WHERE id = %s FOR UPDATE", id);
	CHECK_STR(ask_on(pg, store, sql), id);
	return pg;
}

/* Nor from leaving, nor others from being rescued. */
STORE_TEST(others, who_lock_a_job_keep_nobody_from_leaving)
{
	struct weir_owner *me = queue_enlist(store, "me");
	struct held_turn *h = held_turn(me, 3);
	weir_error error = {0};
	uint32_t count = 0;
	PGconn *pg;

	for (int i = 0; i < 3; i++)
		queue_put(store, "work");
	queue_turn(store, &h->turn);
	pg = lock_job(store, "2");
	CHECK_EQ_INT(store->ops->leave(store, me, &error), WEIR_OK);
	CHECK_STR(states(store), "available 2, running 1");
	CHECK_STR(ask(store, "SELECT count(*) FROM @weir_client"), "1");
	CHECK_EQ_INT(
		store->ops->rescue(store, me->id, 0, 9, 10, &count, &error),
		WEIR_OK);
	CHECK_EQ_INT(count, 0);
	PQclear(PQexec(pg, "COMMIT"));
	CHECK_EQ_INT(
		store->ops->rescue(store, me->id, 0, 9, 10, &count, &error),
		WEIR_OK);
	CHECK_EQ_INT(count, 1);
	CHECK_STR(states(store), "available 3");
	CHECK_STR(ask(store, "SELECT count(*) FROM @weir_client"), "0");
	PQfinish(pg);
}

STORE_TEST(others, who_lock_a_job_put_off_its_end_and_no_other)
{
	struct weir_owner *me = queue_enlist(store, "me");
	struct held_turn *h = held_turn(me, 3), *end;
	PGconn *pg;

	for (int i = 0; i < 3; i++)
		queue_put(store, "work");
	queue_turn(store, &h->turn);
	REQUIRE(h->turn.batch && h->turn.batch->count == 3);
	pg = lock_job(store, "2");
	end = end_all(store, me, h->turn.batch, WEIR_VERDICT_COMPLETE);
	CHECK_EQ_INT(end->finished[0].status, WEIR_OK);
	CHECK_EQ_INT(end->finished[1].status, WEIR_BUSY);
	CHECK_EQ_INT(end->finished[2].status, WEIR_OK);
	CHECK(end->turn.hold_until_ns < WEIR_FOREVER);
	CHECK_STR(states(store), "completed 2, running 1");
	/* From now on it asks first. */
	end = end_all(store, me, h->turn.batch, WEIR_VERDICT_COMPLETE);
	CHECK_EQ_INT(end->finished[0].status, WEIR_STALE);
	CHECK_EQ_INT(end->finished[1].status, WEIR_BUSY);
	PQclear(PQexec(pg, "COMMIT"));
	PQfinish(pg);
	end = end_all(store, me, h->turn.batch, WEIR_VERDICT_COMPLETE);
	CHECK_EQ_INT(end->finished[1].status, WEIR_OK);
	CHECK_STR(states(store), "completed 3");
}

/* Not stale: nobody else has it, and the next transaction sees that. */
STORE_TEST(others, whose_transaction_is_older_than_what_it_completes_are_busy)
{
	static const char begin[] = "BEGIN ISOLATION LEVEL REPEATABLE READ";
	static const char snapshot[] = "SELECT count(*) FROM @river_job";
	struct weir_owner *me = queue_enlist(store, "me");
	PGconn *pg = by_hand();
	struct weir_batch *batch;

	put_many(store, "work", MANY);
	batch = hold(store, me, MANY);
	PQclear(PQexec(pg, begin));
	CHECK_STR(ask_on(pg, store, snapshot), "32");
	CHECK_EQ_INT(complete(store, me, batch, pg), WEIR_BUSY);
	PQclear(PQexec(pg, "ROLLBACK"));
	PQclear(PQexec(pg, begin));
	CHECK_STR(ask_on(pg, store, snapshot), "32");
	CHECK_EQ_INT(complete(store, me, batch, pg), WEIR_OK);
	CHECK_EQ_INT(complete(store, me, batch, pg), WEIR_STALE);
	PQclear(PQexec(pg, "COMMIT"));
	PQfinish(pg);
	CHECK_STR(states(store), "completed 1, running 31");
}

/*
 * What goes wrong.
 */
STORE_TEST(holds, whose_connection_is_lost_are_stale)
{
	struct weir_owner *me = queue_enlist(store, "me");
	struct weir_buf cancels = {0};
	struct held_turn *h = held_turn(me, 0);
	struct weir_batch *batch;

	put_many(store, "work", MANY);
	batch = hold(store, me, MANY);
	CHECK_STR(ask(store, "SELECT count(pg_terminate_backend(pid, 5000))"
			     " FROM pg_stat_activity"
			     " WHERE application_name = 'weir hold'"),
		  "1");
	wait_ms(520);
	h->turn.cancels = &cancels;
	for (size_t i = 0; i < MANY - 1; i++)
		add_end(h, &batch->claims[i], WEIR_VERDICT_COMPLETE);
	queue_turn(store, &h->turn);
	check_all(h, WEIR_STALE, 0);
	/* Who runs the last one is told. */
	CHECK_EQ_INT(cancels.len, sizeof(int64_t));
	CHECK_STR(states(store), "available 32");
	CHECK_STR(notes(store), "0");
	CHECK_EQ_INT(queue_end(store, me, &batch->claims[MANY - 1],
			       WEIR_VERDICT_COMPLETE)
			     .status,
		     WEIR_STALE);
	check_all(end_all(store, me, hold(store, me, MANY),
			  WEIR_VERDICT_COMPLETE),
		  WEIR_OK, WEIR_JOB_COMPLETED);
	weir__buf_fini(&cancels);
}

/* Taken for dead while it was stopped: it may not write any more. */
STORE_TEST(holds, of_one_that_was_taken_for_dead_come_to_nothing)
{
	struct weir_owner *me = queue_enlist(store, "me");
	weir_store *there = queue_join(store);
	struct weir_batch *batch;
	int64_t beat;

	put_many(store, "work", MANY);
	batch = hold(store, me, MANY);
	beat = queue_beat(there, me->id);
	/* The jobs are locked yet, so nothing can be said of them. */
	CHECK_EQ_INT(queue_rescue(there, me->id, beat), 0);
	CHECK_EQ_INT(queue_beat(there, me->id), beat);
	(void)ask(store, "DELETE FROM @weir_hold");
	CHECK_EQ_INT(queue_rescue(there, me->id, beat), 0);
	check_all(end_all(store, me, batch, WEIR_VERDICT_COMPLETE), WEIR_STALE,
		  0);
	CHECK_STR(states(store), "available 32");
}

/*
 * A process that holds jobs, and is killed.  Before there are threads: who
 * enlists has one, and ThreadSanitizer allows none in a child after that.
 */
static void
hold_and_die(weir_store *store)
{
	int fds[2];
	char c = 0;
	pid_t pid;

	REQUIRE(pipe(fds) == 0);
	pid = fork();
	REQUIRE(pid >= 0);
	if (pid == 0) {
		weir_store *mine = queue_join(store);

		(void)hold(mine, queue_enlist(mine, "victim"), MANY);
		(void)!write(fds[1], "x", 1);
		for (;;)
			pause();
	}
	(void)close(fds[1]);
	REQUIRE(read(fds[0], &c, 1) == 1);
	CHECK(kill(pid, SIGKILL) == 0);
	CHECK(waitpid(pid, NULL, 0) == pid);
	(void)close(fds[0]);
}

static bool
see_victim(const struct weir_client_row *row, void *user)
{
	if (strcmp(row->name, "victim") == 0) {
		CHECK(row->holds);
		CHECK(row->gone);
		*(int64_t *)user = row->id;
	}
	return true;
}

static int64_t
victim(weir_store *store)
{
	weir_error error = {0};
	int64_t id = 0;

	REQUIRE(store->ops->clients(store, see_victim, &id, &error) == WEIR_OK);
	return id;
}

/* The server lets go as soon as it sees that the connection is closed. */
static void
wait_until_free(weir_store *store, const char *count)
{
	PGconn *pg = by_hand();

	while (strcmp(ask_on(pg, store,
			     "SELECT count(*) FROM (SELECT 1 FROM @river_job"
			     " FOR UPDATE SKIP LOCKED) j"),
		      count) != 0)
		wait_ms(1);
	PQfinish(pg);
}

STORE_TEST(crashes, with_held_jobs_make_them_suspects_and_then_poison)
{
	const struct weir_claim *claim;
	struct weir_owner *me;
	int64_t id;

	put_many(store, "work", MANY);
	hold_and_die(store);
	me = queue_enlist(store, "me");
	wait_until_free(store, "32");
	CHECK_STR(states(store), "available 32");
	id = victim(store);
	CHECK_EQ_INT(queue_rescue(store, id, 0), MANY);
	CHECK_EQ_INT(queue_beat(store, id), -1);
	CHECK_STR(notes(store), "0");
	CHECK_STR(ask(store,
		      "SELECT count(*) FROM @river_job j JOIN @weir_suspect s"
		      " ON s.job = j.id WHERE s.crashes = 1 AND attempt = 1"
		      " AND (errors[1]->>'attempt')::int = 1"
		      " AND (errors[1]->>'at')::timestamptz = attempted_at"
		      " AND attempted_by[1] LIKE 'victim#%'"),
		  "32");
	/* Suspects are not held. */
	CHECK(!queue_claim(store, me, MANY));
	for (int i = 0; i < 2; i++) {
		claim = queue_claim_one(store, me, 1);
		CHECK_EQ_INT(claim->row.crashes, i + 1);
		queue_kill(store, me);
		me = queue_enlist(store, "me");
	}
	CHECK_STATE(store, 1, "discarded");
}

/* Whoever has them by now decides; what has gone on is not counted. */
STORE_TEST(crashes, are_counted_once_the_next_one_has_let_go)
{
	struct weir_owner *me;
	struct held_turn *h;
	struct weir_batch *batch;
	int64_t id;

	put_many(store, "work", MANY);
	hold_and_die(store);
	wait_until_free(store, "32");
	me = queue_enlist(store, "me");
	h = held_turn(me, 0);
	batch = hold(store, me, MANY);
	id = victim(store);
	CHECK_EQ_INT(queue_rescue(store, id, 0), 0);
	CHECK_EQ_INT(queue_beat(store, id), 0);
	for (size_t i = 0; i < MANY; i++)
		add_end(h, &batch->claims[i],
			i == 0 ? WEIR_VERDICT_RELEASE : WEIR_VERDICT_COMPLETE);
	queue_turn(store, &h->turn);
	CHECK_EQ_INT(queue_rescue(store, id, 0), 1);
	CHECK_EQ_INT(queue_beat(store, id), -1);
	CHECK_EQ_INT(queue_look(store, 1)->crashes, 1);
	CHECK_STR(states(store), "available 1, completed 31");
}

/*
 * Whole works, which are killed.
 */
enum { FLEET = 4, FLEET_JOBS = 4000, KILLS = 16 };

/* How often each job has run; shared by all processes. */
static atomic_uint *marks;

static void
map_marks(void)
{
	marks = mmap(NULL, (FLEET_JOBS + 1) * sizeof(*marks),
		     PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	REQUIRE(marks != MAP_FAILED);
}

static weir_status
leave_mark(weir_ctx *ctx, const void *input, void *output, void *user)
{
	const weir_job_row *row = input;

	(void)ctx;
	(void)output;
	(void)user;
	atomic_fetch_add(&marks[row->id], 1);
	wait_ms(row->id % 64 == 0);
	return WEIR_OK;
}

static void
work_until_empty(weir_store *store)
{
	weir_handler handler = {
		.size = sizeof(handler), .kind = "work", .run = leave_mark};
	weir_work_options options = WEIR_WORK_OPTIONS_INIT;
	weir_work *work = NULL;
	weir_error error = {0};

	options.handlers = &handler;
	options.handler_count = 1;
	options.workers = 2;
	options.until_empty = true;
	options.crashes_max = 1000;
	REQUIRE(weir_work_new(&work, store, &options, &error) == WEIR_OK);
	CHECK_EQ_INT(weir_work_run(work, NULL, &error), WEIR_OK);
	weir_work_free(work);
}

static pid_t
start_worker(weir_store *store)
{
	pid_t pid = fork();

	REQUIRE(pid >= 0);
	if (pid == 0) {
		weir_store *mine = queue_join(store);

		work_until_empty(mine);
		_exit(0);
	}
	return pid;
}

/* What was completed, and how often. */
static const char journal[] =
	"CREATE TABLE @journal (id bigint);"
	"CREATE FUNCTION @note_end() RETURNS trigger LANGUAGE plpgsql AS $$"
	" BEGIN INSERT INTO @journal VALUES (new.id); RETURN new; END $$;"
	"CREATE TRIGGER note_end AFTER UPDATE ON @river_job FOR EACH ROW"
	" WHEN (new.state = 'completed') EXECUTE FUNCTION @note_end()";

static void
insert_many(weir_store *store, size_t count)
{
	weir_error error = {0};
	struct weir_draft *drafts = calloc(count, sizeof(*drafts));

	REQUIRE(drafts);
	for (size_t i = 0; i < count; i++)
		drafts[i] = queue_draft("work");
	REQUIRE(store->ops->insert(store, drafts, count, NULL, NULL, &error) ==
		WEIR_OK);
	free(drafts);
}

static bool
is_over(PGconn *pg, weir_store *store)
{
	return strcmp(ask_on(pg, store,
			     "SELECT count(*) FROM @river_job"
			     " WHERE state <> 'completed'"),
		      "0") == 0;
}

STORE_TEST_LIMIT(works, that_are_killed_lose_nothing_and_end_nothing_twice, 60)
{
	pid_t pids[FLEET];
	PGconn *pg = by_hand();
	unsigned seed = (unsigned)getpid();

	map_marks();
	(void)ask_on(pg, store, journal);
	insert_many(store, FLEET_JOBS);
	for (int i = 0; i < FLEET; i++)
		pids[i] = start_worker(store);
	for (int i = 0; i < KILLS; i++) {
		int at = rand_r(&seed) % FLEET;

		wait_ms(rand_r(&seed) % 60);
		(void)kill(pids[at], SIGKILL);
		REQUIRE(waitpid(pids[at], NULL, 0) == pids[at]);
		pids[at] = start_worker(store);
	}
	while (!is_over(pg, store))
		for (int i = 0; i < FLEET; i++)
			if (waitpid(pids[i], NULL, WNOHANG) == pids[i])
				pids[i] = start_worker(store);
	for (int i = 0; i < FLEET; i++)
		REQUIRE(waitpid(pids[i], NULL, 0) == pids[i]);
	for (int i = 1; i <= FLEET_JOBS; i++)
		CHECK(atomic_load(&marks[i]) >= 1);
	CHECK_STR(ask_on(pg, store,
			 "SELECT count(*) || ' ' || count(DISTINCT id)"
			 " FROM @journal"),
		  "4000 4000");
	/* Who was with it when it died is known of each job that was begun. */
	CHECK_STR(ask_on(pg, store,
			 "SELECT count(*) FROM @river_job"
			 " WHERE attempt > cardinality(attempted_by)"),
		  "0");
	PQfinish(pg);
}

/* Stopped now, it has to end, also if one of its jobs cannot be told. */
static weir_status
lock_and_stop(weir_ctx *ctx, const void *input, void *output, void *user)
{
	weir_work **work = user;

	(void)ctx;
	(void)input;
	(void)output;
	locker = by_hand();
	PQclear(PQexec(locker, lock_text));
	weir_work_stop(*work, true);
	return WEIR_OK;
}

STORE_TEST_LIMIT(works, that_are_stopped_now_end_although_a_job_is_locked, 60)
{
	weir_work *work = NULL;
	weir_handler handler = {.size = sizeof(handler),
				.kind = "work",
				.run = lock_and_stop,
				.user = &work};
	weir_work_options options = WEIR_WORK_OPTIONS_INIT;
	weir_error error = {0};

	queue_put(store, "work");
	snprintf(lock_text, sizeof(lock_text),
		 "BEGIN; SELECT 1 FROM %sriver_job WHERE id = 1 FOR UPDATE",
		 weir__pg_of(store)->prefix);
	options.handlers = &handler;
	options.handler_count = 1;
	REQUIRE(weir_work_new(&work, store, &options, &error) == WEIR_OK);
	CHECK_EQ_INT(weir_work_run(work, NULL, &error), WEIR_BUSY);
	weir_work_free(work);
	CHECK_STR(states(store), "running 1");
	PQfinish(locker);
}

/* Is anything left in an open transaction when a work has ended? */
STORE_TEST(works, that_are_stopped_hold_nothing)
{
	weir_handler handler = {
		.size = sizeof(handler), .kind = "work", .run = leave_mark};
	weir_work_options options = WEIR_WORK_OPTIONS_INIT;
	weir_work *work = NULL;
	weir_error error = {0};
	weir_ctx *ctx = NULL;

	map_marks();
	insert_many(store, FLEET_JOBS);
	options.handlers = &handler;
	options.handler_count = 1;
	options.workers = 2;
	REQUIRE(weir_ctx_new(&ctx, NULL, 30 * WEIR_MS) == WEIR_OK);
	REQUIRE(weir_work_new(&work, store, &options, &error) == WEIR_OK);
	(void)!weir_work_run(work, ctx, &error);
	CHECK_STR(ask(store, "SELECT count(*) FROM pg_stat_activity"
			     " WHERE state LIKE 'idle in transaction%'"),
		  "0");
	CHECK_STR(notes(store), "0");
	CHECK_STR(ask(store, "SELECT count(*) FROM @river_job WHERE state NOT"
			     " IN ('available', 'completed')"),
		  "0");
	weir_work_free(work);
	weir_ctx_unref(ctx);
}

/* As different as jobs can be; what is due later counts as not there. */
static weir_status
run_mixed(weir_ctx *ctx, const void *input, void *output, void *user)
{
	const weir_job_row *row = input;

	(void)ctx;
	(void)output;
	(void)user;
	if (strcmp(row->kind, "long") == 0)
		wait_ms(700);
	if (strcmp(row->kind, "fails") == 0)
		return WEIR_FAILED;
	if (strcmp(row->kind, "tells") == 0)
		return weir_job_output(row, "[1]", 3);
	return WEIR_OK;
}

STORE_TEST_LIMIT(works, of_all_sorts_of_jobs_lose_no_outcome, 40)
{
	static const char *const kinds[] = {"short", "fails", "tells", "long"};
	weir_handler handlers[4];
	weir_work_options options = WEIR_WORK_OPTIONS_INIT;
	weir_work_stats stats = {.size = sizeof(stats)};
	weir_work *work = NULL;
	weir_error error = {0};
	struct weir_draft draft = queue_draft("short");

	for (size_t i = 0; i < 4; i++)
		handlers[i] = (weir_handler){.size = sizeof(weir_handler),
					     .kind = kinds[i],
					     .run = run_mixed};
	for (unsigned i = 0; i < 1200; i++) {
		draft.kind = kinds[i % 200 == 0 ? 3 : i % 100 < 3 ? i % 3 : 0];
		draft.kind_len = strlen(draft.kind);
		draft.unique_key = NULL;
		if (i % 50 == 7)
			queue_draft_key(&draft, (unsigned char)(i / 50),
					WEIR_UNIQUE_STATES_DEFAULT);
		queue_put_draft(store, &draft);
	}
	options.handlers = handlers;
	options.handler_count = 4;
	options.workers = 2;
	options.until_empty = true;
	REQUIRE(weir_work_new(&work, store, &options, &error) == WEIR_OK);
	CHECK_EQ_INT(weir_work_run(work, NULL, &error), WEIR_OK);
	weir_work_get_stats(work, &stats);
	weir_work_free(work);
	CHECK_EQ_INT(stats.stale, 0);
	CHECK_EQ_INT(stats.completed + stats.retried, 1200);
	CHECK_STR(ask(store, "SELECT count(*) FROM @river_job WHERE state NOT"
			     " IN ('completed', 'retryable')"),
		  "0");
	CHECK_STR(ask(store, "SELECT count(*) FROM @river_job WHERE kind ="
			     " 'tells' AND metadata ->> 'output' <> '[1]'"),
		  "0");
	CHECK_STR(notes(store), "0");
}
