/*
 * A source of items; see item_source.h.
 */
#include "exec/item_source.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Where in reader->text it is; has_why: the reason is behind it. */
struct weir_kept {
	size_t at, len;
	uint64_t line;
	bool has_why;
};

void
weir__item_reader_init(struct weir_item_reader *reader,
		       const struct weir_item_source *from,
		       const struct weir_items_options *options)
{
	const struct weir_lines_options lines = {
		.delimiter = options->delimiter,
		.max = WEIR_EXEC_ITEM_MAX,
	};

	*reader = (struct weir_item_reader){.from = from, .options = options};
	weir__lines_init(&reader->lines, &lines);
}

void
weir__item_reader_fini(struct weir_item_reader *reader)
{
	weir__lines_fini(&reader->lines);
	weir__buf_fini(&reader->text);
	free(reader->kept);
	reader->kept = NULL;
}

const char *
weir__item_reader_name(const struct weir_item_reader *reader)
{
	if (!reader->from->file)
		return "the operands";
	return strcmp(reader->from->file, "-") == 0 ? "standard input"
						    : reader->from->file;
}

static enum weir_items_what
cannot_read(struct weir_item_reader *reader)
{
	snprintf(reader->why, sizeof(reader->why), "cannot read %s: %s",
		 weir__item_reader_name(reader), strerror(errno));
	return WEIR_ITEMS_ERROR;
}

/* With several files, say which; lines are called what the user made them. */
static void
say_why(struct weir_item_reader *reader, uint64_t number, const char *what)
{
	bool several = reader->options->source_count > 1;

	snprintf(reader->why, sizeof(reader->why), "%s %" PRIu64 "%s%s %s",
		 reader->options->delimiter == '\n' ? "line" : "item", number,
		 several ? " of " : "",
		 several ? weir__item_reader_name(reader) : "", what);
}

/* Can an argument be made of it?  If not, why is set. */
static void
judge(struct weir_item_reader *reader, struct weir_item *item, bool is_long)
{
	char what[64];

	item->why = NULL;
	if (is_long) {
		snprintf(what, sizeof(what), "is longer than %d bytes",
			 WEIR_EXEC_ITEM_MAX);
		say_why(reader, item->line, what);
	} else if (memchr(item->text, '\0', item->len)) {
		say_why(reader, item->line, "has a NUL byte in it; use -0");
	} else {
		return;
	}
	item->why = reader->why;
}

static enum weir_items_what
next_operand(struct weir_item_reader *reader, struct weir_item *ret)
{
	if (reader->operand == reader->from->count)
		return WEIR_ITEMS_END;
	ret->text = reader->from->items[reader->operand++];
	ret->len = strlen(ret->text);
	ret->line = reader->operand;
	ret->why = NULL;
	return WEIR_ITEMS_ROW;
}

static enum weir_items_what
next_line(struct weir_item_reader *reader, struct weir_item *ret)
{
	enum weir_lines_what what;
	struct weir_line line;

	if (!reader->is_open &&
	    !weir__lines_open(&reader->lines, reader->from->file))
		return cannot_read(reader);
	reader->is_open = true;
	what = weir__lines_next(&reader->lines, &line);
	switch (what) {
	case WEIR_LINES_LINE:
	case WEIR_LINES_LONG:
		ret->text = line.text;
		ret->len = line.len;
		ret->line = line.number;
		judge(reader, ret, what == WEIR_LINES_LONG);
		return WEIR_ITEMS_ROW;
	case WEIR_LINES_NONE:
		return WEIR_ITEMS_NONE;
	case WEIR_LINES_END:
		weir__lines_close(&reader->lines);
		return WEIR_ITEMS_END;
	case WEIR_LINES_ERROR:
		break;
	}
	return cannot_read(reader);
}

enum weir_items_what
weir__item_reader_next(struct weir_item_reader *reader, struct weir_item *ret)
{
	enum weir_items_what what;

	do {
		if (reader->is_over)
			return WEIR_ITEMS_END;
		what = reader->from->file ? next_line(reader, ret)
					  : next_operand(reader, ret);
		reader->is_over = what == WEIR_ITEMS_END;
	} while (what == WEIR_ITEMS_ROW && ret->len == 0 &&
		 reader->options->skip_blank);
	return what;
}

static bool
grow(struct weir_item_reader *reader)
{
	size_t cap = reader->cap ? reader->cap * 2 : 64;
	struct weir_kept *kept = reallocarray(reader->kept, cap, sizeof(*kept));

	if (!kept)
		return false;
	reader->kept = kept;
	reader->cap = cap;
	return true;
}

bool
weir__item_reader_keep(struct weir_item_reader *reader,
		       const struct weir_item *item)
{
	struct weir_kept kept = {
		.at = reader->text.len,
		.len = item->len,
		.line = item->line,
		.has_why = item->why != NULL,
	};

	if (reader->count == reader->cap && !grow(reader))
		return false;
	weir__buf_append(&reader->text, item->text, item->len);
	weir__buf_putc(&reader->text, '\0');
	if (item->why)
		weir__buf_append(&reader->text, item->why,
				 strlen(item->why) + 1);
	if (reader->text.failed)
		return false;
	reader->kept[reader->count++] = kept;
	return true;
}

void
weir__item_reader_kept(const struct weir_item_reader *reader, size_t index,
		       struct weir_item *ret)
{
	const struct weir_kept *kept = &reader->kept[index];

	ret->text = reader->text.data + kept->at;
	ret->len = kept->len;
	ret->line = kept->line;
	ret->why = kept->has_why ? ret->text + kept->len + 1 : NULL;
}

size_t
weir__item_reader_bytes(const struct weir_item_reader *reader)
{
	return reader->text.cap + reader->cap * sizeof(*reader->kept);
}
