/*
 * A job of a store, shown; see queue_job.h.
 *
 * Design: args, metadata and output are other people's bytes.  In JSON they
 * are copied as they stand; for people they are broken into lines, nothing
 * else, and made harmless like all text from outside.
 */
#include "cli/queue_job.h"

#include "base/json_check.h"
#include "cli/queue_time.h"
#include "cli/term.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

/* How far nested JSON is moved to the right, at the most. */
#define INDENT_MAX 40
/* Bytes of an error in a table, which is wide enough for any terminal. */
#define NOTE_MAX 400

void
weir__job_put_time(struct weir_json *j, const char *key, int64_t ms)
{
	char text[WEIR_TIME_SIZE];

	weir__json_key(j, key);
	if (ms > 0)
		weir__json_puts(j, weir__time_format(text, ms));
	else
		weir__json_null(j);
}

static void
put_uint(struct weir_json *j, const char *key, uint64_t value)
{
	weir__json_key(j, key);
	weir__json_uint(j, value);
}

static void
put_text(struct weir_json *j, const char *key, const char *text)
{
	weir__json_key(j, key);
	if (text && text[0])
		weir__json_puts(j, text);
	else
		weir__json_null(j);
}

/*
 * JSON as it stands in the store; empty becomes what stands for nothing.  A
 * line break can only be a blank between its parts, and would break our line,
 * so it becomes one.  What is no JSON, for the store is damaged or somebody
 * else has written there, is shown as a text.
 */
static void
put_raw(struct weir_json *j, const char *key, const char *json, size_t len,
	const char *nothing)
{
	struct weir_json_fault fault;
	size_t begin;

	weir__json_key(j, key);
	begin = j->buf->len;
	if (len == 0)
		weir__json_raw(j, nothing, strlen(nothing));
	else if (!weir__json_check(json, len, WEIR_JSON_ANY, &fault))
		weir__json_string(j, json, len);
	else
		weir__json_raw(j, json, len);
	for (size_t i = begin; i < j->buf->len; i++)
		if (j->buf->data[i] == '\n' || j->buf->data[i] == '\r')
			j->buf->data[i] = ' ';
}

static void
put_timeout(struct weir_json *j, int64_t ns)
{
	struct weir_buf text = {0};

	if (ns > 0)
		weir__time_put_duration(&text, ns);
	put_text(j, "timeout", text.data);
	weir__buf_fini(&text);
}

static void
put_states(struct weir_json *j, uint32_t states)
{
	weir__json_begin_array(j);
	for (unsigned i = 0; i < 8; i++)
		if (states >> i & 1)
			weir__json_puts(j, weir_job_state_name((weir_state)i));
	weir__json_end_array(j);
}

static void
put_hex(struct weir_buf *buf, const unsigned char *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++)
		weir__buf_printf(buf, "%02x", bytes[i]);
}

static void
put_unique(struct weir_json *j, const weir_job_row *row)
{
	struct weir_buf hex = {0};

	if (row->unique_key)
		put_hex(&hex, row->unique_key, 32);
	put_text(j, "unique_key", hex.data);
	weir__json_key(j, "unique_states");
	if (row->unique_key)
		put_states(j, row->unique_states);
	else
		weir__json_null(j);
	weir__buf_fini(&hex);
}

void
weir__job_put_json(struct weir_buf *buf, const weir_job_row *row)
{
	struct weir_json j;

	weir__json_init(&j, buf);
	weir__json_begin_object(&j);
	weir__json_key(&j, "id");
	weir__json_int(&j, row->id);
	put_text(&j, "queue", row->queue);
	put_text(&j, "kind", row->kind);
	put_text(&j, "state", weir_job_state_name(row->state));
	put_uint(&j, "priority", row->priority);
	put_uint(&j, "attempt", row->attempt);
	put_uint(&j, "max_attempts", row->max_attempts);
	put_raw(&j, "args", row->args, row->args_len, "{}");
	put_raw(&j, "metadata", row->metadata, row->metadata_len, "{}");
	put_raw(&j, "tags", row->tags, row->tags_len, "[]");
	weir__job_put_time(&j, "created_at", row->created_at_ms);
	weir__job_put_time(&j, "scheduled_at", row->scheduled_at_ms);
	weir__job_put_time(&j, "attempted_at", row->attempted_at_ms);
	weir__job_put_time(&j, "finalized_at", row->finalized_at_ms);
	weir__job_put_time(&j, "cancel_at", row->cancel_at_ms);
	put_text(&j, "attempted_by", row->attempted_by);
	put_uint(&j, "crashes", row->crashes);
	put_timeout(&j, row->timeout_ns);
	put_raw(&j, "errors", row->errors, row->errors_len, "[]");
	put_raw(&j, "output", row->output, row->output_len, "null");
	put_unique(&j, row);
	weir__json_end_object(&j);
	weir__buf_putc(buf, '\n');
}

static size_t
length_of(const char *text, size_t len)
{
	return text && len == 0 ? strlen(text) : len;
}

/* As --unique takes it: "args=to,period=1h". */
static void
put_unique_words(struct weir_buf *buf, const weir_insert *insert)
{
	if (insert->unique & WEIR_UNIQUE_ARGS &&
	    insert->unique_field_count == 0)
		weir__buf_puts(buf, ",args");
	for (size_t i = 0; i < insert->unique_field_count; i++)
		weir__buf_printf(buf, ",args=%s", insert->unique_fields[i]);
	if (insert->unique & WEIR_UNIQUE_QUEUE)
		weir__buf_puts(buf, ",queue");
	if (insert->unique & WEIR_UNIQUE_PERIOD) {
		weir__buf_puts(buf, ",period=");
		weir__time_put_duration(buf, insert->unique_period_ns);
	}
	if (insert->unique & WEIR_UNIQUE_KIND)
		weir__buf_puts(buf, ",kind");
	if (insert->unique & WEIR_UNIQUE_NO_KIND)
		weir__buf_puts(buf, ",any-kind");
	for (unsigned i = 0; insert->unique && i < 8; i++)
		if (insert->unique_states >> i & 1)
			weir__buf_printf(buf, ",state=%s",
					 weir_job_state_name((weir_state)i));
}

static void
put_tags(struct weir_json *j, const weir_insert *insert)
{
	weir__json_key(j, "tags");
	weir__json_begin_array(j);
	for (size_t i = 0; i < insert->tag_count; i++)
		weir__json_puts(j, insert->tags[i]);
	weir__json_end_array(j);
}

/*
 * A store keeps tags and uniqueness of a schedule's job as what its jobs will
 * have, and does not tell them; so these are shown only where they are known.
 */
void
weir__job_put_insert(struct weir_json *j, const weir_insert *insert)
{
	struct weir_buf unique = {0};

	put_text(j, "kind", insert->kind);
	put_text(j, "queue", insert->queue ? insert->queue : "default");
	put_raw(j, "args", insert->args,
		length_of(insert->args, insert->args_len), "{}");
	put_raw(j, "metadata", insert->metadata,
		length_of(insert->metadata, insert->metadata_len), "{}");
	if (insert->tag_count > 0)
		put_tags(j, insert);
	put_uint(j, "priority", insert->priority ? insert->priority : 1);
	put_uint(j, "max_attempts",
		 insert->max_attempts ? insert->max_attempts
				      : WEIR_MAX_ATTEMPTS);
	put_timeout(j, insert->timeout_ns);
	put_unique_words(&unique, insert);
	if (unique.len > 0)
		put_text(j, "unique", unique.data + 1);
	weir__buf_fini(&unique);
}

/* A line of ours, with text from outside in it, made harmless. */
static void __attribute__((format(printf, 2, 3)))
put_line(struct weir_buf *buf, const char *format, ...)
{
	struct weir_buf line = {0};
	va_list args;

	va_start(args, format);
	weir__buf_vprintf(&line, format, args);
	va_end(args);
	weir__term_clean(buf, weir__buf_str(&line), line.len,
			 weir__term_utf8());
	weir__buf_putc(buf, '\n');
	if (line.failed)
		buf->failed = true;
	weir__buf_fini(&line);
}

/* Text of several lines, each moved to the right. */
static void
put_lines(struct weir_buf *buf, const char *text, size_t len, int indent)
{
	while (len > 0) {
		const char *end = memchr(text, '\n', len);
		size_t line = end ? (size_t)(end - text) : len;

		weir__buf_printf(buf, "%*s", indent, "");
		weir__term_clean(buf, text, line, weir__term_utf8());
		weir__buf_putc(buf, '\n');
		text += line + (end != NULL);
		len -= line + (end != NULL);
	}
}

static void
new_line(struct weir_buf *buf, size_t depth)
{
	int indent = depth > INDENT_MAX / 2 ? INDENT_MAX : (int)depth * 2;

	weir__buf_printf(buf, "\n%*s", indent, "");
}

/* How long the string at text is, both its quotes counted. */
static size_t
string_len(const char *text, size_t len)
{
	size_t i = 1;

	while (i < len && text[i] != '"')
		i += text[i] == '\\' ? 2 : 1;
	return i < len ? i + 1 : len;
}

/* JSON in lines.  Whatever it is, all its bytes but blanks come through. */
static void
put_pretty(struct weir_buf *buf, const char *text, size_t len)
{
	size_t depth = 0, n;

	for (size_t i = 0; i < len; i += n) {
		char c = text[i], last;

		n = 1;
		if (c == '"') {
			n = string_len(text + i, len - i);
			weir__buf_append(buf, text + i, n);
		} else if (c == '{' || c == '[') {
			weir__buf_putc(buf, c);
			new_line(buf, ++depth);
		} else if (c == '}' || c == ']') {
			depth -= depth > 0;
			/* "{}" stays together. */
			while (buf->len > 0 && !buf->failed &&
			       strchr(" \n", buf->data[buf->len - 1]))
				buf->len--;
			last = buf->len > 0 ? buf->data[buf->len - 1] : ' ';
			if (last != '{' && last != '[')
				new_line(buf, depth);
			weir__buf_putc(buf, c);
		} else if (c == ',') {
			weir__buf_putc(buf, c);
			new_line(buf, depth);
		} else if (c == ':') {
			weir__buf_puts(buf, ": ");
		} else if (!strchr(" \t\r\n", c)) {
			weir__buf_putc(buf, c);
		}
	}
}

static void
put_block(struct weir_buf *buf, const char *title, const char *json, size_t len)
{
	struct weir_buf pretty = {0};

	if (len == 0 || (len == 2 && memcmp(json, "{}", 2) == 0))
		return;
	put_pretty(&pretty, json, len);
	put_line(buf, "  %s", title);
	put_lines(buf, weir__buf_str(&pretty), pretty.len, 4);
	if (pretty.failed)
		buf->failed = true;
	weir__buf_fini(&pretty);
}

/* "2027-01-31T09:00:00Z, 5m ago" */
static void
put_when(struct weir_buf *buf, const char *title, int64_t ms, int64_t now_ms,
	 const char *tail)
{
	char text[WEIR_TIME_SIZE], age[WEIR_AGE_SIZE];

	if (ms <= 0)
		return;
	weir__time_format(text, ms);
	if (ms > now_ms)
		put_line(buf, "  %-13s %s, in %s%s", title, text,
			 weir__time_age(age, ms - now_ms), tail);
	else
		put_line(buf, "  %-13s %s, %s ago%s", title, text,
			 weir__time_age(age, now_ms - ms), tail);
}

static const char *
member_text(const json_t *object, const char *name)
{
	const char *text = json_string_value(json_object_get(object, name));

	return text ? text : "";
}

static void
put_error(struct weir_buf *buf, const json_t *error)
{
	const char *trace = member_text(error, "trace");
	json_t *attempt = json_object_get(error, "attempt");

	put_line(buf, "    attempt %" JSON_INTEGER_FORMAT " at %s: %s",
		 json_integer_value(attempt), member_text(error, "at"),
		 member_text(error, "error"));
	put_lines(buf, trace, strlen(trace), 6);
}

static void
put_errors(struct weir_buf *buf, const weir_job_row *row)
{
	json_t *errors = json_loadb(row->errors, row->errors_len, 0, NULL);
	size_t count = json_array_size(errors);

	if (count > 0)
		put_line(buf, "  errors");
	for (size_t i = 0; i < count; i++)
		put_error(buf, json_array_get(errors, i));
	/* What cannot be read is shown as it is. */
	if (!errors && row->errors_len > 0)
		put_block(buf, "errors", row->errors, row->errors_len);
	json_decref(errors);
}

static void
put_unique_text(struct weir_buf *buf, const weir_job_row *row)
{
	struct weir_buf hex = {0};

	if (!row->unique_key)
		return;
	put_hex(&hex, row->unique_key, 32);
	put_line(buf, "  %-13s %s", "unique key", weir__buf_str(&hex));
	weir__buf_fini(&hex);
}

static void
put_limits(struct weir_buf *buf, const weir_job_row *row)
{
	struct weir_buf timeout = {0};

	put_line(buf, "  %-13s %" PRIu32 " of %" PRIu32, "attempt",
		 row->attempt, row->max_attempts);
	if (row->crashes > 0)
		put_line(buf, "  %-13s %" PRIu32 " workers have died with it",
			 "crashes", row->crashes);
	put_line(buf, "  %-13s %" PRIu32, "priority", row->priority);
	if (row->timeout_ns > 0) {
		weir__time_put_duration(&timeout, row->timeout_ns);
		put_line(buf, "  %-13s %s", "timeout", weir__buf_str(&timeout));
		weir__buf_fini(&timeout);
	}
	if (row->tags_len > 2)
		put_line(buf, "  %-13s %s", "tags", row->tags);
}

void
weir__job_put_text(struct weir_buf *buf, const weir_job_row *row,
		   int64_t now_ms)
{
	char by[160] = "";

	if (row->attempted_by && row->attempted_by[0])
		(void)snprintf(by, sizeof(by), ", by %s", row->attempted_by);
	put_line(buf, "job %" PRId64 ": %s, in queue %s", row->id, row->kind,
		 row->queue);
	put_line(buf, "  %-13s %s", "state", weir_job_state_name(row->state));
	put_limits(buf, row);
	put_when(buf, "created", row->created_at_ms, now_ms, "");
	put_when(buf, "scheduled", row->scheduled_at_ms, now_ms, "");
	put_when(buf, "last attempt", row->attempted_at_ms, now_ms, by);
	put_when(buf, "cancel wanted", row->cancel_at_ms, now_ms, "");
	put_when(buf, "over", row->finalized_at_ms, now_ms, "");
	put_unique_text(buf, row);
	put_block(buf, "args", row->args, row->args_len);
	put_block(buf, "metadata", row->metadata, row->metadata_len);
	put_block(buf, "output", row->output, row->output_len);
	put_errors(buf, row);
}

/* Its first line only: a table has a line for each job. */
static void
put_last_error(struct weir_buf *buf, const weir_job_row *row)
{
	json_t *errors = json_loadb(row->errors, row->errors_len, 0, NULL);
	size_t count = json_array_size(errors), len;
	const char *text;

	if (count > 0) {
		text = member_text(json_array_get(errors, count - 1), "error");
		len = strcspn(text, "\r\n");
		weir__buf_append(buf, text, len < NOTE_MAX ? len : NOTE_MAX);
	}
	json_decref(errors);
}

void
weir__job_put_note(struct weir_buf *buf, const weir_job_row *row,
		   int64_t now_ms)
{
	bool waits = row->state == WEIR_JOB_SCHEDULED ||
		     row->state == WEIR_JOB_RETRYABLE;
	char age[WEIR_AGE_SIZE];

	if (waits && row->scheduled_at_ms > now_ms)
		weir__buf_printf(
			buf, "in %s",
			weir__time_age(age, row->scheduled_at_ms - now_ms));
	else if (waits)
		weir__buf_puts(buf, "due");
	if (row->state == WEIR_JOB_RUNNING && row->cancel_at_ms > 0)
		weir__buf_puts(buf, "being cancelled");
	if (row->state == WEIR_JOB_COMPLETED || row->errors_len <= 2)
		return;
	if (buf->len > 0)
		weir__buf_puts(buf, "; ");
	put_last_error(buf, row);
}
