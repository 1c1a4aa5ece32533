/*
 * Signals: when to drain, when to cancel, when to leave.
 *
 *                1st INT, TERM, HUP          2nd, or grace over
 *      RUNNING ──────────────────► DRAINING ──────────────────► CANCELING
 *         │                           │                            │
 *         └───── QUIT ───────────── QUIT ──────────── 3rd, QUIT, or 4 s over
 *                                     ▼                            ▼
 *                                  LEAVING ◄───────────────────────┘
 *
 * The state machine is plain logic: it is told the signal and the time, and
 * says what is to be done.  Waiting for signals is apart from it: they are
 * blocked in all threads from the start of main() on, and one thread takes
 * them with weir__signals_wait() or from weir__signals_fd(), in ordinary code
 * where any function may be called.
 */
#ifndef WEIR_SRC_CLI_SIGNALS_H
#define WEIR_SRC_CLI_SIGNALS_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#define WEIR_STOP_GRACE_NS  INT64_C(25000000000) /* --grace's default */
#define WEIR_STOP_CANCEL_NS INT64_C(4000000000)

enum weir_stop_stage {
	WEIR_STOP_RUNNING,
	WEIR_STOP_DRAINING,
	WEIR_STOP_CANCELING,
	WEIR_STOP_LEAVING,
};

enum weir_stop_action {
	WEIR_STOP_NOTHING,
	WEIR_STOP_DRAIN,  /* stop reading, end back-off sleeps, let jobs end */
	WEIR_STOP_CANCEL, /* cancel what runs */
	WEIR_STOP_LEAVE,  /* _exit() now */
	WEIR_STOP_STATUS, /* print a status line */
};

struct weir_stop {
	enum weir_stop_stage stage;
	int signal; /* the first that stopped us, for the exit status; or 0 */
	int64_t grace_ns;
	int64_t deadline_ns; /* of this stage; WEIR_FOREVER while running */
};

/*
 * Waits:   never.
 * Threads: one at a time.
 * Owns:    nothing.
 * Returns: nothing.
 */
void weir__stop_init(struct weir_stop *stop, int64_t grace_ns);

/*
 * A signal came.  0 and signals that mean nothing to us give NOTHING.
 *
 * Waits:   never.
 * Threads: one at a time.
 * Owns:    nothing.
 * Returns: what to do.
 */
enum weir_stop_action weir__stop_signal(struct weir_stop *stop,
					int signal_number, int64_t now_ns);

/*
 * Time has passed.  Gives CANCEL when the grace is over, and LEAVE when what
 * was cancelled has not ended.
 *
 * Waits:   never.
 * Threads: one at a time.
 * Owns:    nothing.
 * Returns: what to do.
 */
enum weir_stop_action weir__stop_tick(struct weir_stop *stop, int64_t now_ns);

/*
 * How long the caller may sleep before the next weir__stop_tick().
 *
 * Waits:   never.
 * Threads: one at a time.
 * Owns:    nothing.
 * Returns: nanoseconds, or WEIR_FOREVER.
 */
int64_t weir__stop_sleep_ns(const struct weir_stop *stop, int64_t now_ns);

/*
 * Block INT, TERM, HUP, QUIT, USR1 and USR2 in this thread and in all that it
 * starts, and ignore PIPE.  main() does this first.  What was ignored when we
 * were started (nohup, a background job) stays ignored.
 *
 * Waits:   never.
 * Threads: the main thread, before there are others.
 * Owns:    nothing.
 * Returns: nothing.
 */
void weir__signals_block(void);

/*
 * Wait for one of the signals above.  weir__signals_wake() ends the wait too.
 *
 * Waits:   for a signal, at most timeout_ns (WEIR_FOREVER: for ever; 0: not).
 * Threads: one.
 * Owns:    nothing.
 * Returns: the signal, 0 after timeout_ns, SIGUSR2 after a wake.
 */
int weir__signals_wait(int64_t timeout_ns);

/*
 * A descriptor that is readable when a signal has come, for a thread that
 * polls.  Take them with weir__signals_wait(0).
 *
 * Waits:   never.
 * Threads: any.
 * Owns:    the descriptor (close-on-exec) is the caller's to close.
 * Returns: the descriptor, or -1 and errno.
 */
int weir__signals_fd(void);

/*
 * Make weir__signals_wait() return SIGUSR2 in whoever waits.
 *
 * Waits:   never.
 * Threads: any.
 * Owns:    nothing.
 * Returns: nothing.
 */
void weir__signals_wake(void);

/*
 * When all is done but telling of it: from now on INT, TERM, HUP and QUIT end
 * the process, as they do where nobody has blocked them.
 *
 * Waits:   never.
 * Threads: the one that blocked them, when the others have ended.
 * Owns:    nothing.
 * Returns: nothing.
 */
void weir__signals_release(void);

/*
 * How it was before weir__signals_block(), for children: the mask, and whether
 * PIPE was ignored.
 *
 * Waits:   never.
 * Threads: any, after weir__signals_block().
 * Owns:    the mask stays ours, and is never changed.
 * Returns: the mask.
 */
const sigset_t *weir__signals_before(bool *ret_pipe_ignored);

/*
 * In a child, before exec: the mask and SIGPIPE as they were for us.
 *
 * Waits:   never.  Safe after fork() in a program with threads.
 * Threads: the child's only one.
 * Owns:    nothing.
 * Returns: nothing.
 */
void weir__signals_restore(void);

#endif
