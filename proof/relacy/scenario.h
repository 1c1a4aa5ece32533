/*
 * What the files of scenarios share.
 *
 * A scenario is as small as the promise allows: what it leaves out it cannot
 * hide.  A close at the end, a second element, one more receiver each can wake
 * somebody that a mistake has left asleep (README.md).
 */
#ifndef WEIR_PROOF_RELACY_SCENARIO_H
#define WEIR_PROOF_RELACY_SCENARIO_H

#include "base/assert.h"
#include "sync/data.h"
#include "sync/relacy/explore.h"

#include <weir/weir.h>

/* In a scenario each failure is the execution's, with its number. */
#define CHECK(condition) weir_assert(condition)

/* Each file has a table of them; an entry without a name ends it. */
extern const struct weir_scenario sync_scenarios[];
extern const struct weir_scenario wait_scenarios[];
extern const struct weir_scenario chan_scenarios[];
extern const struct weir_scenario ctx_scenarios[];
extern const struct weir_scenario limit_scenarios[];
extern const struct weir_scenario push_scenarios[];
extern const struct weir_scenario stop_scenarios[];
extern const struct weir_scenario pull_scenarios[];

#endif
