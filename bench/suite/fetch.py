"""Bulk fetching: requests per second, processor time, memory, connections."""

import os
import subprocess
from dataclasses import dataclass, field
from typing import Callable

from . import stats
from .runner import Wrong
from .stats import Goal

SUITE = "fetch"
MEMORY = "fetch-memory"
WEIR = "weir fetch"
GO_TUNED = "go tuned"
GO_DEFAULT = "go default"
CURL = "curl --parallel"

WIDTHS = (10, 100, 1000)
URLS = 20_000
URLS_QUICK = 6_000
# The memory of a fetch must not depend on how long its list is.
LIST_SHORT = 10_000
LIST_LONG = 2_000_000
LIST_LONG_QUICK = 200_000
MEMORY_WIDTH = 100


@dataclass
class Peer:
    """argv(width, lists) gives a command that fetches all URLs of a list;
    lists holds the path of each format of it."""

    name: str
    argv: Callable
    width_max: int = 1_000_000
    widths: tuple = field(default=WIDTHS)


def weir_argv(weir, width, source):
    return [weir, "fetch", "-j", str(width), "--per-host", "0", "--quiet",
            "--progress=none", source]


def peers(runner, weir, go, curl):
    found = []
    if weir:
        found.append(Peer(WEIR, lambda width, lists:
                          weir_argv(weir, width, lists["urls"])))
    if go:
        program = runner.program("go-fetch")
        found.append(Peer(GO_TUNED, lambda width, lists: [
            program, "-tuned", "-c", str(width), lists["urls"]]))
        found.append(Peer(GO_DEFAULT, lambda width, lists: [
            program, "-c", str(width), lists["urls"]]))
    if curl:
        # 300 is the most that it takes.
        found.append(Peer(CURL, lambda width, lists: [
            curl, "--disable", "--parallel", "--parallel-max", str(width),
            "--fail", "--silent", "--show-error", "--config",
            lists["curl"]], width_max=300))
    return found


def write_lists(runner, server, count):
    lists = {"urls": os.path.join(runner.out, "urls.txt"),
             "curl": os.path.join(runner.out, "urls.curl")}
    with open(lists["urls"], "w", encoding="ascii") as urls, \
            open(lists["curl"], "w", encoding="ascii") as curl:
        for i in range(count):
            url = server.url(f"/p/{i}")
            urls.write(f"{url}\n")
            curl.write(f'url = "{url}"\noutput = "/dev/null"\n')
    return lists


def measure(runner, server, argv, count, limit_s=60, stdin=None):
    """One run.  What counts is what the server has seen: count requests,
    each of them once."""
    before = server.counts()
    with open(os.devnull, "w", encoding="ascii") as null:
        usage, _ = runner.once(argv, limit_s=limit_s, stdin=stdin,
                               stdout=null, ours=(server.worker,))
    after = server.counts()
    # The second look at the counters is one connection and one request.
    connections = after[0] - before[0] - 1
    requests = after[1] - before[1] - 1
    if requests != count:
        raise Wrong(f"{requests} requests instead of {count}")
    return {
        "requests": requests,
        "connections": connections,
        "requests_per_s": count / usage["wall_s"],
        "requests_per_cpu_s": count / usage["cpu_s"],
        "cpu_s_per_100k": usage["cpu_s"] * 100_000 / count,
        "wall_s": usage["wall_s"],
        "cpu_s": usage["cpu_s"],
        "rss_kib": usage["rss_kib"],
        "foreign_cpus": usage["foreign_cpus"],
    }


def check_records(runner, server, weir, lists, count):
    """Not measured: is there a record of success for each URL?"""
    _, text = runner.once(weir_argv(weir, 100, lists["urls"])[:-1]
                          + ["--json", lists["urls"]])
    records = text.splitlines()
    good = sum('"status":"ok"' in r.replace(" ", "") for r in records)
    if len(records) != count or good != count:
        raise Wrong(f"{len(records)} records, {good} ok, for {count} URLs")


def run(runner, server, weir, found):
    count = URLS_QUICK if runner.quick else URLS
    lists = write_lists(runner, server, count)
    if weir:
        try:
            check_records(runner, server, weir, lists, count)
        except Wrong as wrong:
            runner.wrong.append(f"{SUITE} {WEIR}: {wrong}")
            print(f"WRONG: {runner.wrong[-1]}", flush=True)
    for number in range(1, runner.rounds + 1):
        for width in WIDTHS:
            for peer in found:
                if width > peer.width_max:
                    continue
                runner.keep(
                    SUITE, f"c={width}", peer.name, number,
                    lambda p=peer, w=width: measure(
                        runner, server, p.argv(w, lists), count),
                )
        print(f"fetch: round {number} of {runner.rounds}", flush=True)


def _streamed(runner, server, weir, count):
    """The list comes from a program, so nobody can look ahead."""
    with subprocess.Popen(
        ["seq", "-f", server.url("/p/%.0f"), str(count)],
        stdout=subprocess.PIPE,
    ) as seq:
        try:
            return measure(runner, server,
                           weir_argv(weir, MEMORY_WIDTH, "-"), count,
                           limit_s=300, stdin=seq.stdout)
        finally:
            seq.stdout.close()
            seq.wait()


def run_memory(runner, server, weir):
    long = LIST_LONG_QUICK if runner.quick else LIST_LONG
    for count in (LIST_SHORT, long):
        print(f"fetch: memory, {count} URLs from a pipe", flush=True)
        runner.keep(MEMORY, f"urls={count}", WEIR, 1,
                    lambda n=count: _streamed(runner, server, weir, n))


def _spread(runner, case, peer, metric, scale=1.0, digits=0):
    found = stats.figures(runner.samples, SUITE, case, peer, metric)
    if not found:
        return None
    return "/".join(f"{value * scale:.{digits}f}" for value in found)


def report(runner, found):
    lines = ["", "Fetch: min/median/max over the rounds", "",
             f"  {'':<17}{'':>7}{'requests/s':>22}{'CPU s/100k':>18}"
             f"{'peak MiB':>16}{'connections':>16}{'weir: rq/CPU-s x':>20}"]
    for width in WIDTHS:
        for peer in found:
            case = f"c={width}"
            rate = _spread(runner, case, peer.name, "requests_per_s")
            if not rate:
                continue
            cpu = _spread(runner, case, peer.name, "cpu_s_per_100k", digits=2)
            rss = _spread(runner, case, peer.name, "rss_kib", 1 / 1024, 1)
            opened = stats.median(runner.samples, SUITE, case, peer.name,
                                  "connections")
            ratio = stats.ratios(runner.samples, SUITE, case,
                                 "requests_per_cpu_s", WEIR, peer.name)
            ratio = "/".join(f"{r:.2f}" for r in ratio) \
                if ratio and peer.name != WEIR else ""
            lines.append(f"  {peer.name:<17}{case:>7}{rate:>22}{cpu:>18}"
                         f"{rss:>16}{opened:>16.0f}{ratio:>20}")
    return lines + _report_memory(runner)


def _report_memory(runner):
    lines = []
    for sample in runner.samples:
        if sample["suite"] == MEMORY and sample["counts"]:
            lines.append(
                f"  {sample['case']:<14} c={MEMORY_WIDTH}  peak "
                f"{sample['rss_kib'] / 1024:.1f} MiB  "
                f"{sample['requests_per_s']:.0f} requests/s  "
                f"{sample['connections']} connections")
    return ["", f"Memory of {WEIR}, URLs from a pipe"] + lines \
        if lines else []


def goals(runner):
    """What issue 2 asks for."""
    def over(case, metric, peer):
        found = stats.ratios(runner.samples, SUITE, case, metric, WEIR, peer)
        return found[1] if found else None

    for width in WIDTHS:
        yield Goal(f"fetch, requests per CPU-second over tuned Go's, "
                   f"c={width}", "x",
                   over(f"c={width}", "requests_per_cpu_s", GO_TUNED),
                   ">=", 1.2, True)
    yield Goal("fetch, requests/s over default Go's, c=1000", "x",
               over("c=1000", "requests_per_s", GO_DEFAULT), ">=", 4.0, True)
    yield Goal("fetch, requests/s over curl --parallel's, c=100", "x",
               over("c=100", "requests_per_s", CURL), ">=", 1.5, True)
    peaks = [s["rss_kib"] / 1024 for s in runner.samples
             if s["suite"] == MEMORY and s["counts"]]
    yield Goal(f"fetch, peak memory at c={MEMORY_WIDTH}", "MiB",
               max(peaks, default=None), "<=", 20.0, True)
    yield Goal("fetch, peak memory of the long list over the short one's",
               "x", peaks[1] / peaks[0] if len(peaks) == 2 else None,
               "<=", 1.1, True)
