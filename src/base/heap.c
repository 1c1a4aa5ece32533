/*
 * The binary heap of heap.h.  Children of i are 2i+1 and 2i+2; no element has
 * a smaller key than its parent.
 */
#include "base/heap.h"
#include "base/assert.h"

#include <stdlib.h>

bool
weir__heap_reserve(struct weir_heap *heap, size_t capacity)
{
	struct weir_heap_node **nodes;

	if (capacity <= heap->capacity)
		return true;
	if (capacity > SIZE_MAX / sizeof(struct weir_heap_node *))
		return false;
	nodes = realloc(heap->nodes,
			capacity * sizeof(struct weir_heap_node *));
	if (!nodes)
		return false;
	heap->nodes = nodes;
	heap->capacity = capacity;
	return true;
}

/* An element left inside would go on believing that it is in a heap. */
void
weir__heap_fini(struct weir_heap *heap)
{
	weir_assert(heap->len == 0);
	free(heap->nodes);
	*heap = (struct weir_heap){0};
}

static void
heap_put(struct weir_heap *heap, size_t i, struct weir_heap_node *node)
{
	heap->nodes[i] = node;
	node->place = i + 1;
}

/* Move node from the hole at i up to where its parent is not later. */
static void
heap_sift_up(struct weir_heap *heap, size_t i, struct weir_heap_node *node)
{
	while (i > 0 && heap->nodes[(i - 1) / 2]->key > node->key) {
		heap_put(heap, i, heap->nodes[(i - 1) / 2]);
		i = (i - 1) / 2;
	}
	heap_put(heap, i, node);
}

/* Move node from the hole at i down to where no child is earlier. */
static void
heap_sift_down(struct weir_heap *heap, size_t i, struct weir_heap_node *node)
{
	for (;;) {
		size_t child = 2 * i + 1;

		if (child >= heap->len)
			break;
		if (child + 1 < heap->len &&
		    heap->nodes[child + 1]->key < heap->nodes[child]->key)
			child++;
		if (heap->nodes[child]->key >= node->key)
			break;
		heap_put(heap, i, heap->nodes[child]);
		i = child;
	}
	heap_put(heap, i, node);
}

void
weir__heap_push(struct weir_heap *heap, struct weir_heap_node *node)
{
	weir_assert(heap->len < heap->capacity);
	weir_assert(node->place == 0);
	heap->len++;
	heap_sift_up(heap, heap->len - 1, node);
}

void
weir__heap_remove(struct weir_heap *heap, struct weir_heap_node *node)
{
	struct weir_heap_node *last;
	size_t i = node->place - 1;

	if (node->place == 0)
		return;
	weir_assert(i < heap->len && heap->nodes[i] == node);
	node->place = 0;
	last = heap->nodes[--heap->len];
	if (last == node)
		return;
	/*
	 * The last element fills the hole.  It comes from another branch, so
	 * it may be earlier than the parent here as well as later than a child.
	 */
	if (i > 0 && heap->nodes[(i - 1) / 2]->key > last->key)
		heap_sift_up(heap, i, last);
	else
		heap_sift_down(heap, i, last);
}
