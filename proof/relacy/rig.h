/*
 * What scenarios of pools in push form share: a pool, its jobs, and what
 * became of each.
 *
 * Jobs are numbers.  Each has a box, which the submitter fills, the job reads
 * and fills again, and the collector reads, so that a job or a result which
 * arrives without what was written before is a race.  What is counted here is
 * counted in plain variables: the threads are fibers of one.
 */
#ifndef WEIR_PROOF_RELACY_RIG_H
#define WEIR_PROOF_RELACY_RIG_H

#include "crew.h"
#include "scenario.h"

#include "sync/park.h"

#define JOBS 4

extern weir_pool *pool;
extern weir_ctx *ctx;
/* Set by rig_setup(), changed by scenarios before rig_make(). */
extern weir_pool_options options;
extern int box[JOBS];
extern int accepted[JOBS], ran[JOBS], delivered[JOBS], handed_back[JOBS];
/* Where two jobs meet. */
extern struct weir_park met[2];

/* A job: its box was filled; fill it again. */
weir_status run_plain(weir_ctx *under, const void *in, void *out, void *user);
/* For the tables. */
void rig_setup(void);
void rig_tear_down(void);
/* Make the pool that options say. */
void rig_make(void);
/* Free it, with the crew gone. Every job that was accepted left by one door. */
void rig_end(void);
/* Fill the box of job i, as its submitter. */
void fill(int i);
/* Submit job i. */
weir_status submit(int i, weir_ctx *under);
void submit_0(void);
void submit_1(void);
void submit_0_1(void);
void submit_or_find_closed(void);
/* Check a result of job i, and count it. */
void take_result(const weir_result *result, int i);
/* Take a result. */
weir_status collect(weir_ctx *under);
void collect_one(void);
void collect_two(void);
void collect_three(void);
void collect_all(void);
void collect_nothing(void);
void collect_or_find_closed(void);
void close_it(void);
void cancel(void);
/* Each of two jobs waits until the other one runs. */
weir_status run_together(weir_ctx *under, const void *in, void *out,
			 void *user);
/* How many results there are, whatever is in them. */
int collect_statuses(weir_status *ret_last);
/* A job that was handed back. */
void unstarted(uint64_t id, const void *in, void *user);

#define POOL_SCENARIO(prefix, function, threads, text)                         \
	{                                                                      \
		.name = prefix #function, .promise = text, .setup = rig_setup, \
		.thread = {function}, .workers = (threads),                    \
		.finish = rig_tear_down, .cost = 10                            \
	}

#endif
