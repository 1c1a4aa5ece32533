/* The table of what was seen: nothing is lost as it grows. */
#include "harness.h"

#include "base/rng.h"
#include "base/seen.h"

TEST(seen, keeps_what_was_ok_once)
{
	struct weir_seen seen = {0};

	CHECK_EQ_INT(weir__seen_find(&seen, 8), WEIR_SEEN_NOT);
	weir__seen_settle(&seen, 8);
	CHECK_EQ_INT(weir__seen_find(&seen, 8), WEIR_SEEN_NOT);
	CHECK(weir__seen_note(&seen, 8, false));
	CHECK_EQ_INT(weir__seen_find(&seen, 8), WEIR_SEEN_FAILED);
	CHECK(weir__seen_note(&seen, 8, true));
	CHECK(weir__seen_note(&seen, 8, false));
	CHECK_EQ_INT(weir__seen_find(&seen, 8), WEIR_SEEN_OK);
	CHECK(weir__seen_note(&seen, 10, false));
	weir__seen_settle(&seen, 10);
	CHECK_EQ_INT(weir__seen_find(&seen, 10), WEIR_SEEN_OK);
	CHECK_EQ_INT(seen.len, 2);
	weir__seen_fini(&seen);
}

TEST(seen, has_a_place_for_a_hash_of_nothing)
{
	struct weir_seen seen = {0};

	CHECK(weir__seen_note(&seen, 0, false));
	CHECK_EQ_INT(weir__seen_find(&seen, 0), WEIR_SEEN_FAILED);
	CHECK_EQ_INT(weir__seen_find(&seen, 1), WEIR_SEEN_FAILED);
	CHECK_EQ_INT(seen.len, 1);
	weir__seen_fini(&seen);
}

TEST(seen, holds_a_million_in_eight_bytes_each)
{
	struct weir_seen seen = {0};
	struct weir_rng rng;
	int wrong = 0;

	rng.state = test_seed();
	for (int i = 0; i < 1000000; i++)
		wrong += !weir__seen_note(&seen, weir__rng_next(&rng), i % 3);
	rng.state = test_seed();
	for (int i = 0; i < 1000000; i++)
		wrong += weir__seen_find(&seen, weir__rng_next(&rng)) !=
			 (i % 3 ? WEIR_SEEN_OK : WEIR_SEEN_FAILED);
	CHECK_EQ_INT(wrong, 0);
	CHECK_EQ_INT(seen.len, 1000000);
	CHECK(seen.cap < seen.len * 3);
	weir__seen_fini(&seen);
}
