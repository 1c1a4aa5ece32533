/*
 * Waiting at one's own place; park.h has the states.
 */
#include "sync/park.h"

#include "base/assert.h"
#include "sync/futex.h"

/*
 * Before going to bed, let others run a few times: who is about to signal
 * mostly does so within a microsecond or two, and going to sleep and being
 * woken costs both sides a system call and, on an idle processor, several
 * microseconds more.  Unlike spinning this gives the processor to whoever has
 * use for it.  Four is measured; more keeps waiters from sleeping when jobs
 * are long.
 */
#ifdef WEIR_CHECKED
#define YIELDS 1 /* more would only hide the sleep from the checkers */
#else
#define YIELDS 4
#endif

/* Acquire: pairs with the exchange in weir__park_signal(). */
static bool
is_signalled(struct weir_park *park)
{
	return weir__u32_load(&park->state,
			      WEIR_ORDER(PARK_SEEN_ORDER, WEIR_ACQUIRE_ORDER,
					 WEIR_RELAXED)) == WEIR_PARK_SIGNALLED;
}

static bool
yield_for_signal(struct weir_park *park)
{
	for (int i = 0; i < YIELDS; i++) {
		if (is_signalled(park))
			return true;
		weir__yield();
	}
	return false;
}

bool
weir__park_wait(struct weir_park *park, int64_t deadline_ns)
{
	if (deadline_ns < 0)
		deadline_ns = 0;
	/* Relaxed: PARKED says nothing of the owner but that it is. */
	if (!weir__u32_cas(&park->state, WEIR_PARK_IDLE, WEIR_PARK_PARKED,
			   WEIR_RELAXED)) {
		weir_assert(is_signalled(park));
		return true;
	}
	if (yield_for_signal(park))
		return true;
	for (;;) {
		bool late = weir__futex_wait(&park->state, WEIR_PARK_PARKED,
					     deadline_ns);

		if (is_signalled(park))
			return true;
		if (!late)
			continue;
		if (WEIR_MUTATED(PARK_TIMEOUT_RACE))
			return false;
		if (weir__u32_cas(&park->state, WEIR_PARK_PARKED,
				  WEIR_PARK_IDLE, WEIR_RELAXED))
			return false;
		/* A signal came even now; it is one, and seen like others. */
		if (!WEIR_MUTATED(PARK_LATE_ORDER))
			weir_assert(is_signalled(park));
		return true;
	}
}

void
weir__park_kick(struct weir_park *park)
{
	if (!WEIR_MUTATED(PARK_KICK))
		weir__futex_wake(&park->state);
}
