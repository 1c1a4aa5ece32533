/*
 * Opening the store that a command was given, and what is said of one that
 * cannot be used: the same words and the same next step, whatever the command.
 */
#ifndef WEIR_SRC_CLI_QUEUE_OPEN_H
#define WEIR_SRC_CLI_QUEUE_OPEN_H

#include "base/buf.h"
#include "cli/command.h"

#include <weir/queue.h>

enum queue_open_how {
	QUEUE_OPEN_LOOK,   /* nothing will be written */
	QUEUE_OPEN_CHANGE, /* it must be there */
	QUEUE_OPEN_MAKE,   /* it is made if it is not there, which is said */
};

/*
 * Open the store of --db.
 *
 * Waits:   for the disk, and for other programs that hold the store.
 * Threads: the main thread.
 * Owns:    *ret is the caller's to close.
 * Returns: -1, or the exit status after an error, which has been printed.
 */
int weir__queue_open(struct weir_cli *cli, const char *db,
		     enum queue_open_how how, weir_durability durability,
		     weir_store **ret);

/*
 * Say why the store cannot be used, and what to do: what is "cannot open the
 * store", "cannot enqueue".
 *
 * Waits:   for stderr to take it.
 * Threads: the main thread.
 * Owns:    nothing.
 * Returns: the exit status.
 */
int weir__queue_failed(struct weir_cli *cli, const char *db, const char *what,
		       const weir_error *error);

/* Say "out of memory".  The exit status. */
int weir__queue_no_memory(struct weir_cli *cli);

/*
 * Append " --db URL", as a shell reads it, if that has to be given again.
 *
 * Waits:   never.
 * Threads: any.
 * Owns:    appends to buf.
 * Returns: nothing; out of memory is buf's `failed`.
 */
void weir__queue_put_db(struct weir_cli *cli, struct weir_buf *buf,
			const char *db);

/* The file that a URL names, if it is that of a file. */
const char *weir__queue_path(const char *db);

/*
 * What may be shown of a URL: all but passwords.  A file's is shown as it is;
 * of others, what does not fit is left out.
 *
 * Waits:   never.
 * Threads: any.
 * Owns:    the text is db's or shown's.
 * Returns: the text.
 */
struct queue_shown {
	char text[512];
};
const char *weir__queue_shown(struct queue_shown *shown, const char *db);

#endif
