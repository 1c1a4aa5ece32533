/*
 * The harness of harness.h.
 *
 * Design: the parent runs the tests one after the other, each in a child that
 * leads a process group of its own.  What the child has to say besides its
 * exit status stands in a page that both share, so it survives a crash and can
 * be written by any thread and any grandchild.  There is no longjmp out of a
 * check: that is what makes other harnesses go mute when a worker thread fails
 * one.  stdout belongs to the parent and to TAP; messages go to stderr, each
 * with one write(), so that those of several threads do not mix.
 */
#include "harness.h"

#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
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
	(void)snprintf(test->title, sizeof(test->title), "%s: %s", test->suite,
		       test->name);
	for (char *c = test->title; *c; c++)
		*c = *c == '_' ? ' ' : *c;
	*tests_end = test;
	tests_end = &test->next;
}

bool
test_fail(const char *file, int line, const char *what, const char *format, ...)
{
	char text[2048], message[1024];
	va_list args;
	int len;

	atomic_fetch_add(&verdict->failures, 1);
	va_start(args, format);
	(void)vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	len = snprintf(text, sizeof(text), "# %s:%d: %.800s: %s\n", file, line,
		       what, message);
	if (len > (int)sizeof(text) - 1)
		len = (int)sizeof(text) - 1;
	if (write(STDERR_FILENO, text, (size_t)len) < 0)
		abort();
	return false;
}

bool
test_check_int(const char *file, int line, const char *what, intmax_t a,
	       intmax_t b)
{
	return a == b || test_fail(file, line, what, "%jd, %jd", a, b);
}

bool
test_check_str(const char *file, int line, const char *what, const char *a,
	       const char *b)
{
	if (a == b || (a && b && strcmp(a, b) == 0))
		return true;
	return test_fail(file, line, what, "\"%s\", \"%s\"", a ? a : "(NULL)",
			 b ? b : "(NULL)");
}

/* Not exit(): other threads run, and may hold any lock that it would want. */
void
test_exit(void)
{
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

static int64_t
now_ms(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/*
 * Wait for the child until limit_ms; true if it ended.  It stays a zombie
 * (WNOWAIT), so that its group's number is not given to others before the
 * group has been killed.  Ctrl-C, or a runner that has had enough, ends the
 * group and then us.
 */
static bool
wait_child(pid_t pid, int64_t limit_ms)
{
	for (;;) {
		int64_t left = limit_ms - now_ms();
		struct timespec t = {left / 1000, left % 1000 * 1000000};
		siginfo_t info = {0};
		int sig;

		if (waitid(P_PID, (id_t)pid, &info,
			   WEXITED | WNOHANG | WNOWAIT) < 0)
			abort();
		if (info.si_pid == pid || left <= 0)
			return info.si_pid == pid;
		sig = sigtimedwait(&signals, NULL, &t);
		if (sig > 0 && sig != SIGCHLD) {
			(void)kill(-pid, SIGKILL);
			_exit(128 + sig);
		}
	}
}

/* Why the test did not pass, or an empty string. */
static void
judge(bool in_time, int status, char *out, size_t size)
{
	unsigned failures = atomic_load(&verdict->failures);
	bool told = atomic_load(&verdict->skipped) ||
		    atomic_load(&verdict->finished);

	*out = '\0';
	if (!in_time)
		(void)snprintf(out, size, "timed out");
	else if (WIFSIGNALED(status))
		(void)snprintf(out, size, "SIG%s",
			       sigabbrev_np(WTERMSIG(status)));
	else if (failures > 0)
		(void)snprintf(out, size, "%u failed", failures);
	else if (WEXITSTATUS(status) != 0)
		(void)snprintf(out, size, "exit status %d",
			       WEXITSTATUS(status));
	else if (!told)
		(void)snprintf(out, size, "exited before its end");
}

static bool
run_test(const struct test *test, int number)
{
	int64_t limit_ms = (int64_t)(test->seconds * slow * 1000);
	bool in_time, skipped;
	char why[64];
	int status;
	pid_t pid;

	*verdict = (struct verdict){0};
	(void)fflush(stdout); /* or the child would print it once more */
	pid = fork();
	if (pid < 0)
		abort();
	if (pid == 0)
		run_child(test);
	(void)setpgid(pid, pid);
	in_time = wait_child(pid, now_ms() + limit_ms);
	(void)kill(-pid, SIGKILL); /* and whatever it has left running */
	if (waitpid(pid, &status, 0) != pid)
		abort();
	judge(in_time, status, why, sizeof(why));
	skipped = !*why && atomic_load(&verdict->skipped);
	printf("%s %d - %s%s%s\n", *why ? "not ok" : "ok", number, test->title,
	       *why      ? " # "
	       : skipped ? " # SKIP "
			 : "",
	       skipped ? verdict->skip_reason : why);
	return !*why;
}

static bool
is_wanted(const struct test *test, char *const *pattern)
{
	bool all = !*pattern;

	for (; *pattern; pattern++)
		all |= strstr(test->title, *pattern) != NULL;
	return all;
}

static void
prepare(void)
{
	const char *text = getenv("WEIR_TEST_SLOW");

	if (text && strtod(text, NULL) > 0)
		slow = strtod(text, NULL);
	text = getenv("WEIR_TEST_SEED");
	if (text)
		seed = strtoull(text, NULL, 0);
	else if (getrandom(&seed, sizeof(seed), 0) != sizeof(seed))
		abort();
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
	for (struct test *t = tests; t; t = t->next) {
		if (!is_wanted(t, argv))
			continue;
		if (list)
			printf("%s\n", t->title);
		else if (!run_test(t, ++number))
			failed++;
	}
	return failed > 0 || wanted == 0;
}
