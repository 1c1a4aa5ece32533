/*
 * The two things that everything else waits with: parks and mutexes.
 */
#include "scenario.h"

#include "sync/data.h"
#include "sync/mutex.h"
#include "sync/park.h"

/* A park and what its signallers say with it. */
struct talk {
	struct weir_mutex mu;
	struct weir_park park;
	struct weir_u32 said;
	uint32_t count;
	int data;
	bool kicked; /* the signal found somebody in bed */
};

static struct talk talk;

static void
talk_init(void)
{
	weir__mutex_init(&talk.mu);
	weir__park_init(&talk.park);
	weir__u32_store(&talk.said, 0, WEIR_RELAXED);
	talk.count = 0;
	talk.data = 0;
	talk.kicked = false;
}

static void
signaller(void *arg)
{
	(void)arg;
	weir__data_write(&talk.data);
	weir__u32_store(&talk.said, 1, WEIR_RELAXED);
	talk.kicked = weir__park_signal(&talk.park);
	if (talk.kicked)
		weir__park_kick(&talk.park);
}

static void
park_signal(void)
{
	int other;

	talk_init();
	other = sim_spawn("signaller", signaller, NULL);
	sim_check(weir__park_wait(&talk.park, WEIR_FOREVER));
	weir__data_read(&talk.data);
	sim_check(weir__u32_load(&talk.said, WEIR_RELAXED) == 1);
	sim_join(other);
}

static void
park_deadline(void)
{
	int other;
	bool signalled;

	talk_init();
	other = sim_spawn("signaller", signaller, NULL);
	signalled = weir__park_wait(&talk.park, weir_now_ns() + WEIR_MS);
	if (signalled)
		sim_check(weir__u32_load(&talk.said, WEIR_RELAXED) == 1);
	sim_join(other);
	/* Who is found in bed has been told, even at the last moment. */
	sim_check(signalled || !talk.kicked);
	if (!signalled)
		sim_check(weir__park_wait(&talk.park, WEIR_FOREVER));
}

/* The owner's loop: reset, look, wait. */
static void
park_reset(void)
{
	int other;

	talk_init();
	other = sim_spawn("signaller", signaller, NULL);
	for (;;) {
		weir__park_reset(&talk.park);
		if (weir__u32_load(&talk.said, WEIR_RELAXED))
			break;
		weir__park_wait(&talk.park, WEIR_FOREVER);
	}
	sim_join(other);
}

static void
adder(void *arg)
{
	uint32_t before;

	(void)arg;
	weir__mutex_lock(&talk.mu);
	weir__data_write(&talk.data);
	before = talk.count;
	sim_work(0);
	talk.count = before + 1;
	before = weir__u32_load(&talk.said, WEIR_RELAXED);
	weir__u32_store(&talk.said, before + 1, WEIR_RELAXED);
	weir__mutex_unlock(&talk.mu);
}

static void
add_up(int threads)
{
	int other[4];

	talk_init();
	for (int i = 0; i < threads; i++)
		other[i] = sim_spawn("adder", adder, NULL);
	adder(NULL);
	for (int i = 0; i < threads; i++)
		sim_join(other[i]);
	sim_check(talk.count == (uint32_t)threads + 1);
	sim_check(weir__u32_load(&talk.said, WEIR_RELAXED) ==
		  (uint32_t)threads + 1);
	weir__mutex_fini(&talk.mu);
}

static void
mutex_two(void)
{
	add_up(1);
}

static void
mutex_three(void)
{
	add_up(2);
}

const struct scenario sync_scenarios[] = {
	{"park_signal",
	 "a signal is seen, whenever it comes, with all before it", park_signal,
	 0, 40},
	{"park_deadline", "a signal that comes too late is kept", park_deadline,
	 0, 40},
	{"park_reset", "an owner that resets, looks and waits misses nothing",
	 park_reset, 0, 40},
	{"mutex_two", "one at a time, and the next sees what the last one did",
	 mutex_two, 0, 40},
	{"mutex_three", "a mutex that several wait for goes to each of them",
	 mutex_three, 0, 20},
	SCENARIOS_END,
};
