/*
 * The commands that look at and change a store of durable jobs: what their
 * option tables (cmd_enqueue.c, cmd_jobs.c, cmd_queues.c, cmd_limits.c,
 * cmd_schedule.c, cmd_db.c) and what they do (the files named below) share.
 *
 * They are done by weir-queue, which is linked with SQLite, or by weir-fleet,
 * with libpq; see elsewhere.h.
 */
#ifndef WEIR_SRC_CLI_CMD_QUEUE_H
#define WEIR_SRC_CLI_CMD_QUEUE_H

#include "cli/command.h"

#define WEIR_QUEUE_DB_DEFAULT "jobs.db"

/* The row of the store, the same in every table; AT is the table's macro. */
#define WEIR_QUEUE_DB_ROW                                                   \
	AT(FILE, db),                                                       \
		.name = "db", .arg = "URL", .shown = WEIR_QUEUE_DB_DEFAULT, \
		.help = "the store: a file, or postgres://...",             \
		.more = "A file is `PATH` or `sqlite:PATH`; a store in "    \
			"PostgreSQL `postgres://USER@HOST/DATABASE`, with " \
			"`?schema=NAME` if it is not to be found by the "   \
			"search_path.  Better have the password in "        \
			"~/.pgpass than here."

/* What is said of a job to be, by flags; enqueue and schedule. */
struct job_cli_options {
	const char *kind, *args, *metadata, *unique;
	struct weir_option_list tags;
	int64_t priority, max_attempts, timeout_ns;
};

/* What an acknowledged job survives; as in the table, and as in queue.h. */
enum queue_durability {
	QUEUE_DURABLE_POWER,
	QUEUE_DURABLE_PROCESS,
};

struct enqueue_cli_options {
	const char *db;
	struct job_cli_options job;
	struct weir_option_list files;
	bool whole, pending, json;
	int64_t delay_ns;
	const char *at;
	enum queue_durability durability;
};

struct jobs_cli_options {
	const char *db;
	const char *queue, *kind, *state, *since, *tag;
	int64_t limit, before;
	bool oldest, all_matching, json;
};

/* What becomes of completed jobs; as in the table, and as in queue.h. */
enum queue_finished {
	QUEUE_FINISHED_KEEP,
	QUEUE_FINISHED_ARCHIVE,
	QUEUE_FINISHED_DROP,
};

struct queues_cli_options {
	const char *db;
	enum queue_finished finished;
	bool all, json;
};

struct limits_cli_options {
	const char *db;
	int64_t jobs, burst;
	double rate;
	bool json;
};

struct schedule_cli_options {
	const char *db;
	struct job_cli_options job;
	bool paused, json;
};

struct db_cli_options {
	const char *db;
	int64_t to;
	bool json;
};

/* enqueue_run.c, jobs_run.c, queues_run.c, limits_run.c, schedule_run.c,
 * db_run.c */
int weir__enqueue_run(struct weir_cli *cli);
int weir__jobs_run(struct weir_cli *cli);
int weir__queues_run(struct weir_cli *cli);
int weir__limits_run(struct weir_cli *cli);
int weir__schedule_run(struct weir_cli *cli);
int weir__db_run(struct weir_cli *cli);

#endif
