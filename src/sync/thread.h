/*
 * Threads.  Signals meant for the program are blocked in the ones made here:
 * a library's workers must not run the host's handlers.  The signals by which
 * a thread reports its own fault stay open.
 */
#ifndef WEIR_SRC_SYNC_THREAD_H
#define WEIR_SRC_SYNC_THREAD_H

#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <weir/base.h>

/*
 * A variable that each thread has one of, zero at first: name() is its
 * address.  A checker's threads are not the system's; it keeps them apart by
 * key.
 */
#ifdef WEIR_CHECKED
void **weir__thread_slot(const void *key);
#define WEIR_THREAD_LOCAL(type, name)                                  \
	static const char name##_key;                                  \
	static inline type *name(void)                                 \
	{                                                              \
		return (type *)(void *)weir__thread_slot(&name##_key); \
	}
#else
#define WEIR_THREAD_LOCAL(type, name)          \
	static _Thread_local type name##_here; \
	static inline type *name(void)         \
	{                                      \
		return &name##_here;           \
	}
#endif

struct weir_thread {
	pthread_t native;
};

typedef void weir_thread_fn(void *arg);

/*
 * Start fn(arg) on a new thread called name (cut at 15 bytes).  stack_size 0
 * is the system's default.  WEIR_OK, WEIR_NOMEM or WEIR_SYSTEM.
 */
WEIR_NODISCARD weir_status weir__thread_start(struct weir_thread *thread,
					      const char *name,
					      size_t stack_size,
					      weir_thread_fn *fn, void *arg);

/* Set this thread's signal mask, as pthread_sigmask(3) does. */
WEIR_NODISCARD weir_status weir__thread_sigmask(int how, const sigset_t *set,
						sigset_t *ret_old);

/* Wait until it has ended.  Once for each thread that was started. */
void weir__thread_join(struct weir_thread *thread);

#endif
