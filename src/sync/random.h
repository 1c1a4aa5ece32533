/* Seeds from the kernel, for generators that must differ between runs. */
#ifndef WEIR_SRC_SYNC_RANDOM_H
#define WEIR_SRC_SYNC_RANDOM_H

#include <stdint.h>

uint64_t weir__random_seed(void);

#endif
