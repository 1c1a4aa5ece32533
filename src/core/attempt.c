/*
 * One attempt at a job: the context it runs under, its verdict, and whether
 * there will be another; and what a running job may ask (weir/job.h).
 *
 * Design.  Each slot has one context, a child of the pool's, which is used
 * for attempt after attempt as long as no job keeps a reference to it.  What
 * has to be done at the start of an attempt that has no time-out and no
 * submitter's context is therefore: nothing.
 *
 *      pool->ctx --- slot's ctx (rearmed per attempt)
 *                        ^
 *      submit ctx -------' a watch, for the length of the attempt
 *
 * Locking.  Slot and record are the worker's own; contexts lock themselves;
 * putting a record on the shelf takes the pool's mu.  Contexts are never
 * touched with mu held (they come first in the lock order).
 */
#include "core/pool.h"

#include "base/assert.h"
#include "core/retry.h"
#include "sync/clock.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void
submit_fire(struct weir_watch *watch, weir_status status, const char *why)
{
	weir_job *job = weir_container_of(watch, weir_job, submit_watch);

	weir__ctx_end(job->ctx, status, why);
}

static void
cancel_fire(struct weir_watch *watch, weir_status status, const char *why)
{
	weir_job *job = weir_container_of(watch, weir_job, cancel_watch);

	(void)status;
	(void)why;
	/* Release: the context has ended; pairs with async_cancel_due(). */
	weir__u32_store(&job->worker->ctx_fired, 1,
			WEIR_ORDER(ATTEMPT_FIRED_ORDER, WEIR_RELEASE_ORDER,
				   WEIR_RELAXED));
	if (!WEIR_MUTATED(ATTEMPT_FIRED_WAKE))
		weir__worker_wake(job->worker);
}

/* A context that somebody kept is his now; the slot gets a new one. */
static void
part_with_ctx(weir_job *job)
{
	weir__ctx_forget_job(job->ctx);
	job->ctx = weir_ctx_unref(job->ctx);
}

/* A context for the slot, live and with the attempt's deadline. */
static weir_status
arm_ctx(weir_job *job, const struct weir_record *record, int64_t now_ns)
{
	weir_pool *pool = record->pool;
	int64_t deadline_ns = WEIR_FOREVER;
	weir_status status;

	/* Somebody who cancels the pool may have it in hand just now. */
	if (job->ctx && !weir__ctx_is_unshared(job->ctx))
		part_with_ctx(job);
	if (!job->ctx) {
		status = weir__ctx_new_for_job(&job->ctx, pool->ctx, job);
		if (status != WEIR_OK)
			return status;
		weir__watch_init(&job->submit_watch, submit_fire);
		weir__watch_init(&job->cancel_watch, cancel_fire);
	}
	if (record->timeout_ns != WEIR_FOREVER)
		deadline_ns = weir__deadline_ns(now_ns, record->timeout_ns);
	if (record->submit_ctx)
		deadline_ns = weir__earlier_ns(
			deadline_ns, weir_ctx_deadline_ns(record->submit_ctx));
	weir__ctx_rearm(job->ctx, deadline_ns);
	weir__ctx_watch(record->submit_ctx, &job->submit_watch);
	if (pool->async)
		weir__ctx_watch(job->ctx, &job->cancel_watch);
	return WEIR_OK;
}

/* The common case: the slot's context will do as the last job left it. */
static bool
is_armed(const weir_job *job, const struct weir_record *record)
{
	return !record->submit_ctx && record->timeout_ns == WEIR_FOREVER &&
	       job->ctx && !record->pool->async && weir__ctx_is_fresh(job->ctx);
}

void
weir__attempt_disarm(weir_job *job)
{
	weir__ctx_unwatch(&job->submit_watch);
	weir__ctx_unwatch(&job->cancel_watch);
	if (!weir__ctx_is_unshared(job->ctx))
		part_with_ctx(job);
}

weir_status
weir__attempt_begin(weir_job *job, struct weir_record *record, int64_t now_ns)
{
	weir_status status;

	weir_assert(!job->record && record->place == WEIR_PLACE_HELD);
	weir__ctx_unwatch(&record->watch); /* if it comes from back-off */
	if (!is_armed(job, record)) {
		/* An isolated job is under way: its context is done at once. */
		status = record->pool->isolated
				 ? WEIR_OK
				 : weir_ctx_status(record->submit_ctx);
		if (status == WEIR_OK || WEIR_MUTATED(ATTEMPT_DEAD_CTX))
			status = arm_ctx(job, record, now_ns);
		if (status != WEIR_OK) {
			weir__record_conclude(record, status, now_ns);
			return status;
		}
	}
	if (record->result.attempts == 0) {
		record->result.wait_ns = now_ns - record->accepted_ns;
		/* An isolated job has been answered by now, perhaps. */
		if (record->pool->options.out_size > 0 &&
		    !record->pool->isolated)
			memset(record->out, 0, record->pool->options.out_size);
	}
	record->simple = false;
	record->result.attempts++;
	record->result.worker = job->worker->index;
	record->result.error[0] = '\0';
	record->started_ns = now_ns;
	job->retry_after_ns = -1;
	job->record = record;
	job->cancel_sent = false;
	job->worker->current_id = record->result.id;
	return WEIR_OK;
}

static void
default_error(struct weir_record *record, const char *text)
{
	if (record->result.error[0] == '\0')
		snprintf(record->result.error, sizeof(record->result.error),
			 "%s", text);
}

void
weir__record_conclude(struct weir_record *record, weir_status status,
		      int64_t now_ns)
{
	weir_result *result = &record->result;

	result->status = status;
	result->total_ns = now_ns - record->accepted_ns;
	if (result->attempts == 0)
		result->wait_ns = result->total_ns;
	if (status == WEIR_OK)
		result->error[0] = '\0';
	else
		default_error(record, weir_status_message(status));
}

/* Would a failure with status be tried again, as things stand? */
static bool
wants_retry(const struct weir_record *record, weir_status status)
{
	return record->result.attempts <
		       weir__retry_attempts_max(record->retry) &&
	       record->kills < WEIR_POISON_KILLS &&
	       weir__retry_wants(record->retry, status) &&
	       weir_ctx_status(record->submit_ctx) == WEIR_OK &&
	       weir_ctx_status(record->pool->ctx) == WEIR_OK;
}

/*
 * When the next attempt is due, or 0 if that would be past the deadline of
 * whoever submitted the job: then there is no point in waiting.
 */
static int64_t
next_due_ns(struct weir_record *record, int64_t delay_ns, double unit,
	    int64_t now_ns)
{
	int64_t due_ns, deadline_ns;

	if (delay_ns < 0)
		delay_ns = weir_retry_delay_ns(record->retry,
					       record->result.attempts, unit);
	due_ns = weir__deadline_ns(now_ns, delay_ns);
	deadline_ns = weir__earlier_ns(weir_ctx_deadline_ns(record->submit_ctx),
				       weir_ctx_deadline_ns(record->pool->ctx));
	return due_ns <= deadline_ns ? due_ns : 0;
}

/* Put a failed job on the shelf. False if the pool takes none any more. */
static bool
back_off(struct weir_record *record, int64_t delay_ns, int64_t now_ns)
{
	weir_pool *pool = record->pool;
	struct weir_park *wake = NULL;
	bool shelved = false;
	int64_t due_ns;
	double unit;

	weir__mutex_lock(&pool->mu);
	unit = weir__rng_unit(&pool->rng);
	record->hurried = false;
	weir__mutex_unlock(&pool->mu);
	due_ns = next_due_ns(record, delay_ns, unit, now_ns);
	if (due_ns == 0)
		return false;
	/* Watched first: a cancellation from here on sets hurried. */
	if (!WEIR_MUTATED(ATTEMPT_SHELF_WATCH))
		weir__ctx_watch(record->submit_ctx, &record->watch);
	weir__mutex_lock(&pool->mu);
	if (WEIR_MUTATED(ATTEMPT_HURRIED_RESET))
		record->hurried = false;
	if (weir__pool_level(pool) < WEIR_LEVEL_SOON) {
		weir__key_release_locked(pool, record);
		weir__record_back_off_locked(pool, record, due_ns);
		weir__u64_bump(&pool->retries, 1);
		if (!WEIR_MUTATED(ATTEMPT_SHELF_WAKE))
			wake = weir__pool_notify_locked(pool);
		shelved = true;
	}
	weir__mutex_unlock(&pool->mu);
	weir__kick(wake);
	if (!shelved && !WEIR_MUTATED(ATTEMPT_SHELF_UNWATCH))
		weir__ctx_unwatch(&record->watch);
	return shelved;
}

bool
weir__attempt_end(weir_job *job, weir_status status, int64_t run_ns,
		  int64_t now_ns)
{
	struct weir_record *record = job->record;
	weir_status ctx_status;

	record->result.run_ns += run_ns;
	job->record = NULL;
	job->worker->current_id = 0;
	if (status != WEIR_OK) {
		ctx_status = weir_ctx_status(job->ctx);
		if (ctx_status != WEIR_OK)
			status = ctx_status;
	}
	weir__attempt_disarm(job);
	if (status != WEIR_OK && wants_retry(record, status)) {
		default_error(record, weir_status_message(status));
		/* Once on the shelf it may leave the pool before we go on. */
		weir__u32_sub(&job->worker->running, 1, WEIR_RELAXED);
		if (back_off(record, job->retry_after_ns, now_ns))
			return false;
		weir__u32_add(&job->worker->running, 1, WEIR_RELAXED);
		/* Shutting down: it could have been tried again, and was not.
		 */
		if (weir__pool_level(record->pool) >= WEIR_LEVEL_SOON)
			status = WEIR_CANCELED;
	}
	weir__record_conclude(record, status, now_ns);
	return true;
}

weir_status
weir_job_fail(weir_ctx *ctx, weir_status status, const char *format, ...)
{
	weir_job *job = weir__ctx_job(ctx);
	va_list args;

	if (job && job->record) {
		weir_result *result = &job->record->result;

		va_start(args, format);
		vsnprintf(result->error, sizeof(result->error), format, args);
		va_end(args);
	}
	return status == WEIR_OK ? WEIR_FAILED : status;
}

void
weir_job_retry_after(weir_ctx *ctx, int64_t delay_ns)
{
	weir_job *job = weir__ctx_job(ctx);

	if (job && job->record)
		job->retry_after_ns = delay_ns > 0 ? delay_ns : 0;
}

uint64_t
weir_job_id(weir_ctx *ctx)
{
	weir_job *job = weir__ctx_job(ctx);

	return job && job->record ? job->record->result.id : 0;
}

uint32_t
weir_job_attempt(weir_ctx *ctx)
{
	weir_job *job = weir__ctx_job(ctx);

	return job && job->record ? job->record->result.attempts : 0;
}

bool
weir_job_will_retry(weir_ctx *ctx, weir_status status)
{
	weir_job *job = weir__ctx_job(ctx);

	return job && job->record && wants_retry(job->record, status) &&
	       weir__pool_level(job->record->pool) < WEIR_LEVEL_SOON;
}

void *
weir_job_state(weir_ctx *ctx)
{
	weir_job *job = weir__ctx_job(ctx);

	return job ? job->worker->state : NULL;
}

void *
weir_job_data(const weir_job *job)
{
	return job->data;
}

void
weir_job_set_data(weir_job *job, void *data)
{
	job->data = data;
}

void
weir_job_done(weir_job *job, weir_status status)
{
	struct weir_worker *w = job->worker;

	weir__mutex_lock(&w->done_mu);
	weir_assert(weir__u32_load(&job->phase, WEIR_RELAXED) ==
		    WEIR_JOB_STARTED);
	job->status = status;
	weir__u32_store(&job->phase, WEIR_JOB_DONE, WEIR_RELAXED);
	weir__list_append(&w->done, &job->done_link);
	/* Under the lock: once it is free, worker and pool may be gone. */
	if (weir__worker_self() != w && !WEIR_MUTATED(ATTEMPT_DONE_WAKE))
		weir__worker_wake(w);
	weir__mutex_unlock(&w->done_mu);
}
