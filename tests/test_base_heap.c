#include "base/heap.h"
#include "base/rng.h"
#include "harness.h"

#include <string.h>

enum { NODES = 200 };

/* The model: the keys that are inside, sorted, smallest first. */
struct model {
	int64_t keys[NODES];
	size_t len;
};

static void
model_insert(struct model *m, int64_t key)
{
	size_t i = m->len++;

	for (; i > 0 && m->keys[i - 1] > key; i--)
		m->keys[i] = m->keys[i - 1];
	m->keys[i] = key;
}

static void
model_remove(struct model *m, int64_t key)
{
	size_t i = 0;

	while (m->keys[i] != key)
		i++;
	m->len--;
	memmove(m->keys + i, m->keys + i + 1,
		(m->len - i) * sizeof(m->keys[0]));
}

static void
check_against(const struct weir_heap *heap, const struct model *m)
{
	const struct weir_heap_node *top = weir__heap_top(heap);

	REQUIRE(heap->len == m->len);
	REQUIRE(!top == (m->len == 0));
	REQUIRE(!top || top->key == m->keys[0]);
	for (size_t i = 0; i < heap->len; i++)
		REQUIRE(heap->nodes[i]->place == i + 1);
}

TEST(heap, agrees_with_a_sorted_array_under_random_operations)
{
	struct weir_heap_node nodes[NODES] = {0};
	struct weir_heap heap = {0};
	struct model model = {0};
	struct weir_rng rng;

	weir__rng_seed(&rng, test_seed());
	REQUIRE(weir__heap_reserve(&heap, NODES));
	for (int step = 0; step < 20000; step++) {
		struct weir_heap_node *n = &nodes[weir__rng_below(&rng, NODES)];

		if (n->place == 0) {
			/* Few keys, so that many are equal. */
			n->key = (int64_t)weir__rng_below(&rng, 50) - 25;
			weir__heap_push(&heap, n);
			model_insert(&model, n->key);
		} else {
			if (weir__rng_below(&rng, 2))
				n = weir__heap_top(&heap);
			weir__heap_remove(&heap, n);
			model_remove(&model, n->key);
			REQUIRE(n->place == 0);
		}
		check_against(&heap, &model);
	}
	while (weir__heap_top(&heap))
		weir__heap_remove(&heap, weir__heap_top(&heap));
	weir__heap_fini(&heap);
}

TEST(heap, gives_the_extreme_keys_in_order)
{
	struct weir_heap_node last = {.key = INT64_MAX};
	struct weir_heap_node first = {.key = INT64_MIN};
	struct weir_heap heap = {0};

	REQUIRE(weir__heap_reserve(&heap, 2));
	weir__heap_push(&heap, &last);
	weir__heap_push(&heap, &first);
	CHECK(weir__heap_top(&heap) == &first);
	weir__heap_remove(&heap, &first);
	CHECK(weir__heap_top(&heap) == &last);
	weir__heap_remove(&heap, &last);
	CHECK(weir__heap_top(&heap) == NULL);
	weir__heap_fini(&heap);
}

TEST(heap, leaves_alone_a_node_that_is_outside)
{
	struct weir_heap_node in = {.key = 1}, out = {.key = 2};
	struct weir_heap heap = {0};

	REQUIRE(weir__heap_reserve(&heap, 1));
	weir__heap_push(&heap, &in);
	weir__heap_remove(&heap, &out);
	CHECK_EQ_INT(heap.len, 1);
	weir__heap_remove(&heap, &in);
	weir__heap_fini(&heap);
}

TEST(heap, reserving_keeps_what_is_inside)
{
	struct weir_heap_node nodes[3] = {{.key = 3}, {.key = 1}, {.key = 2}};
	struct weir_heap heap = {0};

	for (size_t i = 0; i < 3; i++) {
		REQUIRE(weir__heap_reserve(&heap, i + 1));
		weir__heap_push(&heap, &nodes[i]);
	}
	CHECK(!weir__heap_reserve(&heap, SIZE_MAX));
	for (int64_t key = 1; key <= 3; key++) {
		REQUIRE(weir__heap_top(&heap));
		CHECK_EQ_INT(weir__heap_top(&heap)->key, key);
		weir__heap_remove(&heap, weir__heap_top(&heap));
	}
	weir__heap_fini(&heap);
}
