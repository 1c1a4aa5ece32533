/* Retry policies from the inside. */
#ifndef WEIR_SRC_CORE_RETRY_H
#define WEIR_SRC_CORE_RETRY_H

#include <stdbool.h>
#include <weir/retry.h>

/* Are its numbers in the ranges that weir/retry.h gives? */
bool weir__retry_is_valid(const weir_retry *retry);

static inline uint32_t
weir__retry_attempts_max(const weir_retry *retry)
{
	return retry->attempts_max > 0 ? retry->attempts_max : 1;
}

/* Does the policy want another attempt after one that ended in status? */
static inline bool
weir__retry_wants(const weir_retry *retry, weir_status status)
{
	uint64_t set = retry->retry_on ? retry->retry_on : WEIR_RETRY_DEFAULT;

	return (unsigned)status < 64 && (set & WEIR_RETRY_ON(status)) != 0;
}

#endif
