/*
 * What the terminal can show, and text from outside made fit for it.
 *
 * A URL or an error text may hold anything, escape sequences that retitle the
 * window or repaint the screen among it.  Whatever we did not write ourselves
 * passes through weir__term_clean() before it is printed.
 */
#ifndef WEIR_SRC_CLI_TERM_H
#define WEIR_SRC_CLI_TERM_H

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>

/* In the order of --color's choices. */
enum weir_color_mode {
	WEIR_COLOR_AUTO,
	WEIR_COLOR_ALWAYS,
	WEIR_COLOR_NEVER,
};

/*
 * May this descriptor be written to in colour?  auto says no when NO_COLOR is
 * set and not empty, when TERM is dumb or unset, and when fd is no terminal.
 *
 * Waits:   never.
 * Threads: any, while nobody changes the environment.
 * Owns:    nothing.
 * Returns: whether.
 */
bool weir__term_color(enum weir_color_mode mode, int fd);

/*
 * Can the cursor be moved there?  A terminal, and TERM is not dumb.
 *
 * Waits:   never.
 * Threads: any, while nobody changes the environment.
 * Owns:    nothing.
 * Returns: whether.
 */
bool weir__term_cursor(int fd);

/*
 * Is the locale's character set UTF-8?  Read from LC_ALL, LC_CTYPE and LANG
 * themselves: setlocale() would change how the C library reads numbers.
 *
 * Waits:   never.
 * Threads: any, while nobody changes the environment.
 * Owns:    nothing.
 * Returns: whether.
 */
bool weir__term_utf8(void);

/*
 * The width in columns, asked for anew each time, so that a window may be
 * resized without a signal handler of ours.
 *
 * Waits:   never.
 * Threads: any.
 * Owns:    nothing.
 * Returns: the columns, or 0 when fd is no terminal or does not say.
 */
unsigned weir__term_columns(int fd);

/*
 * Append len bytes of text, made harmless: control characters (C0, DEL, C1),
 * characters that turn the writing direction, and what is not UTF-8 become
 * U+FFFD; without utf8, everything beyond ASCII becomes '?'.
 *
 * Waits:   never.
 * Threads: any.
 * Owns:    nothing.
 * Returns: nothing; out of memory is buf's `failed`.
 */
void weir__term_clean(struct weir_buf *buf, const char *text, size_t len,
		      bool utf8);

/*
 * Like weir__term_clean(), but at most columns wide: what does not fit is cut
 * out of the middle and replaced by an ellipsis, because both ends of a URL
 * say something.
 *
 * Waits:   never.
 * Threads: any.
 * Owns:    nothing.
 * Returns: the columns used.
 */
unsigned weir__term_shorten(struct weir_buf *buf, const char *text, size_t len,
			    unsigned columns, bool utf8);

/*
 * How wide a text of ours is: its characters, colours not counted.
 *
 * Waits:   never.
 * Threads: any.
 * Owns:    nothing.
 * Returns: the columns.
 */
unsigned weir__term_width(const char *text, size_t len);

/*
 * Write all of it, whatever the descriptor's mode.
 *
 * Waits:   for fd to take it.
 * Threads: any.
 * Owns:    nothing.
 * Returns: 0, or the errno that ended it.
 */
int weir__term_write(int fd, const char *data, size_t len);

/*
 * Can something be written without waiting?
 *
 * Waits:   no.
 * Threads: any.
 * Owns:    nothing.
 * Returns: whether PIPE_BUF bytes, or whatever a terminal takes at once, fit.
 */
bool weir__term_has_room(int fd);

/*
 * Write what can be written soon, and drop the rest: for what is said while
 * signals have to be obeyed, though nobody may be reading.
 *
 * Waits:   at most about a second.
 * Threads: any.
 * Owns:    nothing.
 * Returns: whether all was written.
 */
bool weir__term_say(int fd, const char *data, size_t len);

#endif
