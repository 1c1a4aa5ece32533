/*
 * What children leave behind: processes that are ours because their parents
 * have ended and we are the subreaper.
 *
 * Those of a job's process group get TERM when the job is over, and KILL 2 s
 * later; those that left the group live until the end of the run.  All of them
 * are waited for, all the time, so that no zombies pile up.
 *
 *   children of a thread (/proc) --- those it has started: left alone
 *                                '-- the others: adopted, reaped, killed
 *
 * A thread that starts children says so, and reaps what it has adopted itself,
 * because only it knows which those are; a start of it could be half done when
 * others look.  Children that the process had before, those of a shell that has
 * replaced itself by us, are left alone; it must get no others meanwhile.
 */
#ifndef WEIR_SRC_EXEC_DESCENDANTS_H
#define WEIR_SRC_EXEC_DESCENDANTS_H

#include "sync/mutex.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct weir_pids {
	pid_t *pids;
	size_t len, cap;
};

/* A process group whose job is over. */
struct weir_leftover {
	pid_t group;
	int64_t due_ns; /* for KILL */
};

struct weir_descendants {
	struct weir_mutex mu;

	/* fixed at creation: children that we had before; left alone */
	struct weir_pids before;

	/* guarded by mu */
	struct weir_pids starters; /* threads that start children */
	struct weir_leftover *leftovers;
	size_t leftover_len, leftover_cap;
};

void weir__descendants_init(struct weir_descendants *d);
void weir__descendants_fini(struct weir_descendants *d);

/* This thread starts children, from now on; or no more.  False: no memory. */
bool weir__descendants_enter(struct weir_descendants *d);
void weir__descendants_leave(struct weir_descendants *d);

/*
 * The job of this group is over, its leader has been waited for, and there may
 * be others: KILL for them at due_ns.  Without memory that waits for the end
 * of the run.
 */
void weir__descendants_left(struct weir_descendants *d, pid_t group,
			    int64_t due_ns);

/*
 * Reap what this thread has adopted, and what threads have that start no
 * children; KILL the groups that are due.  own is what this thread has started
 * and not yet waited for, sorted.  Gives the time at which to look
 * again, or WEIR_FOREVER if there is nothing to look after.
 */
int64_t weir__descendants_sweep(struct weir_descendants *d, const pid_t *own,
				size_t own_count, int64_t now_ns);

/*
 * End all children of the process: TERM, KILL after grace_ns (0: at once), and
 * so on with what they leave behind.  Only when no thread starts any more.
 *
 * Waits:   until there are none.
 */
void weir__descendants_end(struct weir_descendants *d, int64_t grace_ns);

/*
 * KILL to all children of the process, and to what they leave behind; for who
 * is about to leave.  Waits for none of them, in the sense of wait(2).
 *
 * Waits:   until they are dead, at most most_ns.
 */
void weir__descendants_kill(struct weir_descendants *d, int64_t most_ns);

#endif
