"""Both at once: competing, killed, and taking the upkeep over."""

import random
import subprocess
import threading
import time

from cases import EACH, case
from rows import jobs
from sides import one, sql, until

# Weir's workers have to agree on when one is dead.
QUICK = ("--poll-ms", "100", "--beat-ms", "300", "--dead-ms", "1500")


def states(schema):
    return {row["state"]: row["n"] for row in sql(
        "SELECT state, count(*) AS n FROM river_job GROUP BY state", schema)}


def judge_attempts(w, schema, workers, ids):
    """Each job was run as often as its row says, and by whom it says."""
    starts = {}
    for worker in workers:
        for event in worker.seen("start"):
            starts[event["id"]] = starts.get(event["id"], 0) + 1
    w.same("each was run once", sorted(starts.items()),
           sorted((i, 1) for i in ids))
    table = jobs(schema)
    w.same("and knows of one attempt",
           [i for i in ids if table[i]["attempt"] != 1 or
            len(table[i]["attempted_by"]) != 1 or table[i]["errors"]], [])


@case("competing fleets", ("gg", "ww", "gw"))
def competing(w, schema, letters, a, b):
    per_insert, inserts = 50, 6
    ids = []
    workers = [side.work(schema, *QUICK, "--queues", "default:7")
               for side in (a, b, a, b)]

    def insert(side):
        for _ in range(inserts):
            ids.extend(side.ids(schema, *[
                {"kind": "slow", "args": {"ms": n % 7}}
                for n in range(per_insert)], flags=("--many",)))
    threads = [threading.Thread(target=insert, args=(side,))
               for side in (a, b)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    total = 2 * per_insert * inserts
    until("all are completed",
          lambda: states(schema) == {"completed": total}, 60)
    for worker in workers:
        worker.stop()
    w.same("all were inserted", len(set(ids)), total)
    judge_attempts(w, schema, workers, ids)
    share = [sum(len(worker.seen("start")) for worker in workers
                 if worker.side is side) for side in (a, b)]
    w.check("each side has had a share", min(share) > 0, share)


# River's rescuer looks when its client has become the leader, and each half
# minute; what it takes for stuck may not be less than the timeout of a job.
RESCUER = ("--queues", "nobody:1", "--timeout-ms", "500", "--rescue-ms",
           "1000", "--retry-ms", "50") + QUICK


@case("killed, rescued by its own, worked by the other")
def killed(w, schema, _, a, b):
    job, = b.ids(schema, {"kind": "slow", "args": {"ms": 1500}})
    worker = a.work(schema, *QUICK)
    worker.wait("start", id=job)
    worker.kill()
    w.same("it seems to run", jobs(schema)[job]["state"], "running")
    time.sleep(1.6)
    with b.work(schema, "--no-leader", *QUICK) as other, \
            a.work(schema, *RESCUER):
        other.wait("start", id=job, timeout=30)
        until("it is done", lambda: jobs(schema)[job]["state"] ==
              "completed", 10)
    row = jobs(schema)[job]
    w.same("who tried", len(row["attempted_by"]), 2)
    w.same("one error", len(row["errors"]), 1)
    # Which both can read.
    for side in filter(None, (w.river, w.weir)):
        seen, = side.run(schema, "get", job)
        error = seen["errors"][0]["error"]
        w.check(f"the error, read by {side}", "rescued" in error or
                "the worker is gone" in error, error)


@case("ours is killed, and only River is there", ("wg",))
def killed_alone(w, schema, _, a, b):
    job, = b.ids(schema, {"kind": "slow", "args": {"ms": 1500}})
    worker = a.work(schema)
    worker.wait("start", id=job)
    worker.kill()
    time.sleep(1.2)
    with b.work(schema, "--no-leader", *QUICK) as other, \
            b.work(schema, *RESCUER):
        other.wait("start", id=job, timeout=30)
        until("it is done", lambda: jobs(schema)[job]["state"] ==
              "completed", 10)
    row = jobs(schema)[job]
    w.same("River's rescuer has counted", row["metadata"].get(
        "river:rescue_count"), 1)
    # Our own upkeep looks at it afterwards, and leaves it alone.
    with a.work(schema, *RESCUER):
        time.sleep(2.5)
    w.same("and that was it", jobs(schema)[job], row)


@case("a late outcome", ("wg",))
def late(w, schema, _, a, b):
    """River takes a job away that one of ours still runs."""
    job, = b.ids(schema, {"kind": "deaf", "args": {"ms": 4000}})
    with a.work(schema, "--queues", "default:1") as worker:
        worker.wait("start", id=job)
        # As its rescuer does it, and then it is fetched again.
        sql("UPDATE river_job SET state = 'available', scheduled_at = now() "
            f"WHERE id = {job}; UPDATE river_queue SET paused_at = now()",
            schema)
        sql("UPDATE river_job SET state = 'running', attempt = attempt + 1, "
            "attempted_at = now(), attempted_by = array_append(attempted_by, "
            f"'go-1') WHERE id = {job}", schema)
        before = jobs(schema)[job]
        time.sleep(4.5)
        w.same("the outcome of who has lost it is not taken",
               jobs(schema)[job], before)


@case("killed while it inserts", EACH)
def killed_inserter(w, schema, _, side):
    counts = set()
    text = '{"kind":"ok","args":{"x":"' + "y" * 200 + '"}}\n'
    for _ in range(6):
        with subprocess.Popen(
                [side.program, "--schema", schema, "insert", "--many"],
                stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
            process.stdin.write(text.encode() * 3000)
            process.stdin.close()
            time.sleep(random.uniform(0.0, 0.12))
            process.kill()
        # The server may not have noticed yet.
        until("nobody inserts", lambda: one(
            "SELECT count(*) AS n FROM pg_locks l JOIN pg_class c ON c.oid = "
            "l.relation WHERE c.relname = 'river_job' AND c.relnamespace = "
            "current_schema()::regnamespace AND mode = 'RowExclusiveLock'",
            schema)["n"] == 0)
        counts.add(one("SELECT count(*) AS n FROM river_job",
                       schema)["n"] % 3000)
    w.same("all or nothing", counts, {0})


@case("fleets of which some are killed", ("gw",))
def chaos(w, schema, _, a, b):
    ids = a.ids(schema, *[{"kind": "slow", "args": {"ms": 30}}
                          for _ in range(400)], flags=("--many",))
    flags = QUICK + ("--queues", "default:5", "--retry-ms", "50",
                     "--no-leader")
    workers = [side.work(schema, *flags) for side in (a, b, a, b)]
    everyone = list(workers)
    for _ in range(4):
        time.sleep(0.3)
        victim = random.randrange(len(workers))
        workers[victim].kill()
        workers[victim] = workers[victim].side.work(schema, *flags)
        everyone.append(workers[victim])
    time.sleep(1.2)
    with a.work(schema, *RESCUER):
        until("all are completed",
              lambda: states(schema) == {"completed": len(ids)}, 60)
    for worker in workers:
        worker.stop()
    starts = {}
    for worker in everyone:
        for event in worker.seen("start"):
            starts[event["id"]] = starts.get(event["id"], 0) + 1
    w.same("each was run", set(starts), set(ids))
    table = jobs(schema)
    # A start may not have been printed by who was killed in that moment.
    w.same("never more often than its row says",
           [i for i in ids if starts[i] > table[i]["attempt"] +
            len(table[i]["errors"] or [])], [])


@case("upkeep is taken over")
def upkeep(w, schema, letters, a, b):
    """Scheduled jobs come due whoever is there to see to it."""
    for side, flags in ((a, ()), (b, ()), (a, ())):
        soon = int(one("SELECT extract(epoch FROM now()) AS s")["s"] * 1000)
        with side.work(schema, *QUICK, *flags) as worker:
            job, = b.ids(schema, {"kind": "ok",
                                  "scheduled_at_ms": soon + 1000})
            worker.wait("start", id=job, timeout=25)
            w.check(f"{side}: not before its time", jobs(schema)[job][
                "attempted"] >= soon / 1000 + 0.999, jobs(schema)[job])
        if w.river:
            w.check("the leader has resigned", one(
                "SELECT count(*) AS n FROM river_leader",
                schema)["n"] == 0)


@case("no leader but ours", ("wg",))
def only_ours(w, schema, _, a, b):
    soon = int(one("SELECT extract(epoch FROM now()) AS s")["s"] * 1000)
    due, = b.ids(schema, {"kind": "ok", "scheduled_at_ms": soon + 500})
    failing, = b.ids(schema, {"kind": "fail", "max_attempts": 2})
    with b.work(schema, "--no-leader", "--retry-ms", "5500", *QUICK) as go, \
            a.work(schema, "--queues", "nobody:1"):
        go.wait("start", id=due, timeout=10)
        go.wait("start", id=failing, attempt=1)
        go.wait("start", id=failing, attempt=2, timeout=15)


def leader(schema):
    found = sql("SELECT * FROM river_leader WHERE expires_at > now()", schema)
    return found[0] if found else None


def leads(w, schema, side):
    """Whether workers of that side stand for election at all."""
    if side is w.river:
        return True
    if not hasattr(w, "weir_leads"):
        with side.work(schema, *QUICK):
            time.sleep(2)
            w.weir_leads = leader(schema) is not None
    return w.weir_leads


@case("the lease of the leader", ("gg", "ww", "gw", "wg"))
def lease(w, schema, letters, a, b):
    """It is handed over when it is asked for, and when the leader leaves."""
    if not leads(w, schema, a) or not leads(w, schema, b):
        w.tap.skip(w.title, "weir takes no lease")
        return
    with a.work(schema, "--id", "first", *QUICK):
        first = until("there is a leader", lambda: leader(schema), 15)
        with b.work(schema, "--id", "second", *QUICK):
            time.sleep(1)
            w.same("it stays", leader(schema)["elected_at"],
                   first["elected_at"])
            if w.river:
                w.river.run(schema, "resign")
                until("another term", lambda: (leader(schema) or first)[
                    "elected_at"] != first["elected_at"], 20)
            held = leader(schema)
    until("nobody holds it when all have left", lambda: not leader(schema), 2)
    with b.work(schema, "--id", "third", *QUICK):
        again = until("the other one leads", lambda: leader(schema), 15)
        w.check("in a term of its own",
                again["elected_at"] != held["elected_at"], again)


@case("the leader is killed", ("gg", "ww", "gw", "wg"))
def leader_killed(w, schema, letters, a, b):
    if not leads(w, schema, a) or not leads(w, schema, b):
        w.tap.skip(w.title, "weir takes no lease")
        return
    worker = a.work(schema, *QUICK)
    first = until("there is a leader", lambda: leader(schema), 15)
    with b.work(schema, *QUICK):
        worker.kill()
        until("the other one leads, when the lease is over", lambda: (
            leader(schema) or first)["elected_at"] != first["elected_at"] and
            (leader(schema) or first)["leader_id"] != first["leader_id"], 30)
