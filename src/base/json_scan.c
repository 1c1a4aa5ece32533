/*
 * A look at an object; see json_scan.h.
 *
 * Design: a value is passed over by its form: a string ends at its quote, an
 * array or object where as many brackets have closed as have opened, a word or
 * number before the next comma, bracket or blank.
 */
#include "base/json_scan.h"

#include <string.h>

void
weir__json_scan_init(struct weir_json_scan *scan, const char *text, size_t len)
{
	*scan = (struct weir_json_scan){.at = text, .end = text + len};
}

static void
skip_blanks(struct weir_json_scan *scan)
{
	while (scan->at < scan->end && (*scan->at == ' ' || *scan->at == '\t' ||
					*scan->at == '\n' || *scan->at == '\r'))
		scan->at++;
}

static bool
take(struct weir_json_scan *scan, char c)
{
	skip_blanks(scan);
	if (scan->at == scan->end || *scan->at != c)
		return false;
	scan->at++;
	return true;
}

/* From its first quote to behind its last. */
static bool
skip_string(struct weir_json_scan *scan)
{
	if (scan->at == scan->end || *scan->at != '"')
		return false;
	for (scan->at++; scan->at < scan->end; scan->at++) {
		if (*scan->at == '"') {
			scan->at++;
			return true;
		}
		if (*scan->at == '\\' && ++scan->at == scan->end)
			return false;
	}
	return false;
}

static bool
skip_word(struct weir_json_scan *scan)
{
	const char *begin = scan->at;

	while (scan->at < scan->end && *scan->at &&
	       !strchr(",:{}[]\" \t\r\n", *scan->at))
		scan->at++;
	return scan->at > begin;
}

/* An array or object, or what is neither. */
static bool
skip_value(struct weir_json_scan *scan)
{
	size_t depth = 0;

	do {
		skip_blanks(scan);
		if (scan->at == scan->end)
			return false;
		switch (*scan->at) {
		case '[':
		case '{':
			depth++;
			scan->at++;
			break;
		case ']':
		case '}':
			if (depth-- == 0)
				return false;
			scan->at++;
			break;
		case ',':
		case ':':
			if (depth == 0)
				return false;
			scan->at++;
			break;
		case '"':
			if (!skip_string(scan))
				return false;
			break;
		default:
			if (!skip_word(scan))
				return false;
		}
	} while (depth > 0);
	return true;
}

static bool
take_member(struct weir_json_scan *scan, struct weir_json_member *ret)
{
	skip_blanks(scan);
	ret->name = scan->at;
	if (!skip_string(scan))
		return false;
	ret->name_len = (size_t)(scan->at - ret->name);
	if (!take(scan, ':'))
		return false;
	skip_blanks(scan);
	ret->value = scan->at;
	if (!skip_value(scan))
		return false;
	ret->value_len = (size_t)(scan->at - ret->value);
	return true;
}

/* At "}": nothing but blanks may follow. */
static bool
finish(struct weir_json_scan *scan)
{
	skip_blanks(scan);
	scan->state = scan->at == scan->end ? WEIR_JSON_SCAN_WHOLE
					    : WEIR_JSON_SCAN_BROKEN;
	return false;
}

bool
weir__json_scan_next(struct weir_json_scan *scan, struct weir_json_member *ret)
{
	bool first = scan->state == WEIR_JSON_SCAN_BEGIN;

	if (!first && scan->state != WEIR_JSON_SCAN_MEMBERS)
		return false;
	scan->state = WEIR_JSON_SCAN_BROKEN;
	if (first && !take(scan, '{'))
		return false;
	if (take(scan, '}'))
		return finish(scan);
	if ((!first && !take(scan, ',')) || !take_member(scan, ret))
		return false;
	scan->state = WEIR_JSON_SCAN_MEMBERS;
	return true;
}

bool
weir__json_scan_is_whole(const struct weir_json_scan *scan)
{
	return scan->state == WEIR_JSON_SCAN_WHOLE;
}

bool
weir__json_is(const char *text, size_t len, const char *string)
{
	size_t string_len = strlen(string);

	return len == string_len + 2 && text[0] == '"' &&
	       memcmp(text + 1, string, string_len) == 0 &&
	       text[len - 1] == '"';
}
