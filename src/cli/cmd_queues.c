/*
 * weir queues: its options and what the manual says of it.
 *
 * What it does is in queues_run.c.
 */
#include "cli/cmd_queue.h"

static const struct queues_cli_options defaults = {
	.db = WEIR_QUEUE_DB_DEFAULT,
};

#define AT(kind, field) WEIR_OPT_##kind##_AT(struct queues_cli_options, field)

static const struct weir_option table[] = {
	WEIR_OPT_HEADING("Options"),
	{AT(FLAG, all), .name = "all", .only_flag = true,
	 .help = "pause or resume every queue"},
	{AT(CHOICE, finished), .name = "finished", .arg = "HOW",
	 .only_flag = true, .choices = "keep|archive|drop",
	 .help = "completed jobs: `keep`, `archive` or `drop` them",
	 .more = "`keep`: they can be looked at until they have been kept for "
		 "long enough.  `archive`: they are moved to a compact table "
		 "that grows.  `drop`: they are gone at once."},
	{WEIR_QUEUE_DB_ROW},
	{AT(FLAG, json), .name = "json",
	 .help = "print a JSON object for each queue"},
	WEIR_OPT_END_ROW,
};

static const struct weir_command_word words[] = {
	{.name = "list",
	 .help = "the queues, with the number of jobs in each state",
	 .options = "db json",
	 .operands_max = 0},
	{.name = "pause",
	 .operands = "NAME...",
	 .help = "begin no more jobs of these; what runs, runs on",
	 .options = "all db json",
	 .operands_max = SIZE_MAX},
	{.name = "resume",
	 .operands = "NAME...",
	 .help = "let them go on",
	 .options = "all db json",
	 .operands_max = SIZE_MAX},
	{.name = "set",
	 .operands = "NAME...",
	 .help = "say with --finished what becomes of completed jobs",
	 .options = "finished db json",
	 .operands_min = 1,
	 .operands_max = SIZE_MAX},
	{0},
};

static const char *const synopsis[] = {
	"[list] [--json]",
	"pause|resume NAME...|--all",
	"set NAME... --finished keep|archive|drop",
	NULL,
};

static const struct weir_command_example examples[] = {
	{"weir queues", "how many jobs are where"},
	{"weir queues pause mail", "hold the mail back"},
	{"weir queues set metrics --finished drop",
	 "keep nothing of what went well"},
	{0},
};

static const struct weir_command_section sections[] = {
	{"DESCRIPTION",
	 "Looks at the queues of a store and sets what holds for all jobs of "
	 "one.  Counting takes time in proportion to the jobs.  A paused queue "
	 "takes jobs and gives none, in every worker, until it is resumed."},
	{"RECORDS",
	 "With `--json`, `list` prints an object for each queue: `name`, "
	 "`created_at`, `paused_at` (null: it is not), `finished` and `jobs`, "
	 "an object with the number in each state.  The others print `name` "
	 "and what was set."},
	{0},
};

static const int exits[] = {
	WEIR_EXIT_OK,          WEIR_EXIT_FAILURE,       WEIR_EXIT_USAGE,
	WEIR_EXIT_SOME_FAILED, WEIR_EXIT_STDOUT_CLOSED, -1,
};

const struct weir_command weir__cmd_queues = {
	.name = "queues",
	.summary = "look at the queues of a store; pause and resume them",
	.group = "Durable jobs",
	.synopsis = synopsis,
	.examples = examples,
	.sections = sections,
	.exits = exits,
	.words = words,
	.options = table,
	.defaults = &defaults,
	.options_size = sizeof(defaults),
	.run = weir__queues_run,
};
