/*
 * Well-formed UTF-8 told from the rest, after table 3-7 of the Unicode
 * Standard: it is the second byte that rules out overlong forms, surrogates
 * and what lies beyond U+10FFFF.
 *
 * Design: ill-formed bytes are taken in the longest piece that could have been
 * the start of a character ("maximal subpart"), as browsers and Python do, so
 * that a truncated character becomes one U+FFFD and not three.
 */
#include "base/utf8.h"
#include "base/assert.h"

/* What may follow a lead byte: how many bytes, and the range of the first. */
struct lead {
	unsigned char more, low, high;
};

static struct lead
utf8_lead(unsigned char c)
{
	if (c < 0xc2 || c > 0xf4)
		return (struct lead){0, 0, 0};
	if (c < 0xe0)
		return (struct lead){1, 0x80, 0xbf};
	if (c < 0xf0)
		return (struct lead){2, c == 0xe0 ? 0xa0 : 0x80,
				     c == 0xed ? 0x9f : 0xbf};
	return (struct lead){3, c == 0xf0 ? 0x90 : 0x80,
			     c == 0xf4 ? 0x8f : 0xbf};
}

bool
weir__utf8_next(const char *s, size_t len, size_t *ret_len)
{
	const unsigned char *u = (const unsigned char *)s;
	struct lead lead;
	size_t i;

	weir_assert(len > 0);
	*ret_len = 1;
	if (u[0] < 0x80)
		return true;
	lead = utf8_lead(u[0]);
	for (i = 1; i <= lead.more && i < len; i++) {
		if (u[i] < lead.low || u[i] > lead.high)
			break;
		/* Only the first of the followers is special. */
		lead.low = 0x80;
		lead.high = 0xbf;
	}
	*ret_len = i;
	return lead.more > 0 && i > lead.more;
}

bool
weir__utf8_is_valid(const char *s, size_t len)
{
	for (size_t n; len > 0; s += n, len -= n)
		if (!weir__utf8_next(s, len, &n))
			return false;
	return true;
}
