/*
 * The routes that behave: pages, statuses, and windows into the server.
 *
 * Bodies of a size known beforehand are laid out on the stack; the others in
 * a text of their own, because Content-Length comes before them.
 */
#include "routes.h"
#include "site.h"

#include <inttypes.h>
#include <stdio.h>

#define PAGE_MIN 300
#define PAGE_MAX 4096

static const char filler[] =
	"Water finds the weir and waits its turn; what comes over the crest is "
	"what the river below can carry. The rest stands behind it, still. ";

/* A page about n; its size hangs on n and the seed, and on nothing else. */
static void
respond_page(struct exchange *x, uint64_t n)
{
	char page[PAGE_MAX];
	size_t size =
		PAGE_MIN + mix64(n ^ x->site->seed) % (PAGE_MAX - PAGE_MIN + 1);
	static const char foot[] = "</p>\n";
	size_t len = (size_t)snprintf(
		page, sizeof(page),
		"<!doctype html>\n<html lang=\"en\"><title>Page %" PRIu64
		"</title>\n<h1>Page %" PRIu64 "</h1>\n<p>",
		n, n);

	for (size_t i = 0; len < size - (sizeof(foot) - 1); i++)
		page[len++] = filler[i % (sizeof(filler) - 1)];
	for (size_t i = 0; i < sizeof(foot) - 1; i++)
		page[len++] = foot[i];
	respond(x, 200);
	respond_body(x, "text/html; charset=utf-8", (struct slice){page, len});
}

void
route_fast(struct exchange *x)
{
	uint64_t n;

	if (route_number(x, 0, UINT64_MAX, &n))
		respond_page(x, n);
}

void
route_slow(struct exchange *x)
{
	uint64_t ms;

	if (!route_number(x, 0, 24 * 3600 * 1000, &ms))
		return;
	respond_page(x, ms);
	x->response->delay_ns = (int64_t)ms * NS_PER_MS;
}

void
route_status(struct exchange *x)
{
	uint64_t status;

	if (!route_number(x, 0, STATS_STATUS_MAX - 1, &status) || status < 200)
		return;
	if (status != 204 && status != 304) {
		respond_text(x, (int)status, "status %d\n", (int)status);
		return;
	}
	/* These two never have a body; a length would promise one. */
	respond(x, (int)status);
	respond_no_body(x);
}

/* N tells pages apart in a list of URLs; there is nothing to look up. */
void
route_missing(struct exchange *x)
{
	respond_text(x, 404, "there is no such page\n");
}

void
route_index(struct exchange *x)
{
	struct text body = {0};

	for (size_t i = 0; i < routes_len; i++)
		text_printf(&body, "%-30s %s\n", routes[i].usage,
			    routes[i].help);
	respond(x, 200);
	respond_body(x, "text/plain", (struct slice){body.data, body.len});
	x->response->out.failed |= body.failed;
	text_fini(&body);
}

static void
echo_fields(const struct request *r, struct text *body)
{
	struct slice rest = r->fields, name, value;
	const char *comma = "";

	while (request_next_field(&rest, &name, &value)) {
		text_printf(body, "%s\n  [", comma);
		text_append_json(body, name);
		text_printf(body, ", ");
		text_append_json(body, value);
		text_printf(body, "]");
		comma = ",";
	}
}

void
route_echo(struct exchange *x)
{
	const struct request *r = x->request;
	struct text body = {0};

	text_printf(&body, "{\"method\": ");
	text_append_json(&body, r->method);
	text_printf(&body, ",\n \"target\": ");
	text_append_json(&body, r->target);
	text_printf(&body, ",\n \"headers\": [");
	echo_fields(r, &body);
	text_printf(&body,
		    "],\n \"body_length\": %zu,\n \"body\": ", r->body.len);
	text_append_json(&body, r->body);
	text_printf(&body, "}\n");
	respond(x, 200);
	respond_body(x, "application/json",
		     (struct slice){body.data, body.len});
	x->response->out.failed |= body.failed;
	text_fini(&body);
}

void
route_auth(struct exchange *x)
{
	if (request_field(x->request, "authorization").data) {
		respond_text(x, 200, "welcome\n");
		return;
	}
	respond(x, 401);
	respond_field(x, "WWW-Authenticate: Basic realm=\"sample\"");
	respond_body(x, "text/plain", SLICE("who are you?\n"));
}

void
route_stats(struct exchange *x)
{
	const char *names[STATS_ROUTES_MAX];
	struct text body = {0};

	for (size_t i = 0; i < routes_len; i++)
		names[i] = routes[i].name[0] ? routes[i].name : "/";
	/* Tell first, reset after: the reader sees what is thrown away. */
	stats_write(&x->site->stats, names, routes_len, &body);
	if (request_param(x->request, "reset").data) {
		stats_reset(&x->site->stats);
		ids_forget(x->site->ids);
	}
	respond(x, 200);
	respond_field(x, "Cache-Control: no-store");
	respond_body(x, "application/json",
		     (struct slice){body.data, body.len});
	x->response->out.failed |= body.failed;
	text_fini(&body);
}
