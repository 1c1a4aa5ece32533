/*
 * What the commands that look at a store print on standard output: tables and
 * JSON lines, of any number of rows, in bounded memory.
 */
#ifndef WEIR_SRC_CLI_QUEUE_PRINT_H
#define WEIR_SRC_CLI_QUEUE_PRINT_H

#include "base/buf.h"
#include "cli/command.h"

#include <stdbool.h>
#include <stddef.h>

/* Standard output, a piece at a time.  Zeroed but for cli it is empty. */
struct queue_out {
	struct weir_cli *cli;
	struct weir_buf text;
	int exit; /* an exit status, after a failure that has been told of */
};

/* How much is collected before it is written. */
#define QUEUE_OUT_PIECE (256 * 1024)

/* Is it time to write? */
static inline bool
weir__queue_out_is_full(const struct queue_out *out)
{
	return out->text.len >= QUEUE_OUT_PIECE || out->text.failed;
}

/*
 * Write what is there.
 *
 * Waits:   for standard output to take it.
 * Threads: one at a time; not from a callback of the store, which would wait.
 * Owns:    nothing.
 * Returns: whether it could be written; if not, out->exit is set.
 */
bool weir__queue_out_write(struct queue_out *out);

/* Write the rest, and give memory back.  The exit status; 0: all is well. */
int weir__queue_out_fini(struct queue_out *out);

#define QUEUE_TABLE_COLUMNS 12
#define QUEUE_TABLE_ROWS    64

/*
 * Rows in columns.  How wide these are is seen from the first
 * QUEUE_TABLE_ROWS rows; a longer cell that comes later pushes what stands
 * behind it.  The last column takes what is left of a terminal's width.
 */
struct queue_table {
	struct queue_out *out;
	unsigned columns;
	unsigned right; /* bit i: column i is flushed right: numbers */
	unsigned widths[QUEUE_TABLE_COLUMNS];
	bool decided;
	/* Rows that wait: where each cell ends in text. */
	struct weir_buf text;
	size_t ends[QUEUE_TABLE_ROWS][QUEUE_TABLE_COLUMNS];
	unsigned rows;
};

/*
 * Begin a table with these headings; NULL ends.  right is the set of columns
 * with numbers.
 */
void weir__queue_table_init(struct queue_table *table, struct queue_out *out,
			    const char *const *headings, unsigned right);

/*
 * Add a row: so many cells, of any text; what cannot be shown on a terminal is
 * made harmless.
 */
void weir__queue_table_add(struct queue_table *table, const char *const *cells);

/* All rows go to out; nothing does if there was none but the headings. */
void weir__queue_table_end(struct queue_table *table);

#endif
