/*
 * A log-linear histogram; see hist.h.
 *
 * Design: a value below 128 is its own bucket.  Above that the highest bit
 * chooses the doubling and the WEIR_HIST_BITS bits behind it the step, so
 * finding the bucket is a shift:
 *
 *      1000 = 1 111101 000b      doubling of bit 9, step 111101b, 8 wide
 */
#include "base/hist.h"
#include "base/assert.h"

#include <stddef.h>

#define STEPS (INT64_C(1) << WEIR_HIST_BITS)

/* How many low bits of value its bucket does not tell apart. */
static unsigned
shift_of(int64_t value)
{
	unsigned top = 63 - (unsigned)__builtin_clzll((uint64_t)value | 1);

	return top > WEIR_HIST_BITS ? top - WEIR_HIST_BITS : 0;
}

static size_t
bucket_of(int64_t value)
{
	unsigned shift = shift_of(value);
	size_t at =
		(size_t)(value >> shift) + ((size_t)shift << WEIR_HIST_BITS);

	weir_assert(at < WEIR_HIST_BUCKETS);
	return at;
}

/* The middle of a bucket: the inverse of bucket_of(). */
static int64_t
value_of(size_t at)
{
	unsigned shift = 0;

	if (at >= 2 * (size_t)STEPS) {
		shift = (unsigned)(at >> WEIR_HIST_BITS) - 1;
		at -= (size_t)shift << WEIR_HIST_BITS;
	}
	return ((int64_t)at << shift) + ((INT64_C(1) << shift) >> 1);
}

void
weir__hist_add(struct weir_hist *h, int64_t value)
{
	if (value < 0)
		value = 0;
	if (value > WEIR_HIST_MAX)
		value = WEIR_HIST_MAX;
	if (h->count == 0 || value < h->min)
		h->min = value;
	if (h->count == 0 || value > h->max)
		h->max = value;
	h->count++;
	h->buckets[bucket_of(value)]++;
}

void
weir__hist_merge(struct weir_hist *h, const struct weir_hist *from)
{
	if (from->count == 0)
		return;
	if (h->count == 0 || from->min < h->min)
		h->min = from->min;
	if (h->count == 0 || from->max > h->max)
		h->max = from->max;
	h->count += from->count;
	for (size_t i = 0; i < WEIR_HIST_BUCKETS; i++)
		h->buckets[i] += from->buckets[i];
}

int64_t
weir__hist_quantile(const struct weir_hist *h, double q)
{
	uint64_t rank, seen = 0;
	size_t i = 0;
	int64_t value;

	if (h->count == 0)
		return 0;
	if (q <= 0)
		return h->min;
	if (q >= 1)
		return h->max;
	/* The rank-th smallest, from 1: the share, rounded up. */
	rank = (uint64_t)(q * (double)h->count);
	if ((double)rank < q * (double)h->count)
		rank++;
	if (rank > h->count)
		rank = h->count;
	while (i < WEIR_HIST_BUCKETS && seen + h->buckets[i] < rank)
		seen += h->buckets[i++];
	weir_assert(i < WEIR_HIST_BUCKETS);
	value = value_of(i);
	if (value < h->min)
		return h->min;
	return value > h->max ? h->max : value;
}
