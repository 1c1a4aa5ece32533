/*
 * Run a program and write down what it used.
 *
 *	child --limit SECONDS --json FILE -- PROGRAM [ARGS...]
 *
 * Design.  The harness is a script, and a script cannot measure this itself:
 * Linux lets the peak memory of a process start at that of the process it was
 * forked from, so a child of a big interpreter looks as big as that.  This
 * program is small.  It forks once, waits for the end or for the time limit,
 * and writes one JSON object: wall clock and processor time, peak memory,
 * context switches and how it ended.  Its own exit status is 0 when there is
 * something in the file, whatever became of the program.
 *
 * Locking.  None: one thread.
 */
#include "measure.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static pid_t
start(char **argv, const sigset_t *mask)
{
	pid_t pid = fork();

	if (pid != 0)
		return pid;
	/* Whoever kills the harness does not want this to go on. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	sigprocmask(SIG_UNBLOCK, mask, NULL);
	execvp(argv[0], argv);
	perror(argv[0]);
	_exit(127);
}

/* Wait for the child's end; true if the limit came first and it was killed. */
static bool
wait_for_end(pid_t pid, uint64_t limit_s, const sigset_t *mask)
{
	struct timespec limit = {.tv_sec = (time_t)limit_s, .tv_nsec = 0};

	while (sigtimedwait(mask, NULL, &limit) < 0) {
		if (errno == EINTR)
			continue;
		kill(pid, SIGKILL);
		return true;
	}
	return false;
}

static int
write_json(const char *path, int64_t elapsed_ns, int how,
	   const struct rusage *usage, bool timed_out)
{
	FILE *file = fopen(path, "w");

	if (!file) {
		perror(path);
		return 1;
	}
	fprintf(file,
		"{\"exit\": %d, \"timed_out\": %s, \"wall_s\": %.6f, "
		"\"cpu_s\": %.6f, \"rss_kib\": %ld, "
		"\"voluntary_switches\": %ld, "
		"\"involuntary_switches\": %ld}\n",
		WIFEXITED(how) ? WEXITSTATUS(how) : -WTERMSIG(how),
		timed_out ? "true" : "false", (double)elapsed_ns / 1e9,
		(double)bench_cpu_ns(usage) / 1e9, usage->ru_maxrss,
		usage->ru_nvcsw, usage->ru_nivcsw);
	return fclose(file) == 0 ? 0 : 1;
}

static int
measure(char **argv, const char *path, uint64_t limit_s)
{
	struct rusage usage;
	sigset_t mask;
	int64_t start_ns;
	bool timed_out;
	pid_t pid;
	int how;

	sigemptyset(&mask);
	sigaddset(&mask, SIGCHLD);
	sigprocmask(SIG_BLOCK, &mask, NULL);
	start_ns = bench_now_ns();
	pid = start(argv, &mask);
	if (pid < 0) {
		perror("fork");
		return 1;
	}
	timed_out = wait_for_end(pid, limit_s, &mask);
	if (wait4(pid, &how, 0, &usage) != pid) {
		perror("wait4");
		return 1;
	}
	return write_json(path, bench_now_ns() - start_ns, how, &usage,
			  timed_out);
}

int
main(int argc, char **argv)
{
	static const struct option known[] = {
		{"limit", required_argument, NULL, 'l'},
		{"json", required_argument, NULL, 'j'},
		{NULL, 0, NULL, 0},
	};
	const char *path = NULL;
	uint64_t limit_s = 60;
	int option;

	/* "+": what comes after the program's name is the program's. */
	while ((option = getopt_long(argc, argv, "+", known, NULL)) != -1) {
		if (option == 'l')
			limit_s = bench_number(optarg);
		else if (option == 'j')
			path = optarg;
	}
	if (!path || optind == argc) {
		fputs("usage: child --limit SECONDS --json FILE "
		      "-- PROGRAM [ARGS...]\n",
		      stderr);
		return 2;
	}
	return measure(argv + optind, path, limit_s);
}
