"""Jobs in PostgreSQL, beside River's own client on the same tables: worked
off, inserted and worked at once, from an enqueue to the start in another
process, behind what an old snapshot keeps, and with nothing to do."""

import json
import os
import subprocess
import threading
import time

from . import stats
from .machine import Watch
from .postgres import Cluster
from .runner import Wrong
from .stats import Goal

SUITE = "fleet"
STEADY = "fleet steady"
START = "fleet start"
DEAD = "fleet dead"
IDLE = "fleet idle"

CASE = "worked off"
STEADY_CASE = "inserted and worked at once"
START_CASE = "two processes"
IDLE_CASE = "nothing to do"
RIVER = "river, tuned"
KEEP, DROP, ARCHIVE = "weir, kept", "weir, dropped", "weir, archived"
# What bench/fleet.c is told for each, and times as many jobs: who is faster
# gets more, so that all take seconds.
WEIR = {KEEP: ("keep", 1), DROP: ("drop", 3), ARCHIVE: ("archive", 2)}

JOBS, JOBS_QUICK = 100_000, 20_000
STEADY_S, STEADY_S_QUICK = 5, 2
STARTS, STARTS_QUICK = 1_000, 200
GAP_US = 2_000
GONE, GONE_QUICK = 1_000_000, 100_000
IDLE_S, IDLE_S_QUICK = 20.0, 5.0
LIMIT_S = 300.0

METRICS = ("jobs_per_s", "client_us", "server_us", "cpu_us", "rss_kib")


class Peers:
    """The cluster, if there is one, and the programs."""

    def __init__(self, cluster, weir, river, dead):
        self.cluster = cluster
        self.weir, self.river, self.dead = weir, river, dead

    @property
    def names(self):
        return ([RIVER] if self.river else []) + list(WEIR)

    def command(self, name, verb, number, *more):
        url = self.cluster.url()
        if name == RIVER:
            return [self.river, verb, url, str(number), *more]
        return [self.weir, verb, url, str(number), *more]


def empty(cluster):
    """Tables as if they were new, and nothing that is to be written still."""
    cluster.ask("TRUNCATE river_job RESTART IDENTITY",
                "TRUNCATE weir_archive, weir_queue, weir_suspect",
                "VACUUM", "CHECKPOINT")


def _peak_kib(pid):
    with open(f"/proc/{pid}/status", encoding="ascii",
              errors="replace") as status:
        for line in status:
            if line.startswith("VmHWM:"):
                return int(line.split()[1])
    return 0


class _Marks:
    """What was looked at while a program waited for us."""

    def __init__(self, cluster, argv, between=None):
        self.cluster, self.argv, self.between = cluster, argv, between
        self.server_ns, self.peak_kib, self.found = [], 0, None

    def _at(self, process):
        self.server_ns.append(self.cluster.cpu_ns())
        self.peak_kib = max(self.peak_kib, _peak_kib(process.pid))
        if self.between:
            self.between(process.pid)
        process.stdin.write("\n")
        process.stdin.flush()

    def run(self):
        with subprocess.Popen(self.argv, stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True) as process:
            limit = threading.Timer(LIMIT_S, process.kill)
            limit.start()
            try:
                for line in process.stdout:
                    if line.startswith("{"):
                        self.found = json.loads(line)
                    else:
                        self._at(process)
                said = process.stderr.read().strip()[-300:]
                process.wait()
            except BaseException:
                # Its server ends before it would.
                process.kill()
                raise
            finally:
                limit.cancel()
        if process.returncode != 0 or not self.found \
                or not self.found["right"]:
            raise Wrong(f"{' '.join(self.argv[1:])}: exit "
                        f"{process.returncode}: {said or self.found}")


def measure(cluster, argv, between=None):
    """Run a program that stops at its marks; what it and the server used
    between the first and the last of these."""
    empty(cluster)
    watch, marks = Watch(), _Marks(cluster, argv, between)
    from_ns, from_s = cluster.cpu_ns(), time.monotonic()
    marks.run()
    took_s = time.monotonic() - from_s
    found = marks.found
    served_s = (cluster.cpu_ns() - from_ns) / 1e9
    found["foreign_cpus"] = round(max(
        watch.foreign_cpus() - served_s / took_s, 0), 3)
    if len(marks.server_ns) == 2:
        jobs = max(found["jobs"], 1)
        found["client_us"] = found["cpu_ns"] / 1e3 / jobs
        found["server_us"] = (marks.server_ns[1] - marks.server_ns[0]) \
            / 1e3 / jobs
        found["cpu_us"] = found["client_us"] + found["server_us"]
    if marks.peak_kib:
        found["rss_kib"] = marks.peak_kib
    return found


def run_work(runner, found, number):
    jobs = JOBS_QUICK if runner.quick else JOBS
    for name in found.names:
        word, times = WEIR.get(name, ("", 1))
        argv = found.command(name, "work", jobs * times, word)
        runner.keep(SUITE, CASE, name, number,
                    lambda a=argv: measure(found.cluster, a))


def run_steady(runner, found, number):
    seconds = STEADY_S_QUICK if runner.quick else STEADY_S
    for name in found.names:
        argv = found.command(name, "steady", seconds,
                             WEIR.get(name, ("", 1))[0])
        runner.keep(STEADY, STEADY_CASE, name, number,
                    lambda a=argv: measure(found.cluster, a))


def run_start(runner, found, number):
    jobs = STARTS_QUICK if runner.quick else STARTS
    for name in found.names[:1] + [KEEP] if found.river else [KEEP]:
        argv = found.command(name, "start", jobs, str(GAP_US))
        runner.keep(START, START_CASE, name, number,
                    lambda a=argv: measure(found.cluster, a))


def dead_case(runner):
    return f"behind {GONE_QUICK if runner.quick else GONE:,} that are gone"


def measure_dead(runner, found):
    """The program says "behind them: 0.12 0.10 ... ms", and the like; the
    first of these has to find the way, and is told apart."""
    cluster = found.cluster
    empty(cluster)
    gone = GONE_QUICK if runner.quick else GONE
    done = subprocess.run(
        [found.dead, str(gone)], capture_output=True, text=True, check=False,
        timeout=LIMIT_S, stdin=subprocess.DEVNULL,
        env=dict(os.environ, WEIR_TEST_PG_URL=cluster.url(),
                 WEIR_TEST_PG=f"host={cluster.folder} user=postgres"
                 " dbname=postgres"))
    took = {}
    for line in done.stdout.splitlines():
        what, _, rest = line.partition(":")
        took[what] = [float(word) for word in rest.split()
                      if "." in word]
    if done.returncode != 0 or not took.get("behind them"):
        raise Wrong(f"pg_dead: {done.stderr.strip()[-300:]}")
    return {"foreign_cpus": 0.0, "right": True,
            "before_ms": stats.spread(took["before"])[1],
            "behind_ms": stats.spread(took["behind them"])[1],
            "first_ms": took["behind them"][0],
            "one_ms": stats.spread(took["one at a time"])[1]}


def measure_idle(runner, found):
    """How many statements the server counts meanwhile."""
    cluster = found.cluster
    seconds = IDLE_S_QUICK if runner.quick else IDLE_S
    counted = {}

    def count(_):
        time.sleep(1.0)
        cluster.ask("SELECT pg_stat_statements_reset()")
        time.sleep(seconds)
        counted["statements_per_s"] = int(cluster.ask(
            "SELECT coalesce(sum(calls), 0) FROM pg_stat_statements"
            " WHERE query NOT LIKE '%pg_stat_statements%'")[0]) / seconds

    cluster.ask("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
    cluster.set("pg_stat_statements.track", "'top'")
    try:
        sample = measure(cluster, [found.weir, "idle", cluster.url()], count)
    finally:
        cluster.set("pg_stat_statements.track", "'none'")
    sample.update(counted, seconds=seconds)
    return sample


def run(runner, found):
    for number in range(1, runner.rounds + 1):
        run_work(runner, found, number)
        run_steady(runner, found, number)
        run_start(runner, found, number)
        print(f"fleet: round {number} of {runner.rounds}", flush=True)
    if found.dead:
        runner.keep(DEAD, dead_case(runner), KEEP, 1,
                    lambda: measure_dead(runner, found), attempts=1)
    if found.cluster.has_statements:
        runner.keep(IDLE, IDLE_CASE, KEEP, 1,
                    lambda: measure_idle(runner, found), attempts=1)
    else:
        runner.skip("fleet, statements of an idle worker",
                    "no pg_stat_statements")


def start(runner, programs):
    """Peers with a cluster that runs, or None."""
    if not programs:
        return None
    cluster = Cluster()
    why = cluster.start()
    if not why:
        done = subprocess.run([programs["fleet"], "create", cluster.url()],
                              capture_output=True, text=True, check=False)
        why = done.stderr.strip() if done.returncode != 0 else None
    if why:
        cluster.stop()
        runner.skip("fleet", why)
        return None
    return Peers(cluster, programs["fleet"], programs.get("river"),
                 programs.get("pg_dead"))


def _spread(found, scale=1.0, digits=0):
    if not found:
        return "-"
    return "/".join(f"{value / scale:.{digits}f}" for value in found)


def times_river(samples, suite, case, name, metric="jobs_per_s"):
    """Rates as they are; of what is used, how many times less."""
    if metric == "jobs_per_s":
        return stats.ratios(samples, suite, case, metric, name, RIVER)
    return stats.ratios(samples, suite, case, metric, RIVER, name)


def report_rates(samples, suite, case):
    lines = ["", f"Jobs in PostgreSQL, {case}: thousands a second, "
             "min/median/max", "",
             f"  {'':<18}{'jobs':>20}{'client us':>11}{'server us':>11}"
             f"{'MiB':>7}{'times river':>18}{'CPU, less':>18}"]
    for name in [RIVER] + list(WEIR):
        rate = stats.figures(samples, suite, case, name, "jobs_per_s")
        if not rate:
            continue
        middle = {metric: stats.median(samples, suite, case, name, metric)
                  for metric in METRICS}
        ratios = [times_river(samples, suite, case, name, metric)
                  if name != RIVER else None
                  for metric in ("jobs_per_s", "cpu_us")]
        lines.append(
            f"  {name:<18}{_spread(rate, 1e3, 1):>20}"
            f"{middle['client_us']:>11.2f}{middle['server_us']:>11.2f}"
            f"{middle['rss_kib'] / 1024:>7.1f}"
            + "".join(f"{_spread(ratio, 1, 1):>18}" for ratio in ratios))
    return lines


def once(samples, suite):
    return [s for s in samples if s["suite"] == suite and s["counts"]]


def report(runner):
    samples = runner.samples
    lines = report_rates(samples, SUITE, CASE) \
        + report_rates(samples, STEADY, STEADY_CASE)
    for name in (RIVER, KEEP):
        cells = [_spread(stats.figures(samples, START, START_CASE, name,
                                       metric), 1e6, 3)
                 for metric in ("p50_ns", "p99_ns")]
        lines += ["", f"Enqueue to start, {START_CASE}, {name}, ms: "
                  f"p50 {cells[0]}, p99 {cells[1]}"]
    for s in once(samples, DEAD):
        lines += ["", f"A claim of 100 {s['case']}: {s['behind_ms']:.2f} ms, "
                  f"the first {s['first_ms']:.0f} ms; of one job "
                  f"{s['one_ms']:.2f} ms; of 100 with none gone "
                  f"{s['before_ms']:.2f} ms"]
    for s in once(samples, IDLE):
        lines += ["", f"A worker with nothing to do, {s['seconds']:.0f} s: "
                  f"{s['statements_per_s']:.2f} statements a second, "
                  f"{s['rss_kib'] / 1024:.1f} MiB"]
    return lines


def _middle(found):
    return found[1] if found else None


def goals(runner):
    """What the issue of the fleet asks for."""
    samples = runner.samples
    work, steady = (SUITE, CASE), (STEADY, STEADY_CASE)
    yield Goal("fleet, jobs worked off, dropped, over River's rate", "x",
               _middle(times_river(samples, *work, DROP)), ">=", 10.0, True)
    yield Goal("fleet, jobs worked off, kept, over River's rate", "x",
               _middle(times_river(samples, *work, KEEP)), ">=", 2.5, True)
    yield Goal("fleet, inserted and worked at once, over River's rate", "x",
               _middle(times_river(samples, *steady, DROP)), ">=", 4.0, True)
    yield Goal("fleet, processor time a job, client and server, River's over "
               "ours", "x",
               _middle(times_river(samples, *work, DROP, "cpu_us")),
               ">=", 5.0, True)
    p50 = stats.median(samples, START, START_CASE, KEEP, "p50_ns")
    yield Goal("fleet, enqueue to start in another process, p50", "ms",
               p50 / 1e6 if p50 else None, "<=", 0.5, True)
    yield Goal("fleet, a claim behind a million that are gone", "ms",
               max((s["behind_ms"] for s in once(samples, DEAD)),
                   default=None), "<=", 1.0)
    yield Goal("fleet, peak memory of a worker", "MiB",
               max((s["rss_kib"] / 1024 for suite in (SUITE, STEADY, IDLE)
                    for s in once(samples, suite)
                    if s["peer"] != RIVER and "rss_kib" in s),
                   default=None), "<=", 20.0, True)
    yield Goal("fleet, statements a second of a worker with nothing to do",
               "", max((s["statements_per_s"] for s in once(samples, IDLE)),
                       default=None), "<=", 3.0)
