/*
 * Mutexes and parks: what everything else here stands on.
 */
#include "scenario.h"

#include "sync/clock.h"
#include "sync/mutex.h"
#include "sync/park.h"

static struct weir_mutex mu;
static struct weir_park park;
static struct weir_u32 flag;
static int counter, message;

static void
mutex_setup(void)
{
	weir__mutex_init(&mu);
	counter = 0;
}

static void
count_once(void)
{
	weir__mutex_lock(&mu);
	weir__data_read(&counter);
	weir__data_write(&counter);
	counter++;
	weir__mutex_unlock(&mu);
}

static void
count_twice(void)
{
	count_once();
	count_once();
}

static void
counted_two(void)
{
	CHECK(counter == 2);
	weir__mutex_fini(&mu);
}

static void
counted_three(void)
{
	CHECK(counter == 3);
	weir__mutex_fini(&mu);
}

static void
park_setup(void)
{
	weir__park_init(&park);
	weir__u32_store(&flag, 0, WEIR_RELAXED);
	message = 0;
}

static void
park_signaller(void)
{
	weir__data_write(&message);
	message = 1;
	if (weir__park_signal(&park))
		weir__park_kick(&park);
}

static void
park_owner(void)
{
	CHECK(weir__park_wait(&park, WEIR_FOREVER));
	weir__data_read(&message);
	CHECK(message == 1);
}

/*
 * As idle workers do it: forget old signals, look, and only then wait.  The
 * flag itself has no order; it is the park that gives it one.
 */
static void
park_owner_resets(void)
{
	weir__park_reset(&park);
	while (weir__u32_load(&flag, WEIR_RELAXED) == 0) {
		CHECK(weir__park_wait(&park, WEIR_FOREVER));
		weir__park_reset(&park);
	}
}

static void
park_flag_setter(void)
{
	weir__u32_store(&flag, 1, WEIR_RELAXED);
	if (weir__park_signal(&park))
		weir__park_kick(&park);
}

/* A signal may come too late, but what was said to have come has come. */
static void
park_owner_in_time(void)
{
	bool signalled = weir__park_wait(&park, weir_now_ns() + WEIR_US);

	if (!signalled)
		return;
	weir__data_read(&message);
	CHECK(message == 1);
}

static void
park_owner_twice(void)
{
	if (!weir__park_wait(&park, weir_now_ns() + WEIR_US))
		CHECK(weir__park_wait(&park, WEIR_FOREVER));
	weir__data_read(&message);
	CHECK(message == 1);
}

const struct weir_scenario sync_scenarios[] = {
	{.name = "mutex_two",
	 .promise = "a mutex lets one thread in at a time, and shows it what "
		    "the last one wrote",
	 .setup = mutex_setup,
	 .thread = {count_once, count_once},
	 .finish = counted_two},
	{.name = "mutex_three",
	 .promise = "a mutex that is given back wakes a thread that sleeps "
		    "for it",
	 .setup = mutex_setup,
	 .thread = {count_once, count_once, count_once},
	 .finish = counted_three},
	{.name = "mutex_again",
	 .promise =
		 "a thread that takes a mutex again and again does not leave "
		 "another one asleep",
	 .setup = mutex_setup,
	 .thread = {count_twice, count_once},
	 .finish = counted_three},
	{.name = "park_signal",
	 .promise = "a signal wakes the owner of a park, and shows it what was "
		    "written before",
	 .setup = park_setup,
	 .thread = {park_owner, park_signaller}},
	{.name = "park_reset",
	 .promise = "an owner that forgets a signal sees what it was about",
	 .setup = park_setup,
	 .thread = {park_owner_resets, park_flag_setter}},
	{.name = "park_late",
	 .promise = "a signal at the last moment is one, and shows what was "
		    "written before",
	 .setup = park_setup,
	 .thread = {park_owner_in_time, park_signaller}},
	{.name = "park_again",
	 .promise = "a signal that missed one wait ends the next",
	 .setup = park_setup,
	 .thread = {park_owner_twice, park_signaller}},
	{.name = NULL},
};
