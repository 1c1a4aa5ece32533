#!/bin/sh
# The pairs of docs/coming-from-parallel.md: both commands are run, each in a
# folder of its own with the same files, and what they print, what they leave
# and how they exit is compared.
#
# A pair is a ```sh block of two lines behind
#
#	<!-- pair -->
#	<!-- pair: OPTION, OPTION... -->
#
# with these options:
#
#	sorted		the lines may come in any order
#	status A B	the first exits with A and the second with B, else equal
#	without FILE	that file is not compared
# What is quoted is for others to expand, and check calls functions by name.
# shellcheck disable=SC2016,SC2317
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"

document=$(dirname "$0")/../../docs/coming-from-parallel.md
tab=$(printf '\t')

# What the pairs work on.  count-and-fail keeps a line for each try.
make_files() {
	mkdir -p "$1/photos" "$1/small"
	(
		cd "$1" || exit
		printf 'b\na\nb\n' >a.txt
		printf 'c\nc\n' >b.txt
		printf '%s\n' plain 'two words' "it's" >names.txt
		while read -r file; do
			printf 'this is %s\n' "$file" >"$file"
		done <names.txt
		printf 'meow\n' >photos/cat.jpg
		printf 'woof\n' >'photos/a dog.jpg'
		printf 'x,one\ny,two\n' >table.csv
		printf 'echo one | tr a-z A-Z\necho two\n' >jobs.txt
		: >empty
		printf '#!/bin/sh\necho try >>"tries-$1"\nexit 1\n' >count-and-fail
		chmod +x count-and-fail
	)
}

# LINE, OPTIONS, FIRST and SECOND of each pair, between tabs.
pairs() {
	awk '
	/^<!-- pair/ {
		options = $0
		sub(/^<!-- pair:? */, "", options)
		sub(/ *-->$/, "", options)
		line = NR
		next
	}
	line && NR == line + 2 { first = $0 }
	line && NR == line + 3 {
		print line "\t," options ",\t" first "\t" $0
		line = 0
	}' "$document"
}

# run_side NAME COMMAND: files in $tmp/NAME.d, output in .out, status in .status
run_side() {
	rm -rf "$tmp/$1.d"
	cp -a "$tmp/files" "$tmp/$1.d"
	(
		cd "$tmp/$1.d" &&
			PATH=$WEIR_BUILD:$PATH HOME=$tmp/home timeout 60 \
				sh -c "$2" >"$tmp/$1.out" 2>"$tmp/$1.err" \
				</dev/null
	)
	echo $? >"$tmp/$1.status"
}

# option NAME: its words in $options, or false.
option() {
	printf '%s\n' "$options" | sed -n "s/.*, *$1 *\([^,]*\),.*/\1/p" |
		grep . || case $options in *",$1,"*) return 0 ;; *) return 1 ;; esac
}

# differences OPTIONS FIRST SECOND: prints what is not the same; false if all is.
differences() {
	options=$1
	run_side first "$2"
	run_side second "$3"
	statuses="$(cat "$tmp/first.status") $(cat "$tmp/second.status")"
	case $statuses in
	"$(option status)") ;;
	*) [ "${statuses% *}" = "${statuses#* }" ] && ! option status >/dev/null ||
		echo "statuses: $statuses" ;;
	esac
	if option sorted >/dev/null; then
		sort -o "$tmp/first.out" "$tmp/first.out"
		sort -o "$tmp/second.out" "$tmp/second.out"
	fi
	diff "$tmp/first.out" "$tmp/second.out"
	diff -r --exclude="$(option without || echo /)" \
		"$tmp/first.d" "$tmp/second.d"
}

# A pair in which nothing happens would be the same whatever we do.
does_something() {
	[ -s "$tmp/first.out" ] || [ "$(cat "$tmp/first.status")" != 0 ] ||
		! diff -r "$tmp/files" "$tmp/first.d" >/dev/null
}

# try_pair LINE OPTIONS FIRST SECOND
try_pair() {
	case $3 in
	*parallel*)
		if [ -z "$parallel" ]; then
			skip "line $1: $3" 'no GNU parallel'
			return
		fi
		;;
	esac
	found=$(differences "$2" "$3" "$4")
	if [ -z "$found" ] && does_something; then
		ok "line $1: $4"
	else
		not_ok "line $1: $4" "beside: $3
$found
$(head -n 5 "$tmp/first.err" "$tmp/second.err")"
	fi
}

# Parallel asks for citations until this file is there.
mkdir -p "$tmp/home/.parallel"
: >"$tmp/home/.parallel/will-cite"
parallel=
if parallel --version 2>/dev/null | grep -q '^GNU parallel'; then
	parallel=yes
fi
make_files "$tmp/files"

# The comparison sees what it is to see.
sees() {
	[ -n "$(differences "$@")" ]
}
equal() {
	[ -z "$(differences "$@")" ]
}
check 'it sees another output' sees ,, 'echo a' 'echo b'
check 'it sees another order' sees ,, 'echo a; echo b' 'echo b; echo a'
check 'it sees another status' sees ,, true false
check 'it sees a status that is not the one said' \
	sees ',status 1 123,' 'exit 1' 'exit 1'
check 'it sees a file too many' sees ,, 'touch x' true
check 'it sees a file that has changed' sees ',without log,' 'rm a.txt' true
check 'it takes lines in any order where that is said' \
	equal ',sorted,' 'echo a; echo b' 'echo b; echo a'
check 'it takes the statuses that are said' \
	equal ',status 1 123, without log,' 'touch log; exit 1' 'exit 123'

pairs >"$tmp/pairs"
while IFS=$tab read -r line options first second; do
	case $first in
	*parallel* | *xargs*) ;;
	*) not_ok "line $line is a pair" "no command of theirs: $first" ;;
	esac
	case $second in
	*'weir run'*) try_pair "$line" "$options" "$first" "$second" ;;
	*) not_ok "line $line is a pair" "no command of ours: $second" ;;
	esac
done <"$tmp/pairs"
check 'every marker has its pair, and there are enough' \
	test "$(grep -c '^<!-- pair' "$document")" -eq "$(wc -l <"$tmp/pairs")" \
	-a "$(wc -l <"$tmp/pairs")" -ge 30
done_testing
