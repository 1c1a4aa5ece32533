/*
 * Mutexes, and the annotations by which clang checks their use.
 *
 *      FREE --lock--> TAKEN --somebody has to wait--> WANTED
 *        ^--unlock-----/                                /
 *        ^--unlock, and wake one-----------------------/
 *
 * Why not pthread's?  A job passes three or four locks that hardly anybody
 * contends for, and one of those takes 10 ns there and 5 ns here; and this
 * one is made of atomic.h and futex.h, so that the checkers see inside.  It is
 * the second mutex of Drepper's "Futexes Are Tricky".
 *
 * clang's -Wthread-safety follows locks through C functions that carry these
 * attributes; it finds a lock not taken, taken twice and not given back.  It
 * cannot tie a struct's field to a lock in C, which is why structs group
 * their fields under a comment that names the guard.
 */
#ifndef WEIR_SRC_SYNC_MUTEX_H
#define WEIR_SRC_SYNC_MUTEX_H

#include "base/assert.h"
#include "sync/atomic.h"

#if defined(__clang__)
#define WEIR_CAPABILITY       __attribute__((capability("mutex")))
#define WEIR_REQUIRES(...)    __attribute__((requires_capability(__VA_ARGS__)))
#define WEIR_ACQUIRES(...)    __attribute__((acquire_capability(__VA_ARGS__)))
#define WEIR_RELEASES(...)    __attribute__((release_capability(__VA_ARGS__)))
#define WEIR_EXCLUDES(...)    __attribute__((locks_excluded(__VA_ARGS__)))
#define WEIR_NO_THREAD_SAFETY __attribute__((no_thread_safety_analysis))
#else
#define WEIR_CAPABILITY
#define WEIR_REQUIRES(...)
#define WEIR_ACQUIRES(...)
#define WEIR_RELEASES(...)
#define WEIR_EXCLUDES(...)
#define WEIR_NO_THREAD_SAFETY
#endif

enum { WEIR_MUTEX_FREE, WEIR_MUTEX_TAKEN, WEIR_MUTEX_WANTED };

struct WEIR_CAPABILITY weir_mutex {
	struct weir_u32 state;
};

static inline void
weir__mutex_init(struct weir_mutex *mu)
{
	weir__u32_store(&mu->state, WEIR_MUTEX_FREE, WEIR_RELAXED);
}

static inline void
weir__mutex_fini(struct weir_mutex *mu)
{
	weir_assert(weir__u32_load(&mu->state, WEIR_RELAXED) ==
		    WEIR_MUTEX_FREE);
}

/* Wait for a mutex that was taken. */
void weir__mutex_lock_slow(struct weir_mutex *mu);
/* Hand a mutex that somebody waits for back to the kernel's queue. */
void weir__mutex_wake(struct weir_mutex *mu);

static inline void weir__mutex_lock(struct weir_mutex *mu)
	WEIR_ACQUIRES(*mu) WEIR_NO_THREAD_SAFETY;

static inline void
weir__mutex_lock(struct weir_mutex *mu)
{
	/* Acquire: pairs with the release in weir__mutex_unlock(). */
	if (__builtin_expect(!weir__u32_cas(&mu->state, WEIR_MUTEX_FREE,
					    WEIR_MUTEX_TAKEN,
					    WEIR_ORDER(MUTEX_LOCK_ORDER,
						       WEIR_ACQUIRE_ORDER,
						       WEIR_RELAXED)),
			     0))
		weir__mutex_lock_slow(mu);
}

static inline void weir__mutex_unlock(struct weir_mutex *mu)
	WEIR_RELEASES(*mu) WEIR_NO_THREAD_SAFETY;

static inline void
weir__mutex_unlock(struct weir_mutex *mu)
{
	uint32_t before = weir__u32_exchange(&mu->state, WEIR_MUTEX_FREE,
					     WEIR_ORDER(MUTEX_UNLOCK_ORDER,
							WEIR_RELEASE_ORDER,
							WEIR_RELAXED));

	if (__builtin_expect(before != WEIR_MUTEX_TAKEN, 0))
		weir__mutex_wake(mu);
}

#endif
