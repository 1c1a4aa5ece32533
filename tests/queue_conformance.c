/*
 * What every store must do: what the tests share.
 *
 * Design: everything that a helper gives out is in one list, and is freed when
 * the test has ended, so that tests read as what they try.
 */
#include "queue_conformance.h"

#include "base/buf.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>

_Atomic int64_t queue_now_ms = T0;
bool queue_alone;

int64_t
queue_clock(void *user)
{
	(void)user;
	return queue_now_ms;
}

void
queue_add_alone(struct test *test)
{
	if (!queue_stores.never_alone)
		test_add(test);
}

bool
queue_same_json(const char *a, const char *b)
{
	return queue_stores.same_json ? queue_stores.same_json(a, b)
				      : strcmp(a, b) == 0;
}

/* What is to be freed at the end of the test. */
static struct {
	weir_store *handles[16];
	size_t handle_count;
	void **blocks;
	size_t block_count;
	struct weir_batch **batches;
	size_t batch_count;
} kept;

static void *
keep(void *block)
{
	void **grown = realloc(kept.blocks,
			       (kept.block_count + 1) * sizeof(*kept.blocks));

	REQUIRE(block && grown);
	kept.blocks = grown;
	kept.blocks[kept.block_count++] = block;
	return block;
}

static void
keep_batch(struct weir_batch *batch)
{
	struct weir_batch **grown =
		realloc(kept.batches,
			(kept.batch_count + 1) * sizeof(struct weir_batch *));

	REQUIRE(grown);
	kept.batches = grown;
	kept.batches[kept.batch_count++] = batch;
}

/* The text of buf, which is empty after that. */
static const char *
keep_text(struct weir_buf *buf)
{
	weir__buf_putc(buf, '\0');
	REQUIRE(!buf->failed);
	return keep(buf->data);
}

static weir_store *
keep_handle(weir_store *store)
{
	REQUIRE(store);
	REQUIRE(kept.handle_count < 16);
	kept.handles[kept.handle_count++] = store;
	return store;
}

void
queue_close(weir_store *store)
{
	for (size_t i = 0; i < kept.handle_count; i++)
		if (kept.handles[i] == store) {
			kept.handles[i] = kept.handles[--kept.handle_count];
			store->ops->close(store);
			return;
		}
	CHECK_MSG(false, "a handle that is not ours");
}

static void
close_all(void)
{
	while (kept.handle_count > 0)
		queue_close(kept.handles[kept.handle_count - 1]);
}

static void
give_back(struct weir_batch *batch)
{
	/* The last one takes the batch along. */
	for (size_t i = batch->count; i-- > 0;)
		weir__claim_free(&batch->claims[i]);
}

void
queue_forget(void)
{
	while (kept.batch_count > 0)
		give_back(kept.batches[--kept.batch_count]);
	while (kept.block_count > 0)
		free(kept.blocks[--kept.block_count]);
}

void
queue_run(queue_test_fn *test)
{
	queue_now_ms = T0;
	test(keep_handle(queue_stores.open()));
	close_all();
	queue_stores.wipe();
	queue_forget();
	free(kept.blocks);
	free(kept.batches);
}

weir_store *
queue_join(weir_store *store)
{
	return keep_handle(queue_stores.join(store));
}

void
queue_need_bells(void)
{
	if (queue_stores.polls && queue_stores.polls())
		SKIP("it asks, and hears no bells");
}

weir_store *
queue_reopen(void)
{
	close_all();
	if (!queue_stores.reopen)
		SKIP("this kind does not outlive its handles");
	return keep_handle(queue_stores.reopen());
}

struct weir_draft
queue_draft(const char *kind)
{
	struct weir_draft draft = {
		.state = WEIR_JOB_AVAILABLE,
		.priority = 1,
		.max_attempts = WEIR_MAX_ATTEMPTS,
		.created_at_ms = queue_now_ms,
		.scheduled_at_ms = queue_now_ms,
		.kind = kind,
		.kind_len = strlen(kind),
	};

	queue_draft_queue(&draft, "default");
	queue_draft_args(&draft, "{}");
	return draft;
}

void
queue_draft_queue(struct weir_draft *draft, const char *queue)
{
	draft->queue = queue;
	draft->queue_len = strlen(queue);
}

void
queue_draft_args(struct weir_draft *draft, const char *args)
{
	draft->args = args;
	draft->args_len = strlen(args);
}

void
queue_draft_at(struct weir_draft *draft, int64_t at_ms)
{
	draft->state = WEIR_JOB_SCHEDULED;
	draft->scheduled_at_ms = at_ms;
}

void
queue_draft_key(struct weir_draft *draft, unsigned char byte, uint32_t states)
{
	unsigned char *key = keep(malloc(32));

	memset(key, byte, 32);
	draft->unique_key = key;
	draft->unique_states = states;
}

weir_inserted
queue_insert(weir_store *store, const struct weir_draft *draft)
{
	weir_inserted ret = {0};
	weir_error error = {0};

	REQUIRE(store->ops->insert(store, draft, 1, &ret, NULL, &error) ==
		WEIR_OK);
	REQUIRE(ret.id > 0);
	return ret;
}

int64_t
queue_put_draft(weir_store *store, const struct weir_draft *draft)
{
	weir_inserted ret = queue_insert(store, draft);

	REQUIRE(!ret.duplicate);
	return ret.id;
}

int64_t
queue_put(weir_store *store, const char *kind)
{
	struct weir_draft draft = queue_draft(kind);

	return queue_put_draft(store, &draft);
}

weir_status
queue_try_enlist(weir_store *store, struct weir_owner *owner)
{
	weir_error error = {0};

	return store->ops->enlist(store, owner, &error);
}

static struct weir_owner *
enlist(weir_store *store, const char *name, bool alone)
{
	struct weir_owner *owner = keep(calloc(1, sizeof(*owner)));

	REQUIRE(strlen(name) < sizeof(owner->name));
	memcpy(owner->name, name, strlen(name));
	owner->alone = alone;
	REQUIRE(queue_try_enlist(store, owner) == WEIR_OK);
	REQUIRE(owner->id > 0);
	return owner;
}

struct weir_owner *
queue_enlist(weir_store *store, const char *name)
{
	return enlist(store, name, queue_alone);
}

struct weir_owner *
queue_enlist_alone(weir_store *store, const char *name)
{
	return enlist(store, name, true);
}

void
queue_leave(weir_store *store, struct weir_owner *owner)
{
	weir_error error = {0};

	REQUIRE(store->ops->leave(store, owner, &error) == WEIR_OK);
}

void
queue_bring(weir_store *store, struct weir_owner *owner, int64_t id,
	    weir_state state)
{
	static const enum weir_verdict verdicts[] = {
		[WEIR_JOB_COMPLETED] = WEIR_VERDICT_COMPLETE,
		[WEIR_JOB_CANCELLED] = WEIR_VERDICT_CANCEL,
		[WEIR_JOB_DISCARDED] = WEIR_VERDICT_DISCARD,
		[WEIR_JOB_RETRYABLE] = WEIR_VERDICT_RETRY,
		[WEIR_JOB_SCHEDULED] = WEIR_VERDICT_SNOOZE,
	};
	const struct weir_claim *claim;

	if (state == WEIR_JOB_AVAILABLE)
		return;
	REQUIRE(state != WEIR_JOB_PENDING);
	claim = queue_claim_one(store, owner, id);
	if (state != WEIR_JOB_RUNNING)
		queue_end_at(store, owner, claim, verdicts[state],
			     queue_now_ms + 60000);
}

int64_t
queue_put_in(weir_store *store, struct weir_owner *owner,
	     const struct weir_draft *draft, weir_state state)
{
	struct weir_draft copy = *draft;
	int64_t id;

	if (state == WEIR_JOB_PENDING)
		copy.state = state;
	id = queue_put_draft(store, &copy);
	if (state != WEIR_JOB_PENDING)
		queue_bring(store, owner, id, state);
	REQUIRE(queue_look(store, id)->state == state);
	return id;
}

weir_status
queue_try_turn(weir_store *store, struct weir_turn *turn)
{
	weir_error error = {0};
	weir_status status = store->ops->turn(store, turn, &error);

	if (status == WEIR_OK && turn->batch)
		keep_batch(turn->batch);
	return status;
}

void
queue_turn(weir_store *store, struct weir_turn *turn)
{
	REQUIRE(queue_try_turn(store, turn) == WEIR_OK);
}

struct weir_batch *
queue_claim(weir_store *store, struct weir_owner *owner, uint32_t count)
{
	struct weir_want want = {.queue = "default", .count = count};
	struct weir_turn turn = {
		.owner = owner, .wants = &want, .want_count = 1};

	queue_turn(store, &turn);
	return turn.batch;
}

const struct weir_claim *
queue_claim_one(weir_store *store, struct weir_owner *owner, int64_t id)
{
	bool suspect = queue_look(store, id)->crashes > 0;
	struct weir_want want = {
		.queue = "default", .count = 1, .alone = suspect};
	struct weir_turn turn = {
		.owner = owner, .wants = &want, .want_count = 1};

	queue_turn(store, &turn);
	REQUIRE(turn.batch && turn.batch->count == 1);
	CHECK_EQ_INT(turn.batch->claims[0].row.id, id);
	return &turn.batch->claims[0];
}

const struct weir_claim *
queue_start(weir_store *store, struct weir_owner *owner, const char *kind)
{
	return queue_claim_one(store, owner, queue_put(store, kind));
}

struct weir_finished
queue_finish(weir_store *store, struct weir_owner *owner,
	     const struct weir_finish *finish)
{
	struct weir_finished ret = {.status = WEIR_SYSTEM};
	struct weir_turn turn = {.owner = owner,
				 .finishes = finish,
				 .finish_count = 1,
				 .finished = &ret};

	queue_turn(store, &turn);
	CHECK(!turn.batch);
	return ret;
}

struct weir_finished
queue_end_at(weir_store *store, struct weir_owner *owner,
	     const struct weir_claim *claim, enum weir_verdict verdict,
	     int64_t at_ms)
{
	struct weir_finish finish = {
		.claim = claim, .verdict = verdict, .at_ms = at_ms};

	return queue_finish(store, owner, &finish);
}

struct weir_finished
queue_end(weir_store *store, struct weir_owner *owner,
	  const struct weir_claim *claim, enum weir_verdict verdict)
{
	return queue_end_at(store, owner, claim, verdict, queue_now_ms);
}

static const char *
keep_bytes(const char *text, size_t len)
{
	char *copy = keep(malloc(len + 1));

	CHECK(text[len] == '\0');
	memcpy(copy, text, len + 1);
	return copy;
}

static bool
keep_row(const weir_job_row *row, void *user)
{
	weir_job_row *ret = keep(malloc(sizeof(*ret)));

	*ret = *row;
	ret->queue = keep_bytes(row->queue, strlen(row->queue));
	ret->kind = keep_bytes(row->kind, strlen(row->kind));
	ret->attempted_by =
		keep_bytes(row->attempted_by, strlen(row->attempted_by));
	ret->args = keep_bytes(row->args, row->args_len);
	ret->metadata = keep_bytes(row->metadata, row->metadata_len);
	ret->tags = keep_bytes(row->tags, row->tags_len);
	ret->errors = keep_bytes(row->errors, row->errors_len);
	ret->output = keep_bytes(row->output, row->output_len);
	if (row->unique_key) {
		unsigned char *key = keep(malloc(32));

		memcpy(key, row->unique_key, 32);
		ret->unique_key = key;
	}
	*(const weir_job_row **)user = ret;
	return true;
}

static void
list(weir_store *store, const weir_job_filter *filter, weir_job_row_fn *row,
     void *user)
{
	weir_error error = {0};

	REQUIRE(store->ops->list(store, filter, row, user, &error) == WEIR_OK);
}

const weir_job_row *
queue_find(weir_store *store, int64_t id)
{
	weir_job_filter filter = WEIR_JOB_FILTER_INIT;
	const weir_job_row *row = NULL;

	filter.ids = &id;
	filter.id_count = 1;
	list(store, &filter, keep_row, &row);
	return row;
}

const weir_job_row *
queue_look(weir_store *store, int64_t id)
{
	const weir_job_row *row = queue_find(store, id);

	REQUIRE(row);
	return row;
}

static bool
dump_row(const weir_job_row *r, void *user)
{
	struct weir_buf *b = user;

	weir__buf_printf(b, "%lld %s p%u a%u/%u c%u u%x ", (long long)r->id,
			 weir_job_state_name(r->state), r->priority, r->attempt,
			 r->max_attempts, r->crashes, r->unique_states);
	weir__buf_printf(
		b, "%lld %lld %lld %lld %lld t%lld ",
		(long long)r->created_at_ms, (long long)r->scheduled_at_ms,
		(long long)r->attempted_at_ms, (long long)r->finalized_at_ms,
		(long long)r->cancel_at_ms, (long long)r->timeout_ns);
	weir__buf_printf(b, "%s %s %s %s %s %s %s %s", r->queue, r->kind,
			 r->attempted_by, r->args, r->metadata, r->tags,
			 r->errors, r->output);
	for (int i = 0; r->unique_key && i < 32; i++)
		weir__buf_printf(b, "%02x", r->unique_key[i]);
	weir__buf_putc(b, '\n');
	return true;
}

const char *
queue_dump(weir_store *store, int64_t id)
{
	weir_job_filter filter = WEIR_JOB_FILTER_INIT;
	struct weir_buf b = {0};

	if (id) {
		filter.ids = &id;
		filter.id_count = 1;
	}
	filter.oldest_first = true;
	list(store, &filter, dump_row, &b);
	return keep_text(&b);
}

static bool
add_id(const weir_job_row *row, void *user)
{
	struct weir_buf *b = user;

	weir__buf_printf(b, "%s%lld", b->len ? " " : "", (long long)row->id);
	return true;
}

const char *
queue_ids(weir_store *store, const weir_job_filter *filter)
{
	struct weir_buf b = {0};

	list(store, filter, add_id, &b);
	return keep_text(&b);
}

const char *
queue_batch_ids(const struct weir_batch *batch)
{
	struct weir_buf b = {0};

	for (size_t i = 0; batch && i < batch->count; i++)
		add_id(&batch->claims[i].row, &b);
	return keep_text(&b);
}

weir_job_changed
queue_change(weir_store *store, weir_job_action action, int64_t id)
{
	weir_job_changed ret = {.status = WEIR_SYSTEM};
	weir_error error = {0};

	REQUIRE(store->ops->change(store, action, &id, 1, &ret, NULL, &error) ==
		WEIR_OK);
	return ret;
}

uint32_t
queue_promote(weir_store *store)
{
	weir_error error = {0};
	uint32_t n = 0;
	int64_t next_ms;

	REQUIRE(store->ops->promote(store, 1000, &n, &next_ms, &error) ==
		WEIR_OK);
	return n;
}

uint32_t
queue_rescue(weir_store *store, int64_t client, int64_t beat)
{
	weir_error error = {0};
	uint32_t n = 0;

	REQUIRE(store->ops->rescue(store, client, beat, 3, 1000, &n, &error) ==
		WEIR_OK);
	return n;
}

struct beat_of {
	int64_t client, beat;
};

static bool
see_beat(const struct weir_client_row *row, void *user)
{
	struct beat_of *of = user;

	if (row->id == of->client)
		of->beat = row->beat;
	return true;
}

int64_t
queue_beat(weir_store *store, int64_t client)
{
	struct beat_of of = {.client = client, .beat = -1};
	weir_error error = {0};

	REQUIRE(store->ops->clients(store, see_beat, &of, &error) == WEIR_OK);
	return of.beat;
}

void
queue_kill(weir_store *store, const struct weir_owner *owner)
{
	int64_t beat = queue_beat(store, owner->id);

	REQUIRE(beat >= 0);
	queue_rescue(store, owner->id, beat);
	CHECK_EQ_INT(queue_beat(store, owner->id), -1);
}

static bool
is_readable(int fd, int timeout_ms)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	return poll(&p, 1, timeout_ms) == 1;
}

bool
queue_is_rung(int fd)
{
	return is_readable(fd, queue_stores.bell_ms);
}

/* Nobody says when the last one has come: most take a hundredth of that. */
bool
queue_is_quiet(int fd)
{
	return !is_readable(fd, queue_stores.bell_ms / 100);
}

void
queue_quieten(weir_store *store, int fd)
{
	store->ops->hush(store, fd);
	while (!queue_is_quiet(fd)) {
		CHECK(queue_stores.bell_ms > 0); /* else once is enough */
		store->ops->hush(store, fd);
	}
}
