"""A PostgreSQL of one's own that can be stopped at once, and copied.

As tests/with-postgres makes it, for tests that do things to it.  What is
committed is in the kernel's hands, so a server that is stopped at once has to
find all of it again, though nothing is synced.
"""

import glob
import os
import shutil
import signal
import subprocess
import tempfile
import time

SETTINGS = """
listen_addresses = ''
max_connections = 150
fsync = off
full_page_writes = off
shared_buffers = 32MB
max_wal_size = 256MB
autovacuum_naptime = 5s
deadlock_timeout = 20ms
wal_level = replica
max_wal_senders = 5
hot_standby = on
"""


def find_bin():
    """Where the newest server's programs are; None: there is none."""
    found = [path for path in glob.glob("/usr/lib/postgresql/*/bin")
             if os.access(os.path.join(path, "postgres"), os.X_OK)]
    return max(found, key=lambda path: float(path.split("/")[-2]),
               default=None)


def who():
    """PostgreSQL refuses to run as root, and is to end with us."""
    words = ["setpriv", "--pdeathsig", "QUIT"]
    if os.getuid() == 0:
        words += ["--reuid=postgres", "--regid=postgres", "--clear-groups"]
    return words


class Cluster:
    """One server and its folder."""

    def __init__(self, name="fleet"):
        root = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
        self.folder = tempfile.mkdtemp(prefix=f"weir-{name}-", dir=root)
        self.data = os.path.join(self.folder, "data")
        self.log = os.path.join(self.folder, "log")
        self.process = None
        if os.getuid() == 0:
            shutil.chown(self.folder, "postgres")
        os.chmod(self.folder, 0o755)

    def conninfo(self):
        return f"host={self.folder} dbname=postgres user=postgres"

    def run(self, *command):
        with open(self.log, "ab") as log:
            subprocess.run([*who(), *command], stdin=subprocess.DEVNULL,
                           stdout=log, stderr=log, check=True)

    def settings(self, text):
        with open(os.path.join(self.data, "postgresql.conf"), "a",
                  encoding="ascii") as file:
            file.write(text + "\n")

    def trust(self, address):
        """Let somebody in from elsewhere."""
        with open(os.path.join(self.data, "pg_hba.conf"), "a",
                  encoding="ascii") as file:
            file.write(f"host all all {address}/32 trust\n")
        self.ask("SELECT pg_reload_conf()")

    def create(self, more=""):
        self.run(f"{find_bin()}/initdb", "-D", self.data, "-U", "postgres",
                 "-A", "trust", "--no-sync", "--no-instructions", "-E",
                 "UTF8", "--locale=C")
        self.settings(f"unix_socket_directories = '{self.folder}'" +
                      SETTINGS + more)
        self.start()
        return self

    def copy(self, name, more=""):
        """A replica of it, which follows it."""
        other = Cluster(name)
        other.run(f"{find_bin()}/pg_basebackup", "-h", self.folder, "-U",
                  "postgres", "-D", other.data, "-c", "fast", "--no-sync",
                  "-R", "-X", "stream")
        # Of several the last one counts.
        other.settings(f"unix_socket_directories = '{other.folder}'\n" + more)
        with open(os.path.join(other.data, "postgresql.auto.conf"), "a",
                  encoding="ascii") as file:
            file.write(f"primary_conninfo = 'host={self.folder} user=postgres"
                       f" application_name={name}'\n")
        other.start()
        return other

    def start(self):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [*who(), f"{find_bin()}/postgres", "-D", self.data],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        pid_file = os.path.join(self.data, "postmaster.pid")
        until = time.monotonic() + 60
        while time.monotonic() < until:
            if self.process.poll() is not None:
                raise RuntimeError(f"the server has ended; see {self.log}")
            try:
                with open(pid_file, encoding="ascii") as file:
                    lines = file.read().splitlines()
                # The file of a server that was stopped at once is still there.
                if (len(lines) > 7 and lines[0] == str(self.process.pid) and
                        lines[7].strip() in ("ready", "standby")):
                    return
            except OSError:
                pass
            time.sleep(0.01)
        raise RuntimeError("the server does not start")

    def stop(self):
        """At once, as after a loss of power but for the kernel's memory."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGQUIT)
            self.process.wait()

    def ask(self, sql):
        done = subprocess.run(
            ["psql", "-XAtq", "-v", "ON_ERROR_STOP=1", self.conninfo(), "-c",
             sql], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(done.stderr.strip())
        return done.stdout.strip()

    def remove(self, keep=False):
        self.stop()
        if not keep:
            shutil.rmtree(self.folder, ignore_errors=True)
