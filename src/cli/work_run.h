/*
 * The state of a run of weir work, and who sees to what of it.
 *
 *      work_setup.c   options and operands, the store
 *      work_run.c     signals, output, progress, the end
 *      work_tell.c    what has come of jobs: counts, records, news
 *      work_exec.c    jobs as child processes (in weir-queue)
 *      work_argv.c    ... and what these are called with
 *      work_http.c    jobs as HTTP calls (in weir-fetch)
 */
#ifndef WEIR_SRC_CLI_WORK_RUN_H
#define WEIR_SRC_CLI_WORK_RUN_H

#include "base/hist.h"
#include "cli/cmd_work.h"
#include "cli/signals.h"
#include "cli/summary.h"
#include "queue/work.h"
#include "sync/atomic.h"
#include "sync/mutex.h"
#include "sync/thread.h"

/* The kinds of jobs that weir itself makes. */
#define WORK_KIND_RUN   "weir.run"
#define WORK_KIND_FETCH "weir.fetch"

/* So much of the end of standard error is kept with a failure. */
#define WORK_TRACE_MAX 4096

/*
 * A job that was taken: from its take until its outcome is in the store.  The
 * engine's thread that ends it fills in what came of it, before the outcome is
 * given; the loop's thread reads that after.
 */
struct work_job {
	struct weir_claim *claim;
	uint64_t seq; /* the engine's number for it */
	/* guarded by run->mu: what the engine calls it, while it has it */
	void *inside;

	char shown[96]; /* what it is to people, or "": its kind */
	bool begun;     /* there was an attempt */
	bool is_exited; /* exit_code is its exit status */
	int exit_code;
	int signal;      /* that ended it; or 0 */
	int http_status; /* or 0 */
	int64_t started_unix_ns, wall_ns;
	char error[WEIR_ERROR_MAX]; /* "" if it was ok */
	char reason[WEIR_TALLY_NAME_MAX];
	struct weir_buf tail; /* of standard error, as far as it is known */
};

struct work_counts {
	uint64_t ok, failed, retried, cancelled, snoozed;
	uint64_t released;    /* handed back, and had not begun */
	uint64_t interrupted; /* handed back, and had */
	uint64_t stale;       /* not ours any more when they ended */
};

/* Text that others add to and the main thread writes. */
struct work_text {
	struct weir_buf pending; /* guarded by run->mu */
	struct weir_buf writing; /* the main thread's */
	size_t written;          /* of writing */
};

struct work_run;

/*
 * What runs the jobs.  open makes it (-1, or the exit status after an error);
 * run waits until all is over; the rest may be called by any thread between
 * these two, and none of it waits but kill.
 *
 * write    the main thread: write what standard output and error take; the
 *          descriptor that is full, or -1.
 * news     the main thread: something else that it has to see to.
 */
struct work_lane {
	const char *name;
	int (*open)(struct work_run *run);
	weir_status (*run)(struct work_run *run, weir_error *reterr);
	void (*poke)(struct work_run *run);
	void (*stop)(struct work_run *run, bool now);
	void (*cancel)(struct work_run *run, struct work_job *job);
	void (*kill)(struct work_run *run);
	void (*stats)(struct work_run *run, weir_pool_stats *ret);
	int (*write)(struct work_run *run);
	void (*news)(struct work_run *run);
	void (*close)(struct work_run *run);
};

/* That of this program. */
extern const struct work_lane weir__work_lane;

struct work_run {
	/* fixed before anything runs */
	struct weir_cli *cli;
	const struct work_cli_options *options;
	const char *const *command; /* NULL: jobs bring theirs */
	size_t command_count;
	uint32_t jobs;
	const char **kinds;
	size_t kind_count;
	bool kinds_left_out;
	weir_work_queue *queues;
	size_t queue_count;
	struct weir_buf names; /* of queues and limits */
	weir_handler *limits;
	weir_store *store;
	weir_work *work;
	void *lane; /* the lane's own */
	int64_t began_ns;
	int notify_fd; /* an eventfd: the main thread has something to do */

	/* guarded by mu */
	struct weir_mutex mu;
	uint64_t seq; /* of the last job that was taken */
	struct work_counts counts;
	struct weir_hist latency; /* of completed jobs */
	struct weir_tally reasons;
	struct work_text records_out, records_file, said;
	weir_error trouble; /* with the store; status WEIR_OK: none */
	bool trouble_is_new;

	/* the main thread's */
	struct weir_progress progress;
	struct weir_stop stop;
	int exit_early; /* an exit status that stands already, or -1 */
	int signal_fd, log_fd;
	int stdout_error; /* errno; then nothing more is printed there */
	bool quiet;
	uint64_t seen;   /* a sum of all that changes, at the last look */
	int64_t seen_ns; /* when it last changed, or we were woken */
	struct weir_thread thread;

	/* atomic */
	struct weir_u32 full;     /* no room for records: poke the lane */
	struct weir_u32 asleep;   /* the main thread waits for news only */
	struct weir_u32 leaving;  /* what ends now was ended by us */
	struct weir_u32 finished; /* then status and error are valid */
	weir_status status;
	weir_error error;
};

/* work_setup.c: the steps before a run, in this order.  -1, or the status. */
int weir__work_take_options(struct work_run *run);
int weir__work_take_operands(struct work_run *run);
int weir__work_open_store(struct work_run *run);
int weir__work_make_work(struct work_run *run, const struct weir_lane *lane);
/* Say what has failed; both give the exit status. */
int weir__work_fail(struct work_run *run, const char *what, int error_number,
		    const char *where);
int weir__work_no_memory(struct work_run *run);

/* work_run.c: wake the main thread. */
void weir__work_notify(struct work_run *run);
/* The same if it waits for news only, such as a job that begins. */
void weir__work_stir(struct work_run *run);

/* work_tell.c */
/*
 * The next job, as weir__work_take() has it; BUSY too where records wait to
 * be written.
 */
weir_status weir__work_next(struct work_run *run, struct work_job **ret);
/* Before the engine is given it: what to cancel it by. */
void weir__work_enter(struct work_run *run, struct work_job *job, void *inside);
/* The engine has it no more. */
void weir__work_leave(struct work_run *run, struct work_job *job);
/* It has ended; or has not begun.  job is not the caller's any more. */
void weir__work_over(struct work_run *run, struct work_job *job,
		     const struct weir_outcome *outcome);
void weir__work_back(struct work_run *run, struct work_job *job);
/* For the loop: what has become of a job; whom to cancel; there is more. */
void weir__work_ended(struct weir_claim *claim,
		      const struct weir_finish *finish,
		      const struct weir_finished *finished, void *user);
void weir__work_poke(void *user);
void weir__work_cancel(struct weir_claim *claim, void *user);
void weir__work_trouble(const weir_error *error, void *user);
/* Move what is pending to what is being written.  Is there anything? */
bool weir__work_text_take(struct work_run *run, struct work_text *text);

/* work_argv.c */
struct weir_exec_job;
/*
 * The command for a job, with its places filled in or, where there is none, by
 * its args; its variables, too.  WEIR_OK; WEIR_NOMEM; WEIR_INVAL: there is no
 * command in its args, which error says.
 */
weir_status weir__work_make_argv(const struct work_run *run,
				 const weir_job_row *row,
				 struct weir_exec_job **ret,
				 const char **error);

#endif
