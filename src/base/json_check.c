/*
 * JSON, judged; see json_check.h.
 *
 * Design: one pass over the text with an explicit stack, which is a bit for
 * each level (object or array) and the number of keys below it.  Of the values
 * nothing is kept, of the keys their place until their object ends
 * (json_keys.h).
 */
#include "base/json_check.h"

#include "base/assert.h"
#include "base/json.h" /* WEIR_JSON_DEPTH_MAX */
#include "base/json_keys.h"
#include "base/json_text.h"
#include "base/utf8.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* How much of a key a person is shown. */
#define KEY_SHOWN 40

struct check {
	const char *text, *at, *end;
	struct weir_json_fault *fault;
	struct weir_json_keys keys;

	/* The stack. */
	unsigned depth;
	bool fresh;                          /* the innermost one is empty */
	uint64_t objects;                    /* bit d: level d is an object */
	uint32_t bases[WEIR_JSON_DEPTH_MAX]; /* where its keys begin */
};

static_assert(WEIR_JSON_DEPTH_MAX == 64, "`objects` has a bit for each level");

enum byte {
	PLAIN = 0, /* part of a string like any other */
	QUOTE,
	ESCAPE,
	CONTROL,
	WIDE, /* not ASCII */
};

static inline enum byte
byte_of(unsigned char c)
{
	if (c >= 0x80)
		return WIDE;
	if (c < 0x20)
		return CONTROL;
	if (c == '"')
		return QUOTE;
	return c == '\\' ? ESCAPE : PLAIN;
}

__attribute__((format(printf, 3, 4))) static bool
fault_at(struct check *c, const char *at, const char *format, ...)
{
	va_list args;

	weir_assert(at >= c->text && at <= c->end);
	c->fault->at = (size_t)(at - c->text);
	va_start(args, format);
	vsnprintf(c->fault->why, sizeof(c->fault->why), format, args);
	va_end(args);
	return false;
}

/* What stands at `at` and should not, where `wanted` should. */
static bool
unexpected(struct check *c, const char *wanted)
{
	unsigned char byte;

	if (c->at == c->end)
		return fault_at(c, c->at, "it ends where %s should be", wanted);
	byte = (unsigned char)*c->at;
	if (byte > 0x20 && byte < 0x7f)
		return fault_at(c, c->at, "%c where %s should be", byte,
				wanted);
	return fault_at(c, c->at, "byte 0x%02x where %s should be", byte,
			wanted);
}

static inline void
skip_blanks(struct check *c)
{
	while (c->at < c->end && (*c->at == ' ' || *c->at == '\t' ||
				  *c->at == '\n' || *c->at == '\r'))
		c->at++;
}

/* At the backslash of \u. */
static bool
check_unicode(struct check *c)
{
	const char *begin = c->at;
	int unit = c->end - c->at >= 6 ? weir__json_hex4(c->at + 2) : -1;

	if (unit < 0)
		return fault_at(c, begin,
				"\\u without four hexadecimal digits");
	if (unit == 0)
		return fault_at(c, begin,
				"\\u0000, which databases cannot keep");
	c->at += 6;
	if (weir__json_is_low(unit))
		return fault_at(c, begin, "half of a surrogate pair, %.6s",
				begin);
	if (!weir__json_is_high(unit))
		return true;
	if (c->end - c->at < 6 || c->at[0] != '\\' || c->at[1] != 'u' ||
	    !weir__json_is_low(weir__json_hex4(c->at + 2)))
		return fault_at(c, begin, "half of a surrogate pair, %.6s",
				begin);
	c->at += 6;
	return true;
}

/* At a backslash. */
static bool
check_escape(struct check *c)
{
	if (c->end - c->at < 2)
		return fault_at(c, c->end, "it ends inside a string");
	if (c->at[1] == 'u')
		return check_unicode(c);
	if (!c->at[1] || !strchr("\"\\/bfnrt", c->at[1]))
		return fault_at(c, c->at, "a backslash that begins no escape");
	c->at += 2;
	return true;
}

static bool
check_wide(struct check *c)
{
	size_t len;

	if (!weir__utf8_next(c->at, (size_t)(c->end - c->at), &len))
		return fault_at(c, c->at, "a string that is not UTF-8");
	c->at += len;
	return true;
}

/* At its first quote; to behind its last.  *ret_plain: it has no escapes. */
static bool
check_string(struct check *c, bool *ret_plain)
{
	weir_assert(*c->at == '"');
	*ret_plain = true;
	for (c->at++; c->at < c->end;) {
		switch (byte_of((unsigned char)*c->at)) {
		case PLAIN:
			c->at++;
			break;
		case QUOTE:
			c->at++;
			return true;
		case ESCAPE:
			*ret_plain = false;
			if (!check_escape(c))
				return false;
			break;
		case CONTROL:
			return fault_at(c, c->at,
					"a control character in a string, "
					"0x%02x, without its escape",
					(unsigned char)*c->at);
		case WIDE:
			if (!check_wide(c))
				return false;
			break;
		}
	}
	return fault_at(c, c->end, "it ends inside a string");
}

/* How many digits there are, which are passed over. */
static size_t
skip_digits(struct check *c)
{
	const char *begin = c->at;

	while (c->at < c->end && *c->at >= '0' && *c->at <= '9')
		c->at++;
	return (size_t)(c->at - begin);
}

static bool
skip_one(struct check *c, const char *of)
{
	if (c->at == c->end || !*c->at || !strchr(of, *c->at))
		return false;
	c->at++;
	return true;
}

static bool
check_number(struct check *c)
{
	const char *first;

	(void)skip_one(c, "-");
	first = c->at;
	if (skip_digits(c) == 0)
		return unexpected(c, "a digit");
	if (*first == '0' && c->at - first > 1)
		return fault_at(c, first, "a number that begins with 0");
	if (skip_one(c, ".") && skip_digits(c) == 0)
		return unexpected(c, "a digit");
	if (skip_one(c, "eE")) {
		(void)skip_one(c, "+-");
		if (skip_digits(c) == 0)
			return unexpected(c, "a digit");
	}
	return true;
}

static bool
check_word(struct check *c, const char *word)
{
	size_t len = strlen(word);

	if ((size_t)(c->end - c->at) < len || memcmp(c->at, word, len) != 0)
		return unexpected(c, "a value");
	c->at += len;
	return true;
}

/* DEL, and U+0080 to U+009F: a terminal would obey them. */
static bool
is_control(const char *at, size_t len)
{
	unsigned char c = (unsigned char)at[0];

	return c == 0x7f ||
	       (len == 2 && c == 0xc2 && (unsigned char)at[1] < 0xa0);
}

static bool
duplicate(struct check *c, const struct weir_json_key *key)
{
	const char *name = c->text + key->at;
	char shown[KEY_SHOWN + 1];
	size_t out = 0, step, i;

	for (i = 0; i < key->len && out + 4 <= KEY_SHOWN; i += step) {
		(void)weir__utf8_next(name + i, key->len - i, &step);
		if (is_control(name + i, step)) {
			shown[out++] = '?';
			continue;
		}
		memcpy(shown + out, name + i, step);
		out += step;
	}
	shown[out] = '\0';
	return fault_at(c, name - 1, "duplicate key \"%s%s\"", shown,
			i < key->len ? "..." : "");
}

/* What came of looking at keys. */
static bool
take_verdict(struct check *c, enum weir_json_keys_verdict verdict,
	     const struct weir_json_key *second)
{
	switch (verdict) {
	case WEIR_JSON_KEYS_GOOD:
		return true;
	case WEIR_JSON_KEYS_TWICE:
		return duplicate(c, second);
	case WEIR_JSON_KEYS_NOMEM:
		c->fault->no_memory = true;
		return fault_at(c, c->at, "out of memory");
	}
	weir_bug("no such verdict");
}

static bool
check_key(struct check *c)
{
	enum weir_json_keys_verdict verdict;
	struct weir_json_key second;
	const char *begin;
	bool plain;

	skip_blanks(c);
	if (c->at == c->end || *c->at != '"')
		return unexpected(c, "a key in double quotes");
	begin = c->at + 1;
	if (!check_string(c, &plain))
		return false;
	verdict = weir__json_keys_add(&c->keys, c->bases[c->depth - 1], begin,
				      (size_t)(c->at - 1 - begin), plain,
				      &second);
	if (!take_verdict(c, verdict, &second))
		return false;
	skip_blanks(c);
	if (c->at == c->end || *c->at != ':')
		return unexpected(c, "a colon");
	c->at++;
	return true;
}

static inline bool
in_object(const struct check *c)
{
	weir_assert(c->depth > 0);
	return c->objects >> (c->depth - 1) & 1;
}

static bool
open_level(struct check *c, bool object)
{
	if (c->depth == WEIR_JSON_DEPTH_MAX)
		return fault_at(c, c->at, "more than %d levels deep",
				WEIR_JSON_DEPTH_MAX);
	c->objects &= ~(UINT64_C(1) << c->depth);
	c->objects |= (uint64_t)object << c->depth;
	c->bases[c->depth++] = c->keys.count;
	c->fresh = true;
	c->at++;
	return true;
}

static bool
close_level(struct check *c)
{
	struct weir_json_key second;
	uint32_t base = c->bases[c->depth - 1];

	if (!take_verdict(c, weir__json_keys_close(&c->keys, base, &second),
			  &second))
		return false;
	c->depth--;
	c->fresh = false;
	c->at++;
	return true;
}

/* A value without insides, or the bracket that opens one with them. */
static bool
begin_value(struct check *c)
{
	bool plain;

	skip_blanks(c);
	if (c->at == c->end)
		return unexpected(c, "a value");
	switch (*c->at) {
	case '{':
	case '[':
		return open_level(c, *c->at == '{');
	case '"':
		return check_string(c, &plain);
	case 't':
		return check_word(c, "true");
	case 'f':
		return check_word(c, "false");
	case 'n':
		return check_word(c, "null");
	case '-':
		return check_number(c);
	default:
		return *c->at >= '0' && *c->at <= '9'
			       ? check_number(c)
			       : unexpected(c, "a value");
	}
}

/* In an array or object: its end, or one more value in it. */
static bool
step(struct check *c)
{
	bool object = in_object(c);

	skip_blanks(c);
	if (c->at < c->end && *c->at == (object ? '}' : ']'))
		return close_level(c);
	if (!c->fresh) {
		if (c->at == c->end || *c->at != ',')
			return unexpected(c, object ? "a comma or }"
						    : "a comma or ]");
		c->at++;
	}
	c->fresh = false;
	return (!object || check_key(c)) && begin_value(c);
}

static bool
check_text(struct check *c, enum weir_json_shape shape)
{
	if (c->end - c->text > UINT32_MAX / 2)
		return fault_at(c, c->text, "more than 2 GiB");
	if (c->end - c->text >= 3 && memcmp(c->text, "\xef\xbb\xbf", 3) == 0)
		return fault_at(c, c->text, "a byte order mark");
	skip_blanks(c);
	if (c->at == c->end)
		return fault_at(c, c->at, "no JSON at all");
	if (shape == WEIR_JSON_OBJECT && *c->at != '{')
		return unexpected(c, "an object in {}");
	if (!begin_value(c))
		return false;
	while (c->depth > 0)
		if (!step(c))
			return false;
	skip_blanks(c);
	return c->at == c->end ? true : unexpected(c, "the end");
}

bool
weir__json_check(const char *text, size_t len, enum weir_json_shape shape,
		 struct weir_json_fault *ret)
{
	struct check c;
	bool good;

	/* Not all of it is set: that would take longer than most texts. */
	c.text = c.at = text;
	c.end = text + len;
	c.fault = ret;
	c.depth = 0;
	c.fresh = false;
	c.objects = 0;
	weir__json_keys_init(&c.keys, text);
	ret->no_memory = false;
	good = check_text(&c, shape);
	weir__json_keys_fini(&c.keys);
	return good;
}
