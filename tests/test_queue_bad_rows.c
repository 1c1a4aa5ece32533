/*
 * Rows that no weir has written, in each column of each table: whoever lists,
 * changes, works or inserts is told, or does without them, and is not harmed.
 */
#include "harness.h"
#include "scratch.h"

#include "base/rng.h"

#include <weir/queue.h>
#include <weir/work.h>

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static char folder[SCRATCH_MAX], path[SCRATCH_MAX + 16];
static const char *what; /* was done to the file */
static bool alone;       /* it is worked so */

static void
check_status(weir_status status, const weir_error *error)
{
	if (status == WEIR_CORRUPT || status == WEIR_SYSTEM)
		CHECK_MSG(error->message[0], "%s: no reason", what);
	else
		CHECK_MSG(status == WEIR_OK, "%s: %s, %s", what,
			  weir_status_name(status), error->message);
}

static bool
read_job(const weir_job_row *row, void *user)
{
	const char *const texts[] = {row->queue,  row->kind,  row->attempted_by,
				     row->args,   row->tags,  row->metadata,
				     row->errors, row->output};

	(void)user;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		CHECK_MSG(texts[i] && strlen(texts[i]) <= 200000, "%s", what);
	CHECK_MSG(strlen(row->args) <= row->args_len, "%s", what);
	(void)weir_job_state_name(row->state);
	return true;
}

static bool
read_queue(const weir_queue_row *row, void *user)
{
	(void)user;
	CHECK_MSG(row->name && strlen(row->name) <= 200000, "%s", what);
	return true;
}

static bool
read_schedule(const weir_schedule *row, void *user)
{
	(void)user;
	CHECK_MSG(row->name && row->spec && row->job && row->job->kind, "%s",
		  what);
	return true;
}

static weir_status
run(weir_ctx *ctx, const void *in, void *out, void *user)
{
	const weir_job_row *row = in;

	(void)ctx;
	(void)out;
	(void)user;
	/* Some fail, so that errors are added to what was there. */
	return row->id % 3 == 0 ? WEIR_FAILED : WEIR_OK;
}

static void
work_store(weir_store *store)
{
	weir_handler handlers[] = {
		{.size = sizeof(weir_handler), .kind = "email", .run = run}};
	weir_work_options options = WEIR_WORK_OPTIONS_INIT;
	weir_error error = {WEIR_OK, 0, ""};
	weir_work *work = NULL;
	weir_ctx *ctx = NULL;
	weir_status status;

	options.handlers = handlers;
	options.handler_count = 1;
	options.workers = 2;
	options.until_empty = true;
	options.alone = alone;
	/* What does not get empty ends anyway, before there is another look. */
	REQUIRE(weir_ctx_new(&ctx, NULL, 30 * WEIR_MS) == WEIR_OK);
	status = weir_work_new(&work, store, &options, &error);
	if (status == WEIR_OK)
		status = weir_work_run(work, ctx, &error);
	check_status(status, &error);
	weir_work_free(work);
	weir_ctx_unref(ctx);
}

static void
use_store(void)
{
	weir_store_options options = WEIR_STORE_OPTIONS_INIT;
	weir_insert insert = WEIR_INSERT_INIT;
	weir_error error = {WEIR_OK, 0, ""};
	const int64_t ids[] = {1, 2, 3, 4};
	weir_store *store = NULL;
	weir_status status;

	options.url = path;
	insert.kind = "email";
	status = weir_store_open(&store, &options, &error);
	check_status(status, &error);
	if (status != WEIR_OK)
		return;
	check_status(weir_store_list(store, NULL, read_job, NULL, &error),
		     &error);
	check_status(weir_store_queues(store, read_queue, NULL, &error),
		     &error);
	check_status(weir_store_schedules(store, read_schedule, NULL, &error),
		     &error);
	check_status(weir_store_insert(store, &insert, 1, NULL, NULL, &error),
		     &error);
	check_status(weir_store_change(store, WEIR_JOB_RETRY, ids, 4, NULL,
				       NULL, &error),
		     &error);
	work_store(store);
	check_status(weir_store_change(store, WEIR_JOB_DELETE, ids, 4, NULL,
				       NULL, &error),
		     &error);
	weir_store_close(store);
}

static void
execute(const char *sql, bool must)
{
	sqlite3 *db;
	char *message = NULL;
	int code;

	REQUIRE(sqlite3_open(path, &db) == SQLITE_OK);
	code = sqlite3_exec(db, sql, NULL, NULL, &message);
	CHECK_MSG(code == SQLITE_OK || !must, "%s: %s", sql, message);
	sqlite3_free(message);
	REQUIRE(sqlite3_close(db) == SQLITE_OK);
}

/* A store with something in each table. */
static void
make_store(void)
{
	static const char *const tags[] = {"abc"};
	weir_store_options options = WEIR_STORE_OPTIONS_INIT;
	weir_insert insert = WEIR_INSERT_INIT;
	weir_schedule schedule = {.size = sizeof(schedule),
				  .name = "n",
				  .spec = "* * * * *",
				  .job = &insert};
	weir_store *store = NULL;

	options.url = path;
	options.create = true;
	REQUIRE(weir_store_open(&store, &options, NULL) == WEIR_OK);
	insert.kind = "email";
	insert.tags = tags;
	insert.tag_count = 1;
	insert.metadata = "{}";
	for (int i = 0; i < 6; i++) {
		insert.delay_ns = i == 5 ? WEIR_S : 0;
		insert.unique = i == 4 ? WEIR_UNIQUE_ARGS : 0;
		REQUIRE(weir_store_insert(store, &insert, 1, NULL, NULL,
					  NULL) == WEIR_OK);
	}
	insert.unique = 0;
	REQUIRE(weir_store_schedule(store, &schedule, NULL) == WEIR_OK);
	weir_store_close(store);
	execute("INSERT INTO client VALUES (7, 'h:1', 1, 0, 1, 1, 'm');"
		"UPDATE job SET state = 6, owner = 7, attempt = 1,"
		" attempted_at = 1, attempted_by = 'h:1' WHERE id = 4;"
		"UPDATE job SET state = 2, finalized_at = 1 WHERE id = 3;"
		"INSERT INTO cancel VALUES (1, 4, 1);"
		"INSERT INTO note VALUES (1, 7, x'01');"
		"INSERT INTO archive VALUES"
		" (99, 'default', 'email', 1, 1, 1, 1, 'h:1', '{}', '{}');",
		true);
}

static const char *const values[] = {
	"NULL",
	"0",
	"-1",
	"99",
	"9223372036854775807",
	"-9223372036854775808",
	"''",
	"'*'",
	"'{'",
	"'[1,null,{}]'",
	"char(0) || 'a'",
	"CAST(x'ff80c3' AS TEXT)",
	"replace(hex(zeroblob(50000)), '00', 'aa')",
	"x''",
	"x'00ff'",
	"zeroblob(100000)",
};

#define VALUES (sizeof(values) / sizeof(values[0]))

static void
try_column(const char *table, const char *column, const char *value)
{
	static char sql[256];
	int status;
	pid_t child;

	/* Rules of the schema are put aside; what cannot be stored is not. */
	(void)snprintf(sql, sizeof(sql),
		       "PRAGMA ignore_check_constraints = 1;"
		       "UPDATE OR IGNORE %s SET %s = %s;",
		       table, column, value);
	what = sql;
	scratch_empty(folder);
	make_store();
	/* Due; but for other tables only in the way, for it takes a while. */
	if (strcmp(table, "schedule") == 0)
		execute("UPDATE schedule SET next_at = 60000", true);
	execute(sql, false);
	/* In a process of its own, so that one crash does not hide others. */
	child = fork();
	REQUIRE(child >= 0);
	if (child == 0) {
		use_store();
		_exit(0);
	}
	REQUIRE(waitpid(child, &status, 0) == child);
	CHECK_MSG(WIFEXITED(status) && WEXITSTATUS(status) == 0, "%s: a crash",
		  sql);
}

/* The last two only AddressSanitizer sees. */
TEST_LIMIT(queue_bad_rows, that_have_ended_processes_do_so_no_more, 60)
{
	static const struct {
		const char *table, *column, *value;
	} rows[] = {
		{"job", "id", "0"},
		{"counter", "value", "-1"},
		{"queue", "finished", "-1"},
		{"queue", "finished", "99"},
		{"job", "unique_key", "x'00ff'"},
		{"job", "errors", "char(0) || 'a'"},
	};

	scratch_make(folder);
	(void)snprintf(path, sizeof(path), "%s/jobs.db", folder);
	for (size_t i = 0; i < 2 * sizeof(rows) / sizeof(rows[0]); i++) {
		alone = i % 2 == 0;
		try_column(rows[i / 2].table, rows[i / 2].column,
			   rows[i / 2].value);
	}
	scratch_remove(folder);
}

/* "table.column" of all there are, until an empty one. */
static size_t
list_columns(char columns[][64], size_t room)
{
	sqlite3_stmt *statement;
	size_t count = 0;
	sqlite3 *db;

	make_store();
	REQUIRE(sqlite3_open(path, &db) == SQLITE_OK);
	REQUIRE(sqlite3_prepare_v2(
			db,
			"SELECT m.name, c.name FROM sqlite_schema m, "
			"pragma_table_info(m.name) c WHERE m.type = 'table' "
			"AND m.name NOT LIKE 'sqlite_%'",
			-1, &statement, NULL) == SQLITE_OK);
	while (count < room && sqlite3_step(statement) == SQLITE_ROW)
		(void)snprintf(columns[count++], 64, "%s.%s",
			       (const char *)sqlite3_column_text(statement, 0),
			       (const char *)sqlite3_column_text(statement, 1));
	sqlite3_finalize(statement);
	REQUIRE(sqlite3_close(db) == SQLITE_OK);
	return count;
}

/*
 * A part of all, another one each time, or with WEIR_TEST_ROWS all of them.
 */
TEST_LIMIT(queue_bad_rows, harm_nobody, 120)
{
	static char columns[128][64];
	size_t count, tried = 0, parts = getenv("WEIR_TEST_ROWS") ? 1 : 16;
	struct weir_rng rng;

	weir__rng_seed(&rng, test_seed());
	scratch_make(folder);
	(void)snprintf(path, sizeof(path), "%s/jobs.db", folder);
	count = list_columns(columns, 128);
	CHECK_MSG(count > 50, "%zu columns", count);
	for (size_t i = 0; i < count * VALUES; i++) {
		char *table = columns[i / VALUES];
		char *dot = strchr(table, '.');

		if (weir__rng_below(&rng, parts) != 0)
			continue;
		tried++;
		alone = weir__rng_below(&rng, 2) == 0;
		*dot = '\0';
		try_column(table, dot + 1, values[i % VALUES]);
		*dot = '.';
	}
	CHECK(tried > 0);
	scratch_remove(folder);
}
