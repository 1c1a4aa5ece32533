/*
 * The pool from the inside: what its files share.
 *
 *      pool.c      making, closing, resizing, statistics, freeing
 *      record.c    where a job is: records, the shelf, keys
 *      push.c      submit and next: jobs and results through queues
 *      pull.c      run and map: jobs from a source, results to a sink
 *      worker.c    a worker's life, and how it waits
 *      batch.c     the loop for plain jobs
 *      isolated.c  the same for jobs that run in a process
 *      async.c     the loop for asynchronous jobs
 *      attempt.c   one attempt: its context, its verdict, another try
 *      shutdown.c  the three ways to stop
 *      crash.c     the last words of a worker
 *
 * README.md has the life of a job, the lock order and the wake-up protocol.
 */
#ifndef WEIR_SRC_CORE_POOL_H
#define WEIR_SRC_CORE_POOL_H

#include <weir/job.h>
#include <weir/pool.h>

#include "base/heap.h"
#include "base/list.h"
#include "base/rng.h"
#include "core/ctx.h"
#include "core/isolated.h"
#include "core/wait.h"
#include "sync/atomic.h"
#include "sync/clock.h"
#include "sync/mutex.h"
#include "sync/park.h"
#include "sync/thread.h"

/* What two processors hand to and fro at a time. */
#define WEIR_CACHE_LINE 64

/* The most jobs a worker takes at a time, when they are short. */
#define WEIR_BATCH_MAX 32

/*
 * Where a record is.  A record in a worker's hands (running, or about to) is
 * HELD; the others are in a list, or a heap, of the pool's.
 */
enum weir_place {
	WEIR_PLACE_FREE,
	WEIR_PLACE_QUEUED,  /* push form: accepted, waits for a slot */
	WEIR_PLACE_READY,   /* may start now */
	WEIR_PLACE_KEYED,   /* waits until fewer jobs of its key run */
	WEIR_PLACE_BACKOFF, /* waits between two attempts */
	WEIR_PLACE_HELD,
	WEIR_PLACE_RESULT, /* push form: finished, waits to be taken */
	WEIR_PLACES
};

struct weir_key;

/*
 * One accepted job, from acceptance to delivery.  Its input and output lie just
 * before it in memory, so that what a plain job needs is in three cache lines
 * that follow one another: payload, the head of this, the head of the result.
 */
struct weir_record {
	/* guarded by the pool's mu, but for a record in nobody's books */
	struct weir_list link;
	enum weir_place place;
	bool hurried;  /* its submitter gave up while it was in back-off */
	uint8_t kills; /* owned, and of isolated jobs: so many workers */
	/* owned, like the block below */
	bool plain;  /* no time-out, no key, the pool's own retry policy */
	bool simple; /* plain, no context of a submitter, not begun yet */
	struct weir_key *key_held; /* set while it counts for its key; mu */

	/* owned by whoever has the record; fixed while it is in a list */
	weir_ctx *submit_ctx; /* a reference, or NULL */
	int64_t accepted_ns;
	weir_result result;
	void *in, *out;          /* fixed at creation */
	weir_pool *pool;         /* fixed at creation */
	struct weir_watch watch; /* on submit_ctx, during back-off */
	const weir_retry *retry; /* the pool's, or own_retry */
	weir_retry own_retry;
	int64_t timeout_ns;
	int64_t started_ns;
	uint64_t key;
	uint32_t priority;

	/* guarded by mu */
	struct weir_heap_node due;
};

/* One key in use: how many of it run, and who waits.  Guarded by mu. */
struct weir_key {
	struct weir_list link; /* in a bucket, or free */
	uint64_t key;
	uint32_t running;
	struct weir_list waiting;
};

enum weir_phase { WEIR_JOB_IDLE, WEIR_JOB_STARTED, WEIR_JOB_DONE };

/* A slot. */
struct weir_job {
	/* fixed at creation */
	struct weir_worker *worker;

	/* owned by the worker */
	struct weir_list link; /* its free or its busy slots */
	struct weir_record *record;
	int64_t retry_after_ns; /* as the job asks; negative: it does not */
	weir_ctx *ctx;          /* made at first use, kept for the next */
	struct weir_watch submit_watch; /* on record->submit_ctx: ends ctx */
	struct weir_watch cancel_watch; /* on ctx: tells the worker */
	struct weir_heap_node timer;
	bool cancel_sent;

	/* owned by the job while it runs */
	void *data;

	/*
	 * atomic; release in weir_job_done(), pairs with the acquire when the
	 * worker looks
	 */
	struct weir_u32 phase;

	/* guarded by the worker's done_mu */
	struct weir_list done_link;
	weir_status status;
};

struct weir_worker {
	/* fixed at creation */
	weir_pool *pool;
	uint32_t index;

	/* guarded by the pool's mu */
	bool threaded;              /* has a thread that must be joined */
	bool gone;                  /* has left its loop */
	bool live;                  /* is in its loop: may be woken */
	struct weir_list resting;   /* in the pool's list while it waits */
	struct weir_list new_slots; /* given by a resize */
	size_t slot_count;

	/* written by whoever joins or starts it, one at a time */
	struct weir_thread thread;

	/*
	 * 1 while it counts as active in pull form; atomic, written under the
	 * pool's mu
	 */
	struct weir_u32 active;

	/* atomic; how many jobs it runs, not counting the rest of a batch */
	struct weir_u32 running;

	/*
	 * A batch in push form, so that others can take over what is stuck in
	 * it: how many of it were begun, or CLAIM_NONE, in the low byte, and a
	 * number that each batch has its own of above; see batch.c.
	 */
	struct weir_u32 claim;
	uint32_t batch_len; /* guarded by mu */
	uint32_t
		claim_seen; /* guarded by mu; at the last look for stuck ones */

	/* guarded by mu: lent to a caller while the worker sleeps */
	struct weir_list lend_link;
	bool asleep, lent;
	bool written_off; /* stuck in a job: does not count as watchful */

	/* owned by the worker, or by the caller it is lent to */
	struct weir_worker
		*outer; /* this thread's worker outside of this one */
	void *state;
	weir_job *slot;    /* of a worker of plain jobs */
	size_t slots_used; /* picked up so far */
	int64_t now_ns;    /* the clock, as of the last look */
	struct weir_clock clock;
	int64_t cost_ns; /* moving average of a job, in batches */
	uint32_t batch_want;
	uint32_t batch_hold; /* takes for which it does not grow */
	struct weir_record *batch[WEIR_BATCH_MAX];
	struct weir_record *spare[WEIR_BATCH_MAX];
	uint32_t spare_len;
	struct weir_list free_slots, busy_slots;
	struct weir_heap timers;
	uint64_t current_id;    /* for the crash line */
	struct weir_cell *cell; /* where its jobs run, if they are isolated */
	int64_t call_ns;        /* the same: moving average of one in a batch */
	void *signal_stack;

	/* how others reach a worker of asynchronous jobs */
	struct weir_park park;
	struct weir_u32 ctx_fired; /* atomic; some slot's context is done */
	struct weir_mutex done_mu;
	struct weir_list done; /* guarded by done_mu */
};

/*
 * Look at the worker's clock.  A submitter's may be ahead of it by some
 * microseconds, and time does not go back for that.
 */
static inline int64_t
weir__worker_look(struct weir_worker *w)
{
	int64_t now_ns = weir__clock_now(&w->clock);

	if (now_ns > w->now_ns)
		w->now_ns = now_ns;
	return w->now_ns;
}

enum weir_level {
	WEIR_LEVEL_OPEN,
	WEIR_LEVEL_DRAIN,
	WEIR_LEVEL_SOON,
	WEIR_LEVEL_NOW
};

/* The ends of the pool: push.c and pull.c have one each. */
struct weir_ends {
	/*
	 * Take up to max jobs into w->batch without waiting for any.  *hungry
	 * is set if the source had nothing just now.
	 */
	size_t (*take)(weir_pool *pool, struct weir_worker *w, size_t max,
		       bool *hungry);
	/* Deliver count finished records.  w is NULL outside of workers. */
	void (*give)(weir_pool *pool, struct weir_worker *w,
		     struct weir_record **records, size_t count);
};

struct weir_pool {
	/* fixed at creation */
	weir_pool_options options;
	char name[32];
	const struct weir_ends *ends;
	void *ends_user; /* last argument of source and sink */
	size_t payload_size, out_offset, record_stride;
	bool async, pull;
	const struct weir_isolator_ops *isolated; /* NULL: jobs are not */
	struct weir_isolator *isolator;

	struct weir_mutex mu;

	/* guarded by mu */
	uint32_t results_max; /* push: room for results */
	uint32_t batches;     /* push: workers with several jobs in hand */
	uint32_t count[WEIR_PLACES];
	struct weir_list queues[WEIR_PRIORITY_LAST];
	struct weir_list ready;
	struct weir_list free; /* pull */
	struct weir_record **results;
	uint32_t results_head; /* of the ring; count[RESULT] are in it */
	uint32_t results_mask;
	struct weir_heap backoff;
	size_t record_count;
	void **chunks; /* all memory taken for records and slots */
	size_t chunk_count;
	struct weir_list *buckets; /* keys in use, by hash */
	size_t bucket_count;
	struct weir_list free_keys;
	struct weir_rng rng;
	int64_t limit_until_ns; /* no token before this */
	struct weir_worker **workers;
	uint32_t worker_count;   /* entries of the array, gone ones too */
	uint32_t awaited;        /* workers that have yet to call init */
	uint32_t starting;       /* workers that wait for those */
	weir_status init_status; /* the first that failed */
	bool ran;                /* pull: run was called */
	bool spawned;            /* workers were started once */
	bool has_timekeeper, has_monitor;
	int64_t keeper_due_ns; /* when the timekeeper looks again */
	int64_t blocked_ns, starved_ns;

	/*
	 * Submitters, until there is room or intake is shut, and collectors,
	 * until there is a result or can be none any more.  The patient ones
	 * may be left waiting while jobs are short; see README.md.
	 */
	struct weir_waitq room, room_patient;
	struct weir_waitq taken, taken_patient;
	struct weir_waitq lent_back; /* workers: no longer lent */
	struct weir_spin spin;       /* of the patient, in push form */
	struct weir_waitq idle;      /* workers: something may have changed */
	struct weir_waitq keeper;  /* the one idle worker that minds the time */
	struct weir_waitq surplus; /* pull: workers not needed for short jobs */
	struct weir_waitq monitor; /* pull: the one of them that looks after */
	struct weir_waitq started; /* makers, new workers: awaited == 0 */
	struct weir_waitq drained; /* shutdown: finished */
	struct weir_list resting;  /* workers of asynchronous jobs */
	struct weir_list lendable; /* sleeping workers whose slots are free */

	/* guarded by mu: push; see README.md, "The way in" */
	uint64_t fetched;     /* jobs that are out of the inbox */
	uint64_t gone;        /* jobs whose records are in no place any more */
	uint64_t keeper_seen; /* left, when the timekeeper looked last */

	/* guarded by mu, read without it; see README.md, "Waking up" */
	struct weir_u32 width; /* slots */
	struct weir_u32 level; /* enum weir_level */
	struct weir_u32 events;
	struct weir_u32 sleepers;
	struct weir_u64 shelf_due_ns; /* when READY or BACKOFF has something */

	/* the same, push; see README.md, "Few wake-ups" */
	struct weir_u64 left;       /* jobs that have left the queue */
	struct weir_u32 watchful;   /* workers that are going to look */
	struct weir_u32 armed;      /* the timekeeper looks, every WATCH_NS */
	struct weir_u32 wants_room; /* a worker waits for room for results */
	struct weir_u32 is_short;   /* jobs take a microsecond or so */
	struct weir_u32 is_ranked;  /* a job had a priority of its own */

	/* push: records on their way back to submitters, a stack */
	struct weir_u64 returned;

	/* push: guarded by submit_mu, which comes before mu */
	struct weir_mutex submit_mu;
	struct weir_list *spares; /* records for jobs, linked by next */
	uint64_t left_seen;
	struct weir_clock submit_clock;
	/* slots up to accepted are published; see README.md, "The way in" */
	struct weir_record **inbox;
	uint32_t inbox_mask;

	/* pull: guarded by source_mu, read without it */
	struct weir_mutex source_mu;
	struct weir_u32 source_open, asking;
	weir_status source_status;

	/* pull: serialises the sink */
	struct weir_mutex sink_mu;

	/* serialises resizes; comes before mu */
	struct weir_mutex resize_mu;

	/* pull: workers that take jobs just now; atomic, written under mu */
	struct weir_u32 active;

	/*
	 * The books.  accepted is written under submit_mu (push) or source_mu
	 * (pull), ok and failed under mu or sink_mu; anybody reads.
	 */
	struct weir_u64 accepted, delivered, handed_back, ok, failed, retries;

	/* made by new (push) or run (pull), under mu; then fixed */
	weir_ctx *ctx;               /* parent of all jobs' contexts */
	weir_ctx *intake_ctx;        /* for the source; cancelled by close */
	struct weir_watch run_watch; /* on ctx, in pull form */
};

/* record.c */

/* Bytes of everything a pool owns come from here, so that free finds them. */
WEIR_NODISCARD void *weir__pool_chunk_locked(weir_pool *pool, size_t bytes)
	WEIR_REQUIRES(pool->mu);
WEIR_NODISCARD weir_status weir__records_grow_locked(weir_pool *pool,
						     size_t count)
	WEIR_REQUIRES(pool->mu);
/* Pull: a free record, or NULL if all are in use. */
struct weir_record *weir__record_get_locked(weir_pool *pool)
	WEIR_REQUIRES(pool->mu);
/* Forget the job in it and make it free. */
void weir__record_put_locked(weir_pool *pool, struct weir_record *record)
	WEIR_REQUIRES(pool->mu);
/* Push: count records that are free now go back to where submit finds them. */
void weir__records_return(weir_pool *pool, struct weir_record **records,
			  size_t count);
/* Let go of what a delivered record refers to.  No lock. */
static inline void
weir__record_clear(struct weir_record *record)
{
	if (record->submit_ctx)
		record->submit_ctx = weir_ctx_unref(record->submit_ctx);
}
/* Move it from HELD to a list, or from a list to HELD. */
void weir__record_enqueue_locked(weir_pool *pool, struct weir_record *record)
	WEIR_REQUIRES(pool->mu);
void weir__record_make_ready_locked(weir_pool *pool, struct weir_record *record)
	WEIR_REQUIRES(pool->mu);
/* The same, in front of all others. */
void weir__record_make_next_locked(weir_pool *pool, struct weir_record *record)
	WEIR_REQUIRES(pool->mu);
void weir__record_back_off_locked(weir_pool *pool, struct weir_record *record,
				  int64_t due_ns) WEIR_REQUIRES(pool->mu);
void weir__record_finish_locked(weir_pool *pool, struct weir_record *record)
	WEIR_REQUIRES(pool->mu);
/* Up to max of the oldest results, in nobody's books from here on. */
size_t weir__results_take_locked(weir_pool *pool, struct weir_record **records,
				 size_t max) WEIR_REQUIRES(pool->mu);
/* Push: how many jobs of the queue are still in the inbox. */
uint64_t weir__inbox_len_locked(weir_pool *pool) WEIR_REQUIRES(pool->mu);
/* Push: move jobs out of the inbox, up to max of them, into records. */
size_t weir__inbox_take_locked(weir_pool *pool, struct weir_record **records,
			       size_t max) WEIR_REQUIRES(pool->mu);
/* Push: all of the inbox into the queues. */
void weir__inbox_drain_locked(weir_pool *pool) WEIR_REQUIRES(pool->mu);
/*
 * A held record that has a key: may it start?  If not it has been put aside
 * until another of its key ends.
 */
WEIR_NODISCARD bool weir__key_admit_locked(weir_pool *pool,
					   struct weir_record *record)
	WEIR_REQUIRES(pool->mu);
/* It does not run any more.  True if another one became ready. */
bool weir__key_release_locked(weir_pool *pool, struct weir_record *record)
	WEIR_REQUIRES(pool->mu);
/* The next record that may start now, held, or NULL. */
struct weir_record *weir__shelf_take_locked(weir_pool *pool, int64_t now_ns)
	WEIR_REQUIRES(pool->mu);
/* The next of the push queues, in order of priority, held, or NULL. */
struct weir_record *weir__queue_take_locked(weir_pool *pool)
	WEIR_REQUIRES(pool->mu);
/*
 * Take all that waits - queued, ready, keyed, in back-off - out into the two
 * lists: those that never started, in order, and those that did.
 */
void weir__shelf_clear_locked(weir_pool *pool, struct weir_list *unstarted,
			      struct weir_list *begun) WEIR_REQUIRES(pool->mu);
/* The books balance, or we stop here. */
void weir__pool_check_locked(weir_pool *pool) WEIR_REQUIRES(pool->mu);

/* pool.c */

WEIR_NODISCARD weir_status weir__pool_new(weir_pool **out,
					  const weir_pool_options *options,
					  void *ends_user);
/* Does the job differ in no way from the rest of its pool? */
static inline bool
weir__job_options_are_plain(const weir_job_options *o)
{
	/* All at once: this is asked for every job. */
	return ((uint64_t)o->priority | (uint64_t)o->timeout_ns |
		(uint64_t)(uintptr_t)o->retry | o->key) == 0;
}
/* What options say of a job, into its record. */
void weir__record_adopt_options(struct weir_record *record,
				const weir_job_options *options);

/* A new job in a record whose last one had the same options. */
static inline void
weir__record_reset(struct weir_record *record, uint64_t id)
{
	memset(&record->result, 0, offsetof(weir_result, error) + 1);
	record->result.id = id;
}

/* Another plain job in a record that had one before. */
static inline void
weir__record_accept_plain(struct weir_record *record, uint64_t id)
{
	weir__record_reset(record, id);
	record->simple = true;
}

/* Fill in a record that has just been accepted. */
static inline void
weir__record_accept(struct weir_record *record, const weir_job_options *options,
		    uint64_t id)
{
	weir__record_reset(record, id);
	/* A record that had a plain job before is ready for another. */
	if (!record->plain || !weir__job_options_are_plain(options))
		weir__record_adopt_options(record, options);
	record->simple = record->plain;
}
/* Are these options for a single job fit to use? */
WEIR_NODISCARD bool weir__job_options_are_valid(const weir_job_options *o);

/*
 * Start threads for the workers that should have one.  In pull form the first
 * call returns worker 0, which the calling thread has to live.
 */
struct weir_worker *weir__pool_spawn(weir_pool *pool);
/* Wait until the threads of all workers have ended. */
void weir__pool_join_workers(weir_pool *pool);

/* Pull form: the most jobs inside at once. */
static inline uint32_t
weir__pool_capacity(const weir_pool *pool)
{
	return weir__u32_load(&pool->width, WEIR_RELAXED) + pool->options.queue;
}

/* Accepted and not yet delivered or handed back. */
static inline uint64_t
weir__pool_inside(const weir_pool *pool)
{
	/*
	 * Read in this order, it can only come out too large, never negative:
	 * each job is accepted before it leaves.
	 */
	uint64_t out = weir__u64_load(&pool->delivered, WEIR_SEQ_CST) +
		       weir__u64_load(&pool->handed_back, WEIR_SEQ_CST);

	return weir__u64_load(&pool->accepted, WEIR_SEQ_CST) - out;
}

static inline enum weir_level
weir__pool_level(const weir_pool *pool)
{
	return (enum weir_level)weir__u32_load(&pool->level, WEIR_SEQ_CST);
}

/* Push: intake is shut and the last result has been taken. */
static inline bool
weir__pool_is_over(const weir_pool *pool)
{
	return weir__pool_level(pool) != WEIR_LEVEL_OPEN &&
	       weir__pool_inside(pool) == 0;
}

/* Intake is shut and nothing is left that a worker could have to do. */
bool weir__pool_is_finished(weir_pool *pool);
bool weir__pool_is_finished_locked(weir_pool *pool) WEIR_REQUIRES(pool->mu);

/*
 * Something changed that an idle worker may care about.  The locked form
 * returns who is to be kicked after the lock.
 */
WEIR_NODISCARD struct weir_park *weir__pool_notify_locked(weir_pool *pool)
	WEIR_REQUIRES(pool->mu);
void weir__pool_notify(weir_pool *pool);
/* Push: is there anything a worker might do, were it let? */
bool weir__pool_has_waiting_locked(weir_pool *pool) WEIR_REQUIRES(pool->mu);
/* Make the timekeeper look again. */
void weir__pool_wake_keeper_locked(weir_pool *pool) WEIR_REQUIRES(pool->mu);
void weir__pool_notify_all_locked(weir_pool *pool) WEIR_REQUIRES(pool->mu);
/* After a job has left: tell everybody if it was the last one. */
void weir__pool_notify_if_finished(weir_pool *pool);

/* submit.c */

/*
 * A job to submit: in_size bytes, the first head_size of them from head.  id
 * is the number it goes by instead of the pool's next one, unless 0.
 */
struct weir_input {
	const void *head;
	size_t head_size;
	const void *body;
	uint64_t id;
};

/* All forms of submit; options are as they should be, or NULL. */
WEIR_NODISCARD weir_status weir__pool_submit(weir_pool *pool,
					     const struct weir_input *in,
					     const weir_job_options *options,
					     uint64_t *ret_id, weir_ctx *ctx,
					     bool may_wait);

/* push.c */

/* Jobs in the queue, as far as this thread can see. */
static inline uint64_t
weir__pool_queued(const weir_pool *pool)
{
	/* In this order it comes out too large, never negative. */
	uint64_t left = weir__u64_load(&pool->left, WEIR_SEQ_CST);

	return weir__u64_load(&pool->accepted, WEIR_SEQ_CST) - left;
}

static inline bool
weir__pool_is_short(const weir_pool *pool)
{
	return weir__u32_load(&pool->is_short, WEIR_RELAXED);
}

/*
 * Wait, with mu held, for room or for results: patiently, for a while, if jobs
 * are short, then in the other queue.  *patience is 0 before the first time.
 */
WEIR_NODISCARD weir_status weir__push_wait_locked(weir_pool *pool,
						  struct weir_waitq *patient,
						  struct weir_waitq *eager,
						  int *patience, weir_ctx *ctx)
	WEIR_REQUIRES(pool->mu);
/*
 * The two halves of a worker's round, for callers that hold mu anyway: take up
 * to max jobs into w->batch at w->now_ns; and give what has ended, ok of it
 * well, after parting with it.  Who is to be kicked after the lock.
 */
size_t weir__push_take_locked(weir_pool *pool, struct weir_worker *w,
			      size_t max, struct weir_park **ret_wake)
	WEIR_REQUIRES(pool->mu);
/*
 * What the host and the submitters' contexts have to do with these jobs ends
 * here, with no lock held; how many are ok.
 */
uint64_t weir__push_part_with(weir_pool *pool, struct weir_record **records,
			      size_t count);
WEIR_NODISCARD struct weir_park *weir__push_give_locked(
	weir_pool *pool, struct weir_record **records, size_t count,
	uint64_t ok) WEIR_REQUIRES(pool->mu);
/* So many jobs are in the worker's hands; several have to be minded. */
void weir__push_hold_locked(weir_pool *pool, struct weir_worker *w,
			    uint32_t count) WEIR_REQUIRES(pool->mu);
/* A batch of plain jobs was timed: are jobs short? */
void weir__push_adapt(struct weir_worker *w);
/*
 * Look for batches that have not moved since the last look, and take over what
 * is stuck in them: jobs that were not begun go to the shelf, those that have
 * ended to records, which has room for a batch; their number.  True in
 * *ret_more: look again later.
 */
size_t weir__push_rescue_locked(weir_pool *pool, struct weir_record **records,
				bool *ret_more) WEIR_REQUIRES(pool->mu);
/* A worker that was written off as stuck is back. */
void weir__push_count_in_locked(weir_pool *pool, struct weir_worker *w)
	WEIR_REQUIRES(pool->mu);
/* Give what a rescue has found. */
void weir__push_give_rescued(weir_pool *pool, struct weir_record **records,
			     size_t count);

/* help.c */

/*
 * Run a batch of short jobs on this thread, in the slot of a worker that
 * sleeps.  False: not with these jobs, or there are none, or no slot.
 */
bool weir__push_help(weir_pool *pool);

/* batch.c */

#define WEIR_CLAIM_NONE 0xffu

/* Run w->batch[0 .. count - 1]; those that have ended are in front after. */
size_t weir__batch_run(struct weir_worker *w, size_t count);
/* The largest batch, in pull form a fair share of what may be inside. */
uint32_t weir__batch_most(const weir_pool *pool);
/* A moving average of what a job takes; negative: nothing is known yet. */
void weir__batch_note_cost(int64_t *cost_ns, int64_t each_ns);
/* Fill in the times of a job that ran in a batch begun and ended then. */
void weir__batch_conclude(struct weir_record *record, int64_t began_ns,
			  int64_t share_ns, int64_t now_ns);
/* pull.c */

extern const struct weir_ends weir__push_ends;
extern const struct weir_ends weir__pull_ends;
/* A batch was timed: are more workers needed? */
void weir__pull_adapt(struct weir_worker *w);
/* Count this worker among the active ones, or no more. */
void weir__pull_set_active(struct weir_worker *w, bool active);
/* Jobs that cost less than this are done faster by one worker than by two. */
#define WEIR_SHORT_JOB_NS 500
/* With nothing in hand: sleep, for others do the work better alone. */
void weir__pull_rest(struct weir_worker *w);
void weir__pull_wake_surplus_locked(weir_pool *pool) WEIR_REQUIRES(pool->mu);

/* worker.c */

/* The worker whose loop this thread is in, innermost first, or NULL. */
struct weir_worker *weir__worker_self(void);
bool weir__worker_is_of(const weir_pool *pool);
WEIR_NODISCARD weir_status weir__worker_new_locked(weir_pool *pool)
	WEIR_REQUIRES(pool->mu);
void weir__worker_free(struct weir_worker *w);
/* Slots for jobs that the worker will pick up. */
WEIR_NODISCARD weir_status weir__worker_add_slots_locked(weir_pool *pool,
							 struct weir_worker *w,
							 size_t count)
	WEIR_REQUIRES(pool->mu);
/*
 * Pick up slots that a resize has made; how many to use.
 */
uint32_t weir__worker_slots(struct weir_worker *w);
/* Take jobs into w->batch, sleeping until there are some.  0: leave. */
size_t weir__worker_take(struct weir_worker *w);
/* The pool is finished, or too narrow for this worker. */
bool weir__worker_must_leave(struct weir_worker *w);
/*
 * When an idle worker has to look again by itself, having found nothing when
 * it looked at looked_ns.
 */
int64_t weir__idle_deadline_locked(weir_pool *pool, int64_t looked_ns)
	WEIR_REQUIRES(pool->mu);
/* Be this worker, on this thread, until exit: it is whose slot the job has. */
void weir__worker_enter(struct weir_worker *w);
void weir__worker_exit(struct weir_worker *w);
/* The two loops. */
void weir__batch_loop(struct weir_worker *w);
void weir__async_loop(struct weir_worker *w);
/* The body of a worker's thread. */
void weir__worker_main(void *arg);
/* init, wait for the others, work, exit; what came of all the inits. */
weir_status weir__worker_live(struct weir_worker *w);
/* Wake a worker of asynchronous jobs out of its wait. */
void weir__worker_wake(struct weir_worker *w);
/* How many of the pool's slots are this worker's. */
uint32_t weir__worker_share_locked(const weir_pool *pool,
				   const struct weir_worker *w)
	WEIR_REQUIRES(pool->mu);

/* attempt.c */

/*
 * Make the slot ready for an attempt at record.  Anything but WEIR_OK is the
 * attempt's end: its submitter gave up, or there was no memory.
 */
WEIR_NODISCARD weir_status weir__attempt_begin(weir_job *job,
					       struct weir_record *record,
					       int64_t now_ns);
/* The slot's context is nobody's any more; for a seat, which ends no attempt.
 */
void weir__attempt_disarm(weir_job *job);
/*
 * The attempt has ended.  True if the job has with it; false if it has been
 * put on the shelf for another try, and then counts no more as running.
 */
WEIR_NODISCARD bool weir__attempt_end(weir_job *job, weir_status status,
				      int64_t run_ns, int64_t now_ns);
/* Close the books of a job that ends with status and was not running. */
void weir__record_conclude(struct weir_record *record, weir_status status,
			   int64_t now_ns);

/* isolated.c; all but open and close for pools with isolated jobs only */

WEIR_NODISCARD weir_status weir__isolated_open(weir_pool *pool);
void weir__isolated_close(weir_pool *pool);
/* What stands in for the init and exit callbacks, which run elsewhere. */
WEIR_NODISCARD weir_status weir__isolated_init(struct weir_worker *w);
void weir__isolated_exit(struct weir_worker *w);
/* As weir__batch_run(). */
size_t weir__isolated_run(struct weir_worker *w, size_t count);

/* shutdown.c */

/*
 * A shutdown under way: to which level, to whom it hands back what has not
 * started (NULL: it becomes results), and what it has taken out.
 */
struct weir_stop {
	enum weir_level level;
	weir_unstarted_fn *hand_back;
	void *user;
	struct weir_list unstarted, begun;
};

/*
 * weir_pool_shutdown_soon() and _now() in two steps.  After the first one no
 * job begins that had not; the second disposes of what waited, and may wait
 * where results do.
 */
void weir__pool_stop_begin(weir_pool *pool, struct weir_stop *stop);
void weir__pool_stop_end(weir_pool *pool, struct weir_stop *stop);

/* For workers: what waits is not going to run, deliver it as cancelled. */
void weir__pool_sweep(weir_pool *pool);

/* Does this thread run the host's callbacks for a shutdown of the pool? */
bool weir__pool_is_disposing(const weir_pool *pool);

/* crash.c */

WEIR_NODISCARD void *weir__crash_stack_new(void);
void weir__crash_stack_free(void *memory);

#endif
