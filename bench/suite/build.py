"""Builds what is measured, and says what cannot be."""

import json
import os
import shutil
import subprocess
import sys

WARNINGS = ["-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Wconversion",
            "-Werror"]
PROGRAMS = ("pool", "depth")


def _run(argv, **more):
    done = subprocess.run(argv, capture_output=True, text=True, check=False,
                          **more)
    return None if done.returncode == 0 else \
        (done.stdout + done.stderr).strip()[-2000:]


def _must(argv, **more):
    error = _run(argv, **more)
    if error:
        sys.exit(f"bench: {' '.join(argv)} failed:\n{error}")


def build_type(build):
    path = os.path.join(build, "meson-info", "intro-buildoptions.json")
    try:
        with open(path, encoding="utf-8") as file:
            return {option["name"]: option["value"]
                    for option in json.load(file)}["buildtype"]
    except (OSError, KeyError, ValueError):
        return None


def library(root, build):
    """A release build of the library and, if it can be had, the command.
    Gives the path of the command or None, and the type of the build."""
    if not os.path.exists(os.path.join(build, "build.ninja")):
        _must(["meson", "setup", "--buildtype=release", build, root])
    _must(["ninja", "-C", build, "libweir.a"])
    error = _run(["ninja", "-C", build, "weir"])
    weir = None if error else os.path.join(build, "weir")
    return weir, build_type(build)


def programs(runner, build):
    os.makedirs(runner.bin, exist_ok=True)
    cc = os.environ.get("CC", "cc")
    here = os.path.join(runner.root, "bench")
    flags = ["-O2", "-std=gnu17", "-D_GNU_SOURCE"] + WARNINGS
    _must([cc] + flags + ["-o", runner.program("child"),
                          os.path.join(here, "child.c")])
    for name in PROGRAMS:
        _must([cc] + flags + [
            "-I", os.path.join(runner.root, "include"),
            "-o", runner.program(name), os.path.join(here, name + ".c"),
            os.path.join(build, "libweir.a"), "-pthread", "-lm"])


def go_programs(runner):
    """True if the peers in Go are there."""
    if not shutil.which("go"):
        runner.skip("peers in Go", "go is not installed")
        return False
    # Nothing is to be fetched: the programs need the standard library only.
    environment = dict(os.environ, GOPROXY="off", GOTOOLCHAIN="local",
                       GOFLAGS="-buildvcs=false", GO111MODULE="on")
    source = os.path.join(runner.root, "bench", "peers", "go")
    for name in ("pool", "fetch"):
        error = _run(["go", "build", "-o", runner.program("go-" + name),
                      "./" + name], cwd=source, env=environment)
        if error:
            runner.skip("peers in Go", error)
            return False
    return True


def curl(runner):
    found = shutil.which("curl")
    if not found:
        runner.skip("peer curl --parallel", "curl is not installed")
    return found
