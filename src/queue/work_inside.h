/*
 * A work from the inside, for work*.c and job.c.
 *
 * A claimed job is *held*, by a struct of its own, from the turn that claims
 * it to the turn that writes what has become of it:
 *
 *                    ┌─────> GATE ──────┐ room, a token
 *      claimed ──────┤                  v
 *                    └──────────────> READY ──take──> TAKEN ──give──> ENDED
 *                                       │                               │
 *                                       └── released, cancelled ──> PENDING
 *                                                                       │
 *                                                      FREE <──written──┘
 *
 * A gate is what a limit (of a kind, of a queue) looks like: jobs wait there
 * without holding up those of other kinds.  The loop makes held jobs and frees
 * them; those that take and give only move them between lines.
 */
#ifndef WEIR_SRC_QUEUE_WORK_INSIDE_H
#define WEIR_SRC_QUEUE_WORK_INSIDE_H

#include "base/list.h"
#include "base/rng.h"
#include "queue/pace.h"
#include "queue/upkeep.h"
#include "queue/work.h"
#include "sync/clock.h"
#include "sync/mutex.h"
#include "sync/thread.h"

#include <weir/limit.h>

enum weir_held_place {
	WEIR_HELD_FREE,
	WEIR_HELD_GATE,
	WEIR_HELD_READY,
	WEIR_HELD_TAKEN,
	WEIR_HELD_ENDED,   /* given, and the loop has not seen it */
	WEIR_HELD_PENDING, /* to be written by the next turn */
};

/* Jobs in a line: by priority, then as they came. */
struct weir_line {
	struct weir_list lists[WEIR_PRIORITY_LAST];
	uint32_t len;
};

/*
 * The limits of a kind, or of a queue.  Jobs that it lets through count until
 * they are given; with a rate it lets through no more than a burst of jobs
 * that have not begun, for it is the beginning that takes the token.
 */
struct weir_gate {
	/* fixed at creation */
	uint32_t width;    /* at once; 0: any number */
	uint32_t burst;    /* with limit: so many may stand ready */
	weir_limit *limit; /* starts a second; NULL: any */

	/* guarded by work.mu */
	uint32_t inside;       /* let through, and not given */
	uint32_t unbegun;      /* those of them that have not begun */
	int64_t shut_until_ns; /* no token before */
	int64_t moved_ns;      /* when one was let through last, or came */
	struct weir_line line; /* those that wait */

	/* the loop's */
	bool left_out; /* of the last wants, because enough of it wait */
};

/* A kind that options->handlers names. */
struct weir_kind {
	weir_handler handler;
	weir_retry retry;       /* what handler.retry points to, if it does */
	struct weir_gate *gate; /* NULL: no limits */
};

/* A queue that is worked. */
struct weir_queue_state {
	const char *name;
	uint32_t width;         /* 0: as many as fit */
	struct weir_gate *gate; /* NULL: width is 0 */

	/* the loop's */
	bool may_have;      /* there may be a job to claim */
	uint32_t held;      /* of its jobs: claimed, and not ended */
	uint32_t want, got; /* in the turn under way */
};

struct weir_held {
	/* fixed while it is held */
	weir_work *work;
	struct weir_claim *claim;
	int64_t owner_id;             /* who claimed it */
	const struct weir_kind *kind; /* NULL: options name no such */
	struct weir_queue_state *queue;
	struct weir_gate *gates[2]; /* first is passed first; NULL: none */

	/* guarded by work.mu */
	struct weir_list link; /* in what its place is */
	int64_t taken_ns;
	enum weir_held_place place;
	uint32_t passed; /* gates that it is through; where it waits */
	bool cancelled;  /* somebody wants it cancelled */

	/* the loop's */
	bool lost;            /* not ours any more */
	bool told;            /* the lane knows that it is to be cancelled */
	struct weir_list all; /* in work.held */

	/* whoever gives it, then the loop's */
	struct weir_finish finish;
	char *texts; /* what finish points to; NULL: nothing */

	/* the pool's; see work_pool.c */
	struct weir_u64 ctx;
	weir_ctx *kept;
	bool unbegun; /* it was taken and not begun */

	/* the running job's; see job.c */
	bool snoozes, cancels;          /* it has returned that */
	bool completed;                 /* in a transaction of its own */
	int64_t snooze_ns, retry_in_ns; /* -1: not asked for */
	struct weir_buf cancel_why, output;
};

/* What was claimed and has got nowhere for so long goes back. */
#define WEIR_STALL_NS (1 * WEIR_S)

/* The levels of a stop; they only rise. */
enum weir_work_level { WEIR_WORK_ON, WEIR_WORK_SOON, WEIR_WORK_NOW };

/* See work_suspect.c. */
enum weir_suspect_phase {
	WEIR_SUSPECT_NONE,
	WEIR_SUSPECT_CLEARING,
	WEIR_SUSPECT_ALONE,
};

struct weir_suspects {
	enum weir_suspect_phase phase;
	bool seen;
	bool again;            /* the next one follows at once */
	int64_t turn_ns;       /* when the first of those had its turn */
	int64_t since_ns;      /* it waits, or we are clearing, since then */
	int64_t not_before_ns; /* others have their turn until then */
	int64_t patience_ns;   /* of the next clearing */
};

/* A store that cannot be used just now; one for turns, one for upkeep. */
struct weir_trouble {
	bool on;
	int64_t delay_ns, retry_at_ns;
};

struct weir_pool_lane; /* see work_pool.c */
struct weir_slab;      /* see work_held.c */

struct weir_work {
	/* fixed at creation */
	weir_store *store;
	struct weir_lane lane;
	const char **lane_kinds; /* lane.kinds, ours */
	weir_work_options options;
	struct weir_queue_state *queues;
	size_t queue_count;
	struct weir_kind *kinds;
	size_t kind_count;
	struct weir_gate *gates; /* of the queues and kinds that have one */
	size_t gate_count;
	int wake_fd;                 /* the store's; -1: it has none */
	int ring_fd;                 /* our own; see work_hand.c */
	struct weir_pool_lane *pool; /* NULL: the lane is somebody else's */

	/* guarded by mu */
	struct weir_mutex mu;
	struct weir_line ready;
	struct weir_list ended; /* given since the loop last looked */
	uint32_t ended_len, running;
	struct weir_pace_sample sample; /* the times of those */
	struct weir_clock clock;
	struct weir_rng rng;
	enum weir_work_level level;
	bool quiet;          /* nothing is claimed, nor taken */
	bool over;           /* there will be no jobs any more */
	bool hungry;         /* somebody has found nothing to take */
	bool asleep;         /* the loop: ring if one of these holds: */
	bool gate_was_shut;  /* there is one more time to wake up at */
	uint32_t wake_ended; /* as many have ended */
	int64_t wake_ready;  /* no more than so many stand ready */
	int64_t moved_ns;    /* when one was taken last, or came to be ready */

	/* the loop's, and before and after it whoever makes and ends it */
	struct weir_owner owner; /* written under mu, for job.c */
	struct weir_list held;   /* all that are held */
	uint32_t held_len;
	uint32_t pending_len, again_len;
	struct weir_list pending;
	/* What the store has not written yet; told again with each turn. */
	struct weir_list again;
	int64_t pending_since_ns;
	int64_t hold_until_ns;  /* the next turn is not to be later */
	int64_t limited_at_ns;  /* look at what is limited by then */
	struct weir_list spare; /* to use again */
	size_t spare_len;
	struct weir_slab *slabs; /* where they come from */
	struct weir_pace pace;
	struct weir_suspects suspects;
	struct weir_upkeep upkeep;
	int64_t stall_at_ns; /* what is ready then goes back */
	struct weir_trouble turn_trouble, upkeep_trouble;
	weir_error trouble_error; /* of the last turn */
	size_t first_queue;       /* whose turn it is to be first */
	enum weir_work_level seen_level;
	bool seen_quiet;
	bool enlisted;
	bool kept_up; /* upkeep was run once */
	bool look;    /* for cancels: the store has rung */
	bool want_alone, kind_names_left_out; /* see wants and kind_names */
	bool limited;           /* jobs wait for a limit of all workers */
	int64_t beat_at_ns;     /* the last one */
	int64_t listened_at_ns; /* for the store's bell */
	int64_t give_up_ns;     /* outcomes are dropped then */
	weir_error end;         /* what the run comes to */
	/* what turns are made of, kept from one to the next */
	struct weir_finish *finishes;
	struct weir_finished *finished;
	size_t finish_room;
	struct weir_want *wants;
	size_t want_count;
	const char **kind_names;
	size_t kind_name_count;
	struct weir_buf cancels;
	int64_t cancel_seq;

	/* atomic: a hint, set by a stop; jobs that have not begun stay so */
	struct weir_u32 stopping;

	/* atomic: written by the loop, read by anybody */
	struct weir_u64 completed, retried, discarded, cancelled, snoozed;
	struct weir_u64 released, stale, rescued;

	/* whoever begins and ends it */
	struct weir_thread thread;
	bool begun, joined;
};

/* work_line.c: lines and gates; with work.mu held, or before others come. */

void weir__line_init(struct weir_line *line);
void weir__line_push(struct weir_line *line, struct weir_held *held);
/* The first, or NULL. */
struct weir_held *weir__line_pop(struct weir_line *line);
void weir__line_remove(struct weir_line *line, struct weir_held *held);

/* Put a job that is nowhere, or whose gate may be open, where it belongs. */
void weir__gates_enter_locked(weir_work *work, struct weir_held *held,
			      int64_t now_ns) WEIR_REQUIRES(work->mu);
/* It begins.  False: no token after all, and it is back at its gate. */
bool weir__gates_begin_locked(weir_work *work, struct weir_held *held,
			      int64_t now_ns) WEIR_REQUIRES(work->mu);
/* It is neither ready nor running any more. */
void weir__gates_leave_locked(weir_work *work, struct weir_held *held,
			      int64_t now_ns) WEIR_REQUIRES(work->mu);
/*
 * Open those whose time has come; when is that of the next?  WEIR_FOREVER:
 * never.  *ret_stalled: too many jobs have been waiting at one for too long.
 */
int64_t weir__gates_open_locked(weir_work *work, int64_t now_ns,
				bool *ret_stalled) WEIR_REQUIRES(work->mu);
/* Is that so at this one, which has not let anybody through since? */
bool weir__gate_is_stalled(const struct weir_gate *gate, int64_t now_ns);
/* Do so many of its jobs wait that more would be of no use? */
bool weir__gate_has_enough(const struct weir_gate *gate);

/* work_hand.c: between the lane and the loop. */

/* What the loop finds when it looks. */
struct weir_work_look {
	uint32_t running, ready;
	enum weir_work_level level;
	bool quiet;
	int64_t gate_at_ns; /* when the next gate opens */
	bool poke;          /* the lane waits for what is ready */
	bool reopened;      /* a kind that was left out is wanted again */
	int64_t moved_ns;   /* since when what is ready has not moved */
	bool stalled;       /* nor has what waits at some gate, for long */
};

/* Take along all that has ended, open gates that are due, look around. */
void weir__work_collect(weir_work *work, int64_t now_ns,
			struct weir_work_look *ret);
/* Put claimed jobs, linked by `link`, before the lane.  Poke it? */
bool weir__work_hand_over(weir_work *work, struct weir_list *jobs);
/* Take all that nobody has taken back, into pending, to be released. */
void weir__work_take_back(weir_work *work, int64_t now_ns);
/* The same for what waits at gates that are stalled, but for enough of it. */
void weir__work_take_back_excess(weir_work *work, int64_t now_ns);
/*
 * Somebody wants it cancelled, or it was lost.  True: the lane has it, and is
 * to be told.  If nobody has taken it yet it is pending now.
 */
bool weir__work_revoke(struct weir_held *held, int64_t now_ns);
/* Does the lane have it? */
bool weir__work_is_taken(struct weir_held *held);
/* Wake the loop, which need not be asleep. */
void weir__work_ring(weir_work *work);
/*
 * May the loop sleep?  From here on it is rung when wake_ended jobs have ended
 * or no more than wake_ready are ready.  False: that is so already, or the
 * level has risen.
 */
bool weir__work_fall_asleep(weir_work *work, uint32_t wake_ended,
			    int64_t wake_ready);
void weir__work_wake_up(weir_work *work);

/* work_held.c: where held jobs come from; the loop's. */

/* Make sure that so many can be made.  False: no memory. */
bool weir__held_reserve(weir_work *work, size_t count);
struct weir_held *weir__held_new(weir_work *work, struct weir_claim *claim);
void weir__held_free(struct weir_held *held);
/* Give the memory of all back; none is held. */
void weir__held_fini(weir_work *work);
/* The next turn writes it; or, if it was lost, nobody does. */
void weir__held_pend(struct weir_held *held, int64_t now_ns);
/* Make held->finish of what its lane, or the loop, says. */
void weir__held_conclude(struct weir_held *held,
			 const struct weir_outcome *outcome);

/* work_turn.c: a visit to the store. */

/* How the next visit is decided; see weir__work_plan(). */
struct weir_work_plan {
	bool go;
	int64_t until_ns;
	uint32_t wake_ended;
	int64_t wake_ready;
	bool patient; /* plenty is ready */
	bool deaf;    /* and we wake up in no time: the bell can wait */
};

/* Fill in what is wanted; how many altogether. */
uint32_t weir__work_wants(weir_work *work, const struct weir_work_look *look,
			  int64_t now_ns);
void weir__work_plan(const weir_work *work, const struct weir_work_look *look,
		     uint32_t wanted, int64_t now_ns,
		     struct weir_work_plan *ret);
/* Finish what is pending, claim what is wanted, and hand it over. */
weir_status weir__work_turn(weir_work *work, uint32_t wanted, int64_t now_ns,
			    weir_error *reterr);
/* What is held belongs to somebody else by now. */
void weir__work_lose_all(weir_work *work, int64_t now_ns);
/* Outcomes that cannot be written are dropped. */
void weir__work_drop(weir_work *work, weir_status status);
/* That is what has become of it; it is held no more. */
void weir__work_settle(struct weir_held *held,
		       const struct weir_finished *finished);
/* Tell the lane, once, that this job is to be cancelled. */
void weir__work_tell(struct weir_held *held);
/* How many to claim ahead of what runs. */
uint32_t weir__work_ahead(const weir_work *work);
/* Any queue may have jobs. */
void weir__work_expect_jobs(weir_work *work);
bool weir__work_expects_jobs(const weir_work *work);

/* work_suspect.c: suspects are run alone. */

/* May others be claimed just now?  *ret_alone: claim a suspect instead. */
bool weir__suspects_let(weir_work *work, int64_t now_ns, bool *ret_alone);
/* A turn has passed suspects over (seen), or was for one (alone). */
void weir__suspects_note(weir_work *work, bool seen, bool alone, bool got,
			 int64_t now_ns);
/* When that has to be looked at again. */
int64_t weir__suspects_at_ns(const weir_work *work);

/* work_options.c */
weir_status weir__work_setup(weir_work *work, const weir_work_options *options,
			     const struct weir_lane *lane, weir_error *reterr);
void weir__work_unset(weir_work *work);
/* NULL: options name no such kind. */
const struct weir_kind *weir__work_kind(const weir_work *work,
					const char *kind);

/* job.c: what the handler has said, and returned; what the pool is told. */
weir_status weir__job_said(struct weir_held *held, weir_status status);
void weir__job_tell(const struct weir_held *held, struct weir_outcome *outcome);

/* work_pool.c */
void weir__pool_lane_free(struct weir_pool_lane *lane); /* NULL is fine */

#endif
