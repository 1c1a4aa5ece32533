/*
 * The public calls of libweir-fleet (weir/fleet.h).
 *
 * Design.  A store is a table of functions, so all calls on it are
 * libweir-queue's.  Only what names libpq is here: opening one, and
 * connections of the caller's, of which libweir-queue need not know what they
 * are.
 *
 * Locking: none.
 */
#include <weir/fleet.h>

#include "base/assert.h"
#include "pg/pg.h"
#include "queue/options.h"
#include "queue/work_inside.h"

#include <string.h>

weir_status
weir_fleet_open(weir_store **out, const weir_store_options *options,
		weir_error *reterr)
{
	weir_store_options ours = {0};
	weir_error error;
	weir_status status;

	if (!reterr)
		reterr = &error;
	status = weir__store_options_take(&ours, out, options, reterr);
	if (status != WEIR_OK)
		return status;
	status = weir__pg_open(out, ours.url, &ours, reterr);
	weir_assert(status != WEIR_OK || (*out)->ops);
	return status;
}

/* A connection of one kind must not be taken for one of another. */
static weir_status
check_kind(const weir_store *store, weir_error *reterr)
{
	return strcmp(store->ops->name, "postgres") == 0
		       ? WEIR_OK
		       : weir__queue_error(reterr, WEIR_INVAL, 0,
					   "the store is not in PostgreSQL");
}

weir_status
weir_fleet_insert_tx(weir_store *store, PGconn *pg, const weir_insert *inserts,
		     size_t count, weir_inserted *rets, weir_error *reterr)
{
	weir_error error;
	weir_status status;

	if (!reterr)
		reterr = &error;
	status = check_kind(store, reterr);
	if (status != WEIR_OK)
		return status;
	return weir_store_insert_tx(store, (struct sqlite3 *)(void *)pg,
				    inserts, count, rets, reterr);
}

/* Whose job it is: job.c finds it in the same way. */
static const weir_store *
store_of(const weir_job_row *job)
{
	const char *at = (const char *)job - offsetof(struct weir_claim, row);
	const struct weir_held *held =
		((const struct weir_claim *)(const void *)at)->user;

	weir_assert(&held->claim->row == job);
	return held->work->store;
}

weir_status
weir_fleet_complete_tx(const weir_job_row *job, PGconn *pg, weir_error *reterr)
{
	weir_error error;
	weir_status status;

	if (!reterr)
		reterr = &error;
	status = check_kind(store_of(job), reterr);
	if (status != WEIR_OK)
		return status;
	return weir_job_complete_tx(job, (struct sqlite3 *)(void *)pg, reterr);
}
