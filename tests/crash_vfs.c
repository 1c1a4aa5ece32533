/*
 * The VFS of crash_vfs.h.
 *
 * Design: a node for each watched file holds its durable bytes and the changes
 * since, in order; a clock of changes orders them over all files.  Reads,
 * locks and shared memory are the unix VFS's own, on real files, so what
 * SQLite sees while it runs is nothing new.
 *
 * Locking: mu guards the nodes and everything else here, and is held over the
 * hook.  The thread in the hook may come back with files that are not watched;
 * whether one is, is decided without mu, by its path.
 */
#include "crash_vfs.h"

#include <fcntl.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	SECTOR = 512,
	FOLDER_MAX = 200,
};

/* A write, or, without data, a truncation to offset. */
struct change {
	uint64_t time;
	size_t offset, len;
	unsigned char *data;
};

struct bytes {
	unsigned char *data;
	size_t len, cap;
};

struct node {
	struct node *next;
	char *path; /* as SQLite gives it */
	bool gone;  /* deleted; a power loss may bring it back */
	bool filed; /* its folder knows it for good */
	struct bytes durable;
	struct change *changes;
	size_t change_count, change_cap;
};

struct crash_file {
	sqlite3_file base;
	struct node *node;
	sqlite3_file *real; /* behind this struct */
};

static struct {
	/* fixed once registered */
	sqlite3_vfs vfs, *unix_vfs;

	/* set while no watched file is open */
	char folder[FOLDER_MAX];

	pthread_mutex_t mu;
	/* guarded by mu */
	struct node *nodes;
	crash_hook *hook;
	void *user;
	uint64_t time, calls;
	uint64_t fail_after, fail_left, failed;
	int fail_code;
} crash = {.mu = PTHREAD_MUTEX_INITIALIZER};

static void *
must(void *memory)
{
	if (!memory)
		abort();
	return memory;
}

static void
bytes_resize(struct bytes *b, size_t len)
{
	if (len > b->cap) {
		b->cap = len * 2;
		b->data = must(realloc(b->data, b->cap));
	}
	if (len > b->len)
		memset(b->data + b->len, 0, len - b->len);
	b->len = len;
}

static void
bytes_write(struct bytes *b, size_t offset, const unsigned char *data,
	    size_t len)
{
	if (offset + len > b->len)
		bytes_resize(b, offset + len);
	if (len > 0)
		memcpy(b->data + offset, data, len);
}

static void
bytes_apply(struct bytes *b, const struct change *change)
{
	if (change->data)
		bytes_write(b, change->offset, change->data, change->len);
	else if (change->offset < b->len)
		bytes_resize(b, change->offset);
}

static void
node_forget_changes(struct node *node)
{
	for (size_t i = 0; i < node->change_count; i++)
		free(node->changes[i].data);
	node->change_count = 0;
}

static void
node_free(struct node *node)
{
	node_forget_changes(node);
	free(node->changes);
	free(node->durable.data);
	free(node->path);
	free(node);
}

/* What was there before it was watched is on the disk. */
static void
node_load(struct node *node)
{
	FILE *in = fopen(node->path, "re");
	unsigned char part[4096];
	size_t len;

	if (!in)
		return;
	node->filed = true;
	while ((len = fread(part, 1, sizeof(part), in)) > 0)
		bytes_write(&node->durable, node->durable.len, part, len);
	(void)fclose(in);
}

/* The node of a file that is there, made if there is none. */
static struct node *
node_of_locked(const char *path)
{
	struct node *node = crash.nodes;

	while (node && (node->gone || strcmp(node->path, path)))
		node = node->next;
	if (node)
		return node;
	node = must(calloc(1, sizeof(*node)));
	node->path = must(strdup(path));
	node_load(node);
	node->next = crash.nodes;
	crash.nodes = node;
	return node;
}

/* The folder has been synced: what was deleted is no more. */
static void
bury_the_gone_locked(void)
{
	for (struct node **at = &crash.nodes, *node; (node = *at);) {
		if (!node->gone) {
			at = &node->next;
			continue;
		}
		*at = node->next;
		node_free(node);
	}
}

static void
node_change_locked(struct node *node, size_t offset, const void *data,
		   size_t len)
{
	struct change *change;

	if (node->change_count == node->change_cap) {
		node->change_cap = node->change_cap ? node->change_cap * 2 : 16;
		node->changes = must(
			realloc(node->changes,
				node->change_cap * sizeof(*node->changes)));
	}
	change = &node->changes[node->change_count++];
	*change = (struct change){.time = ++crash.time, .offset = offset};
	if (!data)
		return;
	change->len = len;
	change->data = must(malloc(len ? len : 1));
	memcpy(change->data, data, len);
}

static void
node_sync_locked(struct node *node)
{
	for (size_t i = 0; i < node->change_count; i++)
		bytes_apply(&node->durable, &node->changes[i]);
	node_forget_changes(node);
	if (!node->filed)
		bury_the_gone_locked();
	node->filed = true;
}

/* A call is about to be made.  Not SQLITE_OK: it is to fail. */
static int
call_locked(bool writes)
{
	crash.calls++;
	if (crash.hook)
		crash.hook(crash.user);
	if (!crash.fail_left || (crash.fail_code == SQLITE_FULL && !writes))
		return SQLITE_OK;
	if (crash.fail_after) {
		crash.fail_after--;
		return SQLITE_OK;
	}
	crash.fail_left--;
	crash.failed++;
	return crash.fail_code;
}

static struct crash_file *
of(sqlite3_file *file)
{
	return (struct crash_file *)file;
}

static int
crash_close(sqlite3_file *file)
{
	return of(file)->real->pMethods->xClose(of(file)->real);
}

static int
crash_read(sqlite3_file *file, void *to, int len, sqlite3_int64 offset)
{
	return of(file)->real->pMethods->xRead(of(file)->real, to, len, offset);
}

static int
crash_write(sqlite3_file *file, const void *from, int len, sqlite3_int64 offset)
{
	struct crash_file *f = of(file);
	int status;

	(void)pthread_mutex_lock(&crash.mu);
	status = call_locked(true);
	if (status == SQLITE_OK)
		status = f->real->pMethods->xWrite(f->real, from, len, offset);
	if (status == SQLITE_OK)
		node_change_locked(f->node, (size_t)offset, from, (size_t)len);
	(void)pthread_mutex_unlock(&crash.mu);
	return status;
}

static int
crash_truncate(sqlite3_file *file, sqlite3_int64 size)
{
	struct crash_file *f = of(file);
	int status;

	(void)pthread_mutex_lock(&crash.mu);
	status = call_locked(true);
	if (status == SQLITE_OK)
		status = f->real->pMethods->xTruncate(f->real, size);
	if (status == SQLITE_OK)
		node_change_locked(f->node, (size_t)size, NULL, 0);
	(void)pthread_mutex_unlock(&crash.mu);
	return status;
}

/* The real file needs none: nobody pulls our plug. */
static int
crash_sync(sqlite3_file *file, int flags)
{
	int status;

	(void)flags;
	(void)pthread_mutex_lock(&crash.mu);
	status = call_locked(false);
	if (status == SQLITE_OK)
		node_sync_locked(of(file)->node);
	(void)pthread_mutex_unlock(&crash.mu);
	return status;
}

static int
crash_size(sqlite3_file *file, sqlite3_int64 *ret)
{
	return of(file)->real->pMethods->xFileSize(of(file)->real, ret);
}

static int
crash_lock(sqlite3_file *file, int level)
{
	return of(file)->real->pMethods->xLock(of(file)->real, level);
}

static int
crash_unlock(sqlite3_file *file, int level)
{
	return of(file)->real->pMethods->xUnlock(of(file)->real, level);
}

static int
crash_reserved(sqlite3_file *file, int *ret)
{
	return of(file)->real->pMethods->xCheckReservedLock(of(file)->real,
							    ret);
}

/* Whatever would write past us is not wanted. */
static int
crash_control(sqlite3_file *file, int op, void *arg)
{
	if (op == SQLITE_FCNTL_SIZE_HINT || op == SQLITE_FCNTL_CHUNK_SIZE)
		return SQLITE_OK;
	if (op == SQLITE_FCNTL_MMAP_SIZE)
		return SQLITE_NOTFOUND;
	return of(file)->real->pMethods->xFileControl(of(file)->real, op, arg);
}

static int
crash_sector(sqlite3_file *file)
{
	return of(file)->real->pMethods->xSectorSize(of(file)->real);
}

static int
crash_device(sqlite3_file *file)
{
	return of(file)->real->pMethods->xDeviceCharacteristics(of(file)->real);
}

static int
crash_shm_map(sqlite3_file *file, int page, int size, int extend,
	      void volatile **ret)
{
	return of(file)->real->pMethods->xShmMap(of(file)->real, page, size,
						 extend, ret);
}

static int
crash_shm_lock(sqlite3_file *file, int offset, int n, int flags)
{
	return of(file)->real->pMethods->xShmLock(of(file)->real, offset, n,
						  flags);
}

static void
crash_shm_barrier(sqlite3_file *file)
{
	of(file)->real->pMethods->xShmBarrier(of(file)->real);
}

static int
crash_shm_unmap(sqlite3_file *file, int delete)
{
	return of(file)->real->pMethods->xShmUnmap(of(file)->real, delete);
}

/* Version 2: without memory maps, in which a write is nothing to be seen. */
static const sqlite3_io_methods methods = {
	.iVersion = 2,
	.xClose = crash_close,
	.xRead = crash_read,
	.xWrite = crash_write,
	.xTruncate = crash_truncate,
	.xSync = crash_sync,
	.xFileSize = crash_size,
	.xLock = crash_lock,
	.xUnlock = crash_unlock,
	.xCheckReservedLock = crash_reserved,
	.xFileControl = crash_control,
	.xSectorSize = crash_sector,
	.xDeviceCharacteristics = crash_device,
	.xShmMap = crash_shm_map,
	.xShmLock = crash_shm_lock,
	.xShmBarrier = crash_shm_barrier,
	.xShmUnmap = crash_shm_unmap,
};

static bool
is_watched(const char *path)
{
	size_t len = strlen(crash.folder);

	return len > 0 && path && !strncmp(path, crash.folder, len) &&
	       path[len] == '/';
}

static int
crash_open(sqlite3_vfs *vfs, const char *path, sqlite3_file *file, int flags,
	   int *ret_flags)
{
	struct crash_file *f = of(file);
	struct node *node;
	int status;

	(void)vfs;
	if (!is_watched(path))
		return crash.unix_vfs->xOpen(crash.unix_vfs, path, file, flags,
					     ret_flags);
	f->base.pMethods = NULL;
	f->real = (sqlite3_file *)(void *)(f + 1);
	(void)pthread_mutex_lock(&crash.mu);
	node = node_of_locked(path);
	status = crash.unix_vfs->xOpen(crash.unix_vfs, path, f->real, flags,
				       ret_flags);
	if (status == SQLITE_OK) {
		f->node = node;
		f->base.pMethods = &methods;
	}
	(void)pthread_mutex_unlock(&crash.mu);
	return status;
}

static int
crash_delete(sqlite3_vfs *vfs, const char *path, int sync_folder)
{
	int status;

	(void)vfs;
	if (!is_watched(path))
		return crash.unix_vfs->xDelete(crash.unix_vfs, path,
					       sync_folder);
	(void)pthread_mutex_lock(&crash.mu);
	status = call_locked(false);
	if (status == SQLITE_OK)
		status = crash.unix_vfs->xDelete(crash.unix_vfs, path, 0);
	if (status == SQLITE_OK)
		node_of_locked(path)->gone = true;
	if (status == SQLITE_OK && sync_folder)
		bury_the_gone_locked();
	(void)pthread_mutex_unlock(&crash.mu);
	return status;
}

static void
crash_register(void)
{
	crash.unix_vfs = sqlite3_vfs_find("unix");
	if (!crash.unix_vfs)
		abort();
	crash.vfs = *crash.unix_vfs;
	crash.vfs.zName = "weir-crash";
	crash.vfs.pNext = NULL;
	crash.vfs.szOsFile += (int)sizeof(struct crash_file);
	crash.vfs.xOpen = crash_open;
	crash.vfs.xDelete = crash_delete;
	if (sqlite3_vfs_register(&crash.vfs, true) != SQLITE_OK)
		abort();
}

void
crash_vfs_watch(const char *folder, crash_hook *hook, void *user)
{
	if (!crash.unix_vfs)
		crash_register();
	(void)pthread_mutex_lock(&crash.mu);
	for (struct node *node = crash.nodes, *next; node; node = next) {
		next = node->next;
		node_free(node);
	}
	crash.nodes = NULL;
	crash.hook = hook;
	crash.user = user;
	crash.fail_left = 0;
	(void)pthread_mutex_unlock(&crash.mu);
	if (snprintf(crash.folder, sizeof(crash.folder), "%s",
		     folder ? folder : "") >= FOLDER_MAX)
		abort();
}

uint64_t
crash_vfs_unsynced(void)
{
	uint64_t sum = 0;

	for (const struct node *node = crash.nodes; node; node = node->next)
		sum += node->change_count;
	return sum;
}

uint64_t
crash_vfs_calls(void)
{
	uint64_t calls;

	(void)pthread_mutex_lock(&crash.mu);
	calls = crash.calls;
	(void)pthread_mutex_unlock(&crash.mu);
	return calls;
}

void
crash_vfs_fail(uint64_t after, uint64_t count, int code)
{
	(void)pthread_mutex_lock(&crash.mu);
	crash.fail_after = after;
	crash.fail_left = count;
	crash.fail_code = code;
	crash.failed = 0;
	(void)pthread_mutex_unlock(&crash.mu);
}

uint64_t
crash_vfs_failed(void)
{
	uint64_t failed;

	(void)pthread_mutex_lock(&crash.mu);
	failed = crash.failed;
	(void)pthread_mutex_unlock(&crash.mu);
	return failed;
}

/* Some sectors of a write. */
static void
bytes_tear(struct bytes *b, const struct change *change, struct weir_rng *rng)
{
	size_t at = 0;

	while (at < change->len) {
		size_t len = SECTOR - (change->offset + at) % SECTOR;

		if (len > change->len - at)
			len = change->len - at;
		if (weir__rng_below(rng, 2))
			bytes_write(b, change->offset + at, change->data + at,
				    len);
		at += len;
	}
}

/* What a power loss leaves of one change. */
static void
bytes_survive(struct bytes *b, const struct change *change,
	      enum crash_keep keep, uint64_t until, struct weir_rng *rng)
{
	bool whole = keep == CRASH_ALL || change->time < until;

	if (keep == CRASH_SUBSET)
		whole = weir__rng_below(rng, 2);
	if (whole)
		bytes_apply(b, change);
	else if (change->data &&
		 (keep == CRASH_SUBSET || change->time == until))
		bytes_tear(b, change, rng);
}

static void
node_image(const struct node *node, const char *to, enum crash_keep keep,
	   uint64_t until, struct weir_rng *rng)
{
	static struct bytes image; /* kept: guarded by mu */
	char path[2 * FOLDER_MAX];
	const char *name = strrchr(node->path, '/') + 1;
	int fd;

	image.len = 0;
	bytes_write(&image, 0, node->durable.data, node->durable.len);
	for (size_t i = 0; i < node->change_count; i++)
		bytes_survive(&image, &node->changes[i], keep, until, rng);
	if (snprintf(path, sizeof(path), "%s/%s", to, name) >=
	    (int)sizeof(path))
		abort();
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0 || write(fd, image.data, image.len) != (ssize_t)image.len ||
	    close(fd) < 0)
		abort();
}

/* Does it come back, or stay, although its folder was not synced? */
static bool
is_filed(const struct node *node, enum crash_keep keep, struct weir_rng *rng)
{
	bool there = !node->gone;

	if (node->gone || !node->filed)
		there = keep == CRASH_ALL    ? !node->gone
			: keep == CRASH_NONE ? node->filed
					     : weir__rng_below(rng, 2);
	return there;
}

void
crash_vfs_image(const char *to, enum crash_keep keep, struct weir_rng *rng)
{
	uint64_t oldest = crash.time + 1, until = 0;

	for (const struct node *node = crash.nodes; node; node = node->next)
		if (node->change_count && node->changes[0].time < oldest)
			oldest = node->changes[0].time;
	if (keep == CRASH_PREFIX)
		until = oldest + weir__rng_below(rng, crash.time + 2 - oldest);
	(void)mkdir(to, 0700);
	/* The newest of a path comes first, and is what a later one gives
	 * way to. */
	for (const struct node *node = crash.nodes; node; node = node->next) {
		char path[2 * FOLDER_MAX];

		(void)snprintf(path, sizeof(path), "%s/%s", to,
			       strrchr(node->path, '/') + 1);
		if (is_filed(node, keep, rng) && access(path, F_OK) < 0)
			node_image(node, to, keep, until, rng);
	}
}
