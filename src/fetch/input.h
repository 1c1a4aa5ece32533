/*
 * The list of what to fetch, read a line at a time as slots fall free.
 *
 * A line is a URL or a JSON object with url, method, headers, body, out and
 * id.  Blank lines and those that begin with # are nothing.  A line that
 * cannot be used is reported as such and the next one read: what is wrong
 * with one URL says nothing about the others.
 *
 * Reading never waits for a pipe or a terminal, for a source of asynchronous
 * jobs must not; when nothing is there, weir__fetch_input_fd() says on what
 * to wait.
 *
 * Threads: one at a time, but for the fd and the totals, which any may ask.
 */
#ifndef WEIR_SRC_FETCH_INPUT_H
#define WEIR_SRC_FETCH_INPUT_H

#include "fetch/request.h"
#include "fetch/resume.h"

#define WEIR_FETCH_LINE_MAX (1024 * 1024)

struct weir_fetch_input;

struct weir_fetch_input_options {
	const char *const *files; /* "-" is standard input; must stay */
	size_t file_count;
	uint64_t key[2];                  /* of the hash of hosts */
	struct weir_fetch_resume *resume; /* what an earlier run did, or NULL */
	bool only_failed;                 /* of that run */
	bool records;                     /* the file is a file of records */
};

enum weir_fetch_line {
	WEIR_FETCH_LINE_REQUEST, /* something to fetch */
	WEIR_FETCH_LINE_SKIP,    /* it was done before; request is set, too */
	WEIR_FETCH_LINE_BAD,     /* text and why are set */
	WEIR_FETCH_LINE_NONE,    /* nothing just now */
	WEIR_FETCH_LINE_END,     /* nothing any more */
	WEIR_FETCH_LINE_ERROR,   /* reading has failed; why is set */
};

/* The next line; text is valid until the next call. */
struct weir_fetch_next {
	struct weir_fetch_request *request; /* the caller's to free */
	uint64_t seq, line;
	const char *text;
	size_t len;
	char why[WEIR_ERROR_MAX];
};

/* WEIR_OK, WEIR_NOMEM. */
WEIR_NODISCARD weir_status
weir__fetch_input_new(struct weir_fetch_input **out,
		      const struct weir_fetch_input_options *options);
struct weir_fetch_input *weir__fetch_input_free(struct weir_fetch_input *input);

enum weir_fetch_line weir__fetch_input_next(struct weir_fetch_input *input,
					    struct weir_fetch_next *ret);

/* What to wait for after LINE_NONE, or -1 when nothing is to be awaited. */
int weir__fetch_input_fd(struct weir_fetch_input *input);

/* Lines given so far (seq of the last one), and whether that was the last. */
uint64_t weir__fetch_input_count(struct weir_fetch_input *input, bool *ret_end);

#endif
