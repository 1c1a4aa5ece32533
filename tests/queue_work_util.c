/*
 * What the tests of working a store share; see queue_work_util.h.
 *
 * Design: the store in memory does the work.  Its table of functions is copied
 * and a few are replaced by some that count, fail when they are told to, and
 * else pass the call on.  One bench at a time, for these find it by a variable.
 */
#include "queue_work_util.h"
#include "queue_memory.h"

#include "base/assert.h"

#include <poll.h>
#include <string.h>
#include <unistd.h>

static struct bench *the_bench;
static const struct weir_store_ops *real;
static struct weir_store_ops ours;

static int64_t
bench_clock(void *user)
{
	struct bench *b = user;

	return atomic_load(&b->now_ms);
}

/* Does this call fail?  *ret_status: how. */
static bool
fails(enum bench_call call, weir_status *ret_status)
{
	int left = atomic_load(&the_bench->fail[call]);

	*ret_status = atomic_load(&the_bench->fail_with);
	while (left > 0 && !atomic_compare_exchange_weak(&the_bench->fail[call],
							 &left, left - 1))
		;
	return left > 0;
}

static void
at_most(atomic_uint *most, unsigned value)
{
	unsigned before = atomic_load(most);

	while (value > before &&
	       !atomic_compare_exchange_weak(most, &before, value))
		;
}

static weir_status
turn(weir_store *store, struct weir_turn *t, weir_error *reterr)
{
	weir_status status;

	if (fails(BENCH_TURN, &status))
		return weir__queue_error(reterr, status, 0, "made to fail");
	atomic_fetch_add(&the_bench->turns, 1);
	atomic_fetch_add(&the_bench->finishes, (unsigned)t->finish_count);
	if (t->want_count > 0)
		atomic_fetch_add(&the_bench->wants, 1);
	status = real->turn(store, t, reterr);
	if (status == WEIR_OK && t->batch) {
		atomic_fetch_add(&the_bench->claims, (unsigned)t->batch->count);
		at_most(&the_bench->claimed_most, (unsigned)t->batch->count);
	}
	return status;
}

static weir_status
extend(weir_store *store, const struct weir_owner *owner, weir_error *reterr)
{
	weir_status status;

	if (fails(BENCH_EXTEND, &status))
		return weir__queue_error(reterr, status, 0, "made to fail");
	atomic_fetch_add(&the_bench->extends, 1);
	return real->extend(store, owner, reterr);
}

static weir_status
promote(weir_store *store, uint32_t limit, uint32_t *ret_count,
	int64_t *ret_next_ms, weir_error *reterr)
{
	weir_status status;

	if (fails(BENCH_PROMOTE, &status))
		return weir__queue_error(reterr, status, 0, "made to fail");
	atomic_fetch_add(&the_bench->promotes, 1);
	return real->promote(store, limit, ret_count, ret_next_ms, reterr);
}

/* As if the job had completed itself, and the caller had committed. */
static weir_status
complete_tx(weir_store *store, const struct weir_owner *owner,
	    const struct weir_claim *claim, void *db, const char *output,
	    size_t output_len, weir_error *reterr)
{
	struct weir_owner us = *owner;
	struct weir_finish finish = {.claim = claim,
				     .output = output,
				     .output_len = output_len,
				     .verdict = WEIR_VERDICT_COMPLETE};
	struct weir_finished finished;
	struct weir_buf cancels = {0};
	struct weir_turn t = {.owner = &us,
			      .finishes = &finish,
			      .finished = &finished,
			      .finish_count = 1,
			      .cancels = &cancels};
	weir_status status = real->turn(store, &t, reterr);

	(void)db;
	weir__buf_fini(&cancels);
	return status == WEIR_OK ? finished.status : status;
}

static weir_status
enlist(weir_store *store, struct weir_owner *owner, weir_error *reterr)
{
	atomic_fetch_add(&the_bench->enlists, 1);
	return real->enlist(store, owner, reterr);
}

void
bench_init(struct bench *b)
{
	weir_store_options options = WEIR_STORE_OPTIONS_INIT;

	memset(b, 0, sizeof(*b));
	atomic_store(&b->now_ms, BENCH_T0);
	atomic_store(&b->fail_with, WEIR_BUSY);
	options.now_ms = bench_clock;
	options.now_user = b;
	b->store = queue_memory_open(&options);
	REQUIRE(b->store);
	the_bench = b;
	real = b->store->ops;
	ours = *real;
	ours.turn = turn;
	ours.extend = extend;
	ours.promote = promote;
	ours.enlist = enlist;
	ours.complete_tx = complete_tx;
	b->store->ops = &ours;
}

void
bench_fini(struct bench *b)
{
	real->close(b->store);
	b->store = NULL;
}

struct weir_draft
bench_draft(const char *kind)
{
	struct weir_draft draft = {
		.queue = "default",
		.queue_len = 7,
		.kind = kind,
		.kind_len = strlen(kind),
		.args = "{}",
		.args_len = 2,
		.metadata = "{}",
		.metadata_len = 2,
		.tags = "[]",
		.tags_len = 2,
		.state = WEIR_JOB_AVAILABLE,
		.priority = 1,
		.max_attempts = 25,
		.created_at_ms = BENCH_T0,
		.scheduled_at_ms = BENCH_T0,
	};

	return draft;
}

int64_t
bench_put_draft(struct bench *b, const struct weir_draft *draft)
{
	weir_inserted inserted;
	weir_error error;

	REQUIRE(b->store->ops->insert(b->store, draft, 1, &inserted, NULL,
				      &error) == WEIR_OK);
	return inserted.id;
}

int64_t
bench_put(struct bench *b, const char *kind)
{
	struct weir_draft draft = bench_draft(kind);

	return bench_put_draft(b, &draft);
}

void
bench_put_many(struct bench *b, const char *kind, size_t count)
{
	for (size_t i = 0; i < count; i++)
		bench_put(b, kind);
}

struct seek {
	bool found;
	weir_job_row row;
	char errors[32 * 1024], output[256];
};

static void
copy_text(char *to, size_t size, const char *from, size_t len)
{
	REQUIRE(len < size);
	if (len > 0)
		memcpy(to, from, len);
	to[len] = '\0';
}

static bool
seek_row(const weir_job_row *row, void *user)
{
	struct seek *seek = user;

	seek->found = true;
	seek->row = *row;
	copy_text(seek->errors, sizeof(seek->errors), row->errors,
		  row->errors_len);
	copy_text(seek->output, sizeof(seek->output), row->output,
		  row->output_len);
	return true;
}

static const struct seek *
seek(struct bench *b, int64_t id)
{
	weir_job_filter filter = WEIR_JOB_FILTER_INIT;
	static struct seek found;
	weir_error error;

	memset(&found, 0, sizeof(found));
	filter.ids = &id;
	filter.id_count = 1;
	REQUIRE(b->store->ops->list(b->store, &filter, seek_row, &found,
				    &error) == WEIR_OK);
	return &found;
}

int
bench_state(struct bench *b, int64_t id)
{
	const struct seek *found = seek(b, id);

	return found->found ? (int)found->row.state : -1;
}

unsigned
bench_attempt(struct bench *b, int64_t id)
{
	return seek(b, id)->row.attempt;
}

int64_t
bench_scheduled_at(struct bench *b, int64_t id)
{
	return seek(b, id)->row.scheduled_at_ms;
}

const char *
bench_errors(struct bench *b, int64_t id)
{
	return seek(b, id)->errors;
}

const char *
bench_output(struct bench *b, int64_t id)
{
	return seek(b, id)->output;
}

static bool
count_row(const weir_job_row *row, void *user)
{
	unsigned *count = user;

	(void)row;
	++*count;
	return true;
}

unsigned
bench_count(struct bench *b, weir_state state)
{
	weir_job_filter filter = WEIR_JOB_FILTER_INIT;
	unsigned count = 0;
	weir_error error;

	filter.states = WEIR_JOB_STATE_BIT(state);
	REQUIRE(b->store->ops->list(b->store, &filter, count_row, &count,
				    &error) == WEIR_OK);
	return count;
}

void
bench_cancel(struct bench *b, int64_t id)
{
	weir_job_changed changed;
	weir_error error;

	REQUIRE(b->store->ops->change(b->store, WEIR_JOB_CANCEL, &id, 1,
				      &changed, NULL, &error) == WEIR_OK);
}

weir_store *
bench_join(struct bench *b)
{
	weir_store *store;

	b->store->ops = real;
	store = queue_memory_join(b->store);
	b->store->ops = &ours;
	REQUIRE(store);
	return store;
}

static bool
kill_client(const struct weir_client_row *row, void *user)
{
	struct weir_client_row *dead = user;

	*dead = *row;
	return false;
}

void
bench_kill(struct bench *b)
{
	struct weir_client_row dead = {0};
	uint32_t count = 0;
	weir_error error;

	REQUIRE(real->clients(b->store, kill_client, &dead, &error) == WEIR_OK);
	REQUIRE(dead.id != 0);
	/* Beats go on until it is done. */
	while (real->rescue(b->store, dead.id, dead.beat, 9, 1000, &count,
			    &error) == WEIR_OK &&
	       count == 0)
		REQUIRE(real->clients(b->store, kill_client, &dead, &error) ==
			WEIR_OK);
}

void
event_init(struct event *e)
{
	REQUIRE(pipe(e->fds) == 0);
}

void
event_fini(struct event *e)
{
	close(e->fds[0]);
	close(e->fds[1]);
}

void
event_set(struct event *e)
{
	REQUIRE(write(e->fds[1], "", 1) == 1);
}

void
event_wait(struct event *e)
{
	char c;

	REQUIRE(read(e->fds[0], &c, 1) == 1);
}

bool
event_stays_unset(struct event *e, int ms)
{
	struct pollfd fd = {.fd = e->fds[0], .events = POLLIN};

	return poll(&fd, 1, ms) == 0;
}

static void
lane_poke(void *user)
{
	event_set(&((struct lane *)user)->poked);
}

static void
lane_cancel(struct weir_claim *claim, void *user)
{
	struct lane *lane = user;

	atomic_store(&lane->told_id, claim->row.id);
	event_set(&lane->told);
}

static void
lane_ended(struct weir_claim *claim, const struct weir_finish *finish,
	   const struct weir_finished *finished, void *user)
{
	struct lane *lane = user;

	CHECK(finish->claim == claim);
	atomic_store(&lane->ended_status, (int)finished->status);
	atomic_store(&lane->ended_state, (int)finished->state);
	event_set(&lane->ended);
}

static void
lane_trouble(const weir_error *error, void *user)
{
	struct lane *lane = user;

	atomic_fetch_add(error ? &lane->troubles : &lane->over, 1);
}

void
lane_make(struct lane *lane, struct bench *b, const weir_work_options *options,
	  uint32_t width)
{
	weir_work_options mine = WEIR_WORK_OPTIONS_INIT;
	weir_error error;

	memset(lane, 0, sizeof(*lane));
	if (options)
		mine = *options;
	mine.trouble = lane_trouble;
	mine.user = lane;
	lane->bench = b;
	event_init(&lane->poked);
	event_init(&lane->ended);
	event_init(&lane->told);
	lane->lane.poke = lane_poke;
	lane->lane.cancel = lane_cancel;
	lane->lane.ended = lane_ended;
	lane->lane.user = lane;
	lane->lane.width = width;
	REQUIRE(weir__work_make(&lane->work, b->store, &mine, &lane->lane,
				&error) == WEIR_OK);
}

void
lane_begin(struct lane *lane)
{
	weir_error error;

	REQUIRE(weir__work_begin(lane->work, &error) == WEIR_OK);
}

void
lane_init(struct lane *lane, struct bench *b, const weir_work_options *options,
	  uint32_t width)
{
	lane_make(lane, b, options, width);
	lane_begin(lane);
}

void
lane_fini(struct lane *lane)
{
	weir_error error;

	lane->status = weir__work_end(lane->work, &error);
	lane->work = weir_work_free(lane->work);
	event_fini(&lane->poked);
	event_fini(&lane->ended);
	event_fini(&lane->told);
}

struct weir_claim *
lane_take(struct lane *lane)
{
	struct weir_claim *claim = NULL;
	weir_status status = weir__work_take(lane->work, &claim);

	while (status == WEIR_BUSY) {
		event_wait(&lane->poked);
		status = weir__work_take(lane->work, &claim);
	}
	CHECK(status == WEIR_OK || status == WEIR_CLOSED);
	return claim;
}

bool
lane_is_dry(struct lane *lane)
{
	struct weir_claim *claim;

	return weir__work_take(lane->work, &claim) == WEIR_BUSY;
}

void
lane_give_outcome(struct lane *lane, struct weir_claim *claim,
		  const struct weir_outcome *outcome)
{
	weir__work_give(lane->work, claim, outcome);
	event_wait(&lane->ended);
}

void
lane_give_later(struct lane *lane, struct weir_claim *claim, weir_status status)
{
	struct weir_outcome outcome = WEIR_OUTCOME_INIT;

	outcome.status = status;
	weir__work_give(lane->work, claim, &outcome);
}

void
lane_wait_ended(struct lane *lane, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		event_wait(&lane->ended);
}

void
lane_give(struct lane *lane, struct weir_claim *claim, weir_status status)
{
	lane_give_later(lane, claim, status);
	event_wait(&lane->ended);
}

void
lane_wait_claimed(struct lane *lane, unsigned count)
{
	while (lane_stats(lane).claimed != count)
		(void)event_stays_unset(&lane->told, 1);
}

weir_work_stats
lane_stats(struct lane *lane)
{
	weir_work_stats stats = {.size = sizeof(stats)};

	weir_work_get_stats(lane->work, &stats);
	return stats;
}
