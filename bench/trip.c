/*
 * The way of one job through a pool of libweir in push form, and back.
 *
 *	trip --workers N --capacity C --jobs J [--helps]
 *
 * Design.  See trip.h.  The calling thread submits and collects; with --helps
 * the pool may run the job on it instead of waking a worker.
 *
 * Locking.  None of its own.
 */
#include "trip.h"
#include <weir/pool.h>

#include <string.h>

static weir_status
run_job(weir_ctx *ctx, const void *in, void *out, void *user)
{
	uint64_t *value = out;

	(void)ctx;
	(void)user;
	*value = bench_job_run(in, 0);
	return WEIR_OK;
}

static bool
trip(void *user, const struct bench_job *job, uint64_t *ret_value)
{
	weir_pool *pool = user;
	weir_result result;

	return weir_pool_submit(pool, job, NULL, NULL) == WEIR_OK &&
	       weir_pool_next(pool, &result, ret_value, NULL) == WEIR_OK &&
	       result.status == WEIR_OK;
}

static bool
take_flag(int *argc, char **argv, const char *flag)
{
	if (*argc < 2 || strcmp(argv[*argc - 1], flag) != 0)
		return false;
	argv[--*argc] = NULL;
	return true;
}

int
main(int argc, char **argv)
{
	weir_pool_options options = WEIR_POOL_OPTIONS_INIT;
	struct bench_load load = {.workers = 4, .capacity = 8, .jobs = 10000};
	bool helps = take_flag(&argc, argv, "--helps");
	weir_pool *pool;
	int status;

	if (!peer_load(&load, argc, argv) || load.jobs > TRIPS_MAX)
		return peer_usage();
	options.name = "trip";
	options.workers = load.workers;
	options.queue = load.capacity;
	options.in_size = sizeof(struct bench_job);
	options.out_size = sizeof(uint64_t);
	options.run = run_job;
	options.caller_helps = helps;
	if (weir_pool_new(&pool, &options) != WEIR_OK)
		return 1;
	status = trip_measure(helps ? "trip helps" : "trip", &load, trip, pool);
	weir_pool_free(pool);
	return status;
}
