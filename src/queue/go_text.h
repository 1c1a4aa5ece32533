/*
 * JSON as encoding/json of Go writes it, for River's unique keys.
 *
 * All texts have been let through by weir__json_check().
 */
#ifndef WEIR_SRC_QUEUE_GO_TEXT_H
#define WEIR_SRC_QUEUE_GO_TEXT_H

#include "base/buf.h"

#include <stddef.h>

/* A string as it is spelled in a text, without its quotes. */
struct weir_spelled {
	const char *at;
	size_t len;
};

/* A string, with its quotes. */
void weir__go_string(struct weir_buf *buf, struct weir_spelled string);

/* Any value: no blanks, strings as above, numbers as they are spelled. */
void weir__go_value(struct weir_buf *buf, const char *value, size_t len);

/*
 * The name of a member that River has put into an object itself.  It does that
 * with another library, which writes a name as it is if there is nothing in it
 * but 0x20 to 0x7f without " and \, and else as Go does: "<" stays in "a<b",
 * and not in "ä<b".
 */
void weir__go_name(struct weir_buf *buf, struct weir_spelled name);

#endif
