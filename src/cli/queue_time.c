/*
 * Times of day; see queue_time.h.
 */
#include "cli/queue_time.h"

#include "base/units.h"
#include "sync/clock.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define SECOND_MS 1000
#define MINUTE_MS (60 * SECOND_MS)
#define HOUR_MS   (60 * MINUTE_MS)
#define DAY_MS    (INT64_C(24) * HOUR_MS)
#define NS_PER_MS 1000000

int64_t
weir__time_now_ms(void)
{
	return weir__unix_ns() / NS_PER_MS;
}

/* Exactly count digits at *at, which moves on; -1: they are none. */
static int
digits(const char **at, int count)
{
	int value = 0;

	for (int i = 0; i < count; i++, (*at)++) {
		if (**at < '0' || **at > '9')
			return -1;
		value = value * 10 + (**at - '0');
	}
	return value;
}

static bool
literal(const char **at, const char *any_of)
{
	if (**at == '\0' || !strchr(any_of, **at))
		return false;
	(*at)++;
	return true;
}

static bool
is_leap(int year)
{
	return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

static bool
parse_date(const char **at, struct tm *tm)
{
	static const int lengths[] = {31, 28, 31, 30, 31, 30,
				      31, 31, 30, 31, 30, 31};
	int year = digits(at, 4), month, day;

	if (year < 1970 || !literal(at, "-"))
		return false;
	month = digits(at, 2);
	if (month < 1 || month > 12 || !literal(at, "-"))
		return false;
	day = digits(at, 2);
	if (day < 1 || day > lengths[month - 1] + (month == 2 && is_leap(year)))
		return false;
	tm->tm_year = year - 1900;
	tm->tm_mon = month - 1;
	tm->tm_mday = day;
	return true;
}

/* "09:30", hours up to 23. */
static bool
parse_clock(const char **at, int *ret_hour, int *ret_minute)
{
	*ret_hour = digits(at, 2);
	if (*ret_hour < 0 || *ret_hour > 23 || !literal(at, ":"))
		return false;
	*ret_minute = digits(at, 2);
	return *ret_minute >= 0 && *ret_minute <= 59;
}

/* ".25": finer than a millisecond is cut off. */
static bool
parse_fraction(const char **at, int *ret_ms)
{
	int scale = 100;

	*ret_ms = 0;
	if (!literal(at, "."))
		return true;
	if (**at < '0' || **at > '9')
		return false;
	for (; **at >= '0' && **at <= '9'; (*at)++, scale /= 10)
		*ret_ms += (**at - '0') * scale;
	return true;
}

/* "Z", "+02:00" */
static bool
parse_offset(const char **at, int *ret_minutes)
{
	bool west = **at == '-';
	int hour, minute;

	*ret_minutes = 0;
	if (literal(at, "Zz"))
		return true;
	if (!literal(at, "+-") || !parse_clock(at, &hour, &minute))
		return false;
	*ret_minutes = (west ? -1 : 1) * (hour * 60 + minute);
	return true;
}

bool
weir__time_parse(const char *text, int64_t *ret_ms)
{
	struct tm tm = {0};
	int ms, offset;
	int64_t value;

	if (!parse_date(&text, &tm) || !literal(&text, "Tt ") ||
	    !parse_clock(&text, &tm.tm_hour, &tm.tm_min) ||
	    !literal(&text, ":"))
		return false;
	tm.tm_sec = digits(&text, 2);
	/* 60 is a leap second, which clocks here do not have. */
	if (tm.tm_sec < 0 || tm.tm_sec > 60 || !parse_fraction(&text, &ms) ||
	    !parse_offset(&text, &offset) || *text != '\0')
		return false;
	value = (int64_t)timegm(&tm) * SECOND_MS + ms -
		(int64_t)offset * MINUTE_MS;
	if (value < 0)
		return false;
	*ret_ms = value;
	return true;
}

/* When the local clock shows that on the day of now, and days later. */
static int64_t
local_ms(int64_t now_ms, int days, int hour, int minute)
{
	time_t now = (time_t)(now_ms / SECOND_MS);
	struct tm tm;

	if (!localtime_r(&now, &tm))
		return -1;
	tm.tm_mday += days;
	tm.tm_hour = hour;
	tm.tm_min = minute;
	tm.tm_sec = 0;
	tm.tm_isdst = -1;
	return (int64_t)mktime(&tm) * SECOND_MS;
}

bool
weir__time_parse_at(const char *text, int64_t now_ms, int64_t *ret_ms)
{
	const char *at = text;
	int hour, minute;
	int64_t value;

	if (!parse_clock(&at, &hour, &minute) || *at != '\0')
		return weir__time_parse(text, ret_ms);
	value = local_ms(now_ms, 0, hour, minute);
	if (value <= now_ms)
		value = local_ms(now_ms, 1, hour, minute);
	if (value < 0)
		return false;
	*ret_ms = value;
	return true;
}

bool
weir__time_parse_since(const char *text, int64_t now_ms, int64_t *ret_ms)
{
	int64_t ns;

	if (!weir__parse_duration(text, &ns))
		return weir__time_parse(text, ret_ms);
	/* 0 is no time at all to a filter, so that is the beginning. */
	*ret_ms = now_ms - ns / NS_PER_MS > 0 ? now_ms - ns / NS_PER_MS : 1;
	return true;
}

char *
weir__time_format(char out[WEIR_TIME_SIZE], int64_t ms)
{
	time_t seconds = (time_t)(ms / SECOND_MS);
	struct tm tm;
	size_t len;

	if (ms < 0 || !gmtime_r(&seconds, &tm)) {
		(void)snprintf(out, WEIR_TIME_SIZE, "%" PRId64 "ms", ms);
		return out;
	}
	len = strftime(out, WEIR_TIME_SIZE, "%Y-%m-%dT%H:%M:%S", &tm);
	if (ms % SECOND_MS != 0)
		(void)snprintf(out + len, WEIR_TIME_SIZE - len, ".%03dZ",
			       (int)(ms % SECOND_MS));
	else
		(void)snprintf(out + len, WEIR_TIME_SIZE - len, "Z");
	return out;
}

char *
weir__time_age(char out[WEIR_AGE_SIZE], int64_t ms)
{
	if (ms < 0)
		ms = 0;
	if (ms < MINUTE_MS)
		(void)snprintf(out, WEIR_AGE_SIZE, "%" PRId64 "s",
			       ms / SECOND_MS);
	else if (ms < HOUR_MS)
		(void)snprintf(out, WEIR_AGE_SIZE, "%" PRId64 "m",
			       ms / MINUTE_MS);
	else if (ms < 2 * DAY_MS)
		(void)snprintf(out, WEIR_AGE_SIZE, "%" PRId64 "h",
			       ms / HOUR_MS);
	else
		(void)snprintf(out, WEIR_AGE_SIZE, "%" PRId64 "d", ms / DAY_MS);
	return out;
}

void
weir__time_put_duration(struct weir_buf *buf, int64_t ns)
{
	static const struct {
		int64_t ns;
		const char *unit;
	} units[] = {{WEIR_S, "s"}, {WEIR_MS, "ms"}, {WEIR_US, "us"}};

	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (ns % units[i].ns == 0) {
			weir__buf_printf(buf, "%" PRId64 "%s", ns / units[i].ns,
					 units[i].unit);
			return;
		}
	weir__buf_printf(buf, "%" PRId64 "ns", ns);
}
