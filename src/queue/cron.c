/*
 * Cron lines; see cron.h.
 *
 * Design: each field is a set in a word, so that the next number in it is one
 * instruction away.  The search goes by months, days, hours, and looks at none
 * of a month that is not in its set; what has not come up in 400 years, after
 * which the calendar repeats to the weekday, never will.
 */
#include "queue/cron.h"

#include "base/assert.h"
#include "base/civil.h"
#include "base/units.h"
#include "queue/names.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define MS_PER_MINUTE   60000
#define MINUTES_PER_DAY 1440
#define NS_PER_MS       1000000
#define MONTHS_IN_CYCLE (400 * 12 + 1)
#define LAST_YEAR       9999

/* The numbers of a field.  wide is the largest that may be written. */
struct field {
	const char *name;
	unsigned low, high, wide;
	const char *const *words; /* the first stands for low; NULL: none */
};

static const char *const month_words[] = {
	"jan", "feb", "mar", "apr", "may", "jun", "jul",
	"aug", "sep", "oct", "nov", "dec", NULL,
};
static const char *const weekday_words[] = {
	"sun", "mon", "tue", "wed", "thu", "fri", "sat", NULL,
};

enum { MINUTE, HOUR, DAY, MONTH, WEEKDAY, FIELDS };

static const struct field fields[FIELDS] = {
	[MINUTE] = {"minute", 0, 59, 59, NULL},
	[HOUR] = {"hour", 0, 23, 23, NULL},
	[DAY] = {"day", 1, 31, 31, NULL},
	[MONTH] = {"month", 1, 12, 12, month_words},
	[WEEKDAY] = {"weekday", 0, 6, 7, weekday_words},
};

/* A piece of the line. */
struct piece {
	const char *at, *end;
};

__attribute__((format(printf, 2, 3))) static bool
refuse(char why[WEIR_CRON_WHY_MAX], const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(why, WEIR_CRON_WHY_MAX, format, args);
	va_end(args);
	return false;
}

/* The same about a piece, which is shown. */
static bool
refuse_piece(char why[WEIR_CRON_WHY_MAX], const struct field *field,
	     struct piece piece, const char *what)
{
	char text[WEIR_NAME_SHOWN_SIZE], shown[WEIR_NAME_SHOWN_SIZE];

	(void)snprintf(text, sizeof(text), "%.*s", (int)(piece.end - piece.at),
		       piece.at);
	return refuse(why, "%s: \"%s\" %s", field->name,
		      weir__name_show(text, shown), what);
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool
is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* The number of a word, or -1. */
static int
word_number(const struct field *field, struct piece word)
{
	for (unsigned i = 0; field->words && field->words[i]; i++)
		if (word.end - word.at == 3 &&
		    strncasecmp(word.at, field->words[i], 3) == 0)
			return (int)(field->low + i);
	return -1;
}

/* Digits, of which a few are enough for any number that is good. */
static bool
take_digits(struct piece *piece, unsigned *ret)
{
	const char *begin = piece->at;

	for (*ret = 0; piece->at < piece->end && is_digit(*piece->at);
	     piece->at++)
		if (*ret < 100000)
			*ret = *ret * 10 + (unsigned)(*piece->at - '0');
	return piece->at > begin;
}

/* A number, or a word that stands for one; *ret_word says which. */
static bool
take_number(struct piece *piece, const struct field *field, unsigned *ret,
	    bool *ret_word, char why[WEIR_CRON_WHY_MAX])
{
	struct piece word = {piece->at, piece->at};
	int number;

	*ret_word = false;
	if (take_digits(piece, ret)) {
		word.end = piece->at;
		if (*ret < field->low || *ret > field->wide)
			return refuse(why, "%s: %.*s is not one of %u to %u",
				      field->name, (int)(word.end - word.at),
				      word.at, field->low, field->wide);
		return true;
	}
	while (word.end < piece->end && is_letter(*word.end))
		word.end++;
	number = word_number(field, word);
	if (number < 0)
		return refuse_piece(why, field, *piece,
				    field->words ? "is neither a number nor a "
						   "name of three letters"
						 : "is no number");
	piece->at = word.end;
	*ret = (unsigned)number;
	*ret_word = true;
	return true;
}

static bool
take_char(struct piece *piece, char c)
{
	if (piece->at == piece->end || *piece->at != c)
		return false;
	piece->at++;
	return true;
}

/* The numbers that a part begins and ends with.  *ret_open: N alone. */
static bool
take_range(struct piece *part, const struct field *field, unsigned ret[2],
	   bool *ret_open, char why[WEIR_CRON_WHY_MAX])
{
	struct piece all = *part;
	bool word;

	*ret_open = false;
	if (take_char(part, '*')) {
		ret[0] = field->low;
		ret[1] = field->high;
		return true;
	}
	if (!take_number(part, field, &ret[0], &word, why))
		return false;
	ret[1] = ret[0];
	*ret_open = !take_char(part, '-');
	if (*ret_open)
		return true;
	if (!take_number(part, field, &ret[1], &word, why))
		return false;
	/* fri-sun: behind a day there is a Sunday, too. */
	if (field->wide > field->high && word && ret[1] == 0 && ret[0] > 0)
		ret[1] = field->wide;
	return ret[0] <= ret[1]
		       ? true
		       : refuse_piece(why, field, all, "runs backwards");
}

/* "*", "5", "1-5", "10-30/5", "5/15" */
static bool
take_part(struct piece part, const struct field *field, uint64_t *set,
	  char why[WEIR_CRON_WHY_MAX])
{
	struct piece all = part;
	unsigned range[2], step = 1;
	bool open;

	if (part.at == part.end)
		return refuse(why, "%s: there is an empty place in its list",
			      field->name);
	if (!take_range(&part, field, range, &open, why))
		return false;
	if (take_char(&part, '/')) {
		if (!take_digits(&part, &step))
			return refuse_piece(why, field, all,
					    "has no number behind its /");
		if (step == 0 || step > field->wide)
			return refuse_piece(why, field, all,
					    "has a step that goes nowhere");
		if (open && range[1] < field->high)
			range[1] = field->high;
	}
	if (part.at < part.end)
		return refuse_piece(why, field, all,
				    "is none of *, N, N-M and these with "
				    "/STEP");
	for (unsigned n = range[0]; n <= range[1]; n += step)
		*set |= UINT64_C(1) << (n > field->high ? field->low : n);
	return true;
}

/* A list of parts. */
static bool
take_field(struct piece piece, const struct field *field, uint64_t *ret,
	   char why[WEIR_CRON_WHY_MAX])
{
	const char *comma;

	*ret = 0;
	do {
		struct piece part = piece;

		comma = memchr(piece.at, ',', (size_t)(piece.end - piece.at));
		if (comma) {
			part.end = comma;
			piece.at = comma + 1;
		}
		if (!take_part(part, field, ret, why))
			return false;
	} while (comma);
	weir_assert(*ret != 0);
	return true;
}

/* The words of a line, as far as there is room; how many there are. */
static unsigned
split(const char *text, struct piece pieces[FIELDS])
{
	unsigned count = 0;

	for (;;) {
		const char *end;

		while (is_blank(*text))
			text++;
		if (!*text)
			return count;
		for (end = text; *end && !is_blank(*end);)
			end++;
		if (count < FIELDS)
			pieces[count] = (struct piece){text, end};
		count++;
		text = end;
	}
}

static bool
piece_is(struct piece piece, const char *word)
{
	size_t len = (size_t)(piece.end - piece.at);

	return strlen(word) == len && memcmp(piece.at, word, len) == 0;
}

/* "@every" was read; what is behind it. */
static bool
parse_every(struct piece piece, struct weir_cron *cron,
	    char why[WEIR_CRON_WHY_MAX])
{
	char text[32], shown[WEIR_NAME_SHOWN_SIZE];
	int64_t ns;

	(void)snprintf(text, sizeof(text), "%.*s", (int)(piece.end - piece.at),
		       piece.at);
	if (piece.end - piece.at >= (int)sizeof(text) ||
	    !weir__parse_duration(text, &ns))
		return refuse(why, "\"%s\" is no duration, such as 90s or 1.5h",
			      weir__name_show(text, shown));
	if (ns < INT64_C(1000) * NS_PER_MS)
		return refuse(why, "@every %s: a second is the least", text);
	if (ns % NS_PER_MS != 0)
		return refuse(why,
			      "@every %s: that is no whole number of "
			      "milliseconds",
			      text);
	*cron = (struct weir_cron){.every_ms = ns / NS_PER_MS};
	return true;
}

static const struct {
	const char *word, *line;
} shorthands[] = {
	{"@hourly", "0 * * * *"},   {"@daily", "0 0 * * *"},
	{"@midnight", "0 0 * * *"}, {"@weekly", "0 0 * * 0"},
	{"@monthly", "0 0 1 * *"},  {"@yearly", "0 0 1 1 *"},
	{"@annually", "0 0 1 1 *"},
};

#define SHORTHANDS (sizeof(shorthands) / sizeof(shorthands[0]))

/* What begins with @.  *ret_line: what it is short for, if it is. */
static bool
parse_at(const struct piece *pieces, unsigned count, struct weir_cron *cron,
	 const char **ret_line, char why[WEIR_CRON_WHY_MAX])
{
	char text[WEIR_NAME_SHOWN_SIZE], shown[WEIR_NAME_SHOWN_SIZE];

	if (piece_is(pieces[0], "@every"))
		return count == 2 ? parse_every(pieces[1], cron, why)
				  : refuse(why, "@every takes one duration, "
						"such as 90s");
	for (size_t i = 0; i < SHORTHANDS; i++)
		if (piece_is(pieces[0], shorthands[i].word) && count == 1) {
			*ret_line = shorthands[i].line;
			return true;
		}
	(void)snprintf(text, sizeof(text), "%.*s",
		       (int)(pieces[0].end - pieces[0].at), pieces[0].at);
	return refuse(why,
		      "\"%s\": there are @hourly, @daily, @weekly, "
		      "@monthly, @yearly and @every DURATION",
		      weir__name_show(text, shown));
}

static bool
parse_fields(const struct piece *pieces, struct weir_cron *ret,
	     char why[WEIR_CRON_WHY_MAX])
{
	struct weir_cron cron = {0};
	uint64_t *const sets[FIELDS] = {&cron.minutes, &cron.hours, &cron.days,
					&cron.months, &cron.weekdays};

	for (unsigned i = 0; i < FIELDS; i++)
		if (!take_field(pieces[i], &fields[i], sets[i], why))
			return false;
	cron.either = *pieces[DAY].at != '*' && *pieces[WEEKDAY].at != '*';
	*ret = cron;
	return true;
}

bool
weir__cron_parse(const char *text, struct weir_cron *ret,
		 char ret_why[WEIR_CRON_WHY_MAX])
{
	struct piece pieces[FIELDS];
	const char *line = NULL;
	unsigned count = split(text, pieces);

	if (count == 0)
		return refuse(ret_why, "it is empty");
	if (*pieces[0].at == '@') {
		if (!parse_at(pieces, count, ret, &line, ret_why))
			return false;
		if (!line)
			return true;
		count = split(line, pieces);
	}
	if (memchr(pieces[0].at, '=', (size_t)(pieces[0].end - pieces[0].at)))
		return refuse(ret_why, "times are in UTC; a time zone cannot "
				       "be set");
	if (count != FIELDS)
		return refuse(ret_why,
			      "it has %u field%s, and not 5: minute, "
			      "hour, day, month, weekday",
			      count, count == 1 ? "" : "s");
	return parse_fields(pieces, ret, ret_why);
}

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
	bool by_date = has(cron->days, of_month);
	bool by_weekday = has(cron->weekdays, weir__civil_weekday(day));

	return cron->either ? by_date || by_weekday : by_date && by_weekday;
}

/* The first minute of a day that is not before `from`; -1: none. */
static int
first_minute(const struct weir_cron *cron, int from)
{
	int hour = at_least(cron->hours, from / 60), minute;

	if (hour < 0)
		return -1;
	minute = at_least(cron->minutes, hour == from / 60 ? from % 60 : 0);
	if (minute >= 0)
		return hour * 60 + minute;
	hour = at_least(cron->hours, hour + 1);
	return hour < 0 ? -1 : hour * 60 + at_least(cron->minutes, 0);
}

/* The last one that is not after `until`; -1: none. */
static int
last_minute(const struct weir_cron *cron, int until)
{
	int hour = at_most(cron->hours, until / 60), minute;

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
	for (; day >= month->first; day--, minute = MINUTES_PER_DAY - 1) {
		int found = -1;

		if (day_is_good(cron, day, (int)(day - month->first) + 1))
			found = last_minute(cron, minute);
		if (found >= 0)
			return day * MINUTES_PER_DAY + found;
	}
	return -1;
}

int64_t
weir__cron_next_ms(const struct weir_cron *cron, int64_t after_ms)
{
	int64_t from, day, found = -1;
	int minute;
	struct weir_civil date;
	struct month month;

	if (after_ms < 0)
		after_ms = 0;
	if (after_ms > WEIR_CIVIL_MS_MAX - MS_PER_MINUTE)
		return 0;
	if (cron->every_ms > 0) {
		from = (after_ms / cron->every_ms + 1) * cron->every_ms;
		return from <= WEIR_CIVIL_MS_MAX ? from : 0;
	}
	from = after_ms / MS_PER_MINUTE + 1;
	day = from / MINUTES_PER_DAY;
	minute = (int)(from % MINUTES_PER_DAY);
	date = weir__civil_of_day(day);
	month = month_of(date.year, date.month);
	for (int i = 0; i < MONTHS_IN_CYCLE && month.year <= LAST_YEAR; i++) {
		if (has(cron->months, month.month))
			found = first_of_month(cron, &month, day, minute);
		if (found >= 0)
			return found * MS_PER_MINUTE;
		month = month_of(month.year, month.month + 1);
		day = month.first;
		minute = 0;
	}
	return 0;
}

int64_t
weir__cron_last_ms(const struct weir_cron *cron, int64_t until_ms)
{
	int64_t until, day, found = -1;
	int minute;
	struct weir_civil date;
	struct month month;

	if (until_ms <= 0)
		return 0;
	if (cron->every_ms > 0)
		return until_ms - until_ms % cron->every_ms;
	if (until_ms > WEIR_CIVIL_MS_MAX)
		until_ms = WEIR_CIVIL_MS_MAX;
	until = until_ms / MS_PER_MINUTE;
	day = until / MINUTES_PER_DAY;
	minute = (int)(until % MINUTES_PER_DAY);
	date = weir__civil_of_day(day);
	month = month_of(date.year, date.month);
	for (int i = 0; i < MONTHS_IN_CYCLE && month.first >= 0; i++) {
		if (has(cron->months, month.month))
			found = last_of_month(cron, &month, day, minute);
		if (found >= 0)
			return found * MS_PER_MINUTE;
		month = month_of(month.year, month.month - 1);
		day = month.end - 1;
		minute = MINUTES_PER_DAY - 1;
	}
	return 0;
}
