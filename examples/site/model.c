/*
 * A server of embeddings that speaks OpenAI's protocol, and misbehaves.
 *
 *      POST /model/KNOBS/v1/embeddings        GET /model/KNOBS/v1/models
 *
 * Design: a request goes through its hurdles in the order in which a real
 * server has them, and the first that it does not take is its answer:
 *
 *      knobs   target   key   (counted) down, 429, 503, 500   request
 *                             (counted) garbage, cut, short, wrong-dims, nan
 *
 * Requests are counted once they have shown the key, and answers once it is
 * clear that they would be right, each for one text of KNOBS.  So "429=2,cut=2"
 * cuts every second of the answers that the 429s have left.
 */
#include "routes.h"
#include "site.h"
#include "embed.h"
#include "model.h"

#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static bool
is_nth(uint64_t every, uint64_t nth)
{
	return every != 0 && nth % every == 0;
}

/* A string in JSON; our own texts need no escapes. */
static void
append_quoted(struct text *body, const char *key, const char *value)
{
	if (value)
		text_printf(body, ",\"%s\":\"%s\"", key, value);
	else
		text_printf(body, ",\"%s\":null", key);
}

/* End the head with an error in OpenAI's form; respond() came before. */
static void
respond_error_body(struct call *c, const struct error *error,
		   const char *message)
{
	struct text body = {0};

	text_printf(&body, "{\"error\":{\"message\":\"%s\"", message);
	append_quoted(&body, "type", error->type);
	append_quoted(&body, "param", error->param);
	append_quoted(&body, "code", error->code);
	text_printf(&body, "}}\n");
	respond_body(c->x, "application/json",
		     (struct slice){body.data, body.len});
	c->x->response->out.failed |= body.failed;
	text_fini(&body);
}

bool
model_refuse(struct call *c, const struct error *error, const char *message)
{
	respond(c->x, error->status);
	respond_error_body(c, error, message);
	return false;
}

static bool
check_method(struct call *c, bool right, const char *allowed)
{
	static const struct error error = {405, "invalid_request_error", NULL,
					   "method_not_supported"};

	if (right)
		return true;
	respond(c->x, error.status);
	respond_field(c->x, "Allow: %s", allowed);
	respond_error_body(c, &error, "this method is not allowed here");
	return false;
}

static bool
check_key(struct call *c)
{
	static const struct error error = {401, "invalid_request_error", NULL,
					   "invalid_api_key"};
	struct slice given = request_field(c->x->request, "authorization");
	struct text wanted = {0};
	bool right;

	if (!c->knobs.key.data)
		return true;
	text_append(&wanted, SLICE("Bearer "));
	text_append_decoded(&wanted, c->knobs.key);
	c->x->response->out.failed |= wanted.failed;
	right = !wanted.failed && given.len == wanted.len &&
		memcmp(given.data, wanted.data, given.len) == 0;
	text_fini(&wanted);
	return right || model_refuse(c, &error,
				     given.data ? "incorrect API key provided"
						: "no API key provided");
}

/* "/model/KNOBS", as it stands in the path: one server's name. */
static struct slice
server_name(const struct exchange *x)
{
	const char *start = x->request->path.data;
	const char *end = x->args[0].data + x->args[0].len;

	return (struct slice){start, (size_t)(end - start)};
}

static bool
fail(struct call *c, const struct error *error, const char *message)
{
	char date[HTTP_DATE_SIZE];

	respond(c->x, error->status);
	if (c->knobs.retry_after_date) {
		http_date(date, time(NULL) + 1);
		respond_field(c->x, "Retry-After: %s", date);
	} else {
		respond_field(c->x, "Retry-After: %" PRIu64,
			      c->knobs.retry_after_s);
	}
	respond_error_body(c, error, message);
	return false;
}

/* The failures that have nothing to do with what is asked. */
static bool
check_weather(struct call *c)
{
	static const struct error busy = {429, "requests", NULL,
					  "rate_limit_exceeded"};
	static const struct error unavailable = {503, "server_error", NULL,
						 NULL};
	static const struct error broken = {500, "server_error", NULL, NULL};
	const struct knobs *k = &c->knobs;
	uint64_t nth =
		(uint64_t)ids_count(c->x->site->ids, server_name(c->x)) + 1;

	c->request_nth = nth;
	if (nth <= k->down)
		return model_refuse(c, &unavailable,
				    "the model is being loaded");
	if (is_nth(k->every_429, nth))
		return fail(c, &busy, "rate limit reached, try again later");
	if (is_nth(k->every_503, nth))
		return fail(c, &unavailable, "the server is overloaded");
	if (is_nth(k->every_500, nth))
		return fail(c, &broken, "the server had an error");
	return true;
}

/* One element of "data", with the faults that this answer is to have. */
static void
append_item(struct call *c, size_t index, struct text *body)
{
	float v[EMBED_DIMS_MAX];
	size_t len = c->dims;

	embed(model_input(c, index), c->dims, v);
	if (is_nth(c->knobs.every_wrong_dims, c->answer_nth))
		len--;
	if (index == 0 && is_nth(c->knobs.every_nan, c->answer_nth))
		v[len / 2] = NAN;
	text_printf(body,
		    "{\"object\":\"embedding\",\"index\":%zu,\"embedding\":",
		    index);
	if (c->base64)
		text_append_vector_base64(body, v, len);
	else
		text_append_vector(body, v, len);
	text_append(body, SLICE("}"));
}

static void
append_items(struct call *c, struct text *body)
{
	size_t len = model_inputs_len(c);

	if (is_nth(c->knobs.every_short, c->answer_nth))
		len--;
	for (size_t i = 0; i < len; i++) {
		if (i > 0)
			text_append(body, SLICE(","));
		append_item(c, c->knobs.shuffle ? len - 1 - i : i, body);
	}
}

/* A token is four bytes here, as a rule of thumb has it. */
static void
append_rest(struct call *c, struct text *body)
{
	char *model = json_dumps(c->model, JSON_ENCODE_ANY);
	uint64_t tokens = 0;

	for (size_t i = 0; i < model_inputs_len(c); i++)
		tokens += (model_input(c, i).len + 3) / 4;
	text_append(body, SLICE("],\"model\":"));
	if (model)
		text_append(body, (struct slice){model, strlen(model)});
	body->failed |= !model;
	text_printf(body,
		    ",\"usage\":{\"prompt_tokens\":%" PRIu64
		    ",\"total_tokens\":%" PRIu64 "}}\n",
		    tokens, tokens);
	free(model);
}

/* The whole length is promised, and half of it sent. */
static void
respond_cut(struct call *c, struct slice body)
{
	struct exchange *x = c->x;

	respond_field(x, "Content-Type: application/json");
	respond_field(x, "Content-Length: %zu", body.len);
	respond_no_body(x);
	text_append(&x->response->out, (struct slice){body.data, body.len / 2});
	x->response->ending = END_CLOSE;
}

static void
respond_embeddings(struct call *c)
{
	struct text body = {0};
	struct slice all;

	text_append(&body, SLICE("{\"object\":\"list\",\"data\":["));
	append_items(c, &body);
	append_rest(c, &body);
	all = (struct slice){body.data, body.len};
	if (is_nth(c->knobs.every_garbage, c->answer_nth))
		all = SLICE("<html>this is no JSON</html>\n");
	respond(c->x, 200);
	if (is_nth(c->knobs.every_cut, c->answer_nth))
		respond_cut(c, all);
	else
		respond_body(c->x, "application/json", all);
	c->x->response->out.failed |= body.failed;
	text_fini(&body);
}

/* Answers are counted apart from requests, under the whole path. */
static void
answer(struct call *c)
{
	c->answer_nth =
		(uint64_t)ids_count(c->x->site->ids, c->x->request->path) + 1;
	respond_embeddings(c);
}

static void
post_embeddings(struct call *c)
{
	if (check_method(c, slice_is(c->x->request->method, "POST"), "POST") &&
	    check_key(c) && check_weather(c) && model_read_request(c))
		answer(c);
	json_decref(c->root);
}

static void
get_models(struct call *c)
{
	struct slice method = c->x->request->method;
	bool right = slice_is(method, "GET") || slice_is(method, "HEAD");

	if (!check_method(c, right, "GET, HEAD") || !check_key(c))
		return;
	respond(c->x, 200);
	respond_body(c->x, "application/json",
		     SLICE("{\"object\":\"list\",\"data\":[{\"id\":"
			   "\"hashed-ngrams\",\"object\":\"model\","
			   "\"created\":0,\"owned_by\":\"sample-site\"}]}\n"));
}

/* Jitter looks random, and is the same for the n-th request of each run. */
static int64_t
delay_ns(const struct call *c)
{
	uint64_t ms = c->knobs.latency_ms;

	ms += mix64(c->request_nth) % (c->knobs.jitter_ms + 1);
	return (int64_t)ms * NS_PER_MS;
}

void
route_model(struct exchange *x)
{
	static const struct error no_such = {404, "invalid_request_error", NULL,
					     "unknown_url"};
	struct call c = {.x = x};

	if (!knobs_parse(&c.knobs, x->args[0])) {
		respond_text(x, 400, "usage: %s\n", knobs_usage);
		return;
	}
	if (slice_is(x->args[1], "v1/embeddings"))
		post_embeddings(&c);
	else if (slice_is(x->args[1], "v1/models"))
		get_models(&c);
	else
		(void)model_refuse(&c, &no_such, "there is no such URL");
	x->response->delay_ns = delay_ns(&c);
}
