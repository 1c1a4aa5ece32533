/*
 * libuv: uv_queue_work() from a loop.
 *
 *	uv --workers N --capacity C --jobs J --steps S
 *
 * Design.  libuv's own queue has no bound, so the bound is made of what
 * programs have: C requests, each of which is queued again as soon as its
 * result has been taken.  The loop's thread is producer and collector, and
 * nothing is allocated for a job.  The number of threads is an environment
 * variable that is read when the first request is queued.
 *
 * Locking.  None of its own; after() runs on the loop's thread.
 */
#include "../peer.h"

#include <uv.h>

struct state {
	const struct bench_load *load;
	struct bench_tally *tally;
	uint64_t given;
	bool failed;
};

struct request {
	uv_work_t work; /* first, so that one pointer is both */
	struct state *state;
	struct bench_job job;
	uint64_t value;
};

static void after(uv_work_t *work, int status);

static void
work(uv_work_t *work)
{
	struct request *request = (struct request *)work;

	request->value =
		bench_job_run(&request->job, request->state->load->steps);
}

static void
queue_next(uv_loop_t *loop, struct request *request)
{
	struct state *state = request->state;

	if (state->given == state->load->jobs)
		return;
	request->job = bench_job_make(++state->given);
	if (uv_queue_work(loop, &request->work, work, after) != 0)
		state->failed = true;
}

static void
after(uv_work_t *work, int status)
{
	struct request *request = (struct request *)work;

	if (status != 0)
		request->state->failed = true;
	bench_tally_add(request->state->tally, request->job.id, request->value);
	queue_next(work->loop, request);
}

static bool
run(const struct bench_load *load, struct bench_tally *tally)
{
	struct state state = {load, tally, 0, false};
	struct request *requests = calloc(load->capacity, sizeof(*requests));
	char threads[16];
	uv_loop_t loop;

	snprintf(threads, sizeof(threads), "%u", load->workers);
	if (requests == NULL || setenv("UV_THREADPOOL_SIZE", threads, 1) != 0 ||
	    uv_loop_init(&loop) != 0)
		return false;
	for (uint32_t i = 0; i < load->capacity; i++) {
		requests[i].state = &state;
		queue_next(&loop, &requests[i]);
	}
	uv_run(&loop, UV_RUN_DEFAULT);
	uv_loop_close(&loop);
	free(requests);
	return !state.failed;
}

int
main(int argc, char **argv)
{
	return peer_main(argc, argv, "uv", run);
}
