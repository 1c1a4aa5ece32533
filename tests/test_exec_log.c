/* Attempts as text. */
#include "harness.h"

#include "exec/log.h"
#include "exec/template.h"

#include <errno.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define S INT64_C(1000000000)

static struct weir_exec_job *
job_of(const char *item)
{
	const char *words[] = {"echo", "{}"};
	struct weir_template_options options = {.words = words, .count = 2};
	struct weir_items_row row = {.seq = 3, .items = &item, .count = 1};
	struct weir_template *t = NULL;
	struct weir_exec_job *job;
	weir_error error;

	REQUIRE(weir__template_new(&t, &options, &error) == WEIR_OK);
	job = weir__template_make(t, &row);
	REQUIRE(job);
	weir__template_free(t);
	return job;
}

static void
expect_line(const char *item, const struct weir_exec_attempt *attempt,
	    const char *expected)
{
	struct weir_exec_job *job = job_of(item);
	struct weir_buf buf = {0};

	weir__joblog_line(&buf, job, attempt);
	CHECK_STR(weir__buf_str(&buf), expected);
	weir__buf_fini(&buf);
	weir__exec_job_free(job);
}

TEST(log, writes_a_joblog_of_one_line_a_job)
{
	struct weir_exec_attempt a = {
		.end = WEIR_EXEC_EXITED,
		.code = 0,
		.started_unix_ns = 1795388977 * S + S / 4,
		.wall_ns = 12 * S + 5000000,
		.out_bytes = 4,
		.err_bytes = 9,
	};

	expect_line("a b", &a,
		    "3\t:\t1795388977.250\t    12.005\t0\t4\t0\t0\techo 'a "
		    "b'\n");
	expect_line("a\tb\nc", &a,
		    "3\t:\t1795388977.250\t    12.005\t0\t4\t0\t0\techo "
		    "$'a\\tb\\nc'\n");
	expect_line("a", NULL,
		    "3\t:\t0.000\t     0.000\t0\t0\t-1\t0\techo a\n");
}

/* Only what was ok has 0 in both columns: others may resume from this. */
TEST(log, says_in_a_joblog_how_it_ended)
{
	static const struct {
		enum weir_exec_end end;
		int code, error;
		const char *columns;
	} cases[] = {
		{WEIR_EXEC_EXITED, 0, 0, "\t0\t0\techo a\n"},
		{WEIR_EXEC_EXITED, 3, 0, "\t3\t0\techo a\n"},
		{WEIR_EXEC_SIGNALED, SIGSEGV, 0, "\t0\t11\techo a\n"},
		{WEIR_EXEC_TIMED_OUT, SIGTERM, 0, "\t-1\t15\techo a\n"},
		{WEIR_EXEC_TIMED_OUT, SIGKILL, 0, "\t-1\t9\techo a\n"},
		{WEIR_EXEC_TIMED_OUT, 0, 0, "\t-1\t15\techo a\n"},
		{WEIR_EXEC_CANCELED, 0, 0, "\t-1\t15\techo a\n"},
		{WEIR_EXEC_UNSTARTED, 0, ENOENT, "\t127\t0\techo a\n"},
		{WEIR_EXEC_UNSTARTED, 0, EACCES, "\t126\t0\techo a\n"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct weir_exec_attempt a = {.end = cases[i].end,
					      .code = cases[i].code,
					      .error = cases[i].error};
		char line[128];

		snprintf(line, sizeof(line), "3\t:\t0.000\t     0.000\t0\t0%s",
			 cases[i].columns);
		expect_line("a", &a, line);
	}
}

static void
expect_why(enum weir_exec_end end, int code, int error, const char *why,
	   const char *reason)
{
	struct weir_exec_attempt a = {.end = end,
				      .code = code,
				      .error = error,
				      .wall_ns = 412 * S / 1000};
	char text[128];

	weir__exec_why(text, sizeof(text), &a);
	CHECK_STR(text, why);
	weir__exec_reason(text, sizeof(text), &a);
	CHECK_STR(text, reason);
}

TEST(log, says_why_to_people)
{
	expect_why(WEIR_EXEC_EXITED, 0, 0, "", "");
	expect_why(WEIR_EXEC_EXITED, 3, 0, "exit 3", "exit 3");
	expect_why(WEIR_EXEC_SIGNALED, SIGSEGV, 0,
		   "killed by SIGSEGV after 412ms", "SIGSEGV");
	expect_why(WEIR_EXEC_SIGNALED, 64, 0, "killed by signal 64 after 412ms",
		   "signal 64");
	expect_why(WEIR_EXEC_TIMED_OUT, SIGTERM, 0, "timed out after 412ms",
		   "timeout");
	expect_why(WEIR_EXEC_TIMED_OUT, SIGKILL, 0,
		   "timed out after 412ms, killed", "timeout");
	expect_why(WEIR_EXEC_CANCELED, SIGTERM, 0, "stopped after 412ms",
		   "stopped");
	expect_why(WEIR_EXEC_UNSTARTED, 0, ENOENT,
		   "cannot start: No such file or directory", "not found");
	expect_why(WEIR_EXEC_UNSTARTED, 0, EACCES,
		   "cannot start: Permission denied", "not executable");
}

static json_t *
json_of(const char *item, const struct weir_exec_attempt *attempt,
	const char *error)
{
	struct weir_exec_job *job = job_of(item);
	struct weir_buf buf = {0};
	json_t *object;

	weir__exec_json_line(&buf, job, attempt, error);
	CHECK(buf.len > 0 && buf.data[buf.len - 1] == '\n');
	CHECK(memchr(buf.data, '\n', buf.len) == buf.data + buf.len - 1);
	object = json_loadb(buf.data, buf.len, 0, NULL);
	REQUIRE(object);
	weir__buf_fini(&buf);
	weir__exec_job_free(job);
	return object;
}

static const char *
text_at(json_t *object, const char *key)
{
	return json_string_value(json_object_get(object, key));
}

static json_int_t
int_at(json_t *object, const char *key)
{
	CHECK_MSG(json_is_integer(json_object_get(object, key)), "%s", key);
	return json_integer_value(json_object_get(object, key));
}

TEST(log, writes_an_object_for_each_attempt)
{
	struct weir_exec_attempt a = {
		.number = 2,
		.slot = 4,
		.end = WEIR_EXEC_SIGNALED,
		.code = SIGSEGV,
		.pid = 77,
		.started_unix_ns = 1795388977 * S + 250000000,
		.wall_ns = 412 * S / 1000,
		.user_ns = 1500000,
		.max_rss = 812000000,
		.out_bytes = 4,
		.err_bytes = 9,
		.will_retry = true,
	};
	json_t *object = json_of("a\nb\xff", &a, "killed");
	json_t *argv = json_object_get(object, "argv");

	CHECK_EQ_INT(int_at(object, "seq"), 3);
	CHECK_EQ_INT(strlen(text_at(object, "key")), 32);
	CHECK_EQ_INT(json_array_size(argv), 2);
	CHECK_STR(json_string_value(json_array_get(argv, 1)),
		  "a\nb\xef\xbf\xbd");
	CHECK_EQ_INT(int_at(object, "attempt"), 2);
	CHECK_STR(text_at(object, "status"), "failed");
	CHECK(json_is_null(json_object_get(object, "exit")));
	CHECK_STR(text_at(object, "signal"), "SIGSEGV");
	CHECK_STR(text_at(object, "error"), "killed");
	CHECK_STR(text_at(object, "started"), "2026-11-22T23:09:37.250Z");
	CHECK(json_real_value(json_object_get(object, "wall_ms")) == 412.0);
	CHECK(json_real_value(json_object_get(object, "user_ms")) == 1.5);
	CHECK_EQ_INT(int_at(object, "max_rss"), 812000000);
	CHECK_EQ_INT(int_at(object, "stdout_bytes"), 4);
	CHECK_EQ_INT(int_at(object, "stderr_bytes"), 9);
	CHECK_EQ_INT(int_at(object, "slot"), 4);
	CHECK_EQ_INT(int_at(object, "pid"), 77);
	CHECK(json_is_true(json_object_get(object, "will_retry")));
	json_decref(object);
}

TEST(log, tells_ok_from_cancelled_and_never_started)
{
	struct weir_exec_attempt a = {.number = 1, .end = WEIR_EXEC_EXITED};
	json_t *object = json_of("a", &a, NULL);

	CHECK_STR(text_at(object, "status"), "ok");
	CHECK_EQ_INT(int_at(object, "exit"), 0);
	CHECK(json_is_null(json_object_get(object, "signal")));
	CHECK(json_is_null(json_object_get(object, "error")));
	json_decref(object);
	a.end = WEIR_EXEC_CANCELED;
	a.code = SIGTERM;
	object = json_of("a", &a, "");
	CHECK_STR(text_at(object, "status"), "cancelled");
	CHECK_STR(text_at(object, "signal"), "SIGTERM");
	json_decref(object);
	object = json_of("a", NULL, "line 1 is bad");
	CHECK_STR(text_at(object, "status"), "failed");
	CHECK_EQ_INT(int_at(object, "attempt"), 0);
	CHECK_STR(text_at(object, "error"), "line 1 is bad");
	CHECK(!json_object_get(object, "started"));
	json_decref(object);
}

TEST(log, says_which_item_was_bad)
{
	struct weir_items_row row = {
		.seq = 9, .text = "a\0\xff", .text_len = 3, .why = "bad"};
	struct weir_exec_job *job = weir__template_bad(&row);
	struct weir_buf buf = {0};
	json_t *object;

	REQUIRE(job);
	weir__exec_json_line(&buf, job, NULL, job->bad);
	object = json_loadb(buf.data, buf.len, 0, NULL);
	REQUIRE(object);
	CHECK_STR(text_at(object, "item"), "a\xef\xbf\xbd\xef\xbf\xbd");
	CHECK_EQ_INT(json_array_size(json_object_get(object, "argv")), 0);
	CHECK_STR(text_at(object, "error"), "bad");
	json_decref(object);
	weir__buf_reset(&buf);
	weir__joblog_line(&buf, job, NULL);
	CHECK_STR(weir__buf_str(&buf), "9\t:\t0.000\t     0.000\t0\t0\t-1\t0\t"
				       "$'a\xef\xbf\xbd\\xff'\n");
	weir__buf_fini(&buf);
	weir__exec_job_free(job);
}

/* The digits of the columns Starttime and JobRuntime become 0. */
static void
zero_times(char *line)
{
	int column = 1;

	for (char *c = line; *c; c++)
		if (*c == '\t')
			column++;
		else if (*c >= '0' && *c <= '9' && (column == 3 || column == 4))
			*c = '0';
}

/* Line for line as parallel's: the same head, and fields of the same form. */
TEST_LIMIT(log, has_the_columns_of_gnu_parallel, 60)
{
	struct weir_exec_attempt a = {.end = WEIR_EXEC_EXITED, .code = 3};
	char command[256], line[256], form[512] = "", ours[256] = "";
	struct weir_exec_job *job = job_of("x");
	struct weir_buf buf = {0};
	int lines = 0;
	FILE *out;

	if (system("command -v parallel >/dev/null 2>&1") != 0)
		SKIP("no GNU parallel");
	snprintf(command, sizeof(command),
		 "home=$(mktemp -d) && PARALLEL_HOME=$home parallel "
		 "--will-cite --joblog /dev/fd/3 'exit 3; echo' ::: x "
		 "3>&1 >/dev/null 2>&1; rm -rf \"$home\"");
	out = popen(command, "r");
	REQUIRE(out);
	while (fgets(line, sizeof(line), out))
		if (lines++ == 0)
			CHECK_STR(line, weir__joblog_head);
		else
			strcpy(form, line);
	(void)pclose(out);
	CHECK_EQ_INT(lines, 2);
	a.started_unix_ns = 1795388977 * S;
	weir__joblog_line(&buf, job, &a);
	snprintf(ours, sizeof(ours), "%s", weir__buf_str(&buf));
	zero_times(form);
	zero_times(ours);
	*strrchr(form, '\t') = *strrchr(ours, '\t') = '\0';
	form[0] = ours[0];
	CHECK_STR(ours, form);
	weir__buf_fini(&buf);
	weir__exec_job_free(job);
}
