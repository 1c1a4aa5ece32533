/*
 * Pipelines that end: whatever is called at whatever moment, each item comes
 * out once, is handed back once, or is dropped once.
 */
#include "pipeline_util.h"

TEST(pipeline, shutdown_drains_all_stages)
{
	weir_ctx *now = ctx_make(NULL, 0);
	struct piece piece = PIECE(0, ECHO, ECHO, ECHO);
	weir_pipeline_result r;
	int count = 0;
	struct line l;

	line_init(&l, 2, 3);
	l.options.results = PLACES;
	line_start(&l);
	line_fill(&l, GATE);
	CHECK_EQ_INT(weir_pipeline_shutdown(l.p, now), WEIR_TIMEDOUT);
	CHECK_EQ_INT(weir_pipeline_submit(l.p, &piece, NULL, NULL),
		     WEIR_CLOSED);
	CHECK_EQ_INT(weir_pipeline_try_next(l.p, &r, NULL), WEIR_BUSY);
	CHECK_EQ_INT(weir_pipeline_shutdown(l.p, now), WEIR_TIMEDOUT);
	gate_open(l.gate);
	OK(weir_pipeline_shutdown(l.p, NULL));
	check_stages_empty(&l);
	while (weir_pipeline_try_next(l.p, &r, NULL) == WEIR_OK) {
		CHECK_EQ_INT(r.result.status, WEIR_OK);
		count++;
	}
	CHECK_EQ_INT(count, PLACES);
	OK(weir_pipeline_shutdown(l.p, now));
	CHECK_EQ_INT(weir_pipeline_try_next(l.p, &r, NULL), WEIR_CLOSED);
	weir_ctx_unref(now);
	line_end(&l);
}

/* How a pipeline ends. */
enum ending { CLOSE, SHUTDOWN, NOW, NOW_WITHOUT, FREE, ENDINGS };

/* What was handed back, in order, and what came out. */
struct back {
	int len;
	uint64_t ids[64];
	unsigned char fate[64];
};

static void
take_back(uint64_t id, const void *in, void *user)
{
	const struct piece *piece = in;
	struct back *back = user;

	REQUIRE(back->len < 64 && id < 64);
	CHECK_EQ_INT(piece->trail, 0);
	back->ids[back->len++] = id;
	CHECK_EQ_INT(back->fate[id]++, 0);
}

/* Results go on until CLOSED; each item that was not handed back is there. */
static int
check_rest(struct line *l, struct back *back, int items)
{
	weir_pipeline_result r;
	int ok = 0;

	for (int i = back->len; i < items; i++) {
		OK(weir_pipeline_try_next(l->p, &r, NULL));
		REQUIRE(r.result.id < 64);
		CHECK_EQ_INT(back->fate[r.result.id]++, 0);
		CHECK(r.result.status == WEIR_OK ||
		      r.result.status == WEIR_CANCELED);
		CHECK(r.result.attempts > 0);
		ok += r.result.status == WEIR_OK;
	}
	CHECK_EQ_INT(weir_pipeline_try_next(l->p, &r, NULL), WEIR_CLOSED);
	return ok;
}

TEST(pipeline, shutdown_now_hands_back_in_order_what_no_stage_has_begun)
{
	struct back back = {0};
	struct line l;

	line_init(&l, 2, 3);
	line_start(&l);
	line_fill(&l, WATCH);
	WAIT_FOR(is_full(&l));
	OK(weir_pipeline_shutdown_now(l.p, take_back, &back, NULL));
	CHECK_EQ_INT(back.len, 3);
	for (int i = 0; i < 3; i++)
		CHECK_EQ_INT(back.ids[i], PLACES - 2 + i);
	CHECK_EQ_INT(stage_stats(&l, 0).handed_back, 3);
	CHECK_EQ_INT(check_rest(&l, &back, PLACES), 0);
	check_stages_empty(&l);
	line_end(&l);
}

TEST(pipeline, shutdown_now_does_not_need_a_collector)
{
	struct back back = {0};
	struct line l;

	/* Results are full as well, and the last stage's workers stuck. */
	line_init(&l, 2, 3);
	l.options.results = RESULTS;
	line_start(&l);
	for (int i = 0; i < RESULTS; i++)
		put(&l, PIECE(i, ECHO, ECHO, ECHO), NULL);
	line_fill(&l, ECHO);
	WAIT_FOR(is_full(&l));
	OK(weir_pipeline_shutdown_now(l.p, take_back, &back, NULL));
	CHECK_EQ_INT(back.len, 3);
	for (int i = 0; i < 3; i++)
		CHECK_EQ_INT(back.ids[i], RESULTS + PLACES - 2 + i);
	/* Two more were through when they were told, at least. */
	CHECK(check_rest(&l, &back, RESULTS + PLACES) >= RESULTS + 2);
	line_end(&l);
}

TEST(pipeline, shutdown_now_without_a_callback_gives_results)
{
	weir_pipeline_result r;
	int unstarted = 0;
	struct line l;

	line_init(&l, 2, 3);
	line_start(&l);
	line_fill(&l, WATCH);
	WAIT_FOR(is_full(&l));
	OK(weir_pipeline_shutdown_now(l.p, NULL, NULL, NULL));
	for (int i = 0; i < PLACES; i++) {
		OK(weir_pipeline_try_next(l.p, &r, NULL));
		CHECK_EQ_INT(r.result.status, WEIR_CANCELED);
		unstarted += r.result.attempts == 0 && r.stage == 0;
	}
	CHECK_EQ_INT(unstarted, 3);
	CHECK_EQ_INT(weir_pipeline_try_next(l.p, &r, NULL), WEIR_CLOSED);
	line_end(&l);
}

TEST(pipeline, shutdown_now_that_timed_out_may_be_called_again)
{
	weir_ctx *now = ctx_make(NULL, 0);
	struct back back = {0};
	struct line l;

	line_init(&l, 2, 3);
	line_start(&l);
	line_fill(&l, GATE);
	WAIT_FOR(is_full(&l));
	CHECK_EQ_INT(weir_pipeline_shutdown_now(l.p, take_back, &back, now),
		     WEIR_TIMEDOUT);
	CHECK_EQ_INT(back.len, 3);
	CHECK_EQ_INT(weir_pipeline_shutdown_now(l.p, take_back, &back, now),
		     WEIR_TIMEDOUT);
	gate_open(l.gate);
	OK(weir_pipeline_shutdown_now(l.p, take_back, &back, NULL));
	CHECK_EQ_INT(back.len, 3);
	/* The two at the gate finish in spite of it. */
	CHECK_EQ_INT(check_rest(&l, &back, PLACES), 2);
	weir_ctx_unref(now);
	line_end(&l);
}

static void
drop_piece(const weir_result *result, const void *in, void *out, void *user)
{
	struct back *back = user;

	(void)in;
	REQUIRE(result->id < 64);
	CHECK_EQ_INT(back->fate[result->id]++, 0);
	back->len++;
	if (result->status == WEIR_OK)
		CHECK_EQ_INT(((const struct piece *)out)->trail, 123);
	else
		CHECK_EQ_INT(result->status, WEIR_CANCELED);
}

TEST(pipeline, free_drops_what_nobody_took_once)
{
	struct back back = {0};
	struct line l;

	line_init(&l, 2, 3);
	l.options.results = RESULTS;
	l.options.drop = drop_piece;
	l.options.user = &back;
	line_start(&l);
	for (int i = 0; i < RESULTS; i++)
		put(&l, PIECE(i, ECHO, ECHO, ECHO), NULL);
	WAIT_FOR(stage_stats(&l, 2).delivered == RESULTS);
	line_fill(&l, WATCH);
	back.fate[take(&l, NULL).result.id]++;
	line_end(&l);
	CHECK_EQ_INT(back.len, RESULTS - 1 + PLACES);
	for (int i = 1; i <= RESULTS + PLACES; i++)
		CHECK_EQ_INT(back.fate[i], 1);
}

/* Where items are kept, they come out of all doors as they went in. */
static void
drop_kept(const weir_result *result, const void *in, void *out, void *user)
{
	check_submitted(in, (int)result->id - 1);
	drop_piece(result, in, out, user);
}

static void
take_back_kept(uint64_t id, const void *in, void *user)
{
	check_submitted(in, (int)id - 1);
	take_back(id, in, user);
}

TEST(pipeline, free_drops_items_as_they_were_submitted)
{
	struct back back = {0};
	struct line l;

	line_init(&l, 2, 3);
	l.options.keep_in = true;
	l.options.drop = drop_kept;
	l.options.user = &back;
	line_start(&l);
	for (int i = 0; i < STAGES; i++)
		put(&l, PIECE(i, ECHO, ECHO, ECHO), NULL);
	WAIT_FOR(stage_stats(&l, 2).delivered == STAGES);
	for (int i = STAGES; i < STAGES + PLACES; i++)
		put(&l, PIECE(i, ECHO, ECHO, WATCH), NULL);
	WAIT_FOR(is_full(&l));
	/* Some have been through, others have not been begun. */
	line_end(&l);
	CHECK_EQ_INT(back.len, STAGES + PLACES);
}

TEST(pipeline, items_are_handed_back_unstarted_as_they_were_submitted)
{
	struct back back = {0};
	struct line l;

	line_init(&l, 2, 3);
	l.options.keep_in = true;
	line_start(&l);
	line_fill(&l, WATCH);
	WAIT_FOR(is_full(&l));
	OK(weir_pipeline_shutdown_now(l.p, take_back_kept, &back, NULL));
	CHECK_EQ_INT(back.len, 3);
	for (int i = 3; i < PLACES; i++) {
		struct piece in;
		weir_pipeline_result r = take_item(&l, &in, NULL);

		check_submitted(&in, (int)r.result.id - 1);
	}
	line_end(&l);
}

/*
 * Items that are pointers: each is allocated before it is submitted and freed
 * at the door it comes out of, so that one is lost (the sanitizer tells, and
 * so do the counts) or freed twice if anything is wrong.
 */
enum { OWNED = 2000, OWN_WORKERS = 2, OWN_QUEUE = 4 };

/* So many find room wherever they fail: in the first stage and as results. */
enum { OWN_ROOM = OWN_WORKERS + OWN_QUEUE + STAGES * OWN_WORKERS };

struct owned {
	int number;
	unsigned char fails[STAGES]; /* so many attempts */
};

struct owner {
	struct line l;
	int submitted;
	atomic_int failed;
	atomic_uchar freed[OWNED];
};

static void
owned_free(struct owner *owner, struct owned *owned)
{
	REQUIRE(owned->number >= 0 && owned->number < OWNED);
	CHECK_EQ_INT(atomic_fetch_add(&owner->freed[owned->number], 1), 0);
	free(owned);
}

static weir_status
owned_run(weir_ctx *ctx, const void *in, void *out, void *user)
{
	const struct place *place = user;
	struct owned *owned;

	memcpy(&owned, in, sizeof(owned));
	if (weir_job_attempt(ctx) <= owned->fails[place->index])
		return weir_job_fail(ctx, WEIR_FAILED, "not yet");
	memcpy(out, in, sizeof(owned));
	return WEIR_OK;
}

static void
owned_back(uint64_t id, const void *in, void *user)
{
	struct owned *owned;

	memcpy(&owned, in, sizeof(owned));
	CHECK_EQ_INT(owned->number + 1, id);
	owned_free(user, owned);
}

static void
owned_drop(const weir_result *result, const void *in, void *out, void *user)
{
	if (result->status == WEIR_OK)
		CHECK(memcmp(in, out, sizeof(struct owned *)) == 0);
	owned_back(result->id, in, user);
}

static void *
owned_collect_main(void *arg)
{
	struct owned *owned, *out;
	struct owner *owner = arg;
	weir_pipeline_result r;

	while (weir_pipeline_next_item(owner->l.p, &r, &owned, &out, NULL) ==
	       WEIR_OK) {
		CHECK_EQ_INT(owned->number + 1, r.result.id);
		if (r.result.status == WEIR_OK)
			CHECK(owned == out);
		else
			atomic_fetch_add(&owner->failed, 1);
		owned_free(owner, owned);
	}
	return NULL;
}

/* One in eight fails in each stage for good, more of them for a while. */
static void
owned_submit(struct owner *owner, struct weir_rng *rng)
{
	struct owned *owned = malloc(sizeof(*owned));

	REQUIRE(owned);
	owned->number = owner->submitted;
	for (int i = 0; i < STAGES; i++)
		owned->fails[i] = weir__rng_below(rng, 8) == 0
					  ? 2
					  : weir__rng_below(rng, 8) == 0;
	OK(weir_pipeline_submit(owner->l.p, &owned, NULL, NULL));
	owner->submitted++;
}

static void
owner_init(struct owner *owner)
{
	struct line *l = &owner->l;

	memset(owner, 0, sizeof(*owner));
	line_init(l, OWN_WORKERS, OWN_QUEUE);
	for (int i = 0; i < STAGES; i++) {
		l->stages[i].run = owned_run;
		l->stages[i].out_size = sizeof(struct owned *);
		l->stages[i].retry = (weir_retry){.attempts_max = 2,
						  .delay_ns = 50 * WEIR_US};
	}
	l->options.in_size = sizeof(struct owned *);
	l->options.keep_in = true;
	l->options.drop = owned_drop;
	l->options.user = owner;
	line_start(l);
}

/* Collected to the end, or stopped in the middle, or left to free. */
static void
own_items(uint64_t seed, enum ending ending)
{
	static struct owner owner;
	struct weir_rng rng;
	pthread_t collector;
	int items = ending == FREE ? OWN_ROOM : SCALE(OWNED);

	weir__rng_seed(&rng, seed);
	owner_init(&owner);
	if (ending != FREE)
		collector = thread_run(owned_collect_main, &owner);
	for (int i = 0; i < items; i++)
		owned_submit(&owner, &rng);
	if (ending == NOW)
		OK(weir_pipeline_shutdown_now(owner.l.p, owned_back, &owner,
					      NULL));
	weir_pipeline_close(owner.l.p);
	if (ending != FREE) {
		thread_join(collector);
		CHECK(atomic_load(&owner.failed) > 0);
	}
	line_end(&owner.l);
	for (int i = 0; i < items; i++)
		CHECK_EQ_INT(atomic_load(&owner.freed[i]), 1);
}

TEST(pipeline, items_that_are_pointers_are_freed_once_wherever_they_fail)
{
	own_items(test_seed(), CLOSE);
}

TEST(pipeline, items_that_are_pointers_are_freed_once_when_it_is_stopped)
{
	for (uint64_t i = 0; i < 4; i++)
		own_items(test_seed() + i, NOW);
}

TEST(pipeline, items_that_are_pointers_are_freed_once_when_nobody_takes_them)
{
	for (uint64_t i = 0; i < 20; i++)
		own_items(test_seed() + i, FREE);
}

/* What calls that would wait answer on a worker. */
struct own {
	weir_pipeline *_Atomic p;
	atomic_bool asked;
	struct back back;
	weir_status submit, try_submit, next, try_next, shutdown, now;
};

static weir_status
own_run(weir_ctx *ctx, const void *in, void *out, void *user)
{
	const struct piece *piece = in;
	weir_pipeline_result r;
	struct own *own = user;
	weir_pipeline *p;

	WAIT_FOR((p = atomic_load(&own->p)));
	memcpy(out, in, sizeof(*piece));
	gate_wait(piece->gate);
	own->next = weir_pipeline_next(p, &r, NULL, NULL);
	own->try_next = weir_pipeline_try_next(p, &r, NULL);
	own->try_submit = weir_pipeline_try_submit(p, in, NULL, NULL);
	own->submit = weir_pipeline_submit(p, in, NULL, NULL);
	own->shutdown = weir_pipeline_shutdown(p, ctx);
	own->now = weir_pipeline_shutdown_now(p, take_back, &own->back, NULL);
	atomic_store(&own->asked, true);
	return WEIR_OK;
}

TEST(pipeline, calls_that_would_wait_for_their_own_worker_say_so)
{
	struct own own = {.asked = false};
	struct line l;

	line_init(&l, 1, 1);
	l.stages[1].run = own_run;
	l.stages[1].user = &own;
	line_start(&l);
	atomic_store(&own.p, l.p);
	for (int i = 1; i <= 4; i++)
		put(&l, PIECE(i, ECHO, ECHO, ECHO), NULL);
	WAIT_FOR(stage_stats(&l, 0).queued == 1 &&
		 stage_stats(&l, 1).queued == 1);
	gate_open(l.gate);
	WAIT_FOR(atomic_load(&own.asked));
	OK(weir_pipeline_shutdown(l.p, NULL));
	CHECK_EQ_INT(own.next, WEIR_DEADLOCK);
	CHECK_EQ_INT(own.try_next, WEIR_BUSY);
	CHECK_EQ_INT(own.try_submit, WEIR_BUSY);
	CHECK_EQ_INT(own.submit, WEIR_DEADLOCK);
	CHECK_EQ_INT(own.shutdown, WEIR_DEADLOCK);
	CHECK_EQ_INT(own.now, WEIR_DEADLOCK);
	CHECK_EQ_INT(own.back.len, 1);
	CHECK_EQ_INT(own.back.ids[0], 4);
	check_rest(&l, &own.back, 4);
	line_end(&l);
}

static void *
waiting_next_main(void *arg)
{
	weir_pipeline_result r;
	struct line *l = arg;

	CHECK_EQ_INT(weir_pipeline_next(l->p, &r, NULL, NULL), WEIR_CLOSED);
	return NULL;
}

static void *
waiting_submit_main(void *arg)
{
	struct piece piece = PIECE(0, ECHO, ECHO, ECHO);
	struct line *l = arg;

	CHECK_EQ_INT(weir_pipeline_submit(l->p, &piece, NULL, NULL),
		     WEIR_CLOSED);
	return NULL;
}

TEST(pipeline, close_ends_waits_on_both_sides)
{
	weir_ctx *soon = ctx_make(NULL, 5 * WEIR_MS);
	weir_pipeline_result r;
	pthread_t thread;
	struct line l;

	line_init(&l, 1, 1);
	line_start(&l);
	CHECK_EQ_INT(weir_pipeline_try_next(l.p, &r, NULL), WEIR_BUSY);
	CHECK_EQ_INT(weir_pipeline_next(l.p, &r, NULL, soon), WEIR_TIMEDOUT);
	weir_ctx_unref(soon);
	thread = thread_run(waiting_next_main, &l);
	weir_pipeline_close(l.p);
	weir_pipeline_close(l.p);
	thread_join(thread);
	line_end(&l);

	line_init(&l, 1, 1);
	line_start(&l);
	for (int i = 1; i <= 2 * STAGES; i++)
		put(&l, PIECE(i, ECHO, ECHO, GATE), NULL);
	WAIT_FOR(is_full(&l));
	thread = thread_run(waiting_submit_main, &l);
	weir_pipeline_close(l.p);
	thread_join(thread);
	gate_open(l.gate);
	for (int i = 1; i <= 2 * STAGES; i++)
		CHECK_EQ_INT(take(&l, NULL).result.status, WEIR_OK);
	CHECK_EQ_INT(weir_pipeline_next(l.p, &r, NULL, NULL), WEIR_CLOSED);
	line_end(&l);
}

/*
 * At a random moment a busy pipeline is ended in one of the ways, with
 * threads that submit and collect, jobs that fail, time out, wait between
 * attempts or are ended by another thread, and contexts that are cancelled.
 */
enum { STORM_MAX = 4000, SUBMITTERS = 2 };

struct storm {
	struct line l;
	struct ender ender;
	uint64_t seed;
	struct weir_rng rng; /* the main thread's */
	enum ending ending;
	bool async, lazy;
	weir_ctx *over, *some; /* ends the callers; ends some of the items */
	atomic_int accepted, out;
	atomic_uchar fate[STORM_MAX + 1];
};

static void
storm_account(struct storm *s, uint64_t id)
{
	REQUIRE(id >= 1 && id <= STORM_MAX);
	CHECK_EQ_INT(atomic_fetch_add(&s->fate[id], 1), 0);
	atomic_fetch_add(&s->out, 1);
}

static void
storm_back(uint64_t id, const void *in, void *user)
{
	const struct piece *piece = in;

	CHECK_EQ_INT(piece->trail, 0);
	storm_account(user, id);
}

static void
storm_drop(const weir_result *result, const void *in, void *out, void *user)
{
	const struct piece *piece = in;
	const struct storm *s = user;

	(void)out;
	if (s->l.options.keep_in)
		CHECK_EQ_INT(piece->trail, 0);
	else
		CHECK(!piece);
	storm_account(user, result->id);
}

static struct piece
storm_piece(struct weir_rng *rng)
{
	static const enum what whats[] = {ECHO, ECHO, ECHO,  ECHO, ECHO,
					  ECHO, FAIL, FLAKY, FLAKY};
	struct piece piece = {.status = WEIR_PERMANENT};

	for (int i = 0; i < STAGES; i++)
		piece.what[i] = whats[weir__rng_below(rng, 9)];
	if (weir__rng_below(rng, 16) == 0)
		piece.what[2] = WATCH; /* until its stage's time-out */
	if (weir__rng_below(rng, 8) == 0)
		piece.nap_ns = 20 * WEIR_US;
	return piece;
}

static weir_status
storm_submit_one(struct storm *s, struct weir_rng *rng)
{
	struct piece piece = storm_piece(rng);
	weir_ctx *brief, *ctx = s->some;
	weir_status status = WEIR_OK;
	uint64_t id = 0;

	if (weir__rng_below(rng, 4) == 0)
		status = weir_pipeline_try_submit(
			s->l.p, &piece, &id,
			weir__rng_below(rng, 2) ? ctx : NULL);
	else {
		/* It ends with the storm, so that nobody waits for ever. */
		int64_t ns = (int64_t)weir__rng_below(rng, 2 * WEIR_MS);

		brief = ctx_make(s->over,
				 weir__rng_below(rng, 3) ? WEIR_FOREVER : ns);
		status = weir_pipeline_submit(s->l.p, &piece, &id, brief);
		weir_ctx_unref(brief);
	}
	if (status == WEIR_OK)
		atomic_fetch_add(&s->accepted, 1);
	return status;
}

static void *
storm_submit_main(void *arg)
{
	static atomic_uint nth;
	struct storm *s = arg;
	struct weir_rng rng;

	weir__rng_seed(&rng, s->seed + atomic_fetch_add(&nth, 1));
	while (atomic_load(&s->accepted) < STORM_MAX - 2 * SUBMITTERS &&
	       weir_ctx_status(s->over) == WEIR_OK &&
	       storm_submit_one(s, &rng) != WEIR_CLOSED)
		;
	return NULL;
}

static void *
storm_collect_main(void *arg)
{
	weir_pipeline_result r;
	struct storm *s = arg;
	struct piece in = {.trail = 0}, out;

	while (weir_pipeline_next_item(s->l.p, &r,
				       s->l.options.keep_in ? &in : NULL, &out,
				       s->over) == WEIR_OK) {
		storm_account(s, r.result.id);
		CHECK_EQ_INT(in.trail, 0);
		if (r.result.status == WEIR_OK)
			CHECK_EQ_INT(out.trail, 123);
		if (s->lazy)
			(void)weir_ctx_sleep(NULL, 50 * WEIR_US);
	}
	return NULL;
}

static void
storm_end(struct storm *s)
{
	switch (s->ending) {
	case CLOSE:
		weir_pipeline_close(s->l.p);
		break;
	case SHUTDOWN:
		OK(weir_pipeline_shutdown(s->l.p, NULL));
		break;
	case NOW:
		OK(weir_pipeline_shutdown_now(s->l.p, storm_back, s, NULL));
		break;
	case NOW_WITHOUT:
		OK(weir_pipeline_shutdown_now(s->l.p, NULL, NULL, NULL));
		break;
	case FREE:
	case ENDINGS:
		/* No other call may be in progress. */
		weir_ctx_cancel(s->over);
		break;
	}
}

static void
storm_init(struct storm *s, uint64_t seed)
{
	memset(s, 0, sizeof(*s));
	s->seed = seed;
	weir__rng_seed(&s->rng, seed);
	s->ending = (enum ending)weir__rng_below(&s->rng, ENDINGS);
	s->async = weir__rng_below(&s->rng, 2);
	s->lazy = weir__rng_below(&s->rng, 2);
	s->over = gate_make();
	s->some = gate_make();
	line_init(&s->l, 1, 1);
	for (uint32_t i = 0; i < STAGES; i++) {
		weir_stage *stage = &s->l.stages[i];

		stage->workers = 1 + (uint32_t)weir__rng_below(&s->rng, 3);
		stage->queue = 1 + (uint32_t)weir__rng_below(&s->rng, 8);
		stage->timeout_ns = WEIR_MS;
		stage->retry = (weir_retry){.attempts_max = 2,
					    .delay_ns = 100 * WEIR_US,
					    .jitter = 1};
	}
	if (s->async)
		ender_take_stage(&s->ender, &s->l, 1);
	s->l.options.results = (uint32_t)weir__rng_below(&s->rng, 20);
	s->l.options.keep_in = weir__rng_below(&s->rng, 2);
	s->l.options.drop = storm_drop;
	s->l.options.user = s;
	line_start(&s->l);
}

static void
storm_check(struct storm *s)
{
	int accepted = atomic_load(&s->accepted);

	CHECK_EQ_INT(atomic_load(&s->out), accepted);
	for (int i = 1; i <= STORM_MAX; i++)
		REQUIRE(atomic_load(&s->fate[i]) == (i <= accepted));
}

static void
storm(uint64_t seed)
{
	struct storm *s = malloc(sizeof(*s));
	pthread_t threads[SUBMITTERS + 1], ending;

	REQUIRE(s);
	storm_init(s, seed);
	ending = thread_run(ender_main, &s->ender);
	for (int i = 0; i < SUBMITTERS; i++)
		threads[i] = thread_run(storm_submit_main, s);
	threads[SUBMITTERS] = thread_run(storm_collect_main, s);
	(void)weir_ctx_sleep(NULL,
			     (int64_t)weir__rng_below(&s->rng, 3 * WEIR_MS));
	weir_ctx_cancel(s->some);
	storm_end(s);
	for (int i = 0; i <= SUBMITTERS; i++)
		thread_join(threads[i]);
	if (s->ending != FREE) {
		OK(weir_pipeline_shutdown(s->l.p, NULL));
		check_stages_empty(&s->l);
		storm_check(s);
	}
	line_end(&s->l);
	storm_check(s);
	ender_stop(&s->ender, ending);
	weir_ctx_unref(s->over);
	weir_ctx_unref(s->some);
	free(s);
}

TEST_LIMIT(pipeline, accounts_for_each_item_once_however_it_ends, 60)
{
	for (uint64_t i = 0; i < (uint64_t)SCALE(300); i++)
		storm(test_seed() + i);
}
