#include "base/rng.h"
#include "harness.h"

/* The first outputs for this seed that are commonly published. */
TEST(rng, gives_the_published_sequence)
{
	struct weir_rng rng;

	weir__rng_seed(&rng, 1234567);
	CHECK(weir__rng_next(&rng) == UINT64_C(6457827717110365317));
	CHECK(weir__rng_next(&rng) == UINT64_C(3203168211198807973));
	CHECK(weir__rng_next(&rng) == UINT64_C(9817491932198370423));
	CHECK(weir__rng_next(&rng) == UINT64_C(4593380528125082431));
}

TEST(rng, unit_stays_in_its_interval_and_fills_it)
{
	struct weir_rng rng;
	double sum = 0;

	weir__rng_seed(&rng, test_seed());
	for (int i = 0; i < 100000; i++) {
		double x = weir__rng_unit(&rng);

		REQUIRE(x >= 0 && x < 1);
		sum += x;
	}
	/* Ten standard deviations of the mean: this fails for a bug only. */
	CHECK_MSG(sum / 100000 > 0.49 && sum / 100000 < 0.51, "mean %f",
		  sum / 100000);
}

TEST(rng, below_reaches_each_value_and_no_other)
{
	unsigned seen[7] = {0};
	struct weir_rng rng;

	weir__rng_seed(&rng, test_seed());
	for (int i = 0; i < 10000; i++) {
		uint64_t x = weir__rng_below(&rng, 7);

		REQUIRE(x < 7);
		seen[x]++;
	}
	for (int i = 0; i < 7; i++)
		CHECK_MSG(seen[i] > 1000, "%d came %u times", i, seen[i]);
	CHECK_EQ_INT(weir__rng_below(&rng, 1), 0);
}
