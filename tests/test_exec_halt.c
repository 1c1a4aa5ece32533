/* When to stop early. */
#include "harness.h"

#include "exec/halt.h"

#include <stddef.h>

static struct weir_halt
halt_of(const char *text)
{
	struct weir_halt halt = {.count = 99};

	CHECK_MSG(weir__halt_parse(&halt, text), "%s", text);
	return halt;
}

TEST(halt, reads_what_gnu_parallel_reads)
{
	struct weir_halt halt = halt_of("now,fail=1");

	CHECK(halt.now && !halt.percent && halt.why == WEIR_HALT_FAIL);
	CHECK_EQ_INT(halt.count, 1);
	halt = halt_of("soon,success=12");
	CHECK(!halt.now && halt.why == WEIR_HALT_SUCCESS);
	CHECK_EQ_INT(halt.count, 12);
	halt = halt_of("soon,done=30%");
	CHECK(halt.percent && halt.why == WEIR_HALT_DONE);
	CHECK_EQ_INT(halt.count, 30);
	halt = halt_of("never");
	CHECK_EQ_INT(halt.why, WEIR_HALT_NEVER);
}

TEST(halt, refuses_the_rest_and_leaves_the_result_alone)
{
	static const char *const bad[] = {
		"",
		"now",
		"now,fail",
		"now,fail=",
		"now,fail=0",
		"now,fail=-1",
		"later,fail=1",
		"now,late=1",
		"now,fail=1x",
		"now,fail=1%%",
		"now,fail=101%",
		" now,fail=1",
		"now fail=1",
		"never,fail=1",
		"now,fail= 1",
		"now,fail=99999999999999999999",
	};
	struct weir_halt halt = {.count = 7};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		CHECK_MSG(!weir__halt_parse(&halt, bad[i]), "%s", bad[i]);
		CHECK_EQ_INT(halt.count, 7);
	}
}

TEST(halt, is_due_when_so_many_have_ended_so)
{
	struct weir_halt halt = halt_of("now,fail=2");

	CHECK(!weir__halt_is_due(&halt, 100, 1, 0));
	CHECK(weir__halt_is_due(&halt, 0, 2, 0));
	halt = halt_of("now,success=2");
	CHECK(!weir__halt_is_due(&halt, 1, 100, 0));
	CHECK(weir__halt_is_due(&halt, 2, 0, 0));
	halt = halt_of("now,done=2");
	CHECK(!weir__halt_is_due(&halt, 1, 0, 0));
	CHECK(weir__halt_is_due(&halt, 1, 1, 0));
	halt = halt_of("never");
	CHECK(!weir__halt_is_due(&halt, 1000, 1000, 10));
}

TEST(halt, takes_per_cent_of_all_once_they_are_known)
{
	struct weir_halt halt = halt_of("soon,fail=20%");

	CHECK(!weir__halt_is_due(&halt, 50, 50, 0));
	CHECK(!weir__halt_is_due(&halt, 50, 19, 100));
	CHECK(weir__halt_is_due(&halt, 0, 20, 100));
	CHECK(!weir__halt_is_due(&halt, 0, 2, 10));
	CHECK(weir__halt_is_due(&halt, 1, 2, 10));
	halt = halt_of("soon,done=100%");
	CHECK(!weir__halt_is_due(&halt, 9, 0, 10));
	CHECK(weir__halt_is_due(&halt, 9, 1, 10));
}
