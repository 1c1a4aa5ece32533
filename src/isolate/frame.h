/*
 * What goes over the sockets: between a worker of the pool and its process,
 * and between the program and the zygote.  README.md has the conversation.
 *
 * All of these processes are forks of one image, so structs go as they are,
 * and pointers to functions and static data mean the same on both sides.
 * What comes out of a worker's process is not believed for that: it may be
 * what a wild write has left.
 */
#ifndef WEIR_SRC_ISOLATE_FRAME_H
#define WEIR_SRC_ISOLATE_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/resource.h>
#include <sys/types.h>
#include <weir/isolate.h>
#include <weir/retry.h>

#include "base/assert.h"

/* Payloads up to this size go inside of the frame, larger ones in a memfd. */
#define WEIR_INLINE_MAX ((size_t)64 * 1024)
/*
 * Jobs that need no more than this, in and out together, go through pipes, as
 * records: one is written and read in one piece (PIPE_BUF).
 */
#define WEIR_RECORD_MAX ((size_t)3 * 1024)

/* Unlikely as the first word of anything else. */
enum weir_frame_kind {
	WEIR_FRAME_JOB = 0x6a6f6231,
	WEIR_FRAME_QUIT = 0x71756974,
	WEIR_FRAME_READY = 0x72647931,
	WEIR_FRAME_ANSWER = 0x616e7331,
	WEIR_FRAME_NOTE = 0x6e6f7431,
};

enum {
	WEIR_FRAME_LAST = 1, /* of a batch: ring the bell after it */
	WEIR_FRAME_MEMFD = 2 /* the payload is in the descriptor */
};

/* To the process; the input follows, and the output of an earlier attempt. */
struct weir_job_frame {
	_Alignas(max_align_t) uint32_t kind;
	uint32_t seq;
	uint64_t id;
	uint32_t attempt;
	uint32_t flags;
	int64_t timeout_ns, deadline_ns;
	weir_retry retry;
};

/* From it; the output follows, and the text of an error if it failed. */
struct weir_answer_frame {
	_Alignas(max_align_t) uint32_t kind;
	uint32_t seq;
	uint32_t status;
	uint32_t flags;
	uint32_t text_len;
	int64_t retry_after_ns;
};

/* Bytes of a record: frame, input and output, rounded up. */
static inline size_t
weir__record_size(size_t in_size, size_t out_size)
{
	size_t all = sizeof(struct weir_job_frame) + in_size + out_size;

	return (all + _Alignof(max_align_t) - 1) / _Alignof(max_align_t) *
	       _Alignof(max_align_t);
}

/* Do the jobs of a pool go through pipes? */
static inline bool
weir__sizes_are_small(size_t in_size, size_t out_size)
{
	return in_size <= WEIR_RECORD_MAX && out_size <= WEIR_RECORD_MAX &&
	       in_size + out_size <= WEIR_RECORD_MAX;
}

/* From it: init has run, and how it went. */
struct weir_ready_frame {
	uint32_t kind;
	uint32_t status;
	uint32_t sandbox; /* what of it is in force */
};

/* From it: what a handler saw of a fatal signal. */
struct weir_note_frame {
	uint32_t kind;
	int32_t signal;
	uint64_t address;
	bool has_address;
	bool no_memory; /* the last call that failed did so for lack of it */
	bool stack;     /* the address is just beyond the stack */
};

/* What a worker's process is to be. */
struct weir_worker_spec {
	size_t in_size, out_size;
	weir_job_fn *run;
	weir_worker_init_fn *init;
	weir_worker_exit_fn *exit;
	void *user;
	uint32_t worker;
	weir_isolate_options limits;
};

enum weir_zygote_op { WEIR_ZYGOTE_SPAWN, WEIR_ZYGOTE_REAP };

/* To the zygote; with SPAWN come the process's descriptors. */
struct weir_zygote_request {
	uint32_t op;
	pid_t pid;         /* REAP: of a process that has ended */
	uint32_t fd_count; /* SPAWN */
	struct weir_worker_spec spec;
};

/* From it; with the pidfd of what it has spawned. */
struct weir_zygote_reply {
	int32_t error; /* an errno, or 0 */
	pid_t pid;
	int32_t status; /* as wait() gives it */
	struct rusage usage;
};

/* Where a worker's process finds its descriptors. */
enum {
	WEIR_WORKER_SOCKET = 3,
	WEIR_WORKER_BELL,
	WEIR_WORKER_JOBS,    /* pipes, if jobs are small */
	WEIR_WORKER_ANSWERS, /* ... */
	WEIR_WORKER_END
};

#define WEIR_WORKER_FDS (WEIR_WORKER_END - WEIR_WORKER_SOCKET)

/*
 * With what a process exits that cannot start, or has lost its socket: then
 * nobody can be told in any other way.
 */
#define WEIR_WORKER_LOST 125

/* Close a descriptor, if it is one, and forget it. */
void weir__fd_close(int *fd);

/* zygote.c: what cells ask of it. */

/* errno values, or 0; ESRCH: the zygote has ended. */
int weir__zygote_spawn(struct weir_zygote *zygote,
		       const struct weir_worker_spec *spec, const int *fds,
		       size_t fd_count, pid_t *ret_pid, int *ret_pidfd);
int weir__zygote_reap(struct weir_zygote *zygote, pid_t pid, int *ret_status,
		      struct rusage *ret_usage);

/* worker.c: the whole life of a worker's process, in the zygote's child. */
_Noreturn void weir__worker_process(const struct weir_worker_spec *spec,
				    pid_t zygote);

#endif
