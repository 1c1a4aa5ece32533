/*
 * Tables and lines on standard output; see queue_print.h.
 */
#include "cli/queue_print.h"

#include "base/assert.h"
#include "cli/queue_open.h"

#include <string.h>
#include <unistd.h>

/* Columns that are left for the last one, at the least. */
#define LAST_MIN 20

/* Above the progress line, where there is one. */
static int
write_out(struct queue_out *out)
{
	const char *text = weir__buf_str(&out->text);

	if (out->text.len == 0)
		return 0;
	return out->cli->progress
		       ? weir__progress_write(out->cli->progress, STDOUT_FILENO,
					      text, out->text.len)
		       : weir__term_write(STDOUT_FILENO, text, out->text.len);
}

bool
weir__queue_out_write(struct queue_out *out)
{
	int failed = 0;

	if (out->exit)
		return false;
	if (out->text.failed)
		out->exit = weir__queue_no_memory(out->cli);
	else
		failed = write_out(out);
	if (failed)
		out->exit = weir__cli_stdout_failed(out->cli, failed);
	weir__buf_reset(&out->text);
	return !out->exit;
}

int
weir__queue_out_fini(struct queue_out *out)
{
	(void)weir__queue_out_write(out);
	weir__buf_fini(&out->text);
	return out->exit;
}

/* Append a cell, filled up to width on the left or the right. */
static void
put_cell(struct weir_buf *to, const char *text, size_t len, unsigned width,
	 bool right)
{
	unsigned used = weir__term_width(text, len);

	for (; right && used < width; used++)
		weir__buf_putc(to, ' ');
	weir__buf_append(to, text, len);
	for (; used < width; used++)
		weir__buf_putc(to, ' ');
}

/* The last cell of a row, cut so that the row is one line of a terminal. */
static void
put_last(struct weir_buf *to, const char *text, size_t len, unsigned before)
{
	unsigned columns = weir__term_columns(STDOUT_FILENO);
	unsigned left =
		columns > before + LAST_MIN ? columns - before : LAST_MIN;

	if (columns == 0)
		weir__buf_append(to, text, len);
	else
		(void)weir__term_shorten(to, text, len, left,
					 weir__term_utf8());
}

/* The row whose cells end there. */
static void
put_row(struct queue_table *t, const size_t *ends, size_t begin)
{
	struct weir_buf *to = &t->out->text;
	size_t line = to->len;

	for (unsigned i = 0; i < t->columns; i++) {
		const char *text = weir__buf_str(&t->text) + begin;
		size_t len = ends[i] - begin;

		if (i + 1 < t->columns) {
			put_cell(to, text, len, t->widths[i],
				 t->right >> i & 1);
			weir__buf_puts(to, "  ");
		} else if (!to->failed) {
			put_last(to, text, len,
				 weir__term_width(to->data + line,
						  to->len - line));
		}
		begin = ends[i];
	}
	/* An empty last cell leaves blanks that nobody wants. */
	while (!to->failed && to->len > line && to->data[to->len - 1] == ' ')
		to->data[--to->len] = '\0';
	weir__buf_putc(to, '\n');
}

/* The rows that wait, with columns as wide as they need. */
static void
put_waiting(struct queue_table *t)
{
	size_t begin = 0;

	for (unsigned r = 0; !t->decided && r < t->rows; r++)
		for (unsigned i = 0; i < t->columns; i++) {
			const char *text = weir__buf_str(&t->text) + begin;
			unsigned width =
				weir__term_width(text, t->ends[r][i] - begin);

			if (width > t->widths[i])
				t->widths[i] = width;
			begin = t->ends[r][i];
		}
	t->decided = true;
	begin = 0;
	for (unsigned r = 0; r < t->rows; r++) {
		put_row(t, t->ends[r], begin);
		begin = t->ends[r][t->columns - 1];
	}
	if (t->text.failed)
		t->out->text.failed = true;
	weir__buf_reset(&t->text);
	t->rows = 0;
}

void
weir__queue_table_init(struct queue_table *table, struct queue_out *out,
		       const char *const *headings, unsigned right)
{
	unsigned columns = 0;

	*table = (struct queue_table){.out = out, .right = right};
	while (headings[columns])
		columns++;
	weir_assert(columns > 0 && columns <= QUEUE_TABLE_COLUMNS);
	table->columns = columns;
	weir__queue_table_add(table, headings);
}

void
weir__queue_table_add(struct queue_table *table, const char *const *cells)
{
	weir_assert(table->rows < QUEUE_TABLE_ROWS);
	for (unsigned i = 0; i < table->columns; i++) {
		weir_assert(cells[i]);
		weir__term_clean(&table->text, cells[i], strlen(cells[i]),
				 weir__term_utf8());
		table->ends[table->rows][i] = table->text.len;
	}
	table->rows++;
	if (table->decided || table->rows == QUEUE_TABLE_ROWS)
		put_waiting(table);
}

void
weir__queue_table_end(struct queue_table *table)
{
	if (table->decided || table->rows > 1)
		put_waiting(table);
	weir__buf_fini(&table->text);
}
