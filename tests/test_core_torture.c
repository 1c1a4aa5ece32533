/*
 * Everything that can be refused is: the n-th allocation, or the n-th thread,
 * fails, for n = 1, 2, 3 and so on until a run meets no failure.  Each run
 * ends well or says WEIR_NOMEM or WEIR_SYSTEM, and leaks nothing (the address
 * sanitizer looks, at the end of each test).
 *
 * Our own malloc() stands in front of the C library's, or of a sanitizer's,
 * for this whole program; only what is asked for between arm() and disarm()
 * can fail.  A thread that is made may ask for memory inside of the C
 * library; such a failure is the system's.
 */
#include "core/pool.h"
#include "core_util.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__) || UNDER_TSAN
#define UNDER_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define UNDER_SANITIZER 1
#endif
#endif

/*
 * Some sanitizers' allocators cannot stand behind another one, for then they
 * are called before they are ready.  With those only threads are refused.
 */
#if UNDER_TSAN || (defined(UNDER_SANITIZER) && defined(__clang__))
#define HAS_MEMORY_TAP 0
#else
#define HAS_MEMORY_TAP 1
#endif

#ifdef UNDER_SANITIZER
extern void *__interceptor_malloc(size_t size);
extern void *__interceptor_calloc(size_t n, size_t size);
extern void *__interceptor_realloc(void *memory, size_t size);
extern int __interceptor_pthread_create(pthread_t *thread,
					const pthread_attr_t *attr,
					void *(*fn)(void *), void *arg);
#define REAL(name)              __interceptor_##name
#define real_thread(t, a, f, x) __interceptor_pthread_create(t, a, f, x)
#else
#include <dlfcn.h>

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_realloc(void *memory, size_t size);
#define REAL(name) __libc_##name

typedef int thread_create_fn(pthread_t *thread, const pthread_attr_t *attr,
			     void *(*fn)(void *), void *arg);

static int
real_thread(pthread_t *thread, const pthread_attr_t *attr, void *(*fn)(void *),
	    void *arg)
{
	static _Atomic(thread_create_fn *) real;
	thread_create_fn *call = atomic_load(&real);

	if (!call) {
		void *found = dlsym(RTLD_NEXT, "pthread_create");

		/* A function pointer, as POSIX says and C does not. */
		memcpy(&call, &found, sizeof(call));
		atomic_store(&real, call);
	}
	return call(thread, attr, fn, arg);
}
#endif

/* What is refused: the left-th of its kind from now on; 0 is nothing. */
struct tap {
	atomic_bool armed;
	atomic_long left;
	atomic_long refused;
};

static struct tap memory, threads;

static bool
tap_refuses(struct tap *tap)
{
	if (!atomic_load(&tap->armed) || atomic_fetch_sub(&tap->left, 1) != 1)
		return false;
	atomic_fetch_add(&tap->refused, 1);
	return true;
}

static void
arm(struct tap *tap, long nth)
{
	atomic_store(&tap->left, nth);
	atomic_store(&tap->refused, 0);
	atomic_store(&tap->armed, true);
}

/* Was there a failure? */
static bool
disarm(struct tap *tap)
{
	atomic_store(&tap->armed, false);
	return atomic_load(&tap->refused) > 0;
}

#if HAS_MEMORY_TAP
void *
malloc(size_t size)
{
	return tap_refuses(&memory) ? NULL : REAL(malloc)(size);
}

void *
calloc(size_t n, size_t size)
{
	return tap_refuses(&memory) ? NULL : REAL(calloc)(n, size);
}

void *
realloc(void *old, size_t size)
{
	return tap_refuses(&memory) ? NULL : REAL(realloc)(old, size);
}
#endif

int
pthread_create(pthread_t *thread, const pthread_attr_t *attr,
	       void *(*fn)(void *), void *arg)
{
	return tap_refuses(&threads) ? EAGAIN
				     : real_thread(thread, attr, fn, arg);
}

#define NEEDS_MEMORY_TAP                                               \
	do {                                                           \
		if (!HAS_MEMORY_TAP)                                   \
			SKIP("the sanitizer's allocator cannot fail"); \
	} while (0)

/* The first failure of a scenario, which is what it returns. */
#define TRY(call)                            \
	do {                                 \
		weir_status tried_ = (call); \
		if (status == WEIR_OK)       \
			status = tried_;     \
	} while (0)

typedef weir_status scenario_fn(void);

/* Let each call of a kind fail in turn. How often did that happen? */
static long
torture(struct tap *tap, scenario_fn *scenario)
{
	long failures = 0;
	bool met = true;

	for (long n = 1; met; n++) {
		weir_status status;

		arm(tap, n);
		status = scenario();
		met = disarm(tap);
		failures += met;
		CHECK_MSG(status == WEIR_OK || status == WEIR_NOMEM ||
				  status == WEIR_SYSTEM,
			  "%s at call %ld", weir_status_name(status), n);
		if (!met)
			CHECK_EQ_INT(status, WEIR_OK);
		REQUIRE(n < 10000);
	}
	return failures;
}

#define TORTURE(tap, least, ...)                                             \
	do {                                                                 \
		scenario_fn *all_[] = {__VA_ARGS__};                         \
		long sum_ = 0;                                               \
		for (size_t i_ = 0; i_ < sizeof(all_) / sizeof(*all_); i_++) \
			sum_ += torture(&(tap), all_[i_]);                   \
		printf("# %ld failures\n", sum_);                            \
		CHECK_MSG(sum_ >= (least), "only %ld failures", sum_);       \
	} while (0)

static weir_status
ctx_scenario(void)
{
	weir_ctx *root = NULL, *child = NULL, *leaf = NULL;
	weir_status status = weir_ctx_new(&root, NULL, WEIR_S);

	CHECK(!root == (status != WEIR_OK));
	if (status == WEIR_OK)
		status = weir_ctx_new(&child, root, WEIR_FOREVER);
	if (status == WEIR_OK)
		status = weir_ctx_new(&leaf, child, 5 * WEIR_S);
	CHECK(!leaf == (status != WEIR_OK));
	/* Those that are there work. */
	weir_ctx_cancel_cause(root, "enough");
	if (child)
		CHECK_EQ_INT(weir_ctx_status(child), WEIR_CANCELED);
	if (leaf)
		CHECK_EQ_INT(weir_ctx_status(leaf), WEIR_CANCELED);
	weir_ctx_unref(root);
	weir_ctx_unref(child);
	weir_ctx_unref(leaf);
	return status;
}

static weir_status
chan_scenario(void)
{
	weir_chan *ch = NULL;
	weir_status status = weir_chan_new(&ch, sizeof(int), 4);
	int elem = 7;

	CHECK(!ch == (status != WEIR_OK));
	if (!ch)
		return status;
	/* Sending and receiving take no memory. */
	for (int i = 0; i < 4; i++)
		CHECK_EQ_INT(weir_chan_send(ch, &elem, NULL), WEIR_OK);
	CHECK_EQ_INT(weir_chan_recv(ch, &elem, NULL), WEIR_OK);
	weir_chan_free(ch, NULL, NULL);
	return status;
}

static weir_status
limit_scenario(void)
{
	weir_limit *limit = NULL;
	weir_status status = weir_limit_new(&limit, 1000, 2);

	CHECK(!limit == (status != WEIR_OK));
	if (limit)
		CHECK_EQ_INT(weir_limit_take(limit, NULL), WEIR_OK);
	weir_limit_free(limit);
	return status;
}

TEST(torture, memory_for_contexts_channels_and_limits)
{
	NEEDS_MEMORY_TAP;
	TORTURE(memory, 5, ctx_scenario, chan_scenario, limit_scenario);
}

static weir_status
plain_run(weir_ctx *ctx, const void *in, void *out, void *user)
{
	(void)user;
	memcpy(out, in, sizeof(int));
	return weir_job_attempt(ctx) == 1 && *(const int *)in % 3 == 0
		       ? weir_job_fail(ctx, WEIR_FAILED, "not yet")
		       : WEIR_OK;
}

static weir_status
async_start(weir_ctx *ctx, weir_job *job, const void *in, void *out, void *user)
{
	weir_job_done(job, plain_run(ctx, in, out, user));
	return WEIR_OK;
}

static weir_pool_options
options(bool async)
{
	weir_pool_options o = WEIR_POOL_OPTIONS_INIT;

	o.workers = 3;
	o.queue = 4;
	o.results = 16;
	o.in_size = o.out_size = sizeof(int);
	o.run = async ? NULL : plain_run;
	o.start = async ? async_start : NULL;
	o.threads = 2;
	o.key_slots = 1;
	o.retry = (weir_retry){.attempts_max = 3, .delay_ns = 10 * WEIR_US};
	return o;
}

/* Six jobs in, six results out, whatever there is no memory for. */
static weir_status
push_six(weir_pool *pool, weir_ctx *ctx)
{
	weir_status status = WEIR_OK;
	weir_result result;
	int out;

	for (int i = 0; i < 6; i++) {
		weir_job_options job = WEIR_JOB_OPTIONS_INIT;

		job.key = (uint64_t)i % 2;
		CHECK_EQ_INT(weir_pool_submit_with(pool, &i, &job, NULL, ctx),
			     WEIR_OK);
	}
	for (int i = 0; i < 6; i++) {
		OK(weir_pool_next(pool, &result, &out, NULL));
		TRY(result.status);
	}
	return status;
}

/* A pool's whole life: it works before and after a change of its width. */
static weir_status
push_life(bool async)
{
	weir_pool_options o = options(async);
	weir_ctx *ctx = NULL;
	weir_pool *pool = NULL;
	weir_status status = weir_ctx_new(&ctx, NULL, WEIR_S), resized;

	if (status == WEIR_OK)
		status = weir_pool_new(&pool, &o);
	CHECK(!pool == (status != WEIR_OK));
	if (pool) {
		TRY(push_six(pool, ctx));
		resized = weir_pool_resize(pool, 6);
		TRY(resized);
		CHECK_EQ_INT(stats_of(pool).workers, resized ? 3 : 6);
		TRY(push_six(pool, NULL));
		CHECK_EQ_INT(weir_pool_shutdown(pool, NULL), WEIR_OK);
		check_books_closed(pool);
	}
	weir_pool_free(pool);
	weir_ctx_unref(ctx);
	return status;
}

static weir_status
push_scenario(void)
{
	return push_life(false);
}

static weir_status
push_async_scenario(void)
{
	return push_life(true);
}

TEST_LIMIT(torture, memory_for_a_pool_in_push_form, 60)
{
	NEEDS_MEMORY_TAP;
	TORTURE(memory, 40, push_scenario, push_async_scenario);
}

TEST(torture, memory_for_the_stack_of_a_crash_is_done_without)
{
	void *stack;

	NEEDS_MEMORY_TAP;
	OK(weir_crash_report(STDERR_FILENO));
	arm(&memory, 1);
	stack = weir__crash_stack_new();
	CHECK(disarm(&memory));
	CHECK(!stack);
	weir__crash_stack_free(stack);
}

struct pull {
	int given, ok;
	weir_status first;
};

static weir_status
pull_source(weir_ctx *ctx, void *ret_in, weir_job_options *ret_options,
	    void *user)
{
	struct pull *pull = user;

	(void)ctx;
	if (pull->given == 20)
		return WEIR_CLOSED;
	memcpy(ret_in, &pull->given, sizeof(int));
	ret_options->key = (uint64_t)pull->given % 4;
	pull->given++;
	return WEIR_OK;
}

static void
pull_sink(const weir_result *result, const void *in, void *out, void *user)
{
	struct pull *pull = user;

	(void)in;
	(void)out;
	if (result->status == WEIR_OK)
		pull->ok++;
	else if (pull->first == WEIR_OK)
		pull->first = result->status;
}

static weir_status
pull_life(bool async)
{
	weir_pool_options o = options(async);
	struct pull pull = {0};
	weir_pool *pool = NULL;
	weir_status status;

	o.source = pull_source;
	o.sink = pull_sink;
	o.user = &pull;
	status = weir_pool_new(&pool, &o);
	CHECK(!pool == (status != WEIR_OK));
	if (!pool)
		return status;
	status = weir_pool_run(pool, NULL);
	if (status == WEIR_OK) {
		CHECK_EQ_INT(pull.given, 20);
		CHECK(pull.ok == 20 || pull.first != WEIR_OK);
		status = pull.first;
	}
	check_books_closed(pool);
	CHECK_EQ_INT(stats_of(pool).accepted, pull.given);
	weir_pool_free(pool);
	return status;
}

static weir_status
pull_scenario(void)
{
	return pull_life(false);
}

static weir_status
pull_async_scenario(void)
{
	return pull_life(true);
}

static weir_status
map_scenario(void)
{
	weir_pool_options o = options(false);
	int ins[10] = {0}, outs[10] = {0};
	weir_result results[10];
	weir_status status, first = WEIR_OK;

	for (int i = 0; i < 10; i++)
		ins[i] = i;
	status = weir_pool_map(&o, ins, outs, results, 10, NULL);
	for (int i = 0; status != WEIR_NOMEM && i < 10; i++) {
		if (results[i].status == WEIR_OK)
			CHECK_EQ_INT(outs[i], i);
		else if (first == WEIR_OK)
			first = results[i].status;
	}
	return status == WEIR_FAILED ? first : status;
}

TEST_LIMIT(torture, memory_for_a_pool_in_pull_form, 60)
{
	NEEDS_MEMORY_TAP;
	TORTURE(memory, 40, pull_scenario, pull_async_scenario, map_scenario);
}

static weir_status
pipeline_scenario(void)
{
	weir_pipeline_options o = WEIR_PIPELINE_OPTIONS_INIT;
	weir_pipeline_result r;
	weir_pipeline *p = NULL;
	weir_stage stages[3];
	weir_ctx *ctx = NULL;
	weir_status status = weir_ctx_new(&ctx, NULL, WEIR_S);

	for (int i = 0; i < 3; i++) {
		weir_stage_init(&stages[i]);
		stages[i].workers = 2;
		stages[i].queue = 4;
		stages[i].out_size = sizeof(int);
		stages[i].run = i == 1 ? NULL : plain_run;
		stages[i].start = i == 1 ? async_start : NULL;
		stages[i].retry.attempts_max = 2;
		stages[i].retry.delay_ns = 10 * WEIR_US;
	}
	o.stages = stages;
	o.stage_count = 3;
	o.in_size = sizeof(int);
	if (status == WEIR_OK)
		status = weir_pipeline_new(&p, &o);
	CHECK(!p == (status != WEIR_OK));
	for (int i = 0; p && i < 6; i++)
		OK(weir_pipeline_submit(p, &i, NULL, i % 2 ? ctx : NULL));
	for (int i = 0; p && i < 6; i++) {
		OK(weir_pipeline_next(p, &r, NULL, NULL));
		TRY(r.result.status);
	}
	weir_pipeline_free(p);
	weir_ctx_unref(ctx);
	return status;
}

TEST_LIMIT(torture, memory_for_a_pipeline, 60)
{
	NEEDS_MEMORY_TAP;
	TORTURE(memory, 40, pipeline_scenario);
}

/* The same lives with threads that cannot be made. */
TEST_LIMIT(torture, threads_for_pools_and_pipelines, 60)
{
	TORTURE(threads, 15, push_scenario, push_async_scenario, pull_scenario,
		pull_async_scenario, map_scenario, pipeline_scenario);
}

TEST(torture, a_pool_without_one_of_its_threads_is_not_made)
{
	weir_pool_options o = options(false);
	weir_pool *pool = NULL;

	for (long n = 1; n <= 3; n++) {
		arm(&threads, n);
		CHECK_EQ_INT(weir_pool_new(&pool, &o), WEIR_SYSTEM);
		CHECK(disarm(&threads));
		CHECK(!pool);
	}
}

TEST(torture, a_run_without_one_of_its_threads_takes_no_job)
{
	for (long n = 1; n <= 2; n++) {
		weir_pool_options o = options(false);
		struct pull pull = {0};
		weir_pool *pool;

		o.source = pull_source;
		o.sink = pull_sink;
		o.user = &pull;
		pool = pool_make(&o);
		arm(&threads, n);
		CHECK_EQ_INT(weir_pool_run(pool, NULL), WEIR_SYSTEM);
		CHECK(disarm(&threads));
		CHECK_EQ_INT(pull.given, 0);
		CHECK_EQ_INT(weir_pool_run(pool, NULL), WEIR_INVAL);
		weir_pool_free(pool);
	}
}

TEST(torture, a_pool_that_cannot_grow_works_on_and_grows_later)
{
	for (long n = 1; n <= 3; n++) {
		weir_pool_options o = options(false);
		weir_pool *pool = pool_make(&o);

		arm(&threads, n);
		CHECK_EQ_INT(weir_pool_resize(pool, 6), WEIR_SYSTEM);
		CHECK(disarm(&threads));
		CHECK_EQ_INT(stats_of(pool).workers, 3);
		OK(push_six(pool, NULL));
		OK(weir_pool_resize(pool, 6));
		CHECK_EQ_INT(stats_of(pool).workers, 6);
		OK(push_six(pool, NULL));
		OK(weir_pool_shutdown(pool, NULL));
		check_books_closed(pool);
		weir_pool_free(pool);
	}
}

/* Jobs at work while the width fails to change. */
static void *
worker_of_jobs_main(void *arg)
{
	weir_pool *pool = arg;
	weir_result result;

	for (int i = 0; i < 300; i++) {
		OK(weir_pool_submit(pool, &i, NULL, NULL));
		OK(weir_pool_next(pool, &result, NULL, NULL));
		CHECK_EQ_INT(result.status, WEIR_OK);
	}
	return NULL;
}

TEST(torture, jobs_go_on_while_a_pool_fails_to_grow)
{
	weir_pool_options o = options(false);
	weir_pool *pool = pool_make(&o);
	pthread_t thread = thread_run(worker_of_jobs_main, pool);

	for (long n = 0; n < 60; n++) {
		weir_status status;
		bool met;

		arm(&threads, 1 + n % 3);
		status = weir_pool_resize(pool, 6);
		/* Threads of the time before may still be there to be used. */
		met = disarm(&threads);
		CHECK_EQ_INT(status, met ? WEIR_SYSTEM : WEIR_OK);
		CHECK_EQ_INT(stats_of(pool).workers, met ? 3 : 6);
		OK(weir_pool_resize(pool, 3));
	}
	thread_join(thread);
	OK(weir_pool_shutdown(pool, NULL));
	CHECK_EQ_INT(stats_of(pool).accepted, 300);
	check_books_closed(pool);
	weir_pool_free(pool);
}
