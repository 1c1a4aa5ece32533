/*
 * The back-off curve of weir/retry.h.
 */
#include "core/retry.h"

bool
weir__retry_is_valid(const weir_retry *retry)
{
	return retry->delay_ns >= 0 && retry->delay_ns_max >= 0 &&
	       (retry->factor == 0 ||
		(retry->factor >= 1 && retry->factor <= 1e6)) &&
	       retry->jitter >= 0 && retry->jitter <= 1;
}

int64_t
weir_retry_delay_ns(const weir_retry *retry, uint32_t attempts_failed,
		    double unit)
{
	double delay = (double)(retry->delay_ns ? retry->delay_ns
						: WEIR_RETRY_DELAY_NS);
	double most = (double)(retry->delay_ns_max ? retry->delay_ns_max
						   : WEIR_RETRY_DELAY_NS_MAX);
	double factor = retry->factor > 1 ? retry->factor : 1;
	double jitter = retry->jitter < 1 ? retry->jitter : 1;

	if (retry->factor == 0)
		factor = 2;

	/* With a factor of 1 it never grows; no need to count to 4 billion. */
	for (uint32_t i = 1; i < attempts_failed && delay < most && factor > 1;
	     i++)
		delay *= factor;
	if (delay > most)
		delay = most;
	if (jitter > 0)
		delay -= delay * jitter * unit;
	/* 2^63 is a double, and no int64_t. */
	if (delay >= (double)INT64_MAX)
		return INT64_MAX;
	return delay > 0 ? (int64_t)delay : 0;
}
