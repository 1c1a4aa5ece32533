/*
 * The list of URLs for the demo.
 *
 * Design: every thousand URLs in a row hold the mix below exactly, so that
 * the demo's totals can be told beforehand.  A stride that is prime to 1000
 * visits each number below 1000 once and scatters neighbours; the seed only
 * shifts where it starts and varies the arguments.
 */
#include "site.h"

#include <inttypes.h>
#include <stdio.h>

#define STRIDE 617u

/* Per thousand; what is left over is fast pages. */
enum {
	SLOW = 50,
	MISSING = 30,
	RETRY_AFTER = 20,
	FLAKY = 20,
	REDIRECT = 15,
	CUT = 5,
};

static void
print_url(const char *base, uint64_t i, unsigned place, uint64_t random)
{
	unsigned upto = CUT;

	if (place < upto)
		printf("%s/cut/%" PRIu64 "\n", base, 1000 + random % 9000);
	else if (place < (upto += REDIRECT))
		printf("%s/redirect/%" PRIu64 "\n", base, 1 + random % 3);
	else if (place < (upto += FLAKY))
		printf("%s/flaky/%" PRIu64 "/%" PRIu64 "\n", base,
		       1 + random % 2, i);
	else if (place < (upto += RETRY_AFTER))
		printf("%s/retry-after/1/%" PRIu64 "\n", base, i);
	else if (place < (upto += MISSING))
		printf("%s/404/%" PRIu64 "\n", base, i);
	else if (place < upto + SLOW)
		printf("%s/slow/%" PRIu64 "\n", base, 50 + random % 351);
	else
		printf("%s/fast/%" PRIu64 "\n", base, i);
}

int
urls_print(uint64_t n, const char *base, uint64_t seed)
{
	for (uint64_t i = 0; i < n; i++) {
		unsigned place =
			(unsigned)((i % 1000 * STRIDE + seed % 1000) % 1000);

		print_url(base, i, place, mix64(i ^ mix64(seed)));
		if (ferror(stdout))
			return -1;
	}
	return fflush(stdout) == 0 ? 0 : -1;
}
