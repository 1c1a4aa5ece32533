/*
 * The counters of stats.h.
 *
 * Design: plain arrays that never grow.  Hosts are looked up one by one,
 * which is quick because there are few of them; statuses and routes are
 * indices.  Only what is not zero is written.
 */
#include "stats.h"
#include "base/assert.h"

#include <inttypes.h>
#include <string.h>

static void
gauge_begin(struct gauge *g)
{
	g->requests++;
	g->in_progress++;
	if (g->in_progress > g->in_progress_max)
		g->in_progress_max = g->in_progress;
}

static void
gauge_end(struct gauge *g)
{
	weir_assert(g->in_progress > 0);
	g->in_progress--;
}

static void
gauge_reset(struct gauge *g)
{
	/* What is still in progress is part of the new peak already. */
	g->requests = 0;
	g->in_progress_max = g->in_progress;
}

static size_t
host_add(struct stats *s, struct slice host)
{
	struct host_stats *h;

	if (s->hosts_len == STATS_HOSTS_MAX)
		return STATS_HOSTS_MAX - 1;
	/* Hosts are named by clients, so their number needs a bound. */
	if (s->hosts_len == STATS_HOSTS_MAX - 1)
		host = SLICE("(others)");
	h = &s->hosts[s->hosts_len];
	*h = (struct host_stats){.name_len = host.len};
	memcpy(h->name, host.data, host.len);
	return s->hosts_len++;
}

static size_t
host_index(struct stats *s, struct slice host)
{
	if (!host.data)
		host = SLICE("");
	if (host.len > STATS_HOST_LEN_MAX)
		host.len = STATS_HOST_LEN_MAX;
	for (size_t i = 0; i < s->hosts_len; i++)
		if (s->hosts[i].name_len == host.len &&
		    memcmp(s->hosts[i].name, host.data, host.len) == 0)
			return i;
	return host_add(s, host);
}

size_t
stats_begin(struct stats *s, struct slice host)
{
	size_t i = host_index(s, host);

	gauge_begin(&s->all);
	gauge_begin(&s->hosts[i].gauge);
	return i;
}

void
stats_end(struct stats *s, size_t host)
{
	weir_assert(host < s->hosts_len);
	gauge_end(&s->all);
	gauge_end(&s->hosts[host].gauge);
}

void
stats_reset(struct stats *s)
{
	gauge_reset(&s->all);
	for (size_t i = 0; i < s->hosts_len; i++)
		gauge_reset(&s->hosts[i].gauge);
	s->connections = 0;
	s->connections_refused = 0;
	s->bytes_sent = 0;
	memset(s->routes, 0, sizeof(s->routes));
	memset(s->statuses, 0, sizeof(s->statuses));
}

static void
gauge_write(const struct gauge *g, struct text *out)
{
	text_printf(out,
		    "\"requests\":%" PRIu64 ",\"in_progress\":%" PRIu64
		    ",\"in_progress_max\":%" PRIu64,
		    g->requests, g->in_progress, g->in_progress_max);
}

static void
hosts_write(const struct stats *s, struct text *out)
{
	for (size_t i = 0; i < s->hosts_len; i++) {
		const struct host_stats *h = &s->hosts[i];

		text_printf(out, "%s\n  ", i > 0 ? "," : "");
		text_append_json(out, (struct slice){h->name, h->name_len});
		text_printf(out, ":{");
		gauge_write(&h->gauge, out);
		text_printf(out, "}");
	}
}

void
stats_write(const struct stats *s, const char *const *names, size_t names_len,
	    struct text *out)
{
	const char *comma = "";

	text_printf(out, "{");
	gauge_write(&s->all, out);
	text_printf(out,
		    ",\n \"connections\":%" PRIu64
		    ",\"connections_open\":%" PRIu64
		    ",\"connections_refused\":%" PRIu64
		    ",\"bytes_sent\":%" PRIu64 ",\n \"hosts\":{",
		    s->connections, s->connections_open, s->connections_refused,
		    s->bytes_sent);
	hosts_write(s, out);
	text_printf(out, "},\n \"routes\":{");
	for (size_t i = 0; i < names_len; i++) {
		if (s->routes[i] == 0)
			continue;
		text_printf(out, "%s\"%s\":%" PRIu64, comma, names[i],
			    s->routes[i]);
		comma = ",";
	}
	text_printf(out, "},\n \"statuses\":{");
	comma = "";
	for (int i = 0; i < STATS_STATUS_MAX; i++) {
		if (s->statuses[i] == 0)
			continue;
		text_printf(out, "%s\"%d\":%" PRIu64, comma, i, s->statuses[i]);
		comma = ",";
	}
	text_printf(out, "}}\n");
}
