"""Pictures of the figures, drawn by gnuplot where there is one."""

import math
import os
import shutil
import subprocess

from . import depth, fetch, pool, stats

STYLE = """set encoding utf8
set grid lc rgb '#dddddd'
set key outside bottom center horizontal
set border 3
set tics nomirror
"""
COLOURS = ("#1b6ca8", "#7fb2d6", "#d1495b", "#edae49", "#66a182", "#8d6a9f")


def _block(rows):
    return "\n".join(" ".join(str(cell) for cell in row) for row in rows)


def _panel(runner, peers, work_us, capacity):
    """Jobs per second against workers: one curve a peer."""
    data, curves = [], []
    for i, peer in enumerate(peers):
        rows = []
        for case in pool.cases(runner.quick):
            if (case.work_us, case.capacity) != (work_us, capacity):
                continue
            rate = stats.figures(runner.samples, pool.SUITE, case.name,
                                 peer.name, "jobs_per_s")
            if rate:
                rows.append((case.workers, rate[1], rate[0], rate[2]))
        if not rows:
            continue
        name = f"$d{len(data)}"
        data.append(f"{name} << EOD\n{_block(rows)}\nEOD")
        colour = COLOURS[i % len(COLOURS)]
        curves.append(f"{name} using 1:2 with linespoints pt 7 ps 0.6 lw 2 "
                      f"lc rgb '{colour}' title '{peer.name}'")
        curves.append(f"{name} using 1:2:3:4 with yerrorbars pt 0 "
                      f"lc rgb '{colour}' notitle")
    if not curves:
        return ""
    return "\n".join(data) + f"""
set title 'capacity {capacity}'
plot {", ".join(curves)}
"""


def _decade(value, rounded):
    return 10 ** rounded(math.log10(value))


def throughput(runner, peers, work_us):
    panels = [_panel(runner, peers, work_us, c) for c in ("2N", "1024")]
    if not all(panels):
        return None
    rates = [s["jobs_per_s"] for s in runner.samples
             if s["suite"] == pool.SUITE and s["round"] > 0 and s["counts"]
             and s["case"].startswith(f"{work_us}us ")]
    what = f"jobs of {work_us} µs" if work_us else "trivial jobs"
    return f"""set multiplot layout 1,2 title 'Throughput, {what} (median, min to max)'
set logscale x 2
set logscale y 10
set xrange [0.8:20]
set yrange [{_decade(min(rates), math.floor)}:{_decade(max(rates), math.ceil)}]
set xtics (1, 2, 4, 8, 16)
set format y '%.0s%c'
set xlabel 'workers'
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
    data, curves = [], []
    for i, peer in enumerate(peers):
        rows = []
        for width in fetch.WIDTHS:
            rate = stats.figures(runner.samples, fetch.SUITE, f"c={width}",
                                 peer.name, "requests_per_s")
            if rate:
                rows.append((width, rate[1], rate[0], rate[2]))
        if rows:
            name = f"$d{i}"
            colour = COLOURS[i % len(COLOURS)]
            data.append(f"{name} << EOD\n{_block(rows)}\nEOD")
            curves.append(f"{name} using 1:2 with linespoints pt 7 ps 0.6 "
                          f"lw 2 lc rgb '{colour}' title '{peer.name}'")
            curves.append(f"{name} using 1:2:3:4 with yerrorbars pt 0 "
                          f"lc rgb '{colour}' notitle")
    if not curves:
        return None
    return "\n".join(data) + f"""
set title 'Requests per second from a local nginx (median, min to max)'
set logscale x 10
set xrange [7:1400]
set yrange [0:*]
set format y '%.0s%c'
set xlabel 'requests at a time'
set ylabel 'requests per second'
plot {", ".join(curves)}
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


def draw_all(runner, pool_peers, fetch_peers):
    if not shutil.which("gnuplot"):
        runner.skip("plots", "gnuplot is not installed (gnuplot-nox)")
        return
    work = pool.WORK_US_QUICK if runner.quick else pool.WORK_US
    for work_us in work:
        script = throughput(runner, pool_peers, work_us)
        if script:
            _draw(runner, f"throughput-{work_us}us", script, "960,420")
    script = queue_depth(runner)
    if script:
        _draw(runner, "depth", script, "960,420")
    script = fetch_rates(runner, fetch_peers)
    if script:
        _draw(runner, "fetch", script, "720,420")
