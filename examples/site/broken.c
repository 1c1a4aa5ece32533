/*
 * Routes that break the rules: answers cut short, without end, or missing.
 *
 * What distinguishes them is only the `more` function, the pause and the
 * ending of their responses; the connection code treats them like all others.
 */
#include "routes.h"
#include "site.h"

#include <inttypes.h>

/* Long enough for what was sent to be read before the reset is seen. */
#define RESET_PAUSE_NS (20 * NS_PER_MS)

/* A head that promises size bytes. */
static void
respond_promise(struct exchange *x, uint64_t size)
{
	respond(x, 200);
	respond_field(x, "Content-Type: text/plain");
	respond_field(x, "Content-Length: %" PRIu64, size);
	x->response->lead = '0';
}

void
route_cut(struct exchange *x)
{
	uint64_t size;

	if (!route_number(x, 0, INT64_MAX, &size) || size == 0)
		return;
	respond_promise(x, size);
	respond_stream(x, body_more, 0, size / 2);
	x->response->ending = END_CLOSE;
}

/* Half of the body at once, then a pause, then the ending: the reset. */
static bool
reset_more(struct response *r)
{
	if (r->at == r->end) {
		r->gap_ns = RESET_PAUSE_NS;
		return false;
	}
	body_more(r);
	return true;
}

void
route_reset(struct exchange *x)
{
	uint64_t size;

	if (!route_number(x, 0, INT64_MAX, &size) || size == 0)
		return;
	respond_promise(x, size);
	respond_stream(x, reset_more, 0, size / 2);
	x->response->ending = END_RESET;
}

/* A response of no bytes at all; 444 is what nginx logs for that. */
static void
respond_nothing(struct exchange *x, enum ending ending)
{
	x->response->status = 444;
	x->response->ending = ending;
}

void
route_close(struct exchange *x)
{
	respond_nothing(x, END_CLOSE);
}

void
route_silent(struct exchange *x)
{
	respond_nothing(x, END_HANG);
}

/* A whole chunk, and four bytes of one that promised 64. */
static bool
chunked_cut_more(struct response *r)
{
	text_append(&r->out, SLICE("10\r\n0123456789abcdef\r\n40\r\n0123"));
	return false;
}

void
route_chunked_cut(struct exchange *x)
{
	respond(x, 200);
	respond_field(x, "Content-Type: text/plain");
	respond_field(x, "Transfer-Encoding: chunked");
	respond_stream(x, chunked_cut_more, 0, 0);
	x->response->ending = END_CLOSE;
}

/* Without a length, only the end of the connection could end this body. */
void
route_endless_body(struct exchange *x)
{
	respond(x, 200);
	respond_field(x, "Content-Type: text/plain");
	x->response->lead = '0';
	respond_stream(x, body_more, 0, UINT64_MAX);
	x->response->ending = END_CLOSE;
}

static bool
endless_headers_more(struct response *r)
{
	for (int i = 0; i < 100; i++)
		text_printf(&r->out, "X-Endless-%" PRIu64 ": and so on\r\n",
			    r->at++);
	return r->at < r->end;
}

/* The head is left open here, and goes on where the body would be. */
void
route_endless_headers(struct exchange *x)
{
	respond(x, 200);
	x->response->more = endless_headers_more;
	x->response->end = UINT64_MAX;
	x->response->head_only = false;
	x->response->ending = END_CLOSE;
}

static bool
drip_more(struct response *r)
{
	body_append(&r->out, '0', r->at, r->at + 1);
	return ++r->at < r->end;
}

/* ?bytes=N drips N of them instead of 1000. */
void
route_drip(struct exchange *x)
{
	uint64_t ms, size = 1000;

	if (!route_number(x, 0, 3600 * 1000, &ms))
		return;
	(void)slice_number(request_param(x->request, "bytes"), INT64_MAX,
			   &size);
	if (size == 0)
		return;
	respond_promise(x, size);
	respond_stream(x, drip_more, 0, size);
	x->response->gap_ns = (int64_t)ms * NS_PER_MS;
}

void
route_stall(struct exchange *x)
{
	respond_promise(x, 1000);
	respond_no_body(x);
	x->response->ending = END_HANG;
}
