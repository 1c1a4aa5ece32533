/*
 * The push form: main submits, four workers run, a callback takes the results.
 *
 * It prints a line for each name, in the order in which the jobs end.
 */
#include <stdio.h>
#include <weir/weir.h>

struct greeting {
	char text[64];
};

/* One job: a name in, a greeting out. */
static weir_status
greet(weir_ctx *ctx, const void *in, void *out, void *user)
{
	const char *name = *(const char *const *)in;
	struct greeting *greeting = out;

	(void)user;
	if (name[0] == '\0')
		return weir_job_fail(ctx, WEIR_PERMANENT, "nobody is there");
	snprintf(greeting->text, sizeof(greeting->text), "hello, %s", name);
	return WEIR_OK;
}

/* Called by all workers at once; one printf() is one line all the same. */
static void
show(const weir_result *result, const void *in, void *out, void *user)
{
	const struct greeting *greeting = out;

	(void)in;
	(void)user;
	if (result->status == WEIR_OK)
		printf("job %d: %s\n", (int)result->id, greeting->text);
	else
		printf("job %d: %s: %s\n", (int)result->id,
		       weir_status_name(result->status), result->error);
}

int
main(void)
{
	const char *const names[] = {"Ada", "Brian", "", "Dennis", "Ken"};
	weir_pool_options options = WEIR_POOL_OPTIONS_INIT;
	weir_pool *pool;
	weir_status status;

	options.workers = 4;
	options.queue = 2;
	options.in_size = sizeof(names[0]);
	options.out_size = sizeof(struct greeting);
	options.run = greet;
	options.done = show;
	status = weir_pool_new(&pool, &options);
	if (status != WEIR_OK) {
		fprintf(stderr, "hello: %s\n", weir_status_message(status));
		return 1;
	}
	/* Waits while two jobs are queued: that is the backpressure. */
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (weir_pool_submit(pool, &names[i], NULL, NULL) != WEIR_OK)
			break;
	/* Nothing more comes; wait for the last result. */
	status = weir_pool_shutdown(pool, NULL);
	weir_pool_free(pool);
	return status == WEIR_OK ? 0 : 1;
}
