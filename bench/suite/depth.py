"""How full a pool is over time, when its producer is faster."""

import os

from .runner import Wrong

SUITE = "depth"
WORKERS = 4
QUEUE = 64


def csv_path(runner):
    return os.path.join(runner.out, "depth.csv")


def measure(runner):
    with open(csv_path(runner), "w", encoding="ascii") as csv:
        usage, _ = runner.once(
            [runner.program("depth"), "--workers", str(WORKERS)]
            + ["--queue", str(QUEUE), "--seconds", "2"],
            stdout=csv,
        )
    with open(csv_path(runner), encoding="ascii") as csv:
        queued = [int(line.split(",")[1]) for line in csv.readlines()[1:]]
    # The program has checked each sample; this checks what is drawn.
    if not queued or max(queued) != QUEUE:
        raise Wrong(f"the queue held {max(queued, default=None)}")
    return {
        "samples": len(queued),
        "queued_max": max(queued),
        "at_bound": sum(q == QUEUE for q in queued),
        "rss_kib": usage["rss_kib"],
        "foreign_cpus": usage["foreign_cpus"],
    }


def run(runner):
    runner.keep(SUITE, f"N={WORKERS} queue={QUEUE}", "weir push", 1,
                lambda: measure(runner))


def report(runner):
    for sample in runner.samples:
        if sample["suite"] == SUITE and sample["counts"]:
            return ["", "Depth: "
                    f"{sample['samples']} samples, {sample['at_bound']} of "
                    f"them at the bound of {QUEUE}, none above it"]
    return []


def goals(_runner):
    return ()
