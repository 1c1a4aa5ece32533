/*
 * The loop of site.h.
 *
 * Design: edge-triggered epoll, each socket registered once for everything,
 * so that a request costs two system calls (recv, send) beside the shared
 * epoll_wait.  Each turn handles, in this order: what the kernel reports,
 * timers that are due, connections with work left over.  Connections free
 * themselves only while it is their own turn, and the kernel reports each at
 * most once a turn, so nothing that is still to be handled can be stale.
 *
 * Nothing here sleeps but epoll_wait.
 */
#include "site.h"
#include "base/assert.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONNECTIONS_MAX 16384u
#define EVENTS_MAX      256
#define ACCEPTS_MAX     64 /* a turn, so that a flood cannot starve the rest */

static int64_t
clock_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 * NS_PER_MS + ts.tv_nsec;
}

const char *
site_date(struct site *site)
{
	time_t now = time(NULL);

	if (now != site->date_at) {
		site->date_at = now;
		http_date(site->date, now);
	}
	return site->date;
}

/* As many connections as there may be open files, less a few of our own. */
static size_t
connections_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return 128;
	limit.rlim_cur = limit.rlim_max;
	if (limit.rlim_cur > CONNECTIONS_MAX + 64)
		limit.rlim_cur = CONNECTIONS_MAX + 64;
	/* Failing leaves the old limit, which getrlimit then tells. */
	(void)setrlimit(RLIMIT_NOFILE, &limit);
	if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur < 128)
		return 64;
	return limit.rlim_cur - 64 > CONNECTIONS_MAX
		       ? CONNECTIONS_MAX
		       : (size_t)limit.rlim_cur - 64;
}

static int
watch(struct site *site, int fd, uint32_t events, void *who)
{
	struct epoll_event event = {.events = events, .data.ptr = who};

	return epoll_ctl(site->epoll_fd, EPOLL_CTL_ADD, fd, &event);
}

static int
site_listen(struct site *site)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET,
		.sin_port = htons((uint16_t)site->port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	socklen_t len = sizeof(address);
	int on = 1;

	site->listen_fd =
		socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (site->listen_fd < 0 ||
	    setsockopt(site->listen_fd, SOL_SOCKET, SO_REUSEADDR, &on,
		       sizeof(on)) != 0 ||
	    /* Sockets that are accepted inherit it. */
	    setsockopt(site->listen_fd, IPPROTO_TCP, TCP_NODELAY, &on,
		       sizeof(on)) != 0 ||
	    bind(site->listen_fd, (struct sockaddr *)&address, len) != 0 ||
	    listen(site->listen_fd, 4096) != 0 ||
	    getsockname(site->listen_fd, (struct sockaddr *)&address, &len) !=
		    0)
		return -1;
	site->port = ntohs(address.sin_port);
	return watch(site, site->listen_fd, EPOLLIN, &site->listen_fd);
}

/* Signals arrive as events, so that they interrupt nothing half done. */
static int
site_watch_signals(struct site *site)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	if (sigprocmask(SIG_BLOCK, &set, NULL) != 0)
		return -1;
	site->signal_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	if (site->signal_fd < 0)
		return -1;
	return watch(site, site->signal_fd, EPOLLIN, &site->signal_fd);
}

int
site_init(struct site *site)
{
	weir__list_init(&site->connections);
	weir__list_init(&site->ready);
	site->listen_fd = site->signal_fd = -1;
	site->connections_max = connections_limit();
	site->now_ns = clock_ns();
	site->ids = ids_new(site->seed);
	site->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (!site->ids || site->epoll_fd < 0)
		return -1;
	if (!weir__heap_reserve(&site->timers, site->connections_max))
		return -1;
	if (site_watch_signals(site) != 0)
		return -1;
	return site_listen(site);
}

void
site_fini(struct site *site)
{
	while (!weir__list_empty(&site->connections))
		conn_free(weir_container_of(site->connections.next, struct conn,
					    all));
	weir__heap_fini(&site->timers);
	ids_free(site->ids);
	if (site->listen_fd >= 0)
		close(site->listen_fd);
	if (site->signal_fd >= 0)
		close(site->signal_fd);
	if (site->epoll_fd >= 0)
		close(site->epoll_fd);
}

static void
site_accept(struct site *site)
{
	for (int i = 0; i < ACCEPTS_MAX; i++) {
		int fd = accept4(site->listen_fd, NULL, NULL,
				 SOCK_NONBLOCK | SOCK_CLOEXEC);

		/* None left, or whatever went wrong did so for one client. */
		if (fd < 0)
			return;
		site->stats.connections++;
		if (site->stats.connections_open == site->connections_max) {
			site->stats.connections_refused++;
			close(fd);
			continue;
		}
		conn_open(site, fd);
	}
}

/* Until the next timer, rounded up, in the whole milliseconds that epoll takes.
 */
static int
wait_ms(const struct site *site)
{
	const struct weir_heap_node *top = weir__heap_top(&site->timers);
	int64_t ms;

	if (!weir__list_empty(&site->ready))
		return 0;
	if (!top)
		return -1;
	ms = (top->key - clock_ns() + NS_PER_MS - 1) / NS_PER_MS;
	if (ms > 60 * 1000)
		return 60 * 1000;
	return ms > 0 ? (int)ms : 0;
}

static void
site_run_timers(struct site *site)
{
	struct weir_heap_node *top;

	while ((top = weir__heap_top(&site->timers)) &&
	       top->key <= site->now_ns) {
		weir__heap_remove(&site->timers, top);
		conn_timer(weir_container_of(top, struct conn, timer));
	}
}

/* Those that are not done put themselves back, behind the last seen here. */
static void
site_run_ready(struct site *site)
{
	const struct weir_list *last = site->ready.prev;
	struct weir_list *link;

	do {
		link = weir__list_pop(&site->ready);
		if (link)
			conn_run(weir_container_of(link, struct conn, ready));
	} while (link && link != last);
}

int
site_run(struct site *site)
{
	struct epoll_event events[EVENTS_MAX];

	while (!site->stopping) {
		int n = epoll_wait(site->epoll_fd, events, EVENTS_MAX,
				   wait_ms(site));

		if (n < 0 && errno != EINTR)
			return -1;
		site->now_ns = clock_ns();
		for (int i = 0; i < n; i++) {
			void *who = events[i].data.ptr;

			if (who == &site->listen_fd)
				site_accept(site);
			else if (who == &site->signal_fd)
				site->stopping = true;
			else
				conn_event(who, events[i].events);
		}
		site_run_timers(site);
		site_run_ready(site);
	}
	return 0;
}
