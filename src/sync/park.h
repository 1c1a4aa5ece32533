/*
 * Parking: one thread waits at its own place until somebody signals it.
 *
 *      IDLE --wait--> PARKED --signal--> SIGNALLED
 *        \------------signal--------------^
 *
 * A signal is kept until the owner resets the place, so one that comes before
 * the wait ends the wait at once.  Further signals change nothing.
 */
#ifndef WEIR_SRC_SYNC_PARK_H
#define WEIR_SRC_SYNC_PARK_H

#include "sync/atomic.h"

enum { WEIR_PARK_IDLE, WEIR_PARK_PARKED, WEIR_PARK_SIGNALLED };

struct weir_park {
	struct weir_u32 state;
};

/* Forget a signal.  The owner's, and only while nobody else may signal. */
static inline void
weir__park_init(struct weir_park *park)
{
	weir__u32_store(&park->state, WEIR_PARK_IDLE, WEIR_RELAXED);
}

/*
 * Forget a signal while others may signal.  What they did before it is seen
 * by the owner after this call: acquire, pairs with weir__park_signal().
 */
static inline void
weir__park_reset(struct weir_park *park)
{
	weir__u32_exchange(
		&park->state, WEIR_PARK_IDLE,
		WEIR_ORDER(PARK_RESET_ORDER, WEIR_ACQ_REL, WEIR_RELAXED));
}

/*
 * Spinning before the wait: at most one thread at a time per struct, for at
 * most a microsecond or two, and hardly at all where it does not pay, which
 * the score says: it rises with each success and falls with each failure.
 */
struct weir_spin {
	struct weir_u32 busy, score, skipped;
};

static inline void
weir__spin_init(struct weir_spin *spin)
{
	weir__u32_store(&spin->busy, 0, WEIR_RELAXED);
	weir__u32_store(&spin->score, 4, WEIR_RELAXED);
	weir__u32_store(&spin->skipped, 0, WEIR_RELAXED);
}

/* True if it was signalled meanwhile.  The owner's. */
bool weir__park_spin(struct weir_park *park, struct weir_spin *spin);

/*
 * Wait until signalled or until deadline_ns of weir_now_ns().  True if there
 * was a signal, even a late one.  Before, others are let run so many times, or
 * once if that turns out dear.  The owner's.
 */
bool weir__park_wait_for(struct weir_park *park, int64_t deadline_ns,
			 int yields, bool *ret_cheap);

/*
 * Before going to bed, let others run a few times: who is about to signal
 * mostly does so within a microsecond or two, and going to sleep and being
 * woken costs both sides a system call and, on an idle processor, several
 * microseconds more.  Unlike spinning this gives the processor to whoever has
 * use for it.  Four is measured; more keeps waiters from sleeping when jobs
 * are long.
 */
#define WEIR_PARK_YIELDS 4

static inline bool
weir__park_wait(struct weir_park *park, int64_t deadline_ns)
{
	bool cheap = true;

	return weir__park_wait_for(park, deadline_ns, WEIR_PARK_YIELDS, &cheap);
}

/*
 * For handlers of signals, which can take no lock and so find nobody in a
 * list: this thread is going to wait at park for to, or, with NULL, no more;
 * and, in a handler, end such a wait of the thread that is interrupted.
 */
#ifdef WEIR_CHECKED
static inline void
weir__park_expose(struct weir_park *park, const void *to)
{
	(void)park;
	(void)to;
}
static inline void
weir__park_interrupt(const void *to)
{
	(void)to;
}
#else
void weir__park_expose(struct weir_park *park, const void *to);
void weir__park_interrupt(const void *to);
#endif

/*
 * Signal.  True if the owner is asleep, or about to be, and needs a kick.
 * The park must still be alive here; see README.md.
 */
static inline bool
weir__park_signal(struct weir_park *park)
{
	return weir__u32_exchange(&park->state, WEIR_PARK_SIGNALLED,
				  WEIR_ORDER(PARK_SIGNAL_ORDER, WEIR_ACQ_REL,
					     WEIR_RELAXED)) == WEIR_PARK_PARKED;
}

/* Get the owner out of bed.  Never looks at *park, which may be gone. */
void weir__park_kick(struct weir_park *park);

#endif
