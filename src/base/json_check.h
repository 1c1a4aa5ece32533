/*
 * Is this text JSON?  Nothing is kept of it and nothing is changed.
 *
 * For JSON of users that has to come through byte for byte.  What RFC 8259
 * leaves open is decided strictly, because programs in other languages will
 * read the text later:
 *
 *   - UTF-8, well-formed, and no byte order mark;
 *   - no key twice in an object, however it is spelled ("a" is "\u0061");
 *   - at most WEIR_JSON_DEPTH_MAX arrays and objects inside each other;
 *   - numbers of any size and precision: they are not looked at as numbers;
 *   - no half of a surrogate pair, which is no character;
 *   - no \u0000, which the texts of databases cannot hold.
 *
 * (jansson refuses 1e400 and accepts half of these.)
 */
#ifndef WEIR_SRC_BASE_JSON_CHECK_H
#define WEIR_SRC_BASE_JSON_CHECK_H

#include <stdbool.h>
#include <stddef.h>

/*
 * What is wrong: where, counted in bytes from 0, and why, in one line for
 * people.  A plain value.
 */
struct weir_json_fault {
	size_t at;
	bool no_memory; /* it could not be looked at; `why` says so */
	char why[96];
};

/* What the one value has to be. */
enum weir_json_shape {
	WEIR_JSON_ANY,
	WEIR_JSON_OBJECT,
};

/*
 * False: it is not, and *ret says why.  Memory is taken for objects of many
 * keys only, at most 16 bytes for each key, and given back.
 */
bool weir__json_check(const char *text, size_t len, enum weir_json_shape shape,
		      struct weir_json_fault *ret);

#endif
