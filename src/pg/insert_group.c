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
 * A transaction that was lost with its connection is sent again if it was not
 * committed; see insert_commit.c.
 *
 * Locking.  mu guards the line of requests, and is a leaf.  The leader holds
 * the mutex of the connection, and nobody who waits in line holds anything.
 */
#include "pg/insert.h"

#include "base/assert.h"
#include "base/list.h"
#include "queue/names.h"
#include "sync/park.h"

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

/* Once.  conn->lost: it was not committed, and is worth another try. */
static weir_status insert_once(struct pg_link *conn, struct pg_rows *rows,
			       weir_error *reterr) WEIR_REQUIRES(conn->mu);

static weir_status
insert_once(struct pg_link *conn, struct pg_rows *rows, weir_error *reterr)
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
		return weir__pg_rows_commit(conn, rows, reterr);
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
static weir_status insert_rows(struct pg_link *conn, struct pg_rows *rows,
			       weir_error *reterr) WEIR_REQUIRES(conn->mu);

static weir_status
insert_rows(struct pg_link *conn, struct pg_rows *rows, weir_error *reterr)
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
