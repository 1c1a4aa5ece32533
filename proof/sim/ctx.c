/* Contexts: cancelling, deadlines, parents, the end of their lives. */
#include "scenario.h"

#include "book.h"

static weir_ctx *shared;

static void
cancel(void *arg)
{
	(void)arg;
	weir_ctx_cancel_cause(shared, "enough");
}

static void
cancel_and_unref(void *arg)
{
	weir_ctx_cancel(arg);
	weir_ctx_unref(arg);
}

static void
unref(void *arg)
{
	weir_ctx_unref(arg);
}

static void
ctx_cancel_wakes(void)
{
	int other;

	shared = make_ctx(NULL, WEIR_FOREVER);
	other = sim_spawn("canceller", cancel, NULL);
	sim_check(weir_ctx_sleep(shared, WEIR_FOREVER) == WEIR_CANCELED);
	sim_join(other);
	shared = weir_ctx_unref(shared);
}

static void
ctx_cancel_child(void)
{
	weir_ctx *child;
	int other;

	shared = make_ctx(NULL, WEIR_FOREVER);
	other = sim_spawn("canceller", cancel, NULL);
	child = make_ctx(shared, WEIR_FOREVER);
	sim_check(weir_ctx_sleep(child, WEIR_FOREVER) == WEIR_CANCELED);
	sim_join(other);
	weir_ctx_unref(child);
	shared = weir_ctx_unref(shared);
}

/* A child dies while its parent is being cancelled. */
static void
ctx_child_dies(void)
{
	weir_ctx *child;
	int a, b;

	shared = make_ctx(NULL, WEIR_FOREVER);
	child = make_ctx(shared, WEIR_FOREVER);
	a = sim_spawn("canceller", cancel, NULL);
	b = sim_spawn("last owner", unref, child);
	sim_join(a);
	sim_join(b);
	sim_check(weir_ctx_status(shared) == WEIR_CANCELED);
	shared = weir_ctx_unref(shared);
}

static void
ctx_last_reference(void)
{
	int a, b;

	shared = make_ctx(NULL, WEIR_FOREVER);
	a = sim_spawn("owner a", cancel_and_unref, weir_ctx_ref(shared));
	b = sim_spawn("owner b", cancel_and_unref, weir_ctx_ref(shared));
	shared = weir_ctx_unref(shared);
	sim_join(a);
	sim_join(b);
}

static void
ctx_deadline(void)
{
	weir_status status;
	weir_error error;
	int other;

	shared = make_ctx(NULL, WEIR_MS);
	other = sim_spawn("canceller", cancel, NULL);
	status = weir_ctx_sleep(shared, WEIR_FOREVER);
	sim_check(status == WEIR_CANCELED || status == WEIR_TIMEDOUT);
	sim_check(status == WEIR_CANCELED ||
		  weir_now_ns() >= weir_ctx_deadline_ns(shared));
	sim_join(other);
	/* It stays what it has become. */
	weir_ctx_cause(shared, &error);
	sim_check(error.status == status);
	sim_check((error.message[0] == 'e') == (status == WEIR_CANCELED));
	shared = weir_ctx_unref(shared);
}

/* A child that is born while the parent ends is done in the end. */
static void
bear(void *arg)
{
	weir_ctx *child = make_ctx(arg, WEIR_FOREVER);

	sim_check(weir_ctx_sleep(child, WEIR_FOREVER) == WEIR_CANCELED);
	weir_ctx_unref(child);
}

static void
ctx_two_children(void)
{
	int a, b;

	shared = make_ctx(NULL, WEIR_FOREVER);
	a = sim_spawn("child a", bear, shared);
	b = sim_spawn("child b", bear, shared);
	cancel(NULL);
	sim_join(a);
	sim_join(b);
	shared = weir_ctx_unref(shared);
}

static weir_limit *limit;
static int64_t limit_first_ns;

static void
take_token(void *arg)
{
	(void)arg;
	sim_check(weir_limit_take(limit, NULL) == WEIR_OK);
}

static void
limit_in_turn(void)
{
	int a, b;

	if (weir_limit_new(&limit, 1000, 1) != WEIR_OK)
		return;
	limit_first_ns = weir_now_ns();
	a = sim_spawn("taker a", take_token, NULL);
	b = sim_spawn("taker b", take_token, NULL);
	take_token(NULL);
	sim_join(a);
	sim_join(b);
	/* Three tokens, one at once, are two intervals. */
	sim_check(weir_now_ns() - limit_first_ns >= 2 * WEIR_MS);
	limit = weir_limit_free(limit);
}

#define ALLOC ((unsigned)SIM_FAIL_ALLOC)

const struct scenario ctx_scenarios[] = {
	{"ctx_cancel_wakes", "cancel wakes who waits", ctx_cancel_wakes, ALLOC,
	 40},
	{"ctx_cancel_child", "cancel reaches a child that is just being born",
	 ctx_cancel_child, ALLOC, 40},
	{"ctx_child_dies", "a child may die while its parent is cancelled",
	 ctx_child_dies, ALLOC, 40},
	{"ctx_last_reference", "the last reference frees, whosever it is",
	 ctx_last_reference, ALLOC, 40},
	{"ctx_deadline", "a context ends once, by its deadline or by cancel",
	 ctx_deadline, ALLOC, 40},
	{"ctx_two_children", "cancel wakes who waits on any child",
	 ctx_two_children, ALLOC, 40},
	{"limit_in_turn", "a limit gives a token an interval, to all in turn",
	 limit_in_turn, ALLOC, 20},
	SCENARIOS_END,
};
