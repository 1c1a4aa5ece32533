/*
 * Contexts from the inside: watching one, and using one again.
 *
 * A watch is a callback that runs once when a context becomes done.  Child
 * contexts, waiting threads and running jobs all hang on their context by a
 * watch, so that cancelling has one list to walk.
 */
#ifndef WEIR_SRC_CORE_CTX_H
#define WEIR_SRC_CORE_CTX_H

#include <weir/ctx.h>
#include <weir/pool.h>

#include "base/list.h"
#include "sync/atomic.h"
#include "sync/mutex.h"

struct weir_watch {
	struct weir_list link;
	weir_ctx *ctx; /* what is watched; NULL when nothing is */
	/*
	 * Runs at most once, with the lock of the watched context held: it
	 * must be quick, must not touch that context, and may only take locks
	 * that come after it (src/core/README.md).  why is never NULL.
	 */
	void (*fire)(struct weir_watch *watch, weir_status status,
		     const char *why);
};

struct weir_ctx {
	/* fixed at creation */
	weir_ctx *parent;

	/* atomic; the last one out frees */
	struct weir_u32 refs;

	/*
	 * atomic; a weir_status.  Goes from OK to another value once, under
	 * mu; release, pairs with the acquire in weir_ctx_status().
	 */
	struct weir_u32 state;

	/* fixed while shared; a slot rearms it while it is the only owner */
	int64_t deadline_ns;

	struct weir_mutex mu;

	/* guarded by mu */
	struct weir_list watches;
	weir_job *job;
	char why[WEIR_ERROR_MAX];

	/* guarded by the parent's mu */
	struct weir_watch up;

	/* owned by the thread that took it out of its parent's list */
	struct weir_list work;
};

static inline void
weir__watch_init(struct weir_watch *watch,
		 void (*fire)(struct weir_watch *, weir_status, const char *))
{
	weir__list_init(&watch->link);
	watch->ctx = NULL;
	watch->fire = fire;
}

/*
 * Watch ctx; if it is done already, fire at once.  A NULL ctx never fires.
 * The caller keeps ctx alive until it has unwatched.
 */
void weir__ctx_watch(weir_ctx *ctx, struct weir_watch *watch);

/*
 * Stop watching.  When this returns, fire is not running and will not run.
 * Watching nothing is fine.
 */
void weir__ctx_unwatch_slow(struct weir_watch *watch);

static inline void
weir__ctx_unwatch(struct weir_watch *watch)
{
	if (watch->ctx)
		weir__ctx_unwatch_slow(watch);
}

/* Make ctx and all below it done, unless it is done. */
void weir__ctx_end(weir_ctx *ctx, weir_status status, const char *why);

/*
 * Contexts of slots are used again for one attempt after another.  Make one
 * that is a child of parent and belongs to job.
 */
WEIR_NODISCARD weir_status weir__ctx_new_for_job(weir_ctx **out,
						 weir_ctx *parent,
						 weir_job *job);

/*
 * Make a slot's context live again with a new deadline, or done if its parent
 * is.  Only while no job holds a reference.
 */
void weir__ctx_rearm(weir_ctx *ctx, int64_t deadline_ns);

/* Does nobody but the caller hold a reference? */
static inline bool
weir__ctx_is_unshared(const weir_ctx *ctx)
{
	/* Acquire: pairs with the release of whoever gave a reference back. */
	return weir__u32_load(&ctx->refs,
			      WEIR_ORDER(CTX_UNSHARED_ORDER, WEIR_ACQUIRE_ORDER,
					 WEIR_RELAXED)) == 1;
}

/*
 * Is a slot's context as good as new: live, and with no deadline but its
 * parent's?  Then rearming it for an attempt without a time-out does nothing.
 */
static inline bool
weir__ctx_is_fresh(const weir_ctx *ctx)
{
	return weir__u32_load(&ctx->state, WEIR_ACQUIRE_ORDER) == WEIR_OK &&
	       ctx->deadline_ns == ctx->parent->deadline_ns;
}

/* Part the context from its job, for good; the job is over. */
void weir__ctx_forget_job(weir_ctx *ctx);

/* The job that ctx, or the nearest context above it, belongs to, or NULL. */
weir_job *weir__ctx_job(weir_ctx *ctx);

#endif
