/*
 * One source of items: the lines of a file, or operands; read once, and kept
 * if they are needed again.
 *
 * An item of which no argument can be made is an item all the same, and
 * carries the reason: in lists that go along with each other, those after it
 * must not move up.
 *
 * Threads: one at a time, but for the fd, which any may ask.
 */
#ifndef WEIR_SRC_EXEC_ITEM_SOURCE_H
#define WEIR_SRC_EXEC_ITEM_SOURCE_H

#include "base/buf.h"
#include "exec/items.h"
#include "lines/lines.h"

/* Valid until the source is read again or kept items are added. */
struct weir_item {
	const char *text;
	size_t len;
	uint64_t line;   /* in its file, or its place among the operands */
	const char *why; /* it is bad; NULL: it is not */
};

struct weir_item_reader {
	/* fixed at creation */
	const struct weir_item_source *from;
	const struct weir_items_options *options;

	/* owned by the reader */
	size_t operand; /* the next one */
	struct weir_lines lines;
	bool is_open, is_over;
	char why[WEIR_ERROR_MAX];

	/* what is kept: texts with a NUL behind each, and then the reason */
	struct weir_buf text;
	struct weir_kept *kept;
	size_t count, cap;
};

void weir__item_reader_init(struct weir_item_reader *reader,
			    const struct weir_item_source *from,
			    const struct weir_items_options *options);
void weir__item_reader_fini(struct weir_item_reader *reader);

/* The next item.  ROW: it is *ret; NONE, END; ERROR: reader->why says why. */
enum weir_items_what weir__item_reader_next(struct weir_item_reader *reader,
					    struct weir_item *ret);

/* Keep it: the next of those that are kept.  False: no memory. */
bool weir__item_reader_keep(struct weir_item_reader *reader,
			    const struct weir_item *item);
/* One that was kept; index < count. */
void weir__item_reader_kept(const struct weir_item_reader *reader, size_t index,
			    struct weir_item *ret);
/* Bytes of memory that keeping has taken. */
size_t weir__item_reader_bytes(const struct weir_item_reader *reader);

/* How people call it. */
const char *weir__item_reader_name(const struct weir_item_reader *reader);

#endif
