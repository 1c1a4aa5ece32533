/*
 * Words of a command as JSON, and back.
 *
 * A word is any bytes but NUL, and JSON strings are characters.  A word that
 * is UTF-8 is a string, another one is {"base64": "..."}.
 */
#ifndef WEIR_SRC_CLI_QUEUE_WORDS_H
#define WEIR_SRC_CLI_QUEUE_WORDS_H

#include "base/json.h"

/* Append the word as a value. */
void weir__words_put(struct weir_json *j, const char *word);

/*
 * The bytes of a base64 text, appended to buf.  False: it is none.
 */
bool weir__words_decode(struct weir_buf *buf, const char *text, size_t len);

#endif
