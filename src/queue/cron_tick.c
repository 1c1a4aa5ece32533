/*
 * When cron lines fire; see cron.h.  cron.c reads them.
 *
 * Design: a field is a set in a word, so that the next number in it is one
 * instruction away.  The search goes by months, days and hours, and looks at
 * nothing of a month that is not in its set.  What has not come up in 400
 * years, after which the calendar repeats to the weekday, never will: that is
 * the bound of the work, less than a tenth of a millisecond.
 *
 * Forward and backward are written side by side rather than as one search
 * with a direction, for each is simple and their ends differ.
 */
#include "queue/cron.h"

#include "base/assert.h"
#include "base/civil.h"

#define MS_PER_MINUTE   60000
#define MINUTES_PER_DAY 1440
#define MONTHS_IN_CYCLE (400 * 12 + 1)
#define LAST_YEAR       9999

static bool
has(uint64_t set, int n)
{
	weir_assert(n >= 0 && n < 64);
	return set >> n & 1;
}

/* The least number of a set from n on, or the most up to n; -1: none. */
static int
at_least(uint64_t set, int n)
{
	weir_assert(n >= 0);
	if (n > 63 || set >> n == 0)
		return -1;
	return n + __builtin_ctzll(set >> n);
}

static int
at_most(uint64_t set, int n)
{
	weir_assert(n < 64);
	if (n < 0)
		return -1;
	if (n < 63)
		set &= (UINT64_C(1) << (n + 1)) - 1;
	return set == 0 ? -1 : 63 - __builtin_clzll(set);
}

/* Does it fire on that day, the day-th of its month? */
static bool
day_is_good(const struct weir_cron *cron, int64_t day, int of_month)
{
	/* Both are looked at: which of them counts depends on the other. */
	bool by_date = has(cron->days, of_month);
	bool by_weekday = has(cron->weekdays, weir__civil_weekday(day));

	return cron->either ? by_date || by_weekday : by_date && by_weekday;
}

/* The first minute of a day that is not before `from`; -1: none. */
static int
first_minute(const struct weir_cron *cron, int from)
{
	int hour = at_least(cron->hours, from / 60), minute;

	weir_assert(from >= 0 && from < MINUTES_PER_DAY);
	if (hour < 0)
		return -1;
	minute = at_least(cron->minutes, hour == from / 60 ? from % 60 : 0);
	if (minute >= 0)
		return hour * 60 + minute;
	/* The hour that it is now is over; any later one begins anew. */
	hour = at_least(cron->hours, hour + 1);
	return hour < 0 ? -1 : hour * 60 + at_least(cron->minutes, 0);
}

/* The last one that is not after `until`; -1: none. */
static int
last_minute(const struct weir_cron *cron, int until)
{
	int hour = at_most(cron->hours, until / 60), minute;

	weir_assert(until >= 0 && until < MINUTES_PER_DAY);
	if (hour < 0)
		return -1;
	minute = at_most(cron->minutes, hour == until / 60 ? until % 60 : 59);
	if (minute >= 0)
		return hour * 60 + minute;
	hour = at_most(cron->hours, hour - 1);
	return hour < 0 ? -1 : hour * 60 + at_most(cron->minutes, 59);
}

/* A month: its first day, and that of the next. */
struct month {
	int year, month;
	int64_t first, end;
};

static struct month
month_of(int year, int month)
{
	weir_assert(month >= 0 && month <= 13);
	if (month == 0)
		return month_of(year - 1, 12);
	if (month == 13)
		return month_of(year + 1, 1);
	return (struct month){year, month, weir__civil_month_start(year, month),
			      weir__civil_month_start(year, month + 1)};
}

/* The first good minute of a month from day and minute on; -1: none. */
static int64_t
first_of_month(const struct weir_cron *cron, const struct month *month,
	       int64_t day, int minute)
{
	weir_assert(day >= month->first && day < month->end);
	for (; day < month->end; day++, minute = 0) {
		int found = -1;

		if (day_is_good(cron, day, (int)(day - month->first) + 1))
			found = first_minute(cron, minute);
		if (found >= 0)
			return day * MINUTES_PER_DAY + found;
	}
	return -1;
}

static int64_t
last_of_month(const struct weir_cron *cron, const struct month *month,
	      int64_t day, int minute)
{
	weir_assert(day >= month->first && day < month->end);
	for (; day >= month->first; day--, minute = MINUTES_PER_DAY - 1) {
		int found = -1;

		if (day_is_good(cron, day, (int)(day - month->first) + 1))
			found = last_minute(cron, minute);
		if (found >= 0)
			return day * MINUTES_PER_DAY + found;
	}
	return -1;
}

/* The minute after that time, or the one it is in, taken apart. */
struct instant {
	struct month month;
	int64_t day;
	int minute; /* of that day */
};

static struct instant
instant_of(int64_t minutes)
{
	int64_t day = minutes / MINUTES_PER_DAY;
	struct weir_civil date = weir__civil_of_day(day);

	weir_assert(minutes >= 0);
	return (struct instant){
		.month = month_of(date.year, date.month),
		.day = day,
		.minute = (int)(minutes % MINUTES_PER_DAY),
	};
}

static int64_t
next_minute(const struct weir_cron *cron, struct instant at)
{
	struct month month = at.month;

	for (int i = 0; i < MONTHS_IN_CYCLE && month.year <= LAST_YEAR; i++) {
		int64_t found = -1;

		if (has(cron->months, month.month))
			found = first_of_month(cron, &month, at.day, at.minute);
		if (found >= 0)
			return found;
		month = month_of(month.year, month.month + 1);
		at.day = month.first;
		at.minute = 0;
	}
	return -1;
}

/* Down to January 1970, which began with day 0. */
static int64_t
previous_minute(const struct weir_cron *cron, struct instant at)
{
	struct month month = at.month;

	for (int i = 0; i < MONTHS_IN_CYCLE && month.first >= 0; i++) {
		int64_t found = -1;

		if (has(cron->months, month.month))
			found = last_of_month(cron, &month, at.day, at.minute);
		if (found >= 0)
			return found;
		month = month_of(month.year, month.month - 1);
		at.day = month.end - 1;
		at.minute = MINUTES_PER_DAY - 1;
	}
	return -1;
}

int64_t
weir__cron_next_ms(const struct weir_cron *cron, int64_t after_ms)
{
	int64_t next;

	weir_assert(cron->every_ms >= 0);
	if (after_ms < 0)
		after_ms = 0;
	if (after_ms > WEIR_CIVIL_MS_MAX - MS_PER_MINUTE)
		return 0;
	if (cron->every_ms > 0) {
		next = (after_ms / cron->every_ms + 1) * cron->every_ms;
		return next <= WEIR_CIVIL_MS_MAX ? next : 0;
	}
	next = next_minute(cron, instant_of(after_ms / MS_PER_MINUTE + 1));
	return next < 0 ? 0 : next * MS_PER_MINUTE;
}

int64_t
weir__cron_last_ms(const struct weir_cron *cron, int64_t until_ms)
{
	int64_t last;

	weir_assert(cron->every_ms >= 0);
	if (until_ms <= 0)
		return 0;
	if (until_ms > WEIR_CIVIL_MS_MAX)
		until_ms = WEIR_CIVIL_MS_MAX;
	if (cron->every_ms > 0)
		return until_ms - until_ms % cron->every_ms;
	last = previous_minute(cron, instant_of(until_ms / MS_PER_MINUTE));
	return last < 0 ? 0 : last * MS_PER_MINUTE;
}

int64_t
weir__cron_next_of(const char *text, int64_t after_ms)
{
	struct weir_cron cron;
	char why[WEIR_CRON_WHY_MAX];
	int64_t next_ms = 0;

	if (weir__cron_parse(text, &cron, why))
		next_ms = weir__cron_next_ms(&cron, after_ms);
	return next_ms ? next_ms : INT64_MAX;
}

int64_t
weir__cron_due_of(const char *text, int64_t due_ms, int64_t now_ms)
{
	struct weir_cron cron;
	char why[WEIR_CRON_WHY_MAX];
	int64_t last_ms = 0;

	if (weir__cron_parse(text, &cron, why))
		last_ms = weir__cron_last_ms(&cron, now_ms);
	return last_ms > due_ms ? last_ms : due_ms;
}
