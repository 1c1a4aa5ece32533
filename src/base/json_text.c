/*
 * The escapes of JSON strings, undone; see json_text.h.
 */
#include "base/json_text.h"

#include "base/assert.h"

#include <stdint.h>
#include <string.h>

static int
hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

int
weir__json_hex4(const char *digits)
{
	int value = 0;

	for (int i = 0; i < 4; i++) {
		int digit = hex_value(digits[i]);

		if (digit < 0)
			return -1;
		value = value * 16 + digit;
	}
	return value;
}

/* The bytes of that character wait in `wide`; the first is given. */
static unsigned char
give_character(struct weir_json_text *text, uint32_t c)
{
	weir_assert(c > 0 && c < 0x110000);
	text->wide_at = 1;
	text->wide_len = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
	if (text->wide_len == 1)
		return text->wide[0] = (unsigned char)c;
	for (unsigned i = text->wide_len - 1; i > 0; i--, c >>= 6)
		text->wide[i] = (unsigned char)(0x80 | (c & 0x3f));
	/* 110xxxxx, 1110xxxx or 11110xxx. */
	return text->wide[0] =
		       (unsigned char)(0xf0u << (4 - text->wide_len) | c);
}

/* At the u of its first half; to behind its last digit. */
static uint32_t
take_unicode(struct weir_json_text *text)
{
	int unit = weir__json_hex4(text->at + 1), low;

	text->at += 5;
	if (!weir__json_is_high(unit))
		return (uint32_t)unit;
	low = weir__json_hex4(text->at + 2);
	weir_assert(weir__json_is_low(low));
	text->at += 6;
	return 0x10000 + ((uint32_t)(unit - 0xd800) << 10) +
	       (uint32_t)(low - 0xdc00);
}

unsigned char
weir__json_text_escape(struct weir_json_text *text)
{
	static const char names[] = "bfnrt", bytes[] = "\b\f\n\r\t";
	const char *name;

	weir_assert(text->end - text->at >= 2 && text->at[0] == '\\');
	text->at++;
	if (*text->at == 'u')
		return give_character(text, take_unicode(text));
	name = strchr(names, *text->at++);
	return give_character(text, (unsigned char)(name ? bytes[name - names]
							 : text->at[-1]));
}

int
weir__json_text_compare(const char *a, size_t a_len, const char *b,
			size_t b_len)
{
	struct weir_json_text ta, tb;
	unsigned char x, y;

	weir__json_text_init(&ta, a, a_len);
	weir__json_text_init(&tb, b, b_len);
	do {
		x = weir__json_text_next(&ta);
		y = weir__json_text_next(&tb);
	} while (x == y && x != 0);
	return x - y;
}
