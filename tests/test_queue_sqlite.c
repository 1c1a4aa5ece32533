/* The store on SQLite does what every store must do. */
#include "queue_conformance.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static char dir[] = "/tmp/weir-conformance-XXXXXX";
static char path[sizeof(dir) + 16];

/* What is tried is what it does, not what it survives: no need to flush. */
static weir_store *
open_it(bool create)
{
	weir_store_options options = WEIR_STORE_OPTIONS_INIT;
	weir_store *store = NULL;
	weir_error error = {0};

	options.url = path;
	options.create = create;
	options.durability = WEIR_DURABLE_PROCESS;
	options.now_ms = queue_clock;
	CHECK_MSG(weir__sqlite_open(&store, path, &options, &error) == WEIR_OK,
		  "%s", error.message);
	return store;
}

static weir_store *
open_new(void)
{
	REQUIRE(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/jobs.db", dir);
	return open_it(true);
}

static weir_store *
join(weir_store *store)
{
	(void)store;
	return open_it(false);
}

static weir_store *
reopen(void)
{
	return open_it(false);
}

static void
wipe(void)
{
	static const char *const ends[] = {"", "-wal", "-shm", "-weir"};
	char name[sizeof(path) + 8];

	for (size_t i = 0; i < queue_count(ends); i++) {
		snprintf(name, sizeof(name), "%s%s", path, ends[i]);
		CHECK(unlink(name) == 0 || errno == ENOENT);
	}
	CHECK(rmdir(dir) == 0);
}

const struct queue_stores queue_stores = {
	.name = "sqlite",
	.open = open_new,
	.join = join,
	.reopen = reopen,
	.wipe = wipe,
	.jobs = 100000,
};
