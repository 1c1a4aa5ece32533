/*
 * Counting lines ahead; see count.h.
 *
 * Design: lines count when they have something that is no blank and whose
 * first is not '#'.  Files that cannot be read twice are left alone, and then
 * the total stays unknown.  A file that changes meanwhile gives a wrong total
 * and nothing worse.
 *
 * Locking: none.
 */
#include "fetch/count.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PIECE (64 * 1024)

void
weir__fetch_count_init(struct weir_fetch_count *count, const char *const *files,
		       size_t file_count)
{
	*count = (struct weir_fetch_count){
		.files = files, .file_count = file_count, .fd = -1};
}

void
weir__fetch_count_fini(struct weir_fetch_count *count)
{
	if (count->fd > STDIN_FILENO)
		(void)close(count->fd);
	count->fd = -1;
}

void
weir__fetch_count_text(struct weir_fetch_count *count, const char *text,
		       size_t len)
{
	const char *end = text + len;

	while (text < end) {
		if (count->in_line) {
			text = memchr(text, '\n', (size_t)(end - text));
			if (!text)
				return;
			count->in_line = false;
		} else if (!strchr(" \t\r\f\v\n", *text) || *text == '\0') {
			count->lines += *text != '#';
			count->in_line = true;
		}
		text++;
	}
}

/* Open the next file. False: there is none, or it cannot be counted. */
static bool
open_next(struct weir_fetch_count *count)
{
	const char *name;
	struct stat st;

	if (count->file == count->file_count) {
		count->done = true;
		return false;
	}
	name = count->files[count->file];
	/* Whoever writes to a FIFO must not take us for its reader. */
	if (strcmp(name, "-") == 0)
		count->fd = STDIN_FILENO;
	else if (stat(name, &st) == 0 && S_ISREG(st.st_mode))
		count->fd = open(name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	/* pread() does not disturb who reads the same descriptor. */
	count->offset = count->fd == STDIN_FILENO
				? (int64_t)lseek(STDIN_FILENO, 0, SEEK_CUR)
				: 0;
	count->in_line = false;
	if (count->fd >= 0 && fstat(count->fd, &st) == 0 &&
	    S_ISREG(st.st_mode) && count->offset >= 0)
		return true;
	count->unknown = true;
	count->done = true;
	return false;
}

void
weir__fetch_count_step(struct weir_fetch_count *count, size_t max)
{
	char piece[PIECE];
	ssize_t got;

	for (size_t seen = 0; seen < max && !count->done; seen += PIECE) {
		if (count->fd < 0 && !open_next(count))
			return;
		got = pread(count->fd, piece, sizeof(piece),
			    (off_t)count->offset);
		if (got > 0) {
			weir__fetch_count_text(count, piece, (size_t)got);
			count->offset += got;
			continue;
		}
		weir__fetch_count_fini(count);
		count->file++;
	}
}
