/*
 * The last words of a process that found one of its own invariants broken.
 */
#include "base/assert.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

_Noreturn void
weir__assert_failed(const char *what, const char *file, int line,
		    const char *function)
{
	char text[512];
	int len = snprintf(text, sizeof(text),
			   "weir: bug: %s is false (%s:%d, %s)\n", what, file,
			   line, function);

	if (len > (int)sizeof(text) - 1)
		len = (int)sizeof(text) - 1;
	if (len > 0 && write(STDERR_FILENO, text, (size_t)len) < 0)
		abort();
	abort();
}
