/*
 * What the conformance suite does not see of work on the PostgreSQL store: what
 * others find in River's tables and hear on River's channels, and what becomes
 * of a connection that is lost.
 */
#include "pg/listen.h"
#include "pg_by_hand.h"
#include "queue_conformance.h"
#include "sync/thread.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* End the connections of that sort. */
static void
terminate(weir_store *store, const char *what)
{
	char sql[256];

	snprintf(sql, sizeof(sql),
		 "SELECT count(pg_terminate_backend(pid, 5000))"
		 " FROM pg_stat_activity"
		 " WHERE application_name = 'weir %s'",
		 what);
	CHECK_STR(ask(store, sql), "1");
}

/*
 * Rows, as River's clients read them.
 */
STORE_TEST(river_rows, name_the_owner_last_and_keep_a_hundred)
{
	struct weir_owner *me = queue_enlist(store, "me");
	int64_t id = queue_put(store, "work");
	char expected[64];

	(void)ask(store, "UPDATE @river_job SET attempted_by = ARRAY(SELECT"
			 " 'go' || n FROM generate_series(1, 100) n)");
	queue_claim_one(store, me, id);
	snprintf(expected, sizeof(expected), "100 go2 me#%lld",
		 (long long)me->id);
	CHECK_STR(ask(store, "SELECT cardinality(attempted_by) || ' ' ||"
			     " attempted_by[1] || ' ' || attempted_by[100]"
			     " FROM @river_job"),
		  expected);
}

STORE_TEST(river_rows, have_valid_errors_after_a_rescue)
{
	struct weir_owner *dead = queue_enlist(store, "dead \"one\"");

	queue_start(store, dead, "work");
	queue_kill(store, dead);
	CHECK_STR(ask(store,
		      "SELECT (errors[1]->>'at')::timestamptz = attempted_at"
		      " AND errors[1]->>'at' ~ '^[0-9-]+T[0-9:.]+Z$'"
		      " AND jsonb_typeof(errors[1]->'attempt') = 'number'"
		      " AND errors[1]->>'trace' = ''"
		      " AND errors[1]->>'error' LIKE '%dead \"one\"'"
		      " FROM @river_job"),
		  "t");
}

STORE_TEST(river_rows, are_archived_with_all_that_is_kept)
{
	struct weir_owner *me = queue_enlist(store, "me");
	struct weir_finish finish = {.verdict = WEIR_VERDICT_COMPLETE,
				     .output = "{\"n\":7}",
				     .output_len = 7};
	weir_error error = {0};

	REQUIRE(store->ops->queue_set(store, "default", -1,
				      WEIR_FINISHED_ARCHIVE,
				      &error) == WEIR_OK);
	finish.claim = queue_start(store, me, "work");
	queue_now_ms += 5;
	CHECK_EQ_INT(queue_finish(store, me, &finish).status, WEIR_OK);
	queue_end(store, me, queue_start(store, me, "plain"),
		  WEIR_VERDICT_COMPLETE);
	CHECK_STR(ask(store, "SELECT concat_ws(',', id, queue, kind, attempt,"
			     " attempted_by, output, args,"
			     " finalized_at - attempted_at)"
			     " FROM @weir_archive ORDER BY id"),
		  "1,default,work,1,me,{\"n\": 7},{},00:00:00.005"
		  " 2,default,plain,1,me,{},00:00:00");
	CHECK_STR(ask(store, "SELECT count(*) FROM @river_job"), "0");
}

/* As River's clients count them, and read them. */
STORE_TEST(river_rows, count_snoozes)
{
	static const char snoozes[] =
		"SELECT metadata ->> 'snoozes' || ' ' || attempt"
		" FROM @river_job";
	struct weir_owner *me = queue_enlist(store, "me");
	int64_t id = queue_put(store, "work");

	(void)ask(store, "UPDATE @river_job SET metadata ="
			 " '{\"snoozes\": 4, \"mine\": 1e400}'");
	queue_end_at(store, me, queue_claim_one(store, me, id),
		     WEIR_VERDICT_SNOOZE, 0);
	CHECK_STR(ask(store, snoozes), "5 0");
	queue_end(store, me, queue_claim_one(store, me, id),
		  WEIR_VERDICT_RELEASE);
	CHECK_STR(ask(store, snoozes), "5 0");
	(void)ask(store, "UPDATE @river_job SET metadata = 'null'");
	queue_end_at(store, me, queue_claim_one(store, me, id),
		     WEIR_VERDICT_SNOOZE, 0);
	CHECK_STR(ask(store, snoozes), "1 0");
}

/* What River does as well: the attempt has been one. */
STORE_TEST(river_rows, keep_the_attempt_of_a_job_that_was_cancelled)
{
	struct weir_owner *me = queue_enlist(store, "me");
	const struct weir_claim *claim = queue_start(store, me, "work");

	(void)queue_change(store, WEIR_JOB_CANCEL, claim->row.id);
	CHECK_EQ_INT(queue_end_at(store, me, claim, WEIR_VERDICT_SNOOZE,
				  queue_now_ms + 9000)
			     .state,
		     WEIR_JOB_CANCELLED);
	CHECK_STR(ask(store, "SELECT attempt || ' ' || (scheduled_at ="
			     " created_at) FROM @river_job"),
		  "1 true");
}

/* jsonb takes no NUL and no half of a surrogate pair. */
STORE_TEST(outputs, that_jsonb_refuses_do_not_stop_a_turn)
{
	static const char output[] =
		"[\"a\\u0000b\",\"\\ud83d\",\"\\ude00x\",\"\\ud83d\\ude00\","
		"\"\\\\u0000\",\"\\ud83d\\u0041\"]";
	struct weir_owner *me = queue_enlist(store, "me");
	struct weir_finish finish = {.claim = queue_start(store, me, "work"),
				     .verdict = WEIR_VERDICT_COMPLETE,
				     .output = output,
				     .output_len = strlen(output)};

	CHECK_EQ_INT(queue_finish(store, me, &finish).status, WEIR_OK);
	CHECK_STR(queue_look(store, finish.claim->row.id)->output,
		  "[\"a\xef\xbf\xbd"
		  "b\", \"\xef\xbf\xbd\", \"\xef\xbf\xbdx\","
		  " \"\xf0\x9f\x98\x80\", \"\\\\u0000\","
		  " \"\xef\xbf\xbd"
		  "A\"]");
}

/* What jsonb cannot hold is kept as a string, and the others as they are. */
STORE_TEST(outputs, that_are_too_much_for_jsonb_do_not_stop_a_turn)
{
	struct weir_owner *me = queue_enlist(store, "me");
	struct weir_finish finishes[2] = {
		{.output = "[1e999999]", .output_len = 10},
		{.output = "{\"n\":1}", .output_len = 7}};
	struct weir_finished finished[2];
	struct weir_turn turn = {.owner = me,
				 .finishes = finishes,
				 .finish_count = 2,
				 .finished = finished};

	for (int i = 0; i < 2; i++)
		finishes[i].claim = queue_start(store, me, "work");
	queue_turn(store, &turn);
	for (int i = 0; i < 2; i++)
		CHECK_EQ_INT(finished[i].status, WEIR_OK);
	CHECK_STR(queue_look(store, 1)->output, "\"[1e999999]\"");
	CHECK_STR(queue_look(store, 2)->output, "{\"n\": 1}");
}

/* Of two claims of one job, in one turn, the live one counts. */
STORE_TEST(fences, tell_a_late_outcome_from_a_live_one_in_one_turn)
{
	struct weir_owner *me = queue_enlist(store, "me");
	const struct weir_claim *late = queue_start(store, me, "work"), *live;
	struct weir_finished finished[2];
	struct weir_turn turn = {
		.owner = me, .finish_count = 2, .finished = finished};

	queue_end(store, me, late, WEIR_VERDICT_RELEASE);
	live = queue_claim_one(store, me, late->row.id);
	turn.finishes =
		(struct weir_finish[2]){{.claim = late}, {.claim = live}};
	queue_turn(store, &turn);
	CHECK_EQ_INT(finished[0].status, WEIR_STALE);
	CHECK_EQ_INT(finished[1].status, WEIR_OK);
	CHECK_STATE(store, late->row.id, "completed");
}

/* Rows of others may lack "running": then another job may have their key. */
STORE_TEST(unique_keys, are_given_up_by_who_does_not_hold_them)
{
	struct weir_owner *me = queue_enlist(store, "me");
	struct weir_draft draft = queue_draft("unique");
	const struct weir_claim *claims[2];

	queue_draft_key(&draft, 1, WEIR_UNIQUE_STATES_DEFAULT);
	for (int i = 0; i < 2; i++) {
		int64_t id = queue_put_draft(store, &draft);

		claims[i] = queue_claim_one(store, me, id);
		(void)ask(store, "UPDATE @river_job SET unique_states ="
				 " '10110101' WHERE state = 'running'");
	}
	queue_put_draft(store, &draft);
	CHECK_EQ_INT(
		queue_end(store, me, claims[0], WEIR_VERDICT_COMPLETE).status,
		WEIR_OK);
	CHECK_STATE(store, claims[0]->row.id, "completed");
	CHECK(!queue_look(store, claims[0]->row.id)->unique_key);
	/* So does what goes back. */
	queue_kill(store, me);
	CHECK_STATE(store, claims[1]->row.id, "available");
	CHECK(!queue_look(store, claims[1]->row.id)->unique_key);
}

/*
 * Many wants of one queue are claimed a part at a time.
 */
STORE_TEST(claims, of_more_wants_than_a_turn_takes_say_that_there_is_more)
{
	struct weir_owner *me = queue_enlist(store, "me");
	struct weir_want wants[40];
	struct weir_turn turn = {.owner = me, .wants = wants, .want_count = 40};

	for (int i = 0; i < 40; i++) {
		wants[i] = (struct weir_want){.queue = "default", .count = 1};
		queue_put(store, "work");
	}
	queue_turn(store, &turn);
	REQUIRE(turn.batch);
	CHECK(turn.more);
	for (size_t i = 0; i < turn.batch->count; i++)
		CHECK_EQ_INT(turn.batch->claims[i].row.id, (int64_t)i + 1);
}

/*
 * What is said on River's channels.
 */
static PGconn *
listen_to(weir_store *store, const char *topic)
{
	PGconn *pg = by_hand();
	char sql[160];

	snprintf(sql, sizeof(sql), "LISTEN \"%s%s\"",
		 weir__pg_of(store)->channel_prefix, topic);
	(void)ask_on(pg, store, sql);
	return pg;
}

/* Payloads up to now, but for their blanks. */
static const char *
said(PGconn *pg, weir_store *store)
{
	static struct weir_buf all;
	PGnotify *notice;

	weir__buf_reset(&all);
	(void)ask_on(pg, store, "SELECT 1");
	while ((notice = PQnotifies(pg)) != NULL) {
		for (const char *c = notice->extra; *c; c++)
			if (*c != ' ')
				weir__buf_putc(&all, *c);
		PQfreemem(notice);
	}
	return weir__buf_str(&all);
}

STORE_TEST(notices, are_one_for_a_queue_that_has_jobs_again)
{
	struct weir_owner *me = queue_enlist(store, "me");
	PGconn *pg = listen_to(store, "river_insert");
	struct weir_batch *batch;

	for (int i = 0; i < 3; i++)
		queue_put(store, "work");
	batch = queue_claim(store, me, 3);
	(void)said(pg, store);
	queue_end(store, me, &batch->claims[0], WEIR_VERDICT_COMPLETE);
	CHECK_STR(said(pg, store), "");
	queue_end(store, me, &batch->claims[1], WEIR_VERDICT_RELEASE);
	CHECK_STR(said(pg, store), "{\"queue\":\"default\"}");
	queue_claim(store, me, 1);
	queue_kill(store, me);
	CHECK_STR(said(pg, store), "{\"queue\":\"default\"}");
	PQfinish(pg);
}

/* Does the store's bell ring for that message? */
static bool
rings(weir_store *store, int fd, const char *topic, const char *payload)
{
	char sql[256];
	struct pollfd p = {.fd = fd, .events = POLLIN};
	bool ret;

	snprintf(sql, sizeof(sql), "SELECT pg_notify('%s%s', '%s')",
		 weir__pg_of(store)->channel_prefix, topic, payload);
	(void)ask(store, sql);
	REQUIRE(weir__pg_settle(weir__pg_of(store)));
	ret = poll(&p, 1, 0) == 1;
	store->ops->hush(store, fd);
	return ret;
}

STORE_TEST(notices, that_make_no_sense_are_passed_over)
{
	struct weir_owner *me = queue_enlist(store, "me");
	struct weir_buf cancels = {0};
	struct weir_turn turn = {.owner = me, .cancels = &cancels};
	int fd = store->ops->wake_fd(store);

	store->ops->hush(store, fd);
	CHECK(rings(store, fd, "river_insert", "{\"queue\":\"default\"}"));
	CHECK(!rings(store, fd, "river_control", ""));
	CHECK(!rings(store, fd, "river_control", "["));
	CHECK(!rings(store, fd, "river_control", "{\"action\":\"cancel\""));
	CHECK(!rings(store, fd, "river_control",
		     "{\"action\":\"cancel\",\"job_id\":\"x\"}"));
	CHECK(rings(store, fd, "river_control",
		    "{\"queue\":\"*\",\"action\":\"resume\"}"));
	queue_turn(store, &turn);
	CHECK_EQ_INT(cancels.len, 0);
	CHECK(rings(store, fd, "river_control",
		    "{\"job_id\" : 4711 , \"action\" : \"cancel\"}"));
	queue_turn(store, &turn);
	CHECK_EQ_INT(cancels.len, sizeof(int64_t));
	weir__buf_fini(&cancels);
	(void)close(fd);
}

/* Whose end is closed is nobody that could be rung. */
STORE_TEST(bells, outlive_one_that_was_closed)
{
	int gone = store->ops->wake_fd(store);
	int there = store->ops->wake_fd(store);

	(void)close(gone);
	store->ops->hush(store, there);
	CHECK(rings(store, there, "river_insert", "{}"));
	CHECK(rings(store, there, "river_insert", "{}"));
	(void)close(there);
}

/*
 * Connections that are lost.
 */
STORE_TEST(listener, that_was_away_rings_and_asks_for_what_it_has_missed)
{
	struct weir_owner *me = queue_enlist(store, "me");
	int fd = store->ops->wake_fd(store);
	struct pollfd p = {.fd = fd, .events = POLLIN};
	int64_t id = queue_start(store, me, "work")->row.id, told = 0;
	struct weir_buf cancels = {0};
	struct weir_turn turn = {.owner = me, .cancels = &cancels};

	queue_turn(store, &turn);
	CHECK_EQ_INT(cancels.len, 0);
	terminate(store, "listener");
	/* It is away now, for half a second. */
	queue_change(store, WEIR_JOB_CANCEL, id);
	store->ops->hush(store, fd);
	CHECK(poll(&p, 1, 10000) == 1);
	queue_turn(store, &turn);
	REQUIRE(cancels.len == sizeof(told));
	memcpy(&told, cancels.data, sizeof(told));
	CHECK_EQ_INT(told, id);
	while (!weir__pg_settle(weir__pg_of(store)))
		;
	store->ops->hush(store, fd);
	CHECK(rings(store, fd, "river_insert", "{}"));
	weir__buf_fini(&cancels);
	(void)close(fd);
}

STORE_TEST(turns, go_on_after_the_connection_was_closed_between_them)
{
	struct weir_owner *me = queue_enlist(store, "me");
	const struct weir_claim *claim = queue_start(store, me, "work");

	terminate(store, "work");
	CHECK_EQ_INT(queue_end(store, me, claim, WEIR_VERDICT_COMPLETE).status,
		     WEIR_OK);
	CHECK_STATE(store, claim->row.id, "completed");
}

struct late_turn {
	weir_store *store;
	struct weir_turn turn;
	weir_status status;
};

static void
run_turn(void *arg)
{
	struct late_turn *late = arg;

	late->status = queue_try_turn(late->store, &late->turn);
}

/* Wait until somebody waits for a lock. */
static void
wait_for_waiter(PGconn *pg, weir_store *store)
{
	while (strcmp(ask_on(pg, store,
			     "SELECT count(*) FROM pg_stat_activity"
			     " WHERE wait_event_type = 'Lock'"
			     " AND application_name = 'weir work'"),
		      "1") != 0)
		;
}

/* Nobody knows whether it was committed: then all that we had goes back. */
STORE_TEST(turns, that_lose_their_connection_are_stale)
{
	struct weir_owner *me = queue_enlist(store, "me");
	const struct weir_claim *claim = queue_start(store, me, "work");
	struct weir_want want = {.queue = "default", .count = 1};
	struct weir_finish finish = {.claim = claim};
	struct weir_finished finished;
	struct late_turn late = {.store = store,
				 .turn = {.owner = me,
					  .finishes = &finish,
					  .finish_count = 1,
					  .finished = &finished,
					  .wants = &want,
					  .want_count = 1}};
	struct weir_thread thread;
	PGconn *pg = by_hand();
	int64_t before = me->id;

	(void)ask_on(pg, store, "BEGIN");
	(void)ask_on(pg, store, "SELECT 1 FROM @river_job FOR UPDATE");
	REQUIRE(weir__thread_start(&thread, "late", 0, run_turn, &late) ==
		WEIR_OK);
	wait_for_waiter(pg, store);
	terminate(store, "work");
	weir__thread_join(&thread);
	CHECK_EQ_INT(late.status, WEIR_STALE);
	CHECK_EQ_INT(finished.status, WEIR_STALE);
	(void)ask_on(pg, store, "COMMIT");
	PQfinish(pg);
	REQUIRE(queue_try_enlist(store, me) == WEIR_OK);
	CHECK(me->id > before);
	CHECK_EQ_INT(queue_beat(store, before), -1);
	CHECK_EQ_INT(queue_claim_one(store, me, claim->row.id)->row.attempt, 1);
}

/* A rescuer waits for a turn under way, and does not bury whom it serves. */
STORE_TEST(rescues, do_not_overtake_a_turn)
{
	struct weir_owner *me = queue_enlist(store, "me");
	weir_store *other = queue_join(store);
	int64_t id = queue_put(store, "work"), beat = queue_beat(other, me->id);
	PGconn *pg = by_hand();
	char sql[128];

	/* As a turn does, but slowly. */
	(void)ask_on(pg, store, "BEGIN");
	snprintf(sql, sizeof(sql),
		 "SELECT 1 FROM @weir_client WHERE id = %lld FOR KEY SHARE",
		 (long long)me->id);
	(void)ask_on(pg, store, sql);
	snprintf(sql, sizeof(sql),
		 "UPDATE @river_job SET state = 'running', attempt = 1,"
		 " attempted_by = '{me#%lld}'",
		 (long long)me->id);
	(void)ask_on(pg, store, sql);
	(void)ask_on(pg, store, "SET LOCAL lock_timeout = 0");
	(void)!PQsendQuery(pg, "SELECT pg_sleep(0.3); COMMIT");
	CHECK_EQ_INT(queue_rescue(other, me->id, beat), 1);
	PQfinish(pg);
	CHECK_STATE(other, id, "available");
	CHECK_EQ_INT(queue_beat(other, me->id), -1);
}
