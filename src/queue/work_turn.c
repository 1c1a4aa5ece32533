/*
 * A visit to the store: when, for what, and what comes of it.
 *
 * Design.  One turn does both: it writes what is pending and claims what there
 * is room for, in one commit.  While it is under way, the next outcomes come
 * together by themselves.  So that short jobs do not have the store visited
 * for a handful each, the loop is *patient* as long as plenty is ready: it
 * waits until a quarter of what it claims ahead has ended, for 5 ms at most.
 * With less than half of that ready it is not, so the last job of all, and a
 * long one, is written at once.
 *
 *      ready:  0 ......... ahead/2 ............... ahead
 *              claim, write    | write by the quarter,
 *              at once         | claim nothing
 *
 * What is wanted is shared out between the queues that may have jobs, the first
 * of which is another each time.  A queue whose want was not filled is not
 * asked again until there is a reason to: the store's bell, a job of ours that
 * goes back, a promotion, a sweep.
 *
 * A limit of all workers together is the store's affair (store.h, limited): it
 * says that jobs wait for one, and when to ask again.
 *
 * A store may hold what it has claimed, and write it when all of it has ended
 * or a while has passed (store.h, may_hold).  What it says BUSY to stays
 * pending, in a line of its own, and goes along with each turn; it is no reason
 * for one, but that the store says when it has to see us.
 *
 * Locking.  All of it is the loop's.
 */
#include "queue/work_inside.h"

#include "base/assert.h"

#include <stdlib.h>

#define PATIENCE_NS (5 * WEIR_MS)
#define FINISH_MAX  4096
#define FINISH_FEW  64

uint32_t
weir__work_ahead(const weir_work *work)
{
	/* A store in trouble, or short of memory, is asked for little. */
	if (work->turn_trouble.on)
		return 0;
	if (work->options.prefetch > 0)
		return work->options.prefetch;
	return weir__pace_ahead(&work->pace, work->lane.width);
}

void
weir__work_expect_jobs(weir_work *work)
{
	for (size_t i = 0; i < work->queue_count; i++)
		work->queues[i].may_have = true;
}

bool
weir__work_expects_jobs(const weir_work *work)
{
	for (size_t i = 0; i < work->queue_count; i++)
		if (work->queues[i].may_have)
			return true;
	return false;
}

/* Is that kind at its limit, with enough of it waiting? */
static bool
is_left_out(const weir_work *work, const char *name)
{
	const struct weir_kind *kind = weir__work_kind(work, name);

	return kind && kind->gate && kind->gate->left_out;
}

/* Say which kinds are wanted.  False: none. */
static bool
name_kinds(weir_work *work)
{
	const struct weir_lane *lane = &work->lane;
	bool listed = lane->kinds && !lane->kinds_left_out;
	size_t n = 0;

	/* What the lane runs, or does not, and what is at its limit. */
	for (size_t i = 0; lane->kinds && i < lane->kind_count; i++)
		if (!listed || !is_left_out(work, lane->kinds[i]))
			work->kind_names[n++] = lane->kinds[i];
	for (size_t i = 0; !listed && i < work->kind_count; i++)
		if (work->kinds[i].gate && work->kinds[i].gate->left_out)
			work->kind_names[n++] = work->kinds[i].handler.kind;
	weir_assert(n <= lane->kind_count + work->kind_count);
	work->kind_name_count = n;
	work->kind_names_left_out = !listed;
	return !listed || n > 0;
}

/* How many of its jobs a queue with a width has room for. */
static uint32_t
queue_room(const weir_work *work, const struct weir_queue_state *queue,
	   uint32_t ahead)
{
	uint64_t most;

	weir_assert(work->lane.width > 0);
	if (!queue->may_have)
		return 0;
	if (queue->width == 0)
		return UINT32_MAX;
	/* Its share of what is claimed ahead. */
	most = queue->width + (uint64_t)ahead * queue->width / work->lane.width;
	if (most <= queue->held)
		return 0;
	return most - queue->held < UINT32_MAX ? (uint32_t)(most - queue->held)
					       : UINT32_MAX;
}

static void
want_of(weir_work *work, struct weir_queue_state *queue, uint32_t count,
	bool alone)
{
	struct weir_want *want = &work->wants[work->want_count++];

	weir_assert(work->want_count <= work->queue_count && count > 0);
	queue->want = count;
	want->queue = queue->name;
	want->count = count;
	want->alone = alone;
}

/* Share room out, beginning with another queue each time. */
static uint32_t
share_out(weir_work *work, uint32_t room, uint32_t ahead)
{
	size_t asked = 0, first = work->first_queue;
	uint32_t wanted = 0;

	weir_assert(work->queue_count > 0 && first < work->queue_count);
	for (size_t i = 0; i < work->queue_count; i++)
		asked += queue_room(work, &work->queues[i], ahead) > 0;
	for (size_t i = 0; i < work->queue_count && room > 0; i++) {
		struct weir_queue_state *queue =
			&work->queues[(first + i) % work->queue_count];
		uint32_t most = queue_room(work, queue, ahead), share;

		if (most == 0)
			continue;
		weir_assert(asked > 0);
		/* Rounded up: the first have what is left over. */
		share = (uint32_t)((room + asked - 1) / asked);
		asked--;
		if (share > most)
			share = most;
		want_of(work, queue, share, false);
		room -= share;
		wanted += share;
	}
	work->first_queue = (first + 1) % work->queue_count;
	return wanted;
}

/*
 * Jobs that wait for a limit are asked for when it may let them through: it is
 * time, or the turn tells of some that have ended.
 */
static void
heed_limits(weir_work *work, int64_t now_ns)
{
	if (!work->limited ||
	    (work->pending_len == 0 && now_ns < work->limited_at_ns))
		return;
	work->limited_at_ns = WEIR_FOREVER;
	weir__work_expect_jobs(work);
}

uint32_t
weir__work_wants(weir_work *work, const struct weir_work_look *look,
		 int64_t now_ns)
{
	uint32_t ahead = weir__work_ahead(work);
	int64_t room =
		(int64_t)work->lane.width + ahead - look->running - look->ready;
	bool alone = false;

	heed_limits(work, now_ns);
	work->want_count = 0;
	work->want_alone = false;
	for (size_t i = 0; i < work->queue_count; i++)
		work->queues[i].want = work->queues[i].got = 0;
	if (look->level != WEIR_WORK_ON || look->quiet || !name_kinds(work) ||
	    !weir__suspects_let(work, now_ns, &alone))
		return 0;
	if (alone) {
		/* One of whichever queue; the store claims no more than that.
		 */
		work->want_alone = true;
		for (size_t i = 0; i < work->queue_count; i++)
			want_of(work, &work->queues[i], 1, true);
		return 1;
	}
	return room > 0 ? share_out(work, (uint32_t)room, ahead) : 0;
}

void
weir__work_plan(const weir_work *work, const struct weir_work_look *look,
		uint32_t wanted, int64_t now_ns, struct weir_work_plan *ret)
{
	uint32_t ahead = weir__work_ahead(work), quarter = ahead / 4;
	uint32_t low = ahead / 2, pending = work->pending_len;
	int64_t until_ns = WEIR_FOREVER;

	if (pending > 0)
		until_ns = work->pending_since_ns + PATIENCE_NS;
	ret->patient = look->ready > low && look->level == WEIR_WORK_ON;
	ret->go = work->look || now_ns >= work->hold_until_ns ||
		  (wanted > 0 && !ret->patient) ||
		  (pending > 0 &&
		   (!ret->patient || pending >= quarter || now_ns >= until_ns));
	ret->deaf = ret->patient && pending > 0;
	ret->until_ns = weir__earlier_ns(ret->deaf ? until_ns : WEIR_FOREVER,
					 work->hold_until_ns);
	weir_assert(ret->go || pending == 0 || ret->patient);
	ret->wake_ended = 1;
	ret->wake_ready = -1;
	if (ret->patient) {
		if (quarter > pending)
			ret->wake_ended = quarter - pending;
		ret->wake_ready = low;
	}
}

/*
 * Copy what is to be told again, and what is pending, as much of that as one
 * turn takes.  False: no memory.
 */
static bool
gather_finishes(weir_work *work, struct weir_turn *turn)
{
	size_t most = work->turn_trouble.on ? FINISH_FEW : FINISH_MAX;
	size_t again = work->again_len;
	size_t n =
		again + (work->pending_len < most ? work->pending_len : most);
	struct weir_list *link = work->again.next;
	struct weir_finish *finishes;
	struct weir_finished *finished;

	if (n > work->finish_room) {
		/* One may grow and the other not: the room is the smaller. */
		finishes = realloc(work->finishes, n * sizeof(*finishes));
		if (!finishes)
			return false;
		work->finishes = finishes;
		finished = realloc(work->finished, n * sizeof(*finished));
		if (!finished)
			return false;
		work->finished = finished;
		work->finish_room = n;
	}
	for (size_t i = 0; i < n; i++, link = link->next) {
		if (i == again)
			link = work->pending.next;
		work->finishes[i] =
			weir_container_of(link, struct weir_held, link)->finish;
	}
	turn->finishes = work->finishes;
	turn->finished = work->finished;
	turn->finish_count = n;
	return true;
}

static void
bump(struct weir_u64 *counter)
{
	weir__u64_bump(counter, 1);
}

/* One that goes on living: it may be due at once, or later. */
static void
expect_again(struct weir_held *held, const struct weir_finished *finished)
{
	weir_work *work = held->work;

	weir_assert(finished->status == WEIR_OK);
	if (finished->state == WEIR_JOB_AVAILABLE)
		held->queue->may_have = true;
	else
		weir__upkeep_expect(&work->upkeep, held->finish.at_ms);
	switch (held->finish.verdict) {
	case WEIR_VERDICT_RETRY:
		bump(&work->retried);
		return;
	case WEIR_VERDICT_SNOOZE:
		bump(&work->snoozed);
		return;
	case WEIR_VERDICT_RELEASE:
		bump(&work->released);
		return;
	case WEIR_VERDICT_COMPLETE:
	case WEIR_VERDICT_DISCARD:
	case WEIR_VERDICT_CANCEL:
		return;
	}
	weir_bug("no such verdict");
}

static void
count_finished(struct weir_held *held, const struct weir_finished *finished)
{
	weir_work *work = held->work;

	if (finished->status == WEIR_STALE) {
		/* Its own transaction has ended it, so that is no wonder. */
		bump(held->completed ? &work->completed : &work->stale);
		return;
	}
	if (finished->status != WEIR_OK)
		return;
	switch (finished->state) {
	case WEIR_JOB_COMPLETED:
		bump(&work->completed);
		return;
	case WEIR_JOB_DISCARDED:
		bump(&work->discarded);
		return;
	case WEIR_JOB_CANCELLED:
		bump(&work->cancelled);
		return;
	case WEIR_JOB_AVAILABLE:
	case WEIR_JOB_RETRYABLE:
	case WEIR_JOB_SCHEDULED:
	case WEIR_JOB_PENDING:
	case WEIR_JOB_RUNNING:
		expect_again(held, finished);
		return;
	}
}

void
weir__work_settle(struct weir_held *held, const struct weir_finished *finished)
{
	weir_work *work = held->work;

	weir_assert(held->place == WEIR_HELD_PENDING || held->lost);
	count_finished(held, finished);
	if (work->lane.ended)
		work->lane.ended(held->claim, &held->finish, finished,
				 work->lane.user);
	weir__held_free(held);
}

static struct weir_held *
pop(struct weir_list *list, uint32_t *len)
{
	struct weir_list *link = weir__list_pop(list);

	weir_assert(link && *len > 0);
	--*len;
	return weir_container_of(link, struct weir_held, link);
}

static struct weir_held *
pop_pending(weir_work *work)
{
	return pop(&work->pending, &work->pending_len);
}

static struct weir_held *
pop_again(weir_work *work)
{
	return pop(&work->again, &work->again_len);
}

void
weir__work_drop(weir_work *work, weir_status status)
{
	struct weir_finished finished = {.status = status};

	weir_assert(status != WEIR_OK);
	while (work->again_len > 0)
		weir__work_settle(pop_again(work), &finished);
	while (work->pending_len > 0)
		weir__work_settle(pop_pending(work), &finished);
}

void
weir__work_tell(struct weir_held *held)
{
	weir_work *work = held->work;

	if (held->told)
		return;
	held->told = true;
	work->lane.cancel(held->claim, work->lane.user);
}

void
weir__work_lose_all(weir_work *work, int64_t now_ns)
{
	struct weir_list *link, *next;

	/* What was pending first, so that nothing of it is written as ours. */
	weir__work_drop(work, WEIR_STALE);
	weir_assert(work->pending_len == 0 && work->again_len == 0);
	work->hold_until_ns = WEIR_FOREVER;
	for (link = work->held.next; link != &work->held; link = next) {
		struct weir_held *held =
			weir_container_of(link, struct weir_held, all);

		next = link->next;
		if (held->lost)
			continue;
		held->lost = true;
		if (weir__work_revoke(held, now_ns))
			weir__work_tell(held);
	}
}

static int
compare_ids(const void *a, const void *b)
{
	const int64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/*
 * Somebody wants these jobs cancelled; some of them may be ours.  Not those of
 * the batch that came with the notices, which are older than its claims: such
 * a job was cancelled, and then retried.
 */
static void
heed_cancels(weir_work *work, const struct weir_batch *batch, int64_t now_ns)
{
	size_t n = work->cancels.len / sizeof(int64_t);
	struct weir_list *link;

	if (n == 0)
		return;
	qsort(work->cancels.data, n, sizeof(int64_t), compare_ids);
	for (link = work->held.next; link != &work->held; link = link->next) {
		struct weir_held *held =
			weir_container_of(link, struct weir_held, all);

		/* cancelled is written by us only: no lock to read it. */
		if (held->cancelled || held->claim->batch == batch ||
		    !bsearch(&held->claim->row.id, work->cancels.data, n,
			     sizeof(int64_t), compare_ids))
			continue;
		if (weir__work_revoke(held, now_ns))
			weir__work_tell(held);
	}
}

/* Claims come want by want, so it is mostly the queue of the one before. */
static struct weir_queue_state *
queue_of(weir_work *work, const char *name, struct weir_queue_state *last)
{
	if (last && strcmp(last->name, name) == 0)
		return last;
	for (size_t i = 0; i < work->queue_count; i++)
		if (strcmp(work->queues[i].name, name) == 0)
			return &work->queues[i];
	weir_bug("a job of a queue that was not wanted");
}

/* The claimed jobs, held, linked into *jobs. */
static void
hold_batch(weir_work *work, struct weir_batch *batch, struct weir_list *jobs)
{
	struct weir_queue_state *queue = NULL;
	const struct weir_kind *kind = NULL;
	const char *kind_name = NULL;

	for (size_t i = 0; i < batch->count; i++) {
		struct weir_claim *claim = &batch->claims[i];
		struct weir_held *held = weir__held_new(work, claim);

		weir_assert(claim->batch == batch);
		queue = queue_of(work, claim->row.queue, queue);
		if (!kind_name || strcmp(kind_name, claim->row.kind) != 0) {
			kind_name = claim->row.kind;
			kind = weir__work_kind(work, kind_name);
		}
		queue->got++;
		queue->held++;
		held->queue = queue;
		held->kind = kind;
		held->gates[0] = queue->gate;
		held->gates[1] = kind ? kind->gate : NULL;
		weir__list_append(jobs, &held->link);
	}
}

static void
take_batch(weir_work *work, struct weir_batch *batch, int64_t now_ns)
{
	struct weir_list jobs;

	/* Others count our silence from when we hold something. */
	if (work->held_len == 0)
		work->beat_at_ns = now_ns;
	if (batch) {
		weir__list_init(&jobs);
		hold_batch(work, batch, &jobs);
		if (weir__work_hand_over(work, &jobs))
			work->lane.poke(work->lane.user);
	}
	if (work->want_alone)
		return;
	for (size_t i = 0; i < work->queue_count; i++) {
		struct weir_queue_state *queue = &work->queues[i];

		if (queue->want > 0)
			queue->may_have = queue->got >= queue->want;
	}
}

/* What the store keeps to itself stays pending, in a line of its own. */
static void
settle_finished(weir_work *work, const struct weir_turn *turn)
{
	size_t again = work->again_len;

	weir_assert(turn->finish_count <= again + work->pending_len);
	for (size_t i = 0; i < turn->finish_count; i++) {
		struct weir_held *held =
			i < again ? pop_again(work) : pop_pending(work);

		if (turn->finished[i].status == WEIR_BUSY) {
			weir__list_append(&work->again, &held->link);
			work->again_len++;
		} else {
			weir__work_settle(held, &turn->finished[i]);
		}
	}
	/* What one turn could not take is not to wait any longer. */
	if (work->pending_len > 0)
		work->pending_since_ns -= PATIENCE_NS;
}

/* A turn that was for a suspect says nothing of the others. */
static void
note_limited(weir_work *work, const struct weir_turn *turn)
{
	if (work->want_count == 0 || work->want_alone)
		return;
	work->limited = turn->limited;
	work->limited_at_ns = turn->limited_at_ns;
}

weir_status
weir__work_turn(weir_work *work, uint32_t wanted, int64_t now_ns,
		weir_error *reterr)
{
	struct weir_turn turn = {
		.owner = &work->owner,
		.wants = work->wants,
		.want_count = work->want_count,
		.kinds = work->kind_name_count > 0 ? work->kind_names : NULL,
		.kind_count = work->kind_name_count,
		.kinds_left_out = work->kind_names_left_out,
		.slots = work->lane.width,
		.may_hold = true,
		.hold_until_ns = WEIR_FOREVER,
		.limited_at_ns = WEIR_FOREVER,
		.cancel_seq = work->cancel_seq,
		.cancels = &work->cancels,
	};
	weir_status status;

	weir__buf_reset(&work->cancels);
	if (!weir__held_reserve(work, wanted) || !gather_finishes(work, &turn))
		return weir__queue_error(reterr, WEIR_NOMEM, 0, "%s",
					 weir_status_message(WEIR_NOMEM));
	status = work->store->ops->turn(work->store, &turn, reterr);
	if (status != WEIR_OK)
		return status;
	weir_assert(!turn.batch || turn.batch->count <= wanted);
	weir__pace_note_turn(&work->pace, weir_now_ns() - now_ns);
	work->hold_until_ns = turn.hold_until_ns;
	/* Jobs first: somebody waits for them. */
	take_batch(work, turn.batch, now_ns);
	settle_finished(work, &turn);
	if (!work->cancels.failed)
		work->cancel_seq = turn.cancel_seq;
	heed_cancels(work, turn.batch, now_ns);
	work->look = false;
	note_limited(work, &turn);
	if (work->want_count > 0)
		weir__suspects_note(work, turn.suspects, work->want_alone,
				    turn.batch, now_ns);
	return WEIR_OK;
}
