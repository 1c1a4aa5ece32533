/*
 * weir jobs: its options and what the manual says of it.
 *
 * What it does is in jobs_run.c.
 */
#include "cli/cmd_queue.h"

#include "weir/base.h"

static const struct jobs_cli_options defaults = {
	.db = WEIR_QUEUE_DB_DEFAULT,
	.limit = 50,
};

#define AT(kind, field) WEIR_OPT_##kind##_AT(struct jobs_cli_options, field)

static const struct weir_option table[] = {
	WEIR_OPT_HEADING("Which jobs"),
	{AT(STRING, queue), .name = "queue", .arg = "NAME", .only_flag = true,
	 .help = "of this queue"},
	{AT(STRING, kind), .name = "kind", .arg = "KIND", .only_flag = true,
	 .help = "of this kind"},
	{AT(STRING, state), .name = "state", .arg = "LIST", .only_flag = true,
	 .example = "retryable,discarded",
	 .help = "in one of these states, such as retryable,discarded",
	 .more = "The states are available, cancelled, completed, discarded, "
		 "pending, retryable, running and scheduled."},
	{AT(STRING, since), .name = "since", .arg = "WHEN", .only_flag = true,
	 .example = "1h",
	 .help = "enqueued in the last 1h, or since an RFC 3339 time"},
	{AT(STRING, tag), .name = "tag", .arg = "TAG", .only_flag = true,
	 .help = "with this tag"},
	{AT(INT, limit), .name = "limit", .arg = "N", .shown = "50", .min = 0,
	 .help = "at most so many; 0: all"},
	{AT(INT, before), .name = "before", .arg = "ID", .min = 0,
	 .only_flag = true,
	 .help = "only smaller ids: the last of a page gives the next"},
	{AT(FLAG, oldest), .name = "oldest", .only_flag = true,
	 .help = "the oldest first, not the newest"},
	{AT(FLAG, all_matching), .name = "all-matching", .only_flag = true,
	 .help = "change all jobs that the filters above let through"},

	WEIR_OPT_HEADING("The store, and what is printed"),
	{WEIR_QUEUE_DB_ROW},
	{AT(FLAG, json), .name = "json",
	 .help = "print a JSON object for each job"},
	WEIR_OPT_END_ROW,
};

#define FILTERS "queue kind state since tag"

static const struct weir_command_word words[] = {
	{.name = "list",
	 .help = "a line for each job, the newest first",
	 .options = FILTERS " limit before oldest db json",
	 .operands_max = 0},
	{.name = "show",
	 .operands = "ID...",
	 .help = "all about these jobs",
	 .options = "db json",
	 .operands_min = 1,
	 .operands_max = SIZE_MAX},
	{.name = "retry",
	 .operands = "ID...",
	 .help = "make them available now, also when they were over",
	 .options = FILTERS " all-matching db json",
	 .operands_max = SIZE_MAX},
	{.name = "cancel",
	 .operands = "ID...",
	 .help = "end them, also while they run",
	 .options = FILTERS " all-matching db json",
	 .operands_max = SIZE_MAX},
	{.name = "delete",
	 .operands = "ID...",
	 .help = "take them out of the store; not while they run",
	 .options = FILTERS " all-matching db json",
	 .operands_max = SIZE_MAX},
	{0},
};

static const char *const synopsis[] = {
	"[list] [FILTERS] [--limit N] [--json]",
	"show ID... [--json]",
	"retry|cancel|delete ID...",
	"retry|cancel|delete --all-matching FILTERS",
	NULL,
};

static const struct weir_command_example examples[] = {
	{"weir jobs list --state retryable,discarded", "what has failed"},
	{"weir jobs show 4711", "all about one job, with its errors"},
	{"weir jobs retry --all-matching --kind email --state discarded",
	 "once more, with as many as that is"},
	{"weir jobs list --limit 0 --json | jq -r .args.to",
	 "every job, for a program"},
	{0},
};

static const struct weir_command_section sections[] = {
	{"DESCRIPTION",
	 "Looks at the jobs of a store, and changes what is to become of "
	 "them.  Jobs are printed as they are read, so memory does not grow "
	 "with their number.  `retry`, `cancel` and `delete` ask nothing; "
	 "with `--all-matching` they want at least one filter, and all that "
	 "match are changed, a thousand at a time."},
	{"RECORDS",
	 "With `--json`, `list` and `show` print an object for each job, its "
	 "times in RFC 3339 and null where there is nothing to tell:\n"
	 "\n"
	 "id\tthe same for all its attempts\n"
	 "queue, kind, state, priority\twhat it is, and where it stands\n"
	 "attempt, max_attempts\tof how many\n"
	 "args, metadata, output\tas they were given, byte for byte\n"
	 "tags\tan array of texts\n"
	 "created_at, scheduled_at, attempted_at, finalized_at\twhen it "
	 "came, is or was due, last began, was over\n"
	 "cancel_at\twhen somebody wanted it cancelled\n"
	 "attempted_by\tthe worker, as host:pid\n"
	 "crashes\tworkers that have died with it\n"
	 "timeout\tof an attempt\n"
	 "errors\tan array of `at`, `attempt`, `error`, `trace`\n"
	 "unique_key, unique_states\twhat it is like another by\n"
	 "\n"
	 "`retry`, `cancel` and `delete` print `id`, `ok`, `state`, and, when "
	 "it could not be done, `error`."},
	{0},
};

static const int exits[] = {
	WEIR_EXIT_OK,          WEIR_EXIT_FAILURE,       WEIR_EXIT_USAGE,
	WEIR_EXIT_SOME_FAILED, WEIR_EXIT_STDOUT_CLOSED, -1,
};

const struct weir_command weir__cmd_jobs = {
	.name = "jobs",
	.summary = "look at the jobs of a store; retry, cancel, delete them",
	.group = "Durable jobs",
	.synopsis = synopsis,
	.examples = examples,
	.sections = sections,
	.exits = exits,
	.words = words,
	.options = table,
	.defaults = &defaults,
	.options_size = sizeof(defaults),
	.run = weir__jobs_run,
};
