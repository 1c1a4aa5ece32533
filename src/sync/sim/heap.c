/*
 * The heap of the core: malloc() that forgets everything between schedules.
 *
 * Memory comes off one arena, front to back, and is never used again in the
 * same schedule, so what was freed stays recognisable: it is filled with
 * SIM_DEAD, and whoever reads or writes an atomic word there is found out.
 * Now and then the end of a schedule checks that nobody else wrote there.
 */
#include "sync/sim/inside.h"

#include <string.h>

#define ARENA_SIZE ((size_t)4 << 20)
#define BLOCKS     1024
#define DEAD_MAX   4096 /* bytes of a freed block that are filled */

struct block {
	unsigned char *memory;
	size_t size;
	bool dead;
};

static _Alignas(64) unsigned char arena[ARENA_SIZE];
static struct block blocks[BLOCKS];
static size_t arena_used;
static uint32_t block_count, live_count;

void
sim_heap_reset(void)
{
	arena_used = 0;
	block_count = live_count = 0;
}

static bool
is_refused(void)
{
	sim.allocs++;
	if (sim.allocs != sim.alloc_fails &&
	    !(sim.alloc_chance && sim_below(sim.alloc_chance) == 0))
		return false;
	sim.refused = true;
	return true;
}

static unsigned char *
take(size_t size)
{
	/* The block's number stands in front, for free(). */
	size_t whole = (size + 16 + 15) & ~(size_t)15;
	unsigned char *memory;
	uint64_t number;

	sim_step();
	number = block_count;
	if (is_refused())
		return NULL;
	if (size > ARENA_SIZE || whole > ARENA_SIZE - arena_used ||
	    block_count == BLOCKS)
		sim_fail("the simulator's heap is too small");
	memory = arena + arena_used + 16;
	memcpy(memory - 16, &number, sizeof(number));
	arena_used += whole;
	blocks[block_count++] = (struct block){memory, size, false};
	live_count++;
	return memory;
}

void *
sim_malloc(size_t size)
{
	unsigned char *memory = take(size);

	if (memory)
		memset(memory, 0xa5, size);
	return memory;
}

void *
sim_calloc(size_t count, size_t size)
{
	unsigned char *memory;
	size_t bytes;

	if (__builtin_mul_overflow(count, size, &bytes))
		return NULL;
	memory = take(bytes);
	if (memory)
		memset(memory, 0, bytes);
	return memory;
}

static struct block *
block_of(void *memory)
{
	uint64_t number;

	if ((unsigned char *)memory < arena + 16 ||
	    (unsigned char *)memory >= arena + arena_used)
		sim_fail("free of what is not memory of the heap");
	memcpy(&number, (unsigned char *)memory - 16, sizeof(number));
	if (number >= block_count || blocks[number].memory != memory)
		sim_fail("free of what is not the beginning of a block");
	if (blocks[number].dead)
		sim_fail("a block is freed twice");
	return &blocks[number];
}

void
sim_free(void *memory)
{
	struct block *block;

	if (!memory)
		return;
	sim_step();
	sim_flush(sim_self());
	block = block_of(memory);
	block->dead = true;
	memset(memory, (int)(SIM_DEAD & 0xff),
	       block->size < DEAD_MAX ? block->size : DEAD_MAX);
	live_count--;
	SIM_TRACE("free", memory, block->size);
}

void *
sim_realloc(void *memory, size_t size)
{
	struct block *block;
	unsigned char *bigger;

	if (!memory)
		return sim_malloc(size);
	block = block_of(memory);
	bigger = sim_malloc(size);
	if (!bigger)
		return NULL;
	memcpy(bigger, memory, block->size < size ? block->size : size);
	sim_free(memory);
	return bigger;
}

int
sim_block_of(const void *address, size_t *ret_offset)
{
	const unsigned char *at = address;

	for (uint32_t i = 0; i < block_count; i++)
		if (at >= blocks[i].memory &&
		    at < blocks[i].memory + blocks[i].size) {
			*ret_offset = (size_t)(at - blocks[i].memory);
			return (int)i;
		}
	return -1;
}

bool
sim_is_dead(const void *address)
{
	size_t offset;
	int block = sim_block_of(address, &offset);

	return block >= 0 && blocks[block].dead;
}

static bool
is_untouched(const struct block *block)
{
	size_t size = block->size < DEAD_MAX ? block->size : DEAD_MAX;

	for (size_t i = 0; i < size; i++)
		if (block->memory[i] != (SIM_DEAD & 0xff))
			return false;
	return true;
}

const char *
sim_heap_verdict(void)
{
	if (live_count > 0)
		return "memory is left at the end";
	/* One in eight, for it takes as long as the rest. */
	for (uint32_t i = 0; (sim.setup->seed & 7) == 0 && i < block_count; i++)
		if (!is_untouched(&blocks[i]))
			return "freed memory was written to";
	return NULL;
}
