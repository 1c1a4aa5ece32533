/*
 * What a thread waits for: futexes, other threads, the clock.
 *
 * As in Linux a futex call is a system call and so a full barrier; whether the
 * word still has the value is decided in one step with going to sleep; a wait
 * may end for no reason; and of several sleepers any may be woken.
 */
#include "sync/sim/inside.h"

#include "sync/futex.h"
#include "sync/random.h"
#include "sync/thread.h"

/* A fiber that is not patient passes so many pauses in a row. */
#define IMPATIENCE 64

bool
weir__futex_wait(const struct weir_u32 *word, uint32_t value,
		 int64_t deadline_ns)
{
	struct sim_fiber *self = sim_self();

	sim_step();
	sim_flush(self);
	SIM_TRACE("futex wait", word, value);
	/* EAGAIN; EINTR. */
	if (sim_latest(word) != value || (sim.spurious && sim_below(8) == 0))
		return false;
	if (deadline_ns <= sim.now_ns)
		return true;
	self->state = SIM_ASLEEP;
	self->word = word;
	self->deadline_ns = deadline_ns;
	self->late = false;
	sim_block();
	return self->late;
}

void
weir__futex_wake(const struct weir_u32 *word)
{
	uint32_t sleepers = 0;

	sim_step();
	sim_flush(sim_self());
	SIM_TRACE("futex wake", word, 0);
	for (uint32_t i = 0; i < sim.count; i++)
		if (sim.fibers[i].state == SIM_ASLEEP &&
		    sim.fibers[i].word == word)
			sleepers |= UINT32_C(1) << i;
	if (sleepers)
		sim_make_runnable(sim_any_of(sleepers));
}

void
weir__yield(void)
{
	SIM_TRACE("yield", NULL, 0);
	sim_flush(sim_self());
	/* The others may all be running, on processors of their own. */
	if (sim_below(2) == 0)
		sim_give_way();
	else
		sim_step();
}

/*
 * Whoever spins looks at the same word again and again.  Half of them wait
 * here until it changes or nobody else can run; the others spin to their end,
 * to see what comes then.
 */
void
weir__pause(void)
{
	struct sim_fiber *self = sim_self();

	SIM_TRACE("pause", NULL, 0);
	if (self->impatience > 0) {
		self->impatience--;
		return;
	}
	if (sim_below(2) == 0) {
		self->impatience = IMPATIENCE;
		return;
	}
	self->state = SIM_SPINNING;
	sim.spinning |= UINT32_C(1) << sim.self;
	sim_block();
}

int64_t
weir_now_ns(void)
{
	sim_step();
	return sim.now_ns;
}

uint64_t
weir__random_seed(void)
{
	return weir__rng_next(&sim.rng);
}

weir_status
weir__thread_start(struct weir_thread *thread, const char *name,
		   size_t stack_size, weir_thread_fn *fn, void *arg)
{
	int fiber;

	(void)name; /* it may not last as long as the thread */
	(void)stack_size;
	sim_step();
	sim_flush(sim_self());
	if (++sim.threads == sim.thread_fails) {
		sim.refused = true;
		return WEIR_SYSTEM;
	}
	fiber = sim_fiber_new("worker", fn, arg);
	if (fiber < 0)
		sim_fail("too many threads for the simulator");
	thread->native = (pthread_t)fiber;
	SIM_TRACE("start thread", NULL, (uint64_t)fiber);
	return WEIR_OK;
}

weir_status
weir__thread_sigmask(int how, const sigset_t *set, sigset_t *ret_old)
{
	(void)how;
	(void)set;
	if (ret_old)
		sigemptyset(ret_old);
	return WEIR_OK;
}

void
weir__thread_join(struct weir_thread *thread)
{
	sim_step();
	sim_flush(sim_self());
	SIM_TRACE("join thread", NULL, (uint64_t)thread->native);
	sim_fiber_join((uint32_t)thread->native);
}

void **
weir__thread_slot(const void *key)
{
	struct sim_fiber *self = sim_self();

	for (int i = 0; i < SIM_SLOTS; i++) {
		if (!self->slot_key[i])
			self->slot_key[i] = key;
		if (self->slot_key[i] == key)
			return &self->slot[i];
	}
	sim_fail("too many thread-local variables for the simulator");
}

/* For scenarios. */

int
sim_spawn(const char *name, void (*fn)(void *), void *arg)
{
	int fiber;

	sim_step();
	sim_flush(sim_self());
	fiber = sim_fiber_new(name, fn, arg);
	if (fiber < 0)
		sim_fail("too many threads for the simulator");
	return fiber;
}

void
sim_join(int fiber)
{
	sim_step();
	sim_flush(sim_self());
	sim_fiber_join((uint32_t)fiber);
}

uint32_t
sim_choice(uint32_t n)
{
	return sim_below(n);
}

void
sim_work(int64_t duration_ns)
{
	sim_step();
	sim.now_ns += duration_ns;
	SIM_TRACE("work", NULL, (uint64_t)duration_ns);
}

bool
sim_is_hasty(void)
{
	return sim.hasty;
}

bool
sim_refused(void)
{
	return sim.refused;
}
