/*
 * Completions for bash, zsh and fish, from the tables.
 *
 * Design: all three do the same, in the shell's own terms: the commands first;
 * behind a command its options; behind an option what its kind says: a file, a
 * folder, one of its choices, or nothing; and files where the command's
 * operands are files.  Nothing is asked of weir while the user types, so that
 * completing is as fast as the shell.
 */
#include "cli/table.h"

#include <string.h>

/* Call what for each row to be shown, in both tables. */
static void
each_option(struct weir_buf *buf, const struct weir_command *c,
	    void (*what)(struct weir_buf *buf, const struct weir_command *c,
			 const struct weir_option *o))
{
	const struct weir_option *tables[] = {c->options, weir__common_options};
	int n = c == &weir__program ? 1 : 2;

	for (int i = 0; i < n; i++)
		for (const struct weir_option *o = tables[i];
		     o->kind != WEIR_OPT_END; o++)
			if (weir__option_is_shown(o))
				what(buf, c, o);
}

/* "auto|bar" as "auto bar" */
static void
put_choices(struct weir_buf *buf, const struct weir_option *o)
{
	for (const char *c = o->choices; *c != '\0'; c++)
		weir__buf_putc(buf, *c == '|' ? ' ' : *c);
}

static void
put_commands(struct weir_buf *buf)
{
	weir__buf_puts(buf, "help");
	for (size_t i = 0; weir__commands[i]; i++)
		weir__buf_printf(buf, " %s", weir__commands[i]->name);
}

/* "list show retry" */
static void
put_words(struct weir_buf *buf, const struct weir_command *c)
{
	for (const struct weir_command_word *w = c->words; w->name; w++)
		weir__buf_printf(buf, "%s%s", w == c->words ? "" : " ",
				 w->name);
}

/* Only long names: a letter is typed sooner than it is completed. */
static void
bash_word(struct weir_buf *buf, const struct weir_command *c,
	  const struct weir_option *o)
{
	(void)c;
	weir__buf_printf(buf, " --%s", o->name);
	if (o->kind == WEIR_OPT_SWITCH)
		weir__buf_printf(buf, " --no-%s", o->name);
}

/* What may follow an option: a case of its own. */
static void
bash_value(struct weir_buf *buf, const struct weir_command *c,
	   const struct weir_option *o)
{
	(void)c;
	if (!weir__option_has_value(o))
		return;
	weir__buf_puts(buf, "\t\t");
	if (o->letter)
		weir__buf_printf(buf, "-%c | ", o->letter);
	weir__buf_printf(buf, "--%s) ", o->name);
	if (o->kind == WEIR_OPT_FILE)
		weir__buf_puts(buf, "_weir_files -f; ");
	else if (o->kind == WEIR_OPT_DIR)
		weir__buf_puts(buf, "_weir_files -d; ");
	if (o->kind == WEIR_OPT_CHOICE) {
		weir__buf_puts(buf, "_weir_words \"");
		put_choices(buf, o);
		weir__buf_puts(buf, "\"; ");
	}
	weir__buf_puts(buf, "return ;;\n");
}

static void
bash_command(struct weir_buf *buf, const struct weir_command *c)
{
	weir__buf_printf(buf, "\t%s)\n\t\tcase $prev in\n", c->name);
	each_option(buf, c, bash_value);
	weir__buf_puts(buf, "\t\tesac\n\t\tcase $cur in\n"
			    "\t\t-*) _weir_words \"");
	each_option(buf, c, bash_word);
	weir__buf_puts(buf, "\" ;;\n");
	if (c->operands_are_files)
		weir__buf_puts(buf, "\t\t*) _weir_files -f ;;\n");
	if (c->words) {
		weir__buf_puts(buf, "\t\t*) ((i + 1 == COMP_CWORD)) && "
				    "_weir_words \"");
		put_words(buf, c);
		weir__buf_puts(buf, "\" ;;\n");
	}
	weir__buf_puts(buf, "\t\tesac ;;\n");
}

/*
 * What does not depend on the tables.  The command is the first word that is
 * no option; `weir` itself has no options with a value, so that this holds.
 */
static const char bash_head[] =
	"# bash completion for weir; made by weir --generate completion bash\n"
	"\n"
	"_weir_words() {\n"
	"\tmapfile -t COMPREPLY < <(compgen -W \"$1\" -- \"$cur\")\n"
	"}\n"
	"\n"
	"_weir_files() {\n"
	"\tcompopt -o filenames 2>/dev/null\n"
	"\tmapfile -t COMPREPLY < <(compgen \"$1\" -- \"$cur\")\n"
	"}\n"
	"\n"
	"_weir() {\n"
	"\tlocal cur=${COMP_WORDS[COMP_CWORD]} command='' i\n"
	"\tlocal prev=${COMP_WORDS[COMP_CWORD - 1]}\n"
	"\n"
	"\t# --name=value comes as three words.\n"
	"\tif [[ $cur == = ]]; then\n"
	"\t\tcur=\n"
	"\telif [[ $prev == = ]]; then\n"
	"\t\tprev=${COMP_WORDS[COMP_CWORD - 2]}\n"
	"\tfi\n"
	"\tfor ((i = 1; i < COMP_CWORD; i++)); do\n"
	"\t\tif [[ ${COMP_WORDS[i]} != -* ]]; then\n"
	"\t\t\tcommand=${COMP_WORDS[i]}\n"
	"\t\t\tbreak\n"
	"\t\tfi\n"
	"\tdone\n"
	"\tCOMPREPLY=()\n"
	"\tcase $command in\n"
	"\t'') _weir_words \"";

static void
render_bash(struct weir_buf *buf)
{
	weir__buf_puts(buf, bash_head);
	put_commands(buf);
	each_option(buf, &weir__program, bash_word);
	weir__buf_puts(buf, "\" ;;\n\thelp) _weir_words \"");
	put_commands(buf);
	weir__buf_puts(buf, "\" ;;\n");
	for (size_t i = 0; weir__commands[i]; i++)
		bash_command(buf, weir__commands[i]);
	weir__buf_puts(buf, "\tesac\n}\n\ncomplete -F _weir weir\n");
}

/* Help inside single quotes; extra characters get a backslash, too. */
static void
put_quoted(struct weir_buf *buf, const char *text, const char *extra)
{
	for (; *text != '\0'; text++) {
		if (*text == '`')
			continue;
		if (*text == '\'') {
			weir__buf_puts(buf, "'\\''");
			continue;
		}
		if (strchr(extra, *text))
			weir__buf_putc(buf, '\\');
		weir__buf_putc(buf, *text);
	}
}

/* "[help]:N:_files" */
static void
zsh_tail(struct weir_buf *buf, const struct weir_option *o)
{
	weir__buf_puts(buf, "'[");
	put_quoted(buf, o->help, "[]:\\");
	weir__buf_puts(buf, "]");
	if (weir__option_has_value(o)) {
		weir__buf_printf(buf, ":%s:", o->arg);
		if (o->kind == WEIR_OPT_FILE)
			weir__buf_puts(buf, "_files");
		else if (o->kind == WEIR_OPT_DIR)
			weir__buf_puts(buf, "_files -/");
		else if (o->kind != WEIR_OPT_CHOICE)
			weir__buf_putc(buf, ' ');
		if (o->kind == WEIR_OPT_CHOICE) {
			weir__buf_putc(buf, '(');
			put_choices(buf, o);
			weir__buf_putc(buf, ')');
		}
	}
	weir__buf_puts(buf, "'");
}

/*
 * A row for _arguments.  An option that may come again starts with "*"; the
 * others name both their forms, so that neither is offered after the other.
 */
static void
zsh_option(struct weir_buf *buf, const struct weir_command *c,
	   const struct weir_option *o)
{
	const char *equals = weir__option_has_value(o) ? "=" : "";

	(void)c;
	weir__buf_puts(buf, " \\\n\t\t");
	if (o->kind == WEIR_OPT_LIST)
		weir__buf_puts(buf, "'*'");
	else if (o->letter)
		weir__buf_printf(buf, "'(-%c --%s)'", o->letter, o->name);
	if (o->letter)
		weir__buf_printf(buf, "{-%c%s,--%s%s}", o->letter,
				 *equals ? "+" : "", o->name, equals);
	else
		weir__buf_printf(buf, "--%s%s", o->name, equals);
	zsh_tail(buf, o);
	if (o->kind == WEIR_OPT_SWITCH) {
		weir__buf_printf(buf, " \\\n\t\t--no-%s", o->name);
		zsh_tail(buf, o);
	}
}

static void
zsh_command(struct weir_buf *buf, const struct weir_command *c)
{
	weir__buf_printf(buf, "_weir_%s() {\n\t_arguments -s -S", c->name);
	each_option(buf, c, zsh_option);
	if (c->operands_are_files)
		weir__buf_puts(buf, " \\\n\t\t'*:file:_files'");
	if (c->words) {
		weir__buf_puts(buf, " \\\n\t\t'1:word:((");
		for (const struct weir_command_word *w = c->words; w->name;
		     w++) {
			weir__buf_printf(buf, "%s%s\\:\"",
					 w == c->words ? "" : " ", w->name);
			put_quoted(buf, w->help, "\"\\()");
			weir__buf_putc(buf, '"');
		}
		weir__buf_puts(buf, "))'");
	}
	weir__buf_puts(buf, "\n}\n\n");
}

static void
render_zsh(struct weir_buf *buf)
{
	weir__buf_puts(buf, "#compdef weir\n"
			    "# made by weir --generate completion zsh\n\n");
	for (size_t i = 0; weir__commands[i]; i++)
		zsh_command(buf, weir__commands[i]);
	weir__buf_puts(buf, "_weir() {\n\tlocal curcontext=$curcontext state "
			    "line\n\tlocal -a commands=(\n"
			    "\t\t'help:all about one command'\n");
	for (size_t i = 0; weir__commands[i]; i++) {
		weir__buf_printf(buf, "\t\t'%s:", weir__commands[i]->name);
		put_quoted(buf, weir__commands[i]->summary, ":\\");
		weir__buf_puts(buf, "'\n");
	}
	weir__buf_puts(buf, "\t)\n\t_arguments -C -S");
	each_option(buf, &weir__program, zsh_option);
	weir__buf_puts(buf,
		       " \\\n\t\t'1:command:->command' '*::argument:->rest'\n"
		       "\tcase $state in\n"
		       "\tcommand) _describe command commands ;;\n"
		       "\trest)\n"
		       "\t\tcase $words[1] in\n"
		       "\t\thelp) _describe command commands ;;\n");
	for (size_t i = 0; weir__commands[i]; i++)
		weir__buf_printf(buf, "\t\t%s) _weir_%s ;;\n",
				 weir__commands[i]->name,
				 weir__commands[i]->name);
	weir__buf_puts(buf, "\t\tesac ;;\n\tesac\n}\n\n_weir \"$@\"\n");
}

/* fish asks the condition behind -n before it offers anything. */
static void
fish_begin(struct weir_buf *buf, const struct weir_command *c)
{
	if (c == &weir__program)
		weir__buf_puts(buf,
			       "complete -c weir -n __fish_use_subcommand");
	else
		weir__buf_printf(buf,
				 "complete -c weir -n "
				 "'__fish_seen_subcommand_from %s'",
				 c->name);
}

static void
fish_option(struct weir_buf *buf, const struct weir_command *c,
	    const struct weir_option *o)
{
	fish_begin(buf, c);
	if (o->letter)
		weir__buf_printf(buf, " -s %c", o->letter);
	weir__buf_printf(buf, " -l %s", o->name);
	if (o->kind == WEIR_OPT_FILE) {
		weir__buf_puts(buf, " -r -F");
	} else if (o->kind == WEIR_OPT_DIR) {
		weir__buf_puts(buf, " -x -a '(__fish_complete_directories)'");
	} else if (o->kind == WEIR_OPT_CHOICE) {
		weir__buf_puts(buf, " -x -a '");
		put_choices(buf, o);
		weir__buf_puts(buf, "'");
	} else if (weir__option_has_value(o)) {
		weir__buf_puts(buf, " -x");
	}
	weir__buf_puts(buf, " -d '");
	put_quoted(buf, o->help, "\\");
	weir__buf_puts(buf, "'\n");
	if (o->kind == WEIR_OPT_SWITCH) {
		fish_begin(buf, c);
		weir__buf_printf(buf, " -l no-%s\n", o->name);
	}
}

/* A word is offered until one stands there. */
static void
fish_words(struct weir_buf *buf, const struct weir_command *c)
{
	if (!c->words)
		return;
	for (const struct weir_command_word *w = c->words; w->name; w++) {
		weir__buf_printf(buf,
				 "complete -c weir -n "
				 "'__fish_seen_subcommand_from %s; and not "
				 "__fish_seen_subcommand_from ",
				 c->name);
		put_words(buf, c);
		weir__buf_printf(buf, "' -a %s -d '", w->name);
		put_quoted(buf, w->help, "\\");
		weir__buf_puts(buf, "'\n");
	}
}

static void
render_fish(struct weir_buf *buf)
{
	weir__buf_puts(buf,
		       "# made by weir --generate completion fish\n"
		       "complete -c weir -f\n"
		       "complete -c weir -n __fish_use_subcommand -a help -d "
		       "'all about one command'\n"
		       "complete -c weir -n '__fish_seen_subcommand_from help'"
		       " -a '");
	put_commands(buf);
	weir__buf_puts(buf, "'\n");
	for (size_t i = 0; weir__commands[i]; i++) {
		const struct weir_command *c = weir__commands[i];

		fish_begin(buf, &weir__program);
		weir__buf_printf(buf, " -a %s -d '", c->name);
		put_quoted(buf, c->summary, "\\");
		weir__buf_puts(buf, "'\n");
		if (c->operands_are_files) {
			fish_begin(buf, c);
			weir__buf_puts(buf, " -F\n");
		}
		fish_words(buf, c);
	}
	each_option(buf, &weir__program, fish_option);
	for (size_t i = 0; weir__commands[i]; i++)
		each_option(buf, weir__commands[i], fish_option);
}

bool
weir__completion_render(struct weir_buf *buf, const char *shell)
{
	if (strcmp(shell, "bash") == 0)
		render_bash(buf);
	else if (strcmp(shell, "zsh") == 0)
		render_zsh(buf);
	else if (strcmp(shell, "fish") == 0)
		render_fish(buf);
	else
		return false;
	return true;
}
