/*
 * Counts how often a program asks for memory.
 *
 *	LD_PRELOAD=allocations.so BENCH_ALLOCATIONS=FILE PROGRAM...
 *
 * Design.  Stands in front of the C library's allocator, counts, and writes
 * the count to FILE when the program ends.  What a program gets from mmap()
 * by itself is not seen, so this says nothing about Go, which is asked itself.
 * A pool that takes no memory for a job has the same count for J jobs as for
 * 2J.
 *
 * Locking.  One relaxed counter.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);
void *__libc_memalign(size_t alignment, size_t size);
void *memalign(size_t alignment, size_t size);

static atomic_ullong calls;

static void
count_call(void)
{
	atomic_fetch_add_explicit(&calls, 1, memory_order_relaxed);
}

void *
malloc(size_t size)
{
	count_call();
	return __libc_malloc(size);
}

void *
calloc(size_t count, size_t size)
{
	count_call();
	return __libc_calloc(count, size);
}

void *
realloc(void *old, size_t size)
{
	count_call();
	return __libc_realloc(old, size);
}

void *
memalign(size_t alignment, size_t size)
{
	count_call();
	return __libc_memalign(alignment, size);
}

void *
aligned_alloc(size_t alignment, size_t size)
{
	return memalign(alignment, size);
}

int
posix_memalign(void **out, size_t alignment, size_t size)
{
	void *found = memalign(alignment, size);

	if (found == NULL)
		return ENOMEM;
	*out = found;
	return 0;
}

__attribute__((destructor)) static void
write_count(void)
{
	const char *path = getenv("BENCH_ALLOCATIONS");
	unsigned long long found = atomic_load(&calls);
	FILE *file = path == NULL ? NULL : fopen(path, "w");

	if (file == NULL)
		return;
	fprintf(file, "%llu\n", found);
	fclose(file);
}
