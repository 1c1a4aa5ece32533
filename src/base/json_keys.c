/*
 * Keys, compared; see json_keys.h.
 */
#include "base/json_keys.h"

#include "base/assert.h"
#include "base/json_text.h"

#include <stdlib.h>
#include <string.h>

/* Keys of an object that are compared one with each other. */
#define KEYS_FEW 12

void
weir__json_keys_init(struct weir_json_keys *keys, const char *text)
{
	/* Not all of it is set: that would take longer than most texts. */
	keys->text = text;
	keys->keys = keys->few;
	keys->count = 0;
	keys->room = WEIR_JSON_KEYS_INLINE;
}

void
weir__json_keys_fini(struct weir_json_keys *keys)
{
	if (keys->keys != keys->few)
		free(keys->keys);
	keys->keys = keys->few;
	keys->count = 0;
}

static int
compare(const struct weir_json_keys *keys, const struct weir_json_key *a,
	const struct weir_json_key *b)
{
	if (a->prefix != b->prefix)
		return a->prefix < b->prefix ? -1 : 1;
	if ((a->prefix & 0xff) == 0) /* all of it is there */
		return 0;
	return weir__json_text_compare(keys->text + a->at, a->len,
				       keys->text + b->at, b->len);
}

/* Does a come before b?  Equal ones stand as in the text. */
static bool
is_before(const struct weir_json_keys *keys, const struct weir_json_key *a,
	  const struct weir_json_key *b)
{
	int order = compare(keys, a, b);

	return order < 0 || (order == 0 && a->at < b->at);
}

/* Let the key at i sink in the heap of n, of which the last one is on top. */
static void
sink(const struct weir_json_keys *keys, struct weir_json_key *heap, uint32_t i,
     uint32_t n)
{
	struct weir_json_key key = heap[i];

	for (uint32_t child; (child = 2 * i + 1) < n; i = child) {
		if (child + 1 < n &&
		    is_before(keys, &heap[child], &heap[child + 1]))
			child++;
		if (!is_before(keys, &key, &heap[child]))
			break;
		heap[i] = heap[child];
	}
	heap[i] = key;
}

/* A heap sort: qsort() may take memory, or n^2 steps. */
static void
sort(const struct weir_json_keys *keys, struct weir_json_key *heap, uint32_t n)
{
	for (uint32_t i = n / 2; i-- > 0;)
		sink(keys, heap, i, n);
	for (uint32_t left = n; left-- > 1;) {
		struct weir_json_key last = heap[0];

		heap[0] = heap[left];
		heap[left] = last;
		sink(keys, heap, 0, left);
	}
}

static bool
keys_grow(struct weir_json_keys *keys)
{
	uint32_t room = keys->room * 2;
	struct weir_json_key *more;

	if (keys->room > UINT32_MAX / 4)
		return false;
	more = realloc(keys->keys == keys->few ? NULL : keys->keys,
		       room * sizeof(*more));
	if (!more)
		return false;
	if (keys->keys == keys->few)
		memcpy(more, keys->few, sizeof(keys->few));
	keys->keys = more;
	keys->room = room;
	return true;
}

static uint64_t
prefix_of(const char *at, size_t len, bool plain)
{
	struct weir_json_text text;
	uint64_t prefix = 0;

	if (plain) {
		for (size_t i = 0; i < 8 && i < len; i++)
			prefix |= (uint64_t)(unsigned char)at[i]
				  << (56 - 8 * i);
		return prefix;
	}
	weir__json_text_init(&text, at, len);
	for (int shift = 56; shift >= 0; shift -= 8)
		prefix |= (uint64_t)weir__json_text_next(&text) << shift;
	return prefix;
}

enum weir_json_keys_verdict
weir__json_keys_add(struct weir_json_keys *keys, uint32_t base, const char *at,
		    size_t len, bool plain, struct weir_json_key *ret_second)
{
	struct weir_json_key key = {.prefix = prefix_of(at, len, plain),
				    .at = (uint32_t)(at - keys->text),
				    .len = (uint32_t)len};

	weir_assert(base <= keys->count && keys->count <= keys->room);
	if (keys->count - base < KEYS_FEW)
		for (uint32_t i = base; i < keys->count; i++)
			if (compare(keys, &keys->keys[i], &key) == 0) {
				*ret_second = key;
				return WEIR_JSON_KEYS_TWICE;
			}
	if (keys->count == keys->room && !keys_grow(keys))
		return WEIR_JSON_KEYS_NOMEM;
	keys->keys[keys->count++] = key;
	return WEIR_JSON_KEYS_GOOD;
}

enum weir_json_keys_verdict
weir__json_keys_close(struct weir_json_keys *keys, uint32_t base,
		      struct weir_json_key *ret_second)
{
	struct weir_json_key *ours = keys->keys + base;
	const struct weir_json_key *second = NULL;
	uint32_t n = keys->count - base;

	weir_assert(base <= keys->count);
	keys->count = base;
	if (n <= KEYS_FEW)
		return WEIR_JSON_KEYS_GOOD;
	sort(keys, ours, n);
	for (uint32_t i = 1; i < n; i++)
		if (compare(keys, &ours[i - 1], &ours[i]) == 0 &&
		    (!second || ours[i].at < second->at))
			second = &ours[i];
	if (!second)
		return WEIR_JSON_KEYS_GOOD;
	*ret_second = *second;
	return WEIR_JSON_KEYS_TWICE;
}
