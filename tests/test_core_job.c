/* What a job can say and ask, workers' state, and the last words of a crash. */
#include "core_util.h"

#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

TEST(job, outside_of_a_job_there_is_nothing_to_ask)
{
	weir_ctx *all[] = {NULL, gate_make()};

	for (int i = 0; i < 2; i++) {
		weir_ctx *ctx = all[i];

		CHECK_EQ_INT(weir_job_id(ctx), 0);
		CHECK_EQ_INT(weir_job_attempt(ctx), 0);
		CHECK(!weir_job_state(ctx));
		CHECK(!weir_job_will_retry(ctx, WEIR_FAILED));
		weir_job_retry_after(ctx, 1);
		CHECK_EQ_INT(weir_job_fail(ctx, WEIR_BUSY, "x"), WEIR_BUSY);
		CHECK_EQ_INT(weir_job_fail(ctx, WEIR_OK, "x"), WEIR_FAILED);
	}
	weir_ctx_unref(all[1]);
}

struct asked {
	uint64_t ids[8];
	int attempts;
};

static weir_status
ask_run(weir_ctx *ctx, const void *in, void *out, void *user)
{
	weir_ctx *below = ctx_make(ctx, WEIR_S);
	struct asked *a = user;
	uint32_t attempt = weir_job_attempt(ctx);

	(void)in;
	(void)out;
	CHECK_EQ_INT(weir_job_attempt(below), attempt);
	CHECK_EQ_INT(weir_job_id(below), weir_job_id(ctx));
	CHECK_EQ_INT(attempt, ++a->attempts);
	CHECK_EQ_INT(weir_job_will_retry(ctx, WEIR_FAILED), attempt < 3);
	CHECK(!weir_job_will_retry(ctx, WEIR_PERMANENT));
	CHECK(!weir_job_will_retry(ctx, WEIR_OK));
	weir_ctx_unref(below);
	return WEIR_FAILED;
}

TEST(job, knows_its_id_its_attempt_and_what_comes_next)
{
	weir_pool_options o = WEIR_POOL_OPTIONS_INIT;
	struct asked a = {0};
	weir_pool *pool;

	o.workers = o.queue = 1;
	o.run = ask_run;
	o.user = &a;
	o.retry = (weir_retry){.attempts_max = 3, .delay_ns = 1};
	pool = pool_make(&o);
	OK(weir_pool_submit(pool, NULL, NULL, NULL));
	CHECK_EQ_INT(next_result(pool, NULL).attempts, 3);
	weir_pool_free(pool);
}

static weir_status
output_run(weir_ctx *ctx, const void *in, void *out, void *user)
{
	(void)in;
	(void)user;
	/* Zero at first, and then what the attempt before left. */
	CHECK_EQ_INT(*(int *)out, weir_job_attempt(ctx) - 1);
	(*(int *)out)++;
	return weir_job_attempt(ctx) < 3 ? WEIR_FAILED : WEIR_OK;
}

TEST(job, output_is_kept_from_attempt_to_attempt)
{
	weir_pool_options o = WEIR_POOL_OPTIONS_INIT;
	weir_pool *pool;
	int out = 0;

	o.workers = o.queue = 1;
	o.out_size = sizeof(int);
	o.run = output_run;
	o.retry = (weir_retry){.attempts_max = 3, .delay_ns = 1};
	pool = pool_make(&o);
	for (int i = 0; i < 3; i++) {
		OK(weir_pool_submit(pool, NULL, NULL, NULL));
		(void)next_result(pool, &out);
		CHECK_EQ_INT(out, 3);
	}
	weir_pool_free(pool);
}

static weir_status
stubborn_run(weir_ctx *ctx, const void *in, void *out, void *user)
{
	(void)in;
	(void)out;
	(void)user;
	(void)weir_ctx_sleep(ctx, WEIR_FOREVER);
	return WEIR_OK;
}

TEST(job, that_finishes_in_spite_of_its_time_out_is_ok)
{
	weir_pool_options o = WEIR_POOL_OPTIONS_INIT;
	weir_pool *pool;

	o.workers = o.queue = 1;
	o.run = stubborn_run;
	o.timeout_ns = WEIR_MS;
	pool = pool_make(&o);
	OK(weir_pool_submit(pool, NULL, NULL, NULL));
	CHECK_EQ_INT(next_result(pool, NULL).status, WEIR_OK);
	weir_pool_free(pool);
}

/* Workers' own state. */
struct crew {
	atomic_int inits, exits, jobs[8];
	int fails_at;
};

struct mate {
	uint32_t worker;
	pthread_t thread;
};

static weir_status
crew_init(uint32_t worker, void **ret_state, void *user)
{
	struct mate *mate = calloc(1, sizeof(*mate));
	struct crew *crew = user;

	REQUIRE(mate);
	if (crew->fails_at == (int)worker) {
		free(mate);
		return WEIR_PERMANENT;
	}
	mate->worker = worker;
	mate->thread = pthread_self();
	*ret_state = mate;
	atomic_fetch_add(&crew->inits, 1);
	return WEIR_OK;
}

static void
crew_exit(uint32_t worker, void *state, void *user)
{
	struct mate *mate = state;
	struct crew *crew = user;

	CHECK_EQ_INT(mate->worker, worker);
	CHECK(pthread_equal(mate->thread, pthread_self()));
	free(mate);
	atomic_fetch_add(&crew->exits, 1);
}

static weir_status
crew_run(weir_ctx *ctx, const void *in, void *out, void *user)
{
	struct mate *mate = weir_job_state(ctx);
	struct crew *crew = user;

	(void)in;
	(void)out;
	CHECK(pthread_equal(mate->thread, pthread_self()));
	atomic_fetch_add(&crew->jobs[mate->worker], 1);
	return WEIR_OK;
}

static weir_pool_options
crew_options(struct crew *crew)
{
	weir_pool_options o = WEIR_POOL_OPTIONS_INIT;

	crew->fails_at = -1;
	o.workers = 4;
	o.queue = 4;
	o.run = crew_run;
	o.init = crew_init;
	o.exit = crew_exit;
	o.user = crew;
	return o;
}

TEST(job, sees_the_state_of_its_own_worker)
{
	struct crew crew = {0};
	weir_pool_options o = crew_options(&crew);
	weir_pool *pool = pool_make(&o);

	CHECK_EQ_INT(atomic_load(&crew.inits), 4);
	for (int i = 0; i < 200; i++) {
		weir_result result;
		int before[4];

		for (int j = 0; j < 4; j++)
			before[j] = atomic_load(&crew.jobs[j]);
		OK(weir_pool_submit(pool, NULL, NULL, NULL));
		result = next_result(pool, NULL);
		CHECK(result.worker < 4);
		CHECK_EQ_INT(atomic_load(&crew.jobs[result.worker]),
			     before[result.worker] + 1);
	}
	OK(weir_pool_resize(pool, 6));
	CHECK_EQ_INT(atomic_load(&crew.inits), 6);
	weir_pool_free(pool);
	CHECK_EQ_INT(atomic_load(&crew.exits), 6);
}

TEST(job, failing_init_fails_the_pool_and_exits_the_others)
{
	struct crew crew = {0};
	weir_pool_options o = crew_options(&crew);
	weir_pool *pool = NULL;

	for (int i = 0; i < 4; i++) {
		crew.fails_at = i;
		CHECK_EQ_INT(weir_pool_new(&pool, &o), WEIR_PERMANENT);
		CHECK(!pool);
	}
	CHECK_EQ_INT(atomic_load(&crew.inits), 12);
	CHECK_EQ_INT(atomic_load(&crew.exits), 12);
}

TEST(job, failing_init_leaves_a_resized_pool_as_it_was)
{
	struct crew crew = {0};
	weir_pool_options o = crew_options(&crew);
	weir_pool *pool = pool_make(&o);

	crew.fails_at = 5;
	CHECK_EQ_INT(weir_pool_resize(pool, 7), WEIR_PERMANENT);
	CHECK_EQ_INT(stats_of(pool).workers, 4);
	OK(weir_pool_submit(pool, NULL, NULL, NULL));
	CHECK_EQ_INT(next_result(pool, NULL).status, WEIR_OK);
	crew.fails_at = -1;
	OK(weir_pool_resize(pool, 7));
	weir_pool_free(pool);
	CHECK_EQ_INT(atomic_load(&crew.inits), atomic_load(&crew.exits));
}

/* A context kept by its job, and used after it. */
static weir_status
keep_run(weir_ctx *ctx, const void *in, void *out, void *user)
{
	weir_ctx *_Atomic *kept = user;

	(void)in;
	(void)out;
	weir_ctx_unref(atomic_exchange(kept, ctx_make(ctx, WEIR_FOREVER)));
	return WEIR_OK;
}

TEST(job, context_that_is_kept_knows_that_its_job_is_over)
{
	weir_pool_options o = WEIR_POOL_OPTIONS_INIT;
	weir_ctx *_Atomic kept = NULL;
	weir_pool *pool;

	o.workers = 2;
	o.queue = 2;
	o.run = keep_run;
	o.user = &kept;
	pool = pool_make(&o);
	for (int i = 0; i < 100; i++) {
		OK(weir_pool_submit(pool, NULL, NULL, NULL));
		(void)next_result(pool, NULL);
		CHECK_EQ_INT(weir_job_id(atomic_load(&kept)), 0);
		CHECK_EQ_INT(weir_ctx_status(atomic_load(&kept)), WEIR_OK);
	}
	OK(weir_pool_shutdown_now(pool, NULL, NULL, NULL));
	CHECK_EQ_INT(weir_ctx_status(atomic_load(&kept)), WEIR_CANCELED);
	weir_pool_free(pool);
	weir_ctx_unref(atomic_load(&kept));
}

/* Crashes, in a process of their own. */
enum crash { STRAY, OVERFLOW, ABORT };

static int
recurse(volatile char *above, int depth)
{
	volatile char here[4096];

	here[0] = above ? *above : 1;
	here[4095] = (char)depth;
	/* For ever; the compiler is not to know. */
	if (depth == INT32_MIN)
		return here[0];
	return recurse(here, depth + 1) + here[4095];
}

static weir_status
crash_run(weir_ctx *ctx, const void *in, void *out, void *user)
{
	/* Not NULL, which UBSan would meet before the kernel does. */
	volatile uintptr_t nowhere = 16;

	(void)out;
	(void)user;
	if (weir_job_id(ctx) < 3)
		return WEIR_OK;
	switch (*(const enum crash *)in) {
	case STRAY:
		*(volatile int *)nowhere = 1;
		break;
	case OVERFLOW:
		return recurse(NULL, 0) ? WEIR_OK : WEIR_FAILED;
	case ABORT:
		abort();
	}
	return WEIR_OK;
}

static void
crash_child(enum crash crash, int fd)
{
	weir_pool_options o = WEIR_POOL_OPTIONS_INIT;
	weir_pool *pool;

	/* Without the handlers of sanitizers. */
	(void)signal(SIGSEGV, SIG_DFL);
	(void)signal(SIGBUS, SIG_DFL);
	(void)signal(SIGABRT, SIG_DFL);
	OK(weir_crash_report(fd));
	OK(weir_crash_report(fd));
	o.name = "render";
	o.workers = 1;
	o.queue = 4;
	o.in_size = sizeof(crash);
	o.run = crash_run;
	pool = pool_make(&o);
	for (int i = 0; i < 3; i++)
		OK(weir_pool_submit(pool, &crash, NULL, NULL));
	OK(weir_pool_shutdown(pool, NULL));
}

/* The line that a crash leaves behind; it dies of the given signal. */
static void
crash_line(enum crash crash, int number, char *ret_line, size_t size)
{
	size_t len = 0;
	int fds[2], status;
	ssize_t n;
	pid_t pid;

	REQUIRE(pipe(fds) == 0);
	pid = fork();
	REQUIRE(pid >= 0);
	if (pid == 0) {
		crash_child(crash, fds[1]);
		_exit(0);
	}
	close(fds[1]);
	while (len < size - 1 &&
	       (n = read(fds[0], ret_line + len, size - 1 - len)) > 0)
		len += (size_t)n;
	ret_line[len] = '\0';
	close(fds[0]);
	REQUIRE(waitpid(pid, &status, 0) == pid);
	CHECK(WIFSIGNALED(status));
	if (WIFSIGNALED(status))
		CHECK_EQ_INT(WTERMSIG(status), number);
}

TEST(crash, of_a_job_is_reported_and_preserved)
{
	char line[512];

	crash_line(STRAY, SIGSEGV, line, sizeof(line));
	CHECK_STR(line, "weir: fatal signal SIGSEGV in pool \"render\" job 3 "
			"addr 0x10\n");
}

TEST(crash, by_stack_overflow_is_reported)
{
	static const char start[] =
		"weir: fatal signal SIGSEGV in pool \"render\" job 3 addr 0x";
	char line[512];

	if (UNDER_TSAN)
		SKIP("the sanitizer would end it first");
	crash_line(OVERFLOW, SIGSEGV, line, sizeof(line));
	CHECK_MSG(strncmp(line, start, sizeof(start) - 1) == 0, "%s", line);
}

TEST(crash, by_abort_is_reported_without_an_address)
{
	char line[512];

	crash_line(ABORT, SIGABRT, line, sizeof(line));
	CHECK_STR(line,
		  "weir: fatal signal SIGABRT in pool \"render\" job 3\n");
}
