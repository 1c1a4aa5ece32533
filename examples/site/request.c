/*
 * The requests of request.h.
 *
 * Design: strict where leniency has caused request smuggling (line ends, a
 * length given twice, a length beside chunked coding, folded lines), and
 * indifferent elsewhere, because this server wants to see whatever its clients
 * send.  A request is parsed again from the start when its body was not there
 * the first time: that is cheaper than keeping slices right while the input
 * is reallocated under them.
 */
#include "request.h"

#include <string.h>

size_t
request_head_len(struct slice data, size_t scanned)
{
	const char *end;
	size_t from = scanned > 3 ? scanned - 3 : 0;

	if (data.len < 4)
		return 0;
	end = memmem(data.data + from, data.len - from, "\r\n\r\n", 4);
	return end ? (size_t)(end - data.data) + 4 : 0;
}

/* Take one line off the front of *rest, without its CRLF. */
static bool
next_line(struct slice *rest, struct slice *ret)
{
	const char *end =
		rest->len ? memmem(rest->data, rest->len, "\r\n", 2) : NULL;

	if (!end)
		return false;
	ret->data = rest->data;
	ret->len = (size_t)(end - rest->data);
	rest->data += ret->len + 2;
	rest->len -= ret->len + 2;
	return true;
}

/* "GET http://host/path?query": a client that takes us for a proxy. */
static struct slice
skip_authority(struct slice target)
{
	const char *colon = memmem(target.data, target.len, "://", 3);
	struct slice rest;

	if (!colon || target.data[0] == '/')
		return target;
	rest.data = colon + 3;
	rest.len = target.len - (size_t)(rest.data - target.data);
	slice_cut(&rest, '/');
	if (rest.data == target.data + target.len)
		return SLICE("/");
	return (struct slice){rest.data - 1, rest.len + 1};
}

static int
parse_request_line(struct request *ret, struct slice line)
{
	struct slice rest = line, origin;
	int refusal = 0;

	ret->method = slice_cut(&rest, ' ');
	ret->target = slice_cut(&rest, ' ');
	ret->head_only = slice_is(ret->method, "HEAD");
	if (slice_is(rest, "HTTP/1.1"))
		ret->keep_alive = true;
	else if (rest.len < 5 || memcmp(rest.data, "HTTP/", 5) != 0)
		refusal = 400;
	else if (!slice_is(rest, "HTTP/1.0"))
		refusal = 505;
	if (ret->method.len == 0 || ret->target.len == 0)
		return 400;
	origin = skip_authority(ret->target);
	if (origin.data[0] != '/')
		return 400;
	ret->query = origin;
	ret->path = slice_cut(&ret->query, '?');
	return refusal;
}

bool
request_next_field(struct slice *rest, struct slice *ret_name,
		   struct slice *ret_value)
{
	struct slice line;

	if (!next_line(rest, &line) || line.len == 0)
		return false;
	*ret_name = slice_cut(&line, ':');
	*ret_value = slice_trim(line);
	return true;
}

static bool
has_token(struct slice list, const char *token)
{
	while (list.len > 0)
		if (slice_is_nocase(slice_trim(slice_cut(&list, ',')), token))
			return true;
	return false;
}

/* The fields that decide where a message ends, and the Host. */
static int
parse_field(struct request *ret, struct slice name, struct slice value)
{
	if (slice_is_nocase(name, "host")) {
		ret->host = value;
	} else if (slice_is_nocase(name, "connection")) {
		if (has_token(value, "close"))
			ret->keep_alive = false;
	} else if (slice_is_nocase(name, "content-length")) {
		if (ret->has_length ||
		    !slice_number(value, UINT64_MAX, &ret->content_length))
			return 400;
		ret->has_length = true;
	} else if (slice_is_nocase(name, "transfer-encoding")) {
		if (!slice_is_nocase(value, "chunked"))
			return 501;
		ret->chunked = true;
	} else if (slice_is_nocase(name, "expect")) {
		ret->expects_continue = slice_is_nocase(value, "100-continue");
	}
	return 0;
}

/* Blanks in or before a name are how folding and smuggling begin. */
static bool
is_field_name(struct slice name)
{
	for (size_t i = 0; i < name.len; i++)
		if (name.data[i] <= ' ' || name.data[i] == 0x7f)
			return false;
	return name.len > 0;
}

int
request_parse(struct request *ret, struct slice head)
{
	struct slice rest = head, line, name, value;
	int refusal;

	*ret = (struct request){.path = SLICE("/")};
	if (!next_line(&rest, &line))
		return 400;
	refusal = parse_request_line(ret, line);
	ret->fields = rest;
	while (!refusal && next_line(&rest, &line) && line.len > 0) {
		/* A line without a colon leaves nothing behind its name. */
		name = slice_cut(&line, ':');
		value = slice_trim(line);
		if (!is_field_name(name) || line.data == name.data + name.len)
			refusal = 400;
		else
			refusal = parse_field(ret, name, value);
	}
	if (!refusal && ret->chunked && ret->has_length)
		refusal = 400;
	if (!refusal && ret->content_length > REQUEST_BODY_MAX)
		refusal = 413;
	return refusal;
}

struct slice
request_field(const struct request *r, const char *name)
{
	struct slice rest = r->fields, each, value;

	while (request_next_field(&rest, &each, &value))
		if (slice_is_nocase(each, name))
			return value;
	return (struct slice){0};
}

struct slice
request_param(const struct request *r, const char *name)
{
	struct slice rest = r->query;

	while (rest.len > 0) {
		struct slice value = slice_cut(&rest, '&');
		struct slice key = slice_cut(&value, '=');

		if (slice_is(key, name))
			return value;
	}
	return (struct slice){0};
}

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

void
text_append_decoded(struct text *t, struct slice s)
{
	for (size_t i = 0; i < s.len; i++) {
		char c = s.data[i];

		if (c == '%' && s.len - i > 2 &&
		    hex_digit(s.data[i + 1]) >= 0 &&
		    hex_digit(s.data[i + 2]) >= 0) {
			c = (char)(hex_digit(s.data[i + 1]) * 16 +
				   hex_digit(s.data[i + 2]));
			i += 2;
		}
		text_append(t, (struct slice){&c, 1});
	}
}

/* "1f4;extension": at most eight digits, which no body of ours reaches. */
static bool
parse_chunk_size(struct slice line, uint64_t *ret)
{
	struct slice digits = slice_trim(slice_cut(&line, ';'));
	uint64_t size = 0;

	if (digits.len == 0 || digits.len > 8)
		return false;
	for (size_t i = 0; i < digits.len; i++) {
		int digit = hex_digit(digits.data[i]);

		if (digit < 0)
			return false;
		size = size * 16 + (uint64_t)digit;
	}
	*ret = size;
	return true;
}

/* One line of the coding: a size, the empty one behind data, or a trailer. */
static int
unchunk_line(struct unchunk *u, struct slice line)
{
	switch (u->state) {
	case CHUNK_SIZE:
		if (!parse_chunk_size(line, &u->left))
			return -1;
		u->state = u->left > 0 ? CHUNK_DATA : CHUNK_TRAILER;
		return 0;
	case CHUNK_END:
		u->state = CHUNK_SIZE;
		return line.len == 0 ? 0 : -1;
	case CHUNK_TRAILER:
		return line.len == 0 ? 1 : 0;
	case CHUNK_DATA:
		break;
	}
	return -1;
}

static void
unchunk_data(struct unchunk *u, char *body, size_t len)
{
	size_t take = len - u->raw;

	if (take > u->left)
		take = (size_t)u->left;
	memmove(body + u->decoded, body + u->raw, take);
	u->decoded += take;
	u->raw += take;
	u->left -= take;
	if (u->left == 0)
		u->state = CHUNK_END;
}

int
unchunk_run(struct unchunk *u, char *body, size_t len)
{
	int done = 0;

	while (done == 0 && u->raw < len) {
		struct slice rest = {body + u->raw, len - u->raw}, line;

		if (u->state == CHUNK_DATA) {
			unchunk_data(u, body, len);
			continue;
		}
		if (!next_line(&rest, &line))
			return rest.len > 1024 ? -1 : 0;
		u->raw = len - rest.len;
		done = unchunk_line(u, line);
	}
	return done;
}
