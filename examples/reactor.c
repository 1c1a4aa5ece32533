/*
 * Asynchronous jobs: 300 timers of 50 ms, 100 at a time, on one thread.
 *
 * A job is a timerfd in an epoll set.  start() arms it and returns; the
 * worker's wait() is epoll_wait(), and calls weir_job_done() for the timers
 * that have run out.  A socket or a child process would take the same place.
 */
#include <stdint.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>
#include <weir/weir.h>

#define TIMERS 300

struct reactor {
	int epoll_fd, wake_fd;
};

/* Begin a job.  The slot keeps the descriptor, to close it at the end. */
static weir_status
start(weir_ctx *ctx, weir_job *job, const void *in, void *out, void *user)
{
	const struct reactor *reactor = user;
	struct itimerspec when = {.it_value.tv_nsec = *(const long *)in};
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = job};
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);

	(void)out;
	if (fd < 0)
		return weir_job_fail(ctx, WEIR_SYSTEM, "no timer");
	weir_job_set_data(job, (void *)(intptr_t)fd);
	timerfd_settime(fd, 0, &when, NULL);
	epoll_ctl(reactor->epoll_fd, EPOLL_CTL_ADD, fd, &event);
	return WEIR_OK;
}

/* Closing the descriptor takes it out of the epoll set. */
static void
end(weir_job *job, weir_status status)
{
	close((int)(intptr_t)weir_job_data(job));
	weir_job_done(job, status);
}

/* The attempt has timed out, or everything is cancelled. */
static void
cancel(weir_ctx *ctx, weir_job *job, void *user)
{
	(void)user;
	end(job, weir_ctx_status(ctx));
}

static void
wait_for_events(void *state, int64_t deadline_ns, bool hungry, void *user)
{
	const struct reactor *reactor = user;
	struct epoll_event events[64];
	int64_t left_ns = deadline_ns - weir_now_ns();
	int timeout_ms = -1;
	eventfd_t wakes;
	int count;

	(void)state;
	(void)hungry;
	if (deadline_ns != WEIR_FOREVER)
		timeout_ms = left_ns > 0 ? (int)(left_ns / WEIR_MS) + 1 : 0;
	count = epoll_wait(reactor->epoll_fd, events, 64, timeout_ms);
	for (int i = 0; i < count; i++) {
		if (events[i].data.ptr)
			end(events[i].data.ptr, WEIR_OK);
		else
			eventfd_read(reactor->wake_fd, &wakes);
	}
}

/* Any thread; the eventfd remembers it if nobody waits yet. */
static void
wake(void *state, void *user)
{
	const struct reactor *reactor = user;

	(void)state;
	eventfd_write(reactor->wake_fd, 1);
}

int
main(void)
{
	struct reactor reactor = {epoll_create1(EPOLL_CLOEXEC),
				  eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
	struct epoll_event event = {.events = EPOLLIN};
	weir_pool_options options = WEIR_POOL_OPTIONS_INIT;
	long times_ns[TIMERS];
	weir_status status;

	for (int i = 0; i < TIMERS; i++)
		times_ns[i] = 50 * WEIR_MS;
	if (epoll_ctl(reactor.epoll_fd, EPOLL_CTL_ADD, reactor.wake_fd,
		      &event) != 0)
		return 1;
	options.workers = 100; /* slots; options.threads is 1 */
	options.in_size = sizeof(times_ns[0]);
	options.start = start;
	options.cancel = cancel;
	options.wait = wait_for_events;
	options.wake = wake;
	options.user = &reactor;
	status = weir_pool_map(&options, times_ns, NULL, NULL, TIMERS, NULL);
	printf("%d timers: %s\n", TIMERS, weir_status_message(status));
	close(reactor.epoll_fd);
	close(reactor.wake_fd);
	return status == WEIR_OK ? 0 : 1;
}
