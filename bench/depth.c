/*
 * How full a pool is over time, when its producer is faster than its workers.
 *
 *	depth [--workers N] [--queue Q] [--job-us T] [--seconds S] >CSV
 *
 * Design.  Jobs sleep for T, so that the picture does not depend on the
 * processor.  The producer goes through four phases of equal length: half of
 * what the workers can do, as fast as submit lets it, silence, and as fast as
 * submit lets it again.  A third thread reads the statistics every
 * millisecond and writes a line of CSV each time; what it must never see is
 * more than the bound.  A JSON object with the verdict goes to stderr, and
 * the exit status is 0 only if the bound and the identity held in every
 * sample and each job came out once and right.
 *
 * Locking.  None of its own: the threads share the pool and one flag.  The
 * tally is the collector's, and read after its last result.
 */
#include "measure.h"

#include <weir/pool.h>

#include <getopt.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#define PHASES 4

struct depth {
	/* fixed before the threads start */
	uint32_t workers, queue;
	int64_t job_ns, phase_ns, start_ns;
	weir_pool *pool;

	/* owned by the producer until it is joined */
	uint64_t given;

	/* owned by the collector */
	struct bench_tally tally;

	/* owned by the sampler until it is joined */
	uint64_t samples, at_bound, broken;
	uint32_t queued_max;

	/* atomic: set by the collector, read by the sampler */
	atomic_bool over;
};

static void
sleep_until(int64_t ns)
{
	struct timespec at = {.tv_sec = ns / 1000000000,
			      .tv_nsec = ns % 1000000000};

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) != 0)
		;
}

static weir_status
run_job(weir_ctx *ctx, const void *in, void *out, void *user)
{
	const struct depth *depth = user;
	uint64_t *value = out;

	(void)ctx;
	sleep_until(bench_now_ns() + depth->job_ns);
	*value = bench_job_run(in, 0);
	return WEIR_OK;
}

static bool
submit_next(struct depth *depth)
{
	struct bench_job job = bench_job_make(depth->given + 1);

	if (weir_pool_submit(depth->pool, &job, NULL, NULL) != WEIR_OK)
		return false;
	depth->given++;
	return true;
}

/* One phase: a job every gap_ns, or none at all if gap_ns is negative. */
static void
produce_phase(struct depth *depth, int64_t end_ns, int64_t gap_ns)
{
	int64_t next_ns = bench_now_ns();

	if (gap_ns < 0)
		sleep_until(end_ns);
	while (bench_now_ns() < end_ns && submit_next(depth)) {
		next_ns += gap_ns;
		if (gap_ns > 0)
			sleep_until(next_ns);
	}
}

static void *
produce(void *user)
{
	struct depth *depth = user;
	const int64_t half_ns = 2 * depth->job_ns / depth->workers;
	const int64_t gaps_ns[PHASES] = {half_ns, 0, -1, 0};

	for (int i = 0; i < PHASES; i++)
		produce_phase(depth,
			      depth->start_ns + (i + 1) * depth->phase_ns,
			      gaps_ns[i]);
	weir_pool_close(depth->pool);
	return NULL;
}

static void
sample(struct depth *depth)
{
	weir_pool_stats stats = WEIR_POOL_STATS_INIT;

	weir_pool_get_stats(depth->pool, &stats);
	printf("%.3f,%u,%u,%u,%llu,%llu,%.3f\n",
	       (double)(bench_now_ns() - depth->start_ns) / 1e6, stats.queued,
	       stats.busy, stats.results, (unsigned long long)stats.inside,
	       (unsigned long long)stats.accepted,
	       (double)stats.blocked_ns / 1e6);
	depth->samples++;
	if (stats.queued == depth->queue)
		depth->at_bound++;
	if (stats.queued > depth->queued_max)
		depth->queued_max = stats.queued;
	if (stats.queued > depth->queue || stats.busy > depth->workers ||
	    stats.inside > stats.capacity ||
	    stats.accepted !=
		    stats.delivered + stats.handed_back + stats.inside)
		depth->broken++;
}

static void *
watch(void *user)
{
	struct depth *depth = user;
	int64_t next_ns = depth->start_ns;

	puts("ms,queued,busy,results,inside,accepted,blocked_ms");
	while (!atomic_load(&depth->over)) {
		sample(depth);
		next_ns += 1000000;
		sleep_until(next_ns);
	}
	return NULL;
}

static bool
run_depth(struct depth *depth)
{
	pthread_t producer, sampler;
	weir_result result;
	uint64_t value;

	depth->start_ns = bench_now_ns();
	if (pthread_create(&sampler, NULL, watch, depth) != 0)
		return false;
	if (pthread_create(&producer, NULL, produce, depth) != 0)
		exit(1);
	while (weir_pool_next(depth->pool, &result, &value, NULL) == WEIR_OK) {
		if (result.status != WEIR_OK)
			depth->tally.failed++;
		bench_tally_add(&depth->tally, result.id, value);
	}
	atomic_store(&depth->over, true);
	return pthread_join(producer, NULL) == 0 &&
	       pthread_join(sampler, NULL) == 0;
}

static bool
depth_new_pool(struct depth *depth)
{
	weir_pool_options options = WEIR_POOL_OPTIONS_INIT;

	options.name = "depth";
	options.workers = depth->workers;
	options.queue = depth->queue;
	options.in_size = sizeof(struct bench_job);
	options.out_size = sizeof(uint64_t);
	options.run = run_job;
	options.user = depth;
	return weir_pool_new(&depth->pool, &options) == WEIR_OK;
}

static bool
depth_is_right(const struct depth *depth)
{
	return depth->broken == 0 && depth->queued_max == depth->queue &&
	       bench_tally_is_right(&depth->tally, depth->given, 0);
}

static int
usage(void)
{
	fputs("usage: depth [--workers N] [--queue Q] [--job-us T] "
	      "[--seconds S]\n",
	      stderr);
	return 2;
}

int
main(int argc, char **argv)
{
	static const struct option known[] = {
		{"workers", required_argument, NULL, 'w'},
		{"queue", required_argument, NULL, 'q'},
		{"job-us", required_argument, NULL, 'j'},
		{"seconds", required_argument, NULL, 's'},
		{NULL, 0, NULL, 0},
	};
	struct depth depth = {.workers = 4, .queue = 64, .job_ns = 1000000};
	int64_t seconds = 2;
	bool right;
	int option;

	while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
		if (option == 'w')
			depth.workers = (uint32_t)bench_number(optarg);
		else if (option == 'q')
			depth.queue = (uint32_t)bench_number(optarg);
		else if (option == 'j')
			depth.job_ns = (int64_t)bench_number(optarg) * 1000;
		else if (option == 's')
			seconds = (int64_t)bench_number(optarg);
		else
			return usage();
	}
	depth.phase_ns = seconds * 1000000000 / PHASES;
	if (depth.workers == 0 || !depth_new_pool(&depth))
		return usage();
	right = run_depth(&depth) && depth_is_right(&depth);
	weir_pool_free(depth.pool);
	fprintf(stderr,
		"{\"workers\": %u, \"queue\": %u, \"jobs\": %llu, "
		"\"samples\": %llu, \"at_bound\": %llu, \"queued_max\": %u, "
		"\"broken\": %llu, \"right\": %s}\n",
		depth.workers, depth.queue, (unsigned long long)depth.given,
		(unsigned long long)depth.samples,
		(unsigned long long)depth.at_bound, depth.queued_max,
		(unsigned long long)depth.broken, right ? "true" : "false");
	return right && fflush(stdout) == 0 ? 0 : 1;
}
