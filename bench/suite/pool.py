"""Pools: what a job costs, by workers, capacity and length of the job."""

import json
from dataclasses import dataclass

from . import stats
from .runner import Wrong

SUITE = "pool"
WORKERS = (1, 2, 4, 8, 16)
WORK_US = (0, 1, 5, 50)
WORK_US_QUICK = (0, 5)
PULL = "weir pull"
PUSH = "weir push"
GO = "go channels"

# How long a run is to take; it decides how many jobs the run has.
RUN_S = 0.12
RUN_S_QUICK = 0.04
JOBS_MAX = 8_000_000


@dataclass
class Peer:
    """A program that understands --workers --capacity --jobs --steps, and
    ends with one line of JSON; see README.md."""

    name: str
    argv: list


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


def peers(runner, go):
    pool = runner.program("pool")
    found = [
        Peer(PULL, [pool, "--form", "pull"]),
        Peer(PUSH, [pool, "--form", "push"]),
    ]
    if go:
        found.append(Peer(GO, [runner.program("go-pool")]))
    return found


def cases(quick):
    return [
        Case(work_us, capacity, workers)
        for work_us in (WORK_US_QUICK if quick else WORK_US)
        for capacity in ("2N", "1024")
        for workers in WORKERS
    ]


def measure(runner, peer, case, jobs, steps):
    usage, text = runner.once(
        peer.argv
        + ["--workers", str(case.workers), "--capacity", str(case.slots)]
        + ["--jobs", str(jobs), "--steps", str(steps)]
    )
    try:
        said = json.loads(text)
        right = said["right"] and said["jobs"] == jobs
    except (ValueError, KeyError) as error:
        raise Wrong(f"no result: {text[-200:]!r}") from error
    if not right:
        raise Wrong(f"wrong sum: {text.strip()}")
    switches = said["voluntary_switches"] + said["involuntary_switches"]
    return {
        "jobs": jobs,
        "steps": steps,
        "sum": said["sum"],
        "ns_per_job": said["ns_per_job"],
        "jobs_per_s": 1e9 / said["ns_per_job"],
        "cpu_ns_per_job": said["cpu_ns"] / jobs,
        "switches_per_job": switches / jobs,
        "rss_kib": usage["rss_kib"],
        "foreign_cpus": usage["foreign_cpus"],
    }


def run(runner, found):
    run_s = RUN_S_QUICK if runner.quick else RUN_S
    todo = cases(runner.quick)
    ns_per_job = {}
    # Round 0 only finds out how many jobs fill a run.
    for number in range(runner.rounds + 1):
        _, text = runner.once([runner.program("pool"), "--calibrate"])
        ns_per_step = json.loads(text)["ns_per_step"]
        for case in todo:
            steps = round(case.work_us * 1000 / ns_per_step)
            for peer in found:
                known = ns_per_job.get((case, peer.name))
                jobs = int(run_s * 1e9 / known) if known else 5000
                jobs = max(1000, min(jobs, JOBS_MAX))
                sample = runner.keep(
                    SUITE, case.name, peer.name, number,
                    lambda p=peer, c=case, j=jobs, s=steps:
                        measure(runner, p, c, j, s),
                )
                if sample:
                    sample["ns_per_step"] = ns_per_step
                    ns_per_job[case, peer.name] = sample["ns_per_job"]
        if number:
            print(f"pool: round {number} of {runner.rounds}", flush=True)


def _line(title, cells):
    return f"  {title:<29}" + "".join(f"{cell:>20}" for cell in cells)


def _number(value):
    return f"{value:.1f}" if value < 100 else f"{value:.0f}"


def _ratio(value):
    return f"{value:.2f}" if value < 10 else f"{value:.1f}"


def report(runner, found):
    lines = ["", "Pool: ns per job, min/median/max over the rounds"]
    for work_us in WORK_US:
        for capacity in ("2N", "1024"):
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
        lines.append(_line(title, [form(v) if v else "-" for v in cells]))

    for peer in found:
        add(peer.name, lambda c, p=peer.name: stats.figures(
            runner.samples, SUITE, c, p, "ns_per_job"),
            lambda v: "/".join(_number(x) for x in v))
    for other in found:
        for ours in (PULL, PUSH):
            if other.name not in (PULL, PUSH):
                add(f"{ours}, times {other.name}",
                    lambda c, p=other.name, o=ours: stats.ratios(
                        runner.samples, SUITE, c, "ns_per_job", p, o),
                    lambda v: "/".join(_ratio(x) for x in v))
    for name in (PULL, PUSH):
        add(f"switches/job, {name}", lambda c, p=name: stats.figures(
            runner.samples, SUITE, c, p, "switches_per_job"),
            lambda v: f"{v[1]:.4f}")
    return lines


def goals(runner):
    """What issue 2 asks for, the worst of the five widths of each."""
    for capacity in ("2N", "1024"):
        found = [
            stats.ratios(runner.samples, SUITE, Case(0, capacity, w).name,
                         "ns_per_job", GO, PULL)
            for w in WORKERS
        ]
        worst = min((f[1] for f in found if f), default=None)
        yield (f"pull form, jobs/s over Go's, capacity {capacity}", "x",
               worst, ">=", 4.0)
