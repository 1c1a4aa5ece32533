/*
 * When a schedule fires.
 *
 * Five fields, in UTC:
 *
 *      minute  0-59       hour  0-23      day      1-31
 *      month   1-12, jan-dec              weekday  0-7, sun-sat (0, 7: Sunday)
 *
 * each a list of *, N and N-M, all of which may have a /STEP; N/STEP runs to
 * the end.  Day and weekday as in Vixie's cron: if neither field begins with *,
 * a day that is in one of the two is enough, else it has to be in both.
 *
 * Or @hourly, @daily (@midnight), @weekly, @monthly, @yearly (@annually); or
 * @every and a duration, such as "@every 90s", whose ticks are multiples of it
 * since 1970, so that all who look agree on them.
 */
#ifndef WEIR_SRC_QUEUE_CRON_H
#define WEIR_SRC_QUEUE_CRON_H

#include <stdbool.h>
#include <stdint.h>

#define WEIR_CRON_WHY_MAX 128

/* Sets of numbers, a bit for each; or an interval.  A plain value. */
struct weir_cron {
	uint64_t minutes, hours, days, months, weekdays; /* weekdays: 0 to 6 */
	bool either;      /* a day of one of the two is enough */
	int64_t every_ms; /* > 0: the rest is not used */
};

/* False: it is none, ret_why says why, for people, and *ret is untouched. */
bool weir__cron_parse(const char *text, struct weir_cron *ret,
		      char ret_why[WEIR_CRON_WHY_MAX]);

/*
 * The first tick after that time, in ms since 1970; times before that count as
 * 1970.  0: never (30 February), or not before the year 10000.
 */
int64_t weir__cron_next_ms(const struct weir_cron *cron, int64_t after_ms);

/* The last tick that is not after that time; 0: none since 1970. */
int64_t weir__cron_last_ms(const struct weir_cron *cron, int64_t until_ms);

/*
 * The same for a schedule's text as a store has it.  It was checked when it
 * was put; one that is bad by now never ticks again.
 *
 * next_of  the first tick after that time; INT64_MAX: never.
 * due_of   the tick to fire of one that is due since due_ms: the latest.
 */
int64_t weir__cron_next_of(const char *text, int64_t after_ms);
int64_t weir__cron_due_of(const char *text, int64_t due_ms, int64_t now_ms);

#endif
