/*
 * The allocator of refuse.h.
 *
 * Design: the functions are exported, which -fvisibility=hidden would not have
 * them be, so that shared libraries are given these, too.
 */
#include "refuse.h"

#include <stdatomic.h>
#include <stdlib.h>

#if REFUSE_WORKS

#if defined(__SANITIZE_ADDRESS__)
#define REAL(name) __interceptor_##name
#else
#define REAL(name) __libc_##name
#endif
extern void *REAL(malloc)(size_t size);
extern void *REAL(calloc)(size_t n, size_t size);
extern void *REAL(realloc)(void *memory, size_t size);

#define EXPORTED __attribute__((visibility("default")))

static atomic_bool armed, refuse_all;
static atomic_long left, asked, refused;

/* For a debugger: here is who has asked. */
__attribute__((noinline)) static void
refuse_hit(void)
{
	atomic_fetch_add(&refused, 1);
}

static bool
is_refused(void)
{
	long before;

	if (!atomic_load(&armed))
		return false;
	atomic_fetch_add(&asked, 1);
	before = atomic_fetch_sub(&left, 1);
	if (before > 1 || (before < 1 && !atomic_load(&refuse_all)))
		return false;
	refuse_hit();
	return true;
}

EXPORTED void *
malloc(size_t size)
{
	return is_refused() ? NULL : REAL(malloc)(size);
}

EXPORTED void *
calloc(size_t n, size_t size)
{
	return is_refused() ? NULL : REAL(calloc)(n, size);
}

EXPORTED void *
realloc(void *old, size_t size)
{
	return is_refused() ? NULL : REAL(realloc)(old, size);
}

void
refuse_arm(long nth, bool all)
{
	atomic_store(&left, nth);
	atomic_store(&asked, 0);
	atomic_store(&refused, 0);
	atomic_store(&refuse_all, all);
	atomic_store(&armed, true);
}

long
refuse_disarm(void)
{
	atomic_store(&armed, false);
	return atomic_load(&refused);
}

long
refuse_asked(void)
{
	return atomic_load(&asked);
}

#else

void
refuse_arm(long nth, bool all)
{
	(void)nth;
	(void)all;
}

long
refuse_disarm(void)
{
	return 0;
}

long
refuse_asked(void)
{
	return 0;
}

#endif
