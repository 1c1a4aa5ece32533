/*
 * What every store must do: claims, fences and verdicts.
 */
#include "queue_conformance.h"

STORE_TEST(claims, come_in_the_order_of_priority_then_time_then_id)
{
	struct weir_owner *me = queue_enlist(store, "me");
	struct weir_draft draft = queue_draft("work");

	draft.priority = 2;
	queue_put_draft(store, &draft); /* 1 */
	draft.scheduled_at_ms = T0 - 5;
	queue_put_draft(store, &draft); /* 2 */
	draft.priority = 1;
	draft.scheduled_at_ms = T0;
	queue_put_draft(store, &draft); /* 3 */
	queue_put_draft(store, &draft); /* 4 */
	draft.priority = 4;
	draft.scheduled_at_ms = 1;
	queue_put_draft(store, &draft); /* 5 */
	CHECK_STR(queue_batch_ids(queue_claim(store, me, 4)), "3 4 2 1");
	CHECK_STR(queue_batch_ids(queue_claim(store, me, 4)), "5");
	CHECK(!queue_claim(store, me, 4));
}
