/*
 * A command with places; see template.h.
 *
 * Design: the words are cut into pieces once; make.c writes commands by them.
 */
#include "exec/template.h"

#include "exec/template_words.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Linux takes no more, whatever the limits are: three quarters of 8 MiB. */
#define ARGUMENTS_MAX ((size_t)6 * 1024 * 1024)
/* Left for what the kernel puts there, and variables set for the child. */
#define ARGUMENTS_RESERVE 4096

static weir_status
refuse(weir_error *reterr, weir_status status, const char *why)
{
	reterr->status = status;
	reterr->native = 0;
	snprintf(reterr->message, sizeof(reterr->message), "%s", why);
	return status;
}

static void
add_piece(struct weir_template *t, struct weir_word *word,
	  struct weir_piece piece)
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
	struct weir_word *word = &t->words[t->word_count++];
	const char *from = text;
	struct weir_place place;
	size_t len;

	*word = (struct weir_word){.first = t->piece_count};
	while (*text) {
		if (!weir__place_read(text, replace, &place, &len)) {
			text++;
			continue;
		}
		add_piece(
			t, word,
			(struct weir_piece){from, (size_t)(text - from), {0}});
		add_piece(t, word, (struct weir_piece){NULL, 0, place});
		text += len;
		from = text;
	}
	add_piece(t, word,
		  (struct weir_piece){from, (size_t)(text - from), {0}});
}

static void
add_literal(struct weir_template *t, const char *text)
{
	struct weir_word *word = &t->words[t->word_count++];

	*word = (struct weir_word){.first = t->piece_count};
	add_piece(t, word, (struct weir_piece){text, strlen(text), {0}});
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

/* All that is not items, and how often the items are written. */
static void
measure_room(struct weir_template *t)
{
	size_t fixed = 0, uses = 0, one_word = WEIR_EXEC_ITEM_MAX;
	bool joined = false;

	for (size_t i = 0; i < t->word_count; i++) {
		const struct weir_word *word = &t->words[i];
		size_t len = 0;

		for (size_t j = 0; j < word->count; j++) {
			const struct weir_piece *piece =
				&t->pieces[word->first + j];

			len += piece->text ? piece->len : 20;
			if (piece->text || !weir__place_is_item(&piece->place))
				continue;
			uses++;
			joined |= word->count > 1;
		}
		fixed += weir__items_cost(len);
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
