/*
 * Contexts.
 */
#include "scenario.h"

#include "core/ctx.h"

#include <string.h>

static weir_ctx *root, *child, *grandchild;
static int message;

static void
setup_chain(int64_t timeout_ns)
{
	CHECK(weir_ctx_new(&root, NULL, timeout_ns) == WEIR_OK);
	CHECK(weir_ctx_new(&child, root, WEIR_FOREVER) == WEIR_OK);
	CHECK(weir_ctx_new(&grandchild, child, WEIR_FOREVER) == WEIR_OK);
	message = 0;
}

static void
setup(void)
{
	setup_chain(WEIR_FOREVER);
}

static void
setup_deadline(void)
{
	setup_chain(WEIR_US);
}

static void
tear_down(void)
{
	grandchild = weir_ctx_unref(grandchild);
	child = weir_ctx_unref(child);
	root = weir_ctx_unref(root);
}

static void
setup_alone(void)
{
	setup();
	grandchild = weir_ctx_unref(grandchild);
	child = weir_ctx_unref(child);
}

static void
cancel_root(void)
{
	weir_ctx_cancel(root);
}

static void
write_and_cancel(void)
{
	weir__data_write(&message);
	message = 1;
	weir_ctx_cancel(root);
}

static void
look_for_message(void)
{
	if (weir_ctx_status(root) != WEIR_CANCELED)
		return;
	weir__data_read(&message);
	CHECK(message == 1);
}

static void
sleep_on_root(void)
{
	CHECK(weir_ctx_sleep(root, WEIR_FOREVER) == WEIR_CANCELED);
}

static void
sleep_on_grandchild(void)
{
	CHECK(weir_ctx_sleep(grandchild, WEIR_FOREVER) == WEIR_CANCELED);
}

static void
sleep_a_little(void)
{
	weir_status status = weir_ctx_sleep(root, WEIR_US);

	CHECK(status == WEIR_OK || status == WEIR_CANCELED);
}

static void
sleep_till_deadline(void)
{
	CHECK(weir_ctx_sleep(grandchild, WEIR_FOREVER) == WEIR_TIMEDOUT);
	CHECK(weir_ctx_status(root) == WEIR_TIMEDOUT);
}

static void
sleep_till_end(void)
{
	weir_status status = weir_ctx_sleep(grandchild, WEIR_FOREVER);

	CHECK(status == WEIR_TIMEDOUT || status == WEIR_CANCELED);
	CHECK(weir_ctx_status(grandchild) == status);
}

static void
cancel_child(void)
{
	weir_ctx_cancel(child);
}

static void
make_child(void)
{
	weir_ctx *mine;

	CHECK(weir_ctx_new(&mine, root, WEIR_FOREVER) == WEIR_OK);
	CHECK(weir_ctx_sleep(mine, WEIR_FOREVER) == WEIR_CANCELED);
	weir_ctx_unref(mine);
}

static void
drop_grandchild(void)
{
	grandchild = weir_ctx_unref(grandchild);
}

static void
drop_child(void)
{
	child = weir_ctx_unref(child);
}

/* The same context, held by two. */
static void
setup_shared(void)
{
	setup();
	grandchild = weir_ctx_unref(grandchild);
	weir_ctx_ref(child);
}

static void
use_and_unref(void)
{
	CHECK(weir_ctx_deadline_ns(child) == WEIR_FOREVER);
	weir_ctx_unref(child);
}

static void
drop_root(void)
{
	root = weir_ctx_unref(root);
}

static void
cancel_as(const char *why)
{
	weir_error error, again;

	weir_ctx_cancel_cause(root, why);
	weir_ctx_cause(root, &error);
	weir_ctx_cause(root, &again);
	CHECK(error.status == WEIR_CANCELED);
	CHECK(!strcmp(error.message, again.message));
}

static void
cancel_as_a(void)
{
	cancel_as("a");
}

static void
cancel_as_b(void)
{
	cancel_as("b");
}

/* What a slot does between two attempts, and what a job that holds on does. */
static void
rearm_if_alone(void)
{
	if (weir__ctx_is_unshared(child))
		weir__ctx_rearm(child, weir_now_ns() + WEIR_S);
}

static void
setup_pair(void)
{
	setup();
	grandchild = weir_ctx_unref(grandchild);
}

static void
rearm_and_sleep(void)
{
	weir_ctx_cancel(child);
	weir__ctx_rearm(child, WEIR_FOREVER);
	CHECK(weir_ctx_sleep(child, WEIR_FOREVER) == WEIR_CANCELED);
}

const struct weir_scenario ctx_scenarios[] = {
	{.name = "ctx_sees",
	 .promise = "who sees that a context was cancelled sees what was "
		    "written before",
	 .setup = setup,
	 .thread = {write_and_cancel, look_for_message},
	 .finish = tear_down},
	{.name = "ctx_sleep",
	 .promise = "a sleeper wakes when its context is cancelled, before, "
		    "while or after it lies down",
	 .setup = setup_alone,
	 .thread = {cancel_root, sleep_on_root},
	 .finish = drop_root},
	{.name = "ctx_two_sleepers",
	 .promise = "cancelling wakes everybody who sleeps on the context",
	 .setup = setup_alone,
	 .thread = {cancel_root, sleep_on_root, sleep_on_root},
	 .finish = drop_root},
	{.name = "ctx_grandchild",
	 .promise = "cancelling ends all that is below, however deep",
	 .setup = setup,
	 .thread = {cancel_root, sleep_on_grandchild},
	 .finish = tear_down},
	{.name = "ctx_newborn",
	 .promise =
		 "a context that is born while its parent ends has ended, or "
		 "is ended with it",
	 .setup = setup_alone,
	 .thread = {cancel_root, make_child},
	 .finish = drop_root},
	{.name = "ctx_once",
	 .promise = "a context ends once, with one cause, however many cancel "
		    "it",
	 .setup = setup_alone,
	 .thread = {cancel_as_a, cancel_as_b},
	 .finish = drop_root},
	{.name = "ctx_end_and_die",
	 .promise = "a context may die while its parent is being ended",
	 .setup = setup,
	 .thread = {cancel_root, drop_grandchild, drop_child},
	 .finish = drop_root},
	{.name = "ctx_last_reference",
	 .promise = "the last of two references frees the context, after the "
		    "other's last use",
	 .setup = setup_shared,
	 .thread = {use_and_unref, use_and_unref},
	 .finish = drop_root},
	{.name = "ctx_unwatch",
	 .promise =
		 "once a sleeper has returned, nobody touches the place where "
		 "it slept",
	 .setup = setup_alone,
	 .thread = {cancel_root, sleep_a_little},
	 .finish = drop_root},
	{.name = "ctx_deadline",
	 .promise = "a deadline ends a context and all below, although nobody "
		    "cancels",
	 .setup = setup_deadline,
	 .thread = {sleep_till_deadline, sleep_till_deadline},
	 .finish = tear_down},
	{.name = "ctx_deadline_cross",
	 .promise = "a cancel and a deadline that cross leave one of the two, "
		    "for good",
	 .setup = setup_deadline,
	 .thread = {sleep_till_end, cancel_child},
	 .finish = tear_down},
	{.name = "ctx_unshared",
	 .promise =
		 "a slot uses its context again only after the job that held "
		 "on to it has let go",
	 .setup = setup_shared,
	 .thread = {use_and_unref, rearm_if_alone},
	 .finish = tear_down},
	{.name = "ctx_rearm",
	 .promise = "a context that is used again ends with its parent",
	 .setup = setup_pair,
	 .thread = {cancel_root, rearm_and_sleep},
	 .finish = tear_down},
	{.name = NULL},
};
