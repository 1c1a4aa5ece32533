/*
 * The SQLite store: opening it, closing it, its table of functions.
 */
#include "queue/sqlite.h"

#include "base/assert.h"
#include "sync/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void
sqlite_close(weir_store *store)
{
	struct weir_sqlite *sqlite = weir__sqlite_of(store);

	weir__sqlite_stop_writer(sqlite);
	weir__sqlite_drop_workers(sqlite);
	weir__gather_fini(&sqlite->gather);
	free(sqlite->endings.all);
	weir__sqlite_disconnect(&sqlite->reader, true);
	weir__sqlite_disconnect(&sqlite->checkpointer, true);
	weir__sqlite_disconnect(&sqlite->writer, true);
	if (sqlite->bell_fd >= 0)
		(void)close(sqlite->bell_fd);
	weir__mutex_fini(&sqlite->read_mu);
	weir__mutex_fini(&sqlite->queue_mu);
	free(sqlite);
}

static const struct weir_store_ops ops = {
	.name = "sqlite",
	.close = sqlite_close,
	.insert = weir__sqlite_insert,
	.insert_tx = weir__sqlite_insert_tx,
	.complete_tx = weir__sqlite_complete_tx,
	.enlist = weir__sqlite_enlist,
	.leave = weir__sqlite_leave,
	.turn = weir__sqlite_turn,
	.extend = weir__sqlite_extend,
	.promote = weir__sqlite_promote,
	.clients = weir__sqlite_clients,
	.rescue = weir__sqlite_rescue,
	.clean = weir__sqlite_clean,
	.fire = weir__sqlite_fire,
	.list = weir__sqlite_list,
	.change = weir__sqlite_change,
	.queues = weir__sqlite_queues,
	.queue_set = weir__sqlite_queue_set,
	.schedule_put = weir__sqlite_schedule_put,
	.schedule_delete = weir__sqlite_schedule_delete,
	.schedule_pause = weir__sqlite_schedule_pause,
	.schedules = weir__sqlite_schedules,
	.wake_fd = weir__sqlite_wake_fd,
	.hush = weir__sqlite_hush,
	.wake = weir__sqlite_wake,
};

static int64_t
system_ms(void *user)
{
	(void)user;
	return weir__unix_ns() / WEIR_MS;
}

/*
 * The folder with its links resolved, the name as it is: a link in place of
 * the database itself is refused, one on the way to it is the user's business.
 */
static weir_status
set_path(struct weir_sqlite *store, const char *path, weir_error *reterr)
{
	char folder[PATH_MAX], real[PATH_MAX];
	const char *slash = strrchr(path, '/');
	const char *name = slash ? slash + 1 : path;
	int len;

	snprintf(folder, sizeof(folder), "%.*s",
		 slash ? (int)(slash - path + (slash == path)) : 1,
		 slash ? path : ".");
	if (strlen(path) >= PATH_MAX - 16 || !*name)
		return weir__queue_error(reterr, WEIR_INVAL, 0,
					 "not the name of a file");
	if (!realpath(folder, real))
		return weir__queue_error(
			reterr, errno == ENOENT ? WEIR_NOTFOUND : WEIR_SYSTEM,
			errno, "cannot open its folder: %s", strerror(errno));
	len = snprintf(store->path, sizeof(store->path), "%s/%s",
		       strcmp(real, "/") == 0 ? "" : real, name);
	if (len < 0 || len >= PATH_MAX - 8)
		return weir__queue_error(reterr, WEIR_INVAL, 0,
					 "the name is too long");
	snprintf(store->bell_path, sizeof(store->bell_path), "%s-weir",
		 store->path);
	return WEIR_OK;
}

weir_status
weir__sqlite_use_wal(struct sqlite_conn *conn, weir_error *reterr)
{
	int code, tries = 0;

	/* For this one SQLite does not ask its busy handler. */
	do
		code = sqlite3_exec(conn->db, "PRAGMA journal_mode = WAL", NULL,
				    NULL, NULL);
	while ((code & 0xff) == SQLITE_BUSY &&
	       weir__sqlite_on_busy(conn, tries++));
	return code == SQLITE_OK ? WEIR_OK
				 : weir__sqlite_failed(conn, code,
						       "cannot use it", reterr);
}

static weir_status
check_version(struct weir_sqlite *store, const weir_store_options *options,
	      weir_error *reterr)
{
	struct sqlite_conn *conn =
		options->read_only ? &store->reader : &store->writer;
	weir_status status;
	int version;

	status = weir__sqlite_version(conn, &version, reterr);
	if (status != WEIR_OK)
		return status;
	if (version < 0)
		return weir__queue_error(reterr, WEIR_FOREIGN, 0,
					 "a database, but not of weir");
	if (version > SQLITE_SCHEMA_VERSION)
		return weir__queue_error(
			reterr, WEIR_NEWER, 0,
			"a newer weir has made it (its version is %d, this weir"
			" knows %d)",
			version, SQLITE_SCHEMA_VERSION);
	if (version == SQLITE_SCHEMA_VERSION)
		return WEIR_OK;
	if ((version == 0 && !options->create) ||
	    (version > 0 && !options->migrate) || options->read_only)
		return weir__queue_error(
			reterr, WEIR_OLD, 0,
			"it has version %d, this weir needs %d", version,
			SQLITE_SCHEMA_VERSION);
	return weir__sqlite_migrate_to(conn, SQLITE_SCHEMA_VERSION, reterr);
}

static weir_status
open_writer(struct weir_sqlite *store, const weir_store_options *options,
	    weir_error *reterr)
{
	weir_status status;

	status = weir__sqlite_connect(&store->writer, store->path,
				      SQLITE_OPEN_READWRITE, store->busy_ns,
				      reterr);
	if (status == WEIR_OK)
		status = check_version(store, options, reterr);
	if (status == WEIR_OK)
		status = weir__sqlite_use_wal(&store->writer, reterr);
	if (status == WEIR_OK)
		status = weir__sqlite_connect(&store->checkpointer, store->path,
					      SQLITE_OPEN_READWRITE,
					      store->busy_ns, reterr);
	/* To be opened it waits as all do, to checkpoint it does not. */
	store->checkpointer.busy_ns = 0;
	return status;
}

/*
 * Who only looks may write all the same, if the file lets it: what somebody
 * has left who died has to be rolled back before anything can be seen.
 */
static weir_status
open_reader(struct weir_sqlite *store, const weir_store_options *options,
	    weir_error *reterr)
{
	bool writes = !options->read_only ||
		      faccessat(AT_FDCWD, store->path, W_OK, AT_EACCESS) == 0;
	weir_status status = weir__sqlite_connect(&store->reader, store->path,
						  writes ? SQLITE_OPEN_READWRITE
							 : SQLITE_OPEN_READONLY,
						  store->busy_ns, reterr);

	/* It reads from one end to the other: a large cache is of no use. */
	if (status == WEIR_OK &&
	    sqlite3_exec(store->reader.db,
			 options->read_only ? "PRAGMA cache_size = -500;"
					      "PRAGMA query_only = ON"
					    : "PRAGMA cache_size = -500",
			 NULL, NULL, NULL) != SQLITE_OK)
		status = weir__sqlite_failed(
			&store->reader,
			sqlite3_extended_errcode(store->reader.db),
			"cannot open it", reterr);
	return status;
}

static weir_status
open_all(struct weir_sqlite *store, const weir_store_options *options,
	 weir_error *reterr)
{
	weir_status status = WEIR_OK;

	if (options->create && !options->read_only)
		status = weir__sqlite_make_file(store->path, reterr);
	if (status == WEIR_OK)
		status = weir__sqlite_check_file(store, store->path, reterr);
	if (status == WEIR_OK && !options->read_only)
		status = open_writer(store, options, reterr);
	if (status == WEIR_OK)
		status = open_reader(store, options, reterr);
	if (status == WEIR_OK && options->read_only)
		return check_version(store, options, reterr);
	if (status != WEIR_OK)
		return status;
	store->bell_fd = weir__sqlite_open_sidecar(store);
	if (store->bell_fd < 0)
		return weir__queue_error(reterr, WEIR_SYSTEM, errno,
					 "cannot make %s: %s", store->bell_path,
					 strerror(errno));
	return weir__sqlite_start_writer(store, reterr);
}

weir_status
weir__sqlite_open(weir_store **out, const char *path,
		  const weir_store_options *options, weir_error *reterr)
{
	struct weir_sqlite *store = calloc(1, sizeof(*store));
	weir_status status;

	if (!store)
		return weir__queue_error(reterr, WEIR_NOMEM, 0,
					 "out of memory");
	store->base.ops = &ops;
	store->base.now_ms = options->now_ms ? options->now_ms : system_ms;
	store->base.now_user = options->now_user;
	store->base.read_only = options->read_only;
	store->durability = options->durability;
	store->busy_ns =
		options->busy_ns > 0 ? options->busy_ns : WEIR_STORE_BUSY_NS;
	store->bell_fd = -1;
	weir__mutex_init(&store->read_mu);
	weir__mutex_init(&store->queue_mu);
	weir__list_init(&store->requests);
	weir__list_init(&store->workers);
	status = set_path(store, path, reterr);
	if (status == WEIR_OK)
		status = open_all(store, options, reterr);
	if (status != WEIR_OK) {
		sqlite_close(&store->base);
		return status;
	}
	*out = &store->base;
	return WEIR_OK;
}
