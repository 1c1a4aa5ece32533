/*
 * The writer's thread: requests, one commit for all that are there, and the
 * checkpoints between.
 *
 *      callers: put a request in line, wait at its park
 *      writer:  take the line ──> BEGIN, each, COMMIT ──> answer all
 *
 * Design.  There is no timer and no target size: while the writer waits for
 * the disk the line grows, and the next commit takes it whole.  One caller by
 * itself waits for one flush, a thousand for little more.
 *
 * When something fails that is nobody's own fault (disk full, I/O, the lock is
 * not to be had), the transaction is rolled back, what its requests have done
 * is undone, and each is tried by itself: so the failure of one is not that
 * of all.  If the flush of a commit fails, SQLite has rolled back, but what was
 * written to the WAL is there, whole, for whoever reads that anew; so it is
 * covered by another commit before the answer.  Only if that fails, too, and
 * nobody ever commits again, may what was refused turn out to be there.
 *
 * Locking: queue_mu guards the line; nothing is called with it held but parks.
 */
#include "queue/sqlite.h"

#include "base/assert.h"

/* At most so many requests in a commit, so that the first need not wait. */
#define GROUP_MAX 1024

/* Pages in the WAL at which a checkpoint is worth while, and is needed. */
#define WAL_IDLE 1000
#define WAL_MOST 4000

static int
on_commit(void *arg, sqlite3 *db, const char *database, int frames)
{
	struct weir_sqlite *store = arg;

	(void)db;
	(void)database;
	store->wal_frames = frames;
	return SQLITE_OK;
}

/*
 * Nothing commits but our COMMIT.  When memory runs out SQLite may roll a
 * transaction back in the middle of a statement, make that anew (for the
 * schema has changed) and run it and those after it one by one, as if each
 * was asked for by itself; those must not be kept.
 */
static int
refuse_commit(void *arg)
{
	struct weir_sqlite *store = arg;

	return !store->committing;
}

static int
commit(struct weir_sqlite *store)
{
	int code;

	store->committing = true;
	code = weir__sql_run(&store->writer, SQL_COMMIT, "COMMIT");
	store->committing = false;
	return code;
}

/*
 * Checkpoint with the write lock held, so that nobody commits meanwhile; see
 * README.md.  That somebody else has the lock is no reason to wait.
 */
static void
checkpoint(struct weir_sqlite *store)
{
	struct sqlite_conn *writer = &store->writer;
	int64_t busy_ns = writer->busy_ns;
	int frames = 0, done = 0, code;

	if (store->wal_frames <= WAL_MOST)
		writer->busy_ns = 0;
	code = weir__sql_run(writer, SQL_BEGIN, "BEGIN IMMEDIATE");
	writer->busy_ns = busy_ns;
	if (code != SQLITE_OK)
		return;
	code = sqlite3_wal_checkpoint_v2(store->checkpointer.db, NULL,
					 SQLITE_CHECKPOINT_PASSIVE, &frames,
					 &done);
	/* A reader of old pages holds it up: try again a little later. */
	if (code == SQLITE_OK)
		store->wal_frames = frames - done;
	else
		store->wal_frames = WAL_IDLE / 2;
	(void)weir__sql_run(writer, SQL_ROLLBACK, "ROLLBACK");
}

/* How the next commit is to be flushed. */
static int
set_sync(struct weir_sqlite *store, bool full)
{
	int code;

	full = full && store->durability == WEIR_DURABLE_POWER;
	if (full == store->full_sync)
		return SQLITE_OK;
	code = sqlite3_exec(store->writer.db,
			    full ? "PRAGMA synchronous = FULL"
				 : "PRAGMA synchronous = NORMAL",
			    NULL, NULL, NULL);
	if (code == SQLITE_OK)
		store->full_sync = full;
	return code;
}

static bool
any_durable(struct weir_list *group)
{
	for (struct weir_list *l = group->next; l != group; l = l->next)
		if (weir_container_of(l, struct sqlite_request, link)->durable)
			return true;
	return false;
}

static void
roll_back(struct weir_sqlite *store)
{
	if (!sqlite3_get_autocommit(store->writer.db))
		(void)weir__sql_run(&store->writer, SQL_ROLLBACK, "ROLLBACK");
	/* Rows of queues that were made are no more. */
	memset(store->writer.queues, 0, sizeof(store->writer.queues));
}

/*
 * Write over what a commit that has failed has left in the WAL: a commit of
 * nothing, but that an id is left out.
 */
static void
cover(struct weir_sqlite *store)
{
	int code = sqlite3_exec(store->writer.db,
				"BEGIN IMMEDIATE;"
				"UPDATE counter SET value = value + 1"
				" WHERE name = 'job'",
				NULL, NULL, NULL);

	if (code == SQLITE_OK)
		code = commit(store);
	store->uncovered = code != SQLITE_OK;
	if (code != SQLITE_OK)
		roll_back(store);
}

/* Is it a failure of the database, by which the others are hit as well? */
static bool
is_common(weir_status status)
{
	return status == WEIR_SYSTEM || status == WEIR_BUSY ||
	       status == WEIR_NOMEM || status == WEIR_CORRUPT;
}

static weir_status
run_one(struct weir_sqlite *store, struct sqlite_request *request)
{
	request->wakes = false;
	request->status = weir_ctx_status(request->ctx);
	if (request->status != WEIR_OK)
		weir__queue_error(&request->error, request->status, 0, "%s",
				  weir_status_message(request->status));
	else
		request->status = request->run(request, &store->writer);
	return request->status;
}

static void
undo_until(struct weir_list *group, const struct weir_list *end)
{
	for (struct weir_list *l = group->next; l != end; l = l->next) {
		struct sqlite_request *request =
			weir_container_of(l, struct sqlite_request, link);

		if (request->undo && request->status == WEIR_OK)
			request->undo(request);
	}
}

static void
tell_committed(struct weir_list *group)
{
	for (struct weir_list *l = group->next; l != group; l = l->next) {
		struct sqlite_request *request =
			weir_container_of(l, struct sqlite_request, link);

		if (request->committed && request->status == WEIR_OK)
			request->committed(request);
	}
}

/* One transaction for all of them.  SQLITE_OK, or nothing has happened. */
static int
try_group(struct weir_sqlite *store, struct weir_list *group,
	  weir_error *reterr)
{
	struct sqlite_conn *writer = &store->writer;
	struct weir_list *l;
	int code;

	code = set_sync(store, any_durable(group));
	if (code == SQLITE_OK)
		code = weir__sql_run(writer, SQL_BEGIN, "BEGIN IMMEDIATE");
	if (code != SQLITE_OK) {
		weir__sqlite_failed(writer, code, "cannot write", reterr);
		return code;
	}
	for (l = group->next; l != group; l = l->next) {
		struct sqlite_request *request =
			weir_container_of(l, struct sqlite_request, link);

		if (is_common(run_one(store, request))) {
			*reterr = request->error;
			code = SQLITE_ERROR;
			break;
		}
	}
	if (code == SQLITE_OK) {
		code = commit(store);
		if (code != SQLITE_OK)
			weir__sqlite_failed(writer, code, "cannot commit",
					    reterr);
		store->uncovered |= code != SQLITE_OK;
	}
	if (code != SQLITE_OK) {
		roll_back(store);
		undo_until(group, l);
		if (store->uncovered)
			cover(store);
	} else {
		tell_committed(group);
	}
	return code;
}

static void
fail_one(struct sqlite_request *request, const weir_error *error)
{
	request->status = error->status;
	request->error = *error;
	request->wakes = false;
}

/* Each by itself, after all together have failed. */
static void
try_each(struct weir_sqlite *store, struct weir_list *group)
{
	struct weir_list done, one, *l;
	weir_error error = {WEIR_OK, 0, ""};

	weir__list_init(&done);
	weir__list_init(&one);
	while ((l = weir__list_pop(group))) {
		weir__list_append(&one, l);
		if (try_group(store, &one, &error) != SQLITE_OK)
			fail_one(weir_container_of(l, struct sqlite_request,
						   link),
				 &error);
		weir__list_remove(l);
		weir__list_append(&done, l);
	}
	while ((l = weir__list_pop(&done)))
		weir__list_append(group, l);
}

static void
do_group(struct weir_sqlite *store, struct weir_list *group)
{
	weir_error error = {WEIR_OK, 0, ""};
	struct weir_list *first = group->next;
	bool wakes = false;
	int code;

	if (store->uncovered)
		cover(store);
	code = try_group(store, group, &error);
	/* Who has waited for the lock in vain need not wait for each. */
	if ((code & 0xff) == SQLITE_BUSY || (code && first->next == group))
		for (struct weir_list *l = first; l != group; l = l->next)
			fail_one(weir_container_of(l, struct sqlite_request,
						   link),
				 &error);
	else if (code != SQLITE_OK)
		try_each(store, group);
	for (struct weir_list *l = group->next; l != group; l = l->next)
		wakes |= weir_container_of(l, struct sqlite_request, link)
				 ->wakes;
	if (wakes)
		weir__sqlite_wake(&store->base);
}

/* The caller may be gone as soon as it is signalled: look at nothing after. */
static void
answer(struct weir_sqlite *store, struct weir_list *group)
{
	struct weir_list *l;

	while ((l = weir__list_pop(group))) {
		struct sqlite_request *request =
			weir_container_of(l, struct sqlite_request, link);
		struct weir_park *park = &request->park;
		bool kick;

		/* Under the lock, which the owner takes before it goes. */
		weir__mutex_lock(&store->queue_mu);
		kick = weir__park_signal(park);
		weir__mutex_unlock(&store->queue_mu);
		if (kick)
			weir__park_kick(park);
	}
}

/* Wait for requests; false: there will be none any more. */
static bool
take_group(struct weir_sqlite *store, struct weir_list *group)
{
	bool idle_done = false;

	for (;;) {
		unsigned count = 0;
		bool closing, sleep;

		weir__mutex_lock(&store->queue_mu);
		while (count++ < GROUP_MAX &&
		       !weir__list_empty(&store->requests))
			weir__list_append(group,
					  weir__list_pop(&store->requests));
		closing = store->closing;
		sleep = weir__list_empty(group) && !closing &&
			(idle_done || store->wal_frames < WAL_IDLE);
		store->asleep = sleep;
		if (sleep)
			weir__park_reset(&store->bell);
		weir__mutex_unlock(&store->queue_mu);
		if (!weir__list_empty(group))
			return true;
		if (closing)
			return false;
		if (sleep) {
			weir__park_wait(&store->bell, WEIR_FOREVER);
			continue;
		}
		/* Nothing to do: the moment for it. */
		checkpoint(store);
		idle_done = true;
	}
}

static void
write_all(void *arg)
{
	struct weir_sqlite *store = arg;
	struct weir_list group;

	weir__list_init(&group);
	while (take_group(store, &group)) {
		do_group(store, &group);
		answer(store, &group);
		if (store->wal_frames > WAL_MOST)
			checkpoint(store);
	}
	if (store->uncovered)
		cover(store);
	if (store->wal_frames > 0)
		checkpoint(store);
}

weir_status
weir__sqlite_start_writer(struct weir_sqlite *store, weir_error *reterr)
{
	weir_status status;

	(void)sqlite3_wal_hook(store->writer.db, on_commit, store);
	(void)sqlite3_commit_hook(store->writer.db, refuse_commit, store);
	store->full_sync = true;
	weir__park_init(&store->bell);
	status = weir__thread_start(&store->thread, "weir-store", 0, write_all,
				    store);
	if (status != WEIR_OK)
		return weir__queue_error(reterr, status, 0,
					 "no thread can be made");
	store->has_thread = true;
	return WEIR_OK;
}

void
weir__sqlite_stop_writer(struct weir_sqlite *store)
{
	bool kick;

	if (!store->has_thread)
		return;
	weir__mutex_lock(&store->queue_mu);
	store->closing = true;
	kick = weir__park_signal(&store->bell);
	weir__mutex_unlock(&store->queue_mu);
	if (kick)
		weir__park_kick(&store->bell);
	weir__thread_join(&store->thread);
	store->has_thread = false;
	weir_assert(weir__list_empty(&store->requests));
}

weir_status
weir__sqlite_ask(struct weir_sqlite *store, struct sqlite_request *request,
		 weir_error *reterr)
{
	bool kick = false;

	if (store->base.read_only)
		return weir__queue_error(reterr, WEIR_SYSTEM, 0,
					 "it was opened only to look");
	weir_assert(request->run && store->has_thread);
	request->store = store;
	weir__park_init(&request->park);
	weir__mutex_lock(&store->queue_mu);
	weir_assert(!store->closing);
	weir__list_append(&store->requests, &request->link);
	if (store->asleep) {
		store->asleep = false;
		kick = weir__park_signal(&store->bell);
	}
	weir__mutex_unlock(&store->queue_mu);
	if (kick)
		weir__park_kick(&store->bell);
	weir__park_wait(&request->park, WEIR_FOREVER);
	/* The signaller has let go of the park once we hold this. */
	weir__mutex_lock(&store->queue_mu);
	weir__mutex_unlock(&store->queue_mu);
	if (request->status != WEIR_OK && reterr)
		*reterr = request->error;
	return request->status;
}
