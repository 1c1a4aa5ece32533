/*
 * A command to run, an attempt at it, and what came of it.
 *
 * Plain values: who may touch one, and when, is said where it is handed over.
 */
#ifndef WEIR_SRC_EXEC_JOB_H
#define WEIR_SRC_EXEC_JOB_H

#include "exec/spool.h"
#include "sync/atomic.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <weir/base.h>

/* 128 bits of the content of a command, as hexadecimal digits in records. */
struct weir_exec_key {
	uint64_t word[2];
};
#define WEIR_EXEC_KEY_TEXT 33 /* 32 digits and a NUL */

/*
 * One command.  Made by weir__template_make(), in one block of memory with
 * all that it points to; owned by the pool while it is a job there.
 */
struct weir_exec_job {
	uint64_t seq; /* its place in the input, from 1 */
	char **argv;  /* NULL ends it */
	size_t argc;
	/* Its items, for --tag and for people; no NUL in it, and cut if bad. */
	const char *item;
	size_t item_len;
	/* Of argv, with {%} left as it is; the same in every run. */
	struct weir_exec_key key;
	/* Where argv has a {%}, which weir__exec_job_argv() replaces. */
	const struct weir_exec_slot *slots;
	size_t slot_count;
	/*
	 * Not to be run: why is what was wrong with the input, "" if nothing;
	 * argv is empty then.
	 */
	const char *bad;

	/* What this job has of its own; 0 and NULL: as all the others. */
	const char *input; /* its standard input */
	size_t input_len;  /* at most WEIR_EXEC_INPUT_MAX */
	/* "NAME=value"s besides our own, at most WEIR_EXEC_ENV_MAX; or NULL */
	char *const *env;
	const char *dir;    /* where it runs; relative to what they have */
	int64_t timeout_ns; /* of an attempt */
	uint32_t
		attempts_before; /* elsewhere; ours are counted on from there */
	void *user;              /* the owner's */

	/* atomic; see weir__exec_engine_cancel() */
	struct weir_u32 canceled;
};

#define WEIR_EXEC_INPUT_MAX (16 * 1024 * 1024)
#define WEIR_EXEC_ENV_MAX   16

/*
 * Where in argv the text {%} stands for the number of the slot.  A place and
 * not a mark in the text, for an item may hold whatever a mark is made of.
 */
struct weir_exec_slot {
	size_t arg, offset;
};

/* How an attempt ended. */
enum weir_exec_end {
	WEIR_EXEC_EXITED,    /* code: its exit status */
	WEIR_EXEC_SIGNALED,  /* code: the signal */
	WEIR_EXEC_TIMED_OUT, /* by us, at --timeout; code: the signal, or 0 */
	WEIR_EXEC_CANCELED,  /* by us, as told; code: the signal, or 0 */
	WEIR_EXEC_UNSTARTED, /* error: the errno of what failed */
};

struct weir_exec_attempt {
	uint32_t number; /* from 1, or on from attempts_before */
	uint32_t slot;   /* from 1 */
	enum weir_exec_end end;
	int code;  /* exit status or signal; see above */
	int error; /* errno, with UNSTARTED */
	int32_t pid;
	int64_t started_unix_ns;
	int64_t wall_ns, user_ns, sys_ns;
	uint64_t max_rss;              /* bytes */
	uint64_t out_bytes, err_bytes; /* what it wrote */
	bool will_retry;
};

enum weir_exec_status {
	WEIR_EXEC_OK,
	WEIR_EXEC_FAILED,
	WEIR_EXEC_CANCELLED, /* it ran, and was stopped, alone or with all */
	WEIR_EXEC_SKIPPED,   /* done in an earlier run */
};

/* A job that is over.  The hook that gets it takes what is in out and err. */
struct weir_exec_result {
	const struct weir_exec_job *job;
	enum weir_exec_status status;
	uint32_t attempts;                    /* with those before */
	const struct weir_exec_attempt *last; /* NULL: it was never started */
	/* There would have been another attempt, had the run not stopped. */
	bool was_to_retry;
	int64_t wait_ns, run_ns, total_ns;
	struct weir_spool *out, *err; /* what is still to be shown; or NULL */
	/* "exit 3", "killed by SIGSEGV after 0.4s", "No such file ..."; or ""
	 */
	const char *error;
};

#endif
