"""A siphond and siphonctl as commands: configuration, port and directories of the test's own."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from free_ports import free_port

from shm.slots import Slots

CONFIGURATION = """
[listen]
udp = ["127.0.0.1:{port}"]
[domain]
local = ["example.com"]
[workers]
count = 2
[shared]
path = "{shared}"
max_transactions = 256
max_bindings = 64
max_dialogs = 64
max_nonces = 64
max_media_calls = 64
[script]
path = "script.py"
reload = "sighup"
[server]
state_dir = "state"
"""
SCRIPT = """
from siphon import proxy

@proxy.on_request
def route(request):
    request.reply(200, "OK")
"""


class Site:
    """A directory with siphon.cfg and script.py, and what was started from it."""

    def __init__(self, place: Path, shared: Path) -> None:
        self.place = place
        self.shared = shared
        self.port = free_port()
        self.file = place / "siphon.cfg"
        self.script = place / "script.py"
        self.output = place / "output"
        self.running: list[subprocess.Popen[bytes]] = []
        self.configure()
        self.script.write_text(SCRIPT)

    def configure(self, *replacements: tuple[str, str], more: str = "") -> None:
        text = CONFIGURATION.format(port=self.port, shared=self.shared)
        for old, new in replacements:
            assert old in text
            text = text.replace(old, new)
        self.file.write_text(text + more)

    def run(self, program: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        line = [sys.executable, "-m", f"siphon.cli.{program}", *map(str, arguments)]
        return subprocess.run(
            line, capture_output=True, text=True, timeout=180, cwd=self.place, stdin=subprocess.DEVNULL
        )

    def print_to(self, output: int, program: str, *arguments: str, **environment: str) -> tuple[int, str]:
        """What is said on standard error, and the exit status, with standard output of the caller's."""
        done = subprocess.run(
            [sys.executable, "-m", f"siphon.cli.{program}", "-c", str(self.file), *arguments],
            stdout=output,
            stderr=subprocess.PIPE,
            text=True,
            timeout=180,
            cwd=self.place,
            stdin=subprocess.DEVNULL,
            env=os.environ | environment,
        )
        return done.returncode, done.stderr

    def run_unprivileged(self, program: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        """As root without its rights: files of others are closed to it."""
        line = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", sys.executable, "-m", f"siphon.cli.{program}"]
        return subprocess.run(
            [*line, *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=180,
            cwd=self.place,
            stdin=subprocess.DEVNULL,
        )

    def siphond(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        return self.run("siphond", "-c", self.file, *arguments)

    def siphonctl(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.run("siphonctl", "-c", self.file, *arguments)

    def launch(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Does not wait."""
        with self.output.open("ab") as output:
            line = [sys.executable, "-W", "error", "-m", "siphon.cli.siphond", "-c", str(self.file), *arguments]
            process = subprocess.Popen(line, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=self.place)
        self.running.append(process)
        return process

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Returns once it is ready."""
        seen = self.text().count(" ready ")
        process = self.launch(*arguments)
        self.until(lambda: self.text().count(" ready ") > seen or process.poll() is not None)
        assert process.poll() is None, self.text()
        return process

    def stop(self, process: subprocess.Popen[bytes], number: signal.Signals = signal.SIGINT) -> int:
        if process.poll() is None:
            process.send_signal(number)
        return process.wait(60)

    def text(self) -> str:
        return self.output.read_text() if self.output.exists() else ""

    def until(self, condition: Callable[[], Any], seconds: float = 90) -> Any:
        """What it comes to, once that is true."""
        deadline = time.monotonic() + seconds
        while not (found := condition()):
            assert time.monotonic() < deadline, self.text()
            time.sleep(0.01)
        return found

    def slots(self) -> Slots:
        """The slot table itself."""
        return Slots.attach(self.shared / "slots")

    def ask(self, whole: bool = False) -> bytes:
        """The first line of the answer to an OPTIONS, or all of it."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as phone:
            phone.bind(("127.0.0.1", 0))
            phone.settimeout(60)
            phone.sendto(self.request("OPTIONS", phone.getsockname()[1]), ("127.0.0.1", self.port))
            answer = phone.recv(4096)
            return answer if whole else answer.split(b"\r\n")[0]

    def send(self, method: str) -> None:
        """A request whose answers nobody reads."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as phone:
            phone.bind(("127.0.0.1", 0))
            phone.sendto(self.request(method, phone.getsockname()[1]), ("127.0.0.1", self.port))

    @staticmethod
    def request(method: str, port: int) -> bytes:
        """Of a new transaction, from a phone at that port."""
        branch = f"z9hG4bK{os.urandom(6).hex()}"
        return (
            f"{method} sip:example.com SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:{port};branch={branch}\r\n"
            f"From: <sip:a@example.com>;tag=1\r\nTo: <sip:example.com>\r\nCall-ID: {branch}\r\nCSeq: 1 {method}\r\n"
            "Max-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
        ).encode()

    def close(self) -> None:
        for process in self.running:
            if process.poll() is None:
                process.kill()
                process.wait()
        shutil.rmtree(self.shared, ignore_errors=True)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path, Path(tempfile.mkdtemp(prefix="siphond-test-", dir="/dev/shm")))
    yield made
    made.close()
