/* Processes of isolated workers: how they come, and that they go. */
#include "isolate_util.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/socket.h>

static weir_status
tell_pid(weir_ctx *ctx, const void *in, void *out, void *user)
{
	(void)ctx;
	(void)in;
	(void)user;
	*(pid_t *)out = getpid();
	return WEIR_OK;
}

/* Any job: does what `in` says and gives the process's id. */
static pid_t
pid_of_next(weir_pool *pool)
{
	weir_ctx *ctx = patience();
	weir_result r;
	pid_t pid = 0;

	OK(weir_pool_submit(pool, NULL, NULL, ctx));
	OK(weir_pool_next(pool, &r, &pid, ctx));
	CHECK_EQ_INT(r.status, WEIR_OK);
	weir_ctx_unref(ctx);
	return pid;
}

static weir_pool_options
pid_options(weir_zygote *zygote)
{
	weir_pool_options o = WEIR_POOL_OPTIONS_INIT;

	o.workers = 1;
	o.queue = 4;
	o.out_size = sizeof(pid_t);
	o.run = tell_pid;
	o.isolate = WEIR_ISOLATE_PROCESS;
	o.zygote = zygote;
	return o;
}

static bool
is_gone(pid_t pid)
{
	char path[64], line[256] = "";
	FILE *file;
	bool zombie;

	(void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	file = fopen(path, "r");
	if (!file)
		return true;
	zombie = fgets(line, sizeof(line), file) && strstr(line, ") Z ");
	(void)fclose(file);
	return zombie;
}

TEST(isolate, a_zygote_wants_a_process_with_one_thread)
{
	weir_zygote *zygote = NULL, *first = zygote_make();
	weir_pool_options o = pid_options(first);
	weir_pool *pool = pool_make(&o);

	CHECK_EQ_INT(weir_zygote_start(&zygote), WEIR_INVAL);
	CHECK_EQ_INT(weir_zygote_start(NULL), WEIR_INVAL);
	CHECK(!zygote);
	weir_pool_free(pool);
	weir_zygote_free(first);
	CHECK(!weir_zygote_free(NULL));
}

TEST(isolate, a_program_that_waits_for_any_child_meets_none_of_ours)
{
	weir_zygote *zygote = zygote_make();
	weir_pool_options o = pid_options(zygote);
	weir_pool *pool = pool_make(&o);

	(void)pid_of_next(pool);
	if (UNDER_TSAN)
		SKIP("under ThreadSanitizer the zygote is an ordinary child");
	CHECK_EQ_INT(waitpid(-1, NULL, WNOHANG), -1);
	CHECK_EQ_INT(errno, ECHILD);
	weir_pool_free(pool);
	weir_zygote_free(zygote);
}

TEST(isolate, free_leaves_no_process_behind)
{
	weir_zygote *zygote = zygote_make();
	weir_pool_options o = pid_options(zygote);
	weir_pool *pool = pool_make(&o);
	pid_t pid = pid_of_next(pool);

	CHECK(pid != getpid());
	CHECK(!is_gone(pid));
	weir_pool_free(pool);
	CHECK(is_gone(pid));
	weir_zygote_free(zygote);
}

/* A program that is killed; gives its worker's id and the grandchild's. */
static void
doomed_program(int out)
{
	weir_zygote *zygote = zygote_make();
	weir_pool_options o = pid_options(zygote);
	weir_pool *pool = pool_make(&o);
	pid_t pid = pid_of_next(pool);

	REQUIRE(write(out, &pid, sizeof(pid)) == sizeof(pid));
	raise(SIGKILL);
	weir_pool_free(pool);
}

TEST(isolate, no_process_outlives_a_program_that_is_killed)
{
	int ends[2];
	pid_t program, worker = 0;

	REQUIRE(pipe2(ends, O_CLOEXEC) == 0);
	program = fork();
	REQUIRE(program >= 0);
	if (program == 0)
		doomed_program(ends[1]);
	REQUIRE(read(ends[0], &worker, sizeof(worker)) == sizeof(worker));
	REQUIRE(waitpid(program, NULL, 0) == program);
	WAIT_FOR(is_gone(worker));
}

static weir_status
leave_child(weir_ctx *ctx, const void *in, void *out, void *user)
{
	pid_t child = fork();

	(void)ctx;
	(void)in;
	(void)user;
	if (child == 0)
		for (;;)
			pause();
	*(pid_t *)out = child;
	return WEIR_OK;
}

TEST(isolate, what_a_job_has_started_goes_with_its_process)
{
	weir_zygote *zygote = zygote_make();
	weir_pool_options o = pid_options(zygote);
	weir_pool *pool;
	pid_t child;

	o.run = leave_child;
	pool = pool_make(&o);
	child = pid_of_next(pool);
	CHECK(child > 0);
	weir_pool_free(pool);
	WAIT_FOR(is_gone(child));
	weir_zygote_free(zygote);
}

/* The zygote's id: the parent of the worker's process. */
static pid_t
parent_of(pid_t pid)
{
	char path[64], line[256] = "";
	FILE *file;
	int parent = 0;

	(void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	file = fopen(path, "r");
	REQUIRE(file);
	REQUIRE(fgets(line, sizeof(line), file));
	(void)fclose(file);
	REQUIRE(sscanf(strrchr(line, ')') + 4, "%d", &parent) == 1);
	return parent;
}

TEST(isolate, jobs_fail_with_the_reason_when_the_zygote_has_ended)
{
	weir_zygote *zygote = zygote_make();
	weir_pool_options o = pid_options(zygote);
	weir_pool *pool = pool_make(&o), *none = NULL;
	pid_t worker = pid_of_next(pool);
	weir_result r;

	REQUIRE(kill(parent_of(worker), SIGKILL) == 0);
	WAIT_FOR(is_gone(worker));
	OK(weir_pool_submit(pool, NULL, NULL, NULL));
	r = next_result(pool, NULL);
	CHECK_EQ_INT(r.status, WEIR_SYSTEM);
	CHECK_STR(r.error, "no process for the job: the zygote has ended");
	CHECK_EQ_INT(weir_pool_new(&none, &o), WEIR_SYSTEM);
	weir_pool_free(pool);
	weir_zygote_free(zygote);
}

TEST(isolate, a_worker_that_dies_between_jobs_is_replaced)
{
	weir_zygote *zygote = zygote_make();
	weir_pool_options o = pid_options(zygote);
	weir_pool *pool = pool_make(&o);
	pid_t first = pid_of_next(pool), second;

	REQUIRE(kill(first, SIGKILL) == 0);
	WAIT_FOR(is_gone(first));
	second = pid_of_next(pool);
	CHECK(second != first);
	CHECK_EQ_INT(isolate_stats(pool).died, 1);
	weir_pool_free(pool);
	weir_zygote_free(zygote);
}

TEST(isolate, a_process_is_replaced_after_so_many_jobs)
{
	weir_isolate_options limits = WEIR_ISOLATE_OPTIONS_INIT;
	weir_zygote *zygote = zygote_make();
	weir_pool_options o = pid_options(zygote);
	weir_pool *pool;
	pid_t pids[4];

	limits.recycle_jobs = 2;
	o.isolate_options = &limits;
	pool = pool_make(&o);
	for (int i = 0; i < 4; i++)
		pids[i] = pid_of_next(pool);
	CHECK(pids[0] == pids[1]);
	CHECK(pids[1] != pids[2]);
	CHECK(pids[2] == pids[3]);
	CHECK_EQ_INT(isolate_stats(pool).recycled, 1);
	CHECK_EQ_INT(isolate_stats(pool).died, 0);
	weir_pool_free(pool);
	weir_zygote_free(zygote);
}

static char *volatile kept; /* so that it is */

static weir_status
keep_some(weir_ctx *ctx, const void *in, void *out, void *user)
{
	(void)ctx;
	(void)in;
	(void)user;
	kept = malloc(8 << 20);
	if (kept)
		memset(kept, 1, 8 << 20);
	*(pid_t *)out = kept ? getpid() : 0;
	return WEIR_OK;
}

TEST(isolate, a_process_is_replaced_when_it_has_grown)
{
	weir_isolate_options limits = WEIR_ISOLATE_OPTIONS_INIT;
	weir_zygote *zygote = zygote_make();
	weir_pool_options o = pid_options(zygote);
	weir_pool *pool;

	limits.recycle_rss = 8 << 20;
	o.isolate_options = &limits;
	o.run = keep_some;
	pool = pool_make(&o);
	/* Looked at every 64 jobs, or 100 ms: this is one or the other. */
	for (int i = 0; i < 70 && isolate_stats(pool).recycled == 0; i++)
		(void)pid_of_next(pool);
	CHECK(isolate_stats(pool).recycled > 0);
	weir_pool_free(pool);
	weir_zygote_free(zygote);
}

struct lives {
	int inits, exits; /* in shared memory */
};

static weir_status
count_init(uint32_t worker, void **ret_state, void *user)
{
	struct lives *lives = user;

	__atomic_add_fetch(&lives->inits, 1, __ATOMIC_SEQ_CST);
	*ret_state = user;
	return worker == 0 ? WEIR_OK : WEIR_FAILED;
}

static void
count_exit(uint32_t worker, void *state, void *user)
{
	struct lives *lives = state;

	(void)worker;
	if (state == user)
		__atomic_add_fetch(&lives->exits, 1, __ATOMIC_SEQ_CST);
}

TEST(isolate, init_and_exit_run_in_the_process)
{
	struct lives *lives = mmap(NULL, sizeof(*lives), PROT_READ | PROT_WRITE,
				   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	weir_zygote *zygote = zygote_make();
	weir_pool_options o = pid_options(zygote);
	weir_pool *pool = NULL;

	REQUIRE(lives != MAP_FAILED);
	o.init = count_init;
	o.exit = count_exit;
	o.user = lives;
	pool = pool_make(&o);
	CHECK_EQ_INT(lives->inits, 1);
	(void)pid_of_next(pool);
	weir_pool_free(pool);
	CHECK_EQ_INT(lives->exits, 1);
	/* Worker 1's init fails, and so does the pool. */
	o.workers = 2;
	CHECK_EQ_INT(weir_pool_new(&pool, &o), WEIR_FAILED);
	weir_zygote_free(zygote);
	munmap(lives, sizeof(*lives));
}

static weir_status
crash_init(uint32_t worker, void **ret_state, void *user)
{
	(void)worker;
	(void)ret_state;
	(void)user;
	abort();
}

TEST(isolate, an_init_that_crashes_ends_the_making_of_the_pool)
{
	weir_zygote *zygote = zygote_make();
	weir_pool_options o = pid_options(zygote);
	weir_pool *pool = NULL;

	o.init = crash_init;
	CHECK_EQ_INT(weir_pool_new(&pool, &o), WEIR_SYSTEM);
	CHECK(!pool);
	weir_zygote_free(zygote);
}

static weir_status
count_fds(weir_ctx *ctx, const void *in, void *out, void *user)
{
	DIR *folder = opendir("/proc/self/fd");
	int count = 0;

	(void)ctx;
	(void)in;
	(void)user;
	while (folder && readdir(folder))
		count++;
	if (folder)
		closedir(folder);
	/* Without ".", ".." and the folder itself. */
	*(pid_t *)out = count - 3;
	return WEIR_OK;
}

TEST(isolate, a_process_has_no_descriptors_of_the_program)
{
	int before = open("/dev/null", O_RDONLY); /* and not O_CLOEXEC */
	weir_zygote *zygote = zygote_make();
	weir_pool_options o = pid_options(zygote);
	int after = open("/dev/null", O_RDONLY);
	weir_pool *pool;

	o.run = count_fds;
	pool = pool_make(&o);
	/* 0, 1, 2, and its four ways to us. */
	CHECK_EQ_INT(pid_of_next(pool), 7);
	weir_pool_free(pool);
	weir_zygote_free(zygote);
	close(before);
	close(after);
}

static weir_status
close_all(weir_ctx *ctx, const void *in, void *out, void *user)
{
	(void)ctx;
	(void)in;
	(void)out;
	(void)user;
	for (int fd = 0; fd < 64; fd++)
		close(fd);
	return WEIR_OK;
}

TEST(isolate, a_job_that_closes_its_descriptors_has_crashed)
{
	weir_zygote *zygote = zygote_make();
	weir_pool_options o = pid_options(zygote);
	weir_pool *pool;
	weir_result r;

	o.run = close_all;
	pool = pool_make(&o);
	OK(weir_pool_submit(pool, NULL, NULL, NULL));
	r = next_result(pool, NULL);
	CHECK_EQ_INT(r.status, WEIR_CRASHED);
	CHECK_HAS(r.error, "exited with 125 in attempt 1");
	weir_pool_free(pool);
	weir_zygote_free(zygote);
}

static weir_status
send_garbage(weir_ctx *ctx, const void *in, void *out, void *user)
{
	static char garbage[3000];

	(void)in;
	(void)out;
	(void)user;
	memset(garbage, 0xff, sizeof(garbage));
	for (int fd = 3; fd < 7; fd++)
		(void)!write(fd, garbage, sizeof(garbage));
	return weir_ctx_sleep(ctx, WEIR_FOREVER);
}

TEST(isolate, a_process_that_sends_garbage_is_killed)
{
	weir_zygote *zygote = zygote_make();
	weir_pool_options o = pid_options(zygote);
	weir_pool *pool;
	weir_result r;

	o.run = send_garbage;
	pool = pool_make(&o);
	OK(weir_pool_submit(pool, NULL, NULL, NULL));
	r = next_result(pool, NULL);
	CHECK_EQ_INT(r.status, WEIR_CRASHED);
	CHECK_STR(r.error, "sent what is no answer, killed in attempt 1");
	CHECK_EQ_INT(isolate_stats(pool).killed, 1);
	weir_pool_free(pool);
	weir_zygote_free(zygote);
}

TEST(isolate, a_crash_loop_is_braked)
{
	weir_zygote *zygote = zygote_make();
	weir_pool_options o = order_options(zygote, 1, 8);
	weir_pool *pool = pool_make(&o);
	int out;

	CHECK(!isolate_stats(pool).braking);
	for (int i = 0; i < 2; i++)
		(void)one_order(pool, DEED_SEGV, 0, &out);
	CHECK(isolate_stats(pool).braking);
	CHECK(isolate_stats(pool).delay_ns > 0);
	CHECK_EQ_INT(one_order(pool, DEED_ECHO, 0, &out).status, WEIR_OK);
	weir_pool_free(pool);
	weir_zygote_free(zygote);
}

TEST(isolate, a_pool_that_is_braked_can_be_freed_at_once)
{
	weir_zygote *zygote = zygote_make();
	weir_pool_options o = order_options(zygote, 1, 32);
	struct order order = {DEED_SEGV, 0};
	weir_pool *pool = pool_make(&o);

	for (int i = 0; i < 20; i++)
		OK(weir_pool_submit(pool, &order, NULL, NULL));
	WAIT_FOR(isolate_stats(pool).braking);
	weir_pool_free(pool);
	weir_zygote_free(zygote);
}

TEST(isolate, options_are_checked)
{
	weir_isolate_options limits = WEIR_ISOLATE_OPTIONS_INIT;
	weir_zygote *zygote = zygote_make();
	weir_pool_options o = pid_options(zygote);
	weir_isolate_stats s = WEIR_ISOLATE_STATS_INIT;
	weir_pool *pool = NULL;

	o.isolate_options = &limits;
	limits.kill_after_ns = -1;
	CHECK_EQ_INT(weir_pool_new(&pool, &o), WEIR_INVAL);
	limits.kill_after_ns = 0;
	limits.sandbox = 1u << 20;
	CHECK_EQ_INT(weir_pool_new(&pool, &o), WEIR_INVAL);
	limits.sandbox = 0;
	limits.size = 3;
	CHECK_EQ_INT(weir_pool_new(&pool, &o), WEIR_INVAL);
	/* An older caller's, which ends early, is taken. */
	limits.size = offsetof(weir_isolate_options, recycle_jobs);
	OK(weir_pool_new(&pool, &o));
	weir_pool_free(pool);
	o.isolate = WEIR_ISOLATE_NONE;
	o.isolate_options = NULL;
	o.zygote = NULL;
	OK(weir_pool_new(&pool, &o));
	CHECK_EQ_INT(weir_pool_get_isolate_stats(pool, &s), WEIR_INVAL);
	weir_pool_free(pool);
	weir_zygote_free(zygote);
}

static weir_status
try_all(weir_ctx *ctx, const void *in, void *out, void *user)
{
	int *could = out, fd;

	(void)ctx;
	(void)in;
	(void)user;
	*could = 0;
	fd = open("/proc/self/stat", O_RDONLY);
	if (fd >= 0)
		*could |= 1;
	close(fd);
	fd = open("/tmp/weir-isolate-probe", O_WRONLY | O_CREAT, 0600);
	if (fd >= 0) {
		*could |= 2;
		unlink("/tmp/weir-isolate-probe");
	}
	close(fd);
	fd = socket(AF_INET, SOCK_STREAM, 0);
	if (fd >= 0)
		*could |= 4;
	close(fd);
	if (kill(getppid(), 0) == 0)
		*could |= 8;
	if (kill(getpid(), 0) == 0)
		*could |= 16;
	return WEIR_OK;
}

TEST(isolate, the_sandbox_refuses_what_it_says_and_no_more)
{
	weir_isolate_options limits = WEIR_ISOLATE_OPTIONS_INIT;
	weir_zygote *zygote = zygote_make();
	weir_pool_options o = pid_options(zygote);
	uint32_t active;
	weir_pool *pool;
	int could;

	o.run = try_all;
	o.isolate_options = &limits;
	pool = pool_make(&o);
	CHECK_EQ_INT(pid_of_next(pool), 31);
	weir_pool_free(pool);
	limits.sandbox = WEIR_SANDBOX_NO_SYSTEM | WEIR_SANDBOX_READ_ONLY;
	pool = pool_make(&o);
	could = pid_of_next(pool);
	active = isolate_stats(pool).sandbox;
	CHECK_EQ_INT(could & 2, active & WEIR_SANDBOX_READ_ONLY ? 0 : 2);
	CHECK_EQ_INT(could & 12, active & WEIR_SANDBOX_NO_SYSTEM ? 0 : 12);
	CHECK_EQ_INT(could & 17, 17);
	weir_pool_free(pool);
	/* All, or no worker. */
	limits.sandbox |= WEIR_SANDBOX_NO_FILES | WEIR_SANDBOX_REQUIRED;
	if (active == (WEIR_SANDBOX_NO_SYSTEM | WEIR_SANDBOX_READ_ONLY)) {
		pool = pool_make(&o);
		CHECK_EQ_INT(pid_of_next(pool), 16);
		weir_pool_free(pool);
	} else {
		CHECK_EQ_INT(weir_pool_new(&pool, &o), WEIR_SYSTEM);
	}
	weir_zygote_free(zygote);
}
