/*
 * Why a process has ended; see cause.h.
 *
 * Design.  The status is what the kernel says.  The note that the process's
 * own handler has sent explains it, and is believed only where it is about
 * the signal that the process has died of.  "Out of memory" is said when a
 * call had just failed for lack of it.
 */
#include "isolate/cause.h"

#include "base/units.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

/* "SIGSEGV", or a number. */
static const char *
signal_name(int number, char *space, size_t size)
{
	const char *name = sigabbrev_np(number);

	if (name)
		snprintf(space, size, "SIG%s", name);
	else
		snprintf(space, size, "signal %d", number);
	return space;
}

/* "64 MiB": limits are powers of two, mostly. */
static void
format_limit(char *out, size_t size, uint64_t bytes)
{
	static const char *const units[] = {"bytes", "KiB", "MiB", "GiB",
					    "TiB"};
	size_t unit = 0;

	while (bytes >= 1024 && bytes % 1024 == 0 &&
	       unit + 1 < sizeof(units) / sizeof(units[0])) {
		bytes /= 1024;
		unit++;
	}
	snprintf(out, size, "%llu %s", (unsigned long long)bytes, units[unit]);
}

/* What led to the signal, if the note knows; with ", " behind. */
static void
describe_note(const struct weir_cause *cause, char *out, size_t size)
{
	char limit[WEIR_FORMAT_SIZE];

	out[0] = '\0';
	if (cause->note.signal != WTERMSIG(cause->status))
		return;
	if (cause->note.stack) {
		snprintf(out, size, "stack overflow, ");
	} else if (cause->note.no_memory && cause->memory_max > 0) {
		format_limit(limit, sizeof(limit), cause->memory_max);
		snprintf(out, size, "out of memory (limit %s), ", limit);
	} else if (cause->note.no_memory) {
		snprintf(out, size, "out of memory, ");
	}
}

static void
describe_signal(const struct weir_cause *cause, uint32_t attempt, char *out,
		size_t size)
{
	int number = WTERMSIG(cause->status);
	char name[WEIR_FORMAT_SIZE], why[64], where[48] = "";

	if (number == SIGXCPU && cause->cpu_s_max > 0) {
		snprintf(out, size,
			 "used more than %u s of processor time, killed in "
			 "attempt %u",
			 cause->cpu_s_max, attempt);
		return;
	}
	describe_note(cause, why, sizeof(why));
	if (cause->note.signal == number && cause->note.has_address)
		snprintf(where, sizeof(where), " at address 0x%llx",
			 (unsigned long long)cause->note.address);
	snprintf(out, size, "%skilled by %s%s in attempt %u", why,
		 signal_name(number, name, sizeof(name)), where, attempt);
}

static void
describe_late(const struct weir_cause *cause, uint32_t attempt, char *out,
	      size_t size)
{
	bool timed_out = cause->ctx_status == WEIR_TIMEDOUT;
	int64_t ns = timed_out ? cause->timeout_ns : cause->kill_after_ns;
	char text[WEIR_FORMAT_SIZE];

	if (ns == WEIR_FOREVER)
		snprintf(out, size,
			 "did not end by the deadline, killed in attempt %u",
			 attempt);
	else
		snprintf(out, size,
			 "%sdid not end within %s, killed in attempt %u",
			 timed_out ? "" : "cancelled, ",
			 weir__format_duration(text, sizeof(text), ns),
			 attempt);
}

void
weir__cause_describe(const struct weir_cause *cause, uint32_t attempt,
		     char *out, size_t size)
{
	if (cause->blame == WEIR_BLAME_LATE)
		describe_late(cause, attempt, out, size);
	else if (cause->blame == WEIR_BLAME_GARBAGE)
		snprintf(out, size,
			 "sent what is no answer, killed in attempt %u",
			 attempt);
	else if (cause->blame == WEIR_BLAME_LOST)
		snprintf(out, size, "lost with the zygote in attempt %u",
			 attempt);
	else if (WIFSIGNALED(cause->status))
		describe_signal(cause, attempt, out, size);
	else if (WEXITSTATUS(cause->status) == WEIR_WORKER_LOST)
		snprintf(out, size,
			 "exited with %d in attempt %u (it may have lost its "
			 "socket)",
			 WEIR_WORKER_LOST, attempt);
	else
		snprintf(out, size, "exited with %d in attempt %u",
			 WEXITSTATUS(cause->status), attempt);
}
