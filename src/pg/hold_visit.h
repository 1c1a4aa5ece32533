/*
 * A visit of a work that lets us hold, as hold_turn.c, hold_match.c and
 * hold_begin.c share it.
 */
#ifndef WEIR_SRC_PG_HOLD_VISIT_H
#define WEIR_SRC_PG_HOLD_VISIT_H

#include "pg/hold.h"

struct pg_visit {
	struct pg_turn *t; /* the turn as it was given */
	struct weir_turn *turn;
	struct pg_holds *holds;

	/* Finishes: whose, by their place; those that are not held. */
	unsigned char *holder; /* 1 + the place in mine; 0: not held */
	struct weir_finish *rest;
	struct weir_finished *rest_done;
	size_t *rest_at;
	size_t rest_count;

	struct pg_hold *mine[PG_HOLDS];
	bool ends[PG_HOLDS];
	size_t mine_count;
	bool must_tell; /* something has ended, so this turn cannot fail */

	/* Claims: what is still wanted of each want. */
	struct weir_want *wants;
	size_t want_count;
	struct pg_hold *next[PG_PARTS]; /* are, or are to be, new holds */
	size_t part_count;              /* of them; with one that is all */
	int64_t numbers[PG_PARTS];
	size_t counts[PG_PARTS]; /* what is in each */
	const char *try_kind;    /* it is a trial of that kind */
	size_t first, count;     /* of the gathered rows: what they hold */
	size_t half;             /* what was gathered of one part first */
	int *policies;           /* of these */
	int64_t begun_ns;
	struct pg_note notes[PG_PARTS];

	char long_names[PG_LONG_MAX][PG_NAME_MAX];
	const char *long_kinds[PG_LONG_MAX];
	size_t long_count;
};

/* hold_turn.c: a turn of what is still wanted, for one connection's part. */
struct weir_turn weir__pg_visit_part(const struct pg_visit *v);
struct pg_turn weir__pg_visit_turn(const struct pg_visit *v,
				   struct weir_turn *part,
				   struct pg_link *conn);
void weir__pg_visit_take(struct pg_visit *v, const struct weir_turn *part);
size_t weir__pg_visit_wanted(const struct pg_visit *v);

/* hold_exchange.c: end and begin what is to be ended and begun. */
void weir__pg_visit_exchange(struct pg_visit *v);
/* What was begun is not to be after all. */
void weir__pg_visit_drop(struct pg_visit *v);

/* hold_match.c: find out which finishes are of which hold, and which of those
 * are to be ended. */
void weir__pg_visit_match(struct pg_visit *v);
/* Those of no hold are the rest; those of a hold that goes on are BUSY. */
void weir__pg_visit_sort(struct pg_visit *v);
/* What was told of the hold at that place has come to nothing. */
void weir__pg_visit_lost(struct pg_visit *v, size_t at, weir_status status);
/* It was ended: some are told, and others are of the rest. */
void weir__pg_visit_ended(struct pg_visit *v, size_t at);
/* What was said of the rest, where that comes from. */
void weir__pg_visit_spread(struct pg_visit *v);

/* hold_begin.c: make the batch, and the hold of its part.  False: no memory. */
bool weir__pg_visit_hand_out(struct pg_visit *v);

#endif
