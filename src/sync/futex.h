/*
 * What a back end provides for waiting: everything in park.c and mutex.c is
 * made of atomic words and of these.
 */
#ifndef WEIR_SRC_SYNC_FUTEX_H
#define WEIR_SRC_SYNC_FUTEX_H

#include "sync/atomic.h"

/*
 * Sleep while *word is value, at most until deadline_ns of weir_now_ns().
 * Returns for any reason at all, woken or not, so look at the word again;
 * true only if the deadline has passed.
 */
bool weir__futex_wait(const struct weir_u32 *word, uint32_t value,
		      int64_t deadline_ns);

/*
 * Wake one thread that sleeps on word, if there is any.  Never looks at the
 * word, which may be gone.
 */
void weir__futex_wake(const struct weir_u32 *word);

/* Let another thread run, if there is one that wants to. */
void weir__yield(void);

/* A moment's rest for a processor that spins. */
void weir__pause(void);

#endif
