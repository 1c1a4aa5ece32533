#!/bin/sh
# The sample site's embedding server, which other tests rely on: its numbers,
# its protocol, and that each knob misbehaves exactly when it says.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/cli/fetch-lib.sh
. "$(dirname "$0")/fetch-lib.sh"

site_start || exit 1

cat >"$tmp/ask.py" <<'END'
import base64, http.client, json, math, struct, sys, time

SITE = sys.argv[1].removeprefix("http://")

def post(knobs, body, **headers):
    """Status, header fields and body; None for a body that was cut."""
    c = http.client.HTTPConnection(SITE, timeout=60)
    fields = {"Content-Type": "application/json"}
    fields.update((k.replace("_", "-"), v) for k, v in headers.items())
    body = body if isinstance(body, (str, bytes)) else json.dumps(body)
    c.request("POST", "/model/%s/v1/embeddings" % knobs, body, fields)
    r = c.getresponse()
    try:
        return r.status, r.headers, r.read()
    except http.client.IncompleteRead:
        return r.status, r.headers, None

def ask(knobs, input, **more):
    s, h, b = post(knobs, {"model": "m", "input": input, **more})
    assert s == 200, (s, b)
    return json.loads(b)

def vectors(knobs, input, **more):
    return [d["embedding"] for d in ask(knobs, input, **more)["data"]]

def unpack(text):
    raw = base64.b64decode(text, validate=True)
    return list(struct.unpack("<%df" % (len(raw) // 4), raw))

def as_float(x):
    return struct.unpack("<f", struct.pack("<f", x))[0]

def dot(a, b):
    return sum(x * y for x, y in zip(a, b))

def error(knobs, body, **headers):
    """Status, type, param and code of an error in OpenAI's shape."""
    s, h, b = post(knobs, body, **headers)
    e = json.loads(b)
    assert list(e) == ["error"], e
    e = e["error"]
    assert sorted(e) == ["code", "message", "param", "type"], e
    assert e["message"], e
    return s, e["type"], e["param"], e["code"]

def what(knobs):
    """One word for what became of a request for two texts, 4 numbers each."""
    s, h, b = post(knobs, {"model": "m", "input": ["one", "two"]})
    if s != 200:
        json.loads(b)["error"]["message"]
        return str(s)
    if b is None:
        return "cut"
    try:
        v = [d["embedding"] for d in json.loads(b)["data"]]
    except ValueError:
        return "garbage"
    nan = sum(x is None for e in v for x in e)
    if nan:
        return "nan" if nan == 1 else "nans"
    if [len(e) for e in v] == [4, 4]:
        return "ok"
    return {"[4]": "short", "[3, 3]": "wrong"}.get(
        str([len(e) for e in v]), "odd")

def mix64(x):
    m = (1 << 64) - 1
    x = (x + 0x9e3779b97f4a7c15) & m
    x = ((x ^ x >> 30) * 0xbf58476d1ce4e5b9) & m
    x = ((x ^ x >> 27) * 0x94d049bb133111eb) & m
    return x ^ x >> 31

def seconds(knobs):
    start = time.monotonic()
    ask(knobs, "x")
    return time.monotonic() - start

OK = {"model": "m", "input": "x"}
exec(sys.argv[2])
END

# that NAME PROGRAM: it may use all of the above, and asserts something.
that() {
	run python3 "$tmp/ask.py" "$site" "$2"
	expect_status 0 "$1"
}

# sequence KNOBS WORDS: what becomes of the first requests.
sequence() {
	run python3 "$tmp/ask.py" "$site" "
for i in range($(printf '%s\n' "$2" | wc -w)): print(what('$1'), end=' ')"
	check "$1 gives $2" test "$(cat "$out")" = "$2 "
}

# The numbers.
that 'vectors are of unit length, whatever the text' '
texts = ["a", "Hello", "!!!", " ", "\0", "caf\u00e9 \u6c34", "a b " * 9000,
         "x" * 50000, " ".join(str(i) for i in range(5000))]
for dims in 1, 2, 384, 4096:
    for v in vectors("dims=%d" % dims, texts):
        assert len(v) == dims
        assert abs(dot(v, v) - 1) < 1e-6, dot(v, v)'
that 'a text has one vector: alone, among others, and the next time' '
v = vectors("-", ["one thing", "another", "one thing"])
assert v[0] == v[2] != v[1]
assert vectors("-", "one thing") == vectors("latency=0", ["one thing"]) == v[:1]'
that 'the vector of a text is the same on every machine' '
assert vectors("dims=8", "Hello World", encoding_format="base64") == [
    "AAAAAHfWCD8AAAAAd9aIvnfWCL531gi+FQwrP7NBzb4="]'
that 'case and punctuation do not matter' '
v = vectors("-", ["The Weir, again!", "the weir again"])
assert v[0] == v[1]'
that 'base64 has the same floats as the text' '
texts = ["word %d of %d, and so on" % (i, i * i) for i in range(200)]
for dims in 3, 384:
    f = vectors("dims=%d" % dims, texts, encoding_format="float")
    b = vectors("dims=%d" % dims, texts, encoding_format="base64")
    assert [[as_float(x) for x in v] for v in f] == [unpack(t) for t in b]'
that 'a number has at most nine significant digits' '
s, h, b = post("-", {"model": "m", "input": ["a few words", "some more"]})
for v in json.loads(b, parse_float=str, parse_int=str)["data"]:
    for x in v["embedding"]:
        assert len(x.lstrip("-0.").replace(".", "")) <= 9, x'
that 'the nearest of three texts is the one with the rare words' '
texts = [
    "A pool has a fixed number of workers. When all of them are busy and the "
    "queue is full, submit waits until there is room for the job again.",
    "The store keeps jobs in SQLite. After a crash, jobs whose lease has "
    "expired are handed to another worker, and none of them is lost.",
    "A fetcher obeys Retry-After, resumes downloads with Range requests, and "
    "checks that the checksum of the file is what the list says."]
t = vectors("-", texts)
for question, want in (
        ("What happens when the queue of the pool is full?", 0),
        ("Is a job lost after the worker has crashed?", 1),
        ("How does it resume a download?", 2),
        ("which checksums are verified", 2),
        ("how are leases expiring in the sqlite stores", 1)):
    q, = vectors("-", question)
    near = [dot(q, v) for v in t]
    assert near.index(max(near)) == want, (question, near)'
that 'common words hardly count' '
a, b, c = vectors("-", ["the pool of the jobs", "the weir of the mill",
                        "pool jobs"])
assert dot(a, c) > 0.9 and abs(dot(a, b)) < 0.2, (dot(a, c), dot(a, b))'

# The protocol.
that 'an answer has the shape of OpenAI' '
a = ask("-", ["one", "two words"], user="ignored")
assert a["object"] == "list" and a["model"] == "m"
assert [(d["object"], d["index"]) for d in a["data"]] == [
    ("embedding", 0), ("embedding", 1)]
assert a["usage"]["prompt_tokens"] == a["usage"]["total_tokens"] > 0'
that 'the name of the model comes back as it was' '
s, h, b = post("-", {"model": "\u6c34\"\\", "input": "x"})
assert s == 200 and json.loads(b)["model"] == "\u6c34\"\\"'
that 'dimensions asks for fewer, and never for more' '
assert [len(vectors("dims=%d" % d, "x", dimensions=n)[0])
        for d, n in ((384, 7), (8, 8), (8, 9))] == [7, 8, 8]'
run curl -s "$site/model/-/v1/models"
match_out '^{"object":"list","data":\[{"id":"hashed-ngrams","object":"model"'
body='{"model":"m","input":"x"}'
json='Content-Type: application/json'
run curl -sv -H "$json" -H 'Expect: 100-continue' -d "$body" \
	"$site/model/-/v1/embeddings"
match_out '^{"object":"list"' 'a body may wait for 100 Continue'
match_err '^< HTTP/1.1 100 Continue' 'and gets it'
run curl -s -H "$json" -H 'Transfer-Encoding: chunked' -d "$body" \
	"$site/model/-/v1/embeddings"
match_out '^{"object":"list"' 'a body may come in chunks'
that '1 MiB of texts is taken' '
v = vectors("-", ["word " * 200] * 1000)
assert len(v) == 1000 and v[0] == v[999]'

# Errors.
that 'a request that makes no sense is told so' '
bad = "invalid_request_error"
for body, param in (
        ("", None), ("{", None), ("[]", None), (b"{\"model\":\"\xff\"}", None),
        ("{\"model\":\"m\",\"input\":\"x\",\"input\":\"y\"}", None),
        ({"input": "x"}, "model"), ({"model": 1, "input": "x"}, "model"),
        ({"model": "m"}, "input"), ({"model": "m", "input": ""}, "input"),
        ({"model": "m", "input": []}, "input"),
        ({"model": "m", "input": ["x", ""]}, "input"),
        ({"model": "m", "input": [1, 2]}, "input"),
        ({"model": "m", "input": {}}, "input"),
        (dict(OK, input=["x"] * 2049), "input"),
        (dict(OK, dimensions=0), "dimensions"),
        (dict(OK, dimensions="8"), "dimensions"),
        (dict(OK, encoding_format="hex"), "encoding_format")):
    assert error("-", body) == (400, bad, param, None), body
assert error("-", OK, Content_Type="text/plain")[0] == 400
assert error("dims=4096", dict(OK, input=["x"] * 2048))[0] == 400'
that 'the model "missing" is not there' '
assert error("-", dict(OK, model="missing")) == (
    404, "invalid_request_error", "model", "model_not_found")'
for knobs in nonsense dims=0 dims=4097 dims dims= shuffle=1 429=0 \
	key= retry-after=soon max-inputs=0 -,dims=8 dims=8,,shuffle; do
	run curl -s -w '%{http_code}' -H "$json" -d "$body" \
		"$site/model/$knobs/v1/embeddings"
	check "knobs $knobs are 400 and the usage" sh -c \
		"grep -q '^usage: .*wrong-dims=N' '$out' && grep -q '^400' '$out'"
done
run curl -s -o "$tmp/405" -w '%{http_code}' "$site/model/-/v1/embeddings"
check 'GET is not for embeddings' test "$(cat "$out")" = 405
run curl -s -o "$tmp/404" -w '%{http_code}' "$site/model/-/v1/nothing"
check 'nothing else is served' test "$(cat "$out")" = 404

# The knobs, each counted from its first request.
sequence dims=4,429=3 'ok ok 429 ok ok 429 ok'
sequence dims=4,503=2 'ok 503 ok 503'
sequence dims=4,500=2 'ok 500 ok 500'
sequence dims=4,down=3 '503 503 503 ok ok'
sequence dims=4,down=2,429=2,500=3 '503 503 500 429 ok 429 ok'
sequence dims=4,cut=2 'ok cut ok cut ok'
sequence dims=4,garbage=3 'ok ok garbage ok ok garbage'
sequence dims=4,short=2 'ok short ok short'
sequence dims=4,wrong-dims=2 'ok wrong ok wrong'
sequence dims=4,nan=2 'ok nan ok nan'
sequence dims=4,429=2,cut=2 'ok 429 cut 429 ok 429 cut 429'
that 'each text of knobs is counted by itself' '
assert [what(k) for k in ("dims=4,cut=2,latency=0", "dims=4,cut=2,jitter=0")
        for i in range(2)] == ["ok", "cut"] * 2'
that 'a limit of the rate is told with Retry-After' '
s, h, b = post("429=1", OK)
assert (s, h["Retry-After"]) == (429, "1")
assert error("429=1", OK) == (429, "requests", None, "rate_limit_exceeded")
for knob, status in ("429", 429), ("503", 503), ("500", 500):
    s, h, b = post(knob + "=1,retry-after=7", OK)
    assert (s, h["Retry-After"]) == (status, "7")
assert post("down=1", OK)[1]["Retry-After"] is None'
that 'or with a date a second ahead' '
from email.utils import parsedate_to_datetime as when
s, h, b = post("429=1,retry-after=date", OK)
ahead = (when(h["Retry-After"]) - when(h["Date"])).total_seconds()
assert s == 429 and 1 <= ahead <= 2, ahead'
that 'a cut answer promises its whole length' '
whole = post("dims=4", OK)[2]
s, h, b = post("dims=4,cut=1", OK)
assert b is None and int(h["Content-Length"]) == len(whole)'
that 'null is not a number in base64 either' '
v = unpack(vectors("dims=4,nan=1", "x", encoding_format="base64")[0])
assert sum(math.isnan(x) for x in v) == 1'
that 'a shuffled answer has the right indices' '
plain, odd = ask("-", ["a1", "b2", "c3"]), ask("shuffle", ["a1", "b2", "c3"])
assert [d["index"] for d in odd["data"]] == [2, 1, 0]
assert odd["data"][::-1] == plain["data"]'
that 'a text that is rejected rejects the request' '
k = "reject=no%20entry%2C"
assert error(k, dict(OK, input=["fine", "sign: no entry, ever"])) == (
    400, "invalid_request_error", "input", None)
assert len(vectors(k, ["fine", "no entry"])) == 2'
that 'max-inputs is the last number that is taken' '
assert len(vectors("max-inputs=3", ["x"] * 3)) == 3
assert error("max-inputs=3", dict(OK, input=["x"] * 4))[2] == "input"'
that 'a key is asked for' '
k = "key=se%2Fcret,429=2"
no = (401, "invalid_request_error", None, "invalid_api_key")
assert error(k, OK) == error(k, OK, Authorization="Bearer se") == no
assert error(k, OK, Authorization="Basic se/cret") == no
assert error(k, OK, Authorization="Bearer se/cretx") == no
# Only those that show it are counted.
assert [post(k, OK, Authorization="Bearer se/cret")[0]
        for i in range(3)] == [200, 429, 200]'
run curl -s -o "$tmp/models" -w '%{http_code}' "$site/model/key=x/v1/models"
check 'for the list of models too' test "$(cat "$out")" = 401
that 'an answer takes its latency, and the jitter of its number' '
assert seconds("latency=120") >= 0.12
took = [seconds("jitter=200") for n in (1, 2, 3, 4)]
for n, t in enumerate(took):
    assert t >= mix64(n + 1) % 201 / 1000, (n, t)'

# What waits for its latency is in progress.
curl -s -o "$tmp/stats" "$site/stats?reset"
start curl -s -o "$tmp/late" -H "$json" -d "$body" \
	"$site/model/latency=60000/v1/embeddings"
# shellcheck disable=SC2317 # wait_for calls it
in_progress() {
	curl -s "$site/stats" | grep -q '"in_progress":1\b'
}
check 'a request that waits is in progress' wait_for 10 in_progress
run curl -s "$site/stats"
match_out '"model":1\b' 'and counted under its route'

done_testing
