/*
 * `weir run`: what cmd_run.c (options and texts) and run_run.c (the run
 * itself) share.
 */
#ifndef WEIR_SRC_CLI_CMD_RUN_H
#define WEIR_SRC_CLI_CMD_RUN_H

#include "cli/command.h"

/* What becomes the exit status when some have failed; as in the table. */
enum run_exit_code {
	RUN_EXIT_XARGS,
	RUN_EXIT_COUNT,
	RUN_EXIT_FIRST,
	RUN_EXIT_MAX,
};

struct run_cli_options {
	const char *jobs; /* "8", "200%" */
	struct weir_option_list files;
	bool null, skip_blank, link, shell;
	const char *delimiter, *colsep, *replace;
	int64_t max_args;

	bool ordered, tagged, lines, direct, json;
	const char *joblog, *log, *resume;
	bool only_failed;

	int64_t retries;
	const char *backoff, *retry_on;
	int64_t timeout_ns, kill_after_ns, max_time_ns, grace_ns;
	const char *halt;
	enum run_exit_code exit_code;

	double rate;
	int64_t delay_ns;
	const char *load;
	uint64_t memfree;
	bool jobserver;

	uint64_t mem_limit;
	int64_t cpu_limit_ns, nofile;
	const char *dir;
	bool dry_run, verbose;

	const char *queue, *db; /* not now, but later: run_queue.c */
};

/* In run_run.c; and in run_queue.c, which is weir-queue's: with --queue. */
int weir__run_run(struct weir_cli *cli);

#endif
