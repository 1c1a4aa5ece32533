/*
 * What a client asks of the route `model`, as OpenAI's reference has it.
 *
 * Stricter than the original where that catches a mistake of the client: a key
 * that stands twice, or a text that is sent as something else than JSON.  Keys
 * that are not known here are ignored, as the original has more of them.
 */
#include "model.h"

#include <jansson.h>
#include <string.h>

/* Of all vectors of an answer: 2048 of them with 1536 numbers, and more. */
#define NUMBERS_MAX (4u * 1024 * 1024)

static bool
refuse_request(struct call *c, const char *param, const char *message)
{
	struct error error = {400, "invalid_request_error", param, NULL};

	return model_refuse(c, &error, message);
}

static bool
check_content_type(struct call *c)
{
	struct slice value = request_field(c->x->request, "content-type");

	if (slice_is_nocase(slice_trim(slice_cut(&value, ';')),
			    "application/json"))
		return true;
	return refuse_request(c, NULL, "Content-Type is not application/json");
}

static bool
parse_body(struct call *c)
{
	struct slice body = c->x->request->body;

	c->root = json_loadb(body.data, body.len,
			     JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
	if (!c->root)
		return refuse_request(c, NULL, "the body is not valid JSON");
	if (!json_is_object(c->root))
		return refuse_request(c, NULL, "the body is not an object");
	return true;
}

static bool
parse_model(struct call *c)
{
	static const struct error error = {404, "invalid_request_error",
					   "model", "model_not_found"};

	c->model = json_object_get(c->root, "model");
	if (!json_is_string(c->model) || json_string_length(c->model) == 0)
		return refuse_request(c, "model", "model is not a name");
	if (strcmp(json_string_value(c->model), "missing") == 0)
		return model_refuse(c, &error, "the model does not exist");
	return true;
}

static bool
parse_encoding(struct call *c)
{
	const json_t *format = json_object_get(c->root, "encoding_format");
	const char *name = json_string_value(format);

	if (!format)
		return true;
	c->base64 = name && strcmp(name, "base64") == 0;
	if (c->base64 || (name && strcmp(name, "float") == 0))
		return true;
	return refuse_request(c, "encoding_format",
			      "encoding_format is neither float nor base64");
}

/* Fewer than the server has are made; more there are not. */
static bool
parse_dimensions(struct call *c)
{
	const json_t *dimensions = json_object_get(c->root, "dimensions");

	c->dims = (size_t)c->knobs.dims;
	if (!dimensions)
		return true;
	if (!json_is_integer(dimensions) || json_integer_value(dimensions) < 1)
		return refuse_request(c, "dimensions",
				      "dimensions is not a positive number");
	if ((uint64_t)json_integer_value(dimensions) < c->knobs.dims)
		c->dims = (size_t)json_integer_value(dimensions);
	return true;
}

size_t
model_inputs_len(const struct call *c)
{
	return json_is_array(c->input) ? json_array_size(c->input) : 1;
}

struct slice
model_input(const struct call *c, size_t i)
{
	const json_t *text = c->input;

	if (json_is_array(text))
		text = json_array_get(text, i);
	if (!json_is_string(text))
		return SLICE("");
	return (struct slice){json_string_value(text),
			      json_string_length(text)};
}

static bool
has_text(struct slice s, const struct text *wanted)
{
	return wanted->data && memmem(s.data, s.len, wanted->data, wanted->len);
}

static bool
check_rejected(struct call *c)
{
	struct text wanted = {0};
	bool found = false;

	if (!c->knobs.reject.data)
		return true;
	text_append_decoded(&wanted, c->knobs.reject);
	c->x->response->out.failed |= wanted.failed;
	for (size_t i = 0; i < model_inputs_len(c) && !found; i++)
		found = has_text(model_input(c, i), &wanted);
	text_fini(&wanted);
	return !found || refuse_request(c, "input",
					"an input has a text in it that this "
					"server rejects");
}

static bool
parse_input(struct call *c)
{
	size_t len;

	c->input = json_object_get(c->root, "input");
	if (!json_is_string(c->input) && !json_is_array(c->input))
		return refuse_request(c, "input",
				      "input is no string and no array");
	len = model_inputs_len(c);
	if (len == 0)
		return refuse_request(c, "input", "input is empty");
	if (len > c->knobs.max_inputs)
		return refuse_request(c, "input", "input has too many texts");
	if (len * c->dims > NUMBERS_MAX)
		return refuse_request(c, "input",
				      "too many texts for so many "
				      "dimensions");
	for (size_t i = 0; i < len; i++)
		if (model_input(c, i).len == 0)
			return refuse_request(
				c, "input",
				"an input is empty, or not a string");
	return check_rejected(c);
}

bool
model_read_request(struct call *c)
{
	return check_content_type(c) && parse_body(c) && parse_model(c) &&
	       parse_encoding(c) && parse_dimensions(c) && parse_input(c);
}
