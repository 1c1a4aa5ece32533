/*
 * relacy-check: run the scenarios, all of them or one.
 *
 * Design.  Lines like TAP's, one for each scenario, and a last line with the
 * counts.  Executions are numbered, and their number is their seed; a failure
 * prints the command that repeats it.
 */
#include "scenario.h"
#include "sync/mutant.h"

#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Of each scenario; of whole pools fewer, for they cost more. */
#define EXECUTIONS 200000

static const struct weir_scenario *const groups[] = {
	sync_scenarios,  wait_scenarios, chan_scenarios, ctx_scenarios,
	limit_scenarios, push_scenarios, stop_scenarios, pull_scenarios,
};

static const char *const mutant_names[] = {"NONE",
#define MUTANT_NAME(name, mistake) #name,
					   WEIR_MUTANT_TABLE(MUTANT_NAME)
#undef MUTANT_NAME
};

static struct {
	const char *program;
	const char *scenario; /* only this one, or NULL */
	uint64_t executions;  /* of each; 0: EXECUTIONS */
	uint64_t seed;
	bool list, trace, timing;
} args = {.seed = 1};

/* What runs, for a crash. */
static const struct weir_scenario *running;
static int number;

static void
print_replay(FILE *to, const struct weir_scenario *s, uint64_t execution)
{
	fprintf(to, "# replay: %s --scenario %s --seed %llu --executions 1",
		args.program, s->name, (unsigned long long)execution);
	if (weir__mutant != WEIR_MUTANT_NONE)
		fprintf(to, " --mutant %s", mutant_names[weir__mutant]);
	fprintf(to, " --trace\n");
}

/* A mistake may end in a wild pointer; the execution is known even so. */
static void
crashed(int signal_number)
{
	if (running) {
		printf("not ok %d - %s\n# crashed with signal %d\n", number,
		       running->promise, signal_number);
		print_replay(stdout, running, weir__explore_execution());
		fflush(stdout);
	}
	_exit(1);
}

static void
catch_crashes(void)
{
	static char memory[65536];
	const stack_t stack = {.ss_sp = memory, .ss_size = sizeof(memory)};
	const int signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
	struct sigaction action;

	memset(&action, 0, sizeof(action));
	action.sa_handler = crashed;
	action.sa_flags = SA_ONSTACK;
	sigaltstack(&stack, NULL);
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		sigaction(signals[i], &action, NULL);
}

/* Of processor time, for the machine is never ours alone. */
static double
seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static bool
run(const struct weir_scenario *s)
{
	struct weir_finding found;
	uint64_t count = args.executions;
	double began = seconds();
	bool ok;

	if (count == 0)
		count = EXECUTIONS;
	/* Asked for by name it runs as often as it was asked for. */
	if (s->cost > 1 && !(args.scenario && args.executions))
		count = (count + s->cost - 1) / s->cost;
	running = s;
	number++;
	ok = weir__explore(s, args.seed, count, args.trace, &found);
	running = NULL;
	printf("%sok %d - %s", ok ? "" : "not ", number, s->promise);
	if (args.timing)
		printf("  # %s, %llu executions, %.2f s", s->name,
		       (unsigned long long)count, seconds() - began);
	printf("\n");
	if (!ok) {
		printf("# execution %llu: %s\n",
		       (unsigned long long)found.execution, found.text);
		print_replay(stdout, s, found.execution);
	}
	fflush(stdout);
	return ok;
}

static int
run_all(void)
{
	int passed = 0, failed = 0;

	for (size_t g = 0; g < sizeof(groups) / sizeof(groups[0]); g++)
		for (const struct weir_scenario *s = groups[g]; s->name; s++) {
			if (args.scenario && strcmp(args.scenario, s->name))
				continue;
			if (args.list)
				printf("%s: %s\n", s->name, s->promise);
			else if (run(s))
				passed++;
			else
				failed++;
			/* A mutant is dead when one scenario has found it. */
			if (failed > 0 && weir__mutant != WEIR_MUTANT_NONE)
				goto out;
		}
	if (args.list)
		return 0;
	if (passed + failed == 0) {
		fprintf(stderr, "%s: no such scenario\n", args.program);
		return 2;
	}
out:
	printf("%d passed, %d failed\n", passed, failed);
	return failed > 0;
}

static enum weir_mutant
mutant_of(const char *name)
{
	char *end;
	unsigned long n = strtoul(name, &end, 10);

	if (*name && !*end && n < WEIR_MUTANTS)
		return (enum weir_mutant)n;
	for (unsigned i = 0; i < WEIR_MUTANTS; i++)
		if (!strcmp(name, mutant_names[i]))
			return (enum weir_mutant)i;
	fprintf(stderr, "%s: no such mutant: %s\n", args.program, name);
	exit(2);
}

static void
usage(FILE *to)
{
	fprintf(to,
		"usage: %s [OPTION]...\n"
		"  --list            the scenarios and what they promise\n"
		"  --mutants         the mistakes that can be planted\n"
		"  --scenario NAME   only this one\n"
		"  --executions N    of each, instead of as many as it asks "
		"for\n"
		"  --seed N          number of the first execution (1)\n"
		"  --mutant NAME|N   plant a mistake; stop at the first "
		"failure\n"
		"  --trace           every step, for a single execution\n"
		"  --time            processor time of each\n",
		args.program);
}

static void
list_mutants(void)
{
	for (unsigned i = 1; i < WEIR_MUTANTS; i++)
		printf("%s\n", mutant_names[i]);
}

int
main(int argc, char **argv)
{
	enum {
		LIST = 1,
		MUTANTS,
		SCENARIO,
		EXECS,
		SEED,
		MUTANT,
		TRACE,
		TIMES,
		HELP
	};
	static const struct option options[] = {
		{"list", no_argument, NULL, LIST},
		{"mutants", no_argument, NULL, MUTANTS},
		{"scenario", required_argument, NULL, SCENARIO},
		{"executions", required_argument, NULL, EXECS},
		{"seed", required_argument, NULL, SEED},
		{"mutant", required_argument, NULL, MUTANT},
		{"trace", no_argument, NULL, TRACE},
		{"time", no_argument, NULL, TIMES},
		{"help", no_argument, NULL, HELP},
		{NULL, 0, NULL, 0},
	};
	int c;

	args.program = argv[0];
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case LIST:
			args.list = true;
			break;
		case MUTANTS:
			list_mutants();
			return 0;
		case SCENARIO:
			args.scenario = optarg;
			break;
		case EXECS:
			args.executions = strtoull(optarg, NULL, 10);
			break;
		case SEED:
			args.seed = strtoull(optarg, NULL, 10);
			break;
		case MUTANT:
			weir__mutant = mutant_of(optarg);
			break;
		case TRACE:
			args.trace = true;
			break;
		case TIMES:
			args.timing = true;
			break;
		case HELP:
			usage(stdout);
			return 0;
		default:
			usage(stderr);
			return 2;
		}
	}
	catch_crashes();
	return run_all();
}
