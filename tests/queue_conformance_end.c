/*
 * What every store must do: how jobs end, are cancelled, and become suspects.
 */
#include "queue_conformance.h"

/*
 * Verdicts.
 */
WORK_TEST(verdicts, end_a_job_that_has_ended)
{
	static const struct {
		enum weir_verdict verdict;
		const char *state;
	} ends[] = {{WEIR_VERDICT_COMPLETE, "completed"},
		    {WEIR_VERDICT_DISCARD, "discarded"},
		    {WEIR_VERDICT_CANCEL, "cancelled"}};
	struct weir_owner *me = queue_enlist(store, "me");

	for (size_t i = 0; i < queue_count(ends); i++) {
		const struct weir_claim *claim = queue_start(store, me, "work");
		struct weir_finished finished;
		const weir_job_row *row;

		queue_now_ms += 5;
		finished = queue_end(store, me, claim, ends[i].verdict);
		row = queue_look(store, claim->row.id);
		CHECK_EQ_INT(finished.status, WEIR_OK);
		CHECK_STR(weir_job_state_name(finished.state), ends[i].state);
		CHECK_EQ_INT(row->state, finished.state);
		CHECK_EQ_INT(row->finalized_at_ms, queue_now_ms);
		CHECK_EQ_INT(row->attempt, 1);
		CHECK_EQ_INT(row->attempted_at_ms, queue_now_ms - 5);
		CHECK_STR(row->attempted_by, "me");
		CHECK(!queue_claim(store, me, 1));
	}
}

WORK_TEST(verdicts, retry_later)
{
	struct weir_owner *me = queue_enlist(store, "me");
	const struct weir_claim *claim = queue_start(store, me, "work");
	struct weir_finished finished =
		queue_end_at(store, me, claim, WEIR_VERDICT_RETRY, T0 + 16000);
	const weir_job_row *row = queue_look(store, claim->row.id);

	CHECK_EQ_INT(finished.state, WEIR_JOB_RETRYABLE);
	CHECK_EQ_INT(row->state, WEIR_JOB_RETRYABLE);
	CHECK_EQ_INT(row->scheduled_at_ms, T0 + 16000);
	CHECK_EQ_INT(row->attempt, 1);
	CHECK_EQ_INT(row->finalized_at_ms, 0);
	queue_now_ms = T0 + 16000;
	CHECK_EQ_INT(queue_promote(store), 1);
	CHECK_EQ_INT(queue_claim_one(store, me, row->id)->row.attempt, 2);
}

WORK_TEST(verdicts, snooze_without_counting_the_attempt)
{
	struct weir_owner *me = queue_enlist(store, "me");
	const struct weir_claim *claim = queue_start(store, me, "work");
	struct weir_finished finished =
		queue_end_at(store, me, claim, WEIR_VERDICT_SNOOZE, T0 + 16000);
	const weir_job_row *row = queue_look(store, claim->row.id);

	CHECK_EQ_INT(finished.state, WEIR_JOB_SCHEDULED);
	CHECK_EQ_INT(row->state, WEIR_JOB_SCHEDULED);
	CHECK_EQ_INT(row->scheduled_at_ms, T0 + 16000);
	CHECK_EQ_INT(row->attempt, 0);
	CHECK_EQ_INT(row->finalized_at_ms, 0);
	queue_now_ms = T0 + 16000;
	CHECK_EQ_INT(queue_promote(store), 1);
	CHECK_EQ_INT(queue_claim_one(store, me, row->id)->row.attempt, 1);
}

WORK_TEST(verdicts, make_available_at_once_what_is_due_by_now)
{
	struct weir_owner *me = queue_enlist(store, "me");
	static const int64_t times[] = {T0, T0 - 1, 0};
	int64_t id = queue_put(store, "work");
	const struct weir_claim *claim;

	for (size_t i = 0; i < queue_count(times); i++) {
		claim = queue_claim_one(store, me, id);
		CHECK_EQ_INT(queue_end_at(store, me, claim, WEIR_VERDICT_RETRY,
					  times[i])
				     .state,
			     WEIR_JOB_AVAILABLE);
		CHECK_STATE(store, id, "available");
		claim = queue_claim_one(store, me, id);
		CHECK_EQ_INT(queue_end_at(store, me, claim, WEIR_VERDICT_SNOOZE,
					  times[i])
				     .state,
			     WEIR_JOB_AVAILABLE);
	}
	CHECK_EQ_INT(queue_look(store, id)->attempt, 3);
}

WORK_TEST(verdicts, release_as_if_it_had_never_been_claimed)
{
	struct weir_owner *me = queue_enlist(store, "me");
	const struct weir_claim *claim = queue_start(store, me, "work");
	const weir_job_row *row;

	queue_now_ms = T0 + 5;
	CHECK_EQ_INT(queue_end(store, me, claim, WEIR_VERDICT_RELEASE).state,
		     WEIR_JOB_AVAILABLE);
	row = queue_look(store, claim->row.id);
	CHECK_EQ_INT(row->state, WEIR_JOB_AVAILABLE);
	CHECK_EQ_INT(row->attempt, 0);
	CHECK_EQ_INT(row->scheduled_at_ms, T0);
	CHECK_EQ_INT(row->finalized_at_ms, 0);
	CHECK_EQ_INT(queue_claim_one(store, me, row->id)->row.attempt, 1);
}

/* They are those of the array, in that order. */
static void
check_elements(const char *array, const char *const *elements, size_t count)
{
	struct weir_buf all = {0};

	if (!queue_stores.same_json) {
		for (size_t i = 0; i < count; i++) {
			array = strstr(array, elements[i]);
			REQUIRE(array);
			array += strlen(elements[i]);
		}
		return;
	}
	for (size_t i = 0; i < count; i++)
		weir__buf_printf(&all, "%c%s", i == 0 ? '[' : ',', elements[i]);
	weir__buf_puts(&all, "]");
	CHECK_JSON(array, weir__buf_str(&all));
	weir__buf_fini(&all);
}

WORK_TEST(verdicts, keep_errors_in_their_order_byte_for_byte)
{
	static const char *const errors[] = {
		"{\"at\":1,\"n\":1e400}", "{ \"q\" : \"\\\"x\\\" \\u0000\" }",
		"{\"u\":\"\xc3\xa9\",\"i\":123456789012345678901234567890}"};
	struct weir_owner *me = queue_enlist(store, "me");
	int64_t id = queue_put(store, "work");
	const weir_job_row *row;

	for (int i = 0; i < 3; i++) {
		const struct weir_claim *claim = queue_claim_one(store, me, id);
		struct weir_finish finish = {
			.claim = claim,
			.verdict = i < 2 ? WEIR_VERDICT_RETRY
					 : WEIR_VERDICT_DISCARD,
			.error = errors[i],
			.error_len = strlen(errors[i])};

		CHECK_EQ_INT(queue_finish(store, me, &finish).status, WEIR_OK);
	}
	row = queue_look(store, id);
	CHECK_EQ_INT(row->errors_len, strlen(row->errors));
	CHECK_EQ_INT(row->errors[0], '[');
	CHECK_EQ_INT(row->errors[row->errors_len - 1], ']');
	check_elements(row->errors, errors, 3);
}

WORK_TEST(verdicts, keep_the_output_until_there_is_another)
{
	static const char first[] = "{\"n\":1e400, \"q\":\"\\\"\"}";
	struct weir_owner *me = queue_enlist(store, "me");
	int64_t id = queue_put(store, "work");
	struct weir_finish finish = {.claim = queue_claim_one(store, me, id),
				     .verdict = WEIR_VERDICT_RETRY,
				     .output = first,
				     .output_len = strlen(first)};

	queue_finish(store, me, &finish);
	CHECK_JSON(queue_look(store, id)->output, first);
	CHECK_EQ_INT(queue_look(store, id)->output_len,
		     strlen(queue_look(store, id)->output));
	queue_end(store, me, queue_claim_one(store, me, id),
		  WEIR_VERDICT_RETRY);
	CHECK_JSON(queue_look(store, id)->output, first);
	finish.claim = queue_claim_one(store, me, id);
	CHECK_JSON(finish.claim->row.output, first);
	finish.verdict = WEIR_VERDICT_COMPLETE;
	finish.output = "null";
	finish.output_len = 4;
	queue_finish(store, me, &finish);
	CHECK_STR(queue_look(store, id)->output, "null");
}

WORK_TEST(verdicts, do_not_mind_how_many_attempts_are_left)
{
	struct weir_owner *me = queue_enlist(store, "me");
	struct weir_draft draft = queue_draft("work");
	const struct weir_claim *claim;
	int64_t id;

	draft.max_attempts = 1;
	id = queue_put_draft(store, &draft);
	claim = queue_claim_one(store, me, id);
	CHECK_EQ_INT(queue_end_at(store, me, claim, WEIR_VERDICT_RETRY, T0 + 9)
			     .state,
		     WEIR_JOB_RETRYABLE);
}

/*
 * Running jobs that somebody wants cancelled.
 */
static bool
tells(struct weir_turn *turn, int64_t id)
{
	const char *data = weir__buf_str(turn->cancels);
	size_t n = turn->cancels->len / sizeof(int64_t), found = 0;

	CHECK_EQ_INT(turn->cancels->len % sizeof(int64_t), 0);
	for (size_t i = 0; i < n; i++) {
		int64_t told;

		memcpy(&told, data + i * sizeof(told), sizeof(told));
		found += told == id;
	}
	CHECK(found <= 1);
	weir__buf_reset(turn->cancels);
	return found > 0;
}

/* By a turn, or by one of those that follow while it may be on its way. */
static bool
is_told(weir_store *store, struct weir_turn *turn, int64_t id)
{
	int64_t end_ns = weir_now_ns() + queue_stores.bell_ms * WEIR_MS;

	do {
		queue_turn(store, turn);
		if (tells(turn, id))
			return true;
	} while (weir_now_ns() < end_ns);
	return false;
}

STORE_TEST(cancels, of_running_jobs_are_told_to_each_owner_once)
{
	weir_store *other = queue_join(store);
	struct weir_owner *me = queue_enlist(store, "me");
	struct weir_owner *you = queue_enlist(other, "you");
	const struct weir_claim *claim = queue_start(store, me, "work");
	struct weir_buf mine = {0}, yours = {0};
	struct weir_turn turn = {.owner = me, .cancels = &mine};
	struct weir_turn theirs = {.owner = you, .cancels = &yours};
	int64_t id = claim->row.id;

	queue_need_bells();
	/* As every work does: who listens hears of cancels. */
	REQUIRE(store->ops->wake_fd(store) >= 0);
	REQUIRE(other->ops->wake_fd(other) >= 0);
	queue_turn(store, &turn);
	CHECK(!tells(&turn, id));
	queue_change(other, WEIR_JOB_CANCEL, id);
	CHECK(is_told(store, &turn, id));
	queue_turn(store, &turn);
	CHECK(!tells(&turn, id));
	queue_turn(other, &theirs);
	queue_turn(other, &theirs);
	weir__buf_reset(&yours);
	id = queue_start(other, you, "work")->row.id;
	queue_change(store, WEIR_JOB_CANCEL, id);
	CHECK(is_told(other, &theirs, id));
	CHECK(is_told(store, &turn, id));
	weir__buf_fini(&mine);
	weir__buf_fini(&yours);
}

STORE_TEST(cancels, of_running_jobs_end_what_would_run_again)
{
	static const struct {
		enum weir_verdict verdict;
		int64_t in_ms;
		const char *state;
	} ends[] = {
		{WEIR_VERDICT_RETRY, 60000, "cancelled"},
		{WEIR_VERDICT_RETRY, 0, "cancelled"},
		{WEIR_VERDICT_SNOOZE, 60000, "cancelled"},
		{WEIR_VERDICT_SNOOZE, 0, "cancelled"},
		{WEIR_VERDICT_RELEASE, 0, "cancelled"},
		{WEIR_VERDICT_CANCEL, 0, "cancelled"},
		{WEIR_VERDICT_COMPLETE, 0, "completed"},
		{WEIR_VERDICT_DISCARD, 0, "discarded"},
	};
	struct weir_owner *me = queue_enlist(store, "me");

	for (size_t i = 0; i < queue_count(ends); i++) {
		const struct weir_claim *claim = queue_start(store, me, "work");
		struct weir_finish finish = {.claim = claim,
					     .verdict = ends[i].verdict,
					     .at_ms = T0 + ends[i].in_ms,
					     .error = "{\"e\":1}",
					     .error_len = 7};
		struct weir_finished finished;

		queue_change(store, WEIR_JOB_CANCEL, claim->row.id);
		finished = queue_finish(store, me, &finish);
		CHECK_EQ_INT(finished.status, WEIR_OK);
		CHECK_STR(weir_job_state_name(finished.state), ends[i].state);
		CHECK_STATE(store, claim->row.id, ends[i].state);
		CHECK_EQ_INT(queue_look(store, claim->row.id)->finalized_at_ms,
			     T0);
		CHECK_JSON(queue_look(store, claim->row.id)->errors,
			   "[{\"e\":1}]");
	}
}

WORK_TEST(cancels, of_running_jobs_are_never_lost)
{
	struct weir_owner *me = queue_enlist(store, "me");
	const struct weir_claim *claim = queue_start(store, me, "work");
	weir_job_changed changed =
		queue_change(queue_join(store), WEIR_JOB_CANCEL, claim->row.id);
	struct weir_finished finished;

	CHECK_EQ_INT(changed.status, WEIR_OK);
	finished = queue_end(store, me, claim, WEIR_VERDICT_RETRY);
	/* Alone, it may be cancelled already. */
	if (changed.state == WEIR_JOB_RUNNING)
		CHECK_EQ_INT(finished.state, WEIR_JOB_CANCELLED);
	else
		CHECK_EQ_INT(finished.status, WEIR_STALE);
	CHECK_STATE(store, claim->row.id, "cancelled");
	CHECK(!queue_claim(store, me, 1));
}

/*
 * Suspects: jobs with which a worker has died.
 */
static const struct weir_claim *
crash(weir_store *store, struct weir_owner *owner,
      const struct weir_claim *claim, int64_t at_ms)
{
	struct weir_finish finish = {.claim = claim,
				     .verdict = WEIR_VERDICT_RETRY,
				     .at_ms = at_ms,
				     .crashed = true};

	CHECK_EQ_INT(queue_finish(store, owner, &finish).status, WEIR_OK);
	return claim;
}

/* A turn with one want; the ids. */
static const char *
claim_as(weir_store *store, struct weir_owner *owner, uint32_t count,
	 bool alone, bool *ret_suspects)
{
	struct weir_want want = {
		.queue = "default", .count = count, .alone = alone};
	struct weir_turn turn = {
		.owner = owner, .wants = &want, .want_count = 1};

	queue_turn(store, &turn);
	*ret_suspects = turn.suspects;
	return queue_batch_ids(turn.batch);
}

WORK_TEST(suspects, are_passed_over_by_all_but_who_wants_one_alone)
{
	struct weir_owner *me = queue_enlist(store, "me");
	bool suspects;

	crash(store, me, queue_start(store, me, "work"), T0);
	CHECK_EQ_INT(queue_look(store, 1)->crashes, 1);
	queue_put(store, "work");
	CHECK_STR(claim_as(store, me, 9, false, &suspects), "2");
	CHECK(suspects);
	CHECK_STR(claim_as(store, me, 9, false, &suspects), "");
	CHECK(suspects);
	queue_put(store, "work");
	CHECK_STR(claim_as(store, me, 9, true, &suspects), "1");
	CHECK_STR(claim_as(store, me, 9, true, &suspects), "");
	CHECK_STR(claim_as(store, me, 9, false, &suspects), "3");
	CHECK(!suspects);
}

WORK_TEST(suspects, are_claimed_one_at_a_time)
{
	struct weir_owner *me = queue_enlist(store, "me");
	struct weir_want wants[2] = {
		{.queue = "default", .count = 2, .alone = true},
		{.queue = "default", .count = 2, .alone = true}};
	struct weir_turn turn = {.owner = me, .wants = wants, .want_count = 2};
	const struct weir_claim *one = queue_start(store, me, "work");
	const struct weir_claim *two = queue_start(store, me, "work");

	crash(store, me, one, T0);
	crash(store, me, two, T0);
	queue_turn(store, &turn);
	CHECK_STR(queue_batch_ids(turn.batch), "1");
	queue_turn(store, &turn);
	CHECK_STR(queue_batch_ids(turn.batch), "2");
	queue_turn(store, &turn);
	CHECK(!turn.batch);
}

WORK_TEST(suspects, are_claimed_with_nothing_else)
{
	struct weir_owner *me = queue_enlist(store, "me");
	struct weir_want wants[3] = {
		{.queue = "default", .count = 2},
		{.queue = "default", .count = 1, .alone = true},
		{.queue = "default", .count = 2}};
	struct weir_turn turn = {.owner = me, .wants = wants, .want_count = 3};

	crash(store, me, queue_start(store, me, "work"), T0);
	for (int i = 0; i < 3; i++)
		queue_put(store, "work");
	queue_turn(store, &turn);
	CHECK_STR(queue_batch_ids(turn.batch), "2 3 4");
	CHECK(turn.suspects);
	queue_put(store, "work");
	turn.wants = wants + 1;
	turn.want_count = 2;
	queue_turn(store, &turn);
	CHECK_STR(queue_batch_ids(turn.batch), "1");
}

WORK_TEST(suspects, are_of_the_kinds_that_are_wanted_and_due)
{
	struct weir_owner *me = queue_enlist(store, "me");
	static const char *const kinds[] = {"red"};
	struct weir_want want = {.queue = "default", .count = 1, .alone = true};
	struct weir_turn turn = {.owner = me,
				 .wants = &want,
				 .want_count = 1,
				 .kinds = kinds,
				 .kind_count = 1};

	crash(store, me, queue_start(store, me, "blue"), T0);
	crash(store, me, queue_start(store, me, "red"), T0 + 5000);
	queue_turn(store, &turn);
	CHECK(!turn.batch);
	queue_now_ms = T0 + 5000;
	queue_promote(store);
	queue_turn(store, &turn);
	CHECK_STR(queue_batch_ids(turn.batch), "2");
	turn.kinds_left_out = true;
	queue_turn(store, &turn);
	CHECK_STR(queue_batch_ids(turn.batch), "1");
}

WORK_TEST(suspects, are_innocent_again_when_they_have_ended_by_themselves)
{
	static const enum weir_verdict ends[] = {
		WEIR_VERDICT_RETRY, WEIR_VERDICT_SNOOZE, WEIR_VERDICT_COMPLETE};
	struct weir_owner *me = queue_enlist(store, "me");
	int64_t id = queue_put(store, "work");

	for (size_t i = 0; i < queue_count(ends); i++) {
		crash(store, me, queue_claim_one(store, me, id), T0);
		crash(store, me, queue_claim_one(store, me, id), T0);
		CHECK_EQ_INT(queue_look(store, id)->crashes, 2);
		queue_end(store, me, queue_claim_one(store, me, id), ends[i]);
		CHECK_EQ_INT(queue_look(store, id)->crashes, 0);
	}
}

WORK_TEST(suspects, are_innocent_again_when_they_are_retried_by_hand)
{
	struct weir_owner *me = queue_enlist(store, "me");
	int64_t id = queue_put(store, "work");
	bool suspects;

	crash(store, me, queue_claim_one(store, me, id), T0);
	CHECK_STATE(store, id, "available");
	CHECK_EQ_INT(queue_change(store, WEIR_JOB_RETRY, id).status, WEIR_OK);
	CHECK_EQ_INT(queue_look(store, id)->crashes, 0);
	CHECK_STR(claim_as(store, me, 1, false, &suspects), "1");
	CHECK(!suspects);
}

WORK_TEST(suspects, stay_suspect_when_they_are_released)
{
	struct weir_owner *me = queue_enlist(store, "me");
	int64_t id = queue_put(store, "work");
	bool suspects;

	crash(store, me, queue_claim_one(store, me, id), T0);
	queue_end(store, me, queue_claim_one(store, me, id),
		  WEIR_VERDICT_RELEASE);
	CHECK_EQ_INT(queue_look(store, id)->crashes, 1);
	CHECK_STR(claim_as(store, me, 1, false, &suspects), "");
	CHECK(suspects);
}
