/*
 * docindex: find documents by what they say.
 *
 * The program itself, as src/cli's frame sees it: its name, and its commands.
 */
#include "options.h"

#include "cli/table.h"

const struct weir_command *const weir__commands[] = {
	&cmd_add,
	&cmd_search,
	&cmd_work,
	NULL,
};

const bool weir__commands_are_all = true;

static const char *const synopsis[] = {
	"COMMAND [OPTIONS] [ARGUMENTS]",
	"help [COMMAND]",
	NULL,
};

static const struct weir_command_example examples[] = {
	{"docindex add --db index.db ~/papers", "index all that is there"},
	{0},
};

static const struct weir_command_section sections[] = {
	{"DESCRIPTION",
	 "`docindex` finds documents by what they say: it extracts the text of "
	 "PDFs, text and Markdown, has an API make vectors of it, and keeps "
	 "them in one SQLite file.  It is an example of libweir's pipelines; "
	 "docs/pipelines.md takes it apart."},
	{0},
};

static const int exits[] = {
	WEIR_EXIT_OK,
	WEIR_EXIT_FAILURE,
	WEIR_EXIT_USAGE,
	WEIR_EXIT_SOME_FAILED,
	WEIR_EXIT_INTERRUPTED,
	WEIR_EXIT_TERMINATED,
	-1,
};

const struct weir_command weir__program = {
	.name = "docindex",
	.summary = "find documents by what they say",
	.synopsis = synopsis,
	.examples = examples,
	.sections = sections,
	.exits = exits,
	.manual = "docs/pipelines.md",
	.options = weir__main_options,
	.options_size = sizeof(struct weir_main_options),
	.stop_at_operand = true,
};
