/*
 * The event loop: sockets and timers of many transfers on one thread.
 *
 * Design.  A reactor is the state of one of the pool's workers, and its loop
 * is the worker's: the pool starts jobs here, and calls wait when it has
 * nothing else to do.  Transfers live in shards:
 *
 *      reactor --- epoll --- sockets (by number) --.
 *         |                                        v
 *         +--- shard: curl_multi --- transfers (easy handles, one a slot)
 *         +--- shard: curl_multi --- transfers
 *
 * because libcurl 7.88 walks all connections and all handles of a multi for
 * each transfer; a few dozen in each keep that short.  A shard also has its
 * own connections, so a job goes to the shard that its host's hash points at,
 * if there is a handle idle, and so finds the connection of the last one.
 *
 * libcurl says after each transfer that it no longer cares for the socket, and
 * soon after that it does again.  Most of that never reaches the kernel: what
 * is registered with epoll stays so until an event comes that nobody wants.
 * That goes for sockets whose opening and closing we see, not for the
 * resolver's.
 *
 * Timers are libcurl's (one a shard), the pool's (the deadline it waits with)
 * and one of ours, which looks after transfers that stand still.
 *
 * Locking: everything belongs to the worker's thread, except the eventfd and
 * the bucket, which has a lock.
 */
#include "fetch/reactor.h"

#include "base/assert.h"
#include "fetch/address.h"
#include "sync/clock.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define SHARD_SLOTS 32
#define EVENTS_MAX  128
/* How often paused transfers are tried again. */
#define REFILL_NS (20 * WEIR_MS)

enum event_kind {
	EVENT_SOCKET,
	EVENT_WAKE,
	EVENT_INPUT,
};

static uint64_t
event_tag(enum event_kind kind, int fd)
{
	return (uint64_t)kind << 32 | (uint32_t)fd;
}

/* The entry of a socket, or NULL without memory. */
static struct weir_fetch_socket *
socket_entry(struct weir_fetch_reactor *reactor, int fd)
{
	struct weir_fetch_socket *sockets;
	size_t cap = reactor->socket_cap ? reactor->socket_cap : 64;

	weir_assert(fd >= 0);
	if ((size_t)fd < reactor->socket_cap)
		return &reactor->sockets[fd];
	while (cap <= (size_t)fd)
		cap *= 2;
	sockets = realloc(reactor->sockets, cap * sizeof(*sockets));
	if (!sockets)
		return NULL;
	memset(sockets + reactor->socket_cap, 0,
	       (cap - reactor->socket_cap) * sizeof(*sockets));
	reactor->sockets = sockets;
	reactor->socket_cap = cap;
	return &sockets[fd];
}

static bool
socket_register(struct weir_fetch_reactor *reactor, int fd,
		struct weir_fetch_socket *entry, uint32_t events)
{
	struct epoll_event event = {
		.events = events,
		.data.u64 = event_tag(EVENT_SOCKET, fd),
	};
	int op = entry->registered ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
	int failed;

	if (events == 0)
		op = EPOLL_CTL_DEL;
	failed = epoll_ctl(reactor->epoll_fd, op, fd, &event);
	/* A library may have closed it behind our back. */
	if (failed && op == EPOLL_CTL_MOD && errno == ENOENT)
		failed =
			epoll_ctl(reactor->epoll_fd, EPOLL_CTL_ADD, fd, &event);
	else if (failed && op == EPOLL_CTL_ADD && errno == EEXIST)
		failed =
			epoll_ctl(reactor->epoll_fd, EPOLL_CTL_MOD, fd, &event);
	entry->registered = events;
	return !failed || events == 0;
}

/* libcurl: from now on, watch this socket for that. */
static int
on_socket(CURL *easy, curl_socket_t fd, int what, void *user, void *unused)
{
	struct weir_fetch_shard *shard = user;
	struct weir_fetch_reactor *reactor = shard->reactor;
	struct weir_fetch_socket *entry = socket_entry(reactor, fd);

	(void)easy;
	(void)unused;
	if (!entry)
		return -1;
	entry->shard = shard;
	entry->wanted = what == CURL_POLL_IN      ? EPOLLIN
			: what == CURL_POLL_OUT   ? EPOLLOUT
			: what == CURL_POLL_INOUT ? EPOLLIN | EPOLLOUT
						  : 0;
	if (entry->wanted == 0 && !entry->is_ours) {
		/* The resolver's: it is closed without a word to us. */
		(void)socket_register(reactor, fd, entry, 0);
		return 0;
	}
	if (entry->wanted == 0 || entry->wanted == entry->registered)
		return 0;
	return socket_register(reactor, fd, entry, entry->wanted) ? 0 : -1;
}

/* libcurl: open a socket for this address, if it may be connected to. */
static curl_socket_t
on_open(void *user, curlsocktype purpose, struct curl_sockaddr *address)
{
	struct weir_fetch_transfer *t = user;
	struct weir_fetch_socket *entry;
	int fd;

	(void)purpose;
	if (t->engine->options.public_only &&
	    !weir__fetch_address_is_public(&address->addr, address->addrlen)) {
		t->blocked = true;
		return CURL_SOCKET_BAD;
	}
	fd = socket(address->family, address->socktype | SOCK_CLOEXEC,
		    address->protocol);
	if (fd < 0)
		return CURL_SOCKET_BAD;
	entry = socket_entry(t->shard->reactor, fd);
	if (!entry) {
		(void)close(fd);
		return CURL_SOCKET_BAD;
	}
	*entry = (struct weir_fetch_socket){.is_ours = true};
	return fd;
}

/* libcurl: this socket is to be closed; epoll forgets it by itself. */
static int
on_close(void *user, curl_socket_t fd)
{
	struct weir_fetch_reactor *reactor = user;

	if ((size_t)fd < reactor->socket_cap)
		memset(&reactor->sockets[fd], 0, sizeof(reactor->sockets[fd]));
	return close(fd);
}

static int
on_timer(CURLM *multi, long timeout_ms, void *user)
{
	struct weir_fetch_shard *shard = user;

	(void)multi;
	if (timeout_ms < 0)
		shard->due_ns = WEIR_FOREVER;
	else if (timeout_ms == 0)
		shard->due_ns = 0;
	else
		shard->due_ns = weir_now_ns() + timeout_ms * WEIR_MS;
	return 0;
}

static void
collect(struct weir_fetch_shard *shard)
{
	struct weir_fetch_transfer *t;
	CURLMsg *message;
	CURLcode code;
	int left;

	shard->touched = false;
	while ((message = curl_multi_info_read(shard->multi, &left))) {
		if (message->msg != CURLMSG_DONE)
			continue;
		code = message->data.result;
		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &t);
		weir__fetch_transfer_end(t, code);
	}
}

/* End the jobs whose transfers have ended. */
static void
collect_all(struct weir_fetch_reactor *reactor)
{
	for (size_t i = 0; i < reactor->shard_count; i++)
		if (reactor->shards[i].touched)
			collect(&reactor->shards[i]);
}

static void
act(struct weir_fetch_shard *shard, curl_socket_t fd, int what)
{
	int running;

	(void)curl_multi_socket_action(shard->multi, fd, what, &running);
	shard->touched = true;
}

/* Call libcurl where a timer is due. */
static void
run_timers(struct weir_fetch_reactor *reactor, int64_t now_ns)
{
	for (size_t i = 0; i < reactor->shard_count; i++) {
		struct weir_fetch_shard *shard = &reactor->shards[i];

		if (shard->due_ns > now_ns)
			continue;
		shard->due_ns = WEIR_FOREVER;
		act(shard, CURL_SOCKET_TIMEOUT, 0);
	}
}

/* When the first of libcurl's timers is due. */
static int64_t
timers_due_ns(const struct weir_fetch_reactor *reactor)
{
	int64_t due_ns = WEIR_FOREVER;

	for (size_t i = 0; i < reactor->shard_count; i++)
		due_ns = weir__earlier_ns(due_ns, reactor->shards[i].due_ns);
	return due_ns;
}

/* Let paused transfers go on as far as the bucket allows. */
static void
resume_paused(struct weir_fetch_reactor *reactor)
{
	struct weir_list again;
	struct weir_list *link;
	CURLcode code;

	weir__list_init(&again);
	while ((link = weir__list_pop(&reactor->paused)))
		weir__list_append(&again, link);
	while ((link = weir__list_pop(&again))) {
		struct weir_fetch_transfer *t = weir_container_of(
			link, struct weir_fetch_transfer, paused_link);

		/* It pauses itself again if there is nothing for it yet. */
		t->shard->touched = true;
		code = curl_easy_pause(t->easy, CURLPAUSE_CONT);
		/* What on_body() has refused here, nobody else is told of. */
		if (code != CURLE_OK)
			weir__fetch_transfer_end(t, code);
	}
}

/* Some request is to be cancelled: is it one of ours? */
static void
cancel_marked(struct weir_fetch_reactor *reactor)
{
	struct weir_list *link = reactor->active.next;

	if (!weir__u32_load(&reactor->canceled, WEIR_SEQ_CST) ||
	    !weir__u32_exchange(&reactor->canceled, 0, WEIR_SEQ_CST))
		return;
	while (link != &reactor->active) {
		struct weir_fetch_transfer *t = weir_container_of(
			link, struct weir_fetch_transfer, link);

		link = link->next;
		if (weir__u32_load(&t->request->canceled, WEIR_SEQ_CST))
			weir__fetch_transfer_abort(t);
	}
}

static void
look_after(struct weir_fetch_reactor *reactor, int64_t now_ns)
{
	struct weir_list *link = reactor->active.next;

	while (link != &reactor->active) {
		struct weir_fetch_transfer *t = weir_container_of(
			link, struct weir_fetch_transfer, link);

		link = link->next;
		weir__fetch_transfer_look(t, now_ns);
	}
}

/* Our own timers. When the next one is due. */
static int64_t
run_ticks(struct weir_fetch_reactor *reactor, int64_t now_ns)
{
	if (weir__list_empty(&reactor->active)) {
		reactor->tick_ns = WEIR_FOREVER;
		return WEIR_FOREVER;
	}
	if (reactor->tick_ns == WEIR_FOREVER) {
		reactor->tick_ns = now_ns + reactor->engine->tick_ns;
	} else if (reactor->tick_ns <= now_ns) {
		look_after(reactor, now_ns);
		reactor->tick_ns = now_ns + reactor->engine->tick_ns;
	}
	if (weir__list_empty(&reactor->paused))
		return reactor->tick_ns;
	if (reactor->refill_ns <= now_ns) {
		resume_paused(reactor);
		reactor->refill_ns = now_ns + REFILL_NS;
	}
	return weir__earlier_ns(reactor->tick_ns, reactor->refill_ns);
}

static void
handle_socket(struct weir_fetch_reactor *reactor, int fd, uint32_t events)
{
	struct weir_fetch_socket *entry = socket_entry(reactor, fd);
	int what = 0;

	if (!entry || !entry->shard)
		return;
	if (entry->wanted == 0) {
		/* An idle connection was closed by the server, say. */
		(void)socket_register(reactor, fd, entry, 0);
		return;
	}
	if (entry->wanted != entry->registered)
		(void)socket_register(reactor, fd, entry, entry->wanted);
	if (events & EPOLLIN)
		what |= CURL_CSELECT_IN;
	if (events & EPOLLOUT)
		what |= CURL_CSELECT_OUT;
	if (events & (EPOLLERR | EPOLLHUP))
		what |= CURL_CSELECT_ERR | CURL_CSELECT_IN;
	act(entry->shard, fd, what);
}

static void
handle(struct weir_fetch_reactor *reactor, const struct epoll_event *event)
{
	int fd = (int)(uint32_t)event->data.u64;
	uint64_t count;

	switch ((enum event_kind)(event->data.u64 >> 32)) {
	case EVENT_SOCKET:
		handle_socket(reactor, fd, event->events);
		break;
	case EVENT_WAKE:
		while (read(fd, &count, sizeof(count)) < 0 && errno == EINTR)
			;
		break;
	case EVENT_INPUT:
		break; /* the pool asks the source again when we return */
	}
}

/* What the source waits for, and for how long at most. */
static int64_t
hunger(const struct weir_fetch_engine *engine, int *ret_fd)
{
	if (engine->hooks.next)
		return engine->hooks.hungry(ret_fd, engine->hooks.user);
	*ret_fd = weir__fetch_input_fd(engine->input);
	return WEIR_FOREVER;
}

/*
 * Watch the input, once: it may be readable for long while there is no room
 * for what it has.  When to ask again at the latest.
 */
static int64_t
watch_input(struct weir_fetch_reactor *reactor, int64_t now_ns)
{
	int fd = -1;
	int64_t wait_ns = hunger(reactor->engine, &fd);
	struct epoll_event event = {
		.events = EPOLLIN | EPOLLONESHOT,
		.data.u64 = event_tag(EVENT_INPUT, fd),
	};

	if (fd < 0)
		return weir__deadline_ns(now_ns, wait_ns);
	if (epoll_ctl(reactor->epoll_fd, EPOLL_CTL_MOD, fd, &event) != 0 &&
	    errno == ENOENT)
		(void)epoll_ctl(reactor->epoll_fd, EPOLL_CTL_ADD, fd, &event);
	return weir__deadline_ns(now_ns, wait_ns);
}

/* Milliseconds from now on, rounded up; -1 for ever. */
static int
until_ms(int64_t due_ns, int64_t now_ns)
{
	int64_t wait_ns = due_ns - now_ns;

	if (due_ns == WEIR_FOREVER)
		return -1;
	if (wait_ns <= 0)
		return 0;
	if (wait_ns > 60 * WEIR_S)
		wait_ns = 60 * WEIR_S;
	return (int)((wait_ns + WEIR_MS - 1) / WEIR_MS);
}

void
weir__fetch_reactor_wait(void *state, int64_t deadline_ns, bool hungry,
			 void *user)
{
	struct weir_fetch_reactor *reactor = state;
	struct epoll_event events[EVENTS_MAX];
	int64_t now_ns = weir_now_ns(), due_ns;
	int count;

	(void)user;
	reactor->ended = false;
	run_timers(reactor, now_ns);
	cancel_marked(reactor);
	due_ns = run_ticks(reactor, now_ns);
	collect_all(reactor);
	if (hungry)
		due_ns = weir__earlier_ns(due_ns, watch_input(reactor, now_ns));
	/*
	 * Collecting may have set another timer, and an answer that was there
	 * at once has ended its job: only now is it known whether to sleep.
	 */
	due_ns = weir__earlier_ns(due_ns, timers_due_ns(reactor));
	due_ns = weir__earlier_ns(due_ns, deadline_ns);
	count = epoll_wait(reactor->epoll_fd, events, EVENTS_MAX,
			   reactor->ended ? 0 : until_ms(due_ns, now_ns));
	for (int i = 0; i < count; i++)
		handle(reactor, &events[i]);
	collect_all(reactor);
}

void
weir__fetch_reactor_wake(void *state, void *user)
{
	struct weir_fetch_reactor *reactor = state;
	uint64_t one = 1;

	(void)user;
	while (write(reactor->wake_fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

struct weir_fetch_transfer *
weir__fetch_reactor_take(struct weir_fetch_reactor *reactor, uint64_t host_key)
{
	size_t at = (size_t)(host_key % reactor->shard_count);

	for (size_t i = 0; i < reactor->shard_count; i++) {
		struct weir_fetch_shard *shard = &reactor->shards[at];
		struct weir_list *link = weir__list_pop(&shard->idle);

		if (link)
			return weir_container_of(
				link, struct weir_fetch_transfer, link);
		if (++at == reactor->shard_count)
			at = 0;
	}
	return NULL;
}

static bool
shard_init(struct weir_fetch_reactor *reactor, struct weir_fetch_shard *shard,
	   size_t slots)
{
	weir__list_init(&shard->idle);
	shard->reactor = reactor;
	shard->due_ns = WEIR_FOREVER;
	shard->multi = curl_multi_init();
	if (!shard->multi)
		return false;
	curl_multi_setopt(shard->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
	curl_multi_setopt(shard->multi, CURLMOPT_SOCKETDATA, shard);
	curl_multi_setopt(shard->multi, CURLMOPT_TIMERFUNCTION, on_timer);
	curl_multi_setopt(shard->multi, CURLMOPT_TIMERDATA, shard);
	/* Idle connections kept; more would be more descriptors. */
	curl_multi_setopt(shard->multi, CURLMOPT_MAXCONNECTS, (long)slots);
	return true;
}

static bool
transfers_init(struct weir_fetch_reactor *reactor)
{
	for (size_t i = 0; i < reactor->transfer_count; i++) {
		struct weir_fetch_transfer *t = &reactor->transfers[i];
		struct weir_fetch_shard *shard =
			&reactor->shards[i / SHARD_SLOTS];

		t->engine = reactor->engine;
		if (!weir__fetch_transfer_init(t, shard))
			return false;
		curl_easy_setopt(t->easy, CURLOPT_OPENSOCKETFUNCTION, on_open);
		curl_easy_setopt(t->easy, CURLOPT_OPENSOCKETDATA, t);
		curl_easy_setopt(t->easy, CURLOPT_CLOSESOCKETFUNCTION,
				 on_close);
		curl_easy_setopt(t->easy, CURLOPT_CLOSESOCKETDATA, reactor);
		curl_easy_setopt(t->easy, CURLOPT_SHARE, reactor->share);
		weir__list_append(&shard->idle, &t->link);
	}
	return true;
}

static bool
share_init(struct weir_fetch_reactor *reactor)
{
	reactor->share = curl_share_init();
	/* One thread only: it needs no lock functions. */
	return reactor->share &&
	       curl_share_setopt(reactor->share, CURLSHOPT_SHARE,
				 CURL_LOCK_DATA_DNS) == CURLSHE_OK &&
	       curl_share_setopt(reactor->share, CURLSHOPT_SHARE,
				 CURL_LOCK_DATA_SSL_SESSION) == CURLSHE_OK;
}

static bool
epoll_init(struct weir_fetch_reactor *reactor)
{
	struct epoll_event event = {.events = EPOLLIN};

	reactor->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	reactor->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (reactor->epoll_fd < 0 || reactor->wake_fd < 0)
		return false;
	event.data.u64 = event_tag(EVENT_WAKE, reactor->wake_fd);
	return epoll_ctl(reactor->epoll_fd, EPOLL_CTL_ADD, reactor->wake_fd,
			 &event) == 0;
}

/* The slots of worker number `worker`, as the pool shares them out. */
static size_t
slots_of(const struct weir_fetch_engine *engine, uint32_t worker)
{
	uint32_t threads = weir__fetch_engine_threads(&engine->options);

	return engine->options.jobs / threads +
	       (worker < engine->options.jobs % threads);
}

static bool
shards_init(struct weir_fetch_reactor *reactor, size_t slots)
{
	reactor->shard_count = (slots + SHARD_SLOTS - 1) / SHARD_SLOTS;
	reactor->transfer_count = slots;
	reactor->shards =
		calloc(reactor->shard_count, sizeof(*reactor->shards));
	reactor->transfers = calloc(slots, sizeof(*reactor->transfers));
	if (!reactor->shards || !reactor->transfers)
		return false;
	for (size_t i = 0; i < reactor->shard_count; i++) {
		size_t left = slots - i * SHARD_SLOTS;

		if (!shard_init(reactor, &reactor->shards[i],
				left < SHARD_SLOTS ? left : SHARD_SLOTS))
			return false;
	}
	return transfers_init(reactor);
}

static void
reactor_free(struct weir_fetch_reactor *reactor)
{
	for (size_t i = 0; reactor->transfers && i < reactor->transfer_count;
	     i++)
		weir__fetch_transfer_fini(&reactor->transfers[i]);
	for (size_t i = 0; reactor->shards && i < reactor->shard_count; i++)
		if (reactor->shards[i].multi)
			(void)curl_multi_cleanup(reactor->shards[i].multi);
	for (size_t i = 0; reactor->transfers && i < reactor->transfer_count;
	     i++)
		curl_easy_cleanup(reactor->transfers[i].easy);
	if (reactor->share)
		(void)curl_share_cleanup(reactor->share);
	if (reactor->epoll_fd >= 0)
		(void)close(reactor->epoll_fd);
	if (reactor->wake_fd >= 0)
		(void)close(reactor->wake_fd);
	free(reactor->sockets);
	free(reactor->transfers);
	free(reactor->shards);
	free(reactor);
}

weir_status
weir__fetch_reactor_init(uint32_t worker, void **ret_state, void *user)
{
	struct weir_fetch_engine *engine = user;
	struct weir_fetch_reactor *reactor = calloc(1, sizeof(*reactor));

	if (!reactor)
		return WEIR_NOMEM;
	reactor->engine = engine;
	reactor->epoll_fd = -1;
	reactor->wake_fd = -1;
	reactor->tick_ns = WEIR_FOREVER;
	weir__list_init(&reactor->active);
	weir__list_init(&reactor->paused);
	if (!epoll_init(reactor) || !share_init(reactor) ||
	    !shards_init(reactor, slots_of(engine, worker))) {
		reactor_free(reactor);
		return WEIR_SYSTEM;
	}
	weir__mutex_lock(&engine->reactors_mu);
	engine->reactors[worker] = reactor;
	weir__mutex_unlock(&engine->reactors_mu);
	*ret_state = reactor;
	return WEIR_OK;
}

void
weir__fetch_reactor_exit(uint32_t worker, void *state, void *user)
{
	struct weir_fetch_engine *engine = user;

	weir__mutex_lock(&engine->reactors_mu);
	engine->reactors[worker] = NULL;
	weir__mutex_unlock(&engine->reactors_mu);
	reactor_free(state);
}
