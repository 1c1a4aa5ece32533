/*
 * The routes, one function each, by the file that has them.
 *
 * A route gets its arguments in x->args, still encoded, and must fill
 * x->response.  One that sets no status has refused the arguments; its caller
 * answers 400 with the route's usage.
 */
#ifndef WEIR_EXAMPLES_SITE_ROUTES_H
#define WEIR_EXAMPLES_SITE_ROUTES_H

#include "response.h"

typedef void route_fn(struct exchange *x);

struct route {
	const char *name;
	unsigned args; /* path segments it needs behind its name */
	route_fn *run;
	const char *usage;
	const char *help;
};

extern const struct route routes[];
extern const size_t routes_len;

/* pages.c: well-behaved */
route_fn route_index, route_fast, route_slow, route_status, route_missing,
	route_echo, route_auth, route_stats;

/* again.c: different the next time, or elsewhere */
route_fn route_retry_after, route_retry_after_date, route_flaky, route_redirect,
	route_redirect_loop, route_redirect_to;

/* bytes.c: bodies of a given length, and parts of them */
route_fn route_bytes, route_bytes_cut_once, route_changed, route_chunked;

/* broken.c: never right */
route_fn route_cut, route_reset, route_close, route_chunked_cut,
	route_endless_body, route_endless_headers, route_drip, route_stall,
	route_silent;

/* gzip.c */
route_fn route_gzip, route_gzip_bomb, route_gzip_broken;

/* model.c: embeddings */
route_fn route_model;

/* The n-th argument as a number of at most max. */
bool route_number(const struct exchange *x, size_t n, uint64_t max,
		  uint64_t *ret);

/*
 * Append bytes at .. end - 1 of the site's one big document.  Its lines are
 * 16 bytes long and hold their own offset, so that a byte out of place shows:
 *
 *      seq -f '%015.0f' 0 16 1000 | head -c 1000      # is /bytes/1000
 *
 * lead stands for the first digit of each line, to tell versions apart.
 */
void body_append(struct text *out, char lead, uint64_t at, uint64_t end);

/* A more_fn: that document, from r->at to r->end, with r->lead. */
more_fn body_more;

#endif
