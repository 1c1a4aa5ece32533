"""docindex, three pools in a row: how much of what its slowest stage allows,
its memory however many documents there are, and what it does while the API
stands still."""

import importlib.machinery
import importlib.util
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import threading
import time

from . import stats
from .commands import SAMPLE_S, peak_kib
from .machine import Watch
from .runner import Wrong
from .stats import Goal

SUITE = "docindex"
MEMORY = "docindex-memory"
STALL = "docindex-stall"
PEER = "docindex"

LATENCY_S = 0.3
STORE_S = 0.02
READER_S = 0.05
# What is measured is the time from the first to the second of these, a whole
# number of waves of 16 requests; before is the filling, behind the draining.
DOCUMENTS, FROM, TO = 640, 96, 544
DOCUMENTS_QUICK, FROM_QUICK, TO_QUICK = 256, 64, 192
COUNTS, COUNTS_QUICK = (100, 1_000, 10_000), (100, 1_000)
LONG, LONG_REQUESTS = 160_000, 3  # bytes; requests of 64 chunks each
SHARE, GROWTH, END_S = 0.95, 1.25, 300

DELAYED = ["--store-delay", f"{STORE_S * 1000:.0f}ms"]
NARROW = ["--channel", "1", "--width", "64"]
# Name, which kinds of documents take turns, options, and what the slowest
# stage allows a second; None: what xargs makes of the reader just before.
RATES = (
    ("the API: text", ("txt",), [], 16 / LATENCY_S),
    ("the index: text, a transaction each", ("txt",), NARROW, 1 / STORE_S),
    ("the reader: PDFs", ("pdf",), ["-j", "2"], None),
    ("the API: text and PDFs", ("txt", "pdf"), ["-j", "2"], 16 / LATENCY_S),
    ("the API: one of four with three requests",
     ("txt", "txt", "txt", "long"), [],
     16 / LATENCY_S / ((3 + LONG_REQUESTS) / 4)),
)


def load_pdf(root):
    path = os.path.join(root, "tests", "cli", "make-pdf.py")
    loader = importlib.machinery.SourceFileLoader("make_pdf", path)
    module = importlib.util.module_from_spec(
        importlib.util.spec_from_loader("make_pdf", loader))
    loader.exec_module(module)
    return module.pdf


class Bench:
    """Where the programs are, the server, and the documents of one run."""

    def __init__(self, runner, folder):
        self.runner = runner
        self.program = os.path.join(folder, "docindex", "docindex")
        self.pdf = load_pdf(runner.root)
        self.home = os.path.join(runner.out, "docindex")
        shutil.rmtree(self.home, ignore_errors=True)
        os.makedirs(self.home)
        self.reader = self.path("reader")
        with open(self.reader, "w", encoding="ascii") as file:
            file.write("#!/bin/sh\necho Some text of a page.\n"
                       f"exec {shutil.which('sleep')} {READER_S}\n")
        os.chmod(self.reader, 0o755)
        port = self.path("port")
        self.site = subprocess.Popen(
            [os.path.join(folder, "sample-site"), "--quiet",
             "--die-with-parent", "--port-file", port])
        until = time.monotonic() + 10
        while not os.path.exists(port) and time.monotonic() < until:
            time.sleep(0.01)
        with open(port, encoding="ascii") as file:
            self.url = f"http://127.0.0.1:{file.read().strip()}/model"

    def end(self):
        self.site.terminate()
        self.site.wait()
        shutil.rmtree(self.home, ignore_errors=True)

    def path(self, name):
        return os.path.join(self.home, name)

    def document(self, kind, number):
        if kind == "pdf":
            return self.pdf([f"Document {number}.\nA page with little text."])
        if kind == "long":
            return f"Number {number} goes on and on. ".encode() * \
                (LONG // 32)
        if kind == "megabyte":
            return f"Number {number} goes on and on. ".encode() * (2**20 // 32)
        return f"Document {number}. A text of one chunk.\n".encode()

    def folder(self, kinds, count):
        """Documents of these kinds in turns, made once."""
        folder = self.path(f"{'-'.join(kinds)}-{count}")
        if os.path.exists(folder):
            return folder
        os.makedirs(folder)
        for number in range(count):
            kind = kinds[number % len(kinds)]
            name = f"{number:05d}.{'pdf' if kind == 'pdf' else 'txt'}"
            with open(os.path.join(folder, name), "wb") as file:
                file.write(self.document(kind, number))
        return folder

    def start(self, knobs, options, folder, progress="none"):
        for name in os.listdir(self.home):
            if name.startswith("index.db"):
                os.unlink(self.path(name))
        return subprocess.Popen(
            [self.program, "add", "--db", self.path("index.db"), "--vec0",
             "none", "--url", f"{self.url}/{knobs}/v1", "--json",
             f"--progress={progress}", *options, folder],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE)

    def check(self, process, count):
        """Is all in the index?  Nothing else counts."""
        text = process.stderr.read() if process.stderr else b""
        if process.wait(END_S) != 0:
            raise Wrong(f"exit {process.returncode}: {text[-300:]}")
        db = sqlite3.connect(self.path("index.db"))
        try:
            found = db.execute("SELECT count(*), count(DISTINCT path)"
                               " FROM documents").fetchone()
        finally:
            db.close()
        if found != (count, count):
            raise Wrong(f"{found} documents in the index of {count}")


def reader_alone(bench, runs):
    """Readers a second, two at a time, and nothing else."""
    items = "".join(f"{n}\n" for n in range(runs))
    start_s = time.monotonic()
    subprocess.run(["xargs", "-P2", "-n1", bench.reader], input=items,
                   text=True, stdout=subprocess.DEVNULL, check=True)
    return runs / (time.monotonic() - start_s)


def requests(record):
    return (record["chunks"] + 63) // 64


def measure_rate(bench, kinds, options, ideal):
    count, first, last = (DOCUMENTS_QUICK, FROM_QUICK, TO_QUICK) \
        if bench.runner.quick else (DOCUMENTS, FROM, TO)
    folder = bench.folder(kinds, count)
    watch = Watch((bench.site.pid,))
    knobs = f"latency={LATENCY_S * 1000:.0f}"
    if ideal is None:
        ideal = reader_alone(bench, TO_QUICK - FROM_QUICK)
    came_s, asked = [], 0
    with bench.start(knobs, DELAYED + ["--pdftotext", bench.reader] + options,
                     folder) as process:
        for line in process.stdout:
            came_s.append(time.monotonic())
            asked += requests(json.loads(line))
        bench.check(process, count)
    if len(came_s) != count:
        raise Wrong(f"{len(came_s)} records of {count} documents")
    wanted = sum(LONG_REQUESTS if kind == "long" else 1 for kind in kinds) \
        * count // len(kinds)
    if asked != wanted:
        raise Wrong(f"{asked} requests, not {wanted}")
    rate = (last - first) / (came_s[last - 1] - came_s[first - 1])
    return {"documents": count, "documents_per_s": rate, "ideal": ideal,
            "share": rate / ideal, "foreign_cpus": watch.foreign_cpus()}


def measure_memory(bench, kinds, count):
    """Of docindex itself; its pdftotexts have memory of their own."""
    folder, peak = bench.folder(kinds, count), 0
    start_s = time.monotonic()
    with bench.start("latency=0", [], folder) as process:
        drain = threading.Thread(target=process.stdout.read)
        drain.start()
        while process.poll() is None:
            peak = max(peak, peak_kib(process.pid))
            time.sleep(SAMPLE_S)
        drain.join()
        bench.check(process, count)
    return {"documents": count, "own_kib": peak, "foreign_cpus": 0.0,
            "wall_s": time.monotonic() - start_s}


class Stall:
    """A run whose server stops in the middle, by docindex's own figures."""

    def __init__(self, bench, process):
        self.bench, self.process = bench, process
        self.stopped_s = None
        self.before = self.standing = None
        self.bound = 0

    def inside(self, line):
        """The submitted ones that have not come out; and one in the hand of
        the intake, which counts as found."""
        return line["total"] - line["done"]

    def watch(self, after):
        """Stop the server when so many are done, and let it go on once
        nothing has changed for three of docindex's lines."""
        same, last = 0, None
        for text in self.process.stderr:
            if not text.startswith(b'{"type":"progress"'):
                continue
            line = json.loads(text)
            # Behind the API all is drained.
            self.bound = 1 + sum(stage["width"] + stage["bound"]
                                 for stage in line["stages"]
                                 if stage["name"] != "store")
            now = line["total"], line["done"]
            same = same + 1 if now == last else 0
            last = now
            if self.stopped_s is None and line["done"] >= after:
                self.before = line
                self.bench.site.send_signal(signal.SIGSTOP)
                self.stopped_s = time.monotonic()
            elif self.stopped_s is not None and self.standing is None and \
                    same >= 3:
                self.standing = line
                self.bench.site.send_signal(signal.SIGCONT)


def measure_stall(bench, kinds, options):
    count = 400
    folder = bench.folder(kinds, count)
    with bench.start("latency=100",
                     ["--pdftotext", bench.reader] + options, folder,
                     progress="json") as process:
        stall = Stall(bench, process)
        drain = threading.Thread(target=process.stdout.read)
        drain.start()
        try:
            stall.watch(100)
        finally:
            bench.site.send_signal(signal.SIGCONT)
        drain.join()
        process.stderr.close()
        process.stderr = None
        bench.check(process, count)
    if not stall.standing:
        raise Wrong("it did not stand still")
    stages = stall.standing["stages"]
    return {"documents": count, "bound": stall.bound,
            "inside_before": stall.inside(stall.before),
            "inside": stall.inside(stall.standing),
            "waiting": [stage["queued"] for stage in stages],
            "busy": [stage["busy"] for stage in stages],
            "foreign_cpus": 0.0}


def memory_cases(runner):
    counts = COUNTS_QUICK if runner.quick else COUNTS
    cases = [(f"{count:,} small ones", ("txt", "pdf"), count)
             for count in counts]
    return cases + [("100 texts of 1 MiB", ("megabyte",), 100)]


STALLS = (("text: the API is the slowest", ("txt",), []),
          ("PDFs: the reader is the slowest", ("pdf",), ["-j", "2"]))


def run(runner, folder):
    if not folder:
        runner.skip(SUITE, "docindex was not built")
        return
    bench = Bench(runner, folder)
    try:
        for number in range(1, runner.rounds + 1):
            for name, kinds, options, ideal in RATES:
                runner.keep(SUITE, name, PEER, number,
                            lambda k=kinds, o=options, i=ideal:
                            measure_rate(bench, k, o, i))
            print(f"docindex: round {number} of {runner.rounds}", flush=True)
        for name, kinds, options in STALLS:
            print(f"docindex: the API stands, {name}", flush=True)
            runner.keep(STALL, name, PEER, 1,
                        lambda k=kinds, o=options:
                        measure_stall(bench, k, o), attempts=1)
        for name, kinds, count in memory_cases(runner):
            if kinds == ("txt", "pdf") and not shutil.which("pdftotext"):
                runner.skip(f"{MEMORY}, {name}", "pdftotext is missing")
                continue
            print(f"docindex: memory, {name}", flush=True)
            runner.keep(MEMORY, name, PEER, 1,
                        lambda k=kinds, c=count:
                        measure_memory(bench, k, c), attempts=1)
    finally:
        bench.end()


def of(samples, suite):
    return [s for s in samples if s["suite"] == suite and s["counts"]]


def rates(samples):
    """(name, allowed, rates, shares) of each case that was measured."""
    for name, *_ in RATES:
        found = [stats.figures(samples, SUITE, name, PEER, metric)
                 for metric in ("ideal", "documents_per_s", "share")]
        if all(found):
            yield name, found[0][1], *found[1:]


def report(runner):
    lines = ["", "docindex: documents a second, min/median/max", "",
             f"  {'slowest is':<44}{'allowed':>8}{'is':>18}{'share':>18}"]
    for name, ideal, rate, share in rates(runner.samples):
        lines.append(f"  {name:<44}{ideal:>8.1f}"
                     f"{'/'.join(f'{r:.1f}' for r in rate):>18}"
                     f"{'/'.join(f'{s:.3f}' for s in share):>18}")
    lines += ["", "docindex: its own memory"]
    for s in of(runner.samples, MEMORY):
        lines.append(f"  {s['case']:<40}{s['own_kib'] / 1024:>6.1f} MiB "
                     f"{s['wall_s']:>8.1f} s")
    lines += ["", "docindex: documents inside while the API stands"]
    for s in of(runner.samples, STALL):
        lines.append(f"  {s['case']:<40}{s['inside_before']:>4} before, "
                     f"{s['inside']} standing, {s['bound']} at most; "
                     f"waiting {s['waiting']}, busy {s['busy']}")
    return lines


def goals(runner):
    """What docindex is to reach."""
    samples = runner.samples
    shares = [share[1] for *_, share in rates(samples)]
    yield Goal("docindex, documents/s of what the slowest stage allows, worst "
               f"of {len(RATES)}", "x", min(shares, default=None), ">=", SHARE)
    peaks = {s["documents"]: s["own_kib"] for s in of(samples, MEMORY)
             if "small" in s["case"]}
    growth = peaks[max(peaks)] / peaks[min(peaks)] if len(peaks) > 1 else None
    yield Goal("docindex, peak memory, 10,000 documents by 100", "x", growth,
               "<=", GROWTH)
    yield Goal("docindex, documents inside while the API stands, by widths "
               "and channels", "x",
               max((s["inside"] / s["bound"] for s in of(samples, STALL)),
                   default=None), "<=", 1)
