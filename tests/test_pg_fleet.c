/*
 * The public calls of libweir-fleet: what they refuse, and that one kind of
 * store is not taken for the other.
 */
#include "harness.h"

#include <libpq-fe.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <weir/fleet.h>
#include <weir/job.h>

static const char *
our_url(void)
{
	const char *url = getenv("WEIR_TEST_PG_URL");

	if (!url)
		SKIP("there is no WEIR_TEST_PG_URL; see tests/with-postgres");
	return url;
}

static weir_store *
open_fleet(void)
{
	weir_store_options options = WEIR_STORE_OPTIONS_INIT;
	weir_store *store = NULL;
	weir_error error = {WEIR_OK, 0, ""};

	options.url = our_url();
	options.create = true;
	CHECK_MSG(weir_fleet_open(&store, &options, &error) == WEIR_OK, "%s",
		  error.message);
	REQUIRE(store);
	return store;
}

static weir_store *
open_file(char path[])
{
	weir_store_options options = WEIR_STORE_OPTIONS_INIT;
	weir_store *store = NULL;

	REQUIRE(mkdtemp(path));
	REQUIRE(chdir(path) == 0);
	options.url = "jobs.db";
	options.create = true;
	REQUIRE(weir_store_open(&store, &options, NULL) == WEIR_OK);
	return store;
}

TEST(fleet, checks_its_options)
{
	weir_store_options options = WEIR_STORE_OPTIONS_INIT;
	weir_store *store = NULL;
	weir_error error = {WEIR_OK, 0, ""};

	CHECK_EQ_INT(weir_fleet_open(&store, NULL, NULL), WEIR_INVAL);
	CHECK_EQ_INT(weir_fleet_open(&store, &options, &error), WEIR_INVAL);
	CHECK_STR(error.message, "the store has no url");
	options.url = "jobs.db";
	CHECK_EQ_INT(weir_fleet_open(&store, &options, NULL), WEIR_INVAL);
	options.url = "postgres://h/db";
	options.read_only = options.create = true;
	CHECK_EQ_INT(weir_fleet_open(&store, &options, NULL), WEIR_INVAL);
	CHECK(!store);
}

TEST(fleet, keeps_passwords_to_itself)
{
	static const char *const urls[] = {
		"postgres://me:sec/ret@127.0.0.1:1/app",
		"postgres://me:sec@ret@127.0.0.1:1/app",
		"postgres://me:ret@127.0.0.1:1/app",
		"postgres://127.0.0.1:1/app?password=ret",
		"postgres:host=127.0.0.1 port=1 password=ret",
	};
	weir_store_options options = WEIR_STORE_OPTIONS_INIT;
	weir_store *store = NULL;

	for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
		weir_error error = {WEIR_OK, 0, ""};

		options.url = urls[i];
		CHECK(weir_fleet_open(&store, &options, &error) != WEIR_OK);
		CHECK(error.message[0] != '\0');
		CHECK_MSG(!strstr(error.message, "ret"), "%s", error.message);
	}
}

static weir_status
try_complete(weir_ctx *ctx, const void *in, void *out, void *user)
{
	PGconn *pg = PQconnectdb(our_url());

	(void)ctx;
	(void)out;
	*(weir_status *)user = weir_fleet_complete_tx(in, pg, NULL);
	PQfinish(pg);
	return WEIR_OK;
}

/* One job of that store, which tries to complete itself in PostgreSQL. */
static weir_status
complete_in(weir_store *store)
{
	weir_insert job = WEIR_INSERT_INIT;
	weir_work_options options = WEIR_WORK_OPTIONS_INIT;
	weir_status seen = WEIR_OK;
	weir_handler handler = {.size = sizeof(handler),
				.kind = "try",
				.run = try_complete,
				.user = &seen};
	weir_work *work = NULL;

	job.kind = "try";
	REQUIRE(weir_store_insert(store, &job, 1, NULL, NULL, NULL) == WEIR_OK);
	options.handlers = &handler;
	options.handler_count = 1;
	options.workers = 1;
	options.until_empty = true;
	REQUIRE(weir_work_new(&work, store, &options, NULL) == WEIR_OK);
	CHECK_EQ_INT(weir_work_run(work, NULL, NULL), WEIR_OK);
	weir_work_free(work);
	return seen;
}

TEST(fleet, does_not_take_a_file_for_a_database)
{
	char path[] = "/tmp/weir-fleet-XXXXXX";
	weir_insert job = WEIR_INSERT_INIT;
	PGconn *pg = PQconnectdb(our_url());
	weir_error error = {WEIR_OK, 0, ""};
	weir_store *store = open_file(path);

	job.kind = "try";
	CHECK_EQ_INT(weir_fleet_insert_tx(store, pg, &job, 1, NULL, &error),
		     WEIR_INVAL);
	CHECK_STR(error.message, "the store is not in PostgreSQL");
	CHECK_EQ_INT(complete_in(store), WEIR_INVAL);
	PQfinish(pg);
	weir_store_close(store);
	(void)unlink("jobs.db");
	(void)unlink("jobs.db-wal");
	(void)unlink("jobs.db-shm");
	(void)unlink("jobs.db-weir");
	REQUIRE(chdir("/") == 0);
	CHECK_EQ_INT(rmdir(path), 0);
}

TEST(fleet, wants_a_transaction)
{
	weir_insert job = WEIR_INSERT_INIT;
	PGconn *pg = PQconnectdb(our_url());
	weir_error error = {WEIR_OK, 0, ""};
	weir_store *store = open_fleet();

	job.kind = "try";
	CHECK_EQ_INT(weir_fleet_insert_tx(store, NULL, &job, 1, NULL, NULL),
		     WEIR_INVAL);
	CHECK_EQ_INT(weir_fleet_insert_tx(store, pg, &job, 1, NULL, &error),
		     WEIR_INVAL);
	CHECK_STR(error.message, "the connection has no transaction");
	CHECK_EQ_INT(complete_in(store), WEIR_INVAL);
	PQfinish(pg);
	weir_store_close(store);
}
