# shellcheck shell=sh disable=SC2154,SC2034 # tmp and run_line are lib.sh's
# For the tests of commands on a store, after lib.sh.
#
#	weir ARGS...                  the last run, as with `run`
#	give FILE ARGS...             the same, with FILE as standard input
#	expect_json FILE EXPR VALUE   EXPR is Python; r is the list of the
#	                              objects of FILE, at(text) a time in seconds
#	mode FILE                     its permissions: 600

weir() {
	run "$WEIR" "$@" </dev/null
	run_line="weir $*"
}

give() {
	give_file=$1
	shift
	run "$WEIR" "$@" <"$give_file"
	run_line="weir $* <$give_file"
}

expect_json() {
	json_got=$(python3 -c '
import datetime, json, sys
def at(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
r = [json.loads(line) for line in open(sys.argv[1])]
print(eval(sys.argv[2]))' "$1" "$2" 2>&1)
	if [ "$json_got" = "$3" ]; then
		ok "$2 is $3: $run_line"
	else
		not_ok "$2 is $3: $run_line" "got: $json_got
$(last_run)"
	fi
}

mode() {
	stat -c %a "$1"
}
