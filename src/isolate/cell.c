/*
 * One worker's process and the jobs in it: when to start it, how long to be
 * patient with it, what to make of its end.
 *
 *      run     start a process if there is none ── send ── wait
 *                 all answered            they have ended
 *                 it has died             the one it was in, and the rest
 *                                         was not begun
 *                 a millisecond           take back what has not begun
 *      finish  wait for the one ── its context is done ── SIGTERM ── SIGKILL
 *
 * Design.  While a batch is short nothing is looked at but the bell, so that
 * the thread is woken once.  A process that dies is buried at once, because
 * its status is the job's result, and replaced when the next job comes.
 *
 * Locking.  None; see cell.h.  Contexts are watched with no lock held.
 */
#include "isolate/cell.h"

#include "sync/clock.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

/* How long the jobs of a batch may hold each other up. */
#define PATIENCE_NS (1 * WEIR_MS)
/* A process that dies before it takes its job is replaced so often. */
#define TRIES       3
#define NEVER_BEGUN "processes for the job die before they begin it"

static void
watch_fire(struct weir_watch *watch, weir_status status, const char *why)
{
	struct weir_cell *cell =
		weir_container_of(watch, struct weir_cell, watch);

	(void)status;
	(void)why;
	(void)eventfd_write(cell->wake, 1);
}

/* Stop watching, and forget that it may have fired. */
static void
unwatch(struct weir_cell *cell)
{
	eventfd_t count;

	weir__ctx_unwatch(&cell->watch);
	(void)eventfd_read(cell->wake, &count);
}

/* Wait for one of them; false: deadline_ns came first. */
static bool
await(struct pollfd *polls, size_t count, int64_t deadline_ns)
{
	struct timespec left, *timeout = NULL;
	int64_t left_ns;

	if (deadline_ns != WEIR_FOREVER) {
		left_ns = deadline_ns - weir_now_ns();
		left_ns = left_ns > 0 ? left_ns : 0;
		left = (struct timespec){left_ns / WEIR_S, left_ns % WEIR_S};
		timeout = &left;
	}
	/* An interruption is no reason to give up, nor a deadline. */
	return ppoll(polls, count, timeout, NULL) != 0;
}

/* Wait as long as the pool's brake says, or ctx is done. */
static void
brake_wait(struct weir_cell *cell, weir_ctx *ctx)
{
	int64_t delay_ns = weir__isolator_delay_ns(cell->isolator);
	struct pollfd polls = {cell->wake, POLLIN, 0};
	int64_t until_ns;

	if (delay_ns == 0)
		return;
	until_ns = weir__earlier_ns(weir_now_ns() + delay_ns,
				    weir_ctx_deadline_ns(ctx));
	weir__ctx_watch(ctx, &cell->watch);
	while (await(&polls, 1, until_ns) && !(polls.revents & POLLIN))
		;
	unwatch(cell);
}

static void
recycle(struct weir_cell *cell)
{
	uint64_t answered = cell->answered;

	weir__process_end(cell);
	weir__isolator_note_end(cell->isolator, WEIR_END_RECYCLED, answered);
}

/* It has sent what is no answer, to no question in particular. */
static void
discard(struct weir_cell *cell)
{
	uint64_t answered = cell->answered;
	struct weir_cause cause;

	weir__process_bury(cell, &cause);
	weir__isolator_note_end(cell->isolator, WEIR_END_KILLED, answered);
}

/* A process that can take jobs; if not WEIR_OK, text says why not. */
static weir_status
process_ensure(struct weir_cell *cell, weir_ctx *ctx, char *text)
{
	weir_status status;

	if (cell->pid && cell->blame != WEIR_BLAME_NONE)
		discard(cell);
	if (cell->pid && weir__process_is_worn(cell, weir_now_ns()))
		recycle(cell);
	if (cell->pid)
		return WEIR_OK;
	brake_wait(cell, ctx);
	status = weir_ctx_status(ctx);
	return status == WEIR_OK ? weir__process_start(cell, text) : status;
}

/* The process has ended, or has to: who is to blame, and why. */
static void
bury(struct weir_cell *cell, struct weir_flight *flight, weir_status ctx_status)
{
	uint64_t answered = cell->answered;
	struct weir_cause cause;

	/* What it has said before it died, and what it has not taken. */
	if (cell->blame != WEIR_BLAME_GARBAGE &&
	    !weir__flight_collect(cell, flight))
		cell->blame = WEIR_BLAME_GARBAGE;
	if (cell->blame != WEIR_BLAME_NONE)
		weir__process_signal(cell, SIGKILL);
	weir__flight_take_back(cell, flight);
	weir__process_bury(cell, &cause);
	cause.ctx_status = ctx_status;
	weir__isolator_note_end(cell->isolator,
				cause.blame == WEIR_BLAME_LATE ||
						cause.blame ==
							WEIR_BLAME_GARBAGE
					? WEIR_END_KILLED
					: WEIR_END_DIED,
				answered);
	weir__flight_blame(flight, &cause);
}

static void
call_fail(struct weir_call *call, weir_status status, const char *text)
{
	call->ended = true;
	call->status = status;
	snprintf(call->error, sizeof(call->error), "%s", text);
}

/* Wait for a batch that is short; true: it is over, one way or another. */
static bool
batch_wait(struct weir_cell *cell, struct weir_flight *flight)
{
	struct pollfd polls[2] = {{cell->bell, POLLIN, 0},
				  {cell->pidfd, POLLIN, 0}};
	int64_t until_ns = weir_now_ns() + PATIENCE_NS;
	eventfd_t rung;

	while (await(polls, 2, until_ns)) {
		if (polls[1].revents) {
			bury(cell, flight, WEIR_OK);
			return true;
		}
		(void)eventfd_read(cell->bell, &rung);
		if (!weir__flight_collect(cell, flight)) {
			cell->blame = WEIR_BLAME_GARBAGE;
			bury(cell, flight, WEIR_OK);
			return true;
		}
		if (flight->ended == flight->count)
			return true;
	}
	return false;
}

/* Jobs are long: keep one that has begun, or else the first. */
static size_t
batch_break(struct weir_cell *cell, struct weir_flight *flight)
{
	size_t begun;

	cell->running_seq = flight->first;
	if (flight->count == 1)
		return 1;
	weir__flight_take_back(cell, flight);
	if (!weir__flight_collect(cell, flight))
		cell->blame = WEIR_BLAME_GARBAGE;
	cell->running_seq = weir__flight_running(flight);
	begun = weir__flight_sort(flight);
	if (begun == 0 && weir__flight_send(cell, flight, flight->calls, 1)) {
		cell->running_seq = flight->first;
		begun = 1;
	}
	return begun;
}

size_t
weir__cell_run(struct weir_cell *cell, struct weir_call *calls, size_t count,
	       weir_ctx *ctx)
{
	struct weir_flight flight;
	char text[WEIR_ERROR_MAX] = "";
	weir_status status;
	size_t begun = 0;

	for (int i = 0; i < TRIES && begun == 0; i++) {
		status = process_ensure(cell, ctx, text);
		if (status != WEIR_OK) {
			call_fail(&calls[0], status, text);
			return 1;
		}
		if (!weir__flight_send(cell, &flight, calls, count)) {
			call_fail(&calls[0], WEIR_SYSTEM,
				  "the job could not be sent to its process");
			return 1;
		}
		begun = batch_wait(cell, &flight) ? weir__flight_sort(&flight)
						  : batch_break(cell, &flight);
	}
	if (begun == 0) {
		call_fail(&calls[0], WEIR_SYSTEM, NEVER_BEGUN);
		begun = 1;
	}
	return begun;
}

/* Tell the job, or kill it; when to look again. */
static int64_t
press(struct weir_cell *cell, uint32_t seq, weir_ctx *ctx, int64_t *kill_ns)
{
	int64_t now_ns = weir_now_ns();

	if (weir_ctx_status(ctx) == WEIR_OK)
		return weir_ctx_deadline_ns(ctx);
	if (*kill_ns == WEIR_FOREVER) {
		weir__process_tell(cell, seq);
		*kill_ns = now_ns + cell->spec.limits.kill_after_ns;
	} else if (now_ns >= *kill_ns) {
		cell->blame = WEIR_BLAME_LATE;
		weir__process_signal(cell, SIGKILL);
		return WEIR_FOREVER;
	}
	return *kill_ns;
}

/* Wait for the one job that is on its way, for as long as it takes. */
static void
job_wait(struct weir_cell *cell, struct weir_flight *flight, weir_ctx *ctx)
{
	struct pollfd polls[3] = {{cell->heard, POLLIN, 0},
				  {cell->pidfd, POLLIN, 0},
				  {cell->wake, POLLIN, 0}};
	int64_t kill_ns = WEIR_FOREVER, until_ns;

	while (flight->ended == 0 && !flight->back[0]) {
		if (cell->blame == WEIR_BLAME_GARBAGE) {
			bury(cell, flight, weir_ctx_status(ctx));
			break;
		}
		until_ns = press(cell, flight->first, ctx, &kill_ns);
		/* Once it is told, there is nothing more to hear of ctx. */
		(void)await(polls, kill_ns == WEIR_FOREVER ? 3 : 2, until_ns);
		if (polls[1].revents)
			bury(cell, flight, weir_ctx_status(ctx));
		else if (polls[0].revents &&
			 !weir__flight_collect(cell, flight))
			cell->blame = WEIR_BLAME_GARBAGE;
		/* Nobody can say anything there any more. */
		else if ((polls[0].revents & (POLLIN | POLLHUP)) == POLLHUP)
			polls[0].fd = -1;
		polls[0].revents = polls[1].revents = 0;
	}
}

void
weir__cell_finish(struct weir_cell *cell, struct weir_call *call, weir_ctx *ctx)
{
	struct weir_flight flight = {
		.calls = call,
		.count = 1,
		.first = cell->running_seq,
	};
	char text[WEIR_ERROR_MAX] = "";
	weir_status status;

	for (int i = 1;; i++) {
		weir__ctx_watch(ctx, &cell->watch);
		job_wait(cell, &flight, ctx);
		unwatch(cell);
		if (call->ended)
			break;
		/* It died before it took the job: another one, then. */
		status = WEIR_SYSTEM;
		if (i < TRIES)
			status = process_ensure(cell, ctx, text);
		if (status != WEIR_OK ||
		    !weir__flight_send(cell, &flight, call, 1)) {
			call_fail(call,
				  status == WEIR_OK ? WEIR_SYSTEM : status,
				  text[0] ? text : NEVER_BEGUN);
			break;
		}
	}
}

/* Half of what a pipe holds at least, so that nobody ever waits to write. */
#define BATCH_BYTES ((size_t)32 * 1024)

/* How large are messages, and how many jobs go together? */
static void
measure(struct weir_cell *cell)
{
	size_t in = cell->spec.in_size, out = cell->spec.out_size;

	cell->small = weir__sizes_are_small(in, out);
	cell->record = sizeof(struct weir_job_frame);
	cell->batch_max = 1;
	if (cell->small) {
		cell->record = weir__record_size(in, out);
		cell->batch_max = BATCH_BYTES / (cell->record + WEIR_ERROR_MAX);
		if (cell->batch_max > WEIR_BATCH_MAX)
			cell->batch_max = WEIR_BATCH_MAX;
	}
	if (out > WEIR_INLINE_MAX)
		out = 0;
	cell->answer_max =
		sizeof(struct weir_answer_frame) + out + WEIR_ERROR_MAX + 1;
}

static void
cell_destroy(struct weir_cell *cell)
{
	weir__fd_close(&cell->wake);
	free(cell->records);
	free(cell->answers);
	free(cell);
}

weir_status
weir__cell_new(struct weir_isolator *isolator, uint32_t worker,
	       struct weir_cell **out)
{
	struct weir_cell *cell = calloc(1, sizeof(*cell));
	char text[WEIR_ERROR_MAX];
	weir_status status;

	if (!cell)
		return WEIR_NOMEM;
	cell->isolator = isolator;
	cell->spec = isolator->spec;
	cell->spec.worker = worker;
	cell->pidfd = cell->socket = cell->far = cell->bell = cell->statm = -1;
	cell->jobs = cell->heard = -1;
	weir__watch_init(&cell->watch, watch_fire);
	measure(cell);
	cell->records = calloc(cell->batch_max, cell->record);
	cell->answers = calloc(cell->batch_max, cell->answer_max);
	cell->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	status = WEIR_SYSTEM;
	if (!cell->records || !cell->answers)
		status = WEIR_NOMEM;
	else if (cell->wake >= 0)
		status = weir__process_start(cell, text);
	if (status != WEIR_OK) {
		cell_destroy(cell);
		return status;
	}
	*out = cell;
	return WEIR_OK;
}

void
weir__cell_free(struct weir_cell *cell)
{
	if (cell->pid)
		weir__process_end(cell);
	cell_destroy(cell);
}
