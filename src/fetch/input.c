/*
 * Reading the list; see input.h.
 *
 * Design: src/lines cuts the files into lines; here a line becomes a request.
 *
 * Locking: what other threads may ask are atomic words; the rest belongs to
 * the thread in weir__fetch_input_next().
 */
#include "fetch/input.h"

#include "fetch/draft.h"
#include "lines/lines.h"
#include "sync/atomic.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define BAD_SHOWN WEIR_LINES_LONG_SHOWN

struct weir_fetch_input {
	/* fixed at creation */
	struct weir_fetch_input_options options;

	/* owned by the reader */
	size_t file; /* index of the one that is open, or comes next */
	struct weir_lines lines;
	uint64_t line;

	/* atomic: written by the reader, read by anybody */
	struct weir_u64 seq;
	struct weir_u32 ended;
};

weir_status
weir__fetch_input_new(struct weir_fetch_input **out,
		      const struct weir_fetch_input_options *options)
{
	const struct weir_lines_options lines = {
		.delimiter = '\n',
		.max = WEIR_FETCH_LINE_MAX,
	};
	struct weir_fetch_input *input = calloc(1, sizeof(*input));

	if (!input)
		return WEIR_NOMEM;
	input->options = *options;
	weir__lines_init(&input->lines, &lines);
	*out = input;
	return WEIR_OK;
}

struct weir_fetch_input *
weir__fetch_input_free(struct weir_fetch_input *input)
{
	if (!input)
		return NULL;
	weir__lines_fini(&input->lines);
	free(input);
	return NULL;
}

int
weir__fetch_input_fd(struct weir_fetch_input *input)
{
	return weir__lines_fd(&input->lines);
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

/* Open the next file. New records may be added while we read the old ones. */
static bool
open_file(struct weir_fetch_input *input)
{
	input->line = 0;
	return weir__lines_open(&input->lines,
				input->options.files[input->file]) &&
	       (!input->options.records || weir__lines_freeze(&input->lines));
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\f' || c == '\v';
}

static enum weir_fetch_line
too_long(const struct weir_line *line, struct weir_fetch_next *ret)
{
	ret->text = line->text;
	ret->len = line->len;
	snprintf(ret->why, sizeof(ret->why),
		 "line %" PRIu64 " is longer than 1 MiB", line->number);
	return WEIR_FETCH_LINE_BAD;
}

static void
trim(struct weir_line *line)
{
	while (line->len > 0 && is_blank(line->text[0])) {
		line->text++;
		line->len--;
	}
	while (line->len > 0 && is_blank(line->text[line->len - 1]))
		line->len--;
}

/*
 * The next line that is not blank and no comment, without blanks around.
 * REQUEST: it is *line.
 */
static enum weir_fetch_line
next_text(struct weir_fetch_input *input, struct weir_fetch_next *ret,
	  struct weir_line *line)
{
	for (;;) {
		switch (weir__lines_next(&input->lines, line)) {
		case WEIR_LINES_LINE:
			break;
		case WEIR_LINES_LONG:
			input->line = line->number;
			return too_long(line, ret);
		case WEIR_LINES_NONE:
			return WEIR_FETCH_LINE_NONE;
		case WEIR_LINES_END:
			return WEIR_FETCH_LINE_END;
		case WEIR_LINES_ERROR:
			return fail(input, ret, strerror(errno));
		}
		input->line = line->number;
		trim(line);
		if (line->len > 0 && line->text[0] != '#')
			return WEIR_FETCH_LINE_REQUEST;
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
	struct weir_line line;

	memset(ret, 0, sizeof(*ret));
	while (input->file < input->options.file_count) {
		if (!weir__lines_is_open(&input->lines) && !open_file(input))
			return fail(input, ret, strerror(errno));
		found = next_text(input, ret, &line);
		if (found == WEIR_FETCH_LINE_REQUEST)
			found = take_line(input, line.text, line.len, ret);
		else if (found == WEIR_FETCH_LINE_BAD)
			number(input, ret);
		else if (found != WEIR_FETCH_LINE_END)
			return found;
		if (found == WEIR_FETCH_LINE_END) {
			weir__lines_close(&input->lines);
			input->file++;
		} else if (found != WEIR_FETCH_LINE_NONE) {
			return found;
		}
	}
	weir__u32_store(&input->ended, 1, WEIR_SEQ_CST);
	return WEIR_FETCH_LINE_END;
}
