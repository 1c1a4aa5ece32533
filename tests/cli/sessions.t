#!/bin/sh
# What the documents show of a terminal: the commands behind "$ " in each block
# that is marked <!-- session --> are run, one after the other, in a folder of
# their own, and have to print what is printed there.  Times and the like are
# not compared.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"
cd "$(dirname "$0")/../.." || exit 1

# sessions FILE.md: each block into $tmp/session.LINE; their names.
sessions() {
	awk -v tmp="$tmp/session" '
		/^<!-- session -->$/ { marked = 1; next }
		marked && /^```/ {
			file = tmp "." NR
			print file
			marked = 0
			next
		}
		/^```$/ { file = "" }
		file { print >file }' "$1"
}

# What differs from run to run: times, rates, numbers of cores and processes.
# A pair of times, such as a wait that is over, may be in words or not.
forget() {
	sed -E -e 's/[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+Z/TIME/g' \
		-e 's/by [^ ]+:[0-9]+/by HOST/g' \
		-e 's/[0-9]+ at once/N at once/' \
		-e 's/\b[0-9.]+(us|ms|s|m|h|d)\b/T/g' \
		-e 's/\([0-9.]+\/s/(R/g' -e 's/, in T$|, T ago$//' \
		-e 's/ +/ /g' "$1"
}

# play FILE: what a terminal would show.  The commands are the documents' own.
play() (
	rm -rf "$tmp/folder"
	mkdir "$tmp/folder" && cd "$tmp/folder" || exit 1
	PATH=$WEIR_BUILD:$PATH
	sed -n 's/^\$ //p' "$1" >"$1.commands"
	exec 3<"$1.commands"
	while IFS= read -r command <&3; do
		printf '$ %s\n' "$command"
		eval "$command" </dev/null
	done
)

count=0
for document in README.md docs/durable.md; do
	for session in $(sessions "$document"); do
		play "$session" >"$out" 2>&1
		forget "$session" >"$tmp/expected"
		forget "$out" >"$tmp/got"
		if cmp -s "$tmp/expected" "$tmp/got"; then
			ok "$document:${session##*.} goes as it is shown"
		else
			not_ok "$document:${session##*.} goes as it is shown" \
				"$(diff "$tmp/expected" "$tmp/got")"
		fi
		count=$((count + 1))
	done
done
check 'there are sessions' test "$count" -gt 0

done_testing
