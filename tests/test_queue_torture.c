/*
 * A queue at work whose n-th allocation fails, ours or SQLite's, for each n.
 *
 * What is asked may be answered with an error, and then has to have done
 * nothing; nothing is lost, nothing crashes, and nothing leaks (the address
 * sanitizer looks, at the end of each test).  Memory fails once, or from then
 * on until the store is closed.
 *
 * WEIR_TEST_REFUSALS is how many allocations are tried of each kind, spread
 * over all there are; 0: each of them.  WEIR_TEST_REFUSE_AT is the only one.
 */
#include "harness.h"
#include "queue_driver.h"
#include "refuse.h"
#include "scratch.h"

#include <inttypes.h>
#include <limits.h>
#include <sqlite3.h>

struct torture {
	char folder[SCRATCH_MAX], path[SCRATCH_MAX + 16];
	struct driver driver;
	unsigned steps;
	bool alone;
};

/* Statuses that a lack of memory may be told by. */
#define EXCUSED                                                 \
	(1u << WEIR_OK | 1u << WEIR_NOMEM | 1u << WEIR_SYSTEM | \
	 1u << WEIR_STALE)

/*
 * A life, in which the nth allocation fails.  How many did?  The same seed
 * does the same each time, until something fails.
 */
static long
life(struct torture *t, long nth, bool all)
{
	struct driver *d = &t->driver;
	uint64_t wrongs[LEDGER_WRONGS] = {0};
	long refused;

	scratch_empty(t->folder);
	*d = (struct driver){
		.path = t->path, .jobs_max = 400, .alone = t->alone};
	driver_begin(d, 11);
	refuse_arm(nth, all);
	if (driver_open(d)) {
		for (unsigned i = 0; i < t->steps; i++)
			(void)driver_step(d);
		driver_close(d, false);
	}
	refused = refuse_disarm();
	CHECK_MSG(!(d->statuses & ~EXCUSED), "statuses %x at allocation %ld",
		  d->statuses, nth);
	CHECK_MSG(ledger_judge(&d->ledger, t->path, false, 0, wrongs),
		  "after the failure of allocation %ld%s", nth,
		  all ? " and those after it" : "");
	return refused;
}

static uint64_t
refusals_wanted(void)
{
	const char *text = getenv("WEIR_TEST_REFUSALS");

	return text && *text ? strtoull(text, NULL, 10) : SANITIZED ? 150 : 400;
}

/* Each step-th of them from a first one on; or the one that is asked for. */
static uint64_t
each(struct torture *t, long total, bool all)
{
	const char *only = getenv("WEIR_TEST_REFUSE_AT");
	uint64_t wanted = refusals_wanted(), tried = 0;
	long step = wanted && total > (long)wanted ? total / (long)wanted : 1;

	if (only) {
		(void)life(t, atol(only), all);
		return 1;
	}
	for (long n = 1 + (long)(test_seed() % (uint64_t)step); n <= total;
	     n += step) {
		(void)life(t, n, all);
		tried++;
	}
	return tried;
}

static void
torture(bool alone, bool all)
{
	static struct torture t;
	long total;

	if (!REFUSE_WORKS)
		SKIP("the sanitizer's allocator cannot fail");
	/* Each small piece of memory is to be asked for. */
	REQUIRE(sqlite3_config(SQLITE_CONFIG_LOOKASIDE, 0, 0) == SQLITE_OK);
	scratch_make(t.folder);
	(void)snprintf(t.path, sizeof(t.path), "%s/jobs.db", t.folder);
	t.steps = 40;
	t.alone = alone;
	/* What is asked for once in a process is there after the first life. */
	CHECK_EQ_INT(life(&t, LONG_MAX, false), 0);
	CHECK_EQ_INT(life(&t, LONG_MAX, false), 0);
	total = refuse_asked();
	CHECK(total > 1000);
	printf("# %" PRIu64 " of %ld allocations failed\n",
	       each(&t, total, all), total);
	scratch_remove(t.folder);
}

TEST_LIMIT(torture, an_allocation_fails, 120)
{
	torture(false, false);
}

TEST_LIMIT(torture, an_allocation_fails_and_all_after_it, 120)
{
	torture(false, true);
}

TEST_LIMIT(torture, an_allocation_fails_while_working_alone, 120)
{
	torture(true, false);
}
