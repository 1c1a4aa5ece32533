/*
 * A pool of libweir under a simple load, and what a job costs.
 *
 *	pool --form FORM --workers N --capacity C --jobs J --steps S
 *	pool --calibrate
 *
 *	pull    the pool asks for jobs and gives results back
 *	push    one thread submits, one by one, and another one collects
 *	helps   push, and both may run a job instead of waiting
 *	many    push, and both move many jobs in a call
 *	split   no pool: the ids are shared out before the start
 *
 * Design.  Push is the classic pattern of the peers, and C is the capacity of
 * its queue; in pull form C is all that may be inside, running jobs included.
 * Split is what a pool can at best come to: as many threads as there are
 * processors (or workers, if these are fewer), each with its share of the
 * work.  Making and freeing the pool is inside the measured time.  The last
 * line is one JSON object.  The exit status is 0 only if each job came out
 * once and right.
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
#include <string.h>
#include <unistd.h>

/* How many jobs, or results, a call of the form "many" moves at most. */
#define MANY      64
#define SPLIT_MAX 256

enum form { PULL, PUSH, HELPS, PUSH_MANY, SPLIT, FORMS };

static const char *const form_names[FORMS] = {"pull", "push", "helps", "many",
					      "split"};

struct bench {
	/* fixed before the pool is made */
	enum form form;
	struct bench_load load;

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
	*value = bench_job_run(in, bench->load.steps);
	return WEIR_OK;
}

static weir_status
give_job(weir_ctx *ctx, void *ret_in, weir_job_options *ret_options, void *user)
{
	struct bench *bench = user;
	struct bench_job *job = ret_in;

	(void)ctx;
	(void)ret_options;
	if (bench->given == bench->load.jobs)
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

static bool
submit_one(struct bench *bench)
{
	struct bench_job job = bench_job_make(bench->given + 1);

	if (weir_pool_submit(bench->pool, &job, NULL, NULL) != WEIR_OK)
		return false;
	bench->given++;
	return true;
}

static bool
submit_many(struct bench *bench)
{
	struct bench_job jobs[MANY];
	uint64_t left = bench->load.jobs - bench->given;
	size_t count = left < MANY ? (size_t)left : MANY, accepted;

	for (size_t i = 0; i < count; i++)
		jobs[i] = bench_job_make(bench->given + i + 1);
	if (weir_pool_submit_many(bench->pool, jobs, count, &accepted, NULL) !=
	    WEIR_OK)
		return false;
	bench->given += accepted;
	return true;
}

static void *
produce(void *user)
{
	struct bench *bench = user;
	bool many = bench->form == PUSH_MANY;

	while (bench->given < bench->load.jobs) {
		if (!(many ? submit_many(bench) : submit_one(bench)))
			break;
	}
	weir_pool_close(bench->pool);
	return NULL;
}

static bool
run_push(struct bench *bench)
{
	static weir_result results[MANY];
	uint64_t values[MANY];
	pthread_t producer;
	size_t count;

	if (pthread_create(&producer, NULL, produce, bench) != 0)
		return false;
	while (weir_pool_next_many(bench->pool, results, values, MANY, &count,
				   NULL) == WEIR_OK) {
		for (size_t i = 0; i < count; i++) {
			if (results[i].status != WEIR_OK)
				bench->tally.failed++;
			bench_tally_add(&bench->tally, results[i].id,
					values[i]);
		}
	}
	return pthread_join(producer, NULL) == 0;
}

static bool
run_pool(struct bench *bench)
{
	weir_pool_options options = WEIR_POOL_OPTIONS_INIT;
	bool ran;

	options.name = "bench";
	options.workers = bench->load.workers;
	options.queue = bench->load.capacity;
	options.in_size = sizeof(struct bench_job);
	options.out_size = sizeof(uint64_t);
	options.run = run_job;
	options.user = bench;
	options.caller_helps = bench->form == HELPS;
	if (bench->form == PULL) {
		options.queue = bench->load.capacity - bench->load.workers;
		options.source = give_job;
		options.sink = take_result;
	}
	if (weir_pool_new(&bench->pool, &options) != WEIR_OK)
		return false;
	ran = bench->form == PULL ? weir_pool_run(bench->pool, NULL) == WEIR_OK
				  : run_push(bench);
	weir_pool_free(bench->pool);
	return ran;
}

/* A share of a static split: the ids above first, up to last. */
struct share {
	uint64_t first, last, steps;
	struct bench_tally tally;
	pthread_t thread;
};

static void *
run_share(void *user)
{
	struct share *share = user;
	struct bench_tally tally = {0};

	for (uint64_t id = share->first + 1; id <= share->last; id++) {
		struct bench_job job = bench_job_make(id);

		bench_tally_add(&tally, id, bench_job_run(&job, share->steps));
	}
	share->tally = tally;
	return NULL;
}

static uint32_t
split_threads(uint32_t workers)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	if (cpus < 1 || cpus > SPLIT_MAX)
		cpus = cpus < 1 ? 1 : SPLIT_MAX;
	return workers < cpus ? workers : (uint32_t)cpus;
}

static bool
run_split(struct bench *bench)
{
	static struct share shares[SPLIT_MAX];
	uint32_t threads = split_threads(bench->load.workers);

	for (uint32_t i = 0; i < threads; i++) {
		shares[i].first = bench->load.jobs * i / threads;
		shares[i].last = bench->load.jobs * (i + 1) / threads;
		shares[i].steps = bench->load.steps;
		if (pthread_create(&shares[i].thread, NULL, run_share,
				   &shares[i]) != 0)
			return false;
	}
	for (uint32_t i = 0; i < threads; i++) {
		pthread_join(shares[i].thread, NULL);
		bench->tally.count += shares[i].tally.count;
		bench->tally.id_sum += shares[i].tally.id_sum;
		bench->tally.value_sum += shares[i].tally.value_sum;
	}
	return true;
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

static int
usage(void)
{
	fputs("usage: pool --form pull|push|helps|many|split --workers N "
	      "--capacity C\n"
	      "            --jobs J --steps S\n"
	      "       pool --calibrate\n",
	      stderr);
	return 2;
}

static bool
take_form(struct bench *bench, const char *name)
{
	for (bench->form = 0; bench->form < FORMS; bench->form++) {
		if (strcmp(name, form_names[bench->form]) == 0)
			return true;
	}
	return false;
}

static bool
take_options(struct bench *bench, int argc, char **argv)
{
	static const struct option known[] = {
		{"form", required_argument, NULL, 'f'},
		{"workers", required_argument, NULL, 'w'},
		{"capacity", required_argument, NULL, 'c'},
		{"jobs", required_argument, NULL, 'j'},
		{"steps", required_argument, NULL, 's'},
		{NULL, 0, NULL, 0},
	};
	struct bench_load *load = &bench->load;
	int option;

	while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
		if (option == 'f' && take_form(bench, optarg))
			continue;
		if (option == 'w')
			load->workers = (uint32_t)bench_number(optarg);
		else if (option == 'c')
			load->capacity = (uint32_t)bench_number(optarg);
		else if (option == 'j')
			load->jobs = bench_number(optarg);
		else if (option == 's')
			load->steps = bench_number(optarg);
		else
			return false;
	}
	return load->workers > 0 && load->capacity > load->workers;
}

int
main(int argc, char **argv)
{
	struct bench bench = {
		.load = {.workers = 4, .capacity = 8, .jobs = 100000}};
	struct bench_mark from, to;
	bool right;

	if (argc == 2 && strcmp(argv[1], "--calibrate") == 0)
		return calibrate();
	if (!take_options(&bench, argc, argv))
		return usage();
	from = bench_mark_now();
	right = bench.form == SPLIT ? run_split(&bench) : run_pool(&bench);
	to = bench_mark_now();
	right = right && bench_tally_is_right(&bench.tally, bench.load.jobs,
					      bench.load.steps);
	bench_report(form_names[bench.form], &bench.load, &from, &to, "",
		     &bench.tally, right);
	return right ? 0 : 1;
}
