/*
 * The public headers from C++: INIT macros, typed channels and pools, a job.
 * TAP by hand, since the harness is C.
 */
#include <weir/weir.h>

#include <stdio.h>

struct number {
	int value;
};

WEIR_CHAN_TYPE(number_chan, struct number);
WEIR_POOL_TYPE(doubler, struct number, struct number);

static weir_status
run_double(weir_ctx *, const void *in, void *out, void *)
{
	static_cast<number *>(out)->value =
		2 * static_cast<const number *>(in)->value;
	return WEIR_OK;
}

static bool
pool_works()
{
	weir_pool_options options = WEIR_POOL_OPTIONS_INIT;
	weir_job_options job = WEIR_JOB_OPTIONS_INIT;
	weir_pool_stats stats = WEIR_POOL_STATS_INIT;
	number in = {21}, out = {0};
	weir_result result;
	doubler *pool;

	options.workers = 2;
	options.queue = 2;
	options.run = run_double;
	if (doubler_new(&pool, &options) != WEIR_OK)
		return false;
	bool ok = weir_pool_submit_with(doubler_untyped(pool), &in, &job,
					nullptr, nullptr) == WEIR_OK &&
		  doubler_next(pool, &result, &out, nullptr) == WEIR_OK;
	weir_pool_get_stats(doubler_untyped(pool), &stats);
	doubler_free(pool);
	return ok && out.value == 42 && stats.delivered == 1;
}

static bool
channel_works()
{
	number in = {7}, out = {0};
	number_chan *ch;

	if (number_chan_new(&ch, 1) != WEIR_OK)
		return false;
	bool ok = number_chan_send(ch, &in, nullptr) == WEIR_OK &&
		  number_chan_recv(ch, &out, nullptr) == WEIR_OK;
	number_chan_free(ch);
	return ok && out.value == 7;
}

int
main()
{
	bool pool = pool_works(), channel = channel_works();

	printf("TAP version 13\n1..2\n");
	printf("%s 1 - headers: a pool works from C++\n",
	       pool ? "ok" : "not ok");
	printf("%s 2 - headers: a channel works from C++\n",
	       channel ? "ok" : "not ok");
	return pool && channel ? 0 : 1;
}
