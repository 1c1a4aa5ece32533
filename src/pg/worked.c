/*
 * The queues that we work: their rows, and what comes due in them.
 *
 * Design.  River's clients, and what shows its tables to people, know a queue
 * by its row in river_queue, and forget one whose row nobody has touched for a
 * day, its pause as well.  So whoever works a queue makes its row and touches
 * it every ten minutes, as they do.  That is done before a turn and not in it:
 * a row that another holds must not keep jobs waiting.
 *
 * Not everything that comes due rings a bell.  River says nothing when it
 * schedules a job, or puts one back for a few seconds as available.  Its own
 * clients look once a second; we ask no more than whether there is anything
 * new, which costs a few looks into an index for each queue: by state, queue
 * and priority, for times since the last answer.  What was due before then has
 * had its bell, and dead entries that the index is full of are not walked.
 *
 * Nor does a place that has come free in a limit (limit.c): if jobs wait for
 * one, that is asked for as well.
 *
 * Who does not listen (listen=off) asks whether there is anything at all, and
 * whether anything that runs is to be cancelled.
 *
 * A row may be seen later than it is due, for its transaction was long; so the
 * times overlap a little.  What is missed for all that, the sweep finds.
 *
 * Locking: worked_mu, a leaf.
 */
#include "pg/limit.h"
#include "pg/turn.h"
#include "pg/worked.h"

#include "base/assert.h"

#include <stdlib.h>
#include <string.h>

#define TOUCH_NS (600 * WEIR_S)
#define AGAIN_NS (60 * WEIR_S)

struct worked_queue {
	char *name;
	int64_t touch_at_ns;
};

struct pg_worked {
	struct weir_mutex worked_mu;

	/* guarded by worked_mu */
	struct worked_queue *queues;
	size_t count, cap;
};

#define NOW "coalesce($2::timestamptz, now())"
#define DUE                                                               \
	"SELECT EXISTS (SELECT 1 FROM unnest($1::text[]) q (name),"       \
	" generate_series(1, 4) p (n), (VALUES"                           \
	" ('available'::@river_job_state), ('scheduled'), ('retryable'))" \
	" s (state), LATERAL (SELECT 1 FROM @river_job j"                 \
	" WHERE j.state = s.state AND j.queue = q.name"                   \
	" AND j.priority = p.n::smallint"                                 \
	" AND j.scheduled_at <= coalesce($2::timestamptz, now())"         \
	" AND j.scheduled_at > coalesce($3::timestamptz, $2, now())"      \
	" - interval '2 seconds' LIMIT 1) x)"                             \
	" OR " PG_LIMIT_IS_FREE                                           \
	"$4" PG_LIMIT_IS_FREE_AT NOW PG_LIMIT_IS_FREE_END ", " NOW

const char weir__pg_due_text[] = DUE;

/* Whoever hears nothing has to ask for that, too. */
const struct pg_sql weir__pg_poll_sql = {
	"poll", DUE ", EXISTS (SELECT 1 FROM @river_job j"
		    " WHERE j.state = 'running' AND j.queue = ANY ($1)"
		    " AND " PG_IS_CANCELLED("j") ")"};

bool
weir__pg_worked_new(struct weir_pg *store)
{
	store->worked = calloc(1, sizeof(*store->worked));
	if (!store->worked)
		return false;
	weir__mutex_init(&store->worked->worked_mu);
	return true;
}

void
weir__pg_worked_free(struct weir_pg *store)
{
	struct pg_worked *w = store->worked;

	if (!w)
		return;
	for (size_t i = 0; i < w->count; i++)
		free(w->queues[i].name);
	free(w->queues);
	weir__mutex_fini(&w->worked_mu);
	free(w);
	store->worked = NULL;
}

static struct worked_queue *find_locked(struct pg_worked *w, const char *name)
	WEIR_REQUIRES(w->worked_mu);
static bool is_due_locked(struct pg_worked *w, const char *name, int64_t now_ns)
	WEIR_REQUIRES(w->worked_mu);
static void send_touch(struct pg_link *conn, struct pg_params *p)
	WEIR_REQUIRES(conn->mu);

/* The queue, which is added if it is new; NULL: no memory. */
static struct worked_queue *
find_locked(struct pg_worked *w, const char *name)
{
	struct worked_queue *queues;
	size_t cap = w->cap * 2 + 4;

	for (size_t i = 0; i < w->count; i++)
		if (strcmp(w->queues[i].name, name) == 0)
			return &w->queues[i];
	if (w->count == w->cap) {
		queues = realloc(w->queues, cap * sizeof(*queues));
		if (!queues)
			return NULL;
		w->queues = queues;
		w->cap = cap;
	}
	w->queues[w->count] = (struct worked_queue){.name = strdup(name)};
	return w->queues[w->count].name ? &w->queues[w->count++] : NULL;
}

/* Is its row to be touched?  Then by us, and not before long by others. */
static bool
is_due_locked(struct pg_worked *w, const char *name, int64_t now_ns)
{
	struct worked_queue *queue = find_locked(w, name);

	if (!queue || queue->touch_at_ns > now_ns)
		return false;
	queue->touch_at_ns = now_ns + AGAIN_NS;
	return true;
}

/* A row that is locked by another is not waited for; nor an index, for long. */
static const struct pg_sql hurry_sql = {
	"worked_hurry", "SELECT set_config('lock_timeout', '100ms', true)"};

static const struct pg_sql touch_sql = {
	"worked_touch",
	"INSERT INTO @river_queue AS q (name, metadata, created_at, updated_at)"
	" SELECT u.name, '{}', coalesce($2::timestamptz, now()),"
	" coalesce($2::timestamptz, now()) FROM unnest($1::text[]) u (name)"
	" ORDER BY u.name ON CONFLICT (name) DO UPDATE"
	" SET updated_at = excluded.updated_at"};

static void
send_touch(struct pg_link *conn, struct pg_params *p)
{
	struct pg_params none = {0};

	weir__pg_begin(&none);
	weir__pg_send(conn, &hurry_sql, &none);
	weir__pg_send(conn, &touch_sql, p);
	weir__pg_params_fini(&none);
}

/* In a transaction of its own.  What fails is tried again in a minute. */
static bool
touch(struct weir_pg *store, const char *const *names, size_t count)
{
	struct pg_link *conn = &store->work;
	PGresult *results[2] = {NULL};
	struct pg_params p = {0};
	weir_error error = {0};
	bool ok;

	weir__pg_begin(&p);
	weir__pg_array_begin(&p, PG_TEXT, count);
	for (size_t i = 0; i < count; i++)
		weir__pg_text(&p, names[i], strlen(names[i]));
	weir__pg_array_end(&p);
	weir__pg_now(&p, store);
	weir__mutex_lock(&conn->mu);
	ok = weir__pg_ready(conn, &error) == WEIR_OK;
	if (ok) {
		send_touch(conn, &p);
		ok = weir__pg_sync(conn, results, &error) == WEIR_OK;
	}
	weir__mutex_unlock(&conn->mu);
	PQclear(results[0]);
	PQclear(results[1]);
	weir__pg_params_fini(&p);
	return ok;
}

void
weir__pg_worked_note(struct weir_pg *store, const struct weir_turn *turn)
{
	struct pg_worked *w = store->worked;
	int64_t now_ns = weir_now_ns();
	const char *names[16];
	size_t count = 0;

	weir__mutex_lock(&w->worked_mu);
	for (size_t i = 0; i < turn->want_count && count < 16; i++)
		if (is_due_locked(w, turn->wants[i].queue, now_ns))
			names[count++] = turn->wants[i].queue;
	weir__mutex_unlock(&w->worked_mu);
	if (count == 0 || !touch(store, names, count))
		return;
	weir__mutex_lock(&w->worked_mu);
	for (size_t i = 0; i < count; i++) {
		struct worked_queue *queue = find_locked(w, names[i]);

		if (queue)
			queue->touch_at_ns = now_ns + TOUCH_NS;
	}
	weir__mutex_unlock(&w->worked_mu);
}

bool
weir__pg_due_put(struct weir_pg *store, struct pg_params *p, int64_t since_ms)
{
	struct pg_worked *w = store->worked;
	bool any;

	weir__pg_begin(p);
	weir__mutex_lock(&w->worked_mu);
	any = w->count > 0;
	weir__pg_array_begin(p, PG_TEXT, w->count);
	for (size_t i = 0; i < w->count; i++)
		weir__pg_text(p, w->queues[i].name, strlen(w->queues[i].name));
	weir__pg_array_end(p);
	weir__mutex_unlock(&w->worked_mu);
	weir__pg_now(p, store);
	weir__pg_time(p, since_ms);
	weir__pg_limit_put_waiting(store, p);
	return any;
}
