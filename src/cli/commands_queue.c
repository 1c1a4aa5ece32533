/*
 * The commands that weir-queue has; see elsewhere.h.
 */
#include "cli/command.h"

const struct weir_command *const weir__commands[] = {
	&weir__cmd_enqueue, &weir__cmd_work,   &weir__cmd_jobs,
	&weir__cmd_queues,  &weir__cmd_limits, &weir__cmd_schedule,
	&weir__cmd_db,      &weir__cmd_run,    NULL,
};

const bool weir__commands_are_all = false;
