/*
 * Slices and growable text: what the site reads and what it writes.
 *
 * A slice is borrowed bytes with a length; it is not terminated and may hold
 * zeros, because a hostile request may.  A text is owned bytes that grow.  A
 * text that cannot grow keeps what it has and says so in `failed`, so that
 * whoever builds an answer out of twenty pieces checks once, at the end.
 */
#ifndef WEIR_EXAMPLES_SITE_TEXT_H
#define WEIR_EXAMPLES_SITE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct slice {
	const char *data;
	size_t len;
};

#define SLICE(literal) ((struct slice){(literal), sizeof(literal) - 1})

bool slice_is(struct slice s, const char *text);
bool slice_is_nocase(struct slice s, const char *text);

/* Everything up to the first `at`, taken off the front of *rest with it. */
struct slice slice_cut(struct slice *rest, char at);
struct slice slice_trim(struct slice s);

/* Digits only, at most max.  False, and *ret untouched, for anything else. */
bool slice_number(struct slice s, uint64_t max, uint64_t *ret);

struct text {
	char *data;
	size_t len, capacity;
	bool failed;
};

/* Make room for `more` bytes beyond len. */
bool text_reserve(struct text *t, size_t more);
void text_append(struct text *t, struct slice s);
void text_printf(struct text *t, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* s as a JSON string, quotes included; bytes beyond ASCII as Latin-1. */
void text_append_json(struct text *t, struct slice s);

/* Forget the bytes; give back memory beyond what a quiet connection needs. */
void text_clear(struct text *t);
void text_fini(struct text *t);

#endif
