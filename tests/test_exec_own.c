/*
 * What a job of the engine may have of its own: standard input, variables, a
 * time-out, attempts that were made elsewhere; and that it is cancelled alone.
 */
#include "exec_bench.h"

#include "base/rng.h"
#include "sync/thread.h"

/* More than a pipe takes at once. */
#define INPUT_LEN 300000

static char input[INPUT_LEN];

static void
give_input(struct bench *b, struct weir_exec_job *job)
{
	(void)b;
	if (job->seq == 3)
		return;
	job->input = input;
	job->input_len = job->seq == 1 ? 5 : sizeof(input);
}

TEST(own, input_is_read_as_it_was_given)
{
	static const char *const commands[][8] = {
		{"cat"},
		{"wc", "-c"},
		BENCH_SH("cat; readlink /proc/self/fd/0"),
		BENCH_SH("exec </dev/null; cat"),
	};
	struct bench b = {
		.options = {.jobs = 2}, .on_job = give_input, BENCH(commands)};

	memset(input, 'x', sizeof(input));
	CHECK_EQ_INT(bench_run(&b), WEIR_OK);
	CHECK_STR(bench_out(&b, 0), "xxxxx");
	CHECK_EQ_INT(atoi(bench_out(&b, 1)), INPUT_LEN);
	CHECK_STR(bench_out(&b, 2), "/dev/null\n");
	/* That it is not read at all is nobody's trouble. */
	CHECK_EQ_INT(b.seen[3].status, WEIR_EXEC_OK);
	bench_fini(&b);
}

TEST(own, another_attempt_reads_the_same_from_its_beginning)
{
	static const char *const commands[][8] = {
		BENCH_SH("echo no >/dev/stdin; cat; [ $WEIR_ATTEMPT = 2 ]"),
	};
	struct bench b = {.options = {.jobs = 1,
				      .retries = 1,
				      .backoff_ns = WEIR_MS,
				      .retry_on = {.codes = {~UINT64_C(0)}}},
			  .on_job = give_input,
			  BENCH(commands)};

	memset(input, 'x', sizeof(input));
	CHECK_EQ_INT(bench_run(&b), WEIR_OK);
	CHECK_EQ_INT(b.retries, 1);
	CHECK_STR(bench_out(&b, 0), "xxxxx");
	bench_fini(&b);
}

static void
give_too_much(struct bench *b, struct weir_exec_job *job)
{
	(void)b;
	job->input = input;
	job->input_len = WEIR_EXEC_INPUT_MAX + 1;
}

TEST(own, input_that_is_too_long_is_refused_before_it_is_read)
{
	static const char *const commands[][8] = {{"true"}};
	struct bench b = {.options = {.jobs = 1},
			  .on_job = give_too_much,
			  BENCH(commands)};

	CHECK_EQ_INT(bench_run(&b), WEIR_OK);
	CHECK_EQ_INT(b.seen[0].last.end, WEIR_EXEC_UNSTARTED);
	CHECK_EQ_INT(b.seen[0].last.error, EFBIG);
	bench_fini(&b);
}

static void
give_env(struct bench *b, struct weir_exec_job *job)
{
	static char *env[] = {(char *)(uintptr_t) "WEIR_JOB_ID=42",
			      (char *)(uintptr_t) "WEIR_JOB_KIND=a b", NULL};

	(void)b;
	if (job->seq == 1)
		job->env = env;
}

TEST(own, variables_of_one_job_are_not_seen_by_the_next)
{
	static const char *const commands[][8] = {
		BENCH_SH("echo "
			 "\"$WEIR_JOB_ID,$WEIR_JOB_KIND,$WEIR_SEQ,$OTHER\""),
		BENCH_SH("echo "
			 "\"$WEIR_JOB_ID,$WEIR_JOB_KIND,$WEIR_SEQ,$OTHER\""),
	};
	struct bench b = {.options = {.jobs = 1, .env_withheld = "WEIR_JOB_"},
			  .on_job = give_env,
			  BENCH(commands)};

	/* As in a job whose command works a queue itself. */
	REQUIRE(setenv("WEIR_JOB_ID", "7", 1) == 0);
	REQUIRE(setenv("WEIR_JOB_QUEUE", "mail", 1) == 0);
	REQUIRE(setenv("OTHER", "o", 1) == 0);
	CHECK_EQ_INT(bench_run(&b), WEIR_OK);
	CHECK_STR(bench_out(&b, 0), "42,a b,1,o\n");
	CHECK_STR(bench_out(&b, 1), ",,2,o\n");
	bench_fini(&b);
}

static void
give_time(struct bench *b, struct weir_exec_job *job)
{
	(void)b;
	if (job->seq == 1)
		job->timeout_ns = 100 * WEIR_MS;
	else
		job->timeout_ns = WEIR_FOREVER;
}

TEST(own, a_job_may_have_less_time_than_the_others_or_more)
{
	static const char *const commands[][8] = {
		{"sleep", "1000"},
		{"sleep", "0.5"},
	};
	struct bench b = {.options = {.jobs = 2, .timeout_ns = 300 * WEIR_MS},
			  .on_job = give_time,
			  BENCH(commands)};

	CHECK_EQ_INT(bench_run(&b), WEIR_OK);
	CHECK_EQ_INT(b.seen[0].last.end, WEIR_EXEC_TIMED_OUT);
	CHECK(b.seen[0].last.wall_ns < 60 * WEIR_S);
	CHECK_EQ_INT(b.seen[1].status, WEIR_EXEC_OK);
	bench_fini(&b);
}

static void
give_attempts(struct bench *b, struct weir_exec_job *job)
{
	(void)b;
	job->attempts_before = 6;
}

TEST(own, attempts_are_counted_on_from_those_made_elsewhere)
{
	static const char *const commands[][8] = {
		BENCH_SH("echo $WEIR_ATTEMPT"),
	};
	struct bench b = {.options = {.jobs = 1},
			  .on_job = give_attempts,
			  BENCH(commands)};

	CHECK_EQ_INT(bench_run(&b), WEIR_OK);
	CHECK_STR(bench_out(&b, 0), "7\n");
	CHECK_EQ_INT(b.seen[0].last.number, 7);
	bench_fini(&b);
}

/* The job that says "up" is cancelled, from the thread that reads it. */
static struct weir_exec_job *victim;

static void
note_victim(struct bench *b, struct weir_exec_job *job)
{
	(void)b;
	if (job->seq == 1)
		victim = job;
}

static bool
cancel_victim(struct bench *b, struct weir_spool *spool)
{
	if (spool->len == 3 && memcmp(spool->memory.data, "up\n", 3) == 0)
		weir__exec_engine_cancel(b->engine, victim);
	return true;
}

TEST(own, one_that_is_cancelled_is_told_to_end_and_the_others_are_not)
{
	static const char *const commands[][8] = {
		BENCH_SH("trap 'echo told; exit 0' TERM; echo up; "
			 "while :; do sleep 0.01; done"),
		{"sleep", "0.3"},
		{"true"},
	};
	struct bench b = {.options = {.jobs = 2, .output = WEIR_EXEC_LINES},
			  .on_job = note_victim,
			  .on_chunk = cancel_victim,
			  BENCH(commands)};

	CHECK_EQ_INT(bench_run(&b), WEIR_OK);
	CHECK_EQ_INT(b.seen[0].status, WEIR_EXEC_CANCELLED);
	CHECK_EQ_INT(b.seen[0].last.end, WEIR_EXEC_CANCELED);
	CHECK_STR(bench_out(&b, 0), "up\ntold\n");
	CHECK_EQ_INT(b.seen[1].status, WEIR_EXEC_OK);
	CHECK_EQ_INT(b.seen[2].status, WEIR_EXEC_OK);
	bench_fini(&b);
}

TEST(own, one_that_is_cancelled_and_does_not_listen_is_killed)
{
	static const char *const commands[][8] = {
		BENCH_SH("trap '' TERM; echo up; while :; do sleep 1000; done"),
	};
	struct bench b = {.options = {.jobs = 1,
				      .output = WEIR_EXEC_LINES,
				      .retries = 5,
				      .retry_on = {.signals = true},
				      .kill_after_ns = 100 * WEIR_MS},
			  .on_job = note_victim,
			  .on_chunk = cancel_victim,
			  BENCH(commands)};

	CHECK_EQ_INT(bench_run(&b), WEIR_OK);
	CHECK_EQ_INT(b.seen[0].last.end, WEIR_EXEC_CANCELED);
	CHECK_EQ_INT(b.seen[0].last.code, SIGKILL);
	/* It is not tried again. */
	CHECK_EQ_INT(b.seen[0].attempts, 1);
	bench_fini(&b);
}

static void
cancel_at_once(struct bench *b, struct weir_exec_job *job)
{
	if (job->seq == 2)
		weir__exec_engine_cancel(b->engine, job);
}

TEST(own, one_that_is_cancelled_before_it_begins_is_handed_back)
{
	static const char *const commands[][8] = {{"true"}, {"true"}, {"true"}};
	struct bench b = {.options = {.jobs = 1},
			  .on_job = cancel_at_once,
			  BENCH(commands)};

	CHECK_EQ_INT(bench_run(&b), WEIR_OK);
	CHECK(!b.seen[0].handed_back);
	CHECK(b.seen[1].handed_back);
	CHECK(!b.seen[2].handed_back);
	CHECK_EQ_INT(b.seen[2].status, WEIR_EXEC_OK);
	bench_fini(&b);
}

/* Jobs that the engine has, as an owner keeps them. */
#define MANY 120
#define SLEEP                              \
	{"sleep", "0"}, {"sleep", "0.02"}, \
	{                                  \
		"sleep", "0.01"            \
	}
#define THIRTY_SLEEPS \
	SLEEP, SLEEP, SLEEP, SLEEP, SLEEP, SLEEP, SLEEP, SLEEP, SLEEP, SLEEP

static struct weir_mutex jobs_mu;
static struct weir_exec_job *jobs[MANY + 1];
static struct weir_u32 all_over;

static void
put_job(struct bench *b, struct weir_exec_job *job)
{
	(void)b;
	weir__mutex_lock(&jobs_mu);
	jobs[job->seq] = job;
	weir__mutex_unlock(&jobs_mu);
}

static void
drop_job(struct bench *b, uint64_t seq)
{
	(void)b;
	weir__mutex_lock(&jobs_mu);
	jobs[seq] = NULL;
	weir__mutex_unlock(&jobs_mu);
}

static void
cancel_at_random(void *arg)
{
	struct bench *b = arg;
	struct weir_rng rng;

	weir__rng_seed(&rng, test_seed());
	while (!weir__u32_load(&all_over, WEIR_SEQ_CST)) {
		uint64_t seq = 1 + weir__rng_below(&rng, MANY);

		weir__mutex_lock(&jobs_mu);
		if (jobs[seq])
			weir__exec_engine_cancel(b->engine, jobs[seq]);
		weir__mutex_unlock(&jobs_mu);
		(void)weir_ctx_sleep(NULL, WEIR_MS);
	}
}

static void
end_canceler(struct bench *b)
{
	(void)b;
	weir__u32_store(&all_over, 1, WEIR_SEQ_CST);
}

TEST(own, cancelling_may_cross_with_every_step_of_a_job)
{
	static const char *const commands[MANY][8] = {
		THIRTY_SLEEPS,
		THIRTY_SLEEPS,
		THIRTY_SLEEPS,
		THIRTY_SLEEPS,
	};
	struct bench b = {.options = {.jobs = 8,
				      .threads = 2,
				      .kill_after_ns = 20 * WEIR_MS},
			  .on_job = put_job,
			  .on_over = drop_job,
			  .on_end = end_canceler,
			  BENCH(commands)};
	struct weir_thread thread;
	size_t ok = 0, canceled = 0;

	weir__mutex_init(&jobs_mu);
	bench_new(&b);
	REQUIRE(weir__thread_start(&thread, "cancel", 0, cancel_at_random,
				   &b) == WEIR_OK);
	CHECK_EQ_INT(bench_run(&b), WEIR_OK);
	weir__thread_join(&thread);
	for (size_t i = 0; i < MANY; i++) {
		ok += b.seen[i].status == WEIR_EXEC_OK &&
		      !b.seen[i].handed_back;
		canceled += b.seen[i].handed_back ||
			    b.seen[i].last.end == WEIR_EXEC_CANCELED;
	}
	CHECK_EQ_INT(ok + canceled, MANY);
	bench_fini(&b);
}
