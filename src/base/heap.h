/*
 * A binary heap of deadlines: the earliest is on top.
 *
 * Intrusive like the lists: an element carries its key and its place, so that
 * one in the middle can leave in O(log n).  The array of pointers is taken
 * once, for the most elements there can ever be; pushing cannot fail.
 */
#ifndef WEIR_SRC_BASE_HEAP_H
#define WEIR_SRC_BASE_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct weir_heap_node {
	int64_t key;  /* smaller is earlier; equal keys leave in any order */
	size_t place; /* index in the array + 1; 0 while in no heap */
};

struct weir_heap {
	struct weir_heap_node **nodes;
	size_t len, capacity;
};

/* Make room for capacity elements, keeping those inside. False: no memory. */
bool weir__heap_reserve(struct weir_heap *heap, size_t capacity);
void weir__heap_fini(struct weir_heap *heap);

/* There must be room, and node must be in no heap. */
void weir__heap_push(struct weir_heap *heap, struct weir_heap_node *node);

/* Take node out.  One that is in no heap is left alone. */
void weir__heap_remove(struct weir_heap *heap, struct weir_heap_node *node);

/* The earliest element, still inside, or NULL. */
static inline struct weir_heap_node *
weir__heap_top(const struct weir_heap *heap)
{
	return heap->len > 0 ? heap->nodes[0] : NULL;
}

#endif
