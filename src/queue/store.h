/*
 * What a store is to the rest of this room: a table of functions.
 *
 * The public calls (weir/queue.h) check what they are given and make drafts of
 * it; the worker loop and the upkeep ask for turns.  Below that line is the
 * store, which knows nothing of handlers, policies and curves:
 *
 *      insert: drafts ──────> store        what is to be, checked
 *      turn:   finishes ────> store        what has ended, fenced
 *              wants ───────> store ──> batch of claimed jobs
 *
 * tests/queue_conformance.h holds what every store must do, and is run on each
 * of them.
 *
 * Every call may be made from any thread at any time, waits for the disk, and
 * returns WEIR_OK, WEIR_BUSY (somebody else holds the database; worth another
 * try), WEIR_NOMEM, WEIR_SYSTEM (disk full, I/O), WEIR_CORRUPT, and what its
 * comment adds.  Without WEIR_OK nothing has changed.  reterr is never NULL.
 */
#ifndef WEIR_SRC_QUEUE_STORE_H
#define WEIR_SRC_QUEUE_STORE_H

#include "base/buf.h"
#include "sync/atomic.h"

#include <weir/queue.h>

/*
 * A job to be, checked: all defaults are filled in.  Texts are lent; what
 * there is none of is NULL with length 0.
 */
struct weir_draft {
	const char *queue, *kind, *args, *metadata,
		*tags; /* tags: JSON array */
	size_t queue_len, kind_len, args_len, metadata_len, tags_len;
	weir_state state; /* AVAILABLE, SCHEDULED or PENDING */
	uint32_t priority, max_attempts;
	int64_t created_at_ms, scheduled_at_ms, timeout_ns;
	const unsigned char *unique_key; /* 32 bytes, or NULL */
	uint32_t unique_states;
};

/*
 * Who claims: a process that works the store, or one of several works in it.
 * id is the store's, never used twice, and is what jobs are fenced by.
 */
struct weir_owner {
	int64_t id;
	bool alone;           /* claims are kept in memory, by the store */
	uint32_t crashes_max; /* as in rescue; set before enlist */
	char name[128];       /* "host:pid" */
};

/*
 * A job that was claimed, and what proves it: (id, attempt, attempted_at_ms)
 * in row, and the owner.  row.attempt counts this attempt, and may be that of
 * an earlier claim, which was released; attempted_at_ms is later than that of
 * every earlier claim of the job, even if the clock stands still.
 */
struct weir_claim {
	weir_job_row row;
	struct weir_batch *batch;
	void *user; /* the work's */
	void *lane; /* and that of whoever runs it; see work.h */
};

/*
 * The jobs of one claim, in one block of memory with all their texts.  The
 * last one to be given back frees it; any thread.
 */
struct weir_batch {
	struct weir_u32 left; /* claims not yet given back */
	size_t count;
	struct weir_claim *claims;
	struct weir_buf texts;
};

/* What is to become of a claimed job. */
enum weir_verdict {
	WEIR_VERDICT_COMPLETE,
	WEIR_VERDICT_RETRY,  /* at at_ms; AVAILABLE as of now if that is past */
	WEIR_VERDICT_SNOOZE, /* the same, and the attempt does not count */
	WEIR_VERDICT_RELEASE, /* available, and the attempt does not count */
	WEIR_VERDICT_DISCARD,
	WEIR_VERDICT_CANCEL,
};

struct weir_finish {
	const struct weir_claim *claim;
	enum weir_verdict verdict;
	int64_t at_ms;
	/* One more worker has died with it; else forget those, but with a
	 * RELEASE, which says nothing of the job. */
	bool crashed;
	const char *error; /* an element of row.errors, as JSON; or NULL */
	size_t error_len;
	const char *output; /* JSON, or NULL: as it was */
	size_t output_len;
};

/*
 * What came of a finish.  A job that is no longer the owner's - rescued,
 * deleted, cancelled while claims are kept in memory - is STALE, and was not
 * touched.  A RETRY, SNOOZE or RELEASE of a job that somebody has cancelled
 * meanwhile ends in CANCELLED.
 */
struct weir_finished {
	weir_status status; /* WEIR_OK, WEIR_STALE; see may_hold */
	weir_state state;
};

/* So many jobs of a queue; or, with alone, one suspect of it. */
struct weir_want {
	const char *queue;
	uint32_t count;
	bool alone;
};

/*
 * One visit to the store, in one commit: finish, then claim.
 *
 * Claims are given in the order of priority, scheduled_at, id, want by want,
 * of queues that are not paused, and of kinds that are among kinds (or, with
 * kinds_left_out, not among them).
 *
 * A job with which a worker has died (crashes > 0) is a suspect.  It is
 * claimed only by a want with alone, which claims nothing else, and only as
 * the one job of its turn.
 */
struct weir_turn {
	struct weir_owner *owner;
	const struct weir_finish *finishes;
	size_t finish_count;
	struct weir_finished *finished; /* finish_count of them */
	const struct weir_want *wants;
	size_t want_count;
	const char *const *kinds; /* NULL: any */
	size_t kind_count;
	bool kinds_left_out;
	/* How many run at once; 0: any number.  No more jobs than that of
	 * kinds with a limit (limit_put) are claimed, ahead or not. */
	uint32_t slots;
	/*
	 * The store may keep claims to itself for a moment, and write them with
	 * what has become of them.  Until then a finish comes back as BUSY:
	 * nothing was written, and it is to be given again with every turn.
	 * So does one of a job that somebody else has locked.
	 */
	bool may_hold;

	/* What comes back. */
	/* By weir_now_ns(): the next turn has to be made by then, even if there
	 * is nothing to say.  WEIR_FOREVER: it need not. */
	int64_t hold_until_ns;
	struct weir_batch *batch; /* NULL: nothing was claimed */
	bool more;                /* a want was filled: there may be more */
	bool suspects; /* a job was passed over because it is a suspect */
	bool limited;  /* a job was passed over because of a limit */
	int64_t limited_at_ns; /* look again by then, by weir_now_ns() */
	int64_t cancel_seq;    /* in and out, for cancels; 0 at first */
	/* Ids of jobs that somebody wants cancelled, ours or not; appended. */
	struct weir_buf *cancels; /* int64_t each */
};

/* A client, as the one that looks for dead ones sees it. */
struct weir_client_row {
	int64_t id, beat; /* beat: counted up by extend */
	const char *name;
	bool holds; /* it has claimed jobs; else it need not beat */
	/* It ran on this machine since its last start, and is no more. */
	bool gone;
};
typedef bool weir_client_fn(const struct weir_client_row *row, void *user);

/* How long finished jobs are kept, in ms by state; -1: for ever. */
struct weir_retention {
	int64_t keep_ms[8];
};

struct weir_store_ops {
	const char *name; /* "sqlite" */
	void (*close)(weir_store *store);

	/*
	 * Inserting; ctx ends the wait as long as it has not begun.  A draft
	 * with the unique key of a job whose own unique_states have its state
	 * in them, one of the same batch too, is a duplicate of that.  The
	 * queue is there from then on.
	 */
	weir_status (*insert)(weir_store *store,
			      const struct weir_draft *drafts, size_t count,
			      weir_inserted *rets, weir_ctx *ctx,
			      weir_error *reterr);
	/* The same on a connection of the caller's.  NULL: it has none. */
	weir_status (*insert_tx)(weir_store *store, void *db,
				 const struct weir_draft *drafts, size_t count,
				 weir_inserted *rets, weir_error *reterr);
	weir_status (*complete_tx)(weir_store *store,
				   const struct weir_owner *owner,
				   const struct weir_claim *claim, void *db,
				   const char *output, size_t output_len,
				   weir_error *reterr); /* also STALE */

	/*
	 * Begin to work; owner->name is set, and owner->alone as is wanted.
	 * owner->id is 0, or that of before, which was taken for dead.
	 * BUSY: somebody works it alone, or at all.  leave gives back what is
	 * still claimed, which is not to have begun: as a RELEASE does.
	 * The jobs of one that worked it alone and died have one more crash
	 * when the next one has enlisted.
	 */
	weir_status (*enlist)(weir_store *store, struct weir_owner *owner,
			      weir_error *reterr);
	weir_status (*leave)(weir_store *store, struct weir_owner *owner,
			     weir_error *reterr);
	/* STALE: the owner was taken for dead.  Nothing was done, and all of
	 * its finishes are STALE; enlist again. */
	weir_status (*turn)(weir_store *store, struct weir_turn *turn,
			    weir_error *reterr);
	/* I am alive.  STALE: the same. */
	weir_status (*extend)(weir_store *store, const struct weir_owner *owner,
			      weir_error *reterr);

	/*
	 * Upkeep.  Each is safe when several do it at once, does at most limit
	 * jobs, says how many it did, and writes nothing if that is 0.
	 *
	 * A unique key may have been taken while its job was in a state that is
	 * not among its unique_states.  A job that then ends in one that is
	 * gives its own key up, and is no longer unique.
	 *
	 * promote  scheduled and retryable jobs that are due become available;
	 *          *ret_next_ms is when the next will be (INT64_MAX: none).
	 *          Those whose unique key is taken by now are discarded.
	 * clients  everybody who works the store, ourselves too.
	 * rescue   the jobs of that client become available, with an error that
	 *          names it and one more crash, or are discarded at the last
	 *          attempt or crashes_max, or cancelled if somebody wanted
	 *          that; and the client is no more when all of them are done.
	 *          Nothing happens if its beat is another by now.
	 * clean    finished jobs that were kept long enough are deleted.
	 * fire     schedules that are due: each inserts one job, for its latest
	 *          tick that is due, which is its scheduled_at, and moves on.
	 */
	weir_status (*promote)(weir_store *store, uint32_t limit,
			       uint32_t *ret_count, int64_t *ret_next_ms,
			       weir_error *reterr);
	weir_status (*clients)(weir_store *store, weir_client_fn *row,
			       void *user, weir_error *reterr);
	weir_status (*rescue)(weir_store *store, int64_t client, int64_t beat,
			      uint32_t crashes_max, uint32_t limit,
			      uint32_t *ret_count, weir_error *reterr);
	weir_status (*clean)(weir_store *store,
			     const struct weir_retention *retention,
			     uint32_t limit, uint32_t *ret_count,
			     weir_error *reterr);
	weir_status (*fire)(weir_store *store, uint32_t limit,
			    uint32_t *ret_count, int64_t *ret_next_ms,
			    weir_error *reterr);

	/* Looking and changing, as in weir/queue.h; filters are checked. */
	weir_status (*list)(weir_store *store, const weir_job_filter *filter,
			    weir_job_row_fn *row, void *user,
			    weir_error *reterr);
	weir_status (*change)(weir_store *store, weir_job_action action,
			      const int64_t *ids, size_t count,
			      weir_job_changed *rets, weir_ctx *ctx,
			      weir_error *reterr);
	weir_status (*queues)(weir_store *store, weir_queue_row_fn *row,
			      void *user, weir_error *reterr);
	/* pause < 0 and finished < 0: as it was; "*": all (pause only). */
	weir_status (*queue_set)(weir_store *store, const char *queue,
				 int pause, int finished, weir_error *reterr);
	/* spec was checked; the draft's times are not used. */
	weir_status (*schedule_put)(weir_store *store,
				    const weir_schedule *schedule,
				    const struct weir_draft *draft,
				    weir_error *reterr);
	weir_status (*schedule_delete)(weir_store *store, const char *name,
				       weir_error *reterr); /* also NOTFOUND */
	/* What was missed while it was paused does not fire. NOTFOUND, too. */
	weir_status (*schedule_pause)(weir_store *store, const char *name,
				      bool pause, weir_error *reterr);
	weir_status (*schedules)(weir_store *store, weir_schedule_fn *row,
				 void *user, weir_error *reterr);

	/*
	 * Limits that hold for whoever works the store; NULL: it has none.
	 * limit is checked, with a burst.
	 */
	weir_status (*limit_put)(weir_store *store,
				 const weir_kind_limit *limit,
				 weir_error *reterr);
	weir_status (*limit_delete)(weir_store *store, const char *kind,
				    weir_error *reterr); /* also NOTFOUND */
	weir_status (*limits)(weir_store *store, weir_kind_limit_fn *row,
			      void *user, weir_error *reterr);

	/*
	 * A descriptor that is readable when somebody, in whatever process,
	 * has made jobs available or wants one cancelled; -1: there is none,
	 * look now and then.  wake_fd gives one to each who asks, which is the
	 * caller's to close; hush makes it unreadable until the next time.
	 */
	int (*wake_fd)(weir_store *store);
	void (*hush)(weir_store *store, int fd);
	/* Make all those readable. */
	void (*wake)(weir_store *store);
};

/* What every store begins with. */
struct weir_store {
	const struct weir_store_ops *ops;
	int64_t (*now_ms)(void *user);
	void *now_user;
	bool read_only;
};

/* The store's time of day. */
static inline int64_t
weir__store_now_ms(const weir_store *store)
{
	return store->now_ms(store->now_user);
}

/* What a finish comes to at that time, if nobody has cancelled the job. */
weir_state weir__finish_state(const struct weir_finish *finish, int64_t now_ms);

/*
 * A batch with room for count claims, count set; its rows are zeroed.  NULL:
 * no memory.  weir__claim_free() gives one of its claims back.
 */
struct weir_batch *weir__batch_new(size_t count);
void weir__claim_free(const struct weir_claim *claim);

/* Fill in *reterr, which may be NULL, and return status. */
weir_status weir__queue_error(weir_error *reterr, weir_status status,
			      int native, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

/* In sqlite.c.  options are checked, path is what follows "sqlite:". */
weir_status weir__sqlite_open(weir_store **out, const char *path,
			      const weir_store_options *options,
			      weir_error *reterr);

#endif
