/*
 * When to try again: River's curve.
 */
#ifndef WEIR_SRC_QUEUE_CURVE_H
#define WEIR_SRC_QUEUE_CURVE_H

#include <stdint.h>

/*
 * How long to wait after an attempt that failed, with `errors` failures on
 * record before it: (errors + 1)^4 seconds, up to 10 % less or more as unit,
 * in [0, 1), says.  1 s, 16 s, 81 s, 4 min ... 4.5 days after the 25th.  At
 * most INT64_MAX, which is 292 years.
 *
 * Failures are counted, not attempts: one that was snoozed or interrupted
 * makes the next wait no longer.
 */
int64_t weir__curve_ns(uint64_t errors, double unit);

#endif
