/*
 * Claims that begin at a cursor: what they leave out, and for how long.
 *
 * By the database's clock: a store with the clock of a test has no cursors.
 */
#include "pg/cursor.h"
#include "pg/hold.h"
#include "queue_conformance.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static struct weir_owner owner;

/* On the same tables; and where every sweep is slow. */
static weir_store *
open_slow(void)
{
	weir_store_options options = WEIR_STORE_OPTIONS_INIT;
	weir_store *store = NULL;
	weir_error error = {0};
	char url[512];

	snprintf(url, sizeof(url), "postgres:%s schema=t_%d leader=off",
		 getenv("WEIR_TEST_PG"), (int)getpid());
	CHECK_MSG(weir__pg_open(&store, url, &options, &error) == WEIR_OK, "%s",
		  error.message);
	REQUIRE(store);
	weir__pg_cursor_allow(weir__pg_of(store), 0);
	owner = (struct weir_owner){.name = "me"};
	CHECK_EQ_INT(store->ops->enlist(store, &owner, &error), WEIR_OK);
	return store;
}

/* One that is available since so many seconds; its key is these. */
static void
put_one(int seconds, int priority, bool is_unique)
{
	PGconn *pg = PQconnectdb(getenv("WEIR_TEST_PG"));
	char sql[320];
	PGresult *result;

	snprintf(sql, sizeof(sql),
		 "INSERT INTO t_%d.river_job (args, kind, priority,"
		 " scheduled_at, unique_key, unique_states) VALUES ('{}',"
		 " 'work', %d, now() - interval '%d s',"
		 " CASE WHEN %s THEN sha256('%d') END,"
		 " CASE WHEN %s THEN B'11110101' END)",
		 (int)getpid(), priority, seconds, is_unique ? "true" : "false",
		 seconds, is_unique ? "true" : "false");
	result = PQexec(pg, sql);
	CHECK_STR(PQresultErrorMessage(result), "");
	PQclear(result);
	PQfinish(pg);
}

static void
put(int seconds, int priority)
{
	put_one(seconds, priority, false);
}

static size_t
claim(weir_store *store, uint32_t most)
{
	struct weir_want want = {.queue = "default", .count = most};
	struct weir_turn turn = {
		.owner = &owner, .wants = &want, .want_count = 1};
	weir_error error = {0};
	size_t count = 0;

	CHECK_EQ_INT(store->ops->turn(store, &turn, &error), WEIR_OK);
	if (turn.batch)
		count = turn.batch->count;
	for (size_t i = count; i-- > 0;)
		weir__claim_free(&turn.batch->claims[i]);
	return count;
}

/* Until a sweep has found it. */
static bool
is_found(weir_store *store)
{
	for (int i = 0; i < 200; i++) {
		if (claim(store, 5) > 0)
			return true;
		(void)poll(NULL, 0, 50);
	}
	return false;
}

STORE_TEST(cursors, begin_where_the_last_claim_has_found_something)
{
	weir_store *slow = open_slow();

	(void)store;
	put(10, 1);
	CHECK_EQ_INT(claim(slow, 1), 1);
	put(3600, 1);
	CHECK_EQ_INT(claim(slow, 5), 0);
	put(9, 1);
	/* The claim that found nothing has looked up to its own time. */
	CHECK_EQ_INT(claim(slow, 5), 0);
	put(0, 1);
	CHECK_EQ_INT(claim(slow, 5), 1);
	CHECK(is_found(slow));
	slow->ops->close(slow);
}

/* Those behind a want that was filled were not looked at. */
STORE_TEST(cursors, are_one_for_each_priority)
{
	weir_store *slow = open_slow();

	(void)store;
	put(10, 2);
	put(10, 2);
	CHECK_EQ_INT(claim(slow, 1), 1);
	put(3600, 1);
	put(3600, 3);
	CHECK_EQ_INT(claim(slow, 5), 2);
	CHECK_EQ_INT(claim(slow, 5), 0);
	CHECK(is_found(slow));
	slow->ops->close(slow);
}

STORE_TEST(cursors, are_gone_when_claims_are_quick_again)
{
	weir_store *slow = open_slow();

	(void)store;
	CHECK_EQ_INT(claim(slow, 1), 0);
	put(3600, 1);
	CHECK_EQ_INT(claim(slow, 5), 0);
	weir__pg_cursor_allow(weir__pg_of(slow), 60 * WEIR_S);
	CHECK(is_found(slow));
	put(3600, 1);
	CHECK_EQ_INT(claim(slow, 5), 1);
	slow->ops->close(slow);
}

STORE_TEST(cursors, are_not_there_where_claims_are_quick)
{
	weir_store *slow = open_slow();

	(void)store;
	weir__pg_cursor_allow(weir__pg_of(slow), 60 * WEIR_S);
	CHECK_EQ_INT(claim(slow, 1), 0);
	for (int i = 0; i < 3; i++) {
		put(3600 * i, 1);
		CHECK_EQ_INT(claim(slow, 5), 1);
	}
	slow->ops->close(slow);
}

/* Whoever sleeps has to be told when it is time for a sweep. */
STORE_TEST(cursors, ring_when_a_sweep_is_due)
{
	weir_store *slow = open_slow();
	struct pollfd fd = {.fd = slow->ops->wake_fd(slow), .events = POLLIN};

	(void)store;
	CHECK_EQ_INT(claim(slow, 1), 0);
	slow->ops->hush(slow, fd.fd);
	put(3600, 1);
	CHECK_EQ_INT(poll(&fd, 1, 10000), 1);
	CHECK_EQ_INT(claim(slow, 5), 1);
	(void)close(fd.fd);
	slow->ops->close(slow);
}

/* With the next turn, which holds, and not a quarter of a second later. */
static void
look_for_the_rest(weir_store *store)
{
	struct pg_holds *holds = weir__pg_of(store)->holds;

	weir__mutex_lock(&holds->mu);
	holds->rest_at_ns = 0;
	holds->plenty = true;
	weir__mutex_unlock(&holds->mu);
}

/* So many of which some are held; how many of them have a key. */
static size_t
hold(weir_store *store, uint32_t most)
{
	struct weir_want want = {.queue = "default", .count = most};
	struct weir_turn turn = {.owner = &owner,
				 .wants = &want,
				 .want_count = 1,
				 .may_hold = true};
	weir_error error = {0};
	size_t keys = 0;

	look_for_the_rest(store);
	CHECK_EQ_INT(store->ops->turn(store, &turn, &error), WEIR_OK);
	REQUIRE(turn.batch);
	CHECK_EQ_INT(turn.batch->count, most);
	for (size_t i = turn.batch->count; i-- > 0;) {
		keys += turn.batch->claims[i].row.unique_key != NULL;
		weir__claim_free(&turn.batch->claims[i]);
	}
	return keys;
}

/* Holds go on past what may not be held, which is not to be forgotten. */
STORE_TEST(cursors, of_what_may_not_be_held_are_its_own)
{
	weir_store *slow = open_slow();

	(void)store;
	for (int seconds = 200; seconds > 0; seconds--)
		put(seconds, 1);
	CHECK_EQ_INT(hold(slow, 32), 0); /* up to 169 s */
	put_one(180, 1, true);
	CHECK_EQ_INT(hold(slow, 32), 1); /* up to 138 s */
	put_one(190, 1, true);           /* behind the cursor of the rest */
	put_one(150, 1, true);
	CHECK_EQ_INT(hold(slow, 32), 1);
	slow->ops->close(slow);
}
