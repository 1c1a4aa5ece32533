/*
 * UTF-8, as far as passing other people's text on needs it.
 */
#ifndef WEIR_SRC_BASE_UTF8_H
#define WEIR_SRC_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>

/* U+FFFD, which stands for bytes that are no character. */
#define WEIR_UTF8_REPLACEMENT "\xef\xbf\xbd"

/*
 * Look at the len bytes at s; len is at least 1.
 *
 * True: they begin with a character of *ret_len bytes.  False: they do not,
 * and the first *ret_len bytes (1 to 3) are to be replaced by one U+FFFD.
 */
bool weir__utf8_next(const char *s, size_t len, size_t *ret_len);

/* Are the len bytes at s characters, all of them?  None are. */
bool weir__utf8_is_valid(const char *s, size_t len);

#endif
