/*
 * The documents below a folder, found one by one.
 *
 * A folder is read as it is walked through, and only the folders on the way
 * from the root to where we are stay open: memory does not grow with the
 * number of files, and a folder of a million costs no more than one of ten.
 * So names come in the order that the file system has them.
 *
 * What cannot be read is told and left out, and the rest goes on: one folder
 * without permission is no reason to index nothing.
 */
#ifndef WEIR_EXAMPLES_DOCINDEX_WALK_H
#define WEIR_EXAMPLES_DOCINDEX_WALK_H

#include <stdbool.h>

/* Folders below the root, one within the other. */
enum { WALK_DEPTH_MAX = 64 };

struct walk_options {
	/*
	 * Go through symbolic links that are met on the way.  A file that is
	 * reached on two ways is then given twice.  Without it links are left
	 * out, silently; the root itself may be one in either case.
	 */
	bool follow;
	/* Do not leave out names that begin with a dot. */
	bool hidden;
	/* Which files?  By name, before anything is asked about them; NULL:
	 * all.  user is the one of the hooks. */
	bool (*is_wanted)(const char *name, void *user);
};

struct walk_hooks {
	/*
	 * A regular file: path is the root, a slash and the way from there;
	 * name is its last part, to be opened in dir_fd.  All three are good
	 * until the hook returns.  False: find no more.
	 *
	 * It was a regular file when we looked.  Whoever opens it does so with
	 * O_NONBLOCK and asks again: it may have become a FIFO since.
	 */
	bool (*file)(const char *path, int dir_fd, const char *name,
		     void *user);
	/*
	 * "path: what: strerror(error_number)", the latter unless it is 0.
	 * One call for each thing that is left out.
	 */
	void (*trouble)(const char *path, const char *what, int error_number,
			void *user);
	void *user;
};

enum walk_status {
	WALK_DONE,    /* all there is was given or told */
	WALK_STOPPED, /* the hook said so */
};

/*
 * Find what is below the folder root.  Repeated slashes in root, and those at
 * its end, are left out of the paths.
 *
 * Trouble is: a folder that cannot be opened, or not be read to its end; more
 * than WALK_DEPTH_MAX folders deep; a path of PATH_MAX bytes or more; and with
 * follow a link that points nowhere, or to a folder that it is in.
 *
 * Waits:   for the file system, and for the hooks.
 * Threads: any number, each with a walk of its own; hooks are called on the
 *          caller's.  Up to WALK_DEPTH_MAX + 1 file descriptors are in use.
 * Owns:    nothing.
 * Returns: WALK_DONE, WALK_STOPPED.
 */
enum walk_status walk(const char *root, const struct walk_options *options,
		      const struct walk_hooks *hooks);

#endif
