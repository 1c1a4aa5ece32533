/*
 * Many isolated jobs of which some crash, exit, hang or eat memory: the pool
 * lives, each job has one result, and each result names its own cause.
 *
 *      WEIR_CHAOS_JOBS    how many; tests/long-isolate.sh sets a million
 */
#include "isolate_util.h"

#if defined(__SANITIZE_ADDRESS__) || UNDER_TSAN
#define EATS 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define EATS 0
#endif
#endif
#ifndef EATS
#define EATS 1
#endif

#define TIMEOUT_NS (1 * WEIR_S)

struct chaos {
	long jobs, given;
	struct weir_rng rng;
	long asked[DEED_DEEDS], right[DEED_DEEDS], wrong;
};

/* One in a hundred does something else than its work. */
static enum deed
pick(struct weir_rng *rng)
{
	static const enum deed bad[] = {
		DEED_SEGV,    DEED_ABORT, DEED_EXIT, DEED_HANG,
		DEED_RECURSE, DEED_KILL,  DEED_SEGV, DEED_EAT,
	};
	size_t count = sizeof(bad) / sizeof(bad[0]) - (EATS ? 0 : 1);
	enum deed deed;

	if (weir__rng_below(rng, 100) != 0)
		return DEED_ECHO;
	deed = bad[weir__rng_below(rng, count)];
	/* What takes long is rarer. */
	if (deed == DEED_HANG && weir__rng_below(rng, 8) != 0)
		deed = DEED_EXIT;
	return deed;
}

static weir_status
chaos_source(weir_ctx *ctx, void *ret_in, weir_job_options *options, void *user)
{
	struct chaos *c = user;
	struct order *order = ret_in;

	(void)ctx;
	(void)options;
	if (c->given == c->jobs)
		return WEIR_CLOSED;
	*order = (struct order){pick(&c->rng), (int)(c->given++ % 100)};
	c->asked[order->deed]++;
	return WEIR_OK;
}

/* Does the result say what the job did? */
static bool
is_right(const weir_result *r, const struct order *order, int out)
{
	char text[64];

	switch (order->deed) {
	case DEED_ECHO:
		return r->status == WEIR_OK && out == order->number;
	case DEED_SEGV:
		return r->status == WEIR_CRASHED &&
		       strstr(r->error, "killed by SIGSEGV at address 0x0 ") ==
			       r->error;
	case DEED_ABORT:
		return r->status == WEIR_CRASHED &&
		       strstr(r->error, "killed by SIGABRT") == r->error;
	case DEED_KILL:
		return r->status == WEIR_CRASHED &&
		       strstr(r->error, "killed by SIGKILL") == r->error;
	case DEED_EXIT:
		(void)snprintf(text, sizeof(text), "exited with %d in",
			       order->number);
		return r->status == WEIR_CRASHED &&
		       strstr(r->error, text) == r->error;
	case DEED_HANG:
		return r->status == WEIR_TIMEDOUT &&
		       strstr(r->error, "did not end within") == r->error;
	case DEED_RECURSE:
		return r->status == WEIR_CRASHED &&
		       (UNDER_TSAN || strstr(r->error, "stack overflow, "));
	case DEED_EAT:
		return r->status == WEIR_CRASHED &&
		       strstr(r->error, "out of memory (limit 16 MiB)") ==
			       r->error;
	case DEED_FAIL:
	case DEED_SLEEP:
	case DEED_CPU:
	case DEED_DEEDS:
		break;
	}
	return false;
}

static void
chaos_sink(const weir_result *r, const void *in, void *out, void *user)
{
	const struct order *order = in;
	struct chaos *c = user;

	if (is_right(r, order, *(int *)out)) {
		c->right[order->deed]++;
		return;
	}
	if (c->wrong++ < 5)
		CHECK_MSG(false, "deed %d, number %d: %s, \"%s\"",
			  (int)order->deed, order->number,
			  weir_status_name(r->status), r->error);
}

static void
chaos_report(const struct chaos *c, weir_pool *pool)
{
	static const char *const names[] = {"echo",    "fail", "segv",  "abort",
					    "exit",    "hang", "sleep", "eat",
					    "recurse", "kill", "cpu"};
	weir_isolate_stats s = isolate_stats(pool);

	for (int i = 0; i < DEED_DEEDS; i++)
		if (c->asked[i] > 0)
			printf("# %-8s %8ld asked %8ld attributed\n", names[i],
			       c->asked[i], c->right[i]);
	printf("# started %llu, died %llu, killed %llu, braking %d\n",
	       (unsigned long long)s.started, (unsigned long long)s.died,
	       (unsigned long long)s.killed, s.braking);
}

TEST_LIMIT(isolate, of_many_jobs_each_death_is_attributed, 3600)
{
	weir_isolate_options limits = WEIR_ISOLATE_OPTIONS_INIT;
	const char *jobs = getenv("WEIR_CHAOS_JOBS");
	weir_zygote *zygote = zygote_make();
	weir_pool_options o = order_options(zygote, 2, 64);
	struct chaos c = {.jobs = jobs ? atol(jobs) : SCALE(20000)};
	weir_pool *pool;

	weir__rng_seed(&c.rng, test_seed());
	limits.kill_after_ns = 5 * WEIR_MS;
	limits.memory_max = EATS ? 16 << 20 : 0;
	o.isolate_options = &limits;
	o.timeout_ns = TIMEOUT_NS;
	o.source = chaos_source;
	o.sink = chaos_sink;
	o.user = &c;
	pool = pool_make(&o);
	OK(weir_pool_run(pool, NULL));
	chaos_report(&c, pool);
	CHECK_EQ_INT(c.wrong, 0);
	CHECK_EQ_INT(stats_of(pool).delivered, c.jobs);
	check_books_closed(pool);
	weir_pool_free(pool);
	weir_zygote_free(zygote);
}
