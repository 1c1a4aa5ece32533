/*
 * A visit of a work: what has ended, what is wanted, who is to be cancelled;
 * in one transaction.
 */
#include "queue/sqlite.h"

#include "base/assert.h"

/* Ids of jobs that somebody wants cancelled, since the last look. */
static int
read_cancels(struct sqlite_turn *t)
{
	struct weir_turn *turn = t->turn;
	sqlite3_stmt *stmt = weir__sql(
		t->conn, SQL_CANCELS,
		"SELECT seq, job FROM cancel WHERE seq > ?1 ORDER BY seq");
	int code;

	if (!stmt)
		return sqlite3_extended_errcode(t->conn->db);
	if (!turn->cancels)
		return SQLITE_OK;
	(void)sqlite3_bind_int64(stmt, 1, turn->cancel_seq);
	while ((code = sqlite3_step(stmt)) == SQLITE_ROW) {
		int64_t job = sqlite3_column_int64(stmt, 1);

		turn->cancel_seq = sqlite3_column_int64(stmt, 0);
		weir__buf_append(turn->cancels, &job, sizeof(job));
	}
	(void)sqlite3_reset(stmt);
	if (turn->cancels->failed)
		return SQLITE_NOMEM;
	return code == SQLITE_DONE ? SQLITE_OK : code;
}

/* Are we taken for dead?  *ret: a client of that number is there. */
static int
look_for_owner(struct sqlite_turn *t, bool *ret)
{
	sqlite3_stmt *stmt = weir__sql(t->conn, SQL_CLIENT_HAS,
				       "SELECT 1 FROM client WHERE id = ?1");
	int code;

	if (!stmt)
		return sqlite3_extended_errcode(t->conn->db);
	(void)sqlite3_bind_int64(stmt, 1, t->turn->owner->id);
	code = sqlite3_step(stmt);
	*ret = code == SQLITE_ROW;
	(void)sqlite3_reset(stmt);
	return code == SQLITE_ROW || code == SQLITE_DONE ? SQLITE_OK : code;
}

static weir_status
all_stale(struct sqlite_request *request, struct weir_turn *turn)
{
	for (size_t i = 0; i < turn->finish_count; i++) {
		turn->finished[i].status = WEIR_STALE;
		turn->finished[i].state = turn->finishes[i].claim->row.state;
	}
	return weir__queue_error(&request->error, WEIR_STALE, 0,
				 "taken for dead");
}

struct visit {
	struct sqlite_turn t;
	int64_t cancel_seq; /* as it was before */
};

static weir_status
run_turn(struct sqlite_request *request, struct sqlite_conn *conn)
{
	struct visit *visit = request->arg;
	struct sqlite_turn *t = &visit->t;
	struct weir_turn *turn = t->turn;
	bool is_client = false;
	int code;

	t->conn = conn;
	t->gather = &request->store->gather;
	t->endings = &request->store->endings;
	t->now_ms = weir__store_now_ms(&request->store->base);
	t->wakes = false;
	turn->batch = NULL;
	turn->more = turn->suspects = false;
	turn->cancel_seq = visit->cancel_seq;
	if (t->alone)
		weir__alone_begin(t->alone);
	code = look_for_owner(t, &is_client);
	if (code == SQLITE_OK && !is_client)
		return all_stale(request, turn);
	if (code == SQLITE_OK)
		code = weir__sqlite_finish_all(t);
	if (code == SQLITE_OK)
		code = weir__sqlite_claim_all(t);
	if (code == SQLITE_OK && t->alone)
		code = weir__alone_write_notes(t);
	if (code == SQLITE_OK)
		code = read_cancels(t);
	request->wakes = t->wakes;
	if (code == SQLITE_OK)
		return WEIR_OK;
	request->undo(request);
	return weir__sqlite_failed(conn, code, "cannot write", &request->error);
}

static void
undo_turn(struct sqlite_request *request)
{
	struct visit *visit = request->arg;
	struct weir_batch *batch = visit->t.turn->batch;

	for (size_t i = 0, n = batch ? batch->count : 0; i < n; i++)
		weir__claim_free(&batch->claims[i]);
	visit->t.turn->batch = NULL;
	visit->t.turn->cancel_seq = visit->cancel_seq;
}

static void
turn_committed(struct sqlite_request *request)
{
	struct visit *visit = request->arg;

	if (visit->t.alone)
		weir__alone_committed(&visit->t);
}

weir_status
weir__sqlite_turn(weir_store *store, struct weir_turn *turn, weir_error *reterr)
{
	struct weir_sqlite *sqlite = weir__sqlite_of(store);

	struct visit visit = {
		.t = {.turn = turn,
		      .store = sqlite,
		      .alone = weir__sqlite_alone_of(sqlite, turn->owner->id)},
		.cancel_seq = turn->cancel_seq,
	};
	struct sqlite_request request = {
		.run = run_turn,
		.undo = undo_turn,
		.committed = turn_committed,
		.arg = &visit,
		.durable = turn->finish_count > 0,
	};

	weir_assert(turn->finish_count == 0 || turn->finished);
	return weir__sqlite_ask(sqlite, &request, reterr);
}
