/*
 * Where claims begin to look; see cursor.c.
 */
#ifndef WEIR_SRC_PG_CURSOR_H
#define WEIR_SRC_PG_CURSOR_H

#include "pg/turn.h"

#define PG_PRIORITIES 4

bool weir__pg_cursors_new(struct weir_pg *store);
void weir__pg_cursors_free(struct weir_pg *store);

/* Before the claims of a turn: does it sweep, or go by the cursors? */
void weir__pg_cursor_begin(struct pg_turn *t);
/* From when on jobs of that queue and priority are looked at; or no time. */
int64_t weir__pg_cursor_since(const struct pg_turn *t, const char *queue,
			      int priority);

/* What a want has got: of each priority the earliest, and whether any. */
struct pg_got {
	const char *queue;
	uint32_t most, count;
	bool has[PG_PRIORITIES];
	int64_t first_ms[PG_PRIORITIES];
	const struct pg_place *before; /* it looked no further; or NULL */
};
void weir__pg_cursor_note(struct pg_turn *t, const struct pg_got *got);
/* After all of them: is it worth while? */
void weir__pg_cursor_end(struct pg_turn *t, size_t claimed);

/* Is it time for a sweep, which nobody has made? */
bool weir__pg_cursor_is_due(struct weir_pg *store);
/* For tests: a sweep that takes as long as that is slow. */
void weir__pg_cursor_allow(struct weir_pg *store, int64_t ns);

#endif
