/*
 * Routes that send their client away: to come again later, or elsewhere.
 *
 * What "the first time" means is told by the whole path, so the same ID under
 * two routes, or with two numbers, is two memories.
 */
#include "routes.h"
#include "site.h"

#include <inttypes.h>
#include <stdio.h>

#define RETRY_AFTER_MAX (400 * UINT64_C(86400))

static bool
is_first(struct exchange *x)
{
	return ids_count(x->site->ids, x->request->path) == 0;
}

/*
 * SECONDS goes out as it came in, decoded: "soon", "-1" and numbers beyond
 * any integer are things a client must survive.
 */
void
route_retry_after(struct exchange *x)
{
	struct text *out = &x->response->out;

	if (!is_first(x)) {
		respond_text(x, 200, "thank you for waiting\n");
		return;
	}
	respond(x, 429);
	text_append(out, SLICE("Retry-After: "));
	text_append_decoded(out, x->args[0]);
	text_append(out, SLICE("\r\n"));
	respond_body(x, "text/plain", SLICE("not now\n"));
}

void
route_retry_after_date(struct exchange *x)
{
	char date[HTTP_DATE_SIZE];
	uint64_t seconds;

	if (!route_number(x, 0, RETRY_AFTER_MAX, &seconds))
		return;
	if (!is_first(x)) {
		respond_text(x, 200, "thank you for waiting\n");
		return;
	}
	http_date(date, time(NULL) + (time_t)seconds);
	respond(x, 429);
	respond_field(x, "Retry-After: %s", date);
	respond_body(x, "text/plain", SLICE("not now\n"));
}

void
route_flaky(struct exchange *x)
{
	uint64_t failures;
	uint32_t before;

	if (!route_number(x, 0, UINT32_MAX - 1, &failures))
		return;
	before = ids_count(x->site->ids, x->request->path);
	if (before < failures)
		respond_text(x, 503, "out of order\n");
	else
		respond_text(x, 200, "mended after %" PRIu32 " failures\n",
			     before);
}

/* ?code= chooses among the statuses that redirect; 302 without it. */
static int
redirect_status(const struct request *r)
{
	uint64_t code;

	if (slice_number(request_param(r, "code"), 399, &code) && code >= 300)
		return (int)code;
	return 302;
}

void
route_redirect(struct exchange *x)
{
	int status = redirect_status(x->request);
	uint64_t hops;

	if (!route_number(x, 0, UINT32_MAX, &hops))
		return;
	respond(x, status);
	if (hops <= 1)
		respond_field(x, "Location: /fast/1");
	else if (status == 302)
		respond_field(x, "Location: /redirect/%" PRIu64, hops - 1);
	else
		respond_field(x, "Location: /redirect/%" PRIu64 "?code=%d",
			      hops - 1, status);
	respond_body(x, "text/plain", SLICE("this way\n"));
}

void
route_redirect_loop(struct exchange *x)
{
	respond(x, redirect_status(x->request));
	respond_field(x, "Location: /redirect-loop");
	respond_body(x, "text/plain", SLICE("round and round\n"));
}

/* Unchecked on purpose: %0d%0a in the URL becomes header fields. */
void
route_redirect_to(struct exchange *x)
{
	struct slice url = request_param(x->request, "url");
	struct text *out = &x->response->out;

	if (!url.data)
		return;
	respond(x, redirect_status(x->request));
	text_append(out, SLICE("Location: "));
	text_append_decoded(out, url);
	text_append(out, SLICE("\r\n"));
	respond_body(x, "text/plain", SLICE("over there\n"));
}
