/*
 * Words of a command as JSON; see queue_words.h.
 */
#include "cli/queue_words.h"

#include "base/utf8.h"

#include <string.h>

static const char digits[] =
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* Three bytes are four digits; what is missing at the end becomes "=". */
static void
encode(struct weir_buf *buf, const char *text, size_t len)
{
	for (size_t i = 0; i < len; i += 3) {
		size_t n = len - i < 3 ? len - i : 3;
		unsigned long bits = 0;

		for (size_t k = 0; k < 3; k++)
			bits = bits << 8 |
			       (k < n ? (unsigned char)text[i + k] : 0);
		for (size_t k = 0; k < 4; k++)
			weir__buf_putc(
				buf, k <= n ? digits[bits >> (18 - 6 * k) & 63]
					    : '=');
	}
}

void
weir__words_put(struct weir_json *j, const char *word)
{
	size_t len = strlen(word);
	struct weir_buf text = {0};

	if (weir__utf8_is_valid(word, len)) {
		weir__json_string(j, word, len);
		return;
	}
	encode(&text, word, len);
	weir__json_begin_object(j);
	weir__json_key(j, "base64");
	weir__json_string(j, weir__buf_str(&text), text.len);
	weir__json_end_object(j);
	if (text.failed)
		j->buf->failed = true;
	weir__buf_fini(&text);
}

/* The value of a digit, or -1. */
static int
digit_value(char c)
{
	const char *at = c ? strchr(digits, c) : NULL;

	return at ? (int)(at - digits) : -1;
}

bool
weir__words_decode(struct weir_buf *buf, const char *text, size_t len)
{
	size_t pad = 0;
	unsigned long bits = 0;

	if (len % 4 != 0)
		return false;
	while (pad < 2 && pad < len && text[len - 1 - pad] == '=')
		pad++;
	for (size_t i = 0; i < len; i++) {
		int value = i < len - pad ? digit_value(text[i]) : 0;

		if (value < 0)
			return false;
		bits = bits << 6 | (unsigned long)value;
		if (i % 4 < 3)
			continue;
		for (size_t k = 0; k < 3 - (i + 1 == len ? pad : 0); k++)
			weir__buf_putc(buf, (char)(bits >> (16 - 8 * k)));
		bits = 0;
	}
	return true;
}
