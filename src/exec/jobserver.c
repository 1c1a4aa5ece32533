/*
 * The client of a GNU make's jobserver; see jobserver.h.
 *
 * Design: a token is a byte, and what make gave must come back, so each is
 * kept.  One job runs on the slot that make gave us by starting us; tokens
 * are held for the others, always one less than jobs run.
 */
#include "exec/jobserver.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct weir_jobserver {
	int read_fd, write_fd; /* the same for a FIFO */
	size_t running;
	char *tokens;
	size_t held, cap;
};

static weir_status
failed(weir_error *reterr, weir_status status, const char *what, int native)
{
	reterr->status = status;
	reterr->native = native;
	snprintf(reterr->message, sizeof(reterr->message), "%s%s%s", what,
		 native ? ": " : "", native ? strerror(native) : "");
	return status;
}

/*
 * The value of the option, of the last one if there are several; NULL: none.
 * Behind "--" are variables, which may have any text.
 */
static char *
find_option(const char *makeflags)
{
	static const char *const names[] = {"--jobserver-auth=",
					    "--jobserver-fds="};
	const char *found = NULL;

	while (*makeflags) {
		size_t len = strcspn(makeflags, " \t");

		if (len == 2 && strncmp(makeflags, "--", 2) == 0)
			break;
		for (size_t i = 0; i < 2; i++)
			if (strncmp(makeflags, names[i], strlen(names[i])) == 0)
				found = makeflags + strlen(names[i]);
		makeflags += len;
		makeflags += strspn(makeflags, " \t");
	}
	return found ? strndup(found, strcspn(found, " \t")) : NULL;
}

static weir_status
open_fifo(struct weir_jobserver *js, const char *path, weir_error *reterr)
{
	js->read_fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (js->read_fd < 0)
		return failed(reterr, WEIR_SYSTEM,
			      "cannot open make's jobserver", errno);
	js->write_fd = js->read_fd;
	return WEIR_OK;
}

static bool
is_pipe(int fd)
{
	struct stat st;

	return fd >= 0 && fstat(fd, &st) == 0 && S_ISFIFO(st.st_mode);
}

/* "3,4", or "-2,-2" where make keeps it for itself. */
static bool
read_pair(const char *value, int *ret_read, int *ret_write)
{
	char *comma, *end;
	long first = strtol(value, &comma, 10), second;

	if (comma == value || *comma != ',')
		return false;
	second = strtol(comma + 1, &end, 10);
	if (end == comma + 1 || *end || first > INT_MAX || second > INT_MAX ||
	    first < INT_MIN || second < INT_MIN)
		return false;
	*ret_read = (int)first;
	*ret_write = (int)second;
	return true;
}

/*
 * O_NONBLOCK belongs to what was opened and not to the descriptor: set on
 * make's own it would confuse all others who read from it.
 */
static weir_status
open_pipe(struct weir_jobserver *js, const char *value, weir_error *reterr)
{
	int read_fd, write_fd;
	char path[64];

	if (!read_pair(value, &read_fd, &write_fd))
		return failed(reterr, WEIR_INVAL,
			      "MAKEFLAGS has a jobserver of an unknown kind",
			      0);
	if (!is_pipe(read_fd) || !is_pipe(write_fd))
		return failed(reterr, WEIR_INVAL,
			      "make does not let this recipe use its "
			      "jobserver; put a + before the command",
			      0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", read_fd);
	js->read_fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	js->write_fd = fcntl(write_fd, F_DUPFD_CLOEXEC, 0);
	if (js->read_fd < 0 || js->write_fd < 0)
		return failed(reterr, WEIR_SYSTEM,
			      "cannot open make's jobserver", errno);
	return WEIR_OK;
}

static weir_status
open_value(struct weir_jobserver *js, const char *value, weir_error *reterr)
{
	return strncmp(value, "fifo:", 5) == 0
		       ? open_fifo(js, value + 5, reterr)
		       : open_pipe(js, value, reterr);
}

weir_status
weir__jobserver_open(struct weir_jobserver **out, const char *makeflags,
		     weir_error *reterr)
{
	struct weir_jobserver *js = calloc(1, sizeof(*js));
	char *value = find_option(makeflags ? makeflags : "");
	weir_status status;

	if (!js)
		status = failed(reterr, WEIR_NOMEM, "out of memory", 0);
	else if (!value)
		status = failed(reterr, WEIR_INVAL,
				"there is no jobserver: not started by "
				"make -j",
				0);
	else {
		js->read_fd = js->write_fd = -1;
		status = open_value(js, value, reterr);
	}
	free(value);
	if (status == WEIR_OK)
		*out = js;
	else
		weir__jobserver_close(js);
	return status;
}

/* A pipe has room for all the tokens that were ever in it. */
static void
put_back(struct weir_jobserver *js)
{
	js->held--;
	while (write(js->write_fd, &js->tokens[js->held], 1) < 0 &&
	       errno == EINTR)
		;
}

struct weir_jobserver *
weir__jobserver_close(struct weir_jobserver *js)
{
	if (!js)
		return NULL;
	while (js->held > 0)
		put_back(js);
	if (js->write_fd >= 0 && js->write_fd != js->read_fd)
		(void)close(js->write_fd);
	if (js->read_fd >= 0)
		(void)close(js->read_fd);
	free(js->tokens);
	free(js);
	return NULL;
}

/* Room first: a token that was read must be kept. */
static bool
make_room(struct weir_jobserver *js)
{
	size_t cap = js->cap ? js->cap * 2 : 16;
	char *tokens;

	if (js->held < js->cap)
		return true;
	tokens = realloc(js->tokens, cap);
	if (!tokens)
		return false;
	js->tokens = tokens;
	js->cap = cap;
	return true;
}

static bool
take_token(struct weir_jobserver *js)
{
	ssize_t got;

	if (!make_room(js))
		return false;
	do
		got = read(js->read_fd, &js->tokens[js->held], 1);
	while (got < 0 && errno == EINTR);
	if (got != 1)
		return false;
	js->held++;
	return true;
}

bool
weir__jobserver_take(struct weir_jobserver *js)
{
	if (js->running > 0 && !take_token(js))
		return false;
	js->running++;
	return true;
}

void
weir__jobserver_give(struct weir_jobserver *js)
{
	js->running--;
	if (js->held > 0)
		put_back(js);
}

int
weir__jobserver_fd(const struct weir_jobserver *js)
{
	return js->read_fd;
}
