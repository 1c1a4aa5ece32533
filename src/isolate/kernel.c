/*
 * System calls by number; see kernel.h.
 */
#include "isolate/kernel.h"

#include <errno.h>
#include <linux/landlock.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__SANITIZE_THREAD__)
#define UNDER_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define UNDER_TSAN 1
#endif
#endif

pid_t
weir__kernel_fork_quiet(void)
{
#ifdef UNDER_TSAN
	return fork(); /* it has locks of its own, and a thread */
#else
	/* No flags, and no signal at its end: that is what hides it. */
	return (pid_t)syscall(SYS_clone, 0UL, NULL, NULL, NULL, NULL);
#endif
}

int
weir__kernel_landlock_version(void)
{
	long version = syscall(SYS_landlock_create_ruleset, NULL, 0,
			       LANDLOCK_CREATE_RULESET_VERSION);

	return version > 0 ? (int)version : 0;
}

int
weir__kernel_landlock_deny(uint64_t access_fs)
{
	struct landlock_ruleset_attr attr = {.handled_access_fs = access_fs};
	int rules = (int)syscall(SYS_landlock_create_ruleset, &attr,
				 sizeof(attr), 0);
	int failed, saved;

	if (rules < 0)
		return -1;
	failed = syscall(SYS_landlock_restrict_self, rules, 0) != 0 ? -1 : 0;
	saved = errno;
	close(rules);
	errno = saved;
	return failed;
}
