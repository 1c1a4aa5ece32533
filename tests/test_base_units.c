#include "base/units.h"
#include "harness.h"

#include <string.h>

#define MS INT64_C(1000000)
#define S  (1000 * MS)
#define M  (60 * S)
#define H  (60 * M)

/* -1 stands for "refused, and the result left alone". */
static int64_t
duration(const char *text)
{
	int64_t ns = -1;
	bool taken = weir__parse_duration(text, &ns);

	CHECK_MSG(taken == (ns != -1), "\"%s\"", text);
	return ns;
}

static uint64_t
size(const char *text)
{
	uint64_t bytes = 77;

	return weir__parse_size(text, &bytes) ? bytes : bytes == 77 ? 88 : 99;
}

static double
rate(const char *text)
{
	double per_second = -1;
	bool taken = weir__parse_rate(text, &per_second);

	CHECK_MSG(taken == (per_second > 0), "\"%s\"", text);
	return per_second;
}

TEST(units, reads_durations)
{
	CHECK_EQ_INT(duration("250ms"), 250 * MS);
	CHECK_EQ_INT(duration("30s"), 30 * S);
	CHECK_EQ_INT(duration("5m"), 5 * M);
	CHECK_EQ_INT(duration("2h"), 2 * H);
	CHECK_EQ_INT(duration("1d"), 24 * H);
	CHECK_EQ_INT(duration("7us"), 7000);
	CHECK_EQ_INT(duration("9ns"), 9);
	CHECK_EQ_INT(duration("0"), 0);
	CHECK_EQ_INT(duration("0s"), 0);
	CHECK_EQ_INT(duration("007s"), 7 * S);
}

TEST(units, reads_fractions_of_durations_exactly)
{
	CHECK_EQ_INT(duration("1.5s"), 1500 * MS);
	CHECK_EQ_INT(duration("0.1s"), 100 * MS);
	CHECK_EQ_INT(duration("0.000000001s"), 1);
	CHECK_EQ_INT(duration("1.50000000000000000000s"), 1500 * MS);
	CHECK_EQ_INT(duration("0.25d"), 6 * H);
	CHECK_EQ_INT(duration("2.0ns"), 2);
	CHECK_EQ_INT(duration("0.0000000001s"), -1);
	CHECK_EQ_INT(duration("1.5ns"), -1);
	CHECK_EQ_INT(duration("1.05ns"), -1);
}

TEST(units, refuses_what_is_no_duration)
{
	static const char *const bad[] = {
		"",     "30",   "00",   "0.0", "s",    "ms",   "-1s", "+1s",
		" 1s",  "1s ",  "1 s",  "1S",  "1sec", "1.s",  ".5s", "1..5s",
		"1,5s", "1e3s", "0x1s", "inf", "nan",  "1s1s", "1w",
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		CHECK_MSG(duration(bad[i]) == -1, "\"%s\"", bad[i]);
}

TEST(units, refuses_a_duration_that_does_not_fit)
{
	CHECK_EQ_INT(duration("9223372036854775807ns"), INT64_MAX);
	CHECK_EQ_INT(duration("9223372036.854775807s"), INT64_MAX);
	CHECK_EQ_INT(duration("9223372036854775808ns"), -1);
	CHECK_EQ_INT(duration("18446744073709551616ns"), -1);
	CHECK_EQ_INT(duration("18446744073709551617ns"), -1);
	CHECK_EQ_INT(duration("106752d"), -1);
	CHECK_EQ_INT(duration("99999999999999999999999999d"), -1);
}

TEST(units, reads_sizes_in_powers_of_1024)
{
	CHECK_EQ_INT(size("0"), 0);
	CHECK_EQ_INT(size("4096"), 4096);
	CHECK_EQ_INT(size("64K"), 65536);
	CHECK_EQ_INT(size("64k"), 65536);
	CHECK_EQ_INT(size("10M"), 10485760);
	CHECK_EQ_INT(size("1G"), INT64_C(1) << 30);
	CHECK_EQ_INT(size("2T"), INT64_C(1) << 41);
	CHECK(size("18446744073709551615") == UINT64_MAX);
}

TEST(units, refuses_what_is_no_size_and_leaves_the_result_alone)
{
	static const char *const bad[] = {
		"",    "K",    "-1",   "+1",
		" 1",  "1 ",   "1 K",  "1.5G",
		"1KB", "1KiB", "0x10", "18446744073709551616",
		"1P",  "1.0K", "1e3",  "18014398509481984K",
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		CHECK_MSG(size(bad[i]) == 88, "\"%s\"", bad[i]);
}

TEST(units, reads_rates_per_second)
{
	CHECK(rate("20/s") == 20);
	CHECK(rate("600/m") == 10);
	CHECK(rate("1/h") == 1.0 / 3600);
	CHECK(rate("86400/d") == 1);
	CHECK(rate("0.5/s") == 0.5);
}

TEST(units, refuses_what_is_no_rate)
{
	static const char *const bad[] = {
		"",
		"20",
		"/s",
		"20/",
		"20s",
		"-1/s",
		"0/s",
		"0.0/s",
		"1/ms",
		"1/s ",
		"1 /s",
		"1/s/s",
		"1e3/s",
		"inf/s",
		"99999999999999999999/s",
		"0.0000001/s",
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		CHECK_MSG(rate(bad[i]) == -1, "\"%s\"", bad[i]);
}

#define CHECK_DURATION(ns, expected) \
	CHECK_STR(weir__format_duration(text, sizeof(text), ns), expected)

TEST(units, shows_durations_as_people_say_them)
{
	char text[WEIR_FORMAT_SIZE];

	CHECK_DURATION(0, "0s");
	CHECK_DURATION(999, "999ns");
	CHECK_DURATION(250000, "250us");
	CHECK_DURATION(1440000, "1.4ms");
	CHECK_DURATION(61 * MS, "61ms");
	CHECK_DURATION(1900 * MS, "1.9s");
	CHECK_DURATION(27800 * MS, "27.8s");
	CHECK_DURATION(125 * S, "2m05s");
	CHECK_DURATION(62 * M, "1h02m");
	CHECK_DURATION(76 * H, "3d04h");
	CHECK_DURATION(-1500 * MS, "-1.5s");
	CHECK_DURATION(INT64_MAX, "106752d00h");
	CHECK_DURATION(INT64_MIN, "-106752d00h");
}

TEST(units, never_shows_a_full_unit_as_many_of_the_smaller_one)
{
	char text[WEIR_FORMAT_SIZE];

	CHECK_DURATION(999499, "999us");
	CHECK_DURATION(999500, "1.0ms");
	CHECK_DURATION(9949999, "9.9ms");
	CHECK_DURATION(9950000, "10ms");
	CHECK_DURATION(999 * MS + 499999, "999ms");
	CHECK_DURATION(999 * MS + 500000, "1.0s");
	CHECK_DURATION(60 * S - 1, "1m00s");
	CHECK_DURATION(60 * M - 1, "1h00m");
	CHECK_DURATION(24 * H - 1, "1d00h");
}

#define CHECK_BYTES(bytes, expected) \
	CHECK_STR(weir__format_bytes(text, sizeof(text), bytes), expected)

TEST(units, shows_bytes_in_powers_of_1000)
{
	char text[WEIR_FORMAT_SIZE];

	CHECK_BYTES(0, "0 B");
	CHECK_BYTES(999, "999 B");
	CHECK_BYTES(1000, "1.0 kB");
	CHECK_BYTES(64000, "64.0 kB");
	CHECK_BYTES(4100000, "4.1 MB");
	CHECK_BYTES(1940000000, "1.9 GB");
	CHECK_BYTES(999949, "999.9 kB");
	CHECK_BYTES(999950, "1.0 MB");
	CHECK_BYTES(UINT64_MAX, "18.4 EB");
}

#define CHECK_COUNT(count, expected) \
	CHECK_STR(weir__format_count(text, sizeof(text), count), expected)

TEST(units, shows_counts_in_groups_of_three)
{
	char text[WEIR_FORMAT_SIZE];

	CHECK_COUNT(0, "0");
	CHECK_COUNT(999, "999");
	CHECK_COUNT(4991, "4 991");
	CHECK_COUNT(100000, "100 000");
	CHECK_COUNT(1000000, "1 000 000");
	CHECK_COUNT(UINT64_MAX, "18 446 744 073 709 551 615");
}

TEST(units, cuts_what_does_not_fit_the_room)
{
	char text[4] = "abc";

	CHECK_STR(weir__format_count(text, 4, 123456), "123");
	CHECK_STR(weir__format_bytes(text, 4, 123456), "123");
	CHECK_STR(weir__format_duration(text, 4, 12345 * MS), "12.");
}
