/*
 * The places of a command, {} and so on: how they are written, and what part
 * of an item each stands for.  As GNU parallel defines them.
 */
#ifndef WEIR_SRC_EXEC_PLACES_H
#define WEIR_SRC_EXEC_PLACES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum weir_place_what {
	WEIR_PLACE_ITEM, /* {}   */
	WEIR_PLACE_STEM, /* {.}  without the extension of its last component */
	WEIR_PLACE_BASE, /* {/}  the last component */
	WEIR_PLACE_DIR,  /* {//} what comes before it, as dirname(1) */
	WEIR_PLACE_BASE_STEM, /* {/.} */
	WEIR_PLACE_SEQ,       /* {#}  number of the job */
	WEIR_PLACE_SLOT,      /* {%}  number of the slot */
};

struct weir_place {
	enum weir_place_what what;
	/* Of the first six: 0 all items, 1 the first, -1 the last, ... */
	int32_t index;
};

/* Is it made of items? */
static inline bool
weir__place_is_item(const struct weir_place *place)
{
	return place->what < WEIR_PLACE_SEQ;
}

/*
 * Does a place begin at text?  *ret_len: the bytes it takes.  replace stands
 * for {}, which is nothing then; NULL: it is {} itself.
 */
bool weir__place_read(const char *text, const char *replace,
		      struct weir_place *ret, size_t *ret_len);

/* The part of an item; *len is of the item, then of the part. */
const char *weir__place_cut(enum weir_place_what what, const char *item,
			    size_t *len);

#endif
