/*
 * Quoting for shells; see quote.h.
 *
 * Design: a word is looked at once, to choose the least of three forms, and
 * then written in it.  One form for the whole word: pieces of several forms
 * side by side are right as well, but nobody can read them.
 */
#include "base/quote.h"

#include "base/utf8.h"

#include <string.h>

/* C1 controls, U+0080 to U+009F, move the cursor of some terminals. */
static bool
is_control(const char *s, size_t len)
{
	unsigned char c = (unsigned char)s[0];

	return len == 1 ? c < 0x20 || c == 0x7f
			: len == 2 && c == 0xc2 && (unsigned char)s[1] < 0xa0;
}

/* Can a person see it as it is?  *ret_len: how many bytes this is about. */
static bool
is_visible(const char *s, size_t len, size_t *ret_len)
{
	return weir__utf8_next(s, len, ret_len) && !is_control(s, *ret_len);
}

static bool
all_visible(const char *word)
{
	size_t rest = strlen(word), len;

	for (; rest > 0; word += len, rest -= len)
		if (!is_visible(word, rest, &len))
			return false;
	return true;
}

static void
put_escaped_byte(struct weir_buf *buf, char c)
{
	static const char named[] = "\a\b\t\n\v\f\r";
	const char *at = c ? strchr(named, c) : NULL;

	if (at)
		weir__buf_printf(buf, "\\%c", "abtnvfr"[at - named]);
	else
		weir__buf_printf(buf, "\\x%02x", (unsigned)(unsigned char)c);
}

/* $'...': the only form in which any byte can be written. */
static void
put_escaped(struct weir_buf *buf, const char *word)
{
	size_t rest = strlen(word), len;

	weir__buf_puts(buf, "$'");
	for (; rest > 0; word += len, rest -= len) {
		bool visible = is_visible(word, rest, &len);

		if (*word == '\'' || *word == '\\')
			weir__buf_putc(buf, '\\');
		if (visible)
			weir__buf_append(buf, word, len);
		else
			for (size_t i = 0; i < len; i++)
				put_escaped_byte(buf, word[i]);
	}
	weir__buf_putc(buf, '\'');
}

static void
put_quoted(struct weir_buf *buf, const char *word)
{
	weir__buf_putc(buf, '\'');
	for (; *word; word++)
		if (*word == '\'')
			weir__buf_puts(buf, "'\\''");
		else
			weir__buf_putc(buf, *word);
	weir__buf_putc(buf, '\'');
}

static void
put_word(struct weir_buf *buf, const char *word, const char *plain)
{
	if (*word && word[strspn(word, plain)] == '\0')
		weir__buf_puts(buf, word);
	else if (all_visible(word))
		put_quoted(buf, word);
	else
		put_escaped(buf, word);
}

/* What no shell makes anything else of; '=' is last: see weir__quote_words. */
static const char plain[] = "abcdefghijklmnopqrstuvwxyz"
			    "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
			    "0123456789_-./:@%+,"
			    "=";

void
weir__quote_word(struct weir_buf *buf, const char *word)
{
	put_word(buf, word, plain);
}

void
weir__quote_words(struct weir_buf *buf, char *const *words)
{
	char first[sizeof(plain)];

	memcpy(first, plain, sizeof(plain));
	first[sizeof(plain) - 2] = '\0';
	for (size_t i = 0; words[i]; i++) {
		if (i > 0)
			weir__buf_putc(buf, ' ');
		put_word(buf, words[i], i == 0 ? first : plain);
	}
}
