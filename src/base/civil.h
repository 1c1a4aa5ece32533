/*
 * Days and dates of the Gregorian calendar, in UTC, without libc's tables and
 * its locks.
 *
 * Days are counted from 1970-01-01; years from 1 to 9999, which is as far as
 * an RFC 3339 date goes.
 */
#ifndef WEIR_SRC_BASE_CIVIL_H
#define WEIR_SRC_BASE_CIVIL_H

#include <stdint.h>

#define WEIR_MS_PER_DAY INT64_C(86400000)
/* 0001-01-01T00:00:00Z and 9999-12-31T23:59:59.999Z. */
#define WEIR_CIVIL_MS_MIN INT64_C(-62135596800000)
#define WEIR_CIVIL_MS_MAX INT64_C(253402300799999)

struct weir_civil {
	int year, month, day; /* months and days from 1 */
};

/* The date of a day. */
struct weir_civil weir__civil_of_day(int64_t day);

/* The first day of a month; months beyond 12 are those of the next years. */
int64_t weir__civil_month_start(int year, int month);

/* 0 is Sunday. */
int weir__civil_weekday(int64_t day);

/* Rounded down, also before 1970. */
int64_t weir__civil_day_of_ms(int64_t ms);

/* "2026-01-02T03:04:05Z" and its NUL; seconds since 1970. */
#define WEIR_CIVIL_TEXT_SIZE 21
char *weir__civil_format(char out[WEIR_CIVIL_TEXT_SIZE], int64_t seconds);

#endif
