/*
 * The three stages as one pipeline:
 *
 *      submit -> [ extract ] -> [ embed ] -> [ store ] -> done
 *                 cores          16           1 writer
 *
 * Documents go in at one end and come out at the other, each exactly once,
 * whatever became of it.
 */
#ifndef WEIR_EXAMPLES_DOCINDEX_INDEXER_H
#define WEIR_EXAMPLES_DOCINDEX_INDEXER_H

#include "doc.h"
#include "embed.h"
#include "extract.h"
#include "store.h"

struct indexer;

#define INDEXER_STAGES 3

/*
 * extract, embed, store  see there.
 * done       a document has come out; it is freed afterwards.  One thread at a
 *            time; it may not wait for the pipeline.
 * unstarted  the same for one that was handed back; on the thread that calls
 *            indexer_stop().
 * user       their argument.
 */
struct indexer_options {
	struct extract_options extract;
	struct embed_options embed;
	struct store_options store;
	void (*done)(struct doc *doc, const weir_pipeline_result *result,
		     void *user);
	void (*unstarted)(struct doc *doc, void *user);
	void *user;
};

/*
 * Make it, and start its threads.
 *
 * Waits:   for the stages to be ready.
 * Threads: any.
 * Owns:    copies *options; what they point to must outlive it.
 * Returns: WEIR_OK, WEIR_NOMEM, WEIR_SYSTEM.
 */
WEIR_NODISCARD weir_status indexer_new(struct indexer **out,
				       const struct indexer_options *options);

/*
 * Waits:   until all documents have come out.
 * Threads: no other call may be in progress or follow.
 * Owns:    takes ix.
 * Returns: NULL.
 */
struct indexer *indexer_free(struct indexer *ix);

/*
 * Put a document in.
 *
 * Waits:   while the channel before the first stage is full.
 * Threads: any.
 * Owns:    takes doc with WEIR_OK only.
 * Returns: as weir_pipeline_submit().
 */
WEIR_NODISCARD weir_status indexer_submit(struct indexer *ix, struct doc *doc,
					  weir_ctx *ctx);

/*
 * There are no more.
 *
 * Waits:   never.
 * Threads: any.
 * Owns:    nothing.
 * Returns: nothing.
 */
void indexer_close(struct indexer *ix);

/*
 * Wait until all have come out.
 *
 * Waits:   as it says; only after indexer_close() or indexer_stop().
 * Threads: one.
 * Owns:    nothing.
 * Returns: nothing.
 */
void indexer_join(struct indexer *ix);

/*
 * Cancel what is inside.  It all comes out, or is handed back.
 *
 * Waits:   never.
 * Threads: any.
 * Owns:    nothing.
 * Returns: nothing.
 */
void indexer_stop(struct indexer *ix);

/*
 * What the stage is doing, as weir_pool_stats says it, and its name.
 *
 * Waits:   never.
 * Threads: any.
 * Owns:    *ret is the caller's.
 * Returns: the name.
 */
const char *indexer_stats(struct indexer *ix, uint32_t stage,
			  weir_pool_stats *ret, uint32_t *ret_queue);

#endif
