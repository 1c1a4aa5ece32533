/*
 * Upkeep; see upkeep.h.
 *
 * Design.  Each duty has the time of its next turn.  What was limited by LIMIT
 * stays due, so that turns of the work get in between.
 *
 * Who is dead.  A client is silent as long as its beat is the same at each
 * look.  What one look adds to its silence is bounded by a little more than
 * the time between looks: after we have been stopped ourselves, or the whole
 * machine has, a long time between two looks says nothing about others.
 *
 * Locking.  All of it is the loop's.
 */
#include "queue/upkeep.h"

#include "base/assert.h"

#include <stdlib.h>

#define LIMIT         1000
#define CLEAN_NS      (30 * WEIR_S)
#define SWEEP_NS      (30 * WEIR_S)
#define SWEEP_DEAF_NS (1 * WEIR_S)
#define HEED_NS       (100 * WEIR_MS)
#define STUCK_MS      1000
#define NS_PER_MS     INT64_C(1000000)

static int64_t
or_default(int64_t value, int64_t if_zero)
{
	return value > 0 ? value : if_zero;
}

/* Options give ns, the store takes ms; WEIR_FOREVER is -1. */
static int64_t
keep_ms(int64_t ns, int64_t if_zero)
{
	if (ns == WEIR_FOREVER)
		return -1;
	return or_default(ns, if_zero) / NS_PER_MS;
}

void
weir__upkeep_init(struct weir_upkeep *upkeep, weir_store *store,
		  const weir_work_options *options, bool has_bell,
		  int64_t now_ns)
{
	const int64_t day_ns = 24 * 3600 * WEIR_S;
	int64_t *keep = upkeep->retention.keep_ms;

	memset(upkeep, 0, sizeof(*upkeep));
	upkeep->store = store;
	for (size_t i = 0; i < 8; i++)
		keep[i] = -1;
	keep[WEIR_JOB_COMPLETED] = keep_ms(options->completed_ns, day_ns);
	keep[WEIR_JOB_CANCELLED] = keep_ms(options->cancelled_ns, day_ns);
	keep[WEIR_JOB_DISCARDED] = keep_ms(options->discarded_ns, 7 * day_ns);
	upkeep->crashes_max =
		options->crashes_max > 0 ? options->crashes_max : 3;
	upkeep->look_ns = or_default(options->beat_ns, 3 * WEIR_S);
	upkeep->dead_ns = or_default(options->dead_ns, 10 * WEIR_S);
	upkeep->sweep_ns = has_bell ? SWEEP_NS : SWEEP_DEAF_NS;
	upkeep->look_at_ns = upkeep->clean_at_ns = now_ns;
	upkeep->sweep_at_ns = now_ns;
	upkeep->looked_at_ns = now_ns;
	weir_assert(upkeep->look_ns > 0 && upkeep->dead_ns > 0);
}

void
weir__upkeep_fini(struct weir_upkeep *upkeep)
{
	free(upkeep->seen);
	upkeep->seen = NULL;
}

/* A time of the store's on our clock. */
static int64_t
at_ns(int64_t at_ms, int64_t now_ms, int64_t now_ns)
{
	if (at_ms <= now_ms)
		return now_ns;
	if (at_ms - now_ms >= (WEIR_FOREVER - now_ns) / NS_PER_MS)
		return WEIR_FOREVER;
	return now_ns + (at_ms - now_ms) * NS_PER_MS;
}

static int64_t
earlier(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

int64_t
weir__upkeep_at_ns(const struct weir_upkeep *upkeep, int64_t now_ns)
{
	int64_t now_ms = weir__store_now_ms(upkeep->store);
	/* Never later than the next sweep, whatever the clocks do. */
	int64_t next_ns = earlier(upkeep->clean_at_ns, upkeep->sweep_at_ns);

	next_ns = earlier(next_ns, upkeep->look_at_ns);
	if (upkeep->heard)
		next_ns = earlier(next_ns, upkeep->heed_at_ns);
	next_ns =
		earlier(next_ns, at_ns(upkeep->promote_at_ms, now_ms, now_ns));
	return earlier(next_ns, at_ns(upkeep->fire_at_ms, now_ms, now_ns));
}

void
weir__upkeep_hear(struct weir_upkeep *upkeep, int64_t now_ns)
{
	upkeep->heard = true;
	if (upkeep->heed_at_ns < now_ns)
		upkeep->heed_at_ns = now_ns;
}

void
weir__upkeep_expect(struct weir_upkeep *upkeep, int64_t at_ms)
{
	upkeep->promote_at_ms = earlier(upkeep->promote_at_ms, at_ms);
}

bool
weir__upkeep_is_due(const struct weir_upkeep *upkeep)
{
	int64_t now_ms = weir__store_now_ms(upkeep->store);

	return upkeep->heard || upkeep->promote_at_ms <= now_ms ||
	       upkeep->fire_at_ms <= now_ms;
}

/*
 * When the next is due, of a store that says next_ms and has done count.  What
 * it could not do although it is due is not tried again at once.
 */
static int64_t
next_due(uint32_t count, int64_t next_ms, int64_t now_ms)
{
	if (count >= LIMIT)
		return now_ms;
	return next_ms > now_ms ? next_ms : now_ms + STUCK_MS;
}

/* Jobs or schedules, once they are due; *at_ms is when that will be. */
static weir_status
keep_due(struct weir_upkeep *upkeep, int64_t *at_ms,
	 weir_status (*keep)(weir_store *, uint32_t, uint32_t *, int64_t *,
			     weir_error *),
	 struct weir_upkept *ret, weir_error *reterr)
{
	int64_t now_ms = weir__store_now_ms(upkeep->store), next_ms;
	uint32_t count = 0;
	weir_status status;

	if (*at_ms > now_ms)
		return WEIR_OK;
	status = keep(upkeep->store, LIMIT, &count, &next_ms, reterr);
	if (status != WEIR_OK)
		return status;
	weir_assert(count <= LIMIT);
	ret->may_have |= count > 0;
	*at_ms = next_due(count, next_ms, now_ms);
	return WEIR_OK;
}

static weir_status
clean(struct weir_upkeep *upkeep, int64_t now_ns, weir_error *reterr)
{
	uint32_t count = 0;
	weir_status status;

	if (now_ns < upkeep->clean_at_ns)
		return WEIR_OK;
	status = upkeep->store->ops->clean(upkeep->store, &upkeep->retention,
					   LIMIT, &count, reterr);
	if (status == WEIR_OK && count < LIMIT)
		upkeep->clean_at_ns = now_ns + CLEAN_NS;
	return status;
}

static struct weir_client_seen *
find_seen(struct weir_upkeep *upkeep, int64_t id)
{
	for (size_t i = 0; i < upkeep->seen_len; i++)
		if (upkeep->seen[i].id == id)
			return &upkeep->seen[i];
	return NULL;
}

static struct weir_client_seen *
add_seen(struct weir_upkeep *upkeep, int64_t id)
{
	struct weir_client_seen *seen;
	size_t room = 2 * upkeep->seen_room + 8;

	weir_assert(upkeep->seen_len <= upkeep->seen_room);
	if (upkeep->seen_len == upkeep->seen_room) {
		seen = realloc(upkeep->seen, room * sizeof(*seen));
		if (!seen)
			return NULL;
		upkeep->seen = seen;
		upkeep->seen_room = room;
	}
	seen = &upkeep->seen[upkeep->seen_len++];
	memset(seen, 0, sizeof(*seen));
	seen->id = id;
	seen->beat = -1;
	return seen;
}

/* A look at one client: how long is it silent by now? */
static bool
look_at(const struct weir_client_row *row, void *user)
{
	struct weir_upkeep *upkeep = user;
	struct weir_client_seen *seen = find_seen(upkeep, row->id);

	if (!seen)
		seen = add_seen(upkeep, row->id);
	if (!seen) {
		upkeep->failed = true;
		return false;
	}
	/* Who holds nothing does not beat; this look does not count then. */
	if (seen->beat != row->beat || !row->holds)
		seen->silent_ns = -1;
	seen->beat = row->beat;
	seen->gone = row->gone;
	seen->again = true;
	return true;
}

/* Those that were not there any more are forgotten; the others grow older. */
static void
settle_seen(struct weir_upkeep *upkeep, int64_t passed_ns)
{
	size_t kept = 0;

	for (size_t i = 0; i < upkeep->seen_len; i++) {
		struct weir_client_seen *seen = &upkeep->seen[i];

		if (!seen->again)
			continue;
		seen->again = false;
		/* The first look at this beat: the silence begins. */
		if (seen->silent_ns < 0)
			seen->silent_ns = 0;
		else
			seen->silent_ns += passed_ns;
		upkeep->seen[kept++] = *seen;
	}
	upkeep->seen_len = kept;
}

static bool
is_dead(const struct weir_upkeep *upkeep, const struct weir_client_seen *seen)
{
	return seen->gone || seen->silent_ns >= upkeep->dead_ns;
}

static weir_status
rescue(struct weir_upkeep *upkeep, const struct weir_client_seen *dead,
       struct weir_upkept *ret, weir_error *reterr)
{
	uint32_t count = LIMIT;
	weir_status status = WEIR_OK;

	weir_assert(is_dead(upkeep, dead));
	/* All of its jobs at once: they have waited long enough. */
	while (status == WEIR_OK && count >= LIMIT) {
		count = 0;
		status = upkeep->store->ops->rescue(
			upkeep->store, dead->id, dead->beat,
			upkeep->crashes_max, LIMIT, &count, reterr);
		if (status == WEIR_OK) {
			ret->rescued += count;
			ret->may_have |= count > 0;
		}
	}
	return status;
}

/*
 * Rescue from those that are dead, and say when to look again: sooner than
 * usual if somebody has been silent for long.
 */
static weir_status
judge_seen(struct weir_upkeep *upkeep, int64_t self, int64_t now_ns,
	   struct weir_upkept *ret, weir_error *reterr)
{
	int64_t next_ns = upkeep->look_ns;
	weir_status status = WEIR_OK;

	for (size_t i = 0; i < upkeep->seen_len && status == WEIR_OK; i++) {
		const struct weir_client_seen *seen = &upkeep->seen[i];

		if (seen->id == self)
			continue;
		if (is_dead(upkeep, seen))
			status = rescue(upkeep, seen, ret, reterr);
		else
			next_ns = earlier(next_ns,
					  upkeep->dead_ns - seen->silent_ns);
	}
	/* A store that takes nothing from us takes no beats of others. */
	for (size_t i = 0; i < upkeep->seen_len && status != WEIR_OK; i++)
		upkeep->seen[i].silent_ns = 0;
	if (status == WEIR_OK)
		upkeep->look_at_ns = now_ns + next_ns;
	return status;
}

static weir_status
look(struct weir_upkeep *upkeep, int64_t self, int64_t now_ns,
     struct weir_upkept *ret, weir_error *reterr)
{
	int64_t passed_ns = earlier(now_ns - upkeep->looked_at_ns,
				    upkeep->look_ns + upkeep->look_ns / 4);
	weir_status status;

	if (now_ns < upkeep->look_at_ns)
		return WEIR_OK;
	upkeep->failed = false;
	status = upkeep->store->ops->clients(upkeep->store, look_at, upkeep,
					     reterr);
	if (status == WEIR_OK && upkeep->failed)
		status = weir__queue_error(reterr, WEIR_NOMEM, 0, "%s",
					   weir_status_message(WEIR_NOMEM));
	if (status != WEIR_OK)
		return status;
	settle_seen(upkeep, passed_ns);
	upkeep->looked_at_ns = now_ns;
	return judge_seen(upkeep, self, now_ns, ret, reterr);
}

static weir_status
first_of(weir_status a, weir_status b)
{
	return a != WEIR_OK ? a : b;
}

/* Where the next error goes: the first is the one that is told. */
static weir_error *
more_of(weir_status status, weir_error *reterr, weir_error *more)
{
	return status == WEIR_OK ? reterr : more;
}

weir_status
weir__upkeep_run(struct weir_upkeep *upkeep, int64_t self, int64_t now_ns,
		 struct weir_upkept *ret, weir_error *reterr)
{
	const struct weir_store_ops *ops = upkeep->store->ops;
	weir_error more;
	weir_status status;

	if (now_ns >= upkeep->sweep_at_ns) {
		upkeep->sweep_at_ns = now_ns + upkeep->sweep_ns;
		upkeep->promote_at_ms = upkeep->fire_at_ms = INT64_MIN;
		ret->may_have = true;
	}
	if (upkeep->heard && now_ns >= upkeep->heed_at_ns) {
		upkeep->heard = false;
		upkeep->heed_at_ns = now_ns + HEED_NS;
		upkeep->promote_at_ms = upkeep->fire_at_ms = INT64_MIN;
	}
	/* What is wrong with one duty must not keep us from the others. */
	status = keep_due(upkeep, &upkeep->fire_at_ms, ops->fire, ret, reterr);
	status = first_of(status,
			  keep_due(upkeep, &upkeep->promote_at_ms, ops->promote,
				   ret, more_of(status, reterr, &more)));
	status = first_of(status, look(upkeep, self, now_ns, ret,
				       more_of(status, reterr, &more)));
	status = first_of(
		status, clean(upkeep, now_ns, more_of(status, reterr, &more)));
	return status;
}
