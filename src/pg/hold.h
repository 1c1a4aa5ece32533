/* clang-format off */
/*
 * The hold lane: jobs that are locked and not written until they are done.
 *
 * A *hold* is a batch of available jobs, locked by an open transaction on a
 * connection of its own.  Nothing of them is written when they are claimed;
 * when all of them have ended, or PG_HOLD_NS later, one round trip writes what
 * has become of them, and commits:
 *
 *                  ┌── all have ended ──> completed, deleted, archived ──┐
 *   locked ──given─┤                                                     ├ COMMIT
 *                  └── too late ── the rest *spills*: running, as claimed┘
 *
 * What has spilled is finished like whatever was claimed.  If we die, or the
 * connection does, the server lets go of it all at once.
 */
/* clang-format on */
#ifndef WEIR_SRC_PG_HOLD_H
#define WEIR_SRC_PG_HOLD_H

#include "pg/turn.h"

#define PG_HOLDS      4
#define PG_HOLD_NS    (500 * WEIR_MS)
#define PG_LONG_NS    (60 * WEIR_S) /* a kind that spilled is not held for */
#define PG_HOLD_LEAST 16            /* less than that is not worth a hold */
#define PG_PARTS      2             /* holds that begin at once; a power of 2 */
#define PG_PARTS_FROM 512           /* jobs wanted */
#define PG_PART_BITS  8             /* of ids, that go together */
#define PG_LONG_MAX   64
#define PG_PLACES_MAX 32
#define PG_DOOMED_MAX 8
#define PG_NAME_MAX   128 /* kinds and queues, with their NUL */
#define PG_UNTOLD     SIZE_MAX

/*
 * What a client holds, for when it dies: ids and attempts, out of a batch.  Of
 * those rows it is those of its part, which are so many.
 */
struct pg_note {
	int64_t number;
	const weir_job_row *rows;
	size_t row_count, part, parts, count;
};

struct pg_hold_job {
	int64_t id, attempted_at_ms;
	size_t kind; /* where it stands in kinds */
	int policy;  /* a weir_finished_policy */
	size_t told; /* its finish in the turn under way, or PG_UNTOLD */
};

struct pg_hold {
	struct pg_link conn;

	/* guarded by conn.mu */
	bool open;
	bool trial;                     /* of a kind that was long */
	const struct weir_batch *batch; /* only compared */
	struct pg_hold_job *jobs;       /* by id */
	size_t count, room, told_count;
	struct weir_buf kinds;
	int64_t number, until_ns, client;
	char owner_text[PG_OWNER_MAX];

	/* guarded by holds.mu */
	int64_t owner; /* whose it is; 0: nobody's */
};

/* A kind that may not be held until then. */
struct pg_long {
	char kind[PG_NAME_MAX];
	int64_t until_ns;
	bool trying; /* it is time, and some of it are held */
};

/* How far the holds of a queue have come. */
struct pg_queue_place {
	char queue[PG_NAME_MAX];
	struct pg_place place;
};

struct pg_holds {
	struct pg_hold all[PG_HOLDS];

	struct weir_mutex mu; /* a leaf */

	/* guarded by mu */
	int64_t number;
	struct pg_long longs[PG_LONG_MAX];
	size_t long_count;
	struct pg_queue_place places[PG_PLACES_MAX];
	size_t place_count, place_at; /* with too many, the next to go */
	int64_t rest_at_ns;           /* look for what may not be held */
	int64_t rest_until_ns; /* there was some: look each time until then */
	/* Owners that have to enlist anew, the latest of them. */
	int64_t doomed[PG_DOOMED_MAX];
	size_t doomed_at;
	int64_t again_at_ns; /* a connection could not be made: not before */
	/* The last turn got enough for a hold; false at first. */
	bool plenty;
};

/* hold_turn.c: a turn with may_hold. */
weir_status weir__pg_hold_turn(struct pg_turn *t, weir_error *reterr);
/* A note of t, after the owner's row. */
void weir__pg_note_send(struct pg_turn *t, const struct pg_note *note)
	WEIR_REQUIRES(t->conn->mu);
/* Is that job one of a part? */
static inline bool
weir__pg_is_of_part(int64_t id, size_t part, size_t parts)
{
	return ((uint64_t)id >> PG_PART_BITS & (parts - 1)) == part;
}

/* hold.c: one that is free, which is the owner's then; or NULL. */
struct pg_hold *weir__pg_hold_take(struct pg_holds *holds, int64_t owner);
void weir__pg_hold_give_back(struct pg_holds *holds, struct pg_hold *hold);
/* Those that are the owner's. */
size_t weir__pg_holds_of(struct pg_holds *holds, int64_t owner,
			 struct pg_hold *rets[PG_HOLDS]);
/* Take all of the owner's back: what is held is available again. */
void weir__pg_holds_drop(struct weir_pg *store, int64_t owner);
/* Claim whatever is held together with one of these: somebody must see it. */
void weir__pg_holds_spill(struct weir_pg *store, const int64_t *ids,
			  size_t count, bool is_long);
/* In what follows conn is the hold's, and its mu is held. */
struct pg_hold_job *weir__pg_hold_find(const struct pg_hold *hold, int64_t id);
/* Let go of what it holds. */
void weir__pg_hold_abandon(struct pg_hold *hold, struct pg_link *conn)
	WEIR_REQUIRES(conn->mu);
/*
 * Delete the note of a hold whose connection or end has failed.  If it was
 * there, that end is not committed, nor will it be: each needs the note.  If
 * not, or if it cannot be asked, what was held may have been written, and its
 * owner is doomed: it enlists anew, which gives back what still runs.
 */
void weir__pg_hold_forget(struct weir_pg *store, int64_t client,
			  int64_t number);
void weir__pg_doom(struct pg_holds *holds, int64_t owner);
bool weir__pg_is_doomed(struct pg_holds *holds, int64_t owner);

/* Kinds; all take holds.mu. */
void weir__pg_long_note(struct pg_holds *holds, const char *kind);
void weir__pg_long_tried(struct pg_holds *holds, const char *kind,
			 bool spilled);

/* A trial that was not ended as it should be says nothing: another time. */
void weir__pg_trial_over(struct pg_holds *holds, const struct pg_hold *hold);

/* hold_end.c */
/* Send what ends it, through t, of which conn is the hold's.  NULL: no
 * finishes, all of it spills. */
void weir__pg_hold_send_end(struct pg_hold *hold, struct pg_turn *t,
			    const struct weir_finish *finishes)
	WEIR_REQUIRES(t->conn->mu);
void weir__pg_hold_send_begin(struct pg_turn *t) WEIR_REQUIRES(t->conn->mu);
/* It was committed: learn from what has spilled. */
void weir__pg_hold_learn(struct pg_holds *holds, const struct pg_hold *hold);
/* Nothing to write about: it was not begun. */
bool weir__pg_hold_is_untouched(const struct weir_finish *finish);

#endif
