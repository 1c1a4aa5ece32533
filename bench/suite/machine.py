"""What the figures were measured on, and who else was using it meanwhile."""

import datetime
import os
import platform
import re
import resource
import subprocess
import time

TICKS = os.sysconf("SC_CLK_TCK")


def _output(argv, cwd=None):
    try:
        done = subprocess.run(argv, cwd=cwd, capture_output=True, text=True,
                              check=False)
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _cpu_model():
    with open("/proc/cpuinfo", encoding="utf-8") as lines:
        for line in lines:
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.machine()


def _libraries(root):
    """The versions of the peers, as members of the JSON file."""
    found = {name: _output(["pkg-config", "--modversion", package])
             for name, package in (("GLib", "glib-2.0"), ("libuv", "libuv"),
                                   ("oneTBB", "tbb"), ("SQLite", "sqlite3"))}
    peers = os.path.join(root, "bench", "peers")
    for path, pattern in (
            ("go/libs/go.mod", r"^\s+\S+/(ants|pond)\S* v(\S+)"),
            ("river/go.mod", r"^\s+\S+/(river) v(\S+)"),
            ("rust/Cargo.lock",
             r'^name = "(crossbeam-channel)"\nversion = "([^"]+)"'),
            ("node/package.json", r'"(plainjob|better-sqlite3)": "([^"]+)"')):
        with open(os.path.join(peers, path), encoding="utf-8") as file:
            found.update(re.findall(pattern, file.read(), re.MULTILINE))
    return {name: version for name, version in found.items() if version}


def describe(root):
    """The machine and the versions, as members of the JSON file."""
    commit = _output(["git", "rev-parse", "--short=12", "HEAD"], root)
    changed = _output(["git", "status", "--porcelain", "-uno"], root)
    nginx = "/usr/sbin/nginx" if os.path.exists("/usr/sbin/nginx") else "nginx"
    curl = _output(["curl", "--version"])
    cc = _output(["cc", "--version"])
    now = datetime.datetime.now(datetime.timezone.utc)
    return {
        "date": now.isoformat(timespec="seconds"),
        "commit": commit,
        "uncommitted_changes": bool(changed),
        "cpu": _cpu_model(),
        "cpus": os.cpu_count(),
        "memory_mib": os.sysconf("SC_PHYS_PAGES")
        * os.sysconf("SC_PAGE_SIZE") // 2**20,
        "kernel": platform.release(),
        "cc": cc.splitlines()[0] if cc else None,
        "go": _output(["go", "version"]),
        "rust": _output(["rustc", "--version"]),
        "node": _output(["node", "--version"]),
        "libraries": _libraries(root),
        "curl": curl.splitlines()[0] if curl else None,
        "nginx": _output(["sh", "-c", nginx + " -v 2>&1"]),
    }


def _busy_s():
    """Processor time everybody has used, interrupts left out: they are
    charged to nobody, also not to those whose packets they carry."""
    with open("/proc/stat", encoding="ascii") as stat:
        user, nice, system = stat.readline().split()[1:4]
    return (int(user) + int(nice) + int(system)) / TICKS


def process_cpu_s(pid):
    """Processor time of another process."""
    with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


class Watch:
    """How much processor time went to others between two moments.  Ours is
    what this process used, what its ended children used, and the processes
    in ours, such as the server that is fetched from."""

    def __init__(self, ours=()):
        self.ours = ours
        self.start_s = self._others_s()
        self.clock_s = time.monotonic()

    def _others_s(self):
        used_s = sum(process_cpu_s(pid) for pid in self.ours)
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN):
            usage = resource.getrusage(who)
            used_s += usage.ru_utime + usage.ru_stime
        return _busy_s() - used_s

    def foreign_cpus(self):
        """In processors: 0.5 is half of one, all the time."""
        others_s = self._others_s() - self.start_s
        elapsed_s = max(time.monotonic() - self.clock_s, 0.01)
        return round(max(others_s, 0) / elapsed_s, 3)
