"""Peak memory of a million trivial jobs."""

from . import pool, stats
from .pool import GO, PULL, PUSH, Peer
from .stats import Goal

SUITE = "memory"
JOBS = 1_000_000
CASE = f"{JOBS} jobs N=4 cap=8"
SPAWN = "goroutine per job"
SPAWN_LATE = "goroutine per job, late"
# A goroutine that waits has a stack of its own.
SPAWN_MIB = 4096


def peers(runner, built, memory_mib):
    program = runner.program("pool")
    found = [Peer(PULL, [program, "--form", "pull"]),
             Peer(PUSH, [program, "--form", "push"])]
    if "go-pool" in built:
        found.append(Peer(GO, [runner.program("go-pool")]))
    if "go-spawn" in built:
        found.append(Peer(SPAWN, [runner.program("go-spawn")]))
        if memory_mib >= SPAWN_MIB:
            found.append(Peer(SPAWN_LATE, [runner.program("go-spawn"),
                                           "--late"]))
        else:
            runner.skip(SPAWN_LATE, f"less than {SPAWN_MIB} MiB of memory")
    return found


def measure(runner, peer):
    usage, text = runner.once(pool.command(peer, 4, 8, JOBS, 0),
                              limit_s=120)
    found = pool.said(text, JOBS)
    return {"jobs": JOBS, "sum": found["sum"],
            "ns_per_job": found["ns_per_job"], "rss_kib": usage["rss_kib"],
            "foreign_cpus": usage["foreign_cpus"]}


def run(runner, found):
    for peer in found:
        runner.keep(SUITE, CASE, peer.name, 1,
                    lambda p=peer: measure(runner, p), attempts=1)
    print("memory: done", flush=True)


def report(runner, found):
    lines = ["", f"Peak memory, {JOBS} trivial jobs, N=4, capacity 8"]
    for peer in found:
        peak = stats.median(runner.samples, SUITE, CASE, peer.name,
                            "rss_kib")
        if peak:
            lines.append(f"  {peer.name:<26}{peak / 1024:>9.1f} MiB")
    return lines


def goals(runner):
    for ours in (PULL, PUSH):
        found = stats.ratios(runner.samples, SUITE, CASE, "rss_kib",
                             SPAWN_LATE, ours)
        yield Goal(f"peak memory, {SPAWN_LATE}, over {ours}", "x",
                   found[1] if found else None, ">=", 500.0, ours == PULL)
