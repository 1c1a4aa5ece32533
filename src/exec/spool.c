/*
 * Bytes that wait, see spool.h.
 *
 * Design.  Bytes go to memory until the budget refuses, and from then on to
 * the file, also when there is room again: that way the order is plain, first
 * memory, then file.
 *
 *      0              memory.len                        len
 *      |--- memory ---|------------- file --------------|
 *                     ^ offset 0 of the file
 *
 * The budget is charged for what was taken from the allocator, not for what is
 * in it: thousands of spools with a few bytes each cost more than their bytes.
 * Only when it is known how much that is, memory has been taken already; the
 * budget may therefore be overdrawn by as much as a buffer grows at a time.
 *
 * Locking: none; the budget is atomic.  Its adds and subs are relaxed, because
 * nothing else is published through it.
 */
#include "exec/spool.h"

#include "base/assert.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char *
weir__spool_dir(void)
{
	const char *dir = getenv("TMPDIR");

	return dir && *dir ? dir : "/tmp";
}

/* Where O_TMPFILE is not known: a name for the blink of an eye. */
static int
make_named(const char *dir)
{
	char *path = NULL;
	int fd;

	if (asprintf(&path, "%s/weir-XXXXXX", dir) < 0) {
		errno = ENOMEM;
		return -1;
	}
	fd = mkostemp(path, O_CLOEXEC);
	if (fd >= 0)
		(void)unlink(path);
	free(path);
	return fd;
}

static int
make_file(void)
{
	const char *dir = weir__spool_dir();
	int fd = open(dir, O_TMPFILE | O_RDWR | O_EXCL | O_CLOEXEC, 0600);

	/* EISDIR: a kernel that knows no O_TMPFILE; see open(2). */
	if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR))
		fd = make_named(dir);
	return fd;
}

static int
append_file(struct weir_spool *spool, const char *data, size_t len)
{
	if (spool->file == 0) {
		int fd = make_file();

		if (fd < 0)
			return errno;
		spool->file = fd + 1;
	}
	while (len > 0) {
		off_t at = (off_t)(spool->len - spool->memory.len);
		ssize_t done = pwrite(spool->file - 1, data, len, at);

		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			return done < 0 ? errno : EIO;
		spool->len += (uint64_t)done;
		data += done;
		len -= (size_t)done;
	}
	return 0;
}

/* Memory for len more bytes, if the budget has that much. */
static bool
reserve_memory(struct weir_spool *spool, size_t len)
{
	struct weir_spool_budget *budget = spool->budget;
	struct weir_buf *memory = &spool->memory;
	uint64_t grown;

	if (spool->file)
		return false;
	if (len < memory->cap - memory->len)
		return true;
	if (weir__u64_load(&budget->used, WEIR_RELAXED) + len > budget->max)
		return false;
	if (!weir__buf_reserve(memory, len)) {
		/* The file takes it, and what was there is whole. */
		memory->failed = false;
		return false;
	}
	grown = memory->cap - spool->charged;
	spool->charged = memory->cap;
	weir__u64_add(&budget->used, grown, WEIR_RELAXED);
	return true;
}

int
weir__spool_append(struct weir_spool *spool, const void *data, size_t len)
{
	weir_assert(spool->budget);
	if (len == 0)
		return 0;
	if (!reserve_memory(spool, len))
		return append_file(spool, data, len);
	weir__buf_append(&spool->memory, data, len);
	spool->len += len;
	return 0;
}

long
weir__spool_read(struct weir_spool *spool, void *data, size_t size)
{
	uint64_t in_memory = spool->memory.len, left;
	ssize_t done;

	weir_assert(spool->read <= spool->len);
	if (spool->read < in_memory) {
		left = in_memory - spool->read;
		if (size > left)
			size = (size_t)left;
		memcpy(data, spool->memory.data + spool->read, size);
		spool->read += size;
		return (long)size;
	}
	left = spool->len - spool->read;
	if (size > left)
		size = (size_t)left;
	if (size == 0)
		return 0;
	do {
		done = pread(spool->file - 1, data, size,
			     (off_t)(spool->read - in_memory));
	} while (done < 0 && errno == EINTR);
	/* A file that nobody else can reach has become shorter. */
	if (done == 0) {
		errno = EIO;
		return -1;
	}
	if (done > 0)
		spool->read += (uint64_t)done;
	return (long)done;
}

long
weir__spool_tail(const struct weir_spool *spool, void *data, size_t size)
{
	/* A second reader of the same bytes, which owns nothing. */
	struct weir_spool reader = *spool;
	char *to = data;
	size_t len = spool->len < size ? (size_t)spool->len : size, done = 0;
	long got = 1;

	weir_assert(spool->read == 0);
	reader.read = spool->len - len;
	while (done < len && got > 0) {
		got = weir__spool_read(&reader, to + done, len - done);
		if (got > 0)
			done += (size_t)got;
	}
	return got < 0 ? got : (long)done;
}

void
weir__spool_move(struct weir_spool *dest, struct weir_spool *from)
{
	*dest = *from;
	*from = (struct weir_spool){.budget = dest->budget};
}

void
weir__spool_fini(struct weir_spool *spool)
{
	if (spool->file)
		(void)close(spool->file - 1);
	if (spool->charged)
		weir__u64_sub(&spool->budget->used, spool->charged,
			      WEIR_RELAXED);
	weir__buf_fini(&spool->memory);
	*spool = (struct weir_spool){.budget = spool->budget};
}
