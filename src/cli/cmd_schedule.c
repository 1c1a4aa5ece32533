/*
 * weir schedule: its options and what the manual says of it.
 *
 * What it does is in schedule_run.c.
 */
#include "cli/cmd_queue.h"

#include "weir/base.h"

#define DAY_NS (INT64_C(86400) * WEIR_S)

static const struct schedule_cli_options defaults = {
	.db = WEIR_QUEUE_DB_DEFAULT,
};

#define AT(kind, field) WEIR_OPT_##kind##_AT(struct schedule_cli_options, field)

static const struct weir_option table[] = {
	WEIR_OPT_HEADING("The job that is added"),
	{AT(STRING, job.kind), .name = "kind", .arg = "KIND", .only_flag = true,
	 .help = "what kind of work it is, such as email"},
	{AT(STRING, job.args), .name = "args", .arg = "JSON", .only_flag = true,
	 .shown = "{}", .example = "'{\"n\":1}'",
	 .help = "its arguments, a JSON object"},
	{AT(INT, job.priority), .name = "priority", .arg = "N", .shown = "1",
	 .only_flag = true, .min = 1, .max = 4, .help = "1 (first) to 4"},
	{AT(INT, job.max_attempts), .name = "max-attempts", .arg = "N",
	 .shown = "25", .only_flag = true, .min = 1, .max = 32767,
	 .help = "tries, before it is given up"},
	{AT(DURATION, job.timeout_ns), .name = "timeout", .arg = "TIME",
	 .shown = "as the worker says", .only_flag = true, .min = WEIR_MS,
	 .max = 365 * DAY_NS, .help = "time for one try"},
	{AT(STRING, job.unique), .name = "unique", .arg = "LIST",
	 .only_flag = true, .example = "args",
	 .help = "not if there is one like it; as in weir enqueue",
	 .more = "One that is completed counts, too, until it is cleaned away "
		 "after 24 hours.  To fire again as soon as the last one is "
		 "over, name the states in which it is not: `state=` with "
		 "available, pending, running, scheduled and retryable."},
	{AT(LIST, job.tags), .name = "tag", .arg = "TAG", .only_flag = true,
	 .help = "a word to find it by; again for more"},
	{AT(STRING, job.metadata), .name = "metadata", .arg = "JSON",
	 .only_flag = true, .example = "'{\"by\":\"cron\"}'",
	 .help = "a JSON object for whoever looks at it"},
	{AT(FLAG, paused), .name = "paused", .only_flag = true,
	 .help = "add it, but do not let it fire yet"},

	WEIR_OPT_HEADING("The store, and what is printed"),
	{WEIR_QUEUE_DB_ROW},
	{AT(FLAG, json), .name = "json",
	 .help = "print a JSON object for each schedule"},
	WEIR_OPT_END_ROW,
};

static const struct weir_command_word words[] = {
	{.name = "list",
	 .help = "the schedules, and when they fire next",
	 .options = "db json",
	 .operands_max = 0},
	{.name = "add",
	 .operands = "NAME SPEC QUEUE",
	 .help = "add one, or replace the one of that name",
	 .options = "kind args priority max-attempts timeout unique tag "
		    "metadata paused db json",
	 .operands_min = 3,
	 .operands_max = 3},
	{.name = "remove",
	 .operands = "NAME...",
	 .help = "take them out; jobs that they have enqueued stay",
	 .options = "db json",
	 .operands_min = 1,
	 .operands_max = SIZE_MAX},
	{.name = "pause",
	 .operands = "NAME...",
	 .help = "let them fire no more for now",
	 .options = "db json",
	 .operands_min = 1,
	 .operands_max = SIZE_MAX},
	{.name = "resume",
	 .operands = "NAME...",
	 .help = "let them fire again",
	 .options = "db json",
	 .operands_min = 1,
	 .operands_max = SIZE_MAX},
	{0},
};

static const char *const synopsis[] = {
	"[list] [--json]",
	"add NAME SPEC QUEUE --kind KIND [OPTIONS]",
	"remove|pause|resume NAME...",
	NULL,
};

static const struct weir_command_example examples[] = {
	{"weir schedule add ping '@every 90s' net --kind ping", "an interval"},
	{"weir schedule add digest '0 7 * * 1-5' mail --kind digest",
	 "at seven on working days, UTC"},
	{"weir schedule", "which there are"},
	{0},
};

static const struct weir_command_section sections[] = {
	{"DESCRIPTION",
	 "Jobs that are enqueued again and again.  Schedules are kept in the "
	 "store; whichever worker sees that one is due enqueues its job, and "
	 "no other does.  Of ticks that were missed while no worker was "
	 "there, only the latest counts."},
	{"SPEC",
	 "Five fields as in a crontab, in UTC; or a name; or an interval.\n"
	 "\n"
	 "  minute hour day-of-month month day-of-week\n"
	 "\n"
	 "`*`, `1,15`, `9-17`, `*/5`, `mon-fri`\twhat a field may be\n"
	 "`@hourly`, `@daily`, `@weekly`, `@monthly`, `@yearly`\tat the "
	 "beginning of each\n"
	 "`@every 90s`\tat the multiples of that time since 1970"},
	{"RECORDS",
	 "With `--json`, `list` and `add` print an object for each schedule: "
	 "`name`, `spec`, `paused`, `next_at` (`add`: an array of the next "
	 "three), `last_at` and `job`, with the members that a line of "
	 "`weir enqueue --whole` has.  The others print `name` and what was "
	 "done."},
	{0},
};

static const int exits[] = {
	WEIR_EXIT_OK,          WEIR_EXIT_FAILURE,       WEIR_EXIT_USAGE,
	WEIR_EXIT_SOME_FAILED, WEIR_EXIT_STDOUT_CLOSED, -1,
};

const struct weir_command weir__cmd_schedule = {
	.name = "schedule",
	.summary = "enqueue jobs again and again, by cron lines or intervals",
	.group = "Durable jobs",
	.synopsis = synopsis,
	.examples = examples,
	.sections = sections,
	.exits = exits,
	.words = words,
	.options = table,
	.defaults = &defaults,
	.options_size = sizeof(defaults),
	.run = weir__schedule_run,
};
