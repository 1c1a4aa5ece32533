/*
 * The growable buffer of buf.h.
 *
 * Design: capacity doubles, so that n appended bytes cost O(n) copies however
 * small the pieces.  Every way in goes through weir__buf_reserve(), which is
 * the only place that takes memory and the only one that sets `failed`.
 */
#include "base/buf.h"
#include "base/assert.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BUF_CAP_MIN 64

bool
weir__buf_reserve(struct weir_buf *b, size_t extra)
{
	size_t cap = b->cap < BUF_CAP_MIN ? BUF_CAP_MIN : b->cap;
	size_t need;
	char *data;

	if (b->failed)
		return false;
	if (extra < b->cap - b->len)
		return true;
	b->failed = true;
	/* One more for the NUL; no object may be larger than PTRDIFF_MAX. */
	if (__builtin_add_overflow(b->len, extra, &need) || need >= PTRDIFF_MAX)
		return false;
	need++;
	while (cap < need)
		cap = cap > PTRDIFF_MAX / 2 ? PTRDIFF_MAX : cap * 2;
	data = realloc(b->data, cap);
	if (!data)
		return false;
	data[b->len] = '\0';
	b->data = data;
	b->cap = cap;
	b->failed = false;
	return true;
}

void
weir__buf_append(struct weir_buf *b, const void *ptr, size_t len)
{
	/* memcpy() of nothing from NULL is undefined, and callers do it. */
	if (len == 0 || !weir__buf_reserve(b, len))
		return;
	memcpy(b->data + b->len, ptr, len);
	b->len += len;
	b->data[b->len] = '\0';
	weir_assert(b->len < b->cap);
}

void
weir__buf_puts(struct weir_buf *b, const char *text)
{
	weir__buf_append(b, text, strlen(text));
}

void
weir__buf_putc(struct weir_buf *b, char c)
{
	weir__buf_append(b, &c, 1);
}

/*
 * Most lines fit into the room that is there, so try before measuring: the
 * first call both prints and says how much it would have taken.
 */
void
weir__buf_vprintf(struct weir_buf *b, const char *format, va_list args)
{
	va_list again;
	int len;

	if (!weir__buf_reserve(b, 0))
		return;
	va_copy(again, args);
	len = vsnprintf(b->data + b->len, b->cap - b->len, format, args);
	if (len >= 0 && (size_t)len < b->cap - b->len) {
		b->len += (size_t)len;
	} else if (len >= 0 && weir__buf_reserve(b, (size_t)len)) {
		(void)vsnprintf(b->data + b->len, (size_t)len + 1, format,
				again);
		b->len += (size_t)len;
	} else {
		/* Take back what the first try left behind. */
		b->failed = true;
		b->data[b->len] = '\0';
	}
	va_end(again);
}

void
weir__buf_printf(struct weir_buf *b, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	weir__buf_vprintf(b, format, args);
	va_end(args);
}

void
weir__buf_reset(struct weir_buf *b)
{
	b->len = 0;
	b->failed = false;
	if (b->data)
		b->data[0] = '\0';
}

void
weir__buf_fini(struct weir_buf *b)
{
	free(b->data);
	*b = (struct weir_buf){0};
}
