"""A private cluster of PostgreSQL, durable, and what its server has used."""

import glob
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.parse

from .machine import TICKS
from .runner import Wrong

CONF = """
listen_addresses = ''
unix_socket_directories = '{folder}'
max_connections = 100
fsync = on
synchronous_commit = on
shared_buffers = 512MB
max_wal_size = 4GB
checkpoint_timeout = 30min
autovacuum = on
jit = on
{more}
"""
STATEMENTS = """shared_preload_libraries = 'pg_stat_statements'
pg_stat_statements.track = none
"""
START_S = 60.0


def _bin():
    """The newest that is installed, or None."""
    found = [os.path.dirname(path) for path
             in glob.glob("/usr/lib/postgresql/*/bin/initdb")]
    found.sort(key=lambda path: int(path.split("/")[-2].split(".")[0]))
    other = shutil.which("initdb")
    return found[-1] if found else other and os.path.dirname(other)


class Cluster:
    """A server that listens on a socket in a folder of its own, on the disk:
    what a flush costs is a part of what is measured."""

    def __init__(self):
        self.bin = _bin()
        self.folder = self.server = None
        self.has_statements = False

    def _user(self):
        """As whom it runs: PostgreSQL refuses to run as root."""
        if os.geteuid() != 0:
            return []
        who = pwd.getpwnam("postgres")
        os.chown(self.folder, who.pw_uid, who.pw_gid)
        return ["setpriv", f"--reuid={who.pw_uid}", f"--regid={who.pw_gid}",
                "--clear-groups"]

    def start(self):
        """Gives why it could not be started, or None."""
        if not self.bin:
            return "no PostgreSQL"
        self.folder = tempfile.mkdtemp(prefix="weir-bench-pg-")
        os.chmod(self.folder, 0o755)
        try:
            user = self._user()
        except KeyError:
            return "no user postgres"
        data = os.path.join(self.folder, "data")
        done = subprocess.run(
            user + [os.path.join(self.bin, "initdb"), "-D", data, "-U",
                    "postgres", "-A", "trust", "-E", "UTF8", "--locale=C"],
            capture_output=True, text=True, check=False, cwd="/")
        if done.returncode != 0:
            return "initdb: " + done.stderr.strip()[-300:]
        for more in (STATEMENTS, ""):
            with open(os.path.join(data, "postgresql.conf"), "a",
                      encoding="utf-8") as file:
                file.write(CONF.format(folder=self.folder, more=more
                                       or "shared_preload_libraries = ''"))
            if self._run(user, data):
                self.has_statements = bool(more)
                return None
        return "the server did not start; see " + self.folder

    def _run(self, user, data):
        with open(os.path.join(self.folder, "log"), "ab") as log:
            self.server = subprocess.Popen(  # pylint: disable=R1732
                user + [os.path.join(self.bin, "postgres"), "-D", data],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/")
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            if self.server.poll() is not None:
                return False
            try:
                with open(os.path.join(data, "postmaster.pid"),
                          encoding="ascii") as file:
                    if "ready" in file.read():
                        return True
            except OSError:
                pass
            time.sleep(0.02)
        return False

    def stop(self):
        if self.server and self.server.poll() is None:
            self.server.send_signal(signal.SIGINT)
            self.server.wait(60)
        if self.folder:
            shutil.rmtree(self.folder, ignore_errors=True)

    def url(self):
        host = urllib.parse.quote(self.folder, safe="")
        return f"postgres://postgres@{host}/postgres"

    def ask(self, *statements):
        """Run them one by one; gives what they print, as lines."""
        argv = [os.path.join(self.bin, "psql"), "-XAtq", "-v",
                "ON_ERROR_STOP=1", "-h", self.folder, "-U", "postgres",
                "-d", "postgres"]
        for statement in statements:
            argv += ["-c", statement]
        done = subprocess.run(argv, capture_output=True, text=True,
                              check=False, stdin=subprocess.DEVNULL)
        if done.returncode != 0:
            raise Wrong(f"{statements}: {done.stderr.strip()[-300:]}")
        return done.stdout.splitlines()

    def set(self, name, value):
        self.ask(f"ALTER SYSTEM SET {name} = {value}",
                 "SELECT pg_reload_conf()")

    def cpu_ns(self):
        """Processor time of the server so far: of those that are there, and,
        as the first of them knows, of those that have ended."""
        pid = self.server.pid
        with open(f"/proc/{pid}/task/{pid}/children",
                  encoding="ascii") as file:
            children = file.read().split()
        ticks = 0
        for one, fields in [(pid, 4)] + [(child, 2) for child in children]:
            try:
                with open(f"/proc/{one}/stat", encoding="ascii",
                          errors="replace") as stat:
                    found = stat.read().rsplit(")", 1)[1].split()
            except OSError:
                continue
            ticks += sum(map(int, found[11:11 + fields]))
        return ticks * 1_000_000_000 // TICKS
