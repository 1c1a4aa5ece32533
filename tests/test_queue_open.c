/*
 * Which urls are stores.  What opens one is a fake of ours, in the place of
 * SQLite's, that says what it was asked for.
 */
#include "harness.h"

#include "queue/store.h"

#include <stdio.h>
#include <string.h>

static struct {
	int calls;
	char path[256];
	weir_store_options options;
} asked;

weir_status
weir__sqlite_open(weir_store **out, const char *path,
		  const weir_store_options *options, weir_error *reterr)
{
	static const struct weir_store_ops ops = {.name = "fake"};
	static weir_store store = {.ops = &ops};

	REQUIRE(reterr);
	asked.calls++;
	asked.options = *options;
	(void)snprintf(asked.path, sizeof(asked.path), "%s", path);
	*out = &store;
	return WEIR_OK;
}

static weir_store_options
options_of(const char *url)
{
	weir_store_options options = WEIR_STORE_OPTIONS_INIT;

	options.url = url;
	return options;
}

/* The path that a url stands for. */
static const char *
path_of(const char *url)
{
	weir_store_options options = options_of(url);
	weir_store *store = NULL;
	weir_error error = {0};

	CHECK_MSG(weir_store_open(&store, &options, &error) == WEIR_OK,
		  "%s: %s", url, error.message);
	CHECK(store);
	return asked.path;
}

static const char *
fault_of(const weir_store_options *options)
{
	static weir_error error;
	weir_store *store = NULL;
	int calls = asked.calls;

	error = (weir_error){0};
	CHECK_EQ_INT(weir_store_open(&store, options, &error), WEIR_INVAL);
	CHECK(!store && asked.calls == calls);
	CHECK_EQ_INT(error.status, WEIR_INVAL);
	return error.message;
}

static const char *
fault_of_url(const char *url)
{
	weir_store_options options = options_of(url);

	return fault_of(&options);
}

TEST(queue_open, takes_paths_with_and_without_a_scheme)
{
	CHECK_STR(path_of("jobs.db"), "jobs.db");
	CHECK_STR(path_of("sqlite:jobs.db"), "jobs.db");
	CHECK_STR(path_of("/var/lib/jobs.db"), "/var/lib/jobs.db");
	CHECK_STR(path_of("sqlite:/var/lib/jobs.db"), "/var/lib/jobs.db");
	CHECK_STR(path_of("sqlite:///var/lib/jobs.db"), "///var/lib/jobs.db");
	CHECK_STR(path_of("//var/lib/jobs.db"), "//var/lib/jobs.db");
	CHECK_STR(path_of("./jobs:1.db"), "./jobs:1.db");
	CHECK_STR(path_of("sqlite:jobs:1.db"), "jobs:1.db");
	CHECK_STR(path_of("c:jobs.db"), "c:jobs.db");
	CHECK_STR(path_of("2026-01-02T03:04.db"), "2026-01-02T03:04.db");
	CHECK_STR(path_of("my jobs: new.db"), "my jobs: new.db");
}

TEST(queue_open, knows_a_url_of_another_kind_and_keeps_its_password)
{
	const char *why = "no store of that kind in this build, \"mysql:\"; "
			  "a file is PATH or sqlite:PATH";
	const char *fleet = "a store in PostgreSQL is opened with "
			    "weir_fleet_open(), of libweir-fleet";

	CHECK_STR(fault_of_url("mysql://me:secret@host/jobs"), why);
	CHECK_STR(fault_of_url("mysql:jobs"), why);
	CHECK_STR(fault_of_url("postgres://me:secret@host/jobs"), fleet);
	CHECK_STR(fault_of_url("postgresql:jobs"), fleet);
	CHECK(strstr(fault_of_url("SQLite:jobs.db"), "\"SQLite:\""));
	CHECK(strstr(fault_of_url("file:jobs.db?mode=memory"), "\"file:\""));
	CHECK(strstr(fault_of_url("jobs:1.db"), "\"jobs:\""));
	CHECK(strstr(fault_of_url("sqlite3:jobs.db"), "\"sqlite3:\""));
	CHECK_STR(fault_of_url("sqlite://jobs.db"),
		  "sqlite: takes a path, not a host; write sqlite:PATH");
}

TEST(queue_open, refuses_what_sqlite_would_keep_nowhere)
{
	const char *why = "the url of the store names no file";

	CHECK_STR(fault_of_url(""), why);
	CHECK_STR(fault_of_url("sqlite:"), why);
	CHECK_STR(fault_of_url(":memory:"), why);
	CHECK_STR(fault_of_url("sqlite::memory:"), why);
}

TEST(queue_open, checks_the_options)
{
	weir_store_options options = options_of(NULL);
	static char endless[10000];
	weir_store *store;

	CHECK_STR(fault_of(&options), "the store has no url");
	memset(endless, 'a', sizeof(endless) - 1);
	CHECK_STR(fault_of_url(endless), "the url of the store is too long");
	options = options_of("jobs.db");
	options.busy_ns = -1;
	CHECK_STR(fault_of(&options), "busy_ns is negative");
	options = options_of("jobs.db");
	options.durability = (weir_durability)2;
	CHECK_STR(fault_of(&options), "no such durability");
	options = options_of("jobs.db");
	options.read_only = options.create = true;
	CHECK_STR(fault_of(&options),
		  "a store cannot be made or migrated read_only");
	options.size = 0;
	CHECK_STR(fault_of(&options),
		  "the options of the store have no size that is known");
	CHECK_STR(fault_of(NULL),
		  "the options of the store have no size that is known");
	options = options_of("jobs.db");
	CHECK_EQ_INT(weir_store_open(NULL, &options, NULL), WEIR_INVAL);
	options.url = NULL;
	CHECK_EQ_INT(weir_store_open(&store, &options, NULL), WEIR_INVAL);
}

TEST(queue_open, fills_in_how_long_to_wait)
{
	weir_store_options options = options_of("jobs.db");
	weir_store *store;

	CHECK_EQ_INT(weir_store_open(&store, &options, NULL), WEIR_OK);
	CHECK_EQ_INT(asked.options.busy_ns, WEIR_STORE_BUSY_NS);
	options.busy_ns = 1;
	options.create = true;
	CHECK_EQ_INT(weir_store_open(&store, &options, NULL), WEIR_OK);
	CHECK_EQ_INT(asked.options.busy_ns, 1);
	CHECK(asked.options.create && !asked.options.migrate);
}

TEST(queue_open, takes_the_shorter_struct_of_an_older_program)
{
	struct {
		size_t size;
		const char *url;
	} old = {sizeof(old), "jobs.db"};
	weir_store *store;

	CHECK_EQ_INT(weir_store_open(&store,
				     (const weir_store_options *)(void *)&old,
				     NULL),
		     WEIR_OK);
	CHECK(!asked.options.create && !asked.options.now_ms);
	CHECK_EQ_INT(asked.options.size, sizeof(weir_store_options));
}
