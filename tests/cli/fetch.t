#!/bin/sh
# weir fetch at work: lists, records, retries, files, resuming.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/cli/fetch-lib.sh
. "$(dirname "$0")/fetch-lib.sh"

site_start || exit 1

# One line a URL, in the order of the input with -k.
printf '%s\n' "$site/slow/200" "$site/fast/1" "$site/redirect/2" >"$tmp/list"
run "$WEIR" fetch -k "$tmp/list"
expect_status 0
sed 's/.* //' "$out" >"$tmp/order"
check 'prints in the order of the input with -k' cmp -s "$tmp/order" "$tmp/list"
match_out '^ok 200 .* kB http://\|^ok 200 .* B http://'
match_err '^fetched 3 in '
run "$WEIR" fetch "$tmp/list"
check 'prints as they end without' \
	test "$(tail -n 1 "$out" | sed 's/.* //')" = "$site/slow/200"

# All there is to a record.
run "$WEIR" fetch --json --checksum "$tmp/list"
cp "$out" "$tmp/r"
expect_field "$tmp/r" "$site/redirect/2" final_url "\"$site/fast/1\""
expect_field "$tmp/r" "$site/redirect/2" id 3
expect_field "$tmp/r" "$site/redirect/2" http_status 200
expect_field "$tmp/r" "$site/redirect/2" http_version '"1.1"'
expect_field "$tmp/r" "$site/redirect/2" remote "\"${site#http://}\""
expect_field "$tmp/r" "$site/redirect/2" attempts 1
expect_field "$tmp/r" "$site/redirect/2" error null
sum=$(curl -s "$site/fast/1" | sha256sum | cut -d' ' -f1)
expect_field "$tmp/r" "$site/fast/1" sha256 "\"$sum\""

# Objects as lines.
cat >"$tmp/objects" <<END
{"url": "$site/echo?1", "id": "mine", "method": "PUT", "body": {"n": 1}}
{"url": "$site/echo?2", "headers": {"X-Test": "yes"}}
$site/echo?3
END
mkdir "$tmp/echo"
run "$WEIR" fetch --json -j 1 -o "$tmp/echo" -H 'X-All: too' "$tmp/objects"
cp "$out" "$tmp/r"
expect_status 0
expect_field "$tmp/r" "$site/echo?1" id '"mine"'
# shellcheck disable=SC2317 # check calls it
echoed() {
	grep -q "$2" "$tmp/echo/$(field "$tmp/r" "$site/echo?$1" file | tr -d '"')"
}
check 'a method of its own is sent' echoed 1 '"PUT"'
check 'and a body' echoed 1 '{\\"n\\":1}'
check 'and headers' echoed 2 X-Test
check 'the next request has nothing of that' \
	sh -c "! grep -q 'X-Test\|PUT' '$tmp/echo/$(field "$tmp/r" \
		"$site/echo?3" file | tr -d '"')'"
check 'and has the headers for all' echoed 3 X-All

echo "$site/echo" >"$tmp/one"
run "$WEIR" fetch -o "$tmp/post" -d a=1 -d b=2 "$tmp/one"
check '-d is a POST, joined by &' grep -q 'a=1&b=2' "$tmp/post/echo"
run "$WEIR" fetch --json -I "$tmp/one"
expect_field "$out" "$site/echo" bytes 0

# Retries.
cat >"$tmp/flaky" <<END
$site/flaky/2/a
$site/flaky/9/b
$site/retry-after/1/c
$site/retry-after-date/2/d
$site/404/7
END
run "$WEIR" fetch --json --retries 2 "$tmp/flaky"
cp "$out" "$tmp/r"
expect_status 123
expect_field "$tmp/r" "$site/flaky/2/a" attempts 3
expect_field "$tmp/r" "$site/flaky/2/a" status '"ok"'
expect_field "$tmp/r" "$site/flaky/9/b" attempts 3
expect_field "$tmp/r" "$site/flaky/9/b" error '"503 Service Unavailable"'
expect_field "$tmp/r" "$site/404/7" attempts 1
expect_field "$tmp/r" "$site/retry-after/1/c" status '"ok"'
expect_field "$tmp/r" "$site/retry-after-date/2/d" status '"ok"'
waited=$(field "$tmp/r" "$site/retry-after/1/c" total_ms)
check 'Retry-After is obeyed' test "${waited%.*}" -ge 1000
match_err '429 Too Many Requests .*in 1.0s'

# What the exit status says.
seq 1 3 | sed "s|^|$site/404/|" >"$tmp/bad"
echo "$site/fast/1" >>"$tmp/bad"
run "$WEIR" fetch --exit-code=count "$tmp/bad"
expect_status 3
run "$WEIR" fetch --exit-code xargs "$tmp/bad"
expect_status 123
run "$WEIR" fetch --exit-code=count "$tmp/list"
expect_status 0
seq 1 100 | sed 's|^|bad line |' >"$tmp/bad"
run "$WEIR" fetch --exit-code=count "$tmp/bad"
expect_status 100
echo 'one more' >>"$tmp/bad"
run "$WEIR" fetch --exit-code=count "$tmp/bad"
expect_status 101
run env WEIR_FETCH_EXIT_CODE=count "$WEIR" fetch "$tmp/bad"
expect_status 101
run "$WEIR" fetch --exit-code=max "$tmp/bad"
expect_status 2
match_err "^weir fetch: .*--exit-code"
echo "$site/silent" >>"$tmp/bad"
run "$WEIR" fetch --exit-code=count --max-time 300ms "$tmp/bad"
expect_status 124 'being stopped is still told'

# Files.
cat >"$tmp/files" <<END
$site/fast/1
$site/fast/1?other
{"url": "$site/fast/2", "out": "../../escape"}
{"url": "$site/fast/3", "out": "/etc/passwd"}
$site/flaky/0/..%2f..%2fup
$site/
$site/404/8
END
run "$WEIR" fetch --json -j 1 -o "$tmp/out" "$tmp/files"
expect_status 123
check 'a body is a file' test -f "$tmp/out/1"
check 'its checksum is right' grep -q "$sum" "$tmp/out/weir-fetch.jsonl"
check 'a name that is taken gets a suffix' \
	sh -c "ls '$tmp/out' | grep -q '^1-[0-9a-f]*$'"
check 'nothing leaves the folder' test ! -e "$tmp/escape"
check 'what would leave it is renamed' test -f "$tmp/out/_._.._escape"
check 'a 404 leaves no file' test ! -e "$tmp/out/8"
check 'and nothing else stays' \
	test -z "$(find "$tmp/out" -name '.weir-*' -print)"
check 'a URL without a name is index.html' test -f "$tmp/out/index.html"
check 'a name in code is made harmless' test -f "$tmp/out/_._.._up"
check 'a record for each line' \
	test "$(wc -l <"$tmp/out/weir-fetch.jsonl")" -eq 7
match_err '^try: weir fetch --resume .*weir-fetch.jsonl --retry-failed -o'

# Resuming.
run "$WEIR" fetch --json --resume "$tmp/out/weir-fetch.jsonl" "$tmp/files"
check 'what was fetched is skipped' test "$(count_of "$out" skipped)" -eq 6
expect_field "$out" "$site/404/8" status '"failed"'
printf '{"id":1,"url":"%s/fast/9","status":"fa' "$site" \
	>>"$tmp/out/weir-fetch.jsonl"
run "$WEIR" fetch --json --resume "$tmp/out/weir-fetch.jsonl" --retry-failed
expect_status 123
check 'only failures are tried again' test "$(wc -l <"$out")" -eq 1
check 'a torn record does not spoil the next' \
	grep -q '^{"id":1,"url":"[^"]*/404/8"' \
	"$tmp/out/weir-fetch.jsonl"

# A URL alone does not name a request that has a body.
for body in one two; do
	printf '{"url":"%s/echo","body":"%s"}\n' "$site" "$body"
done >"$tmp/posts"
printf '{"url":"%s/echo","body":"three","id":"c"}\n' "$site" >>"$tmp/posts"
run "$WEIR" fetch --json "$tmp/posts"
expect_status 0
cp "$out" "$tmp/posts.jsonl"
run "$WEIR" fetch --json --resume "$tmp/posts.jsonl" "$tmp/posts"
check 'only the request with an id is skipped' \
	test "$(count_of "$out" skipped)-$(count_of "$out" ok)" = 1-2

echo "$site/bytes-cut-once/200000/x" >"$tmp/part"
run "$WEIR" fetch --json -o "$tmp/parts" "$tmp/part"
expect_status 123
check 'the beginning of a file is kept' \
	sh -c "ls -a '$tmp/parts' | grep -q '^.weir-.*part'"
run "$WEIR" fetch --json --resume "$tmp/parts/weir-fetch.jsonl" \
	-o "$tmp/parts" "$tmp/part"
expect_status 0
expect_field "$out" "$site/bytes-cut-once/200000/x" http_status 206
expect_field "$out" "$site/bytes-cut-once/200000/x" bytes 200000
seq -f '%015.0f' 0 16 200000 | head -c 200000 >"$tmp/whole"
check 'and continued' cmp "$tmp/whole" "$tmp/parts/x"
expect_field "$out" "$site/bytes-cut-once/200000/x" sha256 \
	"\"$(sha256sum <"$tmp/whole" | cut -d' ' -f1)\""
# The old part is read in pieces for the checksum; this has several of them.
echo "$site/bytes-cut-once/30000000/big" >"$tmp/part"
run "$WEIR" fetch -o "$tmp/parts" "$tmp/part"
expect_status 123
run "$WEIR" fetch --json --resume "$tmp/parts/weir-fetch.jsonl" \
	-o "$tmp/parts" "$tmp/part"
expect_status 0
expect_field "$out" "$site/bytes-cut-once/30000000/big" http_status 206
expect_field "$out" "$site/bytes-cut-once/30000000/big" sha256 \
	"\"$(seq -f '%015.0f' 0 16 30000000 | head -c 30000000 | sha256sum |
		cut -d' ' -f1)\""
echo "$site/changed/100000/y?cut" >"$tmp/part"
run "$WEIR" fetch -o "$tmp/parts" "$tmp/part"
run "$WEIR" fetch --json --resume "$tmp/parts/weir-fetch.jsonl" \
	-o "$tmp/parts" "$tmp/part"
expect_field "$out" "$site/changed/100000/y?cut" http_status 200
check 'one that has changed begins again' \
	test "$(head -c 1 "$tmp/parts/y")" = 1
check 'no leftovers' test -z "$(find "$tmp/parts" -name '.weir-*' -print)"

# Limits.
run "$WEIR" fetch --json --per-host 2 -j 8 "$tmp/list"
curl -s "$site/stats?reset" >/dev/null
seq 1 12 | sed "s|.*|$site/slow/100?&|" >"$tmp/slow"
run "$WEIR" fetch --per-host 2 -j 8 "$tmp/slow"
expect_status 0
check 'at most --per-host at once' \
	sh -c "curl -s '$site/stats' | grep -q '\"in_progress_max\": *2[^0-9]'"
began=$(date +%s%N)
seq 1 11 | sed "s|^|$site/fast/|" >"$tmp/eleven"
run "$WEIR" fetch --rate 10/s "$tmp/eleven"
check 'at most --rate starts' \
	test $((($(date +%s%N) - began) / 1000000)) -ge 900
began=$(date +%s%N)
echo "$site/bytes/300000" >"$tmp/one"
run "$WEIR" fetch --limit-rate 200K "$tmp/one"
expect_status 0
check 'at most --limit-rate bytes' \
	test $((($(date +%s%N) - began) / 1000000)) -ge 1000
echo "$site/silent" >"$tmp/one"
run "$WEIR" fetch --json --timeout 300ms "$tmp/one"
expect_status 123
run "$WEIR" fetch --json --max-time 300ms "$tmp/one"
expect_status 124
expect_field "$out" "$site/silent" status '"cancelled"'

# Secrets and addresses.
echo "http://joe:sesame@${site#http://}/auth" >"$tmp/one"
run "$WEIR" fetch --json -H 'X-Token: opensesame' "$tmp/one"
expect_status 0
check 'a password is sent, and shown nowhere' \
	sh -c "! grep -q sesame '$out' '$err'"
echo "$site/fast/1" >"$tmp/one"
run "$WEIR" fetch --json --public-only "$tmp/one"
expect_status 123
expect_field "$out" "$site/fast/1" error '"the address is not public"'

# A pipe that has nothing for a while; a list longer than any window.
(
	echo "$site/fast/1"
	sleep 0.5
	echo "$site/fast/2"
) | "$WEIR" fetch >"$out" 2>"$err"
check 'a pipe is read as it comes' test "$(grep -c '^ok' "$out")" -eq 2

# A FIFO is a pipe that may not have anybody at the other end yet.
mkfifo "$tmp/fifo"
run timeout 20 "$WEIR" fetch --max-time 500ms "$tmp/list" "$tmp/fifo"
expect_status 124 'a FIFO to which nobody writes does not hang the run'
check 'nor what stands before it' test "$(grep -c '^ok' "$out")" -eq 3
start timeout 20 "$WEIR" fetch "$tmp/list" "$tmp/fifo" >"$tmp/fetched" 2>&1
wait_for 10 grep -q '^ok 200 .*slow/200$' "$tmp/fetched"
printf '%s\n' "$site/fast/1?fifo" "$site/fast/2?fifo" >"$tmp/fifo"
wait "$pid"
check 'one to which somebody writes later is read to its end' \
	test "$?/$(grep -c '^ok.*fifo$' "$tmp/fetched")" = 0/2
start sh -c "printf '%s\n' '$site/fast/1?early' >'$tmp/fifo'"
writer=$pid
run timeout 20 "$WEIR" fetch "$tmp/list" "$tmp/fifo"
expect_status 0 'somebody who has waited to write to it is waited for'
wait "$writer"
check 'and loses nothing' test "$?/$(grep -c '^ok.*early$' "$out")" = 0/1
seq 1 5000 | sed "s|^|$site/fast/|" >"$tmp/many"
run "$WEIR" fetch -k --per-host 0 -j 32 "$tmp/many"
sed 's/.* //' "$out" >"$tmp/order"
check 'keeps the order of many' cmp -s "$tmp/order" "$tmp/many"
run "$WEIR" fetch -q --json --per-host 0 "$tmp/many"
check 'each exactly once' \
	test "$(sed 's/.*"url":"\([^"]*\).*/\1/' "$out" | sort -u | wc -l)" -eq 5000
expect_err ''

done_testing
