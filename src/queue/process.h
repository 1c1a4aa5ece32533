/*
 * Processes, as this machine tells them apart: by its boot, the pid namespace,
 * the pid, and when the process of that number was started.
 *
 * Whoever works a store leaves these beside its name.  Who finds all of them
 * on the same machine, but not the process, need not wait for beats.
 */
#ifndef WEIR_SRC_QUEUE_PROCESS_H
#define WEIR_SRC_QUEUE_PROCESS_H

#include <stdint.h>

#define WEIR_MACHINE_MAX 128

/* This boot, and who sees which processes; "": that is not to be seen. */
void weir__process_machine(char machine[WEIR_MACHINE_MAX]);

/*
 * When a process was started; 0: there is none; -1: that is not to be seen,
 * for want of rights or of descriptors.
 */
int64_t weir__process_started(int64_t pid);

#endif
