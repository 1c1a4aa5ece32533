/*
 * From flags and lines of input to jobs to be; see queue_fill.h.
 *
 * Design: a line is cut into its members without being parsed, so that args
 * and metadata stay what they are, byte for byte, for the store to judge; the
 * other values are small, and jansson reads each of them by itself.  What a
 * line says and we do not use is judged as well: nothing that is no JSON comes
 * through unseen.
 */
#include "cli/queue_fill.h"

#include "base/json_check.h"
#include "base/json_scan.h"
#include "base/units.h"
#include "cli/queue_open.h"
#include "cli/queue_time.h"
#include "cli/table.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Copy len bytes into the arena, with a NUL behind.  NULL: no memory. */
static char *
keep(struct weir_arena *arena, const char *text, size_t len)
{
	char *copy = weir__arena_take(arena, len + 1);

	if (copy) {
		memcpy(copy, text, len);
		copy[len] = '\0';
	}
	return copy;
}

/* `word` is `name=`: what stands behind it; NULL: it is something else. */
static const char *
value_of(const char *word, const char *name)
{
	size_t len = strlen(name);

	return strncmp(word, name, len) == 0 && word[len] == '='
		       ? word + len + 1
		       : NULL;
}

/* Words of --unique that are one bit. */
static bool
unique_bit(const char *word, weir_insert *insert)
{
	static const struct {
		const char *word;
		uint32_t bit;
	} bits[] = {
		{"args", WEIR_UNIQUE_ARGS},
		{"queue", WEIR_UNIQUE_QUEUE},
		{"kind", WEIR_UNIQUE_KIND},
		{"any-kind", WEIR_UNIQUE_NO_KIND},
	};

	for (size_t i = 0; i < sizeof(bits) / sizeof(bits[0]); i++)
		if (strcmp(word, bits[i].word) == 0) {
			insert->unique |= bits[i].bit;
			return true;
		}
	return false;
}

static bool
unique_state(const char *name, weir_insert *insert)
{
	weir_state state;

	if (weir_job_state_parse(name, &state) != WEIR_OK)
		return false;
	insert->unique_states |= WEIR_JOB_STATE_BIT(state);
	return true;
}

/* One word; fields has room for it.  NULL: it is fine, else why not. */
static const char *
unique_word(const char *word, weir_insert *insert, const char **fields)
{
	const char *value;

	if (unique_bit(word, insert))
		return NULL;
	value = value_of(word, "args");
	if (value) {
		insert->unique |= WEIR_UNIQUE_ARGS;
		fields[insert->unique_field_count++] = value;
		return *value ? NULL : "args= needs the name of a member";
	}
	value = value_of(word, "period");
	if (value) {
		insert->unique |= WEIR_UNIQUE_PERIOD;
		if (weir__parse_duration(value, &insert->unique_period_ns) &&
		    insert->unique_period_ns >= WEIR_S)
			return NULL;
		return "period= needs a time of 1s or more, such as 1h";
	}
	value = value_of(word, "state");
	if (value)
		return unique_state(value, insert)
			       ? NULL
			       : "state= needs the name of a state, such as "
				 "completed";
	if (strcmp(word, "period") == 0)
		return "period needs a time, such as period=1h";
	return "its words are args, args=NAME, queue, period=TIME, kind, "
	       "any-kind and state=NAME";
}

bool
weir__fill_unique(const char *text, struct weir_arena *arena,
		  weir_insert *insert, const char **ret_why)
{
	char *copy = keep(arena, text, strlen(text)), *word, *rest;
	const char **fields = weir__arena_take(arena, (strlen(text) / 2 + 1) *
							      sizeof(*fields));

	*ret_why = "out of memory";
	if (!copy || !fields)
		return false;
	insert->unique = insert->unique_states = 0;
	insert->unique_period_ns = 0;
	insert->unique_fields = fields;
	insert->unique_field_count = 0;
	for (word = strtok_r(copy, ",", &rest); word;
	     word = strtok_r(NULL, ",", &rest)) {
		*ret_why = unique_word(word, insert, fields);
		if (*ret_why)
			return false;
	}
	*ret_why = "it needs words, such as args,period=1h";
	return insert->unique != 0;
}

int
weir__fill_options(struct weir_cli *cli, const struct job_cli_options *options,
		   struct weir_arena *arena, weir_insert *insert)
{
	const char *why;

	weir_insert_init(insert);
	insert->kind = options->kind;
	insert->args = options->args;
	insert->metadata = options->metadata;
	insert->tags = options->tags.items;
	insert->tag_count = options->tags.count;
	insert->priority = (uint32_t)options->priority;
	insert->max_attempts = (uint32_t)options->max_attempts;
	insert->timeout_ns = options->timeout_ns;
	if (!options->unique ||
	    weir__fill_unique(options->unique, arena, insert, &why))
		return -1;
	weir__cli_error(cli, "--unique", "'%s': %s", options->unique, why);
	return WEIR_EXIT_USAGE;
}

/* A line while its members are taken. */
struct filling {
	struct weir_arena *arena;
	weir_insert *insert;
	char *why; /* WEIR_ERROR_MAX bytes */
};

static weir_status __attribute__((format(printf, 2, 3)))
refuse(struct filling *f, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	(void)vsnprintf(f->why, WEIR_ERROR_MAX, format, args);
	va_end(args);
	return WEIR_INVAL;
}

/* A text without NUL bytes, in the arena. */
static weir_status
take_text(struct filling *f, const char *name, const json_t *value,
	  const char **ret)
{
	if (!json_is_string(value) ||
	    memchr(json_string_value(value), '\0', json_string_length(value)))
		return refuse(f, "%s is no text", name);
	*ret = keep(f->arena, json_string_value(value),
		    json_string_length(value));
	return *ret ? WEIR_OK : WEIR_NOMEM;
}

static weir_status
take_number(struct filling *f, const char *name, const json_t *value,
	    int64_t max, uint32_t *ret)
{
	json_int_t number = json_integer_value(value);

	if (!json_is_integer(value) || number < 1 || number > max)
		return refuse(f, "%s is no number from 1 to %" PRId64, name,
			      max);
	*ret = (uint32_t)number;
	return WEIR_OK;
}

static weir_status
take_duration(struct filling *f, const char *name, const json_t *value,
	      int64_t *ret)
{
	const char *text = json_string_value(value);

	if (!text || !weir__parse_duration(text, ret))
		return refuse(f, "%s is no time, such as \"5m\"", name);
	return WEIR_OK;
}

static weir_status
take_scheduled_at(struct filling *f, const json_t *value)
{
	const char *text = json_string_value(value);

	if (!text || !weir__time_parse(text, &f->insert->scheduled_at_ms))
		return refuse(f, "scheduled_at is no RFC 3339 time, such as "
				 "\"2027-01-31T09:00:00Z\"");
	f->insert->delay_ns = 0;
	return WEIR_OK;
}

static weir_status
take_tags(struct filling *f, const json_t *value)
{
	size_t count = json_array_size(value);
	const char **tags =
		weir__arena_take(f->arena, (count + 1) * sizeof(*tags));
	weir_status status = WEIR_OK;

	if (!tags)
		return WEIR_NOMEM;
	if (!json_is_array(value))
		return refuse(f, "tags is no array");
	for (size_t i = 0; i < count && status == WEIR_OK; i++)
		status = take_text(f, "a tag", json_array_get(value, i),
				   &tags[i]);
	f->insert->tags = tags;
	f->insert->tag_count = count;
	return status;
}

static weir_status
take_unique(struct filling *f, const json_t *value)
{
	const char *why, *text = NULL;
	weir_status status = take_text(f, "unique", value, &text);

	if (!text || weir__fill_unique(text, f->arena, f->insert, &why))
		return status;
	return refuse(f, "unique: %s", why);
}

static weir_status
take_pending(struct filling *f, const json_t *value)
{
	if (!json_is_boolean(value))
		return refuse(f, "pending is neither true nor false");
	f->insert->pending = json_is_true(value);
	return WEIR_OK;
}

/* Values that jansson reads. */
enum member {
	MEMBER_KIND,
	MEMBER_QUEUE,
	MEMBER_PRIORITY,
	MEMBER_MAX_ATTEMPTS,
	MEMBER_DELAY,
	MEMBER_TIMEOUT,
	MEMBER_SCHEDULED_AT,
	MEMBER_TAGS,
	MEMBER_PENDING,
	MEMBER_UNIQUE,
	/* those that are taken as they stand */
	MEMBER_ARGS,
	MEMBER_METADATA,
	/* those that are passed over: what `weir jobs --json` adds */
	MEMBER_OTHERS,
};

static const char *const member_names[] = {
	[MEMBER_KIND] = "kind",
	[MEMBER_QUEUE] = "queue",
	[MEMBER_PRIORITY] = "priority",
	[MEMBER_MAX_ATTEMPTS] = "max_attempts",
	[MEMBER_DELAY] = "delay",
	[MEMBER_TIMEOUT] = "timeout",
	[MEMBER_SCHEDULED_AT] = "scheduled_at",
	[MEMBER_TAGS] = "tags",
	[MEMBER_PENDING] = "pending",
	[MEMBER_UNIQUE] = "unique",
	[MEMBER_ARGS] = "args",
	[MEMBER_METADATA] = "metadata",
	[MEMBER_OTHERS] = "id",
	"state",
	"attempt",
	"output",
	"created_at",
	"attempted_at",
	"finalized_at",
	"cancel_at",
	"attempted_by",
	"crashes",
	"errors",
	"unique_key",
	"unique_states",
};

#define MEMBERS (sizeof(member_names) / sizeof(member_names[0]))

static weir_status
take_value(struct filling *f, enum member member, const json_t *value)
{
	const char *name = member_names[member];

	switch (member) {
	case MEMBER_KIND:
		return take_text(f, name, value, &f->insert->kind);
	case MEMBER_QUEUE:
		return take_text(f, name, value, &f->insert->queue);
	case MEMBER_PRIORITY:
		return take_number(f, name, value, 4, &f->insert->priority);
	case MEMBER_MAX_ATTEMPTS:
		return take_number(f, name, value, WEIR_MAX_ATTEMPTS_MAX,
				   &f->insert->max_attempts);
	case MEMBER_DELAY:
		f->insert->scheduled_at_ms = 0;
		return take_duration(f, name, value, &f->insert->delay_ns);
	case MEMBER_TIMEOUT:
		return take_duration(f, name, value, &f->insert->timeout_ns);
	case MEMBER_SCHEDULED_AT:
		return take_scheduled_at(f, value);
	case MEMBER_TAGS:
		return take_tags(f, value);
	case MEMBER_PENDING:
		return take_pending(f, value);
	case MEMBER_UNIQUE:
		return take_unique(f, value);
	case MEMBER_ARGS:
	case MEMBER_METADATA:
	case MEMBER_OTHERS:
		break;
	}
	return WEIR_OK;
}

static size_t
find_member(const struct weir_json_member *m)
{
	size_t i = 0;

	while (i < MEMBERS &&
	       !weir__json_is(m->name, m->name_len, member_names[i]))
		i++;
	return i;
}

static weir_status
unknown_member(struct filling *f, const struct weir_json_member *m)
{
	/* Without the quotes. */
	const char *name = m->name + 1, *best = NULL;
	size_t len = m->name_len - 2;
	int best_score = -1;

	for (size_t i = 0; i < MEMBER_OTHERS; i++) {
		int score = weir__suggest_score(name, len, member_names[i]);

		if (score >= 0 && (best_score < 0 || score < best_score)) {
			best_score = score;
			best = member_names[i];
		}
	}
	return refuse(f, "unknown member '%.*s'%s%s%s",
		      len > 40 ? 40 : (int)len, name,
		      best ? "; did you mean '" : "", best ? best : "",
		      best ? "'?" : "");
}

/* Is it JSON?  That of args and metadata is the store's to judge. */
static weir_status
check_value(struct filling *f, size_t member, const struct weir_json_member *m)
{
	struct weir_json_fault fault;

	if (weir__json_check(m->value, m->value_len, WEIR_JSON_ANY, &fault))
		return WEIR_OK;
	return fault.no_memory
		       ? WEIR_NOMEM
		       : refuse(f, "%s: %s", member_names[member], fault.why);
}

static weir_status
take_member(struct filling *f, size_t member, const struct weir_json_member *m)
{
	json_t *value;
	weir_status status;

	if (m->value_len == 4 && memcmp(m->value, "null", 4) == 0)
		return WEIR_OK; /* the same as not there */
	if (member == MEMBER_ARGS) {
		f->insert->args = m->value;
		f->insert->args_len = m->value_len;
		return WEIR_OK;
	}
	if (member == MEMBER_METADATA) {
		f->insert->metadata = m->value;
		f->insert->metadata_len = m->value_len;
		return WEIR_OK;
	}
	status = check_value(f, member, m);
	if (status != WEIR_OK || member >= MEMBER_OTHERS)
		return status;
	value = json_loadb(m->value, m->value_len, JSON_DECODE_ANY, NULL);
	/* It is JSON, so it can only be a number of more than 64 bits. */
	if (!value)
		return refuse(f, "%s is too large a number",
			      member_names[member]);
	status = take_value(f, (enum member)member, value);
	json_decref(value);
	return status;
}

weir_status
weir__fill_line(const char *line, size_t len, struct weir_arena *arena,
		weir_insert *insert, char why[WEIR_ERROR_MAX])
{
	struct filling f = {.arena = arena, .insert = insert, .why = why};
	struct weir_json_scan scan;
	struct weir_json_member m;
	uint64_t seen = 0;
	weir_status status = WEIR_OK;

	weir__json_scan_init(&scan, line, len);
	while (status == WEIR_OK && weir__json_scan_next(&scan, &m)) {
		size_t member = find_member(&m);

		if (member == MEMBERS)
			return unknown_member(&f, &m);
		if (seen & UINT64_C(1) << member)
			return refuse(&f, "'%s' stands there twice",
				      member_names[member]);
		seen |= UINT64_C(1) << member;
		status = take_member(&f, member, &m);
	}
	if (status != WEIR_OK || weir__json_scan_is_whole(&scan))
		return status;
	return refuse(&f, "it is no JSON object");
}
