/*
 * Assertions that stay in release builds.
 *
 * weir_assert() states what this library believes of itself.  It never judges
 * what a caller passes in from outside: bad data is a status, a broken
 * invariant of ours is the end of the process, because a pool that has lost
 * count of its jobs must not go on delivering results.
 */
#ifndef WEIR_SRC_BASE_ASSERT_H
#define WEIR_SRC_BASE_ASSERT_H

#include <assert.h> /* static_assert */

/* Write one line to stderr and abort.  Takes no lock and no memory. */
_Noreturn void weir__assert_failed(const char *what, const char *file, int line,
				   const char *function);

#define weir_assert(condition)                                         \
	(__builtin_expect(!!(condition), 1)                            \
		 ? (void)0                                             \
		 : weir__assert_failed(#condition, __FILE__, __LINE__, \
				       __func__))

/* Where control never gets to, unless we are wrong. */
#define weir_bug(what) weir__assert_failed(what, __FILE__, __LINE__, __func__)

/* The same for checks too dear for every call: sanitizer and debug builds. */
#ifdef WEIR_CHECK_INVARIANTS
#define weir_assert_slow(condition) weir_assert(condition)
#else
#define weir_assert_slow(condition) ((void)0)
#endif

#endif
