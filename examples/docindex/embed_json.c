/*
 * What is said to the API and what it answers.
 *
 * Design.  Requests are written by src/base's writer, straight from the text
 * of the document; answers are parsed by jansson.  An answer is taken whole or
 * not at all: each vector is checked before the document has any of them.
 */
#include "embed_json.h"

#include "base/json.h"

#include <jansson.h>
#include <math.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* More numbers than any model has. */
#define DIMS_MAX 65536

void
embed_request(struct weir_buf *ret, const struct embed_options *options,
	      const struct doc *doc, size_t first, size_t count)
{
	struct weir_json j;

	weir__json_init(&j, ret);
	weir__json_begin_object(&j);
	weir__json_key(&j, "model");
	weir__json_puts(&j, options->model);
	weir__json_key(&j, "encoding_format");
	weir__json_puts(&j,
			options->encoding == EMBED_BASE64 ? "base64" : "float");
	weir__json_key(&j, "input");
	weir__json_begin_array(&j);
	for (size_t i = first; i < first + count; i++) {
		const struct chunk *chunk = &doc->chunks[i];

		weir__json_string(&j, doc->text.data.data + chunk->at,
				  chunk->len);
	}
	weir__json_end_array(&j);
	weir__json_end_object(&j);
}

/* What is taken out of one answer. */
struct answer {
	struct doc *doc;
	size_t first, count;
	unsigned char *bytes; /* of one vector in base64 */
	char *why;
	size_t why_len;
};

static weir_status
refuse(struct answer *a, weir_status status, const char *why)
{
	snprintf(a->why, a->why_len, "%s", why);
	return status;
}

/* Little-endian, whatever we are. */
static float
float_at(const unsigned char *bytes)
{
	uint32_t bits = (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 |
			(uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
	float value;

	memcpy(&value, &bits, sizeof(value));
	return value;
}

/* How many numbers there are; 0: it is no vector. */
static size_t
vector_len(const json_t *embedding)
{
	const char *text = json_string_value(embedding);
	size_t len = json_string_length(embedding), bytes;

	if (json_is_array(embedding))
		return json_array_size(embedding);
	if (!text || len == 0 || len % 4 != 0)
		return 0;
	bytes = len / 4 * 3;
	bytes -= (size_t)(text[len - 1] == '=') + (text[len - 2] == '=');
	return bytes % 4 == 0 ? bytes / 4 : 0;
}

static bool
take_base64(struct answer *a, const json_t *embedding, float *ret)
{
	size_t len = json_string_length(embedding);
	unsigned char *bytes = realloc(a->bytes, len);

	if (!bytes)
		return false;
	a->bytes = bytes;
	if (EVP_DecodeBlock(bytes,
			    (const unsigned char *)json_string_value(embedding),
			    (int)len) < 0)
		return false;
	for (uint32_t i = 0; i < a->doc->dims; i++)
		ret[i] = float_at(bytes + 4 * (size_t)i);
	return true;
}

static bool
take_floats(const struct answer *a, const json_t *embedding, float *ret)
{
	for (uint32_t i = 0; i < a->doc->dims; i++) {
		const json_t *number = json_array_get(embedding, i);

		if (!json_is_number(number))
			return false;
		ret[i] = (float)json_number_value(number);
	}
	return true;
}

static bool
is_finite(const float *vector, uint32_t dims)
{
	for (uint32_t i = 0; i < dims; i++)
		if (!isfinite(vector[i]))
			return false;
	return true;
}

/* Room for all chunks of the document, once it is known how much that is. */
static weir_status
set_dims(struct answer *a, size_t dims)
{
	struct doc *doc = a->doc;

	if (dims == 0 || dims > DIMS_MAX)
		return refuse(a, WEIR_FAILED, "an embedding is no vector");
	if (doc->dims == dims)
		return WEIR_OK;
	if (doc->dims != 0)
		return refuse(a, WEIR_FAILED,
			      "its vectors differ in their length");
	doc->vectors = calloc(doc->chunk_count * dims, sizeof(float));
	if (!doc->vectors)
		return refuse(a, WEIR_NOMEM, "out of memory");
	doc->dims = (uint32_t)dims;
	return WEIR_OK;
}

static weir_status
take_vector(struct answer *a, size_t at, const json_t *embedding)
{
	weir_status status = set_dims(a, vector_len(embedding));
	struct doc *doc = a->doc;
	float *vector;

	if (status != WEIR_OK)
		return status;
	vector = doc->vectors + (a->first + at) * doc->dims;
	if (!(json_is_array(embedding) ? take_floats(a, embedding, vector)
				       : take_base64(a, embedding, vector)) ||
	    !is_finite(vector, doc->dims))
		return refuse(a, WEIR_FAILED,
			      "an embedding has something that is no number");
	return WEIR_OK;
}

/* Each index once; without any they are in the order of the inputs. */
static weir_status
take_vectors(struct answer *a, const json_t *data)
{
	bool taken[EMBED_BATCH_MAX] = {false};
	weir_status status = WEIR_OK;

	for (size_t i = 0; status == WEIR_OK && i < a->count; i++) {
		const json_t *item = json_array_get(data, i);
		const json_t *index = json_object_get(item, "index");
		json_int_t at = json_is_integer(index)
					? json_integer_value(index)
					: (json_int_t)i;

		if (at < 0 || at >= (json_int_t)a->count || taken[at])
			return refuse(a, WEIR_FAILED,
				      "its indexes are not those of the texts");
		taken[at] = true;
		status = take_vector(a, (size_t)at,
				     json_object_get(item, "embedding"));
	}
	return status;
}

weir_status
embed_answer(struct doc *doc, size_t first, size_t count, const char *json,
	     size_t len, char *ret_why, size_t n)
{
	struct answer a = {.doc = doc,
			   .first = first,
			   .count = count,
			   .why = ret_why,
			   .why_len = n};
	json_error_t error;
	json_t *root = json_loadb(json, len, 0, &error);
	const json_t *data = json_object_get(root, "data");
	weir_status status;

	if (!root)
		status = refuse(&a, WEIR_FAILED, "the answer is no JSON");
	else if (!json_is_array(data) || json_array_size(data) != count)
		status = refuse(&a, WEIR_FAILED,
				"the answer has not a vector for each text");
	else
		status = take_vectors(&a, data);
	json_decref(root);
	free(a.bytes);
	return status;
}

void
embed_error_text(const char *json, size_t len, char *ret, size_t n)
{
	json_t *root = json_loadb(json, len, 0, NULL);
	const json_t *error = json_object_get(root, "error");
	const char *text = json_string_value(json_object_get(error, "message"));

	if (!text)
		text = json_string_value(error); /* Ollama's */
	snprintf(ret, n, "%s", text ? text : "");
	json_decref(root);
}
