/* Asynchronous jobs: begun here, ended elsewhere. */
#include "core_util.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* What an asynchronous job of these tests does. */
enum how {
	INSIDE, /* done inside of start */
	OTHER,  /* done by another thread, some time later */
	REFUSE, /* start fails */
	CANCEL, /* done when it is cancelled */
	FLAKE,  /* as OTHER, and fails the first time */
};

struct work {
	enum how how;
	int number;
};

/* Threads that end jobs in any order. */
struct async {
	pthread_mutex_t mu;
	weir_job *pending[1024];
	weir_status status[1024];
	int len;
	bool stop;
	uint64_t seed;
	atomic_int flying, most, started, cancels;
	weir_ctx *_Atomic kept;
};

static void
async_add(struct async *a, weir_job *job, weir_status status)
{
	pthread_mutex_lock(&a->mu);
	REQUIRE(a->len < 1024);
	a->status[a->len] = status;
	a->pending[a->len++] = job;
	pthread_mutex_unlock(&a->mu);
}

static bool
async_take(struct async *a, struct weir_rng *rng, weir_job **job,
	   weir_status *status, bool *stop)
{
	bool found;

	pthread_mutex_lock(&a->mu);
	found = a->len > 0;
	if (found) {
		int i = (int)weir__rng_below(rng, (uint64_t)a->len);

		*job = a->pending[i];
		*status = a->status[i];
		a->len--;
		a->pending[i] = a->pending[a->len];
		a->status[i] = a->status[a->len];
	}
	*stop = a->stop && !found;
	pthread_mutex_unlock(&a->mu);
	return found;
}

static void *
ender_main(void *arg)
{
	struct async *a = arg;
	weir_status status;
	struct weir_rng rng;
	bool stop = false;
	weir_job *job;

	weir__rng_seed(&rng, a->seed);
	while (!stop) {
		if (async_take(a, &rng, &job, &status, &stop)) {
			atomic_fetch_sub(&a->flying, 1);
			weir_job_done(job, status);
		} else {
			(void)weir_ctx_sleep(NULL, 20 * WEIR_US);
		}
	}
	return NULL;
}

static void
async_stop(struct async *a)
{
	pthread_mutex_lock(&a->mu);
	a->stop = true;
	pthread_mutex_unlock(&a->mu);
}

static weir_status
async_start(weir_ctx *ctx, weir_job *job, const void *in, void *out, void *user)
{
	const struct work *work = in;
	struct async *a = user;
	int flying = atomic_fetch_add(&a->flying, 1) + 1;
	int most = atomic_load(&a->most);

	atomic_fetch_add(&a->started, 1);
	while (flying > most &&
	       !atomic_compare_exchange_weak(&a->most, &most, flying))
		;
	*(int *)out = work->number;
	switch (work->how) {
	case INSIDE:
		atomic_fetch_sub(&a->flying, 1);
		weir_job_done(job, WEIR_OK);
		break;
	case REFUSE:
		atomic_fetch_sub(&a->flying, 1);
		return weir_job_fail(ctx, WEIR_PERMANENT, "cannot start %d",
				     work->number);
	case CANCEL:
		break;
	case OTHER:
		async_add(a, job, WEIR_OK);
		break;
	case FLAKE:
		async_add(a, job,
			  weir_job_attempt(ctx) == 1 ? WEIR_FAILED : WEIR_OK);
		break;
	}
	return WEIR_OK;
}

static void
async_cancelled(weir_ctx *ctx, weir_job *job, void *user)
{
	struct async *a = user;

	CHECK(weir_ctx_status(ctx) != WEIR_OK);
	atomic_fetch_add(&a->cancels, 1);
	atomic_fetch_sub(&a->flying, 1);
	weir_job_done(job, WEIR_FAILED);
}

static weir_pool_options
async_options(struct async *a, uint32_t workers, uint32_t queue)
{
	weir_pool_options o = WEIR_POOL_OPTIONS_INIT;

	pthread_mutex_init(&a->mu, NULL);
	a->seed = test_seed();
	o.workers = workers;
	o.queue = queue;
	o.in_size = sizeof(struct work);
	o.out_size = sizeof(int);
	o.start = async_start;
	o.user = a;
	return o;
}

static void
submit_work(weir_pool *pool, enum how how, int number, weir_ctx *ctx)
{
	struct work work = {how, number};

	OK(weir_pool_submit(pool, &work, NULL, ctx));
}

static void *
collect_main(void *arg)
{
	weir_pool *pool = arg;
	weir_result result;
	int odd = 0, out;

	while (weir_pool_next(pool, &result, &out, NULL) == WEIR_OK)
		odd += result.id != (uint64_t)out + 1 || result.run_ns < 0 ||
		       result.wait_ns < 0;
	CHECK_EQ_INT(odd, 0);
	return NULL;
}

static void
run_many(uint32_t workers, uint32_t threads, int count)
{
	struct async a = {0};
	weir_pool_options o = async_options(&a, workers, 64);
	pthread_t enders[2], collector;
	weir_pool *pool;

	o.threads = threads;
	o.retry = (weir_retry){.attempts_max = 2, .delay_ns = 1000};
	pool = pool_make(&o);
	collector = thread_run(collect_main, pool);
	for (int i = 0; i < 2; i++)
		enders[i] = thread_run(ender_main, &a);
	for (int i = 0; i < count; i++)
		submit_work(pool,
			    i % 7 == 0   ? FLAKE
			    : i % 5 == 0 ? INSIDE
					 : OTHER,
			    i, NULL);
	OK(weir_pool_shutdown(pool, NULL));
	thread_join(collector);
	async_stop(&a);
	for (int i = 0; i < 2; i++)
		thread_join(enders[i]);
	CHECK(atomic_load(&a.most) <= (int)workers);
	CHECK_EQ_INT(stats_of(pool).ok, count);
	check_books_closed(pool);
	weir_pool_free(pool);
}

TEST_LIMIT(async, jobs_end_on_other_threads_and_inside_of_start, 60)
{
	static const uint32_t workers[] = {1, 3, 16, 500};

	for (unsigned i = 0; i < 4; i++)
		for (uint32_t threads = 1; threads <= 3; threads++)
			run_many(workers[i], threads, SCALE(5000));
}

/* Job over, pool freed: whoever ended the job is still on his way out. */
TEST_LIMIT(async, a_pool_may_be_freed_as_soon_as_its_last_job_has_ended, 60)
{
	struct async a = {0};
	weir_pool_options o = async_options(&a, 2, 2);
	pthread_t enders[2];

	for (int i = 0; i < 2; i++)
		enders[i] = thread_run(ender_main, &a);
	for (int i = 0; i < SCALE(1500); i++) {
		weir_pool *pool = pool_make(&o);

		submit_work(pool, OTHER, i, NULL);
		submit_work(pool, OTHER, i, NULL);
		weir_pool_close(pool);
		if (i % 2)
			(void)next_result(pool, NULL);
		weir_pool_free(pool);
	}
	async_stop(&a);
	for (int i = 0; i < 2; i++)
		thread_join(enders[i]);
}

TEST(async, a_start_that_fails_is_the_end_of_the_attempt)
{
	struct async a = {0};
	weir_pool_options o = async_options(&a, 2, 8);
	weir_pool *pool = pool_make(&o);
	weir_result result;

	submit_work(pool, REFUSE, 3, NULL);
	result = next_result(pool, NULL);
	CHECK_EQ_INT(result.status, WEIR_PERMANENT);
	CHECK_EQ_INT(result.attempts, 1);
	CHECK_STR(result.error, "cannot start 3");
	weir_pool_free(pool);
}

TEST(async, cancel_is_called_once_when_the_attempt_is_out_of_time)
{
	struct async a = {0};
	weir_pool_options o = async_options(&a, 4, 8);
	weir_result result;
	weir_pool *pool;

	o.cancel = async_cancelled;
	o.timeout_ns = 5 * WEIR_MS;
	o.retry = (weir_retry){.attempts_max = 3, .delay_ns = 1};
	pool = pool_make(&o);
	submit_work(pool, CANCEL, 0, NULL);
	result = next_result(pool, NULL);
	CHECK_EQ_INT(result.status, WEIR_TIMEDOUT);
	CHECK_EQ_INT(result.attempts, 3);
	CHECK_EQ_INT(atomic_load(&a.cancels), 3);
	CHECK(result.run_ns >= 15 * WEIR_MS);
	weir_pool_free(pool);
}

TEST(async, cancel_is_called_when_the_submitter_gives_up)
{
	struct async a = {0};
	weir_pool_options o = async_options(&a, 4, 8);
	weir_ctx *ctx = gate_make();
	weir_pool *pool;

	o.cancel = async_cancelled;
	pool = pool_make(&o);
	submit_work(pool, CANCEL, 0, NULL);
	submit_work(pool, CANCEL, 0, ctx);
	WAIT_FOR(atomic_load(&a.started) == 2);
	weir_ctx_cancel(ctx);
	CHECK_EQ_INT(next_result(pool, NULL).id, 2);
	CHECK_EQ_INT(atomic_load(&a.cancels), 1);
	weir_ctx_unref(ctx);
	weir_pool_free(pool);
	CHECK_EQ_INT(atomic_load(&a.cancels), 2);
}

TEST(async, shutdown_now_cancels_hundreds_of_slots_on_one_thread)
{
	enum { N = 600 };
	struct async a = {0};
	weir_pool_options o = async_options(&a, N, N);
	weir_pool *pool;

	o.cancel = async_cancelled;
	pool = pool_make(&o);
	for (int i = 0; i < N; i++)
		submit_work(pool, CANCEL, i, NULL);
	WAIT_FOR(atomic_load(&a.flying) == N);
	CHECK_EQ_INT(stats_of(pool).busy, N);
	OK(weir_pool_shutdown_now(pool, NULL, NULL, NULL));
	CHECK_EQ_INT(atomic_load(&a.cancels), N);
	for (int i = 0; i < N; i++)
		CHECK_EQ_INT(next_result(pool, NULL).status, WEIR_CANCELED);
	check_books_closed(pool);
	weir_pool_free(pool);
}

/* The data of a slot: how many jobs it has had. */
static weir_status
data_start(weir_ctx *ctx, weir_job *job, const void *in, void *out, void *user)
{
	atomic_int *slots = user;
	int *jobs = weir_job_data(job);

	(void)ctx;
	(void)in;
	if (!jobs) {
		jobs = calloc(1, sizeof(*jobs));
		REQUIRE(jobs);
		atomic_fetch_add(slots, 1);
		weir_job_set_data(job, jobs);
	}
	*(int **)out = jobs;
	(*jobs)++;
	weir_job_done(job, WEIR_OK);
	return WEIR_OK;
}

TEST(async, data_stays_with_its_slot)
{
	weir_pool_options o = WEIR_POOL_OPTIONS_INIT;
	int *slots[3] = {0}, *out, total = 0;
	atomic_int made = 0;
	weir_pool *pool;

	o.workers = 3;
	o.queue = 8;
	o.out_size = sizeof(int *);
	o.start = data_start;
	o.user = &made;
	pool = pool_make(&o);
	for (int i = 0; i < 100; i++) {
		weir_result result;

		OK(weir_pool_submit(pool, NULL, NULL, NULL));
		OK(weir_pool_next(pool, &result, &out, NULL));
		for (int j = 0; j < 3; j++) {
			if (!slots[j])
				slots[j] = out;
			if (slots[j] == out)
				break;
		}
	}
	for (int j = 0; j < 3; j++) {
		total += slots[j] ? *slots[j] : 0;
		free(slots[j]);
	}
	CHECK_EQ_INT(total, 100);
	CHECK(atomic_load(&made) <= 3);
	weir_pool_free(pool);
}

/* A context that outlives its job. */
static weir_status
keep_start(weir_ctx *ctx, weir_job *job, const void *in, void *out, void *user)
{
	struct async *a = user;

	(void)in;
	(void)out;
	CHECK(weir_job_id(ctx) > 0);
	weir_ctx_unref(atomic_exchange(&a->kept, weir_ctx_ref(ctx)));
	weir_job_done(job, WEIR_OK);
	return WEIR_OK;
}

TEST(async, a_context_that_is_kept_outlives_job_and_pool)
{
	struct async a = {0};
	weir_pool_options o = async_options(&a, 2, 8);
	weir_ctx *submitter = gate_make(), *kept;
	weir_pool *pool;

	o.start = keep_start;
	pool = pool_make(&o);
	for (int i = 0; i < 50; i++) {
		submit_work(pool, OTHER, i, submitter);
		(void)next_result(pool, NULL);
	}
	kept = atomic_load(&a.kept);
	CHECK_EQ_INT(weir_job_id(kept), 0);
	CHECK_EQ_INT(weir_job_attempt(kept), 0);
	CHECK(!weir_job_state(kept));
	CHECK_EQ_INT(weir_ctx_status(kept), WEIR_OK);
	weir_pool_free(pool);
	(void)weir_ctx_status(kept);
	weir_ctx_cancel(kept);
	CHECK_EQ_INT(weir_ctx_status(kept), WEIR_CANCELED);
	weir_ctx_cancel(submitter);
	weir_ctx_unref(submitter);
	weir_ctx_unref(kept);
}

/* A reactor: an epoll set, an eventfd to wake it, and timers as jobs. */
struct reactor {
	int epoll, wake;
	struct async *async;
};

static weir_status
reactor_init(uint32_t worker, void **ret_state, void *user)
{
	struct reactor *r = calloc(1, sizeof(*r));
	struct epoll_event event = {.events = EPOLLIN};

	(void)worker;
	REQUIRE(r);
	r->async = user;
	r->epoll = epoll_create1(EPOLL_CLOEXEC);
	r->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	REQUIRE(r->epoll >= 0 && r->wake >= 0);
	REQUIRE(epoll_ctl(r->epoll, EPOLL_CTL_ADD, r->wake, &event) == 0);
	*ret_state = r;
	return WEIR_OK;
}

static void
reactor_exit(uint32_t worker, void *state, void *user)
{
	struct reactor *r = state;

	(void)worker;
	(void)user;
	close(r->epoll);
	close(r->wake);
	free(r);
}

/* Jobs are pipes of their own: an eventfd that says when. */
static weir_status
reactor_start(weir_ctx *ctx, weir_job *job, const void *in, void *out,
	      void *user)
{
	struct reactor *r = weir_job_state(ctx);
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = job};
	const struct work *work = in;
	struct async *a = user;
	int fd = eventfd(1, EFD_CLOEXEC);
	int flying = atomic_fetch_add(&a->flying, 1) + 1;

	REQUIRE(fd >= 0);
	if (flying > atomic_load(&a->most))
		atomic_store(&a->most, flying);
	*(int *)out = work->number;
	weir_job_set_data(job, (void *)(intptr_t)fd);
	REQUIRE(epoll_ctl(r->epoll, EPOLL_CTL_ADD, fd, &event) == 0);
	return WEIR_OK;
}

static void
reactor_wait(void *state, int64_t deadline_ns, bool hungry, void *user)
{
	struct epoll_event events[16];
	struct reactor *r = state;
	struct async *a = user;
	int timeout = -1, n;
	uint64_t value;

	(void)hungry;
	if (deadline_ns != WEIR_FOREVER) {
		int64_t left_ns = deadline_ns - weir_now_ns();

		timeout = left_ns > 0 ? (int)(left_ns / WEIR_MS) + 1 : 0;
	}
	n = epoll_wait(r->epoll, events, 16, timeout);
	for (int i = 0; i < n; i++) {
		weir_job *job = events[i].data.ptr;

		if (!job) {
			if (read(r->wake, &value, sizeof(value)) < 0)
				continue;
			continue;
		}
		close((int)(intptr_t)weir_job_data(job));
		atomic_fetch_sub(&a->flying, 1);
		weir_job_done(job, WEIR_OK);
	}
}

static void
reactor_wake(void *state, void *user)
{
	struct reactor *r = state;
	uint64_t one = 1;

	(void)user;
	if (write(r->wake, &one, sizeof(one)) < 0)
		return; /* it is awake already */
}

TEST_LIMIT(async, a_reactor_is_the_worker, 60)
{
	for (uint32_t threads = 1; threads <= 2; threads++) {
		struct async a = {0};
		weir_pool_options o = async_options(&a, 100, 200);
		pthread_t collector;
		weir_pool *pool;

		o.threads = threads;
		o.start = reactor_start;
		o.init = reactor_init;
		o.exit = reactor_exit;
		o.wait = reactor_wait;
		o.wake = reactor_wake;
		pool = pool_make(&o);
		collector = thread_run(collect_main, pool);
		for (int i = 0; i < SCALE(20000); i++)
			submit_work(pool, OTHER, i, NULL);
		OK(weir_pool_shutdown(pool, NULL));
		thread_join(collector);
		CHECK(atomic_load(&a.most) <= 100);
		check_books_closed(pool);
		weir_pool_free(pool);
	}
}

/* The pull form. */
struct supply {
	struct async async; /* first: it is the jobs' user too */
	int next, last, sunk;
};

static weir_status
supply_source(weir_ctx *ctx, void *ret_in, weir_job_options *options,
	      void *user)
{
	struct supply *s = user;

	(void)ctx;
	(void)options;
	if (s->next == s->last)
		return WEIR_CLOSED;
	*(struct work *)ret_in = (struct work){s->next % 9 == 0 ? FLAKE
					       : s->next % 4    ? OTHER
								: INSIDE,
					       s->next};
	s->next++;
	return WEIR_OK;
}

static void
supply_sink(const weir_result *result, const void *in, void *out, void *user)
{
	struct supply *s = user;

	(void)in;
	CHECK_EQ_INT(result->status, WEIR_OK);
	CHECK_EQ_INT(result->id, *(int *)out + 1);
	s->sunk++;
}

TEST_LIMIT(async, pull_form_loses_nothing, 60)
{
	static const uint32_t workers[] = {1, 4, 300};

	for (unsigned i = 0; i < 3; i++) {
		for (uint32_t threads = 1; threads <= 3; threads++) {
			struct supply s = {.last = SCALE(3000)};
			weir_pool_options o =
				async_options(&s.async, workers[i], 0);
			weir_pool *pool;
			pthread_t ender;

			o.source = supply_source;
			o.sink = supply_sink;
			o.user = &s;
			o.threads = threads;
			o.retry = (weir_retry){.attempts_max = 2,
					       .delay_ns = 1000};
			pool = pool_make(&o);
			ender = thread_run(ender_main, &s.async);
			OK(weir_pool_run(pool, NULL));
			async_stop(&s.async);
			thread_join(ender);
			CHECK_EQ_INT(s.sunk, s.last);
			CHECK(atomic_load(&s.async.most) <= (int)workers[i]);
			check_books_closed(pool);
			weir_pool_free(pool);
		}
	}
}
