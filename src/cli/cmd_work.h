/*
 * `weir work`: what cmd_work.c (options and texts) and work_run.c (the run
 * itself) share.
 */
#ifndef WEIR_SRC_CLI_CMD_WORK_H
#define WEIR_SRC_CLI_CMD_WORK_H

#include "cli/cmd_queue.h"

struct work_cli_options {
	const char *db;
	enum queue_durability durability;
	bool alone, until_empty;

	const char *jobs; /* "8", "200%" */
	struct weir_option_list kinds, limits;
	double rate;

	const char *http; /* where jobs are posted to */
	bool fetch;       /* run those of `weir fetch --queue` */
	struct weir_option_list headers;
	const char *ca_file, *fetch_dir;
	int64_t per_host;
	bool public_only, insecure;

	int64_t timeout_ns, kill_after_ns, grace_ns;
	bool output; /* keep what is printed with the job */

	bool tagged, lines, json, verbose;
	const char *log;

	uint64_t mem_limit;
	int64_t cpu_limit_ns, nofile;
	const char *dir;
};

/* In work_run.c. */
int weir__work_run(struct weir_cli *cli);

#endif
