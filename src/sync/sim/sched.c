/*
 * Who runs next, what time it is, what goes wrong, and the verdict.
 *
 * Design.  A fiber runs on through a number of steps that was drawn
 * beforehand, so that a step that decides nothing costs a decrement.  Half of
 * the schedules are random walks: when the number is used up, any fiber that
 * can run is as likely as another.  The other half is PCT (Burckhardt et al.,
 * "A Randomized Scheduler with Probabilistic Guarantees of Finding Bugs",
 * 2010) of depth 3: the fiber of the highest random priority runs, and at two
 * random steps the one that is running drops below all others.
 *
 * Time.  The clock stands still while somebody can run, but for sim_work(),
 * and jumps to the next deadline when nobody can.  In hasty schedules it also
 * jumps while somebody can, as it does on a busy machine; in late ones it
 * jumps past the deadline.
 *
 * Failures: nobody can run and nobody has a deadline; too many steps; a
 * broken assertion or check; fibers or memory left at the end.
 */
#include "sync/sim/inside.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define STEPS_MAX  200000 /* the longest scenario takes a tenth of it */
#define DECIDE_MAX 64     /* PCT: look around at least every so many steps */
#define LATE_NS    (2 * WEIR_MS)
#define START_NS   (1000 * WEIR_S)

struct sim sim;

uint32_t
sim_any_of(uint32_t mask)
{
	uint32_t skip = sim_below((uint32_t)__builtin_popcount(mask));

	for (; skip > 0; skip--)
		mask &= mask - 1;
	return (uint32_t)__builtin_ctz(mask);
}

_Noreturn void
sim_end(void)
{
	void *nowhere = sim_self()->sp;

	sim.verdict->steps = sim.steps + (uint64_t)(sim.stride - sim.countdown);
	sim_switch(&nowhere, sim.program_sp);
	__builtin_unreachable();
}

_Noreturn void
sim_fail(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(sim.verdict->why, sizeof(sim.verdict->why), format, args);
	va_end(args);
	sim.verdict->failed = true;
	sim_end();
}

_Noreturn void
weir__assert_failed(const char *what, const char *file, int line,
		    const char *function)
{
	sim_fail("assertion: %s is false (%s:%d, %s)", what, file, line,
		 function);
}

void
sim_trace(const char *operation, const void *word, uint64_t value,
	  const void *caller)
{
	struct sim_step step = {
		.number = sim.steps + (uint64_t)(sim.stride - sim.countdown),
		.now_ns = sim.now_ns - START_NS,
		.fiber = sim_self()->name,
		.operation = operation,
		.word = word,
		.value = value,
		.caller = caller,
	};

	sim.setup->trace(&step);
}

/* How long the next one may run undisturbed. */
static void
set_countdown(void)
{
	int64_t stride = DECIDE_MAX;

	if (!sim.pct) {
		stride = 1 + (int64_t)(weir__rng_next(&sim.rng) & sim.mask);
	} else {
		for (int i = 0; i < 2; i++)
			if (sim.change[i] > sim.steps &&
			    (int64_t)(sim.change[i] - sim.steps) < stride)
				stride = (int64_t)(sim.change[i] - sim.steps);
	}
	sim.stride = sim.countdown = (int32_t)stride;
}

void
sim_make_runnable(uint32_t fiber)
{
	struct sim_fiber *f = &sim.fibers[fiber];

	f->state = SIM_RUNNABLE;
	sim.runnable |= UINT32_C(1) << fiber;
	sim.spinning &= ~(UINT32_C(1) << fiber);
	/* PCT: it may be more important than the one that runs. */
	if (sim.pct && f->priority > sim_self()->priority &&
	    sim.countdown > 1) {
		sim.steps += (uint64_t)(sim.stride - sim.countdown);
		sim.stride = sim.countdown = 1;
	}
}

static uint32_t
most_important(void)
{
	uint32_t mask = sim.runnable, best = (uint32_t)__builtin_ctz(mask);

	for (mask &= mask - 1; mask; mask &= mask - 1) {
		uint32_t i = (uint32_t)__builtin_ctz(mask);

		if (sim.fibers[i].priority > sim.fibers[best].priority)
			best = i;
	}
	return best;
}

/* The sleeper whose deadline comes first, or -1. */
static int
next_due(void)
{
	int found = -1;

	for (uint32_t i = 0; i < sim.count; i++) {
		const struct sim_fiber *f = &sim.fibers[i];

		if (f->state == SIM_ASLEEP && f->deadline_ns != WEIR_FOREVER &&
		    (found < 0 ||
		     f->deadline_ns < sim.fibers[found].deadline_ns))
			found = (int)i;
	}
	return found;
}

/* Let the first deadline pass.  False if there is none. */
static bool
pass_time(void)
{
	int due = next_due();
	int64_t to_ns;

	if (due < 0)
		return false;
	to_ns = sim.fibers[due].deadline_ns;
	if (sim.late && sim_below(2) == 0)
		to_ns += sim_below(LATE_NS);
	if (to_ns > sim.now_ns)
		sim.now_ns = to_ns;
	sim.fibers[due].late = true;
	sim_make_runnable((uint32_t)due);
	return true;
}

static void
describe(char *text, size_t size, const struct sim_fiber *f)
{
	static const char *const states[] = {"runs", "spins", "sleeps on",
					     "joins", "is done"};
	char where[64] = "";
	size_t len = strlen(text);

	if (f->state == SIM_ASLEEP)
		sim_address_name(f->word, where, sizeof(where));
	snprintf(text + len, size - len, "; %s %s %s", f->name,
		 states[f->state],
		 f->state == SIM_JOINING ? sim.fibers[f->joining].name : where);
}

static _Noreturn void
fail_standstill(void)
{
	char text[300] = "";

	for (uint32_t i = 0; i < sim.count; i++)
		if (sim.fibers[i].state != SIM_DONE)
			describe(text, sizeof(text), &sim.fibers[i]);
	sim_fail("standstill: nobody can run, nobody has a deadline%s", text);
}

/* Somebody who can run; time passes if need be. */
static uint32_t
choose(void)
{
	while (!sim.runnable) {
		if (sim.spinning)
			sim_make_runnable(sim_any_of(sim.spinning));
		else if (!pass_time())
			fail_standstill();
	}
	return sim.pct ? most_important() : sim_any_of(sim.runnable);
}

static void
go_to(uint32_t next)
{
	uint32_t self = sim.self;

	set_countdown();
	if (next == self)
		return;
	sim.self = next;
	sim_switch(&sim.fibers[self].sp, sim.fibers[next].sp);
}

/* What may go wrong, or go on, at any moment. */
static void
disturb(void)
{
	struct sim_fiber *f;

	if (sim.memory == SIM_MEMORY_TSO) {
		f = &sim.fibers[sim_below(sim.count)];
		if (f->buffered > 0)
			sim_flush_one(f);
	}
	if (sim.spurious && sim_below(8) == 0) {
		f = &sim.fibers[sim_below(sim.count)];
		if (f->state == SIM_ASLEEP) {
			f->late = false;
			sim_make_runnable((uint32_t)(f - sim.fibers));
		}
	}
	if (sim.hasty && sim_below(16) == 0)
		pass_time();
}

static void
account(void)
{
	sim.steps += (uint64_t)(sim.stride - sim.countdown);
	sim.stride = sim.countdown;
	if (sim.steps > sim.steps_max)
		sim_fail("livelock: still running after %llu steps",
			 (unsigned long long)sim.steps);
}

void
sim_decide(void)
{
	account();
	disturb();
	if (sim.pct &&
	    (sim.steps == sim.change[0] || sim.steps == sim.change[1]))
		sim_self()->priority = sim.priority_low--;
	go_to(choose());
}

void
sim_block(void)
{
	account();
	sim.runnable &= ~(UINT32_C(1) << sim.self);
	go_to(choose());
}

void
sim_give_way(void)
{
	uint32_t others = sim.runnable & ~(UINT32_C(1) << sim.self);

	account();
	if (sim.pct)
		sim_self()->priority = sim.priority_low--;
	go_to(others && !sim.pct ? sim_any_of(others) : choose());
}

static void
fiber_entry(void)
{
	struct sim_fiber *f = sim_self();

	f->fn(f->arg);
	sim_flush(f);
	f->state = SIM_DONE;
	for (uint32_t i = 0; i < sim.count; i++)
		if (sim.fibers[i].state == SIM_JOINING &&
		    sim.fibers[i].joining == (int)sim.self)
			sim_make_runnable(i);
	sim_block();
	__builtin_unreachable();
}

int
sim_fiber_new(const char *name, void (*fn)(void *), void *arg)
{
	struct sim_fiber *f = &sim.fibers[sim.count];

	if (sim.count == SIM_FIBERS)
		return -1;
	memset(f, 0, sizeof(*f));
	f->name = name;
	f->fn = fn;
	f->arg = arg;
	f->priority =
		(UINT64_C(1) << 40) + (weir__rng_next(&sim.rng) & UINT32_MAX);
	f->sp = sim_fresh(sim.count, fiber_entry);
	sim.count++;
	sim_learn(sim.count - 1, sim.self);
	sim_make_runnable(sim.count - 1);
	return (int)sim.count - 1;
}

void
sim_fiber_join(uint32_t fiber)
{
	struct sim_fiber *f = &sim.fibers[fiber];

	sim_check(fiber < sim.count && !f->joined);
	if (f->state != SIM_DONE) {
		sim_self()->state = SIM_JOINING;
		sim_self()->joining = (int)fiber;
		sim_block();
	}
	f->joined = true;
	sim_learn(sim.self, fiber);
}

/* The first fiber: the scenario, and a look at what it leaves. */
static void
first_entry(void)
{
	const char *wrong;

	sim.setup->scenario();
	for (uint32_t i = 1; i < sim.count; i++) {
		if (sim.fibers[i].state != SIM_DONE)
			sim_fail("%s is left running at the end",
				 sim.fibers[i].name);
		if (!sim.fibers[i].joined)
			sim_fail("%s was never joined", sim.fibers[i].name);
	}
	wrong = sim_heap_verdict();
	if (wrong)
		sim_fail("%s", wrong);
	sim_end();
}

/* What kind of schedule the seed asks for. */
static void
draw_manner(unsigned faults)
{
	uint32_t length = UINT32_C(16) << sim_below(9);

	sim.memory = (enum sim_memory)sim_below(3);
	sim.pct = sim_below(2) == 0;
	sim.mask = (UINT32_C(1) << sim_below(6)) - 1;
	sim.change[0] = 1 + sim_below(length);
	sim.change[1] = 1 + sim_below(length);
	sim.priority_low = UINT64_C(1) << 32;
	sim.spurious = sim_below(4) == 0;
	sim.late = sim_below(4) == 0;
	sim.hasty = sim_below(4) == 0;
	sim.alloc_fails = sim.alloc_chance = sim.thread_fails = 0;
	if ((faults & SIM_FAIL_ALLOC) && sim_below(8) == 0)
		sim.alloc_fails = 1 + sim_below(24);
	if ((faults & SIM_FAIL_ALLOC) && sim_below(32) == 0)
		sim.alloc_chance = 2 + sim_below(30);
	if ((faults & SIM_FAIL_THREAD) && sim_below(16) == 0)
		sim.thread_fails = 1 + sim_below(4);
}

void
sim_run(const struct sim_setup *setup, struct sim_verdict *ret)
{
	struct sim_fiber *first = &sim.fibers[0];

	ret->failed = false;
	ret->why[0] = '\0';
	sim.setup = setup;
	sim.verdict = ret;
	sim.rng.state = setup->seed * UINT64_C(0x9e3779b97f4a7c15);
	sim.now_ns = START_NS;
	sim.steps = 0;
	sim.steps_max = STEPS_MAX;
	sim.spinning = 0;
	sim.allocs = sim.threads = 0;
	sim.refused = false;
	draw_manner(setup->faults);
	ret->memory = sim.memory;
	sim_memory_reset();
	sim_heap_reset();
	memset(first, 0, sizeof(*first));
	first->name = "main";
	first->priority =
		(UINT64_C(1) << 40) + (weir__rng_next(&sim.rng) & UINT32_MAX);
	first->sp = sim_fresh(0, first_entry);
	sim.count = 1;
	sim.self = 0;
	sim.runnable = 1;
	set_countdown();
	sim.program_sp = NULL;
	sim_switch(&sim.program_sp, first->sp);
}

void
sim_address_name(const void *address, char *ret, size_t size)
{
	size_t offset;
	int block = sim_block_of(address, &offset);
	int stack = sim_stack_of(address);

	if (!address)
		snprintf(ret, size, "-");
	else if (block >= 0)
		snprintf(ret, size, "block%d+0x%zx", block, offset);
	else if (stack >= 0)
		snprintf(ret, size, "%s's stack %04x", sim.fibers[stack].name,
			 (unsigned)((uintptr_t)address & 0x1ffff));
	else
		snprintf(ret, size, "%p", address);
}
