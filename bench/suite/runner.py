"""Runs one program at a time, and keeps every sample."""

import json
import os
import subprocess

from .machine import Watch

# More than this went to others: the run says little, and is repeated once.
FOREIGN_CPUS_MAX = 0.25


class Wrong(Exception):
    """A program gave a wrong result, or none: no figure may come of that."""


class Runner:
    """Where the programs are, and what they did so far."""

    def __init__(self, root, out, quick, rounds):
        self.root = root
        self.out = out
        self.bin = os.path.join(out, "bin")
        self.quick = quick
        self.rounds = rounds
        self.samples = []
        self.skipped = []
        self.wrong = []
        self.repeats = 0

    def skip(self, what, why):
        """Say so now, and once more at the end."""
        self.skipped.append({"what": what, "why": why})
        print(f"skipped: {what}: {why}", flush=True)

    def program(self, name):
        return os.path.join(self.bin, name)

    def once(self, argv, limit_s=60, stdin=None, stdout=None, ours=()):
        """Run argv to its end.  Gives what it used, and what it printed;
        with stdout (a file) that went there instead."""
        usage = os.path.join(self.out, "child.json")
        if os.path.exists(usage):
            os.unlink(usage)
        watch = Watch(ours)
        done = subprocess.run(
            [self.program("child"), "--limit", str(limit_s), "--json", usage]
            + ["--"] + argv,
            stdin=stdin or subprocess.DEVNULL,
            stdout=stdout or subprocess.PIPE,
            stderr=subprocess.PIPE,
            check=False,
        )
        if not os.path.exists(usage):
            raise Wrong(f"{argv[0]} was not run: {_tail(done.stderr)}")
        with open(usage, encoding="ascii") as file:
            sample = json.load(file)
        sample["foreign_cpus"] = watch.foreign_cpus()
        if sample["timed_out"] or sample["exit"] != 0:
            how = "no end" if sample["timed_out"] else f"exit {sample['exit']}"
            raise Wrong(f"{' '.join(argv)}: {how}: {_tail(done.stderr)}")
        return sample, (done.stdout or b"").decode("utf-8", "replace")

    def keep(self, suite, case, peer, number, measure, attempts=2):
        """Take one sample with measure(), a second one if others were busy.
        Of the two the calmer one counts; both are kept.  What is counted
        or remembered needs no calm: attempts is 1."""
        best = None
        for attempt in range(1, attempts + 1):
            try:
                sample = measure()
            except Wrong as wrong:
                self.wrong.append(f"{suite} {case} {peer}: {wrong}")
                print(f"WRONG: {self.wrong[-1]}", flush=True)
                return None
            sample.update(suite=suite, case=case, peer=peer, round=number,
                          attempt=attempt, counts=False)
            self.samples.append(sample)
            if best is None or sample["foreign_cpus"] < best["foreign_cpus"]:
                best = sample
            if sample["foreign_cpus"] <= FOREIGN_CPUS_MAX:
                break
            self.repeats += attempt == 1
        best["counts"] = True
        return best


def _tail(text):
    return (text or b"").decode("utf-8", "replace").strip()[-400:]
