/*
 * The source of the pipeline: which documents there are, and which of them the
 * index does not know as they are now.
 */
#ifndef WEIR_EXAMPLES_DOCINDEX_INTAKE_H
#define WEIR_EXAMPLES_DOCINDEX_INTAKE_H

#include "doc.h"
#include "index.h"

/*
 * found      a document that is new or has changed, which is the hook's from
 *            now on.  It may wait: that is how backpressure reaches the intake.
 *            False: find no more.
 * unchanged  one that is in the index as it is.
 * stopping   asked between files and between pieces of them: true ends it.
 * failed     one that cannot be read, or a folder; reason and why as for
 *            doc_fail().
 */
struct intake_hooks {
	bool (*found)(struct doc *doc, void *user);
	void (*unchanged)(const char *path, void *user);
	bool (*stopping)(void *user);
	void (*failed)(const char *path, const char *reason, const char *why,
		       void *user);
	void *user;
};

/*
 * index   a connection that can write, used by nobody else meanwhile.
 * follow  symbolic links on the way are followed.
 * hidden  names with a leading dot are not left out.
 */
struct intake {
	struct index *index;
	bool follow, hidden;
	struct intake_hooks hooks;
	weir_error error; /* the index could not be used: it is over */
	bool stopped;     /* found() or stopping() has said so */
};

/*
 * Go through a folder, or one file.  path is absolute, without links in it.
 *
 * Waits:   for the disk, and for found().
 * Threads: one at a time.
 * Owns:    nothing.
 * Returns: whether to go on; if not, in->error or in->stopped says why.
 */
bool intake_add(struct intake *in, const char *path);

/*
 * One document, which dir_fd has by that name.  known tells what the index has
 * of it.
 *
 * Waits:   for the disk.
 * Threads: one at a time.
 * Owns:    the document is the caller's; NULL: it cannot be read, and failed()
 *          was told, or in->error is set.
 * Returns: the document, open and with its hash.
 */
struct doc *intake_open(struct intake *in, const char *path, int dir_fd,
			const char *name, enum index_known *ret_known);

/*
 * After all of it: forget what is in the index at and below these paths, was
 * there when the index was opened, and is not in the file system any more.  A
 * document that is there, and was not found because of its name or of how it is
 * reached, stays.  A path that is not there, and of which there was nothing in
 * the index, is told to failed().
 *
 * Waits:   for the disk.
 * Threads: one at a time.
 * Owns:    nothing.
 * Returns: as index_forget_unseen(); then in->error is set.
 */
weir_status intake_forget(struct intake *in, char *const *paths, size_t count,
			  uint64_t *ret_count);

#endif
