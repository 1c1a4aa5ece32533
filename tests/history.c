/*
 * The writing of histories; see history.h.
 *
 * Design: one write() a line with O_APPEND, which the kernel does under the
 * file's lock, so lines of many processes do not mix.  Nothing is buffered:
 * what is in the file is what is known, whoever dies next.
 */
#include "history.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A history with a hole would accuse the innocent. */
_Noreturn static void
give_up(const char *what)
{
	perror(what);
	abort();
}

int
history_open(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

	if (fd < 0)
		give_up(path);
	return fd;
}

void
history_note(int fd, const char *format, ...)
{
	char line[HISTORY_LINE + 1];
	va_list args;
	int len;

	memset(line, ' ', sizeof(line));
	va_start(args, format);
	len = vsnprintf(line, HISTORY_LINE, format, args);
	va_end(args);
	if (len < 0 || len >= HISTORY_LINE)
		give_up("a line of the history is too long");
	line[len] = ' ';
	line[HISTORY_LINE - 1] = '\n';
	if (write(fd, line, HISTORY_LINE) != HISTORY_LINE)
		give_up("history");
}
