"""What can be counted, whoever else uses the machine.

Futex calls are counted by the kernel (perf, or strace where there is no
perf), allocations by allocations.c and, in Go, by Go itself; instructions by
valgrind.  The last two count a run of J jobs and one of 2J: what a job costs
is the difference by J, and what a pool costs once falls out.
"""

import os
import re
import shutil

from . import build, pool, stats
from .pool import OURS, PULL, PUSH
from .runner import Wrong
from .stats import Goal

SUITE = "counters"
CASES = (("2N", 8), ("1024", 1024))
WORKERS = 4
JOBS = 50_000
QUICK = OURS + (pool.GO, pool.TBB, pool.CROSSBEAM)
JOBS_VALGRIND = 20_000
FUTEX_EVENT = "syscalls:sys_enter_futex"


def case_name(capacity):
    return f"0us cap={capacity} N={WORKERS}"


def _perf(path, argv):
    return ["perf", "stat", "-x,", "-e", FUTEX_EVENT, "-o", path, "--"] + argv


def _perf_count(text):
    for line in text.splitlines():
        fields = line.split(",")
        if len(fields) > 2 and fields[2].startswith(FUTEX_EVENT):
            return int(fields[0])
    raise Wrong(f"perf gave no count: {text[-200:]!r}")


def _strace(path, argv):
    return ["strace", "-f", "--seccomp-bpf", "-qq", "-c", "-e", "trace=futex",
            "-o", path] + argv


def _strace_count(text):
    for line in text.splitlines():
        fields = line.split()
        if fields and fields[-1] == "futex":
            return int(fields[3])
    return 0


def _futex_counter(runner):
    """(name, wrapper of a command, reader of its file), or None.  strace
    stops a program at each call, so perf is better."""
    path = os.path.join(runner.out, "futex.txt")
    for name, wrap, count in (("perf", _perf, _perf_count),
                              ("strace", _strace, _strace_count)):
        if not shutil.which(name):
            continue
        try:
            runner.once(wrap(path, ["true"]))
            _read(path, count)
        except (Wrong, OSError, ValueError):
            continue
        return name, wrap, count
    runner.skip("futex calls per job", "neither perf nor strace works here")
    return None


def _read(path, parse):
    with open(path, encoding="utf-8") as file:
        return parse(file.read())


def _command(peer, slots, jobs):
    return pool.command(peer, WORKERS, slots, jobs, 0)


def _futex_calls(runner, counter, peer, slots):
    path = os.path.join(runner.out, "futex.txt")
    usage, text = runner.once(counter[1](path, _command(peer, slots, JOBS)))
    pool.said(text, JOBS)
    return {"futex_per_job": _read(path, counter[2]) / JOBS,
            "foreign_cpus": usage["foreign_cpus"]}


def _allocated(runner, library, peer, slots, jobs):
    path = os.path.join(runner.out, "allocations.txt")
    _, text = runner.once(
        ["env", "LD_PRELOAD=" + library, "BENCH_ALLOCATIONS=" + path]
        + _command(peer, slots, jobs))
    found = pool.said(text, jobs)
    return found.get("allocations", None) or _read(path, int)


def _allocations(runner, library, peer, slots):
    more = _allocated(runner, library, peer, slots, 2 * JOBS) \
        - _allocated(runner, library, peer, slots, JOBS)
    # A thread that starts takes memory, and in a short run not all N do; so
    # a handful more is no cost of a job, and is rounded away.
    return {"allocations": more,
            "allocations_per_job": round(max(more, 0) / JOBS, 3),
            "foreign_cpus": 0.0}


def _executed(runner, peer, slots, jobs):
    path = os.path.join(runner.out, "valgrind.txt")
    _, text = runner.once(
        ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null",
         "--log-file=" + path] + _command(peer, slots, jobs))
    pool.said(text, jobs)
    return _read(path, lambda log: int(
        re.search(r"Collected : (\d+)", log).group(1)))


def _instructions(runner, peer, slots):
    more = _executed(runner, peer, slots, 2 * JOBS_VALGRIND) \
        - _executed(runner, peer, slots, JOBS_VALGRIND)
    return {"instructions_per_job": more / JOBS_VALGRIND,
            "foreign_cpus": 0.0}


def run(runner, found):
    counter = _futex_counter(runner)
    library = build.allocations(runner)
    valgrind = shutil.which("valgrind")
    if not valgrind:
        runner.skip("instructions per job", "valgrind is not installed")
    for capacity, slots in CASES:
        for peer in found:
            if peer.name == pool.SPLIT or \
                    runner.quick and peer.name not in QUICK:
                continue
            todo = []
            if counter:
                todo.append((counter[0], lambda p=peer, s=slots:
                             _futex_calls(runner, counter, p, s)))
            if library:
                todo.append(("allocations", lambda p=peer, s=slots:
                             _allocations(runner, library, p, s)))
            if valgrind and peer.name in OURS:
                todo.append(("callgrind", lambda p=peer, s=slots:
                             _instructions(runner, p, s)))
            for how, measure in todo:
                runner.keep(f"{SUITE} {how}", case_name(capacity), peer.name,
                            1, measure, attempts=1)
    print("counters: done", flush=True)


def value(samples, capacity, peer, metric):
    """The one sample that has it, or None."""
    for s in samples:
        if s["suite"].startswith(SUITE) and s["counts"] and metric in s \
                and (s["case"], s["peer"]) == (case_name(capacity), peer):
            return s[metric]
    return None


def report(runner, found):
    lines = ["", f"Counted per job, trivial jobs, N={WORKERS}", "",
             f"  {'':<18}{'':>7}{'futex calls':>14}{'allocations':>14}"
             f"{'instructions':>14}"]
    for capacity, _ in CASES:
        for peer in found:
            cells = [value(runner.samples, capacity, peer.name, m) for m in
                     ("futex_per_job", "allocations_per_job",
                      "instructions_per_job")]
            if any(cell is not None for cell in cells):
                lines.append(f"  {peer.name:<18}{capacity:>7}" + "".join(
                    f"{'-' if c is None else f'{c:.{d}f}':>14}"
                    for c, d in zip(cells, (4, 3, 0))))
    return lines


def goals(runner):
    for ours in (PULL, PUSH):
        found = [value(runner.samples, capacity, ours, "allocations_per_job")
                 for capacity, _ in CASES]
        found = [v for v in found if v is not None]
        yield Goal(f"{ours}, allocations/job", "", max(found, default=None),
                   "<=", 0, ours == PULL)
