#include "base/hist.h"
#include "base/rng.h"
#include "harness.h"

#include <stdlib.h>

static struct weir_hist h, other;

/* Is got within 1 % of what it should be? */
static bool
near(int64_t got, int64_t want)
{
	int64_t off = got > want ? got - want : want - got;

	return CHECK_MSG(off * 100 <= want, "%jd is not near %jd",
			 (intmax_t)got, (intmax_t)want);
}

TEST(hist, is_empty_when_zeroed)
{
	CHECK_EQ_INT(weir__hist_quantile(&h, 0), 0);
	CHECK_EQ_INT(weir__hist_quantile(&h, 0.5), 0);
	CHECK_EQ_INT(weir__hist_quantile(&h, 1), 0);
}

TEST(hist, keeps_small_values_exactly)
{
	for (int64_t v = 0; v < 128; v++)
		weir__hist_add(&h, v);
	CHECK_EQ_INT(weir__hist_quantile(&h, 0.5), 63);
	CHECK_EQ_INT(weir__hist_quantile(&h, 0.25), 31);
	CHECK_EQ_INT(weir__hist_quantile(&h, 1), 127);
}

TEST(hist, a_single_value_is_every_quantile)
{
	weir__hist_add(&h, 123456789);
	CHECK_EQ_INT(weir__hist_quantile(&h, 0), 123456789);
	CHECK_EQ_INT(weir__hist_quantile(&h, 0.5), 123456789);
	CHECK_EQ_INT(weir__hist_quantile(&h, 0.99), 123456789);
}

TEST(hist, takes_the_ends_of_every_doubling)
{
	for (unsigned bit = 0; bit < 48; bit++) {
		h = (struct weir_hist){0};
		weir__hist_add(&h, 0);
		weir__hist_add(&h, INT64_C(1) << bit);
		weir__hist_add(&h, (INT64_C(2) << bit) - 1);
		weir__hist_add(&h, WEIR_HIST_MAX);
		near(weir__hist_quantile(&h, 0.5), INT64_C(1) << bit);
		near(weir__hist_quantile(&h, 0.75), (INT64_C(2) << bit) - 1);
	}
}

TEST(hist, clamps_what_it_cannot_hold)
{
	weir__hist_add(&h, -5);
	weir__hist_add(&h, INT64_MAX);
	weir__hist_add(&h, INT64_MIN);
	CHECK_EQ_INT(h.count, 3);
	CHECK_EQ_INT(weir__hist_quantile(&h, 0), 0);
	CHECK_EQ_INT(weir__hist_quantile(&h, 1), WEIR_HIST_MAX);
}

static int
by_value(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

TEST(hist, quantiles_are_within_one_percent_of_the_sorted_values)
{
	enum { N = 10000 };
	static const double qs[] = {0.001, 0.1, 0.5, 0.9, 0.99, 0.999};
	static int64_t values[N];
	struct weir_rng rng;

	weir__rng_seed(&rng, test_seed());
	for (size_t i = 0; i < N; i++) {
		/* As many small ones as large ones, up to a minute. */
		unsigned bits = (unsigned)weir__rng_below(&rng, 36);

		values[i] = (int64_t)(weir__rng_next(&rng) >> (63 - bits));
		weir__hist_add(&h, values[i]);
	}
	qsort(values, N, sizeof(values[0]), by_value);
	for (size_t i = 0; i < sizeof(qs) / sizeof(qs[0]); i++) {
		size_t rank = (size_t)(qs[i] * N + 0.5);

		near(weir__hist_quantile(&h, qs[i]), values[rank - 1]);
	}
}

TEST(hist, merging_is_as_adding_all)
{
	weir__hist_merge(&h, &other);
	CHECK_EQ_INT(h.count, 0);
	weir__hist_add(&other, 7);
	weir__hist_add(&other, 9);
	weir__hist_merge(&h, &other);
	weir__hist_add(&other, 3);
	weir__hist_merge(&h, &other);
	CHECK_EQ_INT(h.count, 5);
	CHECK_EQ_INT(h.min, 3);
	CHECK_EQ_INT(h.max, 9);
	CHECK_EQ_INT(weir__hist_quantile(&h, 0.6), 7);
}
