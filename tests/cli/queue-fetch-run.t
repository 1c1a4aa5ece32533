#!/bin/sh
# weir run and weir fetch with --queue: the same lines, but as durable jobs.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/cli/queue-lib.sh
. "$(dirname "$0")/queue-lib.sh"
cd "$tmp" || exit 1

# The args of all jobs of a queue, the oldest first.
args_of() {
	"$WEIR" jobs list --queue "$1" --oldest --limit 0 --json |
		python3 -c '
import json, sys
for line in sys.stdin:
    print(json.dumps(json.loads(line)["args"], ensure_ascii=False))' >"$out"
	run_line="args of $1"
}

# weir run
weir run --queue night --retries 3 --timeout 5s ./render '{}' '{.}.png' ::: a.x b
expect_status 0
expect_out '1
2'
match_err '^weir run: made jobs.db$'
match_err '^enqueued 2 jobs in '
args_of night
expect_out "{\"argv\": [\"./render\", \"a.x\", \"a.png\"], \"dir\": \"$tmp\"}
{\"argv\": [\"./render\", \"b\", \"b.png\"], \"dir\": \"$tmp\"}"
weir jobs show --json 2
expect_json "$out" '[r[0][k] for k in ("kind", "max_attempts", "timeout")]' \
	"['weir.run', 4, '5s']"

# Words are any bytes: what is no UTF-8 comes as base64, the rest as it is.
mkdir sub
printf 'c\377d\0"\\\n\0é\0' >items
give items run --queue words -0 --chdir sub echo
args_of words
expect_out "{\"argv\": [\"echo\", {\"base64\": \"Y/9k\"}], \"dir\": \"$tmp/sub\"}
{\"argv\": [\"echo\", \"\\\"\\\\\\n\"], \"dir\": \"$tmp/sub\"}
{\"argv\": [\"echo\", \"é\"], \"dir\": \"$tmp/sub\"}"

# shellcheck disable=SC2016 # the script's, not ours
weir run --queue shell --shell 'echo "$1"' ::: 'a b'
args_of shell
expect_out "{\"argv\": [\"sh\", \"-c\", \"echo \\\"\$1\\\"\", \"sh\", \"a b\"], \"dir\": \"$tmp\"}"

# And so they come out again, where the command was to run.
# shellcheck disable=SC2016
printf '#!/bin/sh\npwd\nprintf %%s "$1" | od -An -tx1\n' >sub/tell
chmod +x sub/tell
printf 'c\377d\0' >items
give items run --queue go -0 --chdir sub ./tell
weir work go --until-empty
expect_status 0
expect_out "$tmp/sub
 63 ff 64"
mkdir gone
weir run --queue gone --retries 0 --chdir gone true ::: a
rmdir gone
weir work gone --until-empty
expect_status 123
weir jobs list --queue gone
match_out 'discarded .*1/1  cannot run in its folder: No such file or directory$'

seq 2500 >numbers
give numbers run --queue many -n 2 --json true
expect_status 0
expect_json "$out" '(len(r), r[-1]["kind"], r[-1]["state"])' \
	"(1250, 'weir.run', 'available')"
give /dev/null run --queue night true
expect_status 0
expect_err 'weir run: no items in the input'

# A line of which no command can be made is told of, the others go on.
printf 'a\nb\0c\nd\n' >items
give items run --queue bad echo
expect_status 123
check 'the others are in' test "$(wc -l <"$out")" = 2
match_err '^weir run: line 2: '
match_err '^1 line is no job; see above$'

# What means nothing to jobs of later is refused, and nothing is enqueued.
for options in -j4 --rate=1/s --halt=soon,fail=1 --backoff=1s --mem-limit=1G; do
	weir run --queue refused "$options" true ::: a
	expect_status 2
	match_err 'has no place beside --queue: how jobs are run is for weir work to say$'
done
weir run --queue refused -k true ::: a
expect_err 'weir run: --keep-order has no place beside --queue: nothing is run, so there is no output'
weir run --queue refused --resume log true ::: a
expect_status 2
weir run --queue refused 'echo{%}' ::: a
expect_status 2
weir run --queue Refused true ::: a
expect_status 2
match_err '^weir run: queue "Refused" '
weir jobs list --queue refused
expect_err 'weir jobs: no jobs match'
# The environment speaks of other runs, too.
run env WEIR_JOBS=4 WEIR_QUEUE=other "$WEIR" run --queue env true ::: a
expect_status 0
run env WEIR_QUEUE=other "$WEIR" run echo ::: now
expect_out now

# weir fetch
cat >urls <<'END'
http://a.example/?q=1
# a comment

{"url":"http://b.example/","id":"x","method":"PUT","body":{"n": 1.50},"headers":{"A":"b"}}
ftp://c.example/
{"url":"http://d.example/","bodi":1}
END
give urls fetch --queue web --retries 1 -H 'X-Team: blue' -d 'a=b'
expect_status 123
check 'the good ones are in' test "$(wc -l <"$out")" = 2
match_err '^weir fetch: line 5: '
match_err '^weir fetch: line 6: '
args_of web
expect_out '{"url": "http://a.example/?q=1", "headers": {"X-Team": "blue"}, "body": "a=b"}
{"url": "http://b.example/", "id": "x", "method": "PUT", "body": {"n": 1.5}, "headers": {"A": "b"}}'
weir jobs list --queue web --json
expect_json "$out" '[(j["kind"], j["max_attempts"], j["timeout"]) for j in r]' \
	"[('weir.fetch', 2, '300s'), ('weir.fetch', 2, '300s')]"
match_out '"body":{"n": 1.50}' 'the line is kept byte for byte'
weir fetch --queue web -j4 urls
expect_status 2
weir fetch --queue web -o out urls
expect_err 'weir fetch: --output-dir has no place beside --queue: nothing is fetched, so there is no output'
weir fetch --queue web none
expect_status 1

# These kinds are the command's own, for what is in their args is run.
weir enqueue night --kind weir.run --args '{"argv":["true"]}'
expect_status 2
match_err 'reserved for the command weir'

done_testing
