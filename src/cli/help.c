/*
 * `weir --help` and `weir CMD --help`, from the tables.
 *
 * Design: 80 columns, and no pager, no colours: it is as likely to be read in
 * a pipe.  An option's line is its forms and then its help in one column for
 * the whole table; where the forms are too long, the help has a line of its
 * own.  Long explanations are the man page's.
 */
#include "cli/table.h"

#include <string.h>

#define COLUMNS     80
#define HELP_COLUMN 26

void
weir__prose_plain(struct weir_buf *buf, const char *text)
{
	for (; *text != '\0'; text++)
		if (*text != '`')
			weir__buf_putc(buf, *text);
}

/* Where buf's last line has got to. */
static size_t
column(const struct weir_buf *buf)
{
	size_t n = 0;

	while (n < buf->len && buf->data[buf->len - n - 1] != '\n')
		n++;
	return n;
}

static void
indent(struct weir_buf *buf, size_t to)
{
	for (size_t at = column(buf); at < to && !buf->failed; at++)
		weir__buf_putc(buf, ' ');
}

/* Words, broken before the 80th column and continued at column `at`. */
static void
wrap(struct weir_buf *buf, const char *text, size_t at)
{
	const char *glue = "";

	while (*text != '\0') {
		size_t len = strcspn(text, " ");

		if (column(buf) + strlen(glue) + len > COLUMNS - 1 && *glue) {
			weir__buf_putc(buf, '\n');
			indent(buf, at);
			glue = "";
		}
		weir__buf_puts(buf, glue);
		weir__buf_append(buf, text, len);
		glue = " ";
		text += len + strspn(text + len, " ");
	}
	weir__buf_putc(buf, '\n');
}

/* "  -j, --jobs N", "      --[no-]verify" */
static void
option_forms(struct weir_buf *buf, const struct weir_option *o)
{
	if (o->letter)
		weir__buf_printf(buf, "  -%c, ", o->letter);
	else
		weir__buf_puts(buf, "      ");
	weir__buf_printf(buf, "--%s%s",
			 o->kind == WEIR_OPT_SWITCH ? "[no-]" : "", o->name);
	if (o->arg)
		weir__buf_printf(buf, " %s", o->arg);
}

static void
option_line(struct weir_buf *buf, const struct weir_option *o)
{
	struct weir_buf help = {0};

	weir__prose_plain(&help, o->help);
	if (o->shown)
		weir__buf_printf(&help, " (%s)", o->shown);
	option_forms(buf, o);
	if (column(buf) + 2 > HELP_COLUMN)
		weir__buf_putc(buf, '\n');
	indent(buf, HELP_COLUMN);
	wrap(buf, weir__buf_str(&help), HELP_COLUMN);
	weir__buf_fini(&help);
}

static void
option_table(struct weir_buf *buf, const struct weir_option *table)
{
	for (const struct weir_option *o = table; o->kind != WEIR_OPT_END;
	     o++) {
		if (o->kind == WEIR_OPT_GROUP)
			weir__buf_printf(buf, "\n%s:\n", o->name);
		else if (!o->hidden)
			option_line(buf, o);
	}
}

static void
usage(struct weir_buf *buf, const struct weir_command *c)
{
	const char *title = "Usage:   ";

	for (size_t i = 0; c->synopsis[i]; i++) {
		weir__buf_printf(
			buf, "%s%s %s%s%s\n", title, weir__program.name,
			c == &weir__program ? "" : c->name,
			c == &weir__program ? "" : " ", c->synopsis[i]);
		title = "         ";
	}
}

/* The commands, under the headings they name; those stand together. */
static void
command_list(struct weir_buf *buf)
{
	const char *group = "";

	for (size_t i = 0; weir__commands[i]; i++) {
		const struct weir_command *c = weir__commands[i];

		if (strcmp(c->group, group) != 0)
			weir__buf_printf(buf, "\n%s:\n", c->group);
		group = c->group;
		weir__buf_printf(buf, "  %s", c->name);
		indent(buf, 14);
		wrap(buf, c->summary, 14);
	}
}

/* What it can do; the first of them is what it does by itself. */
static void
word_list(struct weir_buf *buf, const struct weir_command *c)
{
	const struct weir_command_word *word = c->words;

	if (!word)
		return;
	weir__buf_puts(buf, "\nWhat it does:\n");
	for (; word->name; word++) {
		struct weir_buf help = {0};

		weir__buf_printf(buf, "  %s%s%s", word->name,
				 word->operands ? " " : "",
				 word->operands ? word->operands : "");
		if (column(buf) + 2 > HELP_COLUMN)
			weir__buf_putc(buf, '\n');
		indent(buf, HELP_COLUMN);
		weir__prose_plain(&help, word->help);
		if (word == c->words)
			weir__buf_puts(&help, " (when no word is given)");
		wrap(buf, weir__buf_str(&help), HELP_COLUMN);
		weir__buf_fini(&help);
	}
}

void
weir__help_render(struct weir_buf *buf, const struct weir_command *c)
{
	bool top = c == &weir__program;

	weir__buf_printf(buf, "%s%s%s: %s\n\n", weir__program.name,
			 top ? "" : " ", top ? "" : c->name, c->summary);
	if (c->examples && c->examples[0].command)
		weir__buf_printf(buf, "Example: %s    # %s\n",
				 c->examples[0].command, c->examples[0].what);
	usage(buf, c);
	if (top)
		command_list(buf);
	word_list(buf, c);
	option_table(buf, c->options);
	if (!top)
		option_table(buf, weir__common_options);
	weir__buf_puts(buf, "\nMore:    ");
	if (weir__program.manual)
		weir__buf_printf(buf, "%s\n", weir__program.manual);
	else if (top)
		weir__buf_printf(buf, "%s help COMMAND; man %s\n",
				 weir__program.name, weir__program.name);
	else
		weir__buf_printf(buf, "man %s-%s\n", weir__program.name,
				 c->name);
}
