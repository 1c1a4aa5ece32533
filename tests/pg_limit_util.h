/*
 * What the tests of limits share: limits set, jobs claimed.
 */
#ifndef WEIR_TESTS_PG_LIMIT_UTIL_H
#define WEIR_TESTS_PG_LIMIT_UTIL_H

#include "pg/limit.h"
#include "pg_by_hand.h"

void set(weir_store *store, const char *kind, uint32_t most, double rate,
	 uint32_t burst);
/* Set, and in force: everybody has heard of it. */
void limit(weir_store *store, const char *kind, uint32_t most);
void put_many(weir_store *store, const char *kind, size_t count);

/* The ids that a turn claims, of "default"; and what it has said. */
const char *claim_with(weir_store *store, struct weir_owner *owner,
		       uint32_t count, uint32_t slots);
const char *claim(weir_store *store, struct weir_owner *owner, uint32_t count);
extern struct weir_turn last;

/* Whoever has not heard of limits learns of them with its first turn. */
struct weir_owner *enlist(weir_store *store, const char *name);

#endif
