/*
 * Reading the list; see input.h.
 *
 * Design: one buffer, in which bytes move to the front when a line straddles
 * its end.  It grows up to the longest line allowed, and becomes small again
 * when it is empty.  What is longer than that is reported once, by its
 * beginning, and then thrown away up to its end.
 *
 *      | done | a line that is looked for its end | read later |
 *      0      begin            scanned            end          cap
 *
 * Locking: what other threads may ask are atomic words; the rest belongs to
 * the thread in weir__fetch_input_next().
 */
#include "fetch/input.h"

#include "fetch/draft.h"
#include "sync/atomic.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#define BUFFER_MIN (64 * 1024)
#define BAD_SHOWN  2048

struct weir_fetch_input {
	/* fixed at creation */
	struct weir_fetch_input_options options;

	/* owned by the reader */
	size_t file; /* index of the one that is open, or comes next */
	int fd;
	bool may_wait; /* it is no regular file: poll first */
	bool skipping; /* in a line that was too long */
	int64_t left;  /* bytes still to read; -1: up to the end */
	uint64_t line;
	char *data;
	size_t begin, scanned, end, cap;

	/* atomic: written by the reader, read by anybody */
	struct weir_u64 seq;
	struct weir_u32 ended;
	struct weir_u32 wait_fd; /* the descriptor + 1; 0: none */
};

weir_status
weir__fetch_input_new(struct weir_fetch_input **out,
		      const struct weir_fetch_input_options *options)
{
	struct weir_fetch_input *input = calloc(1, sizeof(*input));

	if (!input)
		return WEIR_NOMEM;
	input->options = *options;
	input->fd = -1;
	input->cap = BUFFER_MIN;
	input->data = malloc(input->cap);
	if (!input->data) {
		free(input);
		return WEIR_NOMEM;
	}
	*out = input;
	return WEIR_OK;
}

static void
close_file(struct weir_fetch_input *input)
{
	weir__u32_store(&input->wait_fd, 0, WEIR_SEQ_CST);
	if (input->fd > STDIN_FILENO)
		(void)close(input->fd);
	input->fd = -1;
}

struct weir_fetch_input *
weir__fetch_input_free(struct weir_fetch_input *input)
{
	if (!input)
		return NULL;
	close_file(input);
	free(input->data);
	free(input);
	return NULL;
}

int
weir__fetch_input_fd(struct weir_fetch_input *input)
{
	return (int)weir__u32_load(&input->wait_fd, WEIR_SEQ_CST) - 1;
}

uint64_t
weir__fetch_input_count(struct weir_fetch_input *input, bool *ret_end)
{
	*ret_end = weir__u32_load(&input->ended, WEIR_SEQ_CST) != 0;
	return weir__u64_load(&input->seq, WEIR_SEQ_CST);
}

static enum weir_fetch_line
fail(struct weir_fetch_input *input, struct weir_fetch_next *ret,
     const char *what)
{
	snprintf(ret->why, sizeof(ret->why), "cannot read: %s (%s)", what,
		 input->options.files[input->file]);
	return WEIR_FETCH_LINE_ERROR;
}

/*
 * Open the next file. REQUEST means: go on.
 *
 * O_NONBLOCK is for FIFOs: open() would wait for somebody who writes, and this
 * thread has transfers to look after.  Until somebody does, poll() says that
 * nothing is there, and not that it has ended.
 */
static enum weir_fetch_line
open_file(struct weir_fetch_input *input, struct weir_fetch_next *ret)
{
	const char *name = input->options.files[input->file];
	struct stat st;

	if (strcmp(name, "-") == 0)
		input->fd = STDIN_FILENO;
	else
		input->fd = open(name,
				 O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (input->fd < 0 || fstat(input->fd, &st) != 0)
		return fail(input, ret, strerror(errno));
	if (S_ISDIR(st.st_mode))
		return fail(input, ret, strerror(EISDIR));
	input->may_wait = !S_ISREG(st.st_mode);
	/* New records may be added to the file while we read the old ones. */
	input->left = input->options.records && S_ISREG(st.st_mode)
			      ? (int64_t)st.st_size
			      : -1;
	input->line = 0;
	return WEIR_FETCH_LINE_REQUEST;
}

/* Room for more bytes behind end. False: no memory. */
static bool
make_room(struct weir_fetch_input *input)
{
	size_t cap = input->cap;
	char *data;

	if (input->begin > 0) {
		memmove(input->data, input->data + input->begin,
			input->end - input->begin);
		input->scanned -= input->begin;
		input->end -= input->begin;
		input->begin = 0;
	}
	if (input->end == 0)
		cap = BUFFER_MIN;
	else if (input->end == input->cap)
		cap *= 2;
	if (cap == input->cap)
		return true;
	data = realloc(input->data, cap);
	if (!data)
		return false;
	input->data = data;
	input->cap = cap;
	return true;
}

static bool
nothing_there(const struct weir_fetch_input *input)
{
	struct pollfd poll_fd = {.fd = input->fd, .events = POLLIN};

	return input->may_wait && poll(&poll_fd, 1, 0) == 0;
}

/* Read some more. REQUEST: there is more; END: this file has no more. */
static enum weir_fetch_line
read_more(struct weir_fetch_input *input, struct weir_fetch_next *ret)
{
	size_t room;
	ssize_t got;

	if (!make_room(input))
		return fail(input, ret, "out of memory");
	if (nothing_there(input)) {
		weir__u32_store(&input->wait_fd, (uint32_t)input->fd + 1,
				WEIR_SEQ_CST);
		return WEIR_FETCH_LINE_NONE;
	}
	room = input->cap - input->end;
	if (input->left >= 0 && room > (uint64_t)input->left)
		room = (size_t)input->left;
	got = room > 0 ? read(input->fd, input->data + input->end, room) : 0;
	if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
		weir__u32_store(&input->wait_fd, (uint32_t)input->fd + 1,
				WEIR_SEQ_CST);
		return WEIR_FETCH_LINE_NONE;
	}
	if (got < 0)
		return fail(input, ret, strerror(errno));
	if (got == 0)
		return WEIR_FETCH_LINE_END;
	input->end += (size_t)got;
	if (input->left >= 0)
		input->left -= got;
	return WEIR_FETCH_LINE_REQUEST;
}

/* A line is longer than allowed: give its beginning, and drop the rest. */
static enum weir_fetch_line
too_long(struct weir_fetch_input *input, struct weir_fetch_next *ret)
{
	ret->text = input->data + input->begin;
	ret->len = BAD_SHOWN;
	snprintf(ret->why, sizeof(ret->why),
		 "line %" PRIu64 " is longer than 1 MiB", ++input->line);
	input->skipping = true;
	return WEIR_FETCH_LINE_BAD;
}

/*
 * Find the end of the line that begins at begin.  REQUEST: it is *ret_line;
 * BAD: it is too long; NONE, END, ERROR.
 */
static enum weir_fetch_line
find_line(struct weir_fetch_input *input, struct weir_fetch_next *ret,
	  const char **ret_line, size_t *ret_len)
{
	enum weir_fetch_line more;
	const char *newline;

	for (;;) {
		if (input->skipping)
			input->begin = input->scanned;
		newline = memchr(input->data + input->scanned, '\n',
				 input->end - input->scanned);
		if (newline)
			break;
		input->scanned = input->end;
		if (!input->skipping &&
		    input->end - input->begin > WEIR_FETCH_LINE_MAX)
			return too_long(input, ret);
		if (input->skipping)
			input->begin = input->end;
		more = read_more(input, ret);
		if (more == WEIR_FETCH_LINE_END && !input->skipping &&
		    input->end > input->begin) {
			newline = input->data + input->end;
			break;
		}
		if (more != WEIR_FETCH_LINE_REQUEST)
			return more;
	}
	*ret_line = input->data + input->begin;
	*ret_len = (size_t)(newline - *ret_line);
	input->begin = (size_t)(newline - input->data);
	if (input->begin < input->end)
		input->begin++;
	input->scanned = input->begin;
	return WEIR_FETCH_LINE_REQUEST;
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\f' || c == '\v';
}

/* The next line that is not blank and no comment, without blanks around. */
static enum weir_fetch_line
next_text(struct weir_fetch_input *input, struct weir_fetch_next *ret,
	  const char **ret_line, size_t *ret_len)
{
	for (;;) {
		enum weir_fetch_line found =
			find_line(input, ret, ret_line, ret_len);

		if (found != WEIR_FETCH_LINE_REQUEST)
			return found;
		if (input->skipping) { /* this is the end of a long line */
			input->skipping = false;
			continue;
		}
		input->line++;
		while (*ret_len > 0 && is_blank(**ret_line)) {
			++*ret_line;
			--*ret_len;
		}
		while (*ret_len > 0 && is_blank((*ret_line)[*ret_len - 1]))
			--*ret_len;
		if (*ret_len > WEIR_FETCH_LINE_MAX) {
			ret->text = *ret_line;
			ret->len = BAD_SHOWN;
			snprintf(ret->why, sizeof(ret->why),
				 "line %" PRIu64 " is longer than 1 MiB",
				 input->line);
			return WEIR_FETCH_LINE_BAD;
		}
		if (*ret_len > 0 && **ret_line != '#')
			return found;
	}
}

/*
 * A line of records as a line of input: what has failed, once.  NULL: not
 * this one.
 */
static struct weir_fetch_request *
from_record(struct weir_fetch_input *input, const char *line, size_t len)
{
	json_t *record = json_loadb(line, len, 0, NULL);
	json_t *url = json_object_get(record, "url");
	json_t *id = json_object_get(record, "id");
	struct weir_fetch_request *request = NULL;
	weir_status status = WEIR_INVAL;
	char why[WEIR_ERROR_MAX];
	char *text = NULL;
	json_t *object;

	if (json_is_string(url)) {
		object = json_pack("{s:O, s:O*}", "url", url, "id",
				   json_is_string(id) ? id : NULL);
		text = json_dumps(object, JSON_COMPACT);
		json_decref(object);
	}
	if (text)
		status =
			weir__fetch_draft(&request, text, strlen(text),
					  input->options.key, why, sizeof(why));
	free(text);
	json_decref(record);
	return status == WEIR_OK ? request : NULL;
}

/* Does the earlier run leave this to be done? */
static bool
is_wanted(struct weir_fetch_input *input, struct weir_fetch_request *request)
{
	struct weir_fetch_resume *resume = input->options.resume;
	enum weir_fetch_before before;

	if (!resume)
		return true;
	request->resume_key =
		weir__fetch_resume_key(resume, request->shown, request->id);
	before = weir__fetch_resume_find(resume, request->resume_key);
	if (input->options.records && before == WEIR_FETCH_BEFORE_FAILED)
		weir__fetch_resume_settle(resume, request->resume_key);
	if (input->options.only_failed)
		return before == WEIR_FETCH_BEFORE_FAILED;
	/*
	 * A record does not say what was sent, so its URL alone does not name
	 * a request with a method or body of its own: sooner twice than never.
	 */
	if (!request->id && (request->method || request->body))
		return true;
	return before != WEIR_FETCH_BEFORE_OK;
}

/* Does a member of an object begin here that may hold a secret? */
static bool
is_secret(const char *text, size_t len)
{
	/* Also as they are misspelt: "header", "Headers", "auth". */
	static const char *const names[] = {
		"header", "body", "data",  "auth",   "cookie",
		"pass",   "user", "token", "secret", "x-",
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (len >= strlen(names[i]) &&
		    strncasecmp(text, names[i], strlen(names[i])) == 0)
			return true;
	return false;
}

/*
 * How much of a bad line may be shown: of an object, nothing from where
 * headers or a body begin, for they may hold secrets.  What is no JSON has no
 * members, so this looks at words and not at what they mean.
 */
static size_t
bad_len(const char *line, size_t len)
{
	if (len > BAD_SHOWN)
		len = BAD_SHOWN;
	for (size_t i = 1; line[0] == '{' && i < len; i++)
		if (line[i - 1] && strchr("{,\"' \t", line[i - 1]) &&
		    is_secret(line + i, len - i))
			return i;
	return len;
}

static void
number(struct weir_fetch_input *input, struct weir_fetch_next *ret)
{
	ret->seq = weir__u64_add(&input->seq, 1, WEIR_SEQ_CST) + 1;
	ret->line = input->line;
	if (ret->request) {
		ret->request->seq = ret->seq;
		ret->request->line = ret->line;
	}
}

static enum weir_fetch_line
give(struct weir_fetch_input *input, struct weir_fetch_next *ret)
{
	bool wanted = is_wanted(input, ret->request);

	if (!wanted && input->options.records) {
		weir__fetch_request_free(ret->request);
		ret->request = NULL;
		return WEIR_FETCH_LINE_NONE;
	}
	number(input, ret);
	return wanted ? WEIR_FETCH_LINE_REQUEST : WEIR_FETCH_LINE_SKIP;
}

/* One line. NONE here means that it is nothing, not that we have to wait. */
static enum weir_fetch_line
take_line(struct weir_fetch_input *input, const char *line, size_t len,
	  struct weir_fetch_next *ret)
{
	char why[WEIR_ERROR_MAX - 32];
	weir_status status;

	if (input->options.records) {
		ret->request = from_record(input, line, len);
		return ret->request ? give(input, ret) : WEIR_FETCH_LINE_NONE;
	}
	status = weir__fetch_draft(&ret->request, line, len, input->options.key,
				   why, sizeof(why));
	if (status == WEIR_OK)
		return give(input, ret);
	if (status == WEIR_NOMEM)
		return fail(input, ret, "out of memory");
	number(input, ret);
	ret->text = line;
	ret->len = bad_len(line, len);
	snprintf(ret->why, sizeof(ret->why), "line %" PRIu64 ": %s",
		 input->line, why);
	return WEIR_FETCH_LINE_BAD;
}

enum weir_fetch_line
weir__fetch_input_next(struct weir_fetch_input *input,
		       struct weir_fetch_next *ret)
{
	enum weir_fetch_line found;
	const char *line;
	size_t len;

	memset(ret, 0, sizeof(*ret));
	weir__u32_store(&input->wait_fd, 0, WEIR_SEQ_CST);
	while (input->file < input->options.file_count) {
		if (input->fd < 0) {
			found = open_file(input, ret);
			if (found != WEIR_FETCH_LINE_REQUEST)
				return found;
		}
		found = next_text(input, ret, &line, &len);
		if (found == WEIR_FETCH_LINE_REQUEST)
			found = take_line(input, line, len, ret);
		else if (found == WEIR_FETCH_LINE_BAD)
			number(input, ret);
		else if (found != WEIR_FETCH_LINE_END)
			return found;
		if (found == WEIR_FETCH_LINE_END) {
			close_file(input);
			input->skipping = false;
			input->file++;
		} else if (found != WEIR_FETCH_LINE_NONE) {
			return found;
		}
	}
	weir__u32_store(&input->ended, 1, WEIR_SEQ_CST);
	return WEIR_FETCH_LINE_END;
}
