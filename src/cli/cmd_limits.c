/*
 * weir limits: its options and what the manual says of it.
 *
 * What it does is in limits_run.c.
 */
#include "cli/cmd_queue.h"

static const struct limits_cli_options defaults = {
	.db = WEIR_QUEUE_DB_DEFAULT,
};

#define AT(kind, field) WEIR_OPT_##kind##_AT(struct limits_cli_options, field)

static const struct weir_option table[] = {
	WEIR_OPT_HEADING("The limit"),
	{AT(INT, jobs), .name = "jobs", .arg = "N", .only_flag = true,
	 .shown = "any number", .min = 1, .max = INT32_MAX,
	 .help = "so many run at once"},
	{AT(RATE, rate), .name = "rate", .arg = "RATE", .only_flag = true,
	 .shown = "any", .example = "20/s", .help = "so many begin"},
	{AT(INT, burst), .name = "burst", .arg = "N", .only_flag = true,
	 .shown = "a twentieth of a second's, but one at least", .min = 1,
	 .max = INT32_MAX,
	 .help = "with --rate: so many at once, after a time with none"},

	WEIR_OPT_HEADING("The store, and what is printed"),
	{WEIR_QUEUE_DB_ROW},
	{AT(FLAG, json), .name = "json",
	 .help = "print a JSON object for each limit"},
	WEIR_OPT_END_ROW,
};

static const struct weir_command_word words[] = {
	{.name = "list",
	 .help = "the limits, and how many jobs run and wait",
	 .options = "db json",
	 .operands_max = 0},
	{.name = "set",
	 .operands = "KIND...",
	 .help = "set the limit of these kinds, whatever it was",
	 .options = "jobs rate burst db json",
	 .operands_min = 1,
	 .operands_max = SIZE_MAX},
	{.name = "remove",
	 .operands = "KIND...",
	 .help = "let any number of them run again",
	 .options = "db json",
	 .operands_min = 1,
	 .operands_max = SIZE_MAX},
	{0},
};

static const char *const synopsis[] = {
	"[list] [--json]",
	"set KIND... [--jobs N] [--rate RATE [--burst N]]",
	"remove KIND...",
	NULL,
};

static const struct weir_command_example examples[] = {
	{"weir limits set email --jobs 3", "three at once, on all machines"},
	{"weir limits set sms --rate 20/s",
	 "twenty a second, from all workers"},
	{"weir limits", "which there are, and who waits"},
	{0},
};

static const struct weir_command_section sections[] = {
	{"DESCRIPTION",
	 "Limits of kinds of jobs that hold for all workers of a store in "
	 "PostgreSQL together, on whatever machines: how many run at once, and "
	 "how many begin in a time.  They are kept in the store; workers that "
	 "run heed them at once.  What waits for a limit stays available, and "
	 "in its place in the line.  In a file there are none: there each "
	 "worker has its own, `weir work --limit` and `--rate`."},
	{"WHAT COUNTS",
	 "A job begins, and counts as one that runs, when a worker takes it, "
	 "which has no more of them than it has places.  The jobs of River's "
	 "clients count as well, but those clients know nothing of limits and "
	 "take what they find.  A kind that had no limit pauses for a second "
	 "when it gets one, so that all have heard of it; what runs already "
	 "runs on."},
	{"RECORDS",
	 "With `--json`, `list` prints an object for each limit: `kind`, "
	 "`jobs` (null: any number), `rate` a second (null: any), `burst`, "
	 "`running` and `waiting`.  `set` prints what was set, `remove` `kind` "
	 "and `done`."},
	{0},
};

static const int exits[] = {
	WEIR_EXIT_OK,          WEIR_EXIT_FAILURE,       WEIR_EXIT_USAGE,
	WEIR_EXIT_SOME_FAILED, WEIR_EXIT_STDOUT_CLOSED, -1,
};

const struct weir_command weir__cmd_limits = {
	.name = "limits",
	.summary = "limit kinds of jobs, over all workers of a store",
	.group = "Durable jobs",
	.synopsis = synopsis,
	.examples = examples,
	.sections = sections,
	.exits = exits,
	.words = words,
	.options = table,
	.defaults = &defaults,
	.options_size = sizeof(defaults),
	.run = weir__limits_run,
};
