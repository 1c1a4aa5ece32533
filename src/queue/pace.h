/*
 * How far ahead to claim.
 *
 * Claiming costs a visit to the store, so short jobs have to be claimed many
 * at a time; but a job that is claimed and waits is kept from other workers,
 * and held up when we stop.  The rule: claim as many ahead of what runs as
 * the lane gets through in 50 ms (or in twice the time of a visit, up to a
 * second, where the store is slow), and never more than 3072:
 *
 *      ahead = width * 50 ms / what a job takes
 *
 * With 16 slots that is 3072 for jobs below 0.26 ms, 80 for 10 ms, 8 for 100 ms
 * and nothing for a second.  While no job has ended, it is nothing.
 *
 * Counting what ended in the last 50 ms instead was rejected: a lane that is
 * starved because little is claimed would look slow, and stay starved.
 */
#ifndef WEIR_SRC_QUEUE_PACE_H
#define WEIR_SRC_QUEUE_PACE_H

#include <stdint.h>

#define WEIR_AHEAD_MAX 3072

/* Jobs that have ended, and how long they took altogether. */
struct weir_pace_sample {
	uint32_t ended;
	int64_t took_ns;
};

struct weir_pace {
	int64_t job_ns;  /* moving averages; -1: not known yet */
	int64_t turn_ns; /* of a visit */
};

void weir__pace_init(struct weir_pace *pace);
void weir__pace_note(struct weir_pace *pace,
		     const struct weir_pace_sample *sample);
/* Nothing has begun for so long: a job takes no less. */
void weir__pace_note_stall(struct weir_pace *pace, int64_t stalled_ns);
void weir__pace_note_turn(struct weir_pace *pace, int64_t took_ns);
uint32_t weir__pace_ahead(const struct weir_pace *pace, uint32_t width);

#endif
