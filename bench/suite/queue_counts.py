"""What a durable job costs that can be counted, whoever else uses the machine:
system calls and flushes by the kernel (perf, or strace where there is no
perf), instructions of user space by valgrind.  Each is the difference of a run
of J jobs and one of 2J, so that what is done once falls out."""

import os
import re
import shutil

from .runner import Wrong
from .store import database, forget, said

SUITE = "queue counters"
CASE = "batches of 1000, FULL"
INSERT = "insert only"
JOBS = 50_000
JOBS_VALGRIND = 10_000
CALLS = {"calls": None, "flushes": ("fdatasync", "fsync"),
         "futex": ("futex",)}
METRICS = ("calls_per_1000", "flushes_per_1000", "futex_per_1000",
           "instructions_per_job")


def command(runner, words, jobs):
    path = database(runner, "counted")
    forget(path)
    verb = ["fill"] if words is None else ["life"]
    return [runner.program("queue")] + verb + [path, str(jobs), "unchecked"] \
        + (words or [])


def by_perf(runner, argv):
    """System calls by name; "" is all of them."""
    names = [name for names in CALLS.values() for name in names or ()]
    events = ["raw_syscalls:sys_enter"] + [f"syscalls:sys_enter_{name}"
                                           for name in names]
    path = os.path.join(runner.out, "calls.txt")
    said(runner, ["perf", "stat", "-x,", "-e", ",".join(events), "-o", path,
                  "--"] + argv)
    found = {}
    with open(path, encoding="utf-8") as file:
        for line in file:
            fields = line.split(",")
            if len(fields) > 2 and fields[0].isdigit():
                found[fields[2].rpartition("sys_enter")[2].lstrip("_")] = \
                    int(fields[0])
    if len(found) != len(events):
        raise Wrong("perf does not count system calls here")
    return found


def by_strace(runner, argv):
    path = os.path.join(runner.out, "calls.txt")
    said(runner, ["strace", "-f", "-qq", "-c", "-o", path] + argv)
    found = {}
    with open(path, encoding="utf-8") as file:
        for line in file:
            fields = line.split()
            if len(fields) >= 5 and fields[3].isdigit():
                found[fields[-1]] = int(fields[3])
    found[""] = found.pop("total", 0)
    return found


def counter(runner):
    """One of the two, or None."""
    for name, count in (("perf", by_perf), ("strace", by_strace)):
        if shutil.which(name):
            try:
                count(runner, command(runner, None, 1000))
                return count
            except (Wrong, OSError):
                continue
    runner.skip("system calls per durable job",
                "neither perf nor strace works here")
    return None


def calls(runner, count, words):
    once, twice = (count(runner, command(runner, words, jobs))
                   for jobs in (JOBS, 2 * JOBS))
    sample = {"foreign_cpus": 0.0}
    for what, names in CALLS.items():
        more = sum(twice.get(name, 0) - once.get(name, 0)
                   for name in names or ("",))
        sample[f"{what}_per_1000"] = more * 1000 / JOBS
    return sample


def executed(runner, words, jobs):
    path = os.path.join(runner.out, "valgrind.txt")
    said(runner, ["valgrind", "--tool=callgrind",
                  "--callgrind-out-file=/dev/null", "--log-file=" + path]
         + command(runner, words, jobs))
    with open(path, encoding="utf-8") as file:
        return int(re.search(r"Collected : (\d+)", file.read()).group(1))


def instructions(runner, words):
    more = executed(runner, words, 2 * JOBS_VALGRIND) \
        - executed(runner, words, JOBS_VALGRIND)
    return {"instructions_per_job": more / JOBS_VALGRIND,
            "foreign_cpus": 0.0}


def run(runner, lives):
    """lives: words for bench/queue.c by name."""
    count = counter(runner)
    valgrind = shutil.which("valgrind")
    if not valgrind:
        runner.skip("instructions per durable job",
                    "valgrind is not installed")
    for name, words in {INSERT: None, **lives}.items():
        if count:
            runner.keep(f"{SUITE} calls", CASE, name, 1,
                        lambda w=words: calls(runner, count, w), attempts=1)
        if valgrind:
            runner.keep(f"{SUITE} callgrind", CASE, name, 1,
                        lambda w=words: instructions(runner, w), attempts=1)
    forget(database(runner, "counted"))
    print("queue: counters done", flush=True)


def rows(samples):
    """(name, cells in the order of METRICS, None where there is none)."""
    mine = [s for s in samples if s["suite"].startswith(SUITE)
            and s["counts"]]
    for name in dict.fromkeys(s["peer"] for s in mine):
        yield name, [next((s[metric] for s in mine
                           if s["peer"] == name and metric in s), None)
                     for metric in METRICS]


def report(samples):
    lines = ["", f"Counted, {CASE}", "",
             f"  {'for 1000 jobs, instructions for one':<37}{'calls':>10}"
             f"{'flushes':>10}{'futex':>10}{'instructions':>14}"]
    for name, cells in rows(samples):
        lines.append(f"  {name:<37}" + "".join(
            f"{'-' if cell is None else f'{cell:.{digits}f}':>{width}}"
            for cell, digits, width in zip(cells, (1, 2, 1, 0),
                                           (10, 10, 10, 14))))
    return lines
