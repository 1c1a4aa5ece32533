/*
 * Scenarios: small programs over the public API, each of which keeps a
 * promise of the library's honest in every schedule it is run with.
 */
#ifndef WEIR_PROOF_SIM_SCENARIO_H
#define WEIR_PROOF_SIM_SCENARIO_H

#include "sync/sim/sim.h"

#include <weir/weir.h>

/*
 * name     GROUP_WHAT, in lower case.
 * promise  the sentence that is checked.
 * run      the scenario; everything it made is gone when it returns.
 * faults   what it bears: a set of enum sim_fault.
 * share    of all schedules, in relation to the others: small ones get more.
 */
struct scenario {
	const char *name, *promise;
	void (*run)(void);
	unsigned faults;
	uint32_t share;
};

#define FAULTS_ALL ((unsigned)SIM_FAIL_ALLOC | (unsigned)SIM_FAIL_THREAD)

/* The end of a table of scenarios. */
#define SCENARIOS_END        \
	{                    \
		.name = NULL \
	}

extern const struct scenario sync_scenarios[];
extern const struct scenario chan_scenarios[];
extern const struct scenario ctx_scenarios[];
extern const struct scenario push_scenarios[];
extern const struct scenario short_scenarios[];
extern const struct scenario pull_scenarios[];
extern const struct scenario async_scenarios[];
extern const struct scenario stop_scenarios[];
extern const struct scenario wake_scenarios[];
extern const struct scenario pipeline_scenarios[];

#endif
