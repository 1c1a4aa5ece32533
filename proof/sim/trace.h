/* Print the steps of a schedule. */
#ifndef WEIR_PROOF_SIM_TRACE_H
#define WEIR_PROOF_SIM_TRACE_H

#include "sync/sim/sim.h"

void trace_step(const struct sim_step *step);

#endif
