/*
 * What the tests of working a store share: a store in memory whose calls can be
 * made to fail, a clock that stands still, and jobs in it.
 *
 *      struct bench b;
 *
 *      bench_init(&b);
 *      id = bench_put(&b, "email");
 *      ... work b.store ...
 *      CHECK_EQ_INT(bench_state(&b, id), WEIR_JOB_COMPLETED);
 *      bench_fini(&b);
 */
#ifndef WEIR_TESTS_QUEUE_WORK_UTIL_H
#define WEIR_TESTS_QUEUE_WORK_UTIL_H

#include "harness.h"

#include "base/buf.h"
#include "queue/work.h"

#include <stdatomic.h>

#define BENCH_T0 INT64_C(1800000000000)

/* Calls that can be made to fail. */
enum bench_call { BENCH_TURN, BENCH_EXTEND, BENCH_PROMOTE, BENCH_CALLS };

struct bench {
	weir_store *store;
	_Atomic int64_t now_ms;

	/* the next so many of these calls fail, with that status */
	_Atomic int fail[BENCH_CALLS];
	_Atomic weir_status fail_with;

	/* what was asked of the store */
	atomic_uint turns, claims, finishes, extends, promotes, claimed_most;
	atomic_uint wants; /* turns that wanted something */
	atomic_uint enlists;
};

void bench_init(struct bench *b);
void bench_fini(struct bench *b);

/* A draft of that kind: queue "default", priority 1, 25 attempts. */
struct weir_draft bench_draft(const char *kind);
int64_t bench_put_draft(struct bench *b, const struct weir_draft *draft);
int64_t bench_put(struct bench *b, const char *kind);
void bench_put_many(struct bench *b, const char *kind, size_t count);

/* What has become of it; -1: it is not there. */
int bench_state(struct bench *b, int64_t id);
unsigned bench_attempt(struct bench *b, int64_t id);
unsigned bench_count(struct bench *b, weir_state state);
/* Its errors, output, ... as text; lasts until the next call. */
const char *bench_errors(struct bench *b, int64_t id);
const char *bench_output(struct bench *b, int64_t id);
int64_t bench_scheduled_at(struct bench *b, int64_t id);

void bench_cancel(struct bench *b, int64_t id);

/* One more handle on the same data: somebody else. */
weir_store *bench_join(struct bench *b);
/* Take everybody who works the store for dead, and rescue from them. */
void bench_kill(struct bench *b);

/* An event that threads wait for. */
struct event {
	int fds[2];
};
void event_init(struct event *e);
void event_fini(struct event *e);
void event_set(struct event *e);  /* once more */
void event_wait(struct event *e); /* for one that was set */

/*
 * A lane whose jobs the test runs by hand.
 *
 *      lane_init(&lane, &b, NULL, 4);
 *      claim = lane_take(&lane);
 *      lane_give(&lane, claim, WEIR_OK);       waits until it is written
 *      lane_fini(&lane);                       stops, and waits for the end
 */
struct lane {
	struct bench *bench;
	weir_work *work;
	struct event poked, ended, told;
	struct weir_lane lane;
	_Atomic int64_t told_id; /* the job that was cancelled last */
	_Atomic int ended_status, ended_state; /* of the one that ended last */
	atomic_uint troubles, over; /* how often the callback was called */
	weir_status status;         /* of the end */
};

/* options may be NULL; begins to work.  kinds: any. */
void lane_init(struct lane *lane, struct bench *b,
	       const weir_work_options *options, uint32_t width);
/* The same, which does not begin. */
void lane_make(struct lane *lane, struct bench *b,
	       const weir_work_options *options, uint32_t width);
void lane_begin(struct lane *lane);
void lane_fini(struct lane *lane);

/* The next job, waiting for it; NULL: there will be none. */
struct weir_claim *lane_take(struct lane *lane);
/* Is there none just now? */
bool lane_is_dry(struct lane *lane);
void lane_give(struct lane *lane, struct weir_claim *claim, weir_status status);
void lane_give_outcome(struct lane *lane, struct weir_claim *claim,
		       const struct weir_outcome *outcome);
/* Give without waiting until it is written; and wait for so many. */
void lane_give_later(struct lane *lane, struct weir_claim *claim,
		     weir_status status);
void lane_wait_ended(struct lane *lane, unsigned count);
/* Wait until so many were claimed and are not taken. */
void lane_wait_claimed(struct lane *lane, unsigned count);
weir_work_stats lane_stats(struct lane *lane);

/* Has nothing set it within so many ms? */
bool event_stays_unset(struct event *e, int ms);

#endif
