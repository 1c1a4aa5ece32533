"""A private nginx, started with the fixture of the tests."""

import os
import signal
import subprocess
import time
import urllib.request

STATUS = "location = /nginx-status { stub_status; }\n"


class Server:
    """Serves 512 bytes under every path of /p/, and counts."""

    def __init__(self, root, directory):
        self.fixture = os.path.join(root, "tests", "cli", "fixture-nginx.sh")
        self.directory = directory
        self.port = None
        self.worker = None

    def _fixture(self, command):
        return subprocess.run(
            ["sh", "-c", '. "$1"; ' + command, "sh", self.fixture,
             self.directory],
            capture_output=True, text=True, check=False,
        )

    def start(self):
        """Gives why it could not be started, or None."""
        os.makedirs(self.directory, exist_ok=True)
        done = self._fixture('nginx_start "$2" && echo "$NGINX_PORT"')
        if done.returncode == 77:
            return "nginx is not installed"
        if done.returncode != 0:
            return "nginx did not start; see " + self.directory
        self.port = int(done.stdout)
        return self._add_status()

    def _add_status(self):
        """The fixture has no counters; add them and have them read."""
        path = os.path.join(self.directory, "nginx.conf")
        with open(path, encoding="utf-8") as file:
            config = file.read()
        with open(path, "w", encoding="utf-8") as file:
            file.write(config.replace("location / {",
                                      STATUS + "location / {", 1))
        with open(os.path.join(self.directory, "nginx.pid"),
                  encoding="ascii") as file:
            master = int(file.read())
        deadline = time.monotonic() + 10
        # A signal that comes before the first worker is there can get lost.
        before = _children(master)
        while not before and time.monotonic() < deadline:
            time.sleep(0.01)
            before = _children(master)
        os.kill(master, signal.SIGHUP)
        while time.monotonic() < deadline:
            now = _children(master)
            if len(now) == 1 and now != before:
                self.worker = now[0]
                try:
                    self.counts()
                    return None
                except OSError:
                    pass
            time.sleep(0.05)
        return "nginx has no stub_status module"

    def stop(self):
        self._fixture('nginx_stop "$2"')

    def url(self, path):
        return f"http://127.0.0.1:{self.port}{path}"

    def counts(self):
        """(connections, requests) since the start, this one included."""
        with urllib.request.urlopen(self.url("/nginx-status")) as answer:
            accepted, _, requests = answer.read().split(b"\n")[2].split()
        return int(accepted), int(requests)


def _children(pid):
    path = f"/proc/{pid}/task/{pid}/children"
    with open(path, encoding="ascii") as file:
        return [int(child) for child in file.read().split()]
