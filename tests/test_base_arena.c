/*
 * Memory that is given back all at once.
 */
#include "harness.h"

#include "base/arena.h"
#include "base/rng.h"

#include <stddef.h>
#include <string.h>

TEST(base_arena, gives_pieces_that_stay_and_do_not_touch)
{
	struct weir_arena arena = {0};
	struct weir_rng rng;
	unsigned char *pieces[500];
	size_t sizes[500];

	weir__rng_seed(&rng, test_seed());
	for (size_t i = 0; i < 500; i++) {
		sizes[i] = weir__rng_below(&rng, i % 50 == 0 ? 300000 : 200);
		pieces[i] = weir__arena_take(&arena, sizes[i]);
		REQUIRE(pieces[i]);
		CHECK((uintptr_t)pieces[i] % _Alignof(max_align_t) == 0);
		memset(pieces[i], (int)i & 0xff, sizes[i]);
	}
	for (size_t i = 0; i < 500; i++)
		for (size_t at = 0; at < sizes[i]; at++)
			if (pieces[i][at] != (i & 0xff)) {
				CHECK_MSG(false, "piece %zu at %zu", i, at);
				break;
			}
	weir__arena_fini(&arena);
}

TEST(base_arena, is_empty_again_when_all_was_given_back)
{
	struct weir_arena arena = {0};

	weir__arena_fini(&arena);
	CHECK(weir__arena_take(&arena, 0));
	CHECK(weir__arena_take(&arena, 1));
	weir__arena_fini(&arena);
	CHECK(!arena.chunks && arena.left == 0);
	CHECK(weir__arena_take(&arena, 5000));
	weir__arena_fini(&arena);
}

TEST(base_arena, has_no_piece_of_a_size_that_cannot_be)
{
	struct weir_arena arena = {0};

	CHECK(!weir__arena_take(&arena, SIZE_MAX));
	CHECK(!weir__arena_take(&arena, SIZE_MAX - 64));
	CHECK(!weir__arena_take(&arena, SIZE_MAX / 2));
	CHECK(weir__arena_take(&arena, 16));
	weir__arena_fini(&arena);
}
