/*
 * What commands that run jobs share; see live.h.
 */
#include "cli/live.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A torn last line is ended, so that what we add begins a line of its own. */
static int
end_torn_line(int fd)
{
	off_t size = lseek(fd, 0, SEEK_END);
	char last = '\n';

	if (size > 0 && pread(fd, &last, 1, size - 1) == 1 && last != '\n' &&
	    write(fd, "\n", 1) != 1)
		return errno;
	return 0;
}

/* Would we write into what we read?  It would be emptied, or never end. */
static bool
is_input(const struct stat *records, const char *const *inputs, size_t count)
{
	struct stat st;

	for (size_t i = 0; i < count; i++) {
		int failed = strcmp(inputs[i], "-") == 0
				     ? fstat(STDIN_FILENO, &st)
				     : stat(inputs[i], &st);

		if (failed == 0 && st.st_dev == records->st_dev &&
		    st.st_ino == records->st_ino)
			return true;
	}
	return false;
}

static int
refuse(struct weir_cli *cli, int error_number, const char *path)
{
	weir__cli_error(cli, "cannot write records", "%s (%s)",
			strerror(error_number), path);
	return WEIR_EXIT_FAILURE;
}

/*
 * A pipe that has a reader, such as that of >(...); -1: it is none.  Were it
 * open for reading here as well, we would wait for ever when its reader goes.
 */
static int
open_pipe(const char *path)
{
	struct stat st;
	int fd;

	if (stat(path, &st) != 0 || !S_ISFIFO(st.st_mode))
		return -1;
	fd = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
	if (fd >= 0)
		(void)fcntl(fd, F_SETFL, 0);
	return fd;
}

int
weir__records_open(struct weir_cli *cli, const char *path, bool append,
		   const char *const *inputs, size_t input_count, int *ret_fd)
{
	struct stat st;
	int fd = open_pipe(path), failed = 0;

	if (fd < 0)
		fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
	/* A device or a pipe can be written, but not always read. */
	if (fd < 0 && (errno == EACCES || errno == ENXIO))
		fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return refuse(cli, errno, path);
	*ret_fd = fd;
	if (fstat(fd, &st) != 0)
		return refuse(cli, errno, path);
	if (S_ISREG(st.st_mode) && is_input(&st, inputs, input_count)) {
		weir__cli_error(cli, "cannot write records",
				"it is the list that is read (%s)", path);
		return WEIR_EXIT_USAGE;
	}
	if (append)
		failed = end_torn_line(fd);
	else if (S_ISREG(st.st_mode) && ftruncate(fd, 0) != 0)
		failed = errno;
	return failed ? refuse(cli, failed, path) : -1;
}

size_t
weir__output_room(int fd)
{
	struct pollfd poll_fd = {.fd = fd, .events = POLLOUT};
	struct stat st;

	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
		return SSIZE_MAX;
	return poll(&poll_fd, 1, 0) > 0 ? PIPE_BUF : 0;
}

void
weir__progress_begin(struct weir_cli *cli, struct weir_progress *progress)
{
	const struct weir_common *common = &cli->common;
	struct weir_progress_options options = {
		.mode = common->progress,
		.color = common->color,
		.quiet = common->quiet,
		.fd = STDERR_FILENO,
	};

	weir__progress_init(progress, &options);
	cli->progress = progress;
}

void
weir__say_draining(struct weir_progress *progress,
		   const struct weir_progress_counts *counts)
{
	uint64_t begun = counts->done + counts->busy;
	uint64_t rest = counts->total > begun ? counts->total - begun : 0;
	char line[160];

	snprintf(line, sizeof(line),
		 "draining: %" PRIu64 " running, %" PRIu64
		 "%s not started. Ctrl-C again stops the %" PRIu64 " now.",
		 counts->busy, rest, counts->total_final ? "" : "+",
		 counts->busy);
	weir__progress_note(progress, line);
}

bool
weir__parse_share(const char *text, double *ret)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	char *end;
	double value;

	if (!isdigit((unsigned char)text[0]))
		return false;
	value = strtod(text, &end);
	if (*end == '%') {
		value = value / 100 * (double)(cores > 0 ? cores : 1);
		end++;
	}
	if (*end || !(value > 0))
		return false;
	*ret = value;
	return true;
}

int
weir__exit_of_count(uint64_t failed)
{
	return failed > WEIR_EXIT_COUNT_MAX ? WEIR_EXIT_COUNT_MAX + 1
					    : (int)failed;
}
