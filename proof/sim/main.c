/*
 * wsim: run scenarios under many schedules, each made from one number.
 *
 *      wsim                           every scenario, a million schedules
 *      wsim --schedules 50000000 --jobs 2
 *      wsim --scenario NAME --seed N  one schedule again; --trace shows it
 *      wsim --mutants                 plant each mistake: is it found?
 *
 * A failure prints the command that repeats it.  README.md says what is
 * modelled and what is not.
 */
#include "scenario.h"
#include "trace.h"

#include "sync/mutant.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SCHEDULES_DEFAULT 1000000
#define MUTANT_SCHEDULES  3000000
#define JOBS_MAX          16
#define SCENARIOS_MAX     128

enum weir_mutant weir__mutant;

struct mutant {
	const char *name, *mistake;
};

static const struct mutant mutants[] = {{"none", "nothing is wrong"},
#define MUTANT_ROW(name, mistake) {#name, mistake},
					WEIR_MUTANT_TABLE(MUTANT_ROW)
#undef MUTANT_ROW
};

static const struct scenario *const groups[] = {
	sync_scenarios,     chan_scenarios, ctx_scenarios,   push_scenarios,
	short_scenarios,    pull_scenarios, async_scenarios, stop_scenarios,
	pipeline_scenarios, wake_scenarios,
};

struct options {
	const char *program, *scenario, *mutant;
	uint64_t schedules, seed;
	uint32_t jobs;
	bool list, trace, mutants, one;
};

/* What came of a scenario: written by one job, read when it has ended. */
struct outcome {
	uint64_t schedules, steps;
	double seconds;
	bool failed;
	uint64_t failed_seed;
	struct sim_verdict verdict;
};

static const struct scenario *scenarios[SCENARIOS_MAX];
static size_t scenario_count;
static uint64_t share_sum;

static double
seconds_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* Those that are asked for: all, or those whose names begin so. */
static void
collect(const struct options *o)
{
	for (size_t g = 0; g < sizeof(groups) / sizeof(groups[0]); g++)
		for (const struct scenario *s = groups[g]; s->name; s++) {
			if (o->scenario && strncmp(s->name, o->scenario,
						   strlen(o->scenario)) != 0)
				continue;
			if (scenario_count == SCENARIOS_MAX)
				abort();
			scenarios[scenario_count++] = s;
			share_sum += s->share;
		}
}

/* Every job has its own seeds: first, first + step, and so on. */
static void
run_scenario(const struct scenario *s, uint64_t first, uint64_t step,
	     uint64_t count, bool trace, struct outcome *ret)
{
	struct sim_setup setup = {.faults = s->faults,
				  .scenario = s->run,
				  .trace = trace ? trace_step : NULL};
	double began = seconds_now();

	for (uint64_t i = 0; i < count && !ret->failed; i++) {
		setup.seed = first + i * step;
		sim_run(&setup, &ret->verdict);
		ret->schedules++;
		ret->steps += ret->verdict.steps;
		if (ret->verdict.failed) {
			ret->failed = true;
			ret->failed_seed = setup.seed;
		}
	}
	ret->seconds = seconds_now() - began;
}

static uint64_t
schedules_of(const struct options *o, const struct scenario *s)
{
	uint64_t count = o->schedules * s->share / share_sum;

	return o->one ? 1 : count > 0 ? count : 1;
}

/* The part of one job: its seeds of each scenario, one after the other. */
static bool
run_job(const struct options *o, uint32_t job, struct outcome *outcomes)
{
	for (size_t i = 0; i < scenario_count; i++) {
		uint64_t all = schedules_of(o, scenarios[i]);
		uint64_t mine = (all + o->jobs - 1 - job) / o->jobs;

		run_scenario(scenarios[i], o->seed + job, o->jobs, mine,
			     o->trace, &outcomes[i]);
		if (outcomes[i].failed && weir__mutant != WEIR_MUTANT_NONE)
			return false;
	}
	return true;
}

static const char *
memory_name(enum sim_memory memory)
{
	static const char *const names[] = {"sc", "tso", "c11"};

	return names[memory];
}

static void
print_failure(const struct options *o, const struct scenario *s,
	      const struct outcome *outcome)
{
	printf("# promise: %s\n# %s (%s memory, step %llu)\n# again: %s "
	       "--scenario %s --seed %llu",
	       s->promise, outcome->verdict.why,
	       memory_name(outcome->verdict.memory),
	       (unsigned long long)outcome->verdict.steps, o->program, s->name,
	       (unsigned long long)outcome->failed_seed);
	if (weir__mutant != WEIR_MUTANT_NONE)
		printf(" --mutant %s", mutants[weir__mutant].name);
	printf(" --trace\n");
}

static struct outcome *
outcomes_new(size_t count)
{
	void *memory =
		mmap(NULL, count * sizeof(struct outcome),
		     PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED) {
		perror("wsim: mmap");
		exit(2);
	}
	return memory;
}

/* All of it, in as many processes as there are jobs. */
static void
run_jobs(const struct options *o, struct outcome *outcomes)
{
	if (o->jobs == 1) {
		run_job(o, 0, outcomes);
		return;
	}
	for (uint32_t job = 0; job < o->jobs; job++) {
		pid_t pid = fork();

		if (pid < 0) {
			perror("wsim: fork");
			exit(2);
		}
		if (pid == 0) {
			run_job(o, job, outcomes + job * scenario_count);
			_exit(0);
		}
	}
	for (uint32_t job = 0; job < o->jobs; job++) {
		int status;

		if (wait(&status) < 0 || !WIFEXITED(status) ||
		    WEXITSTATUS(status) != 0) {
			printf("Bail out! a job of wsim died\n");
			exit(2);
		}
	}
}

static void
add_up(struct outcome *to, const struct outcome *from)
{
	to->schedules += from->schedules;
	to->steps += from->steps;
	to->seconds += from->seconds;
	if (from->failed && !to->failed) {
		to->failed = true;
		to->failed_seed = from->failed_seed;
		to->verdict = from->verdict;
	}
}

static int
report(const struct options *o, const struct outcome *outcomes)
{
	struct outcome all = {.schedules = 0};
	int passed = 0, failed = 0;

	for (size_t i = 0; i < scenario_count; i++) {
		const struct scenario *s = scenarios[i];
		struct outcome sum = {.schedules = 0};

		for (uint32_t job = 0; job < o->jobs; job++)
			add_up(&sum, &outcomes[job * scenario_count + i]);
		add_up(&all, &sum);
		printf("%s %zu - %s # %llu schedules, %.0f/s, %.1f steps\n",
		       sum.failed ? "not ok" : "ok", i + 1, s->name,
		       (unsigned long long)sum.schedules,
		       sum.seconds > 0 ? (double)sum.schedules / sum.seconds
				       : 0,
		       (double)sum.steps /
			       (double)(sum.schedules + !sum.schedules));
		if (sum.failed) {
			print_failure(o, s, &sum);
			failed++;
		} else {
			passed++;
		}
	}
	printf("1..%zu\n# %llu schedules, %llu steps, %.1f s of processor "
	       "time, %.0f schedules/s, %.1f million steps/s each\n",
	       scenario_count, (unsigned long long)all.schedules,
	       (unsigned long long)all.steps, all.seconds,
	       (double)all.schedules / all.seconds,
	       (double)all.steps / all.seconds / 1e6);
	printf("%d passed, %d failed\n", passed, failed);
	return failed > 0;
}

static int
run_all(const struct options *o)
{
	struct outcome *outcomes = outcomes_new(o->jobs * scenario_count);

	run_jobs(o, outcomes);
	return report(o, outcomes);
}

/* A mutant with all scenarios, until one of them finds it. */
static int
run_mutant(const struct options *o, size_t mutant)
{
	struct outcome *outcomes = outcomes_new(scenario_count);
	double began = seconds_now();
	struct options ours = *o;
	int found = -1;

	weir__mutant = (enum weir_mutant)mutant;
	/* Few schedules of each first: most mistakes show at once. */
	for (uint64_t part = 1024; part > 0 && found < 0; part /= 8) {
		memset(outcomes, 0, scenario_count * sizeof(*outcomes));
		ours.jobs = 1;
		ours.schedules = o->schedules / part;
		run_job(&ours, 0, outcomes);
		for (size_t i = 0; i < scenario_count && found < 0; i++)
			if (outcomes[i].failed)
				found = (int)i;
		if (o->one)
			break;
	}
	if (found >= 0) {
		printf("killed %s by %s, seed %llu, %.1f s\n",
		       mutants[mutant].name, scenarios[found]->name,
		       (unsigned long long)outcomes[found].failed_seed,
		       seconds_now() - began);
		print_failure(o, scenarios[found], &outcomes[found]);
	} else {
		printf("survived %s: %s\n", mutants[mutant].name,
		       mutants[mutant].mistake);
	}
	fflush(stdout);
	munmap(outcomes, scenario_count * sizeof(*outcomes));
	weir__mutant = WEIR_MUTANT_NONE;
	return found >= 0;
}

/* Each mutant in a process of its own, for it may do anything. */
static int
run_mutants(const struct options *o)
{
	int killed = 0, survived = 0;
	uint32_t running = 0;

	fflush(stdout);
	for (size_t next = 1; next < WEIR_MUTANTS || running > 0;) {
		int status;

		if (next < WEIR_MUTANTS && running < o->jobs) {
			pid_t pid = fork();

			if (pid == 0)
				_exit(run_mutant(o, next) ? 0 : 1);
			running += pid > 0;
			next++;
			continue;
		}
		if (wait(&status) < 0)
			exit(2);
		running--;
		/* One that crashes is noticed as well. */
		if (WIFEXITED(status) && WEXITSTATUS(status) == 1)
			survived++;
		else
			killed++;
	}
	printf("%d killed, %d survived\n", killed, survived);
	return survived > 0;
}

static size_t
find_mutant(const char *name)
{
	for (size_t i = 1; i < WEIR_MUTANTS; i++)
		if (strcmp(mutants[i].name, name) == 0)
			return i;
	fprintf(stderr, "wsim: no mutant is called %s; see --list\n", name);
	exit(2);
}

static void
list(void)
{
	for (size_t i = 0; i < scenario_count; i++)
		printf("scenario %s: %s\n", scenarios[i]->name,
		       scenarios[i]->promise);
	for (size_t i = 1; i < WEIR_MUTANTS; i++)
		printf("mutant %s: %s\n", mutants[i].name, mutants[i].mistake);
}

static void
usage(void)
{
	fprintf(stderr, "usage: wsim [--list] [--schedules N] [--seed FIRST] "
			"[--scenario NAME]\n"
			"            [--mutant NAME] [--mutants] [--trace] "
			"[--jobs N]\n");
	exit(2);
}

static uint64_t
number(const char *text)
{
	char *end;
	unsigned long long value;

	errno = 0;
	value = strtoull(text ? text : "", &end, 10);
	if (!text || end == text || *end != '\0' || errno)
		usage();
	return value;
}

static void
parse(struct options *o, char **argv)
{
	bool counted = false, seeded = false;

	for (char **arg = argv + 1; *arg; arg++) {
		const char *value = arg[1];

		if (strcmp(*arg, "--list") == 0) {
			o->list = true;
			continue;
		}
		if (strcmp(*arg, "--mutants") == 0) {
			o->mutants = true;
			continue;
		}
		if (strcmp(*arg, "--trace") == 0) {
			o->trace = true;
			continue;
		}
		if (!value)
			usage();
		if (strcmp(*arg, "--schedules") == 0) {
			o->schedules = number(value);
			counted = true;
		} else if (strcmp(*arg, "--seed") == 0) {
			o->seed = number(value);
			seeded = true;
		} else if (strcmp(*arg, "--jobs") == 0) {
			o->jobs = (uint32_t)number(value);
		} else if (strcmp(*arg, "--scenario") == 0) {
			o->scenario = value;
		} else if (strcmp(*arg, "--mutant") == 0) {
			o->mutant = value;
		} else {
			usage();
		}
		arg++;
	}
	/* One schedule, if it is named and nobody asks for more. */
	o->one = o->trace || (o->scenario && seeded && !counted);
	if (!counted)
		o->schedules = o->mutant || o->mutants ? MUTANT_SCHEDULES
						       : SCHEDULES_DEFAULT;
	if (o->jobs == 0 || o->jobs > JOBS_MAX)
		usage();
	if (o->one)
		o->jobs = 1;
}

int
main(int argc, char **argv)
{
	struct options o = {.seed = 1, .jobs = 1};

	(void)argc;
	o.program = argv[0];
	parse(&o, argv);
	collect(&o);
	if (scenario_count == 0) {
		fprintf(stderr, "wsim: no scenario is called %s; see --list\n",
			o.scenario);
		return 2;
	}
	if (o.list) {
		list();
		return 0;
	}
	if (o.mutants)
		return run_mutants(&o);
	if (o.mutant)
		return run_mutant(&o, find_mutant(o.mutant));
	return run_all(&o);
}
