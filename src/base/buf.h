/*
 * A growable byte buffer.
 *
 * Writers append without looking; whoever uses the result checks `failed`
 * once.  When memory runs out the buffer keeps what it has, refuses everything
 * after it, and says so until weir__buf_reset(): a result with a hole in the
 * middle cannot come about.
 *
 *      struct weir_buf line = {0};
 *
 *      weir__buf_puts(&line, "hello ");
 *      weir__buf_printf(&line, "%d", n);
 *      if (!line.failed)
 *              write(fd, line.data, line.len);
 *      weir__buf_fini(&line);
 *
 * A zeroed struct is an empty buffer.  What is inside may hold NUL bytes, and
 * one more NUL follows it that len does not count.
 */
#ifndef WEIR_SRC_BASE_BUF_H
#define WEIR_SRC_BASE_BUF_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

struct weir_buf {
	char *data;      /* NULL until the first byte; see weir__buf_str() */
	size_t len, cap; /* len < cap once there is data */
	bool failed;     /* something was left out for want of memory */
};

/* Make room for extra more bytes and the NUL.  False: no memory; `failed`. */
bool weir__buf_reserve(struct weir_buf *b, size_t extra);

/* All of it or, with `failed`, nothing.  ptr must not point into b. */
void weir__buf_append(struct weir_buf *b, const void *ptr, size_t len);
void weir__buf_puts(struct weir_buf *b, const char *text);
void weir__buf_putc(struct weir_buf *b, char c);
void weir__buf_printf(struct weir_buf *b, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
void weir__buf_vprintf(struct weir_buf *b, const char *format, va_list args)
	__attribute__((format(printf, 2, 0)));

/* Empty it, keep its memory, forget the failure. */
void weir__buf_reset(struct weir_buf *b);

/* Give the memory back.  The buffer is empty and may be used again. */
void weir__buf_fini(struct weir_buf *b);

/* The contents as a string, never NULL.  Valid until b is next changed. */
static inline const char *
weir__buf_str(const struct weir_buf *b)
{
	return b->data ? b->data : "";
}

#endif
