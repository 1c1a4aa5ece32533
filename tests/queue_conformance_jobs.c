/*
 * What every store must do: inserting, and jobs that are the same.
 */
#include "queue_conformance.h"

#include <stdio.h>
#include <stdlib.h>

STORE_TEST(inserts, give_rising_ids_in_the_order_of_the_drafts)
{
	struct weir_draft drafts[100];
	weir_inserted rets[100];
	weir_error error = {0};
	char kinds[100][16];

	for (int i = 0; i < 100; i++) {
		snprintf(kinds[i], sizeof(kinds[i]), "kind%d", i);
		drafts[i] = queue_draft(kinds[i]);
	}
	REQUIRE(store->ops->insert(store, drafts, 100, rets, NULL, &error) ==
		WEIR_OK);
	for (int i = 0; i < 100; i++) {
		CHECK(i == 0 || rets[i].id > rets[i - 1].id);
		CHECK_EQ_INT(rets[i].state, WEIR_JOB_AVAILABLE);
		CHECK(!rets[i].duplicate);
		CHECK_STR(queue_look(store, rets[i].id)->kind, kinds[i]);
	}
}

/* What a parser would break: such numbers, blanks, escapes, any UTF-8. */
static const char odd_json[] =
	"{ \"n\":1e400,\"i\":123456789012345678901234567890,\"f\":0.10,\n"
	"\t\"q\":\"say \\\"hi\\\" \\u00e9\\/\", "
	"\"u\":\"\xc3\xa9\xf0\x9f\x8e\x89"
	"\",\"z\":-0.0, \"a\":{\"b\":[1,  2,null]},\"s\":\"'; --\" }";

static void
check_odd(const weir_job_row *row, const struct weir_draft *draft)
{
	CHECK_STR(row->queue, "some-queue");
	CHECK_STR(row->kind, "odd[kind]");
	CHECK_JSON(row->args, odd_json);
	CHECK_EQ_INT(row->args_len, strlen(row->args));
	CHECK_JSON(row->metadata, draft->metadata);
	CHECK_EQ_INT(row->metadata_len, strlen(row->metadata));
	CHECK_STR(row->tags, "[\"one\",\"two\"]");
	CHECK_EQ_INT(row->tags_len, draft->tags_len);
	CHECK_EQ_INT(row->priority, 3);
	CHECK_EQ_INT(row->max_attempts, 7);
	CHECK_EQ_INT(row->created_at_ms, T0 - 1000);
	CHECK_EQ_INT(row->scheduled_at_ms, T0 - 10);
	CHECK_EQ_INT(row->timeout_ns, INT64_C(1234567890123));
	CHECK(row->unique_key &&
	      memcmp(row->unique_key, draft->unique_key, 32) == 0);
	CHECK_EQ_INT(row->unique_states, WEIR_UNIQUE_STATES_DEFAULT);
	CHECK_EQ_INT(row->crashes, 0);
	CHECK_EQ_INT(row->finalized_at_ms, 0);
	CHECK_EQ_INT(row->cancel_at_ms, 0);
	CHECK_STR(row->output, "");
	CHECK_EQ_INT(row->output_len, 0);
	CHECK_EQ_INT(row->errors_len, strlen(row->errors));
}

static struct weir_draft
odd_draft(void)
{
	struct weir_draft draft = queue_draft("odd[kind]");

	queue_draft_queue(&draft, "some-queue");
	queue_draft_args(&draft, odd_json);
	draft.metadata = "{\"m\":1.000000000000000000000001}";
	draft.metadata_len = strlen(draft.metadata);
	draft.tags = "[\"one\",\"two\"]";
	draft.tags_len = strlen(draft.tags);
	draft.priority = 3;
	draft.max_attempts = 7;
	draft.created_at_ms = T0 - 1000;
	draft.scheduled_at_ms = T0 - 10;
	draft.timeout_ns = INT64_C(1234567890123);
	queue_draft_key(&draft, 0, WEIR_UNIQUE_STATES_DEFAULT);
	return draft;
}

STORE_TEST(inserts, keep_every_field_byte_for_byte)
{
	struct weir_owner *me = queue_enlist(store, "host:1");
	struct weir_draft draft = odd_draft();
	struct weir_want want = {.queue = "some-queue", .count = 1};
	struct weir_turn turn = {.owner = me, .wants = &want, .want_count = 1};
	const weir_job_row *row =
		queue_look(store, queue_put_draft(store, &draft));

	check_odd(row, &draft);
	CHECK_EQ_INT(row->attempt, 0);
	CHECK_EQ_INT(row->attempted_at_ms, 0);
	CHECK_STR(row->attempted_by, "");
	CHECK_EQ_INT(row->state, WEIR_JOB_AVAILABLE);
	queue_turn(store, &turn);
	REQUIRE(turn.batch && turn.batch->count == 1);
	check_odd(&turn.batch->claims[0].row, &draft);
	CHECK_EQ_INT(turn.batch->claims[0].row.id, row->id);
}

STORE_TEST(inserts, leave_empty_what_there_is_none_of)
{
	const weir_job_row *row = queue_look(store, queue_put(store, "plain"));

	CHECK_STR(row->args, "{}");
	CHECK_EQ_INT(row->metadata_len, strlen(row->metadata));
	CHECK_EQ_INT(row->tags_len, strlen(row->tags));
	CHECK(!row->unique_key);
	CHECK_EQ_INT(row->unique_states, 0);
	CHECK_EQ_INT(row->timeout_ns, 0);
}

STORE_TEST(inserts, keep_args_of_a_mebibyte)
{
	struct weir_owner *me = queue_enlist(store, "me");
	struct weir_draft draft = queue_draft("large");
	char *args = malloc(WEIR_ARGS_MAX + 1);
	struct weir_batch *batch;
	int64_t id;

	REQUIRE(args);
	memset(args, 'x', WEIR_ARGS_MAX);
	memcpy(args, "{\"x\":\"", 6);
	memcpy(args + WEIR_ARGS_MAX - 2, "\"}", 3);
	queue_draft_args(&draft, args);
	id = queue_put_draft(store, &draft);
	queue_put_draft(store, &draft);
	CHECK(queue_same_json(queue_look(store, id)->args, args));
	batch = queue_claim(store, me, 2);
	REQUIRE(batch && batch->count == 2);
	for (int i = 0; i < 2; i++) {
		const weir_job_row *row = &batch->claims[i].row;

		CHECK_EQ_INT(row->args_len, strlen(row->args));
		CHECK(queue_same_json(row->args, args));
	}
	free(args);
}

STORE_TEST(inserts, that_were_cancelled_before_they_began_change_nothing)
{
	struct weir_draft draft = queue_draft("work");
	weir_inserted ret = {.id = 77};
	weir_error error = {0};
	weir_ctx *ctx = NULL;

	REQUIRE(weir_ctx_new(&ctx, NULL, WEIR_FOREVER) == WEIR_OK);
	weir_ctx_cancel(ctx);
	CHECK_EQ_INT(store->ops->insert(store, &draft, 1, &ret, ctx, &error),
		     WEIR_CANCELED);
	CHECK_EQ_INT(ret.id, 77);
	CHECK_STR(queue_dump(store, 0), "");
	weir_ctx_unref(ctx);
}

STORE_TEST(inserts, need_no_place_for_their_results)
{
	struct weir_draft drafts[2] = {queue_draft("one"), queue_draft("two")};
	weir_job_filter all = WEIR_JOB_FILTER_INIT;
	weir_error error = {0};

	REQUIRE(store->ops->insert(store, drafts, 2, NULL, NULL, &error) ==
		WEIR_OK);
	all.oldest_first = true;
	CHECK_EQ_INT(strlen(queue_ids(store, &all)), 3);
}

STORE_TEST(inserts, never_use_an_id_twice)
{
	struct weir_owner *me = queue_enlist(store, "me");
	int64_t first = queue_put(store, "work"), second;

	CHECK_EQ_INT(queue_change(store, WEIR_JOB_DELETE, first).status,
		     WEIR_OK);
	second = queue_put(store, "work");
	CHECK(second > first);
	queue_end(store, me, queue_claim_one(store, me, second),
		  WEIR_VERDICT_COMPLETE);
	CHECK_EQ_INT(queue_change(store, WEIR_JOB_DELETE, second).status,
		     WEIR_OK);
	CHECK(queue_put(store, "work") > second);
}

/*
 * Unique jobs.
 */

/* Is another one a duplicate of a job with that mask in that state? */
static void
check_key(weir_store *store, struct weir_owner *me, unsigned char byte,
	  weir_state state, uint32_t mask)
{
	bool in_the_way = (mask & WEIR_JOB_STATE_BIT(state)) != 0;
	struct weir_draft draft = queue_draft("unique");
	weir_inserted ret;
	int64_t id;

	queue_draft_key(&draft, byte, mask);
	id = queue_put_in(store, me, &draft, state);
	/* Whose mask it is makes the difference, so this one's is another. */
	draft.unique_states =
		WEIR_JOB_STATES_ALL ^ (in_the_way ? WEIR_JOB_STATES_FINAL : 0);
	ret = queue_insert(store, &draft);
	CHECK_MSG(ret.duplicate == in_the_way, "%s with mask %x",
		  weir_job_state_name(state), mask);
	CHECK((ret.id == id) == in_the_way);
	CHECK_EQ_INT(ret.state, in_the_way ? state : WEIR_JOB_AVAILABLE);
	/* Out of the way of the next one. */
	if (!in_the_way)
		CHECK_EQ_INT(queue_change(store, WEIR_JOB_CANCEL, ret.id).state,
			     WEIR_JOB_CANCELLED);
}

STORE_TEST(unique_keys, are_taken_in_the_states_of_their_jobs_mask)
{
	static const uint32_t masks[] = {
		WEIR_UNIQUE_STATES_DEFAULT, WEIR_UNIQUE_STATES_REQUIRED,
		WEIR_UNIQUE_STATES_REQUIRED |
			WEIR_JOB_STATE_BIT(WEIR_JOB_DISCARDED)};
	struct weir_owner *me = queue_enlist(store, "me");
	unsigned char byte = 1;

	for (size_t m = 0; m < 3; m++)
		for (int s = 0; s < 8; s++) {
			check_key(store, me, byte++, (weir_state)s, masks[m]);
			/* Whatever is left could be claimed by the next. */
			while (queue_claim(store, me, 10))
				;
		}
}

STORE_TEST(unique_keys, of_one_batch_make_the_second_a_duplicate_of_the_first)
{
	struct weir_draft drafts[4] = {queue_draft("one"), queue_draft("two"),
				       queue_draft("three"),
				       queue_draft("four")};
	weir_inserted rets[4];
	weir_error error = {0};

	queue_draft_key(&drafts[0], 1, WEIR_UNIQUE_STATES_DEFAULT);
	queue_draft_key(&drafts[2], 1, WEIR_UNIQUE_STATES_DEFAULT);
	queue_draft_key(&drafts[3], 2, WEIR_UNIQUE_STATES_DEFAULT);
	REQUIRE(store->ops->insert(store, drafts, 4, rets, NULL, &error) ==
		WEIR_OK);
	CHECK(!rets[0].duplicate);
	CHECK(!rets[1].duplicate && rets[1].id > rets[0].id);
	CHECK(rets[2].duplicate);
	CHECK_EQ_INT(rets[2].id, rets[0].id);
	CHECK_EQ_INT(rets[2].state, WEIR_JOB_AVAILABLE);
	CHECK(!rets[3].duplicate && rets[3].id > rets[1].id);
	CHECK_STR(queue_look(store, rets[0].id)->kind, "one");
}

STORE_TEST(unique_keys, leave_the_job_that_has_them_as_it_was)
{
	struct weir_draft draft = queue_draft("first");
	const char *before;

	queue_draft_key(&draft, 1, WEIR_UNIQUE_STATES_DEFAULT);
	draft.metadata = "{\"a\":1}";
	draft.metadata_len = 7;
	queue_put_draft(store, &draft);
	before = queue_dump(store, 0);
	draft.kind = "other";
	draft.metadata = "{\"b\":2}";
	queue_now_ms += 5;
	CHECK(queue_insert(store, &draft).duplicate);
	CHECK_STR(queue_dump(store, 0), before);
}

STORE_TEST(unique_keys, are_free_again_when_their_job_was_deleted)
{
	struct weir_draft draft = queue_draft("unique");
	int64_t id;

	queue_draft_key(&draft, 1, WEIR_UNIQUE_STATES_DEFAULT);
	id = queue_put_draft(store, &draft);
	CHECK(queue_insert(store, &draft).duplicate);
	queue_change(store, WEIR_JOB_DELETE, id);
	CHECK(!queue_insert(store, &draft).duplicate);
}

/* A mask without RETRYABLE: somebody else takes the key of a job that is. */
STORE_TEST(unique_keys, are_given_up_by_a_job_that_ends_without_having_them)
{
	struct weir_owner *me = queue_enlist(store, "me");
	uint32_t mask = WEIR_UNIQUE_STATES_REQUIRED |
			WEIR_JOB_STATE_BIT(WEIR_JOB_CANCELLED);
	struct weir_draft draft = queue_draft("unique");
	int64_t loser, holder;

	queue_draft_key(&draft, 1, mask);
	loser = queue_put_in(store, me, &draft, WEIR_JOB_RETRYABLE);
	holder = queue_put_draft(store, &draft);
	CHECK_EQ_INT(queue_change(store, WEIR_JOB_CANCEL, loser).status,
		     WEIR_OK);
	CHECK_STATE(store, loser, "cancelled");
	CHECK(!queue_look(store, loser)->unique_key);
	CHECK_EQ_INT(queue_look(store, loser)->unique_states, 0);
	CHECK_EQ_INT(queue_insert(store, &draft).id, holder);
}

STORE_TEST(unique_keys, are_kept_by_a_job_that_ends_and_need_not_have_them)
{
	struct weir_owner *me = queue_enlist(store, "me");
	struct weir_draft draft = queue_draft("unique");
	int64_t loser, holder;

	queue_draft_key(&draft, 1, WEIR_UNIQUE_STATES_REQUIRED);
	loser = queue_put_in(store, me, &draft, WEIR_JOB_RETRYABLE);
	holder = queue_put_draft(store, &draft);
	queue_change(store, WEIR_JOB_CANCEL, loser);
	CHECK_STATE(store, loser, "cancelled");
	CHECK(queue_look(store, loser)->unique_key);
	/* It has to have it again, to be tried again. */
	CHECK_EQ_INT(queue_change(store, WEIR_JOB_RETRY, loser).status,
		     WEIR_INVAL);
	queue_change(store, WEIR_JOB_DELETE, holder);
	CHECK_EQ_INT(queue_change(store, WEIR_JOB_RETRY, loser).status,
		     WEIR_OK);
	CHECK_EQ_INT(queue_insert(store, &draft).id, loser);
}
