/*
 * Words as a shell reads them, for commands that are shown to people.
 *
 * What comes out is one line, whatever is in the words, and safe to print on a
 * terminal: control characters and bytes that are not UTF-8 are written as in
 * $'\n' and $'\xff', which bash, ksh, zsh and POSIX of 2024 read; other words
 * that need it stand in 'single quotes'.
 */
#ifndef WEIR_SRC_BASE_QUOTE_H
#define WEIR_SRC_BASE_QUOTE_H

#include "base/buf.h"

/* Append one word. */
void weir__quote_word(struct weir_buf *buf, const char *word);

/*
 * Append a command: its words with blanks between them, of which the first
 * would not be taken for an assignment.  NULL ends them.
 */
void weir__quote_words(struct weir_buf *buf, char *const *words);

#endif
