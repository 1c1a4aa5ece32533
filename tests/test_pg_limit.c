/*
 * Limits of kinds that hold for all workers of a PostgreSQL store together.
 *
 * Two handles stand for two processes, and take turns by hand.  Holds and whole
 * works are in pg_limit_works.c.
 */
#include "pg_limit_util.h"
#include "queue_conformance.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/*
 * How many run at once.
 */
STORE_TEST(limits, let_no_more_run_than_they_say)
{
	struct weir_owner *me;

	limit(store, "work", 3);
	me = enlist(store, "me");
	put_many(store, "work", 5);
	CHECK_STR(claim(store, me, 10), "1 2 3");
	CHECK(last.limited && !last.more);
	CHECK_STR(claim(store, me, 10), "");
	CHECK(last.limited);
}

STORE_TEST(limits, say_at_once_that_there_are_some)
{
	weir_store *other = queue_join(store);
	struct weir_owner *me = queue_enlist(store, "me");

	limit(other, "work", 3);
	put_many(store, "work", 5);
	CHECK_STR(claim(store, me, 10), "");
	CHECK(last.limited && last.limited_at_ns <= weir_now_ns());
	CHECK_STR(claim(store, me, 10), "1 2 3");
}

STORE_TEST(limits, hold_for_all_owners_together)
{
	weir_store *other = queue_join(store);
	struct weir_owner *me, *you;
	const struct weir_claim *mine;

	limit(store, "work", 3);
	me = enlist(store, "me");
	you = enlist(other, "you");
	put_many(store, "work", 9);
	CHECK_STR(claim(store, me, 2), "1 2");
	mine = &last.batch->claims[0];
	CHECK_STR(claim(other, you, 9), "3");
	CHECK_STR(claim(store, me, 9), "");
	CHECK(last.limited);
	queue_end(store, me, mine, WEIR_VERDICT_COMPLETE);
	CHECK_STR(claim(other, you, 9), "4");
	queue_end(other, you, &last.batch->claims[0], WEIR_VERDICT_RELEASE);
	CHECK_STR(claim(store, me, 9), "4");
}

/* What a turn ends makes room for what it claims. */
STORE_TEST(limits, count_what_the_same_turn_has_ended)
{
	struct weir_want want = {.queue = "default", .count = 9};
	struct weir_finish finishes[2] = {{.verdict = WEIR_VERDICT_COMPLETE},
					  {.verdict = WEIR_VERDICT_COMPLETE}};
	struct weir_finished finished[2];
	struct weir_turn turn = {.finishes = finishes,
				 .finish_count = 2,
				 .finished = finished,
				 .wants = &want,
				 .want_count = 1};

	limit(store, "work", 3);
	turn.owner = enlist(store, "me");
	put_many(store, "work", 9);
	CHECK_STR(claim(store, turn.owner, 9), "1 2 3");
	finishes[0].claim = &last.batch->claims[0];
	finishes[1].claim = &last.batch->claims[2];
	queue_turn(store, &turn);
	CHECK_STR(queue_batch_ids(turn.batch), "4 5");
}

STORE_TEST(limits, are_each_of_their_own_kind)
{
	struct weir_owner *me;

	limit(store, "one", 1);
	limit(store, "two", 2);
	me = enlist(store, "me");
	put_many(store, "one", 2);
	put_many(store, "two", 3);
	put_many(store, "any", 2);
	CHECK_STR(claim(store, me, 9), "1 3 4 6 7");
	CHECK(last.limited);
}

STORE_TEST(limits, count_the_running_jobs_of_rivers_clients)
{
	struct weir_owner *me;

	limit(store, "work", 2);
	me = enlist(store, "me");
	put_many(store, "work", 4);
	(void)ask(store, "UPDATE @river_job SET state = 'running', attempt ="
			 " 1, attempted_at = now(), attempted_by = '{go}'"
			 " WHERE id = 2");
	CHECK_STR(claim(store, me, 9), "1");
}

/* So that another one, whose slots are free, gets them. */
STORE_TEST(limits, give_nobody_more_places_than_slots)
{
	weir_store *other = queue_join(store);
	struct weir_owner *me, *you;

	limit(store, "work", 3);
	me = enlist(store, "me");
	you = enlist(other, "you");
	put_many(store, "work", 9);
	CHECK_STR(claim_with(store, me, 9, 2), "1 2");
	CHECK_STR(claim_with(store, me, 9, 2), "");
	CHECK_STR(claim_with(other, you, 9, 2), "3");
}

/* The line is one, whether kinds have limits or not. */
STORE_TEST(limits, keep_the_order_of_priorities)
{
	struct weir_draft draft = queue_draft("work");
	struct weir_owner *me;

	limit(store, "work", 2);
	me = enlist(store, "me");
	draft.priority = 4;
	queue_put_draft(store, &draft);
	draft.priority = 2;
	queue_put_draft(store, &draft);
	draft = queue_draft("any");
	draft.priority = 3;
	queue_put_draft(store, &draft);
	draft.priority = 1;
	queue_put_draft(store, &draft);
	CHECK_STR(claim(store, me, 1), "4");
	CHECK_STR(claim(store, me, 1), "2");
	CHECK_STR(claim(store, me, 1), "3");
	CHECK_STR(claim(store, me, 1), "1");
}

STORE_TEST(limits, keep_to_queues_that_are_not_paused)
{
	weir_error error = {0};
	struct weir_owner *me;

	limit(store, "work", 2);
	me = enlist(store, "me");
	put_many(store, "work", 2);
	REQUIRE(weir_store_pause(store, "default", true, &error) == WEIR_OK);
	CHECK_STR(claim(store, me, 9), "");
	CHECK(!last.limited);
	REQUIRE(weir_store_pause(store, "default", false, &error) == WEIR_OK);
	CHECK_STR(claim(store, me, 9), "1 2");
}

STORE_TEST(limits, hold_over_several_queues)
{
	struct weir_want wants[2] = {{.queue = "default", .count = 2},
				     {.queue = "other", .count = 9}};
	struct weir_turn turn = {.wants = wants, .want_count = 2};
	struct weir_draft draft;

	limit(store, "work", 3);
	draft = queue_draft("work");
	turn.owner = enlist(store, "me");
	put_many(store, "work", 1);
	queue_draft_queue(&draft, "other");
	for (int i = 0; i < 4; i++)
		queue_put_draft(store, &draft);
	queue_turn(store, &turn);
	CHECK_STR(queue_batch_ids(turn.batch), "1 2 3");
	CHECK(turn.limited);
}

STORE_TEST(limits, leave_kinds_that_are_not_wanted)
{
	const char *kinds[] = {"work"};
	struct weir_want want = {.queue = "default", .count = 9};
	struct weir_turn turn = {.wants = &want,
				 .want_count = 1,
				 .kinds = kinds,
				 .kind_count = 1,
				 .kinds_left_out = true};

	limit(store, "work", 3);
	turn.owner = enlist(store, "me");
	put_many(store, "work", 2);
	queue_put(store, "any");
	queue_turn(store, &turn);
	CHECK_STR(queue_batch_ids(turn.batch), "3");
	CHECK(!turn.limited);
}

STORE_TEST(limits, give_the_places_of_the_dead_back_with_the_rescue)
{
	weir_store *other = queue_join(store);
	struct weir_owner *dead, *me;

	limit(store, "work", 2);
	dead = enlist(store, "dead");
	me = enlist(other, "me");
	put_many(store, "work", 4);
	CHECK_STR(claim(store, dead, 9), "1 2");
	CHECK_STR(claim(other, me, 9), "");
	queue_kill(store, dead);
	/* Suspects go alone, and have places as well. */
	CHECK_STR(claim(other, me, 9), "3 4");
}

static const char *
claim_suspect(weir_store *store, struct weir_owner *owner)
{
	static struct weir_want want = {
		.queue = "default", .count = 1, .alone = true};

	last = (struct weir_turn){
		.owner = owner, .wants = &want, .want_count = 1};
	queue_turn(store, &last);
	return queue_batch_ids(last.batch);
}

STORE_TEST(limits, hold_for_suspects)
{
	struct weir_owner *me;

	limit(store, "work", 1);
	me = enlist(store, "me");
	put_many(store, "work", 2);
	(void)ask(store, "INSERT INTO @weir_suspect VALUES (1, 1)");
	CHECK_STR(claim(store, me, 9), "2");
	/* There is no place for it, and nothing is to be cleared away. */
	CHECK_STR(claim(store, me, 9), "");
	CHECK(last.limited && !last.suspects);
	CHECK_STR(claim_suspect(store, me), "");
	(void)ask(store, "UPDATE @river_job SET state = 'completed',"
			 " finalized_at = now() WHERE id = 2");
	CHECK_STR(claim(store, me, 9), "");
	CHECK(last.suspects);
	CHECK_STR(claim_suspect(store, me), "1");
	CHECK_STR(claim_suspect(store, me), "");
}

STORE_TEST(limits, hold_for_unique_jobs)
{
	struct weir_draft draft = queue_draft("work");
	struct weir_owner *me;

	limit(store, "work", 1);
	me = enlist(store, "me");
	queue_draft_key(&draft, 1, WEIR_UNIQUE_STATES_DEFAULT);
	queue_put_draft(store, &draft);
	queue_draft_key(&draft, 2, WEIR_UNIQUE_STATES_DEFAULT);
	queue_put_draft(store, &draft);
	CHECK_STR(claim(store, me, 9), "1");
	queue_end(store, me, &last.batch->claims[0], WEIR_VERDICT_COMPLETE);
	CHECK_STR(claim(store, me, 9), "2");
}

/*
 * Set, changed, removed.
 */
STORE_TEST(limits, can_be_changed_while_jobs_wait)
{
	weir_error error = {0};
	struct weir_owner *me;

	limit(store, "work", 1);
	me = enlist(store, "me");
	put_many(store, "work", 9);
	CHECK_STR(claim(store, me, 9), "1");
	set(store, "work", 3, 0, 0);
	CHECK_STR(claim(store, me, 9), "2 3");
	set(store, "work", 2, 0, 0);
	queue_end(store, me, &last.batch->claims[0], WEIR_VERDICT_COMPLETE);
	CHECK_STR(claim(store, me, 9), "");
	CHECK_EQ_INT(weir_store_unlimit(store, "work", &error), WEIR_OK);
	CHECK_STR(claim(store, me, 9), "4 5 6 7 8 9");
	CHECK(!last.limited);
	CHECK_EQ_INT(weir_store_unlimit(store, "work", &error), WEIR_NOTFOUND);
	CHECK_STR(error.message, "the kind \"work\" has no limit");
}

static bool
write_limit(const weir_kind_limit *row, void *user)
{
	weir__buf_printf(user, "%s %u %g %u %u %u;", row->kind, row->most,
			 row->per_second, row->burst, (unsigned)row->running,
			 (unsigned)row->waiting);
	return true;
}

STORE_TEST(limits, are_listed_with_what_runs_and_waits)
{
	struct weir_draft later = queue_draft("work");
	struct weir_buf text = {0};
	weir_error error = {0};
	struct weir_owner *me;

	limit(store, "work", 2);
	set(store, "slow", 0, 0.5, 0);
	set(store, "fast", 7, 100, 0);
	me = enlist(store, "me");
	put_many(store, "work", 5);
	queue_draft_at(&later, queue_now_ms + 1000);
	later.state = WEIR_JOB_SCHEDULED;
	queue_put_draft(store, &later);
	CHECK_STR(claim(store, me, 9), "1 2");
	REQUIRE(weir_store_limits(store, write_limit, &text, &error) ==
		WEIR_OK);
	CHECK_STR(weir__buf_str(&text),
		  "fast 7 100 5 0 0;slow 0 0.5 1 0 0;work 2 0 1 2 3;");
	weir__buf_fini(&text);
}

STORE_TEST(limits, that_make_no_sense_are_refused)
{
	weir_kind_limit bad = {.size = sizeof(bad), .kind = "work"};
	weir_error error = {0};

	CHECK_EQ_INT(weir_store_limit(store, &bad, &error), WEIR_INVAL);
	bad.per_second = -1;
	CHECK_EQ_INT(weir_store_limit(store, &bad, &error), WEIR_INVAL);
	bad.per_second = 1;
	bad.kind = "no kind";
	CHECK_EQ_INT(weir_store_limit(store, &bad, &error), WEIR_INVAL);
	CHECK(strstr(error.message, "kind \"no kind\""));
	bad.kind = NULL;
	CHECK_EQ_INT(weir_store_limit(store, &bad, &error), WEIR_INVAL);
	CHECK_EQ_INT(weir_store_limit(store, NULL, &error), WEIR_INVAL);
	CHECK_EQ_INT(weir_store_limits(store, NULL, NULL, &error), WEIR_INVAL);
}

/* A statement that was under way does not know of it. */
STORE_TEST(limits, that_are_new_pause_for_a_second)
{
	struct weir_owner *me = queue_enlist(store, "me");

	put_many(store, "work", 2);
	set(store, "work", 1, 0, 0);
	(void)claim(store, me, 9);
	CHECK_STR(claim(store, me, 9), "");
	CHECK(last.limited && last.limited_at_ns < WEIR_FOREVER);
	queue_now_ms += 1001;
	CHECK_STR(claim(store, me, 9), "1");
}

/* A lock of somebody else's is not waited for. */
STORE_TEST(limits, that_are_locked_are_passed_over_for_a_moment)
{
	PGconn *pg = by_hand();
	struct weir_owner *me;

	limit(store, "work", 1);
	me = enlist(store, "me");
	put_many(store, "work", 1);
	queue_put(store, "any");
	(void)ask_on(pg, store, "BEGIN");
	(void)ask_on(pg, store, "SELECT kind FROM @weir_limit FOR UPDATE");
	CHECK_STR(claim(store, me, 9), "2");
	CHECK(last.limited);
	CHECK(last.limited_at_ns - weir_now_ns() <= 20 * WEIR_MS);
	(void)ask_on(pg, store, "COMMIT");
	CHECK_STR(claim(store, me, 9), "1");
	PQfinish(pg);
}

/*
 * Rates.
 */
STORE_TEST(rates, let_a_burst_and_then_one_after_the_other)
{
	struct weir_owner *me;

	set(store, "work", 0, 10, 2);
	queue_now_ms += 1001;
	me = enlist(store, "me");
	put_many(store, "work", 6);
	CHECK_STR(claim(store, me, 9), "1 2");
	CHECK(last.limited);
	CHECK(last.limited_at_ns - weir_now_ns() <= 100 * WEIR_MS);
	queue_now_ms += 99;
	CHECK_STR(claim(store, me, 9), "");
	queue_now_ms += 1;
	CHECK_STR(claim(store, me, 9), "3");
	queue_now_ms += 10000;
	CHECK_STR(claim(store, me, 9), "4 5");
}

/* Two who claim at any time: in no window there are more than the rate and a
 * burst, and after all as many as that. */
STORE_TEST(rates, hold_in_every_window)
{
	enum { STARTS = 120, RATE = 20, BURST = 4 };
	weir_store *stores[2] = {store, queue_join(store)};
	struct weir_owner *owners[2];
	int64_t at_ms[STARTS], begun_ms;
	unsigned count = 0, seed = (unsigned)getpid();

	printf("# seed %u\n", seed);
	set(store, "work", 0, RATE, BURST);
	queue_now_ms += 1001;
	owners[0] = enlist(stores[0], "me");
	owners[1] = enlist(stores[1], "you");
	put_many(store, "work", STARTS);
	begun_ms = queue_now_ms;
	while (count < STARTS) {
		unsigned who = (unsigned)rand_r(&seed) % 2;
		uint32_t want = (uint32_t)rand_r(&seed) % 3 + 1;

		(void)claim(stores[who], owners[who], want);
		for (size_t i = 0; last.batch && i < last.batch->count; i++)
			at_ms[count++] = queue_now_ms;
		queue_now_ms += rand_r(&seed) % 100;
	}
	for (unsigned i = 0; i < STARTS; i++)
		for (unsigned j = i; j < STARTS; j++)
			CHECK_MSG((int64_t)(j - i + 1) * 1000 <=
					  BURST * 1000 +
						  RATE * (at_ms[j] - at_ms[i]),
				  "%u to %u", i, j);
	CHECK((at_ms[STARTS - 1] - begun_ms) * RATE <=
	      (STARTS + RATE) * INT64_C(1000));
}

STORE_TEST(rates, go_with_a_number_of_places)
{
	struct weir_owner *me;

	set(store, "work", 2, 10, 5);
	queue_now_ms += 1001;
	me = enlist(store, "me");
	put_many(store, "work", 6);
	CHECK_STR(claim(store, me, 9), "1 2");
	/* Time does not help. */
	CHECK(last.limited_at_ns - weir_now_ns() > WEIR_S);
	queue_end(store, me, &last.batch->claims[0], WEIR_VERDICT_COMPLETE);
	CHECK_STR(claim(store, me, 9), "3");
}

/* A new rate does not give a new burst. */
STORE_TEST(rates, that_change_keep_their_tokens)
{
	struct weir_owner *me;

	set(store, "work", 0, 1, 3);
	queue_now_ms += 1001;
	me = enlist(store, "me");
	put_many(store, "work", 9);
	CHECK_STR(claim(store, me, 9), "1 2 3");
	set(store, "work", 0, 10, 3);
	CHECK_STR(claim(store, me, 9), "");
	queue_now_ms += 100;
	CHECK_STR(claim(store, me, 9), "4");
}

/*
 * Interleavings: two owners claim and end in any order.
 */
STORE_TEST_LIMIT(limits, are_exact_in_every_order_of_two_owners, 60)
{
	enum { MOST = 3, STEPS = 300 };
	weir_store *stores[2] = {store, queue_join(store)};
	struct weir_owner *owners[2];
	const struct weir_claim *held[MOST];
	unsigned holders[MOST], count = 0, seed = (unsigned)getpid();

	printf("# seed %u\n", seed);
	limit(store, "work", MOST);
	owners[0] = enlist(stores[0], "me");
	owners[1] = enlist(stores[1], "you");
	put_many(store, "work", STEPS);
	for (int step = 0; step < STEPS; step++) {
		unsigned who = (unsigned)rand_r(&seed) % 2;
		unsigned want = (unsigned)rand_r(&seed) % (MOST + 1), got;
		unsigned room = MOST - count;

		if (want == 0 && count > 0) {
			unsigned at = (unsigned)rand_r(&seed) % count;

			queue_end(stores[holders[at]], owners[holders[at]],
				  held[at], WEIR_VERDICT_COMPLETE);
			held[at] = held[--count];
			holders[at] = holders[count];
			continue;
		}
		(void)claim(stores[who], owners[who], want + 1);
		got = last.batch ? (unsigned)last.batch->count : 0;
		CHECK_EQ_INT(got, room < want + 1 ? room : want + 1);
		for (unsigned i = 0; i < got; i++) {
			held[count] = &last.batch->claims[i];
			holders[count++] = who;
		}
	}
}

/*
 * Long lines.  By the database's clock: a store with that of a test is never
 * slow.
 */
static weir_store *
open_slow(struct weir_owner *owner)
{
	weir_store_options options = WEIR_STORE_OPTIONS_INIT;
	weir_store *slow = NULL;
	weir_error error = {0};
	char url[512];

	snprintf(url, sizeof(url), "postgres:%s schema=t_%d leader=off",
		 getenv("WEIR_TEST_PG"), (int)getpid());
	CHECK_MSG(weir__pg_open(&slow, url, &options, &error) == WEIR_OK, "%s",
		  error.message);
	REQUIRE(slow);
	weir__pg_limits_allow(weir__pg_of(slow), 0);
	CHECK_EQ_INT(slow->ops->enlist(slow, owner, &error), WEIR_OK);
	return slow;
}

/* Until a sweep has found it. */
static bool
is_found(weir_store *store, struct weir_owner *owner)
{
	for (int i = 0; i < 200; i++) {
		if (*claim(store, owner, 5) != '\0')
			return true;
		(void)poll(NULL, 0, 50);
	}
	return false;
}

STORE_TEST(looks, for_kinds_that_there_are_none_of_begin_where_one_has_ended)
{
	static const char put[] =
		"INSERT INTO @river_job (args, kind, max_attempts, priority,"
		" scheduled_at) VALUES ('{}', 'work', 25, 3,";
	struct weir_owner owner = {.name = "me"};
	weir_store *slow = open_slow(&owner);
	char sql[256];

	(void)ask(store, "INSERT INTO @weir_limit VALUES ('work', 9, NULL, 1,"
			 " 1, now(), now() - interval '1 h')");
	(void)claim(slow, &owner, 5);
	CHECK_STR(claim(slow, &owner, 5), "");
	CHECK(!last.limited);
	snprintf(sql, sizeof(sql), "%s now() - interval '1 h')", put);
	(void)ask(store, sql);
	CHECK_STR(claim(slow, &owner, 5), "");
	/* So that it is found before long. */
	CHECK(last.limited);
	CHECK(last.limited_at_ns - weir_now_ns() <= 30 * WEIR_S);
	snprintf(sql, sizeof(sql), "%s now())", put);
	(void)ask(store, sql);
	CHECK_STR(claim(slow, &owner, 5), "2");
	CHECK(is_found(slow, &owner));
	slow->ops->close(slow);
}
