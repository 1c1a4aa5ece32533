/*
 * A work's options, checked and copied, and what is made of them: queues,
 * kinds and their gates.
 *
 * Locking.  None: nobody else knows the work yet.
 */
#include "queue/work_inside.h"

#include "base/assert.h"
#include "base/options.h"
#include "queue/names.h"

#include <stdlib.h>

#define WORKERS_DEFAULT 16
#define RATE_MAX        1e9

static weir_status
bad(weir_error *reterr, const char *what)
{
	return weir__queue_error(reterr, WEIR_INVAL, 0, "%s", what);
}

static weir_status
copy_options(weir_work *work, const weir_work_options *theirs,
	     weir_error *reterr)
{
	weir_work_options *o = &work->options;

	/* Whatever else is wrong, it is said before the store is asked. */
	if (!theirs || !weir__options_copy(o, sizeof(*o), theirs, theirs->size,
					   sizeof(size_t)))
		return bad(reterr, "options of a size that is not known");
	if (o->beat_ns < 0 || o->dead_ns < 0 || o->timeout_ns < 0 ||
	    o->completed_ns < 0 || o->cancelled_ns < 0 || o->discarded_ns < 0)
		return bad(reterr, "a duration below 0");
	if (o->workers > WEIR_POOL_WORKERS_MAX)
		return bad(reterr, "more workers than there can be");
	if (o->prefetch > WEIR_AHEAD_MAX)
		return bad(reterr, "a prefetch of more than 3072");
	if (o->unknown != WEIR_UNKNOWN_LEAVE && o->unknown != WEIR_UNKNOWN_FAIL)
		return bad(reterr, "no such way with unknown kinds");
	if ((o->queue_count > 0 && !o->queues) ||
	    (o->handler_count > 0 && !o->handlers))
		return bad(reterr, "a count without an array");
	if (o->workers == 0)
		o->workers = WORKERS_DEFAULT;
	if (o->beat_ns == 0)
		o->beat_ns = 3 * WEIR_S;
	if (o->dead_ns == 0)
		o->dead_ns = 10 * WEIR_S;
	if (o->dead_ns < 2 * o->beat_ns)
		return bad(reterr, "dead_ns is less than two beats");
	return WEIR_OK;
}

static weir_status
copy_queues(weir_work *work, weir_error *reterr)
{
	static const weir_work_queue plain = {.name = "default"};
	const weir_work_options *o = &work->options;
	const weir_work_queue *theirs = o->queue_count > 0 ? o->queues : &plain;
	size_t count = o->queue_count > 0 ? o->queue_count : 1;

	work->queues = calloc(count, sizeof(*work->queues));
	if (!work->queues)
		return WEIR_NOMEM;
	work->queue_count = count;
	/* Few enough that each may be compared with each. */
	for (size_t i = 0; i < count; i++) {
		const char *name = theirs[i].name, *fault;

		if (!name)
			return bad(reterr, "a queue without a name");
		fault = weir__queue_name_fault(name, strlen(name));
		if (fault)
			return weir__queue_error(reterr, WEIR_INVAL, 0,
						 "queue '%s' %s", name, fault);
		for (size_t j = 0; j < i; j++)
			if (strcmp(name, theirs[j].name) == 0)
				return weir__queue_error(
					reterr, WEIR_INVAL, 0,
					"queue '%s' is named twice", name);
		work->queues[i].name = name;
		work->queues[i].width = theirs[i].width;
		work->queues[i].may_have = true;
	}
	return WEIR_OK;
}

static weir_status
copy_kind(struct weir_kind *kind, const weir_handler *theirs,
	  weir_error *reterr)
{
	weir_handler *ours = &kind->handler;
	const char *fault;

	if (!weir__options_copy(ours, sizeof(*ours), theirs, theirs->size,
				sizeof(size_t)))
		return bad(reterr, "a handler of a size that is not known");
	if (!ours->kind)
		return bad(reterr, "a handler without a kind");
	fault = weir__kind_fault(ours->kind, strlen(ours->kind));
	if (fault)
		return weir__queue_error(reterr, WEIR_INVAL, 0, "kind '%s' %s",
					 ours->kind, fault);
	/* Written so that a NaN is bad, too. */
	if (!(ours->rate >= 0 && ours->rate <= RATE_MAX) ||
	    ours->timeout_ns < 0)
		return weir__queue_error(reterr, WEIR_INVAL, 0,
					 "kind '%s': a rate or time-out that "
					 "cannot be",
					 ours->kind);
	if (ours->retry) {
		kind->retry = *ours->retry;
		ours->retry = &kind->retry;
	}
	return WEIR_OK;
}

static int
compare_kinds(const void *a, const void *b)
{
	const struct weir_kind *x = a, *y = b;

	return strcmp(x->handler.kind, y->handler.kind);
}

static weir_status
copy_kinds(weir_work *work, weir_error *reterr)
{
	const weir_work_options *o = &work->options;
	const char *at = (const char *)o->handlers;
	weir_status status = WEIR_OK;

	work->kinds = calloc(o->handler_count + 1, sizeof(*work->kinds));
	if (!work->kinds)
		return WEIR_NOMEM;
	work->kind_count = o->handler_count;
	for (size_t i = 0; i < o->handler_count && status == WEIR_OK; i++)
		status = copy_kind(&work->kinds[i],
				   (const void *)(at + i * o->handlers->size),
				   reterr);
	if (status != WEIR_OK)
		return status;
	/* Sorting moves them, and the policies in them. */
	qsort(work->kinds, work->kind_count, sizeof(*work->kinds),
	      compare_kinds);
	for (size_t i = 0; i < work->kind_count; i++)
		if (work->kinds[i].handler.retry)
			work->kinds[i].handler.retry = &work->kinds[i].retry;
	for (size_t i = 1; i < work->kind_count; i++)
		if (compare_kinds(&work->kinds[i - 1], &work->kinds[i]) == 0)
			return weir__queue_error(reterr, WEIR_INVAL, 0,
						 "kind '%s' has two handlers",
						 work->kinds[i].handler.kind);
	return WEIR_OK;
}

const struct weir_kind *
weir__work_kind(const weir_work *work, const char *kind)
{
	struct weir_kind key = {.handler.kind = kind};

	weir_assert(kind);
	return bsearch(&key, work->kinds, work->kind_count,
		       sizeof(*work->kinds), compare_kinds);
}

static struct weir_gate *
add_gate(weir_work *work, uint32_t width)
{
	struct weir_gate *gate = &work->gates[work->gate_count++];

	weir_assert(work->gate_count <= work->queue_count + work->kind_count);
	gate->width = width;
	weir__line_init(&gate->line);
	return gate;
}

/* A twentieth of a second's worth may begin at once. */
static weir_status
limit_rate(struct weir_gate *gate, double rate)
{
	double burst = rate / 20;

	weir_assert(rate > 0 && !gate->limit);
	gate->burst = burst < 1 ? 1 : burst > 1e6 ? 1000000 : (uint32_t)burst;
	return weir_limit_new(&gate->limit, rate, gate->burst);
}

static weir_status
make_gates(weir_work *work, weir_error *reterr)
{
	weir_status status = WEIR_OK;

	work->gates = calloc(work->queue_count + work->kind_count,
			     sizeof(*work->gates));
	if (!work->gates)
		return WEIR_NOMEM;
	for (size_t i = 0; i < work->queue_count; i++)
		if (work->queues[i].width > 0)
			work->queues[i].gate =
				add_gate(work, work->queues[i].width);
	for (size_t i = 0; i < work->kind_count && status == WEIR_OK; i++) {
		struct weir_kind *kind = &work->kinds[i];

		if (kind->handler.width == 0 && !(kind->handler.rate > 0))
			continue;
		kind->gate = add_gate(work, kind->handler.width);
		if (kind->handler.rate > 0)
			status = limit_rate(kind->gate, kind->handler.rate);
	}
	if (status == WEIR_INVAL)
		bad(reterr, "a rate below one a year");
	return status;
}

/* The lane's list of kinds is kept by us; the texts are the caller's. */
static weir_status
copy_lane(weir_work *work, const struct weir_lane *lane)
{
	size_t most = lane->kind_count + work->kind_count + 1;

	weir_assert(lane->width > 0 && lane->poke && lane->cancel);
	work->lane = *lane;
	work->lane_kinds =
		calloc(lane->kind_count + 1, sizeof(*work->lane_kinds));
	if (!work->lane_kinds)
		return WEIR_NOMEM;
	for (size_t i = 0; lane->kinds && i < lane->kind_count; i++)
		work->lane_kinds[i] = lane->kinds[i];
	work->lane.kinds = lane->kinds ? work->lane_kinds : NULL;
	work->kind_names = calloc(most, sizeof(*work->kind_names));
	work->wants = calloc(work->queue_count, sizeof(*work->wants));
	return work->kind_names && work->wants ? WEIR_OK : WEIR_NOMEM;
}

weir_status
weir__work_setup(weir_work *work, const weir_work_options *options,
		 const struct weir_lane *lane, weir_error *reterr)
{
	weir_status status = copy_options(work, options, reterr);

	weir_assert(!work->gates && !work->lane_kinds);
	/* What was made so far is weir__work_unset()'s to free. */
	if (status == WEIR_OK)
		status = copy_queues(work, reterr);
	if (status == WEIR_OK)
		status = copy_kinds(work, reterr);
	if (status == WEIR_OK)
		status = make_gates(work, reterr);
	if (status == WEIR_OK)
		status = copy_lane(work, lane);
	if (status == WEIR_NOMEM)
		weir__queue_error(reterr, status, 0, "%s",
				  weir_status_message(status));
	return status;
}

void
weir__work_unset(weir_work *work)
{
	for (size_t i = 0; i < work->gate_count; i++)
		work->gates[i].limit = weir_limit_free(work->gates[i].limit);
	free(work->gates);
	free(work->kinds);
	free(work->queues);
	free(work->wants);
	free(work->kind_names);
	free(work->lane_kinds);
}
