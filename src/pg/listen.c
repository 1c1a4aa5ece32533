/*
 * The bell: who waits for jobs hears of them here.
 *
 * Design.  A thread with a connection of its own listens to River's channels
 * and to one of ours, and rings: it writes a byte to each of those who asked.
 * They have one end of a pair of sockets, we the other; when theirs is closed,
 * which is their right, ours says so, and is forgotten.
 *
 *      river_insert   jobs are available       ring
 *      river_control  a job is to be cancelled keep its id; ring
 *                     a queue goes on again    ring
 *      weir_bell      somebody called wake     ring
 *      river_leadership                        see leader.c
 *
 * Not everything that comes due is told of; see worked.c.  So once a second,
 * unless it has rung just then, the thread asks whether anything has, which
 * also tells it that the connection is alive.
 *
 * Cancels are numbered, and the latest are kept.  The number goes up, too,
 * when some may have been missed: at each connection, and now and then while
 * there is none.  Whoever is behind such a number has to look for itself, and
 * so has who is behind the oldest that is kept.
 *
 * With listen=off there is nothing to hear, and the same question each second
 * is all there is.
 *
 * While there is no connection everybody is rung every two seconds: then they
 * look as often as River's clients do that cannot listen.
 *
 * Locking: listen_mu, a leaf, guards bells and cancels; making_mu, a leaf too,
 * the pointer to the listener, which comes with the first who asks.  The
 * connection is the thread's own.
 */
#include "pg/cursor.h"
#include "pg/leader.h"
#include "pg/listen.h"
#include "pg/turn.h"
#include "pg/worked.h"

#include "base/assert.h"
#include "base/json_scan.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define ASK_NS       WEIR_S
#define PING_NS      (5 * WEIR_S)
#define SILENCE_NS   (10 * WEIR_S)
#define AWAY_NS      (2 * WEIR_S)
#define RETRY_NS     (WEIR_S / 2)
#define RETRY_NS_MAX (64 * WEIR_S)
#define CANCELS_MAX  1024

struct pg_listener {
	/* fixed at creation */
	struct weir_pg *store;
	int stop_fd, first_fd; /* readable: end; the first try is over */
	int poke_fd;           /* somebody wants to know that all was heard */
	struct weir_thread thread;
	struct pg_link link; /* with listen=off, to ask by */

	/* the thread's */
	PGconn *pg;
	bool is_pinged; /* and not answered yet */
	int64_t pinged_at_ns, rang_at_ns;
	int64_t asked_ms; /* the store's time of the last answer */
	bool is_poked;    /* so ping again */
	bool is_settling; /* that ping is for whoever has poked */
	bool is_first_over;

	/* guarded by listen_mu */
	struct weir_mutex listen_mu;
	int *bells;
	size_t bell_count, bell_cap;
	int64_t cancels[CANCELS_MAX]; /* number n at n % CANCELS_MAX; 0: none */
	int64_t seq, missed_seq;
	int settler_fd; /* who waits for the next answer; or -1 */
};

/* All stores' pointers to their listeners: held for a moment. */
static struct weir_mutex making_mu;

static void ring_locked(struct pg_listener *l) WEIR_REQUIRES(l->listen_mu);
static void note_locked(struct pg_listener *l, int64_t job)
	WEIR_REQUIRES(l->listen_mu);
static void tell_settled(struct pg_listener *l, bool heard);

/* Ring for all, and forget those that have gone. */
static void
ring_locked(struct pg_listener *l)
{
	size_t kept = 0;

	for (size_t i = 0; i < l->bell_count; i++) {
		ssize_t n =
			send(l->bells[i], "!", 1, MSG_NOSIGNAL | MSG_DONTWAIT);

		/* Full is as good as rung. */
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			(void)close(l->bells[i]);
		else
			l->bells[kept++] = l->bells[i];
	}
	l->bell_count = kept;
}

static void
note_locked(struct pg_listener *l, int64_t job)
{
	l->seq++;
	l->cancels[l->seq % CANCELS_MAX] = job;
}

/* Something may have been said that we have not heard. */
static void
note_missed(struct pg_listener *l)
{
	weir__mutex_lock(&l->listen_mu);
	note_locked(l, 0);
	l->missed_seq = l->seq;
	ring_locked(l);
	weir__mutex_unlock(&l->listen_mu);
}

/* The job of a wish to cancel; 0: it is another message, -1: it is none. */
static int64_t
cancelled_job(const char *payload)
{
	struct weir_json_scan scan;
	struct weir_json_member m;
	bool is_cancel = false;
	int64_t job = 0;

	weir__json_scan_init(&scan, payload, strlen(payload));
	while (weir__json_scan_next(&scan, &m)) {
		if (weir__json_is(m.name, m.name_len, "action"))
			is_cancel =
				weir__json_is(m.value, m.value_len, "cancel");
		else if (weir__json_is(m.name, m.name_len, "job_id"))
			job = strtoll(m.value, NULL, 10);
	}
	if (!weir__json_scan_is_whole(&scan) || (is_cancel && job <= 0))
		return -1;
	return is_cancel ? job : 0;
}

/* What has come in.  False: the connection is lost. */
static bool
take_notices(struct pg_listener *l)
{
	unsigned orders = 0;
	bool rings = false;
	PGnotify *notice;

	if (PQconsumeInput(l->pg) != 1)
		return false;
	weir__mutex_lock(&l->listen_mu);
	while ((notice = PQnotifies(l->pg)) != NULL) {
		const char *dot = strrchr(notice->relname, '.');
		int64_t job = 0;

		if (dot && strcmp(dot, ".river_control") == 0)
			job = cancelled_job(notice->extra);
		else if (dot && strcmp(dot, ".river_leadership") == 0) {
			orders |=
				weir__pg_leader_heard(l->store, notice->extra);
			job = -1;
		}
		if (job > 0)
			note_locked(l, job);
		rings |= job >= 0;
		PQfreemem(notice);
	}
	if (rings) {
		ring_locked(l);
		l->rang_at_ns = weir_now_ns();
	}
	weir__mutex_unlock(&l->listen_mu);
	weir__pg_leader_order(l->store, orders);
	return true;
}

/* If it was the question, and something is due, ring. */
static void
take_answer(struct pg_listener *l, const PGresult *result)
{
	if (PQresultStatus(result) != PGRES_TUPLES_OK || PQntuples(result) != 1)
		return;
	l->asked_ms = weir__pg_get_ms(result, 0, 1);
	if (!weir__pg_get_bool(result, 0, 0) &&
	    !weir__pg_cursor_is_due(l->store))
		return;
	weir__mutex_lock(&l->listen_mu);
	ring_locked(l);
	weir__mutex_unlock(&l->listen_mu);
}

/* The answer to a ping, if one has come.  False: it says that all is over. */
static bool
take_pong(struct pg_listener *l)
{
	if (PQconsumeInput(l->pg) != 1)
		return false;
	while (l->is_pinged && !PQisBusy(l->pg)) {
		PGresult *result = PQgetResult(l->pg);

		if (!result)
			l->is_pinged = false;
		else
			take_answer(l, result);
		PQclear(result);
	}
	return PQstatus(l->pg) == CONNECTION_OK;
}

static bool
listen_to(struct pg_listener *l, const char *prefix, const char *topic)
{
	char name[4 * PG_SCHEMA_MAX], text[8 * PG_SCHEMA_MAX + 16];
	PGresult *result;
	char *quoted;
	bool ok;

	snprintf(name, sizeof(name), "%s%s", prefix, topic);
	/* There is a dot in it. */
	quoted = PQescapeIdentifier(l->pg, name, strlen(name));
	if (!quoted)
		return false;
	snprintf(text, sizeof(text), "LISTEN %s", quoted);
	PQfreemem(quoted);
	result = PQexec(l->pg, text);
	ok = PQresultStatus(result) == PGRES_COMMAND_OK;
	PQclear(result);
	return ok;
}

/* The schema in front of the channels. */
static bool
read_prefix(struct pg_listener *l, char *prefix, size_t size)
{
	PGresult *result;
	bool ok;

	snprintf(prefix, size, "%s", l->store->channel_prefix);
	if (*prefix != '\0')
		return true;
	result = PQexec(l->pg, "SELECT current_schema()");
	ok = PQresultStatus(result) == PGRES_TUPLES_OK &&
	     PQntuples(result) == 1;
	if (ok)
		snprintf(prefix, size, "%s.", PQgetvalue(result, 0, 0));
	PQclear(result);
	return ok;
}

static bool
prepare_question(struct pg_listener *l)
{
	static const Oid types[] = {1009, PG_TIMESTAMPTZ, PG_TIMESTAMPTZ,
				    PG_TEXT};
	struct weir_buf text = {0};
	PGresult *result = NULL;
	bool ok;

	if (weir__pg_expand(&text, l->store, weir__pg_due_text))
		result = PQprepare(l->pg, "due", text.data, 4, types);
	ok = PQresultStatus(result) == PGRES_COMMAND_OK;
	PQclear(result);
	weir__buf_fini(&text);
	return ok;
}

static bool
listen_to_all(struct pg_listener *l)
{
	char prefix[sizeof(l->store->channel_prefix)];

	return read_prefix(l, prefix, sizeof(prefix)) &&
	       listen_to(l, prefix, "river_insert") &&
	       listen_to(l, prefix, "river_control") &&
	       listen_to(l, prefix, "river_leadership") &&
	       listen_to(l, prefix, "weir_bell") && prepare_question(l);
}

static bool
connect_it(struct pg_listener *l)
{
	weir_error error = {0};

	l->is_pinged = l->is_settling = false;
	l->asked_ms = PG_NO_TIME;
	l->pg = weir__pg_connect(l->store, "listener", NULL, &error);
	if (l->pg && listen_to_all(l))
		return true;
	PQfinish(l->pg);
	l->pg = NULL;
	return false;
}

/*
 * Wait that long, or until fd is readable or somebody is in a hurry.  False: we
 * are to end.
 */
static bool
wait_for(struct pg_listener *l, int fd, int64_t ns, bool *ret_is_late)
{
	struct pollfd fds[3] = {{.fd = l->stop_fd, .events = POLLIN},
				{.fd = fd, .events = POLLIN},
				{.fd = l->poke_fd, .events = POLLIN}};
	int n = poll(fds, 3, (int)(ns / WEIR_MS));
	eventfd_t value;

	*ret_is_late = n == 0;
	if (n > 0 && fds[2].revents != 0 &&
	    eventfd_read(l->poke_fd, &value) == 0)
		l->is_poked = true;
	return n <= 0 || fds[0].revents == 0;
}

/* Whoever waits for an answer has it. */
static void
tell_settled(struct pg_listener *l, bool heard)
{
	weir__mutex_lock(&l->listen_mu);
	if (l->settler_fd >= 0)
		(void)eventfd_write(l->settler_fd, heard ? 1 : 2);
	l->settler_fd = -1;
	l->is_settling = false;
	weir__mutex_unlock(&l->listen_mu);
}

/* Has anything come due?  False: it could not be asked. */
static bool
ask(struct pg_listener *l)
{
	const char *values[4];
	int formats[4] = {1, 1, 1, 1};
	struct pg_params p = {0};
	bool ok = true;

	if (!weir__pg_due_put(l->store, &p, l->asked_ms)) {
		ok = PQsendQuery(l->pg, "") == 1;
	} else if (!p.bytes.failed) {
		for (int i = 0; i < 4; i++)
			values[i] = p.nulls[i]
					    ? NULL
					    : weir__buf_str(&p.bytes) + p.at[i];
		ok = PQsendQueryPrepared(l->pg, "due", 4, values, p.lengths,
					 formats, 1) == 1;
	}
	weir__pg_params_fini(&p);
	return ok;
}

/* Is anybody there, and anything due?  False: nobody. */
static bool
ping(struct pg_listener *l)
{
	if (!ask(l))
		return false;
	l->is_pinged = true;
	l->pinged_at_ns = weir_now_ns();
	l->is_settling = l->is_poked;
	l->is_poked = false;
	return true;
}

/*
 * Whoever was rung for has looked at everything by now.  That something always
 * rings is no reason not to ask whether the server is still there.
 */
static bool
is_ping_due(const struct pg_listener *l, int64_t now_ns)
{
	int64_t since_ns = now_ns - l->pinged_at_ns;

	return since_ns >= PING_NS ||
	       (since_ns >= ASK_NS && now_ns - l->rang_at_ns >= ASK_NS);
}

/* As long as the connection lasts.  False: we are to end. */
static bool
serve(struct pg_listener *l)
{
	bool is_late;

	for (;;) {
		int64_t now_ns;

		/* What came before an answer is known before the answer is. */
		if (!take_pong(l) || !take_notices(l))
			return true;
		if (l->is_settling && !l->is_pinged)
			tell_settled(l, true);
		now_ns = weir_now_ns();
		if (l->is_pinged && now_ns - l->pinged_at_ns > SILENCE_NS)
			return true;
		if (!l->is_pinged && (l->is_poked || is_ping_due(l, now_ns)) &&
		    !ping(l))
			return true;
		if (!wait_for(l, PQsocket(l->pg), ASK_NS, &is_late))
			return false;
	}
}

/* What comes due, by asking for all of it.  False: it could not be asked. */
static bool
poll_once(struct pg_listener *l)
{
	struct pg_params p = {0};
	PGresult *result = NULL;
	weir_error error = {0};
	bool ok = true;

	if (weir__pg_due_put(l->store, &p, 0))
		ok = weir__pg_ask(&l->link, &weir__pg_poll_sql, &p, &result,
				  &error) == WEIR_OK;
	weir__pg_params_fini(&p);
	if (result && weir__pg_get_bool(result, 0, 2))
		note_missed(l);
	if (result)
		take_answer(l, result);
	PQclear(result);
	return ok;
}

/* The same where nothing can be heard.  False: we are to end. */
static bool
serve_polling(struct pg_listener *l)
{
	bool is_late, was_poked;

	for (;;) {
		was_poked = l->is_poked;
		l->is_poked = false;
		if (!poll_once(l))
			return true;
		if (was_poked)
			tell_settled(l, true);
		if (!wait_for(l, -1, ASK_NS, &is_late))
			return false;
	}
}

/* No connection for that long.  False: we are to end. */
static bool
stay_away(struct pg_listener *l, int64_t ns)
{
	bool is_late;

	for (; ns > 0; ns -= AWAY_NS) {
		if (!wait_for(l, -1, ns < AWAY_NS ? ns : AWAY_NS, &is_late))
			return false;
		tell_settled(l, false);
		note_missed(l);
	}
	return true;
}

/* Whoever has made us waits for that. */
static void
end_first(struct pg_listener *l)
{
	if (!l->is_first_over)
		(void)eventfd_write(l->first_fd, 1);
	l->is_first_over = true;
}

static void
run(void *arg)
{
	struct pg_listener *l = arg;
	int64_t retry_ns = RETRY_NS;
	bool on = true;

	while (on) {
		bool polls = l->store->is_pooled;

		if (polls ? poll_once(l) : connect_it(l)) {
			retry_ns = RETRY_NS;
			note_missed(l);
			end_first(l);
			on = polls ? serve_polling(l) : serve(l);
			PQfinish(l->pg);
			l->pg = NULL;
		}
		end_first(l);
		if (on)
			on = stay_away(l, retry_ns);
		retry_ns = retry_ns < RETRY_NS_MAX ? retry_ns * 2 : retry_ns;
	}
}

static void
listener_free(struct pg_listener *l)
{
	for (size_t i = 0; i < l->bell_count; i++)
		(void)close(l->bells[i]);
	if (l->stop_fd >= 0)
		(void)close(l->stop_fd);
	if (l->first_fd >= 0)
		(void)close(l->first_fd);
	if (l->poke_fd >= 0)
		(void)close(l->poke_fd);
	weir__mutex_fini(&l->listen_mu);
	weir__pg_conn_fini(&l->link);
	free(l->bells);
	free(l);
}

static struct pg_listener *
listener_new(struct weir_pg *store)
{
	struct pg_listener *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	l->store = store;
	weir__mutex_init(&l->listen_mu);
	weir__pg_conn_init(&l->link, store, "listener", NULL);
	l->stop_fd = eventfd(0, EFD_CLOEXEC);
	l->first_fd = eventfd(0, EFD_CLOEXEC);
	l->poke_fd = eventfd(0, EFD_CLOEXEC);
	l->settler_fd = -1;
	if (l->stop_fd >= 0 && l->first_fd >= 0 && l->poke_fd >= 0 &&
	    weir__thread_start(&l->thread, "weir-listen", 0, run, l) == WEIR_OK)
		return l;
	listener_free(l);
	return NULL;
}

/* The listener, once it listens or could not; NULL: there is none. */
static struct pg_listener *
listener_of(struct weir_pg *store, bool make)
{
	struct pg_listener *l;
	struct pollfd fd = {.events = POLLIN};
	bool is_new;

	weir__mutex_lock(&making_mu);
	is_new = make && !store->listener;
	if (is_new)
		store->listener = listener_new(store);
	l = store->listener;
	weir__mutex_unlock(&making_mu);
	if (is_new && l) {
		fd.fd = l->first_fd;
		while (poll(&fd, 1, -1) < 0 && errno == EINTR)
			;
	}
	return l;
}

void
weir__pg_listener_free(struct weir_pg *store)
{
	struct pg_listener *l = listener_of(store, false);

	if (!l)
		return;
	(void)eventfd_write(l->stop_fd, 1);
	weir__thread_join(&l->thread);
	listener_free(l);
	store->listener = NULL;
}

bool
weir__pg_settle(struct weir_pg *store)
{
	struct pg_listener *l = listener_of(store, false);
	struct pollfd fd = {.fd = eventfd(0, EFD_CLOEXEC), .events = POLLIN};
	eventfd_t value = 0;

	if (l) {
		weir__mutex_lock(&l->listen_mu);
		l->settler_fd = fd.fd;
		weir__mutex_unlock(&l->listen_mu);
		(void)eventfd_write(l->poke_fd, 1);
		(void)poll(&fd, 1, 10000);
		weir__mutex_lock(&l->listen_mu);
		l->settler_fd = -1;
		weir__mutex_unlock(&l->listen_mu);
		if (eventfd_write(fd.fd, 4) != 0 ||
		    eventfd_read(fd.fd, &value) != 0)
			value = 0;
	}
	(void)close(fd.fd);
	return !l || value == 4 + 1;
}

static bool
add_bell(struct pg_listener *l, int fd)
{
	bool ok = true;

	weir__mutex_lock(&l->listen_mu);
	if (l->bell_count == l->bell_cap) {
		size_t cap = l->bell_cap * 2 + 4;
		int *bells = realloc(l->bells, cap * sizeof(*bells));

		if (bells) {
			l->bells = bells;
			l->bell_cap = cap;
		}
		ok = bells != NULL;
	}
	if (ok)
		l->bells[l->bell_count++] = fd;
	weir__mutex_unlock(&l->listen_mu);
	return ok;
}

int
weir__pg_wake_fd(weir_store *store)
{
	struct pg_listener *l = listener_of(weir__pg_of(store), true);
	int type = SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, pair[2];

	if (!l || socketpair(AF_UNIX, type, 0, pair) != 0)
		return -1;
	if (add_bell(l, pair[0]))
		return pair[1];
	(void)close(pair[0]);
	(void)close(pair[1]);
	return -1;
}

void
weir__pg_hush(weir_store *store, int fd)
{
	char rings[64];

	(void)store;
	weir_assert(fd >= 0);
	while (read(fd, rings, sizeof(rings)) > 0)
		;
}

static const struct pg_sql wake_sql = {
	"wake", "SELECT pg_notify(coalesce($1, current_schema() || '.')"
		" || 'weir_bell', '')"};

void
weir__pg_wake(weir_store *store)
{
	struct weir_pg *pg = weir__pg_of(store);
	struct pg_listener *l = listener_of(pg, false);
	struct pg_params p = {0};
	weir_error error = {0};

	if (l) {
		weir__mutex_lock(&l->listen_mu);
		ring_locked(l);
		weir__mutex_unlock(&l->listen_mu);
	}
	weir__pg_begin(&p);
	weir__pg_channel(&p, pg);
	/* Who cannot be told finds out when it looks. */
	(void)!weir__pg_ask(&pg->admin, &wake_sql, &p, NULL, &error);
	weir__pg_params_fini(&p);
}

bool
weir__pg_take_cancels(struct weir_pg *store, int64_t *seq, struct weir_buf *ids)
{
	struct pg_listener *l = listener_of(store, true);
	bool all;

	if (!l)
		return false;
	weir__mutex_lock(&l->listen_mu);
	all = *seq >= l->missed_seq && *seq >= l->seq - CANCELS_MAX;
	if (*seq < l->seq - CANCELS_MAX)
		*seq = l->seq - CANCELS_MAX;
	while (*seq < l->seq) {
		int64_t job = l->cancels[++*seq % CANCELS_MAX];

		if (job)
			weir__buf_append(ids, &job, sizeof(job));
	}
	weir__mutex_unlock(&l->listen_mu);
	return all;
}
