/*
 * `weir fetch`: what cmd_fetch.c (options and texts) and fetch_run.c (the run
 * itself) share.
 */
#ifndef WEIR_SRC_CLI_CMD_FETCH_H
#define WEIR_SRC_CLI_CMD_FETCH_H

#include "cli/command.h"
#include "fetch/options.h"

/* What becomes the exit status when some have failed; as in the table. */
enum fetch_exit_code {
	FETCH_EXIT_XARGS,
	FETCH_EXIT_COUNT,
};

struct fetch_cli_options {
	int64_t jobs, per_host, retries;
	double rate;
	uint64_t limit_rate, max_size;
	int64_t timeout_ns, connect_ns, first_byte_ns, stall_ns;
	int64_t max_time_ns, grace_ns;
	const char *method, *user_agent, *proxy, *ca_file;
	struct weir_option_list headers, data;
	bool head, compressed, http1, http2, ipv4, ipv6;
	bool insecure, public_only, env_proxy;
	bool json, ordered, checksum, only_failed;
	const char *dir, *records, *resume;
	enum fetch_exit_code exit_code;
	const char *queue, *db; /* not now, but later: fetch_queue.c */
};

/* Do it; the exit status. */
int weir__fetch_run(struct weir_cli *cli);
/* With --queue, in fetch_queue.c. */
int weir__fetch_enqueue(struct weir_cli *cli);

#endif
