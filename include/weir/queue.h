/*
 * weir/queue.h - jobs that survive: a store, and what is in it.
 *
 * A pool in memory forgets everything when its process dies.  A store does
 * not: a job that was inserted is run until it is done, whatever dies in
 * between, and can be looked at meanwhile.
 *
 *      insert ──> store ──claim──> workers ──outcome──> store
 *                  (a file)        (N slots)
 *
 * This header and libweir-queue are beside libweir, because they need more
 * than libc: SQLite.  Link with `pkg-config --libs weir-queue`.
 *
 *      weir_store *store;
 *      weir_store_options options = WEIR_STORE_OPTIONS_INIT;
 *      weir_insert job = WEIR_INSERT_INIT;
 *
 *      options.url = "jobs.db";
 *      options.create = true;
 *      status = weir_store_open(&store, &options, &error);
 *      job.kind = "email";
 *      job.args = "{\"to\":\"a@b.example\"}";
 *      status = weir_store_insert(store, &job, 1, &inserted, NULL, &error);
 *
 * and weir/work.h has the other end, in this or any other process on the same
 * machine.
 *
 * What is promised, and what is not:
 *
 *   - A job whose insert returned WEIR_OK survives the death of the process,
 *     of the system, and power loss (with the default durability).
 *   - It runs at least once until it is done, given up or cancelled.  It may
 *     run twice: when its worker died after the work and before the outcome
 *     was written.  The id is the same each time, so that it can serve as an
 *     idempotency key; weir_job_complete_tx() makes an effect in the same
 *     database happen exactly once.
 *   - A worker that has lost a job, because it was taken for dead, can no
 *     longer complete, fail, snooze or release it.
 *
 * The states and their rules are those of River (riverqueue.com):
 *
 *                          insert
 *            ┌───────────────┼──────────────┐
 *            v               v              v
 *         PENDING        SCHEDULED ───> AVAILABLE <──────────────┐
 *                            ^   due      │  ^ released, rescued │
 *                            │     claimed v  │                  │ due
 *                            └──snooze── RUNNING ──failed──> RETRYABLE
 *                                          │
 *                       ┌──────────────────┼──────────────────┐
 *                       v                  v                  v
 *                   COMPLETED          DISCARDED          CANCELLED
 *
 * Times of day are milliseconds since 1970 (`_ms`), by the system's clock;
 * durations are nanoseconds (`_ns`), as everywhere.
 */
#ifndef WEIR_QUEUE_H
#define WEIR_QUEUE_H

#include <stdbool.h>
#include <weir/base.h>
#include <weir/ctx.h>
#include <weir/pool.h>

#ifdef __cplusplus
extern "C" {
#endif

struct sqlite3;

/* An open store.  Opaque. */
typedef struct weir_store weir_store;

/*
 * The states, each in one place: X(NAME, value, "name").  1 << value is the
 * state's bit in a set of states; values and names are River's.
 */
#define WEIR_JOB_STATE_TABLE(X)      \
	X(AVAILABLE, 0, "available") \
	X(CANCELLED, 1, "cancelled") \
	X(COMPLETED, 2, "completed") \
	X(DISCARDED, 3, "discarded") \
	X(PENDING, 4, "pending")     \
	X(RETRYABLE, 5, "retryable") \
	X(RUNNING, 6, "running")     \
	X(SCHEDULED, 7, "scheduled")

typedef enum weir_state {
#define WEIR_JOB_STATE_ENUM(name, value, text) WEIR_JOB_##name = value,
	WEIR_JOB_STATE_TABLE(WEIR_JOB_STATE_ENUM)
#undef WEIR_JOB_STATE_ENUM
} weir_state;

#define WEIR_JOB_STATE_BIT(state) (1u << (state))
#define WEIR_JOB_STATES_ALL       0xffu
/* Those in which a job is over. */
#define WEIR_JOB_STATES_FINAL                     \
	(WEIR_JOB_STATE_BIT(WEIR_JOB_CANCELLED) | \
	 WEIR_JOB_STATE_BIT(WEIR_JOB_COMPLETED) | \
	 WEIR_JOB_STATE_BIT(WEIR_JOB_DISCARDED))

/*
 * The name of a state, "available".  A number that is no state gives
 * "unknown".
 *
 * Waits:   never.
 * Threads: any.
 * Owns:    the text is the library's and lasts for ever.
 * Returns: the name.
 */
WEIR_API const char *weir_job_state_name(weir_state state);

/*
 * The state of that name.
 *
 * Waits:   never.
 * Threads: any.
 * Owns:    nothing.
 * Returns: WEIR_OK, WEIR_INVAL (no state is called that).
 */
WEIR_API WEIR_NODISCARD weir_status weir_job_state_parse(const char *name,
							 weir_state *ret_state);

/*
 * What an acknowledged job survives.  POWER: everything a disk does that
 * keeps what it has flushed.  PROCESS: the death of processes, not that of
 * the machine; the last few commits may be missing after that.
 */
typedef enum weir_durability {
	WEIR_DURABLE_POWER = 0,
	WEIR_DURABLE_PROCESS = 1
} weir_durability;

/*
 * How a store is opened.
 *
 * size         sizeof(weir_store_options).
 * url          "PATH", "sqlite:PATH"; copied.  Required.  Stores in PostgreSQL
 *              are opened with weir_fleet_open(), of weir/fleet.h.
 * create       make it if there is none, readable by its owner only.
 * migrate      bring an older one to the version of this library.  A new one
 *              always has it.
 * read_only    only look; whatever would write is WEIR_INVAL.
 * durability   see weir_durability.
 * busy_ns      how long to wait for another program that holds the database;
 *              0 means WEIR_STORE_BUSY_NS.
 * now_ms       the clock, for tests; NULL: the system's.
 * now_user     its argument.
 */
typedef struct weir_store_options {
	size_t size;
	const char *url;
	bool create, migrate, read_only;
	weir_durability durability;
	int64_t busy_ns;
	int64_t (*now_ms)(void *user);
	void *now_user;
} weir_store_options;

WEIR_OPTIONS_TYPE(weir_store_options)

#ifdef __cplusplus
#define WEIR_STORE_OPTIONS_INIT weir_store_options_make()
#else
#define WEIR_STORE_OPTIONS_INIT                    \
	{                                          \
		.size = sizeof(weir_store_options) \
	}
#endif

#define WEIR_STORE_BUSY_NS (10 * WEIR_S)

/*
 * Open a store.  It may be used from any number of threads; it must not be
 * used in a child after fork(), and a zygote (weir/isolate.h) must be made
 * before.
 *
 * Waits:   for the disk, and for other programs up to busy_ns.
 * Threads: any.
 * Owns:    the caller owns *out and ends it with weir_store_close().
 * Returns: WEIR_OK; WEIR_INVAL (a url that names no kind of store, or bad
 *          options), WEIR_NOTFOUND (there is none), WEIR_FOREIGN (something
 *          else is there), WEIR_OLD (it needs a migration), WEIR_NEWER (a
 *          newer version has made it), WEIR_CORRUPT, WEIR_BUSY (another
 *          program holds it), WEIR_NOMEM, WEIR_SYSTEM; reterr (NULL is fine)
 *          says why.
 */
WEIR_API WEIR_NODISCARD weir_status
weir_store_open(weir_store **out, const weir_store_options *options,
		weir_error *reterr);

/*
 * Close it.  NULL is fine.
 *
 * Waits:   for what has been asked of it.
 * Threads: no other call on it, or on its work, may be in progress or follow.
 * Owns:    takes store.
 * Returns: NULL.
 */
WEIR_API weir_store *weir_store_close(weir_store *store);

/* What makes a job the same as another: a set, for weir_insert.unique. */
#define WEIR_UNIQUE_ARGS    1u /* the same args */
#define WEIR_UNIQUE_QUEUE   2u /* the same queue */
#define WEIR_UNIQUE_PERIOD  4u /* within the same period */
#define WEIR_UNIQUE_KIND    8u /* the same kind; implied by any of the others */
#define WEIR_UNIQUE_NO_KIND 16u /* whatever the kind */

/* The states in which a job stands in another one's way, by default: all but
 * cancelled and discarded. */
#define WEIR_UNIQUE_STATES_DEFAULT 0xf5u
/* Those that such a set must have. */
#define WEIR_UNIQUE_STATES_REQUIRED 0xd1u

#define WEIR_ARGS_MAX         (1024 * 1024) /* bytes of args, or metadata */
#define WEIR_ARGS_DEPTH_MAX   64
#define WEIR_MAX_ATTEMPTS     25
#define WEIR_MAX_ATTEMPTS_MAX 32767

/*
 * A job to be.  0 and NULL everywhere but kind mean the default.
 *
 * size             sizeof(weir_insert).
 * kind             which handler it needs.  2 to 127 bytes: letters, digits
 *                  and _, and behind the first -[]<>/.·:+ as well.  Those that
 *                  begin with "weir." are the command's own.  Required.
 * queue            "default" if NULL.  At most 64 bytes: a-z, 0-9, and single
 *                  _ and - between.
 * args, args_len   a JSON object, kept byte for byte; "{}" if NULL.  args_len
 *                  0: args ends with a NUL byte.
 * metadata, metadata_len  the same, for whoever looks at the job.
 * tags, tag_count  words of 3 to 255 letters, digits, _ and -.
 * priority         1 (first) to 4; 0 means 1.
 * max_attempts     0 means WEIR_MAX_ATTEMPTS.
 * delay_ns         run it so much later.
 * scheduled_at_ms  or at that time; one of the two.
 * timeout_ns       of an attempt; 0: as its worker says.
 * pending          it waits until somebody makes it available.
 * unique           WEIR_UNIQUE_...: if there is such a job already, none is
 *                  inserted, and that one's id is given.
 * unique_period_ns at least a second; required with WEIR_UNIQUE_PERIOD.
 * unique_states    a set of states in which that other one counts; 0 means
 *                  WEIR_UNIQUE_STATES_DEFAULT.
 * unique_fields    with WEIR_UNIQUE_ARGS, only these members of args count:
 *                  names, or paths with dots; NULL: all.
 */
typedef struct weir_insert {
	size_t size;
	const char *kind, *queue;
	const char *args;
	size_t args_len;
	const char *metadata;
	size_t metadata_len;
	const char *const *tags;
	size_t tag_count;
	uint32_t priority, max_attempts;
	int64_t delay_ns, scheduled_at_ms, timeout_ns;
	bool pending;
	uint32_t unique;
	int64_t unique_period_ns;
	uint32_t unique_states;
	const char *const *unique_fields;
	size_t unique_field_count;
} weir_insert;

WEIR_OPTIONS_TYPE(weir_insert)

#ifdef __cplusplus
#define WEIR_INSERT_INIT weir_insert_make()
#else
#define WEIR_INSERT_INIT                    \
	{                                   \
		.size = sizeof(weir_insert) \
	}
#endif

/*
 * What came of an insert.  A plain value.
 *
 * id         of the new job, or of the one that was in its way.
 * state      of that job.
 * duplicate  it was there before.
 */
typedef struct weir_inserted {
	int64_t id;
	weir_state state;
	bool duplicate;
} weir_inserted;

/*
 * Insert count jobs, all or none: when it returns WEIR_OK they are durable.
 * Calls of several threads share one commit, so many callers at once cost
 * hardly more than one.  The array's stride is the size of its first element,
 * which is the size of all.  None at all is fine.
 *
 * Waits:   for the disk, and for other programs up to busy_ns.  If ctx is
 *          done by the time that its turn has come, it is not done.
 * Threads: any.
 * Owns:    nothing; all texts are copied.  rets (count of them; NULL is fine)
 *          is written with WEIR_OK only, in the order of inserts.
 * Returns: WEIR_OK; WEIR_INVAL (the message says which and why), WEIR_BUSY,
 *          WEIR_CANCELED, WEIR_TIMEDOUT, WEIR_NOMEM, WEIR_SYSTEM,
 *          WEIR_CORRUPT.  After SYSTEM nothing
 *          was inserted, unless the flush failed and the machine dies before
 *          the next one.
 */
WEIR_API WEIR_NODISCARD weir_status
weir_store_insert(weir_store *store, const weir_insert *inserts, size_t count,
		  weir_inserted *rets, weir_ctx *ctx, weir_error *reterr);

/*
 * Insert inside a transaction of the caller's own, on the caller's own
 * connection to the same database file: the jobs exist when that transaction
 * commits, and not if it does not.  Call weir_store_committed() after the
 * commit, so that workers hear of it at once instead of within half a minute.
 *
 * The connection is set up not to checkpoint by itself (see docs/durable.md).
 *
 * Waits:   for the database's write lock, as the caller's connection does.
 * Threads: whoever may use db.
 * Owns:    nothing.
 * Returns: WEIR_OK; WEIR_INVAL (db has no transaction, or is another
 *          database), WEIR_BUSY, WEIR_NOMEM, WEIR_SYSTEM, WEIR_CORRUPT.
 */
WEIR_API WEIR_NODISCARD weir_status weir_store_insert_tx(
	weir_store *store, struct sqlite3 *db, const weir_insert *inserts,
	size_t count, weir_inserted *rets, weir_error *reterr);

/*
 * A transaction with weir_store_insert_tx() in it has been committed.
 *
 * Waits:   never.
 * Threads: any.
 * Owns:    nothing.
 * Returns: nothing.
 */
WEIR_API void weir_store_committed(weir_store *store);

/*
 * A job as it stands in its store.  Times are 0 when there is none.  The JSON
 * texts are as they were given; a text that there is none of is "" with
 * length 0.  All end with a NUL that is not counted.
 *
 * attempted_by  who ran it last: "host:pid".
 * crashes       workers that have died with it, since it last ended well.
 * errors        a JSON array of {"at", "attempt", "error", "trace"}.
 * tags          a JSON array.
 * unique_key    NULL, or 32 bytes.
 */
typedef struct weir_job_row {
	int64_t id;
	weir_state state;
	uint32_t priority, attempt, max_attempts, crashes, unique_states;
	int64_t created_at_ms, scheduled_at_ms, attempted_at_ms;
	int64_t finalized_at_ms, cancel_at_ms;
	int64_t timeout_ns;
	const char *queue, *kind, *attempted_by;
	const char *args, *metadata, *tags, *errors, *output;
	size_t args_len, metadata_len, tags_len, errors_len, output_len;
	const unsigned char *unique_key;
} weir_job_row;

/*
 * Which jobs.  Zero and NULL mean any; what is given must all hold.
 *
 * size        sizeof(weir_job_filter).
 * ids         only these.
 * states      a set of WEIR_JOB_STATE_BIT()s.
 * queue, kind, tag  the same text.
 * since_ms    created at that time or later.
 * before_id   smaller ids only: the last id of a page gives the next.
 * after_id    larger ids only.
 * limit       at most so many; 0: all.
 * oldest_first  in the order of ids; else the newest come first.
 */
typedef struct weir_job_filter {
	size_t size;
	const int64_t *ids;
	size_t id_count;
	uint32_t states;
	const char *queue, *kind, *tag;
	int64_t since_ms, before_id, after_id;
	uint64_t limit;
	bool oldest_first;
} weir_job_filter;

WEIR_OPTIONS_TYPE(weir_job_filter)

#ifdef __cplusplus
#define WEIR_JOB_FILTER_INIT weir_job_filter_make()
#else
#define WEIR_JOB_FILTER_INIT                    \
	{                                       \
		.size = sizeof(weir_job_filter) \
	}
#endif

/*
 * Take a row.
 *
 * Waits:   as it likes; the store's reading side waits with it.
 * Threads: the one that asked.  It may not call the store.
 * Owns:    the row is lent until it returns.
 * Returns: whether to go on.
 */
typedef bool weir_job_row_fn(const weir_job_row *row, void *user);

/*
 * Give each job that the filter lets through; without a filter all.
 *
 * Waits:   for the disk.
 * Threads: any.
 * Owns:    nothing.
 * Returns: WEIR_OK, WEIR_INVAL, WEIR_BUSY, WEIR_NOMEM, WEIR_SYSTEM,
 *          WEIR_CORRUPT.
 */
WEIR_API WEIR_NODISCARD weir_status
weir_store_list(weir_store *store, const weir_job_filter *filter,
		weir_job_row_fn *row, void *user, weir_error *reterr);

/*
 * What to do to jobs.
 *
 * CANCEL  What waits is cancelled; what runs is told, and is cancelled unless
 *         it ends well in spite of that.
 * RETRY   Whatever does not run is available at once, with one more attempt
 *         if it had used up all.  Workers that have died with it are forgotten.
 * DELETE  What does not run is gone.
 */
typedef enum weir_job_action {
	WEIR_JOB_CANCEL = 0,
	WEIR_JOB_RETRY = 1,
	WEIR_JOB_DELETE = 2
} weir_job_action;

/*
 * What came of it for one job: its status and the state that it is in now
 * (or was in, when it was deleted).
 *
 * status  WEIR_OK; WEIR_NOTFOUND; WEIR_BUSY (it runs, and cannot be retried
 *         or deleted); WEIR_CLOSED (it was over, or available, already);
 *         WEIR_INVAL (a retry that another unique job stands in the way of).
 */
typedef struct weir_job_changed {
	weir_status status;
	weir_state state;
} weir_job_changed;

/*
 * Do that to each of these jobs, in one commit.
 *
 * Waits:   for the disk, and for other programs up to busy_ns.  If ctx is
 *          done by the time that its turn has come, it is not done.
 * Threads: any.
 * Owns:    rets (count of them; NULL is fine) is written with WEIR_OK only.
 * Returns: WEIR_OK (see rets), WEIR_INVAL, WEIR_BUSY, WEIR_CANCELED,
 *          WEIR_TIMEDOUT, WEIR_NOMEM, WEIR_SYSTEM, WEIR_CORRUPT.
 */
WEIR_API WEIR_NODISCARD weir_status
weir_store_change(weir_store *store, weir_job_action action, const int64_t *ids,
		  size_t count, weir_job_changed *rets, weir_ctx *ctx,
		  weir_error *reterr);

/*
 * What becomes of completed jobs: they are kept until their retention is
 * over, moved to a compact table without indexes, or dropped at once.
 */
typedef enum weir_finished_policy {
	WEIR_FINISHED_KEEP = 0,
	WEIR_FINISHED_ARCHIVE = 1,
	WEIR_FINISHED_DROP = 2
} weir_finished_policy;

/*
 * A queue: its name, since when it is paused (0: it is not), what becomes of
 * its completed jobs, and how many jobs are in each state.
 */
typedef struct weir_queue_row {
	const char *name;
	int64_t created_at_ms, paused_at_ms;
	weir_finished_policy finished;
	uint64_t counts[8]; /* by weir_state */
} weir_queue_row;

typedef bool weir_queue_row_fn(const weir_queue_row *row, void *user);

/*
 * Give each queue, by name.  Counting takes time in proportion to the jobs.
 *
 * Waits:   for the disk.
 * Threads: any; row may not call the store.
 * Owns:    rows are lent.
 * Returns: WEIR_OK, WEIR_INVAL, WEIR_BUSY, WEIR_NOMEM, WEIR_SYSTEM,
 *          WEIR_CORRUPT.
 */
WEIR_API WEIR_NODISCARD weir_status weir_store_queues(weir_store *store,
						      weir_queue_row_fn *row,
						      void *user,
						      weir_error *reterr);

/*
 * Pause a queue (nothing of it is claimed; what runs, runs on) or let it go
 * on.  "*" stands for all.
 *
 * Waits:   for the disk.
 * Threads: any.
 * Owns:    nothing.
 * Returns: WEIR_OK, WEIR_INVAL (bad name), WEIR_NOTFOUND, WEIR_BUSY,
 *          WEIR_NOMEM, WEIR_SYSTEM, WEIR_CORRUPT.
 */
WEIR_API WEIR_NODISCARD weir_status weir_store_pause(weir_store *store,
						     const char *queue,
						     bool pause,
						     weir_error *reterr);

/*
 * Say what becomes of the completed jobs of a queue from now on.  A queue
 * that was not there is made.
 *
 * Waits:   for the disk.
 * Threads: any.
 * Owns:    nothing.
 * Returns: WEIR_OK, WEIR_INVAL (bad name), WEIR_BUSY, WEIR_NOMEM,
 *          WEIR_SYSTEM, WEIR_CORRUPT.
 */
WEIR_API WEIR_NODISCARD weir_status
weir_store_set_finished(weir_store *store, const char *queue,
			weir_finished_policy finished, weir_error *reterr);

/*
 * A limit of a kind that holds for all workers of a store together, on
 * whatever machines: how many of its jobs may run at once, and how many may
 * begin in a second.  A store in PostgreSQL only (weir/fleet.h); in a file each
 * process has limits of its own, in the handlers of weir/work.h.
 *
 * Jobs that wait for a limit stay available, and stand in line with those of
 * other kinds by priority and time.  A job begins, and counts as one that runs,
 * when it is claimed.
 *
 * size        sizeof(weir_kind_limit).
 * kind        which.  Required.
 * most        run at once; 0: any number.
 * per_second  begin in a second, on average; 0: any number.
 * burst       begin at once, after a time with none; 0: a twentieth of a
 *             second's, but one at least.
 * running, waiting  how many do, just now; of rows only.
 */
typedef struct weir_kind_limit {
	size_t size;
	const char *kind;
	uint32_t most;
	double per_second;
	uint32_t burst;
	uint64_t running, waiting;
} weir_kind_limit;

WEIR_OPTIONS_TYPE(weir_kind_limit)

typedef bool weir_kind_limit_fn(const weir_kind_limit *row, void *user);

/*
 * Set a limit, or change the one that the kind has.  Workers that run heed it
 * at once; what runs already runs on, and counts.  A kind that had no limit
 * pauses for a second first, so that all have heard of it.
 *
 * Waits:   for the server.
 * Threads: any.
 * Owns:    nothing.
 * Returns: WEIR_OK, WEIR_INVAL (a bad limit, or the store is none in
 *          PostgreSQL), WEIR_BUSY, WEIR_NOMEM, WEIR_SYSTEM, WEIR_CORRUPT.
 */
WEIR_API WEIR_NODISCARD weir_status weir_store_limit(
	weir_store *store, const weir_kind_limit *limit, weir_error *reterr);

/*
 * Take the limit of a kind away.
 *
 * Waits:   for the server.
 * Threads: any.
 * Owns:    nothing.
 * Returns: WEIR_OK, WEIR_INVAL (as above), WEIR_NOTFOUND (it has none),
 *          WEIR_BUSY, WEIR_NOMEM, WEIR_SYSTEM, WEIR_CORRUPT.
 */
WEIR_API WEIR_NODISCARD weir_status weir_store_unlimit(weir_store *store,
						       const char *kind,
						       weir_error *reterr);

/*
 * Give each limit, by kind.  Counting takes time in proportion to the jobs.
 *
 * Waits:   for the server.
 * Threads: any; row may not call the store.
 * Owns:    rows are lent.
 * Returns: WEIR_OK, WEIR_INVAL (as above), WEIR_BUSY, WEIR_NOMEM, WEIR_SYSTEM,
 *          WEIR_CORRUPT.
 */
WEIR_API WEIR_NODISCARD weir_status weir_store_limits(weir_store *store,
						      weir_kind_limit_fn *row,
						      void *user,
						      weir_error *reterr);

/*
 * A job that is inserted again and again.  Kept in the store; whichever
 * worker sees that one is due inserts it, and no other does.
 *
 * size    sizeof(weir_schedule).
 * name    at most 127 bytes on one line.  Putting one of the same name
 *         replaces it; a tick that is due is not lost by that if the spec is
 *         the same.
 * spec    a cron line of five fields, in UTC; "@hourly" and the like; or
 *         "@every 90s".
 * job     what is inserted; its times are ignored.  It may be unique, but not
 *         within a period: each tick fires once anyway.  Required.  Of rows,
 *         its tags and what makes it unique are not told.
 * paused  it does not fire.
 * next_at_ms, last_at_ms  when it will and when it did; of rows only.
 */
typedef struct weir_schedule {
	size_t size;
	const char *name, *spec;
	const weir_insert *job;
	bool paused;
	int64_t next_at_ms, last_at_ms;
} weir_schedule;

WEIR_OPTIONS_TYPE(weir_schedule)

typedef bool weir_schedule_fn(const weir_schedule *row, void *user);

/*
 * Put a schedule into the store.
 *
 * Waits:   for the disk.
 * Threads: any.
 * Owns:    nothing.
 * Returns: WEIR_OK, WEIR_INVAL, WEIR_BUSY, WEIR_NOMEM, WEIR_SYSTEM,
 *          WEIR_CORRUPT.
 */
WEIR_API WEIR_NODISCARD weir_status weir_store_schedule(
	weir_store *store, const weir_schedule *schedule, weir_error *reterr);

/*
 * Take it out again.
 *
 * Waits:   for the disk.
 * Threads: any.
 * Owns:    nothing.
 * Returns: WEIR_OK, WEIR_INVAL (bad name), WEIR_NOTFOUND, WEIR_BUSY,
 *          WEIR_NOMEM, WEIR_SYSTEM, WEIR_CORRUPT.
 */
WEIR_API WEIR_NODISCARD weir_status weir_store_unschedule(weir_store *store,
							  const char *name,
							  weir_error *reterr);

/*
 * Pause a schedule, or let it go on; what it has missed in between does not
 * fire.
 *
 * Waits:   for the disk.
 * Threads: any.
 * Owns:    nothing.
 * Returns: WEIR_OK, WEIR_NOTFOUND, WEIR_INVAL, WEIR_BUSY, WEIR_NOMEM,
 *          WEIR_SYSTEM, WEIR_CORRUPT.
 */
WEIR_API WEIR_NODISCARD weir_status weir_store_pause_schedule(
	weir_store *store, const char *name, bool pause, weir_error *reterr);

/*
 * Give each schedule, by name.
 *
 * Waits:   for the disk.
 * Threads: any; row may not call the store.
 * Owns:    rows are lent.
 * Returns: WEIR_OK, WEIR_INVAL, WEIR_BUSY, WEIR_NOMEM, WEIR_SYSTEM,
 *          WEIR_CORRUPT.
 */
WEIR_API WEIR_NODISCARD weir_status weir_store_schedules(weir_store *store,
							 weir_schedule_fn *row,
							 void *user,
							 weir_error *reterr);

#ifdef __cplusplus
}
#endif

#endif
