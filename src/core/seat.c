/*
 * A seat: what the process of an isolated job has of a pool.
 *
 * Design.  A job asks the library who it is by its context (weir/job.h), and
 * the context leads to a slot, the slot to a record.  A seat is one of each,
 * with a pool around them that only the options of are filled in, so that
 * weir_job_fail() and its like need not know that they are elsewhere.
 *
 * Locking.  One thread.  weir__seat_cancel() interrupts it, in a handler of
 * signals, anywhere: it writes atomics and takes no lock.
 */
#include "core/isolated.h"

#include "base/assert.h"
#include "core/pool.h"

#include <stdio.h>
#include <stdlib.h>

struct weir_seat {
	weir_pool pool;
	struct weir_worker worker;
	weir_job job;
	struct weir_record record;
	/*
	 * The context of the job that runs, or 0; atomic, written by the
	 * thread that is interrupted.
	 */
	struct weir_u64 running;
	/* The last job that was to be cancelled; atomic, by the handler. */
	struct weir_u64 told;
};

struct weir_seat *
weir__seat_new(const weir_pool_options *options, uint32_t worker, void *state)
{
	struct weir_seat *seat = calloc(1, sizeof(*seat));

	/* unreached: a process that has just begun has memory */
	if (!seat)
		return NULL;
	/* unreached: the same */
	if (weir_ctx_new(&seat->pool.ctx, NULL, WEIR_FOREVER) != WEIR_OK) {
		free(seat);
		return NULL;
	}
	seat->pool.options = *options;
	seat->worker.pool = &seat->pool;
	seat->worker.index = worker;
	seat->worker.state = state;
	seat->job.worker = &seat->worker;
	seat->record.pool = &seat->pool;
	seat->record.place = WEIR_PLACE_HELD;
	return seat;
}

void
weir__seat_free(struct weir_seat *seat)
{
	weir_ctx_unref(seat->job.ctx);
	weir_ctx_unref(seat->pool.ctx);
	free(seat);
}

/* The earlier of what the job may take and its submitter's deadline. */
static int64_t
time_left_ns(const struct weir_call *call, int64_t now_ns)
{
	if (call->deadline_ns == WEIR_FOREVER)
		return call->timeout_ns;
	return weir__earlier_ns(
		call->timeout_ns,
		call->deadline_ns > now_ns ? call->deadline_ns - now_ns : 0);
}

static weir_status
begin(struct weir_seat *seat, const struct weir_call *call, void *out)
{
	struct weir_record *record = &seat->record;
	int64_t now_ns = 0;

	/* The clock is for deadlines only. */
	if (call->timeout_ns != WEIR_FOREVER ||
	    call->deadline_ns != WEIR_FOREVER)
		now_ns = weir_now_ns();
	record->out = out;
	record->retry = call->retry;
	record->timeout_ns = time_left_ns(call, now_ns);
	record->result.id = call->id;
	record->result.attempts = call->attempt - 1;
	return weir__attempt_begin(&seat->job, record, now_ns);
}

static void
cancel_running(struct weir_seat *seat)
{
	weir_ctx *ctx = weir__pointer_of(
		weir__u64_load(&seat->running, WEIR_ACQUIRE_ORDER));
	weir_status status = WEIR_CANCELED;

	if (!ctx)
		return;
	/* Told at its deadline, it has timed out, a moment early at most. */
	if (ctx->deadline_ns != WEIR_FOREVER &&
	    weir_now_ns() >= ctx->deadline_ns - WEIR_MS)
		status = WEIR_TIMEDOUT;
	(void)weir__u32_cas(&ctx->state, WEIR_OK, status, WEIR_ACQ_REL);
	weir__park_interrupt(ctx);
}

void
weir__seat_run(struct weir_seat *seat, struct weir_call *call, const void *in,
	       void *out)
{
	const weir_pool_options *options = &seat->pool.options;
	weir_job *job = &seat->job;

	call->ended = true;
	call->died = false;
	call->retry_after_ns = -1;
	call->error[0] = '\0';
	call->status = begin(seat, call, out);
	/* unreached: no memory for the first context of a process */
	if (call->status != WEIR_OK)
		return;
	/* Release: the context is as it should be; for the handler. */
	weir__u64_store(&seat->running, weir__pointer_bits(job->ctx),
			WEIR_RELEASE_ORDER);
	/* Told before it ran?  Looked at now, for now the handler sees it. */
	if (weir__u64_load(&seat->told, WEIR_ACQUIRE_ORDER) == call->number)
		cancel_running(seat);
	call->status = options->run(job->ctx, in, out, options->user);
	weir__u64_store(&seat->running, 0, WEIR_RELEASE_ORDER);
	call->retry_after_ns = job->retry_after_ns;
	if (call->status != WEIR_OK)
		memcpy(call->error, seat->record.result.error,
		       sizeof(call->error));
	job->record = NULL;
	weir__attempt_disarm(job);
}

void
weir__seat_cancel(struct weir_seat *seat, uint64_t number)
{
	if (number != 0)
		weir__u64_store(&seat->told, number, WEIR_RELEASE_ORDER);
	cancel_running(seat);
}
