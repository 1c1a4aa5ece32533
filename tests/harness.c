/*
 * The harness of harness.h.
 *
 * Design: the parent runs the tests one after the other, each in a child that
 * leads a process group of its own.  What the child has to say besides its
 * exit status stands in a page that both share, so it survives a crash and any
 * thread or grandchild can write it.  No check jumps out of a test: that is
 * what makes other harnesses go mute when a worker thread fails one.  stdout
 * belongs to TAP; messages go to stderr, each with one write().
 */
#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct verdict {
	atomic_uint failures;
	atomic_bool seed_shown, skipped, finished;
	char skip_reason[256];
};

static struct test *tests, **tests_end = &tests;
static struct verdict *verdict;          /* of the running test; shared */
static sigset_t signals, signals_before; /* what wait_child() waits for */
static uint64_t seed;
static double slow = 1;

void
test_add(struct test *test)
{
	for (char *c = test->title; *c; c++)
		*c = *c == '_' ? ' ' : *c;
	*tests_end = test;
	tests_end = &test->next;
}

bool
test_check(bool held, const char *file, int line, const char *what,
	   const char *format, ...)
{
	char text[2048], message[1024];
	va_list args;
	int len;

	if (held)
		return true;
	atomic_fetch_add(&verdict->failures, 1);
	va_start(args, format);
	(void)vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	len = snprintf(text, sizeof(text), "# %.200s:%d: %.700s: %s\n", file,
		       line, what, message);
	if (write(STDERR_FILENO, text, (size_t)len) < 0)
		abort();
	return false;
}

bool
test_check_int(intmax_t a, intmax_t b, const char *file, int line,
	       const char *what)
{
	return test_check(a == b, file, line, what, "%jd, %jd", a, b);
}

bool
test_check_str(const char *a, const char *b, const char *file, int line,
	       const char *what)
{
	bool held = a && b ? strcmp(a, b) == 0 : a == b;

	return test_check(held, file, line, what, "\"%s\", \"%s\"",
			  a ? a : "(NULL)", b ? b : "(NULL)");
}

/* Not exit(): other threads run, and may hold any lock that it would want. */
void
test_require(const char *file, int line, const char *what)
{
	(void)test_check(false, file, line, what, "is false");
	_exit(1);
}

void
test_skip(const char *reason)
{
	(void)snprintf(verdict->skip_reason, sizeof(verdict->skip_reason), "%s",
		       reason);
	atomic_store(&verdict->skipped, true);
	_exit(0);
}

uint64_t
test_seed(void)
{
	if (!atomic_exchange(&verdict->seed_shown, true))
		(void)dprintf(STDERR_FILENO, "# WEIR_TEST_SEED=%ju\n",
			      (uintmax_t)seed);
	return seed;
}

/*
 * Ends with exit(), so that LeakSanitizer has its say.  A test that calls
 * exit(0) by itself does not get as far as `finished`.
 */
_Noreturn static void
run_child(const struct test *test)
{
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

	(void)setpgid(0, 0);
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 ||
	    dup2(null, STDIN_FILENO) < 0 ||
	    dup2(STDERR_FILENO, STDOUT_FILENO) < 0 ||
	    sigprocmask(SIG_SETMASK, &signals_before, NULL) < 0)
		abort();
	(void)close(null);
	test->run();
	atomic_store(&verdict->finished, true);
	exit(0);
}

/*
 * Wait for the child, false if it takes too long.  It stays a zombie (WNOWAIT),
 * so that its group's number is not given to others before the group has been
 * killed.  Ctrl-C, or a runner that has had enough, ends both.
 */
static bool
wait_child(pid_t pid, struct timespec limit)
{
	siginfo_t info = {0};
	int sig = SIGCHLD;

	while (sig == SIGCHLD || (sig < 0 && errno == EINTR)) {
		if (waitid(P_PID, (id_t)pid, &info,
			   WEXITED | WNOHANG | WNOWAIT) == 0 &&
		    info.si_pid)
			return true;
		sig = sigtimedwait(&signals, NULL, &limit);
	}
	if (sig < 0)
		return false;
	(void)kill(-pid, SIGKILL);
	_exit(128 + sig);
}

/* Whether the test passed, and what its TAP line says behind the title. */
static bool
judge(bool in_time, int status, char *out, size_t size)
{
	unsigned failures = atomic_load(&verdict->failures);
	bool skipped = atomic_load(&verdict->skipped);

	if (!in_time)
		(void)snprintf(out, size, " # timed out");
	else if (WIFSIGNALED(status))
		(void)snprintf(out, size, " # SIG%s",
			       sigabbrev_np(WTERMSIG(status)));
	else if (failures > 0)
		(void)snprintf(out, size, " # %u failed", failures);
	else if (WEXITSTATUS(status) != 0)
		(void)snprintf(out, size, " # exit status %d",
			       WEXITSTATUS(status));
	else if (!skipped && !atomic_load(&verdict->finished))
		(void)snprintf(out, size, " # exited before its end");
	else if (skipped)
		(void)snprintf(out, size, " # SKIP %s", verdict->skip_reason);
	else
		*out = '\0';
	return !*out || strncmp(out, " # SKIP", 7) == 0;
}

static bool
run_test(const struct test *test, int number)
{
	struct timespec limit = {(time_t)(test->limit_s * slow), 0};
	bool in_time, passed;
	char remark[300];
	int status;
	pid_t pid;

	*verdict = (struct verdict){0};
	(void)fflush(stdout); /* or the child would print it once more */
	pid = fork();
	if (pid == 0)
		run_child(test);
	(void)setpgid(pid, pid);
	in_time = pid > 0 && wait_child(pid, limit);
	/* Whatever it has left running goes too. */
	if (pid < 0 || kill(-pid, SIGKILL) < 0 || waitpid(pid, &status, 0) < 0)
		abort();
	passed = judge(in_time, status, remark, sizeof(remark));
	printf("%s %d - %s%s\n", passed ? "ok" : "not ok", number, test->title,
	       remark);
	return passed;
}

static bool
is_wanted(const struct test *test, char *const *pattern)
{
	bool wanted = !*pattern;

	for (; *pattern; pattern++)
		wanted |= strstr(test->title, *pattern) != NULL;
	return wanted;
}

static void
prepare(void)
{
	const char *text = getenv("WEIR_TEST_SLOW");

	if (text && strtod(text, NULL) > 0)
		slow = strtod(text, NULL);
	text = getenv("WEIR_TEST_SEED");
	seed = text ? strtoull(text, NULL, 0)
		    : (uint64_t)arc4random() << 32 | arc4random();
	verdict = mmap(NULL, sizeof(*verdict), PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (verdict == MAP_FAILED)
		abort();
	(void)sigemptyset(&signals);
	(void)sigaddset(&signals, SIGCHLD);
	(void)sigaddset(&signals, SIGINT);
	(void)sigaddset(&signals, SIGTERM);
	(void)sigprocmask(SIG_BLOCK, &signals, &signals_before);
}

int
main(int argc, char **argv)
{
	bool list = argc > 1 && strcmp(argv[1], "--list") == 0;
	int wanted = 0, number = 0, failed = 0;

	argv += list ? 2 : 1;
	prepare();
	for (struct test *t = tests; t; t = t->next)
		wanted += is_wanted(t, argv);
	if (!list)
		printf("TAP version 13\n1..%d\n", wanted);
	for (struct test *t = tests; t; t = t->next)
		if (is_wanted(t, argv) && list)
			printf("%s\n", t->title);
		else if (is_wanted(t, argv))
			failed += !run_test(t, ++number);
	return failed > 0 || wanted == 0;
}
