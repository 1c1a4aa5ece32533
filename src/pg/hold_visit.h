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
	bool committed; /* something was, so this turn cannot fail */

	/* Claims: what is still wanted of each want. */
	struct weir_want *wants;
	size_t want_count;
	struct pg_hold *next; /* is, or is to be, a new hold */
	const char *try_kind; /* it is a trial of that kind */
	bool is_held;         /* there is something in it */
	size_t first, count;  /* of the gathered rows: what it holds */
	int *policies;
	int64_t begun_ns, number;
	struct pg_note note;

	char long_names[PG_LONG_MAX][PG_NAME_MAX];
	const char *long_kinds[PG_LONG_MAX];
	size_t long_count;
};

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
