/*
 * Names; see names.h.
 *
 * Design: River's rules are regular expressions over ASCII (and one dot that is
 * not).  Here they are loops over a table of what each byte may be, which say
 * what is wrong, not only that something is.
 */
#include "queue/names.h"

#include "base/assert.h"
#include "base/utf8.h"

#include <string.h>

enum {
	LOWER = 1, /* a-z and 0-9: letters of a queue's name */
	BREAK = 2, /* what may stand between them */
	WORD = 4,  /* letters, digits and _ */
	EXTRA = 8, /* what else a kind may have, behind its first byte */
};

static unsigned
class_of(char c)
{
	if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'))
		return LOWER | WORD;
	if (c >= 'A' && c <= 'Z')
		return WORD;
	switch (c) {
	case '_':
		return BREAK | WORD;
	case '-':
		return BREAK | EXTRA;
	case '|': /* River's rule reads it, by an accident that works. */
		return BREAK;
	case '[':
	case ']':
	case '<':
	case '>':
	case '/':
	case '.':
	case ':':
	case '+':
		return EXTRA;
	default:
		return 0;
	}
}

static bool
is(char c, unsigned classes)
{
	return class_of(c) & classes;
}

const char *
weir__queue_name_fault(const char *name, size_t len)
{
	weir_assert(name);
	if (len == 0)
		return "is empty";
	if (len > WEIR_QUEUE_NAME_MAX)
		return "has more than 64 bytes";
	for (size_t i = 0; i < len; i++)
		if (!is(name[i], LOWER | BREAK))
			return "has something else than a-z, 0-9, _ and -";
	if (!is(name[0], LOWER) || !is(name[len - 1], LOWER))
		return "does not begin and end with one of a-z and 0-9";
	/* The ends were looked at, so this one has a neighbour on each side. */
	for (size_t i = 1; i < len; i++)
		if (is(name[i], BREAK) && is(name[i - 1], BREAK))
			return "has two of _ and - side by side";
	return NULL;
}

/* The middle dot, U+00B7, is the one character in a kind that is not ASCII. */
static size_t
kind_step(const char *at, size_t len)
{
	weir_assert(len > 0);
	if (is(at[0], WORD | EXTRA))
		return 1;
	return len >= 2 && memcmp(at, "\xc2\xb7", 2) == 0 ? 2 : 0;
}

const char *
weir__kind_fault(const char *kind, size_t len)
{
	size_t step;

	weir_assert(kind);
	if (len == 0)
		return "is empty";
	if (len > WEIR_KIND_MAX)
		return "has more than 127 bytes";
	if (!is(kind[0], WORD))
		return "does not begin with a letter, a digit or _";
	if (len == 1)
		return "has only one character";
	for (size_t i = 1; i < len; i += step) {
		step = kind_step(kind + i, len - i);
		if (step == 0)
			return "has something else than letters, digits, _ and "
			       "-[]<>/.\xc2\xb7:+";
	}
	return NULL;
}

const char *
weir__tag_fault(const char *tag, size_t len)
{
	weir_assert(tag);
	if (len < 3)
		return "has less than 3 bytes";
	if (len > WEIR_TAG_MAX)
		return "has more than 255 bytes";
	for (size_t i = 0; i < len; i++)
		if (!is(tag[i], WORD) && tag[i] != '-')
			return "has something else than letters, digits, _ "
			       "and -";
	if (tag[0] == '-' || tag[len - 1] == '-')
		return "begins or ends with -";
	return NULL;
}

/* Controls of both kinds, ASCII's and those from U+0080 to U+009F. */
static bool
is_control(const char *at, size_t len)
{
	unsigned char c = (unsigned char)at[0];

	weir_assert(len > 0);
	return c < 0x20 || c == 0x7f ||
	       (len == 2 && c == 0xc2 && (unsigned char)at[1] < 0xa0);
}

const char *
weir__schedule_name_fault(const char *name, size_t len)
{
	size_t step;

	weir_assert(name);
	if (len == 0)
		return "is empty";
	if (len > WEIR_SCHEDULE_NAME_MAX)
		return "has more than 127 bytes";
	for (size_t i = 0; i < len; i += step) {
		if (!weir__utf8_next(name + i, len - i, &step))
			return "is not UTF-8";
		if (is_control(name + i, step))
			return "has a control character";
	}
	return NULL;
}

const char *
weir__name_show(const char *name, char out[WEIR_NAME_SHOWN_SIZE])
{
	/* Room is left for a character of 4 bytes, "..." and a NUL. */
	size_t len = strnlen(name, WEIR_NAME_SHOWN_SIZE), at = 0, to = 0, step;

	while (at < len && to <= WEIR_NAME_SHOWN_SIZE - 8) {
		bool good = weir__utf8_next(name + at, len - at, &step);

		if (good && !is_control(name + at, step)) {
			memcpy(out + to, name + at, step);
			to += step;
		} else {
			out[to++] = '?';
		}
		at += step;
	}
	weir_assert(to + 4 <= WEIR_NAME_SHOWN_SIZE);
	memcpy(out + to, at < len ? "..." : "", at < len ? 4 : 1);
	return out;
}

bool
weir__kind_is_ours(const char *kind, size_t len)
{
	static const char prefix[] = "weir.";
	const size_t prefix_len = sizeof(prefix) - 1;

	weir_assert(kind);
	return len >= prefix_len && memcmp(kind, prefix, prefix_len) == 0;
}
