/*
 * Requests: the head of an HTTP/1.x message, taken apart without copying.
 *
 * All slices of a request point into the connection's input, and are good
 * until that input moves; so a route looks at its request, builds the answer,
 * and keeps nothing of it.
 */
#ifndef WEIR_EXAMPLES_SITE_REQUEST_H
#define WEIR_EXAMPLES_SITE_REQUEST_H

#include "text.h"

/* What a request may have, at most; beyond it is 431 and 413. */
#define REQUEST_HEAD_MAX (64u * 1024)
#define REQUEST_BODY_MAX (1024u * 1024)

struct request {
	struct slice method, target;
	struct slice path, query; /* of target, without the '?' */
	struct slice host;        /* empty when there is none */
	struct slice fields;      /* the header lines, each with its CRLF */
	struct slice body;        /* filled in once it is all there */
	uint64_t content_length;
	bool chunked, has_length;
	bool head_only;  /* HEAD: the answer has no body */
	bool keep_alive; /* HTTP/1.1, and no "Connection: close" */
	bool expects_continue;
};

/* The length of the head at the start of data, blank line included, or 0. */
size_t request_head_len(struct slice data, size_t scanned);

/*
 * Take apart a head of request_head_len() bytes.  Returns 0, or the status of
 * the refusal that it deserves; *ret can be answered either way.
 */
int request_parse(struct request *ret, struct slice head);

/* The value of the first header field of that name; data is NULL if none. */
struct slice request_field(const struct request *r, const char *name);

/* Walk the header fields: false after the last one. */
bool request_next_field(struct slice *rest, struct slice *ret_name,
			struct slice *ret_value);

/* A query parameter, still encoded; data is NULL if absent. */
struct slice request_param(const struct request *r, const char *name);

/* Append s with every %XX decoded; a % that is no such thing stays one. */
void text_append_decoded(struct text *t, struct slice s);

/*
 * Undo chunked transfer coding in place, as the bytes come in.
 *
 *      body: [ decoded ........ | gone | not looked at yet ]
 *            0                decoded  raw               len
 */
struct unchunk {
	enum { CHUNK_SIZE, CHUNK_DATA, CHUNK_END, CHUNK_TRAILER } state;
	size_t raw, decoded;
	uint64_t left; /* of the chunk at hand */
};

/* 1: the body is complete; 0: more bytes are needed; -1: it is broken. */
int unchunk_run(struct unchunk *u, char *body, size_t len);

#endif
