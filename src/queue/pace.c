/*
 * How far ahead to claim; see pace.h.
 *
 * Design.  A moving average that follows the number of jobs, not of samples:
 * a sample of many jobs weighs more, and 64 jobs count as much as all that
 * was known before.  Jobs of different lengths so give their mean, which is
 * what the time to get through them depends on.
 */
#include "queue/pace.h"

#include "base/assert.h"

#include <weir/base.h>

#define HORIZON_NS     (50 * WEIR_MS)
#define HORIZON_NS_MAX (1 * WEIR_S)
#define MEMORY         64

void
weir__pace_init(struct weir_pace *pace)
{
	pace->job_ns = -1;
	pace->turn_ns = 0;
}

void
weir__pace_note(struct weir_pace *pace, const struct weir_pace_sample *sample)
{
	int64_t n = sample->ended, each_ns;

	weir_assert(sample->took_ns >= 0);
	if (n == 0)
		return;
	each_ns = sample->took_ns / n;
	if (pace->job_ns < 0)
		pace->job_ns = each_ns;
	else
		pace->job_ns += (int64_t)((double)(each_ns - pace->job_ns) *
					  (double)n / (double)(n + MEMORY));
}

void
weir__pace_note_stall(struct weir_pace *pace, int64_t stalled_ns)
{
	weir_assert(stalled_ns >= 0);
	if (pace->job_ns < stalled_ns)
		pace->job_ns = stalled_ns;
}

void
weir__pace_note_turn(struct weir_pace *pace, int64_t took_ns)
{
	weir_assert(took_ns >= 0);
	pace->turn_ns += (took_ns - pace->turn_ns) / 8;
}

uint32_t
weir__pace_ahead(const struct weir_pace *pace, uint32_t width)
{
	int64_t horizon_ns = 2 * pace->turn_ns;
	double ahead;

	if (pace->job_ns < 0)
		return 0;
	if (horizon_ns < HORIZON_NS)
		horizon_ns = HORIZON_NS;
	if (horizon_ns > HORIZON_NS_MAX)
		horizon_ns = HORIZON_NS_MAX;
	ahead = (double)width * (double)horizon_ns /
		(double)(pace->job_ns > 0 ? pace->job_ns : 1);
	return ahead < WEIR_AHEAD_MAX ? (uint32_t)ahead : WEIR_AHEAD_MAX;
}
