/*
 * Workers: the loops that take jobs, run them, and give the results.
 *
 * Design.  There are two loops.  A worker of plain jobs has one slot: it
 * takes a batch (one job, or several if they are short), runs them one after
 * the other, and gives what is finished.  A worker of asynchronous jobs has
 * many slots: it gives what has ended, begins what there is room for, and
 * waits until somebody calls weir_job_done(), a time-out is due, or new jobs
 * have come; the waiting is the host's if it gave a wait callback, which is
 * how a reactor's event loop and the worker are one thread.
 *
 * Both take from and give to the pool's ends (push.c, pull.c) and go to sleep
 * in the same way, described in README.md under "Waking up".
 *
 * Locking.  A worker's own fields need none.  done_mu guards the list through
 * which other threads end its jobs; it is a leaf.
 */
#include "core/pool.h"

#include "base/assert.h"
#include "sync/clock.h"

#include <stdio.h>
#include <stdlib.h>

static weir_thread_local struct weir_worker *worker_self;

struct weir_worker *
weir__worker_self(void)
{
	return worker_self;
}

bool
weir__worker_is_of(weir_pool *pool)
{
	const struct weir_worker *w = worker_self;

	while (w && w->pool != pool)
		w = w->outer;
	return w;
}

weir_status
weir__worker_new_locked(weir_pool *pool)
{
	struct weir_worker *w = calloc(1, sizeof(*w));

	if (!w)
		return WEIR_NOMEM;
	w->pool = pool;
	w->index = pool->worker_count;
	w->batch_want = 1;
	w->cost_ns = -1;
	weir__list_init(&w->resting);
	weir__list_init(&w->new_slots);
	weir__list_init(&w->free_slots);
	weir__list_init(&w->busy_slots);
	weir__list_init(&w->done);
	weir__mutex_init(&w->done_mu);
	weir__park_init(&w->park);
	pool->workers[pool->worker_count++] = w;
	return WEIR_OK;
}

void
weir__worker_free(struct weir_worker *w)
{
	weir__heap_fini(&w->timers);
	weir__mutex_fini(&w->done_mu);
	free(w);
}

weir_status
weir__worker_add_slots_locked(weir_pool *pool, struct weir_worker *w,
			      size_t count)
{
	weir_job *jobs;

	if (count == 0)
		return WEIR_OK;
	jobs = weir__pool_chunk_locked(pool, count * sizeof(*jobs));
	if (!jobs)
		return WEIR_NOMEM;
	for (size_t i = 0; i < count; i++) {
		jobs[i].worker = w;
		weir__list_init(&jobs[i].done_link);
		weir__list_append(&w->new_slots, &jobs[i].link);
	}
	w->slot_count += count;
	return WEIR_OK;
}

/*
 * Plain jobs: one slot each.  Asynchronous ones share the width, the first
 * workers taking what does not divide.
 */
uint32_t
weir__worker_share_locked(const weir_pool *pool, const struct weir_worker *w)
{
	uint32_t threads = pool->options.threads;
	uint32_t width = weir__u32_load(&pool->width, WEIR_RELAXED);

	if (!pool->async)
		return w->index < width ? 1 : 0;
	return width / threads + (w->index < width % threads);
}

void
weir__worker_wake(struct weir_worker *w)
{
	const weir_pool_options *options = &w->pool->options;

	if (options->wake)
		options->wake(w->state, options->user);
	else if (weir__park_signal(&w->park))
		weir__park_kick(&w->park);
}

/*
 * Pick up slots that a resize has made and say how many to use.  Without
 * memory for their timers, new slots are left for the next round: fewer jobs
 * at once, none lost.
 */
static uint32_t
worker_slots(struct weir_worker *w)
{
	weir_pool *pool = w->pool;
	struct weir_list *link;
	uint32_t share;

	weir__mutex_lock(&pool->mu);
	share = weir__worker_share_locked(pool, w);
	if (!weir__list_empty(&w->new_slots) &&
	    weir__heap_reserve(&w->timers, w->slot_count)) {
		while ((link = weir__list_pop(&w->new_slots)))
			weir__list_append(&w->free_slots, link);
	}
	weir__mutex_unlock(&pool->mu);
	return share;
}

/*
 * When an idle worker has to look again by itself, having found nothing when
 * it looked at looked_ns.  While the rate limit has no token, what else is due
 * makes no difference; whether it has one by now was not asked, so it is the
 * time of the look that counts.  The deadline of the run counts until
 * somebody has noticed that it has passed.
 */
static int64_t idle_deadline_locked(weir_pool *pool, int64_t looked_ns)
	WEIR_REQUIRES(pool->mu);

static int64_t
idle_deadline_locked(weir_pool *pool, int64_t looked_ns)
{
	int64_t due_ns =
		(int64_t)weir__u64_load(&pool->shelf_due_ns, WEIR_RELAXED);

	if (pool->limit_until_ns > looked_ns)
		due_ns = pool->limit_until_ns;
	if (weir__pool_level(pool) < WEIR_LEVEL_NOW)
		due_ns = weir__earlier_ns(due_ns,
					  weir_ctx_deadline_ns(pool->ctx));
	return due_ns;
}

/*
 * Sleep, with mu held, until something may have changed.  One of the idle
 * workers, the timekeeper, sleeps only until there is something to do; the
 * rest sleep until they are woken.
 */
static void idle_wait_locked(weir_pool *pool, int64_t looked_ns)
	WEIR_REQUIRES(pool->mu);

static void
idle_wait_locked(weir_pool *pool, int64_t looked_ns)
{
	int64_t began_ns = weir_now_ns();
	int64_t due_ns = idle_deadline_locked(pool, looked_ns);
	weir_status status;

	/* The timekeeper has to learn of what is due before it looks. */
	if (pool->has_timekeeper && due_ns < pool->keeper_due_ns)
		weir__waitq_wake_all(&pool->keeper);
	if (due_ns == WEIR_FOREVER || pool->has_timekeeper) {
		status = weir__waitq_wait(&pool->idle, &pool->mu, NULL,
					  WEIR_FOREVER);
	} else {
		pool->has_timekeeper = true;
		pool->keeper_due_ns = due_ns;
		status = weir__waitq_wait(&pool->keeper, &pool->mu, NULL,
					  due_ns);
		pool->has_timekeeper = false;
	}
	(void)status; /* woken or not, the caller looks again */
	pool->starved_ns += weir_now_ns() - began_ns;
}

/* Somebody has to mind the time while the one who did it runs a job. */
static void
replace_timekeeper(weir_pool *pool)
{
	struct weir_park *wake = NULL;

	weir__mutex_lock(&pool->mu);
	if (!pool->has_timekeeper)
		wake = weir__waitq_wake_one(&pool->idle);
	weir__mutex_unlock(&pool->mu);
	weir__kick(wake);
}

/*
 * The pool has become narrower: leave at once, whatever there is to do.  The
 * worker counts as gone from the moment that is decided, so that a pool which
 * grows again waits for this thread to end and starts another.
 */
static bool
is_beyond_width(struct weir_worker *w)
{
	weir_pool *pool = w->pool;

	if (pool->async ||
	    w->index < weir__u32_load(&pool->width, WEIR_RELAXED))
		return false;
	weir__mutex_lock(&pool->mu);
	w->gone = weir__worker_share_locked(pool, w) == 0;
	weir__mutex_unlock(&pool->mu);
	return w->gone;
}

static bool
must_leave(struct weir_worker *w)
{
	return weir__pool_is_finished(w->pool) || is_beyond_width(w);
}

/*
 * Take jobs, sleeping until there are some.  0: leave.
 *
 * The order matters: announce that we are about to sleep, look once more,
 * and only then sleep, unless something happened since we looked.
 */
static size_t
take_or_wait(struct weir_worker *w)
{
	weir_pool *pool = w->pool;
	bool hungry = false;
	size_t count = 0;
	uint32_t seen;

	if (is_beyond_width(w))
		return 0;
	count = pool->ends->take(pool, w, w->batch_want, &hungry);
	while (count == 0 && !must_leave(w)) {
		weir__u32_add(&pool->sleepers, 1, WEIR_SEQ_CST);
		seen = weir__u32_load(&pool->events, WEIR_SEQ_CST);
		w->now_ns = weir_now_ns();
		count = pool->ends->take(pool, w, w->batch_want, &hungry);
		if (count == 0 && !must_leave(w)) {
			weir__mutex_lock(&pool->mu);
			/* Short jobs are over for now: nobody is surplus. */
			weir__pull_wake_surplus_locked(pool);
			if (weir__u32_load(&pool->events, WEIR_SEQ_CST) ==
			    seen)
				idle_wait_locked(pool, w->now_ns);
			weir__mutex_unlock(&pool->mu);
			w->now_ns = weir_now_ns();
		}
		weir__u32_sub(&pool->sleepers, 1, WEIR_SEQ_CST);
		if (count > 0)
			replace_timekeeper(pool);
	}
	return count;
}

/*
 * Run w->batch[0 .. count - 1] and keep those that are finished, in order.
 * Several at a time are short: one look at the clock serves them all.
 */
static size_t
run_batch(struct weir_worker *w, weir_job *slot, size_t count)
{
	const weir_pool_options *options = &w->pool->options;
	weir_status status[WEIR_BATCH_MAX];
	bool begun[WEIR_BATCH_MAX];
	int64_t began_ns = w->now_ns, share_ns;
	size_t finished = 0;

	for (size_t i = 0; i < count; i++) {
		struct weir_record *record = w->batch[i];

		/* A time-out is the job's own, not shared by the batch. */
		status[i] = weir__attempt_begin(
			slot, record,
			i > 0 && record->timeout_ns != WEIR_FOREVER
				? weir_now_ns()
				: began_ns);
		begun[i] = status[i] == WEIR_OK;
		if (!begun[i])
			continue;
		status[i] = options->run(slot->ctx, record->in, record->out,
					 options->user);
		if (count > 1) {
			/* Ended below, when the time they took is known. */
			if (!weir__attempt_end(slot, status[i], 0,
					       began_ns)) {
				w->batch[i] = NULL;
			}
		}
	}
	w->now_ns = weir_now_ns();
	share_ns = (w->now_ns - began_ns) / (int64_t)count;
	if (count == 1 && begun[0] &&
	    !weir__attempt_end(slot, status[0], share_ns, w->now_ns))
		w->batch[0] = NULL;
	for (size_t i = 0; i < count; i++) {
		struct weir_record *record = w->batch[i];

		if (!record)
			continue;
		if (count > 1 && begun[i]) {
			record->result.run_ns += share_ns;
			record->result.total_ns =
				w->now_ns - record->accepted_ns;
		}
		w->batch[finished++] = record;
	}
	if (w->pool->pull)
		weir__pull_adapt(w, count, w->now_ns - began_ns, share_ns);
	return finished;
}

/* The whole life of a worker of plain jobs. */
static void
sync_loop(struct weir_worker *w)
{
	weir_pool *pool = w->pool;
	weir_job *slot;
	size_t count;

	worker_slots(w);
	slot = weir_container_of(weir__list_pop(&w->free_slots), weir_job,
				 link);
	w->now_ns = weir_now_ns();
	weir__u32_add(&pool->active, 1, WEIR_SEQ_CST);
	while ((count = take_or_wait(w)) > 0) {
		weir__u32_store(&w->running, (uint32_t)count, WEIR_RELAXED);
		count = run_batch(w, slot, count);
		weir__u32_store(&w->running, 0, WEIR_RELAXED);
		if (count > 0)
			pool->ends->give(pool, w, w->batch, count);
		if (w->cost_ns < WEIR_SHORT_JOB_NS && pool->pull &&
		    weir__u32_load(&pool->active, WEIR_RELAXED) > 1)
			weir__pull_rest(w);
	}
	weir__u32_sub(&pool->active, 1, WEIR_SEQ_CST);
	/* Those who are parked as surplus announce nothing; tell them. */
	weir__pool_notify_if_finished(pool);
	weir__list_append(&w->free_slots, &slot->link);
}

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
	/* Release: pairs with the look at phase in async_cancel(). */
	weir__u32_store(&job->phase, WEIR_JOB_STARTED, WEIR_RELEASE_ORDER);
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

		weir__mutex_lock(&w->done_mu);
		link = weir__list_pop(&w->done);
		weir__mutex_unlock(&w->done_mu);
		if (!link)
			break;
		job = weir_container_of(link, weir_job, done_link);
		record = job->record;
		weir__u32_store(&job->phase, WEIR_JOB_IDLE, WEIR_RELAXED);
		weir__heap_remove(&w->timers, &job->timer);
		if (weir__attempt_end(job, job->status,
				      w->now_ns - record->started_ns,
				      w->now_ns))
			w->batch[finished++] = record;
		weir__list_remove(&job->link);
		/* In front: its connection is the one still warm. */
		weir__list_prepend(&w->free_slots, &job->link);
		weir__u32_sub(&w->running, 1, WEIR_RELAXED);
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
	if (options->cancel && weir__u32_load(&job->phase, WEIR_ACQUIRE_ORDER) ==
				       WEIR_JOB_STARTED)
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
	if (!weir__u32_exchange(&w->ctx_fired, 0, WEIR_SEQ_CST))
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

	return first ? first->key : WEIR_FOREVER;
}

/* All slots are busy: only their ends and time-outs matter. */
static void
async_wait_busy(struct weir_worker *w)
{
	async_sleep(w, timer_due_ns(w), false);
}

/*
 * There are free slots: new jobs matter too.  The same announcing and looking
 * again as in take_or_wait().
 */
static void
async_wait_idle(struct weir_worker *w, uint32_t share)
{
	weir_pool *pool = w->pool;
	int64_t deadline_ns = 0;
	bool hungry = false, sleep;
	uint32_t seen;

	weir__u32_add(&pool->sleepers, 1, WEIR_SEQ_CST);
	seen = weir__u32_load(&pool->events, WEIR_SEQ_CST);
	w->now_ns = weir_now_ns();
	sleep = !async_fill(w, share, &hungry) && !has_done(w) &&
		!must_leave(w);
	weir__mutex_lock(&pool->mu);
	sleep = sleep && weir__u32_load(&pool->events, WEIR_SEQ_CST) == seen;
	if (sleep) {
		weir__list_append(&pool->resting, &w->resting);
		deadline_ns = weir__earlier_ns(
			timer_due_ns(w),
			idle_deadline_locked(pool, w->now_ns));
	}
	weir__mutex_unlock(&pool->mu);
	if (sleep) {
		async_sleep(w, deadline_ns, hungry);
		weir__mutex_lock(&pool->mu);
		weir__list_remove(&w->resting);
		weir__mutex_unlock(&pool->mu);
	}
	weir__u32_sub(&pool->sleepers, 1, WEIR_SEQ_CST);
}

/* The whole life of a worker of asynchronous jobs. */
static void
async_loop(struct weir_worker *w)
{
	bool hungry, full;

	w->now_ns = weir_now_ns();
	for (;;) {
		uint32_t share = worker_slots(w);

		weir__park_reset(&w->park);
		async_cancel_due(w);
		async_collect(w);
		full = async_fill(w, share, &hungry);
		if (!has_done(w)) {
			if (weir__u32_load(&w->running, WEIR_RELAXED) == 0 &&
			    must_leave(w))
				break;
			if (full)
				async_wait_busy(w);
			else
				async_wait_idle(w, share);
		}
		w->now_ns = weir_now_ns();
	}
	/* Others may have seen us ask the source, and wait for the outcome. */
	weir__pool_notify_if_finished(w->pool);
}

/*
 * Say how init went, and wait until all new workers have: a pool either
 * starts as a whole or not at all.
 */
static weir_status
report_and_wait(struct weir_worker *w, weir_status status)
{
	weir_pool *pool = w->pool;

	weir__mutex_lock(&pool->mu);
	weir_assert(pool->awaited > 0);
	pool->awaited--;
	if (status != WEIR_OK && pool->init_status == WEIR_OK)
		pool->init_status = status;
	if (pool->awaited == 0)
		weir__waitq_wake_all(&pool->started);
	while (pool->awaited > 0)
		if (weir__waitq_wait(&pool->started, &pool->mu, NULL,
				     WEIR_FOREVER) != WEIR_OK)
			weir_bug("a wait without an end ended");
	if (status == WEIR_OK)
		status = pool->init_status;
	weir__mutex_unlock(&pool->mu);
	return status;
}

static void
worker_leave(struct weir_worker *w)
{
	weir_pool *pool = w->pool;
	struct weir_list *link;

	weir__mutex_lock(&pool->mu);
	while (w->spare_len > 0)
		weir__record_put_locked(pool, w->spare[--w->spare_len]);
	w->gone = true;
	weir__mutex_unlock(&pool->mu);
	/* The contexts of its slots hang on the pool's. */
	for (link = w->free_slots.next; link != &w->free_slots;
	     link = link->next) {
		weir_job *job = weir_container_of(link, weir_job, link);

		if (!job->ctx)
			continue;
		weir__ctx_unwatch(&job->cancel_watch);
		job->ctx = weir_ctx_unref(job->ctx);
	}
}

weir_status
weir__worker_live(struct weir_worker *w)
{
	const weir_pool_options *options = &w->pool->options;
	weir_status own = WEIR_OK, status;

	w->outer = worker_self;
	worker_self = w;
	if (options->init)
		own = options->init(w->index, &w->state, options->user);
	status = report_and_wait(w, own);
	if (status == WEIR_OK && w->pool->async)
		async_loop(w);
	else if (status == WEIR_OK)
		sync_loop(w);
	worker_leave(w);
	if (own == WEIR_OK && options->exit)
		options->exit(w->index, w->state, options->user);
	worker_self = w->outer;
	return status;
}

void
weir__worker_main(void *arg)
{
	struct weir_worker *w = arg;

	w->signal_stack = weir__crash_stack_new();
	(void)weir__worker_live(w); /* the maker of the pool asks for it */
	weir__crash_stack_free(w->signal_stack);
}
