"""Pictures of the figures, drawn by gnuplot where there is one."""

import math
import os
import shutil
import subprocess

from . import depth, fetch, latency, pool, stats

STYLE = """set encoding utf8
set grid lt 1 lw 0.5 lc rgb '#dddddd'
set key outside bottom center horizontal samplen 2 height 0.5
set border 3
set tics nomirror
set errorbars 0.6
"""
COLOURS = ("#1b6ca8", "#7fb2d6", "#d1495b", "#edae49", "#66a182", "#8d6a9f")
# One colour for a peer in all pictures: ours are blue.
COLOUR_OF = {
    pool.PULL: "#0b3c5d", pool.PUSH: "#1b6ca8", pool.HELPS: "#4fa3d9",
    pool.MANY: "#9ccbe8", pool.GO: "#d1495b", pool.TBB: "#edae49",
    pool.CROSSBEAM: "#66a182", "mutex pool": "#8d6a9f",
}
OTHER_COLOUR = "#888888"
CURVES = (pool.PULL, pool.PUSH, pool.HELPS, pool.GO, pool.TBB,
          pool.CROSSBEAM, "mutex pool")


def _block(rows):
    return "\n".join(" ".join(str(cell) for cell in row) for row in rows)


def _curves(found):
    """found: (name, colour, rows of x, median, min, max) for each peer."""
    data, curves = [], []
    for i, (name, colour, rows) in enumerate(found):
        data.append(f"$d{i} << EOD\n{_block(rows)}\nEOD")
        curves.append(f"$d{i} using 1:2:3:4 with yerrorlines pt 7 ps 0.6 "
                      f"lw 2 lc rgb '{colour}' title '{name}'")
    return "\n".join(data), ", ".join(curves)


def _panel(runner, work_us, capacity):
    """Jobs per second against workers: one curve a peer."""
    found = []
    for name in CURVES:
        rows = []
        for case in pool.cases(runner.quick):
            if (case.work_us, case.capacity) != (work_us, capacity):
                continue
            rate = stats.figures(runner.samples, pool.SUITE, case.name,
                                 name, "jobs_per_s")
            if rate:
                rows.append((case.workers, rate[1], rate[0], rate[2]))
        if len(rows) > 1:
            found.append((name, COLOUR_OF[name], rows))
    if not found:
        return ""
    data, curves = _curves(found)
    return f"""{data}
set title 'capacity {capacity}'
plot {curves}
"""


def _ranges(rows):
    """rows: (name, values), best first: a line each, a dot at the median and
    a bar from the least to the most."""
    data, plots = [], []
    for i, (name, (least, median, most)) in enumerate(rows):
        data.append(f"$r{i} << EOD\n{median} {-i} {least} {most}\nEOD")
        colour = COLOUR_OF.get(name, OTHER_COLOUR)
        plots.append(f"$r{i} using 1:2:3:4 with xerrorbars pt 7 ps 0.8 "
                     f"lw 2 lc rgb '{colour}' notitle")
    names = ", ".join(f"'{name}' {-i}" for i, (name, _) in enumerate(rows))
    return "\n".join(data) + f"""
set ytics ({names})
set yrange [{-len(rows) + 0.4}:0.6]
plot {", ".join(plots)}
"""


def everybody(runner, peers):
    """What a trivial job costs with each peer, 4 workers."""
    panels = []
    for capacity in pool.CAPACITIES:
        rows = []
        for peer in peers:
            cost = stats.figures(runner.samples, pool.SUITE,
                                 pool.Case(0, capacity, 4).name, peer.name,
                                 "ns_per_job")
            if cost:
                rows.append((peer.name, cost))
        if not rows:
            return None
        rows.sort(key=lambda row: row[1][1])
        panels.append(f"set title 'capacity {capacity}'\n" + _ranges(rows))
    return f"""set multiplot layout 1,2 title 'A trivial job, 4 workers: ns per job, less is better (median, min to max; U: unbounded)'
set logscale x 10
set xrange [*:*]
set format x '%.0s%c'
set xlabel 'ns per job'
{"".join(panels)}
unset multiplot
"""


def round_trips(runner, peers):
    panels = []
    for metric, title in (("p50_ns", "median"), ("p99_ns", "99th percentile"),
                          ("p999_ns", "99.9th percentile")):
        rows = []
        for peer in peers:
            cost = stats.figures(runner.samples, latency.SUITE,
                                 latency.case_name(4), peer.name, metric)
            if cost:
                rows.append((peer.name, cost))
        if not rows:
            return None
        panels.append(f"set title '{title}'\n" + _ranges(rows))
    return f"""set multiplot layout 1,3 title 'Submit a job, wait for its result: ns, 4 workers, less is better (min to max over the rounds)'
set logscale x 10
set xrange [10:1e7]
set xtics 100
unset mxtics
set format x '%.0s%c'
set xlabel 'ns'
{"".join(panels)}
unset multiplot
"""


def _decade(value, rounded):
    return 10 ** rounded(math.log10(value))


def throughput(runner, work_us):
    panels = [_panel(runner, work_us, c) for c in pool.CAPACITIES]
    if not all(panels):
        return None
    rates = [s["jobs_per_s"] for s in runner.samples
             if s["suite"] == pool.SUITE and s["round"] > 0 and s["counts"]
             and s["peer"] in CURVES
             and s["case"].startswith(f"{work_us}us ")]
    what = f"jobs of {work_us} µs" if work_us else "trivial jobs"
    return f"""set multiplot layout 1,2 title 'Throughput, {what} (median, min to max)'
set logscale x 2
set logscale y 10
set xrange [0.8:20]
set yrange [{_decade(min(rates), math.floor)}:{_decade(max(rates), math.ceil)}]
set xtics (1, 2, 4, 8, 16)
set format y '%.0s%c'
set xlabel 'workers' offset 0,0.5
set ylabel 'jobs per second'
{"".join(panels)}
unset multiplot
"""


def queue_depth(runner):
    path = depth.csv_path(runner)
    if not any(s["suite"] == depth.SUITE for s in runner.samples):
        return None
    return f"""set datafile separator ','
set title 'Jobs waiting, {depth.WORKERS} workers, a producer at half speed, at full speed, silent, at full speed'
set xlabel 'ms'
set ylabel 'jobs'
set yrange [0:{depth.QUEUE * 1.25:.0f}]
set autoscale xfix
plot {depth.QUEUE} with lines dt 2 lc rgb '#d1495b' title 'bound', \\
     '{path}' every ::1 using 1:2 with lines lw 1.5 lc rgb '{COLOURS[0]}' title 'queued', \\
     '{path}' every ::1 using 1:3 with lines lc rgb '{COLOURS[1]}' title 'running'
"""


def fetch_rates(runner, peers):
    found = []
    for i, peer in enumerate(peers):
        rows = []
        for width in fetch.WIDTHS:
            rate = stats.figures(runner.samples, fetch.SUITE, f"c={width}",
                                 peer.name, "requests_per_s")
            if rate:
                rows.append((width, rate[1], rate[0], rate[2]))
        if rows:
            found.append((peer.name, COLOURS[i % len(COLOURS)], rows))
    if not found:
        return None
    data, curves = _curves(found)
    return f"""{data}
set title 'Requests per second from a local nginx (median, min to max)'
set logscale x 10
set xrange [7:1400]
set yrange [0:*]
set format y '%.0s%c'
set xlabel 'requests at a time'
set ylabel 'requests per second'
plot {curves}
"""


def _draw(runner, name, script, size):
    path = os.path.join(runner.out, name + ".svg")
    text = (f"set terminal svg size {size} dynamic enhanced background "
            f"rgb 'white'\nset output '{path}'\n{STYLE}{script}")
    done = subprocess.run(["gnuplot", "-"], input=text, text=True,
                          capture_output=True, check=False)
    if done.returncode != 0:
        runner.skip(f"plot {name}", done.stderr.strip()[-200:])
        return
    print(f"wrote {path}")


def draw_all(runner, pool_peers, trip_peers, fetch_peers):
    if not shutil.which("gnuplot"):
        runner.skip("plots", "gnuplot is not installed (gnuplot-nox)")
        return
    pictures = [(f"throughput-{work_us}us", throughput(runner, work_us),
                 "960,460") for work_us in
                (pool.WORK_US_QUICK if runner.quick else pool.WORK_US)]
    pictures += [
        ("peers", everybody(runner, pool_peers), "1000,460"),
        ("latency", round_trips(runner, trip_peers), "1100,260"),
        ("depth", queue_depth(runner), "960,420"),
        ("fetch", fetch_rates(runner, fetch_peers), "720,420"),
    ]
    for name, script, size in pictures:
        if script:
            _draw(runner, name, script, size)
