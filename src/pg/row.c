/*
 * From a row of PostgreSQL's to one of ours.
 *
 * Design.  A table that programs in five languages write holds rows that none
 * of them ought to have written: metadata that is no object, a time that is
 * none, nobody who has attempted what is running.  Whoever looks at jobs must
 * see these too, so nothing here fails: what cannot be read is not there.
 */
#include "pg/row.h"

#include "base/assert.h"
#include "base/civil.h"
#include "pg/pg.h"

#include <stdlib.h>
#include <string.h>

const char weir__pg_job_columns[] = PG_JOB_COLUMNS;

/* In the order of PG_JOB_COLUMNS. */
enum {
	COLUMN_ID,
	COLUMN_STATE,
	COLUMN_PRIORITY,
	COLUMN_ATTEMPT,
	COLUMN_MAX_ATTEMPTS,
	COLUMN_CRASHES,
	COLUMN_CREATED,
	COLUMN_SCHEDULED,
	COLUMN_ATTEMPTED,
	COLUMN_FINALIZED,
	COLUMN_CANCEL,
	COLUMN_TIMEOUT,
	COLUMN_QUEUE,
	COLUMN_KIND,
	COLUMN_ATTEMPTED_BY,
	COLUMN_METADATA,
	COLUMN_TAGS,
	COLUMN_ERRORS,
	COLUMN_OUTPUT,
	COLUMN_ARGS,
	COLUMN_UNIQUE_KEY,
	COLUMN_UNIQUE_STATES,
	COLUMNS
};

/* So many digits; -1: something else. */
static int
digits(const char **text, int count)
{
	int value = 0;

	for (int i = 0; i < count; i++, (*text)++) {
		if (**text < '0' || **text > '9')
			return -1;
		value = value * 10 + (**text - '0');
	}
	return value;
}

/* Milliseconds of a fraction of any length, which may be missing. */
static int
fraction(const char **text)
{
	int value = 0, scale = 100;

	if (**text != '.')
		return 0;
	for ((*text)++; **text >= '0' && **text <= '9'; (*text)++) {
		value += (**text - '0') * scale;
		scale /= 10;
	}
	return value;
}

/* "Z" or "+02:00" as minutes; false: neither. */
static bool
zone(const char *text, int *ret)
{
	int sign = *text == '-' ? -1 : 1, hours, minutes;

	*ret = 0;
	if (strcmp(text, "Z") == 0 || strcmp(text, "z") == 0)
		return true;
	if (*text != '+' && *text != '-')
		return false;
	text++;
	hours = digits(&text, 2);
	if (hours < 0 || *text++ != ':')
		return false;
	minutes = digits(&text, 2);
	*ret = sign * (hours * 60 + minutes);
	return minutes >= 0 && *text == '\0';
}

/* A time of RFC 3339, as clients write it; 0: it is none. */
static int64_t
time_of(const char *text)
{
	static const char between[] = "--T::";
	int parts[6], ms, offset;

	for (int i = 0; i < 6; i++) {
		parts[i] = digits(&text, i == 0 ? 4 : 2);
		if (parts[i] < 0)
			return 0;
		if (i < 5 && *text++ != between[i])
			return 0;
	}
	ms = fraction(&text);
	if (!zone(text, &offset) || parts[0] < 1 || parts[1] < 1 ||
	    parts[1] > 12 || parts[2] < 1 || parts[2] > 31)
		return 0;
	return (weir__civil_month_start(parts[0], parts[1]) + parts[2] - 1) *
		       WEIR_MS_PER_DAY +
	       (int64_t)(parts[3] * 3600 + parts[4] * 60 + parts[5]) * 1000 +
	       ms - (int64_t)offset * 60000;
}

/* A positive number; 0: it is none. */
static int64_t
number_of(const char *text)
{
	char *end;
	long long value = strtoll(text, &end, 10);

	return end != text && *end == '\0' && value > 0 ? value : 0;
}

/* libpq ends each value with a NUL, those in binary form too. */
static const char *
text_at(const PGresult *result, int at, int column, size_t *ret_len)
{
	const char *text = weir__pg_get_text(result, at, column, ret_len);

	if (weir__pg_is_null(result, at, column))
		*ret_len = 0;
	return *ret_len > 0 ? text : "";
}

static const char *
name_at(const PGresult *result, int at, int column)
{
	size_t len;

	return text_at(result, at, column, &len);
}

/* 0 for no time. */
static int64_t
ms_at(const PGresult *result, int at, int column)
{
	int64_t ms = weir__pg_get_ms(result, at, column);

	return ms == PG_NO_TIME ? 0 : ms;
}

static uint32_t
number_at(const PGresult *result, int at, int column)
{
	int64_t value = weir__pg_get_int(result, at, column);

	return value > 0 ? (uint32_t)value : 0;
}

/* A key that is not one of ours is shown as none. */
static void
read_key(const PGresult *result, int at, weir_job_row *ret)
{
	const char *bits = PQgetvalue(result, at, COLUMN_UNIQUE_STATES);

	if (PQgetlength(result, at, COLUMN_UNIQUE_KEY) != 32)
		return;
	ret->unique_key = (const unsigned char *)PQgetvalue(result, at,
							    COLUMN_UNIQUE_KEY);
	/* A length, 8, and the bits; see weir__pg_bits(). */
	if (PQgetlength(result, at, COLUMN_UNIQUE_STATES) == 5)
		ret->unique_states = (unsigned char)bits[4];
}

static void
read_numbers(const PGresult *result, int at, weir_job_row *ret)
{
	ret->id = weir__pg_get_int(result, at, COLUMN_ID);
	(void)!weir_job_state_parse(name_at(result, at, COLUMN_STATE),
				    &ret->state);
	ret->priority = number_at(result, at, COLUMN_PRIORITY);
	ret->attempt = number_at(result, at, COLUMN_ATTEMPT);
	ret->max_attempts = number_at(result, at, COLUMN_MAX_ATTEMPTS);
	ret->crashes = number_at(result, at, COLUMN_CRASHES);
	ret->created_at_ms = ms_at(result, at, COLUMN_CREATED);
	ret->scheduled_at_ms = ms_at(result, at, COLUMN_SCHEDULED);
	ret->attempted_at_ms = ms_at(result, at, COLUMN_ATTEMPTED);
	ret->finalized_at_ms = ms_at(result, at, COLUMN_FINALIZED);
	ret->cancel_at_ms = time_of(name_at(result, at, COLUMN_CANCEL));
	ret->timeout_ns = number_of(name_at(result, at, COLUMN_TIMEOUT));
}

bool
weir__pg_row(const PGresult *result, int at, struct weir_buf *buf,
	     weir_job_row *ret)
{
	weir_assert(PQnfields(result) >= COLUMNS);
	(void)buf; /* all texts can be lent by the result */
	memset(ret, 0, sizeof(*ret));
	read_numbers(result, at, ret);
	read_key(result, at, ret);
	ret->queue = name_at(result, at, COLUMN_QUEUE);
	ret->kind = name_at(result, at, COLUMN_KIND);
	ret->attempted_by = name_at(result, at, COLUMN_ATTEMPTED_BY);
	ret->metadata =
		text_at(result, at, COLUMN_METADATA, &ret->metadata_len);
	ret->tags = text_at(result, at, COLUMN_TAGS, &ret->tags_len);
	ret->errors = text_at(result, at, COLUMN_ERRORS, &ret->errors_len);
	ret->output = text_at(result, at, COLUMN_OUTPUT, &ret->output_len);
	ret->args = text_at(result, at, COLUMN_ARGS, &ret->args_len);
	return true;
}
