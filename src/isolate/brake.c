/*
 * The brake of a crash loop; see brake.h.
 */
#include "isolate/brake.h"

#include <weir/base.h>

#define DELAY_NS     (10 * WEIR_MS)
#define DELAY_NS_MAX (5 * WEIR_S)

static bool
is_on(const struct weir_brake *brake, uint32_t workers, int64_t second)
{
	uint64_t died = 0, idle = 0;

	for (int i = 0; i < WEIR_BRAKE_S; i++) {
		if (brake->second[i] <= second - WEIR_BRAKE_S)
			continue;
		died += brake->died[i];
		idle += brake->idle[i];
	}
	return 2 * idle > workers && 2 * idle > died;
}

void
weir__brake_died(struct weir_brake *brake, uint32_t workers, uint64_t jobs,
		 int64_t now_ns)
{
	int64_t second = now_ns / WEIR_S;
	int i = (int)(second % WEIR_BRAKE_S);

	if (brake->second[i] != second) {
		brake->second[i] = second;
		brake->died[i] = brake->idle[i] = 0;
	}
	brake->died[i]++;
	brake->idle[i] += jobs == 0;
	if (!is_on(brake, workers, second))
		brake->delay_ns = 0;
	else if (brake->delay_ns == 0)
		brake->delay_ns = DELAY_NS;
	else if (jobs == 0 && brake->delay_ns < DELAY_NS_MAX)
		brake->delay_ns = 2 * brake->delay_ns < DELAY_NS_MAX
					  ? 2 * brake->delay_ns
					  : DELAY_NS_MAX;
}

int64_t
weir__brake_delay_ns(struct weir_brake *brake, uint32_t workers, int64_t now_ns)
{
	if (brake->delay_ns > 0 && !is_on(brake, workers, now_ns / WEIR_S))
		brake->delay_ns = 0;
	return brake->delay_ns;
}
