/*
 * Waiting at one's own place; park.h has the states.
 */
#include "sync/park.h"

#include "base/assert.h"
#include "sync/futex.h"
#include "sync/thread.h"

#include <weir/base.h>

/* Acquire: pairs with the exchange in weir__park_signal(). */
static bool
is_signalled(struct weir_park *park)
{
	return weir__u32_load(&park->state,
			      WEIR_ORDER(PARK_SEEN_ORDER, WEIR_ACQUIRE_ORDER,
					 WEIR_RELAXED)) == WEIR_PARK_SIGNALLED;
}

/* A yield that took longer found processors busy with other things. */
#define YIELD_LONG_NS (1 * WEIR_MS)

/*
 * Once is enough to see whether the processors are busy; there each yield
 * costs a time slice, while a thread that is woken mostly runs at once.  False
 * in *ret_cheap then.
 */
static bool
yield_for_signal(struct weir_park *park, int yields, bool *ret_cheap)
{
	int64_t before_ns, now_ns = yields > 0 ? weir_now_ns() : 0;

	*ret_cheap = true;
	for (int i = 0; i < yields && *ret_cheap; i++) {
		if (is_signalled(park))
			return true;
		before_ns = now_ns;
		weir__yield();
		now_ns = weir_now_ns();
		*ret_cheap = now_ns - before_ns < YIELD_LONG_NS;
	}
	return false;
}

#define SPINS     60
#define SCORE_MAX 16
/* With a score of nothing, one time in so many is tried. */
#define PROBE_EVERY 64

/* The score is a guess and may be lost in a race of two: relaxed. */
static bool
spin_pays(struct weir_spin *spin)
{
	uint32_t skipped;

	if (weir__u32_load(&spin->score, WEIR_RELAXED) > 0)
		return true;
	skipped = weir__u32_load(&spin->skipped, WEIR_RELAXED) + 1;
	weir__u32_store(&spin->skipped, skipped, WEIR_RELAXED);
	return skipped % PROBE_EVERY == 0;
}

static void
spin_note(struct weir_spin *spin, bool paid)
{
	uint32_t score = weir__u32_load(&spin->score, WEIR_RELAXED);

	if (paid && score < SCORE_MAX)
		weir__u32_store(&spin->score, score + 1, WEIR_RELAXED);
	else if (!paid && score > 0)
		weir__u32_store(&spin->score, score - 1, WEIR_RELAXED);
}

bool
weir__park_spin(struct weir_park *park, struct weir_spin *spin)
{
	bool signalled = false;

	if (!spin_pays(spin) ||
	    weir__u32_exchange(&spin->busy, 1, WEIR_RELAXED))
		return false;
	for (int i = 0; i < SPINS && !signalled; i++) {
		signalled = is_signalled(park);
		if (!signalled)
			weir__pause();
	}
	spin_note(spin, signalled);
	weir__u32_store(&spin->busy, 0, WEIR_RELAXED);
	return signalled;
}

bool
weir__park_wait_for(struct weir_park *park, int64_t deadline_ns, int yields,
		    bool *ret_cheap)
{
	if (deadline_ns < 0)
		deadline_ns = 0;
	/* Relaxed: PARKED says nothing of the owner but that it is. */
	if (!weir__u32_cas(&park->state, WEIR_PARK_IDLE, WEIR_PARK_PARKED,
			   WEIR_RELAXED)) {
		weir_assert(is_signalled(park));
		return true;
	}
	if (yield_for_signal(park, yields, ret_cheap))
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

#ifndef WEIR_CHECKED /* its threads are interrupted by nothing */
/* Where this thread waits, as far as it lets its own handlers know. */
struct exposed {
	struct weir_park *park;
	const void *to;
};

WEIR_THREAD_LOCAL(struct exposed, exposed)

void
weir__park_expose(struct weir_park *park, const void *to)
{
	struct exposed *e = exposed();

	/* A handler sees nothing, or both. */
	e->park = NULL;
	atomic_signal_fence(memory_order_seq_cst);
	e->to = to;
	atomic_signal_fence(memory_order_seq_cst);
	e->park = park;
	atomic_signal_fence(memory_order_seq_cst);
}

void
weir__park_interrupt(const void *to)
{
	struct exposed *e = exposed();

	/* No kick: it is this thread, and a signal ends its sleep. */
	if (e->park && e->to == to)
		(void)weir__park_signal(e->park);
}
#endif
