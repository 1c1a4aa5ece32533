/*
 * A store in plain memory, for tests.
 *
 * It is the store of src/queue/store.h in its plainest form: one mutex, arrays,
 * and scans of all there is, so that it can be read as what that header means.
 * tests/queue_conformance.h holds any other store to the same.
 *
 *      handle ──┐
 *      handle ──┼──> data: jobs, clients, queues, schedules
 *      handle ──┘
 *
 * A handle is what a process has of a store; several on the same data stand for
 * several processes.  One that is closed without having left is a process that
 * died.  The data goes with its last handle.
 *
 * No memory is a failed assertion: it is a test's.
 */
#ifndef WEIR_TESTS_QUEUE_MEMORY_H
#define WEIR_TESTS_QUEUE_MEMORY_H

#include "queue/store.h"

/* A new, empty store; of options only the clock counts, and may be missing. */
weir_store *queue_memory_open(const weir_store_options *options);

/* One more handle on the same data, with the same clock. */
weir_store *queue_memory_join(weir_store *store);

#endif
