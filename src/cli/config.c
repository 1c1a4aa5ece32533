/*
 * weir.conf: the same options, kept in a file.
 *
 *      # For every command that has such an option.
 *      color = never
 *
 *      [fetch]
 *      retries = 5
 *      header = X-Team: blue # this is part of the value
 *
 * Design: the whole file is read into one block that the cli keeps, and cut
 * up in place: the values that strings and lists point to live there.  A value
 * goes to the end of its line, for URLs and passwords hold "#" and quotes; so
 * only a line that begins with "#" is a comment.
 *
 * Nothing in it is passed over in silence: a name that no command knows, a
 * section for no command and a line without "=" are errors with their line.
 * The sections of other commands are looked at only for their names.  A
 * program that knows some of the commands only passes over what may be
 * another's: weir, which knows all, has read the file before it.
 */
#include "cli/table.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Far more than anybody writes by hand; a device or a log is no weir.conf. */
#define CONFIG_SIZE_MAX (1 << 20)

struct config {
	struct weir_cli *cli;
	const char *path;
	unsigned line;
	const struct weir_command *section; /* NULL: above all sections */
	bool foreign; /* the section is that of a command we do not have */
};

/* $XDG_CONFIG_HOME must be absolute to count, says its specification. */
static bool
default_path(struct weir_buf *path)
{
	const char *xdg = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
	const char *name = weir__program.name;

	if (xdg && xdg[0] == '/')
		weir__buf_printf(path, "%s/%s/%s.conf", xdg, name, name);
	else if (home && home[0] == '/')
		weir__buf_printf(path, "%s/.config/%s/%s.conf", home, name,
				 name);
	return path->len > 0 && !path->failed;
}

static int
cannot_read(struct weir_cli *cli, const char *path, const char *why)
{
	weir__cli_error(cli, "cannot read the configuration", "%s (%s)", why,
			path);
	return WEIR_EXIT_USAGE;
}

/* All of fd, with a NUL behind; NULL and errno, or EFBIG. */
static char *
read_all(int fd)
{
	struct weir_buf text = {0};
	ssize_t n;

	do {
		if (!weir__buf_reserve(&text, 4096)) {
			errno = ENOMEM;
			n = -1;
			break;
		}
		n = read(fd, text.data + text.len, 4096);
		if (n > 0)
			text.len += (size_t)n;
		if (text.len > CONFIG_SIZE_MAX) {
			errno = EFBIG;
			n = -1;
		}
	} while (n > 0 || (n < 0 && errno == EINTR));
	if (n < 0) {
		weir__buf_fini(&text);
		return NULL;
	}
	/* A NUL byte inside would hide the lines behind it. */
	if (text.len > 0 && memchr(text.data, '\0', text.len)) {
		weir__buf_fini(&text);
		errno = EINVAL;
		return NULL;
	}
	text.data[text.len] = '\0';
	return text.data;
}

/* Without the blanks around it; cuts the end off in place. */
static char *
trim(char *text)
{
	size_t len;

	text += strspn(text, " \t\r");
	len = strlen(text);
	while (len > 0 && strchr(" \t\r", text[len - 1]))
		text[--len] = '\0';
	return text;
}

static int __attribute__((format(printf, 2, 3)))
config_error(const struct config *c, const char *format, ...)
{
	struct weir_buf why = {0};
	va_list args;

	va_start(args, format);
	weir__buf_vprintf(&why, format, args);
	va_end(args);
	weir__cli_error(c->cli, NULL, "%s:%u: %s", c->path, c->line,
			weir__buf_str(&why));
	weir__buf_fini(&why);
	return WEIR_EXIT_USAGE;
}

static int
enter_section(struct config *c, char *line)
{
	size_t len = strlen(line);
	const char *guess;
	char *name;

	if (line[len - 1] != ']')
		return config_error(c, "']' is missing behind '%s'", line);
	line[len - 1] = '\0';
	name = trim(line + 1);
	c->section = weir__command_find(name);
	c->foreign = !c->section && !weir__commands_are_all;
	if (c->section || c->foreign)
		return -1;
	guess = weir__command_suggest(name);
	if (guess)
		return config_error(c, "no command '%s'; did you mean [%s]?",
				    name, guess);
	return config_error(c, "no command '%s'", name);
}

static bool
any_command_has(const char *name)
{
	for (size_t i = 0; weir__commands[i]; i++)
		if (weir__option_exists(weir__commands[i], name))
			return true;
	return false;
}

/* Guess among the options of the section, or of the command that runs. */
static int
unknown_name(const struct config *c, const char *name)
{
	const struct weir_command *command =
		c->section ? c->section : c->cli->command;
	const struct weir_option *o =
		weir__option_suggest(command, name, strlen(name));

	if (o)
		return config_error(c,
				    "unknown option '%s'; did you mean '%s'?",
				    name, o->name);
	return config_error(c, "unknown option '%s'", name);
}

/* Options that only make sense where the command is typed. */
static bool
is_only_flag(const struct weir_option *o)
{
	return o->only_flag || strcmp(o->name, "config") == 0 ||
	       strcmp(o->name, "no-config") == 0;
}

/* "name = value" on its way to the field, or to an error with its line. */
static int
assign(const struct config *c, const char *name, const char *value)
{
	struct weir_cli *cli = c->cli;
	struct weir_option_ref ref;
	struct weir_buf why = {0};
	int status = -1;

	if (c->foreign)
		return -1;
	if (c->section && c->section != cli->command)
		return weir__option_exists(c->section, name)
			       ? -1
			       : unknown_name(c, name);
	ref = weir__option_find(cli, name, strlen(name));
	if (!ref.row && !c->section &&
	    (any_command_has(name) || !weir__commands_are_all))
		return -1;
	if (!ref.row)
		return unknown_name(c, name);
	if (ref.negated)
		return config_error(c, "write '%s = no' instead of '%s'",
				    ref.row->name, name);
	if (is_only_flag(ref.row))
		return config_error(c, "'%s' has no place in a file", name);
	if (!weir__value_set(&ref, value,
			     c->section ? WEIR_FROM_CONFIG_SECTION
					: WEIR_FROM_CONFIG,
			     &why))
		status = config_error(c, "%s: %s", name, weir__buf_str(&why));
	weir__buf_fini(&why);
	return status;
}

static int
read_line(struct config *c, char *line)
{
	char *equals;

	line = trim(line);
	if (*line == '\0' || *line == '#')
		return -1;
	if (*line == '[')
		return enter_section(c, line);
	equals = strchr(line, '=');
	if (!equals)
		return config_error(c, "'=' is missing in '%s'", line);
	*equals = '\0';
	return assign(c, trim(line), trim(equals + 1));
}

static int
read_lines(struct config *c, char *text)
{
	int status = -1;

	for (char *next; status < 0 && text; text = next) {
		next = strchr(text, '\n');
		if (next)
			*next++ = '\0';
		c->line++;
		status = read_line(c, text);
	}
	return status;
}

/* A file that nobody named may be absent. */
static int
read_file(struct weir_cli *cli, const char *path, bool named)
{
	struct config c = {.cli = cli, .path = path};
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	char *text;
	int status = -1;

	if (fd < 0) {
		if (!named && (errno == ENOENT || errno == ENOTDIR))
			return -1;
		return cannot_read(cli, path, strerror(errno));
	}
	text = read_all(fd);
	if (!text)
		status = cannot_read(cli, path,
				     errno == EINVAL ? "it holds a NUL byte"
						     : strerror(errno));
	(void)close(fd);
	if (!text)
		return status;
	cli->config_text = text;
	return read_lines(&c, text);
}

int
weir__config_read(struct weir_cli *cli)
{
	struct weir_buf path = {0};
	int status = -1;

	if (cli->common.no_config)
		return -1;
	if (cli->common.config)
		return read_file(cli, cli->common.config, true);
	if (default_path(&path))
		status = read_file(cli, path.data, false);
	weir__buf_fini(&path);
	return status;
}
