/*
 * River's retry curve; see curve.h.
 */
#include "queue/curve.h"

#include "base/assert.h"

#include <weir/base.h>

#define JITTER 0.1

int64_t
weir__curve_ns(uint64_t errors, double unit)
{
	double n = (double)errors + 1, seconds = n * n * n * n, ns;

	weir_assert(unit >= 0 && unit < 1);
	seconds += seconds * (unit * 2 - 1) * JITTER;
	ns = seconds * (double)WEIR_S;
	/* 2^63 is the first double that an int64_t does not hold. */
	return ns < 0x1p63 ? (int64_t)ns : INT64_MAX;
}
