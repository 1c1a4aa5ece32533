/*
 * What commands are made for: items, from files, pipes and operands.
 *
 * A source is a file ("-" is standard input), read as slots fall free, or a
 * list of operands.  With several, each item of the first is combined with
 * each of the others, the last one varying fastest; a source that is linked
 * goes along with the one before it instead, as a column beside it.  The first
 * is read as it comes; all others are kept in memory, up to
 * WEIR_EXEC_KEPT_MAX.
 *
 * An item is what is between two delimiters, byte for byte; a last one without
 * its delimiter counts.  A row is the items of one command: of max_args
 * combinations, or fewer if they would not fit on a command line.  A
 * combination with an item of which no argument can be made is BAD, by itself.
 * When a source is empty, there are no combinations.
 *
 * Reading never waits for a pipe or a terminal; when nothing is there,
 * weir__items_fd() says on what to wait.
 *
 * Threads: one at a time, but for the fd and the count, which any may ask.
 */
#ifndef WEIR_SRC_EXEC_ITEMS_H
#define WEIR_SRC_EXEC_ITEMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <weir/base.h>

/* An argument longer than this cannot be given to a program (Linux). */
#define WEIR_EXEC_ITEM_MAX (128 * 1024 - 1)

/* What all sources but the first may come to, in bytes. */
#define WEIR_EXEC_KEPT_MAX (256 * 1024 * 1024)

struct weir_items;

/* How a source goes along with the one before it, as GNU parallel has it. */
enum weir_item_link {
	WEIR_LINK_NONE, /* it does not: each is combined with each */
	WEIR_LINK_CUT,  /* :::+     the shorter one ends it */
	WEIR_LINK_WRAP, /* --link   the shorter one begins again */
};

struct weir_item_source {
	const char *file; /* or NULL: the operands; both must stay */
	const char *const *items;
	size_t count;
	enum weir_item_link link;
};

/*
 * max_bytes is what weir__template_room() says: a row is given with fewer than
 * max_args combinations when one more would make it longer; 0: 6 MiB.
 */
struct weir_items_options {
	const struct weir_item_source *sources;
	size_t source_count;
	char delimiter;     /* '\n', '\0', ... */
	const char *colsep; /* or NULL */
	uint32_t max_args;  /* -n; 0: one */
	size_t max_bytes;   /* of a row with -n, or fewer: see below */
	bool skip_blank;    /* leave out empty items */
	size_t kept_max;    /* 0: WEIR_EXEC_KEPT_MAX */
};

enum weir_items_what {
	WEIR_ITEMS_ROW,   /* the items of one command */
	WEIR_ITEMS_BAD,   /* no command can be made of this; why is set */
	WEIR_ITEMS_NONE,  /* nothing just now */
	WEIR_ITEMS_END,   /* nothing any more */
	WEIR_ITEMS_ERROR, /* reading has failed; why is set */
};

/* What an item takes on a command line, by which max_bytes is counted. */
static inline size_t
weir__items_cost(size_t len)
{
	return len + 1 + sizeof(char *);
}

/* One row: valid until the next call. */
struct weir_items_row {
	uint64_t seq;             /* from 1; of ROW and BAD */
	uint64_t line;            /* of the first source, where it began */
	const char *const *items; /* no NUL byte is in any of them */
	size_t count;
	/* With BAD: what it was, cut; with BAD and ERROR: why */
	const char *text;
	size_t text_len;
	char why[WEIR_ERROR_MAX];
};

/* WEIR_OK, WEIR_NOMEM. */
WEIR_NODISCARD weir_status weir__items_new(
	struct weir_items **out, const struct weir_items_options *options);
struct weir_items *weir__items_free(struct weir_items *items);

/* ERROR is for good: nothing comes after it but ERROR. */
enum weir_items_what weir__items_next(struct weir_items *items,
				      struct weir_items_row *ret);

/* What to wait for after NONE, or -1 when nothing is to be awaited. */
int weir__items_fd(struct weir_items *items);

/* Rows given so far, and whether that was all. */
uint64_t weir__items_count(struct weir_items *items, bool *ret_end);

/*
 * How many rows there will be, once that is known: of operands at once, of a
 * list when what is left of it is small and there; else 0.  Any thread.
 */
uint64_t weir__items_total(struct weir_items *items);

#endif
