/*
 * The state of a run of weir fetch, and how it is set up (fetch_setup.c).
 */
#ifndef WEIR_SRC_CLI_FETCH_RUN_H
#define WEIR_SRC_CLI_FETCH_RUN_H

#include "cli/cmd_fetch.h"
#include "cli/signals.h"
#include "cli/summary.h"
#include "fetch/count.h"
#include "fetch/engine.h"
#include "fetch/report.h"
#include "sync/thread.h"

struct fetch_run {
	struct weir_cli *cli;
	const struct fetch_cli_options *options;
	struct weir_fetch_options engine_options;
	char *body; /* of -d */

	const char *const *files;
	size_t file_count;
	const char *resume_file[1];
	bool from_records; /* the list is the records of --resume */

	struct weir_fetch_resume *resume;
	struct weir_fetch_input *input;
	struct weir_fetch_engine *engine;
	struct weir_fetch_report report;
	struct weir_fetch_count count;
	struct weir_progress progress;
	struct weir_tally reasons;
	struct weir_stop stop;
	weir_ctx *ctx; /* done when --max-time is over */
	int64_t began_ns;

	char *records_path; /* NULL: none */
	int records_fd;
	int stdout_error; /* errno; then nothing more is printed */
	int exit_early;   /* an exit status that stands already, or -1 */

	int notify_fd, signal_fd;
	struct weir_thread thread;
	struct weir_u32 finished;
	weir_status status; /* of the engine; valid when finished */
	weir_error error;
};

/* Say what has failed; both give the exit status. */
int weir__fetch_fail(struct fetch_run *run, const char *what, int error_number,
		     const char *where);
int weir__fetch_no_memory(struct fetch_run *run);

/* The steps before a run, in this order.  -1, or the exit status. */
int weir__fetch_take_options(struct fetch_run *run);
int weir__fetch_take_operands(struct fetch_run *run);
int weir__fetch_raise_limit(struct fetch_run *run);
int weir__fetch_open_records(struct fetch_run *run);

#endif
