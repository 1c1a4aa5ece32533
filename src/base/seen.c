/*
 * A table of hashes; see seen.h.
 *
 * Design: open addressing with linear probing over words of 64 bits, of which
 * the lowest says "ok" and the rest are the hash; 0 is an empty place.  The
 * table doubles when it is two thirds full.
 *
 *      | hash, 63 bits | ok |
 */
#include "base/seen.h"

#include <stdlib.h>

#define OK_BIT  UINT64_C(1)
#define CAP_MIN 1024 /* a power of two, as every cap is */

/* Hash and bit share a word: the hash without its bit, and never 0. */
static uint64_t
word_of(uint64_t hash)
{
	hash &= ~OK_BIT;
	return hash ? hash : 2;
}

/* The place of a word: where it stands, or where it would go. */
static size_t
place_of(const struct weir_seen *seen, uint64_t word)
{
	size_t i = (size_t)(word >> 1) & (seen->cap - 1);

	while (seen->words[i] && (seen->words[i] & ~OK_BIT) != word)
		i = (i + 1) & (seen->cap - 1);
	return i;
}

static bool
grow(struct weir_seen *seen)
{
	struct weir_seen bigger = {
		.len = seen->len,
		.cap = seen->cap ? seen->cap * 2 : CAP_MIN,
	};

	bigger.words = calloc(bigger.cap, sizeof(*bigger.words));
	if (!bigger.words)
		return false;
	for (size_t i = 0; i < seen->cap; i++)
		if (seen->words[i])
			bigger.words[place_of(&bigger,
					      seen->words[i] & ~OK_BIT)] =
				seen->words[i];
	free(seen->words);
	*seen = bigger;
	return true;
}

bool
weir__seen_note(struct weir_seen *seen, uint64_t hash, bool ok)
{
	size_t i;

	if (seen->len * 3 >= seen->cap * 2 && !grow(seen))
		return false;
	i = place_of(seen, word_of(hash));
	if (seen->words[i] == 0) {
		seen->words[i] = word_of(hash);
		seen->len++;
	}
	if (ok)
		seen->words[i] |= OK_BIT;
	return true;
}

enum weir_seen_before
weir__seen_find(const struct weir_seen *seen, uint64_t hash)
{
	uint64_t word =
		seen->cap ? seen->words[place_of(seen, word_of(hash))] : 0;

	if (!word)
		return WEIR_SEEN_NOT;
	return word & OK_BIT ? WEIR_SEEN_OK : WEIR_SEEN_FAILED;
}

void
weir__seen_settle(struct weir_seen *seen, uint64_t hash)
{
	if (weir__seen_find(seen, hash) == WEIR_SEEN_FAILED)
		seen->words[place_of(seen, word_of(hash))] |= OK_BIT;
}

void
weir__seen_fini(struct weir_seen *seen)
{
	free(seen->words);
	*seen = (struct weir_seen){0};
}
