/*
 * One process: how it is started.
 *
 * The child shares our memory until it is another program (vfork(2) by another
 * name: clone(2) with CLONE_VM and CLONE_VFORK), so that a start costs the
 * same however large we are, and exec's errno comes back over that memory.  It
 * gets a pidfd, standard input from the null device if it is given none, a
 * process group of its own, a parent-death signal that is tied to the calling
 * thread, and no descriptor but those it is meant to have.
 *
 * Needs Linux 5.9: pidfds, and close_range(2).
 */
#ifndef WEIR_SRC_EXEC_CHILD_H
#define WEIR_SRC_EXEC_CHILD_H

#include "base/buf.h"

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/resource.h>
#include <sys/types.h>

/* What the child's side of a start needs of our memory. */
#define WEIR_CHILD_STACK (64 * 1024)

#define WEIR_CHILD_LIMITS_MAX 3

struct weir_child_limit {
	unsigned resource; /* RLIMIT_ */
	struct rlimit value;
};

/* What all children have in common.  Zeroed, then set up by the owner. */
struct weir_child_setup {
	int null_fd;
	int dir_fd; /* -1: here */
	/* Descriptors above 2 that stay open, sorted upwards. */
	const int *keep_fds;
	size_t keep_count;
	sigset_t mask;
	/* Signals that are not ours to handle or ignore for them: default. */
	int reset[NSIG];
	size_t reset_count;
	struct weir_child_limit limits[WEIR_CHILD_LIMITS_MAX];
	size_t limit_count;
};

struct weir_child_command {
	const char *path;
	char *const *argv, *const *envp;
	int out_fd, err_fd; /* -1: ours */
	int in_fd;          /* standard input; 0: the null device */
	int dir_fd;         /* where it runs; 0: as the setup says */
	/* The child notes its number, which is its group's, here; or NULL. */
	volatile pid_t *seat;
};

struct weir_child {
	pid_t pid;
	int pidfd; /* close-on-exec */
};

/*
 * Note which signals to reset: those with a handler and, unless it was ignored
 * when we were started, SIGPIPE.
 */
void weir__child_setup_signals(struct weir_child_setup *setup,
			       const sigset_t *mask, bool pipe_ignored);

/* 0, or the errno with which a system shows that it is too old. */
int weir__child_check_system(void);

/* Open a file above 2, close-on-exec; -1 and errno. */
int weir__child_open(const char *path, int flags);
/* The same for a descriptor that is open, in place of it. */
int weir__child_move_up(int fd);

/*
 * Start one.  stack: WEIR_CHILD_STACK bytes, nobody else's meanwhile.  0, or
 * an errno; *ret_by_exec says whether it is that of the program itself (it is
 * not there, it cannot be run), or the system had none left of something.
 * All but the faults' signals must be blocked in the calling thread.
 *
 * Waits:   until the program has replaced us in the child, or cannot.
 */
int weir__child_start(struct weir_child *ret, bool *ret_by_exec,
		      const struct weir_child_setup *setup,
		      const struct weir_child_command *command, void *stack);

/*
 * Where a program is, by the rules of execvp(3): one with a slash is taken as
 * it is, others are searched in PATH.  Relative places are below dir_fd (-1:
 * here).  0 and a path in ret, or the errno that execvp would give.
 */
int weir__child_find(struct weir_buf *ret, const char *name, int dir_fd);

#endif
