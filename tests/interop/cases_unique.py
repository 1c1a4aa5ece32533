"""Unique jobs: the same keys, whoever makes them, and whoever holds them."""

import threading

from cases import EACH, case
from rows import jobs
from sides import one, sql, until

# 2026-01-02T03:04:05.678Z and 05:21:05Z, and what River's own vectors say.
NOW_MS = 1767323045678
LATER_MS = 1767331265000

GOLDEN = [
    ("5396f06a082abd7a929915135ebd363a9a47d800176b03ce7736f93a5ba9e22e",
     {"kind": "conformance_simple", "scheduled_at_ms": NOW_MS,
      "unique": {"by_period_ms": 3600000}}),
    ("5396f06a082abd7a929915135ebd363a9a47d800176b03ce7736f93a5ba9e22e",
     {"kind": "conformance_simple", "scheduled_at_ms": NOW_MS,
      "unique": {"by_period_ms": 5400000}}),
    ("b7f3c49952996b760b8b3ff6cf48f426e03a6ef0f004fb6faa51725365cf309a",
     {"kind": "conformance_simple", "scheduled_at_ms": LATER_MS,
      "unique": {"by_period_ms": 3600000}}),
    ("d20ce47da8e8015e68b020bbca2b17494139519ae05f8985e5992db4d8dd8a09",
     {"kind": "conformance_simple", "queue": "priority_emails",
      "unique": {"by_queue": True, "exclude_kind": True}}),
    ("fe05a58ddb79a8d4544da962582d9a290d59788c920afd3597da3a62e3c1b0ac",
     {"kind": "conformance_all_args", "args": {},
      "unique": {"by_args": True}}),
    ("23aa86692d9807ab10e433e378f1c0804573f5e345818461b919322dd381b4c3",
     {"kind": "conformance_selected_args", "args": {"other": 1},
      "unique": {"by_args": True, "fields": ["account", "nested.id"]}}),
    ("6f20262e7b1fa9beaf98255f23030800376636484a98b20c2c04a303bab5a8d5",
     {"kind": "conformance_simple", "queue": "priority_emails",
      "args": {"id": 42}, "scheduled_at_ms": LATER_MS,
      "unique": {"by_args": True, "by_period_ms": 60000, "by_queue": True}}),
]

# As text, for the very bytes count.  weir refuses a key that is there twice.
ARGS = [
    '{}',
    '{"b":1,"a":2}',
    '{"a":{"z":1,"a":2},"A":[3,2,1]}',
    '{"text":"<b>&amp;\\u2028é\\t\\u0001\\u007f\\b\\f"}',
    '{"slash":"a\\/b","emoji":"\\ud83d\\ude00","é":"\\u00e9"}',
    '{"a<b":1,"a.b":2,"@x":3,"a:b":4,"!":5,"[0]":6,"{":7,"":8}',
    '{"quote\\"d":1,"back\\\\slash":2,"tab\\t":3,"é":4,"\\u007f":5}',
    '{"n":1.0,"m":1e3,"o":-0,"p":1E-7,"q":123456789012345678901234567890}',
    '{ "a" : 1 , "b" : [ 1 , 2 ] }',
    '{"null":null,"true":true,"empty":{},"list":[]}',
    '{"10":1,"9":2,"a":3,"Z":4,"_":5}',
    '{"a":"\\u003c","b":"<"}',
    '{"a":"\\/"}',
]

FIELDS = ["account", "nested.id", "nested.key", "zone"]
SELECTED = [
    '{"account":1,"other":2}',
    '{"zone":"z","account":"<a>","nested":{"key":[1, 2],"id":{"b":1,"a":2}}}',
    '{"account":null}',
    '{"nested":{"id":7,"other":1}}',
    '{"nested":{"other":1}}',
    '{"account":"","nested":{"key":null,"id":"é"}}',
]

STATES = ["available", "pending", "running", "scheduled"]


def all_specs():
    specs = [spec for _, spec in GOLDEN]
    for args in ARGS:
        specs.append(f'{{"kind":"conformance_all_args","args":{args},'
                     f'"unique":{{"by_args":true}}}}')
    fields = '["' + '","'.join(FIELDS) + '"]'
    for args in SELECTED:
        specs.append(f'{{"kind":"conformance_selected_args","args":{args},'
                     f'"unique":{{"by_args":true,"fields":{fields}}}}}')
    for period in (1000, 1500, 60000, 86400000, 604800000, 31536000000):
        for when in (NOW_MS, LATER_MS, 1, 951782400000, 4102444800123):
            specs.append({"kind": "ok", "scheduled_at_ms": when,
                          "unique": {"by_period_ms": period}})
    specs.append({"kind": "ok", "queue": "a-b_c",
                  "unique": {"by_queue": True}})
    specs.append({"kind": "ok", "unique": {
        "by_args": True, "exclude_kind": True}})
    return specs


@case("golden unique keys", EACH)
def golden(w, schema, _, side):
    for number, (wanted, spec) in enumerate(GOLDEN):
        lines = side.run(schema, "unique-key", specs=[spec])
        w.same(f"{number}", lines[0]["unique_key"], wanted)


@case("the same unique keys", ("gw",))
def same_keys(w, schema, _, a, b):
    specs = all_specs()
    for number, spec in enumerate(specs):
        keys = [side.run(schema, "unique-key", specs=[spec])[0]["unique_key"]
                for side in (a, b)]
        w.check(f"{number}", keys[0] == keys[1] and keys[0],
                spec, *keys)


@case("held by the other")
def held(w, schema, _, a, b):
    cases = [
        {"kind": "ok", "unique": {"by_queue": True}},
        {"kind": "ok", "args": {"x": "<1>"}, "unique": {"by_args": True}},
        {"kind": "ok", "queue": "q2", "unique": {"by_period_ms": 86400000}},
        {"kind": "ok", "queue": "q3", "args": {"y": 1}, "unique": {
            "by_args": True, "exclude_kind": True}},
        {"kind": "ok", "queue": "q4", "unique": {
            "by_queue": True, "by_state": STATES}},
    ]
    for number, spec in enumerate(cases):
        first, = a.insert(schema, spec)
        for flags in ((), ("--many",)):
            second, = b.insert(schema, spec, flags=flags)
            w.same(f"{number}: {b} finds {a}'s {' '.join(flags)}",
                   [second["id"], second["duplicate"], second["state"]],
                   [first["id"], True, "available"])
    w.same("and there are no others", len(jobs(schema)), len(cases))
    # The kind and the args of who was first stay.
    b.insert(schema, {"kind": "fail", "queue": "q3", "args": {"y": 1},
                      "unique": {"by_args": True, "exclude_kind": True}})
    w.same("the kind stays", sorted(
        row["kind"] for row in jobs(schema).values()), ["ok"] * 5)


@case("held until it ends")
def held_until(w, schema, _, a, b):
    always = {"kind": "ok", "unique": {"by_queue": True}}
    waiting = {"kind": "output", "args": {"output": 1}, "unique": {
        "by_args": True, "by_state": STATES}}
    failing = {"kind": "cancel", "args": {"n": 3}, "unique": {
        "by_args": True}}
    ids = a.ids(schema, always, waiting, failing)
    with b.work(schema):
        until("all have ended", lambda: [
            jobs(schema)[i]["state"] for i in ids] ==
            ["completed", "completed", "cancelled"])
    again = b.insert(schema, always, waiting, failing)
    w.same("a completed one still counts, by default",
           [line["duplicate"] for line in again], [True, False, False])


@case("a retry that another stands in the way of")
def retry_conflict(w, schema, _, a, b):
    spec = {"kind": "ok", "unique": {"by_queue": True}}
    first, = a.ids(schema, spec)
    a.run(schema, "cancel", first)
    second, = b.ids(schema, spec)
    w.check("a cancelled one does not count", first != second)
    lines = b.run(schema, "retry", first)
    w.check("the retry is refused", lines[0].get("error") or
            lines[0].get("status") == "INVAL", lines)
    w.same("and changes nothing", jobs(schema)[first]["state"], "cancelled")


@case("a scheduled one that comes too late")
def scheduled_conflict(w, schema, _, a, b):
    # Retryable is not among its states, so another may take the key.
    spec = {"kind": "ok", "queue": "later", "unique": {
        "by_queue": True, "by_state": STATES}}
    first, = a.ids(schema, spec)
    sql("UPDATE river_job SET state = 'retryable', attempt = 1, attempted_at "
        "= now(), attempted_by = '{me}', scheduled_at = now() - interval "
        f"'1 second' WHERE id = {first}", schema)
    second, = a.ids(schema, spec)
    with b.work(schema, "--queues", "default:1"):
        row = until("it is discarded", lambda: jobs(schema)[first] if jobs(
            schema)[first]["state"] == "discarded" else None, 20)
    w.same("it says why", row["metadata"].get("unique_key_conflict"),
           "scheduler_discarded")
    w.same("the other one is as it was", jobs(schema)[second]["state"],
           "available")


@case("inserted by both at once", ("gw",))
def race(w, schema, _, a, b):
    specs = [{"kind": "ok", "args": {"n": n}, "unique": {"by_args": True}}
             for n in range(200)]
    results = {}

    def insert(side):
        results[side] = side.insert(schema, *specs)
    threads = [threading.Thread(target=insert, args=(side,))
               for side in (a, b)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    w.same("one of each", one("SELECT count(*) AS n FROM river_job",
                              schema)["n"], 200)
    w.same("both were given the same ids",
           [line["id"] for line in results[a]],
           [line["id"] for line in results[b]])
    w.check("one of them is told that it was first",
            all(x["duplicate"] != y["duplicate"]
                for x, y in zip(results[a], results[b])))
