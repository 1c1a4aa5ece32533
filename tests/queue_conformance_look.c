/*
 * What every store must do: lists, queues, and what people do to jobs.
 */
#include "queue_conformance.h"

#include <stdio.h>

/* Six jobs, of three queues and two kinds, a second apart. */
static void
put_six(weir_store *store, int64_t ids[6])
{
	static const char *const queues[] = {"aa", "aa", "bb",
					     "bb", "cc", "cc"};
	static const char *const tags[] = {
		"[\"red\",\"a_c\"]", "[\"redder\"]",    "[\"abc\"]",
		"[\"x\",\"red\"]",   "[\"a_c\",\"z\"]", NULL};

	for (int i = 0; i < 6; i++) {
		struct weir_draft draft =
			queue_draft(i % 2 == 0 ? "even" : "odd");

		queue_draft_queue(&draft, queues[i]);
		draft.tags = tags[i];
		draft.tags_len = tags[i] ? strlen(tags[i]) : 0;
		draft.state = i == 5 ? WEIR_JOB_PENDING : WEIR_JOB_AVAILABLE;
		ids[i] = queue_put_draft(store, &draft);
		queue_now_ms += 1000;
	}
}

/* Are these the ones of ids, "531" for the 5th, 3rd and 1st? */
static void
check_list(weir_store *store, const weir_job_filter *filter,
	   const int64_t ids[6], const char *expected)
{
	char text[200] = "";
	size_t len = 0;

	for (const char *c = expected; *c; c++)
		len += (size_t)snprintf(text + len, sizeof(text) - len,
					"%s%lld", len ? " " : "",
					(long long)ids[*c - '1']);
	CHECK_STR(queue_ids(store, filter), text);
}

STORE_TEST(lists, give_the_newest_first_or_the_oldest)
{
	weir_job_filter f = WEIR_JOB_FILTER_INIT;
	int64_t ids[6];

	put_six(store, ids);
	check_list(store, &f, ids, "654321");
	f.oldest_first = true;
	check_list(store, &f, ids, "123456");
	f.limit = 2;
	check_list(store, &f, ids, "12");
	f.oldest_first = false;
	check_list(store, &f, ids, "65");
	f.limit = 6;
	check_list(store, &f, ids, "654321");
}

STORE_TEST(lists, give_what_every_filter_lets_through)
{
	weir_job_filter f[12];
	int64_t ids[6], some[4];

	for (int i = 0; i < 12; i++)
		f[i] = (weir_job_filter)WEIR_JOB_FILTER_INIT;
	put_six(store, ids);
	f[0].states = WEIR_JOB_STATE_BIT(WEIR_JOB_PENDING);
	check_list(store, &f[0], ids, "6");
	f[1].states = WEIR_JOB_STATE_BIT(WEIR_JOB_PENDING) |
		      WEIR_JOB_STATE_BIT(WEIR_JOB_AVAILABLE);
	check_list(store, &f[1], ids, "654321");
	f[2].states = WEIR_JOB_STATES_FINAL;
	check_list(store, &f[2], ids, "");
	f[3].queue = "bb";
	check_list(store, &f[3], ids, "43");
	f[4].kind = "odd";
	check_list(store, &f[4], ids, "642");
	f[5].since_ms = T0 + 3000;
	check_list(store, &f[5], ids, "654");
	f[6].before_id = ids[3];
	check_list(store, &f[6], ids, "321");
	f[7].after_id = ids[3];
	check_list(store, &f[7], ids, "65");
	some[0] = ids[4];
	some[1] = ids[0];
	some[2] = ids[5] + 1000;
	some[3] = ids[2];
	f[8].ids = some;
	f[8].id_count = 4;
	check_list(store, &f[8], ids, "531");
	f[9] = f[8];
	f[9].queue = "aa";
	check_list(store, &f[9], ids, "1");
	f[10].kind = "even";
	f[10].queue = "cc";
	f[10].states = WEIR_JOB_STATE_BIT(WEIR_JOB_AVAILABLE);
	f[10].since_ms = T0 + 1;
	check_list(store, &f[10], ids, "5");
	f[11].queue = "a";
	check_list(store, &f[11], ids, "");
}

STORE_TEST(lists, know_a_tag_from_a_longer_one_and_from_a_pattern)
{
	weir_job_filter f = WEIR_JOB_FILTER_INIT;
	int64_t ids[6];

	put_six(store, ids);
	f.tag = "red";
	check_list(store, &f, ids, "41");
	f.tag = "a_c";
	check_list(store, &f, ids, "51");
	f.tag = "edd";
	check_list(store, &f, ids, "");
	f.tag = "abc";
	check_list(store, &f, ids, "3");
}

STORE_TEST(lists, come_in_pages)
{
	weir_job_filter f = WEIR_JOB_FILTER_INIT;
	int64_t ids[6];

	put_six(store, ids);
	f.limit = 2;
	f.before_id = ids[4];
	check_list(store, &f, ids, "43");
	f.before_id = ids[2];
	check_list(store, &f, ids, "21");
	f.before_id = ids[0];
	check_list(store, &f, ids, "");
	f.before_id = 0;
	f.oldest_first = true;
	f.after_id = ids[1];
	check_list(store, &f, ids, "34");
	f.before_id = ids[3];
	check_list(store, &f, ids, "3");
}

static bool
stop_at_two(const weir_job_row *row, void *user)
{
	(void)row;
	return ++*(int *)user < 2;
}

STORE_TEST(lists, stop_when_they_are_told_to)
{
	weir_job_filter f = WEIR_JOB_FILTER_INIT;
	weir_error error = {0};
	int64_t ids[6];
	int rows = 0;

	put_six(store, ids);
	REQUIRE(store->ops->list(store, &f, stop_at_two, &rows, &error) ==
		WEIR_OK);
	CHECK_EQ_INT(rows, 2);
	check_list(store, &f, ids, "654321");
}

/*
 * Queues.
 */
static bool
write_queue(const weir_queue_row *row, void *user)
{
	struct weir_buf *b = user;

	weir__buf_printf(b, "%s", row->name);
	if (row->paused_at_ms)
		weir__buf_printf(b, " paused@%lld",
				 (long long)(row->paused_at_ms - T0));
	if (row->finished != WEIR_FINISHED_KEEP)
		weir__buf_printf(b, " policy%d", (int)row->finished);
	for (int i = 0; i < 8; i++)
		if (row->counts[i])
			weir__buf_printf(b, " %s=%llu",
					 weir_job_state_name((weir_state)i),
					 (unsigned long long)row->counts[i]);
	weir__buf_putc(b, ';');
	return true;
}

static void
check_queues(weir_store *store, const char *expected)
{
	struct weir_buf b = {0};
	weir_error error = {0};

	REQUIRE(store->ops->queues(store, write_queue, &b, &error) == WEIR_OK);
	CHECK_STR(weir__buf_str(&b), expected);
	weir__buf_fini(&b);
}

static weir_status
queue_set(weir_store *store, const char *queue, int pause, int finished)
{
	weir_error error = {0};

	return store->ops->queue_set(store, queue, pause, finished, &error);
}

STORE_TEST(queues, are_there_by_name_with_counts_once_they_had_a_job)
{
	struct weir_owner *me = queue_enlist(store, "me");
	struct weir_draft other = queue_draft("work");
	int64_t id;

	check_queues(store, "");
	queue_draft_queue(&other, "aaa");
	id = queue_put_draft(store, &other);
	for (int i = 0; i < 8; i++) {
		struct weir_draft draft = queue_draft("work");

		queue_put_in(store, me, &draft, (weir_state)i);
		if (i == WEIR_JOB_AVAILABLE)
			queue_claim(store, me, 1);
	}
	queue_put(store, "work");
	check_queues(store, "aaa available=1;default available=1 cancelled=1 "
			    "completed=1 discarded=1 pending=1 retryable=1 "
			    "running=2 scheduled=1;");
	queue_change(store, WEIR_JOB_DELETE, id);
	CHECK_EQ_INT(queue_set(store, "aaa", 1, -1), WEIR_OK);
}

STORE_TEST(queues, that_are_paused_are_not_claimed_and_run_on)
{
	struct weir_owner *me = queue_enlist(store, "me");
	const struct weir_claim *running = queue_start(store, me, "work");
	int64_t id = queue_put(store, "work");

	CHECK_EQ_INT(queue_set(store, "default", 1, -1), WEIR_OK);
	CHECK(!queue_claim(store, me, 5));
	CHECK_EQ_INT(queue_put(store, "work"), id + 1);
	CHECK(!queue_claim(store, me, 5));
	CHECK_EQ_INT(queue_end(store, me, running, WEIR_VERDICT_COMPLETE).state,
		     WEIR_JOB_COMPLETED);
	CHECK_EQ_INT(queue_set(store, "default", 0, -1), WEIR_OK);
	queue_claim_one(store, me, id);
}

STORE_TEST(queues, say_since_when_they_are_paused)
{
	queue_put(store, "work");
	queue_now_ms = T0 + 7;
	CHECK_EQ_INT(queue_set(store, "default", 1, -1), WEIR_OK);
	queue_now_ms = T0 + 9;
	CHECK_EQ_INT(queue_set(store, "default", 1, -1), WEIR_OK);
	check_queues(store, "default paused@7 available=1;");
	CHECK_EQ_INT(queue_set(store, "default", 0, -1), WEIR_OK);
	check_queues(store, "default available=1;");
}

STORE_TEST(queues, are_paused_all_at_once_by_a_star)
{
	struct weir_owner *me = queue_enlist(store, "me");
	struct weir_draft other = queue_draft("work");

	queue_put(store, "work");
	queue_draft_queue(&other, "other");
	queue_put_draft(store, &other);
	CHECK_EQ_INT(queue_set(store, "*", 1, -1), WEIR_OK);
	check_queues(store, "default paused@0 available=1;"
			    "other paused@0 available=1;");
	CHECK(!queue_claim(store, me, 5));
	CHECK_EQ_INT(queue_set(store, "*", 0, -1), WEIR_OK);
	check_queues(store, "default available=1;other available=1;");
	CHECK(queue_claim(store, me, 5));
}

STORE_TEST(queues, that_are_not_there_cannot_be_paused)
{
	CHECK_EQ_INT(queue_set(store, "nowhere", 1, -1), WEIR_NOTFOUND);
	CHECK_EQ_INT(queue_set(store, "nowhere", 0, -1), WEIR_NOTFOUND);
	check_queues(store, "");
}

STORE_TEST(queues, are_made_by_saying_what_becomes_of_their_jobs)
{
	CHECK_EQ_INT(queue_set(store, "later", -1, WEIR_FINISHED_DROP),
		     WEIR_OK);
	check_queues(store, "later policy2;");
	CHECK_EQ_INT(queue_set(store, "later", 1, -1), WEIR_OK);
	check_queues(store, "later paused@0 policy2;");
	CHECK_EQ_INT(queue_set(store, "later", -1, WEIR_FINISHED_KEEP),
		     WEIR_OK);
	check_queues(store, "later paused@0;");
}

/* What was completed: kept, or to be seen no more. */
static void
check_policy(weir_store *store, struct weir_owner *me,
	     weir_finished_policy policy)
{
	struct weir_draft draft = queue_draft("work");
	const struct weir_claim *claim;
	int64_t id;

	queue_draft_key(&draft, (unsigned char)policy,
			WEIR_UNIQUE_STATES_DEFAULT);
	CHECK_EQ_INT(queue_set(store, "default", -1, (int)policy), WEIR_OK);
	id = queue_put_draft(store, &draft);
	claim = queue_claim_one(store, me, id);
	CHECK_EQ_INT(queue_end(store, me, claim, WEIR_VERDICT_COMPLETE).state,
		     WEIR_JOB_COMPLETED);
	CHECK((queue_find(store, id) != NULL) ==
	      (policy == WEIR_FINISHED_KEEP));
	CHECK_EQ_INT(queue_end(store, me, claim, WEIR_VERDICT_COMPLETE).status,
		     WEIR_STALE);
	CHECK(queue_insert(store, &draft).duplicate ==
	      (policy == WEIR_FINISHED_KEEP));
	while (queue_claim(store, me, 1))
		;
}

STORE_TEST(queues, keep_archive_or_drop_what_was_completed)
{
	struct weir_owner *me = queue_enlist(store, "me");

	check_policy(store, me, WEIR_FINISHED_KEEP);
	check_policy(store, me, WEIR_FINISHED_ARCHIVE);
	check_policy(store, me, WEIR_FINISHED_DROP);
}

STORE_TEST(queues, keep_what_was_discarded_or_cancelled_whatever_their_policy)
{
	struct weir_owner *me = queue_enlist(store, "me");
	int64_t discarded, cancelled;

	CHECK_EQ_INT(queue_set(store, "default", -1, WEIR_FINISHED_DROP),
		     WEIR_OK);
	discarded = queue_put(store, "work");
	queue_bring(store, me, discarded, WEIR_JOB_DISCARDED);
	cancelled = queue_put(store, "work");
	queue_bring(store, me, cancelled, WEIR_JOB_CANCELLED);
	CHECK_STATE(store, discarded, "discarded");
	CHECK_STATE(store, cancelled, "cancelled");
}

/*
 * Cancel, retry, delete.
 */

/* What comes of it in each state, and the state that it is in after it. */
struct outcome {
	weir_status status;
	const char *state; /* NULL: as it was */
};

static void
check_outcomes(weir_store *store, weir_job_action action,
	       const struct outcome outcomes[8])
{
	struct weir_owner *me = queue_enlist(store, "me");

	for (int i = 0; i < 8; i++) {
		struct weir_draft draft = queue_draft("work");
		weir_state state = (weir_state)i;
		int64_t id = queue_put_in(store, me, &draft, state);
		const char *before = queue_dump(store, id);
		weir_job_changed changed = queue_change(store, action, id);
		const weir_job_row *row = queue_find(store, id);

		CHECK_MSG(changed.status == outcomes[i].status, "%s: %d",
			  weir_job_state_name(state), (int)changed.status);
		CHECK_STR(weir_job_state_name(changed.state),
			  outcomes[i].state ? outcomes[i].state
					    : weir_job_state_name(state));
		if (!outcomes[i].state && changed.status != WEIR_OK)
			CHECK_STR(queue_dump(store, id), before);
		if (row)
			CHECK_EQ_INT(row->state, changed.state);
		CHECK(row ||
		      (action == WEIR_JOB_DELETE && changed.status == WEIR_OK));
		/* Out of the way of the next one. */
		while (queue_claim(store, me, 10))
			;
	}
}

STORE_TEST(changes, cancel_what_waits_and_tell_what_runs)
{
	static const struct outcome outcomes[8] = {
		[WEIR_JOB_AVAILABLE] = {WEIR_OK, "cancelled"},
		[WEIR_JOB_CANCELLED] = {WEIR_CLOSED, NULL},
		[WEIR_JOB_COMPLETED] = {WEIR_CLOSED, NULL},
		[WEIR_JOB_DISCARDED] = {WEIR_CLOSED, NULL},
		[WEIR_JOB_PENDING] = {WEIR_OK, "cancelled"},
		[WEIR_JOB_RETRYABLE] = {WEIR_OK, "cancelled"},
		[WEIR_JOB_RUNNING] = {WEIR_OK, "running"},
		[WEIR_JOB_SCHEDULED] = {WEIR_OK, "cancelled"},
	};

	check_outcomes(store, WEIR_JOB_CANCEL, outcomes);
}

STORE_TEST(changes, retry_whatever_does_not_run)
{
	static const struct outcome outcomes[8] = {
		[WEIR_JOB_AVAILABLE] = {WEIR_CLOSED, NULL},
		[WEIR_JOB_CANCELLED] = {WEIR_OK, "available"},
		[WEIR_JOB_COMPLETED] = {WEIR_OK, "available"},
		[WEIR_JOB_DISCARDED] = {WEIR_OK, "available"},
		[WEIR_JOB_PENDING] = {WEIR_OK, "available"},
		[WEIR_JOB_RETRYABLE] = {WEIR_OK, "available"},
		[WEIR_JOB_RUNNING] = {WEIR_BUSY, NULL},
		[WEIR_JOB_SCHEDULED] = {WEIR_OK, "available"},
	};

	check_outcomes(store, WEIR_JOB_RETRY, outcomes);
}

STORE_TEST(changes, delete_whatever_does_not_run)
{
	static const struct outcome outcomes[8] = {
		[WEIR_JOB_RUNNING] = {WEIR_BUSY, NULL},
	};

	check_outcomes(store, WEIR_JOB_DELETE, outcomes);
}

STORE_TEST(changes, note_when_a_job_was_cancelled)
{
	struct weir_owner *me = queue_enlist(store, "me");
	const struct weir_claim *running = queue_start(store, me, "work");
	int64_t waiting = queue_put(store, "work");

	queue_now_ms = T0 + 5;
	queue_change(store, WEIR_JOB_CANCEL, waiting);
	CHECK_EQ_INT(queue_look(store, waiting)->finalized_at_ms, T0 + 5);
	CHECK_EQ_INT(queue_look(store, waiting)->cancel_at_ms, T0 + 5);
	queue_change(store, WEIR_JOB_CANCEL, running->row.id);
	CHECK_EQ_INT(queue_look(store, running->row.id)->cancel_at_ms, T0 + 5);
	CHECK_EQ_INT(queue_look(store, running->row.id)->finalized_at_ms, 0);
	CHECK_EQ_INT(
		queue_change(store, WEIR_JOB_CANCEL, running->row.id).status,
		WEIR_OK);
}

STORE_TEST(changes, find_no_job_that_is_not_there)
{
	const char *before;

	queue_put(store, "work");
	before = queue_dump(store, 0);
	CHECK_EQ_INT(queue_change(store, WEIR_JOB_CANCEL, 4711).status,
		     WEIR_NOTFOUND);
	CHECK_EQ_INT(queue_change(store, WEIR_JOB_RETRY, 4711).status,
		     WEIR_NOTFOUND);
	CHECK_EQ_INT(queue_change(store, WEIR_JOB_DELETE, 4711).status,
		     WEIR_NOTFOUND);
	CHECK_STR(queue_dump(store, 0), before);
}

STORE_TEST(changes, of_many_jobs_are_made_one_after_the_other)
{
	int64_t a = queue_put(store, "work"), b = queue_put(store, "work");
	int64_t ids[5] = {b, 4711, a, b, a};
	weir_job_changed rets[5];
	weir_error error = {0};

	REQUIRE(store->ops->change(store, WEIR_JOB_DELETE, ids, 5, rets, NULL,
				   &error) == WEIR_OK);
	CHECK_EQ_INT(rets[0].status, WEIR_OK);
	CHECK_EQ_INT(rets[1].status, WEIR_NOTFOUND);
	CHECK_EQ_INT(rets[2].status, WEIR_OK);
	CHECK_EQ_INT(rets[3].status, WEIR_NOTFOUND);
	CHECK_EQ_INT(rets[4].status, WEIR_NOTFOUND);
	CHECK_STR(queue_dump(store, 0), "");
	a = queue_put(store, "work");
	REQUIRE(store->ops->change(store, WEIR_JOB_CANCEL, &a, 1, NULL, NULL,
				   &error) == WEIR_OK);
	CHECK_STATE(store, a, "cancelled");
}

STORE_TEST(changes, that_were_cancelled_before_they_began_change_nothing)
{
	int64_t id = queue_put(store, "work");
	weir_job_changed ret;
	weir_error error = {0};
	weir_ctx *ctx = NULL;

	REQUIRE(weir_ctx_new(&ctx, NULL, WEIR_FOREVER) == WEIR_OK);
	weir_ctx_cancel(ctx);
	CHECK_EQ_INT(store->ops->change(store, WEIR_JOB_CANCEL, &id, 1, &ret,
					ctx, &error),
		     WEIR_CANCELED);
	CHECK_STATE(store, id, "available");
	weir_ctx_unref(ctx);
}

STORE_TEST(changes, that_retry_give_one_more_attempt_if_all_were_used_up)
{
	struct weir_owner *me = queue_enlist(store, "me");
	struct weir_draft draft = queue_draft("work");
	int64_t used_up, left;

	draft.max_attempts = 1;
	used_up = queue_put_in(store, me, &draft, WEIR_JOB_DISCARDED);
	draft.max_attempts = 5;
	left = queue_put_in(store, me, &draft, WEIR_JOB_DISCARDED);
	queue_change(store, WEIR_JOB_RETRY, used_up);
	queue_change(store, WEIR_JOB_RETRY, left);
	CHECK_EQ_INT(queue_look(store, used_up)->max_attempts, 2);
	CHECK_EQ_INT(queue_look(store, left)->max_attempts, 5);
	CHECK_EQ_INT(queue_look(store, used_up)->attempt, 1);
	queue_bring(store, me, used_up, WEIR_JOB_DISCARDED);
	queue_change(store, WEIR_JOB_RETRY, used_up);
	CHECK_EQ_INT(queue_look(store, used_up)->max_attempts, 3);
}

STORE_TEST(changes, that_retry_make_a_job_as_if_it_had_just_been_inserted)
{
	struct weir_owner *me = queue_enlist(store, "me");
	const struct weir_claim *claim = queue_start(store, me, "work");
	const weir_job_row *row;

	queue_change(store, WEIR_JOB_CANCEL, claim->row.id);
	queue_end(store, me, claim, WEIR_VERDICT_CANCEL);
	queue_now_ms = T0 + 5;
	queue_change(store, WEIR_JOB_RETRY, claim->row.id);
	row = queue_look(store, claim->row.id);
	CHECK_EQ_INT(row->finalized_at_ms, 0);
	CHECK_EQ_INT(row->cancel_at_ms, 0);
	CHECK_EQ_INT(row->scheduled_at_ms, T0 + 5);
	CHECK_EQ_INT(row->attempt, 1);
	claim = queue_claim_one(store, me, row->id);
	CHECK_EQ_INT(claim->row.attempt, 2);
	/* It is not cancelled any more. */
	CHECK_EQ_INT(queue_end_at(store, me, claim, WEIR_VERDICT_RETRY, T0 + 99)
			     .state,
		     WEIR_JOB_RETRYABLE);
}

STORE_TEST(changes, that_retry_make_what_is_available_but_not_due_so)
{
	struct weir_owner *me = queue_enlist(store, "me");
	struct weir_draft draft = queue_draft("work");
	int64_t id;

	draft.scheduled_at_ms = T0 + 5000;
	id = queue_put_draft(store, &draft);
	CHECK(!queue_claim(store, me, 1));
	CHECK_EQ_INT(queue_change(store, WEIR_JOB_RETRY, id).status, WEIR_OK);
	queue_claim_one(store, me, id);
}

STORE_TEST(changes, that_retry_do_not_touch_a_job_whose_key_is_taken)
{
	struct weir_owner *me = queue_enlist(store, "me");
	struct weir_draft draft = queue_draft("unique");
	int64_t id, holder;
	const char *before;

	queue_draft_key(&draft, 1, WEIR_UNIQUE_STATES_DEFAULT);
	id = queue_put_in(store, me, &draft, WEIR_JOB_DISCARDED);
	holder = queue_put_draft(store, &draft);
	before = queue_dump(store, 0);
	CHECK_EQ_INT(queue_change(store, WEIR_JOB_RETRY, id).status,
		     WEIR_INVAL);
	CHECK_EQ_INT(queue_change(store, WEIR_JOB_RETRY, id).state,
		     WEIR_JOB_DISCARDED);
	CHECK_STR(queue_dump(store, 0), before);
	queue_change(store, WEIR_JOB_CANCEL, holder);
	CHECK_EQ_INT(queue_change(store, WEIR_JOB_RETRY, id).status, WEIR_OK);
	CHECK_STATE(store, id, "available");
}

STORE_TEST(changes, that_retry_one_of_many_leave_the_others_alone)
{
	struct weir_owner *me = queue_enlist(store, "me");
	struct weir_draft draft = queue_draft("unique");
	weir_job_changed rets[3];
	weir_error error = {0};
	int64_t ids[3];

	ids[0] = queue_put(store, "work");
	queue_bring(store, me, ids[0], WEIR_JOB_DISCARDED);
	queue_draft_key(&draft, 1, WEIR_UNIQUE_STATES_DEFAULT);
	ids[1] = queue_put_in(store, me, &draft, WEIR_JOB_DISCARDED);
	queue_put_draft(store, &draft);
	while (queue_claim(store, me, 10))
		;
	ids[2] = queue_put(store, "work");
	queue_bring(store, me, ids[2], WEIR_JOB_DISCARDED);
	REQUIRE(store->ops->change(store, WEIR_JOB_RETRY, ids, 3, rets, NULL,
				   &error) == WEIR_OK);
	CHECK_EQ_INT(rets[0].status, WEIR_OK);
	CHECK_EQ_INT(rets[1].status, WEIR_INVAL);
	CHECK_EQ_INT(rets[2].status, WEIR_OK);
	CHECK_STATE(store, ids[2], "available");
}
