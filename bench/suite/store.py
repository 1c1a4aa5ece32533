"""Databases of durable jobs to measure with, and the programs that do."""

import glob
import json
import os

from .runner import Wrong


def database(runner, name):
    """Where one is to be made, on the disk where the figures go."""
    directory = os.path.join(runner.out, "queue")
    os.makedirs(directory, exist_ok=True)
    return os.path.join(directory, name + ".db")


def forget(path):
    """Delete a database and all that lies beside it."""
    for old in glob.glob(glob.escape(path) + "*"):
        os.unlink(old)


def said(runner, argv, limit_s=300):
    """What a program prints, if it is right, with what it used."""
    usage, text = runner.once(argv, limit_s=limit_s)
    try:
        found = json.loads(text)
        right = found["right"]
    except (ValueError, KeyError) as error:
        raise Wrong(f"no result: {text[-200:]!r}") from error
    if not right:
        raise Wrong(f"jobs are not as they should be: {text.strip()}")
    found.update(foreign_cpus=usage["foreign_cpus"],
                 rss_kib=usage["rss_kib"])
    if "cpu_ns" in found:
        found["cpu_ns_per_job"] = found["cpu_ns"] / found["jobs"]
    if "voluntary_switches" in found:
        found["switches_per_job"] = (
            found["voluntary_switches"]
            + found["involuntary_switches"]) / found["jobs"]
    return found


def must(runner, argv, limit_s=300):
    """The same for what is not measured; gives what went wrong, or None."""
    try:
        said(runner, argv, limit_s)
        return None
    except Wrong as wrong:
        runner.wrong.append(str(wrong))
        print(f"WRONG: {wrong}", flush=True)
        return wrong
