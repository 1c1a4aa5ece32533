/*
 * Memory: what a load may see.
 *
 * The words themselves always hold what was written last, in the order in
 * which stores reach memory.  What differs is what a fiber sees of it.
 *
 * SC.  Just that.
 *
 * TSO, as x86 has it.  A store that is not sequentially consistent goes to a
 * short buffer of its fiber's, in order; the fiber itself reads it from there,
 * the others when it has left.  It leaves at random, and at the latest at the
 * next read-modify-write, fence or system call.
 *
 * WEAK, as C11 has it.  Each word has a past: its last few values, and who
 * has seen which.  A load may see any of them that is not older than one that
 * its fiber knows of.  What a fiber knows are the steps of all fibers up to a
 * count each, a vector clock; it learns when it acquires what another one
 * released, or joins it.  Read-modify-writes see the newest value and continue
 * a release sequence; a load that is sequentially consistent sees nothing
 * older than the last such store.  Left out: reads of values that are yet to
 * be written, and compare-and-swaps that fail for a value of the past.
 */
#include "sync/sim/inside.h"

#include "sync/atomic.h"
#include "sync/data.h"

#include <string.h>

#define PAST  4    /* values of a word that are remembered */
#define WORDS 2048 /* of a schedule, at most half of it */

struct write {
	uint64_t value;
	uint32_t seen_at[SIM_FIBERS]; /* step of each that saw it; 0: none */
	uint32_t released[SIM_FIBERS];
	bool is_release;
};

struct word {
	const void *address;
	uint32_t schedule;
	uint32_t newest;   /* number of the last write */
	uint32_t last_seq; /* number of the last that was seq_cst */
	struct write past[PAST];
};

/* Plain memory that changes hands. */
struct data {
	const void *address;
	uint32_t schedule, writer, wrote_at;
	uint32_t read_at[SIM_FIBERS];
};

static struct word words[WORDS];
static struct data data[WORDS];
static uint32_t schedule, word_count, data_count;
static uint32_t seq_clock[SIM_FIBERS]; /* what seq_cst fences share */

void
sim_memory_reset(void)
{
	schedule++;
	word_count = data_count = 0;
	memset(seq_clock, 0, sizeof(seq_clock));
}

static void
clock_join(uint32_t *to, const uint32_t *from)
{
	for (int i = 0; i < SIM_FIBERS; i++)
		to[i] = to[i] > from[i] ? to[i] : from[i];
}

void
sim_learn(uint32_t fiber, uint32_t from)
{
	clock_join(sim.fibers[fiber].clock, sim.fibers[from].clock);
}

/* Whoever spins on the word has something new to look at. */
static void
rouse(const void *word)
{
	for (uint32_t mask = sim.spinning; mask; mask &= mask - 1) {
		uint32_t i = (uint32_t)__builtin_ctz(mask);

		if (sim.fibers[i].looked_at == word)
			sim_make_runnable(i);
	}
}

static inline void
memory_write(void *word, bool wide, uint64_t value)
{
	if (wide)
		((struct weir_u64 *)word)->value = value;
	else
		((struct weir_u32 *)word)->value = (uint32_t)value;
	if (sim_unlikely(sim.spinning))
		rouse(word);
}

/* Memory that was given back is filled with a value no word ever has. */
static inline uint64_t
memory_read(const void *word, bool wide)
{
	uint64_t value = wide ? ((const struct weir_u64 *)word)->value
			      : ((const struct weir_u32 *)word)->value;

	if (sim_unlikely((uint32_t)value == (uint32_t)SIM_DEAD))
		if (sim_is_dead(word))
			sim_fail("use after free of an atomic word");
	return value;
}

uint32_t
sim_latest(const void *word)
{
	return (uint32_t)memory_read(word, false);
}

/* TSO. */

void
sim_flush_one(struct sim_fiber *fiber)
{
	struct sim_store first = fiber->buffer[0];

	fiber->buffered--;
	memmove(fiber->buffer, fiber->buffer + 1,
		fiber->buffered * sizeof(first));
	/* Freed meanwhile?  Then the store came from before that. */
	memory_write(first.word, first.wide, first.value);
}

void
sim_flush(struct sim_fiber *fiber)
{
	while (fiber->buffered > 0)
		sim_flush_one(fiber);
}

static void
tso_store(void *word, bool wide, uint64_t value)
{
	struct sim_fiber *self = sim_self();

	if (self->buffered == SIM_BUFFER)
		sim_flush_one(self);
	self->buffer[self->buffered++] = (struct sim_store){word, value, wide};
}

static uint64_t
tso_load(const void *word, bool wide)
{
	const struct sim_fiber *self = sim_self();

	for (uint32_t i = self->buffered; i > 0; i--)
		if (self->buffer[i - 1].word == word)
			return self->buffer[i - 1].value;
	return memory_read(word, wide);
}

/* C11. */

static inline uint32_t
hash_of(const void *address)
{
	return (uint32_t)(((uintptr_t)address >> 2) *
				  UINT64_C(0x9e3779b97f4a7c15) >>
			  32) %
	       WORDS;
}

/* What is known of a word; at first only what it holds. */
static struct word *
word_of(const void *address, bool wide)
{
	uint32_t at = hash_of(address);
	struct word *w;

	while (words[at].schedule == schedule) {
		if (words[at].address == address)
			return &words[at];
		at = (at + 1) % WORDS;
	}
	if (++word_count > WORDS / 2)
		sim_fail("too many words for the simulator");
	w = &words[at];
	w->address = address;
	w->schedule = schedule;
	w->newest = w->last_seq = 0;
	memset(&w->past[0], 0, sizeof(w->past[0]));
	w->past[0].value = memory_read(address, wide);
	return w;
}

static inline struct write *
newest(struct word *w)
{
	return &w->past[w->newest % PAST];
}

/* Does this fiber know that somebody has seen it?  Then nothing older. */
static bool
is_known(const struct write *write, const struct sim_fiber *self)
{
	bool known = false;

	for (int i = 0; i < SIM_FIBERS; i++)
		known |= write->seen_at[i] - 1 < self->clock[i];
	return known;
}

/* One of the writes that a load may see. */
static struct write *
pick(struct word *w, const struct sim_fiber *self, bool seq)
{
	uint32_t oldest = w->newest >= PAST ? w->newest - (PAST - 1) : 0;
	uint32_t at = w->newest;

	if (seq && w->last_seq > oldest)
		oldest = w->last_seq;
	while (at > oldest && !is_known(&w->past[at % PAST], self))
		at--;
	/* The newest one half of the time, so that everybody gets on. */
	if (at < w->newest && sim_below(2) == 0)
		at += sim_below(w->newest - at + 1);
	else
		at = w->newest;
	return &w->past[at % PAST];
}

static bool
acquires(int order)
{
	return order == WEIR_ACQUIRE_ORDER || order == WEIR_ACQ_REL ||
	       order == WEIR_SEQ_CST;
}

static bool
releases(int order)
{
	return order == WEIR_RELEASE_ORDER || order == WEIR_ACQ_REL ||
	       order == WEIR_SEQ_CST;
}

static void
weak_see(struct sim_fiber *self, struct write *write, int order)
{
	uint32_t *seen = &write->seen_at[sim.self];

	if (*seen == 0)
		*seen = self->clock[sim.self];
	if (write->is_release)
		clock_join(acquires(order) ? self->clock : self->pending,
			   write->released);
}

static uint64_t
weak_load(const void *word, bool wide, int order)
{
	struct sim_fiber *self = sim_self();
	struct word *w = word_of(word, wide);
	struct write *write;

	self->clock[sim.self]++;
	write = pick(w, self, order == WEIR_SEQ_CST);
	weak_see(self, write, order);
	return write->value;
}

/* Append to the past; before is what a read-modify-write has read. */
static void
weak_append(struct word *w, uint64_t value, int order,
	    const struct write *before)
{
	struct sim_fiber *self = sim_self();
	struct write *write = &w->past[(w->newest + 1) % PAST];

	memset(write->seen_at, 0, sizeof(write->seen_at));
	write->value = value;
	write->seen_at[sim.self] = self->clock[sim.self];
	memcpy(write->released, releases(order) ? self->clock : self->released,
	       sizeof(write->released));
	write->is_release = true; /* of nothing, perhaps */
	if (before && before->is_release)
		clock_join(write->released, before->released);
	w->newest++;
	if (order == WEIR_SEQ_CST)
		w->last_seq = w->newest;
}

static void
weak_store(void *word, bool wide, uint64_t value, int order)
{
	struct word *w = word_of(word, wide);

	sim_self()->clock[sim.self]++;
	weak_append(w, value, order, NULL);
	memory_write(word, wide, value);
}

/* A read-modify-write: what it reads is the newest. */
static void
weak_update(void *word, bool wide, uint64_t value, int order, bool writes)
{
	struct sim_fiber *self = sim_self();
	struct word *w = word_of(word, wide);
	struct write *before = newest(w);

	self->clock[sim.self]++;
	/* One that fails is a relaxed load. */
	weak_see(self, before, writes ? order : WEIR_RELAXED);
	if (writes)
		weak_append(w, value, order, before);
}

static void
weak_fence(int order)
{
	struct sim_fiber *self = sim_self();

	self->clock[sim.self]++;
	if (acquires(order))
		clock_join(self->clock, self->pending);
	if (order == WEIR_SEQ_CST) {
		clock_join(self->clock, seq_clock);
		memcpy(seq_clock, self->clock, sizeof(seq_clock));
	}
	if (releases(order))
		memcpy(self->released, self->clock, sizeof(self->released));
}

/* The hooks. */

static inline uint64_t
load(const void *word, bool wide, int order)
{
	sim_step();
	sim_self()->looked_at = word;
	if (sim.memory == SIM_MEMORY_WEAK)
		return weak_load(word, wide, order);
	if (sim.memory == SIM_MEMORY_TSO && sim_self()->buffered > 0)
		return tso_load(word, wide);
	return memory_read(word, wide);
}

static inline void
store(void *word, bool wide, uint64_t value, int order)
{
	sim_step();
	if (sim.memory == SIM_MEMORY_SC) {
		memory_write(word, wide, value);
	} else if (sim.memory == SIM_MEMORY_WEAK) {
		weak_store(word, wide, value, order);
	} else if (order == WEIR_SEQ_CST) {
		sim_flush(sim_self());
		memory_write(word, wide, value);
	} else {
		tso_store(word, wide, value);
	}
}

enum update { UPDATE_EXCHANGE, UPDATE_ADD, UPDATE_SUB };

static inline uint64_t
update(void *word, bool wide, uint64_t value, int order, enum update what)
{
	uint64_t before;

	sim_step();
	if (sim.memory == SIM_MEMORY_TSO)
		sim_flush(sim_self());
	before = memory_read(word, wide);
	if (what == UPDATE_ADD)
		value = before + value;
	else if (what == UPDATE_SUB)
		value = before - value;
	if (!wide)
		value = (uint32_t)value;
	if (sim.memory == SIM_MEMORY_WEAK)
		weak_update(word, wide, value, order, true);
	memory_write(word, wide, value);
	return before;
}

static inline bool
cas(void *word, bool wide, uint64_t expected, uint64_t value, int order)
{
	bool same;

	sim_step();
	sim_self()->looked_at = word;
	if (sim.memory == SIM_MEMORY_TSO)
		sim_flush(sim_self());
	same = memory_read(word, wide) == expected;
	if (sim.memory == SIM_MEMORY_WEAK)
		weak_update(word, wide, value, order, same);
	if (same)
		memory_write(word, wide, value);
	return same;
}

#define HOOKS(name, type, wide)                                                \
	type weir__##name##_load(const struct weir_##name *a, int order)       \
	{                                                                      \
		type value = (type)load(a, wide, order);                       \
                                                                               \
		SIM_TRACE("load", a, value);                                   \
		return value;                                                  \
	}                                                                      \
	void weir__##name##_store(struct weir_##name *a, type value,           \
				  int order)                                   \
	{                                                                      \
		store(a, wide, value, order);                                  \
		SIM_TRACE("store", a, value);                                  \
	}                                                                      \
	type weir__##name##_exchange(struct weir_##name *a, type value,        \
				     int order)                                \
	{                                                                      \
		type before =                                                  \
			(type)update(a, wide, value, order, UPDATE_EXCHANGE);  \
                                                                               \
		SIM_TRACE("exchange, was", a, before);                         \
		return before;                                                 \
	}                                                                      \
	type weir__##name##_add(struct weir_##name *a, type value, int order)  \
	{                                                                      \
		type before = (type)update(a, wide, value, order, UPDATE_ADD); \
                                                                               \
		SIM_TRACE("add, was", a, before);                              \
		return before;                                                 \
	}                                                                      \
	type weir__##name##_sub(struct weir_##name *a, type value, int order)  \
	{                                                                      \
		type before = (type)update(a, wide, value, order, UPDATE_SUB); \
                                                                               \
		SIM_TRACE("sub, was", a, before);                              \
		return before;                                                 \
	}                                                                      \
	bool weir__##name##_cas(struct weir_##name *a, type expected,          \
				type value, int order)                         \
	{                                                                      \
		bool same = cas(a, wide, expected, value, order);              \
                                                                               \
		SIM_TRACE(same ? "cas to" : "cas fails for", a, value);        \
		return same;                                                   \
	}

HOOKS(u32, uint32_t, false)
HOOKS(u64, uint64_t, true)

void
weir__fence(int order)
{
	sim_step();
	if (sim.memory == SIM_MEMORY_TSO)
		sim_flush(sim_self());
	if (sim.memory == SIM_MEMORY_WEAK)
		weak_fence(order);
	SIM_TRACE("fence", NULL, (uint64_t)order);
}

/* Plain memory: who may touch it follows from what is known. */

static struct data *
data_of(const void *address)
{
	uint32_t at = hash_of(address);
	struct data *d;

	while (data[at].schedule == schedule) {
		if (data[at].address == address)
			return &data[at];
		at = (at + 1) % WORDS;
	}
	if (++data_count > WORDS / 2)
		sim_fail("too much data for the simulator");
	d = &data[at];
	memset(d, 0, sizeof(*d));
	d->address = address;
	d->schedule = schedule;
	return d;
}

static void
check_writer(const struct data *d)
{
	if (d->wrote_at > sim_self()->clock[d->writer])
		sim_fail("data race: %s touches what %s wrote",
			 sim_self()->name, sim.fibers[d->writer].name);
}

void
weir__data_read(const void *what)
{
	struct data *d;

	if (sim.memory != SIM_MEMORY_WEAK)
		return;
	d = data_of(what);
	check_writer(d);
	d->read_at[sim.self] = ++sim_self()->clock[sim.self];
}

void
weir__data_write(const void *what)
{
	struct data *d;

	if (sim.memory != SIM_MEMORY_WEAK)
		return;
	d = data_of(what);
	check_writer(d);
	for (uint32_t i = 0; i < sim.count; i++)
		if (d->read_at[i] > sim_self()->clock[i])
			sim_fail("data race: %s writes what %s reads",
				 sim_self()->name, sim.fibers[i].name);
	d->writer = sim.self;
	d->wrote_at = ++sim_self()->clock[sim.self];
}
