/*
 * What is said to the API and what it answers.
 */
#ifndef WEIR_EXAMPLES_DOCINDEX_EMBED_JSON_H
#define WEIR_EXAMPLES_DOCINDEX_EMBED_JSON_H

#include "embed.h"

#include "base/buf.h"
#include "doc.h"

/* The body of a request for count chunks of doc from first on. */
void embed_request(struct weir_buf *ret, const struct embed_options *options,
		   const struct doc *doc, size_t first, size_t count);

/*
 * Take count vectors, for the chunks of doc from first on, out of an answer.
 * The first answer of a document says how many numbers they have.
 *
 * Owns:    doc->vectors grows as it is needed.
 * Returns: WEIR_OK; WEIR_FAILED (it is cut or no such answer: worth another
 *          try), WEIR_PERMANENT (vectors of another length), WEIR_NOMEM;
 * ret_why (n bytes) says why.
 */
weir_status embed_answer(struct doc *doc, size_t first, size_t count,
			 const char *json, size_t len, char *ret_why, size_t n);

/* The text of an error in OpenAI's form, or "". */
void embed_error_text(const char *json, size_t len, char *ret, size_t n);

#endif
