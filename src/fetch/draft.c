/*
 * From a line of input to a request; see draft.h.
 *
 * Design: the texts of a line are collected as pointers into it (or into the
 * parsed JSON), checked, and then copied behind the request in one block.
 *
 * Locking: none; pure but for memory.
 */
#include "fetch/draft.h"

#include "fetch/url.h"

#include <curl/curl.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct text {
	const char *ptr;
	size_t len;
};

struct draft {
	struct text url, id, method, out, body;
	char id_number[24]; /* of an id that is a number */
	char *body_dumped;  /* of a body that is JSON, malloc()ed */
	struct curl_slist *headers;
	struct weir_fetch_url parts;
	char *why; /* why_size bytes, for the first thing that is wrong */
	size_t why_size;
};

static weir_status
refuse(struct draft *draft, const char *what, const char *why)
{
	snprintf(draft->why, draft->why_size, "%s%s%s", what, *what ? ": " : "",
		 why);
	return WEIR_INVAL;
}

static bool
append_header(struct draft *draft, const char *header)
{
	struct curl_slist *list = curl_slist_append(draft->headers, header);

	if (!list)
		return false;
	draft->headers = list;
	return true;
}

static weir_status
take_header(struct draft *draft, const char *name, const json_t *value)
{
	char *header = NULL;
	const char *why;
	weir_status status = WEIR_OK;
	int len;

	if (!json_is_string(value))
		return refuse(draft, "headers", "a value is not a string");
	if (strlen(json_string_value(value)) != json_string_length(value))
		return refuse(draft, "headers", "a NUL byte in a value");
	/* libcurl's way to send a header that is empty is "Name;". */
	len = json_string_length(value) > 0 ? asprintf(&header, "%s: %s", name,
						       json_string_value(value))
					    : asprintf(&header, "%s;", name);
	if (len < 0)
		return WEIR_NOMEM;
	why = weir__fetch_header_check(header, (size_t)len);
	if (why)
		status = refuse(draft, "headers", why);
	else if (!append_header(draft, header))
		status = WEIR_NOMEM;
	free(header);
	return status;
}

static weir_status
take_headers(struct draft *draft, json_t *value)
{
	const char *name;
	json_t *item;
	weir_status status;

	if (!json_is_object(value))
		return refuse(draft, "headers", "not an object");
	json_object_foreach(value, name, item)
	{
		status = take_header(draft, name, item);
		if (status != WEIR_OK)
			return status;
	}
	return WEIR_OK;
}

static weir_status
take_string(struct draft *draft, const char *name, const json_t *value,
	    struct text *ret)
{
	if (!json_is_string(value))
		return refuse(draft, name, "not a string");
	ret->ptr = json_string_value(value);
	ret->len = json_string_length(value);
	if (memchr(ret->ptr, '\0', ret->len))
		return refuse(draft, name, "a NUL byte in it");
	return WEIR_OK;
}

static weir_status
take_id(struct draft *draft, const json_t *value)
{
	if (!json_is_integer(value))
		return take_string(draft, "id", value, &draft->id);
	snprintf(draft->id_number, sizeof(draft->id_number),
		 "%" JSON_INTEGER_FORMAT, json_integer_value(value));
	draft->id.ptr = draft->id_number;
	draft->id.len = strlen(draft->id_number);
	return WEIR_OK;
}

/* A string is sent as it is, anything else as the JSON that it is. */
static weir_status
take_body(struct draft *draft, const json_t *value)
{
	if (json_is_string(value)) {
		draft->body.ptr = json_string_value(value);
		draft->body.len = json_string_length(value);
		return WEIR_OK;
	}
	draft->body_dumped = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
	if (!draft->body_dumped)
		return WEIR_NOMEM;
	draft->body.ptr = draft->body_dumped;
	draft->body.len = strlen(draft->body_dumped);
	return append_header(draft, "Content-Type: application/json")
		       ? WEIR_OK
		       : WEIR_NOMEM;
}

static weir_status
take_field(struct draft *draft, const char *name, json_t *value)
{
	if (strcmp(name, "url") == 0)
		return take_string(draft, name, value, &draft->url);
	if (strcmp(name, "method") == 0)
		return take_string(draft, name, value, &draft->method);
	if (strcmp(name, "out") == 0)
		return take_string(draft, name, value, &draft->out);
	if (strcmp(name, "id") == 0)
		return take_id(draft, value);
	if (strcmp(name, "headers") == 0)
		return take_headers(draft, value);
	if (strcmp(name, "body") == 0)
		return take_body(draft, value);
	return refuse(draft, "unknown field in the line", name);
}

static weir_status
take_fields(struct draft *draft, json_t *object)
{
	const char *name;
	json_t *value;
	weir_status status;

	json_object_foreach(object, name, value)
	{
		/* null is the same as not there. */
		status = json_is_null(value) ? WEIR_OK
					     : take_field(draft, name, value);
		if (status != WEIR_OK)
			return status;
	}
	if (!draft->url.ptr)
		return refuse(draft, "", "no url in the object");
	if (draft->method.ptr &&
	    !weir__fetch_method_check(draft->method.ptr, draft->method.len))
		return refuse(draft, "method", "not a word");
	return WEIR_OK;
}

static weir_status
check_url(struct draft *draft)
{
	const char *why = weir__fetch_url_check(draft->url.ptr, draft->url.len,
						&draft->parts);

	return why ? refuse(draft, "", why) : WEIR_OK;
}

/* Copy text to *at and step over it; NULL stays NULL. */
static const char *
put(char **at, const struct text *text)
{
	char *begin = *at;

	if (!text->ptr)
		return NULL;
	memcpy(begin, text->ptr, text->len);
	begin[text->len] = '\0';
	*at += text->len + 1;
	return begin;
}

static weir_status
build(struct weir_fetch_request **ret, struct draft *draft,
      const uint64_t key[2])
{
	struct weir_fetch_request *request;
	struct weir_buf shown = {0};
	struct text shown_text;
	char *at;

	if (weir__fetch_has_secret(draft->url.ptr, draft->url.len))
		weir__fetch_redact(&shown, draft->url.ptr, draft->url.len,
				   WEIR_FETCH_URL_MAX);
	shown_text = (struct text){shown.data, shown.len};
	request = shown.failed ? NULL
			       : calloc(1, sizeof(*request) + draft->url.len +
						   shown.len + draft->id.len +
						   draft->method.len +
						   draft->out.len +
						   draft->body.len + 6);
	if (!request) {
		weir__buf_fini(&shown);
		return WEIR_NOMEM;
	}
	at = (char *)(request + 1);
	request->url = put(&at, &draft->url);
	request->shown = shown.data ? put(&at, &shown_text) : request->url;
	request->id = put(&at, &draft->id);
	request->method = put(&at, &draft->method);
	request->out = put(&at, &draft->out);
	request->body = put(&at, &draft->body);
	request->body_len = draft->body.len;
	request->headers = draft->headers;
	draft->headers = NULL;
	request->host_key =
		weir__fetch_url_host_key(request->url, &draft->parts, key);
	weir__buf_fini(&shown);
	*ret = request;
	return WEIR_OK;
}

static weir_status
from_json(struct weir_fetch_request **ret, struct draft *draft,
	  const char *line, size_t len, const uint64_t key[2])
{
	json_error_t error;
	json_t *object = json_loadb(
		line, len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
	weir_status status;

	if (!object)
		return refuse(draft, "not JSON", error.text);
	status = take_fields(draft, object);
	if (status == WEIR_OK)
		status = check_url(draft);
	if (status == WEIR_OK)
		status = build(ret, draft, key);
	json_decref(object);
	return status;
}

weir_status
weir__fetch_draft(struct weir_fetch_request **ret, const char *line, size_t len,
		  const uint64_t key[2], char *why, size_t why_size)
{
	struct draft draft = {.why = why, .why_size = why_size};
	weir_status status;

	if (len > 0 && line[0] == '{') {
		status = from_json(ret, &draft, line, len, key);
	} else {
		draft.url = (struct text){line, len};
		status = check_url(&draft);
		if (status == WEIR_OK)
			status = build(ret, &draft, key);
	}
	curl_slist_free_all(draft.headers);
	free(draft.body_dumped);
	return status;
}
