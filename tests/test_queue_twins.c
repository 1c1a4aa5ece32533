/*
 * The store on SQLite and the one in memory, side by side: at random the same
 * is asked of both, and each answer, and all jobs after it, must be the same.
 *
 * What the other tests of stores have not thought of is found here, because
 * the store in memory is short enough to be right.  WEIR_TEST_ROUNDS says how
 * many steps a test takes; a failure names its seed and the step.
 */
#include "queue_conformance.h"
#include "queue_memory.h"

#include "base/rng.h"

#include <ftw.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#define OWNERS 3
#define HELD   24
#define KINDS  3

enum { MEMORY, SQLITE, SIDES };

static char folder[] = "/dev/shm/weir-twins-XXXXXX";
static char path[sizeof(folder) + 16];

static weir_store *
open_sqlite(void)
{
	weir_store_options options = WEIR_STORE_OPTIONS_INIT;
	weir_store *store = NULL;
	weir_error error = {0};

	if (!mkdtemp(folder)) {
		memcpy(folder, "/tmp/weir-twins-XXXXXXXXXX", sizeof(folder));
		REQUIRE(mkdtemp(folder));
	}
	snprintf(path, sizeof(path), "%s/jobs.db", folder);
	options.create = true;
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

static void
wipe(void)
{
	CHECK(nftw(folder, take_away, 8, FTW_DEPTH | FTW_PHYS) == 0);
}

const struct queue_stores queue_stores = {
	.name = "twins",
	.open = open_sqlite,
	.wipe = wipe,
};

/* A claim that both have given; over: it may be stale. */
struct held {
	const struct weir_claim *claim[SIDES]; /* NULL: an empty place */
	int owner;
	bool over;
};

static struct {
	weir_store *store[SIDES];
	struct weir_owner owner[SIDES][OWNERS];
	struct held held[HELD];
	struct weir_rng rng;
	unsigned long step;
	const char *doing;
	int64_t last_job;
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

/* Ask both, as `s` and by `side`; their statuses, w.status, must be the same.
 */
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

static const char *
pick(const char *const *texts, uint32_t n)
{
	return texts[below(n)];
}

static const char *const queues[] = {"one", "two"};
static const char *const kinds[KINDS] = {"red", "green", "blue"};

/* The time, or somewhat before or after it. */
static int64_t
some_time(void)
{
	return queue_now_ms + (below(3) ? (int64_t)below(20000) - 10000 : 0);
}

static struct weir_draft
some_draft(void)
{
	static const uint32_t masks[] = {
		WEIR_UNIQUE_STATES_DEFAULT, WEIR_UNIQUE_STATES_REQUIRED,
		WEIR_UNIQUE_STATES_REQUIRED |
			WEIR_JOB_STATE_BIT(WEIR_JOB_CANCELLED) |
			WEIR_JOB_STATE_BIT(WEIR_JOB_DISCARDED)};
	struct weir_draft draft = queue_draft(pick(kinds, KINDS));

	queue_draft_queue(&draft, pick(queues, 2));
	draft.priority = 1 + below(4);
	draft.max_attempts = 1 + below(4);
	if (below(2))
		draft.scheduled_at_ms = some_time();
	if (below(4) == 0)
		draft.state = below(4) ? WEIR_JOB_SCHEDULED : WEIR_JOB_PENDING;
	if (below(2))
		queue_draft_key(&draft, (unsigned char)below(6),
				masks[below(3)]);
	return draft;
}

static void
do_insert(void)
{
	struct weir_draft drafts[5];
	weir_inserted rets[SIDES][5];
	uint32_t n = 1 + below(5);

	for (uint32_t i = 0; i < n; i++)
		drafts[i] = some_draft();
	BOTH(s->ops->insert(s, drafts, n, rets[side], NULL, &w.error));
	CHECK_EQ_INT(w.status, WEIR_OK);
	for (uint32_t i = 0; i < n; i++) {
		SAME(rets[MEMORY][i].id, rets[SQLITE][i].id);
		SAME(rets[MEMORY][i].state, rets[SQLITE][i].state);
		SAME(rets[MEMORY][i].duplicate, rets[SQLITE][i].duplicate);
		if (rets[MEMORY][i].id > w.last_job)
			w.last_job = rets[MEMORY][i].id;
	}
}

/* What is to become of some of the claims of that owner, and old ones. */
static size_t
some_finishes(int owner, struct held *chosen[HELD],
	      struct weir_finish finishes[SIDES][HELD])
{
	size_t n = 0;

	for (int i = 0; i < HELD; i++) {
		struct held *h = &w.held[i];
		struct weir_finish finish = {
			.verdict = below(6),
			.at_ms = some_time(),
			.crashed = below(4) == 0,
			.error = below(3) ? NULL : "{\"e\":1}",
			.output = below(3) ? NULL : "[1, 2]"};

		if (!h->claim[0] || below(2) || (h->owner != owner && below(8)))
			continue;
		finish.error_len = finish.error ? strlen(finish.error) : 0;
		finish.output_len = finish.output ? strlen(finish.output) : 0;
		for (int side = 0; side < SIDES; side++) {
			finishes[side][n] = finish;
			finishes[side][n].claim = h->claim[side];
		}
		chosen[n++] = h;
	}
	return n;
}

static void
hold(struct weir_batch *batch[SIDES], int owner)
{
	for (size_t i = 0; i < batch[0]->count; i++) {
		struct held *h = &w.held[below(HELD)];

		/* Whoever was there is forgotten, and rescued some day. */
		for (int side = 0; side < SIDES; side++)
			h->claim[side] = &batch[side]->claims[i];
		h->owner = owner;
		h->over = false;
	}
}

static void
check_batch(struct weir_batch *batch[SIDES])
{
	SAME(batch[MEMORY] != NULL, batch[SQLITE] != NULL);
	if (!batch[MEMORY] || !batch[SQLITE])
		return;
	SAME(batch[MEMORY]->count, batch[SQLITE]->count);
	REQUIRE(batch[MEMORY]->count == batch[SQLITE]->count);
	for (size_t i = 0; i < batch[MEMORY]->count; i++) {
		const weir_job_row *a = &batch[MEMORY]->claims[i].row;
		const weir_job_row *b = &batch[SQLITE]->claims[i].row;

		SAME(a->id, b->id);
		SAME(a->attempt, b->attempt);
		SAME(a->attempted_at_ms, b->attempted_at_ms);
		SAME(a->crashes, b->crashes);
		SAME(a->max_attempts, b->max_attempts);
		SAME(strcmp(a->kind, b->kind), 0);
		SAME(strcmp(a->queue, b->queue), 0);
	}
}

static void
do_turn(void)
{
	int owner = (int)below(OWNERS);
	struct weir_finish finishes[SIDES][HELD];
	struct weir_finished finished[SIDES][HELD];
	struct held *chosen[HELD];
	size_t n = some_finishes(owner, chosen, finishes);
	const char *of_kinds[2] = {pick(kinds, KINDS), pick(kinds, KINDS)};
	struct weir_want wants[3];
	struct weir_turn turns[SIDES];
	struct weir_batch *batch[SIDES];
	bool suspects = false;

	for (int i = 0; i < 3; i++) {
		wants[i].queue = pick(queues, 2);
		wants[i].count = below(4);
		wants[i].alone = below(4) == 0;
		suspects = suspects || wants[i].alone;
	}
	turns[0] = (struct weir_turn){.finish_count = n,
				      .wants = wants,
				      .want_count = below(4),
				      .kinds = below(2) ? of_kinds : NULL,
				      .kind_count = 1 + below(2),
				      .kinds_left_out = below(2)};
	turns[1] = turns[0];
	for (int side = 0; side < SIDES; side++) {
		turns[side].owner = &w.owner[side][owner];
		turns[side].finishes = finishes[side];
		turns[side].finished = finished[side];
	}
	BOTH(queue_try_turn(s, &turns[side]));
	if (w.status != WEIR_OK)
		return;
	for (size_t i = 0; i < n; i++) {
		SAME(finished[MEMORY][i].status, finished[SQLITE][i].status);
		if (finished[MEMORY][i].status == WEIR_OK)
			SAME(finished[MEMORY][i].state,
			     finished[SQLITE][i].state);
		chosen[i]->over = true;
	}
	for (int side = 0; side < SIDES; side++)
		batch[side] = turns[side].batch;
	check_batch(batch);
	/* What these say of a want for a suspect is nobody's business. */
	if (!suspects) {
		SAME(turns[MEMORY].more, turns[SQLITE].more);
		SAME(turns[MEMORY].suspects, turns[SQLITE].suspects);
	}
	if (batch[MEMORY] && batch[SQLITE])
		hold(batch, owner);
}

static void
do_change(void)
{
	weir_job_action action = below(3);
	weir_job_changed rets[SIDES][4];
	uint32_t n = 1 + below(4);
	int64_t ids[4];

	for (uint32_t i = 0; i < n; i++)
		ids[i] = 1 + below((uint32_t)w.last_job + 2);
	/* Deletes would leave nothing to try. */
	if (action == WEIR_JOB_DELETE)
		n = 1;
	BOTH(s->ops->change(s, action, ids, n, rets[side], NULL, &w.error));
	CHECK_EQ_INT(w.status, WEIR_OK);
	for (uint32_t i = 0; i < n; i++) {
		SAME(rets[MEMORY][i].status, rets[SQLITE][i].status);
		if (rets[MEMORY][i].status != WEIR_NOTFOUND)
			SAME(rets[MEMORY][i].state, rets[SQLITE][i].state);
	}
}

/* With no limit: which ones come first is the store's affair. */
static void
do_promote(void)
{
	uint32_t n[SIDES];
	int64_t next_ms[SIDES];

	BOTH(s->ops->promote(s, 100000, &n[side], &next_ms[side], &w.error));
	CHECK_EQ_INT(w.status, WEIR_OK);
	SAME(n[MEMORY], n[SQLITE]);
	SAME(next_ms[MEMORY], next_ms[SQLITE]);
}

static void
enlist(int owner)
{

	for (int side = 0; side < SIDES; side++)
		snprintf(w.owner[side][owner].name,
			 sizeof(w.owner[side][owner].name), "host:%d", owner);
	BOTH(queue_try_enlist(s, &w.owner[side][owner]));
	CHECK_EQ_INT(w.status, WEIR_OK);
}

static void
do_rescue(void)
{
	int owner = (int)below(OWNERS);
	int64_t back = below(3) == 0, beat[SIDES];
	uint32_t n[SIDES];

	for (int side = 0; side < SIDES; side++)
		beat[side] = queue_beat(w.store[side], w.owner[side][owner].id);
	BOTH(s->ops->rescue(s, w.owner[side][owner].id, beat[side] - back, 2,
			    1000, &n[side], &w.error));
	CHECK_EQ_INT(w.status, WEIR_OK);
	SAME(n[MEMORY], n[SQLITE]);
}

static void
do_extend(void)
{
	int owner = (int)below(OWNERS);

	BOTH(s->ops->extend(s, &w.owner[side][owner], &w.error));
	if (w.status == WEIR_STALE)
		enlist(owner);
}

static void
do_leave(void)
{
	int owner = (int)below(OWNERS);

	BOTH(s->ops->leave(s, &w.owner[side][owner], &w.error));
	CHECK_EQ_INT(w.status, WEIR_OK);
	enlist(owner);
}

static void
do_clean(void)
{
	struct weir_retention keep;
	uint32_t n[SIDES];

	for (int i = 0; i < 8; i++)
		keep.keep_ms[i] = below(3) ? -1 : 1 + (int64_t)below(100000);
	BOTH(s->ops->clean(s, &keep, 1000, &n[side], &w.error));
	CHECK_EQ_INT(w.status, WEIR_OK);
	SAME(n[MEMORY], n[SQLITE]);
}

static void
do_queue_set(void)
{
	static const char *const names[] = {"one", "two", "three", "*"};
	const char *name = pick(names, 4);
	/* Mostly not paused, or nothing would go on. */
	int pause = (int)below(8) - 6, finished = (int)below(4) - 1;

	if (pause < -1)
		pause = 0;
	if (strcmp(name, "*") == 0)
		finished = -1;
	else if (finished >= 0)
		pause = -1;
	/* To ask for nothing is nobody's business. */
	if (pause < 0 && finished < 0)
		pause = 0;
	BOTH(s->ops->queue_set(s, name, pause, finished, &w.error));
}

static void
do_schedule(void)
{
	static const char *const names[] = {"a", "b", "c"};
	static const char *const specs[] = {"@every 30s", "* * * * *",
					    "@every 7s"};
	struct weir_draft draft = some_draft();
	weir_insert job = WEIR_INSERT_INIT;
	weir_schedule schedule = {.size = sizeof(schedule),
				  .name = pick(names, 3),
				  .spec = pick(specs, 3),
				  .job = &job,
				  .paused = below(4) == 0};

	job.kind = draft.kind;
	draft.state = WEIR_JOB_AVAILABLE;
	if (below(4) == 0)
		BOTH(s->ops->schedule_pause(s, schedule.name, schedule.paused,
					    &w.error));
	else if (below(3))
		BOTH(s->ops->schedule_put(s, &schedule, &draft, &w.error));
	else
		BOTH(s->ops->schedule_delete(s, schedule.name, &w.error));
}

static void
do_fire(void)
{
	uint32_t n[SIDES];
	int64_t next_ms[SIDES];

	BOTH(s->ops->fire(s, 1000, &n[side], &next_ms[side], &w.error));
	CHECK_EQ_INT(w.status, WEIR_OK);
	SAME(n[MEMORY], n[SQLITE]);
	SAME(next_ms[MEMORY], next_ms[SQLITE]);
	w.last_job += n[MEMORY];
}

static bool
write_id(const weir_job_row *row, void *user)
{
	weir__buf_printf(user, "%lld\n", (long long)row->id);
	return true;
}

static void check_texts(const char *a, const char *b);

static void
do_list(void)
{
	weir_job_filter f = WEIR_JOB_FILTER_INIT;
	struct weir_buf text[SIDES] = {{0}};
	int64_t ids[3];

	for (int i = 0; i < 3; i++)
		ids[i] = 1 + below((uint32_t)w.last_job + 2);
	if (below(4) == 0) {
		f.ids = ids;
		f.id_count = 1 + below(3);
	}
	f.states = below(2) ? below(256) : 0;
	f.queue = below(3) ? NULL : pick(queues, 2);
	f.kind = below(3) ? NULL : pick(kinds, KINDS);
	f.since_ms = below(3) ? 0 : some_time();
	f.before_id = below(3) ? 0 : ids[0];
	f.after_id = below(3) ? 0 : ids[1];
	f.limit = below(2) ? 0 : 1 + below(20);
	f.oldest_first = below(2);
	BOTH(s->ops->list(s, &f, write_id, &text[side], &w.error));
	CHECK_EQ_INT(w.status, WEIR_OK);
	check_texts(weir__buf_str(&text[0]), weir__buf_str(&text[1]));
	for (int side = 0; side < SIDES; side++)
		weir__buf_fini(&text[side]);
}

static void
do_clock(void)
{
	queue_now_ms += below(10) ? below(8000) : -(int64_t)below(4000);
}

/*
 * All jobs, as text: times and states, and how many errors; what they say is
 * tried elsewhere.
 */
static bool
write_job(const weir_job_row *r, void *user)
{
	json_t *errors = r->errors_len ? json_loads(r->errors, 0, NULL) : NULL;
	struct weir_buf *b = user;

	CHECK(errors || r->errors_len == 0);
	weir__buf_printf(b, "%lld %s %s/%s p%u a%u/%u c%u u%x%s e%zu o%s ",
			 (long long)r->id, weir_job_state_name(r->state),
			 r->queue, r->kind, r->priority, r->attempt,
			 r->max_attempts, r->crashes, r->unique_states,
			 r->unique_key ? "k" : "", json_array_size(errors),
			 r->output);
	weir__buf_printf(
		b, "c%lld s%lld a%lld f%lld x%lld by %s %s\n",
		(long long)(r->created_at_ms - T0),
		(long long)(r->scheduled_at_ms - T0),
		(long long)(r->attempted_at_ms - T0),
		(long long)(r->finalized_at_ms ? r->finalized_at_ms - T0 : 0),
		(long long)(r->cancel_at_ms ? r->cancel_at_ms - T0 : 0),
		r->attempted_by, r->metadata);
	json_decref(errors);
	return true;
}

static bool
write_queue(const weir_queue_row *r, void *user)
{
	weir__buf_printf(user, "%s %d %d", r->name, r->paused_at_ms != 0,
			 (int)r->finished);
	for (int i = 0; i < 8; i++)
		weir__buf_printf(user, " %llu",
				 (unsigned long long)r->counts[i]);
	weir__buf_putc(user, '\n');
	return true;
}

/* The first line in which they differ. */
static void
check_texts(const char *a, const char *b)
{
	while (*a && *b) {
		size_t x = strcspn(a, "\n"), y = strcspn(b, "\n");

		if (!CHECK_MSG(x == y && memcmp(a, b, x) == 0,
			       "step %lu, %s:\n# %.*s\n# %.*s", w.step, w.doing,
			       (int)x, a, (int)y, b))
			return;
		a += x + 1;
		b += y + 1;
	}
	CHECK_MSG(*a == *b, "step %lu, %s: one has more", w.step, w.doing);
}

static bool
compare(void)
{
	weir_job_filter filter = WEIR_JOB_FILTER_INIT;
	struct weir_buf text[SIDES] = {{0}};
	bool same;

	BOTH(s->ops->list(s, &filter, write_job, &text[side], &w.error));
	BOTH(s->ops->queues(s, write_queue, &text[side], &w.error));
	same = strcmp(weir__buf_str(&text[0]), weir__buf_str(&text[1])) == 0;
	check_texts(weir__buf_str(&text[0]), weir__buf_str(&text[1]));
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
	{"turn", do_turn, 34},        {"insert", do_insert, 17},
	{"change", do_change, 11},    {"clock", do_clock, 10},
	{"promote", do_promote, 6},   {"rescue", do_rescue, 4},
	{"extend", do_extend, 4},     {"list", do_list, 4},
	{"fire", do_fire, 3},         {"queue", do_queue_set, 2},
	{"schedule", do_schedule, 2}, {"clean", do_clean, 2},
	{"leave", do_leave, 1},
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

TEST_LIMIT(twins, answer_alike, 120)
{
	const char *rounds = getenv("WEIR_TEST_ROUNDS");
	unsigned long steps = rounds       ? strtoul(rounds, NULL, 10)
			      : UNDER_TSAN ? 300
					   : 2000;
	weir_store_options options = WEIR_STORE_OPTIONS_INIT;

	options.now_ms = queue_clock;
	weir__rng_seed(&w.rng, test_seed());
	w.store[MEMORY] = queue_memory_open(&options);
	w.store[SQLITE] = open_sqlite();
	for (int i = 0; i < OWNERS; i++)
		enlist(i);
	for (w.step = 0; w.step < steps; w.step++) {
		do_something();
		if (!compare())
			break;
	}
	for (int side = 0; side < SIDES; side++)
		w.store[side]->ops->close(w.store[side]);
	wipe();
	queue_forget();
}
