/*
 * Atomic 32- and 64-bit words.
 *
 * Each operation names its memory order, so that a reader sees at the call
 * what is relied on, and a checker can be told.  The words are structs, so
 * that nobody reads one with `=` by mistake.
 *
 * Natively these are C11's operations.  Compiled with WEIR_CHECKED each is a
 * function of the checker's, which decides who runs next and what a load may
 * see; README.md names the checkers.
 */
#ifndef WEIR_SRC_SYNC_ATOMIC_H
#define WEIR_SRC_SYNC_ATOMIC_H

#include "sync/mutant.h"

#include <stdbool.h>
#include <stdint.h>

#ifdef WEIR_CHECKED

#define WEIR_RELAXED       0
#define WEIR_ACQUIRE_ORDER 2
#define WEIR_RELEASE_ORDER 3
#define WEIR_ACQ_REL       4
#define WEIR_SEQ_CST       5

/* The checker finds what it knows of a word by the word's address. */
struct weir_u32 {
	uint32_t value;
};

struct weir_u64 {
	uint64_t value;
};

#define WEIR_ATOMIC_FUNCTIONS(name, type)                                      \
	type weir__##name##_load(const struct weir_##name *a, int order);      \
	void weir__##name##_store(struct weir_##name *a, type value,           \
				  int order);                                  \
	type weir__##name##_exchange(struct weir_##name *a, type value,        \
				     int order);                               \
	type weir__##name##_add(struct weir_##name *a, type value, int order); \
	type weir__##name##_sub(struct weir_##name *a, type value, int order); \
	bool weir__##name##_cas(struct weir_##name *a, type expected,          \
				type value, int order);

WEIR_ATOMIC_FUNCTIONS(u32, uint32_t)
WEIR_ATOMIC_FUNCTIONS(u64, uint64_t)

/* A fence of the given order. */
void weir__fence(int order);

#else /* native */

#include <stdatomic.h>

#define WEIR_RELAXED       memory_order_relaxed
#define WEIR_ACQUIRE_ORDER memory_order_acquire
#define WEIR_RELEASE_ORDER memory_order_release
#define WEIR_ACQ_REL       memory_order_acq_rel
#define WEIR_SEQ_CST       memory_order_seq_cst

struct weir_u32 {
	_Atomic uint32_t value;
};

struct weir_u64 {
	_Atomic uint64_t value;
};

#define WEIR_ATOMIC_FUNCTIONS(name, type)                                     \
	static inline type weir__##name##_load(const struct weir_##name *a,   \
					       memory_order order)            \
	{                                                                     \
		return atomic_load_explicit(&a->value, order);                \
	}                                                                     \
	static inline void weir__##name##_store(                              \
		struct weir_##name *a, type value, memory_order order)        \
	{                                                                     \
		atomic_store_explicit(&a->value, value, order);               \
	}                                                                     \
	static inline type weir__##name##_exchange(                           \
		struct weir_##name *a, type value, memory_order order)        \
	{                                                                     \
		return atomic_exchange_explicit(&a->value, value, order);     \
	}                                                                     \
	static inline type weir__##name##_add(struct weir_##name *a,          \
					      type value, memory_order order) \
	{                                                                     \
		return atomic_fetch_add_explicit(&a->value, value, order);    \
	}                                                                     \
	static inline type weir__##name##_sub(struct weir_##name *a,          \
					      type value, memory_order order) \
	{                                                                     \
		return atomic_fetch_sub_explicit(&a->value, value, order);    \
	}                                                                     \
	/* Replace expected by value; false, and no change, if it was not. */ \
	static inline bool weir__##name##_cas(struct weir_##name *a,          \
					      type expected, type value,      \
					      memory_order order)             \
	{                                                                     \
		return atomic_compare_exchange_strong_explicit(               \
			&a->value, &expected, value, order,                   \
			memory_order_relaxed);                                \
	}

WEIR_ATOMIC_FUNCTIONS(u32, uint32_t)
WEIR_ATOMIC_FUNCTIONS(u64, uint64_t)

#endif

#undef WEIR_ATOMIC_FUNCTIONS

/*
 * Add without a locked instruction, for counters that only one thread at a
 * time writes (whoever holds some lock) and anybody may read.
 */
static inline void
weir__u64_bump(struct weir_u64 *a, uint64_t by)
{
	weir__u64_store(a, weir__u64_load(a, WEIR_RELAXED) + by,
			WEIR_RELEASE_ORDER);
}

/* Pointers in words. */
static inline uint64_t
weir__pointer_bits(const void *pointer)
{
	return (uint64_t)(uintptr_t)pointer;
}

static inline void *
weir__pointer_of(uint64_t bits)
{
	return (void *)(uintptr_t)bits;
}

#endif
