/*
 * The clock.  weir_now_ns() itself is public and declared in weir/base.h; here
 * is the arithmetic that must not overflow, and a cheaper way to look.
 */
#ifndef WEIR_SRC_SYNC_CLOCK_H
#define WEIR_SRC_SYNC_CLOCK_H

#include <weir/base.h>

/* The time of day, in nanoseconds since 1970, for records only. */
int64_t weir__unix_ns(void);

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

/*
 * A clock of one thread's (or of one lock's) that is read for every job.  It
 * looks at weir_now_ns() now and then and counts the processor's ticks in
 * between, which takes a third of the time; it never goes back, and is wrong by
 * less than WEIR_CLOCK_TICKS_MAX ticks whatever the counter does.  Where there
 * is no such counter it is weir_now_ns().
 */
struct weir_clock {
	uint64_t ticks; /* the counter, when ns was looked at */
	int64_t ns;
	int64_t last_ns;      /* what was said last */
	uint64_t ns_per_2_32; /* ticks; 0: not known yet */
};

#if defined(__x86_64__) && !defined(WEIR_CHECKED)
#define WEIR_CLOCK_TICKS_MAX 16384 /* 3 to 16 us */

/* Look at the real clock. */
int64_t weir__clock_look(struct weir_clock *clock, uint64_t ticks);

static inline int64_t
weir__clock_now(struct weir_clock *clock)
{
	uint64_t ticks = __builtin_ia32_rdtsc(), passed = ticks - clock->ticks;
	int64_t now_ns;

	if (passed >= WEIR_CLOCK_TICKS_MAX || clock->ns_per_2_32 == 0)
		return weir__clock_look(clock, ticks);
	now_ns = clock->ns + (int64_t)((passed * clock->ns_per_2_32) >> 32);
	if (now_ns > clock->last_ns)
		clock->last_ns = now_ns;
	return clock->last_ns;
}
#else
static inline int64_t
weir__clock_now(struct weir_clock *clock)
{
	(void)clock;
	return weir_now_ns();
}
#endif

#endif
