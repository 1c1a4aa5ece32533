/*
 * The zygote: a small process that worker processes are forked from.
 *
 * Design.  It is a fork of the program from before it had threads, so that a
 * fork of it is cheap and holds no lock of anybody's.  Requests come over a
 * SEQPACKET socket and are answered one by one:
 *
 *      SPAWN + socket + bell   ->  fork   ->  pid + pidfd
 *      REAP  + pid             ->  wait4  ->  status, usage
 *
 * Workers are its children, not the program's: the program may wait() for any
 * child without meeting one of ours.  It learns of a worker's end from the
 * pidfd and then asks for the status; until then the pid is not used again, so
 * that signals to its process group hit nobody else.
 *
 * How everybody goes when somebody dies:
 *
 *      the program   the zygote sees that by its pidfd, kills all process
 *                    groups of workers, and ends
 *      the zygote    the kernel kills the workers (parent-death signal); the
 *                    program sees the workers' pidfds, and its own calls fail
 *
 * Locking.  mu is held for a request and its reply, and comes after all other
 * locks but those of contexts' watches, which it is never taken under.  In
 * the zygote itself there is one thread and no lock.
 */
#include "isolate/frame.h"

#include "base/assert.h"
#include "core/isolated.h"
#include "isolate/isolator.h"
#include "isolate/kernel.h"
#include "sync/mutex.h"
#include "sync/thread.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* ThreadSanitizer has a thread in each program. */
#if defined(__SANITIZE_THREAD__)
#define OWN_THREADS 2
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define OWN_THREADS 2
#endif
#endif
#ifndef OWN_THREADS
#define OWN_THREADS 1
#endif

struct zygote {
	struct weir_zygote base;

	/* fixed at creation */
	pid_t pid;
	int pidfd;

	struct weir_mutex mu;

	/* guarded by mu */
	int control;
};

void
weir__fd_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* One message with a few descriptors; false: there is nobody any more. */
static bool
message_send(int socket, const void *data, size_t size, const int *fds,
	     size_t fd_count)
{
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(WEIR_WORKER_FDS * sizeof(int))];
	} control = {0};
	struct iovec piece = {(void *)(uintptr_t)data, size};
	struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1};
	struct cmsghdr *head;
	ssize_t n;

	if (fd_count > 0) {
		message.msg_control = control.space;
		message.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
		head = CMSG_FIRSTHDR(&message);
		head->cmsg_level = SOL_SOCKET;
		head->cmsg_type = SCM_RIGHTS;
		head->cmsg_len = CMSG_LEN(fd_count * sizeof(int));
		memcpy(CMSG_DATA(head), fds, fd_count * sizeof(int));
	}
	do
		n = sendmsg(socket, &message, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n == (ssize_t)size;
}

/* The same the other way; ret_fds, for WEIR_WORKER_FDS, are -1 without one. */
static bool
message_receive(int socket, void *data, size_t size, int *ret_fds)
{
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(WEIR_WORKER_FDS * sizeof(int))];
	} control = {0};
	struct iovec piece = {data, size};
	struct msghdr message = {.msg_iov = &piece,
				 .msg_iovlen = 1,
				 .msg_control = control.space,
				 .msg_controllen = sizeof(control.space)};
	struct cmsghdr *head;
	ssize_t n;

	for (size_t i = 0; i < WEIR_WORKER_FDS; i++)
		ret_fds[i] = -1;
	do
		n = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	head = n == (ssize_t)size ? CMSG_FIRSTHDR(&message) : NULL;
	if (head && head->cmsg_type == SCM_RIGHTS)
		memcpy(ret_fds, CMSG_DATA(head), head->cmsg_len - CMSG_LEN(0));
	return n == (ssize_t)size;
}

/* In the zygote: who its children are. */
struct brood {
	pid_t *pids;
	size_t count, size;
};

static bool
brood_reserve(struct brood *brood)
{
	size_t size = 2 * brood->size + 8;
	pid_t *pids;

	if (brood->count < brood->size)
		return true;
	pids = realloc(brood->pids, size * sizeof(*pids));
	if (!pids)
		return false;
	brood->pids = pids;
	brood->size = size;
	return true;
}

static void
brood_remove(struct brood *brood, pid_t pid)
{
	for (size_t i = 0; i < brood->count; i++)
		if (brood->pids[i] == pid)
			brood->pids[i] = brood->pids[--brood->count];
}

/* Move these to where they are expected, and close all others. */
static void
settle_fds(const int *fds, size_t count)
{
	int high[WEIR_WORKER_FDS];

	for (size_t i = 0; i < count; i++)
		high[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, WEIR_WORKER_END);
	for (size_t i = 0; i < count; i++)
		if (high[i] < 0 ||
		    dup3(high[i], WEIR_WORKER_SOCKET + (int)i, O_CLOEXEC) < 0)
			_exit(WEIR_WORKER_LOST);
	close_range(WEIR_WORKER_SOCKET + (unsigned)count, ~0U, 0);
}

/* As in a program that has just been started. */
static void
reset_signals(void)
{
	sigset_t none;

	for (int i = 1; i < NSIG; i++)
		(void)signal(i, SIG_DFL);
	sigemptyset(&none);
	if (weir__thread_sigmask(SIG_SETMASK, &none, NULL) != WEIR_OK)
		_exit(WEIR_WORKER_LOST);
}

static void
spawn(struct brood *brood, const struct weir_zygote_request *request,
      const int *fds, struct weir_zygote_reply *reply, int *ret_pidfd)
{
	pid_t self = getpid(), pid;

	if (!brood_reserve(brood)) {
		reply->error = ENOMEM;
		return;
	}
	pid = fork();
	if (pid == 0) {
		settle_fds(fds, request->fd_count);
		free(brood->pids);
		weir__worker_process(&request->spec, self);
	}
	if (pid < 0) {
		reply->error = errno;
		return;
	}
	/* Here as well as there: whoever is first. */
	(void)setpgid(pid, pid);
	*ret_pidfd = pidfd_open(pid, 0);
	if (*ret_pidfd < 0) {
		reply->error = errno;
		(void)kill(pid, SIGKILL);
		(void)waitpid(pid, NULL, 0);
		return;
	}
	brood->pids[brood->count++] = pid;
	reply->pid = pid;
}

static void
reap(struct brood *brood, const struct weir_zygote_request *request,
     struct weir_zygote_reply *reply)
{
	int status = 0;

	reply->pid = request->pid;
	if (wait4(request->pid, &status, 0, &reply->usage) < 0)
		reply->error = errno;
	reply->status = status;
	brood_remove(brood, request->pid);
}

static bool
serve(struct brood *brood, int control)
{
	struct weir_zygote_request request = {0};
	struct weir_zygote_reply reply = {0};
	int fds[WEIR_WORKER_FDS], pidfd = -1;
	bool sent;

	if (!message_receive(control, &request, sizeof(request), fds))
		return false;
	if (request.op == WEIR_ZYGOTE_SPAWN)
		spawn(brood, &request, fds, &reply, &pidfd);
	else
		reap(brood, &request, &reply);
	sent = message_send(control, &reply, sizeof(reply), &pidfd,
			    pidfd >= 0 ? 1 : 0);
	for (size_t i = 0; i < WEIR_WORKER_FDS; i++)
		weir__fd_close(&fds[i]);
	weir__fd_close(&pidfd);
	return sent;
}

_Noreturn static void
zygote_process(struct zygote *zygote, int control, int program)
{
	struct brood brood = {0};
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	struct pollfd polls[2] = {{WEIR_WORKER_SOCKET, POLLIN, 0},
				  {WEIR_WORKER_BELL, POLLIN, 0}};

	/* It is the program's, and lives on there. */
	free(zygote);
	/* Out of the reach of the terminal's signals. */
	(void)setsid();
	(void)prctl(PR_SET_NAME, "weir-zygote");
	reset_signals();
	(void)dup2(null, STDIN_FILENO);
	settle_fds((const int[]){control, program}, 2);
	for (;;) {
		if (poll(polls, 2, -1) < 0)
			continue;
		/* The program has ended, or does not need us any more. */
		if (polls[1].revents || !serve(&brood, WEIR_WORKER_SOCKET))
			break;
	}
	for (size_t i = 0; i < brood.count; i++)
		(void)kill(-brood.pids[i], SIGKILL);
	_exit(0);
}

/* How many threads this process has; 0 if that cannot be known. */
static int
count_threads(void)
{
	DIR *folder = opendir("/proc/self/task");
	struct dirent *entry;
	int count = 0;

	if (!folder)
		return 0;
	while ((entry = readdir(folder)))
		count += entry->d_name[0] != '.';
	closedir(folder);
	return count;
}

static weir_status
zygote_fork(struct zygote *zygote)
{
	int ends[2], program = pidfd_open(getpid(), 0);
	weir_status status = WEIR_SYSTEM;

	if (program < 0)
		return WEIR_SYSTEM;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0) {
		/* What is in stdio's buffers is to be written once. */
		(void)fflush(NULL);
		zygote->pid = weir__kernel_fork_quiet();
		if (zygote->pid == 0)
			zygote_process(zygote, ends[1], program);
		weir__fd_close(&ends[1]);
		zygote->control = ends[0];
		zygote->pidfd =
			zygote->pid > 0 ? pidfd_open(zygote->pid, 0) : -1;
		status = zygote->pidfd >= 0 ? WEIR_OK : WEIR_SYSTEM;
		if (status != WEIR_OK)
			weir__fd_close(&zygote->control);
	}
	weir__fd_close(&program);
	return status;
}

weir_status
weir_zygote_start(weir_zygote **out)
{
	struct zygote *zygote;
	weir_status status;

	if (!out || count_threads() > OWN_THREADS)
		return WEIR_INVAL;
	zygote = calloc(1, sizeof(*zygote));
	if (!zygote)
		return WEIR_NOMEM;
	zygote->base.ops = &weir__isolator_ops;
	weir__mutex_init(&zygote->mu);
	status = zygote_fork(zygote);
	if (status != WEIR_OK) {
		weir__mutex_fini(&zygote->mu);
		free(zygote);
		return status;
	}
	*out = &zygote->base;
	return WEIR_OK;
}

weir_zygote *
weir_zygote_free(weir_zygote *base)
{
	struct zygote *zygote = (struct zygote *)base;
	siginfo_t info;

	if (!zygote)
		return NULL;
	/* That is what ends it. */
	weir__fd_close(&zygote->control);
	while (waitid(P_PIDFD, (id_t)zygote->pidfd, &info, WEXITED | __WALL) <
		       0 &&
	       errno == EINTR)
		;
	weir__fd_close(&zygote->pidfd);
	weir__mutex_fini(&zygote->mu);
	free(zygote);
	return NULL;
}

/* One request and its reply; an errno value. */
static int
ask(struct weir_zygote *base, const struct weir_zygote_request *request,
    const int *fds, struct weir_zygote_reply *reply, int *ret_fd)
{
	struct zygote *zygote = (struct zygote *)base;
	int came[WEIR_WORKER_FDS];
	bool answered;

	weir__mutex_lock(&zygote->mu);
	answered =
		message_send(zygote->control, request, sizeof(*request), fds,
			     request->fd_count) &&
		message_receive(zygote->control, reply, sizeof(*reply), came);
	weir__mutex_unlock(&zygote->mu);
	*ret_fd = answered ? came[0] : -1;
	return answered ? reply->error : ESRCH;
}

int
weir__zygote_spawn(struct weir_zygote *zygote,
		   const struct weir_worker_spec *spec, const int *fds,
		   size_t fd_count, pid_t *ret_pid, int *ret_pidfd)
{
	struct weir_zygote_request request = {.op = WEIR_ZYGOTE_SPAWN,
					      .fd_count = (uint32_t)fd_count,
					      .spec = *spec};
	struct weir_zygote_reply reply = {0};
	int pidfd, error = ask(zygote, &request, fds, &reply, &pidfd);

	/* It was made, and no descriptor was left here to hold it by. */
	if (error == 0 && pidfd < 0) {
		(void)kill(-reply.pid, SIGKILL);
		(void)weir__zygote_reap(zygote, reply.pid, NULL, NULL);
		error = EMFILE;
	}
	if (error != 0)
		return error;
	*ret_pid = reply.pid;
	*ret_pidfd = pidfd;
	return 0;
}

int
weir__zygote_reap(struct weir_zygote *zygote, pid_t pid, int *ret_status,
		  struct rusage *ret_usage)
{
	struct weir_zygote_request request = {.op = WEIR_ZYGOTE_REAP,
					      .pid = pid};
	struct weir_zygote_reply reply = {0};
	int no_fd, error = ask(zygote, &request, NULL, &reply, &no_fd);

	if (error != 0)
		return error;
	if (ret_status)
		*ret_status = reply.status;
	if (ret_usage)
		*ret_usage = reply.usage;
	return 0;
}
