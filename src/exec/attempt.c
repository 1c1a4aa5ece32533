/*
 * The life of an attempt.
 *
 *             launched            exit seen (pidfd)       both pipes at their
 *   STARTING ────────> RUNNING ───────────────────> LINGERING ──────> end
 *      │ EAGAIN ...      │ cancel: TERM                 ^   │ 1 s
 *      v                 v                              │   '───────> end
 *    again, later     ENDING ───────────────────────────'
 *                        '──> KILL, at kill_ns
 *
 * Design.  The child's own status is the result, whoever else holds its pipes.
 * From its exit on the child is a zombie until the attempt's end: as long as
 * it is, its number, which is its group's, cannot be given to others, and a
 * signal to the group reaches who it is meant for.  After that the group is
 * only a number; see descendants.c for what is done about what is left of it.
 *
 * Pipes are not watched at first: most commands that end soon have written all
 * they have by then, and the one event that is needed is the exit.  Whoever
 * takes longer than WATCH_NS has its pipes watched.
 *
 * Locking: mu of the reactor guards pids, so that weir__exec_engine_kill()
 * signals nobody who has been waited for.  All else is the reactor's thread's.
 */
#include "exec/reactor.h"

#include "base/assert.h"
#include "exec/log.h"
#include "sync/clock.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define WATCH_NS        (2 * WEIR_MS)
#define LINGER_NS       (1 * WEIR_S)
#define LEFTOVER_NS     (2 * WEIR_S)
#define START_DELAY_NS  (10 * WEIR_MS)
#define START_DELAY_MAX (1 * WEIR_S)
#define START_PATIENCE  (10 * WEIR_S)
#define LOOK_AGAIN_NS   (10 * WEIR_MS)

static int64_t
timeval_ns(struct timeval time)
{
	return time.tv_sec * WEIR_S + time.tv_usec * WEIR_US;
}

/* Is an end like this worth another attempt? */
static bool
deserves_retry(const struct weir_exec_retry_on *on,
	       const struct weir_exec_attempt *a)
{
	switch (a->end) {
	case WEIR_EXEC_EXITED:
		return on->codes[a->code / 64] >> (a->code % 64) & 1;
	case WEIR_EXEC_SIGNALED:
		return on->signals;
	case WEIR_EXEC_TIMED_OUT:
		return on->timeouts;
	case WEIR_EXEC_UNSTARTED:
		return on->unstarted;
	case WEIR_EXEC_CANCELED:
		break;
	}
	return false;
}

/* What the end means to the pool, which decides on another attempt by it. */
static weir_status
verdict(const struct weir_exec_run *run, const struct weir_exec_attempt *a)
{
	const struct weir_exec_options *options =
		&run->reactor->engine->options;

	if (a->end == WEIR_EXEC_EXITED && a->code == 0)
		return WEIR_OK;
	if (a->end == WEIR_EXEC_TIMED_OUT)
		return WEIR_TIMEDOUT;
	if (a->end == WEIR_EXEC_CANCELED)
		return WEIR_CANCELED;
	return deserves_retry(&options->retry_on, a) ? WEIR_FAILED
						     : WEIR_PERMANENT;
}

/*
 * A failure on which the pool will look as a time-out, because the time was
 * over by then, is one to us as well.
 */
static void
agree_with_pool(struct weir_exec_run *run, struct weir_exec_attempt *a)
{
	weir_status status = weir_ctx_status(run->ctx);

	if ((a->end == WEIR_EXEC_EXITED && a->code == 0) || status == WEIR_OK)
		return;
	if (a->end == WEIR_EXEC_TIMED_OUT || a->end == WEIR_EXEC_CANCELED)
		return;
	if (weir_ctx_status(run->reactor->engine->ctx) != WEIR_OK ||
	    status != WEIR_TIMEDOUT)
		return;
	if (a->end == WEIR_EXEC_EXITED)
		a->code = 0;
	a->end = WEIR_EXEC_TIMED_OUT;
}

/* The attempt is over; a says how.  The slot is free after this. */
static void
conclude(struct weir_exec_run *run, struct weir_exec_attempt *a)
{
	struct weir_exec_reactor *reactor = run->reactor;
	const struct weir_exec_hooks *hooks = &reactor->engine->hooks;
	weir_job *job = run->job;
	weir_status status;

	agree_with_pool(run, a);
	status = verdict(run, a);
	a->number = weir_job_attempt(run->ctx) + run->command->attempts_before;
	a->slot = run->slot;
	a->will_retry =
		status != WEIR_OK && weir_job_will_retry(run->ctx, status);
	run->outcome->last = *a;
	hooks->attempt(run->command, a, hooks->user);
	weir__exec_stream_end(run, &run->out, a->will_retry);
	weir__exec_stream_end(run, &run->err, a->will_retry);
	weir__exec_run_free(run);
	weir_job_done(job, status);
}

/* It was never started, by reason of error. */
static void
conclude_unstarted(struct weir_exec_run *run, int error)
{
	struct weir_exec_attempt a = {
		.end = WEIR_EXEC_UNSTARTED,
		.error = error,
		.started_unix_ns = weir__unix_ns(),
		.wall_ns = weir_now_ns() - run->started_ns,
	};

	conclude(run, &a);
}

/* A signal to all of the group; a stopped one has to go on to obey. */
static void
signal_group(const struct weir_exec_run *run, int number)
{
	(void)kill(-run->pid, number);
	if (number != SIGKILL)
		(void)kill(-run->pid, SIGCONT);
}

/* Somebody of the group lives on, or has not been waited for. */
static void
leave_behind(struct weir_exec_run *run, pid_t group)
{
	struct weir_exec_reactor *reactor = run->reactor;
	int64_t now_ns = weir_now_ns();

	weir__descendants_left(
		&reactor->engine->descendants, group,
		weir__earlier_ns(run->kill_ns, now_ns + LEFTOVER_NS));
	reactor->sweep_ns = now_ns;
}

/* Wait for the child, which has ended.  What is left of its group is noted. */
static void
reap(struct weir_exec_run *run, struct weir_exec_attempt *a, int *ret_status)
{
	struct weir_exec_reactor *reactor = run->reactor;
	struct rusage usage;
	pid_t group = run->pid, got;

	/* Whoever is left is not part of the job any more. */
	(void)kill(-group, SIGTERM);
	weir__mutex_lock(&reactor->mu);
	do {
		got = wait4(group, ret_status, 0, &usage);
	} while (got < 0 && errno == EINTR);
	run->pid = 0;
	weir__mutex_unlock(&reactor->mu);
	weir_assert(got == group);
	if (kill(-group, 0) == 0)
		leave_behind(run, group);
	else
		weir__guardian_leave(reactor->engine->guardian, run->slot);
	a->pid = group;
	a->user_ns = timeval_ns(usage.ru_utime);
	a->sys_ns = timeval_ns(usage.ru_stime);
	a->max_rss = (uint64_t)usage.ru_maxrss * 1024;
}

/* The child has ended, and its output is complete. */
static void
end(struct weir_exec_run *run)
{
	struct weir_exec_engine *engine = run->reactor->engine;
	struct weir_exec_attempt a = {
		.started_unix_ns = run->started_unix_ns,
		.wall_ns = run->exited_ns - run->started_ns,
		.out_bytes = run->out.bytes,
		.err_bytes = run->err.bytes,
	};
	int status;

	reap(run, &a, &status);
	(void)close(run->pidfd);
	run->pidfd = -1;
	run->watched = false;
	if (WIFSIGNALED(status)) {
		a.end = WEIR_EXEC_SIGNALED;
		a.code = WTERMSIG(status);
	} else {
		a.end = WEIR_EXEC_EXITED;
		a.code = WEXITSTATUS(status);
	}
	if (run->by_us) {
		a.code = a.end == WEIR_EXEC_SIGNALED ? a.code : 0;
		a.end = run->ended_by;
	}
	weir__u32_sub(&engine->running, 1, WEIR_SEQ_CST);
	conclude(run, &a);
	weir__exec_engine_freed(engine, run->reactor);
}

/* Read what is there.  Is that all? */
static bool
output_is_complete(struct weir_exec_run *run)
{
	bool out = weir__exec_stream_read(run, &run->out, true);
	bool err = weir__exec_stream_read(run, &run->err, true);

	return !out && !err;
}

/*
 * Watch the pipes that are open.  Where the system lets us watch nothing more
 * just now, look every now and then.
 */
static void
watch_all(struct weir_exec_run *run, int64_t now_ns)
{
	bool out = weir__exec_watch_stream(run, &run->out);
	bool err = weir__exec_watch_stream(run, &run->err);

	if (out && err && weir__exec_watch_exit(run))
		return;
	weir__exec_run_set_timer(run, now_ns + LOOK_AGAIN_NS);
	(void)weir__exec_stream_read(run, &run->out, false);
	(void)weir__exec_stream_read(run, &run->err, false);
	weir__exec_run_look(run, now_ns);
}

static void
on_exit_seen(struct weir_exec_run *run, int64_t now_ns)
{
	run->phase = WEIR_EXEC_LINGERING;
	run->exited_ns = now_ns;
	if (output_is_complete(run)) {
		end(run);
		return;
	}
	/* Its exit is known; it would be reported again and again. */
	weir__exec_unwatch_exit(run);
	(void)weir__exec_watch_stream(run, &run->out);
	(void)weir__exec_watch_stream(run, &run->err);
	weir__exec_run_set_timer(run, now_ns + LINGER_NS);
}

static bool
has_exited(const struct weir_exec_run *run)
{
	siginfo_t info = {0};

	return waitid(P_PIDFD, (id_t)run->pidfd, &info,
		      WEXITED | WNOHANG | WNOWAIT) == 0 &&
	       info.si_pid == run->pid;
}

void
weir__exec_run_look(struct weir_exec_run *run, int64_t now_ns)
{
	if ((run->phase == WEIR_EXEC_RUNNING ||
	     run->phase == WEIR_EXEC_ENDING) &&
	    has_exited(run))
		on_exit_seen(run, now_ns);
}

/* Errors of a system that has none left of something just now. */
static bool
is_shortage(const struct weir_exec_run *run, int error, bool by_exec)
{
	switch (error) {
	case EAGAIN:
	case ENFILE:
		return true;
	case EMFILE:
		return !by_exec;
	case ENOMEM:
		/* With a limit on memory it is the limit's. */
		return !by_exec ||
		       run->reactor->engine->options.limits.memory == 0;
	default:
		return false;
	}
}

/* It could not be started just now.  False: and it is no use to wait. */
static bool
await_start(struct weir_exec_run *run, int64_t now_ns)
{
	struct weir_exec_engine *engine = run->reactor->engine;

	if (weir__u32_load(&engine->running, WEIR_SEQ_CST) > 0)
		run->alone_ns = -1;
	else if (run->alone_ns < 0)
		run->alone_ns = now_ns;
	else if (now_ns - run->alone_ns >= START_PATIENCE)
		return false;
	if (run->phase != WEIR_EXEC_STARTING) {
		run->phase = WEIR_EXEC_STARTING;
		weir__u32_add(&engine->starting, 1, WEIR_SEQ_CST);
		weir__list_remove(&run->link);
		weir__list_append(&run->reactor->starting, &run->link);
	}
	/* Zombies that we have adopted count, too. */
	run->reactor->sweep_ns = now_ns;
	weir__exec_run_set_timer(run, now_ns + run->delay_ns);
	run->delay_ns = weir__earlier_ns(run->delay_ns * 2, START_DELAY_MAX);
	return true;
}

static void
not_starting(struct weir_exec_run *run)
{
	if (run->phase != WEIR_EXEC_STARTING)
		return;
	weir__u32_sub(&run->reactor->engine->starting, 1, WEIR_SEQ_CST);
	weir__list_remove(&run->link);
	weir__list_append(&run->reactor->busy, &run->link);
}

/* Start it, or see to it that it is tried again. */
static void
start(struct weir_exec_run *run, int64_t now_ns)
{
	bool by_exec;
	int error = weir__exec_launch(run, &by_exec);

	if (error && is_shortage(run, error, by_exec) &&
	    await_start(run, now_ns))
		return;
	not_starting(run);
	if (error) {
		conclude_unstarted(run, error);
		return;
	}
	run->phase = WEIR_EXEC_RUNNING;
	weir__exec_run_set_timer(run, run->started_ns + WATCH_NS);
	(void)weir__exec_watch_exit(run);
}

/* Does somebody want this job, and not all of them, to end? */
static bool
is_canceled(const struct weir_exec_run *run)
{
	return weir__u32_load(&run->command->canceled, WEIR_SEQ_CST) != 0;
}

/* The last of them, in the time between attempts, is the pool's to say. */
static enum weir_exec_end
reason_of(struct weir_exec_run *run)
{
	if (weir_ctx_status(run->reactor->engine->ctx) != WEIR_OK ||
	    is_canceled(run))
		return WEIR_EXEC_CANCELED;
	return weir_ctx_status(run->ctx) == WEIR_TIMEDOUT ? WEIR_EXEC_TIMED_OUT
							  : WEIR_EXEC_CANCELED;
}

/* Out of time, or stopped, before there was a process. */
static void
cancel_starting(struct weir_exec_run *run)
{
	weir_job *job = run->job;

	not_starting(run);
	run->phase = WEIR_EXEC_IDLE;
	if (reason_of(run) == WEIR_EXEC_TIMED_OUT) {
		conclude_unstarted(run, EAGAIN);
		return;
	}
	/* For nobody's eyes: there was no attempt. */
	weir__exec_run_free(run);
	weir_job_done(job, WEIR_CANCELED);
}

void
weir__exec_run_begin(struct weir_exec_run *run, weir_ctx *ctx, weir_job *job,
		     const struct weir_exec_job *command,
		     struct weir_exec_outcome *outcome)
{
	struct weir_exec_engine *engine = run->reactor->engine;

	run->ctx = ctx;
	run->job = job;
	run->command = command;
	run->outcome = outcome;
	run->by_us = false;
	run->started_ns = weir_now_ns();
	run->delay_ns = START_DELAY_NS;
	run->alone_ns = -1;
	run->kill_ns = WEIR_FOREVER;
	run->slot = weir__exec_slot_take(engine);
	outcome->out.budget = &engine->budget;
	outcome->err.budget = &engine->budget;
	/* Of an attempt that is followed by this one. */
	if (engine->options.output == WEIR_EXEC_GROUPED)
		weir__spool_fini(&outcome->out);
	weir__exec_stream_init(&run->out, -1, &outcome->out);
	weir__exec_stream_init(&run->err, -1, &outcome->err);
	if (is_canceled(run))
		cancel_starting(run);
	else
		start(run, run->started_ns);
}

void
weir__exec_run_cancel(struct weir_exec_run *run)
{
	int64_t now_ns = weir_now_ns();

	if (run->phase == WEIR_EXEC_STARTING) {
		cancel_starting(run);
		return;
	}
	/* It may have ended by itself. */
	weir__exec_run_look(run, now_ns);
	/* Nor is it told twice: it has its time until KILL. */
	if (!run->job || run->phase == WEIR_EXEC_ENDING)
		return;
	if (run->phase == WEIR_EXEC_LINGERING) {
		(void)output_is_complete(run);
		end(run);
		return;
	}
	run->phase = WEIR_EXEC_ENDING;
	run->by_us = true;
	run->ended_by = reason_of(run);
	run->kill_ns = weir__deadline_ns(
		now_ns, run->reactor->engine->options.kill_after_ns);
	signal_group(run, SIGTERM);
	(void)weir__exec_watch_stream(run, &run->out);
	(void)weir__exec_watch_stream(run, &run->err);
	weir__exec_run_set_timer(run, run->kill_ns);
}

void
weir__exec_run_retry(struct weir_exec_run *run, int64_t now_ns)
{
	weir_assert(run->phase == WEIR_EXEC_STARTING);
	start(run, now_ns);
}

void
weir__exec_run_due(struct weir_exec_run *run, int64_t now_ns)
{
	switch (run->phase) {
	case WEIR_EXEC_STARTING:
		start(run, now_ns);
		break;
	case WEIR_EXEC_ENDING:
		if (now_ns >= run->kill_ns)
			signal_group(run, SIGKILL);
		watch_all(run, now_ns);
		break;
	case WEIR_EXEC_RUNNING:
		watch_all(run, now_ns);
		break;
	case WEIR_EXEC_LINGERING:
		(void)output_is_complete(run);
		end(run);
		break;
	case WEIR_EXEC_IDLE:
		weir_bug("a timer of nobody");
	}
}

void
weir__exec_run_read(struct weir_exec_run *run, bool is_err)
{
	struct weir_exec_stream *stream = is_err ? &run->err : &run->out;

	if (!run->job || stream->fd < 0)
		return;
	(void)weir__exec_stream_read(run, stream, false);
	if (run->phase == WEIR_EXEC_LINGERING && run->out.fd < 0 &&
	    run->err.fd < 0)
		end(run);
}

void
weir__exec_run_poke(struct weir_exec_run *run)
{
	struct weir_exec_stream *streams[] = {&run->out, &run->err};

	for (int i = 0; i < 2; i++)
		if (streams[i]->refused &&
		    weir__exec_stream_offer(run, streams[i]))
			(void)weir__exec_watch_stream(run, streams[i]);
}
