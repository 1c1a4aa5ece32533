/*
 * River's retry curve.
 */
#include "harness.h"

#include "base/rng.h"
#include "queue/curve.h"

#include <weir/base.h>

TEST(queue_curve, is_the_fourth_power_of_the_failures)
{
	CHECK_EQ_INT(weir__curve_ns(0, 0.5), 1 * WEIR_S);
	CHECK_EQ_INT(weir__curve_ns(1, 0.5), 16 * WEIR_S);
	CHECK_EQ_INT(weir__curve_ns(2, 0.5), 81 * WEIR_S);
	CHECK_EQ_INT(weir__curve_ns(3, 0.5), 256 * WEIR_S);
	CHECK_EQ_INT(weir__curve_ns(24, 0.5), 390625 * WEIR_S);
}

TEST(queue_curve, is_shaken_by_a_tenth_at_most)
{
	struct weir_rng rng;

	weir__rng_seed(&rng, test_seed());
	CHECK_EQ_INT(weir__curve_ns(0, 0), WEIR_S * 9 / 10);
	CHECK_EQ_INT(weir__curve_ns(1, 0), WEIR_S * 144 / 10);
	for (int i = 0; i < 1000; i++) {
		int64_t ns = weir__curve_ns(4, weir__rng_unit(&rng));

		CHECK(ns >= 625 * WEIR_S * 9 / 10);
		CHECK(ns < 625 * WEIR_S * 11 / 10);
	}
	CHECK(weir__curve_ns(1, 0x1.fffffffffffffp-1) <= 16 * WEIR_S * 11 / 10);
}

TEST(queue_curve, ends_at_the_longest_time_there_is)
{
	CHECK_EQ_INT(weir__curve_ns(UINT64_MAX, 0), INT64_MAX);
	CHECK_EQ_INT(weir__curve_ns(32767, 0.5), INT64_MAX);
	/* 309^4 s are 289 years; 310^4 s are 293. */
	CHECK(weir__curve_ns(308, 0.5) < INT64_MAX);
	CHECK_EQ_INT(weir__curve_ns(309, 0.5), INT64_MAX);
}
