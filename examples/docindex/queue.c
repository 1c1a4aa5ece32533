/*
 * Documents as jobs that survive.
 *
 *      walk ──insert──> store ──claim──> handler ──submit──> indexer
 *                         ^                 │ waits             │
 *                         └──── outcome ────┴───── done ────────┘
 *
 * Design.  The pipeline is the same as without a store; a handler, of which
 * there are as many as the pipeline can hold, puts its document in and waits
 * for it to come out.  What the pipeline says of the document is what the job
 * comes to:
 *
 *      indexed, unchanged, gone      completed
 *      it cannot be indexed          discarded, with the reason
 *      the API has failed            tried again, in seconds to days
 *      the API refuses everybody     put back, the attempt does not count
 *
 * A job is done twice if we die between the index's commit and the store's.
 * That does no harm: the second time the document is unchanged.
 *
 * Locking: look_mu guards the intake and with it the index's connection; a
 * ticket has a lock of its own.  None is held while the other is taken.
 */
#include "queue.h"

#include "base/json.h"
#include "base/utf8.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <weir/queue.h>
#include <weir/work.h>

#define BATCH_MAX 64
#define SNOOZE_NS (60 * WEIR_S)
#define ACTIVE_SET                                \
	(WEIR_JOB_STATE_BIT(WEIR_JOB_AVAILABLE) | \
	 WEIR_JOB_STATE_BIT(WEIR_JOB_PENDING) |   \
	 WEIR_JOB_STATE_BIT(WEIR_JOB_RETRYABLE) | \
	 WEIR_JOB_STATE_BIT(WEIR_JOB_RUNNING) |   \
	 WEIR_JOB_STATE_BIT(WEIR_JOB_SCHEDULED))

/*
 * A handler that waits for its document.  It is on the handler's stack, and may
 * be: whoever signals it holds mu until it has let go of it for good.
 */
struct ticket {
	pthread_mutex_t mu;
	pthread_cond_t done; /* the handler: is_done */
	bool is_done;
	weir_status status;
	char error[WEIR_ERROR_MAX];
};

struct queue {
	struct run *run;
	weir_store *store;
	weir_work *work;
	pthread_t worker;
	weir_error error; /* the worker's, once it has ended */

	/* guarded by look_mu, but for the walk, which is over by then */
	pthread_mutex_t look_mu;
	struct intake *intake;
	char why[WEIR_ERROR_MAX]; /* what the intake said of a document */

	/* the walk's: where it goes, and what is not inserted yet */
	char *const *roots;
	size_t root_count;
	struct weir_buf args[BATCH_MAX];
	size_t count;
};

/* The run has one queue, and its hooks have no room for another pointer. */
static struct queue *
of_run(const struct run *run)
{
	return run->source;
}

/*
 * A job that has failed before, or was put back, waits for its time.  Who runs
 * `add` again does not: it is to be tried now.
 */
static weir_status
let_go(struct queue *q, const weir_inserted *inserted, weir_error *error)
{
	int64_t ids[BATCH_MAX];
	size_t count = 0;

	for (size_t i = 0; i < q->count; i++)
		if (inserted[i].duplicate &&
		    (inserted[i].state == WEIR_JOB_RETRYABLE ||
		     inserted[i].state == WEIR_JOB_SCHEDULED))
			ids[count++] = inserted[i].id;
	return count == 0 ? WEIR_OK
			  : weir_store_change(q->store, WEIR_JOB_RETRY, ids,
					      count, NULL, NULL, error);
}

/* Insert what has been gathered. */
static bool
flush(struct queue *q)
{
	weir_insert jobs[BATCH_MAX];
	weir_inserted inserted[BATCH_MAX];
	weir_error error;
	weir_status status = WEIR_OK;

	for (size_t i = 0; i < q->count; i++) {
		jobs[i] = (weir_insert)WEIR_INSERT_INIT;
		jobs[i].kind = QUEUE_KIND;
		jobs[i].queue = QUEUE_NAME;
		jobs[i].args = weir__buf_str(&q->args[i]);
		jobs[i].args_len = q->args[i].len;
		jobs[i].unique = WEIR_UNIQUE_ARGS;
		jobs[i].unique_states = ACTIVE_SET;
	}
	if (q->count > 0)
		status = weir_store_insert(q->store, jobs, q->count, inserted,
					   NULL, &error);
	if (q->count > 0 && status == WEIR_OK)
		status = let_go(q, inserted, &error);
	q->count = 0;
	if (status != WEIR_OK)
		run_hopeless(error.message, RUN_AGAIN, q->run);
	return status == WEIR_OK;
}

/* Found: it becomes a job instead of going into the pipeline. */
static bool
on_found(struct doc *doc, void *user)
{
	struct queue *q = user;
	struct weir_buf *args = &q->args[q->count];
	struct weir_json j;

	if (!weir__utf8_is_valid(doc->path, strlen(doc->path))) {
		run_failed(q->run, doc->path, "name",
			   "its name is not UTF-8, as the job's JSON has to "
			   "be");
		doc_free(doc);
		return true;
	}
	weir__buf_reset(args);
	weir__json_init(&j, args);
	weir__json_begin_object(&j);
	weir__json_key(&j, "path");
	weir__json_puts(&j, doc->path);
	weir__json_end_object(&j);
	doc_free(doc);
	if (args->failed) {
		run_hopeless("out of memory", RUN_AGAIN, q->run);
		return false;
	}
	return !run_is_stopping(q->run) && (++q->count < BATCH_MAX || flush(q));
}

static void
on_unchanged(const char *path, void *user)
{
	struct queue *q = user;

	(void)path;
	run_unchanged(q->run);
}

static void
on_walk_failed(const char *path, const char *reason, const char *why,
	       void *user)
{
	struct queue *q = user;

	run_failed(q->run, path, reason, why);
}

static bool
on_stopping(void *user)
{
	struct queue *q = user;

	return run_is_stopping(q->run);
}

/* Later, in a handler: the reason is the job's. */
static void
on_job_failed(const char *path, const char *reason, const char *why, void *user)
{
	struct queue *q = user;

	run_failed(q->run, path, reason, why);
	snprintf(q->why, sizeof(q->why), "%s", why);
}

/* A document has come out of the pipeline; the collector's thread. */
static void
on_done(struct doc *doc, const weir_pipeline_result *result)
{
	struct ticket *ticket = doc->owner;

	pthread_mutex_lock(&ticket->mu);
	ticket->status = result->result.status;
	memcpy(ticket->error, result->result.error, sizeof(ticket->error));
	ticket->is_done = true;
	pthread_cond_signal(&ticket->done);
	pthread_mutex_unlock(&ticket->mu);
}

static void
wait_for(struct ticket *ticket)
{
	pthread_mutex_lock(&ticket->mu);
	while (!ticket->is_done)
		pthread_cond_wait(&ticket->done, &ticket->mu);
	pthread_mutex_unlock(&ticket->mu);
}

/* Through the pipeline, and what came of it. */
static weir_status
index_doc(struct queue *q, struct doc *doc, weir_ctx *ctx,
	  const weir_job_row *job)
{
	struct ticket ticket = {.mu = PTHREAD_MUTEX_INITIALIZER,
				.done = PTHREAD_COND_INITIALIZER};
	weir_status status;

	/* We wait until it is no more. */
	/* cppcheck-suppress autoVariables */
	doc->owner = &ticket;
	/* Not by the walk: there may be jobs that others have enqueued. */
	run_found(q->run);
	status = indexer_submit(q->run->indexer, doc, ctx);
	if (status != WEIR_OK) {
		doc_free(doc);
		return WEIR_CANCELED;
	}
	wait_for(&ticket);
	pthread_cond_destroy(&ticket.done);
	pthread_mutex_destroy(&ticket.mu);
	if (ticket.status == WEIR_OK || ticket.status == WEIR_CANCELED)
		return ticket.status;
	/* Not this document's fault, and not to be held against it. */
	if (run_is_hopeless(q->run))
		return weir_job_snooze(job, SNOOZE_NS);
	return weir_job_fail(ctx, ticket.status, "%s", ticket.error);
}

/* It is not there any more, and neither should it be in the index. */
static weir_status
forget_path(struct queue *q, weir_ctx *ctx, const char *path)
{
	weir_error error;
	weir_status status;
	bool was_there = false;

	pthread_mutex_lock(&q->look_mu);
	status = index_remove(q->intake->index, path, &was_there, &error);
	pthread_mutex_unlock(&q->look_mu);
	if (status != WEIR_OK)
		return weir_job_fail(ctx, status, "%s", error.message);
	weir__mutex_lock(&q->run->mu);
	q->run->removed += was_there;
	weir__mutex_unlock(&q->run->mu);
	return WEIR_OK;
}

static weir_status
add_path(struct queue *q, weir_ctx *ctx, const weir_job_row *job,
	 const char *path)
{
	enum index_known known = INDEX_NEW;
	char why[WEIR_ERROR_MAX];
	struct doc *doc;

	if (access(path, F_OK) != 0 && (errno == ENOENT || errno == ENOTDIR))
		return forget_path(q, ctx, path);
	pthread_mutex_lock(&q->look_mu);
	snprintf(q->why, sizeof(q->why), "stopped");
	doc = intake_open(q->intake, path, AT_FDCWD, path, &known);
	if (q->intake->error.status != WEIR_OK)
		memcpy(q->why, q->intake->error.message, sizeof(q->why));
	q->intake->error = (weir_error){WEIR_OK, 0, ""};
	memcpy(why, q->why, sizeof(why));
	pthread_mutex_unlock(&q->look_mu);
	if (!doc)
		return weir_job_fail(ctx, WEIR_FAILED, "%s", why);
	if (known != INDEX_UNCHANGED)
		return index_doc(q, doc, ctx, job);
	run_unchanged(q->run);
	doc_free(doc);
	return WEIR_OK;
}

/* One job of the store. */
static weir_status
work_job(weir_ctx *ctx, const void *in, void *out, void *user)
{
	struct queue *q = user;
	const weir_job_row *job = in;
	json_t *args = json_loadb(job->args, job->args_len, 0, NULL);
	const char *path = json_string_value(json_object_get(args, "path"));
	weir_status status;

	(void)out;
	if (!path || path[0] != '/')
		status = weir_job_fail(ctx, WEIR_PERMANENT,
				       "its args have no absolute \"path\"");
	else
		status = add_path(q, ctx, job, path);
	json_decref(args);
	return status;
}

static void
on_trouble(const weir_error *error, void *user)
{
	struct queue *q = user;
	char line[WEIR_ERROR_MAX + 64];

	if (error)
		snprintf(line, sizeof(line), "the jobs cannot be used: %s",
			 error->message);
	else
		snprintf(line, sizeof(line), "the jobs can be used again");
	weir__progress_note(&q->run->progress, line);
}

/* Enqueue all that is new; what is gone is forgotten at once. */
static bool
enqueue_all(struct queue *q)
{
	struct intake *in = q->intake;
	bool more = true;

	for (size_t i = 0; more && i < q->root_count; i++)
		more = intake_add(in, q->roots[i]);
	more = more && flush(q);
	if (more && !q->run->options->keep && in->error.status == WEIR_OK)
		more = intake_forget(in, q->roots, q->root_count,
				     &q->run->removed) == WEIR_OK;
	if (in->error.status != WEIR_OK)
		run_hopeless(in->error.message, RUN_AGAIN, q->run);
	in->hooks.failed = on_job_failed;
	return more && !run_is_stopping(q->run);
}

/* The source: first the walk, if there is one, then the jobs. */
static void *
work_all(void *argument)
{
	struct queue *q = argument;

	if (enqueue_all(q) &&
	    weir_work_run(q->work, NULL, &q->error) != WEIR_OK)
		run_hopeless(q->error.message, RUN_AGAIN, q->run);
	run_source_ended(q->run);
	return NULL;
}

static void
stop_source(struct run *run, bool now)
{
	weir_work_stop(of_run(run)->work, now);
}

/* So many documents can be on their way at once. */
static uint32_t
handlers_of(const struct add_cli_options *o)
{
	return (uint32_t)(o->width + 2 * o->channel + 2);
}

static int
say_error(struct queue *q, const weir_error *error)
{
	weir__cli_error(q->run->cli, q->run->options->queue, "%s",
			error->message);
	return WEIR_EXIT_FAILURE;
}

/* Work the store: until nothing is left, or until somebody stops us. */
static int
work_store(struct queue *q, bool until_empty)
{
	weir_handler handler = {.size = sizeof(handler),
				.kind = QUEUE_KIND,
				.run = work_job,
				.user = q};
	weir_work_queue queue = {.name = QUEUE_NAME};
	weir_work_options options = WEIR_WORK_OPTIONS_INIT;
	weir_error error;

	options.handlers = &handler;
	options.handler_count = 1;
	options.queues = &queue;
	options.queue_count = 1;
	options.workers = handlers_of(q->run->options);
	options.until_empty = until_empty;
	/* What a document could crash is in a process of its own.  Who dies
	 * here was killed, and whatever was on its way then is not to blame. */
	options.crashes_max = WEIR_MAX_ATTEMPTS;
	options.trouble = on_trouble;
	options.user = q;
	if (weir_work_new(&q->work, q->store, &options, &error) != WEIR_OK)
		return say_error(q, &error);
	q->run->done = on_done;
	q->run->stop_source = stop_source;
	if (pthread_create(&q->worker, NULL, work_all, q) != 0) {
		weir__cli_error(q->run->cli, NULL, "out of threads");
		return WEIR_EXIT_FAILURE;
	}
	run_loop(q->run);
	(void)pthread_join(q->worker, NULL);
	return run_end(q->run);
}

static int
open_store(struct queue *q)
{
	weir_store_options options = WEIR_STORE_OPTIONS_INIT;
	weir_error error;

	options.url = q->run->options->queue;
	options.create = true;
	if (weir_store_open(&q->store, &options, &error) == WEIR_OK)
		return -1;
	return say_error(q, &error);
}

static int
queue_init(struct queue *q, struct run *run, struct intake *intake)
{
	*q = (struct queue){.run = run, .intake = intake};
	pthread_mutex_init(&q->look_mu, NULL);
	run->source = q;
	intake->hooks = (struct intake_hooks){.found = on_found,
					      .unchanged = on_unchanged,
					      .stopping = on_stopping,
					      .failed = on_walk_failed,
					      .user = q};
	return open_store(q);
}

static void
queue_fini(struct queue *q)
{
	weir_work_free(q->work);
	weir_store_close(q->store);
	for (size_t i = 0; i < BATCH_MAX; i++)
		weir__buf_fini(&q->args[i]);
	pthread_mutex_destroy(&q->look_mu);
}

int
queue_add(struct run *run, struct intake *intake, char *const *roots,
	  size_t root_count)
{
	struct queue q;
	int status = queue_init(&q, run, intake);

	q.roots = roots;
	q.root_count = root_count;
	if (status < 0)
		status = work_store(&q, true);
	queue_fini(&q);
	return status;
}

/* -1: all that is needed was said, and no more. */
static int
check_work(struct weir_cli *cli)
{
	const struct add_cli_options *options = cli->options;

	if (options->queue && cli->operand_count == 0)
		return -1;
	if (!options->queue) {
		weir__cli_error(cli, NULL, "--queue has to say which store");
	} else {
		weir__cli_error(cli, cli->operands[0],
				"documents come from the store only");
		weir__cli_try(cli, "docindex add --queue %s FOLDER",
			      options->queue);
	}
	return WEIR_EXIT_USAGE;
}

int
work_run(struct weir_cli *cli)
{
	int status = check_work(cli);
	struct intake intake = {0};
	struct run *run;
	struct queue q;

	if (status >= 0)
		return status;
	run = calloc(1, sizeof(*run));
	if (!run) {
		weir__cli_error(cli, NULL, "out of memory");
		return WEIR_EXIT_FAILURE;
	}
	run->endless = true;
	status = run_init(run, cli);
	if (status < 0) {
		intake.index = run->look;
		status = queue_init(&q, run, &intake);
		if (status < 0)
			status = work_store(&q, false);
		queue_fini(&q);
	}
	run_fini(run);
	free(run);
	return status;
}
