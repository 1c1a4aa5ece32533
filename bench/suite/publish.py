"""Turns the figures of a full run into text: the table of the front page,
and docs/benchmarks.md.  Takes bench.json as it was written, so that what is
published can be written again from the file."""

import textwrap

from . import (commands, counters, docindex, fetch, fleet, latency, memory,
               pool, queue, queue_counts, queue_work, stats)

SIGNS = {">=": "at least", "<=": "at most"}
VERDICTS = {True: "reached", False: "**MISSED**", None: "not measured"}
PICTURES = ("peers", "throughput-0us", "latency")
KEY_PEERS = (pool.GO, pool.TBB, pool.CROSSBEAM)


def para(text, **more):
    """A paragraph, or with indents an item of a list, as lines."""
    return textwrap.wrap(" ".join(text.split()), 98, break_long_words=False,
                         break_on_hyphens=False, **more)


def item(text):
    return para("* " + text, subsequent_indent="  ")


def refusal(bench):
    """Why these figures should not be published, or None."""
    settings = bench["settings"]
    if settings["quick"] or settings["only"]:
        return "it is a quick run, or one of a part; run `make bench`"
    if settings["build_type"] != "release":
        return f"it is a {settings['build_type']} build"
    if bench["wrong"]:
        return "some results were wrong"
    return None


def number(value):
    if value is None:
        return "-"
    return f"{value:.0f}" if value >= 100 or value == 0 else \
        f"{value:.1f}" if value >= 10 else \
        f"{value:.2f}" if value >= 0.1 else f"{value:.4f}"


def goal_row(goal):
    unit = {"x": "×", "": ""}.get(goal["unit"], " " + goal["unit"])
    value = "-" if goal["value"] is None else number(goal["value"]) + unit
    return (f"| {goal['what']} | {value} | "
            f"{SIGNS[goal['how']]} {goal['bound']:g}{unit} | "
            f"{VERDICTS[goal['reached']]} |")


def goal_rows(goals):
    return ["| what | measured | goal | |", "| --- | --- | --- | --- |"] \
        + [goal_row(goal) for goal in goals]


def front_table(bench):
    """What README.md shows: the goals that were chosen for it."""
    machine, settings = bench["machine"], bench["settings"]
    front = [goal for goal in bench["goals"] if goal["front"]]
    missed = sum(goal["reached"] is False for goal in bench["goals"])
    lines = goal_rows(front)
    lines += ["", f"Medians of {settings['rounds']} rounds on "
              f"{machine['cpus']} CPUs ({machine['cpu']}), Linux",
              f"{machine['kernel']}, {machine['go']}, commit "
              f"{machine['commit']}, {machine['date'][:10]}.",
              f"Of all {len(bench['goals'])} goals {missed} were missed: "
              "[docs/benchmarks.md](docs/benchmarks.md) has every figure."]
    return "\n".join(lines) + "\n"


def table(head, rows):
    """No rows, no table."""
    if not rows:
        return []
    return ["| " + " | ".join(head) + " |",
            "| --- |" + " ---: |" * (len(head) - 1)] \
        + ["| " + " | ".join(row) + " |" for row in rows]


def ranged(spread):
    """4.6 (4.0-5.2): the median and, in brackets, the worst and the best."""
    if not spread:
        return "-"

    def short(value):
        return f"{value:.0f}" if value >= 10 else \
            f"{value:.1f}" if value >= 1 else f"{value:.2f}"

    return f"{short(spread[1])} ({short(spread[0])}-{short(spread[2])})"


def names(samples, suite):
    """The peers of a suite, in the order in which they ran."""
    return list(dict.fromkeys(s["peer"] for s in samples
                              if s["suite"] == suite))


def about(bench):
    machine, settings = bench["machine"], bench["settings"]
    took_s = sum(settings["took_s"].values())
    versions = [machine["cc"], machine["go"], machine["rust"],
                machine.get("node") and f"Node {machine['node']}"] + [
        f"{name} {version}" for name, version in machine["libraries"].items()]
    lines = item(f"{machine['cpu']}, {machine['cpus']} CPUs, "
                 f"{machine['memory_mib']} MiB, Linux {machine['kernel']}")
    lines += item(", ".join(v for v in versions if v))
    lines += item(
        f"commit {machine['commit']}"
        + (", with changes" if machine["uncommitted_changes"] else "")
        + f", {machine['date'][:10]}, {settings['rounds']} rounds, "
        f"{len(bench['samples'])} runs in {took_s / 60:.0f} minutes")
    lines += item(
        f"{settings['busy']} of the runs that count had more than "
        f"{settings['foreign_cpus_max']} processors in use by others, "
        "after a second try where there is one")
    for skipped in bench["skipped"]:
        lines += item(f"skipped: {skipped['what']}")
    return lines


def pool_costs(samples, capacity):
    rows = []
    for name in names(samples, pool.SUITE):
        cells = [stats.median(samples, pool.SUITE,
                              pool.Case(0, capacity, w).name, name,
                              "ns_per_job") for w in pool.WORKERS]
        if any(cells):
            rows.append([name] + [number(cell) for cell in cells])
    return table(["ns per job"] + [f"N={w}" for w in pool.WORKERS], rows)


def pool_ratios(samples, ours, capacity):
    rows = []
    for name in names(samples, pool.SUITE):
        if name in pool.OURS or name == pool.SPLIT:
            continue
        if ours == pool.HELPS and name not in KEY_PEERS:
            continue
        cells = [stats.ratios(samples, pool.SUITE,
                              pool.Case(0, capacity, w).name, "ns_per_job",
                              name, ours) for w in pool.WORKERS]
        if any(cells):
            rows.append([name] + [ranged(cell) for cell in cells])
    return table([f"{ours}, times"] + [f"N={w}" for w in pool.WORKERS], rows)


def trivial(samples):
    lines = ["## Trivial jobs", ""] + para("""
        Sixteen bytes in, eight out, one addition: what is measured is the
        pool. *U*: the queue of this peer has no bound; that is another
        contract, and a cheaper one. *Times* is how many times faster: the
        median of the pairs and, in brackets, the worst and the best of
        them.""") + [""]
    for capacity in pool.CAPACITIES:
        lines += [f"### Capacity {capacity}", ""]
        lines += pool_costs(samples, capacity)
        for ours in (pool.PULL, pool.PUSH, pool.HELPS):
            lines += [""] + pool_ratios(samples, ours, capacity)
        lines.append("")
    return lines


def working(samples):
    lines = ["## Jobs that work", ""] + para("""
        A dependent chain of multiplications, as long as the title says.
        Each figure is the time by that of a static split: as many threads
        as there are processors (or N, if that is less), each with its share
        of the jobs and no pool at all. 1.02 is two per cent of overhead;
        medians of the pairs.""") + [""]
    for work_us in pool.WORK_US[1:]:
        for capacity in pool.CAPACITIES:
            rows = []
            for name in names(samples, pool.SUITE):
                cells = [stats.ratios(samples, pool.SUITE,
                                      pool.Case(work_us, capacity, w).name,
                                      "ns_per_job", name, pool.SPLIT)
                         for w in pool.WORKERS]
                if any(cells) and name != pool.SPLIT:
                    rows.append([name] + [f"{cell[1]:.3f}" if cell else "-"
                                          for cell in cells])
            if rows:
                lines += table([f"{work_us} µs, capacity {capacity}"]
                               + [f"N={w}" for w in pool.WORKERS],
                               rows) + [""]
    return lines


def round_trips(samples):
    lines = ["## Round trip", ""] + para("""
        One thread submits a trivial job and waits for its result, again and
        again; N threads serve it. Nanoseconds, medians over the rounds;
        percentiles include a look at the clock for each trip. The last two
        columns are the mean by that of weir, without and with
        `caller_helps`.""") + [""]
    for workers in latency.WORKERS:
        case, rows = latency.case_name(workers), []
        for name in names(samples, latency.SUITE):
            cells = [stats.median(samples, latency.SUITE, case, name, m)
                     for m in latency.METRICS]
            ratios = [stats.ratios(samples, latency.SUITE, case,
                                   "ns_per_job", name, ours)
                      for ours in (latency.WEIR, latency.HELPS)]
            if all(cells):
                rows.append([name] + [f"{cell:.0f}" for cell in cells]
                            + [ranged(ratio) for ratio in ratios])
        lines += table([f"N={workers}", "mean", "p50", "p99", "p99.9",
                        "by weir push", "by helps"], rows) + [""]
    return lines


def counted(samples):
    lines = ["## Counted", ""] + para(f"""
        These hardly depend on who else uses the machine. Per trivial job,
        N={counters.WORKERS}; instructions are those of user space, from
        valgrind, which runs one thread at a time.""") + [""]
    rows = []
    for capacity, _ in counters.CASES:
        for name in names(samples, pool.SUITE):
            cells = [counters.value(samples, capacity, name, metric)
                     for metric in ("futex_per_job", "allocations_per_job",
                                    "instructions_per_job")]
            if any(cell is not None for cell in cells):
                rows.append([name, capacity] + [
                    "-" if c is None else f"{c:.{d}f}"
                    for c, d in zip(cells, (4, 3, 0))])
    lines += table(["", "capacity", "futex calls", "allocations",
                    "instructions"], rows) + [""]
    for capacity in pool.CAPACITIES:
        rows = []
        for name in pool.OURS + (pool.GO,):
            cells = [stats.median(samples, pool.SUITE,
                                  pool.Case(0, capacity, w).name, name,
                                  "switches_per_job") for w in pool.WORKERS]
            rows.append([name] + ["-" if c is None else f"{c:.4f}"
                                  for c in cells])
        lines += table([f"context switches, capacity {capacity}"]
                       + [f"N={w}" for w in pool.WORKERS], rows) + [""]
    return lines


def remembered(samples):
    rows = []
    for name in names(samples, memory.SUITE):
        peak = stats.median(samples, memory.SUITE, memory.CASE, name,
                            "rss_kib")
        if peak:
            rows.append([name, f"{peak / 1024:.1f}"])
    return ["## Memory", ""] + para(f"""
        Peak of the process over {memory.JOBS:,} trivial jobs, N=4, capacity
        8. A goroutine per job takes a semaphore before it works. *Late*
        starts all of them before it collects, which is the simplest
        program; the other one collects meanwhile, which Go's scheduler
        rewards. The two differ by more than an order of magnitude, and the
        goal is about the late one.""") + [""] \
        + table(["", "peak, MiB"], rows) + [""]


def fetched(samples):
    rows = []
    for width in fetch.WIDTHS:
        for name in names(samples, fetch.SUITE):
            case = f"c={width}"
            cells = [stats.median(samples, fetch.SUITE, case, name, m)
                     for m in ("requests_per_s", "cpu_s_per_100k", "rss_kib",
                               "connections")]
            if not all(cells):
                continue
            ratio = stats.ratios(samples, fetch.SUITE, case,
                                 "requests_per_cpu_s", fetch.WEIR, name)
            rows.append([name, str(width), f"{cells[0]:.0f}",
                         f"{cells[1]:.2f}", f"{cells[2] / 1024:.1f}",
                         f"{cells[3]:.0f}",
                         "" if name == fetch.WEIR else ranged(ratio)])
    if not rows:
        return []
    return ["## Fetching", ""] + para("""
        512 bytes a time from a private nginx over loopback, every URL
        another path. The last column is how many times more requests weir
        makes in a second of processor time.""") + [""] + table(
            ["", "at a time", "requests/s", "CPU s/100k", "peak MiB",
             "connections", "weir, times"], rows) + [""]


def commanded(samples):
    """The section of weir run: starts, and its own memory."""
    rows = []
    for name in names(samples, commands.SUITE):
        cells = [stats.median(samples, commands.SUITE, commands.CASE, name, m)
                 for m in ("jobs_per_s", "cpu_ms_per_job")]
        ratio = stats.ratios(samples, commands.SUITE, commands.CASE,
                             "jobs_per_s", commands.WEIR, name)
        if all(cells):
            rows.append([name, f"{cells[0]:.0f}", f"{cells[1]:.3f}",
                         "" if name == commands.WEIR else ranged(ratio)])
    if not rows:
        return []
    lines = ["## Commands", ""] + para("""
        `true`, two at a time, once for each line of a file. GNU parallel has
        fewer lines, and its shell does not even start a program for `true`.
        The last column is how many times more starts a second weir
        makes.""") + [""] + table(
            ["", "starts/s", "CPU ms each", "weir, times"], rows) + [""]
    peaks = [[s["case"], f"{s['own_kib'] / 1024:.1f}", f"{s['wall_s']:.0f}"]
             for s in commands.memory_samples(samples)]
    return lines + para("""
        Memory of weir itself, without its children (VmHWM, looked at every
        5 ms), with `-j2 true` and items from a pipe. Ten million starts would
        take an hour, so of the longest inputs many items go into a command,
        or `--resume` finds that all were done before.""") + [""] + table(
            ["", "peak, MiB", "seconds"], peaks) + [""]


def _cells(samples, suite, case, name, metrics, scale):
    """Spreads of these metrics in thousands or so, as text."""
    found = [stats.figures(samples, suite, case, name, metric)
             for metric in metrics]
    return [ranged(tuple(value / scale for value in spread))
            if spread else "-" for spread in found]


def queue_lives(samples):
    rows = []
    for name in names(samples, queue.SUITE):
        over = stats.ratios(samples, queue.SUITE, queue.CASE, "jobs_per_s",
                            name, queue.PLAINJOB)
        cpu = stats.median(samples, queue.SUITE, queue.CASE, name,
                           "cpu_ns_per_job")
        rows.append([name] + _cells(samples, queue.SUITE, queue.CASE, name,
                                    ("jobs_per_s", "insert_per_s",
                                     "work_per_s"), 1e3)
                    + [number(cpu / 1e3) if cpu else "-",
                       ranged(over) if name != queue.PLAINJOB else ""])
    return table(["thousands a second", "whole life", "insert", "work",
                  "CPU µs a job", "of plainjob"], rows)


def queue_durable(samples):
    rows = []
    for disk in (queue.DISK, queue.SLOW_DISK):
        for name in queue.WAITERS:
            times = stats.ratios(samples, queue.DURABLE, disk, "jobs_per_s",
                                 name, queue.ONE)
            rows.append(
                [f"{disk}, {name}"]
                + _cells(samples, queue.DURABLE, disk, name,
                         ("jobs_per_s",), 1.0)
                + _cells(samples, queue.DURABLE, disk, name,
                         ("p50_ns", "p99_ns"), 1e6)
                + [ranged(times) if name != queue.ONE else ""])
    return table(["", "jobs/s", "p50, ms", "p99, ms", "of 1 thread"], rows)


def queue_claims(samples):
    lengths = queue.waiting_in(samples)
    rows = []
    for count, _ in queue.CLAIMS:
        for name in queue.CLAIMERS:
            rows.append([f"{name}, {count} at once"] + [
                _cells(samples, queue.CLAIM, queue.claim_case(count, waiting),
                       name, ("p50_ns",), 1e3)[0] for waiting in lengths])
    return table(["µs"] + [f"{waiting:,} waiting" for waiting in lengths],
                 rows)


def queue_counted(samples):
    rows = [[name] + ["-" if cell is None else f"{cell:.{digits}f}"
                      for cell, digits in zip(cells, (1, 2, 1, 0))]
            for name, cells in queue_counts.rows(samples)]
    return table(["", "system calls per 1000", "flushes per 1000",
                  "futex calls per 1000", "instructions a job"], rows)


def queue_needs(samples):
    rows = [[f"nothing to do, {s['seconds']:.0f} s",
             f"{s['own_kib'] / 1024:.1f}", f"{s['cpu_ms']:.2f}",
             str(s["switches"]), str(s.get("calls", "-"))]
            for s in queue_work.of(samples, queue_work.IDLE)]
    rows += [[s["case"], f"{s['own_kib'] / 1024:.1f}", "", "", ""]
             for s in queue_work.of(samples, queue_work.MEMORY)]
    return table(["", "peak, MiB", "CPU ms", "context switches",
                  "system calls"], rows)


def queued(samples):
    """The section of durable jobs."""
    if not names(samples, queue.SUITE):
        return []
    lines = ["## Durable jobs", ""] + para("""
        Whole lives of jobs through the library: inserted a thousand at a
        time by two threads, then claimed, run by a handler that adds one
        number, and finished; `synchronous=FULL`. *Alone*: no other process
        works the store. *Dropped*: a completed job is deleted; *kept*: its
        row stays. *At once*: work begins while jobs are still inserted.
        plainjob keeps its jobs, and is set to FULL; it sets NORMAL
        itself.""") + [""] + queue_lives(samples) + [""]
    lines += para(f"""
        Threads that each insert one job and wait until it is on the disk.
        Flushes of this machine's disk are acknowledged early; the second
        half sleeps for a millisecond before each.""") + [""] \
        + queue_durable(samples) + [""]
    start = _cells(samples, queue.START, queue.START_CASE, "weir",
                   ("p50_ns", "p99_ns"), 1e6)
    lines += para(f"""
        From the call that inserts a job in one process to the first line of
        its handler in another, which has nothing to do: p50 {start[0]} ms,
        p99 {start[1]} ms.""") + [""]
    lines += para("""
        One claim of a store in which so many jobs wait, p50.""") \
        + [""] + queue_claims(samples) + [""]
    lines += para("""
        Counted: these hardly depend on who else uses the machine.""") \
        + [""] + queue_counted(samples) + [""]
    return lines + para("""
        What `weir work -j2 true` needs itself, its children left out.""") \
        + [""] + queue_needs(samples) + [""]


def index_rates(samples):
    rows = [[name, f"{allowed:.1f}", f"{rate[1]:.1f}",
             "{1:.3f} ({0:.3f}-{2:.3f})".format(*share)]
            for name, allowed, rate, share in docindex.rates(samples)]
    return table(["the slowest stage", "allows, /s", "measured, /s",
                  "share of it"], rows)


def index_stalls(samples):
    rows = [[s["case"], str(s["inside_before"]), str(s["inside"]),
             str(s["bound"]), ", ".join(map(str, s["waiting"])),
             ", ".join(map(str, s["busy"]))]
            for s in docindex.of(samples, docindex.STALL)]
    return table(["", "inside before", "inside, standing", "at most",
                  "waiting before each stage", "in each stage"], rows)


def index_peaks(samples):
    rows = [[s["case"], f"{s['own_kib'] / 1024:.1f}", f"{s['wall_s']:.1f}"]
            for s in docindex.of(samples, docindex.MEMORY)]
    return table(["documents", "peak, MiB", "seconds"], rows)


def indexed(samples):
    """The section of the document indexer."""
    if not names(samples, docindex.SUITE):
        return []
    lines = ["## The document indexer", ""] + para(f"""
        `docindex add`, three pools in a row: the text is extracted, an API
        makes vectors, and one transaction at a time puts them into the
        index. The API takes {docindex.LATENCY_S * 1000:.0f} ms and a
        transaction {docindex.STORE_S * 1000:.0f} ms; the reader of PDFs is a
        script that sleeps for {docindex.READER_S * 1000:.0f} ms, and what it
        allows is what `xargs -P2` makes of it just before. Measured is the
        time from the {docindex.FROM}th to the {docindex.TO}th record of
        {docindex.DOCUMENTS} on standard output: the pipeline fills before,
        and drains behind.""") + [""] + index_rates(samples) + [""]
    lines += para("""
        The API is stopped (SIGSTOP) in the middle of a run of 400, until
        nothing has moved for three seconds, and goes on then: all documents
        were in the index at the end. Inside is what the walk has found and
        has not come out; at most what the widths and channels up to the API
        hold, and one in the walk's hand.""") + [""]
    lines += index_stalls(samples) + [""]
    return lines + para("""
        Peak memory of docindex itself (VmHWM), its pdftotexts left out, with
        an API that answers at once. Small ones: half of them text, half PDFs
        of a page.""") + [""] + index_peaks(samples) + [""]
def fleet_rates(samples, suite, case):
    rows = []
    for name in names(samples, suite):
        cpu = [stats.median(samples, suite, case, name, metric)
               for metric in ("client_us", "server_us", "rss_kib")]
        times = [ranged(fleet.times_river(samples, suite, case, name, metric))
                 if name != fleet.RIVER else ""
                 for metric in ("jobs_per_s", "cpu_us")]
        if None not in cpu:
            rows.append([name] + _cells(samples, suite, case, name,
                                        ("jobs_per_s",), 1e3)
                        + [number(cpu[0]), number(cpu[1]),
                           f"{cpu[2] / 1024:.1f}"] + times)
    return table([case, "thousands a second", "client, CPU µs a job",
                  "server, CPU µs a job", "client's peak, MiB",
                  "times River's rate", "CPU, times less"], rows)


def fleet_needs(samples):
    rows = []
    for s in fleet.once(samples, fleet.DEAD):
        rows += [["a claim of 100, ms", f"{s['before_ms']:.2f}"],
                 [f"a claim of 100 {s['case']}, ms", f"{s['behind_ms']:.2f}"],
                 ["the first of these, ms", f"{s['first_ms']:.0f}"],
                 [f"a claim of 1 {s['case']}, ms", f"{s['one_ms']:.2f}"]]
    rows += [[f"statements a second with nothing to do, {s['seconds']:.0f} s",
              f"{s['statements_per_s']:.2f}"]
             for s in fleet.once(samples, fleet.IDLE)]
    return table(["", "weir"], rows)


def fleets(samples):
    """The section of jobs in PostgreSQL."""
    if not names(samples, fleet.SUITE):
        return []
    lines = ["## Jobs in PostgreSQL", ""] + para("""
        On River's unchanged tables, beside River's own client for Go with
        the settings of its command `river bench` (2000 workers, a cooldown
        of 2 ms, polls of 20 ms, batches of 5000). Jobs that do nothing; the
        server has a cluster of its own on the same processors and the same
        disk, with `fsync` and `synchronous_commit` on. *Dropped*: a
        completed job is deleted; *archived*: it becomes a row without an
        index; *kept*: it stays, as River's do. Processor time is that of
        the client and that of all processes of the server.""") + [""]
    lines += fleet_rates(samples, fleet.SUITE, fleet.CASE) + [""]
    lines += fleet_rates(samples, fleet.STEADY, fleet.STEADY_CASE) + [""]
    rows = [[name] + _cells(samples, fleet.START, fleet.START_CASE, name,
                            ("p50_ns", "p99_ns"), 1e6)
            for name in names(samples, fleet.START)]
    return lines + table(["enqueue to start in another process, ms", "p50",
                          "p99"], rows) \
        + [""] + fleet_needs(samples) + [""]


NOT_SAID = (
    """**That N threads ran.** With trivial jobs the pull form does not keep N
    threads busy, and with `caller_helps` the caller runs jobs itself. N is
    the bound on jobs that run at once, and one thread that never waits is
    faster than several that do. That is why these forms win, and jobs that
    take more than a few microseconds get all the workers: see *Jobs that
    work*.""",
    """**Much about other machines.** Two processors of a virtual machine that
    others use as well. Waking a thread on an idle virtual processor takes
    microseconds here and much less on bare metal, which flatters whoever
    does not wake: Go, TBB and the pull form. More processors would show
    contention that two cannot.""",
    """**Anything in absolute terms.** Ratios are of runs made one right after
    the other; the nanoseconds are there to give an idea.""",
    """**That peers were tuned.** Each does what its documentation shows first,
    with the same bound where it has one. Go's collector of garbage, TBB's
    scheduler and GLib's allocator stay at their defaults. ants has no queue
    at all: its producer waits while N jobs run. libuv has no bound, and is
    given one by using C requests again and again, on one thread.""",
    """**That capacity means the same to all.** In pull form and in TBB's
    pipeline it is all that may be inside; in push form, in Go and in
    crossbeam it is the length of each queue, which is more.""",
    """**What a disk of yours does.** This one acknowledges flushes in a
    fraction of a millisecond. Rates of single durable enqueues are as good
    as the disk; those of batches hardly depend on it.""",
    """**Anything about fairness, priorities, retries or time-outs.** All of
    that is there and switched off; jobs that use it cost more.""",
)


def document(bench, pictures):
    samples = bench["samples"]
    reached = sum(goal["reached"] is True for goal in bench["goals"])
    missed = sum(goal["reached"] is False for goal in bench["goals"])
    lines = ["# Benchmarks", ""] + para("""
        `make bench` measures, and `scripts/bench-docs` writes this page from
        `bench/out/bench.json`; nothing here is written by hand. How it is
        done, and how to add a peer:
        [bench/README.md](../bench/README.md).""") + [""] + about(bench)
    lines += ["", "## Goals", ""] + para(f"""
        {reached} reached, {missed} missed,
        {len(bench['goals']) - reached - missed} not measured. Medians of
        ratios pair by pair, and where it says *worst N* the worst of the
        medians of five widths.""") + [""]
    lines += goal_rows(bench["goals"]) + [""]
    for picture in pictures:
        lines += [f"![{picture}](benchmarks/{picture}.svg)", ""]
    for part in (trivial, working, round_trips, counted, remembered, fetched,
                 commanded, queued, indexed, fleets):
        lines += part(samples)
    lines += ["## What these figures do not say", ""]
    for text in NOT_SAID:
        lines += item(text)
    return "\n".join(lines) + "\n"
