/*
 * What has to be done now and then, by whoever works a store: several may do
 * it at once, and nobody leads.
 *
 *   promote   when the next job is due, as far as we know
 *   fire      when the next schedule is
 *   look      for clients that are dead, each 3 s (beat_ns); reads only
 *   clean     finished jobs that were kept long enough, each 30 s
 *   sweep     take nothing for granted, each 30 s; each second with a store
 *             that has no wake_fd
 *
 * Times of day are compared with the store's clock at every look, and nobody
 * sleeps longer than until the next sweep, so that a clock that is set cannot
 * leave a job behind for long.
 */
#ifndef WEIR_SRC_QUEUE_UPKEEP_H
#define WEIR_SRC_QUEUE_UPKEEP_H

#include "queue/store.h"

#include <weir/work.h>

/* A client that was seen, and for how long it has been silent. */
struct weir_client_seen {
	int64_t id, beat, silent_ns;
	bool again, gone; /* of the look under way */
};

struct weir_upkeep {
	/* fixed */
	weir_store *store;
	struct weir_retention retention;
	uint32_t crashes_max;
	int64_t look_ns, dead_ns, sweep_ns;

	/* when; by the store's clock, and by ours */
	int64_t promote_at_ms, fire_at_ms;
	int64_t look_at_ns, clean_at_ns, sweep_at_ns;
	int64_t heed_at_ns; /* the bell was heard: see weir__upkeep_hear() */
	bool heard;

	int64_t looked_at_ns;
	struct weir_client_seen *seen;
	size_t seen_len, seen_room;
	bool failed; /* no memory to note them all */
};

/* What came of it. */
struct weir_upkept {
	bool may_have; /* jobs may have become available */
	uint64_t rescued;
};

void weir__upkeep_init(struct weir_upkeep *upkeep, weir_store *store,
		       const weir_work_options *options, bool has_bell,
		       int64_t now_ns);
void weir__upkeep_fini(struct weir_upkeep *upkeep);

/* When it is next to be run, on our clock; at most a sweep away. */
int64_t weir__upkeep_at_ns(const struct weir_upkeep *upkeep, int64_t now_ns);

/*
 * Do what is due.  self is who we are.  With anything but WEIR_OK what was
 * done before counts, and the rest is still due.
 */
weir_status weir__upkeep_run(struct weir_upkeep *upkeep, int64_t self,
			     int64_t now_ns, struct weir_upkept *ret,
			     weir_error *reterr);

/*
 * The store has rung: somebody may have put in what falls due before anything
 * that we know of.  Ten looks a second are enough for that.
 */
void weir__upkeep_hear(struct weir_upkeep *upkeep, int64_t now_ns);

/* We have put a job there that is due then. */
void weir__upkeep_expect(struct weir_upkeep *upkeep, int64_t at_ms);

/* Is anything due for promotion that was not promoted yet? */
bool weir__upkeep_is_due(const struct weir_upkeep *upkeep);

#endif
