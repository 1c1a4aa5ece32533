"""Jobs in processes: no-op jobs per second, beside the same on threads, and
how soon a worker that has crashed is replaced."""

import json

from . import stats
from .runner import Wrong
from .stats import Goal

SUITE = "isolate"
CASE = "no-op jobs, 2 workers"
CRASH = "isolate-crash"
PULL = "processes, pull"
PUSH = "processes, push"
THREADS = "threads, pull"

JOBS, JOBS_QUICK = 1_000_000, 200_000
CRASHES, CRASHES_QUICK = 2_000, 500
WORDS = {PULL: [], PUSH: ["push"], THREADS: ["threads"]}


def said(runner, words):
    """What the program prints, with who else was there."""
    usage, text = runner.once([runner.program("isolate")] + words,
                              limit_s=300)
    found = json.loads(text)
    if found["bad"]:
        raise Wrong(f"{found['bad']} results are not what they should be")
    found["foreign_cpus"] = usage["foreign_cpus"]
    return found


def run(runner, _peers):
    jobs = JOBS_QUICK if runner.quick else JOBS
    crashes = CRASHES_QUICK if runner.quick else CRASHES
    for number in range(1, runner.rounds + 1):
        for name, words in WORDS.items():
            argv = ["rate", "2", str(jobs)] + words
            runner.keep(SUITE, CASE, name, number,
                        lambda a=argv: said(runner, a))
        runner.keep(SUITE, CRASH, PULL, number,
                    lambda: said(runner, ["crash", str(crashes)]))
        print(f"isolate: round {number} of {runner.rounds}", flush=True)


def report(runner, _peers):
    lines = ["", f"Isolated jobs: {CASE}, min/median/max over the rounds", "",
             f"  {'':<17}{'jobs/s':>28}{'of threads':>12}"]
    for name in WORDS:
        rate = stats.figures(runner.samples, SUITE, CASE, name, "jobs_per_s")
        share = stats.ratios(runner.samples, SUITE, CASE, "jobs_per_s", name,
                             THREADS)
        if rate:
            lines.append(f"  {name:<17}"
                         f"{'/'.join(f'{r:.0f}' for r in rate):>28}"
                         f"{share[1]:>12.2f}")
    for what in ("p50_us", "p99_us"):
        found = stats.figures(runner.samples, SUITE, CRASH, PULL, what)
        if found:
            lines.append(f"  a job after a crash, {what[:3]}: "
                         f"{'/'.join(f'{t:.0f}' for t in found)} us")
    return lines


def goals(runner):
    """What issue 4 asks for."""
    yield Goal("isolated no-op jobs, 2 workers", "jobs/s",
               stats.median(runner.samples, SUITE, CASE, PULL, "jobs_per_s"),
               ">=", 500_000, True)
    yield Goal("isolated, a job after a crash, p99", "us",
               stats.median(runner.samples, SUITE, CRASH, PULL, "p99_us"),
               "<=", 5_000, True)
