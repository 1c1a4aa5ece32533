/*
 * Dates; see civil.h.
 *
 * Design: years begin with March here, so that the leap day is the last of its
 * year and all months before it are as long as always: their lengths then
 * follow from (153 m + 2) / 5.  Years are taken in eras of 400, of which each
 * has as many days as the next.
 */
#include "base/civil.h"

#include "base/assert.h"

#include <stdio.h>

#define DAYS_PER_ERA 146097
/* Days from 0000-03-01 to 1970-01-01. */
#define EPOCH 719468

int64_t
weir__civil_day_of_ms(int64_t ms)
{
	return ms / WEIR_MS_PER_DAY - (ms % WEIR_MS_PER_DAY < 0);
}

struct weir_civil
weir__civil_of_day(int64_t day)
{
	int64_t days = day + EPOCH, era, in_era, year, in_year, month;

	weir_assert(days >= 0);
	era = days / DAYS_PER_ERA;
	in_era = days % DAYS_PER_ERA;
	/* Leap days do not count: every 1460, 36524 and 146096 days. */
	year = (in_era - in_era / 1460 + in_era / 36524 - in_era / 146096) /
	       365;
	in_year = in_era - (year * 365 + year / 4 - year / 100);
	month = (5 * in_year + 2) / 153; /* 0 is March */
	return (struct weir_civil){
		.year = (int)(era * 400 + year + (month >= 10)),
		.month = (int)(month < 10 ? month + 3 : month - 9),
		.day = (int)(in_year - (153 * month + 2) / 5 + 1),
	};
}

int64_t
weir__civil_month_start(int year, int month)
{
	int64_t years, era, in_era, m;

	weir_assert(year >= 0 && month >= 1);
	years = (int64_t)year * 12 + month - 1 - 2; /* months from March */
	m = years % 12;
	years /= 12;
	era = years / 400;
	in_era = years % 400;
	return era * DAYS_PER_ERA + in_era * 365 + in_era / 4 - in_era / 100 +
	       (153 * m + 2) / 5 - EPOCH;
}

int
weir__civil_weekday(int64_t day)
{
	/* 1970 began with a Thursday. */
	return (int)(((day + 4) % 7 + 7) % 7);
}

char *
weir__civil_format(char out[WEIR_CIVIL_TEXT_SIZE], int64_t seconds)
{
	int64_t day = weir__civil_day_of_ms(seconds * 1000);
	unsigned rest = (unsigned)(seconds - day * (WEIR_MS_PER_DAY / 1000));
	struct weir_civil date = weir__civil_of_day(day);

	weir_assert(date.year >= 1 && date.year <= 9999);
	(void)snprintf(out, WEIR_CIVIL_TEXT_SIZE,
		       "%04u-%02u-%02uT%02u:%02u:%02uZ",
		       (unsigned)date.year % 10000, (unsigned)date.month % 100,
		       (unsigned)date.day % 100, rest / 3600 % 24,
		       rest / 60 % 60, rest % 60);
	return out;
}
