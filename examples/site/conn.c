/*
 * One connection: requests in, responses out, in turn.
 *
 * Design: a small state machine whose steps each do one system call or one
 * request, and say whether to go on.
 *
 *                   a request                  all sent, keep alive
 *      READING ------------------> SENDING ------------------> READING
 *                     |            ^     |
 *              a delay|       timer|     |all sent, and then
 *                     v            |     v
 *                   PAUSED --------+    DRAINING, HUNG, or the end
 *
 * Events are edge-triggered: a step that would block returns STEP_WAIT, and
 * the next edge runs the machine from where it stands.  A client that closes
 * its side while it waits for an answer has lost interest, and its request
 * ends there; a half-closed connection is served only as far as the answer is
 * immediate.  That loses nothing for HTTP clients, and makes the count of
 * requests in progress follow clients that give up.
 */
#include "site.h"
#include "base/assert.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define STEPS_MAX 64 /* a turn; then the others come first */
#define READ_SIZE 16384u
#define IN_MAX    (REQUEST_HEAD_MAX + REQUEST_BODY_MAX)
#define IDLE_NS   (60 * 1000 * NS_PER_MS)
#define DRAIN_NS  (1000 * NS_PER_MS)

enum step { STEP_ON, STEP_WAIT, STEP_END };

static void
conn_set_timer(struct conn *c, int64_t after_ns)
{
	weir__heap_remove(&c->site->timers, &c->timer);
	c->timer.key = c->site->now_ns + after_ns;
	weir__heap_push(&c->site->timers, &c->timer);
}

void
conn_open(struct site *site, int fd)
{
	struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP |
					      EPOLLET};
	struct conn *c = calloc(1, sizeof(*c));

	if (!c) {
		close(fd);
		return;
	}
	event.data.ptr = c;
	if (epoll_ctl(site->epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0) {
		close(fd);
		free(c);
		return;
	}
	c->site = site;
	c->fd = fd;
	weir__list_init(&c->ready);
	weir__list_init(&c->all);
	weir__list_append(&site->connections, &c->all);
	site->stats.connections_open++;
	conn_set_timer(c, IDLE_NS);
}

static void
conn_request_ended(struct conn *c)
{
	if (c->in_progress)
		stats_end(&c->site->stats, c->host);
	c->in_progress = false;
}

void
conn_free(struct conn *c)
{
	conn_request_ended(c);
	weir__heap_remove(&c->site->timers, &c->timer);
	weir__list_remove(&c->all);
	weir__list_remove(&c->ready);
	weir_assert(c->site->stats.connections_open > 0);
	c->site->stats.connections_open--;
	close(c->fd);
	text_fini(&c->in);
	response_fini(&c->response);
	free(c);
}

/* Forget len bytes of the input: a request that has been answered. */
static void
conn_consume(struct conn *c, size_t len)
{
	size_t left = c->in.len - len;

	weir_assert(len <= c->in.len);
	if (left > 0)
		memmove(c->in.data, c->in.data + len, left);
	else
		text_clear(&c->in);
	c->in.len = left;
	c->scanned = 0;
	c->chunks = (struct unchunk){0};
	c->asked_to_continue = false;
}

static enum step
conn_answer(struct conn *c, const struct request *request, size_t len)
{
	struct exchange x = {c->site, request, &c->response, {{0}, {0}}};
	bool counted = !routes_is_unseen(request);

	if (counted) {
		c->host = stats_begin(&c->site->stats, request->host);
		c->in_progress = true;
	}
	routes_answer(&x, counted);
	conn_consume(c, len);
	if (c->response.out.failed)
		return STEP_END;
	c->state = CONN_SENDING;
	if (c->response.delay_ns > 0) {
		c->state = CONN_PAUSED;
		conn_set_timer(c, c->response.delay_ns);
	}
	return STEP_ON;
}

/* Answer what cannot be served; where it ends is unknown, so close. */
static enum step
conn_refuse(struct conn *c, struct request *request, int status)
{
	struct exchange x = {c->site, request, &c->response, {{0}, {0}}};

	request->keep_alive = false;
	c->host = stats_begin(&c->site->stats, request->host);
	c->in_progress = true;
	respond_text(&x, status, "refused: %d\n", status);
	c->site->stats.statuses[status]++;
	conn_consume(c, c->in.len);
	c->state = CONN_SENDING;
	return c->response.out.failed ? STEP_END : STEP_ON;
}

static void
conn_tell_to_continue(struct conn *c, const struct request *request)
{
	static const char line[] = "HTTP/1.1 100 Continue\r\n\r\n";

	if (!request->expects_continue || c->asked_to_continue)
		return;
	c->asked_to_continue = true;
	/* Clients go on without it after a second, should it get lost. */
	(void)!send(c->fd, line, sizeof(line) - 1, MSG_NOSIGNAL);
}

/*
 * Find the body behind a head of head_len bytes, and answer when it is all
 * there.  STEP_WAIT: it is not.
 */
static enum step
conn_take_body(struct conn *c, struct request *request, size_t head_len)
{
	char *body = c->in.data + head_len;
	size_t len = c->in.len - head_len;
	int done = 1;

	request->body = (struct slice){body, (size_t)request->content_length};
	if (request->chunked) {
		done = unchunk_run(&c->chunks, body, len);
		request->body.len = c->chunks.decoded;
		if (done < 0)
			return conn_refuse(c, request, 400);
		if (c->chunks.decoded > REQUEST_BODY_MAX)
			return conn_refuse(c, request, 413);
		len = c->chunks.raw;
	} else if (len < request->content_length) {
		done = 0;
	} else {
		len = (size_t)request->content_length;
	}
	if (done)
		return conn_answer(c, request, head_len + len);
	if (c->in.len >= IN_MAX)
		return conn_refuse(c, request, 413);
	conn_tell_to_continue(c, request);
	return STEP_WAIT;
}

/* Answer the request in the input.  STEP_WAIT: it is not all there. */
static enum step
conn_take_request(struct conn *c)
{
	struct slice data = {c->in.data, c->in.len};
	struct request request;
	int refusal;

	/* Empty lines before a request are to be ignored (RFC 9112, 2.2). */
	while (data.len >= 2 && memcmp(data.data, "\r\n", 2) == 0) {
		conn_consume(c, 2);
		data = (struct slice){c->in.data, c->in.len};
	}
	data.len = request_head_len(data, c->scanned);
	if (data.len == 0) {
		c->scanned = c->in.len;
		if (c->in.len <= REQUEST_HEAD_MAX)
			return STEP_WAIT;
		request = (struct request){.path = SLICE("/")};
		return conn_refuse(c, &request, 431);
	}
	c->scanned = 0;
	if (data.len > REQUEST_HEAD_MAX) {
		request = (struct request){.path = SLICE("/")};
		return conn_refuse(c, &request, 431);
	}
	refusal = request_parse(&request, data);
	if (refusal)
		return conn_refuse(c, &request, refusal);
	return conn_take_body(c, &request, data.len);
}

/*
 * Receive once, into `to` of size bytes.  A short read means that there was
 * no more, which saves the call that would say so: the next edge tells.
 */
static enum step
conn_receive(struct conn *c, char *to, size_t size, size_t *ret_len)
{
	ssize_t n;

	if (c->drained)
		return STEP_WAIT;
	n = recv(c->fd, to, size, 0);
	if (n == 0)
		return STEP_END;
	if (n < 0 && errno == EINTR)
		return STEP_ON;
	if (n < 0)
		return errno == EAGAIN ? STEP_WAIT : STEP_END;
	*ret_len = (size_t)n;
	c->drained = (size_t)n < size;
	return STEP_ON;
}

static enum step
conn_read(struct conn *c)
{
	size_t room = c->in.len > 0 ? READ_SIZE : 2048, len = 0;
	enum step step = STEP_WAIT;

	if (c->in.len > 0)
		step = conn_take_request(c);
	if (step != STEP_WAIT)
		return step;
	if (!text_reserve(&c->in, room))
		return STEP_END;
	step = conn_receive(c, c->in.data + c->in.len, room, &len);
	c->in.len += len;
	return step;
}

static enum step
conn_drain(struct conn *c)
{
	char scrap[4096];
	size_t len;

	return conn_receive(c, scrap, sizeof(scrap), &len);
}

/* All of the response has been sent: do as it says at its end. */
static enum step
conn_finish(struct conn *c)
{
	struct linger abort = {.l_onoff = 1, .l_linger = 0};
	enum ending ending = c->response.ending;

	if (ending == END_HANG) {
		c->state = CONN_HUNG;
		return STEP_WAIT;
	}
	conn_request_ended(c);
	response_clear(&c->response);
	switch (ending) {
	case END_KEEP:
		c->state = CONN_READING;
		conn_set_timer(c, IDLE_NS);
		return STEP_ON;
	case END_CLOSE:
		/*
		 * Closing with input unread would send a reset, which may
		 * overtake the response on its way to the client's program.
		 */
		shutdown(c->fd, SHUT_WR);
		c->state = CONN_DRAINING;
		conn_set_timer(c, DRAIN_NS);
		return STEP_ON;
	case END_RESET:
		setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &abort, sizeof(abort));
		return STEP_END;
	case END_HANG:
		break;
	}
	return STEP_END;
}

/* Have the next piece of the body made, and pause if that is its habit. */
static enum step
conn_make_more(struct conn *c)
{
	struct response *r = &c->response;

	r->out.len = 0;
	r->sent = 0;
	if (!r->more(r))
		r->more = NULL;
	if (r->out.failed)
		return STEP_END;
	if (r->gap_ns > 0) {
		c->state = CONN_PAUSED;
		conn_set_timer(c, r->gap_ns);
	}
	return STEP_ON;
}

static enum step
conn_send(struct conn *c)
{
	struct response *r = &c->response;
	ssize_t n;

	if (r->sent == r->out.len)
		return r->more ? conn_make_more(c) : conn_finish(c);
	n = send(c->fd, r->out.data + r->sent, r->out.len - r->sent,
		 MSG_NOSIGNAL);
	if (n < 0 && errno == EINTR)
		return STEP_ON;
	if (n < 0)
		return errno == EAGAIN ? STEP_WAIT : STEP_END;
	r->sent += (size_t)n;
	c->site->stats.bytes_sent += (uint64_t)n;
	return STEP_ON;
}

static enum step
conn_step(struct conn *c)
{
	switch (c->state) {
	case CONN_READING:
		return conn_read(c);
	case CONN_SENDING:
		return conn_send(c);
	case CONN_DRAINING:
		return conn_drain(c);
	case CONN_PAUSED:
	case CONN_HUNG:
		return STEP_WAIT;
	}
	return STEP_END;
}

void
conn_run(struct conn *c)
{
	enum step step = STEP_ON;

	weir__list_remove(&c->ready);
	for (int i = 0; step == STEP_ON && i < STEPS_MAX; i++)
		step = conn_step(c);
	if (step == STEP_ON)
		weir__list_append(&c->site->ready, &c->ready);
	else if (step == STEP_END || c->gone)
		conn_free(c);
}

void
conn_event(struct conn *c, uint32_t events)
{
	c->drained = false;
	if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		c->gone = true;
	conn_run(c);
}

/* What the timer of a connection means depends on where it stands. */
void
conn_timer(struct conn *c)
{
	if (c->state != CONN_PAUSED && c->state != CONN_SENDING &&
	    c->state != CONN_HUNG) {
		conn_free(c);
		return;
	}
	if (c->state == CONN_PAUSED)
		c->state = CONN_SENDING;
	conn_run(c);
}
