/*
 * How many lines of a list are something to fetch, counted ahead of reading
 * them, a piece at a time, so that progress has an end.
 */
#ifndef WEIR_SRC_FETCH_COUNT_H
#define WEIR_SRC_FETCH_COUNT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct weir_fetch_count {
	/* fixed at creation */
	const char *const *files;
	size_t file_count;

	/* the caller's */
	size_t file;
	int fd; /* -1: none is open */
	int64_t offset;
	bool in_line; /* past the blanks at the line's beginning */
	uint64_t lines;
	bool done;    /* all files have been read */
	bool unknown; /* one of them cannot be read twice */
};

void weir__fetch_count_init(struct weir_fetch_count *count,
			    const char *const *files, size_t file_count);
void weir__fetch_count_fini(struct weir_fetch_count *count);

/* Look at about max more bytes. */
void weir__fetch_count_step(struct weir_fetch_count *count, size_t max);

/* The same lines as weir__fetch_input_next() gives; text may come in pieces. */
void weir__fetch_count_text(struct weir_fetch_count *count, const char *text,
			    size_t len);

#endif
