/*
 * What the site counts, and tells at /stats.
 *
 * A request is in progress from the moment it has been read in full until the
 * last byte of its answer was handed to the kernel, or its connection ended.
 * As the site has one thread, a client that waits for each answer before it
 * asks again can never be counted twice: the peaks are exact, and tests hold
 * `weir fetch -j` and `--per-host` against them.
 */
#ifndef WEIR_EXAMPLES_SITE_STATS_H
#define WEIR_EXAMPLES_SITE_STATS_H

#include "text.h"

#define STATS_HOSTS_MAX    32 /* the last one stands for all others */
#define STATS_HOST_LEN_MAX 255
#define STATS_ROUTES_MAX   64
#define STATS_STATUS_MAX   1000

struct gauge {
	uint64_t requests;
	uint64_t in_progress, in_progress_max;
};

struct host_stats {
	char name[STATS_HOST_LEN_MAX + 1];
	size_t name_len;
	struct gauge gauge;
};

struct stats {
	struct gauge all;
	struct host_stats hosts[STATS_HOSTS_MAX];
	size_t hosts_len;
	uint64_t connections, connections_open, connections_refused;
	uint64_t bytes_sent;
	uint64_t routes[STATS_ROUTES_MAX];
	uint64_t statuses[STATS_STATUS_MAX];
};

/* Begin a request to that host; pass what it returns to stats_end(). */
size_t stats_begin(struct stats *s, struct slice host);
void stats_end(struct stats *s, size_t host);

/* Start counting anew; what is open or in progress stays so. */
void stats_reset(struct stats *s);

/* Everything as JSON; names[i] belongs to routes[i]. */
void stats_write(const struct stats *s, const char *const *names,
		 size_t names_len, struct text *out);

#endif
