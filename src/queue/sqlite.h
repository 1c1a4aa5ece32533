/*
 * The SQLite store, from the inside; README.md has its design.
 *
 *      callers ──requests──> writer's thread ──> writer, checkpointer
 *      lists, counts ──────────────────────────> reader (read_mu)
 *
 * Statements are texts in the files that use them, prepared when they are
 * first used and kept by their connection.
 */
#ifndef WEIR_SRC_QUEUE_SQLITE_H
#define WEIR_SRC_QUEUE_SQLITE_H

#include "base/list.h"
#include "queue/gather.h"
#include "queue/store.h"
#include "sync/mutex.h"
#include "sync/park.h"
#include "sync/thread.h"

#include <limits.h>
#include <sqlite3.h>
#include <sys/types.h>

/* "weir" in the database's header, and the newest schema. */
#define SQLITE_APPLICATION_ID 0x77656972
#define SQLITE_SCHEMA_VERSION 2

/* The statements that a connection keeps; their texts are where they are used.
 */
enum sqlite_sql {
	SQL_BEGIN,
	SQL_COMMIT,
	SQL_ROLLBACK,
	SQL_IDS,
	SQL_INSERT_SAME,
	SQL_INSERT_PLAIN,
	SQL_INSERT_ONE,
	SQL_INSERT_OTHER,
	SQL_INSERT_DUPLICATE,
	SQL_QUEUE_ADD,
	SQL_QUEUE_GET,
	SQL_CLAIM, /* 3 of them: any kind, some, all but some */
	SQL_CLAIM_END = SQL_CLAIM + 3,
	SQL_CLAIM_MARK = SQL_CLAIM_END,
	SQL_CLAIM_MARK_RANGE,
	SQL_CLAIM_SUSPECT,
	SQL_CLAIM_SUSPECT_END = SQL_CLAIM_SUSPECT + 3,
	SQL_ALONE_CLAIM = SQL_CLAIM_SUSPECT_END,
	SQL_ALONE_CLAIM_END = SQL_ALONE_CLAIM + 3,
	SQL_ALONE_SAME = SQL_ALONE_CLAIM_END,
	SQL_ALONE_SAME_END = SQL_ALONE_SAME + 3,
	SQL_FINISH_KEEP = SQL_ALONE_SAME_END,
	SQL_FINISH_DROP,
	SQL_FINISH_ARCHIVE,
	SQL_ALONE_KEEP,
	SQL_ALONE_DROP,
	SQL_ALONE_ARCHIVE,
	SQL_RANGE_KEEP,
	SQL_RANGE_DROP,
	SQL_RANGE_ARCHIVE,
	SQL_ALONE_RANGE_KEEP,
	SQL_ALONE_RANGE_DROP,
	SQL_ALONE_RANGE_ARCHIVE,
	SQL_ALONE_PLACED,
	SQL_FINISH_ONE,
	SQL_ALONE_ONE,
	SQL_ARCHIVE_ONE,
	SQL_DROP_ONE,
	SQL_CANCELS,
	SQL_NOTE_ADD,
	SQL_NOTE_DELETE,
	SQL_NOTES,
	SQL_NOTE_CRASH,
	SQL_NOTE_CLEAR,
	SQL_CLIENT_ADD,
	SQL_CLIENT_BEAT,
	SQL_CLIENT_HAS,
	SQL_CLIENT_DELETE,
	SQL_CLIENTS,
	SQL_RELEASE_ALL,
	SQL_PROMOTE_LOOK,
	SQL_PROMOTE,
	SQL_PROMOTE_CLASH,
	SQL_RESCUE_GUARD,
	SQL_RESCUE,
	SQL_RESCUE_LEFT,
	SQL_CLEAN,
	SQL_CLEAN_CANCELS,
	SQL_CLEAN_CANCELS_LOOK,
	SQL_LIST_DOWN,
	SQL_LIST_UP,
	SQL_LIST_ONE,
	SQL_JOB_STATE,
	SQL_CANCEL_WAITING,
	SQL_CANCEL_KEYLESS,
	SQL_CANCEL_RUNNING,
	SQL_CANCEL_TELL,
	SQL_RETRY,
	SQL_DELETE,
	SQL_QUEUES,
	SQL_QUEUE_COUNTS,
	SQL_QUEUE_PAUSE,
	SQL_QUEUE_PAUSE_ALL,
	SQL_QUEUE_FINISHED,
	SQL_SCHEDULE_PUT,
	SQL_SCHEDULE_DELETE,
	SQL_SCHEDULE_GET,
	SQL_SCHEDULE_PAUSE,
	SQL_SCHEDULES,
	SQL_SCHEDULE_DUE,
	SQL_SCHEDULE_NEXT,
	SQL_SCHEDULE_MOVE,
	SQL_COUNT
};

/*
 * A connection and its statements.  Whoever may use it is said where it is
 * kept; those of callers live as long as one call.
 */
struct sqlite_conn {
	sqlite3 *db;
	sqlite3_stmt *statements[SQL_COUNT];
	int64_t busy_ns;
	int64_t busy_since_ns;

	/* Rows that the statement under way has changed; see sqlite_hook(). */
	int64_t *changed;
	size_t changed_count, changed_max;

	/* Queues that have a row, for all we know. */
	char queues[8][65];
	unsigned queue_next;
};

/* What a caller wants done in a transaction; on the caller's stack. */
struct sqlite_request {
	struct weir_list link;
	/*
	 * Do it.  May be done again after `undo`, when the transaction had to
	 * be rolled back.  What it returns is the request's answer; what is
	 * not WEIR_OK must have changed nothing.
	 */
	weir_status (*run)(struct sqlite_request *request,
			   struct sqlite_conn *conn);
	void (*undo)(struct sqlite_request *request); /* or NULL */
	/* It has been committed.  For what is kept in memory; or NULL. */
	void (*committed)(struct sqlite_request *request);
	struct weir_sqlite *store;
	void *arg;
	weir_ctx *ctx; /* done before it has begun: it is not done */
	bool durable;  /* it is acknowledged: flush before the answer */
	bool wakes;    /* set by run: others may wait for this */
	weir_status status;
	weir_error error;
	struct weir_park park;
};

/* Someone who works the store from here. */
struct sqlite_worker {
	struct weir_list link;
	int64_t id;
	int lock_fd; /* the sidecar, locked as long as it works */
	struct sqlite_alone *alone; /* or NULL */
};

/* A completion that waits for others like it. */
struct sqlite_ending {
	int64_t id;
	size_t at; /* among the finishes of the turn */
	weir_finished_policy policy;
};

struct sqlite_endings {
	struct sqlite_ending *all;
	size_t count, cap;
	bool is_mixed; /* not in the order of ids */
};

struct weir_sqlite {
	struct weir_store base;

	/* fixed at creation */
	int64_t busy_ns;
	dev_t device;
	ino_t inode;
	weir_durability durability;
	int bell_fd;
	char path[PATH_MAX], bell_path[PATH_MAX + 8];

	/* the writer's thread's, once that runs */
	struct sqlite_conn writer, checkpointer;
	struct weir_gather gather;
	struct sqlite_endings endings;
	/* Of claims in memory: the latest so far, and when the first was that
	 * who works it alone just now may have. */
	int64_t alone_last_ms, alone_first_ms;
	int wal_frames; /* in the WAL after the last commit */
	bool uncovered; /* and behind it one that has failed */
	bool full_sync; /* synchronous is FULL just now */
	bool committing;

	/* guarded by read_mu */
	struct sqlite_conn reader;
	struct weir_mutex read_mu;

	/* guarded by queue_mu */
	struct weir_mutex queue_mu;
	struct weir_list requests, workers;
	bool closing, asleep;

	/* The writer waits here for requests; whoever adds one signals. */
	bool has_thread;
	struct weir_park bell;
	struct weir_thread thread;
};

static inline struct weir_sqlite *
weir__sqlite_of(weir_store *store)
{
	return weir_container_of(store, struct weir_sqlite, base);
}

/* In sqlite.c. */

/* From now on the file has a WAL. */
weir_status weir__sqlite_use_wal(struct sqlite_conn *conn, weir_error *reterr);

/* In sqlite_conn.c. */

/*
 * Somebody else has the lock: wait a little, longer each time.  0: that was
 * long enough.  conn is a struct sqlite_conn; the shape is SQLite's.
 */
int weir__sqlite_on_busy(void *arg, int tries);

/*
 * Open a connection to path.  flags: SQLITE_OPEN_...  Sets everything that
 * our connections have in common.
 */
weir_status weir__sqlite_connect(struct sqlite_conn *conn, const char *path,
				 int flags, int64_t busy_ns,
				 weir_error *reterr);
/* What a caller's own connection needs: no checkpoints of its own. */
void weir__sqlite_adopt(struct sqlite_conn *conn, sqlite3 *db);
/* Finalize its statements; close it, too, if it is ours. */
void weir__sqlite_disconnect(struct sqlite_conn *conn, bool ours);

/*
 * That statement, ready to be bound; made of text when it is first asked for.
 * NULL: conn->db says why.
 */
sqlite3_stmt *weir__sql(struct sqlite_conn *conn, enum sqlite_sql sql,
			const char *text);
/* Step a statement that gives no rows, and reset it.  SQLITE_OK or an error. */
int weir__sql_done(sqlite3_stmt *stmt);
/* Prepare, run and reset one without parameters. */
int weir__sql_run(struct sqlite_conn *conn, enum sqlite_sql sql,
		  const char *text);
/* A text that may be absent (NULL). */
void weir__sql_bind_text(sqlite3_stmt *stmt, int at, const char *text,
			 size_t len);
/* A text of a row; "" for none, and where there was no memory for it. */
const char *weir__sql_text(sqlite3_stmt *stmt, int at);
/* An integer, or NULL for 0. */
void weir__sql_bind_some(sqlite3_stmt *stmt, int at, int64_t value);

/* What an error code of SQLite means to us; fills in *reterr. */
weir_status weir__sqlite_failed(struct sqlite_conn *conn, int code,
				const char *what, weir_error *reterr);

/*
 * Begin and end to note which rows of `job` a statement changes.  Not on a
 * caller's connection, whose hook may be in use.
 */
#define SQLITE_CHANGES_MAX 256
bool weir__sqlite_note_changes(struct sqlite_conn *conn, size_t max);
void weir__sqlite_note_end(struct sqlite_conn *conn);

/* In sqlite_schema.c. */

/* The version of what is there: 0 for an empty database, -1 if not ours. */
weir_status weir__sqlite_version(struct sqlite_conn *conn, int *ret,
				 weir_error *reterr);
/* To that version, forward or back, each step in a transaction. */
weir_status weir__sqlite_migrate_to(struct sqlite_conn *conn, int target,
				    weir_error *reterr);

/* In sqlite_file.c. */

/* Make the file, readable by its owner only, if there is none. */
weir_status weir__sqlite_make_file(const char *path, weir_error *reterr);
/* Is the folder safe to keep it in, and the file one of the usual kind? */
weir_status weir__sqlite_check_file(struct weir_sqlite *store, const char *path,
				    weir_error *reterr);
int weir__sqlite_open_sidecar(const struct weir_sqlite *store);
int weir__sqlite_wake_fd(weir_store *store);
void weir__sqlite_hush(weir_store *store, int fd);
void weir__sqlite_wake(weir_store *store);

/* In sqlite_writer.c. */

weir_status weir__sqlite_start_writer(struct weir_sqlite *store,
				      weir_error *reterr);
/* Wait for all requests to be answered, and for the thread to end. */
void weir__sqlite_stop_writer(struct weir_sqlite *store);
/* Have it done, with others if there are any; waits for the answer. */
weir_status weir__sqlite_ask(struct weir_sqlite *store,
			     struct sqlite_request *request,
			     weir_error *reterr);

/* In sqlite_row.c. */

/* The columns of a job, in the order in which weir__sqlite_row() has them. */
#define SQLITE_JOB_COLUMNS                                                     \
	"id, state, priority, attempt, max_attempts, crashes, unique_states, " \
	"created_at, scheduled_at, attempted_at, finalized_at, cancel_at, "    \
	"timeout, queue, kind, attempted_by, metadata, tags, errors, output, " \
	"unique_key, args"
/* Texts are valid until the statement moves on. */
void weir__sqlite_row(sqlite3_stmt *stmt, weir_job_row *ret);

/* Those that a handler gets, and their row: what an attempt may depend on. */
#define SQLITE_CLAIM_COLUMNS                                          \
	"id, priority, attempt, max_attempts, crashes, created_at,"   \
	" scheduled_at, attempted_at, timeout, kind, metadata, tags," \
	" errors, output, unique_key, unique_states, args"
void weir__sqlite_claim_row(sqlite3_stmt *stmt, const char *queue,
			    weir_job_row *ret);

/*
 * What is in the index job_mark; a statement that is to use it has to say so in
 * these words.
 */
#define SQLITE_IN_MARK "(state <> 0 OR crashes <> 0)"

/* In sqlite_insert.c. */

weir_status weir__sqlite_insert(weir_store *store,
				const struct weir_draft *drafts, size_t count,
				weir_inserted *rets, weir_ctx *ctx,
				weir_error *reterr);
weir_status weir__sqlite_insert_in(struct sqlite_conn *conn,
				   const struct weir_draft *drafts,
				   size_t count, weir_inserted *rets,
				   bool *ret_wakes, weir_error *reterr);

/* In sqlite_turn.c, sqlite_claim.c, sqlite_finish.c, sqlite_alone.c. */

struct sqlite_turn {
	struct weir_turn *turn;
	struct weir_sqlite *store;
	struct sqlite_conn *conn;
	struct sqlite_alone *alone; /* or NULL */
	int64_t now_ms;
	bool wakes;
	bool has_suspect; /* and so nothing else */
	struct weir_gather *gather;
	struct sqlite_endings *endings;
};

weir_status weir__sqlite_turn(weir_store *store, struct weir_turn *turn,
			      weir_error *reterr);

/* SQLITE_OK, or an error of conn. */
int weir__sqlite_finish_all(struct sqlite_turn *t);
/* One, with all that its queue's policy asks for. */
int weir__sqlite_finish_single(struct sqlite_turn *t,
			       const struct weir_finish *finish,
			       struct weir_finished *ret);
int weir__sqlite_claim_all(struct sqlite_turn *t);
/* Bound but for its third parameter; texts: any kind, some, all but some. */
int weir__sqlite_claim_statement(struct sqlite_turn *t, enum sqlite_sql sql,
				 const char *const texts[3], const char *queue,
				 sqlite3_stmt **ret);
/* Of a number that was read: a policy there is, or else the one that loses
 * nothing. */
static inline weir_finished_policy
weir__sqlite_policy(int number)
{
	return number == WEIR_FINISHED_ARCHIVE || number == WEIR_FINISHED_DROP
		       ? (weir_finished_policy)number
		       : WEIR_FINISHED_KEEP;
}
int weir__sqlite_queue_get(struct sqlite_conn *conn, const char *queue,
			   bool *ret_paused,
			   weir_finished_policy *ret_finished);

/* An element behind those that errors has, unless it is NULL. */
#define SQLITE_ADD_ERROR(error)                                        \
	"CASE WHEN " error " IS NULL THEN errors"                      \
	" WHEN errors IS NULL THEN '[' || " error " || ']'"            \
	" ELSE substr(errors, 1, length(errors) - 1) || ',' || " error \
	" || ']' END"
/*
 * Such an element, made by SQLite, for an attempt whose worker is gone: at and
 * attempt are expressions, who is a parameter, crashes how many have.
 */
#define SQLITE_CRASH_ERROR(at, attempt, who, crashes, poison)         \
	"json_object('at', strftime('%Y-%m-%dT%H:%M:%fZ', " at        \
	" / 1000.0, 'unixepoch'), 'attempt', " attempt                \
	", 'error', CASE WHEN " poison " THEN 'poison: ' || " crashes \
	" || ' workers have died with it, the last of them '"         \
	" ELSE 'the worker is gone: ' END || " who ", 'trace', '')"

/*
 * Claims that are kept in memory.  All calls are the writer's thread's; those
 * that change it are made after the commit.
 */
struct sqlite_alone;
struct sqlite_alone *weir__alone_new(void);
void weir__alone_free(struct sqlite_alone *alone);
int weir__alone_claim(struct sqlite_turn *t, const struct weir_want *want,
		      uint32_t *ret_count);
void weir__alone_begin(struct sqlite_alone *alone);
/* Part of the transaction: a note of what was claimed, old notes deleted. */
int weir__alone_write_notes(struct sqlite_turn *t);
void weir__alone_committed(struct sqlite_turn *t);
bool weir__alone_has(const struct sqlite_alone *alone, int64_t job);
/* This claim ends with this turn, if it is ours and has not ended before. */
bool weir__alone_end(struct sqlite_alone *alone, const weir_job_row *row);
/* Jobs that those who died with notes had: one more crash each. */
int weir__alone_settle(struct sqlite_conn *conn, int64_t now_ms,
		       uint32_t crashes_max);

/* In sqlite_work.c: who works the store. */

weir_status weir__sqlite_enlist(weir_store *store, struct weir_owner *owner,
				weir_error *reterr);
weir_status weir__sqlite_leave(weir_store *store, struct weir_owner *owner,
			       weir_error *reterr);
weir_status weir__sqlite_extend(weir_store *store,
				const struct weir_owner *owner,
				weir_error *reterr);
weir_status weir__sqlite_clients(weir_store *store, weir_client_fn *row,
				 void *user, weir_error *reterr);
/* Those that have not left: from now on they are as good as dead. */
void weir__sqlite_drop_workers(struct weir_sqlite *store);
/* What it has in memory if it works alone; else NULL. */
struct sqlite_alone *weir__sqlite_alone_of(struct weir_sqlite *store,
					   int64_t id);

/* In sqlite_upkeep.c. */

/* One number, by the reader; *ret stays as it is if there is none. */
weir_status weir__sqlite_read_number(struct weir_sqlite *store,
				     enum sqlite_sql sql, const char *text,
				     int64_t parameter, int64_t *ret,
				     weir_error *reterr);

weir_status weir__sqlite_promote(weir_store *store, uint32_t limit,
				 uint32_t *ret_count, int64_t *ret_next_ms,
				 weir_error *reterr);
weir_status weir__sqlite_rescue(weir_store *store, int64_t client, int64_t beat,
				uint32_t crashes_max, uint32_t limit,
				uint32_t *ret_count, weir_error *reterr);
weir_status weir__sqlite_clean(weir_store *store,
			       const struct weir_retention *retention,
			       uint32_t limit, uint32_t *ret_count,
			       weir_error *reterr);

/* In sqlite_look.c, sqlite_change.c, sqlite_queues.c, sqlite_schedule.c. */

weir_status weir__sqlite_list(weir_store *store, const weir_job_filter *filter,
			      weir_job_row_fn *row, void *user,
			      weir_error *reterr);
weir_status weir__sqlite_change(weir_store *store, weir_job_action action,
				const int64_t *ids, size_t count,
				weir_job_changed *rets, weir_ctx *ctx,
				weir_error *reterr);
weir_status weir__sqlite_queues(weir_store *store, weir_queue_row_fn *row,
				void *user, weir_error *reterr);
weir_status weir__sqlite_queue_set(weir_store *store, const char *queue,
				   int pause, int finished, weir_error *reterr);
weir_status weir__sqlite_schedule_put(weir_store *store,
				      const weir_schedule *schedule,
				      const struct weir_draft *draft,
				      weir_error *reterr);
weir_status weir__sqlite_schedule_delete(weir_store *store, const char *name,
					 weir_error *reterr);
weir_status weir__sqlite_schedule_pause(weir_store *store, const char *name,
					bool pause, weir_error *reterr);
weir_status weir__sqlite_schedules(weir_store *store, weir_schedule_fn *row,
				   void *user, weir_error *reterr);
weir_status weir__sqlite_fire(weir_store *store, uint32_t limit,
			      uint32_t *ret_count, int64_t *ret_next_ms,
			      weir_error *reterr);

/* In sqlite_tx.c. */

weir_status weir__sqlite_insert_tx(weir_store *store, void *db,
				   const struct weir_draft *drafts,
				   size_t count, weir_inserted *rets,
				   weir_error *reterr);
weir_status weir__sqlite_complete_tx(weir_store *store,
				     const struct weir_owner *owner,
				     const struct weir_claim *claim, void *db,
				     const char *output, size_t output_len,
				     weir_error *reterr);

/* In sqlite_admin.c: for `weir db`. */

struct weir_sqlite_info {
	const char *path, *sqlite_version;
	int schema_version;
	bool has_wal_reset_bug; /* closed by us, but there */
	uint64_t bytes, wal_bytes;
};

/*
 * Bring the file at path to that version, forward or back; -1: the newest.
 * Makes it if it is not there and target is not 0.
 */
weir_status weir__sqlite_migrate(const char *path, int target, int *ret_before,
				 int *ret_after, weir_error *reterr);
/*
 * Look for damage; each finding (NULL: nobody asks) is one line.  WEIR_CORRUPT
 * if there is any.
 */
weir_status weir__sqlite_check(const char *path,
			       void (*finding)(const char *text, void *user),
			       void *user, weir_error *reterr);
weir_status weir__sqlite_info(weir_store *store, struct weir_sqlite_info *ret,
			      weir_error *reterr);

#endif
