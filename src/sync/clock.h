/*
 * The clock.  weir_now_ns() itself is public and declared in weir/base.h; here
 * is only the arithmetic that must not overflow.
 */
#ifndef WEIR_SRC_SYNC_CLOCK_H
#define WEIR_SRC_SYNC_CLOCK_H

#include <weir/base.h>

/* now + duration, stopping at WEIR_FOREVER and not going before now. */
static inline int64_t
weir__deadline_ns(int64_t now_ns, int64_t duration_ns)
{
	if (duration_ns <= 0)
		return now_ns;
	if (duration_ns >= WEIR_FOREVER - now_ns)
		return WEIR_FOREVER;
	return now_ns + duration_ns;
}

static inline int64_t
weir__earlier_ns(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

#endif
