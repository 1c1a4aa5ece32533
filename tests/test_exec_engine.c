/* The engine of `weir run`, with real processes. */
#include "harness.h"

#include "base/buf.h"
#include "exec/engine.h"
#include "exec/template.h"
#include "sync/mutex.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct seen {
	struct weir_exec_attempt last;
	enum weir_exec_status status;
	uint32_t attempts;
	char error[200];
	struct weir_buf out, err;
	bool ended, handed_back;
};

/* A run: commands in, what came of them out. */
struct bench {
	struct weir_exec_options options;
	const char *const (*commands)[8];
	size_t count, next;
	struct weir_mutex mu;
	struct seen *seen;
	uint32_t attempts;
};

static struct weir_exec_job *
make_job(uint64_t seq, const char *const *argv)
{
	struct weir_exec_job *job =
		calloc(1, sizeof(*job) + 8 * sizeof(char *));

	REQUIRE(job);
	job->seq = seq;
	job->argv = (char **)(job + 1);
	while (argv[job->argc]) {
		job->argv[job->argc] = (char *)(uintptr_t)argv[job->argc];
		job->argc++;
	}
	job->item = "";
	job->bad = "";
	return job;
}

static weir_status
next(struct weir_exec_job **ret, void *user)
{
	struct bench *b = user;

	if (b->next == b->count)
		return WEIR_CLOSED;
	*ret = make_job(b->next + 1, b->commands[b->next]);
	b->next++;
	return WEIR_OK;
}

static int64_t
hungry(int *ret_fd, void *user)
{
	(void)user;
	*ret_fd = -1;
	return WEIR_FOREVER;
}

static void
attempt(const struct weir_exec_job *job, const struct weir_exec_attempt *a,
	void *user)
{
	struct bench *b = user;

	(void)job;
	(void)a;
	weir__mutex_lock(&b->mu);
	b->attempts++;
	weir__mutex_unlock(&b->mu);
}

static void
take(struct weir_buf *ret, struct weir_spool *spool)
{
	char text[4096];
	long len;

	while ((len = weir__spool_read(spool, text, sizeof(text))) > 0)
		weir__buf_append(ret, text, (size_t)len);
	CHECK_EQ_INT(len, 0);
}

static void
ended(const struct weir_exec_result *result, void *user)
{
	struct bench *b = user;
	struct seen *seen = &b->seen[result->job->seq - 1];

	weir__mutex_lock(&b->mu);
	CHECK(!seen->ended);
	seen->ended = true;
	seen->status = result->status;
	seen->attempts = result->attempts;
	if (result->last)
		seen->last = *result->last;
	snprintf(seen->error, sizeof(seen->error), "%s", result->error);
	if (result->out)
		take(&seen->out, result->out);
	if (result->err)
		take(&seen->err, result->err);
	weir__mutex_unlock(&b->mu);
}

static void
unstarted(const struct weir_exec_job *job, void *user)
{
	struct bench *b = user;

	b->seen[job->seq - 1].handed_back = true;
}

static bool
chunk(const struct weir_exec_job *job, bool is_err, struct weir_spool *spool,
      void *user)
{
	struct bench *b = user;
	struct seen *seen = &b->seen[job->seq - 1];

	weir__mutex_lock(&b->mu);
	take(is_err ? &seen->err : &seen->out, spool);
	weir__mutex_unlock(&b->mu);
	weir__spool_fini(spool);
	return true;
}

static weir_status
run(struct bench *b)
{
	struct weir_exec_hooks hooks = {next,      hungry, attempt, ended,
					unstarted, chunk,  b};
	struct weir_exec_engine *engine = NULL;
	weir_error error = {0};
	weir_status status;

	weir__mutex_init(&b->mu);
	b->seen = calloc(b->count, sizeof(*b->seen));
	if (b->options.timeout_ns == 0)
		b->options.timeout_ns = WEIR_FOREVER;
	REQUIRE(weir__exec_engine_new(&engine, &b->options, &hooks, &error) ==
		WEIR_OK);
	status = weir__exec_engine_run(engine, NULL, &error);
	CHECK_MSG(status == WEIR_OK, "%s", error.message);
	weir__exec_engine_free(engine);
	return status;
}

TEST(engine, runs_commands_and_gives_their_output)
{
	static const char *const commands[][8] = {
		{"true"},
		{"echo", "hello"},
		{"false"},
		{"no-such-program"},
		{"sh", "-c", "echo out; echo err >&2; kill -9 $$"},
	};
	struct bench b = {
		.options = {.jobs = 2}, .commands = commands, .count = 5};

	CHECK_EQ_INT(run(&b), WEIR_OK);
	CHECK_EQ_INT(b.attempts, 5);
	CHECK_EQ_INT(b.seen[0].status, WEIR_EXEC_OK);
	CHECK_EQ_INT(b.seen[1].status, WEIR_EXEC_OK);
	CHECK_STR(weir__buf_str(&b.seen[1].out), "hello\n");
	CHECK_EQ_INT(b.seen[2].status, WEIR_EXEC_FAILED);
	CHECK_EQ_INT(b.seen[2].last.code, 1);
	CHECK_EQ_INT(b.seen[3].last.end, WEIR_EXEC_UNSTARTED);
	CHECK_EQ_INT(b.seen[3].last.error, 2);
	CHECK_EQ_INT(b.seen[4].last.end, WEIR_EXEC_SIGNALED);
	CHECK_EQ_INT(b.seen[4].last.code, 9);
	CHECK_STR(weir__buf_str(&b.seen[4].out), "out\n");
	CHECK_STR(weir__buf_str(&b.seen[4].err), "err\n");
}
