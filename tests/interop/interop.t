#!/usr/bin/env python3
"""interop.t [PATTERN|--write-reference]: weir's PostgreSQL store beside River's
own Go client, on the same tables; run by tests/with-postgres.

    WEIR_BUILD      the build folder: tests/interop/weir-side is in it, and
                    tests/interop/river-side if Go was there
    WEIR_TEST_PG    the database

Each case is told once for each of the ways in which the two can take its
parts, go and go as well: that is what the others are held against, and what
tests the case itself.  Without the Go program only weir is left, whose rows
are still judged column by column (rows.py) and held against those that River
has written when reference.json was made; the rest is skipped, and counted.
PATTERN chooses cases by their names and ways, "every outcome gw".
"""

import json
import os
import re
import sys
import time
import traceback

sys.dont_write_bytecode = True  # nothing is written into the source tree

import rows  # noqa: E402
import sides  # noqa: E402
from cases import CASES  # noqa: E402
import cases_fleet  # noqa: E402,F401
import cases_jobs  # noqa: E402,F401
import cases_leader  # noqa: E402,F401
import cases_schema  # noqa: E402,F401
import cases_turns  # noqa: E402,F401
import cases_unique  # noqa: E402,F401


REFERENCE = os.path.join(os.path.dirname(os.path.abspath(__file__)),
                         "reference.json")


class World:
    """What a case finds: the sides, a schema of its own, and where to say
    what it has seen."""

    def __init__(self, river, weir):
        self.river, self.weir = river, weir
        self.tap = sides.Tap()
        self.count = 0
        self.title = self.case = ""
        # What came about with go and go: this time or, where it was not
        # tried, when that was last written down.
        with open(REFERENCE, encoding="utf-8") as file:
            self.stories = json.load(file)

    def side(self, letter):
        return {"g": self.river, "w": self.weir}[letter]

    def new_schema(self, migrated=True):
        """Made by the one and the other in turn, for it must not matter."""
        self.count += 1
        schema = f"interop_{os.getpid()}_{self.count}"
        if not migrated or (self.river and (self.count % 2 or not self.weir)):
            sides.sql(f'CREATE SCHEMA "{schema}"')
            if migrated:
                self.river.run(schema, "migrate", "up")
        if migrated and self.weir:
            self.weir.run(schema, "migrate")
        return schema

    def drop_schema(self, schema):
        sides.sql(f'SET client_min_messages = warning; '
                  f'DROP SCHEMA "{schema}" CASCADE')

    def check(self, name, good, *why):
        return self.tap.check(f"{self.title}: {name}", good, *why)

    def same(self, name, got, wanted):
        return self.tap.same(f"{self.title}: {name}", got, wanted)

    def compare(self, name, told, letters):
        """Hold what has come about against what it is with go and go."""
        told = json.loads(json.dumps(told))
        key = f"{self.case}: {name}"
        if letters == "g" * len(letters):
            self.stories[key] = told
        elif key in self.stories:
            wrong = []
            for number, (mine, theirs) in enumerate(
                    zip(told, self.stories[key])):
                wrong += [f"{number}: {line}"
                          for line in rows.difference(mine, theirs)]
            self.check(f"{name} as River has it",
                       not wrong and len(told) == len(self.stories[key]),
                       *wrong)

    def run(self, case, letters):
        parts = [self.side(letter) for letter in letters]
        self.case = case.name
        self.title = case.name + (
            ": " + " > ".join({"g": "go", "w": "weir"}[letter]
                              for letter in letters) if letters else "")
        if not all(parts) or (case.needs_river and not self.river):
            self.tap.skip(self.title, "no Go" if not self.river else "no weir")
            return
        schema = None
        start = time.monotonic()
        try:
            schema = self.new_schema(case.migrated)
            case.run(self, schema, letters, *parts)
            if case.migrated:
                wrong = rows.judge_all(schema)
                self.check("rows are valid", not wrong, *wrong)
        except Exception:  # pylint: disable=broad-except
            self.check("no trouble", False, traceback.format_exc(),
                       *(rows.summary(schema) if schema and case.migrated
                         else ()))
        finally:
            sides.Worker.end_all()
            if schema:
                self.drop_schema(schema)
        print(f"# {self.title}: {time.monotonic() - start:.1f} s")


def find(name):
    path = os.path.join(os.environ["WEIR_BUILD"], "tests", "interop", name)
    return path if os.access(path, os.X_OK) else None


def main():
    river, weir = find("river-side"), find("weir-side")
    if os.environ.get("WEIR_INTEROP_WITHOUT", "") == "weir":
        weir = None
    if os.environ.get("WEIR_INTEROP_WITHOUT", "") == "go":
        river = None
    world = World(river and sides.Side("go", river),
                  weir and sides.Side("weir", weir))
    pattern = sys.argv[1] if len(sys.argv) > 1 else ""
    write = pattern == "--write-reference"
    if write:
        pattern = " g+$"
    print("TAP version 13")
    for case in CASES:
        for letters in case.ways:
            if re.search(pattern, f"{case.name} {letters}"):
                world.run(case, letters)
    if write:
        with open(REFERENCE, "w", encoding="utf-8") as file:
            json.dump(world.stories, file, indent=1, sort_keys=True)
            file.write("\n")
    elif river and not pattern:
        with open(REFERENCE, encoding="utf-8") as file:
            world.title = "reference.json"
            world.same("is what River does", world.stories, json.load(file))
    return world.tap.end()


if __name__ == "__main__":
    sys.exit(main())
