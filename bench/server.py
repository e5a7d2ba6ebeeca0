"""A server under test: started with a configuration made for one scenario, stopped, its processes measured."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

from usage import Usage, pss_bytes, tree

IP = "127.0.0.1"
OPTIONS = (
    "OPTIONS sip:example.com SIP/2.0\r\nVia: SIP/2.0/UDP {own};rport;branch=z9hG4bKprobe{number}\r\n"
    "Max-Forwards: 70\r\nFrom: <sip:probe@example.com>;tag=p\r\nTo: <sip:example.com>\r\n"
    "Call-ID: probe{number}@{own}\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
)


@dataclass(frozen=True)
class Needs:
    """What a scenario asks of its server."""

    workers: int = 2
    steering: str = "flow"
    """Of siphond; all children of Kamailio read one socket."""
    digest: bool = True
    """REGISTER is challenged."""
    users: int = 1000
    contacts: int = 1
    transactions: int = 20000
    """At one time, as siphond keeps them: 37 s each."""
    memory_mb: int = 1024
    """For Kamailio's shared memory."""
    count: bool = False
    """Handler calls are counted, which costs; never while something is measured."""


class Server(ABC):
    """`address` is where it listens; `directory` is its own and goes with it."""

    name = "server"

    def __init__(self, directory: Path, needs: Needs) -> None:
        self.directory = directory
        self.needs = needs
        self.port = free_port()
        self.log_file = directory / "log"
        self.process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def command(self) -> list[str]:
        """Writes the configuration and returns the line that serves it in the foreground."""

    def environment(self) -> dict[str, str]:
        return {}

    @abstractmethod
    def handler_calls(self) -> int:
        """So far, with needs.count."""

    def reserved_bytes(self) -> int:
        """Shared memory that it has set aside, used or not."""
        return 0

    # --- running it

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    @property
    def address(self) -> str:
        return f"{IP}:{self.port}"

    def __enter__(self) -> Server:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> None:
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                self.command(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.directory,
                env=os.environ | self.environment(),
                start_new_session=True,
            )
        try:
            self._wait_until_it_answers(60)
        except BaseException:
            self.close()
            raise

    def _wait_until_it_answers(self, seconds: float) -> None:
        assert self.process is not None
        deadline = time.monotonic() + seconds
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind((IP, 0))
            probe.settimeout(0.2)
            own = f"{IP}:{probe.getsockname()[1]}"
            number = 0
            while time.monotonic() < deadline:
                if self.process.poll() is not None:
                    raise RuntimeError(f"{self.name} ended with {self.process.returncode}\n{self.log()}")
                number += 1
                probe.sendto(OPTIONS.format(own=own, number=number).encode(), (IP, self.port))
                try:
                    if probe.recv(65535).startswith(b"SIP/2.0 200") and self.ready():
                        return
                except (TimeoutError, ConnectionError):
                    time.sleep(0.02)
        raise RuntimeError(f"{self.name} did not answer within {seconds} s\n{self.log()}")

    def ready(self) -> bool:
        """Whether all its workers serve, once one has answered."""
        return True

    def close(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(self.pid, signal.SIGKILL)
                self.process.wait()

    def log(self) -> str:
        return self.log_file.read_text(errors="replace")[-4000:] if self.log_file.exists() else ""

    # --- measuring it

    def usage(self) -> Usage:
        return Usage(self.pid)

    def process_count(self) -> int:
        return len(tree(self.pid))

    def pss_bytes(self) -> int:
        return sum(pss_bytes(pid) for pid in tree(self.pid))


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind((IP, 0))
        port: int = probe.getsockname()[1]
        return port
