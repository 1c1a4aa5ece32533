/*
 * What becomes of a job, decided; see verdict.h.
 *
 * Design.  The table there, a row an `if`.  Errors are written as River's
 * clients write them, because they are read by whoever reads River's.
 */
#include "queue/verdict.h"

#include "base/assert.h"
#include "base/json.h"
#include "base/utf8.h"
#include "queue/curve.h"

#include <stdio.h>

#define NS_PER_MS INT64_C(1000000)

/* now + delay, in ms, rounded up; a delay that is over is now. */
static int64_t
after_ms(int64_t now_ms, int64_t delay_ns)
{
	int64_t delay_ms;

	if (delay_ns <= 0)
		return now_ms;
	delay_ms = delay_ns / NS_PER_MS + (delay_ns % NS_PER_MS > 0);
	return now_ms > INT64_MAX - delay_ms ? INT64_MAX : now_ms + delay_ms;
}

static int64_t
retry_delay_ns(const struct weir_outcome *outcome, const struct weir_case *c)
{
	uint64_t errors;

	if (outcome->retry_in_ns >= 0)
		return outcome->retry_in_ns;
	errors = weir__count_errors(c->row->errors, c->row->errors_len);
	if (!c->retry)
		return weir__curve_ns(errors, c->unit);
	errors = errors < UINT32_MAX - 1 ? errors + 1 : UINT32_MAX;
	return weir_retry_delay_ns(c->retry, (uint32_t)errors, c->unit);
}

/* Does the policy, if there is one with an opinion, give it up? */
static bool
policy_gives_up(const struct weir_outcome *outcome, const struct weir_case *c)
{
	if (!c->retry)
		return false;
	if (c->retry->attempts_max > 0 &&
	    c->row->attempt >= c->retry->attempts_max)
		return true;
	return c->retry->retry_on != 0 &&
	       !(c->retry->retry_on & WEIR_RETRY_ON(outcome->status));
}

static enum weir_verdict
decide(const struct weir_outcome *outcome, const struct weir_case *c)
{
	bool cancelled = c->cancelled || c->row->cancel_at_ms != 0;

	if (outcome->cancel)
		return WEIR_VERDICT_CANCEL;
	if (outcome->snooze_ns >= 0)
		return cancelled ? WEIR_VERDICT_CANCEL : WEIR_VERDICT_SNOOZE;
	if (outcome->status == WEIR_OK)
		return WEIR_VERDICT_COMPLETE;
	if (outcome->status == WEIR_PERMANENT)
		return WEIR_VERDICT_DISCARD;
	if (cancelled)
		return WEIR_VERDICT_CANCEL;
	if (outcome->status == WEIR_CANCELED && c->stopping)
		return WEIR_VERDICT_RELEASE;
	if (c->row->attempt >= c->row->max_attempts ||
	    policy_gives_up(outcome, c))
		return WEIR_VERDICT_DISCARD;
	return WEIR_VERDICT_RETRY;
}

void
weir__verdict(const struct weir_outcome *outcome, const struct weir_case *c,
	      struct weir_finish *ret)
{
	weir_assert(c->unit >= 0 && c->unit < 1);
	ret->verdict = decide(outcome, c);
	ret->at_ms = c->now_ms;
	if (ret->verdict == WEIR_VERDICT_SNOOZE)
		ret->at_ms = after_ms(c->now_ms, outcome->snooze_ns);
	else if (ret->verdict == WEIR_VERDICT_RETRY)
		ret->at_ms = after_ms(c->now_ms, retry_delay_ns(outcome, c));
}

/* How much of text fits into max bytes without cutting a character. */
static size_t
cut(const char *text, size_t max)
{
	size_t len = 0, total = strlen(text), step;

	if (total <= max)
		return total;
	while (len < max) {
		weir__utf8_next(text + len, total - len, &step);
		if (len + step > max)
			break;
		len += step;
	}
	return len;
}

/*
 * Days since 1970 to a date of the Gregorian calendar, counted in eras of 400
 * years that begin with a March, so that leap days come last.
 */
static void
date_of(int64_t days, int64_t *ret_year, unsigned *ret_month, unsigned *ret_day)
{
	int64_t shifted = days + 719468; /* since 1 March of year 0 */
	int64_t era = (shifted >= 0 ? shifted : shifted - 146096) / 146097;
	unsigned day = (unsigned)(shifted - era * 146097);
	unsigned year = (day - day / 1460 + day / 36524 - day / 146096) / 365;
	unsigned of_year = day - (365 * year + year / 4 - year / 100);
	unsigned month = (5 * of_year + 2) / 153;

	weir_assert(day < 146097 && month < 12);
	*ret_day = of_year - (153 * month + 2) / 5 + 1;
	*ret_month = month < 10 ? month + 3 : month - 9;
	*ret_year = (int64_t)year + era * 400 + (*ret_month <= 2);
}

/* RFC 3339 in UTC, with as few digits of a second as there are. */
static void
write_time(char *out, size_t size, int64_t ms)
{
	int64_t days = ms / 86400000, rest = ms % 86400000, year;
	unsigned month, day, of_day, len;

	if (rest < 0) {
		rest += 86400000;
		days--;
	}
	date_of(days, &year, &month, &day);
	of_day = (unsigned)(rest / 1000);
	len = (unsigned)snprintf(out, size, "%04lld-%02u-%02uT%02u:%02u:%02u",
				 (long long)year, month, day, of_day / 3600,
				 of_day / 60 % 60, of_day % 60);
	weir_assert(len + 6 < size);
	if (rest % 1000 != 0) {
		len += (unsigned)snprintf(out + len, size - len, ".%03u",
					  (unsigned)(rest % 1000));
		while (out[len - 1] == '0')
			len--;
	}
	out[len] = 'Z';
	out[len + 1] = '\0';
}

/* What it is called when nobody has said anything else. */
static void
put_text(struct weir_json *j, const struct weir_outcome *outcome,
	 enum weir_verdict verdict)
{
	char text[WEIR_JOB_ERROR_MAX + 1];
	const char *error = outcome->error;

	if (verdict == WEIR_VERDICT_CANCEL && !outcome->cancel) {
		weir__json_puts(j, "JobCancelError: job cancelled remotely");
		return;
	}
	if (!error || error[0] == '\0')
		error = outcome->cancel ? "job cancelled by itself"
					: weir_status_message(outcome->status);
	if (outcome->cancel) {
		snprintf(text, sizeof(text), "JobCancelError: %s", error);
		error = text;
	}
	weir__json_string(j, error, cut(error, WEIR_JOB_ERROR_MAX));
}

static bool
is_error(enum weir_verdict verdict)
{
	switch (verdict) {
	case WEIR_VERDICT_RETRY:
	case WEIR_VERDICT_DISCARD:
	case WEIR_VERDICT_CANCEL:
		return true;
	case WEIR_VERDICT_COMPLETE:
	case WEIR_VERDICT_SNOOZE:
	case WEIR_VERDICT_RELEASE:
		return false;
	}
	weir_bug("no such verdict");
}

void
weir__verdict_error(const struct weir_outcome *outcome,
		    const struct weir_case *c, enum weir_verdict verdict,
		    struct weir_buf *buf)
{
	const char *trace = outcome->trace ? outcome->trace : "";
	struct weir_json j;
	char at[64];

	if (!is_error(verdict))
		return;
	write_time(at, sizeof(at), c->row->attempted_at_ms);
	weir__json_init(&j, buf);
	weir__json_begin_object(&j);
	weir__json_key(&j, "at");
	weir__json_puts(&j, at);
	weir__json_key(&j, "attempt");
	weir__json_uint(&j, c->row->attempt);
	weir__json_key(&j, "error");
	put_text(&j, outcome, verdict);
	weir__json_key(&j, "trace");
	weir__json_string(&j, trace, cut(trace, WEIR_JOB_TRACE_MAX));
	weir__json_end_object(&j);
	weir_assert(weir__json_complete(&j));
}

/*
 * Commas of the outermost level, and one, if there is anything at all.  The
 * text is the store's own; whatever it is, this ends at its end.
 */
uint64_t
weir__count_errors(const char *json, size_t len)
{
	uint64_t commas = 0;
	unsigned depth = 0;
	bool in_string = false, any = false;

	for (size_t i = 0; i < len; i++) {
		char c = json[i];

		if (in_string) {
			if (c == '\\')
				i++;
			else if (c == '"')
				in_string = false;
			continue;
		}
		any |= depth > 0 && !strchr(" \t\r\n]", c);
		in_string = c == '"';
		if (c == '[' || c == '{')
			depth++;
		else if ((c == ']' || c == '}') && depth > 0)
			depth--;
		else if (c == ',' && depth == 1)
			commas++;
	}
	return any ? commas + 1 : 0;
}
