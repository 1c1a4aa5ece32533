/*
 * The option table: one row per option, and everything is made from it.
 *
 * Parsing, `weir CMD --help`, the man page and the completions of three shells
 * all read the same rows, so that none of them can drift from the others:
 *
 *      struct fetch_options {
 *              int64_t jobs, timeout_ns;
 *              bool checksum;
 *      };
 *
 *      static const struct weir_option fetch_table[] = {
 *              WEIR_OPT_HEADING("How much at once"),
 *              {WEIR_OPT_INT_AT(struct fetch_options, jobs),
 *               .letter = 'j', .name = "jobs", .arg = "N", .shown = "16",
 *               .min = 1, .max = 10000,
 *               .help = "transfers at once",
 *               .more = "More text, for the man page only."},
 *              ...
 *              WEIR_OPT_END_ROW,
 *      };
 *
 * The _AT macros tie a row to a field and refuse, when compiled, a field of
 * the wrong type.  Defaults are not in the table but in a struct of the
 * command's (`weir_command.defaults`); `.shown` is what help says of it.
 *
 * Where a value comes from: flags beat the environment (WEIR_FETCH_JOBS, then
 * WEIR_JOBS), which beats weir.conf (section [fetch], then the lines above all
 * sections), which beats the defaults.  Every value is checked, also one that
 * loses.
 *
 * In `.help` and `.more`, `backquotes` stand around what is typed as is.  In
 * `.more`, a blank line begins a paragraph, a line that begins with two blanks
 * is shown as it stands, and "term<TAB>text" is a row of a list.
 */
#ifndef WEIR_SRC_CLI_OPTIONS_H
#define WEIR_SRC_CLI_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum weir_option_kind {
	WEIR_OPT_END,    /* closes a table */
	WEIR_OPT_GROUP,  /* a heading; only .name counts */
	WEIR_OPT_FLAG,   /* --name sets the bool */
	WEIR_OPT_SWITCH, /* --name sets it, --no-name clears it */
	WEIR_OPT_STRING,
	WEIR_OPT_FILE,     /* a string; "-" is fine */
	WEIR_OPT_DIR,      /* a string */
	WEIR_OPT_INT,      /* .min <= value <= .max; .max 0 means no maximum */
	WEIR_OPT_SIZE,     /* "10M", to bytes; .min and .max as for INT */
	WEIR_OPT_DURATION, /* "30s", to nanoseconds; .min and .max as for INT */
	WEIR_OPT_RATE,     /* "20/s", to a number per second */
	WEIR_OPT_CHOICE,   /* one word of .choices, to its index */
	WEIR_OPT_LIST,     /* may be given again and again */
	WEIR_OPT_BYTE_RATE, /* "2M" or "2M/s", to bytes per second */
};

/* What LIST collects.  The array and the texts are the weir_cli's. */
struct weir_option_list {
	const char **items;
	size_t count;
};

struct weir_option {
	enum weir_option_kind kind;
	char letter;         /* the short form, or 0 */
	bool hidden;         /* parsed, but shown nowhere */
	bool only_flag;      /* not from the environment or weir.conf */
	const char *name;    /* without the dashes */
	const char *arg;     /* placeholder of the value: "N", "DIR" */
	const char *shown;   /* the default, for people; NULL: not said */
	const char *help;    /* one line, no capital, no full stop */
	const char *more;    /* further text for the man page, or NULL */
	const char *example; /* a good value for error texts; NULL: by kind */
	const char *choices; /* "auto|always|never" */
	int64_t min, max;
	size_t offset; /* of the field in the command's struct */
};

#define WEIR_OPT_AT(kind_, c_type, type, field)                        \
	.kind = (kind_), .offset = _Generic(((type *)0)->field, c_type \
					    : offsetof(type, field))
#define WEIR_OPT_FLAG_AT(type, field) \
	WEIR_OPT_AT(WEIR_OPT_FLAG, bool, type, field)
#define WEIR_OPT_SWITCH_AT(type, field) \
	WEIR_OPT_AT(WEIR_OPT_SWITCH, bool, type, field)
#define WEIR_OPT_STRING_AT(type, field) \
	WEIR_OPT_AT(WEIR_OPT_STRING, const char *, type, field)
#define WEIR_OPT_FILE_AT(type, field) \
	WEIR_OPT_AT(WEIR_OPT_FILE, const char *, type, field)
#define WEIR_OPT_DIR_AT(type, field) \
	WEIR_OPT_AT(WEIR_OPT_DIR, const char *, type, field)
#define WEIR_OPT_INT_AT(type, field) \
	WEIR_OPT_AT(WEIR_OPT_INT, int64_t, type, field)
#define WEIR_OPT_SIZE_AT(type, field) \
	WEIR_OPT_AT(WEIR_OPT_SIZE, uint64_t, type, field)
#define WEIR_OPT_DURATION_AT(type, field) \
	WEIR_OPT_AT(WEIR_OPT_DURATION, int64_t, type, field)
#define WEIR_OPT_RATE_AT(type, field) \
	WEIR_OPT_AT(WEIR_OPT_RATE, double, type, field)
#define WEIR_OPT_BYTE_RATE_AT(type, field) \
	WEIR_OPT_AT(WEIR_OPT_BYTE_RATE, uint64_t, type, field)
/* An enum whose first value is 0, or an int; the choices are in its order. */
#define WEIR_OPT_CHOICE_AT(type, field)                      \
	.kind = WEIR_OPT_CHOICE,                             \
	.offset = _Generic(((type *)0)->field, int           \
			   : offsetof(type, field), unsigned \
			   : offsetof(type, field))
#define WEIR_OPT_LIST_AT(type, field) \
	WEIR_OPT_AT(WEIR_OPT_LIST, struct weir_option_list, type, field)
#define WEIR_OPT_HEADING(text)                       \
	{                                            \
		.kind = WEIR_OPT_GROUP, .name = text \
	}
#define WEIR_OPT_END_ROW             \
	{                            \
		.kind = WEIR_OPT_END \
	}

/* Rows of a table, headings included; a bound for the arrays of the parser. */
#define WEIR_OPTIONS_MAX 96

/*
 * Where a value came from, weakest first.  A value replaces one from the same
 * place or a weaker one.
 */
enum weir_option_source {
	WEIR_FROM_DEFAULT,
	WEIR_FROM_CONFIG,         /* a line above all sections */
	WEIR_FROM_CONFIG_SECTION, /* a line in [command] */
	WEIR_FROM_ENV,            /* WEIR_<OPTION> */
	WEIR_FROM_ENV_COMMAND,    /* WEIR_<COMMAND>_<OPTION> */
	WEIR_FROM_FLAG,
};

struct weir_cli;

/*
 * Read argv (what follows the command's name), the environment and weir.conf
 * into cli->options, cli->common and cli->operands.
 *
 * Waits:   for weir.conf to be read.
 * Threads: the main thread, before there are others.
 * Owns:    argv must outlive cli; values from weir.conf are kept by cli.
 * Returns: -1 when the command should run, else the exit status: 0 after
 *          --help, or WEIR_EXIT_USAGE after an error, which has been printed.
 */
int weir__options_parse(struct weir_cli *cli, int argc, char **argv);

/*
 * Where the option of that long name got its value.  For rules such as "-k
 * has no effect with -o", which are worth a word only to who asked for it.
 *
 * Waits:   never.
 * Threads: any, once parsed.
 * Owns:    nothing.
 * Returns: the place.  A name that is in no table is a bug of ours.
 */
enum weir_option_source weir__option_source(const struct weir_cli *cli,
					    const char *name);

#endif
