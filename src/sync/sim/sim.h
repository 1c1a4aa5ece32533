/*
 * The deterministic simulator, as a scenario sees it.
 *
 * A scenario is a function.  sim_run() runs it once, as the first of a few
 * fibers that stand for threads, over the core compiled with WEIR_CHECKED.
 * One number, the seed, decides everything: who runs when, which stores are
 * still on their way, what time it is, what is refused.  The same seed gives
 * the same run, step by step.
 *
 *      seed --> [ fibers | memory | clock | heap | faults ] --> verdict
 *                         ^
 *                         the hooks of src/sync
 *
 * Nothing here calls the kernel, so a small scenario takes microseconds.
 */
#ifndef WEIR_SRC_SYNC_SIM_H
#define WEIR_SRC_SYNC_SIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The most threads of a scenario, the first one and the pool's included. */
#define SIM_FIBERS 12

/* What the library may be refused in a schedule. */
enum sim_fault {
	SIM_FAIL_ALLOC = 1,  /* memory */
	SIM_FAIL_THREAD = 2, /* threads */
};

/* How memory behaves in a schedule. */
enum sim_memory {
	SIM_MEMORY_SC,   /* every store is seen by all at once */
	SIM_MEMORY_TSO,  /* stores wait in a buffer of the thread's: x86 */
	SIM_MEMORY_WEAK, /* what C11 allows to loads: ARM, POWER, and worse */
};

/* One step, for a trace. */
struct sim_step {
	uint64_t number;
	int64_t now_ns;
	const char *fiber;
	const char *operation;
	const void *word; /* NULL if it is about none */
	uint64_t value;
	const void *caller;
};

struct sim_setup {
	uint64_t seed;
	unsigned faults; /* a set of enum sim_fault: what the scenario bears */
	void (*scenario)(void);
	void (*trace)(const struct sim_step *step); /* may be NULL */
};

struct sim_verdict {
	bool failed;
	char why[400];
	uint64_t steps;
	enum sim_memory memory;
};

/* Run one schedule. */
void sim_run(const struct sim_setup *setup, struct sim_verdict *ret);

/* A name for an address, for traces: "block 3 + 0x40". */
void sim_address_name(const void *address, char *ret, size_t size);

/* Everything below is for scenarios, inside of sim_run(). */

/* Another thread; its number.  The scenario joins each that it starts. */
int sim_spawn(const char *name, void (*fn)(void *), void *arg);
void sim_join(int fiber);

/* A choice of the scenario's, from 0 to n - 1; part of the seed. */
uint32_t sim_choice(uint32_t n);

/* Compute for so long: the clock goes on, and others may run. */
void sim_work(int64_t duration_ns);

/* Does time pass in this schedule although somebody can run? */
bool sim_is_hasty(void);

/* Were memory or threads refused so far? */
bool sim_refused(void);

/* The promise is broken: end the schedule here. */
_Noreturn void sim_fail(const char *format, ...)
	__attribute__((format(printf, 1, 2)));

#define SIM_STRING_(x) #x
#define SIM_STRING(x)  SIM_STRING_(x)
#define sim_check(condition)                                    \
	((condition) ? (void)0                                  \
		     : sim_fail("%s is false (%s)", #condition, \
				__FILE__ ":" SIM_STRING(__LINE__)))

#endif
