/*
 * Mutants: mistakes that can be switched on, one at a time, to see whether a
 * checker notices.  Each memory order, wake-up and second look that this
 * library relies on has one; `make prove` plants them all
 * (docs/verification.md).
 *
 * Only checked builds can be told to make mistakes: there weir__mutant is the
 * number of the one that is planted.  Elsewhere WEIR_MUTATED() is a constant
 * false, and nothing is left of it in the code.
 */
#ifndef WEIR_SRC_SYNC_MUTANT_H
#define WEIR_SRC_SYNC_MUTANT_H

/* Name, and the mistake in a few words.  Sorted by file. */
#define WEIR_MUTANT_TABLE(X)                                               \
	X(MUTEX_LOCK_ORDER, "taking a free mutex does not acquire")        \
	X(MUTEX_SLOW_ORDER, "taking a contended mutex does not acquire")   \
	X(MUTEX_UNLOCK_ORDER, "giving a mutex back does not release")      \
	X(MUTEX_UNLOCK_WAKE, "giving a mutex back wakes nobody")           \
	X(MUTEX_SLEEP_MARK, "a waiter takes the mutex as if it was alone") \
	X(PARK_SIGNAL_ORDER, "a signal does not release")                  \
	X(PARK_SEEN_ORDER, "an owner that sees a signal does not acquire") \
	X(PARK_RESET_ORDER, "forgetting a signal does not acquire")        \
	X(PARK_KICK, "a parked owner is not kicked")                       \
	X(PARK_TIMEOUT_RACE, "a signal at the last moment is lost")

enum weir_mutant {
	WEIR_MUTANT_NONE,
#define WEIR_MUTANT_ENUM(name, mistake) WEIR_MUTANT_##name,
	WEIR_MUTANT_TABLE(WEIR_MUTANT_ENUM)
#undef WEIR_MUTANT_ENUM
		WEIR_MUTANTS
};

#ifdef WEIR_CHECKED
extern enum weir_mutant weir__mutant;
#define WEIR_MUTATED(name) (weir__mutant == WEIR_MUTANT_##name)
#else
#define WEIR_MUTATED(name) 0
#endif

/* The memory order of an operation, and the weaker one of its mutant. */
#define WEIR_ORDER(name, order, weaker) \
	(WEIR_MUTATED(name) ? (weaker) : (order))

#endif
