/*
 * Days and dates, beside those of libc.
 */
#include "harness.h"

#include "base/civil.h"
#include "base/rng.h"

#include <stdio.h>
#include <time.h>

#define FIRST_DAY (WEIR_CIVIL_MS_MIN / WEIR_MS_PER_DAY)
#define LAST_DAY  (WEIR_CIVIL_MS_MAX / WEIR_MS_PER_DAY)

TEST(base_civil, agrees_with_libc_on_each_day_of_ten_thousand_years)
{
	int wrong = 0;

	for (int64_t day = FIRST_DAY; day <= LAST_DAY; day++) {
		struct weir_civil date = weir__civil_of_day(day);
		time_t seconds = (time_t)(day * 86400);
		struct tm tm;

		REQUIRE(gmtime_r(&seconds, &tm));
		wrong += date.year != tm.tm_year + 1900 ||
			 date.month != tm.tm_mon + 1 ||
			 date.day != tm.tm_mday ||
			 weir__civil_weekday(day) != tm.tm_wday ||
			 weir__civil_month_start(date.year, date.month) !=
				 day - date.day + 1;
	}
	CHECK_EQ_INT(wrong, 0);
}

TEST(base_civil, begins_and_ends_with_the_years_1_and_9999)
{
	struct weir_civil first = weir__civil_of_day(FIRST_DAY);
	struct weir_civil last = weir__civil_of_day(LAST_DAY);

	CHECK(first.year == 1 && first.month == 1 && first.day == 1);
	CHECK(last.year == 9999 && last.month == 12 && last.day == 31);
	CHECK_EQ_INT(weir__civil_month_start(1970, 1), 0);
	CHECK_EQ_INT(weir__civil_month_start(2024, 14),
		     weir__civil_month_start(2025, 2));
}

TEST(base_civil, rounds_down_to_days_before_1970_too)
{
	CHECK_EQ_INT(weir__civil_day_of_ms(0), 0);
	CHECK_EQ_INT(weir__civil_day_of_ms(WEIR_MS_PER_DAY - 1), 0);
	CHECK_EQ_INT(weir__civil_day_of_ms(-1), -1);
	CHECK_EQ_INT(weir__civil_day_of_ms(-WEIR_MS_PER_DAY), -1);
	CHECK_EQ_INT(weir__civil_day_of_ms(-WEIR_MS_PER_DAY - 1), -2);
}

TEST(base_civil, writes_times_as_libc_does)
{
	char ours[WEIR_CIVIL_TEXT_SIZE], theirs[64];
	struct weir_rng rng;

	weir__rng_seed(&rng, test_seed());
	for (int i = 0; i < 10000; i++) {
		int64_t span = (WEIR_CIVIL_MS_MAX - WEIR_CIVIL_MS_MIN) / 1000;
		time_t seconds = (time_t)(WEIR_CIVIL_MS_MIN / 1000 +
					  (int64_t)weir__rng_below(
						  &rng, (uint64_t)span + 1));
		struct tm tm;

		REQUIRE(gmtime_r(&seconds, &tm));
		(void)snprintf(theirs, sizeof(theirs),
			       "%04d-%02d-%02dT%02d:%02d:%02dZ",
			       tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday,
			       tm.tm_hour, tm.tm_min, tm.tm_sec);
		CHECK_STR(weir__civil_format(ours, seconds), theirs);
	}
	CHECK_STR(weir__civil_format(ours, WEIR_CIVIL_MS_MAX / 1000),
		  "9999-12-31T23:59:59Z");
	CHECK_STR(weir__civil_format(ours, WEIR_CIVIL_MS_MIN / 1000),
		  "0001-01-01T00:00:00Z");
}
