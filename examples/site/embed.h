/*
 * Embeddings without a model: texts to vectors, and vectors to text.
 *
 * Nearness means "has words, or parts of words, in common".  That is poor
 * semantics, and all that a test needs: the same text has the same vector on
 * every machine, and a question finds the text with its rare words in it.
 */
#ifndef WEIR_EXAMPLES_SITE_EMBED_H
#define WEIR_EXAMPLES_SITE_EMBED_H

#include "text.h"

#define EMBED_DIMS_MAX 4096u

/* What of a text counts; a real model has a limit like this one. */
#define EMBED_TEXT_MAX 32768u

/* The vector of a text: ret[0] .. ret[dims - 1], of length 1. */
void embed(struct slice text, size_t dims, float *ret);

/* "[0.25,-0.5]": at most 9 digits a number, enough to get the float back. */
void text_append_vector(struct text *out, const float *v, size_t len);

/* The same as base64 of little-endian floats, in quotes. */
void text_append_vector_base64(struct text *out, const float *v, size_t len);

#endif
