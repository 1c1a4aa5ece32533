/*
 * What all stores share; see store.h.
 */
#include "queue/store.h"

#include "base/assert.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static const char *const state_names[] = {
#define STATE_NAME(name, value, text) [value] = (text),
	WEIR_JOB_STATE_TABLE(STATE_NAME)
#undef STATE_NAME
};

#define STATES (sizeof(state_names) / sizeof(state_names[0]))

const char *
weir_job_state_name(weir_state state)
{
	return (unsigned)state < STATES ? state_names[state] : "unknown";
}

weir_status
weir_job_state_parse(const char *name, weir_state *ret_state)
{
	for (unsigned i = 0; name && i < STATES; i++)
		if (strcmp(name, state_names[i]) == 0) {
			*ret_state = (weir_state)i;
			return WEIR_OK;
		}
	return WEIR_INVAL;
}

struct weir_batch *
weir__batch_new(size_t count)
{
	struct weir_batch *batch = calloc(1, sizeof(*batch));

	weir_assert(count > 0 && count <= UINT32_MAX);
	if (!batch)
		return NULL;
	batch->claims = calloc(count, sizeof(*batch->claims));
	if (!batch->claims) {
		free(batch);
		return NULL;
	}
	batch->count = count;
	for (size_t i = 0; i < count; i++)
		batch->claims[i].batch = batch;
	weir__u32_store(&batch->left, (uint32_t)count, WEIR_RELAXED);
	return batch;
}

void
weir__claim_free(const struct weir_claim *claim)
{
	struct weir_batch *batch = claim->batch;

	/* Release what we have read of it; acquire before it is freed. */
	if (weir__u32_sub(&batch->left, 1, WEIR_ACQ_REL) != 1)
		return;
	weir__buf_fini(&batch->texts);
	free(batch->claims);
	free(batch);
}

weir_state
weir__finish_state(const struct weir_finish *finish, int64_t now_ms)
{
	bool later = finish->at_ms > now_ms;

	switch (finish->verdict) {
	case WEIR_VERDICT_COMPLETE:
		return WEIR_JOB_COMPLETED;
	case WEIR_VERDICT_RETRY:
		return later ? WEIR_JOB_RETRYABLE : WEIR_JOB_AVAILABLE;
	case WEIR_VERDICT_SNOOZE:
		return later ? WEIR_JOB_SCHEDULED : WEIR_JOB_AVAILABLE;
	case WEIR_VERDICT_RELEASE:
		return WEIR_JOB_AVAILABLE;
	case WEIR_VERDICT_DISCARD:
		return WEIR_JOB_DISCARDED;
	case WEIR_VERDICT_CANCEL:
		return WEIR_JOB_CANCELLED;
	}
	weir_bug("no such verdict");
}

weir_status
weir__queue_error(weir_error *reterr, weir_status status, int native,
		  const char *format, ...)
{
	va_list args;

	if (!reterr)
		return status;
	reterr->status = status;
	reterr->native = native;
	va_start(args, format);
	vsnprintf(reterr->message, sizeof(reterr->message), format, args);
	va_end(args);
	return status;
}
