/*
 * Reading lines; see lines.h.
 *
 * Design: one buffer, in which bytes move to the front when a line straddles
 * its end.  It grows up to twice the longest line allowed, and becomes small
 * again when it is empty.
 *
 *      | done | a line that is looked for its end | read later |
 *      0      begin            scanned            end          cap
 *
 * Locking: what other threads may ask is an atomic word; the rest belongs to
 * the thread in weir__lines_next().
 */
#include "lines/lines.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BUFFER_MIN (64 * 1024)

void
weir__lines_init(struct weir_lines *lines,
		 const struct weir_lines_options *options)
{
	memset(lines, 0, sizeof(*lines));
	lines->options = *options;
	lines->fd = -1;
}

void
weir__lines_fini(struct weir_lines *lines)
{
	weir__lines_close(lines);
	free(lines->data);
	lines->data = NULL;
	lines->cap = 0;
}

void
weir__lines_close(struct weir_lines *lines)
{
	weir__u32_store(&lines->wait_fd, 0, WEIR_SEQ_CST);
	if (lines->fd > STDIN_FILENO)
		(void)close(lines->fd);
	lines->fd = -1;
	lines->skipping = false;
	lines->begin = lines->scanned = lines->end = 0;
}

bool
weir__lines_is_open(const struct weir_lines *lines)
{
	return lines->fd >= 0;
}

int
weir__lines_fd(const struct weir_lines *lines)
{
	return (int)weir__u32_load(&lines->wait_fd, WEIR_SEQ_CST) - 1;
}

/*
 * O_NONBLOCK is for FIFOs: open() would wait for somebody who writes, and this
 * thread has jobs to look after.  Until somebody does, poll() says that
 * nothing is there, and not that it has ended.
 */
bool
weir__lines_open(struct weir_lines *lines, const char *name)
{
	struct stat st;

	weir__lines_close(lines);
	if (strcmp(name, "-") == 0)
		lines->fd = STDIN_FILENO;
	else
		lines->fd = open(name,
				 O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (lines->fd < 0)
		return false;
	if (fstat(lines->fd, &st) == 0 && S_ISDIR(st.st_mode))
		errno = EISDIR;
	else if (fstat(lines->fd, &st) == 0) {
		lines->may_wait = !S_ISREG(st.st_mode);
		lines->left = -1;
		lines->number = 0;
		return true;
	}
	weir__lines_close(lines);
	return false;
}

bool
weir__lines_freeze(struct weir_lines *lines)
{
	struct stat st;

	if (fstat(lines->fd, &st) != 0)
		return false;
	if (S_ISREG(st.st_mode))
		lines->left = (int64_t)st.st_size;
	return true;
}

/* Room for more bytes behind end. False: no memory. */
static bool
make_room(struct weir_lines *lines)
{
	size_t cap = lines->cap;
	char *data;

	if (lines->begin > 0) {
		memmove(lines->data, lines->data + lines->begin,
			lines->end - lines->begin);
		lines->scanned -= lines->begin;
		lines->end -= lines->begin;
		lines->begin = 0;
	}
	if (lines->end == 0)
		cap = BUFFER_MIN;
	else if (lines->end == lines->cap)
		cap *= 2;
	if (cap == lines->cap)
		return true;
	data = realloc(lines->data, cap);
	if (!data)
		return false;
	lines->data = data;
	lines->cap = cap;
	return true;
}

static bool
nothing_there(const struct weir_lines *lines)
{
	struct pollfd poll_fd = {.fd = lines->fd, .events = POLLIN};

	return lines->may_wait && poll(&poll_fd, 1, 0) == 0;
}

static enum weir_lines_what
wait_for_more(struct weir_lines *lines)
{
	weir__u32_store(&lines->wait_fd, (uint32_t)lines->fd + 1, WEIR_SEQ_CST);
	return WEIR_LINES_NONE;
}

/* Read some more. LINE: there is more; END: this file has no more. */
static enum weir_lines_what
read_more(struct weir_lines *lines)
{
	size_t room;
	ssize_t got;

	if (!make_room(lines)) {
		errno = ENOMEM;
		return WEIR_LINES_ERROR;
	}
	if (nothing_there(lines))
		return wait_for_more(lines);
	room = lines->cap - lines->end;
	if (lines->left >= 0 && room > (uint64_t)lines->left)
		room = (size_t)lines->left;
	got = room > 0 ? read(lines->fd, lines->data + lines->end, room) : 0;
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return wait_for_more(lines);
	if (got < 0)
		return WEIR_LINES_ERROR;
	if (got == 0)
		return WEIR_LINES_END;
	lines->fresh = true;
	lines->end += (size_t)got;
	if (lines->left >= 0)
		lines->left -= got;
	return WEIR_LINES_LINE;
}

/* Lines between begin and end. */
static uint64_t
count_buffered(const struct weir_lines *lines)
{
	const char *at = lines->data + lines->begin;
	const char *end = lines->data + lines->end, *next;
	uint64_t count = 0;

	for (; at < end; at = next + 1, count++) {
		next = memchr(at, lines->options.delimiter, (size_t)(end - at));
		if (!next)
			return count + 1;
	}
	return count;
}

bool
weir__lines_ahead(struct weir_lines *lines, uint64_t *ret)
{
	ssize_t got = 1;

	if (!lines->fresh || lines->skipping || lines->fd < 0 ||
	    lines->left >= 0)
		return false;
	lines->fresh = false;
	while (got > 0) {
		if (lines->end == lines->cap || nothing_there(lines))
			return false;
		got = read(lines->fd, lines->data + lines->end,
			   lines->cap - lines->end);
		if (got > 0)
			lines->end += (size_t)got;
	}
	/* An error will be met again, and told then; a terminal's end is not.
	 */
	if (got < 0)
		return false;
	lines->left = 0;
	lines->may_wait = false;
	*ret = count_buffered(lines);
	return true;
}

/*
 * Have *ret_end point to the end of the line that begins at begin.  LINE: it
 * does; LONG: the line is longer than allowed already; NONE, END, ERROR.
 */
static enum weir_lines_what
find_end(struct weir_lines *lines, const char **ret_end)
{
	enum weir_lines_what more;

	for (;;) {
		if (lines->scanned < lines->end) {
			*ret_end = memchr(lines->data + lines->scanned,
					  lines->options.delimiter,
					  lines->end - lines->scanned);
			if (*ret_end)
				return WEIR_LINES_LINE;
		}
		lines->scanned = lines->end;
		if (lines->skipping)
			lines->begin = lines->end;
		else if (lines->end - lines->begin > lines->options.max)
			return WEIR_LINES_LONG;
		more = read_more(lines);
		if (more == WEIR_LINES_END && lines->end > lines->begin) {
			*ret_end = lines->data + lines->end;
			return WEIR_LINES_LINE;
		}
		if (more != WEIR_LINES_LINE)
			return more;
	}
}

/* Go on behind the line that ends there, with its delimiter if it has one. */
static void
pass(struct weir_lines *lines, const char *line_end)
{
	lines->begin = (size_t)(line_end - lines->data);
	if (lines->begin < lines->end)
		lines->begin++;
	lines->scanned = lines->begin;
}

static enum weir_lines_what
give(struct weir_lines *lines, struct weir_line *ret, size_t len)
{
	ret->text = lines->data + lines->begin;
	ret->len = len;
	ret->number = ++lines->number;
	ret->is_whole = lines->begin + len < lines->end;
	if (len <= lines->options.max)
		return WEIR_LINES_LINE;
	if (ret->len > WEIR_LINES_LONG_SHOWN)
		ret->len = WEIR_LINES_LONG_SHOWN;
	return WEIR_LINES_LONG;
}

enum weir_lines_what
weir__lines_next(struct weir_lines *lines, struct weir_line *ret)
{
	enum weir_lines_what found;
	const char *line_end;

	if (weir__u32_load(&lines->wait_fd, WEIR_RELAXED))
		weir__u32_store(&lines->wait_fd, 0, WEIR_SEQ_CST);
	for (;;) {
		found = find_end(lines, &line_end);
		if (found == WEIR_LINES_LONG) {
			lines->skipping = true;
			return give(lines, ret, lines->end - lines->begin);
		}
		if (found != WEIR_LINES_LINE)
			return found;
		if (!lines->skipping)
			break;
		lines->skipping = false; /* here ends a long line */
		pass(lines, line_end);
	}
	found = give(lines, ret,
		     (size_t)(line_end - lines->data) - lines->begin);
	pass(lines, line_end);
	return found;
}
