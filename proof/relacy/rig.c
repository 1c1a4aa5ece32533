/*
 * A pool in push form, and the threads around it.
 */
#include "rig.h"

#include <string.h>

weir_pool *pool;
weir_ctx *ctx;
weir_pool_options options;
int box[JOBS];
int accepted[JOBS], ran[JOBS], delivered[JOBS], handed_back[JOBS];
struct weir_park met[2];

weir_status
run_plain(weir_ctx *under, const void *in, void *out, void *user)
{
	int i = *(const int *)in;

	(void)under;
	(void)user;
	weir__data_read(&box[i]);
	CHECK(box[i] == i + 1);
	weir__data_write(&box[i]);
	box[i] = -i;
	ran[i]++;
	*(int *)out = i;
	return WEIR_OK;
}

void
rig_setup(void)
{
	crew_reset();
	pool = NULL;
	memset(box, 0, sizeof(box));
	memset(accepted, 0, sizeof(accepted));
	memset(ran, 0, sizeof(ran));
	memset(delivered, 0, sizeof(delivered));
	memset(handed_back, 0, sizeof(handed_back));
	weir__park_init(&met[0]);
	weir__park_init(&met[1]);
	memset(&options, 0, sizeof(options));
	options.size = sizeof(options);
	options.workers = 1;
	options.queue = 1;
	options.in_size = sizeof(int);
	options.out_size = sizeof(int);
	options.run = run_plain;
	CHECK(weir_ctx_new(&ctx, NULL, WEIR_FOREVER) == WEIR_OK);
}

void
rig_tear_down(void)
{
	ctx = weir_ctx_unref(ctx);
}

void
rig_make(void)
{
	CHECK(weir_pool_new(&pool, &options) == WEIR_OK);
}

/* Every job that was accepted left by one door, once. */
void
rig_end(void)
{
	crew_join();
	pool = weir_pool_free(pool);
	for (int i = 0; i < JOBS; i++)
		CHECK(accepted[i] == delivered[i] + handed_back[i]);
}

void
fill(int i)
{
	weir__data_write(&box[i]);
	box[i] = i + 1;
}

weir_status
submit(int i, weir_ctx *under)
{
	weir_status status;

	fill(i);
	status = weir_pool_submit(pool, &i, NULL, under);
	if (status == WEIR_OK)
		accepted[i]++;
	return status;
}

void
submit_0(void)
{
	CHECK(submit(0, NULL) == WEIR_OK);
}

void
submit_1(void)
{
	CHECK(submit(1, NULL) == WEIR_OK);
}

void
submit_0_1(void)
{
	submit_0();
	submit_1();
}

void
submit_or_find_closed(void)
{
	weir_status status = submit(0, NULL);

	CHECK(status == WEIR_OK || status == WEIR_CLOSED);
}

void
take_result(const weir_result *result, int i)
{
	if (result->status == WEIR_OK) {
		weir__data_read(&box[i]);
		CHECK(box[i] == -i);
		CHECK(ran[i] == 1);
	}
	delivered[i]++;
	CHECK(delivered[i] == 1);
}

/* The result of a job that was not run has no output: its id says which. */
weir_status
collect(weir_ctx *under)
{
	weir_result result;
	int i = -1;
	weir_status status = weir_pool_next(pool, &result, &i, under);

	if (status == WEIR_OK)
		take_result(&result, i);
	return status;
}

void
collect_one(void)
{
	CHECK(collect(NULL) == WEIR_OK);
}

void
collect_two(void)
{
	collect_one();
	collect_one();
}

void
collect_three(void)
{
	collect_two();
	collect_one();
}

void
collect_all(void)
{
	while (collect(NULL) == WEIR_OK)
		;
}

void
collect_nothing(void)
{
	CHECK(collect(NULL) == WEIR_CLOSED);
}

void
collect_or_find_closed(void)
{
	weir_status status = collect(NULL);

	CHECK(status == WEIR_OK || status == WEIR_CLOSED);
}

void
close_it(void)
{
	weir_pool_close(pool);
}

void
cancel(void)
{
	weir_ctx_cancel(ctx);
}

/* Each of two jobs waits until the other one runs. */
weir_status
run_together(weir_ctx *under, const void *in, void *out, void *user)
{
	int i = *(const int *)in;

	if (weir__park_signal(&met[1 - i]))
		weir__park_kick(&met[1 - i]);
	CHECK(weir__park_wait(&met[i], WEIR_FOREVER));
	return run_plain(under, in, out, user);
}

/* How many results there are, whatever is in them. */
int
collect_statuses(weir_status *ret_last)
{
	weir_result result;
	int count = 0;

	while (weir_pool_next(pool, &result, NULL, NULL) == WEIR_OK) {
		*ret_last = result.status;
		count++;
	}
	return count;
}

void
unstarted(uint64_t id, const void *in, void *user)
{
	(void)id;
	(void)user;
	handed_back[*(const int *)in]++;
	CHECK(ran[*(const int *)in] == 0);
}
