/*
 * Options of weir run and weir fetch that mean nothing with --queue.
 */
#ifndef WEIR_SRC_CLI_QUEUE_REFUSE_H
#define WEIR_SRC_CLI_QUEUE_REFUSE_H

#include "cli/command.h"

/* Option names, with blanks between them, and why they are refused. */
struct queue_refusal {
	const char *names, *why;
};

/*
 * Refuse the first of these options that was given as a flag: whoever gives it
 * believes that it does something.  weir.conf and the environment speak of
 * other runs as well, and are not refused.
 *
 * Waits:   for stderr to take it.
 * Threads: the main thread.
 * Owns:    nothing.
 * Returns: -1, or WEIR_EXIT_USAGE after an error, which has been printed.
 */
int weir__queue_refuse(struct weir_cli *cli,
		       const struct queue_refusal *refusals, size_t count);

#endif
