/*
 * What the commands of weir-queue do, which is not there yet.
 */
#include "cli/cmd_queue.h"

static int
not_yet(struct weir_cli *cli)
{
	if (cli->command->words && !weir__cli_take_word(cli))
		return WEIR_EXIT_USAGE;
	weir__cli_error(cli, NULL, "there is no store yet");
	return WEIR_EXIT_FAILURE;
}

int
weir__enqueue_run(struct weir_cli *cli)
{
	return not_yet(cli);
}

int
weir__jobs_run(struct weir_cli *cli)
{
	return not_yet(cli);
}

int
weir__queues_run(struct weir_cli *cli)
{
	return not_yet(cli);
}

int
weir__schedule_run(struct weir_cli *cli)
{
	return not_yet(cli);
}

int
weir__db_run(struct weir_cli *cli)
{
	return not_yet(cli);
}
