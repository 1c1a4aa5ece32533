/*
 * Inside a transaction of the caller's own, on the caller's own connection.
 *
 * Design.  The same code that the writer's thread runs, on a connection that
 * is borrowed for one call: its statements are made for it and finalized at
 * its end.  What the caller has begun the caller ends.
 *
 * Completing an effect and its job together rests on the fence: if the job is
 * somebody else's by now, nothing is changed, and STALE tells the caller to
 * roll back what it has done.
 */
#include "queue/sqlite.h"

#include "base/assert.h"

#include <stdlib.h>
#include <sys/stat.h>

/* Is db this store's file, with a transaction begun? */
static weir_status
check(const struct weir_sqlite *store, sqlite3 *db, weir_error *reterr)
{
	const char *path = sqlite3_db_filename(db, "main");
	struct stat st;

	if (!path || stat(path, &st) != 0 || st.st_dev != store->device ||
	    st.st_ino != store->inode)
		return weir__queue_error(reterr, WEIR_INVAL, 0,
					 "the connection is to another file");
	if (sqlite3_get_autocommit(db))
		return weir__queue_error(reterr, WEIR_INVAL, 0,
					 "the connection has no transaction");
	return WEIR_OK;
}

/*
 * What fails halfway is taken back, and no more than that: what the caller has
 * done before in its transaction is the caller's.
 */
static weir_status
begin_part(struct sqlite_conn *conn, weir_error *reterr)
{
	int code =
		sqlite3_exec(conn->db, "SAVEPOINT weir_part", NULL, NULL, NULL);

	return code == SQLITE_OK ? WEIR_OK
				 : weir__sqlite_failed(conn, code,
						       "cannot write", reterr);
}

static void
end_part(struct sqlite_conn *conn, bool keep)
{
	/* An error may have ended the caller's transaction, and this with it.
	 */
	if (sqlite3_get_autocommit(conn->db))
		return;
	if (!keep)
		(void)sqlite3_exec(conn->db, "ROLLBACK TO weir_part", NULL,
				   NULL, NULL);
	(void)sqlite3_exec(conn->db, "RELEASE weir_part", NULL, NULL, NULL);
}

weir_status
weir__sqlite_insert_tx(weir_store *store, void *db,
		       const struct weir_draft *drafts, size_t count,
		       weir_inserted *rets, weir_error *reterr)
{
	struct sqlite_conn conn;
	bool wakes = false;
	weir_status status =
		check(weir__sqlite_of(store), (sqlite3 *)db, reterr);

	weir_assert(count > 0);
	if (status != WEIR_OK)
		return status;
	weir__sqlite_adopt(&conn, db);
	status = begin_part(&conn, reterr);
	if (status == WEIR_OK) {
		status = weir__sqlite_insert_in(&conn, drafts, count, rets,
						&wakes, reterr);
		end_part(&conn, status == WEIR_OK);
	}
	weir__sqlite_disconnect(&conn, false);
	return status;
}

weir_status
weir__sqlite_complete_tx(weir_store *store, const struct weir_owner *owner,
			 const struct weir_claim *claim, void *db,
			 const char *output, size_t output_len,
			 weir_error *reterr)
{
	struct weir_sqlite *sqlite = weir__sqlite_of(store);

	struct weir_owner copy = *owner;
	struct sqlite_conn conn;
	struct weir_finish finish = {
		.claim = claim,
		.verdict = WEIR_VERDICT_COMPLETE,
		.output = output,
		.output_len = output_len,
	};
	struct weir_finished finished = {WEIR_STALE, WEIR_JOB_RUNNING};
	struct weir_turn turn = {.owner = &copy};
	struct sqlite_turn t = {
		.turn = &turn,
		.store = sqlite,
		.alone = weir__sqlite_alone_of(sqlite, owner->id),
		.now_ms = weir__store_now_ms(store),
	};
	weir_status status = check(sqlite, (sqlite3 *)db, reterr);
	int code;

	if (status != WEIR_OK)
		return status;
	weir__sqlite_adopt(&conn, db);
	t.conn = &conn;
	status = begin_part(&conn, reterr);
	if (status == WEIR_OK) {
		code = weir__sqlite_finish_single(&t, &finish, &finished);
		if (code != SQLITE_OK)
			status = weir__sqlite_failed(
				&conn, code, "cannot complete it", reterr);
		else if (finished.status != WEIR_OK)
			status = weir__queue_error(reterr, WEIR_STALE, 0,
						   "somebody else has the job");
		end_part(&conn, status == WEIR_OK);
	}
	weir__sqlite_disconnect(&conn, false);
	return status;
}
