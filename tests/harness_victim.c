/*
 * Tests that fail, for test_harness.c to watch.  Not a test by itself.
 */
#include "harness.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static void *
fail_twice(void *arg)
{
	CHECK(arg != NULL);
	CHECK_EQ_INT(3, 4);
	return NULL;
}

static void *
require(void *arg)
{
	REQUIRE(arg != NULL);
	return NULL;
}

static void
on_worker(void *(*run)(void *))
{
	pthread_t worker;

	REQUIRE(pthread_create(&worker, NULL, run, NULL) == 0);
	REQUIRE(pthread_join(worker, NULL) == 0);
}

TEST(victim, passes)
{
	CHECK_STR("same", "same");
}

TEST(victim, fails_on_a_worker)
{
	on_worker(fail_twice);
}

TEST(victim, requires_on_a_worker)
{
	on_worker(require);
	CHECK_MSG(false, "not reached");
}

TEST(victim, skips)
{
	SKIP("no reason");
}

/* With a grandchild, which must not outlive it and keep stdout open. */
TEST_LIMIT(victim, hangs, 1)
{
	(void)fork();
	for (;;)
		(void)pause();
}

TEST(victim, aborts)
{
	abort();
}

TEST(victim, leaves_early)
{
	exit(0);
}

TEST(victim, fails_in_a_grandchild)
{
	pid_t pid = fork();

	if (pid == 0) {
		CHECK_STR("this", NULL);
		_exit(0);
	}
	REQUIRE(waitpid(pid, NULL, 0) == pid);
}

TEST(victim, shows_its_seed)
{
	CHECK_EQ_INT(test_seed(), 42);
}
