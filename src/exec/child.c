/*
 * One process, see child.h.
 *
 * Design.  What runs in the child before exec runs in our memory, on the
 * stack it was given, while the calling thread waits.  It may therefore call
 * nothing that takes a lock or memory, and nothing of it may be instrumented:
 * a sanitizer would take its frames for those of the calling thread.  Only
 * system calls are made, each of which fails the start by its errno.
 *
 * Signals are blocked until just before exec, because a handler of ours that
 * runs in the child would run in our memory, too.  What came from a terminal
 * before the child had left our process group is for us, and is dropped.
 *
 * Descriptors of ours are all close-on-exec.  They are closed nevertheless, and
 * early: a child of another thread holds copies of our pipes' ends until its
 * exec, and as long as it does our reader sees no end of file.
 *
 * Locking: none; nothing here is shared but what the arguments point to.
 */
#include "exec/child.h"

#include "base/assert.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/*
 * ThreadSanitizer takes every clone() for a fork(), after which it minds this
 * thread no more.  Its wrapper does not know this name of the same function.
 */
#if defined(__SANITIZE_THREAD__)
#define UNDER_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define UNDER_TSAN 1
#endif
#endif
#ifdef UNDER_TSAN
int __clone(int (*fn)(void *), void *stack, int flags, void *arg, ...);
#define clone __clone
/* And that of dup2() keeps books, which are shared, of the child's too. */
int __dup2(int from, int to);
#define dup2 __dup2
#endif

/* For all that runs in the child. */
#define CHILD_SIDE                                                    \
	__attribute__((no_sanitize("address"), no_sanitize("thread"), \
		       no_sanitize("undefined")))

/* Where a program is searched when there is no PATH. */
#define PATH_DEFAULT "/bin:/usr/bin"

struct launch {
	const struct weir_child_setup *setup;
	const struct weir_child_command *command;
	pid_t parent;
	/* The child's answer. */
	int error;
	bool by_exec;
};

/* What was sent to our process group before the child had left it. */
CHILD_SIDE static int
drop_pending(void)
{
	struct sigaction ignore, before;
	sigset_t pending;

	if (sigpending(&pending) != 0)
		return -1;
	if (sigisemptyset(&pending))
		return 0;
	memset(&ignore, 0, sizeof(ignore));
	ignore.sa_handler = SIG_IGN;
	for (int number = 1; number < NSIG; number++) {
		if (sigismember(&pending, number) != 1 || number == SIGKILL ||
		    number == SIGSTOP)
			continue;
		if (sigaction(number, &ignore, &before) != 0 ||
		    sigaction(number, &before, NULL) != 0)
			return -1;
	}
	return 0;
}

CHILD_SIDE static int
reset_signals(const struct weir_child_setup *setup)
{
	struct sigaction action;

	memset(&action, 0, sizeof(action));
	action.sa_handler = SIG_DFL;
	for (size_t i = 0; i < setup->reset_count; i++)
		if (sigaction(setup->reset[i], &action, NULL) != 0)
			return -1;
	return sigprocmask(SIG_SETMASK, &setup->mask, NULL);
}

/* Close everything above 2 but what is to stay. */
CHILD_SIDE static int
close_rest(const struct weir_child_setup *setup)
{
	unsigned from = 3;

	for (size_t i = 0; i < setup->keep_count; i++) {
		unsigned keep = (unsigned)setup->keep_fds[i];

		if (keep > from && close_range(from, keep - 1, 0) != 0)
			return -1;
		if (fcntl(setup->keep_fds[i], F_SETFD, 0) != 0)
			return -1;
		from = keep + 1;
	}
	return close_range(from, ~0U, 0);
}

CHILD_SIDE static int
set_descriptors(const struct launch *launch)
{
	const struct weir_child_command *command = launch->command;
	int dir_fd =
		command->dir_fd > 0 ? command->dir_fd : launch->setup->dir_fd;

	if (dup2(command->in_fd > 0 ? command->in_fd : launch->setup->null_fd,
		 0) < 0)
		return -1;
	if (command->out_fd >= 0 && dup2(command->out_fd, 1) < 0)
		return -1;
	if (command->err_fd >= 0 && dup2(command->err_fd, 2) < 0)
		return -1;
	if (dir_fd >= 0 && fchdir(dir_fd) != 0)
		return -1;
	return close_rest(launch->setup);
}

CHILD_SIDE static int
set_limits(const struct weir_child_setup *setup)
{
	for (size_t i = 0; i < setup->limit_count; i++) {
		const struct weir_child_limit *limit = &setup->limits[i];

		if (setrlimit(limit->resource, &limit->value) != 0)
			return -1;
	}
	return 0;
}

/* The child's side.  Returning ends the child, and only the child. */
CHILD_SIDE static int
child_main(void *arg)
{
	struct launch *launch = arg;
	const struct weir_child_command *command = launch->command;

	/* Before there is anything that could outlive us. */
	if (command->seat)
		*command->seat = getpid();
	if (setpgid(0, 0) != 0 || prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 ||
	    drop_pending() != 0 || set_descriptors(launch) != 0 ||
	    set_limits(launch->setup) != 0 ||
	    reset_signals(launch->setup) != 0) {
		launch->error = errno;
		return 127;
	}
	/* We may have died before the parent-death signal was set. */
	if (getppid() != launch->parent)
		return 127;
	(void)execve(command->path, command->argv, command->envp);
	launch->error = errno;
	launch->by_exec = true;
	return 127;
}

int
weir__child_start(struct weir_child *ret, bool *ret_by_exec,
		  const struct weir_child_setup *setup,
		  const struct weir_child_command *command, void *stack)
{
	struct launch launch = {
		.setup = setup, .command = command, .parent = getpid()};
	char *top = (char *)stack + WEIR_CHILD_STACK;
	int pidfd = -1;
	pid_t pid;

	*ret_by_exec = false;
	pid = clone(child_main, top,
		    CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD, &launch,
		    &pidfd);
	if (pid < 0)
		return errno;
	if (launch.error) {
		while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
			;
		(void)close(pidfd);
		*ret_by_exec = launch.by_exec;
		return launch.error;
	}
	ret->pid = pid;
	ret->pidfd = pidfd;
	return 0;
}

/* Those are not blocked, and exec(2) drops their handlers. */
static bool
is_fault(int number)
{
	return number == SIGSEGV || number == SIGBUS || number == SIGILL ||
	       number == SIGFPE || number == SIGABRT || number == SIGTRAP ||
	       number == SIGSYS;
}

void
weir__child_setup_signals(struct weir_child_setup *setup, const sigset_t *mask,
			  bool pipe_ignored)
{
	struct sigaction action;

	setup->mask = *mask;
	setup->reset_count = 0;
	for (int number = 1; number < NSIG; number++) {
		if (is_fault(number) || sigaction(number, NULL, &action) != 0 ||
		    action.sa_handler == SIG_DFL)
			continue;
		if (action.sa_handler == SIG_IGN &&
		    (number != SIGPIPE || pipe_ignored))
			continue;
		setup->reset[setup->reset_count++] = number;
	}
}

int
weir__child_move_up(int fd)
{
	int moved, why;

	if (fd < 0 || fd > 2)
		return fd;
	moved = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	why = errno;
	(void)close(fd);
	errno = why;
	return moved;
}

int
weir__child_open(const char *path, int flags)
{
	return weir__child_move_up(open(path, flags | O_CLOEXEC));
}

int
weir__child_check_system(void)
{
	int fd = pidfd_open(getpid(), 0);

	if (fd < 0)
		return errno;
	(void)close(fd);
	/* A range in which nothing can be open. */
	return close_range(~0U, ~0U, 0) == 0 ? 0 : errno;
}

/* 0 if it is a file that may be executed, as far as can be told. */
static int
try_path(const char *path, int dir_fd)
{
	struct stat about;
	int at = dir_fd >= 0 ? dir_fd : AT_FDCWD;

	if (fstatat(at, path, &about, 0) != 0)
		return errno;
	if (!S_ISREG(about.st_mode))
		return EACCES;
	return faccessat(at, path, X_OK, AT_EACCESS) == 0 ? 0 : errno;
}

static int
search(struct weir_buf *ret, const char *name, int dir_fd)
{
	const char *path = getenv("PATH"), *end;
	int failed = ENOENT, why;

	for (path = path ? path : PATH_DEFAULT; path; path = end) {
		size_t len = strcspn(path, ":");

		end = path[len] ? path + len + 1 : NULL;
		weir__buf_reset(ret);
		weir__buf_append(ret, path, len);
		if (len > 0)
			weir__buf_putc(ret, '/');
		weir__buf_puts(ret, name);
		if (ret->failed)
			return ENOMEM;
		why = try_path(ret->data, dir_fd);
		if (why == 0)
			return 0;
		/* One that may not be run is news, one that is not there no. */
		if (why == EACCES)
			failed = EACCES;
	}
	return failed;
}

int
weir__child_find(struct weir_buf *ret, const char *name, int dir_fd)
{
	if (*name == '\0')
		return ENOENT;
	if (!strchr(name, '/'))
		return search(ret, name, dir_fd);
	weir__buf_reset(ret);
	weir__buf_puts(ret, name);
	return ret->failed ? ENOMEM : try_path(ret->data, dir_fd);
}
