/*
 * Inserts made into drafts; see draft.h.
 *
 * Design: each field has a function that judges it and says in `why` what is
 * wrong with it.  The caller of all those puts the number of the job in front,
 * once.
 *
 * Everything is judged before anything is handed on: a batch is inserted all
 * or none, and the reason should come before the store has done half the work.
 */
#include "queue/draft.h"

#include "base/assert.h"
#include "base/civil.h"
#include "base/json.h"
#include "base/json_check.h"
#include "base/options.h"
#include "queue/names.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* No struct of ours gets to be so large: a size beyond it was never set. */
#define INSERT_SIZE_MAX 4096

#define UNIQUE_ALL                                                   \
	(WEIR_UNIQUE_ARGS | WEIR_UNIQUE_QUEUE | WEIR_UNIQUE_PERIOD | \
	 WEIR_UNIQUE_KIND | WEIR_UNIQUE_NO_KIND)

static_assert(WEIR_ARGS_DEPTH_MAX == WEIR_JSON_DEPTH_MAX,
	      "args are as deep as JSON is judged");

/* One insert on its way. */
struct drafting {
	const weir_insert *from;
	struct weir_draft *to;
	struct weir_drafts *drafts;
	const struct weir_draft_rules *rules;
	char why[WEIR_ERROR_MAX];
};

__attribute__((format(printf, 2, 3))) static weir_status
refuse(struct drafting *d, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(d->why, sizeof(d->why), format, args);
	va_end(args);
	weir_assert(d->why[0]);
	return WEIR_INVAL;
}

static weir_status
no_memory(struct drafting *d)
{
	(void)refuse(d, "out of memory");
	return WEIR_NOMEM;
}

static weir_status
refuse_name(struct drafting *d, const char *what, const char *name,
	    const char *fault)
{
	char shown[WEIR_NAME_SHOWN_SIZE];

	return refuse(d, "%s \"%s\" %s", what, weir__name_show(name, shown),
		      fault);
}

static const char default_queue[] = "default";

/*
 * One byte more than is good is looked at, so that a text without an end is
 * found to be too long and not read to the end of the world.
 */
static weir_status
draft_names(struct drafting *d)
{
	const char *queue = d->from->queue, *kind = d->from->kind, *fault;

	if (!kind)
		return refuse(d, "kind is missing");
	d->to->kind = kind;
	d->to->kind_len = strnlen(kind, WEIR_KIND_MAX + 1);
	fault = weir__kind_fault(kind, d->to->kind_len);
	if (fault)
		return refuse_name(d, "kind", kind, fault);
	if (!d->rules->ours && weir__kind_is_ours(kind, d->to->kind_len))
		return refuse_name(d, "kind", kind,
				   "is reserved for the command weir");
	if (!queue) {
		d->to->queue = default_queue;
		d->to->queue_len = sizeof(default_queue) - 1;
		return WEIR_OK;
	}
	d->to->queue = queue;
	d->to->queue_len = strnlen(queue, WEIR_QUEUE_NAME_MAX + 1);
	fault = weir__queue_name_fault(queue, d->to->queue_len);
	return fault ? refuse_name(d, "queue", queue, fault) : WEIR_OK;
}

/* *len 0: up to its NUL byte. */
static weir_status
check_object(struct drafting *d, const char *what, const char *text,
	     size_t *len)
{
	struct weir_json_fault fault;

	weir_assert(text);
	if (*len == 0)
		*len = strnlen(text, WEIR_ARGS_MAX + 1);
	if (*len > WEIR_ARGS_MAX)
		return refuse(d, "%s: more than %d bytes", what, WEIR_ARGS_MAX);
	if (weir__json_check(text, *len, WEIR_JSON_OBJECT, &fault))
		return WEIR_OK;
	if (fault.no_memory)
		return no_memory(d);
	return refuse(d, "%s: %s (at byte %zu)", what, fault.why, fault.at);
}

/* Metadata that was not given stays NULL: a store keeps none. */
static weir_status
draft_json(struct drafting *d)
{
	const weir_insert *from = d->from;
	struct weir_draft *to = d->to;
	weir_status status = WEIR_OK;

	to->args = from->args ? from->args : "{}";
	to->args_len = from->args ? from->args_len : 2;
	if (from->args)
		status = check_object(d, "args", to->args, &to->args_len);
	else if (from->args_len > 0)
		return refuse(d, "args_len without args");
	to->metadata = from->metadata;
	to->metadata_len = from->metadata_len;
	if (status == WEIR_OK && from->metadata)
		status = check_object(d, "metadata", to->metadata,
				      &to->metadata_len);
	else if (from->metadata_len > 0 && !from->metadata)
		return refuse(d, "metadata_len without metadata");
	return status;
}

/* How long is the array of them; *ret of its text, without a NUL. */
static weir_status
measure_tags(struct drafting *d, size_t *ret)
{
	*ret = 1; /* [ or a comma before each, and ] */
	if (!d->from->tags)
		return refuse(d, "tag_count without tags");
	for (size_t i = 0; i < d->from->tag_count; i++) {
		const char *tag = d->from->tags[i], *fault;
		size_t len;

		if (!tag)
			return refuse(d, "tag %zu is missing", i);
		len = strnlen(tag, WEIR_TAG_MAX + 1);
		fault = weir__tag_fault(tag, len);
		if (fault)
			return refuse_name(d, "tag", tag, fault);
		*ret += len + 3;
		if (*ret > WEIR_ARGS_MAX)
			return refuse(d, "tags: more than %d bytes",
				      WEIR_ARGS_MAX);
	}
	return WEIR_OK;
}

/* ["a","b"]: nothing that may be in a tag needs an escape. */
static weir_status
draft_tags(struct drafting *d)
{
	weir_status status;
	char *text, *at;
	size_t size;

	if (d->from->tag_count == 0)
		return WEIR_OK;
	status = measure_tags(d, &size);
	if (status != WEIR_OK)
		return status;
	text = at = weir__arena_take(&d->drafts->arena, size);
	if (!text)
		return no_memory(d);
	for (size_t i = 0; i < d->from->tag_count; i++) {
		const char *tag = d->from->tags[i];
		size_t len = strnlen(tag, WEIR_TAG_MAX);

		*at++ = i == 0 ? '[' : ',';
		*at++ = '"';
		memcpy(at, tag, len);
		at += len;
		*at++ = '"';
	}
	*at++ = ']';
	weir_assert((size_t)(at - text) == size);
	d->to->tags = text;
	d->to->tags_len = size;
	return WEIR_OK;
}

/* Of these 0 is the default, which is not 0 for any of them but timeout_ns. */
static weir_status
draft_numbers(struct drafting *d)
{
	const weir_insert *from = d->from;

	if (from->priority > 4)
		return refuse(d, "priority %u is not one of 1 to 4",
			      from->priority);
	if (from->max_attempts > WEIR_MAX_ATTEMPTS_MAX)
		return refuse(d, "max_attempts %u is more than %d",
			      from->max_attempts, WEIR_MAX_ATTEMPTS_MAX);
	if (from->timeout_ns < 0)
		return refuse(d, "timeout_ns is negative");
	d->to->priority = from->priority ? from->priority : 1;
	d->to->max_attempts =
		from->max_attempts ? from->max_attempts : WEIR_MAX_ATTEMPTS;
	d->to->timeout_ns = from->timeout_ns;
	return WEIR_OK;
}

/* Rounded up: a job is never early. */
static int64_t
ms_of(int64_t ns)
{
	weir_assert(ns > 0);
	return ns / WEIR_MS + (ns % WEIR_MS > 0);
}

/*
 * A time makes a job SCHEDULED, even if it is past, and PENDING is PENDING
 * whatever the time: as River does.
 */
static weir_status
draft_time(struct drafting *d)
{
	int64_t delay_ns = d->from->delay_ns, now_ms = d->rules->now_ms;
	int64_t at_ms = d->from->scheduled_at_ms;

	weir_assert(now_ms > 0 && now_ms <= WEIR_CIVIL_MS_MAX);
	d->to->created_at_ms = d->to->scheduled_at_ms = now_ms;
	d->to->state = d->from->pending ? WEIR_JOB_PENDING : WEIR_JOB_AVAILABLE;
	if (d->rules->timeless || (delay_ns == 0 && at_ms == 0))
		return WEIR_OK;
	if (delay_ns < 0)
		return refuse(d, "delay_ns is negative");
	if (at_ms < 0)
		return refuse(d, "scheduled_at_ms is negative");
	if (delay_ns > 0 && at_ms > 0)
		return refuse(d, "both delay_ns and scheduled_at_ms are given");
	/* 292 years at most, so that this does not overflow. */
	if (delay_ns > 0)
		at_ms = now_ms + ms_of(delay_ns);
	if (at_ms > WEIR_CIVIL_MS_MAX)
		return refuse(d, "it would run after the year 9999");
	d->to->scheduled_at_ms = at_ms;
	if (!d->from->pending)
		d->to->state = WEIR_JOB_SCHEDULED;
	return WEIR_OK;
}

/* Paths with dots, of which no name is empty. */
static weir_status
check_fields(struct drafting *d)
{
	if (d->from->unique_field_count == 0)
		return WEIR_OK;
	if (!(d->from->unique & WEIR_UNIQUE_ARGS))
		return refuse(d, "unique_fields without WEIR_UNIQUE_ARGS");
	if (!d->from->unique_fields)
		return refuse(d, "unique_field_count without unique_fields");
	for (size_t i = 0; i < d->from->unique_field_count; i++) {
		const char *field = d->from->unique_fields[i];

		if (!field || !*field || *field == '.' ||
		    field[strlen(field) - 1] == '.' || strstr(field, ".."))
			return refuse(d, "unique field %zu has an empty name",
				      i);
	}
	return WEIR_OK;
}

/*
 * What would be ignored is refused, too: who gives a period and forgets to say
 * that it counts believes that it does.
 */
static weir_status
check_unique(struct drafting *d)
{
	const weir_insert *from = d->from;
	uint32_t required = WEIR_UNIQUE_STATES_REQUIRED;

	if (from->unique & ~UNIQUE_ALL)
		return refuse(d, "unique has an unknown bit");
	if (from->unique == WEIR_UNIQUE_NO_KIND)
		return refuse(d, "unique by WEIR_UNIQUE_NO_KIND alone: all "
				 "jobs would be the same");
	if ((from->unique & WEIR_UNIQUE_NO_KIND) &&
	    (from->unique & WEIR_UNIQUE_KIND))
		return refuse(d, "unique both by kind and whatever the kind");
	if (from->unique_period_ns != 0 && !(from->unique & WEIR_UNIQUE_PERIOD))
		return refuse(d, "unique_period_ns without WEIR_UNIQUE_PERIOD");
	if ((from->unique & WEIR_UNIQUE_PERIOD) && d->rules->timeless)
		return refuse(d, "unique by period: a schedule fires once for "
				 "each of its ticks anyway");
	if ((from->unique & WEIR_UNIQUE_PERIOD) &&
	    from->unique_period_ns < WEIR_S)
		return refuse(d, "unique_period_ns is less than a second");
	if (from->unique_states != 0 && from->unique == 0)
		return refuse(d, "unique_states without unique");
	if (from->unique_states & ~WEIR_JOB_STATES_ALL)
		return refuse(d, "unique_states has an unknown bit");
	if (from->unique_states && (from->unique_states & required) != required)
		return refuse(d, "unique_states lacks one of available, "
				 "pending, running and scheduled");
	return check_fields(d);
}

/* After the times: the key is of when the job is to run. */
static weir_status
draft_unique(struct drafting *d)
{
	const weir_insert *from = d->from;
	struct weir_draft *to = d->to;
	weir_status status = check_unique(d);
	struct weir_unique unique;
	unsigned char *key;

	weir_assert(to->kind && to->args && to->scheduled_at_ms > 0);
	if (status != WEIR_OK || from->unique == 0)
		return status;
	unique = (struct weir_unique){
		.parts = from->unique,
		.kind = to->kind,
		.kind_len = to->kind_len,
		.queue = to->queue,
		.queue_len = to->queue_len,
		.args = to->args,
		.args_len = to->args_len,
		.period_ns = from->unique_period_ns,
		.base_ms = to->scheduled_at_ms,
		.fields = from->unique_fields,
		.field_count = from->unique_field_count,
	};
	key = weir__arena_take(&d->drafts->arena, WEIR_UNIQUE_KEY_SIZE);
	if (!key || !weir__unique_key(&unique, &d->drafts->room, key))
		return no_memory(d);
	to->unique_key = key;
	to->unique_states = from->unique_states ? from->unique_states
						: WEIR_UNIQUE_STATES_DEFAULT;
	return WEIR_OK;
}

static weir_status
draft_insert(struct drafting *d)
{
	/* In this order: later ones need what earlier ones have filled in. */
	static weir_status (*const parts[])(struct drafting *) = {
		draft_names,   draft_json, draft_tags,
		draft_numbers, draft_time, draft_unique,
	};
	weir_status status = WEIR_OK;

	*d->to = (struct weir_draft){0};
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		status = parts[i](d);
		if (status != WEIR_OK)
			break;
	}
	return status;
}

/*
 * The caller's struct as ours: itself if it is as large, else a copy in *room.
 * NULL: it is none, or has what we do not know.
 */
static const weir_insert *
insert_at(const weir_insert *inserts, size_t stride, size_t i,
	  weir_insert *room)
{
	const char *at = (const char *)inserts + i * stride;
	size_t size;

	weir_assert(stride <= INSERT_SIZE_MAX);
	memcpy(&size, at, sizeof(size));
	if (size != stride)
		return NULL;
	if (size == sizeof(*room))
		return &inserts[i];
	*room = (weir_insert){0};
	return weir__options_copy(room, sizeof(*room), at, size,
				  offsetof(weir_insert, queue))
		       ? room
		       : NULL;
}

/* Room for count of them; drafts->all stays NULL if there is none. */
static void
take_room(struct weir_drafts *drafts, size_t count)
{
	drafts->all =
		count == 1 ? &drafts->one : calloc(count, sizeof(*drafts->all));
}

/* A job that is alone needs no number. */
static weir_status
report(const struct drafting *d, weir_status status, size_t i, size_t count,
       weir_error *reterr)
{
	weir_assert(status != WEIR_OK && i < count);
	if (count == 1)
		return weir__queue_error(reterr, status, 0, "%s", d->why);
	return weir__queue_error(reterr, status, 0, "job %zu: %s", i, d->why);
}

weir_status
weir__drafts_init(struct weir_drafts *drafts, const weir_insert *inserts,
		  size_t count, const struct weir_draft_rules *rules,
		  weir_error *reterr)
{
	struct drafting d = {.drafts = drafts, .rules = rules};
	weir_status status = WEIR_OK;
	weir_insert room;
	size_t stride;

	*drafts = (struct weir_drafts){0};
	if (count == 0)
		return WEIR_OK;
	if (!inserts)
		return weir__queue_error(reterr, WEIR_INVAL, 0,
					 "there are no jobs");
	stride = inserts->size;
	take_room(drafts, count);
	if (!drafts->all)
		return weir__queue_error(reterr, WEIR_NOMEM, 0,
					 "out of memory");
	for (size_t i = 0; i < count && status == WEIR_OK; i++) {
		d.from = NULL;
		if (stride <= INSERT_SIZE_MAX)
			d.from = insert_at(inserts, stride, i, &room);
		d.to = &drafts->all[i];
		status = d.from ? draft_insert(&d)
				: refuse(&d,
					 "its size, %zu, is none of a "
					 "weir_insert",
					 stride);
		if (status != WEIR_OK)
			(void)report(&d, status, i, count, reterr);
	}
	if (status == WEIR_OK)
		drafts->count = count;
	return status;
}

void
weir__drafts_fini(struct weir_drafts *drafts)
{
	weir_assert(drafts->count == 0 || drafts->all);
	if (drafts->all != &drafts->one)
		free(drafts->all);
	weir__arena_fini(&drafts->arena);
	weir__unique_room_fini(&drafts->room);
	drafts->all = NULL;
	drafts->count = 0;
}
