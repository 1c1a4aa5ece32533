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
#include "queue/store.h"

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

/* An event that threads wait for. */
struct event {
	int fds[2];
};
void event_init(struct event *e);
void event_fini(struct event *e);
void event_set(struct event *e);  /* once more */
void event_wait(struct event *e); /* for one that was set */

#endif
