/*
 * What every store must do: a few sessions at one job, in every order.
 *
 * Design, after PostgreSQL's isolation tester: a session is a handle with an
 * owner of its own and a text of steps, a letter each.  All ways to merge these
 * texts are tried, on a fresh job each.  A model of a few words says beside it
 * what has to come of each step, and what the job has to look like after it:
 *
 *   - a claim is given only while no other is live, and is live until its
 *     outcome was accepted, its owner was rescued, or has left;
 *   - an outcome is accepted if and only if its claim is live;
 *   - the job runs if and only if a claim is live;
 *   - what is over stays as it is, byte for byte, but for retry and delete;
 *   - a job that somebody wanted cancelled does not run again;
 *   - at the end, whatever has happened, the job can still be run to its end,
 *     if it is not over or deleted.
 *
 * Of a kind of store that is slow one order in so many is tried, which ones
 * depends on the seed; with WEIR_TEST_ORDERS=all it is all of them.
 */
#include "queue_conformance.h"

#include <stdio.h>
#include <stdlib.h>

#define SESSIONS_MAX 4
#define STEPS_MAX    16

struct session {
	weir_store *store;
	struct weir_owner owner;
	const struct weir_claim *claim; /* the last one that it was given */

	/* The model: does it work the store, and how often its heart beat. */
	bool alive;
	unsigned beats;

	/* What it has seen of session 0. */
	bool looked;
	int64_t seen_id, seen_beat;
	unsigned seen_beats;
};

static struct world {
	const char *const *scripts;
	size_t count;
	struct session sessions[SESSIONS_MAX];
	char order[STEPS_MAX * 3 + 1]; /* as it is told: "0c 1c 0f" */
	unsigned long orders, stride;

	/* The job, and the model of it. */
	int64_t job;
	const struct weir_claim *live; /* or NULL */
	struct session *runner;
	bool deleted;
	const char *over; /* its row, when it is over; or NULL */
} world;

#define HOLDS(cond, ...) CHECK_MSG(cond, __VA_ARGS__)

static void
step_claim(struct session *s)
{
	struct weir_want wants[2] = {
		{.queue = "default", .count = 1},
		{.queue = "default", .count = 1, .alone = true}};
	struct weir_turn turn = {
		.owner = &s->owner, .wants = wants, .want_count = 2};
	weir_status status = queue_try_turn(s->store, &turn);

	HOLDS(status == (s->alive ? WEIR_OK : WEIR_STALE), "%s: claim gives %d",
	      world.order, (int)status);
	if (status != WEIR_OK || !turn.batch)
		return;
	HOLDS(!world.live, "%s: two live claims", world.order);
	HOLDS(!world.over && !world.deleted, "%s: claimed what is over",
	      world.order);
	s->claim = world.live = &turn.batch->claims[0];
	world.runner = s;
}

/* Hand in an outcome for its last claim, live or not. */
static void
step_finish(struct session *s, enum weir_verdict verdict, int64_t in_ms)
{
	struct weir_finish finish = {.claim = s->claim,
				     .verdict = verdict,
				     .at_ms = queue_now_ms + in_ms};
	struct weir_finished finished = {.status = WEIR_STALE};
	struct weir_turn turn = {.owner = &s->owner,
				 .finishes = &finish,
				 .finish_count = 1,
				 .finished = &finished};
	bool live = s->claim && s->claim == world.live && s->alive;
	weir_status status;

	if (!s->claim)
		return;
	status = queue_try_turn(s->store, &turn);
	HOLDS(status == (s->alive ? WEIR_OK : WEIR_STALE), "%s: turn gives %d",
	      world.order, (int)status);
	HOLDS((finished.status == WEIR_OK) == live, "%s: outcome %s",
	      world.order, live ? "refused" : "accepted");
	if (live)
		world.live = NULL;
}

static void
step_beat(struct session *s)
{
	weir_error error = {0};
	weir_status status = s->store->ops->extend(s->store, &s->owner, &error);

	HOLDS(status == (s->alive ? WEIR_OK : WEIR_STALE), "%s: beat gives %d",
	      world.order, (int)status);
	s->beats++;
}

static void
enlist(struct session *s)
{
	snprintf(s->owner.name, sizeof(s->owner.name), "session%d",
		 (int)(s - world.sessions));
	REQUIRE(queue_try_enlist(s->store, &s->owner) == WEIR_OK);
	s->alive = true;
	s->beats = 0;
}

static void
step_leave(struct session *s)
{
	if (!s->alive)
		return;
	queue_leave(s->store, &s->owner);
	s->alive = false;
	if (world.live && world.runner == s)
		world.live = NULL;
}

static void
step_look(struct session *s)
{
	const struct session *other = &world.sessions[0];

	s->seen_id = other->owner.id;
	s->seen_beat = queue_beat(s->store, s->seen_id);
	s->seen_beats = other->beats;
	s->looked = s->seen_beat >= 0;
	HOLDS(s->looked == other->alive, "%s: the client is %s", world.order,
	      s->looked ? "there" : "not there");
}

/* Rescue what session 0 has, by what was seen of it. */
static void
step_rescue(struct session *s)
{
	struct session *other = &world.sessions[0];
	bool dead = other->alive && s->looked &&
		    s->seen_id == other->owner.id &&
		    s->seen_beats == other->beats;
	uint32_t n;

	if (!s->looked)
		return;
	n = queue_rescue(s->store, s->seen_id, s->seen_beat);
	HOLDS(n == (dead && world.live && world.runner == other),
	      "%s: rescued %u", world.order, n);
	if (n > 0)
		world.live = NULL;
	if (dead)
		other->alive = false;
}

static void
step_change(struct session *s, weir_job_action action)
{
	weir_job_changed changed = queue_change(s->store, action, world.job);

	HOLDS((changed.status == WEIR_NOTFOUND) == world.deleted,
	      "%s: change gives %d", world.order, (int)changed.status);
	if (world.live && action != WEIR_JOB_CANCEL)
		HOLDS(changed.status == WEIR_BUSY, "%s: changed while it ran",
		      world.order);
	if (changed.status != WEIR_OK)
		return;
	if (action == WEIR_JOB_DELETE)
		world.deleted = true;
	if (action != WEIR_JOB_CANCEL)
		world.over = NULL;
}

/* What the letters mean. */
static void
do_step(struct session *s, char step)
{
	switch (step) {
	case 'c':
		step_claim(s);
		break;
	case 'f':
		step_finish(s, WEIR_VERDICT_COMPLETE, 0);
		break;
	case 'd':
		step_finish(s, WEIR_VERDICT_DISCARD, 0);
		break;
	case 'r': /* retry at once */
		step_finish(s, WEIR_VERDICT_RETRY, 0);
		break;
	case 's': /* snooze for a minute */
		step_finish(s, WEIR_VERDICT_SNOOZE, 60000);
		break;
	case 'l': /* release */
		step_finish(s, WEIR_VERDICT_RELEASE, 0);
		break;
	case 'b':
		step_beat(s);
		break;
	case 'e': /* enlist anew if it is dead */
		if (!s->alive)
			enlist(s);
		break;
	case 'q': /* quit */
		step_leave(s);
		break;
	case 'o': /* look at session 0's beat */
		step_look(s);
		break;
	case 'R':
		step_rescue(s);
		break;
	case 'x':
		step_change(s, WEIR_JOB_CANCEL);
		break;
	case 't':
		step_change(s, WEIR_JOB_RETRY);
		break;
	case 'D':
		step_change(s, WEIR_JOB_DELETE);
		break;
	case 'p': /* a minute passes; promote */
		queue_now_ms += 60000;
		queue_promote(s->store);
		break;
	default:
		CHECK_MSG(false, "%c is no step", step);
	}
}

/* The job, as the model says it has to be. */
static void
check_job(weir_store *store)
{
	const weir_job_row *row = queue_find(store, world.job);
	bool over;

	HOLDS((row == NULL) == world.deleted, "%s: the job is %s", world.order,
	      row ? "there" : "lost");
	if (!row)
		return;
	HOLDS((row->state == WEIR_JOB_RUNNING) == (world.live != NULL),
	      "%s: it is %s", world.order, weir_job_state_name(row->state));
	if (world.live)
		HOLDS(row->attempt == world.live->row.attempt &&
			      row->attempted_at_ms ==
				      world.live->row.attempted_at_ms,
		      "%s: it runs under another claim", world.order);
	over = (WEIR_JOB_STATES_FINAL & WEIR_JOB_STATE_BIT(row->state)) != 0;
	HOLDS(over == (row->finalized_at_ms != 0), "%s: over, and since when",
	      world.order);
	HOLDS(!row->cancel_at_ms || over || world.live,
	      "%s: cancelled, and waits", world.order);
	if (world.over)
		HOLDS(strcmp(queue_dump(store, world.job), world.over) == 0,
		      "%s: it was over, and has changed", world.order);
	else if (over)
		world.over = queue_dump(store, world.job);
}

/* Everybody goes; then it can be run to its end, if it is not over. */
static void
run_to_the_end(void)
{
	struct session *s = &world.sessions[0];
	const weir_job_row *row;

	for (size_t i = 0; i < world.count; i++)
		step_leave(&world.sessions[i]);
	check_job(s->store);
	enlist(s);
	queue_now_ms += 3600000;
	queue_promote(s->store);
	if (!world.over && !world.deleted) {
		step_claim(s);
		HOLDS(world.live, "%s: it cannot be claimed", world.order);
		step_finish(s, WEIR_VERDICT_COMPLETE, 0);
		check_job(s->store);
	}
	step_leave(s);
	row = queue_find(s->store, world.job);
	HOLDS(!row || (WEIR_JOB_STATES_FINAL & WEIR_JOB_STATE_BIT(row->state)),
	      "%s: it has no end", world.order);
	if (row)
		queue_change(s->store, WEIR_JOB_DELETE, world.job);
}

/* One order: who takes the next step, by the number of its session. */
static void
try_order(const char *order)
{
	size_t at[SESSIONS_MAX] = {0}, len = 0;

	world.order[0] = '\0';
	world.live = NULL;
	world.over = NULL;
	world.deleted = false;
	for (size_t i = 0; i < world.count; i++) {
		world.sessions[i].claim = NULL;
		world.sessions[i].looked = false;
		/* Who only looks on has no part in the work. */
		if (i == 0 || strchr(world.scripts[i], 'c'))
			enlist(&world.sessions[i]);
	}
	world.job = queue_put(world.sessions[0].store, "work");
	for (; *order; order++) {
		size_t who = (size_t)(*order - '0');
		char step = world.scripts[who][at[who]++];

		len += (size_t)snprintf(world.order + len,
					sizeof(world.order) - len, "%c%c ",
					*order, step);
		do_step(&world.sessions[who], step);
		check_job(world.sessions[who].store);
	}
	run_to_the_end();
	queue_forget();
}

/* Has it yet to begin, and so has its twin before it, which is to be first? */
static bool
is_second_twin(size_t i, const size_t left[SESSIONS_MAX])
{
	/* Session 0 is looked at, and has no twin. */
	return i > 1 && strcmp(world.scripts[i], world.scripts[i - 1]) == 0 &&
	       left[i] == left[i - 1] && left[i] == strlen(world.scripts[i]);
}

static bool
is_to_be_tried(unsigned long order)
{
	return world.stride == 1 || (order + test_seed()) % world.stride == 0;
}

/* All orders that begin with the len steps in order. */
static void
try_orders(char *order, size_t len, size_t left[SESSIONS_MAX])
{
	bool end = true;

	for (size_t i = 0; i < world.count; i++) {
		if (left[i] == 0)
			continue;
		end = false;
		if (is_second_twin(i, left))
			continue;
		left[i]--;
		order[len] = (char)('0' + (int)i);
		try_orders(order, len + 1, left);
		left[i]++;
	}
	order[len] = '\0';
	if (end && is_to_be_tried(world.orders++))
		try_order(order);
}

static void
try_all(weir_store *store, const char *const *scripts, unsigned long orders)
{
	char order[STEPS_MAX + 1];
	size_t left[SESSIONS_MAX] = {0}, steps = 0;

	const char *all = getenv("WEIR_TEST_ORDERS");

	memset(&world, 0, sizeof(world));
	world.stride = all && strcmp(all, "all") == 0 ? 1 : queue_stores.stride;
	world.scripts = scripts;
	while (scripts[world.count]) {
		size_t i = world.count++;

		REQUIRE(i < SESSIONS_MAX);
		left[i] = strlen(scripts[i]);
		steps += left[i];
		world.sessions[i].store = i ? queue_join(store) : store;
	}
	REQUIRE(steps <= STEPS_MAX);
	try_orders(order, 0, left);
	CHECK_EQ_INT(world.orders, orders);
}

/* Sessions and how many orders there are. */
#define ORDERS(name, count, ...)                                          \
	STORE_TEST_LIMIT(every_order, name, 60)                           \
	{                                                                 \
		static const char *const scripts[] = {__VA_ARGS__, NULL}; \
                                                                          \
		try_all(store, scripts, count);                           \
	}

ORDERS(of_two_workers, 20, "cfc", "cfc")
ORDERS(of_a_worker_that_is_rescued_and_another, 90, "cf", "cf", "oR")
ORDERS(of_two_rescuers_and_a_beat, 105, "cbf", "oR", "oR")
ORDERS(of_two_workers_and_two_rescuers, 1260, "cf", "cf", "oR", "oR")
ORDERS(of_a_worker_that_comes_back, 420, "cecf", "cf", "oR")
ORDERS(of_a_worker_that_releases_and_claims_again, 420, "clcf", "cf", "oR")
ORDERS(of_retries_and_a_cancel, 105, "crcf", "cf", "x")
ORDERS(of_a_release_and_a_cancel, 105, "clcf", "cr", "x")
ORDERS(of_a_rescue_and_a_cancel, 180, "cr", "oR", "x", "c")
ORDERS(of_a_snooze_a_cancel_and_promoters, 420, "cs", "pcf", "p", "x")
ORDERS(of_a_retry_by_hand_and_a_rescue, 210, "cd", "cft", "oR")
ORDERS(of_a_delete_and_a_rescue, 180, "cd", "oR", "D", "c")
ORDERS(of_a_cancel_a_retry_and_a_delete, 30, "cf", "xt", "D")
ORDERS(of_one_that_leaves_and_a_rescue, 90, "cq", "cf", "oR")
