/*
 * The third stage: into the index.
 *
 * There is one writer.  Documents that are ready at the same time go into one
 * transaction, so that a slow disk makes the batches larger and not the
 * indexing slower.
 */
#ifndef WEIR_EXAMPLES_DOCINDEX_STORE_H
#define WEIR_EXAMPLES_DOCINDEX_STORE_H

#include "index.h"

#include <weir/weir.h>

/*
 * index     the writer's own connection; nobody else uses it meanwhile.
 * model     that the vectors are of.
 * batch     documents in one transaction, at most.
 * queue     documents that may wait.
 * delay_ns  so long does a transaction take at least; for measurements.
 * hopeless  called when nothing more can be written: the disk is full, the
 *           database is damaged.  On the stage's thread; may be NULL.
 * user      its argument.
 */
struct store_options {
	struct index *index;
	const char *model;
	uint32_t batch, queue;
	int64_t delay_ns;
	void (*hopeless)(const char *why, const char *advice, void *user);
	void *user;
};

/*
 * Make *ret the stage.  Its items are `struct doc *`, before and behind it.
 *
 * Waits:   never.
 * Threads: any.
 * Owns:    options are lent, and must outlive the pipeline.
 * Returns: nothing.
 */
void store_stage(weir_stage *ret, const struct store_options *options);

#endif
