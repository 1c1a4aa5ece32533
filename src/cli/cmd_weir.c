/*
 * `weir` itself, which is a command as far as options, help and the man page
 * go.
 */
#include "cli/table.h"

static const char *const main_synopsis[] = {
	"COMMAND [OPTIONS] [ARGUMENTS]",
	"help [COMMAND]",
	NULL,
};

static const struct weir_command_example main_examples[] = {
	{"weir fetch urls.txt", "fetch each URL of a file, 16 at once"},
	{"weir help fetch", "all about one command"},
	{0},
};

static const struct weir_command_section main_sections[] = {
	{"DESCRIPTION",
	 "`weir` runs a lot of work through a few workers, and loses none of "
	 "it: a bounded channel of jobs, a fixed number of workers, a bounded "
	 "channel of results, and a shutdown in which every job that was "
	 "accepted gets exactly one result.\n"
	 "\n"
	 "Results go to standard output and everything else to standard "
	 "error.  Input is read as it is needed, and memory does not grow "
	 "with it."},
	{"NUMBERS", "durations\t`250ms`, `30s`, `1.5m`, `2h`, `1d`\n"
		    "sizes\t`4096`, `64K`, `10M`, `1G`: powers of 1024\n"
		    "rates\t`20/s`, `600/m`, `0.5/h`\n"
		    "\n"
		    "A bare number is refused where its unit is not plain."},
	{"SIGNALS",
	 "INT, TERM or HUP\tNo more input is read, sleeps before another try "
	 "end, what runs may finish.\n"
	 "again, or `--grace` over\tWhat runs is cancelled.\n"
	 "a third time, or QUIT\t`weir` ends at once.\n"
	 "USR1\tA line with the state of things."},
	{0},
};

static const int main_exits[] = {
	WEIR_EXIT_OK,
	WEIR_EXIT_FAILURE,
	WEIR_EXIT_USAGE,
	WEIR_EXIT_SOME_FAILED,
	WEIR_EXIT_HALTED,
	WEIR_EXIT_HANGUP,
	WEIR_EXIT_INTERRUPTED,
	WEIR_EXIT_QUIT,
	WEIR_EXIT_STDOUT_CLOSED,
	WEIR_EXIT_TERMINATED,
	-1,
};

const struct weir_command weir__program = {
	.name = "weir",
	.summary = "a lot of work through a few workers, and none of it lost",
	.synopsis = main_synopsis,
	.examples = main_examples,
	.sections = main_sections,
	.exits = main_exits,
	.options = weir__main_options,
	.options_size = sizeof(struct weir_main_options),
	.stop_at_operand = true,
};
