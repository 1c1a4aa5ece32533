"""The two sides that interop.t drives, the database, and TAP.

A side is a program that takes commands and prints a JSON object a line:
river-side (Go, main.go) and weir-side (C, weir-side.c).  The database is
looked at through psql, so that nothing but PostgreSQL itself is needed to see
what is in the rows.
"""

import json
import os
import queue
import subprocess
import sys
import threading
import time

DATABASE = os.environ.get("WEIR_TEST_PG", "")


class Trouble(Exception):
    pass


def sql(text, schema=None):
    """The rows, each as a dict, of a query; of a command nothing."""
    head = f'SET search_path = "{schema}"; ' if schema else ""
    words = text.strip().split(None, 1)[0].upper()
    if words in ("SELECT", "WITH", "VALUES"):
        text = f"SELECT to_json(r) FROM ({text}) r"
    done = subprocess.run(
        ["psql", "-XAtq", "-v", "ON_ERROR_STOP=1", DATABASE,
         "-c", head + "SET TIME ZONE 'UTC'; " + text],
        capture_output=True, text=True)
    if done.returncode != 0:
        raise Trouble(f"psql: {done.stderr.strip()}")
    return [json.loads(line) for line in done.stdout.split("\n")
            if line.startswith("{")]


def one(text, schema=None):
    rows = sql(text, schema)
    if len(rows) != 1:
        raise Trouble(f"{len(rows)} rows: {text}")
    return rows[0]


def until(what, condition, timeout=10.0, pause=0.05):
    """Wait for the condition; its value."""
    end = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise Trouble(f"not within {timeout} s: {what}")
        time.sleep(pause)


class Side:
    def __init__(self, name, program):
        self.name = name
        self.program = program

    def __str__(self):
        return self.name

    def run(self, schema, *args, specs=None, fails=False):
        """Run a command to its end; the objects that it printed."""
        text = "".join(json.dumps(spec, ensure_ascii=False) + "\n"
                       if isinstance(spec, dict) else spec + "\n"
                       for spec in specs or [])
        done = subprocess.run(
            [self.program, "--schema", schema, *map(str, args)],
            input=text, capture_output=True, text=True, timeout=120)
        lines = [json.loads(line) for line in done.stdout.split("\n")
                 if line]
        if (done.returncode != 0) != fails:
            raise Trouble(f"{self} {' '.join(map(str, args))}: exit "
                          f"{done.returncode}: {done.stdout[-500:]} "
                          f"{done.stderr[-500:]}")
        return lines

    def insert(self, schema, *specs, flags=()):
        return self.run(schema, "insert", *flags, specs=specs)

    def ids(self, schema, *specs, flags=()):
        return [line["id"] for line in
                self.insert(schema, *specs, flags=flags)]

    def work(self, schema, *flags):
        return Worker(self, schema, flags)


class Worker:
    """A worker that runs until it is told to stop.  To be used by `with`."""

    all = []

    def __init__(self, side, schema, flags):
        self.side = side
        self.events = []
        self.lines = queue.Queue()
        self.process = subprocess.Popen(
            [side.program, "--schema", schema, "work", *map(str, flags)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()
        Worker.all.append(self)
        self.wait("ready", timeout=20)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.stop()

    def read(self):
        for line in self.process.stdout:
            self.events.append(json.loads(line))

    def seen(self, event, **members):
        return [e for e in list(self.events) if e.get("event") == event and
                all(e.get(name) == value for name, value in members.items())]

    def wait(self, event, timeout=10.0, count=1, **members):
        def look():
            if self.process.poll() is not None and event != "stopped":
                self.reader.join(5)
                if len(self.seen(event, **members)) < count:
                    raise Trouble(f"{self.side} worker has ended: "
                                  f"{self.events[-3:]}")
            found = self.seen(event, **members)
            return found if len(found) >= count else None
        return until(f"{self.side}: {event} {members}", look, timeout, 0.01)

    def order(self, text):
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()

    def stop(self, how="stop"):
        self.order(how)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired as trouble:
            self.kill()
            raise Trouble(f"{self.side} worker does not stop") from trouble
        self.reader.join(5)
        if self.process.returncode != 0:
            raise Trouble(f"{self.side} worker: exit "
                          f"{self.process.returncode}: {self.events[-1:]}")

    def kill(self):
        """As kill -9 does."""
        self.process.kill()
        self.process.wait()
        self.reader.join(5)

    @classmethod
    def end_all(cls):
        for worker in cls.all:
            if worker.process.poll() is None:
                worker.kill()
        cls.all = []


class Tap:
    """Test points.  Each case gives one or more, whatever happens in it."""

    def __init__(self):
        self.count = self.failed = self.skipped = 0

    def point(self, good, name, why=()):
        self.count += 1
        self.failed += not good
        name = name.replace("#", "=")
        print(f"{'ok' if good else 'not ok'} {self.count} - {name}")
        for line in why if not good else ():
            print("# " + str(line).replace("\n", "\n# "))
        sys.stdout.flush()
        return good

    def check(self, name, good, *why):
        return self.point(bool(good), name, why)

    def same(self, name, got, wanted):
        return self.point(got == wanted, name,
                          [f"got    {got!r}", f"wanted {wanted!r}"])

    def skip(self, name, why):
        self.count += 1
        self.skipped += 1
        print(f"ok {self.count} - {name} # SKIP {why}")

    def end(self):
        print(f"1..{self.count}")
        # As the other targets end; no line of TAP.
        print(f"{self.count - self.failed - self.skipped} passed, "
              f"{self.failed} failed, {self.skipped} skipped")
        return 1 if self.failed else 0
