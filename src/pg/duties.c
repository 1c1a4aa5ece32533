/*
 * What the leader does, and nobody else: River's own upkeep of its tables.
 *
 * Design.  As long as one of us leads, no client of River's does this, and it
 * is for them as well:
 *
 *      each 2 s    jobs that are due, of whichever queue, become available
 *      each 30 s   jobs that are not ours and have run for an hour are rescued
 *      each hour   queues of which nobody has heard for a day are forgotten
 *      midnight    the indexes of river_job are built anew
 *
 * River's clients tell nobody that they are alive, so its rule for what is
 * stuck is a time: an hour.  What has an owner of ours is never touched by it,
 * however long it runs; see rescue in upkeep.c.  Nothing is discarded for its
 * kind.
 *
 * Indexes of a queue grow by what was deleted.  They are rebuilt one by one on
 * a connection of its own, which the leader's thread looks at now and then, for
 * a re-election cannot wait for that.  A rebuild that is cut short leaves an
 * index that is not valid and costs as much as a good one; so we drop it again.
 *
 * Locking: none of its own.  All of it is the leader's thread's.
 */
#include "pg/leader.h"

#include "base/assert.h"
#include "pg/turn.h"

#include <stdio.h>
#include <string.h>

#define PROMOTE_NS    (2 * WEIR_S)
#define PROMOTE_LIMIT 10000
#define RESCUE_NS     (30 * WEIR_S)
#define QUEUES_NS     (3600 * WEIR_S)
#define FIRST_NS      WEIR_S
#define DAY_MS        INT64_C(86400000)
#define LIMIT         1000
#define SHORT_NS      (5 * WEIR_MS)

#define NOW(n) "coalesce($" n "::timestamptz, now())"

/* One that is paused is kept: nobody would know any more that it is. */
static const struct pg_sql queues_sql = {
	"duty_queues",
	"DELETE FROM @river_queue WHERE name = ANY (ARRAY(SELECT q.name FROM"
	" @river_queue q WHERE q.updated_at < " NOW(
		"1") " - interval '1 day'"
		     " AND q.paused_at IS NULL ORDER BY q.name LIMIT $2"
		     " FOR UPDATE SKIP LOCKED))"};

#define OVER "(j.attempt >= j.max_attempts)"

/* As many seconds as the errors to the fourth: River's own curve. */
#define AGAIN                                                    \
	NOW("1")                                                 \
	" + least(power(coalesce(cardinality(j.errors), 0) + 1," \
	" 4) * (0.9 + 0.2 * random()), 1e9) * interval '1 second'"

#define COUNTED                                                             \
	"CASE WHEN jsonb_typeof(j.metadata) = 'object' THEN j.metadata"     \
	" ELSE '{}'::jsonb END || jsonb_build_object('river:rescue_count'," \
	" CASE WHEN jsonb_typeof(j.metadata -> 'river:rescue_count')"       \
	" = 'number' THEN (j.metadata ->> 'river:rescue_count')::numeric"   \
	" ELSE 0 END + 1)"

static const struct pg_sql rescue_sql = {
	"duty_rescue",
	"WITH stuck AS MATERIALIZED (SELECT j.id FROM @river_job j"
	" WHERE j.state = 'running'"
	" AND j.attempted_at < " NOW(
		"1") " - interval '1 hour'"
		     " AND NOT EXISTS (SELECT 1 FROM @weir_client c"
		     "  WHERE c.name || '#' || c.id = " LAST_BY " OFFSET 0)"
		     " ORDER BY j.id LIMIT $2 FOR UPDATE OF j SKIP LOCKED)"
		     " UPDATE @river_job j SET"
		     " state = CASE WHEN " IS_CANCELLED " THEN 'cancelled'"
		     " WHEN " OVER " THEN 'discarded'"
		     " ELSE 'retryable' END::@river_job_state,"
		     " finalized_at = CASE WHEN " IS_CANCELLED " OR " OVER
		     " THEN " NOW(
			     "1") " END,"
				  " scheduled_at = CASE WHEN " IS_CANCELLED
				  " OR " OVER " THEN j.scheduled_at ELSE " AGAIN
				  " END,"
				  " errors = array_append(j.errors, "
				  "jsonb_build_object("
				  "'at', to_char(" NOW(
					  "1") " AT TIME ZONE 'UTC',"
					       " 'YYYY-MM-DD\"T\"HH24:MI:SS."
					       "US\"Z\"'),"
					       " 'attempt', "
					       "greatest(j.attempt, 0),"
					       " 'error', 'Stuck job rescued "
					       "by JobRescuer', 'trace', '')),"
					       " metadata = " COUNTED ","
					       " unique_key = CASE WHEN "
					       "NOT " KEY_IS_TAKEN
					       " THEN j.unique_key END,"
					       " unique_states = CASE WHEN "
					       "NOT " KEY_IS_TAKEN
					       " THEN j.unique_states END"
					       " WHERE j.id = ANY "
					       "(ARRAY(SELECT id FROM stuck))"
					       " AND j.state::text = "
					       "'running'"};

static weir_status
run_limited(struct weir_pg *store, const struct pg_sql *sql,
	    uint64_t *ret_count, weir_error *reterr)
{
	struct pg_params p = {0};
	PGresult *result = NULL;
	weir_status status;

	weir__pg_begin(&p);
	weir__pg_now(&p, store);
	weir__pg_int8(&p, LIMIT);
	status = weir__pg_ask(&store->admin, sql, &p, &result, reterr);
	if (status == WEIR_OK)
		*ret_count = weir__pg_changed(result);
	PQclear(result);
	weir__pg_params_fini(&p);
	return status;
}

weir_status
weir__pg_clean_queues(struct weir_pg *store, uint64_t *ret_count,
		      weir_error *reterr)
{
	return run_limited(store, &queues_sql, ret_count, reterr);
}

weir_status
weir__pg_rescue_foreign(struct weir_pg *store, uint64_t *ret_count,
			weir_error *reterr)
{
	*ret_count = 0;
	if (store->leaves_foreign)
		return WEIR_OK;
	return run_limited(store, &rescue_sql, ret_count, reterr);
}

/*
 * The indexes of river_job, unless somebody else is rebuilding them or has left
 * something behind.
 */
static const char indexes_text[] =
	"SELECT c.relname FROM pg_index i JOIN pg_class c"
	" ON c.oid = i.indexrelid WHERE i.indrelid = '%sriver_job'::regclass"
	" AND i.indisvalid AND NOT EXISTS (SELECT 1 FROM pg_index o"
	" JOIN pg_class n ON n.oid = o.indexrelid WHERE o.indrelid ="
	" i.indrelid AND n.relname ~ '_cc(new|old)[0-9]*$') ORDER BY 1";

static void
reindex_end(struct pg_duties *d)
{
	PGcancel *cancel;
	char why[64];

	if (!d->reindex)
		return;
	cancel = PQtransactionStatus(d->reindex) == PQTRANS_ACTIVE
			 ? PQgetCancel(d->reindex)
			 : NULL;
	if (cancel)
		(void)PQcancel(cancel, why, sizeof(why));
	PQfreeCancel(cancel);
	PQclear(d->indexes);
	PQfinish(d->reindex);
	d->reindex = NULL;
	d->indexes = NULL;
}

/* The next one, or what was left of this one.  False: that was all. */
static bool
reindex_send(struct weir_pg *store, struct pg_duties *d, bool is_dropping)
{
	char name[80], text[256], *quoted;

	if (d->index_at >= PQntuples(d->indexes))
		return false;
	snprintf(name, sizeof(name), "%.58s%s",
		 PQgetvalue(d->indexes, d->index_at, 0),
		 is_dropping ? "_ccnew" : "");
	quoted = PQescapeIdentifier(d->reindex, name, strlen(name));
	if (!quoted)
		return false;
	snprintf(text, sizeof(text), "%s INDEX CONCURRENTLY %s%s%s",
		 is_dropping ? "DROP" : "REINDEX",
		 is_dropping ? "IF EXISTS " : "", store->prefix, quoted);
	PQfreemem(quoted);
	d->is_dropping = is_dropping;
	return PQsendQuery(d->reindex, text) == 1;
}

/* It waits for whoever has an old snapshot, and nobody for it. */
static const struct pg_setting settings[] = {
	{"statement_timeout", "60s"}, {"lock_timeout", "0"}, {NULL, NULL}};

static void
reindex_begin(struct weir_pg *store, struct pg_duties *d)
{
	char text[sizeof(indexes_text) + sizeof(store->prefix)];
	weir_error error = {0};

	/* It cannot be in a transaction, which could say how long it may take.
	 */
	if (d->reindex || store->is_pooled)
		return;
	d->reindex = weir__pg_connect(store, "reindex", settings, &error);
	if (!d->reindex)
		return;
	snprintf(text, sizeof(text), indexes_text, store->prefix);
	d->indexes = PQexec(d->reindex, text);
	d->index_at = 0;
	if (PQresultStatus(d->indexes) != PGRES_TUPLES_OK ||
	    !reindex_send(store, d, false))
		reindex_end(d);
}

/* Is the one that was sent done? */
static void
reindex_look(struct weir_pg *store, struct pg_duties *d)
{
	bool failed = PQconsumeInput(d->reindex) != 1, goes_on;
	PGresult *result;

	if (!failed && PQisBusy(d->reindex))
		return;
	while (!failed && (result = PQgetResult(d->reindex)) != NULL) {
		failed = PQresultStatus(result) != PGRES_COMMAND_OK;
		PQclear(result);
	}
	if (PQstatus(d->reindex) != CONNECTION_OK) {
		reindex_end(d);
		return;
	}
	if (failed && !d->is_dropping) {
		goes_on = reindex_send(store, d, true);
	} else {
		d->index_at++;
		/* What could not even be dropped is for somebody to see. */
		goes_on = !failed && reindex_send(store, d, false);
	}
	if (!goes_on)
		reindex_end(d);
}

void
weir__pg_duties_begin(struct weir_pg *store, struct pg_duties *d,
		      int64_t now_ns)
{
	int64_t now_ms = weir__store_now_ms(&store->base);

	*d = (struct pg_duties){.queues_at_ns = now_ns + FIRST_NS,
				.rescue_at_ns = now_ns + FIRST_NS,
				.promote_at_ns = now_ns + FIRST_NS,
				.reindex_at_ms =
					(now_ms / DAY_MS + 1) * DAY_MS};
}

void
weir__pg_duties_end(struct pg_duties *d)
{
	reindex_end(d);
}

int
weir__pg_duties_fd(const struct pg_duties *d)
{
	return d->reindex ? PQsocket(d->reindex) : -1;
}

static int64_t
earlier(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

/* When it is due again: sooner if there is known to be something then. */
static int64_t
promote(struct weir_pg *store, int64_t now_ns)
{
	int64_t now_ms = weir__store_now_ms(&store->base), next_ms = INT64_MAX;
	weir_error error = {0};
	uint32_t count = 0;

	if (weir__pg_promote(&store->base, PROMOTE_LIMIT, &count, &next_ms,
			     &error) != WEIR_OK ||
	    next_ms > now_ms + PROMOTE_NS / WEIR_MS)
		return now_ns + PROMOTE_NS;
	/* What another has locked is not tried again at once. */
	if (next_ms <= now_ms && count < PROMOTE_LIMIT)
		return now_ns + PROMOTE_NS / 2;
	/* A clock may stand still, or go another way than ours. */
	return now_ns + (next_ms > now_ms ? (next_ms - now_ms) * WEIR_MS : 0) +
	       SHORT_NS;
}

int64_t
weir__pg_duties_run(struct weir_pg *store, struct pg_duties *d, int64_t now_ns)
{
	int64_t now_ms = weir__store_now_ms(&store->base), next_ns;
	weir_error error = {0};
	uint64_t count = 0;

	if (now_ns >= d->promote_at_ns)
		d->promote_at_ns = promote(store, now_ns);
	if (now_ns >= d->rescue_at_ns) {
		d->rescue_at_ns = now_ns + RESCUE_NS;
		(void)!weir__pg_rescue_foreign(store, &count, &error);
		if (count == LIMIT)
			d->rescue_at_ns = now_ns;
	}
	if (now_ns >= d->queues_at_ns) {
		count = 0;
		(void)!weir__pg_clean_queues(store, &count, &error);
		d->queues_at_ns = count == LIMIT ? now_ns : now_ns + QUEUES_NS;
	}
	if (now_ms >= d->reindex_at_ms) {
		d->reindex_at_ms = (now_ms / DAY_MS + 1) * DAY_MS;
		reindex_begin(store, d);
	}
	if (d->reindex)
		reindex_look(store, d);
	next_ns = earlier(d->promote_at_ns, d->rescue_at_ns);
	return earlier(next_ns, d->queues_at_ns);
}
