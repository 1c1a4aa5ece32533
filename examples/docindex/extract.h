/*
 * The first stage: from a file to its text.
 *
 * Text and Markdown are read as they are.  The text of a PDF is what poppler's
 * `pdftotext` makes of it, in a process of its own: a PDF comes from anywhere,
 * and one that crashes its reader, fills the memory or never ends costs that
 * one document and nothing else.
 */
#ifndef WEIR_EXAMPLES_DOCINDEX_EXTRACT_H
#define WEIR_EXAMPLES_DOCINDEX_EXTRACT_H

#include <weir/weir.h>

/*
 * program     "pdftotext", found in PATH, or a path.
 * memory_max  bytes of address space of each process.
 * timeout_ns  for one document; its processor time is limited to a
 *             second more, as by then it has been ended.
 * text_max    bytes of text, beyond which a document is refused.
 * width       documents at once; as many as there are cores is right.
 * queue       documents that may wait.
 */
struct extract_options {
	const char *program;
	uint64_t memory_max, text_max;
	int64_t timeout_ns;
	uint32_t width, queue;
};

/*
 * Make *ret the stage.  Its items are `struct doc *`, before and behind it.
 *
 * Waits:   never.
 * Threads: any.
 * Owns:    options are lent, and must outlive the pipeline.
 * Returns: nothing.
 */
void extract_stage(weir_stage *ret, const struct extract_options *options);

#endif
