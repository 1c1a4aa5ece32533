/*
 * The engine: what stands between the pool and the reactors; see engine.h.
 *
 * Design.  A job of the pool is a pointer to a command, made by the source and
 * freed by the sink or when it is handed back.  Commands that cannot be run
 * never become jobs of the pool: they take no token of the rate limit and no
 * slot.
 *
 * Whether a job is ok, has failed or was cancelled is told by its last attempt,
 * not by the pool: one that waited for another attempt when the run was
 * stopped has failed, by what its last attempt says.
 *
 * Locking: slot_mu and reactors_mu are leaves, but that a reactor's mu is
 * taken under the second.
 */
#include "exec/reactor.h"

#include "base/assert.h"
#include "exec/log.h"
#include "exec/template.h"
#include "sync/clock.h"
#include "sync/thread.h"

#include <errno.h>
#include <fcntl.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

/* Commands that cannot be run, after which the reactor has its turn again. */
#define BAD_AT_ONCE 200

#define THREADS_MAX  64
#define SPOOL_BYTES  (2 * 1024 * 1024)
#define WAITING_MIN  64
#define END_GRACE_NS (2 * WEIR_S)
#define KILL_MOST_NS (2 * WEIR_S)

static uint32_t
threads_of(const struct weir_exec_options *options)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	uint32_t threads = options->threads;

	if (threads == 0)
		threads = cores < 1             ? 1
			  : cores > THREADS_MAX ? THREADS_MAX
						: (uint32_t)cores;
	return threads < options->jobs ? threads : options->jobs;
}

/* Jobs that may wait between attempts without keeping others from starting. */
static uint32_t
waiting_of(const struct weir_exec_options *options)
{
	return options->jobs * 4 > WAITING_MIN ? options->jobs * 4
					       : WAITING_MIN;
}

uint64_t
weir__exec_engine_descriptors(const struct weir_exec_options *options)
{
	uint64_t jobs = options->jobs, threads = threads_of(options);
	/* A pidfd; two pipes, and for each the file of its spool. */
	uint64_t slot = options->output == WEIR_EXEC_DIRECT ? 1 : 5;

	if (options->output == WEIR_EXEC_LINES)
		slot += 2;
	if (options->retries > 0 && options->output == WEIR_EXEC_GROUPED)
		jobs += waiting_of(options) / slot + 1;
	return jobs * slot + threads * 8 + 32;
}

void
weir__exec_engine_fatal(struct weir_exec_engine *engine, int error_number)
{
	if (weir__u32_cas(&engine->fatal, 0, (uint32_t)error_number,
			  WEIR_SEQ_CST))
		weir_ctx_cancel_cause(engine->ctx, strerror(error_number));
}

enum news {
	NEWS_POKED,
	NEWS_FREED,
	NEWS_CANCELED,
};

static struct weir_u32 *
news_of(struct weir_exec_reactor *reactor, enum news news)
{
	switch (news) {
	case NEWS_POKED:
		return &reactor->poked;
	case NEWS_FREED:
		return &reactor->freed;
	case NEWS_CANCELED:
		break;
	}
	return &reactor->canceled;
}

static void
wake_reactors(struct weir_exec_engine *engine, struct weir_exec_reactor *but,
	      enum news news)
{
	weir__mutex_lock(&engine->reactors_mu);
	for (uint32_t i = 0; i < engine->threads; i++) {
		struct weir_exec_reactor *reactor = engine->reactors[i];

		if (!reactor)
			continue;
		weir__u32_store(news_of(reactor, news), 1, WEIR_SEQ_CST);
		if (reactor != but)
			weir__exec_reactor_wake(reactor, NULL);
	}
	weir__mutex_unlock(&engine->reactors_mu);
}

void
weir__exec_engine_freed(struct weir_exec_engine *engine,
			struct weir_exec_reactor *by)
{
	if (weir__u32_load(&engine->starting, WEIR_SEQ_CST) > 0)
		wake_reactors(engine, by, NEWS_FREED);
}

uint32_t
weir__exec_slot_take(struct weir_exec_engine *engine)
{
	size_t word = 0;
	int bit;

	weir__mutex_lock(&engine->slot_mu);
	while (engine->slots[word] == UINT64_MAX)
		word++;
	bit = __builtin_ctzll(~engine->slots[word]);
	engine->slots[word] |= UINT64_C(1) << bit;
	weir__mutex_unlock(&engine->slot_mu);
	return (uint32_t)(word * 64) + (uint32_t)bit + 1;
}

void
weir__exec_slot_give(struct weir_exec_engine *engine, uint32_t slot)
{
	weir__mutex_lock(&engine->slot_mu);
	engine->slots[(slot - 1) / 64] &= ~(UINT64_C(1) << (slot - 1) % 64);
	weir__mutex_unlock(&engine->slot_mu);
}

/* A command that cannot be run is a job that has failed. */
static void
end_bad(struct weir_exec_engine *engine, struct weir_exec_job *command)
{
	struct weir_exec_result result = {
		.job = command,
		.status = WEIR_EXEC_FAILED,
		.error = command->bad,
	};

	engine->hooks.ended(&result, engine->hooks.user);
	weir__exec_job_free(command);
}

static weir_status
source(weir_ctx *ctx, void *ret_in, weir_job_options *ret_options, void *user)
{
	struct weir_exec_engine *engine = user;
	struct weir_exec_job *command = NULL;
	weir_status status;

	(void)ctx;
	for (int i = 0; i < BAD_AT_ONCE; i++) {
		status = engine->hooks.next(&command, engine->hooks.user);
		if (status != WEIR_OK)
			return status;
		if (!command->bad || !*command->bad) {
			memcpy(ret_in, &command, sizeof(command));
			if (command->timeout_ns)
				ret_options->timeout_ns = command->timeout_ns;
			return WEIR_OK;
		}
		end_bad(engine, command);
	}
	weir_pool_poke(engine->pool);
	return WEIR_BUSY;
}

static struct weir_exec_job *
command_of(const void *in)
{
	struct weir_exec_job *command;

	memcpy(&command, in, sizeof(command));
	return command;
}

static void
unstarted(uint64_t id, const void *in, void *user)
{
	struct weir_exec_engine *engine = user;
	struct weir_exec_job *command = command_of(in);

	(void)id;
	engine->hooks.unstarted(command, engine->hooks.user);
	weir__exec_job_free(command);
}

static enum weir_exec_status
status_of(const weir_result *result, const struct weir_exec_attempt *last)
{
	if (result->status == WEIR_OK)
		return WEIR_EXEC_OK;
	return last->end == WEIR_EXEC_CANCELED ? WEIR_EXEC_CANCELLED
					       : WEIR_EXEC_FAILED;
}

static void
sink(const weir_result *pool_result, const void *in, void *out, void *user)
{
	struct weir_exec_engine *engine = user;
	struct weir_exec_job *command = command_of(in);
	struct weir_exec_outcome *outcome = out;
	char error[WEIR_ERROR_MAX] = "";
	struct weir_exec_result result = {
		.job = command,
		.attempts = outcome->last.number,
		.last = &outcome->last,
		.wait_ns = pool_result->wait_ns,
		.run_ns = pool_result->run_ns,
		.total_ns = pool_result->total_ns,
		.out = &outcome->out,
		.err = &outcome->err,
		.error = error,
	};

	/* The pool may have begun it, without that a process came of it. */
	if (pool_result->attempts == 0 || outcome->last.number == 0) {
		unstarted(pool_result->id, in, user);
		return;
	}
	result.was_to_retry = outcome->last.will_retry;
	outcome->last.will_retry = false;
	result.status = status_of(pool_result, &outcome->last);
	if (result.status != WEIR_EXEC_OK)
		weir__exec_why(error, sizeof(error), &outcome->last);
	engine->hooks.ended(&result, engine->hooks.user);
	weir__spool_fini(&outcome->out);
	weir__spool_fini(&outcome->err);
	weir__exec_job_free(command);
}

static weir_status
start(weir_ctx *ctx, weir_job *job, const void *in, void *out, void *user)
{
	struct weir_exec_reactor *reactor = weir_job_state(ctx);
	struct weir_exec_run *run = weir__exec_reactor_take(reactor);

	(void)user;
	/* There are as many as the worker has slots. */
	weir_assert(run);
	weir_job_set_data(job, run);
	weir__exec_run_begin(run, ctx, job, command_of(in), out);
	return WEIR_OK;
}

static void
cancel(weir_ctx *ctx, weir_job *job, void *user)
{
	struct weir_exec_run *run = weir_job_data(job);

	(void)ctx;
	(void)user;
	weir_assert(run->job == job);
	weir__exec_run_cancel(run);
}

static void
set_retry(const struct weir_exec_options *options, weir_retry *retry)
{
	retry->attempts_max = options->retries + 1;
	retry->delay_ns = options->backoff_ns;
	retry->delay_ns_max = options->backoff_max_ns;
	retry->jitter = 1;
	retry->retry_on = WEIR_RETRY_ON(WEIR_FAILED);
	if (options->retry_on.timeouts)
		retry->retry_on |= WEIR_RETRY_ON(WEIR_TIMEDOUT);
}

static void
set_pool_options(const struct weir_exec_engine *engine, weir_pool_options *pool)
{
	const struct weir_exec_options *options = &engine->options;

	pool->name = "run";
	pool->workers = options->jobs;
	pool->threads = engine->threads;
	pool->queue = waiting_of(options);
	pool->in_size = sizeof(struct weir_exec_job *);
	pool->out_size = sizeof(struct weir_exec_outcome);
	pool->start = start;
	pool->cancel = cancel;
	pool->source = source;
	pool->sink = sink;
	pool->init = weir__exec_reactor_init;
	pool->exit = weir__exec_reactor_exit;
	pool->wait = weir__exec_reactor_wait;
	pool->wake = weir__exec_reactor_wake;
	pool->timeout_ns = options->timeout_ns;
	pool->limit = engine->limit;
	set_retry(options, &pool->retry);
}

static weir_status
set_error(weir_error *reterr, weir_status status, const char *what,
	  int error_number, const char *where)
{
	reterr->status = status;
	reterr->native = error_number;
	snprintf(reterr->message, sizeof(reterr->message), "%s%s%s%s%s%s", what,
		 error_number ? ": " : "",
		 error_number ? strerror(error_number) : "", where ? " (" : "",
		 where ? where : "", where ? ")" : "");
	return status;
}

/* One start each delay_ns, or a rate with a little of it at once; or both. */
static weir_status
make_limit(struct weir_exec_engine *engine, weir_error *reterr)
{
	const struct weir_exec_options *options = &engine->options;
	double rate = options->rate, burst = rate / 20;
	weir_status status;

	if (rate <= 0 && options->delay_ns <= 0)
		return WEIR_OK;
	if (options->delay_ns > 0) {
		double most = (double)WEIR_S / (double)options->delay_ns;

		rate = rate > 0 && rate < most ? rate : most;
		burst = 1;
	}
	burst = burst < 1 ? 1 : burst > 1000 ? 1000 : burst;
	status = weir_limit_new(&engine->limit, rate, (uint32_t)burst);
	if (status != WEIR_OK)
		return set_error(reterr, status, "the rate limit", 0, NULL);
	return WEIR_OK;
}

static void
add_limit(struct weir_child_setup *setup, unsigned resource, uint64_t soft,
	  uint64_t hard)
{
	struct weir_child_limit *limit = &setup->limits[setup->limit_count];

	limit->resource = resource;
	/* More than we have ourselves cannot be given. */
	if (getrlimit(resource, &limit->value) != 0)
		return;
	if (limit->value.rlim_max > hard)
		limit->value.rlim_max = hard;
	limit->value.rlim_cur = soft;
	if (limit->value.rlim_cur > limit->value.rlim_max)
		limit->value.rlim_cur = limit->value.rlim_max;
	setup->limit_count++;
}

static void
set_limits(struct weir_exec_engine *engine)
{
	const struct weir_exec_options *options = &engine->options;
	const struct weir_exec_limits *limits = &options->limits;
	struct weir_child_setup *setup = &engine->setup;

	if (limits->memory)
		add_limit(setup, RLIMIT_AS, limits->memory, limits->memory);
	/* At the first XCPU, KILL a second later if that is not obeyed. */
	if (limits->cpu_s)
		add_limit(setup, RLIMIT_CPU, limits->cpu_s, limits->cpu_s + 1);
	if (limits->nofile)
		add_limit(setup, RLIMIT_NOFILE, limits->nofile, limits->nofile);
	else if (options->nofile_before)
		add_limit(setup, RLIMIT_NOFILE, options->nofile_before,
			  RLIM_INFINITY);
}

static weir_status
set_up_children(struct weir_exec_engine *engine, weir_error *reterr)
{
	const struct weir_exec_options *options = &engine->options;
	struct weir_child_setup *setup = &engine->setup;
	sigset_t now;
	int failed = weir__child_check_system();

	if (failed)
		return set_error(reterr, WEIR_SYSTEM,
				 "commands need Linux 5.9 or later", failed,
				 "pidfd_open, close_range");
	if (weir__thread_sigmask(SIG_SETMASK, NULL, &now) != WEIR_OK)
		weir_bug("the signal mask could not be read");
	weir__child_setup_signals(setup, options->mask ? options->mask : &now,
				  options->pipe_ignored);
	setup->keep_fds = options->keep_fds;
	setup->keep_count = options->keep_count;
	set_limits(engine);
	setup->null_fd = weir__child_open("/dev/null", O_RDONLY);
	if (setup->null_fd < 0)
		return set_error(reterr, WEIR_SYSTEM, "cannot open a file",
				 errno, "/dev/null");
	if (options->dir)
		setup->dir_fd =
			weir__child_open(options->dir, O_PATH | O_DIRECTORY);
	if (options->dir && setup->dir_fd < 0)
		return set_error(reterr, WEIR_SYSTEM,
				 "commands cannot run in this directory", errno,
				 options->dir);
	return WEIR_OK;
}

/* What is of the process, not of the engine: given back by give_back(). */
static void
take_process(struct weir_exec_engine *engine)
{
	struct sigaction action;
	int before = 0;

	(void)prctl(PR_GET_CHILD_SUBREAPER, &before);
	engine->was_subreaper = before;
	(void)prctl(PR_SET_CHILD_SUBREAPER, 1);
	/* Who ignores CHLD has no children to wait for. */
	if (sigaction(SIGCHLD, NULL, &action) == 0 &&
	    action.sa_handler == SIG_IGN) {
		engine->child_ignored = true;
		(void)signal(SIGCHLD, SIG_DFL);
	}
	engine->took_process = true;
}

static void
give_back(struct weir_exec_engine *engine)
{
	if (!engine->took_process)
		return;
	if (!engine->was_subreaper)
		(void)prctl(PR_SET_CHILD_SUBREAPER, 0);
	if (engine->child_ignored)
		(void)signal(SIGCHLD, SIG_IGN);
}

static weir_status
make_parts(struct weir_exec_engine *engine, weir_error *reterr)
{
	weir_pool_options pool = WEIR_POOL_OPTIONS_INIT;
	const struct weir_exec_options *options = &engine->options;
	weir_status status;

	engine->slots =
		calloc((options->jobs + 63) / 64, sizeof(*engine->slots));
	engine->reactors =
		calloc(engine->threads, sizeof(struct weir_exec_reactor *));
	if (!engine->slots || !engine->reactors)
		return set_error(reterr, WEIR_NOMEM, "out of memory", 0, NULL);
	status = set_up_children(engine, reterr);
	if (status != WEIR_OK)
		return status;
	status = make_limit(engine, reterr);
	if (status != WEIR_OK)
		return status;
	set_pool_options(engine, &pool);
	pool.user = engine;
	status = weir_pool_new(&engine->pool, &pool);
	if (status != WEIR_OK)
		return set_error(reterr, status, weir_status_message(status), 0,
				 NULL);
	take_process(engine);
	return WEIR_OK;
}

weir_status
weir__exec_engine_new(struct weir_exec_engine **out,
		      const struct weir_exec_options *options,
		      const struct weir_exec_hooks *hooks, weir_error *reterr)
{
	struct weir_exec_engine *engine;
	weir_status status;

	if (options->jobs == 0 || options->jobs > WEIR_POOL_WORKERS_MAX)
		return set_error(reterr, WEIR_INVAL, "no such number of jobs",
				 0, NULL);
	engine = calloc(1, sizeof(*engine));
	if (!engine)
		return set_error(reterr, WEIR_NOMEM, "out of memory", 0, NULL);
	engine->options = *options;
	engine->hooks = *hooks;
	engine->threads = threads_of(options);
	engine->setup.null_fd = -1;
	engine->setup.dir_fd = -1;
	engine->budget.max =
		options->spool_bytes ? options->spool_bytes : SPOOL_BYTES;
	weir__mutex_init(&engine->slot_mu);
	weir__mutex_init(&engine->reactors_mu);
	/*
	 * First of all: later it would be one of our descendants.  Where there
	 * is none to be had, children are on their own if we are killed.
	 */
	engine->guardian = weir__guardian_start(options->jobs);
	weir__descendants_init(&engine->descendants);
	status = make_parts(engine, reterr);
	if (status != WEIR_OK) {
		weir__exec_engine_free(engine);
		return status;
	}
	*out = engine;
	return WEIR_OK;
}

struct weir_exec_engine *
weir__exec_engine_free(struct weir_exec_engine *engine)
{
	if (!engine)
		return NULL;
	weir_pool_free(engine->pool);
	weir_limit_free(engine->limit);
	weir_ctx_unref(engine->ctx);
	give_back(engine);
	if (engine->setup.null_fd >= 0)
		(void)close(engine->setup.null_fd);
	if (engine->setup.dir_fd >= 0)
		(void)close(engine->setup.dir_fd);
	weir__guardian_stop(engine->guardian);
	weir__descendants_fini(&engine->descendants);
	weir__mutex_fini(&engine->slot_mu);
	weir__mutex_fini(&engine->reactors_mu);
	free(engine->reactors);
	free(engine->slots);
	free(engine);
	return NULL;
}

weir_status
weir__exec_engine_run(struct weir_exec_engine *engine, weir_ctx *ctx,
		      weir_error *reterr)
{
	weir_status status;
	uint32_t fatal, unmade;

	status = weir_ctx_new(&engine->ctx, ctx, WEIR_FOREVER);
	if (status != WEIR_OK)
		return set_error(reterr, status, "out of memory", 0, NULL);
	status = weir_pool_run(engine->pool, engine->ctx);
	weir__descendants_end(&engine->descendants, END_GRACE_NS);
	engine->guardian = weir__guardian_stop(engine->guardian);
	fatal = weir__u32_load(&engine->fatal, WEIR_SEQ_CST);
	if (fatal)
		return set_error(reterr, WEIR_SYSTEM,
				 "cannot write a temporary file", (int)fatal,
				 weir__spool_dir());
	unmade = weir__u32_load(&engine->unmade, WEIR_SEQ_CST);
	if (unmade)
		return set_error(reterr, WEIR_SYSTEM, "cannot run commands",
				 (int)unmade, NULL);
	if (status != WEIR_OK)
		set_error(reterr, status, weir_status_message(status), 0, NULL);
	return status;
}

void
weir__exec_engine_poke(struct weir_exec_engine *engine)
{
	weir_pool_poke(engine->pool);
	/* Who is refused something looks once more after it has said so. */
	if (weir__u32_load(&engine->refused, WEIR_SEQ_CST) > 0)
		wake_reactors(engine, NULL, NEWS_POKED);
}

void
weir__exec_engine_stop(struct weir_exec_engine *engine, bool now)
{
	weir_ctx *done = NULL;
	weir_status status;

	/* One that is done from the start: begin, and do not wait. */
	status = weir_ctx_new(&done, NULL, 0);
	if (status != WEIR_OK) {
		weir_pool_close(engine->pool);
		return;
	}
	status = now ? weir_pool_shutdown_now(engine->pool, unstarted, engine,
					      done)
		     : weir_pool_shutdown_soon(engine->pool, unstarted, engine,
					       done);
	(void)status;
	weir_ctx_unref(done);
}

void
weir__exec_engine_cancel(struct weir_exec_engine *engine,
			 struct weir_exec_job *job)
{
	/* Before the reactors are told: who begins it later sees this. */
	weir__u32_store(&job->canceled, 1, WEIR_SEQ_CST);
	wake_reactors(engine, NULL, NEWS_CANCELED);
}

static void
kill_runs(struct weir_exec_reactor *reactor)
{
	weir__mutex_lock(&reactor->mu);
	for (size_t i = 0; i < reactor->run_count; i++)
		if (reactor->runs[i].pid > 0)
			(void)kill(-reactor->runs[i].pid, SIGKILL);
	weir__mutex_unlock(&reactor->mu);
}

void
weir__exec_engine_kill(struct weir_exec_engine *engine)
{
	weir_pool_close(engine->pool);
	weir__u32_store(&engine->killing, 1, WEIR_SEQ_CST);
	weir__mutex_lock(&engine->reactors_mu);
	for (uint32_t i = 0; i < engine->threads; i++)
		if (engine->reactors[i])
			kill_runs(engine->reactors[i]);
	weir__mutex_unlock(&engine->reactors_mu);
	weir__descendants_kill(&engine->descendants, KILL_MOST_NS);
}

void
weir__exec_engine_stats(struct weir_exec_engine *engine, weir_pool_stats *ret)
{
	weir_pool_stats_init(ret);
	weir_pool_get_stats(engine->pool, ret);
}
