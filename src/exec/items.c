/*
 * Items as the rows of commands; see items.h.
 *
 * Design: sources that go along with each other are a group, which comes to
 * some number of steps, each an item of all its sources.  The first source is
 * read as its group steps on; all others are kept before the first row is
 * given, so that their groups have numbers of steps that are known.
 *
 *      -a f ::: a b c :::+ 1 2 3    groups: f | abc+123; steps: ? | 3
 *
 * The groups turn like the wheels of a counter, the last one fastest; each
 * reading is a combination, which is appended to the row.
 *
 * Locking: what other threads may ask are atomic words; the rest belongs to
 * the thread in weir__items_next().
 */
#include "exec/items.h"

#include "base/assert.h"
#include "exec/item_row.h"
#include "exec/item_source.h"
#include "sync/atomic.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROW_BYTES_MAX ((size_t)6 * 1024 * 1024)
#define UNKNOWN       SIZE_MAX /* steps of what is read as it comes */

/* Sources first to first + count - 1. */
struct group {
	size_t first, count;
	size_t steps, at;
};

struct weir_items {
	/* fixed at creation */
	struct weir_items_options options;
	struct weir_item_source *sources;

	/* owned by the reader */
	struct weir_item_reader *readers;
	struct group *groups;
	size_t group_count;
	size_t loading;       /* the source that is being kept; 0: not begun */
	size_t first_count;   /* of the first source, if it is operands */
	size_t first_kept;    /* items to keep of it: it may begin again */
	size_t first_read;    /* items of the first source so far */
	struct weir_item now; /* the last one of these */
	bool stepped;         /* the first group stands on a step */
	uint64_t line;        /* of the first source, in this combination */
	struct weir_item_row row;
	char why[WEIR_ERROR_MAX]; /* of an error; "" if there was none */

	/* atomic: written by the reader, read by anybody */
	struct weir_u64 seq, total;
	struct weir_u32 ended;
};

static void
find_groups(struct weir_items *items)
{
	struct group *group = NULL;

	for (size_t i = 0; i < items->options.source_count; i++) {
		if (i > 0 && items->sources[i].link != WEIR_LINK_NONE) {
			group->count++;
			continue;
		}
		group = &items->groups[items->group_count++];
		*group = (struct group){.first = i, .count = 1};
	}
}

static void
count_first(struct weir_items *items)
{
	for (size_t i = 0; i < items->sources[0].count; i++)
		items->first_count += *items->sources[0].items[i] ||
				      !items->options.skip_blank;
}

static uint64_t rows_of_operands(struct weir_items *items);

weir_status
weir__items_new(struct weir_items **out,
		const struct weir_items_options *options)
{
	struct weir_items *items = calloc(1, sizeof(*items));
	size_t count = options->source_count;

	if (!items)
		return WEIR_NOMEM;
	items->options = *options;
	items->sources = calloc(count + 1, sizeof(*items->sources));
	items->readers = calloc(count + 1, sizeof(*items->readers));
	items->groups = calloc(count + 1, sizeof(*items->groups));
	if (!items->sources || !items->readers || !items->groups) {
		items->options.source_count = 0;
		weir__items_free(items);
		return WEIR_NOMEM;
	}
	if (count > 0)
		memcpy(items->sources, options->sources,
		       count * sizeof(*items->sources));
	items->options.sources = items->sources;
	if (items->options.max_args == 0)
		items->options.max_args = 1;
	if (items->options.max_bytes == 0)
		items->options.max_bytes = ROW_BYTES_MAX;
	if (items->options.kept_max == 0)
		items->options.kept_max = WEIR_EXEC_KEPT_MAX;
	for (size_t i = 0; i < count; i++)
		weir__item_reader_init(&items->readers[i], &items->sources[i],
				       &items->options);
	find_groups(items);
	count_first(items);
	weir__u64_store(&items->total, rows_of_operands(items), WEIR_RELAXED);
	*out = items;
	return WEIR_OK;
}

struct weir_items *
weir__items_free(struct weir_items *items)
{
	if (!items)
		return NULL;
	for (size_t i = 0; i < items->options.source_count; i++)
		weir__item_reader_fini(&items->readers[i]);
	free(items->sources);
	free(items->readers);
	free(items->groups);
	weir__item_row_fini(&items->row);
	free(items);
	return NULL;
}

int
weir__items_fd(struct weir_items *items)
{
	int fd = -1;

	for (size_t i = 0; fd < 0 && i < items->options.source_count; i++)
		fd = weir__lines_fd(&items->readers[i].lines);
	return fd;
}

uint64_t
weir__items_count(struct weir_items *items, bool *ret_end)
{
	*ret_end = weir__u32_load(&items->ended, WEIR_SEQ_CST) != 0;
	return weir__u64_load(&items->seq, WEIR_SEQ_CST);
}

static enum weir_items_what
fail(struct weir_items *items, const char *why)
{
	snprintf(items->why, sizeof(items->why), "%s", why);
	return WEIR_ITEMS_ERROR;
}

static bool
is_within_limit(const struct weir_items *items)
{
	size_t bytes = 0;

	for (size_t i = 0; i < items->options.source_count; i++)
		bytes += weir__item_reader_bytes(&items->readers[i]);
	return bytes <= items->options.kept_max;
}

static enum weir_items_what
keep(struct weir_items *items, struct weir_item_reader *reader,
     const struct weir_item *item)
{
	if (!weir__item_reader_keep(reader, item))
		return fail(items, "out of memory");
	if (is_within_limit(items))
		return WEIR_ITEMS_ROW;
	snprintf(items->why, sizeof(items->why),
		 "%s: all lists but the first are kept in memory, up to %zu "
		 "MiB; give the longest one first",
		 weir__item_reader_name(reader),
		 items->options.kept_max / (1024 * 1024));
	return WEIR_ITEMS_ERROR;
}

/* How many items of that source its group can use; it may not be known. */
static size_t
source_steps(const struct weir_items *items, size_t i)
{
	const struct weir_item_reader *reader = &items->readers[i];

	if (i > 0)
		return reader->count;
	if (!reader->from->file)
		return items->first_count;
	return reader->is_over ? items->first_read : UNKNOWN;
}

/*
 * Sources that are cut end together, at the end of the shortest of them: the
 * steps of those that source i is one of.
 */
static size_t
chain_steps(const struct weir_items *items, size_t i)
{
	size_t steps;

	while (i > 0 && items->sources[i].link == WEIR_LINK_CUT)
		i--;
	steps = source_steps(items, i);
	while (++i < items->options.source_count &&
	       items->sources[i].link == WEIR_LINK_CUT)
		if (source_steps(items, i) < steps)
			steps = source_steps(items, i);
	return steps;
}

/* The longest of its chains; the others begin again. */
static size_t
group_steps(const struct weir_items *items, const struct group *group)
{
	size_t steps = 0;

	for (size_t i = group->first; i < group->first + group->count; i++) {
		size_t more = chain_steps(items, i);

		if (more == 0)
			return 0;
		if (more > steps)
			steps = more;
	}
	return steps;
}

/*
 * How many items the first source may have to give again: it does so only if
 * another list is longer than it.
 */
static size_t
first_kept(const struct weir_items *items)
{
	size_t longest = 0;
	bool wraps = false;

	for (size_t i = 1; i < items->groups[0].count; i++) {
		wraps |= items->sources[i].link == WEIR_LINK_WRAP;
		if (items->readers[i].count > longest)
			longest = items->readers[i].count;
	}
	return wraps ? longest : 0;
}

/* Keep all sources but the first.  ROW: it is done. */
static enum weir_items_what
load(struct weir_items *items)
{
	enum weir_items_what what;
	struct weir_item item;

	if (items->loading == 0)
		items->loading = 1;
	while (items->loading < items->options.source_count) {
		struct weir_item_reader *reader =
			&items->readers[items->loading];

		what = weir__item_reader_next(reader, &item);
		if (what == WEIR_ITEMS_ROW)
			what = keep(items, reader, &item);
		else if (what == WEIR_ITEMS_ERROR)
			what = fail(items, reader->why);
		if (what == WEIR_ITEMS_END)
			items->loading++;
		else if (what != WEIR_ITEMS_ROW)
			return what;
	}
	for (size_t i = 1; i < items->group_count; i++)
		items->groups[i].steps = group_steps(items, &items->groups[i]);
	items->first_kept = first_kept(items);
	return WEIR_ITEMS_ROW;
}

/* What a combination of operands takes on a command line at most. */
static size_t
cost_max(const struct weir_items *items)
{
	size_t cost = 0;

	for (size_t i = 0; i < items->options.source_count; i++) {
		const struct weir_item_source *source = &items->sources[i];
		size_t longest = 0;

		for (size_t j = 0; j < source->count; j++)
			if (strlen(source->items[j]) > longest)
				longest = strlen(source->items[j]);
		/* With columns, each byte may be one. */
		cost += items->options.colsep
				? weir__items_cost(1) * (longest + 1)
				: weir__items_cost(longest);
	}
	return cost;
}

/* How many rows operands make; 0: that is not known. */
static uint64_t
rows_of_operands(struct weir_items *items)
{
	uint64_t total = 1, size = items->options.max_args;

	for (size_t i = 0; i < items->options.source_count; i++)
		if (items->sources[i].file)
			return 0;
	/* It may be more rows if some are cut short. */
	if (size > 1 && cost_max(items) > items->options.max_bytes / size)
		return 0;
	if (items->group_count == 0 || load(items) != WEIR_ITEMS_ROW)
		return 0;
	for (size_t i = 0; i < items->group_count; i++)
		if (__builtin_mul_overflow(
			    total, group_steps(items, &items->groups[i]),
			    &total))
			return 0;
	return total / size + (total % size != 0);
}

uint64_t
weir__items_total(struct weir_items *items)
{
	return weir__u64_load(&items->total, WEIR_SEQ_CST);
}

/* A list that is short, and all there, has an end that can be told. */
static void
look_ahead(struct weir_items *items)
{
	const struct weir_items_options *options = &items->options;
	uint64_t ahead, seq = weir__u64_load(&items->seq, WEIR_RELAXED);

	if (options->source_count == 1 && items->sources[0].file &&
	    options->max_args <= 1 && !options->skip_blank &&
	    weir__lines_ahead(&items->readers[0].lines, &ahead))
		weir__u64_store(&items->total, seq + ahead, WEIR_SEQ_CST);
}

/* Which item of source i is part of a step. */
static size_t
index_at(const struct weir_items *items, size_t i, size_t step)
{
	size_t steps = chain_steps(items, i);

	return steps == UNKNOWN ? step : step % steps;
}

/* Read the first source up to the item that this step needs. */
static enum weir_items_what
read_first(struct weir_items *items)
{
	struct group *group = &items->groups[0];
	struct weir_item_reader *reader = &items->readers[0];
	enum weir_items_what what;

	for (;;) {
		size_t steps = group_steps(items, group);

		if (steps != UNKNOWN && group->at >= steps)
			return WEIR_ITEMS_END;
		if (index_at(items, 0, group->at) < items->first_read)
			return WEIR_ITEMS_ROW;
		what = weir__item_reader_next(reader, &items->now);
		if (what == WEIR_ITEMS_ERROR)
			return fail(items, reader->why);
		if (what == WEIR_ITEMS_NONE)
			return what;
		if (what == WEIR_ITEMS_END)
			continue;
		items->first_read++;
		if (items->first_read > items->first_kept)
			continue;
		what = keep(items, reader, &items->now);
		if (what != WEIR_ITEMS_ROW)
			return what;
	}
}

/* Have the first group stand on a step.  ROW: it does. */
static enum weir_items_what
step(struct weir_items *items)
{
	enum weir_items_what what;

	if (items->stepped)
		return WEIR_ITEMS_ROW;
	if (items->group_count == 0)
		return WEIR_ITEMS_END;
	for (size_t i = 1; i < items->group_count; i++)
		if (items->groups[i].steps == 0)
			return WEIR_ITEMS_END;
	what = read_first(items);
	items->stepped = what == WEIR_ITEMS_ROW;
	return what;
}

/* To the next combination: the last wheel turns, and those that it takes. */
static void
turn(struct weir_items *items)
{
	for (size_t i = items->group_count - 1; i > 0; i--) {
		if (++items->groups[i].at < items->groups[i].steps)
			return;
		items->groups[i].at = 0;
	}
	items->groups[0].at++;
	items->stepped = false;
}

/* The item of source i in this combination. */
static void
item_now(const struct weir_items *items, const struct group *group, size_t i,
	 struct weir_item *ret)
{
	size_t index = index_at(items, i, group->at);

	if (index < items->readers[i].count)
		weir__item_reader_kept(&items->readers[i], index, ret);
	else
		*ret = items->now;
}

static bool
add_columns(struct weir_items *items, const struct weir_item *item)
{
	const char *colsep = items->options.colsep;
	const char *text = item->text, *end = text + item->len, *cut;

	while (colsep && *colsep &&
	       (cut = memmem(text, (size_t)(end - text), colsep,
			     strlen(colsep))) != NULL) {
		if (!weir__item_row_add(&items->row, text,
					(size_t)(cut - text)))
			return false;
		text = cut + strlen(colsep);
	}
	return weir__item_row_add(&items->row, text, (size_t)(end - text));
}

/* Append the combination that the groups stand on.  BAD: nothing is. */
static enum weir_items_what
combine(struct weir_items *items, struct weir_items_row *ret)
{
	size_t before = items->row.count;
	struct weir_item item;

	for (size_t g = 0; g < items->group_count; g++) {
		const struct group *group = &items->groups[g];

		for (size_t i = group->first; i < group->first + group->count;
		     i++) {
			item_now(items, group, i, &item);
			if (i == 0)
				items->line = item.line;
			if (item.why) {
				weir__item_row_cut(&items->row, before);
				ret->line = item.line;
				ret->text = item.text;
				ret->text_len = item.len;
				snprintf(ret->why, sizeof(ret->why), "%s",
					 item.why);
				return WEIR_ITEMS_BAD;
			}
			if (!add_columns(items, &item))
				return fail(items, "out of memory");
		}
	}
	return WEIR_ITEMS_ROW;
}

static void
number(struct weir_items *items, struct weir_items_row *ret)
{
	ret->seq = weir__u64_add(&items->seq, 1, WEIR_SEQ_CST) + 1;
}

/* Give the first count items; size combinations are left over. */
static enum weir_items_what
give(struct weir_items *items, struct weir_items_row *ret, size_t count,
     uint32_t size)
{
	struct weir_item_row *row = &items->row;

	ret->items = weir__item_row_give(row, count);
	ret->count = count;
	ret->line = row->line;
	row->size = size;
	row->line = items->line;
	number(items, ret);
	return WEIR_ITEMS_ROW;
}

/* Fill the row, and give it when it is full. */
static enum weir_items_what
fill(struct weir_items *items, struct weir_items_row *ret)
{
	struct weir_item_row *row = &items->row;
	enum weir_items_what what;
	size_t before;

	weir__item_row_drop_given(row);
	while (row->size < items->options.max_args) {
		what = step(items);
		if (what == WEIR_ITEMS_END && row->size > 0)
			break;
		if (what != WEIR_ITEMS_ROW)
			return what;
		before = row->count;
		what = combine(items, ret);
		if (what == WEIR_ITEMS_ERROR)
			return what;
		turn(items);
		if (what == WEIR_ITEMS_BAD) {
			number(items, ret);
			return what;
		}
		if (row->bytes > items->options.max_bytes && row->size > 0)
			return give(items, ret, before, 1);
		if (row->size++ == 0)
			row->line = items->line;
	}
	return give(items, ret, row->count, 0);
}

enum weir_items_what
weir__items_next(struct weir_items *items, struct weir_items_row *ret)
{
	enum weir_items_what what;

	memset(ret, 0, sizeof(*ret));
	what = items->why[0] ? WEIR_ITEMS_ERROR : WEIR_ITEMS_ROW;
	if (what == WEIR_ITEMS_ROW &&
	    (items->loading == 0 ||
	     items->loading < items->options.source_count))
		what = load(items);
	if (what == WEIR_ITEMS_ROW)
		what = fill(items, ret);
	if (what == WEIR_ITEMS_ROW || what == WEIR_ITEMS_BAD)
		look_ahead(items);
	if (what == WEIR_ITEMS_END)
		weir__u32_store(&items->ended, 1, WEIR_SEQ_CST);
	if (what == WEIR_ITEMS_ERROR)
		snprintf(ret->why, sizeof(ret->why), "%s", items->why);
	return what;
}
