/*
 * Rate limits.  A token is worth a second here, which is for ever as long as
 * somebody runs.
 */
#include "scenario.h"

#include "sync/atomic.h"

static weir_limit *limit;
static weir_ctx *ctx;
static struct weir_u32 taken;
static int64_t began_ns;

static void
setup(void)
{
	CHECK(weir_limit_new(&limit, 1, 1) == WEIR_OK);
	CHECK(weir_ctx_new(&ctx, NULL, WEIR_FOREVER) == WEIR_OK);
	weir__u32_store(&taken, 0, WEIR_RELAXED);
	began_ns = weir_now_ns();
}

static void
setup_empty(void)
{
	int64_t wait_ns;

	setup();
	CHECK(weir_limit_try_take(limit, &wait_ns) == WEIR_OK);
}

static void
tear_down(void)
{
	limit = weir_limit_free(limit);
	ctx = weir_ctx_unref(ctx);
}

static void
try_to_take(void)
{
	int64_t wait_ns = 0;

	if (weir_limit_try_take(limit, &wait_ns) == WEIR_OK)
		weir__u32_add(&taken, 1, WEIR_RELAXED);
	else
		CHECK(wait_ns > 0);
}

static void
one_taken(void)
{
	CHECK(weir__u32_load(&taken, WEIR_RELAXED) == 1);
	tear_down();
}

static void
take(void)
{
	CHECK(weir_limit_take(limit, ctx) == WEIR_OK);
}

static void
two_taken(void)
{
	CHECK(weir_now_ns() >= began_ns + WEIR_S);
	tear_down();
}

static void
take_or_be_cancelled(void)
{
	weir_status status = weir_limit_take(limit, ctx);

	CHECK(status == WEIR_CANCELED || status == WEIR_OK);
	if (status == WEIR_OK) /* a second has passed first */
		weir__u32_add(&taken, 1, WEIR_RELAXED);
}

static void
cancel(void)
{
	weir_ctx_cancel(ctx);
}

/* The next token is a second away, not two. */
static void
given_back(void)
{
	int64_t wait_ns = 0;

	if (weir__u32_load(&taken, WEIR_RELAXED) == 0 &&
	    weir_limit_try_take(limit, &wait_ns) == WEIR_BUSY)
		CHECK(wait_ns <= WEIR_S);
	tear_down();
}

const struct weir_scenario limit_scenarios[] = {
	{.name = "limit_once",
	 .promise = "a token is taken by one of those who try",
	 .setup = setup,
	 .thread = {try_to_take, try_to_take},
	 .finish = one_taken},
	{.name = "limit_wait",
	 .promise = "who finds no token waits until there is one",
	 .setup = setup,
	 .thread = {take, take},
	 .finish = two_taken},
	{.name = "limit_cancel",
	 .promise = "who gives up waiting for a token gives it back",
	 .setup = setup_empty,
	 .thread = {take_or_be_cancelled, cancel},
	 .finish = given_back},
	{.name = NULL},
};
