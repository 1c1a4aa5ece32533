/*
 * malloc and free, and a race detector for plain memory.
 *
 * Design.  The library is compiled with malloc and the rest renamed to the
 * functions here, and with -fsanitize=thread, whose run-time is here, too:
 * the compiler calls __tsan_write8() and its like before each access.  An
 * access is a race if another thread's to the same bytes does not happen
 * before it by relacy's vector clocks, no matter how the two fell out in this
 * execution.  So one missing acquire is found wherever anything is guarded by
 * it.  Freeing memory counts as a write to all of it.
 *
 * Memory comes from one arena that begins anew with each execution.  Nothing
 * is used twice in one: whoever touches what has been freed is caught.
 *
 * The shadow has a cell for eight bytes, with the last read and write of each
 * thread and the bytes that it was about.  Of two accesses by one thread to
 * different bytes of a cell only the second is remembered; that can hide a
 * race in one execution, not make one up.
 */
#include "sync/relacy/model.hpp"

extern "C" {
#include "sync/data.h"

/* As base/assert.h has it, which is C only. */
[[noreturn]] void weir__assert_failed(const char *what, const char *file,
				      int line, const char *function);
}

#include <stdarg.h>
#include <string.h>

namespace model
{

namespace
{

const size_t arena_size = 1 << 18;
alignas(64) unsigned char arena[arena_size];
/* A bit for each 16 bytes of the arena: freed. */
unsigned char freed[arena_size / 16 / 8];
size_t arena_used;
size_t blocks_live;
/* Allocations until the one that fails; negative: none does. */
int fail_in;

struct block {
	size_t size;
	uint64_t magic;
};

const uint64_t magic_live = 0x77656972206c6976;
const uint64_t magic_dead = 0x7765697220646561;

struct access {
	rl::timestamp_t when;
	const void *pc;
	unsigned char bytes; /* a bit for each of the cell's */
	bool atomic;
};

/* Eight bytes; what is there of a thread counts only if its bit is set. */
struct cell {
	uintptr_t key;
	unsigned writers, readers;
	access write[threads_max];
	access read[threads_max];
};

/*
 * The arena's cells are in its own order, those of stacks and variables
 * behind them, by hash.  A cell of another generation is empty.
 */
const unsigned arena_cells = arena_size / 8;
const unsigned other_bits = 13;
const unsigned other_cells = 1u << other_bits;
cell cells[arena_cells + other_cells];
uint64_t generations[arena_cells + other_cells];
unsigned others_used;

/* The time of each thread when it touched plain memory last. */
rl::timestamp_t plain_time[threads_max];

unsigned
index_of_cell(uintptr_t address)
{
	uintptr_t key = address >> 3;
	uintptr_t i = key - ((uintptr_t)arena >> 3);

	if (i < arena_cells)
		return (unsigned)i;
	i = (key * UINT64_C(0x9e3779b97f4a7c15)) >> (64 - other_bits);
	while (generations[arena_cells + i] == now.generation &&
	       cells[arena_cells + i].key != key)
		i = (i + 1) & (other_cells - 1);
	return arena_cells + (unsigned)i;
}

cell &
cell_of(uintptr_t address)
{
	unsigned i = index_of_cell(address);
	cell &c = cells[i];

	if (generations[i] == now.generation)
		return c;
	if (i >= arena_cells && ++others_used > other_cells / 2)
		fail("the scenario touches too much memory");
	generations[i] = now.generation;
	c.key = address >> 3;
	c.writers = 0;
	c.readers = 0;
	return c;
}

bool
in_arena(const void *at)
{
	return (uintptr_t)at - (uintptr_t)arena < arena_size;
}

bool
is_freed(const void *at)
{
	size_t i = ((uintptr_t)at - (uintptr_t)arena) / 16;

	return freed[i / 8] >> i % 8 & 1;
}

[[noreturn]] void
race(const char *what, const void *at, int self, const void *pc,
     const char *other_what, int other, const void *other_pc)
{
	char here[256];

	snprintf(here, sizeof(here), "%s", place_of(pc));
	fail("data race on %p: thread %d %s it in %s, thread %d %s it in %s",
	     at, self, what, here, other, other_what, place_of(other_pc));
}

/* Does an earlier access of another thread happen before this one? */
void
check(unsigned who, const access *others, const rl::thread_info_base *self,
      const access &mine, const char *what, const char *other_what,
      uintptr_t address)
{
	for (who &= ~(1u << self->index_); who; who &= who - 1) {
		int i = __builtin_ctz(who);

		if (!(others[i].bytes & mine.bytes) ||
		    (mine.atomic && others[i].atomic))
			continue;
		if (others[i].when > self->acq_rel_order_[i])
			race(what, (const void *)address, self->index_, mine.pc,
			     others[i].atomic ? "uses" : other_what, i,
			     others[i].pc);
	}
}

/* One access within a cell. */
void
access_cell(uintptr_t address, const access &mine, bool write, const char *what)
{
	rl::thread_info_base *self = rl::ctx().threadx_;
	cell &c = cell_of(address);
	access &last = (write ? c.write : c.read)[self->index_];
	unsigned &who = write ? c.writers : c.readers;
	unsigned bit = 1u << self->index_;

	/* The same again, and nothing in between that others could see. */
	if ((who & bit) && last.when == mine.when && last.bytes == mine.bytes &&
	    last.atomic == mine.atomic)
		return;
	/* An atomic access is kept as a read: only plain writes race with it.
	 */
	check(c.writers, c.write, self, mine, what, "writes", address);
	if (write)
		check(c.readers, c.read, self, mine, what, "reads", address);
	last = mine;
	who |= bit;
}

/*
 * The time of an access: later than what the thread released before.  Several
 * without anything atomic in between have the same.
 */
rl::timestamp_t
time_of_access(void)
{
	rl::thread_info_base *self = rl::ctx().threadx_;

	if (self->own_acq_rel_order_ != plain_time[self->index_])
		plain_time[self->index_] = ++self->own_acq_rel_order_;
	return plain_time[self->index_];
}

void
access_range(const void *at, size_t size, bool write, bool atomic,
	     const char *what, const void *pc)
{
	uintptr_t address = (uintptr_t)at, end = address + size;
	access mine = {time_of_access(), pc, 0, atomic};

	if (in_arena(at) && is_freed(at))
		fail("thread %d %s freed memory at %p in %s",
		     rl::ctx().threadx_->index_, what, at, place_of(pc));
	while (address < end) {
		unsigned from = address & 7;
		unsigned len = 8 - from;

		if (len > end - address)
			len = (unsigned)(end - address);
		mine.bytes = (unsigned char)(((1u << len) - 1) << from);
		access_cell(address, mine, write, what);
		address += len;
	}
}

/*
 * A write to the whole of a block.  Only what was touched can race with it,
 * and nobody is going to race with it later: it is marked as freed.
 */
void
access_freed(uintptr_t from, uintptr_t end, const void *pc)
{
	const rl::thread_info_base *self = rl::ctx().threadx_;
	const access mine = {0, pc, 0xff, false};

	for (uintptr_t address = from; address < end; address += 8) {
		unsigned i = index_of_cell(address);
		const cell &c = cells[i];

		if (generations[i] != now.generation)
			continue;
		check(c.writers, c.write, self, mine, "frees", "writes",
		      address);
		check(c.readers, c.read, self, mine, "frees", "reads", address);
	}
}

void
plain(const void *at, size_t size, bool write, const void *pc)
{
	if (now.alone || !now.track_plain)
		return;
	access_range(at, size, write, false, write ? "writes" : "reads", pc);
}

} /* namespace */

void
memory_begin(void)
{
	size_t used = (arena_used + 127) / 128;

	memset(freed, 0, used < sizeof(freed) ? used : sizeof(freed));
	arena_used = 0;
	blocks_live = 0;
	others_used = 0;
	memset(plain_time, 0, sizeof(plain_time));
	fail_in = -1;
}

void
memory_end(void)
{
	if (blocks_live > 0)
		fail("%zu blocks of memory were not freed", blocks_live);
}

void
memory_atomic(const void *at, size_t size, const void *pc)
{
	if (!now.alone)
		access_range(at, size, false, true, "uses", pc);
}

} /* namespace model */

using namespace model;

#define PC __builtin_return_address(0)

extern "C" {

void *weir__relacy_malloc(size_t size);
void *weir__relacy_calloc(size_t count, size_t size);
void *weir__relacy_realloc(void *old, size_t size);
void weir__relacy_free(void *at);

void *
weir__relacy_malloc(size_t size)
{
	size_t whole = sizeof(block) + (size + 15) / 16 * 16;
	block *b = (block *)(arena + arena_used);

	if (fail_in >= 0 && fail_in-- == 0)
		return nullptr;
	if (whole > arena_size - arena_used)
		fail("the scenario takes too much memory");
	arena_used += whole;
	b->size = size;
	b->magic = magic_live;
	blocks_live++;
	memset(b + 1, 0xa5, size);
	return b + 1;
}

void *
weir__relacy_calloc(size_t count, size_t size)
{
	void *at = weir__relacy_malloc(count * size);

	if (at)
		memset(at, 0, count * size);
	return at;
}

void
weir__relacy_free(void *at)
{
	block *b;
	size_t first;

	if (!at)
		return;
	b = (block *)at - 1;
	if (!in_arena(at) || b->magic != magic_live)
		fail("%p is freed%s", at,
		     in_arena(at) && b->magic == magic_dead ? " twice"
							    : ", and is none");
	if (now.tracing)
		trace(PC, "free  %p, %zu bytes", at, b->size);
	if (!now.alone && b->size > 0)
		access_freed((uintptr_t)at, (uintptr_t)at + b->size, PC);
	b->magic = magic_dead;
	blocks_live--;
	words_forget((uintptr_t)at, (uintptr_t)at + b->size);
	memset(at, 0xdd, b->size);
	first = ((uintptr_t)at - (uintptr_t)arena) / 16;
	for (size_t i = first; i < first + (b->size + 15) / 16; i++)
		freed[i / 8] |= (unsigned char)(1u << i % 8);
}

void *
weir__relacy_realloc(void *old, size_t size)
{
	void *at = weir__relacy_malloc(size);
	size_t had = old ? ((block *)old - 1)->size : 0;

	if (at && old) {
		memcpy(at, old, had < size ? had : size);
		weir__relacy_free(old);
	}
	return at;
}

void
weir__explore_fail_alloc(unsigned nth)
{
	fail_in = (int)nth;
}

/* What fills and what takes is told by hand, too, where memcpy does it. */
void
weir__data_read(const void *what)
{
	if (!now.alone)
		access_range(what, 1, false, false, "reads", PC);
}

void
weir__data_write(const void *what)
{
	if (!now.alone)
		access_range(what, 1, true, false, "writes", PC);
}

void
weir__assert_failed(const char *what, const char *file, int line,
		    const char *function)
{
	const char *slash = strrchr(file, '/');

	fail("%s is false (%s:%d, %s)", what, slash ? slash + 1 : file, line,
	     function);
}

/* The run-time of -fsanitize=thread, as far as the compiler calls it. */
#define DEFINE_ACCESS(size)                         \
	void __tsan_read##size(void *at)            \
	{                                           \
		plain(at, size, false, PC);         \
	}                                           \
	void __tsan_write##size(void *at)           \
	{                                           \
		plain(at, size, true, PC);          \
	}                                           \
	void __tsan_unaligned_read##size(void *at)  \
	{                                           \
		plain(at, size, false, PC);         \
	}                                           \
	void __tsan_unaligned_write##size(void *at) \
	{                                           \
		plain(at, size, true, PC);          \
	}                                           \
	void __tsan_volatile_read##size(void *at)   \
	{                                           \
		plain(at, size, false, PC);         \
	}                                           \
	void __tsan_volatile_write##size(void *at)  \
	{                                           \
		plain(at, size, true, PC);          \
	}

DEFINE_ACCESS(1)
DEFINE_ACCESS(2)
DEFINE_ACCESS(4)
DEFINE_ACCESS(8)
DEFINE_ACCESS(16)

void
__tsan_read_range(void *at, size_t size)
{
	plain(at, size, false, PC);
}

void
__tsan_write_range(void *at, size_t size)
{
	plain(at, size, true, PC);
}

void
__tsan_func_entry(void *caller)
{
	(void)caller;
}

void
__tsan_func_exit(void)
{
}

void
__tsan_init(void)
{
}
}
