/*
 * Memory that is given back all at once.
 *
 * Pieces are cut off chunks that grow, so that a thousand small ones cost a
 * few calls of malloc() and one of weir__arena_fini().  A piece stays where it
 * is.  A zeroed struct is an empty arena.
 */
#ifndef WEIR_SRC_BASE_ARENA_H
#define WEIR_SRC_BASE_ARENA_H

#include <stddef.h>

struct weir_arena_chunk;

struct weir_arena {
	struct weir_arena_chunk *chunks; /* the latest first */
	char *at;                        /* what is free in that one */
	size_t left;
};

/* size bytes, not zeroed, aligned for anything.  NULL: no memory. */
void *weir__arena_take(struct weir_arena *arena, size_t size);

/* All of it goes back; the arena is empty and may be used again. */
void weir__arena_fini(struct weir_arena *arena);

#endif
