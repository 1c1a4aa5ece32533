/* What an earlier run has done, from its logs. */
#include "harness.h"

#include "exec/log.h"
#include "exec/resume.h"
#include "exec/template.h"

#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct weir_exec_resume *
load(const char *text, size_t len)
{
	char path[] = "/tmp/weir-test-XXXXXX";
	struct weir_exec_resume *resume = NULL;
	weir_error error;
	int fd = mkstemp(path);

	REQUIRE(fd >= 0);
	REQUIRE(write(fd, text, len) == (ssize_t)len);
	(void)close(fd);
	REQUIRE(weir__exec_resume_load(&resume, path, &error) == WEIR_OK);
	(void)unlink(path);
	return resume;
}

static struct weir_exec_job *
job_of(const char *item)
{
	const char *words[] = {"echo", "{}"};
	struct weir_template_options options = {.words = words, .count = 2};
	struct weir_items_row row = {.seq = 1, .items = &item, .count = 1};
	struct weir_template *t = NULL;
	struct weir_exec_job *job;
	weir_error error;

	REQUIRE(weir__template_new(&t, &options, &error) == WEIR_OK);
	job = weir__template_make(t, &row);
	REQUIRE(job);
	weir__template_free(t);
	return job;
}

static enum weir_exec_before
find(const struct weir_exec_resume *resume, const char *item)
{
	struct weir_exec_job *job = job_of(item);
	enum weir_exec_before before = weir__exec_resume_find(resume, job);

	weir__exec_job_free(job);
	return before;
}

/* A line of the log, of either kind, as the run would write it. */
static void
add(struct weir_buf *log, bool joblog, const char *item, enum weir_exec_end end,
    int code, bool will_retry)
{
	struct weir_exec_job *job = job_of(item);
	struct weir_exec_attempt a = {
		.end = end, .code = code, .will_retry = will_retry};

	if (joblog)
		weir__joblog_line(log, job, &a);
	else
		weir__exec_json_line(log, job, &a, NULL);
	weir__exec_job_free(job);
}

static void
check_log(bool joblog)
{
	struct weir_buf log = {0};
	struct weir_exec_resume *resume;

	if (joblog)
		weir__buf_puts(&log, weir__joblog_head);
	add(&log, joblog, "ok", WEIR_EXEC_EXITED, 0, false);
	add(&log, joblog, "failed", WEIR_EXEC_EXITED, 1, false);
	add(&log, joblog, "crash", WEIR_EXEC_SIGNALED, 11, false);
	weir__buf_puts(&log, "garbage\n\n{}\n[1]\n{\"key\":1}\n\t\t\t\n");
	weir__buf_append(&log, "\0\xff\n", 3);
	add(&log, joblog, "ok then failed", WEIR_EXEC_EXITED, 0, false);
	add(&log, joblog, "ok then failed", WEIR_EXEC_EXITED, 1, false);
	add(&log, joblog, "failed then ok", WEIR_EXEC_TIMED_OUT, 9, false);
	add(&log, joblog, "failed then ok", WEIR_EXEC_EXITED, 0, false);
	add(&log, joblog, "a\nb\t'\xff", WEIR_EXEC_EXITED, 0, false);
	if (joblog)
		weir__buf_puts(&log, weir__joblog_head);
	add(&log, joblog, "torn off", WEIR_EXEC_EXITED, 0, false);
	log.len -= 4;
	resume = load(log.data, log.len);
	CHECK_EQ_INT(weir__exec_resume_is_joblog(resume), joblog);
	CHECK_EQ_INT(find(resume, "ok"), WEIR_EXEC_BEFORE_OK);
	CHECK_EQ_INT(find(resume, "failed"), WEIR_EXEC_BEFORE_FAILED);
	CHECK_EQ_INT(find(resume, "crash"), WEIR_EXEC_BEFORE_FAILED);
	CHECK_EQ_INT(find(resume, "other"), WEIR_EXEC_BEFORE_UNKNOWN);
	CHECK_EQ_INT(find(resume, "ok then failed"), WEIR_EXEC_BEFORE_OK);
	CHECK_EQ_INT(find(resume, "failed then ok"), WEIR_EXEC_BEFORE_OK);
	CHECK_EQ_INT(find(resume, "a\nb\t'\xff"), WEIR_EXEC_BEFORE_OK);
	CHECK_EQ_INT(find(resume, "torn off"), WEIR_EXEC_BEFORE_UNKNOWN);
	/* What is left of the line could be another command's. */
	CHECK_EQ_INT(find(resume, "torn"), WEIR_EXEC_BEFORE_UNKNOWN);
	CHECK_EQ_INT(find(resume, "torn o"), WEIR_EXEC_BEFORE_UNKNOWN);
	weir__exec_resume_free(resume);
	weir__buf_fini(&log);
}

TEST(resume, reads_json_lines)
{
	check_log(false);
}

TEST(resume, reads_joblogs)
{
	check_log(true);
}

/* Each place at which a machine may go down while a line is written. */
TEST(resume, takes_no_torn_line_for_another_command)
{
	struct weir_buf log = {0};
	size_t begin;

	weir__buf_puts(&log, weir__joblog_head);
	add(&log, true, "a", WEIR_EXEC_EXITED, 0, false);
	begin = log.len;
	add(&log, true, "bb", WEIR_EXEC_EXITED, 0, false);
	for (size_t cut = begin; cut < log.len; cut++) {
		struct weir_buf next = {0};
		struct weir_exec_resume *resume;

		/* ... and a next run that appends to what was left. */
		weir__buf_append(&next, log.data, cut);
		add(&next, true, "c", WEIR_EXEC_EXITED, 0, false);
		resume = load(next.data, next.len);
		CHECK_EQ_INT(find(resume, "a"), WEIR_EXEC_BEFORE_OK);
		CHECK_EQ_INT(find(resume, "b"), WEIR_EXEC_BEFORE_UNKNOWN);
		CHECK_EQ_INT(find(resume, "bb"), WEIR_EXEC_BEFORE_UNKNOWN);
		CHECK(find(resume, "c") != WEIR_EXEC_BEFORE_FAILED);
		weir__exec_resume_free(resume);
		weir__buf_fini(&next);
	}
	weir__buf_fini(&log);
}

TEST(resume, does_not_take_a_try_for_the_end)
{
	struct weir_buf log = {0};
	struct weir_exec_resume *resume;

	add(&log, false, "cut off", WEIR_EXEC_EXITED, 1, true);
	add(&log, false, "failed", WEIR_EXEC_EXITED, 1, true);
	add(&log, false, "failed", WEIR_EXEC_EXITED, 1, false);
	add(&log, false, "stopped", WEIR_EXEC_CANCELED, 15, false);
	resume = load(log.data, log.len);
	CHECK_EQ_INT(find(resume, "cut off"), WEIR_EXEC_BEFORE_UNKNOWN);
	CHECK_EQ_INT(find(resume, "failed"), WEIR_EXEC_BEFORE_FAILED);
	CHECK_EQ_INT(find(resume, "stopped"), WEIR_EXEC_BEFORE_UNKNOWN);
	weir__exec_resume_free(resume);
	weir__buf_fini(&log);
}

TEST(resume, reads_a_joblog_of_gnu_parallel)
{
	static const char log[] =
		"Seq\tHost\tStarttime\tJobRuntime\tSend\tReceive\tExitval\t"
		"Signal\tCommand\n"
		"1\t:\t1795388977.327\t     0.005\t0\t4\t0\t0\techo 'a b'\n"
		"2\tbig.host\t1795388977.332\t     0.004\t0\t4\t3\t0\techo c\n"
		"3\t:\t1795388977.332\t     0.004\t0\t4\t-1\t15\techo d\n"
		"4\t:\t1795388977.332\t     0.004\t0\t4\t0\t0\techo 'e\0f'\n";
	struct weir_exec_resume *resume = load(log, sizeof(log) - 1);

	CHECK(weir__exec_resume_is_joblog(resume));
	CHECK_EQ_INT(find(resume, "a b"), WEIR_EXEC_BEFORE_OK);
	CHECK_EQ_INT(find(resume, "c"), WEIR_EXEC_BEFORE_FAILED);
	CHECK_EQ_INT(find(resume, "d"), WEIR_EXEC_BEFORE_FAILED);
	CHECK_EQ_INT(find(resume, "e"), WEIR_EXEC_BEFORE_UNKNOWN);
	weir__exec_resume_free(resume);
}

TEST(resume, takes_an_empty_file_for_nothing)
{
	struct weir_exec_resume *resume = load("", 0);

	CHECK(!weir__exec_resume_is_joblog(resume));
	CHECK_EQ_INT(find(resume, "a"), WEIR_EXEC_BEFORE_UNKNOWN);
	CHECK(!weir__exec_resume_free(resume));
}

TEST(resume, says_what_cannot_be_read)
{
	struct weir_exec_resume *resume = NULL;
	weir_error error;

	CHECK_EQ_INT(weir__exec_resume_load(&resume, "/nowhere/log", &error),
		     WEIR_SYSTEM);
	CHECK_STR(error.message, "No such file or directory");
	CHECK_EQ_INT(error.native, ENOENT);
	CHECK_EQ_INT(weir__exec_resume_load(&resume, "/", &error), WEIR_SYSTEM);
	CHECK_STR(error.message, "Is a directory");
	CHECK(!resume);
}

/* Under a sanitizer's allocator this is 0. */
static size_t
bytes_in_use(void)
{
	struct mallinfo2 info = mallinfo2();

	return info.uordblks + info.hblkhd;
}

/* Half a million jobs of a joblog take eight bytes each, and not their text. */
TEST_LIMIT(resume, needs_little_memory_for_many_jobs, 60)
{
	char path[] = "/tmp/weir-test-XXXXXX";
	struct weir_exec_resume *resume = NULL;
	size_t before, more;
	weir_error error;
	int wrong = 0;
	FILE *out;
	int fd = mkstemp(path);

	REQUIRE(fd >= 0);
	out = fdopen(fd, "w");
	REQUIRE(out);
	fputs(weir__joblog_head, out);
	for (int i = 0; i < 500000; i++)
		fprintf(out,
			"%d\t:\t1795388977.327\t     0.005\t0\t4\t%d\t0\t"
			"echo item-%0100d\n",
			i + 1, i % 2, i);
	REQUIRE(fclose(out) == 0);
	before = bytes_in_use();
	REQUIRE(weir__exec_resume_load(&resume, path, &error) == WEIR_OK);
	more = bytes_in_use() - before;
	(void)unlink(path);
	for (int i = 0; i < 500000; i += 1000) {
		struct weir_buf text = {0};

		weir__buf_printf(&text, "item-%0100d", i + i / 1000 % 2);
		wrong += find(resume, weir__buf_str(&text)) !=
			 (i / 1000 % 2 ? WEIR_EXEC_BEFORE_FAILED
				       : WEIR_EXEC_BEFORE_OK);
		weir__buf_fini(&text);
	}
	CHECK_EQ_INT(wrong, 0);
	/* 2^20 places of 8 bytes. */
	CHECK_MSG(more < 9 * 1024 * 1024, "%zu", more);
	weir__exec_resume_free(resume);
}
