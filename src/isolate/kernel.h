/*
 * System calls that the C library has no function for.  The one file outside
 * of src/sync that makes any by number.
 */
#ifndef WEIR_SRC_ISOLATE_KERNEL_H
#define WEIR_SRC_ISOLATE_KERNEL_H

#include <stdint.h>
#include <sys/types.h>

/*
 * Like fork(), from a process with one thread, but wait() for any child does
 * not see it: a program that waits for all of its children would otherwise
 * wait for this one as well.  Under ThreadSanitizer it is fork().
 */
pid_t weir__kernel_fork_quiet(void);

/* The version of landlock, 0 if the kernel has none. */
int weir__kernel_landlock_version(void);

/*
 * From here on this thread may do nothing of access_fs to files; 0, or -1 and
 * errno.  It must not be able to gain privileges any more.
 */
int weir__kernel_landlock_deny(uint64_t access_fs);

#endif
