/*
 * A job of a store, shown: as JSON for programs, at length for people.
 */
#ifndef WEIR_SRC_CLI_QUEUE_JOB_H
#define WEIR_SRC_CLI_QUEUE_JOB_H

#include "base/json.h"

#include <weir/queue.h>

/* Append the object and a newline.  What is JSON in it stays as it is. */
void weir__job_put_json(struct weir_buf *buf, const weir_job_row *row);

/* A time as RFC 3339 text; null for 0. */
void weir__job_put_time(struct weir_json *j, const char *key, int64_t ms);

/*
 * The members of a job that is not in a store as a job yet (a schedule's), as
 * `weir enqueue --whole` takes them.
 */
void weir__job_put_insert(struct weir_json *j, const weir_insert *insert);

/* All about it, for people. */
void weir__job_put_text(struct weir_buf *buf, const weir_job_row *row,
			int64_t now_ms);

/*
 * What a line of a list says at its end: when it is due, and the last error.
 */
void weir__job_put_note(struct weir_buf *buf, const weir_job_row *row,
			int64_t now_ms);

#endif
