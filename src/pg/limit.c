/*
 * Limits of kinds that hold for all workers together: how many jobs of a kind
 * may run at once, how many may begin in a second.
 *
 * Design.  A limited kind has a row in weir_limit.  Statements that claim and
 * hold pass over such kinds, and say that there are some; from then on a turn
 * that wants something sends two others in their place, in its transaction:
 *
 *      limit_lock     lock the rows of kinds that have a place and a token,
 *                     and leave out those that somebody else has
 *      claim_limited  count what runs, claim, take tokens
 *
 * They have to be two.  A statement sees what was committed when it began, and
 * a lock that is had later says nothing of that: the claims of whoever had it
 * before would not be seen, nor counted.  The second statement begins when the
 * lock is there, and so sees all of them.  Which kinds are locked it is told by
 * a setting of the transaction.
 *
 * Nobody waits for such a lock.  Who does not get it claims what has no limit,
 * as ever, and looks again in a moment; a fleet that waits in line, each for
 * the commit of the one before, would be slower at everything.
 *
 * Order.  Jobs with a limit and those without stand in one line.  So the ones
 * without are locked first, as many as are wanted, then the ones with a limit
 * are sought as far as the last of those, and the first of all are claimed.
 * That is also what bounds the search.
 *
 * What runs is counted, not kept as a number: whoever dies, is rescued, is
 * cancelled or works with another client needs not be thought of.  Jobs that
 * are claimed ahead count as well; so that they do not take places from workers
 * that could begin at once, no worker has more of them than it has slots.
 *
 * A new limit begins with a pause.  Holds do not know of it if they are older,
 * and of what they hold nothing can be counted; so for a second, and until the
 * last of those has ended, nothing of the kind is claimed.
 *
 * Waiting.  Whose jobs wait is woken by its own jobs that end, by time when a
 * token comes, and by the listener, which asks once a second whether a place
 * has come free (worked.c).
 *
 * A look that takes long has walked along a line of many others to find that
 * there is nothing of some kind.  From then on it begins, with those kinds,
 * where the last one has ended, and what stands before that is found by a sweep
 * now and then: a twentieth of the time is spent on those, as cursor.c does.  A
 * look that takes long all the same is made less often.
 *
 * Locking: limits_mu, a leaf.
 */
#include "pg/limit.h"

#include "base/assert.h"
#include "base/hash.h"
#include "pg/claim.h"

#include <stdlib.h>
#include <string.h>

#define SLOW_NS      (50 * WEIR_MS)
#define SLOW_EACH_NS (300 * INT64_C(1000))
#define SHARE        20
#define MARGIN_MS    200
#define SWEEP_NS     (2 * WEIR_S)
#define PAUSE_MAX    (30 * WEIR_S)
#define RECENT_NS    (10 * WEIR_S)
#define HOLD_NS      (250 * WEIR_MS)
#define AGAIN_NS     (5 * WEIR_S) /* if nothing else wakes us */

/* Of what a look gives, behind the columns of a job. */
enum {
	COLUMN_ANY = 23,
	COLUMN_IS_LIMITED = 24,
	COLUMN_WAITING = 25,
	COLUMN_WAIT_MS = 26,
	COLUMN_NONE_OF = 27,
	COLUMN_NOW = 28,
};

struct pg_limits {
	struct weir_mutex limits_mu;

	/* guarded by limits_mu */
	bool any;                /* some kind has a limit */
	int64_t look_at_ns;      /* not before that */
	int64_t press_at_ns;     /* in a turn that holds */
	int64_t recent_until_ns; /* there was something: in each of them */
	struct weir_buf waiting; /* kinds of what was left, with \1 between */
	int64_t slow_ns;         /* what takes longer is slow */
	bool slow;               /* the last sweep was */
	unsigned slow_looks;     /* were slow as well, one after the other */
	int64_t sweep_at_ns;     /* not by these until then: */
	struct weir_buf none_of; /* kinds that there was nothing of, likewise */
	int64_t since_ms;        /* when that was */
	uint64_t wants;          /* and for whom: hash_wants() */
};

bool
weir__pg_limits_new(struct weir_pg *store)
{
	store->limits = calloc(1, sizeof(*store->limits));
	if (!store->limits)
		return false;
	weir__mutex_init(&store->limits->limits_mu);
	store->limits->slow_ns = SLOW_NS;
	return true;
}

void
weir__pg_limits_free(struct weir_pg *store)
{
	if (store->limits) {
		weir__mutex_fini(&store->limits->limits_mu);
		weir__buf_fini(&store->limits->waiting);
		weir__buf_fini(&store->limits->none_of);
	}
	free(store->limits);
	store->limits = NULL;
}

/*
 * The statements.
 */

/*
 * What runs of each such kind, and something about it, which stands between.
 * The planner is not to go by the kind: of one there may be a million that have
 * ended.
 */
#define RUNS " runs AS MATERIALIZED (SELECT j.kind, count(*) AS jobs, "
#define RUNS_END                                                        \
	" AS mine FROM @river_job j WHERE j.state = 'running'"          \
	" AND j.kind || '' = ANY (ARRAY(SELECT kind FROM @weir_limit))" \
	" GROUP BY j.kind)"

#define LOCK_NOW "coalesce($1::timestamptz, now())"
static const struct pg_sql lock_sql = {
	"limit_lock",
	"WITH" RUNS "0" RUNS_END ", free AS MATERIALIZED (SELECT l.kind"
	" FROM @weir_limit l LEFT JOIN runs r ON r.kind = l.kind"
	" WHERE (l.most IS NULL OR coalesce(r.jobs, 0) < l.most)"
	" AND (l.rate IS NULL OR " PG_TOKENS LOCK_NOW PG_TOKENS_END " >= 1)),"
	" locked AS MATERIALIZED (SELECT l.kind FROM @weir_limit l"
	" WHERE l.kind = ANY (ARRAY(SELECT kind FROM free)) ORDER BY l.kind"
	" FOR UPDATE SKIP LOCKED)"
	" SELECT set_config('weir.limits', coalesce((SELECT array_agg(kind)"
	" FROM locked)::text, '{}'), true)"};

/*
 * lim: what is left of each limit: places and starts, and room for as many
 * jobs if we have it locked.  young_ms: that long nothing of it is claimed.
 */
#define TOKENS PG_TOKENS NOW PG_TOKENS_END
#define YOUNG  "l.since + interval '1 second'"
#define MANY   "1000000"
#define LIM                                                                  \
	RUNS "count(*) FILTER (WHERE " LAST_BY " = $9)" RUNS_END             \
	     ", lim AS MATERIALIZED (SELECT x.*, CASE WHEN x.locked AND"     \
	     " x.young_ms <= 0 THEN greatest(0, least(x.places, x.starts))"  \
	     " ELSE 0 END::bigint AS room FROM (SELECT l.kind, l.rate,"      \
	     " " TOKENS " AS tokens,"                                        \
	     " coalesce(l.most - coalesce(r.jobs, 0), " MANY ") AS places,"  \
	     " CASE WHEN l.rate IS NULL THEN " MANY " ELSE floor(" TOKENS    \
	     ") END AS starts,"                                              \
	     " l.kind = ANY (coalesce(nullif(current_setting('weir.limits'," \
	     " true), ''), '{}')::text[]) AS locked,"                        \
	     " greatest(1000 * extract(epoch FROM " YOUNG " - " NOW "),"     \
	     " CASE WHEN EXISTS (SELECT 1 FROM @weir_hold h"                 \
	     " WHERE h.at < " YOUNG ") THEN 100 END)::float8 AS young_ms"    \
	     " FROM @weir_limit l LEFT JOIN runs r ON r.kind = l.kind) x)"
#define HAS_ROOM                                       \
	"(j.kind <> ALL (ARRAY(SELECT kind FROM lim))" \
	" OR j.kind = ANY (ARRAY(SELECT kind FROM lim WHERE room > 0)))"

#define SPENT                                                               \
	" spent AS (UPDATE @weir_limit l SET tokens = lim.tokens - s.jobs," \
	" refilled_at = greatest(l.refilled_at, " NOW ") FROM lim,"         \
	" (SELECT kind, count(*) AS jobs FROM claimed GROUP BY kind) s"     \
	" WHERE l.kind = lim.kind AND s.kind = lim.kind"                    \
	" AND l.rate IS NOT NULL)"

/* What has no limit; and where that ends in each queue, if it fills the want.
 */
#define PLAIN                                                                 \
	" plain AS MATERIALIZED (SELECT w.queue, x.* FROM w, LATERAL (" PICK  \
	"j.id, j.priority, j.scheduled_at" PICK_END ") x),"                   \
	" ends AS MATERIALIZED (SELECT w.queue, w.most, e.* FROM w LEFT JOIN" \
	" LATERAL (SELECT p.priority, p.scheduled_at, p.id FROM plain p"      \
	" WHERE p.queue = w.queue ORDER BY p.priority DESC,"                  \
	" p.scheduled_at DESC, p.id DESC LIMIT 1) e"                          \
	" ON (SELECT count(*) FROM plain p WHERE p.queue = w.queue)"          \
	" >= w.most),"

/*
 * cand: of each limit one more than there is room for, to see whether
 * something has to wait; of kinds that there were none of ($15) since then
 * ($16).  chosen: as many as there is room and, $14, slots for.
 */
#define NONE_OF "string_to_array($15::text, E'\\x01')"
#define CHOSEN                                                                \
	" cand AS MATERIALIZED (SELECT w.queue, lim.kind, lim.room, c.*"      \
	" FROM ends w, lim, LATERAL (SELECT y.* FROM"                         \
	" generate_series(1, 4) p (n), LATERAL ("                             \
	"SELECT j.id, j.priority, j.scheduled_at"                             \
	" FROM @river_job j WHERE j.state = 'available'"                      \
	" AND j.queue = w.queue AND j.priority = p.n::smallint"               \
	" AND j.scheduled_at >= CASE WHEN lim.kind = ANY (" NONE_OF ")"       \
	" THEN $16::timestamptz ELSE '-infinity' END"                         \
	" AND j.scheduled_at <= CASE WHEN w.priority = p.n"                   \
	" THEN w.scheduled_at WHEN w.priority < p.n THEN '-infinity'"         \
	" ELSE 'infinity' END"                                                \
	" AND (j.priority, j.scheduled_at, j.id)"                             \
	" < (coalesce(w.priority, 32767::smallint),"                          \
	" coalesce(w.scheduled_at, 'infinity'),"                              \
	" coalesce(w.id, 9223372036854775807))"                               \
	" AND " IS_DUE " AND " KIND_FITS " AND j.kind || '' = lim.kind"       \
	" AND NOT EXISTS (SELECT 1 FROM @weir_suspect s"                      \
	" WHERE s.job = j.id OFFSET 0) ORDER BY j.scheduled_at, j.id"         \
	" LIMIT least(w.most, lim.room) + 1) y"                               \
	" LIMIT least(w.most, lim.room) + 1) c),"                             \
	" chosen AS MATERIALIZED (SELECT o.id FROM (SELECT c.*, row_number()" \
	" OVER (PARTITION BY kind ORDER BY priority, scheduled_at, id) AS n"  \
	" FROM cand c) o WHERE o.n <= o.room"                                 \
	" ORDER BY o.priority, o.scheduled_at, o.id LIMIT CASE WHEN $14 > 0"  \
	" THEN greatest(0, $14 - (SELECT coalesce(sum(mine), 0) FROM runs))"  \
	" END::bigint),"

/* The first of both.  Only workers of ours keep off what has a limit. */
#define FIRST                                                            \
	" taken AS MATERIALIZED (SELECT j.queue, j.id, j.priority,"      \
	" j.scheduled_at FROM @river_job j WHERE j.id = ANY (ARRAY("     \
	"SELECT id FROM chosen)) AND j.state::text = 'available'"        \
	" FOR UPDATE OF j SKIP LOCKED),"                                 \
	" picked AS MATERIALIZED (SELECT b.id FROM w, (SELECT a.*,"      \
	" row_number() OVER (PARTITION BY a.queue ORDER BY a.priority,"  \
	" a.scheduled_at, a.id) AS n FROM (SELECT queue, id, priority,"  \
	" scheduled_at FROM plain UNION ALL SELECT queue, id, priority," \
	" scheduled_at FROM taken) a) b"                                 \
	" WHERE b.queue = w.queue AND b.n <= w.most),"

/* Kinds of which something is left, suspects among them. */
#define LATE                                                           \
	", late AS MATERIALIZED (SELECT c.kind FROM cand c"            \
	" WHERE c.id <> ALL (ARRAY(SELECT id FROM claimed))"           \
	" UNION SELECT j.kind FROM @weir_suspect s, LATERAL ("         \
	"SELECT j.kind FROM @river_job j WHERE j.id = s.job" IS_WANTED \
	" AND NOT " HAS_ROOM " OFFSET 0) j)"

/* How long until one of them may go on?  NULL: time does not tell. */
#define WAIT_MS                                                             \
	"(SELECT min(ceil(CASE WHEN x.young_ms > 0 THEN x.young_ms"         \
	" WHEN x.places <= x.done THEN NULL"                                \
	" WHEN x.rate IS NOT NULL AND x.tokens - x.done < 1"                \
	" THEN 1000 * (1 - x.tokens + x.done) / x.rate"                     \
	" WHEN NOT x.locked THEN 20 END))::bigint FROM (SELECT lim.*,"      \
	" (SELECT count(*) FROM claimed c WHERE c.kind = lim.kind) AS done" \
	" FROM lim WHERE lim.kind = ANY (ARRAY(SELECT kind FROM late))) x)"

/* C99 promises 4095 bytes for a literal; both of our compilers take any. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Woverlength-strings"
static const struct pg_sql claim_sql = {
	"claim_limited", WANTS_UNLESS
	"'suspect'" WANTS_END LIM "," PLAIN CHOSEN FIRST CLAIMED "," SPENT LATE
	" SELECT c.*, x.suspects, EXISTS (SELECT 1 FROM lim),"
	" c.kind = ANY (ARRAY(SELECT kind FROM lim)),"
	" (SELECT string_agg(kind, E'\\x01') FROM late), " WAIT_MS ","
	" (SELECT string_agg(kind, E'\\x01') FROM lim WHERE kind <> ALL ("
	"ARRAY(SELECT kind FROM cand))), " NOW ", " TELL "some" TELL_END
	" FROM " SUSPECTS HAS_ROOM SUSPECTS_END " LEFT JOIN claimed c ON true"};

static const struct pg_sql suspect_sql = {
	"claim_suspect_limited", WANTS_UNLESS
	"'some', 'suspect'" WANTS_END LIM
	", picked AS MATERIALIZED (" PICK_SUSPECT HAS_ROOM PICK_SUSPECT_END
	")," CLAIMED "," SPENT " SELECT c.*, false, " TELL "suspect" TELL_END
	" FROM claimed c"};
#pragma GCC diagnostic pop

void
weir__pg_limit_lock_send(struct pg_turn *t)
{
	weir__pg_begin(&t->p);
	weir__pg_now(&t->p, t->store);
	(void)weir__pg_turn_send(t, &lock_sql);
}

static void put_none_of_locked(struct pg_limits *l, struct pg_turn *t)
	WEIR_REQUIRES(l->limits_mu);

/* Whose order does not matter: they take turns at being the first. */
static uint64_t
hash_wants(const struct weir_turn *turn)
{
	const uint64_t key[2] = {0, turn->kinds_left_out};
	uint64_t sum = turn->kinds != NULL;

	for (size_t i = 0; i < turn->want_count; i++)
		sum += weir__hash64(key, turn->wants[i].queue,
				    strlen(turn->wants[i].queue));
	for (size_t i = 0; turn->kinds && i < turn->kind_count; i++)
		sum += weir__hash64(key, turn->kinds[i],
				    strlen(turn->kinds[i]) + 1);
	return sum;
}

static void
put_none_of_locked(struct pg_limits *l, struct pg_turn *t)
{
	uint64_t wants = hash_wants(t->turn);
	bool sweeps = !l->slow || weir_now_ns() >= l->sweep_at_ns ||
		      wants != l->wants || l->none_of.len == 0 ||
		      t->claim_count > 1;

	l->wants = wants;
	t->sweeps_limits = sweeps;
	weir__pg_text(&t->p, sweeps ? NULL : l->none_of.data, l->none_of.len);
	weir__pg_time(&t->p, sweeps ? PG_NO_TIME : l->since_ms);
}

void
weir__pg_limit_params(struct pg_turn *t)
{
	uint32_t slots = t->turn->slots;
	struct pg_limits *l = t->store->limits;

	weir__pg_int4(&t->p, slots < INT32_MAX ? (int32_t)slots : INT32_MAX);
	weir__mutex_lock(&l->limits_mu);
	put_none_of_locked(l, t);
	weir__mutex_unlock(&l->limits_mu);
}

const struct pg_sql *
weir__pg_limit_claim(bool alone)
{
	return alone ? &suspect_sql : &claim_sql;
}

/*
 * When to look.
 */

bool
weir__pg_limits_look(struct weir_pg *store)
{
	struct pg_limits *l = store->limits;
	bool looks;

	weir__mutex_lock(&l->limits_mu);
	looks = l->any && weir_now_ns() >= l->look_at_ns;
	weir__mutex_unlock(&l->limits_mu);
	return looks;
}

bool
weir__pg_limits_press(struct weir_pg *store)
{
	struct pg_limits *l = store->limits;
	int64_t now_ns = weir_now_ns();
	bool press;

	weir__mutex_lock(&l->limits_mu);
	press = now_ns >= l->press_at_ns || now_ns < l->recent_until_ns;
	if (press)
		l->press_at_ns = now_ns + HOLD_NS;
	weir__mutex_unlock(&l->limits_mu);
	return press;
}

/* Come again by then, and do not take the queues to be empty. */
static void
wait_until(struct weir_turn *turn, int64_t at_ns)
{
	turn->limited = true;
	if (at_ns < turn->limited_at_ns)
		turn->limited_at_ns = at_ns;
}

void
weir__pg_limit_seen(struct pg_turn *t)
{
	struct pg_limits *l = t->store->limits;
	int64_t at_ns = weir_now_ns();

	weir__mutex_lock(&l->limits_mu);
	if (l->any) {
		at_ns = l->look_at_ns;
		if (at_ns < l->press_at_ns)
			at_ns = l->press_at_ns;
	}
	l->any = true;
	weir__mutex_unlock(&l->limits_mu);
	wait_until(t->turn, at_ns);
}

static bool
has_limited(const PGresult *result)
{
	for (int i = 0; i < PQntuples(result); i++)
		if (weir__pg_get_bool(result, i, COLUMN_IS_LIMITED))
			return true;
	return false;
}

static void note_time_locked(struct pg_limits *l, const struct pg_turn *t,
			     int64_t jobs) WEIR_REQUIRES(l->limits_mu);

/*
 * It has taken that long, for so many jobs that were claimed or ended.  Once is
 * no reason for a pause: what has no limit may have been looked for from the
 * beginning.
 */
static void
note_time_locked(struct pg_limits *l, const struct pg_turn *t, int64_t jobs)
{
	int64_t now_ns = weir_now_ns(), spent_ns = now_ns - t->begun_ns;
	bool slow = spent_ns >=
		    l->slow_ns + (l->slow_ns > 0 ? SLOW_EACH_NS * jobs : 0);
	int64_t pause_ns = spent_ns * SHARE;

	if (t->store->has_clock)
		return;
	if (pause_ns > PAUSE_MAX)
		pause_ns = PAUSE_MAX;
	if (t->sweeps_limits) {
		l->slow = slow;
		l->sweep_at_ns =
			now_ns + (pause_ns > SWEEP_NS ? pause_ns : SWEEP_NS);
	} else if (!slow || l->slow_ns == 0) {
		l->slow_looks = 0;
	} else if (!t->sweeps && ++l->slow_looks > 1) {
		l->look_at_ns = now_ns + pause_ns;
	}
}

static void note_locked(struct pg_limits *l, const struct pg_turn *t,
			const PGresult *result) WEIR_REQUIRES(l->limits_mu);

static void
note_locked(struct pg_limits *l, const struct pg_turn *t,
	    const PGresult *result)
{
	const char *text;
	size_t len;

	text = weir__pg_get_text(result, 0, COLUMN_WAITING, &len);
	weir__buf_reset(&l->waiting);
	weir__buf_append(&l->waiting, text, len);
	l->any = weir__pg_get_bool(result, 0, COLUMN_ANY);
	if (has_limited(result))
		l->recent_until_ns = weir_now_ns() + RECENT_NS;
	text = weir__pg_get_text(result, 0, COLUMN_NONE_OF, &len);
	weir__buf_reset(&l->none_of);
	weir__buf_append(&l->none_of, text, len);
	l->since_ms = weir__pg_get_ms(result, 0, COLUMN_NOW) - MARGIN_MS;
	note_time_locked(l, t,
			 PQntuples(result) + (int64_t)t->turn->finish_count);
}

void
weir__pg_limit_read(struct pg_turn *t, const PGresult *result)
{
	struct pg_limits *l = t->store->limits;
	int64_t wait_ns = AGAIN_NS;
	int64_t sweep_at_ns;
	bool waits;

	weir_assert(PQntuples(result) > 0);
	weir__mutex_lock(&l->limits_mu);
	note_locked(l, t, result);
	waits = l->waiting.len > 0;
	sweep_at_ns = t->sweeps_limits ? WEIR_FOREVER : l->sweep_at_ns;
	weir__mutex_unlock(&l->limits_mu);
	if (!weir__pg_is_null(result, 0, COLUMN_WAIT_MS))
		wait_ns = weir__pg_get_int(result, 0, COLUMN_WAIT_MS) * WEIR_MS;
	if (wait_ns > AGAIN_NS)
		wait_ns = AGAIN_NS;
	if (waits)
		wait_until(t->turn, weir_now_ns() + wait_ns);
	/* What stands before the place where it began is not known. */
	if (sweep_at_ns < WEIR_FOREVER)
		wait_until(t->turn, sweep_at_ns);
}

void
weir__pg_limits_allow(struct weir_pg *store, int64_t ns)
{
	struct pg_limits *l = store->limits;

	weir__mutex_lock(&l->limits_mu);
	l->slow_ns = ns;
	weir__mutex_unlock(&l->limits_mu);
}

void
weir__pg_limit_put_waiting(struct weir_pg *store, struct pg_params *p)
{
	struct pg_limits *l = store->limits;

	weir__mutex_lock(&l->limits_mu);
	weir__pg_text(p, l->waiting.len > 0 ? l->waiting.data : NULL,
		      l->waiting.len);
	weir__mutex_unlock(&l->limits_mu);
}
