/*
 * The process that ends what we ran if we are killed.
 */
#include "exec/guardian.h"
#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define PATIENCE_MS 10000

/* A group of two that do nothing, in that seat; its leader. */
static pid_t
group_make(struct weir_guardian *guardian, uint32_t slot)
{
	int ready[2];
	char byte;
	pid_t pid;

	REQUIRE(pipe2(ready, O_CLOEXEC) == 0);
	pid = fork();
	REQUIRE(pid >= 0);
	if (pid == 0) {
		/* As the real ones do: what is ours is closed by exec. */
		(void)setpgid(0, 0);
		(void)dup2(ready[1], STDOUT_FILENO);
		(void)execl("/bin/sh", "sh", "-c",
			    "sleep 600 & echo; exec sleep 600", NULL);
		_exit(127);
	}
	REQUIRE(read(ready[0], &byte, 1) == 1);
	(void)close(ready[0]);
	(void)close(ready[1]);
	if (guardian)
		*weir__guardian_seat(guardian, slot) = pid;
	return pid;
}

/* Wait for the end of somebody, whoever's child that is. */
static bool
has_ended(int pidfd)
{
	struct pollfd end = {.fd = pidfd, .events = POLLIN};

	return poll(&end, 1, PATIENCE_MS) == 1;
}

static bool
is_empty(pid_t group)
{
	return kill(-group, 0) != 0 && errno == ESRCH;
}

/* All that is left comes to us, and is waited for. */
static void
reap_all(void)
{
	while (wait(NULL) > 0 || errno == EINTR)
		;
}

TEST(guardian, kills_the_groups_of_who_is_killed)
{
	int numbers[2];
	pid_t victim, group = 0;

	REQUIRE(prctl(PR_SET_CHILD_SUBREAPER, 1) == 0);
	REQUIRE(pipe(numbers) == 0);
	victim = fork();
	REQUIRE(victim >= 0);
	if (victim == 0) {
		struct weir_guardian *guardian = weir__guardian_start(3);

		if (!guardian)
			_exit(1);
		group = group_make(guardian, 3);
		(void)!write(numbers[1], &group, sizeof(group));
		for (;;)
			(void)pause();
	}
	REQUIRE(read(numbers[0], &group, sizeof(group)) == sizeof(group));
	CHECK(!is_empty(group));
	REQUIRE(kill(victim, SIGKILL) == 0);
	/* Nobody is left at all, or this waits for ever. */
	reap_all();
	CHECK(is_empty(group));
}

TEST(guardian, leaves_those_alone_that_have_left_their_seats)
{
	struct weir_guardian *guardian = weir__guardian_start(2);
	pid_t group;
	int pidfd;

	REQUIRE(guardian);
	group = group_make(guardian, 1);
	pidfd = pidfd_open(group, 0);
	REQUIRE(pidfd >= 0);
	CHECK_EQ_INT(*weir__guardian_seat(guardian, 1), group);
	weir__guardian_leave(guardian, 1);
	CHECK(!weir__guardian_stop(guardian));
	CHECK(!is_empty(group));
	REQUIRE(kill(-group, SIGKILL) == 0);
	CHECK(has_ended(pidfd));
	(void)close(pidfd);
}

TEST(guardian, has_nothing_to_do_when_it_is_stopped)
{
	struct weir_guardian *guardian = weir__guardian_start(1);
	pid_t group;
	int pidfd;

	REQUIRE(guardian);
	group = group_make(guardian, 1);
	pidfd = pidfd_open(group, 0);
	REQUIRE(pidfd >= 0);
	/* Its end is waited for, so that what it would do is done. */
	weir__guardian_stop(guardian);
	CHECK(!is_empty(group));
	REQUIRE(kill(-group, SIGKILL) == 0);
	CHECK(has_ended(pidfd));
	(void)close(pidfd);
}

TEST(guardian, leaves_nobody_to_wait_for)
{
	struct weir_guardian *guardian;

	/* As the first process of a container is: orphans come to us. */
	REQUIRE(prctl(PR_SET_CHILD_SUBREAPER, 1) == 0);
	guardian = weir__guardian_start(1);
	REQUIRE(guardian);
	weir__guardian_stop(guardian);
	errno = 0;
	CHECK(wait(NULL) < 0);
	CHECK_EQ_INT(errno, ECHILD);
}

TEST(guardian, is_not_missed_where_there_is_none)
{
	CHECK(!weir__guardian_seat(NULL, 1));
	weir__guardian_leave(NULL, 1);
	CHECK(!weir__guardian_stop(NULL));
}
