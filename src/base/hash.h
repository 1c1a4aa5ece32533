/*
 * A keyed hash, for tables whose keys come from outside.
 *
 * With a key that is random and kept, nobody can choose inputs that all land
 * in one bucket.  The value is the same on every machine for the same key, but
 * nothing may store it: it is no checksum and no identity.
 */
#ifndef WEIR_SRC_BASE_HASH_H
#define WEIR_SRC_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

/* SipHash-2-4.  data may be NULL when len is 0. */
uint64_t weir__hash64(const uint64_t key[2], const void *data, size_t len);

#endif
