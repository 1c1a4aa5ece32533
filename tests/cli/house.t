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
		grep -v '^src/sync/'); then
		echo "not ok $number - $what"
		printf '%s\n' "$found" | sed 's/^/# /'
	else
		echo "ok $number - $what"
	fi
}

forbid 'only src/sync touches atomics, threads, futexes and clocks' \
	'<stdatomic\.h>|<pthread\.h>|<threads\.h>|\bpthread_|\bclock_gettime *\(|\bsyscall *\(|<linux/futex' \
	src include
forbid 'libweir does not print' \
	'\b(f?printf|puts|fputs|putchar|perror|syslog) *\(' src/core src/sync
forbid 'libweir does not end the process, but for its own broken invariants' \
	'(^|[^.>_[:alnum:]])(exit|_exit|quick_exit|abort) *\(' src/core src/sync
forbid 'nothing sleeps to wait for a state' \
	'\b(usleep|nanosleep|sched_yield) *\(|[^_]\bsleep *\(' \
	src/core src/sync src/fetch tests
forbid 'nothing is left to do' '\b(TODO|FIXME|XXX|HACK)\b' \
	src include tests examples
forbid 'no function is called that does not know how large its buffer is' \
	'\b(gets|sprintf|vsprintf|strcat|strncpy) *\(' \
	src/core src/fetch src/cli src/base
forbid 'core reaches only base and sync' \
	'#include "(fetch|exec|queue|observe|http|cli)/' src/base src/sync src/core
forbid 'base knows no concept of weir' '#include "(core|sync|fetch|cli)/' src/base

number=$((number + 1))
missing=
for room in base sync core fetch cli; do
	[ -s "src/$room/README.md" ] || missing="$missing $room"
done
if [ -z "$missing" ]; then
	echo "ok $number - every room has its README"
else
	echo "not ok $number - every room has its README (missing:$missing)"
fi
echo "1..$number"
