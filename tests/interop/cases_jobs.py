"""Jobs inserted on one side and worked, looked at and changed on the other."""

import time

from cases import EACH, PAIRS, case
from rows import jobs, story
from sides import one, sql, until

QUICK = ("--retry-ms", "50", "--poll-ms", "100")

# A time that is no whole second, and far in the future.
LATER_MS = 4102444800123

EVERY_OPTION = [
    {"kind": "ok"},
    {"kind": "ok", "args": {"b": 1, "a": "<é&\u2028>", "n": [None, 1.5, {}]}},
    {"kind": "ok", "queue": "other-1", "priority": 4},
    {"kind": "ok", "max_attempts": 1, "metadata": {"m": {"x": [1]}}},
    {"kind": "ok", "tags": ["abc", "x-y_z", "with-dash"]},
    {"kind": "ok", "scheduled_at_ms": LATER_MS},
    {"kind": "ok", "scheduled_at_ms": 1767323045678},  # in the past
    {"kind": "ok", "pending": True},
    {"kind": "a/b.c:d[e]<f>·+-", "args": {"x": 1}},
    {"kind": "ok", "unique": {"by_queue": True}},
    {"kind": "ok", "args": {"u": 1}, "unique": {"by_args": True}},
    {"kind": "ok", "args": {"u": 2}, "queue": "q2", "unique": {
        "by_args": True, "by_queue": True, "by_period_ms": 3600000,
        "exclude_kind": True, "by_state": [
            "available", "pending", "running", "scheduled", "cancelled",
            "discarded"]}, "scheduled_at_ms": LATER_MS},
    {"kind": "ok", "metadata": {"big": 123456789012345678901234567890,
                                "null": None, "x": 9007199254740993}},
]


def by_number(schema):
    return [row for _, row in sorted(jobs(schema).items())]


def decoded(side, schema):
    return {job["id"]: job for job in side.run(schema, "list")}


@case("every option of an insert", EACH)
def every_option(w, schema, letters, side):
    for number, spec in enumerate(EVERY_OPTION):
        side.insert(schema, spec)
        row = by_number(schema)[-1]
        w.same(f"{number}: kind, queue, priority, attempts",
               [row["kind"], row["queue"], row["priority"],
                row["max_attempts"], row["attempt"]],
               [spec["kind"], spec.get("queue", "default"),
                spec.get("priority", 1), spec.get("max_attempts", 25), 0])
        w.same(f"{number}: args, metadata, tags",
               [row["args"], row["metadata"], row["tags"]],
               [spec.get("args", {}), spec.get("metadata", {}),
                spec.get("tags", [])])
        when = spec.get("scheduled_at_ms")
        w.same(f"{number}: state", row["state"],
               "pending" if spec.get("pending") else
               "scheduled" if when else "available")
        if when:
            w.same(f"{number}: scheduled_at", round(row["scheduled"] * 1000),
                   when)
        w.same(f"{number}: nothing else is set",
               [row[name] for name in ("attempted_at", "attempted_by",
                                       "errors", "finalized_at")],
               [None] * 4)
    # ids come of one sequence, in order, with a gap for none of these.
    w.compare("the row", [story(row) for row in by_number(schema)], letters)


@case("every option, decoded", PAIRS)
def options_decoded(w, schema, _, a, b):
    a.insert(schema, *EVERY_OPTION, flags=("--many",))
    seen = decoded(b, schema)
    for row in by_number(schema):
        job = seen.get(row["id"], {})
        w.same(f"job {row['id']}",
               [job.get(name) for name in (
                   "state", "attempt", "max_attempts", "priority", "queue",
                   "kind", "args", "metadata", "tags", "errors",
                   "created_at_ms", "scheduled_at_ms", "unique_key")],
               [row[name] for name in (
                   "state", "attempt", "max_attempts", "priority", "queue",
                   "kind", "args", "metadata", "tags")] +
               [job.get("errors") and [] or job.get("errors"),
                int(row["created"] * 1000), int(row["scheduled"] * 1000),
                (row["unique_key"] or "")[2:]])


OUTCOMES = [
    {"kind": "ok"},
    {"kind": "fail", "max_attempts": 1, "args": {
        "text": 'bad "x" \\ é\t\u2028'}},
    {"kind": "fail", "max_attempts": 3},
    {"kind": "snooze", "args": {"ms": 50, "times": 2}},
    {"kind": "snooze", "args": {"ms": 100000, "times": 2}},
    {"kind": "cancel", "args": {"text": "enough"}},
    {"kind": "output", "args": {"output": {"x": [1, "<é>", None]}}},
    {"kind": "output", "args": {"output": "text"}, "metadata": {"m": 1}},
    {"kind": "complete_tx"},
    {"kind": "nobody", "max_attempts": 1},
    {"kind": "fail", "max_attempts": 1, "metadata": {
        "river:resumable_step": "one", "big": 123456789012345678901234567890,
        "null": None}},
    {"kind": "ok", "unique": {"by_queue": True}},
]

WANTED = ["completed", "discarded", "discarded", "completed", "scheduled",
          "cancelled", "completed", "completed", "completed", "discarded",
          "discarded", "completed"]


@case("every outcome")
def outcomes(w, schema, letters, a, b):
    ids = a.ids(schema, *OUTCOMES)
    with b.work(schema, "--id", "worker", *QUICK):
        until("all have ended", lambda: [
            jobs(schema)[i]["state"] for i in ids] == WANTED, 15)
    rows_now = [jobs(schema)[i] for i in ids]
    # What is said of an unknown kind is each side's own.
    told = [story(row) for row in rows_now]
    for error in told[9]["errors"] or []:
        error["error"] = "nobody" in error["error"] and "names the kind"
    w.compare("the row", told, letters)
    w.same("errors of three attempts",
           [e["attempt"] for e in rows_now[2]["errors"]], [1, 2, 3])
    w.same("the text of an error", rows_now[1]["errors"][0]["error"],
           OUTCOMES[1]["args"]["text"])
    w.same("a cancel of its own", rows_now[5]["errors"][0]["error"],
           "JobCancelError: enough")
    w.same("output", rows_now[6]["metadata"],
           {"output": {"x": [1, "<é>", None]}})
    w.same("metadata is kept", rows_now[10]["metadata"],
           OUTCOMES[10]["metadata"])
    for row in rows_now:
        if row["finalized_at"]:
            w.check(f"job {row['id']}: finalized after attempted",
                    row["attempted"] <= row["finalized"] + 0.002, row)
    # And both can read it.
    for side in filter(None, (w.river, w.weir)):
        seen = decoded(side, schema)
        w.same(f"errors, read by {side}",
               [[e["error"] for e in seen[i]["errors"] or []] for i in ids],
               [[e["error"] for e in row["errors"] or []]
                for row in rows_now])
        w.check(f"times of errors, read by {side}",
                all(e["at"] > "2020" for i in ids
                    for e in seen[i]["errors"] or []))
        w.same(f"output, read by {side}",
               [seen[i].get("output") for i in ids],
               [row["metadata"].get("output") for row in rows_now])
        w.same(f"times, read by {side}",
               [(seen[i]["attempted_at_ms"], seen[i]["finalized_at_ms"])
                for i in ids],
               [(int((row["attempted"] or 0) * 1000),
                 int((row["finalized"] or 0) * 1000)) for row in rows_now])


@case("a retry that is far off")
def retry_far_off(w, schema, letters, a, b):
    # The first delay of River's curve is 1 s, which is near; after 3 errors
    # it is 4^4.
    job, = a.ids(schema, {"kind": "fail", "metadata": {"x": 1}})
    sql("UPDATE river_job SET errors = array_fill('{\"at\": "
        "\"2026-01-02T03:04:05Z\", \"attempt\": 1, \"error\": \"e\", "
        f"\"trace\": \"\"}}'::jsonb, ARRAY[3]) WHERE id = {job}", schema)
    with b.work(schema):
        row = until("it is retryable", lambda: jobs(schema)[job] if
                    jobs(schema)[job]["state"] == "retryable" else None)
    delay = row["scheduled"] - row["attempted"]
    w.check("River's curve: 256 s and 10 % around it",
            230 <= delay <= 283, delay)
    w.compare("the row", [story(row)], letters)


@case("a job is cancelled while it runs")
def cancel_running(w, schema, letters, a, b):
    job, deaf, waits = b.ids(
        schema, {"kind": "slow", "args": {"ms": 20000}},
        {"kind": "deaf", "args": {"ms": 1500}},
        {"kind": "ok", "queue": "elsewhere"})
    with b.work(schema, "--poll-ms", "20000") as worker:
        worker.wait("start", id=job)
        worker.wait("start", id=deaf)
        start = time.monotonic()
        a.run(schema, "cancel", job, deaf, waits)
        until("it is cancelled", lambda: jobs(schema)[job]["state"] ==
              "cancelled", 5)
        w.check("within a second or two", time.monotonic() - start < 2.5)
        until("the deaf one has ended", lambda:
              jobs(schema)[deaf]["finalized_at"], 5)
    told = [story(jobs(schema)[i]) for i in (job, deaf, waits)]
    w.compare("the row", told, letters)
    w.same("who ends well in spite of it is completed", told[1]["state"],
           "completed")
    w.same("who waits is cancelled at once", told[2]["state"], "cancelled")


@case("cancelled, then it fails")
def cancel_then_fail(w, schema, letters, a, b):
    # Told as snooze, retry and interruption: none may bring it back.
    job, = b.ids(schema, {"kind": "slow", "args": {"ms": 20000}})
    with b.work(schema, "--poll-ms", "200") as worker:
        worker.wait("start", id=job)
        # Written by somebody who does not notify.
        sql("UPDATE river_job SET metadata = metadata || "
            "'{\"cancel_attempted_at\": \"2026-01-02T03:04:05Z\"}' "
            f"WHERE id = {job}", schema)
        worker.stop("cancel")
    row = jobs(schema)[job]
    w.same("it is cancelled", row["state"], "cancelled")
    w.compare("the row", [story(row)], letters)


@case("retry, delete, and what is refused")
def change(w, schema, letters, a, b):
    spent, runs, waits, later, gone = b.ids(
        schema, {"kind": "fail", "max_attempts": 1},
        {"kind": "slow", "args": {"ms": 3000}},
        {"kind": "ok", "queue": "elsewhere"},
        {"kind": "ok", "queue": "elsewhere", "scheduled_at_ms": LATER_MS},
        {"kind": "ok", "queue": "elsewhere"})
    with b.work(schema, "--kinds", "fail,slow") as worker:
        worker.wait("start", id=runs)
        until("it is discarded", lambda: jobs(schema)[spent]["state"] ==
              "discarded")
        sql("UPDATE river_queue SET paused_at = now()", schema)
        b.run(schema, "cancel", waits)
        before = jobs(schema)
        a.run(schema, "retry", runs)
        a.run(schema, "delete", runs)
        w.same("what runs is left alone", jobs(schema)[runs], before[runs])
        a.run(schema, "delete", gone)
        w.check("what waits can be deleted", gone not in jobs(schema))
    for job in (waits, later):
        a.run(schema, "retry", job)
    told = [story(jobs(schema)[i]) for i in (waits, later)]
    w.compare("a retry of what was cancelled or scheduled", told, letters)
    w.check("a cancel is forgotten by the retry",
            "cancel_attempted_at" not in jobs(schema)[waits]["metadata"],
            jobs(schema)[waits])
    sql("UPDATE river_queue SET paused_at = now()", schema)
    a.run(schema, "retry", spent)
    w.compare("a retry of what had used up its attempts",
              [story(jobs(schema)[spent])], letters)
    w.same("one attempt more", jobs(schema)[spent]["max_attempts"], 2)


@case("pause and resume")
def pause_resume(w, schema, _, a, b):
    with b.work(schema, "--queues", "default:5,other:5", "--poll-ms",
                "200") as worker:
        job, = a.ids(schema, {"kind": "ok"})
        worker.wait("start", id=job)
        for queue, resumed in (("default", "default"), ("*", "*")):
            a.run(schema, "pause", queue)
            time.sleep(0.3)  # a fetch may be on its way
            job, = a.ids(schema, {"kind": "ok"})
            other, = a.ids(schema, {"kind": "ok", "queue": "other"})
            time.sleep(0.8)
            w.same(f"{queue}: nothing starts", worker.seen("start", id=job),
                   [])
            w.check(f"{queue}: the other queue does as it should",
                    bool(worker.seen("start", id=other)) == (queue != "*"))
            for side in filter(None, (w.river, w.weir)):
                w.check(f"{queue}: {side} says so", any(
                    line["paused_at_ms"] > 0 for line in
                    side.run(schema, "queues") if line["name"] == "default"))
            a.run(schema, "resume", resumed)
            worker.wait("start", id=job, timeout=3)
        w.same("resumed in the table", one(
            "SELECT count(paused_at) AS n FROM river_queue", schema)["n"], 0)


@case("heard of at once")
def bell(w, schema, _, a, b):
    with b.work(schema, "--poll-ms", "30000") as worker:
        time.sleep(0.5)
        for flags in ((), ("--many",)):
            start = time.monotonic()
            job, = a.ids(schema, {"kind": "ok"}, flags=flags)
            worker.wait("start", id=job, timeout=5)
            took = time.monotonic() - start
            w.check(f"a job inserted {' '.join(flags)} starts within a second",
                    took < 1, took)
            time.sleep(0.3)


@case("due without a bell")
def due_without_bell(w, schema, _, a, b):
    # As a retry or snooze of less than 5 s leaves a job: nobody notifies.
    with b.work(schema) as worker:
        time.sleep(0.5)
        soon, = a.ids(schema, {"kind": "ok", "pending": True})
        sql("UPDATE river_job SET state = 'available', scheduled_at = now() + "
            f"interval '1 second' WHERE id = {soon}", schema)
        worker.wait("start", id=soon, timeout=8)
        w.check("not before its time", jobs(schema)[soon]["attempted"] >=
                jobs(schema)[soon]["scheduled"], jobs(schema)[soon])


@case("inside a transaction", EACH)
def transaction(w, schema, _, side):
    many = ({"kind": "ok"}, {"kind": "ok", "unique": {"by_queue": True}})
    side.insert(schema, *many, flags=("--rollback",))
    w.same("rolled back, there are none", by_number(schema), [])
    side.insert(schema, *many, flags=(
        "--many" if side is w.river else "--tx",))
    w.same("committed, there are two", len(by_number(schema)), 2)


@case("interrupted by a stop")
def interrupted(w, schema, letters, a, b):
    job, = b.ids(schema, {"kind": "slow", "args": {"ms": 3000}})
    with a.work(schema, "--id", "me") as worker:
        worker.wait("start", id=job)
        worker.stop("cancel")
    told = story(jobs(schema)[job])
    # River moves it behind those that wait; we leave it its place.
    del told["scheduled as created"]
    w.compare("the row", [told], letters)
    w.same("it is available", jobs(schema)[job]["state"], "available")
    with b.work(schema) as worker:
        worker.wait("start", id=job, attempt=1)
        until("it is done", lambda: jobs(schema)[job]["state"] == "completed")


@case("who tried is a history of a hundred", EACH)
def hundred(w, schema, _, side):
    job, = side.ids(schema, {"kind": "ok"})
    sql("UPDATE river_job SET attempted_at = now(), attempted_by = ARRAY("
        "SELECT 'n' || i FROM generate_series(1, 100) i) "
        f"WHERE id = {job}", schema)
    with side.work(schema, "--id", "me"):
        row = until("it is done", lambda: jobs(schema)[job] if jobs(schema)[
            job]["state"] == "completed" else None)
    w.same("a hundred", len(row["attempted_by"]), 100)
    w.same("the oldest is dropped", row["attempted_by"][0], "n2")
    w.check("the newest is last", row["attempted_by"][99] != "n100")


@case("a kind that nobody knows is left", ("gg", "ww", "gw"))
def unknown_left(w, schema, _, a, b):
    job, mine = a.ids(schema, {"kind": "nobody"}, {"kind": "ok"})
    with a.work(schema, "--known-only") as one_worker, \
            b.work(schema, "--known-only") as other:
        until("ours is done", lambda: jobs(schema)[mine]["state"] ==
              "completed")
        time.sleep(0.5)
        w.same("it has not begun", one_worker.seen("start", id=job) +
               other.seen("start", id=job), [])
    w.same("nor has it changed", story(jobs(schema)[job])["state"],
           "available")
