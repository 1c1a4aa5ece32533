/*
 * A document on its way through the pipeline.
 *
 * One struct goes through all stages; what travels in the channels is a
 * pointer to it.  It belongs to whoever has it just now: the intake until it
 * is submitted, then the stage that it is in, then the collector, which frees
 * it.  So nothing in it needs a lock.
 *
 *      found ──► text ──► chunks, vectors ──► stored
 *      intake    extract  embed               store
 */
#ifndef WEIR_EXAMPLES_DOCINDEX_DOC_H
#define WEIR_EXAMPLES_DOCINDEX_DOC_H

#include "chunk.h"
#include "text.h"

#include <weir/weir.h>

enum doc_kind {
	DOC_TEXT,
	DOC_MARKDOWN,
	DOC_PDF,
};

#define DOC_HASH_LEN 32

struct doc {
	/* the intake's */
	char *path; /* as the index has it: absolute */
	int fd;     /* open for reading; -1: its text is there */
	enum doc_kind kind;
	uint64_t bytes;
	unsigned char hash[DOC_HASH_LEN]; /* SHA-256 of the contents */
	void *owner; /* whoever waits for this one; see queue.c */

	/* extract's */
	struct text text;

	/* embed's: chunks, and dims numbers for each of the first `embedded` */
	struct chunk *chunks;
	size_t chunk_count, embedded;
	uint32_t dims;
	float *vectors;

	/* In a word or two why it failed: "encrypted", "API 429". */
	char reason[24];
};

/* One that has a path, and no file yet; NULL: no memory. */
struct doc *doc_new(const char *path);

/* Free it, and close its file.  NULL is fine. */
void doc_free(struct doc *doc);

void doc_close(struct doc *doc);

/* Its extension says what it is.  False: nothing that we can read. */
bool doc_kind_of(const char *name, enum doc_kind *ret);
const char *doc_kind_name(enum doc_kind kind);

/*
 * This attempt at the document fails.  reason is for counting, the rest for
 * people; the answer is what the stage's function returns or ends the job
 * with.
 */
weir_status doc_fail(struct doc *doc, weir_ctx *ctx, weir_status status,
		     const char *reason, const char *format, ...)
	__attribute__((format(printf, 5, 6)));

#endif
