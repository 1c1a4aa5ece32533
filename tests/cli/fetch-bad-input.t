#!/bin/sh
# Bad lists, bad servers and bad places to write to: each is one failed record
# or one clear error, and the others go on.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/cli/fetch-lib.sh
. "$(dirname "$0")/fetch-lib.sh"

site_start || exit 1

# Lines that are no URL.
{
	echo '# a comment, and a blank line'
	echo
	echo "$site/fast/1"
	echo 'nonsense'
	echo 'ftp://127.0.0.1/x'
	echo 'file:///etc/passwd'
	echo 'http://'
	echo "$site/fast/2 with blanks"
	printf 'http://127.0.0.1/\377\376\n'
	printf 'http://127.0.0.1/nul\000byte\n'
	printf 'http://127.0.0.1/\001\n'
	# Not echo: some interpret \r and \n.
	printf '%s\n' '{"url": "http://127.0.0.1/\r\nX: y"}'
	printf '%s\n' \
		'{"url": "http://a/", "headers": {"X": "secret\r\nb: c"}}'
	echo '{"url": "http://127.0.0.1/", "method": "GET /x HTTP/1.1"}'
	echo '{"url": "http://127.0.0.1/"'
	echo '{"uri": "http://127.0.0.1/"}'
	echo '{"url": 7}'
	echo 'http://127.0.0.1:99999/'
	echo 'http://[::1/'
	head -c 1100000 /dev/zero | tr '\0' a
	echo
	printf 'http://127.0.0.1/'
	head -c 20000 /dev/zero | tr '\0' a
	echo
	printf '  %s/fast/3\r\n' "$site"
	printf '%s/fast/4' "$site"
} >"$tmp/bad"
run "$WEIR" fetch --json "$tmp/bad"
cp "$out" "$tmp/bad.json"
expect_status 123
check 'good lines among bad ones are fetched' \
	test "$(count_of "$tmp/bad.json" ok)" -eq 3
check 'each bad line is one failed record' \
	test "$(count_of "$tmp/bad.json" failed)" -eq 18
match_out '"error":"line 4: not a URL"'
match_out '"url":"ftp://127.0.0.1/x".*only http and https'
match_out '"error":"line 6: only http and https are fetched"'
match_out 'a line break in the URL'
match_out 'a NUL byte in the URL'
match_out 'headers: a line break or NUL byte in it'
check 'headers of a bad line are not shown' \
	sh -c "! grep -q secret '$out' '$err'"

# Nor what stands in a member whose name is misspelt.
echo '{"url": "http://a/", "header": {"Authorization": "secret"}}' |
	"$WEIR" fetch --json >"$tmp/misspelt" 2>&1
check 'a misspelt member does not show its secret' \
	sh -c "grep -q 'line 1' '$tmp/misspelt' &&
		! grep -q secret '$tmp/misspelt'"
match_out 'not UTF-8'
match_out 'longer than 1 MiB'
match_out 'longer than 16 KiB'
match_out 'a blank in the URL'
check 'long lines are cut in records' \
	test "$(wc -L <"$tmp/bad.json")" -lt 10000

run "$WEIR" fetch </dev/null
expect_status 0
match_err 'no URLs in the input'

# Servers that cannot be reached, and such that misbehave.
closed=http://127.0.0.1:1/closed
{
	echo 'http://no-such-host.invalid/'
	echo "$closed"
	echo "$site/reset/100000"
	echo "$site/cut/1000"
	echo "$site/close"
	echo "$site/chunked-cut"
	echo "$site/endless-headers"
	echo "$site/endless-body"
	echo "$site/redirect-loop"
	echo "$site/redirect-to?url=file:///etc/passwd"
	echo "$site/redirect-to?url=ftp://127.0.0.1/"
	echo "$site/redirect/10"
	echo "$site/404/1"
	echo "$site/stall"
	echo "$site/silent"
	echo "$site/fast/5"
} >"$tmp/servers"
run "$WEIR" fetch --json --retries 0 --max-size 1M --per-host 0 \
	--first-byte-timeout 1s --stall-timeout 1s "$tmp/servers"
cp "$out" "$tmp/r"
expect_status 123
check 'two of them are fetched' test "$(count_of "$tmp/r" ok)" -eq 2
check 'all have a record' test "$(wc -l <"$tmp/r")" -eq 16
expect_field "$tmp/r" "$site/redirect/10" status '"ok"'
expect_field "$tmp/r" "$site/fast/5" status '"ok"'
expect_field "$tmp/r" "$site/404/1" error '"404 Not Found"'
expect_field "$tmp/r" "$site/endless-headers" error \
	'"headers of more than 256 KiB"'
expect_field "$tmp/r" "$site/endless-body" error '"a body of more than 1.0 MB"'
expect_field "$tmp/r" "$site/redirect-loop" error '"more than 10 redirects"'
expect_field "$tmp/r" "$site/redirect-to?url=file:///etc/passwd" error \
	'"redirected to a protocol that is not allowed"'
expect_field "$tmp/r" "$site/redirect-to?url=ftp://127.0.0.1/" error \
	'"redirected to a protocol that is not allowed"'
expect_field "$tmp/r" "$site/stall" error '"nothing arrived for 1.0s"'
expect_field "$tmp/r" "$site/silent" error '"no answer after 1.0s"'
expect_field "$tmp/r" "$site/close" error '"closed without an answer"'
expect_field "$tmp/r" "$closed" http_status null

# A bomb, and what is compressed but broken.
printf '%s\n' "$site/gzip-bomb/200" "$site/gzip-broken" "$site/gzip/5000" \
	>"$tmp/gzip"
run "$WEIR" fetch --json --compressed --max-size 1G "$tmp/gzip"
cp "$out" "$tmp/r"
expect_status 123
expect_field "$tmp/r" "$site/gzip/5000" bytes 5000
expect_field "$tmp/r" "$site/gzip-bomb/200" error \
	'"the body grows more than 100 times when unpacked"'
expect_field "$tmp/r" "$site/gzip-broken" status '"failed"'

# Places that cannot be written.
echo "$site/fast/1" >"$tmp/one"
run "$WEIR" fetch -o /proc/nowhere "$tmp/one"
expect_status 1
match_err '^weir fetch: cannot write'
: >"$tmp/file"
run "$WEIR" fetch -o "$tmp/file" "$tmp/one"
expect_status 1
run "$WEIR" fetch "$tmp/no-such-list"
expect_status 1
match_err '^weir fetch: cannot read: No such file'
run "$WEIR" fetch --resume "$tmp/no-such-records" "$tmp/one"
expect_status 1
run "$WEIR" fetch --records /dev/full "$tmp/one"
expect_status 1
match_err '^weir fetch: cannot write records: No space left'
if [ -w /dev/full ]; then
	"$WEIR" fetch "$tmp/one" >/dev/full 2>"$err"
	status=$?
	run_line='weir fetch >/dev/full'
	expect_status 1
	match_err 'cannot write: No space left on device (standard output)'
fi

# Nobody reads.
seq 1 3000 | sed "s|^|$site/fast/|" >"$tmp/many"
{
	"$WEIR" fetch "$tmp/many" 2>"$err"
	echo $? >"$tmp/status"
} | head -n 1 >/dev/null
check 'exits with 141 when nobody reads' test "$(cat "$tmp/status")" -eq 141
"$WEIR" fetch "$tmp/one" >&- 2>"$err"
check 'and when standard output is closed' test $? -eq 141

# More slots than descriptors: raise the soft limit, or say how many fit.
(
	# shellcheck disable=SC3045
	ulimit -Sn 64
	"$WEIR" fetch -j 100 "$tmp/one" >"$out" 2>"$err"
)
check 'raises the soft limit for -j' test $? -eq 0
(
	# shellcheck disable=SC3045
	ulimit -Sn 64 && ulimit -Hn 128
	"$WEIR" fetch -j 1000 "$tmp/one" >"$out" 2>"$err"
)
check 'refuses more slots than descriptors' test $? -eq 1
match_err '^weir fetch: -j 1000 needs .* open files'
match_err '^try: weir fetch -j [1-9][0-9]*$'

# Options.
run "$WEIR" fetch -H "X: a
b: c" "$tmp/one"
expect_status 2
run "$WEIR" fetch -X 'GET /' "$tmp/one"
expect_status 2
run "$WEIR" fetch --retry-failed "$tmp/one"
expect_status 2
run "$WEIR" fetch --public-only --proxy http://127.0.0.1:1 "$tmp/one"
expect_status 2

# Records must not go where the list comes from: it would be emptied.
echo "{\"url\": \"$site/fast/1\"}" >"$tmp/list"
run "$WEIR" fetch "$tmp/list" --records "$tmp/list"
expect_status 2 'refuses to write records over the list'
match_err 'it is the list that is read'
check 'and leaves the list alone' grep -q fast/1 "$tmp/list"

# What is refused of a body that was held back ends the transfer at once.
run timeout 20 "$WEIR" fetch --limit-rate 2K --max-size 1000 --per-host 0 - \
	<<END
$site/bytes/3000?1
$site/bytes/3000?2
END
expect_status 123 'a body that is too large ends while it is held back'
match_err '2.*too large'

# Answers to one URL with different bodies do not replace each other.
for i in 1 2 3; do
	echo "{\"url\": \"$site/echo\", \"body\": \"b$i\"}"
done >"$tmp/posts"
run "$WEIR" fetch "$tmp/posts" -o "$tmp/posted"
check 'each answer has a file' \
	test "$(find "$tmp/posted" -name 'echo*' | wc -l)" -eq 3

done_testing
