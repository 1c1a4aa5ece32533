/*
 * What the tests of weir run start in place of a real command: it tells what
 * it was given, byte for byte, so that a script can compare.
 *
 *	argdump ARG...    "LENGTH:BYTES," for each, as netstrings, and a newline
 *	argdump --fds     the numbers of the open descriptors, on one line
 *
 * All of it goes out in one piece if the system takes it so.
 *
 * Locking: none; there is one thread.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* More than a test ever opens. */
#define FDS_MAX 4096

static int
dump_fds(void)
{
	for (int fd = 0; fd < FDS_MAX; fd++)
		if (fcntl(fd, F_GETFD) >= 0)
			printf("%s%d", fd > 0 ? " " : "", fd);
	putchar('\n');
	return EXIT_SUCCESS;
}

int
main(int argc, char **argv)
{
	int status = EXIT_SUCCESS;

	if (argc == 2 && strcmp(argv[1], "--fds") == 0) {
		status = dump_fds();
	} else {
		for (int i = 1; i < argc; i++)
			printf("%zu:%s,", strlen(argv[i]), argv[i]);
		putchar('\n');
	}
	return fflush(stdout) == 0 ? status : EXIT_FAILURE;
}
