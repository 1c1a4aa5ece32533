/*
 * What the tests of limits share; see pg_limit_util.h.
 */
#include "pg_limit_util.h"

#include "queue_conformance.h"

#include <stdlib.h>

void
set(weir_store *store, const char *kind, uint32_t most, double rate,
    uint32_t burst)
{
	weir_kind_limit limit;
	weir_error error = {0};

	weir_kind_limit_init(&limit);
	limit.kind = kind;
	limit.most = most;
	limit.per_second = rate;
	limit.burst = burst;
	CHECK_MSG(weir_store_limit(store, &limit, &error) == WEIR_OK, "%s",
		  error.message);
}

/* Set, and in force: everybody has heard of it. */
void
limit(weir_store *store, const char *kind, uint32_t most)
{
	set(store, kind, most, 0, 0);
	queue_now_ms += 1001;
}

void
put_many(weir_store *store, const char *kind, size_t count)
{
	for (size_t i = 0; i < count; i++)
		queue_put(store, kind);
}

/* A turn, and what it has said. */
struct weir_turn last;

/* The ids that a turn claims, of "default". */
const char *
claim_with(weir_store *store, struct weir_owner *owner, uint32_t count,
	   uint32_t slots)
{
	static struct weir_want want;

	want = (struct weir_want){.queue = "default", .count = count};
	last = (struct weir_turn){.owner = owner,
				  .wants = &want,
				  .want_count = 1,
				  .slots = slots};
	queue_turn(store, &last);
	return queue_batch_ids(last.batch);
}

const char *
claim(weir_store *store, struct weir_owner *owner, uint32_t count)
{
	return claim_with(store, owner, count, 0);
}

/* Whoever has not heard of limits learns of them with its first turn. */
struct weir_owner *
enlist(weir_store *store, const char *name)
{
	struct weir_owner *owner = queue_enlist(store, name);

	(void)claim(store, owner, 1);
	return owner;
}
