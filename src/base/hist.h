/*
 * A histogram of fixed size, for quantiles.
 *
 * Values from 0 to 2^48 - 1 (nanoseconds: three days) are counted in buckets
 * that are log-linear, after HdrHistogram: 64 equal steps for each doubling.
 * So every value is known to better than 1 % (1/128 to either side), a record
 * is an increment, and nothing is allocated.  Larger values count as the
 * largest.
 *
 *      values     0 .. 127   one bucket each
 *      values   128 .. 255   64 buckets of 2
 *      values   256 .. 511   64 buckets of 4
 *      ...
 *
 * A zeroed struct is empty.  Nothing locks; merge one per thread.
 */
#ifndef WEIR_SRC_BASE_HIST_H
#define WEIR_SRC_BASE_HIST_H

#include <stdint.h>

#define WEIR_HIST_BITS    6 /* 2^6 steps for each doubling */
#define WEIR_HIST_MAX     ((INT64_C(1) << 48) - 1)
#define WEIR_HIST_BUCKETS ((48 - WEIR_HIST_BITS + 1) << WEIR_HIST_BITS)

struct weir_hist {
	uint64_t count;
	int64_t min, max; /* exact; 0 while count is 0 */
	uint64_t buckets[WEIR_HIST_BUCKETS];
};

/* Count value once; a negative one counts as 0. */
void weir__hist_add(struct weir_hist *h, int64_t value);

/* Count everything that from counts, too. */
void weir__hist_merge(struct weir_hist *h, const struct weir_hist *from);

/*
 * The value that a share q of all values (0 to 1) do not exceed, to 1 %.  0
 * gives the smallest and 1 the largest, exactly.  0 while it is empty.
 */
int64_t weir__hist_quantile(const struct weir_hist *h, double q);

#endif
