/*
 * Atomic 32- and 64-bit words.
 *
 * Each operation names its memory order, so that a reader sees at the call
 * what is relied on, and a checker's back end can be told.  Plain C11 below;
 * the words are structs, so that nobody reads one with `=` by mistake.
 */
#ifndef WEIR_SRC_SYNC_ATOMIC_H
#define WEIR_SRC_SYNC_ATOMIC_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

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

#undef WEIR_ATOMIC_FUNCTIONS

/*
 * Add without a locked instruction, for counters that only one thread at a
 * time writes (whoever holds some lock) and anybody may read.
 */
static inline void
weir__u64_bump(struct weir_u64 *a, uint64_t by)
{
	atomic_store_explicit(
		&a->value,
		atomic_load_explicit(&a->value, memory_order_relaxed) + by,
		memory_order_release);
}

#endif
