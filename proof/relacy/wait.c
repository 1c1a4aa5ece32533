/*
 * Wait queues, as channels and pools use them: a few tokens under a mutex,
 * and threads that wait for one.
 */
#include "scenario.h"

#include "core/wait.h"

static struct weir_mutex mu;
static struct weir_waitq q;
static weir_ctx *ctx;
static int tokens;

static void
setup(void)
{
	weir__mutex_init(&mu);
	weir__waitq_init(&q);
	tokens = 0;
	CHECK(weir_ctx_new(&ctx, NULL, WEIR_FOREVER) == WEIR_OK);
}

static void
tear_down(void)
{
	CHECK(q.len == 0);
	CHECK(weir__list_empty(&q.waiters));
	weir__mutex_fini(&mu);
	ctx = weir_ctx_unref(ctx);
}

static void
give(void)
{
	struct weir_park *wake;

	weir__mutex_lock(&mu);
	tokens++;
	wake = weir__waitq_wake_one(&q);
	weir__mutex_unlock(&mu);
	weir__kick(wake);
}

/* WEIR_OK with a token, or why not. */
static weir_status
take(weir_ctx *under, int64_t deadline_ns)
{
	weir_status status = WEIR_OK;

	weir__mutex_lock(&mu);
	while (tokens == 0 && status == WEIR_OK)
		status = weir__waitq_wait(&q, &mu, under, deadline_ns);
	if (tokens > 0 && status == WEIR_OK)
		tokens--;
	weir__mutex_unlock(&mu);
	return status;
}

static void
take_one(void)
{
	CHECK(take(NULL, WEIR_FOREVER) == WEIR_OK);
}

static void
give_two(void)
{
	give();
	give();
}

/* Tokens that nobody uses up: all may go. */
static void
open_gate(void)
{
	weir__mutex_lock(&mu);
	tokens = 2;
	weir__waitq_wake_all(&q);
	weir__mutex_unlock(&mu);
}

static void
cancel(void)
{
	weir_ctx_cancel(ctx);
}

static void
take_cancelled(void)
{
	CHECK(take(ctx, WEIR_FOREVER) == WEIR_CANCELED);
}

/* Whoever leaves with the token has no use for it, and hands it on. */
static void
take_or_be_cancelled(void)
{
	if (take(ctx, WEIR_FOREVER) == WEIR_OK)
		give();
}

static void
take_in_time(void)
{
	weir_status status = take(NULL, weir_now_ns() + WEIR_US);

	CHECK(status == WEIR_OK || status == WEIR_BUSY);
	if (status == WEIR_OK)
		give();
}

static void
take_too_late(void)
{
	int64_t until_ns = weir_now_ns() + WEIR_US;

	CHECK(take(NULL, until_ns) == WEIR_BUSY);
	CHECK(weir_now_ns() >= until_ns);
}

static void
give_and_cancel(void)
{
	give();
	weir_ctx_cancel(ctx);
}

const struct weir_scenario wait_scenarios[] = {
	{.name = "wait_one",
	 .promise = "a waiter is woken by what it waits for, although nothing "
		    "else happens",
	 .setup = setup,
	 .thread = {take_one, give},
	 .finish = tear_down},
	{.name = "wait_two",
	 .promise = "each wake-up wakes a waiter of its own",
	 .setup = setup,
	 .thread = {take_one, take_one, give_two},
	 .finish = tear_down},
	{.name = "wait_two_givers",
	 .promise = "two wake-ups from two threads wake two waiters",
	 .setup = setup,
	 .thread = {take_one, take_one, give, give},
	 .finish = tear_down},
	{.name = "wait_all",
	 .promise = "waking all wakes every waiter",
	 .setup = setup,
	 .thread = {take_one, take_one, open_gate},
	 .finish = tear_down},
	{.name = "wait_cancel",
	 .promise = "a waiter whose context is cancelled returns, although "
		    "nobody wakes it",
	 .setup = setup,
	 .thread = {take_cancelled, cancel},
	 .finish = tear_down},
	{.name = "wait_cancel_eaten",
	 .promise =
		 "a cancelled waiter passes on the wake-up it may have eaten",
	 .setup = setup,
	 .thread = {take_or_be_cancelled, take_one, give_and_cancel},
	 .finish = tear_down},
	{.name = "wait_cancel_cross",
	 .promise = "a wake-up and a cancel that cross lose neither the waiter "
		    "nor the wake-up",
	 .setup = setup,
	 .thread = {take_or_be_cancelled, take_one, give, cancel},
	 .finish = tear_down},
	{.name = "wait_deadline",
	 .promise = "a waiter with a deadline returns at it, although nobody "
		    "wakes it",
	 .setup = setup,
	 .thread = {take_too_late, cancel},
	 .finish = tear_down},
	{.name = "wait_deadline_eaten",
	 .promise = "a waiter that gives up at its deadline passes on the "
		    "wake-up it may have eaten",
	 .setup = setup,
	 .thread = {take_in_time, take_one, give},
	 .finish = tear_down},
	{.name = NULL},
};
