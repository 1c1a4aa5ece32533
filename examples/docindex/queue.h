/*
 * With --queue each document is a job that survives: it is in a store, until
 * its document is in the index or cannot be indexed, whatever dies meanwhile.
 */
#ifndef WEIR_EXAMPLES_DOCINDEX_QUEUE_H
#define WEIR_EXAMPLES_DOCINDEX_QUEUE_H

#include "run.h"

/* What the jobs are, for whoever enqueues them: weir enqueue docindex ... */
#define QUEUE_NAME "docindex"
#define QUEUE_KIND "docindex.add"

/*
 * Enqueue what is found below the roots, and work until nothing is left.
 *
 * Waits:   as it says.
 * Threads: the main thread.
 * Owns:    nothing.
 * Returns: the exit status.
 */
int queue_add(struct run *run, struct intake *intake, char *const *roots,
	      size_t root_count);

#endif
