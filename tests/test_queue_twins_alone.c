/*
 * As test_queue_twins.c, of a store that is worked by one alone, which dies
 * now and then.
 *
 * Which jobs a claim gives is SQLite's affair here: alone, it may pass over
 * what has come in front of others.  So the store in memory is made to claim
 * the same ones, by their kinds, of which each job has its own; that it can is
 * what is tried, and that it has nothing left to claim when SQLite has not.
 * What runs is as it was for who looks into the database; so of these jobs only
 * the claims are compared, and nobody changes them.
 */
#include "queue_conformance.h"
#include "queue_memory.h"

#include "base/rng.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>

#define HELD  16
#define BATCH 5

enum { MEMORY, SQLITE, SIDES };

static char folder[] = "/dev/shm/weir-twins-XXXXXX";
static char path[sizeof(folder) + 16];

static weir_store *
open_sqlite(bool create)
{
	weir_store_options options = WEIR_STORE_OPTIONS_INIT;
	weir_store *store = NULL;
	weir_error error = {0};

	options.create = create;
	options.now_ms = queue_clock;
	REQUIRE(weir__sqlite_open(&store, path, &options, &error) == WEIR_OK);
	return store;
}

static int
take_away(const char *name, const struct stat *st, int kind, struct FTW *walk)
{
	(void)st;
	(void)kind;
	(void)walk;
	return remove(name);
}

const struct queue_stores queue_stores = {.name = "twins alone"};

/* A claim that both have given. */
struct held {
	const struct weir_claim *claim[SIDES]; /* NULL: an empty place */
	bool live;
};

static struct {
	weir_store *store[SIDES];
	struct weir_owner owner[SIDES];
	struct held held[HELD];
	struct weir_rng rng;
	unsigned long step;
	const char *doing;
	int64_t last_job, kinds;
	weir_status status;
	weir_error error;
} w;

static uint32_t
below(uint32_t n)
{
	return (uint32_t)weir__rng_below(&w.rng, n);
}

#define SAME(a, b)                                                            \
	CHECK_MSG((a) == (b), "step %lu, %s: %lld and %lld", w.step, w.doing, \
		  (long long)(a), (long long)(b))

#define BOTH(call)                                         \
	do {                                               \
		weir_status got[SIDES];                    \
		for (int side = 0; side < SIDES; side++) { \
			weir_store *s = w.store[side];     \
			got[side] = (call);                \
		}                                          \
		SAME(got[MEMORY], got[SQLITE]);            \
		w.status = got[MEMORY];                    \
	} while (0)

static bool
runs(int64_t id)
{
	for (int i = 0; i < HELD; i++)
		if (w.held[i].live && w.held[i].claim[0]->row.id == id)
			return true;
	return false;
}

static const char *
some_queue(void)
{
	return below(2) ? "one" : "two";
}

static void
do_insert(void)
{
	struct weir_draft drafts[5];
	weir_inserted rets[SIDES][5];
	char kinds[5][32];
	uint32_t n = 1 + below(5);

	for (uint32_t i = 0; i < n; i++) {
		snprintf(kinds[i], sizeof(kinds[i]), "kind%lld",
			 (long long)++w.kinds);
		drafts[i] = queue_draft(kinds[i]);
		queue_draft_queue(&drafts[i], some_queue());
		drafts[i].priority = 1 + below(4);
		drafts[i].max_attempts = 1 + below(4);
		drafts[i].scheduled_at_ms += (int64_t)below(3000) - 1500;
		if (below(4) == 0)
			drafts[i].state = WEIR_JOB_SCHEDULED;
		if (below(3) == 0)
			queue_draft_key(&drafts[i], (unsigned char)below(6),
					WEIR_UNIQUE_STATES_DEFAULT);
	}
	BOTH(s->ops->insert(s, drafts, n, rets[side], NULL, &w.error));
	CHECK_EQ_INT(w.status, WEIR_OK);
	for (uint32_t i = 0; i < n; i++) {
		SAME(rets[MEMORY][i].id, rets[SQLITE][i].id);
		SAME(rets[MEMORY][i].duplicate, rets[SQLITE][i].duplicate);
		if (rets[MEMORY][i].id > w.last_job)
			w.last_job = rets[MEMORY][i].id;
	}
}

/* What is to become of some of the claims, and of old ones. */
static size_t
some_finishes(struct held *chosen[HELD],
	      struct weir_finish finishes[SIDES][HELD])
{
	size_t n = 0;

	for (int i = 0; i < HELD; i++) {
		struct weir_finish finish = {
			.verdict = below(6),
			.at_ms = queue_now_ms + (int64_t)below(4000) - 2000,
			.crashed = below(4) == 0,
			.error = below(3) ? NULL : "{\"e\":1}",
			.error_len = 7};

		if (!w.held[i].claim[0] || below(3) == 0)
			continue;
		for (int side = 0; side < SIDES; side++) {
			finishes[side][n] = finish;
			finishes[side][n].claim = w.held[i].claim[side];
		}
		chosen[n++] = &w.held[i];
	}
	return n;
}

/* Have the one in memory claim that one. */
static const struct weir_claim *
claim_too(const weir_job_row *row)
{
	struct weir_want want = {
		.queue = row->queue, .count = 1, .alone = row->crashes > 0};
	struct weir_turn turn = {.owner = &w.owner[MEMORY],
				 .wants = &want,
				 .want_count = 1,
				 .kinds = &row->kind,
				 .kind_count = 1};

	queue_turn(w.store[MEMORY], &turn);
	CHECK_MSG(turn.batch, "step %lu: %lld is not there to be claimed",
		  w.step, (long long)row->id);
	REQUIRE(turn.batch);
	return &turn.batch->claims[0];
}

static struct held *
free_place(void)
{
	for (int i = 0; i < HELD; i++)
		if (!w.held[i].live)
			return &w.held[i];
	return NULL;
}

static void
hold_too(const struct weir_batch *batch)
{
	for (size_t i = 0; batch && i < batch->count; i++) {
		const weir_job_row *a, *b = &batch->claims[i].row;
		struct held *h = free_place();

		REQUIRE(h);
		h->claim[SQLITE] = &batch->claims[i];
		h->claim[MEMORY] = claim_too(b);
		h->live = true;
		a = &h->claim[MEMORY]->row;
		SAME(a->id, b->id);
		SAME(a->attempt, b->attempt);
		SAME(a->crashes, b->crashes);
		SAME(a->max_attempts, b->max_attempts);
	}
}

/* SQLite has no more of it: neither has the other one. */
static void
check_none_left(const struct weir_want *want)
{
	struct weir_want one = {
		.queue = want->queue, .count = 1, .alone = want->alone};
	struct weir_turn turn = {
		.owner = &w.owner[MEMORY], .wants = &one, .want_count = 1};

	queue_turn(w.store[MEMORY], &turn);
	CHECK_MSG(!turn.batch, "step %lu: %s was left unclaimed", w.step,
		  queue_batch_ids(turn.batch));
}

static void
finish_both(struct weir_turn turns[SIDES], struct held *chosen[HELD])
{
	BOTH(queue_try_turn(s, &turns[side]));
	CHECK_EQ_INT(w.status, WEIR_OK);
	for (size_t i = 0; i < turns[0].finish_count; i++) {
		SAME(turns[MEMORY].finished[i].status,
		     turns[SQLITE].finished[i].status);
		SAME(turns[MEMORY].finished[i].status == WEIR_OK,
		     chosen[i]->live);
		if (chosen[i]->live)
			SAME(turns[MEMORY].finished[i].state,
			     turns[SQLITE].finished[i].state);
		chosen[i]->live = false;
	}
}

static void
do_turn(void)
{
	struct weir_finish finishes[SIDES][HELD];
	struct weir_finished finished[SIDES][HELD];
	struct held *chosen[HELD];
	struct weir_turn turns[SIDES] = {{0}};
	struct weir_want want = {.queue = some_queue(),
				 .count = 1 + below(BATCH),
				 .alone = below(4) == 0};
	size_t running = 0, got;

	for (int i = 0; i < HELD; i++)
		running += w.held[i].live;
	if (want.alone)
		want.count = 1;
	for (int side = 0; side < SIDES; side++) {
		turns[side].owner = &w.owner[side];
		turns[side].finishes = finishes[side];
		turns[side].finished = finished[side];
	}
	turns[0].finish_count = turns[1].finish_count =
		some_finishes(chosen, finishes);
	if (running + BATCH <= HELD) {
		turns[SQLITE].wants = &want;
		turns[SQLITE].want_count = 1;
	}
	finish_both(turns, chosen);
	hold_too(turns[SQLITE].batch);
	got = turns[SQLITE].batch ? turns[SQLITE].batch->count : 0;
	CHECK(got <= want.count);
	if (turns[SQLITE].want_count > 0 && got < want.count)
		check_none_left(&want);
}

static void
do_change(void)
{
	weir_job_action action = below(3);
	int64_t id = 1 + below((uint32_t)w.last_job + 2);
	weir_job_changed rets[SIDES];

	if (runs(id))
		return;
	BOTH(s->ops->change(s, action, &id, 1, &rets[side], NULL, &w.error));
	CHECK_EQ_INT(w.status, WEIR_OK);
	SAME(rets[MEMORY].status, rets[SQLITE].status);
	if (rets[MEMORY].status != WEIR_NOTFOUND)
		SAME(rets[MEMORY].state, rets[SQLITE].state);
}

static void
do_promote(void)
{
	uint32_t n[SIDES];
	int64_t next_ms[SIDES];

	BOTH(s->ops->promote(s, 100000, &n[side], &next_ms[side], &w.error));
	SAME(n[MEMORY], n[SQLITE]);
	SAME(next_ms[MEMORY], next_ms[SQLITE]);
}

/* Whatever was claimed is not any more. */
static void
forget_claims(void)
{
	for (int i = 0; i < HELD; i++)
		w.held[i].live = false;
}

static void
enlist(void)
{
	for (int side = 0; side < SIDES; side++)
		w.owner[side] = (struct weir_owner){
			.alone = true, .crashes_max = 2, .name = "host:1"};
	BOTH(queue_try_enlist(s, &w.owner[side]));
	CHECK_EQ_INT(w.status, WEIR_OK);
}

static void
do_leave(void)
{
	BOTH(s->ops->leave(s, &w.owner[side], &w.error));
	CHECK_EQ_INT(w.status, WEIR_OK);
	forget_claims();
	enlist();
}

static void
do_die(void)
{
	weir_store *next = queue_memory_join(w.store[MEMORY]);

	BOTH((s->ops->close(s), WEIR_OK));
	w.store[MEMORY] = next;
	w.store[SQLITE] = open_sqlite(false);
	forget_claims();
	queue_now_ms += 10;
	enlist();
	queue_now_ms += 10;
}

static void
do_clock(void)
{
	queue_now_ms += 1 + below(2000);
}

/* Who tried it last, and when, is written only when something came of it. */
static bool
write_job(const weir_job_row *r, void *user)
{
	struct weir_buf *b = user;

	weir__buf_printf(b, "%lld ", (long long)r->id);
	if (runs(r->id)) {
		weir__buf_puts(b, "runs\n");
		return true;
	}
	weir__buf_printf(
		b, "%s a%u/%u c%u s%lld f%lld u%x e%d",
		weir_job_state_name(r->state), r->attempt, r->max_attempts,
		r->crashes, (long long)(r->scheduled_at_ms - T0),
		(long long)(r->finalized_at_ms ? r->finalized_at_ms - T0 : 0),
		r->unique_states, r->errors_len > 2);
	weir__buf_putc(b, '\n');
	return true;
}

static bool
compare(void)
{
	weir_job_filter filter = WEIR_JOB_FILTER_INIT;
	struct weir_buf text[SIDES] = {{0}};
	const char *a, *b;
	size_t x, y;
	bool same;

	BOTH(s->ops->list(s, &filter, write_job, &text[side], &w.error));
	a = weir__buf_str(&text[MEMORY]);
	b = weir__buf_str(&text[SQLITE]);
	/* The first line in which they differ. */
	do {
		x = strcspn(a, "\n");
		y = strcspn(b, "\n");
		same = x == y && memcmp(a, b, x) == 0;
		CHECK_MSG(same, "step %lu, %s:\n# %.*s\n# %.*s", w.step,
			  w.doing, (int)x, a, (int)y, b);
		a += x + (a[x] != '\0');
		b += y + (b[y] != '\0');
	} while (same && (*a || *b));
	for (int side = 0; side < SIDES; side++)
		weir__buf_fini(&text[side]);
	return same;
}

/* What is asked, and how often, of a hundred. */
static const struct {
	const char *name;
	void (*run)(void);
	uint32_t often;
} deeds[] = {
	{"turn", do_turn, 50},      {"insert", do_insert, 15},
	{"clock", do_clock, 12},    {"change", do_change, 12},
	{"promote", do_promote, 8}, {"leave", do_leave, 1},
	{"die", do_die, 2},
};

static void
do_something(void)
{
	uint32_t at = below(100);
	size_t i = 0;

	while (at >= deeds[i].often)
		at -= deeds[i++].often;
	w.doing = deeds[i].name;
	deeds[i].run();
}

TEST_LIMIT(twins, answer_alike_alone, 120)
{
	const char *rounds = getenv("WEIR_TEST_ROUNDS");
	unsigned long steps = rounds       ? strtoul(rounds, NULL, 10)
			      : UNDER_TSAN ? 300
					   : 2000;
	weir_store_options options = WEIR_STORE_OPTIONS_INIT;

	if (!mkdtemp(folder)) {
		memcpy(folder, "/tmp/weir-twins-alo-XXXXXX", sizeof(folder));
		REQUIRE(mkdtemp(folder));
	}
	snprintf(path, sizeof(path), "%s/jobs.db", folder);
	options.now_ms = queue_clock;
	weir__rng_seed(&w.rng, test_seed());
	w.store[MEMORY] = queue_memory_open(&options);
	w.store[SQLITE] = open_sqlite(true);
	enlist();
	for (w.step = 0; w.step < steps; w.step++) {
		do_something();
		if (!compare())
			break;
	}
	for (int side = 0; side < SIDES; side++)
		w.store[side]->ops->close(w.store[side]);
	CHECK(nftw(folder, take_away, 8, FTW_DEPTH | FTW_PHYS) == 0);
	queue_forget();
}
