"""From submit to result and back: one thread, one job at a time."""

from . import pool, stats
from .pool import Peer, Sizes
from .stats import Goal

SUITE = "latency"
WORKERS = (1, 4)
WEIR = "weir push"
HELPS = "weir push helps"
GO = "go channels"
MUTEX = "mutex pool"
TRIPS_MAX = 1_000_000
METRICS = ("ns_per_job", "p50_ns", "p99_ns", "p999_ns")


def peers(runner, built):
    trip = [runner.program("trip")]
    found = [Peer(WEIR, trip), Peer(HELPS, trip, ["--helps"])]
    if "go-trip" in built:
        found.append(Peer(GO, [runner.program("go-trip")]))
    if "c-mutex" in built:
        found.append(Peer(MUTEX, [runner.program("c-mutex")], ["--trip"]))
    return found


def measure(runner, peer, workers, trips):
    argv = pool.command(peer, workers, 2 * workers, trips, 0)
    usage, text = runner.once(argv)
    found = pool.said(text, trips)
    return {"jobs": trips, "sum": found["sum"],
            "foreign_cpus": usage["foreign_cpus"],
            **{metric: found[metric] for metric in METRICS}}


def case_name(workers):
    return f"trip N={workers}"


def run(runner, found):
    sizes = Sizes(runner)
    for number in range(runner.rounds + 1):
        for workers in WORKERS:
            for peer in found:
                key = workers, peer.name
                trips = sizes.jobs(key, TRIPS_MAX)
                sample = runner.keep(
                    SUITE, case_name(workers), peer.name, number,
                    lambda p=peer, w=workers, t=trips:
                        measure(runner, p, w, t))
                sizes.learn(key, sample)
    print("latency: done", flush=True)


def report(runner, found):
    lines = ["", "Round trip, ns, min/median/max over the rounds; 2N places"]
    for workers in WORKERS:
        case = case_name(workers)
        lines += ["", f"  {'N=' + str(workers):<18}" + "".join(
            f"{name:>27}" for name in ("mean", "p50", "p99", "p99.9",
                                       "mean, times ours", "..helping"))]
        for peer in found:
            cells = [stats.figures(runner.samples, SUITE, case, peer.name, m)
                     for m in METRICS]
            if not all(cells):
                continue
            texts = ["/".join(f"{v:.0f}" for v in cell) for cell in cells]
            for ours in (WEIR, HELPS):
                ratio = stats.ratios(runner.samples, SUITE, case,
                                     "ns_per_job", peer.name, ours)
                texts.append("/".join(pool.ratio_text(v) for v in ratio)
                             if ratio and peer.name != ours else "")
            lines.append(f"  {peer.name:<18}"
                         + "".join(f"{text:>27}" for text in texts))
    return lines


def goals(runner):
    for peer, bound in ((GO, 5.0), (MUTEX, 50.0)):
        found = stats.ratios(runner.samples, SUITE, case_name(4),
                             "ns_per_job", peer, HELPS)
        yield Goal(f"round trip, {HELPS} over {peer}, N=4", "x",
                   found[1] if found else None, ">=", bound, True)
