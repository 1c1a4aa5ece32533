/*
 * A cell: the process of one worker, as the worker's thread has it.
 *
 *      process.c   starting one, ending it, finding out why it ended
 *      flight.c    jobs on their way through it
 *      cell.c      when to do which
 *
 * All of it belongs to one thread.  The only thing that others touch is
 * `wake`, an eventfd, when a context is done.
 */
#ifndef WEIR_SRC_ISOLATE_CELL_H
#define WEIR_SRC_ISOLATE_CELL_H

#include <poll.h>

#include "core/ctx.h"
#include "core/pool.h" /* WEIR_BATCH_MAX */
#include "isolate/cause.h"
#include "isolate/isolator.h"

struct weir_cell {
	/* fixed at creation */
	struct weir_isolator *isolator;
	struct weir_worker_spec spec;
	bool small;       /* jobs go through pipes, as records */
	size_t batch_max; /* jobs that fit on the way together */
	int wake;         /* written by the watch */
	struct weir_watch watch;
	size_t record;     /* bytes of a job in the pipe */
	char *records;     /* room for batch_max of them */
	size_t answer_max; /* bytes of an answer, one byte more than may be */
	char *answers;     /* room for batch_max of them */

	/* one process; pid 0: there is none */
	pid_t pid;
	int pidfd;
	int socket;         /* ours */
	int far;            /* where it takes jobs, to take them back there */
	int jobs;           /* a pipe, if jobs are small; else -1 */
	int heard;          /* answers: another pipe, or the socket again */
	size_t answers_len; /* bytes in answers of one that is not all there */
	int bell;     /* an eventfd: the last of a batch has been answered */
	int statm;    /* of /proc, if its size matters */
	uint32_t seq; /* of the next job */
	size_t batch_now;     /* batch_max, or what the pipe has room for */
	uint32_t running_seq; /* of the one that finish waits for */
	uint64_t answered;
	uint64_t sized_at; /* answered, when its size was looked at last */
	int64_t sized_ns;
	enum weir_blame blame;
	struct weir_note_frame note;
};

/* Jobs on their way: calls[i] has the number first + i. */
struct weir_flight {
	struct weir_call *calls;
	size_t count, ended;
	uint32_t first;
	bool back[WEIR_BATCH_MAX]; /* taken back, before they began */
};

/* process.c */

/*
 * Start a process and wait until init has run in it.  WEIR_OK, WEIR_SYSTEM,
 * or what init returned; without WEIR_OK text, of WEIR_ERROR_MAX bytes, says
 * more.
 */
weir_status weir__process_start(struct weir_cell *cell, char *text);
/* Let it run exit and end; kill it if it takes too long. */
void weir__process_end(struct weir_cell *cell);
/* SIGTERM to all of its group; it itself learns which job is meant. */
void weir__process_tell(const struct weir_cell *cell, uint32_t seq);
/* A signal to all of its group. */
void weir__process_signal(const struct weir_cell *cell, int number);
/* It has ended, or is made to: tidy up, and fill in the cause. */
void weir__process_bury(struct weir_cell *cell, struct weir_cause *cause);
/* Has it grown too old, or too large? */
bool weir__process_is_worn(struct weir_cell *cell, int64_t now_ns);

/* flight.c */

/* Send as many as go at once, the first in any case; false: errno says why. */
bool weir__flight_send(struct weir_cell *cell, struct weir_flight *flight,
		       struct weir_call *calls, size_t count);
/* Take in what has been answered.  False: what came is no answer. */
bool weir__flight_collect(struct weir_cell *cell, struct weir_flight *flight);
/* Take back what the process has not taken. */
void weir__flight_take_back(struct weir_cell *cell, struct weir_flight *flight);
/* The number of the one that was begun and has not ended, if there is one. */
uint32_t weir__flight_running(const struct weir_flight *flight);
/*
 * Put those that were begun to the front, the one that has not ended last;
 * their number.
 */
size_t weir__flight_sort(struct weir_flight *flight);
/* Each that was begun and has not ended has died of this. */
void weir__flight_blame(struct weir_flight *flight, struct weir_cause *cause);

#endif
