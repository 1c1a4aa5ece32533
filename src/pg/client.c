/*
 * Who works the store: enlisting, beats, leaving.
 *
 * Design.  A client is a row whose id is never used twice.  Beside it stand
 * the machine and the process as far as that machine can tell them apart; see
 * queue/process.h.  What a client has claimed is known by the last element of
 * attempted_by.  There is no index for that, but one whose first column is the
 * state, and of the jobs that run there are never many.
 *
 * A job that is locked by somebody else keeps nobody from coming back or
 * leaving: its client's row stays, and others rescue it from that when they
 * can.
 *
 * Whoever comes back after it was taken for dead may not be: the answer to its
 * last turn was lost.  So enlisting lets go of what it had before.
 */
#include "pg/hold.h"
#include "pg/leader.h"

#include "base/assert.h"
#include "queue/process.h"

#include <string.h>
#include <unistd.h>

#define TELL_OF_3 PG_TELL("done", "$3")

static const struct pg_sql lock_sql = {
	"client_lock", "SELECT id FROM @weir_client WHERE id = $1 FOR UPDATE"};

static const struct pg_sql release_sql = {
	"client_release",
	"WITH mine AS MATERIALIZED (SELECT j.id FROM @river_job j"
	" WHERE j.state = 'running' AND " LAST_BY " = $1"
	" ORDER BY j.id FOR UPDATE OF j SKIP LOCKED),"
	" done AS (UPDATE @river_job j SET"
	" attempt = greatest(j.attempt - 1, 0),"
	" state = CASE WHEN " IS_CANCELLED " THEN 'cancelled'"
	" ELSE 'available' END::@river_job_state,"
	" finalized_at = CASE WHEN " IS_CANCELLED
	" THEN coalesce($2::timestamptz, now()) END,"
	" unique_key = CASE WHEN NOT " KEY_IS_TAKEN " THEN j.unique_key END,"
	" unique_states = CASE WHEN NOT " KEY_IS_TAKEN
	" THEN j.unique_states END"
	" WHERE j.id = ANY (ARRAY(SELECT id FROM mine))"
	" AND j.state::text = 'running' RETURNING j.queue, j.state)"
	" SELECT count(*), " TELL_OF_3 " FROM done"};

static const struct pg_sql notes_sql = {
	"client_notes", "DELETE FROM @weir_hold WHERE client = $1"};

/* What somebody has locked is not let go of, but rescued from it. */
static const struct pg_sql delete_sql = {
	"client_delete",
	"DELETE FROM @weir_client c WHERE id = $1 AND NOT EXISTS (SELECT 1"
	" FROM @river_job j WHERE j.state = 'running' AND " LAST_BY
	" = c.name || '#' || c.id)"};

static const struct pg_sql add_sql = {
	"client_add",
	"INSERT INTO @weir_client (name, machine, pid, since) VALUES ($1,"
	" $2, $3, $4) RETURNING id"};

static const struct pg_sql beat_sql = {
	"client_beat",
	"UPDATE @weir_client SET beat = beat + 1 WHERE id = $1 RETURNING"
	" clock_timestamp()"};

static const struct pg_sql clients_sql = {
	"clients", "SELECT c.id, c.beat, c.name, c.machine, c.pid, c.since,"
		   " held.by IS NOT NULL"
		   " OR EXISTS (SELECT 1 FROM @weir_hold WHERE client = c.id) "
		   "FROM @weir_client c LEFT JOIN (SELECT DISTINCT " LAST_BY
		   " AS by FROM @river_job j WHERE j.state = 'running') held ON"
		   " held.by = c.name || '#' || c.id ORDER BY c.id"};

/* Helpers that need the lock; clang checks that whoever calls them has it. */
static size_t send_release(struct pg_link *conn, struct pg_params *p,
			   const struct weir_owner *owner)
	WEIR_REQUIRES(conn->mu);
static void send_add(struct pg_link *conn, struct pg_params *p,
		     const struct weir_owner *owner) WEIR_REQUIRES(conn->mu);

#define RELEASE 4 /* statements */

/* What it has goes back, and it is no more; so many statements. */
static size_t
send_release(struct pg_link *conn, struct pg_params *p,
	     const struct weir_owner *owner)
{
	char text[PG_OWNER_MAX];

	weir__pg_owner(text, owner->name, owner->id);
	weir__pg_begin(p);
	weir__pg_int8(p, owner->id);
	weir__pg_send(conn, &lock_sql, p);
	weir__pg_begin(p);
	weir__pg_text(p, text, strlen(text));
	weir__pg_now(p, conn->store);
	weir__pg_channel(p, conn->store);
	weir__pg_send(conn, &release_sql, p);
	weir__pg_begin(p);
	weir__pg_int8(p, owner->id);
	weir__pg_send(conn, &notes_sql, p);
	weir__pg_send(conn, &delete_sql, p);
	return RELEASE;
}

static void
send_add(struct pg_link *conn, struct pg_params *p,
	 const struct weir_owner *owner)
{
	char machine[WEIR_MACHINE_MAX];
	int64_t since = weir__process_started(getpid());

	/* Who cannot see itself is not looked for by others: beats decide. */
	weir__process_machine(machine);
	if (since <= 0)
		machine[0] = '\0';
	weir__pg_begin(p);
	weir__pg_text(p, owner->name, strlen(owner->name));
	weir__pg_text(p, machine, strlen(machine));
	weir__pg_int8(p, getpid());
	weir__pg_int8(p, since);
	weir__pg_send(conn, &add_sql, p);
}

weir_status
weir__pg_enlist(weir_store *store, struct weir_owner *owner, weir_error *reterr)
{
	struct pg_link *conn = &weir__pg_of(store)->work;
	PGresult *results[RELEASE + 1] = {NULL};
	struct pg_params p = {0};
	weir_status status;
	size_t n = 0;

	if (owner->alone)
		return weir__queue_error(reterr, WEIR_INVAL, 0,
					 "this store cannot be worked alone");
	if (owner->id)
		weir__pg_holds_drop(conn->store, owner->id);
	weir__mutex_lock(&conn->mu);
	status = weir__pg_ready(conn, reterr);
	if (status == WEIR_OK) {
		if (owner->id)
			n = send_release(conn, &p, owner);
		send_add(conn, &p, owner);
		status = weir__pg_sync(conn, results, reterr);
	}
	weir__mutex_unlock(&conn->mu);
	if (status == WEIR_OK) {
		/* Who comes back has not gone. */
		if (!owner->id)
			weir__pg_leader_enter(conn->store);
		owner->id = weir__pg_get_int(results[n], 0, 0);
	}
	for (size_t i = 0; i < RELEASE + 1; i++)
		PQclear(results[i]);
	weir__pg_params_fini(&p);
	return status;
}

weir_status
weir__pg_leave(weir_store *store, struct weir_owner *owner, weir_error *reterr)
{
	struct pg_link *conn = &weir__pg_of(store)->work;
	PGresult *results[RELEASE] = {NULL};
	struct pg_params p = {0};
	weir_status status;

	weir__pg_leader_leave(conn->store);
	weir__pg_holds_drop(conn->store, owner->id);
	weir__mutex_lock(&conn->mu);
	status = weir__pg_ready(conn, reterr);
	if (status == WEIR_OK) {
		(void)send_release(conn, &p, owner);
		status = weir__pg_sync(conn, results, reterr);
	}
	weir__mutex_unlock(&conn->mu);
	for (size_t i = 0; i < RELEASE; i++)
		PQclear(results[i]);
	weir__pg_params_fini(&p);
	return status;
}

/* The database's clock, as it was in the middle of asking for it. */
static void
note_clock(struct weir_pg *pg, const PGresult *result, int64_t before_ns)
{
	int64_t after_ns = weir_now_ns();
	int64_t middle_ms = (before_ns + (after_ns - before_ns) / 2) / WEIR_MS;

	/* What took long says little of when it was. */
	if (pg->has_clock || after_ns - before_ns > 100 * WEIR_MS)
		return;
	weir__u64_store(&pg->offset_ms,
			(uint64_t)(weir__pg_get_ms(result, 0, 0) - middle_ms),
			WEIR_RELAXED);
}

weir_status
weir__pg_extend(weir_store *store, const struct weir_owner *owner,
		weir_error *reterr)
{
	struct weir_pg *pg = weir__pg_of(store);
	int64_t before_ns = weir_now_ns();
	struct pg_params p = {0};
	PGresult *result = NULL;
	weir_status status;

	weir__pg_begin(&p);
	weir__pg_int8(&p, owner->id);
	status = weir__pg_ask(&pg->work, &beat_sql, &p, &result, reterr);
	if (status == WEIR_OK && PQntuples(result) == 0)
		status = weir__queue_error(reterr, WEIR_STALE, 0,
					   "taken for dead");
	else if (status == WEIR_OK)
		note_clock(pg, result, before_ns);
	PQclear(result);
	weir__pg_params_fini(&p);
	return status;
}

/* Was it here, in this boot, and is not any more? */
static bool
is_gone(const char *machine, const char *theirs, int64_t pid, int64_t since)
{
	int64_t started;

	if (*machine == '\0' || strcmp(machine, theirs) != 0)
		return false;
	started = weir__process_started(pid);
	return started >= 0 && started != since;
}

weir_status
weir__pg_clients(weir_store *store, weir_client_fn *row, void *user,
		 weir_error *reterr)
{
	char machine[WEIR_MACHINE_MAX];
	struct pg_params p = {0};
	PGresult *result = NULL;
	weir_status status;
	bool on = true;

	weir__process_machine(machine);
	weir__pg_begin(&p);
	status = weir__pg_ask(&weir__pg_of(store)->work, &clients_sql, &p,
			      &result, reterr);
	for (int i = 0; result && i < PQntuples(result) && on; i++) {
		struct weir_client_row client = {
			.id = weir__pg_get_int(result, i, 0),
			.beat = weir__pg_get_int(result, i, 1),
			.name = PQgetvalue(result, i, 2),
			.holds = weir__pg_get_bool(result, i, 6),
			.gone = is_gone(machine, PQgetvalue(result, i, 3),
					weir__pg_get_int(result, i, 4),
					weir__pg_get_int(result, i, 5)),
		};

		on = row(&client, user);
	}
	PQclear(result);
	weir__pg_params_fini(&p);
	return status;
}
