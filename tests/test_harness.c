#include "harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

static char output[8192];

/* Run the tests of harness_victim whose title contains the pattern. */
static int
run_victim(const char *pattern)
{
	const char *build = getenv("WEIR_BUILD");
	char command[1024];
	FILE *victim;
	size_t len;
	int status;

	if (!build)
		SKIP("WEIR_BUILD does not say where the build is");
	(void)snprintf(command, sizeof(command),
		       "WEIR_TEST_SEED=42 '%s/tests/harness_victim' '%s' 2>&1",
		       build, pattern);
	victim = popen(command, "r"); /* NOLINT(cert-env33-c): our own */
	REQUIRE(victim);
	len = fread(output, 1, sizeof(output) - 1, victim);
	output[len] = '\0';
	status = pclose(victim);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

#define CHECK_SAID(text) CHECK_MSG(strstr(output, text), "in:\n%s", output)

TEST(harness, passes_what_passes)
{
	CHECK_EQ_INT(run_victim("passes"), 0);
	CHECK_STR(output, "TAP version 13\n1..1\nok 1 - victim: passes\n");
}

TEST(harness, counts_each_failed_check_of_a_worker_thread)
{
	CHECK_EQ_INT(run_victim("fails on a worker"), 1);
	CHECK_SAID("not ok 1 - victim: fails on a worker # 2 failed\n");
	CHECK_SAID(": arg != NULL: is false\n");
	CHECK_SAID(": 3 equals 4: 3, 4\n");
	CHECK_SAID("harness_victim.c:");
}

TEST(harness, ends_the_test_where_a_worker_requires)
{
	CHECK_EQ_INT(run_victim("requires"), 1);
	CHECK_SAID("not ok 1 - victim: requires on a worker # 1 failed\n");
	CHECK(!strstr(output, "not reached"));
}

TEST(harness, counts_the_failed_check_of_a_grandchild)
{
	CHECK_EQ_INT(run_victim("grandchild"), 1);
	CHECK_SAID("# 1 failed\n");
	CHECK_SAID("\"this\", \"(NULL)\"\n");
}

TEST(harness, tells_a_skipped_test_from_one_that_passed)
{
	CHECK_EQ_INT(run_victim("skips"), 0);
	CHECK_SAID("ok 1 - victim: skips # SKIP no reason\n");
}

/* It returns at all only because the grandchild was killed too. */
TEST(harness, ends_a_test_that_hangs_with_its_children)
{
	CHECK_EQ_INT(run_victim("hangs"), 1);
	CHECK_SAID("not ok 1 - victim: hangs # timed out\n");
}

TEST(harness, names_the_signal_that_ended_a_test)
{
	CHECK_EQ_INT(run_victim("aborts"), 1);
	CHECK_SAID("not ok 1 - victim: aborts # SIGABRT\n");
}

TEST(harness, does_not_pass_a_test_that_exits_by_itself)
{
	CHECK_EQ_INT(run_victim("leaves early"), 1);
	CHECK_SAID("# exited before its end\n");
}

TEST(harness, shows_and_repeats_the_seed)
{
	CHECK_EQ_INT(run_victim("seed"), 0);
	CHECK_SAID("# WEIR_TEST_SEED=42\n");
}

TEST(harness, fails_when_no_test_has_such_a_title)
{
	CHECK_EQ_INT(run_victim("no such title"), 1);
	CHECK_SAID("1..0\n");
}
