/*
 * docindex search: its options and what is said of it.  What it does is in
 * search_run.c.
 */
#include "options.h"

static const struct search_cli_options defaults = {
	.api = API_DEFAULTS,
	.limit = 5,
};

#define AT(kind, field) WEIR_OPT_##kind##_AT(struct search_cli_options, field)

static const struct weir_option table[] = {
	WEIR_OPT_HEADING("The answer"),
	{AT(INT, limit), .letter = 'n', .name = "limit", .arg = "N",
	 .shown = "5", .min = 1, .max = INDEX_HITS_MAX,
	 .help = "so many chunks, the nearest first"},
	{AT(FLAG, json), .name = "json",
	 .help = "a JSON object for each, with all of its text"},

	API_INDEX_ROWS(struct search_cli_options),
	API_ROWS(struct search_cli_options),
	WEIR_OPT_END_ROW,
};

static const char *const synopsis[] = {
	"[OPTIONS] WORDS...",
	NULL,
};

static const struct weir_command_example examples[] = {
	{"docindex search --db index.db 'what survives a power loss?'",
	 "the five nearest passages"},
	{0},
};

static const struct weir_command_section sections[] = {
	{"DESCRIPTION",
	 "Has the API make a vector of WORDS, and prints the chunks whose "
	 "vectors are nearest to it, each with its score (the cosine of the "
	 "angle between the two, 1 at most), its document and its page.\n"
	 "\n"
	 "The exit status is 0 if there was something to print, and 123 if the "
	 "index is empty."},
	{0},
};

static const int exits[] = {
	WEIR_EXIT_OK,    WEIR_EXIT_FAILURE,       WEIR_EXIT_SOME_FAILED,
	WEIR_EXIT_USAGE, WEIR_EXIT_STDOUT_CLOSED, -1,
};

const struct weir_command cmd_search = {
	.name = "search",
	.summary = "the nearest passages to some words",
	.group = "Commands",
	.synopsis = synopsis,
	.examples = examples,
	.sections = sections,
	.exits = exits,
	.options = table,
	.defaults = &defaults,
	.options_size = sizeof(defaults),
	.run = search_run,
};
