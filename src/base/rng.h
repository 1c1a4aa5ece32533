/*
 * A small pseudo-random generator: splitmix64 (Steele, Lea and Flood, "Fast
 * splittable pseudorandom number generators", 2014).
 *
 * For jitter, sampling and tests; never for secrets.  Seeding is the caller's,
 * so that a test can have the same numbers twice.  One word of state, any seed
 * is as good as another, and neighbouring seeds give unrelated sequences:
 * each worker may simply use the pool's seed plus its own index.  Nothing
 * locks; a generator belongs to one thread.
 */
#ifndef WEIR_SRC_BASE_RNG_H
#define WEIR_SRC_BASE_RNG_H

#include "base/assert.h"

#include <stdint.h>

struct weir_rng {
	uint64_t state;
};

static inline void
weir__rng_seed(struct weir_rng *rng, uint64_t seed)
{
	rng->state = seed;
}

static inline uint64_t
weir__rng_next(struct weir_rng *rng)
{
	uint64_t z = rng->state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

/* In [0, 1): the 53 bits that a double can hold, never rounded up to 1. */
static inline double
weir__rng_unit(struct weir_rng *rng)
{
	return (double)(weir__rng_next(rng) >> 11) * 0x1p-53;
}

/*
 * In [0, n), each value exactly as likely: the few numbers at the bottom that
 * would make low values more frequent are thrown away.
 */
static inline uint64_t
weir__rng_below(struct weir_rng *rng, uint64_t n)
{
	uint64_t x;

	weir_assert(n > 0);
	do
		x = weir__rng_next(rng);
	while (x < -n % n);
	return x % n;
}

#endif
