/*
 * Power loss for SQLite: a VFS that knows what is on the disk and what is only
 * on its way there.
 *
 * It stands in front of the unix VFS and passes all on.  Of the files in one
 * folder it also keeps the bytes that were there at their last sync, and each
 * write and truncation since.  From these it makes an image of the folder as a
 * machine may find it that lost its power just then:
 *
 *      none    of what came since the syncs
 *      all     of it
 *      prefix  of it, in the order in which it was asked for, over all files
 *      subset  any of the writes, and of each write any of its sectors
 *
 * What it believes of a disk: a sync keeps what was written before it; sectors
 * of 512 bytes are written whole or not at all, and nothing beside a write is
 * touched by it (SQLite's POWERSAFE_OVERWRITE, which the unix VFS claims); a
 * file is in its folder once it has been synced, and a deletion is kept once
 * anything was that needed the folder's sync.
 *
 * It also fails calls on demand.
 */
#ifndef WEIR_TESTS_CRASH_VFS_H
#define WEIR_TESTS_CRASH_VFS_H

#include "base/rng.h"

#include <stdbool.h>
#include <stdint.h>

enum crash_keep {
	CRASH_NONE,
	CRASH_ALL,
	CRASH_PREFIX,
	CRASH_SUBSET,
	CRASH_KEEPS
};

/*
 * Called before each write, truncation, sync and deletion of a watched file,
 * on the thread that asks for it; others that want the same wait meanwhile.
 * May make images, and open any database outside of the folder.
 */
typedef void crash_hook(void *user);

/*
 * Watch the files in folder, which has to be an absolute path, from now on;
 * the first call makes this the default VFS of the process.  No file of the
 * folder that was watched before may be open; what was known of it is
 * forgotten.  NULL: watch nothing.
 */
void crash_vfs_watch(const char *folder, crash_hook *hook, void *user);

/* Write an image into the folder `to`, which is made if need be.  From the
 * hook only. */
void crash_vfs_image(const char *to, enum crash_keep keep,
		     struct weir_rng *rng);

/* Writes and truncations that are not on the disk yet.  From the hook only. */
uint64_t crash_vfs_unsynced(void);

/* All writes, truncations, syncs and deletions of watched files so far. */
uint64_t crash_vfs_calls(void);

/*
 * Fail such calls: count of them, after the next `after`, with that code of
 * SQLite's (SQLITE_FULL is for writes only; syncs succeed then).
 */
void crash_vfs_fail(uint64_t after, uint64_t count, int code);

/* How many have failed since. */
uint64_t crash_vfs_failed(void);

#endif
