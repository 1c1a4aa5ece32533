/*
 * Inside the option table: what parsing, weir.conf, help, man pages and
 * completions share.  Commands need options.h only.
 *
 * All of it runs on the main thread before there are others.
 */
#ifndef WEIR_SRC_CLI_TABLE_H
#define WEIR_SRC_CLI_TABLE_H

#include "base/buf.h"
#include "cli/command.h"

#include <stdbool.h>
#include <stddef.h>

/* What stands between the program and the command's name. */
struct weir_main_options {
	bool help, version;
	bool generate; /* hidden: man pages and completions, for the build */
};

extern const struct weir_option weir__main_options[];

/* The rows that every command has, into `struct weir_common`. */
extern const struct weir_option weir__common_options[];

/* The command of that name, or NULL. */
const struct weir_command *weir__command_find(const char *name);

/* The name in "did you mean", or NULL. */
const char *weir__command_suggest(const char *name);

/* How many rows there are in front of the end. */
size_t weir__option_rows(const struct weir_option *table);

/* Is it a row for people: no heading, not hidden? */
bool weir__option_is_shown(const struct weir_option *o);

/* Does it take a value? */
bool weir__option_has_value(const struct weir_option *o);

/* A row, and where in this cli its value and its source live. */
struct weir_option_ref {
	const struct weir_option *row; /* NULL: not found */
	void *field;
	unsigned char *source;
	bool negated; /* it was found as "no-" + name */
};

/* By long name (len bytes) or by letter, in both tables. */
struct weir_option_ref weir__option_find(struct weir_cli *cli, const char *name,
					 size_t len);
struct weir_option_ref weir__option_find_letter(struct weir_cli *cli,
						char letter);

/* Does command (or do all, as common options) have that long name? */
bool weir__option_exists(const struct weir_command *command, const char *name);

/*
 * The row whose name is nearest to a mistyped one, or NULL: at a small edit
 * distance, or with a long beginning in common.
 */
const struct weir_option *weir__option_suggest(
	const struct weir_command *command, const char *name, size_t len);

/* Is candidate near enough to typed?  A smaller score is nearer; -1: no. */
int weir__suggest_score(const char *typed, size_t len, const char *candidate);

/* Set a bool; false only if a stronger source has set it before. */
void weir__value_set_bool(const struct weir_option_ref *ref, bool value,
			  enum weir_option_source source);

/*
 * Read text as the row's kind, and store it unless a stronger source has.
 * False: it is no such value, and why tells: "'30' needs a unit, such as 30s".
 * A bool takes yes and no, and their synonyms: weir.conf and the environment.
 */
bool weir__value_set(const struct weir_option_ref *ref, const char *text,
		     enum weir_option_source source, struct weir_buf *why);

/* A good value for this row, for error texts: "30s". */
const char *weir__value_example(const struct weir_option *o);

/* Free what a LIST row holds. */
void weir__value_fini(const struct weir_option_ref *ref);

/* WEIR_FETCH_RETRIES, or WEIR_RETRIES when command is NULL. */
void weir__option_env_name(struct weir_buf *buf,
			   const struct weir_command *command,
			   const char *name);

/* Read weir.conf as cli->common says.  -1, or WEIR_EXIT_USAGE. */
int weir__config_read(struct weir_cli *cli);

/* Text without its `backquotes`; the man page prints them bold instead. */
void weir__prose_plain(struct weir_buf *buf, const char *text);

/* `weir CMD --help`, or `weir --help` for weir__program. */
void weir__help_render(struct weir_buf *buf, const struct weir_command *c);

/* The man page in roff, and the completions; false: no such shell. */
void weir__man_render(struct weir_buf *buf, const struct weir_command *c);
bool weir__completion_render(struct weir_buf *buf, const char *shell);

#endif
