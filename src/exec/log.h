/*
 * Attempts as text: GNU parallel's joblog, and JSON.
 */
#ifndef WEIR_SRC_EXEC_LOG_H
#define WEIR_SRC_EXEC_LOG_H

#include "base/buf.h"
#include "exec/job.h"

/* The first line of a joblog, with its newline. */
extern const char weir__joblog_head[];

/*
 * Append one line, with its newline; out of memory is buf's `failed`.
 *
 * The joblog has one line a job, made of its last attempt.  Exitval is -1 of a
 * job that was ended by us or never started (attempt is NULL then), 127 or 126
 * if its program was not found or cannot be run; only a job that was ok has 0
 * for Exitval and Signal.
 *
 * The JSON has one object an attempt: seq, key, argv, attempt, status (ok,
 * failed, cancelled), exit, signal, error, started (RFC 3339, ms), wall_ms,
 * user_ms, sys_ms, max_rss, stdout_bytes, stderr_bytes, slot, pid, will_retry;
 * of a job that was never started nothing from `started` on, and of one that
 * is bad an empty argv and its item, cut.  Bytes that are not UTF-8 become
 * U+FFFD there; key is of the bytes.
 */
void weir__joblog_line(struct weir_buf *buf, const struct weir_exec_job *job,
		       const struct weir_exec_attempt *attempt);
void weir__exec_json_line(struct weir_buf *buf, const struct weir_exec_job *job,
			  const struct weir_exec_attempt *attempt,
			  const char *error);

/*
 * "exit 3", "killed by SIGSEGV after 412ms", "timed out after 30.0s", "timed
 * out after 32.0s, killed", "cannot start: Permission denied"; "" if it was ok.
 */
void weir__exec_why(char *text, size_t size,
		    const struct weir_exec_attempt *attempt);
/* A reason to count by: "exit 3", "SIGSEGV", "timeout", "not found" ...; "" */
void weir__exec_reason(char *text, size_t size,
		       const struct weir_exec_attempt *attempt);
/* "SIGSEGV", or "signal 64". */
void weir__exec_signal_name(char *text, size_t size, int signal_number);

#endif
