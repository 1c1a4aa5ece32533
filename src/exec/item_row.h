/*
 * The row that is being filled: texts with a NUL behind each, and a number of
 * combinations that they come from.
 *
 * It is not given whole: the combination that would make it too long begins
 * the next one.
 */
#ifndef WEIR_SRC_EXEC_ITEM_ROW_H
#define WEIR_SRC_EXEC_ITEM_ROW_H

#include "base/buf.h"
#include "exec/items.h"

/* A zeroed one is empty. */
struct weir_item_row {
	struct weir_buf text;
	size_t *starts;
	const char **items; /* made of starts when the row is given */
	size_t count, cap;
	size_t given;  /* items of the row before, still there */
	size_t bytes;  /* weir__items_cost() of all */
	uint32_t size; /* combinations */
	uint64_t line;
};

void weir__item_row_fini(struct weir_item_row *row);

/* Append an item.  False: no memory. */
bool weir__item_row_add(struct weir_item_row *row, const char *text,
			size_t len);

/* Forget all items but the first count. */
void weir__item_row_cut(struct weir_item_row *row, size_t count);

/*
 * Give the first count items, which stay until weir__item_row_drop_given();
 * what is behind them begins the next row then.
 */
const char *const *weir__item_row_give(struct weir_item_row *row, size_t count);
void weir__item_row_drop_given(struct weir_item_row *row);

#endif
