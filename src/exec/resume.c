/*
 * What an earlier run has done; see resume.h.
 *
 * Design: both kinds of log come down to hashes in a table (base/seen.h), of
 * the key or of the command's text.  They are keyed anew in each run, so that
 * nobody can write a log, or a command, that looks like another's.
 */
#include "exec/resume.h"

#include "base/hash.h"
#include "base/json_scan.h"
#include "base/quote.h"
#include "base/seen.h"
#include "exec/log.h"
#include "exec/template.h"
#include "lines/lines.h"
#include "sync/random.h"

#include <ctype.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Six bytes of JSON for each of the 6 MiB that arguments may have, and more. */
#define LINE_MAX_BYTES ((size_t)40 * 1024 * 1024)

#define JOBLOG_COLUMNS 9
#define JOBLOG_EXITVAL 6
#define JOBLOG_COMMAND 8

struct weir_exec_resume {
	uint64_t key[2];
	struct weir_seen seen;
	bool is_joblog;
};

static uint64_t
hash_of(const struct weir_exec_resume *resume, const char *text, size_t len)
{
	return weir__hash64(resume->key, text, len);
}

static uint64_t
hash_of_key(const struct weir_exec_resume *resume, const char *key)
{
	return hash_of(resume, key, WEIR_EXEC_KEY_TEXT - 1);
}

/*
 * An attempt.  What has failed and was tried again is known by the attempt
 * that followed; if there is none, the run was cut off there and the job is
 * not done.  False: no memory.
 */
static bool
take_object(struct weir_exec_resume *resume, const char *line, size_t len)
{
	struct weir_json_member m, key = {0}, status = {0};
	struct weir_json_scan scan;
	bool again = false;

	weir__json_scan_init(&scan, line, len);
	while (weir__json_scan_next(&scan, &m))
		if (weir__json_is(m.name, m.name_len, "key"))
			key = m;
		else if (weir__json_is(m.name, m.name_len, "status"))
			status = m;
		else if (weir__json_is(m.name, m.name_len, "will_retry"))
			again = m.value[0] == 't';
	if (!weir__json_scan_is_whole(&scan) ||
	    key.value_len != strlen("\"\"") + WEIR_EXEC_KEY_TEXT - 1)
		return true;
	if (weir__json_is(status.value, status.value_len, "ok"))
		return weir__seen_note(&resume->seen,
				       hash_of_key(resume, key.value + 1),
				       true);
	if (weir__json_is(status.value, status.value_len, "failed") && !again)
		return weir__seen_note(&resume->seen,
				       hash_of_key(resume, key.value + 1),
				       false);
	return true;
}

/* Is the text up to the next tab a number?  *ret_zero: it is 0. */
static bool
read_number(const char *text, bool *ret_zero)
{
	char *end;
	long value = strtol(text, &end, 10);

	*ret_zero = value == 0;
	return end > text && *end == '\t';
}

/* What is no letter to a shell even where nothing is quoted. */
#define PLAIN "_-./,:=@%+^"

static bool
is_plain(char c)
{
	return isalnum((unsigned char)c) || (unsigned char)c >= 0x80 ||
	       (c && strchr(PLAIN, c));
}

/* From one quote to the next; NULL: something in it is not just text. */
static const char *
read_quoted(struct weir_buf *word, const char *text)
{
	size_t len = strcspn(text + 1, *text == '"' ? "\"$`\\" : "'");

	if (text[len + 1] != *text)
		return NULL;
	weir__buf_append(word, text + 1, len);
	return text + len + 2;
}

/*
 * Append one word without its quotes; what is left of the text, or NULL: it
 * is more than words to a shell.
 */
static const char *
read_word(struct weir_buf *word, const char *text)
{
	while (text && *text && *text != ' ')
		if (*text == '\'' || *text == '"') {
			text = read_quoted(word, text);
		} else if (*text == '\\' && text[1]) {
			weir__buf_putc(word, text[1]);
			text += 2;
		} else if (is_plain(*text)) {
			weir__buf_putc(word, *text++);
		} else {
			text = NULL;
		}
	return text;
}

/*
 * Append a command as we would write it: GNU parallel's quotes are others, as
 * in 'it'"'"'s' and, in old ones, a\ b.  False: it is more than words, and what
 * it is to us is its text; so are the $'...' that only we write.
 */
static bool
put_as_ours(struct weir_buf *ours, const char *text)
{
	struct weir_buf word = {0};
	size_t count = 0;

	while (text && *text) {
		weir__buf_reset(&word);
		text = read_word(&word, text);
		if (!text)
			break;
		/* In front of a command this would be an assignment. */
		if (count == 0 && strchr(weir__buf_str(&word), '='))
			text = NULL;
		if (count++ > 0)
			weir__buf_putc(ours, ' ');
		weir__quote_word(ours, weir__buf_str(&word));
		if (text && *text)
			text++;
	}
	ours->failed |= word.failed;
	weir__buf_fini(&word);
	return text != NULL;
}

/* False: no memory. */
static bool
note_command(struct weir_exec_resume *resume, const char *text, bool ok)
{
	struct weir_buf ours = {0};
	bool noted = false;

	if (put_as_ours(&ours, text))
		text = weir__buf_str(&ours);
	if (!ours.failed)
		noted = weir__seen_note(
			&resume->seen, hash_of(resume, text, strlen(text)), ok);
	weir__buf_fini(&ours);
	return noted;
}

/* A line of a joblog, which ends with a NUL.  False: no memory. */
static bool
take_columns(struct weir_exec_resume *resume, const char *line)
{
	const char *columns[JOBLOG_COLUMNS] = {line};
	bool exit_zero, signal_zero, seq_zero;

	for (int i = 1; i < JOBLOG_COLUMNS; i++) {
		columns[i] = strchr(columns[i - 1], '\t');
		if (!columns[i])
			return true;
		columns[i]++;
	}
	if (!read_number(columns[0], &seq_zero) || seq_zero ||
	    !read_number(columns[JOBLOG_EXITVAL], &exit_zero) ||
	    !read_number(columns[JOBLOG_EXITVAL + 1], &signal_zero))
		return true;
	return note_command(resume, columns[JOBLOG_COMMAND],
			    exit_zero && signal_zero);
}

static bool
is_joblog_head(const struct weir_line *line)
{
	return line->len == strlen(weir__joblog_head) - 1 &&
	       memcmp(line->text, weir__joblog_head, line->len) == 0;
}

/*
 * A command that was torn could be another one, so the line must have its end.
 * GNU parallel writes a newline in a command as a NUL: that is none of ours.
 */
static bool
take_joblog_line(struct weir_exec_resume *resume, struct weir_buf *copy,
		 const struct weir_line *line)
{
	if (!line->is_whole || memchr(line->text, '\0', line->len))
		return true;
	weir__buf_reset(copy);
	weir__buf_append(copy, line->text, line->len);
	return !copy->failed && take_columns(resume, weir__buf_str(copy));
}

static bool
take_line(struct weir_exec_resume *resume, struct weir_buf *copy,
	  const struct weir_line *line)
{
	if (is_joblog_head(line)) {
		resume->is_joblog |= line->number == 1;
		return true;
	}
	return resume->is_joblog ? take_joblog_line(resume, copy, line)
				 : take_object(resume, line->text, line->len);
}

/* 0, or errno. */
static int
read_all(struct weir_exec_resume *resume, struct weir_lines *lines)
{
	struct weir_buf copy = {0};
	struct weir_line line;
	int error = -1;

	while (error < 0)
		switch (weir__lines_next(lines, &line)) {
		case WEIR_LINES_LINE:
			if (!take_line(resume, &copy, &line))
				error = ENOMEM;
			break;
		case WEIR_LINES_LONG: /* garbage */
			break;
		case WEIR_LINES_NONE: {
			struct pollfd poll_fd = {.fd = weir__lines_fd(lines),
						 .events = POLLIN};

			(void)poll(&poll_fd, 1, -1);
			break;
		}
		case WEIR_LINES_END:
			error = 0;
			break;
		case WEIR_LINES_ERROR:
			error = errno;
			break;
		}
	weir__buf_fini(&copy);
	return error;
}

static weir_status
failed(weir_error *reterr, int error)
{
	reterr->status = error == ENOMEM ? WEIR_NOMEM : WEIR_SYSTEM;
	reterr->native = error;
	snprintf(reterr->message, sizeof(reterr->message), "%s",
		 error == ENOMEM ? "out of memory" : strerror(error));
	return reterr->status;
}

/* The log may be the one that this run appends to. */
static int
read_log(struct weir_exec_resume *resume, const char *path)
{
	const struct weir_lines_options options = {
		.delimiter = '\n',
		.max = LINE_MAX_BYTES,
	};
	struct weir_lines lines;
	int error;

	weir__lines_init(&lines, &options);
	if (weir__lines_open(&lines, path) && weir__lines_freeze(&lines))
		error = read_all(resume, &lines);
	else
		error = errno;
	weir__lines_fini(&lines);
	return error;
}

weir_status
weir__exec_resume_load(struct weir_exec_resume **out, const char *path,
		       weir_error *reterr)
{
	struct weir_exec_resume *resume = calloc(1, sizeof(*resume));
	int error;

	if (!resume)
		return failed(reterr, ENOMEM);
	resume->key[0] = weir__random_seed();
	resume->key[1] = weir__random_seed();
	error = read_log(resume, path);
	if (error) {
		weir__exec_resume_free(resume);
		return failed(reterr, error);
	}
	*out = resume;
	return WEIR_OK;
}

struct weir_exec_resume *
weir__exec_resume_free(struct weir_exec_resume *resume)
{
	if (resume)
		weir__seen_fini(&resume->seen);
	free(resume);
	return NULL;
}

bool
weir__exec_resume_is_joblog(const struct weir_exec_resume *resume)
{
	return resume->is_joblog;
}

static enum weir_exec_before
find_hash(const struct weir_exec_resume *resume, uint64_t hash)
{
	switch (weir__seen_find(&resume->seen, hash)) {
	case WEIR_SEEN_NOT:
		break;
	case WEIR_SEEN_OK:
		return WEIR_EXEC_BEFORE_OK;
	case WEIR_SEEN_FAILED:
		return WEIR_EXEC_BEFORE_FAILED;
	}
	return WEIR_EXEC_BEFORE_UNKNOWN;
}

enum weir_exec_before
weir__exec_resume_find(const struct weir_exec_resume *resume,
		       const struct weir_exec_job *job)
{
	enum weir_exec_before before = WEIR_EXEC_BEFORE_UNKNOWN;
	char key[WEIR_EXEC_KEY_TEXT];
	struct weir_buf text = {0};

	if (!resume->is_joblog) {
		weir__exec_key_text(key, &job->key);
		return find_hash(resume, hash_of_key(resume, key));
	}
	weir__quote_words(&text, job->argv);
	if (!text.failed && job->argc > 0)
		before =
			find_hash(resume, hash_of(resume, text.data, text.len));
	weir__buf_fini(&text);
	return before;
}
