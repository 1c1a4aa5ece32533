/*
 * Lines of files, pipes and terminals, read without ever waiting.
 *
 *      struct weir_lines lines;
 *
 *      weir__lines_init(&lines, &options);
 *      if (weir__lines_open(&lines, "-"))
 *              while (weir__lines_next(&lines, &line) == WEIR_LINES_LINE)
 *                      use(line.text, line.len);
 *      weir__lines_fini(&lines);
 *
 * A line is what is between two delimiters, byte for byte; a last one without
 * its delimiter counts.  When nothing is there, weir__lines_fd() says on what
 * to wait.  A line that is too long is told of once, and thrown away up to its
 * end in bounded memory.
 *
 * Threads: one at a time, but for the fd, which any may ask.
 */
#ifndef WEIR_SRC_LINES_LINES_H
#define WEIR_SRC_LINES_LINES_H

#include "sync/atomic.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct weir_lines_options {
	char delimiter; /* '\n', '\0', ... */
	size_t max;     /* bytes of a line, without its delimiter */
};

enum weir_lines_what {
	WEIR_LINES_LINE,
	WEIR_LINES_LONG,  /* text is the beginning of one that is too long */
	WEIR_LINES_NONE,  /* nothing just now */
	WEIR_LINES_END,   /* nothing any more */
	WEIR_LINES_ERROR, /* reading has failed; errno says why */
};

/* What LONG gives of a line, at most. */
#define WEIR_LINES_LONG_SHOWN 2048

/* Valid until the next call. */
struct weir_line {
	const char *text;
	size_t len;
	uint64_t number; /* in its file, from 1 */
	bool is_whole;   /* it had its delimiter; of LINE */
};

struct weir_lines {
	/* fixed at creation */
	struct weir_lines_options options;

	/* owned by the reader */
	int fd;        /* -1: none is open */
	bool may_wait; /* it is no regular file: poll first */
	bool skipping; /* in a line that was too long */
	bool fresh;    /* read since weir__lines_ahead() looked */
	int64_t left;  /* bytes still to read; -1: up to the end */
	uint64_t number;
	char *data;
	size_t begin, scanned, end, cap;

	/* atomic: written by the reader, read by anybody */
	struct weir_u32 wait_fd; /* the descriptor + 1; 0: none */
};

void weir__lines_init(struct weir_lines *lines,
		      const struct weir_lines_options *options);
void weir__lines_fini(struct weir_lines *lines);

/* "-" is standard input.  False: errno says why; a folder is an error, too. */
bool weir__lines_open(struct weir_lines *lines, const char *name);
bool weir__lines_is_open(const struct weir_lines *lines);

/* What is appended to a regular file from now on is not read. */
bool weir__lines_freeze(struct weir_lines *lines);

/* What was read and not given is forgotten. */
void weir__lines_close(struct weir_lines *lines);

enum weir_lines_what weir__lines_next(struct weir_lines *lines,
				      struct weir_line *ret);

/*
 * How many lines are left, if the rest of the file is small and there: it is
 * then in memory.  False: that is not known.  Cheap when nothing was read
 * since the last call.
 */
bool weir__lines_ahead(struct weir_lines *lines, uint64_t *ret);

/* What to wait for after NONE, or -1 when nothing is to be awaited. */
int weir__lines_fd(const struct weir_lines *lines);

#endif
