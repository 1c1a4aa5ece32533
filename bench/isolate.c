/*
 * Jobs in processes: how many no-op jobs a second, and how soon a worker that
 * has died is replaced.
 *
 *      isolate rate  WORKERS JOBS [push] [threads] [payload BYTES]
 *      isolate crash CRASHES
 *
 * Prints one line of JSON.  rate runs JOBS jobs through a pool in pull form,
 * or in push form with one thread that submits and one that collects; with
 * threads the jobs are not isolated.  crash runs jobs that die of SIGSEGV,
 * each followed by one that does nothing, and times how long the second one
 * takes: until a new process has been made and has answered.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <weir/weir.h>

static weir_status
nothing(weir_ctx *ctx, const void *in, void *out, void *user)
{
	int volatile *nowhere = NULL;
	char kind = *(const char *)in;

	(void)ctx;
	(void)out;
	(void)user;
	if (kind)
		*nowhere = 1;
	return WEIR_OK;
}

static weir_pool_options
options_of(weir_zygote *zygote, uint32_t workers, size_t payload)
{
	weir_pool_options o = WEIR_POOL_OPTIONS_INIT;

	o.workers = workers;
	o.queue = 256;
	o.in_size = payload;
	o.run = nothing;
	o.isolate = WEIR_ISOLATE_PROCESS;
	o.zygote = zygote;
	return o;
}

static long left;

static weir_status
source(weir_ctx *ctx, void *ret_in, weir_job_options *ret_options, void *user)
{
	(void)ctx;
	(void)ret_options;
	(void)user;
	*(char *)ret_in = 0;
	return left-- > 0 ? WEIR_OK : WEIR_CLOSED;
}

static long bad;

static void
sink(const weir_result *result, const void *in, void *out, void *user)
{
	(void)in;
	(void)out;
	(void)user;
	bad += result->status != WEIR_OK;
}

struct pushing {
	weir_pool *pool;
	long jobs;
	size_t payload;
};

static void *
submit_all(void *arg)
{
	struct pushing *p = arg;
	char *in = calloc(1, p->payload);

	for (long i = 0; in && i < p->jobs; i++)
		if (weir_pool_submit(p->pool, in, NULL, NULL) != WEIR_OK)
			bad++;
	free(in);
	weir_pool_close(p->pool);
	return NULL;
}

static void
run_push(const weir_pool_options *o, long jobs)
{
	struct pushing p = {NULL, jobs, o->in_size};
	weir_result result;
	pthread_t thread;

	if (weir_pool_new(&p.pool, o) != WEIR_OK ||
	    pthread_create(&thread, NULL, submit_all, &p) != 0)
		exit(1);
	while (weir_pool_next(p.pool, &result, NULL, NULL) == WEIR_OK)
		bad += result.status != WEIR_OK;
	pthread_join(thread, NULL);
	weir_pool_free(p.pool);
}

static void
run_pull(weir_pool_options *o, long jobs)
{
	weir_pool *pool;

	left = jobs;
	o->source = source;
	o->sink = sink;
	if (weir_pool_new(&pool, o) != WEIR_OK ||
	    weir_pool_run(pool, NULL) != WEIR_OK)
		exit(1);
	weir_pool_free(pool);
}

static int
rate(weir_zygote *zygote, int argc, char **argv)
{
	uint32_t workers = (uint32_t)atoi(argv[2]);
	long jobs = atol(argv[3]);
	size_t payload = 8;
	bool push = false, threads = false;
	weir_pool_options o;
	int64_t began_ns;
	double took_s;

	for (int i = 4; i < argc; i++) {
		push |= strcmp(argv[i], "push") == 0;
		threads |= strcmp(argv[i], "threads") == 0;
		if (strcmp(argv[i], "payload") == 0 && i + 1 < argc)
			payload = (size_t)atol(argv[i + 1]);
	}
	o = options_of(zygote, workers, payload);
	if (threads)
		o.isolate = WEIR_ISOLATE_NONE;
	began_ns = weir_now_ns();
	if (push)
		run_push(&o, jobs);
	else
		run_pull(&o, jobs);
	took_s = (double)(weir_now_ns() - began_ns) / 1e9;
	printf("{\"isolated\": %s, \"form\": \"%s\", \"workers\": %u, "
	       "\"jobs\": %ld, "
	       "\"bad\": %ld, \"payload\": %zu, \"jobs_per_s\": %.0f}\n",
	       threads ? "false" : "true", push ? "push" : "pull", workers,
	       jobs, bad, payload, (double)jobs / took_s);
	return bad != 0;
}

static int
compare(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

static void
one(weir_pool *pool, char kind, weir_status want)
{
	weir_result result;

	if (weir_pool_submit(pool, &kind, NULL, NULL) != WEIR_OK ||
	    weir_pool_next(pool, &result, NULL, NULL) != WEIR_OK)
		exit(1);
	bad += result.status != want;
}

static int
crash(weir_zygote *zygote, char **argv)
{
	long crashes = atol(argv[2]);
	int64_t *took = calloc((size_t)crashes, sizeof(*took));
	weir_pool_options o = options_of(zygote, 1, 1);
	weir_pool *pool;

	if (!took || weir_pool_new(&pool, &o) != WEIR_OK)
		return 1;
	for (long i = 0; i < crashes; i++) {
		one(pool, 0, WEIR_OK); /* so that nobody brakes */
		one(pool, 1, WEIR_CRASHED);
		took[i] = weir_now_ns();
		one(pool, 0, WEIR_OK);
		took[i] = weir_now_ns() - took[i];
	}
	weir_pool_free(pool);
	qsort(took, (size_t)crashes, sizeof(*took), compare);
	printf("{\"crashes\": %ld, \"bad\": %ld, \"p50_us\": %.0f, "
	       "\"p99_us\": %.0f, \"max_us\": %.0f}\n",
	       crashes, bad, (double)took[crashes / 2] / 1e3,
	       (double)took[crashes * 99 / 100] / 1e3,
	       (double)took[crashes - 1] / 1e3);
	free(took);
	return bad != 0;
}

int
main(int argc, char **argv)
{
	weir_zygote *zygote;
	int failed = 2;

	if (weir_zygote_start(&zygote) != WEIR_OK)
		return 1;
	if (argc >= 4 && strcmp(argv[1], "rate") == 0)
		failed = rate(zygote, argc, argv);
	else if (argc == 3 && strcmp(argv[1], "crash") == 0)
		failed = crash(zygote, argv);
	else
		fprintf(stderr, "usage: isolate rate WORKERS JOBS [push] "
				"[threads] [payload BYTES] | crash CRASHES\n");
	weir_zygote_free(zygote);
	return failed;
}
