/*
 * A visit of a work: what has ended, what is wanted, who is to be cancelled;
 * in one transaction and one round trip.
 *
 * Design.  The answer to one statement cannot decide what the next one says,
 * because they are sent together; so the database decides:
 *
 *      the owner's row   locked: whoever takes us for dead waits for us
 *      finishes          fenced each: nothing of one that is dead matches
 *      claims            only if the owner's row is there
 *
 * The lock is the weakest that there is, and does not wait for beats.  A
 * client's id is never used twice, so a row that is missing stays missing.
 *
 * A job that somebody else has locked, in a transaction that he leaves open,
 * must not keep the others from ending, nor us from showing that we live: the
 * connection waits for a lock for half a second only, what is locked is BUSY,
 * and is told again later.
 *
 * If the connection is lost before the answer, nobody knows what has become of
 * it: then we are as good as dead.  Enlisting again gives back what we have.
 *
 * Locking: the work connection's mu.
 */
#include "pg/turn.h"
#include "pg/hold.h"
#include "pg/limit.h"
#include "pg/worked.h"

#include "base/assert.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct pg_sql owner_sql = {
	"turn_owner",
	"SELECT id FROM @weir_client WHERE id = $1 FOR KEY SHARE"};

/* Ours that somebody wants cancelled; for when the bell was not heard. */
static const struct pg_sql cancels_sql = {"turn_cancels",
					  "SELECT j.id FROM @river_job j WHERE "
					  "j.state = 'running' AND " LAST_BY
					  " = $1 AND " IS_CANCELLED};

void
weir__pg_owner(char text[PG_OWNER_MAX], const char *name, int64_t id)
{
	snprintf(text, PG_OWNER_MAX, "%s#%" PRId64, name, id);
}

void
weir__pg_channel(struct pg_params *p, const struct weir_pg *store)
{
	const char *prefix = store->channel_prefix;

	weir__pg_text(p, *prefix ? prefix : NULL, strlen(prefix));
}

size_t
weir__pg_turn_send(struct pg_turn *t, const struct pg_sql *sql)
{
	weir_assert(t->sent < PG_SENT_MAX);
	weir__pg_send(t->conn, sql, &t->p);
	return t->sent++;
}

/* The name of the index is not translated, as the message is. */
bool
weir__pg_is_clash(const weir_error *error)
{
	return strstr(error->message, "river_job_unique_idx") != NULL;
}

weir_status
weir__pg_all_stale(struct weir_turn *turn, weir_error *reterr, const char *why)
{
	for (size_t i = 0; i < turn->finish_count; i++) {
		turn->finished[i].status = WEIR_STALE;
		turn->finished[i].state = turn->finishes[i].claim->row.state;
	}
	return weir__queue_error(reterr, WEIR_STALE, 0, "%s", why);
}

static void send_owner(struct pg_turn *t) WEIR_REQUIRES(t->conn->mu);
static size_t send_cancels(struct pg_turn *t) WEIR_REQUIRES(t->conn->mu);
static weir_status send_all(struct pg_turn *t, weir_error *reterr)
	WEIR_REQUIRES(t->conn->mu);
static weir_status visit(struct pg_turn *t, bool *ret_lost, weir_error *reterr)
	WEIR_REQUIRES(t->conn->mu);
static weir_status visit_until_taken(struct pg_turn *t, bool *ret_lost,
				     weir_error *reterr)
	WEIR_REQUIRES(t->conn->mu);

static void
send_owner(struct pg_turn *t)
{
	weir__pg_begin(&t->p);
	weir__pg_int8(&t->p, t->turn->owner->id);
	(void)weir__pg_turn_send(t, &owner_sql);
}

static size_t
send_cancels(struct pg_turn *t)
{
	weir__pg_begin(&t->p);
	weir__pg_text(&t->p, t->owner, strlen(t->owner));
	return weir__pg_turn_send(t, &cancels_sql);
}

static void
read_cancels(const PGresult *result, struct weir_buf *cancels)
{
	for (int i = 0; i < PQntuples(result); i++) {
		int64_t id = weir__pg_get_int(result, i, 0);

		weir__buf_append(cancels, &id, sizeof(id));
	}
}

/* Send it all, once.  The results are there with OK. */
static weir_status
send_all(struct pg_turn *t, weir_error *reterr)
{
	weir_status status;

	status = weir__pg_ready(t->conn, reterr);
	t->sent = 0;
	if (status != WEIR_OK)
		return status;
	t->conn->lost = false;
	send_owner(t);
	weir__pg_finish_send(t);
	for (size_t i = 0; i < t->note_count; i++)
		weir__pg_note_send(t, &t->notes[i]);
	weir__pg_claim_send(t);
	if (t->missed)
		(void)send_cancels(t);
	return weir__pg_sync(t->conn, t->results, reterr);
}

/* *ret_lost: it may have been committed, and nobody knows. */
static weir_status
visit(struct pg_turn *t, bool *ret_lost, weir_error *reterr)
{
	weir_status status = send_all(t, reterr);

	*ret_lost = t->conn->lost;
	return status;
}

/* Everything was committed; what has come of it? */
static weir_status
read_all(struct pg_turn *t, weir_error *reterr)
{
	struct weir_turn *turn = t->turn;

	if (PQntuples(t->results[0]) == 0)
		return weir__pg_all_stale(turn, reterr, "taken for dead");
	weir__pg_finish_read(t);
	if (t->missed)
		read_cancels(t->results[t->sent - 1], turn->cancels);
	/* What was claimed cannot be told; so it has to go back. */
	if (!weir__pg_claim_read(t, NULL) ||
	    (turn->cancels && turn->cancels->failed))
		return weir__pg_all_stale(turn, reterr, "out of memory");
	return WEIR_OK;
}

/* If it is refused, is there another way to say it? */
static weir_status
visit_until_taken(struct pg_turn *t, bool *ret_lost, weir_error *reterr)
{
	weir_status status;

	if (weir_now_ns() < t->conn->locked_until_ns)
		(void)weir__pg_finish_leave_locked(t);
	status = visit(t, ret_lost, reterr);
	/* A job that does not hold its key may end, but not with the key. */
	if (status != WEIR_OK && !*ret_lost && weir__pg_is_clash(reterr)) {
		t->gives_keys_up = true;
		status = visit(t, ret_lost, reterr);
	}
	if (status == WEIR_SYSTEM && !*ret_lost && weir__pg_finish_mend(t))
		status = visit(t, ret_lost, reterr);
	if (status == WEIR_BUSY && !*ret_lost &&
	    weir__pg_finish_leave_locked(t))
		status = visit(t, ret_lost, reterr);
	return status;
}

static weir_status
run(struct pg_turn *t, weir_error *reterr)
{
	weir_status status;
	bool lost;

	weir__mutex_lock(&t->conn->mu);
	status = visit_until_taken(t, &lost, reterr);
	weir__mutex_unlock(&t->conn->mu);
	if (status != WEIR_OK)
		return lost ? weir__pg_all_stale(t->turn, reterr,
						 "the connection was lost")
			    : status;
	status = read_all(t, reterr);
	for (size_t i = 0; i < t->sent; i++)
		PQclear(t->results[i]);
	return status;
}

weir_status
weir__pg_visit(struct pg_turn *t, weir_error *reterr)
{
	weir_status status = WEIR_NOMEM;

	if (weir__pg_finish_begin(t))
		status = run(t, reterr);
	else
		weir__queue_error(reterr, status, 0, "out of memory");
	free(t->endings);
	t->endings = NULL;
	weir__pg_params_fini(&t->p);
	return status;
}

weir_status
weir__pg_turn(weir_store *store, struct weir_turn *turn, weir_error *reterr)
{
	struct weir_pg *pg = weir__pg_of(store);
	struct weir_gather gathered = {0};
	struct pg_turn t = {.store = pg,
			    .turn = turn,
			    .conn = &pg->work,
			    .gathered = &gathered};
	int64_t seq = turn->cancel_seq;
	size_t len = turn->cancels ? turn->cancels->len : 0;
	weir_status status;

	weir_assert(turn->finish_count == 0 || turn->finished);
	turn->batch = NULL;
	turn->more = turn->suspects = turn->limited = false;
	turn->limited_at_ns = WEIR_FOREVER;
	t.looks = weir__pg_limits_look(pg);
	weir__pg_owner(t.owner, turn->owner->name, turn->owner->id);
	weir__pg_worked_note(pg, turn);
	t.missed = turn->cancels &&
		   !weir__pg_take_cancels(pg, &turn->cancel_seq, turn->cancels);
	/* Holds behind a pooler could take all sessions, and then wait for one.
	 */
	if (turn->may_hold && !pg->never_holds && !pg->is_pooled)
		status = weir__pg_hold_turn(&t, reterr);
	else
		status = weir__pg_visit(&t, reterr);
	if (status == WEIR_OK && gathered.count > 0 && !turn->batch) {
		turn->batch = weir__gather_batch(&gathered);
		if (!turn->batch)
			status = weir__pg_all_stale(turn, reterr,
						    "out of memory");
	}
	weir__gather_fini(&gathered);
	if (status != WEIR_OK) {
		turn->cancel_seq = seq;
		if (turn->cancels)
			turn->cancels->len = len;
	}
	return status;
}
