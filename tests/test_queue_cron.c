/*
 * Cron lines: what they mean, beside a walk over every minute, and what is said
 * of wrong ones.
 */
#include "harness.h"

#include "base/civil.h"
#include "base/rng.h"
#include "queue/cron.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define MINUTE_MS INT64_C(60000)
#define DAY_MS    (1440 * MINUTE_MS)

static struct weir_cron
parsed(const char *line)
{
	struct weir_cron cron = {0};
	char why[WEIR_CRON_WHY_MAX] = "";

	CHECK_MSG(weir__cron_parse(line, &cron, why), "%s: %s", line, why);
	return cron;
}

/* "2026-01-02T03:04:05Z" in ms. */
static int64_t
ms_of(const char *text)
{
	struct tm tm = {0};

	REQUIRE(strptime(text, "%Y-%m-%dT%H:%M:%SZ", &tm));
	return (int64_t)timegm(&tm) * 1000;
}

static const char *
text_of(int64_t ms)
{
	static char text[2][WEIR_CIVIL_TEXT_SIZE];
	static int turn;

	turn = !turn;
	return weir__civil_format(text[turn], ms / 1000);
}

/* The next ticks of a line after a time are these, up to a NULL. */
static void
check_ticks(const char *line, const char *after, const char *const *ticks)
{
	struct weir_cron cron = parsed(line);
	int64_t at = ms_of(after), last = 0;

	for (; *ticks; ticks++) {
		at = weir__cron_next_ms(&cron, at);
		CHECK_STR(text_of(at), *ticks);
		/* Looking back finds the same. */
		CHECK_EQ_INT(weir__cron_last_ms(&cron, at), at);
		if (last)
			CHECK_EQ_INT(weir__cron_last_ms(&cron, at - 1), last);
		last = at;
	}
}

#define TICKS(line, after, ...) \
	check_ticks(line, after, (const char *const[]){__VA_ARGS__, NULL})

TEST(queue_cron, fires_at_the_minutes_of_a_line)
{
	TICKS("* * * * *", "2026-01-02T03:04:05Z", "2026-01-02T03:05:00Z",
	      "2026-01-02T03:06:00Z");
	TICKS("*/15 * * * *", "2026-12-31T23:44:59Z", "2026-12-31T23:45:00Z",
	      "2027-01-01T00:00:00Z", "2027-01-01T00:15:00Z");
	TICKS("30 4 * * *", "2026-01-02T04:30:00Z", "2026-01-03T04:30:00Z");
	TICKS("5,10-12,50/5 9-17/4 * * *", "2026-01-02T16:59:00Z",
	      "2026-01-02T17:05:00Z", "2026-01-02T17:10:00Z",
	      "2026-01-02T17:11:00Z", "2026-01-02T17:12:00Z",
	      "2026-01-02T17:50:00Z", "2026-01-02T17:55:00Z",
	      "2026-01-03T09:05:00Z");
	TICKS("0 0 1 JAN,jul *", "2026-01-02T00:00:00Z", "2026-07-01T00:00:00Z",
	      "2027-01-01T00:00:00Z");
	TICKS(" 0\t12  * * mon-Fri ", "2026-01-02T12:00:00Z",
	      "2026-01-05T12:00:00Z", "2026-01-06T12:00:00Z");
}

TEST(queue_cron, knows_sunday_as_0_and_7_and_sun)
{
	static const char *const lines[] = {
		"0 0 * * 0",   "0 0 * * 7",   "0 0 * * sun",
		"0 0 * * 7-7", "0 0 * * 0,7", "@weekly",
	};

	for (int i = 0; i < 6; i++)
		TICKS(lines[i], "2026-01-02T00:00:00Z", "2026-01-04T00:00:00Z",
		      "2026-01-11T00:00:00Z");
	TICKS("0 0 * * 6-7", "2026-01-02T00:00:00Z", "2026-01-03T00:00:00Z",
	      "2026-01-04T00:00:00Z", "2026-01-10T00:00:00Z");
	TICKS("0 0 * * fri-sun", "2026-01-02T00:00:00Z", "2026-01-03T00:00:00Z",
	      "2026-01-04T00:00:00Z", "2026-01-09T00:00:00Z");
	/* A step from a day on ends with Saturday. */
	TICKS("0 0 * * 1/2", "2026-01-02T00:00:00Z", "2026-01-05T00:00:00Z",
	      "2026-01-07T00:00:00Z", "2026-01-09T00:00:00Z",
	      "2026-01-12T00:00:00Z");
}

TEST(queue_cron, takes_a_day_of_either_field_if_neither_begins_with_a_star)
{
	/* The 13th, and Fridays. */
	TICKS("0 0 13 * 5", "2026-01-02T00:00:00Z", "2026-01-09T00:00:00Z",
	      "2026-01-13T00:00:00Z", "2026-01-16T00:00:00Z");
	/* Fridays that are the 13th: a star in front, whatever follows. */
	TICKS("0 0 */12 * 5", "2026-01-02T00:00:00Z", "2026-02-13T00:00:00Z",
	      "2026-03-13T00:00:00Z", "2026-05-01T00:00:00Z");
	TICKS("0 0 13 * */5", "2026-01-02T00:00:00Z", "2026-02-13T00:00:00Z",
	      "2026-03-13T00:00:00Z", "2026-09-13T00:00:00Z");
	TICKS("0 0 1-31 * 1", "2026-01-02T00:00:00Z", "2026-01-03T00:00:00Z");
}

TEST(queue_cron, has_words_for_what_is_common)
{
	TICKS("@hourly", "2026-01-02T03:04:05Z", "2026-01-02T04:00:00Z");
	TICKS("@daily", "2026-01-02T03:04:05Z", "2026-01-03T00:00:00Z");
	TICKS("@midnight", "2026-01-02T03:04:05Z", "2026-01-03T00:00:00Z");
	TICKS("@weekly", "2026-01-02T03:04:05Z", "2026-01-04T00:00:00Z");
	TICKS("@monthly", "2026-01-02T03:04:05Z", "2026-02-01T00:00:00Z");
	TICKS("@yearly", "2026-01-02T03:04:05Z", "2027-01-01T00:00:00Z");
	TICKS(" @annually ", "2026-01-02T03:04:05Z", "2027-01-01T00:00:00Z");
}

TEST(queue_cron, counts_intervals_from_1970_on)
{
	struct weir_cron cron = parsed("@every 90s");

	TICKS("@every 90s", "2026-01-02T03:04:05Z", "2026-01-02T03:04:30Z",
	      "2026-01-02T03:06:00Z");
	TICKS("@every\t1h", "2026-01-02T03:00:00Z", "2026-01-02T04:00:00Z");
	TICKS("@every 7d", "2026-01-02T00:00:00Z", "2026-01-08T00:00:00Z");
	CHECK_EQ_INT(weir__cron_next_ms(&cron, 0), 90000);
	CHECK_EQ_INT(weir__cron_next_ms(&cron, 89999), 90000);
	CHECK_EQ_INT(weir__cron_next_ms(&cron, 90000), 180000);
	CHECK_EQ_INT(weir__cron_last_ms(&cron, 89999), 0);
	CHECK_EQ_INT(weir__cron_last_ms(&cron, 90000), 90000);
	cron = parsed("@every 1s");
	CHECK_EQ_INT(weir__cron_next_ms(&cron, 1), 1000);
	cron = parsed("@every 1.5s");
	CHECK_EQ_INT(weir__cron_next_ms(&cron, 1500), 3000);
}

/* The last tick until a time is that one. */
static void
check_last(const char *line, const char *until, const char *last)
{
	struct weir_cron cron = parsed(line);

	CHECK_STR(text_of(weir__cron_last_ms(&cron, ms_of(until))), last);
}

TEST(queue_cron, looks_back_over_hours_days_and_months)
{
	check_last("* * * * *", "2026-01-02T03:04:05Z", "2026-01-02T03:04:00Z");
	check_last("59 * * * *", "2026-01-02T03:04:05Z",
		   "2026-01-02T02:59:00Z");
	check_last("30 0,5 * * *", "2026-01-02T05:10:00Z",
		   "2026-01-02T00:30:00Z");
	check_last("59 23 * * *", "2026-01-02T00:10:00Z",
		   "2026-01-01T23:59:00Z");
	check_last("59 23 * * *", "2026-03-01T00:10:00Z",
		   "2026-02-28T23:59:00Z");
	check_last("59 23 * 12 *", "2026-03-01T00:10:00Z",
		   "2025-12-31T23:59:00Z");
	check_last("0 0 29 2 *", "2026-01-01T00:00:00Z",
		   "2024-02-29T00:00:00Z");
	check_last("@monthly", "2026-02-28T23:59:59Z", "2026-02-01T00:00:00Z");
	check_last("1 0 1 1 *", "1970-06-01T00:00:00Z", "1970-01-01T00:01:00Z");
}

TEST(queue_cron, knows_leap_years)
{
	TICKS("0 0 29 2 *", "2023-01-01T00:00:00Z", "2024-02-29T00:00:00Z",
	      "2028-02-29T00:00:00Z");
	TICKS("0 0 29 2 *", "2096-03-01T00:00:00Z", "2104-02-29T00:00:00Z");
	TICKS("0 0 29 2 *", "1999-03-01T00:00:00Z", "2000-02-29T00:00:00Z");
	/* On a Sunday: 28 years later, or 40 across the year 2100. */
	TICKS("0 0 29 2 */7", "2026-01-01T00:00:00Z", "2032-02-29T00:00:00Z",
	      "2060-02-29T00:00:00Z", "2088-02-29T00:00:00Z",
	      "2128-02-29T00:00:00Z");
	TICKS("0 0 31 * *", "2026-01-31T00:00:00Z", "2026-03-31T00:00:00Z",
	      "2026-05-31T00:00:00Z");
}

TEST(queue_cron, never_fires_on_days_that_do_not_come)
{
	static const char *const lines[] = {"0 0 30 2 *", "0 0 31 4,6,9,11 *",
					    "* * 30-31 feb *"};

	for (int i = 0; i < 3; i++) {
		struct weir_cron cron = parsed(lines[i]);

		CHECK_EQ_INT(weir__cron_next_ms(&cron, 0), 0);
		CHECK_EQ_INT(weir__cron_next_ms(&cron,
						ms_of("2026-01-01T00:00:00Z")),
			     0);
		CHECK_EQ_INT(weir__cron_last_ms(&cron,
						ms_of("2026-01-01T00:00:00Z")),
			     0);
	}
}

TEST(queue_cron, ends_with_the_year_9999_and_begins_with_1970)
{
	struct weir_cron cron = parsed("0 0 * * *");
	int64_t last;

	CHECK_STR(text_of(weir__cron_next_ms(&cron,
					     ms_of("9999-12-30T00:00:00Z"))),
		  "9999-12-31T00:00:00Z");
	CHECK_EQ_INT(weir__cron_next_ms(&cron, ms_of("9999-12-31T00:00:00Z")),
		     0);
	CHECK_EQ_INT(weir__cron_next_ms(&cron, INT64_MAX), 0);
	CHECK_EQ_INT(weir__cron_next_ms(&cron, INT64_MIN), DAY_MS);
	CHECK_EQ_INT(weir__cron_last_ms(&cron, INT64_MIN), 0);
	CHECK_STR(text_of(weir__cron_last_ms(&cron, INT64_MAX)),
		  "9999-12-31T00:00:00Z");
	CHECK_EQ_INT(weir__cron_last_ms(&cron, DAY_MS), DAY_MS);
	CHECK_EQ_INT(weir__cron_last_ms(&cron, DAY_MS - 1), 0);
	cron = parsed("@every 100d");
	CHECK_EQ_INT(weir__cron_next_ms(&cron, INT64_MAX), 0);
	last = weir__cron_last_ms(&cron, WEIR_CIVIL_MS_MAX);
	CHECK_EQ_INT(weir__cron_next_ms(&cron, last - 1), last);
	CHECK_EQ_INT(weir__cron_next_ms(&cron, last), 0);
}

static void
check_wrong(const char *line, const char *want)
{
	struct weir_cron cron = {.every_ms = 42};
	char why[WEIR_CRON_WHY_MAX] = "";

	CHECK_MSG(!weir__cron_parse(line, &cron, why), "\"%s\" was taken",
		  line);
	CHECK_STR(why, want);
	CHECK_EQ_INT(cron.every_ms, 42);
}

TEST(queue_cron, says_what_is_wrong_with_a_line)
{
	static const struct {
		const char *line, *why;
	} rows[] = {
		{"", "it is empty"},
		{" \t ", "it is empty"},
		{"* * * *", "it has 4 fields, and not 5: minute, hour, day, "
			    "month, weekday"},
		{"0", "it has 1 field, and not 5: minute, hour, day, month, "
		      "weekday"},
		{"0 0 * * * *", "it has 6 fields, and not 5: minute, hour, "
				"day, month, weekday"},
		{"60 * * * *", "minute: 60 is not one of 0 to 59"},
		{"* 24 * * *", "hour: 24 is not one of 0 to 23"},
		{"* * 0 * *", "day: 0 is not one of 1 to 31"},
		{"* * 32 * *", "day: 32 is not one of 1 to 31"},
		{"* * * 13 *", "month: 13 is not one of 1 to 12"},
		{"* * * 0 *", "month: 0 is not one of 1 to 12"},
		{"* * * * 8", "weekday: 8 is not one of 0 to 7"},
		{"99999999999999999999 * * * *",
		 "minute: 99999999999999999999 is not one of 0 to 59"},
		{"-5 * * * *", "minute: \"-5\" is no number"},
		{"a * * * *", "minute: \"a\" is no number"},
		{"5- * * * *", "minute: \"\" is no number"},
		{"* * * foo *", "month: \"foo\" is neither a number nor a name "
				"of three letters"},
		{"* * * january *",
		 "month: \"january\" is neither a number nor a name of three "
		 "letters"},
		{"* * * * jan", "weekday: \"jan\" is neither a number nor a "
				"name of three letters"},
		{"* * mon * *", "day: \"mon\" is no number"},
		{"20-10 * * * *", "minute: \"20-10\" runs backwards"},
		{"* * * * sat-mon", "weekday: \"sat-mon\" runs backwards"},
		{"* * * * 5-0", "weekday: \"5-0\" runs backwards"},
		{"* * * dec-jan *", "month: \"dec-jan\" runs backwards"},
		{"*/0 * * * *", "minute: \"*/0\" has a step that goes nowhere"},
		{"*/60 * * * *",
		 "minute: \"*/60\" has a step that goes nowhere"},
		{"*/ * * * *", "minute: \"*/\" has no number behind its /"},
		{"*/x * * * *", "minute: \"*/x\" has no number behind its /"},
		{"1,,2 * * * *", "minute: there is an empty place in its list"},
		{",1 * * * *", "minute: there is an empty place in its list"},
		{"1, * * * *", "minute: there is an empty place in its list"},
		{"1.5 * * * *", "minute: \"1.5\" is none of *, N, N-M and "
				"these with /STEP"},
		{"*5 * * * *", "minute: \"*5\" is none of *, N, N-M and these "
			       "with /STEP"},
		{"1-5-9 * * * *", "minute: \"1-5-9\" is none of *, N, N-M and "
				  "these with /STEP"},
		{"1/2/3 * * * *", "minute: \"1/2/3\" is none of *, N, N-M and "
				  "these with /STEP"},
		{"? * * * *", "minute: \"?\" is no number"},
		{"* * L * *", "day: \"L\" is no number"},
		{"\n * * * *", "minute: \"?\" is no number"},
		{"TZ=UTC 0 0 * * *",
		 "times are in UTC; a time zone cannot be set"},
		{"CRON_TZ=Asia/Tokyo 0 0 * * *",
		 "times are in UTC; a time zone cannot be set"},
		{"@fortnightly",
		 "\"@fortnightly\": there are @hourly, @daily, @weekly, "
		 "@monthly, @yearly and @every DURATION"},
		{"@daily 5", "\"@daily\": there are @hourly, @daily, @weekly, "
			     "@monthly, @yearly and @every DURATION"},
		{"@Daily", "\"@Daily\": there are @hourly, @daily, @weekly, "
			   "@monthly, @yearly and @every DURATION"},
		{"@every", "@every takes one duration, such as 90s"},
		{"@every 1h 30m", "@every takes one duration, such as 90s"},
		{"@every 90", "\"90\" is no duration, such as 90s or 1.5h"},
		{"@every -5s", "\"-5s\" is no duration, such as 90s or 1.5h"},
		{"@every 0", "@every 0: a second is the least"},
		{"@every 999ms", "@every 999ms: a second is the least"},
		{"@every 1.0005s",
		 "@every 1.0005s: that is no whole number of milliseconds"},
		{"@every 9999999999d",
		 "\"9999999999d\" is no duration, such as 90s or 1.5h"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		check_wrong(rows[i].line, rows[i].why);
}

/*
 * A line made up of sets, for the walk to know what it means without reading
 * it.
 */
struct made {
	bool in[5][64];
	bool star[5];
	char text[512];
};

static const struct {
	int low, high;
} bounds[5] = {{0, 59}, {0, 23}, {1, 31}, {1, 12}, {0, 6}};

static int
between(struct weir_rng *rng, int low, int high)
{
	return low + (int)weir__rng_below(rng, (uint64_t)(high - low + 1));
}

/* One more part of field f; its text. */
static void
make_part(struct weir_rng *rng, struct made *made, int f, char *text,
	  size_t size)
{
	int low = bounds[f].low, high = bounds[f].high;
	int first = between(rng, low, high), last = between(rng, first, high);
	int step = between(rng, 1, high);

	switch (between(rng, 0, 4)) {
	case 0:
		(void)snprintf(text, size, "%d", first);
		last = first;
		break;
	case 1:
		(void)snprintf(text, size, "%d-%d", first, last);
		step = 1;
		break;
	case 2:
		(void)snprintf(text, size, "%d-%d/%d", first, last, step);
		break;
	case 3:
		(void)snprintf(text, size, "%d/%d", first, step);
		last = high;
		break;
	default:
		(void)snprintf(text, size, "*/%d", step);
		first = low;
		last = high;
	}
	for (int n = first; n <= last; n += step)
		made->in[f][n] = true;
}

static void
make_field(struct weir_rng *rng, struct made *made, int f)
{
	size_t len = strlen(made->text);
	int parts = between(rng, 1, 3);
	char text[64];

	if (between(rng, 0, 2) == 0) {
		memset(made->in[f], true, sizeof(made->in[f]));
		(void)snprintf(made->text + len, sizeof(made->text) - len,
			       "* ");
		made->star[f] = true;
		return;
	}
	for (int i = 0; i < parts; i++) {
		make_part(rng, made, f, text, sizeof(text));
		if (i == 0)
			made->star[f] = text[0] == '*';
		len = strlen(made->text);
		(void)snprintf(made->text + len, sizeof(made->text) - len,
			       "%s%s", text, i + 1 < parts ? "," : " ");
	}
}

static bool
fires_at(const struct made *made, time_t seconds)
{
	bool by_date, by_weekday;
	struct tm tm;

	(void)gmtime_r(&seconds, &tm);
	by_date = made->in[2][tm.tm_mday];
	by_weekday = made->in[4][tm.tm_wday];
	return made->in[0][tm.tm_min] && made->in[1][tm.tm_hour] &&
	       made->in[3][tm.tm_mon + 1] &&
	       (made->star[2] || made->star[4] ? by_date && by_weekday
					       : by_date || by_weekday);
}

/* Walk over the minutes after a time, at most so many. */
static int64_t
walk(const struct made *made, int64_t after_ms, int minutes)
{
	int64_t minute = after_ms / MINUTE_MS + 1;

	for (int i = 0; i < minutes; i++, minute++)
		if (fires_at(made, (time_t)(minute * 60)))
			return minute * MINUTE_MS;
	return 0;
}

TEST(queue_cron, finds_what_a_walk_over_all_minutes_finds)
{
	static const int days_max = 40;
	struct weir_rng rng;
	int found = 0;

	weir__rng_seed(&rng, test_seed());
	for (int round = 0; round < 400; round++) {
		struct made made = {.text = ""};
		struct weir_cron cron;
		int64_t after = (int64_t)weir__rng_below(
			&rng, (uint64_t)ms_of("2100-01-01T00:00:00Z"));
		int64_t walked, next;

		for (int f = 0; f < 5; f++)
			make_field(&rng, &made, f);
		cron = parsed(made.text);
		walked = walk(&made, after, days_max * 1440);
		next = weir__cron_next_ms(&cron, after);
		found += walked > 0;
		if (walked)
			CHECK_MSG(next == walked, "%s: after %s comes %s",
				  made.text, text_of(after), text_of(walked));
		else
			CHECK_MSG(next == 0 ||
					  next > after + days_max * DAY_MS -
							  MINUTE_MS,
				  "%s: nothing comes after %s, not %s",
				  made.text, text_of(after), text_of(next));
		if (next)
			CHECK_EQ_INT(weir__cron_last_ms(&cron, next), next);
	}
	CHECK_MSG(found > 200, "%d of 400 lines fire", found);
}

TEST(queue_cron, says_yes_or_no_to_any_text_and_means_it)
{
	static const char letters[] = "0123456789*/-, \tjanfebsu@every.?\n\xc3";
	static const char *const seeds[] = {"*/5 1-3 1,15 jan-mar mon",
					    "@every 90s", "@weekly",
					    "0 0 29 2 */7"};
	int64_t now = ms_of("2026-01-02T03:04:05Z");
	struct weir_rng rng;
	int taken = 0;

	weir__rng_seed(&rng, test_seed());
	for (int round = 0; round < 40000; round++) {
		struct weir_cron cron;
		char text[64], why[WEIR_CRON_WHY_MAX] = "";
		int64_t next;

		(void)snprintf(text, sizeof(text), "%s", seeds[round % 4]);
		for (int i = between(&rng, 1, 3); i > 0; i--)
			text[weir__rng_below(&rng, strlen(text))] =
				letters[weir__rng_below(&rng,
							sizeof(letters) - 1)];
		if (!weir__cron_parse(text, &cron, why)) {
			CHECK_MSG(why[0], "%s: no reason", text);
			continue;
		}
		taken++;
		next = weir__cron_next_ms(&cron, now);
		CHECK_MSG(next == 0 || next > now, "%s", text);
		CHECK_MSG(next == 0 || weir__cron_last_ms(&cron, next) == next,
			  "%s", text);
		CHECK_MSG(next == 0 ||
				  weir__cron_last_ms(&cron, next - 1) <= now,
			  "%s", text);
	}
	CHECK_MSG(taken > 500, "%d taken", taken);
}
