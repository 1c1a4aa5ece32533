/*
 * The brake of a pool whose workers die at once: each new process costs, and
 * none of them gets anything done.
 *
 * What counts is not how many die - one job in a hundred may well crash - but
 * how many die without having done a single job.  The brake is on while, in
 * the last ten seconds, more than half as many as there are workers have died
 * so, and more than half of all that died.
 *
 * A plain value; the isolator's mu guards it.
 */
#ifndef WEIR_SRC_ISOLATE_BRAKE_H
#define WEIR_SRC_ISOLATE_BRAKE_H

#include <stdbool.h>
#include <stdint.h>

/* Seconds that are looked back upon. */
#define WEIR_BRAKE_S 10

struct weir_brake {
	int64_t second[WEIR_BRAKE_S]; /* which one a bucket is of */
	uint32_t died[WEIR_BRAKE_S], idle[WEIR_BRAKE_S];
	int64_t delay_ns; /* of the next process; 0: the brake is off */
};

/* A process has died at now_ns, after so many jobs. */
void weir__brake_died(struct weir_brake *brake, uint32_t workers, uint64_t jobs,
		      int64_t now_ns);

/* By how much a process that is to start now is delayed; mostly 0. */
int64_t weir__brake_delay_ns(struct weir_brake *brake, uint32_t workers,
			     int64_t now_ns);

#endif
