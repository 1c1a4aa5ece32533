/* The row that is being filled; see item_row.h. */
#include "exec/item_row.h"

#include <stdlib.h>
#include <string.h>

void
weir__item_row_fini(struct weir_item_row *row)
{
	weir__buf_fini(&row->text);
	free(row->starts);
	free(row->items);
	*row = (struct weir_item_row){0};
}

static bool
grow(struct weir_item_row *row)
{
	size_t cap = row->cap ? row->cap * 2 : 16;
	size_t *starts = reallocarray(row->starts, cap, sizeof(*starts));
	const char **list;

	if (!starts)
		return false;
	row->starts = starts;
	list = reallocarray(row->items, cap, sizeof(*list));
	if (!list)
		return false;
	row->items = list;
	row->cap = cap;
	return true;
}

bool
weir__item_row_add(struct weir_item_row *row, const char *text, size_t len)
{
	if (row->count == row->cap && !grow(row))
		return false;
	row->starts[row->count++] = row->text.len;
	row->bytes += weir__items_cost(len);
	weir__buf_append(&row->text, text, len);
	weir__buf_putc(&row->text, '\0');
	return !row->text.failed;
}

void
weir__item_row_cut(struct weir_item_row *row, size_t count)
{
	if (count == row->count)
		return;
	row->text.len = row->starts[count];
	row->bytes = row->text.len + count * sizeof(char *);
	row->count = count;
}

void
weir__item_row_drop_given(struct weir_item_row *row)
{
	size_t given = row->given, gone;

	row->given = 0;
	if (given == 0)
		return;
	if (given == row->count) {
		weir__buf_reset(&row->text);
		row->count = row->bytes = 0;
		return;
	}
	gone = row->starts[given];
	memmove(row->text.data, row->text.data + gone, row->text.len - gone);
	row->text.len -= gone;
	row->count -= given;
	for (size_t i = 0; i < row->count; i++)
		row->starts[i] = row->starts[i + given] - gone;
	row->bytes = row->text.len + row->count * sizeof(char *);
}

const char *const *
weir__item_row_give(struct weir_item_row *row, size_t count)
{
	for (size_t i = 0; i < count; i++)
		row->items[i] = row->text.data + row->starts[i];
	row->given = count;
	return row->items;
}
