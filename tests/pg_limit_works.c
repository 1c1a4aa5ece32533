/*
 * Limits of kinds beside holds; and works in processes of their own, which show
 * that nobody gets past a limit, and that it is reached.
 */
#include "pg_limit_util.h"
#include "queue_conformance.h"

#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include <weir/work.h>

/*
 * The hold lane.
 */
enum { MANY = 32 };

static struct weir_batch *
hold(weir_store *store, struct weir_owner *owner, uint32_t count)
{
	static struct weir_want want;

	want = (struct weir_want){.queue = "default", .count = count};
	last = (struct weir_turn){.owner = owner,
				  .wants = &want,
				  .want_count = 1,
				  .slots = 4,
				  .may_hold = true};
	queue_turn(store, &last);
	return last.batch;
}

STORE_TEST(holds, never_take_what_has_a_limit)
{
	struct weir_owner *me;

	limit(store, "work", 3);
	me = enlist(store, "me");
	/* Something that makes it worth while. */
	put_many(store, "any", MANY);
	(void)hold(store, me, MANY);
	put_many(store, "work", MANY);
	put_many(store, "any", MANY);
	(void)hold(store, me, 4 * MANY);
	CHECK(last.hold_until_ns < WEIR_FOREVER);
	CHECK_STR(ask(store, "SELECT count(*) FROM @weir_hold h,"
			     " unnest(h.ids) i (id), @river_job j"
			     " WHERE j.id = i.id AND j.kind = 'work'"),
		  "0");
	CHECK_STR(ask(store, "SELECT count(*) FROM @river_job WHERE kind ="
			     " 'work' AND state = 'running'"),
		  "3");
	CHECK(last.limited);
}

/* Who does not look each time says so. */
STORE_TEST(holds, in_a_row_look_at_limits_now_and_then)
{
	struct weir_owner *me;

	limit(store, "work", 3);
	me = enlist(store, "me");
	put_many(store, "any", 5 * MANY);
	(void)hold(store, me, MANY);
	for (int i = 0; i < 3; i++) {
		(void)hold(store, me, MANY);
		CHECK(last.hold_until_ns < WEIR_FOREVER);
	}
	CHECK(last.limited);
	CHECK(last.limited_at_ns < WEIR_FOREVER);
}

/* What is held is not written, so it cannot be counted. */
STORE_TEST(holds, that_are_older_than_a_limit_are_waited_for)
{
	weir_store *other = queue_join(store);
	struct weir_owner *me = queue_enlist(store, "me");
	struct weir_owner *you = queue_enlist(other, "you");
	struct weir_batch *batch;

	put_many(store, "work", 3 * MANY);
	(void)hold(store, me, MANY);
	batch = hold(store, me, MANY);
	REQUIRE(batch && last.hold_until_ns < WEIR_FOREVER);
	limit(other, "work", 3 * MANY);
	(void)claim(other, you, MANY);
	CHECK_STR(claim(other, you, MANY), "");
	CHECK(last.limited);
	queue_leave(store, me);
	CHECK_STR(ask(store, "SELECT count(*) FROM @weir_hold"), "0");
	(void)claim(other, you, MANY);
	REQUIRE(last.batch);
	CHECK_EQ_INT(last.batch->count, MANY);
}

/*
 * Works, in processes of their own.
 */
struct marks {
	atomic_int running, peak, ended;
};

static struct marks *marks;

static void
map_marks(void)
{
	marks = mmap(NULL, sizeof(*marks), PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	REQUIRE(marks != MAP_FAILED);
}

enum { AT_ONCE = 3, JOBS = 60 };

/* Run count of them in processes of their own. */
static void
in_processes(weir_store *store, int count, void (*run)(weir_store *store))
{
	pid_t pids[8];

	REQUIRE(count <= 8);
	for (int i = 0; i < count; i++) {
		pids[i] = fork();
		REQUIRE(pids[i] >= 0);
		if (pids[i] == 0) {
			run(queue_join(store));
			_exit(0);
		}
	}
	for (int i = 0; i < count; i++) {
		int status = 0;

		CHECK(waitpid(pids[i], &status, 0) == pids[i]);
		CHECK_EQ_INT(status, 0);
	}
}

static void
note_running(int more)
{
	int running = atomic_fetch_add(&marks->running, more) + more;
	int peak = atomic_load(&marks->peak);

	while (running > peak &&
	       !atomic_compare_exchange_weak(&marks->peak, &peak, running))
		;
}

/* Claim and end, as fast as it goes; each in a queue of its own, or else they
 * would keep each other from the jobs and not from the places. */
static void
claim_and_end(weir_store *store)
{
	char queue[24];
	struct weir_want want = {.queue = queue, .count = AT_ONCE};
	struct weir_owner *me = enlist(store, "me");
	struct weir_draft draft = queue_draft("work");

	snprintf(queue, sizeof(queue), "of-%d", (int)getpid());
	queue_draft_queue(&draft, queue);
	for (int i = 0; i < AT_ONCE; i++)
		queue_put_draft(store, &draft);
	while (atomic_load(&marks->ended) < JOBS * 10) {
		struct weir_turn turn = {
			.owner = me, .wants = &want, .want_count = 1};

		queue_put_draft(store, &draft);
		queue_turn(store, &turn);
		if (!turn.batch)
			continue;
		note_running((int)turn.batch->count);
		for (size_t i = 0; i < turn.batch->count; i++) {
			note_running(-1);
			queue_end(store, me, &turn.batch->claims[i],
				  WEIR_VERDICT_COMPLETE);
			atomic_fetch_add(&marks->ended, 1);
		}
	}
}

STORE_TEST_LIMIT(limits, are_exact_for_four_who_claim_at_once, 60)
{
	map_marks();
	limit(store, "work", AT_ONCE);
	in_processes(store, 4, claim_and_end);
	CHECK_EQ_INT(atomic_load(&marks->peak), AT_ONCE);
}

/* None ends before as many as may have been running at once. */
static weir_status
run_together(weir_ctx *ctx, const void *input, void *output, void *user)
{
	(void)input;
	(void)output;
	(void)user;
	note_running(1);
	while (atomic_load(&marks->peak) < AT_ONCE &&
	       weir_ctx_status(ctx) == WEIR_OK)
		(void)poll(NULL, 0, 1);
	atomic_fetch_sub(&marks->running, 1);
	atomic_fetch_add(&marks->ended, 1);
	return WEIR_OK;
}

static void
work_until_empty(weir_store *store)
{
	weir_handler handler = {
		.size = sizeof(handler), .kind = "work", .run = run_together};
	weir_work_options options = WEIR_WORK_OPTIONS_INIT;
	weir_work *work = NULL;
	weir_error error = {0};

	options.handlers = &handler;
	options.handler_count = 1;
	options.workers = 2;
	options.until_empty = true;
	REQUIRE(weir_work_new(&work, store, &options, &error) == WEIR_OK);
	CHECK_EQ_INT(weir_work_run(work, NULL, &error), WEIR_OK);
	weir_work_free(work);
}

/* With two slots each: neither of them gets there alone. */
STORE_TEST_LIMIT(works, in_two_processes_reach_a_limit_and_keep_it, 60)
{
	map_marks();
	limit(store, "work", AT_ONCE);
	put_many(store, "work", JOBS);
	in_processes(store, 2, work_until_empty);
	CHECK_EQ_INT(atomic_load(&marks->peak), AT_ONCE);
	CHECK_EQ_INT(atomic_load(&marks->ended), JOBS);
	CHECK_STR(ask(store, "SELECT count(*) FROM @river_job"
			     " WHERE state <> 'completed'"),
		  "0");
}
