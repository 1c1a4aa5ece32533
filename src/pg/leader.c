/*
 * Leadership: who of all that work the store, River's clients among them, does
 * what only one should.
 *
 * Design.  The terms are River's: a row of river_leader that lasts for 15
 * seconds, an attempt to get or to keep it every 5 to 6.  A term is told from
 * another by when it was won, to the microsecond; who keeps it has to name it.
 * Whoever ends gives the row up and says so, and the others try at once.
 *
 *      FOLLOWS --elected--> LEADS --not re-elected, or not in time--> FOLLOWS
 *         ^--asked to resign, or at the end-/
 *
 * What we think of ourselves ends a second before the row does, and is counted
 * from before the attempt was sent: two never think so at a time.
 *
 * Our own upkeep needs no leader: everybody does it.  But as long as one of us
 * leads no client of River's does, which would discard jobs of kinds that it
 * does not know; and see duties.c.
 *
 * A thread does all this while anybody works the store, so that a handler or a
 * turn that takes long costs no lease.
 *
 * Locking: life_mu is held while the thread is started or ended, and waited
 * for; the thread takes admin.mu meanwhile, but never life_mu.  order_mu is a
 * leaf.
 */
#include "pg/leader.h"

#include "base/assert.h"
#include "sync/clock.h"
#include "base/json_scan.h"
#include "base/rng.h"
#include "pg/turn.h"
#include "sync/random.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define TTL_SECONDS  15
#define TRUST_NS     ((TTL_SECONDS - 1) * WEIR_S)
#define EVERY_NS     (5 * WEIR_S)
#define JITTER_NS    WEIR_S
#define HURRY_NS     (50 * WEIR_MS)
#define RESIGN_TRIES 3
#define ID_MAX       128
#define TTL          "interval '" PG_TEXT_OF(TTL_SECONDS) " seconds'"

struct pg_leader {
	/* fixed at creation */
	struct weir_pg *store;
	char id[ID_MAX];
	int wake_fd; /* readable: there are orders */

	/* guarded by life_mu */
	struct weir_mutex life_mu;
	unsigned users;
	bool is_running;
	struct weir_thread thread;

	/* guarded by order_mu */
	struct weir_mutex order_mu;
	unsigned orders;
	int64_t until_ns; /* we lead; 0: we do not */

	/* the thread's */
	bool leads;
	int64_t term_us; /* when it was won, in whole microseconds */
	int64_t attempt_at_ns;
	struct weir_rng rng;
	struct pg_duties duties;
};

#define NOW(n)  "coalesce($" n "::timestamptz, now())"
#define TERM_US "(extract(epoch FROM elected_at) * 1000000)::bigint"

/* Who follows only looks, so that nobody waits for a row that is locked. */
static const struct pg_sql elect_sql = {
	"leader_elect",
	"INSERT INTO @river_leader AS l (leader_id, elected_at, expires_at)"
	" SELECT $1, " NOW("2") ", " NOW(
		"2") " + " TTL " WHERE NOT EXISTS (SELECT 1 FROM @river_leader "
		     "o WHERE o.expires_at"
		     " >= " NOW("2") ") ON CONFLICT (name) DO UPDATE SET"
				     " leader_id = excluded.leader_id, "
				     "elected_at = excluded.elected_at,"
				     " expires_at = excluded.expires_at WHERE "
				     "l.expires_at < " NOW(
					     "2") " RETURNING " TERM_US};

static const struct pg_sql keep_sql = {
	"leader_keep",
	"UPDATE @river_leader SET expires_at = " NOW(
		"3") " + " TTL " WHERE leader_id = $1 AND " TERM_US
		     " = $2 AND expires_at >= " NOW("3") " RETURNING " TERM_US};

static const struct pg_sql resign_sql = {
	"leader_resign",
	"WITH gone AS (DELETE FROM @river_leader WHERE leader_id = $1"
	" AND " TERM_US " = $2 RETURNING leader_id)"
	" SELECT pg_notify(coalesce($3, current_schema() || '.')"
	" || 'river_leadership', json_build_object('action', 'resigned',"
	" 'leader_id', leader_id)::text) FROM gone"};

static void
set_until(struct pg_leader *l, int64_t until_ns)
{
	weir__mutex_lock(&l->order_mu);
	l->until_ns = until_ns;
	weir__mutex_unlock(&l->order_mu);
}

static void
stop_leading(struct pg_leader *l)
{
	set_until(l, 0);
	if (l->leads)
		weir__pg_duties_end(&l->duties);
	l->leads = false;
}

/* Ask for the row, or for more time.  OK: ret says whether we have it. */
static weir_status
ask_for(struct pg_leader *l, bool *ret_has, weir_error *reterr)
{
	struct pg_params p = {0};
	PGresult *result = NULL;
	weir_status status;

	weir__pg_begin(&p);
	weir__pg_text(&p, l->id, strlen(l->id));
	if (l->leads)
		weir__pg_int8(&p, l->term_us);
	weir__pg_now(&p, l->store);
	status = weir__pg_ask(&l->store->admin,
			      l->leads ? &keep_sql : &elect_sql, &p, &result,
			      reterr);
	*ret_has = status == WEIR_OK && PQntuples(result) == 1;
	if (*ret_has)
		l->term_us = weir__pg_get_int(result, 0, 0);
	PQclear(result);
	weir__pg_params_fini(&p);
	return status;
}

static void
attempt(struct pg_leader *l)
{
	int64_t before_ns = weir_now_ns();
	weir_error error = {0};
	bool has = false;

	l->attempt_at_ns = before_ns + EVERY_NS +
			   (int64_t)weir__rng_below(&l->rng, JITTER_NS);
	/* Who cannot ask may go on for as long as it lasts. */
	if (ask_for(l, &has, &error) != WEIR_OK)
		return;
	if (!has && l->leads) {
		/* Somebody else has it, or nobody. */
		stop_leading(l);
		if (ask_for(l, &has, &error) != WEIR_OK)
			return;
	}
	if (!has)
		return;
	set_until(l, before_ns + TRUST_NS);
	if (!l->leads)
		weir__pg_duties_begin(l->store, &l->duties, weir_now_ns());
	l->leads = true;
}

static void
resign(struct pg_leader *l)
{
	weir_status status = WEIR_BUSY;
	struct pg_params p = {0};
	weir_error error = {0};

	stop_leading(l);
	weir__pg_begin(&p);
	weir__pg_text(&p, l->id, strlen(l->id));
	weir__pg_int8(&p, l->term_us);
	weir__pg_channel(&p, l->store);
	/* If it cannot be said, the row runs out. */
	for (int i = 0; i < RESIGN_TRIES && status != WEIR_OK; i++)
		status = weir__pg_ask(&l->store->admin, &resign_sql, &p, NULL,
				      &error);
	weir__pg_params_fini(&p);
	/* The others are to have a go. */
	l->attempt_at_ns = weir_now_ns() + EVERY_NS;
}

static unsigned
orders_of(struct pg_leader *l)
{
	eventfd_t value;
	unsigned orders;

	(void)eventfd_read(l->wake_fd, &value);
	weir__mutex_lock(&l->order_mu);
	orders = l->orders;
	weir__mutex_unlock(&l->order_mu);
	return orders;
}

/* They were followed; what came meanwhile was not. */
static void
note_done(struct pg_leader *l, unsigned orders)
{
	weir__mutex_lock(&l->order_mu);
	l->orders &= ~orders;
	weir__mutex_unlock(&l->order_mu);
}

static void
sleep_until(struct pg_leader *l, int64_t at_ns)
{
	int fd = l->leads ? weir__pg_duties_fd(&l->duties) : -1;
	struct pollfd fds[2] = {{.fd = l->wake_fd, .events = POLLIN},
				{.fd = fd, .events = POLLIN}};
	int64_t left_ns = at_ns - weir_now_ns();

	if (left_ns > 0)
		(void)poll(fds, 2, (int)(left_ns / WEIR_MS) + 1);
}

static void
follow(struct pg_leader *l, unsigned orders)
{
	int64_t now_ns = weir_now_ns(), soon_ns;

	if ((orders & PG_LEADER_RESIGN) && l->leads)
		resign(l);
	soon_ns = now_ns + (int64_t)weir__rng_below(&l->rng, HURRY_NS);
	if ((orders & PG_LEADER_TRY) && !l->leads && l->attempt_at_ns > soon_ns)
		l->attempt_at_ns = soon_ns;
	if (orders & PG_LEADER_NOW)
		l->attempt_at_ns = now_ns;
}

static void
run(void *arg)
{
	struct pg_leader *l = arg;
	unsigned orders;

	l->attempt_at_ns = weir_now_ns();
	while (!((orders = orders_of(l)) & PG_LEADER_END)) {
		int64_t next_ns;

		follow(l, orders);
		if (weir_now_ns() >= l->attempt_at_ns)
			attempt(l);
		if (l->leads && weir_now_ns() >= l->until_ns)
			stop_leading(l);
		note_done(l, orders);
		next_ns = l->attempt_at_ns;
		if (l->leads) {
			int64_t duty_ns = weir__pg_duties_run(
				l->store, &l->duties, weir_now_ns());

			next_ns = duty_ns < next_ns ? duty_ns : next_ns;
			next_ns = l->until_ns < next_ns ? l->until_ns : next_ns;
		}
		sleep_until(l, next_ns);
	}
	if (l->leads)
		resign(l);
	note_done(l, orders);
}

/*
 * As River names its clients: by the host, and something that is never used
 * twice.
 */
static void
make_id(char id[ID_MAX], uint64_t random)
{
	char host[61] = "";

	(void)gethostname(host, sizeof(host));
	host[sizeof(host) - 1] = '\0';
	for (char *c = host; *c; c++)
		if (*c == '.')
			*c = '_';
	snprintf(id, ID_MAX, "%s_%d_%lld_%08x_weir", *host ? host : "host",
		 (int)getpid(), (long long)(weir__unix_ns() / WEIR_S),
		 (unsigned)(random & UINT32_MAX));
}

bool
weir__pg_leader_new(struct weir_pg *store)
{
	struct pg_leader *l = calloc(1, sizeof(*l));

	if (!l)
		return false;
	l->store = store;
	weir__mutex_init(&l->life_mu);
	weir__mutex_init(&l->order_mu);
	weir__rng_seed(&l->rng, weir__random_seed());
	make_id(l->id, weir__rng_next(&l->rng));
	l->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	store->leader = l;
	return l->wake_fd >= 0;
}

static void start_locked(struct pg_leader *l) WEIR_REQUIRES(l->life_mu);
static void end_locked(struct pg_leader *l) WEIR_REQUIRES(l->life_mu);

static void
start_locked(struct pg_leader *l)
{
	weir_assert(!l->is_running);
	l->is_running = weir__thread_start(&l->thread, "weir-leader", 0, run,
					   l) == WEIR_OK;
}

static void
end_locked(struct pg_leader *l)
{
	weir_assert(l->is_running);
	weir__pg_leader_order(l->store, PG_LEADER_END);
	weir__thread_join(&l->thread);
	l->is_running = false;
}

void
weir__pg_leader_free(struct weir_pg *store)
{
	struct pg_leader *l = store->leader;

	if (!l)
		return;
	weir__mutex_lock(&l->life_mu);
	if (l->is_running)
		end_locked(l);
	weir__mutex_unlock(&l->life_mu);
	if (l->wake_fd >= 0)
		(void)close(l->wake_fd);
	weir__mutex_fini(&l->life_mu);
	weir__mutex_fini(&l->order_mu);
	free(l);
	store->leader = NULL;
}

void
weir__pg_leader_enter(struct weir_pg *store)
{
	struct pg_leader *l = store->leader;

	if (store->never_leads)
		return;
	weir__mutex_lock(&l->life_mu);
	l->users++;
	/* Without a thread others lead. */
	if (!l->is_running)
		start_locked(l);
	weir__mutex_unlock(&l->life_mu);
}

void
weir__pg_leader_leave(struct weir_pg *store)
{
	struct pg_leader *l = store->leader;

	if (store->never_leads)
		return;
	weir__mutex_lock(&l->life_mu);
	l->users -= l->users > 0;
	if (l->users == 0 && l->is_running)
		end_locked(l);
	weir__mutex_unlock(&l->life_mu);
}

unsigned
weir__pg_leader_heard(const struct weir_pg *store, const char *payload)
{
	struct weir_json_scan scan;
	struct weir_json_member m;
	unsigned orders = 0;
	bool is_ours = false;
	size_t len = strlen(store->leader->id);

	weir__json_scan_init(&scan, payload, strlen(payload));
	while (weir__json_scan_next(&scan, &m)) {
		if (weir__json_is(m.name, m.name_len, "leader_id"))
			is_ours = m.value_len == len + 2 &&
				  memcmp(m.value + 1, store->leader->id, len) ==
					  0;
		else if (!weir__json_is(m.name, m.name_len, "action"))
			continue;
		else if (weir__json_is(m.value, m.value_len, "resigned"))
			orders = PG_LEADER_TRY;
		else if (weir__json_is(m.value, m.value_len, "request_resign"))
			orders = PG_LEADER_RESIGN;
	}
	if (!weir__json_scan_is_whole(&scan))
		return 0;
	/* We have just said so ourselves. */
	return is_ours && orders == PG_LEADER_TRY ? 0 : orders;
}

void
weir__pg_leader_order(struct weir_pg *store, unsigned orders)
{
	struct pg_leader *l = store->leader;

	if (orders == 0)
		return;
	weir__mutex_lock(&l->order_mu);
	l->orders |= orders;
	weir__mutex_unlock(&l->order_mu);
	(void)eventfd_write(l->wake_fd, 1);
}

bool
weir__pg_leads(const struct weir_pg *store)
{
	struct pg_leader *l = store->leader;
	int64_t until_ns;

	weir__mutex_lock(&l->order_mu);
	until_ns = l->until_ns;
	weir__mutex_unlock(&l->order_mu);
	return weir_now_ns() < until_ns;
}

const char *
weir__pg_leader_id(const struct weir_pg *store)
{
	return store->leader->id;
}

bool
weir__pg_leader_is_idle(const struct weir_pg *store)
{
	struct pg_leader *l = store->leader;
	unsigned orders;

	weir__mutex_lock(&l->order_mu);
	orders = l->orders;
	weir__mutex_unlock(&l->order_mu);
	return orders == 0;
}
