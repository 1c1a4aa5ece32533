/*
 * Ending what we ran if we are killed; see guardian.h.
 *
 * Design.  Its end of a pipe, whose other end only we have, is at its end when
 * we are gone, however that came.  It is a child of ours, and waited for when
 * it is stopped: where the first process of a container reaps nobody, a child
 * of a child would stay for ever.  It is in a process group of its own, so that
 * what is sent to ours does not reach it; and deaf to signals that are not
 * KILL.
 *
 * Between fork(2) and its end it makes system calls only: other threads of
 * ours may have held any lock.
 *
 * Locking: none.  A seat is written by the child that takes it, while its
 * parent waits for that, and by the parent.
 */
#include "exec/guardian.h"

#include "exec/child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* How long its end may take before we go on without. */
#define END_MS_MAX 1000

struct weir_guardian {
	volatile pid_t *seats; /* shared; nobody sits on seat 0 */
	uint32_t count;
	pid_t pid;
	int fd;    /* our end of the pipe */
	int pidfd; /* of it; -1: the system has none left */
};

static size_t
size_of(const struct weir_guardian *guardian)
{
	return (guardian->count + 1) * sizeof(*guardian->seats);
}

/* All signals that can be blocked, and nothing open but the pipe. */
static void
withdraw(int fd)
{
	sigset_t all;

	(void)sigfillset(&all);
	(void)sigprocmask(SIG_SETMASK, &all, NULL);
	(void)setpgid(0, 0);
	(void)prctl(PR_SET_NAME, "weir-guardian");
	/* It needs none, and what is in it may be nobody's to keep. */
	for (char **variable = environ; variable && *variable; variable++)
		memset(*variable, 0, strlen(*variable));
	/* So that it keeps no file system in use. */
	if (chdir("/") != 0)
		_exit(1);
	if (fd > 0)
		(void)close_range(0, (unsigned)fd - 1, 0);
	(void)close_range((unsigned)fd + 1, ~0U, 0);
}

static void
guard(const struct weir_guardian *guardian, int fd)
{
	ssize_t got;
	char byte;

	do {
		got = read(fd, &byte, 1);
	} while (got > 0 || (got < 0 && errno == EINTR));
	for (uint32_t i = 1; i <= guardian->count; i++)
		if (guardian->seats[i] > 1)
			(void)kill(-guardian->seats[i], SIGKILL);
	_exit(0);
}

/* False: errno says why. */
static bool
start(struct weir_guardian *guardian, int theirs)
{
	guardian->pid = fork();
	if (guardian->pid == 0) {
		withdraw(theirs);
		guard(guardian, theirs);
	}
	return guardian->pid > 0;
}

static struct weir_guardian *
guardian_free(struct weir_guardian *guardian)
{
	int why = errno;

	if (guardian->fd >= 0)
		(void)close(guardian->fd);
	if (guardian->pidfd >= 0)
		(void)close(guardian->pidfd);
	if (guardian->seats != MAP_FAILED)
		(void)munmap((void *)(uintptr_t)guardian->seats,
			     size_of(guardian));
	free(guardian);
	errno = why;
	return NULL;
}

struct weir_guardian *
weir__guardian_start(uint32_t seats)
{
	struct weir_guardian *guardian = calloc(1, sizeof(*guardian));
	int ends[2];
	bool started;

	if (!guardian)
		return NULL;
	guardian->count = seats;
	guardian->fd = -1;
	guardian->pidfd = -1;
	guardian->seats = mmap(NULL, size_of(guardian), PROT_READ | PROT_WRITE,
			       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (guardian->seats == MAP_FAILED || pipe2(ends, O_CLOEXEC) != 0)
		return guardian_free(guardian);
	ends[0] = weir__child_move_up(ends[0]);
	guardian->fd = weir__child_move_up(ends[1]);
	started = ends[0] >= 0 && guardian->fd >= 0 && start(guardian, ends[0]);
	if (ends[0] >= 0)
		(void)close(ends[0]);
	if (!started)
		return guardian_free(guardian);
	guardian->pidfd = weir__child_move_up(pidfd_open(guardian->pid, 0));
	return guardian;
}

struct weir_guardian *
weir__guardian_stop(struct weir_guardian *guardian)
{
	struct pollfd end = {.fd = guardian ? guardian->pidfd : -1,
			     .events = POLLIN};

	if (!guardian)
		return NULL;
	/* Seats that were left taken are those of groups that are gone. */
	for (uint32_t i = 1; i <= guardian->count; i++)
		guardian->seats[i] = 0;
	(void)close(guardian->fd);
	guardian->fd = -1;
	(void)poll(&end, 1, END_MS_MAX);
	(void)waitpid(guardian->pid, NULL, WNOHANG);
	return guardian_free(guardian);
}

volatile pid_t *
weir__guardian_seat(const struct weir_guardian *guardian, uint32_t slot)
{
	return guardian ? &guardian->seats[slot] : NULL;
}

void
weir__guardian_leave(const struct weir_guardian *guardian, uint32_t slot)
{
	if (guardian)
		guardian->seats[slot] = 0;
}
