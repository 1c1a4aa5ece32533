/*
 * The JSON writer of json.h (RFC 8259).
 *
 * Design: the whole state is a depth and two bits a level, so a writer lives
 * on the stack, needs no memory of its own and cannot fail.  Every value goes
 * through json_before_value(), which is where commas come from and where a
 * value in the wrong place is caught.
 */
#include "base/json.h"
#include "base/assert.h"
#include "base/utf8.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define JSON_DECIMALS_MAX 17
/* The digits of DBL_MAX, a sign, a radix character of any locale, a NUL. */
#define JSON_FIXED_SIZE (309 + JSON_DECIMALS_MAX + 16)

static_assert(WEIR_JSON_DEPTH_MAX == 64, "a level is a bit of a uint64_t");

void
weir__json_init(struct weir_json *j, struct weir_buf *buf)
{
	*j = (struct weir_json){.buf = buf};
}

bool
weir__json_complete(const struct weir_json *j)
{
	return j->done && j->depth == 0;
}

/* The bit of the innermost open object or array. */
static uint64_t
json_level(const struct weir_json *j)
{
	weir_assert(j->depth > 0 && j->depth <= WEIR_JSON_DEPTH_MAX);
	return UINT64_C(1) << (j->depth - 1);
}

/* At the top there is neither object nor array, and so no key either. */
static bool
json_in_object(const struct weir_json *j)
{
	return j->depth > 0 && (j->objects & json_level(j));
}

/* A comma, unless this is the first element of its level. */
static void
json_comma(struct weir_json *j)
{
	uint64_t level = json_level(j);

	if (j->nonempty & level)
		weir__buf_putc(j->buf, ',');
	j->nonempty |= level;
}

/* In an object the key has put the comma already. */
static void
json_before_value(struct weir_json *j)
{
	weir_assert(j->keyed == json_in_object(j));
	if (j->depth == 0) {
		weir_assert(!j->done);
		j->done = true;
	} else if (!j->keyed) {
		json_comma(j);
	}
	j->keyed = false;
}

static void
json_begin(struct weir_json *j, char bracket, bool object)
{
	uint64_t level;

	json_before_value(j);
	weir_assert(j->depth < WEIR_JSON_DEPTH_MAX);
	j->depth++;
	/* The bits may be left over from a level that was closed. */
	level = json_level(j);
	j->objects = object ? j->objects | level : j->objects & ~level;
	j->nonempty &= ~level;
	weir__buf_putc(j->buf, bracket);
}

static void
json_end(struct weir_json *j, char bracket, bool object)
{
	weir_assert(j->depth > 0 && !j->keyed);
	weir_assert(json_in_object(j) == object);
	j->depth--;
	weir__buf_putc(j->buf, bracket);
}

void
weir__json_begin_object(struct weir_json *j)
{
	json_begin(j, '{', true);
}

void
weir__json_end_object(struct weir_json *j)
{
	json_end(j, '}', true);
}

void
weir__json_begin_array(struct weir_json *j)
{
	json_begin(j, '[', false);
}

void
weir__json_end_array(struct weir_json *j)
{
	json_end(j, ']', false);
}

/* One character of ASCII that json_is_plain() turns down. */
static void
json_escape(struct weir_buf *b, char c)
{
	switch (c) {
	case '"':
		weir__buf_puts(b, "\\\"");
		break;
	case '\\':
		weir__buf_puts(b, "\\\\");
		break;
	case '\n':
		weir__buf_puts(b, "\\n");
		break;
	case '\r':
		weir__buf_puts(b, "\\r");
		break;
	case '\t':
		weir__buf_puts(b, "\\t");
		break;
	default:
		weir__buf_printf(b, "\\u%04x", (unsigned)(unsigned char)c);
	}
}

/* May c stand in a JSON string as it is? */
static bool
json_is_plain(char c)
{
	unsigned char u = (unsigned char)c;

	return u >= 0x20 && u < 0x80 && c != '"' && c != '\\';
}

/*
 * What needs no escape is copied in runs, not byte by byte: the outputs of
 * jobs pass through here, and nearly all of their bytes are plain.
 */
static void
json_quote(struct weir_buf *b, const char *text, size_t len)
{
	weir__buf_putc(b, '"');
	for (size_t i = 0, n = 0; i < len; i += n) {
		for (n = 0; i + n < len && json_is_plain(text[i + n]); n++)
			;
		weir__buf_append(b, text + i, n);
		i += n;
		if (i == len)
			break;
		if (!weir__utf8_next(text + i, len - i, &n))
			weir__buf_puts(b, WEIR_UTF8_REPLACEMENT);
		else if (n == 1)
			json_escape(b, text[i]);
		else
			weir__buf_append(b, text + i, n);
	}
	weir__buf_putc(b, '"');
}

void
weir__json_key(struct weir_json *j, const char *key)
{
	weir_assert(json_in_object(j) && !j->keyed);
	json_comma(j);
	json_quote(j->buf, key, strlen(key));
	weir__buf_putc(j->buf, ':');
	j->keyed = true;
}

void
weir__json_string(struct weir_json *j, const char *text, size_t len)
{
	json_before_value(j);
	json_quote(j->buf, text, len);
}

void
weir__json_puts(struct weir_json *j, const char *text)
{
	weir__json_string(j, text, strlen(text));
}

void
weir__json_raw(struct weir_json *j, const char *json, size_t len)
{
	weir_assert(len > 0);
	json_before_value(j);
	weir__buf_append(j->buf, json, len);
}

void
weir__json_int(struct weir_json *j, int64_t value)
{
	json_before_value(j);
	weir__buf_printf(j->buf, "%" PRId64, value);
}

void
weir__json_uint(struct weir_json *j, uint64_t value)
{
	json_before_value(j);
	weir__buf_printf(j->buf, "%" PRIu64, value);
}

void
weir__json_bool(struct weir_json *j, bool value)
{
	json_before_value(j);
	weir__buf_puts(j->buf, value ? "true" : "false");
}

void
weir__json_null(struct weir_json *j)
{
	json_before_value(j);
	weir__buf_puts(j->buf, "null");
}

/*
 * printf() writes the radix character of the host program's locale, of one
 * byte or several.  It stands between the digits whose number we know and the
 * decimals whose number we know too, so it is cut out from both sides.
 */
void
weir__json_fixed(struct weir_json *j, double value, int decimals)
{
	char text[JSON_FIXED_SIZE];
	size_t whole;
	int len;

	weir_assert(decimals >= 0 && decimals <= JSON_DECIMALS_MAX);
	if (!isfinite(value)) {
		weir__json_null(j);
		return;
	}
	len = snprintf(text, sizeof(text), "%.*f", decimals, value);
	weir_assert(len > decimals && (size_t)len < sizeof(text));
	json_before_value(j);
	whole = text[0] == '-' ? 1 : 0;
	whole += strspn(text + whole, "0123456789");
	weir__buf_append(j->buf, text, whole);
	if (decimals == 0)
		return;
	weir__buf_putc(j->buf, '.');
	weir__buf_append(j->buf, text + len - decimals, (size_t)decimals);
}
