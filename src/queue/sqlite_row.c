/*
 * From a row of SQLite's to one of ours.
 */
#include "queue/sqlite.h"

#include "base/assert.h"

/* In the order of SQLITE_JOB_COLUMNS. */
enum {
	COLUMN_ID,
	COLUMN_STATE,
	COLUMN_PRIORITY,
	COLUMN_ATTEMPT,
	COLUMN_MAX_ATTEMPTS,
	COLUMN_CRASHES,
	COLUMN_UNIQUE_STATES,
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
	COLUMN_UNIQUE_KEY,
	COLUMN_ARGS,
	COLUMNS
};

static const char *
text_at(sqlite3_stmt *stmt, int at, size_t *ret_len)
{
	const char *text = (const char *)sqlite3_column_text(stmt, at);

	/* "" with length 0, as weir_job_row says; NULL also for want of
	 * memory, of which the next step tells. */
	*ret_len = text ? (size_t)sqlite3_column_bytes(stmt, at) : 0;
	return text ? text : "";
}

static uint32_t
number_at(sqlite3_stmt *stmt, int at)
{
	return (uint32_t)sqlite3_column_int64(stmt, at);
}

void
weir__sqlite_row(sqlite3_stmt *stmt, weir_job_row *ret)
{
	size_t len;

	weir_assert(sqlite3_column_count(stmt) == COLUMNS);
	memset(ret, 0, sizeof(*ret));
	ret->id = sqlite3_column_int64(stmt, COLUMN_ID);
	ret->state = (weir_state)(number_at(stmt, COLUMN_STATE) & 7);
	ret->priority = number_at(stmt, COLUMN_PRIORITY);
	ret->attempt = number_at(stmt, COLUMN_ATTEMPT);
	ret->max_attempts = number_at(stmt, COLUMN_MAX_ATTEMPTS);
	ret->crashes = number_at(stmt, COLUMN_CRASHES);
	ret->unique_states = number_at(stmt, COLUMN_UNIQUE_STATES);
	ret->created_at_ms = sqlite3_column_int64(stmt, COLUMN_CREATED);
	ret->scheduled_at_ms = sqlite3_column_int64(stmt, COLUMN_SCHEDULED);
	ret->attempted_at_ms = sqlite3_column_int64(stmt, COLUMN_ATTEMPTED);
	ret->finalized_at_ms = sqlite3_column_int64(stmt, COLUMN_FINALIZED);
	ret->cancel_at_ms = sqlite3_column_int64(stmt, COLUMN_CANCEL);
	ret->timeout_ns = sqlite3_column_int64(stmt, COLUMN_TIMEOUT);
	ret->queue = text_at(stmt, COLUMN_QUEUE, &len);
	ret->kind = text_at(stmt, COLUMN_KIND, &len);
	ret->attempted_by = text_at(stmt, COLUMN_ATTEMPTED_BY, &len);
	ret->metadata = text_at(stmt, COLUMN_METADATA, &ret->metadata_len);
	ret->tags = text_at(stmt, COLUMN_TAGS, &ret->tags_len);
	ret->errors = text_at(stmt, COLUMN_ERRORS, &ret->errors_len);
	ret->output = text_at(stmt, COLUMN_OUTPUT, &ret->output_len);
	ret->args = text_at(stmt, COLUMN_ARGS, &ret->args_len);
	if (sqlite3_column_bytes(stmt, COLUMN_UNIQUE_KEY) == 32)
		ret->unique_key = sqlite3_column_blob(stmt, COLUMN_UNIQUE_KEY);
}

/* In the order of SQLITE_CLAIM_COLUMNS. */
enum {
	CLAIM_ID,
	CLAIM_PRIORITY,
	CLAIM_ATTEMPT,
	CLAIM_MAX_ATTEMPTS,
	CLAIM_CRASHES,
	CLAIM_CREATED,
	CLAIM_SCHEDULED,
	CLAIM_ATTEMPTED,
	CLAIM_TIMEOUT,
	CLAIM_KIND,
	CLAIM_METADATA,
	CLAIM_TAGS,
	CLAIM_ERRORS,
	CLAIM_OUTPUT,
	CLAIM_UNIQUE_KEY,
	CLAIM_UNIQUE_STATES,
	CLAIM_ARGS,
};

/* The same for a text that mostly is not there. */
static const char *
rare_text_at(sqlite3_stmt *stmt, int at, size_t *ret_len)
{
	if (sqlite3_column_type(stmt, at) != SQLITE_NULL)
		return text_at(stmt, at, ret_len);
	*ret_len = 0;
	return "";
}

void
weir__sqlite_claim_row(sqlite3_stmt *stmt, const char *queue, weir_job_row *ret)
{
	memset(ret, 0, sizeof(*ret));
	ret->state = WEIR_JOB_AVAILABLE;
	ret->id = sqlite3_column_int64(stmt, CLAIM_ID);
	ret->priority = number_at(stmt, CLAIM_PRIORITY);
	ret->attempt = number_at(stmt, CLAIM_ATTEMPT);
	ret->max_attempts = number_at(stmt, CLAIM_MAX_ATTEMPTS);
	ret->crashes = number_at(stmt, CLAIM_CRASHES);
	ret->created_at_ms = sqlite3_column_int64(stmt, CLAIM_CREATED);
	ret->scheduled_at_ms = sqlite3_column_int64(stmt, CLAIM_SCHEDULED);
	ret->attempted_at_ms = sqlite3_column_int64(stmt, CLAIM_ATTEMPTED);
	ret->timeout_ns = sqlite3_column_int64(stmt, CLAIM_TIMEOUT);
	ret->queue = queue;
	ret->kind = (const char *)sqlite3_column_text(stmt, CLAIM_KIND);
	ret->kind = ret->kind ? ret->kind : "";
	ret->metadata = rare_text_at(stmt, CLAIM_METADATA, &ret->metadata_len);
	ret->tags = rare_text_at(stmt, CLAIM_TAGS, &ret->tags_len);
	ret->errors = rare_text_at(stmt, CLAIM_ERRORS, &ret->errors_len);
	ret->args = text_at(stmt, CLAIM_ARGS, &ret->args_len);
	ret->output = rare_text_at(stmt, CLAIM_OUTPUT, &ret->output_len);
	ret->attempted_by = "";
	if (sqlite3_column_type(stmt, CLAIM_UNIQUE_KEY) != SQLITE_NULL &&
	    sqlite3_column_bytes(stmt, CLAIM_UNIQUE_KEY) == 32) {
		ret->unique_states = number_at(stmt, CLAIM_UNIQUE_STATES);
		ret->unique_key = sqlite3_column_blob(stmt, CLAIM_UNIQUE_KEY);
	}
}
