/*
 * Where the chunks of chunk.h begin and end.
 *
 * Design: everything follows from one question, "does a sentence end here?",
 * asked for each place of a window of 200 bytes from its far end on: once to
 * end a chunk and once to begin the next.  The answer looks back over a
 * bounded stretch (closing quotes, then the word before the full stop), and a
 * chunk is at least 600 bytes further than the one before it; so the whole is
 * linear.
 *
 * A text is clean (see text.h), which makes this short: white space is one
 * byte, ' ' or '\n', and never at the start or the end.
 */
#include "chunk.h"

#include <string.h>

/* More quotes and brackets than these in a row are not prose. */
enum { CLOSERS_MAX = 4 };

/* The longest word that may be an abbreviation or a number, and one more. */
enum { WORD_MAX = 8 };

static bool
is_white(char c)
{
	return c == ' ' || c == '\n';
}

/* Does a character begin at s? */
static bool
is_boundary(const char *s)
{
	return ((unsigned char)*s & 0xc0) != 0x80;
}

/* Do the len bytes at s end in one of these?  In how many bytes? */
static size_t
ends_in(const char *s, size_t len, const char *const *list)
{
	for (; *list; list++) {
		size_t n = strlen(*list);

		if (n <= len && memcmp(s + len - n, *list, n) == 0)
			return n;
	}
	return 0;
}

/* Does s, which a NUL ends, begin with one of these? */
static bool
begins_with(const char *s, const char *const *list)
{
	for (; *list; list++)
		if (strncmp(s, *list, strlen(*list)) == 0)
			return true;
	return false;
}

/* The len bytes at s without the closing quotes and brackets at their end. */
static size_t
without_closers(const char *s, size_t len, const char *const *list)
{
	size_t n;

	for (int i = 0; i < CLOSERS_MAX && (n = ends_in(s, len, list)) > 0; i++)
		len -= n;
	return len;
}

/*
 * What may stand between the end of a sentence and the blank after it.  The
 * second half closes in German.
 */
static const char *const closers[] = {
	"\"",     "'",      ")",      "]",      "}",      "\u2019",
	"\u201d", "\u300d", "\u300f", "\u2018", "\u201c", "\u00ab",
	"\u00bb", "\u2039", "\u203a", NULL,
};
static const char *const ends[] = {
	".", "!", "?", "\u3002", "\uff01", "\uff1f", NULL,
};

/* The same in Chinese and Japanese, where no blank follows. */
static const char *const wide_closers[] = {
	"\u2019", "\u201d", "\u300b", "\u300d",
	"\u300f", "\u3011", "\uff09", NULL,
};
static const char *const wide_ends[] = {"\u3002", "\uff01", "\uff1f", NULL};

/* No sentence ends behind these, or hardly ever; "etc." is not among them. */
static const char *const abbreviations[] = {
	"Dr", "Mr", "Mrs", "Ms", "Prof", "St", "Fig", "e.g", "i.e",
	"cf", "vs", "pp",  "Nr", "bzw",  "ca", "z.B", "d.h", NULL,
};

/* What a word begins behind. */
static const char *const openers[] = {
	" ",      "\n",     "(",      "[",      "\"",     "'",      "\u2018",
	"\u201c", "\u201e", "\u00ab", "\u00bb", "\u300c", "\uff08", "\u3002",
	"\uff01", "\uff1f", "\u2019", "\u201d", "\u300d", "\uff09", NULL,
};

/* Where the word that ends at len begins, or some place WORD_MAX before. */
static size_t
word_start(const char *s, size_t len)
{
	size_t at = len;

	while (at > 0 && len - at < WORD_MAX && ends_in(s, at, openers) == 0)
		at--;
	return at;
}

static bool
is_abbreviation(const char *word, size_t len)
{
	for (const char *const *a = abbreviations; *a; a++)
		if (strlen(*a) == len && memcmp(word, *a, len) == 0)
			return true;
	return false;
}

/* "J", and the last of "J.R.R" or "J.-P". */
static bool
is_initial(const char *word, size_t len)
{
	if (len == 0 || word[len - 1] < 'A' || word[len - 1] > 'Z')
		return false;
	return len == 1 || word[len - 2] == '.' || word[len - 2] == '-';
}

/* "3", of a list or in "3. Mai"; but a year may end a sentence. */
static bool
is_ordinal(const char *word, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (word[i] < '0' || word[i] > '9')
			return false;
	return len >= 1 && len <= 3;
}

/* Does the full stop behind the len bytes at s belong to their last word? */
static bool
is_word_stop(const char *s, size_t len)
{
	size_t at = word_start(s, len);
	const char *word = s + at;

	return is_abbreviation(word, len - at) || is_initial(word, len - at) ||
	       is_ordinal(word, len - at);
}

/* It ends behind the last of several marks or quotes, not between them. */
static bool
is_wide_end(const char *s, size_t at)
{
	size_t len = without_closers(s, at, wide_closers);

	return ends_in(s, len, wide_ends) > 0 &&
	       !begins_with(s + at, wide_closers) &&
	       !begins_with(s + at, wide_ends);
}

/*
 * Does a sentence end before the byte at, which is within the text and not its
 * first?  The end of a paragraph always ends one: headings have no full stop.
 */
static bool
is_sentence_end(const char *s, size_t at)
{
	size_t len;

	if (s[at] != ' ')
		return s[at] == '\n' || is_wide_end(s, at);
	len = without_closers(s, at, closers);
	if (ends_in(s, len, ends) == 0)
		return false;
	return s[len - 1] != '.' || !is_word_stop(s, len - 1);
}

/* Where the chunk that begins at `at` ends, if there is more than fits. */
static size_t
chunk_end(const char *s, size_t at)
{
	size_t blank = 0, end;

	for (end = at + CHUNK_MAX; end >= at + CHUNK_MIN; end--) {
		if (is_sentence_end(s, end))
			return end;
		if (blank == 0 && is_white(s[end]))
			blank = end;
	}
	if (blank > 0)
		return blank;
	for (end = at + CHUNK_MAX; !is_boundary(s + end); end--)
		;
	return end;
}

/* Does a sentence begin at the byte at? */
static bool
is_sentence_start(const char *s, size_t at)
{
	if (is_white(s[at]))
		return false;
	return is_sentence_end(s, is_white(s[at - 1]) ? at - 1 : at);
}

/* The word's start in [low, high] that is closest to middle, or 0. */
static size_t
word_near(const char *s, size_t low, size_t middle, size_t high)
{
	for (size_t at = middle; at >= low; at--)
		if (is_white(s[at - 1]))
			return at;
	for (size_t at = middle + 1; at <= high; at++)
		if (is_white(s[at - 1]))
			return at;
	return 0;
}

/*
 * Where the chunk behind one that ends at `end` begins.  One sentence of
 * overlap is enough; but little is left at the end of a text, and then all the
 * company it can have makes it easier to understand.
 */
static size_t
next_start(const char *s, size_t end, bool is_rest)
{
	size_t low = end - OVERLAP_MAX, high = end - OVERLAP_MIN, best = 0;

	for (size_t at = high; at >= low; at--) {
		if (!is_sentence_start(s, at))
			continue;
		best = at;
		if (!is_rest)
			break;
	}
	if (best == 0)
		best = word_near(s, low, end - OVERLAP_USUAL, high);
	if (best > 0)
		return best;
	for (best = end - OVERLAP_USUAL; !is_boundary(s + best); best--)
		;
	return best;
}

bool
chunk_next(const struct text *t, size_t *at, struct chunk *ret)
{
	const char *s = t->data.data;
	size_t len = t->data.len, end = len;

	if (*at >= len)
		return false;
	if (len - *at > CHUNK_MAX)
		end = chunk_end(s, *at);
	*ret = (struct chunk){*at, end - *at,
			      text_page(t, *at + (end - *at) / 2)};
	if (end < len)
		*at = next_start(s, end, len - end < OVERLAP_MAX);
	else
		*at = len;
	return true;
}
