/*
 * Three stages, each with a width of its own:
 *
 *      text -> [ parse ] -> [ work ] -> [ format ] -> text
 *              2 workers    4 workers   1 worker
 *
 * A thread submits while main collects.  A text that is no number fails in
 * the first stage, skips the others and comes out all the same.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <weir/weir.h>

struct text {
	char bytes[48];
};

static weir_status
parse(weir_ctx *ctx, const void *in, void *out, void *user)
{
	const struct text *text = in;
	char *end;

	(void)user;
	*(long *)out = strtol(text->bytes, &end, 10);
	if (end == text->bytes || *end != '\0')
		return weir_job_fail(ctx, WEIR_PERMANENT, "'%s' is no number",
				     text->bytes);
	return WEIR_OK;
}

static weir_status
work(weir_ctx *ctx, const void *in, void *out, void *user)
{
	long n = *(const long *)in;

	(void)user;
	*(long *)out = n * n;
	/* The sleep to use in a job: it ends when the job is cancelled. */
	return weir_ctx_sleep(ctx, WEIR_MS);
}

static weir_status
format(weir_ctx *ctx, const void *in, void *out, void *user)
{
	struct text *text = out;

	(void)ctx;
	(void)user;
	snprintf(text->bytes, sizeof(text->bytes), "squared: %ld",
		 *(const long *)in);
	return WEIR_OK;
}

static void *
submit_all(void *argument)
{
	weir_pipeline *pipeline = argument;
	struct text text;

	for (int i = 1; i <= 5; i++) {
		snprintf(text.bytes, sizeof(text.bytes), i == 3 ? "x%d" : "%d",
			 i);
		if (weir_pipeline_submit(pipeline, &text, NULL, NULL) !=
		    WEIR_OK)
			break;
	}
	weir_pipeline_close(pipeline);
	return NULL;
}

static void
collect(weir_pipeline *pipeline)
{
	weir_pipeline_result got;
	struct text text;

	while (weir_pipeline_next(pipeline, &got, &text, NULL) == WEIR_OK) {
		if (got.result.status == WEIR_OK)
			printf("item %d %s\n", (int)got.result.id, text.bytes);
		else
			printf("item %d failed in stage %d: %s\n",
			       (int)got.result.id, (int)got.stage + 1,
			       got.result.error);
	}
}

int
main(void)
{
	weir_pipeline_options options = WEIR_PIPELINE_OPTIONS_INIT;
	weir_stage stages[3] = {
		{.name = "parse", .workers = 2, .queue = 4, .run = parse},
		{.name = "work", .workers = 4, .queue = 4, .run = work},
		{.name = "format", .workers = 1, .queue = 4, .run = format},
	};
	weir_pipeline *pipeline;
	pthread_t submitter;

	stages[0].out_size = stages[1].out_size = sizeof(long);
	stages[2].out_size = options.in_size = sizeof(struct text);
	options.stages = stages;
	options.stage_count = 3;
	if (weir_pipeline_new(&pipeline, &options) != WEIR_OK)
		return 1;
	if (pthread_create(&submitter, NULL, submit_all, pipeline) == 0) {
		collect(pipeline);
		pthread_join(submitter, NULL);
	}
	weir_pipeline_free(pipeline);
	return 0;
}
