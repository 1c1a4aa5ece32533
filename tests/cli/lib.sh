# shellcheck shell=sh
# Helpers for the tests of the command, in POSIX sh.  A test begins with
#
#	. "$(dirname "$0")/lib.sh"
#
# and ends with done_testing.  It writes TAP, has a folder of its own in $tmp,
# and finds the command in $WEIR.  Whatever it starts with `start` ends with
# it, by its process id.
#
#	run "$WEIR" fetch --retry 3         stdout to $out, stderr to $err,
#	                                    exit status to $status
#	expect_status 2                     these look at the last run
#	expect_out 'a line'
#	expect_err "weir fetch: ..."
#	match_err 'a basic regular expression'
#	check 'the file is there' test -f "$tmp/file"
#
# Each of these is one test; the text is its name, and the exact texts name
# themselves.

set -u

: "${WEIR_BUILD:?is the build folder, where the command is}"
# shellcheck disable=SC2034 # the tests use it
WEIR=$WEIR_BUILD/weir
tmp=$(mktemp -d) || exit 1
out=$tmp/.out
err=$tmp/.err
status=0
tests=0
failures=0
started=

# The tester's own settings must not matter, but for those of the tests.
for variable in $(env | sed -n 's/^\(WEIR_[A-Z_]*\)=.*/\1/p'); do
	case $variable in
	WEIR_BUILD | WEIR_SOURCE | WEIR_TEST_*) ;;
	*) unset "$variable" ;;
	esac
done
export XDG_CONFIG_HOME="$tmp/.config" LC_ALL=C.UTF-8 TERM=dumb
unset NO_COLOR

cleanup() {
	for pid in $started; do
		kill "$pid" 2>/dev/null
	done
	for pid in $started; do
		wait "$pid" 2>/dev/null
	done
	rm -rf "$tmp"
}
trap cleanup EXIT
trap 'exit 1' HUP INT TERM

# A character that ends the name or begins a directive would confuse TAP.
name() {
	printf '%s' "$1" | tr '\n#' ' ='
}

ok() {
	tests=$((tests + 1))
	printf 'ok %d - %s\n' "$tests" "$(name "$1")"
}

# not_ok NAME [WHY]
not_ok() {
	tests=$((tests + 1))
	failures=$((failures + 1))
	printf 'not ok %d - %s\n' "$tests" "$(name "$1")"
	if [ -n "${2-}" ]; then
		printf '%s\n' "$2" | sed 's/^/# /'
	fi
}

skip() {
	tests=$((tests + 1))
	printf 'ok %d - %s # SKIP %s\n' "$tests" "$(name "$1")" "$2"
}

# check NAME COMMAND...
check() {
	check_name=$1
	shift
	if "$@"; then
		ok "$check_name"
	else
		not_ok "$check_name" "failed: $*"
	fi
}

# run COMMAND...; standard input is empty unless redirected: run ... <file
run() {
	run_line="$*"
	if [ -t 0 ]; then
		"$@" >"$out" 2>"$err" </dev/null
	else
		"$@" >"$out" 2>"$err"
	fi
	status=$?
	return 0
}

last_run() {
	printf 'ran: %s\nstatus: %d\nstdout:\n' "$run_line" "$status"
	head -n 20 "$out"
	printf 'stderr:\n'
	head -n 20 "$err"
}

# expect_status STATUS [NAME]
expect_status() {
	if [ "$status" -eq "$1" ]; then
		ok "${2-exits with $1: $run_line}"
	else
		not_ok "${2-exits with $1: $run_line}" "$(last_run)"
	fi
}

# expect_text FILE NAME TEXT: the file is TEXT and a newline, or empty.
expect_text() {
	if [ -n "$3" ]; then
		printf '%s\n' "$3" | cmp -s - "$1"
	else
		[ ! -s "$1" ]
	fi
	# shellcheck disable=SC2181
	if [ $? -eq 0 ]; then
		ok "$2"
	else
		not_ok "$2" "expected: $3
$(last_run)"
	fi
}

expect_out() {
	expect_text "$out" "prints: ${1:-nothing}" "$1"
}

expect_err() {
	expect_text "$err" "says: ${1:-nothing}" "$1"
}

# match_out REGEX [NAME], match_err REGEX [NAME]: some line matches.
match_out() {
	if grep -q -e "$1" "$out"; then
		ok "${2-prints a line like: $1}"
	else
		not_ok "${2-prints a line like: $1}" "$(last_run)"
	fi
}

match_err() {
	if grep -q -e "$1" "$err"; then
		ok "${2-says a line like: $1}"
	else
		not_ok "${2-says a line like: $1}" "$(last_run)"
	fi
}

# start COMMAND...: in the background, its process id in $pid.  Redirect as
# needed: start server >"$tmp/log" 2>&1.
start() {
	"$@" &
	pid=$!
	started="$started $pid"
}

# wait_for SECONDS COMMAND...: until it succeeds; false when it never did.
wait_for() {
	wait_left=$(($1 * 20))
	shift
	while ! "$@" >/dev/null 2>&1; do
		wait_left=$((wait_left - 1))
		[ "$wait_left" -gt 0 ] || return 1
		sleep 0.05
	done
}

done_testing() {
	printf '1..%d\n' "$tests"
	[ "$failures" -eq 0 ]
	exit
}
