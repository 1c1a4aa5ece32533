/*
 * The commands that weir-fetch has: what it is not asked for it need not have.
 */
#include "cli/command.h"

const struct weir_command *const weir__commands[] = {
	&weir__cmd_fetch,
	&weir__cmd_work,
	NULL,
};

const bool weir__commands_are_all = false;
