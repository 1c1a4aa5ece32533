/*
 * Signals, see signals.h.
 *
 * Design: no handler is ever installed.  The signals are blocked everywhere
 * and fetched by sigtimedwait(), so that what follows them is ordinary code on
 * an ordinary thread.  A signal that was ignored when we were started is left
 * out of the set: while it is blocked Linux queues even an ignored signal, and
 * `nohup weir ...` would see the HUP that it was to be spared.
 *
 * Locking: signal_set and the saved mask are written by weir__signals_block(),
 * before there are threads, and only read after it.
 */
#include "cli/signals.h"

#include "base/assert.h"
#include "sync/thread.h"
#include "weir/base.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

static sigset_t signal_set, mask_before;
static bool pipe_was_ignored;

void
weir__stop_init(struct weir_stop *stop, int64_t grace_ns)
{
	*stop = (struct weir_stop){
		.stage = WEIR_STOP_RUNNING,
		.grace_ns = grace_ns,
		.deadline_ns = WEIR_FOREVER,
	};
}

static int64_t
later(int64_t now_ns, int64_t delay_ns)
{
	int64_t at;

	if (__builtin_add_overflow(now_ns, delay_ns, &at))
		return WEIR_FOREVER;
	return at;
}

/* One stage further; the stages only ever go up. */
static enum weir_stop_action
next_stage(struct weir_stop *stop, int64_t now_ns)
{
	switch (stop->stage) {
	case WEIR_STOP_RUNNING:
		stop->stage = WEIR_STOP_DRAINING;
		stop->deadline_ns = later(now_ns, stop->grace_ns);
		return WEIR_STOP_DRAIN;
	case WEIR_STOP_DRAINING:
		stop->stage = WEIR_STOP_CANCELING;
		stop->deadline_ns = later(now_ns, WEIR_STOP_CANCEL_NS);
		return WEIR_STOP_CANCEL;
	case WEIR_STOP_CANCELING:
	case WEIR_STOP_LEAVING:
		break;
	}
	stop->stage = WEIR_STOP_LEAVING;
	stop->deadline_ns = WEIR_FOREVER;
	return WEIR_STOP_LEAVE;
}

enum weir_stop_action
weir__stop_signal(struct weir_stop *stop, int signal_number, int64_t now_ns)
{
	switch (signal_number) {
	case SIGUSR1:
		return WEIR_STOP_STATUS;
	case SIGQUIT:
		stop->signal = SIGQUIT;
		stop->stage = WEIR_STOP_LEAVING;
		stop->deadline_ns = WEIR_FOREVER;
		return WEIR_STOP_LEAVE;
	case SIGINT:
	case SIGTERM:
	case SIGHUP:
		if (stop->signal == 0)
			stop->signal = signal_number;
		return next_stage(stop, now_ns);
	default:
		return WEIR_STOP_NOTHING;
	}
}

enum weir_stop_action
weir__stop_tick(struct weir_stop *stop, int64_t now_ns)
{
	if (now_ns < stop->deadline_ns)
		return WEIR_STOP_NOTHING;
	return next_stage(stop, now_ns);
}

int64_t
weir__stop_sleep_ns(const struct weir_stop *stop, int64_t now_ns)
{
	if (stop->deadline_ns == WEIR_FOREVER)
		return WEIR_FOREVER;
	return stop->deadline_ns > now_ns ? stop->deadline_ns - now_ns : 0;
}

static bool
is_ignored(int signal_number)
{
	struct sigaction action;

	return sigaction(signal_number, NULL, &action) == 0 &&
	       action.sa_handler == SIG_IGN;
}

void
weir__signals_block(void)
{
	static const int stops[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
	weir_status status;

	(void)sigemptyset(&signal_set);
	for (size_t i = 0; i < sizeof(stops) / sizeof(stops[0]); i++)
		if (!is_ignored(stops[i]))
			(void)sigaddset(&signal_set, stops[i]);
	(void)sigaddset(&signal_set, SIGUSR1);
	(void)sigaddset(&signal_set, SIGUSR2);
	status = weir__thread_sigmask(SIG_BLOCK, &signal_set, &mask_before);
	weir_assert(status == WEIR_OK);
	pipe_was_ignored = is_ignored(SIGPIPE);
	(void)signal(SIGPIPE, SIG_IGN);
}

int
weir__signals_wait(int64_t timeout_ns)
{
	struct timespec timeout = {.tv_sec = timeout_ns / WEIR_S,
				   .tv_nsec = timeout_ns % WEIR_S};
	int64_t deadline_ns = later(weir_now_ns(), timeout_ns);
	int got;

	for (;;) {
		got = timeout_ns == WEIR_FOREVER
			      ? sigwaitinfo(&signal_set, NULL)
			      : sigtimedwait(&signal_set, NULL, &timeout);
		if (got > 0)
			return got;
		if (errno != EINTR)
			return 0;
		/* Stopped and continued, or traced: wait for the rest. */
		if (timeout_ns != WEIR_FOREVER) {
			int64_t rest_ns = deadline_ns - weir_now_ns();

			if (rest_ns < 0)
				rest_ns = 0;
			timeout.tv_sec = rest_ns / WEIR_S;
			timeout.tv_nsec = rest_ns % WEIR_S;
		}
	}
}

int
weir__signals_fd(void)
{
	return signalfd(-1, &signal_set, SFD_CLOEXEC | SFD_NONBLOCK);
}

void
weir__signals_wake(void)
{
	(void)kill(getpid(), SIGUSR2);
}

void
weir__signals_release(void)
{
	sigset_t stops = signal_set;
	weir_status status;

	/* A question for the state of things must not end it, even now. */
	(void)sigdelset(&stops, SIGUSR1);
	(void)sigdelset(&stops, SIGUSR2);
	status = weir__thread_sigmask(SIG_UNBLOCK, &stops, NULL);
	weir_assert(status == WEIR_OK);
}

const sigset_t *
weir__signals_before(bool *ret_pipe_ignored)
{
	*ret_pipe_ignored = pipe_was_ignored;
	return &mask_before;
}

void
weir__signals_restore(void)
{
	if (!pipe_was_ignored)
		(void)signal(SIGPIPE, SIG_DFL);
	if (weir__thread_sigmask(SIG_SETMASK, &mask_before, NULL) != WEIR_OK)
		weir_bug("the signal mask could not be put back");
}
