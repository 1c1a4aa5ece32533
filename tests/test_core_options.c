/* Options structs: what they refuse, how they grow; and no allocation. */
#include "core_util.h"

#include <malloc.h>

static weir_status
nothing_run(weir_ctx *ctx, const void *in, void *out, void *user)
{
	(void)ctx;
	(void)in;
	(void)out;
	(void)user;
	return WEIR_OK;
}

static weir_status
nothing_start(weir_ctx *ctx, weir_job *job, const void *in, void *out,
	      void *user)
{
	(void)ctx;
	(void)in;
	(void)out;
	(void)user;
	weir_job_done(job, WEIR_OK);
	return WEIR_OK;
}

static void
nothing_cancel(weir_ctx *ctx, weir_job *job, void *user)
{
	(void)ctx;
	(void)job;
	(void)user;
}

static weir_status
nothing_source(weir_ctx *ctx, void *ret_in, weir_job_options *options,
	       void *user)
{
	(void)ctx;
	(void)ret_in;
	(void)options;
	(void)user;
	return WEIR_CLOSED;
}

static void
nothing_sink(const weir_result *result, const void *in, void *out, void *user)
{
	(void)result;
	(void)in;
	(void)out;
	(void)user;
}

static void
nothing_wait(void *state, int64_t deadline_ns, bool hungry, void *user)
{
	(void)state;
	(void)deadline_ns;
	(void)hungry;
	(void)user;
}

static void
nothing_wake(void *state, void *user)
{
	(void)state;
	(void)user;
}

static weir_pool_options
good(void)
{
	weir_pool_options o = WEIR_POOL_OPTIONS_INIT;

	o.workers = 2;
	o.queue = 2;
	o.run = nothing_run;
	return o;
}

#define REFUSED(...)                                                \
	do {                                                        \
		weir_pool_options o = good();                       \
		weir_pool *pool = NULL;                             \
		__VA_ARGS__;                                        \
		CHECK_EQ_INT(weir_pool_new(&pool, &o), WEIR_INVAL); \
		CHECK(!pool);                                       \
	} while (0)

TEST(options, that_contradict_each_other_are_refused)
{
	REFUSED(o.workers = 0);
	REFUSED(o.workers = WEIR_POOL_WORKERS_MAX + 1);
	REFUSED(o.queue = 0);
	REFUSED(o.queue = WEIR_POOL_QUEUE_MAX + 1);
	REFUSED(o.results = WEIR_POOL_QUEUE_MAX + 1);
	REFUSED(o.run = NULL);
	REFUSED(o.start = nothing_start);
	REFUSED(o.cancel = nothing_cancel);
	REFUSED(o.source = nothing_source);
	REFUSED(o.sink = nothing_sink);
	REFUSED(o.source = nothing_source; o.sink = nothing_sink;
		o.done = nothing_sink);
	REFUSED(o.run = NULL; o.start = nothing_start; o.wait = nothing_wait);
	REFUSED(o.run = NULL; o.start = nothing_start; o.wake = nothing_wake);
	REFUSED(o.wait = nothing_wait; o.wake = nothing_wake);
	REFUSED(o.timeout_ns = -1);
	REFUSED(o.threads = WEIR_POOL_WORKERS_MAX + 1);
	REFUSED(o.in_size = SIZE_MAX);
	REFUSED(o.out_size = SIZE_MAX);
	REFUSED(o.size = 0);
	REFUSED(o.size = 4);
}

TEST(options, that_are_missing_are_refused)
{
	weir_pool_options o = good();
	weir_pool *pool = NULL;

	CHECK_EQ_INT(weir_pool_new(&pool, NULL), WEIR_INVAL);
	CHECK_EQ_INT(weir_pool_new(NULL, &o), WEIR_INVAL);
	CHECK(!pool);
}

/* A caller with newer headers, and one with older ones. */
struct newer {
	weir_pool_options known;
	char unknown[32];
};

TEST(options, of_a_newer_caller_are_taken_when_the_rest_is_zero)
{
	struct newer newer = {good(), {0}};
	weir_pool *pool = NULL;

	newer.known.size = sizeof(newer);
	OK(weir_pool_new(&pool, &newer.known));
	weir_pool_free(pool);
	pool = NULL;
	newer.unknown[31] = 1;
	CHECK_EQ_INT(weir_pool_new(&pool, &newer.known), WEIR_INVAL);
	CHECK(!pool);
}

TEST(options, of_an_older_caller_end_early)
{
	size_t size = offsetof(weir_pool_options, retry);
	weir_pool_options o = good(), *older = malloc(size);
	weir_pool *pool;

	/* Exactly as long as it says, for the address sanitizer. */
	REQUIRE(older);
	o.size = size;
	memcpy(older, &o, size);
	OK(weir_pool_new(&pool, older));
	free(older);
	OK(weir_pool_submit(pool, NULL, NULL, NULL));
	CHECK_EQ_INT(next_result(pool, NULL).attempts, 1);
	weir_pool_free(pool);
}

TEST(options, of_jobs_are_checked_as_well)
{
	weir_retry bad = {.jitter = 2};
	weir_pool_options o = good();
	weir_pool *pool = pool_make(&o);
	weir_job_options job = WEIR_JOB_OPTIONS_INIT;
	struct {
		weir_job_options known;
		uint64_t unknown;
	} newer = {WEIR_JOB_OPTIONS_INIT, 1};

	job.priority = WEIR_PRIORITY_LAST + 1;
	CHECK_EQ_INT(weir_pool_submit_with(pool, NULL, &job, NULL, NULL),
		     WEIR_INVAL);
	job.priority = 0;
	job.timeout_ns = -1;
	CHECK_EQ_INT(weir_pool_submit_with(pool, NULL, &job, NULL, NULL),
		     WEIR_INVAL);
	job.timeout_ns = 0;
	job.retry = &bad;
	CHECK_EQ_INT(weir_pool_try_submit(pool, NULL, &job, NULL, NULL),
		     WEIR_INVAL);
	newer.known.size = sizeof(newer);
	CHECK_EQ_INT(
		weir_pool_submit_with(pool, NULL, &newer.known, NULL, NULL),
		WEIR_INVAL);
	newer.unknown = 0;
	OK(weir_pool_submit_with(pool, NULL, &newer.known, NULL, NULL));
	CHECK_EQ_INT(stats_of(pool).accepted, 1);
	weir_pool_free(pool);
}

TEST(options, statistics_are_written_as_far_as_the_caller_knows_them)
{
	weir_pool_options o = good();
	weir_pool *pool = pool_make(&o);
	weir_pool_stats s;

	memset(&s, 0x55, sizeof(s));
	s.size = offsetof(weir_pool_stats, accepted);
	weir_pool_get_stats(pool, &s);
	CHECK_EQ_INT(s.workers, 2);
	CHECK_EQ_INT(s.size, offsetof(weir_pool_stats, accepted));
	CHECK(s.accepted == UINT64_C(0x5555555555555555));
	weir_pool_free(pool);
}

#if defined(__SANITIZE_ADDRESS__) || UNDER_TSAN
#define COUNTS_MEMORY 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define COUNTS_MEMORY 0
#endif
#endif
#ifndef COUNTS_MEMORY
#define COUNTS_MEMORY 1

/*
 * Count what everybody in this program takes: the C library's own functions
 * are still there under other names.
 */
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_realloc(void *memory, size_t size);

static atomic_long taken;

void *
malloc(size_t size)
{
	atomic_fetch_add(&taken, 1);
	return __libc_malloc(size);
}

void *
calloc(size_t n, size_t size)
{
	atomic_fetch_add(&taken, 1);
	return __libc_calloc(n, size);
}

void *
realloc(void *memory, size_t size)
{
	atomic_fetch_add(&taken, 1);
	return __libc_realloc(memory, size);
}
#else
static atomic_long taken;
#endif

/* Ten thousand jobs, once the pool has warmed up. */
static long
taken_by(const weir_pool_options *o, weir_ctx *ctx)
{
	weir_pool *pool = pool_make(o);
	weir_result result;
	long before = 0;

	for (int i = 0; i < 10000; i++) {
		if (i == 1000)
			before = atomic_load(&taken);
		OK(weir_pool_submit(pool, NULL, NULL, ctx));
		OK(weir_pool_next(pool, &result, NULL, NULL));
	}
	before = atomic_load(&taken) - before;
	weir_pool_free(pool);
	return before;
}

TEST(options, a_pool_takes_no_memory_for_a_job)
{
	weir_ctx *ctx = gate_make();
	weir_pool_options o = good();

	if (!COUNTS_MEMORY)
		SKIP("the sanitizer counts memory itself");
	/* At most one context for each slot, made at its first job. */
	CHECK(taken_by(&o, NULL) <= 2);
	CHECK(taken_by(&o, ctx) <= 2);
	o.timeout_ns = WEIR_S;
	CHECK(taken_by(&o, ctx) <= 2);
	o.run = NULL;
	o.start = nothing_start;
	CHECK(taken_by(&o, ctx) <= 2);
	weir_ctx_unref(ctx);
}

TEST(options, too_large_to_be_had_are_out_of_memory)
{
	weir_pool_options o = good();
	weir_pool *pool = NULL;

	if (!COUNTS_MEMORY)
		SKIP("the sanitizer would end it first");
	o.in_size = SIZE_MAX / 8;
	CHECK_EQ_INT(weir_pool_new(&pool, &o), WEIR_NOMEM);
	CHECK(!pool);
}
