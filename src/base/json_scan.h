/*
 * A look at the members of a JSON object, without making anything of it.
 *
 *      struct weir_json_member m;
 *      struct weir_json_scan scan;
 *
 *      weir__json_scan_init(&scan, line, len);
 *      while (weir__json_scan_next(&scan, &m))
 *              if (weir__json_is(m.name, m.name_len, "key"))
 *                      ...
 *      if (weir__json_scan_is_whole(&scan))
 *              ...
 *
 * It is for reading our own records back, many of them: it takes no memory,
 * and tells a whole object from a torn one.  It does not judge what it passes
 * over: numbers, escapes and UTF-8 may be wrong, or a bracket of the other
 * kind. For JSON of users there is jansson.
 */
#ifndef WEIR_SRC_BASE_JSON_SCAN_H
#define WEIR_SRC_BASE_JSON_SCAN_H

#include <stdbool.h>
#include <stddef.h>

struct weir_json_scan {
	const char *at, *end;
	enum {
		WEIR_JSON_SCAN_BEGIN, /* nothing was looked at */
		WEIR_JSON_SCAN_MEMBERS,
		WEIR_JSON_SCAN_WHOLE,
		WEIR_JSON_SCAN_BROKEN,
	} state;
};

/* As they stand in the text: a string with its quotes and escapes. */
struct weir_json_member {
	const char *name, *value;
	size_t name_len, value_len;
};

void weir__json_scan_init(struct weir_json_scan *scan, const char *text,
			  size_t len);

/* The next member.  False: no more, or it is no object; see is_whole. */
bool weir__json_scan_next(struct weir_json_scan *scan,
			  struct weir_json_member *ret);

/* After the last member: the text was one object, and nothing behind it. */
bool weir__json_scan_is_whole(const struct weir_json_scan *scan);

/* Is that text the string, with quotes and without any escape? */
bool weir__json_is(const char *text, size_t len, const char *string);

#endif
