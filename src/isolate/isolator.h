/*
 * What the isolated workers of one pool share.
 */
#ifndef WEIR_SRC_ISOLATE_ISOLATOR_H
#define WEIR_SRC_ISOLATE_ISOLATOR_H

#include "core/isolated.h"
#include "isolate/brake.h"
#include "isolate/frame.h"
#include "sync/mutex.h"

struct weir_isolator {
	/* fixed at creation */
	struct weir_zygote *zygote;
	struct weir_worker_spec spec; /* but for the number of the worker */
	uint32_t workers;             /* as the pool was made; for the brake */

	/* below the pool's mu, with nothing below it */
	struct weir_mutex mu;

	/* guarded by mu */
	struct weir_brake brake;
	weir_isolate_stats stats;
};

extern const struct weir_isolator_ops weir__isolator_ops;

/* What a process comes to its end by. */
enum weir_end {
	WEIR_END_DIED,    /* by itself */
	WEIR_END_KILLED,  /* a job did not end when it had to */
	WEIR_END_RECYCLED /* in good order */
};

/* A process has started, or has come to its end after so many jobs. */
void weir__isolator_note_start(struct weir_isolator *isolator,
			       uint32_t sandbox);
void weir__isolator_note_end(struct weir_isolator *isolator, enum weir_end end,
			     uint64_t jobs);

/* How long to wait before the next process. */
int64_t weir__isolator_delay_ns(struct weir_isolator *isolator);

/* cell.c */
weir_status weir__cell_new(struct weir_isolator *isolator, uint32_t worker,
			   struct weir_cell **out);
void weir__cell_free(struct weir_cell *cell);
size_t weir__cell_run(struct weir_cell *cell, struct weir_call *calls,
		      size_t count, weir_ctx *ctx);
void weir__cell_finish(struct weir_cell *cell, struct weir_call *call,
		       weir_ctx *ctx);

#endif
