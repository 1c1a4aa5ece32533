/*
 * A text cut into chunks that overlap: what is embedded, and found, as one.
 *
 *      |---------- 800 to 1000 bytes ----------|
 *      One sentence. Another one. And the third. A fourth. The fifth one.
 *                                 |-- overlap --|------------------------...
 *
 * A chunk ends where a sentence does, at the last such place in reach, so that
 * no thought is cut in two; the next one begins up to 200 bytes before that,
 * at a sentence again, so that a question about two neighbouring sentences
 * finds both in one place.  Where a text has no such places (a table, a hash,
 * one enormous word) a blank will do, and then the end of any character.
 *
 * - The chunks cover the text, but for white space between them, and neither
 *   begin nor end with white space or within a character.
 * - All but the last are of CHUNK_MIN to CHUNK_MAX bytes, and each ends behind
 *   the one before it: none is all overlap.
 * - The overlap is one sentence, or more if that is short (OVERLAP_MIN); but a
 *   rest of less than OVERLAP_MAX bytes gets all that it may have.
 * - A text gives the same chunks each time, in time proportional to its
 *   length and with no memory.
 */
#ifndef WEIR_EXAMPLES_DOCINDEX_CHUNK_H
#define WEIR_EXAMPLES_DOCINDEX_CHUNK_H

#include "text.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	CHUNK_MIN = 800,
	CHUNK_MAX = 1000,
	OVERLAP_MIN = 50,
	OVERLAP_USUAL = 100, /* where there is no sentence to begin at */
	OVERLAP_MAX = 200,
};

struct chunk {
	size_t at, len; /* in bytes of the text's data */
	uint32_t page;  /* that its middle is on; 0 if the text has no pages */
};

/*
 * The next chunk of t, which is complete.  *at is where it begins: 0 for the
 * first; it is moved on to the one after that.
 *
 *      for (size_t at = 0; chunk_next(&t, &at, &c);)
 *              embed(t.data.data + c.at, c.len);
 *
 * Waits:   never.
 * Threads: any number, while nobody changes t.
 * Owns:    nothing.
 * Returns: false, with *ret untouched, if there is no more.
 */
bool chunk_next(const struct text *t, size_t *at, struct chunk *ret);

#endif
