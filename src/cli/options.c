/*
 * Reading the command line, and the environment.
 *
 * Design: two tables make up the options of a command, its own and the one
 * that all commands share; weir__option_find() looks in both and hands back a
 * ref, which is all that anybody needs to store a value.  Which value wins is
 * decided by the rank of its source alone (value.c), never by the order in
 * which the sources are read; the flags come first only because --help must
 * work with a broken weir.conf.
 *
 * Abbreviations are not accepted: a script that relies on "--time" breaks on
 * the day that a second option begins so.
 */
#include "cli/table.h"

#include "base/assert.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const struct weir_option weir__common_options[] = {
	WEIR_OPT_HEADING("For every command"),
	{WEIR_OPT_CHOICE_AT(struct weir_common, progress), .name = "progress",
	 .arg = "HOW", .shown = "auto", .choices = "auto|bar|plain|json|none",
	 .help = "`auto`, `bar`, `plain`, `json` or `none`, on stderr",
	 .more = "`bar` is one line that is repainted at most ten times a "
		 "second, `plain` a line every 30 seconds, `json` an object "
		 "a second and one for each failure and retry.  `auto` is "
		 "`bar` on a terminal and `plain` elsewhere."},
	{WEIR_OPT_CHOICE_AT(struct weir_common, color), .name = "color",
	 .arg = "WHEN", .shown = "auto", .choices = "auto|always|never",
	 .help = "`auto`, `always` or `never`",
	 .more = "`auto` means never when `NO_COLOR` is set, when `TERM` is "
		 "`dumb`, or when stderr is no terminal."},
	{WEIR_OPT_FLAG_AT(struct weir_common, quiet), .letter = 'q',
	 .name = "quiet",
	 .help = "no progress; a summary only if something failed"},
	{WEIR_OPT_FILE_AT(struct weir_common, config), .name = "config",
	 .arg = "FILE", .help = "read FILE, not the usual configuration"},
	{WEIR_OPT_FLAG_AT(struct weir_common, no_config), .name = "no-config",
	 .help = "read no configuration"},
	{WEIR_OPT_FLAG_AT(struct weir_common, help), .letter = 'h',
	 .name = "help", .only_flag = true, .help = "show this, and end"},
	WEIR_OPT_END_ROW,
};

size_t
weir__option_rows(const struct weir_option *table)
{
	size_t n = 0;

	while (table[n].kind != WEIR_OPT_END)
		n++;
	weir_assert(n < WEIR_OPTIONS_MAX);
	return n;
}

bool
weir__option_is_shown(const struct weir_option *o)
{
	return o->kind != WEIR_OPT_GROUP && !o->hidden;
}

bool
weir__option_has_value(const struct weir_option *o)
{
	return o->kind != WEIR_OPT_FLAG && o->kind != WEIR_OPT_SWITCH;
}

static bool
name_is(const struct weir_option *o, const char *name, size_t len)
{
	return o->kind != WEIR_OPT_GROUP && strlen(o->name) == len &&
	       memcmp(o->name, name, len) == 0;
}

/* The row of that name; *ret_negated says that it was asked for as "no-". */
static const struct weir_option *
find_row(const struct weir_option *table, const char *name, size_t len,
	 bool *ret_negated)
{
	for (const struct weir_option *o = table; o->kind != WEIR_OPT_END;
	     o++) {
		*ret_negated = false;
		if (name_is(o, name, len))
			return o;
		*ret_negated = true;
		if (o->kind == WEIR_OPT_SWITCH && len > 3 &&
		    memcmp(name, "no-", 3) == 0 &&
		    name_is(o, name + 3, len - 3))
			return o;
	}
	return NULL;
}

static struct weir_option_ref
ref_own(struct weir_cli *cli, const struct weir_option *row, bool negated)
{
	return (struct weir_option_ref){
		.row = row,
		.field = (char *)cli->options + row->offset,
		.source = &cli->sources[row - cli->command->options],
		.negated = negated,
	};
}

static struct weir_option_ref
ref_common(struct weir_cli *cli, const struct weir_option *row, bool negated)
{
	return (struct weir_option_ref){
		.row = row,
		.field = (char *)&cli->common + row->offset,
		.source = &cli->common_sources[row - weir__common_options],
		.negated = negated,
	};
}

/* `weir` itself has rows of its own only. */
static bool
has_common(const struct weir_command *command)
{
	return command != &weir__program;
}

struct weir_option_ref
weir__option_find(struct weir_cli *cli, const char *name, size_t len)
{
	const struct weir_option *row;
	bool negated;

	row = find_row(cli->command->options, name, len, &negated);
	if (row)
		return ref_own(cli, row, negated);
	if (has_common(cli->command)) {
		row = find_row(weir__common_options, name, len, &negated);
		if (row)
			return ref_common(cli, row, negated);
	}
	return (struct weir_option_ref){0};
}

static const struct weir_option *
find_letter(const struct weir_option *table, char letter)
{
	for (const struct weir_option *o = table; o->kind != WEIR_OPT_END; o++)
		if (o->letter == letter)
			return o;
	return NULL;
}

struct weir_option_ref
weir__option_find_letter(struct weir_cli *cli, char letter)
{
	const struct weir_option *row;

	row = find_letter(cli->command->options, letter);
	if (row)
		return ref_own(cli, row, false);
	if (has_common(cli->command)) {
		row = find_letter(weir__common_options, letter);
		if (row)
			return ref_common(cli, row, false);
	}
	return (struct weir_option_ref){0};
}

bool
weir__option_exists(const struct weir_command *command, const char *name)
{
	bool negated;

	return find_row(command->options, name, strlen(name), &negated) ||
	       (has_common(command) &&
		find_row(weir__common_options, name, strlen(name), &negated));
}

enum weir_option_source
weir__option_source(const struct weir_cli *cli, const char *name)
{
	const struct weir_option *row;
	bool negated;

	row = find_row(cli->command->options, name, strlen(name), &negated);
	if (row)
		return cli->sources[row - cli->command->options];
	row = find_row(weir__common_options, name, strlen(name), &negated);
	weir_assert(row);
	return cli->common_sources[row - weir__common_options];
}

/* How many rows of table have this name, or this letter. */
static unsigned
count_rows(const struct weir_option *table, const char *name, char letter)
{
	unsigned n = 0;

	for (const struct weir_option *o = table; o->kind != WEIR_OPT_END; o++)
		n += o->kind != WEIR_OPT_GROUP &&
		     ((name && strcmp(o->name, name) == 0) ||
		      (letter && o->letter == letter));
	return n;
}

/*
 * Does a row say all that help, man page and completions will ask of it, and
 * is it the only one of its name and letter, in both tables?  A row that
 * another hides would be an option that nobody can reach.
 */
static bool
row_is_sane(const struct weir_command *command, const struct weir_option *o)
{
	const struct weir_option *common =
		has_common(command) ? weir__common_options : command->options;
	unsigned once = has_common(command) ? 1 : 2;

	if (o->kind == WEIR_OPT_GROUP)
		return o->name != NULL;
	if (!o->name || !o->help ||
	    weir__option_has_value(o) != (o->arg != NULL) ||
	    (o->kind == WEIR_OPT_CHOICE) != (o->choices != NULL))
		return false;
	return count_rows(command->options, o->name, o->letter) +
		       count_rows(common, o->name, o->letter) ==
	       once;
}

static bool
table_is_sane(const struct weir_command *command,
	      const struct weir_option *table)
{
	for (const struct weir_option *o = table; o->kind != WEIR_OPT_END; o++)
		if (!row_is_sane(command, o))
			return false;
	return true;
}

bool
weir__cli_init(struct weir_cli *cli, const struct weir_command *command)
{
	weir_assert(table_is_sane(command, command->options));
	*cli = (struct weir_cli){.command = command};
	/* One byte more, so that a command without options is none too. */
	cli->options = calloc(1, command->options_size + 1);
	if (!cli->options)
		return false;
	if (command->defaults)
		memcpy(cli->options, command->defaults, command->options_size);
	return true;
}

void
weir__cli_fini(struct weir_cli *cli)
{
	size_t rows = weir__option_rows(cli->command->options);

	for (size_t i = 0; cli->options && i < rows; i++) {
		struct weir_option_ref ref =
			ref_own(cli, &cli->command->options[i], false);

		weir__value_fini(&ref);
	}
	free(cli->options);
	free(cli->operands);
	free(cli->config_text);
	*cli = (struct weir_cli){.command = cli->command};
}

/*
 * A value was refused.  subject is what the user wrote it behind: "--timeout",
 * or "WEIR_TIMEOUT".
 */
static int
refuse(struct weir_cli *cli, const char *subject, struct weir_buf *why)
{
	weir__cli_error(cli, subject, "%s", weir__buf_str(why));
	weir__buf_fini(why);
	return WEIR_EXIT_USAGE;
}

static int
set_flag_value(struct weir_cli *cli, const struct weir_option_ref *ref,
	       const char *subject, const char *text)
{
	struct weir_buf why = {0};

	if (weir__value_set(ref, text, WEIR_FROM_FLAG, &why))
		return -1;
	return refuse(cli, subject, &why);
}

/* The last word was an option that wants a value. */
static int
missing_value(struct weir_cli *cli, const struct weir_option *o,
	      const char *subject)
{
	const char *example = weir__value_example(o);

	if (example)
		weir__cli_error(cli, subject, "%s is missing, such as %s %s",
				o->arg, subject, example);
	else
		weir__cli_error(cli, subject, "%s is missing", o->arg);
	return WEIR_EXIT_USAGE;
}

/*
 * Say what was meant, with the placeholder of its value, or else where to
 * look.  len leaves a "=value" out.
 */
static int
unknown_option(struct weir_cli *cli, const char *arg, size_t len)
{
	const struct weir_option *o = NULL;

	if (len > 2 && arg[1] == '-')
		o = weir__option_suggest(cli->command, arg + 2, len - 2);
	if (o) {
		weir__cli_error(
			cli, NULL,
			"unknown option '%.*s'; did you mean '--%s%s%s'?",
			(int)len, arg, o->name, o->arg ? " " : "",
			o->arg ? o->arg : "");
		return WEIR_EXIT_USAGE;
	}
	weir__cli_error(cli, NULL, "unknown option '%.*s'", (int)len, arg);
	weir__cli_try(cli, "%s %s%s--help", weir__program.name,
		      has_common(cli->command) ? cli->command->name : "",
		      has_common(cli->command) ? " " : "");
	return WEIR_EXIT_USAGE;
}

/* argv while it is read. */
struct reader {
	struct weir_cli *cli;
	int argc, at;
	char **argv;
};

/* "--name", "--no-name", "--name=value" or "--name value". */
static int
read_long(struct reader *r, const char *arg)
{
	size_t len = strcspn(arg, "=");
	const char *value = arg[len] == '=' ? arg + len + 1 : NULL;
	struct weir_option_ref ref =
		weir__option_find(r->cli, arg + 2, len - 2);
	char subject[64];

	if (!ref.row)
		return unknown_option(r->cli, arg, len);
	(void)snprintf(subject, sizeof(subject), "%.*s", (int)len, arg);
	if (!weir__option_has_value(ref.row)) {
		if (value) {
			weir__cli_error(r->cli, subject,
					"takes no value, but got '%s'", value);
			return WEIR_EXIT_USAGE;
		}
		weir__value_set_bool(&ref, !ref.negated, WEIR_FROM_FLAG);
		return -1;
	}
	if (!value) {
		if (r->at == r->argc)
			return missing_value(r->cli, ref.row, subject);
		value = r->argv[r->at++];
	}
	return set_flag_value(r->cli, &ref, subject, value);
}

/* "-q", "-qk", "-j8", "-j 8", "-qj8". */
static int
read_letters(struct reader *r, const char *arg)
{
	for (const char *letter = arg + 1; *letter != '\0'; letter++) {
		struct weir_option_ref ref =
			weir__option_find_letter(r->cli, *letter);
		char subject[3] = {'-', *letter, '\0'};
		const char *value = letter + 1;

		if (!ref.row)
			return unknown_option(r->cli, subject, 2);
		if (!weir__option_has_value(ref.row)) {
			weir__value_set_bool(&ref, true, WEIR_FROM_FLAG);
			continue;
		}
		if (*value == '\0') {
			if (r->at == r->argc)
				return missing_value(r->cli, ref.row, subject);
			value = r->argv[r->at++];
		}
		return set_flag_value(r->cli, &ref, subject, value);
	}
	return -1;
}

static void
add_operand(struct weir_cli *cli, const char *operand)
{
	cli->operands[cli->operand_count++] = operand;
}

/* Operands collect on the way; there is room for all of argv. */
static int
read_flags(struct reader *r)
{
	struct weir_cli *cli = r->cli;
	bool options = true, dashes = false;

	while (r->at < r->argc) {
		const char *arg = r->argv[r->at++];
		int status = -1;

		if (!options || arg[0] != '-' || arg[1] == '\0') {
			add_operand(cli, arg);
			options = options && !cli->command->stop_at_operand;
		} else if (strcmp(arg, "--") == 0) {
			cli->operands_before_dashes = cli->operand_count;
			dashes = true;
			options = false;
		} else if (arg[1] == '-') {
			status = read_long(r, arg);
		} else {
			status = read_letters(r, arg);
		}
		if (status >= 0)
			return status;
	}
	if (!dashes)
		cli->operands_before_dashes = cli->operand_count;
	return -1;
}

/* How the environment spells a name: upper case, and _ for a dash. */
static void
env_spell(struct weir_buf *buf, const char *name)
{
	for (; *name != '\0'; name++) {
		char c = *name == '-' ? '_' : *name;

		weir__buf_putc(buf, c >= 'a' && c <= 'z' ? (char)(c - 32) : c);
	}
}

void
weir__option_env_name(struct weir_buf *buf, const struct weir_command *command,
		      const char *name)
{
	env_spell(buf, weir__program.name);
	weir__buf_putc(buf, '_');
	if (command) {
		env_spell(buf, command->name);
		weir__buf_putc(buf, '_');
	}
	env_spell(buf, name);
}

/* One variable for one row; unset and empty are the same. */
static int
read_variable(struct weir_cli *cli, const struct weir_option_ref *ref,
	      const struct weir_command *command)
{
	struct weir_buf name = {0}, why = {0};
	const char *value;
	int status = -1;

	weir__option_env_name(&name, command, ref->row->name);
	value = getenv(weir__buf_str(&name));
	if (value && *value != '\0' &&
	    !weir__value_set(ref, value,
			     command ? WEIR_FROM_ENV_COMMAND : WEIR_FROM_ENV,
			     &why))
		status = refuse(cli, weir__buf_str(&name), &why);
	weir__buf_fini(&name);
	return status;
}

static int
read_variables(struct weir_cli *cli, const struct weir_option *table)
{
	for (const struct weir_option *o = table; o->kind != WEIR_OPT_END;
	     o++) {
		struct weir_option_ref ref;
		int status;

		if (o->kind == WEIR_OPT_GROUP || o->only_flag)
			continue;
		ref = table == weir__common_options ? ref_common(cli, o, false)
						    : ref_own(cli, o, false);
		status = read_variable(cli, &ref, NULL);
		if (status < 0)
			status = read_variable(cli, &ref, cli->command);
		if (status >= 0)
			return status;
	}
	return -1;
}

/* Does the variable of this length set any row of table? */
static bool
variable_is_known(const struct weir_command *command,
		  const struct weir_option *table, const char *variable,
		  size_t len)
{
	bool known = false;

	for (const struct weir_option *o = table;
	     !known && o->kind != WEIR_OPT_END; o++) {
		struct weir_buf name = {0};

		if (o->kind == WEIR_OPT_GROUP || o->only_flag)
			continue;
		weir__option_env_name(&name, command, o->name);
		known = name.len == len &&
			memcmp(name.data, variable, len) == 0;
		weir__buf_fini(&name);
	}
	return known;
}

/*
 * WEIR_FETCH_RETRY sets nothing, and whoever wrote it believes that it does.
 * It is a warning and not an error, because an environment is often set up
 * far away from the person who meets the error.
 */
static void
warn_of_unknown_variables(struct weir_cli *cli)
{
	struct weir_buf prefix = {0};

	weir__option_env_name(&prefix, cli->command, "");
	for (char **e = environ; !prefix.failed && *e; e++) {
		size_t len = strcspn(*e, "=");

		if (strncmp(*e, prefix.data, prefix.len) != 0 ||
		    variable_is_known(cli->command, cli->command->options, *e,
				      len) ||
		    variable_is_known(cli->command, weir__common_options, *e,
				      len))
			continue;
		weir__cli_error(cli, NULL,
				"warning: the variable %.*s is no option's",
				(int)len, *e);
	}
	weir__buf_fini(&prefix);
}

static int
read_environment(struct weir_cli *cli)
{
	int status = read_variables(cli, cli->command->options);

	if (status < 0)
		status = read_variables(cli, weir__common_options);
	if (status < 0)
		warn_of_unknown_variables(cli);
	return status;
}

int
weir__options_parse(struct weir_cli *cli, int argc, char **argv)
{
	struct reader r = {.cli = cli, .argc = argc, .argv = argv};
	int status;

	weir_assert(argc >= 0);
	cli->operands = calloc((size_t)argc + 1, sizeof(*cli->operands));
	if (!cli->operands) {
		weir__cli_error(cli, NULL, "out of memory");
		return WEIR_EXIT_FAILURE;
	}
	status = read_flags(&r);
	/* Before anything else is read that could be wrong. */
	if (status >= 0 || cli->common.help || !has_common(cli->command))
		return status;
	status = read_environment(cli);
	if (status >= 0)
		return status;
	return weir__config_read(cli);
}
