#!/bin/sh
# The rules of the house that a grep can check.
set -u
cd "${WEIR_SOURCE:?}" || exit 1

number=0

# forbid WHAT PATTERN PATHS...: no line of these files matches.
forbid() {
	what=$1
	pattern=$2
	shift 2
	number=$((number + 1))
	if found=$(grep -nE -r --include='*.c' --include='*.h' "$pattern" "$@" |
		grep -v -e '^src/sync/' -e '^src/isolate/kernel\.c:'); then
		echo "not ok $number - $what"
		printf '%s\n' "$found" | sed 's/^/# /'
	else
		echo "ok $number - $what"
	fi
}

# What threads, atomics, futexes and clocks are reached by.  (src/isolate/kernel.c
# is where system calls of other kinds are made by number.)
shim='<(stdatomic|pthread|threads|semaphore|linux/futex|sys/syscall|sys/timerfd)\.h>'
shim="$shim|_Atomic\b|\batomic_(load|store|exchange|fetch|compare|thread|signal|init|flag)"
shim="$shim|__atomic_|__sync_|_Thread_local|\b__thread\b"
shim="$shim|\bpthread_|\b(thrd|mtx|cnd|tss)_[a-z]+ *\(|\bsem_(wait|post|init)"
shim="$shim|\b(clock_gettime|clock_nanosleep|gettimeofday|timespec_get) *\("
shim="$shim|[^_[:alnum:]]time *\( *(NULL|&|0)|\bsyscall *\(|__builtin_ia32_(rdtsc|pause)"
forbid 'only src/sync touches atomics, threads, futexes and clocks' "$shim" \
	src include

# A rule that sees nothing would never be broken.
number=$((number + 1))
blind=
while read -r line; do
	printf '%s\n' "$line" | grep -qE "$shim" || blind="$blind [$line]"
done <<'END'
#include <stdatomic.h>
#include <pthread.h>
#include <linux/futex.h>
_Atomic int n;
n = atomic_load_explicit(&a, memory_order_relaxed);
__atomic_store_n(&a, 1, __ATOMIC_SEQ_CST);
__sync_fetch_and_add(&a, 1);
static __thread int mine;
pthread_mutex_lock(&mu);
mtx_lock(&mu);
sem_post(&sem);
clock_gettime(CLOCK_MONOTONIC, &now);
now = time(NULL);
syscall(SYS_futex, word, op);
END
if [ -z "$blind" ]; then
	echo "ok $number - that rule sees each way to break it"
else
	echo "not ok $number - that rule sees each way to break it:$blind"
fi

forbid 'libweir does not print' \
	'\b(f?printf|puts|fputs|putchar|perror|syslog) *\(' \
	src/core src/sync src/isolate
forbid 'libweir does not end the process, but for its own broken invariants' \
	'(^|[^.>_[:alnum:]])(exit|_exit|quick_exit|abort) *\(' src/core src/sync
forbid 'nothing sleeps to wait for a state' \
	'\b(usleep|nanosleep|sched_yield) *\(|[^_]\bsleep *\(' \
	src/core src/sync src/isolate src/lines src/exec src/fetch src/queue \
	src/pg tests
forbid 'nothing is left to do' '\b(TODO|FIXME|XXX|HACK)\b' \
	src include tests examples
forbid 'no function is called that does not know how large its buffer is' \
	'\b(gets|sprintf|vsprintf|strcat|strncpy) *\(' \
	src/core src/isolate src/lines src/exec src/fetch src/queue src/cli \
	src/base src/pg
forbid 'core reaches only base and sync' \
	'#include "(lines|fetch|exec|queue|observe|http|cli|isolate)/' \
	src/base src/sync src/core
forbid 'isolate reaches only core, base and sync' \
	'#include "(fetch|exec|queue|observe|http|cli)/' src/isolate
forbid 'lines reaches only base and sync' \
	'#include "(core|fetch|exec|queue|observe|http|cli|isolate)/' src/lines
forbid 'fetch does not know exec, nor the command' '#include "(cli|exec)/' \
	src/fetch
forbid 'exec does not know fetch, nor the command' '#include "(cli|fetch)/' \
	src/exec
forbid 'pg knows queue, and neither fetch nor exec, nor the command' \
	'#include "(cli|fetch|exec)/' src/pg
forbid 'queue knows neither fetch nor exec, nor the command' \
	'#include "(cli|exec|fetch|lines|isolate|core)/' src/queue
forbid 'base knows no concept of weir' \
	'#include "(core|sync|isolate|lines|exec|fetch|queue|cli)/' src/base

number=$((number + 1))
missing=
for room in base sync core isolate lines exec fetch queue cli; do
	[ -s "src/$room/README.md" ] || missing="$missing $room"
done
if [ -z "$missing" ]; then
	echo "ok $number - every room has its README"
else
	echo "not ok $number - every room has its README (missing:$missing)"
fi
echo "1..$number"
