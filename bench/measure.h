/*
 * bench/measure.h - what the programs of this room measure, and with what.
 *
 * Design.  The work of a job is a chain of multiplications in which each one
 * needs the result of the one before.  No compiler can shorten such a chain
 * and no second thread on the same core can speed it up much, so that n jobs
 * on two processors take half of what they take on one.  It has a closed
 * form as well: the sum over all jobs can be checked without running them
 * again.  The peers in other languages do the same steps on the same numbers.
 * This header is C++ as well, for the peers that are.
 *
 * Locking.  None: plain functions and plain values.
 */
#ifndef BENCH_MEASURE_H
#define BENCH_MEASURE_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

/* Knuth's MMIX generator, and the golden ratio that spreads ids. */
#define CHAIN_FACTOR UINT64_C(6364136223846793005)
#define CHAIN_TERM   UINT64_C(1442695040888963407)
#define SEED_FACTOR  UINT64_C(0x9e3779b97f4a7c15)

struct bench_job {
	uint64_t id; /* from 1 */
	uint64_t seed;
};

static inline struct bench_job
bench_job_make(uint64_t id)
{
	struct bench_job job;

	job.id = id;
	job.seed = id * SEED_FACTOR;
	return job;
}

/* The work: with 0 steps it is one addition, the trivial job. */
static inline uint64_t
bench_job_run(const struct bench_job *job, uint64_t steps)
{
	uint64_t x = job->id + job->seed;

	while (steps-- > 0) {
		x = x * CHAIN_FACTOR + CHAIN_TERM;
		/* Some compilers would make one step of two. */
		__asm__("" : "+r"(x));
	}
	return x;
}

/*
 * The sum of bench_job_run() over the ids 1 .. jobs.  A chain of n steps is
 * one step with another factor and another term, which are found by doubling;
 * so the sum over all jobs is that one step of the sum.
 */
static inline uint64_t
bench_sum_expected(uint64_t jobs, uint64_t steps)
{
	uint64_t factor = 1, term = 0;
	uint64_t factor_2i = CHAIN_FACTOR, term_2i = CHAIN_TERM;
	uint64_t half = jobs % 2 ? jobs : jobs / 2;
	uint64_t ids = half * (jobs % 2 ? (jobs + 1) / 2 : jobs + 1);

	for (; steps > 0; steps /= 2) {
		if (steps % 2) {
			term = term * factor_2i + term_2i;
			factor *= factor_2i;
		}
		term_2i += term_2i * factor_2i;
		factor_2i *= factor_2i;
	}
	return factor * (ids + ids * SEED_FACTOR) + term * jobs;
}

/* What a program is asked to do. */
struct bench_load {
	uint32_t workers, capacity;
	uint64_t jobs, steps;
};

/* What came out; count and sums must be what went in. */
struct bench_tally {
	uint64_t count, id_sum, value_sum, failed;
};

static inline void
bench_tally_add(struct bench_tally *tally, uint64_t id, uint64_t value)
{
	tally->count++;
	tally->id_sum += id;
	tally->value_sum += value;
}

static inline int
bench_tally_is_right(const struct bench_tally *tally, uint64_t jobs,
		     uint64_t steps)
{
	uint64_t half = jobs % 2 ? jobs : jobs / 2;
	uint64_t ids = half * (jobs % 2 ? (jobs + 1) / 2 : jobs + 1);

	return tally->failed == 0 && tally->count == jobs &&
	       tally->id_sum == ids &&
	       tally->value_sum == bench_sum_expected(jobs, steps);
}

static inline int64_t
bench_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* A point in time, and what the process had used until then. */
struct bench_mark {
	int64_t ns;
	struct rusage usage;
};

static inline struct bench_mark
bench_mark_now(void)
{
	struct bench_mark mark;

	getrusage(RUSAGE_SELF, &mark.usage);
	mark.ns = bench_now_ns();
	return mark;
}

static inline int64_t
bench_cpu_ns(const struct rusage *usage)
{
	return ((int64_t)usage->ru_utime.tv_sec + usage->ru_stime.tv_sec) *
		       1000000000 +
	       ((int64_t)usage->ru_utime.tv_usec + usage->ru_stime.tv_usec) *
		       1000;
}

/* Members of a JSON object about the time between two marks. */
static inline void
bench_print_between(const struct bench_mark *from, const struct bench_mark *to,
		    uint64_t jobs)
{
	printf("\"jobs\": %llu, \"elapsed_ns\": %lld, \"ns_per_job\": %.2f, "
	       "\"cpu_ns\": %lld, \"voluntary_switches\": %ld, "
	       "\"involuntary_switches\": %ld",
	       (unsigned long long)jobs, (long long)(to->ns - from->ns),
	       (double)(to->ns - from->ns) / (double)jobs,
	       (long long)(bench_cpu_ns(&to->usage) -
			   bench_cpu_ns(&from->usage)),
	       to->usage.ru_nvcsw - from->usage.ru_nvcsw,
	       to->usage.ru_nivcsw - from->usage.ru_nivcsw);
}

/* The last line of a program: what it was asked for, and what it took. */
static inline void
bench_report(const char *form, const struct bench_load *load,
	     const struct bench_mark *from, const struct bench_mark *to,
	     const char *more, const struct bench_tally *tally, int right)
{
	printf("{\"form\": \"%s\", \"workers\": %u, \"capacity\": %u, "
	       "\"steps\": %llu, ",
	       form, load->workers, load->capacity,
	       (unsigned long long)load->steps);
	bench_print_between(from, to, load->jobs);
	printf("%s, \"sum\": %llu, \"right\": %s}\n", more,
	       (unsigned long long)tally->value_sum, right ? "true" : "false");
}

/* A number from the command line; anything else ends the program. */
static inline uint64_t
bench_number(const char *text)
{
	char *end;
	unsigned long long number = strtoull(text, &end, 10);

	if (*text < '0' || *text > '9' || *end != '\0') {
		fprintf(stderr, "not a number: %s\n", text);
		exit(2);
	}
	return number;
}

#endif
