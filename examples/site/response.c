/*
 * Building the responses of response.h.
 *
 * Design: head and body are appended to one text, so that a small response
 * leaves in one send().  Running out of memory on the way is remembered by
 * the text; the connection looks once, and closes rather than send a stump.
 */
#include "response.h"
#include "site.h"
#include "base/assert.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct {
	int status;
	const char *reason;
} reasons[] = {
	{200, "OK"},
	{204, "No Content"},
	{206, "Partial Content"},
	{301, "Moved Permanently"},
	{302, "Found"},
	{303, "See Other"},
	{304, "Not Modified"},
	{307, "Temporary Redirect"},
	{308, "Permanent Redirect"},
	{400, "Bad Request"},
	{401, "Unauthorized"},
	{403, "Forbidden"},
	{404, "Not Found"},
	{408, "Request Timeout"},
	{410, "Gone"},
	{413, "Content Too Large"},
	{416, "Range Not Satisfiable"},
	{429, "Too Many Requests"},
	{431, "Request Header Fields Too Large"},
	{500, "Internal Server Error"},
	{501, "Not Implemented"},
	{502, "Bad Gateway"},
	{503, "Service Unavailable"},
	{504, "Gateway Timeout"},
	{505, "HTTP Version Not Supported"},
};

/* Clients ignore it; it is here for people who read along. */
static const char *
reason_of(int status)
{
	for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
		if (reasons[i].status == status)
			return reasons[i].reason;
	return "Status";
}

void
http_date(char ret[static HTTP_DATE_SIZE], time_t when)
{
	static const char days[][4] = {"Sun", "Mon", "Tue", "Wed",
				       "Thu", "Fri", "Sat"};
	static const char months[][4] = {"Jan", "Feb", "Mar", "Apr",
					 "May", "Jun", "Jul", "Aug",
					 "Sep", "Oct", "Nov", "Dec"};
	/* gcc believes that a year may have ten digits. */
	char text[96];
	struct tm tm;

	if (!gmtime_r(&when, &tm) || tm.tm_year > 9999 - 1900)
		tm = (struct tm){.tm_mday = 1, .tm_year = 70, .tm_wday = 4};
	snprintf(text, sizeof(text), "%s, %02d %s %04d %02d:%02d:%02d GMT",
		 days[tm.tm_wday], tm.tm_mday, months[tm.tm_mon],
		 tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec);
	memcpy(ret, text, HTTP_DATE_SIZE - 1);
	ret[HTTP_DATE_SIZE - 1] = '\0';
}

void
respond(struct exchange *x, int status)
{
	struct response *r = x->response;

	weir_assert(r->out.len == 0);
	r->status = status;
	r->ending = x->request->keep_alive ? END_KEEP : END_CLOSE;
	r->head_only = x->request->head_only;
	text_printf(&r->out,
		    "HTTP/1.1 %d %s\r\nServer: sample-site\r\nDate: %s\r\n%s",
		    status, reason_of(status), site_date(x->site),
		    x->request->keep_alive ? "" : "Connection: close\r\n");
}

void
respond_field(struct exchange *x, const char *format, ...)
{
	/* Routes keep their fields short; long ones are appended by hand. */
	char line[1024];
	va_list args;
	int len;

	va_start(args, format);
	len = vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	weir_assert(len >= 0 && (size_t)len < sizeof(line));
	text_append(&x->response->out, (struct slice){line, (size_t)len});
	text_append(&x->response->out, SLICE("\r\n"));
}

void
respond_no_body(struct exchange *x)
{
	text_append(&x->response->out, SLICE("\r\n"));
}

void
respond_body(struct exchange *x, const char *type, struct slice body)
{
	text_printf(&x->response->out,
		    "Content-Type: %s\r\nContent-Length: %zu\r\n\r\n", type,
		    body.len);
	if (!x->response->head_only)
		text_append(&x->response->out, body);
}

void
respond_stream(struct exchange *x, more_fn *more, uint64_t at, uint64_t end)
{
	struct response *r = x->response;

	text_append(&r->out, SLICE("\r\n"));
	if (r->head_only)
		return;
	r->more = more;
	r->at = at;
	r->end = end;
}

void
respond_text(struct exchange *x, int status, const char *format, ...)
{
	char body[512];
	va_list args;
	int len;

	va_start(args, format);
	len = vsnprintf(body, sizeof(body), format, args);
	va_end(args);
	weir_assert(len >= 0 && (size_t)len < sizeof(body));
	respond(x, status);
	respond_body(x, "text/plain", (struct slice){body, (size_t)len});
}

static void
response_free_state(struct response *r)
{
	if (r->state_free)
		r->state_free(r->state);
	r->state = NULL;
	r->state_free = NULL;
}

void
response_clear(struct response *r)
{
	struct text out = r->out;

	response_free_state(r);
	text_clear(&out);
	*r = (struct response){.out = out};
}

void
response_fini(struct response *r)
{
	response_free_state(r);
	text_fini(&r->out);
}
