/*
 * Mutexes and parks: what everything else here stands on.
 */
#include "scenario.h"

#include "sync/clock.h"
#include "sync/mutex.h"
#include "sync/park.h"

static struct weir_mutex mu;
static struct weir_park park;
static int counter, message, late;

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
	message = 0;
	late = 0;
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

static void
park_owner_resets(void)
{
	CHECK(weir__park_wait(&park, WEIR_FOREVER));
	weir__park_reset(&park);
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
	 .promise = "a signal that is forgotten has shown what was written "
		    "before it",
	 .setup = park_setup,
	 .thread = {park_owner_resets, park_signaller}},
	{.name = NULL},
};
