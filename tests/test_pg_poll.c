/*
 * A store that does not listen, and keeps nothing in a session, because behind
 * PgBouncer its sessions are everybody's.  Beside with-pgbouncer it is used
 * through that; see test_queue_pg.c, which runs the whole conformance suite so.
 */
#include "pg/pg.h"
#include "queue_conformance.h"

#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <weir/work.h>

static const char *
via(void)
{
	const char *conninfo = getenv("WEIR_TEST_PG_VIA");

	if (!conninfo)
		SKIP("there is no PgBouncer");
	return conninfo;
}

/* What a statement gives of another client of the pooler's. */
static int
ask(PGconn *pg, const char *sql)
{
	PGresult *result = PQexec(pg, sql);
	int answer;

	REQUIRE(PQntuples(result) == 1);
	answer = atoi(PQgetvalue(result, 0, 0));
	PQclear(result);
	return answer;
}

/* The store has used sessions; now others have them. */
STORE_TEST(sessions, are_left_as_they_were)
{
	static const char changed[] =
		"SELECT (SELECT count(*) FROM pg_settings"
		" WHERE source = 'session' AND name NOT IN"
		" ('application_name', 'client_encoding', 'DateStyle',"
		" 'TimeZone', 'standard_conforming_strings'))"
		" + (SELECT count(*) FROM pg_prepared_statements)"
		" + (SELECT count(*) FROM pg_listening_channels())"
		" + (SELECT count(*) FROM pg_locks WHERE locktype = "
		"'advisory')";
	struct weir_owner *me = queue_enlist(store, "me");
	PGconn *pg[3];

	for (int i = 0; i < 5; i++)
		queue_put(store, "work");
	queue_end(store, me, queue_claim_one(store, me, 1),
		  WEIR_VERDICT_COMPLETE);
	REQUIRE(store->ops->wake_fd(store) >= 0);
	/* As many at a time as there are sessions. */
	for (int i = 0; i < 3; i++) {
		pg[i] = PQconnectdb(via());
		PQclear(PQexec(pg[i], "BEGIN"));
		CHECK_EQ_INT(ask(pg[i], changed), 0);
	}
	for (int i = 0; i < 3; i++)
		PQfinish(pg[i]);
}

/* By a name that a neighbour's search_path cannot change. */
STORE_TEST(schemas, are_those_that_were_there_at_first)
{
	weir_store_options options = WEIR_STORE_OPTIONS_INIT;
	PGconn *pg = PQconnectdb(via());
	weir_store *ours = NULL;
	weir_error error = {0};
	char text[256];

	snprintf(text, sizeof(text), "SET search_path = %s",
		 weir__pg_of(store)->schema);
	for (int i = 0; i < 3; i++)
		PQclear(PQexec(pg, text));
	snprintf(text, sizeof(text), "postgres:%s listen=off", via());
	CHECK_MSG(weir__pg_open(&ours, text, &options, &error) == WEIR_OK, "%s",
		  error.message);
	REQUIRE(ours);
	PQclear(PQexec(pg, "SET search_path = pg_catalog"));
	queue_put(ours, "work");
	CHECK_EQ_INT(ask(pg, "SELECT 1"), 1);
	weir_store_close(ours);
	PQfinish(pg);
	CHECK_STATE(store, 1, "available");
}

STORE_TEST(tables, are_not_made_through_a_pooler)
{
	weir_error error = {0};

	CHECK_EQ_INT(weir__pg_migrate(weir__pg_of(store), PG_SCHEMA_VERSION,
				      PG_WEIR_VERSION, &error),
		     WEIR_INVAL);
	CHECK(strstr(error.message, "listen=off"));
}

static atomic_int begun, cancelled;

/* Runs until somebody wants it cancelled. */
static weir_status
run_on(weir_ctx *ctx, const void *in, void *out, void *user)
{
	(void)in;
	(void)out;
	(void)user;
	atomic_fetch_add(&begun, 1);
	while (weir_ctx_status(ctx) == WEIR_OK)
		(void)poll(NULL, 0, 1);
	atomic_fetch_add(&cancelled, 1);
	return weir_ctx_status(ctx);
}

struct run {
	weir_work *work;
	weir_status status;
};

static void
work_main(void *arg)
{
	struct run *run = arg;
	weir_error error = {0};

	run->status = weir_work_run(run->work, NULL, &error);
}

static void
wait_until(const atomic_int *what, int is)
{
	while (atomic_load(what) < is)
		(void)poll(NULL, 0, 1);
}

STORE_TEST(works, that_poll_find_jobs_and_cancels)
{
	weir_handler handler = {
		.size = sizeof(handler), .kind = "work", .run = run_on};
	weir_work_options options = WEIR_WORK_OPTIONS_INIT;
	struct weir_thread thread;
	weir_store *other = queue_join(store);
	weir_error error = {0};
	struct run run = {0};

	options.handlers = &handler;
	options.handler_count = 1;
	options.workers = 2;
	REQUIRE(weir_work_new(&run.work, store, &options, &error) == WEIR_OK);
	REQUIRE(weir__thread_start(&thread, "work", 0, work_main, &run) ==
		WEIR_OK);
	for (int i = 1; i <= 2; i++) {
		int64_t id = queue_put(other, "work");

		wait_until(&begun, i);
		queue_change(other, WEIR_JOB_CANCEL, id);
		wait_until(&cancelled, i);
	}
	weir_work_stop(run.work, true);
	weir__thread_join(&thread);
	CHECK_EQ_INT(run.status, WEIR_OK);
	weir_work_free(run.work);
	CHECK_STATE(store, 1, "cancelled");
	CHECK_STATE(store, 2, "cancelled");
}
