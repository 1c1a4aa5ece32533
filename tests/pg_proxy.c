/*
 * pg_proxy LISTEN TARGET: stands between clients of PostgreSQL and a server,
 * and does to them what networks do.
 *
 * LISTEN and TARGET are folders of a Unix socket (as in host=FOLDER), or
 * ADDRESS:PORT.  Orders come as lines on stdin; each is answered by one line.
 * It ends with its input.
 *
 *      count                 forget what was counted
 *      counts NAME           the types of all messages since: "c PBDES s 12T"
 *      cut NAME DIR TYPE N before|after [LATE_MS]
 *                            cut a connection at the N-th message from now;
 *                            once
 *      clear                 cut nothing any more
 *      fired                 has the cut come to pass? "yes", "no"
 *      live NAME             how many connections have both ends?
 *      drop NAME             cut those that there are
 *      stall on|off          nothing goes through, and nothing is cut
 *      delay MS              everything goes through so much later
 *      target TARGET         where new connections go
 *      refuse on|off         take no new connections
 *
 * NAME is the end of the application's name, "*" is anybody; DIR is c (what
 * the client says) or s; TYPE is the letter of the message, "!" is the one that
 * begins a connection, which has none, and "*" is any.
 *
 * What is cut before a message is cut without it.  LATE_MS is how long what a
 * client has said is still on its way when the client sees the connection cut.
 *
 * Design.  One thread, one epoll.  Messages are taken apart (a type, a length)
 * and put together again whole; what waits is kept in memory.  To requests for
 * encryption the proxy itself says no.
 */
#include "base/buf.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <weir/weir.h>

enum {
	CLIENT,
	SERVER,
	CODE_CANCEL = 80877102,
	CODE_SSL = 80877103,
	CODE_GSS = 80877104,
	EVENTS = 64,
};

/* One side of a connection: what it has said, and what it is to be told. */
struct end {
	int fd; /* -1: gone */
	struct weir_buf in, out;
	int64_t not_before_ns; /* of out */
};

struct pair {
	struct pair *next;
	struct end ends[2];
	char name[64];
	bool begun; /* the client's first message was seen */
};

static struct {
	char name[64];
	int dir;
	char type;
	unsigned long left; /* messages until then; 0: no rule */
	bool after, fired;
	int64_t late_ns;
} rule;

static struct pair *pairs;
static int epoll_fd, listen_fd;
static char target[108];
static bool stalled, refusing;
static int64_t delay_ns;
/* The types of messages, by who sent them and by direction. */
static struct {
	char name[64];
	struct weir_buf types[2];
} counted[16];

_Noreturn static void
die(const char *what)
{
	perror(what);
	exit(1);
}

static socklen_t
address_of(const char *text, struct sockaddr_storage *ret)
{
	const char *colon = strrchr(text, ':');
	struct sockaddr_un *un = (struct sockaddr_un *)ret;
	struct sockaddr_in *in = (struct sockaddr_in *)ret;

	memset(ret, 0, sizeof(*ret));
	if (*text == '/') {
		un->sun_family = AF_UNIX;
		(void)snprintf(un->sun_path, sizeof(un->sun_path),
			       "%s/.s.PGSQL.5432", text);
		return sizeof(*un);
	}
	in->sin_family = AF_INET;
	if (colon) {
		char host[64];

		(void)snprintf(host, sizeof(host), "%.*s", (int)(colon - text),
			       text);
		in->sin_port = htons((uint16_t)atoi(colon + 1));
		if (inet_pton(AF_INET, host, &in->sin_addr) != 1)
			die(text);
	}
	return sizeof(*in);
}

static int
make_socket(const struct sockaddr_storage *address)
{
	int on = 1,
	    fd = socket(address->ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		die("socket");
	if (address->ss_family == AF_INET) {
		(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
		(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	}
	return fd;
}

static void
start_listening(const char *where)
{
	struct sockaddr_storage address;
	socklen_t len = address_of(where, &address);
	struct epoll_event event = {.events = EPOLLIN};

	if (address.ss_family == AF_UNIX)
		(void)unlink(((struct sockaddr_un *)&address)->sun_path);
	listen_fd = make_socket(&address);
	if (bind(listen_fd, (struct sockaddr *)&address, len) != 0 ||
	    listen(listen_fd, 128) != 0)
		die(where);
	if (address.ss_family == AF_UNIX)
		(void)chmod(((struct sockaddr_un *)&address)->sun_path, 0777);
	if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listen_fd, &event) != 0)
		die("epoll");
}

/* What an end is waited for. */
static void
watch(struct pair *pair, int which, int op)
{
	struct end *end = &pair->ends[which];
	bool to_write = end->out.len > 0 && weir_now_ns() >= end->not_before_ns;
	struct epoll_event event = {.data.ptr = end};

	if (!stalled)
		event.events = EPOLLIN | (to_write ? EPOLLOUT : 0);
	if (end->fd >= 0 && epoll_ctl(epoll_fd, op, end->fd, &event) != 0)
		die("epoll_ctl");
}

static void
close_end(struct end *end)
{
	struct linger now = {.l_onoff = 1};

	if (end->fd < 0)
		return;
	(void)setsockopt(end->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	(void)close(end->fd);
	end->fd = -1;
}

/* The client is cut off; what it has said still goes where it has to. */
static void
cut(struct pair *pair, int64_t late_ns)
{
	close_end(&pair->ends[CLIENT]);
	pair->ends[SERVER].not_before_ns = weir_now_ns() + late_ns;
	if (pair->ends[SERVER].out.len == 0)
		close_end(&pair->ends[SERVER]);
}

static void
accept_one(void)
{
	struct sockaddr_storage address;
	socklen_t len = address_of(target, &address);
	struct pair *pair = calloc(1, sizeof(*pair));
	int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC);

	if (!pair || fd < 0) {
		free(pair);
		return;
	}
	pair->ends[CLIENT].fd = fd;
	pair->ends[SERVER].fd = make_socket(&address);
	pair->next = pairs;
	pairs = pair;
	if (refusing || connect(pair->ends[SERVER].fd,
				(struct sockaddr *)&address, len) != 0) {
		close_end(&pair->ends[CLIENT]);
		close_end(&pair->ends[SERVER]);
		return;
	}
	for (int i = 0; i < 2; i++) {
		(void)fcntl(pair->ends[i].fd, F_SETFL, O_NONBLOCK);
		watch(pair, i, EPOLL_CTL_ADD);
	}
}

static bool
is_named(const char *name, const char *wanted)
{
	size_t len = strlen(name), end = strlen(wanted);

	return strcmp(wanted, "*") == 0 ||
	       (len >= end && strcmp(name + len - end, wanted) == 0);
}

static void
note_message(const char *name, int dir, char type)
{
	for (size_t i = 0; i < sizeof(counted) / sizeof(*counted); i++) {
		if (!*counted[i].name)
			(void)snprintf(counted[i].name, sizeof(counted[i].name),
				       "%s", name);
		if (strcmp(counted[i].name, name) == 0) {
			weir__buf_putc(&counted[i].types[dir], type);
			break;
		}
	}
}

/* The name is among the pairs of texts behind the first 8 bytes. */
static void
take_name(struct pair *pair, const char *message, size_t len)
{
	for (size_t at = 8; at < len && message[at] != '\0';) {
		const char *key = message + at, *value;

		value = key + strlen(key) + 1;
		if (strcmp(key, "application_name") == 0)
			(void)snprintf(pair->name, sizeof(pair->name), "%s",
				       value);
		at = (size_t)(value - message) + strlen(value) + 1;
	}
}

static uint32_t
number_at(const struct weir_buf *buf, size_t at)
{
	uint32_t number = 0;

	if (buf->len >= at + 4)
		memcpy(&number, buf->data + at, 4);
	return ntohl(number);
}

static void
pass_on(struct end *to, const char *message, size_t len)
{
	weir__buf_append(&to->out, message, len);
	if (delay_ns)
		to->not_before_ns = weir_now_ns() + delay_ns;
}

/* One whole message.  False: the connection was cut. */
static bool
pass(struct pair *pair, int dir, const char *message, size_t len, char type)
{
	bool hit;

	note_message(pair->name, dir, type);
	hit = rule.left > 0 && rule.dir == dir &&
	      is_named(pair->name, rule.name) &&
	      (rule.type == '*' || rule.type == type) && --rule.left == 0;
	if (!hit || rule.after)
		pass_on(&pair->ends[!dir], message, len);
	if (!hit)
		return true;
	rule.fired = true;
	/* The client has to get what it is to get. */
	if (dir == SERVER && rule.after)
		(void)!write(pair->ends[CLIENT].fd, pair->ends[CLIENT].out.data,
			     pair->ends[CLIENT].out.len);
	cut(pair, rule.late_ns);
	return false;
}

/* Who asks for encryption is told no; and one who cancels begins nothing. */
static bool
begin(struct pair *pair, size_t len)
{
	struct weir_buf *in = &pair->ends[CLIENT].in;
	uint32_t code = number_at(in, 4);

	if (code == CODE_SSL || code == CODE_GSS) {
		pass_on(&pair->ends[CLIENT], "N", 1);
		return true;
	}
	pair->begun = true;
	if (code != CODE_CANCEL)
		take_name(pair, in->data, len);
	return pass(pair, CLIENT, in->data, len, '!');
}

/* All whole messages that an end has said. */
static void
take_messages(struct pair *pair, int dir)
{
	struct weir_buf *in = &pair->ends[dir].in;
	size_t head = dir == SERVER || pair->begun, len;
	bool on = true;

	while (on && in->len >= head + 4) {
		len = head + number_at(in, head);
		if (in->len < len)
			break;
		on = head ? pass(pair, dir, in->data, len, in->data[0])
			  : begin(pair, len);
		memmove(in->data, in->data + len, in->len - len);
		in->len -= len;
		head = dir == SERVER || pair->begun;
	}
}

/* An end has gone: the other one hears all that it said before. */
static void
lose(struct pair *pair, int which)
{
	close_end(&pair->ends[which]);
	if (pair->ends[!which].out.len == 0)
		close_end(&pair->ends[!which]);
}

static void
flush_end(struct pair *pair, int which)
{
	struct end *end = &pair->ends[which];
	ssize_t n;

	if (end->fd < 0 || end->out.len == 0 || stalled ||
	    weir_now_ns() < end->not_before_ns)
		return;
	n = send(end->fd, end->out.data, end->out.len, MSG_NOSIGNAL);
	if (n < 0 && errno != EAGAIN) {
		lose(pair, which);
		return;
	}
	if (n > 0) {
		memmove(end->out.data, end->out.data + n,
			end->out.len - (size_t)n);
		end->out.len -= (size_t)n;
	}
	if (end->out.len == 0 && pair->ends[!which].fd < 0)
		close_end(end);
}

static void
read_end(struct pair *pair, int which)
{
	struct end *end = &pair->ends[which];
	char bytes[65536];
	ssize_t n = read(end->fd, bytes, sizeof(bytes));

	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0) {
		lose(pair, which);
		return;
	}
	/* Nobody is there any more to hear it. */
	if (pair->ends[!which].fd < 0)
		return;
	weir__buf_append(&end->in, bytes, (size_t)n);
	take_messages(pair, which);
}

static struct pair *
pair_of(const struct end *end, int *ret_which)
{
	for (struct pair *pair = pairs; pair; pair = pair->next)
		for (int i = 0; i < 2; i++)
			if (&pair->ends[i] == end) {
				*ret_which = i;
				return pair;
			}
	return NULL;
}

static void
reap(void)
{
	for (struct pair **at = &pairs, *pair; (pair = *at) != NULL;) {
		if (pair->ends[0].fd >= 0 || pair->ends[1].fd >= 0) {
			at = &pair->next;
			continue;
		}
		*at = pair->next;
		for (int i = 0; i < 2; i++) {
			weir__buf_fini(&pair->ends[i].in);
			weir__buf_fini(&pair->ends[i].out);
		}
		free(pair);
	}
}

static void
say(const char *text)
{
	(void)printf("%s\n", text);
	(void)fflush(stdout);
}

static void
say_counts(const char *name)
{
	(void)printf("c ");
	for (int dir = 0; dir < 2; dir++) {
		for (size_t i = 0; i < sizeof(counted) / sizeof(*counted); i++)
			if (*counted[i].name && is_named(counted[i].name, name))
				(void)printf(
					"%s",
					weir__buf_str(&counted[i].types[dir]));
		(void)printf(dir ? "\n" : " s ");
	}
	(void)fflush(stdout);
}

static void
forget_counts(void)
{
	for (size_t i = 0; i < sizeof(counted) / sizeof(*counted); i++) {
		*counted[i].name = '\0';
		weir__buf_fini(&counted[i].types[0]);
		weir__buf_fini(&counted[i].types[1]);
	}
}

static void
say_live(const char *name)
{
	int live = 0;

	for (struct pair *pair = pairs; pair; pair = pair->next)
		live += is_named(pair->name, name) &&
			pair->ends[CLIENT].fd >= 0 &&
			pair->ends[SERVER].fd >= 0;
	(void)printf("%d\n", live);
	(void)fflush(stdout);
}

static bool
set_rule(const char *line)
{
	char name[64], dir, type, when[8];
	unsigned long n, late_ms = 0;

	if (sscanf(line, "cut %63s %c %c %lu %7s %lu", name, &dir, &type, &n,
		   when, &late_ms) < 5)
		return false;
	memset(&rule, 0, sizeof(rule));
	(void)snprintf(rule.name, sizeof(rule.name), "%s", name);
	rule.dir = dir == 's';
	rule.type = type;
	rule.left = n;
	rule.after = strcmp(when, "after") == 0;
	rule.late_ns = (int64_t)late_ms * WEIR_MS;
	return true;
}

static void
drop(const char *name)
{
	for (struct pair *pair = pairs; pair; pair = pair->next)
		if (is_named(pair->name, name))
			for (int i = 0; i < 2; i++)
				close_end(&pair->ends[i]);
}

static bool
obey(const char *line)
{
	char word[108];

	if (sscanf(line, "target %107s", word) == 1)
		(void)snprintf(target, sizeof(target), "%s", word);
	else if (sscanf(line, "stall %107s", word) == 1)
		stalled = strcmp(word, "on") == 0;
	else if (sscanf(line, "refuse %107s", word) == 1)
		refusing = strcmp(word, "on") == 0;
	else if (sscanf(line, "delay %107s", word) == 1)
		delay_ns = atoi(word) * WEIR_MS;
	else if (sscanf(line, "drop %107s", word) == 1)
		drop(word);
	else if (strcmp(line, "count") == 0)
		forget_counts();
	else if (strcmp(line, "clear") == 0)
		rule.left = 0;
	else
		return set_rule(line);
	return true;
}

/* Orders, as they come. */
static void
take_orders(void)
{
	static struct weir_buf orders;
	char bytes[4096], *end, word[64];
	ssize_t n = read(STDIN_FILENO, bytes, sizeof(bytes));

	if (n <= 0)
		exit(0);
	weir__buf_append(&orders, bytes, (size_t)n);
	while ((end = memchr(orders.data, '\n', orders.len)) != NULL) {
		size_t len = (size_t)(end - orders.data) + 1;

		*end = '\0';
		if (sscanf(orders.data, "counts %63s", word) == 1)
			say_counts(word);
		else if (sscanf(orders.data, "live %63s", word) == 1)
			say_live(word);
		else if (strcmp(orders.data, "fired") == 0)
			say(rule.fired ? "yes" : "no");
		else
			say(obey(orders.data) ? "ok" : "what?");
		memmove(orders.data, orders.data + len, orders.len - len);
		orders.len -= len;
	}
}

/* Everybody is told what can be told, and is waited for. */
static void
tend(void)
{
	for (struct pair *pair = pairs; pair; pair = pair->next)
		for (int i = 0; i < 2; i++)
			flush_end(pair, i);
	reap();
	for (struct pair *pair = pairs; pair; pair = pair->next)
		for (int i = 0; i < 2; i++)
			watch(pair, i, EPOLL_CTL_MOD);
}

/* Does anything wait for a time? */
static bool
is_late(void)
{
	for (struct pair *pair = pairs; pair; pair = pair->next)
		for (int i = 0; i < 2; i++)
			if (pair->ends[i].fd >= 0 && pair->ends[i].out.len > 0)
				return true;
	return false;
}

static void
take_event(const struct epoll_event *event)
{
	int which = 0;
	struct pair *pair = pair_of(event->data.ptr, &which);

	if (!event->data.ptr)
		accept_one();
	else if (event->data.ptr == (void *)target)
		take_orders();
	else if (pair && pair->ends[which].fd >= 0 && !stalled &&
		 event->events & (EPOLLIN | EPOLLHUP | EPOLLERR))
		read_end(pair, which);
}

int
main(int argc, char **argv)
{
	struct epoll_event order = {.events = EPOLLIN, .data.ptr = target};
	struct epoll_event events[EVENTS];

	if (argc != 3) {
		(void)fprintf(stderr, "usage: pg_proxy LISTEN TARGET\n");
		return 2;
	}
	(void)signal(SIGPIPE, SIG_IGN);
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	(void)snprintf(target, sizeof(target), "%s", argv[2]);
	start_listening(argv[1]);
	if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, STDIN_FILENO, &order) != 0)
		die("stdin");
	say("ready");
	for (;;) {
		int n = epoll_wait(epoll_fd, events, EVENTS,
				   is_late() ? 1 : -1);

		for (int i = 0; i < n; i++)
			take_event(&events[i]);
		tend();
	}
}
