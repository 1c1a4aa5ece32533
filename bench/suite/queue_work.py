"""What `weir work` needs: its own memory, whatever it has before it, and its
processor time while it has nothing to do."""

import os
import shutil
import signal
import subprocess
import time

from .commands import peak_kib
from .runner import Wrong
from .stats import Goal
from .store import database, forget, must

MEMORY = "queue memory"
IDLE = "queue idle"
WEIR = "weir work"
# Time to do that before it is looked at.
SETTLE_S = 2.0
IDLE_S, IDLE_S_QUICK = 30.0, 5.0
# How long it works, with however long a queue before it.
WORK_S, WORK_S_QUICK = 10.0, 2.0
SAMPLE_S = 0.005
END_S = 60.0

PEAK_MIB = 16.0
# A tick of the kernel's clock, in which it counts processor time: what is
# less cannot be seen in ps or top.
IDLE_MS = 10.0


def command(weir, path, options=()):
    """Children that end at once, two at a time."""
    return [weir, "work", "default", "--db", path, "-j2", "--quiet",
            "--progress=none", *options, "--", "true"]


class Worker:
    """A `weir work` in the background."""

    def __init__(self, argv):
        self.argv = argv
        self.process = None

    def __enter__(self):
        self.process = subprocess.Popen(  # pylint: disable=R1732
            self.argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE)
        return self

    def wait(self, seconds):
        """Let it work; gives the peak of its own memory so far."""
        peak, until_s = 0, time.monotonic() + seconds
        while time.monotonic() < until_s and self.process.poll() is None:
            peak = max(peak, peak_kib(self.process.pid))
            time.sleep(SAMPLE_S)
        return peak

    def __exit__(self, *_):
        """TERM, and it hands back what has not begun."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            _, text = self.process.communicate(timeout=END_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            _, text = self.process.communicate()
        if self.process.returncode not in (0, 128 + signal.SIGTERM):
            raise Wrong(f"{' '.join(self.argv)}: exit "
                        f"{self.process.returncode}: "
                        f"{text.decode('utf-8', 'replace')[-300:]}")


def used(pid):
    """(processor ns, context switches) of a process, all of its threads.
    schedstat is in nanoseconds, which stat is not."""
    cpu_ns, switches = 0, 0
    for task in os.listdir(f"/proc/{pid}/task"):
        base = f"/proc/{pid}/task/{task}/"
        with open(base + "schedstat", encoding="ascii") as file:
            cpu_ns += int(file.read().split()[0])
        with open(base + "status", encoding="ascii") as file:
            switches += sum(int(line.split()[1]) for line in file
                            if "ctxt_switches" in line)
    return cpu_ns, switches


def calls_meanwhile(runner, pid, seconds):
    """System calls that a process makes, by the kernel's count; None if it
    cannot be had.  Takes that long."""
    path = os.path.join(runner.out, "calls.txt")
    argv = ["perf", "stat", "-x,", "-e", "raw_syscalls:sys_enter", "-o", path,
            "-p", str(pid), "--", "sleep", str(seconds)]
    if shutil.which("perf"):
        done = subprocess.run(argv, capture_output=True, check=False)
        with open(path, encoding="utf-8") as file:
            for line in file:
                fields = line.split(",")
                if done.returncode == 0 and len(fields) > 2 \
                        and fields[0].isdigit():
                    return int(fields[0])
    time.sleep(seconds)
    return None


def measure_idle(runner, weir, path):
    seconds = IDLE_S_QUICK if runner.quick else IDLE_S
    with Worker(command(weir, path)) as worker:
        worker.wait(SETTLE_S)
        pid = worker.process.pid
        before = used(pid)
        calls = calls_meanwhile(runner, pid, seconds)
        after = used(pid)
        found = {"seconds": seconds, "cpu_ms": (after[0] - before[0]) / 1e6,
                 "switches": after[1] - before[1],
                 "own_kib": peak_kib(pid), "foreign_cpus": 0.0}
        if calls is not None:
            found["calls"] = calls
    return found


def measure_memory(runner, weir, path, options):
    with Worker(command(weir, path, options)) as worker:
        peak = worker.wait(WORK_S_QUICK if runner.quick else WORK_S)
    return {"own_kib": peak, "foreign_cpus": 0.0}


def run(runner, weir, paths):
    """paths: databases by the number of jobs that wait in them; what is
    worked off does not matter any more."""
    idle = database(runner, "idle")
    # One job, which is done long before anybody looks.
    if not must(runner, [runner.program("queue"), "fill", idle, "1"]):
        runner.keep(IDLE, "nothing to do", WEIR, 1,
                    lambda: measure_idle(runner, weir, idle), attempts=1)
    for waiting, path in paths.items():
        for name, options in (("shared", []), ("alone", ["--alone"])):
            runner.keep(MEMORY, f"{waiting:,} waiting, {name}", WEIR, 1,
                        lambda p=path, o=options:
                        measure_memory(runner, weir, p, o), attempts=1)
    forget(idle)
    print("queue: weir work done", flush=True)


def of(samples, suite):
    return [s for s in samples if s["suite"] == suite and s["counts"]]


def report(samples):
    lines = []
    for s in of(samples, IDLE):
        calls = s.get("calls")
        lines += ["", f"{WEIR} without jobs, {s['seconds']:.0f} s: "
                  f"{s['cpu_ms']:.2f} ms of processor time, "
                  f"{s['switches']} context switches, "
                  f"{'-' if calls is None else calls} system calls, "
                  f"{s['own_kib'] / 1024:.1f} MiB"]
    if of(samples, MEMORY):
        lines += ["", f"Own memory of {WEIR} -j2 true"]
    for s in of(samples, MEMORY):
        lines.append(f"  {s['case']:<40}{s['own_kib'] / 1024:>6.1f} MiB")
    return lines


def goals(samples):
    idle = of(samples, IDLE)
    yield Goal(f"queue, {WEIR} without jobs, processor time in 30 s", "ms",
               max((s["cpu_ms"] * 30 / s["seconds"] for s in idle),
                   default=None), "<=", IDLE_MS, True)
    yield Goal(f"queue, peak memory of {WEIR}, idle", "MiB",
               max((s["own_kib"] / 1024 for s in idle), default=None),
               "<=", PEAK_MIB)
    yield Goal(f"queue, peak memory of {WEIR}, working", "MiB",
               max((s["own_kib"] / 1024 for s in of(samples, MEMORY)),
                   default=None), "<=", PEAK_MIB, True)
