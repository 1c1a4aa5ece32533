/*
 * What was seen before, and whether it was ok: a table of hashes.
 *
 * Kept are eight bytes for each thing: 63 bits of its hash, which should be
 * keyed (hash.h), and a bit that says "ok".  A thousand million things would
 * have to be looked up before two are taken for one with a chance of one in
 * ten.  What was ok once stays ok, whatever came before or after.
 */
#ifndef WEIR_SRC_BASE_SEEN_H
#define WEIR_SRC_BASE_SEEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A zeroed one is empty. */
struct weir_seen {
	uint64_t *words;
	size_t len, cap;
};

enum weir_seen_before {
	WEIR_SEEN_NOT,
	WEIR_SEEN_OK,
	WEIR_SEEN_FAILED,
};

/* Add it, or make it ok.  False: no memory, and nothing has changed. */
bool weir__seen_note(struct weir_seen *seen, uint64_t hash, bool ok);

enum weir_seen_before weir__seen_find(const struct weir_seen *seen,
				      uint64_t hash);

/* If it was seen, it is ok from now on. */
void weir__seen_settle(struct weir_seen *seen, uint64_t hash);

void weir__seen_fini(struct weir_seen *seen);

#endif
