/*
 * What a scenario writes down of its jobs, and the promise that is the same
 * for all of them: each accepted job gives exactly one result, or is handed
 * back, exactly once.
 *
 * A job's input is its number in the book; its output is output_of() it.
 */
#ifndef WEIR_PROOF_SIM_BOOK_H
#define WEIR_PROOF_SIM_BOOK_H

#include "scenario.h"

#define BOOK_JOBS 16

struct line {
	bool accepted;
	uint64_t id;
	uint32_t runs, results, handed_back;
	bool running; /* between two steps of its job */
	weir_status status;
};

struct book {
	struct line lines[BOOK_JOBS];
	uint32_t running, running_most;

	/* results that came before their submit call returned the id */
	weir_result early[BOOK_JOBS];
	uint32_t early_count;
};

/* One for each schedule; book_open() empties it. */
extern struct book book;

void book_open(void);

static inline uint64_t
output_of(uint32_t job)
{
	return 1000 + UINT64_C(7) * job;
}

/* Submit with any of the calls; what came of it goes on record. */
void book_accept(uint32_t job, weir_status status, uint64_t id);
/* A job's run begins, and ends. */
void book_run(uint32_t job);
void book_ran(uint32_t job);
/* A result that was taken, or given to a callback. */
void book_result(const weir_result *result, uint32_t job);
/* The same, when only the result is there. */
void book_result_by_id(const weir_result *result);
/* The callback for what was not started; user is not used. */
void book_unstarted(uint64_t id, const void *in, void *user);
/* Every job has come to its end, exactly once. */
void book_close(void);
/* The pool's own books say the same. */
void book_compare(weir_pool *pool);

/* The plain job: output_of() its number. */
weir_status book_job(weir_ctx *ctx, const void *in, void *out, void *user);

/* Options of a pool of such jobs. */
void book_options(weir_pool_options *o, uint32_t workers, uint32_t queue);

/* A context, however often memory is refused. */
weir_ctx *make_ctx(weir_ctx *parent, int64_t timeout_ns);

#endif
