/*
 * Bytes that wait: in memory while they are few, else in a file without a
 * name.
 *
 * All spools that share a budget hold at most so many bytes in memory between
 * them; what comes on top goes into a temporary file of the spool's own, made
 * in TMPDIR (or /tmp) and unlinked at once.  A spool is appended to, then
 * moved, then read from its beginning, once.
 *
 * Threads: a spool is one thread's at a time; a budget is everybody's.
 */
#ifndef WEIR_SRC_EXEC_SPOOL_H
#define WEIR_SRC_EXEC_SPOOL_H

#include "base/buf.h"
#include "sync/atomic.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct weir_spool_budget {
	uint64_t max;
	struct weir_u64 used;
};

/* A zeroed one is empty; set budget before the first byte. */
struct weir_spool {
	struct weir_spool_budget *budget;
	struct weir_buf memory;
	uint64_t len;     /* bytes in it altogether: memory first, then file */
	uint64_t charged; /* of the budget */
	int file;         /* descriptor + 1; 0: none */
	uint64_t read;    /* how far weir__spool_read() has come */
};

/*
 * Append.  0, or the errno of a temporary file that cannot be made or written
 * (ENOSPC); nothing of the bytes is lost that was appended before.
 */
int weir__spool_append(struct weir_spool *spool, const void *data, size_t len);

/* The next bytes, up to size; 0 at the end; -1 with errno. */
long weir__spool_read(struct weir_spool *spool, void *data, size_t size);

/*
 * The last bytes, up to size, of a spool that has not been read; it is as it
 * was after that.  How many; -1 with errno.
 */
long weir__spool_tail(const struct weir_spool *spool, void *data, size_t size);

/* All of it moves to dest, which is overwritten; from is empty then. */
void weir__spool_move(struct weir_spool *dest, struct weir_spool *from);

/* Gives back memory, budget and file; it is empty then, and of use again. */
void weir__spool_fini(struct weir_spool *spool);

/* Where the files are made, for messages. */
const char *weir__spool_dir(void);

#endif
