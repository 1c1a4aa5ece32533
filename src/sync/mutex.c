/*
 * The slow half of mutex.h: waiting for a mutex, and waking who waits.
 *
 * Design.  What locks guard here takes some tens of nanoseconds, so a waiter
 * first spins for about a microsecond, then sleeps.  It does not yield: where
 * the processors are busy with other things that costs a time slice, while a
 * thread that is woken from a futex mostly runs at once.  One that has slept
 * takes the mutex as WANTED, for it does not know whether others sleep as well;
 * at worst that is one wake-up too many.
 */
#include "sync/mutex.h"

#include "sync/futex.h"

#include <weir/base.h>

/* Checkers try all orders anyway; there more rounds only hide the sleep. */
#ifdef WEIR_CHECKED
#define SPINS 1
#else
#define SPINS 30
#endif

static bool
try_for_a_while(struct weir_mutex *mu)
{
	for (int i = 0; i < SPINS; i++) {
		if (weir__u32_load(&mu->state, WEIR_RELAXED) ==
			    WEIR_MUTEX_FREE &&
		    /* Acquire: pairs with weir__mutex_unlock(). */
		    weir__u32_cas(&mu->state, WEIR_MUTEX_FREE, WEIR_MUTEX_TAKEN,
				  WEIR_ORDER(MUTEX_SPIN_ORDER,
					     WEIR_ACQUIRE_ORDER, WEIR_RELAXED)))
			return true;
		weir__pause();
	}
	return false;
}

void
weir__mutex_lock_slow(struct weir_mutex *mu)
{
	uint32_t mark = WEIR_MUTATED(MUTEX_SLEEP_MARK) ? WEIR_MUTEX_TAKEN
						       : WEIR_MUTEX_WANTED;

	if (try_for_a_while(mu))
		return;
	/* Acquire: pairs with the release in weir__mutex_unlock(). */
	while (weir__u32_exchange(&mu->state, mark,
				  WEIR_ORDER(MUTEX_SLOW_ORDER,
					     WEIR_ACQUIRE_ORDER,
					     WEIR_RELAXED)) != WEIR_MUTEX_FREE)
		weir__futex_wait(&mu->state, mark, WEIR_FOREVER);
}

void
weir__mutex_wake(struct weir_mutex *mu)
{
	/* Whoever has taken it meanwhile may have freed it: see futex.h. */
	if (!WEIR_MUTATED(MUTEX_UNLOCK_WAKE))
		weir__futex_wake(&mu->state);
}
