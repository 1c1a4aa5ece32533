/*
 * Exactly once: an order and its job are written together, and so are the
 * job's effect and its completion.
 *
 *      BEGIN, INSERT order, weir_store_insert_tx(),  COMMIT
 *      BEGIN, UPDATE order, weir_job_complete_tx(),  COMMIT
 *
 * All of it is in one file, durable_tx.db, on a connection of our own.  The
 * first attempt fails after it has counted; what it did is rolled back.
 */
#include <sqlite3.h>
#include <stdio.h>
#include <weir/queue.h>
#include <weir/weir.h>
#include <weir/work.h>

static weir_status
sql(sqlite3 *db, const char *text)
{
	return sqlite3_exec(db, text, NULL, NULL, NULL) == SQLITE_OK
		       ? WEIR_OK
		       : WEIR_SYSTEM;
}

/* End it one way or the other. */
static weir_status
end(sqlite3 *db, weir_status status)
{
	if (status == WEIR_OK)
		status = sql(db, "COMMIT");
	if (status != WEIR_OK)
		(void)sql(db, "ROLLBACK");
	return status;
}

/* Order and job, or neither. */
static weir_status
place_order(weir_store *store, sqlite3 *db, weir_error *error)
{
	weir_insert job = WEIR_INSERT_INIT;
	weir_status status = sql(db, "BEGIN IMMEDIATE");

	job.kind = "ship";
	job.args = "{\"order\":1}";
	if (status == WEIR_OK)
		status = sql(db, "INSERT INTO orders VALUES (1, 0)");
	if (status == WEIR_OK)
		status = weir_store_insert_tx(store, db, &job, 1, NULL, error);
	status = end(db, status);
	if (status == WEIR_OK)
		weir_store_committed(store); /* wake the workers */
	return status;
}

/* The connection is used by one job at a time: there is one worker. */
static weir_status
ship(weir_ctx *ctx, const void *in, void *out, void *user)
{
	const weir_job_row *job = in;
	sqlite3 *db = user;
	weir_error error = {WEIR_OK, 0, ""};
	weir_status status = sql(db, "BEGIN IMMEDIATE");

	(void)out;
	if (status == WEIR_OK)
		status = sql(db, "UPDATE orders SET parcels = parcels + 1");
	if (status == WEIR_OK && job->attempt == 1) {
		weir_job_retry_in(job, 0);
		status = weir_job_fail(ctx, WEIR_FAILED, "the lights went out");
	}
	if (status == WEIR_OK)
		status = weir_job_complete_tx(job, db, &error);
	return end(db, status);
}

static weir_status
work(weir_store *store, sqlite3 *db, weir_error *error)
{
	weir_handler handler = {.size = sizeof(handler),
				.kind = "ship",
				.run = ship,
				.user = db};
	weir_work_options options = WEIR_WORK_OPTIONS_INIT;
	weir_work *work;
	weir_status status;

	options.handlers = &handler;
	options.handler_count = 1;
	options.workers = 1;
	options.until_empty = true;
	status = weir_work_new(&work, store, &options, error);
	if (status == WEIR_OK) {
		status = weir_work_run(work, NULL, error);
		weir_work_free(work);
	}
	return status;
}

static int
print_row(void *user, int count, char **texts, char **names)
{
	(void)user;
	for (int i = 0; i < count; i++)
		printf("%s%s %s", i > 0 ? ", " : "", names[i], texts[i]);
	printf("\n");
	return 0;
}

int
main(int argc, char **argv)
{
	weir_store_options options = WEIR_STORE_OPTIONS_INIT;
	weir_store *store = NULL;
	weir_error error = {WEIR_OK, 0, ""};
	sqlite3 *db = NULL;
	weir_status status;

	options.url = argc > 1 ? argv[1] : "durable_tx.db";
	options.create = true;
	status = weir_store_open(&store, &options, &error);
	if (status == WEIR_OK && sqlite3_open(options.url, &db) != SQLITE_OK)
		status = WEIR_SYSTEM;
	if (status == WEIR_OK) {
		/* The store's writer has the lock now and then. */
		sqlite3_busy_timeout(db, 10000);
		status = sql(db, "CREATE TABLE orders (id, parcels)");
	}
	if (status == WEIR_OK)
		status = place_order(store, db, &error);
	if (status == WEIR_OK)
		status = work(store, db, &error);
	if (status == WEIR_OK &&
	    sqlite3_exec(db,
			 "SELECT parcels, state, attempt FROM orders, jobs"
			 " WHERE json_extract(args, '$.order') = orders.id",
			 print_row, NULL, NULL) != SQLITE_OK)
		status = WEIR_SYSTEM;
	if (status != WEIR_OK)
		fprintf(stderr, "durable_tx: %s: %s %s\n", options.url,
			error.message, db ? sqlite3_errmsg(db) : "");
	sqlite3_close(db);
	weir_store_close(store);
	return status == WEIR_OK ? 0 : 1;
}
