/*
 * The site: one thread, one epoll loop, all connections.
 *
 * Connections belong to the site.  They are woken by their socket, by their
 * one timer, or because they used up their share of a turn and asked to go on
 * in the next one; never by each other.
 */
#ifndef WEIR_EXAMPLES_SITE_SITE_H
#define WEIR_EXAMPLES_SITE_SITE_H

#include "ids.h"
#include "response.h"
#include "stats.h"
#include "base/heap.h"
#include "base/list.h"

struct site {
	int epoll_fd, listen_fd, signal_fd;
	uint64_t port;
	uint64_t seed;
	size_t connections_max;
	int64_t now_ns; /* as of the start of this turn of the loop */
	time_t date_at;
	char date[HTTP_DATE_SIZE];
	struct weir_heap timers;
	struct weir_list connections;
	struct weir_list ready; /* run these before waiting again */
	struct ids *ids;
	struct stats stats;
	bool stopping;
};

/* Everything but the options (port, seed).  0, or -1 with errno set. */
int site_init(struct site *site);
void site_fini(struct site *site);

/* Serve until SIGTERM or SIGINT.  0, or -1 with errno set. */
int site_run(struct site *site);

const char *site_date(struct site *site);

enum conn_state {
	CONN_READING,
	CONN_PAUSED, /* until the timer: a slow route, or a drip */
	CONN_SENDING,
	CONN_HUNG,     /* until the client goes */
	CONN_DRAINING, /* all is sent; read until the client closes too */
};

struct conn {
	struct site *site;
	int fd;
	enum conn_state state;
	bool drained; /* the last read got all there was */
	bool gone;    /* the client has closed its side */
	bool asked_to_continue;
	bool in_progress; /* counted in the stats, under: */
	size_t host;
	struct weir_heap_node timer; /* in site->timers */
	struct weir_list all, ready; /* in site->connections and ->ready */
	struct text in;
	size_t scanned; /* of in, for the end of a head */
	struct unchunk chunks;
	struct response response;
};

/* Take over fd, non-blocking; the connection frees itself when it ends. */
void conn_open(struct site *site, int fd);
void conn_event(struct conn *c, uint32_t events);
void conn_timer(struct conn *c);
void conn_run(struct conn *c);
void conn_free(struct conn *c);

/* Answer a request: find its route, and let that fill the response. */
void routes_answer(struct exchange *x, bool counted);

/* Is this a request that the stats leave out? */
bool routes_is_unseen(const struct request *r);

/* Print n URLs under base, in the mix of `make demo`.  0 or -1. */
int urls_print(uint64_t n, const char *base, uint64_t seed);

#endif
