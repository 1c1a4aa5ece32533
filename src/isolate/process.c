/*
 * Starting a worker's process, ending it, and finding out why it ended.
 *
 * Design.  The pidfd says that a process has ended; only the zygote, its
 * parent, can say how.  Until the zygote has been asked the pid is its own, so
 * signals to its group hit nobody else; whatever it has left running there is
 * killed before.
 *
 * Locking.  None; see cell.h.
 */
#include "isolate/cell.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <unistd.h>

/* How often a process is looked at that may have grown. */
#define SIZED_EVERY_JOBS 64
#define SIZED_EVERY_NS   (100 * WEIR_MS)

static void
forget(struct weir_cell *cell)
{
	if (cell->small)
		weir__fd_close(&cell->heard);
	cell->heard = -1;
	weir__fd_close(&cell->jobs);
	weir__fd_close(&cell->pidfd);
	weir__fd_close(&cell->socket);
	weir__fd_close(&cell->far);
	weir__fd_close(&cell->bell);
	weir__fd_close(&cell->statm);
	cell->pid = 0;
}

/*
 * A user with very many pipes gets small ones.  One record always fits, for a
 * page does.
 */
static void
batch_fit(struct weir_cell *cell)
{
	int room = fcntl(cell->jobs, F_GETPIPE_SZ);
	size_t fit = room > 0 ? (size_t)room / 2 / cell->record : 1;

	cell->batch_now = fit < cell->batch_max ? fit : cell->batch_max;
	if (cell->batch_now == 0)
		cell->batch_now = 1;
}

/*
 * Pipes for small jobs.  Neither of us may wait in the one we both read, so
 * it does not wait; the process, which alone writes answers, may.
 */
static int
pipes_open(struct weir_cell *cell, int *fds)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0)
		return errno;
	fds[2] = ends[0];
	cell->jobs = ends[1];
	batch_fit(cell);
	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0)
		return errno;
	cell->heard = ends[0];
	fds[3] = ends[1];
	return fcntl(fds[3], F_SETFL, 0) != 0 ? errno : 0;
}

/* All that joins us to a process; what is its alone goes into fds. */
static int
channels_open(struct weir_cell *cell, int *fds)
{
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
		return errno;
	cell->socket = ends[0];
	fds[0] = ends[1];
	cell->bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (cell->bell < 0)
		return errno;
	fds[1] = cell->bell;
	if (cell->small)
		return pipes_open(cell, fds);
	cell->heard = cell->socket;
	cell->batch_now = 1;
	return 0;
}

/* A process, and what it is to have of that; an errno value. */
static int
spawn(struct weir_cell *cell)
{
	int fds[WEIR_WORKER_FDS] = {-1, -1, -1, -1};
	size_t count = cell->small ? WEIR_WORKER_FDS : 2;
	int error = channels_open(cell, fds);

	if (error == 0)
		error = weir__zygote_spawn(cell->isolator->zygote, &cell->spec,
					   fds, count, &cell->pid,
					   &cell->pidfd);
	/* The end that it takes jobs from is kept. */
	cell->far = fds[cell->small ? 2 : 0];
	fds[cell->small ? 2 : 0] = -1;
	weir__fd_close(&fds[0]);
	weir__fd_close(&fds[2]);
	weir__fd_close(&fds[3]);
	return error;
}

static void
statm_open(struct weir_cell *cell)
{
	char path[32];

	if (cell->spec.limits.recycle_rss == 0)
		return;
	snprintf(path, sizeof(path), "/proc/%d/statm", (int)cell->pid);
	cell->statm = open(path, O_RDONLY | O_CLOEXEC);
}

/* What the process says once init has run; false: nothing, it has ended. */
static bool
await_ready(struct weir_cell *cell, struct weir_ready_frame *ready)
{
	struct pollfd polls[2] = {{cell->socket, POLLIN, 0},
				  {cell->pidfd, POLLIN, 0}};
	ssize_t n = -1;

	while (poll(polls, 2, -1) < 0)
		;
	n = recv(cell->socket, ready, sizeof(*ready), MSG_DONTWAIT);
	return n == sizeof(*ready) && ready->kind == WEIR_FRAME_READY;
}

static weir_status
start_failed(struct weir_cell *cell, int error, char *text)
{
	forget(cell);
	if (error == ESRCH)
		snprintf(text, WEIR_ERROR_MAX,
			 "no process for the job: the zygote has ended");
	else
		snprintf(text, WEIR_ERROR_MAX,
			 "no process for the job: errno %d (%s)", error,
			 strerrorname_np(error));
	return WEIR_SYSTEM;
}

/* It has ended, or is going to, before it was ready. */
static weir_status
init_failed(struct weir_cell *cell, const struct weir_ready_frame *ready,
	    char *text)
{
	struct weir_cause cause;
	char why[100];

	weir__process_signal(cell, SIGKILL);
	weir__process_bury(cell, &cause);
	weir__isolator_note_end(cell->isolator, WEIR_END_DIED, 0);
	if (ready) {
		snprintf(text, WEIR_ERROR_MAX,
			 "no process for the job: init said %s",
			 weir_status_name((weir_status)ready->status));
		return (weir_status)ready->status;
	}
	weir__cause_describe(&cause, 1, why, sizeof(why));
	/* Without "in attempt 1": it is not the job's. */
	if (strstr(why, " in attempt"))
		*strstr(why, " in attempt") = '\0';
	snprintf(text, WEIR_ERROR_MAX, "no process for the job: init was %s",
		 why);
	return WEIR_SYSTEM;
}

weir_status
weir__process_start(struct weir_cell *cell, char *text)
{
	struct weir_ready_frame ready;
	int error = spawn(cell);

	if (error != 0)
		return start_failed(cell, error, text);
	cell->answered = cell->sized_at = 0;
	cell->answers_len = 0;
	cell->sized_ns = 0;
	cell->blame = WEIR_BLAME_NONE;
	memset(&cell->note, 0, sizeof(cell->note));
	if (!await_ready(cell, &ready))
		return init_failed(cell, NULL, text);
	if (ready.status != WEIR_OK)
		return init_failed(cell, &ready, text);
	statm_open(cell);
	weir__isolator_note_start(cell->isolator, ready.sandbox);
	return WEIR_OK;
}

void
weir__process_tell(const struct weir_cell *cell, uint32_t seq)
{
	siginfo_t info = {.si_signo = SIGTERM, .si_code = SI_QUEUE};

	info.si_pid = getpid();
	info.si_uid = getuid();
	info.si_value.sival_ptr = (void *)(uintptr_t)((uint64_t)seq + 1);
	/* First to itself: a second SIGTERM may be dropped, and is the same. */
	(void)pidfd_send_signal(cell->pidfd, SIGTERM, &info, 0);
	weir__process_signal(cell, SIGTERM);
}

void
weir__process_signal(const struct weir_cell *cell, int number)
{
	/*
	 * It has been in a group of its own since before we knew of it.  If
	 * the zygote has died, the number may be another one's by now.
	 */
	if (pidfd_send_signal(cell->pidfd, 0, NULL, 0) == 0)
		(void)kill(-cell->pid, number);
}

/* True if it ends by itself before then. */
static bool
await_end(const struct weir_cell *cell, int64_t deadline_ns)
{
	struct pollfd polls = {cell->pidfd, POLLIN, 0};
	int64_t now_ns = weir_now_ns();

	while (polls.revents == 0 && now_ns < deadline_ns) {
		struct timespec left = {(deadline_ns - now_ns) / WEIR_S,
					(deadline_ns - now_ns) % WEIR_S};

		(void)ppoll(&polls, 1, &left, NULL);
		now_ns = weir_now_ns();
	}
	return polls.revents != 0;
}

void
weir__process_bury(struct weir_cell *cell, struct weir_cause *cause)
{
	memset(cause, 0, sizeof(*cause));
	cause->blame = cell->blame;
	cause->kill_after_ns = cell->spec.limits.kill_after_ns;
	cause->memory_max = cell->spec.limits.memory_max;
	cause->cpu_s_max = cell->spec.limits.cpu_s_max;
	/* Where answers do not come by the socket, a note still does. */
	if (cell->small)
		(void)!recv(cell->socket, &cell->note, sizeof(cell->note),
			    MSG_DONTWAIT);
	cause->note = cell->note;
	/* What it has started, too; it itself has ended, or is killed. */
	weir__process_signal(cell, SIGKILL);
	(void)await_end(cell, WEIR_FOREVER);
	if (weir__zygote_reap(cell->isolator->zygote, cell->pid, &cause->status,
			      NULL) != 0 &&
	    cause->blame == WEIR_BLAME_NONE)
		cause->blame = WEIR_BLAME_LOST;
	forget(cell);
}

void
weir__process_end(struct weir_cell *cell)
{
	struct weir_job_frame *quit = (void *)cell->records;
	struct weir_cause cause;
	ssize_t n;

	memset(quit, 0, cell->record);
	quit->kind = WEIR_FRAME_QUIT;
	n = cell->small ? write(cell->jobs, quit, cell->record)
			: send(cell->socket, quit, sizeof(*quit),
			       MSG_NOSIGNAL | MSG_DONTWAIT);
	if (n > 0)
		(void)await_end(cell, weir_now_ns() +
					      cell->spec.limits.kill_after_ns);
	weir__process_bury(cell, &cause);
}

/* Bytes resident; 0 if that cannot be known. */
static uint64_t
resident(const struct weir_cell *cell)
{
	char text[96] = "";
	char *second;

	if (cell->statm < 0 ||
	    pread(cell->statm, text, sizeof(text) - 1, 0) <= 0)
		return 0;
	second = strchr(text, ' ');
	return second ? strtoull(second, NULL, 10) * (unsigned)getpagesize()
		      : 0;
}

bool
weir__process_is_worn(struct weir_cell *cell, int64_t now_ns)
{
	const weir_isolate_options *limits = &cell->spec.limits;

	if (limits->recycle_jobs > 0 && cell->answered >= limits->recycle_jobs)
		return true;
	if (limits->recycle_rss == 0 || cell->answered == cell->sized_at ||
	    (cell->answered - cell->sized_at < SIZED_EVERY_JOBS &&
	     now_ns - cell->sized_ns < SIZED_EVERY_NS))
		return false;
	cell->sized_at = cell->answered;
	cell->sized_ns = now_ns;
	return resident(cell) >= limits->recycle_rss;
}
