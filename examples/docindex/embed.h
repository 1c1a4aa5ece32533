/*
 * The second stage: from text to chunks, and from chunks to vectors, by an
 * OpenAI-compatible API:
 *
 *      POST {url}/embeddings
 *      {"model": "...", "input": ["...", ...], "encoding_format": "float"}
 *      -> {"data": [{"index": 0, "embedding": [0.1, ...]}, ...]}
 *
 * (OpenAI's API reference, "Create embeddings".  llama.cpp's server, Ollama,
 * vLLM, LocalAI, text-embeddings-inference and LM Studio answer the same.)
 */
#ifndef WEIR_EXAMPLES_DOCINDEX_EMBED_H
#define WEIR_EXAMPLES_DOCINDEX_EMBED_H

#include <weir/weir.h>

/* Texts in one request. */
#define EMBED_BATCH_MAX 64

enum embed_encoding {
	EMBED_FLOAT,
	EMBED_BASE64, /* a third of the bytes; not every server has it */
};

/*
 * url         of the API, without "/embeddings": "http://127.0.0.1:8080/v1".
 * key         sent as a bearer token; NULL or empty: none.
 * model       its name there.
 * dims        how many numbers a vector has to have; 0: any.
 * timeout_ns  for one request.
 * retry       of failed requests, that is of documents.
 * limit       documents begun a second, or NULL.
 * width       documents at once; each has one request on its way.
 * queue       documents that may wait.
 * per_host    connections to the API at once.
 * hopeless    called when no document can succeed: the key is wrong, there is
 *             no such model.  advice is what to try then.  On the stage's
 *             thread; may be NULL.
 * again       called when a document has failed and will be tried again; on the
 *             stage's thread; may be NULL.
 * user        their argument.
 */
struct doc;

struct embed_options {
	const char *url, *key, *model;
	enum embed_encoding encoding;
	uint32_t dims;
	int64_t timeout_ns;
	weir_retry retry;
	weir_limit *limit;
	uint32_t width, queue, per_host;
	void (*hopeless)(const char *why, const char *advice, void *user);
	void (*again)(const struct doc *doc, const char *why, uint32_t attempt,
		      void *user);
	void *user;
};

/*
 * Make *ret the stage.  Its items are `struct doc *`, before and behind it.
 * curl_global_init() must have been called.
 *
 * Waits:   never.
 * Threads: any.
 * Owns:    options are lent, and must outlive the pipeline.
 * Returns: nothing.
 */
void embed_stage(weir_stage *ret, const struct embed_options *options);

#endif
