/*
 * The isolated workers of one pool together: their options, their statistics,
 * the brake; and the table that the core reaches them by.
 *
 * Locking.  mu guards the statistics and the brake; nothing is taken under it.
 */
#include "isolate/isolator.h"

#include "base/options.h"

#include <stdlib.h>
#include <string.h>

#define KILL_AFTER_NS (2 * WEIR_S)

#define ALL_FLAGS                                         \
	(WEIR_SANDBOX_READ_ONLY | WEIR_SANDBOX_NO_FILES | \
	 WEIR_SANDBOX_NO_SYSTEM | WEIR_SANDBOX_REQUIRED)

/* The host's options as we know them; false: unknown, or out of range. */
static bool
limits_adopt(weir_isolate_options *ours, const weir_isolate_options *theirs)
{
	weir_isolate_options_init(ours);
	if (theirs && !weir__options_copy(ours, sizeof(*ours), theirs,
					  theirs->size, sizeof(size_t)))
		return false;
	if (ours->kill_after_ns < 0 || (ours->sandbox & ~ALL_FLAGS) != 0)
		return false;
	if (ours->kill_after_ns == 0)
		ours->kill_after_ns = KILL_AFTER_NS;
	return true;
}

static weir_status
isolator_open(struct weir_zygote *zygote, const weir_pool_options *options,
	      struct weir_isolator **out)
{
	struct weir_isolator *isolator = calloc(1, sizeof(*isolator));
	struct weir_worker_spec *spec;

	if (!isolator)
		return WEIR_NOMEM;
	spec = &isolator->spec;
	if (!limits_adopt(&spec->limits, options->isolate_options)) {
		free(isolator);
		return WEIR_INVAL;
	}
	isolator->zygote = zygote;
	isolator->workers = options->workers;
	spec->in_size = options->in_size;
	spec->out_size = options->out_size;
	spec->run = options->run;
	spec->init = options->init;
	spec->exit = options->exit;
	spec->user = options->user;
	weir__mutex_init(&isolator->mu);
	*out = isolator;
	return WEIR_OK;
}

static void
isolator_close(struct weir_isolator *isolator)
{
	weir__mutex_fini(&isolator->mu);
	free(isolator);
}

const struct weir_isolator_ops weir__isolator_ops = {
	.open = isolator_open,
	.close = isolator_close,
	.cell_new = weir__cell_new,
	.cell_free = weir__cell_free,
	.run = weir__cell_run,
	.finish = weir__cell_finish,
};

void
weir__isolator_note_start(struct weir_isolator *isolator, uint32_t sandbox)
{
	weir__mutex_lock(&isolator->mu);
	isolator->stats.started++;
	isolator->stats.sandbox = sandbox;
	weir__mutex_unlock(&isolator->mu);
}

void
weir__isolator_note_end(struct weir_isolator *isolator, enum weir_end end,
			uint64_t jobs)
{
	int64_t now_ns = weir_now_ns();

	weir__mutex_lock(&isolator->mu);
	isolator->stats.died += end == WEIR_END_DIED;
	isolator->stats.killed += end == WEIR_END_KILLED;
	isolator->stats.recycled += end == WEIR_END_RECYCLED;
	if (end != WEIR_END_RECYCLED)
		weir__brake_died(&isolator->brake, isolator->workers, jobs,
				 now_ns);
	weir__mutex_unlock(&isolator->mu);
}

int64_t
weir__isolator_delay_ns(struct weir_isolator *isolator)
{
	int64_t delay_ns, now_ns = weir_now_ns();

	weir__mutex_lock(&isolator->mu);
	delay_ns = weir__brake_delay_ns(&isolator->brake, isolator->workers,
					now_ns);
	weir__mutex_unlock(&isolator->mu);
	return delay_ns;
}

weir_status
weir_pool_get_isolate_stats(weir_pool *pool, weir_isolate_stats *ret)
{
	struct weir_isolator *isolator = weir__pool_isolator(pool);
	size_t size = ret->size ? ret->size : sizeof(*ret);
	weir_isolate_stats s;

	if (!isolator)
		return WEIR_INVAL;
	weir__mutex_lock(&isolator->mu);
	s = isolator->stats;
	s.delay_ns = weir__brake_delay_ns(&isolator->brake, isolator->workers,
					  weir_now_ns());
	weir__mutex_unlock(&isolator->mu);
	s.braking = s.delay_ns > 0;
	s.size = size;
	memcpy(ret, &s, size < sizeof(s) ? size : sizeof(s));
	return WEIR_OK;
}
