#!/bin/sh
# weir work with HTTP calls: what a server gets, and what becomes of jobs by
# what it answers.
# shellcheck disable=SC2317 # wait_for calls what is not called here
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/cli/work-lib.sh
. "$(dirname "$0")/work-lib.sh"
# shellcheck source=tests/cli/fetch-lib.sh
. "$(dirname "$0")/fetch-lib.sh"

# Answers as the body says, {"status": 503, "after": "7", "text": "busy"}, and
# writes down what came.  A job that says "hang" gets no answer.
cat >"$tmp/server.py" <<'END'
import http.server
import json
import os
import socketserver
import sys
import time


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        with open(sys.argv[1] + "/got", "a") as got:
            got.write(json.dumps({
                "method": self.command, "path": self.path,
                "body": body.decode(), "headers": dict(self.headers)}) + "\n")
        job = json.loads(body)
        if job.get("hang"):
            time.sleep(1000)
        if job.get("cut"):
            self.close_connection = True
            return
        text = job.get("text", "").encode()
        self.send_response(job.get("status", 200))
        if "after" in job:
            self.send_header("Retry-After", job["after"])
        if "to" in job:
            self.send_header("Location", job["to"])
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST

    def log_message(self, *args):
        pass


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True


server = Server(("127.0.0.1", 0), Handler)
with open(sys.argv[1] + "/port.new", "w") as port:
    port.write(str(server.server_port))
os.rename(sys.argv[1] + "/port.new", sys.argv[1] + "/port")
server.serve_forever()
END
start python3 "$tmp/server.py" "$tmp"
wait_for 10 test -s "$tmp/port" || not_ok 'the server is up'
url=http://127.0.0.1:$(cat "$tmp/port")/jobs

# call ARGS...: works the jobs of the kind that was put last
call() {
	do_put --http "$url" "$@"
}

put hello '{"to":"a@b.example",  "n":1.50}'
call -H 'Authorization: Bearer 1234'
expect_status 0
expect_out ''
expect_job "$id" 'j["state"]' completed
got() {
	expect_records "$tmp/got" "$@"
}
got 'r[-1]["method"] + " " + r[-1]["path"]' 'POST /jobs'
got 'r[-1]["body"]' '{"to":"a@b.example",  "n":1.50}'
got '[r[-1]["headers"].get(h) for h in ("Weir-Job-Id", "Weir-Job-Kind",
	"Weir-Job-Queue", "Weir-Job-Attempt", "Idempotency-Key",
	"Content-Type", "Authorization", "Expect")]' \
	"['$id', 'hello', 'default', '1', '$id', 'application/json', 'Bearer 1234', None]"

put typed '{}'
call -H 'Content-Type: application/x-job'
got 'r[-1]["headers"]["Content-Type"]' application/x-job

for status in 200 201 204 299; do
	put ok "{\"status\":$status}"
	call
	expect_job "$id" 'j["state"]' completed
done

for status in 400 404 408 409 425 429 500 502 503 504; do
	put "again.$status" "{\"status\":$status}"
	call
	expect_job "$id" 'j["state"]' retryable
done
expect_status 123

put gone '{"status":410, "text":"no such list\nat all"}'
call
expect_job "$id" 'j["state"]' discarded
expect_job "$id" 'j["errors"][0]["error"]' '410 Gone: no such list'
expect_job "$id" 'j["errors"][0]["trace"]' 'no such list
at all'

put after '{"status":503, "after":"120"}'
call --json
expect_records "$out" '(r[0]["http_status"], r[0]["state"], r[0]["error"])' \
	"(503, 'retryable', '503 Service Unavailable')"
match_err 'after [0-9]* .*503 Service Unavailable .*try 2/25 in \(2m00s\|1m59s\|2m\)'

# libcurl would make a GET of it, and the job would count as done.
put moved "{\"status\":302, \"to\":\"$url\"}"
call
expect_job "$id" 'j["state"]' retryable
got 'r[-1]["method"]' POST

put cut '{"cut":true}'
call
expect_job "$id" 'j["state"]' retryable
put refused '{}'
do_put --http http://127.0.0.1:1/
expect_job "$id" 'j["state"]' retryable
expect_job "$id" 'j["errors"][0]["error"] != ""' True

put hang '{"hang":true}'
call --timeout 200ms
expect_job "$id" 'j["state"]' retryable
expect_job "$id" 'j["errors"][0]["error"]' 'not complete after 200ms'
put hanging '{"hang":true}' --timeout 200ms
call --timeout 1h
expect_job "$id" 'j["errors"][0]["error"]' 'not complete after 200ms'

put output '{"text":"{\"sum\":  3}"}'
call --output
expect_job "$id" 'j["output"]' "{'sum': 3}"
put no_output '{"text":"done"}'
call --output
expect_job "$id" '(j["state"], j.get("output"))' "('completed', None)"

put cancel '{"hang":true}'
start_work --http "$url" --kind cancel
hangs() {
	grep -q '"Weir-Job-Kind": "cancel"' "$tmp/got"
}
wait_for 10 hangs
"$WEIR" jobs cancel "$id" >/dev/null 2>&1
becomes "$id" cancelled
kill -TERM "$pid"
end_work
expect_status 0

put stop '{"hang":true}'
start_work --http "$url" --kind stop
stop_hangs() {
	grep -q '"Weir-Job-Kind": "stop"' "$tmp/got"
}
wait_for 10 stop_hangs
kill -TERM "$pid"
wait_for 10 grep -q 'draining: 1 running' "$tmp/work.err"
kill -TERM "$pid"
end_work
expect_status 75
expect_job "$id" '(j["state"], j["attempt"])' "('available', 0)"
"$WEIR" jobs cancel "$id" >/dev/null 2>&1

put many '{}'
i=0
while [ "$i" -lt 200 ]; do
	echo '{}'
	i=$((i + 1))
done | "$WEIR" enqueue default --kind many >/dev/null 2>&1
call --json
expect_records "$out" '(len(r), {x["state"] for x in r})' "(201, {'completed'})"
got 'len({x["headers"]["Idempotency-Key"] for x in r
	if x["headers"]["Weir-Job-Kind"] == "many"})' 201

# --- jobs that are lines of weir fetch ---------------------------------------

site_start || not_ok 'the sample site is up'
cat >"$tmp/urls" <<END
$site/
$site/status/404
{"url": "$site/status/503", "id": "x"}
$site/status/410
END
"$WEIR" fetch --queue web --retries 3 "$tmp/urls" >/dev/null 2>&1
run "$WEIR" work web --fetch --until-empty -o "$tmp/files" --log "$tmp/weblog"
expect_status 123
match_out "200 .* $site/\$"
check 'the body is there' sh -c "ls '$tmp/files'/* >/dev/null"
expect_records "$tmp/weblog" \
	'sorted((x["http_status"], x["state"]) for x in r)' \
	"[(200, 'completed'), (404, 'discarded'), (410, 'discarded'), (503, 'retryable')]"
match_err "[0-9] $site/status/404  *404 Not Found"
run "$WEIR" work web --until-empty
expect_status 0 'they are not for who runs commands'

# --- bad input ---------------------------------------------------------------

run "$WEIR" work --http ftp://127.0.0.1/
expect_status 2
run "$WEIR" work --http "$url" -H 'no colon'
expect_status 2
run "$WEIR" work --http "$url" --fetch
expect_status 2
run "$WEIR" work --http "$url" --tag
expect_status 2
run "$WEIR" work -H 'A: b' -- true
expect_status 2

gone 'no process is left'
done_testing
