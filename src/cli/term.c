/*
 * Terminals and untrusted text; see term.h.
 *
 * Design: what is dangerous is decided per code point, after UTF-8 has been
 * told from stray bytes, because C1 controls (U+009B is an escape sequence's
 * beginning to many terminals) hide inside well-formed two-byte characters.
 */
#include "cli/term.h"

#include "base/utf8.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* How long what is said waits for somebody to read it. */
#define SAY_MS 1000

/* No TERM at all is what cron and service managers give. */
static bool
term_is_dumb(void)
{
	const char *term = getenv("TERM");

	return !term || *term == '\0' || strcmp(term, "dumb") == 0;
}

bool
weir__term_color(enum weir_color_mode mode, int fd)
{
	const char *no_color = getenv("NO_COLOR");

	switch (mode) {
	case WEIR_COLOR_ALWAYS:
		return true;
	case WEIR_COLOR_NEVER:
		return false;
	case WEIR_COLOR_AUTO:
		break;
	}
	return (!no_color || *no_color == '\0') && weir__term_cursor(fd);
}

bool
weir__term_cursor(int fd)
{
	return isatty(fd) && !term_is_dumb();
}

bool
weir__term_utf8(void)
{
	static const char *const names[] = {"LC_ALL", "LC_CTYPE", "LANG"};
	const char *value = NULL;

	for (size_t i = 0; i < 3 && (!value || *value == '\0'); i++)
		value = getenv(names[i]);
	return value && (strcasestr(value, "UTF-8") != NULL ||
			 strcasestr(value, "utf8") != NULL);
}

unsigned
weir__term_columns(int fd)
{
	struct winsize size;

	if (ioctl(fd, TIOCGWINSZ, &size) != 0)
		return 0;
	return size.ws_col;
}

/* The code point of the well-formed character of len bytes at s. */
static uint32_t
code_point(const char *s, size_t len)
{
	static const unsigned char lead_bits[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
	uint32_t c = (unsigned char)s[0] & lead_bits[len];

	for (size_t i = 1; i < len; i++)
		c = c << 6 | ((unsigned char)s[i] & 0x3f);
	return c;
}

/*
 * Controls, line separators, characters without a width of their own that
 * hide text, and those that turn the direction of the text after them.
 */
static bool
is_dangerous(uint32_t c)
{
	return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0xad || c == 0x61c ||
	       (c >= 0x200b && c <= 0x200f) || (c >= 0x2028 && c <= 0x202e) ||
	       (c >= 0x2060 && c <= 0x206f) || c == 0xfeff ||
	       (c >= 0xfff9 && c <= 0xfffb) || c >= 0xe0000;
}

void
weir__term_clean(struct weir_buf *buf, const char *text, size_t len, bool utf8)
{
	while (len > 0) {
		size_t n;
		bool good = weir__utf8_next(text, len, &n);
		uint32_t c = good ? code_point(text, n) : 0;

		if (!is_dangerous(c) && (utf8 || c < 0x80))
			weir__buf_append(buf, text, n);
		else
			weir__buf_puts(buf, utf8 ? WEIR_UTF8_REPLACEMENT : "?");
		text += n;
		len -= n;
	}
}

static bool
is_continuation(char c)
{
	return ((unsigned char)c & 0xc0) == 0x80;
}

/* How many bytes the first columns characters of clean text have. */
static size_t
bytes_of(const char *text, size_t len, unsigned columns)
{
	size_t i = 0;

	while (i < len && columns > 0) {
		i++;
		while (i < len && is_continuation(text[i]))
			i++;
		columns--;
	}
	return i;
}

unsigned
weir__term_shorten(struct weir_buf *buf, const char *text, size_t len,
		   unsigned columns, bool utf8)
{
	const char *ellipsis = utf8 ? "…" : "...";
	unsigned ellipsis_width = utf8 ? 1 : 3, width, head, tail;
	struct weir_buf clean = {0};

	weir__term_clean(&clean, text, len, utf8);
	width = weir__term_width(clean.data, clean.len);
	if (width <= columns) {
		weir__buf_append(buf, clean.data, clean.len);
	} else if (columns < ellipsis_width + 2) {
		weir__buf_append(buf, clean.data,
				 bytes_of(clean.data, clean.len, columns));
		width = columns;
	} else {
		size_t skip;

		tail = (columns - ellipsis_width) / 2;
		head = columns - ellipsis_width - tail;
		skip = bytes_of(clean.data, clean.len, width - tail);
		weir__buf_append(buf, clean.data,
				 bytes_of(clean.data, clean.len, head));
		weir__buf_puts(buf, ellipsis);
		weir__buf_append(buf, clean.data + skip, clean.len - skip);
		width = columns;
	}
	weir__buf_fini(&clean);
	return width;
}

unsigned
weir__term_width(const char *text, size_t len)
{
	unsigned columns = 0;

	for (size_t i = 0; i < len; i++) {
		if (text[i] == '\033') {
			while (i < len && text[i] != 'm' && text[i] != 'K')
				i++;
			continue;
		}
		columns += text[i] != '\r' && !is_continuation(text[i]);
	}
	return columns;
}

int
weir__term_write(int fd, const char *data, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, data, len);

		if (n >= 0) {
			data += n;
			len -= (size_t)n;
			continue;
		}
		/* Whoever shares the terminal may have made it non-blocking. */
		if (errno == EAGAIN) {
			struct pollfd p = {.fd = fd, .events = POLLOUT};

			(void)poll(&p, 1, 1000);
		} else if (errno != EINTR) {
			return errno;
		}
	}
	return 0;
}

bool
weir__term_has_room(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLOUT};

	return poll(&p, 1, 0) != 0;
}

bool
weir__term_say(int fd, const char *data, size_t len)
{
	int patience_ms = SAY_MS;

	while (len > 0) {
		size_t piece = len < PIPE_BUF ? len : PIPE_BUF;
		struct pollfd p = {.fd = fd, .events = POLLOUT};
		int ready = poll(&p, 1, patience_ms < 50 ? patience_ms : 50);

		if (ready == 0 && patience_ms <= 0)
			return false;
		if (ready <= 0) {
			patience_ms -= 50;
			continue;
		}
		if (weir__term_write(fd, data, piece) != 0)
			return false;
		data += piece;
		len -= piece;
	}
	return true;
}
