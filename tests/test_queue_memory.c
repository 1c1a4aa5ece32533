/* The store in memory does what every store must do. */
#include "queue_conformance.h"
#include "queue_memory.h"

static weir_store *
open_one(void)
{
	weir_store_options options = WEIR_STORE_OPTIONS_INIT;

	options.now_ms = queue_clock;
	return queue_memory_open(&options);
}

static void
wipe(void)
{
	/* It went with its last handle. */
}

const struct queue_stores queue_stores = {
	.name = "memory",
	.open = open_one,
	.join = queue_memory_join,
	.wipe = wipe,
	.jobs = UNDER_TSAN ? 10000 : 100000,
	.stride = 1,
};
