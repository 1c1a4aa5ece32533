"""What is different while one of ours leads, or one of River's."""

import time

from cases import case
from rows import jobs
from sides import one, sql, until

QUICK = ("--poll-ms", "100", "--beat-ms", "300", "--dead-ms", "1500")


def leader_of(schema):
    found = sql("SELECT * FROM river_leader WHERE expires_at > now()", schema)
    return found[0]["leader_id"] if found else None


def is_of(side, w, leader):
    """Ours say so at the end of their names."""
    return leader is not None and leader.endswith("_weir") == (side is w.weir)


@case("the lease goes to and fro", ("gw", "wg"))
def to_and_fro(w, schema, _, a, b):
    """Whoever leaves gives it to the one that is still there, at once."""
    first = a.work(schema, "--id", "first", *QUICK)
    until("the first leads", lambda: is_of(a, w, leader_of(schema)), 15)
    second = b.work(schema, "--id", "second", *QUICK)
    time.sleep(0.5)
    start = time.monotonic()
    first.stop()
    until("the other one leads", lambda: is_of(b, w, leader_of(schema)), 4)
    w.check("within a second", time.monotonic() - start < 1.5,
            time.monotonic() - start)
    first = a.work(schema, "--id", "third", *QUICK)
    time.sleep(0.5)
    start = time.monotonic()
    second.stop()
    until("the first leads again", lambda: is_of(a, w, leader_of(schema)), 4)
    w.check("within a second as well", time.monotonic() - start < 1.5,
            time.monotonic() - start)
    first.stop()


@case("a leader that is asked to resign", ("gw", "wg"))
def asked(w, schema, _, a, b):
    with a.work(schema, *QUICK):
        until("the first leads", lambda: is_of(a, w, leader_of(schema)), 15)
        term = one("SELECT elected_at FROM river_leader", schema)
        with b.work(schema, *QUICK):
            time.sleep(0.5)
            w.river.run(schema, "resign")
            # River's own clients stand again at once; ours give way.
            until("another term", lambda: sql(
                "SELECT elected_at FROM river_leader", schema) not in
                ([], [term]), 4)
            w.check("of the other one, if it was ours", a is w.river or
                    is_of(b, w, leader_of(schema)), leader_of(schema))


@case("only one leads", ("gw",))
def only_one(w, schema, _, a, b):
    """Its row says so; and its term is one of its own at each change."""
    workers = [side.work(schema, *QUICK) for side in (a, b, a, b)]
    seen = []
    for worker in workers[:3]:
        until("there is a leader", lambda: leader_of(schema), 15)
        row = one("SELECT * FROM river_leader", schema)
        seen.append((row["leader_id"], row["elected_at"]))
        worker.stop()
    until("there is a leader", lambda: leader_of(schema), 15)
    workers[3].stop()
    w.same("nobody leads in the end", leader_of(schema), None)
    w.check("terms do not go back", seen == sorted(
        seen, key=lambda term: term[1]), seen)


@case("ours leads, and River's works", ("gw",))
def ours_leads(w, schema, _, a, b):
    """The upkeep of the leader is for queues that only the others work."""
    with b.work(schema, "--queues", "ours:1", *QUICK):
        until("weir leads", lambda: is_of(b, w, leader_of(schema)), 15)
        with a.work(schema, "--queues", "theirs:1", "--retry-ms", "5500",
                    *QUICK) as worker:
            soon = int(one("SELECT extract(epoch FROM now()) AS s")[
                "s"] * 1000)
            due, = a.ids(schema, {"kind": "ok", "queue": "theirs",
                                  "scheduled_at_ms": soon + 1000})
            failing, = a.ids(schema, {"kind": "fail", "queue": "theirs",
                                      "max_attempts": 2})
            # Of a kind that nobody here knows, and long stuck.
            stuck, = a.ids(schema, {"kind": "ok", "queue": "nobody",
                                    "max_attempts": 3})
            sql("UPDATE river_job SET state = 'running', attempt = 1, "
                "attempted_at = now() - interval '61 minutes', kind = "
                f"'alien', attempted_by = '{{gone}}' WHERE id = {stuck}",
                schema)
            worker.wait("start", id=due, timeout=8)
            worker.wait("start", id=failing, attempt=2, timeout=15)
            until("it is rescued", lambda: jobs(schema)[stuck]["state"] in (
                "retryable", "available"), 40)
            row = jobs(schema)[stuck]
            w.same("by River's rule", row["metadata"],
                   {"river:rescue_count": 1})
            until("nothing is left to do", lambda: jobs(schema)[failing][
                "state"] == "discarded", 10)
