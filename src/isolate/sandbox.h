/* What a worker's process gives up of its rights. */
#ifndef WEIR_SRC_ISOLATE_SANDBOX_H
#define WEIR_SRC_ISOLATE_SANDBOX_H

#include <stdbool.h>
#include <weir/isolate.h>

/*
 * Put the WEIR_SANDBOX_ flags into force for this process, for good.  False
 * if REQUIRED is among them and the kernel lacks something; *ret_active is
 * what is in force.
 */
bool weir__sandbox_enter(uint32_t flags, uint32_t *ret_active);

#endif
