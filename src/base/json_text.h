/*
 * What a JSON string stands for, byte by byte, its escapes undone.
 *
 *      struct weir_json_text text;
 *
 *      weir__json_text_init(&text, string, len);
 *      while ((byte = weir__json_text_next(&text)) != 0)
 *              ...
 *
 * For strings that weir__json_check() has let through: they are UTF-8 and
 * hold no NUL, so that 0 is the end.
 */
#ifndef WEIR_SRC_BASE_JSON_TEXT_H
#define WEIR_SRC_BASE_JSON_TEXT_H

#include <stdbool.h>
#include <stddef.h>

struct weir_json_text {
	const char *at, *end;
	/* The bytes of a character that was escaped, not yet given. */
	unsigned char wide[4];
	unsigned wide_at, wide_len;
};

/* len bytes from behind the first quote to the last. */
static inline void
weir__json_text_init(struct weir_json_text *text, const char *string,
		     size_t len)
{
	text->at = string;
	text->end = string + len;
	text->wide_at = text->wide_len = 0;
}

/* Undo the escape that text stands at; its first byte. */
unsigned char weir__json_text_escape(struct weir_json_text *text);

/* The next byte; 0 behind the last. */
static inline unsigned char
weir__json_text_next(struct weir_json_text *text)
{
	if (text->wide_at < text->wide_len)
		return text->wide[text->wide_at++];
	if (text->at == text->end)
		return 0;
	if (*text->at == '\\')
		return weir__json_text_escape(text);
	return (unsigned char)*text->at++;
}

/*
 * Compare what two strings stand for, byte by byte as memcmp() does: < 0, 0 or
 * > 0.
 */
int weir__json_text_compare(const char *a, size_t a_len, const char *b,
			    size_t b_len);

/*
 * The number that four hexadecimal digits stand for; -1 if one of them is none.
 * And the halves of a surrogate pair.
 */
int weir__json_hex4(const char *digits);

static inline bool
weir__json_is_high(int unit)
{
	return unit >= 0xd800 && unit <= 0xdbff;
}

static inline bool
weir__json_is_low(int unit)
{
	return unit >= 0xdc00 && unit <= 0xdfff;
}

#endif
