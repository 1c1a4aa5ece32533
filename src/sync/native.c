/*
 * The native back end: Linux futexes, pthreads and the monotonic clock.
 */
#include "sync/clock.h"
#include "sync/futex.h"
#include "sync/random.h"
#include "sync/thread.h"

#include "base/assert.h"

#include <errno.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int64_t
weir_now_ns(void)
{
	struct timespec now;
	int failed = clock_gettime(CLOCK_MONOTONIC, &now);

	weir_assert(!failed);
	return (int64_t)now.tv_sec * WEIR_S + now.tv_nsec;
}

int64_t
weir__unix_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return now.tv_sec * WEIR_S + now.tv_nsec;
}

#if defined(__x86_64__)
/*
 * Nanoseconds per 2^32 ticks, from two looks.  A thread that is put aside
 * between reading the counter and reading the clock gets it wrong, and so the
 * rate is held to what processors have: a tick is a nanosecond at most.
 */
static uint64_t
clock_rate(uint64_t ns, uint64_t ticks)
{
	if (ns >= ticks)
		return UINT64_C(1) << 32;
	if (ticks < UINT64_C(1) << 31)
		return (ns << 32) / ticks;
	return (ns << 12) / (ticks >> 20);
}

int64_t
weir__clock_look(struct weir_clock *clock, uint64_t ticks)
{
	int64_t now_ns = weir_now_ns();
	uint64_t passed = ticks - clock->ticks;

	/* The first look, or one after a very long time, gives no rate. */
	if (clock->ns == 0 || passed >= UINT64_C(1) << 50)
		clock->ns_per_2_32 = 0;
	else if (passed >= WEIR_CLOCK_TICKS_MAX)
		clock->ns_per_2_32 =
			clock_rate((uint64_t)(now_ns - clock->ns), passed);
	else
		return now_ns; /* too near for a rate: keep the first look */
	clock->ticks = ticks;
	clock->ns = now_ns;
	if (now_ns > clock->last_ns)
		clock->last_ns = now_ns;
	return clock->last_ns;
}
#endif

/* FUTEX_WAIT_BITSET has an absolute, monotonic time-out; see futex(2). */
bool
weir__futex_wait(const struct weir_u32 *word, uint32_t value,
		 int64_t deadline_ns)
{
	struct timespec until, *timeout = NULL;

	if (deadline_ns != WEIR_FOREVER) {
		until.tv_sec = deadline_ns / WEIR_S;
		until.tv_nsec = deadline_ns % WEIR_S;
		timeout = &until;
	}
	if (syscall(SYS_futex, &word->value,
		    FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, value, timeout,
		    NULL, FUTEX_BITSET_MATCH_ANY) == 0)
		return false;
	weir_assert(errno == ETIMEDOUT || errno == EINTR || errno == EAGAIN);
	return errno == ETIMEDOUT;
}

void
weir__futex_wake(const struct weir_u32 *word)
{
	syscall(SYS_futex, &word->value, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1,
		NULL, NULL, 0);
}

void
weir__yield(void)
{
	sched_yield();
}

void
weir__pause(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("isb");
#endif
}

struct thread_start {
	weir_thread_fn *fn;
	void *arg;
	char name[16];
};

static void *
thread_main(void *arg)
{
	struct thread_start start = *(struct thread_start *)arg;

	free(arg);
	/* A thread without its name works as well. */
	(void)pthread_setname_np(pthread_self(), start.name);
	start.fn(start.arg);
	return NULL;
}

/* All signals but those that a thread brings upon itself. */
static void
block_signals(sigset_t *ret_old)
{
	sigset_t block;

	sigfillset(&block);
	sigdelset(&block, SIGSEGV);
	sigdelset(&block, SIGBUS);
	sigdelset(&block, SIGILL);
	sigdelset(&block, SIGFPE);
	sigdelset(&block, SIGABRT);
	sigdelset(&block, SIGTRAP);
	sigdelset(&block, SIGSYS);
	pthread_sigmask(SIG_SETMASK, &block, ret_old);
}

weir_status
weir__thread_start(struct weir_thread *thread, const char *name,
		   size_t stack_size, weir_thread_fn *fn, void *arg)
{
	struct thread_start *start = malloc(sizeof(*start));
	pthread_attr_t attr;
	sigset_t old;
	int failed;

	if (!start)
		return WEIR_NOMEM;
	start->fn = fn;
	start->arg = arg;
	strncpy(start->name, name, sizeof(start->name) - 1);
	start->name[sizeof(start->name) - 1] = '\0';
	if (pthread_attr_init(&attr)) {
		free(start);
		return WEIR_NOMEM;
	}
	failed = stack_size > 0 ? pthread_attr_setstacksize(&attr, stack_size)
				: 0;
	if (!failed) {
		block_signals(&old);
		failed = pthread_create(&thread->native, &attr, thread_main,
					start);
		pthread_sigmask(SIG_SETMASK, &old, NULL);
	}
	pthread_attr_destroy(&attr);
	if (failed)
		free(start);
	return failed == 0 ? WEIR_OK : WEIR_SYSTEM;
}

weir_status
weir__thread_sigmask(int how, const sigset_t *set, sigset_t *ret_old)
{
	return pthread_sigmask(how, set, ret_old) == 0 ? WEIR_OK : WEIR_SYSTEM;
}

void
weir__thread_join(struct weir_thread *thread)
{
	int failed = pthread_join(thread->native, NULL);

	weir_assert(!failed);
}

uint64_t
weir__random_seed(void)
{
	uint64_t seed;

	/* Early in boot there may be nothing; the clock still differs. */
	if (getrandom(&seed, sizeof(seed), GRND_NONBLOCK) != sizeof(seed))
		seed = (uint64_t)weir_now_ns();
	return seed;
}
