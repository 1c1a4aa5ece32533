/*
 * Cursors: not to walk along what is gone.
 *
 * Design.  A job that is claimed leaves an entry in the index behind, until it
 * can be cleared away: which is when nobody has a snapshot any more that is
 * older.  Somebody's report of ten minutes in the same database is enough for
 * claims to walk along all the entries of ten minutes, each time.  They stand
 * in front of those that are alive, for the index is in the order of time:
 *
 *      dead dead dead dead dead | alive alive alive
 *                        cursor ^
 *
 * So where claims have become slow, they begin where the last one has found
 * something, or, if there was nothing, at its own time; less a margin, for
 * those that were committed later than they were due.  What comes back behind
 * the cursor (a job that was released, a time in the past) is found by the
 * next sweep from the beginning.  There is one every few seconds, and less
 * often if it takes long: a twentieth of the time is spent on them.  If it was
 * quick there are no cursors any more.
 *
 * A store whose claims are quick has none, and a job is claimed at once
 * wherever it is.  Nor has one with a clock of the caller's: tests want to be
 * told the same each time.
 *
 * A cursor is about jobs of certain kinds.  A turn that wants others sweeps.
 * What may not be held (hold.h) stays behind where holds have gone on, so
 * claims of that have cursors of their own.
 *
 * Locking: cursor_mu, a leaf.
 */
#include "pg/cursor.h"
#include "pg/hold.h"

#include "base/assert.h"
#include "base/hash.h"

#include <stdlib.h>
#include <string.h>

#define SLOW_NS      (10 * WEIR_MS)
#define SLOW_EACH_NS (300 * INT64_C(1000))
#define SWEEP_NS     (2 * WEIR_S)
#define SWEEP_NS_MAX (30 * WEIR_S)
#define SWEEP_SHARE  20
#define MARGIN_MS    200
#define QUEUES_MAX   16

struct cursor {
	char queue[128];
	int64_t since_ms[PG_PRIORITIES];
};

/* Those of one way to claim. */
struct cursors {
	bool on;
	int64_t sweep_at_ns;
	uint64_t kinds; /* which those are that the cursors are about */
	struct cursor list[QUEUES_MAX];
	size_t count;
};

struct pg_cursors {
	struct weir_mutex cursor_mu;

	/* guarded by cursor_mu */
	int64_t slow_ns;
	struct cursors all, rest, parts[PG_PARTS];
};

static struct cursors *
cursors_of(const struct pg_turn *t)
{
	struct pg_cursors *c = t->store->cursors;

	if (t->way == PG_WAY_REST)
		return &c->rest;
	return t->parts > 1 ? &c->parts[t->part] : &c->all;
}

bool
weir__pg_cursors_new(struct weir_pg *store)
{
	store->cursors = calloc(1, sizeof(*store->cursors));
	if (!store->cursors)
		return false;
	weir__mutex_init(&store->cursors->cursor_mu);
	store->cursors->slow_ns = SLOW_NS;
	return true;
}

void
weir__pg_cursors_free(struct weir_pg *store)
{
	if (store->cursors)
		weir__mutex_fini(&store->cursors->cursor_mu);
	free(store->cursors);
	store->cursors = NULL;
}

/* Behind what is in seed. */
static uint64_t
hash_words(uint64_t seed, const char *const *words, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const uint64_t key[2] = {seed, i};

		seed = weir__hash64(key, words[i], strlen(words[i]));
	}
	return seed;
}

/* Are they others than before? */
static uint64_t
hash_kinds(const struct pg_turn *t)
{
	const struct weir_turn *turn = t->turn;
	uint64_t hash = turn->kinds ? 1 + turn->kinds_left_out : 0;

	hash = hash_words(hash, turn->kinds,
			  turn->kinds ? turn->kind_count : 0);
	/* And which of them are held is a matter of these. */
	return hash_words(hash + 1, t->long_kinds, t->long_kind_count);
}

void
weir__pg_cursor_begin(struct pg_turn *t)
{
	struct weir_mutex *mu = &t->store->cursors->cursor_mu;
	struct cursors *c = cursors_of(t);
	uint64_t kinds = hash_kinds(t);

	t->begun_ns = weir_now_ns();
	weir__mutex_lock(mu);
	t->sweeps =
		!c->on || t->begun_ns >= c->sweep_at_ns || kinds != c->kinds;
	if (t->sweeps)
		c->count = 0;
	c->kinds = kinds;
	weir__mutex_unlock(mu);
}

static struct cursor *
find(struct cursors *c, const char *queue)
{
	for (size_t i = 0; i < c->count; i++)
		if (strcmp(c->list[i].queue, queue) == 0)
			return &c->list[i];
	return NULL;
}

int64_t
weir__pg_cursor_since(const struct pg_turn *t, const char *queue, int priority)
{
	struct pg_cursors *c = t->store->cursors;
	int64_t since_ms = PG_NO_TIME;
	const struct cursor *cursor;

	weir_assert(priority >= 0 && priority < PG_PRIORITIES);
	if (t->sweeps)
		return PG_NO_TIME;
	weir__mutex_lock(&c->cursor_mu);
	cursor = find(cursors_of(t), queue);
	if (cursor)
		since_ms = cursor->since_ms[priority];
	weir__mutex_unlock(&c->cursor_mu);
	return since_ms;
}

/* NULL: there are too many, or its name is too long. */
static struct cursor *
make(struct cursors *c, const char *queue)
{
	struct cursor *cursor = find(c, queue);
	size_t len = strlen(queue);

	if (cursor || c->count == QUEUES_MAX || len >= sizeof(cursor->queue))
		return cursor;
	cursor = &c->list[c->count++];
	memcpy(cursor->queue, queue, len + 1);
	for (int p = 0; p < PG_PRIORITIES; p++)
		cursor->since_ms[p] = PG_NO_TIME;
	return cursor;
}

/* How far it was looked, if nothing was there. */
static int64_t
looked_to(const struct pg_got *got, int p, int64_t now_ms)
{
	if (!got->before || p + 1 < got->before->priority)
		return now_ms;
	return p + 1 == got->before->priority ? got->before->scheduled_at_ms
					      : INT64_MIN + MARGIN_MS;
}

void
weir__pg_cursor_note(struct pg_turn *t, const struct pg_got *got)
{
	/* It was begun then, by whichever clock. */
	int64_t now_ms = weir__store_now_ms(&t->store->base) -
			 (weir_now_ns() - t->begun_ns) / WEIR_MS;
	struct weir_mutex *mu = &t->store->cursors->cursor_mu;
	bool reached = got->count < got->most;
	struct cursor *cursor;

	weir__mutex_lock(mu);
	cursor = make(cursors_of(t), got->queue);
	/* A priority was looked at if something came of it or behind it. */
	for (int p = PG_PRIORITIES - 1; cursor && p >= 0; p--) {
		int64_t since_ms = (got->has[p] ? got->first_ms[p]
						: looked_to(got, p, now_ms)) -
				   MARGIN_MS;

		reached |= got->has[p];
		if (reached && since_ms > cursor->since_ms[p])
			cursor->since_ms[p] = since_ms;
	}
	weir__mutex_unlock(mu);
}

void
weir__pg_cursor_end(struct pg_turn *t, size_t claimed)
{
	struct pg_cursors *both = t->store->cursors;
	struct cursors *c = cursors_of(t);
	int64_t now_ns = weir_now_ns(), spent_ns = now_ns - t->begun_ns;
	int64_t each_ns =
		(int64_t)(claimed + t->turn->finish_count) * SLOW_EACH_NS;
	int64_t pause_ns = spent_ns * SWEEP_SHARE;

	if (!t->sweeps || t->store->has_clock)
		return;
	if (pause_ns < SWEEP_NS)
		pause_ns = SWEEP_NS;
	weir__mutex_lock(&both->cursor_mu);
	c->on = spent_ns >= both->slow_ns + (both->slow_ns > 0 ? each_ns : 0);
	c->sweep_at_ns =
		now_ns + (pause_ns < SWEEP_NS_MAX ? pause_ns : SWEEP_NS_MAX);
	weir__mutex_unlock(&both->cursor_mu);
}

bool
weir__pg_cursor_is_due(struct weir_pg *store)
{
	struct pg_cursors *c = store->cursors;
	bool is_due;

	weir__mutex_lock(&c->cursor_mu);
	is_due = c->all.on && weir_now_ns() >= c->all.sweep_at_ns;
	weir__mutex_unlock(&c->cursor_mu);
	return is_due;
}

void
weir__pg_cursor_allow(struct weir_pg *store, int64_t ns)
{
	struct pg_cursors *c = store->cursors;

	weir__mutex_lock(&c->cursor_mu);
	c->slow_ns = ns;
	weir__mutex_unlock(&c->cursor_mu);
}
