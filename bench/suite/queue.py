"""Durable jobs: whole lives of jobs beside plainjob's, enqueues that wait for
the disk, the way from one process to another, and claims of long queues.
What `weir work` itself needs is in queue_work.py, what can be counted in
queue_counts.py."""

from dataclasses import dataclass

from . import queue_counts, queue_work, stats
from .stats import Goal
from .store import database, forget, must, said

SUITE = "queue"
DURABLE = "queue durable"
START = "queue start"
CLAIM = "queue claim"

CASE = "batches of 1000, FULL"
PLAINJOB = "plainjob, FULL"
FRONT = "alone, dropped"
AT_ONCE = "alone, dropped, at once"
# What bench/queue.c is told for each.
LIVES = {
    FRONT: ["alone", "drop"],
    "alone, kept": ["alone"],
    "shared, dropped": ["drop"],
    "shared, kept": [],
    AT_ONCE: ["alone", "drop", "at-once"],
}
JOBS, JOBS_QUICK = 300_000, 50_000
JOBS_PLAINJOB, JOBS_PLAINJOB_QUICK = 20_000, 3_000

DISK, SLOW_DISK = "disk as it is", "1 ms a flush"
SLOW_NS = 1_000_000
ONE, MANY = "1 thread", "64 threads"
# How many threads, and how many enqueues on either disk; quick: a fifth.
WAITERS = {ONE: (1, 5_000, 1_000), "8 threads": (8, 20_000, 4_000),
           MANY: (64, 64_000, 25_600)}

START_CASE = "two processes"
STARTS, STARTS_QUICK = 1_000, 200
GAP_US = 2_000

WAITING = (1_000, 100_000, 10_000_000)
WAITING_QUICK = (1_000, 100_000, 1_000_000)
# How many to claim, and how often: a thousand jobs must do for all of it.
CLAIMS = ((1, 200), (100, 9))
CLAIMERS = {"shared": [], "alone": ["alone"]}
PEAK_MIB = queue_work.PEAK_MIB


@dataclass
class Peers:
    """How plainjob is run, or None; the command, or None."""

    plainjob: list
    weir: str

    @property
    def names(self):
        return list(LIVES) + ([PLAINJOB] if self.plainjob else [])


def life_command(runner, found, name):
    path = database(runner, "life")
    if name == PLAINJOB:
        jobs = JOBS_PLAINJOB_QUICK if runner.quick else JOBS_PLAINJOB
        return found.plainjob + [path, str(jobs)]
    jobs = JOBS_QUICK if runner.quick else JOBS
    return [runner.program("queue"), "life", path, str(jobs)] + LIVES[name]


def run_lives(runner, found, number):
    for name in found.names:
        forget(database(runner, "life"))
        argv = life_command(runner, found, name)
        runner.keep(SUITE, CASE, name, number,
                    lambda a=argv: said(runner, a))


def run_durable(runner, number):
    for disk in (DISK, SLOW_DISK):
        for name, (threads, on_disk, on_slow_disk) in WAITERS.items():
            jobs = on_disk if disk == DISK else on_slow_disk
            jobs //= 5 if runner.quick else 1
            argv = [runner.program("queue"), "durable",
                    database(runner, "durable"), str(jobs), str(threads)]
            if disk == SLOW_DISK:
                argv = ["env", f"BENCH_FLUSH_NS={SLOW_NS}",
                        "LD_PRELOAD=" + runner.program("flush.so")] + argv
            runner.keep(DURABLE, disk, name, number,
                        lambda a=argv: said(runner, a))


def run_start(runner, number):
    jobs = STARTS_QUICK if runner.quick else STARTS
    argv = [runner.program("queue"), "start", database(runner, "start"),
            str(jobs), str(GAP_US)]
    runner.keep(START, START_CASE, "weir", number,
                lambda: said(runner, argv))


def claim_case(count, waiting):
    return f"claims of {count}, {waiting:,} waiting"


def fill(runner):
    """Databases of waiting jobs, made once: ten million take a while."""
    paths = {}
    for waiting in WAITING_QUICK if runner.quick else WAITING:
        print(f"queue: inserting {waiting:,} jobs", flush=True)
        path = database(runner, f"waiting-{waiting}")
        if not must(runner, [runner.program("queue"), "fill", path,
                             str(waiting)], limit_s=900):
            paths[waiting] = path
    return paths


def run_claims(runner, number, paths):
    for count, times in CLAIMS:
        for waiting, path in paths.items():
            for name, words in CLAIMERS.items():
                argv = [runner.program("claim"), path, str(count),
                        str(times)] + words
                runner.keep(
                    CLAIM, claim_case(count, waiting), name, number,
                    lambda a=argv, n=waiting: {**said(runner, a),
                                               "waiting": n})


def run(runner, found):
    for number in range(1, runner.rounds + 1):
        run_lives(runner, found, number)
        run_durable(runner, number)
        run_start(runner, number)
        print(f"queue: round {number} of {runner.rounds}", flush=True)
    queue_counts.run(runner, LIVES)
    paths = fill(runner)
    for number in range(1, runner.rounds + 1):
        run_claims(runner, number, paths)
    print("queue: claims done", flush=True)
    if found.weir and paths:
        queue_work.run(runner, found.weir, paths)
    for path in list(paths.values()) + [
            database(runner, name) for name in ("life", "durable", "start")]:
        forget(path)


def _spread(found, scale=1.0, digits=0):
    if not found:
        return "-"
    return "/".join(f"{value / scale:.{digits}f}" for value in found)


def report_lives(samples, names):
    lines = ["", f"Durable jobs: insert, claim, finish; {CASE}, "
             "thousands a second, min/median/max", "",
             f"  {'':<25}{'whole life':>18}{'insert':>18}{'work':>18}"
             f"{'CPU us':>8}{'switches':>10}{'of plainjob':>20}"]
    for name in names:
        cells = [_spread(stats.figures(samples, SUITE, CASE, name, metric),
                         1e3, 1)
                 for metric in ("jobs_per_s", "insert_per_s", "work_per_s")]
        cpu = stats.median(samples, SUITE, CASE, name, "cpu_ns_per_job")
        switches = stats.median(samples, SUITE, CASE, name,
                                "switches_per_job")
        over = stats.ratios(samples, SUITE, CASE, "jobs_per_s", name,
                            PLAINJOB)
        lines.append(
            f"  {name:<25}" + "".join(f"{cell:>18}" for cell in cells)
            + (f"{cpu / 1e3:>8.1f}" if cpu else f"{'-':>8}")
            + (f"{switches:>10.3f}" if switches else f"{'-':>10}")
            + f"{_spread(over, 1, 1) if name != PLAINJOB else '':>20}")
    return lines


def report_durable(samples):
    lines = ["", "Each thread waits for its own enqueue: jobs/s, "
             "p50 and p99 in ms, times one thread"]
    for disk in (DISK, SLOW_DISK):
        for name in WAITERS:
            rate, p50, p99 = (
                stats.figures(samples, DURABLE, disk, name, metric)
                for metric in ("jobs_per_s", "p50_ns", "p99_ns"))
            times = stats.ratios(samples, DURABLE, disk, "jobs_per_s", name,
                                 ONE)
            lines.append(f"  {disk:<15}{name:<12}{_spread(rate):>21}"
                         f"{_spread(p50, 1e6, 2):>18}"
                         f"{_spread(p99, 1e6, 2):>18}"
                         f"{_spread(times, 1, 1) if name != ONE else '':>18}")
    return lines


def report_claims(samples):
    lines = ["", "One claim, us, of so many waiting jobs (p50)", "",
             f"  {'':<25}" + "".join(f"{waiting:>18,}" for waiting
                                     in waiting_in(samples))]
    for count, _ in CLAIMS:
        for name in CLAIMERS:
            cells = [stats.figures(samples, CLAIM, claim_case(count, waiting),
                                   name, "p50_ns")
                     for waiting in waiting_in(samples)]
            lines.append(f"  {name + f', {count} at once':<25}" + "".join(
                f"{_spread(cell, 1e3, 1):>18}" for cell in cells))
    return lines


def report(runner, found):
    samples = runner.samples
    lines = report_lives(samples, found.names) + report_durable(samples)
    cells = [_spread(stats.figures(samples, START, START_CASE, "weir",
                                   metric), 1e6, 3)
             for metric in ("p50_ns", "p99_ns")]
    lines += ["", f"Enqueue to start, {START_CASE}, ms: p50 {cells[0]}, "
              f"p99 {cells[1]}"]
    return lines + report_claims(samples) \
        + queue_counts.report(samples) + queue_work.report(samples)


def waiting_in(samples):
    """The lengths of queue that were measured, shortest first."""
    return sorted({s["waiting"] for s in samples if s["suite"] == CLAIM})


def flatness(samples, count, name):
    """Time of a claim of the longest queue by that of the shortest."""
    lengths = waiting_in(samples)
    if len(lengths) < 2:
        return None
    long, short = (stats.of(samples, CLAIM, claim_case(count, waiting), name)
                   for waiting in (lengths[-1], lengths[0]))
    return stats.spread(long[r]["p50_ns"] / short[r]["p50_ns"]
                        for r in long.keys() & short.keys())


def _middle(found):
    return found[1] if found else None


def goals(runner):
    """What issue 5 asks for."""
    samples = runner.samples
    yield Goal("queue, whole life of a job, alone and dropped", "jobs/s",
               stats.median(samples, SUITE, CASE, FRONT, "jobs_per_s"),
               ">=", 300_000, True)
    yield Goal("queue, the same while jobs are inserted", "jobs/s",
               stats.median(samples, SUITE, CASE, AT_ONCE, "jobs_per_s"),
               ">=", 300_000)
    yield Goal("queue, whole life of a job, over plainjob's", "x",
               _middle(stats.ratios(samples, SUITE, CASE, "jobs_per_s",
                                    FRONT, PLAINJOB)), ">=", 20.0, True)
    yield Goal("queue, 64 threads that wait over one, 1 ms a flush", "x",
               _middle(stats.ratios(samples, DURABLE, SLOW_DISK,
                                    "jobs_per_s", MANY, ONE)),
               ">=", 20.0, True)
    start = stats.median(samples, START, START_CASE, "weir", "p50_ns")
    yield Goal("queue, enqueue to start in another process, p50", "ms",
               start / 1e6 if start else None, "<=", 1.0, True)
    for count, _ in CLAIMS:
        for name in CLAIMERS:
            yield Goal(f"queue, claim of {count}, {name}, longest queue over "
                       "shortest", "x",
                       _middle(flatness(samples, count, name)), "<=", 1.5,
                       count == 100 and name == "shared")
    peaks = [s["rss_kib"] / 1024 for s in samples if s["suite"] == SUITE
             and s["peer"] in LIVES]
    yield Goal("queue, peak memory of a program that lives through all", "MiB",
               max(peaks, default=None), "<=", PEAK_MIB)
    yield from queue_work.goals(samples)
