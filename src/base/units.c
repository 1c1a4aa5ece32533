/*
 * The parsers and formatters of units.h.
 *
 * Design: integers throughout, where one can.  strtod() and printf("%f") obey
 * the host program's locale ("1,5s"), accept what we refuse ("inf", "0x10",
 * blanks), and round.  All three parsers share one reader of digits.
 */
#include "base/units.h"
#include "base/assert.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define NS_PER_US INT64_C(1000)
#define NS_PER_MS (NS_PER_US * 1000)
#define NS_PER_S  (NS_PER_MS * 1000)
#define NS_PER_M  (NS_PER_S * 60)
#define NS_PER_H  (NS_PER_M * 60)
#define NS_PER_D  (NS_PER_H * 24)

struct unit {
	const char *name;
	int64_t scale;
};

static const struct unit duration_units[] = {
	{"ns", 1},       {"us", NS_PER_US}, {"ms", NS_PER_MS}, {"s", NS_PER_S},
	{"m", NS_PER_M}, {"h", NS_PER_H},   {"d", NS_PER_D},   {NULL, 0},
};

/* No fraction and no "KB": the one is not exact, the other means 1000. */
static const struct unit size_units[] = {
	{"", 1},
	{"K", INT64_C(1) << 10},
	{"k", INT64_C(1) << 10},
	{"M", INT64_C(1) << 20},
	{"m", INT64_C(1) << 20},
	{"G", INT64_C(1) << 30},
	{"g", INT64_C(1) << 30},
	{"T", INT64_C(1) << 40},
	{"t", INT64_C(1) << 40},
	{NULL, 0},
};

static const struct unit rate_units[] = {
	{"/s", 1}, {"/m", 60}, {"/h", 3600}, {"/d", 86400}, {NULL, 0},
};

/* The scale of the unit of that name, or 0. */
static int64_t
unit_scale(const struct unit *units, const char *name)
{
	for (; units->name; units++)
		if (strcmp(units->name, name) == 0)
			return units->scale;
	return 0;
}

/* A number as it was written: digits, then perhaps a point and more digits. */
struct number {
	const char *whole, *fraction;
	size_t whole_len, fraction_len;
	const char *rest; /* what follows it */
};

static bool
read_number(const char *text, struct number *ret)
{
	static const char digits[] = "0123456789";
	struct number n = {.whole = text, .whole_len = strspn(text, digits)};

	n.rest = text + n.whole_len;
	if (n.whole_len == 0)
		return false;
	if (*n.rest == '.') {
		n.fraction = n.rest + 1;
		n.fraction_len = strspn(n.fraction, digits);
		n.rest = n.fraction + n.fraction_len;
		if (n.fraction_len == 0)
			return false;
	}
	*ret = n;
	return true;
}

/*
 * The number times scale.  A decimal is worth a tenth of the one before it;
 * once the scale cannot be divided by ten any more, only zeros may follow,
 * which is how a fraction that would have to be rounded is found.
 */
static bool
scale_number(const struct number *n, int64_t scale, uint64_t *ret)
{
	uint64_t value = 0, unit = (uint64_t)scale;

	for (size_t i = 0; i < n->whole_len; i++) {
		uint64_t digit = (uint64_t)(n->whole[i] - '0');

		if (__builtin_mul_overflow(value, 10, &value) ||
		    __builtin_add_overflow(value, digit, &value))
			return false;
	}
	if (__builtin_mul_overflow(value, unit, &value))
		return false;
	for (size_t i = 0; i < n->fraction_len; i++) {
		uint64_t digit = (uint64_t)(n->fraction[i] - '0');

		unit = unit % 10 == 0 ? unit / 10 : 0;
		if (digit > 0 && unit == 0)
			return false;
		if (__builtin_add_overflow(value, digit * unit, &value))
			return false;
	}
	*ret = value;
	return true;
}

bool
weir__parse_duration(const char *text, int64_t *ret_ns)
{
	struct number n;
	int64_t scale;
	uint64_t ns;

	if (strcmp(text, "0") == 0) {
		*ret_ns = 0;
		return true;
	}
	if (!read_number(text, &n))
		return false;
	scale = unit_scale(duration_units, n.rest);
	if (scale == 0 || !scale_number(&n, scale, &ns) || ns > INT64_MAX)
		return false;
	*ret_ns = (int64_t)ns;
	return true;
}

bool
weir__parse_size(const char *text, uint64_t *ret_bytes)
{
	struct number n;
	int64_t scale;

	if (!read_number(text, &n) || n.fraction_len > 0)
		return false;
	scale = unit_scale(size_units, n.rest);
	return scale != 0 && scale_number(&n, scale, ret_bytes);
}

/*
 * The only result that is a double.  It is the quotient of two exact integers
 * (millionths, and seconds), so that "600/m" is exactly 10.
 */
bool
weir__parse_rate(const char *text, double *ret_per_second)
{
	const int64_t millionths = 1000000;
	struct number n;
	int64_t seconds;
	uint64_t count;

	if (!read_number(text, &n))
		return false;
	seconds = unit_scale(rate_units, n.rest);
	if (seconds == 0 || !scale_number(&n, millionths, &count) || count == 0)
		return false;
	*ret_per_second = (double)count / (double)(millionths * seconds);
	return true;
}

/* ns in units, to the nearest. */
static uint64_t
round_to(uint64_t ns, int64_t unit)
{
	return ns / (uint64_t)unit +
	       (ns % (uint64_t)unit >= (uint64_t)(unit + 1) / 2);
}

/*
 * Each line asks whether the value, rounded as it would be shown, still fits
 * its unit.  Asking before rounding gives "60.0s" and "1000ms".
 */
static void
format_span(char *out, size_t n, const char *sign, uint64_t ns)
{
	uint64_t tenths_ms = round_to(ns, NS_PER_MS / 10);
	uint64_t tenths_s = round_to(ns, NS_PER_S / 10);
	uint64_t ms = round_to(ns, NS_PER_MS), us = round_to(ns, NS_PER_US);
	uint64_t s = round_to(ns, NS_PER_S), m = round_to(ns, NS_PER_M);
	uint64_t h = round_to(ns, NS_PER_H);

	if (ns == 0)
		(void)snprintf(out, n, "0s");
	else if (ns < 1000)
		(void)snprintf(out, n, "%s%" PRIu64 "ns", sign, ns);
	else if (us < 1000)
		(void)snprintf(out, n, "%s%" PRIu64 "us", sign, us);
	else if (tenths_ms < 100)
		(void)snprintf(out, n, "%s%" PRIu64 ".%" PRIu64 "ms", sign,
			       tenths_ms / 10, tenths_ms % 10);
	else if (ms < 1000)
		(void)snprintf(out, n, "%s%" PRIu64 "ms", sign, ms);
	else if (tenths_s < 600)
		(void)snprintf(out, n, "%s%" PRIu64 ".%" PRIu64 "s", sign,
			       tenths_s / 10, tenths_s % 10);
	else if (s < 3600)
		(void)snprintf(out, n, "%s%" PRIu64 "m%02" PRIu64 "s", sign,
			       s / 60, s % 60);
	else if (m < 1440)
		(void)snprintf(out, n, "%s%" PRIu64 "h%02" PRIu64 "m", sign,
			       m / 60, m % 60);
	else
		(void)snprintf(out, n, "%s%" PRIu64 "d%02" PRIu64 "h", sign,
			       h / 24, h % 24);
}

char *
weir__format_duration(char *out, size_t n, int64_t ns)
{
	/* Negated as unsigned, so that INT64_MIN is no special case. */
	if (ns < 0)
		format_span(out, n, "-", -(uint64_t)ns);
	else
		format_span(out, n, "", (uint64_t)ns);
	return out;
}

char *
weir__format_bytes(char *out, size_t n, uint64_t bytes)
{
	static const char prefixes[] = "kMGTPE";
	uint64_t unit = 1000;
	size_t i = 0;

	if (bytes < 1000) {
		(void)snprintf(out, n, "%" PRIu64 " B", bytes);
		return out;
	}
	/* What would be shown as 1000.0 is 1.0 of the next unit. */
	while (prefixes[i + 1] &&
	       round_to(bytes, (int64_t)unit / 10) >= 10000) {
		unit *= 1000;
		i++;
	}
	(void)snprintf(out, n, "%" PRIu64 ".%" PRIu64 " %cB",
		       round_to(bytes, (int64_t)unit / 10) / 10,
		       round_to(bytes, (int64_t)unit / 10) % 10, prefixes[i]);
	return out;
}

/* Filled from the end: the groups are counted from the lowest digit. */
char *
weir__format_count(char *out, size_t n, uint64_t count)
{
	char text[WEIR_FORMAT_SIZE];
	size_t at = sizeof(text);

	text[--at] = '\0';
	for (int digits = 1;; digits++) {
		weir_assert(at > 1);
		text[--at] = (char)('0' + count % 10);
		count /= 10;
		if (count == 0)
			break;
		if (digits % 3 == 0)
			text[--at] = ' ';
	}
	(void)snprintf(out, n, "%s", text + at);
	return out;
}
