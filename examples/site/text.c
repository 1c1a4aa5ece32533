/*
 * The slices and texts of text.h.
 *
 * Growth doubles, so that appending byte by byte stays linear.  There is no
 * limit in here: each user of a text bounds what it appends.
 */
#include "text.h"
#include "base/assert.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* An idle keep-alive connection keeps no more than this per buffer. */
#define KEPT_CAPACITY_MAX 8192

bool
slice_is(struct slice s, const char *text)
{
	return strlen(text) == s.len && memcmp(s.data, text, s.len) == 0;
}

bool
slice_is_nocase(struct slice s, const char *text)
{
	return strlen(text) == s.len && strncasecmp(s.data, text, s.len) == 0;
}

struct slice
slice_cut(struct slice *rest, char at)
{
	struct slice all = *rest;
	const char *found = all.len ? memchr(all.data, at, all.len) : NULL;

	if (!found) {
		*rest = (struct slice){all.data + all.len, 0};
		return all;
	}
	rest->data = found + 1;
	rest->len = all.len - (size_t)(found - all.data) - 1;
	return (struct slice){all.data, (size_t)(found - all.data)};
}

struct slice
slice_trim(struct slice s)
{
	while (s.len && (s.data[0] == ' ' || s.data[0] == '\t')) {
		s.data++;
		s.len--;
	}
	while (s.len && (s.data[s.len - 1] == ' ' || s.data[s.len - 1] == '\t'))
		s.len--;
	return s;
}

bool
slice_number(struct slice s, uint64_t max, uint64_t *ret)
{
	uint64_t n = 0;

	if (s.len == 0)
		return false;
	for (size_t i = 0; i < s.len; i++) {
		unsigned digit = (unsigned char)s.data[i] - (unsigned)'0';

		if (digit > 9 || n > (UINT64_MAX - digit) / 10)
			return false;
		n = n * 10 + digit;
	}
	if (n > max)
		return false;
	*ret = n;
	return true;
}

/*
 * Growing is refused far below SIZE_MAX, so that the doubling below cannot
 * run over.
 */
bool
text_reserve(struct text *t, size_t more)
{
	size_t capacity = t->capacity ? t->capacity : 1024;
	char *data;

	if (t->failed || more > SIZE_MAX / 4 - t->len) {
		t->failed = true;
		return false;
	}
	if (t->capacity - t->len >= more)
		return true;
	while (capacity - t->len < more)
		capacity *= 2;
	data = realloc(t->data, capacity);
	if (!data) {
		t->failed = true;
		return false;
	}
	t->data = data;
	t->capacity = capacity;
	return true;
}

void
text_append(struct text *t, struct slice s)
{
	if (s.len == 0 || !text_reserve(t, s.len))
		return;
	memcpy(t->data + t->len, s.data, s.len);
	t->len += s.len;
}

void
text_printf(struct text *t, const char *format, ...)
{
	/* Most lines fit, so most are formatted once. */
	size_t room = 256;

	for (int tries = 0; tries < 2; tries++) {
		va_list args;
		int len;

		if (!text_reserve(t, room))
			return;
		va_start(args, format);
		len = vsnprintf(t->data + t->len, room, format, args);
		va_end(args);
		weir_assert(len >= 0);
		if ((size_t)len < room) {
			t->len += (size_t)len;
			return;
		}
		room = (size_t)len + 1;
	}
}

void
text_append_json(struct text *t, struct slice s)
{
	text_append(t, SLICE("\""));
	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.data[i];

		if (c == '"' || c == '\\')
			text_printf(t, "\\%c", c);
		else if (c < 0x20 || c >= 0x7f)
			text_printf(t, "\\u%04x", c);
		else
			text_append(t, (struct slice){s.data + i, 1});
	}
	text_append(t, SLICE("\""));
}

void
text_clear(struct text *t)
{
	if (t->capacity > KEPT_CAPACITY_MAX)
		text_fini(t);
	t->len = 0;
	t->failed = false;
}

void
text_fini(struct text *t)
{
	free(t->data);
	*t = (struct text){0};
}
