/*
 * What weir jobs is doing: jobs_run.c looks, jobs_change.c changes.
 */
#ifndef WEIR_SRC_CLI_JOBS_RUN_H
#define WEIR_SRC_CLI_JOBS_RUN_H

#include "cli/cmd_queue.h"
#include "cli/queue_print.h"

#include <weir/queue.h>

struct jobs {
	struct weir_cli *cli;
	const struct jobs_cli_options *options;
	weir_store *store;
	weir_job_filter filter;
	int64_t *ids; /* the operands */
	size_t id_count;
	int64_t now_ms;
	struct queue_out out;
};

/* Is there anything that a job might not match? */
bool weir__jobs_has_filter(const struct jobs *jobs);

/* Say what the store has said.  The exit status. */
int weir__jobs_failed(struct jobs *jobs, const char *what, weir_status status,
		      weir_error *error);
void weir__jobs_not_found(struct jobs *jobs, int64_t id);

/* Before the store is opened: ids, or filters.  -1, or the exit status. */
int weir__jobs_check_change(struct jobs *jobs, const char *word);
int weir__jobs_change(struct jobs *jobs, weir_job_action action);

#endif
