/*
 * Lines of jobs that wait, and the gates that limits put before them.
 *
 * Design.  A gate has a width, a rate, or both.  A job passes the gate of its
 * queue, then that of its kind, and then is ready; where it cannot pass, it
 * waits, and whatever makes room or brings a token lets the first one through.
 *
 *      claimed ──> queue's gate ──> kind's gate ──> ready ──> running
 *
 * Gates are always passed in that order, so nobody waits in a circle.  A token
 * is taken when a job begins, not when it becomes ready, for it may stand
 * ready for long; one that gets none goes back to the front of its gate, which
 * is shut until there will be one.
 *
 * Locking.  All with work.mu held.  A limit has a lock of its own, a leaf.
 */
#include "queue/work_inside.h"

#include "base/assert.h"

void
weir__line_init(struct weir_line *line)
{
	for (size_t i = 0; i < WEIR_PRIORITY_LAST; i++)
		weir__list_init(&line->lists[i]);
	line->len = 0;
}

static struct weir_list *
list_of(struct weir_line *line, const struct weir_held *held)
{
	uint32_t priority = held->claim->row.priority;

	/* What the store says is data: anything else is the last. */
	if (priority < WEIR_PRIORITY_FIRST || priority > WEIR_PRIORITY_LAST)
		priority = WEIR_PRIORITY_LAST;
	return &line->lists[priority - 1];
}

void
weir__line_push(struct weir_line *line, struct weir_held *held)
{
	weir_assert(weir__list_empty(&held->link));
	weir__list_append(list_of(line, held), &held->link);
	line->len++;
}

/* Back to where it was popped from. */
static void
line_unpop(struct weir_line *line, struct weir_held *held)
{
	weir__list_prepend(list_of(line, held), &held->link);
	line->len++;
}

struct weir_held *
weir__line_pop(struct weir_line *line)
{
	struct weir_list *link = NULL;

	for (size_t i = 0; !link && i < WEIR_PRIORITY_LAST; i++)
		link = weir__list_pop(&line->lists[i]);
	weir_assert(!link == (line->len == 0));
	if (!link)
		return NULL;
	line->len--;
	return weir_container_of(link, struct weir_held, link);
}

void
weir__line_remove(struct weir_line *line, struct weir_held *held)
{
	weir_assert(line->len > 0 && !weir__list_empty(&held->link));
	weir__list_remove(&held->link);
	line->len--;
}

/* Would it let one more through? */
static bool
is_open(const struct weir_gate *gate, int64_t now_ns)
{
	weir_assert(gate->unbegun <= gate->inside);
	if (gate->width > 0 && gate->inside >= gate->width)
		return false;
	return !gate->limit ||
	       (gate->unbegun < gate->burst && now_ns >= gate->shut_until_ns);
}

static void
wait_at(struct weir_gate *gate, struct weir_held *held, int64_t now_ns)
{
	weir_assert(held->gates[held->passed] == gate);
	held->place = WEIR_HELD_GATE;
	if (gate->line.len == 0)
		gate->moved_ns = now_ns;
	weir__line_push(&gate->line, held);
}

/* From gate `passed` on, as far as it gets. */
static void advance_locked(weir_work *work, struct weir_held *held,
			   int64_t now_ns) WEIR_REQUIRES(work->mu);

static void
advance_locked(weir_work *work, struct weir_held *held, int64_t now_ns)
{
	for (; held->passed < 2; held->passed++) {
		struct weir_gate *gate = held->gates[held->passed];

		if (!gate)
			continue;
		if (!is_open(gate, now_ns)) {
			wait_at(gate, held, now_ns);
			return;
		}
		gate->inside++;
		gate->unbegun++;
	}
	held->place = WEIR_HELD_READY;
	weir__line_push(&work->ready, held);
}

/* Let through who waits, as far as it is open. */
static void admit_locked(weir_work *work, struct weir_gate *gate,
			 int64_t now_ns) WEIR_REQUIRES(work->mu);

static void
admit_locked(weir_work *work, struct weir_gate *gate, int64_t now_ns)
{
	struct weir_held *held;

	while (gate->line.len > 0 && is_open(gate, now_ns)) {
		held = weir__line_pop(&gate->line);
		weir_assert(held->gates[held->passed] == gate);
		gate->inside++;
		gate->unbegun++;
		gate->moved_ns = now_ns;
		held->passed++;
		advance_locked(work, held, now_ns);
	}
}

void
weir__gates_enter_locked(weir_work *work, struct weir_held *held,
			 int64_t now_ns)
{
	struct weir_gate *gate = held->gates[0];

	held->passed = 0;
	/* Nobody overtakes those that wait already; not even a moment. */
	if (gate && gate->line.len > 0) {
		wait_at(gate, held, now_ns);
		admit_locked(work, gate, now_ns);
		return;
	}
	advance_locked(work, held, now_ns);
}

/* The kind's gate is the only one with a rate. */
bool
weir__gates_begin_locked(weir_work *work, struct weir_held *held,
			 int64_t now_ns)
{
	struct weir_gate *gate = held->gates[1];
	int64_t wait_ns;

	weir_assert(held->passed == 2);
	if (gate && gate->limit &&
	    weir_limit_try_take(gate->limit, &wait_ns) != WEIR_OK) {
		gate->shut_until_ns = weir__deadline_ns(now_ns, wait_ns);
		work->gate_was_shut = true;
		gate->inside--;
		gate->unbegun--;
		held->passed = 1;
		held->place = WEIR_HELD_GATE;
		line_unpop(&gate->line, held);
		return false;
	}
	for (int i = 0; i < 2; i++)
		if (held->gates[i])
			held->gates[i]->unbegun--;
	if (gate && gate->limit)
		admit_locked(work, gate, now_ns);
	return true;
}

void
weir__gates_leave_locked(weir_work *work, struct weir_held *held,
			 int64_t now_ns)
{
	bool unbegun = held->place != WEIR_HELD_TAKEN;

	weir_assert(held->passed <= 2);
	/* The last that it passed first, so that who is let in finds room. */
	for (uint32_t i = held->passed; i-- > 0;) {
		struct weir_gate *gate = held->gates[i];

		if (!gate)
			continue;
		weir_assert(gate->inside > 0);
		gate->inside--;
		if (unbegun)
			gate->unbegun--;
		admit_locked(work, gate, now_ns);
	}
}

static uint32_t
enough_for(const struct weir_gate *gate)
{
	weir_assert(gate->width > 0 || gate->limit);
	return gate->limit && gate->burst > gate->width ? gate->burst
							: gate->width;
}

bool
weir__gate_has_enough(const struct weir_gate *gate)
{
	return gate->line.len >= enough_for(gate);
}

bool
weir__gate_is_stalled(const struct weir_gate *gate, int64_t now_ns)
{
	return gate->line.len > enough_for(gate) &&
	       now_ns - gate->moved_ns >= WEIR_STALL_NS;
}

int64_t
weir__gates_open_locked(weir_work *work, int64_t now_ns, bool *ret_stalled)
{
	int64_t next_ns = WEIR_FOREVER;

	*ret_stalled = false;

	for (size_t i = 0; i < work->gate_count; i++) {
		struct weir_gate *gate = &work->gates[i];

		if (gate->line.len == 0)
			continue;
		if (gate->limit)
			admit_locked(work, gate, now_ns);
		if (weir__gate_is_stalled(gate, now_ns))
			*ret_stalled = true;
		else if (gate->line.len > enough_for(gate))
			next_ns = weir__earlier_ns(
				next_ns, gate->moved_ns + WEIR_STALL_NS);
		if (gate->line.len > 0 && gate->shut_until_ns > now_ns)
			next_ns =
				weir__earlier_ns(next_ns, gate->shut_until_ns);
	}
	return next_ns;
}
