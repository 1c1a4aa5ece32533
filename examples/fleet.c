/*
 * Exactly once, on any number of machines: an order and its job are written
 * together, and so are the job's effect and its completion.
 *
 *      BEGIN, INSERT order, weir_fleet_insert_tx(),    COMMIT
 *      BEGIN, UPDATE order, weir_fleet_complete_tx(),  COMMIT
 *
 * All of it is in one database, which the first argument names, on a
 * connection of our own.  The first attempt fails after it has counted; what it
 * did is rolled back.
 */
#include <libpq-fe.h>
#include <stdio.h>
#include <weir/fleet.h>
#include <weir/weir.h>

static weir_status
sql(PGconn *pg, const char *text)
{
	PGresult *result = PQexec(pg, text);
	ExecStatusType status = PQresultStatus(result);

	if (status == PGRES_TUPLES_OK)
		for (int i = 0; i < PQntuples(result); i++)
			printf("parcels %s, state %s, attempt %s\n",
			       PQgetvalue(result, i, 0),
			       PQgetvalue(result, i, 1),
			       PQgetvalue(result, i, 2));
	PQclear(result);
	return status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK
		       ? WEIR_OK
		       : WEIR_SYSTEM;
}

/* End it one way or the other. */
static weir_status
end(PGconn *pg, weir_status status)
{
	if (status == WEIR_OK)
		return sql(pg, "COMMIT");
	(void)!sql(pg, "ROLLBACK");
	return status;
}

/* Order and job, or neither.  Workers hear of it with the commit. */
static weir_status
place_order(weir_store *store, PGconn *pg, weir_error *error)
{
	weir_insert job = WEIR_INSERT_INIT;
	weir_status status = sql(pg, "BEGIN");

	job.kind = "ship";
	job.args = "{\"order\":1}";
	if (status == WEIR_OK)
		status = sql(pg, "INSERT INTO orders VALUES (1, 0)");
	if (status == WEIR_OK)
		status = weir_fleet_insert_tx(store, pg, &job, 1, NULL, error);
	return end(pg, status);
}

/* The connection is used by one job at a time: there is one worker. */
static weir_status
ship(weir_ctx *ctx, const void *in, void *out, void *user)
{
	const weir_job_row *job = in;
	PGconn *pg = user;
	weir_error error = {WEIR_OK, 0, ""};
	weir_status status = sql(pg, "BEGIN");

	(void)out;
	if (status == WEIR_OK)
		status = sql(pg, "UPDATE orders SET parcels = parcels + 1");
	if (status == WEIR_OK && job->attempt == 1) {
		weir_job_retry_in(job, 0);
		status = weir_job_fail(ctx, WEIR_FAILED, "the lights went out");
	}
	if (status == WEIR_OK)
		status = weir_fleet_complete_tx(job, pg, &error);
	return end(pg, status);
}

static weir_status
work(weir_store *store, PGconn *pg, weir_error *error)
{
	weir_handler handler = {.size = sizeof(handler),
				.kind = "ship",
				.run = ship,
				.user = pg};
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

static weir_status
run(weir_store *store, PGconn *pg, weir_error *error)
{
	weir_status status =
		sql(pg, "CREATE TABLE orders (id bigint, parcels bigint)");

	if (status == WEIR_OK)
		status = place_order(store, pg, error);
	if (status == WEIR_OK)
		status = work(store, pg, error);
	if (status == WEIR_OK)
		status = sql(pg, "SELECT parcels, state, attempt"
				 " FROM orders o, river_job j"
				 " WHERE (j.args ->> 'order')::bigint = o.id");
	return status;
}

int
main(int argc, char **argv)
{
	weir_store_options options = WEIR_STORE_OPTIONS_INIT;
	weir_store *store = NULL;
	weir_error error = {WEIR_OK, 0, ""};
	PGconn *pg = NULL;
	weir_status status;

	options.url = argc > 1 ? argv[1] : "postgres://localhost/app";
	options.create = true;
	status = weir_fleet_open(&store, &options, &error);
	if (status == WEIR_OK) {
		pg = PQconnectdb(options.url);
		status = PQstatus(pg) == CONNECTION_OK ? run(store, pg, &error)
						       : WEIR_SYSTEM;
	}
	if (status != WEIR_OK)
		fprintf(stderr, "fleet: %s %s\n", error.message,
			pg ? PQerrorMessage(pg) : "");
	PQfinish(pg);
	weir_store_close(store);
	return status == WEIR_OK ? 0 : 1;
}
