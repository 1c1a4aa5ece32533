/*
 * Man pages, from the tables.
 *
 * Design: plain man(7) macros, which every roff and every viewer of man pages
 * reads.  The sections come in the order that readers know from elsewhere, and
 * what is the same for all commands (the environment, weir.conf, exit
 * statuses) is written here once.  No date: the same source gives the same
 * bytes.
 */
#include "cli/table.h"

#include "weir/base.h"

#include <string.h>

/* Text as it is: no backslash, dash or leading dot of it is roff's. */
static void
put_raw(struct weir_buf *buf, const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		bool starts = buf->len == 0 || buf->data[buf->len - 1] == '\n';

		if (starts && (text[i] == '.' || text[i] == '\''))
			weir__buf_puts(buf, "\\&");
		if (text[i] == '\\')
			weir__buf_puts(buf, "\\e");
		else if (text[i] == '-')
			weir__buf_puts(buf, "\\-");
		else
			weir__buf_putc(buf, text[i]);
	}
}

static void
put_text(struct weir_buf *buf, const char *text)
{
	put_raw(buf, text, strlen(text));
}

/* Text with `backquotes`, which become bold. */
static void
put_marked(struct weir_buf *buf, const char *text, size_t len)
{
	bool bold = false;

	for (size_t i = 0, n; i < len; i += n) {
		if (text[i] == '`') {
			bold = !bold;
			weir__buf_puts(buf, bold ? "\\fB" : "\\fR");
			n = 1;
			continue;
		}
		n = strcspn(text + i, "`");
		if (n > len - i)
			n = len - i;
		put_raw(buf, text + i, n);
	}
}

/* A block of lines that begin with two blanks; returns what follows it. */
static const char *
put_example(struct weir_buf *buf, const char *text)
{
	weir__buf_puts(buf, ".RS 4\n.nf\n");
	while (strncmp(text, "  ", 2) == 0) {
		size_t len = strcspn(text, "\n");

		put_raw(buf, text + 2, len - 2);
		weir__buf_putc(buf, '\n');
		text += len + (text[len] == '\n');
	}
	weir__buf_puts(buf, ".fi\n.RE\n");
	return text;
}

/* "term<TAB>text" */
static bool
is_row(const char *line)
{
	return memchr(line, '\t', strcspn(line, "\n")) != NULL;
}

static void
put_row(struct weir_buf *buf, const char *line, size_t len)
{
	size_t term = strcspn(line, "\t");

	weir__buf_puts(buf, ".TP\n");
	put_marked(buf, line, term);
	weir__buf_putc(buf, '\n');
	put_marked(buf, line + term + 1, len - term - 1);
	weir__buf_putc(buf, '\n');
}

/* Prose with the markup that options.h describes. */
static void
put_prose(struct weir_buf *buf, const char *text)
{
	while (*text != '\0') {
		size_t len = strcspn(text, "\n");

		if (len == 0) {
			/* A list row begins a paragraph by itself. */
			if (!is_row(text + 1))
				weir__buf_puts(buf, ".PP\n");
		} else if (strncmp(text, "  ", 2) == 0) {
			text = put_example(buf, text);
			continue;
		} else if (is_row(text)) {
			put_row(buf, text, len);
		} else {
			put_marked(buf, text, len);
			weir__buf_putc(buf, '\n');
		}
		text += len + (text[len] == '\n');
	}
}

static void
put_option(struct weir_buf *buf, const struct weir_option *o)
{
	weir__buf_puts(buf, ".TP\n");
	if (o->letter)
		weir__buf_printf(buf, "\\fB\\-%c\\fR, ", o->letter);
	weir__buf_printf(buf, "\\fB\\-\\-%s",
			 o->kind == WEIR_OPT_SWITCH ? "[no\\-]" : "");
	put_text(buf, o->name);
	weir__buf_puts(buf, "\\fR");
	if (o->arg) {
		weir__buf_puts(buf, "=\\fI");
		put_text(buf, o->arg);
		weir__buf_puts(buf, "\\fR");
	}
	weir__buf_putc(buf, '\n');
}

/* The one line of help as a sentence, then the rest. */
static void
put_explanation(struct weir_buf *buf, const struct weir_option *o)
{
	size_t start = buf->len;

	put_marked(buf, o->help, strlen(o->help));
	if (buf->len > start && buf->data[start] >= 'a' &&
	    buf->data[start] <= 'z')
		buf->data[start] = (char)(buf->data[start] - 32);
	if (o->shown) {
		weir__buf_puts(buf, " (default: ");
		put_text(buf, o->shown);
		weir__buf_putc(buf, ')');
	}
	weir__buf_puts(buf, ".\n");
	if (o->kind == WEIR_OPT_LIST)
		weir__buf_puts(buf, "May be given more than once.\n");
	if (o->more) {
		/* Its paragraphs stay indented under the option. */
		weir__buf_puts(buf, ".RS\n");
		if (!is_row(o->more))
			weir__buf_puts(buf, ".PP\n");
		put_prose(buf, o->more);
		weir__buf_puts(buf, ".RE\n");
	}
}

static void
put_options(struct weir_buf *buf, const struct weir_option *table)
{
	for (const struct weir_option *o = table; o->kind != WEIR_OPT_END;
	     o++) {
		if (o->kind == WEIR_OPT_GROUP) {
			weir__buf_puts(buf, ".SS ");
			put_text(buf, o->name);
			weir__buf_putc(buf, '\n');
		} else if (!o->hidden) {
			put_option(buf, o);
			put_explanation(buf, o);
		}
	}
}

/* The words are the command's own; only its name is set in bold. */
static void
put_synopsis(struct weir_buf *buf, const struct weir_command *c)
{
	weir__buf_puts(buf, ".SH SYNOPSIS\n");
	for (size_t i = 0; c->synopsis[i]; i++) {
		weir__buf_printf(buf, "%s\\fBweir%s%s\\fR ",
				 i == 0 ? "" : ".br\n",
				 c == &weir__program ? "" : " ",
				 c == &weir__program ? "" : c->name);
		put_text(buf, c->synopsis[i]);
		weir__buf_putc(buf, '\n');
	}
}

static void
put_commands(struct weir_buf *buf)
{
	weir__buf_puts(buf, ".SH COMMANDS\n");
	for (size_t i = 0; weir__commands[i]; i++) {
		weir__buf_printf(buf, ".TP\n\\fBweir\\-%s\\fR(1)\n",
				 weir__commands[i]->name);
		put_text(buf, weir__commands[i]->summary);
		weir__buf_putc(buf, '\n');
	}
}

/* "list", "show ID...": what it does, and with which of the options. */
static void
put_words(struct weir_buf *buf, const struct weir_command *c)
{
	const struct weir_command_word *word = c->words;

	if (!word)
		return;
	weir__buf_puts(buf, ".SH WORDS\n");
	for (; word->name; word++) {
		weir__buf_printf(buf, ".TP\n\\fB%s\\fR", word->name);
		if (word->operands) {
			weir__buf_puts(buf, " \\fI");
			put_text(buf, word->operands);
			weir__buf_puts(buf, "\\fR");
		}
		weir__buf_putc(buf, '\n');
		put_marked(buf, word->help, strlen(word->help));
		weir__buf_printf(
			buf, ".%s\n",
			word == c->words
				? "\nThis is done when no word is given."
				: "");
		if (*word->options == '\0')
			continue;
		weir__buf_puts(buf, "Options:");
		for (const char *o = word->options; *o != '\0';) {
			size_t len = strcspn(o, " ");

			weir__buf_puts(buf, " \\fB\\-\\-");
			put_raw(buf, o, len);
			weir__buf_puts(buf, "\\fR");
			o += len + (o[len] == ' ');
			weir__buf_puts(buf, *o ? "," : ".\n");
		}
	}
}

static void
put_examples(struct weir_buf *buf, const struct weir_command *c)
{
	weir__buf_puts(buf, ".SH EXAMPLES\n");
	for (size_t i = 0; c->examples[i].command; i++) {
		weir__buf_puts(buf, ".TP\n\\fB");
		put_text(buf, c->examples[i].command);
		weir__buf_puts(buf, "\\fR\n");
		put_text(buf, c->examples[i].what);
		weir__buf_puts(buf, "\n");
	}
}

/* From the table in exit.h, so that enum and page agree. */
static const char *
exit_text(int code)
{
	switch (code) {
#define WEIR_EXIT_CASE(name, value, text) \
	case value:                       \
		return text;
		WEIR_EXIT_TABLE(WEIR_EXIT_CASE)
#undef WEIR_EXIT_CASE
	default:
		return "";
	}
}

static void
put_exits(struct weir_buf *buf, const struct weir_command *c)
{
	if (!c->exits)
		return;
	weir__buf_puts(buf, ".SH EXIT STATUS\n");
	for (const int *e = c->exits; *e >= 0; e++) {
		weir__buf_printf(buf, ".TP\n%d\n", *e);
		put_text(buf, exit_text(*e));
		weir__buf_putc(buf, '\n');
	}
}

/* What holds for all commands, told where `weir help` ends. */
static void
put_configuration(struct weir_buf *buf, const struct weir_command *c)
{
	const char *name = c == &weir__program ? "fetch" : c->name;
	struct weir_buf variable = {0};

	weir__option_env_name(&variable,
			      c == &weir__program ? weir__commands[0] : c,
			      "quiet");
	weir__buf_puts(buf, ".SH ENVIRONMENT\n");
	weir__buf_printf(
		buf,
		"Each option but \\fB\\-\\-help\\fR can be set by a variable: "
		"\\fB\\-\\-quiet\\fR by\n\\fB%s=yes\\fR or, for every command "
		"that has the option, by \\fBWEIR_QUIET=yes\\fR.\n"
		"Options on the command line win over variables, the first "
		"variable over the\nsecond, variables over weir.conf, and "
		"that over the defaults.\nAn empty variable counts as unset.\n"
		".TP\n\\fBNO_COLOR\\fR\nNo colours, unless "
		"\\fB\\-\\-color=always\\fR.\n",
		weir__buf_str(&variable));
	weir__buf_printf(
		buf,
		".SH FILES\n.TP\n\\fB$XDG_CONFIG_HOME/weir/weir.conf\\fR, "
		"\\fB~/.config/weir/weir.conf\\fR\n"
		"The same options without their dashes, for every command or "
		"below the name of\none.  A value goes to the end of its "
		"line; lines that begin with # are comments.\n"
		".RS\n.PP\n.nf\ncolor = never\n\n[%s]\nquiet = yes\n.fi\n"
		".RE\n",
		name);
	weir__buf_fini(&variable);
}

/* All the others, and `weir` first. */
static void
put_see_also(struct weir_buf *buf, const struct weir_command *c)
{
	const char *glue = "";

	weir__buf_puts(buf, ".SH SEE ALSO\n");
	if (c != &weir__program) {
		weir__buf_puts(buf, "\\fBweir\\fR(1)");
		glue = ", ";
	}
	for (size_t i = 0; weir__commands[i]; i++) {
		if (weir__commands[i] == c)
			continue;
		weir__buf_printf(buf, "%s\\fBweir\\-%s\\fR(1)", glue,
				 weir__commands[i]->name);
		glue = ", ";
	}
	weir__buf_putc(buf, '\n');
}

/* roff wants the title in capitals, and pages are called weir-COMMAND. */
static void
put_title(struct weir_buf *buf, const struct weir_command *c)
{
	bool top = c == &weir__program;

	weir__buf_puts(buf, ".TH WEIR");
	if (!top) {
		weir__buf_puts(buf, "\\-");
		for (const char *s = c->name; *s != '\0'; s++)
			weir__buf_putc(buf, *s >= 'a' && *s <= 'z'
						    ? (char)(*s - 32)
						    : *s);
	}
	weir__buf_printf(buf, " 1 \"\" \"weir %d.%d.%d\" \"weir manual\"\n",
			 WEIR_VERSION_MAJOR, WEIR_VERSION_MINOR,
			 WEIR_VERSION_PATCH);
	weir__buf_printf(buf, ".SH NAME\nweir%s%s \\- ", top ? "" : "\\-",
			 top ? "" : c->name);
	put_text(buf, c->summary);
	weir__buf_putc(buf, '\n');
}

void
weir__man_render(struct weir_buf *buf, const struct weir_command *c)
{
	const struct weir_command_section *s = c->sections;

	put_title(buf, c);
	put_synopsis(buf, c);
	if (s && s->title) {
		weir__buf_printf(buf, ".SH %s\n", s->title);
		put_prose(buf, s->text);
		s++;
	}
	if (c == &weir__program)
		put_commands(buf);
	put_words(buf, c);
	weir__buf_puts(buf, ".SH OPTIONS\n");
	put_options(buf, c->options);
	if (c != &weir__program)
		put_options(buf, weir__common_options);
	for (; s && s->title; s++) {
		weir__buf_printf(buf, ".SH %s\n", s->title);
		put_prose(buf, s->text);
	}
	put_exits(buf, c);
	put_configuration(buf, c);
	put_examples(buf, c);
	put_see_also(buf, c);
}
