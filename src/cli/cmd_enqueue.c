/*
 * weir enqueue: its options and what the manual says of it.
 *
 * What it does is in enqueue_run.c.
 */
#include "cli/cmd_queue.h"

#include "weir/base.h"

#define DAY_NS (INT64_C(86400) * WEIR_S)

static const struct enqueue_cli_options defaults = {
	.db = WEIR_QUEUE_DB_DEFAULT,
};

#define AT(kind, field) WEIR_OPT_##kind##_AT(struct enqueue_cli_options, field)

static const struct weir_option table[] = {
	WEIR_OPT_HEADING("The jobs"),
	{AT(STRING, job.kind), .name = "kind", .arg = "KIND", .only_flag = true,
	 .help = "what kind of work it is, such as email"},
	{AT(STRING, job.args), .name = "args", .arg = "JSON", .only_flag = true,
	 .example = "'{\"n\":1}'",
	 .help = "its arguments, a JSON object; no lines are read",
	 .more = "They are kept byte for byte.  At most 1 MiB, and 64 levels "
		 "deep."},
	{AT(LIST, files), .letter = 'a', .name = "arg-file", .arg = "FILE",
	 .only_flag = true,
	 .help = "read lines from FILE instead of standard input"},
	{AT(FLAG, whole), .name = "whole", .only_flag = true,
	 .help = "each line is a whole job, not just its arguments",
	 .more = "See LINES below."},
	{AT(FLAG, pending), .name = "pending", .only_flag = true,
	 .help = "they wait until `weir jobs retry` lets them go"},

	WEIR_OPT_HEADING("When, and how often"),
	{AT(DURATION, delay_ns), .name = "delay", .arg = "TIME",
	 .only_flag = true, .min = 0, .max = 36500 * DAY_NS,
	 .help = "run them so much later"},
	{AT(STRING, at), .name = "at", .arg = "TIME", .only_flag = true,
	 .example = "2027-01-31T09:00:00Z",
	 .help = "run them at this time: RFC 3339, or HH:MM",
	 .more = "`09:30` is the next time that the local clock shows it."},
	{AT(INT, job.priority), .name = "priority", .arg = "N", .shown = "1",
	 .only_flag = true, .min = 1, .max = 4, .help = "1 (first) to 4"},
	{AT(INT, job.max_attempts), .name = "max-attempts", .arg = "N",
	 .shown = "25", .only_flag = true, .min = 1, .max = 32767,
	 .help = "tries, before it is given up"},
	{AT(DURATION, job.timeout_ns), .name = "timeout", .arg = "TIME",
	 .shown = "as the worker says", .only_flag = true, .min = WEIR_MS,
	 .max = 365 * DAY_NS, .help = "time for one try"},

	WEIR_OPT_HEADING("What is known of them"),
	{AT(STRING, job.unique), .name = "unique", .arg = "LIST",
	 .only_flag = true, .example = "args,period=1h",
	 .help = "not if there is one like it: args,queue,period=1h",
	 .more = "What makes a job like another, as words with commas between "
		 "them.  Its id is then printed in place of a new one.\n"
		 "\n"
		 "args\tthe same arguments\n"
		 "args=NAME\tonly this member of them; may come again\n"
		 "queue\tthe same queue\n"
		 "period=TIME\twithin the same period, such as `1h`\n"
		 "kind\tthe same kind, which the others imply\n"
		 "any-kind\twhatever the kind\n"
		 "state=NAME\tonly if that one is in this state; may come "
		 "again, and available, pending, running and scheduled must "
		 "be among them"},
	{AT(LIST, job.tags), .name = "tag", .arg = "TAG", .only_flag = true,
	 .help = "a word to find it by; again for more"},
	{AT(STRING, job.metadata), .name = "metadata", .arg = "JSON",
	 .only_flag = true, .example = "'{\"by\":\"cron\"}'",
	 .help = "a JSON object for whoever looks at it"},

	WEIR_OPT_HEADING("The store, and what is printed"),
	{WEIR_QUEUE_DB_ROW},
	{AT(CHOICE, durability), .name = "durability", .arg = "HOW",
	 .shown = "power", .choices = "power|process",
	 .help = "what an enqueued job survives: `power`, `process`",
	 .more = "`power`: the loss of power too, as every commit is flushed "
		 "to the disk.  `process`: the death of processes, but not "
		 "that of the machine."},
	{AT(FLAG, json), .name = "json",
	 .help = "print a JSON object for each job, not its id"},
	WEIR_OPT_END_ROW,
};

static const char *const synopsis[] = {
	"QUEUE --kind KIND --args JSON [OPTIONS]",
	"QUEUE --kind KIND [OPTIONS] <LINES",
	"[QUEUE] --whole [OPTIONS] <LINES",
	NULL,
};

static const struct weir_command_example examples[] = {
	{"weir enqueue mail --kind email --args '{\"to\":\"a@b\"}'", "one"},
	{"weir enqueue mail --kind email <args.jsonl", "one for each line"},
	{"weir enqueue mail --kind digest --at 07:00 --unique period=1d",
	 "tomorrow morning, and only once"},
	{"weir jobs list --json --state discarded --limit 0 | weir enqueue "
	 "--whole",
	 "once more what was given up, as new jobs"},
	{0},
};

static const struct weir_command_section sections[] = {
	{"DESCRIPTION",
	 "Puts jobs into a store, where they stay until they are done, "
	 "whatever dies in between.  What has been printed is durable.  "
	 "`weir work` runs them, in this or any other process on this "
	 "machine."},
	{"LINES",
	 "A line is a JSON object, the arguments of one job; blank lines are "
	 "left out.  Up to 1000 jobs are put into the store together, and "
	 "fewer when no more lines are there just now, so memory does not "
	 "grow and nobody waits for company.  A line that cannot be used is "
	 "told of with its number, the others go on, and the exit status is "
	 "123.\n"
	 "\n"
	 "With `--whole` a line is a whole job.  What it does not say is as "
	 "the options and QUEUE do:\n"
	 "\n"
	 "  {\"kind\": \"email\", \"queue\": \"mail\", \"args\": {\"n\": 1}, "
	 "\"delay\": \"5m\"}\n"
	 "\n"
	 "kind, queue\ttexts\n"
	 "args, metadata\tobjects, kept byte for byte\n"
	 "priority, max_attempts\tnumbers\n"
	 "delay, timeout\ttexts such as `\"5m\"`\n"
	 "scheduled_at\tan RFC 3339 time\n"
	 "tags\tan array of texts\n"
	 "pending\t`true` or `false`\n"
	 "unique\ta text as for `--unique`\n"
	 "\n"
	 "The other members that `weir jobs --json` prints, such as `id` and "
	 "`state`, are passed over; unknown ones are refused."},
	{"RECORDS",
	 "With `--json`, an object for each job:\n"
	 "\n"
	 "id\tof the job, or of the one that it is like\n"
	 "kind, queue\tof the job\n"
	 "state\t`available`, `scheduled`, `pending`, or that of the other\n"
	 "duplicate\twhether there was one like it\n"
	 "line\tits line in the input, when there is one"},
	{"SIGNALS", "INT, TERM, HUP\tReads no more, says how many jobs are in "
		    "the store, and ends."},
	{0},
};

static const int exits[] = {
	WEIR_EXIT_OK,         WEIR_EXIT_FAILURE,
	WEIR_EXIT_USAGE,      WEIR_EXIT_SOME_FAILED,
	WEIR_EXIT_HANGUP,     WEIR_EXIT_INTERRUPTED,
	WEIR_EXIT_QUIT,       WEIR_EXIT_STDOUT_CLOSED,
	WEIR_EXIT_TERMINATED, -1,
};

const struct weir_command weir__cmd_enqueue = {
	.name = "enqueue",
	.summary = "put jobs into a store, to be worked later",
	.group = "Durable jobs",
	.synopsis = synopsis,
	.examples = examples,
	.sections = sections,
	.exits = exits,
	.options = table,
	.defaults = &defaults,
	.options_size = sizeof(defaults),
	.run = weir__enqueue_run,
};
