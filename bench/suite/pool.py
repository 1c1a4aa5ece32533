"""Pools: what a job costs, by workers, capacity and length of the job."""

import json
from dataclasses import dataclass, field

from . import stats
from .runner import Wrong
from .stats import Goal

SUITE = "pool"
WORKERS = (1, 2, 4, 8, 16)
WORKERS_QUICK = (1, 4, 8)
WORK_US = (0, 1, 5, 50)
WORK_US_QUICK = (0, 5)
CAPACITIES = ("2N", "1024")

PULL = "weir pull"
PUSH = "weir push"
HELPS = "weir push helps"
MANY = "weir push many"
OURS = (PULL, PUSH, HELPS, MANY)
SPLIT = "static split"
GO = "go channels"
TBB = "tbb pipeline"
CROSSBEAM = "crossbeam"

# How long a run is to take; it decides how many jobs the run has.
RUN_S = 0.12
RUN_S_QUICK = 0.04
JOBS_MAX = 16_000_000


@dataclass
class Peer:
    """A program that understands --workers --capacity --jobs --steps, and
    ends with one line of JSON; see README.md.  Those that are far behind
    run with trivial jobs only, which is where they are."""

    name: str
    argv: list
    tail: list = field(default_factory=list)
    trivial_only: bool = False

    def runs(self, case, quick):
        if self.name == SPLIT:
            return case.work_us > 0
        if self.trivial_only:
            return case.work_us == 0 and (case.workers == 4 or not quick)
        return True


@dataclass(frozen=True)
class Case:
    work_us: int
    capacity: str
    workers: int

    @property
    def slots(self):
        return 2 * self.workers if self.capacity == "2N" else 1024

    @property
    def name(self):
        return f"{self.work_us}us cap={self.capacity} N={self.workers}"


def peers(runner, built):
    """Ours, and of the others those that were built.  U: its queues have no
    bound, which is another contract and a cheaper one."""
    pool = runner.program("pool")
    found = [
        Peer(PULL, [pool, "--form", "pull"]),
        Peer(PUSH, [pool, "--form", "push"]),
        Peer(HELPS, [pool, "--form", "helps"]),
        Peer(MANY, [pool, "--form", "many"]),
        Peer(SPLIT, [pool, "--form", "split"]),
    ]
    for name, program, tail, trivial_only in (
            (GO, "go-pool", [], False),
            (TBB, "tbb", [], False),
            (CROSSBEAM, "crossbeam", [], False),
            ("go pond", "go-pond", [], True),
            ("go ants", "go-ants", [], True),
            ("GAsyncQueue U", "glib", [], True),
            ("GThreadPool U", "glib", ["--pool"], True),
            ("libuv", "uv", [], True),
            ("tbb queues", "tbb", ["--queues"], True),
            ("mutex pool", "c-mutex", [], True)):
        if program in built:
            found.append(Peer(name, [runner.program(program)], tail,
                              trivial_only))
    return found


def cases(quick):
    return [
        Case(work_us, capacity, workers)
        for work_us in (WORK_US_QUICK if quick else WORK_US)
        for capacity in CAPACITIES
        for workers in (WORKERS_QUICK if quick else WORKERS)
    ]


def command(peer, workers, slots, jobs, steps):
    return (peer.argv
            + ["--workers", str(workers), "--capacity", str(slots)]
            + ["--jobs", str(jobs), "--steps", str(steps)] + peer.tail)


def said(text, jobs):
    """What a program has printed, if it is right."""
    try:
        found = json.loads(text)
        right = found["right"] and found["jobs"] == jobs
    except (ValueError, KeyError) as error:
        raise Wrong(f"no result: {text[-200:]!r}") from error
    if not right:
        raise Wrong(f"wrong sum: {text.strip()}")
    return found


def ns_per_step(runner):
    _, text = runner.once([runner.program("pool"), "--calibrate"])
    return json.loads(text)["ns_per_step"]


def measure(runner, peer, case, jobs, steps):
    usage, text = runner.once(
        command(peer, case.workers, case.slots, jobs, steps))
    found = said(text, jobs)
    switches = found["voluntary_switches"] + found["involuntary_switches"]
    return {
        "jobs": jobs,
        "steps": steps,
        "sum": found["sum"],
        "ns_per_job": found["ns_per_job"],
        "jobs_per_s": 1e9 / found["ns_per_job"],
        "cpu_ns_per_job": found["cpu_ns"] / jobs,
        "switches_per_job": switches / jobs,
        "rss_kib": usage["rss_kib"],
        "foreign_cpus": usage["foreign_cpus"],
    }


class Sizes:
    """How many jobs fill a run, from what the last one has taken."""

    def __init__(self, runner):
        self.run_ns = 1e9 * (RUN_S_QUICK if runner.quick else RUN_S)
        self.ns_per_job = {}

    def jobs(self, key, at_most=JOBS_MAX):
        known = self.ns_per_job.get(key)
        jobs = int(self.run_ns / known) if known else 5000
        return max(1000, min(jobs, at_most))

    def learn(self, key, sample):
        if sample:
            self.ns_per_job[key] = sample["ns_per_job"]


def run(runner, found):
    sizes = Sizes(runner)
    # Round 0 only finds out how many jobs fill a run.
    for number in range(runner.rounds + 1):
        step_ns = ns_per_step(runner)
        for case in cases(runner.quick):
            steps = round(case.work_us * 1000 / step_ns)
            for peer in found:
                if not peer.runs(case, runner.quick):
                    continue
                jobs = sizes.jobs((case, peer.name))
                sample = runner.keep(
                    SUITE, case.name, peer.name, number,
                    lambda p=peer, c=case, j=jobs, s=steps:
                        measure(runner, p, c, j, s),
                )
                sizes.learn((case, peer.name), sample)
                if sample:
                    sample["ns_per_step"] = step_ns
        if number:
            print(f"pool: round {number} of {runner.rounds}", flush=True)


def _line(title, cells):
    return f"  {title:<33}" + "".join(f"{cell:>20}" for cell in cells)


def _number(value):
    return f"{value:.1f}" if value < 100 else f"{value:.0f}"


def ratio_text(value):
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" \
        if value < 100 else f"{value:.0f}"


def report(runner, found):
    lines = ["", "Pool: ns per job, min/median/max over the rounds "
             "(U: no bound, not the same contract)"]
    for work_us in WORK_US:
        for capacity in CAPACITIES:
            block = [c for c in cases(runner.quick)
                     if (c.work_us, c.capacity) == (work_us, capacity)]
            if block:
                lines += _block(runner, found, block)
    return lines


def _block(runner, found, block):
    what = f"{block[0].work_us} us of work" if block[0].work_us \
        else "trivial job"
    lines = ["", _line(f"{what}, capacity {block[0].capacity}",
                       [f"N={c.workers}" for c in block])]

    def add(title, value, form):
        cells = [value(c.name) for c in block]
        if any(cells):
            lines.append(_line(title, [form(v) if v else "-" for v in cells]))

    def add_ratio(title, over, under):
        add(title, lambda c: stats.ratios(runner.samples, SUITE, c,
                                          "ns_per_job", over, under),
            lambda v: "/".join(ratio_text(x) for x in v))

    for peer in found:
        add(peer.name, lambda c, p=peer.name: stats.figures(
            runner.samples, SUITE, c, p, "ns_per_job"),
            lambda v: "/".join(_number(x) for x in v))
    for peer in found:
        if peer.name not in OURS and peer.name != SPLIT:
            add_ratio(f"{PULL}, times {peer.name}", peer.name, PULL)
            add_ratio(f"{PUSH}, times {peer.name}", peer.name, PUSH)
    add_ratio(f"{PULL}, by {SPLIT}", PULL, SPLIT)
    for name in OURS:
        add(f"switches/job, {name}", lambda c, p=name: stats.figures(
            runner.samples, SUITE, c, p, "switches_per_job"),
            lambda v: f"{v[1]:.4f}")
    return lines


def _faster(runner, ours, peer, capacity, workers):
    """How many times faster than peer, with trivial jobs: the median."""
    found = stats.ratios(runner.samples, SUITE,
                         Case(0, capacity, workers).name,
                         "ns_per_job", peer, ours)
    return found[1] if found else None


def _worst(values, worst):
    found = [v for v in values if v is not None]
    return worst(found) if found else None


def _overhead(runner, work_us, capacity):
    """Pull by the static split: the median of all pairs of all widths."""
    every = [
        ratio
        for workers in WORKERS
        for ratio in stats.pairs(runner.samples, SUITE,
                                 Case(work_us, capacity, workers).name,
                                 "ns_per_job", PULL, SPLIT)
    ]
    found = stats.spread(every)
    return found[1] if found else None


def _goals_every_width(runner):
    """The worst of the five widths."""
    for ours, peer, capacity, bound, front in (
            (PULL, GO, "2N", 6.0, True), (PULL, GO, "1024", 10.0, True),
            (PULL, TBB, "2N", 4.0, True), (PULL, TBB, "1024", 4.0, False),
            (PUSH, GO, "1024", 5.0, True),
            (PUSH, CROSSBEAM, "1024", 3.0, True)):
        yield Goal(f"{ours} over {peer}, capacity {capacity}, worst N", "x",
                   _worst([_faster(runner, ours, peer, capacity, w)
                           for w in WORKERS], min), ">=", bound, front)


def _goals_small_capacity(runner):
    for ours, workers, bound in ((PUSH, 4, 0.5), (PUSH, 8, 0.8),
                                 (HELPS, 4, 1.0), (HELPS, 8, 2.0)):
        yield Goal(f"{ours} over {GO}, capacity 2N, N={workers}", "x",
                   _faster(runner, ours, GO, "2N", workers), ">=", bound,
                   ours == HELPS)


def _goals_switches(runner):
    for ours, capacity, bound in (
            (PULL, "2N", 0.005), (PULL, "1024", 0.005),
            (PUSH, "1024", 0.01), (PUSH, "2N", 0.3)):
        yield Goal(f"{ours}, context switches/job, capacity {capacity}, "
                   "worst N", "",
                   _worst([stats.median(runner.samples, SUITE,
                                        Case(0, capacity, w).name, ours,
                                        "switches_per_job")
                           for w in WORKERS], max), "<=", bound)


def goals(runner):
    """What issue 3 asks for, medians of pairs."""
    yield from _goals_every_width(runner)
    yield from _goals_small_capacity(runner)
    for work_us, bound in ((50, 1.02), (5, 1.06), (1, 1.15)):
        yield Goal(f"{PULL} by {SPLIT}, jobs of {work_us} µs, worse capacity",
                   "x", _worst([_overhead(runner, work_us, c)
                                for c in CAPACITIES], max),
                   "<=", bound, work_us == 5)
    yield from _goals_switches(runner)
