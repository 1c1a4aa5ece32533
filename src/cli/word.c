/*
 * The words of a command: `list` in `weir jobs list`.
 *
 * Design: a word is an operand like any other to the parser, so that options
 * may stand before and behind it; here it is taken off and judged.  All words
 * of a command share its option table, and each says which of these it takes:
 * one that it does not take is refused, for whoever gives it believes that it
 * does something.  Only flags are: weir.conf and the environment speak to all
 * words at once.
 */
#include "cli/table.h"

#include "base/assert.h"

#include <stdint.h>
#include <string.h>

static const struct weir_command_word *
find(const struct weir_command_word *words, const char *name)
{
	for (const struct weir_command_word *w = words; w->name; w++)
		if (strcmp(w->name, name) == 0)
			return w;
	return NULL;
}

static void
unknown_word(struct weir_cli *cli, const char *typed)
{
	const char *best = NULL;
	int best_score = -1;

	for (const struct weir_command_word *w = cli->command->words; w->name;
	     w++) {
		int score = weir__suggest_score(typed, strlen(typed), w->name);

		if (score >= 0 && (best_score < 0 || score < best_score)) {
			best_score = score;
			best = w->name;
		}
	}
	if (best) {
		weir__cli_error(cli, NULL,
				"unknown word '%s'; did you mean '%s %s %s'?",
				typed, weir__program.name, cli->command->name,
				best);
		return;
	}
	weir__cli_error(cli, NULL, "unknown word '%s'", typed);
	weir__cli_try(cli, "%s %s --help", weir__program.name,
		      cli->command->name);
}

/* Is name among those, which are parted by blanks? */
static bool
is_among(const char *names, const char *name)
{
	size_t len = strlen(name);

	for (const char *n = names; *n != '\0';) {
		size_t n_len = strcspn(n, " ");

		if (n_len == len && memcmp(n, name, len) == 0)
			return true;
		n += n_len + (n[n_len] == ' ');
	}
	return false;
}

static bool
options_fit(struct weir_cli *cli, const struct weir_command_word *word)
{
	for (const struct weir_option *o = cli->command->options;
	     o->kind != WEIR_OPT_END; o++) {
		if (o->kind == WEIR_OPT_GROUP ||
		    is_among(word->options, o->name) ||
		    cli->sources[o - cli->command->options] != WEIR_FROM_FLAG)
			continue;
		weir__cli_error(cli, NULL, "--%s means nothing to '%s %s %s'",
				o->name, weir__program.name, cli->command->name,
				word->name);
		weir__cli_try(cli, "%s %s --help", weir__program.name,
			      cli->command->name);
		return false;
	}
	return true;
}

static bool
operands_fit(struct weir_cli *cli, const struct weir_command_word *word)
{
	if (cli->operand_count > word->operands_max) {
		weir__cli_error(cli, NULL, "too many arguments: '%s'",
				cli->operands[word->operands_max]);
		return false;
	}
	if (cli->operand_count >= word->operands_min)
		return true;
	weir_assert(word->operands);
	weir__cli_error(cli, NULL, "%s is missing: weir %s %s %s",
			word->operands, cli->command->name, word->name,
			word->operands);
	return false;
}

const struct weir_command_word *
weir__cli_take_word(struct weir_cli *cli)
{
	const struct weir_command_word *word = cli->command->words;

	weir_assert(word && word->name);
	if (cli->operand_count > 0) {
		word = find(word, cli->operands[0]);
		if (!word) {
			unknown_word(cli, cli->operands[0]);
			return NULL;
		}
		/* The array is the cli's: what is in it moves, not its start.
		 */
		cli->operand_count--;
		memmove(cli->operands, cli->operands + 1,
			cli->operand_count * sizeof(cli->operands[0]));
		if (cli->operands_before_dashes > 0)
			cli->operands_before_dashes--;
	}
	if (!options_fit(cli, word) || !operands_fit(cli, word))
		return NULL;
	return word;
}
