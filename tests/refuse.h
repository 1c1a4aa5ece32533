/*
 * Memory that is refused: the n-th allocation of the process fails, and, if so
 * wished, all after it.
 *
 * refuse.c stands in front of the C library's malloc(), or of a sanitizer's,
 * for the whole program that it is linked into, its shared libraries included.
 */
#ifndef WEIR_TESTS_REFUSE_H
#define WEIR_TESTS_REFUSE_H

#include <stdbool.h>

/*
 * Some sanitizers' allocators cannot stand behind another one, for then they
 * are called before they are ready.
 */
#if defined(__SANITIZE_THREAD__)
#define REFUSE_WORKS 0
#elif defined(__clang__) && defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define REFUSE_WORKS 0
#endif
#endif
#ifndef REFUSE_WORKS
#define REFUSE_WORKS 1
#endif

/* Refuse the nth allocation from now on, 1 is the next; all: those after it
 * as well. */
void refuse_arm(long nth, bool all);
/* Refuse nothing any more.  How many were? */
long refuse_disarm(void);
/* How many were asked for while it was armed the last time. */
long refuse_asked(void);

#endif
