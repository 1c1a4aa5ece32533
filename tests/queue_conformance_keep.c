/*
 * What every store must do: upkeep.
 */
#include "queue_conformance.h"

#include <jansson.h>

/*
 * Promoting.
 */
static weir_status
promote(weir_store *store, uint32_t limit, uint32_t *ret_count,
	int64_t *ret_next_ms)
{
	weir_error error = {0};

	return store->ops->promote(store, limit, ret_count, ret_next_ms,
				   &error);
}

STORE_TEST(promoting, makes_available_what_is_due_and_says_when_the_next_is)
{
	struct weir_owner *me = queue_enlist(store, "me");
	struct weir_draft draft = queue_draft("work");
	uint32_t n = 7;
	int64_t next_ms, retried;

	retried = queue_put(store, "work");
	queue_end_at(store, me, queue_claim_one(store, me, retried),
		     WEIR_VERDICT_RETRY, T0 + 2000);
	queue_draft_at(&draft, T0 + 1000);
	queue_put_draft(store, &draft);
	queue_draft_at(&draft, T0 + 3000);
	queue_put_draft(store, &draft);
	REQUIRE(promote(store, 9, &n, &next_ms) == WEIR_OK);
	CHECK_EQ_INT(n, 0);
	CHECK_EQ_INT(next_ms, T0 + 1000);
	queue_now_ms = T0 + 1999;
	REQUIRE(promote(store, 9, &n, &next_ms) == WEIR_OK);
	CHECK_EQ_INT(n, 1);
	CHECK_EQ_INT(next_ms, T0 + 2000);
	CHECK_STATE(store, retried, "retryable");
	queue_now_ms = T0 + 2000;
	REQUIRE(promote(store, 9, &n, &next_ms) == WEIR_OK);
	CHECK_EQ_INT(n, 1);
	CHECK_EQ_INT(next_ms, T0 + 3000);
	CHECK_STR(queue_batch_ids(queue_claim(store, me, 9)), "2 1");
	queue_now_ms = T0 + 5000;
	REQUIRE(promote(store, 9, &n, &next_ms) == WEIR_OK);
	CHECK_EQ_INT(n, 1);
	CHECK_EQ_INT(next_ms, INT64_MAX);
	CHECK_EQ_INT(queue_look(store, 3)->scheduled_at_ms, T0 + 3000);
}

STORE_TEST(promoting, does_at_most_so_many)
{
	struct weir_draft draft = queue_draft("work");
	weir_job_filter f = WEIR_JOB_FILTER_INIT;
	uint32_t n = 0;
	int64_t next_ms;

	queue_draft_at(&draft, T0);
	for (int i = 0; i < 5; i++)
		queue_put_draft(store, &draft);
	f.states = WEIR_JOB_STATE_BIT(WEIR_JOB_SCHEDULED);
	REQUIRE(promote(store, 3, &n, &next_ms) == WEIR_OK);
	CHECK_EQ_INT(n, 3);
	CHECK(next_ms <= T0);
	REQUIRE(promote(store, 3, &n, &next_ms) == WEIR_OK);
	CHECK_EQ_INT(n, 2);
	CHECK_EQ_INT(next_ms, INT64_MAX);
	CHECK_STR(queue_ids(store, &f), "");
}

STORE_TEST(promoting, leaves_all_but_scheduled_and_retryable_jobs_alone)
{
	struct weir_owner *me = queue_enlist(store, "me");
	const char *before;

	for (int i = 0; i < 8; i++) {
		struct weir_draft draft = queue_draft("work");

		if (i == WEIR_JOB_SCHEDULED || i == WEIR_JOB_RETRYABLE)
			continue;
		queue_put_in(store, me, &draft, (weir_state)i);
		queue_claim(store, me, 9);
	}
	queue_now_ms = T0 + 3600000;
	before = queue_dump(store, 0);
	CHECK_EQ_INT(queue_promote(store), 0);
	CHECK_STR(queue_dump(store, 0), before);
}

/* A mask without RETRYABLE: somebody else takes the key meanwhile. */
STORE_TEST(promoting, discards_what_has_lost_its_unique_key)
{
	struct weir_owner *me = queue_enlist(store, "me");
	struct weir_draft draft = queue_draft("unique");
	int64_t loser, holder, other;

	queue_draft_key(&draft, 1, WEIR_UNIQUE_STATES_REQUIRED);
	loser = queue_put_in(store, me, &draft, WEIR_JOB_RETRYABLE);
	holder = queue_put_draft(store, &draft);
	queue_draft_key(&draft, 2, WEIR_UNIQUE_STATES_REQUIRED);
	queue_claim(store, me, 9);
	other = queue_put_in(store, me, &draft, WEIR_JOB_RETRYABLE);
	queue_now_ms = T0 + 60000;
	CHECK_EQ_INT(queue_promote(store), 2);
	CHECK_STATE(store, loser, "discarded");
	CHECK_EQ_INT(queue_look(store, loser)->finalized_at_ms, T0 + 60000);
	CHECK_JSON(queue_look(store, loser)->metadata,
		   "{\"unique_key_conflict\":\"scheduler_discarded\"}");
	CHECK_STATE(store, holder, "running");
	CHECK_STATE(store, other, "available");
}

STORE_TEST(promoting, keeps_one_of_two_that_want_the_same_key)
{
	struct weir_owner *me = queue_enlist(store, "me");
	uint32_t mask = WEIR_UNIQUE_STATES_REQUIRED |
			WEIR_JOB_STATE_BIT(WEIR_JOB_DISCARDED);
	struct weir_draft draft = queue_draft("unique");
	int64_t first, second;

	queue_draft_key(&draft, 1, mask);
	first = queue_put_in(store, me, &draft, WEIR_JOB_RETRYABLE);
	queue_now_ms++;
	second = queue_put_in(store, me, &draft, WEIR_JOB_RETRYABLE);
	queue_now_ms += 60000;
	CHECK_EQ_INT(queue_promote(store), 2);
	CHECK_STATE(store, first, "available");
	CHECK_STATE(store, second, "discarded");
	CHECK_EQ_INT(queue_insert(store, &draft).id, first);
}

/* Of four that are due the first has lost its key; three are the limit. */
STORE_TEST(promoting, discards_nothing_else_when_there_is_more_than_it_may_do)
{
	struct weir_owner *me = queue_enlist(store, "me");
	struct weir_draft draft = queue_draft("unique");
	int64_t ids[4], next_ms;
	uint32_t n, all = 0;

	for (unsigned char i = 0; i < 4; i++) {
		queue_draft_key(&draft, i, WEIR_UNIQUE_STATES_REQUIRED);
		ids[i] = queue_put_in(store, me, &draft, WEIR_JOB_RETRYABLE);
		queue_now_ms++;
	}
	queue_draft_key(&draft, 0, WEIR_UNIQUE_STATES_REQUIRED);
	queue_put_draft(store, &draft);
	queue_now_ms += 60000;
	do {
		REQUIRE(promote(store, 3, &n, &next_ms) == WEIR_OK);
		CHECK(n <= 3);
		all += n;
	} while (n > 0);
	CHECK_EQ_INT(all, 4);
	CHECK_STATE(store, ids[0], "discarded");
	for (int i = 1; i < 4; i++)
		CHECK_STATE(store, ids[i], "available");
}

STORE_TEST(promoting, does_at_most_so_many_of_both_states)
{
	struct weir_owner *me = queue_enlist(store, "me");
	struct weir_draft draft = queue_draft("work");
	uint32_t n;
	int64_t next_ms;

	for (int i = 0; i < 3; i++) {
		queue_put_in(store, me, &draft, WEIR_JOB_RETRYABLE);
		queue_put_in(store, me, &draft, WEIR_JOB_SCHEDULED);
	}
	queue_now_ms += 60000;
	REQUIRE(promote(store, 4, &n, &next_ms) == WEIR_OK);
	CHECK_EQ_INT(n, 4);
	CHECK(next_ms <= queue_now_ms);
	REQUIRE(promote(store, 4, &n, &next_ms) == WEIR_OK);
	CHECK_EQ_INT(n, 2);
}

/*
 * Rescuing.
 */
static weir_status
rescue(weir_store *store, const struct weir_owner *owner, int64_t beat,
       uint32_t crashes_max, uint32_t limit, uint32_t *ret_count)
{
	weir_error error = {0};

	return store->ops->rescue(store, owner->id, beat, crashes_max, limit,
				  ret_count, &error);
}

/* Are errors an array of that many, the last of which names that client? */
static void
check_error(const weir_job_row *row, size_t count, const char *name)
{
	json_t *errors = json_loads(row->errors, 0, NULL);
	json_t *last = json_array_get(errors, count - 1);

	REQUIRE(errors);
	CHECK_EQ_INT(json_array_size(errors), count);
	CHECK(json_object_get(last, "at"));
	CHECK_EQ_INT(json_integer_value(json_object_get(last, "attempt")),
		     row->attempt);
	REQUIRE(json_string_value(json_object_get(last, "error")));
	CHECK_MSG(
		strstr(json_string_value(json_object_get(last, "error")), name),
		"%s", row->errors);
	json_decref(errors);
}

STORE_TEST(rescuing, makes_the_jobs_of_a_dead_client_available)
{
	weir_store *other = queue_join(store);
	struct weir_owner *dead = queue_enlist(store, "dead:17");
	struct weir_owner *live = queue_enlist(other, "live:18");
	int64_t mine = queue_start(store, dead, "work")->row.id;
	int64_t theirs = queue_start(other, live, "work")->row.id;
	const struct weir_claim *claim;
	const weir_job_row *row;

	queue_now_ms = T0 + 9000;
	CHECK_EQ_INT(queue_rescue(other, dead->id, queue_beat(other, dead->id)),
		     1);
	row = queue_look(other, mine);
	CHECK_EQ_INT(row->state, WEIR_JOB_AVAILABLE);
	CHECK_EQ_INT(row->crashes, 1);
	CHECK_EQ_INT(row->attempt, 1);
	CHECK_EQ_INT(row->finalized_at_ms, 0);
	CHECK(row->scheduled_at_ms <= queue_now_ms);
	check_error(row, 1, "dead:17");
	CHECK_STATE(other, theirs, "running");
	CHECK_EQ_INT(queue_beat(other, dead->id), -1);
	CHECK(queue_beat(other, live->id) >= 0);
	claim = queue_claim_one(other, live, mine);
	CHECK_EQ_INT(claim->row.attempt, 2);
	CHECK_EQ_INT(claim->row.crashes, 1);
	queue_end(other, live, claim, WEIR_VERDICT_COMPLETE);
	CHECK_EQ_INT(queue_look(other, mine)->crashes, 0);
}

STORE_TEST(rescuing, spares_a_client_whose_heart_has_beaten)
{
	struct weir_owner *me = queue_enlist(store, "me");
	int64_t seen = queue_beat(store, me->id);
	const struct weir_claim *claim = queue_start(store, me, "work");
	weir_error error = {0};
	const char *before = queue_dump(store, 0);

	REQUIRE(store->ops->extend(store, me, &error) == WEIR_OK);
	CHECK(queue_beat(store, me->id) > seen);
	CHECK_EQ_INT(queue_rescue(queue_join(store), me->id, seen), 0);
	CHECK_STR(queue_dump(store, 0), before);
	CHECK_EQ_INT(queue_end(store, me, claim, WEIR_VERDICT_COMPLETE).status,
		     WEIR_OK);
	REQUIRE(store->ops->extend(store, me, &error) == WEIR_OK);
}

STORE_TEST(rescuing, by_two_is_done_by_one)
{
	struct weir_owner *dead = queue_enlist(store, "dead");
	weir_store *one = queue_join(store), *two = queue_join(store);
	int64_t id = queue_start(store, dead, "work")->row.id;
	int64_t beat = queue_beat(one, dead->id);
	const char *before;

	CHECK_EQ_INT(queue_rescue(one, dead->id, beat), 1);
	before = queue_dump(one, 0);
	CHECK_EQ_INT(queue_rescue(two, dead->id, beat), 0);
	CHECK_STR(queue_dump(one, 0), before);
	CHECK_EQ_INT(queue_look(one, id)->crashes, 1);
}

/* River's issue 1302: an update by id alone brought back what had ended. */
STORE_TEST(rescuing, does_not_bring_back_a_job_that_has_ended)
{
	struct weir_owner *me = queue_enlist(store, "me");
	int64_t beat = queue_beat(store, me->id), id;
	const char *before;

	for (int i = 0; i < 8; i++) {
		struct weir_draft draft = queue_draft("work");

		if (i == WEIR_JOB_RUNNING)
			continue;
		id = queue_put_in(store, me, &draft, (weir_state)i);
		if (i == WEIR_JOB_AVAILABLE)
			queue_bring(store, me, id, WEIR_JOB_COMPLETED);
	}
	before = queue_dump(store, 0);
	CHECK_EQ_INT(queue_rescue(store, me->id, beat), 0);
	CHECK_STR(queue_dump(store, 0), before);
}

/* River's guard is the state alone: a late completion ends a newer attempt. */
STORE_TEST(rescuing, keeps_a_late_outcome_from_a_newer_attempt)
{
	weir_store *other = queue_join(store);
	struct weir_owner *slow = queue_enlist(store, "slow");
	struct weir_owner *next = queue_enlist(other, "next");
	const struct weir_claim *late = queue_start(store, slow, "work"), *now;

	queue_kill(other, slow);
	now = queue_claim_one(other, next, late->row.id);
	REQUIRE(queue_try_enlist(store, slow) == WEIR_OK);
	CHECK_EQ_INT(queue_end(store, slow, late, WEIR_VERDICT_COMPLETE).status,
		     WEIR_STALE);
	CHECK_EQ_INT(queue_end(store, slow, now, WEIR_VERDICT_COMPLETE).status,
		     WEIR_STALE);
	CHECK_STATE(other, late->row.id, "running");
	CHECK_EQ_INT(queue_end(other, next, now, WEIR_VERDICT_DISCARD).status,
		     WEIR_OK);
	CHECK_STATE(other, late->row.id, "discarded");
}

STORE_TEST(rescuing, discards_at_the_last_attempt)
{
	struct weir_owner *dead = queue_enlist(store, "dead:17");
	struct weir_draft draft = queue_draft("work");
	int64_t id;

	draft.max_attempts = 1;
	id = queue_put_in(store, dead, &draft, WEIR_JOB_RUNNING);
	queue_now_ms = T0 + 5;
	queue_kill(store, dead);
	CHECK_STATE(store, id, "discarded");
	CHECK_EQ_INT(queue_look(store, id)->finalized_at_ms, T0 + 5);
	CHECK_EQ_INT(queue_look(store, id)->crashes, 1);
	check_error(queue_look(store, id), 1, "dead:17");
}

STORE_TEST(rescuing, discards_as_poison_after_so_many_crashes)
{
	int64_t id = queue_put(store, "poison");
	uint32_t n;

	for (uint32_t i = 1; i <= 3; i++) {
		struct weir_owner *dead = queue_enlist(store, "dead:17");

		queue_claim_one(store, dead, id);
		REQUIRE(rescue(store, dead, queue_beat(store, dead->id), 3, 9,
			       &n) == WEIR_OK);
		CHECK_EQ_INT(n, 1);
		CHECK_STATE(store, id, i < 3 ? "available" : "discarded");
		CHECK_EQ_INT(queue_look(store, id)->crashes, i);
		check_error(queue_look(store, id), i, "dead:17");
	}
}

STORE_TEST(rescuing, cancels_what_somebody_wanted_cancelled)
{
	struct weir_owner *dead = queue_enlist(store, "dead");
	struct weir_draft draft = queue_draft("work");

	/* The second one is at its last attempt as well. */
	for (uint32_t i = 2; i >= 1; i--) {
		draft.max_attempts = i;
		queue_put_in(store, dead, &draft, WEIR_JOB_RUNNING);
	}
	for (int64_t id = 1; id <= 2; id++)
		queue_change(store, WEIR_JOB_CANCEL, id);
	queue_kill(store, dead);
	for (int64_t id = 1; id <= 2; id++) {
		CHECK_STATE(store, id, "cancelled");
		CHECK_EQ_INT(queue_look(store, id)->finalized_at_ms, T0);
	}
}

STORE_TEST(rescuing, does_at_most_so_many_and_comes_back_for_the_rest)
{
	struct weir_owner *dead = queue_enlist(store, "dead");
	int64_t beat = queue_beat(store, dead->id);
	weir_job_filter f = WEIR_JOB_FILTER_INIT;
	uint32_t n, all = 0;

	for (int i = 0; i < 5; i++)
		queue_put(store, "work");
	queue_claim(store, dead, 5);
	do {
		REQUIRE(rescue(store, dead, beat, 3, 2, &n) == WEIR_OK);
		CHECK(n <= 2);
		all += n;
	} while (n > 0);
	CHECK_EQ_INT(all, 5);
	CHECK_EQ_INT(queue_beat(store, dead->id), -1);
	f.states = WEIR_JOB_STATE_BIT(WEIR_JOB_AVAILABLE);
	f.oldest_first = true;
	CHECK_STR(queue_ids(store, &f), "1 2 3 4 5");
}

STORE_TEST(rescuing, forgets_a_client_without_jobs)
{
	struct weir_owner *idle = queue_enlist(store, "idle");

	CHECK_EQ_INT(queue_rescue(store, idle->id, queue_beat(store, idle->id)),
		     0);
	CHECK_EQ_INT(queue_beat(store, idle->id), -1);
	CHECK_EQ_INT(queue_rescue(store, 4711, 0), 0);
}

/*
 * Clients.
 */
static bool
see_client(const struct weir_client_row *row, void *user)
{
	weir__buf_printf(user, "%s%s;", row->name, row->gone ? " gone" : "");
	return true;
}

static void
check_clients(weir_store *store, const char *expected)
{
	struct weir_buf b = {0};
	weir_error error = {0};

	REQUIRE(store->ops->clients(store, see_client, &b, &error) == WEIR_OK);
	CHECK_STR(weir__buf_str(&b), expected);
	weir__buf_fini(&b);
}

STORE_TEST(clients, are_all_who_work_the_store)
{
	weir_store *other = queue_join(store);
	struct weir_owner *one, *two;
	int64_t last;

	check_clients(store, "");
	one = queue_enlist(store, "host:1");
	two = queue_enlist(other, "host:2");
	CHECK(one->id != two->id);
	check_clients(store, "host:1;host:2;");
	queue_leave(store, one);
	check_clients(other, "host:2;");
	last = two->id;
	queue_leave(other, two);
	check_clients(other, "");
	/* A name may come again, an id may not. */
	CHECK(queue_enlist(store, "host:2")->id > last);
}

static bool
see_holds(const struct weir_client_row *row, void *user)
{
	*(bool *)user = row->holds;
	return true;
}

/* Is the only client said to have jobs? */
static bool
holds(weir_store *store)
{
	weir_error error = {0};
	bool ret = false;

	REQUIRE(store->ops->clients(store, see_holds, &ret, &error) == WEIR_OK);
	return ret;
}

STORE_TEST(clients, need_beat_only_while_they_have_jobs)
{
	weir_store *other = queue_join(store);
	struct weir_owner *me = queue_enlist(store, "me");
	struct weir_batch *batch;

	CHECK(!holds(other));
	queue_put(store, "work");
	queue_put(store, "work");
	CHECK(!holds(other));
	batch = queue_claim(store, me, 2);
	CHECK(holds(other));
	queue_end(store, me, &batch->claims[0], WEIR_VERDICT_COMPLETE);
	CHECK(holds(other));
	queue_end(store, me, &batch->claims[1], WEIR_VERDICT_RELEASE);
	CHECK(!holds(other));
}

STORE_TEST(clients, give_back_what_they_have_when_they_leave)
{
	struct weir_owner *me = queue_enlist(store, "me");
	int64_t left = queue_start(store, me, "work")->row.id;
	int64_t cancelled = queue_start(store, me, "work")->row.id;

	queue_change(store, WEIR_JOB_CANCEL, cancelled);
	queue_now_ms = T0 + 5;
	queue_leave(store, me);
	CHECK_STATE(store, left, "available");
	CHECK_EQ_INT(queue_look(store, left)->attempt, 0);
	CHECK_EQ_INT(queue_look(store, left)->crashes, 0);
	CHECK_STR(queue_look(store, left)->errors, "");
	CHECK_STATE(store, cancelled, "cancelled");
	CHECK_EQ_INT(queue_look(store, cancelled)->finalized_at_ms, T0 + 5);
	me = queue_enlist(store, "me");
	CHECK_EQ_INT(queue_claim_one(store, me, left)->row.attempt, 1);
}

/*
 * Cleaning.
 */
static uint32_t
clean(weir_store *store, int64_t completed, int64_t cancelled,
      int64_t discarded, uint32_t limit)
{
	struct weir_retention keep;
	weir_error error = {0};
	uint32_t n = 4711;

	/* What is not over is not kept by any of these. */
	for (int i = 0; i < 8; i++)
		keep.keep_ms[i] = 0;
	keep.keep_ms[WEIR_JOB_COMPLETED] = completed;
	keep.keep_ms[WEIR_JOB_CANCELLED] = cancelled;
	keep.keep_ms[WEIR_JOB_DISCARDED] = discarded;
	REQUIRE(store->ops->clean(store, &keep, limit, &n, &error) == WEIR_OK);
	return n;
}

STORE_TEST(cleaning, deletes_what_was_kept_long_enough_in_its_state)
{
	struct weir_owner *me = queue_enlist(store, "me");
	weir_job_filter all = WEIR_JOB_FILTER_INIT;

	all.oldest_first = true;
	for (int i = 0; i < 8; i++) {
		struct weir_draft draft = queue_draft("work");

		queue_put_in(store, me, &draft, (weir_state)i);
		if (i == WEIR_JOB_AVAILABLE)
			queue_claim(store, me, 1);
	}
	/* 2: cancelled, 3: completed, 4: discarded. */
	queue_now_ms = T0 + 1999;
	CHECK_EQ_INT(clean(store, 2000, 3000, 4000, 99), 0);
	queue_now_ms = T0 + 2001;
	CHECK_EQ_INT(clean(store, 2000, 3000, 4000, 99), 1);
	CHECK_STR(queue_ids(store, &all), "1 2 4 5 6 7 8");
	queue_now_ms = T0 + 3001;
	CHECK_EQ_INT(clean(store, 2000, 3000, 4000, 99), 1);
	CHECK_STR(queue_ids(store, &all), "1 4 5 6 7 8");
	queue_now_ms = T0 + 4001;
	CHECK_EQ_INT(clean(store, 2000, 3000, 4000, 99), 1);
	CHECK_STR(queue_ids(store, &all), "1 5 6 7 8");
	queue_now_ms = T0 + INT64_C(1000) * 86400 * 365;
	CHECK_EQ_INT(clean(store, 0, 0, 0, 99), 0);
}

STORE_TEST(cleaning, keeps_for_ever_what_is_to_be_kept_for_ever)
{
	struct weir_owner *me = queue_enlist(store, "me");
	static const weir_state states[] = {
		WEIR_JOB_CANCELLED, WEIR_JOB_COMPLETED, WEIR_JOB_DISCARDED};
	const char *before;

	for (size_t i = 0; i < queue_count(states); i++) {
		struct weir_draft draft = queue_draft("work");

		queue_put_in(store, me, &draft, states[i]);
	}
	before = queue_dump(store, 0);
	queue_now_ms = T0 + INT64_C(1000) * 86400 * 365 * 100;
	CHECK_EQ_INT(clean(store, -1, -1, -1, 99), 0);
	CHECK_STR(queue_dump(store, 0), before);
	CHECK_EQ_INT(clean(store, 0, -1, -1, 99), 1);
	CHECK_STATE(store, 1, "cancelled");
	CHECK(!queue_find(store, 2));
	CHECK_STATE(store, 3, "discarded");
}

STORE_TEST(cleaning, does_at_most_so_many)
{
	struct weir_owner *me = queue_enlist(store, "me");
	struct weir_draft draft = queue_draft("work");

	for (int i = 0; i < 5; i++)
		queue_put_in(store, me, &draft,
			     i % 2 ? WEIR_JOB_COMPLETED : WEIR_JOB_DISCARDED);
	queue_now_ms += 1;
	CHECK_EQ_INT(clean(store, 0, 0, 0, 3), 3);
	CHECK_EQ_INT(clean(store, 0, 0, 0, 3), 2);
	CHECK_EQ_INT(clean(store, 0, 0, 0, 3), 0);
	CHECK_STR(queue_dump(store, 0), "");
}

/*
 * Waking.
 */
static bool
heard(weir_store *store, int fd)
{
	bool is_rung = queue_is_rung(fd);

	queue_quieten(store, fd);
	return is_rung;
}

STORE_TEST(bells, ring_when_somebody_has_made_jobs_available)
{
	weir_store *other = queue_join(store);
	struct weir_owner *me = queue_enlist(store, "me");
	int fd = store->ops->wake_fd(store);
	struct weir_draft draft = queue_draft("work");
	const struct weir_claim *claim;
	weir_error error = {0};
	int64_t id;

	queue_need_bells();
	REQUIRE(fd >= 0);
	queue_quieten(store, fd);
	id = queue_put(other, "work");
	CHECK(heard(store, fd));
	claim = queue_claim_one(store, me, id);
	queue_end(store, me, claim, WEIR_VERDICT_DISCARD);
	queue_quieten(store, fd);
	queue_change(other, WEIR_JOB_RETRY, id);
	CHECK(heard(store, fd));
	queue_draft_at(&draft, T0 + 5);
	queue_put_draft(other, &draft);
	queue_quieten(store, fd);
	queue_now_ms = T0 + 5;
	CHECK_EQ_INT(queue_promote(other), 1);
	CHECK(heard(store, fd));
	REQUIRE(other->ops->queue_set(other, "default", 1, -1, &error) ==
		WEIR_OK);
	queue_quieten(store, fd);
	REQUIRE(other->ops->queue_set(other, "default", 0, -1, &error) ==
		WEIR_OK);
	CHECK(heard(store, fd));
}

STORE_TEST(bells, ring_when_jobs_come_back)
{
	weir_store *other = queue_join(store);
	struct weir_owner *me = queue_enlist(store, "me");
	struct weir_owner *you = queue_enlist(other, "you");
	int fd = store->ops->wake_fd(store);
	int64_t id = queue_start(other, you, "work")->row.id;

	queue_need_bells();
	queue_quieten(store, fd);
	queue_leave(other, you);
	CHECK(heard(store, fd));
	you = queue_enlist(other, "you");
	queue_end(other, you, queue_claim_one(other, you, id),
		  WEIR_VERDICT_RELEASE);
	CHECK(heard(store, fd));
	queue_claim_one(other, you, id);
	queue_quieten(store, fd);
	queue_kill(other, you);
	CHECK(heard(store, fd));
	queue_claim_one(store, me, id);
}

STORE_TEST(bells, ring_when_somebody_wants_a_running_job_cancelled)
{
	weir_store *other = queue_join(store);
	struct weir_owner *me = queue_enlist(store, "me");
	int fd = store->ops->wake_fd(store);
	int64_t id = queue_start(store, me, "work")->row.id;

	queue_need_bells();
	queue_quieten(store, fd);
	queue_change(other, WEIR_JOB_CANCEL, id);
	CHECK(heard(store, fd));
}

STORE_TEST(bells, are_quiet_while_jobs_only_end)
{
	struct weir_owner *me = queue_enlist(store, "me");
	int fd = store->ops->wake_fd(store);
	int other_fd = store->ops->wake_fd(store);
	weir_error error = {0};
	struct weir_batch *batch;

	queue_need_bells();
	for (int i = 0; i < 3; i++)
		queue_put(store, "work");
	queue_quieten(store, fd);
	CHECK(heard(store, other_fd));
	batch = queue_claim(store, me, 3);
	queue_end(store, me, &batch->claims[0], WEIR_VERDICT_COMPLETE);
	queue_end(store, me, &batch->claims[1], WEIR_VERDICT_DISCARD);
	queue_end(store, me, &batch->claims[2], WEIR_VERDICT_CANCEL);
	REQUIRE(store->ops->extend(store, me, &error) == WEIR_OK);
	CHECK_EQ_INT(queue_promote(store), 0);
	CHECK_EQ_INT(clean(store, -1, -1, -1, 9), 0);
	queue_dump(store, 0);
	CHECK(queue_is_quiet(fd));
	CHECK(queue_is_quiet(other_fd));
}

STORE_TEST(bells, all_ring_when_they_are_told_to)
{
	weir_store *other = queue_join(store);
	int mine = store->ops->wake_fd(store);
	int theirs = other->ops->wake_fd(other);

	queue_need_bells();
	queue_quieten(store, mine);
	queue_quieten(other, theirs);
	store->ops->wake(store);
	CHECK(heard(store, mine));
	CHECK(heard(other, theirs));
}
