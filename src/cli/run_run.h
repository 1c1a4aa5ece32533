/*
 * The state of a run of weir run, and how it is set up (run_setup.c).
 */
#ifndef WEIR_SRC_CLI_RUN_RUN_H
#define WEIR_SRC_CLI_RUN_RUN_H

#include "cli/cmd_run.h"
#include "cli/signals.h"
#include "cli/summary.h"
#include "exec/engine.h"
#include "exec/halt.h"
#include "exec/items.h"
#include "exec/jobserver.h"
#include "exec/report.h"
#include "exec/resume.h"
#include "exec/template.h"
#include "sync/thread.h"

/* Why the source had nothing to give, for the hook that says what to await. */
enum run_hunger {
	RUN_AWAITS_INPUT,
	RUN_AWAITS_ROOM,
	RUN_AWAITS_TOKEN,
	RUN_AWAITS_GUARD,
};

struct run_file {
	const char *path; /* NULL: none */
	int fd;           /* -1: none, or it has failed */
};

struct run {
	/* fixed before the engine starts */
	struct weir_cli *cli;
	const struct run_cli_options *options;
	struct weir_exec_options engine_options;
	struct weir_template_options template_options;
	struct weir_item_source *sources;
	size_t source_count;
	const char **words;     /* the command, and what stood after ::: */
	size_t items_bytes_max; /* of one command, with -n; 0: what fits */
	const char **inputs;    /* files that are read */
	size_t input_count;
	struct weir_buf program; /* where it was found */
	struct weir_halt halt;
	double load_max; /* 0: any */
	struct run_file log, joblog;
	struct weir_template *template;
	struct weir_items *items;
	struct weir_exec_resume *resume;
	struct weir_exec_engine *engine;
	struct weir_spool_budget budget;
	weir_ctx *ctx; /* done when --max-time is over */
	int64_t began_ns;

	/* the source's, one thread at a time */
	struct weir_exec_job *next; /* made, and not given yet */
	int64_t guard_ns;           /* when the guards were last looked at */
	bool guarded;               /* and they said no */
	weir_error input_error;

	/* guarded by gate_mu */
	struct weir_mutex gate_mu;
	struct weir_jobserver *jobserver;

	/* the main thread's */
	struct weir_progress progress;
	struct weir_stop stop;
	int stdout_error; /* errno; then nothing more is printed there */
	int exit_early;   /* an exit status that stands already, or -1 */
	int notify_fd, signal_fd;
	struct weir_thread thread;

	/* the report's lock guards these */
	struct weir_tally reasons;

	struct weir_exec_report report;

	/* atomic */
	struct weir_u32 hunger;   /* enum run_hunger */
	struct weir_u32 halted;   /* 0, 1: soon, 2: now */
	struct weir_u32 finished; /* then status and error are valid */
	weir_status status;       /* of the engine */
	weir_error error;
};

/* Say what has failed; both give the exit status. */
int weir__run_fail(struct run *run, const char *what, int error_number,
		   const char *where);
int weir__run_no_memory(struct run *run);

/* The steps before a run, in this order.  -1, or the exit status. */
int weir__run_take_options(struct run *run);
/* Does it look more like a script than like the name of a program? */
bool weir__run_is_script(const char *name);
#define RUN_TRY_SHELL "weir run --shell, if it is a script"

/* How many results may wait for their turn, with -k. */
size_t weir__run_window(const struct run *run);
int weir__run_take_operands(struct run *run);
int weir__run_find_program(struct run *run);
int weir__run_raise_limit(struct run *run);
int weir__run_open_logs(struct run *run);

/* run_source.c: hooks of the engine */
weir_status weir__run_next(struct weir_exec_job **ret, void *user);
int64_t weir__run_hungry(int *ret_fd, void *user);
/* A job that was given is over. */
void weir__run_gate_leave(struct run *run);

#endif
