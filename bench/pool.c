/*
 * A pool of libweir under a simple load, and what a job costs.
 *
 *	pool --form pull|push --workers N --capacity C --jobs J --steps S
 *	pool --calibrate
 *
 * Design.  In push form one thread submits and another one collects, which
 * is the classic pattern of the peers.  In pull form the pool asks for jobs
 * and gives results back; C is then all that may be inside, running jobs
 * included, and in push form it is the capacity of the queue.  Making and
 * freeing the pool is inside the measured time.  The last line is one JSON
 * object.  The exit status is 0 only if each job came out once and right.
 *
 * Locking.  None of its own.  In pull form the pool calls the source, and
 * the sink, from one thread at a time; in push form producer and collector
 * share nothing but the pool.
 */
#include "measure.h"

#include <weir/pool.h>

#include <getopt.h>
#include <pthread.h>
#include <stdbool.h>

struct bench {
	/* fixed before the pool is made */
	bool push;
	uint32_t workers, capacity;
	uint64_t jobs, steps;

	/* owned by the source, or by the producer */
	uint64_t given;

	/* owned by the sink, or by the collector */
	struct bench_tally tally;

	weir_pool *pool;
};

static weir_status
run_job(weir_ctx *ctx, const void *in, void *out, void *user)
{
	const struct bench *bench = user;
	uint64_t *value = out;

	(void)ctx;
	*value = bench_job_run(in, bench->steps);
	return WEIR_OK;
}

static weir_status
give_job(weir_ctx *ctx, void *ret_in, weir_job_options *ret_options, void *user)
{
	struct bench *bench = user;
	struct bench_job *job = ret_in;

	(void)ctx;
	(void)ret_options;
	if (bench->given == bench->jobs)
		return WEIR_CLOSED;
	*job = bench_job_make(++bench->given);
	return WEIR_OK;
}

static void
take_result(const weir_result *result, const void *in, void *out, void *user)
{
	struct bench *bench = user;
	const uint64_t *value = out;
	const struct bench_job *job = in;

	if (result->status != WEIR_OK)
		bench->tally.failed++;
	bench_tally_add(&bench->tally, job->id, *value);
}

static void *
produce(void *user)
{
	struct bench *bench = user;

	while (bench->given < bench->jobs) {
		struct bench_job job = bench_job_make(bench->given + 1);

		if (weir_pool_submit(bench->pool, &job, NULL, NULL) != WEIR_OK)
			break;
		bench->given++;
	}
	weir_pool_close(bench->pool);
	return NULL;
}

static bool
run_push(struct bench *bench)
{
	weir_result result;
	uint64_t value;
	pthread_t producer;

	if (pthread_create(&producer, NULL, produce, bench) != 0)
		return false;
	while (weir_pool_next(bench->pool, &result, &value, NULL) == WEIR_OK) {
		if (result.status != WEIR_OK)
			bench->tally.failed++;
		bench_tally_add(&bench->tally, result.id, value);
	}
	return pthread_join(producer, NULL) == 0;
}

static bool
run_pool(struct bench *bench)
{
	weir_pool_options options = WEIR_POOL_OPTIONS_INIT;
	bool ran;

	options.name = "bench";
	options.workers = bench->workers;
	options.queue = bench->capacity;
	options.in_size = sizeof(struct bench_job);
	options.out_size = sizeof(uint64_t);
	options.run = run_job;
	options.user = bench;
	if (!bench->push) {
		options.queue = bench->capacity - bench->workers;
		options.source = give_job;
		options.sink = take_result;
	}
	if (weir_pool_new(&bench->pool, &options) != WEIR_OK)
		return false;
	ran = bench->push ? run_push(bench)
			  : weir_pool_run(bench->pool, NULL) == WEIR_OK;
	weir_pool_free(bench->pool);
	return ran;
}

/*
 * How long a step takes: the best of a few tries, for whatever disturbs one
 * makes it longer.
 */
static int
calibrate(void)
{
	struct bench_job job = bench_job_make(1);
	const uint64_t steps = 1000000;
	uint64_t sum = 0;
	int64_t best_ns = INT64_MAX;

	for (int i = 0; i < 10; i++) {
		int64_t start_ns = bench_now_ns();

		job.seed = bench_job_run(&job, steps);
		sum += job.seed;
		if (bench_now_ns() - start_ns < best_ns)
			best_ns = bench_now_ns() - start_ns;
	}
	printf("{\"ns_per_step\": %.4f, \"sum\": %llu}\n",
	       (double)best_ns / (double)steps, (unsigned long long)sum);
	return 0;
}

static void
report(const struct bench *bench, const struct bench_mark *from,
       const struct bench_mark *to, bool right)
{
	printf("{\"form\": \"%s\", \"workers\": %u, \"capacity\": %u, "
	       "\"steps\": %llu, ",
	       bench->push ? "push" : "pull", bench->workers, bench->capacity,
	       (unsigned long long)bench->steps);
	bench_print_between(from, to, bench->jobs);
	printf(", \"sum\": %llu, \"right\": %s}\n",
	       (unsigned long long)bench->tally.value_sum,
	       right ? "true" : "false");
}

static int
usage(void)
{
	fputs("usage: pool --form pull|push --workers N --capacity C "
	      "--jobs J --steps S\n"
	      "       pool --calibrate\n",
	      stderr);
	return 2;
}

int
main(int argc, char **argv)
{
	static const struct option known[] = {
		{"form", required_argument, NULL, 'f'},
		{"workers", required_argument, NULL, 'w'},
		{"capacity", required_argument, NULL, 'c'},
		{"jobs", required_argument, NULL, 'j'},
		{"steps", required_argument, NULL, 's'},
		{"calibrate", no_argument, NULL, 'C'},
		{NULL, 0, NULL, 0},
	};
	struct bench bench = {.workers = 4, .capacity = 8, .jobs = 100000};
	struct bench_mark from, to;
	bool right;
	int option;

	while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
		if (option == 'f')
			bench.push = *optarg == 'p' && optarg[2] == 's';
		else if (option == 'w')
			bench.workers = (uint32_t)bench_number(optarg);
		else if (option == 'c')
			bench.capacity = (uint32_t)bench_number(optarg);
		else if (option == 'j')
			bench.jobs = bench_number(optarg);
		else if (option == 's')
			bench.steps = bench_number(optarg);
		else
			return option == 'C' ? calibrate() : usage();
	}
	if (bench.workers == 0 || bench.capacity <= bench.workers)
		return usage();
	from = bench_mark_now();
	right = run_pool(&bench);
	to = bench_mark_now();
	right = right &&
		bench_tally_is_right(&bench.tally, bench.jobs, bench.steps);
	report(&bench, &from, &to, right);
	return right ? 0 : 1;
}
