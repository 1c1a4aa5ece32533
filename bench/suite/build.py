"""Builds what is measured, and says what cannot be."""

import json
import os
import shutil
import subprocess
import sys

WARNINGS = ["-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Wconversion",
            "-Werror"]
C_FLAGS = ["-O2", "-std=gnu17", "-D_GNU_SOURCE"] + WARNINGS
PROGRAMS = ("pool", "depth", "trip", "isolate")
# Go's own programs need its standard library only.
GO_PROGRAMS = ("pool", "trip", "spawn", "fetch")
GO_LIBRARIES = ("ants", "pond")


def _run(argv, timeout=300, **more):
    """Gives what went wrong, or None."""
    try:
        done = subprocess.run(argv, capture_output=True, text=True,
                              check=False, timeout=timeout, **more)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return None if done.returncode == 0 else \
        (done.stdout + done.stderr).strip()[-2000:]


def _must(argv, **more):
    error = _run(argv, **more)
    if error:
        sys.exit(f"bench: {' '.join(argv)} failed:\n{error}")


def _cc():
    return os.environ.get("CC", "cc")


def build_type(build):
    path = os.path.join(build, "meson-info", "intro-buildoptions.json")
    try:
        with open(path, encoding="utf-8") as file:
            return {option["name"]: option["value"]
                    for option in json.load(file)}["buildtype"]
    except (OSError, KeyError, ValueError):
        return None


def shared_libraries(build):
    """The targets of the libraries that a program of a user is linked with."""
    done = subprocess.run(["ninja", "-C", build, "-t", "targets", "all"],
                          capture_output=True, text=True, check=True)
    names = [line.split(":")[0] for line in done.stdout.splitlines()]
    return [name for name in names
            if name.startswith(("libweir.so", "libweir-queue.so",
                                "libweir-fleet.so"))
            and not name.endswith(".symbols")]


def library(root, build):
    """A release build of the library and, if it can be had, the command.
    Gives the path of the command or None, and the type of the build."""
    if not os.path.exists(os.path.join(build, "build.ninja")):
        _must(["meson", "setup", "--buildtype=release", build, root])
    _must(["ninja", "-C", build, "libweir.a", "libweir-queue-room.a"]
          + shared_libraries(build))
    error = _run(["ninja", "-C", build, "weir", "weir-fetch", "weir-queue"])
    weir = None if error else os.path.join(build, "weir")
    return weir, build_type(build)


def docindex(build):
    """The folder of docindex and of the server it asks, or None."""
    error = _run(["ninja", "-C", build, "examples/docindex/docindex",
                  "examples/sample-site"])
    return None if error else os.path.join(build, "examples")


def programs(runner, build):
    os.makedirs(runner.bin, exist_ok=True)
    here = os.path.join(runner.root, "bench")
    _must([_cc()] + C_FLAGS + ["-o", runner.program("child"),
                               os.path.join(here, "child.c")])
    for name in PROGRAMS:
        _must([_cc()] + C_FLAGS + [
            "-I", os.path.join(runner.root, "include"),
            "-o", runner.program(name), os.path.join(here, name + ".c"),
            os.path.join(build, "libweir.a"), "-pthread", "-lm"])
    _queue_programs(runner, build)


def _queue_programs(runner, build):
    """What uses durable jobs as users do is linked as theirs is; a claim by
    itself is none of their business, and claim.c looks inside."""
    here = os.path.join(runner.root, "bench")
    include = ["-I", os.path.join(runner.root, "include")]
    _must([_cc()] + C_FLAGS + include + [
        "-o", runner.program("queue"), os.path.join(here, "queue.c"),
        "-L", build, "-lweir-queue", "-lweir", "-Wl,-rpath," + build,
        "-pthread"])
    _must([_cc()] + C_FLAGS + include + [
        "-I", os.path.join(runner.root, "src"),
        "-o", runner.program("claim"), os.path.join(here, "claim.c"),
        os.path.join(build, "libweir-queue-room.a"),
        os.path.join(build, "libweir.a"), "-lsqlite3", "-pthread", "-lm"])
    _must([_cc()] + C_FLAGS + [
        "-fPIC", "-shared", "-o", runner.program("flush.so"),
        os.path.join(here, "flush.c"), "-ldl"])


def fleet(runner, build):
    """Programs by their names, for jobs in PostgreSQL; none without it."""
    if not os.path.exists(os.path.join(build, "libweir-fleet.so")):
        runner.skip("fleet", "the library was not built: no libpq")
        return {}
    here = os.path.join(runner.root, "bench")
    found = {"fleet": runner.program("fleet")}
    _must([_cc()] + C_FLAGS + [
        "-I", os.path.join(runner.root, "include"), "-o", found["fleet"],
        os.path.join(here, "fleet.c"), "-L", build, "-lweir-fleet",
        "-lweir-queue", "-lweir", "-Wl,-rpath," + build, "-pthread"])
    error = _run(["ninja", "-C", build, "tests/pg_dead"])
    if error:
        runner.skip("fleet, claims behind dead rows", error)
    else:
        found["pg_dead"] = os.path.join(build, "tests", "pg_dead")
    if _built(runner, "peer River",
              ["go", "build", "-o", runner.program("river"), "."],
              cwd=os.path.join(here, "peers", "river"),
              env=dict(os.environ, GOTOOLCHAIN="local", GO111MODULE="on",
                       GOFLAGS="-buildvcs=false")):
        found["river"] = runner.program("river")
    return found


def allocations(runner):
    """The library that counts allocations, or None."""
    path = runner.program("allocations.so")
    error = _run([_cc()] + C_FLAGS + [
        "-fPIC", "-shared", "-o", path,
        os.path.join(runner.root, "bench", "allocations.c")])
    if error:
        runner.skip("allocations per job", error)
    return None if error else path


def _built(runner, what, argv, **more):
    """True if argv could be run; otherwise what is skipped."""
    if not shutil.which(argv[0]):
        runner.skip(what, f"{argv[0]} is not installed")
        return False
    error = _run(argv, **more)
    if error:
        runner.skip(what, error)
    return not error


def _go(runner, found):
    environment = dict(os.environ, GOTOOLCHAIN="local",
                       GOFLAGS="-buildvcs=false", GO111MODULE="on")
    source = os.path.join(runner.root, "bench", "peers", "go")
    for names, where, fetch in ((GO_PROGRAMS, source, "off"),
                                (GO_LIBRARIES, source + "/libs", None)):
        if fetch:
            environment["GOPROXY"] = fetch
        else:
            environment.pop("GOPROXY")
        for name in names:
            program = runner.program("go-" + name)
            if _built(runner, f"peer in Go, {name}",
                      ["go", "build", "-o", program, "./" + name],
                      cwd=where, env=environment):
                found.add("go-" + name)


def _pkg_config(package):
    """(flags to compile with, flags to link with), or None."""
    words = []
    for flag in ("--cflags", "--libs"):
        try:
            done = subprocess.run(["pkg-config", flag, package],
                                  capture_output=True, text=True, check=False)
        except OSError:
            return None
        if done.returncode != 0:
            return None
        words.append(done.stdout.split())
    return words


def _with_library(runner, found, name, package, source, compiler):
    flags = _pkg_config(package)
    if flags is None:
        runner.skip(f"peer {name}", f"pkg-config knows no {package}")
        return
    path = os.path.join(runner.root, "bench", "peers", source)
    if _built(runner, f"peer {name}",
              compiler + flags[0] + ["-o", runner.program(name), path]
              + flags[1] + ["-pthread"]):
        found.add(name)


def _rust(runner, found):
    target = os.path.join(runner.out, "cargo")
    manifest = os.path.join(runner.root, "bench", "peers", "rust",
                            "Cargo.toml")
    if _built(runner, "peer crossbeam",
              ["cargo", "build", "--release", "--locked", "--quiet",
               "--manifest-path", manifest, "--target-dir", target]):
        shutil.copy(os.path.join(target, "release", "crossbeam-peer"),
                    runner.program("crossbeam"))
        found.add("crossbeam")


def peers(runner):
    """Build them; gives the names of the programs that are there."""
    found = set()
    cc = [_cc()] + C_FLAGS
    cxx = [os.environ.get("CXX", "c++"), "-O2", "-std=c++17",
           "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Wshadow", "-Werror"]
    source = os.path.join(runner.root, "bench", "peers", "c", "mutex.c")
    _must(cc + ["-o", runner.program("c-mutex"), source, "-pthread"])
    found.add("c-mutex")
    _go(runner, found)
    _with_library(runner, found, "glib", "glib-2.0", "glib/glib.c", cc)
    _with_library(runner, found, "uv", "libuv", "uv/uv.c", cc)
    _with_library(runner, found, "tbb", "tbb", "tbb/tbb.cc", cxx)
    _rust(runner, found)
    return found


def curl(runner):
    found = shutil.which("curl")
    if not found:
        runner.skip("peer curl --parallel", "curl is not installed")
    return found


def plainjob(runner):
    """How to run it, or None.  npm compiles its SQLite, which takes minutes,
    so what the last run has made is used again."""
    what = "peer plainjob"
    source = os.path.join(runner.root, "bench", "peers", "node")
    target = os.path.join(runner.out, "node")
    os.makedirs(target, exist_ok=True)
    for name in os.listdir(source):
        shutil.copy(os.path.join(source, name), target)
    if not shutil.which("node"):
        runner.skip(what, "node is not installed")
        return None
    argv = ["node", os.path.join(target, "plainjob.js")]
    if not _run(argv + ["--version"]):
        return argv
    install = ["npm", "install", "--no-package-lock", "--no-audit",
               "--no-fund"]
    if not _built(runner, what, install, timeout=900, cwd=target):
        return None
    error = _run(argv + ["--version"])
    if error:
        runner.skip(what, error)
    return None if error else argv
