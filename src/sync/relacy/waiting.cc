/*
 * Futexes, the clock, threads and their variables.
 *
 * Design.  A futex is a queue of threads that sleep on an address; looking at
 * the word and joining the queue is one step, as in the kernel, and neither
 * sleeping nor waking orders memory.  Any of the sleepers may be the one that
 * a wake-up finds.
 *
 * The clock is virtual: it goes on by a little whenever somebody looks at it,
 * and when everybody waits it jumps to the first deadline.
 */
#include "sync/relacy/model.hpp"

extern "C" {
#include "sync/clock.h"
#include "sync/futex.h"
#include "sync/random.h"
#include "sync/thread.h"

uint32_t weir__relacy_newest(const struct weir_u32 *word);
}

namespace model
{

namespace
{

/* So often may time pass with nobody else to run: more is a wake-up lost. */
const int idle_max = 200;
const int slots_max = 16;

struct sleeper {
	const void *address;
	rl::thread_id_t thread;
};

sleeper sleepers[threads_max];
int sleeper_count;
int64_t deadline_of[threads_max];
int idle_count;
int started;

struct slot {
	const void *key;
	void *value;
};

slot slots[threads_max][slots_max];

struct start {
	weir_thread_fn *fn;
	void *arg;
};

start starts[threads_max];

void
leave(rl::thread_id_t thread)
{
	for (int i = 0; i < sleeper_count; i++)
		if (sleepers[i].thread == thread) {
			sleepers[i] = sleepers[--sleeper_count];
			return;
		}
}

void *
thread_main(void *arg)
{
	start *s = (start *)arg;

	s->fn(s->arg);
	if (now.tracing)
		trace(nullptr, "ends");
	return nullptr;
}

} /* namespace */

void
waiting_begin(void)
{
	sleeper_count = 0;
	idle_count = 0;
	started = 0;
	now.clock_ns = WEIR_S;
	memset(slots, 0, sizeof(slots));
}

int
first_to_time_out(const int *threads, int count, bool idle)
{
	int first = 0;

	for (int i = 1; i < count; i++)
		if (deadline_of[threads[i]] < deadline_of[threads[first]])
			first = i;
	if (idle && ++idle_count > idle_max)
		return -1;
	if (now.clock_ns < deadline_of[threads[first]])
		now.clock_ns = deadline_of[threads[first]];
	return first;
}

} /* namespace model */

using namespace model;

#define PC __builtin_return_address(0)

extern "C" {

int64_t
weir_now_ns(void)
{
	if (!now.alone)
		now.clock_ns += choose(16) == 0 ? 2000 : 10;
	return now.clock_ns;
}

bool
weir__futex_wait(const struct weir_u32 *word, uint32_t value,
		 int64_t deadline_ns)
{
	bool timed = deadline_ns != WEIR_FOREVER;
	rl::context &c = rl::ctx();
	rl::thread_id_t self = c.threadx_->index_;
	rl::unpark_reason reason;

	if (weir__relacy_newest(word) != value)
		return false;
	if (deadline_ns <= now.clock_ns)
		return true;
	if (strategy_wants_spurious())
		return false;
	if (now.tracing)
		trace(PC, "sleep %p%s", (const void *)word,
		      timed ? ", with a deadline" : "");
	sleepers[sleeper_count].address = word;
	sleepers[sleeper_count++].thread = self;
	deadline_of[self] = deadline_ns;
	reason = c.park_current_thread(timed, true, false, RL_INFO);
	leave(self);
	if (now.tracing)
		trace(PC, "awake %p%s", (const void *)word,
		      reason == rl::unpark_reason_timeout  ? ", too late"
		      : reason == rl::unpark_reason_normal ? ""
							   : ", for nothing");
	return reason == rl::unpark_reason_timeout;
}

void
weir__futex_wake(const struct weir_u32 *word)
{
	rl::context &c = rl::ctx();
	int found[threads_max], count = 0;

	c.sched();
	for (int i = 0; i < sleeper_count; i++)
		if (sleepers[i].address == word)
			found[count++] = sleepers[i].thread;
	if (now.tracing)
		trace(PC, "wake  %p, %d sleep there", (const void *)word,
		      count);
	if (count == 0)
		return;
	found[0] = found[choose((unsigned)count)];
	leave(found[0]);
	c.unpark_thread(found[0], false, RL_INFO);
}

void
weir__yield(void)
{
	rl::ctx().yield(1, RL_INFO);
}

void
weir__pause(void)
{
	rl::ctx().yield(1, RL_INFO);
}

void **
weir__thread_slot(const void *key)
{
	slot *mine = slots[rl::ctx().threadx_->index_];

	for (int i = 0; i < slots_max; i++)
		if (!mine[i].key || mine[i].key == key) {
			mine[i].key = key;
			return &mine[i].value;
		}
	fail("a thread has too many variables");
}

weir_status
weir__thread_start(struct weir_thread *thread, const char *name,
		   size_t stack_size, weir_thread_fn *fn, void *arg)
{
	rl::win_waitable_object *handle;

	(void)stack_size;
	rl::ctx().sched();
	if (started == thread_budget())
		fail("the scenario starts more threads than it said");
	if (now.tracing)
		trace(PC, "start a thread, %s", name);
	starts[started] = {fn, arg};
	handle = rl::ctx().create_thread(thread_main, &starts[started++]);
	memcpy(&thread->native, &handle, sizeof(handle));
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
	rl::win_waitable_object *handle;

	memcpy(&handle, &thread->native, sizeof(handle));
	rl::ctx().sched();
	handle->wait(false, false, RL_INFO);
}

uint64_t
weir__random_seed(void)
{
	return choose(1u << 31);
}
}
