/*
 * Commands made of a template and items; see template.h.
 *
 * Design: the words are cut into pieces, literal text and places, once.  A
 * command is then walked twice: to measure it, and, after one malloc(), to
 * write it.
 *
 *      | struct weir_exec_job | argv | slots | arguments | item |
 *
 * The arguments, each with its NUL, stand behind one another; their hash is
 * the key.  No argument has a NUL in it, so no two commands have the same
 * bytes there.
 */
#include "exec/template.h"

#include "base/hash.h"
#include "exec/places.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SHOWN_MAX 2048 /* what a bad job keeps of its items */

/* Linux takes no more, whatever the limits are: three quarters of 8 MiB. */
#define ARGUMENTS_MAX ((size_t)6 * 1024 * 1024)
/* Left for what the kernel puts there, and variables set for the child. */
#define ARGUMENTS_RESERVE 4096

/* Logs have keys in them: these must stay as they are. */
static const uint64_t key_of_keys[2][2] = {
	{UINT64_C(0x776569722072756e), UINT64_C(0x6b6579206f6e6521)},
	{UINT64_C(0x6b65792074776f21), UINT64_C(0x776569722072756e)},
};

/* Literal text, or a place if text is NULL. */
struct piece {
	const char *text;
	size_t len;
	struct weir_place place;
};

struct word {
	size_t first, count; /* of pieces */
};

struct weir_template {
	char *script; /* with `shell`: words must point to something */
	const char *program;
	struct word *words;
	struct piece *pieces;
	size_t word_count, piece_count;
	/* bytes of arguments, with a pointer for each, the system takes */
	size_t bytes_max;
	size_t room;
};

static weir_status
refuse(weir_error *reterr, weir_status status, const char *why)
{
	reterr->status = status;
	reterr->native = 0;
	snprintf(reterr->message, sizeof(reterr->message), "%s", why);
	return status;
}

static void
add_piece(struct weir_template *t, struct word *word, struct piece piece)
{
	if (piece.text && piece.len == 0)
		return;
	t->pieces[t->piece_count++] = piece;
	word->count++;
}

/* A word is at most as many pieces as it has bytes. */
static void
add_word(struct weir_template *t, const char *text, const char *replace)
{
	struct word *word = &t->words[t->word_count++];
	const char *from = text;
	struct weir_place place;
	size_t len;

	*word = (struct word){.first = t->piece_count};
	while (*text) {
		if (!weir__place_read(text, replace, &place, &len)) {
			text++;
			continue;
		}
		add_piece(t, word,
			  (struct piece){from, (size_t)(text - from), {0}});
		add_piece(t, word, (struct piece){NULL, 0, place});
		text += len;
		from = text;
	}
	add_piece(t, word, (struct piece){from, (size_t)(text - from), {0}});
}

static void
add_literal(struct weir_template *t, const char *text)
{
	struct word *word = &t->words[t->word_count++];

	*word = (struct word){.first = t->piece_count};
	add_piece(t, word, (struct piece){text, strlen(text), {0}});
}

static bool
has_place(const struct weir_template *t)
{
	for (size_t i = 0; i < t->piece_count; i++)
		if (!t->pieces[i].text)
			return true;
	return false;
}

/* ${1} and ${#} are the shell's own. */
static bool
script_has_place(const char *script, const char *replace, const char **ret,
		 size_t *ret_len)
{
	struct weir_place place;

	for (*ret = script; **ret; ++*ret)
		if ((*ret == script || (*ret)[-1] != '$') &&
		    weir__place_read(*ret, replace, &place, ret_len))
			return true;
	return false;
}

static weir_status
add_script(struct weir_template *t, const struct weir_template_options *options,
	   weir_error *reterr)
{
	const char *place;
	size_t len;

	add_literal(t, "sh");
	add_literal(t, "-c");
	/* Each item is a script of its own. */
	if (options->count == 0)
		return WEIR_OK;
	if (script_has_place(t->script, options->replace, &place, &len)) {
		reterr->status = WEIR_INVAL;
		reterr->native = 0;
		snprintf(reterr->message, sizeof(reterr->message),
			 "%.*s cannot be used in a script, for what is in an "
			 "item would be run: use \"$1\" there",
			 len > 32 ? 32 : (int)len, place);
		return WEIR_INVAL;
	}
	add_literal(t, t->script);
	add_literal(t, "sh");
	return WEIR_OK;
}

/* All words in one text, as a shell's -c would get them from ssh(1). */
static char *
join_words(const struct weir_template_options *options)
{
	struct weir_buf buf = {0};

	for (size_t i = 0; i < options->count; i++) {
		if (i > 0)
			weir__buf_putc(&buf, ' ');
		weir__buf_puts(&buf, options->words[i]);
	}
	if (buf.failed)
		weir__buf_fini(&buf);
	return buf.data;
}

/* Words, places and pieces that there may be at most, with room for sh -c. */
static weir_status
take_memory(struct weir_template *t,
	    const struct weir_template_options *options)
{
	size_t bytes = 0;

	for (size_t i = 0; i < options->count; i++)
		bytes += strlen(options->words[i]) + 1;
	t->words = calloc(options->count + 5, sizeof(*t->words));
	t->pieces = calloc(bytes + 5, sizeof(*t->pieces));
	if (options->shell && options->count > 0) {
		t->script = join_words(options);
		if (!t->script)
			return WEIR_NOMEM;
	}
	return t->words && t->pieces ? WEIR_OK : WEIR_NOMEM;
}

/* What the system lets arguments take beside the environment. */
static size_t
system_bytes_max(void)
{
	long answer = sysconf(_SC_ARG_MAX);
	size_t max = ARGUMENTS_MAX, used = ARGUMENTS_RESERVE;

	if (answer > 0 && (size_t)answer < max)
		max = (size_t)answer;
	for (char **variable = environ; *variable; variable++)
		used += strlen(*variable) + 1 + sizeof(*variable);
	return used < max ? max - used : 0;
}

/* The bytes of an argument, as the system counts them. */
static size_t
argument_cost(size_t len)
{
	return len + 1 + sizeof(char *);
}

/* All that is not items, and how often the items are written. */
static void
measure_room(struct weir_template *t)
{
	size_t fixed = 0, uses = 0, one_word = WEIR_EXEC_ITEM_MAX;
	bool joined = false;

	for (size_t i = 0; i < t->word_count; i++) {
		const struct word *word = &t->words[i];
		size_t len = 0;

		for (size_t j = 0; j < word->count; j++) {
			const struct piece *piece = &t->pieces[word->first + j];

			len += piece->text ? piece->len : 20;
			if (piece->text || piece->place.index != 0 ||
			    !weir__place_is_item(&piece->place))
				continue;
			uses++;
			joined |= word->count > 1;
		}
		fixed += argument_cost(len);
	}
	t->room = t->bytes_max > fixed ? t->bytes_max - fixed : 0;
	if (joined && t->room > one_word)
		t->room = one_word > fixed ? one_word - fixed : 0;
	t->room /= uses > 0 ? uses : 1;
}

static weir_status
fill(struct weir_template *t, const struct weir_template_options *options,
     weir_error *reterr)
{
	weir_status status;

	if (options->count == 0 && !options->shell)
		return refuse(reterr, WEIR_INVAL, "no command is given");
	if (options->replace && !*options->replace)
		return refuse(reterr, WEIR_INVAL,
			      "what stands for {} cannot be empty");
	if (take_memory(t, options) != WEIR_OK)
		return refuse(reterr, WEIR_NOMEM, "out of memory");
	if (options->shell) {
		status = add_script(t, options, reterr);
		if (status != WEIR_OK)
			return status;
	} else {
		for (size_t i = 0; i < options->count; i++)
			add_word(t, options->words[i], options->replace);
	}
	if (!has_place(t))
		add_word(t, "{}", NULL);
	if (t->words[0].count == 1 && t->pieces[0].text)
		t->program = t->pieces[0].text;
	t->bytes_max = system_bytes_max();
	measure_room(t);
	return WEIR_OK;
}

weir_status
weir__template_new(struct weir_template **out,
		   const struct weir_template_options *options,
		   weir_error *reterr)
{
	struct weir_template *t = calloc(1, sizeof(*t));
	weir_status status;

	if (!t)
		return refuse(reterr, WEIR_NOMEM, "out of memory");
	status = fill(t, options, reterr);
	if (status == WEIR_OK)
		*out = t;
	else
		weir__template_free(t);
	return status;
}

struct weir_template *
weir__template_free(struct weir_template *t)
{
	if (!t)
		return NULL;
	free(t->script);
	free(t->words);
	free(t->pieces);
	free(t);
	return NULL;
}

const char *
weir__template_program(const struct weir_template *t)
{
	return t->program;
}

size_t
weir__template_room(const struct weir_template *t)
{
	return t->room;
}

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
put_alone(struct render *r, const struct word *word, const struct piece *piece)
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
		const struct word *word = &t->words[i];
		const struct piece *piece = &t->pieces[word->first];

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
	job->bad = strcpy(at + 1, why);
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
