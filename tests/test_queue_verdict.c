/*
 * What becomes of a job, decided.
 */
#include "harness.h"

#include "queue/verdict.h"

#include <jansson.h>
#include <string.h>

#define NOW INT64_C(1800000000000)

static weir_job_row
row_of(uint32_t attempt, uint32_t max_attempts)
{
	weir_job_row row = {.attempt = attempt,
			    .max_attempts = max_attempts,
			    .attempted_at_ms = INT64_C(1767323045678),
			    .errors = "",
			    .priority = 1};

	return row;
}

static struct weir_finish
decide(const struct weir_outcome *outcome, const weir_job_row *row,
       bool stopping, bool cancelled)
{
	struct weir_case c = {.row = row,
			      .stopping = stopping,
			      .cancelled = cancelled,
			      .now_ms = NOW,
			      .unit = 0.5};
	struct weir_finish finish = {0};

	weir__verdict(outcome, &c, &finish);
	return finish;
}

static enum weir_verdict
of_status(weir_status status, uint32_t attempt, bool stopping, bool cancelled)
{
	struct weir_outcome outcome = WEIR_OUTCOME_INIT;
	weir_job_row row = row_of(attempt, 3);

	outcome.status = status;
	return decide(&outcome, &row, stopping, cancelled).verdict;
}

TEST(verdict, follows_from_the_status_as_the_table_says)
{
	static const struct {
		weir_status status;
		enum weir_verdict plain, last, stopping, cancelled;
	} rows[] = {
		{WEIR_OK, WEIR_VERDICT_COMPLETE, WEIR_VERDICT_COMPLETE,
		 WEIR_VERDICT_COMPLETE, WEIR_VERDICT_COMPLETE},
		{WEIR_PERMANENT, WEIR_VERDICT_DISCARD, WEIR_VERDICT_DISCARD,
		 WEIR_VERDICT_DISCARD, WEIR_VERDICT_DISCARD},
		{WEIR_CANCELED, WEIR_VERDICT_RETRY, WEIR_VERDICT_DISCARD,
		 WEIR_VERDICT_RELEASE, WEIR_VERDICT_CANCEL},
		{WEIR_FAILED, WEIR_VERDICT_RETRY, WEIR_VERDICT_DISCARD,
		 WEIR_VERDICT_RETRY, WEIR_VERDICT_CANCEL},
		{WEIR_TIMEDOUT, WEIR_VERDICT_RETRY, WEIR_VERDICT_DISCARD,
		 WEIR_VERDICT_RETRY, WEIR_VERDICT_CANCEL},
		{WEIR_CRASHED, WEIR_VERDICT_RETRY, WEIR_VERDICT_DISCARD,
		 WEIR_VERDICT_RETRY, WEIR_VERDICT_CANCEL},
		{WEIR_BUSY, WEIR_VERDICT_RETRY, WEIR_VERDICT_DISCARD,
		 WEIR_VERDICT_RETRY, WEIR_VERDICT_CANCEL},
		{WEIR_INVAL, WEIR_VERDICT_RETRY, WEIR_VERDICT_DISCARD,
		 WEIR_VERDICT_RETRY, WEIR_VERDICT_CANCEL},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		weir_status status = rows[i].status;

		CHECK_MSG(of_status(status, 1, false, false) == rows[i].plain,
			  "%s", weir_status_name(status));
		CHECK_MSG(of_status(status, 3, false, false) == rows[i].last,
			  "%s, last attempt", weir_status_name(status));
		CHECK_MSG(of_status(status, 1, true, false) == rows[i].stopping,
			  "%s, stopping", weir_status_name(status));
		CHECK_MSG(of_status(status, 1, false, true) ==
				  rows[i].cancelled,
			  "%s, cancelled", weir_status_name(status));
	}
}

TEST(verdict, a_job_released_at_its_last_attempt_is_not_discarded)
{
	CHECK_EQ_INT(of_status(WEIR_CANCELED, 3, true, false),
		     WEIR_VERDICT_RELEASE);
}

TEST(verdict, a_cancel_goes_before_a_release)
{
	CHECK_EQ_INT(of_status(WEIR_CANCELED, 1, true, true),
		     WEIR_VERDICT_CANCEL);
}

TEST(verdict, the_time_of_a_cancel_in_the_row_counts_as_one)
{
	struct weir_outcome outcome = WEIR_OUTCOME_INIT;
	weir_job_row row = row_of(1, 3);

	row.cancel_at_ms = NOW - 1;
	outcome.status = WEIR_FAILED;
	CHECK_EQ_INT(decide(&outcome, &row, false, false).verdict,
		     WEIR_VERDICT_CANCEL);
}

TEST(verdict, a_snooze_is_due_when_it_says_even_at_the_last_attempt)
{
	struct weir_outcome outcome = WEIR_OUTCOME_INIT;
	weir_job_row row = row_of(3, 3);
	struct weir_finish finish;

	outcome.snooze_ns = 5 * WEIR_S;
	finish = decide(&outcome, &row, false, false);
	CHECK_EQ_INT(finish.verdict, WEIR_VERDICT_SNOOZE);
	CHECK_EQ_INT(finish.at_ms, NOW + 5000);
	outcome.snooze_ns = 0;
	CHECK_EQ_INT(decide(&outcome, &row, false, false).at_ms, NOW);
	CHECK_EQ_INT(decide(&outcome, &row, false, true).verdict,
		     WEIR_VERDICT_CANCEL);
}

TEST(verdict, a_job_that_cancels_itself_is_cancelled_whatever_else_it_says)
{
	struct weir_outcome outcome = WEIR_OUTCOME_INIT;
	weir_job_row row = row_of(1, 3);

	outcome.cancel = true;
	outcome.snooze_ns = 1;
	CHECK_EQ_INT(decide(&outcome, &row, true, false).verdict,
		     WEIR_VERDICT_CANCEL);
}

static int64_t
retry_ms(const weir_job_row *row, const weir_retry *retry, int64_t retry_in_ns,
	 double unit)
{
	struct weir_outcome outcome = WEIR_OUTCOME_INIT;
	struct weir_case c = {
		.row = row, .retry = retry, .now_ms = NOW, .unit = unit};
	struct weir_finish finish = {0};

	outcome.status = WEIR_FAILED;
	outcome.retry_in_ns = retry_in_ns;
	weir__verdict(&outcome, &c, &finish);
	CHECK_EQ_INT(finish.verdict, WEIR_VERDICT_RETRY);
	return finish.at_ms - NOW;
}

TEST(verdict, retries_on_the_curve_by_the_number_of_errors_not_attempts)
{
	weir_job_row row = row_of(7, 25);

	CHECK_EQ_INT(retry_ms(&row, NULL, -1, 0.5), 1000);
	row.errors = "[{\"error\":\"a,[{\\\"\"},{\"error\":\"b\"}]";
	row.errors_len = strlen(row.errors);
	CHECK_EQ_INT(retry_ms(&row, NULL, -1, 0.5), 81000);
	CHECK_EQ_INT(retry_ms(&row, NULL, -1, 0), 72900);
}

TEST(verdict, a_job_that_knows_better_overrides_the_policy)
{
	weir_job_row row = row_of(1, 25);

	CHECK_EQ_INT(retry_ms(&row, NULL, 0, 0.5), 0);
	CHECK_EQ_INT(retry_ms(&row, NULL, 1, 0.5), 1);
	CHECK_EQ_INT(retry_ms(&row, NULL, INT64_MAX, 0.5),
		     INT64_MAX / 1000000 + 1);
}

TEST(verdict, a_policy_of_its_own_takes_the_place_of_the_curve)
{
	weir_retry retry = {.delay_ns = 2 * WEIR_S, .factor = 3};
	weir_job_row row = row_of(1, 25);

	CHECK_EQ_INT(retry_ms(&row, &retry, -1, 0.5), 2000);
	row.errors = "[{}]";
	row.errors_len = 4;
	CHECK_EQ_INT(retry_ms(&row, &retry, -1, 0.5), 6000);
}

TEST(verdict, a_policy_that_gives_up_earlier_discards)
{
	weir_retry retry = {.attempts_max = 2};
	struct weir_outcome outcome = WEIR_OUTCOME_INIT;
	weir_job_row row = row_of(2, 25);
	struct weir_case c = {.row = &row, .retry = &retry, .now_ms = NOW};
	struct weir_finish finish = {0};

	outcome.status = WEIR_FAILED;
	weir__verdict(&outcome, &c, &finish);
	CHECK_EQ_INT(finish.verdict, WEIR_VERDICT_DISCARD);
	retry.attempts_max = 0;
	retry.retry_on = WEIR_RETRY_ON(WEIR_TIMEDOUT);
	weir__verdict(&outcome, &c, &finish);
	CHECK_EQ_INT(finish.verdict, WEIR_VERDICT_DISCARD);
	outcome.status = WEIR_TIMEDOUT;
	weir__verdict(&outcome, &c, &finish);
	CHECK_EQ_INT(finish.verdict, WEIR_VERDICT_RETRY);
}

static const char *
error_of(const struct weir_outcome *outcome, enum weir_verdict verdict,
	 int64_t at_ms, struct weir_buf *buf)
{
	weir_job_row row = row_of(2, 3);
	struct weir_case c = {.row = &row, .now_ms = NOW};

	row.attempted_at_ms = at_ms;
	weir__buf_reset(buf);
	weir__verdict_error(outcome, &c, verdict, buf);
	return weir__buf_str(buf);
}

TEST(verdict, an_error_is_written_as_river_writes_it)
{
	struct weir_outcome outcome = WEIR_OUTCOME_INIT;
	struct weir_buf buf = {0};

	outcome.status = WEIR_FAILED;
	outcome.error = "no \"route\"";
	outcome.trace = "line 1\nline 2";
	CHECK_STR(error_of(&outcome, WEIR_VERDICT_RETRY, 1767323045678, &buf),
		  "{\"at\":\"2026-01-02T03:04:05.678Z\",\"attempt\":2,"
		  "\"error\":\"no \\\"route\\\"\","
		  "\"trace\":\"line 1\\nline 2\"}");
	outcome.error = outcome.trace = NULL;
	CHECK_STR(error_of(&outcome, WEIR_VERDICT_DISCARD, 0, &buf),
		  "{\"at\":\"1970-01-01T00:00:00Z\",\"attempt\":2,"
		  "\"error\":\"failed\",\"trace\":\"\"}");
	weir__buf_fini(&buf);
}

TEST(verdict, times_have_as_few_digits_as_they_need)
{
	static const struct {
		int64_t ms;
		const char *at;
	} times[] = {
		{1767323045600, "2026-01-02T03:04:05.6Z"},
		{1767323045670, "2026-01-02T03:04:05.67Z"},
		{1767323045007, "2026-01-02T03:04:05.007Z"},
		{1709164800000, "2024-02-29T00:00:00Z"},
		{951782399999, "2000-02-28T23:59:59.999Z"},
		{-1, "1969-12-31T23:59:59.999Z"},
		{253402300799999, "9999-12-31T23:59:59.999Z"},
	};
	struct weir_outcome outcome = WEIR_OUTCOME_INIT;
	struct weir_buf buf = {0};
	char want[64];

	outcome.status = WEIR_FAILED;
	for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
		const char *text = error_of(&outcome, WEIR_VERDICT_RETRY,
					    times[i].ms, &buf);

		(void)snprintf(want, sizeof(want), "{\"at\":\"%s\",",
			       times[i].at);
		CHECK_MSG(strncmp(text, want, strlen(want)) == 0, "%s is %s",
			  times[i].at, text);
	}
	weir__buf_fini(&buf);
}

TEST(verdict, cancellations_have_the_words_that_rivers_clients_look_for)
{
	struct weir_outcome outcome = WEIR_OUTCOME_INIT;
	struct weir_buf buf = {0};

	outcome.status = WEIR_CANCELED;
	CHECK(strstr(error_of(&outcome, WEIR_VERDICT_CANCEL, 0, &buf),
		     "\"JobCancelError: job cancelled remotely\""));
	outcome.cancel = true;
	outcome.error = "not wanted";
	CHECK(strstr(error_of(&outcome, WEIR_VERDICT_CANCEL, 0, &buf),
		     "\"JobCancelError: not wanted\""));
	weir__buf_fini(&buf);
}

TEST(verdict, what_is_no_error_writes_none)
{
	struct weir_outcome outcome = WEIR_OUTCOME_INIT;
	struct weir_buf buf = {0};

	CHECK_STR(error_of(&outcome, WEIR_VERDICT_COMPLETE, 0, &buf), "");
	CHECK_STR(error_of(&outcome, WEIR_VERDICT_SNOOZE, 0, &buf), "");
	CHECK_STR(error_of(&outcome, WEIR_VERDICT_RELEASE, 0, &buf), "");
	weir__buf_fini(&buf);
}

TEST(verdict, long_texts_are_cut_between_characters)
{
	struct weir_outcome outcome = WEIR_OUTCOME_INIT;
	static char text[3 * WEIR_JOB_TRACE_MAX + 1];
	struct weir_buf buf = {0};
	json_error_t why;
	json_t *error;

	/* Three bytes each, and neither limit is a multiple of three. */
	for (size_t i = 0; i + 3 < sizeof(text); i += 3)
		memcpy(text + i, "\xe2\x82\xac", 3);
	outcome.status = WEIR_FAILED;
	outcome.error = outcome.trace = text;
	error_of(&outcome, WEIR_VERDICT_RETRY, 0, &buf);
	error = json_loadb(buf.data, buf.len, 0, &why);
	REQUIRE(error);
	CHECK_EQ_INT(json_string_length(json_object_get(error, "error")),
		     WEIR_JOB_ERROR_MAX / 3 * 3);
	CHECK_EQ_INT(json_string_length(json_object_get(error, "trace")),
		     WEIR_JOB_TRACE_MAX / 3 * 3);
	json_decref(error);
	weir__buf_fini(&buf);
}

TEST(verdict, text_that_is_no_utf8_becomes_json_all_the_same)
{
	struct weir_outcome outcome = WEIR_OUTCOME_INIT;
	struct weir_buf buf = {0};
	json_error_t why;
	json_t *error;

	outcome.status = WEIR_FAILED;
	outcome.error = "bad \xff\xfe byte\x01";
	error_of(&outcome, WEIR_VERDICT_RETRY, 0, &buf);
	error = json_loadb(buf.data, buf.len, 0, &why);
	CHECK(error);
	json_decref(error);
	weir__buf_fini(&buf);
}

TEST(verdict, counts_the_errors_on_record_whatever_is_in_them)
{
	static const struct {
		const char *json;
		uint64_t count;
	} cases[] = {
		{"", 0},
		{"[]", 0},
		{" [ ] ", 0},
		{"[{}]", 1},
		{"[1]", 1},
		{"[{\"a\":[1,2]},{\"b\":\",\"}]", 2},
		{"[\"\\\",\"]", 1},
		{"[[],[],[]]", 3},
		{"null", 0},
		{"]],,", 0},
		{"[\"never ends", 1},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		CHECK_MSG(weir__count_errors(cases[i].json,
					     strlen(cases[i].json)) ==
				  cases[i].count,
			  "%s", cases[i].json);
}
