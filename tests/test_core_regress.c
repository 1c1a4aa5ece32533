/*
 * Mistakes that were found by reading and by reproductions, each as the
 * behaviour that mends it.
 */
#include "core_util.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* A pool in pull form that stops itself from inside a job. */
struct stopping {
	weir_pool *pool;
	weir_ctx *ctx;
	bool now;
	uint64_t jobs, stop_at;
	_Atomic(uint64_t) started, late;
	atomic_bool stopped;
};

static weir_status
endless(weir_ctx *ctx, void *ret_in, weir_job_options *options, void *user)
{
	(void)ctx;
	(void)options;
	(void)user;
	*(uint64_t *)ret_in = 0;
	return WEIR_OK;
}

static void
ignore_result(const weir_result *result, const void *in, void *out, void *user)
{
	(void)result;
	(void)in;
	(void)out;
	(void)user;
}

static void
ignore_unstarted(uint64_t id, const void *in, void *user)
{
	(void)id;
	(void)in;
	(void)user;
}

static weir_status
stop_in_time(weir_ctx *ctx, const void *in, void *out, void *user)
{
	struct stopping *s = user;
	weir_status status;

	(void)ctx;
	(void)in;
	(void)out;
	s->late += s->stopped;
	if (s->started++ == s->stop_at) {
		status = s->now ? weir_pool_shutdown_now(
					  s->pool, ignore_unstarted, NULL, NULL)
				: weir_pool_shutdown_soon(s->pool,
							  ignore_unstarted,
							  NULL, NULL);
		CHECK_EQ_INT(status, WEIR_DEADLOCK);
		s->stopped = true;
	}
	return WEIR_OK;
}

TEST(regress, nothing_of_a_batch_starts_after_a_shutdown)
{
	for (int now = 0; now < 2; now++) {
		struct stopping s = {.now = now, .stop_at = 50001};
		weir_pool_options o = WEIR_POOL_OPTIONS_INIT;

		o.workers = 1;
		o.queue = 64;
		o.in_size = sizeof(uint64_t);
		o.source = endless;
		o.sink = ignore_result;
		o.run = stop_in_time;
		o.user = &s;
		OK(weir_pool_new(&s.pool, &o));
		OK(weir_pool_run(s.pool, NULL));
		CHECK_EQ_INT(s.late, 0);
		check_books_closed(s.pool);
		weir_pool_free(s.pool);
	}
}

#define MAPPED 20000

/* The job that cancels the others. */
struct half_way {
	weir_ctx *ctx;
	long at;
};

static weir_status
cancel_half_way(weir_ctx *ctx, const void *in, void *out, void *user)
{
	struct half_way *h = user;

	(void)ctx;
	(void)out;
	if (*(const long *)in == h->at)
		weir_ctx_cancel(h->ctx);
	return WEIR_OK;
}

static void
map_until(const long *in, weir_result *results, long at)
{
	struct half_way h = {gate_make(), at};
	weir_pool_options o = WEIR_POOL_OPTIONS_INIT;

	o.workers = 1;
	o.in_size = sizeof(*in);
	o.run = cancel_half_way;
	o.user = &h;
	CHECK_EQ_INT(weir_pool_map(&o, in, NULL, results, MAPPED, h.ctx),
		     WEIR_CANCELED);
	for (long i = 0; i < MAPPED; i++)
		CHECK_EQ_INT(results[i].attempts, i <= at);
	weir_ctx_unref(h.ctx);
}

TEST(regress, map_starts_nothing_after_its_context_is_cancelled)
{
	weir_result *results = calloc(MAPPED, sizeof(*results));
	long *in = calloc(MAPPED, sizeof(*in));

	REQUIRE(in && results);
	for (long i = 0; i < MAPPED; i++)
		in[i] = i;
	/* First and second of a batch of two, whichever is which. */
	map_until(in, results, MAPPED / 2);
	map_until(in, results, MAPPED / 2 + 1);
	free(in);
	free(results);
}

/* A source that waits until all jobs it gave before have come out. */
struct echoing {
	uint64_t given, last;
	_Atomic(uint64_t) sunk;
};

static weir_status
wait_for_own(weir_ctx *ctx, void *ret_in, weir_job_options *options, void *user)
{
	struct echoing *e = user;

	(void)options;
	(void)ret_in;
	while (e->sunk < e->given)
		if (weir_ctx_sleep(ctx, 10 * WEIR_US) != WEIR_OK)
			return WEIR_CLOSED;
	return e->given == e->last ? WEIR_CLOSED : (e->given++, WEIR_OK);
}

static weir_status
no_work(weir_ctx *ctx, const void *in, void *out, void *user)
{
	(void)ctx;
	(void)in;
	(void)out;
	(void)user;
	return WEIR_OK;
}

static void
count_sunk(const weir_result *result, const void *in, void *out, void *user)
{
	(void)result;
	(void)in;
	(void)out;
	((struct echoing *)user)->sunk++;
}

TEST(regress, batch_max_of_1_lets_a_source_wait_for_its_own_jobs)
{
	struct echoing e = {.last = 500};
	weir_pool_options o = WEIR_POOL_OPTIONS_INIT;
	weir_ctx *ctx = patience();
	weir_pool *pool;

	o.workers = 2;
	o.queue = 64;
	o.source = wait_for_own;
	o.sink = count_sunk;
	o.run = no_work;
	o.user = &e;
	o.batch_max = 1;
	OK(weir_pool_new(&pool, &o));
	OK(weir_pool_run(pool, ctx));
	CHECK_EQ_INT(e.sunk, 500);
	weir_pool_free(pool);
	weir_ctx_unref(ctx);
}

struct stop_from_done {
	weir_pool *pool;
	atomic_int asked;
};

static void
shut_down_again(const weir_result *result, const void *in, void *out,
		void *user)
{
	struct stop_from_done *s = user;

	(void)in;
	(void)out;
	if (result->status == WEIR_OK)
		return;
	s->asked++;
	CHECK_EQ_INT(weir_pool_shutdown(s->pool, NULL), WEIR_DEADLOCK);
}

static weir_status
until_done(weir_ctx *ctx, const void *in, void *out, void *user)
{
	(void)in;
	(void)out;
	(void)user;
	return weir_ctx_sleep(ctx, WEIR_FOREVER);
}

TEST(regress, done_callback_that_a_shutdown_runs_may_not_wait_for_it)
{
	struct stop_from_done s = {0};
	weir_pool_options o = WEIR_POOL_OPTIONS_INIT;

	o.workers = 1;
	o.queue = 8;
	o.run = until_done;
	o.done = shut_down_again;
	o.user = &s;
	OK(weir_pool_new(&s.pool, &o));
	for (int i = 0; i < 4; i++)
		OK(weir_pool_submit(s.pool, NULL, NULL, NULL));
	OK(weir_pool_shutdown_now(s.pool, NULL, NULL, NULL));
	CHECK_EQ_INT(s.asked, 4);
	check_books_closed(s.pool);
	weir_pool_free(s.pool);
}

TEST(regress, longest_back_off_is_not_none_at_all)
{
	weir_retry retry = {.delay_ns = WEIR_S, .delay_ns_max = WEIR_FOREVER};

	CHECK(weir_retry_delay_ns(&retry, 200, 0.5) > WEIR_S);
	CHECK(weir_retry_delay_ns(&retry, 2, 0.5) == 2 * WEIR_S);
}

TEST(regress, crash_report_without_a_descriptor_is_refused)
{
	CHECK_EQ_INT(weir_crash_report(-1), WEIR_INVAL);
	OK(weir_crash_report(STDERR_FILENO));
}

/* In a process of its own: a refused call, one that is not, and a fault. */
static void
fault_after_refusal(int fd)
{
	/* Not NULL, which UBSan would meet before the kernel does. */
	volatile uintptr_t nowhere = 16;

	/* Without the handler of sanitizers. */
	(void)signal(SIGSEGV, SIG_DFL);
	CHECK_EQ_INT(weir_crash_report(-1), WEIR_INVAL);
	OK(weir_crash_report(fd));
	*(volatile int *)nowhere = 1;
}

TEST(regress, fault_after_a_refused_crash_report_prints_one_line)
{
	char text[512];
	size_t len = 0;
	int fds[2], status;
	ssize_t n;
	pid_t pid;

	REQUIRE(pipe(fds) == 0);
	pid = fork();
	REQUIRE(pid >= 0);
	if (pid == 0) {
		fault_after_refusal(fds[1]);
		_exit(0);
	}
	close(fds[1]);
	while (len < sizeof(text) - 1 &&
	       (n = read(fds[0], text + len, sizeof(text) - 1 - len)) > 0)
		len += (size_t)n;
	text[len] = '\0';
	/* One that prints for ever has filled text by now, and is ended. */
	if (len == sizeof(text) - 1)
		(void)kill(pid, SIGKILL);
	close(fds[0]);
	REQUIRE(waitpid(pid, &status, 0) == pid);
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
	CHECK_STR(text, "weir: fatal signal SIGSEGV outside of a pool "
			"addr 0x10\n");
}

/*
 * A source that lets a keyed job wait at the start of a batch, and then, in
 * the same batch, waits until that job has come out.  The first job holds the
 * key, and one of the two workers; the other runs everything else.
 */
struct keyed {
	weir_pool *pool;
	weir_ctx *gate;
	uint64_t given, last;
	uint64_t length; /* of the batch so far, as far as one can see */
	bool parked, looked;
	_Atomic(uint64_t) sunk;
};

static void
look_while_in_source(struct keyed *k)
{
	weir_pool_stats s;

	gate_open(k->gate);
	WAIT_FOR((s = stats_of(k->pool)).delivered == k->given);
	CHECK_EQ_INT(s.inside, 0);
	CHECK_EQ_INT(s.accepted, s.delivered);
	k->looked = true;
}

static weir_status
park_one_then_wait(weir_ctx *ctx, void *ret_in, weir_job_options *options,
		   void *user)
{
	struct keyed *k = user;
	/* A batch begins when all but the first job have come out. */
	bool begins = k->given > 0 && k->sunk == k->given - 1;

	(void)ctx;
	if (k->parked)
		look_while_in_source(k);
	if (k->looked || k->given == k->last)
		return gate_open(k->gate), WEIR_CLOSED;
	k->parked = begins && k->length >= 4;
	if (k->given == 0 || k->parked)
		options->key = 7;
	k->length = begins ? 1 : k->length + 1;
	*(uint64_t *)ret_in = ++k->given;
	return WEIR_OK;
}

static weir_status
first_at_gate(weir_ctx *ctx, const void *in, void *out, void *user)
{
	(void)ctx;
	(void)out;
	if (*(const uint64_t *)in == 1)
		gate_wait(((struct keyed *)user)->gate);
	return WEIR_OK;
}

static void
count_keyed(const weir_result *result, const void *in, void *out, void *user)
{
	(void)result;
	(void)in;
	(void)out;
	((struct keyed *)user)->sunk++;
}

/* True if there was a batch to look from. */
static bool
look_once(void)
{
	struct keyed k = {.gate = gate_make(), .last = 200000};
	weir_pool_options o = WEIR_POOL_OPTIONS_INIT;

	o.workers = 2;
	o.queue = 256;
	o.key_slots = 1;
	o.in_size = sizeof(uint64_t);
	o.source = park_one_then_wait;
	o.sink = count_keyed;
	o.run = first_at_gate;
	o.user = &k;
	k.pool = pool_make(&o);
	OK(weir_pool_run(k.pool, NULL));
	CHECK_EQ_INT(k.sunk, k.given);
	check_books_closed(k.pool);
	weir_pool_free(k.pool);
	weir_ctx_unref(k.gate);
	return k.looked;
}

TEST(regress, keyed_job_is_counted_before_it_can_be_delivered)
{
	int looks = 0;

	/* A batch may shrink just then, and shows nothing; so, a few times. */
	for (int i = 0; i < 5; i++)
		looks += look_once();
	if (looks == 0)
		SKIP("too slow here for batches");
}

#define PAUSES 8

/*
 * A source that is quick for a while, and then has nothing for a fifth of a
 * second, several times, for not each time a worker happens to be looking on.
 * It idles between two batches, with nothing inside: earlier jobs of the same
 * batch would pass for ones that are stuck, and wake all workers.
 */
struct idling {
	struct echoing jobs; /* last: when to pause next, at the earliest */
	int pauses;
	long switches; /* in the worst pause */
};

static long
voluntary_switches(void)
{
	struct rusage usage;

	REQUIRE(getrusage(RUSAGE_SELF, &usage) == 0);
	return usage.ru_nvcsw;
}

static weir_status
idle_now_and_then(weir_ctx *ctx, void *ret_in, weir_job_options *options,
		  void *user)
{
	struct idling *idling = user;
	struct echoing *jobs = &idling->jobs;

	(void)ret_in;
	(void)options;
	if (idling->pauses == PAUSES)
		return WEIR_CLOSED;
	if (jobs->given >= jobs->last && jobs->sunk == jobs->given) {
		long switches = -voluntary_switches();

		OK(weir_ctx_sleep(ctx, 200 * WEIR_MS));
		switches += voluntary_switches();
		if (switches > idling->switches)
			idling->switches = switches;
		idling->pauses++;
		jobs->last = jobs->given + SCALE(20000);
	}
	jobs->given++;
	return WEIR_OK;
}

TEST(regress, idle_source_keeps_no_worker_looking)
{
	struct idling idling = {.jobs.last = SCALE(20000)};
	weir_pool_options o = WEIR_POOL_OPTIONS_INIT;
	weir_pool *pool;

	o.workers = 4;
	o.queue = 64;
	o.source = idle_now_and_then;
	o.sink = count_sunk;
	o.run = no_work;
	o.user = &idling;
	pool = pool_make(&o);
	OK(weir_pool_run(pool, NULL));
	CHECK_EQ_INT(idling.pauses, PAUSES);
	CHECK_MSG(idling.switches < 100, "%ld switches in one pause",
		  idling.switches);
	weir_pool_free(pool);
}
