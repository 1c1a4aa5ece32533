/*
 * Inserting: who comes together is sent together.
 *
 * Design.  A caller that finds nobody inserting leads: it takes all that wait,
 * sends them as one transaction and hands out the results.  Who comes
 * meanwhile waits, and the first of those leads next.  So a single caller
 * waits for nobody, and many callers share what a commit costs.  There is no
 * thread for it.  If all of them together fail for a reason that might be that
 * of one, each is tried by itself.
 *
 * Nothing is lost or doubled with a connection.  COMMIT is sent only after the
 * results of all else have come, ids and the transaction's number among them:
 *
 *      ──BEGIN, INSERT, NOTIFY──>   <──ids, xid──   ──COMMIT──>   <──OK──
 *              lost here: not committed, sent again      │
 *                              lost here: the database knows, by the xid
 *
 * One more round trip is the price, which callers that wait meanwhile share.
 * A number that the backend sends early would not do: it might be lost with
 * the connection, and the commit go on.  So it is COMMIT that has to wait.
 *
 * What the database knows by the number of a transaction holds as long as it
 * has not crashed since: one that was not on the disk by then is no more, and
 * its number is given out again.  So if it was started since, only a row of
 * ours, which is known by its id and its time, proves that we were committed.
 *
 * Locking.  mu guards the line of requests, and is a leaf.  The leader holds
 * the mutex of the connection, and nobody who waits in line holds anything.
 */
#include "pg/insert.h"

#include "base/assert.h"
#include "base/list.h"
#include "queue/names.h"
#include "sync/park.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What goes in together, unless a single caller wants more. */
#define GROUP_ROWS  10000
#define GROUP_BYTES (16 * 1024 * 1024)

#define KNOWN_MAX 8
#define KNOWN_NS  (60 * WEIR_S)

struct request {
	const struct weir_draft *drafts;
	size_t count;
	weir_inserted *rets;
	weir_ctx *ctx;
	weir_status status;
	weir_error error;
	struct weir_list link; /* in line, or in a group */
	struct weir_park park;
	bool leads; /* guarded by mu */
};

struct pg_inserts {
	/* guarded by mu */
	struct weir_mutex mu;
	struct weir_list line;
	bool busy; /* somebody leads */

	/* the leader's: queues that are there, for a while */
	char known[KNOWN_MAX][WEIR_QUEUE_NAME_MAX + 1];
	int64_t known_until_ns[KNOWN_MAX];
	unsigned known_next;
};

bool
weir__pg_inserts_new(struct weir_pg *store)
{
	struct pg_inserts *inserts = calloc(1, sizeof(*inserts));

	if (!inserts)
		return false;
	weir__mutex_init(&inserts->mu);
	weir__list_init(&inserts->line);
	store->inserts = inserts;
	return true;
}

void
weir__pg_inserts_free(struct weir_pg *store)
{
	if (!store->inserts)
		return;
	weir_assert(!store->inserts->busy);
	weir__mutex_fini(&store->inserts->mu);
	free(store->inserts);
	store->inserts = NULL;
}

/*
 * Queues.  A row that is there stays, but for River's cleaner, which takes
 * those that nobody has worked for a day.
 */
static bool
is_known(const struct pg_inserts *inserts, const struct weir_draft *draft,
	 int64_t now_ns)
{
	for (int i = 0; i < KNOWN_MAX; i++)
		if (inserts->known_until_ns[i] > now_ns &&
		    strlen(inserts->known[i]) == draft->queue_len &&
		    memcmp(inserts->known[i], draft->queue, draft->queue_len) ==
			    0)
			return true;
	return false;
}

static bool
are_known(const struct pg_inserts *inserts, const struct pg_rows *rows)
{
	int64_t now_ns = weir_now_ns();

	for (size_t i = 0; i < rows->queue_count; i++)
		if (!is_known(inserts, rows->all[rows->queues[i]].draft,
			      now_ns))
			return false;
	return true;
}

static void
note_known(struct pg_inserts *inserts, const struct pg_rows *rows)
{
	int64_t now_ns = weir_now_ns();

	for (size_t i = 0; i < rows->queue_count && i < KNOWN_MAX; i++) {
		const struct weir_draft *draft =
			rows->all[rows->queues[i]].draft;
		unsigned at = inserts->known_next;

		if (is_known(inserts, draft, now_ns) ||
		    draft->queue_len >= sizeof(inserts->known[at]))
			continue;
		memcpy(inserts->known[at], draft->queue, draft->queue_len);
		inserts->known[at][draft->queue_len] = '\0';
		inserts->known_until_ns[at] = now_ns + KNOWN_NS;
		inserts->known_next = (at + 1) % KNOWN_MAX;
	}
}

/*
 * Was it committed?
 *
 * Our old session is ended if it is still there; then it has ended one way or
 * the other.  The order of the two statements matters: a number that is not
 * ended by now and that no session has is of before a crash.
 */
static const struct pg_sql end_session = {
	"insert_end",
	"SELECT count(*) FILTER (WHERE pg_terminate_backend(pid))"
	" FROM pg_stat_activity"
	" WHERE pid = $1 AND backend_xid = ($2::int8 % 4294967296)::text::xid"};
static const struct pg_sql ask_status = {
	"insert_status",
	"SELECT CASE WHEN $1::int8::text::xid8 <"
	"  pg_snapshot_xmax(pg_current_snapshot())"
	"  THEN pg_xact_status($1::int8::text::xid8)"
	"  ELSE 'in progress' END,"
	" EXISTS (SELECT FROM @river_job WHERE id = $2"
	"  AND date_trunc('milliseconds', created_at) = $3::timestamptz),"
	" greatest(pg_postmaster_start_time(),"
	"  (SELECT stats_reset FROM pg_stat_bgwriter)) >= $4::timestamptz"};

/* A row that was new, and the time that it was created at. */
static void
put_proof(struct pg_params *p, const struct pg_rows *rows)
{
	int64_t id = 0, at_ms = rows->at_ms;

	for (size_t i = 0; i < rows->count && id == 0; i++)
		if (!rows->all[i].made.duplicate) {
			id = rows->all[i].made.id;
			if (rows->store->has_clock)
				at_ms = rows->all[i].draft->created_at_ms;
		}
	weir__pg_int8(p, id);
	weir__pg_time(p, at_ms);
	weir__pg_time(p, rows->at_ms);
}

enum outcome { NOT_COMMITTED, COMMITTED, NOT_YET, NOT_KNOWN };

static enum outcome
outcome_of(PGresult *const results[2])
{
	size_t len;
	const char *status = weir__pg_get_text(results[1], 0, 0, &len);
	bool found = weir__pg_get_bool(results[1], 0, 1);
	bool restarted = weir__pg_get_bool(results[1], 0, 2);

	if (found)
		return COMMITTED;
	if (len == strlen("in progress"))
		return weir__pg_get_int(results[0], 0, 0) > 0 ? NOT_YET
							      : NOT_COMMITTED;
	if (len == strlen("aborted") && memcmp(status, "aborted", len) == 0)
		return NOT_COMMITTED;
	if (len == strlen("committed") && !restarted)
		return COMMITTED;
	return NOT_KNOWN;
}

static enum outcome ask_outcome(struct pg_conn *conn,
				const struct pg_rows *rows, int pid)
	WEIR_REQUIRES(conn->mu);

static enum outcome
ask_outcome(struct pg_conn *conn, const struct pg_rows *rows, int pid)
{
	struct pg_params p = {0}, q = {0};
	PGresult *results[2] = {NULL, NULL};
	enum outcome outcome = NOT_YET;
	weir_error error;

	if (weir__pg_ready(conn, &error) != WEIR_OK)
		return NOT_YET;
	weir__pg_begin(&p);
	weir__pg_int4(&p, pid);
	weir__pg_int8(&p, rows->xid);
	weir__pg_begin(&q);
	weir__pg_int8(&q, rows->xid);
	put_proof(&q, rows);
	weir__pg_send(conn, &end_session, &p);
	weir__pg_send(conn, &ask_status, &q);
	if (weir__pg_sync(conn, results, &error) == WEIR_OK)
		outcome = outcome_of(results);
	PQclear(results[0]);
	PQclear(results[1]);
	weir__pg_params_fini(&p);
	weir__pg_params_fini(&q);
	return outcome;
}

/*
 * The connection was lost with the COMMIT.  Until the database is there again
 * or for as long as it may be busy, and a little.
 */
static weir_status settle(struct pg_conn *conn, const struct pg_rows *rows,
			  int pid, weir_error *reterr) WEIR_REQUIRES(conn->mu);

static weir_status
settle(struct pg_conn *conn, const struct pg_rows *rows, int pid,
       weir_error *reterr)
{
	int64_t deadline_ns =
		weir_now_ns() + conn->store->busy_ns + 20 * WEIR_S;
	int64_t pause_ns = 2 * WEIR_MS;
	enum outcome outcome;
	struct weir_park nobody;

	while ((outcome = ask_outcome(conn, rows, pid)) == NOT_YET &&
	       weir_now_ns() < deadline_ns) {
		weir__park_init(&nobody);
		(void)weir__park_wait(&nobody, weir_now_ns() + pause_ns);
		pause_ns = pause_ns < WEIR_S ? pause_ns * 2 : WEIR_S;
	}
	switch (outcome) {
	case COMMITTED:
		return WEIR_OK;
	case NOT_COMMITTED:
		conn->lost = true; /* worth another try */
		return reterr->status;
	case NOT_YET:
	case NOT_KNOWN:
		break;
	}
	conn->lost = false;
	return weir__queue_error(reterr, WEIR_SYSTEM, 0,
				 "the connection was lost, and whether the "
				 "jobs were inserted is not known");
}

static weir_status commit(struct pg_conn *conn, const struct pg_rows *rows,
			  weir_error *reterr) WEIR_REQUIRES(conn->mu);

static weir_status
commit(struct pg_conn *conn, const struct pg_rows *rows, weir_error *reterr)
{
	int pid = PQbackendPID(conn->pg);
	struct pg_params none = {0};
	weir_status status;

	status =
		weir__pg_query(conn, &weir__pg_commit_sql, &none, NULL, reterr);
	if (status != WEIR_OK && conn->lost)
		return settle(conn, rows, pid, reterr);
	return status;
}

/* Once.  conn->lost: it was not committed, and is worth another try. */
static weir_status insert_once(struct pg_conn *conn, struct pg_rows *rows,
			       weir_error *reterr) WEIR_REQUIRES(conn->mu);

static weir_status
insert_once(struct pg_conn *conn, struct pg_rows *rows, weir_error *reterr)
{
	struct pg_params none = {0};
	weir_status status = weir__pg_ready(conn, reterr);

	conn->lost = false;
	if (status != WEIR_OK)
		return status;
	rows->no_queues = are_known(conn->store->inserts, rows);
	weir__pg_send(conn, &weir__pg_begin_sql, &none);
	status = weir__pg_rows_send(conn, rows, reterr);
	if (status == WEIR_OK)
		return commit(conn, rows, reterr);
	weir__pg_rollback(conn);
	return status;
}

/* As if nothing had been sent. */
static void
rewind_rows(struct pg_rows *rows)
{
	rows->at = rows->step = rows->chunk_count = 0;
	rows->told = false;
	for (size_t i = 0; i < rows->count; i++)
		rows->all[i].taken = false;
}

/*
 * A connection that was idle may be gone without anybody having noticed, and
 * two that insert the same keys may be in each other's way.
 */
static weir_status insert_rows(struct pg_conn *conn, struct pg_rows *rows,
			       weir_error *reterr) WEIR_REQUIRES(conn->mu);

static weir_status
insert_rows(struct pg_conn *conn, struct pg_rows *rows, weir_error *reterr)
{
	weir_status status = WEIR_OK;

	for (int i = 0; i < 3; i++) {
		rewind_rows(rows);
		status = insert_once(conn, rows, reterr);
		if (status == WEIR_OK)
			note_known(conn->store->inserts, rows);
		if (status != WEIR_BUSY &&
		    !(status == WEIR_SYSTEM && conn->lost))
			break;
	}
	return status;
}

static struct request *
request_of(struct weir_list *l)
{
	return weir_container_of(l, struct request, link);
}

static void
hand_out(struct weir_list *group, const struct pg_rows *rows)
{
	size_t at = 0;

	for (struct weir_list *l = group->next; l != group; l = l->next) {
		struct request *request = request_of(l);

		for (size_t i = 0; i < request->count; i++, at++)
			if (request->rets)
				request->rets[i] = rows->all[at].made;
		request->status = WEIR_OK;
	}
}

static weir_status
try_group(struct weir_pg *store, struct weir_list *group, weir_error *reterr)
{
	struct pg_rows rows;
	size_t count = 0;
	weir_status status;

	for (struct weir_list *l = group->next; l != group; l = l->next)
		count += request_of(l)->count;
	status = weir__pg_rows_init(&rows, store, count, reterr);
	if (status != WEIR_OK)
		return status;
	for (struct weir_list *l = group->next; l != group; l = l->next)
		for (size_t i = 0; i < request_of(l)->count; i++)
			weir__pg_rows_add(&rows, &request_of(l)->drafts[i]);
	weir__pg_rows_plan(&rows);
	weir__mutex_lock(&store->insert.mu);
	status = insert_rows(&store->insert, &rows, reterr);
	weir__mutex_unlock(&store->insert.mu);
	if (status == WEIR_OK)
		hand_out(group, &rows);
	weir__pg_rows_fini(&rows);
	return status;
}

static void
fail_all(struct weir_list *group, weir_status status, const weir_error *error)
{
	for (struct weir_list *l = group->next; l != group; l = l->next) {
		request_of(l)->status = status;
		request_of(l)->error = *error;
	}
}

/* Each by itself, after all together have failed. */
static void
try_each(struct weir_pg *store, struct weir_list *group)
{
	struct weir_list done, one, *l;
	weir_error error = {WEIR_OK, 0, ""};

	weir__list_init(&done);
	weir__list_init(&one);
	while ((l = weir__list_pop(group))) {
		weir_status status;

		weir__list_append(&one, l);
		status = try_group(store, &one, &error);
		if (status != WEIR_OK)
			fail_all(&one, status, &error);
		weir__list_remove(l);
		weir__list_append(&done, l);
	}
	while ((l = weir__list_pop(&done)))
		weir__list_append(group, l);
}

static void
do_group(struct weir_pg *store, struct weir_list *group)
{
	weir_error error = {WEIR_OK, 0, ""};
	bool alone = group->next->next == group;
	weir_status status = try_group(store, group, &error);

	if (status == WEIR_OK)
		return;
	/* A database that is not there is not there for each of them. */
	if (alone || status == WEIR_BUSY || !store->insert.pg)
		fail_all(group, status, &error);
	else
		try_each(store, group);
}

static size_t
bytes_of(const struct request *request)
{
	size_t bytes = 0;

	for (size_t i = 0; i < request->count; i++)
		bytes += request->drafts[i].args_len +
			 request->drafts[i].metadata_len;
	return bytes;
}

/* Signal under mu, which the owner takes before it goes. */
static void signal_one(struct pg_inserts *inserts, struct request *request)
	WEIR_REQUIRES(inserts->mu);

static void
signal_one(struct pg_inserts *inserts, struct request *request)
{
	struct weir_park *park = &request->park;

	(void)inserts;
	if (weir__park_signal(park))
		weir__park_kick(park);
}

/* Whose caller wants it no more by now is answered, and not begun. */
static void
take_group(struct pg_inserts *inserts, struct weir_list *group,
	   struct weir_list *given_up)
{
	size_t rows = 0, bytes = 0;

	weir__mutex_lock(&inserts->mu);
	while (!weir__list_empty(&inserts->line) && rows < GROUP_ROWS &&
	       bytes < GROUP_BYTES) {
		struct request *request = request_of(inserts->line.next);

		if (rows > 0 && rows + request->count > GROUP_ROWS)
			break;
		weir__list_remove(&request->link);
		request->status =
			request->ctx ? weir_ctx_status(request->ctx) : WEIR_OK;
		if (request->status != WEIR_OK) {
			(void)weir__queue_error(&request->error,
						request->status, 0,
						"it was not begun");
			weir__list_append(given_up, &request->link);
			continue;
		}
		rows += request->count;
		bytes += bytes_of(request);
		weir__list_append(group, &request->link);
	}
	weir__mutex_unlock(&inserts->mu);
}

/* Answer these, but for the leader itself. */
static void answer(struct pg_inserts *inserts, struct weir_list *group,
		   struct request *me) WEIR_REQUIRES(inserts->mu);

static void
answer(struct pg_inserts *inserts, struct weir_list *group, struct request *me)
{
	struct weir_list *l;

	while ((l = weir__list_pop(group)))
		if (request_of(l) != me)
			signal_one(inserts, request_of(l));
}

/* me is the first in line. */
static void
lead(struct weir_pg *store, struct request *me)
{
	struct pg_inserts *inserts = store->inserts;
	struct weir_list group, given_up;

	weir__list_init(&group);
	weir__list_init(&given_up);
	take_group(inserts, &group, &given_up);
	if (!weir__list_empty(&group))
		do_group(store, &group);
	weir__mutex_lock(&inserts->mu);
	answer(inserts, &group, me);
	answer(inserts, &given_up, me);
	inserts->busy = !weir__list_empty(&inserts->line);
	if (inserts->busy) {
		request_of(inserts->line.next)->leads = true;
		signal_one(inserts, request_of(inserts->line.next));
	}
	weir__mutex_unlock(&inserts->mu);
}

weir_status
weir__pg_insert(weir_store *store, const struct weir_draft *drafts,
		size_t count, weir_inserted *rets, weir_ctx *ctx,
		weir_error *reterr)
{
	struct pg_inserts *inserts = weir__pg_of(store)->inserts;
	struct request me = {.drafts = drafts,
			     .count = count,
			     .rets = rets,
			     .ctx = ctx,
			     .status = WEIR_SYSTEM};
	bool leads;

	weir_assert(count > 0);
	weir__park_init(&me.park);
	weir__mutex_lock(&inserts->mu);
	weir__list_append(&inserts->line, &me.link);
	leads = me.leads = !inserts->busy;
	inserts->busy = true;
	weir__mutex_unlock(&inserts->mu);
	if (!leads) {
		weir__park_wait(&me.park, WEIR_FOREVER);
		weir__mutex_lock(&inserts->mu);
		leads = me.leads;
		weir__mutex_unlock(&inserts->mu);
	}
	if (leads)
		lead(weir__pg_of(store), &me);
	if (me.status != WEIR_OK)
		*reterr = me.error;
	return me.status;
}
