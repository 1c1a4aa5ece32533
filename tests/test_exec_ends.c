/*
 * How commands end, by themselves and by us, and that nothing is left of them
 * or of what they have started.
 */
#include "exec_bench.h"

#include "sync/futex.h"
#include "sync/thread.h"

#include <grp.h>
#include <sys/resource.h>

/* For ever, as far as a test is concerned. */
#define FOREVER "while :; do sleep 1000; done"
#define DEAF    "trap '' TERM; "

TEST(ends, a_child_that_is_out_of_time_is_told_to_end)
{
	static const char *const commands[][8] = {
		{"sleep", "1000"},
		BENCH_SH("trap 'echo told; exit 0' TERM; echo up; "
			 "while :; do sleep 0.01; done"),
		{"true"},
	};
	struct bench b = {.options = {.jobs = 3, .timeout_ns = 300 * WEIR_MS},
			  BENCH(commands)};

	CHECK_EQ_INT(bench_run(&b), WEIR_OK);
	CHECK_EQ_INT(b.seen[0].status, WEIR_EXEC_FAILED);
	CHECK_EQ_INT(b.seen[0].last.end, WEIR_EXEC_TIMED_OUT);
	CHECK_EQ_INT(b.seen[0].last.code, SIGTERM);
	CHECK(strncmp(b.seen[0].error, "timed out after", 15) == 0);
	/* It was too late, however well it ended; what it said is kept. */
	CHECK_EQ_INT(b.seen[1].last.end, WEIR_EXEC_TIMED_OUT);
	CHECK_EQ_INT(b.seen[1].last.code, 0);
	CHECK_STR(bench_out(&b, 1), "up\ntold\n");
	CHECK_EQ_INT(b.seen[2].status, WEIR_EXEC_OK);
	bench_fini(&b);
}

TEST(ends, one_that_does_not_listen_is_killed_and_its_group_with_it)
{
	static const char *const commands[][8] = {
		BENCH_SH(DEAF "echo up; (" DEAF FOREVER ") & " FOREVER),
	};
	struct bench b = {.options = {.jobs = 1,
				      .timeout_ns = 200 * WEIR_MS,
				      .kill_after_ns = 100 * WEIR_MS},
			  BENCH(commands)};

	CHECK_EQ_INT(bench_run(&b), WEIR_OK);
	CHECK_EQ_INT(b.seen[0].last.end, WEIR_EXEC_TIMED_OUT);
	CHECK_EQ_INT(b.seen[0].last.code, SIGKILL);
	CHECK(b.seen[0].last.wall_ns >= 300 * WEIR_MS);
	bench_fini(&b);
}

TEST(ends, one_that_is_stopped_is_told_as_well)
{
	static const char *const commands[][8] = {
		BENCH_SH("trap 'echo told; exit 5' TERM; kill -STOP $$"),
	};
	struct bench b = {.options = {.jobs = 1, .timeout_ns = 300 * WEIR_MS},
			  BENCH(commands)};

	CHECK_EQ_INT(bench_run(&b), WEIR_OK);
	CHECK_EQ_INT(b.seen[0].last.end, WEIR_EXEC_TIMED_OUT);
	CHECK_STR(bench_out(&b, 0), "told\n");
	bench_fini(&b);
}

TEST(ends, a_time_out_is_tried_again_where_that_is_wanted)
{
	static const char *const commands[][8] = {
		BENCH_SH("[ $WEIR_ATTEMPT = 2 ] || exec sleep 1000"),
	};
	struct bench b = {.options = {.jobs = 1,
				      .retries = 1,
				      .backoff_ns = WEIR_MS,
				      .timeout_ns = 500 * WEIR_MS},
			  BENCH(commands)};

	b.options.retry_on.timeouts = true;
	CHECK_EQ_INT(bench_run(&b), WEIR_OK);
	CHECK_EQ_INT(b.seen[0].status, WEIR_EXEC_OK);
	CHECK_EQ_INT(b.seen[0].attempts, 2);
	bench_fini(&b);
}

TEST(ends, closing_its_descriptors_is_not_an_end)
{
	static const char *const commands[][8] = {
		BENCH_SH("echo out; exec >&- 2>&-; sleep 0.2; exit 7"),
	};
	struct bench b = {.options = {.jobs = 1}, BENCH(commands)};

	CHECK_EQ_INT(bench_run(&b), WEIR_OK);
	CHECK_EQ_INT(b.seen[0].last.end, WEIR_EXEC_EXITED);
	CHECK_EQ_INT(b.seen[0].last.code, 7);
	CHECK_STR(bench_out(&b, 0), "out\n");
	bench_fini(&b);
}

TEST(ends, what_others_write_right_after_it_belongs_to_it)
{
	static const char *const commands[][8] = {
		BENCH_SH("(sleep 0.2; echo late) & echo early"),
	};
	struct bench b = {.options = {.jobs = 1}, BENCH(commands)};

	CHECK_EQ_INT(bench_run(&b), WEIR_OK);
	CHECK_EQ_INT(b.seen[0].status, WEIR_EXEC_OK);
	CHECK_STR(bench_out(&b, 0), "early\nlate\n");
	bench_fini(&b);
}

TEST(ends, who_holds_the_pipe_holds_up_nobody_for_long)
{
	/* By turns: who ends when told, who does not, who has left the group */
	static const char *const commands[][8] = {
		BENCH_SH("sleep 1000 & echo x; exit 3"),
		BENCH_SH("(" DEAF FOREVER ") & echo x; exit 3"),
		BENCH_SH("setsid sleep 1000 & echo x; exit 3"),
		BENCH_SH("setsid sh -c \"" DEAF FOREVER "\" & echo x; exit 3"),
	};
	struct bench b = {.options = {.jobs = 4}, BENCH(commands)};

	CHECK_EQ_INT(bench_run(&b), WEIR_OK);
	for (size_t i = 0; i < b.count; i++) {
		CHECK_EQ_INT(b.seen[i].last.end, WEIR_EXEC_EXITED);
		CHECK_EQ_INT(b.seen[i].last.code, 3);
		CHECK_STR(bench_out(&b, i), "x\n");
		/* It took until its own exit, its slot a second more. */
		CHECK(b.seen[i].run_ns - b.seen[i].last.wall_ns >= WEIR_S);
	}
	bench_fini(&b);
}

TEST(ends, nobody_is_left_of_who_holds_no_pipe)
{
	static const char *const commands[][8] = {
		BENCH_SH("sleep 1000 >/dev/null 2>&1 &"),
		BENCH_SH("(" DEAF FOREVER ") >/dev/null 2>&1 &"),
		BENCH_SH("setsid sleep 1000 >/dev/null 2>&1 &"),
		BENCH_SH("setsid sh -c \"" DEAF FOREVER "\" >/dev/null 2>&1 &"),
		/* A daemon of the old school, and its children. */
		BENCH_SH("(setsid sh -c 'sleep 1000 & sleep 1000 & "
			 "wait' >/dev/null 2>&1 &) &"),
	};
	struct bench b = {.options = {.jobs = 2}, BENCH(commands)};

	CHECK_EQ_INT(bench_run(&b), WEIR_OK);
	for (size_t i = 0; i < b.count; i++)
		CHECK_EQ_INT(b.seen[i].status, WEIR_EXEC_OK);
	bench_fini(&b);
}

/* Ends by itself once the process of the group of an earlier job is gone. */
TEST(ends, a_deaf_leftover_is_killed_while_the_run_goes_on)
{
	static const char *const commands[][8] = {
		BENCH_SH("(" DEAF FOREVER ") >/dev/null 2>&1 & "
			 "echo $! >leftover"),
		BENCH_SH("while kill -0 $(cat leftover) 2>/dev/null; do "
			 "sleep 0.05; done; echo gone"),
	};
	char dir[] = "/tmp/weir-test-XXXXXX", path[100];
	struct bench b = {.options = {.jobs = 1}, BENCH(commands)};

	REQUIRE(mkdtemp(dir));
	b.options.dir = dir;
	CHECK_EQ_INT(bench_run(&b), WEIR_OK);
	CHECK_STR(bench_out(&b, 1), "gone\n");
	bench_fini(&b);
	snprintf(path, sizeof(path), "%s/leftover", dir);
	CHECK(unlink(path) == 0 && rmdir(dir) == 0);
}

TEST(ends, a_leftover_is_told_before_it_is_killed)
{
	static const char *const commands[][8] = {
		BENCH_SH("(trap 'echo >told; exit' TERM; echo >up; "
			 "while :; do sleep 0.01; done) >/dev/null 2>&1 & "
			 "while [ ! -e up ]; do sleep 0.01; done"),
		BENCH_SH("while [ ! -e told ]; do sleep 0.01; done"),
	};
	char dir[] = "/tmp/weir-test-XXXXXX", path[100];
	struct bench b = {.options = {.jobs = 1}, BENCH(commands)};

	REQUIRE(mkdtemp(dir));
	b.options.dir = dir;
	CHECK_EQ_INT(bench_run(&b), WEIR_OK);
	bench_fini(&b);
	snprintf(path, sizeof(path), "%s/told", dir);
	CHECK_EQ_INT(unlink(path), 0);
	snprintf(path, sizeof(path), "%s/up", dir);
	CHECK(unlink(path) == 0 && rmdir(dir) == 0);
}

TEST(ends, waiting_for_them_costs_next_to_nothing)
{
	static const char *const commands[][8] = {
		{"true"},
		/* So that there is something to look after. */
		BENCH_SH("setsid sleep 1000 >/dev/null 2>&1 &"),
		{"sleep", "4"},
	};
	struct bench b = {.options = {.jobs = 1}, BENCH(commands)};
	struct rusage usage;

	CHECK_EQ_INT(bench_run(&b), WEIR_OK);
	REQUIRE(getrusage(RUSAGE_SELF, &usage) == 0);
	/* Of our own: who turns in circles takes seconds. */
	CHECK(usage.ru_utime.tv_sec == 0 && usage.ru_stime.tv_sec == 0);
	bench_fini(&b);
}

static int
count_zombies(void)
{
	char path[300], text[300], ours[32];
	struct dirent *entry;
	DIR *dir = opendir("/proc");
	int count = 0;

	/* The state, and whose child it is, are behind the name. */
	snprintf(ours, sizeof(ours), ") Z %d ", (int)getpid());
	REQUIRE(dir);
	while ((entry = readdir(dir))) {
		ssize_t len;
		int fd;

		snprintf(path, sizeof(path), "/proc/%s/stat", entry->d_name);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		len = fd >= 0 ? read(fd, text, sizeof(text) - 1) : -1;
		text[len > 0 ? len : 0] = '\0';
		count += strstr(text, ours) != NULL;
		if (fd >= 0)
			(void)close(fd);
	}
	(void)closedir(dir);
	return count;
}

static void
look_for_zombies(struct bench *b, const struct weir_exec_attempt *a)
{
	(void)a;
	/* Each job leaves one behind; they are reaped now and then. */
	if (b->attempts == b->count)
		CHECK(count_zombies() < 400);
}

TEST_LIMIT(ends, orphans_do_not_pile_up_as_zombies, 60)
{
	static const char *const one[8] = BENCH_SH("setsid true &");
	static const char *commands[1000][8];
	struct bench b = {.options = {.jobs = 1},
			  .commands = (const char *const(*)[8])commands,
			  .count = 1000,
			  .on_attempt = look_for_zombies};

	for (size_t i = 0; i < b.count; i++)
		memcpy(commands[i], one, sizeof(one));
	CHECK_EQ_INT(bench_run(&b), WEIR_OK);
	bench_fini(&b);
}

TEST(ends, children_of_before_are_left_alone)
{
	static const char *const commands[][8] = {{"true"}};
	struct bench b = {.options = {.jobs = 1}, BENCH(commands)};
	pid_t before = fork();

	REQUIRE(before >= 0);
	if (before == 0)
		for (;;)
			(void)pause();
	bench_new(&b);
	CHECK_EQ_INT(weir__exec_engine_run(b.engine, NULL, &b.error), WEIR_OK);
	weir__exec_engine_free(b.engine);
	CHECK_EQ_INT(waitpid(before, NULL, WNOHANG), 0);
	REQUIRE(kill(before, SIGKILL) == 0);
	CHECK_EQ_INT(waitpid(before, NULL, 0), before);
	bench_fini(&b);
}

TEST(ends, a_host_that_ignores_children_gets_results_as_well)
{
	static const char *const commands[][8] = {{"true"}, {"false"}};
	struct bench b = {.options = {.jobs = 1}, BENCH(commands)};
	struct sigaction action;

	REQUIRE(signal(SIGCHLD, SIG_IGN) != SIG_ERR);
	CHECK_EQ_INT(bench_run(&b), WEIR_OK);
	CHECK_EQ_INT(b.seen[0].status, WEIR_EXEC_OK);
	CHECK_EQ_INT(b.seen[1].last.code, 1);
	REQUIRE(sigaction(SIGCHLD, NULL, &action) == 0);
	CHECK(action.sa_handler == SIG_IGN);
	bench_fini(&b);
}

/* A run that is stopped from another thread once something has happened. */
struct stop {
	struct bench bench;
	enum { SOON, NOW, KILL, CANCEL } how;
	uint32_t chunks, attempts; /* wait for so many */
	const char *go;            /* to be made afterwards, or NULL */
	struct weir_thread thread;
};

static bool
is_time(struct stop *stop)
{
	struct bench *b = &stop->bench;
	bool due;

	weir__mutex_lock(&b->mu);
	due = b->chunks >= stop->chunks && b->attempts >= stop->attempts;
	weir__mutex_unlock(&b->mu);
	return due;
}

static void
stop_it(void *arg)
{
	struct stop *stop = arg;
	struct bench *b = &stop->bench;

	while (!is_time(stop))
		weir__yield();
	switch (stop->how) {
	case SOON:
	case NOW:
		weir__exec_engine_stop(b->engine, stop->how == NOW);
		break;
	case KILL:
		weir__exec_engine_kill(b->engine);
		break;
	case CANCEL:
		weir_ctx_cancel(b->ctx);
	}
	if (stop->go) {
		int fd = open(stop->go, O_CREAT | O_CLOEXEC | O_WRONLY, 0600);

		CHECK(fd >= 0 && close(fd) == 0);
	}
}

static void
stop_done(struct bench *b)
{
	weir__thread_join(&((struct stop *)b)->thread);
}

static weir_status
run_and_stop(struct stop *stop)
{
	stop->bench.on_end = stop_done;
	bench_new(&stop->bench);
	REQUIRE(weir__thread_start(&stop->thread, "stop", 0, stop_it, stop) ==
		WEIR_OK);
	return bench_run(&stop->bench);
}

#define STOP_LINES .options = {.jobs = 2, .output = WEIR_EXEC_LINES}

TEST(ends, a_stop_now_ends_what_runs_and_hands_back_the_rest)
{
	static const char *const commands[][8] = {
		BENCH_SH("echo up; exec sleep 1000"),
		BENCH_SH("trap 'exit 0' TERM; echo up; "
			 "while :; do sleep 0.01; done"),
		{"true"},
		{"true"},
	};
	struct stop stop = {.bench = {STOP_LINES, BENCH(commands)},
			    .how = NOW,
			    .chunks = 2};
	struct bench *b = &stop.bench;

	(void)run_and_stop(&stop);
	CHECK_EQ_INT(b->seen[0].status, WEIR_EXEC_CANCELLED);
	CHECK_EQ_INT(b->seen[0].last.end, WEIR_EXEC_CANCELED);
	CHECK_EQ_INT(b->seen[0].last.code, SIGTERM);
	CHECK_STR(bench_out(b, 0), "up\n");
	/* It says that it is done; who knows with what. */
	CHECK_EQ_INT(b->seen[1].status, WEIR_EXEC_CANCELLED);
	for (size_t i = 2; i < b->next; i++)
		CHECK(b->seen[i].handed_back);
	bench_fini(b);
}

TEST(ends, a_stop_soon_lets_what_runs_end)
{
	static const char *const commands[][8] = {
		BENCH_SH("echo up; while [ ! -e go ]; do sleep 0.01; done; "
			 "echo done"),
		BENCH_SH("echo up; while [ ! -e go ]; do sleep 0.01; done"),
		{"true"},
	};
	char dir[] = "/tmp/weir-test-XXXXXX", path[100];
	struct stop stop = {.bench = {STOP_LINES, BENCH(commands)},
			    .how = SOON,
			    .chunks = 2,
			    .go = path};
	struct bench *b = &stop.bench;

	REQUIRE(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/go", dir);
	b->options.dir = dir;
	(void)run_and_stop(&stop);
	CHECK_EQ_INT(b->seen[0].status, WEIR_EXEC_OK);
	CHECK_STR(bench_out(b, 0), "up\ndone\n");
	CHECK_EQ_INT(b->seen[1].status, WEIR_EXEC_OK);
	CHECK(b->next == 2 || b->seen[2].handed_back);
	CHECK(unlink(path) == 0 && rmdir(dir) == 0);
	bench_fini(b);
}

TEST(ends, a_job_that_waits_for_another_attempt_has_failed_by_its_last)
{
	static const char *const commands[][8] = {
		BENCH_SH("echo out; echo err >&2; exit 9"),
	};
	struct stop stop = {.bench = {.options = {.jobs = 1, .retries = 5},
				      BENCH(commands)},
			    .how = SOON,
			    .attempts = 1};
	struct bench *b = &stop.bench;

	/* With full jitter the wait may be short, but is not likely to be. */
	b->options.backoff_ns = 1000000 * WEIR_S;
	b->options.backoff_max_ns = 1000000 * WEIR_S;
	b->options.retry_on.codes[0] = 1 << 9;
	(void)run_and_stop(&stop);
	CHECK_EQ_INT(b->seen[0].status, WEIR_EXEC_FAILED);
	CHECK_EQ_INT(b->seen[0].attempts, 1);
	CHECK_STR(b->seen[0].error, "exit 9");
	CHECK(!b->seen[0].last.will_retry);
	/* It was the last one after all, and nothing of it is lost. */
	CHECK_STR(bench_out(b, 0), "out\n");
	CHECK_STR(bench_err(b, 0), "err\n");
	bench_fini(b);
}

TEST(ends, the_end_of_the_whole_run_is_not_a_time_out_of_jobs)
{
	static const char *const commands[][8] = {{"sleep", "1000"}};
	struct bench b = {.options = {.jobs = 1}, BENCH(commands)};

	REQUIRE(weir_ctx_new(&b.ctx, NULL, 100 * WEIR_MS) == WEIR_OK);
	CHECK_EQ_INT(bench_run(&b), WEIR_TIMEDOUT);
	CHECK_EQ_INT(b.seen[0].last.end, WEIR_EXEC_CANCELED);
	CHECK_EQ_INT(b.seen[0].status, WEIR_EXEC_CANCELLED);
	weir_ctx_unref(b.ctx);
	bench_fini(&b);
}

TEST(ends, cancelling_the_run_ends_what_runs)
{
	static const char *const commands[][8] = {
		BENCH_SH("echo up; exec sleep 1000"),
		BENCH_SH("echo up; exec sleep 1000"),
	};
	struct stop stop = {.bench = {STOP_LINES, BENCH(commands)},
			    .how = CANCEL,
			    .chunks = 2};
	struct bench *b = &stop.bench;

	REQUIRE(weir_ctx_new(&b->ctx, NULL, WEIR_FOREVER) == WEIR_OK);
	CHECK_EQ_INT(run_and_stop(&stop), WEIR_CANCELED);
	CHECK_EQ_INT(b->seen[1].status, WEIR_EXEC_CANCELLED);
	weir_ctx_unref(b->ctx);
	bench_fini(b);
}

TEST(ends, a_kill_spares_nobody)
{
	static const char *const commands[][8] = {
		BENCH_SH(DEAF "setsid sh -c \"" DEAF FOREVER
			      "\" & echo up; " FOREVER),
		BENCH_SH(DEAF "echo up; " FOREVER),
	};
	struct stop stop = {.bench = {STOP_LINES, BENCH(commands)},
			    .how = KILL,
			    .chunks = 2};
	struct bench *b = &stop.bench;

	(void)run_and_stop(&stop);
	for (size_t i = 0; i < b->count; i++) {
		CHECK_EQ_INT(b->seen[i].last.end, WEIR_EXEC_SIGNALED);
		CHECK_EQ_INT(b->seen[i].last.code, SIGKILL);
	}
	bench_fini(b);
}

/* None of them needs another process. */
static const char *const napping[][8] = {
	BENCH_SH("echo $WEIR_SEQ"), {"sleep", "0.05"}, BENCH_SH("exit 2"),
	{"sleep", "0.05"},          {"sleep", "0.05"}, {"sleep", "0.05"},
	{"sleep", "0.05"},          {"sleep", "0.05"}, {"sleep", "0.05"},
	{"sleep", "0.05"},          {"sleep", "0.05"}, {"sleep", "0.05"},
};

/* Some of what napping needs was not there: none of it shows. */
static void
check_napping(const struct bench *b)
{
	for (size_t i = 0; i < b->count; i++) {
		CHECK_EQ_INT(b->seen[i].attempts, 1);
		CHECK_EQ_INT(b->seen[i].last.end, WEIR_EXEC_EXITED);
		CHECK_EQ_INT(b->seen[i].last.code, i == 2 ? 2 : 0);
	}
	CHECK_STR(bench_out(b, 0), "1\n");
}

TEST(ends, with_too_few_descriptors_there_are_fewer_at_a_time)
{
	struct bench b = {.options = {.jobs = 12}, BENCH(napping)};
	struct rlimit limit;
	int fd;

	bench_new(&b);
	fd = dup(0);
	REQUIRE(fd >= 0 && close(fd) == 0);
	/* Two reactors with what they need, and three or so children. */
	limit.rlim_cur = limit.rlim_max = (rlim_t)fd + 20;
	REQUIRE(setrlimit(RLIMIT_NOFILE, &limit) == 0);
	CHECK_EQ_INT(bench_run(&b), WEIR_OK);
	check_napping(&b);
	bench_fini(&b);
}

TEST(ends, with_no_descriptors_at_all_the_run_says_so)
{
	struct bench b = {.options = {.jobs = 12}, BENCH(napping)};
	struct rlimit limit;
	int fd;

	bench_new(&b);
	fd = dup(0);
	REQUIRE(fd >= 0 && close(fd) == 0);
	REQUIRE(getrlimit(RLIMIT_NOFILE, &limit) == 0);
	limit.rlim_cur = (rlim_t)fd + 1;
	REQUIRE(setrlimit(RLIMIT_NOFILE, &limit) == 0);
	CHECK_EQ_INT(weir__exec_engine_run(b.engine, NULL, &b.error),
		     WEIR_SYSTEM);
	CHECK_STR(b.error.message, "cannot run commands: Too many open files");
	weir__exec_engine_free(b.engine);
	CHECK_EQ_INT(b.next, 0);
	bench_fini(&b);
}

/* As somebody else, who has no other processes. */
static void
be_nobody(rlim_t processes)
{
	struct rlimit limit;
	uid_t uid = 54321 + (uid_t)getpid();

	if (geteuid() != 0)
		SKIP("needs another user to be limited");
	REQUIRE(getrlimit(RLIMIT_NPROC, &limit) == 0);
	limit.rlim_cur = processes;
	REQUIRE(setrlimit(RLIMIT_NPROC, &limit) == 0);
	REQUIRE(setgroups(0, NULL) == 0 && setresuid(uid, uid, uid) == 0);
}

/* A leak checker needs a process of its own. */
static void
unlimit_processes(void)
{
	struct rlimit limit;

	REQUIRE(getrlimit(RLIMIT_NPROC, &limit) == 0);
	limit.rlim_cur = limit.rlim_max;
	REQUIRE(setrlimit(RLIMIT_NPROC, &limit) == 0);
}

TEST(ends, with_too_few_processes_there_are_fewer_at_a_time)
{
	struct bench b = {.options = {.jobs = 12}, BENCH(napping)};

	/* Our threads count, too, and so do a sanitizer's. */
	if (UNDER_TSAN)
		SKIP("the sanitizer has processes of its own");
	be_nobody(5);
	CHECK_EQ_INT(bench_run(&b), WEIR_OK);
	check_napping(&b);
	unlimit_processes();
	bench_fini(&b);
}

TEST_LIMIT(ends, a_shortage_that_does_not_end_fails_the_attempt, 60)
{
	static const char *const commands[][8] = {{"true"}};
	struct bench b = {.options = {.jobs = 1}, BENCH(commands)};

	be_nobody(1);
	CHECK_EQ_INT(bench_run(&b), WEIR_OK);
	CHECK_EQ_INT(b.seen[0].status, WEIR_EXEC_FAILED);
	CHECK_EQ_INT(b.seen[0].last.end, WEIR_EXEC_UNSTARTED);
	CHECK_EQ_INT(b.seen[0].last.error, EAGAIN);
	unlimit_processes();
	bench_fini(&b);
}

TEST(ends, who_waits_to_be_started_can_be_handed_back)
{
	static const char *const commands[][8] = {{"true"}};
	struct bench b = {.options = {.jobs = 1}, BENCH(commands)};

	be_nobody(1);
	REQUIRE(weir_ctx_new(&b.ctx, NULL, 200 * WEIR_MS) == WEIR_OK);
	CHECK_EQ_INT(bench_run(&b), WEIR_TIMEDOUT);
	CHECK(b.seen[0].handed_back);
	CHECK_EQ_INT(b.attempts, 0);
	weir_ctx_unref(b.ctx);
	unlimit_processes();
	bench_fini(&b);
}

TEST(ends, limits_are_the_childs_and_not_ours)
{
	static const char *const commands[][8] = {
		BENCH_SH("ulimit -n; ulimit -v; ulimit -t"),
		BENCH_SH("while :; do :; done"),
	};
	struct bench b = {.options = {.jobs = 2}, BENCH(commands)};

	b.options.limits.nofile = 99;
	b.options.limits.memory = 1000 * 1024 * 1024;
	b.options.limits.cpu_s = 1;
	CHECK_EQ_INT(bench_run(&b), WEIR_OK);
	CHECK_STR(bench_out(&b, 0), "99\n1024000\n1\n");
	CHECK_EQ_INT(b.seen[1].last.end, WEIR_EXEC_SIGNALED);
	CHECK_EQ_INT(b.seen[1].last.code, SIGXCPU);
	bench_fini(&b);
}

/* The most descriptors that were open when an attempt ended. */
static int open_most;

static void
count_descriptors(struct bench *b, const struct weir_exec_attempt *a)
{
	DIR *dir = opendir("/proc/self/fd");
	int count = 0;

	(void)a;
	REQUIRE(dir);
	while (readdir(dir))
		count++;
	(void)closedir(dir);
	weir__mutex_lock(&b->mu);
	if (count > open_most)
		open_most = count;
	weir__mutex_unlock(&b->mu);
}

TEST(ends, no_more_descriptors_are_needed_than_it_says)
{
	static const char *const commands[][8] = {
		BENCH_SH("echo out; echo err >&2; sleep 0.2; exit 1"),
		BENCH_SH("echo out; echo err >&2; sleep 0.2; exit 1"),
		BENCH_SH("echo out; echo err >&2; sleep 0.2; exit 1"),
		BENCH_SH("echo out; echo err >&2; sleep 0.2; exit 1"),
		BENCH_SH("echo out; echo err >&2; sleep 0.2; exit 1"),
		BENCH_SH("echo out; echo err >&2; sleep 0.2; exit 1"),
		BENCH_SH("echo out; echo err >&2; sleep 0.2; exit 1"),
		BENCH_SH("echo out; echo err >&2; sleep 0.2; exit 1"),
	};
	struct bench b = {.options = {.jobs = 4, .retries = 1},
			  BENCH(commands),
			  .on_attempt = count_descriptors};
	int before;

	/* Everything that is written goes into files. */
	b.options.spool_bytes = 1;
	b.options.backoff_ns = 100 * WEIR_MS;
	b.options.retry_on.codes[0] = 1 << 1;
	count_descriptors(&b, NULL);
	before = open_most;
	CHECK_EQ_INT(bench_run(&b), WEIR_OK);
	CHECK_MSG((uint64_t)(open_most - before) <=
			  weir__exec_engine_descriptors(&b.options),
		  "%d", open_most - before);
	CHECK(open_most - before > 4 * 4);
	bench_fini(&b);
}

/* xorshift: a seed gives the same trial again. */
static uint32_t
pick(uint64_t *seed, uint32_t below)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return (uint32_t)(*seed >> 33) % below;
}

static void
trial(uint64_t *seed)
{
	static const char *const kinds[][8] = {
		{"true"},
		{"echo", "hello"},
		{"sleep", "0.02"},
		{"no-such-program-of-weir"},
		BENCH_SH("echo one; echo two >&2; exit 3"),
		BENCH_SH("sleep 0.03 & echo x"),
		BENCH_SH("sleep 1000 >/dev/null 2>&1 &"),
		BENCH_SH("setsid sleep 1000 >/dev/null 2>&1 &"),
		BENCH_SH("trap 'exit 0' TERM; while :; do sleep 0.01; done"),
		BENCH_SH("kill -9 $$"),
	};
	const char *commands[40][8];
	struct stop stop = {.how = pick(seed, 4)};
	struct bench *b = &stop.bench;

	b->commands = (const char *const(*)[8])commands;
	b->count = 1 + pick(seed, 40);
	for (size_t i = 0; i < b->count; i++)
		memcpy(commands[i], kinds[pick(seed, 10)], sizeof(commands[i]));
	b->options.jobs = 1 + pick(seed, 8);
	b->options.output = pick(seed, 2) ? WEIR_EXEC_LINES : WEIR_EXEC_GROUPED;
	b->options.timeout_ns = pick(seed, 2) ? 50 * WEIR_MS : WEIR_S;
	b->options.kill_after_ns = 50 * WEIR_MS;
	b->options.retries = pick(seed, 3);
	b->options.backoff_ns = 10 * WEIR_MS;
	b->options.retry_on.codes[0] = 1 << 3;
	b->options.retry_on.timeouts = pick(seed, 2);
	stop.attempts = pick(seed, (uint32_t)b->count + 1);
	REQUIRE(weir_ctx_new(&b->ctx, NULL, WEIR_FOREVER) == WEIR_OK);
	(void)run_and_stop(&stop);
	weir_ctx_unref(b->ctx);
	bench_fini(b);
}

TEST_LIMIT(ends, whenever_it_is_stopped_all_is_told_and_nobody_is_left, 100)
{
	uint64_t seed = test_seed() | 1;

	for (int i = 0; i < 25; i++)
		trial(&seed);
}
