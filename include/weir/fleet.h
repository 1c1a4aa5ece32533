/*
 * weir/fleet.h - one queue for many machines: a store in PostgreSQL.
 *
 * The same store as that of weir/queue.h, with the same calls, states and
 * promises; but what was a file on one machine is a database that any number
 * of machines reach.  Its tables are those of River (riverqueue.com), so that
 * programs in Go, Ruby, Rust and JavaScript insert jobs that this library
 * works, and the reverse.
 *
 *      ┌ machine ┐  ┌ machine ┐  ┌ machine ──┐
 *      │ insert  │  │ work    │  │ River, Go │
 *      └────┬────┘  └────┬────┘  └─────┬─────┘
 *           └────────────┼─────────────┘
 *                   PostgreSQL
 *
 *      weir_store_options options = WEIR_STORE_OPTIONS_INIT;
 *
 *      options.url = "postgres://app@db.example/app";
 *      options.create = true;
 *      status = weir_fleet_open(&store, &options, &error);
 *
 * and then weir_store_insert(), weir_work_new() and the rest of weir/queue.h
 * and weir/work.h.  What is different is below, and in docs/fleet.md: times
 * are the database's, args and metadata come back as jsonb keeps them, and
 * nobody works such a store alone.
 *
 * This header and libweir-fleet are beside libweir-queue, because they need
 * libpq.  Link with `pkg-config --libs weir-fleet`.
 */
#ifndef WEIR_FLEET_H
#define WEIR_FLEET_H

#include <weir/base.h>
#include <weir/queue.h>
#include <weir/work.h>

#ifdef __cplusplus
extern "C" {
#endif

/* libpq's PGconn is this. */
struct pg_conn;

/*
 * Open a store in PostgreSQL, 14 or later.  Of the options, these have
 * another meaning than for a file:
 *
 * url         "postgres://USER@HOST/DATABASE?schema=NAME", or "postgres:" and
 *             pairs such as "host=HOST dbname=NAME schema=NAME"; all that libpq
 *             knows, and schema, which says where the tables are; without it
 *             the search_path does.  libpq's variables and its password file
 *             are heeded.
 * create      make the tables, and the schema, if there are none.  The database
 *             has to be there.
 * migrate     bring River's tables to version 8, and make ours beside them.
 *             Version 7 is good enough as it is.
 * durability  is the server's affair (synchronous_commit); not used.
 * busy_ns     how much longer than 30 s an answer may take.
 *
 * An open store has up to three connections, and one more as soon as it is
 * worked, which listens.  A connection that is lost is made again when it is
 * next needed.  It may be used from any number of threads; it must not be used
 * in a child after fork(), and a zygote (weir/isolate.h) must be made before.
 *
 * Waits:   for the server: up to 10 s for a connection.
 * Threads: any.
 * Owns:    the caller owns *out and ends it with weir_store_close().
 * Returns: WEIR_OK; WEIR_INVAL (no such url, or bad options), WEIR_NOTFOUND
 *          (there is no such database, or it has no tables), WEIR_FOREIGN (not
 *          PostgreSQL, or too old), WEIR_OLD (it needs a migration),
 *          WEIR_NEWER (a newer version has made it), WEIR_BUSY, WEIR_NOMEM,
 *          WEIR_CORRUPT, WEIR_SYSTEM (native is ECONNREFUSED if there was no
 *          answer, EACCES if we are not let in); reterr (NULL is fine) says
 *          why, and never holds a password.
 */
WEIR_API WEIR_NODISCARD weir_status
weir_fleet_open(weir_store **out, const weir_store_options *options,
		weir_error *reterr);

/*
 * Insert inside a transaction of the caller's own, on the caller's own
 * connection to the same database: the jobs exist when that transaction
 * commits, and not if it does not.  Workers hear of it with the commit.
 *
 * An error of the server's ends the caller's transaction, as one in a statement
 * of the caller's would: it can only be rolled back then.
 *
 * Waits:   for the server, as the caller's connection does.
 * Threads: whoever may use pg.
 * Owns:    nothing.
 * Returns: WEIR_OK; WEIR_INVAL (the message says why: pg has no transaction, is
 *          in pipeline mode or of another database; a bad job; the store is a
 *          file), WEIR_BUSY (a deadlock, or a lock that was not to be had),
 *          WEIR_NOMEM, WEIR_SYSTEM, WEIR_CORRUPT.
 */
WEIR_API WEIR_NODISCARD weir_status weir_fleet_insert_tx(
	weir_store *store, struct pg_conn *pg, const weir_insert *inserts,
	size_t count, weir_inserted *rets, weir_error *reterr);

/*
 * Complete a job inside a transaction of the caller's own, on the caller's own
 * connection to the same database: what else is in that transaction and the
 * job's completion are committed together, or neither is.  After WEIR_STALE
 * the transaction must be rolled back: somebody else has the job.  The handler
 * then returns WEIR_OK after the commit.
 *
 * Waits:   for the server, as the caller's connection does.
 * Threads: the job's own.
 * Owns:    nothing.
 * Returns: WEIR_OK, WEIR_STALE, WEIR_INVAL (as above), WEIR_BUSY (as above, or
 *          a transaction of REPEATABLE READ or higher is older than the claim
 *          of the job: roll it back and begin another), WEIR_NOMEM,
 *          WEIR_SYSTEM, WEIR_CORRUPT.
 */
WEIR_API WEIR_NODISCARD weir_status weir_fleet_complete_tx(
	const weir_job_row *job, struct pg_conn *pg, weir_error *reterr);

#ifdef __cplusplus
}
#endif

#endif
