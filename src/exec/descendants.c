/*
 * What children leave behind, see descendants.h.
 *
 * Design.  The kernel gives orphans to a thread of the subreaper, in practice
 * its first one, and lists the children of each thread in /proc.  What is in
 * the list of a thread and was not started by it has been adopted.
 *
 * A group whose leader has been waited for is only a number, which the system
 * may give to others once the group is empty.  KILL is therefore sent to it
 * only while one of our own children, whom nobody but us can wait for, is seen
 * to be in it, and its leader is none.  Members whose parents still live become
 * our children when those are killed, at the latest at the end of the run.
 *
 * Children of before us are none of ours: see weir__descendants_init().
 *
 * Without /proc nothing is adopted as far as we can see; orphans are then left
 * to live, as those of every other program are.
 *
 * Locking.  mu is held for a sweep, so that nobody else reaps meanwhile what
 * it has seen.  Nothing is taken under it.
 */
#include "exec/descendants.h"

#include "sync/clock.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

/* How soon to look again for groups that are left, and for orphans. */
#define LEFT_NS   (100 * WEIR_MS)
#define ORPHAN_NS (1 * WEIR_S)

/* How many are waited for at a time, at the end, and for how long. */
#define WAIT_AT_ONCE 64
#define WAIT_MS_MAX  100

static bool
pids_add(struct weir_pids *pids, pid_t pid)
{
	size_t cap = pids->cap ? pids->cap * 2 : 64;
	pid_t *grown;

	if (pids->len == pids->cap) {
		grown = realloc(pids->pids, cap * sizeof(*grown));
		if (!grown)
			return false;
		pids->pids = grown;
		pids->cap = cap;
	}
	pids->pids[pids->len++] = pid;
	return true;
}

static bool
pids_have(const struct weir_pids *pids, pid_t pid)
{
	for (size_t i = 0; i < pids->len; i++)
		if (pids->pids[i] == pid)
			return true;
	return false;
}

/* The same for those that are sorted. */
static bool
is_among(const struct weir_pids *sorted, pid_t pid)
{
	size_t from = 0, to = sorted->len;

	while (from < to) {
		size_t middle = from + (to - from) / 2;

		if (sorted->pids[middle] == pid)
			return true;
		if (sorted->pids[middle] < pid)
			from = middle + 1;
		else
			to = middle;
	}
	return false;
}

/* Add the children of thread tid; what cannot be read is not there. */
static void
read_children(struct weir_pids *ret, pid_t tid)
{
	char path[64], text[4096];
	ssize_t len;
	pid_t pid = 0;
	int fd;

	snprintf(path, sizeof(path), "/proc/self/task/%d/children", (int)tid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	while ((len = read(fd, text, sizeof(text))) > 0) {
		for (ssize_t i = 0; i < len; i++) {
			if (text[i] >= '0' && text[i] <= '9') {
				pid = pid * 10 + (text[i] - '0');
				continue;
			}
			if (pid != 0 && !pids_add(ret, pid))
				break;
			pid = 0;
		}
	}
	(void)close(fd);
}

static void
read_threads(struct weir_pids *ret)
{
	DIR *dir = opendir("/proc/self/task");
	struct dirent *entry;

	if (!dir)
		return;
	while ((entry = readdir(dir)))
		if (entry->d_name[0] != '.' &&
		    !pids_add(ret, (pid_t)strtol(entry->d_name, NULL, 10)))
			break;
	(void)closedir(dir);
}

/* Of all threads. */
static void
read_all_children(struct weir_pids *ret)
{
	struct weir_pids threads = {0};

	read_threads(&threads);
	for (size_t i = 0; i < threads.len; i++)
		read_children(ret, threads.pids[i]);
	free(threads.pids);
}

void
weir__descendants_init(struct weir_descendants *d)
{
	*d = (struct weir_descendants){0};
	weir__mutex_init(&d->mu);
	read_all_children(&d->before);
}

void
weir__descendants_fini(struct weir_descendants *d)
{
	free(d->before.pids);
	free(d->starters.pids);
	free(d->leftovers);
	weir__mutex_fini(&d->mu);
}

bool
weir__descendants_enter(struct weir_descendants *d)
{
	bool added;

	weir__mutex_lock(&d->mu);
	added = pids_add(&d->starters, gettid());
	weir__mutex_unlock(&d->mu);
	return added;
}

void
weir__descendants_leave(struct weir_descendants *d)
{
	struct weir_pids *starters = &d->starters;
	pid_t self = gettid();

	weir__mutex_lock(&d->mu);
	for (size_t i = 0; i < starters->len; i++)
		if (starters->pids[i] == self)
			starters->pids[i] = starters->pids[--starters->len];
	weir__mutex_unlock(&d->mu);
}

void
weir__descendants_left(struct weir_descendants *d, pid_t group, int64_t due_ns)
{
	struct weir_leftover *grown;
	size_t cap;

	weir__mutex_lock(&d->mu);
	if (d->leftover_len == d->leftover_cap) {
		cap = d->leftover_cap ? d->leftover_cap * 2 : 16;
		grown = realloc(d->leftovers, cap * sizeof(*grown));
		if (grown) {
			d->leftovers = grown;
			d->leftover_cap = cap;
		}
	}
	if (d->leftover_len < d->leftover_cap)
		d->leftovers[d->leftover_len++] = (struct weir_leftover){
			.group = group, .due_ns = due_ns};
	weir__mutex_unlock(&d->mu);
}

/* Is one of these in the group, and not its leader? */
static bool
has_member(const struct weir_pids *pids, pid_t group)
{
	for (size_t i = 0; i < pids->len; i++)
		if (pids->pids[i] != group && getpgid(pids->pids[i]) == group)
			return true;
	return false;
}

/* KILL those that are due, forget those that are gone. */
static void kill_due_locked(struct weir_descendants *d,
			    const struct weir_pids *orphans,
			    const struct weir_pids *others, int64_t now_ns)
	WEIR_REQUIRES(d->mu);

static void
kill_due_locked(struct weir_descendants *d, const struct weir_pids *orphans,
		const struct weir_pids *others, int64_t now_ns)
{
	size_t kept = 0;

	for (size_t i = 0; i < d->leftover_len; i++) {
		struct weir_leftover *entry = &d->leftovers[i];

		if (kill(-entry->group, 0) != 0 && errno == ESRCH)
			continue;
		if (entry->due_ns <= now_ns &&
		    (has_member(orphans, entry->group) ||
		     has_member(others, entry->group)))
			(void)kill(-entry->group, SIGKILL);
		d->leftovers[kept++] = *entry;
	}
	d->leftover_len = kept;
}

/*
 * Reap those of children, from the given place on, that were adopted and have
 * ended; those that live are what stays in the list.  True: there were some.
 */
static bool
reap_adopted(const struct weir_descendants *d, struct weir_pids *children,
	     size_t from, const struct weir_pids *own)
{
	size_t kept = from, reaped = 0;

	for (size_t i = from; i < children->len; i++) {
		pid_t pid = children->pids[i];

		if (pids_have(&d->before, pid) || (own && is_among(own, pid)))
			continue;
		if (waitpid(pid, NULL, WNOHANG) == 0)
			children->pids[kept++] = pid;
		else
			reaped++;
	}
	children->len = kept;
	return reaped > 0;
}

/* Orphans that still live, and the children of other threads. */
static void sweep_locked(struct weir_descendants *d,
			 const struct weir_pids *own,
			 struct weir_pids *ret_orphans,
			 struct weir_pids *ret_others) WEIR_REQUIRES(d->mu);

static void
sweep_locked(struct weir_descendants *d, const struct weir_pids *own,
	     struct weir_pids *ret_orphans, struct weir_pids *ret_others)
{
	struct weir_pids threads = {0};
	pid_t self = gettid();

	read_threads(&threads);
	for (size_t i = 0; i < threads.len; i++) {
		pid_t tid = threads.pids[i];
		size_t from = ret_orphans->len;

		if (tid != self && pids_have(&d->starters, tid)) {
			read_children(ret_others, tid);
			continue;
		}
		read_children(ret_orphans, tid);
		(void)reap_adopted(d, ret_orphans, from,
				   tid == self ? own : NULL);
	}
	free(threads.pids);
}

int64_t
weir__descendants_sweep(struct weir_descendants *d, const pid_t *own,
			size_t own_count, int64_t now_ns)
{
	struct weir_pids orphans = {0}, others = {0};
	const struct weir_pids started = {(pid_t *)(uintptr_t)own, own_count,
					  own_count};
	size_t alive, left;

	weir__mutex_lock(&d->mu);
	sweep_locked(d, &started, &orphans, &others);
	kill_due_locked(d, &orphans, &others, now_ns);
	alive = orphans.len;
	left = d->leftover_len;
	weir__mutex_unlock(&d->mu);
	free(orphans.pids);
	free(others.pids);
	if (left > 0)
		return now_ns + LEFT_NS;
	return alive > 0 ? now_ns + ORPHAN_NS : WEIR_FOREVER;
}

/* Wait until one of these has ended, or for a moment. */
static void
wait_for_some(const struct weir_pids *children, int wait_ms)
{
	struct pollfd fds[WAIT_AT_ONCE];
	nfds_t count = 0;

	for (size_t i = 0; i < children->len && count < WAIT_AT_ONCE; i++) {
		int fd = pidfd_open(children->pids[i], 0);

		if (fd >= 0)
			fds[count++] =
				(struct pollfd){.fd = fd, .events = POLLIN};
	}
	(void)poll(fds, count, wait_ms);
	for (nfds_t i = 0; i < count; i++)
		(void)close(fds[i].fd);
}

/* TERM, once each, as long as there is time for it; then KILL. */
static void
tell_to_end(const struct weir_pids *children, struct weir_pids *told, bool late)
{
	for (size_t i = 0; i < children->len; i++) {
		pid_t pid = children->pids[i];

		if (late) {
			(void)kill(pid, SIGKILL);
		} else if (!pids_have(told, pid) && pids_add(told, pid)) {
			(void)kill(pid, SIGTERM);
			/* A stopped one has to go on to obey. */
			(void)kill(pid, SIGCONT);
		}
	}
}

void
weir__descendants_end(struct weir_descendants *d, int64_t grace_ns)
{
	int64_t kill_ns = weir__deadline_ns(weir_now_ns(), grace_ns);
	struct weir_pids children = {0}, told = {0};

	for (;;) {
		children.len = 0;
		read_all_children(&children);
		/* Who was alive a moment ago may have left us its children. */
		if (reap_adopted(d, &children, 0, NULL))
			continue;
		if (children.len == 0)
			break;
		tell_to_end(&children, &told, weir_now_ns() >= kill_ns);
		wait_for_some(&children, WAIT_MS_MAX);
	}
	free(children.pids);
	free(told.pids);
}

/* A zombie is not ours to reap here, and needs no KILL. */
static bool
is_running(pid_t pid)
{
	siginfo_t info = {0};

	return waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) ==
		       0 &&
	       info.si_pid == 0;
}

/*
 * Kill those that still run, and wait for one of them.  Who has just ended may
 * have left us its children after the list was read, and who was killed before
 * leaves them only when it ends; so false, there are none any more, is said
 * only when all had ended before the list was read.
 */
static bool
kill_again(const struct weir_descendants *d, struct weir_pids *ended)
{
	struct weir_pids children = {0};
	size_t running = 0;
	bool any = false;

	read_all_children(&children);
	for (size_t i = 0; i < children.len; i++) {
		pid_t pid = children.pids[i];

		if (pids_have(&d->before, pid) || pids_have(ended, pid))
			continue;
		any = true;
		if (is_running(pid)) {
			(void)kill(pid, SIGKILL);
			children.pids[running++] = pid;
		} else if (!pids_add(ended, pid)) {
			any = false;
		}
	}
	children.len = running;
	if (running > 0)
		wait_for_some(&children, WAIT_MS_MAX / 10);
	free(children.pids);
	return any;
}

/*
 * A number that is read from a list and reaped by its thread before the signal
 * would have to go round to be somebody else's by then: the system gives out
 * all others first.
 */
void
weir__descendants_kill(struct weir_descendants *d, int64_t most_ns)
{
	int64_t until_ns = weir__deadline_ns(weir_now_ns(), most_ns);
	struct weir_pids ended = {0};

	while (kill_again(d, &ended) && weir_now_ns() < until_ns)
		;
	free(ended.pids);
}
