/*
 * A process that ends what we ran if we are killed.
 *
 * A parent-death signal ends our children with us, but not what they have
 * started.  Each child therefore notes the number of its process group in a
 * seat, in memory that is shared with a process which does nothing but wait
 * for us to be gone; it then sends KILL to every group that has a seat.  That
 * costs a job one store.
 *
 * What has left the group of its job (setsid) is not reached that way.
 */
#ifndef WEIR_SRC_EXEC_GUARDIAN_H
#define WEIR_SRC_EXEC_GUARDIAN_H

#include <stdint.h>
#include <sys/types.h>

struct weir_guardian;

/*
 * Start one for so many seats, numbered from 1.  NULL: the system has none
 * left of something; errno says of what.
 *
 * Waits:   until it runs.
 * Threads: any; it is a fork(2), best done while we are small.
 */
struct weir_guardian *weir__guardian_start(uint32_t seats);

/*
 * It is not needed any more, and ends without doing anything.
 *
 * Waits:   until it has ended, at most a second.
 */
struct weir_guardian *weir__guardian_stop(struct weir_guardian *guardian);

/*
 * Where the child of this slot notes its group; NULL without a guardian.  And:
 * nobody of it is left.
 */
volatile pid_t *weir__guardian_seat(const struct weir_guardian *guardian,
				    uint32_t slot);
void weir__guardian_leave(const struct weir_guardian *guardian, uint32_t slot);

#endif
