/*
 * Commands whose work is done by a program of its own, as git's are.
 *
 * libcurl and what it brings take eight megabytes before the first line of
 * ours runs; who runs commands or looks at a queue should not pay for it. So
 * `weir` knows the tables of all commands, for help, completions and mistakes,
 * and is linked with what is small.  The others are the same frame, linked
 * with more, and `weir` becomes them:
 *
 *      weir-fetch      libcurl         fetch, and work that is HTTP calls
 *      weir-queue      SQLite          enqueue, work, jobs, queues, schedule,
 *                                      db, and run --queue
 *      weir-fleet      and libpq       the same, if --db names a store in
 *                                      PostgreSQL
 *
 * weir-fetch is linked with both, too: for that work, and fetch --queue.
 */
#ifndef WEIR_SRC_CLI_ELSEWHERE_H
#define WEIR_SRC_CLI_ELSEWHERE_H

#include "cli/command.h"

/*
 * Become that program, which stands beside `weir`, or where it was installed.
 *
 * Waits:   never.
 * Threads: the main thread, before there are others.
 * Owns:    nothing.
 * Returns: only if it cannot be run, which has been printed: the exit status.
 */
int weir__elsewhere(struct weir_cli *cli, const char *program);

/* The same with the program for what is done to that store. */
int weir__elsewhere_for(struct weir_cli *cli, const char *db);

#endif
