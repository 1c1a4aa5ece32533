/*
 * A store that is used at random, with a ledger of what it has answered.
 *
 * Everything that a store can be asked to do to jobs is done here: batches of
 * inserts by this and by other threads, claims, each kind of finish, effects
 * through complete_tx, cancel, retry and delete, beats, promotion, closing and
 * opening.  What fails is noted as failed, and the driver goes on.
 */
#ifndef WEIR_TESTS_QUEUE_DRIVER_H
#define WEIR_TESTS_QUEUE_DRIVER_H

#include "queue_ledger.h"

#include "base/rng.h"
#include "queue/store.h"

#include <pthread.h>

enum { DRIVER_HELD = 12, DRIVER_INSERTERS = 2 };

struct driver {
	/* set by the user */
	const char *path;
	weir_durability durability;
	bool alone;
	unsigned inserters; /* threads, while it is open */
	unsigned jobs_max;  /* at most so many in all, more or less */

	struct ledger ledger;
	struct weir_rng rng;
	weir_store *store;
	struct weir_owner owner;
	struct sqlite3 *db; /* for effects */
	const struct weir_claim *held[DRIVER_HELD];
	unsigned held_count;
	int64_t cancel_seq, beat;
	pthread_t threads[DRIVER_INSERTERS];
	unsigned running; /* of these */
	atomic_bool closing;
	/* Calls that were answered with an error; the last one. */
	atomic_ulong failures, answers;
	atomic_uint statuses; /* 1 << each that was given */
	weir_error error;
};

/* d is zeroed but for what is set. */
void driver_begin(struct driver *d, uint64_t seed);

/* Open the store and begin to work it.  False: it cannot be. */
bool driver_open(struct driver *d);
/* Do something.  False: there is no more room in the ledger. */
bool driver_step(struct driver *d);
/* Close it; what was claimed and not finished is left as it is, if abrupt. */
void driver_close(struct driver *d, bool abrupt);

#endif
