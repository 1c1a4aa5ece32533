/*
 * Cron lines, read; see cron.h.  cron_tick.c finds when they fire.
 *
 * Design: a line is cut into words first, so that what is wrong can be shown;
 * then each field is read by one reader, which a table tells what is in it.
 * What is read is a set of numbers in a word of 64 bits.
 */
#include "queue/cron.h"

#include "base/assert.h"
#include "base/units.h"
#include "queue/names.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define NS_PER_MS 1000000

/*
 * The numbers of a field: * stands for low to high.  wide is the largest that
 * may be written; what is beyond high stands for low again (7 is Sunday).
 */
struct field {
	const char *name;
	unsigned low, high, wide;
	const char *const *words; /* the first stands for low; NULL: none */
};

/* Three letters each, in any case, as in crontab(5). */
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

/* A piece of the line, which is the caller's and does not end with a NUL. */
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

	weir_assert(piece.at <= piece.end);
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

/* The number of a word, or -1; fields of numbers alone have no words. */
static int
word_number(const struct field *field, struct piece word)
{
	for (unsigned i = 0; field->words && field->words[i]; i++)
		if (word.end - word.at == 3 &&
		    strncasecmp(word.at, field->words[i], 3) == 0)
			return (int)(field->low + i);
	return -1;
}

/*
 * Digits.  A number that is too large for any field stays so: it stops growing
 * before it could overflow.
 */
static bool
take_digits(struct piece *piece, unsigned *ret)
{
	const char *begin = piece->at;

	weir_assert(piece->at <= piece->end);
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
	/* 22-2 could be meant to wrap; cron has never read it so. */
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
	weir_assert(range[1] <= field->wide && range[0] >= field->low);
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

	weir_assert(piece.at < piece.end && field->wide < 64);
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

/*
 * "@every" was read; what is behind it.  A duration has no more than 25 digits
 * and a unit, so what does not fit is none.
 */
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
	/* Vixie's rule asks for the first byte alone: a star with a step is
	 * one. */
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
