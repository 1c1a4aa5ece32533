/*
 * What stands before a command's name is the same for every program that is
 * made with this frame: its options, and the search for its commands.
 */
#include "cli/table.h"

#include <string.h>

const struct weir_command *
weir__command_find(const char *name)
{
	for (size_t i = 0; weir__commands[i]; i++)
		if (strcmp(weir__commands[i]->name, name) == 0)
			return weir__commands[i];
	return NULL;
}

const struct weir_option weir__main_options[] = {
	WEIR_OPT_HEADING("Options"),
	{WEIR_OPT_FLAG_AT(struct weir_main_options, help), .letter = 'h',
	 .name = "help", .only_flag = true, .help = "show this, and end"},
	{WEIR_OPT_FLAG_AT(struct weir_main_options, version), .letter = 'V',
	 .name = "version", .only_flag = true,
	 .help = "show the version, and end"},
	{WEIR_OPT_FLAG_AT(struct weir_main_options, generate),
	 .name = "generate", .only_flag = true, .hidden = true,
	 .help = "print a man page or completions, for the build"},
	WEIR_OPT_END_ROW,
};
