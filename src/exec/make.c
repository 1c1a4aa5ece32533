/*
 * Commands made of a template and items; see template.h.
 *
 * Design: a command is walked twice: to measure it, and, after one malloc(),
 * to write it.
 *
 *      | struct weir_exec_job | argv | slots | arguments | item |
 *
 * The arguments, each with its NUL, stand behind one another; their hash is
 * the key.  No argument has a NUL in it, so no two commands have the same
 * bytes there.
 */
#include "base/hash.h"
#include "exec/template_words.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SHOWN_MAX 2048 /* what a bad job keeps of its items */

/* Logs have keys in them: these must stay as they are. */
static const uint64_t key_of_keys[2][2] = {
	{UINT64_C(0x776569722072756e), UINT64_C(0x6b6579206f6e6521)},
	{UINT64_C(0x6b65792074776f21), UINT64_C(0x776569722072756e)},
};

/* A command on its way to memory; with text NULL it is only measured. */
struct render {
	const struct weir_items_row *row;
	char **argv;
	struct weir_exec_slot *slots;
	char *text;
	size_t argc, slot_count;
	size_t bytes;   /* of all arguments, with their NULs */
	size_t begin;   /* where this argument begins */
	size_t longest; /* of the arguments */
};

static void
put(struct render *r, const char *text, size_t len)
{
	if (r->text)
		memcpy(r->text + r->bytes, text, len);
	r->bytes += len;
}

static void
end_argument(struct render *r)
{
	if (r->bytes - r->begin > r->longest)
		r->longest = r->bytes - r->begin;
	if (r->text)
		r->argv[r->argc] = r->text + r->begin;
	put(r, "", 1);
	r->begin = r->bytes;
	r->argc++;
}

static void
put_part(struct render *r, enum weir_place_what what, const char *item)
{
	size_t len = strlen(item);
	const char *part = weir__place_cut(what, item, &len);

	put(r, part, len);
}

/* The item that a place with an index is about.  NULL: it is missing. */
static const char *
item_at(const struct weir_items_row *row, int32_t index)
{
	size_t n = (size_t)(index < 0 ? -index : index);

	if (n > row->count)
		return NULL;
	return row->items[index < 0 ? row->count - n : n - 1];
}

/* All items, alone: an argument each; else joined by blanks. */
static void
put_items(struct render *r, enum weir_place_what what, bool alone)
{
	for (size_t i = 0; i < r->row->count; i++) {
		if (i > 0 && !alone)
			put(r, " ", 1);
		put_part(r, what, r->row->items[i]);
		if (alone)
			end_argument(r);
	}
}

static void
put_slot(struct render *r)
{
	if (r->text)
		r->slots[r->slot_count] = (struct weir_exec_slot){
			.arg = r->argc,
			.offset = r->bytes - r->begin,
		};
	r->slot_count++;
	put(r, "{%}", 3);
}

static void
put_place(struct render *r, const struct weir_place *place)
{
	char number[24];
	const char *item;

	switch (place->what) {
	case WEIR_PLACE_SEQ:
		put(r, number,
		    (size_t)snprintf(number, sizeof(number), "%" PRIu64,
				     r->row->seq));
		return;
	case WEIR_PLACE_SLOT:
		put_slot(r);
		return;
	case WEIR_PLACE_ITEM:
	case WEIR_PLACE_STEM:
	case WEIR_PLACE_BASE:
	case WEIR_PLACE_DIR:
	case WEIR_PLACE_BASE_STEM:
		break;
	}
	if (place->index == 0) {
		put_items(r, place->what, false);
		return;
	}
	item = item_at(r->row, place->index);
	if (item)
		put_part(r, place->what, item);
}

/* A place that stands alone makes as many arguments as it has items. */
static bool
put_alone(struct render *r, const struct weir_word *word,
	  const struct weir_piece *piece)
{
	if (word->count != 1 || piece->text ||
	    !weir__place_is_item(&piece->place))
		return false;
	if (piece->place.index == 0) {
		put_items(r, piece->place.what, true);
		return true;
	}
	return !item_at(r->row, piece->place.index);
}

static void
render(struct render *r, const struct weir_template *t)
{
	for (size_t i = 0; i < t->word_count; i++) {
		const struct weir_word *word = &t->words[i];
		const struct weir_piece *piece = &t->pieces[word->first];

		if (put_alone(r, word, piece))
			continue;
		for (size_t j = 0; j < word->count; j++, piece++)
			if (piece->text)
				put(r, piece->text, piece->len);
			else
				put_place(r, &piece->place);
		end_argument(r);
	}
}

/* Text that is no longer than SHOWN_MAX, with U+FFFD in place of NULs. */
static struct weir_exec_job *
make_bad(uint64_t seq, const char *text, size_t len, const char *why)
{
	static const char replacement[] = "\xef\xbf\xbd";
	struct weir_exec_job *job;
	char *at;

	if (len > SHOWN_MAX)
		len = SHOWN_MAX;
	job = calloc(1, sizeof(*job) + sizeof(*job->argv) +
				len * strlen(replacement) + strlen(why) + 2);
	if (!job)
		return NULL;
	job->seq = seq;
	job->argv = (char **)(job + 1); /* which is NULL: no arguments */
	job->item = at = (char *)(job->argv + 1);
	for (size_t i = 0; i < len; i++)
		if (text[i])
			*at++ = text[i];
		else
			at = stpcpy(at, replacement);
	job->item_len = (size_t)(at - job->item);
	job->bad = memcpy(at + 1, why, strlen(why) + 1);
	for (int i = 0; i < 2; i++)
		job->key.word[i] =
			weir__hash64(key_of_keys[i], job->item, job->item_len);
	return job;
}

struct weir_exec_job *
weir__template_bad(const struct weir_items_row *row)
{
	return make_bad(row->seq, row->text, row->text_len, row->why);
}

/* What is wrong with a command of that size; "" if nothing is. */
static void
judge(char why[WEIR_ERROR_MAX], const struct weir_template *t,
      const struct render *r)
{
	size_t bytes = r->bytes + (r->argc + 1) * sizeof(char *);

	why[0] = '\0';
	if (r->argc == 0)
		snprintf(why, WEIR_ERROR_MAX, "no command is left");
	else if (r->longest > WEIR_EXEC_ITEM_MAX)
		snprintf(why, WEIR_ERROR_MAX,
			 "an argument of %zu bytes is longer than %d",
			 r->longest, WEIR_EXEC_ITEM_MAX);
	else if (bytes > t->bytes_max)
		snprintf(why, WEIR_ERROR_MAX,
			 "arguments of %zu bytes are more than the %zu that "
			 "the system takes",
			 bytes, t->bytes_max);
}

static size_t
items_len(const struct weir_items_row *row)
{
	size_t len = 0;

	for (size_t i = 0; i < row->count; i++)
		len += strlen(row->items[i]) + 1;
	return len;
}

/* The items with blanks between them, in items_len() bytes with the NUL. */
static size_t
join_items(char *out, const struct weir_items_row *row)
{
	char *at = out;

	*at = '\0';
	for (size_t i = 0; i < row->count; i++) {
		if (i > 0)
			*at++ = ' ';
		at = stpcpy(at, row->items[i]);
	}
	return (size_t)(at - out);
}

static struct weir_exec_job *
make_too_long(const struct weir_items_row *row, const char *why)
{
	const char *first = row->count > 0 ? row->items[0] : "";

	return make_bad(row->seq, first, strlen(first), why);
}

struct weir_exec_job *
weir__template_make(const struct weir_template *t,
		    const struct weir_items_row *row)
{
	struct render size = {.row = row}, r = {.row = row};
	struct weir_exec_job *job;
	char why[WEIR_ERROR_MAX];

	render(&size, t);
	judge(why, t, &size);
	if (why[0])
		return make_too_long(row, why);
	job = malloc(sizeof(*job) + (size.argc + 1) * sizeof(*r.argv) +
		     size.slot_count * sizeof(*r.slots) + size.bytes +
		     items_len(row) + 1);
	if (!job)
		return NULL;
	r.argv = (char **)(job + 1);
	r.slots = (struct weir_exec_slot *)(r.argv + size.argc + 1);
	r.text = (char *)(r.slots + size.slot_count);
	render(&r, t);
	r.argv[r.argc] = NULL;
	*job = (struct weir_exec_job){
		.seq = row->seq,
		.argv = r.argv,
		.argc = r.argc,
		.item = r.text + r.bytes,
		.item_len = join_items(r.text + r.bytes, row),
		.slots = r.slots,
		.slot_count = r.slot_count,
		.bad = "",
	};
	for (int i = 0; i < 2; i++)
		job->key.word[i] =
			weir__hash64(key_of_keys[i], r.text, r.bytes);
	return job;
}
