/*
 * The commands there are, in the order of `weir --help`.  A file of its own,
 * so that a test can have a list of its own.
 */
#include "cli/command.h"

const struct weir_command *const weir__commands[] = {
	&weir__cmd_fetch,   &weir__cmd_run,
	&weir__cmd_enqueue, &weir__cmd_work,
	&weir__cmd_jobs,    &weir__cmd_queues,
	&weir__cmd_limits,  &weir__cmd_schedule,
	&weir__cmd_db,      NULL,
};

const bool weir__commands_are_all = true;
