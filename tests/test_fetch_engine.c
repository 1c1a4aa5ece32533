/*
 * The engine of `weir fetch` with requests that a hook gives instead of a list,
 * against a small server in the test: what a request may have of its own, what
 * is kept of an answer, and that one request is cancelled alone.
 */
#include "harness.h"

#include "fetch/engine.h"
#include "fetch/request.h"
#include "sync/atomic.h"
#include "sync/mutex.h"
#include "sync/thread.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define HELD_MAX 64

/* Answers one connection after the other; those to /hang it only holds. */
struct server {
	int fd, stop_fd, port;
	struct weir_thread thread;
	int held[HELD_MAX];
	size_t held_count;
	struct weir_u32 hanging;
};

static void
answer(int fd, const char *head, const char *body, size_t len)
{
	char text[512];
	int head_len;

	head_len = snprintf(text, sizeof(text),
			    "HTTP/1.1 %s\r\nContent-Length: %zu\r\n"
			    "Connection: close\r\n\r\n",
			    head, len);
	CHECK_EQ_INT(write(fd, text, (size_t)head_len), head_len);
	for (size_t at = 0; at < len;) {
		ssize_t done = write(fd, body + at, len - at);

		if (done <= 0)
			break;
		at += (size_t)done;
	}
}

/* A whole request; its body, or NULL if the client is gone. */
static const char *
read_request(int fd, char *text, size_t size)
{
	size_t len = 0, body_len;
	const char *length;
	char *body = NULL;
	ssize_t got;

	do {
		got = read(fd, text + len, size - 1 - len);
		if (got <= 0)
			return NULL;
		len += (size_t)got;
		text[len] = '\0';
		body = strstr(text, "\r\n\r\n");
		length = strcasestr(text, "content-length:");
		body_len = length ? strtoul(length + 15, NULL, 10) : 0;
	} while (!body || len - (size_t)(body + 4 - text) < body_len);
	return body + 4;
}

static void
serve(struct server *server, int fd)
{
	static char text[65536], big[100000];
	const char *body = read_request(fd, text, sizeof(text));
	char path[64] = "";

	if (body && sscanf(text, "%*s %63s", path) != 1)
		body = NULL;
	if (!body) {
		(void)close(fd);
	} else if (strcmp(path, "/hang") == 0) {
		REQUIRE(server->held_count < HELD_MAX);
		server->held[server->held_count++] = fd;
		weir__u32_add(&server->hanging, 1, WEIR_SEQ_CST);
		return;
	} else if (strcmp(path, "/echo") == 0) {
		answer(fd, "200 OK", text, strlen(text));
	} else if (strcmp(path, "/big") == 0) {
		memset(big, 'b', sizeof(big));
		answer(fd, "200 OK", big, sizeof(big));
	} else if (strcmp(path, "/503") == 0) {
		answer(fd, "503 Service Unavailable\r\nRetry-After: 7", "busy",
		       4);
	} else if (strcmp(path, "/to") == 0) {
		answer(fd, "302 Found\r\nLocation: /echo", "there", 5);
	} else {
		answer(fd, "404 Not Found", "no such user", 12);
	}
	(void)close(fd);
}

static void
server_main(void *arg)
{
	struct server *server = arg;
	struct pollfd fds[] = {{.fd = server->fd, .events = POLLIN},
			       {.fd = server->stop_fd, .events = POLLIN}};

	while (poll(fds, 2, -1) >= 0 && !fds[1].revents) {
		int fd = accept(server->fd, NULL, NULL);

		if (fd >= 0)
			serve(server, fd);
	}
	for (size_t i = 0; i < server->held_count; i++)
		(void)close(server->held[i]);
}

static void
server_start(struct server *server)
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	socklen_t len = sizeof(address);

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	server->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	server->stop_fd = eventfd(0, EFD_CLOEXEC);
	REQUIRE(server->fd >= 0 && server->stop_fd >= 0);
	REQUIRE(bind(server->fd, (struct sockaddr *)&address, len) == 0);
	REQUIRE(listen(server->fd, 64) == 0);
	REQUIRE(getsockname(server->fd, (struct sockaddr *)&address, &len) ==
		0);
	server->port = ntohs(address.sin_port);
	REQUIRE(weir__thread_start(&server->thread, "server", 0, server_main,
				   server) == WEIR_OK);
}

static void
server_stop(struct server *server)
{
	uint64_t one = 1;

	REQUIRE(write(server->stop_fd, &one, sizeof(one)) == sizeof(one));
	weir__thread_join(&server->thread);
	(void)close(server->fd);
	(void)close(server->stop_fd);
}

#define SEEN_MAX 64

struct seen {
	enum weir_fetch_status status;
	int http_status;
	int64_t retry_after_ns;
	bool body_cut;
	char body[4096], error[256];
	uint32_t times;
	bool handed_back;
};

struct bench {
	/* the test's */
	struct weir_fetch_options options;
	const char *const *paths;
	size_t count;
	void (*on_request)(struct bench *b, struct weir_fetch_request *r);
	void (*on_over)(struct bench *b, uint64_t seq);
	bool waits; /* for waits_fd, before the last one */
	int waits_fd;
	int64_t waits_ns;

	/* the bench's */
	struct server server;
	struct weir_fetch_engine *engine;
	size_t next;
	uint32_t asked;
	struct weir_mutex mu;
	struct seen seen[SEEN_MAX];
};

static weir_status
bench_next(struct weir_fetch_request **ret, void *user)
{
	struct bench *b = user;
	struct weir_fetch_request *request;
	char *url;

	b->asked++;
	if (b->next == b->count)
		return WEIR_CLOSED;
	if (b->waits && b->next + 1 == b->count) {
		b->waits = false;
		return WEIR_BUSY;
	}
	request = calloc(1, sizeof(*request) + 128);
	REQUIRE(request);
	url = (char *)(request + 1);
	snprintf(url, 128, "http://127.0.0.1:%d%s", b->server.port,
		 b->paths[b->next]);
	request->seq = ++b->next;
	request->url = url;
	request->shown = url;
	if (b->on_request)
		b->on_request(b, request);
	*ret = request;
	return WEIR_OK;
}

static int64_t
bench_hungry(int *ret_fd, void *user)
{
	struct bench *b = user;

	*ret_fd = b->waits_fd;
	return b->waits_ns;
}

static void
bench_record(const struct weir_fetch_record *record, void *user)
{
	struct bench *b = user;
	struct seen *seen = &b->seen[record->seq - 1];
	const struct weir_fetch_outcome *o = record->outcome;

	CHECK(record->request && record->request->seq == record->seq);
	if (b->on_over)
		b->on_over(b, record->seq);
	weir__mutex_lock(&b->mu);
	seen->times++;
	seen->status = record->status;
	seen->http_status = o->http_status;
	seen->retry_after_ns = o->retry_after_ns;
	seen->body_cut = o->body_cut;
	REQUIRE(o->body.len < sizeof(seen->body));
	if (o->body.len > 0)
		memcpy(seen->body, o->body.data, o->body.len);
	seen->body[o->body.len] = '\0';
	snprintf(seen->error, sizeof(seen->error), "%s", record->error);
	weir__mutex_unlock(&b->mu);
}

static void
bench_unstarted(const struct weir_fetch_request *request, void *user)
{
	struct bench *b = user;

	if (b->on_over)
		b->on_over(b, request->seq);
	weir__mutex_lock(&b->mu);
	b->seen[request->seq - 1].times++;
	b->seen[request->seq - 1].handed_back = true;
	weir__mutex_unlock(&b->mu);
}

static void
bench_retry(const struct weir_fetch_retry *retry, void *user)
{
	(void)retry;
	(void)user;
}

static void
bench_new(struct bench *b)
{
	struct weir_fetch_hooks hooks = {.next = bench_next,
					 .hungry = bench_hungry,
					 .record = bench_record,
					 .unstarted = bench_unstarted,
					 .retry = bench_retry,
					 .user = b};
	weir_error error = {0};

	REQUIRE(b->count <= SEEN_MAX);
	b->options.jobs = b->options.jobs ? b->options.jobs : 4;
	b->options.timeout_ns =
		b->options.timeout_ns ? b->options.timeout_ns : 20 * WEIR_S;
	b->options.connect_ns = 10 * WEIR_S;
	b->options.first_byte_ns = 20 * WEIR_S;
	b->options.stall_ns = 20 * WEIR_S;
	b->options.retry_after_ns_max = 60 * WEIR_S;
	b->options.user_agent = "weir-test";
	if (!b->waits)
		b->waits_fd = -1;
	weir__mutex_init(&b->mu);
	server_start(&b->server);
	REQUIRE(weir__fetch_engine_new(&b->engine, &b->options, &hooks, NULL,
				       NULL, &error) == WEIR_OK);
}

static void
bench_run(struct bench *b)
{
	weir_error error = {0};

	if (!b->engine)
		bench_new(b);
	CHECK_EQ_INT(weir__fetch_engine_run(b->engine, NULL, &error), WEIR_OK);
	CHECK_STR(error.message, "");
	b->engine = weir__fetch_engine_free(b->engine);
	for (size_t i = 0; i < b->count; i++)
		CHECK_EQ_INT(b->seen[i].times, i < b->next);
	server_stop(&b->server);
}

static void
make_post(struct bench *b, struct weir_fetch_request *request)
{
	(void)b;
	request->method = "POST";
	request->body = "{\"to\":\"a\"}";
	request->body_len = strlen(request->body);
	request->headers = curl_slist_append(NULL, "Weir-Job-Id: 42");
}

TEST(engine, sends_what_a_request_has_and_keeps_what_comes)
{
	static const char *const paths[] = {"/echo", "/none", "/503"};
	struct bench b = {.options.capture = 1024,
			  .paths = paths,
			  .count = 3,
			  .on_request = make_post};

	bench_run(&b);
	CHECK_EQ_INT(b.seen[0].status, WEIR_FETCH_OK);
	CHECK(strncmp(b.seen[0].body, "POST /echo ", 11) == 0);
	CHECK(strstr(b.seen[0].body, "\r\nWeir-Job-Id: 42\r\n"));
	CHECK(strstr(b.seen[0].body, "\r\n\r\n{\"to\":\"a\"}"));
	CHECK_EQ_INT(b.seen[1].status, WEIR_FETCH_FAILED);
	CHECK_EQ_INT(b.seen[1].http_status, 404);
	CHECK_STR(b.seen[1].body, "no such user");
	CHECK_STR(b.seen[1].error, "404 Not Found");
	CHECK_EQ_INT(b.seen[1].retry_after_ns, 0);
	CHECK_EQ_INT(b.seen[2].http_status, 503);
	CHECK_EQ_INT(b.seen[2].retry_after_ns, 7 * WEIR_S);
}

TEST(engine, keeps_no_more_of_a_body_than_it_was_told_to)
{
	static const char *const paths[] = {"/big", "/none"};
	struct bench b = {.options.capture = 12, .paths = paths, .count = 2};

	bench_run(&b);
	CHECK_EQ_INT(b.seen[0].status, WEIR_FETCH_OK);
	CHECK_STR(b.seen[0].body, "bbbbbbbbbbbb");
	CHECK(b.seen[0].body_cut);
	CHECK_STR(b.seen[1].body, "no such user");
	CHECK(!b.seen[1].body_cut);
}

TEST(engine, does_not_go_where_it_is_sent_if_that_is_not_wanted)
{
	static const char *const paths[] = {"/to"};
	struct bench follows = {.paths = paths, .count = 1};
	struct bench stays = {.options = {.no_redirects = true, .capture = 10},
			      .paths = paths,
			      .count = 1};

	bench_run(&follows);
	CHECK_EQ_INT(follows.seen[0].status, WEIR_FETCH_OK);
	bench_run(&stays);
	CHECK_EQ_INT(stays.seen[0].status, WEIR_FETCH_FAILED);
	CHECK_EQ_INT(stays.seen[0].http_status, 302);
	CHECK_STR(stays.seen[0].body, "there");
}

static void
give_time(struct bench *b, struct weir_fetch_request *request)
{
	(void)b;
	if (request->seq == 1)
		request->timeout_ns = 100 * WEIR_MS;
}

TEST(engine, a_request_may_have_less_time_than_the_others)
{
	static const char *const paths[] = {"/hang", "/echo"};
	struct bench b = {.paths = paths, .count = 2, .on_request = give_time};

	bench_run(&b);
	CHECK_EQ_INT(b.seen[0].status, WEIR_FETCH_FAILED);
	CHECK_STR(b.seen[0].error, "not complete after 100ms");
	CHECK_EQ_INT(b.seen[1].status, WEIR_FETCH_OK);
}

/* The engine's requests, as an owner keeps them. */
static struct weir_mutex mu;
static struct weir_fetch_request *requests[SEEN_MAX + 1];

static void
note_request(struct bench *b, struct weir_fetch_request *request)
{
	(void)b;
	weir__mutex_lock(&mu);
	requests[request->seq] = request;
	weir__mutex_unlock(&mu);
}

static void
drop_request(struct bench *b, uint64_t seq)
{
	(void)b;
	weir__mutex_lock(&mu);
	requests[seq] = NULL;
	weir__mutex_unlock(&mu);
}

/* Those that hang are cancelled, one after the other. */
static void
cancel_hanging(void *arg)
{
	struct bench *b = arg;

	for (size_t i = 0; i < b->count; i++) {
		if (strcmp(b->paths[i], "/hang") != 0)
			continue;
		for (bool gone = false; !gone;) {
			weir__mutex_lock(&mu);
			if (requests[i + 1])
				weir__fetch_engine_cancel(b->engine,
							  requests[i + 1]);
			weir__mutex_unlock(&mu);
			(void)weir_ctx_sleep(NULL, WEIR_MS);
			weir__mutex_lock(&b->mu);
			gone = b->seen[i].times > 0;
			weir__mutex_unlock(&b->mu);
		}
	}
}

TEST(engine, one_that_is_cancelled_ends_and_the_others_do_not)
{
	static const char *const paths[] = {"/hang", "/echo", "/hang", "/echo",
					    "/hang", "/echo", "/hang", "/echo"};
	struct bench b = {.options.retries = 3,
			  .paths = paths,
			  .count = 8,
			  .on_request = note_request,
			  .on_over = drop_request};
	struct weir_thread thread;

	weir__mutex_init(&mu);
	bench_new(&b);
	REQUIRE(weir__thread_start(&thread, "cancel", 0, cancel_hanging, &b) ==
		WEIR_OK);
	bench_run(&b);
	weir__thread_join(&thread);
	for (size_t i = 0; i < b.count; i++)
		CHECK_EQ_INT(b.seen[i].status,
			     i % 2 ? WEIR_FETCH_OK : WEIR_FETCH_CANCELLED);
	CHECK_STR(b.seen[0].error, "cancelled");
}

static void
cancel_at_once(struct bench *b, struct weir_fetch_request *request)
{
	if (request->seq == 2)
		weir__fetch_engine_cancel(b->engine, request);
}

TEST(engine, one_that_is_cancelled_before_it_begins_is_not_sent)
{
	static const char *const paths[] = {"/echo", "/hang", "/echo"};
	struct bench b = {
		.paths = paths, .count = 3, .on_request = cancel_at_once};

	bench_run(&b);
	CHECK_EQ_INT(b.seen[0].status, WEIR_FETCH_OK);
	CHECK_EQ_INT(b.seen[1].status, WEIR_FETCH_CANCELLED);
	CHECK_EQ_INT(b.seen[2].status, WEIR_FETCH_OK);
	CHECK_EQ_INT(weir__u32_load(&b.server.hanging, WEIR_SEQ_CST), 0);
}

TEST(engine, a_source_that_has_nothing_says_what_to_wait_for)
{
	static const char *const paths[] = {"/echo", "/echo"};
	struct bench by_fd = {.paths = paths,
			      .count = 2,
			      .waits = true,
			      .waits_ns = WEIR_FOREVER};
	struct bench by_time = {.paths = paths,
				.count = 2,
				.waits = true,
				.waits_fd = -1,
				.waits_ns = 20 * WEIR_MS};
	uint64_t one = 1;

	by_fd.waits_fd = eventfd(0, EFD_CLOEXEC);
	REQUIRE(write(by_fd.waits_fd, &one, sizeof(one)) == sizeof(one));
	bench_run(&by_fd);
	CHECK_EQ_INT(by_fd.seen[1].status, WEIR_FETCH_OK);
	(void)close(by_fd.waits_fd);
	bench_run(&by_time);
	CHECK_EQ_INT(by_time.seen[1].status, WEIR_FETCH_OK);
	/* It is not asked over and over again meanwhile. */
	CHECK(by_time.asked < 30);
}
