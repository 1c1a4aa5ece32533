/*
 * Handlers, and what they can say.
 */
#include "queue_work_util.h"

#include <pthread.h>
#include <string.h>
#include <weir/job.h>

static atomic_uint runs;

static weir_status
succeed(weir_ctx *ctx, const void *in, void *out, void *user)
{
	(void)ctx;
	(void)in;
	(void)out;
	(void)user;
	atomic_fetch_add(&runs, 1);
	return WEIR_OK;
}

/* A work of that one kind, which ends when there is nothing left. */
static weir_work *
work_of(struct bench *b, weir_job_fn *run, void *user)
{
	static weir_handler handler;
	weir_work_options options = WEIR_WORK_OPTIONS_INIT;
	weir_error error;
	weir_work *work;

	memset(&handler, 0, sizeof(handler));
	handler.size = sizeof(handler);
	handler.kind = "test";
	handler.run = run;
	handler.user = user;
	options.handlers = &handler;
	options.handler_count = 1;
	options.until_empty = true;
	options.workers = 4;
	REQUIRE(weir_work_new(&work, b->store, &options, &error) == WEIR_OK);
	return work;
}

static void
run_all(weir_work *work)
{
	weir_error error;

	CHECK_EQ_INT(weir_work_run(work, NULL, &error), WEIR_OK);
	weir_work_free(work);
}

TEST(pool, runs_what_is_there_and_completes_it)
{
	struct bench b;

	bench_init(&b);
	bench_put_many(&b, "test", 100);
	run_all(work_of(&b, succeed, NULL));
	CHECK_EQ_INT(atomic_load(&runs), 100);
	CHECK_EQ_INT(bench_count(&b, WEIR_JOB_COMPLETED), 100);
	bench_fini(&b);
}

TEST(pool, ends_at_once_when_there_is_nothing)
{
	struct bench b;

	bench_init(&b);
	run_all(work_of(&b, succeed, NULL));
	CHECK_EQ_INT(atomic_load(&runs), 0);
	bench_fini(&b);
}
