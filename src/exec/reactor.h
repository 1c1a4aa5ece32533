/*
 * Inside the engine: what engine.c, reactor.c, attempt.c and stream.c share.
 */
#ifndef WEIR_SRC_EXEC_REACTOR_H
#define WEIR_SRC_EXEC_REACTOR_H

#include "base/heap.h"
#include "base/list.h"
#include "exec/child.h"
#include "exec/descendants.h"
#include "exec/engine.h"
#include "exec/guardian.h"
#include "sync/atomic.h"
#include "sync/mutex.h"

#include <sys/types.h>
#include <weir/job.h>

#define WEIR_EXEC_BUFFER (64 * 1024)

/* What is kept of a job between its attempts: the pool's output. */
struct weir_exec_outcome {
	struct weir_exec_attempt last; /* number 0: none yet */
	struct weir_spool out, err;
};

/* One of a child's pipes, our end. */
struct weir_exec_stream {
	int fd; /* -1: none, or at its end */
	bool is_err;
	bool watched; /* registered with epoll */
	bool refused; /* what is in spool: there was no room for it */
	uint64_t bytes;
	struct weir_spool *spool; /* in the outcome */
	/* What came behind the lines that were refused: one buffer at most. */
	struct weir_spool rest;
};

enum weir_exec_phase {
	WEIR_EXEC_IDLE,
	WEIR_EXEC_STARTING,  /* the system has none left of something */
	WEIR_EXEC_RUNNING,   /* its end is decided by itself */
	WEIR_EXEC_ENDING,    /* or by us */
	WEIR_EXEC_LINGERING, /* it has ended, somebody holds a pipe */
};

/* A slot, and the attempt in it just now. */
struct weir_exec_run {
	/* fixed at creation */
	struct weir_exec_reactor *reactor;

	/* guarded by the reactor's mu; 0: none, or it has been waited for */
	pid_t pid;

	/* the reactor's thread's */
	struct weir_list link; /* in idle, busy or starting */
	struct weir_heap_node timer;
	weir_job *job; /* NULL: idle */
	weir_ctx *ctx;
	const struct weir_exec_job *command;
	struct weir_exec_outcome *outcome;
	enum weir_exec_phase phase;
	bool by_us; /* it was told to end, and why */
	enum weir_exec_end ended_by;
	int64_t delay_ns; /* until the next try */
	int64_t alone_ns; /* nobody else runs since; or -1 */
	int64_t kill_ns;  /* when KILL is due */
	int pidfd;        /* -1: none */
	bool watched;     /* it is registered with epoll */
	uint32_t slot;    /* {%}; 0: none */
	int64_t started_ns, started_unix_ns, exited_ns;
	struct weir_exec_stream out, err;
};

/* argv[0] of the last command, and what it is. */
struct weir_exec_program {
	struct weir_buf name, path;
	int error;   /* of the search */
	bool script; /* exec has refused it: a text for /bin/sh */
};

struct weir_exec_reactor {
	/* fixed at creation */
	struct weir_exec_engine *engine;
	int epoll_fd, wake_fd;
	struct weir_exec_run *runs;
	size_t run_count;
	pid_t *own;          /* pids, sorted, for a look at what is not in it */
	char **envp;         /* environ's, ours, a job's own, NULL */
	char **envp_job;     /* where in it a job's own begin */
	char own_env[3][40]; /* WEIR_SEQ=..., and so on */
	sigset_t mask_before;

	/* the thread's */
	struct weir_list idle, busy, starting;
	struct weir_heap timers;
	struct weir_exec_program program;
	int64_t swept_ns;     /* the last look for what was adopted */
	int64_t sweep_ns;     /* the next, if nothing ends */
	uint32_t sweep_ended; /* attempts since the last */
	bool ended;           /* an attempt has, since the wait began */
	void *stack;
	char *buffer;

	/* pid of runs */
	struct weir_mutex mu;

	/*
	 * atomic: somebody has made room, a child of another has ended, a job
	 * that may be here is to be cancelled
	 */
	struct weir_u32 poked, freed, canceled;
};

struct weir_exec_engine {
	/* fixed at creation */
	struct weir_exec_options options;
	struct weir_exec_hooks hooks;
	struct weir_child_setup setup;
	struct weir_spool_budget budget;
	struct weir_descendants descendants; /* locks itself */
	struct weir_guardian *guardian;      /* as long as children may run */
	weir_pool *pool;
	weir_limit *limit;
	weir_ctx *ctx;
	bool took_process, was_subreaper, child_ignored;
	uint32_t threads;

	/* guarded by slot_mu: numbers in use, by bits */
	struct weir_mutex slot_mu;
	uint64_t *slots;

	/* guarded by reactors_mu; entries come and go with the workers */
	struct weir_mutex reactors_mu;
	struct weir_exec_reactor **reactors;

	/* atomic */
	struct weir_u32 running;  /* children */
	struct weir_u32 starting; /* attempts that wait to be started */
	struct weir_u32 refused;  /* streams that wait for room */
	struct weir_u32 fatal;    /* errno of what cannot go on, or 0 */
	struct weir_u32 unmade;   /* errno of a reactor that there is none of */
	struct weir_u32 killing;  /* what is started now is killed at once */
};

/* engine.c */
/* A temporary file cannot be written: going on makes no sense. */
void weir__exec_engine_fatal(struct weir_exec_engine *engine, int error_number);
/* A child has ended: who waits to start one may try again. */
void weir__exec_engine_freed(struct weir_exec_engine *engine,
			     struct weir_exec_reactor *by);
uint32_t weir__exec_slot_take(struct weir_exec_engine *engine);
void weir__exec_slot_give(struct weir_exec_engine *engine, uint32_t slot);

/* attempt.c */
void weir__exec_run_begin(struct weir_exec_run *run, weir_ctx *ctx,
			  weir_job *job, const struct weir_exec_job *command,
			  struct weir_exec_outcome *outcome);
/* Its context is done, or somebody wants it to end. */
void weir__exec_run_cancel(struct weir_exec_run *run);
/* Try again to start it. */
void weir__exec_run_retry(struct weir_exec_run *run, int64_t now_ns);
/* The process may have ended. */
void weir__exec_run_look(struct weir_exec_run *run, int64_t now_ns);
/* Its timer is due. */
void weir__exec_run_due(struct weir_exec_run *run, int64_t now_ns);
/* One of its pipes has something, or is at its end. */
void weir__exec_run_read(struct weir_exec_run *run, bool is_err);
/* There may be room for what was refused. */
void weir__exec_run_poke(struct weir_exec_run *run);

/* launch.c: the process of an attempt; 0 or errno. */
int weir__exec_launch(struct weir_exec_run *run, bool *ret_by_exec);

/* stream.c */
void weir__exec_stream_init(struct weir_exec_stream *stream, int fd,
			    struct weir_spool *spool);
/* Read what is there: once, or all.  False: it is at its end. */
bool weir__exec_stream_read(struct weir_exec_run *run,
			    struct weir_exec_stream *stream, bool all);
/* Offer again what was refused.  True: reading may go on. */
bool weir__exec_stream_offer(struct weir_exec_run *run,
			     struct weir_exec_stream *stream);
/* The attempt is over. */
void weir__exec_stream_end(struct weir_exec_run *run,
			   struct weir_exec_stream *stream, bool will_retry);

/* reactor.c */
weir_status weir__exec_reactor_init(uint32_t worker, void **ret_state,
				    void *user);
void weir__exec_reactor_exit(uint32_t worker, void *state, void *user);
void weir__exec_reactor_wait(void *state, int64_t deadline_ns, bool hungry,
			     void *user);
void weir__exec_reactor_wake(void *state, void *user);
struct weir_exec_run *weir__exec_reactor_take(
	struct weir_exec_reactor *reactor);
void weir__exec_run_set_timer(struct weir_exec_run *run, int64_t due_ns);
/* The slot is free. */
void weir__exec_run_free(struct weir_exec_run *run);
/* False: the system does not let us just now; the caller looks by itself. */
bool weir__exec_watch_exit(struct weir_exec_run *run);
void weir__exec_unwatch_exit(struct weir_exec_run *run);
bool weir__exec_watch_stream(struct weir_exec_run *run,
			     struct weir_exec_stream *stream);
void weir__exec_unwatch_stream(struct weir_exec_run *run,
			       struct weir_exec_stream *stream);

#endif
