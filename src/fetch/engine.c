/*
 * The engine: what stands between the pool and the reactors; see engine.h.
 *
 * Design.  A job of the pool is a pointer to a request, made by the source
 * and freed by the sink or when it is handed back.  Lines that are no
 * requests (bad ones, and ones that were fetched before) never become jobs:
 * they take no token of the rate limit and no slot, only a record.
 *
 * Locking: bucket_mu guards the bucket, reactors_mu the list of reactors;
 * nothing is called with either held but, with the second, an eventfd.
 */
#include "fetch/reactor.h"

#include "base/assert.h"
#include "sync/clock.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Lines that are no requests, after which the reactor has its turn again. */
#define LINES_AT_ONCE 200

#define TICK_NS_MAX (1 * WEIR_S)
#define TICK_NS_MIN (5 * WEIR_MS)

#define TRANSFERS_PER_THREAD 32
#define THREADS_MAX          64

uint32_t
weir__fetch_engine_threads(const struct weir_fetch_options *options)
{
	uint32_t useful = (options->jobs + TRANSFERS_PER_THREAD - 1) /
			  TRANSFERS_PER_THREAD;
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	uint32_t threads = options->threads;

	if (threads == 0)
		threads = cores < 1             ? 1
			  : cores > THREADS_MAX ? THREADS_MAX
						: (uint32_t)cores;
	return threads < useful ? threads : useful;
}

uint64_t
weir__fetch_engine_descriptors(const struct weir_fetch_options *options,
			       bool files)
{
	uint64_t jobs = options->jobs;
	uint64_t threads = weir__fetch_engine_threads(options);

	/* Two sockets while IPv4 and IPv6 race; two for a multi's wake-up. */
	return jobs * 2 + (files ? jobs : 0) + (jobs / 32 + threads) * 2 +
	       threads * 4 + 32;
}

bool
weir__fetch_bucket_take(struct weir_fetch_engine *engine, size_t len)
{
	int64_t rate = (int64_t)engine->options.limit_rate;
	int64_t now_ns = weir_now_ns(), gained;
	bool taken;

	weir__mutex_lock(&engine->bucket_mu);
	gained = (int64_t)((double)(now_ns - engine->bucket_ns) * (double)rate /
			   (double)WEIR_S);
	if (gained > 0) {
		engine->bucket += gained;
		engine->bucket_ns = now_ns;
	}
	/* At most a tenth of a second's worth at once. */
	if (engine->bucket > rate / 10 + 1)
		engine->bucket = rate / 10 + 1;
	/* Into debt for one buffer: pieces cannot be cut. */
	taken = engine->bucket > 0;
	if (taken)
		engine->bucket -= (int64_t)len;
	weir__mutex_unlock(&engine->bucket_mu);
	return taken;
}

void
weir__fetch_engine_fatal(struct weir_fetch_engine *engine, int error_number)
{
	if (weir__u32_cas(&engine->fatal, 0, (uint32_t)error_number,
			  WEIR_SEQ_CST))
		weir_ctx_cancel_cause(engine->ctx, strerror(error_number));
}

static void
record_line(struct weir_fetch_engine *engine,
	    const struct weir_fetch_next *next, enum weir_fetch_status status)
{
	struct weir_fetch_record record = {
		.seq = next->seq,
		.line = next->line,
		.status = status,
		.id = next->request ? next->request->id : NULL,
		.url = next->request ? next->request->shown : next->text,
		.url_len = next->request ? strlen(next->request->shown)
					 : next->len,
		.error = next->why,
	};

	engine->hooks.record(&record, engine->hooks.user);
}

/* One line. WEIR_OK: a job; WEIR_FAILED: it was something else. */
static weir_status
source_line(struct weir_fetch_engine *engine,
	    struct weir_fetch_request **ret_request)
{
	struct weir_fetch_next next;

	switch (weir__fetch_input_next(engine->input, &next)) {
	case WEIR_FETCH_LINE_REQUEST:
		*ret_request = next.request;
		return WEIR_OK;
	case WEIR_FETCH_LINE_SKIP:
		record_line(engine, &next, WEIR_FETCH_SKIPPED);
		weir__fetch_request_free(next.request);
		return WEIR_FAILED;
	case WEIR_FETCH_LINE_BAD:
		record_line(engine, &next, WEIR_FETCH_FAILED);
		return WEIR_FAILED;
	case WEIR_FETCH_LINE_NONE:
		return WEIR_BUSY;
	case WEIR_FETCH_LINE_END:
		return WEIR_CLOSED;
	case WEIR_FETCH_LINE_ERROR:
		break;
	}
	engine->input_error.status = WEIR_SYSTEM;
	memcpy(engine->input_error.message, next.why, sizeof(next.why));
	return WEIR_SYSTEM;
}

/* Where there is no input: whoever made the engine gives the requests. */
static weir_status
source_hook(struct weir_fetch_engine *engine, void *ret_in,
	    weir_job_options *ret_options)
{
	struct weir_fetch_request *request = NULL;
	weir_status status = engine->hooks.next(&request, engine->hooks.user);

	if (status != WEIR_OK)
		return status;
	memcpy(ret_in, &request, sizeof(request));
	ret_options->key = request->host_key;
	if (request->timeout_ns)
		ret_options->timeout_ns = request->timeout_ns;
	return WEIR_OK;
}

static weir_status
source(weir_ctx *ctx, void *ret_in, weir_job_options *ret_options, void *user)
{
	struct weir_fetch_engine *engine = user;
	struct weir_fetch_request *request = NULL;
	weir_status status;
	bool end;

	(void)ctx;
	if (engine->hooks.next)
		return source_hook(engine, ret_in, ret_options);
	for (int i = 0; i < LINES_AT_ONCE; i++) {
		uint64_t seq = weir__fetch_input_count(engine->input, &end) + 1;

		if (!engine->hooks.may_read(seq, engine->hooks.user))
			return WEIR_BUSY;
		status = source_line(engine, &request);
		if (status == WEIR_FAILED)
			continue;
		if (status == WEIR_OK) {
			memcpy(ret_in, &request, sizeof(request));
			ret_options->key = request->host_key;
		}
		return status;
	}
	weir_pool_poke(engine->pool);
	return WEIR_BUSY;
}

static struct weir_fetch_request *
request_of(const void *in)
{
	struct weir_fetch_request *request;

	memcpy(&request, in, sizeof(request));
	return request;
}

static void
unstarted(uint64_t id, const void *in, void *user)
{
	struct weir_fetch_engine *engine = user;
	struct weir_fetch_request *request = request_of(in);

	(void)id;
	engine->hooks.unstarted(request, engine->hooks.user);
	weir__fetch_request_free(request);
}

static enum weir_fetch_status
status_of(struct weir_fetch_engine *engine, const weir_result *result)
{
	if (result->status == WEIR_OK)
		return WEIR_FETCH_OK;
	if (result->status == WEIR_CANCELED)
		return WEIR_FETCH_CANCELLED;
	/* A time-out of its own is a failure, one of the whole run is not. */
	if (result->status == WEIR_TIMEDOUT &&
	    weir_ctx_status(engine->ctx) != WEIR_OK)
		return WEIR_FETCH_CANCELLED;
	return WEIR_FETCH_FAILED;
}

static void
sink(const weir_result *result, const void *in, void *out, void *user)
{
	struct weir_fetch_engine *engine = user;
	struct weir_fetch_request *request = request_of(in);
	struct weir_fetch_outcome *outcome = out;
	struct weir_fetch_record record = {
		.seq = request->seq,
		.line = request->line,
		.status = status_of(engine, result),
		.id = request->id,
		.url = request->shown,
		.url_len = strlen(request->shown),
		.request = request,
		.outcome = outcome,
		.attempts = result->attempts,
		.wait_ns = result->wait_ns,
		.run_ns = result->run_ns,
		.total_ns = result->total_ns,
		.error = result->error,
	};

	if (result->attempts == 0) {
		unstarted(result->id, in, user);
		return;
	}
	engine->hooks.record(&record, engine->hooks.user);
	weir__fetch_outcome_fini(outcome);
	weir__fetch_request_free(request);
}

static weir_status
start(weir_ctx *ctx, weir_job *job, const void *in, void *out, void *user)
{
	struct weir_fetch_reactor *reactor = weir_job_state(ctx);
	struct weir_fetch_request *request = request_of(in);
	struct weir_fetch_transfer *t =
		weir__fetch_reactor_take(reactor, request->host_key);

	(void)user;
	/* There are as many transfers as the worker has slots. */
	weir_assert(t);
	weir_job_set_data(job, t);
	return weir__fetch_transfer_begin(t, ctx, job, request, out);
}

static void
cancel(weir_ctx *ctx, weir_job *job, void *user)
{
	struct weir_fetch_transfer *t = weir_job_data(job);

	(void)ctx;
	(void)user;
	weir_assert(t->job == job);
	weir__fetch_transfer_abort(t);
}

static void
set_pool_options(const struct weir_fetch_engine *engine,
		 weir_pool_options *pool)
{
	const struct weir_fetch_options *options = &engine->options;

	pool->name = "fetch";
	pool->workers = options->jobs;
	pool->threads = weir__fetch_engine_threads(options);
	/* Jobs that wait for their host must not keep others from starting. */
	pool->queue = options->jobs * 4 > 64 ? options->jobs * 4 : 64;
	pool->in_size = sizeof(struct weir_fetch_request *);
	pool->out_size = sizeof(struct weir_fetch_outcome);
	pool->start = start;
	pool->cancel = cancel;
	pool->source = source;
	pool->sink = sink;
	pool->init = weir__fetch_reactor_init;
	pool->exit = weir__fetch_reactor_exit;
	pool->wait = weir__fetch_reactor_wait;
	pool->wake = weir__fetch_reactor_wake;
	pool->retry.attempts_max = options->retries + 1;
	pool->retry.delay_ns = 500 * WEIR_MS;
	pool->retry.jitter = 1;
	pool->retry.retry_on = WEIR_RETRY_ON(WEIR_FAILED);
	pool->timeout_ns = options->timeout_ns;
	pool->limit = engine->limit;
	pool->key_slots = options->per_host;
}

/* Often enough for the shortest of the limits, and not more. */
static int64_t
tick_of(const struct weir_fetch_options *options)
{
	int64_t tick_ns =
		weir__earlier_ns(options->connect_ns,
				 weir__earlier_ns(options->first_byte_ns,
						  options->stall_ns)) /
		10;

	if (tick_ns > TICK_NS_MAX)
		return TICK_NS_MAX;
	return tick_ns < TICK_NS_MIN ? TICK_NS_MIN : tick_ns;
}

static weir_status
set_error(weir_error *reterr, weir_status status, const char *what,
	  int error_number)
{
	reterr->status = status;
	reterr->native = error_number;
	snprintf(reterr->message, sizeof(reterr->message), "%s%s%s", what,
		 error_number ? ": " : "",
		 error_number ? strerror(error_number) : "");
	return status;
}

static weir_status
make_parts(struct weir_fetch_engine *engine, const char *dir,
	   weir_error *reterr)
{
	weir_pool_options pool = WEIR_POOL_OPTIONS_INIT;
	const struct weir_fetch_options *options = &engine->options;
	weir_status status;
	int failed;

	engine->reactors = calloc(weir__fetch_engine_threads(options),
				  sizeof(struct weir_fetch_reactor *));
	if (!engine->reactors)
		return set_error(reterr, WEIR_NOMEM, "out of memory", 0);
	if (curl_global_init(CURL_GLOBAL_ALL) != CURLE_OK)
		return set_error(reterr, WEIR_SYSTEM,
				 "libcurl cannot be set up", 0);
	failed = dir ? weir__fetch_folder_open(&engine->folder, dir) : 0;
	if (failed)
		return set_error(reterr, WEIR_SYSTEM,
				 "cannot write into the folder", failed);
	if (options->rate > 0) {
		/* A twentieth of a second's worth may start at once. */
		double burst = options->rate / 20;

		status = weir_limit_new(&engine->limit, options->rate,
					burst < 1      ? 1
					: burst > 1000 ? 1000
						       : (uint32_t)burst);
		if (status != WEIR_OK)
			return set_error(reterr, status, "the rate limit", 0);
	}
	set_pool_options(engine, &pool);
	pool.user = engine;
	status = weir_pool_new(&engine->pool, &pool);
	if (status != WEIR_OK)
		return set_error(reterr, status, weir_status_message(status),
				 0);
	return WEIR_OK;
}

weir_status
weir__fetch_engine_new(struct weir_fetch_engine **out,
		       const struct weir_fetch_options *options,
		       const struct weir_fetch_hooks *hooks,
		       struct weir_fetch_input *input, const char *dir,
		       weir_error *reterr)
{
	struct weir_fetch_engine *engine = calloc(1, sizeof(*engine));
	weir_status status;

	if (!engine)
		return set_error(reterr, WEIR_NOMEM, "out of memory", 0);
	engine->options = *options;
	engine->hooks = *hooks;
	engine->input = input;
	engine->folder.fd = -1;
	engine->tick_ns = tick_of(options);
	weir__mutex_init(&engine->bucket_mu);
	weir__mutex_init(&engine->reactors_mu);
	engine->bucket_ns = weir_now_ns();
	status = make_parts(engine, dir, reterr);
	if (status != WEIR_OK) {
		weir__fetch_engine_free(engine);
		return status;
	}
	*out = engine;
	return WEIR_OK;
}

struct weir_fetch_engine *
weir__fetch_engine_free(struct weir_fetch_engine *engine)
{
	if (!engine)
		return NULL;
	weir_pool_free(engine->pool);
	weir_limit_free(engine->limit);
	weir_ctx_unref(engine->ctx);
	weir__fetch_folder_close(&engine->folder);
	weir__mutex_fini(&engine->bucket_mu);
	weir__mutex_fini(&engine->reactors_mu);
	free(engine->reactors);
	curl_global_cleanup();
	free(engine);
	return NULL;
}

weir_status
weir__fetch_engine_run(struct weir_fetch_engine *engine, weir_ctx *ctx,
		       weir_error *reterr)
{
	weir_status status;
	uint32_t fatal;

	status = weir_ctx_new(&engine->ctx, ctx, WEIR_FOREVER);
	if (status != WEIR_OK)
		return set_error(reterr, status, "out of memory", 0);
	status = weir_pool_run(engine->pool, engine->ctx);
	fatal = weir__u32_load(&engine->fatal, WEIR_SEQ_CST);
	if (fatal)
		return set_error(reterr, WEIR_SYSTEM, "cannot write a file",
				 (int)fatal);
	if (engine->input_error.status != WEIR_OK) {
		*reterr = engine->input_error;
		return WEIR_SYSTEM;
	}
	if (status != WEIR_OK)
		set_error(reterr, status, weir_status_message(status), 0);
	return status;
}

void
weir__fetch_engine_poke(struct weir_fetch_engine *engine)
{
	weir_pool_poke(engine->pool);
}

void
weir__fetch_engine_stop(struct weir_fetch_engine *engine, bool now)
{
	weir_ctx *done = NULL;
	weir_status status;

	/* One that is done from the start: begin, and do not wait. */
	status = weir_ctx_new(&done, NULL, 0);
	if (status != WEIR_OK) {
		weir_pool_close(engine->pool);
		return;
	}
	status = now ? weir_pool_shutdown_now(engine->pool, unstarted, engine,
					      done)
		     : weir_pool_shutdown_soon(engine->pool, unstarted, engine,
					       done);
	(void)status;
	weir_ctx_unref(done);
}

void
weir__fetch_engine_cancel(struct weir_fetch_engine *engine,
			  struct weir_fetch_request *request)
{
	uint32_t threads = weir__fetch_engine_threads(&engine->options);

	/* Before the reactors are told: who begins it later sees this. */
	weir__u32_store(&request->canceled, 1, WEIR_SEQ_CST);
	weir__mutex_lock(&engine->reactors_mu);
	for (uint32_t i = 0; i < threads; i++) {
		struct weir_fetch_reactor *reactor = engine->reactors[i];

		if (!reactor)
			continue;
		weir__u32_store(&reactor->canceled, 1, WEIR_SEQ_CST);
		weir__fetch_reactor_wake(reactor, NULL);
	}
	weir__mutex_unlock(&engine->reactors_mu);
}

void
weir__fetch_engine_stats(struct weir_fetch_engine *engine, weir_pool_stats *ret,
			 uint64_t *ret_bytes)
{
	weir_pool_stats_init(ret);
	weir_pool_get_stats(engine->pool, ret);
	*ret_bytes = weir__u64_load(&engine->bytes, WEIR_RELAXED);
}
