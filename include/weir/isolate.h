/*
 * weir/isolate.h - jobs in processes of their own, so that they may crash.
 *
 * A plain job that writes through a wild pointer takes the whole program with
 * it.  With WEIR_ISOLATE_PROCESS in a pool's options each of its workers has
 * a process instead, and everything else stays as it is: the same functions,
 * the same calls, jobs and outputs copied in and out.
 *
 *      int
 *      main(void)
 *      {
 *              weir_pool_options options = WEIR_POOL_OPTIONS_INIT;
 *              weir_zygote *zygote;
 *
 *              if (weir_zygote_start(&zygote) != WEIR_OK)
 *                      return 1;
 *              options.isolate = WEIR_ISOLATE_PROCESS;
 *              options.zygote = zygote;
 *              ...
 *
 * A job that crashes, calls exit(), hangs or runs out of memory gives a
 * result like one that fails.  The status is WEIR_CRASHED (WEIR_TIMEDOUT and
 * WEIR_CANCELED if it was killed for that), the error names the cause:
 *
 *      killed by SIGSEGV at address 0x0 in attempt 2
 *      exited with 3 in attempt 1
 *      out of memory (limit 64 MiB), killed by SIGABRT in attempt 1
 *      did not end within 5s, killed in attempt 1
 *
 * It counts as an attempt, the retry policy applies, and the worker gets a
 * new process.  A job that has killed three of them is tried no more,
 * whatever the policy says; its error begins with "poison".
 *
 * Where the processes come from.  The zygote is a small copy of the program,
 * made at the start of main() while there is one thread, no open database and
 * little memory; workers are copies of it.  So a job in its process sees the
 * program as it was then: functions, and all memory that existed, at the same
 * addresses and with the values of that moment.  run, init and exit must have
 * been linked in by then, and what user points to is seen as it was.  init
 * and exit run in the process, once in the life of each.  Descriptors of the
 * program are not there, but for standard output and error; standard input is
 * /dev/null.
 *
 * Cancelling.  A job finds its context done at its time-out.  At that moment,
 * or when it is cancelled from outside, its process group also gets SIGTERM,
 * which by default interrupts what the job waits in and makes its context
 * done, and kill_after_ns later SIGKILL.
 *
 * Jobs are messages, one each, over a socket pair; a process shares no memory
 * with the program.  Several jobs may be on their way to a process at a time
 * while they are short.  When one crashes, exactly that one has: the others
 * are taken back and run elsewhere.
 *
 * No process outlives the program, however that ends.  Programs that a job
 * has started go with its process, if they stay in its process group.
 */
#ifndef WEIR_ISOLATE_H
#define WEIR_ISOLATE_H

#include <stdbool.h>
#include <weir/base.h>
#include <weir/pool.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Where the processes of isolated workers come from. */
typedef struct weir_zygote weir_zygote;

/*
 * Fork the zygote.  To be called at the start of main(), while the program
 * has one thread: what other threads are doing at the time of a fork, locks
 * that they hold included, would be copied half done.
 *
 * Waits:   never, but for one fork.
 * Threads: the program's only one.
 * Owns:    the caller owns *out, and ends it with weir_zygote_free() after
 *          all pools that use it.
 * Returns: WEIR_OK, WEIR_INVAL (out is NULL, or the program has more than one
 *          thread), WEIR_NOMEM, WEIR_SYSTEM (processes or descriptors are
 *          exhausted).
 */
WEIR_API WEIR_NODISCARD weir_status weir_zygote_start(weir_zygote **out);

/*
 * End the zygote.  NULL is fine.
 *
 * Waits:   for the zygote to end; some hundred microseconds.
 * Threads: any; no pool that uses it may be left.
 * Owns:    takes zygote.
 * Returns: NULL, so that a variable can be cleared in the same line.
 */
WEIR_API weir_zygote *weir_zygote_free(weir_zygote *zygote);

/*
 * What jobs of a pool may not do.  Put into force after init has run, so that
 * init can open what jobs need.
 *
 * READ_ONLY  files can be read, and nothing in the file system written, made,
 *            renamed or removed (landlock).  What is open stays as it is.
 * NO_FILES   nor can anything be opened (landlock).
 * NO_SYSTEM  no programs are run, no sockets made, no other processes looked
 *            into or signalled, nothing mounted or configured; such calls
 *            fail with EPERM (seccomp).
 * REQUIRED   where the kernel lacks what one of the above needs, workers do
 *            not start (WEIR_SYSTEM).  Without it they do, and
 *            weir_isolate_stats says what is in force.
 */
#define WEIR_SANDBOX_READ_ONLY UINT32_C(1)
#define WEIR_SANDBOX_NO_FILES  UINT32_C(2)
#define WEIR_SANDBOX_NO_SYSTEM UINT32_C(4)
#define WEIR_SANDBOX_REQUIRED  UINT32_C(8)

/*
 * Limits of a worker's process.  0 everywhere means the default.
 *
 * size           sizeof(weir_isolate_options).
 * memory_max     bytes of memory (address space) that jobs may add to what
 *                the process has when it starts; 0: no limit.
 * cpu_s_max      seconds of processor time for one attempt; 0: no limit.
 * files_max      open descriptors; 0: as the program has it.
 * kill_after_ns  between SIGTERM and SIGKILL; 0: two seconds.
 * recycle_jobs   after so many jobs the process is replaced; 0: never.
 * recycle_rss    when it has so many bytes resident, after a job, it is; 0:
 *                never.  Looked at every 64 jobs or 100 ms.
 * sandbox        WEIR_SANDBOX_ flags.
 */
typedef struct weir_isolate_options {
	size_t size;
	uint64_t memory_max;
	uint32_t cpu_s_max;
	uint32_t files_max;
	int64_t kill_after_ns;
	uint64_t recycle_jobs;
	uint64_t recycle_rss;
	uint32_t sandbox;
} weir_isolate_options;

WEIR_OPTIONS_TYPE(weir_isolate_options)

#ifdef __cplusplus
#define WEIR_ISOLATE_OPTIONS_INIT weir_isolate_options_make()
#else
#define WEIR_ISOLATE_OPTIONS_INIT                    \
	{                                            \
		.size = sizeof(weir_isolate_options) \
	}
#endif

/*
 * What became of the processes of a pool.  A plain value; size is set by the
 * caller.
 *
 * started   processes, those of the beginning included.
 * died      ended by themselves: crashed, exited, out of memory.
 * killed    were killed because a job did not end when it had to.
 * recycled  were replaced for their age or their size.
 * braking   the pool is backing off: more than half of its workers have died
 *           within 10 s without having done a single job, and so did more
 *           than half of all that died; new processes are delayed, by 10 ms
 *           at first and up to 5 s.
 * delay_ns  by how much just now.
 * sandbox   the WEIR_SANDBOX_ flags that are in force, as the last process
 *           that started said.
 */
typedef struct weir_isolate_stats {
	size_t size;
	uint64_t started, died, killed, recycled;
	int64_t delay_ns;
	uint32_t sandbox;
	bool braking;
} weir_isolate_stats;

WEIR_OPTIONS_TYPE(weir_isolate_stats)

#ifdef __cplusplus
#define WEIR_ISOLATE_STATS_INIT weir_isolate_stats_make()
#else
#define WEIR_ISOLATE_STATS_INIT                    \
	{                                          \
		.size = sizeof(weir_isolate_stats) \
	}
#endif

/*
 * Read them.  Writes as much of *ret as its size field covers; a size of 0
 * counts as all that the headers of 0.1 know.
 *
 * Waits:   never.
 * Threads: any.
 * Owns:    *ret is the caller's.
 * Returns: WEIR_OK, WEIR_INVAL (the pool's jobs are not isolated).
 */
WEIR_API WEIR_NODISCARD weir_status
weir_pool_get_isolate_stats(weir_pool *pool, weir_isolate_stats *ret);

#ifdef __cplusplus
}
#endif

#endif
