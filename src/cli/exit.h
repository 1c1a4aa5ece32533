/*
 * The exit statuses of every command, in one table: the enum and the EXIT
 * STATUS section of each man page are made from it.
 *
 * X(NAME, value, "what it means")
 */
#ifndef WEIR_SRC_CLI_EXIT_H
#define WEIR_SRC_CLI_EXIT_H

#define WEIR_EXIT_TABLE(X)                                                    \
	X(OK, 0, "Every job was ok.")                                         \
	X(FAILURE, 1,                                                         \
	  "A failure of weir's own: reading or writing, the network's "       \
	  "set-up, "                                                          \
	  "the store.")                                                       \
	X(USAGE, 2,                                                           \
	  "The command line, the environment or weir.conf is wrong; nothing " \
	  "was run.")                                                         \
	X(HANDED_BACK, 75,                                                    \
	  "The grace period was over, and jobs were handed back.")            \
	X(SOME_FAILED, 123, "All jobs ran, and some failed.")                 \
	X(HALTED, 124, "Stopped early, by a limit that was asked for.")       \
	X(CANNOT_RUN, 126, "The program cannot be run.")                      \
	X(NOT_FOUND, 127, "The program was not found.")                       \
	X(HANGUP, 129, "Stopped by SIGHUP with work left.")                   \
	X(INTERRUPTED, 130, "Stopped by SIGINT with work left.")              \
	X(QUIT, 131, "Ended at once by SIGQUIT.")                             \
	X(STDOUT_CLOSED, 141, "Nobody reads standard output any more.")       \
	X(TERMINATED, 143, "Stopped by SIGTERM with work left.")

enum weir_exit {
#define WEIR_EXIT_ENUM(name, value, text) WEIR_EXIT_##name = value,
	WEIR_EXIT_TABLE(WEIR_EXIT_ENUM)
#undef WEIR_EXIT_ENUM
};

/* The status of a command that a signal stopped with work left, as in sh. */
static inline int
weir__exit_of_signal(int signal_number)
{
	return 128 + signal_number;
}

#endif
