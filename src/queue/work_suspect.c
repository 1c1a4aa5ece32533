/*
 * Suspects: jobs with which a worker has died are run alone, so that the
 * innocent do not die with them.
 *
 *      NONE ──waited 1 s──> CLEARING ──nothing is held──> ALONE ──ended──> NONE
 *        │ ^                 │ ^                            │ ^
 *        │ └──not in time────┘ └───ended, within a second───┘ │
 *        └─────────nothing is held, nothing to be had─────────┘
 *
 * Design.  When a worker with a thousand jobs is killed they all are suspects:
 * so one follows the other for a second, and then the others have theirs.
 * While clearing and alone, nothing else is claimed.  What runs may
 * take for ever, and others must not wait that long: clearing is given up
 * after 10 s, the others go on for twice as long, and the next try has twice
 * the patience, up to 10 min.  So they have half of the time, and a suspect has
 * its turn as soon as what runs ends within our patience.  Where jobs always
 * take longer than that it has to wait for another worker, or for a stop.
 *
 * Locking.  All of it is the loop's.
 */
#include "queue/work_inside.h"

#include "base/assert.h"

#define WAIT_NS         (1 * WEIR_S)
#define TURN_NS         (1 * WEIR_S)
#define PATIENCE_NS     (10 * WEIR_S)
#define PATIENCE_NS_MAX (600 * WEIR_S)

/* Outcomes may still be pending: they are written in the turn that claims. */
static bool
is_clear(const weir_work *work)
{
	weir_assert(work->held_len >= work->pending_len + work->again_len);
	return work->held_len == work->pending_len + work->again_len;
}

static void
give_up(struct weir_suspects *s, int64_t now_ns)
{
	weir_assert(s->phase == WEIR_SUSPECT_CLEARING && s->patience_ns > 0);
	s->phase = WEIR_SUSPECT_NONE;
	s->since_ns = now_ns;
	s->not_before_ns = now_ns + 2 * s->patience_ns;
	if (s->patience_ns < PATIENCE_NS_MAX)
		s->patience_ns *= 2;
}

bool
weir__suspects_let(weir_work *work, int64_t now_ns, bool *ret_alone)
{
	struct weir_suspects *s = &work->suspects;

	if (s->phase == WEIR_SUSPECT_ALONE && is_clear(work)) {
		s->again = now_ns - s->turn_ns < TURN_NS;
		s->phase = s->again ? WEIR_SUSPECT_CLEARING : WEIR_SUSPECT_NONE;
		s->since_ns = now_ns;
		/* There may be more of them: ask for others, and see. */
		weir__work_expect_jobs(work);
	}
	if (s->phase == WEIR_SUSPECT_NONE && s->seen) {
		*ret_alone = is_clear(work) && !weir__work_expects_jobs(work);
		if (*ret_alone || now_ns < weir__suspects_at_ns(work))
			return true;
		s->phase = WEIR_SUSPECT_CLEARING;
		s->since_ns = now_ns;
	}
	if (s->phase == WEIR_SUSPECT_CLEARING) {
		*ret_alone = is_clear(work);
		if (!*ret_alone && now_ns - s->since_ns >= s->patience_ns)
			give_up(s, now_ns);
		else
			return *ret_alone;
	}
	return s->phase == WEIR_SUSPECT_NONE;
}

void
weir__suspects_note(weir_work *work, bool seen, bool alone, bool got,
		    int64_t now_ns)
{
	struct weir_suspects *s = &work->suspects;

	if (alone) {
		weir_assert(s->phase != WEIR_SUSPECT_ALONE);
		s->phase = got ? WEIR_SUSPECT_ALONE : WEIR_SUSPECT_NONE;
		if (!s->again)
			s->turn_ns = now_ns;
		s->again = false;
		s->seen = false;
		s->patience_ns = PATIENCE_NS;
		return;
	}
	if (!seen || s->seen)
		return;
	s->seen = true;
	s->since_ns = now_ns;
	if (s->patience_ns == 0)
		s->patience_ns = PATIENCE_NS;
}

int64_t
weir__suspects_at_ns(const weir_work *work)
{
	const struct weir_suspects *s = &work->suspects;
	int64_t at_ns = s->since_ns + WAIT_NS;

	if (!s->seen || s->phase == WEIR_SUSPECT_ALONE)
		return WEIR_FOREVER;
	if (s->phase == WEIR_SUSPECT_CLEARING)
		return s->since_ns + s->patience_ns;
	return at_ns > s->not_before_ns ? at_ns : s->not_before_ns;
}
