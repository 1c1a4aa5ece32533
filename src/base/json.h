/*
 * A streaming JSON writer.
 *
 * It writes straight into a buffer, keeps nothing but where it is, and puts
 * the commas by itself:
 *
 *      struct weir_json j;
 *
 *      weir__json_init(&j, &buf);
 *      weir__json_begin_object(&j);
 *      weir__json_key(&j, "status");
 *      weir__json_puts(&j, "ok");
 *      weir__json_key(&j, "ms");
 *      weir__json_fixed(&j, 61.25, 1);
 *      weir__json_end_object(&j);              {"status":"ok","ms":61.2}
 *
 * Only well-formed JSON comes out.  Text from outside may be anything: what is
 * not UTF-8 becomes U+FFFD.  A call in the wrong place (a value without its
 * key, an end without its beginning, a second value at the top, more than
 * WEIR_JSON_DEPTH_MAX levels) is a bug of ours and asserted.  Running out of
 * memory is the buffer's `failed`.
 */
#ifndef WEIR_SRC_BASE_JSON_H
#define WEIR_SRC_BASE_JSON_H

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WEIR_JSON_DEPTH_MAX 64

struct weir_json {
	struct weir_buf *buf;
	unsigned depth;    /* objects and arrays that are open */
	uint64_t objects;  /* bit d: level d is an object, not an array */
	uint64_t nonempty; /* bit d: level d has an element, so comma first */
	bool keyed;        /* a key stands there and waits for its value */
	bool done;         /* the one value at the top has begun */
};

/* Write one value behind what buf holds.  For the next one, init again. */
void weir__json_init(struct weir_json *j, struct weir_buf *buf);

/* Is the value complete? */
bool weir__json_complete(const struct weir_json *j);

void weir__json_begin_object(struct weir_json *j);
void weir__json_end_object(struct weir_json *j);
void weir__json_begin_array(struct weir_json *j);
void weir__json_end_array(struct weir_json *j);

void weir__json_key(struct weir_json *j, const char *key);

/* len bytes, NUL bytes among them; the other takes a C string. */
void weir__json_string(struct weir_json *j, const char *text, size_t len);
void weir__json_puts(struct weir_json *j, const char *text);

void weir__json_int(struct weir_json *j, int64_t value);
void weir__json_uint(struct weir_json *j, uint64_t value);
void weir__json_bool(struct weir_json *j, bool value);
void weir__json_null(struct weir_json *j);

/*
 * With exactly 0 to 17 decimals, and a point whatever the locale says.  JSON
 * has no NaN and no infinity: they become null.
 */
void weir__json_fixed(struct weir_json *j, double value, int decimals);

/* Text that is one JSON value already, unchecked; never a user's. */
void weir__json_raw(struct weir_json *j, const char *json, size_t len);

#endif
