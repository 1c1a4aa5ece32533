/*
 * Option values: from text to the field of the command's struct.
 *
 * Design: a value is read completely before it is decided whether it wins over
 * the one that is there, so that a wrong line in weir.conf is found even while
 * a flag hides it.  Fields are written with memcpy(), as all that is known of
 * them is where they are and, by the row's kind, how large.
 */
#include "cli/table.h"

#include "base/assert.h"
#include "base/units.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Whether this source may write the field; if so, it is noted as its own. */
static bool
wins(const struct weir_option_ref *ref, enum weir_option_source source)
{
	if (source < *ref->source)
		return false;
	*ref->source = (unsigned char)source;
	return true;
}

void
weir__value_set_bool(const struct weir_option_ref *ref, bool value,
		     enum weir_option_source source)
{
	if (wins(ref, source))
		memcpy(ref->field, &value, sizeof(value));
}

/* Words, as weir.conf and the environment have them; flags never come here. */
static bool
set_bool(const struct weir_option_ref *ref, const char *text,
	 enum weir_option_source source, struct weir_buf *why)
{
	static const char *const words[][2] = {
		{"yes", "no"}, {"true", "false"}, {"on", "off"}, {"1", "0"}};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		for (int no = 0; no < 2; no++)
			if (strcasecmp(text, words[i][no]) == 0) {
				weir__value_set_bool(ref, !no, source);
				return true;
			}
	weir__buf_printf(why, "'%s' is neither yes nor no", text);
	return false;
}

/* A number without its unit is the mistake people make. */
static bool
is_bare_number(const char *text)
{
	size_t len = strspn(text, "0123456789.");

	return len > 0 && text[len] == '\0';
}

/* A bare number is a good size, and a bad duration, rate and byte rate. */
static void
explain(struct weir_buf *why, const struct weir_option *o, const char *text,
	const char *noun)
{
	if (is_bare_number(text) && o->kind != WEIR_OPT_SIZE)
		weir__buf_printf(why, "'%s' needs a unit, such as %s", text,
				 weir__value_example(o));
	else
		weir__buf_printf(why, "'%s' is no %s, such as %s", text, noun,
				 weir__value_example(o));
}

/* A bound, as the user would write it. */
static void
show_bound(struct weir_buf *why, const struct weir_option *o, int64_t value)
{
	static const char units[] = "KMGT";
	char text[WEIR_FORMAT_SIZE];
	int unit = -1;

	if (o->kind == WEIR_OPT_DURATION) {
		weir__buf_puts(
			why, weir__format_duration(text, sizeof(text), value));
		return;
	}
	while (o->kind != WEIR_OPT_INT && unit < 3 && value > 0 &&
	       value % 1024 == 0) {
		value /= 1024;
		unit++;
	}
	weir__buf_printf(why, "%" PRId64, value);
	if (unit >= 0)
		weir__buf_putc(why, units[unit]);
}

/* Say the bound with the error: nobody should have to look it up. */
static bool
in_bounds(const struct weir_option *o, int64_t value, const char *text,
	  struct weir_buf *why)
{
	if (value < o->min) {
		weir__buf_printf(why, "%s is below the minimum, ", text);
		show_bound(why, o, o->min);
		return false;
	}
	if (o->max != 0 && value > o->max) {
		weir__buf_printf(why, "%s is above the maximum, ", text);
		show_bound(why, o, o->max);
		return false;
	}
	return true;
}

static bool
set_int(const struct weir_option_ref *ref, const char *text,
	enum weir_option_source source, struct weir_buf *why)
{
	const char *digits = text + (text[0] == '-');
	int64_t value;

	if (*digits == '\0' || digits[strspn(digits, "0123456789")] != '\0') {
		weir__buf_printf(why, "'%s' is no whole number", text);
		return false;
	}
	/* Too large a number is clamped, and so out of any sensible bounds. */
	errno = 0;
	value = strtoll(text, NULL, 10);
	if (errno == ERANGE && ref->row->max == 0) {
		weir__buf_printf(why, "%s is too large", text);
		return false;
	}
	if (!in_bounds(ref->row, value, text, why))
		return false;
	if (wins(ref, source))
		memcpy(ref->field, &value, sizeof(value));
	return true;
}

static bool
set_duration(const struct weir_option_ref *ref, const char *text,
	     enum weir_option_source source, struct weir_buf *why)
{
	int64_t ns;

	if (!weir__parse_duration(text, &ns)) {
		explain(why, ref->row, text, "duration");
		return false;
	}
	if (!in_bounds(ref->row, ns, text, why))
		return false;
	if (wins(ref, source))
		memcpy(ref->field, &ns, sizeof(ns));
	return true;
}

/* Sizes, and with per_second also "2M/s". */
static bool
set_size(const struct weir_option_ref *ref, const char *text,
	 enum weir_option_source source, struct weir_buf *why)
{
	bool per_second = ref->row->kind == WEIR_OPT_BYTE_RATE;
	char digits[WEIR_FORMAT_SIZE];
	size_t len = strlen(text);
	uint64_t bytes;

	if (per_second && len > 2 && strcmp(text + len - 2, "/s") == 0)
		len -= 2;
	if (len < sizeof(digits)) {
		memcpy(digits, text, len);
		digits[len] = '\0';
	}
	if (len >= sizeof(digits) || !weir__parse_size(digits, &bytes) ||
	    bytes > INT64_MAX || (per_second && is_bare_number(digits))) {
		explain(why, ref->row, text,
			per_second ? "number of bytes a second" : "size");
		return false;
	}
	if (!in_bounds(ref->row, (int64_t)bytes, text, why))
		return false;
	if (wins(ref, source))
		memcpy(ref->field, &bytes, sizeof(bytes));
	return true;
}

/* No bounds here: a rate's smallest and largest values are both sensible. */
static bool
set_rate(const struct weir_option_ref *ref, const char *text,
	 enum weir_option_source source, struct weir_buf *why)
{
	double per_second;

	if (!weir__parse_rate(text, &per_second)) {
		explain(why, ref->row, text, "rate");
		return false;
	}
	if (wins(ref, source))
		memcpy(ref->field, &per_second, sizeof(per_second));
	return true;
}

/* "auto, bar or plain", with the nearest one offered. */
static void
explain_choice(struct weir_buf *why, const char *choices, const char *text)
{
	char best[32] = "";
	int best_score = -1;

	weir__buf_printf(why, "'%s' is none of ", text);
	for (const char *c = choices; *c != '\0';) {
		size_t len = strcspn(c, "|");
		char word[32];
		int score;

		weir_assert(len < sizeof(word));
		memcpy(word, c, len);
		word[len] = '\0';
		weir__buf_printf(why, "%s%s", c == choices ? "" : ", ", word);
		score = weir__suggest_score(text, strlen(text), word);
		if (score >= 0 && (best_score < 0 || score < best_score)) {
			best_score = score;
			memcpy(best, word, sizeof(best));
		}
		c += len + (c[len] == '|');
	}
	if (best_score >= 0)
		weir__buf_printf(why, "; did you mean '%s'?", best);
}

static bool
set_choice(const struct weir_option_ref *ref, const char *text,
	   enum weir_option_source source, struct weir_buf *why)
{
	unsigned index = 0;

	for (const char *c = ref->row->choices; *c != '\0'; index++) {
		size_t len = strcspn(c, "|");

		if (strlen(text) == len && memcmp(text, c, len) == 0) {
			if (wins(ref, source))
				memcpy(ref->field, &index, sizeof(index));
			return true;
		}
		c += len + (c[len] == '|');
	}
	explain_choice(why, ref->row->choices, text);
	return false;
}

/* An empty file name is nearly always a variable that was not set. */
static bool
set_text(const struct weir_option_ref *ref, const char *text,
	 enum weir_option_source source, struct weir_buf *why)
{
	if (ref->row->kind != WEIR_OPT_STRING && *text == '\0') {
		weir__buf_puts(why, "a name is needed, not ''");
		return false;
	}
	if (wins(ref, source))
		memcpy(ref->field, &text, sizeof(text));
	return true;
}

/*
 * A list from a stronger source replaces one from a weaker.  What the defaults
 * point to is not ours, so it is never freed.
 */
static bool
add_to_list(const struct weir_option_ref *ref, const char *text,
	    enum weir_option_source source, struct weir_buf *why)
{
	struct weir_option_list *list = ref->field;
	bool ours = *ref->source > WEIR_FROM_DEFAULT;
	bool replace = source > *ref->source;
	const char **items;

	if (!wins(ref, source))
		return true;
	if (replace) {
		if (ours)
			free(list->items);
		*list = (struct weir_option_list){0};
	}
	items = reallocarray(list->items, list->count + 1, sizeof(*items));
	if (!items) {
		weir__buf_puts(why, "out of memory");
		return false;
	}
	items[list->count++] = text;
	list->items = items;
	return true;
}

bool
weir__value_set(const struct weir_option_ref *ref, const char *text,
		enum weir_option_source source, struct weir_buf *why)
{
	switch (ref->row->kind) {
	case WEIR_OPT_FLAG:
	case WEIR_OPT_SWITCH:
		return set_bool(ref, text, source, why);
	case WEIR_OPT_STRING:
	case WEIR_OPT_FILE:
	case WEIR_OPT_DIR:
		return set_text(ref, text, source, why);
	case WEIR_OPT_INT:
		return set_int(ref, text, source, why);
	case WEIR_OPT_SIZE:
	case WEIR_OPT_BYTE_RATE:
		return set_size(ref, text, source, why);
	case WEIR_OPT_DURATION:
		return set_duration(ref, text, source, why);
	case WEIR_OPT_RATE:
		return set_rate(ref, text, source, why);
	case WEIR_OPT_CHOICE:
		return set_choice(ref, text, source, why);
	case WEIR_OPT_LIST:
		return add_to_list(ref, text, source, why);
	case WEIR_OPT_END:
	case WEIR_OPT_GROUP:
		break;
	}
	weir_assert(false); /* a heading has no value */
	return false;
}

const char *
weir__value_example(const struct weir_option *o)
{
	if (o->example)
		return o->example;
	switch (o->kind) {
	case WEIR_OPT_INT:
		return "4";
	case WEIR_OPT_SIZE:
		return "10M";
	case WEIR_OPT_BYTE_RATE:
		return "2M/s";
	case WEIR_OPT_DURATION:
		return "30s";
	case WEIR_OPT_RATE:
		return "20/s";
	case WEIR_OPT_END:
	case WEIR_OPT_GROUP:
	case WEIR_OPT_FLAG:
	case WEIR_OPT_SWITCH:
	case WEIR_OPT_STRING:
	case WEIR_OPT_FILE:
	case WEIR_OPT_DIR:
	case WEIR_OPT_CHOICE:
	case WEIR_OPT_LIST:
		break;
	}
	return NULL;
}

void
weir__value_fini(const struct weir_option_ref *ref)
{
	struct weir_option_list *list = ref->field;

	if (ref->row->kind != WEIR_OPT_LIST ||
	    *ref->source == WEIR_FROM_DEFAULT)
		return;
	free(list->items);
	*list = (struct weir_option_list){0};
}
