/*
 * Leadership of the PostgreSQL store, what the leader does, and what an idle
 * store finds out without a bell.
 */
#include "pg/leader.h"
#include "pg/listen.h"
#include "pg_by_hand.h"
#include "queue_conformance.h"

#include "base/rng.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define MIDNIGHT (T0 / 86400000 * 86400000 + 86400000)

static PGconn *hand; /* what is done by hand */

/* Often, so on one connection. */
static const char *
look(weir_store *store, const char *sql)
{
	if (!hand)
		hand = by_hand();
	return ask_on(hand, store, sql);
}

/* Wait until the answer is that. */
static bool
becomes(weir_store *store, const char *sql, const char *wanted)
{
	for (int i = 0; i < 2000; i++) {
		if (strcmp(look(store, sql), wanted) == 0)
			return true;
		(void)poll(NULL, 0, 5);
	}
	return false;
}

/* Try now, and say whether we lead after that. */
static bool
tries(weir_store *store)
{
	struct weir_pg *pg = weir__pg_of(store);

	weir__pg_leader_order(pg, PG_LEADER_NOW);
	while (!weir__pg_leader_is_idle(pg))
		(void)poll(NULL, 0, 1);
	return weir__pg_leads(pg);
}

static const char *
name_of(weir_store *store)
{
	return weir__pg_leader_id(weir__pg_of(store));
}

static const char who[] = "SELECT leader_id FROM @river_leader";

/* Another handle, with a word more in its url. */
static weir_store *
open_with(const char *more)
{
	weir_store_options options = WEIR_STORE_OPTIONS_INIT;
	weir_store *store = NULL;
	weir_error error = {0};
	char url[512];

	options.now_ms = queue_clock;
	snprintf(url, sizeof(url), "postgres:%s schema=t_%d %s",
		 getenv("WEIR_TEST_PG"), (int)getpid(), more);
	CHECK_MSG(weir__pg_open(&store, url, &options, &error) == WEIR_OK, "%s",
		  error.message);
	REQUIRE(store);
	return store;
}

STORE_TEST(leader, is_elected_for_fifteen_seconds)
{
	(void)queue_enlist(store, "me");
	CHECK(tries(store));
	CHECK_STR(look(store, who), name_of(store));
	CHECK_STR(look(store, "SELECT expires_at - elected_at || ' ' || name"
			      " FROM @river_leader"),
		  "00:00:15 default");
}

STORE_TEST(leader, keeps_its_term_when_it_is_elected_again)
{
	static const char term[] =
		"SELECT extract(epoch FROM elected_at) * 1000"
		" || ' ' || expires_at - elected_at FROM"
		" @river_leader";
	char expected[64];

	(void)queue_enlist(store, "me");
	CHECK(tries(store));
	queue_now_ms += 14000;
	CHECK(tries(store));
	snprintf(expected, sizeof(expected), "%lld.000000 00:00:29",
		 (long long)T0);
	CHECK_STR(look(store, term), expected);
}

STORE_TEST(leader, is_followed_by_the_others)
{
	weir_store *other = queue_join(store);

	(void)queue_enlist(store, "me");
	CHECK(tries(store));
	(void)queue_enlist(other, "you");
	CHECK(!tries(other));
	queue_now_ms += 15000;
	CHECK(!tries(other));
	CHECK_STR(look(store, who), name_of(store));
}

STORE_TEST(leader, is_another_when_its_time_is_over)
{
	weir_store *other = queue_join(store);

	(void)queue_enlist(store, "me");
	(void)queue_enlist(other, "you");
	CHECK(tries(store) != tries(other));
	queue_now_ms += 15001;
	CHECK(tries(other));
	CHECK_STR(look(store, who), name_of(other));
	CHECK(!tries(store));
	CHECK_STR(look(store, who), name_of(other));
}

/* A term is told by when it was won, to the microsecond. */
STORE_TEST(leader, does_not_keep_the_term_of_another)
{
	(void)queue_enlist(store, "me");
	CHECK(tries(store));
	(void)look(store, "UPDATE @river_leader SET"
			  " elected_at = elected_at + interval '1 us'");
	CHECK(!tries(store));
	queue_now_ms += 15001;
	CHECK(tries(store));
}

/* The table is not logged: a server that crashed has lost it. */
STORE_TEST(leader, begins_a_new_term_when_its_row_is_gone)
{
	(void)queue_enlist(store, "me");
	CHECK(tries(store));
	(void)look(store, "DELETE FROM @river_leader");
	queue_now_ms += 1;
	CHECK(tries(store));
	CHECK_STR(look(store, who), name_of(store));
}

STORE_TEST(leader, tells_the_others_when_it_leaves)
{
	struct weir_owner *me = queue_enlist(store, "me");
	char expected[256];
	PGnotify *notice;

	CHECK(tries(store));
	snprintf(expected, sizeof(expected), "LISTEN \"t_%d.river_leadership\"",
		 (int)getpid());
	(void)look(store, expected);
	queue_leave(store, me);
	CHECK_STR(look(store, "SELECT count(*) FROM @river_leader"), "0");
	notice = PQnotifies(hand);
	REQUIRE(notice);
	snprintf(expected, sizeof(expected),
		 "{\"action\" : \"resigned\", \"leader_id\" : \"%s\"}",
		 name_of(store));
	CHECK_STR(notice->extra, expected);
	PQfreemem(notice);
}

STORE_TEST(leader, is_followed_at_once_by_who_hears_of_its_end)
{
	weir_store *other = queue_join(store);
	struct weir_owner *me = queue_enlist(store, "me");
	int fd;

	CHECK(tries(store));
	fd = other->ops->wake_fd(other);
	(void)queue_enlist(other, "you");
	CHECK(!tries(other));
	/* Its own next attempt is five seconds away. */
	queue_leave(store, me);
	CHECK(becomes(store, who, name_of(other)));
	CHECK(!weir__pg_leads(weir__pg_of(store)));
	(void)close(fd);
}

STORE_TEST(leader, resigns_when_it_is_asked_to)
{
	weir_store *other = queue_join(store);
	int fds[2] = {store->ops->wake_fd(store), other->ops->wake_fd(other)};
	char sql[128];

	(void)queue_enlist(store, "me");
	CHECK(tries(store));
	(void)queue_enlist(other, "you");
	CHECK(!tries(other));
	snprintf(sql, sizeof(sql),
		 "SELECT pg_notify('t_%d.river_leadership', '%s')",
		 (int)getpid(),
		 "{\"action\":\"request_resign\",\"leader_id\":\"\"}");
	(void)look(store, sql);
	CHECK(becomes(store, who, name_of(other)));
	CHECK(!weir__pg_leads(weir__pg_of(store)));
	(void)close(fds[0]);
	(void)close(fds[1]);
}

STORE_TEST(leader, goes_on_while_anybody_works)
{
	struct weir_owner *one = queue_enlist(store, "one");
	struct weir_owner *two = queue_enlist(store, "two");

	CHECK(tries(store));
	queue_leave(store, one);
	CHECK(tries(store));
	queue_leave(store, two);
	CHECK(!weir__pg_leads(weir__pg_of(store)));
	one = queue_enlist(store, "three");
	CHECK(tries(store));
}

STORE_TEST(leader, is_nobody_who_was_told_not_to)
{
	weir_store *other = open_with("leader=off");
	struct weir_owner owner = {.name = "me"};

	CHECK_EQ_INT(queue_try_enlist(other, &owner), WEIR_OK);
	queue_leave(other, &owner);
	CHECK_STR(look(store, "SELECT count(*) FROM @river_leader"), "0");
	other->ops->close(other);
}

STORE_TEST(leader, is_asked_for_by_no_other_words)
{
	weir_store_options options = WEIR_STORE_OPTIONS_INIT;
	weir_error error = {0};
	weir_store *other = NULL;

	(void)store;
	CHECK_EQ_INT(weir__pg_open(&other, "postgres://x/y?leader=maybe",
				   &options, &error),
		     WEIR_INVAL);
	CHECK_STR(error.message, "maybe: it is either on or off");
	CHECK_EQ_INT(weir__pg_open(&other, "postgres:host=x foreign=eat",
				   &options, &error),
		     WEIR_INVAL);
	CHECK_STR(error.message, "eat: it is either rescue or leave");
}

/* Whoever believes that it leads has the row, whatever was before. */
STORE_TEST(leader, is_never_two)
{
	weir_store *stores[3] = {store, queue_join(store), queue_join(store)};
	struct weir_owner *owners[3];
	struct weir_rng rng;

	weir__rng_seed(&rng, test_seed());
	for (int i = 0; i < 3; i++)
		owners[i] = queue_enlist(stores[i], "one");
	for (int i = 0; i < 150; i++) {
		size_t n = weir__rng_below(&rng, 3);

		queue_now_ms += (int64_t)weir__rng_below(&rng, 8000);
		if (weir__rng_below(&rng, 8) == 0) {
			queue_leave(stores[n], owners[n]);
			owners[n] = queue_enlist(stores[n], "one");
		}
		if (tries(stores[n]))
			CHECK_STR(look(store, who), name_of(stores[n]));
		else
			CHECK(strcmp(look(store, who), name_of(stores[n])) !=
			      0);
		CHECK_STR(look(store, "SELECT count(*) FROM @river_leader"),
			  "1");
	}
}

/*
 * What the leader does.
 */
STORE_TEST(duties, forget_queues_of_which_nobody_has_heard_for_a_day)
{
	weir_error error = {0};
	uint64_t count = 0;

	(void)look(
		store,
		"INSERT INTO @river_queue (name, metadata, created_at,"
		" updated_at, paused_at) SELECT n, '{}', t, t, p FROM (VALUES"
		" ('old', to_timestamp(1800000000) - interval '25 h', NULL),"
		" ('young', to_timestamp(1800000000) - interval '23 h', NULL),"
		" ('paused', to_timestamp(1800000000) - interval '25 h',"
		" now())) v (n, t, p)");
	CHECK_EQ_INT(weir__pg_clean_queues(weir__pg_of(store), &count, &error),
		     WEIR_OK);
	CHECK_EQ_INT(count, 1);
	CHECK_STR(look(store, "SELECT name FROM @river_queue ORDER BY name"),
		  "paused young");
}

/* As River's clients leave it; seconds before now. */
static void
put_running(weir_store *store, int seconds, int attempt, const char *by,
	    const char *metadata)
{
	char sql[512];

	snprintf(sql, sizeof(sql),
		 "INSERT INTO @river_job (state, attempt, max_attempts,"
		 " attempted_at, attempted_by, args, kind, metadata) VALUES"
		 " ('running', %d, 3, to_timestamp(1800000000) - interval"
		 " '%d s', ARRAY['%s'], '{}', 'alien', '%s')",
		 attempt, seconds, by, metadata);
	(void)look(store, sql);
}

static const char states[] =
	"SELECT state || ':' || coalesce(cardinality(errors), 0)"
	" FROM @river_job ORDER BY id";

STORE_TEST(duties, rescue_jobs_of_others_that_run_for_an_hour)
{
	struct weir_owner *me = queue_enlist(store, "me");
	weir_error error = {0};
	uint64_t count = 0;

	put_running(store, 3601, 1, "go", "{\"river:rescue_count\": 4}");
	put_running(store, 3601, 3, "go", "[]");
	put_running(store, 3601, 1, "go",
		    "{\"cancel_attempted_at\": \"2026-01-01T00:00:00Z\"}");
	put_running(store, 3599, 1, "go", "{}");
	(void)queue_start(store, me, "ours");
	queue_now_ms += 500;
	(void)look(store, "UPDATE @river_job SET attempted_at = attempted_at -"
			  " interval '1 day' WHERE kind = 'ours'");
	CHECK_EQ_INT(
		weir__pg_rescue_foreign(weir__pg_of(store), &count, &error),
		WEIR_OK);
	CHECK_EQ_INT(count, 3);
	CHECK_STR(look(store, states),
		  "retryable:1 discarded:1 cancelled:1 running:0 running:0");
	CHECK_STR(look(store,
		       "SELECT metadata ->> 'river:rescue_count' FROM"
		       " @river_job WHERE errors IS NOT NULL ORDER BY id"),
		  "5 1 1");
	CHECK_STR(look(store,
		       "SELECT bool_and(errors[1] ->> 'error' ="
		       " 'Stuck job rescued by JobRescuer' AND"
		       " errors[1] ->> 'trace' = '' AND errors[1] ->> 'at' ~"
		       " '^[0-9-]+T[0-9:.]+Z$' AND errors[1] -> 'attempt' ="
		       " to_jsonb(attempt)) FROM @river_job"
		       " WHERE errors IS NOT NULL"),
		  "t");
	CHECK_STR(look(store, "SELECT scheduled_at BETWEEN"
			      " to_timestamp(1800000001) AND"
			      " to_timestamp(1800000002) FROM @river_job"
			      " WHERE state = 'retryable'"),
		  "t");
}

STORE_TEST(duties, leave_jobs_of_others_alone_if_told_to)
{
	weir_store *other = open_with("foreign=leave");
	weir_error error = {0};
	uint64_t count = 7;

	put_running(store, 9999, 1, "go", "{}");
	CHECK_EQ_INT(
		weir__pg_rescue_foreign(weir__pg_of(other), &count, &error),
		WEIR_OK);
	CHECK_EQ_INT(count, 0);
	CHECK_STR(look(store, states), "running:0");
	other->ops->close(other);
}

STORE_TEST(duties, bring_jobs_of_queues_that_we_do_not_work)
{
	(void)look(store, "INSERT INTO @river_job (state, args, kind, queue,"
			  " scheduled_at) VALUES ('scheduled', '{}', 'alien',"
			  " 'theirs', to_timestamp(1800000000))");
	(void)queue_enlist(store, "me");
	CHECK(tries(store));
	CHECK(becomes(store, "SELECT state FROM @river_job", "available"));
}

#define INDEXES                                                   \
	"FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid" \
	" WHERE i.indrelid = '@river_job'::regclass"

STORE_TEST(duties, rebuild_the_indexes_at_midnight)
{
	queue_now_ms = MIDNIGHT - 1000;
	(void)look(store, "CREATE TABLE @before AS SELECT c.relname,"
			  " c.relfilenode " INDEXES);
	(void)queue_enlist(store, "me");
	CHECK(tries(store));
	queue_now_ms += 2000;
	CHECK(tries(store));
	CHECK(becomes(store,
		      "SELECT count(*) " INDEXES " AND i.indisvalid AND EXISTS"
		      " (SELECT 1 FROM @before b WHERE b.relname = c.relname"
		      " AND b.relfilenode <> c.relfilenode)",
		      "7"));
	CHECK_STR(look(store, "SELECT count(*) " INDEXES), "7");
}

STORE_TEST(duties, rebuild_nothing_beside_what_was_left_behind)
{
	queue_now_ms = MIDNIGHT - 1000;
	(void)look(store, "CREATE INDEX river_job_kind_ccnew ON @river_job"
			  " (kind)");
	(void)look(store, "CREATE TABLE @before AS SELECT c.relname,"
			  " c.relfilenode " INDEXES);
	(void)queue_enlist(store, "me");
	CHECK(tries(store));
	queue_now_ms += 2000;
	CHECK(tries(store));
	/* The next attempt comes behind what this one began. */
	CHECK(tries(store));
	CHECK_STR(look(store,
		       "SELECT count(*) " INDEXES " AND NOT EXISTS (SELECT 1"
		       " FROM @before b WHERE b.relfilenode = c.relfilenode)"),
		  "0");
}

/*
 * Queues that are worked.
 */
static void
look_into(weir_store *store, struct weir_owner *owner, const char *queue)
{
	struct weir_want want = {.queue = queue, .count = 1};
	struct weir_turn turn = {
		.owner = owner, .wants = &want, .want_count = 1};

	queue_turn(store, &turn);
}

STORE_TEST(worked, queues_have_a_row_that_is_touched)
{
	static const char age[] = "SELECT name || ' ' || updated_at - "
				  "created_at FROM @river_queue";
	weir_store *other = queue_join(store);

	look_into(store, queue_enlist(store, "me"), "mine");
	CHECK_STR(look(store, age), "mine 00:00:00");
	queue_now_ms += 60000;
	look_into(other, queue_enlist(other, "you"), "mine");
	CHECK_STR(look(store, age), "mine 00:01:00");
}

STORE_TEST(worked, queues_need_not_wait_for_a_row_that_is_locked)
{
	(void)look(store, "BEGIN; INSERT INTO @river_queue (name, metadata,"
			  " updated_at) VALUES ('mine', '{}', now())");
	look_into(store, queue_enlist(store, "me"), "mine");
	(void)look(store, "ROLLBACK");
}

static bool
rings(int fd)
{
	struct pollfd poll_fd = {.fd = fd, .events = POLLIN};

	return poll(&poll_fd, 1, 5000) == 1;
}

/* As River leaves a job that it scheduled, or retries within five seconds. */
static void
comes_due(weir_store *store, const char *state, int priority)
{
	int fd = store->ops->wake_fd(store);
	char sql[256];

	look_into(store, queue_enlist(store, "me"), "mine");
	snprintf(sql, sizeof(sql),
		 "INSERT INTO @river_job (state, args, kind, queue, priority,"
		 " scheduled_at) VALUES ('%s', '{}', 'alien', 'mine', %d,"
		 " to_timestamp(1800000001))",
		 state, priority);
	(void)look(store, sql);
	queue_quieten(store, fd);
	CHECK(queue_is_quiet(fd));
	queue_now_ms += 1000;
	CHECK(rings(fd));
	/* But not for ever, if nobody can do it. */
	queue_now_ms += 60000;
	do
		queue_quieten(store, fd);
	while (!queue_is_quiet(fd));
	(void)close(fd);
}

STORE_TEST(bell, rings_for_an_available_job_whose_time_has_come)
{
	comes_due(store, "available", 4);
}

STORE_TEST(bell, rings_for_a_scheduled_job_whose_time_has_come)
{
	comes_due(store, "scheduled", 1);
}

STORE_TEST(bell, rings_for_a_retryable_job_whose_time_has_come)
{
	comes_due(store, "retryable", 2);
}
