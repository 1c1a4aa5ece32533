/*
 * The files of a store, and the bell by which processes wake each other.
 *
 * Design.  Beside PATH stands PATH-weir, the sidecar, which is never read: who
 * commits what others may wait for writes a byte into it, and inotify tells
 * whoever watches.  That costs the ringer one system call, needs no memory
 * that a wild write could damage, and works for as many watchers as there are.
 * A lock on the database itself (flock) was rejected for "alone": closing a
 * second descriptor of that file would drop SQLite's own locks.
 *
 * Locking: none; a descriptor of wake_fd belongs to who asked for it.
 */
#include "queue/sqlite.h"

#include "base/assert.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

static weir_status
fail(weir_error *reterr, weir_status status, const char *what)
{
	return weir__queue_error(reterr, status, errno, "%s: %s", what,
				 strerror(errno));
}

/* The folder of path, in folder. */
static void
folder_of(const char *path, char folder[PATH_MAX])
{
	const char *slash = strrchr(path, '/');

	snprintf(folder, PATH_MAX, "%.*s",
		 slash ? (int)(slash - path + (slash == path)) : 1,
		 slash ? path : ".");
}

/* A file that is there after a power loss is in its folder, too. */
static int
sync_folder(const char *path)
{
	char folder[PATH_MAX];
	int fd, failed = 0;

	folder_of(path, folder);
	fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return errno;
	if (fsync(fd) != 0)
		failed = errno;
	(void)close(fd);
	return failed;
}

weir_status
weir__sqlite_make_file(const char *path, weir_error *reterr)
{
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
		      0600);

	if (fd < 0 && errno == EEXIST)
		return WEIR_OK;
	if (fd < 0)
		return fail(reterr, WEIR_SYSTEM, "cannot make it");
	(void)close(fd);
	errno = sync_folder(path);
	return errno ? fail(reterr, WEIR_SYSTEM, "cannot make it") : WEIR_OK;
}

/* Could anybody put another file in its place? */
static bool
folder_is_open(const char *path)
{
	char folder[PATH_MAX];
	struct stat st;

	folder_of(path, folder);
	return stat(folder, &st) == 0 && (st.st_mode & S_IWOTH) &&
	       !(st.st_mode & S_ISVTX);
}

weir_status
weir__sqlite_check_file(struct weir_sqlite *store, const char *path,
			weir_error *reterr)
{
	struct stat st;

	if (lstat(path, &st) != 0)
		return fail(reterr,
			    errno == ENOENT || errno == ENOTDIR ? WEIR_NOTFOUND
								: WEIR_SYSTEM,
			    "cannot open it");
	if (!S_ISREG(st.st_mode))
		return weir__queue_error(reterr, WEIR_FOREIGN, 0,
					 "not a regular file");
	if (folder_is_open(path))
		return weir__queue_error(
			reterr, WEIR_SYSTEM, EACCES,
			"its folder can be written by anybody");
	if (access(path, R_OK) != 0)
		return fail(reterr, WEIR_SYSTEM, "cannot open it");
	store->device = st.st_dev;
	store->inode = st.st_ino;
	return WEIR_OK;
}

int
weir__sqlite_open_sidecar(const struct weir_sqlite *store)
{
	int flags = O_CREAT | O_NOFOLLOW | O_CLOEXEC;

	return open(store->bell_path, O_RDWR | flags, 0600);
}

int
weir__sqlite_wake_fd(weir_store *store)
{
	struct weir_sqlite *sqlite = weir__sqlite_of(store);
	int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);

	if (fd >= 0 &&
	    inotify_add_watch(fd, sqlite->bell_path, IN_MODIFY) < 0) {
		(void)close(fd);
		fd = -1;
	}
	return fd;
}

void
weir__sqlite_hush(weir_store *store, int fd)
{
	char events[4096];

	(void)store;
	weir_assert(fd >= 0);
	while (read(fd, events, sizeof(events)) > 0)
		;
}

void
weir__sqlite_wake(weir_store *store)
{
	struct weir_sqlite *sqlite = weir__sqlite_of(store);
	static const char ring = '!';

	/* On a full disk nobody hears it, and finds out when it looks. */
	if (sqlite->bell_fd >= 0 &&
	    pwrite(sqlite->bell_fd, &ring, sizeof(ring), 0) < 0)
		return;
}
