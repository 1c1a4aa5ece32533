/*
 * Mutexes, and the annotations by which clang checks their use.
 *
 * clang's -Wthread-safety follows locks through C functions that carry these
 * attributes; it finds a lock not taken, taken twice and not given back.  It
 * cannot tie a struct's field to a lock in C, which is why structs group
 * their fields under a comment that names the guard.
 */
#ifndef WEIR_SRC_SYNC_MUTEX_H
#define WEIR_SRC_SYNC_MUTEX_H

#include <pthread.h>

#include "base/assert.h"

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

struct WEIR_CAPABILITY weir_mutex {
	pthread_mutex_t native;
};

static inline void
weir__mutex_init(struct weir_mutex *mu)
{
	int failed = pthread_mutex_init(&mu->native, NULL);

	weir_assert(!failed);
}

static inline void
weir__mutex_fini(struct weir_mutex *mu)
{
	int failed = pthread_mutex_destroy(&mu->native);

	weir_assert(!failed);
}

static inline void weir__mutex_lock(struct weir_mutex *mu)
	WEIR_ACQUIRES(*mu) WEIR_NO_THREAD_SAFETY;

static inline void
weir__mutex_lock(struct weir_mutex *mu)
{
	int failed = pthread_mutex_lock(&mu->native);

	weir_assert(!failed);
}

static inline void weir__mutex_unlock(struct weir_mutex *mu)
	WEIR_RELEASES(*mu) WEIR_NO_THREAD_SAFETY;

static inline void
weir__mutex_unlock(struct weir_mutex *mu)
{
	int failed = pthread_mutex_unlock(&mu->native);

	weir_assert(!failed);
}

#endif
