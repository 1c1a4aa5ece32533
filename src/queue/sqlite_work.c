/*
 * Who works the store: enlisting, beats, leaving.
 *
 * Design.  A client is known by a number that is never used twice.  Beside it
 * stand the process and the machine as far as this machine can tell them
 * apart: its boot, its pid namespace, the pid and when that process was
 * started.  Who finds all of that here, but not the process, need not wait
 * for beats that are missing.
 */
#include "queue/sqlite.h"

#include "base/assert.h"
#include "queue/process.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

static struct sqlite_worker *
find_worker_locked(struct weir_sqlite *store, int64_t id)
{
	for (struct weir_list *l = store->workers.next; l != &store->workers;
	     l = l->next) {
		struct sqlite_worker *worker =
			weir_container_of(l, struct sqlite_worker, link);

		if (worker->id == id)
			return worker;
	}
	return NULL;
}

struct sqlite_alone *
weir__sqlite_alone_of(struct weir_sqlite *store, int64_t id)
{
	struct sqlite_worker *worker;
	struct sqlite_alone *alone;

	weir__mutex_lock(&store->queue_mu);
	worker = find_worker_locked(store, id);
	alone = worker ? worker->alone : NULL;
	weir__mutex_unlock(&store->queue_mu);
	return alone;
}

static void
worker_free(struct sqlite_worker *worker)
{
	if (worker->lock_fd >= 0)
		(void)close(worker->lock_fd); /* and the lock with it */
	weir__alone_free(worker->alone);
	free(worker);
}

/* It works no more: it has left, or was taken for dead. */
static void
drop_worker(struct weir_sqlite *store, int64_t id)
{
	struct sqlite_worker *worker;

	weir__mutex_lock(&store->queue_mu);
	worker = find_worker_locked(store, id);
	if (worker)
		weir__list_remove(&worker->link);
	weir__mutex_unlock(&store->queue_mu);
	if (worker)
		worker_free(worker);
}

void
weir__sqlite_drop_workers(struct weir_sqlite *store)
{
	struct weir_list *l = store->workers.next, *next;

	for (; l != &store->workers; l = next) {
		next = l->next;
		worker_free(weir_container_of(l, struct sqlite_worker, link));
	}
	weir__list_init(&store->workers);
}

static weir_status
take_lock(const struct weir_sqlite *store, struct sqlite_worker *worker,
	  bool alone, weir_error *reterr)
{
	worker->lock_fd = weir__sqlite_open_sidecar(store);
	if (worker->lock_fd < 0)
		return weir__queue_error(reterr, WEIR_SYSTEM, errno,
					 "cannot open %s: %s", store->bell_path,
					 strerror(errno));
	if (flock(worker->lock_fd, (alone ? LOCK_EX : LOCK_SH) | LOCK_NB) == 0)
		return WEIR_OK;
	if (errno != EWOULDBLOCK)
		return weir__queue_error(reterr, WEIR_SYSTEM, errno,
					 "cannot lock %s: %s", store->bell_path,
					 strerror(errno));
	return weir__queue_error(reterr, WEIR_BUSY, 0, "%s",
				 alone ? "others work it, so nobody can alone"
				       : "another process works it alone");
}

static int
add_client(struct sqlite_conn *conn, struct weir_owner *owner, int64_t now_ms)
{
	sqlite3_stmt *stmt = weir__sql(
		conn, SQL_CLIENT_ADD,
		"INSERT INTO client (name, alone, since, pid, machine)"
		" VALUES (?1, ?2, ?3, ?4, ?5)");
	char machine[WEIR_MACHINE_MAX], process[WEIR_MACHINE_MAX + 24];
	int64_t since;
	int code;

	if (!stmt)
		return sqlite3_extended_errcode(conn->db);
	weir__process_machine(machine);
	/* Who cannot see itself is not looked for by others: beats decide. */
	since = weir__process_started(getpid());
	snprintf(process, sizeof(process), "%s %" PRId64,
		 since > 0 ? machine : "?", since);
	weir__sql_bind_text(stmt, 1, owner->name, strlen(owner->name));
	(void)sqlite3_bind_int(stmt, 2, owner->alone);
	(void)sqlite3_bind_int64(stmt, 3, now_ms);
	(void)sqlite3_bind_int64(stmt, 4, getpid());
	weir__sql_bind_text(stmt, 5, process, strlen(process));
	code = weir__sql_done(stmt);
	owner->id = sqlite3_last_insert_rowid(conn->db);
	return code;
}

static weir_status
run_enlist(struct sqlite_request *request, struct sqlite_conn *conn)
{
	struct weir_owner *owner = request->arg;
	int64_t now_ms = weir__store_now_ms(&request->store->base);
	/* Nobody works it alone just now, so whoever did is dead. */
	int code = weir__alone_settle(conn, now_ms,
				      owner->crashes_max ? owner->crashes_max
							 : UINT32_MAX);

	/* Claims of one who has left are not to be taken for new ones. */
	request->store->alone_first_ms = request->store->alone_last_ms + 1;
	if (code == SQLITE_OK)
		code = add_client(conn, owner, now_ms);
	request->wakes = true;
	return code == SQLITE_OK
		       ? WEIR_OK
		       : weir__sqlite_failed(conn, code, "cannot write",
					     &request->error);
}

weir_status
weir__sqlite_enlist(weir_store *store, struct weir_owner *owner,
		    weir_error *reterr)
{
	struct weir_sqlite *sqlite = weir__sqlite_of(store);
	struct sqlite_worker *worker = calloc(1, sizeof(*worker));
	struct sqlite_request request = {
		.run = run_enlist, .arg = owner, .durable = true};
	weir_status status = WEIR_NOMEM;

	if (!worker)
		return weir__queue_error(reterr, status, 0, "out of memory");
	drop_worker(sqlite, owner->id);
	worker->lock_fd = -1;
	if (owner->alone)
		worker->alone = weir__alone_new();
	if (!owner->alone || worker->alone)
		status = take_lock(sqlite, worker, owner->alone, reterr);
	else
		weir__queue_error(reterr, status, 0, "out of memory");
	if (status == WEIR_OK)
		status = weir__sqlite_ask(sqlite, &request, reterr);
	if (status != WEIR_OK) {
		worker_free(worker);
		return status;
	}
	worker->id = owner->id;
	weir__mutex_lock(&sqlite->queue_mu);
	weir__list_append(&sqlite->workers, &worker->link);
	weir__mutex_unlock(&sqlite->queue_mu);
	return WEIR_OK;
}

/* ?1 is the owner; ?2, if there is one, the time. */
static int
run_with_owner(struct sqlite_conn *conn, enum sqlite_sql sql, const char *text,
	       int64_t owner, int64_t now_ms)
{
	sqlite3_stmt *stmt = weir__sql(conn, sql, text);

	if (!stmt)
		return sqlite3_extended_errcode(conn->db);
	(void)sqlite3_bind_int64(stmt, 1, owner);
	if (sqlite3_bind_parameter_count(stmt) > 1)
		(void)sqlite3_bind_int64(stmt, 2, now_ms);
	return weir__sql_done(stmt);
}

/* What it still has goes back; then it is no more. */
static weir_status
run_leave(struct sqlite_request *request, struct sqlite_conn *conn)
{
	const struct weir_owner *owner = request->arg;
	int64_t now_ms = weir__store_now_ms(&request->store->base);
	int code = run_with_owner(
		conn, SQL_RELEASE_ALL,
		"UPDATE job SET attempt = attempt - 1, owner = NULL,"
		" state = CASE WHEN cancel_at IS NULL THEN 0 ELSE 1 END,"
		" finalized_at = CASE WHEN cancel_at IS NOT NULL THEN ?2 END"
		" WHERE " SQLITE_IN_MARK " AND state = 6 AND mark = ?1",
		owner->id, now_ms);

	request->wakes = code == SQLITE_OK && sqlite3_changes(conn->db) > 0;
	if (code == SQLITE_OK && owner->alone)
		code = weir__sql_run(conn, SQL_NOTE_CLEAR, "DELETE FROM note");
	if (code == SQLITE_OK)
		code = run_with_owner(conn, SQL_CLIENT_DELETE,
				      "DELETE FROM client WHERE id = ?1",
				      owner->id, now_ms);
	return code == SQLITE_OK
		       ? WEIR_OK
		       : weir__sqlite_failed(conn, code, "cannot write",
					     &request->error);
}

weir_status
weir__sqlite_leave(weir_store *store, struct weir_owner *owner,
		   weir_error *reterr)
{
	struct weir_sqlite *sqlite = weir__sqlite_of(store);
	struct sqlite_request request = {
		.run = run_leave, .arg = owner, .durable = true};
	weir_status status = weir__sqlite_ask(sqlite, &request, reterr);

	/* Whatever came of it. */
	drop_worker(sqlite, owner->id);
	return status;
}

static weir_status
run_extend(struct sqlite_request *request, struct sqlite_conn *conn)
{
	const struct weir_owner *owner = request->arg;
	int code = run_with_owner(
		conn, SQL_CLIENT_BEAT,
		"UPDATE client SET beat = beat + 1 WHERE id = ?1", owner->id,
		0);

	if (code != SQLITE_OK)
		return weir__sqlite_failed(conn, code, "cannot write",
					   &request->error);
	if (sqlite3_changes(conn->db) > 0)
		return WEIR_OK;
	return weir__queue_error(&request->error, WEIR_STALE, 0,
				 "taken for dead");
}

weir_status
weir__sqlite_extend(weir_store *store, const struct weir_owner *owner,
		    weir_error *reterr)
{
	struct weir_owner copy = *owner;
	struct sqlite_request request = {.run = run_extend, .arg = &copy};

	return weir__sqlite_ask(weir__sqlite_of(store), &request, reterr);
}

/* Was it here, in this boot, and is not any more? */
static bool
is_gone(const char *machine, const char *process, int64_t pid)
{
	size_t len = strlen(machine);
	int64_t since;

	if (len == 0 || strncmp(process, machine, len) != 0 ||
	    process[len] != ' ')
		return false;
	since = weir__process_started(pid);
	return since >= 0 && since != strtoll(process + len, NULL, 10);
}

weir_status
weir__sqlite_clients(weir_store *store, weir_client_fn *row, void *user,
		     weir_error *reterr)
{
	struct weir_sqlite *sqlite = weir__sqlite_of(store);
	struct sqlite_conn *conn = &sqlite->reader;
	char machine[WEIR_MACHINE_MAX];
	weir_status status = WEIR_OK;
	sqlite3_stmt *stmt;
	bool on = true;
	int code = SQLITE_DONE;

	weir__process_machine(machine);
	weir__mutex_lock(&sqlite->read_mu);
	stmt = weir__sql(conn, SQL_CLIENTS,
			 "SELECT id, beat, name, pid, machine, EXISTS (SELECT 1"
			 " FROM job WHERE " SQLITE_IN_MARK " AND state = 6"
			 " AND mark = client.id) FROM client");
	while (stmt && on && (code = sqlite3_step(stmt)) == SQLITE_ROW) {
		struct weir_client_row client = {
			.id = sqlite3_column_int64(stmt, 0),
			.beat = sqlite3_column_int64(stmt, 1),
			.name = weir__sql_text(stmt, 2),
			.holds = sqlite3_column_int(stmt, 5) != 0,
			.gone = is_gone(machine, weir__sql_text(stmt, 4),
					sqlite3_column_int64(stmt, 3)),
		};

		on = row(&client, user);
	}
	if (!stmt)
		code = sqlite3_extended_errcode(conn->db);
	else
		(void)sqlite3_reset(stmt);
	if (code != SQLITE_DONE && code != SQLITE_ROW)
		status = weir__sqlite_failed(conn, code, "cannot read", reterr);
	weir__mutex_unlock(&sqlite->read_mu);
	return status;
}
