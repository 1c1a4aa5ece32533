/*
 * The jobserver of a GNU make that started us: with each token one more job
 * may run, besides the first, which needs none.
 *
 * Protocol: GNU make's manual, "POSIX Jobserver Interaction".  MAKEFLAGS has
 * --jobserver-auth=R,W (two descriptors of a pipe) or fifo:PATH, in older ones
 * --jobserver-fds.  A token is a byte that is read, and written back when the
 * job is over: the same byte.  The pipe is shared, so it is opened anew for
 * reading without waiting.
 *
 * Threads: one at a time.
 */
#ifndef WEIR_SRC_EXEC_JOBSERVER_H
#define WEIR_SRC_EXEC_JOBSERVER_H

#include <stdbool.h>
#include <stdint.h>
#include <weir/base.h>

struct weir_jobserver;

/* WEIR_OK; WEIR_INVAL (no jobserver in makeflags), WEIR_SYSTEM, WEIR_NOMEM. */
WEIR_NODISCARD weir_status weir__jobserver_open(struct weir_jobserver **out,
						const char *makeflags,
						weir_error *reterr);
/* All tokens go back. */
struct weir_jobserver *weir__jobserver_close(struct weir_jobserver *js);

/* May one more run?  Takes a token if one is needed and there. */
bool weir__jobserver_take(struct weir_jobserver *js);
/* One of those has ended. */
void weir__jobserver_give(struct weir_jobserver *js);
/* To wait for a token. */
int weir__jobserver_fd(const struct weir_jobserver *js);

#endif
