#!/bin/sh
# weir run and what is hostile: lines, programs, disks, limits.  The program
# sees the exact bytes, and whatever happens is told and counted.
# The scripts in quotes are the commands' own, and {1} is a place.
# shellcheck disable=SC2016,SC1083,SC2046
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/cli/run-lib.sh
. "$(dirname "$0")/run-lib.sh"

# 500 lines, and what argdump says of them in as many ways to give them.
cat >"$tmp/hostile.py" <<'END'
import random
import sys

folder = sys.argv[1]
random = random.Random(20261122)
FIXED = [
    b"", b" ", b"  ", b"\t", b"\r", b"\r\r", b"'", b'"', b"`id`", b"$(id)",
    b"${HOME}", b"$HOME", b"\\", b"\\\\", b"\\n", b"-", b"--", b"-n", b"-j",
    b"--help", b":::", b"::::", b":::+", b"{}", b"{.}", b"{#}", b"{%}", b"{1}",
    b"%s%n", b"*", b"?", b"[a]", b"~", b"~root", b"!!", b"#", b"# x", b";id",
    b"|id", b"&", b"&&id", b">x", b"<x", b"a b", b" a", b"a ", b"a\tb", b"=",
    b"A=b", b"\x01", b"\x1b[31m", b"\x7f", b"\x80", b"\xff", b"\xfe\xff",
    b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", "é".encode(),
    "\u202e".encode(), "\u2028".encode(), b"\xef\xbb\xbfbom", b"../..",
    b"/", b"//", b".", b"..", b"a/", b"(", b")", b"'\"'", b"\"'\"", b"'\\''",
    b"x" * 1000, b"x" * 65535, b"x" * 65536, b"x" * 65537, b"\xff" * 4096,
    b"'" * 500, b"x" * (128 * 1024 - 2), b"x" * (128 * 1024 - 1),
]
ALPHABET = b"ab'\"`$(){}[]\\;|&<>*?~!# \t\r-=%:,./\x01\x1b\x7f\x80\xc3\xff"


def line():
    size = random.choice((1, 2, 3, 5, 8, 20, 100))
    return bytes(random.choice(ALPHABET) for _ in range(size))


def netstring(text):
    return b"%d:%s," % (len(text), text)


def write(name, data):
    with open(f"{folder}/{name}", "wb") as file:
        file.write(data)


lines = FIXED + [line() for _ in range(500 - len(FIXED))]
# With a NUL at the end a line may also hold newlines.
nul = [text.replace(b"\xc3", b"\n") for text in lines[:-2]] + [b"\n", b"\n\n"]
write("lines", b"".join(text + b"\n" for text in lines))
write("nul", b"".join(text + b"\0" for text in nul))
for name, items in (("lines", lines), ("nul", nul)):
    write(name + ".plain", b"".join(netstring(x) + b"\n" for x in items))
    write(name + ".within", b"".join(
        netstring(b"<" + x + b">") + netstring(x) + b"\n" for x in items
        if len(x) < 128 * 1024 - 3))
    write(name + ".short", b"".join(x + (b"\n" if name == "lines" else b"\0")
                                    for x in items
                                    if len(x) < 128 * 1024 - 3))
    write(name + ".all", b"".join(map(netstring, items)))
END
python3 "$tmp/hostile.py" "$tmp" || exit 1
for name in lines nul; do
	nul=
	[ $name = lines ] || nul=-0
	# shellcheck disable=SC2086 # no word, or one
	weir -q -k $nul -a "$tmp/$name" "$ARGDUMP"
	check "500 hostile $name: the exact bytes" cmp "$tmp/$name.plain" "$out"
	expect_status 0
	# shellcheck disable=SC2086
	run "$WEIR" run -q -k $nul "$ARGDUMP" '<{}>' {} <"$tmp/$name.short"
	check "500 hostile $name inside of words" cmp "$tmp/$name.within" "$out"
	# shellcheck disable=SC2086,SC2016
	run "$WEIR" run -q -k $nul --shell "$ARGDUMP"' "<$1>" "$1"' \
		<"$tmp/$name.short"
	check "500 hostile $name in a script" cmp "$tmp/$name.within" "$out"
	# shellcheck disable=SC2086
	weir -q -k $nul -n 500 -a "$tmp/$name" "$ARGDUMP"
	tr -d '\n' <"$tmp/$name.all" >"$tmp/all"
	tr -d '\n' <"$out" | cmp -s - "$tmp/all"
	check "500 hostile $name, many at a time" test $? -eq 0
	# shellcheck disable=SC2086
	weir -q -k $nul --tag --line-buffer --joblog "$tmp/j" --log "$tmp/l" \
		-a "$tmp/$name" true
	check "hostile $name: a line each in the joblog" \
		test "$(wc -l <"$tmp/j")" = 501
	expect_json "$tmp/l" 'len(r), len(set(by("seq")))' '(500, 500)'
	cp "$tmp/l" "$tmp/before"
	# shellcheck disable=SC2086
	weir -q $nul --resume "$tmp/l" -a "$tmp/$name" true
	check "hostile $name: --resume knows them all" cmp "$tmp/l" "$tmp/before"
	cp "$tmp/j" "$tmp/before"
	# shellcheck disable=SC2086
	weir -q $nul --resume "$tmp/j" -a "$tmp/$name" true
	check "hostile $name: and from a joblog" cmp "$tmp/j" "$tmp/before"
	# What is shown is a line that sh takes for the same words.
	# shellcheck disable=SC2086
	weir -q -k $nul --dry-run -a "$tmp/$name.short" "$ARGDUMP" {}
	printf '%s\n' 'set -f' >"$tmp/shown"
	cat "$out" >>"$tmp/shown"
	# shellcheck disable=SC2086
	weir -q -k $nul -a "$tmp/$name.short" "$ARGDUMP"
	bash "$tmp/shown" >"$tmp/again" 2>&1
	check "hostile $name: what --dry-run prints is the same command" \
		cmp "$tmp/again" "$out"
done

# Too long, and NUL.
{
	printf 'a\n'
	head -c 131072 /dev/zero | tr '\0' x
	printf '\nb\n'
	head -c 3000000 /dev/zero | tr '\0' y
	printf '\nc\nd\0e\nf\n'
} >"$tmp/long"
weir -k -a "$tmp/long" --log "$tmp/l" --joblog "$tmp/j" "$ARGDUMP"
expect_out '1:a,
1:b,
1:c,
1:f,'
expect_status 123
match_err '^3 failed'
expect_json "$tmp/l" 'by("status")' \
	"['ok', 'failed', 'ok', 'failed', 'ok', 'failed', 'ok']"
match_err 'NUL'
check 'what is said of it is not the whole of it' \
	test "$(wc -c <"$err")" -lt 5000
head -c 131071 /dev/zero | tr '\0' x >"$tmp/long"
weir -a "$tmp/long" sh -c 'echo ${#1}' sh
expect_out 131071
weir -a "$tmp/long" echo 'x{}'
expect_status 123 'too long with what stands around it'
seq -f '%099.0f' 100000 >"$tmp/many"
weir -q -n 100000 -a "$tmp/many" sh -c 'echo $#' sh
expect_status 0 'ten megabytes to one command are too much'
check 'so it is made several' test \
	"$(awk '{ n += $1 } END { print n }' "$out")/$(($(wc -l <"$out") > 1))" \
	= 100000/1
run "$WEIR" run -q true <"$tmp"
expect_status 1 'an input that cannot be read'
match_err 'Is a directory'
weir -a "$tmp" echo
expect_status 1
match_err 'Is a directory'

# Disks that are full.
run_full() {
	"$@" >/dev/full 2>"$err" </dev/null
	status=$?
	run_line="$* >/dev/full"
	: >"$out"
}
run_full "$WEIR" run seq ::: 100000
expect_status 1
match_err 'No space left on device'
run_full "$WEIR" run --line-buffer seq ::: 100000
expect_status 1
run_full "$WEIR" run --json true ::: 1
expect_status 1
weir --log /dev/full true ::: 1 2
expect_status 1
match_err 'cannot write records: No space left on device (/dev/full)'
weir --joblog /dev/full true ::: 1 2
expect_status 1
# Spools: a TMPDIR that takes nothing.
mkdir "$tmp/small"
mounted=
if mount -t tmpfs -o size=1m tmpfs "$tmp/small" 2>/dev/null; then
	mounted=yes
fi
if [ -n "$mounted" ]; then
	run env TMPDIR="$tmp/small" "$WEIR" run -j 1 sh -c \
		'head -c 20000000 /dev/zero; echo done >&2' sh ::: 1 2 </dev/null
	umount "$tmp/small"
	expect_status 1 'a TMPDIR that is full'
	match_err 'No space left on device'
else
	skip 'a TMPDIR that is full' 'nothing can be mounted here'
	skip 'and says so' 'nothing can be mounted here'
fi
run env TMPDIR="$tmp/nosuch" "$WEIR" run sh -c \
	'head -c 20000000 /dev/zero' sh ::: 1 </dev/null
expect_status 1 'a TMPDIR that is not there, when it is needed'
match_err 'No such file or directory'
run env TMPDIR="$tmp/nosuch" "$WEIR" run echo ::: 1 </dev/null
expect_status 0 'and when it is not'

# 100 MiB on standard error (1 GiB when there is time), and our own memory.
mib=100
[ -z "${WEIR_TEST_LONG-}" ] || mib=1024
cat >"$tmp/peak" <<'END'
#!/bin/sh
# The peak of our parent's memory, in KiB, beside what we write.
head -c "$1" /dev/zero >&2
grep VmHWM "/proc/$PPID/status" >"$2"
END
chmod +x "$tmp/peak"
weir_peak() {
	tr -cd 0-9 <"$1"
}
instrumented() {
	grep -q '__asan_init\|__tsan_init' "$WEIR"
}
for mode in '' --line-buffer -k; do
	# shellcheck disable=SC2086
	"$WEIR" run -q $mode -j 2 "$tmp/peak" "${mib}M" ::: "$tmp/p1" "$tmp/p2" \
		2>"$tmp/much" </dev/null
	status=$?
	run_line="weir run $mode, ${mib} MiB on stderr, twice"
	: >"$out"
	: >"$err"
	expect_status 0
	check "not a byte is lost $mode" test "$(wc -c <"$tmp/much")" = \
		$((2 * mib * 1024 * 1024))
	rm -f "$tmp/much"
	if instrumented; then
		skip "and memory is bounded $mode" 'a sanitizer takes its own'
	else
		check "and memory is bounded $mode" \
			test "$(weir_peak "$tmp/p2")" -lt 12000
	fi
done

# Children that misbehave.
weir -q sh -c 'exec >&- 2>&-; exit 3' sh ::: 1
expect_status 123
match_err '1×exit 3'
weir -q sh -c 'exec >&- 2>&- <&-; until [ -e '"$tmp/closed"' ]; do
	sleep 0.01; done' sh ::: 1 &
sleep 0.1
: >"$tmp/closed"
wait $!
check 'who closes its descriptors is still waited for' test $? -eq 0
weir -q sh -c 'kill -STOP $$' sh ::: 1 &
# shellcheck disable=SC2317 # wait_for calls it
stopped() {
	pid=$(left | sed -n 's|^/proc/\([0-9]*\): sh -c kill -STOP.*|\1|p')
	grep -q '^State:.*T' "/proc/$pid/status"
}
check 'one that is stopped is not one that ended' wait_for 5 stopped
kill -CONT "$pid"
wait $!
check 'and goes on' test $? -eq 0
weir --timeout 200ms --kill-after 100ms sh -c 'kill -STOP $$' sh ::: 1
expect_status 123 'one that is stopped is killed in time'
began=$(date +%s)
weir -q sh -c 'setsid sleep 67 & setsid sh -c "sleep 68 & sleep 69" &
	echo ok' sh ::: 1 2 3
expect_out 'ok
ok
ok'
check 'grandchildren in sessions of their own hold up nothing' \
	test $(($(date +%s) - began)) -lt 60
gone 'and are gone'
# Forks for a while, each child of the one before.
cat >"$tmp/chain" <<'END'
#!/bin/sh
[ "$1" -gt 0 ] || exec sleep 67
"$0" $(($1 - 1)) &
END
chmod +x "$tmp/chain"
weir -q "$tmp/chain" ::: 20 20
gone 'a chain of forks leaves nothing'
weir -q -j 4 sh -c 'ls /nosuch; exit 0; kill -9 $PPID' sh ::: 1 2 3 4
expect_status 0

# Descriptors that we inherit go no further.
weir -q sh -c '"$0" --fds' "$ARGDUMP" ::: 1 3</dev/null 9</dev/null 4>&1
expect_out '0 1 2'
# Started without some of the three.
for closed in '<&-' '2>&-' '<&- 2>&-'; do
	sh -c "exec '$WEIR' run -q sh -c '\"\$0\" --fds' '$ARGDUMP' \
		::: 1 $closed" >"$out" 2>"$err"
	status=$?
	run_line="weir run $closed"
	expect_out '0 1 2'
done
sh -c "exec '$WEIR' run -q true ::: 1 2 >&-" 2>"$err"
check 'started without standard output' test $? -le 1

# Descriptors exhausted: told before anything runs, or made do with.
limited() {
	limit=$1
	shift
	run sh -c "ulimit -$limit && exec \"\$@\"" sh "$@" </dev/null
}
limited 'n 64' "$WEIR" run -q -j 100 echo ::: 1 2 3
expect_status 1
match_err 'open files'
match_err '^try: weir run -j'
next=$(sed -n 's/^try: weir run \(-j [0-9]*\).*/\1/p' "$err")
# shellcheck disable=SC2086
limited 'n 64' "$WEIR" run -q ${next:--j 1} true ::: 1 2 3
expect_status 0 'what it recommends then works'
limited 'n 12' "$WEIR" run -q -j 1 true ::: 1
expect_status 1
match_err 'needs [0-9]* open files'
check 'it recommends nothing that does not work' sh -c "! grep ^try: '$err'"
seq 3000 >"$tmp/items"
limited 'n 128' "$WEIR" run -q -j 4 -k -a "$tmp/items" echo
check 'a few descriptors are enough' cmp "$tmp/items" "$out"
# Results that wait for their turn, each with a file of its own.
limited 'n 400' "$WEIR" run -q -j 4 -k sh -c '[ "$1" != 1 ] || sleep 0.5
	head -c 100000 /dev/zero | tr "\0" x; echo' sh $(seq 40 | sed '1i:::')
check 'files of results that wait' test "$(wc -c <"$out")" = 4000040

# Processes exhausted: by another user, for root has no limit.
if [ "$(id -u)" = 0 ] && command -v setpriv >/dev/null &&
	setpriv --reuid 61234 --regid 61234 --clear-groups true 2>/dev/null; then
	chmod 755 "$tmp"
	as_other() {
		# Folders above ours may be closed to others: by a copy.
		run setpriv --reuid 61234 --regid 61234 --clear-groups "$@" \
			</dev/null
	}
	cp "$WEIR" "$tmp/weir"
	cp -L "$WEIR_BUILD"/libweir.so* "$tmp" 2>/dev/null
	# Threads count as well: weir has a handful.
	as_other env LD_LIBRARY_PATH="$tmp" sh -c '
		ulimit -u 12; exec "$@"' sh "$tmp/weir" run -q -j 20 \
		sh -c 'echo $1' sh $(seq 60 | sed '1i:::')
	sort -n "$out" >"$tmp/sorted"
	seq 60 >"$tmp/expected"
	if [ "$status" -eq 0 ]; then
		check 'processes exhausted: tried again when others end' \
			cmp "$tmp/expected" "$tmp/sorted"
	else
		# It may be that sh itself can start nothing; then it says so.
		check 'processes exhausted: told, and counted' \
			grep -q 'Resource temporarily unavailable' "$err"
	fi
else
	skip 'processes exhausted' 'not root, or no other user can be had'
fi

done_testing
