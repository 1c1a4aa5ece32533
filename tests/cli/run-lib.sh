# shellcheck shell=sh disable=SC2154,SC2034 # tmp and run_line are lib.sh's
# For the tests of weir run, after lib.sh.
#
#	weir ARGS...                  runs weir run; the last run, as with `run`
#	give TEXT ARGS...             the same, with TEXT as standard input; it
#	                              is printf's, as in 'a\nb\n'
#	gone NAME                     no process is left of what was run so, nor
#	                              of what was run with `env $mark`
#	expect_json FILE EXPR VALUE   EXPR is Python; r is the list of the
#	                              objects of FILE, by(key) the list of one
#	                              field in the order of the jobs
#	expect_joblog FILE TEXT       its columns Seq, Exitval, Signal and
#	                              Command, in the order of the jobs

ARGDUMP=$WEIR_BUILD/tests/argdump
: "$ARGDUMP"

mark=WEIR_TEST_MARK=$$-$tmp

weir() {
	run env "$mark" "$WEIR" run "$@" </dev/null
	run_line="weir run $*"
}

give() {
	# shellcheck disable=SC2059 # it is a format
	printf "$1" >"$tmp/.in"
	shift
	run env "$mark" "$WEIR" run "$@" <"$tmp/.in"
	run_line="weir run $*"
}

# What has our mark in its environment, whoever its parent is now.
left() {
	grep -lsxzF "$mark" /proc/[0-9]*/environ | while read -r left_file; do
		printf '%s: ' "${left_file%/environ}"
		tr '\0' ' ' <"${left_file%environ}cmdline" && echo
	done 2>/dev/null
}

none_left() {
	[ -z "$(left)" ]
}

gone() {
	if wait_for 5 none_left; then
		ok "$1"
	else
		not_ok "$1" "$(left)"
	fi
}

cat >"$tmp/.json.py" <<'END'
import json
import sys

r = [json.loads(line) for line in open(sys.argv[1], encoding="utf-8")]


def by(key):
    return [x[key] for x in sorted(r, key=lambda x: (x["seq"], x["attempt"]))]


print(eval(sys.argv[2]))
END

expect_json() {
	json_got=$(python3 "$tmp/.json.py" "$1" "$2" 2>&1)
	if [ "$json_got" = "$3" ]; then
		ok "records: $2 is $3"
	else
		not_ok "records: $2 is $3" "it is: $json_got
$(head -n 5 "$1")"
	fi
}

expect_joblog() {
	tail -n +2 "$1" | sort -n | cut -f 1,7- | tr '\t' ' ' >"$tmp/.joblog"
	expect_text "$tmp/.joblog" "joblog: $2" "$2"
}
