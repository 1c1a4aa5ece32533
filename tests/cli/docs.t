#!/bin/sh
# The documents: every C example compiles as it stands and does what is said
# of it, the programs of examples/ do too, and what can be checked of the rest.
# Lists of words are meant to be split, and patterns not to be expanded.
# shellcheck disable=SC2013,SC2016,SC2317
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"
cd "$(dirname "$0")/../.." || exit 1
tab=$(printf '\t')

# The compiler that made the library, and its sanitizers.  proof/ has one of
# its own, whatever the build.
commands=$WEIR_BUILD/compile_commands.json
cc=$(sed -n 's/.*"command": "\([^-]*[^- ]\) *-.*/\1/p' "$commands" | head -n 1)
sanitizers=$(grep -v -e '-o proof/' "$commands" |
	grep -o -e '-fsanitize=[a-z,]*' | sort -u)

# compile ARGUMENTS...: as strict as we ask users to be.  Lists of words are
# meant to be split.
# shellcheck disable=SC2086
compile() {
	$cc -std=c99 -Wall -Wextra -Werror $sanitizers -Iinclude "$@"
}

# in_new_folder PROGRAM: it may leave files behind, and finds none.
in_new_folder() (
	rm -rf "$tmp/folder"
	mkdir "$tmp/folder" && cd "$tmp/folder" && timeout 60 "$1"
)

# expect_lines EXPECTED exact|sorted
expect_lines() {
	case $2 in
	sorted) sort "$out" | cmp -s - "$1" ;;
	*) cmp -s "$out" "$1" ;;
	esac
}

# try_example KIND FILE WHERE EXPECTED HOW
try_example() {
	if [ "$1" = object ]; then
		run compile -c -o "$tmp/object.o" "$2"
		expect_status 0 "$3 compiles"
		return
	fi
	run compile -o "$tmp/program" "$2" "$WEIR_BUILD/libweir-queue-room.a" \
		"$WEIR_BUILD/libweir.a" -pthread -lm -lsqlite3
	expect_status 0 "$3 compiles"
	run in_new_folder "$tmp/program"
	expect_status 0 "$3 runs"
	[ "$4" = - ] || check "$3 prints what is said" expect_lines "$4" "$5"
}

run scripts/extract-examples "$tmp/c" README.md CONTRIBUTING.md docs/*.md
expect_status 0 'the examples can be taken out of the documents'
cp "$out" "$tmp/examples"
while IFS=$tab read -r kind file where expected how; do
	try_example "$kind" "$file" "$where" "$expected" "$how"
done <"$tmp/examples"
check 'there are examples' test -s "$tmp/examples"

# What examples/ prints.  Jobs end in any order.
example() {
	run in_new_folder "$WEIR_BUILD/examples/example-$1"
	expect_status 0
	sort -o "$out" "$out"
}

example hello
expect_out 'job 1: hello, Ada
job 2: hello, Brian
job 3: PERMANENT: nobody is there
job 4: hello, Dennis
job 5: hello, Ken'
example map
expect_out '1000000007: prime
1000003: prime
1000005: not prime
1: too small'
example pipeline
expect_out "item 1 squared: 1
item 2 squared: 4
item 3 failed in stage 1: 'x3' is no number
item 4 squared: 16
item 5 squared: 25"
example reactor
expect_out '300 timers: ok'
printf 'to be or not\n\n  to   be\n' >"$tmp/lines"
example pull <"$tmp/lines"
expect_out 'line 1: 4
line 2: empty
line 3: 2'

# Drained, and stopped once and twice while jobs run.
run timeout 60 "$WEIR_BUILD/examples/example-graceful" 10 10
expect_out 'running
accepted 10 = ok 10 + cancelled 0 + handed back 0'

# The books of the last run agree, and not all jobs were taken.
balanced() {
	tr -c '0-9\n' ' ' <"$tmp/graceful" | awk 'NF == 4 {
		exit !($1 == $2 + $3 + $4 && $1 < 1000) }'
}
start "$WEIR_BUILD/examples/example-graceful" 1000 200 >"$tmp/graceful"
wait_for 20 grep -q running "$tmp/graceful"
kill -INT "$pid"
wait "$pid"
check 'interrupted once, what runs is finished' balanced
check 'and nothing is cancelled' grep -q 'cancelled 0' "$tmp/graceful"
start "$WEIR_BUILD/examples/example-graceful" 1000 30000 >"$tmp/graceful"
wait_for 20 grep -q running "$tmp/graceful"
kill -INT "$pid"
wait_for 20 grep -q finishing "$tmp/graceful"
kill -INT "$pid"
wait "$pid"
check 'interrupted twice, each job is accounted for' balanced
check 'and nothing is finished' grep -q ' ok 0 ' "$tmp/graceful"

# The rest of the documents.  A row of a table cannot be wrapped: those of
# benchmarks.md are as wide as their figures, those of the others are sentences.
long=$(grep -nE '.{101}' README.md CONTRIBUTING.md SECURITY.md CHANGELOG.md \
	docs/*.md | grep -vE '^docs/(benchmarks|durable|fleet|pipelines).md:[0-9]*:\|' |
	cut -d: -f1,2)
check "no line is longer than 100 columns: ${long:-none}" test -z "$long"

for command in fetch run enqueue work jobs queues schedule db; do
	"$WEIR" "$command" --help
done >"$out"
missing=
for option in $(grep -ohE '`(weir [a-z]+ [^`]*)?--[a-z][^`]*`' \
	README.md SECURITY.md docs/durable.md docs/fleet.md |
	grep -oE -e ' *--[a-z][a-z0-9.-]+' | sort -u); do
	grep -q -e "^ .*$option\\b" "$out" || missing="$missing $option"
done
check "the options that are named exist:${missing:- all}" \
	test -z "$missing"

missing=
for document in README.md CONTRIBUTING.md SECURITY.md docs/*.md; do
	for path in $(grep -oE '\]\([^)#:]+' "$document" | cut -c 3-); do
		[ -e "$(dirname "$document")/$path" ] || missing="$missing $path"
	done
done
check "what is linked to is there:${missing:- all}" test -z "$missing"

page=$WEIR_BUILD/man/libweir.3
missing=
for function in $(awk '/^WEIR_API/ { text = "" } { text = text " " $0 }
	/;$/ && match(text, /weir_[a-z_]*\(/) && text ~ /^ WEIR_API/ {
		print substr(text, RSTART, RLENGTH - 1); text = ""
	}' include/weir/*.h); do
	grep -q "^\\.SS $function" "$page" || missing="$missing $function"
done
check "libweir(3) has every function:${missing:- all}" test -z "$missing"
if command -v mandoc >/dev/null; then
	# A date would make each build another.
	run mandoc -T lint -W warning "$page"
	check 'mandoc finds nothing wrong with libweir(3)' \
		sh -c "! grep -v 'missing date' '$out'"
else
	skip 'mandoc finds nothing wrong with libweir(3)' 'no mandoc'
fi

done_testing
