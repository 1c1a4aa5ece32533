/*
 * The engine: a source of commands, a pool of slots, children in them.
 *
 *      hooks.next -> source -> pool slots = children -> sink -> hooks.ended
 *
 * It prints nothing and ends nothing; what it has to say goes through hooks.
 *
 *      weir__exec_engine_new(&engine, &options, &hooks, &error);
 *      weir__exec_engine_run(engine, ctx, &error);     waits
 *      weir__exec_engine_free(engine);
 */
#ifndef WEIR_SRC_EXEC_ENGINE_H
#define WEIR_SRC_EXEC_ENGINE_H

#include "exec/job.h"

#include <signal.h>
#include <weir/pool.h>

struct weir_exec_engine;

enum weir_exec_output {
	WEIR_EXEC_GROUPED, /* all of it at the end of the job */
	WEIR_EXEC_LINES,   /* whole lines as they come */
	WEIR_EXEC_DIRECT,  /* the child writes to ours */
};

/* Which ends of an attempt deserve another; codes 1 to 255 by bits. */
struct weir_exec_retry_on {
	uint64_t codes[4];
	bool signals, timeouts, unstarted;
};

struct weir_exec_limits {
	uint64_t memory; /* bytes of address space; 0: as we were started */
	uint64_t cpu_s;  /* seconds of processor time; 0: likewise */
	uint64_t nofile; /* open files; 0: likewise */
};

struct weir_exec_options {
	uint32_t jobs;    /* slots */
	uint32_t threads; /* reactors; 0: by the cores */
	enum weir_exec_output output;
	/* The program, if argv[0] is the same for all; else NULL: searched. */
	const char *path;
	const char *dir; /* where children run; NULL: here */
	struct weir_exec_limits limits;
	uint64_t spool_bytes; /* the budget of all spools; 0: 2 MiB */

	uint32_t retries; /* attempts after the first */
	int64_t backoff_ns, backoff_max_ns;
	struct weir_exec_retry_on retry_on;
	int64_t timeout_ns;    /* of an attempt; WEIR_FOREVER: none */
	int64_t kill_after_ns; /* between TERM and KILL */
	double rate;           /* starts a second; 0: any */
	int64_t delay_ns;      /* between two starts; 0: none */

	/*
	 * How things were when we were started, which children get back: the
	 * signals that were blocked (NULL: those that are now), whether PIPE
	 * was ignored, and the soft limit of open files, if we have raised it
	 * (0: we have not).
	 */
	const sigset_t *mask;
	bool pipe_ignored;
	uint64_t nofile_before;
	/* Descriptors above 2 that children get, too; sorted; must stay. */
	const int *keep_fds;
	size_t keep_count;
	/* Variables of our own environment that they do not get, by the
	 * beginning of their names; NULL: they get all. */
	const char *env_withheld;
};

/*
 * next        one thread at a time: give the next job, which is the engine's
 *             then.  WEIR_OK; WEIR_BUSY: not now, see hungry; WEIR_CLOSED: no
 *             more, for good; any other status ends the run with it.  A job
 *             that is `bad` is not run: it goes to ended as FAILED.  May not
 *             wait.
 * hungry      any reactor, after BUSY: a descriptor to watch for reading in
 *             *ret_fd (-1: none), and how long until asking again is worth
 *             while (WEIR_FOREVER: not before weir__exec_engine_poke(), the
 *             descriptor, or the end of a job).
 * attempt     any thread, several at a time: an attempt is over.  Comes before
 *             the job's ended.
 * ended       any thread, several at a time: a job is over.  What is in
 *             result->out and ->err is the hook's to move away.
 * unstarted   any thread: a job is handed back; it is freed afterwards.
 * chunk       any reactor, with LINES: whole lines that a job wrote (or the
 *             last line without a newline), to standard error if is_err.  The
 *             hook moves the spool away and returns true; or false: no room,
 *             it is offered again after weir__exec_engine_poke(), as long as
 *             the child runs.  It also gets what is left of an attempt that is
 *             tried again: with LINES all of it, with GROUPED its standard
 *             error.  What it does not take at an end stays with the job, and
 *             comes with the result.
 * None of them may wait.
 */
struct weir_exec_hooks {
	weir_status (*next)(struct weir_exec_job **ret, void *user);
	int64_t (*hungry)(int *ret_fd, void *user);
	void (*attempt)(const struct weir_exec_job *job,
			const struct weir_exec_attempt *attempt, void *user);
	void (*ended)(const struct weir_exec_result *result, void *user);
	void (*unstarted)(const struct weir_exec_job *job, void *user);
	bool (*chunk)(const struct weir_exec_job *job, bool is_err,
		      struct weir_spool *spool, void *user);
	void *user;
};

/*
 * WEIR_OK, or WEIR_NOMEM, WEIR_SYSTEM, WEIR_INVAL with the reason.  As long as
 * there is one the process is a subreaper and does not ignore CHLD, and must
 * get no other children, for they would be ended with the run; those it has
 * by now are left alone.
 */
WEIR_NODISCARD weir_status weir__exec_engine_new(
	struct weir_exec_engine **out, const struct weir_exec_options *options,
	const struct weir_exec_hooks *hooks, weir_error *reterr);
struct weir_exec_engine *weir__exec_engine_free(
	struct weir_exec_engine *engine);

/*
 * Run everything.  WEIR_OK once all is done, after a stop too; WEIR_TIMEDOUT
 * or WEIR_CANCELED by ctx; what next returned; WEIR_SYSTEM (a temporary file
 * cannot be written) with the reason in *reterr.  No child is left, and
 * nothing that children have left behind, when it returns.
 */
WEIR_NODISCARD weir_status weir__exec_engine_run(
	struct weir_exec_engine *engine, weir_ctx *ctx, weir_error *reterr);

/* There may be room, or a job, again; any thread. */
void weir__exec_engine_poke(struct weir_exec_engine *engine);

/*
 * Start nothing more; with now, end what runs as well (TERM, kill_after_ns,
 * KILL).  Any thread; does not wait for what runs.
 */
void weir__exec_engine_stop(struct weir_exec_engine *engine, bool now);

/*
 * End one job, which next has given and neither ended nor unstarted has got,
 * as stop would: an attempt ends as CANCELED, without another one; a job that
 * has not begun goes to unstarted.  Any thread; does not wait.
 */
void weir__exec_engine_cancel(struct weir_exec_engine *engine,
			      struct weir_exec_job *job);

/*
 * KILL to all that runs, and to what it has left behind; for who is about to
 * leave.  Any thread; waits 0.2 s at most for them to be dead.
 */
void weir__exec_engine_kill(struct weir_exec_engine *engine);

/* Any thread, while it runs. */
void weir__exec_engine_stats(struct weir_exec_engine *engine,
			     weir_pool_stats *ret);

/* Descriptors needed for that many slots, besides what is open anyway. */
uint64_t weir__exec_engine_descriptors(const struct weir_exec_options *options);

#endif
