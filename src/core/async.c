/*
 * The loop of a worker of asynchronous jobs.
 *
 * Design.  The worker has many slots.  Round by round it tells jobs whose
 * contexts are done, gives the results of jobs that have ended, begins what
 * there is room for, and waits until somebody calls weir_job_done(), a
 * time-out is due, or new jobs have come.  The waiting is the host's if it
 * gave a wait callback, which is how a reactor's event loop and the worker
 * are one thread.
 *
 *      free slot --begin--> busy, STARTED --weir_job_done()--> DONE
 *          ^                                                    |
 *          `--------------------- collect ----------------------'
 *
 * Locking.  Slots are the worker's own.  done_mu guards the list through which
 * other threads end its jobs; it is a leaf, but for the wake-up under it.
 */
#include "core/pool.h"

#include "base/assert.h"
#include "sync/clock.h"

/* Begin one asynchronous job.  False: it was over before it began. */
static bool
async_begin(struct weir_worker *w, struct weir_record *record)
{
	const weir_pool_options *options = &w->pool->options;
	weir_job *job = weir_container_of(w->free_slots.next, weir_job, link);
	weir_status status = weir__attempt_begin(job, record, w->now_ns);
	int64_t deadline_ns;

	if (status != WEIR_OK)
		return false;
	weir__list_remove(&job->link);
	weir__list_append(&w->busy_slots, &job->link);
	weir__u32_add(&w->running, 1, WEIR_RELAXED);
	deadline_ns = weir_ctx_deadline_ns(job->ctx);
	if (deadline_ns != WEIR_FOREVER) {
		job->timer.key = deadline_ns;
		weir__heap_push(&w->timers, &job->timer);
	}
	weir__u32_store(&job->phase, WEIR_JOB_STARTED, WEIR_RELAXED);
	status = options->start(job->ctx, job, record->in, record->out,
				options->user);
	if (status != WEIR_OK)
		weir_job_done(job, status);
	return true;
}

/*
 * Begin jobs while there are free slots and jobs for them.  False: the source
 * has nothing more just now.
 */
static bool
async_fill(struct weir_worker *w, uint32_t share, bool *hungry)
{
	weir_pool *pool = w->pool;

	while (weir__u32_load(&w->running, WEIR_RELAXED) < share &&
	       !weir__list_empty(&w->free_slots)) {
		if (pool->ends->take(pool, w, 1, hungry) == 0)
			return false;
		if (!async_begin(w, w->batch[0]))
			pool->ends->give(pool, w, w->batch, 1);
	}
	return true;
}

/* Free the slots of jobs that have ended, and deliver what is finished. */
static void
async_collect(struct weir_worker *w)
{
	weir_pool *pool = w->pool;
	struct weir_list *link;
	size_t finished = 0;

	for (;;) {
		struct weir_record *record;
		weir_job *job;
		bool ended;

		weir__mutex_lock(&w->done_mu);
		link = weir__list_pop(&w->done);
		weir__mutex_unlock(&w->done_mu);
		if (!link)
			break;
		job = weir_container_of(link, weir_job, done_link);
		record = job->record;
		weir__u32_store(&job->phase, WEIR_JOB_IDLE, WEIR_RELAXED);
		weir__heap_remove(&w->timers, &job->timer);
		ended = weir__attempt_end(job, job->status,
					  w->now_ns - record->started_ns,
					  w->now_ns);
		if (ended) {
			weir__u32_sub(&w->running, 1, WEIR_RELAXED);
			w->batch[finished++] = record;
		}
		weir__list_remove(&job->link);
		/* In front: its connection is the one still warm. */
		weir__list_prepend(&w->free_slots, &job->link);
		if (finished == WEIR_BATCH_MAX) {
			pool->ends->give(pool, w, w->batch, finished);
			finished = 0;
		}
	}
	if (finished > 0)
		pool->ends->give(pool, w, w->batch, finished);
}

/* Tell a running job, once, that its context is done. */
static void
async_cancel(struct weir_worker *w, weir_job *job)
{
	const weir_pool_options *options = &w->pool->options;

	if (job->cancel_sent || weir_ctx_status(job->ctx) == WEIR_OK)
		return;
	job->cancel_sent = true;
	/* A done of another thread's may be missed: the two may cross. */
	if (options->cancel &&
	    weir__u32_load(&job->phase, WEIR_RELAXED) == WEIR_JOB_STARTED)
		options->cancel(job->ctx, job, options->user);
}

/* Attempts that are out of time, and those whose contexts were cancelled. */
static void
async_cancel_due(struct weir_worker *w)
{
	struct weir_heap_node *first;
	struct weir_list *link, *next;

	while ((first = weir__heap_top(&w->timers)) &&
	       first->key <= w->now_ns) {
		weir__heap_remove(&w->timers, first);
		async_cancel(w, weir_container_of(first, weir_job, timer));
	}
	/*
	 * Acquire: pairs with cancel_fire() in attempt.c.  One that comes
	 * later has yet to wake us, and the park was reset before.
	 */
	if (!weir__u32_exchange(&w->ctx_fired, 0,
				WEIR_ORDER(ASYNC_FIRED_ORDER,
					   WEIR_ACQUIRE_ORDER, WEIR_RELAXED)))
		return;
	for (link = w->busy_slots.next; link != &w->busy_slots; link = next) {
		next = link->next;
		async_cancel(w, weir_container_of(link, weir_job, link));
	}
}

static bool
has_done(struct weir_worker *w)
{
	bool any;

	weir__mutex_lock(&w->done_mu);
	any = !weir__list_empty(&w->done);
	weir__mutex_unlock(&w->done_mu);
	return any;
}

/* The wait itself: the host's event loop, or our own bed. */
static void
async_sleep(struct weir_worker *w, int64_t deadline_ns, bool hungry)
{
	const weir_pool_options *options = &w->pool->options;

	if (options->wait)
		options->wait(w->state, deadline_ns, hungry, options->user);
	else
		weir__park_wait(&w->park, deadline_ns);
}

static int64_t
timer_due_ns(const struct weir_worker *w)
{
	const struct weir_heap_node *first = weir__heap_top(&w->timers);

	return first && !WEIR_MUTATED(ASYNC_TIMER) ? first->key : WEIR_FOREVER;
}

/* All slots are busy: only their ends and time-outs matter. */
static void
async_wait_busy(struct weir_worker *w)
{
	async_sleep(w, timer_due_ns(w), false);
}

/*
 * There are free slots: new jobs matter too.  The same announcing and looking
 * again as in weir__worker_take().
 */
static void
async_wait_idle(struct weir_worker *w, uint32_t share)
{
	weir_pool *pool = w->pool;
	int64_t deadline_ns = 0;
	bool hungry = false, sleep;
	uint32_t seen;

	weir__u32_add(
		&pool->sleepers, 1,
		WEIR_ORDER(ASYNC_SLEEPER_ORDER, WEIR_SEQ_CST, WEIR_RELAXED));
	seen = weir__u32_load(&pool->events, WEIR_SEQ_CST);
	w->now_ns = weir_now_ns();
	sleep = (WEIR_MUTATED(ASYNC_LOOK_AGAIN) ||
		 !async_fill(w, share, &hungry)) &&
		(WEIR_MUTATED(ASYNC_IDLE_DONE) || !has_done(w)) &&
		(WEIR_MUTATED(ASYNC_IDLE_LEAVE) || !weir__worker_must_leave(w));
	weir__mutex_lock(&pool->mu);
	sleep = sleep && (weir__u32_load(&pool->events, WEIR_RELAXED) == seen ||
			  WEIR_MUTATED(ASYNC_EVENTS));
	if (sleep) {
		weir__list_append(&pool->resting, &w->resting);
		deadline_ns = weir__earlier_ns(
			timer_due_ns(w),
			weir__idle_deadline_locked(pool, w->now_ns));
	}
	weir__mutex_unlock(&pool->mu);
	if (sleep) {
		int64_t began_ns = weir_now_ns();

		async_sleep(w, deadline_ns, hungry);
		weir__mutex_lock(&pool->mu);
		pool->starved_ns += weir_now_ns() - began_ns;
		weir__list_remove(&w->resting);
		weir__mutex_unlock(&pool->mu);
	}
	weir__u32_sub(&pool->sleepers, 1, WEIR_SEQ_CST);
}

/* The whole life of a worker of asynchronous jobs. */
void
weir__async_loop(struct weir_worker *w)
{
	bool hungry, full;

	w->now_ns = weir_now_ns();
	for (;;) {
		uint32_t share = weir__worker_slots(w);

		if (!WEIR_MUTATED(ASYNC_RESET_LATE))
			weir__park_reset(&w->park);
		async_cancel_due(w);
		async_collect(w);
		full = async_fill(w, share, &hungry);
		if (WEIR_MUTATED(ASYNC_RESET_LATE))
			weir__park_reset(&w->park);
		if (WEIR_MUTATED(ASYNC_BUSY_DONE) || !has_done(w)) {
			if (weir__u32_load(&w->running, WEIR_RELAXED) == 0 &&
			    weir__worker_must_leave(w))
				break;
			if (full)
				async_wait_busy(w);
			else
				async_wait_idle(w, share);
		}
		w->now_ns = weir_now_ns();
	}
	/* Others may have seen us ask the source, and wait for the outcome. */
	if (!WEIR_MUTATED(ASYNC_LEAVE_TELL))
		weir__pool_notify_if_finished(w->pool);
}
