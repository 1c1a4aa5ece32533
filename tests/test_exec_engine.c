/*
 * The engine of `weir run`, with real processes: what commands give, and what
 * they are given.  How they end is in test_exec_ends.c.
 */
#include "exec_bench.h"

#include "sync/futex.h"
#include "sync/thread.h"

#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>

TEST(engine, gives_what_commands_wrote_and_how_they_ended)
{
	static const char *const commands[][8] = {
		{"true"},
		{"echo", "hello"},
		{"false"},
		BENCH_SH("echo out; echo err >&2; kill -9 $$"),
		BENCH_SH("printf 'no newline'; exit 255"),
	};
	struct bench b = {.options = {.jobs = 2}, BENCH(commands)};

	CHECK_EQ_INT(bench_run(&b), WEIR_OK);
	CHECK_EQ_INT(b.attempts, 5);
	CHECK_EQ_INT(b.seen[0].status, WEIR_EXEC_OK);
	CHECK_STR(b.seen[0].error, "");
	CHECK_STR(bench_out(&b, 1), "hello\n");
	CHECK_EQ_INT(b.seen[1].last.out_bytes, 6);
	CHECK_EQ_INT(b.seen[2].status, WEIR_EXEC_FAILED);
	CHECK_EQ_INT(b.seen[2].last.end, WEIR_EXEC_EXITED);
	CHECK_EQ_INT(b.seen[2].last.code, 1);
	CHECK_STR(b.seen[2].error, "exit 1");
	CHECK_EQ_INT(b.seen[3].last.end, WEIR_EXEC_SIGNALED);
	CHECK_EQ_INT(b.seen[3].last.code, SIGKILL);
	CHECK_STR(bench_out(&b, 3), "out\n");
	CHECK_STR(bench_err(&b, 3), "err\n");
	CHECK_EQ_INT(b.seen[4].last.code, 255);
	CHECK_STR(bench_out(&b, 4), "no newline");
	CHECK(b.seen[1].last.max_rss > 0 && b.seen[1].last.pid > 0);
	CHECK(b.seen[1].last.wall_ns > 0);
	CHECK(b.seen[1].last.started_unix_ns > 1500000000 * WEIR_S);
	bench_fini(&b);
}

TEST(engine, counts_processor_time_and_memory_of_the_child)
{
	static const char *const commands[][8] = {
		BENCH_SH("i=0; while [ $i -lt 200000 ]; do i=$((i + 1)); done"),
		BENCH_SH("x=$(head -c 20000000 /dev/zero | tr '\\0' x); :"),
	};
	struct bench b = {.options = {.jobs = 1}, BENCH(commands)};

	CHECK_EQ_INT(bench_run(&b), WEIR_OK);
	CHECK(b.seen[0].last.user_ns > WEIR_MS);
	CHECK(b.seen[1].last.max_rss > 20000000);
	CHECK(b.seen[1].last.max_rss < 2000000000);
	bench_fini(&b);
}

TEST(engine, tells_why_a_command_could_not_be_started)
{
	static const char *const commands[][8] = {
		{"no-such-program-of-weir"},
		{"/dev/null"},
		{"/no/such/place"},
		{""},
	};
	struct bench b = {.options = {.jobs = 2}, BENCH(commands)};

	CHECK_EQ_INT(bench_run(&b), WEIR_OK);
	for (size_t i = 0; i < b.count; i++) {
		CHECK_EQ_INT(b.seen[i].status, WEIR_EXEC_FAILED);
		CHECK_EQ_INT(b.seen[i].last.end, WEIR_EXEC_UNSTARTED);
		CHECK_EQ_INT(b.seen[i].last.error, i == 1 ? EACCES : ENOENT);
		CHECK(b.seen[i].error[0] != '\0');
	}
	bench_fini(&b);
}

TEST(engine, finds_a_program_that_another_job_has_made)
{
	static const char *const commands[][8] = {
		{"made-by-a-job"},
		BENCH_SH("printf 'echo made' >made-by-a-job; "
			 "chmod +x made-by-a-job"),
		{"made-by-a-job"},
	};
	char dir[] = "/tmp/weir-test-XXXXXX", path[4096];
	struct bench b = {.options = {.jobs = 1}, BENCH(commands)};

	REQUIRE(mkdtemp(dir));
	b.options.dir = dir;
	/* The second place is the directory that commands run in. */
	snprintf(path, sizeof(path), "%s::/nowhere", getenv("PATH"));
	REQUIRE(setenv("PATH", path, 1) == 0);
	CHECK_EQ_INT(bench_run(&b), WEIR_OK);
	CHECK_EQ_INT(b.seen[0].last.error, ENOENT);
	/* It has no #! line: a text for the shell, as execvp(3) has it. */
	CHECK_STR(bench_out(&b, 2), "made\n");
	bench_fini(&b);
	snprintf(path, sizeof(path), "%s/made-by-a-job", dir);
	CHECK_EQ_INT(unlink(path), 0);
	CHECK_EQ_INT(rmdir(dir), 0);
}

TEST(engine, a_command_that_cannot_be_made_has_failed)
{
	static const char *const commands[][8] = {{"true"}, {NULL}, {"true"}};
	struct bench b = {.options = {.jobs = 2}, BENCH(commands)};

	CHECK_EQ_INT(bench_run(&b), WEIR_OK);
	CHECK_EQ_INT(b.seen[1].status, WEIR_EXEC_FAILED);
	CHECK_EQ_INT(b.seen[1].attempts, 0);
	CHECK_STR(b.seen[1].error, "nothing to run");
	CHECK_EQ_INT(b.seen[2].status, WEIR_EXEC_OK);
	bench_fini(&b);
}

TEST(engine, commands_are_told_who_they_are)
{
	static const char *const commands[][8] = {
		{"true"},
		BENCH_SH("echo $WEIR_SEQ $WEIR_SLOT $WEIR_ATTEMPT"),
	};
	struct bench b = {.options = {.jobs = 3}, BENCH(commands)};

	/* Of an engine around us, say. */
	REQUIRE(setenv("WEIR_SEQ", "77", 1) == 0);
	CHECK_EQ_INT(bench_run(&b), WEIR_OK);
	CHECK(strncmp(bench_out(&b, 1), "2 ", 2) == 0);
	CHECK(strstr(bench_out(&b, 1), " 1\n"));
	bench_fini(&b);
}

TEST(engine, slots_are_the_lowest_that_are_free)
{
	static const char *const commands[][8] = {
		{"true"}, {"true"}, {"true"}, {"true"}, {"true"},
	};
	struct bench b = {.options = {.jobs = 1000, .threads = 1},
			  BENCH(commands)};

	b.options.jobs = 5;
	CHECK_EQ_INT(bench_run(&b), WEIR_OK);
	for (size_t i = 0; i < b.count; i++)
		CHECK(b.seen[i].last.slot <= 5);
	bench_fini(&b);
}

TEST(engine, another_attempt_follows_where_that_is_wanted)
{
	static const char *const commands[][8] = {
		BENCH_SH("echo out$WEIR_ATTEMPT; echo err$WEIR_ATTEMPT >&2; "
			 "[ $WEIR_ATTEMPT = 3 ] || exit 7"),
		BENCH_SH("echo once; exit 8"),
		BENCH_SH("echo last$WEIR_ATTEMPT; exit 7"),
		BENCH_SH("kill -9 $$"),
		{"no-such-program-of-weir"},
	};
	struct bench b = {.options = {.jobs = 2, .retries = 2},
			  BENCH(commands)};

	b.options.backoff_ns = WEIR_MS;
	b.options.retry_on.codes[0] = 1 << 7;
	b.options.retry_on.unstarted = true;
	CHECK_EQ_INT(bench_run(&b), WEIR_OK);
	CHECK_EQ_INT(b.seen[0].status, WEIR_EXEC_OK);
	CHECK_EQ_INT(b.seen[0].attempts, 3);
	/* One output for each job, and every complaint. */
	CHECK_STR(bench_out(&b, 0), "out3\n");
	CHECK_STR(bench_err(&b, 0), "err1\nerr2\nerr3\n");
	CHECK_EQ_INT(b.seen[1].attempts, 1);
	CHECK_STR(bench_out(&b, 1), "once\n");
	CHECK_EQ_INT(b.seen[2].attempts, 3);
	CHECK_STR(bench_out(&b, 2), "last3\n");
	CHECK_EQ_INT(b.seen[3].attempts, 1);
	CHECK_EQ_INT(b.seen[4].attempts, 3);
	CHECK_EQ_INT(b.retries, 6);
	bench_fini(&b);
}

TEST_LIMIT(engine, much_output_is_kept_whole_in_little_memory, 60)
{
	static const char *const commands[][8] = {
		BENCH_SH("head -c 104857600 /dev/zero >&2"),
		BENCH_SH("head -c 3000000 /dev/zero"),
	};
	struct bench b = {.options = {.jobs = 2}, BENCH(commands)};
	struct rusage before, after;

	b.keep_nothing = true;
	REQUIRE(getrusage(RUSAGE_SELF, &before) == 0);
	CHECK_EQ_INT(bench_run(&b), WEIR_OK);
	REQUIRE(getrusage(RUSAGE_SELF, &after) == 0);
	CHECK_EQ_INT(b.seen[0].err_len, 104857600);
	CHECK_EQ_INT(b.seen[0].last.err_bytes, 104857600);
	CHECK_EQ_INT(b.seen[1].out_len, 3000000);
	/* In KiB; what sanitizers take for themselves is in it. */
	CHECK(after.ru_maxrss - before.ru_maxrss < 40 * 1024);
	bench_fini(&b);
}

TEST(engine, lines_come_whole_however_they_were_written)
{
	/* dd writes what it is told at a time: lines of 7 in pieces of 5. */
	static const char *const commands[][8] = {
		BENCH_SH("i=0; while [ $i -lt 3000 ]; do echo aaaaaa; "
			 "i=$((i+1)); done | dd obs=5 2>/dev/null"),
		BENCH_SH("i=0; while [ $i -lt 3000 ]; do echo bbbbbb; "
			 "i=$((i+1)); done | dd obs=5 >&2 2>/dev/null"),
		BENCH_SH("printf 'one\\ntwo'"),
	};
	struct bench b = {.options = {.jobs = 3, .output = WEIR_EXEC_LINES},
			  BENCH(commands)};

	CHECK_EQ_INT(bench_run(&b), WEIR_OK);
	CHECK(!b.torn);
	CHECK_EQ_INT(b.seen[0].out_len, 21000);
	CHECK_EQ_INT(b.seen[1].err_len, 21000);
	for (size_t i = 0; i + 7 <= b.seen[0].out.len; i += 7)
		REQUIRE(memcmp(b.seen[0].out.data + i, "aaaaaa\n", 7) == 0);
	for (size_t i = 0; i + 7 <= b.seen[1].err.len; i += 7)
		REQUIRE(memcmp(b.seen[1].err.data + i, "bbbbbb\n", 7) == 0);
	CHECK_STR(bench_out(&b, 2), "one\ntwo");
	bench_fini(&b);
}

TEST(engine, a_line_longer_than_memory_is_kept_whole)
{
	static const char *const commands[][8] = {
		BENCH_SH("head -c 300000 /dev/zero | tr '\\0' x; "
			 "sleep 0.1; echo end"),
	};
	struct bench b = {.options = {.jobs = 1, .output = WEIR_EXEC_LINES},
			  BENCH(commands)};

	b.options.spool_bytes = 1000;
	CHECK_EQ_INT(bench_run(&b), WEIR_OK);
	CHECK(!b.torn);
	CHECK_EQ_INT(b.seen[0].out_len, 300004);
	CHECK_STR(bench_out(&b, 0) + 300000, "end\n");
	bench_fini(&b);
}

/* A reader that has no room, until somebody makes some. */
struct gate {
	struct bench bench;
	struct weir_u32 open, refused, most;
	struct weir_thread thread;
};

static bool
gate_chunk(struct bench *b, struct weir_spool *spool)
{
	struct gate *gate = (struct gate *)b;

	if (spool->len > weir__u32_load(&gate->most, WEIR_SEQ_CST))
		weir__u32_store(&gate->most, (uint32_t)spool->len,
				WEIR_SEQ_CST);
	if (weir__u32_load(&gate->open, WEIR_SEQ_CST))
		return true;
	weir__u32_add(&gate->refused, 1, WEIR_SEQ_CST);
	return false;
}

static void
gate_open(void *arg)
{
	struct gate *gate = arg;

	/* It is asked twice before the pipe is left alone. */
	while (weir__u32_load(&gate->refused, WEIR_SEQ_CST) < 2)
		weir__yield();
	weir__u32_store(&gate->open, 1, WEIR_SEQ_CST);
	weir__exec_engine_poke(gate->bench.engine);
}

static void
gate_done(struct bench *b)
{
	weir__thread_join(&((struct gate *)b)->thread);
}

TEST(engine, nothing_is_read_while_there_is_no_room)
{
	static const char *const commands[][8] = {
		BENCH_SH("i=0; while [ $i -lt 100000 ]; do echo $i; "
			 "i=$((i+1)); done"),
	};
	struct gate gate = {
		.bench = {.options = {.jobs = 1, .output = WEIR_EXEC_LINES},
			  BENCH(commands),
			  .on_chunk = gate_chunk}};
	struct bench *b = &gate.bench;

	bench_new(b);
	REQUIRE(weir__thread_start(&gate.thread, "gate", 0, gate_open, &gate) ==
		WEIR_OK);
	b->on_end = gate_done;
	CHECK_EQ_INT(bench_run(b), WEIR_OK);
	CHECK_EQ_INT(b->seen[0].out_len, 588890);
	CHECK(strncmp(bench_out(b, 0), "0\n1\n2\n3\n", 8) == 0);
	CHECK_STR(bench_out(b, 0) + 588890 - 6, "99999\n");
	/* Never more than a read, and what was begun before it. */
	CHECK(weir__u32_load(&gate.most, WEIR_SEQ_CST) <= 65536 + 6);
	bench_fini(b);
}

TEST(engine, an_end_does_not_wait_for_a_reader)
{
	static const char *const commands[][8] = {
		BENCH_SH("echo one; echo two; echo three; printf four"),
	};
	struct gate gate = {
		.bench = {.options = {.jobs = 1, .output = WEIR_EXEC_LINES},
			  BENCH(commands),
			  .on_chunk = gate_chunk}};
	struct bench *b = &gate.bench;

	CHECK_EQ_INT(bench_run(b), WEIR_OK);
	CHECK_STR(weir__buf_str(&b->seen[0].out_end), "one\ntwo\nthree\nfour");
	bench_fini(b);
}

TEST(engine, writes_to_ours_when_told_so)
{
	static const char *const commands[][8] = {
		BENCH_SH("echo out; echo err >&2"),
	};
	struct bench b = {.options = {.jobs = 1, .output = WEIR_EXEC_DIRECT},
			  BENCH(commands)};
	int saved = dup(1), ends[2];
	char text[16] = "";

	REQUIRE(saved >= 0 && pipe2(ends, O_CLOEXEC) == 0);
	REQUIRE(dup2(ends[1], 1) == 1);
	CHECK_EQ_INT(bench_run(&b), WEIR_OK);
	REQUIRE(dup2(saved, 1) == 1);
	CHECK_EQ_INT(read(ends[0], text, sizeof(text) - 1), 4);
	CHECK_STR(text, "out\n");
	CHECK_EQ_INT(b.seen[0].last.out_bytes, 0);
	bench_fini(&b);
}

/* TMPDIR becomes a file system of that many bytes. */
static void
small_tmpdir(const char *size)
{
	char dir[] = "/tmp/weir-test-XXXXXX";

	if (unshare(CLONE_NEWNS) != 0 ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
		SKIP("no file system can be mounted here");
	REQUIRE(mkdtemp(dir));
	if (mount("tmpfs", dir, "tmpfs", 0, size) != 0)
		SKIP("no file system can be mounted here");
	REQUIRE(setenv("TMPDIR", dir, 1) == 0);
}

TEST(engine, a_full_disk_ends_the_run_and_says_so)
{
	static const char *const commands[][8] = {
		BENCH_SH("head -c 10000000 /dev/zero"),
		{"sleep", "1000"},
		{"sleep", "1000"},
	};
	struct bench b = {.options = {.jobs = 2}, BENCH(commands)};
	char expected[200];

	small_tmpdir("size=65536");
	CHECK_EQ_INT(bench_run(&b), WEIR_SYSTEM);
	snprintf(expected, sizeof(expected),
		 "cannot write a temporary file: No space left on device (%s)",
		 getenv("TMPDIR"));
	CHECK_STR(b.error.message, expected);
	CHECK_EQ_INT(b.error.native, ENOSPC);
	CHECK_EQ_INT(b.seen[1].status, WEIR_EXEC_CANCELLED);
	bench_fini(&b);
}

TEST(engine, no_place_for_files_matters_only_when_one_is_needed)
{
	static const char *const commands[][8] = {{"echo", "hello"}};
	struct bench b = {.options = {.jobs = 2}, BENCH(commands)};

	REQUIRE(setenv("TMPDIR", "/no/such/place", 1) == 0);
	CHECK_EQ_INT(bench_run(&b), WEIR_OK);
	bench_fini(&b);
}

TEST(engine, an_input_that_fails_ends_the_run)
{
	static const char *const commands[][8] = {{"true"}};
	struct bench b = {.options = {.jobs = 2},
			  BENCH(commands),
			  .source_end = WEIR_SYSTEM};

	CHECK_EQ_INT(bench_run(&b), WEIR_SYSTEM);
	CHECK_EQ_INT(b.seen[0].status, WEIR_EXEC_OK);
	bench_fini(&b);
}

TEST(engine, there_is_a_delay_between_starts)
{
	static const char *const commands[][8] = {
		{"true"}, {"true"}, {"true"}, {"true"}, {"true"},
	};
	struct bench b = {.options = {.jobs = 5, .delay_ns = 20 * WEIR_MS},
			  BENCH(commands)};
	int64_t began_ns = weir_now_ns();

	CHECK_EQ_INT(bench_run(&b), WEIR_OK);
	CHECK(weir_now_ns() - began_ns >= 80 * WEIR_MS);
	bench_fini(&b);
}

TEST(engine, a_place_to_run_that_is_not_there_is_refused_at_once)
{
	struct weir_exec_options options = {.jobs = 1, .dir = "/no/such/place"};
	struct weir_exec_hooks hooks = {0};
	struct weir_exec_engine *engine = NULL;
	weir_error error;

	CHECK_EQ_INT(weir__exec_engine_new(&engine, &options, &hooks, &error),
		     WEIR_SYSTEM);
	CHECK_STR(error.message, "commands cannot run in this directory: "
				 "No such file or directory (/no/such/place)");
	CHECK(!engine);
}
