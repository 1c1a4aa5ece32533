/*
 * Responses: a head, a body, and an ending.
 *
 * A route never writes to a socket.  It describes its answer here: bytes that
 * are there at once (`out`), a function that makes the rest of them piece by
 * piece (`more`), pauses, and what becomes of the connection in the end.  That
 * is enough to misbehave in every way the site knows, and the connection code
 * needs to know none of them.
 */
#ifndef WEIR_EXAMPLES_SITE_RESPONSE_H
#define WEIR_EXAMPLES_SITE_RESPONSE_H

#include "request.h"

#include <time.h>

#define NS_PER_MS INT64_C(1000000)

/* How much of a body is made at a time. */
#define PIECE_MAX 16384u

enum ending {
	END_KEEP,  /* the next request may come */
	END_CLOSE, /* end of stream, whatever Content-Length promised */
	END_RESET, /* RST */
	END_HANG,  /* nothing more, for as long as the client waits */
};

struct response;

/* Append the next piece to r->out.  False: that was the last. */
typedef bool more_fn(struct response *r);

struct response {
	struct text out;
	size_t sent; /* of out */
	more_fn *more;
	uint64_t at,
		end; /* for more: offset of the next byte, and of the end */
	char lead;   /* for more: see body_append() */
	void *state; /* for more: freed by state_free */
	void (*state_free)(void *state);
	int64_t delay_ns; /* before the first byte */
	int64_t gap_ns;   /* after each call of more */
	enum ending ending;
	int status;
	bool head_only;
};

struct site;

/* One request being answered: what every route is given. */
struct exchange {
	struct site *site;
	const struct request *request;
	struct response *response;
	struct slice args[2]; /* the path behind the route's name, encoded */
};

/*
 * The status line and the fields of every response.  Then respond_field()s,
 * then one of those that end the head: _body, _stream or _no_body.
 */
void respond(struct exchange *x, int status);
void respond_field(struct exchange *x, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
void respond_body(struct exchange *x, const char *type, struct slice body);
void respond_no_body(struct exchange *x);

/*
 * End the head, and let more make the body from offset at to end.  The head
 * must have said how long it is, if it is to say so at all.
 */
void respond_stream(struct exchange *x, more_fn *more, uint64_t at,
		    uint64_t end);

/* A whole text/plain response. */
void respond_text(struct exchange *x, int status, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Back to an empty response, memory given back. */
void response_clear(struct response *r);
void response_fini(struct response *r);

/* "Sun, 06 Nov 1994 08:49:37 GMT" and its zero. */
#define HTTP_DATE_SIZE 30
void http_date(char ret[static HTTP_DATE_SIZE], time_t when);

#endif
