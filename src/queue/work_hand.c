/*
 * Between the lane and the loop: take and give, and how the loop is woken.
 *
 * Design.  Both sides meet under one mutex, for a few instructions each: a
 * take pops a line, a give appends to a list, and the loop takes or puts whole
 * lists.  Whatever takes longer - verdicts, texts, the store - is done outside.
 *
 * Waking the loop costs a system call, which is more than a short job takes.
 * So the loop says, under the same mutex, when it wants to be woken: after so
 * many jobs have ended, or when no more than so many are ready.  Who brings
 * that about rings, once; while the loop is awake nobody rings.
 *
 *      loop: asleep = true, conditions          lane: give, take
 *            (mu)                                     (mu) one holds now?
 *            ppoll(ring_fd, bell, timers) <──────────── write(ring_fd)
 *
 * The lane is poked only when it has found nothing to take since the last
 * poke, for the same reason.
 *
 * Locking.  mu; nothing is called with it held but lines, gates and clocks.
 */
#include "queue/work_inside.h"

#include "base/assert.h"

#include <errno.h>
#include <unistd.h>

void
weir__work_ring(weir_work *work)
{
	uint64_t one = 1;
	ssize_t n;

	do
		n = write(work->ring_fd, &one, sizeof(one));
	while (n < 0 && errno == EINTR);
	/* EAGAIN: it has been rung 2^64 - 2 times, and is heard all the same.
	 */
	weir_assert(n == sizeof(one) || errno == EAGAIN);
}

/* Is what the sleeping loop waits for there?  Then it is woken, once. */
static bool must_ring_locked(weir_work *work) WEIR_REQUIRES(work->mu);

static bool
must_ring_locked(weir_work *work)
{
	if (!work->asleep)
		return false;
	/* Something has ended, little is ready, or somebody waits for what is.
	 */
	if (!work->gate_was_shut && work->ended_len < work->wake_ended &&
	    (int64_t)work->ready.len > work->wake_ready &&
	    !(work->hungry && work->ready.len > 0 && !work->quiet))
		return false;
	work->asleep = false;
	return true;
}

static struct weir_held *take_locked(weir_work *work) WEIR_REQUIRES(work->mu);

static struct weir_held *
take_locked(weir_work *work)
{
	struct weir_held *held;
	int64_t now_ns = weir__clock_now(&work->clock);

	while ((held = weir__line_pop(&work->ready))) {
		weir_assert(held->place == WEIR_HELD_READY);
		if ((held->gates[0] || held->gates[1]) &&
		    !weir__gates_begin_locked(work, held, now_ns))
			continue;
		held->place = WEIR_HELD_TAKEN;
		held->taken_ns = work->moved_ns = now_ns;
		work->running++;
		return held;
	}
	work->hungry = true;
	return NULL;
}

weir_status
weir__work_take(weir_work *work, struct weir_claim **ret)
{
	weir_status status = WEIR_CLOSED;
	struct weir_held *held = NULL;
	bool ring = false;

	weir__mutex_lock(&work->mu);
	if (work->level == WEIR_WORK_ON && !work->over) {
		if (work->quiet)
			work->hungry = true;
		else
			held = take_locked(work);
		status = held ? WEIR_OK : WEIR_BUSY;
		ring = must_ring_locked(work);
	}
	weir__mutex_unlock(&work->mu);
	if (ring)
		weir__work_ring(work);
	if (held)
		*ret = held->claim;
	return status;
}

static void
put(struct weir_held *held)
{
	weir_work *work = held->work;
	int64_t now_ns;
	bool ring;

	weir__mutex_lock(&work->mu);
	weir_assert(held->place == WEIR_HELD_TAKEN && work->running > 0);
	now_ns = weir__clock_now(&work->clock);
	work->sample.took_ns += now_ns - held->taken_ns;
	work->sample.ended++;
	if (held->gates[0] || held->gates[1])
		weir__gates_leave_locked(work, held, now_ns);
	held->place = WEIR_HELD_ENDED;
	weir__list_append(&work->ended, &held->link);
	work->ended_len++;
	work->running--;
	ring = must_ring_locked(work);
	weir__mutex_unlock(&work->mu);
	/* From here on it is the loop's: it may be gone. */
	if (ring)
		weir__work_ring(work);
}

void
weir__work_give(weir_work *work, struct weir_claim *claim,
		const struct weir_outcome *outcome)
{
	struct weir_held *held = claim->user;

	weir_assert(held->work == work && held->claim == claim);
	weir__held_conclude(held, outcome);
	put(held);
}

void
weir__work_give_back(weir_work *work, struct weir_claim *claim)
{
	struct weir_held *held = claim->user;

	weir_assert(held->work == work && held->claim == claim);
	held->finish.verdict = WEIR_VERDICT_RELEASE;
	put(held);
}

/* Which kinds are to be left out of the next wants? */
static bool note_left_out_locked(weir_work *work) WEIR_REQUIRES(work->mu);

static bool
note_left_out_locked(weir_work *work)
{
	bool reopened = false, enough;

	for (size_t i = 0; i < work->kind_count; i++) {
		struct weir_gate *gate = work->kinds[i].gate;

		if (!gate)
			continue;
		enough = weir__gate_has_enough(gate);
		reopened |= gate->left_out && !enough;
		gate->left_out = enough;
	}
	return reopened;
}

void
weir__work_collect(weir_work *work, int64_t now_ns, struct weir_work_look *ret)
{
	struct weir_pace_sample sample;
	struct weir_list ended, *link;

	weir__list_init(&ended);
	weir__mutex_lock(&work->mu);
	weir_assert(weir__list_empty(&work->ended) == (work->ended_len == 0));
	weir__list_splice(&ended, &work->ended);
	work->ended_len = 0;
	sample = work->sample;
	memset(&work->sample, 0, sizeof(work->sample));
	ret->gate_at_ns = weir__gates_open_locked(work, now_ns, &ret->stalled);
	work->gate_was_shut = false;
	ret->reopened = note_left_out_locked(work);
	ret->running = work->running;
	ret->ready = work->ready.len;
	ret->moved_ns = work->moved_ns;
	ret->level = work->level;
	ret->quiet = work->quiet;
	ret->poke = work->hungry && work->ready.len > 0 && !work->quiet;
	if (ret->poke)
		work->hungry = false;
	weir__mutex_unlock(&work->mu);
	weir__pace_note(&work->pace, &sample);
	while ((link = weir__list_pop(&ended)))
		weir__held_pend(weir_container_of(link, struct weir_held, link),
				now_ns);
}

/* Those without gates are put into place before the lock is taken. */
static void
sort_plain(struct weir_list *jobs, struct weir_line *plain)
{
	struct weir_list *link = jobs->next, *next;

	for (; link != jobs; link = next) {
		struct weir_held *held =
			weir_container_of(link, struct weir_held, link);

		weir_assert(held->place == WEIR_HELD_FREE);
		next = link->next;
		if (held->gates[0] || held->gates[1])
			continue;
		weir__list_remove(link);
		held->place = WEIR_HELD_READY;
		held->passed = 2;
		weir__line_push(plain, held);
	}
}

bool
weir__work_hand_over(weir_work *work, struct weir_list *jobs)
{
	struct weir_line plain;
	struct weir_list *link;
	int64_t now_ns;
	bool poke;

	weir_assert(!weir__list_empty(jobs));
	weir__line_init(&plain);
	sort_plain(jobs, &plain);
	weir__mutex_lock(&work->mu);
	now_ns = weir__clock_now(&work->clock);
	if (work->ready.len == 0)
		work->moved_ns = now_ns;
	for (size_t i = 0; i < WEIR_PRIORITY_LAST; i++)
		weir__list_splice(&work->ready.lists[i], &plain.lists[i]);
	work->ready.len += plain.len;
	while ((link = weir__list_pop(jobs)))
		weir__gates_enter_locked(
			work, weir_container_of(link, struct weir_held, link),
			now_ns);
	poke = work->hungry && work->ready.len > 0;
	if (poke)
		work->hungry = false;
	weir__mutex_unlock(&work->mu);
	return poke;
}

/* Whatever place it waits in, it leaves it. */
static bool withdraw_locked(weir_work *work, struct weir_held *held)
	WEIR_REQUIRES(work->mu);

static bool
withdraw_locked(weir_work *work, struct weir_held *held)
{
	if (held->place == WEIR_HELD_READY)
		weir__line_remove(&work->ready, held);
	else if (held->place == WEIR_HELD_GATE)
		weir__line_remove(&held->gates[held->passed]->line, held);
	else
		return false;
	/* Before its place changes: that says what it has passed. */
	weir__gates_leave_locked(work, held, weir__clock_now(&work->clock));
	held->place = WEIR_HELD_FREE;
	return true;
}

/* The loop's own: it walks along all that is held, which is its list. */
void
weir__work_take_back(weir_work *work, int64_t now_ns)
{
	struct weir_list *link;
	bool withdrawn;

	for (link = work->held.next; link != &work->held; link = link->next) {
		struct weir_held *held =
			weir_container_of(link, struct weir_held, all);

		weir__mutex_lock(&work->mu);
		withdrawn = withdraw_locked(work, held);
		weir__mutex_unlock(&work->mu);
		if (!withdrawn)
			continue;
		held->finish.verdict = WEIR_VERDICT_RELEASE;
		weir__held_pend(held, now_ns);
	}
}

/* Does it wait at a gate where too many do? */
static bool
is_excess(const struct weir_held *held, int64_t now_ns)
{
	return held->place == WEIR_HELD_GATE &&
	       weir__gate_is_stalled(held->gates[held->passed], now_ns);
}

/* The last to come are the first to go. */
void
weir__work_take_back_excess(weir_work *work, int64_t now_ns)
{
	struct weir_list *link;
	bool withdrawn;

	for (link = work->held.prev; link != &work->held; link = link->prev) {
		struct weir_held *held =
			weir_container_of(link, struct weir_held, all);

		weir__mutex_lock(&work->mu);
		withdrawn =
			is_excess(held, now_ns) && withdraw_locked(work, held);
		weir__mutex_unlock(&work->mu);
		if (!withdrawn)
			continue;
		held->finish.verdict = WEIR_VERDICT_RELEASE;
		weir__held_pend(held, now_ns);
	}
}

bool
weir__work_revoke(struct weir_held *held, int64_t now_ns)
{
	struct weir_outcome outcome = WEIR_OUTCOME_INIT;
	weir_work *work = held->work;
	bool withdrawn, taken;

	weir_assert(held->claim->user == held);
	weir__mutex_lock(&work->mu);
	held->cancelled = true;
	withdrawn = withdraw_locked(work, held);
	taken = held->place == WEIR_HELD_TAKEN;
	weir__mutex_unlock(&work->mu);
	if (withdrawn) {
		outcome.status = WEIR_CANCELED;
		weir__held_conclude(held, &outcome);
		weir__held_pend(held, now_ns);
	}
	return taken;
}

bool
weir__work_is_taken(struct weir_held *held)
{
	weir_work *work = held->work;
	bool taken;

	weir__mutex_lock(&work->mu);
	taken = held->place == WEIR_HELD_TAKEN;
	weir__mutex_unlock(&work->mu);
	return taken;
}

bool
weir__work_fall_asleep(weir_work *work, uint32_t wake_ended, int64_t wake_ready)
{
	bool asleep;

	weir__mutex_lock(&work->mu);
	weir_assert(!work->asleep);
	work->wake_ended = wake_ended;
	work->wake_ready = wake_ready;
	/* What has risen since the loop last looked is to be seen first. */
	work->asleep = work->level == work->seen_level &&
		       work->quiet == work->seen_quiet;
	asleep = work->asleep && !must_ring_locked(work);
	weir__mutex_unlock(&work->mu);
	return asleep;
}

void
weir__work_wake_up(weir_work *work)
{
	weir__mutex_lock(&work->mu);
	work->asleep = false;
	weir__mutex_unlock(&work->mu);
}

void
weir__work_quiet(weir_work *work, bool quiet)
{
	bool changes;

	weir__mutex_lock(&work->mu);
	changes = quiet != work->quiet;
	work->quiet = quiet;
	work->asleep = work->asleep && !changes;
	weir__mutex_unlock(&work->mu);
	if (changes)
		weir__work_ring(work);
}

void
weir_work_stop(weir_work *work, bool now)
{
	enum weir_work_level level = now ? WEIR_WORK_NOW : WEIR_WORK_SOON;
	bool rises;

	weir_assert(level != WEIR_WORK_ON);
	weir__mutex_lock(&work->mu);
	rises = level > work->level;
	if (rises) {
		weir__u32_store(&work->stopping, 1, WEIR_RELAXED);
		work->level = level;
		work->asleep = false;
	}
	weir__mutex_unlock(&work->mu);
	if (rises)
		weir__work_ring(work);
}
