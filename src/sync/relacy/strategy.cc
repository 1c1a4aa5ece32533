/*
 * Who runs next.
 *
 * Design.  Three ways to choose, for they find different mistakes: evenly
 * (one in two executions); with a liking for the thread that runs, so that
 * one gets far while others stand still; and by priorities that change at a
 * few random steps, which finds what needs few but particular switches
 * (Burckhardt and others, "A Randomized Scheduler with Probabilistic
 * Guarantees of Finding Bugs").
 *
 * In some executions sleepers wake for nothing, and in some time passes
 * although others could run; in most they do not, for both can hide that a
 * wake-up was lost.
 */
#include "sync/relacy/model.hpp"

namespace model
{

namespace
{

enum manner { EVEN, STICKY, RANKED };

const int changes_max = 3;

uint64_t random_state;
manner how;
bool hasty, spurious;
unsigned step_count;
unsigned change_at[changes_max];
int rank[threads_max];
int lowest;

uint64_t
random_next(void)
{
	uint64_t x = random_state += UINT64_C(0x9e3779b97f4a7c15);

	x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
	return x ^ (x >> 31);
}

int
highest(const int *threads, int count)
{
	int best = threads[0];

	for (int i = 1; i < count; i++)
		if (rank[threads[i]] > rank[best])
			best = threads[i];
	return best;
}

bool
is_among(const int *threads, int count, int thread)
{
	for (int i = 0; i < count; i++)
		if (threads[i] == thread)
			return true;
	return false;
}

} /* namespace */

unsigned
choose(unsigned limit)
{
	return (unsigned)((random_next() >> 32) * limit >> 32);
}

void
strategy_begin(uint64_t seed, int threads)
{
	unsigned length;

	random_state = seed * UINT64_C(0xd1342543de82ef95) + 1;
	switch (choose(4)) {
	case 0:
		how = STICKY;
		break;
	case 1:
		how = RANKED;
		break;
	default:
		how = EVEN;
		break;
	}
	hasty = choose(4) == 0;
	spurious = choose(4) == 0;
	step_count = 0;
	lowest = 0;
	if (how != RANKED)
		return;
	for (int i = 0; i < threads; i++) {
		int j = (int)choose((unsigned)i + 1);

		rank[i] = rank[j];
		rank[j] = i + 1;
	}
	length = 16u << choose(7);
	for (int i = 0; i < changes_max; i++)
		change_at[i] = choose(length);
}

int
strategy_next(const int *threads, int count, int current, bool yields)
{
	bool stays =
		current >= 0 && !yields && is_among(threads, count, current);

	step_count++;
	if (how == STICKY && stays && choose(8) > 0)
		return current;
	if (how != RANKED)
		return threads[choose((unsigned)count)];
	if (current >= 0) {
		bool change = yields;

		for (int i = 0; i < changes_max; i++)
			change |= change_at[i] == step_count;
		if (change)
			rank[current] = --lowest;
	}
	return highest(threads, count);
}

bool
strategy_wants_time(void)
{
	return hasty && choose(64) == 0;
}

bool
strategy_is_hasty(void)
{
	return hasty;
}

bool
strategy_wants_spurious(void)
{
	return spurious && choose(32) == 0;
}

} /* namespace model */
