/*
 * The three stages as one pipeline.
 *
 * Design.  What travels is a pointer to the document, through all stages.  The
 * pipeline keeps what was submitted (keep_in), so that a document which fails
 * in the middle, or is cancelled between two attempts, still comes out whole
 * and is freed in one place: here, by the collector.
 *
 * There are five threads, however many documents are on their way: whoever
 * submits, one for each stage, and the collector, which must not be the one
 * that submits (see the trap in weir/pool.h).
 */
#include "indexer.h"

#include <pthread.h>
#include <stdlib.h>

struct indexer {
	struct indexer_options options;
	weir_stage stages[INDEXER_STAGES];
	weir_pipeline *pipeline;
	weir_ctx *expired; /* lets indexer_stop() begin and not wait */
	pthread_t collector;
	bool collecting;
};

/* Take what comes out, until nothing more can. */
static void *
collect(void *argument)
{
	struct indexer *ix = argument;
	weir_pipeline_result result;
	struct doc *doc;

	while (weir_pipeline_next_item(ix->pipeline, &result, &doc, NULL,
				       NULL) == WEIR_OK) {
		ix->options.done(doc, &result, ix->options.user);
		doc_free(doc);
	}
	return NULL;
}

static weir_status
make_pipeline(struct indexer *ix)
{
	weir_pipeline_options options = WEIR_PIPELINE_OPTIONS_INIT;

	extract_stage(&ix->stages[0], &ix->options.extract);
	embed_stage(&ix->stages[1], &ix->options.embed);
	store_stage(&ix->stages[2], &ix->options.store);
	options.stages = ix->stages;
	options.stage_count = INDEXER_STAGES;
	options.in_size = sizeof(struct doc *);
	options.keep_in = true;
	return weir_pipeline_new(&ix->pipeline, &options);
}

weir_status
indexer_new(struct indexer **out, const struct indexer_options *options)
{
	struct indexer *ix = calloc(1, sizeof(*ix));
	weir_status status;

	if (!ix)
		return WEIR_NOMEM;
	ix->options = *options;
	status = weir_ctx_new(&ix->expired, NULL, 0);
	if (status == WEIR_OK)
		status = make_pipeline(ix);
	if (status == WEIR_OK) {
		ix->collecting =
			pthread_create(&ix->collector, NULL, collect, ix) == 0;
		status = ix->collecting ? WEIR_OK : WEIR_SYSTEM;
	}
	if (status != WEIR_OK) {
		indexer_free(ix);
		return status;
	}
	*out = ix;
	return WEIR_OK;
}

struct indexer *
indexer_free(struct indexer *ix)
{
	if (!ix)
		return NULL;
	if (ix->pipeline)
		indexer_close(ix);
	indexer_join(ix);
	weir_pipeline_free(ix->pipeline);
	weir_ctx_unref(ix->expired);
	free(ix);
	return NULL;
}

weir_status
indexer_submit(struct indexer *ix, struct doc *doc, weir_ctx *ctx)
{
	return weir_pipeline_submit(ix->pipeline, &doc, NULL, ctx);
}

void
indexer_close(struct indexer *ix)
{
	weir_pipeline_close(ix->pipeline);
}

void
indexer_join(struct indexer *ix)
{
	if (ix->collecting)
		(void)pthread_join(ix->collector, NULL);
	ix->collecting = false;
}

static void
on_unstarted(uint64_t id, const void *in, void *user)
{
	struct indexer *ix = user;
	struct doc *doc = *(struct doc *const *)in;

	(void)id;
	ix->options.unstarted(doc, ix->options.user);
	doc_free(doc);
}

void
indexer_stop(struct indexer *ix)
{
	weir_status status = weir_pipeline_shutdown_now(
		ix->pipeline, on_unstarted, ix, ix->expired);

	(void)status; /* the collector waits for the end */
}

const char *
indexer_stats(struct indexer *ix, uint32_t stage, weir_pool_stats *ret,
	      uint32_t *ret_queue)
{
	*ret = (weir_pool_stats)WEIR_POOL_STATS_INIT;
	weir_pipeline_get_stats(ix->pipeline, stage, ret);
	*ret_queue = ix->stages[stage].queue;
	return ix->stages[stage].name;
}
