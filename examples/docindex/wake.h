/*
 * What the stages' waits have in common: a descriptor that ends a poll(2), and
 * how long such a poll may last.
 */
#ifndef WEIR_EXAMPLES_DOCINDEX_WAKE_H
#define WEIR_EXAMPLES_DOCINDEX_WAKE_H

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <weir/weir.h>

/* -1 and errno when there is none. */
static inline int
wake_new(void)
{
	return eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
}

/* Make it readable; any thread. */
static inline void
wake_up(int wake_fd)
{
	uint64_t one = 1;

	while (write(wake_fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

static inline void
wake_clear(int wake_fd)
{
	uint64_t count;

	while (read(wake_fd, &count, sizeof(count)) < 0 && errno == EINTR)
		;
}

/* The time-out of a poll(2) that is to end by then; rounded up. */
static inline int
wake_timeout_ms(int64_t deadline_ns)
{
	int64_t left_ns = deadline_ns - weir_now_ns();

	if (deadline_ns == WEIR_FOREVER)
		return -1;
	if (left_ns <= 0)
		return 0;
	/* Who wakes too early waits again. */
	return left_ns > 3600 * WEIR_S ? 3600000
				       : (int)((left_ns - 1) / WEIR_MS) + 1;
}

#endif
