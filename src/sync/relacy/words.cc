/*
 * Atomic words, found by their address.
 *
 * Design.  A word is made when it is first touched, with what is in its memory
 * as the oldest value that anybody can see (calloc's zero, mostly).  relacy
 * keeps the last stores to it, with the vector clock of each, and says which
 * of them a load may see; the values are kept here.  What was stored last is
 * also put in the memory itself, for debuggers and for the next word there.
 *
 * A word dies with the block of memory it is in.  Words on stacks live on: an
 * object that is later in the same place begins with a store of its own.
 */
#include "sync/relacy/model.hpp"

extern "C" {
#include "sync/atomic.h"
#include "sync/futex.h"
}

namespace model
{

namespace
{

struct word {
	uint64_t generation;
	uintptr_t address;
	size_t size;
	rl::atomic_data *data;
	uint64_t first;
	uint64_t newest;
	uint64_t history[rl::atomic_history_size];
};

/* Slots of words in order of their making; index finds them by address. */
const unsigned words_max = 8192;
word words[words_max];
unsigned word_count;

struct index_entry {
	uint64_t generation;
	unsigned number;
};

const unsigned index_bits = 15;
index_entry index_table[1u << index_bits];

unsigned
hash(uintptr_t address)
{
	return (unsigned)((address >> 2) * UINT64_C(0x9e3779b97f4a7c15) >>
			  (64 - index_bits));
}

uint64_t
read_memory(uintptr_t address, size_t size)
{
	if (size == 4)
		return *(const uint32_t *)address;
	return *(const uint64_t *)address;
}

void
write_memory(uintptr_t address, size_t size, uint64_t value)
{
	if (size == 4)
		*(uint32_t *)address = (uint32_t)value;
	else
		*(uint64_t *)address = value;
}

void
word_make(word &w, uintptr_t address, size_t size)
{
	rl::context &c = rl::ctx();

	w.generation = now.generation;
	w.address = address;
	w.size = size;
	w.data = c.atomic_ctor(nullptr);
	w.first = w.newest = read_memory(address, size);
	w.history[c.threadx_->atomic_store_relaxed(w.data)] = w.first;
}

word &
word_at(const void *at, size_t size)
{
	uintptr_t address = (uintptr_t)at;
	unsigned i = hash(address);

	for (;; i = (i + 1) & ((1u << index_bits) - 1)) {
		index_entry &entry = index_table[i];

		if (entry.generation != now.generation) {
			if (word_count == words_max)
				fail("the scenario has too many words");
			entry.generation = now.generation;
			entry.number = word_count++;
			word_make(words[entry.number], address, size);
			return words[entry.number];
		}
		word &w = words[entry.number];

		if (w.address != address || w.size != size)
			continue;
		if (!w.data) /* forgotten, and memory again */
			word_make(w, address, size);
		return w;
	}
}

/* A scheduling point, and then the word. */
word &
step(const void *at, size_t size, const void *pc)
{
	rl::ctx().sched();
	memory_atomic(at, size, pc);
	return word_at(at, size);
}

void
word_set(word &w, unsigned slot, uint64_t value)
{
	w.history[slot] = value;
	w.newest = value;
	write_memory(w.address, w.size, value);
}

const char *
order_name(int order)
{
	switch (order) {
	case WEIR_RELAXED:
		return "relaxed";
	case WEIR_ACQUIRE_ORDER:
		return "acquire";
	case WEIR_RELEASE_ORDER:
		return "release";
	case WEIR_ACQ_REL:
		return "acq_rel";
	default:
		return "seq_cst";
	}
}

uint64_t
load(const void *at, size_t size, int order, const void *pc)
{
	word &w = step(at, size, pc);
	rl::thread_info_base *self = rl::ctx().threadx_;
	unsigned slot;
	uint64_t value;

	switch (order) {
	case WEIR_RELAXED:
		slot = self->atomic_load_relaxed(w.data);
		break;
	case WEIR_ACQUIRE_ORDER:
		slot = self->atomic_load_acquire(w.data);
		break;
	case WEIR_SEQ_CST:
		slot = self->atomic_load_seq_cst(w.data);
		break;
	default:
		fail("a load cannot be %s", order_name(order));
	}
	/* Older than all that relacy knows: what was there at first. */
	value = slot == (unsigned)-1 ? w.first : w.history[slot];
	if (now.tracing)
		trace(pc, "load  %p = %llu%s  (%s)", at,
		      (unsigned long long)value,
		      value != w.newest ? ", not the newest" : "",
		      order_name(order));
	return value;
}

void
store(const void *at, size_t size, uint64_t value, int order, const void *pc)
{
	word &w = step(at, size, pc);
	rl::thread_info_base *self = rl::ctx().threadx_;

	if (now.tracing)
		trace(pc, "store %p : %llu  (%s)", at,
		      (unsigned long long)value, order_name(order));
	switch (order) {
	case WEIR_RELAXED:
		word_set(w, self->atomic_store_relaxed(w.data), value);
		break;
	case WEIR_RELEASE_ORDER:
		word_set(w, self->atomic_store_release(w.data), value);
		break;
	case WEIR_SEQ_CST:
		word_set(w, self->atomic_store_seq_cst(w.data), value);
		break;
	default:
		fail("a store cannot be %s", order_name(order));
	}
}

/* What a read-modify-write of a word that has been stepped to does. */
void
modify(word &w, uint64_t value, int order, const char *what, const void *pc)
{
	rl::thread_info_base *self = rl::ctx().threadx_;
	unsigned slot;
	bool aba;

	if (now.tracing)
		trace(pc, "%-5s %p : %llu -> %llu  (%s)", what,
		      (void *)w.address, (unsigned long long)w.newest,
		      (unsigned long long)value, order_name(order));
	switch (order) {
	case WEIR_RELAXED:
		slot = self->atomic_rmw_relaxed(w.data, aba);
		break;
	case WEIR_ACQUIRE_ORDER:
		slot = self->atomic_rmw_acquire(w.data, aba);
		break;
	case WEIR_RELEASE_ORDER:
		slot = self->atomic_rmw_release(w.data, aba);
		break;
	case WEIR_ACQ_REL:
		slot = self->atomic_rmw_acq_rel(w.data, aba);
		break;
	default:
		slot = self->atomic_rmw_seq_cst(w.data, aba);
		break;
	}
	word_set(w, slot, value);
}

bool
cas(const void *at, size_t size, uint64_t expected, uint64_t value, int order,
    const void *pc)
{
	word &w = step(at, size, pc);

	if (w.newest == expected) {
		modify(w, value, order, "cas", pc);
		return true;
	}
	if (now.tracing)
		trace(pc, "cas   %p is %llu, not %llu", at,
		      (unsigned long long)w.newest,
		      (unsigned long long)expected);
	rl::ctx().threadx_->atomic_load_relaxed_rmw(w.data);
	return false;
}

} /* namespace */

void
words_begin(void)
{
	word_count = 0;
}

void
words_end(void)
{
	for (unsigned i = 0; i < word_count; i++)
		if (words[i].data)
			rl::ctx().atomic_dtor(words[i].data);
	word_count = 0;
}

void
words_forget(uintptr_t from, uintptr_t to)
{
	for (unsigned i = 0; i < word_count; i++) {
		word &w = words[i];

		if (!w.data || w.address < from || w.address >= to)
			continue;
		rl::ctx().atomic_dtor(w.data);
		w.data = nullptr;
	}
}

} /* namespace model */

using namespace model;

#define PC __builtin_return_address(0)

#define DEFINE(name, type)                                                    \
	type weir__##name##_load(const struct weir_##name *a, int order)      \
	{                                                                     \
		return (type)load(a, sizeof(type), order, PC);                \
	}                                                                     \
	void weir__##name##_store(struct weir_##name *a, type value,          \
				  int order)                                  \
	{                                                                     \
		store(a, sizeof(type), value, order, PC);                     \
	}                                                                     \
	type weir__##name##_exchange(struct weir_##name *a, type value,       \
				     int order)                               \
	{                                                                     \
		word &w = step(a, sizeof(type), PC);                          \
		type before = (type)w.newest;                                 \
                                                                              \
		modify(w, value, order, "swap", PC);                          \
		return before;                                                \
	}                                                                     \
	type weir__##name##_add(struct weir_##name *a, type value, int order) \
	{                                                                     \
		word &w = step(a, sizeof(type), PC);                          \
		type before = (type)w.newest;                                 \
                                                                              \
		modify(w, (type)(before + value), order, "add", PC);          \
		return before;                                                \
	}                                                                     \
	type weir__##name##_sub(struct weir_##name *a, type value, int order) \
	{                                                                     \
		word &w = step(a, sizeof(type), PC);                          \
		type before = (type)w.newest;                                 \
                                                                              \
		modify(w, (type)(before - value), order, "sub", PC);          \
		return before;                                                \
	}                                                                     \
	bool weir__##name##_cas(struct weir_##name *a, type expected,         \
				type value, int order)                        \
	{                                                                     \
		return cas(a, sizeof(type), expected, value, order, PC);      \
	}

extern "C" {

DEFINE(u32, uint32_t)
DEFINE(u64, uint64_t)

void
weir__fence(int order)
{
	rl::context &c = rl::ctx();

	if (now.tracing)
		trace(PC, "fence (%s)", order_name(order));
	switch (order) {
	case WEIR_ACQUIRE_ORDER:
		c.atomic_thread_fence_acquire();
		break;
	case WEIR_RELEASE_ORDER:
		c.atomic_thread_fence_release();
		break;
	case WEIR_ACQ_REL:
		c.atomic_thread_fence_acq_rel();
		break;
	case WEIR_SEQ_CST:
		c.atomic_thread_fence_seq_cst();
		break;
	default:
		break;
	}
	/* What is touched from here on is later than what the fence covers. */
	c.threadx_->own_acq_rel_order_ += 1;
}

/*
 * The kernel's own look at the word: it is under the lock of the queue, with
 * a full barrier on either side, and so sees what was stored last.
 */
uint32_t
weir__relacy_newest(const struct weir_u32 *word)
{
	struct word &w = step(word, sizeof(uint32_t), PC);

	rl::ctx().threadx_->atomic_load_relaxed_rmw(w.data);
	return (uint32_t)w.newest;
}
}
