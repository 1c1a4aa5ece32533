/*
 * Contexts: one-way latches with a deadline and a parent.
 *
 * Design.  A context keeps a list of watches.  A child hangs in its parent's
 * list by its own watch `up`; a thread that waits hangs there by a watch that
 * signals it.  Ending a context sets its state and fires its list; children
 * go to a list of work instead, each with a reference, and are ended one
 * after the other when their parent's lock is free again.  A chain may so be
 * of any length, and no two locks are held on the way down.
 *
 * There is no timer.  A deadline is inherited at birth (the earlier of one's
 * own and the parent's), every waiter sleeps no longer than until then, and
 * whoever asks for the status past the deadline ends the context on the spot.
 * The objection: a context whose deadline has passed unseen has not told its
 * children.  They need no telling; their deadlines are no later.
 *
 * Locking.  mu guards the list and the reason; state is written under mu and
 * read without it.  A context that is born, or rearmed, below one that is
 * done is ended under its parent's lock: parent before child.  Nobody who
 * holds a child's mu asks for its parent's.
 *
 * Life.  Counted.  A child holds a reference to its parent; a parent holds
 * none to its children, which leave its list before they die.  One that has
 * left but is in a list of work is kept alive by that.
 */
#include "core/ctx.h"

#include "base/assert.h"
#include "sync/clock.h"
#include "sync/park.h"

#include <stdio.h>
#include <stdlib.h>

static void
ctx_fire_child(struct weir_watch *watch, weir_status status, const char *why)
{
	weir__ctx_end(weir_container_of(watch, weir_ctx, up), status, why);
}

static weir_status
ctx_alloc(weir_ctx **out, weir_ctx *parent, int64_t deadline_ns)
{
	weir_ctx *ctx;

	ctx = calloc(1, sizeof(*ctx));
	if (!ctx)
		return WEIR_NOMEM;
	weir__u32_store(&ctx->refs, 1, WEIR_RELAXED);
	weir__u32_store(&ctx->state, WEIR_OK, WEIR_RELAXED);
	weir__mutex_init(&ctx->mu);
	weir__list_init(&ctx->watches);
	weir__list_init(&ctx->work);
	weir__watch_init(&ctx->up, ctx_fire_child);
	ctx->deadline_ns = deadline_ns;
	if (parent) {
		ctx->parent = weir_ctx_ref(parent);
		ctx->deadline_ns =
			weir__earlier_ns(deadline_ns, parent->deadline_ns);
		weir__ctx_watch(parent, &ctx->up);
	}
	*out = ctx;
	return WEIR_OK;
}

weir_status
weir_ctx_new(weir_ctx **out, weir_ctx *parent, int64_t timeout_ns)
{
	int64_t deadline_ns = WEIR_FOREVER;

	if (!out)
		return WEIR_INVAL;
	if (timeout_ns != WEIR_FOREVER)
		deadline_ns = weir__deadline_ns(weir_now_ns(), timeout_ns);
	return ctx_alloc(out, parent, deadline_ns);
}

weir_status
weir__ctx_new_for_job(weir_ctx **out, weir_ctx *parent, weir_job *job)
{
	weir_status status = ctx_alloc(out, parent, WEIR_FOREVER);

	if (status == WEIR_OK)
		(*out)->job = job;
	return status;
}

weir_ctx *
weir_ctx_ref(weir_ctx *ctx)
{
	if (ctx) {
		/* Relaxed: the caller's own reference keeps it alive. */
		uint32_t before = weir__u32_add(&ctx->refs, 1, WEIR_RELAXED);

		weir_assert(before > 0 && before < UINT32_MAX);
	}
	return ctx;
}

weir_ctx *
weir_ctx_unref(weir_ctx *ctx)
{
	/* A loop instead of recursion: a chain may end all at once. */
	while (ctx) {
		weir_ctx *parent = ctx->parent;
		/* Acq_rel: the last one sees what all others did. */
		uint32_t before =
			weir__u32_sub(&ctx->refs, 1,
				      WEIR_ORDER(CTX_UNREF_ORDER, WEIR_ACQ_REL,
						 WEIR_RELAXED));

		weir_assert(before > 0);
		if (before > 1)
			break;
		weir__ctx_unwatch(&ctx->up);
		weir_assert(weir__list_empty(&ctx->watches));
		weir__mutex_fini(&ctx->mu);
		free(ctx);
		ctx = parent;
	}
	return NULL;
}

void
weir__ctx_watch(weir_ctx *ctx, struct weir_watch *watch)
{
	weir_status status;

	weir_assert(!watch->ctx);
	if (!ctx)
		return;
	weir__mutex_lock(&ctx->mu);
	watch->ctx = ctx;
	status = (weir_status)weir__u32_load(&ctx->state, WEIR_RELAXED);
	if (status == WEIR_OK)
		weir__list_append(&ctx->watches, &watch->link);
	else if (!WEIR_MUTATED(CTX_WATCH_DONE))
		watch->fire(watch, status, ctx->why);
	weir__mutex_unlock(&ctx->mu);
}

void
weir__ctx_unwatch_slow(struct weir_watch *watch)
{
	weir_ctx *ctx = watch->ctx;

	if (!WEIR_MUTATED(CTX_UNWATCH_LOCK))
		weir__mutex_lock(&ctx->mu);
	weir__list_remove(&watch->link);
	if (!WEIR_MUTATED(CTX_UNWATCH_LOCK))
		weir__mutex_unlock(&ctx->mu);
	watch->ctx = NULL;
}

/* A reference to a context that may be dying. */
static bool
ctx_try_ref(weir_ctx *ctx)
{
	uint32_t refs = weir__u32_load(&ctx->refs, WEIR_RELAXED);

	/* Relaxed: it is the parent's lock, held here, that keeps it there. */
	/* unreached: somebody else counts in between; a race of nanoseconds */
	while ((refs > 0 || WEIR_MUTATED(CTX_TRY_REF)) &&
	       !weir__u32_cas(&ctx->refs, refs, refs + 1, WEIR_RELAXED))
		refs = weir__u32_load(&ctx->refs, WEIR_RELAXED);
	return refs > 0 || WEIR_MUTATED(CTX_TRY_REF);
}

/* End one context; its children are left to do, in work. */
static void
ctx_end_one(weir_ctx *ctx, weir_status status, const char *why,
	    struct weir_list *work)
{
	struct weir_list *link;

	weir__mutex_lock(&ctx->mu);
	if (weir__u32_load(&ctx->state, WEIR_RELAXED) == WEIR_OK ||
	    WEIR_MUTATED(CTX_ONCE)) {
		snprintf(ctx->why, sizeof(ctx->why), "%s", why);
		weir__u32_store(&ctx->state, status,
				WEIR_ORDER(CTX_STATE_STORE, WEIR_RELEASE_ORDER,
					   WEIR_RELAXED));
		while ((link = weir__list_pop(&ctx->watches))) {
			struct weir_watch *watch = weir_container_of(
				link, struct weir_watch, link);
			weir_ctx *child =
				weir_container_of(watch, weir_ctx, up);

			if (watch->fire != ctx_fire_child)
				watch->fire(watch, status, ctx->why);
			else if (ctx_try_ref(child))
				weir__list_append(work, &child->work);
			if (WEIR_MUTATED(CTX_FIRE))
				break;
		}
	}
	weir__mutex_unlock(&ctx->mu);
}

void
weir__ctx_end(weir_ctx *ctx, weir_status status, const char *why)
{
	struct weir_list work, *link;

	weir_assert(status != WEIR_OK);
	weir__list_init(&work);
	ctx_end_one(ctx, status, why, &work);
	while ((link = weir__list_pop(&work))) {
		weir_ctx *child = weir_container_of(link, weir_ctx, work);

		if (!WEIR_MUTATED(CTX_DESCEND) || !child->parent->parent)
			ctx_end_one(child, status, why, &work);
		weir_ctx_unref(child);
	}
}

void
weir_ctx_cancel(weir_ctx *ctx)
{
	weir_ctx_cancel_cause(ctx, "");
}

void
weir_ctx_cancel_cause(weir_ctx *ctx, const char *why)
{
	if (ctx)
		weir__ctx_end(ctx, WEIR_CANCELED, why ? why : "");
}

weir_status
weir_ctx_status(weir_ctx *ctx)
{
	weir_status status;

	if (!ctx)
		return WEIR_OK;
	/* Acquire: pairs with the release in ctx_end_one(). */
	status = (weir_status)weir__u32_load(
		&ctx->state,
		WEIR_ORDER(CTX_STATE_LOAD, WEIR_ACQUIRE_ORDER, WEIR_RELAXED));
	if (status != WEIR_OK || ctx->deadline_ns == WEIR_FOREVER ||
	    weir_now_ns() < ctx->deadline_ns)
		return status;
	weir__ctx_end(ctx, WEIR_TIMEDOUT, "");
	/* Relaxed: whoever ended it, we have held the lock since. */
	return (weir_status)weir__u32_load(&ctx->state, WEIR_RELAXED);
}

void
weir_ctx_cause(weir_ctx *ctx, weir_error *ret)
{
	weir_status status = weir_ctx_status(ctx);

	memset(ret, 0, sizeof(*ret));
	ret->status = status;
	if (status != WEIR_OK) {
		weir__mutex_lock(&ctx->mu);
		memcpy(ret->message, ctx->why, sizeof(ret->message));
		weir__mutex_unlock(&ctx->mu);
	}
	if (ret->message[0] == '\0')
		snprintf(ret->message, sizeof(ret->message), "%s",
			 weir_status_message(status));
}

int64_t
weir_ctx_deadline_ns(weir_ctx *ctx)
{
	return ctx ? ctx->deadline_ns : WEIR_FOREVER;
}

struct sleeper {
	struct weir_watch watch;
	struct weir_park park;
};

static void
sleeper_fire(struct weir_watch *watch, weir_status status, const char *why)
{
	struct sleeper *sleeper =
		weir_container_of(watch, struct sleeper, watch);

	(void)status;
	(void)why;
	if (weir__park_signal(&sleeper->park) && !WEIR_MUTATED(CTX_SLEEP_KICK))
		weir__park_kick(&sleeper->park);
}

weir_status
weir_ctx_sleep(weir_ctx *ctx, int64_t duration_ns)
{
	int64_t until_ns = weir__deadline_ns(weir_now_ns(), duration_ns);
	struct sleeper sleeper;

	weir__watch_init(&sleeper.watch, sleeper_fire);
	weir__park_init(&sleeper.park);
	/* Before the watch looks whether ctx is done: see seat.c. */
	weir__park_expose(&sleeper.park, ctx);
	weir__ctx_watch(ctx, &sleeper.watch);
	weir__park_wait(&sleeper.park,
			weir__earlier_ns(until_ns, weir_ctx_deadline_ns(ctx)));
	weir__ctx_unwatch(&sleeper.watch);
	weir__park_expose(NULL, NULL);
	return weir_ctx_status(ctx);
}

void
weir__ctx_rearm(weir_ctx *ctx, int64_t deadline_ns)
{
	if (ctx->parent)
		deadline_ns =
			weir__earlier_ns(deadline_ns, ctx->parent->deadline_ns);
	ctx->deadline_ns = deadline_ns;
	/* Relaxed: all that was written by who ended it is under the lock. */
	if (weir__u32_load(&ctx->state, WEIR_RELAXED) == WEIR_OK)
		return;
	/*
	 * It ended.  Leave the parent's list, if it was not the parent that
	 * ended it, and join again, which ends it at once if it was.
	 */
	weir__ctx_unwatch(&ctx->up);
	weir__mutex_lock(&ctx->mu);
	weir__u32_store(&ctx->state, WEIR_OK, WEIR_RELAXED);
	ctx->why[0] = '\0';
	weir__mutex_unlock(&ctx->mu);
	if (!WEIR_MUTATED(CTX_REARM_WATCH))
		weir__ctx_watch(ctx->parent, &ctx->up);
}

void
weir__ctx_forget_job(weir_ctx *ctx)
{
	weir__mutex_lock(&ctx->mu);
	ctx->job = NULL;
	weir__mutex_unlock(&ctx->mu);
}

weir_job *
weir__ctx_job(weir_ctx *ctx)
{
	weir_job *job = NULL;

	for (; ctx && !job; ctx = ctx->parent) {
		weir__mutex_lock(&ctx->mu);
		job = ctx->job;
		weir__mutex_unlock(&ctx->mu);
	}
	return job;
}
