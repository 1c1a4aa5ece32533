/*
 * A bench for the engine: commands in, and all that came of them.
 *
 *      static const char *const commands[][8] = {{"echo", "hello"}};
 *      struct bench b = {.options = {.jobs = 2}, BENCH(commands)};
 *
 *      CHECK_EQ_INT(bench_run(&b), WEIR_OK);
 *      CHECK_STR(bench_out(&b, 0), "hello\n");
 *      bench_fini(&b);
 *
 * Every command that the engine has taken must have come out exactly once;
 * bench_run() checks it, and that no process is left that has the bench's mark
 * in its environment.
 */
#ifndef WEIR_TESTS_EXEC_BENCH_H
#define WEIR_TESTS_EXEC_BENCH_H

#include "harness.h"

#include "base/buf.h"
#include "exec/engine.h"
#include "exec/template.h"
#include "sync/mutex.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define BENCH_MARK "WEIR_TEST_MARK"
#define BENCH_SH(script)           \
	{                          \
		"sh", "-c", script \
	}
#define BENCH(list) .commands = list, .count = sizeof(list) / sizeof((list)[0])

struct seen {
	struct weir_exec_attempt last;
	enum weir_exec_status status;
	uint32_t attempts;
	char error[200];
	struct weir_buf out, err;         /* what came of it altogether */
	struct weir_buf out_end, err_end; /* of that, with the result */
	uint64_t out_len, err_len;
	int64_t run_ns;
	uint32_t times; /* that it came out */
	bool handed_back;
};

struct bench {
	/* the test's */
	struct weir_exec_options options;
	const char *const (*commands)[8];
	size_t count;
	weir_ctx *ctx;
	weir_status source_end; /* 0: CLOSED */
	bool keep_nothing;      /* of the output, but its length */
	void (*on_attempt)(struct bench *b, const struct weir_exec_attempt *a);
	/* With the chunk still in the spool: is there room? */
	bool (*on_chunk)(struct bench *b, struct weir_spool *spool);
	/* A job that is about to be given: what has it of its own? */
	void (*on_job)(struct bench *b, struct weir_exec_job *job);
	/* With the job's number: it is not the engine's any more. */
	void (*on_over)(struct bench *b, uint64_t seq);
	/* It is over; nobody may use the engine after this. */
	void (*on_end)(struct bench *b);

	/* the bench's */
	struct weir_exec_engine *engine;
	size_t next;
	struct weir_error error;
	struct weir_mutex mu;
	/* guarded by mu */
	struct seen *seen;
	uint32_t attempts, retries, chunks;
	bool torn; /* a chunk did not end with a newline */
};

static struct weir_exec_job *
bench_job(uint64_t seq, const char *const *argv)
{
	struct weir_exec_job *job =
		calloc(1, sizeof(*job) + 9 * sizeof(char *));

	REQUIRE(job);
	job->seq = seq;
	job->argv = (char **)(job + 1);
	while (job->argc < 8 && argv[job->argc]) {
		job->argv[job->argc] = (char *)(uintptr_t)argv[job->argc];
		job->argc++;
	}
	job->item = "";
	job->bad = job->argc == 0 ? "nothing to run" : "";
	return job;
}

static weir_status
bench_next(struct weir_exec_job **ret, void *user)
{
	struct bench *b = user;

	if (b->next == b->count)
		return b->source_end ? b->source_end : WEIR_CLOSED;
	*ret = bench_job(b->next + 1, b->commands[b->next]);
	b->next++;
	if (b->on_job)
		b->on_job(b, *ret);
	return WEIR_OK;
}

static int64_t
bench_hungry(int *ret_fd, void *user)
{
	(void)user;
	*ret_fd = -1;
	return WEIR_FOREVER;
}

static void
bench_attempt(const struct weir_exec_job *job,
	      const struct weir_exec_attempt *a, void *user)
{
	struct bench *b = user;

	weir__mutex_lock(&b->mu);
	b->attempts++;
	b->retries += a->will_retry;
	b->seen[job->seq - 1].attempts++;
	CHECK_EQ_INT(a->number,
		     job->attempts_before + b->seen[job->seq - 1].attempts);
	CHECK(a->slot >= 1 && a->slot <= b->options.jobs);
	weir__mutex_unlock(&b->mu);
	if (b->on_attempt)
		b->on_attempt(b, a);
}

/* Read a spool to its end. */
static void
bench_take(struct bench *b, struct weir_buf *ret, uint64_t *ret_len,
	   struct weir_spool *spool)
{
	static _Alignas(16) char text[65536];
	long len;

	while ((len = weir__spool_read(spool, text, sizeof(text))) > 0) {
		*ret_len += (uint64_t)len;
		if (!b->keep_nothing)
			weir__buf_append(ret, text, (size_t)len);
	}
	CHECK_EQ_INT(len, 0);
}

static void
bench_ended(const struct weir_exec_result *result, void *user)
{
	struct bench *b = user;
	struct seen *seen = &b->seen[result->job->seq - 1];

	if (b->on_over)
		b->on_over(b, result->job->seq);
	weir__mutex_lock(&b->mu);
	seen->times++;
	seen->status = result->status;
	seen->run_ns = result->run_ns;
	CHECK_EQ_INT(result->attempts,
		     result->job->attempts_before + seen->attempts);
	if (result->last)
		seen->last = *result->last;
	snprintf(seen->error, sizeof(seen->error), "%s", result->error);
	if (result->out)
		bench_take(b, &seen->out_end, &seen->out_len, result->out);
	if (result->err)
		bench_take(b, &seen->err_end, &seen->err_len, result->err);
	weir__buf_append(&seen->out, seen->out_end.data, seen->out_end.len);
	weir__buf_append(&seen->err, seen->err_end.data, seen->err_end.len);
	weir__mutex_unlock(&b->mu);
}

static void
bench_unstarted(const struct weir_exec_job *job, void *user)
{
	struct bench *b = user;

	if (b->on_over)
		b->on_over(b, job->seq);
	weir__mutex_lock(&b->mu);
	b->seen[job->seq - 1].times++;
	b->seen[job->seq - 1].handed_back = true;
	weir__mutex_unlock(&b->mu);
}

static bool
bench_chunk(const struct weir_exec_job *job, bool is_err,
	    struct weir_spool *spool, void *user)
{
	struct bench *b = user;
	struct seen *seen = &b->seen[job->seq - 1];
	struct weir_buf *to = is_err ? &seen->err : &seen->out;

	if (b->on_chunk && !b->on_chunk(b, spool))
		return false;
	weir__mutex_lock(&b->mu);
	b->chunks++;
	bench_take(b, to, is_err ? &seen->err_len : &seen->out_len, spool);
	if (to->len > 0)
		b->torn |= to->data[to->len - 1] != '\n';
	weir__mutex_unlock(&b->mu);
	weir__spool_fini(spool);
	return true;
}

/* How many processes have the mark in their environment. */
static int
bench_marked(void)
{
	char path[300], mark[64];
	struct dirent *entry;
	int found = 0;
	DIR *dir = opendir("/proc");

	snprintf(mark, sizeof(mark), BENCH_MARK "=%d", (int)getpid());
	REQUIRE(dir);
	while ((entry = readdir(dir))) {
		static char text[1 << 17];
		ssize_t len;
		int fd;

		if (entry->d_name[0] < '0' || entry->d_name[0] > '9')
			continue;
		snprintf(path, sizeof(path), "/proc/%s/environ", entry->d_name);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		len = fd >= 0 ? read(fd, text, sizeof(text)) : -1;
		if (len > 0 && memmem(text, (size_t)len, mark, strlen(mark)))
			found++;
		if (fd >= 0)
			(void)close(fd);
	}
	(void)closedir(dir);
	return found;
}

static void
bench_new(struct bench *b)
{
	struct weir_exec_hooks hooks = {bench_next,
					bench_hungry,
					bench_attempt,
					bench_ended,
					bench_unstarted,
					bench_chunk,
					b};
	char mark[32];

	weir__mutex_init(&b->mu);
	b->seen = calloc(b->count, sizeof(*b->seen));
	REQUIRE(b->seen);
	snprintf(mark, sizeof(mark), "%d", (int)getpid());
	REQUIRE(setenv(BENCH_MARK, mark, 1) == 0);
	if (b->options.timeout_ns == 0)
		b->options.timeout_ns = WEIR_FOREVER;
	if (b->options.kill_after_ns == 0)
		b->options.kill_after_ns = 2 * WEIR_S;
	if (!CHECK_EQ_INT(weir__exec_engine_new(&b->engine, &b->options, &hooks,
						&b->error),
			  WEIR_OK))
		CHECK_STR(b->error.message, "");
	REQUIRE(b->engine);
}

static weir_status
bench_run(struct bench *b)
{
	weir_status status;

	if (!b->engine)
		bench_new(b);
	status = weir__exec_engine_run(b->engine, b->ctx, &b->error);
	if (b->on_end)
		b->on_end(b);
	b->engine = weir__exec_engine_free(b->engine);
	for (size_t i = 0; i < b->count; i++)
		CHECK_EQ_INT(b->seen[i].times, i < b->next);
	CHECK_EQ_INT(bench_marked(), 0);
	/* Nor is anything left to wait for. */
	CHECK_EQ_INT(waitpid(-1, NULL, WNOHANG), -1);
	CHECK_EQ_INT(errno, ECHILD);
	return status;
}

static inline const char *
bench_out(const struct bench *b, size_t i)
{
	return weir__buf_str(&b->seen[i].out);
}

static inline const char *
bench_err(const struct bench *b, size_t i)
{
	return weir__buf_str(&b->seen[i].err);
}

static void
bench_fini(struct bench *b)
{
	for (size_t i = 0; i < b->count; i++) {
		weir__buf_fini(&b->seen[i].out);
		weir__buf_fini(&b->seen[i].err);
		weir__buf_fini(&b->seen[i].out_end);
		weir__buf_fini(&b->seen[i].err_end);
	}
	free(b->seen);
}

#endif
