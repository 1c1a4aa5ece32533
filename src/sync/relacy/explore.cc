/*
 * One execution after another.
 *
 * Design.  relacy wants the number of threads at compile time, and wants a
 * class; here is one for each pair of threads that a scenario has and workers
 * that it starts, and the scenario itself is data.  The scheduler is our own
 * (strategy.cc says why) in place of relacy's random one, and like that one
 * it takes all its choices from the number of the execution.
 *
 * A failed execution is not unwound: its fibers are left where they are.  A
 * library that is written in C has nothing to unwind with, and what they
 * held is the arena's.
 */
#include "sync/relacy/model.hpp"

extern "C" {
#include "sync/mutant.h"
}

#include <stdarg.h>

extern "C" {
enum weir_mutant weir__mutant;
/* The linker's: where this program begins in memory. */
extern const char __executable_start;
}

namespace model
{

execution now;

namespace
{

const weir_scenario *scenario;
const unsigned steps_max = 20000;

template <rl::thread_id_t N>
class our_scheduler
    : public rl::scheduler<our_scheduler<N>, rl::scheduler_thread_info, N>
{
	typedef rl::scheduler<our_scheduler<N>, rl::scheduler_thread_info, N>
		base;

      public:
	typedef typename base::shared_context_t shared_context_t;
	typedef typename base::thread_info_t thread_info_t;
	struct task_t {
	};

	our_scheduler(rl::test_params &params, shared_context_t &context,
		      rl::thread_id_t dynamic)
	    : base(params, context, dynamic)
	{
	}

	rl::thread_id_t iteration_begin_impl()
	{
		rl::unpark_reason reason;

		now.number = this->iter_;
		strategy_begin(this->iter_, N);
		return schedule_impl(reason, 0);
	}

	bool iteration_end_impl()
	{
		return this->iter_ == this->params_.iteration_count;
	}

	rl::thread_id_t schedule_impl(rl::unpark_reason &reason, unsigned yield)
	{
		int current = this->thread_ ? this->thread_->index_ : -1;
		int running = this->running_threads_count;

		if (this->timed_thread_count_ > 0 &&
		    (running == 0 || strategy_wants_time()))
			return time_out(reason, running == 0);
		if (this->spurious_thread_count_ > 0 && running > 0 &&
		    strategy_wants_spurious())
			return wake_for_nothing(reason);
		reason = rl::unpark_reason_normal;
		return strategy_next(&this->running_threads[0], running,
				     current, yield > 0);
	}

	unsigned rand_impl(unsigned limit, rl::sched_type)
	{
		return choose(limit);
	}

	rl::iteration_t iteration_count_impl()
	{
		return this->params_.iteration_count;
	}

	void get_state_impl(std::ostream &)
	{
	}
	void set_state_impl(std::istream &)
	{
	}
	void on_thread_block(rl::thread_id_t, bool)
	{
	}

      private:
	rl::thread_id_t time_out(rl::unpark_reason &reason, bool idle)
	{
		int threads[N], count = this->timed_thread_count_, which;

		for (int i = 0; i < count; i++)
			threads[i] = this->timed_threads_[i]->index_;
		which = first_to_time_out(threads, count, idle);
		if (which < 0)
			fail("only the clock moves: a wake-up was lost");
		this->unpark_thread(threads[which]);
		reason = rl::unpark_reason_timeout;
		return threads[which];
	}

	rl::thread_id_t wake_for_nothing(rl::unpark_reason &reason)
	{
		unsigned count = (unsigned)this->spurious_thread_count_;
		rl::thread_id_t thread =
			this->spurious_threads_[choose(count)]->index_;

		this->unpark_thread(thread);
		reason = rl::unpark_reason_spurious;
		return thread;
	}
};

template <int bodies, int workers>
struct suite : rl::test_suite<suite<bodies, workers>, bodies> {
	static rl::thread_id_t const dynamic_thread_count = workers;

	void before()
	{
		now.generation++;
		now.alone = true;
		now.track_plain = true;
		memory_begin();
		words_begin();
		waiting_begin();
		if (scenario->setup)
			scenario->setup();
		now.alone = false;
	}

	void thread(unsigned i)
	{
		scenario->thread[i]();
		if (now.tracing)
			trace(nullptr, "ends");
	}

	void after()
	{
		now.alone = true;
		if (scenario->finish)
			scenario->finish();
		memory_end();
		words_end();
	}
};

template <int bodies, int workers>
bool
run(uint64_t first, uint64_t count, weir_finding *ret)
{
	typedef our_scheduler<bodies + workers> scheduler;
	typedef rl::context_impl<suite<bodies, workers>, scheduler> context;

	std::ostream nowhere(nullptr);
	typename scheduler::shared_context_t shared;
	rl::test_params params;
	rl::ostringstream state;
	rl::test_result_e result;

	params.iteration_count = first + count - 1;
	params.output_stream = &nowhere;
	params.progress_stream = &nowhere;
	params.execution_depth_limit = steps_max;
	state << first << " ";
	{
		rl::istringstream from(state.str());
		rl::ostringstream to;

		result = context(params, shared).simulate(to, from, false);
	}
	if (result == rl::test_result_success)
		return true;
	ret->execution = params.stop_iteration;
	snprintf(ret->text, sizeof(ret->text), "%s",
		 now.finding[0] ? now.finding : rl::test_result_str(result));
	return false;
}

typedef bool run_fn(uint64_t first, uint64_t count, weir_finding *ret);

/* By the number of threads that a scenario has, less one, and of workers. */
run_fn *const runs[WEIR_EXPLORE_THREADS][WEIR_EXPLORE_THREADS] = {
	{nullptr, run<1, 1>, run<1, 2>, run<1, 3>},
	{run<2, 0>, run<2, 1>, nullptr, nullptr},
	{run<3, 0>, nullptr, nullptr, nullptr},
	{run<4, 0>, nullptr, nullptr, nullptr},
};

} /* namespace */

void
fail(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(now.finding, sizeof(now.finding), format, args);
	va_end(args);
	rl::ctx().fail_test("", rl::test_result_user_assert_failed, RL_INFO);
	abort(); /* it does not return */
}

int
thread_budget(void)
{
	return scenario->workers;
}

/* addr2line's answer, function and place; it comes with the compiler. */
const char *
place_of(const void *pc)
{
	static char place[200];
	char command[128], function[96] = "?", file[128] = "?";
	FILE *answer;

	snprintf(command, sizeof(command),
		 "addr2line -f -s -e /proc/%d/exe %zx 2>/dev/null",
		 (int)getpid(),
		 (size_t)((const char *)pc - &__executable_start - 1));
	answer = popen(command, "r");
	if (answer) {
		if (fscanf(answer, "%95s %127s", function, file) < 1)
			function[0] = '?';
		pclose(answer);
	}
	snprintf(place, sizeof(place), "%.90s (%.100s)", function, file);
	return place;
}

void
trace(const void *pc, const char *format, ...)
{
	va_list args;
	char text[160];

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	printf("# thread %d: %-50s %s\n", rl::ctx().threadx_->index_, text,
	       pc ? place_of(pc) : "");
}

} /* namespace model */

extern "C" {

bool
weir__explore(const struct weir_scenario *s, uint64_t first, uint64_t count,
	      bool trace, struct weir_finding *ret)
{
	int bodies = 0;

	while (bodies < WEIR_EXPLORE_THREADS && s->thread[bodies])
		bodies++;
	model::scenario = s;
	model::now.tracing = trace;
	model::now.finding[0] = '\0';
	return model::runs[bodies - 1][s->workers](first, count, ret);
}

unsigned
weir__explore_choice(unsigned limit)
{
	return model::choose(limit);
}

bool
weir__explore_is_hasty(void)
{
	return model::strategy_is_hasty();
}

uint64_t
weir__explore_execution(void)
{
	return model::now.number;
}
}
