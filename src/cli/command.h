/*
 * A command, and the frame it runs in.
 *
 * Each command is one constant `struct weir_command` in its own file, listed
 * in commands.c.  main() finds it by its name, fills its options and calls
 * run(); help, man page and completions are made from the same struct.
 */
#ifndef WEIR_SRC_CLI_COMMAND_H
#define WEIR_SRC_CLI_COMMAND_H

#include "cli/exit.h"
#include "cli/options.h"
#include "cli/progress.h"
#include "cli/term.h"

#include <stdbool.h>
#include <stddef.h>

struct weir_command_example {
	const char *command; /* "weir fetch urls.txt -o out/" */
	const char *what;    /* "fetch each line of a file into out/" */
};

/* A section of the man page; markup as in `weir_option.more`. */
struct weir_command_section {
	const char *title; /* "RECORDS" */
	const char *text;
};

/*
 * What a command can do, where that is more than one thing: the first operand
 * of `weir jobs list`.  The first word of a command is what it does when none
 * is given.
 */
struct weir_command_word {
	const char *name;
	const char *operands; /* what stands behind it: "ID..."; or NULL */
	const char *help;     /* one line, no capital, no full stop */
	/* The command's own options that it takes: "queue kind limit" */
	const char *options;
	size_t operands_min;
	size_t operands_max; /* SIZE_MAX: any number */
};

struct weir_command {
	const char *name;
	const char *summary; /* one line, no capital, no full stop */
	const char *group;   /* heading in `weir --help`: "Run jobs" */
	/* What stands behind "weir NAME": "[OPTIONS] [FILE...|-]"; NULL ends */
	const char *const *synopsis;
	/* The first is shown at the top of --help; {NULL} ends */
	const struct weir_command_example *examples;
	/* The first is the DESCRIPTION; {NULL} ends */
	const struct weir_command_section *sections;
	/* The exit statuses it can give, for the man page; -1 ends */
	const int *exits;
	/* Of a program: where there is more to read; NULL: in man pages */
	const char *manual;

	const struct weir_command_word *words; /* {NULL} ends; NULL: none */

	const struct weir_option *options;
	const void *defaults; /* options_size bytes, copied before parsing */
	size_t options_size;
	bool operands_are_files; /* for the completions */
	bool stop_at_operand;    /* the first operand ends the options */

	/* Do it.  The result is the exit status. */
	int (*run)(struct weir_cli *cli);
};

/*
 * All commands, in the order of `weir --help`; NULL ends.  A program that
 * `weir` becomes (elsewhere.h) has its own only, and says so: weir.conf names
 * the others all the same, and `weir` has judged it before.
 */
extern const struct weir_command *const weir__commands[];
extern const bool weir__commands_are_all;

extern const struct weir_command weir__cmd_fetch;
extern const struct weir_command weir__cmd_run;
extern const struct weir_command weir__cmd_enqueue;
extern const struct weir_command weir__cmd_work;
extern const struct weir_command weir__cmd_jobs;
extern const struct weir_command weir__cmd_queues;
extern const struct weir_command weir__cmd_limits;
extern const struct weir_command weir__cmd_schedule;
extern const struct weir_command weir__cmd_db;

/*
 * The program itself, for what stands before a command's name.  Its name is
 * what errors and help begin with, what variables begin with in capitals, and
 * that of its configuration: weir, WEIR_JOBS, weir/weir.conf.
 */
extern const struct weir_command weir__program;

/* The options that every command has. */
struct weir_common {
	enum weir_progress_mode progress; /* --progress */
	enum weir_color_mode color;       /* --color */
	bool quiet;                       /* -q */
	bool no_config;                   /* --no-config */
	bool help;                        /* -h */
	const char *config;               /* --config, or NULL */
};

struct weir_cli {
	const struct weir_command *command;
	struct weir_common common;

	/* The command's own struct, as it is after parsing. */
	void *options;

	/* The operands, in order. */
	const char **operands;
	size_t operand_count;
	/* How many of them stood before "--"; operand_count when none did. */
	size_t operands_before_dashes;

	/* Set by a command that has one: errors are then printed above it. */
	struct weir_progress *progress;

	/* The whole command line as the process got it, for elsewhere.h. */
	char **argv;

	/* The parser's, see weir__option_source(). */
	unsigned char sources[WEIR_OPTIONS_MAX];
	unsigned char common_sources[WEIR_OPTIONS_MAX];
	char *config_text; /* weir.conf, cut up into the values */
};

/*
 * Begin with the defaults of command, and give everything back.
 *
 * Waits:   never.
 * Threads: the main thread.
 * Owns:    cli is the caller's; fini frees what cli holds.
 * Returns: whether there was memory.
 */
bool weir__cli_init(struct weir_cli *cli, const struct weir_command *command);
void weir__cli_fini(struct weir_cli *cli);

/*
 * Take the command's word off the front of the operands, with everything
 * checked that follows from it: that the options given are its options, and
 * how many operands are left.
 *
 * Waits:   for stderr to take an error.
 * Threads: the main thread.
 * Owns:    nothing; the word is the command's.
 * Returns: the word, or NULL after an error, which has been printed; the exit
 *          status is then WEIR_EXIT_USAGE.
 */
const struct weir_command_word *weir__cli_take_word(struct weir_cli *cli);

/*
 * Print one line on stderr, `weir fetch: WHAT: WHY`:
 *
 *      weir__cli_error(cli, "cannot open", "%s (%s)", why, path);
 *      weir__cli_error(cli, NULL, "nothing to fetch");
 *
 * The text is printed above the progress line, if there is one, and without
 * control characters, wherever it came from.
 *
 * Waits:   for stderr to take it.
 * Threads: the one that may use cli->progress.
 * Owns:    nothing.
 * Returns: nothing.
 */
void weir__cli_error(struct weir_cli *cli, const char *what, const char *format,
		     ...) __attribute__((format(printf, 3, 4)));

/*
 * The line below an error, where there is a next step: `try: COMMAND`.
 *
 * Waits:   for stderr to take it.
 * Threads: the one that may use cli->progress.
 * Owns:    nothing.
 * Returns: nothing.
 */
void weir__cli_try(struct weir_cli *cli, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/*
 * A line of news on stderr, not an error: `weir fetch: ...`.  Not printed with
 * --quiet.
 *
 * Waits:   for stderr to take it.
 * Threads: the one that may use cli->progress.
 * Owns:    nothing.
 * Returns: nothing.
 */
void weir__cli_note(struct weir_cli *cli, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/*
 * Writing to standard output has failed with error_number.  Says so, unless
 * it is that nobody reads it any more.
 *
 * Waits:   for stderr to take it.
 * Threads: the one that may use cli->progress.
 * Owns:    nothing.
 * Returns: the exit status: WEIR_EXIT_STDOUT_CLOSED (EPIPE, EBADF) or
 *          WEIR_EXIT_FAILURE.
 */
int weir__cli_stdout_failed(struct weir_cli *cli, int error_number);

#endif
