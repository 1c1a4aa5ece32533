/*
 * The route `model`: its knobs, and one call of it.
 *
 * The knobs say how the server is to misbehave.  They stand in the path, so
 * that a client's base URL is all there is to configure, and one site can be
 * many servers at once.
 */
#ifndef WEIR_EXAMPLES_SITE_MODEL_H
#define WEIR_EXAMPLES_SITE_MODEL_H

#include "response.h"

#include <jansson.h>

struct knobs {
	uint64_t dims, max_inputs;
	uint64_t latency_ms, jitter_ms;
	/* Of requests: the first ones, or every N-th; 0 is never. */
	uint64_t down, every_429, every_503, every_500;
	/* Of answers that would have been right. */
	uint64_t every_cut, every_garbage, every_short, every_wrong_dims,
		every_nan;
	uint64_t retry_after_s;
	bool retry_after_date, shuffle;
	struct slice key, reject; /* encoded; data is NULL without */
};

/* model_knobs.c: "-", or knobs with commas between; false if that is wrong. */
bool knobs_parse(struct knobs *ret, struct slice list);

/* What to say then. */
extern const char knobs_usage[];

/* What a client has asked for; the texts are in `root`. */
struct call {
	struct exchange *x;
	struct knobs knobs;
	uint64_t request_nth; /* from 1; 0: not counted */
	uint64_t answer_nth;
	json_t *root;
	const json_t *input; /* a string, or an array of strings */
	const json_t *model;
	size_t dims;
	bool base64;
};

struct error {
	int status;
	const char *type, *param, *code; /* param and code may be NULL */
};

/* model.c: answer with an error in OpenAI's form.  False, to be returned. */
bool model_refuse(struct call *c, const struct error *error,
		  const char *message);

/* model_request.c: fill in what is asked; false when that was refused. */
bool model_read_request(struct call *c);

/* The texts of a request that was read. */
size_t model_inputs_len(const struct call *c);
struct slice model_input(const struct call *c, size_t i);

#endif
