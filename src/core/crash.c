/*
 * The last words of a worker: weir_crash_report().
 *
 * Design.  The handler formats into a buffer on its own stack with functions
 * that take no lock and no memory, makes one write(2), puts the disposition
 * that was there before back, and returns; the instruction faults again, or,
 * for a signal that was sent, is raised again, and the process dies as it
 * would have.  It does not try to go on: see weir/job.h for why.
 *
 * A stack overflow needs a stack to report it on.  Workers that start after
 * the handlers were installed get an alternate one.
 *
 * The process-wide state here is the price of signal handlers being
 * process-wide; it exists only for hosts that ask for it.
 */
#include "core/pool.h"

#include "base/assert.h"
#include "sync/atomic.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const int fatal_signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT};
#define FATAL_SIGNALS    (sizeof(fatal_signals) / sizeof(fatal_signals[0]))
#define CRASH_STACK_SIZE ((size_t)64 * 1024)

/* fd + 1; 0 until installed.  Written by the host, read by handlers. */
static struct weir_u32 crash_fd;
static struct sigaction previous[FATAL_SIGNALS];
static bool installed; /* the host's thread only */

struct line {
	char text[256];
	size_t len;
};

static void
line_puts(struct line *line, const char *s)
{
	/* unreached: no line comes to more than half of the room; still */
	while (*s && line->len < sizeof(line->text))
		line->text[line->len++] = *s++;
}

static void
line_number(struct line *line, uint64_t n, unsigned base)
{
	char digits[20];
	int count = 0;

	do
		digits[count++] = "0123456789abcdef"[n % base];
	while ((n /= base) > 0);
	/* unreached: as above */
	while (count > 0 && line->len < sizeof(line->text))
		line->text[line->len++] = digits[--count];
}

static const char *
signal_name(int number)
{
	switch (number) {
	case SIGSEGV:
		return "SIGSEGV";
	case SIGBUS:
		return "SIGBUS";
	case SIGILL:
		return "SIGILL";
	case SIGFPE:
		return "SIGFPE";
	default:
		return "SIGABRT";
	}
}

/* "weir: fatal signal SIGSEGV in pool "x" job 17 addr 0x0" */
static void
line_compose(struct line *line, int number, const siginfo_t *info)
{
	const struct weir_worker *w = weir__worker_self();

	line_puts(line, "weir: fatal signal ");
	line_puts(line, signal_name(number));
	if (w) {
		line_puts(line, " in pool \"");
		line_puts(line, w->pool->name);
		line_puts(line, "\" job ");
		line_number(line, w->current_id, 10);
	} else {
		line_puts(line, " outside of a pool");
	}
	/* For signals that were sent, si_addr is not an address. */
	if (info->si_code > 0) {
		line_puts(line, " addr 0x");
		line_number(line, (uintptr_t)info->si_addr, 16);
	}
	line_puts(line, "\n");
}

static void
crash_handler(int number, siginfo_t *info, void *context)
{
	struct line line = {.len = 0};
	uint32_t fd = weir__u32_load(&crash_fd, WEIR_ACQUIRE_ORDER);
	ssize_t wrote = 0;

	(void)context;
	line_compose(&line, number, info);
	wrote = write((int)fd - 1, line.text, line.len);
	(void)wrote; /* nothing can be done about one that fails here */
	for (size_t i = 0; i < FATAL_SIGNALS; i++)
		if (fatal_signals[i] == number)
			sigaction(number, &previous[i], NULL);
	/* A fault repeats itself on return; a signal that was sent does not. */
	if (info->si_code <= 0)
		raise(number);
}

weir_status
weir_crash_report(int fd)
{
	struct sigaction action;

	if (fd < 0)
		return WEIR_INVAL;
	weir__u32_store(&crash_fd, (uint32_t)fd + 1, WEIR_RELEASE_ORDER);
	if (installed)
		return WEIR_OK;
	memset(&action, 0, sizeof(action));
	action.sa_sigaction = crash_handler;
	action.sa_flags = SA_SIGINFO | SA_ONSTACK;
	sigemptyset(&action.sa_mask);
	for (size_t i = 0; i < FATAL_SIGNALS; i++)
		/* unreached: it refuses numbers that are no signals, only */
		if (sigaction(fatal_signals[i], &action, &previous[i]) < 0)
			return WEIR_SYSTEM;
	installed = true;
	return WEIR_OK;
}

void *
weir__crash_stack_new(void)
{
	stack_t stack = {.ss_size = CRASH_STACK_SIZE};

	if (!weir__u32_load(&crash_fd, WEIR_ACQUIRE_ORDER))
		return NULL;
	stack.ss_sp = malloc(stack.ss_size);
	/* Without one, all but stack overflows are still reported. */
	/* unreached: the kernel refuses none of this size */
	if (stack.ss_sp && sigaltstack(&stack, NULL) < 0) {
		free(stack.ss_sp);
		stack.ss_sp = NULL;
	}
	return stack.ss_sp;
}

void
weir__crash_stack_free(void *memory)
{
	stack_t stack = {.ss_flags = SS_DISABLE};

	if (!memory)
		return;
	sigaltstack(&stack, NULL);
	free(memory);
}
