"""What lasts while a job goes from one side to the other and back, and what
the two call to each other."""

import json
import re
import subprocess
import time

from cases import EACH, case
from rows import jobs
from sides import DATABASE, sql, until

QUICK = ("--poll-ms", "50", "--beat-ms", "300", "--dead-ms", "1500")


@case("errors take turns")
def errors_take_turns(w, schema, _, a, b):
    job, = a.ids(schema, {"kind": "fail", "max_attempts": 4})
    for number, side in enumerate((a, b, a, b)):
        with side.work(schema, "--id", f"client-{number}", "--retry-ms",
                       "60000", "--poll-ms", "50") as worker:
            worker.wait("start", id=job)
            until("it has failed", lambda: len(
                jobs(schema)[job]["errors"] or []) > number)
        sql("UPDATE river_job SET state = 'available', scheduled_at = now() "
            "WHERE state = 'retryable'", schema)
    row = jobs(schema)[job]
    w.same("it is discarded", row["state"], "discarded")
    w.same("all the errors are there",
           [e["attempt"] for e in row["errors"]], [1, 2, 3, 4])
    w.same("so are who tried", len(set(row["attempted_by"])), 4)


@case("snoozes take turns")
def snoozes_take_turns(w, schema, _, a, b):
    job, = a.ids(schema, {"kind": "snooze", "args": {
        "ms": 60000, "times": 3}})
    for number, side in enumerate((a, b, a)):
        with side.work(schema, *QUICK) as worker:
            worker.wait("start", id=job, attempt=1)
            until("it is snoozed", lambda: jobs(schema)[job]["state"] ==
                  "scheduled")
        w.same(f"{number}: they are counted", jobs(schema)[job]["metadata"],
               {"snoozes": number + 1})
        sql("UPDATE river_job SET state = 'available', scheduled_at = now()",
            schema)
    with b.work(schema, *QUICK):
        until("it is done", lambda: jobs(schema)[job]["state"] == "completed")
    w.same("and count as no attempt", jobs(schema)[job]["attempt"], 1)


@case("a step that was taken stays taken", ("gw",))
def steps(w, schema, _, a, b):
    """River's resumable jobs: what it keeps in metadata outlives us."""
    job, = a.ids(schema, {"kind": "resumable"})
    for number, side in enumerate((a, b, a)):
        with side.work(schema, "--retry-ms", "60000", *QUICK) as worker:
            until("it was tried", lambda: len(
                jobs(schema)[job]["errors"] or []) > number or
                jobs(schema)[job]["state"] == "completed")
            taken = [e["step"] for e in worker.seen("step")]
        w.same(f"{number}: steps", taken, (["one"], [], ["two"])[number])
        sql("UPDATE river_job SET state = 'available', scheduled_at = now() "
            "WHERE state = 'retryable'", schema)
    w.same("it is done", jobs(schema)[job]["state"], "completed")


@case("cancelled, then killed")
def cancelled_killed(w, schema, _, a, b):
    job, = b.ids(schema, {"kind": "deaf", "args": {"ms": 20000}})
    worker = a.work(schema, *QUICK)
    worker.wait("start", id=job)
    b.run(schema, "cancel", job)
    worker.kill()
    time.sleep(1.6)
    with a.work(schema, "--queues", "nobody:1", "--timeout-ms", "500",
                "--rescue-ms", "1000", "--retry-ms", "50", *QUICK):
        until("it is cancelled", lambda: jobs(schema)[job]["state"] ==
              "cancelled", 30)


@case("output that is set from outside", ("gg", "gw"))
def output_from_outside(w, schema, _, a, b):
    job, = b.ids(schema, {"kind": "output", "args": {"output": {"x": 1}}})
    with b.work(schema, *QUICK):
        until("it is done", lambda: jobs(schema)[job]["state"] == "completed")
    a.run(schema, "output", job, '{"y":[2]}')
    seen, = b.run(schema, "get", job)
    w.same("it is seen", seen["output"], {"y": [2]})


@case("a timeout of its own", ("ww", "wg"))
def timeout(w, schema, _, a, b):
    job, = a.ids(schema, {"kind": "slow", "args": {"ms": 1500},
                          "max_attempts": 1, "timeout_ms": 300})
    kept = jobs(schema)[job]["metadata"]
    w.same("it lies in the metadata", kept, {"weir:timeout_ns": 300000000})
    seen, = w.weir.run(schema, "get", job)
    w.same("of which weir does not show it",
           [seen["metadata"], seen["timeout_ns"]], [{}, 300000000])
    with b.work(schema, *QUICK):
        until("it has ended", lambda: jobs(schema)[job]["finalized_at"])
    w.same("River takes no notice of it", jobs(schema)[job]["state"],
           "discarded" if b is w.weir else "completed")
    w.same("and leaves it there", jobs(schema)[job]["metadata"], kept)


@case("what is old is cleaned", EACH)
def cleaned(w, schema, _, side):
    ids = side.ids(schema, *[{"kind": "ok"}] * 8)
    old = {"completed": "25 hours", "cancelled": "25 hours",
           "discarded": "8 days"}
    young = {"completed": "23 hours", "cancelled": "23 hours",
             "discarded": "6 days"}
    for job, (state, age) in zip(ids, [*old.items(), *young.items()]):
        sql(f"UPDATE river_job SET state = '{state}', finalized_at = now() - "
            f"interval '{age}' WHERE id = {job}", schema)
    sql("UPDATE river_job SET queue = 'elsewhere'", schema)
    with side.work(schema):
        until("the old are gone", lambda: not set(ids[:3]) &
              set(jobs(schema)), 40)
    w.same("the others are there", sorted(jobs(schema)), ids[3:])


class Ear:
    """psql that listens."""

    def __init__(self, schema):
        self.process = subprocess.Popen(
            ["psql", "-XAtq", DATABASE], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, text=True)
        self.schema = schema
        for topic in ("insert", "control", "leadership"):
            self.say(f'LISTEN "{schema}.river_{topic}";')
        self.heard()

    def say(self, text):
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()

    def heard(self):
        """Topics and payloads since the last time, in order."""
        self.say("SELECT 'that was it'; ")
        self.say("\\echo end")
        found = []
        for line in iter(self.process.stdout.readline, "end\n"):
            match = re.match(r'Asynchronous notification "(.*?)" '
                             r'with payload "(.*)" received', line)
            if match:
                found.append((match[1].removeprefix(self.schema + "."),
                              json.loads(match[2])))
        return found

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()


@case("what is called out", EACH)
def called_out(w, schema, letters, side):
    with Ear(schema) as ear, side.work(schema, *QUICK):
        told = []

        def tell(what):
            time.sleep(0.3)
            told.append({"what": what,
                         "calls": sorted(ear.heard(), key=json.dumps)})
        side.ids(schema, {"kind": "ok"})
        tell("an insert")
        side.ids(schema, {"kind": "ok"}, {"kind": "ok", "queue": "q2"},
                 {"kind": "ok", "queue": "q2"}, flags=("--many",))
        tell("an insert of several")
        later, = side.ids(schema, {"kind": "ok", "scheduled_at_ms":
                                   4102444800000})
        ear.heard()  # weir rings for these as well, and River does not mind
        slow, = side.ids(schema, {"kind": "slow", "args": {"ms": 5000}})
        until("it runs", lambda: jobs(schema)[slow]["state"] == "running")
        ear.heard()
        side.run(schema, "cancel", later, slow)
        tell("cancels")
        side.run(schema, "cancel", later)
        tell("a cancel of what is over")
        side.run(schema, "pause", "default")
        tell("a pause")
        side.run(schema, "resume", "default")
        tell("a resume")
        side.run(schema, "pause", "*")
        tell("a pause of all")
        side.run(schema, "resume", "*")
        tell("a resume of all")
        w.compare("calls", told, letters)
