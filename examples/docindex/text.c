/*
 * The streaming cleaner of text.h.
 *
 * Design: input is cut into characters, and each is white space, dropped or
 * kept.  White space is only noted; it is written with the character that ends
 * the run, which knows what the run amounted to:
 *
 *      kept --space--> in a run --space--> in a run (lines, new_pages grow)
 *        ^                |
 *        +---- kept ------+   writes ' ', '\n', or takes back a hyphen
 *
 * So there is nothing to trim at the end, a page begins at a character that is
 * there, and memory holds nothing but what is kept: a gigabyte of blanks costs
 * three fields.
 */
#include "text.h"
#include "base/assert.h"
#include "base/utf8.h"

#include <stdlib.h>
#include <string.h>

#define SOFT_HYPHEN     0xad
#define BYTE_ORDER_MARK 0xfeff

void
text_init(struct text *t, size_t max)
{
	*t = (struct text){.max = max};
}

void
text_fini(struct text *t)
{
	weir__buf_fini(&t->data);
	free(t->pages);
	*t = (struct text){0};
}

/* The character that s, which is known to be one, stands for. */
static uint32_t
decode(const char *s, size_t len)
{
	static const unsigned char lead_bits[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
	uint32_t c;

	weir_assert(len >= 1 && len <= 4);
	c = (unsigned char)s[0] & lead_bits[len];
	for (size_t i = 1; i < len; i++)
		c = c << 6 | ((unsigned char)s[i] & 0x3f);
	return c;
}

/* White_Space of the Unicode Character Database. */
static bool
is_space(uint32_t c)
{
	if (c < 0x80)
		return c == ' ' || (c >= '\t' && c <= '\r');
	return c == 0x85 || c == 0xa0 || c == 0x1680 ||
	       (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 ||
	       c == 0x202f || c == 0x205f || c == 0x3000;
}

static bool
is_control(uint32_t c)
{
	return c < 0x20 || (c >= 0x7f && c < 0xa0);
}

/*
 * Lower case, in the scripts that hyphenate: Latin, Greek and Cyrillic.  Not
 * islower(), which asks the locale: a document has the same text everywhere.
 */
static bool
is_lower(uint32_t c)
{
	if (c < 0x80)
		return c >= 'a' && c <= 'z';
	if (c >= 0x100 && c < 0x180) {
		/* Pairs, of which two stretches begin with an odd one. */
		bool odd = (c >= 0x139 && c <= 0x148) || c >= 0x179;

		return c == 0x138 || c == 0x149 || c == 0x17f ||
		       (c != 0x178 && (c & 1) != odd);
	}
	return (c >= 0xdf && c <= 0xff && c != 0xf7) ||
	       (c >= 0x3ac && c <= 0x3ce) || (c >= 0x430 && c <= 0x45f);
}

/* How many lines c ends; a paragraph's end counts as an empty line. */
static unsigned
line_ends(const struct text *t, uint32_t c)
{
	switch (c) {
	case '\n':
		return t->after_cr ? 0 : 1;
	case '\r':
	case '\v':
	case 0x85:
	case 0x2028:
		return 1;
	case 0x2029:
		return 2;
	default:
		return 0;
	}
}

/* Begin a page at offset.  False: there is no room for it. */
static bool
page_add(struct text *t, size_t offset)
{
	if (t->page_count == TEXT_PAGES_MAX) {
		t->status = TEXT_TOO_LONG;
		return false;
	}
	if (t->page_count == t->page_cap) {
		size_t cap = t->page_cap > 0 ? t->page_cap * 2 : 16;
		size_t *pages = reallocarray(t->pages, cap, sizeof(*pages));

		if (!pages) {
			t->status = TEXT_NO_MEMORY;
			return false;
		}
		t->pages = pages;
		t->page_cap = cap;
	}
	t->pages[t->page_count++] = offset;
	return true;
}

static void
take_space(struct text *t, uint32_t c)
{
	t->space = true;
	t->lines += line_ends(t, c);
	if (t->lines > 2)
		t->lines = 2;
	t->after_cr = c == '\r';
	if (c != '\f')
		return;
	/* The first form feed says that what came before it is a page, too. */
	if (t->page_count == 0 && !page_add(t, 0))
		return;
	t->new_pages++;
}

/* Does c go on with a word that the line end before it has hyphenated? */
static bool
joins(const struct text *t, uint32_t c)
{
	if (!t->space || t->lines != 1 || !is_lower(c))
		return false;
	return t->soft_hyphen ? is_lower(t->last)
			      : t->last == '-' && is_lower(t->before_last);
}

/* Keep a character, and before it what the white space amounted to. */
static void
take_char(struct text *t, uint32_t c, const char *s, size_t n)
{
	bool joined = joins(t, c);
	bool separate = t->space && !joined && t->data.len > 0;
	size_t hyphen = joined && !t->soft_hyphen;

	if (n + separate > t->max - t->data.len + hyphen) {
		t->status = TEXT_TOO_LONG;
		return;
	}
	if (!weir__buf_reserve(&t->data, n + separate)) {
		t->status = TEXT_NO_MEMORY;
		return;
	}
	/* First what can fail: data never ends in white space. */
	for (; t->new_pages > 0; t->new_pages--)
		if (!page_add(t, t->data.len - hyphen + separate))
			return;
	t->data.len -= hyphen;
	if (separate)
		weir__buf_putc(&t->data, t->lines > 1 ? '\n' : ' ');
	weir__buf_append(&t->data, s, n);
	t->before_last = separate ? ' ' : t->last;
	t->last = c;
	t->lines = 0;
	t->space = t->after_cr = t->soft_hyphen = false;
}

/* Take one character of n bytes, which fed does not count yet. */
static void
take(struct text *t, const char *s, size_t n)
{
	uint32_t c = decode(s, n);

	if (c == 0) {
		t->status = TEXT_BINARY;
		t->bad_at = t->fed;
	} else if (is_space(c)) {
		take_space(t, c);
	} else if (c == SOFT_HYPHEN) {
		/* Behind white space it hyphenates nothing. */
		t->soft_hyphen = !t->space || t->soft_hyphen;
	} else if (!is_control(c) && !(c == BYTE_ORDER_MARK && t->fed == 0)) {
		take_char(t, c, s, n);
	}
	t->fed += n;
}

/* Are the len bytes at s, which are no character, the start of one? */
static bool
is_cut(const char *s, size_t len, size_t bad_len)
{
	unsigned char lead = (unsigned char)s[0];

	return bad_len == len && lead >= 0xc2 && lead <= 0xf4;
}

/*
 * Take what s begins with: a character, or the start of one, which is kept for
 * later.  How many bytes was that?  With a bad status it does not matter.
 */
static size_t
take_next(struct text *t, const char *s, size_t len)
{
	size_t n;

	if (weir__utf8_next(s, len, &n)) {
		take(t, s, n);
	} else if (is_cut(s, len, n)) {
		weir_assert(n < sizeof(t->cut));
		memmove(t->cut, s, n);
		t->cut_len = n;
	} else {
		t->status = TEXT_NOT_UTF8;
		t->bad_at = t->fed;
	}
	return n;
}

/* Put one more byte behind a cut character. */
static void
take_cut(struct text *t, char byte)
{
	size_t len = t->cut_len;

	t->cut[len++] = byte;
	t->cut_len = 0;
	(void)take_next(t, t->cut, len);
}

enum text_status
text_feed(struct text *t, const char *bytes, size_t len)
{
	size_t i = 0;

	while (i < len && t->status == TEXT_OK) {
		if (t->cut_len > 0)
			take_cut(t, bytes[i++]);
		else
			i += take_next(t, bytes + i, len - i);
	}
	return t->status;
}

enum text_status
text_end(struct text *t)
{
	if (t->status == TEXT_OK && t->cut_len > 0) {
		t->status = TEXT_NOT_UTF8;
		t->bad_at = t->fed;
	}
	return t->status;
}

uint32_t
text_page(const struct text *t, size_t offset)
{
	size_t low = 0, high = t->page_count;

	/* pages[low - 1] <= offset < pages[high], as far as there are such. */
	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (t->pages[middle] <= offset)
			low = middle + 1;
		else
			high = middle;
	}
	return (uint32_t)low;
}
