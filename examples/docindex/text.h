/*
 * The text of a document, made fit for chunking while it streams in.
 *
 * What comes out of a file or of pdftotext is laid out for the eye: lines are
 * broken and indented, words hyphenated, pages told apart by form feeds.  What
 * is kept here is words with one blank between them and one '\n' between
 * paragraphs, so that a length in bytes says how much there is to read:
 *
 *      "\xef\xbb\xbf  An exam-\n  ple.\n\n\n Next\fpage\n"
 *                      becomes
 *      "An example.\nNext page"         with pages = {0, 17}
 *
 * - UTF-8 is checked strictly.  A byte that is none ends the text, and so does
 *   a NUL: what holds them is not prose, and half of it indexed is a lie.
 * - A byte order mark at the start is dropped.  So are control characters and
 *   soft hyphens, wherever they are.
 * - A run of white space becomes one blank, or one '\n' if it holds an empty
 *   line or U+2029.  There is none at the start nor at the end.
 * - "exam-\nple" is one word, if both letters are lower case.  (That costs the
 *   hyphen of a "self-evident" which is broken there, too: only a dictionary
 *   could tell.)
 * - A form feed is white space, and starts a page.
 */
#ifndef WEIR_EXAMPLES_DOCINDEX_TEXT_H
#define WEIR_EXAMPLES_DOCINDEX_TEXT_H

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum text_status {
	TEXT_OK,
	TEXT_NOT_UTF8, /* the byte at bad_at begins no character */
	TEXT_TOO_LONG, /* more than max bytes, or than TEXT_PAGES_MAX pages */
	TEXT_BINARY,   /* the byte at bad_at is a NUL */
	TEXT_NO_MEMORY,
};

enum { TEXT_PAGES_MAX = 100000 };

struct text {
	struct weir_buf data; /* what is kept so far: whole characters */
	size_t *pages;        /* page i + 1 begins at data.data[pages[i]] */
	size_t page_count, page_cap; /* none without a form feed */
	size_t max;                  /* data.len stays within it */
	uint64_t bad_at; /* offset in what was fed; see enum text_status */

	/* Where we are; of no use to others. */
	enum text_status status;
	uint64_t fed;     /* bytes of input before the character at hand */
	char cut[4];      /* the start of a character whose end is to come */
	size_t cut_len;   /* 0 to 3 */
	size_t new_pages; /* form feeds since the last character kept */
	unsigned lines;   /* line ends since then; 2 is as good as more */
	bool space;       /* white space since then */
	bool after_cr;    /* a '\n' now belongs to the '\r' before it */
	bool soft_hyphen; /* the last word so far ends in one */
	uint32_t last, before_last; /* the characters kept last */
};

/* An empty text that keeps max bytes at most.  It takes no memory yet. */
void text_init(struct text *t, size_t max);

/* Give the memory back.  It is empty, and may be initialised anew. */
void text_fini(struct text *t);

/*
 * Take the next len bytes, which may begin and end within a character: the
 * outcome does not depend on how the input is cut.
 *
 * The first trouble is the last word: t keeps what came before it, and each
 * later call returns the same.  With TEXT_TOO_LONG that is the beginning of
 * the document, which may be of use; after the others it had better not be.
 *
 * Waits:   never.
 * Threads: one at a time for each text.
 * Owns:    nothing; bytes is copied.
 * Returns: TEXT_OK, TEXT_NOT_UTF8, TEXT_TOO_LONG, TEXT_BINARY,
 *          TEXT_NO_MEMORY.
 */
enum text_status text_feed(struct text *t, const char *bytes, size_t len);

/*
 * There is no more to come.  A character that is cut off here is
 * TEXT_NOT_UTF8; form feeds at the end start no pages.
 *
 * Waits:   never.
 * Threads: one at a time for each text.
 * Owns:    nothing.
 * Returns: TEXT_OK, or what text_feed() returned, or TEXT_NOT_UTF8.
 */
enum text_status text_end(struct text *t);

/*
 * The page, counted from 1, that the byte at offset is on; 0 if the text has
 * no pages, for no form feed was in it.
 */
uint32_t text_page(const struct text *t, size_t offset);

#endif
