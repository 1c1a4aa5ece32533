/*
 * Holds: whose they are, how they begin and go back, which kinds may be held.
 *
 * Design.  A hold is its owner's from the turn that makes it to the turn that
 * ends it.  Somebody else may end it earlier: whoever is about to change a job
 * that we hold ourselves would wait for us, and we for him, so all of it is
 * claimed first, as if its time were up.
 *
 * Locking.  Each connection's mu, and holds.mu, which is a leaf; two of the
 * first are held at once by nobody but hold_exchange.c.
 */
#include "pg/hold.h"

#include "base/assert.h"

#include <stdlib.h>
#include <string.h>

/* A process that hangs is not to keep what it holds for long. */
static const struct pg_setting settings[] = {
	{"idle_in_transaction_session_timeout", "10s"},
	/* Well below what a beat may be late. */
	{"lock_timeout", "3s"},
	{NULL, NULL}};

static const struct pg_sql rollback_sql = {"hold_rollback", "ROLLBACK"};

static const struct pg_sql forget_sql = {
	"hold_forget",
	"DELETE FROM @weir_hold WHERE client = $1 AND number = $2"};

bool
weir__pg_holds_new(struct weir_pg *store)
{
	struct pg_holds *holds = calloc(1, sizeof(*holds));

	if (!holds)
		return false;
	weir__mutex_init(&holds->mu);
	for (size_t i = 0; i < PG_HOLDS; i++)
		weir__pg_conn_init(&holds->all[i].conn, store, "hold",
				   settings);
	store->holds = holds;
	return true;
}

void
weir__pg_holds_free(struct weir_pg *store)
{
	struct pg_holds *holds = store->holds;

	if (!holds)
		return;
	for (size_t i = 0; i < PG_HOLDS; i++) {
		struct pg_hold *hold = &holds->all[i];

		weir__pg_conn_fini(&hold->conn);
		weir__buf_fini(&hold->kinds);
		free(hold->jobs);
	}
	weir__mutex_fini(&holds->mu);
	free(holds);
	store->holds = NULL;
}

struct pg_hold *
weir__pg_hold_take(struct pg_holds *holds, int64_t owner)
{
	struct pg_hold *ret = NULL;

	weir_assert(owner != 0);
	weir__mutex_lock(&holds->mu);
	for (size_t i = 0; i < PG_HOLDS && !ret; i++)
		if (holds->all[i].owner == 0)
			ret = &holds->all[i];
	if (ret)
		ret->owner = owner;
	weir__mutex_unlock(&holds->mu);
	return ret;
}

void
weir__pg_hold_give_back(struct pg_holds *holds, struct pg_hold *hold)
{
	weir__mutex_lock(&holds->mu);
	hold->owner = 0;
	weir__mutex_unlock(&holds->mu);
}

size_t
weir__pg_holds_of(struct pg_holds *holds, int64_t owner,
		  struct pg_hold *rets[PG_HOLDS])
{
	size_t count = 0;

	weir__mutex_lock(&holds->mu);
	for (size_t i = 0; i < PG_HOLDS; i++)
		if (holds->all[i].owner == owner)
			rets[count++] = &holds->all[i];
	weir__mutex_unlock(&holds->mu);
	return count;
}

struct pg_hold_job *
weir__pg_hold_find(const struct pg_hold *hold, int64_t id)
{
	size_t low = 0, high = hold->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (hold->jobs[middle].id == id)
			return &hold->jobs[middle];
		if (hold->jobs[middle].id < id)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

void
weir__pg_hold_abandon(struct pg_hold *hold, struct pg_link *conn)
{
	struct pg_params p = {0};
	weir_error error = {0};

	hold->open = false;
	hold->count = 0;
	if (!conn->pg)
		return;
	weir__pg_begin(&p);
	if (weir__pg_query(conn, &rollback_sql, &p, NULL, &error) != WEIR_OK)
		weir__pg_disconnect(conn);
}

void
weir__pg_hold_forget(struct weir_pg *store, int64_t client, int64_t number)
{
	struct pg_params p = {0};
	PGresult *result = NULL;
	weir_error error = {0};
	weir_status status;

	weir__pg_begin(&p);
	weir__pg_int8(&p, client);
	weir__pg_int8(&p, number);
	status = weir__pg_ask(&store->work, &forget_sql, &p, &result, &error);
	if (status != WEIR_OK || weir__pg_changed(result) == 0)
		weir__pg_doom(store->holds, client);
	PQclear(result);
	weir__pg_params_fini(&p);
}

void
weir__pg_doom(struct pg_holds *holds, int64_t owner)
{
	weir__mutex_lock(&holds->mu);
	holds->doomed[holds->doomed_at++ % PG_DOOMED_MAX] = owner;
	weir__mutex_unlock(&holds->mu);
}

bool
weir__pg_is_doomed(struct pg_holds *holds, int64_t owner)
{
	bool ret = false;

	weir__mutex_lock(&holds->mu);
	for (size_t i = 0; i < PG_DOOMED_MAX; i++)
		ret |= holds->doomed[i] == owner;
	weir__mutex_unlock(&holds->mu);
	return ret;
}

void
weir__pg_holds_drop(struct weir_pg *store, int64_t owner)
{
	struct pg_hold *mine[PG_HOLDS];
	size_t count = 0;

	if (owner)
		count = weir__pg_holds_of(store->holds, owner, mine);
	for (size_t i = 0; i < count; i++) {
		struct pg_hold *hold = mine[i];
		struct pg_link *conn = &hold->conn;

		weir__mutex_lock(&conn->mu);
		if (hold->open ||
		    (conn->pg && PQtransactionStatus(conn->pg) != PQTRANS_IDLE))
			weir__pg_hold_abandon(hold, conn);
		weir__mutex_unlock(&conn->mu);
		weir__pg_hold_give_back(store->holds, hold);
	}
}

static bool spill(struct pg_hold *hold, struct pg_turn *t)
	WEIR_REQUIRES(t->conn->mu);

static bool
holds_any(const struct pg_hold *hold, const int64_t *ids, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (weir__pg_hold_find(hold, ids[i]))
			return true;
	return false;
}

static const char *
kind_of(const struct pg_hold *hold, int64_t id)
{
	const struct pg_hold_job *job = weir__pg_hold_find(hold, id);

	weir_assert(job);
	return hold->kinds.data + job->kind;
}

/* What its owner has told is of its turn, which is over.  False: lost. */
static bool
spill(struct pg_hold *hold, struct pg_turn *t)
{
	weir_error error = {0};
	bool ok = t->conn->pg && PQstatus(t->conn->pg) == CONNECTION_OK;

	for (size_t i = 0; i < hold->count; i++)
		hold->jobs[i].told = PG_UNTOLD;
	if (ok) {
		weir__pg_hold_send_end(hold, t, NULL);
		ok = weir__pg_sync(t->conn, t->results, &error) == WEIR_OK;
	}
	for (size_t i = 0; ok && i < t->sent; i++)
		PQclear(t->results[i]);
	weir__pg_params_fini(&t->p);
	if (!ok)
		weir__pg_hold_abandon(hold, t->conn);
	weir__pg_trial_over(t->store->holds, hold);
	hold->open = false;
	return ok;
}

void
weir__pg_trial_over(struct pg_holds *holds, const struct pg_hold *hold)
{
	if (hold->trial)
		weir__pg_long_tried(holds, hold->kinds.data, true);
}

static bool
is_anybodys(struct pg_holds *holds, const struct pg_hold *hold)
{
	bool ret;

	weir__mutex_lock(&holds->mu);
	ret = hold->owner != 0;
	weir__mutex_unlock(&holds->mu);
	return ret;
}

void
weir__pg_holds_spill(struct weir_pg *store, const int64_t *ids, size_t count,
		     bool is_long)
{
	for (size_t i = 0; i < PG_HOLDS; i++) {
		struct pg_hold *hold = &store->holds->all[i];
		struct pg_turn t = {.store = store, .conn = &hold->conn};
		int64_t client = 0, number = 0;

		if (!is_anybodys(store->holds, hold))
			continue;
		weir__mutex_lock(&t.conn->mu);
		if (hold->open && holds_any(hold, ids, count)) {
			if (is_long)
				weir__pg_long_note(store->holds,
						   kind_of(hold, ids[0]));
			if (!spill(hold, &t)) {
				client = hold->client;
				number = hold->number;
			}
		}
		weir__mutex_unlock(&t.conn->mu);
		if (client)
			weir__pg_hold_forget(store, client, number);
	}
}

static struct pg_long *find_long(struct pg_holds *holds, const char *kind)
	WEIR_REQUIRES(holds->mu);

static struct pg_long *
find_long(struct pg_holds *holds, const char *kind)
{
	for (size_t i = 0; i < holds->long_count; i++)
		if (strcmp(holds->longs[i].kind, kind) == 0)
			return &holds->longs[i];
	return NULL;
}

/* With too many, the one whose time is over first is forgotten. */
void
weir__pg_long_note(struct pg_holds *holds, const char *kind)
{
	struct pg_long *entry;

	if (strlen(kind) >= PG_NAME_MAX)
		return;
	weir__mutex_lock(&holds->mu);
	entry = find_long(holds, kind);
	if (!entry && holds->long_count < PG_LONG_MAX)
		entry = &holds->longs[holds->long_count++];
	if (!entry) {
		entry = &holds->longs[0];
		for (size_t i = 1; i < PG_LONG_MAX; i++)
			if (holds->longs[i].until_ns < entry->until_ns)
				entry = &holds->longs[i];
	}
	memcpy(entry->kind, kind, strlen(kind) + 1);
	entry->until_ns = weir_now_ns() + PG_LONG_NS;
	entry->trying = false;
	weir__mutex_unlock(&holds->mu);
}

void
weir__pg_long_tried(struct pg_holds *holds, const char *kind, bool spilled)
{
	struct pg_long *entry;

	weir__mutex_lock(&holds->mu);
	entry = find_long(holds, kind);
	if (entry && spilled) {
		entry->until_ns = weir_now_ns() + PG_LONG_NS;
		entry->trying = false;
	} else if (entry) {
		*entry = holds->longs[--holds->long_count];
	}
	weir__mutex_unlock(&holds->mu);
}
