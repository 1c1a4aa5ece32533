/*
 * Chunks of memory, each twice as large as the one before it up to a bound;
 * see arena.h.
 */
#include "base/arena.h"

#include "base/assert.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#define CHUNK_LEAST 1024
#define CHUNK_MOST  (256 * 1024)

struct weir_arena_chunk {
	struct weir_arena_chunk *next;
	size_t size; /* of data */
	_Alignas(max_align_t) char data[];
};

/* The latest chunk gets to be one with room for size. */
static bool
arena_grow(struct weir_arena *arena, size_t size)
{
	struct weir_arena_chunk *chunk;
	size_t room = CHUNK_LEAST;

	if (arena->chunks)
		room = arena->chunks->size * 2;
	if (room > CHUNK_MOST)
		room = CHUNK_MOST;
	if (room < size)
		room = size;
	chunk = malloc(sizeof(*chunk) + room);
	if (!chunk)
		return false;
	chunk->next = arena->chunks;
	chunk->size = room;
	arena->chunks = chunk;
	arena->at = chunk->data;
	arena->left = room;
	return true;
}

void *
weir__arena_take(struct weir_arena *arena, size_t size)
{
	const size_t unit = _Alignof(max_align_t);
	void *piece;

	/* No object is larger, and sums of sizes below do not overflow. */
	if (size > PTRDIFF_MAX - CHUNK_MOST)
		return NULL;
	/* A piece of nothing is a piece all the same, for NULL says no. */
	size = size == 0 ? unit : (size + unit - 1) / unit * unit;
	if (size > arena->left && !arena_grow(arena, size))
		return NULL;
	weir_assert(arena->left >= size);
	piece = arena->at;
	arena->at += size;
	arena->left -= size;
	return piece;
}

void
weir__arena_fini(struct weir_arena *arena)
{
	while (arena->chunks) {
		struct weir_arena_chunk *chunk = arena->chunks;

		arena->chunks = chunk->next;
		free(chunk);
	}
	*arena = (struct weir_arena){0};
}
