/*
 * What the site remembers of an ID: how often it was asked for.
 *
 * "The first request fails, the next succeeds" needs a memory, and a memory
 * that clients fill must have a bound: the newest IDS_MAX are kept, the
 * oldest forgotten.
 */
#ifndef WEIR_EXAMPLES_SITE_IDS_H
#define WEIR_EXAMPLES_SITE_IDS_H

#include "text.h"

#define IDS_MAX 65536u

struct ids;

struct ids *ids_new(uint64_t seed);
void ids_free(struct ids *ids);

/* How often key was counted before this time. */
uint32_t ids_count(struct ids *ids, struct slice key);
void ids_forget(struct ids *ids);

/* A good mixer of 64 bits, used wherever something should look random. */
uint64_t mix64(uint64_t x);

#endif
