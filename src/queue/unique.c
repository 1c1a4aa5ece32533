/*
 * River's unique key; see unique.h.
 *
 * River hashes the text that Go's encoding/json makes of a job's args.  Callers
 * in C have a text already, and it need not look like Go's.  What is taken of
 * it, and what is made Go's:
 *
 *   - Blanks between tokens go.
 *   - Strings are read, and written as Go writes them: "\u00e9" and "é" are
 *     one string in Go, so they must be one here; so are "<" and "\u003c",
 *     of which Go writes the second.
 *   - Numbers stay as they are spelled, 1.0 and 1 are two: as what they would
 *     be written again depends on their type in Go, which is not known here,
 *     and any reading of them would lose digits.
 *   - Members of the outermost object are sorted by name and the first of two
 *     counts; those of inner objects stay as they are.
 *
 * So what a Go program has encoded comes out as it is but for the sorting,
 * which is River's.  (For a json.RawMessage Go keeps escapes as they are.
 * That is the one case in which the two differ: then, if it has escapes that
 * Go would not write.)
 */
#include "queue/unique.h"

#include "base/assert.h"
#include "base/civil.h"
#include "base/json_scan.h"
#include "base/json_text.h"
#include "base/sha256.h"
#include "queue/go_text.h"

#include <weir/queue.h>

#include <stdlib.h>
#include <string.h>

#define NS_PER_MS 1000000
#define NS_PER_S  1000000000

static_assert(WEIR_UNIQUE_KEY_SIZE == WEIR_SHA256_SIZE, "a key is a digest");

/* As it is spelled, between its quotes. */
static struct weir_spelled
name_of(const struct weir_json_member *member)
{
	weir_assert(member->name_len >= 2);
	return (struct weir_spelled){member->name + 1, member->name_len - 2};
}

/* By what the names stand for, byte by byte, as Go sorts its strings. */
static int
member_compare(const void *left, const void *right)
{
	const struct weir_json_member *a = left, *b = right;
	struct weir_spelled x = name_of(a), y = name_of(b);
	int order = weir__json_text_compare(x.at, x.len, y.at, y.len);

	if (order != 0)
		return order;
	/* The first in the text comes first. */
	return a->name < b->name ? -1 : a->name > b->name;
}

/* The members of args, sorted by name.  0 also for want of memory. */
static size_t
sort_members(struct weir_buf *sorted, const char *args, size_t len)
{
	struct weir_json_scan scan;
	struct weir_json_member member;
	size_t count;

	weir__buf_reset(sorted);
	weir__json_scan_init(&scan, args, len);
	while (weir__json_scan_next(&scan, &member))
		weir__buf_append(sorted, &member, sizeof(member));
	weir_assert(weir__json_scan_is_whole(&scan));
	count = sorted->len / sizeof(member);
	if (count > 1)
		qsort(sorted->data, count, sizeof(member), member_compare);
	return count;
}

/* All of args; of members with one name the first. */
static void
put_all(struct weir_buf *buf, struct weir_buf *sorted, const char *args,
	size_t len)
{
	size_t count = sort_members(sorted, args, len);
	const struct weir_json_member *members = (const void *)sorted->data;

	weir__buf_putc(buf, '{');
	for (size_t i = 0; i < count; i++) {
		struct weir_spelled name = name_of(&members[i]), before;

		if (i > 0) {
			before = name_of(&members[i - 1]);
			if (weir__json_text_compare(before.at, before.len,
						    name.at, name.len) == 0)
				continue;
			weir__buf_putc(buf, ',');
		}
		weir__go_name(buf, name);
		weir__buf_putc(buf, ':');
		weir__go_value(buf, members[i].value, members[i].value_len);
	}
	weir__buf_putc(buf, '}');
}

/* Is that the name which is spelled so? */
static bool
is_called(struct weir_spelled spelled, const char *name, size_t len)
{
	struct weir_json_text text;

	weir_assert(len > 0);
	weir__json_text_init(&text, spelled.at, spelled.len);
	for (size_t i = 0; i < len; i++)
		if (weir__json_text_next(&text) != (unsigned char)name[i])
			return false;
	return weir__json_text_next(&text) == 0;
}

/* From a member to the first one of that name in its value. */
static bool
step_down(struct weir_json_member *member, const char *name, size_t len)
{
	struct weir_json_scan scan;

	/* What is no object has no members, and so not that one. */
	weir__json_scan_init(&scan, member->value, member->value_len);
	while (weir__json_scan_next(&scan, member))
		if (is_called(name_of(member), name, len))
			return true;
	return false;
}

/*
 * Go from args along a path, through objects only.  False: nothing is there.
 * With buf the value is written, and the names that lead to it but for the
 * first `known`, of which the objects are open already.
 */
static bool
walk(const struct weir_unique *unique, const char *path, struct weir_buf *buf,
     size_t known)
{
	struct weir_json_member member = {.value = unique->args,
					  .value_len = unique->args_len};

	for (size_t i = 0;; i++) {
		size_t step = strcspn(path, ".");
		bool written = buf && i >= known;

		if (!step_down(&member, path, step))
			return false;
		if (written) {
			weir__go_name(buf, name_of(&member));
			weir__buf_putc(buf, ':');
		}
		if (!path[step])
			break;
		if (written)
			weir__buf_putc(buf, '{');
		path += step + 1;
	}
	weir_assert(member.value_len > 0);
	if (buf)
		weir__go_value(buf, member.value, member.value_len);
	return true;
}

/* How many names lead to the last one of a path? */
static size_t
depth_of(const char *path)
{
	size_t depth = 0;

	weir_assert(*path);
	for (; *path; path++)
		depth += *path == '.';
	return depth;
}

/* How many of those do two paths that differ begin with? */
static size_t
common_depth(const char *a, const char *b)
{
	size_t depth = 0;

	weir_assert(*a && *b);
	for (; *a && *a == *b; a++, b++)
		depth += *a == '.';
	return depth;
}

/* Is fields[i] there twice, or inside of one that comes before it? */
static bool
is_covered(const char *const *fields, size_t i)
{
	for (size_t j = 0; j < i; j++) {
		size_t len;

		weir_assert(fields[j]);
		len = strlen(fields[j]);
		if (strncmp(fields[i], fields[j], len) == 0 &&
		    (fields[i][len] == '.' || !fields[i][len]))
			return true;
	}
	return false;
}

static int
field_compare(const void *left, const void *right)
{
	return strcmp(*(const char *const *)left, *(const char *const *)right);
}

/* The selected members; nothing at all if there are none of them. */
static void
put_fields(struct weir_buf *buf, struct weir_buf *sorted,
	   const struct weir_unique *unique)
{
	const char **fields, *last = NULL;
	size_t open = 0; /* objects */

	weir__buf_reset(sorted);
	weir__buf_append(sorted, unique->fields,
			 unique->field_count * sizeof(*fields));
	weir_assert(unique->field_count > 0);
	if (sorted->failed)
		return;
	fields = (void *)sorted->data;
	qsort(fields, unique->field_count, sizeof(*fields), field_compare);
	for (size_t i = 0; i < unique->field_count; i++) {
		size_t known = last ? common_depth(last, fields[i]) : 0;

		if (is_covered(fields, i) || !walk(unique, fields[i], NULL, 0))
			continue;
		/* Those of the last path that this one is not in. */
		for (; open > known + 1; open--)
			weir__buf_putc(buf, '}');
		weir__buf_putc(buf, last ? ',' : '{');
		(void)walk(unique, fields[i], buf, known);
		last = fields[i];
		open = depth_of(last) + 1;
	}
	for (; open > 0; open--)
		weir__buf_putc(buf, '}');
}

/*
 * The beginning of the period that base_ms is in.  Periods are counted from the
 * year 1, so that weeks begin on Mondays.  Nanoseconds since then do not fit
 * into 64 bits.
 */
static void
put_period(struct weir_buf *buf, const struct weir_unique *unique)
{
	__extension__ typedef unsigned __int128 u128;
	u128 period = (uint64_t)unique->period_ns;
	u128 ns = (uint64_t)(unique->base_ms - WEIR_CIVIL_MS_MIN);
	char text[WEIR_CIVIL_TEXT_SIZE];

	weir_assert(unique->period_ns > 0);
	weir_assert(unique->base_ms >= WEIR_CIVIL_MS_MIN &&
		    unique->base_ms <= WEIR_CIVIL_MS_MAX);
	ns *= NS_PER_MS;
	ns -= ns % period;
	weir__buf_puts(buf, weir__civil_format(text, (int64_t)(ns / NS_PER_S) +
							     WEIR_CIVIL_MS_MIN /
								     1000));
}

/* What the key is the hash of. */
static void
put_text(const struct weir_unique *unique, struct weir_unique_room *room)
{
	struct weir_buf *buf = &room->text;

	weir_assert(unique->kind_len > 0 && unique->queue_len > 0);
	weir_assert(unique->args_len >= 2);
	if (!(unique->parts & WEIR_UNIQUE_NO_KIND)) {
		weir__buf_puts(buf, "&kind=");
		weir__buf_append(buf, unique->kind, unique->kind_len);
	}
	if (unique->parts & WEIR_UNIQUE_ARGS) {
		weir__buf_puts(buf, "&args=");
		if (unique->field_count > 0)
			put_fields(buf, &room->sorted, unique);
		else
			put_all(buf, &room->sorted, unique->args,
				unique->args_len);
	}
	if (unique->parts & WEIR_UNIQUE_PERIOD) {
		weir__buf_puts(buf, "&period=");
		put_period(buf, unique);
	}
	if (unique->parts & WEIR_UNIQUE_QUEUE) {
		weir__buf_puts(buf, "&queue=");
		weir__buf_append(buf, unique->queue, unique->queue_len);
	}
}

bool
weir__unique_key(const struct weir_unique *unique,
		 struct weir_unique_room *room,
		 unsigned char ret[WEIR_UNIQUE_KEY_SIZE])
{
	struct weir_sha256 sha;

	weir__buf_reset(&room->text);
	weir__buf_reset(&room->sorted);
	put_text(unique, room);
	if (room->text.failed || room->sorted.failed)
		return false;
	weir__sha256_init(&sha);
	weir__sha256_add(&sha, room->text.data, room->text.len);
	weir__sha256_end(&sha, ret);
	return true;
}

void
weir__unique_room_fini(struct weir_unique_room *room)
{
	/* Empty again, and as good as a zeroed one. */
	weir__buf_fini(&room->text);
	weir__buf_fini(&room->sorted);
}
