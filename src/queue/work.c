/*
 * The loop between a store and what runs its jobs.
 *
 * Design.  One thread of its own, and one poll() for all that it waits for.
 * A round:
 *
 *      collect what has ended ──> obey a stop ──> beat, turn ──> upkeep
 *         ^                                                        │
 *         └────────── sleep: ring_fd, the store's bell, timers <───┘
 *
 * The turn is the only visit to the store that jobs wait for; work_turn.c says
 * when it is made.  Everything else has its time: the beat, while jobs are
 * held; upkeep.c; gates of kinds that are over their rate; suspects.
 *
 * Trouble.  A store that is busy or full is no end: outcomes stay pending,
 * jobs run on, and the same visit is tried again after 50 ms, 100 ms .. 2 s, by
 * the same poll().  The user hears once when it begins and once when it is
 * over.  Turns and upkeep are in trouble each by itself, for a full disk can
 * be read.  Outcomes are dropped at one point only: when the work was stopped
 * now, nothing runs any more, and LAST_NS later the store still takes none.
 * The jobs are then rescued by others.  A damaged store ends the work.
 *
 * A lost lease.  Who was taken for dead (it had been stopped, for example) has
 * lost all it holds: what runs is cancelled, its outcomes are stale, and the
 * work goes on as somebody new.
 *
 * Locking.  See work_hand.c.  Store, lane and the user's callbacks are called
 * with no lock held.
 */
#include "queue/work_inside.h"

#include "base/assert.h"
#include "sync/random.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define TROUBLE_NS     (50 * WEIR_MS)
#define TROUBLE_NS_MAX (2 * WEIR_S)
#define LAST_NS        (5 * WEIR_S)
#define SLEEP_NS_MAX   (30 * WEIR_S)
#define LISTEN_NS      (10 * WEIR_MS)

static void
tell(weir_work *work, const weir_error *error)
{
	if (work->options.trouble)
		work->options.trouble(error, work->options.user);
}

/* The store has answered; error says what, unless it is WEIR_OK. */
static void
note_trouble(weir_work *work, struct weir_trouble *t, weir_status status,
	     const weir_error *error, int64_t now_ns)
{
	bool was_on = work->turn_trouble.on || work->upkeep_trouble.on;

	weir_assert(t == &work->turn_trouble || t == &work->upkeep_trouble);
	weir_assert(status != WEIR_STALE);
	if (status == WEIR_OK) {
		t->on = false;
		if (was_on && !work->turn_trouble.on &&
		    !work->upkeep_trouble.on)
			tell(work, NULL);
		return;
	}
	t->delay_ns = t->on ? 2 * t->delay_ns : TROUBLE_NS;
	if (t->delay_ns > TROUBLE_NS_MAX)
		t->delay_ns = TROUBLE_NS_MAX;
	t->retry_at_ns = now_ns + t->delay_ns;
	t->on = true;
	if (!was_on)
		tell(work, error);
	if (status == WEIR_CORRUPT) {
		work->end = *error;
		weir_work_stop(work, false);
	}
}

static bool
must_wait(const struct weir_trouble *t, int64_t now_ns)
{
	return t->on && now_ns < t->retry_at_ns;
}

static weir_status
enlist(weir_work *work, weir_error *reterr)
{
	struct weir_owner owner = {
		.id = work->owner.id, /* that was taken for dead, or 0 */
		.alone = work->options.alone,
		.crashes_max = work->options.crashes_max > 0
				       ? work->options.crashes_max
				       : 3,
	};
	char host[64];
	weir_status status;

	weir_assert(!work->enlisted);
	if (gethostname(host, sizeof(host)) != 0)
		host[0] = '\0';
	host[sizeof(host) - 1] = '\0';
	snprintf(owner.name, sizeof(owner.name), "%s:%ld", host,
		 (long)getpid());
	status = work->store->ops->enlist(work->store, &owner, reterr);
	if (status != WEIR_OK)
		return status;
	weir__mutex_lock(&work->mu);
	work->owner = owner;
	weir__mutex_unlock(&work->mu);
	work->enlisted = true;
	work->beat_at_ns = weir_now_ns();
	return WEIR_OK;
}

/* We were taken for dead. */
static void
lose(weir_work *work, int64_t now_ns)
{
	weir_assert(work->enlisted);
	work->enlisted = false;
	weir__work_lose_all(work, now_ns);
	weir__work_expect_jobs(work);
	work->suspects.phase = WEIR_SUSPECT_NONE;
	work->limited = false;
	work->limited_at_ns = WEIR_FOREVER;
}

/* Show that we live.  Who holds nothing need not. */
static weir_status
beat(weir_work *work, int64_t now_ns, weir_error *reterr)
{
	weir_status status;

	if (work->owner.alone || work->held_len == 0 ||
	    now_ns - work->beat_at_ns < work->options.beat_ns)
		return WEIR_OK;
	status = work->store->ops->extend(work->store, &work->owner, reterr);
	if (status == WEIR_OK)
		work->beat_at_ns = now_ns;
	return status;
}

/*
 * Go to the store with what a turn needs, and with it if there is to be one.
 * Whether that may have changed what there is to do.
 */
static bool
visit(weir_work *work, uint32_t wanted, int64_t now_ns, bool turn)
{
	weir_error error = {0};
	weir_status status = WEIR_OK;

	if (!work->enlisted)
		status = enlist(work, &error);
	if (status == WEIR_OK)
		status = beat(work, now_ns, &error);
	if (status == WEIR_OK && turn)
		status = weir__work_turn(work, wanted, now_ns, &error);
	if (status == WEIR_STALE) {
		lose(work, now_ns);
		return true;
	}
	if (!turn && status == WEIR_OK && !work->turn_trouble.on)
		return false;
	work->trouble_error = error;
	note_trouble(work, &work->turn_trouble, status, &error, now_ns);
	return true;
}

/* Upkeep that is due.  Whether there may be something to claim by now. */
static bool
keep_up(weir_work *work, int64_t now_ns)
{
	struct weir_upkept kept = {0};
	weir_error error = {0};
	weir_status status;

	if (work->seen_level != WEIR_WORK_ON ||
	    must_wait(&work->upkeep_trouble, now_ns))
		return false;
	if (!work->upkeep_trouble.on &&
	    now_ns < weir__upkeep_at_ns(&work->upkeep, now_ns))
		return false;
	status = weir__upkeep_run(&work->upkeep, work->owner.id, now_ns, &kept,
				  &error);
	/* Even if it failed in the end: what was done is done. */
	if (kept.may_have)
		weir__work_expect_jobs(work);
	weir__u64_bump(&work->rescued, kept.rescued);
	work->kept_up |= status == WEIR_OK;
	note_trouble(work, &work->upkeep_trouble, status, &error, now_ns);
	return true;
}

/* Tell the lane of everything that it runs. */
static void
cancel_all(weir_work *work)
{
	struct weir_list *link;

	for (link = work->held.next; link != &work->held; link = link->next) {
		struct weir_held *held =
			weir_container_of(link, struct weir_held, all);

		if (weir__work_is_taken(held))
			weir__work_tell(held);
	}
}

/*
 * What was claimed and gets nowhere goes back, for others may have it: what is
 * ready while all slots are in long jobs, because jobs used to be short; and
 * what waits at a gate, but for as much as keeps that busy.
 */
static void
perhaps_let_go(weir_work *work, struct weir_work_look *look, int64_t now_ns)
{
	work->stall_at_ns = WEIR_FOREVER;
	if (look->stalled)
		weir__work_take_back_excess(work, now_ns);
	if (look->ready == 0 || look->running < work->lane.width)
		return;
	if (now_ns - look->moved_ns < WEIR_STALL_NS) {
		work->stall_at_ns = look->moved_ns + WEIR_STALL_NS;
		return;
	}
	weir__pace_note_stall(&work->pace, now_ns - look->moved_ns);
	weir__work_take_back(work, now_ns);
	look->ready = 0;
}

static void
obey(weir_work *work, const struct weir_work_look *look, int64_t now_ns)
{
	enum weir_work_level before = work->seen_level;

	weir_assert(look->level >= before);
	if (look->quiet != work->seen_quiet) {
		work->seen_quiet = look->quiet;
		if (look->quiet)
			weir__work_take_back(work, now_ns);
	}
	if (look->level == before)
		return;
	work->seen_level = look->level;
	if (before == WEIR_WORK_ON) {
		weir__work_take_back(work, now_ns);
		work->lane.poke(work->lane.user);
	}
	if (look->level == WEIR_WORK_NOW)
		cancel_all(work);
}

static bool
poll_until(struct pollfd *fds, nfds_t count, int64_t at_ns)
{
	int64_t wait_ns = at_ns - weir_now_ns();
	struct timespec ts = {0};
	int n;

	if (wait_ns > 0) {
		ts.tv_sec = (time_t)(wait_ns / WEIR_S);
		ts.tv_nsec = (long)(wait_ns % WEIR_S);
	}
	n = ppoll(fds, count, &ts, NULL);
	weir_assert(n >= 0 || errno == EINTR || errno == ENOMEM);
	return n > 0;
}

/* The store has rung. */
static void
hear_bell(weir_work *work)
{
	weir_assert(work->wake_fd >= 0);
	/* First hushed, then looked at: what rings meanwhile is heard again. */
	work->store->ops->hush(work->store, work->wake_fd);
	weir__work_expect_jobs(work);
	weir__upkeep_hear(&work->upkeep, weir_now_ns());
	work->look = work->held_len > 0;
}

/* Has it rung since we last listened? */
static bool
listen(weir_work *work, int64_t now_ns)
{
	struct pollfd fd = {.fd = work->wake_fd, .events = POLLIN};

	work->listened_at_ns = now_ns;
	if (work->wake_fd < 0 || !poll_until(&fd, 1, now_ns))
		return false;
	hear_bell(work);
	return true;
}

/*
 * Who is busy does not sleep, or only for moments in which it is deaf: listen
 * now and then, for what was inserted may be for a queue that has nothing else.
 */
static void
listen_now_and_then(weir_work *work, int64_t now_ns)
{
	if (now_ns - work->listened_at_ns >= LISTEN_NS)
		(void)listen(work, now_ns);
}

/* Is there nothing to run any more?  What is due later does not count. */
static bool
is_drained(const weir_work *work)
{
	return work->options.until_empty && work->held_len == 0 &&
	       work->kept_up && !weir__work_expects_jobs(work) &&
	       !work->suspects.seen && !work->limited &&
	       !work->turn_trouble.on && !work->upkeep_trouble.on &&
	       !weir__upkeep_is_due(&work->upkeep);
}

/* The store takes no outcomes, and nobody is to wait for that any longer. */
static void
perhaps_give_up(weir_work *work, uint32_t running, int64_t now_ns)
{
	bool corrupt = work->end.status == WEIR_CORRUPT;

	/* One that somebody has locked comes back, and is no trouble. */
	if (work->pending_len + work->again_len == 0 ||
	    (!work->turn_trouble.on && work->again_len == 0) ||
	    (!corrupt && work->seen_level != WEIR_WORK_NOW))
		return;
	/* The time counts from the end of the last job. */
	if (running > 0)
		work->give_up_ns = WEIR_FOREVER;
	else if (work->give_up_ns == WEIR_FOREVER)
		work->give_up_ns = now_ns + (corrupt ? 0 : LAST_NS);
	if (now_ns < work->give_up_ns)
		return;
	if (!corrupt && work->turn_trouble.on)
		work->end = work->trouble_error;
	else if (!corrupt)
		weir__queue_error(&work->end, WEIR_BUSY, 0,
				  "somebody keeps jobs locked");
	weir__work_drop(work, work->end.status);
}

static bool
is_over(weir_work *work, int64_t now_ns, uint32_t running)
{
	perhaps_give_up(work, running, now_ns);
	if (work->held_len > 0)
		return false;
	/* What was inserted before now is to be run. */
	return work->seen_level != WEIR_WORK_ON ||
	       (is_drained(work) && !listen(work, now_ns));
}

/* When we wake up by ourselves. */
static int64_t
wake_at_ns(const weir_work *work, const struct weir_work_look *look,
	   const struct weir_work_plan *plan, int64_t now_ns)
{
	int64_t at_ns = weir__deadline_ns(now_ns, SLEEP_NS_MAX), suspects_ns;

	weir_assert(work->held_len >= work->pending_len + work->again_len);
	at_ns = weir__earlier_ns(at_ns, look->gate_at_ns);
	at_ns = weir__earlier_ns(at_ns, work->give_up_ns);
	at_ns = weir__earlier_ns(at_ns, work->turn_trouble.on
						? work->turn_trouble.retry_at_ns
						: plan->until_ns);
	if (work->held_len > 0 && !work->owner.alone && !work->turn_trouble.on)
		at_ns = weir__earlier_ns(at_ns, work->beat_at_ns +
							work->options.beat_ns);
	if (work->seen_level != WEIR_WORK_ON)
		return at_ns;
	at_ns = weir__earlier_ns(at_ns, work->stall_at_ns);
	at_ns = weir__earlier_ns(at_ns, work->limited_at_ns);
	suspects_ns = weir__suspects_at_ns(work);
	/* Not so in the past: then it is something else that it waits for. */
	if (suspects_ns > now_ns)
		at_ns = weir__earlier_ns(at_ns, suspects_ns);
	return weir__earlier_ns(
		at_ns, work->upkeep_trouble.on
			       ? work->upkeep_trouble.retry_at_ns
			       : weir__upkeep_at_ns(&work->upkeep, now_ns));
}

static void
doze(weir_work *work, const struct weir_work_plan *plan, int64_t at_ns)
{
	struct pollfd fds[2] = {
		{.fd = work->ring_fd, .events = POLLIN},
		{.fd = work->wake_fd, .events = POLLIN},
	};
	nfds_t count = plan->deaf || work->wake_fd < 0 ? 1 : 2;
	bool trouble = work->turn_trouble.on;
	uint64_t rung;

	if (weir__work_fall_asleep(work,
				   trouble ? UINT32_MAX : plan->wake_ended,
				   trouble ? -1 : plan->wake_ready) &&
	    poll_until(fds, count, at_ns)) {
		if (count == 2 && fds[1].revents)
			hear_bell(work);
		if (count == 2)
			work->listened_at_ns = weir_now_ns();
		/* It never waits; that it was empty is fine. */
		if (fds[0].revents &&
		    read(work->ring_fd, &rung, sizeof(rung)) < 0)
			weir_assert(errno == EAGAIN || errno == EINTR);
	}
	weir__work_wake_up(work);
}

/* False: it was the last one. */
static bool
round_once(weir_work *work)
{
	struct weir_work_look look;
	struct weir_work_plan plan;
	int64_t now_ns = weir_now_ns();
	uint32_t wanted;
	bool went;

	listen_now_and_then(work, now_ns);
	weir__work_collect(work, now_ns, &look);
	if (look.poke)
		work->lane.poke(work->lane.user);
	if (look.reopened)
		weir__work_expect_jobs(work);
	obey(work, &look, now_ns);
	perhaps_let_go(work, &look, now_ns);
	if (is_over(work, now_ns, look.running))
		return false;
	wanted = weir__work_wants(work, &look, now_ns);
	weir__work_plan(work, &look, wanted, now_ns, &plan);
	went = !must_wait(&work->turn_trouble, now_ns) &&
	       visit(work, wanted, now_ns, plan.go);
	if (keep_up(work, now_ns) || went)
		return true;
	doze(work, &plan, wake_at_ns(work, &look, &plan, now_ns));
	return true;
}

static void
loop(void *arg)
{
	weir_work *work = arg;
	weir_error error = {0};

	while (round_once(work))
		;
	weir_assert(work->held_len == 0 && work->pending_len == 0 &&
		    work->again_len == 0);
	weir__mutex_lock(&work->mu);
	work->over = true;
	weir__mutex_unlock(&work->mu);
	work->lane.poke(work->lane.user);
	/* If that fails, we are dead to the others before long. */
	if (work->enlisted)
		(void)work->store->ops->leave(work->store, &work->owner,
					      &error);
	work->enlisted = false;
}

static void
init(weir_work *work, weir_store *store)
{
	work->store = store;
	work->wake_fd = work->ring_fd = -1;
	weir__mutex_init(&work->mu);
	weir__rng_seed(&work->rng, weir__random_seed());
	weir__line_init(&work->ready);
	weir__list_init(&work->ended);
	weir__list_init(&work->held);
	weir__list_init(&work->pending);
	weir__list_init(&work->again);
	work->hold_until_ns = work->limited_at_ns = WEIR_FOREVER;
	weir__list_init(&work->spare);
	weir__pace_init(&work->pace);
	work->give_up_ns = WEIR_FOREVER;
}

weir_status
weir__work_make(weir_work **out, weir_store *store,
		const weir_work_options *options, const struct weir_lane *lane,
		weir_error *reterr)
{
	weir_work *work = calloc(1, sizeof(*work));
	weir_status status;

	if (!work)
		return weir__queue_error(reterr, WEIR_NOMEM, 0, "%s",
					 weir_status_message(WEIR_NOMEM));
	init(work, store);
	status = weir__work_setup(work, options, lane, reterr);
	if (status == WEIR_OK && store->read_only)
		status =
			weir__queue_error(reterr, WEIR_INVAL, 0,
					  "the store is open for reading only");
	if (status == WEIR_OK) {
		work->ring_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (work->ring_fd < 0)
			status = weir__queue_error(reterr, WEIR_SYSTEM, errno,
						   "cannot make an eventfd");
	}
	if (status == WEIR_OK)
		status = enlist(work, reterr);
	if (status == WEIR_OK) {
		work->wake_fd = store->ops->wake_fd(store);
		weir__upkeep_init(&work->upkeep, store, &work->options,
				  work->wake_fd >= 0, weir_now_ns());
		*out = work;
		return WEIR_OK;
	}
	weir_work_free(work);
	return status;
}

weir_status
weir__work_begin(weir_work *work, weir_error *reterr)
{
	weir_status status;

	weir_assert(!work->begun);
	status = weir__thread_start(&work->thread, "weir-work", 0, loop, work);
	if (status != WEIR_OK)
		return weir__queue_error(reterr, status, 0,
					 "cannot start a thread: %s",
					 weir_status_message(status));
	work->begun = true;
	return WEIR_OK;
}

weir_status
weir__work_end(weir_work *work, weir_error *reterr)
{
	weir_assert(work->begun && !work->joined);
	/* Nobody is there any more who could run a job. */
	weir_work_stop(work, false);
	weir__thread_join(&work->thread);
	work->joined = true;
	if (reterr && work->end.status != WEIR_OK)
		*reterr = work->end;
	return work->end.status;
}

weir_work *
weir_work_free(weir_work *work)
{
	weir_error error = {0};

	if (!work)
		return NULL;
	weir_assert(!work->begun || work->joined);
	if (work->enlisted)
		(void)work->store->ops->leave(work->store, &work->owner,
					      &error);
	weir__pool_lane_free(work->pool);
	weir__held_fini(work);
	weir__upkeep_fini(&work->upkeep);
	weir__work_unset(work);
	weir__buf_fini(&work->cancels);
	free(work->finishes);
	free(work->finished);
	if (work->wake_fd >= 0)
		close(work->wake_fd);
	if (work->ring_fd >= 0)
		close(work->ring_fd);
	weir__mutex_fini(&work->mu);
	free(work);
	return NULL;
}

void
weir_work_get_stats(weir_work *work, weir_work_stats *ret)
{
	weir_work_stats stats = {.size = ret->size};
	size_t size = ret->size < sizeof(stats) ? ret->size : sizeof(stats);

	weir__mutex_lock(&work->mu);
	stats.running = work->running;
	stats.claimed = work->ready.len;
	for (size_t i = 0; i < work->gate_count; i++)
		stats.claimed += work->gates[i].line.len;
	weir__mutex_unlock(&work->mu);
	stats.completed = weir__u64_load(&work->completed, WEIR_ACQUIRE_ORDER);
	stats.retried = weir__u64_load(&work->retried, WEIR_ACQUIRE_ORDER);
	stats.discarded = weir__u64_load(&work->discarded, WEIR_ACQUIRE_ORDER);
	stats.cancelled = weir__u64_load(&work->cancelled, WEIR_ACQUIRE_ORDER);
	stats.snoozed = weir__u64_load(&work->snoozed, WEIR_ACQUIRE_ORDER);
	stats.released = weir__u64_load(&work->released, WEIR_ACQUIRE_ORDER);
	stats.stale = weir__u64_load(&work->stale, WEIR_ACQUIRE_ORDER);
	stats.rescued = weir__u64_load(&work->rescued, WEIR_ACQUIRE_ORDER);
	memcpy(ret, &stats, size);
}
