/*
 * GLib: two GAsyncQueues and N threads or, with --pool as the last argument, a
 * GThreadPool and one GAsyncQueue for the results.
 *
 *	glib --workers N --capacity C --jobs J --steps S [--pool]
 *
 * Design.  Neither has a bound: the producer never waits and the capacity is
 * ignored.  That is not the contract of the others, and cheaper; it is here
 * because it is what C programs use.  The queues carry pointers, so each job
 * is allocated by the producer and freed by the collector.
 *
 * Locking.  None of its own.
 */
#include "../peer.h"

#include <glib.h>
#include <string.h>

struct item {
	struct bench_job job;
	uint64_t value;
};

struct state {
	const struct bench_load *load;
	GAsyncQueue *jobs, *results;
	GThreadPool *pool;
};

/* What a worker takes as "there is no more". */
static struct item end;

static void
push_job(struct state *state, struct item *item)
{
	if (state->pool != NULL)
		g_thread_pool_push(state->pool, item, NULL);
	else
		g_async_queue_push(state->jobs, item);
}

static void *
produce(void *user)
{
	struct state *state = user;

	for (uint64_t id = 1; id <= state->load->jobs; id++) {
		struct item *item = g_new(struct item, 1);

		item->job = bench_job_make(id);
		push_job(state, item);
	}
	for (uint32_t i = 0; state->pool == NULL && i < state->load->workers;
	     i++)
		g_async_queue_push(state->jobs, &end);
	return NULL;
}

static void
run_item(void *data, void *user)
{
	struct state *state = user;
	struct item *item = data;

	item->value = bench_job_run(&item->job, state->load->steps);
	g_async_queue_push(state->results, item);
}

static void *
work(void *user)
{
	struct state *state = user;
	struct item *item;

	while ((item = g_async_queue_pop(state->jobs)) != &end)
		run_item(item, state);
	return NULL;
}

static void
collect(struct state *state, struct bench_tally *tally)
{
	for (uint64_t i = 0; i < state->load->jobs; i++) {
		struct item *item = g_async_queue_pop(state->results);

		bench_tally_add(tally, item->job.id, item->value);
		g_free(item);
	}
}

static bool
run_queues(const struct bench_load *load, struct bench_tally *tally)
{
	struct state state = {load, g_async_queue_new(), g_async_queue_new(),
			      NULL};
	GThread **threads = g_new(GThread *, load->workers);
	GThread *producer;

	for (uint32_t i = 0; i < load->workers; i++)
		threads[i] = g_thread_new("worker", work, &state);
	producer = g_thread_new("producer", produce, &state);
	collect(&state, tally);
	g_thread_join(producer);
	for (uint32_t i = 0; i < load->workers; i++)
		g_thread_join(threads[i]);
	g_free(threads);
	g_async_queue_unref(state.jobs);
	g_async_queue_unref(state.results);
	return true;
}

static bool
run_pool(const struct bench_load *load, struct bench_tally *tally)
{
	struct state state = {load, NULL, g_async_queue_new(), NULL};
	GThread *producer;

	state.pool = g_thread_pool_new(run_item, &state, (int)load->workers,
				       TRUE, NULL);
	if (state.pool == NULL)
		return false;
	producer = g_thread_new("producer", produce, &state);
	collect(&state, tally);
	g_thread_join(producer);
	g_thread_pool_free(state.pool, FALSE, TRUE);
	g_async_queue_unref(state.results);
	return true;
}

int
main(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[argc - 1], "--pool") == 0) {
		argv[argc - 1] = NULL;
		return peer_main(argc - 1, argv, "GThreadPool", run_pool);
	}
	return peer_main(argc, argv, "GAsyncQueue", run_queues);
}
