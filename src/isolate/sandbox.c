/*
 * The sandbox of a worker's process: landlock for files, seccomp for the rest.
 *
 * Design.  Both only ever take away, and both are inherited by whatever the
 * job starts.  The filter names what is refused rather than what is allowed:
 * jobs are code of the program's own that may go wrong, and a list of all that
 * a C library may call some day would make them go wrong more often.  A call
 * that is refused fails with EPERM.
 */
#include "isolate/sandbox.h"

#include "isolate/kernel.h"

#include <asm/unistd.h>
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <unistd.h>

/* Rights of landlock by the version that brought them; headers may be older. */
#define FS_READ                                                      \
	(LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_READ_FILE | \
	 LANDLOCK_ACCESS_FS_READ_DIR)
#define FS_WRITE                                                         \
	(LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR | \
	 LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_CHAR | \
	 LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG |     \
	 LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO |   \
	 LANDLOCK_ACCESS_FS_MAKE_BLOCK | LANDLOCK_ACCESS_FS_MAKE_SYM)
#define FS_REFER    (UINT64_C(1) << 13) /* 2 */
#define FS_TRUNCATE (UINT64_C(1) << 14) /* 3 */

static bool
landlock_enter(uint32_t flags)
{
	int version = weir__kernel_landlock_version();
	uint64_t deny = FS_WRITE;

	if (version < 1)
		return false;
	if (version >= 2)
		deny |= FS_REFER;
	if (version >= 3)
		deny |= FS_TRUNCATE;
	if (flags & WEIR_SANDBOX_NO_FILES)
		deny |= FS_READ;
	return weir__kernel_landlock_deny(deny) == 0;
}

#if defined(__x86_64__)
#define ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCH AUDIT_ARCH_AARCH64
#endif

#ifdef ARCH
#define LOAD(field) \
	BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define REFUSE BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM)
#define ALLOW  BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)
#define REFUSE_CALL(number) \
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_##number, 0, 1), REFUSE
/* To oneself only: that is how abort() ends a process. */
#define REFUSE_TO_OTHERS(number, self)                            \
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_##number, 0, 4), \
		LOAD(args[0]),                                    \
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, self, 0, 1), ALLOW, REFUSE

static bool
seccomp_enter(void)
{
	uint32_t self = (uint32_t)getpid();
	struct sock_filter code[] = {
		LOAD(arch),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCH, 1, 0),
		REFUSE,
		LOAD(nr),
		/* The other numbers of x86-64. */
		BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 0x40000000, 0, 1),
		REFUSE,
		/* Programs, and other processes. */
		REFUSE_CALL(execve),
		REFUSE_CALL(execveat),
		REFUSE_CALL(ptrace),
		REFUSE_CALL(process_vm_readv),
		REFUSE_CALL(process_vm_writev),
		REFUSE_CALL(pidfd_getfd),
		REFUSE_CALL(pidfd_send_signal),
		REFUSE_CALL(rt_sigqueueinfo),
		REFUSE_TO_OTHERS(kill, self),
		REFUSE_TO_OTHERS(tgkill, self),
		/* The network, and the ways around this filter. */
		REFUSE_CALL(socket),
		REFUSE_CALL(socketpair),
		REFUSE_CALL(connect),
		REFUSE_CALL(bind),
		REFUSE_CALL(listen),
		REFUSE_CALL(io_uring_setup),
		REFUSE_CALL(io_uring_enter),
		/* The system. */
		REFUSE_CALL(mount),
		REFUSE_CALL(umount2),
		REFUSE_CALL(pivot_root),
		REFUSE_CALL(chroot),
		REFUSE_CALL(setns),
		REFUSE_CALL(unshare),
		REFUSE_CALL(reboot),
		REFUSE_CALL(swapon),
		REFUSE_CALL(swapoff),
		REFUSE_CALL(sethostname),
		REFUSE_CALL(setdomainname),
		REFUSE_CALL(settimeofday),
		REFUSE_CALL(clock_settime),
		REFUSE_CALL(init_module),
		REFUSE_CALL(finit_module),
		REFUSE_CALL(delete_module),
		REFUSE_CALL(kexec_load),
		REFUSE_CALL(bpf),
		REFUSE_CALL(perf_event_open),
		REFUSE_CALL(userfaultfd),
		REFUSE_CALL(open_by_handle_at),
		REFUSE_CALL(keyctl),
		REFUSE_CALL(add_key),
		REFUSE_CALL(request_key),
		ALLOW,
	};
	struct sock_fprog program = {
		.len = sizeof(code) / sizeof(code[0]),
		.filter = code,
	};

	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}
#else
static bool
seccomp_enter(void)
{
	return false;
}
#endif

bool
weir__sandbox_enter(uint32_t flags, uint32_t *ret_active)
{
	uint32_t files =
		flags & (WEIR_SANDBOX_READ_ONLY | WEIR_SANDBOX_NO_FILES);
	uint32_t active = 0;

	if (files && landlock_enter(flags))
		active |= files;
	if ((flags & WEIR_SANDBOX_NO_SYSTEM) && seccomp_enter())
		active |= WEIR_SANDBOX_NO_SYSTEM;
	*ret_active = active;
	return !(flags & WEIR_SANDBOX_REQUIRED) ||
	       active == (flags & ~WEIR_SANDBOX_REQUIRED);
}
