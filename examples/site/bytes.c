/*
 * Bodies of a given length, whole or in part: the routes for resuming.
 *
 * All of them serve one endless document (see body_append() in routes.h) cut
 * off at N.  Ranges follow RFC 9110: one range, with If-Range as a strong
 * ETag or the exact date; several ranges at once are ignored, which is
 * allowed, and so is a Range that makes no sense.
 */
#include "routes.h"
#include "site.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define LINE 16u
/* Sunday, 1 January 2023: a date that is the same in every run. */
#define MODIFIED_AT ((time_t)1672574400)

static void
append_line(struct text *out, char lead, uint64_t offset)
{
	char line[LINE];

	line[LINE - 1] = '\n';
	for (unsigned i = LINE - 1; i-- > 0; offset /= 10)
		line[i] = (char)('0' + offset % 10);
	line[0] = lead;
	text_append(out, (struct slice){line, LINE});
}

void
body_append(struct text *out, char lead, uint64_t at, uint64_t end)
{
	size_t start = out->len, skip = at % LINE;
	uint64_t offset = at - skip;

	if (at >= end)
		return;
	for (; offset < end; offset += LINE)
		append_line(out, lead, offset);
	if (out->failed)
		return;
	/* Whole lines were laid down; trim them to what was asked for. */
	out->len -= (size_t)(offset - end);
	if (skip > 0) {
		memmove(out->data + start, out->data + start + skip,
			out->len - start - skip);
		out->len -= skip;
	}
}

bool
body_more(struct response *r)
{
	uint64_t end = r->end;

	if (end - r->at > PIECE_MAX)
		end = r->at + PIECE_MAX;
	body_append(&r->out, r->lead, r->at, end);
	r->at = end;
	return r->at < r->end;
}

/* One representation that a client may ask parts of. */
struct document {
	uint64_t size;
	char etag[64]; /* empty: none, and no date either */
	char date[HTTP_DATE_SIZE];
	char lead;
};

enum range { RANGE_NONE, RANGE_PART, RANGE_UNSATISFIABLE };

/* "first-", "first-last" or "-suffix" of a document of size bytes. */
static enum range
parse_range(struct slice spec, uint64_t size, uint64_t *ret_at,
	    uint64_t *ret_end)
{
	struct slice first = slice_cut(&spec, '-');
	uint64_t at = 0, last = UINT64_MAX - 1;

	if (first.len == 0) {
		if (!slice_number(spec, UINT64_MAX, &last))
			return RANGE_NONE;
		*ret_at = last < size ? size - last : 0;
		*ret_end = size;
		return last > 0 && size > 0 ? RANGE_PART : RANGE_UNSATISFIABLE;
	}
	if (!slice_number(first, UINT64_MAX, &at) ||
	    (spec.len > 0 && !slice_number(spec, UINT64_MAX - 1, &last)) ||
	    last < at)
		return RANGE_NONE;
	if (at >= size)
		return RANGE_UNSATISFIABLE;
	*ret_at = at;
	*ret_end = last + 1 < size ? last + 1 : size;
	return RANGE_PART;
}

static enum range
requested_range(const struct request *r, const struct document *d,
		uint64_t *ret_at, uint64_t *ret_end)
{
	struct slice range = request_field(r, "range"), unit;
	struct slice condition = request_field(r, "if-range");

	if (!range.data || request_param(r, "no-range").data)
		return RANGE_NONE;
	/* A weak tag starts with W and never compares equal here. */
	if (condition.data &&
	    (d->etag[0] != '"' || !slice_is(condition, d->etag)) &&
	    (!d->etag[0] || !slice_is(condition, d->date)))
		return RANGE_NONE;
	unit = slice_cut(&range, '=');
	if (!slice_is_nocase(unit, "bytes"))
		return RANGE_NONE;
	return parse_range(range, d->size, ret_at, ret_end);
}

static void
document_init(struct document *d, const struct exchange *x, uint64_t size,
	      unsigned version)
{
	const struct request *r = x->request;

	*d = (struct document){.size = size, .lead = (char)('0' + version)};
	http_date(d->date, MODIFIED_AT + (time_t)version * 3600);
	if (request_param(r, "no-validator").data)
		return;
	snprintf(d->etag, sizeof(d->etag), "%s\"%" PRIu64 "-v%u\"",
		 request_param(r, "weak").data ? "W/" : "", size, version + 1);
}

static void
respond_validators(struct exchange *x, const struct document *d)
{
	if (!request_param(x->request, "no-range").data)
		respond_field(x, "Accept-Ranges: bytes");
	if (!d->etag[0])
		return;
	respond_field(x, "ETag: %s", d->etag);
	respond_field(x, "Last-Modified: %s", d->date);
}

static void
respond_unsatisfiable(struct exchange *x, const struct document *d)
{
	respond(x, 416);
	respond_field(x, "Content-Range: bytes */%" PRIu64, d->size);
	respond_body(x, "text/plain", SLICE("beyond the end\n"));
}

/*
 * Send d, or the part of it that was asked for.  With cut, stop half-way and
 * close, whatever Content-Length has promised.
 */
static void
respond_document(struct exchange *x, const struct document *d, bool cut)
{
	uint64_t at = 0, end = d->size;
	enum range range = requested_range(x->request, d, &at, &end);

	if (range == RANGE_UNSATISFIABLE) {
		respond_unsatisfiable(x, d);
		return;
	}
	/* ?wrong-range: the server sends another part than it was asked for. */
	if (range == RANGE_PART && at > 0 &&
	    request_param(x->request, "wrong-range").data)
		at--;
	respond(x, range == RANGE_PART ? 206 : 200);
	respond_validators(x, d);
	if (range == RANGE_PART)
		respond_field(x,
			      "Content-Range: bytes %" PRIu64 "-%" PRIu64
			      "/%" PRIu64,
			      at, end - 1, d->size);
	respond_field(x, "Content-Type: text/plain");
	respond_field(x, "Content-Length: %" PRIu64, end - at);
	if (cut) {
		end = at + (end - at) / 2;
		x->response->ending = END_CLOSE;
	}
	x->response->lead = d->lead;
	respond_stream(x, body_more, at, end);
}

void
route_bytes(struct exchange *x)
{
	struct document d;
	uint64_t size;

	if (!route_number(x, 0, INT64_MAX, &size))
		return;
	document_init(&d, x, size, 0);
	respond_document(x, &d, request_param(x->request, "cut").data != NULL);
}

void
route_bytes_cut_once(struct exchange *x)
{
	struct document d;
	uint64_t size;

	if (!route_number(x, 0, INT64_MAX, &size))
		return;
	document_init(&d, x, size, 0);
	respond_document(x, &d, ids_count(x->site->ids, x->request->path) == 0);
}

/* ?cut cuts the first version short, so that there is a part to resume. */
void
route_changed(struct exchange *x)
{
	struct document d;
	uint64_t size;
	bool changed;

	if (!route_number(x, 0, INT64_MAX, &size))
		return;
	changed = ids_count(x->site->ids, x->request->path) > 0;
	document_init(&d, x, size, changed ? 1 : 0);
	respond_document(x, &d,
			 !changed && request_param(x->request, "cut").data);
}

/* Chunks grow from 1 byte to a piece, so that sizes of every magnitude occur.
 */
static bool
chunked_more(struct response *r)
{
	uint64_t end = r->at + 1 + r->at / 2;

	if (end > r->end)
		end = r->end;
	if (end - r->at > PIECE_MAX)
		end = r->at + PIECE_MAX;
	if (r->at < end) {
		text_printf(&r->out, "%" PRIx64 "\r\n", end - r->at);
		body_append(&r->out, '0', r->at, end);
		text_append(&r->out, SLICE("\r\n"));
	}
	r->at = end;
	if (r->at < r->end)
		return true;
	text_append(&r->out, SLICE("0\r\n\r\n"));
	return false;
}

void
route_chunked(struct exchange *x)
{
	uint64_t size;

	if (!route_number(x, 0, INT64_MAX, &size))
		return;
	respond(x, 200);
	respond_field(x, "Content-Type: text/plain");
	respond_field(x, "Transfer-Encoding: chunked");
	respond_stream(x, chunked_more, 0, size);
}
