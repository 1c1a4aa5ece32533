/*
 * A library to put in front of the C library: a disk whose flushes take time.
 *
 *	BENCH_FLUSH_NS=1000000 LD_PRELOAD=flush.so PROGRAM ...
 *
 * Design.  A virtual disk may acknowledge a flush in 25 us, which no cloud
 * volume and no disk of one's own does.  So each fsync() and fdatasync() waits
 * first, and then does what it always does.  The wait is a sleep of the thread
 * that asked, as it would be with a slow disk: the processor is free for
 * others meanwhile, and two flushes at once take as long as one.
 *
 * Locking.  None: what is written is written before main().
 */
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

typedef int flush_fn(int fd);

static struct timespec wait_for;
static flush_fn *real_fsync, *real_fdatasync;

__attribute__((constructor)) static void
set_up(void)
{
	const char *text = getenv("BENCH_FLUSH_NS");
	long long ns = text ? strtoll(text, NULL, 10) : 0;

	wait_for.tv_sec = (time_t)(ns / 1000000000);
	wait_for.tv_nsec = (long)(ns % 1000000000);
	/* POSIX promises that this is a function; ISO C does not. */
	*(void **)&real_fsync = dlsym(RTLD_NEXT, "fsync");
	*(void **)&real_fdatasync = dlsym(RTLD_NEXT, "fdatasync");
}

static void
be_slow(void)
{
	struct timespec left = wait_for;

	while (nanosleep(&left, &left) != 0 && errno == EINTR)
		;
}

int
fsync(int fd)
{
	be_slow();
	return real_fsync(fd);
}

int
fdatasync(int fd)
{
	be_slow();
	return real_fdatasync(fd);
}
