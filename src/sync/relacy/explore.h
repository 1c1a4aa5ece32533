/*
 * Exploring a scenario under relacy: what a proof gives, and what it gets.
 *
 * A scenario is a few threads that use the library, run again and again; each
 * execution interleaves them differently and lets loads see other values that
 * C11 allows them to see.  The number of an execution is its seed, so running
 * number N again repeats it step by step.
 */
#ifndef WEIR_SRC_SYNC_RELACY_EXPLORE_H
#define WEIR_SRC_SYNC_RELACY_EXPLORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The most threads of a scenario, its workers included. */
#define WEIR_EXPLORE_THREADS 4

struct weir_scenario {
	const char *name;
	/* The sentence of the promise that it checks. */
	const char *promise;
	/* Before the threads, alone, and after they ended, alone; or NULL. */
	void (*setup)(void);
	void (*finish)(void);
	/* What each thread does; NULL after the last. */
	void (*thread[WEIR_EXPLORE_THREADS])(void);
	/* How many threads these may start in all: workers of pools. */
	int workers;
	/* One execution costs as much as so many of most others; 0: one. */
	unsigned cost;
};

struct weir_finding {
	uint64_t execution;
	char text[1024];
};

/*
 * Run executions first to first + count - 1.  False, and what was found, at
 * the first that fails; with trace set its steps go to stdout.
 */
bool weir__explore(const struct weir_scenario *scenario, uint64_t first,
		   uint64_t count, bool trace, struct weir_finding *ret);

/* For scenarios: a choice from 0 to limit - 1, another in each execution. */
unsigned weir__explore_choice(unsigned limit);

/* For scenarios: let the nth allocation from now fail; 0 is the next. */
void weir__explore_fail_alloc(unsigned nth);

/* Does time pass in this execution although somebody could run? */
bool weir__explore_is_hasty(void);

/* The number of the execution that runs, for a report of a crash. */
uint64_t weir__explore_execution(void);

#ifdef __cplusplus
}
#endif

#endif
