/*
 * The memory of ids.h.
 *
 * Design: a ring of entries in order of arrival, and a chained hash table of
 * indices into it.
 *
 *      ring   [ e7 | e8 | e3 | e4 | e5 | e6 ]
 *                         ^ next: the oldest, taken over by the next new key
 *
 * Keys are stored as 64-bit hashes only.  Two of 65536 keys collide about
 * once in 10^10 runs, and then a test sees a 200 too early: fine for a test
 * site, and it makes the memory independent of how long the keys are.
 */
#include "ids.h"
#include "base/assert.h"

#include <stdlib.h>
#include <string.h>

#define BUCKETS (2 * IDS_MAX)
/* Indices are kept + 1, so that zeroed memory is an empty table. */
#define NONE 0u

struct entry {
	uint64_t hash;
	uint32_t count; /* 0: never used */
	uint32_t chain; /* the next entry of the same bucket + 1 */
};

struct ids {
	uint64_t seed;
	uint32_t next;
	uint32_t buckets[BUCKETS];
	struct entry ring[IDS_MAX];
};

uint64_t
mix64(uint64_t x)
{
	x += 0x9e3779b97f4a7c15u;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
	return x ^ (x >> 31);
}

static uint64_t
hash_key(uint64_t seed, struct slice key)
{
	uint64_t h = mix64(seed);

	for (size_t i = 0; i < key.len; i++)
		h = (h ^ (unsigned char)key.data[i]) * 0x100000001b3u;
	return mix64(h);
}

struct ids *
ids_new(uint64_t seed)
{
	struct ids *ids = calloc(1, sizeof(*ids));

	if (ids)
		ids->seed = seed;
	return ids;
}

void
ids_free(struct ids *ids)
{
	free(ids);
}

static uint32_t *
bucket_of(struct ids *ids, uint64_t hash)
{
	return &ids->buckets[hash % BUCKETS];
}

static struct entry *
find(struct ids *ids, uint64_t hash)
{
	for (uint32_t i = *bucket_of(ids, hash); i != NONE;
	     i = ids->ring[i - 1].chain)
		if (ids->ring[i - 1].hash == hash)
			return &ids->ring[i - 1];
	return NULL;
}

/* Take the entry at index out of its bucket's chain. */
static void
unchain(struct ids *ids, uint32_t index)
{
	uint32_t *link = bucket_of(ids, ids->ring[index].hash);

	while (*link != index + 1) {
		weir_assert(*link != NONE);
		link = &ids->ring[*link - 1].chain;
	}
	*link = ids->ring[index].chain;
}

static struct entry *
add(struct ids *ids, uint64_t hash)
{
	uint32_t index = ids->next;
	struct entry *e = &ids->ring[index];

	ids->next = (ids->next + 1) % IDS_MAX;
	if (e->count > 0)
		unchain(ids, index);
	e->hash = hash;
	e->count = 0;
	e->chain = *bucket_of(ids, hash);
	*bucket_of(ids, hash) = index + 1;
	return e;
}

uint32_t
ids_count(struct ids *ids, struct slice key)
{
	uint64_t hash = hash_key(ids->seed, key);
	struct entry *e = find(ids, hash);

	if (!e)
		e = add(ids, hash);
	if (e->count < UINT32_MAX)
		e->count++;
	return e->count - 1;
}

void
ids_forget(struct ids *ids)
{
	uint64_t seed = ids->seed;

	memset(ids, 0, sizeof(*ids));
	ids->seed = seed;
}
