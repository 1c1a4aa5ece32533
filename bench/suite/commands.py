"""Commands as jobs: starts per second beside xargs and GNU parallel, and the
memory of weir run itself, however long its input is."""

import os
import shutil
import subprocess
import time

from . import stats
from .runner import Wrong
from .stats import Goal

SUITE = "run"
MEMORY = "run-memory"
WEIR = "weir run"
XARGS = "xargs"
PARALLEL = "GNU parallel"
CASE = "-j2 true"

# As many commands as each peer runs; rates are compared.
COMMANDS = {WEIR: 10_000, XARGS: 10_000, PARALLEL: 1_000}
COMMANDS_QUICK = {WEIR: 3_000, XARGS: 3_000, PARALLEL: 300}
SHORT = 10_000
MANY, MANY_QUICK = 200_000, 20_000
# Ten million starts take an hour; so many items are read, and few started.
ITEMS, ITEMS_QUICK = 10_000_000, 1_000_000
JOINED = 1_000
SAMPLE_S = 0.005
PEAK_MIB = 6.0


def command(weir, name):
    return {
        WEIR: [weir, "run", "-j2", "--quiet", "--progress=none", "true"],
        XARGS: ["xargs", "-P2", "-n1", "true"],
        PARALLEL: ["parallel", "--will-cite", "-j2", "true"],
    }[name]


def is_gnu_parallel():
    """moreutils has another program of that name."""
    if not shutil.which("parallel"):
        return False
    done = subprocess.run(["parallel", "--version"], capture_output=True,
                          text=True, check=False)
    return done.stdout.startswith("GNU parallel")


def peers(runner, weir):
    found = [WEIR] if weir else []
    if shutil.which("xargs"):
        found.append(XARGS)
    else:
        runner.skip(XARGS, "it is not installed")
    if is_gnu_parallel():
        found.append(PARALLEL)
    else:
        runner.skip(PARALLEL, "it is not installed")
    return found


def write_list(runner, count):
    path = os.path.join(runner.out, f"items-{count}.txt")
    with open(path, "w", encoding="ascii") as file:
        file.writelines(f"{n}\n" for n in range(count))
    return path


def check(runner, weir, path, count):
    """Not measured: is there a record of success for each item?"""
    with open(path, "rb") as items:
        _, text = runner.once([weir, "run", "-j2", "--json", "true"],
                              stdin=items)
    good = sum('"status":"ok"' in line for line in text.splitlines())
    if good != count:
        raise Wrong(f"{good} records of success for {count} items")


def measure(runner, weir, name, count):
    with open(write_list(runner, count), "rb") as items:
        usage, _ = runner.once(command(weir, name), limit_s=120, stdin=items)
    return {"jobs": count, "jobs_per_s": count / usage["wall_s"],
            "cpu_ms_per_job": usage["cpu_s"] * 1000 / count,
            "wall_s": usage["wall_s"], "foreign_cpus": usage["foreign_cpus"]}


def run(runner, weir, found):
    counts = COMMANDS_QUICK if runner.quick else COMMANDS
    if weir:
        try:
            check(runner, weir, write_list(runner, counts[WEIR]),
                  counts[WEIR])
        except Wrong as wrong:
            runner.wrong.append(f"{SUITE} {WEIR}: {wrong}")
            print(f"WRONG: {runner.wrong[-1]}", flush=True)
    for number in range(1, runner.rounds + 1):
        for name in found:
            runner.keep(SUITE, CASE, name, number,
                        lambda n=name: measure(runner, weir, n, counts[n]))
        print(f"run: round {number} of {runner.rounds}", flush=True)
    if weir:
        run_memory(runner, weir)


def peak_kib(pid):
    """The peak of this process alone; its children are not in it."""
    try:
        with open(f"/proc/{pid}/status", encoding="ascii",
                  errors="replace") as status:
            for line in status:
                if line.startswith("VmHWM:"):
                    return int(line.split()[1])
    except OSError:
        pass
    return 0


def watched(argv, items, feeder):
    """Run argv on what feeder writes; gives the peak of its own memory.  It
    only grows, so the last look before the end is as good as one after it,
    but for the last few milliseconds."""
    start_s, peak = time.monotonic(), 0
    with subprocess.Popen(feeder, stdout=subprocess.PIPE) as source, \
            subprocess.Popen(argv, stdin=source.stdout,
                             stdout=subprocess.DEVNULL,
                             stderr=subprocess.PIPE) as process:
        source.stdout.close()
        while process.poll() is None:
            peak = max(peak, peak_kib(process.pid))
            time.sleep(SAMPLE_S)
        if process.returncode != 0:
            text = process.stderr.read().decode("utf-8", "replace")
            raise Wrong(f"{' '.join(argv)}: exit {process.returncode}: "
                        f"{text[-300:]}")
    return {"items": items, "own_kib": peak, "foreign_cpus": 0.0,
            "wall_s": time.monotonic() - start_s}


def memory_cases(runner, weir):
    """(name, items, options); `yes` gives the same item again and again, so
    that a log of one line has done them all."""
    many = MANY_QUICK if runner.quick else MANY
    items = ITEMS_QUICK if runner.quick else ITEMS
    log = os.path.join(runner.out, "done.jsonl")
    subprocess.run([weir, "run", "--quiet", "--log", log, "true", ":::", "y"],
                   check=True, stdin=subprocess.DEVNULL)
    return [(f"{SHORT:,} commands", SHORT, []),
            (f"{many:,} commands", many, []),
            (f"{many:,} commands, in order", many, ["-k"]),
            (f"{items:,} items, {JOINED:,} a command", items,
             ["-n", str(JOINED)]),
            (f"{items:,} items, done before", items,
             ["--resume", log, "--log", "/dev/null"])]


def run_memory(runner, weir):
    for name, items, options in memory_cases(runner, weir):
        print(f"run: memory, {name}", flush=True)
        argv = [weir, "run", "-j2", "--quiet", "--progress=none"] + options
        feeder = ["sh", "-c", f"yes | head -n {items}"]
        runner.keep(MEMORY, name, WEIR, 1,
                    lambda a=argv, n=items, f=feeder:
                    watched(a + ["true"], n, f), attempts=1)


def report(runner, found):
    lines = ["", "Commands: min/median/max over the rounds", "",
             f"  {'':<17}{'starts/s':>20}{'CPU ms each':>14}"
             f"{'weir run, times':>20}"]
    for name in found:
        rate = stats.figures(runner.samples, SUITE, CASE, name, "jobs_per_s")
        if not rate:
            continue
        cpu = stats.median(runner.samples, SUITE, CASE, name,
                           "cpu_ms_per_job")
        ratio = stats.ratios(runner.samples, SUITE, CASE, "jobs_per_s", WEIR,
                             name)
        ratio = "/".join(f"{r:.2f}" for r in ratio) \
            if ratio and name != WEIR else ""
        lines.append(f"  {name:<17}{'/'.join(f'{r:.0f}' for r in rate):>20}"
                     f"{cpu:>14.3f}{ratio:>20}")
    lines += ["", f"Own memory of {WEIR} -j2 true, from a pipe"]
    for sample in memory_samples(runner.samples):
        lines.append(f"  {sample['case']:<40}{sample['own_kib'] / 1024:>6.1f}"
                     f" MiB {sample['wall_s']:>8.1f} s")
    return lines


def memory_samples(samples):
    return [s for s in samples if s["suite"] == MEMORY and s["counts"]]


def goals(runner):
    """What issue 4 asks for."""
    for peer, bound in ((XARGS, 0.9), (PARALLEL, 4.0)):
        found = stats.ratios(runner.samples, SUITE, CASE, "jobs_per_s", WEIR,
                             peer)
        yield Goal(f"run, starts/s over {peer}'s, {CASE}", "x",
                   found[1] if found else None, ">=", bound, True)
    peaks = memory_samples(runner.samples)
    for what, wanted in (("10,000 commands", lambda s: s["items"] == SHORT),
                         ("the longest input", lambda s: s["items"] > SHORT)):
        yield Goal(f"run, own peak memory, {what}", "MiB",
                   max((s["own_kib"] / 1024 for s in peaks if wanted(s)),
                       default=None), "<=", PEAK_MIB, True)
