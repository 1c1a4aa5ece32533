/*
 * The table of routes, and the way from a path to its row.
 *
 * The first segment of the path chooses the row, the next ones are arguments;
 * the last argument takes the rest of the path, so an ID may hold slashes.
 */
#include "routes.h"
#include "site.h"
#include "base/assert.h"

#include <string.h>

#define DELAY_MS_MAX (24u * 3600 * 1000)

const struct route routes[] = {
	{"fast", 1, route_fast, "/fast/N", "an HTML page of 0.3-4 KiB"},
	{"slow", 1, route_slow, "/slow/MS", "a page after MS ms"},
	{"status", 1, route_status, "/status/CODE", "any status, with a body"},
	{"404", 1, route_missing, "/404/N", "not found"},
	{"retry-after", 2, route_retry_after, "/retry-after/SECONDS/ID",
	 "429 with Retry-After, then 200"},
	{"retry-after-date", 2, route_retry_after_date,
	 "/retry-after-date/SECONDS/ID", "the same, with a date"},
	{"flaky", 2, route_flaky, "/flaky/N/ID", "503 N times, then 200"},
	{"redirect", 1, route_redirect, "/redirect/N", "N hops to /fast/1"},
	{"redirect-loop", 0, route_redirect_loop, "/redirect-loop",
	 "redirects to itself"},
	{"redirect-to", 0, route_redirect_to, "/redirect-to?url=URL",
	 "Location: URL, decoded, unchecked"},
	{"cut", 1, route_cut, "/cut/N", "promises N bytes, sends half, closes"},
	{"reset", 1, route_reset, "/reset/N",
	 "promises N bytes, sends half, resets"},
	{"close", 0, route_close, "/close", "closes without an answer"},
	{"chunked", 1, route_chunked, "/chunked/N", "N bytes in chunks"},
	{"chunked-cut", 0, route_chunked_cut, "/chunked-cut",
	 "closes in the middle of a chunk"},
	{"endless-body", 0, route_endless_body, "/endless-body",
	 "sends for as long as the client reads"},
	{"endless-headers", 0, route_endless_headers, "/endless-headers",
	 "header lines for ever"},
	{"drip", 1, route_drip, "/drip/MS", "a byte each MS ms"},
	{"stall", 0, route_stall, "/stall", "a head, then nothing"},
	{"silent", 0, route_silent, "/silent", "never answers"},
	{"bytes", 1, route_bytes, "/bytes/N", "N bytes; ranges work"},
	{"bytes-cut-once", 2, route_bytes_cut_once, "/bytes-cut-once/N/ID",
	 "cut in the middle the first time; ranges work"},
	{"changed", 2, route_changed, "/changed/N/ID",
	 "another body and ETag from the second request on"},
	{"gzip", 1, route_gzip, "/gzip/N", "N bytes, compressed"},
	{"gzip-bomb", 1, route_gzip_bomb, "/gzip-bomb/MB",
	 "MB MiB of zeros, compressed"},
	{"gzip-broken", 0, route_gzip_broken, "/gzip-broken",
	 "damaged in the middle"},
	{"echo", 0, route_echo, "/echo", "the request, as JSON"},
	{"auth", 0, route_auth, "/auth", "401 unless Authorization is present"},
	{"model", 2, route_model, "/model/KNOBS/v1/embeddings",
	 "embeddings, as OpenAI's; with KNOBS misbehaving"},
	{"stats", 0, route_stats, "/stats", "what the site has counted"},
	{"", 0, route_index, "/", "this list"},
};

const size_t routes_len = sizeof(routes) / sizeof(routes[0]);

static_assert(sizeof(routes) / sizeof(routes[0]) <= STATS_ROUTES_MAX,
	      "every route has its counter");

/* Take "/segment" off the front of *path; false when nothing is left. */
static bool
next_segment(struct slice *path, struct slice *ret)
{
	if (path->len == 0)
		return false;
	path->data++;
	path->len--;
	ret->data = path->data;
	while (path->len > 0 && path->data[0] != '/') {
		path->data++;
		path->len--;
	}
	ret->len = (size_t)(path->data - ret->data);
	return true;
}

/* The rest of the path goes to the last argument, without its slash. */
static bool
take_args(const struct route *route, struct slice path, struct slice args[2])
{
	for (unsigned i = 0; i < route->args; i++) {
		if (i + 1 == route->args && path.len > 1)
			args[i] = (struct slice){path.data + 1, path.len - 1};
		else if (!next_segment(&path, &args[i]))
			return false;
		if (args[i].len == 0)
			return false;
	}
	return true;
}

static const struct route *
find_route(struct slice path, struct slice *ret_rest)
{
	struct slice name = {0};

	*ret_rest = path;
	if (!next_segment(ret_rest, &name))
		return NULL;
	for (size_t i = 0; i < routes_len; i++)
		if (slice_is(name, routes[i].name))
			return &routes[i];
	return NULL;
}

bool
route_number(const struct exchange *x, size_t n, uint64_t max, uint64_t *ret)
{
	return slice_number(x->args[n], max, ret);
}

/*
 * The client that asks for the statistics must not be in them, or a test
 * would have to subtract itself.
 */
bool
routes_is_unseen(const struct request *r)
{
	return slice_is(r->path, "/stats");
}

/* ?delay=MS works everywhere; /slow is a name for it. */
static void
apply_delay(struct exchange *x)
{
	uint64_t ms;

	if (slice_number(request_param(x->request, "delay"), DELAY_MS_MAX, &ms))
		x->response->delay_ns = (int64_t)ms * NS_PER_MS;
}

void
routes_answer(struct exchange *x, bool counted)
{
	struct response *r = x->response;
	struct slice rest;
	const struct route *route = find_route(x->request->path, &rest);

	if (!route)
		respond_text(x, 404, "no such route; see /\n");
	else if (take_args(route, rest, x->args))
		route->run(x);
	if (route && r->status == 0)
		respond_text(x, 400, "usage: %s\n", route->usage);
	apply_delay(x);
	/* A HEAD ends with its head, however the body would have gone on. */
	if (r->head_only && r->ending != END_KEEP)
		r->ending = END_CLOSE;
	weir_assert(r->status > 0 && r->status < STATS_STATUS_MAX);
	if (!counted)
		return;
	if (route)
		x->site->stats.routes[route - routes]++;
	x->site->stats.statuses[r->status]++;
}
